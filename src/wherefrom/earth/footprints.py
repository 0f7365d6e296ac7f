"""Footprints: the polygons of tiles and fields as parts of the sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wherefrom.earth.sphere import EARTH_RADIUS_KM, distance_km, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.progress import say
from wherefrom.shown import count_of

__all__ = ["areas_km2", "middles", "on_sphere"]

Floats = NDArray[np.float64]
Shapes = NDArray[Any]
Ints = NDArray[np.int64]

#: Edges are cut so short, degrees, where the middle is sought: a chord then is 7 m off its edge.
_EDGE = 0.25
#: Degrees up to which polygons are small.
_SMALL = 0.1
#: Kilometres of an edge across the antimeridian from which on it is said, and refused.
_SAID_KM, _EITHER_KM = 500.0, 2500.0
#: What shapely calls a polygon and a multipolygon.
_POLYGONS = (3, 6)


def on_sphere(shapes: Shapes, source: str = "table", first: int = 0) -> Shapes:
    """Bring polygons within [-180, 180] degrees, as what they are on the sphere.

    An edge goes the shorter way round, so that a tile from 179 to -179 is two degrees wide, and
    is cut in two at the antimeridian; one that is 2,500 km long even so may be meant the other way
    round, and is refused. A ring about a pole gets the pole. A step of 360 degrees is a whole
    parallel. What lies so already is returned as it is.

    Parameters
    ----------
    shapes : ndarray of shapely geometries, shape (N,)
        Polygons and multipolygons, degrees, longitude first; None for missing.
    source : str
        What to call the table in a message.
    first : int
        Row of the source that the first one is.

    Returns
    -------
    ndarray of shapely geometries, shape (N,)
        None for missing and empty ones.

    Raises
    ------
    WherefromError
        If a geometry is no polygon, crosses itself, is not in degrees, or is wider than 180
        degrees and not about a pole. The message names the first such row.

    Examples
    --------
    >>> tile = shapely.box(-179.0, 10.0, 179.0, 12.0)  # as such tiles are often written
    >>> on_sphere(np.array([tile]))[0].bounds, float(areas_km2(on_sphere(np.array([tile])))[0] // 1)
    ((-180.0, 10.0, 180.0, 12.0), 48546.0)
    """

    def refuse(wrong: NDArray[np.bool_], what: str, remedy: str) -> None:
        if wrong.any():
            at = int(np.argmax(wrong))
            count = count_of(int(wrong.sum()), "geometry", "geometries")
            raise WherefromError(f"{source}: {count} {what} (first in row {first + at}): {remedy}")

    there = np.array(shapes, dtype=object)
    there[shapely.is_empty(there)] = None
    kinds = shapely.get_type_id(there)
    refuse(
        (kinds != -1) & ~np.isin(kinds, _POLYGONS),
        "are not polygons, among others that are",
        "keep one kind, points or polygons",
    )
    flat = shapely.force_2d(there) if shapely.has_z(there).any() else there
    xy, owner = shapely.get_coordinates(flat, return_index=True)
    wide = np.bincount(owner[np.abs(xy[:, 0]) > 360.0], minlength=len(flat)) > 0
    wide |= np.bincount(owner[np.abs(xy[:, 1]) > 90.0], minlength=len(flat)) > 0
    wide |= np.bincount(owner[~np.isfinite(xy).all(axis=1)], minlength=len(flat)) > 0
    refuse(wide, "have coordinates that are no degrees", "name their CRS, or convert them")
    steps = np.abs(np.diff(xy[:, 0]))
    same = owner[1:] == owner[:-1]
    turned = np.unique(owner[1:][same & (steps > 180.0) & (steps < 360.0)])
    if len(turned):
        km = np.zeros(len(flat))
        km[turned] = [_around_km(shape) for shape in flat[turned]]
        refuse(
            km > _EITHER_KM,
            "have an edge over more than 180 degrees of longitude, which may go either way round",
            "cut the polygon at 180 degrees, or put vertices along that edge",
        )
        if (km > _SAID_KM).any():
            seen = first + int(np.argmax(km > _SAID_KM))
            say(
                f"{source}: the geometry in row {seen} is read as crossing 180 degrees of longitude"
            )
    odd = np.bincount(owner[1:][same & (steps >= 180.0)], minlength=len(flat)) > 0
    odd |= np.bincount(owner[np.abs(xy[:, 0]) > 180.0], minlength=len(flat)) > 0
    west, _, east, _ = shapely.bounds(flat).T
    odd |= east - west > 180.0
    looked = np.flatnonzero(~odd & ~shapely.is_missing(flat) & ~_convex(flat, xy, owner))
    crossed = np.zeros(len(flat), dtype=bool)
    crossed[looked] = ~shapely.is_valid(flat[looked])
    if crossed.any():
        why = shapely.is_valid_reason(flat[np.argmax(crossed)])
        refuse(crossed, f"are not valid ({why})", "mend them, such as by gdf.make_valid()")
    rows = np.flatnonzero(odd)
    if not len(rows):
        return flat
    flat = flat.copy()
    for row in rows:
        flat[row] = _cut(flat[row], f"{source}: the geometry in row {first + row}")
    return flat


def _around_km(shape: Any) -> float:
    """Return the length of the longest edge that is over more than 180 degrees in the table."""
    longest = 0.0
    for ring in shapely.get_rings(shape):
        x, y = shapely.get_coordinates(ring).T
        steps = np.abs(np.diff(x))
        km = distance_km(x[:-1], y[:-1], x[1:], y[1:])[(steps > 180.0) & (steps < 360.0)]
        longest = max(longest, *km, 0.0)
    return longest


def _convex(shapes: Shapes, xy: Floats, owner: Ints) -> NDArray[np.bool_]:
    """Say which polygons are quadrilaterals that turn one way, and so are valid.

    Most tiles are; to see it takes a tenth of the time.
    """
    four = (shapely.get_type_id(shapes) == 3) & (np.bincount(owner, minlength=len(shapes)) == 5)
    four &= shapely.get_num_interior_rings(shapes) == 0
    sides = np.diff(xy[four[owner]].reshape(-1, 5, 2), axis=1)
    after = np.roll(sides, -1, axis=1)
    turns = np.sign(sides[..., 0] * after[..., 1] - sides[..., 1] * after[..., 0])
    found = np.zeros(len(shapes), dtype=bool)
    found[four] = np.abs(turns.sum(axis=1)) == 4.0
    return found


def middles(shapes: Shapes) -> tuple[Floats, Floats]:
    """Find the centroids of polygons on the sphere, degrees.

    The vector area of a polygon, half the sum of r x dr along its edges, points to the mean of
    all its places (Stokes' theorem).

    Parameters
    ----------
    shapes : ndarray of shapely geometries, shape (N,)
        As `on_sphere` returns them.

    Returns
    -------
    lon, lat : ndarray of float64, shape (N,)
        NaN for what is missing or has no area.

    Examples
    --------
    >>> tiles = np.array([shapely.box(10, 50, 11, 51), shapely.box(-179.0, 10.0, 179.0, 12.0)])
    >>> lon, lat = middles(on_sphere(tiles))
    >>> lon.round(6).tolist(), lat.round(3).tolist()
    ([10.5, -180.0], [50.499, 10.999])
    """
    shapes = _joined(shapes)
    west, south, east, north = shapely.bounds(shapes).T
    small = (np.fmax(east - west, north - south) < _SMALL) & (np.fmax(north, -south) < 85.0)
    lon, lat = np.full((2, len(shapes)), np.nan)
    lon[small], lat[small] = _flat(shapes[small])
    lon[~small], lat[~small] = _spherical(shapes[~small])
    return np.where(lon >= 180.0, lon - 360.0, lon), lat


def _joined(shapes: Shapes) -> Shapes:
    """Bring together the pieces of polygons that the antimeridian cuts, from 0 to 360 degrees."""
    west, _, east, _ = shapely.bounds(shapes).T
    cut = np.flatnonzero((west == -180.0) & (east == 180.0) & (shapely.get_type_id(shapes) == 6))
    if not len(cut):
        return shapes
    moved = shapely.transform(shapes[cut], lambda xy: xy + (xy[:, :1] < 0.0) * [360.0, 0.0])
    # What is cut elsewhere, too, loses or gains area.
    same = np.isclose(shapely.area(moved), shapely.area(shapes[cut]), rtol=1e-9, atol=0.0)
    joined = shapes.copy()
    joined[cut[same]] = moved[same]
    return joined


def _flat(shapes: Shapes) -> tuple[Floats, Floats]:
    """Return the centroids of small polygons: in degrees, and what the sphere adds to that.

    Places count by the cosine of their latitude, and lie farther from the equator than the middle
    of their parallel; both are told by second moments. What is left is of the third order in the
    size: millimetres at `_SMALL`. It takes less than half the time of the vector area, which
    rounding moves by 4 mm for a tile of a metre.
    """
    xy, ring, owner = _vertices(shapes, cut=False)
    west, south, east, north = shapely.bounds(shapes).T
    x = np.radians(xy[:, 0] - ((west + east) / 2.0)[owner])
    y = np.radians(xy[:, 1] - ((south + north) / 2.0)[owner])
    u, v, x, y = x[:-1], y[:-1], x[1:], y[1:]
    cross = (u * y - x * v) * (ring[1:] == ring[:-1])

    def mean(of: Floats, parts: float) -> Floats:
        return np.bincount(owner[1:], weights=of * cross, minlength=len(shapes)) / (parts * twice)

    with np.errstate(invalid="ignore", divide="ignore"):
        twice = np.bincount(owner[1:], weights=cross, minlength=len(shapes))
        right, up = mean(u + x, 3.0), mean(v + y, 3.0)
        xx = mean(u * u + u * x + x * x, 6.0) - right**2
        yy = mean(v * v + v * y + y * y, 6.0) - up**2
        mixed = mean(u * y + 2.0 * (u * v + x * y) + x * v, 12.0) - right * up
    phi = np.radians((south + north) / 2.0) + up
    lat = phi - np.tan(phi) * yy + np.sin(2.0 * phi) / 4.0 * xx
    return (west + east) / 2.0 + np.degrees(right - np.tan(phi) * mixed), np.degrees(lat)


def _spherical(shapes: Shapes) -> tuple[Floats, Floats]:
    """Return where the vector areas of polygons point to."""
    xy, ring, owner = _vertices(shapes, cut=True)
    r, count = unit_vectors(xy[:, 0], xy[:, 1]), len(shapes)
    cross = np.cross(r[:-1], r[1:])
    sine = np.minimum(np.sqrt((cross**2).sum(axis=1)), 1.0)
    # Of an edge of angle t the cross product has length sin(t), and its part of the sum t. From a
    # vertex of the polygon in the place of the Earth's centre the sum of a ring is the same, and
    # no small difference of large numbers.
    series = sine**2 / 6.0 + 3.0 * sine**4 / 40.0
    more = np.where(sine < 1e-3, series, np.arcsin(sine) / np.maximum(sine, 1e-3) - 1.0)
    first = np.zeros(count, dtype=np.int64)
    first[owner[::-1]] = np.arange(len(owner))[::-1]
    beside = r - r[first[owner]]
    parts = np.cross(beside[:-1], beside[1:]) + more[:, None] * cross
    total = _sums(parts * (ring[1:] == ring[:-1])[:, None], owner[1:], count)
    # A ring that turns clockwise gives the other side of the Earth.
    total = np.where((total * _sums(r, owner, count)).sum(axis=0) < 0.0, -total, total)
    size = np.sqrt((total**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y, z = np.where(size > 0.0, total / size, np.nan)
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(np.clip(z, -1.0, 1.0)))


def areas_km2(shapes: Shapes) -> Floats:
    """Return the areas of polygons on the sphere, km2, shape (N,); 0 for what is missing.

    Edges are straight in degrees, as GeoJSON and GeoParquet have them; the integral of the sine
    of latitude along them is exact.

    >>> hemisphere = np.array([shapely.box(-180, 0, 0, 90), None])
    >>> (areas_km2(hemisphere) / (np.pi * EARTH_RADIUS_KM**2)).round(12).tolist()
    [1.0, 0.0]
    """
    xy, ring, owner = _vertices(shapes, cut=False)
    phi = np.radians(xy[:, 1])
    turn, rise = np.diff(np.radians(xy[:, 0])), np.diff(phi)
    # The mean of the sine between two latitudes: sin(middle) sin(rise / 2) / (rise / 2).
    half = np.where(rise == 0.0, 1e-9, rise / 2.0)
    mean = np.sin((phi[1:] + phi[:-1]) / 2.0) * (np.sin(half) / half)
    edge = ring[1:] == ring[:-1]
    sums = np.bincount(owner[1:], weights=turn * mean * edge, minlength=len(shapes))
    return np.asarray(np.abs(sums) * EARTH_RADIUS_KM**2)


def _sums(vectors: Floats, owner: Ints, count: int) -> Floats:
    """Add up vectors (M, 3) by their owners, shape (3, count)."""
    return np.stack([np.bincount(owner, weights=each, minlength=count) for each in vectors.T])


def _vertices(shapes: Shapes, cut: bool) -> tuple[Floats, Ints, Ints]:
    """Return the vertices of all rings (M, 2), the ring of each, and the polygon of each.

    Holes turn the other way than the shell of their polygon, and shells of one polygon alike.
    Where they are `cut`, no edge of a polygon wider than `_EDGE` twice is longer than it.
    """
    if cut:
        west, south, east, north = shapely.bounds(shapes).T
        large = np.fmax(east - west, north - south) > 2.0 * _EDGE
        if large.any():
            shapes = shapes.copy()
            shapes[large] = shapely.segmentize(shapes[large], _EDGE)
    plain = (shapely.get_type_id(shapes) == 3) & (shapely.get_num_interior_rings(shapes) == 0)
    rows, others = np.flatnonzero(plain), np.flatnonzero(~plain)
    xy, ring = shapely.get_coordinates(shapes[rows], return_index=True)
    owner = rows[ring]
    if len(others):
        parts, part_of = shapely.get_parts(shapes[others], return_index=True)
        rings, ring_of = shapely.get_rings(shapely.orient_polygons(parts), return_index=True)
        more, at = shapely.get_coordinates(rings, return_index=True)
        xy, ring = np.concatenate([xy, more]), np.concatenate([ring, at + len(rows)])
        owner = np.concatenate([owner, others[part_of[ring_of[at]]]])
    return xy, ring, owner


def _cut(shape: Any, called: str) -> Any:
    """Bring one polygon that crosses the antimeridian, or lies about a pole, within 180 degrees."""
    pieces: list[Any] = []
    polar = False
    for part in shapely.get_parts(shape):
        shell, pole = _unwound(shapely.get_coordinates(part.exterior))
        west, east = shell[:, 0].min(), shell[:, 0].max()
        holes = []
        for ring in part.interiors:
            hole, about = _unwound(shapely.get_coordinates(ring))
            if about:
                raise WherefromError(f"{called} has a hole about a pole: drop or mend it")
            hole[:, 0] += 360.0 * round(((west + east) / 2.0 - hole[:, 0].mean()) / 360.0)
            holes.append(hole)
        own = pole or bool((np.abs(shell[:, 1]) == 90.0).any())
        polar |= own
        if east - west > 180.0 and not own:
            raise WherefromError(
                f"{called} is {east - west:.4g} degrees wide, more than 180, and not about a pole: "
                "cut it into parts"
            )
        whole = shapely.Polygon(shell, holes)
        if not whole.is_valid:
            raise WherefromError(
                f"{called} is not valid ({shapely.is_valid_reason(whole)}): mend it, such as by "
                "gdf.make_valid()"
            )
        for turn in range(int(np.floor((west + 180.0) / 360.0)), 2):
            if (low := 360.0 * turn - 180.0) >= east:
                break
            inside = shapely.intersection(whole, shapely.box(low, -90.0, low + 360.0, 90.0))
            moved = shapely.transform(inside, lambda xy, turn=turn: xy - [360.0 * turn, 0.0])
            pieces += [each for each in shapely.get_parts(moved) if each.area > 0.0]
    if not pieces:
        raise WherefromError(f"{called} has no area: drop it, or give its middle as a point")
    if len(pieces) == 1:
        return pieces[0]
    # About a pole pieces share an edge where the ring began.
    return shapely.union_all(pieces) if polar else shapely.MultiPolygon(pieces)


def _unwound(ring: Floats) -> tuple[Floats, bool]:
    """Follow a ring the shorter way from vertex to vertex; say whether it went round a pole.

    Longitudes go on beyond 180 degrees, from the first one. Such a ring is closed by the pole.
    """
    steps = np.diff(ring[:, 0])
    far = (np.abs(steps) > 180.0) & (np.abs(steps) < 360.0)
    steps = np.where(far, steps - 360.0 * np.round(steps / 360.0), steps)
    at_pole = np.flatnonzero((np.abs(ring[1:, 1]) == 90.0) & (np.abs(ring[:-1, 1]) == 90.0))
    if len(at_pole):  # where a longitude is any, so that a step there closes the ring
        steps[at_pole[0]] -= 360.0 * round(float(steps.sum()) / 360.0)
    lon = np.concatenate([[0.0], np.cumsum(steps)]) + ring[0, 0]
    unwound = np.stack([lon, ring[:, 1]], axis=1)
    turned = round(float(lon[-1] - lon[0]) / 360.0)
    if not turned:
        unwound[-1] = unwound[0]
        return unwound, False
    pole = 90.0 if ring[:, 1].mean() > 0.0 else -90.0
    cap = np.array([[lon[-1], pole], [lon[0], pole], [lon[0], ring[0, 1]]])
    return np.concatenate([unwound, cap]), True
