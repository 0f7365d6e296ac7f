"""Samplers that need the whole pool in memory, and pools that may be too large for it."""

from __future__ import annotations

from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import AnyPool

__all__ = ["in_memory"]

#: Places of a pool in files that are read into memory where a sampler needs them there.
LARGEST = 1 << 24


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
    raise WherefromError(
        f"sampler {sampler!r} needs the whole pool in memory, but it lies in files and has "
        f"{len(pool):,} places; thin it first: wherefrom draw POOL --sampler uniform "
        f"-n 1000000 --places --out thin.parquet"
    )
