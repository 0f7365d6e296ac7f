"""Samplers that need the whole pool in memory, and pools that may be too large for it."""

from __future__ import annotations

import shlex

from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import AnyPool
from wherefrom.pool.scan import IN_MEMORY, PoolScan

__all__ = ["in_memory"]


def in_memory(pool: AnyPool, sampler: str) -> Pool:
    """Return a pool in memory for a sampler that cannot draw in passes.

    Parameters
    ----------
    pool : AnyPool
    sampler : str
        Its name, for the message.

    Returns
    -------
    Pool

    Raises
    ------
    WherefromError
        If a pool in files is too large for it; says how to thin it first.
    """
    if isinstance(pool, Pool):
        return pool
    assert isinstance(pool, PoolScan)
    if len(pool) > IN_MEMORY:
        raise WherefromError(
            f"sampler {sampler!r} needs the whole pool in memory, but {pool.path} has "
            f"{len(pool):,} places, more than {IN_MEMORY:,}; thin it first: wherefrom draw "
            f"{shlex.quote(str(pool.path))} --sampler uniform -n 1000000 --places --out "
            "thin.parquet"
        )
    return pool.load()
