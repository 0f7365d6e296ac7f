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
    headlines : sequence of (model, task, head, metric)
        What tables, figures and verdicts are about; the first comes first. Plain tuples do; a
        task of None is the first one of that model in the results.
    n : int
        Labelled places of the headlines.
    claim : tuple of (model, model, source) or None
        Two models of the headlines, of which the source says that the first is more sensitive to
        the composition than the second.
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
    left_out : mapping of str to str
        What was not run for want of data, and why.
    sweep_region : str or None
        Region of the scaling curves; None takes the one with most values of n.
    expected : Path or None
        CSV of the published cells (table, row, column, metric, value, std, source).
    counterparts : mapping of str to sequence of str
        Which compositions here a published row name stands for, e.g.
        ``{"World Cities": ["clustered-cities"]}``.
    task_counterparts : mapping of str to str
        Which task here is the nearest to one that a published table is about and that was not
        run, e.g. ``{"CropHarvest": "cropland"}``; it is called another task beside the numbers.
    notice : str
        Shown on top of everything, e.g. that the scale is too small to mean anything.

    Examples
    --------
    >>> headline = ("satclip-L40", "ecoregions-biome", "logistic", "f1_macro")
    >>> ReportContext("purohit2025", "laptop", [headline]).n
    100
    """

    study: str
    scale: str
    headlines: Sequence[tuple[str, str | None, str, str]]
    n: int = 100
    claim: tuple[str, str, str] | None = None
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
    left_out: Mapping[str, str] = field(default_factory=dict)
    sweep_region: str | None = None
    expected: Path | None = None
    counterparts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    task_counterparts: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""

    def views(self, evidence: Evidence) -> list[View]:
        """Return the views of the headlines.

        Raises
        ------
        WherefromError
            If the results lack one; the message names the nearest value that they have.
        """
        return [self._view(evidence, *headline) for headline in self.headlines]

    def _view(
        self, evidence: Evidence, model: str, task: str | None, head: str, metric: str
    ) -> View:
        left = evidence.views()
        tasks = [view[1] for view in left if view[0] == model]
        asked = (model, task or (tasks[0] if tasks else ""), self.n, head, metric)
        for position, kind in enumerate(("model", "task", "n", "head", "metric")):
            known = list(dict.fromkeys(view[position] for view in left))
            if asked[position] not in known:
                raise unknown(f"{kind} in the results", asked[position], map(str, known))
            left = [view for view in left if view[position] == asked[position]]
        return asked

    def name(self, evidence: Evidence, view: View) -> str:
        """Name a headline for the reader and for files: by its model, and its task if need be."""
        own = [other for other in self.views(evidence) if other[0] == view[0]]
        return view[0] if len(own) == 1 else "-".join(map(str, (view[0], view[1], *view[3:])))

    def order(self, names: Sequence[str]) -> list[str]:
        """Sort compositions as the study file has them; others come after, as they are."""
        rank = {name: i for i, name in enumerate(self.compositions)}
        return sorted(names, key=lambda name: rank.get(name, len(rank)))


def evidence_of(results: pa.Table, context: ReportContext) -> Evidence:
    """Compute the evidence with the references and the margin of a context."""
    return gather(results, context.references, margin=context.margin)
