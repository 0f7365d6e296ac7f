"""WorldCereal's labelled pixels: Sentinel-1 and -2, weather and terrain, crop or not."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool.series.worldcereal import Pixels, worldcereal_pixels
from wherefrom.shown import count_of
from wherefrom.tasks.labelled import LabelledSeries
from wherefrom.tasks.table import label_series

__all__ = ["worldcereal"]

#: Temporary crops in the legends: of the column, its least and highest code, and those of crops.
LEGENDS = {
    "LANDCOVER_LABEL": (10, 99, 11, 11),
    "ewoc_code": (1_000_000_000, 9_999_999_999, 1_100_000_000, 1_199_999_999),
}


def worldcereal(
    path: Path | str,
    region_layer: str = "continent",
    seed: int = 0,
    block_km: float | None = None,
) -> LabelledSeries:
    """Read a WorldCereal table of pixels as a crop or not crop task with its series.

    Crop is temporary crops: LANDCOVER_LABEL 11, or ewoc_code 1100000000 to 1199999999; everything
    else, also perennial crops (12) and cropland of unknown kind (10), is the other class.

    Parameters
    ----------
    path : Path or str
        Parquet with a row a pixel and columns such as ``OPTICAL-B02-ts0-10m``, labelled by
        LANDCOVER_LABEL or ewoc_code; or with a row a pixel and month, and columns such as
        ``S2-L2A-B02``, sample_id, timestamp and ewoc_code.
    region_layer : str
        Layer whose labels are the regions, or ``"all"`` for one region that holds every place.
    seed : int
        Seed of the split into train, test and the two for tuning (`from_table`).
    block_km : float, optional
        Split cells of about this size instead of places.

    Returns
    -------
    LabelledSeries
        Series as of `worldcereal_pixels`; pixels without an ewoc_code (0) are left out, with a
        warning.

    Raises
    ------
    WherefromError
        As `worldcereal_pixels`; or if a label is not of the legend.
    """
    pixels, series = worldcereal_pixels(path)
    crop = _crop(pixels, path)
    about = {"made": "of WorldCereal's pixels", "source": str(path)}
    unknown = np.flatnonzero(np.isnan(crop))
    if unknown.size:
        warnings.warn(
            f"{path}: {unknown.size:,} of {len(series):,} pixels have no ewoc_code and are left "
            f"out, first {unknown[0]}",
            stacklevel=2,
        )
        kept = np.flatnonzero(~np.isnan(crop))
        series, crop = series.take(kept), crop[kept]
    return label_series(
        "worldcereal", series, crop == 1, "crop", region_layer, seed, about, block_km
    )


def _crop(pixels: Pixels, path: Path | str) -> NDArray[np.float64]:
    """Tell which pixels are temporary crops: 1 or 0, NaN for those without a label."""
    name = next((name for name in LEGENDS if name in pixels.table.column_names), pixels.label)
    low, high, least, most = LEGENDS[name]
    codes = pixels.fixed(name)
    none = (codes == 0) | np.isnan(codes) if name == "ewoc_code" else np.zeros(len(codes), bool)
    bad = np.flatnonzero(~((codes >= low) & (codes <= high) | none))
    if bad.size:
        row = int(pixels.rows[bad[0]])
        raise WherefromError(
            f"{path}: {name} of row {row} is {pixels.table[name][row]}, "
            f"no code of WorldCereal's legend ({low} to {high}); {count_of(bad.size, 'such row')}"
        )
    return np.where(none, np.nan, (codes >= least) & (codes <= most))
