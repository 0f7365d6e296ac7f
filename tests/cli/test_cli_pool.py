"""`wherefrom pool`: results on stdout, one line of error, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from running import Run

from wherefrom import earth


def test_build_writes_a_pool_with_layers(run: Run, tmp_path: Path) -> None:
    if not earth.available("land"):
        pytest.skip("no land polygons on this machine: wherefrom data fetch")
    out = tmp_path / "deep" / "pool.parquet"
    done = run("pool", "build", "--places", 500, "--out", out, "--layers", "continent")
    assert done.returncode == 0, done.stderr
    assert "500 places, uniform by area on land without Antarctica, seed 0" in done.stdout
    assert pq.read_table(out).column_names == ["id", "lon", "lat", "continent"]
    checked = run("pool", "check", out)
    assert checked.returncode == 0
    assert "fit for a pool" in checked.stdout


def test_build_with_an_unknown_layer_leaves_no_file(run: Run, tmp_path: Path) -> None:
    if not earth.available("land"):
        pytest.skip("no land polygons on this machine: wherefrom data fetch")
    out = tmp_path / "pool.parquet"
    done = run("pool", "build", "--places", 50, "--out", out, "--layers", "continents")
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown layer 'continents': did you mean 'continent'?")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_check_reports_every_fault_with_rows_and_fails(run: Run, tmp_path: Path) -> None:
    rows = ["7,10,5", "8,,1", "7,50,140", "9,200,3", "10,10,5"]
    (tmp_path / "a.csv").write_text("id,x,y\n" + "\n".join(rows) + "\n")
    done = run("pool", "check", tmp_path / "a.csv", "--lon", "x", "--lat", "y")
    assert done.returncode == 2
    assert done.stdout.splitlines()[:5] == [
        "error: x or y is missing or not finite in 1 of 5 rows: 1; remove or mend these rows",
        "error: x and y look swapped in 1 of 5 rows: 2 (y 140); give --lon y --lat x",
        "error: x is out of range in 1 of 5 rows: 3 (x 200); the range is -180 to 180 degrees: "
        "subtract 360 from these",
        "error: ids repeat in 1 of 5 rows: 2 (id 7, as in row 0); make ids unique or name another "
        "column with --id",
        "note: an earlier row has the same place in 1 of 5 rows: 4; they are drawn as separate "
        "places",
    ]
    assert "fit for a pool" not in done.stdout


def test_check_of_no_table_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("not a table")
    done = run("pool", "check", tmp_path / "a.parquet")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "is not a Parquet file" in done.stderr
