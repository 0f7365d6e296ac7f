"""Pixel time series: the payload of a pool or of a task for models such as Presto."""

from wherefrom.pool.series.earth import SERIES_LAYERS, earth_series
from wherefrom.pool.series.pixels import BANDS, DW_CLASSES, NO_CLASS, PixelSeries
from wherefrom.pool.series.shards import ShardStream

__all__ = [
    "BANDS",
    "DW_CLASSES",
    "NO_CLASS",
    "SERIES_LAYERS",
    "PixelSeries",
    "ShardStream",
    "earth_series",
]
