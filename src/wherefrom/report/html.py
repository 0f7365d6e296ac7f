"""One self-contained HTML page: no network, no external fonts, scripts or pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from wherefrom.evidence import BEST_BASELINE, Evidence
from wherefrom.evidence.gather import View
from wherefrom.report.context import DataSource, ReportContext, StandIn
from wherefrom.report.published import published
from wherefrom.report.style import METRICS, metric_title
from wherefrom.report.tables import RUNS, difference_grid, score_grid
from wherefrom.report.words import statements

__all__ = ["Picture", "page"]


class Picture(NamedTuple):
    """A figure as PNG, with what is written beside it."""

    name: str
    title: str
    caption: str
    png: bytes

    @property
    def data(self) -> str:
        """The picture as a data address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def page(evidence: Evidence, context: ReportContext, pictures: Sequence[Picture]) -> str:
    """Write the page.

    Parameters
    ----------
    evidence : Evidence
    context : ReportContext
    pictures : sequence of Picture

    Returns
    -------
    str
        HTML. Tables of every model, head and metric are in it; without scripts the headline's
        are shown.
    """
    environment = Environment(
        loader=PackageLoader("wherefrom.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    headline = context.headline(evidence)
    views = [view for view in evidence.views() if view[1:3] == headline[1:3]]
    views.sort(key=lambda view: view != headline)
    return environment.get_template("report.html.j2").render(
        context=context,
        headline=headline,
        metric=metric_title(headline[4]),
        statements=statements(evidence, context),
        views=[_view(evidence, context, view) for view in views],
        choices=_choices(views),
        references=evidence.references,
        pictures=pictures,
        metrics=[METRICS[m] for m in METRICS if any(view[4] == m for view in evidence.views())],
        design=_design(evidence, headline),
        runs=RUNS,
        margin=evidence.margin,
        best_baseline=BEST_BASELINE,
        published=published(evidence, context),
        stand_ins=[StandIn(*row) for row in context.stand_ins],
        sources=[DataSource(*row) for row in context.sources],
        duration=_duration(context.seconds),
    )


def _view(evidence: Evidence, context: ReportContext, view: View) -> dict[str, Any]:
    grids = {
        reference: difference_grid(evidence, context, view, reference)
        for reference in evidence.references
    }
    return {
        "model": view[0],
        "head": view[3],
        "metric": view[4],
        "scores": score_grid(evidence, context, view),
        "differences": {name: grid for name, grid in grids.items() if grid is not None},
    }


def _choices(views: list[View]) -> list[tuple[str, list[tuple[str, str]]]]:
    models, heads, metrics = (
        list(dict.fromkeys(values))
        for values in ([v[0] for v in views], [v[3] for v in views], [v[4] for v in views])
    )
    return [
        ("model", [(name, name) for name in models]),
        ("head", [(name, name) for name in heads]),
        ("metric", [(name, metric_title(name)) for name in metrics]),
    ]


def _design(evidence: Evidence, view: View) -> list[tuple[str, str]]:
    """List the axes of the results, from the table itself."""
    keys = list(evidence.scores.blocks)

    def distinct(values: Any) -> str:
        return ", ".join(map(str, dict.fromkeys(v for v in values if v != "")))

    return [
        ("models", distinct(k.model for k in sorted(keys) if k.composition)),
        ("compositions", distinct(k.composition for k in sorted(keys))),
        ("baselines", distinct(k.model for k in sorted(keys) if not k.composition)),
        ("tasks", distinct(k.task for k in sorted(keys))),
        ("regions", ", ".join(evidence.scores.regions[view[1]])),
        ("labels n", distinct(sorted({k.n for k in keys}))),
        ("heads", distinct(k.head for k in sorted(keys))),
        ("metrics", distinct(metric_title(k.metric) for k in sorted(keys))),
    ]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
