"""How many places each stratum shall give, and what happens where it has too few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.exact import Exact, roomy, whole
from wherefrom.errors import WherefromError

__all__ = ["SHORT", "Allocation", "Short", "allocate", "round_at_random"]

Short = Literal["error", "cap", "redistribute", "repeat"]
#: Policies for a stratum with fewer places than asked of it.
SHORT: tuple[Short, ...] = get_args(Short)


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
        n places in all strata together.

    Examples
    --------
    >>> [str(t) for t in allocate([1, 1, 1], [5, 100, 100], 100, "redistribute").targets]
    ['5', '95/2', '95/2']
    """
    shares, _ = whole(weights)
    total = int(sum(shares.tolist()))
    have = np.asarray(sizes, dtype=np.int64)
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
    """Round to whole numbers so that each keeps its target in expectation.

    Systematic sampling of the fractions in random order [1]_: every count is its target rounded up
    or down, and their sum is the sum of the targets rounded up or down (so n itself if that is
    whole). Rounding by rank instead would favour the strata that come first, and give some none at
    all where n is smaller than the number of strata. Strata with target 0 take no part.

    Parameters
    ----------
    targets : sequence of Fraction, length H
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int64, shape (H,)

    References
    ----------
    .. [1] W. G. Madow, On the theory of systematic sampling II, Ann. Math. Stat. 20 (1949).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> int(round_at_random([Fraction(100, 3)] * 3, rng).sum())
    100
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
