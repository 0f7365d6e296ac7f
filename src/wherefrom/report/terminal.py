"""What the command prints at the end: the headline's table and verdict."""

from __future__ import annotations

import pyarrow as pa
from rich.console import Group, RenderableType
from rich.text import Text

from wherefrom.evidence import Evidence
from wherefrom.report.context import ReportContext, evidence_of
from wherefrom.report.tables import RUNS, rich_table, score_grid
from wherefrom.report.words import statements

__all__ = ["terminal_table"]

_SIGNS = {"decided": ("●", "bold"), "undecided": ("?", "bold"), "limit": ("·", "dim")}


def terminal_table(results: pa.Table | Evidence, context: ReportContext) -> RenderableType:
    """Show the headline view and what the data support, for a rich console.

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
    view = context.headline(evidence)
    grid = score_grid(evidence, context, view)
    parts: list[RenderableType] = []
    if context.notice:
        parts += [Text(context.notice, style="bold"), Text()]
    parts += [
        Text(grid.caption, style="bold"),
        Text(f"runs: {RUNS}; bold: decided to be the best of its column", style="dim"),
        Text(),
        rich_table(grid),
        Text(),
    ]
    for statement in statements(evidence, context):
        sign, style = _SIGNS[statement.kind]
        line = Text(f"{sign} ", style=style)
        line.append(statement.text, style="")
        parts.append(line)
    for what, stands_for, why in context.stand_ins:
        parts.append(Text(f"· Stand-in: {what} for {stands_for} ({why})"))
    return Group(*parts)
