"""A GeoTIFF in memory: its pixels, its names of bands, and the value that marks what is absent."""

from __future__ import annotations

import re
import struct
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

__all__ = ["DamagedError", "Tile", "decode"]

#: Letters of `struct` for the types of TIFF's tags that are read.
_LETTERS = {1: "B", 2: "s", 3: "H", 4: "I", 12: "d"}
#: Sample format and bits -> type of NumPy.
_TYPES = {(1, 8): "u1", (1, 16): "<u2", (2, 16): "<i2"}
#: None, LZW, Deflate, its older number, Zstandard.
_COMPRESSIONS = (1, 5, 8, 32946, 50000)
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _BANDS, _PLANAR = 256, 257, 258, 259, 277, 284
_STRIPS, _STRIP_ROWS, _STRIP_SIZES, _PREDICTOR = 273, 278, 279, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 322, 323, 324, 325
_FORMAT, _SCALE, _TIE, _GDAL, _NODATA = 339, 33550, 33922, 42112, 42113
_ONE_AT_A_TIME = threading.Lock()
_NAME = re.compile(r'<Item name="DESCRIPTION" sample="(\d+)" role="description">([^<]*)</Item>')


class DamagedError(Exception):
    """Why one tile cannot be used; the others can."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A tile as its file has it.

    Attributes
    ----------
    pixels : (C, H, W) array
        Values, or their differences from the left.
    names : tuple of str
        Of the bands; empty texts where the file gives none.
    nodata : float or None
        Value that marks what is absent.
    step : int
        Width of the blocks in which differences begin anew; 0: these are values.
    """

    pixels: NDArray[Any]
    names: tuple[str, ...]
    nodata: float | None = None
    step: int = 0

    def give(self, band: int, out: NDArray[Any]) -> None:
        """Write the values of a band's centre (h, w), at most (H, W)."""
        pixels = self.pixels[band]
        top, left = ((n - m) // 2 for n, m in zip(pixels.shape, out.shape, strict=True))
        area = np.s_[top : top + out.shape[0], left : left + out.shape[1]]
        if not self.step:
            out[:] = pixels[area]
            return
        made = out if out.shape == pixels.shape else np.empty_like(pixels)
        for start in range(0, pixels.shape[1], self.step):
            block = np.s_[:, start : start + self.step]
            np.add.accumulate(pixels[block], axis=1, out=made[block], dtype=pixels.dtype)
        if made is not out:
            out[:] = made[area]


def decode(content: bytes) -> Tile:
    """Decode a GeoTIFF.

    LZW and its like are undone by GDAL, one open a tile. Where pixels are interleaved, GDAL would
    then part the bands of whole blocks, half or three quarters of which lie beyond the image in
    the tiles of S2-100K (256 rows in blocks of 512). It is therefore shown the same bytes as one
    band of width x bands samples, and no more rows than there are; the differences of neighbours
    are summed up here.

    Raises
    ------
    DamagedError
        If it is torn, or no GeoTIFF.
    """
    if not content:
        raise DamagedError("is empty")
    try:
        tags = _tags(content)
        alike = _as_one_band(content, tags)
        names, nodata = _names(tags), _nodata(tags)
    except (struct.error, KeyError, IndexError, ValueError):  # unusual, or torn: GDAL will say
        alike = None
    try:
        if alike is not None:
            with MemoryFile(alike) as file, file.open(driver="GTiff") as one:
                width, height, bands = _sides(tags)
                pixels = one.read(1).reshape(height, width, bands).transpose(2, 0, 1)
            step = tags.get(_TILE_WIDTH, (width,))[0] if _predictor(tags) == 2 else 0
            return Tile(pixels, names, nodata, step)
        with MemoryFile(content) as file, _opened(file) as tile:
            names = tuple(name or "" for name in tile.descriptions)
            return Tile(tile.read(), names, tile.nodata)
    # A damaged header may ask for more than any memory.
    except (RasterioError, ValueError, MemoryError, OverflowError) as err:
        raise DamagedError("is torn, or no GeoTIFF") from err


def _opened(file: MemoryFile) -> Any:
    """Open without a word on georeference: a tile's place is that of its id."""
    quiet = warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)
    with _ONE_AT_A_TIME, quiet:  # which are the process's, not the thread's
        return file.open(driver="GTiff")


def _tags(content: bytes) -> dict[int, tuple[Any, ...]]:
    """Read the tags of a TIFF's first image; none of what is not little-endian with 32 bits."""
    tags: dict[int, tuple[Any, ...]] = {}
    if content[:4] != b"II*\0":
        return tags
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length, value = struct.unpack_from("<HHII", content, at)
        if kind in _LETTERS:
            form = f"<{length}{_LETTERS[kind]}"
            inside = struct.calcsize(form) <= 4
            tags[tag] = struct.unpack_from(form, content, at + 8 if inside else value)
    return tags


def _as_one_band(content: bytes, tags: Mapping[int, tuple[Any, ...]]) -> bytes | None:
    """Write another header before the file: pixels side by side in one band, no predictor.

    None where that is not the same: bands apart, other types, blocks that are absent.
    """
    if not tags:
        return None
    width, height, bands = _sides(tags)
    bits, forms = set(tags[_BITS]), set(tags.get(_FORMAT, (1,)))
    if (
        tags.get(_PLANAR, (1,))[0] != 1
        or len(bits) > 1
        or len(forms) > 1
        or (*forms, *bits) not in _TYPES
        or _predictor(tags) not in (1, 2)
        or tags[_COMPRESSION][0] not in _COMPRESSIONS
        or tags.get(266, (1,))[0] != 1  # order of bits
        or tags.get(262, (1,))[0] == 6  # colours apart from brightness, some of them left out
    ):
        return None
    tiled = _TILES in tags
    first, second = (_TILES, _TILE_SIZES) if tiled else (_STRIPS, _STRIP_SIZES)
    offsets, sizes = tags[first], tags[second]
    if len(offsets) != len(sizes) or not all(offsets) or not all(sizes):
        return None
    made: dict[int, tuple[int | float, ...]] = {
        _WIDTH: (width * bands,), _HEIGHT: (height,), _BITS: tuple(bits),
        _COMPRESSION: tags[_COMPRESSION], 262: (1,), _BANDS: (1,), _PLANAR: (1,),
        _FORMAT: tuple(forms), _SCALE: (1.0, 1.0, 0.0), _TIE: (0.0, 0.0, 0.0, 1.0, 1.0, 0.0),
    }  # fmt: skip
    if tiled:
        rows = tags[_TILE_HEIGHT][0]
        if rows > height:
            rows = -(-height // 16) * 16
        made |= {_TILE_WIDTH: (tags[_TILE_WIDTH][0] * bands,), _TILE_HEIGHT: (rows,)}
    else:
        made[_STRIP_ROWS] = tags.get(_STRIP_ROWS, (height,))
    end = 8 + 2 + 12 * (len(made) + 2) + 4
    length = end + 8 * 9 + 8 * len(offsets)  # the scale and the tie, and where blocks lie
    made |= {first: tuple(at + length for at in offsets), second: sizes}
    entries, beyond = b"", b""
    for tag in sorted(made):
        values = made[tag]
        kind = 12 if tag in (_SCALE, _TIE) else 4
        packed = struct.pack(f"<{len(values)}{_LETTERS[kind]}", *values)
        if len(packed) > 4:
            packed, beyond = struct.pack("<I", end + len(beyond)), beyond + packed
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed
    header = struct.pack("<4sIH", b"II*\0", 8, len(made)) + entries + bytes(4) + beyond
    return header.ljust(length, b"\0") + content


def _sides(tags: Mapping[int, tuple[Any, ...]]) -> tuple[int, int, int]:
    return tags[_WIDTH][0], tags[_HEIGHT][0], tags.get(_BANDS, (1,))[0]


def _predictor(tags: Mapping[int, tuple[Any, ...]]) -> int:
    """Return what was done before compressing; nothing where nothing is compressed."""
    return 1 if tags[_COMPRESSION][0] == 1 else int(tags.get(_PREDICTOR, (1,))[0])


def _names(tags: Mapping[int, tuple[Any, ...]]) -> tuple[str, ...]:
    names = [""] * tags.get(_BANDS, (1,))[0]
    for sample, text in _NAME.findall(tags.get(_GDAL, (b"",))[0].decode("utf-8", "replace")):
        names[int(sample)] = unescape(unescape(text))  # GDAL escapes it twice
    return tuple(names)


def _nodata(tags: Mapping[int, tuple[Any, ...]]) -> float | None:
    text = tags.get(_NODATA, (b"",))[0].decode("ascii", "replace").strip("\0 ")
    return float(text) if text else None
