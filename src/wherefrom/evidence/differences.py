"""Paired differences; all that is compared in one column of a table is one family of tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wherefrom.evidence.intervals import Floats, Parts, Side, difference, limits, two_sided_p
from wherefrom.evidence.records import DifferenceRow, LeaderRow
from wherefrom.evidence.scores import Key, Scores, View
from wherefrom.evidence.verdict import BETTER, holm, verdict

__all__ = ["BEST_BASELINE", "MARGIN", "compared", "contrasts", "differences", "label", "leaders"]

#: The reference that is, in each region, the baseline with the best mean; published weights
#: are none.
BEST_BASELINE = "best baseline"

#: Differences below this are of no matter: the default margin of equivalence.
MARGIN = 0.01


#: The references where none are named.
REFERENCES = ("uniform", "none", BEST_BASELINE)


class _Pair(NamedTuple):
    view: View
    key: Key
    reference: Key
    region: str
    #: Name of the reference.
    name: str
    parts: Parts
    seeds: int


class _Column(NamedTuple):
    """All that is said of one view in one region: its pairs are one family of tests."""

    view: View
    region: str
    #: Each composition with each reference, then the pairs that were asked for.
    compared: list[_Pair]
    asked: list[_Pair]
    #: The row with the best mean with every other, from the best to the worst.
    leading: list[_Pair]
    best: Key
    margin: float


def differences(
    scores: Scores, references: Sequence[str] = REFERENCES, *, margin: float = MARGIN
) -> list[DifferenceRow]:
    """Compare every composition with each reference, in every region and over all.

    Fine-tune seeds are paired; the interval covers blocks and episodes
    (`wherefrom.evidence.intervals`). `p_holm` and `p_equivalence_holm` (two one-sided tests
    against `margin`) are corrected over all these pairs of one model, task, n, head and metric in
    one region: that is one family. What `wherefrom.evidence.gather` compares besides joins it. The
    interval itself is not corrected, so it may exclude zero where the verdict is "undecided".

    Parameters
    ----------
    references : sequence of str
        Names of compositions, or `BEST_BASELINE`. One that the results lack is left out.
    margin : float
        Margin of equivalence; for scores in the units of a task's numbers that of `Scores.units`.

    Returns
    -------
    list of DifferenceRow
        Without interval, and undecided, where a side has a single block (`note` says so).
    """
    columns = _columns(scores, references, margin)
    return _rows([column._replace(leading=[]) for column in columns])[0]


def contrasts(
    scores: Scores,
    view: View,
    pairs: Sequence[tuple[str, str]],
    regions: Sequence[str],
    *,
    margin: float = MARGIN,
    references: Sequence[str] = REFERENCES,
    among: Sequence[tuple[str, str]] = (),
) -> list[DifferenceRow]:
    """Compare pairs of compositions in one view.

    In each region they are judged within the family of `wherefrom.evidence.gather` with the same
    references and `pairs` (here `among`), which grows by the pairs that it lacks.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Compositions. A pair of which the results lack a side in a region is left out there.
    regions : sequence of str
    margin : float
        As of `differences`.
    references : sequence of str
        As of `differences`.
    among : sequence of (str, str)
        Pairs that are in the family besides.

    Returns
    -------
    list of DifferenceRow
        The first of each pair minus the second, which is its `reference`.
    """
    every = list(dict.fromkeys((*pairs, *among)))
    keys = scores.families()[view]
    columns = [_column(scores, view, keys, region, references, every, margin) for region in regions]
    asked = set(pairs)
    return [
        row
        for column, rows in zip(columns, _judged(columns), strict=True)
        for row in rows[len(column.compared) :][: len(column.asked)]
        if (row.composition, row.reference) in asked
    ]


def leaders(scores: Scores, *, margin: float = MARGIN) -> list[LeaderRow]:
    """Name the row with the best mean, and say whether the data decide that it is best.

    It is decided when the verdict is "better" against every other row (compositions and
    baselines of the same model, task, n, head, metric and region), after Holm's correction over
    them. A row that another one equals within `margin` is not the best. What
    `wherefrom.evidence.gather` compares besides joins that family.

    Returns
    -------
    list of LeaderRow
        One by model, task, n, head, metric and region.
    """
    return _rows(_columns(scores, (), margin))[1]


def _columns(
    scores: Scores,
    references: Sequence[str],
    margin: float,
    pairs: Sequence[tuple[str, str]] = (),
) -> list[_Column]:
    return [
        _column(scores, view, keys, region, references, pairs, margin)
        for view, keys in scores.families().items()
        for region in scores.regions_of(*keys)
    ]


def compared(
    scores: Scores,
    references: Sequence[str],
    pairs: Sequence[tuple[str, str]] = (),
    *,
    margin: float = MARGIN,
) -> tuple[list[DifferenceRow], list[LeaderRow]]:
    """Return the rows of `differences` and of `leaders` of one family a column.

    It has the pairs of both and those of claims, each pair once, so that a pair has one verdict,
    whatever table or sentence speaks of it.
    """
    return _rows(_columns(scores, references, margin, pairs))


def _rows(columns: list[_Column]) -> tuple[list[DifferenceRow], list[LeaderRow]]:
    made: list[DifferenceRow] = []
    first: list[LeaderRow] = []
    for column, rows in zip(columns, _judged(columns), strict=True):
        made += rows[: len(column.compared)]
        others = rows[len(column.compared) + len(column.asked) :]
        view = column.view
        first.append(
            LeaderRow(
                **view.key(column.best.composition)._asdict(),
                region=column.region,
                best=label(column.best, view.head),
                runner_up=others[0].reference_row if others else "",
                ahead=others[0].difference if others else None,
                decided=bool(others) and all(row.verdict == BETTER for row in others),
            )
        )
    return made, first


def _column(
    scores: Scores,
    view: View,
    keys: list[Key],
    region: str,
    references: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    margin: float,
) -> _Column:
    rows = [*keys, *scores.baselines(*view[1:])]
    # Beside another head, baselines are averaged over the regions of the compositions' rows.
    means = {key: _mean(scores, key, region, keys[0]) for key in rows}
    sides = {key: scores.side(key, region, keys[0]) for key in rows if np.isfinite(means[key])}
    order = sorted(sides, key=lambda key: -view.sign * means[key])
    present = [key for key in keys if key in sides]

    def pair(key: Key, reference: Key, name: str) -> _Pair:
        (left, left_seeds), (right, right_seeds) = sides[key], sides[reference]
        _, i, j = np.intersect1d(left_seeds, right_seeds, assume_unique=True, return_indices=True)
        parts = Parts(means[key] - means[reference], why="no common fine-tune seed")
        if len(i):
            left, right = Side(left.values[:, i], left.fixed), Side(right.values[:, j], right.fixed)
            parts = difference(left, right)
        return _Pair(view, key, reference, region, name, parts, len(i))

    compared = []
    for name in references:
        if name == BEST_BASELINE:
            trivial = (k for k in order if not k.composition and k.model not in scores.official)
            reference = next(trivial, None)
        else:
            reference = next((key for key in present if key.composition == name), None)
        if reference is not None:
            compared += [pair(key, reference, name) for key in present if key != reference]
    known = {key.composition: key for key in present}
    asked = [pair(known[a], known[b], b) for a, b in pairs if a in known and b in known]
    leading = [pair(order[0], key, label(key, view.head)) for key in order[1:]]
    return _Column(view, region, compared, asked, leading, order[0], scores.margin(view, margin))


def _judged(columns: list[_Column]) -> list[list[DifferenceRow]]:
    """Give intervals, p-values and verdicts to the pairs of columns, each of which is a family."""
    families = [[*column.compared, *column.asked, *column.leading] for column in columns]
    pairs = [pair for family in families for pair in family]
    parts = [pair.parts for pair in pairs]
    estimate = np.array([part.estimate for part in parts], dtype=np.float64)
    ends = limits(parts, estimate.tolist())
    p = two_sided_p(parts, np.abs(estimate))
    margins = np.repeat([column.margin for column in columns], list(map(len, families)))
    p_same = _equivalence(parts, estimate, margins)
    made, start = [], 0
    for family in families:
        # A pair counts once, from whichever side and by however many sentences it is looked at.
        place: dict[frozenset[Key], int] = {}
        for i, pair in enumerate(family, start):
            place.setdefault(frozenset((pair.key, pair.reference)), i)
        members = list(place.values())
        p_holm = dict(zip(members, holm(p[members]), strict=True))
        p_same_holm = dict(zip(members, holm(p_same[members]), strict=True))
        compared = int(np.isfinite(p[members]).sum())
        rows = []
        for i, pair in enumerate(family, start):
            at = place[frozenset((pair.key, pair.reference))]
            rows.append(
                DifferenceRow(
                    **pair.key._asdict(),
                    region=pair.region,
                    reference=pair.name,
                    reference_row=label(pair.reference, pair.view.head),
                    difference=pair.parts.estimate,
                    low=ends[i][0],
                    high=ends[i][1],
                    p=_finite(p[i]),
                    p_holm=_finite(p_holm[at]),
                    p_equivalence_holm=_finite(p_same_holm[at]),
                    compared=compared,
                    finetune_seeds=pair.seeds,
                    verdict=verdict(
                        pair.view.sign * estimate[i], p_holm[at], p_same_holm[at], margins[i]
                    ),
                    note=pair.parts.why,
                )
            )
        made.append(rows)
        start += len(family)
    return made


def label(key: Key, head: str) -> str:
    """Name a row of a table: its composition, or its baseline with the head if it differs."""
    if key.composition:
        return key.composition
    return key.model if key.head in (head, key.model) else f"{key.model} ({key.head})"


def _mean(scores: Scores, key: Key, region: str, like: Key) -> float:
    values = scores.values(key, region, like)
    known = np.isfinite(values)
    return float(values[known].mean()) if known.any() else np.nan


def _equivalence(parts: list[Parts], estimate: Floats, margin: Floats) -> Floats:
    # The larger of two one-sided tests is the one against the nearer end of the margin.
    inside = margin - np.abs(estimate)
    p = two_sided_p(parts, np.abs(inside)) / 2
    return np.where(inside > 0, p, 1 - p)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
