"""What a report knows beside the results: names, places, settings, claims, and what is amiss."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wherefrom.errors import WherefromError, unknown
from wherefrom.evidence import (
    BEST_BASELINE,
    BETTER,
    CONTROLS,
    INITIAL,
    MARGIN,
    DifferenceRow,
    Evidence,
    Headline,
    PlaceVariance,
    Units,
    View,
    gather,
)
from wherefrom.evidence.verdict import ALPHA
from wherefrom.report.rows import Link

if TYPE_CHECKING:
    from wherefrom.evidence.exchange import Exchange
    from wherefrom.evidence.nearness import Nearness
    from wherefrom.study.published import Claim
    from wherefrom.study.spent import Costs

__all__ = [
    "ABOVE_UNTUNED", "Audited", "DataSource", "Places", "ReportContext", "StandIn", "Statement",
    "caveat", "evidence_of", "is_untuned",
]  # fmt: skip

#: The verdict of a composition that is certainly above a baseline which nobody tuned.
ABOVE_UNTUNED = "above the untuned baseline"

Places = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


class Statement(NamedTuple):
    """One sentence or two; `kind` is "decided", "partly", "undecided" or "limit".

    A terminal shows the `brief` form, where there is one. `links` lead from the numbers of the text
    to the rows of the files that they are in.
    """

    kind: str
    text: str
    brief: str = ""
    links: tuple[Link, ...] = ()


class StandIn(NamedTuple):
    """Something used in the place of what the study is about."""

    what: str
    stands_for: str
    why: str


class Audited(NamedTuple):
    """An audit number of every composition that has it: by task, "" for all, and composition."""

    title: str
    values: Mapping[str, Mapping[str, float]]

    def of(self, task: str) -> Mapping[str, float]:
        """Return the numbers beside a task."""
        return self.values.get(task, self.values.get("", {}))


class DataSource(NamedTuple):
    """A source of data, as it must be cited."""

    title: str
    address: str
    licence: str
    citation: str


@dataclass(frozen=True)
class ReportContext:
    """All that a report says and that the results table does not hold.

    Examples
    --------
    >>> ReportContext("mine", "laptop", [("gfm", "biomes", "logistic", "f1_macro")]).n
    100
    """

    study: str
    scale: str
    #: Model, task, head and metric of what tables, figures and verdicts are about; the first comes
    #: first. A task of None is the first one of that model in the results.
    headlines: Sequence[tuple[str, str | None, str, str]]
    #: Labelled places of the headlines.
    n: int = 100
    #: What was published, to be held against the results.
    claims: Sequence[Claim] = ()
    #: Title and citation of the study that is reproduced.
    title: str = ""
    citation: str = ""
    #: Sampler spec of each composition, in the order in which they are shown; others come after, by
    #: name.
    compositions: Mapping[str, str] = field(default_factory=dict)
    #: How many places each has, in words, where they are not all of one size.
    sizes: Mapping[str, str] = field(default_factory=dict)
    #: How the places of each are chosen, in plain words that follow "places", where a sampler says.
    in_words: Mapping[str, str] = field(default_factory=dict)
    #: Rows of published weights.
    official: Sequence[str] = ()
    #: Baselines without features, too far below the others to share an axis of a figure with them.
    blind: Sequence[str] = ()
    #: Rows with a head whose options nobody tuned, as (task, row, head): no composition is called
    #: better than a baseline among them.
    untuned: Collection[tuple[str, str, str]] = ()
    #: Compositions that the others are compared with; the first is that of the figures.
    references: Sequence[str] = ("uniform", INITIAL)
    #: By task, the baseline that scored best on the tuning places, and its head.
    strongest: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    #: Positive controls: unless one is told from the first reference, none is called equivalent.
    controls: Sequence[str] = CONTROLS
    #: Test places as a sample of a population; None takes them as given.
    test_places: PlaceVariance | None = None
    #: Margin of equivalence of scores without units.
    margin: float = MARGIN
    #: By task of numbers, its units and the margin of equivalence of scores in them.
    units: Mapping[str, Units] = field(default_factory=dict)
    #: Of each composition that is of one label of a layer, the layer and the label; by task the
    #: layer whose labels its regions are.
    origins: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    regions_by: Mapping[str, str] = field(default_factory=dict)
    #: Audit numbers of the compositions, by name.
    audits: Mapping[str, Audited] = field(default_factory=dict)
    #: Compositions over which these are held against scores; none named: all that have them.
    correlated: Sequence[str] = ()
    #: Of headlines, compositions of several sizes beside the reference.
    exchange: Mapping[View, Exchange] = field(default_factory=dict)
    #: Longitude and latitude of the places of each composition, float64 degrees of shape (N,).
    maps: Mapping[str, Places] = field(default_factory=dict)
    #: Of each headline, how near its pre-training places lie to its test places.
    where: Sequence[Nearness] = ()
    stand_ins: Sequence[StandIn] = ()
    sources: Sequence[DataSource] = ()
    #: Sections of hyper-parameters and sizes, e.g. ``{"pre-training": {"batch": 512}}``.
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    #: Keys of what was computed; versions of the software.
    provenance: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    #: What more of a study costs, by model, task and head of the headlines.
    costs: Mapping[tuple[str, str, str], Costs] = field(default_factory=dict)
    #: Wall-clock time of the study.
    seconds: float | None = None
    #: Reproduces the study.
    command: str = ""
    #: What could not be evaluated, and why; what was not run for want of data, and why.
    problems: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    #: What a run that was stopped has not computed.
    unfinished: Sequence[str] = ()
    #: By task and region, how many classes the test places have, and the entropy of their shares
    #: (natural logarithm).
    classes: Mapping[str, Mapping[str, tuple[int, float]]] = field(default_factory=dict)
    #: Region of the scaling curves; None takes the one with most values of n.
    sweep_region: str | None = None
    #: CSV of the published cells (table, row, column, metric, value, std, source).
    expected: Path | None = None
    #: Which compositions here a published row name stands for, e.g. ``{"Cities": ["clustered"]}``.
    rows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Which task of the results a published table is about, and which is the nearest to it where
    #: that one was not run; it is called another task beside the numbers.
    tables: Mapping[str, str] = field(default_factory=dict)
    nearest: Mapping[str, str] = field(default_factory=dict)
    #: Which audit number a published table is about.
    audited: Mapping[str, str] = field(default_factory=dict)
    #: Shown on top of everything, e.g. that the scale is too small to mean anything.
    notice: str = ""

    def shown(self, evidence: Evidence) -> list[Headline]:
        """Return what the evidence says of the headlines.

        Raises
        ------
        WherefromError
            If the results lack one; the message names the nearest value that they have.
        """
        return [evidence.headlines[self._view(evidence, *asked)] for asked in self.headlines]

    def put_to(self, models: Sequence[str]) -> int:
        """Return the number of headlines that a claim about models, or all, is put to."""
        return max(1, sum(not models or model in models for model, *_ in self.headlines))

    def level(self, models: Sequence[str]) -> str:
        """Say which p decides a claim that is put to several headlines."""
        tests = self.put_to(models)
        return "" if tests == 1 else f" ({ALPHA / tests:.2g} decides, with {tests} headlines)"

    def _view(
        self, evidence: Evidence, model: str, task: str | None, head: str, metric: str
    ) -> View:
        left = list(evidence.headlines)
        tasks = [view.task for view in left if view.model == model]
        asked = View(model, task or (tasks[0] if tasks else ""), self.n, head, metric)
        for position, axis in enumerate(View._fields):
            known = list(dict.fromkeys(view[position] for view in left))
            if asked[position] not in known:
                if axis == "n":
                    there = ", ".join(map(str, known))
                    raise WherefromError(
                        f"n = {self.n}: {asked.task} has results of n = {there} alone: no region "
                        "has as many labelled places; choose a smaller n, or label more"
                    )
                raise unknown(f"{axis} in the results", asked[position], map(str, known))
            left = [view for view in left if view[position] == asked[position]]
        return asked


def evidence_of(results: pa.Table, context: ReportContext) -> Evidence:
    """Compute the evidence with the references, claims, margin and order of a context.

    Against an untuned baseline the verdict is `ABOVE_UNTUNED` where it would be "better".
    """
    evidence = gather(
        results,
        context.references,
        margin=context.margin,
        order=tuple(context.compositions),
        official=context.official,
        pairs=list(dict.fromkeys(pair for claim in context.claims for pair in claim.pairs)),
        sizes=context.sizes,
        units=context.units,
        places=context.test_places,
        controls=context.controls,
        strongest=context.strongest,
    )
    return replace(
        evidence, differences=[_worded(row, evidence, context) for row in evidence.differences]
    )


def is_untuned(headline: Headline, label: str, untuned: Collection[tuple[str, str, str]]) -> bool:
    """Tell whether a row of a headline, by its label, is a baseline that nobody tuned."""
    return any(
        kind == "baseline" and name == label and (key.task, key.model, key.head) in untuned
        for kind, name, key in headline.rows
    )


def caveat(row: DifferenceRow) -> str:
    """Return the caveat of a comparison; a verdict worded here has none."""
    return "" if row.verdict == ABOVE_UNTUNED else row.caveat


def _worded(row: DifferenceRow, evidence: Evidence, context: ReportContext) -> DifferenceRow:
    if row.verdict != BETTER or row.reference != BEST_BASELINE:
        return row
    headline = evidence.headlines[row.key.view]
    untuned = is_untuned(headline, row.reference_row, context.untuned)
    return replace(row, verdict=ABOVE_UNTUNED) if untuned else row
