"""S2's cells."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from wherefrom.earth.grids.base import DIGITS, Floats, Grid, Shapes, Texts, absent
from wherefrom.earth.grids.rings import geodesics

__all__ = ["S2"]


class S2(Grid):
    """S2 (Google): six faces of a cube, halved both ways 30 times; ids as tokens or 64-bit numbers.

    Needs the extra ``grids``. Edges are arcs of great circles.

    Attributes
    ----------
    level : int
        Of the cells that places are given: 0 (85 million km2) to 30 (0.7 cm2).

    Examples
    --------
    >>> S2(level=10).cells([13.4], [52.5]).tolist()
    ['47a84f']
    """

    example: ClassVar[str] = "47a84f"
    looks: ClassVar[str] = "tokens of up to 16 hexadecimal digits, or 64-bit integers"
    hexadecimal: ClassVar[bool] = True

    kind: str = "s2"
    level: int = Field(ge=0, le=30, default=10)

    def outlines(self, ids: pa.Array) -> Shapes:
        """Return the cells."""
        s2 = _library()
        cells = np.full(len(ids), None, dtype=object)
        fine, corners = [], []
        for at, text in enumerate(ids.to_pylist()):
            if not DIGITS.fullmatch(text):
                continue
            if not (one := s2.S2CellId(int(text.ljust(16, "0"), 16))).is_valid():
                continue
            fine.append(at)
            vertices = map(s2.S2Cell(one).GetVertex, range(4))
            corners += [(vertex.x(), vertex.y(), vertex.z()) for vertex in vertices]
        if fine:
            x, y, z = np.array(corners).T
            lon, lat = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
            cells[fine] = geodesics(lon, lat, np.repeat(np.arange(len(fine)), 4))
        return cells

    def names(self, lon: Floats, lat: Floats) -> Texts:
        """Return the cells' tokens."""
        s2 = _library()
        each = (
            s2.S2CellId(s2.S2LatLng.FromDegrees(y, x)).parent(self.level).ToToken()
            for x, y in zip(lon.tolist(), lat.tolist(), strict=True)
        )
        return np.array([*each], dtype=np.str_)


def _library() -> Any:
    try:
        import s2geometry
    except ImportError as err:
        raise absent("s2", err) from err
    return s2geometry
