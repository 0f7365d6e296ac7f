"""Every command that an audit prints runs as it is printed, in its order."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import shapely
from running import Run

from wherefrom.compose import drawn
from wherefrom.pool import Pool

pytestmark = pytest.mark.slow


def geometric(path: str, lon: object, lat: object) -> None:
    about = {"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB"}}}
    points = pa.array(shapely.to_wkb(shapely.points(lon, lat)))
    table = pa.table({"geometry": points, "name": np.arange(len(points))})
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(about).encode()}), path)


def old_world(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    own = (pool.lon > -20) & (pool.lon < 60) & (np.abs(pool.lat) < 70)
    return pool.lon[own], pool.lat[own]


def region(pool: Pool) -> list[str]:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(26, 30, 300), rng.uniform(12, 15, 300)
    split = np.array(["train", "test"])[(np.arange(300) % 3 == 0).astype(int)]
    pa.csv.write_csv(pa.table({"x": lon, "y": lat, "split": split}), "r.csv")
    return ["r.csv", "--lon", "x", "--lat", "y", "--test", "split=test"]


def region_with_test_file(pool: Pool) -> list[str]:
    words = region(pool)
    pa.csv.write_csv(pa.table({"lon": [28.0, 28.1], "lat": [13.0, 13.1]}), "t.csv")
    return [*words[:-1], "t.csv"]


def names_of_each_other(pool: Pool) -> list[str]:
    rng = np.random.default_rng(0)
    pa.csv.write_csv(pa.table({"lat": rng.uniform(100, 104, 300), "lon": rng.uniform(30, 34, 300)}),
                     "n.csv")  # fmt: skip
    return ["n.csv", "--lon", "lat", "--lat", "lon"]


def exchanged_points(pool: Pool) -> list[str]:
    lon, lat = old_world(pool)
    rows = np.repeat(np.arange(len(lon)), 2)
    geometric("p.parquet", lat[rows], lon[rows])
    return ["p.parquet"]


def exchanged_named_points(pool: Pool) -> list[str]:
    lon, lat = old_world(pool)
    geometric("q.parquet", lat, lon)
    return ["q.parquet", "--geometry", "geometry"]


def exchanged_columns(pool: Pool) -> list[str]:
    lon, lat = old_world(pool)
    lon, lat = np.append(lon, [np.nan, 0.0, 0.0]), np.append(lat, [1.0, 0.0, 0.0])
    split = np.where(np.arange(len(lon)) % 4 == 0, "b", "a")
    pa.csv.write_csv(pa.table({"lon": np.tile(lat, 2), "lat": np.tile(lon, 2),
                               "split": np.tile(split, 2)}), "e.csv")  # fmt: skip
    return ["e.csv", "--test", "split=b"]


def composition(pool: Pool) -> list[str]:
    drawn(pool, "only:layer=continent,label=Africa,short=cap", 100).write("c.parquet")
    pa.csv.write_csv(pa.table({"lon": pool.lon[:50] + 1e-3, "lat": pool.lat[:50]}), "t.csv")
    return ["c.parquet", "--pool", "world.parquet", "--test", "t.csv"]


def exchanged_composition(pool: Pool) -> list[str]:
    lon, lat = old_world(pool)
    Pool.from_table(pa.table({"lon": lat, "lat": lon})).write("x.parquet")
    drawn(Pool.read("x.parquet"), "uniform", 100).write("xc.parquet")
    return ["xc.parquet", "--pool", "x.parquet"]


def antarctica(pool: Pool) -> list[str]:
    rng = np.random.default_rng(0)
    lon = np.append(pool.lon, rng.uniform(-60, 120, 150))
    lat = np.append(pool.lat, rng.uniform(-85, -78, 150))
    split = np.where(np.arange(len(lon)) % 2 == 0, "b", "a")
    pq.write_table(pa.table({"lon": lon, "lat": lat, "split": split}), "a.parquet")
    return ["a.parquet", "--test", "split=b"]


def copies(pool: Pool) -> list[str]:
    rng = np.random.default_rng(0)
    lon, lat = (
        np.tile(each[:200], 20) + rng.normal(0, 1e-6, 4000) for each in (pool.lon, pool.lat)
    )
    lat[:300] = 0.0
    pa.csv.write_csv(pa.table({"lon": lon, "lat": lat}), "d.csv")
    return ["d.csv"]


def repeated_ids(pool: Pool) -> list[str]:
    tile = np.arange(len(pool)) % 5
    lon = np.where(np.arange(len(pool)) < 9, 500.0, pool.lon % 360)
    pa.csv.write_csv(pa.table({"tile": tile, "lon": lon, "lat": pool.lat}), "i.csv")
    return ["i.csv", "--id", "tile"]


def losses(pool: Pool) -> list[str]:
    pq.write_table(pool.table.filter(pa.array(pool.lat < 30)), "came.parquet")
    return ["came.parquet", "--planned", "world.parquet", "--against", "world.parquet"]


def few_places_of_many_rows(pool: Pool) -> list[str]:
    rows = np.repeat(np.arange(12), 50)
    lon, lat = pool.lon[rows].copy(), pool.lat[rows]
    lon[0] = np.nan
    pa.csv.write_csv(pa.table({"lon": lon, "lat": lat}), "f.csv")
    return ["f.csv"]


def few_on_land(pool: Pool) -> list[str]:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-40, -30, 300), rng.uniform(30, 40, 300)
    lon[:3], lat[:3] = pool.lon[:3], pool.lat[:3]
    pa.csv.write_csv(pa.table({"lon": lon, "lat": lat}), "s.csv")
    return ["s.csv"]


def on_a_parallel(pool: Pool) -> list[str]:
    pa.csv.write_csv(pa.table({"lon": np.linspace(0.3, 29.7, 300), "lat": [48.0] * 300}), "o.csv")
    return ["o.csv"]


def latitudes_lost(pool: Pool) -> list[str]:
    pa.csv.write_csv(pa.table({"lon": pool.lon, "lat": np.zeros(len(pool))}), "z.csv")
    return ["z.csv"]


def dated(pool: Pool, months: list[int]) -> pa.Table:
    """Return four rows of each place, of these months in turn, of two years."""
    rows = np.repeat(np.arange(len(pool)), 4)
    month = np.resize(months, len(rows))
    day = [f"{2019 + at % 2}-{m:02d}-11" for at, m in enumerate(month.tolist())]
    return pa.table({"x": pool.lon[rows], "y": pool.lat[rows], "tile": rows, "day": day})


def summers(pool: Pool) -> list[str]:
    table = dated(pool, [6, 7, 8, 7] * 10 + [2, 3, 8, 10])
    table = table.filter(pa.array(table["y"].to_numpy() > 0))
    pq.write_table(table, "t.parquet")
    return ["t.parquet", "--lon", "x", "--lat", "y", "--time", "day", "--place", "tile"]


def no_winter_but_for_tests(pool: Pool) -> list[str]:
    table = dated(pool, [1, 4, 7, 10])
    table = table.set_column(0, "x", pa.array(np.append(np.nan, table["x"].to_numpy()[1:])))
    pa.csv.write_csv(table, "w.csv")
    return ["w.csv", "--lon", "x", "--lat", "y", "--time", "day", "--test", "season=winter"]


def one_season(pool: Pool) -> list[str]:
    pq.write_table(dated(pool, [7]).drop_columns(["tile"]), "j.parquet")
    words = ["j.parquet", "--lon", "x", "--lat", "y", "--time", "day"]
    return [*words, "--within", "continent=Africa"]


CASES = (
    summers, no_winter_but_for_tests, one_season,
    region, region_with_test_file, names_of_each_other, exchanged_points, exchanged_named_points,
    exchanged_columns, composition, exchanged_composition, antarctica, copies, repeated_ids, losses,
    few_places_of_many_rows, few_on_land, on_a_parallel, latitudes_lost,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.__name__))
def test_a_printed_remedy_does_not_run_as_printed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Callable[[Pool], list[str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    pool = Pool.build(700, seed=9)
    pool.write("world.parquet")
    words = case(pool)
    done = run("audit", *words, "--layers", "continent", "--json", "-")
    assert done.returncode == 0, done.stderr
    found = [row for row in json.loads(done.stdout)["findings"] if not row["follows"]]
    assert found
    if "--time" in words:
        assert {"one-season", "north-lacks-season"} & {row["name"] for row in found}
    test = words[words.index("--test") + 1] if "--test" in words else None
    for row in found:
        for command in filter(None, row["command"].split(" && ")):
            program, *line = shlex.split(command)
            if program == "python":
                subprocess.run([sys.executable, *line], check=True)
                continue
            again = run(*line, *(["--layers", "continent"] if line[0] == "audit" else []))
            assert again.returncode == 0, f"{row['name']}: {command}\n{again.stderr}"
            if line[0] == "audit" and test is not None and "-lacks-" not in row["name"]:
                assert line[line.index("--test") + 1] == test
