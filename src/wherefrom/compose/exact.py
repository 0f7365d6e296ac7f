"""Many fractions over one denominator, exact and as fast as arrays of whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["Exact", "whole"]

#: Whole numbers up to here are exact as 64-bit real numbers.
EXACT = 2**53
#: Sums and products up to here are exact as 64-bit whole numbers.
SAFE = 2**62


class Exact(Sequence[Fraction]):
    """A sequence of fractions with a common denominator.

    Parameters
    ----------
    numerators : ndarray of int64 or of Python's int, shape (H,)
        Not negative. Of 64 bits only if their sum is below 2**62.
    denominator : int
        At least 1.

    Examples
    --------
    >>> shares = Exact.of([Fraction(1, 2), Fraction(1, 3)])
    >>> shares.numerators.tolist(), shares.denominator, shares[1], shares.total()
    ([3, 2], 6, Fraction(1, 3), Fraction(5, 6))
    """

    def __init__(self, numerators: NDArray[Any], denominator: int) -> None:
        self.numerators = numerators
        self.denominator = denominator

    @classmethod
    def of(cls, values: Sequence[Fraction | int]) -> Exact:
        """Bring fractions to their common denominator."""
        if isinstance(values, cls):
            return values
        numerators, denominator = whole(values)
        return cls(numerators.astype(_dtype(sum(numerators.tolist()))), denominator)

    def __len__(self) -> int:
        return len(self.numerators)

    @overload
    def __getitem__(self, at: int) -> Fraction: ...
    @overload
    def __getitem__(self, at: slice) -> Exact: ...
    def __getitem__(self, at: int | slice) -> Fraction | Exact:
        if isinstance(at, slice):
            return Exact(self.numerators[at], self.denominator)
        return Fraction(int(self.numerators[at]), self.denominator)

    def total(self) -> Fraction:
        """Return the sum."""
        return Fraction(int(self.numerators.sum()), self.denominator)

    def over(self, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Divide by whole numbers, each result rounded once; 0 where the number is 0.

        Parameters
        ----------
        sizes : ndarray of int64, shape (H,)
            Not negative.

        Returns
        -------
        ndarray of float64, shape (H,)
        """
        if not len(sizes):
            return np.zeros(0)
        largest = max(int(self.numerators.max()), int(sizes.max()) * self.denominator)
        if largest <= EXACT:
            numerators = self.numerators.astype(np.float64)
            below = np.maximum(sizes, 1) * float(self.denominator)
            return np.where(sizes > 0, numerators / below, 0.0)
        pairs = zip(self.numerators.tolist(), sizes.tolist(), strict=True)
        return np.array([a / (self.denominator * s) if s else 0.0 for a, s in pairs])


def whole(values: Sequence[Fraction | int] | NDArray[np.int64]) -> tuple[NDArray[Any], int]:
    """Write numbers as whole numbers over a common denominator.

    Parameters
    ----------
    values : sequence of Fraction or int, or ndarray of int64, length H

    Returns
    -------
    numerators : ndarray of int64 or of Python's int, shape (H,)
    denominator : int

    Examples
    --------
    >>> whole([Fraction(1, 4), 2])[1]
    4
    """
    if isinstance(values, np.ndarray):
        return values, 1
    common = lcm(*{value.denominator for value in values})
    found = [int(value.numerator) * (common // value.denominator) for value in values]
    return np.array(found, dtype=_dtype(max(found, default=0))), int(common)


def roomy(numbers: NDArray[Any], largest: int) -> NDArray[Any]:
    """Make whole numbers ready for results up to `largest`: Python's own where 64 bits are few."""
    return numbers.astype(_dtype(largest))


def _dtype(largest: int) -> Any:
    return np.int64 if largest < SAFE else object
