"""WorldCereal's labelled pixels: Sentinel-1 and -2, weather and terrain, crop or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool import read_table
from wherefrom.pool.series import PixelSeries
from wherefrom.tasks.labelled import LabelledSeries
from wherefrom.tasks.table import label_series

__all__ = ["worldcereal"]

STEPS = 12
NODATA = 65535
#: Code of temporary crops in LANDCOVER_LABEL; WorldCereal's legend has codes of two digits.
CROP = 11
LEGEND = (10, 99)
#: A step is a twelfth of 365 days, counted from start_date.
STEP_DAYS = 365 / 12

_OPTICAL = {
    "B2": "OPTICAL-B02-ts{}-10m",
    "B3": "OPTICAL-B03-ts{}-10m",
    "B4": "OPTICAL-B04-ts{}-10m",
    "B5": "OPTICAL-B05-ts{}-20m",
    "B6": "OPTICAL-B06-ts{}-20m",
    "B7": "OPTICAL-B07-ts{}-20m",
    "B8": "OPTICAL-B08-ts{}-10m",
    "B8A": "OPTICAL-B8A-ts{}-20m",
    "B11": "OPTICAL-B11-ts{}-20m",
    "B12": "OPTICAL-B12-ts{}-20m",
}
_SAR = {"VV": "SAR-VV-ts{}-20m", "VH": "SAR-VH-ts{}-20m"}
_TEMPERATURE = "METEO-temperature_mean-ts{}-100m"
_RAIN = "METEO-precipitation_flux-ts{}-100m"
_TERRAIN = {"elevation": "DEM-alt-20m", "slope": "DEM-slo-20m"}


def worldcereal(path: Path | str, region_layer: str = "continent", seed: int = 0) -> LabelledSeries:
    """Read a WorldCereal table of pixels as a crop or not crop task with its series.

    Crop is LANDCOVER_LABEL 11 (temporary crops); everything else, also perennial crops (12) and
    cropland of unknown kind (10), is the other class.

    Parameters
    ----------
    path : Path or str
        Parquet with a row a pixel and columns such as ``OPTICAL-B02-ts0-10m``.
    region_layer : str
        Layer whose labels are the regions, or ``"all"`` for one region that holds every place.
    seed : int
        Seed of the split into train, test and the two for tuning (`from_table`).

    Returns
    -------
    LabelledSeries
        12 steps; B9 and Dynamic World absent, and whatever the table marks by 65535.

    Raises
    ------
    WherefromError
        If the file cannot be read, a column is absent, a label is not of the legend, or a date is
        none.

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
    - Elevation: m, 18 m from the layer elevation in the median, correlation 0.99.
    - Slope is taken as degrees; nothing in the table can tell it from per cent.
    """
    table = read_table(path)
    bands = {name: _steps(table, path, column) for name, column in _OPTICAL.items()}
    for name, column in _SAR.items():
        amplitude = _steps(table, path, column)
        amplitude[amplitude <= 0] = np.nan
        bands[name] = 20.0 * np.log10(amplitude) - 83.0
    bands["temperature_2m"] = _steps(table, path, _TEMPERATURE) / 100.0
    bands["total_precipitation"] = _steps(table, path, _RAIN) / (100.0 * 1000.0 * STEP_DAYS)
    bands |= {name: _numbers(table, path, column) for name, column in _TERRAIN.items()}
    try:
        series = PixelSeries.from_bands(
            bands, _numbers(table, path, "lon"), _numbers(table, path, "lat"), _months(table, path)
        )
    except WherefromError as err:
        raise WherefromError(f"{path}: {err}") from err
    about = {"made": "of WorldCereal's pixels", "source": str(path)}
    crop = _crop(table, path)
    return label_series("worldcereal", series, crop, "crop", region_layer, seed, about)


def _numbers(table: pa.Table, path: Path | str, name: str) -> NDArray[np.float64]:
    """Return a column as float64, NaN where it is null or marked as absent."""
    if name not in table.column_names:
        raise WherefromError(
            f"{path} lacks the column {name!r}: it is no WorldCereal table of {STEPS} steps"
        )
    try:
        values: NDArray[np.float64] = table[name].cast(pa.float64()).to_numpy().copy()
    except pa.ArrowInvalid as err:
        raise WherefromError(f"{path}: column {name!r} holds no numbers: {err}") from err
    except pa.ArrowNotImplementedError as err:
        raise WherefromError(f"{path}: column {name!r} is {table[name].type}, no numbers") from err
    values[values == NODATA] = np.nan
    return values


def _steps(table: pa.Table, path: Path | str, pattern: str) -> NDArray[np.float64]:
    return np.stack([_numbers(table, path, pattern.format(t)) for t in range(STEPS)], axis=1)


def _crop(table: pa.Table, path: Path | str) -> NDArray[np.bool_]:
    codes = _numbers(table, path, "LANDCOVER_LABEL")
    bad = np.flatnonzero(~((codes >= LEGEND[0]) & (codes <= LEGEND[1])))
    if bad.size:
        raise WherefromError(
            f"{path}: LANDCOVER_LABEL of row {bad[0]} is {table['LANDCOVER_LABEL'][int(bad[0])]}, "
            f"no code of WorldCereal's legend ({LEGEND[0]} to {LEGEND[1]}); {bad.size:,} such rows"
        )
    crop: NDArray[np.bool_] = codes == CROP
    return crop


def _months(table: pa.Table, path: Path | str) -> NDArray[np.int64]:
    """Return the month of the middle of each first step, (N,), January being 0."""
    if "start_date" not in table.column_names:
        raise WherefromError(f"{path} lacks the column 'start_date': it is no WorldCereal table")
    dates = np.empty(table.num_rows, dtype="datetime64[D]")
    for row, text in enumerate(table["start_date"].to_pylist()):
        try:
            dates[row] = np.datetime64(text, "D")
        except ValueError:
            dates[row] = np.datetime64("NaT")
        if np.isnat(dates[row]):
            raise WherefromError(f"{path}: start_date of row {row} is {text!r}, no date")
    middle = dates + np.timedelta64(round(STEP_DAYS / 2), "D")
    return middle.astype("datetime64[M]").astype(np.int64) % 12
