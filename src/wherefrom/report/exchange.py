"""How many places are worth those of the reference: table, figure and sentences."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wherefrom.evidence import INITIAL, UNDECIDED, Headline
from wherefrom.evidence.exchange import (
    AT_LEAST,
    AT_MOST,
    FEWER,
    NEVER,
    WORTH,
    Exchange,
    ExchangeRow,
)
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.rows import links, rows_in, rows_of
from wherefrom.report.style import (
    FAINT,
    INK,
    Drawing,
    estimate,
    looks_of,
    score_title,
    turned,
    view_title,
)
from wherefrom.report.tables import Cell, Grid, Line
from wherefrom.shown import brief
from wherefrom.study.sizes import BUDGETS

__all__ = ["exchange_figure", "exchange_grid", "exchange_statement", "rate_text"]


def rate_text(row: ExchangeRow) -> str:
    """Write a rate in places, with its interval, or what else is known of it.

    Numbers have two digits; none is known better.
    """
    range_ = f"{row.smallest:,} to {row.largest:,}"
    mean = "" if row.places is None else f"{_round(row.places)} "
    if row.verdict == NEVER:
        return f"never within {range_}"
    if row.verdict == FEWER:
        return f"fewer than {row.smallest:,}"
    if row.verdict == WORTH and row.low is not None and row.high is not None:
        return f"{mean}({_round(row.low)} to {_round(row.high)})"
    if row.verdict == AT_LEAST and row.low is not None:
        return f"{mean}({_round(row.low)} or more)" if mean else f"{_round(row.low)} or more"
    if row.verdict == AT_MOST and row.high is not None:
        return f"{mean}({_round(row.high)} or fewer)"
    return f"undecided ({mean.strip()})" if mean else "undecided"


def _round(places: float) -> str:
    return f"{float(f'{places:.2g}'):,.0f}"


def exchange_grid(headline: Headline, context: ReportContext) -> Grid | None:
    """Make the table of rates: a row a composition and budget, a column a region."""
    found = context.exchange.get(headline.view)
    if found is None:
        return None
    lines = [
        Line(
            f"{name}, {BUDGETS[budget]}",
            "composition",
            [_cell(found.rate(name, budget, region)) for region in found.regions],
        )
        for budget in found.budgets
        for name in found.compositions[:-1]
    ]
    caption = (
        f"places that score as {found.size:,} of {found.reference} do ({score_title(headline)}"
        f"{turned(headline)}, {headline.title}): number [95 % interval]"
    )
    return Grid(caption, list(found.regions), lines, rows_in("exchange", headline.view))


def _cell(row: ExchangeRow | None) -> Cell:
    if row is None:
        return Cell("–")
    text, space, ends = rate_text(row).partition(" within " if row.verdict == NEVER else " (")
    detail = f"{space.lstrip()}{ends}"
    decided = row.verdict != UNDECIDED
    return Cell(text, row.places, bold=decided, hint=row.note, detail=detail, rows=rows_of(row))


def exchange_statement(headline: Headline, context: ReportContext) -> Statement | None:
    """Say how many places of each composition are worth those of the reference."""
    found = context.exchange.get(headline.view)
    if found is None:
        return None
    said: list[str] = []
    pieces, open_, rated = [], 0, 0
    for budget in found.budgets:
        rates = [found.rate(name, budget) for name in found.compositions[:-1]]
        rows = [row for row in rates if row is not None]
        texts = [f"{row.composition}: {rate_text(row)}" for row in rows]
        rated += len(rows)
        open_ += sum(row.verdict == UNDECIDED for row in rows)
        pieces += [(text, rows_of(row)) for text, row in zip(texts, rows, strict=True)]
        said.append(f"{'At' if said else 'at'} {BUDGETS[budget]}, {'; '.join(texts)}")
    itself = []
    for budget in found.budgets:
        points = [r for r in found.curve(found.reference, budget) if r.size != found.size]
        told = [
            (f"{estimate(r.difference, r.low, r.high, sign=True)} at {r.size:,} places", rows_of(r))
            for r in dict.fromkeys((*points[:1], *points[-1:]))
        ]
        pieces += told
        if told:
            itself.append(f"at {BUDGETS[budget]} {' and '.join(text for text, _ in told)}")
    text = (
        f"{headline.title}: places that score in {score_title(headline)} as {found.size:,} of "
        f"{found.reference} do, {_where(found)}: {'. '.join(said)}. "
    )
    if itself:
        text += f"{found.reference} itself, minus its {found.size:,}: {'; '.join(itself)}. "
    text += _hold(found)
    kind = "undecided" if open_ == rated else "partly" if open_ else "decided"
    return Statement(kind, text, links=links(text, pieces))


def _hold(found: Exchange) -> str:
    """Say where intervals hold, or why there is none."""
    sizes = [row.size for row in found.points if row.size]
    range_ = f"from {min(sizes):,} to {max(sizes):,}"
    # The reference at its own size differs from itself by nothing, and has no interval.
    if any(row.low != row.high for row in found.points if row.region == found.regions[0]):
        return (
            f"Intervals hold at once for all of these, at every number of places {range_}; beyond, "
            "nothing was run."
        )
    why = next(row.note for row in found.points if row.low is None).partition("; ")[0]
    return f"There are no intervals: {why}. Sizes were {range_}; beyond, nothing was run."


def _where(found: Exchange) -> str:
    several = len(found.regions) - 1
    return f"over {several} regions" if several else f"in {found.regions[0]}"


def exchange_figure(headline: Headline, context: ReportContext) -> Drawing | None:
    """Draw scores against the number of places, a panel a budget."""
    found = context.exchange.get(headline.view)
    if found is None:
        return None
    look = looks_of(headline)
    (own,) = [row for row in found.curve(found.reference, "") if row.size == found.size]
    count = len(found.budgets)
    figure = Figure(figsize=(2.6 + 4.4 * count, 4.4), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    handles: dict[str, Line2D] = {}
    means = [own.mean]
    for ax, budget in zip(axes, found.budgets, strict=True):
        dashed = (0, (5, 2))
        handles[f"{found.size:,} of {found.reference}"] = ax.axhline(
            own.mean, color=look[found.reference].colour, lw=1.2, ls=dashed
        )
        zero = headline.mean(headline.view.key(INITIAL), found.regions[0])
        if zero is not None:
            handles["zero pre-training"] = ax.axhline(zero.mean, color=INK, lw=1.2, ls=(0, (1, 2)))
        sizes: set[int] = set()
        for name in found.compositions:
            rows = found.curve(name, budget)
            style = look[name]
            x = [row.size for row in rows]
            sizes |= set(x)
            means += [row.mean for row in rows]
            (handles[name],) = ax.plot(
                x, [row.mean for row in rows], color=style.colour, lw=1.8, marker=style.marker, ms=5
            )
            band = [(own.mean + row.low, own.mean + row.high) for row in rows
                    if row.low is not None and row.high is not None]  # fmt: skip
            if len(band) == len(rows):
                ax.fill_between(x, *zip(*band, strict=True), color=style.colour, alpha=0.13, lw=0)
        ax.set_xscale("log")
        ax.set_xticks(sorted(sizes), [f"{size:,}" for size in sorted(sizes)])
        ax.minorticks_off()
        ax.set_title(BUDGETS[budget], fontsize=11, loc="left")
        ax.set_xlabel("pre-training places (logarithmic)")
        ax.grid(axis="y", color=FAINT, lw=0.7)
        ax.spines[["top", "right"]].set_visible(False)
    low, high = min(means), max(means)
    room = max(0.5 * (high - low), 1e-3)
    bottom, top = axes[0].get_ylim()
    # Intervals of few blocks are endless beside what is between the lines.
    axes[0].set_ylim(max(bottom, low - room), min(top, high + room))
    axes[0].set_ylabel(score_title(headline) + turned(headline))
    order = [name for name in (*found.compositions, *handles) if name in handles]
    names = list(dict.fromkeys(order))
    figure.legend(
        [handles[name] for name in names], list(map(brief, names)),
        loc="outside right upper", frameon=False, fontsize=9,
    )  # fmt: skip
    caption = (
        f"{view_title(headline)}, {_where(found)}. Lines: means. Bands: simultaneous 95 % interval "
        f"of the difference to {found.size:,} places of {found.reference} (dashed), around its "
        "mean, cut where they leave the axes: where a band is off the dashed line, the difference "
        "is decided."
    )
    return Drawing("exchange", figure, "Scores against the number of places", caption)
