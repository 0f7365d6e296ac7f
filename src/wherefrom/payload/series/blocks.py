"""Series that lie together, and what there is to know of them before they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wherefrom.pool.series import PixelSeries

__all__ = ["Block", "Cut"]


class Cut(NamedTuple):
    """The series of some rows of a block, (k,) int64: those that have any value."""

    rows: NDArray[np.int64]
    series: PixelSeries


@dataclass(frozen=True, eq=False)
class Block:
    """M series that memory holds, read when `cut` is called.

    Attributes
    ----------
    where : str
        For messages.
    ids : (M,) array of str
    lon, lat : (M,) array
        Degrees, as the data have them: not checked.
    cut : callable
        Reads all of them, so that what is refused does not depend on which are sought; raises a
        `WherefromError` where they are damaged.
    within : mapping of str to str
        What they have in common, such as the tile: columns of a pool.
    """

    where: str
    ids: NDArray[np.str_]
    lon: NDArray[Any]
    lat: NDArray[Any]
    cut: Callable[[], Cut]
    within: Mapping[str, str] = field(default_factory=dict)
