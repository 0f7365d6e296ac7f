"""How near places are to others, points or polygons alike, as the parts of the sphere they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from wherefrom.earth.lookup import PolygonIndex
from wherefrom.earth.lookup.grid import expand
from wherefrom.earth.sphere import EARTH_RADIUS_KM, arc_km, chord, chords, unit_vectors

__all__ = ["Neighbours", "perimeters_km", "reaches_km"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Shapes = NDArray[Any]

#: Borders are cut into pieces so long at most, km, and so that none is farther from the great
#: circle between its ends, km: by that much a distance may be off.
_LONGEST, _OFF_KM = 4.0, 5e-4
#: What is nearer than 0.1 mm touches: 180 E is 180 W, but not to the last bit, and the foot on a
#: piece is sought on its chord, from which the one on its arc is almost that far off.
_TOUCH_KM = 1.2e-7
#: Of fewer places each is measured by itself, and asked of a tree of the polygons.
_MANY = 1 << 14
#: Places whose borders are measured at once; pairs of pieces looked at together.
_AT_ONCE, _PAIRS = 1 << 14, 1 << 22
#: Cells to a degree of the map of what is certainly near or far, and the radius of one, km.
_FINE = 10
_ROWS, _COLUMNS = 180 * _FINE, 360 * _FINE
_CELL_KM = np.radians(0.5 / _FINE) * np.sqrt(2.0) * EARTH_RADIUS_KM * (1.0 + 1e-6)
#: Boxes wider than this, radians, say little of what is in them.
_WIDE = 0.5
_UNSEEN, _NEAR, _FAR, _MIXED = range(4)


class Neighbours:
    """Places, points or polygons, that any number of others are measured from.

    Parameters
    ----------
    lon, lat : array_like of float, shape (M,)
        Degrees; of polygons not used.
    shapes : ndarray of shapely polygons, shape (M,), optional
        The places' footprints, degrees within [-180, 180], as
        `wherefrom.earth.footprints.on_sphere` returns them.

    Notes
    -----
    A distance is the shortest great circle between two extents, and 0 where they overlap or touch.
    Edges of polygons are straight in degrees. They are cut into pieces of at most 4 km, each taken
    for the great circle between its ends, from which it is 0.5 m off at most; between points,
    distances are exact. Pieces are found by a k-d tree of their middles: none is nearer to another
    than their middles are, less half the length of each.

    Which of many points lie within some km is first asked of a map of 0.1 degrees, filled where
    they are, whose cells are near or far as a whole; only places in cells that are neither are
    measured.

    Examples
    --------
    >>> fields = np.array([shapely.box(10, 0, 11, 1), shapely.box(-180, 0, -179, 1)])
    >>> others = Neighbours([10.5, -179.5], [0.5, 0.5], fields)
    >>> at, km = others.nearest([10.0, 12.0, 179.0], [0.5, 0.5, 0.5])
    >>> at.tolist(), km.round(1).tolist()
    ([0, 0, 1], [0.0, 111.2, 111.2])
    >>> others.within([10.0, 12.0, 179.0], [0.5, 0.5, 0.5], 0.0)
    array([ True, False, False])
    """

    def __init__(self, lon: ArrayLike, lat: ArrayLike, shapes: Shapes | None = None) -> None:
        self.lon, self.lat = (np.asarray(each, dtype=np.float64) for each in (lon, lat))
        self.shapes = shapes
        self._maps: dict[float, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.lon)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the maps, which are filled again where they are needed."""
        return self.__dict__ | {"_maps": {}}

    def prepared(self) -> Neighbours:
        """Make at once what each of several threads would make anew, and return it."""
        _ = self._near, self._tree, self.shapes is not None and self._index
        return self

    @cached_property
    def _pieces(self) -> _Pieces:
        return _Pieces.of(self.lon, self.lat, self.shapes)

    @cached_property
    def _near(self) -> Any:
        from scipy.spatial import cKDTree  # slow to import

        return cKDTree(self._pieces.middles)

    @cached_property
    def _index(self) -> PolygonIndex:
        assert self.shapes is not None
        return PolygonIndex(list(self.shapes))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        shapes = self.shapes
        return shapely.STRtree(shapely.points(self.lon, self.lat) if shapes is None else shapes)

    def nearest(
        self,
        lon: ArrayLike,
        lat: ArrayLike,
        shapes: Shapes | None = None,
        limit_km: float = np.inf,
    ) -> tuple[Ints, Floats]:
        """Find the nearest of the M to each of N places.

        Parameters
        ----------
        lon, lat : array_like of float, shape (N,)
            Degrees, within [-180, 180] and [-90, 90].
        shapes : ndarray of shapely polygons, shape (N,), optional
            Footprints, which then count instead.
        limit_km : float
            Nothing beyond it is looked for.

        Returns
        -------
        at : ndarray of int64, shape (N,)
            Which of the M; -1 where none is within the limit. Of several as near, one of them.
        km : ndarray of float64, shape (N,)
            Its distance; infinite where there is none.
        """
        x, y = (np.asarray(each, dtype=np.float64) for each in (lon, lat))
        at = np.full(len(x), -1, dtype=np.int64)
        km = np.full(len(x), np.inf)
        if not len(self):
            return at, km
        for start in range(0, len(x), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            own = None if shapes is None else shapes[some]
            at[some] = self._overlapping(x[some], y[some], own)
            rest = np.flatnonzero(at[some] < 0)
            km[some] = 0.0
            pieces = _Pieces.of(x[some][rest], y[some][rest], None if own is None else own[rest])
            at[some][rest], km[some][rest] = self._measured(pieces, len(rest), limit_km)
        return at, km

    def within(
        self, lon: ArrayLike, lat: ArrayLike, km: float, shapes: Shapes | None = None
    ) -> Bools:
        """Tell which of N places have one of the M within so many km, shape (N,).

        Other arguments are those of `nearest`; 0 km is to overlap, border included.
        """
        x, y = (np.asarray(each, dtype=np.float64) for each in (lon, lat))
        if not len(self) or not len(x):
            return np.zeros(len(x), dtype=bool)
        if shapes is not None:
            rest = self._around(x, y, km, shapes)
            found = np.zeros(len(x), dtype=bool)
            found[rest] = self.nearest(x[rest], y[rest], shapes[rest], km)[1] <= km
            return found
        if self.shapes is None:
            found = np.zeros(len(x), dtype=bool)
        else:
            found = self._overlapping(x, y, None) >= 0
        rest = np.flatnonzero(~found)
        if km == 0.0 and self.shapes is not None:
            # Where one place has several coordinates, a polygon may touch it by others.
            rest = rest[(np.abs(x[rest]) == 180.0) | (np.abs(y[rest]) == 90.0)]
        elif len(rest) >= _MANY:
            state = self._mapped(x[rest], y[rest], km)
            found[rest[state == _NEAR]] = True
            rest = rest[state == _MIXED]
        slack = self._pieces.longest / 2.0
        far = self._to_middles(unit_vectors(x[rest], y[rest]), km + slack)[1]
        limit = max(km, _TOUCH_KM if self.shapes is not None else km)
        found[rest[far <= limit]] = True
        doubt = rest[(far > limit) & np.isfinite(far)]
        if slack:
            found[doubt] = self.nearest(x[doubt], y[doubt], None, km)[1] <= km
        return found

    def pairs(
        self, lon: ArrayLike, lat: ArrayLike, km: float, shapes: Shapes | None = None
    ) -> Iterator[tuple[Ints, Ints]]:
        """Pair N places with all of the M that are within so many km, some pairs at a time.

        Arguments are those of `within`.

        Yields
        ------
        place, other : ndarray of int64, shape (P,)
            Which of the N and which of the M; a pair may come more than once.
        """
        x, y = (np.asarray(each, dtype=np.float64) for each in (lon, lat))
        polygons = shapes is not None or self.shapes is not None
        for start in range(0, len(x) if len(self) else 0, _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            given = None if shapes is None else shapes[some]
            if polygons:
                extents = shapely.points(x[some], y[some]) if given is None else given
                place, other = self._tree.query(extents, predicate="intersects")
                yield place + start, other
            own = _Pieces.of(x[some], y[some], given)
            reach = np.full(len(own.owner), km + (own.longest + self._pieces.longest) / 2.0)
            for a, b in self._around_middles(own.middles, reach):
                near = own.to(self._pieces, a, b) <= max(km, _TOUCH_KM if polygons else km)
                yield own.owner[a[near]] + start, self._pieces.owner[b[near]]

    def _around(self, x: Floats, y: Floats, km: float, shapes: Shapes) -> Ints:
        """Return which of footprints may have one of the M within some km; all of few."""
        if len(x) < _MANY:
            return np.arange(len(x))
        reach = reaches_km(x, y, shapes)
        most = 2.0 ** np.ceil(np.log2(4.0 * np.median(reach) + 1.0))  # one map for many batches
        may = (reach > most) | (self._mapped(x, y, km + float(most)) != _FAR)
        if self.shapes is not None:  # deep within, no border is near
            may |= self._index.query(x, y) >= 0
        return np.flatnonzero(may)

    def _overlapping(self, x: Floats, y: Floats, shapes: Shapes | None) -> Ints:
        """Return the first of the M that overlaps each place in the plane of degrees, else -1."""
        if shapes is None:
            if self.shapes is None:  # equal points are at distance 0
                return np.full(len(x), -1, dtype=np.int64)
            if len(x) >= _MANY or "_index" in self.__dict__:
                return self._index.query(x, y).astype(np.int64)
            shapes = shapely.points(x, y)
        first = np.full(len(x), np.iinfo(np.int64).max)
        place, other = self._tree.query(shapes, predicate="intersects")
        np.minimum.at(first, place, other)
        return np.where(first < np.iinfo(np.int64).max, first, -1)

    def _to_middles(self, vectors: Floats, limit_km: float) -> tuple[Ints, Floats]:
        """Find the piece whose middle is nearest, and how far that is, km; infinite beyond."""
        bound = chord(limit_km) * (1.0 + 1e-9) + 1e-15
        far, at = self._near.query(vectors, distance_upper_bound=bound)
        return at, np.where(np.isfinite(far), arc_km(far), np.inf)

    def _around_middles(self, vectors: Floats, reach_km: Floats) -> Iterator[tuple[Ints, Ints]]:
        """Pair vectors (V, 3) with the pieces whose middles are within reach, some at a time."""
        for start in range(0, len(vectors), _AT_ONCE):
            some = vectors[start : start + _AT_ONCE]
            bound = chords(reach_km[start : start + _AT_ONCE]) * (1.0 + 1e-9) + 1e-15
            sizes = self._near.query_ball_point(some, bound, return_length=True)
            ends = np.flatnonzero(np.diff(np.cumsum(sizes) // _PAIRS, append=-1)) + 1
            for low, high in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                balls = self._near.query_ball_point(some[low:high], bound[low:high])
                vector = np.repeat(np.arange(low, high), sizes[low:high]) + start
                yield vector, np.concatenate([np.asarray(b, dtype=np.int64) for b in balls])

    def _measured(self, own: _Pieces, count: int, limit_km: float) -> tuple[Ints, Floats]:
        """Find the nearest of the M to `count` places that overlap none of them in the plane."""
        others = self._pieces
        slack = (own.longest + others.longest) / 2.0
        at, best = np.full(count, -1, dtype=np.int64), np.full(count, np.inf)
        middle, far = self._to_middles(own.middles, limit_km + slack)
        if not slack:  # points, each a piece
            there = far <= limit_km
            at[there], best[there] = others.owner[middle[there]], far[there]
            return at, best
        np.minimum.at(best, own.owner, far)
        reach = (np.minimum(best, limit_km) + slack)[own.owner]
        mine = np.flatnonzero(np.isfinite(far) & (far <= reach * (1.0 + 1e-9)))
        km = np.full(count, np.inf)
        for of_mine, b in self._around_middles(own.middles[mine], reach[mine]):
            a = mine[of_mine]
            each = own.to(others, a, b)
            np.minimum.at(km, own.owner[a], each)
            hit = each <= km[own.owner[a]]
            at[own.owner[a[hit]]] = others.owner[b[hit]]
        km[km < _TOUCH_KM] = 0.0
        there = km <= limit_km
        return np.where(there, at, -1), np.where(there, km, np.inf)

    def _mapped(self, x: Floats, y: Floats, km: float) -> NDArray[np.uint8]:
        """Say of places whether their cell of the map is near, far or mixed; fill it where new."""
        cells = self._maps.setdefault(km, np.zeros(_ROWS * _COLUMNS, dtype=np.uint8))
        row = np.minimum(((y + 90.0) * _FINE).astype(np.int64), _ROWS - 1)
        cell = row * _COLUMNS + np.minimum(((x + 180.0) * _FINE).astype(np.int64), _COLUMNS - 1)
        state: NDArray[np.uint8] = cells[cell]
        unseen = cell[state == _UNSEEN]
        if len(unseen):
            asked = np.zeros(len(cells), dtype=bool)  # sooner than sorting them
            asked[unseen] = True
            new = np.flatnonzero(asked)
            row, column = np.divmod(new, _COLUMNS)
            middles = unit_vectors((column + 0.5) / _FINE - 180.0, (row + 0.5) / _FINE - 90.0)
            slack = self._pieces.longest / 2.0
            far = self._to_middles(middles, km + slack + _CELL_KM)[1]
            near = np.where(far + _CELL_KM <= km, _NEAR, _MIXED)
            cells[new] = np.where(np.isfinite(far), near, _FAR)
            state = cells[cell]
        return state


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Pieces of borders, or points: their ends as unit vectors (P, 3), and whose they are (P,).

    `owner` ascends; `longest` is the length of the longest, km.
    """

    start: Floats
    end: Floats
    owner: Ints
    longest: float
    middles: Floats = field(init=False)

    def __post_init__(self) -> None:
        middles = self.start if self.start is self.end else _unit(self.start + self.end)
        object.__setattr__(self, "middles", middles)

    @classmethod
    def of(cls, lon: Floats, lat: Floats, shapes: Shapes | None) -> _Pieces:
        """Take points as they are, and polygons apart."""
        if shapes is None:
            points = unit_vectors(lon, lat)
            return cls(points, points, np.arange(len(points)), 0.0)
        a, b, owner = _edges(shapes)
        dlon, dlat = np.radians(np.abs(b - a)).T
        low, high = np.sort(np.abs(np.radians(np.stack([a[:, 1], b[:, 1]]))), axis=0)
        low[(a[:, 1] < 0.0) != (b[:, 1] < 0.0)] = 0.0
        length = EARTH_RADIUS_KM * np.hypot(dlon * np.cos(low), dlat)
        # The curvature of a line straight in degrees is at most 2 sin(lat) dlon / length.
        off = np.sqrt(np.sin(high) * dlon * length / (4.0 * _OFF_KM))
        count = np.ceil(np.maximum(np.maximum(length / _LONGEST, off), 1.0)).astype(np.int64)
        edge, step = expand(count)
        along, each = (b - a)[edge], count[edge]
        start = unit_vectors(*(a[edge] + along * (step / each)[:, None]).T)
        end = unit_vectors(*(a[edge] + along * ((step + 1) / each)[:, None]).T)
        longest = float(arc_km(np.sqrt(((end - start) ** 2).sum(axis=1).max(initial=0.0))))
        return cls(start, end, owner[edge], longest * (1.0 + 1e-9) + _TOUCH_KM)

    def to(self, others: _Pieces, a: Ints, b: Ints) -> Floats:
        """Measure pieces `a` from pieces `b` of others, shape (P,), km.

        Pieces that do not cross are nearest at an end of one, which is a piece's start as well.
        """
        far = []
        if others.longest or not self.longest:
            far.append(_chord_to(self.start[a], others.start[b], others.end[b]))
        if self.longest:
            far.append(_chord_to(others.start[b], self.start[a], self.end[a]))
        return np.asarray(arc_km(np.minimum.reduce(far)))


def reaches_km(lon: Floats, lat: Floats, shapes: Shapes | None) -> Floats:
    """Bound how far each footprint reaches from its middle, km, shape (N,); 0 for points.

    By the diagonal of its box; of boxes that are wide, since they are cut at the antimeridian, lie
    about a pole or are large, by its border.

    >>> reaches_km(np.array([0.0]), np.array([0.0]), np.array([shapely.box(-1, 0, 1, 0.5)])).round()
    array([229.])
    """
    if shapes is None:
        return np.zeros(len(lon))
    west, south, east, north = np.radians(shapely.bounds(shapes)).T
    least = np.where((south < 0.0) & (north > 0.0), 0.0, np.minimum(np.abs(south), np.abs(north)))
    reach = EARTH_RADIUS_KM * np.hypot((east - west) * np.cos(least), north - south)
    wide = np.flatnonzero(east - west > _WIDE)
    pieces = _Pieces.of(lon[wide], lat[wide], shapes[wide])
    middle = unit_vectors(lon[wide], lat[wide])[pieces.owner]
    reach[wide] = 0.0
    far = arc_km(np.sqrt(((pieces.start - middle) ** 2).sum(axis=1)))
    np.maximum.at(reach, wide[pieces.owner], far)
    return np.asarray(reach)


def perimeters_km(shapes: Shapes) -> Floats:
    """Return the lengths of the borders of polygons, km, shape (N,); 0 for what is missing.

    >>> perimeters_km(np.array([shapely.box(0, 0, 90, 90)])).round()
    array([30023.])
    """
    pieces = _Pieces.of(np.zeros(0), np.zeros(0), shapes)
    lengths = arc_km(np.sqrt(((pieces.end - pieces.start) ** 2).sum(axis=1)))
    return np.asarray(np.bincount(pieces.owner, lengths, len(shapes)), dtype=np.float64)


def _edges(shapes: Shapes) -> tuple[Floats, Floats, Ints]:
    """Return both ends of every edge of polygons (N,), degrees (E, 2), and whose it is."""
    parts, part_of = shapely.get_parts(shapes, return_index=True)
    rings, ring_of = shapely.get_rings(parts, return_index=True)
    xy, at = shapely.get_coordinates(rings, return_index=True)
    same = at[1:] == at[:-1]
    return xy[:-1][same], xy[1:][same], part_of[ring_of[at[1:][same]]]


def _chord_to(point: Floats, start: Floats, end: Floats) -> Floats:
    """Return the chords from points to the great circles between ends near each other, (P,)."""
    along = end - start
    size = (along**2).sum(axis=1)
    part = ((point - start) * along).sum(axis=1) / np.where(size > 0.0, size, 1.0)
    foot = _unit(start + np.clip(part, 0.0, 1.0)[:, None] * along)
    return np.asarray(np.sqrt(((point - foot) ** 2).sum(axis=1)))


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.sqrt((vectors**2).sum(axis=1))[:, None])
