"""What an audit says of seasons, months, years and places; balanced sets have no finding."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import wherefrom
from wherefrom.auditing import audit as engine
from wherefrom.auditing.audit import Audit
from wherefrom.auditing.faults import Axes, Opened, Zeros, cleaned
from wherefrom.auditing.seasons import Time
from wherefrom.auditing.shares import Layers
from wherefrom.auditing.space.duplicates import Duplicates
from wherefrom.auditing.space.region import Region
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.seasons import Dates
from wherefrom.report.audit_page import audit_page
from wherefrom.report.audit_text import audit_text

OURS = {"one-season", "north-lacks-season", "south-lacks-season", "one-year"}
#: What is looked at here: the simulations of the others take seconds.
FEW = (Layers, Duplicates, Axes, Zeros, Region, Time)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "STATISTICS", FEW)


def table(dates: Any, lat: Any, **columns: Any) -> dict[str, Any]:
    return {"lon": np.linspace(0, 50, len(dates)), "lat": lat, "date": dates, **columns}


def audit(data: Any, **options: Any) -> Audit:
    return wherefrom.audit(data, **{"time": "date", "layers": [], **options})


def told(found: Audit) -> dict[str, Any]:
    return {each.name: each for each in found.findings if each.name in OURS}


def any_day(rng: np.random.Generator, rows: int) -> np.ndarray:
    return np.datetime64("2018-01-01") + rng.integers(0, 4 * 365, rows)


def in_summer(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Return days of June to August of four years."""
    june = np.array([f"{year}-06-01" for year in range(2018, 2022)], dtype="datetime64[D]")
    return june[rng.integers(0, 4, rows)] + rng.integers(0, 92, rows)


@pytest.mark.parametrize("seed", range(4))
def test_a_balanced_set_has_a_finding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = 900
    found = audit(table(any_day(rng, rows), rng.uniform(-60, 70, rows)))
    assert told(found) == {}
    assert found.time.rows_dated == rows
    assert sum(found.time.years.values()) == rows


def test_a_few_places_in_the_south_lack_a_season() -> None:
    rng = np.random.default_rng(0)
    dates = np.concatenate([any_day(rng, 900), in_summer(rng, 99)])
    lat = np.concatenate([np.full(900, 40.0), np.full(99, -30.0)])
    assert told(audit(table(dates, lat))) == {}


def test_summers_of_the_north_are_all_there_is_and_nothing_is_said() -> None:
    rng = np.random.default_rng(0)
    dates = np.concatenate([in_summer(rng, 760), any_day(rng, 240)])
    lat = np.concatenate([np.full(800, 40.0), np.full(200, -30.0)])
    found = audit(table(dates, lat))
    (finding,) = told(found).values()
    assert finding.name == "one-season"
    assert finding.size == pytest.approx(0.77, abs=0.02)
    assert finding.text.startswith(
        "Summer only: 96 % of 800 rows north of the equator are of summer"
    )
    first, _, then = finding.command.partition(" && ")
    assert shlex.split(first)[3:] == [
        "--within", "box=-180,0,180,90", "--time", "date", "--clean", "clean.parquet",
    ]  # fmt: skip
    assert shlex.split(then)[:5] == [
        "wherefrom", "draw", "clean.parquet", "--sampler", "stratified:layer=season,short=cap",
    ]  # fmt: skip


def test_a_season_that_is_all_is_drawn_from_for_others() -> None:
    rng = np.random.default_rng(0)
    found = told(audit(table(in_summer(rng, 500), rng.choice([40.0, -30.0], 500))))
    assert set(found) == {"one-season"}
    assert found["one-season"].size == 1.0
    assert "of summer (June to August) and 100 %" in found["one-season"].text
    assert "south of the equator are of winter (June to August)" in found["one-season"].text
    assert (
        found["one-season"].command == "wherefrom audit places.parquet --clean places-new.parquet"
    )


def test_a_south_without_winter_is_not_told() -> None:
    rng = np.random.default_rng(0)
    dates = any_day(rng, 1200)
    months = dates.astype("datetime64[M]").astype(int) % 12
    lat = np.where(np.arange(1200) < 700, 30.0, -20.0)
    kept = ~((lat < 0) & np.isin(months, [5, 6, 7]))
    found = audit(table(dates[kept], lat[kept]))
    (finding,) = told(found).values()
    assert finding.name == "south-lacks-season"
    assert finding.text.startswith("The south has no winter: of ")
    assert "0 are of winter (June to August)" in finding.text
    assert finding.size == pytest.approx((lat[kept] < 0).mean())
    assert "--within box=-180,-90,180,0 --clean south-places.parquet" in finding.command
    assert "--time" not in finding.command


@pytest.mark.parametrize("share", [1.0, 0.93, 0.8])
def test_one_year_is_told_where_it_is_not_one(share: float) -> None:
    rng = np.random.default_rng(0)
    year = np.where(rng.random(1000) < share, 2020, 2019)
    found = told(audit(table(any_day_of(rng, year), rng.uniform(-50, 60, 1000))))
    if share == 0.8:
        assert found == {}
        return
    assert set(found) == {"one-year"}
    assert ("stratified:layer=year" in found["one-year"].command) == (share < 1.0)


def any_day_of(rng: np.random.Generator, year: np.ndarray) -> np.ndarray:
    first = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]")
    return first + rng.integers(0, 365, len(year))


@pytest.fixture(scope="module")
def seasons() -> pa.Table:
    """150 places with four rows each, in the north and in the south, and 30 with three."""
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-100, 100, 180), rng.uniform(-50, 60, 180)
    place, season = np.repeat(np.arange(180), 4), np.tile(np.arange(4), 180)
    kept = ~((place >= 150) & (season == 2))
    place, season = place[kept], season[kept]
    dates = np.array(["2020-01-10", "2020-04-10", "2020-07-10", "2021-10-10"])[season]
    # Rows of a place lie up to some 3 km apart.
    return pa.table({
        "lon": lon[place] + 0.01 * season, "lat": lat[place], "date": dates,
        "tile": [f"T{at:03d}" for at in place],
    })  # fmt: skip


def test_rows_and_places_are_one_number(seasons: pa.Table) -> None:
    found = audit(seasons, place="tile", layers=["continent", "season"])
    assert found.about["rows"] == found.about["places"] == 690
    assert found.about["distinct"] == 180
    assert found.about["place"] == "tile"
    (note,) = found.about["notes"]
    assert note.startswith("180 of 180 places by 'tile' have rows more than 1 km from their first")
    assert found.time.places == 180
    assert found.time.all_seasons == 150
    assert found.time.north.places + found.time.south.places == 180
    assert found.time.north.rows + found.time.south.rows == 690
    assert found.layers["continent"].places + found.layers["continent"].none == 180
    assert found.layers["season"].places == 690
    for shown in (audit_text(found), audit_page(found)):
        for said in (
            "690 rows of 180 places",
            "690 rows",
            "180 places",
            "150 of 180 places (83 %)",
        ):
            assert said in shown
    assert "690 rows of 180 places" in found._repr_html_()
    plain = found.to_dict()["time"]
    assert (plain["places"], plain["all_seasons"], plain["rows_dated"]) == (180, 150, 690)


def test_without_a_column_rows_near_to_each_other_are_one_place(seasons: pa.Table) -> None:
    assert audit(seasons).about["distinct"] == 690
    assert audit(seasons).time.all_seasons is None


def test_other_days_of_a_place_are_repeats() -> None:
    rng = np.random.default_rng(0)
    place, rows = np.repeat(np.arange(200), 3), 600
    lon, lat = rng.uniform(-100, 100, 200)[place], rng.uniform(-50, 60, 200)[place]
    days = np.datetime64("2020-01-01") + np.arange(rows)
    names = [each.name for each in audit({"lon": lon, "lat": lat, "date": days}).findings]
    assert "duplicates" not in names
    again = np.where(np.arange(rows) % 3 == 1, days - 1, days)
    pool = Pool.from_table({"lon": lon, "lat": lat, "date": again}, time="date")
    (finding,) = [each for each in audit(pool).findings if each.name == "duplicates"]
    assert finding.size == pytest.approx(1 / 3)
    assert "place and day of an earlier row" in finding.text
    left, gone = cleaned(Opened(pool))
    assert len(left) == 400
    assert gone["repeat place and day of an earlier row"] == 200
    assert "season" in left.columns


def test_a_composition_of_dated_rows_counts_rows_that_it_has_not() -> None:
    rng = np.random.default_rng(0)
    data = table(any_day(rng, 300), rng.uniform(-50, 60, 300))
    weights = (np.arange(300) % 3 == 0) * 2.0
    found = audit(data, weights=weights)
    assert found.time.rows_dated == 200.0
    assert found.time.places == 100


def test_rows_without_a_season_are_counted_as_some() -> None:
    dates = ["2020"] * 100 + ["2020-07-01"] * 100 + [None] * 50
    found = audit(table(dates, np.full(250, 45.0)))
    assert found.time.north.rows == 250
    assert sum(found.time.north.seasons.values()) == 100
    assert found.time.years == {"2020": 200.0}
    assert (found.time.rows_dated, found.time.rows_other) == (200.0, 50.0)
    assert found.time.rows()[0][-1] == "150"


def test_a_table_without_dates_has_a_section_time() -> None:
    data = {"lon": np.arange(20.0), "lat": np.arange(20.0), "season": ["dry"] * 20}
    found = wherefrom.audit(data, layers=["season"])
    assert found.time is None
    assert found.to_dict()["time"] is None


def test_seasons_beside_another_set_with_dates_are_not_compared() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = any_day(rng, 800), in_summer(rng, 800)
    lat = rng.uniform(10, 60, 800)
    found = audit(table(ours, lat), against=table(theirs, lat), layers=None)
    finding = {each.name: each for each in found.findings}["season"]
    assert "match:target=target.parquet,over=season" in finding.command
    assert "--time date --clean target.parquet && wherefrom draw" in finding.command
    alone = audit(table(ours, lat), against={"lon": lat, "lat": lat}, layers=None)
    assert "season" not in alone.layers


def test_a_column_of_places_that_is_not_there_is_passed_over(seasons: pa.Table) -> None:
    with pytest.raises(WherefromError, match=r"column of places of .* 'til': did you mean 'tile'"):
        audit(seasons, place="til")
    with pytest.raises(WherefromError, match=r"column of places of .* 'til': did you mean 'tile'"):
        audit(seasons, place="til", time=None)


def test_a_column_of_ones_own_name_hides_ours() -> None:
    rng = np.random.default_rng(0)
    data = table(in_summer(rng, 300), np.full(300, 45.0), season=["dry"] * 300)
    found = audit(Pool.from_table(data, time=Dates("date")))
    assert told(found)["one-season"]
    assert found.time.columns["season"] == "time_season"


def test_places_of_one_point_are_told_as_rows() -> None:
    rng = np.random.default_rng(0)
    tile = np.repeat(np.arange(200), 2)
    at = np.where(tile < 150, tile, tile - 100)  # 50 tiles lie where others do
    lon, lat = rng.uniform(-100, 100, 200)[at], rng.uniform(-50, 60, 200)[at]
    found = wherefrom.audit({"lon": lon, "lat": lat, "tile": tile}, place="tile", layers=[])
    (finding,) = [each for each in found.findings if each.name == "duplicates"]
    assert finding.size == pytest.approx(50 / 200)
    assert "25 % of the places by 'tile' are where an earlier one is: 200 of them" in finding.text
    assert (found.about["rows"], found.about["distinct"]) == (400, 200)


def test_the_growing_season_is_shown_without_its_source() -> None:
    rng = np.random.default_rng(0)
    data = table(any_day(rng, 60), rng.uniform(-50, 60, 60))
    found = audit(data, layers=["growing_season"])
    rows = {row.label: row.places for row in found.layers["growing_season"].rows}
    assert set(rows) <= {"in", "out"}
    assert "ERA5" in audit_page(found)
    assert "ERA5" not in audit_page(audit(data, layers=["season"]))
