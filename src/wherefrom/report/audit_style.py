"""What the figures of an audit have in common."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["FAINT", "INK", "OURS", "REFERENCE", "Shown", "bare"]

#: Colours of the places and of what they are compared with, those of a composition's card.
OURS, REFERENCE = "#1f5a96", "#b9bec4"
INK, FAINT = "#222222", "#d9dde1"


class Shown(NamedTuple):
    """A figure with its name, title and caption."""

    name: str
    figure: Figure
    title: str
    caption: str


def bare(ax: Axes) -> None:
    """Leave only the axes that are read."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.grid(color=FAINT, lw=0.7)
    ax.set_axisbelow(True)
