"""Intervals of a mean or a difference that respect blocks, episodes and test places.

The unit of replication is the block: a fresh draw and a fresh pre-training (of zero pre-training,
fresh initial weights). Episodes (fine-tune seeds) are crossed with the blocks, since the same seed
gives the same few-shot split everywhere. The model of a side is therefore that of a two-way table
without replication, as in multi-reader multi-case studies,

    y[b, f] = mean + block[b] + episode[f] + rest[b, f].

What two sides have in common in an episode cancels in their difference. The variance of an
estimate is the sum of the parts that blocks, episodes and, where they are a sample, test places
have in it, each estimated without bias. Each part has its own degrees of freedom, so each gets its
own half-width and these are added in quadrature: with one number of degrees of freedom for the sum
(Satterthwaite, 1946) a part of few blocks that is small by chance would pass as well known. What
is compared within blocks is in `wherefrom.evidence.frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

__all__ = [
    "ENOUGH",
    "LEVEL",
    "Floats",
    "Parts",
    "Side",
    "contrast",
    "difference",
    "ends",
    "half_width",
    "limits",
    "two_sided_p",
]

#: Level of all intervals.
LEVEL = 0.95
#: Fine-tune seeds below which the rest is not taken off their part of a variance. The difference of
#: two so uncertain variances is often zero, and intervals too short: of simulated studies without
#: effect of 3 or 6 blocks and 3 or 4 seeds 10 to 24 of 100 had a false verdict.
ENOUGH = 20
#: A variance below this is rounding: the scores do not vary.
NOTHING = 1e-24
#: More degrees of freedom than these are as good as endless.
_MANY = 1e6

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    #: Score by block and fine-tune seed, shape (B, F).
    values: Floats
    #: True for a baseline: it has no block, so another run would give the same scores and its only
    #: spread is that over episodes.
    fixed: bool = False


@dataclass(frozen=True)
class Parts:
    """An estimate with the parts of its variance; `why` says why there is no interval."""

    estimate: float
    block: float = np.nan
    block_df: float = np.nan
    episode: float = np.nan
    episode_df: float = np.nan
    place: float = 0.0
    place_df: float = np.inf
    why: str = ""
    #: What the estimate leaves out, such as blocks that one side lacks.
    note: str = ""

    @property
    def variance(self) -> float:
        """The variance of the estimate; NaN where there is no interval."""
        return np.nan if self.why else self.block + self.episode + self.place

    @property
    def df(self) -> float:
        """Degrees of freedom of the variance on the whole (Satterthwaite, 1946)."""
        spent = self.block**2 / self.block_df + self.episode**2 / self.episode_df
        spent += self.place**2 / self.place_df
        return self.variance**2 / spent if spent > 0 else 1.0


def difference(a: Side, b: Side | None = None) -> Parts:
    """Estimate the mean of `a` minus the mean of `b`, or the mean of `a` alone.

    Both have the same fine-tune seeds in the same order; blocks are not paired. Without `b` the
    episodes count in full. There is no interval where a side has one block only, which says
    nothing on the spread over blocks, nor where no score varies.

    Examples
    --------
    >>> a = Side(np.array([[0.6, 0.7], [0.7, 0.8], [0.8, 0.9]]))
    >>> b = Side(np.array([[0.5, 0.6]]), fixed=True)
    >>> parts = difference(a, b)
    >>> round(parts.estimate, 3), round(parts.df, 1)
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
    count, rest, spent, block = len(series), 0.0, 0.0, 0.0
    several = [(w**2, s.values) for s, w in zip(sides, weights, strict=True) if not s.fixed]
    if count < 2 or any(len(values) < 2 for _, values in several):
        why = "one fine-tune seed" if count < 2 else "one block"
        return Parts(float(series.mean()), why=why)
    for square, values in several:
        units = len(values)
        means = values.mean(axis=1)
        residual = values - means[:, None] - values.mean(axis=0) + means.mean()
        rest += square * float((residual**2).sum()) / ((units - 1) * (count - 1) * units * count)
        variance = square * float(means.var(ddof=1)) / units
        block += variance
        spent += variance**2 / (units - 1)
    # The rest is in the spread of the blocks' means already; it must not count twice.
    episode = max(0.0, float(series.var(ddof=1)) / count - rest * (count >= ENOUGH))
    df = block**2 / spent if spent > 0 else 1.0
    why = "" if block + episode > NOTHING else "no score varies"
    return Parts(float(series.mean()), block, df, episode, count - 1.0, why=why)


def half_width(parts: Sequence[Parts], level: float = LEVEL) -> Floats:
    """Return the half-widths of two-sided intervals, shape (len(parts),); NaN for none."""
    return _half(np.full(len(parts), (1 - level) / 2), _columns(parts))


def limits(
    parts: Sequence[Parts], around: Sequence[float]
) -> list[tuple[float | None, float | None]]:
    """Return the ends of the 95 % intervals around some values; None where there is none."""
    return ends(around, half_width(parts))


def ends(around: Sequence[float], halves: Floats) -> list[tuple[float | None, float | None]]:
    """Return the ends of intervals of some half-widths; None where one is NaN."""
    return [
        (value - half, value + half) if np.isfinite(half) else (None, None)
        for value, half in zip(around, halves.tolist(), strict=True)
    ]


def two_sided_p(parts: Sequence[Parts], distance: Floats) -> Floats:
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
    return np.where(np.isfinite(columns[0]), 10.0**high, np.nan)


def _columns(parts: Sequence[Parts]) -> Floats:
    """Return the variances, each before its degrees of freedom, shape (6, len(parts))."""
    rows = [
        (p.block, p.block_df, p.episode, p.episode_df, p.place, p.place_df)
        if not p.why
        else (np.nan,) * 6
        for p in parts
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 6).T


def _half(tail: Floats, columns: Floats) -> Floats:
    square = sum(
        stdtrit(np.minimum(df, _MANY), tail) ** 2 * variance
        for variance, df in zip(columns[::2], columns[1::2], strict=True)
    )
    return np.sqrt(np.asarray(square, dtype=np.float64))
