"""`draw` and `audit` of tables in memory: what comes in goes out as the same type."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from wherefrom import compose
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import audited
from wherefrom.auditing.faults import Opened, open_table, without_faults
from wherefrom.auditing.findings import Named, options_of
from wherefrom.compose import Composition, Sampler
from wherefrom.compose.exclusion import FARTHEST, Exclusion, drawn_apart
from wherefrom.earth import CATEGORICAL, VALUES
from wherefrom.earth.extent import Extent
from wherefrom.earth.surfaces import checked_surface
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, PoolScan, open_beside, open_pool, places_of
from wherefrom.pool.seasons import Dates
from wherefrom.pool.tables import array_of, names_of, need_table, taken
from wherefrom.pool.where import Where, picked

if TYPE_CHECKING:
    from wherefrom.auditing.audit import Audit
    from wherefrom.auditing.payload import SampleEntropy
    from wherefrom.pool.batches import AnyPool

__all__ = ["audit", "draw", "exclusions", "places_beside", "pool_of"]

#: Columns that a drawn table gains.
GAINED = ("multiplicity", "inclusion_probability")

Table = TypeVar("Table")


def pool_of(
    data: Any,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    columns: Collection[str] | None = None,
    time: str | Dates | None = None,
    where: str | None = None,
) -> AnyPool:
    """Make a pool of whatever holds places (as `draw` takes it); a pool is returned as it is.

    Names of columns and the condition `where` are as in `Pool.read`. With `columns` the pool of a
    table has at least these, else all.

    Raises
    ------
    WherefromError
        As in `Pool.read`; or if the arrays of a dictionary differ in length.
    """
    if isinstance(data, Pool | PoolScan):
        _refuse_where(where)
        return data
    if isinstance(data, str | Path):
        return open_pool(data, id, lon, lat, time=time, where=where)
    places = places_of(_whole(data), id, lon, lat, columns=columns)
    return Pool.of_places(picked(places, time, where))


@overload
def draw(
    data: AnyPool | str | Path,
    spec: str | dict[str, Any] | Sampler,
    n: int | None = None,
    seed: int = 0,
    *,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    geometry: str | None = None,
    time: str | None = None,
    grid: str | None = None,
    cell: str | None = None,
    exclude: Any = None,
    buffer_km: float | None = None,
    where: str | None = None,
) -> Composition: ...
@overload
def draw(
    data: Mapping[str, ArrayLike],
    spec: str | dict[str, Any] | Sampler,
    n: int | None = None,
    seed: int = 0,
    *,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    geometry: str | None = None,
    time: str | None = None,
    grid: str | None = None,
    cell: str | None = None,
    exclude: Any = None,
    buffer_km: float | None = None,
    where: str | None = None,
) -> dict[str, NDArray[Any]]: ...
@overload
def draw(
    data: Table,
    spec: str | dict[str, Any] | Sampler,
    n: int | None = None,
    seed: int = 0,
    *,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    geometry: str | None = None,
    time: str | None = None,
    grid: str | None = None,
    cell: str | None = None,
    exclude: Any = None,
    buffer_km: float | None = None,
    where: str | None = None,
) -> Table: ...
def draw(
    data: Any,
    spec: str | dict[str, Any] | Sampler,
    n: int | None = None,
    seed: int = 0,
    *,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    geometry: str | None = None,
    time: str | None = None,
    grid: str | None = None,
    cell: str | None = None,
    exclude: Any = None,
    buffer_km: float | None = None,
    where: str | None = None,
) -> Any:
    """Draw places; the same data, spec, n and seed give the same ones.

    Parameters
    ----------
    data : Pool, PoolScan, path, pyarrow.Table, DataFrame, GeoDataFrame or dict of arrays
    spec : str, dict or Sampler
        See `wherefrom.compose.sampler`.
    n : int, optional
        Places to draw; not needed for ``none`` and ``ids``.
    seed : int
    id, lon, lat, geometry, time, grid, cell : str
        Columns or entries of the data, as in `Pool.read`; not used for a pool.
    exclude : any of the types of `data`, or a list of such, optional
        Places that none may be drawn near, such as those of a test: as `exclusions` takes them.
        Inclusion probabilities are those among the places that remain.
    buffer_km : float, optional
        How near to those, km; by default places in or touching their polygons alone.
    where : str, optional
        A condition on columns, such as ``"cloud < 0.3"``, that the drawn rows meet; see
        `wherefrom.pool.where.Where`. Not of a pool, which `Pool.read` reads with it.

    Returns
    -------
    Composition, or the type of `data`
        Of a pool or a path a `Composition`. Of a table the rows drawn, in their order, with the
        columns ``multiplicity`` (int32) and ``inclusion_probability`` (float64); index, geometry
        and CRS stay, and the provenance is in ``attrs["wherefrom"]`` (pandas) or in the schema's
        metadata (pyarrow). Of a dictionary the same as a dictionary of arrays.

    Raises
    ------
    WherefromError
        If the spec is not valid, the data are faulty or have a column of these names, or cannot
        give such a draw.

    Examples
    --------
    >>> places = {"lon": [0.0, 1.0, 2.0], "lat": [0.0, 0.0, 0.0]}
    >>> drawn = draw(places, "uniform", n=2, seed=1)
    >>> drawn["lon"].tolist(), drawn["inclusion_probability"].round(3).tolist()
    ([1.0, 2.0], [0.667, 0.667])
    >>> tests = {"lon": [2.0], "lat": [0.5]}
    >>> draw(places, "uniform", n=2, exclude=tests, buffer_km=60.0)["lon"].tolist()
    [0.0, 1.0]
    """
    id, lon, lat = names_of(id, lon, lat, geometry, grid, cell)
    chosen = compose.sampler(spec)
    dates = Dates.asked(time, chosen.inputs().layers if hasattr(chosen, "inputs") else ())
    apart = exclusions(exclude, buffer_km, (lon, lat))
    if isinstance(data, Pool | PoolScan | str | Path):
        pool = pool_of(data, id, lon, lat, time=dates, where=where)
        return _drawn(pool, chosen, n, seed, apart)
    need_table(data)
    names = list(map(str, data.column_names if isinstance(data, pa.Table) else data))
    if hasattr(data, "index"):  # whose named levels are columns
        names += [str(name) for name in data.index.names if name is not None]
    for name in GAINED:
        if name in names:
            raise WherefromError(f"the table has a column {name!r} already: rename or drop it")
    needed = {lon, lat} if id is None else {id, lon, lat}
    # Where one is not there, the message names what is.
    there = needed <= {*names, *(("lon", "lat") if hasattr(data, "crs") else ())}
    read = _read_by(chosen, names) if there else None
    condition = Where.of(where)
    if read is not None and dates is not None:
        read |= {*dates.raw(names, "table")}
    if read is not None and condition is not None:
        read |= {*condition.columns} & {*names}
    places = picked(places_of(_whole(data), id, lon, lat, columns=read), dates, condition)
    pool = Pool.of_places(places)
    composition = _drawn(pool, chosen, n, seed, apart)
    rows = pool.take(composition.ids)
    rows = rows if places.rows is None else places.rows[rows]
    order = np.argsort(rows)
    gained = (composition.multiplicity[order], composition.inclusion_probability[order])
    return _rows_of(data, rows[order], dict(zip(GAINED, gained, strict=True)), composition)


def audit(
    data: Any,
    *,
    against: Any = "land",
    layers: Sequence[str] | None = None,
    weights: ArrayLike | None = None,
    test: Any = None,
    planned: Any = None,
    entropy: SampleEntropy | None = None,
    antarctica: bool = False,
    within: str | Path | Extent | None = None,
    reference: str = "land",
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    geometry: str | None = None,
    time: str | None = None,
    grid: str | None = None,
    cell: str | None = None,
    place: str | None = None,
    where: str | None = None,
    seed: int = 0,
) -> Audit:
    """Audit where places lie: shares by layer, spatial statistics, leakage, losses, findings.

    Parameters
    ----------
    data : Pool, PoolScan, path, pyarrow.Table, DataFrame, GeoDataFrame or dict of arrays
        Faulty rows of a table in memory are left out and become findings.
    against : "land", or any of the types of `data`
        What shares are compared with.
    layers : sequence of str, optional
        Categorical layers or label columns; default those of `auditing.asked`.
    weights : array_like of float, shape (N,), optional
        How often each place counts, such as a composition's multiplicities; default once.
    test, planned : any of the types of `data`, optional
        Places that a model is to be tested on; places that were asked for, of which `data` is what
        came, matched by id.
    entropy : SampleEntropy, optional
        Spectral entropy of the places' payload: `wherefrom.auditing.payload`.
    antarctica : bool
        Whether Antarctica counts as land.
    within : str, path or Extent, optional
        The part of the Earth to audit: ``"country=Kenya"`` or any other ``LAYER=LABEL``,
        ``"box=WEST,SOUTH,EAST,NORTH"``, or a file of polygons. Its land alone is compared with, and
        places outside are left out.
    reference : "land", "ocean", "coast" or "all"
        The surface whose area counts: shares, gaps, uniform places, cells and effective sizes are
        of it (`wherefrom.earth.surfaces.SURFACES`). Antarctica counts if it is not land.
    id, lon, lat, geometry, grid, cell : str
        Columns or entries of all tables given, as in `Pool.read`.
    time : str, optional
        Column of dates, as in `Pool.read`; the other tables need not have it.
    place : str, optional
        Column of the data of which rows of one value are one place, such as seasons of a tile; by
        default those at the same coordinates are.
    where : str, optional
        A condition on columns, such as ``"cloud < 0.3"``, that the audited rows meet; see
        `wherefrom.pool.where.Where`. The other tables are taken whole.
    seed : int
        Of simulations and samples.

    Returns
    -------
    Audit
        Shown as a card in a notebook; ``to_dict()`` has every number.

    Raises
    ------
    WherefromError
        If a table cannot be used, most of its rows are faulty, or none lies within.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> places = {"lon": rng.normal(10, 1, 500), "lat": rng.normal(50, 1, 500)}
    >>> found = audit(places, layers=["continent"])
    >>> found.layers["continent"].empty[0]
    'Asia'
    """
    id, lon, lat = names_of(id, lon, lat, geometry, grid, cell)
    names = None if layers is None else list(map(str, layers))
    dates = Dates.asked(time, names or (), place)
    opened = _audited(data, id, lon, lat, dates, place, where)
    pool = opened.pool
    counted = None
    if weights is not None:  # one under a mask is missing
        counted = np.ma.filled(np.ma.asanyarray(weights, dtype=np.float64), np.nan)
    if counted is not None and counted.shape != (len(pool),):
        raise WherefromError(
            f"weights are of shape {counted.shape}, but {len(pool):,} places are sound: give one "
            "weight for each place, and mend faulty rows first"
        )
    beside = None if dates is None else replace(dates, place=None, optional=True)
    land = isinstance(against, str) and against == "land"
    asked = Asked(
        pool,
        against="land" if land else pool_of(against, id, lon, lat, time=beside),
        wanted=names,
        weights=counted,
        test=None if test is None else pool_of(test, id, lon, lat, time=beside),
        planned=None if planned is None else pool_of(planned, id, lon, lat, time=beside),
        entropy=entropy,
        antarctica=antarctica,
        within=None if within is None else Extent.of(within),
        reference=checked_surface(reference),
        seed=seed,
        named=opened.named,
        place=place,
    )
    return audited(asked, opened.faults)


def exclusions(
    exclude: Any, buffer_km: float | None, names: tuple[str, str] = ("lon", "lat")
) -> list[Exclusion]:
    """Read places that none may be drawn near.

    Parameters
    ----------
    exclude : path, Pool, PoolScan, table as `draw` takes it, a list of such, or None
        Points, footprints or polygons, with their coordinates in columns called `names`, or lon and
        lat; of a file that holds a task, the places that it is tested on.
    buffer_km : float, optional
        Nothing within so many km of them is drawn; by default nothing that lies in their polygons
        or touches them.

    Returns
    -------
    list of Exclusion
        A table in memory is called by its place in the list, such as ``exclude[0]``.

    Raises
    ------
    WherefromError
        If one cannot be read, they are points and no distance is given, or it is none.

    Examples
    --------
    >>> [one] = exclusions({"lon": [2.0], "lat": [0.5]}, 60.0)
    >>> one.said
    'within 60 km of one of 1 place of exclude[0]'
    """
    given = [] if exclude is None else [exclude]
    if isinstance(exclude, list | tuple):
        given = list(exclude)
    if buffer_km is not None:
        if not given:
            raise WherefromError(
                "--exclude is missing: --buffer-km is the distance from its places"
            )
        if not 0.0 <= buffer_km <= FARTHEST:
            raise WherefromError(
                f"--buffer-km {buffer_km:g} is no distance: give 0 to {FARTHEST:,} km"
            )
        buffer_km = float(buffer_km)  # 10 and 10.0 are written alike
    called = [
        str(each) if isinstance(each, str | Path) else f"exclude[{at}]"
        for at, each in enumerate(given)
    ]
    return [
        Exclusion.of(places_beside(each, names), buffer_km, name)
        for each, name in zip(given, called, strict=True)
    ]


def places_beside(
    data: Any, names: tuple[str, str] = ("lon", "lat"), time: str | Dates | None = None
) -> Pool:
    """Read places that stand beside a pool into memory; of a task's file, those that are tested.

    `data` are as `draw` takes them, their coordinates in columns called `names`, or lon and lat;
    they need not have the column of dates.

    Raises
    ------
    WherefromError
        As `wherefrom.pool.open_beside`, or if there are too many.
    """
    found: AnyPool
    if isinstance(data, str | Path):
        tested = _tested(data)
        found = open_beside(data, *names, time) if tested is None else tested
    elif isinstance(data, Pool | PoolScan):
        found = data
    else:
        need_table(data)
        there = {str(name) for name in (data.column_names if isinstance(data, pa.Table) else data)}
        lon, lat = names if {*names} <= there else ("lon", "lat")
        found = pool_of(data, None, lon, lat, (), time)
    return found.load() if isinstance(found, PoolScan) else cast("Pool", found)


def _tested(path: str | Path) -> Pool | None:
    """Read the places that a task is tested on, if a file holds one."""
    from wherefrom.tasks.task import Task, is_task

    if not is_task(path):
        return None
    task = Task.read(path)
    return Pool.from_table(pa.table({"lon": task.lon[task.tested], "lat": task.lat[task.tested]}))


def _drawn(
    pool: AnyPool, chosen: Sampler, n: int | None, seed: int, apart: Sequence[Exclusion]
) -> Composition:
    if apart:
        return drawn_apart(pool, chosen, n, seed, apart)
    return compose.drawn(pool, chosen, n, seed)


def _audited(
    data: Any,
    id_name: str | None,
    lon: str,
    lat: str,
    dates: Dates | None,
    place: str | None,
    where: str | None,
) -> Opened:
    """Make a pool of the sound rows, and findings of the others."""
    if isinstance(data, Pool | PoolScan):
        _refuse_where(where)
        return Opened(data)
    options = options_of(id_name, lon, lat, None if dates is None else dates.column, place, where)
    if isinstance(data, str | Path):
        named = Named(str(data), options)
        return open_table(data, id_name, lon, lat, named=named, time=dates, where=where)
    places = picked(places_of(_whole(data), id_name, lon, lat), dates, where)
    return without_faults(places, Named(options=options))


def _refuse_where(where: str | None) -> None:
    if where is not None:
        raise WherefromError(
            "where= is for a table or a path: read the pool with it, Pool.read(..., where=...)"
        )


def _read_by(chosen: Sampler, names: list[str]) -> set[str] | None:
    """Return the columns that a sampler looks at, where that is known."""
    declared = getattr(chosen, "inputs", None)
    if declared is None or not type(chosen).__module__.startswith("wherefrom."):
        return None
    asked = {*declared().layers, *declared().numbers}
    # A misspelt name is answered with the nearest of all columns.
    return asked if asked <= {*names, *CATEGORICAL, *VALUES} else None


def _whole(data: Any) -> Any:
    """Return the data, after a look at whether arrays of a dictionary are of one length."""
    if isinstance(data, Mapping):
        shapes = {name: np.shape(values) for name, values in data.items()}
        if len({shape[:1] for shape in shapes.values()}) > 1 or () in shapes.values():
            shown = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise WherefromError(f"arrays must be of one length, not {shown}")
    return data


def _rows_of(
    data: Any, rows: NDArray[np.int64], gained: dict[str, NDArray[Any]], composition: Composition
) -> Any:
    """Return rows of a table, with more columns, as the type that it has."""
    if isinstance(data, Mapping):
        return {name: array_of(values)[rows] for name, values in data.items()} | gained
    if isinstance(data, pa.Table):
        drawn = taken(data, rows)
        for name, values in gained.items():
            drawn = drawn.append_column(name, pa.array(values))
        about = {b"wherefrom": json.dumps(composition.provenance, sort_keys=True).encode()}
        return drawn.replace_schema_metadata({**(data.schema.metadata or {}), **about})
    frame = data.iloc[rows].assign(**gained)
    frame.attrs["wherefrom"] = composition.provenance
    return frame
