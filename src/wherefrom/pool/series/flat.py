"""Series as plain rows of numbers: the baseline that any embedding must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool.series.pixels import BANDS, PixelSeries

__all__ = ["raw_series"]

#: One value a place; all other bands have one a step.
_STATIC = ("elevation", "slope")
#: Presto does not read it, so neither does what it is compared with.
_UNREAD = ("B9",)


def raw_series(series: PixelSeries) -> NDArray[np.float32]:
    """Flatten the bands that are present into one row of features a place, (N, D) float32.

    Bands are in the order of `BANDS`, each with its T steps; elevation and slope once. Bands that
    have no value anywhere are left out, and so is B9, which Presto does not read. Land cover, place
    and month never enter.

    Raises
    ------
    WherefromError
        If no band has a value.

    Notes
    -----
    In physical units: the heads standardise each feature, so that a model's linear scaling of a
    band would change nothing. A missing value is the mean of its band over the steps of its series,
    as CropHarvest fills them, or over all series where it has none.

    Examples
    --------
    >>> series = PixelSeries.from_bands(
    ...     {"B4": [[500.0, np.nan, 700.0]], "elevation": [12.0]}, [10.0], [0.0], 0)
    >>> raw_series(series).tolist()
    [[500.0, 600.0, 700.0, 12.0]]
    """
    kept = [band for band in series.present if band not in _UNREAD]
    if not kept:
        raise WherefromError("the series have no band with a value: nothing to make features of")
    columns = []
    for band in kept:
        values = series.raw[:, :, BANDS.index(band)]
        known = ~np.isnan(values)
        total = np.where(known, values, 0.0).sum(axis=1, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            own = total / known.sum(axis=1)
        own = np.where(np.isnan(own), total.sum() / known.sum(), own).astype(np.float32)
        filled = np.where(known, values, own[:, None])
        columns.append(own[:, None] if band in _STATIC else filled)
    return np.concatenate(columns, axis=1, dtype=np.float32)
