"""Polygons of many cells at once, from boxes and from corners on the sphere."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from wherefrom.earth.grids.base import Floats, Shapes
from wherefrom.earth.sphere import EARTH_RADIUS_KM, unit_vectors, wrap_lon

__all__ = ["boxes", "geodesics", "polygons"]

#: Metres that an edge may lie off, and most pieces that it is cut into for that.
_TRUE_M, _PIECES = 10.0, 4096


def polygons(lon: Floats, lat: Floats) -> Shapes:
    """Return polygons of rings of equally many vertices, degrees, shape (N, V), unclosed."""
    if not len(lon):
        return np.zeros(0, dtype=object)
    return np.asarray(shapely.polygons(shapely.linearrings(np.stack([lon, lat], axis=-1))))


def boxes(
    west: Floats, south: Floats, east: Floats, north: Floats, fine: NDArray[np.bool_]
) -> Shapes:
    """Return boxes of parallels and meridians, None where they are not `fine`.

    Degrees, shape (N,). Longitudes beyond 180 are brought back within.
    """
    found = np.full(len(west), None, dtype=object)
    west, south, east, north = (one[fine] for one in (west, south, east, north))
    # 180 degrees are -180 of a western edge and 180 of an eastern one, whatever rounding made them.
    west, east = wrap_lon(np.round(west, 12)), -wrap_lon(-np.round(east, 12))
    found[fine] = shapely.box(west, south, east, north)
    return found


def geodesics(lon: Floats, lat: Floats, ring: NDArray[np.int64]) -> Shapes:
    """Return polygons whose edges are arcs of great circles, cut so that they are true to 10 m.

    Parameters
    ----------
    lon, lat : (V,) array
        Corners, degrees, ring after ring, each unclosed.
    ring : (V,) array of int
        Which of the rings 0, 1, ... each corner is of.
    """
    if not len(ring):
        return np.zeros(0, dtype=object)
    first = np.flatnonzero(np.r_[True, ring[1:] != ring[:-1]])
    after = np.arange(1, len(ring) + 1)
    after[np.r_[first[1:], len(ring)] - 1] = first
    start = unit_vectors(lon, lat)
    end = start[after]
    # A straight line of degrees leaves a great circle as a parallel does: by length² tan(lat) / 8.
    arc = 2.0 * np.arcsin(np.clip(np.linalg.norm(end - start, axis=1) / 2.0, 0.0, 1.0))
    highest = np.maximum(np.abs(lat), np.abs(lat[after]))
    normal = np.cross(start, end)
    rises = np.cross(normal, start)[:, 2] * np.cross(normal, end)[:, 2] < 0.0
    top = np.degrees(np.arctan2(np.hypot(normal[:, 0], normal[:, 1]), np.abs(normal[:, 2])))
    # What ends at a pole is a meridian, which is straight.
    highest = np.where(rises, top, np.where(highest > 89.99, 0.0, highest))
    steep = np.tan(np.radians(np.minimum(highest, 89.99)))
    off = 1000.0 * EARTH_RADIUS_KM * arc**2 * np.maximum(steep, 0.1) / 8.0
    pieces = np.clip(np.ceil(np.sqrt(off / _TRUE_M)), 1, _PIECES).astype(np.int64)
    edge = np.repeat(np.arange(len(ring)), pieces)
    along = (np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[edge]
    xyz = start[edge] * (1.0 - along)[:, None] + end[edge] * along[:, None]
    of = ring[edge]
    x = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]))
    y = np.degrees(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))
    x, y, of = _at_the_poles(x, y, of)
    return np.asarray(shapely.polygons(shapely.linearrings(np.stack([x, y], 1), indices=of)))


def _at_the_poles(
    lon: Floats, lat: Floats, ring: NDArray[np.int64]
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Go along a pole from one meridian to the next, and stay on a ring's side of 180 degrees."""
    rim = np.abs(lon) > 180.0 - 1e-9
    side = np.bincount(ring, np.where(rim, 0.0, lon))
    lon = np.where(rim, np.copysign(180.0, side[ring]), lon)
    pole = np.abs(lat) > 90.0 - 1e-9
    if not pole.any():
        return lon, lat, ring
    first = np.searchsorted(ring, ring[pole])
    last = np.searchsorted(ring, ring[pole], side="right") - 1
    at = np.flatnonzero(pole)
    before = lon[np.where(at == first, last, at - 1)]
    behind = lon[np.where(at == last, first, at + 1)]
    twice = np.repeat(np.arange(len(lon)), 1 + pole)
    lon, lat, ring = lon[twice], lat[twice], ring[twice]
    second = np.flatnonzero(np.r_[False, twice[1:] == twice[:-1]])
    lon[second - 1], lon[second] = before, behind
    return lon, lat, ring
