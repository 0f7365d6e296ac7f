"""Geohash: cells of degrees, halved in turn by longitude and latitude."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from wherefrom.earth.grids.base import Floats, Grid, Shapes, Texts
from wherefrom.earth.grids.rings import boxes

__all__ = ["Geohash", "decoded", "encoded"]

#: A letter stands for five bits, the first for longitude, the next for latitude, and so on.
_LETTERS = np.frombuffer(b"0123456789bcdefghjkmnpqrstuvwxyz", dtype=np.uint8)
_LONGEST = 12
_VALUES = np.full(256, -1, dtype=np.int64)
_VALUES[_LETTERS] = np.arange(32)


class Geohash(Grid):
    """Geohash (Niemeyer 2008): 1 to 12 digits and letters, 32 parts of a cell with each.

    Attributes
    ----------
    length : int
        Letters of the ids that places are given.

    Examples
    --------
    >>> Geohash(length=5).cells([-5.6], [42.6]).tolist()
    ['ezs42']
    >>> Geohash().shapes(["ezs42"])[0].bounds
    (-5.625, 42.5830078125, -5.5810546875, 42.626953125)
    """

    example: ClassVar[str] = "u33dc0"
    looks: ClassVar[str] = "1 to 12 digits and letters, without a, i, l and o"

    kind: str = "geohash"
    length: int = Field(ge=1, le=_LONGEST, default=6)

    def outlines(self, ids: pa.Array) -> Shapes:
        """Return the cells."""
        west, south, width, height = decoded(ids)
        return boxes(west, south, west + width, south + height, ~np.isnan(west))

    def names(self, lon: Floats, lat: Floats) -> Texts:
        """Return the cells' ids."""
        return encoded(lon, lat, self.length)


def decoded(ids: pa.Array) -> tuple[Floats, Floats, Floats, Floats]:
    """Return west, south, width and height of cells, degrees; NaN where a text is none.

    >>> [float(edge[0]) for edge in decoded(pa.array(["u"]))]
    [0.0, 45.0, 45.0, 45.0]
    """
    length = np.asarray(pc.binary_length(ids))
    # What is no ASCII, or too long, is none.
    fine = np.asarray(pc.string_is_ascii(ids)) & (length > 0) & (length <= _LONGEST)
    texts = np.where(fine, ids.to_numpy(zero_copy_only=False), "").astype(f"S{_LONGEST}")
    values = _VALUES[np.char.lower(texts).view(np.uint8).reshape(-1, _LONGEST)]
    fine &= ((values >= 0) | (np.arange(_LONGEST) >= length[:, None])).all(axis=1)
    number = np.zeros((2, len(ids)), dtype=np.int64)  # of longitude, of latitude
    for at in range(_LONGEST):
        live = at < length
        for bit in range(5):
            one = number[(5 * at + bit) % 2]
            one[live] = one[live] << 1 | (values[live, at] >> (4 - bit)) & 1
    width, height = 360.0 / 2.0 ** ((5 * length + 1) // 2), 180.0 / 2.0 ** (5 * length // 2)
    west = np.where(fine, number[0] * width - 180.0, np.nan)
    return west, number[1] * height - 90.0, width, height


def encoded(lon: Floats, lat: Floats, length: int) -> Texts:
    """Return the ids, of so many letters, of the cells that hold places in degrees.

    >>> encoded(np.array([-5.6]), np.array([42.6]), 5).tolist()
    ['ezs42']
    """
    bits = [(5 * length + 1) // 2, 5 * length // 2]
    number = [
        np.clip(np.floor(share * 2.0**count), 0, 2**count - 1).astype(np.int64)
        for share, count in zip(((lon + 180.0) / 360.0, (lat + 90.0) / 180.0), bits, strict=True)
    ]
    letters = np.zeros((len(lon), length), dtype=np.int64)
    for at in range(5 * length):
        bits[at % 2] -= 1
        letters[:, at // 5] = letters[:, at // 5] << 1 | number[at % 2] >> bits[at % 2] & 1
    return _LETTERS[letters].view(f"S{length}").reshape(-1).astype(np.str_)
