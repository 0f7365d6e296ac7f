"""Passes over a pool of any size: count the strata, draw from them, find listed places.

Each pass runs over the pool's parts, several at a time, here or on a cluster, and merges what it
found in their order: the same result from one thread, many threads, or many machines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.design import Sample, Smallest, near
from wherefrom.compose.strata import Groups, Ints
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import BLOCK, AnyPool, Ask, Part, over
from wherefrom.pool.tables import rows_of

__all__ = ["Found", "count", "find", "rows_with", "select"]

#: State of a PCG64.
Stream = Any

# Keys up to here are counted and looked up by a table, larger ones by sorting.
_TABLE = 4 * BLOCK


def count(pool: AnyPool, groups: Groups) -> tuple[Ints, Ints]:
    """Count the places of each group: keys that occur, ascending, and sizes, int64 (H,)."""
    known = groups.counts(pool)
    if known is not None:
        return known
    _learn_labels(pool, groups.ask)
    tables: list[tuple[Ints, Ints]] = []
    for table in over(pool.parts(), partial(_count, groups=groups), "counting strata"):
        tables.append(table)
        if sum(len(keys) for keys, _ in tables[1:]) > _TABLE:
            tables = [_added(tables)]
    return _added(tables)


def select(
    pool: AnyPool,
    groups: Groups,
    keys: Ints,
    sizes: Ints,
    counts: Ints,
    rates: NDArray[np.float64],
    rng: np.random.Generator,
) -> Sample:
    """Draw from each group, as a stratum, without replacement, in a pass with bounded memory.

    Every place of the pool gets one number of the generator, in the pool's order; the smallest of
    each stratum are drawn. Each part starts its numbers by itself, since the state of PCG64 can be
    moved on by any number of steps; the generator is left as if it had given the numbers itself.

    `keys` and `sizes` are of `count`, `counts` the places to take, `rates` each stratum's expected
    multiplicity, all of shape (H,). A generator that is not of PCG64, or a pool that is not what it
    was when it was counted, raises a `WherefromError`.
    """
    bits = rng.bit_generator
    if not isinstance(bits, np.random.PCG64):
        raise WherefromError(
            f"a draw needs a generator of PCG64, as numpy.random.default_rng(seed) is, not of "
            f"{type(bits).__name__}: only that one can be entered anywhere"
        )
    _learn_labels(pool, groups.ask)
    stream: Stream = bits.state
    limit = near(counts, sizes)
    while True:
        wanted = (counts, sizes, limit)
        kept = Smallest(*wanted)
        take = partial(_take, groups=groups, keys=keys, wanted=wanted, stream=stream)
        for places in over(pool.parts(), take, "drawing places"):
            kept.add(*places)
        lacking = kept.lacking(np.bincount(kept.places()[2], minlength=len(keys)))
        if not lacking.any():
            break
        # In the rare case that a stratum has too few small numbers, look at all of its numbers.
        if (limit[lacking] >= 1).all():
            raise WherefromError(
                "the pool has fewer places in some strata than were counted: its files or their "
                "notes changed; write or label it again"
            )
        limit = np.where(lacking, 1.0, limit)
    bits.advance(len(pool))
    return kept.sample(rates)


@dataclass(frozen=True, eq=False)
class Found:
    """M places of a pool that were looked up by id, in the order of the ids asked for.

    Ids are as the pool holds them, coordinates degrees, codes by name of layer or column, int32
    (M,).
    """

    ids: NDArray[Any]
    rows: Ints
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    codes: dict[str, NDArray[np.int32]]


def find(pool: AnyPool, ids: NDArray[Any], codes: Sequence[str] = ()) -> Found:
    """Find places by their ids (M,), in any order, repeated or not, with codes of some layers.

    If ids are not in the pool, a `WherefromError` names the first ones.
    """
    ask = Ask(codes=tuple(codes), ids=True)
    _learn_labels(pool, ask)
    look = partial(_find, wanted=np.unique(ids), ask=ask)
    pieces = list(over(pool.parts(), look, "looking up ids"))
    there, rows, lon, lat, *found = (np.concatenate(c) for c in zip(*pieces, strict=True))
    at = rows_of(there, ids, np.argsort(there))
    by_name = {name: code[at] for name, code in zip(codes, found, strict=True)}
    return Found(there[at], rows[at], lon[at], lat[at], by_name)


def _learn_labels(pool: AnyPool, ask: Ask) -> None:
    """Let a pool find the labels of its columns before its parts set out."""
    for name in ask.codes:
        pool.labels(name)


def _count(part: Part, groups: Groups) -> tuple[Ints, Ints]:
    return _added([_counted(groups.keys(batch)) for batch in part.batches(groups.ask)])


def _counted(keys: Ints) -> tuple[Ints, Ints]:
    keys = keys[keys >= 0]
    if len(keys) and keys.max() >= _TABLE:
        found, sizes = np.unique(keys, return_counts=True)
        return found, sizes
    sizes = np.bincount(keys)
    found = np.flatnonzero(sizes)
    return found, sizes[found]


def _added(tables: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    keys, sizes = (np.concatenate(column) for column in zip(*tables, strict=True))
    if not len(keys):
        return keys, sizes
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[first], np.add.reduceat(sizes[order], first)


def _take(
    part: Part, groups: Groups, keys: Ints, wanted: tuple[Any, ...], stream: Stream
) -> tuple[NDArray[Any], ...]:
    """Keep the smallest numbers of a part: rows, numbers, strata, ids."""
    position = _positions(keys)
    kept = Smallest(*wanted)
    for batch in part.batches(groups.ask | Ask(ids=True)):
        numbers = _numbers(stream, batch.start, len(batch))
        small = np.flatnonzero(numbers < kept.limit.max())
        stratum = position(groups.keys(batch)[small])
        small, stratum = small[stratum >= 0], stratum[stratum >= 0]
        kept.add(small + batch.start, numbers[small], stratum, batch.asked_ids()[small])
    return kept.places()


def _numbers(stream: Stream, start: int, size: int) -> NDArray[np.float64]:
    """Give the numbers of `size` rows from `start` on: one step of the generator each."""
    bits = np.random.PCG64()
    bits.state = stream
    bits.advance(start)
    return np.random.Generator(bits).random(size)


def _positions(keys: Ints) -> Callable[[Ints], Ints]:
    """Make the function from keys to their position among the strata, -1 for none."""
    if len(keys) and keys[-1] < _TABLE:
        table = np.full(int(keys[-1]) + 2, -1, dtype=np.int64)
        table[keys] = np.arange(len(keys))
        return lambda given: table[np.minimum(given, len(table) - 1)]

    def searched(given: Ints) -> Ints:
        at = np.minimum(np.searchsorted(keys, given), len(keys) - 1)
        return np.where(keys[at] == given, at, -1)

    return searched


def _find(part: Part, wanted: NDArray[Any], ask: Ask) -> tuple[NDArray[Any], ...]:
    pieces = []
    for batch in part.batches(ask):
        ids = batch.asked_ids()
        at = rows_with(ids, wanted)
        codes = [batch.codes[name][at] for name in ask.codes]
        pieces.append((ids[at], at + batch.start, batch.lon[at], batch.lat[at], *codes))
    return tuple(np.concatenate(column) for column in zip(*pieces, strict=True))


def rows_with(ids: NDArray[Any], wanted: NDArray[Any]) -> Ints:
    """Return the rows of a batch whose ids are among `wanted`, ascending.

    Whole numbers may be the pool's texts; text among whole numbers raises a `WherefromError`.
    """
    if ids.dtype.kind == "U" and wanted.dtype.kind != "U":
        wanted = np.sort(wanted.astype(np.str_))
    elif ids.dtype.kind != "U" and wanted.dtype.kind == "U":
        raise WherefromError(
            f"ids are text (first: {str(wanted[0])!r}), but the pool's ids are whole numbers"
        )
    if not len(wanted):
        return np.zeros(0, dtype=np.int64)
    if ids.dtype.kind != "U" and (ids[1:] > ids[:-1]).all():  # look up the few in the many
        last = np.searchsorted(wanted, ids[-1], side="right")
        few = wanted[np.searchsorted(wanted, ids[0]) : last]
        at = np.searchsorted(ids, few)
        return np.asarray(at[ids[at] == few])
    at = np.minimum(np.searchsorted(wanted, ids), len(wanted) - 1)
    return np.flatnonzero(wanted[at] == ids)
