"""Pre-training region against test region: table, figure and sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.patches import Rectangle

from wherefrom.evidence import (
    BETTER,
    UNDECIDED,
    WORSE,
    Headline,
    HomeRow,
    Transfer,
    transfer,
)
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.rows import links, rows_in, rows_of
from wherefrom.report.style import (
    INK,
    Drawing,
    coloured,
    estimate,
    number,
    score_title,
    signed,
    turned,
    view_title,
)
from wherefrom.report.tables import Cell, Grid, Line
from wherefrom.shown import brief

__all__ = ["transfer_figure", "transfer_grid", "transfer_of", "transfer_statement"]

#: The row of the table that is no composition.
HOME = "at home minus from elsewhere"


def transfer_of(headline: Headline, context: ReportContext) -> Transfer | None:
    """Return the matrix of a headline; None without two compositions of one label each."""
    return transfer(headline, context.origins, context.regions_by.get(headline.view.task))


def transfer_grid(headline: Headline, context: ReportContext) -> Grid | None:
    """Make the table of means with intervals, the diagonal marked, and what home gains below."""
    matrix = transfer_of(headline, context)
    if matrix is None:
        return None
    whole = headline.region if headline.region not in matrix.regions else ""
    lines = []
    for name in matrix.rows:
        cells = [_cell(matrix, name, region) for region in matrix.regions]
        if whole:
            mean = headline.mean(headline.view.key(name))
            cells.append(
                Cell("–")
                if mean is None
                else replace(_mean(mean.mean, mean.low, mean.high), rows=rows_of(mean))
            )
        lines.append(Line(_label(matrix, headline, context, name), "composition", cells))
    if matrix.home:
        home = {row.region: row for row in matrix.home}
        every = [*matrix.regions, *([whole] if whole else [])]
        lines.append(Line(HOME, "baseline", [_gain(home.get(region)) for region in every]))
    layer = ", ".join(dict.fromkeys(context.origins[name][0] for name in matrix.rows))
    caption = (
        f"{score_title(headline)}{turned(headline)}, {headline.title}: pre-trained on places of "
        f"one {layer} (rows), tested in each region (columns), mean [95 % interval]"
    )
    rows = rows_in("transfer", headline.view)
    return Grid(caption, [*matrix.regions, *([whole] if whole else [])], lines, rows)


def _label(matrix: Transfer, headline: Headline, context: ReportContext, name: str) -> str:
    """Call a row by its label; with its composition too, where another has the same."""
    label = context.origins[name][1]
    alone = sum(context.origins[other][1] == label for other in matrix.rows) == 1
    return label if alone else f"{label} ({headline.called(name)})"


def _cell(matrix: Transfer, name: str, region: str) -> Cell:
    row = matrix.cell(name, region)
    if row is None:
        return Cell("–")
    ends = estimate(row.difference, row.difference_low, row.difference_high, sign=True)
    home = " (home)" if row.home else ""
    made = _mean(row.mean, row.low, row.high)
    hint = f"{ends} to the others there"
    return replace(made, text=made.text + home, hint=hint, rows=rows_of(row))


def _mean(mean: float, low: float | None, high: float | None) -> Cell:
    detail = "" if low is None else f"[{number(low)}, {number(high)}]"
    return Cell(number(mean), mean, detail=detail)


def _gain(row: HomeRow | None) -> Cell:
    if row is None:
        return Cell("–")
    if row.low is None:
        return Cell(signed(row.gain), row.gain, verdict=UNDECIDED, hint=row.note,
                    detail="[no interval]", rows=rows_of(row))  # fmt: skip
    hint = f"{row.verdict}; Holm-corrected p = {row.p:.2g}; {row.blocks} blocks"
    return Cell(
        signed(row.gain),
        row.gain,
        bold=row.verdict in (BETTER, WORSE),
        verdict=row.verdict,
        hint=hint,
        detail=f"[{signed(row.low)}, {signed(row.high)}]",
        rows=rows_of(row),
    )


def transfer_statement(headline: Headline, context: ReportContext) -> Statement | None:
    """Say whether pre-training in the test region itself helps; None where there is no diagonal."""
    matrix = transfer_of(headline, context)
    whole = None if matrix is None else matrix.overall
    if matrix is None or whole is None:
        return None
    words = {BETTER: "helps", WORSE: "harms", UNDECIDED: "is not decided to help"}
    ends = estimate(whole.gain, whole.low, whole.high, sign=True)
    text = (
        f"{headline.short}: pre-training in the test region itself {words[whole.verdict]}, against "
        f"pre-training in another: {ends} in {score_title(headline)}, the diagonal of "
        f"{whole.compositions} by {whole.compositions} minus the rest"
    )
    text += f" (no interval: {whole.note})" if whole.low is None else f" ({whole.blocks} blocks)"
    groups: dict[str, list[str]] = {}
    for row in matrix.home[:-1]:
        gain = estimate(row.gain, row.low, row.high, sign=True)
        groups.setdefault(row.verdict, []).append(f"{row.region} ({gain})")
    order = [word for word in (BETTER, WORSE, UNDECIDED) if word in groups]
    text += ". By region, its own against the others there: "
    text += "; ".join(f"{word}: {', '.join(groups[word])}" for word in order)
    kind = "undecided" if whole.verdict == UNDECIDED else "decided"
    text += ". Better where above 0; Holm's correction over all of these."
    pieces = [(f"{r.region} ({estimate(r.gain, r.low, r.high, sign=True)})", rows_of(r)) for r in
              matrix.home[:-1]]  # fmt: skip
    return Statement(kind, text, links=links(text, pieces, rows_of(whole)))


def transfer_figure(headline: Headline, context: ReportContext) -> Drawing | None:
    """Draw the matrix: colours are differences to the others in a column, numbers means."""
    matrix = transfer_of(headline, context)
    if matrix is None:
        return None
    values = np.full((len(matrix.rows), len(matrix.regions)), np.nan)
    for i, name in enumerate(matrix.rows):
        for j, region in enumerate(matrix.regions):
            row = matrix.cell(name, region)
            if row is not None and row.difference is not None:
                values[i, j] = row.difference
    limit = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    size = (3.2 + 1.15 * len(matrix.regions), 1.8 + 0.5 * len(matrix.rows))
    colours = "PuOr_r" if headline.view.sign > 0 else "PuOr"
    figure, ax = coloured(values, size, "minus the others there", colours, (-limit, limit))
    for i, name in enumerate(matrix.rows):
        for j, region in enumerate(matrix.regions):
            row = matrix.cell(name, region)
            if row is None:
                continue
            dark = abs(values[i, j]) > 0.6 * limit
            ax.text(j, i, f"{number(row.mean)}\n{signed(row.difference)}", ha="center",
                    va="center", fontsize=8, color="white" if dark else "black")  # fmt: skip
            if row.home:
                ax.add_patch(
                    Rectangle((j - 0.47, i - 0.46), 0.94, 0.92, fill=False, ec=INK, lw=1.8)
                )
    ax.set_xticks(range(len(matrix.regions)), [brief(one) for one in matrix.regions], fontsize=8)
    labels = [brief(_label(matrix, headline, context, name)) for name in matrix.rows]
    ax.set_yticks(range(len(matrix.rows)), labels, fontsize=9)
    ax.set_ylabel("pre-trained in")
    caption = (
        f"{view_title(headline)}. Rows: pre-trained on places of one label; columns: tested. "
        "Above: mean; below and in colour: minus the mean of the other rows in the column. Framed: "
        "pre-trained where it is tested. Intervals are in the table."
    )
    return Drawing("transfer", figure, "Which region helps which?", caption)
