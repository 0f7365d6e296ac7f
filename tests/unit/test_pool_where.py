"""Conditions on columns: what they say is what is kept, in memory and in files alike."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wherefrom
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, PoolScan, open_pool
from wherefrom.pool.where import Where

ROWS = {
    "cloud": [0.1, 0.5, None, math.nan, 0.3],
    "year": [2019, 2020, 2021, None, 2020],
    "season": ["dry", "wet", "", None, "it's"],
    "two words": [True, False, None, True, False],
}
TABLE = pa.table(ROWS)

# A condition as text, and as a function of a row that tells True, False or None (unknown).
Said = tuple[str, Any]
SIGNS = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b, "=": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip


def held(row: dict[str, Any], name: str) -> Any:
    value = row[name]
    return None if isinstance(value, float) and math.isnan(value) else value


def comparison(name: str, sign: str, text: str, value: Any) -> Said:
    def told(row: dict[str, Any]) -> bool | None:
        own = held(row, name)
        return None if own is None else bool(SIGNS[sign](own, value))

    return f"{name} {sign} {text}", told


def negated(said: Said) -> Said:
    def told(row: dict[str, Any]) -> bool | None:
        one = said[1](row)
        return None if one is None else not one

    return f"not ({said[0]})", told


def joined(word: str, one: Said, other: Said) -> Said:
    def told(row: dict[str, Any]) -> bool | None:
        both = one[1](row), other[1](row)
        decides = word == "or"
        if decides in both:
            return decides
        return None if None in both else not decides

    return f"({one[0]}) {word} ({other[0]})", told


numbers = st.sampled_from([("0.3", 0.3), ("-1", -1), ("2020", 2020), ("5e-1", 0.5)])
texts = st.sampled_from([("'dry'", "dry"), ('"wet"', "wet"), ("'it''s'", "it's"), ("''", "")])
leaves = st.one_of(
    st.builds(lambda n, s, v: comparison(n, s, *v), st.sampled_from(["cloud", "year"]),
              st.sampled_from(list(SIGNS)), numbers),
    st.builds(lambda s, v: comparison("season", s, *v), st.sampled_from(["=", "!="]), texts),
    st.just(("`two words` = true", lambda row: row["two words"])),
    st.just(("cloud is null", lambda row: held(row, "cloud") is None)),
    st.just(("season is not null", lambda row: row["season"] not in (None, ""))),
    st.just(("year in (2019, 2021)",
             lambda row: None if row["year"] is None else row["year"] in (2019, 2021))),
)  # fmt: skip
conditions = st.recursive(
    leaves,
    lambda one: st.one_of(
        st.builds(negated, one), st.builds(joined, st.sampled_from(["and", "or"]), one, one)
    ),
    max_leaves=5,
)


@given(conditions)
@settings(max_examples=150, deadline=None)
def test_a_condition_keeps_other_rows_than_it_says(said: Said) -> None:
    text, told = said
    rows = TABLE.to_pylist()
    assert Where(text).kept(TABLE, "t").tolist() == [told(row) is True for row in rows]


@given(st.text(alphabet="cloud seanyr<>=!'\"`(),.0123-+andoritul", max_size=25))
@settings(max_examples=200, deadline=None)
def test_odd_text_ends_in_a_traceback(text: str) -> None:
    with contextlib.suppress(WherefromError):
        assert len(Where(text).kept(TABLE, "t")) == len(TABLE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cluod < 3", "column of t .where cluod < 3. 'cluod': did you mean 'cloud'"),
        ("cloud <", "it ends where a column or a value is due; write such as cloud < 0.3"),
        ("cloud < 0.3 year = 3", "'year' was not expected"),
        ("cloud = null", "write `is null`"),
        ("cloud < '0.3'", "holds numbers, and '0.3' is text: leave the quotation marks out"),
        ("season = 3", "is text .it holds 'dry'., not numbers"),
        ("season = true", "write 'true'"),
        ("two words = true", "after 'two' one of"),
        ("cloud < season", "is text .it holds 'dry'., not numbers"),
        ("__import__('os')", "after '__import__' one of"),
        ("(cloud < 1", "'\\)' is due before 'the end'"),
        ("", "it ends where"),
    ],
)
def test_a_mistake_in_a_condition_is_not_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(WherefromError, match=message):
        Where(text).kept(TABLE, "t")


def test_numbers_as_text_and_dates_are_compared_as_text(tmp_path: Path) -> None:
    days = pa.array(["2020-01-31", "2021-01-31"]).cast(pa.date32())
    table = pa.table({"code": ["007", "10"], "day": days})
    assert Where("code < 9").kept(table, "t").tolist() == [True, False]
    assert Where("day >= '2021-01-01'").kept(table, "t").tolist() == [False, True]
    with pytest.raises(WherefromError, match="write '2020-12-31'"):
        Where("day > 'May'").kept(table, "t")


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    rng = np.random.default_rng(0)
    built = Pool.build(600, seed=4)
    day = np.datetime64("2020-01-15") + 30 * rng.integers(12, size=600)
    return pa.table(
        {
            "x": np.where(np.arange(600) == 7, 999.0, built.lon),
            "y": built.lat,
            "cloud": rng.random(600),
            "day": pa.array(day.astype(str)),
        }
    )


@pytest.mark.parametrize(
    "where", ["cloud < 0.3 and y > 0 and x < 900", "season = 'summer' and cloud < 0.9 and x<900"]
)
def test_what_is_kept_depends_on_how_a_pool_is_opened(
    tmp_path: Path, rows: pa.Table, where: str
) -> None:
    pq.write_table(rows, tmp_path / "one.parquet")
    folder = tmp_path / "many"
    folder.mkdir()
    for at in range(0, 600, 200):  # of several row groups each
        pq.write_table(rows.slice(at, 200), folder / f"{at:03}.parquet", row_group_size=64)
    columns = {"lon": "x", "lat": "y", "time": "day", "where": where}
    one = Pool.read(tmp_path / "one.parquet", **columns)
    many = open_pool(folder, **columns)
    assert isinstance(many, PoolScan)
    assert 0 < len(one) < 600
    assert (len(many), many.key, many.origin) == (len(one), one.key, one.origin)
    assert one.origin == f"rows where {where}"
    # Ids are the rows of the whole table, so that they can be found there.
    assert one.lon == pytest.approx(rows["x"].to_numpy()[one.ids])
    assert many.load().ids.tolist() == one.ids.tolist()
    drawn = [
        wherefrom.draw(pool, "stratified:layer=season,short=cap", n=20) for pool in (one, many)
    ]
    assert drawn[0].key == drawn[1].key


def test_a_faulty_row_that_is_left_out_is_refused(tmp_path: Path, rows: pa.Table) -> None:
    pq.write_table(rows, tmp_path / "t.parquet")
    with pytest.raises(WherefromError, match=r"row.* 7 \(x 999\)"):
        Pool.read(tmp_path / "t.parquet", lon="x", lat="y")
    with pytest.raises(WherefromError, match=r": 7 \(x 999\)"):  # numbered as in the table
        Pool.read(tmp_path / "t.parquet", lon="x", lat="y", where="y < 91 and x != 1")
    assert len(Pool.read(tmp_path / "t.parquet", lon="x", lat="y", where="x < 900")) == 599


def test_rows_drawn_of_a_frame_do_not_meet_the_condition(
    rows: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = rows.to_pandas().set_index(pd.Index(np.arange(600) + 1000, name="tile"))
    given = {"lon": "x", "lat": "y", "id": "tile", "where": "cloud < 0.3"}
    drawn = wherefrom.draw(frame[frame.x < 900], "uniform", n=50, **given)
    assert len(drawn) == 50
    assert (drawn.cloud < 0.3).all()
    assert "left out" in capsys.readouterr().err
    pool = Pool.build(10)
    with pytest.raises(WherefromError, match="where= is for a table or a path"):
        wherefrom.draw(pool, "uniform", n=5, where="id < 3")
    found = wherefrom.audit(frame, layers=["continent"], **given)
    assert all("--where 'cloud < 0.3'" in each.command for each in found.findings if each.command)


def test_a_condition_that_no_row_meets_is_an_empty_pool(tmp_path: Path, rows: pa.Table) -> None:
    pq.write_table(rows, tmp_path / "t.parquet")
    for path in (tmp_path / "t.parquet", tmp_path):
        with pytest.raises(WherefromError, match="none of 600 rows is left where cloud > 2"):
            open_pool(path, lon="x", lat="y", where="cloud > 2")
