"""Scores cut anew by any labels, or weighted to any shares, from saved predictions.

Nothing is trained again. Test places are pooled over the regions, each with what was told of it by
heads that learnt in its own region. An interval covers blocks, few-shot episodes and test places:
their variances are added, and so are their degrees of freedom (Satterthwaite, 1946).

Weights make the test places of each label count as its share of the target does
(post-stratification; Holt and Smith, 1979): the variance over places is that within the labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.evidence.cut import Cut, Target
from wherefrom.evidence.influence import measured
from wherefrom.evidence.intervals import LEVEL, Side, difference
from wherefrom.evidence.places import Sample, covariance, trained_on, units_of
from wherefrom.evidence.records import Record
from wherefrom.study.predictions import Saved
from wherefrom.tasks import Task

__all__ = ["ALL_PLACES", "FEWEST", "RecutRow", "recut", "weighted"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Test places below which a label is not scored: intervals of so few would not hold.
FEWEST = 30
#: Share of the target below which its score is not told.
LEAST_COVERED = 0.5
#: The label of the row of all test places.
ALL_PLACES = "all test places"


@dataclass(frozen=True, kw_only=True)
class RecutRow(Record):
    """The score of one row at the test places of one label, or weighted to the target's shares.

    `effective_places` is what the places are worth with their weights (Kish, 1965); `label` is
    that of `by`, or the target. The standard errors are the parts of the interval.
    """

    model: str
    composition: str
    task: str
    n: int
    head: str
    metric: str
    by: str
    label: str
    places: int
    effective_places: float
    blocks: int
    finetune_seeds: int
    score: float
    low: float | None = None
    high: float | None = None
    error_blocks: float | None = None
    error_episodes: float | None = None
    error_places: float | None = None
    note: str = ""


class _Group(NamedTuple):
    """Places to score together: positions among the pooled test places, weights and strata."""

    label: str
    at: Ints
    weights: Floats | None = None
    strata: NDArray[np.int32] | None = None


class _Tests(NamedTuple):
    """The pooled test places of some rows: their task, the regions, rows of the task."""

    task: Task
    regions: tuple[str, ...]
    rows: Ints


def recut(
    predictions: Sequence[Saved],
    n: int,
    metric: str,
    cut: Cut,
    *,
    fewest: int = FEWEST,
    block_km: float | None = None,
) -> tuple[list[RecutRow], list[str]]:
    """Score every row at the test places of every label.

    Parameters
    ----------
    predictions : sequence of Saved
        All of one task; a row's are of the same head.
    n : int
        Labelled places that were learnt from.
    metric : str
        Of `wherefrom.train.scores.METRICS`.
    cut : Cut
        Of the same task.
    fewest : int
        Labels with fewer test places are left out; at least 2.
    block_km : float, optional
        Width of the blocks of land not yet seen; by default scores are about this map.

    Returns
    -------
    rows : list of RecutRow
        By label, then as the predictions come.
    left_out : list of str
        Which labels are not scored, and why.

    Raises
    ------
    WherefromError
        If no label can be scored, or there are no predictions for `n` or `metric`.
    """
    tests = _tests(predictions, n)
    codes, truth = cut.codes[tests.rows], tests.task.label[tests.rows]
    groups, left_out = [], []
    for code, label in enumerate(cut.labels):
        at = np.flatnonzero(codes == code)
        if len(at) < fewest:
            if len(at):
                left_out.append(f"{label}: {_places(len(at))}, fewer than {fewest}")
        elif (truth[at] == truth[at[0]]).all():
            what = tests.task.classes[truth[at[0]]] if tests.task.classes else f"{truth[at[0]]:g}"
            left_out.append(f"{label}: all {_places(len(at))} are of one class, {what!r}")
        else:
            groups.append(_Group(label, at))
    if none := int((codes < 0).sum()):
        left_out.append(f"{_places(none)} without a label of {cut.name}")
    if not groups:
        raise WherefromError(
            f"no label of {cut.name!r} can be scored ({'; '.join(left_out[:3])}): cut by coarser "
            "labels, or allow fewer places (--fewest)"
        )
    return _rows(predictions, n, metric, tests, cut.name, groups, block_km), left_out


def weighted(
    predictions: Sequence[Saved],
    n: int,
    metric: str,
    cut: Cut,
    target: Target,
    *,
    fewest: int = FEWEST,
    block_km: float | None = None,
) -> tuple[list[RecutRow], list[str]]:
    """Score every row with its test places weighted to the shares of a target, and as they are.

    Arguments as of `recut`. Labels with fewer than `fewest` test places are left out, the shares of
    the others are scaled to 1.

    Returns
    -------
    rows : list of RecutRow
    left_out : list of str
        Labels of the target that are not in the score, with their shares.

    Raises
    ------
    WherefromError
        As `recut`; or if the labels that are left have less than half of the target.
    """
    tests = _tests(predictions, n)
    codes = cut.codes[tests.rows]
    counts = np.bincount(codes[codes >= 0], minlength=len(cut.labels))
    shares = np.array([target.shares.get(label, 0.0) for label in cut.labels])
    kept = (shares > 0) & (counts >= fewest)
    left_out = [
        f"{cut.labels[code]} ({shares[code]:.1%} of {target.name}): {_places(counts[code])}"
        for code in np.argsort(-shares, kind="stable")
        if shares[code] > 0 and not kept[code]
    ]
    covered = float(shares[kept].sum())
    if covered < LEAST_COVERED:
        raise WherefromError(
            f"the labels of {cut.name!r} with {fewest} test places or more have {covered:.0%} of "
            f"{target.name}: weight by coarser labels, or allow fewer places (--fewest)"
        )
    at = np.flatnonzero(kept[codes] & (codes >= 0))
    weight = np.where(kept, shares / np.maximum(counts, 1), 0.0)[codes[at]]
    groups = [
        _Group(target.name, at, weight * (len(at) / weight.sum()), codes[at]),
        _Group(ALL_PLACES, np.arange(len(tests.rows))),
    ]
    if left_out:
        left_out.insert(0, f"{covered:.1%} of {target.name} is covered; left out are")
    return _rows(predictions, n, metric, tests, cut.name, groups, block_km), left_out


def _tests(predictions: Iterable[Saved], n: int) -> _Tests:
    """Pool the test places of the regions that all rows have."""
    common: dict[str, Ints] = {}
    sizes: set[int] = set()
    first: Saved | None = None
    for one in predictions:
        sizes |= (tested := one.tested()).keys()
        own = tested.get(n, {})
        if first is None:
            first, common = one, own
        common = {region: test for region, test in common.items() if region in own}
    if first is None or not common:
        raise WherefromError(
            f"no region has predictions of all rows for n = {n}; there are n = "
            f"{', '.join(map(str, sorted(sizes))) or 'none'}"
        )
    return _Tests(first.places, tuple(common), np.concatenate(list(common.values())))


def _rows(
    predictions: Sequence[Saved],
    n: int,
    metric: str,
    tests: _Tests,
    by: str,
    groups: Sequence[_Group],
    block_km: float | None,
) -> list[RecutRow]:
    unit = units_of(tests.task, block_km)[tests.rows]
    runs: dict[tuple[str, str, str], list[list[tuple[Floats, Floats]]]] = {}
    task = predictions[0].task
    factor = trained_on(tests.task)
    work = partial(_score, n=n, metric=metric, tests=tests, groups=groups)
    for one, scored in zip(predictions, parallel.here(work, predictions), strict=True):
        runs.setdefault((one.model, one.composition, one.head), []).append(scored)
    return [
        _row(
            RecutRow(
                model=model,
                composition=composition,
                task=task,
                n=n,
                head=head,
                metric=metric,
                by=by,
                label=group.label,
                places=len(group.at),
                effective_places=_effective(group),
                blocks=len(own) if composition else 0,
                finetune_seeds=len(own[0][i][0]),
                score=float(np.mean([scored[i][0].mean() for scored in own])),
            ),
            np.stack([scored[i][0] for scored in own]),
            np.mean([scored[i][1] for scored in own], axis=0) * factor,
            unit[group.at],
            group,
        )
        for i, group in enumerate(groups)
        for (model, composition, head), own in runs.items()
    ]


def _score(
    one: Saved, n: int, metric: str, tests: _Tests, groups: Sequence[_Group]
) -> list[tuple[Floats, Floats]]:
    """Score one stage's predictions group by group: scores of the seeds, influences of places."""
    told = {part.region: part for part in one.regions(n)}
    rows = np.concatenate([told[region].test for region in tests.regions])
    if not np.array_equal(rows, tests.rows):
        raise WherefromError(
            f"{one.folder}: tested on other places than other rows; remove the store and run the "
            "study again"
        )
    predicted = np.concatenate([told[region].predicted for region in tests.regions], axis=1)
    truth, positive = tests.task.label[rows], tests.task.positive
    return [
        measured(predicted[:, g.at], truth[g.at], [metric], positive, g.weights)[metric]
        for g in groups
    ]


def _row(row: RecutRow, values: Floats, influence: Floats, unit: Ints, group: _Group) -> RecutRow:
    """Put the interval into a row: values of runs and seeds (R, S), influences of places (T,)."""
    parts = difference(Side(values, fixed=not row.composition))
    sample = covariance([Sample(_within(influence, group.strata)[None], unit, group.weights)])
    why = parts.why or ("" if sample else "all test places in one block of land")
    variances = np.array([parts.unit_variance, parts.episode_variance, np.nan])
    df = np.array([parts.unit_df, parts.episode_df, np.nan])
    if sample:
        variances[2], df[2] = sample[0][0, 0], sample[1]
    blocks, episodes, places = (float(np.sqrt(v)) if np.isfinite(v) else None for v in variances)
    whole = variances.sum()
    joint = whole**2 / (variances**2 / df).sum() if whole > 0 else 1.0
    half = -float(stdtrit(joint, (1 - LEVEL) / 2)) * float(np.sqrt(whole))
    return replace(
        row,
        low=None if why else row.score - half,
        high=None if why else row.score + half,
        error_blocks=blocks if row.composition else None,
        error_episodes=episodes,
        error_places=places,
        note=why,
    )


def _within(influence: Floats, strata: NDArray[np.int32] | None) -> Floats:
    """Centre influences within the strata, whose weights other places would have, too."""
    if strata is None:
        return influence
    _, at, counts = np.unique(strata, return_inverse=True, return_counts=True)
    means = np.bincount(at, influence) / counts
    return (influence - means[at]) * np.sqrt(counts / np.maximum(counts - 1, 1))[at]


def _effective(group: _Group) -> float:
    w = np.ones(len(group.at)) if group.weights is None else group.weights
    return float(w.sum() ** 2 / (w**2).sum())


def _places(count: int) -> str:
    return f"{count:,} test place" + ("" if count == 1 else "s")
