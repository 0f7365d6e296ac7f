"""One family of claims: intervals that hold all at once in 95 of 100 studies.

All that is compared in one view is tested by a single-step max-t test for unequal variances (Hasler
and Hothorn, 2008). Each contrast has its own standard error and degrees of freedom; all are put on
a common scale by their half-widths at Bonferroni's level. The largest ratio of an estimate to that
half-width is simulated without any effect, under what is estimated from the results: each
composition's own variance, what a block shares, the covariance of the rows over episodes and over
test places. So contrasts with a common reference are correlated as they are, and those that share
a composition share its variance too. The ratio that is exceeded in 5 % of these studies is the
factor by which the half-widths are multiplied. Regions are simulated as independent, which is
conservative for two-sided tests (Sidak, 1967). An interval excludes zero exactly where the adjusted
p-value is at most 0.05: the two cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import polygamma, stdtrit

from wherefrom.evidence.frames import Frame
from wherefrom.evidence.intervals import ENOUGH, LEVEL, Floats, Parts, half_width, two_sided_p
from wherefrom.evidence.own import own

__all__ = ["DRAWS", "Design", "Family", "simulate"]

#: Simulated studies: the level of a family of 5 % is then exact to 0.5 % (standard error).
DRAWS = 2000

#: Degrees of freedom below which a cube of a normal variable is no chi-squared: it is negative in
#: 1 of 20 draws with one, in 1 of 250 with two, and the largest ratio of a family endless.
_FEW = 10

Rows = npt.NDArray[np.intp]


class Design(NamedTuple):
    """What is compared in one frame."""

    frame: Frame
    #: Row and reference of each pair, shape (C, 2).
    pairs: Rows
    #: Rows among which the one with the best mean was chosen to be a reference; empty if none was.
    chosen: Rows = np.empty(0, dtype=np.intp)
    #: 1 where higher is better, else -1.
    sign: int = 1


@dataclass(frozen=True, eq=False)
class Family:
    """What makes the intervals of a family hold all at once."""

    #: Number of contrasts.
    size: int
    #: The largest ratio of an estimate to its half-width at Bonferroni's level in each simulated
    #: study without any effect, squared, in descending order; shape (draws,).
    largest: Floats

    def half_width(self, parts: Sequence[Parts]) -> Floats:
        """Return the half-widths of simultaneous intervals; NaN for none."""
        if not self.size:
            return half_width(parts)
        # What is larger has an adjusted p-value of at most 5 %.
        factor = self.largest[math.floor((1 - LEVEL) * (len(self.largest) + 1) + 1e-9) - 1]
        return np.asarray(np.sqrt(factor) * half_width(parts, 1 - self._tail))

    def adjusted(self, parts: Sequence[Parts]) -> Floats:
        """Return the share of studies without any effect that have as large a ratio as a part.

        The study itself counts as one of them, so that none is 0, which no simulation can show
        (Phipson and Smyth, 2010). Shape (len(parts),); NaN where there is no interval.
        """
        estimate = np.abs([part.estimate for part in parts])
        if not self.size:
            return two_sided_p(parts, estimate)
        ratio = (estimate / half_width(parts, 1 - self._tail)) ** 2
        larger = np.searchsorted(-self.largest, -ratio, side="right")
        return np.where(np.isnan(ratio), np.nan, (larger + 1) / (len(self.largest) + 1))

    @property
    def _tail(self) -> float:
        return (1 - LEVEL) / self.size


def simulate(designs: Sequence[Design], rng: np.random.Generator, draws: int = DRAWS) -> Family:
    """Simulate the largest ratio of all pairs of some frames under no effect."""
    designs = [design for design in designs if len(design.pairs)]
    size = sum(len(design.pairs) for design in designs)
    largest = np.zeros(draws)
    spread = _heterogeneity([design.frame for design in designs])
    for design in designs:
        ratio = _ratios(design, rng, draws, spread, (1 - LEVEL) / size)
        largest = np.maximum(largest, ratio.max(axis=0))
    return Family(size, np.sort(largest)[::-1])


def _heterogeneity(frames: Sequence[Frame]) -> float:
    """Estimate how much of the spread of the log own variances is not their noise, as a factor.

    With few blocks estimated variances differ by far more than true ones: their logarithms have
    the variance trigamma(df / 2) if they are equal. Simulated as they are, that noise would count
    twice.
    """
    owns = [frame.own for frame in frames if _several(frame)]
    owns = [one for one in owns if (one.variance > 0).all()]
    if not owns:
        return 1.0
    seen = float(np.mean([np.log(one.variance).var(ddof=1) for one in owns]))
    noise = float(np.mean([polygamma(1, one.df / 2) for one in owns]))
    return float(np.sqrt(max(0.0, 1 - noise / seen))) if seen > 0 else 0.0


def _several(frame: Frame) -> bool:
    count, blocks, _ = frame.shape
    return count > 1 and blocks > 1


def _ratios(
    design: Design, rng: np.random.Generator, draws: int, spread: float, tail: float
) -> Floats:
    """Simulate squared ratios of the pairs to their half-widths at a level, shape (C, draws)."""
    frame, (a, b) = design.frame, design.pairs.T
    count, blocks, _ = frame.shape
    rows = len(frame.keys)

    def normal(*shape: int) -> Floats:
        # Half the digits are plenty here, and take half the time.
        return rng.standard_normal((*shape, draws), dtype=np.float32)  # type: ignore[return-value]

    noise: Any = np.zeros((rows, draws), np.float32)
    width: Any = np.zeros((len(a), draws), np.float32)
    if count and blocks > 1:
        variance = _smoothed(frame.own.variance, spread)
        means = normal(count, blocks) * _narrow(np.sqrt(variance))[:, None, None]
        common = frame.own.shared.var(ddof=1) - (frame.own.weight**2 * frame.own.variance).sum()
        means += normal(blocks) * np.float32(np.sqrt(max(0.0, common)))
        noise[:count] = means.mean(axis=1)
        width = _blocks(means, a, b, tail)
    for square, df in _covariances(frame):
        root = _root(square)
        noise += _narrow(root) @ normal(rows)
        square = root @ root.T
        part = stdtrit(df, tail / 2) ** 2 * (square[a, a] + square[b, b] - 2 * square[a, b])
        width += _narrow(part)[:, None] * _chi_squared(df, (len(a), draws), rng)
    if len(design.chosen) > 1:
        means = design.sign * frame.series[design.chosen].mean(axis=1)
        first = design.chosen[(design.sign * noise[design.chosen] + means[:, None]).argmax(axis=0)]
        noise[design.chosen[means.argmax()]] = noise[first, np.arange(draws)]
    return np.asarray((noise[a] - noise[b]) ** 2 / np.maximum(width, np.finfo(np.float32).tiny))


def _chi_squared(df: float, shape: tuple[int, int], rng: np.random.Generator) -> Any:
    """Draw estimates of a variance that is 1: chi-squared over its degrees of freedom."""
    if df < _FEW:
        return rng.standard_gamma(df / 2, shape, dtype=np.float32) * np.float32(2 / df)
    # By the cube of Wilson and Hilferty (1931).
    unit = 2 / (9 * df)
    if unit <= 1e-4:
        return np.float32(1)
    normal = rng.standard_normal(shape, dtype=np.float32)
    return (np.float32(1 - unit) + np.float32(np.sqrt(unit)) * normal) ** 3


def _narrow(values: Floats) -> Any:
    return values.astype(np.float32)


def _smoothed(variance: Floats, spread: float) -> Floats:
    """Draw variances together to a share of their spread, with their mean as it was."""
    if not (variance > 0).all():
        return variance
    log = np.log(variance)
    drawn = np.exp(log.mean() + spread * (log - log.mean()))
    return np.asarray(drawn * variance.mean() / drawn.mean())


def _blocks(means: Floats, a: Rows, b: Rows, tail: float) -> Floats:
    """Return the blocks' part of each pair's squared half-width, shape (C, draws)."""
    count, blocks, draws = means.shape
    freedom = blocks - 1
    width = np.zeros((len(a), draws), means.dtype)
    both = np.flatnonzero((a < count) & (b < count))
    if len(both):
        one = own(means)
        i, j, each = a[both], b[both], one.variance
        part, off = one.weight * each, 1 - one.weight
        alike = ((one.weight * part).sum(axis=0) - part[i] - part[j]) ** 2 / (off[i] * off[j])
        variance = each[i] + each[j]
        spent = (each[i] ** 2 + each[j] ** 2 + 2 * alike) / variance**2
        # The logarithm of the squared quantile is nearly linear in one over the degrees of freedom,
        # with a single one too, where the quantile itself spans many powers of ten.
        table = np.linspace(0.4, 1.0, 32)
        square = np.log(stdtrit(freedom / table, tail / 2) ** 2)
        scale = np.polynomial.Polynomial.fit(table, square, 4)
        width[both] = np.exp(scale(np.clip(spent, table[0], table[-1]))) * variance / blocks
    lone = np.flatnonzero((a < count) != (b < count))
    if len(lone):
        variance = means.var(axis=1, ddof=1)[np.minimum(a[lone], b[lone])]
        width[lone] = np.float32(stdtrit(freedom, tail / 2) ** 2) * variance / blocks
    return width


def _covariances(frame: Frame) -> list[tuple[Floats, float]]:
    """Return the covariance of the rows' means over episodes, and over test places."""
    count, blocks, seeds = frame.shape
    square = np.atleast_2d(np.cov(frame.series)) / seeds
    if count and blocks > 1:
        table = frame.values - frame.values.mean(axis=1, keepdims=True)
        table -= table.mean(axis=2, keepdims=True)
        flat = table.reshape(count, -1)
        # The rest is in the spread over blocks already.
        rest = flat @ flat.T / ((blocks - 1) * (seeds - 1) * blocks * seeds)
        square[:count, :count] -= rest * (seeds >= ENOUGH)
    made = [(square, seeds - 1.0)]
    if frame.places is not None:
        made.append((np.nan_to_num(frame.places[0]), frame.places[1]))
    return made


def _root(square: Floats) -> Floats:
    """Return R with R R' a covariance, of which negative eigenvalues are set to zero."""
    values, vectors = np.linalg.eigh(square)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
