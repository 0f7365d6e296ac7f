"""The design of samplers that choose their places by themselves, in memory."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.allocate import Allocation
from wherefrom.compose.design import Design

__all__ = ["chosen_design"]


def chosen_design(
    places: int, rows: NDArray[np.int64], conditional_on: str, notes: dict[str, Any]
) -> Design:
    """Make the design that draws some rows for certain, and no others.

    Parameters
    ----------
    places : int
        Of the pool.
    rows : ndarray of int64, shape (n,)
        Distinct.
    conditional_on, notes
        As in `Design`.

    Returns
    -------
    Design

    Examples
    --------
    >>> chosen_design(4, np.array([2, 0]), "the first place", {}).inclusion().tolist()
    [1.0, 0.0, 1.0, 0.0]
    """
    codes = np.full(places, -1, dtype=np.int32)
    codes[rows] = 0
    target = (Fraction(len(rows)),)
    sizes = np.array([len(rows)], dtype=np.int64)
    allocation = Allocation(target, target, ())
    return Design(codes, sizes, allocation, ("chosen",), conditional_on, notes)
