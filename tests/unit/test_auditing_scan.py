"""An audit of files in parts is that of the pool in memory, to the last digit."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wherefrom.auditing.audit import audit
from wherefrom.pool import Pool, scan


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
