"""`--time` and `--place`: what is said of rows, places and dates, and one line of error."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from running import Run

ROWS = "x,y,tile,date\n5,50,a,2020-01-05\n5,50,a,2020-07-05\n5.1,-50,b,2020-01-05\n6,50,c,\n"
AXES = ("--lon", "x", "--lat", "y")


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    file = tmp_path / "scenes.csv"
    file.write_text(ROWS)
    return file


def test_check_counts_rows_for_places(run: Run, scenes: Path) -> None:
    done = run("pool", "check", scenes, *AXES, "--time", "date", "--place", "tile")
    assert done.returncode == 0, done.stderr
    assert f"{scenes}: 4 rows of 3 places, ids are whole numbers, other columns: " in done.stdout
    assert "tile, date, season, month, year, year_span" in done.stdout
    assert f"note: {scenes}: 'date': 1 row has no date (first: 3)" in done.stderr
    assert "4 rows of 3 places" in run("pool", "check", scenes, *AXES).stdout


def test_a_season_is_no_stratum_of_a_draw(run: Run, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn.parquet"
    words = ("draw", scenes, *AXES, "--time", "date", "--places", "--out", out)
    done = run(*words, "--sampler", "only:layer=season,label=summer", "-n", 2)
    assert done.returncode == 0, done.stderr
    drawn = pq.read_table(out)
    assert drawn["lat"].to_pylist() == [50.0, -50.0]
    assert drawn["season"].to_pylist() == ["summer", "summer"]
    assert drawn["month"].to_pylist() == ["07", "01"]


@pytest.mark.parametrize("command", ["check", "draw", "audit"])
@pytest.mark.parametrize(
    ("value", "said"),
    [("05/01/2020", "nothing tells its day from its month"), ("soon", "no date that is read")],
)
def test_an_unreadable_date_is_more_than_a_line(
    run: Run, scenes: Path, tmp_path: Path, command: str, value: str, said: str
) -> None:
    scenes.write_text(ROWS + f"7,50,d,{value}\n")
    words = {
        "check": ("pool", "check", scenes),
        "draw": ("draw", scenes, "--sampler", "uniform", "-n", 1, "--out", tmp_path / "o.parquet"),
        "audit": ("audit", scenes, "--layers", "season"),
    }
    error = run(*words[command], *AXES, "--time", "date").error
    assert f"{scenes}: column 'date' holds {value!r} in row 4" in error
    assert said in error


def test_a_labelled_pool_has_no_seasons(run: Run, scenes: Path, tmp_path: Path) -> None:
    words = ("pool", "label", scenes, *AXES, "--out", tmp_path / "dated", "--time")
    assert "unknown column of dates" in run(*words, "til").error
    done = run(*words, "date")
    assert done.returncode == 0, done.stderr
    assert "  season: 2 labels, 1 place without\n  month: 2 labels" in done.stdout
    assert "  year_span: 1 label, 1 place without\n" in done.stdout
    out = ("-n", 2, "--out", tmp_path / "drawn.parquet")
    draw = ("draw", tmp_path / "dated", "--sampler", "only:layer=season,label=summer", *out)
    assert run(*draw).returncode == 0
    assert pq.read_table(tmp_path / "drawn.parquet")["id"].to_pylist() == [1, 2]


def test_a_column_that_is_not_there_is_more_than_a_line(run: Run, scenes: Path) -> None:
    for flag, kind in (("--time", "dates"), ("--place", "places")):
        for command in (("pool", "check"), ("audit",)):
            error = run(*command, scenes, *AXES, flag, "til").error
            assert f"unknown column of {kind} of {scenes} 'til': did you mean 'tile'?" in error
