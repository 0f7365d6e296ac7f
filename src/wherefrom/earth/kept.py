"""Polygon indexes of detailed maps, kept in the cache: building one takes many seconds."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from importlib.resources import files as resources
from typing import Any

import numpy as np
import shapely

from wherefrom.earth.fetch import cache_folder
from wherefrom.earth.lookup import PolygonIndex
from wherefrom.files import atomic
from wherefrom.keys import key_of
from wherefrom.progress import console

__all__ = ["MANY_VERTICES", "polygon_index"]

#: From here on building takes longer than some 3 s, and reading the kept index a twentieth.
MANY_VERTICES = 1_000_000


def polygon_index(name: str, shapes: Sequence[Any], digest: str) -> PolygonIndex:
    """Build the index of polygons, or read it back if it was slow to build.

    Parameters
    ----------
    name : str
        For the message and the file's name.
    shapes : sequence of shapely polygons
    digest : str
        Checksum of the file the polygons were read from.

    Returns
    -------
    PolygonIndex

    Examples
    --------
    >>> import shapely
    >>> polygon_index("squares", [shapely.box(0, 0, 1, 1)], "0").query([0.5, 2.0], [0.5, 0.5])
    array([ 0, -1], dtype=int32)
    """
    vertices = int(shapely.get_num_coordinates(shapes).sum())
    if vertices < MANY_VERTICES:
        return PolygonIndex(shapes)
    kept = cache_folder() / "derived" / f"{name}-{key_of([digest, *_makers()])}.pickle"
    if kept.is_file():
        with kept.open("rb") as stream:
            index: PolygonIndex = pickle.load(stream)
        return index
    console.print(
        f"indexing {name}: {vertices / 1e6:.1f} million vertices, once",
        markup=False,
        soft_wrap=True,
    )
    index = PolygonIndex(shapes)
    with atomic(kept) as tmp, tmp.open("wb") as stream:
        pickle.dump(index, stream, protocol=5)
    return index


def _makers() -> list[str]:
    """Return what else decides the bytes: the index's own code and the libraries in it."""
    code = hashlib.sha256()
    package = resources("wherefrom.earth.lookup")
    for item in sorted(package.iterdir(), key=lambda entry: entry.name):
        if item.name.endswith(".py"):
            code.update(item.read_bytes())
    return [code.hexdigest(), np.__version__, shapely.__version__, shapely.geos_version_string]
