"""Audit numbers of compositions beside their scores: tables, figure, sentences and claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from wherefrom.errors import WherefromError
from wherefrom.evidence import (
    FAILS,
    HOLDS,
    OPEN,
    CorrelationRow,
    Headline,
    above,
    correlation,
    less,
    rank_correlation,
)
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.plan import ONE_BLOCK
from wherefrom.report.rows import links, rows_in, rows_of
from wherefrom.report.style import (
    FAINT,
    Drawing,
    estimate,
    looks_of,
    number,
    score_title,
    signed,
    turned,
    view_title,
)
from wherefrom.report.tables import Cell, Grid, Line
from wherefrom.shown import brief

if TYPE_CHECKING:
    from wherefrom.study.published import Claim

__all__ = [
    "audit_grid", "correlation_figure", "correlation_grid", "correlation_statement",
    "correlations", "judged", "left_out",
]  # fmt: skip


def correlations(headline: Headline, context: ReportContext) -> list[CorrelationRow]:
    """Correlate every audit number with a headline's scores; those of too few are left out."""
    return [row for row in map(dict(_tried(headline, context)).get, context.audits) if row]


def _tried(headline: Headline, context: ReportContext) -> Iterator[tuple[str, CorrelationRow]]:
    for name in context.audits:
        try:
            yield name, correlation(headline, name, _numbers(name, headline, context))
        except WherefromError:
            continue


def audit_grid(headlines: Sequence[Headline], context: ReportContext) -> Grid | None:
    """Make the table of audit numbers, a row a composition; those of tasks once for each task."""
    columns: dict[str, Mapping[str, float]] = {}
    tasks = dict.fromkeys(headline.view.task for headline in headlines)
    for audited in context.audits.values():
        for task, values in audited.values.items():
            if not task or task in tasks:
                columns[audited.title + (f", {task}" if task else "")] = values
    names = [name for name in context.compositions if any(name in v for v in columns.values())]
    if not names:
        return None
    lines = [
        Line(
            name,
            "composition",
            [Cell(number(one), one) for one in (values.get(name) for values in columns.values())],
        )
        for name in names
    ]
    return Grid("audit numbers of the compositions, means over their draws", list(columns), lines)


def correlation_grid(headline: Headline, context: ReportContext) -> Grid | None:
    """Make the table of correlations of one headline; None without any."""
    rows = correlations(headline, context)
    if not rows:
        return None
    lines = []
    for row in rows:
        spearman = (row.spearman, row.spearman_low, row.spearman_high)
        pearson = (row.pearson, row.pearson_low, row.pearson_high)
        cells = [
            Cell(str(row.compositions), row.compositions),
            *(
                Cell(estimate(*one, sign=True, digits=2), one[0], hint=row.note)
                for one in (spearman, pearson)
            ),
            Cell("–" if row.p is None else f"{row.p:.2g}", row.p),
            Cell(_range(row), row.without_low),
            Cell(f"{row.most} ({signed(row.without_most, 2)})" if row.most else "–"),
        ]
        cells = [replace(cell, rows=rows_of(row)) for cell in cells]
        lines.append(Line(context.audits[row.audit].title, "composition", cells))
    columns = ["compositions", "Spearman", "Pearson", "p, one-sided", "leaving one out", "most"]
    caption = (
        f"audit numbers against {score_title(headline)}{turned(headline)}, {headline.title}, "
        f"{headline.region}: correlation over compositions [95 % interval]"
    )
    return Grid(caption, columns, lines, rows_in("correlations", headline.view))


def _range(row: CorrelationRow) -> str:
    if row.without_low is None:
        return "–"
    return f"{signed(row.without_low, 2)} to {signed(row.without_high, 2)}"


def correlation_statement(headline: Headline, context: ReportContext) -> Statement | None:
    """Say how each audit number goes with a headline's scores; None without audit numbers."""
    if not context.audits:
        return None
    tried = dict(_tried(headline, context))
    said, pieces, decided = [], [], 0
    for name in context.audits:
        row = tried.get(name)
        if row is None:
            count = len(set(_numbers(name, headline, context)) & set(headline.means()))
            said.append(f"{name} not evaluated ({count} compositions have it, 4 are needed)")
        elif row.spearman is None:
            said.append(f"{name} not evaluated ({row.note})")
        else:
            ends = estimate(row.spearman, row.spearman_low, row.spearman_high, sign=True, digits=2)
            decided += row.blocks > 1 and not _holds_zero(row)
            said.append(f"{name} {ends} (n = {row.compositions}; {left_out(row)})")
            pieces.append((f"{name} {ends}", rows_of(row)))
    known = sum(row.spearman is not None for row in tried.values())
    kind = "undecided" if not decided else "decided" if decided == known else "partly"
    text = f"{headline.short}: rank correlations of audit numbers with the scores: "
    text += f"{'; '.join(said)}. Each interval is for itself."
    if any(row.blocks == 1 for row in tried.values()):
        text += f" Scores of {ONE_BLOCK}."
    rest = rows_in("correlations", headline.view)
    return Statement(kind, text, links=links(text, pieces, rest))


def _holds_zero(row: CorrelationRow) -> bool:
    low, high = row.spearman_low, row.spearman_high
    return low is None or high is None or low <= 0 <= high


def correlation_figure(headline: Headline, context: ReportContext) -> Drawing | None:
    """Draw the scores against each audit number, a panel each; None without any."""
    rows = [row for row in correlations(headline, context) if row.spearman is not None]
    if not rows:
        return None
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    look = looks_of(headline)
    handles = {}
    for ax, row in zip(grid.ravel(), rows, strict=False):
        audited = context.audits[row.audit]
        for name, value in _numbers(row.audit, headline, context).items():
            mean = headline.mean(headline.view.key(name))
            if mean is None:
                continue
            style = look[name]
            if mean.low is not None and mean.high is not None:
                ax.plot([value, value], [mean.low, mean.high], color=style.colour, alpha=0.4, lw=1)
            (handles[name],) = ax.plot([value], [mean.mean], marker=style.marker, ls="",
                                       color=style.colour, ms=6, label=name)  # fmt: skip
        ends = estimate(row.spearman, row.spearman_low, row.spearman_high, sign=True, digits=2)
        ax.set_title(f"rank correlation {ends}", fontsize=9, loc="left")
        ax.set_xlabel(brief(audited.title, 44), fontsize=9)
        ax.grid(color=FAINT, lw=0.7)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in grid[:, 0]:
        ax.set_ylabel(score_title(headline) + turned(headline), fontsize=9)
    for ax in grid.ravel()[len(rows) :]:
        ax.set_visible(False)
    figure.legend(handles.values(), map(brief, handles), loc="outside right upper", frameon=False,
                  fontsize=9)  # fmt: skip
    caption = (
        f"{view_title(headline)}, {headline.region}. A dot a composition: its mean score against a "
        "number that an audit tells before training; lines: 95 % interval of the mean over blocks "
        "and episodes. Intervals of the correlations are over compositions."
    )
    return Drawing("audit_numbers", figure, "Do audit numbers go with scores?", caption)


def judged(claim: Claim, headline: Headline, context: ReportContext) -> tuple[str, str] | None:
    """Judge a claim about the correlation of audit numbers; None where a number is not there.

    Scores of one block say nothing of another, and decide nothing.
    """
    names = (claim.audit or "", *claim.than_audits)
    if any(name not in context.audits for name in names):
        return None
    first, *others = (_numbers(name, headline, context, claim.compositions) for name in names)
    try:
        row = correlation(headline, names[0], first)
        steps = [less(headline, first, other) for other in others]
    except WherefromError:
        return None
    if row.spearman is None or row.p is None:
        return OPEN, f"{row.audit}: {row.note}"
    ends = estimate(row.spearman, row.spearman_low, row.spearman_high, sign=True, digits=2)
    text = f"rank correlation of {row.audit} {ends} over {row.compositions} compositions"
    if steps:
        words = {above(step.low, step.high) for step in steps}
        text += "".join(
            f"; minus that of {name} {estimate(*step, sign=True, digits=2)}"
            if step.value is not None
            else f"; {name} is the same everywhere"
            for name, step in zip(claim.than_audits, steps, strict=True)
        )
        word = FAILS if FAILS in words else HOLDS if words == {HOLDS} else OPEN
    else:
        means = headline.means()
        both = [name for name in first if name in means]
        scores = [headline.view.sign * means[name] for name in both]
        numbers = [first[name] for name in both]
        _, p, word = rank_correlation(numbers, scores, context.put_to(claim.models))
        text += f", one-sided p = {p:.2g}{context.level(claim.models)}; {left_out(row)}"
    return (word, text) if row.blocks > 1 else (OPEN, f"{text}; {ONE_BLOCK}")


def _numbers(
    name: str, headline: Headline, context: ReportContext, asked: Sequence[str] = ()
) -> dict[str, float]:
    """Return the numbers of the compositions that are asked for, or else that count."""
    values = context.audits[name].of(headline.view.task)
    among = asked or context.correlated or values
    return {one: value for one, value in values.items() if one in among}


def left_out(row: CorrelationRow) -> str:
    """Say what leaving each composition out does to a rank correlation."""
    if row.without_low is None or row.without_high is None:
        return "undefined without one composition"
    ends = f"{signed(row.without_low, 2)} to {signed(row.without_high, 2)}"
    return f"leaving one out {ends}, most without {row.most} ({signed(row.without_most, 2)})"
