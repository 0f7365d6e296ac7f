"""Any raster, in whatever projection, looked up at points on the ground; read a tile at a time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window
from scipy.ndimage import uniform_filter1d

from wherefrom.earth.coordinates import moved
from wherefrom.earth.sphere import distance_km, unit_vectors
from wherefrom.errors import WherefromError, unknown
from wherefrom.files import in_place_of_numbers
from wherefrom.pool.text import first_line

__all__ = ["Looked", "Sampled", "bands_of", "files_of", "opened"]

Floats: TypeAlias = NDArray[np.float64]
Pixels: TypeAlias = NDArray[np.float32]
#: How a point's value is made: see `wherefrom.payload.rasters.Raster`.
Looked = Literal["nearest", "mean", "bilinear"]

DEGREES = CRS.from_string("OGC:CRS84")
#: Values of a tile: 16 MB of float32.
_TILE = 1 << 22
#: Nodes along a side of the lattice on which the size of a raster's pixels is measured.
_NODES = 33
#: Pixels that a mean may be wide; wider ones of a raster of numbers need overviews.
_WIDEST = 1024
#: Relative difference of two widths that count as one.
_SAME = 0.02
#: Part of a pixel that rounding may put a point on a raster's rim beyond it.
_RIM = 1e-6


def opened(path: str, variable: str = "", level: int | None = None) -> Any:
    """Open a raster, or a variable of a netCDF; of one with overviews perhaps only the `level`-th.

    Raises
    ------
    WherefromError
        If it cannot be opened, or holds no bands of real numbers; says what lies in its place.
    """
    if not Path(path).exists():
        raise WherefromError(f"no such file: {path}")
    address = f'netcdf:"{path}":{variable}' if variable else path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            found = rasterio.open(address, **({} if level is None else {"overview_level": level}))
    except RasterioError as err:
        # A VRT is XML itself.
        instead = "" if path.lower().endswith(".vrt") else in_place_of_numbers(Path(path))
        said = f"is {instead}" if instead else f"cannot be read as a raster: {_reason(err)}"
        raise WherefromError(f"{path} {said}") from err
    if not found.count:
        names = [text.rpartition(":")[2] for text in found.subdatasets]
        raise WherefromError(
            f"{path} holds {len(names)} rasters: name one (variable: {' | '.join(names[:9])})"
        )
    if "complex" in "".join(found.dtypes):
        raise WherefromError(f"{path} holds complex numbers: give a raster of real ones")
    return found


def files_of(path: str) -> tuple[str, ...]:
    """Name the files that a raster is made of: itself, what lies beside it, the tiles of a VRT."""
    try:
        with opened(path) as found:
            parts = [file for file in found.files if Path(file).exists()]
    except WherefromError:  # told by who reads it
        parts = []
    return tuple(dict.fromkeys([path, *parts]))


def bands_of(found: Any, path: str, wanted: Sequence[int | str] = ()) -> dict[str, int]:
    """Return numbers of bands, from 1, by their names; without `wanted` all but masks (alpha).

    A name is the band's description, or its number.

    Raises
    ------
    WherefromError
        If there is no such band, or several have its name.
    """
    numbers = {str(number): number for number in found.indexes}
    described = {number: text for number, text in enumerate(found.descriptions, 1) if text}
    if not wanted:
        mask = [ColorInterp.alpha == kind for kind in found.colorinterp]
        shown = [number for number in found.indexes if not mask[number - 1]]
        names = [described.get(number, str(number)) for number in shown]
        if len(set(names)) < len(names):
            names = list(map(str, shown))
        return dict(zip(names, shown, strict=True))
    chosen: dict[str, int] = {}
    for band in wanted:
        same = [number for number, text in described.items() if text == band]
        if len(same) > 1:
            raise WherefromError(f"{path}: bands {same} are all called {band!r}: give numbers")
        if not same and str(band) not in numbers:
            raise unknown(f"band of {path}:", band, [*described.values(), *numbers])
        chosen[str(band)] = same[0] if same else numbers[str(band)]
    return chosen


@dataclass(frozen=True)
class Sampled:
    """A raster, or several of one grid, of which points on the ground are looked up.

    Attributes
    ----------
    paths : tuple of str
        Files of one grid; their bands follow each other.
    how : {"nearest", "mean", "bilinear"}
    metres : float
        Side of the square on the ground that a point stands for.
    bands : tuple of int or str
        None for all.
    variable : str
        Of a netCDF.
    crs : str
        Stated by the user; empty for the file's.
    plain : bool
        Whether files without a place on Earth cover it, from 180 W and 90 N; degrees then count as
        they are, whatever ellipsoid the file names.
    nodata : float or None
        Besides what the file declares.
    classes : tuple of tuple of int
        Pixel values of each class; then there is a channel a class, its share of the square.
    """

    paths: tuple[str, ...]
    how: Looked
    metres: float
    bands: tuple[int | str, ...] = ()
    variable: str = ""
    crs: str = ""
    plain: bool = False
    nodata: float | None = None
    classes: tuple[tuple[int, ...], ...] = ()

    @property
    def path(self) -> str:
        """The first file, which messages name."""
        return self.paths[0]

    @cached_property
    def whole(self) -> list[Any]:
        """The files in full resolution."""
        return [opened(path, self.variable) for path in self.paths]

    @cached_property
    def numbers(self) -> list[list[int]]:
        """Numbers of the bands of each file."""
        pairs = zip(self.whole, self.paths, strict=True)
        return [list(bands_of(found, path, self.bands).values()) for found, path in pairs]

    @cached_property
    def scaling(self) -> tuple[Pixels, Pixels]:
        """Scales and offsets that the files declare, a band each."""
        pairs = [
            (found.scales[number - 1], found.offsets[number - 1])
            for found, numbers in zip(self.whole, self.numbers, strict=True)
            for number in numbers
        ]
        scales, offsets = np.array(pairs, dtype=np.float32).T
        return scales, offsets

    def at(self, lon: Floats, lat: Floats) -> tuple[Pixels, NDArray[np.bool_]]:
        """Look points up, degrees (n,).

        Returns
        -------
        (n, k) float32 array, (n,) bool array
            Values, NaN for none; and which points the raster covers.

        Raises
        ------
        WherefromError
            If it cannot be read, or says of no pixel where on Earth it lies.
        """
        if self.how != "nearest":
            _ = self._metres  # refused whatever places there are
        column, row, inside = self.pixels(lon, lat)
        planes = len(self.classes) or sum(map(len, self.numbers))
        values = np.full((len(lon), planes), np.nan, dtype=np.float32)
        there = np.flatnonzero(inside)
        column, row = column[there], row[there]
        width, height = self._size
        # Whole rows where these are short: files hold rows, and nothing beside them is read twice.
        room = _TILE // (planes + 1)
        wide = width if width * 64 <= room else max(64, math.isqrt(room))
        high = max(64, room // wide)
        across = -(-width // wide)
        tile = np.floor(row / high) * across + np.floor(column / wide)
        last = across * -(-height // high)
        tile = tile.astype(np.uint16 if last < 1 << 16 else np.int64)  # sorted in one pass
        order = np.argsort(tile, kind="stable")
        ends = np.flatnonzero(np.diff(tile[order])) + 1
        for some in np.split(order, ends) if len(order) else ():
            middle = (column[some[0]] // wide + 0.5) * wide
            values[there[some]] = self._looked_up(column[some], row[some], middle)
        return values, inside

    def pixels(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Return continuous columns and rows of points, and which of them lie on the raster."""
        x, y = (lon, lat) if self._identical else self._projected(lon, lat)
        if self._period:
            x = (x - self._start) % self._period + self._start
        column, row = _applied(~self._affine, x, y)
        full = self.whole[0]
        inside = (column >= -_RIM) & (column <= full.width + _RIM)
        inside &= (row >= -_RIM) & (row <= full.height + _RIM)
        for values, most, native in zip(
            (column, row), self._size, (full.width, full.height), strict=True
        ):
            if most != native:
                values *= most / native
            np.clip(values, 0, np.nextafter(most, 0), out=values)
        return column, row, inside

    # Where it lies.

    @cached_property
    def _crs(self) -> CRS:
        if self.plain:
            return DEGREES
        if self.crs:
            try:
                found = CRS.from_user_input(self.crs)
            except CRSError as err:
                raise WherefromError(
                    f"crs {self.crs!r} is none that is known ({first_line(err)}): give one such as "
                    "EPSG:32633"
                ) from err
        else:
            found = self.whole[0].crs
        if not found:
            raise WherefromError(
                f"{self.path} has no CRS: state it (crs: EPSG:...), or write it into the file "
                "(gdal_edit.py -a_srs EPSG:... FILE)"
            )
        if not (found.is_geographic or found.is_projected):
            raise WherefromError(
                f"{self.path} is in a CRS of no place on Earth ({_name(found)}): state the right "
                "one (crs: EPSG:...)"
            )
        return found

    @cached_property
    def _affine(self) -> Affine:
        found: Affine = self.whole[0].transform
        if not found.is_identity:
            if not found.determinant:
                raise WherefromError(f"{self.path} has pixels without an area: write it again")
            return found
        if self.plain:
            step = 360.0 / self.whole[0].width
            return Affine(step, 0.0, -180.0, 0.0, -step, 90.0)
        points = "ground control points alone" if self.whole[0].gcps[0] else "none"
        raise WherefromError(
            f"{self.path} says where none of its pixels lies (a geotransform is needed, it has "
            f"{points}): warp it first (gdalwarp -t_srs EPSG:... FILE OUT)"
        )

    @cached_property
    def _identical(self) -> bool:
        """Whether its coordinates are longitude and latitude as they are."""
        if not self._crs.is_geographic:
            return False
        lon, lat = (one.ravel() for one in np.meshgrid([-150.0, -30.0, 80.0], [-70.0, 5.0, 60.0]))
        x, y = moved(DEGREES, self._crs, lon, lat)
        return bool(np.allclose(x, lon, atol=1e-9) and np.allclose(y, lat, atol=1e-9))

    @cached_property
    def _period(self) -> float:
        """How far one must go east to be there again, in units of its CRS; 0 if that is not so."""
        if self._crs.is_geographic:
            return float(2 * np.pi / self._crs.units_factor[1])
        lon = np.arange(-150.0, 180.0, 60.0)
        x, _ = moved(DEGREES, self._crs, lon, np.zeros(6))
        away, _ = moved(DEGREES, self._crs, lon, np.full(6, 40.0))
        step = float(np.median(np.diff(x)))
        period = 6 * abs(step)
        if not (np.isfinite(step) and np.allclose(x, away, rtol=0, atol=1e-6 * period)):
            return 0.0
        # Between two of them lies the seam.
        off = (np.diff(x) - step + period / 2) % period - period / 2
        return period if period and np.abs(off).max() < 1e-6 * period else 0.0

    @cached_property
    def _start(self) -> float:
        """Where x begins: the raster's left edge, or less, so that all of it lies in one period."""
        left, right = self._bounds[0]
        return float(min(left, (left + right - self._period) / 2))

    @cached_property
    def _bounds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Range of x and of y of the corners; coordinates that its CRS cannot have are refused."""
        full = self.whole[0]
        columns, rows = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])
        corners = _applied(self._affine, columns * full.width, rows * full.height)
        x, y = ((float(values.min()), float(values.max())) for values in corners)
        said = (
            f"{self.path}: x from {x[0]:,.6g} to {x[1]:,.6g} and y from {y[0]:,.6g} to {y[1]:,.6g}"
        )
        if self._crs.is_geographic:
            turn = self._period
            most = turn / 4 + abs(self._affine.e) + abs(self._affine.d)
            if max(map(abs, x)) > 1.5 * turn or max(map(abs, y)) > most:
                raise WherefromError(
                    f"{said} are no degrees, which its CRS says ({_name(self._crs)}): state the "
                    "right one (crs: EPSG:...)"
                )
        elif not self.crs and max(map(abs, x)) <= 360 and max(map(abs, y)) <= 90:
            raise WherefromError(
                f"{said} look like degrees, which its CRS says they are not ({_name(self._crs)}): "
                "state the right one (crs: OGC:CRS84)"
            )
        return x, y

    @cached_property
    def _round(self) -> bool:
        """Whether beyond its last column lies its first."""
        level_with = not (self._affine.b or self._affine.d)
        wide = abs(self._affine.a) * self.whole[0].width
        return bool(
            self._period
            and level_with
            and abs(wide - self._period) < max(0.01 * abs(self._affine.a), 1e-9 * self._period)
        )

    def _projected(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        """Project the points that may lie on the raster; NaN for the others."""
        x, y = np.full(len(lon), np.nan), np.full(len(lon), np.nan)
        centre, cosine = self._cap
        near = np.flatnonzero(unit_vectors(lon, lat) @ centre >= cosine)
        x[near], y[near] = moved(DEGREES, self._crs, lon[near], lat[near])
        return x, y

    @cached_property
    def _cap(self) -> tuple[Floats, float]:
        """Centre of a circle on the sphere around the raster, and the cosine of its radius.

        Far from where a projection is meant for, points fail, or fold back onto the raster.
        """
        lon, lat, *_ = self._lattice
        nodes = unit_vectors(lon, lat)
        mean = np.nanmean(nodes, axis=(0, 1))
        length = np.linalg.norm(mean)
        if length < 0.1:
            return mean, -np.inf
        centre = mean / length
        step = max(
            float(np.nanmax(np.linalg.norm(np.diff(nodes, axis=axis), axis=2))) for axis in (0, 1)
        )
        farthest = float(np.arccos(np.clip(np.nanmin(nodes @ centre), -1, 1)))
        reach = farthest + 2 * np.arcsin(min(1.0, step / 2))
        return centre, float(np.cos(reach)) if reach < np.pi else -np.inf

    @cached_property
    def _lattice(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Longitude and latitude of nodes over the raster, and their pixels' width and height.

        Each (rows, columns); metres; NaN where the CRS has no place on Earth.
        """
        _ = self._bounds
        full = self.whole[0]
        rows = np.linspace(0.5, full.height - 0.5, _NODES)
        columns = np.linspace(0.5, full.width - 0.5, _NODES)
        column, row = np.meshgrid(columns, rows)
        there = [
            self._degrees(column + east, row + south)
            for east, south in ((0, 0), (-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))
        ]
        if not np.isfinite(there[0][0]).any():
            raise WherefromError(
                f"{self.path} lies nowhere on Earth by its CRS ({_name(self._crs)}): state the "
                "right one (crs: EPSG:...)"
            )
        width, height = (
            1000 * distance_km(*there[one], *there[other]) for one, other in ((1, 2), (3, 4))
        )
        return *there[0], width, height

    def _degrees(self, column: Floats, row: Floats) -> tuple[Floats, Floats]:
        x, y = _applied(self._affine, column, row)
        if self._identical:
            return x, y
        lon, lat = moved(self._crs, DEGREES, x.ravel(), y.ravel())
        return lon.reshape(x.shape), lat.reshape(x.shape)

    # Its pixels.

    @cached_property
    def _files(self) -> list[Any]:
        """The files as they are read: their coarsest overview of which two or more make a square.

        Classes are counted at full resolution: overviews hold means of codes, or some of them.
        """
        if self.how == "nearest" or self.classes:
            return self.whole
        *_, width, height = self._lattice
        most = self.metres / 2 / max(float(np.nanmax(width)), float(np.nanmax(height)))
        factors = self.whole[0].overviews(self.numbers[0][0])
        fit = [level for level, factor in enumerate(factors) if factor <= most]
        if not fit:
            return self.whole
        chosen = max(fit, key=lambda level: factors[level])
        return [opened(path, self.variable, chosen) for path in self.paths]

    @property
    def _size(self) -> tuple[int, int]:
        """Columns and rows as they are read."""
        return self._files[0].width, self._files[0].height

    @cached_property
    def _metres(self) -> tuple[Floats, Floats]:
        """Width and height of pixels as they are read, at the nodes; too fine ones are refused."""
        full, (width, height) = self.whole[0], self._size
        *_, metres_x, metres_y = self._lattice
        across, down = metres_x * (full.width / width), metres_y * (full.height / height)
        count = self.metres / max(float(np.nanmax(across)), float(np.nanmax(down)))
        if count > _WIDEST:
            remedy = (
                "resampling: nearest"
                if self.classes
                else "build overviews first (gdaladdo -r average FILE)"
            )
            raise WherefromError(
                f"{self.path}: {count:,.0f} of its pixels lie side by side in one of "
                f"{self.metres:g} m, more than the {_WIDEST:,} that are averaged: {remedy}, or "
                "state fewer metres_per_px"
            )
        return across, down

    def _widths_at(self, rows: NDArray[np.int64], column: float) -> Floats:
        """Pixels that lie side by side in a square, across and down, at rows as they are read."""
        full, (width, height) = self.whole[0], self._size
        nodes = np.linspace(0.5, full.height - 0.5, _NODES) * (height / full.height)
        at = int(np.clip(np.rint(column / width * (_NODES - 1)), 0, _NODES - 1))
        found = []
        for metres in self._metres:
            line = metres[:, at]
            if not np.isfinite(line).any():
                line = np.full(_NODES, np.nanmedian(metres))
            known = np.isfinite(line)
            size = np.interp(rows + 0.5, nodes[known], line[known])
            found.append(np.clip(self.metres / np.maximum(size, 1e-9), 1, _WIDEST))
        return np.stack(found)

    def _looked_up(self, column: Floats, row: Floats, middle: float) -> Pixels:
        """Look up points (n,) of a tile, whose middle column is `middle`, (n, k)."""
        rim = int(self.how == "bilinear")  # linear between a pixel and its neighbours
        top, bottom = int(row.min()) - rim, int(row.max()) + 1 + rim
        left, right = int(column.min()) - rim, int(column.max()) + 1 + rim
        if self.how == "nearest":
            block = self._read(top, bottom, left, right)
        else:
            block = self._means(top, bottom, left, right, middle)
        if self.classes:
            known = block.sum(axis=0)
            block = block[:-1]
            partly = known < 1 - 1e-5
            if partly.any():
                with np.errstate(invalid="ignore"):
                    block[:, partly] /= np.where(known > 1e-6, known, np.nan)[partly]
        planes, _, wide = block.shape
        flat = np.ascontiguousarray(block.reshape(planes, -1).T)
        whole = (row.astype(np.int64) - top) * wide + (column.astype(np.int64) - left)
        if self.how != "bilinear":
            return np.asarray(flat.take(whole, axis=0))
        return _linear(flat, wide, column - left, row - top, whole)

    def _means(self, top: int, bottom: int, left: int, right: int, middle: float) -> Pixels:
        """Average over the square around each pixel of some rows and columns, (k, rows, columns).

        What is missing does not count. Its sides lie along the raster's: to second order a mean
        does not know how a square is turned.
        """
        # Steps of widths are the same wherever one begins: a place's values depend on no other's.
        alike = np.rint(np.log(self._widths_at(np.arange(top, bottom), middle)) / _SAME)
        across, down = np.exp(alike * _SAME)
        reach_x, reach_y = _reach(across.max()), _reach(down.max())
        block = self._read(top - reach_y, bottom + reach_y, left - reach_x, right + reach_x)
        if not (reach_x or reach_y):
            return block
        lacking = np.isnan(block)
        weights = None
        if lacking.any():
            weights = (~lacking).astype(np.float32)
            block[lacking] = 0
        result = np.empty((len(block), bottom - top, right - left), np.float32)
        # Rows whose squares are as wide are worked on together.
        starts = [0, *(np.flatnonzero(np.diff(alike).any(axis=0)) + 1), bottom - top]
        for first, last in pairwise(starts):
            wide, high = float(across[first]), float(down[first])
            x, y = reach_x - _reach(wide), reach_y - _reach(high)
            rows = slice(first + y, last + 2 * reach_y - y)
            columns = slice(x, block.shape[2] - x)
            made = _box(_box(block[:, rows, columns], high, 1), wide, 2)
            if weights is not None:
                counted = _box(_box(weights[:, rows, columns], high, 1), wide, 2)
                with np.errstate(invalid="ignore", divide="ignore"):
                    made = np.where(counted > 1e-6, made / counted, np.nan)
            result[:, first:last] = made
        return result

    def _read(self, top: int, bottom: int, left: int, right: int) -> Pixels:
        """Read rows and columns, which may reach beyond the raster: NaN, or of no class, there."""
        width, height = self._size
        first, last = max(top, 0), min(bottom, height)
        if self._round:
            spans = list(_spans(left, right, width))
            west = east = 0
        else:
            spans = [(max(left, 0), min(right, width))]
            west, east = max(-left, 0), max(right - width, 0)
        try:
            made = np.concatenate(
                [self._pixels_of(Window(a, first, b - a, last - first)) for a, b in spans], axis=2
            )
        except RasterioError as err:
            raise WherefromError(
                f"{self.path} is damaged, or lacks a tile ({_reason(err)}): copy it again"
            ) from err
        if not (west or east or first > top or last < bottom):
            return made
        around = ((0, 0), (first - top, bottom - last), (west, east))
        return np.pad(made, around, constant_values=0 if self.classes else np.nan)

    def _pixels_of(self, window: Window) -> Pixels:
        """Read a part of the raster, (k, rows, columns): NaN for none, or planes of classes."""
        parts = []
        for file, numbers in zip(self._files, self.numbers, strict=True):
            flags = {flag for number in numbers for flag in file.mask_flag_enums[number - 1]}
            plain = flags <= {MaskFlags.all_valid, MaskFlags.nodata}  # else a mask has a say
            read = file.read(numbers, window=window, masked=not plain)
            lacking = np.ma.getmaskarray(read) if not plain else None
            raw = np.ma.getdata(read)
            if plain and (self.nodata is not None or MaskFlags.nodata in flags):
                declared = [file.nodatavals[number - 1] for number in numbers]
                lacking = np.stack(
                    [_is(band, own, self.nodata) for band, own in zip(raw, declared, strict=True)]
                )
            elif lacking is not None:
                lacking |= _is(raw, self.nodata)
            if self.classes:
                parts.append(self._planes(raw[0], None if lacking is None else lacking[0]))
                continue
            values = raw.astype(np.float32)
            if lacking is not None:
                values[lacking] = np.nan
            if raw.dtype.kind == "f":
                values[np.isinf(values)] = np.nan
            parts.append(values)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _planes(self, codes: NDArray[Any], lacking: NDArray[np.bool_] | None) -> Pixels:
        """Lay out a plane a class, and one of all others, 1 where a pixel is of it."""
        planes = np.zeros((len(self.classes) + 1, *codes.shape), np.float32)
        for plane, values in zip(planes, self.classes, strict=False):
            for value in values:
                plane[codes == value] = 1
        other = planes[:-1].sum(axis=0) == 0
        if codes.dtype.kind == "f":
            other &= np.isfinite(codes)
        planes[-1] = other
        if lacking is not None:
            planes[:, lacking] = 0
        return planes


def _applied(affine: Affine, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Map arrays of coordinates; most rasters are not rotated."""
    across, down = affine.a * x + affine.c, affine.e * y + affine.f
    if affine.b or affine.d:
        across, down = across + affine.b * y, down + affine.d * x
    return across, down


def _is(values: NDArray[Any], *nones: float | None) -> NDArray[np.bool_]:
    """Tell which values are one of those that mean none, as their own type rounds it."""
    found = np.zeros(values.shape, dtype=bool)
    with np.errstate(over="ignore"):
        for none in nones:
            if none is not None:
                found |= values == none
    return found


def _linear(
    flat: Pixels, wide: int, column: Floats, row: Floats, whole: NDArray[np.int64]
) -> Pixels:
    """Interpolate between the middles of pixels, those without a value left out.

    `flat` (rows x columns, k); points (n,) whose own pixel is `whole`: none there, none at all.
    """
    column, row = column - 0.5, row - 0.5
    x, y = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
    east, south = (column - x).astype(np.float32), (row - y).astype(np.float32)
    total = np.zeros((len(whole), flat.shape[1]), np.float32)
    gaps = bool(np.isnan(flat).any())
    weights = np.zeros_like(total) if gaps else None
    for down, right, weight in (
        (0, 0, (1 - south) * (1 - east)),
        (0, 1, (1 - south) * east),
        (1, 0, south * (1 - east)),
        (1, 1, south * east),
    ):
        values = flat.take((y + down) * wide + x + right, axis=0)
        if weights is not None:
            there = ~np.isnan(values)
            weights += np.where(there, weight[:, None], 0)
            values[~there] = 0
        total += values * weight[:, None]
    if weights is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            total /= weights
        total[np.isnan(flat.take(whole, axis=0))] = np.nan
    return total


def _reach(width: float) -> int:
    """Pixels to either side of one that a mean of this width touches."""
    return max(0, int(np.ceil((width - 1) / 2)))


def _box(values: Pixels, width: float, axis: int) -> Pixels:
    """Average over `width` pixels along an axis; as many as it reaches are cut off at both ends."""
    reach = _reach(width)
    if not reach:
        return values
    length = values.shape[axis] - 2 * reach

    def shifted(array: Pixels, by: int) -> Pixels:
        index = [slice(None)] * 3
        index[axis] = slice(reach + by, reach + by + length)
        return array[tuple(index)]

    inner = 2 * reach - 1
    total = shifted(values, 0)
    if inner > 1:
        total = shifted(uniform_filter1d(values, inner, axis=axis, mode="constant"), 0) * inner
    share = np.float32((width - inner) / 2)
    made = total + share * (shifted(values, -reach) + shifted(values, reach))
    made /= np.float32(width)
    return made


def _spans(left: int, right: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut columns that go around the Earth into runs of those that there are."""
    while left < right:
        start = left % width
        count = min(right - left, width - start)
        yield start, start + count
        left += count


def _name(crs: CRS) -> str:
    code = crs.to_authority()
    return ":".join(code) if code else first_line(ValueError(crs.to_wkt()))[:60]


def _reason(err: Exception) -> str:
    """Name the innermost reason: rasterio's own error only says that a read failed."""
    return first_line(err.__cause__ or err)
