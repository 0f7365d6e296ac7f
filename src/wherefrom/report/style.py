"""What tables and figures have in common: names, numbers, colours, panels and axes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wherefrom.evidence import INITIAL, DeviationRow, DifferenceRow, Headline, SummaryRow, View
from wherefrom.shown import brief
from wherefrom.train.scores import METRICS

__all__ = [
    "Drawing", "FAINT", "INK", "Look", "coloured", "dot", "estimate", "looks_of", "metric_title",
    "number", "panels", "plain", "rows_axis", "score_title", "share_axis", "signed", "turned",
    "view_title",
]  # fmt: skip

INK, FAINT = "#222222", "#d9dde1"

# Okabe and Ito's colours (distinct under the common kinds of colour blindness) without yellow,
# which is too faint on white, and two more of different lightness.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#6a3d9a", "#56b4e9", "#8c6d31")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")

#: Has the limits of an interval, where there is one.
Estimated = SummaryRow | DifferenceRow | DeviationRow


class Look(NamedTuple):
    """Colour and marker of a row; colour is never the only sign."""

    colour: str
    marker: str
    dash: str | tuple[float, tuple[float, ...]]


def looks_of(headline: Headline) -> dict[str, Look]:
    """Give every row of a headline its look, by its place in the order and not by its score.

    A composition looks the same for every model.
    """
    compositions = headline.evidence.compositions
    baselines = sorted({key.model for _, _, key in headline.rows if not key.composition})
    styles = {}
    trained = [name for name in compositions if name != INITIAL]
    for i, name in enumerate(trained):
        # One more than there are colours gets the first colour with the second marker.
        marker = _MARKERS[(i + i // len(_COLOURS)) % len(_MARKERS)]
        styles[name] = Look(_COLOURS[i % len(_COLOURS)], marker, "-")
    if INITIAL in compositions:
        styles[INITIAL] = Look("#222222", "x", "-")
    dashes: tuple[tuple[float, tuple[float, ...]], ...] = (
        (0, (5, 2)), (0, (2, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1, 2)), (0, (9, 2)),
        (0, (6, 1.5, 1, 1.5, 1, 1.5)),
    )  # fmt: skip
    for i, name in enumerate(baselines):
        styles[name] = Look(
            ("#777777", "#999999", "#555555", "#aaaaaa")[i % 4], "|", dashes[i % len(dashes)]
        )
    return styles


def metric_title(metric: str) -> str:
    """Return the name of a metric for people."""
    return METRICS[metric].title if metric in METRICS else metric


def score_title(headline: Headline) -> str:
    """Return the name of a headline's metric for people, with the units where it is in units."""
    units = headline.units
    return metric_title(headline.view.metric) + (f" ({units})" if units else "")


def turned(headline: Headline) -> str:
    """Say which way is better, where it is not the usual one."""
    return "" if headline.view.sign > 0 else ", lower is better"


def number(value: float | None, digits: int = 3) -> str:
    """Write a score (with a true minus), or a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference with its sign (a true minus), or a dash for none."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def estimate(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    sign: bool = False,
    digits: int = 3,
) -> str:
    """Write an estimate with its interval, if it has one."""
    write = signed if sign else number
    ends = "" if low is None else f" [{write(low, digits)}, {write(high, digits)}]"
    return write(value, digits) + ends


class Drawing(NamedTuple):
    """A figure with its file name (no suffix), title and caption, and the headline it is about."""

    name: str
    figure: Figure
    title: str
    caption: str
    view: View | None = None


def view_title(headline: Headline) -> str:
    """Say at the head of a caption what a figure is about."""
    text = f"{score_title(headline)}, {headline.title}"
    return text[0].upper() + text[1:]


def dot(
    ax: Axes, x: float, y: float, look: Look, row: Estimated, *, filled: bool, alpha: float = 0.7
) -> None:
    """Set the marker of a row and its interval; hollow where that or a decision is missing."""
    if row.low is not None and row.high is not None:
        ax.plot([row.low, row.high], [y, y], color=look.colour, lw=2, alpha=alpha)
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


def coloured(
    values: NDArray[np.float64],
    size: tuple[float, float],
    label: str,
    colours: str,
    ends: tuple[float, float],
) -> tuple[Figure, Axes]:
    """Colour the cells of a table, with its columns named on top."""
    figure = Figure(figsize=size, layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(values, cmap=colours, aspect="auto", vmin=ends[0], vmax=ends[1])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label=label, fraction=0.03, pad=0.02)
    return figure, ax


def rows_axis(ax: Axes, title: str, labels: list[str]) -> None:
    """Write rows from top to bottom along the vertical axis."""
    ax.set_title(brief(title), fontsize=10, loc="left")
    ax.set_yticks(range(len(labels)), list(map(brief, labels)), fontsize=9)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    plain(ax)


def plain(ax: Axes) -> None:
    """Leave a panel of rows its grid and its lower axis alone."""
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
