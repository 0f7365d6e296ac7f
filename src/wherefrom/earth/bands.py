"""Layers of numbers cut into classes: elevation and the distance to a city."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.cities import nearest_city_km
from wherefrom.earth.terrain import Altitude

__all__ = [
    "CITY_DISTANCE_EDGES",
    "ELEVATION_EDGES",
    "Bands",
    "city_distance_bands",
    "elevation_bands",
]

#: Metres. None is a value of the source, whose steps are 28 m: no band depends on rounding.
ELEVATION_EDGES = (200, 500, 1000, 2000, 4000)
#: Kilometres.
CITY_DISTANCE_EDGES = (10, 25, 50, 100, 250, 500)


@dataclass(frozen=True, eq=False)
class Bands:
    """Codes of the classes that a value falls into; a value on an edge belongs above it.

    Attributes
    ----------
    value : callable
        ``(lon, lat)``, float64 arrays of shape (N,), to float32 of shape (N,), NaN for none.
    edges : tuple of int
        Ascending; K of them make K + 1 classes.

    Examples
    --------
    >>> bands = Bands(lambda lon, lat: lon.astype(np.float32), (10, 20))
    >>> bands(np.array([9.0, 10.0, 25.0, np.nan]), np.zeros(4)).tolist()
    [0, 1, 2, -1]
    """

    value: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float32]]
    edges: tuple[int, ...]

    def __call__(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the code of every place, (N,) int32; -1 for none."""
        value = self.value(lon, lat)
        codes = np.searchsorted(np.array(self.edges, np.float32), value, side="right")
        return np.where(np.isnan(value), -1, codes).astype(np.int32)

    def labels(self, unit: str) -> tuple[str, ...]:
        """Name the classes.

        Examples
        --------
        >>> Bands(lambda lon, lat: lon, (10, 20)).labels("km")
        ('under 10 km', '10-20 km', '20 km and more')
        """
        inner = zip(self.edges, self.edges[1:], strict=False)
        between = [f"{low}-{high} {unit}" for low, high in inner]
        return f"under {self.edges[0]} {unit}", *between, f"{self.edges[-1]} {unit} and more"


def elevation_bands(altitude: Altitude) -> tuple[tuple[str, ...], Bands]:
    """Return labels and lookup of the layer elevation_band."""
    bands = Bands(altitude, ELEVATION_EDGES)
    return bands.labels("m"), bands


def city_distance_bands(min_population: int) -> tuple[tuple[str, ...], Bands]:
    """Return labels and lookup of the layer city_distance_band.

    Raises
    ------
    WherefromError
        If `min_population` is out of the source's range, or the source cannot be had.
    """
    bands = Bands(nearest_city_km(min_population), CITY_DISTANCE_EDGES)
    return bands.labels("km"), bands
