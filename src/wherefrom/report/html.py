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
from wherefrom.report.sensitivity import sensitivity_grid
from wherefrom.report.sentences import sentences
from wherefrom.report.style import METRICS, metric_title
from wherefrom.report.tables import RUNS, difference_grid, score_grid

__all__ = ["Picture", "page"]


class Picture(NamedTuple):
    """A figure as PNG, with what is written beside it."""

    name: str
    title: str
    caption: str
    png: bytes
    view: View | None = None

    @property
    def width(self) -> int:
        """Width on the page, in pixels: the same size of letters for all figures."""
        return round(int.from_bytes(self.png[16:20]) * 0.6)

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
        HTML. Tables of every model, task, head and metric are in it; without scripts those of
        the headlines are shown.
    """
    environment = Environment(
        loader=PackageLoader("wherefrom.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        context=context,
        verdict=sentences(evidence, context),
        parts=_parts(evidence, context, pictures),
        sensitivity=[
            grid
            for view in context.views(evidence)
            if (grid := sensitivity_grid(evidence, view)) is not None
        ],
        references=evidence.references,
        shared={picture.name: picture for picture in pictures if picture.view is None},
        metrics=[METRICS[m] for m in METRICS if any(view[4] == m for view in evidence.views())],
        design=_design(evidence),
        runs=RUNS,
        margin=evidence.margin,
        best_baseline=BEST_BASELINE,
        published=published(evidence, context),
        stand_ins=[StandIn(*row) for row in context.stand_ins],
        sources=[DataSource(*row) for row in context.sources],
        duration=_duration(context.seconds),
    )


def _parts(
    evidence: Evidence, context: ReportContext, pictures: Sequence[Picture]
) -> list[dict[str, Any]]:
    """Divide all views and pictures among the headlines: each view is in one part."""
    headlines = context.views(evidence)
    parts = []
    for i, headline in enumerate(headlines):
        tasks = [other[1] for other in headlines[:i]]
        models = {other[0] for other in headlines if other[1] == headline[1]}
        # The first headline of a task has the models of that task that have no headline.
        views = [
            view
            for view in evidence.views()
            if view[1:3] == headline[1:3]
            and (view[0] == headline[0] or (headline[1] not in tasks and view[0] not in models))
        ]
        # A headline's other tasks come with it, where no headline is about them.
        others = {other[1] for other in headlines}
        views += [
            view
            for view in evidence.views()
            if view[0] == headline[0] and view[1] not in others and view[2] == headline[2]
        ]
        views.sort(key=lambda view: view != headline)
        parts.append(
            {
                "id": f"part-{i + 1}",
                "title": f"{headline[0]} on {headline[1]}",
                "views": [_view(evidence, context, view) for view in views],
                "choices": _choices(views),
                "pictures": [picture for picture in pictures if picture.view == headline],
            }
        )
    return parts


def _view(evidence: Evidence, context: ReportContext, view: View) -> dict[str, Any]:
    grids = {
        reference: difference_grid(evidence, context, view, reference)
        for reference in evidence.references
    }
    return {
        "model": view[0],
        "task": view[1],
        "head": view[3],
        "metric": view[4],
        "scores": score_grid(evidence, context, view),
        "differences": {name: grid for name, grid in grids.items() if grid is not None},
    }


def _choices(views: list[View]) -> list[tuple[str, list[tuple[str, str]]]]:
    models, tasks, _, heads, metrics = (
        list(dict.fromkeys(map(str, values))) for values in zip(*views, strict=True)
    )
    return [
        ("model", [(name, name) for name in models]),
        ("task", [(name, name) for name in tasks]),
        ("head", [(name, name) for name in heads]),
        ("metric", [(name, metric_title(name)) for name in metrics]),
    ]


def _design(evidence: Evidence) -> list[tuple[str, str]]:
    """List the axes of the results, from the table itself."""
    keys = list(evidence.scores.blocks)

    def distinct(values: Any) -> str:
        return ", ".join(map(str, dict.fromkeys(v for v in values if v != "")))

    return [
        ("models", distinct(k.model for k in sorted(keys) if k.composition)),
        ("compositions", distinct(k.composition for k in sorted(keys))),
        ("baselines", distinct(k.model for k in sorted(keys) if not k.composition)),
        ("tasks", distinct(k.task for k in sorted(keys))),
        ("regions", distinct(r for names in evidence.scores.regions.values() for r in names)),
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
