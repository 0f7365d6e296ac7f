"""What counts of the Earth's surface: land, the ocean, the coast on both sides, or all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray

from wherefrom.earth.base import Layer
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.kept import keep
from wherefrom.earth.land import LAND_SHARE, on_land
from wherefrom.earth.layers import layer, layer_key
from wherefrom.earth.sphere import arc_km, chord, distance_km, uniform_on_sphere, unit_vectors
from wherefrom.errors import unknown
from wherefrom.keys import key_of
from wherefrom.progress import say

__all__ = [
    "COAST_KM",
    "SURFACES",
    "Surface",
    "Words",
    "checked_surface",
    "land_layers",
    "lies_on",
    "uniform_on",
]

Floats: TypeAlias = NDArray[np.float64]
Surface: TypeAlias = Literal["land", "ocean", "coast", "all"]

#: Kilometres from the border of land and sea, on either side, that are coast.
COAST_KM = 50.0
#: Points of that border are no farther apart, km, so that no distance near `COAST_KM` is off by
#: more than sqrt(50^2 + 0.5^2) - 50 km = 3 m.
STEP_KM = 1.0
#: Bands of the cells that tell most places without a look at the border.
BANDS = 1000
_VERSION = 1  # of what is kept in the cache


class Words(NamedTuple):
    """What a surface is called: after "the", and alone; its share of the sphere; what it is."""

    noun: str
    name: str
    share: float
    about: str


#: Shares are measured (a test measures them); that of land is without Antarctica.
SURFACES: dict[str, Words] = {
    "land": Words("land", "land", LAND_SHARE, "the countries of Natural Earth 1:10m"),
    "ocean": Words(
        "ocean", "the ocean", 0.7124,
        "what is in none of Natural Earth's countries 1:10m: seas, and the Caspian; no other lakes",
    ),
    "coast": Words(
        "coast", "the coast", 0.0911,
        f"within {COAST_KM:g} km of the border of land and sea, on either side, by Natural Earth's "
        "countries 1:10m",
    ),
    "all": Words("globe", "the globe", 1.0, "the whole sphere"),
}  # fmt: skip


def checked_surface(name: str) -> Surface:
    """Return the name of a surface, or say which there are.

    >>> checked_surface("ocaen")
    Traceback (most recent call last):
    ...
    wherefrom.errors.UnknownNameError: unknown reference 'ocaen': did you mean 'ocean'? Known: \
land, ocean, coast, all
    """
    if name not in SURFACES:
        raise unknown("reference", name, SURFACES)
    found: Surface = name  # type: ignore[assignment]
    return found


def lies_on(
    surface: Surface,
    lon: Floats,
    lat: Floats,
    antarctica: bool = True,
    layers: tuple[Layer, Layer] | None = None,
) -> NDArray[np.bool_]:
    """Tell which places, degrees, shape (N,), lie on a surface.

    Without `antarctica`, land there does not count as land; of the others all counts. `layers` are
    as in `wherefrom.earth.land.on_land`.

    Raises
    ------
    WherefromError
        If the polygons of land cannot be had.

    Examples
    --------
    Berlin, Brest at the Atlantic, a place in mid-ocean:

    >>> lon, lat = np.array([13.4, -4.49, -150.0]), np.array([52.5, 48.39, 0.0])
    >>> [lies_on(one, lon, lat).tolist() for one in ("land", "ocean", "coast")]
    [[True, True, False], [False, False, True], [False, True, False]]
    """
    if surface == "all":
        return np.ones(len(lon), dtype=np.bool_)
    if surface == "coast":
        return _on_coast(lon, lat)
    inside, frozen = on_land(lon, lat, layers)
    if surface == "ocean":
        return np.asarray(~inside)
    return inside if antarctica else inside & ~frozen


def uniform_on(
    surface: Surface, places: int, rng: np.random.Generator, antarctica: bool = True
) -> tuple[Floats, Floats]:
    """Draw places uniformly by area on a surface, degrees.

    >>> lon, lat = uniform_on("coast", 1000, np.random.default_rng(0))
    >>> len(lon), bool(lies_on("coast", lon, lat).all())
    (1000, True)
    """
    kept: list[tuple[Floats, Floats]] = []
    found = 0
    while found < places:
        # A little more than the share asks for, so that one turn mostly does.
        size = int((places - found) * 1.03 / SURFACES[surface].share) + 64
        lon, lat = uniform_on_sphere(size, rng)
        inside = lies_on(surface, lon, lat, antarctica, land_layers())
        kept.append((lon[inside], lat[inside]))
        found += int(inside.sum())
    lon, lat = (np.concatenate(both)[:places] for both in zip(*kept, strict=True))
    return lon, lat


@lru_cache(maxsize=1)
def land_layers() -> tuple[Layer, Layer]:
    """Open the layers once: to look for their files takes longer than to draw 10,000 places."""
    return layer("land"), layer("continent")


def _on_coast(lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    """Look cells up, and measure the distance where the rim of the coast crosses one."""
    cells, state = _cells(layer_key("land"))
    there = state[cells.cell(lon, lat)]
    near = np.asarray(there == 1)
    unsure = np.flatnonzero(there == 2)
    near[unsure] = _border_km(lon[unsure], lat[unsure], COAST_KM) <= COAST_KM
    return near


def _border_km(lon: Floats, lat: Floats, most_km: float) -> Floats:
    """Return the distances to the border of land and sea; half a circumference beyond the most."""
    far = chord(most_km) * (1.0 + 1e-9)
    found, _ = _tree(layer_key("land")).query(unit_vectors(lon, lat), distance_upper_bound=far)
    return arc_km(found)


@lru_cache(maxsize=1)
def _cells(land: str) -> tuple[EqualAreaCells, NDArray[np.uint8]]:
    """Tell of each cell whether it is off the coast (0), on it (1), or neither as a whole (2)."""
    cells = EqualAreaCells(BANDS)

    def make() -> NDArray[np.uint8]:
        say(f"measuring where the sea is within {COAST_KM:g} km of land, once")
        lon, lat = cells.centre(np.arange(cells.count))
        west, south, _, north = cells.bounds(np.arange(cells.count))
        # The corners of a cell are the farthest of it, or nearly.
        reach = 1.02 * np.maximum(
            distance_km(lon, lat, west, south), distance_km(lon, lat, west, north)
        )
        km = _border_km(lon, lat, COAST_KM + float(reach.max()))
        off, on = km > COAST_KM + reach, km <= COAST_KM - reach
        return np.where(off, 0, np.where(on, 1, 2)).astype(np.uint8)

    name = f"coast-cells-{key_of([_VERSION, COAST_KM, STEP_KM, BANDS, land])}.npy"
    return cells, keep(name, make, lambda values, path: np.save(path, values), np.load)


@lru_cache(maxsize=1)
def _tree(land: str) -> Any:
    """Return a tree of points on the border of land and sea, scipy's `cKDTree`."""
    from scipy.spatial import cKDTree  # slow to import

    name = f"coast-{key_of([_VERSION, STEP_KM, land])}.npy"
    lon, lat = keep(name, _border, lambda values, path: np.save(path, values), np.load)
    return cKDTree(unit_vectors(lon, lat), balanced_tree=False, compact_nodes=False)


def _border() -> Floats:
    """Return points of the border of land and sea, degrees, shape (2, M).

    That of all countries together, without the edges that close the polygons at the antimeridian
    and at the south pole.
    """
    say("finding the border of land and sea, once")
    shapes: Callable[[int], NDArray[np.object_]] = layer("land").lookup.shapes  # type: ignore[attr-defined]
    whole = shapely.get_parts(shapely.union_all(shapes(0)))
    xy, ring = shapely.get_coordinates(shapely.get_rings(whole), return_index=True)
    start, end = xy[:-1], xy[1:]
    rim = (np.abs(start[:, 0]) > 180.0 - 1e-6) & (np.abs(end[:, 0]) > 180.0 - 1e-6)
    rim |= (start[:, 1] < -90.0 + 1e-6) & (end[:, 1] < -90.0 + 1e-6)
    kept = (ring[1:] == ring[:-1]) & ~rim
    start, end = start[kept], end[kept]
    parts = np.ceil(distance_km(*start.T, *end.T) / STEP_KM).clip(1.0).astype(np.int64)
    edge = np.repeat(np.arange(len(parts)), parts)
    along = (np.arange(len(edge)) - np.repeat(np.cumsum(parts) - parts, parts)) / parts[edge]
    points = start[edge] + along[:, None] * (end - start)[edge]
    return np.ascontiguousarray(points.T)
