"""What an audit was asked for, as every statistic sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import earth, keys, parallel
from wherefrom.auditing.findings import Named
from wherefrom.auditing.lattice import Ground
from wherefrom.auditing.tally import Distinct, RowSample, Weights, distinct_places
from wherefrom.earth.extent import Extent
from wherefrom.earth.file_layers import file_name_of
from wherefrom.earth.surfaces import SURFACES, Surface, checked_surface
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool import Pool, PoolScan
from wherefrom.pool.batches import AnyPool, Ask, Part
from wherefrom.pool.seasons import TIME, time_columns

if TYPE_CHECKING:
    from wherefrom.auditing.payload import SampleEntropy

__all__ = [
    "DEFAULT_LAYERS",
    "Asked",
    "dated",
    "default_layers",
    "own_column",
    "places_within",
    "pool_rows",
]

T = TypeVar("T")

#: What an audit looks at unless told otherwise.
DEFAULT_LAYERS = (
    "continent",
    "country",
    "biome",
    "ecoregion",
    "climate_zone",
    "land_cover",
    "city_distance_band",
    "elevation_band",
)


def default_layers() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return those of `DEFAULT_LAYERS` an audit looks at here, and what it leaves out and why.

    Biomes and ecoregions take a download of 150 MB, which an audit does not start by itself;
    climate zones are the nearest to biomes that there is without it.
    """
    absent = [name for name in ("biome", "ecoregion") if not earth.available(name)]
    if not absent:
        return DEFAULT_LAYERS, ()
    note = (
        f"{' and '.join(absent)} left out, climate_zone stands in: the ecoregions are not on this "
        "machine; get them with `wherefrom data fetch resolve-ecoregions`"
    )
    return tuple(name for name in DEFAULT_LAYERS if name not in absent), (note,)


@dataclass(eq=False)
class Asked:
    """The places of an audit, what they are held against, and what else is given.

    Parameters
    ----------
    pool : AnyPool
        The places: a pool in memory or in files.
    against : AnyPool or "land"
        What shares are compared with: the area of land, or another pool.
    wanted : sequence of str, optional
        Categorical layers, or label columns of the pool; default those of `default_layers`.
    weights : ndarray of float64, shape (N,), optional
        How often each place counts, such as a composition's multiplicities; default once.
    test : AnyPool, optional
        Places that a model is to be tested on.
    planned : AnyPool, optional
        Places that were asked for, of which `pool` is what came; matched by id.
    entropy : SampleEntropy, optional
        Of :func:`wherefrom.auditing.payload.entropy_of_tiles` or ``entropy_of_series``.
    antarctica : bool
        Whether Antarctica counts as land; pools built here leave it out.
    within : Extent, optional
        The only part of the Earth whose land counts. Places outside, of all tables, are left out,
        and Antarctica is land.
    reference : "land", "ocean", "coast" or "all"
        The surface that counts wherever land is said; Antarctica counts if it is not land.
    seed : int
        Of simulations and samples.
    named : Named
        What the tables are called.
    place : str, optional
        Label column of `pool`, of which rows of one value are one place; by default those at the
        same coordinates are.

    Attributes
    ----------
    layers, notes : tuple of str
        The layers wanted, and what was left out of the default ones, to which those of time
        belong where the pool has dates, and what it is compared with.
    ground : Ground
        The land that counts.
    rng : numpy.random.Generator
        For simulations; shared by the statistics, in the order of their tuple.
    sample : RowSample
        Uniform sample of the places, with their number and weight; empty before the pass.
    """

    pool: AnyPool
    against: AnyPool | Literal["land"] = "land"
    wanted: Sequence[str] | None = None
    weights: Weights | None = None
    test: AnyPool | None = None
    planned: AnyPool | None = None
    entropy: SampleEntropy | None = None
    antarctica: bool = False
    within: Extent | None = None
    reference: Surface = "land"
    seed: int = 0
    named: Named = field(default_factory=Named)
    place: str | None = None
    n: int | None = None
    outside: bool = field(init=False, default=False)
    layers: tuple[str, ...] = field(init=False)
    notes: tuple[str, ...] = field(init=False, default=())
    ground: Ground = field(init=False)
    rng: np.random.Generator = field(init=False)
    sample: RowSample = field(init=False, default_factory=RowSample)
    _made: dict[Callable[[Asked], Any], Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.wanted is None:
            self.layers, self.notes = default_layers()
            if isinstance(self.against, str) or dated(self.against):
                ours = dated(self.pool)
                self.layers += tuple(ours[role] for role in TIME if role in ours)
        else:
            self.layers = tuple(dict.fromkeys(self.wanted))
        if self.place is not None and not has_column(self.pool, self.place):
            known = self.pool.columns if isinstance(self.pool, Pool | PoolScan) else ()
            raise unknown(f"column of places of {self.named.file}", self.place, known)
        self.rng = keys.generator("audit", self.seed)
        if checked_surface(self.reference) != "land":
            self.antarctica = True
            self.notes += (f"{self.reference} is {SURFACES[self.reference].about}",)
        if self.within is not None:
            self.antarctica = True
            self._restrict(self.within)
        self.ground = Ground(self.antarctica, self.within, self.reference)
        if self.within is not None and self.ground.none:
            noun = self.ground.noun
            self.notes += (
                f"there is hardly any {noun} within {self.within.text}, so nothing is compared "
                f"with {self.ground.name}: shares, repeats, roundings and the map are of the "
                "places alone",
            )

    @property
    def beside(self) -> str:
        """What the places are held against, in words."""
        if isinstance(self.against, str):
            return str(self.ground)
        return self.named.against or self.against.origin or "the reference"

    @property
    def earth_layers(self) -> list[str]:
        """Those of the layers that are of the Earth, or of a plug-in, and not the pool's column."""
        return [name for name in self.layers if not self.own(name)]

    @property
    def seen(self) -> Distinct:
        """How to count each place once, where several rows share one."""
        return self.once(_distinct)

    @property
    def by_land(self) -> bool:
        """Whether the places are held against land, or another surface."""
        return isinstance(self.against, str) and not self.ground.none

    def _restrict(self, within: Extent) -> None:
        """Leave out what lies outside, of all tables."""
        for name, called in (
            ("pool", "rows"), ("against", "rows of --against"), ("test", "test places"),
            ("planned", "planned places"),
        ):  # fmt: skip
            table = getattr(self, name)
            if table is None or isinstance(table, str):
                continue
            inside, rows = places_within(table, within, called)
            if len(inside) < len(table):
                self.notes += (
                    f"{len(table) - len(inside):,} of {len(table):,} {called} lie outside "
                    f"{within.text} and are left out",
                )
                self.outside |= name == "pool"
            setattr(self, name, inside)
            if name == "pool" and self.weights is not None:
                self.weights = self.weights[rows]
        if self.entropy is not None:
            there = within.holds(self.entropy.lon, self.entropy.lat)
            parts = ("ids", "lon", "lat", "values", "dropped")
            self.entropy = replace(
                self.entropy, **{name: getattr(self.entropy, name)[there] for name in parts}
            )

    def own(self, layer: str) -> bool:
        """Tell whether a layer is a column of the table, which may differ within a place."""
        return own_column(self.pool, layer)

    def of(self, sample: RowSample) -> Asked:
        """Return the same question of another sample, with random numbers of its own."""
        other = copy(self)
        other.sample, other.rng = sample, keys.generator("audit a part", self.seed)
        other._made = {}
        return other

    def once(self, make: Callable[[Asked], T]) -> T:
        """Return what a function makes of this; what several statistics need is made once."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made


def _distinct(asked: Asked) -> Distinct:
    return distinct_places(asked.pool, asked.weights, asked.place)


def has_column(pool: AnyPool, column: str) -> bool:
    """Tell whether a pool's table has a column of this name."""
    return isinstance(pool, Pool | PoolScan) and column in pool.columns


def dated(pool: AnyPool) -> dict[str, str]:
    """Return the label columns of a pool's dates by what they are; none without dates."""
    if isinstance(pool, Pool):
        return time_columns(pool.table.schema)
    return time_columns(pool.reading.rest) if isinstance(pool, PoolScan) else {}


def own_column(pool: AnyPool, layer: str) -> bool:
    """Tell whether a layer is a column of a pool's own, and not one that says what the Earth has.

    A column that `pool label` made of a file that is still there is of the Earth.
    """
    file = file_name_of(layer)
    of_earth = layer in earth.CATEGORICAL or (file is not None and file.path.is_file())
    return not of_earth and has_column(pool, layer)


def places_within(
    pool: AnyPool, within: Extent, called: str = "rows"
) -> tuple[Pool, NDArray[np.int64]]:
    """Return those places of a pool that lie in an extent, in memory, and their rows.

    Raises
    ------
    WherefromError
        If there is none.
    """
    parts = list(parallel.in_order(partial(_rows_within, within=within), pool.parts()))
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
    if not len(rows):
        raise WherefromError(f"none of {len(pool):,} {called} lies within {within.text}")
    if isinstance(pool, Pool):
        return pool_rows(pool, rows), rows
    assert isinstance(pool, PoolScan)
    tables = [
        table.take(rows[slice(*np.searchsorted(rows, [start, start + len(table)]))] - start)
        for part in pool.parts()
        for start, table in part.tables()
    ]
    return replace(Pool.from_table(pa.concat_tables(tables), id="id"), origin=pool.origin), rows


def pool_rows(pool: Pool, rows: NDArray[Any]) -> Pool:
    """Return some rows of a pool, by numbers or a mask; notes number those of the whole table."""
    table = pool.table.filter(rows) if rows.dtype == bool else pool.table.take(rows)
    return Pool(pool.ids[rows], pool.lon[rows], pool.lat[rows], table, pool.origin, pool.notes)


def _rows_within(part: Part, within: Extent) -> NDArray[np.int64]:
    found = [
        np.flatnonzero(within.holds(batch.lon, batch.lat)) + batch.start
        for batch in part.batches(Ask())
    ]
    return np.concatenate(found)
