"""`wherefrom task`: the table on stdout, one line of error, exit code 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from running import Run

from wherefrom.tasks import Task


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Make 500 labelled places, most of them on land in Africa."""
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "x": rng.uniform(15, 25, 500),
            "y": rng.uniform(-5, 5, 500),
            "crop": rng.choice(["no", "yes"], 500, p=[0.8, 0.2]),
        }
    )
    pq.write_table(table, tmp_path / "fields.parquet")
    pa.csv.write_csv(table, tmp_path / "fields.csv")
    return tmp_path / "fields.parquet"


def test_table_becomes_a_task_with_its_counts(run: Run, fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "task.parquet"
    words = ("--label", "crop", "--lon", "x", "--lat", "y", "--positive", "yes", "--out", out)
    code, stdout, stderr = run("task", "from-table", fields, *words)
    assert code == 0, stderr
    lines = [line.split() for line in stdout.splitlines()]
    assert lines[0] == ["region", "crop", "train", "test", "tune-train", "tune-test"]
    assert [line[:2] for line in lines[1:3]] == [["Africa", "no"], ["Africa", "yes"]]
    assert "positive: yes" in stdout
    task = Task.read(out)
    assert task.name == "fields"
    assert task.positive == 1
    assert sum(int(n) for line in lines[1:3] for n in line[2:]) == len(task) == 500
    # 50 tuning places: the study's tuning episodes of 100 cannot be drawn, and that is said.
    assert "no tuning episode of 100 places" in stderr
    assert "no reported episode" not in stderr


def test_text_file_gives_another_task(run: Run, fields: Path, tmp_path: Path) -> None:
    keys = set()
    for suffix in (".parquet", ".csv"):
        out = tmp_path / f"out{suffix}.parquet"
        source = fields.with_suffix(suffix)
        words = ("--label", "crop", "--lon", "x", "--lat", "y", "--out", out)
        assert run("task", "from-table", source, *words)[0] == 0
        keys.add(Task.read(out).key)
    assert len(keys) == 1


def test_ecoregions_task_from_a_pool_file(run: Run, tmp_path: Path) -> None:
    pool, out = tmp_path / "pool.parquet", tmp_path / "task.parquet"
    assert run("pool", "build", "--places", 2000, "--out", pool)[0] == 0
    sizes = ("--train", 120, "--test", 50, "--tune-train", 110, "--tune-test", 20)
    words = ("--pool", pool, "--layer", "climate_zone", *sizes, "--out", out)
    code, stdout, stderr = run("task", "ecoregions", *words)
    assert code == 0, stderr
    assert stdout.count("classes)") == 6
    assert len(Task.read(out)) == 6 * 300
    assert "note" not in stderr


def test_cropland_task_has_no_positive_class_or_hides_thin_regions(
    run: Run, tmp_path: Path
) -> None:
    pool, out = tmp_path / "pool.parquet", tmp_path / "task.parquet"
    assert run("pool", "build", "--places", 2000, "--out", pool)[0] == 0
    sizes = ("--train", 120, "--test", 50, "--tune-train", 20, "--tune-test", 20)
    code, stdout, stderr = run("task", "cropland", "--pool", pool, *sizes, "--out", out)
    assert code == 0, stderr
    task = Task.read(out)
    assert (task.name, task.classes, task.positive) == ("cropland", ("other", "cropland"), 1)
    assert "2 classes, positive: cropland" in stdout
    assert "no tuning episode of 100 places" in stderr
    code, _, stderr = run("task", "cropland", "--pool", pool, "--train", 0, "--out", out)
    assert code == 2
    assert "task cropland: train and test places per region must be at least 1" in stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--label", "crops"), "did you mean 'crop'"),
        (("--lon", "lon"), "no column 'lon'"),
        (("--lon", "y", "--lat", "x"), ""),
        (("--region-layer", "contnent"), "did you mean 'continent'"),
        (("--positive", "maybe"), "Known: no, yes"),
        (("--out", "task.csv"), "name it .parquet"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_mistake_ends_in_a_traceback(
    run: Run, fields: Path, tmp_path: Path, change: tuple[str, ...], message: str
) -> None:
    words = {"--label": "crop", "--lon": "x", "--lat": "y", "--out": str(tmp_path / "o.parquet")}
    words |= dict(zip(change[::2], change[1::2], strict=True))
    code, stdout, stderr = run("task", "from-table", fields, *(w for p in words.items() for w in p))
    if not message:  # both columns are valid degrees: nothing can tell that they are swapped
        assert code == 0
        return
    assert code == 2
    assert stdout == ""
    assert stderr.startswith("error: ")
    assert message in stderr


def test_faulty_coordinates_are_taken(run: Run, tmp_path: Path) -> None:
    out, source = tmp_path / "task.parquet", tmp_path / "faulty.parquet"
    words = ("--label", "crop", "--out", out)
    for lon, lat, message in (
        ([10.0, float("nan"), 12.0], [1.0, 2.0, 3.0], "missing or not finite in 1 of 3 rows: 1"),
        ([10.0, 11.0, 12.0], [1.0, 95.0, 3.0], "swapped in 1 of 3 rows: 1"),
        ([10.0, 11.0, 500.0], [1.0, 2.0, 3.0], "lon is out of range in 1 of 3 rows: 2"),
    ):
        pq.write_table(pa.table({"lon": lon, "lat": lat, "crop": ["a", "b", "a"]}), source)
        code, stdout, stderr = run("task", "from-table", source, *words)
        assert (code, stdout) == (2, "")
        assert message in stderr
        assert str(source) in stderr
        assert not out.exists()
