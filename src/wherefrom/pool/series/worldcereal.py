"""WorldCereal's tables of pixels: Sentinel-1 and -2, weather and terrain of a year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool.series.pixels import PixelSeries
from wherefrom.pool.series.units import said_of
from wherefrom.pool.tables import read_table

__all__ = ["Pixels", "dates_of", "is_worldcereal", "worldcereal_pixels"]

STEPS = 12
#: Of twelve months, that of valid_time is the seventh.
MIDDLE = 6
NODATA = 65535
#: A step of the older tables is a twelfth of 365 days, counted from start_date.
STEP_DAYS = 365 / 12

#: The column of a step in a row a pixel, and that of a row a month.
_STEPS = {
    "B2": ("OPTICAL-B02-ts{}-10m", "S2-L2A-B02"),
    "B3": ("OPTICAL-B03-ts{}-10m", "S2-L2A-B03"),
    "B4": ("OPTICAL-B04-ts{}-10m", "S2-L2A-B04"),
    "B5": ("OPTICAL-B05-ts{}-20m", "S2-L2A-B05"),
    "B6": ("OPTICAL-B06-ts{}-20m", "S2-L2A-B06"),
    "B7": ("OPTICAL-B07-ts{}-20m", "S2-L2A-B07"),
    "B8": ("OPTICAL-B08-ts{}-10m", "S2-L2A-B08"),
    "B8A": ("OPTICAL-B8A-ts{}-20m", "S2-L2A-B8A"),
    "B11": ("OPTICAL-B11-ts{}-20m", "S2-L2A-B11"),
    "B12": ("OPTICAL-B12-ts{}-20m", "S2-L2A-B12"),
    "VV": ("SAR-VV-ts{}-20m", "S1-SIGMA0-VV"),
    "VH": ("SAR-VH-ts{}-20m", "S1-SIGMA0-VH"),
    "temperature_2m": ("METEO-temperature_mean-ts{}-100m", "AGERA5-TMEAN"),
    "total_precipitation": ("METEO-precipitation_flux-ts{}-100m", "AGERA5-PRECIP"),
}
_TERRAIN = {"elevation": ("DEM-alt-20m", "elevation"), "slope": ("DEM-slo-20m", "slope")}


def is_worldcereal(columns: Sequence[str]) -> bool:
    """Tell by the columns of a table whether it is WorldCereal's, in either form."""
    wide, long = _STEPS["B2"]
    return wide.format(0) in columns or long in columns


def worldcereal_pixels(path: Path | str) -> tuple[Pixels, PixelSeries]:
    """Read the pixels of a WorldCereal table, and their series.

    Parameters
    ----------
    path : Path or str
        Parquet with a row a pixel and columns such as ``OPTICAL-B02-ts0-10m``; or with a row a
        pixel and month, and columns such as ``S2-L2A-B02``, sample_id and timestamp.

    Returns
    -------
    pixels, series
        Of 12 steps; B9 and Dynamic World absent, and whatever the table marks by 65535. Where there
        are more steps, valid_time is in the seventh, as far as the table reaches.

    Raises
    ------
    WherefromError
        If the file cannot be read, a column is absent, a date is none, or a pixel has two rows a
        month.

    Notes
    -----
    The table states no units. They were told from the 500 published test pixels:

    - Sentinel-1: linear amplitudes of which ``20 log10(DN) - 83`` is dB (WorldCereal's
      convention). So medians are -9.9 dB in VV and -16.7 in VH, as over land in C band, with
      ``10 log10`` -46. DN 0 has no dB: absent.
    - Sentinel-2: reflectance x 10,000, of level 2A (a column counts ``l2a_obs``), while Presto was
      pre-trained on level 1C.
    - Temperature: 1/100 K; deviates from ERA5's climatology of place and month by 0.0 K on
      average, 2.0 K r.m.s.
    - Precipitation: 1/100 mm a step; a year's sum is 98.6 per mm of ERA5's climatology (median).
      Divided by the step's days it is m a day, which is what Presto was trained on.
    - A step is 365/12 days from ``start_date``, not a calendar month: whatever the day of the
      month on which series begin, temperatures fit ERA5's best 12 or 13 days after the start of a
      step. So the first month is that of the first step's middle, 15 days after ``start_date``.
      With ewoc_code steps are calendar months.
    - Elevation: m, 18 m from the layer elevation in the median, correlation 0.99.
    - Slope is taken as degrees; nothing in the table can tell it from per cent.
    """
    table = read_table(path)
    form = _Long if _STEPS["B2"][1] in table.column_names else _Wide
    pixels = form(table, path)
    bands = {name: pixels.steps(name) for name in _STEPS}
    for name in ("VV", "VH"):
        below = np.argwhere(bands[name] < 0)
        if below.size:
            with said_of(path, pixels.samples):
                raise WherefromError(
                    f"{name} of row {below[0, 0]}, step {below[0, 1]} is below 0 ({len(below):,} "
                    "such values): dB? WorldCereal's Sentinel-1 is amplitudes"
                )
        bands[name][bands[name] == 0] = np.nan
        bands[name] = 20.0 * np.log10(bands[name]) - 83.0
    bands["temperature_2m"] /= 100.0
    bands["total_precipitation"] /= 100.0 * 1000.0 * pixels.days
    bands |= {name: pixels.fixed(columns) for name, columns in _TERRAIN.items()}
    lon, lat = (pixels.fixed(name) for name in ("lon", "lat"))
    with said_of(path, pixels.samples):
        return pixels, PixelSeries.from_bands(bands, lon, lat, pixels.first % 12)


@dataclass(frozen=True)
class _Wide:
    """A table of a row a pixel."""

    table: pa.Table
    path: Path | str
    #: What names the pixels, where it is not their row.
    samples = None
    #: The usual column of labels.
    label: ClassVar[str] = "LANDCOVER_LABEL"

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row of each pixel."""
        return np.arange(len(self.table))

    def fixed(self, name: str | tuple[str, str]) -> NDArray[np.float64]:
        """Return a value a pixel, (N,)."""
        return _numbers(self.table, self.path, name if isinstance(name, str) else name[0])

    def steps(self, band: str) -> NDArray[np.float64]:
        """Return the values of a band in twelve steps, (N, 12)."""
        pattern, count = _STEPS[band][0], max(int(self._offset.max()) + STEPS, STEPS)
        every = [_numbers(self.table, self.path, pattern.format(t)) for t in range(count)]
        return np.stack(every, axis=1)[np.arange(len(self.table))[:, None], self._at]

    @cached_property
    def _offset(self) -> NDArray[np.int64]:
        """First of the twelve steps that are read of each pixel, (N,)."""
        if _STEPS["B2"][0].format(STEPS) not in self.table.column_names:
            return np.zeros(len(self.table), dtype=np.int64)
        valid, count = (self.fixed(name) for name in ("valid_position", "available_timesteps"))
        last = np.maximum(np.nan_to_num(count) - STEPS, 0)
        return np.clip(np.nan_to_num(valid) - MIDDLE, 0, last).astype(np.int64)

    @property
    def _at(self) -> NDArray[np.int64]:
        return self._offset[:, None] + np.arange(STEPS)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Month of the middle of each first step, (N,), counted from January 1970."""
        middle = dates_of(self.table, self.path, "start_date") + round(STEP_DAYS / 2)
        return _months(middle) + self._offset

    @property
    def days(self) -> NDArray[np.float64] | float:
        """Days of the steps, (N, 12) or of all."""
        return _days(self.first) if "ewoc_code" in self.table.column_names else STEP_DAYS


class _Long:
    """A table of a row a pixel and month; pixels in the order in which they come."""

    label: ClassVar[str] = "ewoc_code"

    def __init__(self, table: pa.Table, path: Path | str) -> None:
        self.table, self.path = table, path
        months = _months(dates_of(table, path, "timestamp"))
        if "sample_id" not in table.column_names or table["sample_id"].null_count:
            raise WherefromError(f"{path}: every row needs a sample_id, which names its pixel")
        names = table["sample_id"].combine_chunks().dictionary_encode()
        self.pixel = names.indices.to_numpy()
        _, self.rows = np.unique(self.pixel, return_index=True)
        self.samples = names.dictionary.to_pylist()
        low, high = months[self.rows].copy(), months[self.rows].copy()
        np.minimum.at(low, self.pixel, months)
        np.maximum.at(high, self.pixel, months)
        valid = _months(dates_of(table, path, "valid_time")[self.rows])
        latest = np.maximum(low, high - (STEPS - 1))
        #: First of the twelve months that are read, (N,), counted from January 1970.
        self.first = np.minimum(np.maximum(valid - MIDDLE, low), latest)
        self.days = _days(self.first)
        step = months - self.first[self.pixel]
        self.inside = np.flatnonzero((step >= 0) & (step < STEPS))
        self.step = step[self.inside]
        cell = self.pixel[self.inside] * STEPS + self.step
        _, once = np.unique(cell, return_index=True)
        again = np.setdiff1d(np.arange(len(cell)), once)
        if again.size:
            row = int(self.inside[again[0]])
            raise WherefromError(
                f"{path}: row {row} is another one of sample {table['sample_id'][row]} in "
                f"{np.datetime64(int(months[row]), 'M')}: a row is a month; composite them first"
            )

    def fixed(self, name: str | tuple[str, str]) -> NDArray[np.float64]:
        """Return a value a pixel, (N,), the same in all its rows."""
        name = name if isinstance(name, str) else name[1]
        values = _numbers(self.table, self.path, name)
        known = np.flatnonzero(~np.isnan(values))
        there, at = np.unique(self.pixel[known], return_index=True)
        found = np.full(len(self.rows), np.nan)
        found[there] = values[known[at]]
        other = known[values[known] != found[self.pixel[known]]]
        if other.size:
            row = int(other[0])
            raise WherefromError(
                f"{self.path}: {name} of row {row} is {values[row]:.10g}, but "
                f"{found[self.pixel[row]]:.10g} before in sample {self.table['sample_id'][row]}"
            )
        return found

    def steps(self, band: str) -> NDArray[np.float64]:
        """Return the values of a band in twelve months, (N, 12); NaN where there is no row."""
        found = np.full((len(self.rows), STEPS), np.nan)
        values = _numbers(self.table, self.path, _STEPS[band][1])
        found[self.pixel[self.inside], self.step] = values[self.inside]
        return found


Pixels: TypeAlias = _Wide | _Long


def _months(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Count the months from January 1970 to those of days."""
    return days.astype("datetime64[M]").astype(np.int64)


def _days(first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the days of twelve calendar months, (N, 12)."""
    edges = (first[:, None] + np.arange(STEPS + 1)).astype("datetime64[M]").astype("datetime64[D]")
    return np.diff(edges, axis=1).astype(np.float64)


def _numbers(table: pa.Table, path: Path | str, name: str) -> NDArray[np.float64]:
    """Return a column as float64, NaN where it is null or marked as absent."""
    if name not in table.column_names:
        raise WherefromError(
            f"{path} lacks the column {name!r}: it is no WorldCereal table of {STEPS} steps, of a "
            "row a pixel or of a row a month"
        )
    try:
        values: NDArray[np.float64] = table[name].cast(pa.float64()).to_numpy().copy()
    except pa.ArrowInvalid as err:
        raise WherefromError(f"{path}: column {name!r} holds no numbers: {err}") from err
    except pa.ArrowNotImplementedError as err:
        raise WherefromError(f"{path}: column {name!r} is {table[name].type}, no numbers") from err
    values[values == NODATA] = np.nan
    return values


def dates_of(table: pa.Table, path: Path | str, name: str) -> NDArray[np.datetime64]:
    """Return a column of dates, as text or dates, (N,) days."""
    if name not in table.column_names:
        raise WherefromError(f"{path} lacks the column {name!r}: it is no WorldCereal table")
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.date32(), safe=False)
    whole = column.combine_chunks().dictionary_encode(null_encoding="encode")
    days = np.empty(len(whole.dictionary), dtype="datetime64[D]")
    for at, given in enumerate(whole.dictionary.to_pylist()):
        try:
            days[at] = np.datetime64(given if isinstance(given, str | date) else "NaT", "D")
        except ValueError:
            days[at] = np.datetime64("NaT")
    found: NDArray[np.datetime64] = days[whole.indices.to_numpy()]
    bad = np.flatnonzero(np.isnat(found))
    if bad.size:
        given = column[int(bad[0])].as_py()
        raise WherefromError(f"{path}: {name} of row {bad[0]} is {given!r}, no date")
    return found
