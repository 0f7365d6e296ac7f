"""The land as the spatial statistics see it: points of equal area, and uniform places at random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing.reference import land_lattice
from wherefrom.earth.land import LAND_SHARE
from wherefrom.earth.sphere import EARTH_RADIUS_KM, uniform_on_sphere, unit_vectors

__all__ = ["COARSE", "FINE", "Land", "land", "uniform_on_land"]

Floats = NDArray[np.float64]

#: Points on land for distances (22 km apart), and for shares of area (11 km apart).
COARSE, FINE = 1 << 18, 1 << 20
# All land of the continent Antarctica lies south of 50 degrees S.
SOUTH = -50.0
#: Covering radius of a Fibonacci lattice of any size in units of the root of a cell's area; it is
#: largest at the poles (0.7696, from the vertices of its Voronoi cells).
COVERING = 0.77


@dataclass(frozen=True, eq=False)
class Land:
    """Points of a Fibonacci lattice of the sphere that lie on land, of equal area each.

    Attributes
    ----------
    lon, lat : ndarray of float64, shape (M,)
        Degrees.
    cell_km2 : float
        Area that each point stands for.
    """

    lon: Floats
    lat: Floats
    cell_km2: float

    def __len__(self) -> int:
        return len(self.lon)

    @cached_property
    def xyz(self) -> Floats:
        """Unit vectors, shape (M, 3)."""
        return unit_vectors(self.lon, self.lat)

    @property
    def area_km2(self) -> float:
        """Area of the land."""
        return len(self) * self.cell_km2

    @property
    def covering_km(self) -> float:
        """No place of the sphere is farther from the nearest point of the whole lattice."""
        return COVERING * float(np.sqrt(self.cell_km2))


@lru_cache(maxsize=4)
def land(antarctica: bool = False, points: int = COARSE) -> Land:
    """Return the lattice of the land.

    Parameters
    ----------
    antarctica : bool
        Whether the continent Antarctica is land.
    points : int
        About how many points on land.

    Returns
    -------
    Land

    Raises
    ------
    WherefromError
        If the land layer cannot be had.

    Examples
    --------
    >>> 134e6 < land().area_km2 < 137e6
    True
    """
    lon, lat = land_lattice(points, antarctica)
    on_sphere = round(points / LAND_SHARE)
    return Land(lon, lat, 4.0 * np.pi * EARTH_RADIUS_KM**2 / on_sphere)


def uniform_on_land(
    places: int, rng: np.random.Generator, antarctica: bool = False
) -> tuple[Floats, Floats]:
    """Draw places uniformly by area on land: complete spatial randomness.

    Parameters
    ----------
    places : int
        How many, at least 1.
    rng : numpy.random.Generator
        Source of randomness.
    antarctica : bool
        Whether the continent Antarctica is land.

    Returns
    -------
    lon, lat : ndarray of float64, shape (places,)
        Degrees.

    Examples
    --------
    >>> lon, lat = uniform_on_land(1000, np.random.default_rng(0))
    >>> len(lon), bool(lat.min() > -60.0)
    (1000, True)
    """
    layer, continent = _layers()
    frozen = continent.labels.index("Antarctica")
    kept: list[tuple[Floats, Floats]] = []
    found = 0
    while found < places:
        # A little more than land's share asks for, so that one turn mostly does.
        lon, lat = uniform_on_sphere(int((places - found) * 3.9) + 64, rng)
        inside = layer.codes(lon, lat) >= 0
        if not antarctica:
            south = np.flatnonzero(inside & (lat < SOUTH))
            inside[south] = continent.codes(lon[south], lat[south]) != frozen
        kept.append((lon[inside], lat[inside]))
        found += int(inside.sum())
    lon, lat = (np.concatenate(both)[:places] for both in zip(*kept, strict=True))
    return lon, lat


@lru_cache(maxsize=1)
def _layers() -> tuple[earth.Layer, earth.Layer]:
    """Open the layers once: to look for their files takes longer than to draw 10,000 places."""
    return earth.layer("land"), earth.layer("continent")
