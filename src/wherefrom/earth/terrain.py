"""Elevation, and slopes on the sphere, from a coarse raster of altitudes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.base import UnopenedLayer
from wherefrom.earth.fetch import path_of
from wherefrom.earth.rasters import Grid, read_grid
from wherefrom.earth.sphere import EARTH_RADIUS_KM

__all__ = ["ELEVATION", "SLOPE", "Altitude", "Slope", "altitude"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Altitude:
    """Metres of a raster of uint8 altitudes in steps of 28 m, from -450 m.

    255 is none: open sea, and everything beyond 85 degrees.

    >>> grid = Grid(np.array([[16, 18, 255, 30]] * 2, np.uint8), west=-180.0, north=90.0, step=90.0)
    >>> Altitude(grid)(np.array([-170.0, -80.0, 10.0]), np.zeros(3)).tolist()
    [-2.0, 54.0, nan]
    """

    grid: Grid
    NONE: ClassVar[int] = 255

    def __call__(self, lon: Floats, lat: Floats) -> NDArray[np.float32]:
        """Return the metres of every place, (N,) float32; NaN for none."""
        pixels = self.grid.at(lon, lat)
        metres = pixels.astype(np.float32) * 28.0 - 450.0
        metres[pixels == self.NONE] = np.nan
        return metres

    def surface(self, row: Rows, column: Rows) -> Floats:
        """Return the metres of pixels, float64; 0, the level of the sea, where there is none."""
        pixels = self.grid.values[row, column]
        return np.where(pixels == self.NONE, 0.0, pixels * 28.0 - 450.0)


@dataclass(frozen=True)
class Slope:
    """Slope of the terrain, in degrees, of the pixel in which a place lies.

    Attributes
    ----------
    altitude : Altitude

    Notes
    -----
    Horn's method (1981, *Hill shading and the reflectance map*, Proc. IEEE 69, 14-47): central
    differences, with weights 1, 2, 1 over three rows and three columns. On the sphere a pixel gets
    narrower towards the poles, so the columns taken are ``round(1 / cos(lat))`` pixels apart: the
    stencil spans two pixel heights, 18.5 km at 1/12 degree, both ways at every latitude (within a
    third at worst, at 48 degrees), and each row's difference is divided by its own width.

    Neighbours in the open sea count as 0 m. At 85 degrees, where the raster ends, the difference
    to the north or south is one-sided.

    How coarse this is: the slope of terrain smoothed over 18 km. Half the land has less than 0.2
    degrees, no place of it more than 10. Beside the slopes of 20 m terrain at the 499 places of
    WorldCereal's sample that have both, the mean is a third (0.44 against 1.35 degrees) and the
    rank correlation 0.45. The steps of 28 m are an error of 8 m a pixel (28 / sqrt(12)), which
    Horn's weights bring down to 0.02 degrees along each axis; a single step on a plain shows as
    0.03 to 0.09 degrees.

    Examples
    --------
    A plane that rises by one step of 28 m each row to the north, one pixel being 111 km high:

    >>> rows = np.arange(179, -1, -1, dtype=np.uint8)[:, None] + np.zeros(360, np.uint8)
    >>> plane = Altitude(Grid(rows, west=-180.0, north=90.0, step=1.0))
    >>> round(float(Slope(plane)(np.array([10.0]), np.array([20.0]))[0]), 4)
    0.0144
    """

    altitude: Altitude
    LAST_LAT: ClassVar[float] = 85.0

    def __call__(self, lon: Floats, lat: Floats) -> NDArray[np.float32]:
        """Return the degrees of every place, (N,) float32; NaN where there is no altitude."""
        grid = self.altitude.grid
        row, column = grid.pixel(lon, lat)
        metres_per_row = np.radians(grid.step) * EARTH_RADIUS_KM * 1000.0
        ends = (grid.north + np.array([-self.LAST_LAT, self.LAST_LAT])) / grid.step
        first, last = int(np.ceil(ends[0] - 1e-9)), int(np.floor(ends[1] + 1e-9)) - 1
        up, down = np.clip(row - 1, first, last), np.clip(row + 1, first, last)
        side = np.rint(1.0 / self._narrowing(row)).astype(np.int64)
        columns = grid.values.shape[1]
        # The raster goes round the Earth: the neighbour beyond its edge is at the other edge.
        west, east = (column - side) % columns, (column + side) % columns

        height = self.altitude.surface
        northward, eastward = np.zeros(row.shape), np.zeros(row.shape)
        for weight, at in ((0.25, west), (0.5, column), (0.25, east)):
            northward += weight * (height(up, at) - height(down, at))
        # No rise where up and down are one row, which is only so outside the raster's data.
        northward /= metres_per_row * np.maximum(down - up, 1)
        for weight, at in ((0.25, up), (0.5, row), (0.25, down)):
            width = 2 * side * metres_per_row * self._narrowing(at)
            eastward += weight * (height(at, east) - height(at, west)) / width
        degrees = np.degrees(np.arctan(np.hypot(northward, eastward))).astype(np.float32)
        degrees[grid.values[row, column] == self.altitude.NONE] = np.nan
        return degrees

    def _narrowing(self, row: Rows) -> Floats:
        """Width of a pixel of a row, of that at the equator: the cosine of its middle."""
        lat = self.altitude.grid.north - (row + 0.5) * self.altitude.grid.step
        narrowing: Floats = np.cos(np.radians(lat))
        return narrowing


def altitude() -> Altitude:
    """Read the raster."""
    return Altitude(read_grid(path_of("altitude")))


ELEVATION = UnopenedLayer(
    "elevation",
    "altitude",
    altitude,
    "m, steps of 28 m, pixels of 1/12 degree; NaN on sea and beyond 85 degrees; the bedrock, not "
    "the surface, below the ice of Greenland",
    units="m",
)
SLOPE = UnopenedLayer(
    "slope",
    "altitude",
    lambda: Slope(altitude()),
    "degrees, of the terrain over 18 km: far gentler than a hillside's; NaN where elevation is",
    units="degrees",
)
