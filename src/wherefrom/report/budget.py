"""The variance budget: what makes an interval wide, and what more of each costs and buys."""

from __future__ import annotations

from dataclasses import replace

from wherefrom.evidence import BudgetRow, Headline
from wherefrom.evidence.power import MORE
from wherefrom.report.context import ReportContext
from wherefrom.report.style import number, score_title
from wherefrom.report.tables import Cell, Grid, Line

__all__ = ["budget", "budget_grid"]

#: Digits of a half-width.
_DIGITS = 4


def budget(headline: Headline, context: ReportContext) -> list[BudgetRow]:
    """Return the budget of every comparison with a reference, in every region, with hours."""
    costs = context.costs.get((headline.view.model, headline.view.task, headline.view.head))
    rows = [
        row
        for region in headline.regions
        for reference in headline.evidence.references
        for row in headline.budget(reference, region)
    ]
    if costs is None:
        return rows
    block, episodes = costs.hours(blocks=MORE["block"]), costs.hours(episodes=MORE["episode"])
    # A task of a fixed table can have no more places.
    places = costs.hours(places=MORE["place"]) if costs.growth else None
    return [
        replace(
            row,
            block_hours=block,
            episodes_hours=episodes,
            places_hours=None if row.more_places is None else places,
        )
        for row in rows
    ]


def budget_grid(headline: Headline, context: ReportContext) -> Grid | None:
    """Make the table of the differences to the first reference; None if none has an interval."""
    reference = headline.evidence.references[0]
    rows = [
        row
        for row in budget(headline, context)
        if (row.reference, row.region) == (reference, headline.region)
    ]
    if not rows:
        return None
    lines = [
        Line(headline.called(row.composition), "composition", [*map(_share, _shares(row)), *widths])
        for row in rows
        for widths in [_widths(row)]
    ]
    hours = (rows[0].block_hours, rows[0].episodes_hours, rows[0].places_hours)
    if hours[0] is not None:
        lines.append(Line("core hours", "baseline", [Cell("")] * 4 + [*map(_hours, hours)]))
    caption = (
        f"Variance budget of {score_title(headline)} minus that of {headline.called(reference)}, "
        f"{headline.title}, {headline.region}: shares of the variance, half-width of the 95 % "
        "interval now and with more"
    )
    more = [f"{count:,} more {what}" for what, count in zip(_MORE, MORE.values(), strict=True)]
    return Grid(caption, ["blocks", "episodes", "test places", "now", *more], lines)


_MORE = ("block", "episodes", "test places a region")


def _shares(row: BudgetRow) -> list[float]:
    whole = row.block + row.episode + row.place
    return [part / whole if whole > 0 else 0.0 for part in (row.block, row.episode, row.place)]


def _share(share: float) -> Cell:
    return Cell(f"{share:.0%}", share)


def _widths(row: BudgetRow) -> list[Cell]:
    found = (row.half_width, row.one_more_block, row.more_episodes, row.more_places)
    return [
        Cell("–", hint="test places are taken as given")
        if half is None
        else Cell(f"±{number(half, _DIGITS)}", half)
        for half in found
    ]


def _hours(hours: float | None) -> Cell:
    """Write the hours of a column; a task of a fixed table can have no more places."""
    return Cell("–") if hours is None else Cell(f"{hours:.3g} h", hours)
