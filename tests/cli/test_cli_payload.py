"""`wherefrom pool from-payload`: the places of data at hand, or one error line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from running import Run

from made_shards import LATLON, PIXELS, shard, tile
from wherefrom.pool import Pool, open_pool


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Write two tars, a tile of which has no places."""
    (tmp_path / "shards").mkdir()
    shard(tmp_path / "shards" / "a.tar", {"t0": tile(0), "t1": tile(1)})
    shard(tmp_path / "shards" / "b.tar", {"t2": tile(2) | {LATLON: b""}, "t3": tile(3)})
    return tmp_path / "shards"


def test_pixels_of_shards_are_no_pool(run: Run, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "pixels.parquet"
    done = run("pool", "from-payload", f"series:path={shards}", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}: {3 * PIXELS} places of payload series\n"
    assert f"note: left out: {shards}/b.tar t2 member latlon.npy cannot be read" in done.stderr
    pool = open_pool(out)
    assert isinstance(pool, Pool)
    assert pool.origin == "places of payload series"
    assert pool.ids[-1] == "t3:49"
    assert pool.columns == ("tile",)
    words = ("--sampler", "balanced:over=tile", "-n", 30, "--out", tmp_path / "c.parquet")
    drawn = run("draw", out, *words)
    assert drawn.returncode == 0, drawn.stderr
    ids = pq.read_table(tmp_path / "c.parquet")["id"].to_pylist()
    tiles, counts = np.unique([one.partition(":")[0] for one in ids], return_counts=True)
    assert (tiles.tolist(), counts.tolist()) == (["t0", "t1", "t3"], [10, 10, 10])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("serie:path=x", "unknown payload 'serie': did you mean 'series'"),
        ("series", "payload 'series' needs path="),
        ("series:paht=x", "unknown flag of payload 'series': 'paht': did you mean 'path'"),
        ("series:path=x,layout=tars", "unknown value of 'layout' in payload 'series'"),
        ("series:path=gone", "no such file or folder: gone"),
        ("earth-series", "payload 'earth-series' does not tell where its records lie"),
        ("series:x", "payload 'series:x': 'x' is not flag=value"),
    ],
)
def test_a_mistake_in_a_payload_is_a_traceback(
    run: Run, spec: str, said: str, tmp_path: Path
) -> None:
    error = run("pool", "from-payload", spec, "--out", tmp_path / "p.parquet").error
    assert error.startswith(said)
    assert not list(tmp_path.iterdir())
