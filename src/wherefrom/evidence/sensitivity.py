"""How far a model's score depends on the composition that it was pre-trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from itertools import combinations

import numpy as np

from wherefrom.evidence.intervals import Floats, Parts, Side, contrast, half_width, limits
from wherefrom.evidence.records import DeviationRow, SensitivityDifferenceRow, SensitivityRow
from wherefrom.evidence.scores import INITIAL, Key, Scores, View
from wherefrom.evidence.spread import Estimate, minus, over, spreads

__all__ = ["compare", "deviations", "sensitivity", "sensitivity_differences"]

#: Of each composition: its scores by unit on the common fine-tune seeds, and all its scores.
Sides = dict[str, tuple[Side, Floats]]
#: An estimate and the ends of its interval, as far as they are known.
Known = tuple[float | None, float | None, float | None]
#: A row without intervals, the noise of a mean with its degrees of freedom, and the gain.
Made = tuple[SensitivityRow, tuple[float, float], Parts | None]


def sensitivity(scores: Scores) -> list[SensitivityRow]:
    """Estimate the spread of the true composition effects, for every model, region and head.

    `spread` is the standard deviation over the compositions named in the results, zero
    pre-training excluded, of the scores that they would have with endless blocks and
    fine-tune seeds; `observed` is that of the means as they are, which noise makes too large.
    The model is

        y[k, u, f] = mean + composition[k] + unit[k, u] + episode[f] + taste[k, f] + rest[k, u, f]

    with the units (blocks) and episodes (fine-tune seeds) of `wherefrom.evidence.intervals`. An
    episode is the same for all compositions and cancels; what remains of it as noise is how
    differently compositions take to it (`taste`). The noise of a mean is the variance over its
    units, divided by their number, plus the variance of `taste`, divided by the number of
    episodes; degrees of freedom by Satterthwaite (1946), since compositions need not scatter
    alike. Estimator and interval: `wherefrom.evidence.spread`.

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
    >>> rows = [("m", name, d, "t", "Asia", 100, "knn", s, "f1_macro", mean + d / 100 + s / 50)
    ...         for name, mean in {"uniform": 0.6, "clustered": 0.5, "none": 0.3}.items()
    ...         for d in range(3) for s in range(4)]
    >>> row, = sensitivity(Scores(pa.table(dict(zip(COLUMNS, map(list, zip(*rows)))))))
    >>> round(row.spread, 3), round(row.low, 3), round(row.high, 3)
    (0.07, 0.055, 0.087)
    >>> row.lowest, row.highest, round(row.range, 3), round(row.gain, 3)
    ('clustered', 'uniform', 0.1, 0.25)
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
    for view, region, sides, _ in _families(scores):
        several = [side for side, _ in sides.values() if len(side.values) > 1]
        if len(several) < 2:
            continue
        for name, (one, _) in sides.items():
            weights = [(side is one) - 1 / len(several) for side in several]
            # A single block stands outside the mean; `contrast` then finds no interval.
            outside = len(one.values) < 2
            part = contrast(several + [one] * outside, weights + [1.0] * outside)
            key = view.key(name)._asdict()
            rows.append(DeviationRow(**key, region=region, deviation=part.estimate))
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


def _families(
    scores: Scores,
) -> Iterator[tuple[View, str, Sides, tuple[Side, Floats] | None]]:
    """Yield, where there are two compositions, their sides and that of zero pre-training."""
    for view, keys in scores.families().items():
        for region in scores.regions_of(*keys):
            sides = _sides(scores, keys, region)
            initial = sides.pop(INITIAL, None)
            if len(sides) > 1:
                yield view, region, sides, initial


def _sides(scores: Scores, keys: list[Key], region: str) -> Sides:
    """Return the compositions' sides on the fine-tune seeds that all have."""
    own = {
        key.composition: (*scores.side(key, region), scores.values(key, region))
        for key in keys
        if np.isfinite(scores.values(key, region)).any()
    }
    if not own:
        return {}
    common = reduce(np.intersect1d, (seeds for _, seeds, _ in own.values()))
    return {
        name: (Side(side.values[:, np.isin(seeds, common)]), values)
        for name, (side, seeds, values) in own.items()
    }


def _row(view: View, region: str, by_name: Sides, initial: tuple[Side, Floats] | None) -> Made:
    """Fill in what needs no interval."""
    means = {name: float(np.nanmean(np.nanmean(v, axis=1))) for name, (_, v) in by_name.items()}
    lowest, highest = min(means, key=lambda n: means[n]), max(means, key=lambda n: means[n])
    sides = [one for one, _ in by_name.values() if len(one.values) > 1]
    seeds = next(iter(by_name.values()))[0].values.shape[1]
    observed, noise, gain, note = None, (np.nan, np.nan), None, ""
    if seeds < 2:
        note = "fewer than two fine-tune seeds in common"
    elif len(sides) < 2:
        note = "fewer than two compositions with more than one block"
    else:
        observed = float(np.std([one.values.mean() for one in sides], ddof=1))
        noise = _noise(sides)
        if initial is not None:
            weights = [view.sign / len(sides)] * len(sides)
            gain = contrast([*sides, initial[0]], [*weights, -1.0 * view.sign])
        if len(sides) < len(by_name):
            note = f"{len(by_name) - len(sides)} of a single block left out"
    row = SensitivityRow(
        **view._asdict(),
        region=region,
        compositions=len(sides) if observed is not None else len(by_name),
        observed=observed,
        lowest=lowest,
        highest=highest,
        range=means[highest] - means[lowest],
        gain=None if gain is None else gain.estimate,
        finetune_seeds=seeds,
        note=note,
    )
    return row, noise, gain


def _noise(sides: list[Side]) -> tuple[float, float]:
    """Estimate the mean variance of one composition's mean, and its degrees of freedom."""
    count, seeds = len(sides), sides[0].values.shape[1]
    units, shares, rests, series = [], [], [], []
    for one in sides:
        own, values = len(one.values), one.values
        means = values.mean(axis=1)
        residual = values - means[:, None] - values.mean(axis=0) + means.mean()
        rests.append(float((residual**2).sum()) / ((own - 1) * (seeds - 1) * own * seeds))
        units.append(float(means.var(ddof=1)) / own)
        shares.append(units[-1] ** 2 / (own - 1))
        series.append(values.mean(axis=0))
    table = np.array(series)
    taste = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    freedom = (count - 1) * (seeds - 1)
    # The rest is in the spread of the units already; it must not count twice.
    episode = max(0.0, float((taste**2).sum()) / freedom / seeds - float(np.mean(rests)))
    unit = float(np.mean(units))
    spent = sum(shares) / count**2 + episode**2 / freedom
    return unit + episode, (unit + episode) ** 2 / spent if spent > 0 else 1.0


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
