"""Maths on the sphere: distances, directions and uniform places. Degrees in, kilometres out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "EARTH_RADIUS_KM",
    "arc_km",
    "chord",
    "chords",
    "distance_km",
    "nearest_km",
    "offset",
    "uniform_on_sphere",
    "unit_vectors",
    "wrap_lon",
]

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth, (2a + b) / 3 of the GRS 80 ellipsoid (IUGG; Moritz 2000), in km."""

Floats = NDArray[np.float64]


def unit_vectors(lon: ArrayLike, lat: ArrayLike) -> Floats:
    """Turn longitudes and latitudes, degrees that broadcast, into unit vectors, shape (N, 3).

    x points towards (0° E, 0° N), y towards (90° E, 0° N), z towards the north pole.
    """
    lam, phi = np.broadcast_arrays(_radians(lon), _radians(lat))
    cos_phi = np.cos(phi)
    return np.stack([cos_phi * np.cos(lam), cos_phi * np.sin(lam), np.sin(phi)], axis=-1)


def distance_km(lon1: ArrayLike, lat1: ArrayLike, lon2: ArrayLike, lat2: ArrayLike) -> Floats:
    """Great-circle distance between places given in degrees, on a sphere of `EARTH_RADIUS_KM`.

    Shapes broadcast, so that ``lon1[:, None]`` gives a matrix. The arctangent form (Vincenty's
    formula on a sphere) is accurate for near, far and antipodal places alike; haversine loses half
    the digits near antipodes, arccosine near zero.

    >>> distance_km(0.0, 0.0, 90.0, 0.0).round(3)
    np.float64(10007.557)
    """
    lam1, lam2 = _radians(lon1), _radians(lon2)
    phi1, phi2 = _radians(lat1), _radians(lat2)
    dlam = lam2 - lam1
    sin1, cos1, sin2, cos2 = np.sin(phi1), np.cos(phi1), np.sin(phi2), np.cos(phi2)
    # cos1 * sin2 - sin1 * cos2 * cos(dlam), rewritten so that close places do not cancel.
    along = np.sin(phi2 - phi1) + 2.0 * sin1 * cos2 * np.sin(dlam / 2.0) ** 2
    across = cos2 * np.sin(dlam)
    angle = np.arctan2(np.hypot(across, along), sin1 * sin2 + cos1 * cos2 * np.cos(dlam))
    return np.asarray(angle * EARTH_RADIUS_KM)[()]


def chord(km: float) -> float:
    """Length of the straight chord, on the unit sphere, under a great-circle distance.

    Two places are nearer than `km` exactly if their unit vectors are nearer than ``chord(km)``:
    the radius for a k-d tree over `unit_vectors`. Beyond half the circumference there are no
    places, so the chord stays 2.

    Raises
    ------
    ValueError
        If `km` is negative or not a number.
    """
    if not km >= 0.0:
        raise ValueError(f"km must be a distance of at least 0, not {km}")
    return 2.0 * math.sin(min(km / EARTH_RADIUS_KM, math.pi) / 2.0)


def chords(km: ArrayLike) -> Floats:
    """Lengths of the straight chords under many great-circle distances; see `chord`."""
    return np.asarray(2.0 * np.sin(np.minimum(np.asarray(km) / EARTH_RADIUS_KM, np.pi) / 2.0))


def arc_km(chord: ArrayLike) -> Floats:
    """Great-circle distances over straight chords of the unit sphere, the inverse of `chord`.

    A chord of more than 2, by rounding, counts as 2.
    """
    half = np.asarray(chord, dtype=np.float64) / 2.0
    return np.asarray(2.0 * EARTH_RADIUS_KM * np.arcsin(np.minimum(half, 1.0)))


def nearest_km(lon: ArrayLike, lat: ArrayLike, to_lon: ArrayLike, to_lat: ArrayLike) -> Floats:
    """Great-circle distance of each of N places to the nearest of M others, km, shape (N,).

    All are degrees, shapes (N,) and (M,). By a k-d tree over `unit_vectors`; infinite where there
    is no other place.

    Raises
    ------
    ValueError
        If a coordinate is not finite.

    Examples
    --------
    >>> nearest_km([0.0, 10.0], [0.0, 0.0], [1.0, 10.0], [0.0, 0.0]).round(1)
    array([111.2,   0. ])
    """
    from scipy.spatial import cKDTree

    there, here = unit_vectors(to_lon, to_lat), unit_vectors(lon, lat)
    if not np.isfinite(here).all():  # the tree refuses those of its own
        raise ValueError("a coordinate is not finite")
    if not len(there):
        return np.full(len(here), np.inf)
    return arc_km(cKDTree(there).query(here, workers=-1)[0])


def uniform_on_sphere(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw n places uniformly by area, degrees; longitude in [-180, 180).

    By Archimedes' theorem the sine of the latitude is uniform in [-1, 1].
    """
    lon = rng.uniform(-180.0, 180.0, n)
    lat = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    return lon, lat


def wrap_lon(lon: ArrayLike) -> Floats:
    """Bring longitudes into [-180, 180); those already there stay as they are, to the bit.

    >>> wrap_lon([180.0, 190.0, -181.0, 12.5])
    array([-180. , -170. ,  179. ,   12.5])
    """
    given = np.asarray(lon, dtype=np.float64)
    turned = np.mod(given + 180.0, 360.0) - 180.0
    # A tiny negative remainder rounds up to the excluded end.
    turned = np.where(turned >= 180.0, -180.0, turned)
    return np.where((given >= -180.0) & (given < 180.0), given, turned)[()]


def offset(
    lon: ArrayLike, lat: ArrayLike, bearing_deg: ArrayLike, km: ArrayLike
) -> tuple[Floats, Floats]:
    """Place reached from another along a great circle, degrees; longitude in [-180, 180).

    The bearing counts clockwise from north, at a pole from the meridian of `lon`. Shapes broadcast.

    >>> lon, lat = offset(0.0, 0.0, 90.0, EARTH_RADIUS_KM * math.pi / 2)
    >>> round(float(lon), 9), round(float(lat), 9) + 0.0
    (90.0, 0.0)
    """
    lam, phi = _radians(lon), _radians(lat)
    theta, delta = _radians(bearing_deg), np.asarray(km, dtype=np.float64) / EARTH_RADIUS_KM
    # In the plane of the starting meridian x points outwards, z to the pole, y eastwards.
    north = np.sin(delta) * np.cos(theta)
    x = np.cos(phi) * np.cos(delta) - np.sin(phi) * north
    y = np.sin(delta) * np.sin(theta)
    z = np.sin(phi) * np.cos(delta) + np.cos(phi) * north
    new_lat = np.degrees(np.arctan2(z, np.hypot(x, y)))
    return wrap_lon(np.degrees(lam + np.arctan2(y, x))), new_lat[()]


def _radians(degrees: ArrayLike) -> Floats:
    return np.radians(np.asarray(degrees, dtype=np.float64))
