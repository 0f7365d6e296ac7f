"""Where the places lie: what a map of any number of them needs, gathered in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.land import LAND_SHARE
from wherefrom.earth.maps import DOTS, density
from wherefrom.pool.batches import Ask, Batch

__all__ = ["MapTally", "PlacesMap", "bands_for"]

#: Places that a cell of land should hold on average, so that its ratio is more than noise.
PER_CELL = 25


def bands_for(places: int) -> int:
    """Choose the number of bands of the cells, by the number of places.

    Parameters
    ----------
    places : int

    Returns
    -------
    int
        From 9 (cells of 2,200 km) to 60 (330 km): as fine as 25 places a cell of land allow.

    Examples
    --------
    >>> bands_for(100), bands_for(10_000), bands_for(10**9)
    (9, 34, 60)
    """
    return int(np.clip(np.sqrt(places / PER_CELL / LAND_SHARE * np.pi / 4), 9, 60))


@dataclass(frozen=True, eq=False)
class PlacesMap:
    """Places as a map shows them.

    Attributes
    ----------
    lon, lat : ndarray of float64, shape (M,), or None
        All places, degrees, if they are few enough to be dots.
    squares : ndarray of float64, shape (273, 560)
        Places in each square of the world map (`wherefrom.earth.maps.density`).
    cells : EqualAreaCells
    count : ndarray of float64, shape (cells,)
        Places in each cell, with repetition.
    reference : ndarray of float64, shape (cells,)
        Share of the reference in each cell.
    effective : float
        Places that count as independent, (sum w)**2 / sum w**2.
    """

    lon: NDArray[np.float64] | None
    lat: NDArray[np.float64] | None
    squares: NDArray[np.float64]
    cells: EqualAreaCells
    count: NDArray[np.float64]
    reference: NDArray[np.float64]
    effective: float

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of the places in each cell, shape (cells,)."""
        shares: NDArray[np.float64] = self.count / max(float(self.count.sum()), 1.0)
        return shares

    def ratio(self) -> NDArray[np.float64]:
        """Share of the places over that of the reference, shape (cells,); NaN where it has none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = self.share / self.reference
        return np.where(self.reference > 0, ratio, np.nan)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: every cell that has places or a share of the reference."""
        used = np.flatnonzero((self.count > 0) | (self.reference > 0))
        lon, lat = self.cells.centre(used)
        return {
            "cell_km2": self.cells.area_km2,
            "cells": [
                {"lon": round(x, 4), "lat": round(y, 4), "places": n, "reference_share": share}
                for x, y, n, share in zip(
                    lon.tolist(),
                    lat.tolist(),
                    self.count[used].tolist(),
                    self.reference[used].tolist(),
                    strict=True,
                )
            ],
        }


@dataclass(eq=False)
class MapTally:
    """Gather what a map of the places needs; parts add up.

    Parameters
    ----------
    n_bands : int
        Bands of the equal-area cells, see `bands_for`.

    Examples
    --------
    >>> tally = MapTally(9)
    >>> tally.update(Batch(0, np.array([10.0, 20.0]), np.array([50.0, 0.0])))
    >>> tally.result(np.full(tally.cells.count, 1 / tally.cells.count)).share.max()
    np.float64(0.5)
    """

    ask: ClassVar[Ask] = Ask()

    n_bands: int
    count: NDArray[np.float64] = field(init=False)
    squares: NDArray[np.float64] = field(init=False)
    weights_squared: float = 0.0
    #: Places as (lon, lat) while they are few; None once they are not.
    few: list[NDArray[np.float64]] | None = field(init=False)

    def __post_init__(self) -> None:
        self.cells = EqualAreaCells(self.n_bands)
        self.count = np.zeros(self.cells.count)
        self.squares = density([], [])
        self.few = []

    def update(self, batch: Batch, weight: NDArray[np.float64] | None = None) -> None:
        """Add a batch; `weight` is how often each place counts."""
        lon, lat = batch.lon, batch.lat
        if weight is not None:
            counts = weight > 0
            lon, lat, weight = lon[counts], lat[counts], weight[counts]
        self.count += np.bincount(self.cells.cell(lon, lat), weight, minlength=self.cells.count)
        self.squares += density(lon, lat, weight)
        self.weights_squared += len(lon) if weight is None else float(weight @ weight)
        self._keep([np.stack([lon, lat])])

    def merge(self, other: MapTally) -> None:
        """Add what another tally gathered from later places."""
        self.count += other.count
        self.squares += other.squares
        self.weights_squared += other.weights_squared
        self._keep(other.few)

    def result(self, reference: NDArray[np.float64]) -> PlacesMap:
        """Return the map beside the reference's share of each cell, shape (cells,)."""
        lon, lat = (None, None) if self.few is None else np.concatenate(self.few, axis=1)
        effective = float(self.count.sum()) ** 2 / max(self.weights_squared, 1e-300)
        return PlacesMap(lon, lat, self.squares, self.cells, self.count, reference, effective)

    def _keep(self, places: list[NDArray[np.float64]] | None) -> None:
        if self.few is None or places is None:
            self.few = None
            return
        self.few += places
        if sum(part.shape[1] for part in self.few) > DOTS:
            self.few = None
