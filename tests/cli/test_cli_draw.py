"""`wherefrom draw`: files, summary, and one line of error for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running import Run

from wherefrom.compose import Composition
from wherefrom.compose.parse import SAMPLERS


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "x": rng.uniform(-180, 180, 300),
            "y": rng.uniform(-60, 60, 300),
            "use": ["a"] * 280 + ["b"] * 15 + [None] * 5,
            "continent": ["Asia"] * 300,
        }
    )
    pq.write_table(table, tmp_path / "pool.parquet")
    return tmp_path / "pool.parquet"


def test_draw_writes_composition_and_card_and_prints_counts(run: Run, pool: Path) -> None:
    out = pool.with_name("c.parquet")
    spec = "stratified:layer=use,short=cap"
    words = ["draw", pool, "--lon", "x", "--lat", "y", "--sampler", spec, "-n", 60, "--seed", 3]
    done = run(*words, "--out", out)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["a", "280", "30.0", "30"] in lines
    assert ["b", "15", "30.0", "15", "too", "few"] in lines
    assert "5 places of the pool have no label" in done.stdout
    composition = Composition.read(out)
    assert composition.size == 45
    assert composition.key in done.stdout
    assert json.loads(out.with_suffix(".card.json").read_text())["seed"] == 3
    assert out.with_suffix(".card.png").read_bytes()[:4] == b"\x89PNG"
    first = out.read_bytes()
    assert run(*words, "--out", out).returncode == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("spec", "n", "message"),
    [
        ("stratfied:layer=use", 10, "did you mean 'stratified'?"),
        ("stratified:layer=usee", 10, "did you mean 'use'?"),
        ("stratified:layer=use,short=cup", 10, "did you mean 'cap'?"),
        ("uniform", 301, "n = 301 is larger than the pool, which has 300 places"),
        ("uniform", 0, "n must be at least 1"),
        ("only:layer=use,label=c", 10, "unknown label of layer 'use': 'c'"),
        ("ids:file=gone.csv", 10, "gone.csv: no such file"),
    ],
)
def test_mistake_is_one_line_and_writes_nothing(
    run: Run, pool: Path, spec: str, n: int, message: str
) -> None:
    out = pool.with_name("c.parquet")
    words = ["draw", pool, "--lon", "x", "--lat", "y", "--sampler", spec, "-n", n, "--out", out]
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert [path.name for path in pool.parent.iterdir()] == ["pool.parquet"]


def test_pool_is_never_overwritten(run: Run, pool: Path) -> None:
    before = pool.read_bytes()
    words = ["draw", pool, "--lon", "x", "--lat", "y", "--sampler", "uniform", "-n", 5]
    assert "is the pool itself" in run(*words, "--out", pool).stderr
    assert "name it .parquet" in run(*words, "--out", "c.csv").stderr
    assert pool.read_bytes() == before


def test_absent_columns_are_hinted_at(run: Run, pool: Path) -> None:
    done = run("draw", pool, "--sampler", "uniform", "-n", 5, "--out", "c.parquet")
    assert done.returncode == 2
    assert "give --lon x --lat y" in done.stderr


def test_repeated_places_are_noted_but_drawn(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("lon,lat,continent\n1,2,Africa\n1,2,Africa\n3,4,Africa\n")
    out = tmp_path / "c.parquet"
    done = run("draw", tmp_path / "a.csv", "--sampler", "uniform", "-n", 3, "--out", out)
    assert done.returncode == 0
    assert done.stderr.startswith("note: an earlier row has the same place in 1 of 3 rows: 1;")


def test_help_teaches_every_sampler(run: Run) -> None:
    done = run("draw", "--help")
    assert done.returncode == 0
    for name in SAMPLERS:
        assert name in done.stdout
