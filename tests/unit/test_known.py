"""Known pools and benchmarks: facts with a source, files told by their columns, layouts read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.known import Known, Reads, entries, entry, overview, recognised, table_of

ALL = list(entries().values())
TOLD = [one for one in ALL if one.reads.required]
FILED = [one for one in ALL if one.reads.layout != "none"]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "known.md"
#: What anyone calls a column: no sign of whose table it is.
ORDINARY = re.findall(
    r"\w+",
    """
    id ID Id fid index idx name label labels class category lon lat Lon Lat LON LAT longitude
    latitude x y X Y geometry geom center centroid wkt polygon date time timestamp year month
    start_date end_date split fold Fold country continent location place site tile file path url
    image crs epsg dataset source type value weight cloud_cover nodata elevation sample_id tile_id
    patch_id image_id location_id item_id
    """,
)
X, Y = [10.5, -20.25, 179.5], [5.25, -33.5, 61.0]


def name_of(one: Known) -> str:
    return one.name


@pytest.mark.parametrize("one", ALL, ids=name_of)
def test_no_fact_stands_without_a_source_or_a_licence(one: Known) -> None:
    assert one.source
    for address in (one.address, *one.source):
        assert re.fullmatch(r"https://\S+", address)
    assert one.licence.strip()
    assert one.citation.strip()
    assert one.title.count("|") == one.licence.count("|") == 0  # they stand in a table


def test_a_count_of_a_part_never_exceeds_the_whole() -> None:
    for one in ALL:
        assert one.places <= one.rows or not one.rows
        for file in one.files:
            assert file.rows <= one.rows or not one.rows
            assert file.places <= one.places or not one.places
    # The files of this one are all of its rows, but for two further names of m-eurosat.
    whole = entry("torchgeo-bench-geography")
    assert sum(file.rows for file in whole.files) + 2 * 4000 == whole.rows


def test_an_entry_with_a_typo_or_half_a_place_is_refused() -> None:
    good = entry("pastis").model_dump()
    with pytest.raises(ValidationError, match="lisence"):
        Known(**good, lisence="MIT")
    with pytest.raises(ValidationError, match="names no field: row"):
        Known(**(good | {"unverified": ("row",)}))
    with pytest.raises(ValidationError, match="source of its facts"):
        Known(**(good | {"source": ()}))
    with pytest.raises(ValidationError, match="lon and lat"):
        Reads(layout="table", lon="x")
    with pytest.raises(ValidationError, match="unless it is none"):
        Reads(layout="table", id="x")
    with pytest.raises(ValidationError, match="unless it is none"):
        Reads(layout="none", geometry="geometry")


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(WherefromError, match="did you mean 'eurosat'"):
        entry("euroset")


def test_the_page_shows_another_table_than_the_catalog_holds() -> None:
    assert overview() in DOCS.read_text()


# Recognising.


@pytest.mark.parametrize("one", TOLD, ids=name_of)
def test_no_table_is_taken_for_a_known_one_by_ordinary_columns(one: Known) -> None:
    assert len(one.reads.required) >= 3
    assert len(set(one.reads.required) - set(ORDINARY)) >= 2


@settings(max_examples=100)
@given(st.sets(st.sampled_from(ORDINARY)), st.data())
def test_a_table_of_ones_own_is_never_recognised(own: set[str], data: st.DataObject) -> None:
    assert recognised(own) is None
    # Nor is a known table that lacks one of its columns taken for itself.
    one = data.draw(st.sampled_from(TOLD))
    lost = data.draw(st.sampled_from(one.reads.required))
    assert recognised(own.union(one.reads.required) - {lost}) != one


@settings(max_examples=50)
@given(st.sampled_from(TOLD), st.sets(st.sampled_from(ORDINARY)))
def test_further_columns_never_hide_a_known_table(one: Known, more: set[str]) -> None:
    found = recognised([*one.reads.required, *more])
    # Another one is right only if it asks for more, and all of that is there.
    assert found is not None
    assert len(found.reads.required) >= len(one.reads.required)
    assert found == one or set(found.reads.required) <= more.union(one.reads.required)
    assert recognised(one.reads.required) == one


def test_the_case_of_a_column_is_part_of_its_name() -> None:
    upper = [name.upper() for name in entry("major-tom-s2l2a").reads.required]
    assert recognised(upper) is None


# Files of the same layout, made here.


def a_table(one: Known) -> pa.Table:
    """Make three rows with the columns that an entry names: text, but for places."""
    reads = one.reads
    named = [reads.id, reads.place, reads.time, reads.cell, reads.test.partition("=")[0]]
    columns: dict[str, Any] = {
        name: [f"{name} {row}" for row in range(3)]
        for name in dict.fromkeys((*reads.required, *named))
        if name
    }
    if reads.time:
        columns[reads.time] = ["2020-01-31", "2020-07-01", "2021-12-24"]
    if reads.test:
        columns[reads.test.partition("=")[0]] = [True, False, False]
    if reads.lon:
        columns |= {reads.lon: X, reads.lat: Y}
    if reads.geometry and not one.format.startswith("GeoJSON"):
        shapes = shapely.points(X, Y)
        as_text = reads.layout == "wkt"
        columns[reads.geometry] = (shapely.to_wkt if as_text else shapely.to_wkb)(shapes)
    return pa.table(columns)


def write_geojson(table: pa.Table, path: Path) -> None:
    """Write points; a column of dates is an object, as the publisher of one has it."""
    features = []
    for row, (x, y) in zip(table.to_pylist(), zip(X, Y, strict=True), strict=True):
        kept = {k: {"0": 20180917} if k == "dates-S2" else v for k, v in row.items()}
        point = {"type": "Point", "coordinates": [x, y]}
        features.append({"type": "Feature", "properties": kept, "geometry": point})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def a_file(one: Known, folder: Path) -> Path:
    """Write a file of an entry's layout: three places."""
    reads = one.reads
    pairs = list(map(list, zip(X, Y, strict=True)))
    made: dict[str, Callable[[], Any]] = {
        "pairs": lambda: pairs,
        "points": lambda: {"n": 3, "points": [[*pair, "Finland"] for pair in pairs]},
        "records": lambda: {
            f"tile {i}": {"lon": x, "lat": y, reads.time: "2020-01-31", "CRS": "EPSG:32631"}
            for i, (x, y) in enumerate(pairs)
        },
    }
    if reads.layout in made:
        path = folder / "places.json"
        path.write_text(json.dumps(made[reads.layout]()))
        return path
    table = a_table(one)
    if one.format.startswith("GeoJSON"):
        write_geojson(table, folder / "places.geojson")
        return folder / "places.geojson"
    if one.format == "CSV":
        pa.csv.write_csv(table, folder / "places.csv")
        return folder / "places.csv"
    geo = {"primary_column": reads.geometry, "columns": {reads.geometry: {"encoding": "WKB"}}}
    noted = {b"geo": json.dumps({"version": "1.0.0"} | geo).encode()} if reads.geometry else None
    pq.write_table(table.replace_schema_metadata(noted), folder / "places.parquet")
    return folder / "places.parquet"


@pytest.mark.parametrize("one", FILED, ids=name_of)
def test_a_file_of_the_layout_opens_with_the_places_it_holds(one: Known, tmp_path: Path) -> None:
    path, reads = a_file(one, tmp_path), one.reads
    table = table_of(one, path)
    for name in (reads.id, reads.lon, reads.lat, reads.place, reads.time, reads.cell):
        assert not name or name in table.column_names
    if reads.required and reads.layout == "table":
        assert recognised(table.column_names) == one
    if reads.layout != "table":
        path = tmp_path / "made.parquet"
        pq.write_table(table, path)
    options = reads.options
    columns = {"id": options.get("--id"), "geometry": options.get("--geometry")}
    columns |= {name: options.get(f"--{name}", name) for name in ("lon", "lat")}
    pool = Pool.read(path, **columns)
    np.testing.assert_allclose(pool.lon, X)
    np.testing.assert_allclose(pool.lat, Y)
    if reads.test:
        name, _, value = reads.test.partition("=")
        assert value in pool.labels(name)


@pytest.mark.parametrize("one", [o for o in ALL if o not in FILED], ids=name_of)
def test_an_entry_without_places_says_where_they_are(one: Known, tmp_path: Path) -> None:
    assert one.caveats
    with pytest.raises(WherefromError, match="has no table of places: "):
        table_of(one, tmp_path / "any.parquet")


def test_polygons_in_text_become_footprints_with_their_dates(tmp_path: Path) -> None:
    one, path = entry("fmow-sentinel"), tmp_path / "train.csv"
    path.write_text(
        "category,location_id,image_id,timestamp,polygon\n"
        'airport,0,6,2015-07-25T08:45:14Z,"POLYGON ((32 39, 33 39, 33 40, 32 39))"\n'
    )
    table = table_of(one, path)
    (shape,) = shapely.from_wkb(table["geometry"].to_pylist())
    assert shape.equals(shapely.from_wkt("POLYGON ((32 39, 33 39, 33 40, 32 39))"))
    assert "polygon" not in table.column_names
    assert str(table["timestamp"][0].as_py()).startswith("2015-07-25")
    path.write_text(path.read_text().replace("POLYGON", "POLIGON"))
    with pytest.raises(WherefromError, match=r"train.csv, row 0: polygon is no geometry in WKT"):
        table_of(one, path)
    path.write_text("category,polygon\nairport,7\n")
    with pytest.raises(WherefromError, match=r"row 0: polygon is no geometry in WKT \('7'\)"):
        table_of(one, path)
    path.write_text("category,location_id\nairport,0\n")
    with pytest.raises(WherefromError, match="no column 'polygon'"):
        table_of(one, path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("olmoearth", '{"lon": 1}', r"lon_lats.json is not a list of \[lon, lat\]"),
        ("olmoearth", "[[1, 2], [3]]", r"entry 1 \(\[3\]\) is not"),
        ("olmoearth", '[["1", 2]]', "entry 0"),
        ("olmoearth", "[[1, true]]", "entry 0"),
        ("olmoearth", "[[1, 2", "is not JSON"),
        ("olmoearth", "[]", "lon_lats.json has no places"),
        ("mmearth", "[[1, 2]]", "is not an object of ids"),
        ("mmearth", '{"a": {"lon": 1}}', "entry 'a'"),
        ("mmearth", '{"a": {"lon": 1, "lat": null}}', "entry 'a'"),
        ("torchgeo-bench-geography", "[[1, 2]]", 'an object with a list "points"'),
        ("torchgeo-bench-geography", '{"points": [1]}', "entry 0"),
    ],
)
def test_a_file_of_another_layout_is_named_with_the_entry(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "lon_lats.json"
    path.write_text(text)
    with pytest.raises(WherefromError, match=said):
        table_of(entry(name), path)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="no such file"):
        table_of(entry("olmoearth"), tmp_path / "lon_lats.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["lon", "lat", "S2_DATE", "points", "a"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.sampled_from(["olmoearth", "mmearth", "torchgeo-bench-geography"]), JSON)
def test_no_json_whatsoever_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(data))
    try:
        table = table_of(entry(name), path)
    except WherefromError:
        return
    assert table.num_rows > 0
    assert {table.schema.field(axis).type for axis in ("lon", "lat")} == {pa.float64()}


# The publishers' own files, where they are at hand.


@pytest.fixture
def field_files(reference_data: Path) -> Path:
    folder = reference_data / "field" / "files"
    if not folder.is_dir():
        pytest.skip(f"no public files at {folder}")
    return folder


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ssl4eo-s12-v1.1", "ssl4eo_s12_v1.1_val_metadata.parquet"),
        ("worldcereal-extractions", "worldcereal_public_extractions.parquet"),
        ("sentinel-2-grid", "sentinel2_grid_land.parquet"),
        ("air-temperature", "air_temperature_stations.csv"),
        ("fuel-moisture", "fuel_moisture_labels.geojson"),
    ],
)
def test_a_published_file_is_not_what_its_entry_says(
    name: str, file: str, field_files: Path
) -> None:
    path, one = field_files / file, entry(name)
    table, reads = table_of(one, path), one.reads
    assert table.num_rows == (one.files[0].rows if one.files else one.rows)
    named = {reads.id, reads.lon, reads.lat, reads.place, reads.time, reads.cell} - {""}
    assert named <= set(table.column_names)
    assert recognised(table.column_names) == (one if reads.required else None)
    if reads.id:
        assert len(table[reads.id].unique()) == table.num_rows
    if reads.place and one.files[0].places:
        assert len(table[reads.place].unique()) == one.files[0].places
    if name == "ssl4eo-s12-v1.1":
        return  # of footprints, which other tests open
    options = reads.options
    pool = Pool.read(
        path,
        options.get("--id"),
        options.get("--lon", "lon"),
        options.get("--lat", "lat"),
        options.get("--geometry"),
    )
    assert len(pool) == table.num_rows
