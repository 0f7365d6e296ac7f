"""Small shards in the layout of Presto's, whose numbers tell the pixel and the month."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.pool.series import BANDS
from wherefrom.pool.series.shards import MEMBERS

PIXELS = 50
VALUES, CLASSES, LATLON = MEMBERS
Members = dict[str, NDArray[Any] | bytes]


def tile(number: int, pixels: int = PIXELS) -> Members:
    """Make a tile whose elevation is its number, and B2 the step since January 2020."""
    raw = np.full((pixels, 24, 18), 300.0)
    raw[:, :, :2] = -12.0
    raw[:, :, BANDS.index("B2")] = 100.0 + np.arange(24)
    raw[:, :, BANDS.index("total_precipitation")] = 0.003
    raw[:, :, BANDS.index("elevation")] = number
    raw[:, :, BANDS.index("slope")] = np.arange(pixels)[:, None] % 90
    classes = np.tile(np.arange(24, dtype=np.uint8) % 9, (pixels, 1))
    latlon = np.stack([np.full(pixels, 5.0), np.full(pixels, number / 10.0)], axis=1)
    return {VALUES: raw, CLASSES: classes, LATLON: latlon}


def shard(path: Path, tiles: Mapping[str, Members]) -> Path:
    """Write a tar as webdataset does: one key a tile, one member an array."""
    with tarfile.open(path, "w") as archive:
        for key, members in tiles.items():
            for name, content in members.items():
                if not isinstance(content, bytes):
                    stream = io.BytesIO()
                    np.save(stream, content)
                    content = stream.getvalue()
                about = tarfile.TarInfo(f"{key}.{name}")
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
    return path


def claimed(values: int) -> bytes:
    """Return an array whose header claims more values than there are."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": "<f8", "fortran_order": False, "shape": (values,)}
    )
    return out.getvalue() + bytes(800)
