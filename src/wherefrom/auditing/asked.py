"""What an audit was asked for, as every statistic sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from wherefrom import earth, keys
from wherefrom.auditing.findings import Named
from wherefrom.auditing.tally import Distinct, RowSample, Weights, distinct_places
from wherefrom.pool import Pool, PoolScan
from wherefrom.pool.batches import AnyPool

if TYPE_CHECKING:
    from wherefrom.auditing.payload import SampleEntropy

__all__ = ["DEFAULT_LAYERS", "Asked", "default_layers"]

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
    seed : int
        Of simulations and samples.
    named : Named
        What the tables are called.

    Attributes
    ----------
    layers, notes : tuple of str
        The layers wanted, and what was left out of the default ones.
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
    seed: int = 0
    named: Named = field(default_factory=Named)
    layers: tuple[str, ...] = field(init=False)
    notes: tuple[str, ...] = field(init=False, default=())
    rng: np.random.Generator = field(init=False)
    sample: RowSample = field(init=False, default_factory=RowSample)
    _made: dict[Callable[[Asked], Any], Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.wanted is None:
            self.layers, self.notes = default_layers()
        else:
            self.layers = tuple(dict.fromkeys(self.wanted))
        self.rng = keys.generator("audit", self.seed)

    @property
    def beside(self) -> str:
        """What the places are held against, in words."""
        if isinstance(self.against, str):
            return "land with Antarctica" if self.antarctica else "land"
        return self.named.against or self.against.origin or "the reference"

    @property
    def earth_layers(self) -> list[str]:
        """Those of the layers that are of the Earth, or of a plug-in, and not the pool's column."""
        return [name for name in self.layers if not self.own(name)]

    @property
    def seen(self) -> Distinct:
        """How to count each place once, where several rows share one."""
        return self.once(_distinct)

    def own(self, layer: str) -> bool:
        """Tell whether a layer is a column of the table, which may differ within a place."""
        return layer not in earth.CATEGORICAL and has_column(self.pool, layer)

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
    return distinct_places(asked.pool, asked.weights)


def has_column(pool: AnyPool, column: str) -> bool:
    """Tell whether a pool's table has a column of this name."""
    return isinstance(pool, Pool | PoolScan) and column in pool.columns
