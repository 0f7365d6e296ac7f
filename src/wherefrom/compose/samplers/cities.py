"""Samplers that crowd around seeds: cities, and forests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import KDTree

from wherefrom import earth
from wherefrom.compose.allocate import AloneShort, allocate, allocate_levels, levels_of
from wherefrom.compose.base import Inputs, StreamedSampler
from wherefrom.compose.samplers.grid import EqualDistanceRows
from wherefrom.compose.strata import Groups, Ints, Plan, Strata
from wherefrom.earth.cities import SMALLEST
from wherefrom.earth.sphere import EARTH_RADIUS_KM, chord, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch, Part, over

__all__ = [
    "CLUSTERED",
    "AroundCities",
    "AroundForest",
    "GaussianCities",
    "GaussianMixture",
    "NearSeeds",
]

Floats = NDArray[np.float64]

CITIES = Inputs(sources=("geonames-cities",))
#: Beyond so many standard deviations a Gaussian counts as zero: 4e-6 of its height.
REACH = 5.0
#: Pairs of place and seed at once: 64 MiB.
PAIRS = 1 << 20


class AroundCities(StreamedSampler):
    """Uniform at random from the places within a radius of large cities, without replacement.

    "World cities" of Purohit et al. 2025 (arXiv 2501.12535), which names neither the list nor the
    radius. Here: GeoNames cities; 50 km is the spread that SSL4EO-S12 uses around cities
    (arXiv 2211.07044).

    Attributes
    ----------
    around : {"cities"}
    min_population : int
        Cities with at least so many people are seeds.
    radius_km : float
        Great-circle distance from a seed within which a place is a candidate, km.
    clusters : int, optional
        Draw so many of the cities at random first; by default all are used, and inclusion
        probabilities are unconditional.
    short : {"error", "cap", "repeat"}
        What to do if there are fewer than n candidates.
    """

    name: ClassVar[str] = "clustered"
    reads: ClassVar[Inputs] = CITIES
    around: Literal["cities"]
    min_population: int = Field(default=100_000, ge=1)
    radius_km: float = Field(default=50.0, gt=0, le=20_000)
    clusters: int | None = Field(default=None, ge=1)
    short: AloneShort = "error"

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        return "crowded around cities"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Take n from the places near the cities, with a policy if they are too few."""
        cities = earth.cities(self.min_population)
        seeds = unit_vectors(cities.lon, cities.lat)
        if not len(seeds):
            raise WherefromError(f"no city has {self.min_population:,} people: lower it")
        if self.clusters is not None:
            seeds = seeds[_drawn(len(seeds), self.clusters, "cities", rng)]
        label = f"within {self.radius_km:g} km of cities"
        near = NearSeeds(seeds, self.radius_km)
        return near.strata(n, self.short, label, random=self.clusters is not None)


class AroundForest(StreamedSampler):
    """Uniform at random from the forest places within a radius of random forest seeds.

    "Natural forest" of Purohit et al. 2025 (arXiv 2501.12535), which names no map. Here: forest is
    the layer of that name (MODIS IGBP classes 1 to 5, plantations not set apart); seeds are forest
    places of the pool drawn at random, so that the composition is clustered and does not merely
    consist of forest. Candidates are drawn from without replacement.

    Attributes
    ----------
    around : {"forest"}
    clusters : int
        Seeds drawn.
    radius_km : float
        Great-circle distance from a seed within which a forest place is a candidate, km.
    short : {"error", "cap", "repeat"}
        What to do if there are fewer than n candidates.
    """

    name: ClassVar[str] = "clustered"
    reads: ClassVar[Inputs] = Inputs(layers=("forest",))
    around: Literal["forest"]
    clusters: int = Field(default=500, ge=1)
    radius_km: float = Field(default=100.0, gt=0, le=20_000)
    short: AloneShort = "error"

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        return "crowded in forests"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Take n from the forest places near the seeds, with a policy if they are too few."""
        pool.labels("forest")  # known before the parts set out
        parts = pool.parts()
        counts = list(over(parts, _forest_count, "counting forest places"))
        before = np.concatenate([[0], np.cumsum(counts)])
        forest_places = int(before[-1])
        if not forest_places:
            raise WherefromError("the stratum is empty: no place of the pool is forest")
        chosen = _drawn(forest_places, self.clusters, "forest places", rng)
        here = {
            part.start: chosen[(chosen >= low) & (chosen < high)] - low
            for part, low, high in zip(parts, before[:-1], before[1:], strict=True)
        }
        look = partial(_forest_places, chosen=here)
        places = list(over(parts, look, "looking up forest seeds"))
        seeds = unit_vectors(*np.concatenate(places, axis=1))
        near = NearSeeds(seeds, self.radius_km, "forest")
        label = f"forest within {self.radius_km:g} km of a seed"
        return near.strata(n, self.short, label, random=True, forest_places=forest_places)


#: Classes of the sampler of that name, told apart by `around`.
CLUSTERED = (AroundCities, AroundForest)


class NearSeeds(Groups):
    """The places within a radius of some seeds, unit vectors (M, 3), as the only group.

    If a `layer` is given, only places with a label of it count.
    """

    def __init__(self, seeds: Floats, radius_km: float, layer: str | None = None) -> None:
        self.ask = Ask(codes=() if layer is None else (layer,))
        self.seeds = len(seeds)
        self._tree = KDTree(seeds)
        self._limit = chord(radius_km)

    def keys(self, batch: Batch) -> NDArray[np.int64]:
        """Return 0 near a seed, -1 elsewhere."""
        keys = np.full(len(batch), -1, dtype=np.int64)
        rows = np.arange(len(batch))
        for layer in self.ask.codes:
            rows = np.flatnonzero(batch.codes[layer] >= 0)
        places = unit_vectors(batch.lon[rows], batch.lat[rows])
        # The query's bound is exclusive, the radius is not.
        nearest, _ = self._tree.query(places, distance_upper_bound=np.nextafter(self._limit, 3))
        keys[rows[np.asarray(nearest) <= self._limit]] = 0
        return keys

    def strata(self, n: int, short: AloneShort, label: str, random: bool, **notes: int) -> Strata:
        """Take n from the group, with a policy if it has too few; `random` if seeds were drawn."""

        def plan(keys: Ints, sizes: Ints) -> Plan:
            if not len(sizes):
                raise WherefromError(
                    f"the stratum is empty: no place of the pool is {label}; raise radius_km"
                )
            told = {"seeds": self.seeds, "candidates": int(sizes[0]), **notes}
            given = f"the {self.seeds:,} clusters drawn" if random else ""
            return Plan(allocate([1], sizes, n, short, [label]), (label,), told, given)

        return Strata(self, plan)


def _drawn(places: int, clusters: int, what: str, rng: np.random.Generator) -> Ints:
    """Draw the numbers of the clusters, ascending."""
    if clusters > places:
        raise WherefromError(f"clusters={clusters:,}, but there are only {places:,} {what}")
    return np.sort(rng.choice(places, clusters, replace=False))


def _forest_count(part: Part) -> int:
    ask = Ask(codes=("forest",))
    return sum(int((batch.codes["forest"] >= 0).sum()) for batch in part.batches(ask))


def _forest_places(part: Part, chosen: dict[int, Ints]) -> Floats:
    """Return longitude and latitude, shape (2, M), of forest places by their number in a part."""
    wanted = chosen[part.start]
    places, before = [np.zeros((2, 0))], 0
    for batch in part.batches(Ask(codes=("forest",))) if len(wanted) else ():
        rows = np.flatnonzero(batch.codes["forest"] >= 0)
        here = rows[wanted[(wanted >= before) & (wanted < before + len(rows))] - before]
        places.append(np.stack([batch.lon[here], batch.lat[here]]))
        before += len(rows)
    return np.concatenate(places, axis=1)


class GaussianCities(StreamedSampler):
    """In proportion to a sum of Gaussians around the most populous cities, without replacement.

    SSL4EO-S12 (Wang et al. 2023, arXiv 2211.07044): Gaussian, 50 km, around the 10,000 most
    populous cities, each as likely as the others; here GeoNames cities. From a pool: a place's
    probability is in proportion to the sum of the cities' Gaussians there (each cut at 5 standard
    deviations), at most 1, rounded by at most 0.5 % to geometric levels, so that n and all
    probabilities are exact. The pool's own density stays in the draw: from a pool that is uniform
    on land it is SSL4EO-S12's without its places at sea.

    Attributes
    ----------
    cities : int
        So many of the most populous cities.
    sigma_km : float
        Standard deviation along each axis, km.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> table = pa.table({"lon": [121.47, -150.0], "lat": [31.23, 0.0]})
    >>> draw(Pool.from_table(table), "gaussian-cities", 1).ids.tolist()
    [0]
    """

    name: ClassVar[str] = "gaussian-cities"
    reads: ClassVar[Inputs] = CITIES
    cities: int = Field(default=10_000, ge=1)
    sigma_km: float = Field(default=50.0, ge=1, le=1000)

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        return "crowded around the largest cities"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Share n in proportion to the Gaussians' sum, level by level."""
        known = earth.cities(SMALLEST)
        if self.cities > len(known):
            raise WherefromError(f"cities={self.cities:,}, but GeoNames lists {len(known):,}")
        key = earth.layer_key("city_distance")  # of the same source

        def plan(keys: Ints, sizes: Ints) -> Plan:
            if not len(keys):
                raise WherefromError(
                    "the stratum is empty: no place of the pool is within "
                    f"{REACH * self.sigma_km:g} km of the cities; raise sigma_km or cities"
                )
            notes = {
                "seeds": self.cities,
                "candidates": int(sizes.sum()),
                "levels": len(keys),
            }
            return Plan(allocate_levels(keys, sizes, n), (), notes)

        return Strata(_Around(_mixture(self.cities, self.sigma_km, key)), plan)


@dataclass
class GaussianMixture:
    """Sum of equal Gaussians of the great-circle distance to seeds (M,), in degrees.

    >>> seeds = GaussianMixture(np.array([0.0]), np.array([90.0]), 50.0)
    >>> degree = np.degrees(50.0 / EARTH_RADIUS_KM)
    >>> seeds.height(np.zeros(3), 90 - degree * np.array([0, 1, 5.01])).round(4).tolist()
    [1.0, 0.6065, 0.0]
    """

    lon: Floats
    lat: Floats
    sigma_km: float

    @cached_property
    def _rows(self) -> EqualDistanceRows:
        return EqualDistanceRows(max(self.sigma_km, 25.0))

    @cached_property
    def _vectors(self) -> Floats:
        return unit_vectors(self.lon, self.lat)

    @cached_property
    def _seeds_of_cells(self) -> tuple[Ints, Ints]:
        """Seeds that may reach places of each cell: their numbers, and where each cell's begin."""
        # No place of a cell is farther from its node than 1.3 times the spacing.
        reach = chord(REACH * self.sigma_km + 1.3 * self._rows.spacing_km)
        nodes = KDTree(unit_vectors(*self._rows.node(np.arange(self._rows.count))))
        pairs = nodes.sparse_distance_matrix(KDTree(self._vectors), reach, output_type="ndarray")
        order = np.lexsort((pairs["j"], pairs["i"]))
        first = np.searchsorted(pairs["i"][order], np.arange(self._rows.count + 1))
        return pairs["j"][order].astype(np.int64), first.astype(np.int64)

    def height(self, lon: Floats, lat: Floats) -> Floats:
        """Return the Gaussians' sum at places (N,), each 1 at its seed, 0 beyond 5 deviations."""
        seeds, first = self._seeds_of_cells
        cell = self._rows.cell(lon, lat)
        begin, many = first[cell], first[cell + 1] - first[cell]
        total = np.zeros(len(lon))
        some = np.flatnonzero(many)
        # In pieces of whole places, so that a place's sum never depends on the others.
        piece = (np.cumsum(many[some]) - 1) // PAIRS
        for places in np.split(some, np.flatnonzero(np.diff(piece)) + 1):
            if not len(places):
                continue
            of = np.repeat(np.arange(len(places)), many[places])
            start = np.cumsum(many[places]) - many[places]
            pair = np.arange(len(of)) - np.repeat(start - begin[places], many[places])
            apart = unit_vectors(lon[places], lat[places])[of] - self._vectors[seeds[pair]]
            square = np.einsum("pd,pd->p", apart, apart)
            near = square <= chord(REACH * self.sigma_km) ** 2
            half = np.minimum(np.sqrt(square[near]) / 2.0, 1.0)
            ratio = np.arcsin(half) * (2.0 * EARTH_RADIUS_KM / self.sigma_km)
            total[places] = np.bincount(of[near], np.exp(-(ratio**2) / 2), minlength=len(places))
        return total


class _Around(Groups):
    """The level of the height of the Gaussians."""

    def __init__(self, mixture: GaussianMixture) -> None:
        self.mixture = mixture

    def keys(self, batch: Batch) -> Ints:
        return levels_of(self.mixture.height(batch.lon, batch.lat))


@lru_cache(maxsize=4)
def _mixture(cities: int, sigma_km: float, key: str) -> GaussianMixture:
    """Keep what takes a second to prepare."""
    known = earth.cities(SMALLEST)
    return GaussianMixture(known.lon[:cities], known.lat[:cities], sigma_km)
