"""The pool: ids, coordinates, and the layers' labels of every candidate place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import ArrayLike, NDArray

from wherefrom import files, parallel
from wherefrom.earth.extent import Extent
from wherefrom.earth.surfaces import checked_surface
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import BLOCK, PART, Ask, Batch
from wherefrom.pool.build import land_origin, land_places, places_on
from wherefrom.pool.check import errors_in, refuse_errors, repeats_in
from wherefrom.pool.columns import (
    column_codes,
    column_labels,
    column_numbers,
    encoded,
    label_column,
    label_layer,
    present_values,
    value_layer,
)
from wherefrom.pool.digest import key_of_blocks, labels_digest, places_digest
from wherefrom.pool.geometry import FOOTPRINT, GEO, is_bytes
from wherefrom.pool.partition import open_writer
from wherefrom.pool.seasons import Dates, days_in, raw_dates
from wherefrom.pool.tables import Places, names_of, places_of, read_places, rows_of
from wherefrom.pool.where import picked

__all__ = ["Pool", "PoolPart", "origin_of", "where_of"]

Codes = tuple[NDArray[np.int32], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidate places to draw compositions from.

    Make one with `build`, `read` or `from_table`.

    Attributes
    ----------
    ids : ndarray of int64 or str, shape (N,)
        Unique ids, in the table's order.
    lon, lat : ndarray of float64, shape (N,)
        Degrees; longitude in [-180, 180], latitude in [-90, 90].
    table : pyarrow.Table
        Columns ``id``, ``lon``, ``lat`` and whatever else the user's table had, N rows.
    origin : str
        How the places came about, in words; empty if not known.
    """

    ids: NDArray[Any]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    table: pa.Table
    origin: str = ""
    _notes: tuple[str, ...] | None = ()
    _codes: dict[str, Codes] = field(default_factory=dict, repr=False)
    _counts: dict[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)
    _labels_keys: dict[str, str] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def build(
        cls,
        places: int,
        seed: int = 0,
        antarctica: bool = False,
        within: str | Path | None = None,
        reference: str = "land",
    ) -> Pool:
        """Draw places uniformly by area on land.

        Parameters
        ----------
        places : int
            How many.
        seed : int
            The same seed gives the same places, and a larger pool starts with the smaller.
        antarctica : bool
            Whether places of the continent Antarctica count; by default they do not.
        within : str or Path, optional
            Where alone: ``"country=Kenya"``, ``"box=W,S,E,N"`` or a file of polygons, as in
            `wherefrom.earth.extent.Extent.of`. Antarctica counts in it.
        reference : "land", "ocean", "coast" or "all"
            The surface they lie on; Antarctica counts if it is not land.

        Returns
        -------
        Pool
            Ids are 0 to ``places - 1``.

        Raises
        ------
        WherefromError
            If `places` is not positive, the land layer cannot be had, or there is no land within.

        Examples
        --------
        >>> len(Pool.build(500, seed=1))
        500
        """
        surface = checked_surface(reference)
        lon, lat = (
            land_places(places, seed, antarctica)
            if within is None and surface == "land"
            else places_on(places, seed, surface, None if within is None else Extent.of(within))
        )
        ids = np.arange(len(lon), dtype=np.int64)
        table = pa.table({"id": ids, "lon": lon, "lat": lat})
        origin = land_origin(seed, antarctica, within, surface)
        return cls(ids, lon, lat, table, origin)

    @classmethod
    def read(
        cls,
        path: Path | str,
        id: str | None = None,
        lon: str = "lon",
        lat: str = "lat",
        geometry: str | None = None,
        time: str | Dates | None = None,
        grid: str | None = None,
        cell: str | None = None,
        where: str | None = None,
    ) -> Pool:
        """Read a pool from Parquet, GeoParquet (points, longitude/latitude) or CSV.

        Parameters
        ----------
        path : Path or str
            The file.
        id : str, optional
            Column of ids; default ``"id"`` if there is one, else row numbers.
        lon, lat : str
            Columns of degrees.
        geometry : str, optional
            Column of points, in place of `lon` and `lat`.
        time : str or Dates, optional
            Column of dates, which become the label columns ``season``, ``month``, ``year`` and
            ``year_span``; see `wherefrom.pool.seasons.dated`.
        grid, cell : str, optional
            A grid, and the column of the ids of its cells; see `wherefrom.pool.opening.open_pool`.
        where : str, optional
            A condition on columns, such as ``"cloud < 0.3"``: other rows are left out, and ids
            that are row numbers stay those of the whole table. See `wherefrom.pool.where.Where`.

        Returns
        -------
        Pool

        Raises
        ------
        WherefromError
            If the file cannot be read, a column is absent, or coordinates are missing, swapped or
            out of range, or ids repeat. The message names the file, the column and the rows.
        """
        return cls.of_places(
            picked(read_places(path, *names_of(id, lon, lat, geometry, grid, cell)), time, where)
        )

    @classmethod
    def from_table(
        cls,
        table: Any,
        id: str | None = None,
        lon: str = "lon",
        lat: str = "lat",
        geometry: str | None = None,
        time: str | Dates | None = None,
        grid: str | None = None,
        cell: str | None = None,
        where: str | None = None,
    ) -> Pool:
        """Make a pool from a pyarrow.Table, a pandas.DataFrame or a GeoDataFrame.

        Parameters and errors are those of `read`.

        Examples
        --------
        >>> table = pa.table({"x": [10.0, 20.0], "y": [1.0, 2.0], "crop": ["yes", "no"]})
        >>> pool = Pool.from_table(table, lon="x", lat="y")
        >>> pool.table.column_names
        ['id', 'lon', 'lat', 'crop']
        """
        return cls.of_places(
            picked(places_of(table, *names_of(id, lon, lat, geometry, grid, cell)), time, where)
        )

    @classmethod
    def of_places(cls, places: Places, notes: tuple[str, ...] | None = None) -> Pool:
        """Make a pool of a table's places, refusing faulty ones as `read` does.

        `notes` are what is odd about them, if that is known.
        """
        if not len(places.ids):
            raise WherefromError(f"{places.source} has no rows")
        names, row = (places.lon_name, places.lat_name), places.row
        refuse_errors(errors_in(places.ids, places.lon, places.lat, *names, row), places.source)
        table = pa.table({"id": pa.array(places.ids), "lon": places.lon, "lat": places.lat})
        for column in places.rest.schema:
            if column.name != "id":  # of a table whose rows are numbered
                table = table.append_column(column, places.rest.column(column.name))
        origin = origin_of((places.rest.schema.metadata or {}).get(b"wherefrom"))
        if places.where:
            origin = where_of(origin, places.where)
            if notes is None:  # whose rows are the table's
                found = repeats_in(places.lon, places.lat, row)
                notes = tuple(finding.message for finding in found)
        return cls(places.ids, places.lon, places.lat, table, origin, notes)

    @cached_property
    def key(self) -> str:
        """Hash of ids and coordinates: 16 hexadecimal digits."""

        def digest(at: int) -> bytes:
            rows = slice(at, at + BLOCK)
            return places_digest(self.ids[rows], self.lon[rows], self.lat[rows])

        digests = parallel.here(digest, range(0, len(self), BLOCK))
        return key_of_blocks(f"{len(self)}:{self.ids.dtype.kind}", digests)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the table but no error, such as repeated places."""
        if self._notes is None:
            return tuple(finding.message for finding in repeats_in(self.lon, self.lat))
        return self._notes

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the table's other columns."""
        return tuple(c for c in self.table.column_names if c not in ("id", "lon", "lat"))

    @property
    def extended(self) -> bool:
        """Whether the places are the middles of footprints."""
        return FOOTPRINT in self.table.column_names and is_bytes(
            self.table.schema.field(FOOTPRINT).type
        )

    @property
    def timed(self) -> bool:
        """Whether the rows have dates."""
        return bool(raw_dates(self.table.schema))

    def footprints(self, rows: slice | NDArray[np.int64] = slice(None)) -> NDArray[Any]:
        """Return the polygons of some rows, shapely's, in degrees within [-180, 180].

        Raises
        ------
        WherefromError
            If the places are points.

        Examples
        --------
        >>> import shapely
        >>> tiles = {"footprint": shapely.to_wkb(shapely.box([0, 179], 0, [2, 181], 2))}
        >>> pool = Pool.from_table(pa.table(tiles), geometry="footprint")
        >>> pool.lon.round(9).tolist(), pool.footprints()[1].geom_type
        ([1.0, -180.0], 'MultiPolygon')
        """
        if not self.extended:
            raise WherefromError("the places of this pool are points: they have no footprints")
        column = self.table.column(FOOTPRINT)
        column = column[rows] if isinstance(rows, slice) else column.take(rows)
        return parallel.by_blocks(shapely.from_wkb, column.to_numpy())

    def codes(self, name: str) -> Codes:
        """Label every place by a categorical layer.

        Parameters
        ----------
        name : str
            A column of the pool's table (text, whole numbers or booleans; null and ``""`` count as
            no label), else a categorical layer of the Earth. Looked up once and kept.

        Returns
        -------
        codes : ndarray of int32, shape (N,)
            Position in `labels`; -1 for none.
        labels : tuple of str
            A layer's labels, whether they occur in the pool or not; a column's values, sorted.

        Raises
        ------
        WherefromError
            If there is no such layer or column, it holds real numbers, or its data cannot be had.

        Examples
        --------
        >>> table = pa.table({"lon": [10.0, 20.0, 30.0], "lat": [0.0] * 3, "use": ["b", "a", None]})
        >>> codes, labels = Pool.from_table(table).codes("use")
        >>> codes.tolist(), labels
        ([1, 0, -1], ('a', 'b'))
        """
        if name not in self._codes:
            if name in self.columns:
                column = pa.chunked_array([encoded(self.table.column(name), name)])
                values, labels = column_labels(present_values(column, name))
                self._codes[name] = column_codes(column, values, name), labels
            else:
                layer = label_layer(name, self.columns)
                self._codes[name] = layer.codes(self.lon, self.lat), layer.labels
        return self._codes[name]

    def holds(self, name: str) -> bool:
        """Say whether the labels are in a column, or were looked up before."""
        return name in self._codes or name in self.columns

    def labels(self, name: str) -> tuple[str, ...]:
        """Return the labels of `codes`; a layer is opened for them, but no place looked up."""
        return self.codes(name)[1] if self.holds(name) else label_layer(name, self.columns).labels

    def counts(self, name: str) -> NDArray[np.int64] | None:
        """Return the places of each of ``labels(name)``, or None before a layer's look-up."""
        if not self.holds(name):
            return None
        if name not in self._counts:
            codes, labels = self.codes(name)
            self._counts[name] = np.bincount(codes + 1, minlength=len(labels) + 1)[1:]
        return self._counts[name].copy()

    def labels_key(self, name: str) -> str:
        """Hash of the labels of all places: equal labels, equal key, wherever they come from."""
        if name not in self._labels_keys:
            codes, labels = self.codes(name)

            def digest(at: int) -> bytes:
                return labels_digest(codes[at : at + BLOCK], labels)

            digests = parallel.here(digest, range(0, len(self), BLOCK))
            self._labels_keys[name] = key_of_blocks(f"{len(self)}", digests)
        return self._labels_keys[name]

    def parts(self) -> list[PoolPart]:
        """Return pieces of at most `PART` places that cover the pool in order."""
        ends = range(0, len(self), PART)
        return [PoolPart(self, at, min(PART, len(self) - at), at) for at in ends]

    def batches(self, ask: Ask) -> Iterator[Batch]:
        """Give all places in order, `BLOCK` at a time, with what is asked for.

        Raises
        ------
        WherefromError
            If there is no such layer or column, or it is not of the kind asked for.

        Examples
        --------
        >>> table = pa.table({"lon": [10.0, 20.0], "lat": [0.0] * 2, "use": ["b", "a"]})
        >>> [batch] = Pool.from_table(table).batches(Ask(codes=("use",), ids=True))
        >>> batch.ids.tolist(), batch.codes["use"].tolist(), batch.lon.tolist()
        ([0, 1], [1, 0], [10.0, 20.0])
        """
        for part in self.parts():
            yield from part.batches(ask)

    def piece(self, start: int, stop: int) -> Pool:
        """Return some rows, for a part that travels, with labels as the whole pool codes them."""
        rows = slice(start, stop)
        codes: dict[str, Codes] = {}
        for name in dict.fromkeys((*self._codes, *self.columns)):
            # A column may hold no labels; who asks for them then is told so where he asks.
            with suppress(WherefromError):
                codes[name] = self.codes(name)[0][rows], ()
        # Pickled as it is, a slice of a table takes the whole table along.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as stream:
            stream.write_table(self.table.slice(start, stop - start))
        table = pa.ipc.open_stream(sink.getvalue()).read_all()
        return Pool(self.ids[rows], self.lon[rows], self.lat[rows], table, self.origin, (), codes)

    def with_layers(self, names: Iterable[str]) -> Pool:
        """Return the pool with the layers' labels as columns of its table.

        Parameters
        ----------
        names : iterable of str
            Categorical layers. A column that is there already stays as it is.

        Returns
        -------
        Pool
            The same places; drawing from it needs no further look at the layers.

        Raises
        ------
        WherefromError
            As in `codes`.
        """
        table = self.table
        for name in names:
            codes, labels = self.codes(name)
            if name not in table.column_names:
                table = table.append_column(name, label_column(codes, labels))
        return replace(self, table=table)

    def take(self, ids: ArrayLike | Sequence[str]) -> NDArray[np.int64]:
        """Find the rows of some ids.

        Parameters
        ----------
        ids : array_like of int or str, shape (M,)
            Ids of the pool, in any order.

        Returns
        -------
        ndarray of int64, shape (M,)
            Their rows in the pool.

        Raises
        ------
        WherefromError
            If an id is not in the pool; names the first ones.

        Examples
        --------
        >>> table = pa.table({"id": ["b", "a"], "lon": [1.0, 2.0], "lat": [3.0, 4.0]})
        >>> Pool.from_table(table).take(["a", "b", "a"]).tolist()
        [1, 0, 1]
        """
        wanted = np.asarray(ids)
        if wanted.dtype.kind == "U" and self.ids.dtype.kind == "i" and wanted.size:
            raise WherefromError(
                f"ids are text (first: {str(wanted[0])!r}), but the pool's ids are whole numbers"
            )
        return rows_of(self.ids, wanted, self._order)

    def write(self, path: Path | str) -> None:
        """Write the pool as Parquet; the same pool gives the same bytes.

        Coordinates are plain columns, half the size of a geometry column; GeoPandas reads them by
        ``geopandas.points_from_xy(table.lon, table.lat, crs="OGC:CRS84")``. Footprints are
        GeoParquet's geometry, which it reads at once.

        Raises
        ------
        WherefromError
            If the disk is full or the folder cannot be written.
        """
        about = {b"wherefrom": json.dumps({"origin": self.origin, "pool": self.key}).encode()}
        if self.extended:
            about[b"geo"] = GEO
        table = self.table.replace_schema_metadata(about)
        with files.atomic(path) as tmp, open_writer(tmp, table.schema) as writer:
            writer.write_table(table, row_group_size=BLOCK)

    @cached_property
    def _order(self) -> NDArray[np.int64] | None:
        """Rows in the order of ids; None where they ascend."""
        ascending = (self.ids[1:] > self.ids[:-1]).all()
        return None if ascending else np.argsort(self.ids, kind="stable")


@dataclass(frozen=True, eq=False)
class PoolPart:
    """Rows of a pool; pickled, it takes only these along.

    `first` counts in `pool`, `start` in the whole pool, and is a multiple of `BLOCK`.
    """

    pool: Pool
    first: int
    count: int
    start: int

    def __len__(self) -> int:
        return self.count

    def __reduce__(self) -> tuple[Any, ...]:
        piece = self.pool.piece(self.first, self.first + self.count)
        return PoolPart, (piece, 0, self.count, self.start)

    def batches(self, ask: Ask) -> Iterator[Batch]:
        """Give its places in order, `BLOCK` at a time, as `Pool.batches` does."""
        pool, columns = self.pool, self.pool.columns
        kept = {name: pool.codes(name)[0] for name in ask.codes if pool.holds(name)}
        looked_up = {name: label_layer(name, columns) for name in ask.codes if name not in kept}
        valued = {name: value_layer(name, columns) for name in ask.values if name not in columns}
        for at in range(self.first, self.first + self.count, BLOCK):
            rows = slice(at, min(at + BLOCK, self.first + self.count))
            lon, lat = pool.lon[rows], pool.lat[rows]
            codes = {
                name: kept[name][rows] if name in kept else looked_up[name].codes(lon, lat)
                for name in ask.codes
            }
            values = {
                name: valued[name](lon, lat).astype("f8")
                if name in valued
                else column_numbers(pool.table.column(name)[rows], name)
                for name in ask.values
            }
            ids = pool.ids[rows] if ask.ids else None
            shapes = pool.footprints(rows) if ask.footprints and pool.extended else None
            days = days_in(pool.table[rows]) if ask.days else None
            yield Batch(self.start + at - self.first, lon, lat, ids, codes, values, shapes, days)

    def tables(self) -> Iterator[tuple[int, pa.Table]]:
        """Give each block's first row in the whole pool, and all columns of its rows."""
        for at in range(self.first, self.first + self.count, BLOCK):
            count = min(BLOCK, self.first + self.count - at)
            yield self.start + at - self.first, self.pool.table.slice(at, count)


def where_of(origin: str, where: str) -> str:
    """Say how some rows of a pool came about."""
    return f"{origin or 'rows'} where {where}"


def origin_of(written: bytes | None) -> str:
    """Return what `Pool.write` noted; another program's note of that name says nothing to us."""
    try:
        about = json.loads(written or b"{}")
    except ValueError:
        return ""
    return str(about.get("origin", "")) if isinstance(about, dict) else ""
