"""How much land there is, and how much of it each label of a layer has.

Area is measured by counting the equal-area cells of the sphere whose middle lies on land. That
works for every layer alike, rasters and polygons, and for a region of one within the land of
another.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.earth.base import Layer
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.kept import keep
from wherefrom.earth.layers import layer, layer_key
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.keys import key_of
from wherefrom.progress import say

__all__ = ["LAND_KM2", "LAND_SHARE", "cells_on_land", "codes_of", "label_counts", "on_land"]

Floats = NDArray[np.float64]

#: Land without Antarctica, as share of the sphere, lakes included (measured; a test measures it).
LAND_SHARE = 0.2636
#: The same in square kilometres.
LAND_KM2 = LAND_SHARE * 4.0 * np.pi * EARTH_RADIUS_KM**2
#: All land of the continent Antarctica lies south of it (Bouvet Island, 54 S, is its outlier).
_SOUTH = -50.0
_CHUNK = 1 << 18
_VERSION = 2  # of what is kept in the cache


def on_land(
    lon: Floats, lat: Floats, layers: tuple[Layer, Layer] | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which places (degrees, shape (N,)) lie on land, and which of these on Antarctica.

    `layers` are land and continent, where they are open already.

    Raises
    ------
    WherefromError
        If the polygons cannot be had.

    Examples
    --------
    >>> on_land(np.array([13.4, -150.0, 0.0]), np.array([52.5, 0.0, -85.0]))
    (array([ True, False,  True]), array([False, False,  True]))
    """
    land, continent = layers or (layer("land"), layer("continent"))
    inside = codes_of(land, lon, lat) >= 0
    south = np.flatnonzero(inside & (lat < _SOUTH))
    frozen = np.zeros(len(lon), dtype=np.bool_)
    number = continent.labels.index("Antarctica")
    frozen[south] = continent.codes(lon[south], lat[south]) == number
    return inside, frozen


def label_counts(of: Layer, bands: int) -> NDArray[np.int64]:
    """Count the cells on land that each label of a layer has; once, then kept in the cache.

    `bands` is of `EqualAreaCells`: how fine the cells are. The counts have shape (2, labels + 1):
    row 0 without Antarctica, row 1 on it; the last entry is of cells without a label. Of n cells on
    land the error of a share p is at most that of as many random places, a standard deviation of
    sqrt(p (1 - p) / n).

    Raises
    ------
    WherefromError
        If the data of the layer or of the land cannot be had.
    """
    # A layer of one's own may keep its key and change its labels.
    key = key_of([_VERSION, bands, of.key, of.labels, *_land_keys()])
    short = of.name.rpartition("/")[2]  # that of a file may have slashes

    def make() -> NDArray[np.int64]:
        say(f"measuring the land area of each {short.replace('_', ' ')}, once")
        lon, lat, frozen = cells_on_land(bands)
        size = len(of.labels)
        codes = codes_of(of, lon, lat)
        places = [np.where(codes < 0, size, codes)[frozen == side] for side in (False, True)]
        return np.stack([np.bincount(codes, minlength=size + 1) for codes in places])

    name = f"land-{short}-{key}.npy"
    return keep(name, make, lambda values, path: np.save(path, values), np.load)


def _land_keys() -> tuple[str, str]:
    return layer_key("land"), layer_key("continent")


def cells_on_land(bands: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the middles of cells that lie on land, and which lie on Antarctica."""
    return _cells_on_land(bands, *_land_keys())


@lru_cache(maxsize=2)
def _cells_on_land(bands: int, *keys: str) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    cells = EqualAreaCells(bands)
    lon, lat = cells.centre(np.arange(cells.count))
    inside, frozen = on_land(lon, lat)
    return lon[inside], lat[inside], frozen[inside]


def codes_of(of: Layer, lon: Floats, lat: Floats) -> NDArray[np.int32]:
    """Look up many places on all cores."""
    pieces = [slice(start, start + _CHUNK) for start in range(0, len(lon), _CHUNK)]
    found = list(parallel.here(lambda piece: of.codes(lon[piece], lat[piece]), pieces))
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int32)
