"""A slope from redraws: contrasts between draws of one composition at one place, and its interval.

See `wherefrom.evidence.distance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from wherefrom.evidence.intervals import LEVEL
from wherefrom.evidence.places import Sample, covariance

__all__ = [
    "LEAST_SPREAD", "Estimate", "Redraws", "Slope", "centred", "interval", "over_places",
    "redraws", "slope_of", "spread_of", "told",
]  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Standard deviation of log10 distance between draws below which no slope is told (5 %).
LEAST_SPREAD = 0.02


class Estimate(NamedTuple):
    """An estimate with its 95 % interval; without one `why` says why."""

    value: float
    low: float | None = None
    high: float | None = None
    why: str = ""


class Redraws(NamedTuple):
    """Centred log distances (B, T), scores (B, T) and their products by seed (B, S)."""

    x: Floats
    y: Floats
    by_seed: Floats


class Slope(NamedTuple):
    """A slope, its variance over runs and episodes, and the influence of the places (T,)."""

    value: float
    runs: tuple[float, float]
    episodes: tuple[float, float]
    influence: Floats
    #: Variance that is in that of the runs and in that of the places.
    both: float


def redraws(x: Floats, y: Floats, score: NDArray[Any]) -> Redraws | None:
    """Centre the draws of one composition: (B, T), (B, T) and (B, S, T); None of a single one."""
    if len(x) < 2:
        return None
    apart = centred(x)
    scores = score.astype(np.float32)
    scores -= scores.mean(axis=0)
    by_seed = np.einsum("bst,bt->bs", scores, apart.astype(np.float32), optimize=True)
    return Redraws(apart, centred(y), by_seed.astype(np.float64))


def spread_of(parts: Sequence[Redraws]) -> float:
    """Return the standard deviation of log10 distance between draws; NaN where there are none."""
    freedom = sum((len(part.x) - 1) * part.x.shape[1] for part in parts)
    return float(np.sqrt(_square(parts) / freedom)) if freedom else np.nan


def _square(parts: Sequence[Redraws]) -> float:
    return sum(float((part.x**2).sum()) for part in parts)


def centred(values: Floats) -> Floats:
    """Take off the means of rows and of columns."""
    rows, columns = values.mean(axis=1, keepdims=True), values.mean(axis=0)
    return np.asarray(values - rows - columns + values.mean())


def slope_of(parts: Sequence[Redraws]) -> Slope | None:
    """Estimate a slope from the draws of some compositions; None where they hardly differ."""
    if not spread_of(parts) >= LEAST_SPREAD:
        return None
    square = _square(parts)
    value = sum(float((part.x * part.y).sum()) for part in parts) / square
    variances, shares, seeds, rest, both = [], [], 0.0, 0.0, 0.0
    influence = np.zeros(parts[0].x.shape[1])
    for part in parts:
        blocks, count = len(part.x), part.by_seed.shape[1]
        # What is centred over B blocks has lost one in B of its variance.
        scale = blocks / (blocks - 1) / square**2
        cells = part.x * (part.y - value * part.x)
        variances.append(scale * float((cells.sum(axis=1) ** 2).sum()))
        shares.append(variances[-1] ** 2 / (blocks - 1))
        both += scale * float((cells**2).sum())
        influence += cells.sum(axis=0) / square
        seeds = seeds + part.by_seed.sum(axis=0) / square
        own = part.by_seed - part.by_seed.mean(axis=1, keepdims=True)
        rest += scale * float((own**2).sum()) / max(count - 1, 1) / count
    over = np.asarray(seeds)
    episodes = max(0.0, float(over.var(ddof=1)) / len(over) - rest) if len(over) > 1 else 0.0
    runs = sum(variances)
    df = runs**2 / sum(shares) if sum(shares) > 0 else 1.0
    return Slope(value, (runs, df), (episodes, max(len(over) - 1.0, 1.0)), influence, both)


def told(slope: Slope, unit: Ints) -> Estimate:
    """Put its interval to a slope; the test places are drawn in units, (T,)."""
    return interval(
        slope.value, [slope.runs, slope.episodes, over_places(slope.influence, unit, slope.both)]
    )


def over_places(influence: Floats, unit: Ints, both: float = 0.0) -> tuple[float, float]:
    """Return the variance over test places, without what is counted elsewhere, and its freedom."""
    sample = covariance([Sample(influence[None], unit)])
    return (
        (np.nan, np.nan) if sample is None else (max(0.0, float(sample[0][0, 0]) - both), sample[1])
    )


def interval(value: float, parts: Sequence[tuple[float, float]], why: str = "") -> Estimate:
    """Add parts of variance, each with its degrees of freedom, in quadrature."""
    variance, df = np.array(parts).T
    half = float(np.sqrt((stdtrit(df, (1 - LEVEL) / 2) ** 2 * variance).sum()))
    if why or not np.isfinite(half):
        return Estimate(value, why=why or "all test places in one block of land")
    return Estimate(value, value - half, value + half)
