"""Tiles of ESA WorldCover."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wherefrom.earth.grids.base import Floats, Grid, Shapes, Texts, parted, signed
from wherefrom.earth.grids.rings import boxes

__all__ = ["WorldCover"]

#: Southern edges of the first and the last row of tiles, and the side of a tile, in degrees.
_FIRST, _LAST, _SIDE = -60, 81, 3


class WorldCover(Grid):
    """ESA WorldCover's tiles of 3 by 3 degrees, named by their south-west corner, such as N00E006.

    Examples
    --------
    >>> WorldCover().cells([-70.7], [-33.4]).tolist()
    ['S36W072']
    """

    example: ClassVar[str] = "N00E006"
    looks: ClassVar[str] = "the south-west corner of a tile in whole degrees, multiples of 3"
    without: ClassVar[str] = f"tiles go from {-_FIRST} S to {_LAST + _SIDE} N"

    kind: str = "worldcover"

    def outlines(self, ids: pa.Array) -> Shapes:
        """Return the tiles."""
        ids = pc.utf8_upper(ids)
        found = parted(ids, r"(?P<ns>[NS])(?P<lat>\d{2})(?P<ew>[EW])(?P<lon>\d{3})")
        lon = np.nan_to_num(signed(found["lon"], found["ew"], "W"))
        lat = np.nan_to_num(signed(found["lat"], found["ns"], "S"))
        # What is no corner of a tile, or its second name, as W000 is, is not its name.
        fine = (np.abs(lon + _SIDE / 2) < 180.0) & (
            self.names(lon, lat) == ids.to_numpy(zero_copy_only=False)
        )
        return boxes(lon, lat, lon + _SIDE, lat + _SIDE, fine)

    def names(self, lon: Floats, lat: Floats) -> Texts:
        """Return the tiles' names."""
        west, south = (_SIDE * np.floor(one / _SIDE).astype(int) for one in (lon, lat))
        names = [
            f"{'NS'[y < 0]}{abs(y):02d}{'EW'[x < 0]}{abs(x):03d}" if _FIRST <= y <= _LAST else ""
            for x, y in zip(west.tolist(), south.tolist(), strict=True)
        ]
        return np.array(names, dtype=np.str_)
