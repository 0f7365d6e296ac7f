"""The pool of a study: what a study file says of it, and what a table of the user's holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from wherefrom import earth
from wherefrom.part import Part
from wherefrom.payload.content import content_of

if TYPE_CHECKING:
    from wherefrom.pool import Pool

__all__ = ["PoolSpec", "PoolTable", "stage_spec", "table_of"]


class PoolSpec(Part):
    """The pool of candidate places: uniform by area on land, or a table of the user's."""

    #: Of a pool that is built.
    places: int | None = Field(gt=0, default=None)
    seed: int = 0
    #: A table of places, or a folder of Parquet files, as `wherefrom.pool.open_pool` takes them;
    #: from the folder where the command runs. Then its columns.
    file: str | None = Field(min_length=1, default=None)
    id: str | None = None
    lon: str = "lon"
    lat: str = "lat"
    #: Column of dates, or two with a comma between; season, month and year become columns.
    time: str | None = None
    #: A condition that its rows meet, as `wherefrom.pool.where.Where` reads it.
    where: str | None = None

    @model_validator(mode="after")
    def _is_built_or_read(self) -> Self:
        given = self.model_fields_set
        if (self.places is None) == (self.file is None):
            raise ValueError("needs one of 'places', to build a pool, and 'file', a table of yours")
        if self.file is None and (named := given & {"id", "lon", "lat", "time", "where"}):
            raise ValueError(f"{min(named)!r} is of the rows of 'file', which is not given")
        if self.file is not None and "seed" in given:
            raise ValueError("'seed' is of a pool that is built, and 'file' names one")
        return self

    def open(self) -> Pool:
        """Read the table, or build the pool; refuse a table that memory cannot hold."""
        from wherefrom.pool import Pool, PoolScan, open_pool

        if self.file is None:
            assert self.places is not None
            return Pool.build(self.places, seed=self.seed)
        names = (self.id, self.lon, self.lat)
        pool = open_pool(self.file, *names, time=self.time, where=self.where)
        return pool.load() if isinstance(pool, PoolScan) else pool


class PoolTable(Part):
    """What is known of a table of the user's once it was read."""

    places: int
    #: Besides id and coordinates: what compositions can name as layers.
    columns: tuple[str, ...]
    #: How its places came about, where the table says so.
    origin: str
    #: Hash of its bytes.
    content: str


def table_of(spec: PoolSpec) -> PoolTable | None:
    """Read the table of the user's that is a study's pool; None if the pool is built.

    Raises
    ------
    WherefromError
        If the table is faulty, or too large to be held in memory.
    """
    if spec.file is None:
        return None
    pool = spec.open()
    content = content_of(spec.file).key
    return PoolTable(places=len(pool), columns=pool.columns, origin=pool.origin, content=content)


def stage_spec(spec: PoolSpec, table: PoolTable | None) -> dict[str, Any]:
    """Return what a study's pool depends on: of a table the content, not where it lies."""
    if table is None:
        return {"places": spec.places, "seed": spec.seed, "land": earth.layer_key("land")}
    told = {"content": table.content, "id": spec.id, "lon": spec.lon, "lat": spec.lat}
    more = {"time": spec.time, "where": spec.where}
    return told | {name: value for name, value in more.items() if value is not None}
