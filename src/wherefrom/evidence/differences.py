"""Paired differences; all that is compared in one view is one family of claims."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

from wherefrom.evidence.family import Family, simulate
from wherefrom.evidence.intervals import Parts, ends
from wherefrom.evidence.pairs import BEST_BASELINE, Pair, Region, label
from wherefrom.evidence.power import MORE, detectable, more
from wherefrom.evidence.records import BudgetRow, DifferenceRow, LeaderRow
from wherefrom.evidence.scores import ALL_REGIONS, INITIAL, Key, Scores, View
from wherefrom.evidence.verdict import BETTER, UNDECIDED, verdict, within
from wherefrom.keys import generator

__all__ = [
    "BEST_BASELINE", "CONTROLS", "MARGIN", "Comparison", "Ranked", "differences", "label",
]  # fmt: skip

#: Differences below this are of no matter: the default margin of equivalence.
MARGIN = 0.01

#: The references where none are named.
REFERENCES = ("uniform", "none", BEST_BASELINE)

#: Why rows whose interval lies within the margin are not called equivalent.
INSENSITIVE = "within the margin, but no positive control is told from"

#: Compositions that a study able to tell anything tells from its reference.
CONTROLS = (INITIAL,)


class Ranked(NamedTuple):
    """A row minus the composition that leads, with the parts of the variance of the difference."""

    key: Key
    row: DifferenceRow
    part: Parts


class Comparison:
    """All that is compared in one view, judged as one family of claims.

    The family holds every composition with each reference, the pairs that claims are about, and
    the row with the best mean with the next, in every region and over all, each pair once. So a
    pair has one verdict, whatever table or sentence speaks of it.

    Parameters
    ----------
    scores : Scores
    view : View
    references : sequence of str
        Names of compositions, or `BEST_BASELINE`. One that the results lack is left out.
    margin : float
        Margin of equivalence; for scores in the units of a task's numbers that of `Scores.units`.
    pairs : sequence of (str, str)
        Compositions that are compared besides.
    controls : sequence of str
        Positive controls. That two rows are equivalent is only said where one of these is decided
        to differ from the first reference that the view has, in the region that sums it up.

    Attributes
    ----------
    family : Family
    sensitive : bool
        Whether a positive control was told from the reference.
    rows : list of DifferenceRow
        Every composition with each reference.
    leaders : list of LeaderRow
        The row with the best mean of each region, and whether the data decide that it is best:
        that is where it is better than every other row.
    """

    def __init__(
        self,
        scores: Scores,
        view: View,
        references: Sequence[str] = REFERENCES,
        *,
        margin: float = MARGIN,
        pairs: Sequence[tuple[str, str]] = (),
        controls: Sequence[str] = CONTROLS,
    ) -> None:
        self.view, self.margin = view, scores.margin(view, margin)
        self._asked = (scores, references, margin, tuple(pairs), controls)
        regions = scores.regions_of(*scores.families()[view])
        self.regions = {
            region: Region(scores, view, region, references, pairs) for region in regions
        }
        designs = [design for one in self.regions.values() for design in one.designs()]
        self.family: Family = simulate(designs, generator("family", *view))
        self.compared = sum(len(one.members) for one in self.regions.values())
        own = {key.composition for one in self.regions.values() for key in one.column.compositions}
        named = [name for name in references if name in own and name not in controls]
        #: What a positive control must be told from.
        self.reference = named[0] if named else ""
        self.sensitive = self._separated(controls)
        self.rows: list[DifferenceRow] = []
        self.leaders: list[LeaderRow] = []
        for region, one in self.regions.items():
            self.rows += self._rows(region, one.compared)
            others = self._rows(region, one.leading)
            best = one.order[0]
            self.leaders.append(
                LeaderRow(
                    **view.key(best.composition)._asdict(),
                    region=region,
                    best=label(best, view.head),
                    runner_up=others[0].reference_row if others else "",
                    ahead=others[0].difference if others else None,
                    decided=bool(others) and all(row.verdict == BETTER for row in others),
                )
            )

    def contrasts(
        self, pairs: Sequence[tuple[str, str]], regions: Sequence[str]
    ) -> list[DifferenceRow]:
        """Compare pairs of compositions: the first of each minus the second, its `reference`.

        The family grows by those that it lacks. A pair of which a region lacks a side is left out
        there.
        """
        made = []
        for region in regions:
            one = self.regions[region]
            known = {key.composition: key for key in one.column.compositions}
            asked = [Pair(known[a], known[b], b) for a, b in pairs if {a, b} <= known.keys()]
            if not all(map(one.judged, asked)):
                return self._grown(tuple(pairs)).contrasts(pairs, regions)
            made += self._rows(region, asked)
        return made

    def ranking(self, region: str) -> list[Ranked]:
        """Compare every row with the composition that has the best mean, from the best down.

        They are judged at the level of the family as it stands, so that they agree with all else
        that is said of it; the leader was chosen by its mean, for which a family of several
        regions has room, and one of a single region has not (`with_every_pair`). Empty where no
        composition has two blocks.
        """
        one = self.regions[region]
        rows = self._rows(region, one.ranked)
        return [
            Ranked(each.key, row, one.part(each))
            for each, row in zip(one.ranked, rows, strict=True)
        ]

    def budget(self, reference: str, region: str) -> list[BudgetRow]:
        """Say of the comparisons with a reference what more of each axis would buy in width."""
        one = self.regions[region]
        averaged = self.averaged(region)
        made = []
        for each in one.compared:
            part = one.part(each)
            if each.name != reference or part.why:
                continue
            _, blocks, seeds = one.column.frame([each.key, each.reference])[0].shape
            grown = [more(part, axis, blocks, seeds, averaged) for axis in MORE]
            now, block, episode, place = self.family.half_width([part, *grown]).tolist()
            made.append(
                BudgetRow(
                    **each.key._asdict(),
                    region=region,
                    reference=reference,
                    block=part.block,
                    episode=part.episode,
                    place=part.place,
                    half_width=now,
                    one_more_block=block,
                    more_episodes=episode,
                    more_places=place if part.place > 0 else None,
                )
            )
        return made

    def with_every_pair(self) -> Comparison:
        """Return the comparison to rank by: itself, or of one region with all pairs in its family.

        Without any effect one of seven equal rows was called worse than the leader in .08 to .12
        of 800 simulated studies of one region by the family of a report, in .05 of 1,000 with all
        pairs in it; of six regions, by that of a report, in .01 of 200, in one region.
        """
        (region, *others), pairs = self.regions, self._asked[3]
        names = [key.composition for key in self.regions[region].column.compositions]
        every = tuple(dict.fromkeys((*pairs, *combinations(names, 2))))
        return self if others else self._grown(every)

    def averaged(self, region: str) -> int:
        """Return the number of regions that a region's scores are averaged over."""
        return max(1, len(self.regions) - 1) if region == ALL_REGIONS else 1

    def _grown(self, pairs: tuple[tuple[str, str], ...]) -> Comparison:
        if pairs not in self._larger:
            scores, references, margin, own, controls = self._asked
            self._larger[pairs] = Comparison(
                scores,
                self.view,
                references,
                margin=margin,
                pairs=list(dict.fromkeys((*own, *pairs))),
                controls=controls,
            )
        return self._larger[pairs]

    @cached_property
    def _larger(self) -> dict[tuple[tuple[str, str], ...], Comparison]:
        return {}

    def _separated(self, controls: Sequence[str]) -> bool:
        """Tell whether a positive control is decided to differ from the reference."""
        one = self.regions[ALL_REGIONS if ALL_REGIONS in self.regions else next(iter(self.regions))]
        wanted = [{self.reference, name} for name in controls]
        found = [
            one.part(each)
            for each in one.members.values()
            if {each.key.composition, each.reference.composition} in wanted
        ]
        return bool(
            (np.abs([part.estimate for part in found]) > self.family.half_width(found)).any()
        )

    def _rows(self, region: str, pairs: Sequence[Pair]) -> list[DifferenceRow]:
        """Give intervals, p-values and verdicts to pairs of one region."""
        if not pairs:
            return []
        one = self.regions[region]
        parts = [one.part(each) for each in pairs]
        halves = self.family.half_width(parts)
        around = ends([part.estimate for part in parts], halves)
        adjusted, found = self.family.adjusted(parts), detectable(parts, halves)
        made = []
        for i, (each, part, (low, high)) in enumerate(zip(pairs, parts, around, strict=True)):
            word = verdict(low, high, self.margin, sign=self.view.sign, sensitive=self.sensitive)
            notes = [part.why, part.note]
            if word == UNDECIDED and within(low, high, self.margin):
                against = self.reference or "any reference"
                notes.append(f"{INSENSITIVE} {against}")
            _, blocks, seeds = one.column.frame([each.key, each.reference])[0].shape
            made.append(
                DifferenceRow(
                    **each.key._asdict(),
                    region=region,
                    reference=each.name,
                    reference_row=label(each.reference, self.view.head),
                    difference=part.estimate,
                    low=low,
                    high=high,
                    p_adjusted=None if part.why else float(adjusted[i]),
                    detectable=None if part.why else float(found[i]),
                    compared=self.compared,
                    blocks=blocks,
                    finetune_seeds=seeds,
                    verdict=word,
                    note="; ".join(note for note in notes if note),
                )
            )
        return made


def differences(
    scores: Scores,
    references: Sequence[str] = REFERENCES,
    *,
    margin: float = MARGIN,
    controls: Sequence[str] = CONTROLS,
) -> list[DifferenceRow]:
    """Compare every composition with each reference, in every region and over all.

    The rows of a `Comparison` of every view without pairs of claims.
    """
    return [
        row
        for view in scores.families()
        for row in Comparison(scores, view, references, margin=margin, controls=controls).rows
    ]
