"""Footprints on the sphere: right across the antimeridian and at the poles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from wherefrom.earth.footprints import areas_km2, middles, on_sphere
from wherefrom.earth.grids import grid
from wherefrom.earth.sphere import EARTH_RADIUS_KM, distance_km, offset, wrap_lon
from wherefrom.errors import WherefromError

POLE_KM = np.pi / 2 * EARTH_RADIUS_KM


def square(lon: float, lat: float, km: float, turn: float = 0.0) -> Any:
    """A square on the sphere as its corners, degrees within [-180, 180)."""
    x, y = offset(lon, lat, turn + np.array([45.0, 315.0, 225.0, 135.0]), km / np.sqrt(2.0))
    return shapely.Polygon(np.stack([x, y], axis=1))


def spread(*shapes: Any) -> Any:
    return on_sphere(np.array(shapes, dtype=object))


@given(
    st.floats(-180, 180), st.floats(-89.99, 89.99), st.floats(0.001, 40), st.floats(0, 90),
    st.integers(-1, 1),
)  # fmt: skip
def test_a_tile_lies_elsewhere_than_its_corners(
    lon: float, lat: float, km: float, turn: float, round_the_world: int
) -> None:
    # A corner at a pole has no longitude, and an edge through one no way round it.
    corners = square(lon, lat, km, turn)
    to_pole = POLE_KM - abs(np.radians(corners.exterior.xy[1])) * EARTH_RADIUS_KM
    if np.abs(to_pole).min() < km:
        return
    moved = shapely.transform(corners, lambda xy: xy + np.array([360.0 * round_the_world, 0.0]))
    if np.abs(shapely.get_coordinates(moved)[:, 0]).max() > 360.0:
        return
    tiles = spread(corners, moved)
    x, y = middles(tiles)
    # Edges are straight in degrees, which is bent by so much on the sphere.
    bent = km**2 / (8 * EARTH_RADIUS_KM) * abs(np.tan(np.radians(lat)))
    # Nearer to a pole than 85 degrees a vector area alone tells, to 4 mm of a tile of 1 m.
    exact = 1e-8 if abs(lat) < 84.0 else 1e-8 / km
    assert (distance_km(x, y, lon, lat) < 1e-6 * km + 2 * bent + exact).all()
    np.testing.assert_allclose(areas_km2(tiles), km**2, rtol=0.03)
    for tile in tiles:
        west, south, east, north = tile.bounds
        assert -180.0 <= west < east <= 180.0
        assert -90.0 <= south < north <= 90.0
        assert tile.is_valid
        assert tile.intersects(shapely.Point(wrap_lon(lon), lat).buffer(1e-9))


@pytest.mark.parametrize("pole", [90.0, -90.0])
@pytest.mark.parametrize("direction", [1, -1])
def test_the_pole_in_a_ring_about_it_is_left_out(pole: float, direction: int) -> None:
    ring = np.arange(-180.0, 180.0, 5.0)[::direction]
    lat = np.full(len(ring), np.sign(pole) * 80.0)
    [cap] = spread(shapely.Polygon(np.stack([ring, lat], axis=1)))
    assert cap.covers(shapely.Point(33.0, np.sign(pole) * 89.9))
    assert not cap.covers(shapely.Point(33.0, np.sign(pole) * 79.0))
    assert middles(np.array([cap]))[1][0] == pytest.approx(pole, abs=1e-6)
    share = (1 - np.sin(np.radians(80.0))) / 2
    assert areas_km2(np.array([cap]))[0] == pytest.approx(share * 4 * np.pi * EARTH_RADIUS_KM**2)
    whole = shapely.box(-180.0, *sorted([np.sign(pole) * 80.0, pole])[:1], 180.0, max(pole, -80.0))
    assert areas_km2(spread(whole))[0] == pytest.approx(areas_km2(np.array([cap]))[0])


@pytest.mark.parametrize("kind", ["h3", "s2", "majortom", "mgrs"])
def test_cells_of_a_grid_leave_gaps_on_the_sphere(kind: str) -> None:
    if kind in ("h3", "s2"):
        pytest.importorskip({"h3": "h3", "s2": "s2geometry"}[kind])
    if kind == "h3":
        import h3

        ids = [cell for top in h3.get_res0_cells() for cell in h3.cell_to_children(top, 1)]
    elif kind == "s2":
        lon, lat = np.meshgrid(np.arange(-179.0, 180.0, 2.0), np.arange(-89.0, 90.0, 2.0))
        ids = sorted({*grid("s2:level=3").cells(lon.ravel(), lat.ravel())})
    else:
        ids = {"majortom": ["1001U_3R", "0U_0R"], "mgrs": ["01XDJ", "60XWP", "31UFU"]}[kind]
    shapes = on_sphere(grid(kind).shapes(ids))
    assert shapely.is_valid(shapes).all()
    areas = areas_km2(shapes)
    if kind in ("h3", "s2"):
        assert areas.sum() == pytest.approx(4 * np.pi * EARTH_RADIUS_KM**2, rel=1e-4)
    assert (areas > 0.0).all()


def test_holes_and_parts_count_for_nothing() -> None:
    hole = shapely.box(0, 0, 10, 10).difference(shapely.box(5, 0.5, 9.5, 9.5))
    parts = shapely.MultiPolygon([shapely.box(170, 0, 180, 2), shapely.box(-180, 0, -176, 2)])
    crossing = shapely.Polygon(
        [[170, 0], [-170, 0], [-170, 10], [170, 10]],
        [[[-179, 4], [-179, 6], [-175, 6], [-175, 4]]],
    )
    shapes = spread(hole, parts, crossing)
    lon, _ = middles(shapes)
    assert lon[0] < 4.5
    assert lon[1] == pytest.approx(177.0)
    assert 177.0 < lon[2] < 180.0  # away from the hole
    areas = areas_km2(shapes)
    boxes = [shapely.box(0, 0, 10, 10), shapely.box(5, 0.5, 9.5, 9.5), shapely.box(0, 4, 4, 6)]
    whole, taken, less = areas_km2(np.array(boxes))
    assert areas[0] == pytest.approx(whole - taken)
    assert areas[2] == pytest.approx(2 * whole - less, rel=1e-9)
    assert not shapes[2].covers(shapely.Point(-177, 5))


def test_missing_footprints_are_somewhere() -> None:
    shapes = spread(None, shapely.Polygon(), shapely.box(0, 0, 1, 1))
    lon, lat = middles(shapes)
    assert np.isnan(lon).tolist() == np.isnan(lat).tolist() == [True, True, False]
    assert areas_km2(shapes)[:2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (shapely.box(-100, 0, 100, 1).segmentize(10.0), "is 200 degrees wide, more than 180, and"),
        (shapely.Polygon([[0, 0], [1, 1], [1, 0], [0, 1]]), r"1 geometry .*valid \(Self-inters"),
        (shapely.Polygon([[179, 0], [-179, 2], [-179, 0], [179, 2]]), "is not valid"),
        (shapely.box(5e5, 1e5, 6e5, 2e5), "coordinates that are no degrees"),
        (shapely.box(0, 0, 1, 95), "coordinates that are no degrees"),
        (shapely.Polygon([[179, 0], [-179, 0], [179, 0], [179, 0]]), "has no area|not valid"),
    ],
)
def test_a_footprint_that_is_none_is_taken(shape: Any, said: str) -> None:
    with pytest.raises(WherefromError, match=rf"a\.parquet: .*{said}") as refused:
        on_sphere(np.array([shapely.box(0, 0, 1, 1), shape]), "a.parquet", first=40)
    assert "row 41" in str(refused.value)


@pytest.mark.parametrize(
    "box", [(-10.0, 0.0, 180.0, 80.0), (-100.0, 0.0, 100.0, 10.0), (-150.0, -10.0, 150.0, 10.0)]
)
def test_a_polygon_of_half_the_earth_is_taken_for_the_other_half(box: tuple[float, ...]) -> None:
    with pytest.raises(WherefromError, match="have an edge over more than 180 degrees"):
        spread(shapely.box(*box))
    [cut] = spread(shapely.segmentize(shapely.box(-60.0, 0.0, 60.0, 10.0), 5.0))
    assert cut.bounds == (-60.0, 0.0, 60.0, 10.0)
    # From part to part there is no edge.
    parts = [shapely.box(150.0, -30.0, 180.0, 30.0), shapely.box(-180.0, -30.0, -160.0, 30.0)]
    assert spread(shapely.MultiPolygon(parts))[0].equals(shapely.MultiPolygon(parts))


def test_a_wide_polygon_across_180_degrees_is_read_so_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    spread(shapely.box(0.0, 0.0, 1.0, 1.0), shapely.box(-179.0, 10.0, 179.0, 12.0))
    assert capsys.readouterr().err == ""
    spread(shapely.box(-170.0, -60.0, 170.0, 60.0))
    assert "row 0 is read as crossing 180 degrees" in capsys.readouterr().err
