"""Tiles of Sentinel-2 and squares of MGRS are where they are published to be."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from rasterio.warp import transform

from wherefrom.earth.grids import grid
from wherefrom.earth.grids.mgrs import Mgrs
from wherefrom.earth.sphere import distance_km, wrap_lon


@pytest.fixture(scope="module")
def tiles(reference_data: Path) -> dict[str, np.ndarray]:
    """The Sentinel-2 tiles over land, as published."""
    file = reference_data / "field" / "files" / "sentinel2_grid_land.parquet"
    if not file.is_file():
        pytest.skip(f"no tiles at {file}")
    table = pq.read_table(file, columns=["tile", "geometry", "epsg", "utm_bounds"])
    return {
        "tile": table["tile"].to_numpy(),
        "shape": shapely.from_wkb(table["geometry"].to_numpy()),
        "epsg": table["epsg"].to_numpy(),
        "bounds": np.array([ast.literal_eval(text) for text in table["utm_bounds"].to_pylist()]),
    }


def test_a_real_tile_lies_elsewhere(tiles: dict[str, np.ndarray]) -> None:
    shapes = grid("mgrs").shapes(tiles["tile"])
    assert len(shapes) == 20_430
    corners = shapely.get_coordinates(shapes).reshape(len(shapes), 65, 2)[:, 0:64:16]
    real, of = shapely.get_coordinates(tiles["shape"], return_index=True)
    cut = np.abs(real[:, 0]) == 180.0  # the published polygons are cut at the antimeridian
    real, of = real[~cut], of[~cut]
    x, y = corners[of, :, 0], corners[of, :, 1]
    off = distance_km(real[:, :1], real[:, 1:], x, y).min(axis=1) * 1000.0
    assert off.max() < 0.1  # 0.087 m, in 33XXK; 0.01 m in all but ten


def test_a_real_tile_has_another_name(tiles: dict[str, np.ndarray]) -> None:
    west, north = tiles["bounds"][:, 0], tiles["bounds"][:, 3]
    own = np.zeros(len(west), dtype=bool)
    for epsg in np.unique(tiles["epsg"])[::7]:
        these = np.flatnonzero(tiles["epsg"] == epsg)
        middle = (west[these] + 50_000.0).tolist(), (north[these] - 50_000.0).tolist()
        lon, lat = map(np.asarray, transform(f"EPSG:{epsg}", "OGC:CRS84", *middle))
        central = 6.0 * (epsg % 100) - 183.0
        inside = (np.abs(wrap_lon(lon - central)) < 3.0) & ((lat < 56.0) | (central < -3.0))
        own[these] = inside
        names = grid("mgrs").cells(lon[inside], lat[inside])
        assert names.tolist() == tiles["tile"][these[inside]].tolist()
    assert own.sum() > 1500


def utm(xy: np.ndarray, zone: int, south: bool) -> np.ndarray:
    code = f"EPSG:{32700 if south else 32600}"[:-2] + f"{zone:02d}"
    return np.stack(transform("OGC:CRS84", code, *xy.T.tolist()), axis=1)


@pytest.mark.parametrize("id", ["31NAA", "31UFU", "33XXK", "60HYJ", "01CEH", "33XWH", "01KAB"])
def test_an_edge_leaves_the_tile_by_more_than_ten_metres(id: str) -> None:
    xy = shapely.get_coordinates(Mgrs().shapes([id]))
    step = np.stack([wrap_lon(np.diff(xy[:, 0])), np.diff(xy[:, 1])], axis=1)
    corners = utm(xy[:-1], int(id[:2]), id[2] < "N")
    assert np.ptp(corners, axis=0) == pytest.approx((109_800.0, 109_800.0), abs=0.01)
    for part in (0.25, 0.5, 0.75):
        between = utm(xy[:-1] + part * step, int(id[:2]), id[2] < "N")
        off = [np.abs(between - rim(corners, axis=0)) for rim in (np.min, np.max)]
        assert np.hstack(off).min(axis=1).max() < 10.0


@pytest.mark.parametrize(
    ("id", "west", "south", "side"),
    [
        ("31UFU12", 610_000, 5_820_000, 10_000),
        ("31UFU1234", 612_000, 5_834_000, 1_000),
        ("31ufu1234567890", 612_345, 5_867_890, 1),
        ("21HUB01", 300_000, 6_110_000, 10_000),
    ],
)
def test_a_fine_square_lies_elsewhere(id: str, west: int, south: int, side: int) -> None:
    corners = utm(shapely.get_coordinates(Mgrs().shapes([id])), int(id[:2]), id[2].upper() < "N")
    assert corners.min(axis=0) == pytest.approx((west, south), abs=0.001)
    assert np.ptp(corners, axis=0) == pytest.approx((side, side), abs=0.001)


def test_a_tile_of_another_spelling_is_another() -> None:
    made = Mgrs().shapes(["31UFU", "T31UFU", "31ufu", " t31uFu "])
    assert all(shape.equals_exact(made[0], 0.0) for shape in made)
    assert Mgrs().shapes(["1CEH"])[0].equals_exact(Mgrs().shapes(["01CEH"])[0], 0.0)


def test_a_tile_and_its_square_are_the_same() -> None:
    """The square of 100 km lies in the tile, at its upper left corner."""
    square, tile = (
        utm(shapely.get_coordinates(Mgrs(tiles=kind).shapes(["31UFU"])), 31, False)
        for kind in (False, True)
    )
    assert square.min(axis=0) == pytest.approx((600_000, 5_800_000), abs=0.001)
    assert tile.min(axis=0) == pytest.approx((600_000, 5_790_240), abs=0.001)


def test_a_square_of_two_bands_has_one_name() -> None:
    first, second = Mgrs(tiles=False).shapes(["31TFP", "31UFP"])  # 48° N crosses it
    assert first.equals_exact(second, 0.0)
    assert first.bounds[1] < 48.0 < first.bounds[3]
    assert Mgrs(tiles=False).cells([5.0, 5.0], [47.95, 48.05]).tolist() == ["31TFP", "31UFP"]
    assert Mgrs().cells([5.0, 5.0], [47.95, 48.05]).tolist() == ["31UFP", "31UFP"]
