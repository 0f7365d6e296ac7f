"""Samplers that crowd around seeds: cities, and forests."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import KDTree

from wherefrom import earth
from wherefrom.compose import passes
from wherefrom.compose.allocate import allocate
from wherefrom.compose.base import Inputs
from wherefrom.compose.plain import AloneShort
from wherefrom.compose.strata import Plan, Strata
from wherefrom.compose.streamed import StreamedSampler
from wherefrom.earth.sphere import chord, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch, Part

__all__ = ["AroundCities", "AroundForest", "NearSeeds"]


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
    reads: ClassVar[Inputs] = Inputs(sources=("geonames-cities",))
    around: Literal["cities"]
    min_population: int = Field(default=100_000, ge=1)
    radius_km: float = Field(default=50.0, gt=0, le=20_000)
    clusters: int | None = Field(default=None, ge=1)
    short: AloneShort = "error"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> NearSeeds:
        """Put the places near the cities into one stratum."""
        cities = earth.cities(self.min_population)
        seeds = unit_vectors(cities.lon, cities.lat)
        if not len(seeds):
            raise WherefromError(f"no city has {self.min_population:,} people: lower it")
        if self.clusters is not None:
            seeds = seeds[_drawn(len(seeds), self.clusters, "cities", rng)]
        return NearSeeds(seeds, self.radius_km)

    def plan(
        self,
        pool: AnyPool,
        strata: Strata,
        keys: NDArray[np.int64],
        sizes: NDArray[np.int64],
        n: int,
    ) -> Plan:
        """Take n from the stratum, with a policy if it has too few."""
        assert isinstance(strata, NearSeeds)
        label = f"within {self.radius_km:g} km of cities"
        return _plan(strata, sizes, n, self.short, label, self.clusters is not None)


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

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> NearSeeds:
        """Put the forest places near the seeds into one stratum."""
        pool.labels("forest")  # known before the parts set out
        parts = pool.parts()
        counts = list(passes.over_parts(pool, _forest_count, "counting forest places"))
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
        found = list(passes.over_parts(pool, look, "looking up forest seeds"))
        seeds = unit_vectors(*np.concatenate(found, axis=1))
        return NearSeeds(seeds, self.radius_km, "forest", {"forest_places": forest_places})

    def plan(
        self,
        pool: AnyPool,
        strata: Strata,
        keys: NDArray[np.int64],
        sizes: NDArray[np.int64],
        n: int,
    ) -> Plan:
        """Take n from the stratum, with a policy if it has too few."""
        assert isinstance(strata, NearSeeds)
        label = f"forest within {self.radius_km:g} km of a seed"
        return _plan(strata, sizes, n, self.short, label, True)


class NearSeeds(Strata):
    """The places within a radius of some seeds as the only stratum.

    Parameters
    ----------
    seeds : ndarray of float64, shape (M, 3)
        Unit vectors.
    radius_km : float
        Great-circle distance.
    layer : str, optional
        Only places with a label of it count.
    notes : dict, optional
        Facts about the seeds, for the card.
    """

    def __init__(
        self,
        seeds: NDArray[np.float64],
        radius_km: float,
        layer: str | None = None,
        notes: dict[str, Any] | None = None,
    ) -> None:
        self.ask = Ask(codes=() if layer is None else (layer,))
        self.seeds = len(seeds)
        self.notes = notes or {}
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


def _drawn(places: int, clusters: int, what: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the numbers of the clusters, ascending."""
    if clusters > places:
        raise WherefromError(f"clusters={clusters:,}, but there are only {places:,} {what}")
    return np.sort(rng.choice(places, clusters, replace=False))


def _forest_count(part: Part) -> int:
    ask = Ask(codes=("forest",))
    return sum(int((batch.codes["forest"] >= 0).sum()) for batch in part.batches(ask))


def _forest_places(part: Part, chosen: dict[int, NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return longitude and latitude, shape (2, M), of forest places by their number in a part."""
    wanted = chosen[part.start]
    found, before = [np.zeros((2, 0))], 0
    for batch in part.batches(Ask(codes=("forest",))) if len(wanted) else ():
        rows = np.flatnonzero(batch.codes["forest"] >= 0)
        here = rows[wanted[(wanted >= before) & (wanted < before + len(rows))] - before]
        found.append(np.stack([batch.lon[here], batch.lat[here]]))
        before += len(rows)
    return np.concatenate(found, axis=1)


def _plan(
    strata: NearSeeds, sizes: NDArray[np.int64], n: int, short: AloneShort, label: str, random: bool
) -> Plan:
    if not len(sizes):
        raise WherefromError(
            f"the stratum is empty: no place of the pool is {label}; raise radius_km"
        )
    notes = {"seeds": strata.seeds, "candidates": int(sizes[0]), **strata.notes}
    given = f"the {strata.seeds:,} clusters drawn" if random else ""
    return Plan(allocate([1], sizes, n, short, [label]), (label,), notes, given)
