"""A pool as a folder of Parquet files: how they are written, and what is noted beside them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from wherefrom import files
from wherefrom.errors import WherefromError, of_the_system
from wherefrom.pool.keyed import Keys, keys_of
from wherefrom.pool.tables import is_parquet

__all__ = [
    "MANIFEST",
    "FileMark",
    "LabelColumn",
    "Manifest",
    "begin",
    "files_in",
    "finish",
    "NOTE",
    "mark_of",
    "open_writer",
    "part_name",
    "read_manifest",
    "read_part",
    "unread_in",
]

MANIFEST = "_wherefrom.json"

_PARQUET = (".parquet", ".geoparquet", ".parq", ".pq")
#: Names of tables that are not read as part of a folder.
_TABLES = (
    *(f".{kind}{packed}" for kind in ("csv", "tsv") for packed in ("", ".gz", ".zst", ".bz2")),
    *(".gpkg", ".geojson", ".shp", ".fgb", ".xlsx", ".feather", ".arrow", ".orc"),
)
#: Folders in which other programs note which files of a table still count.
_LAKES = {"_delta_log": "Delta Lake", ".hoodie": "Hudi", "metadata": "Iceberg"}

#: Where a part notes what it is and what was counted in it, in the Parquet file's own metadata.
NOTE = b"wherefrom_part"


@dataclass(frozen=True)
class LabelColumn:
    """What is known of a label column: all labels, the places of each, and the labels' key."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    key: str


@dataclass(frozen=True)
class FileMark:
    """A file as it was written: its rows, its bytes, and a hash of its footer.

    The footer holds where each column lies, how long it is, and its least and largest value.
    """

    name: str
    rows: int
    bytes: int
    footer: str


@dataclass(frozen=True)
class Manifest:
    """What is noted beside the files, named in the pool's order: nobody has to read them for it."""

    origin: str
    key: str
    places: int
    notes: tuple[str, ...]
    labels: dict[str, LabelColumn]
    files: tuple[FileMark, ...]


def part_name(number: int) -> str:
    """Return a part's file name, such that names sort as numbers do."""
    return f"part-{number:05d}.parquet"


def files_in(folder: Path) -> dict[Path, Keys]:
    """Return the Parquet files of a folder and of those in it, by name, without hidden ones.

    With each go the values that folders named ``key=value`` give all its rows.

    Raises
    ------
    WherefromError
        If there are none, or the folder holds several pools, or versions of one.
    """
    found = _parquet_in(folder)
    if not found:
        other = next(unread_in(folder), None)
        hint = "" if other is None else f", but {other.relative_to(folder)} and the like"
        raise WherefromError(
            f"{folder} has no Parquet files{hint}: name a folder of files that end in .parquet, or "
            "a file"
        )
    return {path: keys_of(folder, path.relative_to(folder).parent.parts) for path in found}


def unread_in(folder: Path) -> Iterator[Path]:
    """Give the tables in a folder that are no Parquet files, and so are not read."""
    return (path for path in _walk(folder) if path.name.lower().endswith(_TABLES))


def _walk(folder: Path) -> Iterator[Path]:
    """Give all files that are not hidden, by name."""
    found = []
    for top, below, names in os.walk(folder, onerror=_refuse, followlinks=True):
        here = Path(top)
        lake = next((log for log in _LAKES if log in below), None)
        if "metadata" in below and any((here / "metadata").glob("*.metadata.json")):
            lake = "metadata"
        if lake:
            raise WherefromError(
                f"{here} is a table of {_LAKES[lake]}, whose files hold rows of other versions "
                "too: write the version that you want as a folder of Parquet files"
            )
        if MANIFEST in names and here != folder:
            raise WherefromError(f"{folder} holds pools, such as {here}: name one of them")
        if here.is_symlink() and here.resolve() in (up.resolve() for up in here.parents):
            below.clear()  # a link upwards
            continue
        below[:] = [name for name in below if name[0] not in "._" or "=" in name]
        found += [here / name for name in names if name[0] not in "._"]
    yield from sorted(found, key=lambda path: path.relative_to(folder).parts)


def _refuse(err: OSError) -> NoReturn:
    """Refuse a folder that cannot be listed, whose files would be missing."""
    raise WherefromError(
        of_the_system(err) or f"cannot read {err.filename}: {err.strerror}"
    ) from err


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file for a pool's columns.

    Whole-number ids are stored as differences, coordinates byte by byte: 14.3 bytes a place that
    is uniform on land, of which 13 are the random digits of the coordinates.
    """
    encoding = {"lon": "BYTE_STREAM_SPLIT", "lat": "BYTE_STREAM_SPLIT"}
    if pa.types.is_integer(schema.field("id").type):
        encoding["id"] = "DELTA_BINARY_PACKED"
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[name for name in schema.names if name not in ("id", "lon", "lat")],
        column_encoding=encoding,
        write_page_checksum=True,
    )


def mark_of(path: Path) -> FileMark:
    """Return the mark of a Parquet file.

    Raises
    ------
    WherefromError
        If it has no whole footer.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 8))
        tail = stream.read()
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or length + 12 > size:
            raise WherefromError(f"{path} is a torn Parquet file: copy or write it again")
        stream.seek(size - 8 - length)
        footer = stream.read(length)
    rows = pq.read_metadata(path).num_rows
    return FileMark(path.name, rows, size, hashlib.sha256(footer).hexdigest()[:16])


def read_part(path: Path, job: str) -> dict[str, Any] | None:
    """Return what a finished part of a job noted, or None if there is none."""
    if not path.exists():
        return None
    try:
        written = (pq.read_metadata(path).metadata or {}).get(NOTE)
    except (pa.ArrowException, OSError):  # torn by a disk: to be written again
        return None
    note = json.loads(written or b"{}")
    return note if note.get("job") == job else None


def begin(folder: Path, job: str) -> None:
    """Make a folder for the parts of a job, or find the one that was begun before.

    Raises
    ------
    WherefromError
        If it holds anything else, which stays as it is.
    """
    with files.disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise WherefromError(f"cannot write {folder}: it is a file; name a folder")
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / MANIFEST).exists():
            if _written(folder).get("job") != job:
                raise WherefromError(
                    f"{folder} holds another pool, or the half of one: name another folder, or "
                    "delete it first"
                )
            return
        if any(folder.iterdir()):
            raise WherefromError(f"{folder} is not empty: name a new folder")
    _write(folder, {"complete": False, "job": job})


def finish(folder: Path, job: str, manifest: Manifest) -> None:
    """Note that all parts are there, and drop what killed processes left."""
    _write(folder, {"complete": True, "job": job, **asdict(manifest)})
    for stray in folder.glob(".part-*.parquet"):
        stray.unlink(missing_ok=True)


def read_manifest(folder: Path) -> Manifest | None:
    """Return what is noted beside the files, or None if nothing is.

    Raises
    ------
    WherefromError
        If the folder is half written, or its files are not those that were noted.
    """
    if not (folder / MANIFEST).exists():
        return None
    about = _written(folder)
    if not about.get("complete"):
        raise WherefromError(
            f"{folder} is half written: run the command that writes it again, it goes on where it "
            "was stopped"
        )
    try:
        manifest = TypeAdapter(Manifest).validate_python(about)
    except ValidationError as err:
        raise _unreadable(folder) from err
    names = {path.relative_to(folder).as_posix() for path in _parquet_in(folder)}
    for mark in manifest.files:
        if mark.name not in names:
            raise WherefromError(f"{folder} lacks {mark.name}{_AS_THEY_ARE}")
        if mark_of(folder / mark.name) != mark:
            raise WherefromError(f"{folder / mark.name} was changed or is damaged{_AS_THEY_ARE}")
    others = names - {mark.name for mark in manifest.files}
    if others:
        raise WherefromError(f"{folder} has one file too many, {min(others)}{_AS_THEY_ARE}")
    return manifest


def _parquet_in(folder: Path) -> list[Path]:
    return [
        path
        for path in _walk(folder)
        if path.suffix.lower() in _PARQUET or ("." not in path.name and is_parquet(path))
    ]


_AS_THEY_ARE = (
    f" ({MANIFEST} says otherwise): copy or write the folder again, or delete {MANIFEST} to use "
    "the files as they are"
)


def _written(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as err:
        raise _unreadable(folder, of_the_system(err)) from err
    if not isinstance(about, dict):
        raise _unreadable(folder)
    return about


def _unreadable(folder: Path, lack: str = "") -> WherefromError:
    return WherefromError(
        lack
        or f"{folder / MANIFEST} cannot be read: delete it to use the Parquet files as they are"
    )


def _write(folder: Path, about: Mapping[str, Any]) -> None:
    with files.atomic(folder / MANIFEST) as tmp:
        tmp.write_text(json.dumps(about, indent=1) + "\n", "utf-8")
