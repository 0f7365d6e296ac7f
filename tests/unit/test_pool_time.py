"""Columns of dates: what is read of them, what is refused, and the layers that they become."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherefrom import draw
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, open_beside, open_pool, scan
from wherefrom.pool.opening import inspect
from wherefrom.pool.seasons import Dates, days_in, time_columns
from wherefrom.pool.time import Odd, days_of, written

DAY = dt.date(2020, 1, 31)
NUMBER = (DAY - dt.date(1970, 1, 1)).days


def days(values: Any, kind: pa.DataType | None = None) -> tuple[list[str], list[str]]:
    column = pa.chunked_array([values if isinstance(values, pa.Array) else pa.array(values, kind)])
    read = days_of(column, "date", "t.csv")
    return written(read.first).tolist(), written(read.last).tolist()


def refused(values: Any, kind: pa.DataType | None = None) -> str:
    with pytest.raises(WherefromError) as err:
        days(values, kind)
    assert "\n" not in str(err.value)
    return str(err.value)


def pool_of(dates: Any, lat: Any = 50.0, **columns: Any) -> Pool:
    rows = len(dates)
    lon = columns.pop("lon", np.arange(rows, dtype=float))
    table = {"lon": lon, "lat": np.broadcast_to(np.asarray(lat, float), rows), "date": dates}
    return Pool.from_table({**table, **columns}, time="date")


def labels(pool: Any, name: str) -> list[str]:
    codes, names = pool.codes(name)
    return ["" if code < 0 else names[code] for code in codes.tolist()]


@pytest.mark.parametrize(
    "value",
    [
        "2020-01-31", " 2020-01-31 ", "2020/01/31", "2020-1-31", "20200131", "20200131T102021",
        "20200131102021", "2020-01-31T10:20:21", "2020-01-31 10:20", "2020-01-31T10:20:21.123456Z",
        "2020-01-31Z", "2020-01-31T23:59:60Z", "2020-01-31T01:00:00+01:00", "2020-01-30T20:30-0400",
        "2020-02-01 00:10 +02", "2020-01-31T10:20:21 UTC", "1580430000", "1580430000000",
        "['2020-01-31']", '["2020-01-31T10:00:00"]', "[2020-01-31]",
    ],
)  # fmt: skip
def test_a_common_form_of_a_date_is_not_read(value: str) -> None:
    assert days([value]) == (["2020-01-31"], ["2020-01-31"])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_time_before_1970_or_of_another_unit_is_of_another_day(
    unit: str, zone: str | None
) -> None:
    values = [dt.datetime(1969, 12, 31, 23), dt.datetime(2020, 1, 31, 0, 0, 1), None]
    assert days(values, pa.timestamp(unit, zone))[0] == ["1969-12-31", "2020-01-31", ""]


def test_a_time_of_a_zone_is_of_its_own_day() -> None:
    evening = pd.Series(pd.to_datetime(["2020-01-30 20:30"])).dt.tz_localize("America/New_York")
    assert days(pa.array(evening))[0] == ["2020-01-31"]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_a_column_of_arrows_dates_is_no_dates(kind: pa.DataType) -> None:
    assert days([DAY, None], kind) == (["2020-01-31", ""], ["2020-01-31", ""])


def test_a_month_or_a_year_is_taken_for_its_first_day() -> None:
    assert days(["2020-02", "2019"]) == (["2020-02-01", "2019-01-01"], ["2020-02-29", "2019-12-31"])
    assert days([2019, 20200131, 20200131102021])[1] == ["2019-12-31", "2020-01-31", "2020-01-31"]
    assert days([2019.0, float("nan")])[1] == ["2019-12-31", ""]


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_a_time_since_1970_is_taken_for_another_unit_unsaid(scale: int) -> None:
    read = days_of(pa.chunked_array([[1580430000 * scale]]), "date")
    assert read.first.tolist() == [NUMBER]
    odd = Odd()
    odd.update(read)
    unit = {1: "seconds", 10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}
    assert odd.said("date") == [f"'date': whole numbers are taken for {unit[scale]} since 1970"]


@pytest.mark.parametrize("kind", [pa.list_(pa.date32()), pa.large_list(pa.date32())])
def test_a_row_of_several_dates_has_one(kind: pa.DataType) -> None:
    rows = [[dt.date(2021, 1, 1), DAY], [], None, [None], [DAY]]
    assert days(rows, kind) == (
        ["2020-01-31", "", "", "", "2020-01-31"],
        ["2021-01-01", "", "", "", "2020-01-31"],
    )
    assert days(["['2020-01-31', '2021-01-01']", "[]", "2020"])[1] == [
        "2021-01-01",
        "",
        "2020-12-31",
    ]


@pytest.mark.parametrize("value", [None, "", " ", "NA", "NaT", "nan", "None", "null"])
def test_a_missing_date_is_an_error(value: str | None) -> None:
    assert days([value, "2020-01-31"])[0] == ["", "2020-01-31"]


@pytest.mark.parametrize("value", ["03/04/2020", "3-4-2020", "31.12.2020", "12/31/20", "20-01-31"])
def test_a_day_is_taken_for_a_month(value: str) -> None:
    said = refused(["2020-01-01", value])
    assert f"t.csv: column 'date' holds {value!r} in row 1" in said
    assert "nothing tells its day from its month: write ISO dates" in said


@pytest.mark.parametrize(
    "value",
    ["2020-13-01", "2020-02-30", "2019-02-29", "20200230", "202001", "2020-001", "x",
     "2020-01-31T25:00", "2020-01-31T10:61", "2020-01-31x", "1", "0", "-5", "99999", "31 Jan 2020",
     "['2020-01-31', 'x']"],
)  # fmt: skip
def test_what_is_no_date_is_taken_for_one(value: str) -> None:
    said = refused([None, value, value])
    assert "in row 1, and 1 row more like it, no date that is read: write ISO dates" in said


@pytest.mark.parametrize(
    ("values", "kind"),
    [([True], None), ([dt.time(1)], None), ([b"2020"], None), ([{"a": 1}], None)],
)
def test_a_column_of_no_dates_ends_in_a_traceback(values: Any, kind: Any) -> None:
    assert "no dates: name another column" in refused(values, kind)


@pytest.mark.parametrize("value", [2020.5, float("inf"), -1.0, 1e300])
def test_a_real_number_is_taken_for_a_date(value: float) -> None:
    assert "no date that is read" in refused([value])


@settings(max_examples=60)
@given(st.lists(st.text(max_size=24), max_size=8))
def test_odd_text_ends_in_a_traceback(values: list[str]) -> None:
    with suppress(WherefromError):
        first, last = days(values, pa.string())
        assert len(first) == len(last) == len(values)


@settings(max_examples=30)
@given(st.lists(st.dates(dt.date(1500, 1, 1), dt.date(2199, 12, 31)), min_size=1, max_size=30))
def test_a_day_is_read_as_another(dates: list[dt.date]) -> None:
    asked = [date.isoformat() for date in dates]
    plain = [date.replace("-", "") for date in asked]
    assert days(asked)[0] == days(plain)[0] == days(list(map(int, plain)))[0] == asked
    assert days([f"{date}T23:59:59.9Z" for date in asked])[0] == asked


@settings(max_examples=40)
@given(
    st.integers(-14 * 60, 14 * 60), st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))
)
def test_a_zone_is_added_and_not_taken_away(minutes: int, time: dt.datetime) -> None:
    zoned = time.replace(second=0, microsecond=0, tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    assert days([zoned.isoformat()])[0] == [zoned.astimezone(dt.UTC).date().isoformat()]


def test_odd_dates_of_pieces_are_counted_otherwise_than_of_the_whole() -> None:
    column = pa.chunked_array([["2020-01-01", None, "1920", "2150", "1930"]])
    read = days_of(column, "date")
    whole, odd = Odd(), Odd()
    whole.update(read)
    for at in range(0, 5, 2):
        piece = Odd()
        piece.update(days_of(column.slice(at, 2), "date"), at)
        odd.merge(piece)
    assert odd.said("date") == whole.said("date") == [
        "'date': 1 row has no date (first: 1)",
        "'date': 2 rows are dated before 1950 (first: 2)",
        "'date': 1 row is dated in the future (first: 3)",
    ]  # fmt: skip


# The layers.


def test_a_season_of_the_south_is_that_of_the_north() -> None:
    months = [f"2020-{month:02d}-15" for month in (12, 2, 3, 5, 6, 8, 9, 11)]
    north = ["winter", "winter", "spring", "spring", "summer", "summer", "autumn", "autumn"]
    assert labels(pool_of(months), "season") == north
    assert labels(pool_of(months, lat=-10.0), "season") == north[4:] + north[:4]
    assert labels(pool_of(months, lat=0.0), "season") == north


def test_rows_of_several_seasons_or_years_have_one_of_them() -> None:
    rows = ["2020", "2020-07", "['2020-06-01', '2020-08-31']", "['2019-07-01', '2020-07-01']",
            "['2019-12-20', '2020-01-05']", "['2020-07-01', '2020-09-01']", None]  # fmt: skip
    pool = pool_of(rows)
    assert labels(pool, "season") == ["", "summer", "summer", "", "winter", "", ""]
    assert labels(pool, "month") == ["", "07", "", "", "", "", ""]
    assert labels(pool, "year") == ["2020", "2020", "2020", "", "", "2020", ""]
    assert labels(pool, "year_span") == [
        "2020", "2020", "2020", "2019-2020", "2019-2020", "2020", "",
    ]  # fmt: skip


def test_the_years_of_a_place_are_those_of_a_row() -> None:
    dates, lon = ["2017-01-01", "2020-01-01", "2019-05-01", None], [5.0, 5.0, 6.0, 7.0]
    assert labels(pool_of(dates, lon=lon), "year_span") == ["2017-2020", "2017-2020", "2019", ""]
    table = {
        "lon": np.arange(4.0),
        "lat": np.zeros(4),
        "date": dates,
        "tile": ["a", "a", "b", None],
    }
    pool = Pool.from_table(table, time=Dates("date", place="tile"))
    assert labels(pool, "year_span") == ["2017-2020", "2017-2020", "2019", ""]


def test_a_start_and_an_end_are_two_tables_worth_of_dates() -> None:
    table = {
        "lon": [1.0, 2.0],
        "lat": [5.0] * 2,
        "a": ["2020-06-01", None],
        "b": ["2020-08-01"] * 2,
    }
    assert labels(Pool.from_table(table, time="a,b"), "season") == ["summer", "summer"]
    with pytest.raises(WherefromError, match="'b' is after 'a' in row 0: exchange or mend them"):
        Pool.from_table(table, time="b,a")
    with pytest.raises(WherefromError, match="unknown column of dates of table 'c'"):
        Pool.from_table(table, time="a,c")


def test_a_column_of_ones_own_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    pool = pool_of(["2020-07-01"] * 2, year=["mine", "yours"])
    assert labels(pool, "year") == ["mine", "yours"]
    assert labels(pool, "time_year") == ["2020", "2020"]
    assert (
        "has a column 'year' of its own; that of 'date' is 'time_year'" in capsys.readouterr().err
    )
    with pytest.raises(WherefromError, match="columns 'year' and 'time_year' of its own"):
        pool_of(["2020"], year=["a"], time_year=["b"])


def test_written_and_read_again_a_pool_has_no_dates_or_has_them_twice(tmp_path: Path) -> None:
    pool = pool_of(["2020-07-01", "2021-01-01"])
    file = tmp_path / "pool.parquet"
    pool.write(file)
    roles = {name: name for name in ("season", "month", "year", "year_span")}
    for again in (Pool.read(file), Pool.read(file, time="date"), scan(file).load()):
        assert time_columns(again.table.schema) == roles
        assert again.columns == pool.columns
        assert labels(again, "season") == ["summer", "winter"]
    days = days_in(pool.table)
    assert days is not None
    assert written(days.last).tolist() == ["2020-07-01", "2021-01-01"]
    assert days_in(pa.table({"date": ["2020"]})) is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    dates = (np.datetime64("2018-01-01") + rng.integers(0, 1500, 900)).astype(str)
    table = pa.table({"lon": rng.uniform(-180, 180, 900), "lat": rng.uniform(-60, 70, 900),
                      "date": dates, "use": rng.choice(["a", "b"], 900)})  # fmt: skip
    (tmp_path / "parts").mkdir()
    pq.write_table(table, tmp_path / "whole.parquet")
    pq.write_table(table.slice(0, 500), tmp_path / "parts" / "a.parquet", row_group_size=70)
    pq.write_table(table.slice(500), tmp_path / "parts" / "b.parquet")
    return tmp_path


def test_what_a_folder_gives_is_not_what_a_table_gives(folder: Path) -> None:
    dates = Dates("date", growing=True)
    whole = open_pool(folder / "whole.parquet", time=dates)
    parts = open_pool(folder / "parts", time=dates)
    assert set(whole.columns) - set(parts.columns) == {"year_span"}
    with pytest.raises(WherefromError, match=r"year_span is of all rows .* \(time='date'\)"):
        parts.labels("year_span")
    for name in ("season", "month", "year", "growing_season"):
        assert whole.labels(name) == parts.labels(name)
        assert whole.labels_key(name) == parts.labels_key(name)
    spec = "stratified:layer=season"
    assert draw(whole, spec, 40, 1).ids.tolist() == draw(parts, spec, 40, 1).ids.tolist()


def test_the_years_of_a_place_in_a_folder_are_those_of_its_rows_in_one_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dates = Dates("date", place="use", spans=True)
    whole, parts = (open_pool(folder / name, time=dates) for name in ("whole.parquet", "parts"))
    assert whole.labels("year_span") == ("2018-2022",)
    assert whole.labels_key("year_span") == parts.labels_key("year_span")
    spec = "stratified:layer=year_span,short=cap"
    drawn = [draw(folder / name, spec, 40, time="date").ids for name in ("whole.parquet", "parts")]
    np.testing.assert_array_equal(*drawn)
    monkeypatch.setattr("wherefrom.pool.opening.IN_MEMORY", 899)
    with pytest.raises(WherefromError, match=r"year_span: .*parts has 900 rows, more than the 899"):
        open_pool(folder / "parts", time=dates)


def test_a_folder_hides_an_unreadable_date_or_an_odd_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "parts" / "b.parquet"
    for value, row in (("1930", 20), ("soon", 30)):
        table = pq.read_table(file)
        dates = table["date"].to_pylist()
        dates[row] = value
        pq.write_table(table.set_column(2, "date", [dates]), file, row_group_size=25)
        if value == "1930":
            open_pool(folder / "parts", time="date")
            said = "'date': 1 row is dated before 1950 (first: b.parquet row 20)"
            assert said in capsys.readouterr().err
    for look in (open_pool, inspect):
        with pytest.raises(
            WherefromError, match=r"b\.parquet: column 'date' holds 'soon' in row 30"
        ):
            look(folder / "parts", time="date")


def test_dates_in_the_names_of_folders_are_not_found(folder: Path) -> None:
    for year in (2019, 2020):
        (folder / "keyed" / f"year={year}").mkdir(parents=True)
        table = pq.read_table(folder / "whole.parquet").slice(year - 2019, 5)
        pq.write_table(table, folder / "keyed" / f"year={year}" / "a.parquet")
    pool = open_pool(folder / "keyed", time="year")
    assert pool.labels("time_year") == ("2019", "2020")
    assert pool.labels("year") == ("2019", "2020")
    own = open_pool(folder / "keyed" / "year=2020" / "a.parquet", time="year")
    assert own.labels("time_year") == ("2020",)


def test_a_file_beside_must_have_dates_too(folder: Path) -> None:
    (folder / "tests.csv").write_text("lon,lat\n1,2\n3,4\n")
    assert open_beside(folder / "tests.csv", time="date").columns == ()
    assert "season" in open_beside(folder / "whole.parquet", time="date").columns


def test_a_place_grows_by_another_rule_than_is_said() -> None:
    # Moscow in July is warm and humid; in January it is cold. Athens in July is warm and dry.
    table = {
        "lon": [37.6, 37.6, 23.7, -60.0, 0.0], "lat": [55.75, 55.75, 38.0, -3.0, 0.0],
        "date": ["2020-07-01", "2020-01-01", "2020-07-01", "2020-01-01", None],
    }  # fmt: skip
    pool = Pool.from_table(table, time=Dates("date", growing=True))
    assert labels(pool, "growing_season") == ["in", "out", "out", "in", ""]


def test_a_frame_is_drawn_from_by_season_with_columns_that_it_had_not() -> None:
    frame = pd.DataFrame({
        "lon": np.arange(40.0), "lat": np.full(40, 45.0),
        "when": pd.date_range("2020-01-01", periods=40, freq="9D"),
    })  # fmt: skip
    drawn = draw(frame, "stratified:layer=season", 8, time="when")
    assert list(drawn.columns) == [*frame.columns, "multiplicity", "inclusion_probability"]
    assert sorted((drawn["when"].dt.month % 12 // 3).tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(draw(frame, "stratified:layer=continent,short=cap", 4, time="when"))


def test_rows_are_taken_for_places_by_a_check(tmp_path: Path) -> None:
    table = pa.table({"lon": [5.0, 5.0, 6.0, 6.5], "lat": [1.0] * 4, "tile": ["a", "a", "b", "b"]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert inspect(tmp_path / "a.parquet").places == 3
    seen = inspect(tmp_path / "a.parquet", place="tile")
    assert (seen.rows, seen.places) == (4, 2)
    assert seen.notes[0].startswith(
        "1 of 2 places by 'tile' has rows more than 1 km from its first"
    )
    with pytest.raises(WherefromError, match="unknown column of places"):
        inspect(tmp_path / "a.parquet", place="til")
    with pytest.raises(WherefromError, match=r"place='tile': .* name one file of it"):
        inspect(tmp_path, place="tile")


def test_the_seasons_of_a_real_set_are_not_those_of_its_dates(reference_data: Path) -> None:
    file = reference_data / "field" / "files" / "ssl4eo_s12_v1.1_val_metadata.parquet"
    if not file.is_file():
        pytest.skip(f"no {file}")
    pool = Pool.read(file, time=Dates("time", place="sample_id"))
    assert (len(pool), inspect(file, place="sample_id").places) == (8704, 2176)
    counts = pool.counts("season")
    assert counts is not None
    assert counts.sum() == 8704
    assert counts.min() > 2100
    assert pool.labels("year_span") == ("2019-2020", "2020", "2020-2021", "2021")
