"""Maps of an audit: the places, where there are more or fewer than in the reference, entropy."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from wherefrom.auditing.entropy import Entropy
from wherefrom.auditing.mapped import PlacesMap
from wherefrom.auditing.wording import kilometres
from wherefrom.earth.maps import draw_density, draw_places, project, world_axes
from wherefrom.report.audit_style import OURS, Shown

__all__ = ["entropy_map", "places_map", "ratio_map"]

#: Ratios beyond these have the darkest colour.
MOST = 8.0
#: Places that a cell must hold or be due to hold, so that its ratio is more than noise.
DUE = 5.0


def places_map(places: PlacesMap) -> Shown:
    """Map the places: dots, or their density where they are many."""
    figure, ax = _world()
    if places.lon is not None and places.lat is not None:
        size = min(6.0, max(0.8, 6000 / max(len(places.lon), 1)))
        draw_places(ax, places.lon, places.lat, color=OURS, size=size)
        caption = "Every place is a dot."
    else:
        image = draw_density(ax, places.squares, color=OURS)
        bar = _bar(figure, ax, image, "places in a square")
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        caption = "Places in equal squares of about 60 km, on a logarithmic scale."
    return Shown("places", figure, "Where the places are", f"{caption} Equal Earth projection.")


def ratio_map(places: PlacesMap, against: str) -> Shown:
    """Map how many times the reference's share of each equal-area cell the places have."""
    figure, ax = _world()
    total = float(places.count.sum())
    told = np.flatnonzero(np.maximum(places.count, places.reference * total) >= DUE)
    with np.errstate(divide="ignore"):
        ratio = np.clip(places.share[told] / places.reference[told], 1 / MOST, MOST)
    norm = LogNorm(1 / MOST, MOST)
    _fill(ax, places.cells.bounds(told), ratio, "PuOr_r", norm)
    bar = _bar(figure, ax, ScalarMappable(norm, "PuOr_r"), f"times the share of {against}")
    bar.ax.xaxis.set_major_locator(FixedLocator([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.set_xticklabels(["≤ 1/8", "1/4", "1/2", "1", "2", "4", "≥ 8"])
    size = kilometres(places.cells.area_km2**0.5)
    caption = (
        f"Share of the places over the share of {against}, in equal-area cells {size} wide. "
        f"Orange: more places than {against} has; violet: fewer. Cells in which fewer than "
        f"{DUE:g} places are and would be expected are left out."
    )
    return Shown("ratio", figure, f"More or fewer than {against}", caption)


def entropy_map(entropy: Entropy) -> Shown | None:
    """Map the mean spectral entropy of the samples in each cell."""
    if not entropy.cells:
        return None
    figure, ax = _world()
    edges = np.array([(c.west, c.south, c.east, c.north) for c in entropy.cells]).T
    values = np.array([cell.mean for cell in entropy.cells])
    low, high = float(values.min()), float(values.max())
    norm = Normalize(low, high if high > low else low + 1e-9)
    _fill(ax, (edges[0], edges[1], edges[2], edges[3]), values, "viridis", norm)
    _bar(figure, ax, ScalarMappable(norm, "viridis"), "nats")
    caption = (
        f"Mean spectral entropy of the samples in each equal-area cell, {entropy.samples:,} "
        f"samples in all; at most {entropy.most:.2f} nats."
    )
    return Shown("entropy", figure, "Spectral entropy", caption)


def _world() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.2, 4.7), layout="constrained")
    ax = world_axes(figure.add_subplot())
    return figure, ax


def _bar(figure: Figure, ax: Axes, shades: ScalarMappable, label: str) -> Colorbar:
    return figure.colorbar(
        shades, ax=ax, label=label, orientation="horizontal", fraction=0.045, pad=0.02, aspect=45
    )


def _fill(
    ax: Axes,
    bounds: tuple[NDArray[np.float64], ...],
    values: NDArray[np.float64],
    colours: str,
    norm: Normalize,
) -> None:
    """Fill cells between meridians and parallels."""
    west, south, east, north = bounds
    # Meridians are curves on this map; parallels are straight.
    steps = np.linspace(0, 1, 9)
    lat = south[:, None] + (north - south)[:, None] * steps
    up_x, up_y = project(np.broadcast_to(west[:, None], lat.shape), lat)
    down_x, down_y = project(np.broadcast_to(east[:, None], lat.shape), lat[:, ::-1])
    rings = np.stack(
        [np.concatenate([up_x, down_x], axis=1), np.concatenate([up_y, down_y], axis=1)], axis=2
    )
    cells = PolyCollection(
        list(rings),
        array=values,
        cmap=colours,
        norm=norm,
        edgecolor="face",
        linewidth=0.2,
        zorder=3,
    )
    ax.add_collection(cells)
