"""A pool of Parquet files that is never wholly in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import BLOCK, Ask, Batch, over
from wherefrom.pool.columns import (
    column_codes,
    column_labels,
    column_numbers,
    label_layer,
    present_values,
    value_layer,
)
from wherefrom.pool.digest import key_of_blocks, labels_digest
from wherefrom.pool.geometry import FOOTPRINT
from wherefrom.pool.partition import LabelColumn
from wherefrom.pool.places import Pool
from wherefrom.pool.reading import FileRows, Piece, Reading, cut_parts, joined
from wherefrom.pool.seasons import SPAN, Dated, days_from, raw_dates, spanned
from wherefrom.pool.tables import Places
from wherefrom.pool.time import Days

__all__ = ["IN_MEMORY", "PoolScan", "ScanPart", "loaded"]

IN_MEMORY = 1 << 24
"""Places up to which a pool is read whole."""

MOST_LABELS = 1 << 24
"""Different values that a label column can have; they are all held in memory."""


@dataclass(frozen=True, eq=False)
class _Column:
    """A label column: its values as Arrow's and as text, sorted, the places of each, the key."""

    values: pa.Array
    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    key: str


@dataclass(frozen=True, eq=False)
class PoolScan:
    """Candidate places in Parquet files, seen `BLOCK` at a time; `wherefrom.pool.scan` makes one.

    Attributes
    ----------
    path : Path
        The folder or file.
    reading : Reading
        How its columns make a pool.
    files : tuple of FileRows
    key, origin, notes
        As in `Pool`; the same as if the files were read whole.
    known : dict of str to LabelColumn
        What was noted of label columns when they were written.
    """

    path: Path
    reading: Reading
    files: tuple[FileRows, ...]
    key: str = ""
    origin: str = ""
    notes: tuple[str, ...] = ()
    known: dict[str, LabelColumn] = field(default_factory=dict, repr=False)
    _found: dict[str, _Column] = field(default_factory=dict, repr=False)
    _seen: dict[str, _Seen] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    def __len__(self) -> int:
        return self._places

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_seen": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock())

    @cached_property
    def _places(self) -> int:
        return sum(sum(file.groups) for file in self.files)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the other columns than ids and coordinates."""
        return tuple(self.reading.rest.names)

    @property
    def extended(self) -> bool:
        """Whether the places are the middles of footprints."""
        return bool(self.reading.polygons)

    @property
    def timed(self) -> bool:
        """Whether the rows have dates."""
        return bool(raw_dates(self.reading.rest))

    def column(self, name: str) -> _Column:
        """Return what is known of a label column; a pass over it, the first time, if nothing is.

        Raises
        ------
        WherefromError
            If the column holds no labels.
        """
        with self._lock:
            if name not in self._found:
                noted = self.known.get(name)
                self._found[name] = self._surveyed(name) if noted is None else _noted(noted)
            return self._found[name]

    def labels(self, name: str) -> tuple[str, ...]:
        """Return the labels of a column (those that occur, sorted) or of a layer (all).

        Raises
        ------
        WherefromError
            If there is no such layer or column, it holds no labels, or its data cannot be had.
        """
        if name in self.columns:
            return self.column(name).labels
        if name == SPAN and self.timed:
            raise WherefromError(
                f"{self.path}: {SPAN} is of all rows of a place: name the dates where it is opened "
                f"(--time {','.join(raw_dates(self.reading.rest))}), in Python load() it then"
            )
        return label_layer(name, self.columns).labels

    def counts(self, name: str) -> NDArray[np.int64] | None:
        """Return the places of each of ``labels(name)``, or None before a pass over a layer."""
        if name in self.columns:
            return self.column(name).counts
        seen = self._seen.get(name)
        return None if seen is None or not seen.complete(len(self)) else seen.counts

    def labels_key(self, name: str) -> str:
        """Hash of the labels of all places: equal labels, equal key, wherever they come from.

        Needs a pass over the pool for a layer that no pass has asked for before.
        """
        if name in self.columns:
            return self.column(name).key
        if name not in self._seen or not self._seen[name].complete(len(self)):
            look = partial(_look, ask=Ask(codes=(name,)))
            with parallel.on(None):  # what it sees is noted here
                for _ in over(self.parts(), look, f"labels of {name}"):
                    pass
        return self._seen[name].key(len(self))

    def parts(self) -> list[ScanPart]:
        """Return pieces that cover the pool in order, of `PART` places where row groups allow."""
        return [ScanPart(self, *part) for part in cut_parts(self.files)]

    def batches(self, ask: Ask) -> Iterator[Batch]:
        """Give all places in order, `BLOCK` at a time, with what is asked for.

        Raises
        ------
        WherefromError
            If there is no such layer or column, it is not of the kind asked for, or a file is
            torn.
        """
        for part in self.parts():
            yield from part.batches(ask)

    def load(self) -> Pool:
        """Read the pool into memory.

        Raises
        ------
        WherefromError
            If it has more than `IN_MEMORY` places.
        """
        if len(self) > IN_MEMORY:
            raise WherefromError(
                f"{self.path} has {len(self):,} places, more than the {IN_MEMORY:,} that are read "
                f"into memory: draw a smaller pool first: wherefrom draw {self.path} --sampler "
                "uniform -n 1000000 --places --out thin.parquet"
            )
        tables = (table for part in self.parts() for _, table in part.tables())
        return loaded(tables, self.path, self.notes, self.origin, self.reading.time)

    def see(self, name: str, batch: Batch, labels: tuple[str, ...]) -> None:
        """Note the labels that a pass looked up, for `counts` and `labels_key`."""
        with self._lock:
            seen = self._seen.setdefault(name, _Seen(np.zeros(len(labels), dtype=np.int64)))
            if batch.start in seen.digests:
                return
        codes = batch.codes[name]
        counts = np.bincount(codes[codes >= 0], minlength=len(labels)).astype(np.int64)
        digest = labels_digest(codes, labels)
        with self._lock:
            if batch.start not in seen.digests:
                seen.digests[batch.start] = digest
                seen.counts += counts

    def _surveyed(self, name: str) -> _Column:
        """Find the labels of a column, and count them, in one pass."""
        sums: pa.Table = None
        digests: list[bytes] = []
        survey = partial(_survey, name=name)
        with parallel.on(None):  # a part asks its pool for the labels while these are found
            surveyed = over(self.parts(), survey, f"labels of {name}")
            for table, hashes in surveyed:
                sums = _summed([table] if sums is None else [sums, table])
                digests += hashes
                if sums.num_rows > MOST_LABELS:
                    raise WherefromError(
                        f"{self.path}: column {name!r} has more than {MOST_LABELS:,} different "
                        "values: name a column of labels"
                    )
        values, labels = column_labels(sums["value"].combine_chunks())
        order = np.argsort(column_codes(sums["value"], values, name))
        counts = sums["places"].to_numpy()[order]
        return _Column(values, labels, counts, key_of_blocks(f"{len(self)}", digests))


@dataclass
class _Seen:
    """What passes over the pool saw of a layer: counts, and a hash of each block by its row."""

    counts: NDArray[np.int64]
    digests: dict[int, bytes] = field(default_factory=dict)

    def complete(self, places: int) -> bool:
        return len(self.digests) * BLOCK >= places

    def key(self, places: int) -> str:
        return key_of_blocks(f"{places}", (self.digests[at] for at in sorted(self.digests)))


@dataclass(frozen=True, eq=False)
class ScanPart:
    """Consecutive places of a `PoolScan`; it opens its files itself, and can be pickled."""

    pool: PoolScan
    start: int
    count: int
    pieces: tuple[Piece, ...]

    def __len__(self) -> int:
        return self.count

    def batches(self, ask: Ask) -> Iterator[Batch]:
        """Give its places in order, `BLOCK` at a time, as `PoolScan.batches` does."""
        pool, columns = self.pool, self.pool.columns
        coded = {name: pool.column(name).values for name in ask.codes if name in columns}
        layers = {name: label_layer(name, columns) for name in ask.codes if name not in columns}
        valued = {name: value_layer(name, columns) for name in ask.values if name not in columns}
        numeric = [name for name in ask.values if name in columns]
        shaped = [FOOTPRINT] if ask.footprints and pool.extended else []
        raw = raw_dates(pool.reading.rest) if ask.days else ()
        for start, block in self._blocks([*coded, *numeric, *shaped, *raw], ask.ids, list(coded)):
            lon, lat = joined([p.lon for p in block]), joined([p.lat for p in block])
            codes = {
                name: joined([column_codes(p.rest.column(name), values, name) for p in block])
                for name, values in coded.items()
            }
            codes |= {name: layer.codes(lon, lat) for name, layer in layers.items()}
            values = {
                name: joined([column_numbers(p.rest.column(name), name) for p in block])
                for name in numeric
            }
            values |= {name: layer(lon, lat).astype("f8") for name, layer in valued.items()}
            ids = self._ids(start, block) if ask.ids else None
            shapes = None
            if shaped:
                shapes = shapely.from_wkb(
                    joined([p.rest.column(FOOTPRINT).to_numpy() for p in block])
                )
            days = None
            if raw:
                days = Days.of_pieces([days_from(p.rest, raw, p.source) for p in block])
            batch = Batch(start, lon, lat, ids, codes, values, shapes, days)
            for name, layer in layers.items():
                pool.see(name, batch, layer.labels)
            yield batch

    def tables(self) -> Iterator[tuple[int, pa.Table]]:
        """Give each block's first row in the whole pool, and id, lon, lat and the other columns.

        Raises
        ------
        WherefromError
            If a file is torn, or a value does not fit the type of its column in the first file.
        """
        rest = self.pool.reading.rest
        for start, block in self._blocks(rest.names, True, []):
            ids = pa.array(self._ids(start, block))
            lon, lat = joined([p.lon for p in block]), joined([p.lat for p in block])
            others = pa.concat_tables([p.rest.select(rest.names).cast(rest) for p in block])
            table = pa.table({"id": ids, "lon": lon, "lat": lat})
            for name in rest.names:
                table = table.append_column(rest.field(name), others.column(name))
            yield start, table.unify_dictionaries()

    def values_of(self, name: str) -> Iterator[pa.ChunkedArray]:
        """Give a label column, `BLOCK` rows at a time."""
        for _, block in self._blocks([name], False, [name]):
            columns = [p.rest.column(name) for p in block]
            if len({column.type for column in columns}) > 1:
                # Kinds of text, or a file with nothing but nulls: brought to the first file's.
                plain = self.pool.reading.rest.field(name).type
                plain = plain.value_type if pa.types.is_dictionary(plain) else plain
                columns = [_decoded(column).cast(plain) for column in columns]
            yield pa.chunked_array([chunk for column in columns for chunk in column.chunks])

    def days(self) -> Iterator[tuple[int, Days]]:
        """Give the dates of some rows, and the first of these in the whole pool.

        Raises
        ------
        WherefromError
            If a row holds no date that is read: names its file, and its row there.
        """
        time, where = self.pool.reading.time, self.pool.reading.where
        assert time is not None
        within = {piece.path: piece.row for piece in reversed(self.pieces)}
        for start, block in self._blocks([*time.raw], False, []):
            for places in block:
                count, row, source = len(places.lon), within[places.source], places.source
                if where is not None:  # rows are numbered as they are kept
                    row, source = 0, f"{source}, of the rows where {where.text}"
                yield start, time.days(places.rest, source, row)
                within[places.source] += count
                start += count

    def _ids(self, start: int, block: list[Places]) -> NDArray[Any]:
        if self.pool.reading.id is None and self.pool.reading.where is None:
            return np.arange(start, start + sum(len(p.lon) for p in block), dtype=np.int64)
        return np.asarray(joined([p.ids for p in block]))

    def _blocks(
        self, columns: list[str], ids: bool, coded: list[str]
    ) -> Iterator[tuple[int, list[Places]]]:
        rest = self.pool.reading.rest
        # Text as a dictionary: each label is decoded once, not once a place.
        text = [name for name in coded if _textual(rest.field(name).type)]
        start = self.start
        for block in self.pool.reading.blocks(self.pieces, columns, ids, text):
            yield start, block
            start += sum(len(places.lon) for places in block)


def loaded(
    tables: Iterable[pa.Table],
    path: Path,
    notes: tuple[str, ...],
    origin: str,
    time: Dated | None = None,
) -> Pool:
    """Make a pool in memory of the tables of a pool's parts: id, lon, lat and other columns.

    With dates it has ``year_span`` too.
    """
    whole = pa.concat_tables(tables)
    lon, lat = (whole.column(name).to_numpy() for name in ("lon", "lat"))
    ids = whole.column("id").to_numpy()
    ids = ids if ids.dtype.kind == "i" else ids.astype(np.str_)
    rest = whole.drop_columns(["id", "lon", "lat"])
    places = Places(ids, lon, lat, rest, "lon", "lat", str(path))
    places = places if time is None else spanned(places, time)
    return replace(Pool.of_places(places, notes), origin=origin)


def _textual(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _noted(column: LabelColumn) -> _Column:
    """Keep of all labels of a layer those that occur, sorted, as of any column."""
    there = sorted((label, n) for label, n in zip(column.labels, column.counts, strict=True) if n)
    labels = tuple(label for label, _ in there)
    counts = np.array([n for _, n in there], dtype=np.int64)
    return _Column(pa.array(labels, pa.large_string()), labels, counts, column.key)


def _look(part: ScanPart, ask: Ask) -> None:
    for _ in part.batches(ask):
        pass


def _survey(part: ScanPart, name: str) -> tuple[pa.Table, list[bytes]]:
    tables, digests = [], []
    for column in part.values_of(name):
        values, labels = column_labels(present_values(column, name))
        codes = column_codes(column, values, name)
        counts = np.bincount(codes[codes >= 0], minlength=len(labels))
        tables.append(pa.table({"value": values, "places": counts}))
        digests.append(labels_digest(codes, labels))
    return _summed(tables), digests


def _summed(tables: list[pa.Table]) -> pa.Table:
    """Add counts of values; where there are but nulls there is no value, and maybe no type."""
    whole = pa.concat_tables([t for t in tables if t.num_rows] or tables[:1])
    sums = whole.group_by("value", use_threads=False).aggregate([("places", "sum")])
    return sums.rename_columns(["value", "places"])
