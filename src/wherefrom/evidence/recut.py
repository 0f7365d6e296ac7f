"""Scores cut anew by any labels, or weighted to any shares, from saved predictions.

Nothing is trained again. Test places are pooled over the regions, each with what was told of it by
heads that learnt in its own region. An interval covers blocks, few-shot episodes and test places:
their variances are added, and so are their degrees of freedom (Satterthwaite, 1946).

Weights make the test places of each label count as its share of the target does
(post-stratification; Holt and Smith, 1979): the variance over places is that within the labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.evidence.cut import Cut, Target
from wherefrom.evidence.recut_rows import Group, RecutRow, Tests, scored_rows
from wherefrom.study.predictions import Saved

__all__ = ["ALL_PLACES", "FEWEST", "RecutRow", "pooled", "recut", "weighted", "weights_to"]

Ints = NDArray[np.int64]

#: Test places below which a label is not scored: intervals of so few would not hold.
FEWEST = 30
#: Share of the target below which its score is not told.
LEAST_COVERED = 0.5
#: The label of the row of all test places.
ALL_PLACES = "all test places"


def recut(
    predictions: Sequence[Saved],
    n: int,
    metric: str,
    cut: Cut,
    *,
    fewest: int = FEWEST,
    block_km: float | None = None,
    against: str = "",
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
    against : str
        A composition or baseline to subtract from every other row; by default none. Its intervals
        are of single differences, whatever their number.

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
    tests = pooled(predictions, n)
    codes, truth = cut.codes[tests.rows], tests.task.label[tests.rows]
    groups, left_out = [], []
    for code, label in enumerate(cut.labels):
        at = np.flatnonzero(codes == code)
        if len(at) < fewest:
            if len(at):
                left_out.append(f"{label}: {_places(len(at))}, fewer than {fewest}")
        elif (truth[at] == truth[at[0]]).all():
            named = tests.task.predicts == "classes"
            one = repr(tests.task.classes[truth[at[0]]]) if named else f"{truth[at[0]]:g}"
            same = f"are of one class, {one}" if named else f"have one number, {one}"
            left_out.append(f"{label}: all {_places(len(at))} {same}")
        else:
            groups.append(Group(label, at))
    if none := int((codes < 0).sum()):
        left_out.append(f"{_places(none)} without a label of {cut.name}")
    if not groups:
        raise WherefromError(
            f"no label of {cut.name!r} can be scored ({'; '.join(left_out[:3])}): cut by coarser "
            "labels, or allow fewer places (--fewest)"
        )
    about = predictions, n, metric, tests, cut.name, groups, block_km, against
    return scored_rows(*about), left_out


def weighted(
    predictions: Sequence[Saved],
    n: int,
    metric: str,
    cut: Cut,
    target: Target,
    *,
    fewest: int = FEWEST,
    block_km: float | None = None,
    against: str = "",
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
    tests = pooled(predictions, n)
    group, left_out = weights_to(target, cut, tests, fewest)
    groups = [group, Group(ALL_PLACES, np.arange(len(tests.rows)))]
    about = predictions, n, metric, tests, cut.name, groups, block_km, against
    return scored_rows(*about), left_out


def weights_to(
    target: Target, cut: Cut, tests: Tests, fewest: int = FEWEST
) -> tuple[Group, list[str]]:
    """Weight pooled test places to the shares of a target; returns and raises as `weighted`."""
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
    if left_out:
        left_out.insert(0, f"{covered:.1%} of {target.name} is covered; left out are")
    if none := int((codes < 0).sum()):
        left_out.append(f"{_places(none)} without a label of {cut.name}")
    return Group(target.name, at, weight * (len(at) / weight.sum()), codes[at]), left_out


def pooled(predictions: Iterable[Saved], n: int) -> Tests:
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
    return Tests(first.places, tuple(common), np.concatenate(list(common.values())))


def _places(count: int) -> str:
    return f"{count:,} test place" + ("" if count == 1 else "s")
