"""Columns of geometry: decoded, brought to degrees, points and footprints told apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Self

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.earth.footprints import middles, on_sphere
from wherefrom.earth.grids import grid
from wherefrom.earth.sphere import distance_km
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool.text import first_line
from wherefrom.progress import say
from wherefrom.shown import count_of

__all__ = [
    "FOOTPRINT",
    "Cells",
    "GEO",
    "LOOKED",
    "compare",
    "decoded",
    "footprint_column",
    "geometry_of",
    "in_degrees",
    "is_bytes",
    "no_geometry",
    "placed",
    "with_footprints",
]

Floats = NDArray[np.float64]
Shapes = NDArray[Any]

FOOTPRINT = "footprint"
"""Column in which a pool keeps the polygons of its places, well-known binary in degrees."""

#: Rows whose columns of degrees are compared with a geometry, and how far apart they may be.
LOOKED, ELSEWHERE_KM = 1000, 1.0
#: Edges of projected polygons are cut so short, metres: straight in metres is bent in degrees, over
#: 10 km by 2 m times the tangent of the latitude.
_EDGE_M = 10_000.0
#: Polygons that a core takes at a time.
_BLOCK = 1 << 16
#: shapely's kinds by the encodings of GeoArrow.
_NATIVE = {
    name: kind
    for kind in (shapely.GeometryType.POINT, shapely.GeometryType.POLYGON,
                 shapely.GeometryType.MULTIPOINT, shapely.GeometryType.MULTIPOLYGON)
    for name in (kind.name.lower(), f"geoarrow.{kind.name.lower()}")
}  # fmt: skip
_WKB = ("WKB", "geoarrow.wkb")
#: What Arrow and GeoParquet note of a column of footprints.
_NOTE = {
    b"ARROW:extension:name": b"geoarrow.wkb",
    b"ARROW:extension:metadata": b'{"crs": "OGC:CRS84"}',
}
GEO = json.dumps(
    {
        "version": "1.1.0",
        "primary_column": FOOTPRINT,
        "columns": {FOOTPRINT: {"encoding": "WKB", "geometry_types": ["Polygon", "MultiPolygon"]}},
    }
).encode()
"""GeoParquet's note for a file with `FOOTPRINT`; without a CRS it is OGC:CRS84."""


class Cells(str):
    """Name of a column of ids of a grid's cells, which are footprints.

    It stands where the name of a column of geometry does.

    >>> tiles = Cells("tile", "mgrs")
    >>> tiles, tiles.grid
    ('tile', 'mgrs')
    """

    grid: str

    def __new__(cls, column: str, grid: str) -> Self:
        """Name a column, and the grid as text (`wherefrom.earth.grids.grid`)."""
        made = super().__new__(cls, column)
        made.grid = grid
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Cells, (str(self), self.grid)

    def shapes(self, table: pa.Table, source: str, first: int) -> Shapes:
        """Return the outlines of a table's cells, as `wherefrom.earth.grids.Grid.shapes`."""
        if self not in table.column_names:
            raise unknown(f"column of cells of {source}", str(self), table.column_names)
        opened = grid(self.grid)
        try:
            return opened.shapes(table.column(str(self)), first)
        except WherefromError as err:
            raise WherefromError(f"{source}, column {str(self)!r}: {err}") from err


def geometry_of(schema: pa.Schema, source: str) -> tuple[str | None, dict[str, dict[str, Any]]]:
    """Return the first column of geometry, if any, and what is noted of each: encoding and CRS.

    GeoParquet's notes count, else those of Arrow's columns (GeoArrow).
    """
    written = (schema.metadata or {}).get(b"geo")
    try:
        if written is not None:
            geo = json.loads(written)
            primary = geo["primary_column"]
            encoded = {n: dict(c) for n, c in geo["columns"].items()}
        else:
            encoded = {
                field.name: {
                    "encoding": name,
                    "crs": None,
                    **json.loads(_note(field, b"metadata") or b"{}"),
                }
                for field in schema
                if (name := _note(field, b"name").decode()) in {*_WKB, *_NATIVE}
            }
            primary = next(iter(encoded), None)
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise WherefromError(
            f"{source}: the schema's metadata 'geo' is not GeoParquet's: write the file again "
            "with GeoDataFrame.to_parquet, or without that metadata"
        ) from err
    return primary if primary in schema.names else None, encoded


def _note(field: pa.Field, what: bytes) -> bytes:
    if what == b"name" and isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name).encode()
    return bytes((field.metadata or {}).get(b"ARROW:extension:" + what) or b"")


def no_geometry(name: str, source: str, known: Iterable[str], table: pa.Table) -> WherefromError:
    """Build the error for a column that was named as geometry and is none."""
    if name not in table.column_names:
        return unknown(f"geometry column of {source}", name, known)
    kind = table.schema.field(name).type
    return WherefromError(f"{source}: column {name!r} is {kind}, no geometry: name another column")


def is_bytes(kind: pa.DataType) -> bool:
    """Say whether a column may hold well-known binary."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def decoded(
    column: pa.ChunkedArray, about: dict[str, Any], source: str, quiet: bool = False
) -> Shapes:
    """Return a column's geometries in degrees; `about` is what is noted of it.

    That they were converted is said, unless `quiet`.
    """
    encoding = str(about.get("encoding"))
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([c.storage for c in column.chunks], column.type.storage_type)
    if encoding in _NATIVE:
        shapes = _native(column, _NATIVE[encoding], source)
    elif encoding in _WKB:
        try:
            shapes = parallel.by_blocks(shapely.from_wkb, column.to_numpy())
        except (shapely.errors.GEOSException, TypeError) as err:
            raise WherefromError(
                f"{source}: the geometry is not well-known binary ({first_line(err)}): write the "
                "file again with GeoDataFrame.to_parquet"
            ) from err
    else:
        raise WherefromError(
            f"{source}: geometry is encoded as {encoding!r}, which is not read: write "
            'it as WKB (GeoDataFrame.to_parquet(..., geometry_encoding="WKB")) or name columns '
            "with --lon and --lat"
        )
    # The format says: absent means OGC:CRS84, null means not known.
    return in_degrees(shapes, about["crs"], source, quiet) if "crs" in about else shapes


def _native(column: pa.ChunkedArray, kind: shapely.GeometryType, source: str) -> Shapes:
    """Decode GeoArrow's lists of coordinates, each a struct of x and y or a pair of numbers."""
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    missing = np.asarray(array.is_null())
    offsets: list[NDArray[Any]] = []
    try:
        while pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            offsets.append(np.asarray(array.offsets) - array.offsets[0].as_py())
            array = array.flatten()
        if pa.types.is_struct(array.type):
            xy = np.stack([np.asarray(array.field(axis), dtype=float) for axis in "xy"], axis=1)
        else:
            xy = np.asarray(array.flatten(), dtype=float).reshape(len(array), -1)[:, :2]
        shapes = np.asarray(shapely.from_ragged_array(kind, xy, tuple(offsets[::-1]) or None))
    except (KeyError, ValueError, TypeError, AttributeError, pa.ArrowException) as err:
        raise WherefromError(
            f"{source}: the geometry is not GeoArrow's {kind.name.lower()} ({first_line(err)}): "
            'write it as WKB (GeoDataFrame.to_parquet(..., geometry_encoding="WKB"))'
        ) from err
    shapes[missing] = None
    return shapes


@lru_cache(maxsize=64)
def _known(text: str, source: str) -> tuple[str, bool, float]:
    """Return a CRS by a name or as PROJJSON: a name, whether it is of degrees, metres a unit."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        crs = CRS.from_user_input(text)
        kind = crs.to_dict(projjson=True)
    except CRSError as err:
        raise WherefromError(
            f"{source}: the CRS of the geometry is none that is known ({first_line(err)}): convert "
            'it: gdf.to_crs("OGC:CRS84")'
        ) from err
    while kind.get("type") in ("BoundCRS", "CompoundCRS"):
        kind = kind["source_crs"] if kind["type"] == "BoundCRS" else kind["components"][0]
    if kind.get("type") == "GeographicCRS":
        return text, True, 1.0
    code = crs.to_authority()
    name = ":".join(code) if code else repr(kind.get("name", "unnamed"))
    if not crs.is_projected:
        raise WherefromError(
            f"{source}: the geometry is in {name} ({kind.get('type')}), not on the Earth's "
            'surface: convert it: gdf.to_crs("OGC:CRS84")'
        )
    return name, False, float(crs.linear_units_factor[1])


@lru_cache(maxsize=64)
def _say_once(source: str, name: str) -> None:
    say(f"{source}: the geometry is in {name} and is converted to longitude and latitude")


def in_degrees(
    shapes: Shapes, crs: dict[str, Any] | str | None, source: str, quiet: bool = False
) -> Shapes:
    """Bring geometries to longitude and latitude, and say so once, unless `quiet`.

    Raises
    ------
    WherefromError
        If there is no CRS, it is none that is known, or a coordinate lies outside of it.
    """
    from rasterio._err import CPLE_BaseError  # what `transform` raises, under no other name
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    if crs is None:
        raise WherefromError(
            f"{source}: the geometry has no CRS; if it is longitude and latitude, say so: "
            'gdf.set_crs("OGC:CRS84")'
        )
    if isinstance(crs, dict):
        own = crs
        while own.get("type") == "BoundCRS":  # a shift of datum, within metres
            own = own["source_crs"]
        if own.get("type") == "GeographicCRS":
            return shapes
        code = own.get("id") or {}
        crs = f"{code['authority']}:{code['code']}" if code else json.dumps(own)
    name, degrees, metres = _known(crs, source)
    if degrees:
        return shapes
    if not quiet:
        _say_once(source, name)
    flat = shapely.force_2d(shapes)
    large = shapely.get_dimensions(flat) > 0
    flat[large] = shapely.segmentize(flat[large], _EDGE_M / metres)

    def moved(xy: Floats) -> Floats:
        there = np.isfinite(xy).all(axis=1)
        out = np.full(xy.shape, np.nan)
        if there.any():
            out[there] = np.stack(transform(crs, "OGC:CRS84", *xy[there].T.tolist()), axis=1)
        if (lost := there & ~np.isfinite(out).all(axis=1)).any():
            x, y = xy[int(np.argmax(lost))]
            raise WherefromError(
                f"{source}: {x:g}, {y:g} is no place in {name}, the CRS of the geometry: name the "
                "right one (gdf.set_crs), or drop such rows"
            )
        return out

    try:
        return np.asarray(shapely.transform(flat, moved), dtype=object)
    except (RasterioError, CPLE_BaseError) as err:
        raise WherefromError(
            f"{source}: the geometry cannot be converted from {name} ({first_line(err)}): name the "
            "right CRS (gdf.set_crs), or drop rows that lie outside of it"
        ) from err


def placed(geometry: Shapes, source: str, first: int) -> tuple[Floats, Floats, Shapes | None]:
    """Return where geometries are, NaN for missing ones, and the footprints, if they are such.

    Points are where they are; polygons at their middle on the sphere.

    Raises
    ------
    WherefromError
        If there are lines or collections, or points among polygons; or as `on_sphere`.
    """
    there = np.array(geometry, dtype=object)
    there[shapely.is_empty(there)] = None  # reported with the missing ones
    kinds = shapely.get_type_id(there)
    if (kinds == 4).any() and (shapely.get_num_geometries(there[kinds == 4]) == 1).all():
        there[kinds == 4] = shapely.get_geometry(there[kinds == 4], 0)
        kinds = shapely.get_type_id(there)
    polygons = (kinds == 3) | (kinds == 6)
    other = np.flatnonzero(~polygons & (kinds != 0) & (kinds != -1))
    if len(other):
        found = shapely.GeometryType(int(kinds[other[0]])).name.lower()
        raise WherefromError(
            f"{source}: {count_of(len(other), 'geometry', 'geometries')} are neither points nor "
            f"polygons (first in row {first + other[0]}: {found}): name another column with "
            "--geometry, or use gdf.representative_point()"
        )
    points = np.flatnonzero(kinds == 0)
    if not polygons.any():
        return shapely.get_x(there), shapely.get_y(there), None
    if len(points):
        raise WherefromError(
            f"{source}: {count_of(len(points), 'point')} among "
            f"{count_of(int(polygons.sum()), 'polygon')} (first in row {first + points[0]}): keep "
            "one kind in a table"
        )

    def block(at: int) -> tuple[Floats, Floats, Shapes]:
        shapes = on_sphere(there[at : at + _BLOCK], source, first + at)
        return *middles(shapes), shapes

    blocks = list(parallel.here(block, range(0, len(there), _BLOCK)))
    lon, lat, shapes = (np.concatenate(each) for each in zip(*blocks, strict=True))
    return lon, lat, shapes


def footprint_column(shapes: Shapes) -> tuple[pa.Field, pa.ChunkedArray]:
    """Return polygons (N,) as a column of a pool's table."""
    wkb = pa.chunked_array([pa.array(parallel.by_blocks(shapely.to_wkb, shapes), pa.binary())])
    return pa.field(FOOTPRINT, pa.binary(), metadata=_NOTE), wkb


def with_footprints(rest: pa.Table, shapes: Shapes, source: str) -> pa.Table:
    """Add the column of footprints to a table's other columns.

    Raises
    ------
    WherefromError
        If one of them has its name.
    """
    if FOOTPRINT in rest.column_names:
        raise WherefromError(
            f"{source} has a column {FOOTPRINT!r} beside its polygons, which are to be the column "
            "of that name: rename or drop it"
        )
    return rest.append_column(*footprint_column(shapes))


def compare(
    degrees: tuple[Floats, Floats],
    names: tuple[str, str],
    geometry: str,
    shapes: Callable[..., Shapes],
    source: str,
    first: int,
) -> bool:
    """Say where columns of degrees, which count, lie outside the geometry beside them.

    Returns whether that is of polygons, which are footprints then.
    """
    rows = np.unique(np.linspace(0, len(degrees[0]) - 1, LOOKED).astype(np.int64))
    if not len(degrees[0]):
        return False
    try:
        found = shapes(geometry, rows)
        west, south, east, north = shapely.bounds(found).T
    except WherefromError:  # of no known CRS: nothing to compare with
        return False
    polygons = bool(np.isin(shapely.get_type_id(found), (3, 6)).any())
    # What is wider than half the Earth crosses the antimeridian: its middle is not between.
    kept = ~(east - west > 180.0)
    rows, west, south, east, north = (each[kept] for each in (rows, west, south, east, north))
    x, y = (each[rows] for each in degrees)
    off, turned = (
        distance_km(u, v, np.clip(u, west, east), np.clip(v, south, north)) > ELSEWHERE_KM
        for u, v in ((x, y), (y, x))
    )
    if off.any():
        how = "are exchanged against" if not turned.any() else "are more than 1 km away from"
        say(
            f"{source}: {names[0]!r} and {names[1]!r} {how} the geometry {geometry!r} in "
            f"{int(off.sum()):,} of {count_of(len(rows), 'row')} looked at (first in row "
            f"{first + rows[off][0]}); the columns are taken: mend or drop one of them"
        )
    return polygons
