"""A pool as a stream: batches of places, the same whether it lies in memory or in files.

A pass over a pool asks for what it needs to see (`Ask`), runs over the pool's parts, each by
itself and in any process, and merges what it found in the order of the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.earth.footprints import areas_km2
from wherefrom.pool.time import Days
from wherefrom.progress import progress

__all__ = ["BLOCK", "PART", "AnyPool", "Ask", "Batch", "Part", "extents", "over"]

BLOCK = 1 << 20
"""Places in a batch: every batch but a pool's last has so many, and starts at a multiple of it."""

PART = 8 * BLOCK
"""Places in a part, as long as no row group of the files is larger."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Consecutive rows of a pool, at most `BLOCK`.

    Attributes
    ----------
    start : int
        Row of its first place in the pool.
    lon, lat : ndarray of float64, shape (B,)
        Degrees.
    ids : ndarray of int64 or str, shape (B,), or None
        If asked for.
    codes : dict of str to ndarray of int32, shape (B,)
        Of each label column or categorical layer asked for: position in the pool's
        ``labels(name)``, -1 for none.
    values : dict of str to ndarray of float64, shape (B,)
        Of each numeric column or value layer asked for; NaN for none.
    footprints : ndarray of shapely polygons, shape (B,), or None
        In degrees, within [-180, 180]; if asked for, and the pool has them.
    days : Days or None
        First and last day of each row; if asked for, and the pool is `timed`.
    """

    start: int
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    ids: NDArray[Any] | None = None
    codes: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    values: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    footprints: NDArray[Any] | None = None
    days: Days | None = None

    def __len__(self) -> int:
        return len(self.lon)

    @cached_property
    def areas_km2(self) -> NDArray[np.float64]:
        """Areas of the footprints, for a pass that asked for them."""
        assert self.footprints is not None
        return parallel.by_blocks(areas_km2, self.footprints)

    def asked_ids(self) -> NDArray[Any]:
        """Return the ids, for a pass that asked for them."""
        assert self.ids is not None
        return self.ids


@dataclass(frozen=True)
class Ask:
    """What a pass over a pool needs to see besides coordinates.

    `codes` are label columns or categorical layers, `values` numeric columns or value layers.

    >>> Ask(codes=("continent",)) | Ask(codes=("biome", "continent"), ids=True)
    Ask(codes=('continent', 'biome'), values=(), ids=True, footprints=False, days=False)
    """

    codes: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    ids: bool = False
    footprints: bool = False
    days: bool = False

    def __or__(self, other: Ask) -> Ask:
        """Ask for what either asks for, in the order of first mention."""
        return Ask(
            tuple(dict.fromkeys(self.codes + other.codes)),
            tuple(dict.fromkeys(self.values + other.values)),
            self.ids or other.ids,
            self.footprints or other.footprints,
            self.days or other.days,
        )


class Part(Protocol):
    """A piece of a pool that can be pickled: it opens its own file, or holds its own arrays.

    Ask the pool for the labels of a column before its parts travel to other processes, so that
    they take the labels along; a part of files without them reads the whole column of all files.
    """

    @property
    def start(self) -> int:
        """Row of its first place in the pool, a multiple of `BLOCK`."""
        ...

    def __len__(self) -> int: ...

    def batches(self, ask: Ask) -> Iterator[Batch]:
        """Give its places in order, `BLOCK` at a time."""
        ...


P = TypeVar("P", bound=Part)
R = TypeVar("R")


def over(parts: Sequence[P], function: Callable[[P], R], what: str) -> Iterator[R]:
    """Call a function on every part, several at a time, and give the results in their order.

    It can be pickled where there is a cluster. `what` is for the progress bar, which counts places.
    """
    with progress() as bar:
        task = bar.add_task(what, total=sum(len(part) for part in parts))
        results = parallel.in_order(function, parts)
        for part, result in zip(parts, results, strict=True):
            bar.update(task, advance=len(part))
            yield result


class AnyPool(Protocol):
    """What `Pool` (in memory) and `PoolScan` (files) have alike."""

    def __len__(self) -> int: ...

    @property
    def key(self) -> str:
        """Hash of ids and coordinates: 16 hexadecimal digits."""
        ...

    @property
    def origin(self) -> str:
        """How the places came about, in words; empty if not known."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the pool but no error."""
        ...

    @property
    def extended(self) -> bool:
        """Whether the places are the middles of footprints, of which `Batch` has the polygons."""
        ...

    @property
    def timed(self) -> bool:
        """Whether the rows have dates, of which `Batch` has the days."""
        ...

    def labels(self, name: str) -> tuple[str, ...]:
        """Labels of a column (those that occur, sorted) or of a categorical layer (all)."""
        ...

    def labels_key(self, name: str) -> str:
        """Hash of the labels of all places: equal labels, equal key, wherever they come from."""
        ...

    def counts(self, name: str) -> NDArray[np.int64] | None:
        """Places of each of ``labels(name)``, if that is known without a pass, else None."""
        ...

    def parts(self) -> Sequence[Part]:
        """Pieces that cover the pool in order; the same ones however many processes work."""
        ...

    def batches(self, ask: Ask) -> Iterator[Batch]:
        """Give all places in order, `BLOCK` at a time."""
        ...


def extents(
    pool: AnyPool,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any] | None]:
    """Read where all places of a pool are, degrees, and their footprints, if they have some."""
    batches = list(pool.batches(Ask(footprints=True)))
    lon, lat = (np.concatenate([getattr(b, name) for b in batches]) for name in ("lon", "lat"))
    shapes = [batch.footprints for batch in batches if batch.footprints is not None]
    return lon, lat, np.concatenate(shapes) if pool.extended else None
