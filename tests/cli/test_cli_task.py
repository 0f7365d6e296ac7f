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


def test_what_is_left_out_or_spelt_alike_is_not_said(run: Run, tmp_path: Path) -> None:
    table = "lon,lat,use\n" + "".join(f"{i % 30},{i % 7},{'Crop' if i % 2 else 'crop '}\n"
                                        for i in range(40)) + "5,5,\n"  # fmt: skip
    (tmp_path / "labels.csv").write_text(table)
    words = ("task", "from-table", tmp_path / "labels.csv", "--label", "use", "--out")
    code, stdout, stderr = run(*words, tmp_path / "t.parquet")
    assert code == 0, stderr
    assert "1 of 41 rows have no label in column 'use' and are left out, first row 40" in stderr
    assert "'Crop', 'crop ' differ by case, signs or blanks alone" in stderr
    assert "UserWarning" not in stderr
    assert "40 places, 2 classes" in stdout
    # Before an error too.
    code, _, stderr = run(*words, tmp_path / "t.parquet", "--positive", "crops")
    assert code == 2
    assert "differ by case" in stderr
    assert "unknown positive class" in stderr


def test_test_places_beside_training_places_are_not_told_of(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    middle = rng.uniform([15, -5], [25, 5], (40, 2)).repeat(25, axis=0)
    lon, lat = (middle + rng.normal(0, 0.01, (1000, 2))).T
    labels = np.where(np.arange(1000) < 25, "rare", rng.choice(["no", "yes"], 1000))
    pq.write_table(pa.table({"lon": lon, "lat": lat, "use": labels}), tmp_path / "u.parquet")
    words = ("task", "from-table", tmp_path / "u.parquet", "--label", "use", "--out")
    code, stdout, stderr = run(*words, tmp_path / "t.parquet")
    assert code == 0, stderr
    assert "from a test place to the nearest training place: median " in stdout
    assert "100 % nearer than 10 km" in stdout
    offered = next(line for line in stderr.splitlines() if "--block-km 50 splits" in line)
    assert "'rare' of Africa from " in offered
    code, stdout, stderr = run(*words, tmp_path / "b.parquet", "--block-km", 50)
    assert code == 0, stderr
    assert stderr.startswith("note: classes that blocks of 50 km take from a split: 'rare' of")
    assert "100 % nearer" not in stdout
    assert "splits by blocks" not in stderr


def test_blocks_take_classes_that_were_absent_before(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    middle = rng.uniform([15, -5], [25, 5], (40, 2)).repeat(25, axis=0)
    lon, lat = (middle + rng.normal(0, 0.01, (1000, 2))).T
    labels = np.where(np.arange(1000) % 100 == 0, "one", rng.choice(["no", "yes"], 1000))
    labels = np.array([f"{x}{i}" if x == "one" else x for i, x in enumerate(labels)])
    pq.write_table(pa.table({"lon": lon, "lat": lat, "use": labels}), tmp_path / "u.parquet")
    words = ("task", "from-table", tmp_path / "u.parquet", "--label", "use", "--out")
    (_, _, offered), (_, _, told) = (
        run(*words, tmp_path / "t.parquet"), run(*words, tmp_path / "b.parquet", "--block-km", 50)
    )  # fmt: skip
    where = [
        dict(pq.read_table(tmp_path / f, columns=["label", "split"]).to_pandas().to_numpy())
        for f in ("t.parquet", "b.parquet")
    ]
    for name in (name for name in where[0] if name.startswith("one")):
        lost = where[0][name] in ("train", "test") and where[1][name] not in ("train", "test")
        assert (f"'{name}' of" in offered) == (f"'{name}' of" in told) == lost


def test_a_published_split_is_kept(run: Run, fields: Path, tmp_path: Path) -> None:
    words = ["training", "testing", "training", "testing", "validation"] * 100
    table = pq.read_table(fields).append_column("subset", pa.array(words))
    pq.write_table(table, fields)
    flags = ("--label", "crop", "--lon", "x", "--lat", "y", "--split-column", "subset")
    code, stdout, stderr = run(
        "task", "from-table", fields, *flags, "--out", tmp_path / "t.parquet"
    )
    assert code == 0, stderr
    assert Task.read(tmp_path / "t.parquet").split[:4].tolist() == [0, 1, 0, 1]
    total = next(line for line in stdout.splitlines() if "(2 classes)" in line)
    assert total.split()[3:5] == ["200", "200"]


def test_numbers_are_counted_as_classes_or_blocks_unsaid(
    run: Run, fields: Path, tmp_path: Path
) -> None:
    table = pq.read_table(fields)
    warm = 30 - np.abs(table["y"].to_numpy())
    pq.write_table(table.append_column("warm", pa.array(warm)), fields)
    words = ("task", "from-table", fields, "--target", "warm", "--lon", "x", "--lat", "y", "--out")
    code, stdout, stderr = run(*words, tmp_path / "t.parquet", "--unit", "degC")
    assert code == 0, stderr
    head, africa, *_ = stdout.splitlines()
    assert head.split() == ["region", "warm", "(degC)", "train", "test", "tune-train", "tune-test"]
    assert "27.57 ± 1.398, 25 to 29.99" in africa
    assert "task fields, 500 places, numbers in degC, key" in stdout
    assert "class" not in stdout + stderr
    flags = ("--block-km", 200, "--folds", 4, "--region-layer", "all")
    code, stdout, stderr = run(*words, tmp_path / "f.parquet", *flags)
    assert code == 0, stderr
    assert stdout.split("\n")[0].split()[2:] == ["fold-1", "fold-2", "fold-3", "fold-4"]
    assert "4 folds of cells 200 km wide: each place is tested once" in stdout
    assert "tuning" not in stderr
    pq.write_table(table.append_column("warm", pa.array([1, 2] * 250)), fields)
    code, stdout, stderr = run(*words, tmp_path / "c.parquet")
    assert code == 0
    assert "2 whole numbers alone (1, 2): are they classes? then give --label warm" in stderr


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
        (("--target", "x"), "give a column of labels (--label), or one of numbers (--target)"),
        (("--unit", "m"), "labels have no unit"),
        (("--folds", "3"), "--folds 3: folds are made of blocks: give --block-km too"),
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
