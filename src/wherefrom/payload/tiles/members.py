"""Which tiles there are, by name, and where their bytes lie: folders, tars, Zarr, tables."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom.earth.kept import keep
from wherefrom.errors import WherefromError
from wherefrom.files import walked
from wherefrom.keys import key_of
from wherefrom.payload.matching import no_text
from wherefrom.payload.tiles import zarr
from wherefrom.payload.tiles.geotiff import DamagedError
from wherefrom.pool.tables import absent, first_line, ids_of, read_table
from wherefrom.shown import count_of

__all__ = ["GEOTIFF", "KINDS", "ZARR", "Members", "members_of", "named"]

GEOTIFF, ZARR, TAR = (".tif", ".tiff"), (".zarr.zip",), (".tar",)
KINDS = GEOTIFF + ZARR + TAR
#: Raised by hand when an index has other columns.
_VERSION = 2
_SUFFIX = r"(?i)(\.tiff?|\.zarr\.zip)$"
#: Bytes at the end of a tar that are looked at: its end is filled up with zeros.
_TAIL = 1 << 20
#: Bytes `at` to `at + size` of a file are a tile; size -1: the whole file. `sample` counts the
#: tiles of a Zarr of several.
_COLUMNS = pa.schema(
    {"name": pa.string(), "at": pa.int64(), "size": pa.int64(), "sample": pa.int64()}
)


@dataclass(frozen=True, eq=False)
class Members:
    """Tiles in the order of their files and of their places in them.

    Attributes
    ----------
    files : tuple of str
    file : (M,) int64 array
        Position in `files` of each.
    table : pyarrow.Table
        Names, and where in the file they lie.
    torn : tuple of (str, str)
        Files that were not whole, and what is wrong with them.
    """

    files: tuple[str, ...]
    file: NDArray[np.int64]
    table: pa.Table
    torn: tuple[tuple[str, str], ...] = ()

    def label(self, member: int) -> str:
        """Name a tile in a message."""
        file, name = self.files[self.file[member]], self.table["name"][member].as_py()
        return file if file.endswith(name) else f"{file}: {name}"

    def but(self, found: NDArray[np.int64]) -> str:
        """Return the name of the first tile that is not among those found, if there is one."""
        others = np.ones(len(self.table), dtype=bool)
        others[found[found >= 0]] = False
        return str(self.table["name"][int(others.argmax())].as_py()) if others.any() else ""

    def find(self, keys: pa.Array) -> NDArray[np.int64]:
        """Find tiles by name: the path or the file's name alone, with or without its suffix.

        Of these four, the one by which most are found serves for all.

        Returns
        -------
        (N,) int64 array
            -1 where there is none.

        Raises
        ------
        WherefromError
            If two tiles have a name that is sought.
        """
        whole = self.table["name"].combine_chunks()  # an array of one piece
        bare = pc.replace_substring_regex(whole, r"^.*/", "")
        cut = [pc.replace_substring_regex(n, _SUFFIX, "") for n in (bare, whole)]
        found = [(pc.index_in(keys, value_set=names), names) for names in (whole, bare, *cut)]
        at, names = max(found, key=lambda one: one[0].null_count * -1)
        sought = names.filter(pc.is_in(names, value_set=keys))
        counts = pc.value_counts(sought)
        twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        if len(twice):
            same = np.flatnonzero(pc.equal(names, twice[0]).to_numpy(False))
            raise WherefromError(
                f"two tiles are called {twice[0].as_py()!r}: {self.label(same[0])} and "
                f"{self.label(same[1])}; name one folder or tar, or by `name` more of a tile's path"
            )
        return np.asarray(at.fill_null(-1).to_numpy(False), dtype=np.int64)


def named(ids: NDArray[Any], name: str) -> pa.Array:
    """Make the names of tiles of ids, by a pattern such as ``patch_{id}.tif``.

    Raises
    ------
    WherefromError
        If the pattern does not hold ``{id}`` once, or does not fit the ids.

    Examples
    --------
    >>> named(np.array([7, 21]), "s2/{id:04d}.tif").to_pylist()
    ['s2/0007.tif', 's2/0021.tif']
    """
    try:
        fields = [field for _, field, _, _ in Formatter().parse(name) if field is not None]
        if fields != ["id"]:
            raise ValueError("it must hold {id} once")
        if name == "{id}":
            return pa.array(ids.astype(np.str_), pa.string())
        return pa.array([name.format(id=one) for one in ids.tolist()], pa.string())
    except ValueError as err:
        raise WherefromError(f"name {name!r} makes no name of a tile of an id: {err}") from err


def members_of(path: Path) -> Members:
    """Find the tiles of a folder, a tar, a Zarr, or a table of ``id`` and ``path``.

    Raises
    ------
    WherefromError
        If there is nothing, or several kinds of files that hold tiles.
    """
    if path.is_dir():
        return _of_folder(path)
    if not path.exists():
        raise absent(path, "file or folder")
    if _is(path.name, (*TAR, *ZARR)):
        return _joined([path])
    if _is(path.name, GEOTIFF):
        return Members((str(path),), np.zeros(1, np.int64), _whole([path.name]))
    return _of_table(path)


def _of_folder(folder: Path) -> Members:
    names = sorted(one.relative_to(folder).as_posix() for one in walked(folder))
    kinds = {what: [n for n in names if _is(n, what)] for what in (GEOTIFF, TAR, ZARR)}
    there = [what for what, some in kinds.items() if some]
    if len(there) != 1:
        firsts = " and ".join(kinds[what][0] for what in there)
        raise WherefromError(
            f"{folder} holds tiles in several ways ({firsts}): name a folder of one of them"
            if there
            else f"{folder} holds no GeoTIFF (.tif), tar (.tar) or Zarr (.zarr.zip): name the "
            "folder of the tiles, or a table of `id` and `path`"
        )
    found = kinds[there[0]]
    if there[0] != GEOTIFF:
        return _joined([folder / name for name in found])
    files = tuple(str(folder / name) for name in found)
    return Members(files, np.arange(len(files)), _whole(found))


def _of_table(path: Path) -> Members:
    table = read_table(path)
    for column in ("id", "path"):
        if column not in table.column_names:
            raise WherefromError(
                f"{path} has no column {column!r} (it has {', '.join(table.column_names)}): a "
                "table of tiles has `id` and `path`; or name a folder or a tar"
            )
    ids = pa.array(ids_of(table["id"], "id", str(path)).astype(np.str_), pa.string())
    files = []
    for row, one in enumerate(table["path"].to_pylist()):
        inner = Path(one or "")
        if not one or inner.is_absolute() or ".." in inner.parts or not _is(one, GEOTIFF + ZARR):
            raise WherefromError(
                f"{path}: path {one!r} in row {row} is no GeoTIFF (.tif) or Zarr (.zarr.zip) below "
                f"the table's folder {path.parent}"
            )
        files.append(str(path.parent / inner))
    return Members(tuple(files), np.arange(len(files)), _whole(ids))


def _whole(names: Iterable[str] | pa.Array) -> pa.Table:
    """Describe files that are a tile each."""
    column = pa.array(names, pa.string())
    zeros = np.zeros(len(column), np.int64)
    rest = [pa.array(values) for values in (zeros, zeros - 1, zeros)]
    return pa.Table.from_arrays([column, *rest], schema=_COLUMNS)


def _joined(files: list[Path]) -> Members:
    """Index tars or Zarrs, each once: what was read of one stays in the cache."""
    tables = [_indexed(path) for path in files]
    counts = [len(table) for table in tables]
    notes = [(table.schema.metadata or {}).get(b"torn", b"").decode() for table in tables]
    torn = tuple((str(f), note) for f, note in zip(files, notes, strict=True) if note)
    joined = pa.concat_tables(tables).combine_chunks()
    return Members(tuple(map(str, files)), np.repeat(np.arange(len(files)), counts), joined, torn)


def _indexed(path: Path) -> pa.Table:
    facts = path.stat()
    about = [_VERSION, str(path.absolute()), facts.st_size, facts.st_mtime_ns]
    make = _of_tar if _is(path.name, TAR) else _of_zarr
    file = f"tiles-{key_of(about)}.parquet"
    return keep(file, lambda: make(path), pq.write_table, _read_index)


def _read_index(stream: BinaryIO) -> pa.Table:
    try:
        return pq.read_table(stream)
    except pa.ArrowException as err:
        raise ValueError(first_line(err)) from err


def _of_tar(path: Path) -> pa.Table:
    """Read the headers of a tar, not what is between them."""
    rows, torn = [], ""
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            size = os.fstat(stream.fileno()).st_size
            try:
                while (one := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # else it keeps all
                    if one.isreg() and not one.issparse() and one.offset_data + one.size <= size:
                        rows.append((one.name.removeprefix("./"), one.offset_data, one.size, 0))
            except tarfile.TarError:
                torn = "is cut short"
            # A header that is damaged counts as the end for tarfile; the end is zeros.
            stream.seek(archive.offset)
            tail = stream.read(_TAIL)
            if not torn and len(tail) < tarfile.BLOCKSIZE:
                torn = "is cut short"
            elif not torn and any(tail[: tarfile.BLOCKSIZE]):
                torn = "is damaged"
                if not tail.startswith(b"ustar", 257):  # no header: bytes before it may be gone
                    rows = rows[:-1]
            elif not torn and any(tail):
                torn = "goes on after its end, as tars do that were put together,"
    except tarfile.TarError as err:
        raise WherefromError(
            f"{path} is no tar ({first_line(err)}): if it is compressed, unpack it; else copy it "
            "again"
        ) from err
    except OSError as err:
        raise WherefromError(f"cannot read {path}: {err.strerror}") from err
    tiles = [row for row in rows if _is(row[0], GEOTIFF + ZARR)]
    notes = [f"{torn} after {len(rows):,} whole members"] if torn else []
    odd = [name for name, *_ in tiles if no_text(name)]
    if odd:
        notes.append(f"has {count_of(len(odd), 'tile')} whose name is no UTF-8, such as {odd[0]!a}")
        tiles = [row for row in tiles if not no_text(row[0])]
    note = "; it ".join(notes)
    columns = zip(*tiles, strict=True) if tiles else ([],) * len(_COLUMNS)
    made = pa.Table.from_arrays(
        [pa.array(c, kind) for c, kind in zip(columns, _COLUMNS.types, strict=True)],
        schema=_COLUMNS,
    )
    return made.replace_schema_metadata({"torn": note})


def _of_zarr(path: Path) -> pa.Table:
    """Read which samples a Zarr has; one without an axis of samples is named by its file."""
    try:
        with zipfile.ZipFile(path) as store:
            if len(zarr.shape_of(store)) < 5:
                return _whole([path.name])
            names = zarr.texts(store, "sample")
    except (DamagedError, zipfile.BadZipFile, NotImplementedError, OSError) as err:
        said = str(err) if isinstance(err, DamagedError) else f"cannot be read ({first_line(err)})"
        return _whole([]).replace_schema_metadata({"torn": said})
    table = _whole(names)
    return table.set_column(3, _COLUMNS.field("sample"), pa.array(range(len(names)), pa.int64()))


def _is(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not name.rpartition("/")[2].startswith(".")
