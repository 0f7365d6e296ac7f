"""A layer of a file answers as the file does: each polygon, pixel, label and edge of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform

from wherefrom import compose, earth
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import title
from wherefrom.cli.pool import names_of
from wherefrom.earth import Layer, ValueLayer, layer, layer_key
from wherefrom.earth.extent import Extent
from wherefrom.earth.file_layers import file_name_of
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool import label as label_pool

WEST_AND_EAST = (shapely.box(-20, -40, 20, 40), shapely.box(20, -40, 60, 40))


def written(path: Path, shapes: Any, crs: str | None = "EPSG:4326", **columns: Any) -> Path:
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(shapes, dtype=object)),
        field_data=[np.array(values) for values in columns.values()],
        fields=list(columns),
        crs=crs,
        geometry_type="Unknown",
    )
    return path


def zones(path: Path) -> Path:
    return written(path, WEST_AND_EAST, zone_name=np.array(["west", "east"], dtype=object))


def geoparquet(path: Path, shapes: Any, crs: Any, values: list[Any], encoding: str = "WKB") -> Path:
    column = {"encoding": encoding, "geometry_types": ["Polygon"], "crs": crs}
    geo = {"version": "1.1.0", "primary_column": "shape", "columns": {"shape": column}}
    table = pa.table({"zone": values, "shape": list(shapely.to_wkb(np.array(shapes)))})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


def raster(path: Path, values: Any, crs: Any = "EPSG:4326", at: Any = None, **more: Any) -> Path:
    bands = np.atleast_3d(np.asarray(values).T).T
    at = at or from_origin(-180, 90, 360 / bands.shape[2], 180 / bands.shape[1])
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
        dtype=bands.dtype, crs=crs, transform=at, **more,
    ) as opened:  # fmt: skip
        opened.write(bands)
    return path


def in_metres(shapes: Any, crs: str) -> Any:
    return shapely.transform(
        np.array(shapes), lambda xy: np.stack(transform("OGC:CRS84", crs, *xy.T.tolist()), axis=1)
    )


PLACE = st.tuples(st.floats(-180, 180), st.floats(-90, 90))


@st.composite
def polygon(draw: st.DrawFn) -> Any:
    """A convex polygon, perhaps with a hole or in two parts, perhaps beyond the antimeridian."""
    lon, lat = draw(st.floats(-200, 190)), draw(st.floats(-80, 80))
    corners = draw(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=8))
    hull = shapely.MultiPoint([(lon + x, lat + y) for x, y in corners]).convex_hull
    if draw(st.booleans()):
        hull = hull.difference(shapely.box(lon - 1, lat - 1, lon + 1, lat + 1))
    return hull if hull.geom_type in ("Polygon", "MultiPolygon") and hull.area > 1e-6 else (
        shapely.box(lon, lat, lon + 1, lat + 1)
    )  # fmt: skip


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.lists(polygon(), min_size=1, max_size=6),
    names=st.lists(st.sampled_from(["a", "b", "Ünïted, «c»", "", None]), min_size=6, max_size=6),
    places=st.lists(PLACE, min_size=1, max_size=40),
)
def test_a_place_gets_the_label_of_another_polygon(
    tmp_path: Path, shapes: list[Any], names: list[str | None], places: list[tuple[float, float]]
) -> None:
    names = names[: len(shapes)]
    path = tmp_path / "z.fgb"
    pyogrio.raw.write(
        path, geometry=shapely.to_wkb(np.array(shapes)), fields=["zone"], crs="OGC:CRS84",
        field_data=[np.array(names, dtype=object)], geometry_type="Unknown", SPATIAL_INDEX="NO",
    )  # fmt: skip
    places += [(x, y) for shape in shapes for x, y in shapely.get_coordinates(shape)[:2]]
    lon, lat = np.array(places).T
    lon = (lon + 180.0) % 360.0 - 180.0
    found = layer(f"{path}:zone")(lon, lat)
    for x, y, label in zip(lon, lat, found, strict=True):
        turns = shapely.points([x - 360.0, x, x + 360.0], [y] * 3)
        held = [
            name or ""
            for shape, name in zip(shapes, names, strict=True)
            if name and shapely.intersects(shape, turns).any()
        ]
        near = [s for s in shapes if shapely.distance(shapely.boundary(s), turns).min() < 1e-9]
        assert label == next(iter(held), "") or near, (x, y)
    path.unlink()


@pytest.mark.parametrize("ending", ["gpkg", "fgb", "geojson", "shp", "zip"])
def test_a_kind_of_file_cannot_be_a_layer(tmp_path: Path, ending: str) -> None:
    if ending == "zip":
        import zipfile

        zones(tmp_path / "zones.shp")
        with zipfile.ZipFile(tmp_path / "zones.zip", "w") as packed:
            for part in ("shp", "shx", "dbf", "prj"):
                packed.write(tmp_path / f"zones.{part}", f"zones.{part}")
    else:
        zones(tmp_path / f"zones.{ending}")
    found = layer(f"{tmp_path}/zones.{ending}:zone_name")
    assert isinstance(found, Layer)
    assert found.labels == ("east", "west")
    assert found([0.0, 30.0, 90.0], [0.0, 0.0, 0.0]).tolist() == ["west", "east", ""]


def test_coordinates_in_metres_are_taken_for_degrees(tmp_path: Path) -> None:
    metres, lon, lat = in_metres(WEST_AND_EAST, "EPSG:3857"), [0.0, 30.0], [1.0, 1.0]
    path = written(tmp_path / "m.gpkg", metres, "EPSG:3857", zone=np.array(["w", "e"], object))
    assert layer(f"{path}:zone")(lon, lat).tolist() == ["w", "e"]
    crs = CRS.from_epsg(3857).to_dict(projjson=True)
    geo = geoparquet(tmp_path / "m.parquet", metres, crs, ["w", "e"])
    assert layer(f"{geo}:zone")(lon, lat).tolist() == ["w", "e"]
    plain = geoparquet(tmp_path / "d.geoparquet", WEST_AND_EAST, None, ["w", "e"])
    assert layer(f"{plain}:zone")(lon, lat).tolist() == ["w", "e"]
    assert Extent.of(plain).holds(np.array([0.0, 90.0]), np.zeros(2)).tolist() == [True, False]
    lost = written(tmp_path / "lost.fgb", metres, None, zone=np.array(["w", "e"], object))
    with pytest.raises(WherefromError, match=r"lost.fgb:zone: .*no degrees.*name their CRS"):
        layer(f"{lost}:zone")


def test_numbers_are_labels_as_text_and_in_order(tmp_path: Path) -> None:
    boxes = [shapely.box(x, 0, x + 1, 1) for x in (0, 2, 4)]
    path = written(tmp_path / "n.gpkg", boxes, n=np.array([10, 9, 9]), x=np.array([1.0, np.nan, 2]))
    assert layer(f"{path}:n").labels == ("9", "10")
    assert layer(f"{path}:x")([0.5, 2.5, 4.5], [0.5] * 3).tolist() == ["1", "", "2"]
    with pytest.raises(WherefromError, match=r"holds 0\.5, and labels are text or whole numbers"):
        layer(f"{written(tmp_path / 'r.gpkg', boxes, r=np.array([0.5, 1, 2]))}:r")


def test_a_polygon_that_touches_itself_is_refused(tmp_path: Path) -> None:
    # As Natural Earth's Egypt does: a ring that comes back to a vertex of its own.
    ring = [(0, 0), (4, 0), (4, 4), (2, 0.5), (4, 0), (4, -4), (0, -4)]
    loop = shapely.Polygon([(0, 0), (8, 0), (8, 8), (4, 4), (6, 2), (2, 2), (4, 4), (0, 8)])
    assert not shapely.is_valid(loop)
    path = written(tmp_path / "t.gpkg", [loop], z=np.array(["x"], dtype=object))
    assert layer(f"{path}:z")([1.0, 4.0, 7.0], [1.0, 3.0, 1.0]).tolist() == ["x", "", "x"]
    crossed = written(tmp_path / "c.gpkg", [shapely.Polygon(ring)], z=np.array(["x"], object))
    with pytest.raises(WherefromError, match="1 of 1 polygons are not valid"):
        layer(f"{crossed}:z")


def test_polygons_that_overlap_are_not_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    boxes = [shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3), shapely.box(3, 0, 4, 4)]
    path = written(tmp_path / "o.gpkg", boxes, z=np.array(["b", "a", "c"], dtype=object))
    assert layer(f"{path}:z")([1.5, 2.5], [1.5, 2.5]).tolist() == ["b", "a"]
    assert "2 of 3 polygons overlap one of another label" in capfd.readouterr().err
    layer(f"{zones(tmp_path / 'zones.gpkg')}:zone_name")
    assert "overlap" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("zones.gpkg:zone_nam", "column of zones.gpkg: 'zone_nam': did you mean 'zone_name'"),
        ("zones.gpkg", r"say whose values are the labels, .*zones.gpkg:COLUMN; it has zone_name"),
        ("zones.gpk:zone", "there is no file"),
        ("nowhere.gpkg:zone", "there is no file"),
        ("nowhere.tif", "there is no file"),
        (".:zone", "is a folder: name a file"),
        ("points.gpkg:zone", "holds no polygon"),
        ("table.csv:zone", "holds no polygon"),
        ("bow.gpkg:zone", "1 of 1 polygons are not valid"),
        ("words.json:zone", "cannot be read as polygons"),
        ("plain.parquet:zone", "is no GeoParquet"),
        ("points.parquet:zone", "written as point, not as WKB"),
        ("torn.parquet:zone", "cannot be read as polygons"),
        ("one.tif:2", "it has 1 bands, and no band 2"),
        ("lost.tif", "have no CRS"),
        ("nowhere_on_earth.tif", "does not say where on Earth"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_layer_gives_a_traceback(tmp_path: Path, name: str, said: str) -> None:
    text = np.array(["x"], dtype=object)
    zones(tmp_path / "zones.gpkg")
    written(tmp_path / "points.gpkg", [shapely.Point(0, 0)], zone=text)
    bow = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    written(tmp_path / "bow.gpkg", [bow], zone=text)
    (tmp_path / "table.csv").write_text("zone,lon,lat\nx,0,0\n")
    (tmp_path / "words.json").write_text('{"a": 1}')
    pq.write_table(pa.table({"zone": ["x"]}), tmp_path / "plain.parquet")
    geoparquet(tmp_path / "points.parquet", [shapely.Point(0, 0)], None, ["x"], "point")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    metres = from_origin(500_000, 6e6, 10, 10)
    raster(tmp_path / "one.tif", np.ones((4, 8), np.uint8))
    raster(tmp_path / "lost.tif", np.ones((4, 8), np.uint8), None, metres)
    raster(tmp_path / "nowhere_on_earth.tif", np.ones((4, 8), np.uint8), None, Affine.identity())
    with pytest.raises(WherefromError, match=said) as told:
        layer(f"{tmp_path}/{name}")
    assert "\n" not in str(told.value)


def test_a_module_is_taken_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("continent", "wherefrom_outside.bands:belt", "a:b", "own_column", "my.column"):
        assert file_name_of(name) is None, name
    monkeypatch.chdir(tmp_path)
    zones(tmp_path / "zones.gpkg")
    (tmp_path / "continent").write_text("a file of that name")
    assert layer("continent").labels[0] == "Africa"
    assert layer("zones.gpkg:zone_name").name == "zones.gpkg:zone_name"
    found = file_name_of("a:b/c.tif:3")
    assert found is not None
    assert found.part == "3"
    assert title("zones.gpkg:zone_name") == "zone name of zones.gpkg"


def test_a_moved_file_is_another_layer_or_a_changed_one_the_same(tmp_path: Path) -> None:
    path = zones(tmp_path / "zones.gpkg")
    key = layer_key(f"{path}:zone_name")
    (tmp_path / "sub").mkdir()
    moved = tmp_path / "sub" / "other.gpkg"
    moved.write_bytes(path.read_bytes())
    assert layer_key(f"{moved}:zone_name") == key
    path.unlink()
    written(path, WEST_AND_EAST[:1], zone_name=np.array(["north"], dtype=object))
    assert layer(f"{path}:zone_name").labels == ("north",)
    assert layer_key(f"{path}:zone_name") != key
    two = raster(tmp_path / "two.tif", np.arange(64, dtype=np.uint8).reshape(2, 4, 8))
    assert layer_key(str(two)) == layer_key(f"{two}:1") != layer_key(f"{two}:2")


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32"])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32633", "ESRI:54009"])
def test_a_place_gets_the_value_of_another_pixel(tmp_path: Path, kind: str, crs: str) -> None:
    rng = np.random.default_rng(0)
    step = 100_000_000 if kind == "int32" else 1
    values = (rng.integers(0, 9, (40, 60)) * step).astype(kind)
    at = from_origin(170, 40, 0.5, 1) if crs == "EPSG:4326" else from_origin(2e5, 6e6, 9e3, 9e3)
    path = raster(tmp_path / "r.tif", values, crs, at, nodata=values[0, 0])
    found = layer(str(path))
    # On and around it, and anywhere: some coordinates have no places there.
    column, row = rng.uniform(-20, 80, 2000), rng.uniform(-20, 60, 2000)
    lon, lat = (
        np.asarray(axis)
        for axis in transform(crs, "OGC:CRS84", at.a * column + at.c, at.e * row + at.f)
    )
    lon = (lon + 180.0) % 360.0 - 180.0
    lon = np.concatenate([lon, rng.uniform(-180, 180, 500), [0.0, 0.0]])
    lat = np.concatenate([lat, rng.uniform(-90, 90, 500), [90.0, -90.0]])
    inside = (column >= 0) & (column < 60) & (row >= 0) & (row < 40)
    edge = np.minimum(np.abs(column - np.round(column)), np.abs(row - np.round(row))) < 1e-6
    due = np.full(2000, np.nan)
    due[inside] = values[row[inside].astype(int), column[inside].astype(int)]
    due[due == values[0, 0]] = np.nan
    if kind == "float32":
        assert isinstance(found, ValueLayer)
        got = found(lon, lat)
    else:
        assert isinstance(found, Layer)
        got = np.array([np.nan if text == "" else float(text) for text in found(lon, lat)])
    np.testing.assert_array_equal(got[:2000][~edge], due[~edge])
    assert np.isnan(got[2500:]).all()


def test_classes_of_a_raster_are_taken_for_numbers(tmp_path: Path) -> None:
    many = np.arange(2048, dtype=np.int32).reshape(32, 64)
    assert isinstance(layer(str(raster(tmp_path / "many.tif", many))), ValueLayer)
    few = raster(tmp_path / "few.tif", (many % 1000) * 5_000_000)
    assert len(layer(str(few)).labels) == 1000  # type: ignore[union-attr]
    scaled = raster(tmp_path / "scaled.tif", many.astype(np.int16) % 7)
    with rasterio.open(scaled, "r+") as opened:
        opened.scales, opened.offsets = (0.5,), (10.0,)
    found = layer(str(scaled))
    assert isinstance(found, ValueLayer)
    assert found([-179.9], [89.9]).tolist() == [10.0]
    named = raster(tmp_path / "named.tif", np.array([[1, 2], [3, 7]], np.uint8), nodata=7)
    (tmp_path / "named.tif.aux.xml").write_text(
        """<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>
        <FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
        <FieldDefn index="1"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
        <Row index="0"><F>1</F><F>Forest</F></Row><Row index="1"><F>2</F><F>Water</F></Row>
        </GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"""
    )
    found = layer(str(named))
    assert isinstance(found, Layer)
    assert found([-90.0, 90.0, -90.0, 90.0], [45.0, 45.0, -45.0, -45.0]).tolist() == [
        "Forest", "Water", "3", "",
    ]  # fmt: skip


def test_a_mask_beside_the_values_is_not_seen(tmp_path: Path) -> None:
    path = raster(tmp_path / "masked.tif", np.full((2, 4), 5, np.uint8))
    with rasterio.open(path, "r+") as opened:
        opened.write_mask(np.array([[255, 0, 255, 255]] * 2, np.uint8))
    assert layer(str(path))([-170.0, -80.0], [0.0, 0.0]).tolist() == ["5", ""]


def test_samplers_audits_and_extents_do_not_take_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    zones(tmp_path / "zones.gpkg")
    pool = Pool.build(2000, seed=3, within="box=-20,-40,60,40")
    name = "zones.gpkg:zone_name"
    for spec in (f"stratified:layer={name}", f"match:target=land,over={name}"):
        chosen = compose.sampler(spec)
        assert compose.sampler(compose.text_of(chosen)) == chosen
        drawn = compose.drawn(pool, spec, 100)
        assert len(drawn.ids) == 100
    codes, labels = pool.codes(name)
    drawn = compose.drawn(pool, f"stratified:layer={name}", 100)
    assert np.bincount(codes[pool.take(drawn.ids)]).tolist() == [50, 50]
    assert labels == ("east", "west")
    scan = label_pool(pool, [name], tmp_path / "labelled")
    assert name in scan.columns
    asked = Asked(pool, wanted=[name], within=Extent.of(f"{name}=west"))
    assert len(asked.pool) == int((codes == 1).sum())
    assert not Asked(scan, wanted=[name]).own(name)
    with pytest.raises(WherefromError, match="no label 'wst': did you mean 'west'"):
        Extent.of(f"{name}=wst")
    assert earth.available(name)
    assert earth.made_of(name) == {"zones.gpkg"}


def test_numbers_of_a_raster_are_no_column_to_cluster_by(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 60), rng.uniform(-80, 80, 60)
    pool = Pool.from_table(pa.table({"lon": lon, "lat": lat}))
    path = raster(tmp_path / "f.tif", rng.random((18, 36), dtype=np.float32))
    assert len(compose.drawn(pool, f"kmeans:over={path}", 5).ids) == 5
    classes = raster(tmp_path / "c.tif", np.ones((18, 36), np.uint8))
    with pytest.raises(WherefromError, match="holds labels, not values"):
        compose.drawn(pool, f"kmeans:over={classes}", 5)
    with pytest.raises(WherefromError, match="holds values, not labels"):
        pool.codes(str(path))


@pytest.mark.parametrize(
    ("crs", "at"),
    [
        ("EPSG:4326", from_origin(36.7, -1.2, 1e-4, 1e-4)),  # in Nairobi
        ("EPSG:32737", from_origin(250_000, 9_870_000, 10, 10)),
        ("EPSG:4326", from_origin(177.9, -17.8, 1e-4, 1e-4)),  # in Fiji
        ("EPSG:4326", from_origin(179.99, 67.0, 1e-3, 1e-3)),  # in Chukotka
        ("EPSG:3031", from_origin(-40_000, 40_000, 1000, 1000)),  # around the south pole
    ],
    ids=["degrees", "metres", "Fiji", "antimeridian", "pole"],
)
def test_a_label_of_a_small_raster_has_no_land(tmp_path: Path, crs: str, at: Affine) -> None:
    values = np.zeros((80, 80), np.uint8)
    values[10:50, 5:65] = 7
    path = raster(tmp_path / "small.tif", values, crs, at, nodata=255)
    extent = Extent.of(f"{path}=7")
    km2 = extent.land.extent_km2
    pixel = abs(at.a * at.e) / 1e6
    if crs == "EPSG:4326":
        pixel *= (111_195**2) * np.cos(np.radians(at.f))
    assert km2 == pytest.approx(2400 * pixel, rel=0.06)
    lon, lat = extent.land.uniform(200, np.random.default_rng(0))
    assert extent.holds(lon, lat).all()


def test_a_comma_in_a_file_name_parts_it_silently(tmp_path: Path) -> None:
    path = zones(tmp_path / "a,b.gpkg")
    with pytest.raises(WherefromError, match="has a comma, which parts two layers: rename"):
        names_of(f"continent,{path}:zone_name")
    plain = zones(tmp_path / "ab.gpkg")
    assert names_of(f"{plain}:zone_name, continent") == [f"{plain}:zone_name", "continent"]


def test_polygons_out_of_their_system_are_a_traceback(tmp_path: Path) -> None:
    shapes = shapely.to_wkb(np.array([shapely.box(9e9, 9e9, 9.1e9, 9.1e9)]))
    file = tmp_path / "far.gpkg"
    write = {"geometry_type": "Polygon", "fields": ["zone"]}
    pyogrio.raw.write(
        file, shapes, crs="EPSG:32632", field_data=[np.array(["a"], dtype=object)], **write
    )
    with pytest.raises(WherefromError, match=r"EPSG:32632\): 9.1e\+09, 9e\+09 is no place"):
        layer(f"{file}:zone")
