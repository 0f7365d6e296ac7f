"""Rows of Parquet files as tables of a pool, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.errors import WherefromError, of_the_system
from wherefrom.files import in_place_of
from wherefrom.pool.batches import BLOCK, PART
from wherefrom.pool.geometry import FOOTPRINT, LOOKED, Cells, geometry_of, with_footprints
from wherefrom.pool.keyed import Key, Keys, columns_of, texts_among, with_keys
from wherefrom.pool.seasons import Dated, Dates, grown
from wherefrom.pool.tables import Places, first_line, is_parquet, places_of
from wherefrom.pool.time import Days
from wherefrom.pool.where import Where, columns_in

__all__ = ["FileRows", "Piece", "Reading", "cut_parts", "joined", "reading_of"]


@dataclass(frozen=True)
class FileRows:
    """A Parquet file: where it is, rows of each of its row groups, and columns of its folders.

    Where a condition leaves rows out, `groups` are those that are kept, `whole` all.
    """

    path: str
    groups: tuple[int, ...]
    keys: tuple[Key, ...] = ()
    whole: tuple[int, ...] = ()


@dataclass(frozen=True)
class Piece:
    """Rows of one row group: `first` counts within the group, `row` within the file.

    Where a condition leaves rows out, `first` and `count` are of those that are kept, `row` is that
    of the group's first, and `start` that of the file's first among the rows of all files.
    """

    path: str
    group: int
    first: int
    count: int
    row: int
    keys: tuple[Key, ...] = ()
    start: int = 0


@dataclass(frozen=True, eq=False)
class Reading:
    """How the files' columns make a pool.

    Attributes
    ----------
    id : str or None
        Column of ids; None for row numbers.
    place : tuple of str
        The two columns of coordinates, or the one of geometry.
    lon, lat : str
        What to call the coordinates in a message.
    rest : pyarrow.Schema
        The other columns; `FOOTPRINT` among them if the places are polygons.
    polygons : str
        The column of these; empty if they are points.
    time : Dated or None
        How columns of dates make some of these.
    where : Where or None
        The condition that rows meet.
    """

    id: str | None
    text_ids: bool
    place: tuple[str, ...]
    lon: str
    lat: str
    rest: pa.Schema
    polygons: str = ""
    time: Dated | None = None
    where: Where | None = None

    def blocks(
        self, pieces: Iterable[Piece], columns: Sequence[str], ids: bool, coded: Sequence[str] = ()
    ) -> Iterator[list[Places]]:
        """Give pieces in order, cut and put together to `BLOCK` rows, and fewer only at the end.

        `columns` are those of `rest` that are wanted, `coded` those of them to read as
        dictionaries; without `ids` they are row numbers of the files.

        Raises
        ------
        WherefromError
            If a file is torn, or an id or a coordinate is not of its kind.
        """
        block: list[Places] = []
        missing = BLOCK
        for (path, keys), own in groupby(pieces, key=lambda piece: (piece.path, piece.keys)):
            # A file's footer can be large: opened once for all its row groups.
            made = {*dict(keys), *(self.time.names.values() if self.time else ())}
            with opened(Path(path), [name for name in coded if name not in made]) as file:
                for piece in own:
                    for places in self._tables(file, piece, columns, ids):
                        at = 0
                        while at < len(places.lon):
                            some = _rows_of(places, at, min(missing, len(places.lon) - at))
                            block.append(some)
                            at += len(some.lon)
                            missing -= len(some.lon)
                            if not missing:
                                yield block
                                block, missing = [], BLOCK
        if block:
            yield block

    def _tables(
        self, file: pq.ParquetFile, piece: Piece, columns: Sequence[str], ids: bool
    ) -> Iterator[Places]:
        if self.where is not None:
            columns = [*columns, *self.where.columns]
        if self.time is not None:
            columns = [*columns, *self.time.needs(columns)]
        numbered = self.id is None or not ids
        extended = bool(self.polygons) and FOOTPRINT in columns
        wanted = [*self.place, *([] if numbered else [self.id]), *columns]
        wanted += [self.polygons] if extended else []
        there = [name for name in dict.fromkeys(wanted) if name in file.schema_arrow.names]
        at = row = 0  # rows before the batch: of the group that count, and all
        for batch in file.iter_batches(
            BLOCK, row_groups=[piece.group], columns=there, use_threads=False
        ):
            table = pa.Table.from_batches([batch])
            if self.where is None:
                first, stop = _within(piece, at, len(batch))
                if first < stop:
                    row = piece.row + at + first - piece.first
                    some = table.slice(first, stop - first)
                    yield self._made(some, piece, columns, numbered, extended, row)
                at += len(batch)
            else:
                places = self._made(table, piece, columns, numbered, extended, piece.row + row)
                kept = np.flatnonzero(self.where.kept(columns_in(places), piece.path))
                first, stop = _within(piece, at, len(kept))
                if first < stop:
                    yield _taken(places, kept[first:stop], piece.start if numbered else 0)
                at, row = at + len(kept), row + len(batch)
            if at >= piece.first + piece.count:
                return

    def _made(
        self,
        table: pa.Table,
        piece: Piece,
        columns: Sequence[str],
        numbered: bool,
        extended: bool,
        row: int,
    ) -> Places:
        """Make places of rows of a file, of which the first is `row`."""
        places = places_of(
            table,
            None if numbered else self.id,
            self.lon,
            self.lat,
            source=piece.path,
            numbered=numbered,
            first=row,
            footprints=extended,
        )
        if extended and FOOTPRINT not in places.rest.column_names:
            raise WherefromError(
                f"{piece.path}: its geometries are points, those of the first file "
                "polygons: keep one kind in a folder"
            )
        keys = [key for key in piece.keys if key[0] in columns]
        places = replace(places, rest=with_keys(places.rest, keys))
        return places if self.time is None else grown(places, self.time, columns, row)


def _within(piece: Piece, at: int, count: int) -> tuple[int, int]:
    """Tell which of `count` rows, before which `at` of the group lie, belong to a piece."""
    return max(piece.first - at, 0), min(piece.first + piece.count - at, count)


def _taken(places: Places, rows: NDArray[np.int64], start: int) -> Places:
    return replace(
        places,
        ids=places.ids[rows] + start if start else places.ids[rows],
        lon=places.lon[rows],
        lat=places.lat[rows],
        rest=places.rest.take(pa.array(rows)),
        given=places.given.slice(0, 0),
    )


def _rows_of(places: Places, first: int, count: int) -> Places:
    if first == 0 and count == len(places.lon):
        return places
    rows = slice(first, first + count)
    return replace(
        places,
        ids=places.ids[rows],
        lon=places.lon[rows],
        lat=places.lat[rows],
        rest=places.rest.slice(first, count),
    )


def joined(arrays: list[Any]) -> Any:
    """Put arrays end to end; a single one stays as it is."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def cut_parts(files: Sequence[FileRows]) -> list[tuple[int, int, tuple[Piece, ...]]]:
    """Cut files into parts: start, count and pieces of each.

    A part has `PART` places, but is not cut within a row group that has more: what lies before the
    cut would be decoded again, once for every part. All cuts are at multiples of `BLOCK`.

    >>> [(start, count) for start, count, _ in cut_parts([FileRows("a", (PART, 5))])]
    [(0, 8388608), (8388608, 5)]
    """
    pieces, ends, total, before = [], [], 0, 0
    whole = {file.path for file in files if not file.whole}
    for file in files:
        row = 0
        for group, rows in enumerate(file.groups):
            pieces.append((total, Piece(file.path, group, 0, rows, row, file.keys, before)))
            if rows > PART:
                ends.append((total, total + rows))
            total, row = total + rows, row + (file.whole or file.groups)[group]
        before += row
    parts, start, at = [], 0, 0
    while start < total:
        stop = start + PART
        for first, last in ends:
            if first < stop < last:
                stop = -(-last // BLOCK) * BLOCK
        stop = min(stop, total)
        own = []
        while at < len(pieces) and pieces[at][0] < stop:
            first, piece = pieces[at]
            skip = max(start - first, 0)
            count = min(first + piece.count, stop) - first - skip
            if count > 0:
                row = piece.row + skip * (piece.path in whole)
                own.append(replace(piece, first=skip, count=count, row=row))
            if first + piece.count > stop:
                break
            at += 1
        parts.append((start, stop - start, tuple(own)))
        start = stop
    return parts


@contextmanager
def opened(path: Path, coded: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; what is torn in it becomes one clear error."""
    try:
        with pq.ParquetFile(
            path, read_dictionary=list(coded), page_checksum_verification=True
        ) as file:
            yield file
    except FileNotFoundError as err:
        raise WherefromError(f"{path}: no such file") from err
    except (pa.ArrowException, OSError) as err:
        raise WherefromError(
            of_the_system(err)
            or f"{path} is a torn Parquet file ({first_line(err)}): copy or write it again"
        ) from err


def reading_of(
    paths: Mapping[Path, Keys],
    id: str | None,
    lon: str,
    lat: str,
    time: str | Dates | None = None,
    where: str | Where | None = None,
) -> tuple[Reading, tuple[FileRows, ...]]:
    """Read the footers of files that make one pool, and see that they have the same columns.

    With a condition, one pass counts the rows of each row group that meet it.

    What folders say of a file is a column where the file has none of that name: of whole numbers
    if all of its values are, written as Python writes them.

    Raises
    ------
    WherefromError
        If one is torn or no Parquet file, lacks a column, has another type of it than the first,
        or has coordinates that are not in degrees.
    """
    first: Reading | None = None
    files: list[FileRows] = []
    condition = Where.of(where)
    texts = texts_among(paths.values())
    for path, keys in paths.items():
        if not is_parquet(path):
            what = in_place_of(path) or "not a Parquet file: take it out of the folder"
            raise WherefromError(f"{path} is {what}")
        with opened(path) as file:
            footer = file.metadata
            groups = tuple(footer.row_group(g).num_rows for g in range(footer.num_row_groups))
            schema = file.schema_arrow
            geometry, _ = geometry_of(schema, str(path))
            polygons = isinstance(lon, Cells) or (first is not None and bool(first.polygons))
            # A few rows: compared, and their kind.
            # Bare WKB is geometry where it is named.
            shaped = geometry is not None or (lon == lat and lon in schema.names)
            if first is None and shaped and not isinstance(lon, Cells):
                there = {lon, lat, geometry or lon} & set(schema.names)
                for batch in islice(file.iter_batches(LOOKED, columns=sorted(there)), 1):
                    few = places_of(
                        pa.Table.from_batches([batch]), None, lon, lat, source=str(path),
                        numbered=True,
                    )  # fmt: skip
                    polygons = FOOTPRINT in few.rest.column_names
        reading = _reading(schema, id, lon, lat, str(path), polygons)
        own = columns_of(keys, schema.names, texts)
        for name, _ in own:
            kind = pa.string() if name in texts else pa.int64()
            reading = replace(reading, rest=reading.rest.append(pa.field(name, kind)))
        reading = _with_time(reading, Dates.of(time), str(path))
        if condition is not None:
            condition.known([*schema.names, *reading.rest.names], str(path))
        files.append(FileRows(str(path), groups, own))
        if first is None:
            first = reading
        else:
            _refuse_other(reading, first, str(path), files[0].path)
    assert first is not None
    if condition is None:
        return first, tuple(files)
    first = replace(first, where=condition)
    counts = parallel.in_order(partial(_counted, reading=first), files)
    kept = [
        replace(file, groups=groups, whole=file.groups)
        for file, groups in zip(files, counts, strict=True)
    ]
    return first, tuple(kept)


def _counted(file: FileRows, reading: Reading) -> tuple[int, ...]:
    """Count the rows of each row group that meet the condition."""
    counts, row = [], 0
    with opened(Path(file.path)) as stream:
        for group, rows in enumerate(file.groups):
            piece = Piece(file.path, group, 0, rows, row, file.keys)
            counts.append(sum(len(some.lon) for some in reading._tables(stream, piece, (), False)))
            row += rows
    return tuple(counts)


def _reading(
    schema: pa.Schema, id_: str | None, lon: str, lat: str, source: str, polygons: bool
) -> Reading:
    # An empty table is refused for what a full one is: columns, types and the CRS.
    places = places_of(schema.empty_table(), id_, lon, lat, source=source)
    names = schema.names
    own = tuple(dict.fromkeys((lon, lat)))
    if not set(own) <= set(names):  # the geometry that `places_of` takes the places from
        own = (str(geometry_of(schema, source)[0]),)
    id_name = id_ or ("id" if "id" in names else None)
    text = places.ids.dtype.kind == "U"
    rest = places.rest
    shape = ""
    if polygons:
        shape = own[0] if len(own) == 1 else str(geometry_of(schema, source)[0])
        rest = with_footprints(rest, np.zeros(0, dtype=object), source)
    return Reading(id_name, text, own, lon, lat, rest.schema.remove_metadata(), shape)


def _with_time(reading: Reading, dates: Dates | None, source: str) -> Reading:
    """Add the columns that dates become."""
    found = None if dates is None else Dated.of(dates, reading.rest, source)
    if found is None:
        return reading
    names, none = found.names.values(), np.zeros(0)
    kept = [field for field in reading.rest if field.name not in names]
    made = [field for field, _ in found.columns(none, none, Days.none(0), names)]
    return replace(reading, rest=pa.schema([*kept, *made]), time=found)


def _refuse_other(reading: Reading, first: Reading, path: str, model: str) -> None:
    """Refuse a file whose columns are not those of the first."""
    for name in (*first.rest.names, *reading.rest.names):
        for one, other, lacking in ((first, reading, path), (reading, first, model)):
            if name in one.rest.names and name not in other.rest.names:
                having = model if lacking is path else path
                raise WherefromError(
                    f"{lacking} has no column {name!r}, which {having} has: files of one pool "
                    "have the same columns; take it out of the folder, or write it again"
                )
        types = [_kind(r.rest.field(name).type) for r in (first, reading)]
        if types[0] != types[1] and "null" not in types:
            raise WherefromError(
                f"{path}: column {name!r} is {types[1]}, but {types[0]} in {model}: files of one "
                "pool have the same columns; take it out of the folder, or write it again"
            )
    if _named(reading) != _named(first):
        raise WherefromError(
            f"{path} has its ids and places in {_named(reading)}, but {model} in {_named(first)}: "
            "files of one pool have the same columns; take it out of the folder, or write it again"
        )


def _named(reading: Reading) -> str:
    kind = "text" if reading.text_ids else "whole numbers"
    ids = "row numbers" if reading.id is None else f"{reading.id!r} ({kind})"
    return ", ".join([ids, *(repr(name) for name in reading.place)])


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return "string" if "string" in str(kind) else str(kind)
