"""Figures of a sweep over the number of labels: levels above, differences to a reference below."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wherefrom.evidence import INITIAL, Headline, SummaryRow
from wherefrom.report.style import FAINT, INK, Look, looks_of, score_title, turned
from wherefrom.shown import brief

__all__ = ["READING", "Sweep", "sweep_figure"]

#: How the figure is read, in sentences for its caption.
READING = (
    "Above: the reference, and what is not a composition. Below: compositions minus the reference, "
    "set beside each other at each n, with simultaneous 95 % intervals where there are blocks to "
    "give one, cut at the panel."
)
_OTHER = Look("#777777", "|", ":")


class Sweep(NamedTuple):
    """A panel: its title, the region, and the headline at each number of labels, ascending."""

    title: str
    region: str
    grown: Sequence[Headline]


def sweep_figure(sweeps: Sequence[Sweep], blind: Collection[str], columns: int) -> Figure:
    """Draw sweeps side by side.

    Curves of compositions lie on one another, so that their differences are drawn; without the
    reference, the curves themselves. Baselines that are `blind` are left out.
    """
    columns = min(columns, len(sweeps))
    lines = -(-len(sweeps) // columns)
    apart = any(_differences(one) for one in sweeps)
    each = 2 if apart else 1
    figure = Figure(
        figsize=(1.8 + (4.4 if columns < 3 else 3.1) * columns, (6.0 if apart else 3.9) * lines),
        layout="constrained",
    )
    grid = figure.subplots(
        each * lines, columns, squeeze=False, height_ratios=[2, 3][-each:] * lines
    )
    handles: dict[str, Line2D] = {}
    first = sweeps[0].grown[0]
    reference = first.evidence.references[0]
    for at, one in enumerate(sweeps):
        top = each * (at // columns)
        axes = [grid[top + i, at % columns] for i in range(each)]
        _levels(axes[0], one, blind, handles, alone=not apart)
        axes[0].set_title(brief(one.title, 60), fontsize=10)
        if apart:
            _apart(axes[1], one, handles)
        for ax in axes:
            _sizes_axis(ax, one)
        axes[-1].set_xlabel("labelled places n (logarithmic)")
        if at % columns == 0:
            title = score_title(one.grown[0]) + turned(one.grown[0])
            axes[0].set_ylabel(title)
            if apart:
                axes[1].set_ylabel(f"minus {brief(reference)}")
    for at in range(len(sweeps), lines * columns):
        for i in range(each):
            grid[each * (at // columns) + i, at % columns].set_visible(False)
    figure.legend(handles.values(), map(brief, handles), loc="outside right upper", frameon=False)
    return figure


def _levels(
    ax: Axes, sweep: Sweep, blind: Collection[str], handles: dict[str, Line2D], *, alone: bool
) -> None:
    """Draw the scores of the reference and of what is no composition; `alone`, of all."""
    lines: dict[str, list[SummaryRow]] = {}
    reference = sweep.grown[0].evidence.references[0]
    for one in sweep.grown:
        for _, _, key in one.rows:
            row = one.mean(key, sweep.region)
            beside = key.composition in ("", reference, INITIAL) or alone
            if row is not None and beside and key.model not in blind:
                lines.setdefault(key.composition or key.model, []).append(row)
    look = looks_of(sweep.grown[0])
    for name, rows in lines.items():
        style = look.get(name, _OTHER)
        marker = style.marker if rows[0].composition else None
        x, y = [row.n for row in rows], [row.mean for row in rows]
        (handles[name],) = ax.plot(
            x, y, color=style.colour, lw=1.6, ls=style.dash, marker=marker, ms=5
        )


def _differences(sweep: Sweep) -> dict[str, list[tuple[float, float, float | None, float | None]]]:
    """Return n, difference and ends of each composition but zero pre-training, by name."""
    found: dict[str, list[tuple[float, float, float | None, float | None]]] = {}
    for one in sweep.grown:
        for row in one.differences(one.evidence.references[0], sweep.region):
            if row.composition != INITIAL:
                point = (row.n, row.difference, row.low, row.high)
                found.setdefault(row.composition, []).append(point)
    return found


def _apart(ax: Axes, sweep: Sweep, handles: dict[str, Line2D]) -> None:
    first = sweep.grown[0]
    look, found = looks_of(first), _differences(sweep)
    ax.axhline(0, color=INK, lw=0.8)
    ends = [-first.margin, first.margin]
    if first.margin:
        ax.axhspan(*ends, color=FAINT, alpha=0.6, lw=0)
    for i, (name, points) in enumerate(found.items()):
        style = look.get(name, _OTHER)
        # Side by side, so that intervals of like differences are told from each other.
        aside = 0.012 * (i - (len(found) - 1) / 2)
        x = [point[0] * _span(sweep) ** aside for point in points]
        y = [point[1] for point in points]
        (handles[name],) = ax.plot(x, y, color=style.colour, lw=1.0, marker=style.marker, ms=5)
        for place, (_, _, low, high) in zip(x, points, strict=True):
            if low is not None and high is not None:
                ax.plot([place, place], [low, high], color=style.colour, lw=1.6, alpha=0.6)
        ends += y
    # Of few blocks an interval is wider than all that is to be seen.
    room = 0.35 * (max(ends) - min(ends)) or 0.01
    ax.set_ylim(min(ends) - room, max(ends) + room)


def _span(sweep: Sweep) -> float:
    """Return how many times as many labels the last of a sweep has as the first."""
    return sweep.grown[-1].view.n / sweep.grown[0].view.n


def _sizes_axis(ax: Axes, sweep: Sweep) -> None:
    sizes = [headline.view.n for headline in sweep.grown]
    ax.set_xscale("log")
    names = [f"{n // 1000}k" if n >= 1000 and n % 1000 == 0 else f"{n:,}" for n in sizes]
    ax.set_xticks(sizes, names, fontsize=8)
    ax.minorticks_off()
    if _span(sweep) > 1:
        room = _span(sweep) ** 0.08
        ax.set_xlim(sizes[0] / room, sizes[-1] * room)
    ax.grid(axis="y", color=FAINT, lw=0.7)
    ax.spines[["top", "right"]].set_visible(False)
