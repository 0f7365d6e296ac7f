"""Windows of rasters: the right pixels, wherever on Earth and in whatever projection."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.shutil import copy
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform

from wherefrom.earth import layer
from wherefrom.earth.fetch import find
from wherefrom.earth.sphere import distance_km, offset
from wherefrom.errors import WherefromError
from wherefrom.payload import rasters
from wherefrom.payload.base import Lost, Sought, checked
from wherefrom.payload.rasters import STACK, Raster, Rasters, Source


def smooth(lon: Any, lat: Any) -> Any:
    """A function of the place on the sphere, without a seam or a pole."""
    lam, phi = np.radians(lon), np.radians(lat)
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    return 100 + 10 * np.sin(5 * x + 1) + 10 * np.cos(4 * y) + 10 * np.sin(6 * z + 2 * x)


def at(affine: Affine, column: Any, row: Any) -> tuple[Any, Any]:
    return (
        affine.a * column + affine.b * row + affine.c,
        affine.d * column + affine.e * row + affine.f,
    )


def write(path: Path, values: np.ndarray, affine: Affine, crs: str | None, **more: Any) -> Path:
    values = values[None] if values.ndim == 2 else values
    count, height, width = values.shape
    descriptions = more.pop("descriptions", ())
    kind: dict[str, Any] = {"driver": "GTiff", "dtype": values.dtype, "transform": affine} | more
    with rasterio.open(path, "w", count=count, height=height, width=width, crs=crs, **kind) as out:
        out.write(values)
        if descriptions:
            out.descriptions = descriptions
    return path


def of_function(path: Path, affine: Affine, crs: str, width: int, height: int) -> Path:
    """A raster whose pixels hold `smooth` of their middles."""
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = at(affine, column.ravel(), row.ravel())
    lon, lat = map(np.array, transform(crs, "OGC:CRS84", x, y))
    return write(path, smooth(lon, lat).reshape(height, width).astype(np.float32), affine, crs)


def windows(
    specs: dict[str, Any], lon: Any, lat: Any, size: int = 4, metres: float = 1000.0,
    labelled: bool = False,
) -> tuple[np.ndarray, np.ndarray, Lost]:  # fmt: skip
    """Rows that have a window, in their order, the windows, and what was left out."""
    payload = Rasters.model_validate(
        {"kind": "rasters", "rasters": specs, "window_px": size, "metres_per_px": metres}
    )
    lon, lat = np.atleast_1d(np.asarray(lon, float)), np.atleast_1d(np.asarray(lat, float))
    lost = Lost()
    found = list(checked(payload, Sought(np.arange(len(lon)), lon, lat, labelled), lost))
    if not found:
        return np.empty(0, int), np.empty((0, len(payload.bands), size, size)), lost
    rows = np.concatenate([one for one, _ in found])
    images = np.concatenate([records["images"] for _, records in found])
    assert images.dtype == np.float32
    assert images.shape[1:] == (len(payload.bands), size, size)
    order = np.argsort(rows)
    return rows[order], images[order], lost


def middles(lon: float, lat: float, size: int, metres: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the middles of a window's pixels lie, (size, size)."""
    step = (np.arange(size) - (size - 1) / 2) * metres / 1000
    east, north = np.meshgrid(step, -step)
    return offset(lon, lat, np.degrees(np.arctan2(east, north)), np.hypot(east, north))


WORLD = {
    "plain": (Affine(0.25, 0, -180, 0, -0.25, 90), "EPSG:4326", 1440, 720),
    "0..360": (Affine(0.25, 0, 0, 0, -0.25, 90), "EPSG:4326", 1440, 720),
    "south up": (Affine(0.25, 0, -180, 0, 0.25, -90), "EPSG:4326", 1440, 720),
    "overlapping": (Affine(0.25, 0, -180.25, 0, -0.25, 90), "EPSG:4326", 1442, 720),
    "mollweide": (from_origin(-18.1e6, 9.1e6, 25e3, 25e3), "ESRI:54009", 1448, 728),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("world")
    made = {}
    for name, (affine, crs, width, height) in WORLD.items():
        path = folder / f"{name}.tif"
        if name == "mollweide":
            column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
            x, y = at(affine, column.ravel(), row.ravel())
            # Its rim is no place on Earth.
            inside = (x / 18040095.7) ** 2 + (y / 9020047.8) ** 2 < 1
            values = np.full(len(x), np.nan, np.float32)
            lon, lat = map(np.array, transform(crs, "OGC:CRS84", x[inside], y[inside]))
            values[inside] = smooth(lon, lat)
            made[name] = write(path, values.reshape(height, width), affine, crs)
        else:
            column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
            lon, lat = at(affine, column, row)
            made[name] = write(path, smooth(lon, lat).astype(np.float32), affine, crs)
    return made


@pytest.mark.parametrize("name", WORLD)
@given(
    lon=st.floats(-180, 180), lat=st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0])),
    how=st.sampled_from(["nearest", "mean", "bilinear"]), metres=st.sampled_from([500.0, 9e4]),
)  # fmt: skip
def test_a_window_anywhere_on_earth_is_of_another_place(
    world: dict[str, Path], name: str, lon: float, lat: float, how: str, metres: float
) -> None:
    spec = {"path": str(world[name]), "resampling": how, "fill": "nan"}
    rows, images, _ = windows({"r": spec}, lon, lat, 5, metres)
    assert rows.tolist() == [0]
    truth = smooth(*middles(lon, lat, 5, metres))
    there = np.isfinite(images[0, 0])
    assert there.all() or name == "mollweide"
    # Half a pixel of 28 km, of at most 0.02 a km; a mean over 90 km also bends a little.
    assert np.abs(images[0, 0] - truth)[there].max(initial=0) < 0.75


def test_windows_are_mirrored_or_their_pixels_are_of_another_size(tmp_path: Path) -> None:
    # One value for lon, one for lat, at Berlin: row 0 is north, column 0 west, a pixel 10 km.
    lon, lat = np.meshgrid(np.arange(10, 17, 0.01) + 0.005, np.arange(55, 50, -0.01) - 0.005)
    values = np.stack([lon, lat]).astype(np.float32)
    path = write(tmp_path / "a.tif", values, from_origin(10, 55, 0.01, 0.01), "EPSG:4326")
    _, images, _ = windows({"r": {"path": str(path), "resampling": "bilinear"}}, 13.4, 52.5, 3, 1e4)
    lon, lat = images[0].astype(float)
    assert (np.diff(lon, axis=1) > 0).all()
    assert (np.diff(lat, axis=0) < 0).all()
    assert distance_km(lon[1, 0], lat[1, 0], lon[1, 1], lat[1, 1]) == pytest.approx(10, abs=0.05)
    assert distance_km(lon[0, 1], lat[0, 1], lon[1, 1], lat[1, 1]) == pytest.approx(10, abs=0.05)
    assert (lon[1, 1], lat[1, 1]) == (pytest.approx(13.4, abs=1e-3), pytest.approx(52.5, abs=1e-3))


#: Affine, CRS, size, and a place well inside.
REGIONAL = {
    "utm": (from_origin(4.2e5, 5.8e6, 100, 100), "EPSG:32633", 800, 800, (14.4, 51.9)),
    "rotated": (
        Affine(173.2, 100, 4e5, 100, -173.2, 5.8e6), "EPSG:32633", 600, 600, (14.8, 52.3),
    ),
    "web mercator": (from_origin(1.1e6, 6.9e6, 300, 300), "EPSG:3857", 800, 800, (11.0, 52.0)),
    "mercator beyond 180": (
        from_origin(19.6e6, 4e5, 1000, 1000), "EPSG:3857", 1000, 800, (180.0, 0.1),
    ),
    "north pole": (from_origin(-5e5, 5e5, 1000, 1000), "EPSG:3413", 1000, 1000, (100.0, 89.99)),
    "south pole": (from_origin(-5e5, 5e5, 1000, 1000), "EPSG:3031", 1000, 1000, (0.0, -90.0)),
    "feet": (from_origin(9e5, 3e5, 300, 300), "EPSG:2263", 500, 900, (-74.0, 40.7)),
    "equal area": (from_origin(4.4e6, 3.3e6, 1000, 1000), "EPSG:3035", 300, 300, (13.0, 52.0)),
    "fiji": (from_origin(7e5, 8.15e6, 300, 300), "EPSG:32760", 800, 800, (179.99, -17.9)),
    "nad27": (from_origin(-100, 41, 0.002, 0.002), "EPSG:4267", 1000, 1000, (-99.0, 40.0)),
    "degrees beyond 180": (from_origin(170, 10, 0.02, 0.02), "EPSG:4326", 1000, 1000, (-179.9, 0)),
}  # fmt: skip


@pytest.mark.parametrize("how", ["nearest", "mean", "bilinear"])
@pytest.mark.parametrize("name", REGIONAL)
def test_a_raster_in_metres_is_read_beside_the_place(tmp_path: Path, name: str, how: str) -> None:
    affine, crs, width, height, (lon, lat) = REGIONAL[name]
    path = of_function(tmp_path / "a.tif", affine, crs, width, height)
    far = (lon + 10) % 360 - 180
    for metres in (50.0, 2000.0):
        # Places on the other side of the Earth take no part.
        rows, images, lost = windows(
            {"r": {"path": str(path), "resampling": how}}, [lon, far], [lat, -lat], 8, metres
        )
        assert rows.tolist() == [0], lost
        truth = smooth(*middles(lon, lat, 8, metres))
        assert np.abs(images[0, 0] - truth).max() < (0.02 if how == "bilinear" else 0.04)
        assert "lies outside" in str(lost)


def test_a_mean_of_fine_pixels_is_of_one_of_them(tmp_path: Path) -> None:
    # A chequer of 0 and 1 in 10 m, and noise: pixels of 300 m see 0.5 and the noise's mean.
    rng = np.random.default_rng(1)
    chequer = np.indices((800, 800)).sum(0) % 2
    values = np.stack([chequer, rng.random((800, 800))]).astype(np.float32)
    path = write(tmp_path / "a.tif", values, from_origin(4e5, 5.8e6, 10, 10), "EPSG:32633")
    (lon,), (lat,) = transform("EPSG:32633", "OGC:CRS84", [4.04e5], [5.796e6])
    for how in ("mean", "bilinear"):
        _, images, _ = windows({"r": {"path": str(path), "resampling": how}}, lon, lat, 8, 300)
        assert np.abs(images[0, 0] - 0.5).max() < 0.01
        assert np.abs(images[0, 1] - 0.5).max() < 0.06
        truth = values[1].reshape(800, 800)
        # The window's middle lies at (400, 400): its pixels are squares of 30 x 30.
        due = [truth[r : r + 30, 400:430].mean() for r in range(280, 520, 30)]
        assert np.abs(images[0, 1, :, 4] - due).max() < 0.01


def test_means_at_high_latitudes_skip_columns(tmp_path: Path) -> None:
    # At 80 degrees six columns of 0.05 degrees lie in one pixel of 5.6 km.
    rng = np.random.default_rng(1)
    noise = rng.random((400, 7200)).astype(np.float32)
    path = write(tmp_path / "a.tif", noise, from_origin(-180, 90, 0.05, 0.05), "EPSG:4326")
    lon, lat = np.linspace(-179, 179, 50), np.full(50, 80.0)
    _, images, _ = windows({"r": {"path": str(path)}}, lon, lat, 8, 5560.0)
    # Standard deviation 0.29 of one, 0.12 of six.
    assert images.std() < 0.14


def test_overviews_of_a_large_raster_are_not_used_or_are_shifted(tmp_path: Path) -> None:
    affine, crs, width, height, (lon, lat) = REGIONAL["utm"]
    plain = of_function(tmp_path / "plain.tif", affine, crs, width, height)
    cog = tmp_path / "cog.tif"
    with rasterio.open(plain) as source:
        copy(source, cog, driver="COG", blocksize=128, overview_resampling="average")
    for how in ("mean", "bilinear"):
        found = [
            windows({"r": {"path": str(path), "resampling": how}}, lon, lat, 8, 3000.0)[1]
            for path in (plain, cog)
        ]
        assert np.abs(found[0] - found[1]).max() < 0.02
    sampled = Raster(path=str(cog)).sampled(3000.0)
    assert sampled._size[0] < width / 7
    # Classes and nearest pixels are of the pixels themselves.
    assert Raster(path=str(cog), resampling="nearest").sampled(3000.0)._size[0] == width


def vrt(path: Path, tiles: list[tuple[Path, int]], width: int, height: int, affine: Affine) -> Path:
    sources = "".join(
        f"<SimpleSource><SourceFilename relativeToVRT='1'>{tile.name}</SourceFilename>"
        f"<SourceBand>1</SourceBand><SrcRect xOff='0' yOff='0' xSize='100' ySize='{height}'/>"
        f"<DstRect xOff='{begin}' yOff='0' xSize='100' ySize='{height}'/></SimpleSource>"
        for tile, begin in tiles
    )
    path.write_text(
        f"<VRTDataset rasterXSize='{width}' rasterYSize='{height}'><SRS>EPSG:32633</SRS>"
        f"<GeoTransform>{','.join(map(str, affine.to_gdal()))}</GeoTransform>"
        "<VRTRasterBand dataType='Float32' band='1'><NoDataValue>-1</NoDataValue>"
        f"{sources}</VRTRasterBand></VRTDataset>"
    )
    return path


def test_tiles_of_a_vrt_are_no_part_of_what_is_read(tmp_path: Path) -> None:
    affine = from_origin(5e5, 5.7e6, 100, 100)
    tiles = []
    for number, begin in enumerate((0, 100)):
        tile = write(tmp_path / f"{number}.tif", np.full((100, 100), 1.0 + number, np.float32),
                     from_origin(5e5 + 100 * begin, 5.7e6, 100, 100), "EPSG:32633")  # fmt: skip
        tiles.append((tile, begin))
    both = vrt(tmp_path / "a.vrt", tiles, 300, 100, affine)
    lon, lat = transform("EPSG:32633", "OGC:CRS84", [5.1e5, 5.25e5], [5.695e6, 5.695e6])
    rows, images, lost = windows({"r": {"path": str(both)}}, lon, lat, 4, 100)
    assert rows.tolist() == [0]
    assert np.unique(images).tolist() == [1, 2]
    assert (np.diff(images[0, 0], axis=1) >= 0).all()
    assert "place 1 has no value in" in str(lost)
    payload = Rasters(kind="rasters", rasters={"r": Raster(path=str(both))})
    assert [Path(file).name for file in payload.files] == ["a.vrt", "0.tif", "1.tif"]
    tiles[1][0].unlink()
    with pytest.raises(WherefromError, match=r"a\.vrt is damaged, or lacks a tile"):
        windows({"r": {"path": str(both)}}, lon, lat, 4, 100)


# What is missing.


@pytest.fixture
def square(tmp_path: Path) -> Path:
    """100 x 100 pixels of 1 km of 7, of which the western half is nodata."""
    values = np.full((100, 100), 7, np.int16)
    values[:, :50] = -32768
    return write(tmp_path / "square.tif", values, from_origin(5e5, 5.7e6, 1000, 1000), "EPSG:32633",
                 nodata=-32768)  # fmt: skip


def places(*metres: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Places by kilometres east and south of the corner of `square`."""
    x, y = [5e5 + 1000 * one for one, _ in metres], [5.7e6 - 1000 * one for _, one in metres]
    lon, lat = transform("EPSG:32633", "OGC:CRS84", x, y)
    return np.array(lon), np.array(lat)


def test_windows_at_a_rim_are_filled_without_being_asked(square: Path) -> None:
    # Inside; across nodata; nodata alone; across the rim; outside; on the other side of the Earth.
    lon, lat = places((80, 50), (50, 50), (20, 50), (99, 50), (130, 50))
    lon, lat = np.append(lon, lon[0] - 180), np.append(lat, -lat[0])
    spec: dict[str, Any] = {"path": str(square)}
    rows, images, lost = windows({"r": spec}, lon, lat, 4, 1000)
    assert rows.tolist() == [0]
    assert (images == 7).all()
    assert len(lost) == 5
    assert f"lies outside {square}" in str(lost)
    assert "(fill states one)" in str(lost)
    rows, images, lost = windows({"r": spec | {"fill": -1}}, lon, lat, 4, 1000)
    assert rows.tolist() == [0, 1, 2, 3]
    assert np.unique(images[1]).tolist() == [-1, 7]
    assert (images[2] == -1).all()
    assert images[3, 0, 0].tolist() == [7, 7, 7, -1]
    assert len(lost) == 2
    _, images, _ = windows({"r": spec | {"fill": "nan"}}, lon, lat, 4, 1000)
    assert np.isnan(images[2]).all()


def test_nodata_is_averaged_in(square: Path) -> None:
    lon, lat = places((50, 50))
    for how in ("mean", "bilinear"):
        spec = {"path": str(square), "fill": "nan", "resampling": how}
        _, images, _ = windows({"r": spec}, lon, lat, 5, 3000)
        assert images[np.isfinite(images)] == pytest.approx(7)
        assert np.isnan(images).any()


def test_a_stated_nodata_or_one_of_another_type_is_a_value(tmp_path: Path) -> None:
    values = np.full((100, 100), 241, np.uint8)
    values[:, :50] = 9
    path = write(tmp_path / "a.tif", values, from_origin(5e5, 5.7e6, 1000, 1000), "EPSG:32633")
    lon, lat = places((80, 50), (20, 50))
    # -9999 as a byte would be 241.
    rows, *_ = windows({"r": {"path": str(path), "nodata": -9999}}, lon, lat, 4, 1000)
    assert rows.tolist() == [0, 1]
    rows, *_ = windows({"r": {"path": str(path), "nodata": 9}}, lon, lat, 4, 1000)
    assert rows.tolist() == [0]


def test_an_alpha_band_is_a_channel_and_no_mask(tmp_path: Path) -> None:
    values = np.full((4, 100, 100), 50, np.uint8)
    values[3, :, :50] = 0
    path = write(tmp_path / "a.tif", values, from_origin(5e5, 5.7e6, 1000, 1000), "EPSG:32633",
                 photometric="RGB", alpha="YES")  # fmt: skip
    lon, lat = places((80, 50), (20, 50))
    rows, images, _ = windows({"r": {"path": str(path)}}, lon, lat, 4, 1000)
    assert rows.tolist() == [0]
    assert images.shape[1] == 3


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]
)
def test_a_type_of_pixels_is_not_read(tmp_path: Path, dtype: str) -> None:
    values = np.full((20, 20), 100, dtype)
    path = write(tmp_path / "a.tif", values, from_origin(5e5, 5.7e6, 1000, 1000), "EPSG:32633")
    for how in ("nearest", "mean", "bilinear"):
        spec = {"path": str(path), "resampling": how}
        assert windows({"r": spec}, *places((10, 10)), 4, 2500)[1] == pytest.approx(100)


# Bands, scales, classes.


@pytest.fixture
def two(tmp_path: Path) -> Path:
    values = np.stack([np.full((50, 50), 10), np.full((50, 50), 20)]).astype(np.int16)
    path = write(tmp_path / "two.tif", values, from_origin(5e5, 5.7e6, 1000, 1000), "EPSG:32633",
                 descriptions=("red", "nir"))  # fmt: skip
    with rasterio.open(path, "r+") as out:
        out.scales, out.offsets = (0.1, 0.01), (0.0, 5.0)
    return path


def test_bands_are_mistaken_for_each_other(two: Path) -> None:
    there = places((25, 25))
    for bands, due, names in (
        ((), [1, 5.2], ("r:red", "r:nir")),
        (("nir", "red"), [5.2, 1], ("r:nir", "r:red")),
        ((2,), [5.2], ("r:2",)),
    ):
        spec = {"path": str(two), "bands": bands}
        _, images, _ = windows({"r": spec}, *there)
        assert images[0, :, 0, 0] == pytest.approx(due)
        assert Rasters(kind="rasters", rasters={"r": Raster.model_validate(spec)}).bands == names
    for scale, due in ((1, [10, 25]), ([2, 3], [20, 65])):
        _, images, _ = windows({"r": {"path": str(two), "scale": scale}}, *there)
        assert images[0, :, 0, 0].tolist() == due
    for bad in ({"bands": ["nri"]}, {"bands": [3]}, {"scale": [1, 2, 3]}, {"classes": {"a": 1}}):
        with pytest.raises(WherefromError, match=r"two\.tif") as caught:
            windows({"r": {"path": str(two)} | bad}, *there)
        assert "\n" not in str(caught.value)


def test_shares_of_classes_are_means_of_codes(tmp_path: Path) -> None:
    codes = np.full((100, 100), 1, np.uint8)
    codes[:, 50:] = 3
    codes[:, 80:] = 255
    codes[:50] = 9
    path = write(tmp_path / "a.tif", codes, from_origin(5e5, 5.7e6, 1000, 1000), "EPSG:32633",
                 nodata=255)  # fmt: skip
    spec = {"path": str(path), "classes": {"one": 1, "some": [2, 3]}, "fill": 0}
    there = places((50, 75), (50, 25), (80, 75), (90, 75))
    _, images, _ = windows({"r": spec}, *there, 1, 10_000)
    assert images[:, :, 0, 0] == pytest.approx(
        np.array([[0.5, 0.5], [0, 0], [0, 1], [0, 0]]), abs=0.11
    )
    assert images[2, 1, 0, 0] == pytest.approx(1)
    _, images, _ = windows({"r": spec | {"resampling": "nearest"}}, *there, 1, 10_000)
    assert set(np.unique(images)) == {0, 1}
    assert (windows({"r": spec | {"hidden": True}}, *there, labelled=True)[1] == 0).all()


# Bad input: one clear line.


def test_what_is_no_raster_is_read_or_refused_without_a_remedy(tmp_path: Path, two: Path) -> None:
    html, lfs, empty, text = (tmp_path / f"{n}.tif" for n in ("html", "lfs", "empty", "text"))
    html.write_text("<!DOCTYPE html><html>Not found</html>")
    lfs.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    empty.write_bytes(b"")
    text.write_text("Access denied")
    torn = tmp_path / "torn.tif"
    torn.write_bytes(two.read_bytes()[:700])
    broken = tmp_path / "broken.vrt"
    broken.write_text("<VRTDataset>")
    for path, said in (
        (tmp_path / "none.tif", "no such file"), (html, "web page"), (lfs, "git lfs pull"),
        (empty, "empty"), (text, "Access denied"), (tmp_path, "folder"), (torn, "torn.tif"),
        (broken, "broken.vrt cannot be read as a raster"),
    ):  # fmt: skip
        with pytest.raises(WherefromError, match=said) as caught:
            windows({"r": {"path": str(path)}}, 15.0, 51.0)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        # It must not stop a plan before the raster is asked for.
        assert Rasters(kind="rasters", rasters={"r": Raster(path=str(path))}).files[0] == str(path)


def test_a_raster_of_no_or_a_wrong_crs_is_read_anyway(tmp_path: Path) -> None:
    values = np.ones((100, 100), np.uint8)
    metres, degrees = from_origin(5e5, 5.7e6, 1000, 1000), from_origin(10, 55, 0.1, 0.1)
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    for affine, crs, said in (
        (metres, None, "has no CRS"),
        (metres, "EPSG:4326", "are no degrees"),
        (degrees, "EPSG:32633", "look like degrees"),
        (metres, local, "no place on Earth"),
        (Affine.identity(), "EPSG:4326", "geotransform"),
        (from_origin(9e8, 9e8, 10, 10), "ESRI:54009", "nowhere on Earth"),
    ):
        path = write(tmp_path / "a.tif", values, affine, crs)
        with pytest.raises(WherefromError, match=said) as caught:
            windows({"r": {"path": str(path)}}, 15.0, 51.0)
        assert "\n" not in str(caught.value)
    for affine, wrong, right in (
        (metres, None, "EPSG:32633"), (metres, "EPSG:4326", "EPSG:32633"),
        (degrees, "EPSG:32633", "OGC:CRS84"),
    ):  # fmt: skip
        path = write(tmp_path / "a.tif", values, affine, wrong)
        assert windows({"r": {"path": str(path), "crs": right}}, 15.1, 51.2)[0].tolist() == [0]
    with pytest.raises(WherefromError, match="crs 'EPSG:1' is none that is known"):
        windows({"r": {"path": str(path), "crs": "EPSG:1"}}, 15.0, 51.0)
    ends = [(row, column) for row in (0, 9) for column in (0, 9)]
    gcps = [GroundControlPoint(row, column, 10 + column, 50 - row) for row, column in ends]
    with rasterio.open(path, "w", driver="GTiff", width=9, height=9, count=1, dtype="uint8",
                       gcps=gcps, crs="EPSG:4326") as out:  # fmt: skip
        out.write(values[None, :9, :9])
    with pytest.raises(WherefromError, match=r"has no CRS|control points alone"):
        windows({"r": {"path": str(path)}}, 15.0, 51.0)


def test_far_too_fine_pixels_are_read_without_overviews(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((100, 100), np.uint8), from_origin(5e5, 5.7e6, 1, 1),
                 "EPSG:32633")  # fmt: skip
    with pytest.raises(WherefromError, match="gdaladdo"):
        windows({"r": {"path": str(path)}}, *places((0.05, 0.05)), 4, 5000)
    with pytest.raises(WherefromError, match="resampling: nearest"):
        windows({"r": {"path": str(path), "classes": {"a": 1}}}, *places((0.05, 0.05)), 4, 5000)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "either path, a file, or source"),
        ({"path": "a.tif", "source": "altitude"}, "either path, a file, or source"),
        ({"source": "altitud"}, "altitude"),
        ({"path": "a.tif", "bands": [1, "1"]}, "twice"),
        ({"path": "a.tif", "classes": {"a": 1, "b": [1, 2]}}, "of two classes"),
        ({"path": "a.tif", "classes": {"a": 1}, "scale": 2}, "no scale"),
        ({"path": "a.tif", "resampling": "cubic"}, "nearest"),
    ],
)
def test_fields_that_contradict_each_other_are_taken(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Raster.model_validate(wrong)
    with pytest.raises(ValueError, match="a quarter of the Earth"):
        Rasters(kind="rasters", window_px=1000, metres_per_px=2e4)


def test_order_of_rasters_or_classes_does_not_count_but_where_files_lie_does() -> None:
    one, two = Raster(path="a.tif"), Raster(path="b.tif", classes={"x": 1, "y": 2})
    forth = Rasters(kind="rasters", rasters={"a": one, "b": two}).settings()
    back = Rasters(kind="rasters", rasters={"b": two, "a": one}).settings()
    turned = two.model_copy(update={"classes": {"y": 2, "x": 1}})
    moved = two.model_copy(update={"path": "elsewhere/b.tif"})
    assert forth != back
    assert forth != Rasters(kind="rasters", rasters={"a": one, "b": turned}).settings()
    assert forth == Rasters(kind="rasters", rasters={"a": one, "b": moved}).settings()


def test_a_place_depends_on_the_others(world: dict[str, Path]) -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 300), rng.uniform(-90, 90, 300)
    for name in ("plain", "mollweide"):
        for how in ("mean", "bilinear"):
            specs = {"r": {"path": str(world[name]), "resampling": how, "fill": "nan"}}
            _, whole, _ = windows(specs, lon, lat, 4, 9e4)
            _, some, _ = windows(specs, lon[::7], lat[::7], 4, 9e4)
            assert np.array_equal(whole[::7], some, equal_nan=True)


# The built-in stack.


@pytest.fixture
def stack() -> Rasters:
    lacking = [one for one in Rasters(kind="rasters").sources if find(one) is None]
    if lacking:
        pytest.skip(f"not on this machine: wherefrom data fetch {' '.join(lacking)}")
    return Rasters(kind="rasters", window_px=1, metres_per_px=1.0)


def test_the_built_in_stack_says_other_than_the_layers(stack: Rasters) -> None:
    rng = np.random.default_rng(5)
    lon = np.concatenate([rng.uniform(-180, 180, 3000), [-180, 180, 0, 0]])
    lat = np.concatenate([rng.uniform(-90, 90, 3000), [0, 0, 90, -90]])
    _, images, lost = windows(STACK, lon, lat, 1, 1.0)
    assert not lost
    found = dict(zip(stack.bands, images[:, :, 0, 0].T, strict=True))
    assert len(found) == 47
    height = np.nan_to_num(layer("elevation")(lon, lat))
    assert np.allclose(found["relief:metres"], height)
    cover = layer("land_cover")
    shares = np.stack([found[f"land-cover:{name}"] for name in cover.labels], axis=1)
    assert np.array_equal(shares.argmax(axis=1), cover.codes(lon, lat))
    assert set(np.unique(shares)) == {0, 1}
    for name in ("temperature", "precipitation"):
        months = np.stack([found[f"{name}:{month}"] for month in range(1, 13)], axis=1)
        # In the row around a pole even a metre is as wide as many columns.
        away = np.abs(lat) < 89.8
        assert np.array_equal(months[away], layer(name)(lon, lat)[away])
        assert np.allclose(months, layer(name)(lon, lat))
    assert (found["ndvi:minimum"] <= found["ndvi:maximum"]).all()
    blue = found["blue-marble:blue"]
    assert ((blue >= 0) & (blue <= 255)).all()


@pytest.mark.parametrize("source", get_args(Source))
def test_names_of_bands_fit_no_source(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raster = Raster.model_validate(
        {"source": source, "variable": "t2m" if source == "era5-climatology" else ""}
    )
    there = find(source) is not None
    with monkeypatch.context() as patch:
        patch.setattr(rasters, "path_of", lambda name: pytest.fail("fetched to know its bands"))
        names = raster.channels
    assert len(set(names)) == len(names)
    if not there:
        pytest.skip(f"not on this machine: wherefrom data fetch {source}")
    assert len(names) == sum(map(len, raster.sampled(7500.0).numbers))


def test_land_cover_is_shown_of_labelled_places(stack: Rasters) -> None:
    _, shown, _ = windows(STACK, 23.0, 0.5, 4, 7500.0)
    _, hidden, _ = windows(STACK, 23.0, 0.5, 4, 7500.0, labelled=True)
    cover = np.array([name.startswith("land-cover:") for name in stack.bands])
    assert shown[0, cover].sum(axis=0) == pytest.approx(1)
    assert (hidden[0, cover] == 0).all()
    assert np.array_equal(shown[0, ~cover], hidden[0, ~cover])
    assert shown[0, stack.bands.index("ndvi:minimum")].mean() > 0.4


def test_a_plan_does_not_look_at_a_raster(tmp_path: Path) -> None:
    values = np.ones((2, 4, 8), np.float32)
    path = str(write(tmp_path / "a.tif", values, from_origin(0, 4, 1, 1), "EPSG:4326"))
    bare = str(write(tmp_path / "b.tif", values, from_origin(0, 4, 1, 1), None))
    (tmp_path / "c.tif").write_bytes(b"")
    for about, said in (
        ({"path": path}, ""),
        ({"path": path, "bands": [3]}, "unknown band of"),
        ({"path": bare}, "has no CRS: state it"),
        ({"path": str(tmp_path / "c.tif")}, "is empty: download it again"),
    ):
        payload = Rasters.model_validate({"kind": "rasters", "rasters": {"a": about}})
        assert (said in payload.fault()) if said else not payload.fault()
