"""Which composition for a target: a ranking, what it cannot tell, and the cheapest further run.

Everything is read off the intervals of one family (`wherefrom.evidence.Comparison`): no test is
made here. What more blocks, episodes and test places would buy is the variance budget's
(`wherefrom.evidence.power`), what they cost is measured (`wherefrom.study.spent`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wherefrom.errors import WherefromError, unknown
from wherefrom.evidence.differences import Comparison, Ranked
from wherefrom.evidence.headline import Headline
from wherefrom.evidence.intervals import Parts
from wherefrom.evidence.power import more
from wherefrom.evidence.records import Record
from wherefrom.evidence.verdict import BETTER, UNDECIDED, WORSE
from wherefrom.study.spent import Costs

__all__ = [
    "ABOVE", "BELOW", "BEST", "LEVEL", "LOWER", "MOST_BLOCKS", "OPEN", "UNRANKED", "Advice", "More",
    "RankedRow", "advise",
]  # fmt: skip

#: What is said of a row. Compositions that are equivalent to the leader are "as good" as it.
BEST = "certainly best"
LEVEL = "as good as the leader"
OPEN = "cannot be told apart"
LOWER = "certainly worse than the leader"
#: Of baselines and published weights; of a composition where its mean is over other blocks.
ABOVE = "certainly better than the leader"
BELOW = "below the leader, but not tuned"
UNRANKED = "not ranked"

#: More blocks than these nobody runs.
MOST_BLOCKS = 1000
#: More episodes, and more test places in each region, that are tried together with blocks.
_EPISODES = (0, 100, 200, 400, 800)
_PLACES = (0, 1000, 2000, 5000, 10_000)


@dataclass(frozen=True, kw_only=True)
class RankedRow(Record):
    """A row of the ranking.

    `difference` is the row minus the leader (None of the leader), with its simultaneous interval.
    `needed` is the half-width from which on the two would be told apart, or be called equivalent,
    if they differ as they do here; `blocks` how many further blocks, and nothing else, bring it
    there (None: no number of them up to 1,000).
    """

    kind: str
    row: str
    score: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    group: str
    detectable: float | None = None
    needed: float | None = None
    blocks: int | None = None
    note: str = ""


@dataclass(frozen=True)
class More:
    """A run with more of something: what is added, what it leaves, and its core hours.

    `half_width` is that of the pair that is hardest to decide, of the leader with `row`, which is
    decided below `needed`.
    """

    blocks: int
    episodes: int
    places: int
    half_width: float
    needed: float
    row: str
    hours: float | None = None

    @property
    def decides(self) -> bool:
        """Whether it decides every open pair, if they differ as they do here."""
        return self.half_width < self.needed


@dataclass(frozen=True)
class Advice:
    """What finished runs say of a target.

    Attributes
    ----------
    headline : Headline
    region : str
        The target: a region of the results.
    leader : str
        The composition with the best mean.
    rows : list of RankedRow
        All rows, the best mean first.
    now : More or None
        The runs as they are; None if nothing is open.
    run : More or None
        The cheapest further run that would decide all that is open.
    limit : More or None
        Where no run decides it: what endless blocks and episodes would leave.
    hours : float or None
        Core hours at hand.
    affords : More or None
        What they buy in blocks.
    costs : Costs or None
        Measured; None where they are not known.
    """

    headline: Headline
    region: str
    leader: str
    rows: list[RankedRow]
    now: More | None = None
    run: More | None = None
    limit: More | None = None
    hours: float | None = None
    affords: More | None = None
    costs: Costs | None = None

    def of(self, group: str, *kinds: str) -> list[RankedRow]:
        """Return the rows of a group, of all kinds or of some."""
        return [row for row in self.rows if row.group == group and (row.kind in kinds or not kinds)]


def advise(
    headline: Headline,
    region: str,
    *,
    costs: Costs | None = None,
    hours: float | None = None,
    untuned: Collection[str] = (),
) -> Advice:
    """Rank the compositions of a headline in a region, and name the cheapest run that decides.

    A composition is "certainly best" where all others are worse, and "certainly worse" where the
    interval of its own difference excludes the leader: intervals of the headline's family, which
    has all pairs of compositions where there is one region. What is neither, nor equivalent within
    the stated margin, cannot be told apart.

    Parameters
    ----------
    headline : Headline
    region : str
        One of its regions.
    costs : Costs, optional
        Of the headline's model, head and task.
    hours : float, optional
        Core hours at hand.
    untuned : collection of str
        Labels of baselines that nobody tuned: that one is below the leader is no verdict.

    Raises
    ------
    WherefromError
        If the headline has no such region, or no composition has two blocks there.
    """
    if region not in headline.regions:
        raise unknown(f"region of task {headline.view.task}", region, headline.regions)
    comparison = headline.evidence.comparisons[headline.view].with_every_pair()
    ranking = comparison.ranking(region)
    if not ranking:
        raise WherefromError(
            f"{headline.title}, {region}: every composition ran in one block, so nothing tells how "
            "far another draw and pre-training would differ: state blocks: 2 or more (6 is usual) "
            "for the model in the study file, and run it again"
        )
    kinds = {row.key: row.kind for row in headline.rows}
    leader = ranking[0].row.reference_row
    own = [one for one in ranking if one.key.composition]
    open_ = [one for one in own if one.row.low is not None and one.row.verdict == UNDECIDED]
    needs = [_needed(one, comparison) for one in open_]
    named = [_label(one, headline) for one in open_]
    search = _Search(comparison, region, open_, named, needs, costs)
    needed = dict(zip((one.key for one in open_), needs, strict=True))
    alone = {one.key: search.alone(i) for i, one in enumerate(open_)}
    rows = [
        RankedRow(
            kind=kinds.get(one.key, "baseline"),
            row=_label(one, headline),
            score=_score(headline, one, region),
            difference=one.row.difference,
            low=one.row.low,
            high=one.row.high,
            group=_group(one, _label(one, headline), untuned),
            detectable=one.row.detectable,
            needed=needed.get(one.key),
            blocks=alone.get(one.key),
            note=one.row.note,
        )
        for one in ranking
    ]
    first = headline.view.key(leader)
    rows.append(
        RankedRow(
            kind=kinds[first],
            row=leader,
            score=_mean(headline, leader, region),
            group=_leading(one.row.verdict for one in own if one.row.low is not None),
        )
    )
    rows.sort(key=lambda row: (-headline.view.sign * row.score, row.difference is not None))
    made = Advice(headline, region, leader, rows, hours=hours, costs=costs)
    if not open_:
        return made
    run = search.cheapest()
    return replace(
        made,
        now=search.with_more(0, 0, 0),
        run=run,
        limit=search.limit() if run is None else None,
        affords=None if hours is None or costs is None else search.afforded(hours),
    )


def _needed(one: Ranked, comparison: Comparison) -> float:
    """Return the half-width from which on a pair is decided, if it differs as it does here."""
    apart = abs(one.row.difference)
    margin = comparison.margin if comparison.sensitive else 0.0
    return max(apart, margin - apart)


def _label(one: Ranked, headline: Headline) -> str:
    return next(row.label for row in headline.rows if row.key == one.key)


def _mean(headline: Headline, composition: str, region: str) -> float:
    row = headline.mean(headline.view.key(composition), region)
    return np.nan if row is None else row.mean


def _score(headline: Headline, one: Ranked, region: str) -> float:
    """Return a row's mean; beside another head, over the regions of the leader."""
    row = headline.mean(one.key, region) if one.key.head == headline.view.head else None
    if row is not None:
        return row.mean
    return _mean(headline, one.row.reference_row, region) + one.row.difference


def _group(one: Ranked, label: str, untuned: Collection[str]) -> str:
    verdict = one.row.verdict
    if one.row.low is None:
        return UNRANKED
    if verdict == BETTER:
        return ABOVE
    if verdict == WORSE and label in untuned:
        return BELOW
    return {WORSE: LOWER, UNDECIDED: OPEN}.get(verdict, LEVEL)


def _leading(verdicts: Iterator[str]) -> str:
    """Say of the leader what its comparisons with all other compositions leave."""
    found = set(verdicts)
    if not found:
        return UNRANKED
    return BEST if found == {WORSE} else OPEN if found & {UNDECIDED, BETTER} else LEVEL


class _Search:
    """Half-widths of some pairs with more blocks, episodes and test places, and what these cost."""

    def __init__(
        self,
        comparison: Comparison,
        region: str,
        pairs: Sequence[Ranked],
        labels: Sequence[str],
        needs: Sequence[float],
        costs: Costs | None,
    ) -> None:
        self.family, self.pairs, self.costs = comparison.family, pairs, costs
        self.labels = labels
        self.needs = np.array(needs)
        self.regions = comparison.averaged(region)

    def parts(self, blocks: int, episodes: int, places: int) -> list[Parts]:
        made = []
        for one in self.pairs:
            part, axes = one.part, (one.row.blocks, one.row.finetune_seeds, self.regions)
            for axis, added in (("block", blocks), ("episode", episodes), ("place", places)):
                part = more(part, axis, *axes, added=added) if added else part
            made.append(part)
        return made

    def with_more(self, blocks: int, episodes: int, places: int) -> More:
        """Return the runs with more of each axis."""
        hours = None if self.costs is None else self.costs.hours(blocks, episodes, places)
        hardest = self.hardest(self.parts(blocks, episodes, places))
        return More(blocks, episodes, places, *hardest, hours)

    def hardest(self, parts: Sequence[Parts]) -> tuple[float, float, str]:
        """Return the half-width of the pair that needs most, what it needs, and its row."""
        halves = self.family.half_width(parts)
        at = int((halves / np.maximum(self.needs, np.finfo(float).tiny)).argmax())
        return float(halves[at]), float(self.needs[at]), self.labels[at]

    def least(self, episodes: int, places: int, which: slice = slice(None)) -> int | None:
        """Return the fewest further blocks that decide some pairs; None if none do."""

        def decides(blocks: int) -> bool:
            parts = self.parts(blocks, episodes, places)[which]
            return bool((self.family.half_width(parts) < self.needs[which]).all())

        if not decides(MOST_BLOCKS):
            return None
        low, high = -1, MOST_BLOCKS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if decides(middle) else (middle, high)
        return high

    def alone(self, pair: int) -> int | None:
        """Return how many blocks and nothing else decide one pair."""
        return self.least(0, 0, slice(pair, pair + 1))

    def cheapest(self) -> More | None:
        """Return the run that costs least, with more test places only where none does without."""
        # A task of a fixed table can have no more.
        others = self.costs is not None and self.costs.growth > 0
        for places in _PLACES if others else (0,):
            found = []
            for episodes in _EPISODES:
                blocks = self.least(episodes, places)
                if blocks is not None:
                    found.append(self.with_more(blocks, episodes, places))
            if found:
                return min(found, key=lambda one: (one.hours or 0.0, one.blocks, one.episodes))
        return None

    def limit(self) -> More:
        """Return what endless blocks and episodes would leave: the test places alone."""
        parts = [replace(one.part, block=0.0, episode=0.0) for one in self.pairs]
        return More(0, 0, 0, *self.hardest(parts))

    def afforded(self, hours: float) -> More:
        """Return the half-width with as many further blocks as the hours pay."""
        assert self.costs is not None
        blocks = int(hours / self.costs.hours(1)) if self.costs.block > 0 else 0
        return self.with_more(min(blocks, MOST_BLOCKS), 0, 0)
