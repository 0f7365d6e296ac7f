"""How far a model's score depends on the composition that it was pre-trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from wherefrom.evidence.frames import Column, Frame, column_of
from wherefrom.evidence.intervals import NOTHING, Parts, half_width, limits
from wherefrom.evidence.records import DeviationRow, SensitivityDifferenceRow, SensitivityRow
from wherefrom.evidence.scores import INITIAL, Key, Scores, View
from wherefrom.evidence.spread import Estimate, minus, over, spreads

__all__ = ["compare", "deviations", "sensitivity", "sensitivity_differences"]

#: An estimate and the ends of its interval, as far as they are known.
Known = tuple[float | None, float | None, float | None]
#: A row without intervals, the noise of a mean with its degrees of freedom, and the gain.
Made = tuple[SensitivityRow, tuple[float, float], Parts | None]


def sensitivity(scores: Scores) -> list[SensitivityRow]:
    """Estimate the spread of the true composition effects, for every model, region and head.

    `spread` is the standard deviation over the compositions named in the results, zero
    pre-training excluded, of the scores that they would have with endless blocks and
    fine-tune seeds; `observed` is that of the means as they are, which noise makes too large.
    The model is that of `wherefrom.evidence.frames`. What all compositions share in a block or an
    episode cancels; the noise of a mean is its own variance over blocks, divided by their number,
    plus the variance of how differently compositions take to an episode, divided by the number of
    episodes, plus what other test places would change, where they are a sample; degrees of freedom
    by Satterthwaite (1946), since compositions need not scatter alike. Estimator and interval:
    `wherefrom.evidence.spread`.

    `gain` is the mean over those compositions minus zero pre-training, or of a metric of which
    lower is better zero pre-training minus that mean, and `share` the spread
    divided by it: the scores of different tasks have no common scale, so two models on two tasks
    compare by the share alone. It is absent where the interval of the gain reaches zero.

    Returns
    -------
    list of SensitivityRow
        One by model, task, n, head, metric and region with at least two compositions.
        Compositions of a single block are left out of the spread (not of the range); without two
        others, or with one fine-tune seed, there is none, and `note` says so.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.evidence.scores import COLUMNS
    >>> rows = [("m", name, b, "t", "Asia", 100, "knn", s, "f1_macro", mean + b * s % 3 * mean / 99)
    ...         for name, mean in {"uniform": 0.6, "clustered": 0.5, "none": 0.3}.items()
    ...         for b in range(3) for s in range(4)]
    >>> row, = sensitivity(Scores(pa.table(dict(zip(COLUMNS, map(list, zip(*rows)))))))
    >>> round(row.spread, 3), round(row.low, 3), round(row.high, 3)
    (0.071, 0.07, 0.072)
    >>> row.lowest, row.highest, round(row.range, 3), round(row.gain, 3)
    ('clustered', 'uniform', 0.101, 0.251)
    """
    return _with_intervals([_row(*family) for family in _families(scores)])


def deviations(scores: Scores) -> list[DeviationRow]:
    """Subtract from each composition's mean the mean of all, zero pre-training left out.

    These are the effects of which `sensitivity` estimates the spread. What all compositions have
    in common in an episode cancels in them. A composition of a single block does not count in the
    mean of all and has no interval.

    Returns
    -------
    list of DeviationRow
        In the cases in which `sensitivity` has a spread.
    """
    rows: list[DeviationRow] = []
    parts: list[Parts] = []
    for view, column, keys, several in _families(scores):
        if len(several) < 2:
            continue
        mean = dict.fromkeys(several, -1 / len(several))
        # A single block stands outside the mean; it then has no interval.
        asked = [{**mean, key: mean.get(key, 0.0) + 1.0} for key in keys]
        for key, part in zip(keys, column.contrasts(asked), strict=True):
            axes = view.key(key.composition)._asdict()
            rows.append(DeviationRow(**axes, region=column.region, deviation=part.estimate))
            parts.append(part)
    ends = limits(parts, [row.deviation for row in rows])
    return [replace(row, low=low, high=high) for row, (low, high) in zip(rows, ends, strict=True)]


def compare(a: SensitivityRow, b: SensitivityRow) -> SensitivityDifferenceRow:
    """Subtract the sensitivity of `b` from that of `a`: of the spreads and of the shares.

    The two count as independent. They share draws, and on one task episodes as well; where that
    makes their errors alike the interval is too long, not too short.

    Returns
    -------
    SensitivityDifferenceRow
        The parts that a side lacks are None.
    """
    plain = _minus((a.spread, a.low, a.high), (b.spread, b.low, b.high))
    share = _minus((a.share, a.share_low, a.share_high), (b.share, b.share_low, b.share_high))
    return SensitivityDifferenceRow(
        model=a.model,
        task=a.task,
        head=a.head,
        other_model=b.model,
        other_task=b.task,
        other_head=b.head,
        n=a.n,
        metric=a.metric,
        region=a.region,
        **dict(zip(("difference", "low", "high"), plain, strict=True)),
        **dict(zip(("share_difference", "share_low", "share_high"), share, strict=True)),
    )


def sensitivity_differences(rows: Sequence[SensitivityRow]) -> list[SensitivityDifferenceRow]:
    """Compare every two models with the same n, head, metric and region."""
    groups: dict[tuple[int, str, str, str], list[SensitivityRow]] = {}
    for row in rows:
        groups.setdefault((*row.view[2:], row.region), []).append(row)
    return [
        compare(a, b)
        for group in groups.values()
        for a, b in combinations(group, 2)
        if a.model != b.model
    ]


def _families(scores: Scores) -> Iterator[tuple[View, Column, list[Key], list[Key]]]:
    """Yield, where there are two compositions, all of them and those of several blocks."""
    for view, keys in scores.families().items():
        for region in scores.regions_of(*keys):
            column = column_of(scores, view, region)
            own = [key for key in column.compositions if key.composition != INITIAL]
            if len(own) > 1:
                yield view, column, own, [key for key in own if len(column.rows[key].blocks) > 1]


def _row(view: View, column: Column, keys: list[Key], several: list[Key]) -> Made:
    """Fill in what needs no interval."""
    means = {key.composition: column.rows[key].mean for key in keys}
    lowest, highest = min(means, key=lambda n: means[n]), max(means, key=lambda n: means[n])
    frame, left_out = column.frame(several or keys)
    _, blocks, seeds = frame.shape
    observed, noise, gain, note = None, (np.nan, np.nan), None, ""
    if seeds < 2:
        note = "fewer than two fine-tune seeds in common"
    elif len(several) < 2:
        note = "fewer than two compositions with more than one block"
    elif blocks < 2:
        note = f"fewer than two blocks that all compositions have ({left_out})"
    else:
        at = [frame.keys.index(key) for key in several]
        observed = float(frame.series[at].mean(axis=1).std(ddof=1))
        noise = _noise(frame, at)
        initial = view.key(INITIAL)
        if initial in column.rows:
            weights = dict.fromkeys(several, view.sign / len(several))
            (gain,) = column.contrasts([{**weights, initial: -1.0 * view.sign}])
        notes = [left_out] * bool(left_out)
        lone = len(keys) - len(several)
        note = "; ".join([f"{lone} of a single block left out"] * (lone > 0) + notes)
    row = SensitivityRow(
        **view._asdict(),
        region=column.region,
        compositions=len(several) if observed is not None else len(keys),
        observed=observed,
        lowest=lowest,
        highest=highest,
        range=means[highest] - means[lowest],
        gain=None if gain is None else gain.estimate,
        finetune_seeds=seeds,
        note=note,
    )
    return row, noise, gain


def _noise(frame: Frame, at: list[int]) -> tuple[float, float]:
    """Estimate the mean variance of one of some rows' means, and its degrees of freedom."""
    _, blocks, seeds = frame.shape
    count, one = len(at), frame.own
    # In a block, what all share cancels; own variances are by far not equal.
    square = one.variance[at].sum() / (count * blocks)
    spent = one.alike[np.ix_(at, at)].sum() / (count * blocks) ** 2 / one.df
    table = frame.values[at]
    for axis in range(3):
        table = table - table.mean(axis=axis, keepdims=True)
    freedom = (count - 1) * (seeds - 1)
    rest = (table**2).sum() / (freedom * (blocks - 1) * blocks * seeds)
    taste = frame.series[at]
    taste = taste - taste.mean(axis=1, keepdims=True) - taste.mean(axis=0) + taste.mean()
    # The rest is in the own variances already; it must not count twice.
    episode = max(0.0, (taste**2).sum() / freedom / seeds - rest)
    place = 0.0
    if frame.places is not None:
        over, df = frame.places
        over = np.nan_to_num(over[np.ix_(at, at)])
        place = max(0.0, (np.trace(over) - over.sum() / count) / (count - 1))
        spent += place**2 / df
    spent += episode**2 / freedom
    noise = float(square + episode + place)
    return (noise, noise**2 / spent) if noise > NOTHING else (0.0, 1.0)


def _with_intervals(made: list[Made]) -> list[SensitivityRow]:
    rows = [row for row, _, _ in made]
    halves = half_width([gain or Parts(np.nan) for _, _, gain in made])
    known = [i for i, row in enumerate(rows) if row.observed is not None]
    table = [(rows[i].observed, *made[i][1], rows[i].compositions) for i in known]
    observed, noise, df, groups = np.array(table, dtype=np.float64).reshape(-1, 4).T
    estimates = np.stack(spreads(observed, noise, df, groups), axis=1).tolist()
    for i, (spread, low, high, p) in zip(known, estimates, strict=True):
        row = replace(rows[i], spread=spread, low=low, high=high, p=p)
        if row.gain is not None and np.isfinite(halves[i]):
            gain = Estimate(row.gain, row.gain - float(halves[i]), row.gain + float(halves[i]))
            row = replace(row, gain_low=gain.low, gain_high=gain.high)
            share = over(Estimate(spread, low, high), gain)
            if share is not None:
                row = replace(row, share=share.value, share_low=share.low, share_high=share.high)
        rows[i] = row
    return rows


def _minus(a: Known, b: Known) -> Known:
    """Subtract estimates with their limits; None where a side lacks one."""
    known = [part for part in (*a, *b) if part is not None]
    if len(known) < 6:
        return None, None, None
    return minus(Estimate(*known[:3]), Estimate(*known[3:]))
