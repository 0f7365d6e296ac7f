"""Evenly spread points of the land, of equal area each, and uniform places on it at random.

The points are those of a Fibonacci lattice, which has one in each of N cells of equal area of the
sphere (A. Gonzalez 2010, *Measurement of areas on a sphere using Fibonacci and latitude-longitude
lattices*, Mathematical Geosciences 42, 49-64).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth, keys
from wherefrom.auditing.tally import Floats
from wherefrom.earth.extent import Extent, ExtentLand
from wherefrom.earth.kept import keep
from wherefrom.earth.land import LAND_KM2, on_land
from wherefrom.earth.sphere import EARTH_RADIUS_KM, uniform_on_sphere, unit_vectors
from wherefrom.earth.surfaces import SURFACES, Surface, land_layers, lies_on, uniform_on

__all__ = [
    "COARSE",
    "FINE",
    "ALL_LAND",
    "Ground",
    "Land",
    "fibonacci",
    "land_lattice",
    "uniform_on_land",
]


#: Points on land for distances (22 km apart), and for shares of area (11 km apart).
COARSE, FINE = 1 << 18, 1 << 20
#: Covering radius of a Fibonacci lattice of any size in units of the root of a cell's area; it is
#: largest at the poles (0.7696, from the vertices of its Voronoi cells).
COVERING = 0.77
#: Turns per point: the golden ratio's inverse spreads any number of points evenly.
_TURN = (np.sqrt(5.0) - 1.0) / 2.0
#: Lattices of so many points are kept in the user's cache; smaller ones are faster made than read.
_KEPT = 1 << 18
_VERSION = 1  # of what is kept there


@dataclass(frozen=True)
class Ground:
    """The land that places are held against: with Antarctica or without it, or of an extent.

    Or another surface, all of it or within an extent: wherever land is said of a ground, that
    surface is meant.
    """

    antarctica: bool = False
    within: Extent | None = None
    surface: Surface = "land"

    def __str__(self) -> str:
        if self.within is not None:
            noun = "all" if self.surface == "all" else self.noun
            return f"{'no ' * self.none}{noun} within {self.within.text}"
        return "land with Antarctica" if self.antarctica and self.is_land else self.name

    @property
    def is_land(self) -> bool:
        """Whether it is land, and no other surface."""
        return self.surface == "land"

    @property
    def noun(self) -> str:
        """What it is called after "the": land, ocean, coast, globe."""
        return SURFACES[self.surface].noun

    @property
    def name(self) -> str:
        """What it is called alone: land, the ocean, the coast, the globe."""
        return SURFACES[self.surface].name

    @property
    def part(self) -> ExtentLand | None:
        """That of the extent; None without one."""
        return None if self.within is None else self.within.part_on(self.surface)

    @property
    def none(self) -> bool:
        """Whether there is too little land to compare with."""
        return self.part is not None and self.part.none

    @property
    def area_km2(self) -> float:
        """Area of the land; of an extent without land, all of it."""
        own = self.part
        if own is None:
            return land_lattice(ground=self).area_km2
        return own.extent_km2 if own.none else own.area_km2

    @property
    def finer(self) -> float:
        """How many times cells are finer than on all land, so that as many are on this one."""
        if self.within is None and self.is_land:
            return 1.0
        return float(np.sqrt(LAND_KM2 / max(self.area_km2, 1e-9)))

    @property
    def unit(self) -> float:
        """What distances are multiplied with: a tenth below a million km2, then a hundredth."""
        if self.within is None:
            return 1.0
        return 1.0 if self.area_km2 >= 1e6 else 0.1 if self.area_km2 >= 1e4 else 0.01


#: All land but Antarctica.
ALL_LAND = Ground()


@dataclass(frozen=True, eq=False)
class Land:
    """Points of an even lattice that lie on land, degrees, of equal area each."""

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


def fibonacci(count: int) -> tuple[Floats, Floats]:
    """Return the Fibonacci lattice: points (count,) spread evenly over the sphere, degrees.

    From north to south; longitude in [-180, 180).
    """
    if count < 1:
        raise ValueError(f"a lattice has at least 1 point, not {count}")
    point = np.arange(count, dtype=np.float64)
    lon = (point * _TURN % 1.0) * 360.0 - 180.0
    lat = np.degrees(np.arcsin((count - 1.0 - 2.0 * point) / count))
    return lon, lat


@lru_cache(maxsize=4)
def land_lattice(points: int = COARSE, ground: Ground = ALL_LAND) -> Land:
    """Return evenly spread points on land, the same ones every time.

    There are about so many without Antarctica (within 1 % from 10,000 on), 9 % more with it; within
    an extent as many as it has cells, in their middle.

    >>> 950 < len(land_lattice(1000)) < 1050, 134e6 < land_lattice().area_km2 < 137e6
    (True, True)
    """
    if (own := ground.part) is not None:
        return Land(*own.cells.centre(own.inside), own.cells.area_km2)
    on_sphere = max(1, round(points / SURFACES[ground.surface].share))
    if ground.is_land:
        is_land, is_antarctica = _land_points(on_sphere)
        wanted = is_land if ground.antarctica else is_land & ~is_antarctica
    else:
        wanted = _surface_points(on_sphere, ground.surface)
    lon, lat = fibonacci(on_sphere)
    return Land(lon[wanted], lat[wanted], 4.0 * np.pi * EARTH_RADIUS_KM**2 / on_sphere)


@lru_cache(maxsize=2)
def _land_points(points: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which points of a lattice lie on land, and which on Antarctica."""
    key = keys.key_of([_VERSION, points, earth.layer_key("land"), earth.layer_key("continent")])

    def make() -> NDArray[np.bool_]:
        return np.stack(on_land(*fibonacci(points)))

    def load(stream: BinaryIO) -> NDArray[np.bool_]:
        return np.unpackbits(np.load(stream), axis=1, count=points).astype(np.bool_)

    name = f"land-lattice-{key}.npy"
    both = make() if points < _KEPT else keep(name, make, _save_bits, load)
    return both[0], both[1]


@lru_cache(maxsize=2)
def _surface_points(points: int, surface: Surface) -> NDArray[np.bool_]:
    """Tell which points of a lattice lie on a surface that is not land."""

    def make() -> NDArray[np.bool_]:
        return lies_on(surface, *fibonacci(points))

    def load(stream: BinaryIO) -> NDArray[np.bool_]:
        return np.unpackbits(np.load(stream), count=points).astype(np.bool_)

    def save(found: NDArray[np.bool_], path: Path) -> None:
        np.save(path, np.packbits(found))

    key = keys.key_of([_VERSION, points, surface, SURFACES[surface].about, earth.layer_key("land")])
    return make() if points < _KEPT else keep(f"{surface}-lattice-{key}.npy", make, save, load)


def uniform_on_land(
    places: int, rng: np.random.Generator, ground: Ground = ALL_LAND
) -> tuple[Floats, Floats]:
    """Draw places uniformly by area on land, in degrees: complete spatial randomness."""
    if ground.part is not None:
        return ground.part.uniform(places, rng)
    if not ground.is_land:
        return uniform_on(ground.surface, places, rng)
    kept: list[tuple[Floats, Floats]] = []
    found = 0
    while found < places:
        # A little more than land's share asks for, so that one turn mostly does.
        lon, lat = uniform_on_sphere(int((places - found) * 3.9) + 64, rng)
        inside, frozen = on_land(lon, lat, land_layers())
        if not ground.antarctica:
            inside &= ~frozen
        kept.append((lon[inside], lat[inside]))
        found += int(inside.sum())
    lon, lat = (np.concatenate(both)[:places] for both in zip(*kept, strict=True))
    return lon, lat


def _save_bits(both: NDArray[np.bool_], path: Path) -> None:
    np.save(path, np.packbits(both, axis=1))
