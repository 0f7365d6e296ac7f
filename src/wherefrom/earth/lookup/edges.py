"""Polygons as bare edges whose crossing parity tells inside from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["Edges", "checked"]

_POLYGON, _MULTIPOLYGON = 3, 6


@dataclass(frozen=True)
class Edges:
    """Edges of all polygons, grouped in units inside which parity is membership.

    A valid polygon is one unit: a place is inside if a path from outside crosses an odd number of
    its edges. Of an invalid polygon each part is a unit of its own, for shapely takes their
    union. Where the rings of an invalid part meet, or a hole is not in its shell, parity says
    nothing: such a part is *opaque*, only its shell is kept, and inside it only shapely may
    answer.

    Attributes
    ----------
    ax, ay, bx, by : ndarray of float64, shape (E,)
        Ends of each edge.
    unit : ndarray of int32, shape (E,)
        Unit of each edge, ascending.
    polygon : ndarray of int32, shape (U,)
        Position of the polygon that each unit belongs to, ascending.
    opaque : ndarray of bool, shape (U,)
        Units inside which only shapely may answer.
    """

    ax: NDArray[np.float64]
    ay: NDArray[np.float64]
    bx: NDArray[np.float64]
    by: NDArray[np.float64]
    unit: NDArray[np.int32]
    polygon: NDArray[np.int32]
    opaque: NDArray[np.bool_]

    @classmethod
    def of(cls, polygons: NDArray[Any]) -> Edges:
        """Take polygons apart.

        Parameters
        ----------
        polygons : ndarray of shapely geometry, shape (P,)
            As `checked` returns them.

        Returns
        -------
        Edges
        """
        parts, owner = shapely.get_parts(polygons, return_index=True)
        valid = shapely.is_valid(polygons)
        holes = shapely.get_num_interior_rings(parts)
        apart = ~valid[owner]
        unclear = apart & (holes > 0)
        unclear[unclear] = [not _parity_holds(part) for part in parts[unclear]]
        parts[unclear] = shapely.polygons(shapely.get_exterior_ring(parts[unclear]))
        # Parts come in the order of their polygons; those of a valid polygon share its unit.
        starts = np.ones(len(parts), dtype=bool)
        starts[1:] = (owner[1:] != owner[:-1]) | apart[1:]
        unit_of_part = np.cumsum(starts) - 1

        rings, part = shapely.get_rings(parts, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        # Edges without length stay: a polygon may have collapsed to a point, and touch it.
        same = ring[1:] == ring[:-1]
        a, b = xy[:-1][same], xy[1:][same]
        return cls(
            ax=a[:, 0].copy(),
            ay=a[:, 1].copy(),
            bx=b[:, 0].copy(),
            by=b[:, 1].copy(),
            unit=unit_of_part[part[ring[:-1][same]]].astype(np.int32),
            polygon=owner[starts].astype(np.int32),
            opaque=unclear[starts],
        )


def _parity_holds(part: shapely.Polygon) -> bool:
    """Tell whether parity over all rings of a part with holes is the shell less the holes.

    It is if no two rings meet, each hole starts inside the shell and none inside another: a ring
    that does not meet the others lies on one side of each as a whole.
    """
    rings = shapely.get_rings(part)
    one, other = shapely.STRtree(rings).query(rings, predicate="intersects")
    if (one != other).any():
        return False
    filled = shapely.polygons(rings)
    starts = shapely.get_point(rings[1:], 0)
    start, around = shapely.STRtree(filled).query(starts, predicate="intersects")
    # Besides its own hole each start must meet the shell, which is number 0, and nothing else.
    foreign = around[around != start + 1]
    return len(foreign) == len(starts) and not foreign.any()


def checked(polygons: Sequence[Any]) -> NDArray[Any]:
    """Copy polygons into an array; refuse what is not a polygon in the plane.

    Parameters
    ----------
    polygons : sequence of shapely.Polygon, shapely.MultiPolygon or None, length P

    Returns
    -------
    ndarray of shapely geometry, shape (P,)
        In two dimensions; None has become an empty polygon.

    Raises
    ------
    ValueError
        If an item is neither a polygon nor None, or has a coordinate that is not finite.
    """
    array = np.empty(len(polygons), dtype=object)
    array[:] = list(polygons)
    missing = np.array([item is None for item in array], dtype=bool)
    if not shapely.is_geometry(array[~missing]).all():
        raise ValueError("polygons must be shapely geometries or None")
    array[missing] = shapely.Polygon()
    wrong = ~np.isin(shapely.get_type_id(array), (_POLYGON, _MULTIPOLYGON))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"geometry {at} is a {array[at].geom_type}: only polygons have an inside")
    xy, at_xy = shapely.get_coordinates(array, return_index=True)
    infinite = ~np.isfinite(xy).all(axis=1)
    if infinite.any():
        at = int(at_xy[np.argmax(infinite)])
        raise ValueError(f"polygon {at} has a coordinate that is not finite")
    flat: NDArray[Any] = shapely.force_2d(array)
    return flat
