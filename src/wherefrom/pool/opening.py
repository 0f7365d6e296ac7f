"""Opening a pool: in memory if it fits, else as a scan of its files, checked in one pass."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wherefrom.earth.addresses import here
from wherefrom.errors import WherefromError, unknown
from wherefrom.files import in_place_of
from wherefrom.pool.check import Finding, examine, refuse_errors
from wherefrom.pool.examining import ALL_REPEATS, examine_dates, examine_scan
from wherefrom.pool.keyed import keys_of
from wherefrom.pool.partition import MANIFEST, Manifest, files_in, read_manifest, unread_in
from wherefrom.pool.places import Pool, origin_of, where_of
from wherefrom.pool.reading import opened, reading_of
from wherefrom.pool.scan import IN_MEMORY, PoolScan
from wherefrom.pool.seasons import SPAN, Dates, tell
from wherefrom.pool.tables import NoColumnError, absent, is_parquet, names_of, read_places
from wherefrom.pool.text import TEXT
from wherefrom.pool.together import numbers_of, said_apart
from wherefrom.pool.where import picked
from wherefrom.progress import say

__all__ = ["Inspected", "inspect", "open_beside", "open_pool", "scan"]


def open_pool(
    path: Path | str,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    geometry: str | None = None,
    time: str | Dates | None = None,
    grid: str | None = None,
    cell: str | None = None,
    where: str | None = None,
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
    geometry : str, optional
        Column of points, in place of `lon` and `lat`.
    time : str or Dates, optional
        Column of dates, which become label columns; see `wherefrom.pool.seasons.dated`. A pool
        that is scanned has no ``year_span``; where ``Dates.spans`` asks for it, it is loaded.
    grid : str, optional
        Kind of a grid, such as ``"mgrs"`` (`wherefrom.earth.grids.grid`), of which `cell` holds the
        ids of cells: these are footprints. In place of `lon` and `lat`.
    cell : str, optional
        Column of these; by default that of the ids.
    where : str, optional
        A condition on columns, such as ``"cloud < 0.3"``, that the rows must meet; see
        `wherefrom.pool.where.Where`. Ids that are row numbers stay those of all rows.

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
    path = here(path)
    if not _large(path):
        return Pool.read(path, id, lon, lat, geometry, time, grid, cell, where)
    pool, dates = scan(path, id, lon, lat, geometry, time, grid, cell, where), Dates.of(time)
    if pool.reading.time is None or dates is None or not dates.spans:
        return pool
    if len(pool) > IN_MEMORY:
        raise WherefromError(
            f"{SPAN}: {path} has {len(pool):,} rows, more than the {IN_MEMORY:,} whose places are "
            "compared: name year, or draw a thinner pool first"
        )
    return pool.load()


def open_beside(
    path: Path | str, lon: str = "lon", lat: str = "lat", time: str | Dates | None = None
) -> Pool | PoolScan:
    r"""Open a file that is read beside another, whose columns are `lon` and `lat`.

    Its own are named as these, or lon and lat; those of our own writing always are. It need not
    have the column of dates.

    Raises
    ------
    WherefromError
        As `open_pool`, with a remedy in the file: options name the columns of the other.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "tests.csv"
    >>> _ = file.write_text("x,y\n1,2\n")
    >>> len(open_beside(file, "x", "y"))
    1
    """
    path, usual, dates = here(path), ("lon", "lat"), Dates.of(time)
    if dates is not None:
        dates = replace(dates, place=None, optional=True)
    for names in [usual] if _written_here(path) else dict.fromkeys([(lon, lat), usual]):
        try:
            return open_pool(path, None, *names, time=dates)
        except NoColumnError:
            pass
        except WherefromError as err:
            mend = "exchange the names of these columns"
            said = re.sub(r"give --lon .+ --lat \S+", mend, str(err.args[0]))
            raise WherefromError(said) from None
    named = " and ".join(map(repr, dict.fromkeys([lon, lat])))
    or_usual = "" if (lon, lat) == usual else ", nor 'lon' and 'lat'"
    raise WherefromError(f"{path} has no column {named}{or_usual}: name its coordinates so")


def _written_here(path: Path) -> bool:
    """Say whether a pool is of our own writing, whose columns lon and lat are never exchanged."""
    try:
        return b"wherefrom" in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def scan(
    path: Path | str,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    geometry: str | None = None,
    time: str | Dates | None = None,
    grid: str | None = None,
    cell: str | None = None,
    where: str | None = None,
) -> PoolScan:
    """Open a pool that stays in its files, whatever its size.

    A folder that wherefrom wrote is taken by what is noted beside its files, once these are seen
    to be the noted ones. Anything else is checked in one pass: coordinates, ids, repeats, and the
    key. If ids do not ascend, further passes compare 2^26 of them at a time.

    Parameters
    ----------
    path : Path or str
        A folder of Parquet files of the same columns, taken by name, those of folders in it too
        (hidden ones are left out), or one Parquet file; a folder ``key=value`` gives its files a
        column.
    id, lon, lat, geometry, time, grid, cell, where
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
    path = here(path)
    pool, noted = _unchecked(path, *names_of(id, lon, lat, geometry, grid, cell), time, where)
    tell(str(path), examine_dates(pool))
    if noted is not None:
        known = {name: column for name, column in noted.labels.items() if name in pool.columns}
        return replace(pool, key=noted.key, origin=noted.origin, notes=noted.notes, known=known)
    seen = examine_scan(pool)
    refuse_errors(seen.findings, str(path))
    origin = ""
    if len(pool.files) == 1:
        with opened(Path(pool.files[0].path)) as file:
            origin = origin_of((file.schema_arrow.metadata or {}).get(b"wherefrom"))
    if where is not None:
        origin = where_of(origin, where)
    notes = tuple(finding.message for finding in seen.findings)
    return replace(pool, key=seen.key, origin=origin, notes=notes)


@dataclass(frozen=True)
class Inspected:
    """What `inspect` sees in a table of places.

    `columns` are the others than ids and coordinates; `lon`, `lat` the least and the largest, NaN
    where rows are faulty. `places` are the different ones, unless `exact` about so many.
    """

    rows: int
    text_ids: bool
    columns: tuple[str, ...]
    lon: tuple[float, float]
    lat: tuple[float, float]
    findings: list[Finding]
    places: int
    exact: bool = True
    notes: tuple[str, ...] = ()


def inspect(
    path: Path | str,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    time: str | Dates | None = None,
    place: str | None = None,
    where: str | None = None,
) -> Inspected:
    """Look at every row of a table of places, and tell faults instead of refusing them.

    The arguments are as in `open_pool`; rows of one value of the column `place` are one place. What
    is noted beside the files of a folder is compared, not believed.

    Raises
    ------
    WherefromError
        If a file cannot be read or lacks a column, or a folder is not the one that was noted.
    """
    path = here(path)
    if not _large(path):
        places = picked(read_places(path, id, lon, lat), Dates.of(time, place), where)
        found = examine(
            places.ids,
            places.lon,
            places.lat,
            lon_name=places.lon_name,
            lat_name=places.lat_name,
            where=places.row,
        )
        x, y = ((float(v.min()), float(v.max())) for v in (places.lon, places.lat))
        columns = tuple(places.rest.column_names)
        rows, text = len(places.ids), places.ids.dtype.kind == "U"
        count, _ = _counted(rows, found)
        said: list[str] = []
        if place is not None:
            if place not in columns:
                raise unknown(f"column of places of {path}", place, columns)
            number = numbers_of(places.rest.column(place), place)
            _, first, number = np.unique(number, return_index=True, return_inverse=True)
            count = len(first)
            said = said_apart(places.lon, places.lat, first, number, place)
        return Inspected(rows, text, columns, x, y, found, count, notes=tuple(said))
    if place is not None:
        raise WherefromError(
            f"--place {place}: rows of one place are told in a table that is held in memory, and "
            f"{path} is read piece by piece: name one file of it"
        )
    pool, noted = _unchecked(path, id, lon, lat, time, where)
    tell(str(path), examine_dates(pool))
    seen = examine_scan(pool)
    if noted is not None and noted.key != seen.key:
        raise WherefromError(
            f"{path} does not hold the places that {MANIFEST} notes (key {seen.key}, noted "
            f"{noted.key}): write the folder again, or delete {MANIFEST}"
        )
    counted = _counted(len(pool), seen.findings)
    found = seen.findings
    return Inspected(len(pool), seen.text_ids, pool.columns, seen.lon, seen.lat, found, *counted)


def _counted(rows: int, findings: list[Finding]) -> tuple[int, bool]:
    """Count the places of so many rows, and say whether all repeats among them were looked for."""
    gone = sum(each.count for each in findings if each.name in ("missing", "duplicate-place"))
    return rows - gone, rows <= ALL_REPEATS


def _unchecked(
    path: Path,
    id_: str | None,
    lon: str,
    lat: str,
    time: str | Dates | None,
    where: str | None,
) -> tuple[PoolScan, Manifest | None]:
    """Open the files of a pool, and what is noted of the columns that are asked for."""
    if not path.exists():
        raise absent(path, "file or folder")
    if not path.is_dir() and not is_parquet(path):
        what = in_place_of(path) or "not a Parquet file: only Parquet files are scanned"
        raise WherefromError(f"{path} is {what}")
    noted = read_manifest(path) if path.is_dir() else None
    paths = files_in(path) if path.is_dir() else {path: keys_of(path.parent)}
    reading, files = reading_of(paths, id_, lon, lat, time, where)
    pool = PoolScan(path, reading, files)
    if reading.where is not None and (rows := sum(sum(file.whole) for file in files)):
        tell(str(path), [reading.where.said(len(pool), rows, str(path))])
    if not len(pool):
        raise WherefromError(f"{path} has columns but no rows")
    unread = list(unread_in(path)) if path.is_dir() else []
    if unread:
        first = unread[0].relative_to(path)
        say(f"{path}: left unread, since it is no Parquet: {first}, {len(unread)} such in all")
    own = (reading.id, reading.place) == ("id", ("lon", "lat"))
    return pool, noted if own and where is None else None


def _large(path: Path) -> bool:
    """Say whether a path is a folder, or a Parquet file that is scanned."""
    # Unlike Path's, these say no to a name that is too long; `Pool.read` then says what it is.
    if os.path.isdir(path):  # noqa: PTH112
        return True
    there = os.path.isfile(path)  # noqa: PTH113
    # Of what is no Parquet file `Pool.read` says what it is.
    if TEXT.search(path.name) or not (there and is_parquet(path)):
        return False
    with opened(path) as file:
        return bool(file.metadata.num_rows > IN_MEMORY)
