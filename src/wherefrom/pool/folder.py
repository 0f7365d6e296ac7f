"""A pool of any size as a folder of Parquet files with a column per layer: built, or labelled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import earth, files
from wherefrom.keys import key_of
from wherefrom.pool.batches import BLOCK, PART, over
from wherefrom.pool.build import LandPlaces, checked_count, land_origin, land_stream
from wherefrom.pool.columns import label_column, label_layer
from wherefrom.pool.digest import key_of_blocks, labels_digest, places_digest
from wherefrom.pool.opening import scan
from wherefrom.pool.partition import (
    NOTE,
    LabelColumn,
    Manifest,
    begin,
    finish,
    mark_of,
    open_writer,
    part_name,
    read_part,
)
from wherefrom.pool.places import Pool, PoolPart
from wherefrom.pool.scan import PoolScan, ScanPart
from wherefrom.progress import progress

__all__ = ["PartFile", "build_folder", "label"]

Columns = tuple[NDArray[Any], ...]


def build_folder(
    places: int,
    out: Path | str,
    seed: int = 0,
    antarctica: bool = False,
    layers: Iterable[str] = (),
) -> PoolScan:
    """Draw places uniformly by area on land and write them as a folder of Parquet files.

    Parameters
    ----------
    places : int
        How many.
    out : Path or str
        The folder. If a run of the same was stopped, what is there is kept, and it goes on.
    seed : int
    antarctica : bool
        As in `Pool.build`, which makes the same places.
    layers : iterable of str
        Categorical layers whose labels become columns.

    Returns
    -------
    PoolScan

    Raises
    ------
    WherefromError
        If `places` is not positive, a layer is unknown or its data cannot be had, `out` holds
        anything else, or the disk is full: finished parts stay, and the same call goes on.

    Examples
    --------
    >>> import tempfile
    >>> from wherefrom.pool import Pool
    >>> pool = build_folder(500, Path(tempfile.mkdtemp()) / "pool", seed=1)
    >>> len(pool), pool.key == Pool.build(500, seed=1).key
    (500, True)
    """
    places, out = checked_count(places), Path(out)
    found = [label_layer(name, ()) for name in dict.fromkeys(layers)]
    layer_keys = {layer.name: layer.key for layer in (earth.layer("land"), *found)}
    job = key_of({"places": places, "seed": seed, "antarctica": antarctica, "layers": layer_keys})
    begin(out, job)
    notes: list[dict[str, Any]] = []  # of the parts that are there already, and then of ours
    while (note := read_part(out / part_name(len(notes)), job)) is not None:
        notes.append(note)
    chunk, used = notes[-1]["next"] if notes else (0, 0)
    done = len(notes) * PART
    with progress() as bar:
        task = bar.add_task("places on land", total=places, completed=min(done, places))
        stock = _Stock(land_stream(places - done + used, seed, antarctica, found, chunk), used)
        while done < places:
            with PartFile(out / part_name(len(notes)), job, found) as file:
                digests = []
                stop = min(done + PART, places)
                while done < stop:
                    lon, lat, *codes = stock.take(min(BLOCK, stop - done))
                    ids = np.arange(done, done + len(lon), dtype=np.int64)
                    digests.append(places_digest(ids, lon, lat).hex())
                    table = pa.table({"id": ids, "lon": lon, "lat": lat})
                    named = (layer.name for layer in found)
                    file.write(table, dict(zip(named, codes, strict=True)))
                    done += len(lon)
                    bar.update(task, completed=done)
                notes.append(file.note(places=digests, next=stock.position()))
    blocks = (bytes.fromhex(digest) for note in notes for digest in note["places"])
    manifest = Manifest(
        land_origin(seed, antarctica),
        key_of_blocks(f"{places}:i", blocks),
        places,
        (),
        _label_columns(found, notes, places),
        tuple(mark_of(out / part_name(number)) for number in range(len(notes))),
    )
    finish(out, job, manifest)
    return scan(out)


def label(pool: Pool | PoolScan, layers: Iterable[str], out: Path | str) -> PoolScan:
    """Write a pool as a folder of Parquet files, with the labels of layers as columns.

    Parameters
    ----------
    pool : Pool or PoolScan
    layers : iterable of str
        Categorical layers. A column of the pool that is called so stays as it is.
    out : Path or str
        The folder. If a run of the same was stopped, what is there is kept, and it goes on.

    Returns
    -------
    PoolScan
        The same places in the same order, all columns, and the labels; a draw from it or an audit
        of it by these layers looks nothing up.

    Raises
    ------
    WherefromError
        If a layer is unknown or its data cannot be had, `out` holds anything else, or the disk
        is full: finished parts stay, and the same call goes on.

    Examples
    --------
    >>> import tempfile
    >>> pool = Pool.from_table(pa.table({"lon": [10.0, 20.0], "lat": [51.0, 0.0]}))
    >>> labelled = label(pool, ["climate_zone"], Path(tempfile.mkdtemp()) / "labelled")
    >>> labelled.labels("climate_zone"), labelled.counts("climate_zone").tolist()
    (('Af', 'Cfb'), [1, 1])
    """
    out = Path(out)
    names = list(dict.fromkeys(layers))
    found = {name: label_layer(name, pool.columns) for name in names if name not in pool.columns}
    keys = {name: layer.key for name, layer in found.items()}
    job = key_of({"pool": pool.key, "columns": _columns_of(pool), "layers": keys})
    begin(out, job)
    parts: Sequence[PoolPart | ScanPart] = pool.parts()
    numbers = {part.start: number for number, part in enumerate(parts)}
    work = partial(_label_part, numbers=numbers, names=list(found), out=out, job=job)
    notes = list(over(parts, work, "labelling places"))
    known = dict(pool.known) if isinstance(pool, PoolScan) else {}
    known |= _label_columns(list(found.values()), notes, len(pool))
    marks = tuple(mark_of(out / part_name(number)) for number in range(len(parts)))
    finish(out, job, Manifest(pool.origin, pool.key, len(pool), pool.notes, known, marks))
    return scan(out)


class PartFile:
    """A part of a pool as it is written: a Parquet file that notes what is in it.

    Nothing is at `path` before it is closed; `job` is the key of the job that writes it; the labels
    of `layers` become columns.
    """

    def __init__(self, path: Path, job: str, layers: Sequence[earth.Layer]) -> None:
        self._path, self._job, self._layers = path, job, layers
        self._stack = ExitStack()
        self._writer: Any = None
        self._counts = {layer.name: np.zeros(len(layer.labels), np.int64) for layer in layers}
        self._digests: dict[str, list[str]] = {layer.name: [] for layer in layers}

    def __enter__(self) -> PartFile:
        self._tmp = self._stack.enter_context(files.atomic(self._path))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, table: pa.Table, codes: Mapping[str, NDArray[np.int32]]) -> None:
        """Write a block as a row group: the table's columns, and the labels behind them."""
        for layer in self._layers:
            code = codes[layer.name]
            self._counts[layer.name] += np.bincount(
                code[code >= 0], minlength=len(layer.labels)
            ).astype(np.int64)
            self._digests[layer.name].append(labels_digest(code, layer.labels).hex())
            table = table.append_column(layer.name, label_column(code, layer.labels))
        if self._writer is None:
            self._writer = self._stack.enter_context(open_writer(self._tmp, table.schema))
        self._writer.write_table(table, row_group_size=table.num_rows)

    def note(self, **more: Any) -> dict[str, Any]:
        """Write the note into the file's metadata, and return it."""
        labels = {
            name: {"counts": counts.tolist(), "digests": self._digests[name]}
            for name, counts in self._counts.items()
        }
        note = {"job": self._job, "labels": labels, **more}
        self._writer.add_key_value_metadata({NOTE: json.dumps(note)})
        return note


class _Stock:
    """Places that are drawn but not yet written, and where in the random numbers they end."""

    def __init__(self, stream: Iterable[LandPlaces], used: int) -> None:
        self._stream = iter(stream)
        self._skip = used
        self._pieces: list[Columns] = []
        self._count = 0
        self._last: LandPlaces | None = None

    def take(self, count: int) -> Columns:
        """Take the next places: lon, lat, and the codes of each layer."""
        while self._count < count:
            group = next(self._stream)
            columns: Columns = (group.lon, group.lat, *group.codes)
            self._last = group
            self._pieces.append(tuple(column[self._skip :] for column in columns))
            self._count += len(group.lon) - self._skip
            self._skip = 0
        whole = tuple(np.concatenate(column) for column in zip(*self._pieces, strict=True))
        self._pieces = [tuple(column[count:] for column in whole)]
        self._count -= count
        return tuple(column[:count] for column in whole)

    def position(self) -> tuple[int, int]:
        """Return the chunk of the next place, and how many of that chunk's places are taken."""
        assert self._last is not None  # asked for after `take`
        ends = np.cumsum(self._last.counts)
        taken = int(ends[-1]) - self._count
        at = int(np.searchsorted(ends, taken, side="right"))
        return self._last.chunk + at, taken - (int(ends[at - 1]) if at else 0)


def _label_columns(
    layers: Sequence[earth.Layer], notes: Sequence[Mapping[str, Any]], places: int
) -> dict[str, LabelColumn]:
    """Put together what the parts noted of their labels."""
    columns = {}
    for layer in layers:
        mine = [note["labels"][layer.name] for note in notes]
        counts = np.sum([part["counts"] for part in mine], axis=0)
        digests = (bytes.fromhex(digest) for part in mine for digest in part["digests"])
        key = key_of_blocks(f"{places}", digests)
        columns[layer.name] = LabelColumn(layer.labels, tuple(counts.tolist()), key)
    return columns


def _label_part(
    part: PoolPart | ScanPart, numbers: Mapping[int, int], names: list[str], out: Path, job: str
) -> dict[str, Any]:
    path = out / part_name(numbers[part.start])
    done = read_part(path, job)
    if done is not None:
        return done
    layers = [label_layer(name, part.pool.columns) for name in names]
    with PartFile(path, job, layers) as file:
        for _, table in part.tables():
            lon, lat = (table.column(name).to_numpy() for name in ("lon", "lat"))
            file.write(table, {layer.name: layer.codes(lon, lat) for layer in layers})
        return file.note()


def _columns_of(pool: Pool | PoolScan) -> list[Any]:
    """Tell the columns of one pool from those of another with the same places."""
    if isinstance(pool, PoolScan):
        marks = [(mark_of(Path(file.path)), file.keys) for file in pool.files]
        known = [[mark.bytes, mark.footer, *map(list, keys)] for mark, keys in marks]
        time = pool.reading.time
        return known if time is None else [*known, key_of(asdict(time.dates))]
    digest = hashlib.sha256()
    table = pool.table.select(pool.columns)
    for at in range(0, len(pool), BLOCK):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table.slice(at, BLOCK))
        digest.update(sink.getvalue())
    return [digest.hexdigest()]
