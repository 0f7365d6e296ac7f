"""Rows of scores at groups of test places, with intervals over blocks, episodes and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from wherefrom import parallel
from wherefrom.errors import WherefromError, unknown
from wherefrom.evidence.influence import measured
from wherefrom.evidence.intervals import LEVEL, Parts, Side, difference
from wherefrom.evidence.places import Sample, covariance, trained_on, units_of
from wherefrom.evidence.records import Record
from wherefrom.study.predictions import Saved
from wherefrom.tasks import Task

__all__ = ["RARE", "Group", "RecutRow", "Tests", "score_of", "scored_rows", "within_strata"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: A class with fewer test places comes and goes with the sample, and macro F1 with it, in leaps
#: that no standard error tells: simulated intervals of scores hold the truth in 63 to 92 of 100.
#: Those of differences, in which it cancels, do in 92 to 95.
FEW_OF_A_CLASS = 6
RARE = f"a class has fewer than {FEW_OF_A_CLASS} test places: too short an interval of the score"


@dataclass(frozen=True, kw_only=True)
class RecutRow(Record):
    """The score of one row at the test places of one label, or weighted to the target's shares.

    `label` is that of `by`, or the target. `effective_places` is what the places are worth with
    their weights (Kish, 1965). The errors are the standard errors that make the interval.
    `difference` is the score minus that of `against`, at the same places. `note` says why there is
    no interval, or what it leaves out.
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
    against: str = ""
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None


class Group(NamedTuple):
    """Places to score together: positions among the pooled test places, weights and strata."""

    label: str
    at: Ints
    weights: Floats | None = None
    strata: NDArray[np.int32] | None = None


class Tests(NamedTuple):
    """The pooled test places of some rows: their task, the regions, rows of the task."""

    task: Task
    regions: tuple[str, ...]
    rows: Ints


class _Own(NamedTuple):
    """What one row has of one group: runs, scores by run and seed (R, S), influences (T,)."""

    runs: list[tuple[int, ...]]
    values: Floats
    influence: Floats


class _Bound(NamedTuple):
    """Half of an interval, the standard errors that make it, and why there is none."""

    half: float
    errors: list[float | None]
    why: str


_Name = tuple[str, str, str]


def scored_rows(
    predictions: Sequence[Saved],
    n: int,
    metric: str,
    tests: Tests,
    by: str,
    groups: Sequence[Group],
    block_km: float | None = None,
    against: str = "",
) -> list[RecutRow]:
    """Score every row at every group, group by group; arguments as of `wherefrom.evidence.recut`.

    Raises
    ------
    WherefromError
        If there is no row `against`, or a row was tested on other places.
    """
    unit = units_of(tests.task, block_km)[tests.rows]
    found: dict[_Name, list[tuple[Saved, list[tuple[Floats, Floats]]]]] = {}
    work = partial(score_of, n=n, metric=metric, tests=tests, groups=groups)
    for one, scored in zip(predictions, parallel.here(work, predictions), strict=True):
        found.setdefault((one.model, one.composition, one.head), []).append((one, scored))
    names = list(found)
    references = {name: _reference(name, names, against) if against else None for name in names}
    factor = trained_on(tests.task)
    rows = []
    for i, group in enumerate(groups):
        truth = tests.task.label[tests.rows[group.at]]
        rare = metric == "f1_macro" and (np.unique_counts(truth).counts < FEW_OF_A_CLASS).any()
        owns = {
            name: _Own(
                [one.run for one, _ in own],
                np.stack([scored[i][0] for _, scored in own]),
                factor * np.mean([scored[i][1] for _, scored in own], axis=0),
            )
            for name, own in found.items()
        }
        for name, own in owns.items():
            model, composition, head = name
            row = RecutRow(
                model=model,
                composition=composition,
                task=predictions[0].task,
                n=n,
                head=head,
                metric=metric,
                by=by,
                label=group.label,
                places=len(group.at),
                effective_places=_effective(group),
                blocks=len(own.values) if composition else 0,
                finetune_seeds=own.values.shape[1],
                score=float(own.values.mean()),
                note=RARE if rare else "",
                against=against,
            )
            row = _with_interval(row, own, unit[group.at], group)
            if reference := references[name]:
                fixed = not composition, not reference[1]
                row = _with_difference(row, own, owns[reference], fixed, unit[group.at], group)
            rows.append(row)
    return rows


def _reference(name: _Name, names: Sequence[_Name], against: str) -> _Name | None:
    """Find the row to subtract: a composition of the same model, or a baseline.

    A baseline beside several models that have the composition has none.
    """
    found = [other for other in names if (other[1] or other[0]) == against]
    if not found:
        raise unknown("row to subtract", against, dict.fromkeys(c or m for m, c, _ in names))
    same = [other for other in found if not (name[1] and other[1]) or other[0] == name[0]]
    return same[0] if len(same) == 1 and same[0] != name else None


def score_of(
    one: Saved, n: int, metric: str, tests: Tests, groups: Sequence[Group]
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


def _with_interval(row: RecutRow, own: _Own, unit: Ints, group: Group) -> RecutRow:
    parts = difference(Side(own.values, fixed=not row.composition))
    bound = _bound(parts, own.influence, unit, group)
    return replace(
        row,
        low=None if bound.why else row.score - bound.half,
        high=None if bound.why else row.score + bound.half,
        error_blocks=bound.errors[0] if row.composition else None,
        error_episodes=bound.errors[1],
        error_places=bound.errors[2],
        note=bound.why or row.note,
    )


def _with_difference(
    row: RecutRow, own: _Own, other: _Own, fixed: tuple[bool, bool], unit: Ints, group: Group
) -> RecutRow:
    """Subtract another row at the same places and episodes, and in the same runs if it has them."""
    seeds = min(own.values.shape[1], other.values.shape[1])
    a, b = own.values[:, :seeds], other.values[:, :seeds]
    if own.runs == other.runs:
        parts = difference(Side(a - b, fixed=fixed[0]))
    else:
        parts = difference(Side(a, fixed=fixed[0]), Side(b, fixed=fixed[1]))
    bound = _bound(parts, own.influence - other.influence, unit, group)
    return replace(
        row,
        difference=parts.estimate,
        difference_low=None if bound.why else parts.estimate - bound.half,
        difference_high=None if bound.why else parts.estimate + bound.half,
    )


def _bound(parts: Parts, influence: Floats, unit: Ints, group: Group) -> _Bound:
    """Add the variance over test places to those over blocks and episodes."""
    sample = covariance([Sample(within_strata(influence, group.strata)[None], unit, group.weights)])
    why = parts.why or ("" if sample else "all test places in one block of land")
    variances = np.array([parts.block, parts.episode, np.nan])
    df = np.array([parts.block_df, parts.episode_df, np.nan])
    if sample:
        variances[2], df[2] = sample[0][0, 0], sample[1]
    whole = variances.sum()
    joint = whole**2 / (variances**2 / df).sum() if whole > 0 else 1.0
    half = -float(stdtrit(joint, (1 - LEVEL) / 2)) * float(np.sqrt(whole))
    return _Bound(half, [float(np.sqrt(v)) if np.isfinite(v) else None for v in variances], why)


def within_strata(influence: Floats, strata: NDArray[np.int32] | None) -> Floats:
    """Centre influences within the strata, whose weights other places would have, too."""
    if strata is None:
        return influence
    _, at, counts = np.unique(strata, return_inverse=True, return_counts=True)
    means = np.bincount(at, influence) / counts
    return (influence - means[at]) * np.sqrt(counts / np.maximum(counts - 1, 1))[at]


def _effective(group: Group) -> float:
    w = np.ones(len(group.at)) if group.weights is None else group.weights
    return float(w.sum() ** 2 / (w**2).sum())
