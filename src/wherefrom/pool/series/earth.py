"""Presto-shaped series of any place from the Earth layers: climate, relief and land cover."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom import earth
from wherefrom.earth.base import checked_places
from wherefrom.pool.series.pixels import DW_CLASSES, PixelSeries

__all__ = ["DYNAMIC_WORLD_OF", "SERIES_LAYERS", "earth_series"]

#: Layers that the series are made of, for keys and citations; the last only with land cover.
SERIES_LAYERS = ("temperature", "precipitation", "elevation", "slope", "land_cover")

#: Dynamic World class (Brown et al. 2022) of each IGBP class (the layer land_cover).
DYNAMIC_WORLD_OF = MappingProxyType(
    {
        "Water Bodies": "water",
        "Evergreen Needleleaf Forests": "trees",
        "Evergreen Broadleaf Forests": "trees",
        "Deciduous Needleleaf Forests": "trees",
        "Deciduous Broadleaf Forests": "trees",
        "Mixed Forests": "trees",
        "Closed Shrublands": "shrub_and_scrub",
        "Open Shrublands": "shrub_and_scrub",
        # Trees over 30 to 60 % of the ground; over 10 to 30 % below.
        "Woody Savannas": "trees",
        "Savannas": "shrub_and_scrub",
        "Grasslands": "grass",
        "Permanent Wetlands": "flooded_vegetation",
        "Croplands": "crops",
        "Urban and Built-up Lands": "built",
        # 40 to 60 % small fields: positives of the task, as the layer cropland has them.
        "Cropland/Natural Vegetation Mosaics": "crops",
        "Permanent Snow and Ice": "snow_and_ice",
        "Barren": "bare",
    }
)

_ZERO_CELSIUS = 273.15
_DAYS = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.float32)
# The altitude raster ends at 85 degrees; this lies inside its last row.
_LAST_LAT = 84.99


def earth_series(lon: ArrayLike, lat: ArrayLike, land_cover: bool = True) -> PixelSeries:
    """Return the climate, relief and land cover of places as series that Presto can read.

    Twelve steps, January to December, of ERA5's climatology 2000-2025; Sentinel-1, Sentinel-2 and
    NDVI are absent. No value is missing.

    Parameters
    ----------
    lon, lat : (N,) array_like
        Degrees, within [-180, 180] and [-90, 90].
    land_cover : bool
        Give each place the Dynamic World class of its MODIS IGBP class (`DYNAMIC_WORLD_OF`), the
        same in all months. Leave it out where land cover is what a task asks for.

    Returns
    -------
    PixelSeries
        N series of 12 steps: temperature in K; precipitation in m a day; elevation in m; slope in
        degrees.

    Raises
    ------
    WherefromError
        If a coordinate is NaN or out of range, or the data of a layer cannot be had.

    Notes
    -----
    Precipitation is the mean of daily totals, as in Presto's published series (see `PixelSeries`),
    not the monthly sum of the layer, which would be 30 times as much.

    Where the altitude raster has no value, a place is at the level of the sea and flat (shores,
    small islands); beyond 85 degrees it has the relief of the same meridian at 85 degrees.

    The slope is that of terrain smoothed over 18 km, a third of the 20 m slopes that Presto was
    published with (:class:`wherefrom.earth.terrain.Slope`). It is not stretched to match them.

    Examples
    --------
    >>> series = earth_series([10.0, -65.0], [24.0, -5.0])
    >>> series.present
    ('temperature_2m', 'total_precipitation', 'elevation', 'slope')
    >>> [DW_CLASSES[code] for code in series.dynamic_world[:, 0]]
    ['bare', 'trees']
    """
    lon, lat = checked_places(lon, lat)
    within = np.clip(lat, -_LAST_LAT, _LAST_LAT)
    bands: dict[str, NDArray[np.float32]] = {
        "temperature_2m": earth.layer("temperature")(lon, lat) + np.float32(_ZERO_CELSIUS),
        "total_precipitation": earth.layer("precipitation")(lon, lat) / (1000.0 * _DAYS),
        "elevation": np.nan_to_num(earth.layer("elevation")(lon, within), nan=0.0),
        "slope": np.nan_to_num(earth.layer("slope")(lon, within), nan=0.0),
    }
    classes = None
    if land_cover:
        cover = earth.layer("land_cover")
        of_code = [DW_CLASSES.index(DYNAMIC_WORLD_OF[label]) for label in cover.labels]
        one = np.array(of_code, dtype=np.uint8)[cover.codes(lon, lat)]
        classes = np.broadcast_to(one[:, None], bands["temperature_2m"].shape)
    # Of the Choco's rain, up to 0.09 m a day there, one would think that it is of months.
    return PixelSeries.from_bands(
        bands, lon, lat, month=0, dynamic_world=classes, units_stated=True
    )
