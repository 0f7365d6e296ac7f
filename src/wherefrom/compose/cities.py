"""Places around the most populous cities, the fewer the farther."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import KDTree

from wherefrom import earth
from wherefrom.compose.base import Inputs
from wherefrom.compose.levels import allocate_levels, levels_of
from wherefrom.compose.rows import EqualDistanceRows
from wherefrom.compose.strata import Plan, Strata
from wherefrom.compose.streamed import StreamedSampler
from wherefrom.earth.cities import SMALLEST
from wherefrom.earth.sphere import EARTH_RADIUS_KM, chord, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch

__all__ = ["GaussianCities", "GaussianMixture"]

Floats = NDArray[np.float64]

#: Beyond so many standard deviations a Gaussian counts as zero: 4e-6 of its height.
REACH = 5.0
#: Pairs of place and seed at once: 64 MiB.
PAIRS = 1 << 20


@dataclass
class GaussianMixture:
    """Sum of equal Gaussians of the great-circle distance to seeds.

    Attributes
    ----------
    lon, lat : ndarray of float64, shape (M,)
        Seeds, degrees.
    sigma_km : float
        Standard deviation along each axis, km.

    Examples
    --------
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
    def _seeds_of_cells(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Seeds that may reach places of each cell: their numbers, and where each cell's begin."""
        # No place of a cell is farther from its node than 1.3 times the spacing.
        reach = chord(REACH * self.sigma_km + 1.3 * self._rows.spacing_km)
        nodes = KDTree(unit_vectors(*self._rows.node(np.arange(self._rows.count))))
        pairs = nodes.sparse_distance_matrix(KDTree(self._vectors), reach, output_type="ndarray")
        order = np.lexsort((pairs["j"], pairs["i"]))
        first = np.searchsorted(pairs["i"][order], np.arange(self._rows.count + 1))
        return pairs["j"][order].astype(np.int64), first.astype(np.int64)

    def height(self, lon: Floats, lat: Floats) -> Floats:
        """Return the sum of the Gaussians, each 1 at its seed and 0 beyond 5 deviations.

        Parameters
        ----------
        lon, lat : ndarray of float64, shape (N,)
            Degrees.

        Returns
        -------
        ndarray of float64, shape (N,)
        """
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


class _Around(Strata):
    """The level of the height of the Gaussians."""

    ask = Ask()

    def __init__(self, mixture: GaussianMixture) -> None:
        self.mixture = mixture

    def keys(self, batch: Batch) -> NDArray[np.int64]:
        return levels_of(self.mixture.height(batch.lon, batch.lat))


@lru_cache(maxsize=4)
def _mixture(cities: int, sigma_km: float, key: str) -> GaussianMixture:
    """Keep what takes a second to prepare."""
    known = earth.cities(SMALLEST)
    return GaussianMixture(known.lon[:cities], known.lat[:cities], sigma_km)


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
    >>> from wherefrom.compose import draw
    >>> from wherefrom.pool import Pool
    >>> table = pa.table({"lon": [121.47, -150.0], "lat": [31.23, 0.0]})
    >>> draw(Pool.from_table(table), "gaussian-cities", 1).ids.tolist()
    [0]
    """

    name: ClassVar[str] = "gaussian-cities"
    reads: ClassVar[Inputs] = Inputs(sources=("geonames-cities",))
    cities: int = Field(default=10_000, ge=1)
    sigma_km: float = Field(default=50.0, ge=1, le=1000)

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Make a stratum of each level of the Gaussians' sum."""
        known = earth.cities(SMALLEST)
        if self.cities > len(known):
            raise WherefromError(f"cities={self.cities:,}, but GeoNames lists {len(known):,}")
        key = earth.layer_key("city_distance")  # of the same source
        return _Around(_mixture(self.cities, self.sigma_km, key))

    def plan(
        self,
        pool: AnyPool,
        strata: Strata,
        keys: NDArray[np.int64],
        sizes: NDArray[np.int64],
        n: int,
    ) -> Plan:
        """Share n in proportion to size times height."""
        if not len(keys):
            raise WherefromError(
                f"the stratum is empty: no place of the pool is within {REACH * self.sigma_km:g} "
                "km of the cities; raise sigma_km or cities"
            )
        notes: dict[str, Any] = {
            "seeds": self.cities,
            "candidates": int(sizes.sum()),
            "levels": len(keys),
        }
        return Plan(allocate_levels(keys, sizes, n), (), notes)
