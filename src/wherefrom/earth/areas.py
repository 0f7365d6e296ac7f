"""Polygons of a file of the user's: read, brought to degrees, checked, cut at the antimeridian."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from wherefrom.earth.coordinates import moved
from wherefrom.earth.lookup import PolygonIndex
from wherefrom.earth.polygons import refuse_torn
from wherefrom.errors import WherefromError, unknown
from wherefrom.progress import say

__all__ = ["Areas", "columns_of", "positions", "read_areas", "within_180"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Endings of Parquet files, which GDAL as it comes with pyogrio does not read.
PARQUET = (".parquet", ".geoparquet", ".pq")


class Areas(NamedTuple):
    """Polygons in degrees, within [-180, 180], and the row of the file that each is of.

    `values` are those of the column asked for, one a row of the file; None without one.
    """

    polygons: NDArray[Any]
    rows: Ints
    values: NDArray[Any] | None


class _Table(NamedTuple):
    wkb: NDArray[Any]
    values: NDArray[Any] | None
    crs: str | None


def read_areas(path: Path | str, who: str, column: str = "") -> Areas:
    """Read the polygons of a file: what GDAL reads, or GeoParquet, in any coordinates it names.

    Parameters
    ----------
    path : path
    who : str
        With which messages begin.
    column : str
        Whose values are read too; default none.

    Returns
    -------
    Areas
        In the order of the file. Vertices are brought to degrees, edges are straight there.

    Raises
    ------
    WherefromError
        If it is no such file, has no such column or no polygon, or one that is not valid, is no
        degrees, or crosses the antimeridian by the long way round.
    """
    import pyarrow as pa
    import pyogrio  # slow to import: brings pandas where that is installed

    try:
        table = (_parquet if _is_parquet(path) else _of_gdal)(path, who, column)
        shapes = shapely.from_wkb(table.wkb)
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.FeatureError,
        shapely.errors.GEOSException,
        pa.ArrowException,
        OSError,
    ) as err:
        raise WherefromError(f"{who}: it cannot be read as polygons: {err}") from err
    rows = np.flatnonzero(~shapely.is_missing(shapes))
    shapes, at = shapely.get_parts(shapes[rows], return_index=True)
    kept = (shapely.get_dimensions(shapes) == 2) & ~shapely.is_empty(shapes)
    shapes, rows = shapes[kept], rows[at[kept]]
    if not len(shapes):
        raise WherefromError(f"{who}: it holds no polygon")
    shapes = _in_degrees(shapes, table.crs, who)
    shapes = _sound(who, shapes)
    return Areas(*within_180(shapes, rows), table.values)


def columns_of(path: Path | str) -> list[str]:
    """Return the names of the columns of a file that `read_areas` reads."""
    import pyarrow.parquet as pq
    import pyogrio

    if _is_parquet(path):
        schema = pq.read_schema(path)
        return [name for name in schema.names if name not in _geometries(schema.metadata)]
    return [str(name) for name in pyogrio.read_info(path)["fields"]]


def within_180(shapes: NDArray[Any], rows: Ints) -> tuple[NDArray[Any], Ints]:
    """Bring what lies beyond 180 degrees to the same meridians within; `rows` follow."""
    bounds = shapely.bounds(shapes)
    beyond = (bounds[:, 0] < -180.0) | (bounds[:, 2] > 180.0)
    pieces, of = [shapes[~beyond]], [rows[~beyond]]
    if beyond.any():
        valid = shapely.make_valid(shapes[beyond])
        for turn in (-360.0, 0.0, 360.0):
            cut = shapely.intersection(valid, shapely.box(turn - 180.0, -90.0, turn + 180.0, 90.0))
            pieces.append(shapely.transform(cut, lambda xy, turn=turn: xy - [turn, 0.0]))
            of.append(rows[beyond])
    # What an intersection leaves may be lines, and collections of all kinds.
    parts, at = shapely.get_parts(np.concatenate(pieces), return_index=True)
    parts, again = shapely.get_parts(parts, return_index=True)
    row = np.concatenate(of)[at[again]]
    kept = (shapely.get_dimensions(parts) == 2) & ~shapely.is_empty(parts)
    order = np.argsort(row[kept], kind="stable")
    return parts[kept][order], row[kept][order]


def positions(index: PolygonIndex, lon: Floats, lat: Floats) -> NDArray[np.int32]:
    """Return which polygon holds each place, degrees, -1 for none; 180 E is 180 W."""
    found = index.query(lon, lat)
    rim = np.flatnonzero((found < 0) & (np.abs(lon) == 180.0))
    found[rim] = index.query(-lon[rim], lat[rim])
    return found


def _is_parquet(path: Path | str) -> bool:
    return str(path).endswith(PARQUET)


def _of_gdal(path: Path | str, who: str, column: str) -> _Table:
    """Read by GDAL; of a file of several tables the first, or the first that has the column."""
    import pyogrio

    if str(path).endswith(".shp"):
        refuse_torn(Path(path))
    table = None
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        if column:
            names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
            if not names:
                raise WherefromError(f"{who}: it holds no polygon")
            known = {name: pyogrio.read_info(path, layer=name)["fields"] for name in names}
            having = [name for name in names if column in known[name]]
            if not having:
                every = (str(one) for name in names for one in known[name])
                raise _no_column(who, path, column, every)
            table = having[0]
            if len(having) > 1:
                say(f"note: {who}: tables {', '.join(having)} have it; {table} is taken")
        meta, _, wkb, values = pyogrio.raw.read(
            path, layer=table, columns=[column] if column else []
        )
    shapes = np.zeros(0, dtype=object) if wkb is None else wkb
    return _Table(shapes, values[0] if column else None, meta["crs"])


def _parquet(path: Path | str, who: str, column: str) -> _Table:
    """Read GeoParquet's first geometry column, of well-known binary."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    geometries = _geometries(schema.metadata)
    if not geometries:
        raise WherefromError(f"{who}: it is no GeoParquet, for it does not say where polygons are")
    name, about = next(iter(geometries.items()))
    if about.get("encoding") != "WKB":
        raise WherefromError(
            f"{who}: its geometry is written as {about.get('encoding')}, not as WKB: write it so"
        )
    if column and (column not in schema.names or column in geometries):
        raise _no_column(who, path, column, (one for one in schema.names if one not in geometries))
    table = pq.read_table(path, columns=[name, *([column] if column else [])])
    crs = about.get("crs", "OGC:CRS84")  # the format says: absent means that, null means not known
    return _Table(
        np.array(table.column(name).to_pylist(), dtype=object),
        np.array([*table.column(column).to_pylist(), None], dtype=object)[:-1] if column else None,
        json.dumps(crs) if isinstance(crs, dict) else crs,
    )


def _geometries(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    """Return what GeoParquet says of its columns of geometry, the primary one first."""
    try:
        geo = json.loads((metadata or {}).get(b"geo", b"{}"))
        first = geo["primary_column"]
        return {first: geo["columns"][first], **geo["columns"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _no_column(who: str, path: Path | str, column: str, known: Any) -> WherefromError:
    said = unknown(f"column of {Path(path).name}:", column, dict.fromkeys(known))
    return WherefromError(f"{who}: {said}")


def _in_degrees(shapes: NDArray[Any], crs: str | None, who: str) -> NDArray[Any]:
    from rasterio.errors import RasterioError

    if crs not in (None, "EPSG:4326", "OGC:CRS84"):

        def degrees(xy: Floats) -> Floats:
            found = np.stack(moved(crs, "OGC:CRS84", xy[:, 0], xy[:, 1]), axis=1)
            if len(lost := np.flatnonzero(np.isnan(found).any(axis=1))):
                x, y = xy[lost[0]]
                raise WherefromError(f"{who}: its coordinates ({crs}): {x:g}, {y:g} is no place")
            return found

        try:
            shapes = shapely.transform(shapes, degrees)
        except RasterioError as err:
            raise WherefromError(f"{who}: its coordinates ({crs}): {err}") from err
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise WherefromError(f"{who}: a coordinate of its polygons is not finite")
    west, south, east, north = shapely.total_bounds(shapes)
    if max(-south, north) > 90.0 or max(-west, east) > 360.0:
        raise WherefromError(
            f"{who}: its coordinates go from {west:g}, {south:g} to {east:g}, {north:g} "
            "and are no degrees: write longitude and latitude, or name their CRS in the file"
        )
    return shapes


def _sound(who: str, shapes: NDArray[Any]) -> NDArray[Any]:
    """Refuse polygons that cross themselves, or the antimeridian by the long way round.

    Those that only touch themselves, as some of the best known do, have one meaning and are mended:
    their area stays.
    """
    xy, ring = shapely.get_coordinates(shapely.get_rings(shapes), return_index=True)
    span = np.abs(np.diff(xy[:, 0])) * (ring[1:] == ring[:-1])
    span[np.abs(xy[1:, 1]) == 90.0] = 0.0
    far = np.flatnonzero((span > 180.0) & (span < 360.0))  # 360 degrees are a whole parallel
    if len(far):
        (west, south), (east, north) = xy[far[0]], xy[far[0] + 1]
        raise WherefromError(
            f"{who}: a polygon goes from {west:g}, {south:g} to {east:g}, {north:g}, "
            "more than 180 degrees, as what crosses the antimeridian seems to: split it, write "
            "longitudes beyond 180, or give box=WEST,SOUTH,EAST,NORTH"
        )
    bad = np.flatnonzero(~shapely.is_valid(shapes))
    mended = shapely.make_valid(shapes[bad])
    crossed = bad[~np.isclose(shapely.area(mended), shapely.area(shapes[bad]), rtol=1e-9, atol=0)]
    if len(crossed):
        raise WherefromError(
            f"{who}: {len(crossed):,} of {len(shapes):,} polygons are not valid "
            f"({shapely.is_valid_reason(shapes[crossed[0]])}): mend them, such as by ogr2ogr "
            "-makevalid"
        )
    sound = shapes.copy()
    sound[bad] = mended
    return sound
