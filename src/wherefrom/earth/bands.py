"""Layers of numbers cut into classes: elevation and the distance to a city."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.base import UnopenedLayer
from wherefrom.earth.cities import CITY_DISTANCE, nearest_city_km
from wherefrom.earth.fetch import digest_of
from wherefrom.earth.kept import keep
from wherefrom.earth.sphere import distance_km
from wherefrom.earth.terrain import ELEVATION, altitude
from wherefrom.keys import key_of

__all__ = [
    "CITY_DISTANCE_BAND",
    "CITY_DISTANCE_EDGES",
    "ELEVATION_BAND",
    "ELEVATION_EDGES",
    "Bands",
]

#: Metres. None is a value of the source, whose steps are 28 m: no band depends on rounding.
ELEVATION_EDGES = (200, 500, 1000, 2000, 4000)
#: Kilometres.
CITY_DISTANCE_EDGES = (10, 25, 50, 100, 250, 500)

#: Degrees of the cells that are tried for one band all over, each a whole part of the one before.
_STEPS = (1.0, 0.2, 0.1)
_ROWS, _COLUMNS = round(180 / _STEPS[-1]), round(360 / _STEPS[-1])
#: Fewer places at once are faster without the map of such cells.
_MANY = 1 << 18
#: Kilometres for the rounding of distances, which are float32.
_MARGIN = 0.01
_making = Lock()


@dataclass(frozen=True, eq=False)
class Bands:
    """Codes of the classes that a value falls into; a value on an edge belongs above it.

    `value` takes ``(lon, lat)`` to float32 of shape (N,), NaN for none; K ascending `edges` make
    K + 1 classes.

    >>> bands = Bands(lambda lon, lat: lon.astype(np.float32), (10, 20))
    >>> bands(np.array([9.0, 10.0, 25.0, np.nan]), np.zeros(4)).tolist()
    [0, 1, 2, -1]
    """

    value: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float32]]
    edges: tuple[int, ...]

    def __call__(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the code of every place, (N,) int32; -1 for none."""
        value = self.value(lon, lat)
        return np.where(np.isnan(value), -1, self.code(value)).astype(np.int32)

    def code(self, value: NDArray[Any]) -> NDArray[np.int64]:
        """Return the class of each value, none of them NaN."""
        edges = np.array(self.edges, value.dtype)
        return np.searchsorted(edges, value, side="right").astype(np.int64)

    def labels(self, unit: str) -> tuple[str, ...]:
        """Name the classes, such as 'under 10 km', '10-20 km', '20 km and more'."""
        inner = zip(self.edges, self.edges[1:], strict=False)
        between = [f"{low}-{high} {unit}" for low, high in inner]
        return f"under {self.edges[0]} {unit}", *between, f"{self.edges[-1]} {unit} and more"


def _elevation_bands() -> tuple[tuple[str, ...], Bands]:
    bands = Bands(altitude(), ELEVATION_EDGES)
    return bands.labels("m"), bands


def _city_distance_bands(min_population: int) -> tuple[tuple[str, ...], _CityBands]:
    bands = Bands(nearest_city_km(min_population), CITY_DISTANCE_EDGES)
    return bands.labels("km"), _CityBands(bands, min_population)


def _cut_at(edges: tuple[int, ...], unit: str) -> str:
    return f"cut at {', '.join(map(str, edges[:-1]))} and {edges[-1]} {unit}"


ELEVATION_BAND = UnopenedLayer(
    "elevation_band",
    ELEVATION.source,
    _elevation_bands,
    f"elevation {_cut_at(ELEVATION_EDGES, 'm')}; no label where it is NaN",
)
CITY_DISTANCE_BAND = UnopenedLayer(
    "city_distance_band",
    CITY_DISTANCE.source,
    _city_distance_bands,
    f"city_distance {_cut_at(CITY_DISTANCE_EDGES, 'km')}",
    CITY_DISTANCE.options,
)


@dataclass(frozen=True, eq=False)
class _CityBands:
    """The codes of `bands`, looked up in a map where all of a cell is in one band."""

    bands: Bands
    min_population: int

    def __call__(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int32]:
        if len(lon) < _MANY:
            return self.bands(lon, lat)
        row = np.minimum(((lat + 90.0) * (1.0 / _STEPS[-1])).astype(np.int64), _ROWS - 1)
        column = np.minimum(((lon + 180.0) * (1.0 / _STEPS[-1])).astype(np.int64), _COLUMNS - 1)
        with _making:
            sure = _sure(self.min_population, digest_of("geonames-cities"))
        codes = sure.take(row * _COLUMNS + column).astype(np.int32)
        open_ = np.flatnonzero(codes < 0)
        codes[open_] = self.bands(lon[open_], lat[open_])
        return codes


@lru_cache(maxsize=2)
def _sure(min_population: int, digest: str) -> NDArray[np.int8]:
    """Return the band of every cell, -1 where it has several; rows from the south.

    A distance changes by no more than the way gone: around the centre of a cell, of distance d,
    all of it lies between d - r and d + r, where r is the way to its farthest corner.
    """
    bands = Bands(nearest_city_km(min_population), CITY_DISTANCE_EDGES)

    def make() -> NDArray[np.int8]:
        codes = np.full((1, 1), -1, dtype=np.int8)
        for step in _STEPS:
            rows = round(180 / step)
            factor = rows // codes.shape[0]
            codes = codes.repeat(factor, axis=0).repeat(2 * rows // codes.shape[1], axis=1)
            row, column = np.nonzero(codes < 0)
            lon = np.asarray((column + 0.5) * step - 180.0, dtype=np.float64)
            lat = np.asarray((row + 0.5) * step - 90.0, dtype=np.float64)
            ends = (lat + step / 2, lat - step / 2)
            corners = [distance_km(lon, lat, lon + step / 2, end) for end in ends]
            reach = np.maximum(*corners) + _MARGIN
            middle = bands.value(lon, lat).astype(np.float64)
            low, high = (bands.code(middle + sign * reach) for sign in (-1, 1))
            codes[row, column] = np.where(low == high, low, -1)
        return codes.ravel()

    key = key_of([1, _STEPS, CITY_DISTANCE_EDGES, min_population, digest])
    return keep(
        f"city-bands-{key}.npz",
        make,
        lambda codes, path: np.savez_compressed(path, codes=codes),
        lambda stream: np.load(stream)["codes"],
    )
