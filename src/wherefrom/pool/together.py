"""Rows of one place: those of one value of a column, such as the seasons of a tile."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom.earth.sphere import distance_km
from wherefrom.pool.columns import column_codes, column_labels, present_values
from wherefrom.shown import count_of

__all__ = ["APART_KM", "alone", "numbers_of", "said_apart"]

Ints = NDArray[np.int64]

#: Rows of one place that lie farther from its first row are told.
APART_KM = 1.0


def numbers_of(column: pa.ChunkedArray, name: str) -> Ints:
    """Return a number for the place of each row, shape (N,), by a column; a row without is alone.

    >>> numbers_of(pa.chunked_array([["a", "b", None, "a", None]]), "tile").tolist()
    [0, 1, 2, 0, 3]
    """
    values, _ = column_labels(present_values(column, name))
    return alone(column_codes(column, values, name))


def alone(codes: NDArray[np.int32]) -> Ints:
    """Return codes of places in which each row of code -1 has a place to itself."""
    numbers = codes.astype(np.int64)
    none = np.flatnonzero(numbers < 0)
    numbers[none] = numbers.max(initial=-1) + 1 + np.arange(len(none))
    return numbers


def said_apart(
    lon: NDArray[np.float64], lat: NDArray[np.float64], first: Ints, place: Ints, name: str
) -> list[str]:
    """Say how far rows of one place lie apart, in one line or none.

    Parameters
    ----------
    lon, lat : ndarray of float64, shape (N,)
        Degrees.
    first : ndarray of int64, shape (P,)
        First row of each place.
    place : ndarray of int64, shape (N,)
        Place of each row.
    name : str
        The column that says which rows are one place.

    Examples
    --------
    >>> first, place = np.array([0, 1]), np.array([0, 1, 0])
    >>> said_apart(np.array([5.0, 6.0, 5.1]), np.zeros(3), first, place, "tile")[0][:60]
    "1 of 2 places by 'tile' has rows more than 1 km from its fir"
    """
    km = distance_km(lon, lat, lon[first][place], lat[first][place])
    far = np.flatnonzero(km > APART_KM)
    if not len(far):
        return []
    count, most = len(np.unique(place[far])), int(np.nanargmax(km))
    has, its = ("has", "its") if count == 1 else ("have", "their")
    return [
        f"{count:,} of {count_of(len(first), 'place')} by {name!r} {has} rows more than "
        f"{APART_KM:g} km from {its} first, up to {km[most]:,.1f} km (row {most}); a place is "
        "taken to be at its first row"
    ]
