"""An audit of files in parts is that of the pool in memory, to the last digit."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom import audit
from wherefrom.auditing.faults import AxesTally
from wherefrom.pool import Pool, scan
from wherefrom.pool.batches import Batch


@pytest.mark.slow
def test_an_audit_depends_on_how_the_pool_is_stored(tmp_path: Path) -> None:
    pool = Pool.build(900, seed=1).with_layers(["continent"])
    folder = tmp_path / "pool"
    folder.mkdir()
    for i, rows in enumerate((slice(0, 400), slice(400, 900))):
        part = pool.table.slice(rows.start, rows.stop - rows.start)
        pq.write_table(part, folder / f"part-{i}.parquet")
    test = Pool.from_table(pa.table({"lon": [10.0, 20.0], "lat": [50.0, 0.0]}))
    layers = ["continent", "land_cover"]
    here = audit(pool, layers=layers, test=test).to_dict()
    there = audit(scan(folder), layers=layers, test=test).to_dict()
    for told in (here, there):
        told["about"].pop("origin")
    assert here == there


def test_an_audit_does_not_keep_the_places_it_tried() -> None:
    rng = np.random.default_rng(0)
    whole, pieces = AxesTally(), AxesTally()
    for number in range(6):
        lon, lat = rng.uniform(-80, 80, 30_000), rng.uniform(-80, 80, 30_000)
        whole.update(Batch(number * 30_000, lon, lat))
        piece = AxesTally()
        piece.update(Batch(number * 30_000, lon[:10_000], lat[:10_000]))
        other = AxesTally()
        other.update(Batch(number * 30_000 + 10_000, lon[10_000:], lat[10_000:]))
        piece.merge(other)
        pieces.merge(piece)
    assert len(pickle.dumps(whole)) < 1_000_000  # a view would hold whole batches
    held = whole._tried if whole._tried.base is None else whole._tried.base
    assert held.size == whole._tried.size
    assert np.array_equal(whole._tried, pieces._tried)
    assert whole.places == pieces.places == 180_000
