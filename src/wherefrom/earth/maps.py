"""World maps in an equal-area projection, for cards and reports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from numpy.typing import ArrayLike, NDArray

from wherefrom.earth.fetch import path_of
from wherefrom.earth.polygons import read_shapes

__all__ = [
    "DOTS",
    "LIGHT",
    "Paper",
    "Places",
    "density",
    "draw_density",
    "draw_places",
    "project",
    "world_axes",
]

# Coefficients of the Equal Earth projection: B. Savric, T. Patterson, B. Jenny, The Equal Earth
# map projection, Int. J. Geogr. Inf. Sci. 33 (2019) 454-465, equation 9.
A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796


@dataclass(frozen=True)
class Paper:
    """Colours of an empty world map, and of the least of a density on it."""

    sea: str = "#f4f6f8"
    land: str = "#dcdcd6"
    edge: str = "#9aa0a6"
    grid: str = "#e3e6e9"
    least: str = ""


LIGHT = Paper()

#: More places than these are drawn as a density, since dots would cover each other.
DOTS = 25_000

#: Half the width and height of the map with its margin, in units of the Earth's radius.
HALF_WIDTH, HALF_HEIGHT = 2.7066300 * 1.01, 1.3173628 * 1.01
WHOLE = (-HALF_WIDTH, -HALF_HEIGHT, HALF_WIDTH, HALF_HEIGHT)
#: Squares of a density, from south to north and west to east.
COLUMNS = 560
ROWS = round(COLUMNS * HALF_HEIGHT / HALF_WIDTH)


def project(lon: ArrayLike, lat: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project places, degrees, to the Equal Earth map, in units of the Earth's radius.

    >>> x, y = project([0.0, 180.0], [90.0, 0.0])
    >>> x.round(3).tolist(), y.round(3).tolist()
    ([0.0, 2.707], [1.317, 0.0])
    """
    lam, phi = np.radians(np.asarray(lon, float)), np.radians(np.asarray(lat, float))
    theta = np.arcsin(np.sqrt(3) / 2 * np.sin(phi))
    t2 = theta**2
    t6 = t2**3
    slope = A1 + 3 * A2 * t2 + t6 * (7 * A3 + 9 * A4 * t2)
    x = 2 * np.sqrt(3) / 3 * lam * np.cos(theta) / slope
    y = theta * (A1 + A2 * t2 + t6 * (A3 + A4 * t2))
    return x, y


Places = tuple[NDArray[np.float64], NDArray[np.float64]]


def world_axes(
    ax: Axes, *, land: bool = True, within: Places | None = None, paper: Paper = LIGHT
) -> Axes:
    """Turn axes into an empty world map: sea, land, outline, and lines every 30 degrees.

    It is drawn on with coordinates of `project`; no pyplot state is touched. `land` is Natural
    Earth's, which may need a download. With `within`, longitudes and latitudes, it shows no more
    than these and a margin, in detail; those on both rims of the map are left on the whole.

    Raises
    ------
    WherefromError
        If the land polygons cannot be had.
    """
    frame = WHOLE if within is None else _frame(*project(*within))
    ring = np.linspace(-90, 90, 181)
    x, y = project(np.r_[np.full(181, -180.0), np.full(181, 180.0)], np.r_[ring, ring[::-1]])
    ax.fill(x, y, facecolor=paper.sea, edgecolor="none", zorder=0)
    for meridian in range(-150, 180, 30):
        ax.plot(*project(np.full(181, meridian), ring), color=paper.grid, lw=0.4, zorder=0.5)
    for parallel in range(-60, 90, 30):
        ax.plot(*project([-180, 180], [parallel] * 2), color=paper.grid, lw=0.4, zorder=0.5)
    if land:
        near = frame != WHOLE
        rings = _land_rings(path_of("natural-earth-countries"), near)
        if near:
            west, south, east, north = frame
            rings = tuple(
                ring
                for ring in rings
                if (ring.max(axis=0) > (west, south)).all()
                and (ring.min(axis=0) < (east, north)).all()
            )
        # Edges in the same colour close the hairlines between neighbouring countries.
        ax.add_collection(
            PolyCollection(
                rings, facecolor=paper.land, edgecolor=paper.land, linewidth=0.3, zorder=1
            )
        )
    ax.fill(x, y, facecolor="none", edgecolor=paper.edge, lw=0.8, zorder=4)
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.set_xlim(frame[0], frame[2])
    ax.set_ylim(frame[1], frame[3])
    return ax


def _frame(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a map of some projected places."""
    if np.ptp(x) > HALF_WIDTH:
        return WHOLE
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    margin = 0.08 * (high - low) + 1e-4
    west, south = np.maximum(low - margin, WHOLE[:2]).tolist()
    east, north = np.minimum(high + margin, WHOLE[2:]).tolist()
    return west, south, east, north


def draw_places(
    ax: Axes, lon: ArrayLike, lat: ArrayLike, *, color: str = "#1f5a96", size: float = 2.0
) -> Any:
    """Draw places, degrees, on a world map: as dots, or as a density where there are over `DOTS`.

    `color` is that of the dots, or of the densest square; `size` the area of a dot, points squared.
    """
    x, y = project(lon, lat)
    if x.size <= DOTS:
        return ax.scatter(x, y, s=size, c=color, alpha=0.6, linewidths=0, zorder=3)
    return draw_density(ax, density(lon, lat), color=color)


def density(lon: ArrayLike, lat: ArrayLike, weight: ArrayLike | None = None) -> NDArray[np.float64]:
    """Count places in the squares of a world map; counts of parts of a pool add up.

    The counts, of shape (273, 560), are of equal-area squares, from south to north and west to
    east; each place counts `weight`, by default 1.
    """
    x, y = project(lon, lat)
    row = ((y / HALF_HEIGHT + 1) * (ROWS / 2)).astype(np.int64)
    column = ((x / HALF_WIDTH + 1) * (COLUMNS / 2)).astype(np.int64)
    counts = np.bincount(row * COLUMNS + column, weight, minlength=ROWS * COLUMNS)
    return counts.reshape(ROWS, COLUMNS).astype(np.float64)


def draw_density(
    ax: Axes, counts: NDArray[np.float64], *, color: str = "#1f5a96", paper: Paper = LIGHT
) -> Any:
    """Shade the squares of `density` on a logarithmic scale, the densest in this colour.

    >>> from matplotlib.figure import Figure
    >>> image = draw_density(Figure().add_subplot(), density([10.0, 20.0], [0.0, 50.0]))
    """
    shades = LinearSegmentedColormap.from_list(
        "places", ((0.0, paper.least or _pale(color)), (1.0, color))
    )
    return ax.imshow(
        np.ma.masked_equal(counts, 0),
        origin="lower",
        extent=(-HALF_WIDTH, HALF_WIDTH, -HALF_HEIGHT, HALF_HEIGHT),
        cmap=shades,
        norm=LogNorm(1, max(float(counts.max()), 2.0)),
        interpolation="nearest",
        zorder=3,
    )


def _pale(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.7 + 0.3 * red, 0.7 + 0.3 * green, 0.7 + 0.3 * blue


@lru_cache(maxsize=2)
def _land_rings(path: Path, near: bool) -> tuple[NDArray[np.float64], ...]:
    """Project the outlines of all land, simplified to what is seen of them where not `near`."""
    shapes, _ = read_shapes(path, ())
    parts = shapely.get_parts(
        shapes if near else shapely.simplify(shapes, 0.08, preserve_topology=False)
    )
    # Below some 10 km across an island would be less than a pixel of the world.
    rings = shapely.get_exterior_ring(parts[near | (shapely.area(parts) > 0.01)])
    outlines = [shapely.get_coordinates(ring) for ring in rings]
    return tuple(np.stack(project(xy[:, 0], xy[:, 1]), axis=1) for xy in outlines)
