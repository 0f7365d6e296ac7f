"""Looking at every place of a pool of files: faults, repeats, and the key."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.pool.batches import Ask, over
from wherefrom.pool.check import (
    SHOWN,
    Faults,
    Finding,
    Repeats,
    first_repeats,
    id_hashes,
    place_hashes,
    repeated,
    repeated_ids,
    repeated_places,
    sampled,
)
from wherefrom.pool.digest import key_of_blocks, places_digest
from wherefrom.pool.scan import PoolScan, ScanPart
from wherefrom.pool.time import Odd

__all__ = ["Examined", "examine_dates", "examine_scan"]

#: Places up to which every repeat is found; of more, those of a sample by hash.
ALL_REPEATS = 20_000_000
#: Ids that are compared at a time, 8 bytes each, twice.
AT_A_TIME = 1 << 26


@dataclass(frozen=True)
class Examined:
    """What a look at every place shows: findings, the key, and the range of the coordinates."""

    findings: list[Finding]
    key: str
    text_ids: bool
    lon: tuple[float, float]
    lat: tuple[float, float]


def examine_scan(pool: PoolScan) -> Examined:
    """Look at every place of a pool of files, in one pass unless something repeats.

    Raises
    ------
    WherefromError
        If a file is torn, or an id or a coordinate is not of its kind.
    """
    checked = _Checked()
    one_in = -(-len(pool) // ALL_REPEATS)
    look = partial(_check, one_in=one_in)
    for part in over(pool.parts(), look, "checking places"):
        checked.merge(part)
    where = _rows_of(pool)
    reading, faults = pool.reading, checked.faults
    axes = ("lon", "lat") if reading.lon == reading.lat else (reading.lon, reading.lat)
    findings = faults.findings(*axes, where)
    if not checked.ascending:
        findings += _ids_repeated(pool, where)
    again = repeated(checked.hashes)
    checked.hashes.clear()
    if len(again):
        find = partial(_rows_with, again=again, of_ids=False)
        rows = over(pool.parts(), find, "repeated places")
        found = first_repeats(chain.from_iterable(rows), again, SHOWN)
        findings.append(repeated_places(found, len(pool), where, one_in))
    key = key_of_blocks(f"{len(pool)}:{checked.kind}", checked.digests)
    return Examined(findings, key, checked.kind == "U", faults.lon_range, faults.lat_range)


def examine_dates(pool: PoolScan) -> list[str]:
    """Read every date of a pool of files, in one pass, and say what is odd.

    Raises
    ------
    WherefromError
        If a row holds no date that is read.
    """
    time = pool.reading.time
    if time is None:
        return []
    odd = Odd()
    for part in over(pool.parts(), _dates, "checking dates"):
        odd.merge(part)
    return [*time.said(), *odd.said(time.dates.column, _rows_of(pool))]


def _dates(part: ScanPart) -> Odd:
    odd = Odd()
    for start, days in part.days():
        odd.update(days, start)
    return odd


@dataclass
class _Checked:
    """What one look at the places of a pool, or of a part of it, shows."""

    faults: Faults = field(default_factory=Faults)
    digests: list[bytes] = field(default_factory=list)
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)
    kind: str = ""
    ascending: bool = True
    first: Any = None
    last: Any = None

    def merge(self, later: _Checked) -> None:
        self.faults.merge(later.faults)
        self.digests += later.digests
        self.hashes += later.hashes
        self.kind = later.kind
        self.ascending &= later.ascending and (self.last is None or self.last < later.first)
        self.first = later.first if self.first is None else self.first
        self.last = later.last


def _check(part: ScanPart, one_in: int) -> _Checked:
    checked = _Checked()
    for batch in part.batches(Ask(ids=True)):
        ids = batch.asked_ids()
        faults = Faults()
        faults.update(batch.start, batch.lon, batch.lat)
        ascending = bool((ids[1:] > ids[:-1]).all())
        digest = places_digest(ids, batch.lon, batch.lat)
        hashes = _hashes_of_places(batch.lon, batch.lat)
        hashes = hashes[sampled(hashes, one_in)]
        kind = ids.dtype.kind
        checked.merge(_Checked(faults, [digest], [hashes], kind, ascending, ids[0], ids[-1]))
    return checked


def _hashes_of_places(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.uint64]:
    there = np.isfinite(lon) & np.isfinite(lat)
    return place_hashes(lon, lat) if there.all() else place_hashes(lon[there], lat[there])


def _ids_repeated(pool: PoolScan, where: Callable[[int], str]) -> list[Finding]:
    """Compare all ids, in as many rounds as memory asks for."""
    rounds = -(-len(pool) // AT_A_TIME)
    again = []
    for turn in range(rounds):
        look = partial(_id_hashes, turn=turn, rounds=rounds)
        again.append(repeated(list(over(pool.parts(), look, "comparing ids"))))
    found = np.concatenate(again)
    if not len(found):
        return []
    look_again = partial(_rows_with, again=found, of_ids=True)
    rows = chain.from_iterable(over(pool.parts(), look_again, "repeated ids"))
    repeats = first_repeats(rows, found, SHOWN)
    ids = {row: _id_at(pool, row) for row in (*repeats.rows, *repeats.firsts)}
    true = [r for r in zip(repeats.rows, repeats.firsts, strict=True) if ids[r[0]] == ids[r[1]]]
    if not true:  # texts of one hash, fewer than are shown
        return []
    again_rows = Repeats(repeats.count, *(tuple(column) for column in zip(*true, strict=True)))
    return [repeated_ids(again_rows, [ids[row] for row in again_rows.rows], len(pool), where)]


def _id_hashes(part: ScanPart, turn: int, rounds: int) -> NDArray[np.uint64]:
    pieces = []
    for batch in part.batches(Ask(ids=True)):
        hashes = id_hashes(batch.asked_ids())
        here = ((hashes >> np.uint64(32)) * np.uint64(rounds)) >> np.uint64(32)
        pieces.append(hashes[here == turn])
    return np.concatenate(pieces)


def _rows_with(
    part: ScanPart, again: NDArray[np.uint64], of_ids: bool
) -> list[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Find the rows whose hash is among some."""
    found = []
    for batch in part.batches(Ask(ids=of_ids)):
        rows = np.arange(batch.start, batch.start + len(batch))
        if of_ids:
            hashes = id_hashes(batch.asked_ids())
        else:
            rows = rows[np.isfinite(batch.lon) & np.isfinite(batch.lat)]
            hashes = _hashes_of_places(batch.lon, batch.lat)
        at = np.minimum(np.searchsorted(again, hashes), len(again) - 1)
        there = again[at] == hashes
        found.append((rows[there], hashes[there]))
    return found


def _id_at(pool: PoolScan, row: int) -> Any:
    part = next(p for p in pool.parts() if p.start <= row < p.start + len(p))
    batches = part.batches(Ask(ids=True))
    return next(b.asked_ids()[row - b.start] for b in batches if row < b.start + len(b))


def _rows_of(pool: PoolScan) -> Callable[[int], str]:
    """Make the function that names a row: its number, and of several files the file's name."""
    kept = "" if pool.reading.where is None else " of those kept"
    if len(pool.files) == 1:
        return lambda row: f"{row}{kept}"
    starts = [0, *accumulate(sum(file.groups) for file in pool.files)]

    def named(row: int) -> str:
        at = bisect_right(starts, row) - 1
        return f"{Path(pool.files[at].path).relative_to(pool.path)} row {row - starts[at]}{kept}"

    return named
