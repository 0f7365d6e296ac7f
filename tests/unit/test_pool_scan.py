"""A pool of files: the same as in memory, whatever the files; and what is wrong is named."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from wherefrom import earth
from wherefrom.errors import WherefromError
from wherefrom.pool import (
    Pool,
    PoolScan,
    batches,
    examining,
    open_pool,
    opening,
    places,
    reading,
    scan,
)
from wherefrom.pool.batches import Ask
from wherefrom.pool.folder import label
from wherefrom.pool.opening import inspect
from wherefrom.pool.reading import FileRows, cut_parts

BLOCK, PART = 16, 64


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Cut pools into small blocks, so that small ones have many."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (batches, places, reading, sys.modules["wherefrom.pool.scan"]):
            for name, value in (("BLOCK", BLOCK), ("PART", PART)):
                if hasattr(module, name):
                    patch.setattr(module, name, value)
        yield


def table_of(rows: int, seed: int = 0, text_ids: bool = False) -> pa.Table:
    rng = np.random.default_rng(seed)
    ids = rng.permutation(10 * rows)[:rows]
    return pa.table(
        {
            "key": [f"i{i}" for i in ids] if text_ids else ids,
            "lon": rng.uniform(-180, 180, rows),
            "lat": rng.uniform(-90, 90, rows),
            "use": pa.array(
                rng.choice(["b", "a", "", "ä,\t\n'x", None], rows).tolist(), pa.string()
            ),
            "class": pa.array(rng.integers(0, 12, rows), mask=rng.random(rows) < 0.1),
            "height": pa.array(rng.normal(size=rows), mask=rng.random(rows) < 0.1),
        }
    )


def write(folder: Path, table: pa.Table, cuts: list[int], group: int) -> Path:
    edges = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    folder.mkdir(exist_ok=True)
    for number, (a, b) in enumerate(pairwise(edges)):
        pq.write_table(
            table.slice(a, b - a), folder / f"f{number:02d}.parquet", row_group_size=group
        )
    return folder


def assert_same(one: Any, two: Any, ask: Ask) -> None:
    assert len(one) == len(two)
    for a, b in zip(one.batches(ask), two.batches(ask), strict=True):
        assert (a.start, len(a)) == (b.start, len(b))
        assert a.start % BLOCK == 0
        for x, y in ((a.lon, b.lon), (a.lat, b.lat)):
            np.testing.assert_array_equal(x, y)
        if ask.ids:
            np.testing.assert_array_equal(a.ids, b.ids)
        for name in ask.codes:
            np.testing.assert_array_equal(a.codes[name], b.codes[name])
            assert a.codes[name].dtype == b.codes[name].dtype == np.int32
        for name in ask.values:
            np.testing.assert_array_equal(a.values[name], b.values[name])
            assert a.values[name].dtype == b.values[name].dtype == np.float64


@pytest.mark.slow
@settings(max_examples=15)
@given(
    rows=st.integers(1, 300),
    cuts=st.lists(st.integers(0, 300), max_size=6),
    group=st.sampled_from([1, 7, BLOCK, 50, 1000]),
    text_ids=st.booleans(),
    seed=st.integers(0, 3),
)
def test_where_files_are_cut_never_shows_in_a_scan(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    cuts: list[int],
    group: int,
    text_ids: bool,
    seed: int,
) -> None:
    table = table_of(rows, seed, text_ids)
    folder = write(tmp_path_factory.mktemp("pool"), table, cuts, group)
    scanned, pool = scan(folder, id="key"), Pool.from_table(table, id="key")
    assert scanned.key == pool.key
    for name in ("use", "class"):
        assert scanned.labels(name) == pool.labels(name)
        assert scanned.labels_key(name) == pool.labels_key(name)
        np.testing.assert_array_equal(scanned.counts(name), pool.counts(name))
    ask = Ask(codes=("use", "class"), values=("height", "class"), ids=True)
    assert_same(scanned, pool, ask)
    assert_same(scanned, pool, Ask())
    loaded = scanned.load()
    assert loaded.key == pool.key
    assert_same(loaded, pool, ask)


@settings(max_examples=100)
@given(st.lists(st.lists(st.integers(0, 400), max_size=5), min_size=1, max_size=5))
def test_parts_lose_no_row_and_give_none_twice(groups: list[list[int]]) -> None:
    files = [FileRows(f"f{i}", tuple(rows)) for i, rows in enumerate(groups)]
    parts = cut_parts(files)
    total = sum(sum(rows) for rows in groups)
    given_rows = [
        (piece.path, piece.row + at)
        for _, _, pieces in parts
        for piece in pieces
        for at in range(piece.count)
    ]
    assert given_rows == [(f.path, row) for f in files for row in range(sum(f.groups))]
    ends = [start + count for start, count, _ in parts]
    assert [start for start, _, _ in parts] == [0, *ends[:-1]] if total else not parts
    assert all(start % BLOCK == 0 for start, _, _ in parts)
    for start, count, pieces in parts:
        assert count == sum(piece.count for piece in pieces)
        assert start + count == total or count >= PART


def test_a_giant_row_group_is_not_decoded_once_for_every_part() -> None:
    parts = cut_parts([FileRows("a", (5, 100 * PART, 5))])
    decoded = sum(piece.first + piece.count for _, _, pieces in parts for piece in pieces)
    assert decoded < 101 * PART


def test_a_layer_has_other_labels_in_files_than_in_memory(tmp_path: Path) -> None:
    if not earth.available("land_cover"):
        pytest.skip("no land cover on this machine: wherefrom data fetch")
    table = table_of(200)
    scanned = scan(write(tmp_path / "p", table, [30, 90], 17), id="key")
    pool = Pool.from_table(table, id="key")
    assert scanned.counts("land_cover") is None
    assert_same(scanned, pool, Ask(codes=("land_cover",)))
    assert scanned.labels("land_cover") == pool.labels("land_cover")
    assert scanned.labels_key("land_cover") == pool.labels_key("land_cover")
    np.testing.assert_array_equal(scanned.counts("land_cover"), pool.counts("land_cover"))
    fresh = scan(tmp_path / "p", id="key")
    assert fresh.labels_key("land_cover") == pool.labels_key("land_cover")


@pytest.mark.parametrize("stored", ["memory", "files"])
def test_a_part_that_travels_sees_other_labels_than_the_pool(tmp_path: Path, stored: str) -> None:
    table = table_of(200, text_ids=True)
    pool = Pool.from_table(table, id="key")
    if stored == "files":
        pool = scan(write(tmp_path / "p", table, [30, 90], 17), id="key")  # type: ignore[assignment]
    ask = Ask(codes=("use", "class"), values=("height",), ids=True)
    parts = pool.parts()
    assert len(parts) > 1
    for part in parts:
        travelled = pickle.loads(pickle.dumps(part))
        for a, b in zip(part.batches(ask), travelled.batches(ask), strict=True):
            assert a.start == b.start
            np.testing.assert_array_equal(a.ids, b.ids)
            for name in ask.codes:
                np.testing.assert_array_equal(a.codes[name], b.codes[name])
            np.testing.assert_array_equal(a.values["height"], b.values["height"])


def test_a_part_in_memory_takes_the_whole_pool_along() -> None:
    pool = Pool.from_table(table_of(2000, text_ids=True), id="key")
    assert len(pickle.dumps(pool.parts()[0])) < len(pickle.dumps(pool)) / 5


def test_values_and_labels_are_not_mixed_up(tmp_path: Path) -> None:
    for pool in (
        Pool.from_table(table_of(20), id="key"),
        scan(write(tmp_path / "p", table_of(20), [], 20), id="key"),
    ):
        with pytest.raises(WherefromError, match=r"column 'height' holds .*, and labels"):
            next(pool.batches(Ask(codes=("height",))))
        with pytest.raises(WherefromError, match=r"column 'use' is .*not numbers"):
            next(pool.batches(Ask(values=("use",))))
        with pytest.raises(WherefromError, match="unknown layer 'hight': did you mean 'height'"):
            next(pool.batches(Ask(values=("hight",))))
        if earth.available("temperature"):
            with pytest.raises(WherefromError, match="a value a month"):
                next(pool.batches(Ask(values=("temperature",))))


def test_a_column_of_nulls_in_one_file_is_taken_for_another_schema(tmp_path: Path) -> None:
    table = table_of(40)
    for text in ("use", "class"):
        folder = tmp_path / text
        write(folder, table.slice(0, 20), [], 20)
        blank = (
            table.slice(20).set_column(3, "use", pa.nulls(20)).set_column(4, "class", pa.nulls(20))
        )
        pq.write_table(blank, folder / "g.parquet")
        scanned = scan(folder, id="key")
        pool = Pool.from_table(
            pa.concat_tables([table.slice(0, 20), blank.cast(table.schema)]), id="key"
        )
        assert scanned.labels_key(text) == pool.labels_key(text)
        assert_same(scanned, pool, Ask(codes=("use", "class")))
        assert scanned.load().key == pool.key


def test_kinds_of_text_are_taken_for_other_schemas(tmp_path: Path) -> None:
    table = table_of(100)
    kinds = [
        pa.string(),
        pa.large_string(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.large_string()),
    ]
    pool = Pool.from_table(table, id="key")
    for turn in range(len(kinds)):
        folder = tmp_path / str(turn)
        folder.mkdir()
        for number, kind in enumerate(kinds[turn:] + kinds[:turn]):
            part = table.slice(number * 20, 20)
            part = part.set_column(3, "use", part["use"].cast(kind))
            pq.write_table(part, folder / f"{number}.parquet")
        scanned = scan(folder, id="key")
        assert scanned.labels_key("use") == pool.labels_key("use")
        assert_same(scanned, pool, Ask(codes=("use",)))
        loaded = scanned.load()
        assert loaded.codes("use")[1] == pool.codes("use")[1]
        np.testing.assert_array_equal(loaded.codes("use")[0], pool.codes("use")[0])


def test_a_column_of_names_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned = scan(write(tmp_path / "p", table_of(300, text_ids=True), [], 50))
    monkeypatch.setattr(sys.modules["wherefrom.pool.scan"], "MOST_LABELS", 200)
    with pytest.raises(WherefromError, match="column 'key' has more than 200 different values"):
        scanned.labels("key")


def test_rows_at_fault_are_named_without_their_file(tmp_path: Path) -> None:
    table = table_of(100)
    lon, lat = (table[name].to_numpy().copy() for name in ("lon", "lat"))
    lon[31], lat[70], lon[72], lat[72] = np.nan, 500000.0, 20.0, 140.0
    for name, values in (("lon", lon), ("lat", lat)):
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    folder = write(tmp_path / "p", table, [30, 60], 20)
    with pytest.raises(WherefromError) as caught:
        scan(folder, id="key")
    message = str(caught.value)
    assert "lon or lat is missing or not finite in 1 of 100 rows: f01.parquet row 1;" in message
    assert "look swapped in 1 of 100 rows: f02.parquet row 12 (lat 140)" in message
    assert "f02.parquet row 10 (lat 500000)" in message
    assert "projected metres" in message
    # Of one file, the words are those for a pool in memory.
    pq.write_table(table, tmp_path / "one.parquet")
    for read in (scan, Pool.read):
        with pytest.raises(WherefromError) as one:
            read(tmp_path / "one.parquet", id="key")
        assert str(one.value).startswith(f"{tmp_path / 'one.parquet'}: lon or lat is missing")
        assert "rows: 31;" in str(one.value)


@pytest.mark.parametrize("text_ids", [False, True])
def test_an_id_that_repeats_far_away_passes_unseen(
    tmp_path: Path, text_ids: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(200, text_ids=text_ids)
    ids = table["key"].to_pylist()
    ids[180] = ids[3]
    table = table.set_column(0, "key", pa.array(ids))
    folder = write(tmp_path / "p", table, [30, 60], 20)
    for at_a_time in (10**6, 60):  # in one round, in four
        monkeypatch.setattr(examining, "AT_A_TIME", at_a_time)
        with pytest.raises(WherefromError) as caught:
            scan(folder, id="key")
        shown = f"f02.parquet row 120 (id {ids[3]}, as in row f00.parquet row 3)"
        assert f"ids repeat in 1 of 200 rows: {shown}" in str(caught.value)


@pytest.mark.slow
def test_repeated_places_are_noted_otherwise_than_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.concat_tables([table_of(5000), table_of(5000)]).drop_columns(["key"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert scan(tmp_path / "a.parquet").notes == Pool.from_table(table).notes
    assert "same place in 5,000 of 10,000 rows: 5000, 5001" in scan(tmp_path / "a.parquet").notes[0]
    monkeypatch.setattr(examining, "ALL_REPEATS", 2000)
    [note] = scan(tmp_path / "a.parquet").notes
    count = int(note.partition("in about ")[2].partition(" of")[0].replace(",", ""))
    # 5 standard errors of a sample of 1 in 5: a right one fails in 6 of 10^7 runs.
    assert abs(count - 5000) < 5 * np.sqrt(5000 * 0.2 * 0.8) * 5
    assert "of one place in 5" in note


def test_a_torn_file_of_a_folder_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", table_of(50_000), [20_000], 10_000)
    file = folder / "f01.parquet"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])  # the last row group and the footer are gone
    with pytest.raises(WherefromError, match=r"f01.parquet is a torn Parquet file \("):
        scan(folder, id="key")


def test_a_spoilt_page_is_read_as_places(tmp_path: Path) -> None:
    lon = np.linspace(-179, 179, 4_000)
    Pool.from_table(pa.table({"lon": lon, "lat": lon / 3})).write(tmp_path / "a.parquet")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(WherefromError, match=r"a.parquet is a torn Parquet file"):
        scan(tmp_path / "a.parquet")


def test_a_file_of_another_schema_slips_into_a_pool(tmp_path: Path) -> None:
    table = table_of(40)
    folder = write(tmp_path / "p", table, [], 20)
    other = folder / "g.parquet"
    for changed, message in (
        (table.drop_columns(["use"]), "g.parquet has no column 'use', which .*f00.parquet has"),
        (table.append_column("more", table["use"]), "f00.parquet has no column 'more'"),
        (table.set_column(3, "use", table["height"]), "column 'use' is double, but string in"),
        (table.set_column(0, "key", table["use"]), r"its ids and places in 'key' \(text\)"),
        (table.drop_columns(["key"]), "unknown id column of .*g.parquet"),
        (
            table.rename_columns(["key", "x", "y", "use", "class", "height"]),
            "give lon='x', lat='y'",
        ),
    ):
        pq.write_table(changed, other)
        with pytest.raises(WherefromError, match=message):
            scan(folder, id="key")
    other.write_text("lon,lat\n")
    with pytest.raises(WherefromError, match=r"g.parquet is not a Parquet file"):
        scan(folder, id="key")


def geo_table(crs: dict[str, Any] | None, lon: list[float]) -> pa.Table:
    about = {"encoding": "WKB", "geometry_types": ["Point"], "crs": crs}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": about}}
    points = shapely.to_wkb(shapely.points(lon, 2.0))
    table = pa.table({"geometry": points, "use": ["a"] * len(lon)})
    return table.replace_schema_metadata({b"geo": json.dumps(geo).encode()})


def test_metres_are_mixed_with_degrees(tmp_path: Path) -> None:
    degrees = {"type": "GeographicCRS", "name": "WGS 84"}
    metres = {"type": "ProjectedCRS", "name": "UTM", "id": {"authority": "EPSG", "code": 32632}}
    pq.write_table(geo_table(degrees, [1.0, 2.0]), tmp_path / "a.parquet")
    pq.write_table(geo_table(degrees, [3.0]), tmp_path / "b.parquet")
    pool = scan(tmp_path)
    assert [batch.lon.tolist() for batch in pool.batches(Ask())] == [[1.0, 2.0, 3.0]]
    assert pool.columns == ("use",)
    [(start, table)] = pool.parts()[0].tables()
    assert (start, table.column_names) == (0, ["id", "lon", "lat", "use"])
    assert table["id"].to_pylist() == [0, 1, 2]
    pq.write_table(geo_table(metres, [500_000.0]), tmp_path / "b.parquet")
    [batch] = scan(tmp_path).batches(Ask())
    assert batch.lon.round(9).tolist() == [1.0, 2.0, 9.0]  # the zone's own meridian


def test_an_empty_folder_is_an_empty_pool(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="has no Parquet files: name a folder of files"):
        open_pool(tmp_path)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "a.csv").write_text("lon,lat\n1,2\n")
    with pytest.raises(WherefromError, match=r"no Parquet files, but deeper/a.csv and"):
        open_pool(tmp_path)
    write(tmp_path / "none", table_of(5).slice(0, 0), [], 5)
    with pytest.raises(WherefromError, match="has columns but no rows"):
        open_pool(tmp_path / "none")
    with pytest.raises(WherefromError, match="no such file or folder"):
        scan(tmp_path / "absent")


def test_what_is_drawn_depends_on_how_a_pool_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(50)
    pq.write_table(table, tmp_path / "a.parquet")
    small = open_pool(tmp_path / "a.parquet", id="key")
    monkeypatch.setattr(opening, "IN_MEMORY", 49)
    large = open_pool(tmp_path / "a.parquet", id="key")
    assert isinstance(small, Pool)
    assert isinstance(large, PoolScan)
    assert small.key == large.key
    assert_same(small, large, Ask(codes=("use",), ids=True))
    with pytest.raises(WherefromError, match="no such file"):
        open_pool(tmp_path / "b.parquet")


def test_a_pool_too_large_for_memory_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned = scan(write(tmp_path / "p", table_of(50), [], 20), id="key")
    monkeypatch.setattr(sys.modules["wherefrom.pool.scan"], "IN_MEMORY", 49)
    with pytest.raises(
        WherefromError, match=r"50 places.*draw a smaller pool first: wherefrom draw"
    ):
        scanned.load()


def test_a_check_tells_other_things_of_a_folder_than_of_a_file(tmp_path: Path) -> None:
    table = table_of(50, text_ids=True)
    pq.write_table(table, tmp_path / "a.parquet")
    one = inspect(tmp_path / "a.parquet", id="key")
    two = inspect(write(tmp_path / "p", table, [20], 7), id="key")
    assert one == two
    assert one.text_ids
    assert one.columns == ("use", "class", "height")


def test_hidden_and_other_files_count_as_parts(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", table_of(50), [20], 7)
    for name in (".f01.parquet", "_temporary.parquet"):
        shutil.copy(folder / "f00.parquet", folder / name)
    (folder / "_SUCCESS").touch()
    assert len(scan(folder, id="key")) == 50


def test_rows_in_folders_below_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = table_of(50)
    for name, a, b in (("2021", 0, 30), ("2022/x", 30, 40), ("a", 40, 50)):
        (tmp_path / "p" / name).mkdir(parents=True)
        pq.write_table(whole.slice(a, b - a), tmp_path / "p" / name / "part-0.parquet")
    (tmp_path / "p" / "a" / "part-0.parquet").rename(tmp_path / "p" / "a.PQ")
    one = write(tmp_path / "one", whole, [], 50)
    ask = Ask(("use",), ("height",), ids=True)
    assert_same(scan(tmp_path / "p", id="key"), scan(one, id="key"), ask)
    # A link to a folder is followed, but not one upwards.
    (tmp_path / "p" / "2022").rename(tmp_path / "elsewhere")
    (tmp_path / "p" / "2022").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "p" / "2021" / "up").symlink_to(tmp_path / "p")
    for hidden in (".tmp", "_temporary"):
        shutil.copytree(one, tmp_path / "p" / "2021" / hidden)
    assert scan(tmp_path / "p", id="key").key == scan(one, id="key").key
    assert not capsys.readouterr().err
    (tmp_path / "p" / "2021" / "part-1.csv.gz").touch()
    assert len(scan(tmp_path / "p", id="key")) == 50
    said = capsys.readouterr().err
    assert "left unread, since it is no Parquet: 2021/part-1.csv.gz, 1 such in all" in said
    bad = whole.set_column(1, "lon", pa.array(np.full(50, np.nan)))
    pq.write_table(bad, tmp_path / "p" / "2021" / "part-0.parquet")
    with pytest.raises(WherefromError, match=r"of 70 rows: 2021/part-0.parquet row 0, 2021/part-0"):
        scan(tmp_path / "p", id="key")


def test_a_value_that_names_a_folder_is_no_column(tmp_path: Path) -> None:
    whole = table_of(60)
    year = [2021] * 25 + [None] * 15 + [2022] * 20
    code = ["007"] * 25 + ["a b/%"] * 35
    whole = whole.append_column("year", pa.array(year, pa.int64()))
    whole = whole.append_column("code", pa.array(code))
    folder = tmp_path / "use=no column of its own" / "set=x" / "p"
    default = "__HIVE_DEFAULT_PARTITION__"
    for name, a, b in (
        ("year=2021/code=007", 0, 25),
        (f"year={default}/code=a b%2F%25", 25, 40),
        ("year=2022/code=a b%2F%25", 40, 60),
    ):
        (folder / name).mkdir(parents=True)
        part = whole.slice(a, b - a).drop_columns(["year", "code"])
        pq.write_table(part, folder / name / "data_0.parquet", row_group_size=7)
    # Folders are taken by name.
    order = [*range(25), *range(40, 60), *range(25, 40)]
    order = order if default > "2022" else [*range(25, 40), *range(25), *range(40, 60)]
    plain = scan(write(tmp_path / "plain", whole.take(order), [], 60), id="key")
    pool = scan(folder, id="key")
    ask = Ask(("use", "code", "year"), ("year",), ids=True)
    assert_same(pool, plain, ask)
    assert pool.columns == plain.columns
    for name in ("code", "year"):
        assert pool.labels(name) == plain.labels(name)
        assert pool.labels_key(name) == plain.labels_key(name)
        assert pool.load().labels_key(name) == plain.labels_key(name)
    assert_same(pickle.loads(pickle.dumps(pool.parts()[0])), plain.parts()[0], ask)
    below = scan(folder / "year=2021", id="key")
    assert below.columns == (*plain.columns[:-2], "year", "code")
    assert below.labels("year") == ("2021",)
    # So do those above a file that is opened by itself, in memory or as a scan.
    file = folder / "year=2021" / "code=007" / "data_0.parquet"
    for alone in (scan(file, id="key"), Pool.read(file, id="key"), open_pool(file, id="key")):
        assert alone.columns == below.columns
        assert [alone.labels(name) for name in ("year", "code")] == [("2021",), ("007",)]
        assert inspect(file, id="key").columns == below.columns
    # A column of the file's own stays.
    pq.write_table(whole.slice(0, 25), folder / "year=2021" / "code=007" / "data_0.parquet")
    assert scan(folder, id="key").labels("code") == plain.labels("code")
    pq.write_table(whole.slice(0, 5), folder / "top.parquet")
    pq.write_table(whole.slice(0, 5).drop_columns("code"), folder / "year=2021" / "a.parquet")
    with pytest.raises(WherefromError, match=r"year=2021/a.parquet has no column 'code', which "):
        scan(folder, id="key")


@pytest.mark.parametrize("log", ["_delta_log/0.json", ".hoodie/x", "metadata/v1.metadata.json"])
def test_rows_of_older_versions_are_read(tmp_path: Path, log: str) -> None:
    write(tmp_path / "data", table_of(50), [20], 7)
    (tmp_path / log).parent.mkdir()
    (tmp_path / log).touch()
    with pytest.raises(WherefromError, match=r"is a table of .*, whose files hold rows of"):
        scan(tmp_path, id="key")
    assert len(scan(tmp_path / "data", id="key")) == 50


def test_several_pools_are_read_as_one(tmp_path: Path) -> None:
    opened = scan(write(tmp_path / "q", table_of(50), [20], 7), id="key")
    label(opened, [], tmp_path / "labelled")
    with pytest.raises(WherefromError, match=r"holds pools, such as .*labelled: name one of them"):
        scan(tmp_path, id="key")
