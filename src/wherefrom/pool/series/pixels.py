"""Pixel time series in physical units, checked once when they are made."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.errors import WherefromError, unknown
from wherefrom.files import atomic
from wherefrom.pool.check import cause_of
from wherefrom.pool.series.units import (
    BANDS,
    check_ndvi,
    check_units,
    check_values,
    ndvi,
    said_of,
)
from wherefrom.shown import count_of

__all__ = ["BANDS", "DW_CLASSES", "FIELDS", "NO_CLASS", "PixelSeries"]

#: Dynamic World's classes (Brown et al. 2022); the code of a class is its position.
DW_CLASSES = (
    "water", "trees", "grass", "flooded_vegetation", "crops", "shrub_and_scrub", "built", "bare",
    "snow_and_ice",
)  # fmt: skip

#: Code of a step without a Dynamic World class.
NO_CLASS = 9

#: Steps that one first month may be given for: more, and a step is hardly a month.
_MONTHLY = 24

#: Names of the arrays.
FIELDS = ("raw", "dynamic_world", "lon", "lat", "month")


@dataclass(frozen=True, eq=False)
class PixelSeries:
    """Time series of N pixels at T steps, in the units of CropHarvest and Presto.

    Make one by band names with `from_bands`, or of an array in CropHarvest's order with
    `from_array`: these two check the units and compute NDVI, which files are known to hold wrongly.

    Parameters
    ----------
    raw : (N, T, 18) float32 array
        In the order of `BANDS`. VV and VH in dB; B2 to B12 reflectance x 10,000; temperature in
        K; precipitation in m of water a day, mean of the month; elevation in m; slope in degrees;
        NDVI in [-1, 1]. NaN where a value is absent.
    dynamic_world : (N, T) uint8 array
        Position in `DW_CLASSES`; `NO_CLASS` where there is none.
    lon, lat : (N,) float64 array
        Degrees; longitude in [-180, 180], latitude in [-90, 90].
    month : (N, T) int8 array
        Calendar month of every step: 0 is January, 11 December.

    Raises
    ------
    WherefromError
        If shapes do not fit, a value is infinite or one that no place has (such as 65535 or -9999
        for absent), a month, class or coordinate is out of range, or a series has no value at all.
        The message names the field and the first row.

    Notes
    -----
    The arrays are made read-only views, not copies.

    Precipitation is ERA5-Land's monthly mean of daily totals, whatever "total" in its name says: in
    the series published with Presto (AlgaeBlooms, 1,122 places in the USA) it is 1.10 times ERA5's
    climatology of the same places and months in m a day, and 1/28 of the monthly totals.

    Examples
    --------
    >>> series = PixelSeries.from_bands(
    ...     {"B8": np.full((2, 12), 3100.0), "elevation": [12.0, 430.0], "slope": [0.5, 7.0]},
    ...     lon=[10.0, 20.0], lat=[0.0, 5.0], month=0)
    >>> len(series), series.steps, series.raw.shape
    (2, 12, (2, 12, 18))
    >>> series.month[0, :3].tolist(), series.present
    ([0, 1, 2], ('B8', 'elevation', 'slope'))
    """

    raw: NDArray[np.float32]
    dynamic_world: NDArray[np.uint8]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    month: NDArray[np.int8]

    def __post_init__(self) -> None:
        raw = _reals("raw", self.raw, np.float32)
        if raw.ndim != 3 or raw.shape[2] != len(BANDS):
            raise WherefromError(
                f"pixel series: raw has shape {raw.shape}, not (pixels, steps, {len(BANDS)}); "
                "give bands by name with PixelSeries.from_bands"
            )
        if raw.shape[1] == 0:
            raise WherefromError("pixel series: raw has no steps")
        checked: dict[str, NDArray[Any]] = {
            "raw": raw,
            "dynamic_world": _codes("dynamic_world", self.dynamic_world, NO_CLASS, np.uint8),
            "lon": _reals("lon", self.lon, np.float64),
            "lat": _reals("lat", self.lat, np.float64),
            "month": _codes("month", self.month, 11, np.int8),
        }
        for name, values in checked.items():
            due = raw.shape if name == "raw" else raw.shape[: 1 if name in ("lon", "lat") else 2]
            if values.shape != due:
                raise WherefromError(
                    f"pixel series: {name} has shape {values.shape}, but raw {raw.shape} asks for "
                    f"{due}"
                )
            view = values.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        check_values(raw)
        for name, limit in (("lon", 180.0), ("lat", 90.0)):
            bad = np.flatnonzero(~(np.abs(checked[name]) <= limit))
            if bad.size:
                raise WherefromError(
                    f"pixel series: {name} of row {bad[0]} is {checked[name][bad[0]]:g}, not "
                    f"-{limit:g} to {limit:g} degrees ({count_of(bad.size, 'such row')}); "
                    + cause_of(float(checked["lon"][bad[0]]), float(checked["lat"][bad[0]]))
                )
        empty = np.flatnonzero(np.isnan(raw[:, 0]).all(axis=1))  # few: the others are not looked at
        bare = np.isnan(raw[empty]).all(axis=(1, 2)) & (self.dynamic_world[empty] == 9).all(axis=1)
        empty = empty[bare]
        if empty.size:
            raise WherefromError(
                f"pixel series: row {empty[0]} has no value in any band or step "
                f"({count_of(empty.size, 'such row')}); remove these rows"
            )

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def steps(self) -> int:
        """Steps T of every series."""
        return int(self.raw.shape[1])

    @cached_property
    def present(self) -> tuple[str, ...]:
        """Bands that have a value anywhere."""
        return tuple(b for i, b in enumerate(BANDS) if not np.isnan(self.raw[:, :, i]).all())

    @cached_property
    def key(self) -> str:
        """Hash of the whole content: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name in FIELDS:
            values = np.ascontiguousarray(getattr(self, name))
            if name == "raw":  # one NaN: their bits depend on how they came about
                values = np.where(np.isnan(values), np.float32(np.nan), values)
            digest.update(str(values.shape).encode())
            digest.update(values.tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def from_bands(
        cls,
        values: Mapping[str, ArrayLike],
        lon: ArrayLike,
        lat: ArrayLike,
        month: ArrayLike,
        dynamic_world: ArrayLike | None = None,
        *,
        units_stated: bool = False,
    ) -> PixelSeries:
        """Make series of bands by name; NDVI is computed of B8 and B4 where both are there.

        Parameters
        ----------
        values : mapping of str to (N, T) or (N,) array_like
            Bands of `BANDS` except NDVI, in the units of the class; (N,) is repeated over the steps
            (elevation, slope). Bands left out are absent.
        lon, lat : (N,) array_like
            Degrees.
        month : int, (N,) or (N, T) array_like
            Month of the first step (0 is January), of all or of each pixel, each further step being
            the next month; or of every step, which more than 24 steps need.
        dynamic_world : (N, T) array_like, optional
            Classes; by default absent.
        units_stated : bool, default False
            The source states its units, and values were converted: they are not judged by what
            their numbers look like.

        Returns
        -------
        PixelSeries

        Raises
        ------
        WherefromError
            If a band is unknown, or as in `from_array`.

        Examples
        --------
        >>> series = PixelSeries.from_bands({"B4": [[500.0]], "B8": [[1500.0]]}, [0.0], [0.0], 5)
        >>> float(series.raw[0, 0, BANDS.index("NDVI")])
        0.5
        """
        bands: dict[str, NDArray[Any]] = {}
        for name, given in values.items():
            if name not in BANDS:
                raise unknown("band", name, BANDS[:-1])
            if name == "NDVI":
                raise WherefromError("band NDVI is computed of B8 and B4: leave it out")
            bands[name] = _reals(name, given, np.float32)
        size = len(np.atleast_1d(np.asarray(lon)))
        wide = [*bands.values(), *(np.asarray(x) for x in (month, dynamic_world) if x is not None)]
        steps = max((x.shape[1] for x in wide if x.ndim == 2), default=1)
        raw = np.full((size, steps, len(BANDS)), np.nan, dtype=np.float32)
        for name, band in bands.items():
            if band.shape not in ((size,), (size, steps)):
                raise WherefromError(
                    f"pixel series: band {name} has shape {band.shape}, not ({size}, {steps}) or "
                    f"({size},)"
                )
            raw[:, :, BANDS.index(name)] = band[:, None] if band.ndim == 1 else band
        return cls.from_array(raw, lon, lat, month, dynamic_world, units_stated=units_stated)

    @classmethod
    def from_array(
        cls,
        raw: ArrayLike,
        lon: ArrayLike,
        lat: ArrayLike,
        month: ArrayLike,
        dynamic_world: ArrayLike | None = None,
        *,
        units_stated: bool = False,
    ) -> PixelSeries:
        """Make series of an array in CropHarvest's order; its NDVI is computed anew.

        Parameters
        ----------
        raw : (N, T, 18) array_like
            In the order of `BANDS` and the units of the class; the last column is not read.
        lon, lat, month, dynamic_world, units_stated
            As of `from_bands`.

        Returns
        -------
        PixelSeries

        Raises
        ------
        WherefromError
            As of the class, and if a band, or some of its rows or steps, is in another unit, or 0
            marks what is absent in it, or its median is none that its unit allows.

        Warns
        -----
        UserWarning
            In one line a kind, with the count and the first row, of what is too rare to refuse all,
            or may be so somewhere (Notes).

        Notes
        -----
        A row or step is in another unit if more than three quarters of its values, zeros aside and
        three or more, are so: VV and VH of -0.1 to 1 (linear power or amplitude) or above 5 (dB
        without sign), reflectance up to 2 (of 0 to 1), precipitation above 0.05 (mm, monthly
        totals). All is refused where that is so of more than 1 % of the rows or steps (with nine
        values or more), of 20 % of single values in three rows, or of all values; else it is warned
        of, as are 5 % of single values. Exact zeros in VV, VH and reflectance are refused above 1 %
        of the values and three; else warned of, in reflectance above 0.1 %. Only warned of: rows of
        nine values or more, all of 2 to 100 (per cent), one value far more frequent than any other,
        and slopes none of which is above 0.8 where heights differ by 1,000 m (radians). Not to be
        told by value: slopes partly in radians, heights in feet or km, rain far too low.

        Examples
        --------
        >>> celsius = np.full((1, 12, 18), np.nan)
        >>> celsius[:, :, BANDS.index("temperature_2m")] = 17.0
        >>> PixelSeries.from_array(celsius, [0.0], [0.0], 0)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        wherefrom.errors.WherefromError: pixel series: temperature_2m of row 0, step 0 is 17, not...
        """
        mine = np.array(_reals("raw", raw, np.float32))
        if mine.ndim != 3 or mine.shape[2] != len(BANDS):
            raise WherefromError(
                f"pixel series: the array has shape {mine.shape}, not (pixels, steps, "
                f"{len(BANDS)} bands: {', '.join(BANDS)})"
            )
        mine[:, :, BANDS.index("NDVI")] = ndvi(mine)
        shape = mine.shape[:2]
        given = np.full(shape, NO_CLASS, np.uint8) if dynamic_world is None else dynamic_world
        classes = _codes("dynamic_world", given, NO_CLASS, np.uint8)
        months = _codes("month", month, 11, np.int8)
        if months.ndim < 2:
            if shape[1] > _MONTHLY:
                raise WherefromError(
                    f"pixel series: {shape[1]} steps, and the month of the first alone: a step of "
                    f"a month is taken for granted up to {_MONTHLY} steps; composite them to "
                    "months, or give the month of every step, (N, T)"
                )
            first = np.broadcast_to(months, shape[:1]) if months.ndim == 0 else months
            months = ((first[:, None] + np.arange(shape[1])) % 12).astype(np.int8)
        series = cls(mine, classes, np.asarray(lon), np.asarray(lat), months)
        if not units_stated:
            check_units(series.raw)
        return series

    def take(self, rows: ArrayLike) -> PixelSeries:
        """Return some rows, by number or mask, in the order given (repeats allowed)."""
        at = np.asarray(rows)
        return PixelSeries(*(getattr(self, name)[at] for name in FIELDS))

    @classmethod
    def concatenate(cls, parts: Sequence[PixelSeries]) -> PixelSeries:
        """Join series of equal steps, one after the other.

        Raises
        ------
        WherefromError
            If there is none, or their steps differ.

        Examples
        --------
        >>> one = PixelSeries.from_bands({"slope": [1.0]}, [0.0], [0.0], 0)
        >>> len(PixelSeries.concatenate([one, one]))
        2
        """
        steps = sorted({part.steps for part in parts})
        if len(steps) != 1:
            raise WherefromError(f"series to join must have equal steps, not {steps}")
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in FIELDS))

    def write(self, path: Path | str) -> None:
        """Write the series as one ``.npz`` file, whose arrays are named as the fields.

        Raises
        ------
        WherefromError
            If the disk is full or the folder cannot be written.
        """
        with atomic(path) as tmp, tmp.open("wb") as stream:
            np.savez(stream, **{name: getattr(self, name) for name in FIELDS})

    @classmethod
    def read(cls, path: Path | str) -> PixelSeries:
        """Read series that `write` made, or any ``.npz`` of the same five arrays.

        Raises
        ------
        WherefromError
            If the file is absent, torn, lacks an array, or holds what `from_array` refuses.

        Examples
        --------
        >>> import tempfile
        >>> one = PixelSeries.from_bands({"slope": [1.0]}, [0.0], [0.0], 0)
        >>> file = Path(tempfile.mkdtemp()) / "series.npz"
        >>> one.write(file)
        >>> PixelSeries.read(file).key == one.key
        True
        """
        try:
            with zipfile.ZipFile(path):  # numpy reads other things too, such as a single array
                pass
            with np.load(path, allow_pickle=False) as stored:
                lacking = [name for name in FIELDS if name not in stored.files]
                if lacking:
                    raise WherefromError(
                        f"{path} holds no pixel series: it lacks the array {lacking[0]!r}"
                    )
                arrays = [stored[name] for name in FIELDS]
        except FileNotFoundError as err:
            raise WherefromError(f"no such file: {path}") from err
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as err:
            raise WherefromError(
                f"{path} is not a readable .npz file: {err}; make it again"
            ) from err
        with said_of(path):
            series = cls(*arrays)
            check_units(series.raw)
            check_ndvi(series.raw)
        return series


def _reals(name: str, given: ArrayLike, dtype: Any) -> NDArray[Any]:
    """Return numbers as an array of `dtype`, or say that they are none; what is masked is NaN."""
    try:
        if isinstance(given, np.ma.MaskedArray):
            given = np.ma.filled(given.astype(np.float64), np.nan)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: refused later
            values = np.asarray(given)
            return values if dtype is None else values.astype(dtype, copy=False)
    except (ValueError, TypeError) as err:
        raise WherefromError(f"pixel series: {name} is not an array of numbers: {err}") from err


def _codes(name: str, given: ArrayLike, highest: int, dtype: type) -> NDArray[Any]:
    """Return codes 0..highest as `dtype`, after they were checked: a cast alone would wrap."""
    values = _reals(name, given, None)
    if values.dtype.kind not in "iuf":
        raise WherefromError(f"pixel series: {name} is of type {values.dtype}, not whole numbers")
    wrong = ~((values >= 0) & (values <= highest) & (values == np.floor(values)))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f" of row {at[0]}" if at else ""
        where += f", step {at[1]}" if len(at) > 1 else ""
        hint = "; January is 0" if name == "month" else f"; {NO_CLASS} says that there is none"
        raise WherefromError(
            f"pixel series: {name}{where} is {values[at]}, not a code of 0 to {highest}{hint}"
        )
    return values.astype(dtype, copy=False)
