"""Reading a user's table: every format, and every way in which it can be wrong."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from rasterio.warp import transform

import wherefrom
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, examine, open_pool, read_places, scan
from wherefrom.pool.batches import Ask

LON, LAT = [10.5, -20.25, 179.0], [1.5, -2.0, 89.0]


def geo_metadata(crs: Any = "absent", encoding: str = "WKB") -> dict[bytes, bytes]:
    column: dict[str, Any] = {"encoding": encoding, "geometry_types": ["Point"]}
    if crs != "absent":
        column["crs"] = crs
    about = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return {b"geo": json.dumps(about).encode()}


def geo_table(crs: Any = "absent", encoding: str = "WKB", shapes: Any = None) -> pa.Table:
    shapes = shapely.points(LON, LAT) if shapes is None else shapes
    table = pa.table({"id": [5, 6, 7], "geometry": shapely.to_wkb(shapes)})
    return table.replace_schema_metadata(geo_metadata(crs, encoding))


def test_csv_parquet_and_geoparquet_give_the_same_pool(tmp_path: Path) -> None:
    lines = [f"{i};{x};{y};crop" for i, x, y in zip((5, 6, 7), LON, LAT, strict=True)]
    (tmp_path / "a.csv").write_text("id;lon;lat;use\n" + "\n".join(lines) + "\n")
    pq.write_table(pa.table({"id": [5, 6, 7], "lon": LON, "lat": LAT}), tmp_path / "a.parquet")
    pq.write_table(geo_table(), tmp_path / "b.parquet")
    keys = {Pool.read(tmp_path / name).key for name in ("a.csv", "a.parquet", "b.parquet")}
    assert len(keys) == 1
    assert Pool.read(tmp_path / "a.csv").table.column_names == ["id", "lon", "lat", "use"]


def test_geodataframe_and_pandas_give_the_same_pool() -> None:
    geopandas = pytest.importorskip("geopandas")
    points = geopandas.points_from_xy(LON, LAT)
    frame = geopandas.GeoDataFrame({"id": ["a", "b", "c"]}, geometry=points, crs=4326)
    plain = frame.drop(columns="geometry").assign(x=LON, y=LAT)
    assert Pool.from_table(frame).key == Pool.from_table(plain, lon="x", lat="y").key
    metres = Pool.from_table(frame.to_crs(3857))
    np.testing.assert_allclose([metres.lon, metres.lat], [LON, LAT], atol=1e-9)
    with pytest.raises(WherefromError, match="no CRS"):
        Pool.from_table(frame.set_crs(None, allow_override=True))


def projected(shapes: Any, crs: str) -> Any:
    """Return shapes in degrees in another CRS."""
    return shapely.transform(
        shapes, lambda xy: np.stack(transform("OGC:CRS84", crs, *xy.T.tolist()), axis=1)
    )


def test_projected_crs_is_taken_for_degrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crs = {"type": "ProjectedCRS", "name": "UTM 32N", "id": {"authority": "EPSG", "code": 32632}}
    lon, lat = [9.0, 9.5, 10.0], [50.0, 51.0, 52.0]
    utm = projected(shapely.points(lon, lat), "EPSG:32632")
    pq.write_table(geo_table(crs, shapes=utm), tmp_path / "utm.parquet")
    for read in (Pool.read, scan):
        pool = read(tmp_path / "utm.parquet")
        [batch] = pool.batches(Ask())
        np.testing.assert_allclose([batch.lon, batch.lat], [lon, lat], atol=1e-9)
    said = "utm.parquet: the geometry is in EPSG:32632 and is converted to longitude and latitude"
    assert capsys.readouterr().err.count(said) == 1
    bound = {"type": "BoundCRS", "source_crs": {"type": "GeographicCRS", "name": "WGS 84"}}
    assert len(Pool.from_table(geo_table(bound))) == 3


def test_what_is_no_place_in_its_crs_becomes_one(tmp_path: Path) -> None:
    nowhere = shapely.points([9e9, 1.0, 2.0], [9e9, 1.0, 2.0])
    with pytest.raises(WherefromError, match=r"cannot be converted from EPSG:32632 \("):
        Pool.from_table(geo_table("EPSG:32632", shapes=nowhere))
    with pytest.raises(WherefromError, match="not on the Earth's surface"):
        Pool.from_table(geo_table("EPSG:4978"))


@pytest.mark.parametrize("kind", ["structs", "pairs"])
@pytest.mark.parametrize("noted", ["geoparquet", "geoarrow"])
def test_geometry_of_geoarrow_is_refused(kind: str, noted: str, tmp_path: Path) -> None:
    xy = [{"x": x, "y": y} for x, y in zip(LON, LAT, strict=True)]
    pairs = pa.array([list(each.values()) for each in xy], pa.list_(pa.float64(), 2))
    points = pa.array(xy) if kind == "structs" else pairs
    ring = [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 0.0]]
    if kind == "structs":
        polygons = pa.array([[[{"x": x, "y": y} for x, y in ring]]] * 3)
    else:
        polygons = pa.array([[ring]] * 3, pa.list_(pa.list_(pa.list_(pa.float64(), 2))))
    for name, column in (("point", points), ("polygon", polygons)):
        table = pa.table({"id": [5, 6, 7], "geometry": column})
        if noted == "geoparquet":
            table = table.replace_schema_metadata(geo_metadata(encoding=name))
        else:
            note = {b"ARROW:extension:name": f"geoarrow.{name}".encode()}
            note[b"ARROW:extension:metadata"] = b'{"crs": "OGC:CRS84"}'
            field = pa.field("geometry", column.type, metadata=note)
            table = table.set_column(1, field, column)
        pq.write_table(table, tmp_path / "a.parquet")
        pool = Pool.read(tmp_path / "a.parquet")
        assert pool.extended == (name == "polygon")
        if name == "point":
            assert pool.key == Pool.from_table(geo_table()).key
        else:
            np.testing.assert_allclose(pool.lon, [4 / 3] * 3, atol=1e-3)


def test_geometry_of_another_kind_is_guessed() -> None:
    with pytest.raises(WherefromError, match="no CRS"):
        Pool.from_table(geo_table(None))
    with pytest.raises(WherefromError, match="encoded as 'linestring'"):
        Pool.from_table(geo_table(encoding="linestring"))
    with pytest.raises(WherefromError, match="not GeoArrow's polygon"):
        Pool.from_table(geo_table(encoding="polygon"))
    lines = shapely.linestrings([[[0, 0], [1, 1]]] * 3)
    with pytest.raises(WherefromError, match=r"3 geometries are neither points nor polygons \(fir"):
        Pool.from_table(geo_table(shapes=lines))
    mixed = np.array([shapely.box(0, 0, 1, 1), None, shapely.Point(1, 2)], dtype=object)
    with pytest.raises(WherefromError, match=r"1 point among 1 polygon \(first in row 2\): keep"):
        Pool.from_table(geo_table(shapes=mixed))
    shapes = np.array([shapely.Point(1, 2), None, shapely.Point()], dtype=object)
    with pytest.raises(WherefromError, match="missing or not finite in 2 of 3 rows: 1, 2"):
        Pool.from_table(geo_table(shapes=shapes))
    shapes = np.array([shapely.box(0, 0, 1, 1), None, shapely.Polygon()], dtype=object)
    with pytest.raises(WherefromError, match="missing or not finite in 2 of 3 rows: 1, 2"):
        Pool.from_table(geo_table(shapes=shapes))


def two_columns(footprints: Any) -> pa.Table:
    """Footprints as the first geometry, and points beside them."""
    table = geo_table(shapes=footprints)
    about = json.loads(table.schema.metadata[b"geo"])
    about["columns"]["center"] = about["columns"]["geometry"]
    table = table.append_column("center", pa.array(shapely.to_wkb(shapely.points(LON, LAT))))
    return table.replace_schema_metadata({b"geo": json.dumps(about).encode()})


def test_points_beside_footprints_cannot_be_named(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(two_columns(shapely.box(0, 0, [1, 2, 3], 1)), file)
    assert Pool.read(file).extended
    key = Pool.from_table(geo_table()).key
    for pool in (Pool.read(file, lon="center", lat="center"), scan(file, None, "center", "center")):
        assert (pool.key, pool.columns) == (key, ())
    with pytest.raises(WherefromError, match=r"did you mean 'center'\? Known: geometry, center"):
        Pool.read(file, lon="centre", lat="centre")
    with pytest.raises(WherefromError, match="column 'id' is int64, no geometry"):
        Pool.read(file, lon="id", lat="id")
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.read_parquet(file)
    assert Pool.from_table(frame, lon="center", lat="center").key == key


def test_points_beside_footprints_are_named_on_the_command_line_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(two_columns(shapely.box(0, 0, [1, 2, 3], 1)), file)
    key = Pool.from_table(geo_table()).key
    table = pq.read_table(file)
    for pool in (
        Pool.read(file, geometry="center"),
        Pool.from_table(table, geometry="center"),
        open_pool(file, geometry="center"),
        scan(file, geometry="center"),
    ):
        assert pool.key == key
    assert wherefrom.draw(table, "uniform", 2, geometry="center").num_rows == 2
    with pytest.raises(WherefromError, match="leave lon and lat out"):
        Pool.read(file, lon="x", geometry="center")


@pytest.mark.parametrize("kind", ["points", "footprints", "metres", "exchanged", "elsewhere"])
def test_columns_win_over_another_geometry_without_a_word(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lon, lat = np.array(LON), np.array(LAT)
    shapes = shapely.points(lon, lat)
    if kind == "footprints":
        shapes = shapely.box(lon - 0.1, lat - 0.1, lon + 0.1, lat + 0.1)
    elif kind == "exchanged":
        shapes = shapely.points(lat, lon)
    elif kind == "elsewhere":
        shapes = shapely.points(lon + np.array([0, 0.02, 0]), lat)
    elif kind == "metres":
        shapes = projected(shapes, "EPSG:6933")
    table = geo_table("EPSG:6933" if kind == "metres" else "absent", shapes=shapes)
    table = table.append_column("lon", [lon]).append_column("lat", [lat])
    pq.write_table(table, tmp_path / "a.parquet")
    for read in (Pool.read, scan):
        assert read(tmp_path / "a.parquet").key == Pool.from_table(geo_table()).key
        said = capsys.readouterr().err
        if kind in ("points", "footprints", "metres"):
            assert said == ""
        else:
            rows = "1 of 3 rows looked at (first in row 1)" if kind == "elsewhere" else "3 of 3"
            assert rows in said
            assert ("exchanged" in said) == (kind == "exchanged")
            assert said.count("\n") == 1


def test_the_middle_of_a_footprint_across_the_antimeridian_is_on_the_other_side() -> None:
    pool = Pool.from_table(geo_table(shapes=shapely.box([0, -179.6, 2], 0, [1, 179.3, 3], 1)))
    np.testing.assert_allclose(pool.lon, [0.5, 179.85, 2.5], atol=1e-9)


def test_bytes_without_metadata_are_not_named(tmp_path: Path) -> None:
    pq.write_table(geo_table().replace_schema_metadata(None), tmp_path / "a.parquet")
    with pytest.raises(WherefromError, match="well-known binary in degrees with geometry='geo"):
        Pool.read(tmp_path / "a.parquet")
    pool = Pool.read(tmp_path / "a.parquet", lon="geometry", lat="geometry")
    assert pool.lon.tolist() == LON


@pytest.mark.parametrize("crs", ["OGC:CRS84", None, "EPSG:4978", "nonsense"])
def test_a_crs_that_arrow_notes_is_overlooked(tmp_path: Path, crs: str | None) -> None:
    note = {b"ARROW:extension:name": b"geoarrow.wkb", b"ARROW:extension:metadata": b"{}"}
    if crs is not None:
        note[b"ARROW:extension:metadata"] = json.dumps({"crs": crs}).encode()
    points = pa.array(shapely.to_wkb(shapely.points(LON, LAT)))
    fields = [pa.field("id", pa.int64()), pa.field("at", pa.binary(), metadata=note)]
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table([[5, 6, 7], points], pa.schema(fields)), file)
    for read in (Pool.read, scan):
        if crs == "OGC:CRS84":
            assert read(file).key == Pool.from_table(geo_table()).key
        else:
            with pytest.raises(WherefromError, match=r"no CRS|is in EPSG:4978|none that is known"):
                read(file)


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".shp", ".shp.zip", ".fgb"])
def test_a_format_of_gdal_gives_other_places(tmp_path: Path, suffix: str) -> None:
    shapes, ids, file = shapely.to_wkb(shapely.points(LON, LAT)), [5, 6, 7], tmp_path / f"a{suffix}"
    write = {"geometry_type": "Point", "field_data": [np.array(ids)], "fields": ["id"]}
    pyogrio.raw.write(file, shapes, crs="EPSG:4326", **write)
    pool = Pool.read(file)
    assert sorted(zip(pool.ids.tolist(), pool.lon, strict=True)) == list(zip(ids, LON, strict=True))
    metres = shapely.to_wkb(projected(shapely.points(LON, LAT), "EPSG:6933"))
    pyogrio.raw.write(file, metres, crs="EPSG:6933", **write)
    if suffix != ".geojson":  # which is of degrees, whatever it is given
        assert sorted(Pool.read(file).lon.round(6)) == sorted(LON)
    file.write_bytes(b"{torn")
    with pytest.raises(WherefromError, match=rf"a{suffix} cannot be read"):
        Pool.read(file)


def test_one_layer_of_several_is_taken(tmp_path: Path) -> None:
    shapes, file = shapely.to_wkb(shapely.points(LON, LAT)), tmp_path / "a.gpkg"
    for name in ("one", "two"):
        write = {"geometry_type": "Point", "field_data": [], "fields": [], "append": name == "two"}
        pyogrio.raw.write(file, shapes, layer=name, crs="EPSG:4326", **write)
    with pytest.raises(WherefromError, match=r"has 2 layers of geometry \(one, two\)"):
        Pool.read(file)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK", "is a workbook: save its sheet as .csv"),
        ("a.parquet", b"", "is empty"),
        ("a.parquet", b"lon,lat\n1,2\n", "not a Parquet file"),
        ("a.parquet", b"PAR1 torn away here", "torn Parquet file"),
        ("a.csv", b"lon,lat\n", "columns but no rows"),
        ("a.csv", b"lon,lat\n1,2\n3\n", "not a table of text"),
        ("a.csv", b"lon,lat\n1,2\n3,north\n", "row 1 holds 'north'"),
    ],
)
def test_broken_file_gives_one_clear_error(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WherefromError, match=message):
        Pool.read(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv.gz", "a.parquet", "a.geojson", "a.gpkg", "b/c.parquet"]
)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n", "Git LFS"),
        (b"/annex/objects/SHA256E-s12--4d.csv\n", "git-annex"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<title>Sign in</title>", "web page"),
        (b"<html lang=en>,\n", "web page"),
        (b"<Error><Code>AccessDenied</Code></Error>", "web page"),
    ],
)
def test_what_lies_in_place_of_a_table_is_not_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(WherefromError, match=rf"{name} is a {message}.*, not the file"):
        open_pool(path.parent if "/" in name else path)


def test_a_header_is_taken_for_a_web_page(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("<id>,lon,lat,annex/objects/\n1,2,3,4\n")
    assert Pool.read(tmp_path / "a.csv").columns == ("<id>", "annex/objects/")


def test_parquet_torn_in_the_middle_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "a.parquet"
    lon = np.linspace(-179, 179, 50_000)
    Pool.from_table(pa.table({"lon": lon, "lat": lon / 3})).write(whole)
    content = whole.read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(WherefromError, match=r"cut.parquet is a torn Parquet file"):
        Pool.read(tmp_path / "cut.parquet")
    spoilt = bytearray(content)
    at = len(content) // 2
    spoilt[at : at + 8] = b"\0" * 8
    (tmp_path / "spoilt.parquet").write_bytes(spoilt)
    with pytest.raises(WherefromError, match="torn Parquet file"):
        Pool.read(tmp_path / "spoilt.parquet")


def test_absent_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="no such file"):
        Pool.read(tmp_path / "gone.parquet")
    with pytest.raises(WherefromError, match="is a folder"):
        Pool.read(tmp_path)


def test_likely_columns_are_named_when_lon_is_absent() -> None:
    table = pa.table({"Longitude": LON, "Latitude": LAT})
    with pytest.raises(WherefromError, match="give lon='Longitude', lat='Latitude'"):
        Pool.from_table(table)
    with pytest.raises(WherefromError, match="Columns: a, b"):
        Pool.from_table(pa.table({"a": LON, "b": LAT}))
    with pytest.raises(WherefromError, match=r"unknown id column of table 'nam': did you mean 'na"):
        Pool.from_table(pa.table({"lon": LON, "lat": LAT, "name": ["a", "b", "c"]}), id="nam")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2, None], "is empty in 1 row"),
        ([1.5, 2.0, 3.0], "holds 1.5 in row 0"),
        ([True, False, True], "whole numbers or text"),
    ],
)
def test_ids_of_a_wrong_kind_are_refused(ids: list[Any], message: str) -> None:
    with pytest.raises(WherefromError, match=message):
        Pool.from_table(pa.table({"id": ids, "lon": LON, "lat": LAT}))


def test_ids_that_pandas_made_real_numbers_are_whole_again() -> None:
    pool = Pool.from_table(pa.table({"id": [3.0, 1.0, 2.0], "lon": LON, "lat": LAT}))
    assert pool.ids.dtype == np.int64


def test_coordinates_as_text_and_decimals_are_read() -> None:
    pool = Pool.from_table(pa.table({"lon": [" 1.5", "-2e1", "3"], "lat": ["1", ".5", "-7."]}))
    assert pool.lon.tolist() == [1.5, -20.0, 3.0]
    assert pool.lat.tolist() == [1.0, 0.5, -7.0]


def test_each_fault_is_found_with_its_rows() -> None:
    lon = np.array([10.0, np.nan, 50.0, 200.0, 10.0, 3.0])
    lat = np.array([5.0, 1.0, 140.0, 3.0, 5.0, np.inf])
    found = {f.name: f for f in examine(np.array([1, 2, 3, 1, 5, 6]), lon, lat)}
    rows = {name: finding.rows for name, finding in found.items()}
    assert rows == {
        "missing": (1, 5),
        "swapped": (2,),
        "out-of-range": (3,),
        "duplicate-id": (3,),
        "duplicate-place": (4,),
    }
    assert "subtract 360" in found["out-of-range"].message
    assert "row 0" in found["duplicate-id"].message
    assert [f.name for f in found.values() if not f.error] == ["duplicate-place"]


def test_projected_metres_in_plain_columns_are_recognised() -> None:
    found = examine(np.arange(2), np.array([500_000.0, 1.0]), np.array([4_200_000.0, 2.0]))
    assert all("projected metres" in finding.message for finding in found)


def test_limits_of_the_range_are_valid_places() -> None:
    lon, lat = np.array([-180.0, 180.0, 0.0, 0.0]), np.array([0.0, 0.0, 90.0, -90.0])
    assert examine(np.arange(4), lon, lat) == []


def test_only_the_first_rows_are_listed_but_all_are_counted() -> None:
    finding = examine(np.arange(100), np.full(100, np.nan), np.zeros(100))[0]
    assert finding.count == 100
    assert finding.rows == (0, 1, 2, 3, 4)
    assert "100 of 100 rows: 0, 1, 2, 3, 4, ..." in finding.message


def test_faulty_file_can_be_examined_without_being_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("lon,lat\n1,2\n,3\n")
    places = read_places(tmp_path / "a.csv")
    assert np.isnan(places.lon[1])
    with pytest.raises(WherefromError, match=r"a.csv: lon or lat is missing"):
        Pool.of_places(places)


@pytest.mark.parametrize("call", ["read_places('a.csv')", "scan('f/a.parquet')", "scan('f')"])
@pytest.mark.parametrize("free", [0, 1, 2])
def test_a_table_is_blamed_for_a_limit_of_open_files(tmp_path: Path, call: str, free: int) -> None:
    pytest.importorskip("resource", reason="limits of POSIX")
    (tmp_path / "f").mkdir()
    table = pa.table({"lon": LON, "lat": LAT})
    Pool.from_table(table).write(tmp_path / "f" / "a.parquet")
    (tmp_path / "a.csv").write_text("lon,lat\n1,2\n")
    code = (
        "import os, resource, pyarrow.csv; from wherefrom.pool import read_places, scan\n"
        f"from wherefrom.errors import WherefromError\n{call}\nheld = []\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "try:\n    while True: held.append(os.open('a.csv', os.O_RDONLY))\nexcept OSError: pass\n"
        f"for at in held[:{free}]: os.close(at)\n"
        f"try:\n    {call}\nexcept WherefromError as err: print(err)\nelse: print('read')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "(ulimit -n 4096)" in done.stdout or (free and done.stdout == "read\n"), done.stderr


def test_a_folder_that_cannot_be_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool.from_table(pa.table({"lon": LON, "lat": LAT}))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pool.write(tmp_path / name / "x.parquet")
    list_of = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return list_of(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(WherefromError, match=r"cannot read .*/b: Permission denied"):
        scan(tmp_path)
