"""Paired differences to references, corrected for the number of compositions compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from wherefrom.evidence.intervals import Floats, Parts, Side, difference, limits, two_sided_p
from wherefrom.evidence.records import DifferenceRow, LeaderRow
from wherefrom.evidence.scores import Key, Scores, View
from wherefrom.evidence.verdict import BETTER, holm, verdict

__all__ = ["BEST_BASELINE", "MARGIN", "contrasts", "differences", "label", "leaders"]

#: The reference that is, in each region, the baseline with the highest mean; published weights
#: are none.
BEST_BASELINE = "best baseline"

#: Differences below this are of no matter: the default margin of equivalence.
MARGIN = 0.01


class _Pair(NamedTuple):
    key: Key
    reference: Key
    region: str
    #: Name of the reference; pairs of one view, region and name are one family.
    name: str
    parts: Parts
    seeds: int


def differences(
    scores: Scores,
    references: Sequence[str] = ("uniform", "none", BEST_BASELINE),
    *,
    margin: float = MARGIN,
) -> list[DifferenceRow]:
    """Compare every composition with each reference, in every region and over all.

    Fine-tune seeds are paired; the interval covers draws, pre-train seeds and episodes
    (`wherefrom.evidence.intervals`). `p_holm` and `p_equivalence_holm` (two one-sided tests
    against `margin`) are corrected over the compositions compared with the same reference in
    the same region, for the same model, task, n, head and metric: that is one family. The
    interval itself is not corrected, so it may exclude zero where the verdict is "undecided".

    Parameters
    ----------
    references : sequence of str
        Names of compositions, or `BEST_BASELINE`. One that the results lack is left out.
    margin : float
        Margin of equivalence, in units of the metric.

    Returns
    -------
    list of DifferenceRow
        Without interval, and undecided, where a side has a single draw (`note` says so).
    """
    pairs = list(_pairs(scores, references))
    families: dict[object, list[int]] = {}
    for i, pair in enumerate(pairs):
        families.setdefault((pair.key.view, pair.region, pair.name), []).append(i)
    return _judged(pairs, list(families.values()), margin)


def contrasts(
    scores: Scores,
    view: View,
    pairs: Sequence[tuple[str, str]],
    regions: Sequence[str],
    *,
    margin: float = MARGIN,
) -> list[DifferenceRow]:
    """Compare pairs of compositions in one view; all pairs in all regions are one family.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Compositions. A pair of which the results lack a side in a region is left out there.
    regions : sequence of str
    margin : float
        As of `differences`.

    Returns
    -------
    list of DifferenceRow
        The first of each pair minus the second, which is its `reference`.
    """
    judged = [
        _Pair(a, b, region, b.composition, *_compare(scores, a, b, region))
        for region in regions
        for a, b in ((view.key(first), view.key(second)) for first, second in pairs)
        if all(key in scores.blocks and np.isfinite(_mean(scores, key, region)) for key in (a, b))
    ]
    return _judged(judged, [list(range(len(judged)))], margin)


def _judged(pairs: list[_Pair], families: list[list[int]], margin: float) -> list[DifferenceRow]:
    """Give intervals, p-values and verdicts to pairs, of which families list the positions."""
    parts = [pair.parts for pair in pairs]
    estimate = np.array([part.estimate for part in parts], dtype=np.float64)
    ends = limits(parts, estimate.tolist())
    p = two_sided_p(parts, np.abs(estimate))
    p_same = _equivalence(parts, estimate, margin)
    p_holm, p_same_holm = np.full(len(pairs), np.nan), np.full(len(pairs), np.nan)
    compared = np.zeros(len(pairs), dtype=np.int64)
    for members in families:
        p_holm[members] = holm(p[members])
        p_same_holm[members] = holm(p_same[members])
        compared[members] = np.isfinite(p[members]).sum()
    return [
        DifferenceRow(
            **pair.key._asdict(),
            region=pair.region,
            reference=pair.name,
            reference_row=label(pair.reference, pair.key.head),
            difference=pair.parts.estimate,
            low=ends[i][0],
            high=ends[i][1],
            p=_finite(p[i]),
            p_holm=_finite(p_holm[i]),
            p_equivalence_holm=_finite(p_same_holm[i]),
            compared=int(compared[i]),
            finetune_seeds=pair.seeds,
            verdict=verdict(estimate[i], p_holm[i], p_same_holm[i], margin),
            note=pair.parts.why,
        )
        for i, pair in enumerate(pairs)
    ]


def leaders(scores: Scores, *, margin: float = MARGIN) -> list[LeaderRow]:
    """Name the row with the highest mean, and say whether the data decide that it is best.

    It is decided when the verdict is "better" against every other row (compositions and
    baselines of the same model, task, n, head, metric and region), after Holm's correction over
    them. A row that another one equals within `margin` is not the best.

    Returns
    -------
    list of LeaderRow
        One by model, task, n, head, metric and region.
    """
    rows: list[LeaderRow] = []
    for view, keys in scores.families().items():
        rivals = [*keys, *scores.baselines(*view[1:])]
        for region in scores.regions_of(*keys):
            means = {key: _mean(scores, key, region, keys[0]) for key in rivals}
            order = sorted(
                (key for key in rivals if np.isfinite(means[key])), key=lambda k: -means[k]
            )
            best, others = order[0], order[1:]
            parts = [_compare(scores, best, key, region, keys[0])[0] for key in others]
            ahead = np.array([part.estimate for part in parts], dtype=np.float64)
            p = holm(two_sided_p(parts, np.abs(ahead)))
            p_same = holm(_equivalence(parts, ahead, margin))
            words = {verdict(ahead[i], p[i], p_same[i], margin) for i in range(len(parts))}
            rows.append(
                LeaderRow(
                    **view.key(best.composition)._asdict(),
                    region=region,
                    best=label(best, view.head),
                    runner_up=label(others[0], view.head) if others else "",
                    ahead=parts[0].estimate if others else None,
                    decided=words == {BETTER},
                )
            )
    return rows


def label(key: Key, head: str) -> str:
    """Name a row of a table: its composition, or its baseline with the head if it differs."""
    if key.composition:
        return key.composition
    return key.model if key.head in (head, key.model) else f"{key.model} ({key.head})"


def _pairs(scores: Scores, references: Sequence[str]) -> Iterator[_Pair]:
    for keys in scores.families().values():
        for region in scores.regions_of(*keys):
            for name in references:
                reference = _reference(scores, name, keys, region)
                if reference is None:
                    continue
                for key in keys:
                    if key != reference and np.isfinite(_mean(scores, key, region)):
                        compared = _compare(scores, key, reference, region, keys[0])
                        yield _Pair(key, reference, region, name, *compared)


def _reference(scores: Scores, name: str, keys: list[Key], region: str) -> Key | None:
    if name == BEST_BASELINE:
        beside = scores.baselines(*keys[0][2:])
        candidates = [key for key in beside if key.model not in scores.official]
    else:
        candidates = [key for key in keys if key.composition == name]
    means = {key: _mean(scores, key, region, keys[0]) for key in candidates}
    present = [key for key in candidates if np.isfinite(means[key])]
    return max(present, key=lambda key: means[key], default=None)


def _mean(scores: Scores, key: Key, region: str, like: Key | None = None) -> float:
    values = scores.values(key, region, like)
    known = np.isfinite(values)
    return float(values[known].mean()) if known.any() else np.nan


def _compare(
    scores: Scores, a: Key, b: Key, region: str, like: Key | None = None
) -> tuple[Parts, int]:
    (left, left_seeds), (right, right_seeds) = (scores.side(k, region, like) for k in (a, b))
    _, i, j = np.intersect1d(left_seeds, right_seeds, assume_unique=True, return_indices=True)
    if not len(i):
        estimate = _mean(scores, a, region, like) - _mean(scores, b, region, like)
        return Parts(estimate, why="no common fine-tune seed"), 0
    left, right = Side(left.values[:, i], left.fixed), Side(right.values[:, j], right.fixed)
    return difference(left, right), len(i)


def _equivalence(parts: list[Parts], estimate: Floats, margin: float) -> Floats:
    # The larger of two one-sided tests is the one against the nearer end of the margin.
    inside = margin - np.abs(estimate)
    p = two_sided_p(parts, np.abs(inside)) / 2
    return np.where(inside > 0, p, 1 - p)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
