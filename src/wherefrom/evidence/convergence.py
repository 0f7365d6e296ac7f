"""Convergence point: the number of labels from which compositions differ as they do with all.

With n labelled places a composition differs from its reference by D(n); with the most of a sweep,
N, by D(N). The convergence point is the smallest n from which, for it and every larger n of the
sweep, |D(n) - D(N)| is below the margin of equivalence. It is an n of the sweep: at most N.

**Not later than.** At each n below N two one-sided tests at 5 % (Schuirmann, 1987) ask whether the
change lies within the margin: its 90 % interval does. They are asked from the largest n down, until
one fails. In such a fixed order each is at 5 % without correction (Maurer, Hothorn and Lehmacher,
1995). Of all compositions at once each must pass: an intersection-union test, at 5 % as a whole
(Berger, 1982).

**Not earlier than.** That the point lies above an n is shown where the change exceeds the margin at
that n or at a larger one. From the smallest n up, until it is not shown: each question is at 5 % in
all, one half for its own n, the other shared by the larger ones, and by the compositions.

So each end is false in at most 5 of 100 studies. No bootstrap is used: a handful of blocks has no
distribution to draw from. The variance of a change is the sum of three parts (see
`wherefrom.evidence.intervals`). Blocks: that of D(n) - D(N) within blocks. Episodes: those of n and
of N, as if they were independent; the smaller begin the larger, so this is rather too much. Test
places, which all n share: that of the change of their influences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from wherefrom.evidence.headline import Headline
from wherefrom.evidence.intervals import ENOUGH, NOTHING, Floats, Parts, half_width
from wherefrom.evidence.records import Record
from wherefrom.evidence.scores import INITIAL, Ints, Scored

__all__ = [
    "EVERY", "BEYOND", "CONVERGED", "FIRST", "UNKNOWN", "ConvergenceRow", "Point", "StepRow",
    "change_of", "convergence", "point_of",
]  # fmt: skip

#: The row of all compositions at once, zero pre-training aside.
EVERY = "all pre-trained"

#: What is said of a point.
FIRST = "from the first n"
CONVERGED = "converged"
BEYOND = "not within the sweep"
UNKNOWN = "cannot be decided"

_ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class _OfPair(Record):
    """What is about a composition and the reference, over all n."""

    model: str
    task: str
    head: str
    metric: str
    region: str
    composition: str
    reference: str


@dataclass(frozen=True, kw_only=True)
class ConvergenceRow(_OfPair):
    """Convergence point of a composition, or of all, on one task.

    `point` is the n from which it is shown, None where none below the largest is; in 95 of 100
    studies the truth is not above it, and in 95 of 100 not below `earliest`. The sweep goes from
    `smallest` to `largest`. `half_width` is of the change at `stopped`, the largest n at which it
    is not shown to lie within the margin.
    """

    word: str
    point: int | None
    earliest: int
    smallest: int
    largest: int
    stopped: int | None = None
    half_width: float | None = None
    blocks: int
    margin: float
    #: Of the task's test places there: classes, and entropy of their shares (natural logarithm).
    classes: int | None = None
    entropy: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class StepRow(_OfPair):
    """The difference to the reference at one n, and its change to that at the largest.

    `low` and `high` are of the change: it lies within the margin, by two one-sided tests at 5 %,
    where they do.
    """

    n: int
    difference: float
    change: float
    low: float | None = None
    high: float | None = None
    blocks: int
    finetune_seeds: int
    note: str = ""


class Point(NamedTuple):
    """Where a walk from the largest n down and one from the smallest up end, as positions.

    `shown` is the position of the convergence point, one more than there are changes if none is
    shown; `earliest` that of the smallest n that is not excluded.
    """

    shown: int
    earliest: int


def point_of(changes: Sequence[Sequence[Parts]], margin: float) -> Point:
    """Find the convergence point of K compositions at once, from their changes at M values of n.

    Parameters
    ----------
    changes : (K, M) Parts
        D(n) - D(N) at each n below the largest, ascending; all with an interval.
    margin : float
        Of equivalence, above 0.

    Examples
    --------
    >>> def change(value):
    ...     return Parts(value, 1e-6, 5.0, 1e-6, 9.0)
    >>> point_of([[change(0.03), change(0.004), change(0.001)]], 0.01)
    Point(shown=1, earliest=1)
    >>> point_of([[change(0.001)] * 3, [change(0.03)] * 3], 0.01)
    Point(shown=3, earliest=3)
    """
    size = np.array([[abs(part.estimate) for part in row] for row in changes])
    count, steps = size.shape

    def half(level: float) -> Floats:
        return np.stack([half_width(row, level) for row in changes])

    near = np.asarray((size + half(1 - 2 * _ALPHA) < margin).all(axis=0))
    shown = steps
    while shown and near[shown - 1]:
        shown -= 1
    earliest = 0
    while earliest < steps:
        # What is asked: does the change exceed the margin at this n, or at a larger one?
        later = steps - earliest - 1
        own = _ALPHA / count / (2 if later else 1)
        above = size[:, earliest] - half(1 - 2 * own)[:, earliest] > margin
        if later:
            rest = size[:, earliest + 1 :] - half(1 - 2 * own / later)[:, earliest + 1 :] > margin
        if not (above.any() or (later and rest.any())):
            break
        earliest += 1
    return Point(shown, earliest)


def convergence(
    headline: Headline, region: str | None = None
) -> tuple[list[ConvergenceRow], list[StepRow]]:
    """Find the convergence points of a model on a task, with one head and metric.

    Parameters
    ----------
    headline : Headline
        Any n of the sweep; it is compared with the first reference.
    region : str, optional
        By default the one with most values of n.

    Returns
    -------
    points : list of ConvergenceRow
        Of all compositions at once, zero pre-training and the reference aside, if there are
        several; then of each. Empty where there is one n alone, no reference or no margin.
    steps : list of StepRow
        Of each composition at each n.
    """
    region, grown = headline.sweep(region)
    reference = headline.evidence.references[0]
    if not grown or headline.margin <= 0:
        return [], []
    rows = [
        {key.composition: found for name in one.compositions if (found := _of(one, name, region))
         for key in [one.view.key(name)]}
        for one in grown
    ]  # fmt: skip
    whole = [name for name in grown[0].compositions if all(name in row for row in rows)]
    if reference not in whole:
        return [], []
    sizes = [one.view.n for one in grown]
    steps: list[StepRow] = []
    changes: dict[str, list[Parts]] = {}
    blocks: dict[str, int] = {}
    for name in whole:
        if name == reference:
            continue
        pairs = [(row[name], row[reference]) for row in rows]
        common = reduce(np.intersect1d, [one.blocks for both in pairs for one in both])
        blocks[name] = len(common)
        tables = [_difference(*both, common) for both in pairs]
        last = tables[-1]
        if not all(table.size for table in tables):  # no block or seed in common
            continue
        for one, n, table in zip(grown, sizes, tables, strict=True):
            change = change_of(table, last, _places(one, grown[-1], name, reference, region))
            if n != sizes[-1]:
                changes.setdefault(name, []).append(change)
            half = float(half_width([change], 1 - 2 * _ALPHA)[0])
            known = np.isfinite(half) and n != sizes[-1]
            steps.append(
                StepRow(
                    **_about(headline, region),
                    composition=name,
                    reference=reference,
                    n=n,
                    difference=float(table.mean()),
                    change=0.0 if n == sizes[-1] else change.estimate,
                    low=change.estimate - half if known else None,
                    high=change.estimate + half if known else None,
                    blocks=len(common),
                    finetune_seeds=table.shape[1],
                    note=change.why if n != sizes[-1] else "",
                )
            )
    trained = [name for name in changes if name != INITIAL]
    groups = {EVERY: trained} if len(trained) > 1 else {}
    groups |= {name: [name] for name in changes}
    points = [
        _row(
            _about(headline, region)
            | {"composition": name, "reference": reference, "margin": headline.margin}
            | {"blocks": min(blocks[one] for one in among)},
            [changes[one] for one in among],
            sizes,
        )
        for name, among in groups.items()
    ]
    return points, steps


def _row(about: dict[str, Any], changes: list[list[Parts]], sizes: list[int]) -> ConvergenceRow:
    """Say where the changes of some compositions converge."""
    about |= {"smallest": sizes[0], "largest": sizes[-1]}
    why = next((part.why for row in changes for part in row if part.why), "")
    if why:
        return ConvergenceRow(
            **about, word=UNKNOWN, point=None, earliest=sizes[0], note=f"no interval: {why}"
        )
    shown, earliest = point_of(changes, about["margin"])
    word = CONVERGED if shown else FIRST
    if shown == len(sizes) - 1:
        word = BEYOND if earliest == shown else UNKNOWN
    halves = [float(half_width([row[shown - 1]], 1 - 2 * _ALPHA)[0]) for row in changes if shown]
    return ConvergenceRow(
        **about,
        word=word,
        point=sizes[shown] if word in (FIRST, CONVERGED) else None,
        earliest=sizes[earliest],
        stopped=sizes[shown - 1] if shown else None,
        half_width=max(halves, default=None),
    )


def _about(headline: Headline, region: str) -> dict[str, Any]:
    view = headline.view
    return {"model": view.model, "task": view.task, "head": view.head, "metric": view.metric,
            "region": region}  # fmt: skip


def _of(headline: Headline, name: str, region: str) -> Scored | None:
    key = headline.view.key(name)
    scores = headline.evidence.scores
    return scores.scored(key, region) if key in scores.cells else None


def _difference(a: Scored, b: Scored, blocks: Ints) -> Floats:
    """Return the differences of two rows in common blocks and fine-tune seeds, (B, F)."""
    seeds = np.intersect1d(a.seeds, b.seeds)
    values = [one.values[np.isin(one.blocks, blocks)][:, np.isin(one.seeds, seeds)]
              for one in (a, b)]  # fmt: skip
    return np.asarray(values[0] - values[1])


def _places(
    one: Headline, last: Headline, name: str, reference: str, region: str
) -> tuple[float, float]:
    """Return the variance of a change over test places and its degrees of freedom; 0 if given."""
    sampled = one.evidence.scores.places
    if sampled is None or one.view == last.view:
        return 0.0, np.inf
    keys = [view.key(row) for view in (one.view, last.view) for row in (name, reference)]
    found = sampled.covariance(keys, region)
    weights = np.array([1.0, -1.0, -1.0, 1.0])
    return (0.0, np.inf) if found is None else (float(weights @ found[0] @ weights), found[1])


def change_of(table: Floats, last: Floats, place: tuple[float, float] = (0.0, np.inf)) -> Parts:
    """Estimate how far differences (B, F) are from those at the largest n, (B, F').

    `place` is the variance of that over test places, with its degrees of freedom.
    """
    blocks = len(table)
    change = table.mean(axis=1) - last.mean(axis=1)
    estimate = float(change.mean())
    if blocks < 2:
        return Parts(estimate, why="one block")
    if min(table.shape[1], last.shape[1]) < 2:
        return Parts(estimate, why="one fine-tune seed")
    block = float(change.var(ddof=1)) / blocks
    (few, few_df), (many, many_df) = _episodes(table), _episodes(last)
    spent = few**2 / few_df + many**2 / many_df
    df = (few + many) ** 2 / spent if spent > 0 else few_df
    why = "" if block + few + many + place[0] > NOTHING else "no score varies"
    return Parts(estimate, block, blocks - 1.0, few + many, df, *place, why)


def _episodes(table: Floats) -> tuple[float, float]:
    """Return the part of the episodes in the variance of a mean, and its degrees of freedom."""
    blocks, seeds = table.shape
    part = float(table.mean(axis=0).var(ddof=1)) / seeds
    if seeds >= ENOUGH:  # the rest is in the spread over blocks already
        rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
        freedom = (blocks - 1) * (seeds - 1) * blocks * seeds
        part = max(0.0, part - float((rest**2).sum()) / freedom)
    return part, seeds - 1.0
