"""All statistics of a results table, computed once and looked up by what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from wherefrom.evidence.differences import BEST_BASELINE, MARGIN, differences, label, leaders
from wherefrom.evidence.records import (
    DeviationRow,
    DifferenceRow,
    LeaderRow,
    SensitivityRow,
    SummaryRow,
    VarianceRow,
)
from wherefrom.evidence.scores import ALL_REGIONS, Key, Scores
from wherefrom.evidence.sensitivity import deviations, sensitivity
from wherefrom.evidence.summary import INITIAL, summary
from wherefrom.evidence.variance import variance_shares

__all__ = ["Evidence", "gather"]

View = tuple[str, str, int, str, str]


@dataclass(frozen=True)
class Evidence:
    """The statistics of one study.

    A *view* is (model, task, n, head, metric): what one table shows.
    """

    scores: Scores
    summary: list[SummaryRow]
    differences: list[DifferenceRow]
    leaders: list[LeaderRow]
    variance: list[VarianceRow]
    sensitivity: list[SensitivityRow]
    deviations: list[DeviationRow]
    references: tuple[str, ...]
    margin: float

    @cached_property
    def _means(self) -> dict[tuple[Key, str], SummaryRow]:
        return {(row.key, row.region): row for row in self.summary}

    @cached_property
    def _pairs(self) -> dict[tuple[Key, str, str], DifferenceRow]:
        return {(row.key, row.reference, row.region): row for row in self.differences}

    @cached_property
    def _leaders(self) -> dict[tuple[View, str], LeaderRow]:
        return {((r.model, *r[2:6]), r.region): r for r in self.leaders}

    @cached_property
    def _sensitivity(self) -> dict[tuple[View, str], SensitivityRow]:
        return {(row[:5], row.region): row for row in self.sensitivity}

    @cached_property
    def _deviations(self) -> dict[tuple[Key, str], DeviationRow]:
        return {(row.key, row.region): row for row in self.deviations}

    @cached_property
    def _regions(self) -> dict[View, list[str]]:
        regions: dict[View, list[str]] = {}
        for view, region in self._leaders:
            regions.setdefault(view, []).append(region)
        return regions

    @cached_property
    def _families(self) -> dict[View, list[Key]]:
        return self.scores.families()

    def views(self) -> list[View]:
        """Return all views, sorted."""
        return sorted(self._families)

    def compositions(self, view: View) -> list[str]:
        """Return the compositions of a view: `none` first, the others by name."""
        return sorted(
            {key.composition for key in self._families[view]}, key=lambda c: (c != INITIAL, c)
        )

    def baselines(self, view: View) -> list[Key]:
        """Return the baselines shown beside a view."""
        return self.scores.baselines(*view[1:])

    def regions(self, view: View) -> list[str]:
        """Return the regions of a view, the macro-average last."""
        return self._regions[view]

    def mean(self, key: Key, region: str = ALL_REGIONS) -> SummaryRow | None:
        """Return the summary of a key in a region, or None if the results have none."""
        return self._means.get((key, region))

    def difference(
        self, view: View, composition: str, reference: str, region: str = ALL_REGIONS
    ) -> DifferenceRow | None:
        """Return the comparison of a composition with a reference, or None."""
        return self._pairs.get((key_of_view(view, composition), reference, region))

    def leader(self, view: View, region: str = ALL_REGIONS) -> LeaderRow | None:
        """Return the row with the highest mean in a region, or None."""
        return self._leaders.get((view, region))

    def spread(self, view: View, region: str = ALL_REGIONS) -> SensitivityRow | None:
        """Return how far a view's scores depend on the composition, or None."""
        return self._sensitivity.get((view, region))

    def deviation(
        self, view: View, composition: str, region: str = ALL_REGIONS
    ) -> DeviationRow | None:
        """Return a composition minus the mean of all compositions of its model, or None."""
        return self._deviations.get((key_of_view(view, composition), region))

    def label(self, key: Key, view: View) -> str:
        """Name the row of a key in a table of a view."""
        return label(key, view[3])


def gather(
    results: pa.Table,
    references: Sequence[str] = ("uniform", "none"),
    *,
    margin: float = MARGIN,
    level: float = 0.95,
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
    level : float
        Level of the intervals.

    Returns
    -------
    Evidence
    """
    scores = Scores(results)
    names = (*references, BEST_BASELINE)
    return Evidence(
        scores,
        summary(scores, level=level),
        differences(scores, names, margin=margin, level=level),
        leaders(scores, margin=margin, level=level),
        variance_shares(scores),
        sensitivity(scores, level=level),
        deviations(scores, level=level),
        names,
        margin,
    )


def key_of_view(view: View, composition: str) -> Key:
    """Return the key of a composition in a view."""
    return Key(view[0], composition, *view[1:])
