"""Coverage: how far the land is from the nearest place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wherefrom import parallel
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import LEAST, PAIRED, Commands, Finding, kilometres, percent
from wherefrom.auditing.lattice import ALL_LAND, Ground, Land, land_lattice, uniform_on_land
from wherefrom.auditing.statistic import SPACE, Statistic
from wherefrom.auditing.tally import Floats, Ints, Tally, canonical_places, counted_places
from wherefrom.earth.sphere import EARTH_RADIUS_KM, arc_km, distance_km, unit_vectors
from wherefrom.pool.batches import Ask, Batch

__all__ = ["Coverage", "CoverageTally", "Gap", "tree_of"]


#: Places of the uniform control; a larger pool is compared with it scaled by 1 / sqrt(places).
CONTROL = 1 << 16
#: Gaps named, each outside the others.
GAPS = 5
#: Times the uniform median distance from land beyond which there are gaps: one control is noisy.
FARTHER = 1.1


@dataclass(frozen=True)
class Gap:
    """A place on land, degrees, and how far it is from the nearest place of the pool."""

    lon: float
    lat: float
    km: float


@dataclass(frozen=True)
class Coverage(Statistic):
    """Distances from land to the nearest place of the pool, or to its footprint.

    Attributes
    ----------
    land_points : int
        Points of the lattice of land, of equal area each.
    radius_km : float
        The largest distance of a lattice point: the covering radius of the land, remote islands
        and all. Exact over all places of the pool.
    radius_error_km : float
        The true covering radius is at most so much larger: that of the lattice itself, within the
        land. An island smaller than a lattice cell may be missed.
    median_km, p90_km, p99_km : float
        Quantiles over the area of land.
    uniform_median_km, uniform_p99_km : float
        The same for as many places uniform by area on land: one simulated control of at most
        `CONTROL` places, scaled by the root of the number of places where the pool has more.
    beyond_100_km : float
        Share of the land farther than 100 km from every place.
    gaps : tuple of Gap
        The farthest points, each outside the circles of those before.
    """

    name, section, of_land = "coverage", SPACE, True

    land_points: int
    radius_km: float
    radius_error_km: float
    median_km: float
    p90_km: float
    p99_km: float
    uniform_median_km: float
    uniform_p99_km: float
    beyond_100_km: float
    gaps: tuple[Gap, ...]
    ground: Ground = field(default=ALL_LAND, repr=False)

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally of the distances from land."""
        return [CoverageTally(asked.ground)]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[CoverageTally]) -> Coverage:
        """Sum up the distances, beside those of uniform places."""
        return counted[0].result(asked.sample.seen, asked.rng)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the largest and the median distance."""
        return [
            (
                "covering radius",
                kilometres(self.radius_km),
                "",
                f"the farthest that {self.ground.name} is from the nearest place",
            ),
            (
                f"median distance from {self.ground.name}",
                kilometres(self.median_km),
                kilometres(self.uniform_median_km),
                f"{percent(self.beyond_100_km)} of the {self.ground.noun} is farther than 100 km",
            ),
        ]

    def findings(self, commands: Commands) -> list[Finding]:
        """Find whether more of the land is far from every place than with uniform places."""
        if not commands.by_land or self.median_km <= FARTHER * self.uniform_median_km:
            return []
        # Of places at random, the share of land farther than r falls as exp(-pi density r^2).
        beyond = {self.median_km: 0.5, self.p90_km: 0.1, 100.0: self.beyond_100_km}
        excess = max(
            share - 0.5 ** ((km / max(self.uniform_median_km, 1e-9)) ** 2)
            for km, share in beyond.items()
        )
        if excess <= LEAST:
            return []
        text = (
            f"Gaps: half of the {self.ground.noun} is farther than {kilometres(self.median_km)} "
            f"from every place (of as many uniform places: {kilometres(self.uniform_median_km)})"
        )
        if self.gaps:
            gap = self.gaps[0]
            text += (
                f". The farthest {self.ground.noun}, at {gap.lon:.1f}, {gap.lat:.1f}, is "
                f"{kilometres(gap.km)} away"
            )
        return [Finding("gaps", excess, f"{text}.", commands.build(), may_follow=PAIRED)]


def tree_of(xyz: Floats) -> cKDTree:
    """Build a k-d tree quickly: nodes are halved in space, not by the median."""
    return cKDTree(xyz, leafsize=16, compact_nodes=False, balanced_tree=False)


class CoverageTally:
    """Tally of the distance from every lattice point of land to the nearest place.

    In a footprint that is 0; outside it is counted to the circle of the area of the footprint
    whose middle is nearest.
    """

    ask = Ask(footprints=True)

    def __init__(self, ground: Ground = ALL_LAND) -> None:
        self.ground = ground
        self._chord: Floats = np.full(1, np.inf)  # of all points, before the first place

    def update(self, batch: Batch, weight: Floats | None = None) -> None:
        """Bring nearer the lattice points that have a nearer place in the batch."""
        lon, lat, _ = counted_places(batch, weight)
        if not len(lon):
            return
        if batch.footprints is not None:
            self._cover(batch, weight)
            return
        lon, lat = canonical_places(lon, lat)
        if _repeats(lon, lat):
            # Equal places make one leaf of the tree, searched from end to end: take them once.
            place = np.unique(lon + 1j * lat)
            lon, lat = place.real, place.imag
        order = _by_tiles(lon, lat)
        xyz = unit_vectors(lon[order], lat[order])
        del lon, lat, order  # a tree of a batch is large, and every thread has one
        chord, _ = tree_of(xyz).query(self._land.xyz)
        self._chord = np.minimum(self._chord, chord)

    def _cover(self, batch: Batch, weight: Floats | None) -> None:
        assert batch.footprints is not None
        rows = np.arange(len(batch)) if weight is None else np.flatnonzero(weight > 0.0)
        rows = rows[_by_tiles(batch.lon[rows], batch.lat[rows])]
        radius_km = np.sqrt(batch.areas_km2[rows] / np.pi)
        far, at = tree_of(unit_vectors(batch.lon[rows], batch.lat[rows])).query(self._land.xyz)
        km = np.maximum(arc_km(far) - radius_km[at], 0.0)
        tree = _tree_of_land(self.ground)
        km[held(tree, batch.footprints[rows])] = 0.0
        self._chord = np.minimum(self._chord, 2.0 * np.sin(km / (2.0 * EARTH_RADIUS_KM)))

    def merge(self, other: Self) -> None:
        """Take the nearer of both distances."""
        self._chord = np.minimum(self._chord, other._chord)

    def result(self, places: float, rng: np.random.Generator) -> Coverage:
        """Sum up the distances, beside those of a uniform control for so many places."""
        assert np.isfinite(self._chord).all(), "no places were counted"
        here = self._land
        km = arc_km(self._chord)
        median, p90, p99 = np.quantile(km, [0.5, 0.9, 0.99])
        size = int(min(max(places, 1), CONTROL))
        control = tree_of(unit_vectors(*uniform_on_land(size, rng, self.ground)))
        scale = np.sqrt(size / max(places, 1))
        uniform = scale * np.quantile(arc_km(control.query(here.xyz)[0]), [0.5, 0.99])
        return Coverage(
            len(km),
            float(km.max()),
            here.covering_km,
            float(median),
            float(p90),
            float(p99),
            float(uniform[0]),
            float(uniform[1]),
            float((km > 100.0).mean()),
            _gaps(here, km),
            self.ground,
        )

    @property
    def _land(self) -> Land:
        return _tiled_land(self.ground)


@lru_cache(maxsize=2)
def _tiled_land(ground: Ground) -> Land:
    here = land_lattice(ground=ground)
    order = _by_tiles(here.lon, here.lat)
    return Land(here.lon[order], here.lat[order], here.cell_km2)


def held(tree: shapely.STRtree, footprints: NDArray[Any]) -> Ints:
    """Return which of a tree's points footprints hold, once for each that does; on threads."""
    return parallel.by_blocks(lambda some: tree.query(some, predicate="intersects")[1], footprints)


@lru_cache(maxsize=2)
def _tree_of_land(ground: Ground) -> shapely.STRtree:
    here = _tiled_land(ground)
    return shapely.STRtree(shapely.points(here.lon, here.lat))


def _by_tiles(lon: Floats, lat: Floats) -> Ints:
    """Return an order in which neighbours are near each other, by tiles of 0.7 by 1.4 degrees.

    Built and searched in such an order, a tree takes three quarters of the time: what one point
    needs of it is still in the core's cache from the point before.
    """
    row = np.minimum((lat + 90.0) * (256 / 180), 255.0).astype(np.uint16)
    column = np.minimum((lon + 180.0) * (256 / 360), 255.0).astype(np.uint16)
    # Every other row backwards, so that the next tile is always a neighbour.
    column = np.where(row % 2, 255 - column, column).astype(np.uint16)
    return np.argsort(row * np.uint16(256) + column, kind="stable")  # 16 bits: by radix


def _repeats(lon: Floats, lat: Floats) -> bool:
    """Tell whether one place makes up much of a batch, so that it would fill leaves of a tree.

    A look at places in steps: one that holds 1 in 500 of them is missed once in 10**3.
    """
    step = max(1, len(lon) // 4096)
    look = lon[::step] + 1j * lat[::step]
    return len(np.unique(look)) < len(look)


def _gaps(here: Land, km: Floats) -> tuple[Gap, ...]:
    found: list[Gap] = []
    free = np.ones(len(km), dtype=bool)
    while free.any() and len(found) < GAPS:
        at = int(np.argmax(np.where(free, km, -1.0)))
        if km[at] <= here.covering_km:
            break
        found.append(Gap(float(here.lon[at]), float(here.lat[at]), float(km[at])))
        free &= distance_km(here.lon, here.lat, here.lon[at], here.lat[at]) > km[at]
    return tuple(found)
