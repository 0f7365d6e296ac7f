"""Writing a report: its tables, figures, and one self-contained HTML page.

The page needs no network: no external fonts, scripts or pictures.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from wherefrom import shown
from wherefrom.evidence import BEST_BASELINE, Evidence, Headline, View
from wherefrom.evidence.nearness import Nearness
from wherefrom.files import atomic
from wherefrom.report.budget import budget_grid
from wherefrom.report.claims import claims_table, tallied
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.correlation import (
    audit_grid,
    correlation_grid,
    correlation_statement,
)
from wherefrom.report.figures import figures
from wherefrom.report.published import claimed, published
from wherefrom.report.sensitivity import (
    agreement,
    beside_grid,
    comparison,
    sensitivity_grid,
    sensitivity_of,
    told,
    two_models,
)
from wherefrom.report.style import metric_title
from wherefrom.report.tables import RUNS, Grid, difference_grid, score_grid
from wherefrom.report.transfer import transfer_grid, transfer_statement
from wherefrom.report.where import (
    LEGEND,
    curve_name,
    distance_grid,
    effect_grid,
    law_grid,
    said,
    title,
)
from wherefrom.report.words import gaps, statements
from wherefrom.report.written import write_tables
from wherefrom.train.scores import METRICS

__all__ = ["TEMPLATES", "Picture", "page", "sentences", "write"]

DPI = 150
TEMPLATES = Environment(
    loader=PackageLoader("wherefrom.report"),
    autoescape=True,
    finalize=shown.page,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


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


def write(evidence: Evidence, context: ReportContext, out: Path) -> Path:
    """Write ``report.html``, ``tables/`` and ``figures/`` into a folder, made if absent.

    Each file is whole or not there.

    Returns
    -------
    Path
        The page. It holds its figures and needs no network.

    Raises
    ------
    WherefromError
        If the results lack the headline, or the disk is full.
    """
    write_tables(evidence, context, out / "tables", sentences(evidence, context))
    pictures = []
    with shown.figures():
        for name, figure, title, caption, view in figures(evidence, context):
            file = out / "figures" / f"{shown.file_name(name)}.png"
            with atomic(file) as tmp:
                figure.savefig(tmp, dpi=DPI, facecolor="white", metadata={"Software": None})
            pictures.append(Picture(name, title, caption, file.read_bytes(), view))
    html = page(evidence, context, pictures)
    target = out / "report.html"
    with atomic(target) as tmp:
        tmp.write_text(html, encoding="utf-8")
    return target


def sentences(evidence: Evidence, context: ReportContext) -> list[tuple[str, list[Statement]]]:
    """Return the parts of the verdict: a title and its statements, none of them empty.

    One part for each headline, then the sensitivity of all, the published claims, and what was left
    out. Two models are compared as a claim says, or else the first two.
    """
    headlines = context.shown(evidence)
    spreads = [spread for one in headlines if (spread := sensitivity_of(one)) is not None]
    pair = two_models(headlines)
    if pair and not any(claim.test == "sensitivity" for claim in context.claims):
        spreads += comparison(*pair)
    spreads += agreement(headlines, [frozenset(names) for names in told(headlines, context)])
    parts = [
        *((one.short, statements(one, context.sweep_region, context.untuned)) for one in headlines),
        ("Sensitivity to the composition", spreads),
        ("Pre-trained here, tested there", _said(transfer_statement, headlines, context)),
        ("Audit numbers and scores", _said(correlation_statement, headlines, context)),
        ("Published claims", [s for c in context.claims for s in claimed(c, headlines, context)]),
        ("Left out or not evaluated", gaps(context)),
    ]
    return [(title, made) for title, made in parts if made]


def _said(
    say: Callable[[Headline, ReportContext], Statement | None],
    headlines: Sequence[Headline],
    context: ReportContext,
) -> list[Statement]:
    return [made for one in headlines if (made := say(one, context)) is not None]


def page(evidence: Evidence, context: ReportContext, pictures: Sequence[Picture]) -> str:
    """Write the page as HTML.

    Tables of every model, task, head and metric are in it; without scripts those of the headlines
    are shown.
    """
    headlines = context.shown(evidence)
    claims = claims_table(headlines, context)
    return TEMPLATES.get_template("report.html.j2").render(
        context=context,
        claims=claims,
        tallied=tallied(claims),
        audits=audit_grid(headlines, context),
        verdict=sentences(evidence, context),
        parts=_parts(evidence, context, pictures),
        sensitivity=[
            grid
            for grid in (
                beside_grid(context.shown(evidence)),
                *(sensitivity_grid(one) for one in context.shown(evidence)),
            )
            if grid is not None
        ],
        where=[_near(one) for one in context.where],
        distance_legend=LEGEND,
        references=evidence.references,
        shared={picture.name: picture for picture in pictures if picture.view is None},
        metrics=[
            (one.title, one.about)
            for name, one in METRICS.items()
            if any(view.metric == name for view in evidence.headlines)
        ],
        design=_design(evidence),
        runs=RUNS,
        margin=_margins(evidence),
        best_baseline=BEST_BASELINE,
        published=published(evidence, context),
        stand_ins=context.stand_ins,
        sources=context.sources,
        duration=_duration(context.seconds),
    )


def _parts(
    evidence: Evidence, context: ReportContext, pictures: Sequence[Picture]
) -> list[dict[str, Any]]:
    """Divide all views and pictures among the headlines: each view is in one part."""
    shown = [headline.view for headline in context.shown(evidence)]
    parts = []
    for i, own in enumerate(shown):
        tasks = [other.task for other in shown[:i]]
        models = {other.model for other in shown if other.task == own.task}
        # The first headline of a task has the models of that task that have no headline.
        views = [
            view
            for view in evidence.headlines
            if (view.task, view.n) == (own.task, own.n)
            and (view.model == own.model or (own.task not in tasks and view.model not in models))
        ]
        # A headline's other tasks come with it, where no headline is about them.
        others = {other.task for other in shown}
        views += [
            view
            for view in evidence.headlines
            if (view.model, view.n) == (own.model, own.n) and view.task not in others
        ]
        views.sort(key=lambda view: view != own)
        parts.append(
            {
                "id": f"part-{i + 1}",
                "title": evidence.headlines[own].short,
                "views": [_view(evidence.headlines[view]) for view in views],
                "choices": _choices(views),
                "budget": budget_grid(evidence.headlines[own], context),
                "beside": _beside(evidence.headlines[own], context),
                "pictures": [picture for picture in pictures if picture.view == own],
            }
        )
    return parts


def _near(one: Nearness) -> dict[str, Any]:
    return {
        "title": title(one),
        "statements": said(one),
        "grids": [distance_grid(one), effect_grid(one), law_grid(one)],
        "picture": curve_name(one),
    }


def _margins(evidence: Evidence) -> str:
    """Write the margin of all scores, and those of the scores that are in units."""
    own = {
        f"{metric_title(view.metric)} on {view.task}": _margin(one) or "none"
        for view, one in evidence.headlines.items()
        if view.in_units
    }
    said = [f"{what}: {margin}" for what, margin in own.items()]
    return f"{evidence.margin:g}" + (f" ({'; '.join(said)})" if said else "")


def _view(headline: Headline) -> dict[str, Any]:
    references = headline.evidence.references
    grids = {name: grid for name in references if (grid := difference_grid(headline, name))}
    return headline.view._asdict() | {
        "scores": score_grid(headline),
        "differences": grids,
        "margin": _margin(headline),
    }


def _beside(headline: Headline, context: ReportContext) -> list[Grid]:
    """Make the tables of a headline alone: of regions against regions, and of audit numbers."""
    made = (transfer_grid(headline, context), correlation_grid(headline, context))
    return [grid for grid in made if grid is not None]


def _margin(headline: Headline) -> str:
    """Write the margin of equivalence of a headline, or nothing where none is stated."""
    return f"{headline.margin:g} {headline.units}".strip() if headline.margin else ""


def _choices(views: Sequence[View]) -> list[tuple[str, list[tuple[str, str]]]]:
    distinct = {axis: dict.fromkeys(getattr(view, axis) for view in views) for axis in View._fields}
    return [
        (axis, [(name, metric_title(name)) for name in distinct[axis]])
        for axis in ("model", "task", "head", "metric")
    ]


def _design(evidence: Evidence) -> list[tuple[str, str]]:
    """List the axes of the results, from the table itself."""
    keys = sorted(evidence.scores.cells)
    others = evidence.scores.official

    def distinct(values: Any) -> str:
        return ", ".join(map(str, dict.fromkeys(v for v in values if v != "")))

    rows = [
        ("models", distinct(k.model for k in keys if k.composition)),
        ("compositions", distinct(k.composition for k in keys)),
        (
            "baselines",
            distinct(k.model for k in keys if not k.composition and k.model not in others),
        ),
        ("published weights", distinct(k.model for k in keys if k.model in others)),
        ("tasks", distinct(k.task for k in keys)),
        ("regions", distinct(r for names in evidence.scores.regions.values() for r in names)),
        ("labels n", distinct(sorted({k.n for k in keys}))),
        ("heads", distinct(k.head for k in keys)),
        ("metrics", distinct(metric_title(k.metric) for k in keys)),
    ]
    return [(what, names) for what, names in rows if names]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
