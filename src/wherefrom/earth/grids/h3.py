"""H3's hexagons."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from wherefrom.earth.grids.base import DIGITS, Floats, Grid, Shapes, Texts, absent
from wherefrom.earth.grids.rings import geodesics

__all__ = ["H3"]


class H3(Grid):
    """H3 (Uber): hexagons and twelve pentagons of each of 16 resolutions; ids as text or int64.

    Needs the extra ``grids``. Edges are arcs of great circles.

    Attributes
    ----------
    resolution : int
        Of the cells that places are given: 0 (4.4 million km2) to 15 (0.9 m2).

    Examples
    --------
    >>> H3(resolution=4).cells([13.4], [52.5]).tolist()
    ['841f1d5ffffffff']
    """

    example: ClassVar[str] = "841f1d5ffffffff"
    looks: ClassVar[str] = "15 hexadecimal digits, or the same number as an integer"
    hexadecimal: ClassVar[bool] = True

    kind: str = "h3"
    resolution: int = Field(ge=0, le=15, default=5)

    def outlines(self, ids: pa.Array) -> Shapes:
        """Return the cells."""
        h3 = _library()
        texts = ids.to_pylist()
        fine = np.array(
            [bool(DIGITS.fullmatch(text)) and h3.is_valid_cell(text) for text in texts], dtype=bool
        )
        rings = [
            h3.cell_to_boundary(text) for text, is_one in zip(texts, fine, strict=True) if is_one
        ]
        cells = np.full(len(ids), None, dtype=object)
        if rings:
            lat, lon = np.array([corner for ring in rings for corner in ring]).T
            cells[fine] = geodesics(lon, lat, np.repeat(np.arange(len(rings)), [*map(len, rings)]))
        return cells

    def names(self, lon: Floats, lat: Floats) -> Texts:
        """Return the cells' ids as text."""
        h3 = _library()
        each = zip(lon.tolist(), lat.tolist(), strict=True)
        return np.array([h3.latlng_to_cell(y, x, self.resolution) for x, y in each], dtype=np.str_)


def _library() -> Any:
    try:
        import h3
    except ImportError as err:
        raise absent("h3", err) from err
    return h3
