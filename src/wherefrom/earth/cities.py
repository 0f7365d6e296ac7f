"""Cities of the Earth with at least 15,000 inhabitants (GeoNames)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom.earth.base import UnopenedLayer
from wherefrom.earth.fetch import digest_of, path_of
from wherefrom.earth.kept import keep
from wherefrom.earth.sphere import arc_km, unit_vectors
from wherefrom.errors import WherefromError

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

__all__ = ["CITY_DISTANCE", "SMALLEST", "Cities", "cities", "nearest_city_km"]

#: Smaller cities are not in the source.
SMALLEST = 15_000


@dataclass(frozen=True, eq=False)
class Cities:
    """Cities, the largest first.

    Attributes
    ----------
    lon, lat : array of shape (N,), float64
        Degrees.
    population : array of shape (N,), int64
    name : array of shape (N,), str
    country : array of shape (N,), str
        ISO 3166-1 alpha-2.
    """

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    population: NDArray[np.int64]
    name: NDArray[np.str_]
    country: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.lon)


def cities(min_population: int) -> Cities:
    """Return the cities with at least so many inhabitants.

    Parameters
    ----------
    min_population : int
        At least 15,000, the source's own limit (GeoNames also lists some smaller capitals;
        they are left out).

    Returns
    -------
    Cities
        Sorted by falling population.

    Raises
    ------
    WherefromError
        If `min_population` is below 15,000 or above the largest city, or the source cannot be had.

    Examples
    --------
    >>> large = cities(10_000_000)
    >>> large.name[0].item(), large.country[0].item()
    ('Shanghai', 'CN')
    """
    if isinstance(min_population, bool) or not isinstance(min_population, int):
        raise WherefromError(f"min_population must be a whole number, not {min_population!r}")
    if min_population < SMALLEST:
        raise WherefromError(
            f"min_population {min_population:,}: GeoNames' list starts at {SMALLEST:,} inhabitants"
        )
    everything = _all_cities(path_of("geonames-cities"), digest_of("geonames-cities"))
    count = int(np.searchsorted(-everything.population, -min_population, side="right"))
    if not count:
        raise WherefromError(
            f"min_population {min_population:,}: the largest city has "
            f"{everything.population[0]:,} inhabitants; ask for fewer"
        )
    return Cities(**{name: column[:count] for name, column in vars(everything).items()})


@dataclass(frozen=True, eq=False)
class _NearestCity:
    tree: cKDTree

    def __call__(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float32]:
        return arc_km(self.tree.query(unit_vectors(lon, lat))[0]).astype(np.float32)


def nearest_city_km(min_population: int) -> _NearestCity:
    """Return the function ``(lon, lat)`` -> km to the nearest such city, float32, shape (N,).

    Raises
    ------
    WherefromError
        As :func:`cities`.
    """
    # Slow to import, and needed for this layer alone.
    from scipy.spatial import cKDTree

    found = cities(min_population)
    return _NearestCity(cKDTree(unit_vectors(found.lon, found.lat)))


CITY_DISTANCE = UnopenedLayer(
    "city_distance",
    "geonames-cities",
    nearest_city_km,
    "km to the nearest city with at least `min_population` inhabitants",
    {"min_population": 100_000},
    units="km",
)


@lru_cache(maxsize=1)
def _all_cities(path: Path, digest: str) -> Cities:
    # The JSON holds names in hundreds of scripts: 16.7 MB for 0.5 MB of what is asked here.
    name = f"cities-{digest[:16]}.parquet"
    table = keep(name, lambda: _parse(path), pq.write_table, pq.read_table)  # sealed as a whole
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    return Cities(
        columns["lon"],
        columns["lat"],
        columns["population"],
        columns["name"].astype(np.str_),
        columns["country"].astype(np.str_),
    )


def _parse(path: Path) -> pa.Table:
    rows = list(json.loads(path.read_text("utf-8")).values())
    table = pa.table(
        {
            "lon": pa.array([row["longitude"] for row in rows], pa.float64()),
            "lat": pa.array([row["latitude"] for row in rows], pa.float64()),
            "population": pa.array([row["population"] for row in rows], pa.int64()),
            "name": pa.array([row["name"] for row in rows], pa.string()),
            "country": pa.array([row["countrycode"] for row in rows], pa.string()),
            "id": pa.array([row["geonameid"] for row in rows], pa.int64()),
        }
    )
    # The id breaks ties, so that the order never depends on that of the JSON file.
    return table.sort_by([("population", "descending"), ("id", "ascending")])
