"""What a report knows beside the results: names, places, settings, sources, and what is amiss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wherefrom.errors import unknown
from wherefrom.evidence import INITIAL, MARGIN, Evidence, gather
from wherefrom.evidence.gather import View

__all__ = ["DataSource", "ReportContext", "StandIn", "evidence_of"]

Places = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


class StandIn(NamedTuple):
    """Something used in the place of what the study is about."""

    what: str
    stands_for: str
    why: str


class DataSource(NamedTuple):
    """A source of data, as it must be cited."""

    title: str
    address: str
    licence: str
    citation: str


@dataclass(frozen=True)
class ReportContext:
    """All that a report says and that the results table does not hold.

    Attributes
    ----------
    study, scale : str
        Name and scale of the study.
    model, head, metric, n : str, str, str, int
        The headline: what the first table and the verdict are about.
    task : str or None
        Task of the headline; None takes the only one.
    title, citation : str
        Of the study that is reproduced.
    compositions : mapping of str to str
        Sampler spec of each composition, in the order in which they are shown. Those not named
        here come after, by name.
    references : sequence of str
        Compositions that the others are compared with; the first is that of the figures.
    margin : float
        Margin of equivalence, in units of the metric.
    maps : mapping of str to (lon, lat)
        Places of each composition, float64 degrees, arrays of shape (N,).
    stand_ins, sources : sequence of StandIn, of DataSource
        Plain tuples of the same order do as well.
    settings : mapping of str to mapping
        Sections of hyper-parameters and sizes, e.g. ``{"pre-training": {"batch": 512}}``.
    provenance, versions : mapping of str to str
        Keys of what was computed; versions of the software.
    seconds : float or None
        Wall-clock time of the study.
    command : str
        Reproduces the study.
    problems : sequence of str
        What could not be evaluated, and why.
    sweep_region : str or None
        Region of the scaling curves; None takes the one with most values of n.
    expected : Path or None
        CSV of the published cells (table, row, column, metric, value, std, source).
    counterparts : mapping of str to sequence of str
        Which compositions here a published row name stands for, e.g.
        ``{"World Cities": ["clustered-cities"]}``.
    notice : str
        Shown on top of everything, e.g. that the scale is too small to mean anything.

    Examples
    --------
    >>> context = ReportContext("purohit2025", "laptop", model="satclip-L40", head="logistic")
    >>> context.metric, context.n
    ('f1_macro', 100)
    """

    study: str
    scale: str
    model: str
    head: str
    metric: str = "f1_macro"
    n: int = 100
    task: str | None = None
    title: str = ""
    citation: str = ""
    compositions: Mapping[str, str] = field(default_factory=dict)
    references: Sequence[str] = ("uniform", INITIAL)
    margin: float = MARGIN
    maps: Mapping[str, Places] = field(default_factory=dict)
    stand_ins: Sequence[tuple[str, str, str]] = ()
    sources: Sequence[tuple[str, str, str, str]] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    command: str = ""
    problems: Sequence[str] = ()
    sweep_region: str | None = None
    expected: Path | None = None
    counterparts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notice: str = ""

    def headline(self, evidence: Evidence) -> View:
        """Return the view of the headline.

        Raises
        ------
        WherefromError
            If the results lack it; the message names the nearest value that they have.
        """
        views = evidence.views()
        tasks = list(dict.fromkeys(view[1] for view in views))
        asked = (self.model, self.task or tasks[0], self.n, self.head, self.metric)
        left = views
        for position, kind in enumerate(("model", "task", "n", "head", "metric")):
            known = list(dict.fromkeys(view[position] for view in left))
            if asked[position] not in known:
                raise unknown(f"{kind} in the results", asked[position], map(str, known))
            left = [view for view in left if view[position] == asked[position]]
        return asked

    def order(self, names: Sequence[str]) -> list[str]:
        """Sort compositions as the study file has them; others come after, as they are."""
        rank = {name: i for i, name in enumerate(self.compositions)}
        return sorted(names, key=lambda name: rank.get(name, len(rank)))


def evidence_of(results: pa.Table, context: ReportContext) -> Evidence:
    """Compute the evidence with the references and the margin of a context."""
    return gather(results, context.references, margin=context.margin)
