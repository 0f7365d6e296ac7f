"""What is derived from a source and slow to derive, kept in the cache."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import shapely

from wherefrom.earth.fetch import cache_folder
from wherefrom.earth.lookup import PolygonIndex
from wherefrom.errors import WherefromError
from wherefrom.files import atomic, seal, unsealed
from wherefrom.keys import key_of
from wherefrom.progress import say

__all__ = ["MANY_VERTICES", "keep", "polygon_index"]

Made = TypeVar("Made")

#: From here on building takes longer than some 3 s, and reading the kept index a twentieth.
MANY_VERTICES = 1_000_000


def keep(
    name: str,
    make: Callable[[], Made],
    write: Callable[[Made, Path], None],
    read: Callable[[BinaryIO], Made],
) -> Made:
    """Read what was derived before; else derive it and keep it for the next time.

    `name` is that of the file in the cache: it tells the contents of the source and the maker's
    version. A file that is not as it was written is derived again, which is said; where the cache
    cannot be written, nothing is kept.
    """
    path = cache_folder() / "kept" / name
    if path.is_file():
        try:
            return read(io.BytesIO(unsealed(path)))
        except (OSError, ValueError) as err:
            say(f"{path} is damaged ({err}); making it again")
    made = make()
    try:
        with atomic(path) as tmp:
            write(made, tmp)
            seal(tmp)
    except WherefromError as err:
        say(f"note: {err}. It is not needed now, only made again the next time")
    return made


def polygon_index(name: str, shapes: Sequence[Any], digest: str) -> PolygonIndex:
    """Build the index of polygons, or read it back if it was slow to build.

    `name` is for the message and the file; `digest` that of the file the polygons were read from.
    """
    vertices = int(shapely.get_num_coordinates(shapes).sum())
    if vertices < MANY_VERTICES:
        return PolygonIndex(shapes)

    def make() -> PolygonIndex:
        say(f"indexing {name}: {vertices / 1e6:.1f} million vertices, once")
        return PolygonIndex(shapes)

    # Arrays and WKB: a pickle from elsewhere would run what it likes.
    file = f"{name}-{key_of([digest, *_makers()])}.npz"
    return keep(file, make, PolygonIndex.save, PolygonIndex.load)


def _makers() -> list[str]:
    """Return what else decides the bytes: the index's own code and the libraries in it."""
    code = hashlib.sha256()
    package = resources("wherefrom.earth.lookup")
    for item in sorted(package.iterdir(), key=lambda entry: entry.name):
        if item.name.endswith(".py"):
            code.update(item.read_bytes())
    return [code.hexdigest(), np.__version__, shapely.__version__, shapely.geos_version_string]
