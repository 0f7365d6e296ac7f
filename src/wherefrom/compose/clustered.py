"""Samplers that crowd around seeds: cities, and forests."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import KDTree

from wherefrom import earth
from wherefrom.compose.base import DesignSampler
from wherefrom.compose.design import Design
from wherefrom.compose.plain import AloneShort, candidates_design
from wherefrom.earth.sphere import chord, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

__all__ = ["AroundCities", "AroundForest"]


class AroundCities(DesignSampler):
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
    around: Literal["cities"]
    min_population: int = Field(default=100_000, ge=1)
    radius_km: float = Field(default=50.0, gt=0, le=20_000)
    clusters: int | None = Field(default=None, ge=1)
    short: AloneShort = "error"

    def design(self, pool: Pool, n: int, rng: np.random.Generator) -> Design:
        """Put the places near the cities into one stratum."""
        cities = earth.cities(self.min_population)
        seeds = unit_vectors(cities.lon, cities.lat)
        if not len(seeds):
            raise WherefromError(f"no city has {self.min_population:,} people: lower it")
        seeds = _drawn(seeds, self.clusters, "cities", rng)
        chosen = _within(unit_vectors(pool.lon, pool.lat), seeds, self.radius_km)
        label = f"within {self.radius_km:g} km of cities"
        return _clusters_design(self, chosen, n, label, len(seeds), self.clusters is not None)


class AroundForest(DesignSampler):
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
    around: Literal["forest"]
    clusters: int = Field(default=500, ge=1)
    radius_km: float = Field(default=100.0, gt=0, le=20_000)
    short: AloneShort = "error"

    def layers(self) -> tuple[str, ...]:
        """Return the forest layer's name."""
        return ("forest",)

    def design(self, pool: Pool, n: int, rng: np.random.Generator) -> Design:
        """Put the forest places near the seeds into one stratum."""
        codes, _ = pool.codes("forest")
        rows = np.flatnonzero(codes >= 0)
        if not len(rows):
            raise WherefromError("the stratum is empty: no place of the pool is forest")
        forest = unit_vectors(pool.lon[rows], pool.lat[rows])
        seeds = _drawn(forest, self.clusters, "forest places", rng)
        chosen = np.zeros(len(pool), dtype=bool)
        chosen[rows[_within(forest, seeds, self.radius_km)]] = True
        label = f"forest within {self.radius_km:g} km of a seed"
        design = _clusters_design(self, chosen, n, label, len(seeds), True)
        design.notes["forest_places"] = len(rows)
        return design


def _drawn(
    seeds: NDArray[np.float64], clusters: int | None, what: str, rng: np.random.Generator
) -> NDArray[np.float64]:
    if clusters is None:
        return seeds
    if clusters > len(seeds):
        raise WherefromError(f"clusters={clusters:,}, but there are only {len(seeds):,} {what}")
    return seeds[np.sort(rng.choice(len(seeds), clusters, replace=False))]


def _within(
    places: NDArray[np.float64], seeds: NDArray[np.float64], radius_km: float
) -> NDArray[np.bool_]:
    """Tell which places have a seed within the radius; unit vectors, shapes (N, 3) and (M, 3)."""
    limit = chord(radius_km)
    # The query's bound is exclusive, the radius is not.
    nearest, _ = KDTree(seeds).query(places, distance_upper_bound=np.nextafter(limit, 3))
    near: NDArray[np.bool_] = np.asarray(nearest) <= limit
    return near


def _clusters_design(
    sampler: AroundCities | AroundForest,
    chosen: NDArray[np.bool_],
    n: int,
    label: str,
    seeds: int,
    random: bool,
) -> Design:
    notes: dict[str, Any] = {"seeds": seeds, "candidates": int(chosen.sum())}
    if not chosen.any():
        raise WherefromError(
            f"the stratum is empty: no place of the pool is {label}; raise radius_km"
        )
    given = f"the {seeds:,} clusters drawn" if random else ""
    return candidates_design(chosen, n, sampler.short, label, conditional_on=given, notes=notes)
