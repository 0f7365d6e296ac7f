"""Pre-training pools and benchmarks that are known: ``known.toml``, typed, and its layouts."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import shapely
from pydantic import BaseModel, ConfigDict, model_validator

from wherefrom.errors import WherefromError, of_the_system, unknown
from wherefrom.pool.tables import absent, read_table

__all__ = [
    "Known",
    "KnownFile",
    "Reads",
    "entries",
    "entry",
    "hint",
    "overview",
    "recognised",
    "table_of",
]

Layout = Literal["table", "pairs", "records", "points", "wkt", "none"]


class KnownFile(BaseModel):
    """One file of places of an entry; `rows` and `places` are 0 where they are not stated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int = 0
    places: int = 0


class Reads(BaseModel):
    """How the file that lists an entry's places is read: names of columns, empty for none.

    Attributes
    ----------
    layout : {"table", "pairs", "records", "points", "wkt", "none"}
        ``"table"`` is opened as it is, ``"none"`` holds no places; of the others `table_of` makes
        a table.
    id, lon, lat, geometry : str
        Columns of ids, of degrees, or of points or footprints in their place.
    place : str
        Column whose values are places where these have several rows.
    time : str
        Column of dates.
    grid, cell : str
        Grid that the places are cells of, and the column that names them.
    test : str
        What ``--test`` takes to tell the test places from the others.
    required : tuple of str
        Columns by which such a file is recognised; none, if it never is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Layout
    id: str = ""
    lon: str = ""
    lat: str = ""
    geometry: str = ""
    place: str = ""
    time: str = ""
    grid: str = ""
    cell: str = ""
    test: str = ""
    required: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Reads:
        if bool(self.lon) != bool(self.lat) or bool(self.grid) != bool(self.cell):
            raise ValueError("lon and lat, and grid and cell, are named together")
        if (self.layout == "none") == bool(self.lon or self.geometry):
            raise ValueError("a layout has lon and lat or a geometry, unless it is none")
        return self

    @property
    def options(self) -> dict[str, str]:
        """Options of ``wherefrom audit`` that name the columns; those of its defaults left out."""
        geometry = "" if self.geometry == "geometry" or self.layout == "wkt" else self.geometry
        named = {
            "--id": self.id,
            "--lon": self.lon,
            "--lat": self.lat,
            "--geometry": geometry,
            "--place": self.place,
            "--time": self.time,
            "--test": self.test,
        }
        usual = {"--id": "id"}
        if (self.lon, self.lat) == ("lon", "lat"):  # one of them is never named alone
            usual |= {"--lon": "lon", "--lat": "lat"}
        return {flag: name for flag, name in named.items() if name and usual.get(flag) != name}


class Known(BaseModel):
    """One pre-training pool or benchmark.

    Attributes
    ----------
    name : str
        Key in ``known.toml``.
    title, licence, citation, format : str
        For people; the licence is ``"unknown"`` where none was found.
    kind : {"pool", "benchmark"}
        What models are pre-trained on, or what they are tested on.
    address : str
        Of the file that lists the places, or of the page that leads to it.
    rows, places : int
        Rows of that file and different places, as the source states them; 0 where it does not.
    stated : str
        The source's words where it gives neither.
    source : tuple of str
        Addresses where these facts stand.
    unverified : tuple of str
        Fields that come from elsewhere than the publisher, or could not be looked up.
    caveats : tuple of str
        What to know before the numbers are believed.
    files : tuple of KnownFile
        Files of places, where there are several or their names matter.
    reads : Reads
        What the columns are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    kind: Literal["pool", "benchmark"]
    address: str
    format: str
    licence: str
    citation: str
    source: tuple[str, ...]
    reads: Reads
    rows: int = 0
    places: int = 0
    stated: str = ""
    unverified: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    files: tuple[KnownFile, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Known:
        if not self.source:
            raise ValueError("an entry needs the source of its facts")
        odd = set(self.unverified) - type(self).model_fields.keys()
        if odd:
            raise ValueError(f"unverified names no field: {', '.join(sorted(odd))}")
        return self

    @property
    def count(self) -> str:
        """How many places, else rows, else the source's words, else a question mark.

        >>> entry("pastis").count, entry("mmearth").count, entry("geo-bench").count
        ('2,433', '1.2M tiles', '?')
        """
        if self.places:
            return f"{self.places:,}"
        return f"{self.rows:,} rows" if self.rows else self.stated or "?"

    @property
    def file(self) -> str:
        """Name of the file of places: the first of `files`, else that of the address."""
        return self.files[0].name if self.files else self.address.rpartition("/")[2]


@cache
def entries() -> dict[str, Known]:
    """Return all known pools and benchmarks by name."""
    text = resources("wherefrom.pool").joinpath("known.toml").read_text("utf-8")
    return {name: Known(name=name, **about) for name, about in tomllib.loads(text).items()}


def entry(name: str) -> Known:
    """Return one known pool or benchmark.

    Raises
    ------
    WherefromError
        If there is none of this name; names the nearest one.

    Examples
    --------
    >>> entry("ssl4eo-s12-v1.1").reads.place
    'sample_id'
    """
    try:
        return entries()[name]
    except KeyError:
        raise unknown("pool or benchmark", name, entries()) from None


def recognised(columns: Iterable[str]) -> Known | None:
    """Tell by its columns which known file a table is, if any.

    All columns that an entry requires must be there, written as the publisher does; of several
    entries the one that requires most is taken, and none where two require as many.

    Examples
    --------
    >>> found = recognised(["fn", "lon", "lat", "patch_idx", "shard"])
    >>> found.name, found.reads.options
    ('s2-100k', {'--id': 'fn'})
    >>> recognised(["id", "lon", "lat"]) is None
    True
    """
    names = set(columns)
    found = [one for one in entries().values() if one.reads.required]
    found = [one for one in found if names.issuperset(one.reads.required)]
    found.sort(key=lambda one: -len(one.reads.required))
    sizes = [len(one.reads.required) for one in found]
    return found[0] if sizes and sizes.count(sizes[0]) == 1 else None


def hint(columns: Iterable[str], given: Iterable[str]) -> str:
    """Say which known file a table is, and the flags that read it, if some are not given.

    Empty where there is nothing to say.

    Examples
    --------
    >>> hint(["fn", "lon", "lat", "patch_idx", "shard"], [])
    'the columns are those of s2-100k, which is read with --id fn'
    """
    known = recognised(columns)
    flags = known.reads.options if known else {}
    if known is None or not flags or set(flags) <= set(given):
        return ""
    said = " ".join(f"{flag} {shlex.quote(name)}" for flag, name in flags.items())
    return f"the columns are those of {known.name}, which is read with {said}"


def overview() -> str:
    """Return the table of docs/known.md: a line of Markdown an entry.

    Examples
    --------
    >>> overview().splitlines()[0]
    '| name | kind | places | licence | what |'
    """
    rows = [
        f"| [`{one.name}`]({one.address}) | {one.kind} | {one.count} | {one.licence} | "
        f"{one.title} |"
        for one in entries().values()
    ]
    return "\n".join(["| name | kind | places | licence | what |", "|---|---|---|---|---|", *rows])


def table_of(known: Known, path: Path | str) -> pa.Table:
    """Make a table of an entry's file of places, whatever its layout.

    Parameters
    ----------
    known : Known
        As of `entry`.
    path : Path or str
        The publisher's file.

    Returns
    -------
    pyarrow.Table
        With the columns that ``known.reads`` names; of a column of WKT one of WKB, ``geometry``,
        noted as GeoParquet's. Degrees are float64.

    Raises
    ------
    WherefromError
        If the file cannot be read, is not of the layout (names the first row at fault), or the
        entry has no file of places.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "lon_lats.json"
    >>> _ = file.write_text("[[1.5, 2], [3, -4]]")
    >>> table_of(entry("olmoearth"), file).to_pydict()
    {'lon': [1.5, 3.0], 'lat': [2.0, -4.0]}
    """
    path, layout = Path(path), known.reads.layout
    if layout == "none":
        why = f": {known.caveats[0]}" if known.caveats else ""
        raise WherefromError(f"{known.name} has no table of places{why}")
    if layout == "table":
        return read_table(path, id=known.reads.id or "id")
    if layout == "wkt":
        return _of_wkt(read_table(path), known.reads.geometry, path)
    made = _LAYOUTS[layout](_json(path), known.reads, path)
    if not made.num_rows:
        raise WherefromError(f"{path} has no places: download it again")
    return made


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise absent(path, "file") from None
    except OSError as err:
        raise WherefromError(of_the_system(err) or f"cannot read {path}: {err.strerror}") from err
    except ValueError as err:  # of the encoding or of JSON
        raise WherefromError(f"{path} is not JSON ({err}): download it again") from err


def _pairs(data: Any, reads: Reads, path: Path) -> pa.Table:
    """Read [[lon, lat, ...], ...]; what follows the two is left out."""
    if not isinstance(data, list):
        raise _odd(path, "a list of [lon, lat]")
    for row, one in enumerate(data):
        if not (isinstance(one, list) and len(one) > 1 and all(map(_is_number, one[:2]))):
            raise _odd(path, "a list of [lon, lat]", row, one)
    x, y = (np.array([one[i] for one in data], dtype=np.float64) for i in (0, 1))
    return pa.table({reads.lon: x, reads.lat: y})


def _points(data: Any, reads: Reads, path: Path) -> pa.Table:
    """Read {"points": [[lon, lat, ...], ...]}."""
    if not (isinstance(data, dict) and "points" in data):
        raise _odd(path, 'an object with a list "points"')
    return _pairs(data["points"], reads, path)


def _records(data: Any, reads: Reads, path: Path) -> pa.Table:
    """Read {id: {lon: ..., lat: ..., time: ...}, ...}; a time that is absent is null."""
    what = f"an object of ids, each with {reads.lon} and {reads.lat}"
    if not isinstance(data, dict):
        raise _odd(path, what)
    for name, one in data.items():
        places = [one.get(reads.lon), one.get(reads.lat)] if isinstance(one, dict) else []
        if not (places and all(map(_is_number, places))):
            raise _odd(path, what, name, one)
    columns: dict[str, Any] = {reads.id: pa.array(list(data), pa.string())}
    for name in (reads.lon, reads.lat):
        columns[name] = np.array([one[name] for one in data.values()], dtype=np.float64)
    if reads.time:
        dates = (one.get(reads.time) for one in data.values())
        columns[reads.time] = pa.array([None if date is None else str(date) for date in dates])
    return pa.table(columns)


def _of_wkt(table: pa.Table, name: str, path: Path) -> pa.Table:
    if name not in table.column_names:
        raise WherefromError(f"{path} has no column {name!r} of polygons: {table.column_names}")
    texts = [None if text is None else str(text) for text in table[name].to_pylist()]
    shapes = shapely.from_wkt(texts, on_invalid="ignore")
    if len(lost := np.flatnonzero(shapely.is_missing(shapes))):
        row = int(lost[0])
        raise WherefromError(
            f"{path}, row {row}: {name} is no geometry in WKT ({str(texts[row])[:40]!r}): mend or "
            "drop the row"
        )
    geo = {"version": "1.0.0", "primary_column": "geometry"}
    about = {"encoding": "WKB", "geometry_types": sorted({shape.geom_type for shape in shapes})}
    noted = {b"geo": json.dumps(geo | {"columns": {"geometry": about}}).encode()}
    kept = table.drop_columns([name]).append_column("geometry", pa.array(shapely.to_wkb(shapes)))
    return kept.replace_schema_metadata(noted)


def _is_number(value: Any) -> bool:
    """Tell numbers from all else, also from whole ones that no float64 holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < 2**53


def _odd(path: Path, what: str, row: Any = None, held: Any = None) -> WherefromError:
    at = "" if row is None else f", entry {row!r} ({json.dumps(held)[:40]})"
    return WherefromError(f"{path}{at} is not {what}: name the publisher's file as it is")


#: Layout of JSON -> its reader.
_LAYOUTS: dict[str, Callable[[Any, Reads, Path], pa.Table]] = {
    "pairs": _pairs,
    "points": _points,
    "records": _records,
}
