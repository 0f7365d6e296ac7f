"""The parts of a page, as its template takes them: model by model, then what they rest on."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from wherefrom.evidence import Evidence, Headline, View
from wherefrom.evidence.nearness import Nearness
from wherefrom.report.budget import budget_grid
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.convergence import convergence_grid, convergence_statement
from wherefrom.report.correlation import correlation_grid, correlation_statement
from wherefrom.report.exchange import exchange_grid, exchange_statement
from wherefrom.report.forest import forest
from wherefrom.report.style import metric_title
from wherefrom.report.tables import Grid, difference_grid, score_grid
from wherefrom.report.transfer import transfer_grid, transfer_statement
from wherefrom.report.verdict import in_brief
from wherefrom.report.where import curve_name, distance_grid, effect_grid, law_grid, said, title
from wherefrom.report.words import statements

__all__ = ["Picture", "beside", "design", "duration", "grids", "margins", "near", "parts"]

#: Figures that stand in a section of their own, by the head of their names.
_APART = ("transfer", "audit_numbers", "scaling", "exchange")


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


def _statements(headline: Headline, context: ReportContext) -> list[Statement]:
    return statements(headline, context.sweep_region, context.untuned)


def parts(
    evidence: Evidence, context: ReportContext, pictures: Sequence[Picture]
) -> list[dict[str, Any]]:
    """Divide all views and pictures among the headlines: each view is in one part."""
    headlines = context.shown(evidence)
    shown = [headline.view for headline in headlines]
    made = []
    for i, (one, own) in enumerate(zip(headlines, shown, strict=True)):
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
        said = _statements(one, context)
        made.append(
            {
                "id": f"part-{i + 1}",
                "title": one.short,
                "lead": in_brief(one) or next(iter(said), None),
                "forest": forest(one),
                # The first is the lead, with numbers.
                "statements": said,
                "views": [_view(evidence.headlines[view]) for view in views],
                "choices": _choices(views),
                "budget": budget_grid(one, context),
                "pictures": [
                    picture
                    for picture in pictures
                    if picture.view == own and not picture.name.startswith(_APART)
                ],
            }
        )
    return made


def beside(
    headlines: Sequence[Headline], context: ReportContext, pictures: Sequence[Picture], what: str
) -> list[dict[str, Any]]:
    """Give what a section of its own has of each headline: sentence, table and figure, if any.

    `what` is the head of the figure's name: "transfer", "audit_numbers", "scaling" or "exchange".
    """
    say: Callable[[Headline, ReportContext], Statement | None]
    grid: Callable[[Headline, ReportContext], Grid | None]
    say, grid = {
        "transfer": (transfer_statement, transfer_grid),
        "audit_numbers": (correlation_statement, correlation_grid),
        "exchange": (exchange_statement, exchange_grid),
        "scaling": (convergence_statement, convergence_grid),
    }[what]
    made = []
    for one in headlines:
        own = [
            picture
            if picture.name.startswith(("scaling_tasks", "scaling_points"))
            else picture._replace(title=f"{picture.title}: {one.short}")
            for picture in pictures
            if picture.view == one.view and picture.name.startswith(what)
        ]
        known = {"title": one.short, "statement": say(one, context), "grid": grid(one, context)}
        if own or any(known[name] for name in ("statement", "grid")):
            made.append(known | {"pictures": own})
    return made


def near(one: Nearness) -> dict[str, Any]:
    """Give the part on where the places of a headline lie."""
    return {
        "title": title(one),
        "statements": said(one),
        "grids": [distance_grid(one), effect_grid(one), law_grid(one)],
        "picture": curve_name(one),
    }


def grids(found: Any) -> Iterator[Grid]:
    """Yield all tables within the parts of a page, in their order."""
    if isinstance(found, Grid):
        yield found
    elif isinstance(found, dict):
        for one in found.values():
            yield from grids(one)
    elif isinstance(found, list):
        for one in found:
            yield from grids(one)


def _view(headline: Headline) -> dict[str, Any]:
    references = headline.evidence.references
    tables = {name: grid for name in references if (grid := difference_grid(headline, name))}
    return headline.view._asdict() | {
        "scores": score_grid(headline),
        "differences": tables,
        "margin": _margin(headline),
    }


def margins(evidence: Evidence) -> str:
    """Write the margin of all scores, and those of the scores that are in units."""
    own = {
        f"{metric_title(view.metric)} on {view.task}": _margin(one) or "none"
        for view, one in evidence.headlines.items()
        if view.in_units
    }
    named = [f"{what}: {margin}" for what, margin in own.items()]
    return f"{evidence.margin:g}" + (f" ({'; '.join(named)})" if named else "")


def _margin(headline: Headline) -> str:
    """Write the margin of equivalence of a headline, or nothing where none is stated."""
    return f"{headline.margin:g} {headline.units}".strip() if headline.margin else ""


def _choices(views: Sequence[View]) -> list[tuple[str, list[tuple[str, str]]]]:
    distinct = {axis: dict.fromkeys(getattr(view, axis) for view in views) for axis in View._fields}
    return [
        (axis, [(name, metric_title(name)) for name in distinct[axis]])
        for axis in ("model", "task", "head", "metric")
    ]


def design(evidence: Evidence) -> list[tuple[str, str]]:
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


def duration(seconds: float | None) -> str:
    """Write a time in seconds, minutes or hours, or nothing for none."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
