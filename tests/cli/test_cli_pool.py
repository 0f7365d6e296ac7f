"""`wherefrom pool`: results on stdout, one line of error, exit code 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from running import Run

from wherefrom import earth
from wherefrom.pool import Pool


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


def test_a_pool_of_a_region_is_of_the_world(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "kenya.parquet"
    words = ("pool", "build", "--places", "50", "--within", "country=Kenya", "--out")
    done = run(*words, str(out))
    assert "50 places, uniform by area on land within country=Kenya, seed 0" in done.stdout
    assert set(earth.layer("country")(Pool.read(out).lon, Pool.read(out).lat)) == {"Kenya"}
    assert "write one file" in run(*words, str(tmp_path / "folder")).error
    ocean = ("pool", "build", "--places", "5", "--within", "box=-60,30,-40,45", "--out")
    assert "hardly any land to draw from" in run(*ocean, str(tmp_path / "o.parquet")).error
    assert not (tmp_path / "o.parquet").exists()


def test_check_reports_every_fault_with_rows_and_fails(run: Run, tmp_path: Path) -> None:
    rows = ["7,10,5", "8,,1", "7,50,140", "9,200,3", "10,10,5"]
    (tmp_path / "a.csv").write_text("id,x,y\n" + "\n".join(rows) + "\n")
    done = run("pool", "check", tmp_path / "a.csv", "--lon", "x", "--lat", "y")
    assert done.returncode == 2
    assert done.stdout.splitlines()[:5] == [
        "error: x or y is missing or not finite in 1 of 5 rows: 1; remove or mend these rows",
        "error: x and y look swapped in 1 of 5 rows: 2 (y 140); give --lon y --lat x",
        "error: x is out of range in 1 of 5 rows: 3 (x 200); the range is -180 to 180 degrees: "
        "subtract 360 from these, or let `wherefrom audit FILE --clean OUT` write them so",
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


def need(*layers: str) -> None:
    for name in layers:
        if not earth.available(name):
            pytest.skip(f"no data for layer {name} on this machine: wherefrom data fetch")


def test_a_folder_is_built_labelled_checked_and_drawn_from(run: Run, tmp_path: Path) -> None:
    need("land", "continent", "land_cover")
    world, labelled = tmp_path / "world", tmp_path / "labelled"
    done = run("pool", "build", "--places", "2e3", "--out", world, "--layers", "continent")
    assert done.returncode == 0, done.stderr
    file = run("pool", "build", "--places", 2000, "--out", tmp_path / "pool.parquet")
    assert file.stdout.rpartition("key ")[2] == done.stdout.rpartition("key ")[2]
    done = run("pool", "label", world, "--layers", "land_cover", "--out", labelled)
    assert done.returncode == 0, done.stderr
    assert "  land_cover: 17 labels, 0 places without" in done.stdout.splitlines()
    done = run("pool", "check", labelled)
    assert done.returncode == 0, done.stderr
    assert "2,000 rows of 2,000 places, ids are whole numbers, other columns: " in done.stdout
    assert "columns: continent, land_cover" in done.stdout
    sampler = "stratified:layer=continent"
    drawn = []
    for pool in (labelled, tmp_path / "pool.parquet"):
        out = tmp_path / f"{pool.stem}-drawn.parquet"
        done = run("draw", pool, "--sampler", sampler, "-n", 60, "--out", out)
        assert done.returncode == 0, done.stderr
        drawn.append(pq.read_table(out)["id"].to_pylist())
    assert drawn[0] == drawn[1]


def test_building_or_labelling_into_a_wrong_name_is_one_line(run: Run, tmp_path: Path) -> None:
    need("land", "continent")
    world = tmp_path / "world"
    assert run("pool", "build", "--places", 100, "--out", world).returncode == 0
    words = ["pool", "label", world, "--out"]
    for out, layers, message in (
        (tmp_path / "a.parquet", "continent", "whose name has no ending"),
        (world, "continent", "is the pool itself"),
        (tmp_path / "b", ",", "--layers is empty"),
        (tmp_path / "b", "contnent", "did you mean 'continent'"),
        (tmp_path / "b", "elevation", "holds values, not labels"),
    ):
        assert message in run(*words, out, "--layers", layers).error
    assert not (tmp_path / "b").exists()
    build = ["pool", "build", "--places", 50, "--out"]
    assert "holds another pool" in run(*build, world).error
    assert "name has no ending" in run(*build, tmp_path / "pool.csv").error
    for places in ("1.5", "many", "1e400", "nan", "0"):
        done = run("pool", "build", "--places", places, "--out", tmp_path / "c")
        assert done.returncode == 2
        assert not (tmp_path / "c").exists()


def test_check_of_a_folder_believes_its_notes(run: Run, tmp_path: Path) -> None:
    need("land")
    world = tmp_path / "world"
    assert run("pool", "build", "--places", 100, "--out", world).returncode == 0
    notes = (world / "_wherefrom.json").read_text()
    key = notes.partition('"key": "')[2][:16]
    (world / "_wherefrom.json").write_text(notes.replace(key, "0" * 16))
    done = run("pool", "check", world)
    assert f"does not hold the places that _wherefrom.json notes (key {key}" in done.error
    (tmp_path / "mine").mkdir()
    for name, lat in (("a", 2.0), ("b", 2000.0)):
        pq.write_table(
            pa.table({"lon": [1.0], "lat": [lat]}), tmp_path / "mine" / f"{name}.parquet"
        )
    done = run("pool", "check", tmp_path / "mine")
    assert done.returncode == 2
    assert "lat is out of range in 1 of 2 rows: b.parquet row 0 (lat 2000)" in done.stdout


def test_points_that_are_named_are_not_taken(run: Run, tmp_path: Path) -> None:
    file, rng = tmp_path / "a.parquet", np.random.default_rng(0)
    lon, lat = rng.uniform(10, 20, (2, 200))
    table = pa.table({"center": shapely.to_wkb(shapely.points(lon, lat)), "use": ["a", "b"] * 100})
    pq.write_table(table, file)
    assert "--geometry center" in run("pool", "check", file).error
    done = run("pool", "check", file, "--geometry", "center")
    assert done.stdout.endswith(f"lat {lat.min():.4f} to {lat.max():.4f}\n"), done.stderr
    out = ("--geometry", "center", "--out", tmp_path / "o.parquet")
    assert run("draw", file, "--sampler", "uniform", "-n", 9, *out).returncode == 0
    task = run("task", "from-table", file, "--label", "use", "--region-layer", "use", *out)
    assert task.returncode == 0, task.stderr
    done = run("pool", "check", file, "--geometry", "center", "--lon", "x")
    assert done.returncode == 2
    assert "leave --lon" in done.stderr
