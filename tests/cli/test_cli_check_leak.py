"""`wherefrom check-leak`: shares, pairs by their ids, and an exit code for checks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from running import Run

import wherefrom
from made_predictions import made_task
from wherefrom.earth.sphere import distance_km
from wherefrom.pool import Pool


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Write four places in two files of a folder."""
    folder = tmp_path / "pool"
    folder.mkdir()
    for name, tile, x in (("a", ["T1", "T2"], [10.0, 20.0]), ("b", ["T3", "T4"], [30.0, 180.0])):
        table = pa.table({"tile": tile, "x": x, "y": [0.0, 0.0]})
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


@pytest.fixture
def tests(tmp_path: Path) -> list[Path]:
    """Write test places at, near and far from those of the pool, and a polygon around one."""
    points, fields = tmp_path / "points.csv", tmp_path / "fields.parquet"
    points.write_text("id,lon,lat\np,30,0\nq,20.05,0\nr,-179.5,0\ns,-90,0\n")
    shape = shapely.box([9.0, 19.0], [-1.0, 1.0], [11.0, 21.0], [1.0, 2.0])
    Pool.from_table(
        pa.table({"id": ["f", "g"], "footprint": shapely.to_wkb(shape)}), geometry="footprint"
    ).write(fields)
    return [points, fields]


def test_shares_and_pairs_are_of_other_places_than_the_files_hold(
    run: Run, pool: Path, tests: list[Path], tmp_path: Path
) -> None:
    columns = ["--id", "tile", "--lon", "x", "--lat", "y"]
    out, numbers = tmp_path / "pairs.parquet", tmp_path / "leak.json"
    done = run("check-leak", pool, *tests, *columns, "--out", out, "--json", numbers)
    assert done.returncode == 0, done.stderr
    said = "of 4 test places 25 % overlap a place of the pool or are at one, 25 % within 1 km, "
    assert f"{tests[0]}: {said}50 % within 10 km, 75 % within 100 km" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[3:8]] == ["test", *"pqrs"]
    told = json.loads(numbers.read_text())
    assert told["pool"]["places"] == 4
    assert [test["footprints"] for test in told["tests"]] == [False, True]
    assert [row["places"] for row in told["tests"][1]["within"]] == [1, 1, 1, 1]
    near = told["tests"][0]["nearest"]
    assert [(row["test_id"], row["pool_id"]) for row in near] == [
        ("p", "T3"), ("q", "T2"), ("r", "T4"), ("s", "T4"),
    ]  # fmt: skip
    pairs = pq.read_table(out).to_pydict()
    assert pairs["test"] == [str(tests[0])] * 4 + [str(tests[1])] * 2
    assert pairs["test_id"] == ["p", "q", "r", "s", "f", "g"]
    assert pairs["pool_id"] == ["T3", "T2", "T4", "T4", "T1", "T2"]
    ends = [np.array(pairs[name]) for name in ("test_lon", "test_lat", "pool_lon", "pool_lat")]
    far = distance_km(*ends)
    np.testing.assert_allclose(pairs["km"][:4], far[:4], atol=1e-9)
    assert pairs["km"][4:] == pytest.approx([0.0, 111.195], abs=1e-3)  # from inside, from the rim
    again = run("check-leak", pool, *tests, *columns, "--json", "-")
    assert json.loads(again.stdout) == told


def test_a_composition_is_not_found_in_its_pool_or_at_another_time(
    run: Run, tmp_path: Path
) -> None:
    scenes, tests, drawn = (tmp_path / name for name in ("s.csv", "t.csv", "drawn.parquet"))
    rows = "".join(
        f"{x},0,2020-0{month}-01,{'some' if x < 30 else 'rest'}\n"
        for x in (10, 20, 30)
        for month in (1, 7)
    )
    scenes.write_text(f"lon,lat,date,use\n{rows}")
    tests.write_text(
        "id,lon,lat,date\na,10,0,2020-07-01\nb,10,0,2020-07-20\nc,10,0,\nd,20,0,2022\ne,30,0,2020\n"
    )
    wherefrom.draw(scenes, "only:layer=use,label=some", 4).write(drawn)
    words = ("check-leak", drawn, tests)
    assert "name its pool with --pool" in run(*words).error
    assert "--pool is for a composition" in run("check-leak", scenes, tests, "--pool", scenes).error
    out, numbers = tmp_path / "pairs.parquet", tmp_path / "leak.json"
    words += ("--pool", scenes, "--time", "date")
    done = run(*words, "--out", out, "--json", numbers)
    assert done.returncode == 0, done.stderr
    assert f"{drawn}: a composition of 4 places of {scenes}, key " in done.stdout
    assert (
        "in time: of 4 test places within 1 km of a place of the pool, 3 have dates on both sides: "
        "33 % of the same day, 67 % within 30 days, 67 % within 365 days"
    ) in done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["a", "d", "e"]  # one a pair of places
    told = json.loads(numbers.read_text())
    assert told["pool"]["composition"]["size"] == 4
    assert told["pool"]["composition"]["drawn"].startswith("only:")
    (test,) = told["tests"]
    assert [near["rows"] for near in test["nearest"]] == [3, 1, 1]
    assert [row["places"] for row in test["time"]["within"]] == [1, 2, 2]
    assert pq.read_table(out)["days"].to_pylist() == [0, 19, None, 549, None]
    tests.write_text("lon,lat\n10,0\n")
    assert "time was not compared: only the pool's places have dates" in run(*words).stdout


def test_a_leak_passes_a_check(run: Run, pool: Path, tests: list[Path], tmp_path: Path) -> None:
    words = ["check-leak", pool, "--lon", "x", "--lat", "y"]
    far = tmp_path / "far.csv"
    far.write_text("x,y\n-90,0\n")
    assert run(*words, far, "--fail-within-km", 0).returncode == 0
    failed = run(*words, far, *tests, "--fail-within-km", 10)
    assert failed.returncode == 1
    assert f"{tests[0]}: 2 test places within 10 km of {pool}" in failed.stderr
    assert "far.csv: " not in failed.stderr
    task = made_task(np.array([30.0, -90.0]), np.zeros(2), np.array([0, 1]), split=[0, 1])
    task.write(tmp_path / "task.parquet")  # trained on near the pool, tested on far from it
    assert run(*words, tmp_path / "task.parquet", "--fail-within-km", 10).returncode == 0


def test_a_file_is_checked_twice_or_overwritten(
    run: Run, pool: Path, tests: list[Path], tmp_path: Path
) -> None:
    words = ["check-leak", pool, "--lon", "x", "--lat", "y"]
    assert "named twice" in run(*words, tests[0], tests[0]).error
    assert "is the test " in run(*words, tests[1], "--out", tests[1]).error
    assert "no such" in run(*words, tmp_path / "absent.csv").error.lower()
    assert "name it .parquet" in run(*words, tests[0], "--out", tmp_path / "pairs.csv").error
