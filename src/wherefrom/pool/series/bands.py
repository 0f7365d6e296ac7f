"""Bands of a pixel time series: names, order, units, and the checks of what is given for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.errors import WherefromError

__all__ = ["BANDS", "DW_CLASSES", "NO_CLASS", "check_units", "codes", "reals"]

#: Bands in CropHarvest's order (Tseng et al. 2021): Sentinel-1, Sentinel-2, ERA5, SRTM, NDVI.
BANDS = (
    "VV", "VH", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12",
    "temperature_2m", "total_precipitation", "elevation", "slope", "NDVI",
)  # fmt: skip

#: Dynamic World's classes (Brown et al. 2022); the code of a class is its position.
DW_CLASSES = (
    "water", "trees", "grass", "flooded_vegetation", "crops", "shrub_and_scrub", "built", "bare",
    "snow_and_ice",
)  # fmt: skip

#: Code of a step without a Dynamic World class.
NO_CLASS = 9

#: Where a band's median lies on land and sea, and its unit. Median, since single values may be odd.
_USUAL: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(BANDS[0:2], (-60.0, 20.0, "dB")),
    **dict.fromkeys(BANDS[2:13], (2.0, 20_000.0, "reflectance x 10,000")),
    "temperature_2m": (180.0, 340.0, "K"),
    "total_precipitation": (0.0, 0.03, "m of water a day"),
    "elevation": (-500.0, 9_000.0, "m"),
    "slope": (0.0, 90.0, "degrees"),
}
#: Rows looked at, evenly spaced, when units are checked.
_SAMPLE = 2_000


def reals(name: str, given: ArrayLike, dtype: Any) -> NDArray[Any]:
    """Return numbers as an array of `dtype`, or say that they are none."""
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: refused later
            return np.asarray(given).astype(dtype, copy=False)
    except (ValueError, TypeError) as err:
        raise WherefromError(f"pixel series: {name} is not an array of numbers: {err}") from err


def codes(name: str, given: ArrayLike, highest: int, dtype: type) -> NDArray[Any]:
    """Return codes 0..highest as `dtype`, after they were checked: a cast alone would wrap."""
    values = reals(name, given, np.asarray(given).dtype)
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


def check_units(raw: NDArray[np.float32]) -> None:
    """Refuse bands whose median no place on Earth has: wrong unit, or wrong order of bands."""
    some = raw[:: max(1, len(raw) // _SAMPLE)]
    for name, (low, high, unit) in _USUAL.items():
        values = some[:, :, BANDS.index(name)]
        values = values[~np.isnan(values)]
        median = float(np.median(values)) if values.size else low
        if not low <= median <= high:
            raise WherefromError(
                f"band {name}: the median is {median:g}, not within {low:g} to {high:g} {unit}; "
                "is the unit or the order of the bands another?"
            )
