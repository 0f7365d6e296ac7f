"""Grids of rows of equal distance, as of Major TOM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.earth.sphere import EARTH_RADIUS_KM, wrap_lon

__all__ = ["EqualDistanceRows"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EqualDistanceRows:
    """Cut the sphere into rows of one height, and each row into cells about as wide as high.

    Rows follow parallels, ``spacing_km`` apart; a row's circle is cut into as many cells as are at
    most ``spacing_km`` wide at its middle latitude. The node of a cell is its middle. So nodes are
    about the spacing apart in both directions at all latitudes, unlike a grid in degrees. After
    Major TOM (Francis and Czerkawski 2024, arXiv 2402.12095), which starts its rows and columns at
    one fixed place; here the start is given.

    Attributes
    ----------
    spacing_km : float
    shift : float
        In [0, 1): how much of the southernmost row lies beyond the south pole.
    turn : float
        In [0, 1): how far the cells are turned, as a part of a full circle.

    Examples
    --------
    >>> rows = EqualDistanceRows(1000.0)
    >>> rows.count, rows.cell([0.0, 180.0], [52.0, -90.0]).tolist()
    (521, [455, 0])
    """

    spacing_km: float
    shift: float = 0.0
    turn: float = 0.0

    @cached_property
    def _height(self) -> float:
        return math.degrees(self.spacing_km / EARTH_RADIUS_KM)

    @cached_property
    def _middles(self) -> Floats:
        """Latitudes of the rows' middles, degrees."""
        rows = max(1, math.ceil(180.0 / self._height + self.shift))
        middle = (np.arange(rows) + 0.5 - self.shift) * self._height - 90.0
        return np.clip(middle, -90.0, 90.0)

    @cached_property
    def _in_row(self) -> Ints:
        circle = 2 * math.pi * EARTH_RADIUS_KM * np.cos(np.radians(self._middles))
        # Rounding must not add a cell to a circle that holds a whole number.
        return np.maximum(1, np.ceil(circle / self.spacing_km - 1e-9)).astype(np.int64)

    @cached_property
    def _before(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self._in_row)])

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(self._before[-1])

    def cell(self, lon: ArrayLike, lat: ArrayLike) -> Ints:
        """Find the cells of places.

        Parameters
        ----------
        lon, lat : array_like of float, shape (N,)
            Degrees.

        Returns
        -------
        ndarray of int64, shape (N,)
            In [0, count); numbered along rows eastwards, rows from the south.
        """
        row = np.floor((np.asarray(lat) + 90.0) / self._height + self.shift).astype(np.int64)
        row = np.minimum(row, len(self._middles) - 1)
        part = np.mod((np.asarray(lon) + 180.0) / 360.0 - self.turn, 1.0)
        in_row = self._in_row[row]
        along = np.minimum((part * in_row).astype(np.int64), in_row - 1)
        return self._before[row] + along

    def node(self, cell: ArrayLike) -> tuple[Floats, Floats]:
        """Find the middles of cells.

        Parameters
        ----------
        cell : array_like of int, shape (N,)

        Returns
        -------
        lon, lat : ndarray of float64, shape (N,)
            Degrees.
        """
        number = np.asarray(cell, dtype=np.int64)
        row = np.searchsorted(self._before, number, side="right") - 1
        part = (number - self._before[row] + 0.5) / self._in_row[row]
        return wrap_lon((part + self.turn) * 360.0 - 180.0), self._middles[row]
