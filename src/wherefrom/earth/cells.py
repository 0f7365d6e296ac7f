"""Cells of exactly equal area that cover the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.earth.lookup.grid import expand
from wherefrom.earth.sphere import EARTH_RADIUS_KM, wrap_lon

__all__ = ["EqualAreaCells"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class EqualAreaCells:
    """Cut the sphere into cells of exactly equal area, about as wide as high.

    Parameters
    ----------
    n_bands : int
        Number of bands from pole to pole, at least 1. A cell is about ``180 / n_bands`` degrees
        high; there are about ``4 / pi * n_bands ** 2`` of them.

    Raises
    ------
    ValueError
        If `n_bands` is less than 1.

    Notes
    -----
    Take `n_bands` bands of equal height, and give band b with middle latitude phi
    ``round(2 * n_bands * cos(phi))`` cells of equal width, so that they are nearly square. Then
    move the edges of the bands so that each holds its share of the sphere: if k of all N cells
    lie north of an edge, its latitude is ``arcsin(1 - 2 k / N)``, by Archimedes' theorem. All
    cells then have area ``4 pi R**2 / N``. Cells are numbered from 0 in the south-west, along
    bands from -180° eastwards, then northwards. A cell holds its western and its southern edge;
    the northernmost band also holds the north pole.

    Examples
    --------
    >>> cells = EqualAreaCells(18)
    >>> cells.count, round(cells.area_km2)
    (412, 1238024)
    >>> cells.cell([-180.0, 180.0, 13.4], [-90.0, -90.0, 52.5])
    array([  0,   0, 375])
    """

    def __init__(self, n_bands: int) -> None:
        if n_bands < 1:
            raise ValueError(f"n_bands must be at least 1, not {n_bands}")
        # The southern half is mirrored, so that rounding cannot make the halves differ.
        colatitude = (np.arange(n_bands) + 0.5) * (np.pi / n_bands)
        south = np.rint(2.0 * n_bands * np.sin(colatitude[: (n_bands + 1) // 2])).astype(np.int64)
        self._in_band = np.concatenate([south, south[: n_bands // 2][::-1]])
        self._before = np.concatenate([[0], np.cumsum(self._in_band)])
        self._count = int(self._before[-1])
        self._edges = self._latitude(self._before.astype(np.float64))

    @property
    def count(self) -> int:
        """Number of cells."""
        return self._count

    @property
    def area_km2(self) -> float:
        """Area of each cell in square kilometres."""
        return 4.0 * np.pi * EARTH_RADIUS_KM**2 / self._count

    def cell(self, lon: ArrayLike, lat: ArrayLike) -> Ints:
        """Find the cells that hold places, int64 of shape (N,).

        Longitudes are wrapped.

        Raises
        ------
        ValueError
            If a coordinate is not finite or a latitude is beyond a pole.
        """
        x, y = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
        if not (np.isfinite(x).all() and (np.abs(y) <= 90.0).all()):
            raise ValueError("places need a finite longitude and a latitude in [-90, 90]")
        band = np.searchsorted(self._edges[1:-1], y, side="right")
        in_band = self._in_band[band]
        # The sum may round up to a whole turn just west of the antimeridian.
        along = np.floor((wrap_lon(x) + 180.0) / 360.0 * in_band).astype(np.int64)
        return np.asarray(self._before[band] + np.minimum(along, in_band - 1))

    def centre(self, cell: ArrayLike) -> tuple[Floats, Floats]:
        """Find centres of cells, degrees: the middle longitude, the latitude that halves the area.

        Raises
        ------
        ValueError
            If there is no such cell.
        """
        number, band = self._located(cell)
        along = (number - self._before[band] + 0.5) / self._in_band[band]
        middle = self._before[band] + self._in_band[band] / 2.0
        return along * 360.0 - 180.0, self._latitude(middle)

    def bounds(self, cell: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
        """Find west, south, east and north of cells, degrees; none straddles the antimeridian.

        Raises
        ------
        ValueError
            If there is no such cell.
        """
        number, band = self._located(cell)
        along = number - self._before[band]
        west = along / self._in_band[band] * 360.0 - 180.0
        east = (along + 1) / self._in_band[band] * 360.0 - 180.0
        return west, self._edges[band], east, self._edges[band + 1]

    def meeting(self, west: ArrayLike, south: ArrayLike, east: ArrayLike, north: ArrayLike) -> Ints:
        """Find the cells that meet any of some boxes, degrees, west at most east; ascending.

        >>> EqualAreaCells(2).meeting([-180.0], [1.0], [-91.0], [90.0])
        array([3])
        """
        low, high = (
            np.searchsorted(self._edges[1:-1], np.asarray(lat, dtype=np.float64), side="right")
            for lat in (south, north)
        )
        box, up = expand(high - low + 1)
        in_band = self._in_band[low[box] + up]
        first, last = (
            np.floor((np.asarray(lon, dtype=np.float64)[box] + 180.0) / 360.0 * in_band)
            .clip(0, in_band - 1)
            .astype(np.int64)
            for lon in (west, east)
        )
        row, along = expand(last - first + 1)
        return _ascending(self._before[low[box] + up][row] + first[row] + along)

    def around(self, cell: ArrayLike) -> Ints:
        """Find some cells and those that touch them, ascending.

        >>> EqualAreaCells(2).around([0]).tolist()
        [0, 1, 2, 3, 4, 5]
        """
        west, south, east, north = self.bounds(cell)
        middle, height = self.centre(cell)[0], north - south
        lat = np.clip([south - height / 2, (south + north) / 2, north + height / 2], -90.0, 90.0)
        lon = np.stack([west - (east - west) / 2, middle, east + (east - west) / 2])
        both = np.broadcast_arrays(lon[:, None], lat[None])
        return _ascending(self.cell(*(each.ravel() for each in both)))

    def _located(self, cell: ArrayLike) -> tuple[Ints, Ints]:
        """Check numbers of cells and find their bands."""
        number = np.asarray(cell)
        if not np.issubdtype(number.dtype, np.integer) and number.size:
            raise ValueError(f"numbers of cells are integers, not {number.dtype}")
        number = number.astype(np.int64)
        if ((number < 0) | (number >= self._count)).any():
            raise ValueError(f"there are only cells 0 to {self._count - 1}")
        return number, np.searchsorted(self._before, number, side="right") - 1

    def _latitude(self, south: Floats) -> Floats:
        """Latitude with the area of `south` cells south of it."""
        north = self._count - south
        # arcsin(1 - 2 north / count), without its loss of digits near the poles.
        angle = np.arctan2((south - north) / 2.0, np.sqrt(south * north))
        return np.asarray(np.degrees(angle), dtype=np.float64)


def _ascending(cell: Ints) -> Ints:
    """Return each number once; `np.unique` hashes, which takes ten times as long of such runs."""
    cell = np.sort(cell)
    return np.asarray(cell[np.append(True, np.diff(cell) > 0)[: len(cell)]])
