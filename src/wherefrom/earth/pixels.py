"""A band of a raster of the user's, in any coordinates: the pixel in which a place lies."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.coordinates import moved
from wherefrom.earth.sphere import unit_vectors
from wherefrom.errors import WherefromError

__all__ = ["Band", "Pixels", "read_band"]

Floats = NDArray[np.float64]

#: Values that an integer band without a colour table may have to be one of classes.
CLASSES = 1024
#: Bytes of a band that is held in memory, at most.
MOST = 1 << 32
#: Longitudes and latitudes, in this order.
DEGREES = "OGC:CRS84"
#: Points a side of the lattice that tells where a raster lies.
LOOKED = 65
#: Blocks a side into which a raster is cut to say where a label is.
BLOCKS = 128
#: Pixels looked at a time; widest range of values that a table is made for.
_STRIP, _WIDE = 1 << 22, 1 << 22


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels somewhere on Earth, and where they lie.

    Attributes
    ----------
    values : ndarray, shape (rows, columns)
    inverse : affine.Affine
        From coordinates to columns and rows.
    west : float or None
        Degrees from which longitudes are counted; None for a raster in other coordinates.
    crs : rasterio.crs.CRS or None
        Those other coordinates.
    none : float
        Value of places beside it.
    """

    values: NDArray[Any]
    inverse: Any
    west: float | None
    crs: Any
    none: float

    def __call__(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Return the values of the pixels in which the places lie, (N,); `none` beside them.

        On an edge between pixels the next column or row counts; the outer edges are inside.
        """
        if self.west is not None:
            return self._at((lon - self.west) % 360.0 + self.west, lat)
        near = np.flatnonzero(self._near(lon, lat))
        found = np.full(len(lon), self.none, dtype=self.values.dtype)
        found[near] = self._at(*moved(DEGREES, self.crs, lon[near], lat[near]))
        return found

    def _at(self, x: Floats, y: Floats) -> NDArray[Any]:
        """Return the values at coordinates of the raster's own."""
        (a, b, c), (d, e, f) = self.inverse[:3], self.inverse[3:6]
        column = a * x + c if b == 0.0 else a * x + b * y + c
        row = e * y + f if d == 0.0 else d * x + e * y + f
        rows, columns = self.values.shape
        # What has no coordinates there is NaN, and not inside.
        inside = (column >= 0) & (column <= columns) & (row >= 0) & (row <= rows)
        whole = bool(inside.all())
        if not whole:
            column, row = column[inside], row[inside]
        at = np.minimum(row.astype(np.int64), rows - 1) * columns
        at += np.minimum(column.astype(np.int64), columns - 1)
        taken = self.values.ravel().take(at)
        if whole:
            return np.asarray(taken)
        found = np.full(len(x), self.none, dtype=self.values.dtype)
        found[inside] = taken
        return found

    def boxes(self, value: int) -> Floats:
        """Return boxes that hold all pixels of a value together, degrees, (M, 4), as an extent's.

        Those of blocks of pixels, a little larger than they are.
        """
        rows, columns = self.values.shape
        high, wide = -(-rows // BLOCKS), -(-columns // BLOCKS)
        starts = np.arange(0, columns, wide)
        there = [
            np.logical_or.reduceat((self.values[row : row + high] == value).any(axis=0), starts)
            for row in range(0, rows, high)
        ]
        at = np.argwhere(np.stack(there)).astype(np.float64)
        along = np.linspace(-0.02, 1.02, 5)
        row = np.minimum((at[:, :1, None] + along[:, None]) * high, rows + 0.02 * high)
        column = np.minimum((at[:, 1:, None] + along) * wide, columns + 0.02 * wide)
        row, column = (axis.reshape(len(at), -1) for axis in np.broadcast_arrays(row, column))
        (a, b, c), (d, e, f) = (~self.inverse)[:3], (~self.inverse)[3:6]
        x, y = a * column + b * row + c, d * column + e * row + f
        if self.west is None:
            x, y = (
                axis.reshape(x.shape) for axis in moved(self.crs, DEGREES, x.ravel(), y.ravel())
            )
        return _bounds(x, y)

    def _near(self, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        """Tell which places are near enough to be worth the way to other coordinates."""
        middle, least = self._cap
        return np.asarray(unit_vectors(lon, lat) @ middle >= least)

    @cached_property
    def _cap(self) -> tuple[Floats, float]:
        """Middle of a cap of the sphere that holds the raster, and the cosine of its radius.

        By a lattice of points on the raster, and beyond them by the longest step of it; all of the
        sphere where one of them has no longitude and latitude.
        """
        rows, columns = (np.linspace(0.0, size, LOOKED) for size in self.values.shape)
        column, row = np.meshgrid(columns, rows)
        (a, b, c), (d, e, f) = (~self.inverse)[:3], (~self.inverse)[3:6]
        x, y = a * column + b * row + c, d * column + e * row + f
        lon, lat = moved(self.crs, DEGREES, x.ravel(), y.ravel())
        xyz = unit_vectors(lon, lat).reshape(LOOKED, LOOKED, 3)
        middle = xyz.mean(axis=(0, 1))
        if not (np.isfinite(middle).all() and np.linalg.norm(middle) > 0.1):
            return np.zeros(3), -1.0
        middle /= np.linalg.norm(middle)
        step = max(float(np.linalg.norm(np.diff(xyz, axis=axis), axis=-1).max()) for axis in (0, 1))
        # A chord is no longer than 1.6 times the step's, as long as it is below a radian.
        reach = float(np.arccos(np.clip(xyz @ middle, -1.0, 1.0)).max()) + 1.6 * step
        return middle, float(np.cos(reach)) if reach < np.pi else -1.0


def _bounds(lon: Floats, lat: Floats) -> Floats:
    """Return the boxes of some groups of places, each (M, K): within 180 degrees, (N, 4).

    A group with a place that has no coordinates, or that goes half round the Earth, gets its whole
    belt, to the pole if it is that near: it may lie around it.
    """
    whole = ~np.isfinite(lon).all(axis=1) | (np.ptp(lon, axis=1) > 180.0)
    south, north = (
        np.nan_to_num(lat.min(axis=1), nan=-90.0),
        np.nan_to_num(lat.max(axis=1), nan=90.0),
    )
    south = np.where(whole & (south < -60.0), -90.0, south).clip(-90.0, 90.0)
    north = np.where(whole & (north > 60.0), 90.0, north).clip(-90.0, 90.0)
    start = np.where(whole, -180.0, lon.min(axis=1))
    width = np.where(whole, 360.0, np.ptp(lon, axis=1))
    west = (start + 180.0) % 360.0 - 180.0
    east = west + width
    boxes = np.stack([west, south, np.minimum(east, 180.0), north], axis=1)
    over = east > 180.0
    rest = np.stack([np.full(over.sum(), -180.0), south[over], east[over] - 360.0, north[over]], 1)
    return np.concatenate([boxes, rest])


class Band(NamedTuple):
    """A band: codes of `labels`, or float32 numbers of `units`; where it has none -1 or NaN."""

    pixels: Pixels
    labels: tuple[str, ...] | None
    units: str
    files: tuple[str, ...]


def read_band(path: Path, number: int, who: str) -> Band:
    """Read a band of a raster that GDAL reads.

    One of whole numbers with a colour table, named classes or at most `CLASSES` values is one of
    labels: the names, else the numbers. Any other holds numbers, by its scale and offset.

    Raises
    ------
    WherefromError
        If there is no such band, it is too large, or it does not say where it lies.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.open(path) as opened,
        ):
            if not 1 <= number <= opened.count:
                raise WherefromError(f"{who}: it has {opened.count} bands, and no band {number}")
            kind = np.dtype(opened.dtypes[number - 1])
            if (size := opened.width * opened.height * kind.itemsize) > MOST:
                raise WherefromError(
                    f"{who}: the band takes {size / 2**30:,.1f} GiB, and at most {MOST >> 30} are "
                    "held: cut it out, or make it coarser (gdal_translate -outsize 50% 50%)"
                )
            if kind.kind not in "iuf":
                raise WherefromError(f"{who}: its values are {kind}, no real numbers")
            west, crs = _place(opened, who)
            values, none = opened.read(number), _absent(opened, number)
            scale, offset = opened.scales[number - 1], opened.offsets[number - 1]
            units = opened.units[number - 1] or ""
            files = tuple(opened.files)
            names = _names(path, number)
            if names is None and _coloured(opened, number):
                names = {}
            inverse = ~opened.transform
    except RasterioError as err:
        raise WherefromError(f"{who}: it cannot be read as a raster: {err}") from err
    none = none if none is not None else np.zeros((0, 0), dtype=np.bool_)
    if kind.kind in "iu" and (scale, offset) == (1.0, 0.0):
        coded = _coded(values, none, names, CLASSES if names is None else 1 << 15)
        if coded is not None:
            return Band(Pixels(coded[0], inverse, west, crs, -1), coded[1], units, files)
    numbers = values.astype(np.float32)
    if (scale, offset) != (1.0, 0.0):
        numbers = numbers * np.float32(scale) + np.float32(offset)
    if none.size:
        numbers[none] = np.nan
    return Band(Pixels(numbers, inverse, west, crs, np.nan), None, units, files)


def _place(opened: Any, who: str) -> tuple[float | None, Any]:
    """Return the longitude from which columns are counted, or the coordinates if they are others.

    Those of WGS 84, and others that are moved to it by nothing, are degrees already; a raster that
    names none may lie in degrees.
    """
    west, south, east, north = opened.bounds
    if opened.crs is None:
        if max(abs(south), abs(north)) > 90.0 or max(abs(west), abs(east)) > 360.0:
            raise WherefromError(
                f"{who}: its coordinates go from {west:g}, {south:g} to {east:g}, {north:g}, are "
                "no degrees and have no CRS: write it into the file (gdal_edit.py -a_srs)"
            )
        if opened.transform.is_identity:
            raise WherefromError(
                f"{who}: it does not say where on Earth it lies: write its corners and its CRS "
                "into the file (gdal_translate -a_ullr -a_srs)"
            )
        return west, None
    if opened.crs.is_geographic:
        lon, lat = (axis.ravel() for axis in np.meshgrid(np.arange(-170, 180, 20.0), (-60, 0, 60)))
        there = moved(DEGREES, opened.crs, lon, lat.astype(np.float64))
        if np.allclose(there, (lon, lat), rtol=0.0, atol=1e-9):
            return west, None
    return None, opened.crs


def _absent(opened: Any, number: int) -> NDArray[np.bool_] | None:
    """Tell the pixels that have no value; None if all have one."""
    from rasterio.enums import MaskFlags

    if MaskFlags.all_valid in opened.mask_flag_enums[number - 1]:
        return None
    return np.asarray(opened.read_masks(number) == 0)


def _coloured(opened: Any, number: int) -> bool:
    try:
        return bool(opened.colormap(number))
    except ValueError:
        return False


def _names(path: Path, number: int) -> dict[int, str] | None:
    """Return the names of classes by value, which GDAL keeps beside the raster; None without."""
    beside = path.with_name(path.name + ".aux.xml")
    try:
        root = ET.fromstring(beside.read_bytes())
    except (OSError, ET.ParseError):
        return None
    band = root.find(f"PAMRasterBand[@band='{number}']")
    if band is None:
        return None
    named = {at: one.text or "" for at, one in enumerate(band.iterfind("CategoryNames/Category"))}
    table = band.find("GDALRasterAttributeTable")
    if table is not None:
        usage = {
            int(f.findtext("Usage", "0")): i for i, f in enumerate(table.iterfind("FieldDefn"))
        }
        # GDAL's numbers of usage: 2 for names, 5 for the value, 3 for the least of a range.
        of, name = usage.get(5, usage.get(3)), usage.get(2)
        if of is None or name is None:
            return named or {}
        for row in table.iterfind("Row"):
            cells = [cell.text or "" for cell in row.iterfind("F")]
            named[int(float(cells[of]))] = cells[name]
    return named or None


def _coded(
    values: NDArray[Any], none: NDArray[np.bool_], names: dict[int, str] | None, most: int
) -> tuple[NDArray[np.int16], tuple[str, ...]] | None:
    """Replace values by codes of their labels, in the order of the values; None if too many."""
    known = _distinct(values, none, most)
    if known is None:
        return None
    texts = [(names or {}).get(int(value), "").strip() or str(value) for value in known]
    labels = tuple(dict.fromkeys(texts))
    code_of = np.array([labels.index(text) for text in texts], dtype=np.int16)
    coded = np.full(values.shape, -1, dtype=np.int16)
    table = np.zeros(0, dtype=np.int16)
    if len(known) and (low := int(known[0])) > int(known[-1]) - _WIDE:
        table = np.zeros(int(known[-1]) - low + 1, dtype=np.int16)
        table[(known.astype(np.int64) - low)] = code_of
    for rows in _strips(values):
        valid = ~none[rows] if none.size else np.ones(values[rows].shape, dtype=np.bool_)
        here = values[rows][valid]
        at = here.astype(np.int64) - low if len(table) else np.searchsorted(known, here)
        coded[rows][valid] = (table if len(table) else code_of)[at]
    return coded, labels


def _distinct(values: NDArray[Any], none: NDArray[np.bool_], most: int) -> NDArray[Any] | None:
    """Return the values that occur, sorted; None if there are more than so many."""
    known = np.zeros(0, dtype=values.dtype)
    low, high = int(values.min()), int(values.max())
    seen = np.zeros(high - low + 1 if high - low < _WIDE else 0, dtype=np.bool_)
    for rows in _strips(values):
        here = values[rows][~none[rows]] if none.size else values[rows].ravel()
        if len(seen):
            seen[here.astype(np.int64) - low] = True
        else:
            known = np.union1d(known, here)
            if len(known) > most:
                return None
    if len(seen):
        known = (np.flatnonzero(seen) + low).astype(values.dtype)
    return known if len(known) <= most else None


def _strips(values: NDArray[Any]) -> Iterator[slice]:
    high = max(1, _STRIP // values.shape[1])
    for start in range(0, len(values), high):
        yield slice(start, start + high)
