"""From how many labels on compositions differ as they do with all: table, figures and sentence."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wherefrom.evidence import Headline
from wherefrom.evidence.convergence import (
    BEYOND,
    EVERY,
    FIRST,
    UNKNOWN,
    ConvergenceRow,
    StepRow,
    convergence,
)
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.curves import READING, Sweep, sweep_figure
from wherefrom.report.rows import links, rows_in, rows_of
from wherefrom.report.style import (
    FAINT,
    INK,
    Drawing,
    Look,
    looks_of,
    number,
    score_title,
)
from wherefrom.report.tables import Cell, Grid, Line
from wherefrom.shown import brief, count_of

__all__ = [
    "converged", "convergence_grid", "convergence_statement", "points_figure", "put",
    "tasks_figure",
]  # fmt: skip


def converged(
    headline: Headline, context: ReportContext
) -> list[tuple[list[ConvergenceRow], list[StepRow]]]:
    """Return points and steps of all tasks of a headline's model, those of fewest classes first."""
    found = []
    for one in _tasks(headline, context):
        points, steps = convergence(one, context.sweep_region)
        if points:
            count, entropy = _classes(one, points[0].region, context)
            known = [replace(row, classes=count, entropy=entropy) for row in points]
            found.append((known, steps))
    return found


def _tasks(headline: Headline, context: ReportContext) -> list[Headline]:
    """Return a headline for each task of its model, with its head and metric and any n."""
    firsts = {one.view.task: one for one in headline.beside("model", "head", "metric")}
    region = context.sweep_region or ""
    return sorted(firsts.values(), key=lambda one: _classes(one, region, context)[0] or 0)


def _classes(
    headline: Headline, region: str, context: ReportContext
) -> tuple[int | None, float | None]:
    """Return classes of the test places and their entropy, natural logarithm; None if unknown."""
    return context.classes.get(headline.view.task, {}).get(region, (None, None))


def put(row: ConvergenceRow) -> str:
    """Say where compositions converge, and between which n that is."""
    if row.note:
        return f"{UNKNOWN} ({row.note})"
    half = f"half-width {number(row.half_width)} at n = {row.stopped:,}" if row.stopped else ""
    if row.word == FIRST:
        return f"{FIRST}, n = {row.point:,}"
    if row.word == BEYOND:
        return f"{BEYOND}: at n = {row.stopped:,} the change still exceeds {row.margin:g}"
    if row.word == UNKNOWN:
        known = f"; not below n = {row.earliest:,}" if row.earliest > row.smallest else ""
        return f"{UNKNOWN} with these {row.blocks} blocks ({half}, margin {row.margin:g}){known}"
    if row.earliest == row.point:
        return f"from n = {row.point:,} (not below; {half})"
    return f"from n = {row.point:,} (between {row.earliest:,} and {row.point:,}; {half})"


def convergence_grid(headline: Headline, context: ReportContext) -> Grid | None:
    """Make the table of convergence points: a row a task, beside its classes and entropy."""
    tasks = converged(headline, context)
    if not tasks:
        return None
    names = list(dict.fromkeys(row.composition for points, _ in tasks for row in points))
    lines = []
    for points, _ in tasks:
        one = {row.composition: row for row in points}
        cells = [
            Cell("–" if points[0].classes is None else f"{points[0].classes:,}", points[0].classes),
            Cell(number(points[0].entropy, 2), points[0].entropy),
            *(_cell(one.get(name)) for name in names),
        ]
        lines.append(Line(points[0].task, "composition", cells))
    first = tasks[0][0][0]
    caption = (
        f"smallest n from which the difference to {first.reference} is within ±{first.margin:g} of "
        f"that at n = {first.largest:,}, {score_title(headline)}, {headline.view.model}, "
        f"{headline.view.head} head, {first.region} [n that are not excluded]"
    )
    columns = ["classes", "entropy (nats)", *names]
    about = rows_in("convergence", headline.view).about("model", "head", "metric")
    return Grid(caption, columns, lines, about)


def _cell(row: ConvergenceRow | None) -> Cell:
    if row is None:
        return Cell("–")
    text = row.word if row.point is None else f"{row.point:,}"
    last = row.largest if row.point is None else row.point
    detail = "" if row.note else f"[{row.earliest:,}, {last:,}]"
    return Cell(text, last, bold=row.point is not None, hint=put(row), detail=detail,
                rows=rows_of(row))  # fmt: skip


def convergence_statement(headline: Headline, context: ReportContext) -> Statement | None:
    """Say task by task from how many labels on the compositions differ as with all of them."""
    tasks = converged(headline, context)
    if not tasks:
        return None
    pieces = []
    for points, _ in tasks:
        row = points[0]  # all at once, if there are several
        known = "" if row.classes is None else f" ({count_of(row.classes, 'class', 'classes')})"
        pieces.append((f"{row.task}{known}: {put(row)}", rows_of(row)))
    first = tasks[0][0][0]
    told = "all pre-trained compositions" if first.composition == EVERY else first.composition
    text = (
        f"{headline.view.model}, {headline.view.head} head, {first.region}: where {told} differ "
        f"from {first.reference} in {score_title(headline)} as they do with n = {first.largest:,}, "
        f"within {first.margin:g}, by task: " + "; ".join(piece for piece, _ in pieces) + "."
    )
    open_ones = [points[0] for points, _ in tasks if points[0].word == UNKNOWN]
    kind = "decided" if not open_ones else "undecided" if len(open_ones) == len(tasks) else "partly"
    return Statement(kind, text, links=links(text, pieces))


def tasks_figure(headline: Headline, context: ReportContext) -> Drawing | None:
    """Differences against the number of labels, a panel for each task of the model."""
    tasks = [(one, *one.sweep(context.sweep_region)) for one in _tasks(headline, context)]
    tasks = [one for one in tasks if one[2]]
    if len(tasks) < 2:
        return None
    sweeps = []
    for one, region, grown in tasks:
        count, _ = _classes(one, region, context)
        known = "" if count is None else f" ({count_of(count, 'class', 'classes')})"
        sweeps.append(Sweep(f"{one.view.task}{known}", region, grown))
    figure = sweep_figure(sweeps, context.blind, 4)
    caption = (
        f"{_about(headline)}, {tasks[0][1]}: {score_title(headline)} by number of labelled "
        f"places, task by task. {READING}"
    )
    title = f"Differences against the number of labels, task by task: {_about(headline)}"
    return Drawing("scaling_tasks", figure, title, caption)


def points_figure(headline: Headline, context: ReportContext) -> Drawing | None:
    """Convergence points against the classes and the class entropy of their tasks."""
    tasks = [points for points, _ in converged(headline, context)]
    tasks = [points for points in tasks if points[0].entropy is not None and not points[0].note]
    if len(tasks) < 2:
        return None
    figure = Figure(figsize=(11.4, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    look = looks_of(headline) | {EVERY: Look(INK, "s", "-")}
    names = list(dict.fromkeys(row.composition for points in tasks for row in points))
    handles: dict[str, Line2D] = {}
    for ax, axis in zip(axes, ("classes", "entropy"), strict=True):
        for points in tasks:
            for row in points:
                # Side by side, for many have the same n.
                aside = names.index(row.composition) - (len(names) - 1) / 2
                value = float(getattr(row, axis))
                x = value * 1.05**aside if axis == "classes" else value + 0.035 * aside
                style = look[row.composition]
                last = row.largest if row.point is None else row.point
                ax.plot([x, x], [row.earliest, last], color=style.colour, lw=2, alpha=0.55)
                handles[row.composition] = ax.plot(
                    [x], [last], ls="", marker=style.marker, ms=7, color=style.colour,
                    mfc="white" if row.point is None else style.colour,
                    mew=1.4 if style.marker != "x" else 1.0 if row.point is None else 2.4,
                )[0]  # fmt: skip
        ax.grid(color=FAINT, lw=0.7)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlabel("classes of the test places" if axis == "classes" else
                      "entropy of their shares (nats)")  # fmt: skip
    axes[0].set_xscale("log")
    ticks = sorted({points[0].classes or 1 for points in tasks})
    axes[0].set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes[0].minorticks_off()
    first = tasks[0][0]
    sizes = sorted({row.n for _, steps in converged(headline, context) for row in steps})
    axes[0].set_yscale("log")
    axes[0].set_yticks(sizes, [f"{n:,}" for n in sizes])
    axes[0].tick_params(axis="y", which="minor", left=False)
    axes[1].tick_params(axis="y", which="minor", left=False)
    axes[0].set_ylabel("convergence point, labelled places n")
    figure.legend(handles.values(), map(brief, handles), loc="outside right upper", frameon=False)
    caption = (
        f"{_about(headline)}, {first.region}: smallest n from which the difference in "
        f"{score_title(headline)} to {first.reference} is within ±{first.margin:g} of that at n = "
        f"{first.largest:,}. Lines: n that are not excluded, each end at 5 %. Hollow: not shown "
        "below the largest n, beyond the sweep or undecided. A few tasks show no law."
    )
    title = f"Convergence point against classes and entropy: {_about(headline)}"
    return Drawing("scaling_points", figure, title, caption)


def _about(headline: Headline) -> str:
    """Name what is shown of several tasks."""
    return f"{headline.view.model}, {headline.view.head} head"
