"""Plots of an audit: what they have in common, and how one becomes a picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wherefrom import shown
from wherefrom.earth.maps import Places, project, world_axes

__all__ = [
    "FAINT",
    "GREY",
    "INK",
    "LABELS",
    "OURS",
    "REFERENCE",
    "WHITE",
    "WORLD",
    "Drawing",
    "bare",
    "colour_bar",
    "fill_cells",
    "label_rows",
    "rows_size",
]

#: Colours of the places and of what they are compared with, those of a composition's card.
OURS, REFERENCE = "#1f5a96", "#b9bec4"
INK, FAINT, GREY = "#222222", "#d9dde1", "#8a9096"
#: Behind words that lines cross.
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
#: Labels that a plot has; of more, those that differ most are shown.
LABELS = 18
#: Size of a world map in inches.
WORLD = (8.2, 4.7)


@dataclass(frozen=True)
class Drawing:
    """A plot that is drawn, on the axes given to `draw`, when it is needed.

    `name` is its anchor on the page; `size` is in inches.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Axes], None]
    size: tuple[float, float] = (6.1, 3.7)

    def png(self, dpi: int = 150) -> bytes:
        """Draw as PNG; the same plot gives the same bytes."""
        stream = io.BytesIO()
        with shown.figures():
            figure = Figure(figsize=self.size, layout="constrained")
            self.draw(figure.add_subplot())
            shown.ticked(figure)
            figure.savefig(
                stream, format="png", dpi=dpi, facecolor="white", metadata={"Software": None}
            )
        return stream.getvalue()


def bare(ax: Axes) -> None:
    """Leave only the axes that are read."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.grid(color=FAINT, lw=0.7)
    ax.set_axisbelow(True)


def rows_size(rows: int) -> tuple[float, float]:
    """Return the size of a plot with so many labelled rows, in inches."""
    return 6.1, 0.9 + 0.27 * rows


def label_rows(ax: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a plot from top to bottom."""
    ax.set_yticks(range(len(labels)), list(map(shown.brief, labels)), size=8)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    bare(ax)


def colour_bar(ax: Axes, shades: ScalarMappable, label: str) -> Colorbar:
    """Put the colours of a map under it, and return them."""
    return ax.figure.colorbar(
        shades, ax=ax, label=label, orientation="horizontal", fraction=0.045, pad=0.02, aspect=45
    )


def fill_cells(
    ax: Axes,
    bounds: Sequence[NDArray[np.float64]],
    values: NDArray[np.float64],
    colours: str,
    norm: Normalize,
    label: str,
    within: Places | None = None,
) -> Colorbar:
    """Draw cells on a world map by their values, shape (C,), and return the colours under it.

    `bounds` are west, south, east and north, degrees, each of shape (C,); `within` as of
    `world_axes`.
    """
    world_axes(ax, within=within)
    west, south, east, north = bounds
    # Meridians are curves on this map; parallels are straight.
    lat = south[:, None] + (north - south)[:, None] * np.linspace(0, 1, 9)
    up = project(np.broadcast_to(west[:, None], lat.shape), lat)
    down = project(np.broadcast_to(east[:, None], lat.shape), lat[:, ::-1])
    rings = np.stack([np.concatenate(both, axis=1) for both in zip(up, down, strict=True)], axis=2)
    cells = PolyCollection(
        list(rings), array=values, cmap=colours, norm=norm, edgecolor="face", linewidth=0.2,
        zorder=3,
    )  # fmt: skip
    ax.add_collection(cells)
    return colour_bar(ax, cells, label)
