"""Pixel time series: the payload of a pool or of a task for models such as Presto."""

from wherefrom.pool.series.pixels import BANDS, DW_CLASSES, NO_CLASS, PixelSeries

__all__ = ["BANDS", "DW_CLASSES", "NO_CLASS", "PixelSeries"]
