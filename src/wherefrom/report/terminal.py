"""What the command prints at the end: tables and verdicts of the headlines, in a screenful."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from wherefrom.evidence import Evidence
from wherefrom.report.answer import answer
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.exchange import exchange_statement
from wherefrom.report.published import claimed
from wherefrom.report.sensitivity import beside_grid, comparison, sensitivity_of, two_models
from wherefrom.report.tables import RUNS, rich_table, score_grid
from wherefrom.report.words import gaps, statements

__all__ = ["terminal_table"]

#: Statements of each headline: the best row and the first comparison; the page has the others.
SHOWN = 2
_SIGNS = {
    "decided": ("●", "bold"),
    "partly": ("◐", "bold"),
    "undecided": ("?", "bold"),
    "limit": ("·", "dim"),
}


def terminal_table(evidence: Evidence, context: ReportContext) -> RenderableType:
    """Show the headlines and what the data support, for a rich console."""
    headlines = context.shown(evidence)
    parts: list[RenderableType] = []
    if context.notice:
        parts += [Text(context.notice, style="bold"), Text()]
    if (said := answer(headlines, context)) is not None:
        parts += [Text(said.text, style="bold"), Text()]
    parts.append(Text(f"runs: {RUNS}; bold: decided to be the best of its column", style="dim"))
    for headline in headlines:
        grid = score_grid(headline)
        parts += [Text(grid.caption, style="bold"), rich_table(grid)]
        parts += map(_line, statements(headline, context.sweep_region, context.untuned)[:SHOWN])
        parts.append(Text())
    models = {one.view.model for one in headlines}
    if len(models) > 2 and (beside := beside_grid(headlines)) is not None:
        parts += [Text(beside.caption, style="bold"), rich_table(beside), Text()]
    claims = [one for claim in context.claims for one in claimed(claim, headlines, context)]
    shown = [claim for claim in claims if claim.kind != "limit"]
    pair = two_models(headlines)
    if pair and not any(claim.test == "sensitivity" for claim in context.claims):
        shown += comparison(*pair)[:1]
    elif not pair:
        shown += [spread for one in headlines if (spread := sensitivity_of(one))]
    shown += [one for own in headlines if (one := exchange_statement(own, context))]
    parts += map(_line, [*shown, *gaps(context)])
    if context.stand_ins:
        named = "; ".join(f"{what} for {stands_for}" for what, stands_for, _ in context.stand_ins)
        parts.append(_line(Statement("limit", f"Stand-ins: {named}.")))
    return Group(*parts)


def _line(statement: Statement) -> Text:
    sign, style = _SIGNS[statement.kind]
    line = Text(f"{sign} ", style=style)
    line.append(statement.brief or statement.text, style="")
    return line
