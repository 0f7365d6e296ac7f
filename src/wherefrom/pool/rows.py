"""Some rows of a pool in files, as a pool: what a mask keeps, seen through its parts."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool.batches import BLOCK, Ask, Batch, over
from wherefrom.pool.digest import key_of_blocks, labels_digest
from wherefrom.pool.places import Pool
from wherefrom.pool.scan import IN_MEMORY, PoolScan, ScanPart, loaded

__all__ = ["PoolRows"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PoolRows:
    """Some places of a pool in files, numbered from 0 on; nothing is copied but a bit a place.

    Attributes
    ----------
    whole : PoolScan
        The pool, with whose labels these places are labelled, also those that none of them has.
    masks : tuple of ndarray of uint8
        Of each part of it, which of its places are kept, 8 in a byte.
    key : str
        Of the pool and of what is kept of it.
    """

    whole: PoolScan
    masks: tuple[NDArray[np.uint8], ...]
    key: str
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, whole: PoolScan, masks: Sequence[NDArray[np.uint8]]) -> PoolRows:
        """Keep of each part of a pool the places that are marked, as `numpy.packbits` does."""
        return cls(whole, tuple(masks), key_of_blocks(whole.key, (m.tobytes() for m in masks)))

    def __len__(self) -> int:
        return sum(self._sizes)

    @cached_property
    def _sizes(self) -> list[int]:
        return [int(np.bitwise_count(mask).sum()) for mask in self.masks]

    @property
    def path(self) -> Path:
        """The folder or file of the whole pool."""
        return self.whole.path

    @property
    def origin(self) -> str:
        """How the places of the whole pool came about."""
        return self.whole.origin

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the other columns than ids and coordinates."""
        return self.whole.columns

    @property
    def extended(self) -> bool:
        """Whether the places are the middles of footprints."""
        return self.whole.extended

    @property
    def timed(self) -> bool:
        """Whether the rows have dates."""
        return self.whole.timed

    def labels(self, name: str) -> tuple[str, ...]:
        """Return the labels of the whole pool's column (those that occur) or of a layer (all)."""
        return self.whole.labels(name)

    def counts(self, name: str) -> NDArray[np.int64] | None:
        """Return None: a pass must count what is left."""
        return None

    def labels_key(self, name: str) -> str:
        """Hash of the labels of all places, as if they were a pool; needs a pass."""
        labels = self.labels(name)
        look = partial(_codes, ask=Ask(codes=(name,)))
        pieces = over(self.parts(), look, f"labels of {name}")
        digests = (labels_digest(block, labels) for block in _blocks(pieces))
        return key_of_blocks(f"{len(self)}", digests)

    def parts(self) -> Sequence[RowsPart]:
        """Return pieces that cover the places in order: what is kept of each of the pool's parts.

        They start anywhere, not at multiples of `BLOCK`.
        """
        starts = accumulate(self._sizes, initial=0)
        pieces = zip(self.whole.parts(), self.masks, starts, self._sizes, strict=False)
        return [RowsPart(*piece) for piece in pieces if piece[-1]]

    def batches(self, ask: Ask) -> Iterator[Batch]:
        """Give all places in order, at most `BLOCK` at a time, with what is asked for."""
        for part in self.parts():
            yield from part.batches(ask)

    def load(self) -> Pool:
        """Read the places into memory.

        Raises
        ------
        WherefromError
            If there are more than `IN_MEMORY`.
        """
        if len(self) > IN_MEMORY:
            raise WherefromError(
                f"{len(self):,} places of {self.path} are left, more than the {IN_MEMORY:,} that "
                f"are read into memory: draw a smaller pool first: wherefrom draw "
                f"{shlex.quote(str(self.path))} --sampler uniform -n 1000000 --places --out "
                "thin.parquet"
            )
        tables = (table for part in self.parts() for table in part.tables())
        return loaded(tables, self.path, (), self.origin, self.whole.reading.time)


@dataclass(frozen=True, eq=False)
class RowsPart:
    """What is kept of a part of a `PoolScan`; it can be pickled."""

    part: ScanPart
    mask: NDArray[np.uint8]
    start: int
    count: int

    def __len__(self) -> int:
        return self.count

    def batches(self, ask: Ask) -> Iterator[Batch]:
        """Give its places in order, at most `BLOCK` at a time."""
        start = self.start
        for batch in self.part.batches(ask):
            rows = np.flatnonzero(self._kept(batch.start, len(batch)))
            if len(rows):
                yield _taken(batch, rows, start)
            start += len(rows)

    def tables(self) -> Iterator[pa.Table]:
        """Give id, lon, lat and the other columns of its places."""
        for start, table in self.part.tables():
            yield table.filter(pa.array(self._kept(start, len(table))))

    def _kept(self, start: int, size: int) -> Bools:
        """Unpack what is kept of some rows of the whole pool, which blocks start at."""
        first = start - self.part.start
        kept = np.unpackbits(self.mask[first // 8 : (first + size + 7) // 8], count=size)
        return kept.view(np.bool_)


def _taken(batch: Batch, rows: NDArray[np.int64], start: int) -> Batch:
    return Batch(
        start,
        batch.lon[rows],
        batch.lat[rows],
        None if batch.ids is None else batch.ids[rows],
        {name: codes[rows] for name, codes in batch.codes.items()},
        {name: values[rows] for name, values in batch.values.items()},
        None if batch.footprints is None else batch.footprints[rows],
        None if batch.days is None else batch.days.take(rows),
    )


def _codes(part: RowsPart, ask: Ask) -> NDArray[np.int32]:
    (name,) = ask.codes
    return np.concatenate([batch.codes[name] for batch in part.batches(ask)])


def _blocks(pieces: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Cut consecutive pieces of any length anew, into blocks of `BLOCK`."""
    held: NDArray[Any] | None = None
    for piece in pieces:
        held = piece if held is None else np.concatenate([held, piece])
        whole = len(held) // BLOCK * BLOCK
        yield from (held[at : at + BLOCK] for at in range(0, whole, BLOCK))
        held = held[whole:]
    if held is not None and len(held):
        yield held
