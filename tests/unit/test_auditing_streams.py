"""An audit of a pool in files, of many parts and on many threads, equals that of it in memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom.auditing.leakage import tally_for
from wherefrom.auditing.realised import compare
from wherefrom.auditing.reference import of
from wherefrom.auditing.shares import shares_of
from wherefrom.auditing.statistic import plain
from wherefrom.auditing.tally import LayerTally, run
from wherefrom.pool import Pool, scan
from wherefrom.pool.batches import AnyPool

BLOCK, PART = 64, 256


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("wherefrom.pool"):
            for constant, value in (("BLOCK", BLOCK), ("PART", PART)):
                if hasattr(module, constant):
                    monkeypatch.setattr(module, constant, value)


@pytest.fixture
def pools(tmp_path: Path) -> tuple[Pool, AnyPool]:
    """The same 2,000 places in memory and in three files, with repeated ones among them."""
    made = Pool.build(2_000, seed=8).table
    table = pa.concat_tables([made.slice(0, 1_950), made.slice(100, 50)])
    use = pa.array(
        np.where(
            np.arange(2_000) % 7 == 0, None, np.char.add("use ", (np.arange(2_000) % 5).astype(str))
        )
    )
    table = table.set_column(0, "id", pa.array(np.arange(2_000))).append_column("use", use)
    folder = tmp_path / "pool"
    folder.mkdir()
    for i, (first, last) in enumerate([(0, 700), (700, 701), (701, 2_000)]):
        pq.write_table(
            table.slice(first, last - first), folder / f"{i}.parquet", row_group_size=120
        )
    return Pool.from_table(table), scan(folder)


def test_files_parts_or_threads_change_an_audit(pools: tuple[Pool, AnyPool]) -> None:
    memory, files = pools
    weights = np.random.default_rng(0).integers(0, 4, 2_000).astype(np.float64)
    layers = ["use", "continent", "elevation_band"]
    test = Pool.build(60, seed=9)
    drop = np.random.default_rng(1).random(2_000) < 0.8
    came = Pool.from_table(memory.table.filter(drop).drop(["id"]))
    found = []
    for pool in (memory, files):
        assert len(pool.parts()) > 2
        reference = of(pool, layers)
        for counted in (None, weights):
            tallies = run(
                pool, [LayerTally(name, pool.labels(name)) for name in layers], weights=counted
            )
            found.append([plain(shares_of(tally, reference[tally.name])) for tally in tallies])
            (near,) = run(pool, [tally_for(pool, test, counted)], weights=counted)
            leaks = near.result()
            found.append([leaks.entries(), leaks.km.tolist()])
        found.append(compare(pool, came, layers).entries())
        found.append(compare(pool, pool, layers).entries())
    half = len(found) // 2
    for ours, theirs in zip(found[:half], found[half:], strict=True):
        assert ours == theirs
    whole = found[0][0]
    assert whole["tv"] == 0.0
    assert whole["places"] == 2_000 - 286


def test_a_part_counts_the_weights_of_another(pools: tuple[Pool, AnyPool]) -> None:
    _, files = pools
    weights = np.zeros(2_000)
    weights[1_234] = 3.0
    (tally,) = run(files, [LayerTally("use", files.labels("use"))], weights=weights)
    assert tally.labels[int(np.argmax(tally.places))] == f"use {1_234 % 5}"
    assert (tally.places.sum(), tally.none, tally.effective_size) == (3.0, 0.0, 1.0)
