"""Coordinates of one reference system in another's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["moved"]

Floats = NDArray[np.float64]


def moved(source: Any, target: Any, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Bring coordinates (n,) to another reference system; NaN for those that have none there.

    Both systems are rasterio's, or a text that it reads.

    Raises
    ------
    rasterio.errors.CRSError
        If one of them is not known.

    Examples
    --------
    >>> lon, lat = moved("EPSG:32632", "OGC:CRS84", np.array([5e5, 9e9]), np.array([0.0, 9e9]))
    >>> lon.round(6).tolist(), lat.round(6).tolist()
    ([9.0, nan], [0.0, nan])
    """
    from rasterio._err import CPLE_BaseError  # under no public name
    from rasterio.warp import transform

    if not len(x):
        return np.empty(0), np.empty(0)
    try:
        made = np.array(transform(source, target, x, y), dtype=np.float64)
    except CPLE_BaseError:  # one that fails takes all with it: halved until it is alone
        if len(x) == 1:
            return np.full(1, np.nan), np.full(1, np.nan)
        half = len(x) // 2
        parts = [moved(source, target, x[s], y[s]) for s in (slice(half), slice(half, None))]
        made = np.concatenate(parts, axis=1)
    made[:, ~np.isfinite(made).all(axis=0)] = np.nan
    return made[0], made[1]
