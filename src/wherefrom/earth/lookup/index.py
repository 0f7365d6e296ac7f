"""The index: look a cell up, cross the few edges near a border, ask shapely in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from wherefrom.earth.lookup.crossings import NOBODY, Crossings, build
from wherefrom.earth.lookup.edges import Edges, checked
from wherefrom.earth.lookup.grid import Floats, Grid, Ints, expand

__all__ = ["PolygonIndex"]

# Sizes of the working set: points at a time, and edges met by points near borders.
_POINTS, _EDGES = 1 << 16, 1 << 17


class PolygonIndex:
    """Find the polygon that holds each of many places, exactly.

    Parameters
    ----------
    polygons : sequence of shapely.Polygon, shapely.MultiPolygon or None
        In degrees or any other plane coordinates. They may overlap, touch, be tiny or invalid;
        None and empty ones hold no place.

    Raises
    ------
    ValueError
        If an item is not a polygon, or has a coordinate that is not finite.

    Notes
    -----
    The answer is that of ``shapely.intersects(polygon, point)``, border included. The plane is
    cut into cells. All cells that an edge may touch are found by walking the edges over the grid,
    thickened by more than all rounding errors; any other cell is inside or outside as a whole,
    and one table look-up answers. In a touched cell the way from the point to the centre of the
    cell, first upright and then level, is checked for crossings with the edges there: an odd
    number means that point and centre are on different sides. A check whose rounding error could
    change its outcome (the point is within some 1e-11 degrees of an edge or straight above or
    below a vertex) is not trusted: shapely answers for such points.

    An index does not change after it is built; any number of threads may query it.

    Examples
    --------
    >>> from shapely import box
    >>> index = PolygonIndex([box(0, 0, 2, 2), box(1, 1, 3, 3)])
    >>> index.query([0.5, 1.5, 2.5, 2.0, 9.0], [0.5, 1.5, 2.5, 2.0, 9.0])
    array([ 0,  0,  1,  0, -1], dtype=int32)
    """

    def __init__(self, polygons: Sequence[Any]) -> None:
        geometries = checked(polygons)
        edges = Edges.of(geometries)
        self._grid = Grid.over(edges)
        self._crossings = build(edges, self._grid)
        self._tree = shapely.STRtree(geometries)

    @property
    def polygons(self) -> NDArray[Any]:
        """Its polygons, in their order."""
        return np.asarray(self._tree.geometries)

    def save(self, path: Path) -> None:
        """Write the index as plain arrays, polygons as well-known binary, which run nothing."""
        wkb = shapely.to_wkb(self._tree.geometries)
        np.savez(
            path,
            grid=np.array(list(asdict(self._grid).values())),
            wkb=np.frombuffer(b"".join(wkb), np.uint8),
            ends=np.cumsum([len(one) for one in wkb], dtype=np.int64),
            **vars(self._crossings),
        )

    @classmethod
    def load(cls, stream: BinaryIO) -> Self:
        """Read what `save` wrote."""
        arrays = dict(np.load(stream))
        x0, y0, size, columns, rows, eps = arrays.pop("grid").tolist()
        content, ends = arrays.pop("wkb").tobytes(), arrays.pop("ends").tolist()
        wkb = [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        made = cls.__new__(cls)
        made._grid = Grid(x0, y0, size, int(columns), int(rows), eps)
        made._crossings = Crossings(**arrays)
        made._tree = shapely.STRtree(shapely.from_wkb(wkb))
        return made

    def query(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.int32]:
        """Position of the polygon that intersects each place.

        Parameters
        ----------
        lon, lat : array_like of float, shape (N,)
            Places, in the coordinates of the polygons. Longitudes are not wrapped.

        Returns
        -------
        ndarray of int32, shape (N,)
            Position of the polygon; the lowest where several intersect; -1 where none does.

        Raises
        ------
        ValueError
            If the shapes differ or are not one-dimensional, or a coordinate is not finite.
        """
        x, y = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"lon and lat must both have shape (N,), not {x.shape} and {y.shape}")
        out = np.empty(len(x), dtype=np.int32)
        for start in range(0, len(x), _POINTS):
            part = slice(start, start + _POINTS)
            finite = np.isfinite(x[part]) & np.isfinite(y[part])
            if not finite.all():
                at = start + int(np.argmin(finite))
                raise ValueError(f"place {at} is not finite: ({x[at]}, {y[at]})")
            cell = self._grid.cell(x[part], y[part])
            code = self._crossings.code.take(cell, out=out[part], mode="clip")
            near = np.flatnonzero(code < -1)
            for some in self._batches(-2 - code[near]):
                at_points = near[some]
                code[at_points] = self._cross(
                    x[part][at_points], y[part][at_points], cell[at_points]
                )
        return out

    def _batches(self, touched: NDArray[np.int32]) -> Iterator[slice]:
        """Cut points near borders so that each part meets a bounded number of edges."""
        first_row = self._crossings.first_row
        met = np.cumsum(first_row[touched + 1] - first_row[touched])
        start = 0
        while start < len(touched):
            before = met[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(met, before + _EDGES, side="right")))
            yield slice(start, stop)
            start = stop

    def _cross(self, x: Floats, y: Floats, cell: Ints) -> NDArray[np.int32]:
        """Answer for points in touched cells by counting crossings on the way to the centre."""
        own = self._crossings
        touched = -2 - own.code[cell].astype(np.int64)
        first = own.first_row[touched]
        point, step = expand(own.first_row[touched + 1] - first)
        row = first[point] + step
        mid, half, height, slope, tol, cross, tol_cross, _ = own.table.take(row, axis=0).T
        dx = (x - self._grid.centre_x(cell % self._grid.columns))[point]
        dy = (y - self._grid.centre_y(cell // self._grid.columns))[point]

        beside = dx - mid
        at = height + slope * beside
        beyond = np.abs(beside) - half
        eps = self._grid.eps
        upright = (beyond < 0.0) & ((at > dy) != (at > 0.0))
        level = (cross > dx) != (cross > 0.0)
        doubt = (np.abs(at - dy) <= tol) | (np.abs(at) <= tol)
        doubt &= beyond <= eps
        doubt |= np.abs(beyond) <= eps
        doubt |= np.abs(cross - dx) <= tol_cross

        group = own.group[row]
        opens = step == 0
        opens[1:] |= group[1:] != group[:-1]
        starts = np.flatnonzero(opens)
        group = group[starts]
        holds = np.bitwise_xor.reduceat(upright ^ level, starts) ^ own.inside[group]
        holder = np.where(holds, own.polygon[group], NOBODY)
        lowest = np.minimum.reduceat(holder, np.flatnonzero(step[starts] == 0))
        lowest = np.minimum(lowest, own.base[touched])

        unsure = np.zeros(len(x), dtype=bool)
        unsure[point[doubt]] = True
        if unsure.any():
            lowest[unsure] = self._ask_shapely(x[unsure], y[unsure])
        lowest[lowest == NOBODY] = -1
        return lowest

    def _ask_shapely(self, x: Floats, y: Floats) -> NDArray[np.int32]:
        """Lowest polygon that intersects each point, or `NOBODY`."""
        lowest = np.full(len(x), NOBODY, dtype=np.int32)
        # Prepared polygons, or a tree of the points asked with the polygons, would be several times
        # as fast here, but GEOS then answers otherwise within rounding of a border.
        at, polygon = self._tree.query(shapely.points(x, y), predicate="intersects")
        np.minimum.at(lowest, at, polygon.astype(np.int32))
        return lowest
