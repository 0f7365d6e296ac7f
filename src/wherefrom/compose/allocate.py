"""How many places each stratum shall give, exactly, and what happens where it has too few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm
from typing import Any, Literal, get_args, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.errors import WherefromError

__all__ = [
    "RATIO",
    "SHORT",
    "Allocation",
    "AloneShort",
    "Exact",
    "Short",
    "allocate",
    "allocate_levels",
    "levels_of",
    "round_at_random",
    "weights_of",
    "whole",
]


Short = Literal["error", "cap", "redistribute", "repeat"]
#: Policies for a stratum with fewer places than asked of it.
SHORT: tuple[Short, ...] = get_args(Short)
#: Policies where there is one stratum: no other could take over what it lacks.
AloneShort = Literal["error", "cap", "repeat"]


@dataclass(frozen=True, eq=False)
class Allocation:
    """Expected numbers of places per stratum, exact.

    Attributes
    ----------
    asked : sequence of Fraction, length H
        In proportion to the weights; sums to n.
    targets : sequence of Fraction, length H
        After the policy for short strata; what the draw keeps to in expectation.
    short : tuple of int
        Strata that have fewer places than asked.
    """

    asked: Sequence[Fraction]
    targets: Sequence[Fraction]
    short: tuple[int, ...]


def allocate(
    weights: Sequence[Fraction | int] | NDArray[np.int64],
    sizes: Sequence[int] | NDArray[np.int64],
    n: int,
    short: Short,
    labels: Sequence[str] = (),
) -> Allocation:
    """Share n places among strata in proportion to weights.

    Parameters
    ----------
    weights : sequence of Fraction or int, or ndarray of int64, length H
        Not negative, not all zero.
    sizes : sequence of int, or ndarray of int64, length H
        Places that each stratum has.
    n : int
        Places to share.
    short : {"error", "cap", "redistribute", "repeat"}
        What to do with a stratum that has fewer places than asked: refuse; take what is there and
        draw fewer in all; share the lack among the others in proportion to their weights; or take
        places more than once.
    labels : sequence of str, length H
        Names for the message.

    Returns
    -------
    Allocation

    Raises
    ------
    WherefromError
        If a stratum is short and the policy is ``"error"``, or ``"redistribute"`` finds fewer than
        n places in all strata together, or there is no stratum.

    Examples
    --------
    >>> [str(t) for t in allocate([1, 1, 1], [5, 100, 100], 100, "redistribute").targets]
    ['5', '95/2', '95/2']
    """
    shares, _ = whole(weights)
    total = int(sum(shares.tolist()))
    have = np.asarray(sizes, dtype=np.int64)
    if not len(have):
        raise WherefromError(f"no place of the pool is in a stratum, to draw {n:,} from")
    # Whole numbers over the denominator `total` keep millions of strata exact and fast.
    largest = total * max(n, int(have.max()))
    shares, have = roomy(shares, largest), roomy(have, largest)
    wanted, room = n * shares, have * total
    asked = Exact(wanted, total)
    lacking = tuple(np.flatnonzero(wanted > room).tolist())
    if not lacking or short == "repeat":
        return Allocation(asked, asked, lacking)
    if short == "error":
        raise _lack(asked, have, lacking, labels)
    if short == "cap":
        return Allocation(asked, Exact(np.minimum(wanted, room), total), lacking)
    return Allocation(asked, _redistributed(shares, have, n), lacking)


def round_at_random(targets: Sequence[Fraction], rng: np.random.Generator) -> NDArray[np.int64]:
    """Round targets, length H, to int64 (H,) so that each keeps its target in expectation.

    Systematic sampling of the fractions in random order (Madow 1949, Ann. Math. Stat. 20): every
    count is its target rounded up or down, and their sum is the sum of the targets rounded up or
    down (so n itself if that is whole). Rounding by rank instead would favour the strata that come
    first, and give some none at all where n is smaller than the number of strata. Strata with
    target 0 take no part.
    """
    exact = Exact.of(targets)
    some = np.flatnonzero(exact.numerators > 0)
    order = some[rng.permutation(len(some))]
    # A whole number of 2**-53; in units of the common denominator only its whole part matters.
    start = Fraction(float(rng.random())) * exact.denominator
    reached = np.cumsum(exact.numerators[order]) - start.__floor__()
    after = -(-reached // exact.denominator)
    counts = np.zeros(len(exact), dtype=np.int64)
    counts[order] = np.diff(after, prepend=0)
    return counts


def _redistributed(weights: NDArray[Any], sizes: NDArray[Any], n: int) -> Exact:
    """Fill short strata and share the rest by weight, until none is short."""
    open_ = weights > 0
    have = int(sizes[open_].sum())
    if have < n:
        raise WherefromError(
            f"n = {n:,} is larger than all strata together, which have {have:,} places: use a "
            "larger pool, a smaller n, or short=cap or short=repeat"
        )
    full = np.zeros(len(sizes), dtype=bool)
    while True:
        rest = n - int(sizes[full].sum())
        total = int(weights[open_].sum())
        over = open_ & (rest * weights > sizes * total)
        if not over.any():
            break
        full |= over
        open_ &= ~over
    # All are full where n is all that there is.
    return Exact(np.where(full, sizes * max(total, 1), rest * weights * open_), max(total, 1))


def _lack(
    asked: Sequence[Fraction], sizes: NDArray[Any], lacking: Sequence[int], labels: Sequence[str]
) -> WherefromError:
    shown = [
        f"{(labels[h] if labels else h)!r} has {sizes[h]:,} of {ceil(asked[h]):,}"
        for h in lacking[:5]
    ]
    if len(lacking) > 5:
        shown.append("...")
    policies = "short=cap or short=repeat"
    strata = sum(share > 0 for share in asked)
    if strata > 1:
        policies = "short=cap, short=redistribute or short=repeat"
    return WherefromError(
        f"too few places in {len(lacking)} of {strata} strata: {', '.join(shown)}; use a "
        f"larger pool, a smaller n, or {policies}"
    )


#: Weights of neighbouring levels differ by this factor; a place's by half of it at most.
RATIO = 1.01

# Of the smallest positive float; so levels are never negative.
_LOWEST = -75_000


def levels_of(weights: ArrayLike) -> NDArray[np.int64]:
    """Return the geometric level of every weight (N,): int64, higher for higher weights.

    Not negative, or -1 where the weight is 0 or NaN: such places are never drawn. A weight that is
    negative or infinite raises a `WherefromError`.

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
    """Return the weight in the middle of levels (H,), at most 0.5 % from those of their places."""
    middle = np.asarray(levels, dtype=np.float64) + (_LOWEST + 0.5)
    return np.asarray(np.exp(middle * np.log(RATIO)))


def allocate_levels(levels: NDArray[np.int64], sizes: NDArray[np.int64], n: int) -> Allocation:
    """Share n places among levels (H,) in proportion to size x weight, none above its size.

    So all places of a level have the same probability, in proportion to the level's weight, and at
    most 1; what a full level cannot take is shared among the others by their weights. If fewer than
    n places have a weight a `WherefromError` is raised.
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


#: Whole numbers up to here are exact as 64-bit real numbers.
EXACT = 2**53
#: Sums and products up to here are exact as 64-bit whole numbers.
SAFE = 2**62


class Exact(Sequence[Fraction]):
    """A sequence of fractions (H,) with a common denominator.

    Numerators are not negative, and of 64 bits only if their sum is below 2**62.
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
        """Divide by whole numbers (H,), each result rounded once; 0 where the number is 0."""
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
    """Write H numbers as whole ones, of int64 or Python's int, over a common denominator."""
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
