"""Coordinates as users give them: checked, with the row at fault and the remedy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.errors import WherefromError

__all__ = ["checked_places"]


def checked_places(
    lon: ArrayLike, lat: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitudes and latitudes as float64 of shape (N,), or say which row is wrong.

    Longitudes beyond [-180, 180] are refused, never wrapped in silence. 180 E comes back as 180 W:
    the same place gets the same answer.

    Raises
    ------
    WherefromError
        If the shapes differ, or a value is no number, NaN, infinite or out of range. Rows count
        from 0.

    Examples
    --------
    >>> checked_places(13.4, 52.5)
    (array([13.4]), array([52.5]))
    >>> checked_places([0.0, 13.4], [0.0, 113.4])
    Traceback (most recent call last):
    ...
    wherefrom.errors.WherefromError: row 1: lat 113.4 is not within [-90, 90]; swapped with lon?
    """
    try:
        x = np.atleast_1d(np.asarray(lon, dtype=np.float64))
        y = np.atleast_1d(np.asarray(lat, dtype=np.float64))
    except (TypeError, ValueError) as err:
        raise WherefromError(f"lon and lat must be numbers, in degrees: {err}") from err
    if x.ndim != 1 or x.shape != y.shape:
        raise WherefromError(
            f"lon and lat must be one-dimensional and of one length, not {x.shape} and {y.shape}"
        )
    # NaN fails every comparison, so it is caught here too.
    fine = (np.abs(x) <= 180.0) & (np.abs(y) <= 90.0)
    if not fine.all():
        raise WherefromError(_fault(x, y, int(np.argmin(fine)), int((~fine).sum())))
    if (x == 180.0).any():
        x = np.where(x == 180.0, -180.0, x)
    return x, y


def _fault(x: NDArray[np.float64], y: NDArray[np.float64], row: int, count: int) -> str:
    more = f" ({count} rows in all)" if count > 1 else ""
    if not (np.isfinite(x[row]) and np.isfinite(y[row])):
        return f"row {row}: lon {x[row]}, lat {y[row]} is not a place: drop or mend the row{more}"
    if abs(y[row]) > 90.0:
        swapped = abs(x[row]) <= 90.0 and abs(y[row]) <= 180.0
        hint = "swapped with lon?" if swapped else "latitudes are in degrees, north positive"
        return f"row {row}: lat {y[row]} is not within [-90, 90]; {hint}{more}"
    hint = (
        "subtract 360 from longitudes above 180"
        if 180.0 < x[row] <= 360.0
        else "longitudes are in degrees, east positive"
    )
    return f"row {row}: lon {x[row]} is not within [-180, 180]; {hint}{more}"
