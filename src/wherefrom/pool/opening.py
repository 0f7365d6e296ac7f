"""Opening a pool: in memory if it fits, else as a scan of its files, checked in one pass."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool.batches import Ask
from wherefrom.pool.check import (
    SHOWN,
    Faults,
    Finding,
    refuse_errors,
    repeated_ids,
    repeated_places,
)
from wherefrom.pool.digest import key_of_blocks, places_digest
from wherefrom.pool.partition import files_in, read_manifest
from wherefrom.pool.passing import over
from wherefrom.pool.places import Pool, origin_of
from wherefrom.pool.reading import opened, reading_of
from wherefrom.pool.repeats import Repeats, first_repeats, id_hashes, place_hashes, sampled
from wherefrom.pool.repeats import repeated as repeated_hashes
from wherefrom.pool.scan import IN_MEMORY, PoolScan, ScanPart
from wherefrom.pool.tables import TEXT_SUFFIXES

__all__ = ["open_pool", "scan", "scanned"]

#: Places up to which every repeat is found; of more, those of a sample by hash.
ALL_REPEATS = 20_000_000
#: Ids that are compared at a time, 8 bytes each, twice.
AT_A_TIME = 1 << 26


def open_pool(
    path: Path | str,
    id: str | None = None,  # noqa: A002
    lon: str = "lon",
    lat: str = "lat",
    *,
    cluster: str | None = None,
) -> Pool | PoolScan:
    """Open a pool: a file of up to 2^24 places is read, a larger one or a folder is scanned.

    What is drawn or counted does not depend on which. A text table is read whole at any size.

    Parameters
    ----------
    path : Path or str
        A Parquet, GeoParquet or CSV file, or a folder of Parquet files.
    id : str, optional
        Column of ids; default ``"id"`` if there is one, else row numbers.
    lon, lat : str
        Columns of degrees.
    cluster : str, optional
        Address of a Ray cluster, for the pass that checks a scan.

    Returns
    -------
    Pool or PoolScan

    Raises
    ------
    WherefromError
        As `Pool.read` and `scan`.

    Examples
    --------
    >>> import tempfile, pyarrow as pa
    >>> file = Path(tempfile.mkdtemp()) / "few.parquet"
    >>> Pool.from_table(pa.table({"lon": [1.0, 2.0], "lat": [3.0, 4.0]})).write(file)
    >>> type(open_pool(file)).__name__, type(open_pool(file.parent)).__name__
    ('Pool', 'PoolScan')
    """
    path = Path(path)
    if path.is_dir():
        return scan(path, id, lon, lat, cluster=cluster)
    text = path.name.lower().endswith(TEXT_SUFFIXES)
    if not text and path.is_file() and _is_parquet(path):
        with opened(path) as file:
            large = file.metadata.num_rows > IN_MEMORY
        if large:
            return scan(path, id, lon, lat, cluster=cluster)
    return Pool.read(path, id, lon, lat)


def scan(
    path: Path | str,
    id: str | None = None,  # noqa: A002
    lon: str = "lon",
    lat: str = "lat",
    *,
    cluster: str | None = None,
) -> PoolScan:
    """Open a pool that stays in its files, whatever its size.

    A folder that wherefrom wrote is taken by what is noted beside its files, once these are seen
    to be the noted ones. Anything else is checked in one pass: coordinates, ids, repeats, and the
    key. If ids do not ascend, further passes compare 2^26 of them at a time.

    Parameters
    ----------
    path : Path or str
        A folder of Parquet files of the same columns, taken by name (hidden ones are left out),
        or one Parquet file.
    id, lon, lat, cluster
        As in `open_pool`.

    Returns
    -------
    PoolScan
        Repeated places are in its notes: all of them up to 20 million places, else about how many
        by a sample.

    Raises
    ------
    WherefromError
        If a file is torn, of other columns than the first, or not in degrees; if the folder has
        no Parquet file, is half written, or was changed; or for the rows as `Pool.read`, with
        file and row named.

    Examples
    --------
    >>> import tempfile, pyarrow as pa
    >>> file = Path(tempfile.mkdtemp()) / "few.parquet"
    >>> pool = Pool.from_table(pa.table({"lon": [1.0, 2.0], "lat": [3.0, 4.0], "use": ["b", "a"]}))
    >>> pool.write(file)
    >>> opened = scan(file)
    >>> len(opened), opened.key == pool.key, opened.labels("use")
    (2, True, ('a', 'b'))
    """
    pool, findings = scanned(path, id, lon, lat, cluster=cluster)
    refuse_errors(findings, str(path))
    return pool


def scanned(
    path: Path | str,
    id: str | None = None,  # noqa: A002
    lon: str = "lon",
    lat: str = "lat",
    *,
    cluster: str | None = None,
) -> tuple[PoolScan, list[Finding]]:
    """Open a pool in files, and return what is wrong with its rows instead of refusing them."""
    path = Path(path)
    if not path.exists():
        raise WherefromError(f"{path}: no such file or folder")
    if not path.is_dir() and not _is_parquet(path):
        raise WherefromError(f"{path} is not a Parquet file: only Parquet files are scanned")
    paths = files_in(path) if path.is_dir() else [path]
    reading, files = reading_of(paths, id, lon, lat)
    pool = PoolScan(path, reading, files)
    if not len(pool):
        raise WherefromError(f"{path} has columns but no rows")
    noted = read_manifest(path, paths) if path.is_dir() else None
    if noted is not None and (reading.id, reading.place) == ("id", ("lon", "lat")):
        known = {name: column for name, column in noted.labels.items() if name in pool.columns}
        pool = replace(pool, key=noted.key, origin=noted.origin, notes=noted.notes, known=known)
        return pool, []
    checked = _Checked()
    one_in = -(-len(pool) // ALL_REPEATS)
    look = partial(_check, one_in=one_in)
    for part in over(pool.parts(), look, "checking places", cluster):
        checked.merge(part)
    where = _rows_of(pool)
    findings = checked.faults.findings(lon, lat, where)
    if not checked.ascending:
        findings += _ids_repeated(pool, where, cluster)
    again = repeated_hashes(checked.hashes)
    checked.hashes.clear()
    if len(again):
        find = partial(_rows_with, again=again, of_ids=False)
        rows = over(pool.parts(), find, "repeated places", cluster)
        found = first_repeats(_flat(rows), again, SHOWN)
        findings.append(repeated_places(found, len(pool), where, one_in))
    origin = ""
    if len(paths) == 1:
        with opened(paths[0]) as file:
            origin = origin_of((file.schema_arrow.metadata or {}).get(b"wherefrom"))
    key = key_of_blocks(f"{len(pool)}:{checked.kind}", checked.digests)
    notes = tuple(finding.message for finding in findings)
    return replace(pool, key=key, origin=origin, notes=notes), findings


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
        ids = batch.ids
        assert ids is not None  # they are asked for
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


def _ids_repeated(
    pool: PoolScan, where: Callable[[int], str], cluster: str | None
) -> list[Finding]:
    """Compare all ids, in as many rounds as memory asks for."""
    rounds = -(-len(pool) // AT_A_TIME)
    again = []
    for turn in range(rounds):
        look = partial(_id_hashes, turn=turn, rounds=rounds)
        again.append(repeated_hashes(list(over(pool.parts(), look, "comparing ids", cluster))))
    found = np.concatenate(again)
    if not len(found):
        return []
    look_again = partial(_rows_with, again=found, of_ids=True)
    repeats = first_repeats(
        _flat(over(pool.parts(), look_again, "repeated ids", cluster)), found, SHOWN
    )
    ids = {row: _id_at(pool, row) for row in (*repeats.rows, *repeats.firsts)}
    true = [r for r in zip(repeats.rows, repeats.firsts, strict=True) if ids[r[0]] == ids[r[1]]]
    if not true:  # texts of one hash, fewer than are shown
        return []
    again_rows = Repeats(repeats.count, *(tuple(column) for column in zip(*true, strict=True)))
    return [repeated_ids(again_rows, [ids[row] for row in again_rows.rows], len(pool), where)]


def _id_hashes(part: ScanPart, turn: int, rounds: int) -> NDArray[np.uint64]:
    pieces = []
    for batch in part.batches(Ask(ids=True)):
        assert batch.ids is not None
        hashes = id_hashes(batch.ids)
        pieces.append(
            hashes[((hashes >> np.uint64(32)) * np.uint64(rounds)) >> np.uint64(32) == turn]
        )
    return np.concatenate(pieces)


def _rows_with(
    part: ScanPart, again: NDArray[np.uint64], of_ids: bool
) -> list[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Find the rows whose hash is among some."""
    found = []
    for batch in part.batches(Ask(ids=of_ids)):
        rows = np.arange(batch.start, batch.start + len(batch))
        if of_ids:
            assert batch.ids is not None
            hashes = id_hashes(batch.ids)
        else:
            rows = rows[np.isfinite(batch.lon) & np.isfinite(batch.lat)]
            hashes = _hashes_of_places(batch.lon, batch.lat)
        at = np.minimum(np.searchsorted(again, hashes), len(again) - 1)
        there = again[at] == hashes
        found.append((rows[there], hashes[there]))
    return found


def _flat(
    parts: Iterator[list[tuple[NDArray[np.int64], NDArray[np.uint64]]]],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    for part in parts:
        yield from part


def _id_at(pool: PoolScan, row: int) -> Any:
    part = next(p for p in pool.parts() if p.start <= row < p.start + len(p))
    for batch in part.batches(Ask(ids=True)):
        if row < batch.start + len(batch):
            assert batch.ids is not None
            return batch.ids[row - batch.start]
    raise AssertionError(f"row {row} is in the part")


def _rows_of(pool: PoolScan) -> Callable[[int], str]:
    """Make the function that names a row: its number, and of several files the file's name."""
    if len(pool.files) == 1:
        return str
    starts = [0, *accumulate(sum(file.groups) for file in pool.files)]

    def named(row: int) -> str:
        at = bisect_right(starts, row) - 1
        return f"{Path(pool.files[at].path).name} row {row - starts[at]}"

    return named


def _is_parquet(path: Path) -> bool:
    """Say whether a file starts as Parquet does; of others `Pool.read` says what they are."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"PAR1"
    except OSError:
        return False
