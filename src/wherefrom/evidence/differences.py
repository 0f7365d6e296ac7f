"""Paired differences to references, corrected for the number of compositions compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wherefrom.evidence.intervals import Parts, difference, half_width, two_sided_p
from wherefrom.evidence.records import DifferenceRow, LeaderRow
from wherefrom.evidence.scores import OFFICIAL, Key, Scores
from wherefrom.evidence.summary import regions_of, shared_regions, side
from wherefrom.evidence.verdict import BETTER, holm, verdict

__all__ = ["BEST_BASELINE", "MARGIN", "differences", "leaders"]

#: The reference that is, in each region, the baseline with the highest mean; published weights
#: are none.
BEST_BASELINE = "best baseline"

#: Differences below this are of no matter: the default margin of equivalence.
MARGIN = 0.01

Floats = npt.NDArray[np.float64]
Reference = tuple[Key, Parts, int]


class _Pair(NamedTuple):
    key: Key
    region: str
    name: str
    reference: Key
    parts: Parts
    seeds: int


def differences(
    scores: Scores,
    references: Sequence[str] = ("uniform", "none", BEST_BASELINE),
    *,
    margin: float = MARGIN,
    level: float = 0.95,
) -> list[DifferenceRow]:
    """Compare every composition with each reference, in every region and over all.

    Fine-tune seeds are paired; the interval covers draws, pre-train seeds and episodes
    (`wherefrom.evidence.intervals`). `p_holm` and `p_equivalence_holm` (two one-sided tests
    against `margin`) are corrected over the compositions compared with the same reference in
    the same region, for the same model, task, n, head and metric: that is one family. The
    interval itself is not corrected, so it may exclude zero where the verdict is "undecided".

    Parameters
    ----------
    scores : Scores
    references : sequence of str
        Names of compositions, or `BEST_BASELINE`. One that the results lack is left out.
    margin : float
        Margin of equivalence, in units of the metric.
    level : float
        Level of the intervals; verdicts use alpha = 1 - level.

    Returns
    -------
    list of DifferenceRow
        Without interval, and undecided, where a side has a single draw (`note` says so).
    """
    pairs = list(_pairs(scores, references))
    parts = [pair.parts for pair in pairs]
    estimate = np.array([part.estimate for part in parts], dtype=np.float64)
    halves = half_width(parts, level)
    p = two_sided_p(parts, np.abs(estimate))
    p_same = _equivalence(parts, estimate, margin)
    families: dict[tuple[object, ...], list[int]] = {}
    for i, pair in enumerate(pairs):
        family = (pair.key.model, *pair.key[2:], pair.region, pair.name)
        families.setdefault(family, []).append(i)
    p_holm, p_same_holm = np.full(len(pairs), np.nan), np.full(len(pairs), np.nan)
    compared = np.zeros(len(pairs), dtype=np.int64)
    for members in families.values():
        p_holm[members] = holm(p[members])
        p_same_holm[members] = holm(p_same[members])
        compared[members] = np.isfinite(p[members]).sum()
    return [
        DifferenceRow(
            *pair.key,
            region=pair.region,
            reference=pair.name,
            reference_row=label(pair.reference, pair.key.head),
            difference=pair.parts.estimate,
            low=_finite(estimate[i] - halves[i]),
            high=_finite(estimate[i] + halves[i]),
            p=_finite(p[i]),
            p_holm=_finite(p_holm[i]),
            p_equivalence_holm=_finite(p_same_holm[i]),
            compared=int(compared[i]),
            finetune_seeds=pair.seeds,
            verdict=verdict(estimate[i], p_holm[i], p_same_holm[i], margin, 1 - level),
            note=pair.parts.why,
        )
        for i, pair in enumerate(pairs)
    ]


def leaders(scores: Scores, *, margin: float = MARGIN, level: float = 0.95) -> list[LeaderRow]:
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
    shared = shared_regions(scores)
    for family, keys in scores.families().items():
        rivals = [*keys, *scores.baselines(*family[1:])]
        for region in regions_of(scores, keys, shared[family[1:]]):
            within = scores.indices(keys[0].task, region, shared[family[1:]])
            means = [_mean(scores, key, within) for key in rivals]
            order = sorted(
                (i for i in range(len(rivals)) if np.isfinite(means[i])), key=lambda i: -means[i]
            )
            best = rivals[order[0]]
            others = [_compare(scores, best, rivals[i], within) for i in order[1:]]
            parts = [part for part, _ in others]
            ahead = np.array([part.estimate for part in parts], dtype=np.float64)
            p = holm(two_sided_p(parts, np.abs(ahead)))
            p_same = holm(_equivalence(parts, ahead, margin))
            words = [
                verdict(ahead[i], p[i], p_same[i], margin, 1 - level) for i in range(len(parts))
            ]
            rows.append(
                LeaderRow(
                    *(family[0], best.composition, *family[1:]),
                    region=region,
                    best=label(best, family[3]),
                    runner_up=label(rivals[order[1]], family[3]) if others else "",
                    ahead=parts[0].estimate if others else None,
                    decided=bool(words) and set(words) == {BETTER},
                )
            )
    return rows


def label(key: Key, head: str) -> str:
    """Name a row of a table: its composition, or its baseline with the head if it differs.

    Examples
    --------
    >>> label(Key("raw-lonlat", "", "t", 100, "knn", "f1_macro"), "finetune")
    'raw-lonlat (knn)'
    """
    if key.composition:
        return key.composition
    return key.model if key.head in (head, key.model) else f"{key.model} ({key.head})"


def _pairs(scores: Scores, references: Sequence[str]) -> list[_Pair]:
    pairs = []
    shared = shared_regions(scores)
    for family, keys in scores.families().items():
        for region in regions_of(scores, keys, shared[family[1:]]):
            within = scores.indices(keys[0].task, region, shared[family[1:]])
            for name in references:
                reference = _reference(scores, name, keys, within)
                if reference is None:
                    continue
                for key in keys:
                    if key == reference or not np.isfinite(_mean(scores, key, within)):
                        continue
                    parts, seeds = _compare(scores, key, reference, within)
                    pairs.append(_Pair(key, region, name, reference, parts, seeds))
    return pairs


def _reference(scores: Scores, name: str, keys: list[Key], within: list[int]) -> Key | None:
    if name == BEST_BASELINE:
        beside = scores.baselines(*keys[0][2:])
        candidates = [key for key in beside if not key.model.endswith(OFFICIAL)]
    else:
        candidates = [key for key in keys if key.composition == name]
    means = {key: _mean(scores, key, within) for key in candidates}
    present = [key for key in candidates if np.isfinite(means[key])]
    return max(present, key=lambda key: means[key], default=None)


def _mean(scores: Scores, key: Key, within: list[int]) -> float:
    values = scores.blocks[key].region(within)
    known = np.isfinite(values)
    return float(values[known].mean()) if known.any() else np.nan


def _compare(scores: Scores, a: Key, b: Key, within: list[int]) -> tuple[Parts, int]:
    sides = [side(key, scores.blocks[key], scores.blocks[key].region(within)) for key in (a, b)]
    (left, left_seeds), (right, right_seeds) = sides
    _, i, j = np.intersect1d(left_seeds, right_seeds, assume_unique=True, return_indices=True)
    if not len(i):
        estimate = _mean(scores, a, within) - _mean(scores, b, within)
        return Parts(estimate, why="no common fine-tune seed"), 0
    left = type(left)(left.values[:, i], left.fixed)
    right = type(right)(right.values[:, j], right.fixed)
    return difference(left, right), len(i)


def _equivalence(parts: list[Parts], estimate: Floats, margin: float) -> Floats:
    # The larger of two one-sided tests is the one against the nearer end of the margin.
    inside = margin - np.abs(estimate)
    p = two_sided_p(parts, np.abs(inside)) / 2
    return np.where(inside > 0, p, 1 - p)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
