"""Unequal weights as a few levels, so that a weighted draw is a stratified one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.compose.allocate import Allocation, allocate
from wherefrom.errors import WherefromError

__all__ = ["RATIO", "allocate_levels", "levels_of", "weights_of"]

#: Weights of neighbouring levels differ by this factor; a place's by half of it at most.
RATIO = 1.01

# Of the smallest positive float; so levels are never negative.
_LOWEST = -75_000


def levels_of(weights: ArrayLike) -> NDArray[np.int64]:
    """Return the geometric level of every weight.

    Parameters
    ----------
    weights : array_like of float, shape (N,)
        Not negative, not infinite; NaN counts as no weight.

    Returns
    -------
    ndarray of int64, shape (N,)
        Not negative, and higher for higher weights; -1 where the weight is 0 or NaN: such places
        are never drawn.

    Raises
    ------
    WherefromError
        If a weight is negative or infinite.

    Examples
    --------
    >>> levels_of([1.0, 1.005, 1.02, 0.0, np.nan]).tolist()
    [75000, 75000, 75001, -1, -1]
    """
    given = np.asarray(weights, dtype=np.float64)
    wrong = np.flatnonzero((given < 0) | np.isinf(given))
    if len(wrong):
        raise WherefromError(
            f"a weight is {given[wrong[0]]:g}: weights are not negative and not infinite"
        )
    level = np.full(given.shape, -1, dtype=np.int64)
    some = given > 0
    level[some] = np.floor(np.log(given[some]) / np.log(RATIO)).astype(np.int64) - _LOWEST
    return level


def weights_of(levels: ArrayLike) -> NDArray[np.float64]:
    """Return the weight in the middle of every level, at most 0.5 % from those of its places.

    Parameters
    ----------
    levels : array_like of int, shape (H,)
        Of `levels_of`, not -1.

    Returns
    -------
    ndarray of float64, shape (H,)

    Examples
    --------
    >>> weights_of(levels_of([0.02, 1.0, 300.0])).round(3).tolist()
    [0.02, 1.005, 300.821]
    """
    middle = np.asarray(levels, dtype=np.float64) + (_LOWEST + 0.5)
    return np.asarray(np.exp(middle * np.log(RATIO)))


def allocate_levels(levels: NDArray[np.int64], sizes: NDArray[np.int64], n: int) -> Allocation:
    """Share n places among levels in proportion to size x weight, none above its size.

    So all places of a level have the same probability, in proportion to the level's weight, and
    at most 1; what a full level cannot take is shared among the others by their weights.

    Parameters
    ----------
    levels : ndarray of int64, shape (H,)
        Distinct, of `levels_of`.
    sizes : ndarray of int64, shape (H,)
        Places of each.
    n : int

    Returns
    -------
    Allocation

    Raises
    ------
    WherefromError
        If fewer than n places have a weight.

    Examples
    --------
    >>> plan = allocate_levels(levels_of([1.0, 2.0]), np.array([30, 10]), 10)
    >>> [round(float(target), 2) for target in plan.targets]
    [6.02, 3.98]
    """
    have = int(sizes.sum())
    if have < n:
        raise WherefromError(
            f"n = {n:,}, but only {have:,} places of the pool have a weight above 0: use a larger "
            "pool or a smaller n"
        )
    # Relative to the heaviest, so that the numbers stay small.
    relative = weights_of(levels) / weights_of(levels.max())
    shares = [Fraction(float(w)) * int(s) for w, s in zip(relative, sizes, strict=True)]
    return allocate(shares, sizes.tolist(), n, "redistribute")
