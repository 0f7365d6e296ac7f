"""Leakage in time: of places that are near, how far apart their dates are, whatever their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import measured
from wherefrom.auditing.intime import days_apart
from wherefrom.auditing.leakage import Leakage
from wherefrom.auditing.tally import run
from wherefrom.earth.apart import Neighbours
from wherefrom.pool import Pool, open_pool
from wherefrom.pool.seasons import days_in
from wherefrom.pool.time import NONE


def scenes(rows: int, seed: int, extended: bool) -> pa.Table:
    """Make rows some km apart, of one day, of several or of none, as points or tiles."""
    rng = np.random.default_rng(seed)
    lon, lat = 5.0 + rng.integers(0, 8, rows) / 120, 50.0 + rng.integers(0, 8, rows) / 120
    start = np.datetime64("2020-01-01") + rng.integers(0, 900, rows)
    end = start + rng.choice([0, 0, 90], rows)
    where = (
        {"tile": shapely.to_wkb(shapely.box(lon, lat, lon + 0.01, lat + 0.004))}
        if extended
        else {"lon": lon, "lat": lat}
    )
    none = pa.array(rng.random(rows) < 0.2)
    dates = {
        name: pa.array(np.where(none, None, days.astype(object)), pa.date32())
        for name, days in (("start", start), ("end", end))
    }
    return pa.table(where | dates)


def pool_of(table: pa.Table) -> Pool:
    return Pool.from_table(table, geometry=_geometry(table), time="start,end")


def _geometry(table: pa.Table) -> str | None:
    return "tile" if "tile" in table.column_names else None


def brute(train: Pool, test: Pool) -> np.ndarray:
    """Measure every pair by itself."""
    dates, ours = days_in(train.table), days_in(test.table)
    assert dates is not None
    assert ours is not None
    found = np.full(len(test), np.inf)
    shapes = test.footprints() if test.extended else None
    for row in np.flatnonzero(dates.first != NONE):
        own = train.footprints(np.array([row])) if train.extended else None
        one = Neighbours(train.lon[[row]], train.lat[[row]], own)
        near = one.within(test.lon, test.lat, 1.0, shapes) & (ours.first != NONE)
        apart = np.maximum(dates.first[row] - ours.last, ours.first - dates.last[row])
        found = np.where(near, np.minimum(found, np.maximum(apart, 0)), found)
    return found


@pytest.mark.parametrize("train_tiles", [False, True])
@pytest.mark.parametrize("test_tiles", [False, True])
def test_a_training_row_nearer_in_time_is_left_out(
    tmp_path: Path, train_tiles: bool, test_tiles: bool
) -> None:
    table = scenes(90, 1, train_tiles)
    train, test = pool_of(table), pool_of(scenes(70, 2, test_tiles))
    true = brute(train, test)
    assert np.isinf(true).sum() > 5
    assert (true == 0.0).sum() > 5
    assert len(np.unique(true)) > 20
    tally = days_apart(train, test)
    assert tally is not None
    (found,) = run(train, [tally])
    np.testing.assert_array_equal(found.days, true)
    assert np.isinf(tally.days).all()  # copies count, and share what they look up in
    for name, rows in (("a", slice(0, 40)), ("b", slice(40, 90))):
        pq.write_table(table[rows], tmp_path / f"{name}.parquet", row_group_size=15)
    files = open_pool(tmp_path, geometry=_geometry(table), time="start,end")
    assert files.timed
    assert files.extended == train_tiles  # bare WKB, named
    (found,) = run(files, [tally])
    np.testing.assert_array_equal(found.days, true)


def leakage(train: Pool, test: Pool) -> Leakage:
    found = measured(Asked(train, test=test, wanted=()), (Leakage,))[Leakage]
    assert isinstance(found, Leakage)
    return found


def rows_of(*rows: tuple[float, Any], time: bool = True) -> Pool:
    lon, dates = zip(*rows, strict=True)
    table = {"lon": lon, "lat": [50.0] * len(lon), "date": pa.array(dates, pa.string())}
    return Pool.from_table(pa.table(table), time="date" if time else None)


def test_one_season_of_a_training_place_counts_alone() -> None:
    train = rows_of((5.0, "2020-01-01"), (5.0, "2020-07-01"), (5.0, None), (9.0, "2020-01-01"))
    rows = [(5.0, "2020-07"), (5.005, "2021-07-20"), (5.0, None), (20.0, "2020-01-01")]
    found = leakage(train, rows_of(*rows))
    assert found.n_train == 2  # places, of which one has three rows
    assert found.time is not None
    assert (found.time.places, found.time.dated) == (3, 2)
    assert [(row.days, row.places) for row in found.time.within] == [(0, 1), (30, 1), (365, 1)]
    assert found.lines()[1] == (
        "in time: of 3 test places within 1 km of a training place, 2 have dates on both sides: "
        "50 % of the same day, 50 % within 30 days, 50 % within 365 days"
    )
    assert found.tables()[0].rows[0] == ("of the same day", "1", "50 %")
    assert found.notes() == []
    assert found.entries()["leakage"]["time"]["within"][2]["share"] == 0.5
    assert [(pair.row, pair.rows) for pair in found.nearest] == [(0, 2), (1, 1), (3, 1)]


def test_dates_of_one_side_alone_are_compared_or_passed_over_in_silence() -> None:
    rows = [(5.0, "2020-07-01"), (6.0, "2020-07-01")]
    dated, plain = rows_of(*rows), rows_of(*rows, time=False)
    for train, test, said in (
        (dated, plain, ["time was not compared: only the training places have dates"]),
        (plain, dated, ["time was not compared: only the test places have dates"]),
        (plain, plain, []),
    ):
        found = leakage(train, test)
        assert found.time is None
        assert found.lines()[1:] == said
        assert found.notes() == [f"T{line[1:]}." for line in said]
        assert len(found.tables()) == 1
    undated = rows_of((5.0, None), (6.0, None))
    said = "in time: no test place within 1 km of a training place has a date on both sides"
    assert leakage(dated, undated).lines()[1] == said
    assert leakage(undated, dated).lines()[1] == said
