"""Small maps of every composition, side by side."""

from __future__ import annotations

from matplotlib.figure import Figure

from wherefrom.earth.maps import draw_places, world_axes
from wherefrom.report.context import ReportContext
from wherefrom.report.panels import Parts
from wherefrom.report.style import Look

__all__ = ["composition_maps"]


def composition_maps(context: ReportContext, look: dict[str, Look]) -> Parts | None:
    """Draw the places of every composition; None if the context has none.

    Parameters
    ----------
    context : ReportContext
        Its `maps` hold longitudes and latitudes in degrees.
    look : dict of str to Look
        Colours, the same as in all figures.

    Returns
    -------
    Parts or None

    Examples
    --------
    >>> composition_maps(ReportContext("s", "debug", []), {}) is None
    True
    """
    names = [name for name in context.order(list(context.maps)) if len(context.maps[name][0])]
    if not names:
        return None
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.35 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax, name in zip(grid, names, strict=False):
        lon, lat = context.maps[name]
        world_axes(ax)
        colour = look[name].colour if name in look else "#444444"
        # Fewer places get larger dots, so that a small composition is not lost on the map.
        draw_places(ax, lon, lat, color=colour, size=min(6.0, max(0.8, 6000 / len(lon))))
        ax.set_title(f"{name} ({len(lon):,} places)", fontsize=10)
    for ax in grid[len(names) :]:
        ax.set_visible(False)
    caption = (
        "Places of one draw of each composition, Equal Earth projection (areas are true). "
        "Zero pre-training (none) has no places. All models are pre-trained on the same draws."
    )
    return Parts("maps", figure, "Where the compositions come from", caption)
