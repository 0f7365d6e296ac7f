"""Global rasters in plain lon/lat: read once, looked up at the nearest pixel; their classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.fetch import path_of
from wherefrom.errors import WherefromError

__all__ = ["Classes", "Grid", "classes", "pixels_of", "read_grid"]


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixels that cover the whole Earth in plain lon/lat, (rows, columns) or (rows, columns, k).

    Row 0 is the northernmost; `west` and `north` are the outer edges of pixel (0, 0), `step` the
    width and height of a pixel, all in degrees; ``columns * step`` is 360.

    >>> grid = Grid(np.arange(8).reshape(2, 4), west=-180.0, north=90.0, step=90.0)
    >>> grid.at(np.array([-180.0, 10.0, 180.0]), np.array([90.0, 1.0, -90.0])).tolist()
    [0, 2, 4]
    """

    values: NDArray[Any]
    west: float
    north: float
    step: float

    def at(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[Any]:
        """Return the values of the pixels in which the places lie, (N,) or (N, k).

        `lon` may have any period. On an edge between pixels the one to the east or south counts.
        """
        rows, columns = self.values.shape[:2]
        row, column = self.pixel(lon, lat)
        flat = self.values.reshape(rows * columns, *self.values.shape[2:])
        return np.asarray(flat.take(row * columns + column, axis=0))

    def pixel(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows and columns of the pixels in which the places lie, each (N,) int64."""
        rows, columns = self.values.shape[:2]
        # Truncation is floor here, since both arguments are made non-negative first.
        column = ((lon - self.west) % 360.0 * (1.0 / self.step)).astype(np.int64)
        # Rounding in the line above can reach the far edge, which is the near edge again.
        column[column == columns] = 0
        row = ((self.north - lat) * (1.0 / self.step)).astype(np.int64)
        np.minimum(row, rows - 1, out=row)
        return row, column


@dataclass(frozen=True)
class Classes:
    """Codes of a raster of classes: pixel value -> code."""

    grid: Grid
    code_of: NDArray[np.int32]

    def __call__(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the code of every place, (N,) int32; -1 for none."""
        return np.asarray(self.code_of[self.grid.at(lon, lat)])


def classes(source: str, code_of: Mapping[int, int]) -> Classes:
    """Read a source whose pixels are classes of one byte; those without a code have none."""
    table = np.full(256, -1, dtype=np.int32)
    for value, code in code_of.items():
        table[value] = code
    return Classes(read_grid(path_of(source)), table)


def read_grid(path: Path, variable: str = "") -> Grid:
    """Read a raster that covers the Earth; the same file is read once.

    It is a GeoTIFF, PNG, HDF5, or a variable of a netCDF. Files without a transform are taken to
    reach from 180 W, 90 N with square pixels. Several bands (months) become the last axis.

    Raises
    ------
    WherefromError
        If the file cannot be read or does not cover the Earth.
    """
    return _read(path, variable, path.stat().st_mtime_ns)


def pixels_of(path: Path, variable: str = "") -> tuple[NDArray[Any], Any]:
    """Read all bands, rows and columns of a raster, and its transform.

    A plain picture will do: its place on Earth is known.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    address = f"netcdf:{path}:{variable}" if variable else str(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(address) as opened:
                return opened.read(), opened.transform
    except RasterioError as err:
        raise WherefromError(f"{path} cannot be read as a raster: {err}") from err


@lru_cache(maxsize=8)
def _read(path: Path, variable: str, mtime_ns: int) -> Grid:
    values, transform = pixels_of(path, variable)
    rows, columns = values.shape[1:]
    step = 360.0 / columns
    plain = transform.is_identity
    west, north = (-180.0, 90.0) if plain else (transform.c, transform.f)
    if (not plain and abs(transform.a - step) > 1e-6) or rows * step < 180.0 - 1e-6:
        raise WherefromError(f"{path} does not cover the Earth: {rows} x {columns} pixels")
    months_last = np.ascontiguousarray(np.moveaxis(values, 0, -1))
    months_last.flags.writeable = False
    return Grid(months_last[..., 0] if len(values) == 1 else months_last, west, north, step)
