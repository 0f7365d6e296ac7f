"""Grids: cells of the Earth by id, such as Sentinel-2 tiles; one file a kind."""

from wherefrom.earth.grids.base import AnyGrid, Grid, grid

__all__ = ["AnyGrid", "Grid", "grid"]
