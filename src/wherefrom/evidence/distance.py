"""The distance law: what the score of a test place owes to how near the pre-training places lie.

A composition differs from another in what its places are like and in how near they lie to the test
places. The two are told apart by the blocks: a fresh draw of the *same* composition changes the
distance of a test place by chance and nothing else. Hence the model, for test place i, composition
c and block b, of the score y (right or not, its mean over few-shot seeds; the squared error of
numbers),

    y[c, b, i] = place[c, i] + run[c, b] + slope * log10(distance[c, b, i]) + rest,

whose place effects, one for each composition, take off all that is peculiar to a place, its
region or a kind of composition there: only contrasts between draws of one composition at one place
are left (a fixed-effects, or within, estimator). Distances below 1 km count as 1 km. One
slope sums the law up; compositions are put at equal distance by a law that may bend at 50 and at
500 km, since a slope that holds nearby need not hold far away.

Draws are independent, so a run is the unit of the rest, whose errors are alike at neighbouring
places; test places are a sample, and few-shot episodes are common to all runs. The variance is
that over runs plus that over places less that over both (Cameron, Gelbach and Miller, 2011), plus
what the episodes add; each part has its own degrees of freedom (`wherefrom.evidence.intervals`).
Why the mixed logit is not used: docs/DECISIONS.md, benchmarks/distance_law.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wherefrom.evidence.intervals import Side, difference
from wherefrom.evidence.redraws import (
    LEAST_SPREAD,
    Estimate,
    Fit,
    Redraws,
    centred,
    change,
    fit,
    interval,
    over_places,
    pieces,
    redraws,
    spread_of,
    told,
)
from wherefrom.evidence.runs import Runs

__all__ = [
    "LEAST_OVERLAP", "Effect", "Estimate", "Law", "Point", "law", "overlap",
]  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Share of the distances of two compositions in common below which none is put at the other's.
LEAST_OVERLAP = 0.2
#: Bins of distance are quarters of a factor of 10, up to half the circumference.
_EDGES = np.arange(0, 4.51, 0.25)
#: Test places, as a mean over the runs, that a bin has at least.
_FEWEST = 20


class Effect(NamedTuple):
    """A composition beside the reference, in the units of the score.

    `farther` is the mean of log10 distance minus that of the reference: factors of 10. `equal` is
    the effect with the distances of the reference; None where their distances have too little in
    common (`overlap`, 0 to 1) or no slope is told. `slope` is from this composition's draws alone.
    """

    composition: str
    farther: float
    overlap: float
    raw: Estimate
    equal: Estimate | None
    slope: Estimate


class Point(NamedTuple):
    """A composition's mean score at the test places of a bin of distances.

    `score` is as observed, of places that differ from bin to bin; `adjusted` is for a test place
    of mean difficulty: the law's place effects, one for all compositions, are taken off.
    """

    composition: str
    from_km: float
    to_km: float
    median_km: float
    places: float
    score: float
    adjusted: float


@dataclass(frozen=True)
class Law:
    """Scores against distance.

    Attributes
    ----------
    slope : Estimate
        Change of the score for ten times the distance.
    log_odds : Estimate or None
        The same in log-odds of being right; None for numbers.
    across : Estimate
        The slope from all contrasts at a place, those between compositions among them: it also
        holds what the kinds of compositions do to kinds of places.
    spread : float
        Standard deviation of log10 distance between draws of one composition at one place.
    mean : float
        Mean score.
    stretches : list of Estimate
        The slopes of a law that may bend, below, between and beyond `BENDS_KM`.
    effects : list of Effect
        In the order of the compositions, the reference among them.
    curve : list of Point
    """

    slope: Estimate
    log_odds: Estimate | None
    across: Estimate
    spread: float
    mean: float
    stretches: list[Estimate]
    effects: list[Effect]
    curve: list[Point]


def law(tested: Runs, reference: str) -> Law:
    """Measure the distance law, and what is left of every composition's effect at equal distance.

    Parameters
    ----------
    tested : Runs
        Of one model, task, head and n; without zero pre-training, which has no distance.
    reference : str
        A composition; where it was not run, or has no places, the first stands in its place.

    Returns
    -------
    Law
        Without interval or slope where there is one block, or draws hardly differ in distance.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> km = 10 ** rng.uniform(0, 3, (12, 400))
    >>> right = rng.random((12, 20, 400)) < (0.9 - 0.2 * np.log10(km))[:, None]
    >>> names = ("here",) * 6 + ("there",) * 6
    >>> found = law(Runs(names, (*range(6), *range(6)), km, right, np.arange(400)), "here")
    >>> found.slope.low < -0.2 < found.slope.high
    True
    """
    x, y = tested.logs, tested.score.mean(axis=1, dtype=np.float64)
    names = tested.names
    runs = {name: tested.runs_of(name) for name in names}
    parts = {name: redraws(x[own], y[own], tested.score[own]) for name, own in runs.items()}
    drawn = [part for part in parts.values() if part is not None]
    estimate = _straight(drawn, tested.unit)
    bent = _bent(drawn)
    first = reference if reference in names else names[0]
    return Law(
        estimate,
        _log_odds(estimate, tested, parts),
        _across(tested, x),
        spread_of(drawn),
        float(y.mean()),
        _stretches(bent, tested.unit, _why(drawn)),
        [_effect(tested, x, y, name, first, bent, parts[name]) for name in names],
        _curve(tested, x, y, bent),
    )


def overlap(a: Floats, b: Floats) -> float:
    """Return what two samples of log10 distances have in common, 0 to 1.

    The sum of the smaller share over bins of a quarter of a factor of 10.
    """
    shares = [np.histogram(np.minimum(one, 4.49), _EDGES)[0] / one.size for one in (a, b)]
    return float(np.minimum(*shares).sum())


def _straight(parts: Sequence[Redraws], unit: Ints) -> Estimate:
    """Estimate one slope for all distances."""
    made = fit(parts)
    return told(change(made, np.ones(1)), unit) if made else Estimate(np.nan, why=_why(parts))


def _bent(parts: Sequence[Redraws]) -> Fit | None:
    """Estimate a slope of each stretch of distances in which the draws differ."""
    return fit(parts, np.array([one for one in np.eye(3) if spread_of(parts, one) >= LEAST_SPREAD]))


def _stretches(bent: Fit | None, unit: Ints, why: str) -> list[Estimate]:
    """Give the slopes below, between and beyond the bends."""
    known = [] if bent is None else bent.pieces.argmax(axis=1).tolist()
    return [
        told(change(bent, np.eye(len(known))[known.index(piece)]), unit)
        if bent is not None and piece in known
        else Estimate(np.nan, why=why)
        for piece in range(3)
    ]


def _why(parts: Sequence[Redraws]) -> str:
    """Say why there is no slope."""
    return "the draws lie at almost the same distances" if parts else "single block"


def _log_odds(slope: Estimate, tested: Runs, parts: dict[str, Redraws | None]) -> Estimate | None:
    """Put a slope of probabilities on the logistic scale: divide by the mean of p (1 - p).

    A logistic law has the slope p (1 - p) times its own at each place, where a place is right
    with probability p over the few-shot seeds. It is measured where the distances differ.
    """
    seeds = tested.score.shape[1]
    if tested.score.dtype != np.bool_ or seeds < 2 or not np.isfinite(slope.value):
        return None
    square = weighted = 0.0
    for name, part in parts.items():
        if part is not None:
            apart = part.x.sum(axis=0)
            p = tested.score[tested.runs_of(name)].mean(axis=1)
            square += float((apart**2).sum())
            weighted += float((apart**2 * p * (1 - p)).sum()) * seeds / (seeds - 1)
    if weighted <= 0:
        return None
    scale = square / weighted
    return slope._replace(
        value=slope.value * scale,
        low=None if slope.low is None else slope.low * scale,
        high=None if slope.high is None else slope.high * scale,
    )


def _across(tested: Runs, x: Floats) -> Estimate:
    """Estimate the slope block by block from all contrasts at a place."""
    blocks = np.array(tested.blocks)
    every = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    every = [runs for runs in every if len(runs) == len(tested.names) and len(runs) > 1]
    if not every:
        return Estimate(np.nan, why="a single composition, or no block that has all")
    slopes, influence = [], np.zeros(len(tested.unit))
    for runs in every:
        apart = centred(x[runs])
        square = float((apart**2).sum())
        if square <= LEAST_SPREAD**2 * apart.size:
            return Estimate(np.nan, why="the compositions lie at almost the same distances")
        scores = tested.score[runs].astype(np.float32)
        slopes.append(np.einsum("cst,ct->s", scores, apart.astype(np.float32)) / square)
        y = centred(scores.mean(axis=1).astype(np.float64))
        value = (apart * y).sum() / square
        influence += (apart * (y - value * apart)).sum(axis=0) / square / len(every)
    found = difference(Side(np.array(slopes, dtype=np.float64)))
    variances = [
        (found.block, found.block_df),
        (found.episode, found.episode_df),
        over_places(influence, tested.unit),
    ]
    return interval(found.estimate, variances, found.why)


def _effect(
    tested: Runs,
    x: Floats,
    y: Floats,
    name: str,
    reference: str,
    bent: Fit | None,
    part: Redraws | None,
) -> Effect:
    own, other = tested.runs_of(name), tested.runs_of(reference)
    by_place = pieces(x[own]).mean(axis=1) - pieces(x[other]).mean(axis=1)
    farther = by_place.mean(axis=1)
    common = overlap(x[own], x[other])
    own_slope = _straight([] if part is None else [part], tested.unit)
    if name == reference:
        return Effect(name, 0.0, 1.0, Estimate(0.0, 0.0, 0.0), Estimate(0.0, 0.0, 0.0), own_slope)
    scores = [tested.score[runs].mean(axis=2, dtype=np.float64) for runs in (own, other)]
    blocks = [[tested.blocks[run] for run in runs] for runs in (own, other)]
    # The runs of a block share its pre-training seed, whose part in the scores then cancels.
    paired = blocks[0] == blocks[1]
    found = difference(Side(scores[0] - scores[1])) if paired else difference(*map(Side, scores))
    parts = [(found.block, found.block_df), (found.episode, found.episode_df)]
    gain = y[own].mean(axis=0) - y[other].mean(axis=0)
    spread = (gain - gain.mean()) / gain.size
    raw = interval(found.estimate, [*parts, over_places(spread, tested.unit)], found.why)
    equal = None
    if bent is not None and common >= LEAST_OVERLAP and _reaches(bent, farther):
        moved = change(bent, bent.pieces @ farther)
        slopes = bent.values @ bent.pieces
        influence = spread - moved.influence - slopes @ (by_place - farther[:, None]) / gain.size
        places = over_places(influence, tested.unit, moved.both)
        value = found.estimate - moved.value
        equal = interval(value, [*parts, moved.runs, moved.episodes, places], found.why)
    return Effect(name, float(farther.sum()), common, raw, equal, own_slope)


def _reaches(bent: Fit, farther: Floats) -> bool:
    """Tell whether there is a slope for every stretch in which distances differ."""
    unknown = 1.0 - bent.pieces.sum(axis=0)
    return bool((np.abs(farther * unknown) <= LEAST_SPREAD).all())


def _curve(tested: Runs, x: Floats, y: Floats, bent: Fit | None) -> list[Point]:
    """Bin the cells of every composition by distance."""
    names = tested.names
    means = [tested.runs_of(name) for name in names]
    slopes = np.zeros(3) if bent is None else bent.values @ bent.pieces
    rest = y - np.tensordot(slopes, pieces(x), 1)
    place = np.mean([rest[runs].mean(axis=0) for runs in means], axis=0)
    adjusted = y - place + place.mean()
    points = []
    for name, runs in zip(names, means, strict=True):
        at = np.digitize(x[runs], _EDGES)
        for bin_ in np.unique(at):
            inside = at == bin_
            if inside.sum() < _FEWEST * len(runs):
                continue
            points.append(
                Point(
                    name,
                    float(10 ** _EDGES[bin_ - 1]),
                    float(10 ** _EDGES[min(bin_, len(_EDGES) - 1)]),
                    float(10 ** np.median(x[runs][inside])),
                    float(inside.sum() / len(runs)),
                    float(y[runs][inside].mean()),
                    float(adjusted[runs][inside].mean()),
                )
            )
    return points
