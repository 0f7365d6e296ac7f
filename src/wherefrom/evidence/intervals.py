"""Intervals of a mean or a difference that respect blocks and fine-tune seeds.

The unit of replication is the block: a fresh draw and a fresh pre-training (of zero pre-training,
fresh initial weights). Fine-tune seeds are crossed with the blocks, since the same seed gives the
same few-shot split everywhere. The model of a side is therefore that of a two-way table without
replication, as in multi-reader multi-case studies,

    y[u, f] = mean + unit[u] + episode[f] + rest[u, f].

Episodes pair the two sides: what they have in common cancels in the difference. Two parts of
variance remain: that of the units (Welch, 1947, where the sides differ in number or spread) and
that of the episodes as far as the sides react to them differently. Each part has its own degrees
of freedom, so each gets its own half-width and the two are added in quadrature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

__all__ = [
    "LEVEL",
    "Floats",
    "Parts",
    "Side",
    "contrast",
    "difference",
    "half_width",
    "limits",
    "two_sided_p",
]

#: Level of all intervals.
LEVEL = 0.95

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    #: Score by unit of replication and fine-tune seed, shape (U, F).
    values: Floats
    #: True for a baseline: it has no block, so another run would give the same
    #: scores and its only spread is that over episodes.
    fixed: bool = False


@dataclass(frozen=True)
class Parts:
    """An estimate with its two parts of variance; `why` says why there is no interval."""

    estimate: float
    unit_variance: float = np.nan
    unit_df: float = np.nan
    episode_variance: float = np.nan
    episode_df: float = np.nan
    why: str = ""


def difference(a: Side, b: Side | None = None) -> Parts:
    """Estimate the mean of `a` minus the mean of `b`, or the mean of `a` alone.

    Both have the same fine-tune seeds in the same order. Without `b` the episodes count in full.
    The variances are NaN where a side has one unit only: a single block says nothing on the
    spread over blocks, and no interval is invented.

    Examples
    --------
    >>> a = Side(np.array([[0.6, 0.7], [0.7, 0.8], [0.8, 0.9]]))
    >>> b = Side(np.array([[0.5, 0.6]]), fixed=True)
    >>> parts = difference(a, b)
    >>> round(parts.estimate, 3), round(parts.unit_df, 1)
    (0.2, 2.0)
    """
    return contrast([a], [1.0]) if b is None else contrast([a, b], [1.0, -1.0])


def contrast(sides: Sequence[Side], weights: Sequence[float]) -> Parts:
    """Estimate a weighted sum of the means of sides that share their fine-tune seeds.

    As `difference`. Where the weights add up to zero, what all sides have in common in an episode
    cancels.
    """
    series = sum(w * side.values.mean(axis=0) for side, w in zip(sides, weights, strict=True))
    assert isinstance(series, np.ndarray)
    estimate = float(series.mean())
    count = len(series)
    if count < 2:
        return Parts(estimate, why="one fine-tune seed")
    variances, shares, rest = [], [], 0.0
    for side, weight in zip(sides, weights, strict=True):
        if side.fixed:
            continue
        units = len(side.values)
        if units < 2:
            return Parts(estimate, why="single block")
        means = side.values.mean(axis=1)
        residual = side.values - means[:, None] - side.values.mean(axis=0) + means.mean()
        square = weight**2
        rest += square * float((residual**2).sum()) / ((units - 1) * (count - 1) * units * count)
        variance = square * float(means.var(ddof=1)) / units
        variances.append(variance)
        shares.append(variance**2 / (units - 1))
    unit = sum(variances)
    # The rest is in the spread of the unit means already; it must not count twice.
    episode = max(0.0, float(series.var(ddof=1)) / count - rest)
    df = unit**2 / sum(shares) if sum(shares) > 0 else 1.0
    return Parts(estimate, unit, df, episode, count - 1.0)


def half_width(parts: list[Parts], level: float = LEVEL) -> Floats:
    """Return the half-widths of two-sided intervals, shape (len(parts),); NaN for none."""
    return _half(np.full(len(parts), (1 - level) / 2), _columns(parts))


def limits(parts: list[Parts], around: list[float]) -> list[tuple[float | None, float | None]]:
    """Return the ends of the 95 % intervals around some values; None where there is none."""
    halves = half_width(parts).tolist()
    return [
        (value - half, value + half) if np.isfinite(half) else (None, None)
        for value, half in zip(around, halves, strict=True)
    ]


def two_sided_p(parts: list[Parts], distance: Floats) -> Floats:
    """Return the p-values at which the intervals just reach some distances from the estimates.

    The distances, float64 of shape (len(parts),), are not negative: e.g. the absolute estimates,
    for the hypothesis of no difference. By bisection to a relative accuracy of about 1e-6; NaN
    where there is no interval.

    Examples
    --------
    >>> p = two_sided_p([Parts(0.0, 1.0, 4.0, 0.0, 49.0)], np.array([2.776445]))
    >>> round(float(p[0]), 4)
    0.05
    """
    columns = _columns(parts)
    low = np.full(len(parts), -30.0)  # log10 of p
    high = np.zeros(len(parts))
    for _ in range(45):
        middle = (low + high) / 2
        reached = _half(10.0**middle / 2, columns) >= distance
        low = np.where(reached, middle, low)
        high = np.where(reached, high, middle)
    unit, _, episode, _ = columns
    p = 10.0**high
    p = np.where(unit + episode > 0, p, np.where(distance > 0, 0.0, 1.0))
    return np.where(np.isfinite(unit), p, np.nan)


def _columns(parts: list[Parts]) -> Floats:
    """Return the two variances, each before its degrees of freedom, shape (4, len(parts))."""
    rows = [(p.unit_variance, p.unit_df, p.episode_variance, p.episode_df) for p in parts]
    return np.array(rows, dtype=np.float64).reshape(-1, 4).T


def _half(tail: Floats, columns: Floats) -> Floats:
    unit, unit_df, episode, episode_df = columns
    square = stdtrit(unit_df, tail) ** 2 * unit + stdtrit(episode_df, tail) ** 2 * episode
    return np.sqrt(np.asarray(square, dtype=np.float64))
