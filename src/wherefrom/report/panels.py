"""What the figures of a report have in common: panels, axes, dots and looks."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wherefrom.evidence import Headline
from wherefrom.report.style import Look, looks, metric_title

__all__ = [
    "FAINT",
    "INK",
    "Parts",
    "dot",
    "folded",
    "looks_of",
    "panels",
    "rows_axis",
    "share_axis",
    "view_title",
]

INK, FAINT = "#222222", "#d9dde1"


class Parts(NamedTuple):
    """A figure with its kind, title and caption."""

    kind: str
    figure: Figure
    title: str
    caption: str


def looks_of(headline: Headline) -> dict[str, Look]:
    """Return the looks of a headline's rows; a composition looks the same for every model."""
    beside = {key.model for _, _, key in headline.rows if not key.composition}
    return looks(headline.evidence.compositions, sorted(beside))


def view_title(headline: Headline) -> str:
    """Say at the head of a caption what a figure is about."""
    text = f"{metric_title(headline.view.metric)}, {headline.title}"
    return text[0].upper() + text[1:]


def folded(region: str) -> str:
    """Break the name of a region into lines."""
    return region.replace(" ", "\n")


def dot(ax: Axes, x: float, y: float, look: Look, *, filled: bool) -> None:
    """Set the marker of a row, hollow where nothing is decided or no interval is known."""
    if look.marker in ("x", "|"):
        ax.plot([x], [y], marker=look.marker, color=look.colour, ms=7, mew=2.2 if filled else 1.0)
        return
    face = look.colour if filled else "white"
    ax.plot([x], [y], marker=look.marker, color=look.colour, mfc=face, ms=6.5, mew=1.4)


def panels(count: int, rows: int) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels with common axes, four in a line."""
    columns = min(4, count)
    lines = -(-count // columns)
    figure = Figure(
        figsize=(1.6 + 2.7 * columns, lines * max(2.2, 0.9 + 0.3 * rows)), layout="constrained"
    )
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True, sharex=True)
    return figure, list(grid.ravel())


def rows_axis(ax: Axes, title: str, labels: list[str]) -> None:
    """Write rows from top to bottom along the vertical axis."""
    ax.set_title(title, fontsize=10, loc="left")
    ax.set_yticks(range(len(labels)), labels, fontsize=9)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(axis="x", color=FAINT, lw=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def share_axis(axes: list[Axes], used: int, label: str) -> None:
    """Label the common horizontal axis and hide the panels that are not used."""
    for ax in axes[used:]:
        ax.set_visible(False)
    figure = axes[0].get_figure()
    assert figure is not None
    figure.supxlabel(label, fontsize=10)
    for ax in axes[:used]:
        ax.tick_params(axis="x", labelbottom=True)
