"""What the command prints at the end: tables and verdicts of the headlines, in a screenful."""

from __future__ import annotations

import pyarrow as pa
from rich.console import Group, RenderableType
from rich.text import Text

from wherefrom.evidence import Evidence
from wherefrom.report.context import ReportContext, evidence_of
from wherefrom.report.sensitivity import comparison, sensitivity_statements
from wherefrom.report.tables import RUNS, rich_table, score_grid
from wherefrom.report.words import Statement, gaps, statements

__all__ = ["terminal_table"]

#: Statements of each headline: the best row and the first comparison; the page has the others.
SHOWN = 2
_SIGNS = {"decided": ("●", "bold"), "undecided": ("?", "bold"), "limit": ("·", "dim")}


def terminal_table(results: pa.Table | Evidence, context: ReportContext) -> RenderableType:
    """Show the headlines and what the data support, for a rich console.

    Parameters
    ----------
    results : pyarrow.Table or Evidence
        Tidy results, or their evidence if it is at hand.
    context : ReportContext

    Returns
    -------
    rich renderable
    """
    evidence = results if isinstance(results, Evidence) else evidence_of(results, context)
    parts: list[RenderableType] = []
    if context.notice:
        parts += [Text(context.notice, style="bold"), Text()]
    parts.append(Text(f"runs: {RUNS}; bold: decided to be the best of its column", style="dim"))
    for view in context.views(evidence):
        grid = score_grid(evidence, context, view)
        parts += [Text(grid.caption, style="bold"), rich_table(grid)]
        parts += map(_line, statements(evidence, context, view)[:SHOWN])
        parts.append(Text())
    shown = comparison(evidence, context)
    spreads = sensitivity_statements(evidence, context) if shown is None else [shown]
    parts += map(_line, [*spreads, *gaps(context)])
    if context.stand_ins:
        named = "; ".join(f"{what} for {stands_for}" for what, stands_for, _ in context.stand_ins)
        parts.append(_line(Statement("limit", f"Stand-ins: {named}.")))
    return Group(*parts)


def _line(statement: Statement) -> Text:
    sign, style = _SIGNS[statement.kind]
    line = Text(f"{sign} ", style=style)
    line.append(statement.text, style="")
    return line
