"""A pool without the rows that an audit finds at fault one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.sphere import chord, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import AnyPool, Ask

__all__ = ["CLEAR_KM", "cleaned"]

#: Training places nearer to a test place than this are left out: images of up to 10 km.
CLEAR_KM = 10.0


def cleaned(pool: AnyPool, test: AnyPool | None = None) -> tuple[Pool, dict[str, int]]:
    """Leave out rows at 0/0, rows that repeat an earlier place, and places near test places.

    Parameters
    ----------
    pool : AnyPool
        In memory.
    test : AnyPool, optional
        Test places, from which the others keep 10 km.

    Returns
    -------
    pool : Pool
        The rows that are left, with their ids and columns.
    removed : dict of str to int
        Reason -> rows; a row counts once, under the first reason.

    Raises
    ------
    WherefromError
        If the pool is not in memory, or nothing is left.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"lon": [0.0, 10.0, 10.0, 20.0], "lat": [0.0, 50.0, 50.0, 50.0]})
    >>> test = Pool.from_table(pa.table({"lon": [20.01], "lat": [50.0]}))
    >>> left, removed = cleaned(Pool.from_table(table), test)
    >>> left.ids.tolist(), list(removed.values())
    ([1], [1, 1, 1])
    """
    if not isinstance(pool, Pool):
        raise WherefromError(
            f"--clean needs the table in memory, and it has {len(pool):,} places: draw a thinner "
            "pool first (wherefrom draw POOL --sampler uniform -n 10000000 --places --out FILE)"
        )
    reasons = {
        "at 0° E 0° N": (pool.lon == 0) & (pool.lat == 0),
        "repeat an earlier place": _repeated(pool.lon, pool.lat),
    }
    if test is not None:
        reasons[f"within {CLEAR_KM:g} km of a test place"] = _near(pool, test)
    kept = np.ones(len(pool), dtype=bool)
    removed = {}
    for reason, bad in reasons.items():
        removed[reason] = int((bad & kept).sum())
        kept &= ~bad
    if not kept.any():
        raise WherefromError("nothing is left of the table: every row is at fault")
    left = Pool.from_table(pool.table.take(np.flatnonzero(kept)), id="id")
    return replace(left, origin=f"{pool.origin or 'a table'}, cleaned"), removed


def _repeated(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    order = np.lexsort((np.arange(len(lon)), lat, lon))
    again = np.zeros(len(lon), dtype=bool)
    again[order[1:]] = (np.diff(lon[order]) == 0) & (np.diff(lat[order]) == 0)
    return again


def _near(pool: Pool, test: AnyPool) -> NDArray[np.bool_]:
    from scipy.spatial import cKDTree  # slow to import

    places = [unit_vectors(batch.lon, batch.lat) for batch in test.batches(Ask())]
    reach = chord(CLEAR_KM)
    far, _ = cKDTree(np.concatenate(places)).query(
        unit_vectors(pool.lon, pool.lat), distance_upper_bound=reach
    )
    near: NDArray[np.bool_] = far <= reach
    return near
