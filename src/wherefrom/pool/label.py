"""Labelling a pool of any size: one pass, a folder of Parquet files with a column per layer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import earth, files
from wherefrom.keys import key_of
from wherefrom.pool.batches import BLOCK, over
from wherefrom.pool.columns import label_column, label_layer
from wherefrom.pool.digest import key_of_blocks, labels_digest
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

__all__ = ["PartFile", "label", "label_columns_of"]

Codes = Mapping[str, NDArray[np.int32]]


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

    def write(self, table: pa.Table, codes: Codes) -> None:
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
    known |= label_columns_of(list(found.values()), notes, len(pool))
    marks = tuple(mark_of(out / part_name(number)) for number in range(len(parts)))
    finish(out, job, Manifest(pool.origin, pool.key, len(pool), pool.notes, known, marks))
    return scan(out)


def label_columns_of(
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
        marks = [mark_of(Path(file.path)) for file in pool.files]
        return [[mark.bytes, mark.footer] for mark in marks]
    digest = hashlib.sha256()
    table = pool.table.select(pool.columns)
    for at in range(0, len(pool), BLOCK):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table.slice(at, BLOCK))
        digest.update(sink.getvalue())
    return [digest.hexdigest()]
