"""Slopes from redraws: contrasts between draws of one composition at one place, with intervals.

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
    "BENDS_KM", "LEAST_SPREAD", "STRAIGHT", "Change", "Estimate", "Fit", "Redraws", "centred",
    "change", "fit", "interval", "over_places", "pieces", "redraws", "spread_of", "told",
]  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Standard deviation of log10 distance between draws below which no slope is told (5 %).
LEAST_SPREAD = 0.02
#: Condition number of the information beyond which slopes cannot be told from each other.
_WORST = 1e6
#: Distances at which a law may bend.
BENDS_KM = (50.0, 500.0)
#: One slope for all pieces.
STRAIGHT = np.ones((1, 3))


class Estimate(NamedTuple):
    """An estimate with its 95 % interval; without one `why` says why."""

    value: float
    low: float | None = None
    high: float | None = None
    why: str = ""


class Redraws(NamedTuple):
    """Centred pieces (3, B, T), scores (B, T), and the products of both by seed (3, B, S)."""

    x: Floats
    y: Floats
    by_seed: Floats


class Fit(NamedTuple):
    """J slopes: their `pieces` (J, 3), values (J,) and inverse information (J, J)."""

    parts: Sequence[Redraws]
    pieces: Floats
    values: Floats
    inverse: Floats


class Change(NamedTuple):
    """A weighted sum of slopes, with its variance.

    `runs` and `episodes` are variances with their degrees of freedom, `influence` is that of the
    places, (T,); `both` is the variance that is in that of the runs and in that of the places.
    """

    value: float
    runs: tuple[float, float]
    episodes: tuple[float, float]
    influence: Floats
    both: float


def pieces(logs: Floats) -> Floats:
    """Part log10 distances into what lies below, between and beyond `BENDS_KM`: (3, ...).

    Examples
    --------
    >>> pieces(np.log10([5.0, 5000.0])).sum(axis=0).round(3).tolist()
    [0.699, 3.699]
    """
    low, high = np.log10(BENDS_KM)
    middle = np.clip(logs, low, high) - low
    return np.stack([np.minimum(logs, low), middle, np.maximum(logs - high, 0.0)])


def redraws(x: Floats, y: Floats, score: NDArray[Any]) -> Redraws | None:
    """Centre the draws of one composition: (B, T), (B, T) and (B, S, T); None of a single one."""
    if len(x) < 2:
        return None
    apart = centred(pieces(x))
    scores = score.astype(np.float32)
    scores -= scores.mean(axis=0)
    by_seed = np.einsum("bst,kbt->kbs", scores, apart.astype(np.float32), optimize=True)
    return Redraws(apart, centred(y), by_seed.astype(np.float64))


def spread_of(parts: Sequence[Redraws], of: Floats = STRAIGHT[0]) -> float:
    """Return the standard deviation of log10 distance between draws; NaN where there are none.

    `of` are weights of the pieces, (3,).
    """
    freedom = sum((part.y.shape[0] - 1) * part.y.shape[1] for part in parts)
    square = sum(float((np.tensordot(of, part.x, 1) ** 2).sum()) for part in parts)
    return float(np.sqrt(square / freedom)) if freedom else np.nan


def centred(values: Floats) -> Floats:
    """Take off the means of the last axis and of the one before."""
    rows, columns = values.mean(axis=-1, keepdims=True), values.mean(axis=-2, keepdims=True)
    return np.asarray(values - rows - columns + rows.mean(axis=-2, keepdims=True))


def fit(parts: Sequence[Redraws], slopes: Floats = STRAIGHT) -> Fit | None:
    """Estimate J slopes, of pieces (J, 3); None where distances of one hardly differ.

    Nor are slopes told that so few places cannot tell from each other.
    """
    if not len(slopes) or not all(spread_of(parts, of) >= LEAST_SPREAD for of in slopes):
        return None
    information = slopes @ sum(np.einsum("jbt,kbt->jk", p.x, p.x) for p in parts) @ slopes.T
    products = slopes @ sum(np.einsum("jbt,bt->j", p.x, p.y) for p in parts)
    if np.linalg.cond(information) > _WORST:
        return None
    inverse = np.linalg.inv(information)
    return Fit(parts, slopes, inverse @ products, inverse)


def change(made: Fit, by: Floats) -> Change:
    """Sum slopes up, each times a difference in log10 distance `by`, (J,)."""
    weight = made.pieces.T @ (made.inverse @ by)
    slope = made.pieces.T @ made.values
    variances, shares, seeds, rest, both = [], [], 0.0, 0.0, 0.0
    influence = np.zeros(made.parts[0].y.shape[1])
    for part in made.parts:
        blocks, count = part.by_seed.shape[1:]
        # What is centred over B blocks has lost one in B of its variance.
        scale = blocks / (blocks - 1)
        cells = np.tensordot(weight, part.x, 1) * (part.y - np.tensordot(slope, part.x, 1))
        variances.append(scale * float((cells.sum(axis=1) ** 2).sum()))
        shares.append(variances[-1] ** 2 / (blocks - 1))
        both += scale * float((cells**2).sum())
        influence += cells.sum(axis=0)
        by_seed = np.tensordot(weight, part.by_seed, 1)
        seeds = seeds + by_seed.sum(axis=0)
        own = by_seed - by_seed.mean(axis=1, keepdims=True)
        rest += scale * float((own**2).sum()) / max(count - 1, 1) / count
    over = np.asarray(seeds)
    episodes = max(0.0, float(over.var(ddof=1)) / len(over) - rest) if len(over) > 1 else 0.0
    runs = sum(variances)
    df = runs**2 / sum(shares) if sum(shares) > 0 else 1.0
    freedom = max(len(over) - 1.0, 1.0)
    return Change(float(made.values @ by), (runs, df), (episodes, freedom), influence, both)


def told(made: Change, unit: Ints) -> Estimate:
    """Put its interval to a change; the test places are drawn in units, (T,)."""
    places = over_places(made.influence, unit, made.both)
    return interval(made.value, [made.runs, made.episodes, places])


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
