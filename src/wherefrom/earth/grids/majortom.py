"""Cells of Major TOM's grids."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from wherefrom.earth.grids.base import Floats, Grid, Shapes, Texts, parted, signed
from wherefrom.earth.grids.geohash import decoded, encoded
from wherefrom.earth.grids.rings import boxes
from wherefrom.earth.sphere import wrap_lon

__all__ = ["MajorTom"]

#: Radius that all variants are defined by, in km.
_RADIUS_KM = 6378.137
#: Letters of a geohash that names the middle of a cell, and degrees that it may lie off.
_LETTERS, _OFF = 11, 7e-7
#: Columns of a row whose cells have an outline in degrees.
_FEWEST = 3


class MajorTom(Grid):
    """Major TOM's cells: rows of latitude, each cut into columns; 10 km of the ESA by default.

    Two grids are published under this name, the second in two versions that differ. In all, N =
    ceil(pi R / km) rows of 180 / N degrees lie between the poles, and a row whose southern edge is
    at latitude y has ceil(2 pi R cos(y) / km) columns, R = 6378.137 km.

    - ``esa``: Francis and Czerwinski 2024 (arXiv 2402.12095) as their code builds it
      (ESA-PhiLab/Major-TOM), by which Core and the datasets beside it are named. Rows are counted
      from the equator, 0U upwards and 1D downwards, columns from Greenwich, 0R eastwards and 1L
      westwards, by the south-west corner. Ids are ``ROW_COLUMN``, as 451U_946L, of 10 km. A cell is
      what its id names; images of Core are squares of 10.68 km in UTM about it.
    - ``earth-genome``: majortom_eg from 1.0 on (earth-genome/majortom), 320 m. Ids are geohashes
      of 11 letters of the middle of a cell. Rows and columns as above, and further cells that are
      shifted by half a cell to the east and the north.
    - ``earth-genome-0``: majortom_eg before 1.0. Rows begin at the south pole, columns at 180° W:
      half a cell beside the others where their number is odd, as that of columns is in every
      second row.

    The disc about the south pole, one cell of 360 degrees, has no outline in degrees and is
    refused.

    Attributes
    ----------
    variant : {"esa", "earth-genome", "earth-genome-0"}
    km : float, optional
        Distance of the grid; by default 10 of ``esa``, 0.32 of the others.

    Examples
    --------
    >>> MajorTom().cells([-111.6556], [40.5829]).tolist()
    ['451U_946L']
    >>> MajorTom().shapes(["451U_946L"])[0].centroid.wkt
    'POINT (-111.70987856908451 40.553892215568865)'
    """

    example: ClassVar[str] = "451U_946L"
    without: ClassVar[str] = "none is outlined about the south pole"

    kind: str = "majortom"
    variant: Literal["esa", "earth-genome", "earth-genome-0"] = "esa"
    km: float | None = Field(ge=0.01, le=5000, default=None)

    def like(self) -> str:
        """Say what ids look like."""
        if self.variant == "esa":
            return f"row and column of a cell of {self._km:g} km, such as {self.example}"
        such = self.names(np.array([13.4]), np.array([52.5]))[0]
        size = f"{self._km:g} km"
        return f"geohashes of {_LETTERS} letters of the middles of cells of {size}, such as {such}"

    def outlines(self, ids: pa.Array) -> Shapes:
        """Return the cells."""
        if self.variant == "esa":
            found = parted(ids, r"(?P<row>\d{1,9})(?P<ud>[UD])_(?P<column>\d{1,9})(?P<rl>[RL])")
            row = signed(found["row"], found["ud"], "D")
            column = signed(found["column"], found["rl"], "L")
            count = self._columns(row)
            # Of an even number of columns the last has two names: see `names`.
            there = np.abs(column) <= count // 2
            return self._boxes(row, column, there & self._outlined(row))
        west, south, width, height = decoded(ids)
        lon, lat = west + width / 2.0, south + height / 2.0
        named = np.asarray(pc.binary_length(ids)) == _LETTERS
        cells = np.full(len(ids), None, dtype=object)
        for shift in (0.0, 0.5):
            row, column = self._at(lon, lat, shift)
            x, y = self._corner(row, column, shift + 0.5)
            there = named & (np.abs(wrap_lon(lon - x)) < _OFF) & (np.abs(lat - y) < _OFF)
            there &= self._outlined(row)
            cells[there] = self._boxes(row[there], column[there], there[there], shift)
        return cells

    def names(self, lon: Floats, lat: Floats) -> Texts:
        """Return the ids of cells; where some are shifted, of those that are not."""
        row, column = self._at(lon, lat)
        fine = self._outlined(row)
        if self.variant == "esa":
            count = self._columns(row)
            half = count // 2
            column = (column + half) % count - half
            # The column at 180 degrees is an L, but published as an R where rounding put it below.
            rounded = (2.0 * half == count) & (half * (360.0 / count) < 180.0)
            column = np.where(rounded & (column == -half), half, column)
            each = zip(row.astype(int).tolist(), column.astype(int).tolist(), strict=True)
            found = np.array([f"{abs(y)}{'UD'[y < 0]}_{abs(x)}{'RL'[x < 0]}" for y, x in each])
        else:
            x, y = self._corner(row, column, 0.5)
            found = encoded(wrap_lon(x), y, _LETTERS)
        return np.where(fine, found, "").astype(np.str_)

    @property
    def _km(self) -> float:
        return self.km or (10.0 if self.variant == "esa" else 0.32)

    @property
    def _rows(self) -> int:
        return math.ceil(math.pi * _RADIUS_KM / self._km)

    @property
    def _origin(self) -> tuple[float, float]:
        """Where rows and columns are counted from."""
        return (-180.0, -90.0) if self.variant == "earth-genome-0" else (0.0, 0.0)

    def _south(self, row: Floats) -> Floats:
        return self._origin[1] + row * (180.0 / self._rows)

    def _columns(self, row: Floats) -> Floats:
        """Return how many columns rows have."""
        lat = self._south(row)
        if self.variant != "esa":
            lat = np.clip(lat, -89.0, 89.0)
        around = 2.0 * np.pi * (_RADIUS_KM * np.cos(lat * np.pi / 180.0))
        return np.maximum(np.ceil(around / self._km), 1.0)

    def _at(self, lon: Floats, lat: Floats, shift: float = 0.0) -> tuple[Floats, Floats]:
        """Return row and column of the cells, shifted by parts of themselves, that hold places."""
        x, y = self._origin
        row = np.floor((lat - y) / (180.0 / self._rows) - shift)
        row = np.minimum(row, np.ceil((90.0 - y) / (180.0 / self._rows)) - 1.0)
        return row, np.floor((lon - x) / (360.0 / self._columns(row)) - shift)

    def _corner(self, row: Floats, column: Floats, shift: float) -> tuple[Floats, Floats]:
        """Return the south-west corners of cells, shifted by parts of themselves."""
        lon = self._origin[0] + (column + shift) * (360.0 / self._columns(row))
        return lon, self._south(row + shift)

    def _outlined(self, row: Floats) -> NDArray[np.bool_]:
        """Tell which rows there are, but for the disc about a pole."""
        inside = (self._south(row) > -90.0 - 1e-9) & (self._south(row) < 90.0 - 1e-9)
        return inside & (self._columns(row) >= _FEWEST)

    def _boxes(
        self, row: Floats, column: Floats, fine: NDArray[np.bool_], shift: float = 0.0
    ) -> Shapes:
        lon, lat = self._corner(row, column, shift)
        north = np.minimum(lat + 180.0 / self._rows, 90.0)
        return boxes(lon, lat, lon + 360.0 / self._columns(row), north, fine)
