"""draw and audit take tables as users hold them, and give the same type back."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
import shapely

import wherefrom
from wherefrom.auditing.faults import without_faults
from wherefrom.compose import Composition, sampler
from wherefrom.earth.sphere import nearest_km
from wherefrom.errors import WherefromError
from wherefrom.frames import audit, draw, pool_of
from wherefrom.pool import Pool, open_pool, places, places_of

N, ASKED = 120, 60


@pytest.fixture(scope="module")
def table() -> pa.Table:
    pool = Pool.build(N, seed=5)
    ids = [f"t{i:04d}" for i in np.random.default_rng(0).permutation(N)]
    return pa.table({"tile": ids, "x": pool.lon, "y": pool.lat, "use": ["a", "b"] * (N // 2)})


FLAGS: dict[str, Any] = {"id": "tile", "lon": "x", "lat": "y"}


@pytest.fixture(scope="module")
def drawn(table: pa.Table) -> Composition:
    return wherefrom.draw(Pool.from_table(table, **FLAGS), "stratified:layer=use", ASKED, 3)


def test_an_arrow_table_stays_one_with_its_columns_and_metadata(
    table: pa.Table, drawn: Composition
) -> None:
    noted = table.replace_schema_metadata({b"mine": b"kept"})
    got = draw(noted, "stratified:layer=use", ASKED, 3, **FLAGS)
    assert isinstance(got, pa.Table)
    assert got.column_names == [*table.column_names, "multiplicity", "inclusion_probability"]
    assert sorted(got["tile"].to_pylist()) == drawn.ids.tolist()
    assert got.schema.metadata[b"mine"] == b"kept"
    assert json.loads(got.schema.metadata[b"wherefrom"])["size"] == ASKED


def test_a_geodataframe_keeps_index_geometry_and_crs(table: pa.Table, drawn: Composition) -> None:
    geopandas = pytest.importorskip("geopandas")
    frame = table.to_pandas()
    points = geopandas.points_from_xy(frame.x, frame.y, crs="EPSG:4326")
    frame = geopandas.GeoDataFrame(frame.drop(columns=["x", "y"]), geometry=points)
    frame.index = np.arange(N) * 10
    got = draw(frame, "stratified:layer=use", ASKED, 3, id="tile")
    assert isinstance(got, geopandas.GeoDataFrame)
    assert got.crs == frame.crs
    assert sorted(got["tile"]) == drawn.ids.tolist()
    assert got.index.is_monotonic_increasing
    assert got.geometry.equals(frame.geometry.loc[got.index])
    assert got["inclusion_probability"].tolist() == [ASKED / N] * ASKED
    assert got.attrs["wherefrom"]["size"] == ASKED
    assert "multiplicity" not in frame  # the user's own is left alone


@pytest.mark.parametrize("kept", [["name", "geometry"], ["geometry"]])
def test_points_without_another_column_are_no_rows(kept: list[str]) -> None:
    geopandas = pytest.importorskip("geopandas")
    lon = np.arange(1.0, 50.0)
    points = geopandas.points_from_xy(lon, lon / 3, crs=4326)
    frame = geopandas.GeoDataFrame({"name": ["x"] * 49}, geometry=points)[kept]
    assert len(draw(frame, "uniform", 3)) == 3
    assert len(draw(frame, "stratified:layer=continent,short=cap", 5)) == 5
    assert cast("Pool", pool_of(frame)).ids.tolist() == list(range(49))
    assert len(Pool.from_table(pa.table(frame.to_arrow()))) == 49
    frame.loc[7, "geometry"] = None
    assert len(without_faults(places_of(frame)).pool) == 48


def test_a_dictionary_of_arrays_stays_one(table: pa.Table) -> None:
    arrays = {name: table[name].to_numpy(zero_copy_only=False) for name in ("x", "y", "use")}
    got = draw(arrays, "only:layer=use,label=b", 10, lon="x", lat="y")
    assert set(got) == {"x", "y", "use", "multiplicity", "inclusion_probability"}
    assert set(got["use"].tolist()) == {"b"}
    assert set(zip(got["x"], got["y"], strict=True)) <= set(
        zip(arrays["x"], arrays["y"], strict=True)
    )


def test_a_pool_or_a_file_gives_a_composition(
    table: pa.Table, drawn: Composition, tmp_path: Path
) -> None:
    pool = Pool.from_table(table, **FLAGS)
    pool.write(tmp_path / "pool.parquet")
    for data in (pool, tmp_path / "pool.parquet", str(tmp_path / "pool.parquet")):
        got = draw(data, "stratified:layer=use", ASKED, 3)
        assert isinstance(got, Composition)
        assert got.key == drawn.key


def test_places_taken_twice_are_rows_once_with_their_multiplicity(table: pa.Table) -> None:
    got = draw(table, "only:layer=use,label=a,short=repeat", N, **FLAGS)
    assert got.num_rows == N // 2
    assert set(got["multiplicity"].to_pylist()) == {2}


def test_zero_pretraining_is_an_empty_table(table: pa.Table) -> None:
    assert draw(table, "none", **FLAGS).num_rows == 0


def test_a_draw_waits_for_what_it_does_not_tell(
    table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    monkeypatch.setattr(places, "repeats_in", lambda lon, lat: looked.append(len(lon)) or [])
    assert draw(table.to_pandas(), "uniform", 5, **FLAGS).shape[0] == 5
    assert not looked  # repeated places are a note, and cost as much as all the rest
    assert Pool.from_table(table, **FLAGS).notes == ()
    assert looked == [N]


def test_a_column_that_no_sampler_reads_ends_the_draw(
    table: pa.Table,
    drawn: Composition,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = table.to_pandas().assign(mixed=[1, "a"] * (N // 2))
    assert cast("Pool", pool_of(frame, **FLAGS)).columns == ("use",)
    assert "left out: 'mixed' (" in capsys.readouterr().err
    with pytest.raises(WherefromError, match="column 'mixed' is of no one type"):
        draw(frame, "stratified:layer=mixed", 5, **FLAGS)
    reads = SimpleNamespace(layers=("use",), numbers=(), sources=(), files=())
    monkeypatch.setattr(
        type(sampler("stratified:layer=use")), "inputs", lambda self: reads, raising=False
    )
    got = draw(frame, "stratified:layer=use", ASKED, 3, **FLAGS)
    assert sorted(got["tile"]) == drawn.ids.tolist()
    assert set(got["mixed"]) == {1, "a"}
    # The remedy names what the table has, not what was read of it.
    with pytest.raises(WherefromError, match="no column 'lon' and 'lat', but 'x' and 'y'"):
        draw(table.to_pandas(), "stratified:layer=use", ASKED, id="tile")
    reads.layers = ("usee",)
    with pytest.raises(WherefromError, match="did you mean 'use'"):
        draw(table.to_pandas(), "stratified:layer=usee", ASKED, **FLAGS)


@pytest.mark.parametrize("kind", ["objects", "2-D", "sparse", "arrays"])
def test_what_stands_beside_the_places_ends_a_draw_or_an_audit(kind: str) -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"lon": rng.uniform(-9, 9, 40), "lat": rng.uniform(-9, 9, 40)})
    frame["beside"] = {
        "objects": [1, "a", None, uuid.uuid4()] * 10,
        "2-D": [np.zeros((2, 2))] * 40,
        "sparse": pandas.arrays.SparseArray([0.0, 1.0] * 20),
        "arrays": [np.zeros(3), None] * 20,
    }[kind]
    got = draw(frame, "uniform", 5)
    assert got["beside"].tolist() == [frame["beside"][row] for row in got.index]
    assert len(Pool.from_table(frame)) == 40
    arrays = {name: frame[name].to_numpy() for name in ("lon", "lat")}
    beside = np.arange(80).reshape(40, 2)
    drawn = draw({**arrays, "beside": beside}, "uniform", 5)
    assert drawn["beside"].tolist() == beside[got.index].tolist()
    with pytest.raises(WherefromError, match=r"one length, not .*beside \(80,\)"):
        draw({**arrays, "beside": beside.ravel()}, "uniform", 5)


@pytest.mark.parametrize("stray", ["n/a", "", None, np.nan])
def test_one_stray_value_hides_the_row_at_fault(stray: Any) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"lon": [1.0, 2.5, stray, 4.0], "lat": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(WherefromError, match="missing or not finite in 1 of 4 rows: 2; remove"):
        draw(frame.astype({"lon": object}), "uniform", 2)
    frame["lon"] = pandas.Series([1.0, 2.5, "north", 4.0], dtype=object)
    with pytest.raises(WherefromError, match="row 2 holds 'north'"):
        draw(frame, "uniform", 2)


IDS = [uuid.UUID(int=at) for at in (5, 3, 9)]


@pytest.mark.parametrize(
    ("ids", "kind", "read"),
    [
        (IDS, "object", [str(name) for name in IDS]),
        ([3, 1, 2**63 - 1], "uint64", [3, 1, 2**63 - 1]),
        ([3, 1, 2], "Int64", [3, 1, 2]),
        (["b", "a", "c"], "category", ["b", "a", "c"]),
        ([3, 1, 2**63], "uint64", "holds 9223372036854775808 in row 2, .* as text"),
        ([3, None, 2], "Int64", r"empty in 1 row \(first: 1\)"),
        ([3, "a", 2], "object", "column 'id' is of no one type"),
        ([3, 1, 2**70], "object", "column 'id' is of no one type .*too large"),
    ],
)
def test_ids_of_a_frame_are_misread_or_refused_for_another_reason(
    ids: list[Any], kind: str, read: Any
) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"lon": [1.0, 2.0, 3.0], "lat": [1.0, 2.0, 3.0]})
    column = pandas.Series(ids, dtype=kind, name="id")
    tables = (frame.assign(id=column), frame.set_index(pandas.Index(column)))
    for table in tables:
        if isinstance(read, str):
            with pytest.raises(WherefromError, match=read):
                draw(table, "uniform", 2)
        else:
            assert Pool.from_table(table).ids.tolist() == read
            assert len(draw(table, "uniform", 2, id="id")) == 2


def test_levels_of_an_index_are_no_columns() -> None:
    pandas = pytest.importorskip("pandas")
    levels = pandas.MultiIndex.from_product([[1.5, 2.5], [3.0, 4.0]], names=["lon", "lat"])
    frame = pandas.DataFrame({"tile": ["a", "b", "c", "d"]}, index=levels)
    drawn = draw(frame, "uniform", 4, id="tile")
    assert drawn.index.names == ["lon", "lat"]
    pool = Pool.from_table(frame.reset_index("lat"), id="tile")
    assert pool.lon.tolist() == [1.5, 1.5, 2.5, 2.5]
    with pytest.raises(WherefromError, match="unknown id column of table 'tyle'"):
        draw(frame, "uniform", 4, id="tyle")


def test_values_under_a_mask_are_drawn() -> None:
    at = np.arange(10.0)
    lon = np.ma.masked_array(at, at > 5)
    whole = np.ma.masked_array(np.arange(10), at > 5)
    for given in ({"lon": lon, "lat": at}, {"lon": at, "lat": whole}):
        with pytest.raises(WherefromError, match=r"missing or not finite in 4 of 10 rows: 6, 7"):
            draw(given, "uniform", 4)
    with pytest.raises(WherefromError, match=r"'id' is empty in 4 rows \(first: 6\)"):
        draw({"id": whole, "lon": at, "lat": at}, "uniform", 4)
    use = np.ma.masked_array(["a"] * 10, at > 5)
    drawn = draw({"lon": at, "lat": at, "use": use, "whole": whole}, "stratified:layer=use", 6)
    assert sorted(drawn["lon"]) == [0, 1, 2, 3, 4, 5]
    drawn = draw({"lon": at, "lat": at, "use": use}, "uniform", 10)
    assert np.ma.getmaskarray(drawn["use"]).tolist() == (at > 5).tolist()
    with pytest.raises(WherefromError, match="weights"):
        audit({"lon": at, "lat": at}, layers=["continent"], weights=whole)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("GeoSeries", r'to_frame\("geometry"\)'),
        ("Series", 'such as {"lon": '),
        ("ndarray", 'such as {"lon": '),
        ("list", 'such as {"lon": '),
        ("NoneType", 'such as {"lon": '),
        ("int", 'such as {"lon": '),
        ("RecordBatchReader", r"pyarrow.table\(data\)"),
        ("RecordBatch", r"pyarrow.table\(data\)"),
    ],
)
def test_what_is_no_table_ends_in_a_traceback(kind: str, remedy: str, table: pa.Table) -> None:
    geopandas = pytest.importorskip("geopandas")
    pandas = pytest.importorskip("pandas")
    data = {
        "GeoSeries": geopandas.GeoSeries.from_xy([1.0, 2.0], [3.0, 4.0], crs=4326),
        "Series": pandas.Series([1.0, 2.0]),
        "ndarray": np.zeros((5, 2)),
        "list": [(1.0, 2.0), (3.0, 4.0)],
        "NoneType": None,
        "int": 5,
        "RecordBatchReader": table.to_reader(),
        "RecordBatch": table.to_batches()[0],
    }[kind]
    refused = f"cannot make a pool from a {kind}: .*{remedy}"
    for call in (lambda: draw(data, "uniform", 2), lambda: audit(data), lambda: pool_of(data)):
        with pytest.raises(WherefromError, match=refused):
            call()


@pytest.mark.parametrize("view", [pa.string_view(), pa.binary_view()])
def test_views_cannot_be_given_back(table: pa.Table, view: pa.DataType) -> None:
    field = pa.field("beside", view, metadata={b"mine": b"kept"})
    plain = pa.array([f"longer than twelve {at}" for at in range(N)])
    given = table.append_column(field, plain.cast(pa.binary()).cast(view))
    got = draw(given, "stratified:layer=use", 10, **FLAGS)
    assert got.schema.field("beside").equals(field, check_metadata=True)
    assert got["beside"].to_pylist() == [
        given["beside"][given["tile"].index(tile).as_py()].as_py() for tile in got["tile"]
    ]
    assert len(without_faults(places_of(given, "tile", "x", "y")).pool) == N
    nested = table.append_column("nested", pa.array([["a"]] * N, pa.list_(view)))
    with pytest.raises(WherefromError, match=r"column 'nested' is list<.*: cast or drop it"):
        draw(nested, "uniform", 2, **FLAGS)


def test_columns_named_by_numbers_are_not_found() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({0: [1.0, 2.0, 3.0], 1: [4.0, 5.0, 6.0], 2: [7, 8, 9]})
    named = draw(frame, "uniform", 2, id="2", lon="0", lat="1")
    flags = cast("dict[str, Any]", {"id": 2, "lon": 0, "lat": 1})
    assert draw(frame, "uniform", 2, **flags).equals(named)
    assert Pool.from_table(frame, **flags).ids.tolist() == [7, 8, 9]
    assert list(audit(frame, layers=cast("Any", [2]), lon="0", lat="1").layers) == ["2"]
    with pytest.raises(WherefromError, match=r"no column '5' and '1'.* Columns: 0, 2"):
        draw(frame.drop(columns=1), "uniform", 2, **flags | {"lon": 5})


def test_columns_that_are_there_are_not_overwritten(table: pa.Table) -> None:
    taken = table.append_column("multiplicity", pa.array([1] * N))
    with pytest.raises(WherefromError, match="'multiplicity' already"):
        draw(taken, "uniform", 5, **FLAGS)


@pytest.mark.parametrize("wrong", [{"lon": [1.0, 2.0], "lat": [1.0]}, {"lon": 1.0, "lat": 2.0}])
def test_arrays_of_unequal_length_are_said(wrong: dict[str, Any]) -> None:
    with pytest.raises(WherefromError, match="one length"):
        pool_of(wrong)


@pytest.mark.slow
def test_the_audit_of_a_table_is_that_of_its_pool(table: pa.Table) -> None:
    pool = Pool.from_table(table, **FLAGS)
    of_pool = audit(pool, layers=["continent", "use"]).to_dict()
    of_table = audit(table, layers=["continent", "use"], **FLAGS).to_dict()
    of_frame = audit(table.to_pandas(), layers=["continent", "use"], **FLAGS).to_dict()
    assert of_table["layers"] == of_pool["layers"] == of_frame["layers"]
    assert of_table["space"] == of_pool["space"]


@pytest.mark.slow
def test_faulty_rows_of_a_table_are_findings_not_the_end(table: pa.Table) -> None:
    lat = table["y"].to_numpy().copy()
    lat[7] = np.nan
    torn = table.set_column(2, "y", pa.array(lat))
    found = audit(torn, layers=["continent"], **FLAGS)
    assert [fault.name for fault in found.faults] == ["missing"]
    assert found.about["rows"] == N - 1
    with pytest.raises(WherefromError, match="weights"):
        audit(torn, layers=["continent"], weights=np.ones(N), **FLAGS)


@pytest.mark.slow
def test_other_tables_are_read_like_the_first(table: pa.Table) -> None:
    half = table.slice(0, N // 2)
    found = audit(half, against=table, test=table.slice(N // 2), planned=table,
                  layers=["continent"], **FLAGS)  # fmt: skip
    assert found.leakage is not None
    assert found.realised is not None
    assert "Antarctica" not in found.layers["continent"].empty


@pytest.mark.slow
def test_an_audit_is_shown_inline() -> None:
    places = {"lon": np.linspace(-10, 20, 50), "lat": np.linspace(40, 60, 50)}
    page = wherefrom.audit(places, layers=["continent"])._repr_html_()
    assert page.lstrip().startswith("<")
    assert "Europe" in page


def test_a_composition_and_its_card_are_shown_inline(table: pa.Table) -> None:
    odd = [f"<{use}> & $x$" for use in table["use"].to_pylist()]
    pool = Pool.from_table(table.set_column(3, "use", pa.array(odd)), **FLAGS)
    composition = draw(pool, "stratified:layer=use", ASKED)
    summary = composition._repr_html_()
    assert "60 places of 120" in summary
    assert "&lt;a&gt; &amp; $x$" in summary  # a label is text, never markup
    assert "<a>" not in summary
    assert "base64," in wherefrom.Card(composition, pool)._repr_html_()
    assert "0 places" in draw(pool, "none")._repr_html_()


@pytest.mark.slow
def test_a_column_of_the_realised_table_alone_does_not_end_the_audit(table: pa.Table) -> None:
    bare = table.drop_columns(["use"])
    found = audit(table.slice(0, N // 2), planned=bare, layers=["continent", "use"], **FLAGS)
    assert found.realised is not None
    assert list(found.realised.layers) == ["continent"]


@pytest.mark.slow
def test_a_place_of_weight_zero_did_not_come(table: pa.Table) -> None:
    weights = np.r_[np.zeros(N // 2), np.ones(N // 2)]
    found = audit(table, planned=table, weights=weights, layers=["continent"], **FLAGS)
    assert found.realised is not None
    assert found.realised.lost == N // 2


def test_places_near_those_of_a_table_in_memory_are_drawn(tmp_path: Path) -> None:
    pool = Pool.build(400, seed=2)
    data = {"x": pool.lon, "y": pool.lat}
    field = shapely.box(-20.0, -40.0, 60.0, 30.0)
    fields = Pool.from_table(pa.table({"f": shapely.to_wkb([field])}), geometry="f")
    near = [{"x": [100.0], "y": [40.0]}, pa.table({"lon": [-100.0], "lat": [40.0]})]
    names = {"lon": "x", "lat": "y"}
    (tmp_path / "pool").mkdir()
    Pool.from_table({"lon": [135.0], "lat": [-25.0]}).write(tmp_path / "pool" / "a.parquet")
    near.append(open_pool(tmp_path / "pool"))
    drawn = draw(data, "uniform", 60, **names, exclude=near, buffer_km=1500.0)
    far = nearest_km(drawn["x"], drawn["y"], [100.0, -100.0, 135.0], [40.0, 40.0, -25.0])
    assert far.min() > 1500.0
    assert draw(data, "uniform", 60, **names)["x"].tolist() != drawn["x"].tolist()
    drawn = draw(data, "uniform", 60, **names, exclude=fields)
    assert not shapely.contains_xy(field, drawn["x"], drawn["y"]).any()
    with pytest.raises(WherefromError, match=r"exclude\[1\] holds points.*buffer_km=10"):
        draw(data, "uniform", 60, **names, exclude=[fields, near[0]])
    with pytest.raises(WherefromError, match=r"exclude= is missing: buffer_km= is"):
        draw(data, "uniform", 60, **names, buffer_km=10.0)
