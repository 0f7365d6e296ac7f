"""How many places each stratum shall give, and what happens where it has too few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError

__all__ = ["SHORT", "Allocation", "Short", "allocate", "round_at_random"]

Short = Literal["error", "cap", "redistribute", "repeat"]
#: Policies for a stratum with fewer places than asked of it.
SHORT: tuple[Short, ...] = get_args(Short)


@dataclass(frozen=True)
class Allocation:
    """Expected numbers of places per stratum, exact.

    Attributes
    ----------
    asked : tuple of Fraction
        In proportion to the weights; sums to n.
    targets : tuple of Fraction
        After the policy for short strata; what the draw keeps to in expectation.
    short : tuple of int
        Strata that have fewer places than asked.
    """

    asked: tuple[Fraction, ...]
    targets: tuple[Fraction, ...]
    short: tuple[int, ...]


def allocate(
    weights: Sequence[Fraction | int],
    sizes: Sequence[int],
    n: int,
    short: Short,
    labels: Sequence[str] = (),
) -> Allocation:
    """Share n places among strata in proportion to weights.

    Parameters
    ----------
    weights : sequence of Fraction or int, length H
        Not negative, not all zero.
    sizes : sequence of int, length H
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
    total = sum(weights, Fraction(0))
    asked = tuple(Fraction(n * w) / total for w in weights)
    lacking = tuple(h for h, t in enumerate(asked) if t > sizes[h])
    if not lacking or short == "repeat":
        return Allocation(asked, asked, lacking)
    if short == "error":
        raise _lack(asked, sizes, lacking, labels)
    if short == "cap":
        targets = tuple(min(t, Fraction(s)) for t, s in zip(asked, sizes, strict=True))
        return Allocation(asked, targets, lacking)
    return Allocation(asked, _redistributed(weights, sizes, n), lacking)


def round_at_random(targets: Sequence[Fraction], rng: np.random.Generator) -> NDArray[np.int64]:
    """Round to whole numbers so that each keeps its target in expectation.

    Systematic sampling of the fractions in random order [1]_: every count is its target rounded up
    or down, and their sum is the sum of the targets rounded up or down (so n itself if that is
    whole). Rounding by rank instead would favour the strata that come first, and give some none at
    all where n is smaller than the number of strata.

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
    order = rng.permutation(len(targets))
    start = Fraction(float(rng.random()))
    counts = np.zeros(len(targets), dtype=np.int64)
    before, reached = 0, -start
    for h in order:
        reached += targets[h]
        after = ceil(reached)
        counts[h] = after - before
        before = after
    return counts


def _redistributed(
    weights: Sequence[Fraction | int], sizes: Sequence[int], n: int
) -> tuple[Fraction, ...]:
    """Fill short strata and share the rest by weight, until none is short."""
    have = sum(size for size, w in zip(sizes, weights, strict=True) if w)
    if have < n:
        raise WherefromError(
            f"n = {n:,} is larger than all strata together, which have {have:,} places: use a "
            "larger pool, a smaller n, or short=cap or short=repeat"
        )
    full: dict[int, Fraction] = {}
    open_ = [h for h, w in enumerate(weights) if w]
    while True:
        rest = n - sum(full.values(), Fraction(0))
        total = sum((Fraction(weights[h]) for h in open_), Fraction(0))
        over = [h for h in open_ if rest * weights[h] > sizes[h] * total]
        if not over:
            break
        full |= {h: Fraction(sizes[h]) for h in over}
        open_ = [h for h in open_ if h not in full]
    shares = {h: rest * weights[h] / total for h in open_}
    return tuple(full.get(h, shares.get(h, Fraction(0))) for h in range(len(weights)))


def _lack(
    asked: Sequence[Fraction], sizes: Sequence[int], lacking: Sequence[int], labels: Sequence[str]
) -> WherefromError:
    shown = [
        f"{(labels[h] if labels else h)!r} has {sizes[h]:,} of {ceil(asked[h]):,}"
        for h in lacking[:5]
    ]
    if len(lacking) > 5:
        shown.append("...")
    policies = "short=cap or short=repeat"
    if len(sizes) > 1:
        policies = "short=cap, short=redistribute or short=repeat"
    return WherefromError(
        f"too few places in {len(lacking)} of {len(sizes)} strata: {', '.join(shown)}; use a "
        f"larger pool, a smaller n, or {policies}"
    )
