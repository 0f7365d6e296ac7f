"""Reading the user's own tables: Parquet, text, GeoPackage, GeoDataFrame, pandas, Arrow."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom import files
from wherefrom.earth.addresses import here
from wherefrom.errors import WherefromError, of_the_system, unknown
from wherefrom.pool.geometry import (
    Cells,
    compare,
    decoded,
    geometry_of,
    in_degrees,
    is_bytes,
    no_geometry,
    placed,
    with_footprints,
)
from wherefrom.pool.keyed import columns_of, keys_of, texts_among, with_keys
from wherefrom.pool.text import NUMBER, TEXT, first_line, numeric, read_text
from wherefrom.progress import say
from wherefrom.shown import count_of

__all__ = [
    "Places",
    "absent",
    "array_of",
    "first_line",
    "ids_of",
    "is_parquet",
    "names_of",
    "need_table",
    "places_of",
    "read_places",
    "read_table",
    "rows_of",
    "taken",
]

LON_NAMES = ("lon", "longitude", "long", "lng", "x", "decimallongitude", "lon_deg")
LAT_NAMES = ("lat", "latitude", "y", "decimallatitude", "lat_deg")
#: Types that Arrow takes no rows of, and what they are plainly.
VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
#: Files that GDAL reads.
VECTOR = (".geojson", ".geojsonl", ".json", ".gpkg", ".shp", ".fgb", ".kml", ".gml", ".zip")


@dataclass(frozen=True)
class Places:
    """Ids and coordinates of a table as they are, before anything is refused.

    Attributes
    ----------
    ids : ndarray of int64 or str, shape (N,)
        The row numbers if the table has none.
    lon, lat : ndarray of float64, shape (N,)
        Degrees; NaN where the table has none.
    rest : pyarrow.Table
        The other columns, N rows.
    lon_name, lat_name : str
        The columns' names in the user's table.
    source : str
        What to call the table in a message.
    points : bool
        Whether the places are those of a column of points.
    given : pyarrow.Table
        The columns as the table has them, but geometries, N rows.
    rows : ndarray of int64, shape (N,), or None
        Their rows in the table, where a condition left some out.
    left_out : int
        How many it left out.
    where : str
        The condition; empty without.
    """

    ids: NDArray[Any]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    rest: pa.Table
    lon_name: str
    lat_name: str
    source: str
    points: bool = False
    given: pa.Table = field(default_factory=lambda: pa.table({}), repr=False)
    rows: NDArray[np.int64] | None = None
    left_out: int = 0
    where: str = ""

    def row(self, at: int) -> str:
        """Name a row as in the table."""
        return str(at if self.rows is None else self.rows[at])


def read_table(path: Path | str, *, empty: bool = False, id: str = "id") -> pa.Table:
    """Read a file whole.

    Parameters
    ----------
    path : Path or str
        Or an address, see `wherefrom.earth.addresses.here`. ``.csv``, ``.tsv`` and ``.txt``, also
        with ``.gz``, ``.zst`` or ``.bz2``, are text with a
        header line, parted by comma, semicolon, tab, bar or blanks; ``.geojson``, ``.gpkg``,
        ``.shp``, ``.fgb``, ``.kml``, ``.gml`` and ``.zip`` (of a shapefile) are of one layer;
        anything else must be Parquet.
    empty : bool
        Whether a table without rows will do.
    id : str
        Column of ids, which in a text table stay as they are written.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    WherefromError
        If the file is absent, empty, torn, has no rows, or is not of its kind; or if a text table
        cannot be read whole: the message names the line.
    """
    path = here(path)
    try:
        if path.is_dir():
            raise WherefromError(f"{path} is a folder: name one Parquet or CSV file in it")
        if not path.exists():
            raise absent(path, "file")
        if not path.is_file():
            raise WherefromError(f"{path} is a pipe or a device: write it to a file first")
        if path.stat().st_size == 0:
            raise WherefromError(f"{path} is empty (0 bytes): write it again")
        path.open("rb").close()
        if instead := files.in_place_of(path):
            raise WherefromError(f"{path} is {instead}")
    except OSError as err:
        raise WherefromError(of_the_system(err) or f"cannot read {path}: {err.strerror}") from err
    if TEXT.search(path.name):
        table = read_text(path, id)
    elif path.suffix.lower() in VECTOR:
        table = _read_vector(path)
    else:
        table = _read_parquet(path)
    if table.num_rows == 0 and not empty:
        raise WherefromError(f"{path} has columns but no rows")
    return table


def absent(path: Path, what: str) -> WherefromError:
    """Build the error for a path where nothing is, or for an address where none is read.

    >>> print(absent(Path("s3://bucket/tiles.tar"), "file"))
    s3://bucket/tiles.tar is an address, and only local files are read here: download it first
    """
    address = re.match(r"(\w[\w+.-]+):/+(.*)", path.as_posix())
    if address:  # a path has lost one of its strokes
        return WherefromError(
            f"{address[1]}://{address[2]} is an address, and only local files are read here: "
            "download it first"
        )
    return WherefromError(f"{path}: no such {what}")


def read_places(
    path: Path | str,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    *,
    numbered: bool = False,
) -> Places:
    """Read a file's ids and coordinates without refusing faulty rows; see `places_of`.

    Folders ``key=value`` right above the file are columns, as where a folder is read.
    """
    table = read_table(path, id=id or "id")
    places = places_of(table, id, lon, lat, source=str(path), numbered=numbered)
    keys = keys_of(Path(path).parent)
    own = columns_of(keys, table.column_names, texts_among([keys]))
    return replace(places, rest=with_keys(places.rest, own))


def places_of(
    table: Any,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    *,
    source: str = "table",
    numbered: bool = False,
    first: int = 0,
    columns: Collection[str] | None = None,
    footprints: bool = True,
) -> Places:
    """Split a table into ids, coordinates and the rest.

    Parameters
    ----------
    table : pyarrow.Table, pandas.DataFrame, geopandas.GeoDataFrame or dict of arrays
        With coordinate columns, or with a geometry of points or polygons, of any CRS. Named levels
        of an index are columns.
    id : str, optional
        Column of ids (whole numbers, text or UUIDs); default ``"id"`` if there is one, else row
        numbers.
    lon, lat : str
        Columns of degrees, or twice the same column of geometry. The first geometry is used where
        ``lon`` and ``lat`` are not there; polygons count at their middle on the sphere.
    source : str
        What to call the table in a message.
    numbered : bool
        Whether to take row numbers as ids even if there is a column ``"id"``, which may then
        repeat or hold anything, and is in the rest.
    first : int
        Row of the source that the table's first row is, for the messages.
    columns : collection of str, optional
        Those of a DataFrame to convert besides ids and coordinates; default all that can be, and
        the others are named on stderr.
    footprints : bool
        Whether polygons are to be a column of the rest, `FOOTPRINT`.

    Returns
    -------
    Places

    Raises
    ------
    WherefromError
        If a column is absent (the message names likely ones) or not of its type, or the geometry
        is of another kind, mixed, not valid or without a CRS.
    """
    table, point, shapes = _as_arrow(table, source, id or "id", (lon, lat), columns)
    names, beside = table.column_names, point
    for name in names:
        if names.count(name) > 1:
            raise WherefromError(
                f"{source} has {names.count(name)} columns named {name!r}: rename or drop one"
            )
    if lon == lat:
        point = lon
    elif (lon, lat) != ("lon", "lat") or {"lon", "lat"} <= set(names):
        point = None
    polygons = None
    if point is None:
        _need_columns(table, lon, lat, source)
        x, y = (_degrees(table.column(name), name, source, first) for name in (lon, lat))
        if beside is not None and compare((x, y), (lon, lat), beside, shapes, source, first):
            polygons = placed(shapes(beside), source, first)[2] if footprints else None
    else:
        found = point.shapes(table, source, first) if isinstance(point, Cells) else shapes(point)
        x, y, polygons = placed(found, source, first)
        lon, lat = "lon", "lat"
    if id is not None and id not in names:
        raise unknown(f"id column of {source}", id, names)
    id_name = id or ("id" if "id" in names and not numbered else None)
    ids = (
        np.arange(first, first + len(x), dtype=np.int64)  # of no other columns Arrow has no rows
        if id_name is None
        else ids_of(table.column(id_name), id_name, source, first)
    )
    drop = {
        id_name,
        lon,
        lat,
        None if isinstance(point, Cells) else point,
        None if numbered else "id",
        "lon",
        "lat",
    }
    rest = table.select([name for name in names if name not in drop])
    if polygons is not None and footprints:
        rest = with_footprints(rest, polygons, source)
    return Places(ids, x, y, rest, lon, lat, source, point is not None, table)


def names_of(
    id: str | None,
    lon: str,
    lat: str,
    geometry: str | None,
    grid: str | None = None,
    cell: str | None = None,
) -> tuple[str | None, str, str]:
    """Return the columns of ids and places as text: one of geometry stands for both axes.

    So does one of the ids of a grid's cells, by default the column of ids.

    >>> names_of("key", "lon", "lat", None), names_of(None, "lon", "lat", "center")
    (('key', 'lon', 'lat'), (None, 'center', 'center'))
    >>> names_of("tile", "lon", "lat", None, "mgrs")
    ('tile', 'tile', 'tile')
    """
    # Columns of pandas may be numbers; the name of cells is more than its text.
    id = id if id is None or isinstance(id, str) else str(id)
    lon, lat = (name if isinstance(name, str) else str(name) for name in (lon, lat))
    if geometry is None and grid is None:
        return id, lon, lat
    if geometry is not None and grid is not None:
        raise WherefromError("geometry and grid both say where places are: leave one out")
    if not {lon, lat} <= {"lon", "lat", geometry}:
        what = "a column of points" if grid is None else "cells"
        raise WherefromError(
            f"{'geometry' if grid is None else 'grid'} names {what}: leave lon and lat out"
        )
    if grid is None:
        return id, str(geometry), str(geometry)
    cells = Cells(cell or id or "id", grid)
    return id, cells, cells


def need_table(data: Any) -> None:
    """Refuse what is no table, and say how to make one of it."""
    frame = type(data).__module__.partition(".")[0] in ("pandas", "geopandas")
    if isinstance(data, pa.Table | Mapping) or (frame and hasattr(data, "columns")):
        return
    how = '{"lon": ..., "lat": ...}'
    if str(getattr(data, "dtype", "")) == "geometry":
        how = 'series.to_frame("geometry")'
    elif hasattr(data, "__arrow_c_stream__") and not frame:
        how = "pyarrow.table(data)"
    raise WherefromError(
        f"cannot make a pool from a {type(data).__name__}: give a pyarrow.Table, a pandas "
        f"DataFrame, a GeoDataFrame or a dict of arrays, such as {how}"
    )


def is_parquet(path: Path) -> bool:
    """Say whether a file starts as Parquet does."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"PAR1"
    except OSError as err:
        if lack := of_the_system(err):  # which says nothing of the file
            raise WherefromError(lack) from err
        return False


def _read_parquet(path: Path) -> pa.Table:
    if not is_parquet(path):
        name = path.name.lower()
        if name.endswith((".xlsx", ".xls", ".ods")):
            raise WherefromError(f"{path} is a workbook: save its sheet as .csv")
        raise WherefromError(
            f"{path} is not a Parquet file; a text table must end in .csv, .tsv or .txt (.gz, .zst "
            "or .bz2 may follow), geometries in .geojson, .gpkg, .fgb, .shp or .zip of it; else "
            f'write it as Parquet: geopandas.read_file("{path.name}").to_parquet("places.parquet")'
        )
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as err:
        raise WherefromError(
            of_the_system(err)
            or f"{path} is a torn Parquet file ({first_line(err)}): copy or write it again"
        ) from err


def _read_vector(path: Path) -> pa.Table:
    """Read the one layer of a file of geometries, as GeoParquet is read."""
    import pyogrio

    try:
        found = pyogrio.list_layers(path).tolist()
        layers = [name for name, kind in found if kind is not None]  # others are tables
        if len(layers) == 1:
            about, table = pyogrio.read_arrow(path, layer=layers[0])
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pa.ArrowException,
    ) as err:
        raise WherefromError(
            of_the_system(err) or f"{path} cannot be read ({first_line(err)}): write it again"
        ) from err
    if len(layers) != 1:
        raise WherefromError(
            f"{path} has {len(layers)} layers of geometry ({', '.join(layers[:5])}), not one: "
            'geopandas.read_file(..., layer="...").to_parquet("places.parquet")'
        )
    name = about["geometry_name"] or "wkb_geometry"
    if name not in table.column_names:
        return table
    column = {"encoding": "WKB", "crs": about["crs"] or None}
    geo = {"primary_column": name, "columns": {name: column}}
    return table.replace_schema_metadata({b"geo": json.dumps(geo).encode()})


def _as_arrow(
    table: Any, source: str, id_: str, place: tuple[str, str], columns: Collection[str] | None
) -> tuple[pa.Table, str | None, Callable[..., NDArray[Any]]]:
    """Return the columns, the first one of geometry, and a function that decodes such a one.

    Of a DataFrame other columns than ids, places and `columns` are not converted; where `columns`
    are not told, those that cannot be are left out.
    """
    need_table(table)
    if isinstance(table, pa.Table):
        return _of_arrow(_with_plain_text(table), source)
    series: list[tuple[str, Any]]
    if isinstance(table, Mapping):
        series = [(str(name), array_of(values)) for name, values in table.items()]
    else:
        series = [(str(name), table.iloc[:, at]) for at, name in enumerate(table.columns)]
        known = {name for name, _ in series}
        series += [
            (str(name), table.index.get_level_values(at).to_series())
            for at, name in enumerate(table.index.names)
            if name is not None and str(name) not in known
        ]
    geometric = {name: values for name, values in series if str(values.dtype) == "geometry"}
    needed = {id_, *place}
    found, left = [], {}
    for name, values in series:
        if name in geometric or not (columns is None or name in {*columns, *needed}):
            continue
        try:
            found.append((name, _of_values(values, name in place)))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as err:
            if columns is not None or name in needed:
                raise WherefromError(
                    f"{source}: column {name!r} is of no one type ({first_line(err)}): mend or "
                    "drop it"
                ) from err
            left[name] = first_line(err)
    if left:
        shown = "; ".join(f"{name!r} ({why})" for name, why in list(left.items())[:5])
        say(f"{source}: columns of no one type are left out: {shown}")
    plain = pa.table([column for _, column in found], [name for name, _ in found])

    def decode(name: str, rows: Any = slice(None)) -> NDArray[Any]:
        if name not in geometric:
            raise no_geometry(name, source, geometric, plain)
        crs, shapes = geometric[name].crs, np.asarray(geometric[name].values[rows], dtype=object)
        quiet = not isinstance(rows, slice)
        return in_degrees(shapes, None if crs is None else crs.to_json_dict(), source, quiet)

    active = getattr(table, "_geometry_column_name", None)
    return plain, active if active in geometric else next(iter(geometric), None), decode


def _of_arrow(
    table: pa.Table, source: str
) -> tuple[pa.Table, str | None, Callable[..., NDArray[Any]]]:
    primary, encoded = geometry_of(table.schema, source)
    others = [at for at, name in enumerate(table.column_names) if name not in encoded]

    def decode(name: str, rows: Any = None) -> NDArray[Any]:
        if name not in table.column_names:
            raise unknown(f"geometry column of {source}", name, encoded or table.column_names)
        # Bytes that are named as geometry are, whatever is noted of them.
        if name not in encoded and not is_bytes(table.schema.field(name).type):
            raise no_geometry(name, source, encoded, table)
        column = table.column(name) if rows is None else table.column(name).take(rows)
        about = encoded.get(name, {"encoding": "WKB"})
        return decoded(column, about, source, quiet=rows is not None)

    return table.select(others), primary, decode


def array_of(values: Any) -> NDArray[Any]:
    """Return an array, with the mask that it may have, which `numpy.asarray` drops.

    >>> array_of(np.ma.masked_array([1, 2], [False, True])).tolist(), array_of([1, 2]).tolist()
    ([1, None], [1, 2])
    """
    return values if np.ma.isMaskedArray(values) else np.asarray(values)


def _of_values(values: Any, degrees: bool) -> pa.Array:
    """Convert a column of a DataFrame, or an array."""
    if values.dtype == np.float64 and not np.ma.isMaskedArray(values):
        # NaN does for null: nobody has to look for it
        return pa.array(np.asarray(values))
    if str(values.dtype).startswith("Sparse"):
        values = np.asarray(values)
    try:
        return pa.array(values, from_pandas=True)
    except pa.ArrowException:
        if not degrees or np.ndim(values) != 1:
            raise
        # Numbers with a stray "n/a" among them: its row is named with the other faulty ones.
        words = (v if isinstance(v, str) else "" if v is None else repr(float(v)) for v in values)
        return pa.array(list(words), pa.string())


def _with_plain_text(table: pa.Table) -> pa.Table:
    """Turn views of text and bytes, which some writers prefer, into plain ones."""
    for at, column in enumerate(table.schema):
        if plain := VIEWS.get(column.type):
            table = table.set_column(at, column.with_type(plain), table.column(at).cast(plain))
    return table


def taken(table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Return rows of a table in the types it has, of views too, of which Arrow takes none.

    Raises
    ------
    WherefromError
        If Arrow cannot take rows of a column.
    """
    plain, at = _with_plain_text(table), pa.array(rows)
    for name, column in zip(plain.column_names, plain.columns, strict=True):
        try:
            column.slice(0, 0).take(at.slice(0, 0))
        except pa.ArrowNotImplementedError as err:
            raise WherefromError(
                f"column {name!r} is {column.type}, of which pyarrow takes no rows: cast or drop it"
            ) from err
    return plain.take(at) if plain is table else plain.take(at).cast(table.schema)


class NoColumnError(WherefromError):
    """A table lacks the columns that are to hold coordinates; `near` are those that may."""

    def __init__(self, message: str, near: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.near = near


def _need_columns(table: pa.Table, lon: str, lat: str, source: str) -> None:
    names = table.column_names
    absent = [name for name in (lon, lat) if name not in names]
    if not absent:
        return
    near = [
        next((name for known in likely for name in names if name.strip().lower() == known), None)
        for likely in (LON_NAMES, LAT_NAMES)
    ]
    what = " and ".join(repr(name) for name in absent)
    if near[0] and near[1] and (near[0], near[1]) != (lon, lat):
        raise NoColumnError(
            f"{source} has no column {what}, but {near[0]!r} and {near[1]!r}: give "
            f"--lon {shlex.quote(near[0])} --lat {shlex.quote(near[1])}",
            (near[0], near[1]),
        )
    held = [name for name in names if is_bytes(table.schema.field(name).type)]
    how = "name the coordinates with --lon and --lat"
    if held:
        how += f", or points as well-known binary in degrees with --geometry {shlex.quote(held[0])}"
    elif len(names) == 1 and " " in names[0]:
        how = "part its columns by commas or tabs, or by blanks that no value holds"
    elif sum(bool(re.match(NUMBER, name)) for name in names) > 1:
        how = "its first line holds numbers: put the columns' names above it"
    raise NoColumnError(f"{source} has no column {what}: {how}. Columns: {', '.join(names[:20])}")


def _degrees(column: pa.ChunkedArray, name: str, source: str, first: int) -> NDArray[np.float64]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column, wrong = numeric(column)
        if len(wrong):
            raise WherefromError(
                f"{source}: column {name!r} must be degrees as numbers, not so in "
                f"{count_of(len(wrong), 'row')}; row {first + wrong[0]} holds "
                f"{column[int(wrong[0])].as_py()!r}"
            )
    elif pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    elif not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        raise WherefromError(f"{source}: column {name!r} must be degrees as numbers, not {kind}")
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def ids_of(column: pa.ChunkedArray, name: str, source: str, first: int = 0) -> NDArray[Any]:
    """Return a column of ids as int64 or text.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Whole numbers, real numbers that are whole, UUIDs, or text.
    name, source : str
        What to call the column and the table in a message.
    first : int
        Row of the source that the column's first row is, for the messages.

    Returns
    -------
    ndarray of int64 or str

    Raises
    ------
    WherefromError
        If an id is missing, not whole or too large, or of another type.
    """
    if column.null_count:
        row = first + int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise WherefromError(
            f"{source}: id column {name!r} is empty in {count_of(column.null_count, 'row')} "
            f"(first: {row})"
        )
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if getattr(kind, "extension_name", "") == "arrow.uuid":
        return np.array([str(value) for value in column.to_pylist()])
    if pa.types.is_floating(kind):
        values = column.to_numpy()
        # Beyond 2**53 neighbouring ids have become the same real number.
        with np.errstate(invalid="ignore"):
            wrong = np.flatnonzero((values != np.round(values)) | ~(np.abs(values) < 2**53))
        if not len(wrong):
            return np.asarray(values, dtype=np.int64)
        raise WherefromError(
            f"{source}: id column {name!r} holds {values[wrong[0]]:g} in row {first + wrong[0]}; "
            "ids are whole numbers of at most 64 bits or text: mend it or name another column"
        )
    if pa.types.is_integer(kind):
        try:
            return np.asarray(column.cast(pa.int64()).to_numpy())
        except pa.ArrowInvalid as err:
            at = int(np.flatnonzero(column.to_numpy() > np.iinfo(np.int64).max)[0])
            raise WherefromError(
                f"{source}: id column {name!r} holds {column[at]} in row {first + at}, but whole "
                "numbers go to 2^63 - 1: write the ids as text"
            ) from err
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        ids = np.asarray(column.to_numpy(), dtype=np.str_)
        empty = np.flatnonzero(ids == "")
        if len(empty):
            raise WherefromError(
                f"{source}: id column {name!r} is empty in {count_of(len(empty), 'row')} "
                f"(first: {first + empty[0]})"
            )
        return ids
    raise WherefromError(
        f"{source}: id column {name!r} is {kind}; ids are whole numbers or text: name another "
        "column"
    )


def rows_of(
    ids: NDArray[Any], wanted: NDArray[Any], order: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Find the rows in which ids hold those wanted (M,); `order` sorts them, None if they ascend.

    Whole numbers may be ids of text. If some are absent a `WherefromError` names the first ones.
    """
    if ids.dtype.kind == "U" and wanted.dtype.kind in "iu":
        wanted = wanted.astype(np.str_)
    rows, absent = np.zeros(wanted.shape, dtype=np.int64), wanted
    if len(ids) and wanted.size:
        at = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
        rows = at if order is None else order[at]
        absent = wanted[ids[rows] != wanted]
    if absent.size:
        first = ", ".join(map(str, absent[:5])) + (", ..." if len(absent) > 5 else "")
        raise WherefromError(
            f"{len(absent):,} of {count_of(len(wanted), 'id')} are not in the pool: {first}"
        )
    return rows
