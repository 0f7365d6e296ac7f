"""All statistics of a results table, computed once, and the headline: what they say of one view."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from wherefrom.evidence.differences import (
    BEST_BASELINE,
    CONTROLS,
    MARGIN,
    Comparison,
    label,
)
from wherefrom.evidence.power import POWER
from wherefrom.evidence.records import (
    BudgetRow,
    DeviationRow,
    DifferenceRow,
    LeaderRow,
    Record,
    SensitivityRow,
    SummaryRow,
    VarianceRow,
)
from wherefrom.evidence.scores import (
    ALL_REGIONS,
    INITIAL,
    Key,
    PlaceVariance,
    Scores,
    Units,
    View,
)
from wherefrom.evidence.sensitivity import deviations, sensitivity
from wherefrom.evidence.summary import summary, variance_shares

__all__ = ["Evidence", "Headline", "Row", "gather"]

R = TypeVar("R", bound=Record)


class Row(NamedTuple):
    """A row of a table: kind "composition", "none", "baseline" or "official", name and key."""

    kind: str
    label: str
    key: Key


@dataclass(frozen=True, eq=False)
class Evidence:
    """The statistics of one study."""

    scores: Scores
    summary: list[SummaryRow]
    comparisons: dict[View, Comparison]
    differences: list[DifferenceRow]
    leaders: list[LeaderRow]
    variance: list[VarianceRow]
    sensitivity: list[SensitivityRow]
    deviations: list[DeviationRow]
    #: What `differences` compares with; the best baseline is the last.
    references: tuple[str, ...]
    margin: float
    #: Compositions in the order in which they are shown; others come after, by name.
    order: tuple[str, ...]
    #: How many places each composition has, in words, where they are not all of one size.
    sizes: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def headlines(self) -> dict[View, Headline]:
        """What the evidence says of each view, sorted by view."""
        return {view: Headline(self, view) for view in sorted(self.scores.families())}

    @cached_property
    def compositions(self) -> list[str]:
        """All compositions, in the order in which they are shown."""
        names = {key.composition for key in self.scores.cells if key.composition}
        rank = {name: i for i, name in enumerate(self.order)}
        return sorted(names, key=lambda name: (rank.get(name, len(rank)), name != INITIAL, name))

    @cached_property
    def _rows(self) -> dict[tuple[object, ...], Record]:
        about: list[tuple[Key | View, Any]] = [
            *((row.key, row) for row in (*self.summary, *self.differences, *self.deviations)),
            *((row.key.view, row) for row in self.leaders),
            *((row.view, row) for row in self.sensitivity),
        ]
        return {
            (type(row), key, row.region, getattr(row, "reference", "")): row for key, row in about
        }

    def row(self, kind: type[R], about: Key | View, region: str, reference: str = "") -> R | None:
        """Return the row of a kind about a key or a view in a region, or None."""
        row = self._rows.get((kind, about, region, reference))
        return row if isinstance(row, kind) else None


@dataclass(frozen=True, eq=False)
class Headline:
    """The evidence bound to one view: what one table, its figures and its verdicts are about.

    Where no region is named, it is the one that sums the view up (`region`).

    Examples
    --------
    >>> from wherefrom.evidence.scores import COLUMNS
    >>> rows = [("m", name, b, "t", "Asia", 100, "knn", s, "f1_macro", mean + b * s % 3 * mean / 99)
    ...         for name, mean in {"uniform": 0.6, "none": 0.3}.items()
    ...         for b in range(3) for s in range(4)]
    >>> evidence = gather(pa.table(dict(zip(COLUMNS, map(list, zip(*rows))))))
    >>> headline, = evidence.headlines.values()
    >>> [row.label for row in headline.rows], headline.region
    (['none', 'uniform'], 'Asia')
    >>> row = headline.difference("none", "uniform")
    >>> round(row.difference, 3), row.verdict
    (-0.302, 'worse')
    """

    evidence: Evidence
    view: View

    @cached_property
    def compositions(self) -> list[str]:
        """Its compositions, in the order in which they are shown."""
        own = {key.composition for key in self.evidence.scores.families()[self.view]}
        return [name for name in self.evidence.compositions if name in own]

    @cached_property
    def rows(self) -> list[Row]:
        """Its rows: compositions, trivial baselines, published weights."""
        scores = self.evidence.scores
        rows = [
            Row(INITIAL if name == INITIAL else "composition", name, self.view.key(name))
            for name in self.compositions
        ]
        beside = [
            Row(
                "official" if key.model in scores.official else "baseline",
                label(key, self.view.head),
                key,
            )
            for key in scores.baselines(*self.view[1:])
        ]
        return rows + sorted(beside, key=lambda row: row.kind)

    @cached_property
    def regions(self) -> list[str]:
        """Its regions, the macro-average last."""
        return self.evidence.scores.regions_of(*self.evidence.scores.families()[self.view])

    @property
    def units(self) -> str:
        """Units of its scores; empty where they have none or they are not stated."""
        own = self.evidence.scores.units.get(self.view.task)
        return own.name if own and self.view.in_units else ""

    @property
    def margin(self) -> float:
        """Its margin of equivalence; 0 where its scores are in units and none is stated."""
        return self.evidence.scores.margin(self.view, self.evidence.margin)

    @property
    def best(self) -> str:
        """The word for the best of its means: highest or lowest."""
        return "highest" if self.view.sign > 0 else "lowest"

    def called(self, composition: str) -> str:
        """Call a composition in a table: with its size, where they differ."""
        size = self.evidence.sizes.get(composition)
        return composition if size is None else f"{composition} ({size} places)"

    @property
    def parts(self) -> list[str]:
        """Its regions without the macro-average."""
        return [region for region in self.regions if region != ALL_REGIONS]

    @property
    def region(self) -> str:
        """The region that sums it up: the macro-average, or else the first."""
        return ALL_REGIONS if ALL_REGIONS in self.regions else self.regions[0]

    @property
    def title(self) -> str:
        """Its model, task, head and n."""
        return f"{self.short}, {self.view.head} head, n = {self.view.n}"

    @property
    def short(self) -> str:
        """Its model and task."""
        return f"{self.view.model} on {self.view.task}"

    def mean(self, key: Key, region: str = "") -> SummaryRow | None:
        """Return the summary of a row, or None if the results have none there."""
        return self.evidence.row(SummaryRow, key, region or self.region)

    def means(self, region: str = "") -> dict[str, float]:
        """Return the mean of each composition that has scores in a region."""
        rows = {name: self.mean(self.view.key(name), region) for name in self.compositions}
        return {name: row.mean for name, row in rows.items() if row is not None}

    def difference(
        self, composition: str, reference: str, region: str = ""
    ) -> DifferenceRow | None:
        """Return the comparison of a composition with a reference, or None."""
        key = self.view.key(composition)
        return self.evidence.row(DifferenceRow, key, region or self.region, reference)

    def differences(self, reference: str, region: str = "") -> list[DifferenceRow]:
        """Return the comparisons of all compositions with a reference, as they are shown."""
        rows = [self.difference(name, reference, region) for name in self.compositions]
        return [row for row in rows if row is not None]

    def contrasts(
        self, pairs: Sequence[tuple[str, str]], regions: Sequence[str] = ()
    ) -> list[DifferenceRow]:
        """Compare pairs of compositions, each as every other table and sentence judges it.

        A pair that is neither with a reference nor a claim's makes its family larger.
        """
        where = regions or [self.region]
        return self.evidence.comparisons[self.view].contrasts(pairs, where)

    def detectable(self, reference: str, region: str = "") -> str:
        """Say which differences to a reference would have been found with probability 0.8.

        Words that go on with a sentence, from the composition that is compared best to the one
        that is compared worst; empty where none has an interval.
        """
        rows = self.differences(reference, region)
        found = [row.detectable for row in rows if row.detectable is not None]
        if not found:
            return ""
        ends = list(dict.fromkeys(f"{value:.3f}" for value in (min(found), max(found))))
        least = min(row.blocks for row in rows if row.detectable is not None)
        return (
            f"{least} blocks would have found a difference to {reference} of {' to '.join(ends)} "
            f"with probability {POWER:g}"
        )

    @property
    def covers(self) -> str:
        """What its intervals are over."""
        given = self.evidence.scores.places is None
        return "blocks and episodes" if given else "blocks, episodes and test places"

    @property
    def population(self) -> str:
        """Which test places its verdicts are about, in words that end a sentence."""
        places = self.evidence.scores.places
        return "given these test places" if places is None else f"about {places.population}"

    def budget(self, reference: str, region: str = "") -> list[BudgetRow]:
        """Return what more blocks, episodes and test places would buy in width."""
        return self.evidence.comparisons[self.view].budget(reference, region or self.region)

    def leader(self, region: str = "") -> LeaderRow | None:
        """Return the row with the best mean, or None."""
        return self.evidence.row(LeaderRow, self.view, region or self.region)

    def spread(self, region: str = "") -> SensitivityRow | None:
        """Return how far the scores depend on the composition, or None."""
        return self.evidence.row(SensitivityRow, self.view, region or self.region)

    def deviation(self, composition: str, region: str = "") -> DeviationRow | None:
        """Return a composition minus the mean of all compositions of its model, or None."""
        key = self.view.key(composition)
        return self.evidence.row(DeviationRow, key, region or self.region)

    def beside(self, *same: str) -> list[Headline]:
        """Return the headlines with the same values of some axes, itself among them, sorted."""
        return [
            other
            for view, other in self.evidence.headlines.items()
            if all(getattr(view, axis) == getattr(self.view, axis) for axis in same)
        ]

    def sweep(self, region: str | None = None) -> tuple[str, list[Headline]]:
        """Return a region and its headlines by growing n; none if there is one n alone.

        Parameters
        ----------
        region : str, optional
            By default the one with most values of n.
        """
        by_region: dict[str, list[Headline]] = {}
        for other in self.beside("model", "task", "head", "metric"):
            for name in other.parts:
                by_region.setdefault(name, []).append(other)
        region = region or max(by_region, key=lambda name: len(by_region[name]), default="")
        grown = sorted(by_region.get(region, []), key=lambda other: other.view.n)
        return region, grown if len(grown) > 1 else []


def gather(
    results: pa.Table,
    references: Sequence[str] = ("uniform", "none"),
    *,
    margin: float = MARGIN,
    order: Sequence[str] = (),
    official: Collection[str] = (),
    pairs: Sequence[tuple[str, str]] = (),
    sizes: Mapping[str, str] | None = None,
    units: Mapping[str, Units] | None = None,
    places: PlaceVariance | None = None,
    controls: Sequence[str] = CONTROLS,
    strongest: Mapping[str, tuple[str, str]] | None = None,
) -> Evidence:
    """Compute all statistics of a results table.

    Parameters
    ----------
    results : pyarrow.Table
        Tidy results (`wherefrom.evidence.COLUMNS`).
    references : sequence of str
        Compositions that the others are compared with; the best baseline is added.
    margin : float
        Margin of equivalence.
    order : sequence of str
        Compositions in the order in which they are shown; others come after, by name.
    official : collection of str
        Baselines that are published weights (`wherefrom.evidence.Scores`).
    pairs : sequence of (str, str)
        Compositions that claims compare. Of one view they are in one family with the differences
        to the references and the row with the best mean, in all regions.
    sizes : mapping of str to str, optional
        How many places each composition has, where they are not all of one size.
    units : mapping of str to Units, optional
        By task of numbers, its units and the margin of equivalence of scores in them.
    places : PlaceVariance, optional
        Test places as a sample of a population; None takes them as given.
    controls : sequence of str
        Positive controls (`Comparison`).
    strongest : mapping of str to (str, str), optional
        By task, the baseline and head that models must beat (`Scores`).
    """
    scores = Scores(results, official, units, places, strongest)
    names = (*references, BEST_BASELINE)
    comparisons = {
        view: Comparison(scores, view, names, margin=margin, pairs=pairs, controls=controls)
        for view in scores.families()
    }
    return Evidence(
        scores,
        summary(scores),
        comparisons,
        [row for one in comparisons.values() for row in one.rows],
        [row for one in comparisons.values() for row in one.leaders],
        variance_shares(scores),
        sensitivity(scores),
        deviations(scores),
        names,
        margin,
        tuple(order),
        sizes or {},
    )
