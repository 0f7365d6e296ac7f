"""What a sampler is: what it reads, and how one with a design, or with strata, draws."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from wherefrom.compose import passes
from wherefrom.compose.allocate import Exact, round_at_random
from wherefrom.compose.composition import Composition
from wherefrom.compose.design import Design, Sample
from wherefrom.compose.spec import translated
from wherefrom.compose.strata import LISTED, Plan, Strata
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import AnyPool
from wherefrom.pool.columns import alike
from wherefrom.pool.rows import PoolRows
from wherefrom.pool.scan import IN_MEMORY, PoolScan

__all__ = [
    "MOST",
    "DesignSampler",
    "InputFile",
    "Inputs",
    "LayerName",
    "Names",
    "NumbersName",
    "Reads",
    "Sampler",
    "SamplerModel",
    "StreamedSampler",
    "address",
    "complete",
    "in_memory",
    "outside",
]

_MADE_BY = f"wherefrom {version('wherefrom')}"
#: Places, repeated ones counted, that a composition can hold: multiplicities are 32-bit.
MOST = 2**31 - 1


@dataclass(frozen=True)
class Inputs:
    """What a sampler reads besides the places: a draw depends on the content of all of it.

    Attributes
    ----------
    layers : tuple of str
        Layers, or columns of labels.
    numbers : tuple of str
        Layers of values, or columns of numbers.
    sources : tuple of str
        Sources of the catalog that it reads itself, not through a layer.
    files : tuple of str
        The user's own files, or folders.

    Examples
    --------
    >>> Inputs(layers=("biome",)) | Inputs(layers=("continent", "biome"), files=("a.csv",))
    Inputs(layers=('biome', 'continent'), numbers=(), sources=(), files=('a.csv',))
    """

    layers: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __or__(self, other: Inputs) -> Inputs:
        """Join two, each name once."""
        return Inputs(
            *(
                tuple(dict.fromkeys(getattr(self, kind) + getattr(other, kind)))
                for kind in ("layers", "numbers", "sources", "files")
            )
        )


@dataclass(frozen=True)
class Reads:
    """Marks the type of a sampler's field: what its value names, a kind of `Inputs`.

    Values that are one of `words` are no such name, but stand for `sources` of the catalog.
    """

    kind: Literal["layers", "numbers", "files"]
    words: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


#: Types of fields: a layer or column of labels; a layer of values or column of numbers; a file.
LayerName = Annotated[str, Reads("layers")]
NumbersName = Annotated[str, Reads("numbers")]
InputFile = Annotated[str, Reads("files")]


def _split_names(value: object) -> object:
    if isinstance(value, str):
        value = value.split("+")
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError("give names joined by +, such as continent+biome")
    names = tuple(name.strip() for name in value)
    if not all(names):
        raise ValueError("a name is empty: give names joined by +, such as continent+biome")
    if any("+" in name for name in names):
        raise ValueError("a name holds a +, which joins names: rename that column")
    if len(set(names)) < len(names):
        raise ValueError("a name is given twice")
    return names


#: Names of layers or columns of labels: ``continent+biome`` in a spec, a list in Python.
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_split_names),
    PlainSerializer("+".join, return_type=str),
    Reads("layers"),
]


@runtime_checkable
class Sampler(Protocol):
    """Draws a composition from a pool.

    Attributes
    ----------
    name : str
        The word before the colon of its spec.
    """

    name: ClassVar[str]

    def spec(self) -> dict[str, Any]:
        """Return name and parameters, defaults included, as plain values."""
        ...

    def inputs(self) -> Inputs:
        """Return what it reads besides the places."""
        ...

    def draw(self, pool: Pool, n: int | None, rng: np.random.Generator) -> Composition:
        """Draw n places; `n` may be None where the sampler itself says how many."""
        ...


class SamplerModel(BaseModel, ABC):
    """A sampler with parameters: frozen, typed, unknown ones refused.

    What it reads is told by the types of its fields (`LayerName`, `Names`, `NumbersName`,
    `InputFile`), so that nobody has to know it by name.

    Attributes
    ----------
    name : str
        The word before the colon of its spec.
    version : int
        Raised by hand when the code changes what it draws: old draws are then not reused.
    reads : Inputs
        What it reads whatever its parameters are.
    needs_n : bool
        Whether it must be told how many places to draw.
    varies : bool
        Whether another seed gives another draw.
    empty : bool
        Whether it draws nothing: zero pre-training.
    in_passes : bool
        Whether it draws from pools in files without holding them in memory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    version: ClassVar[int] = 1
    reads: ClassVar[Inputs] = Inputs()
    needs_n: ClassVar[bool] = True
    varies: ClassVar[bool] = True
    empty: ClassVar[bool] = False
    in_passes: ClassVar[bool] = False

    @abstractmethod
    def draw(self, pool: Any, n: int | None, rng: np.random.Generator) -> Composition:
        """Draw n places; `n` may be None where it is not needed."""

    @classmethod
    def from_flags(cls, given: Mapping[str, Any]) -> Self:
        """Make a sampler of its parameters.

        Raises
        ------
        WherefromError
            If a parameter is not known (with the nearest valid one), missing or not valid, or the
            class lacks something.
        """
        complete(cls)
        try:
            return cls.model_validate(given)
        except ValidationError as err:
            raise translated(f"sampler {cls.name!r}", cls.model_fields, err) from err

    @property
    def origin(self) -> tuple[str, str] | None:
        """The layer and the one label of it that all places have, where that is what it is for."""
        return None

    @property
    def in_words(self) -> str:
        """How its places are chosen, in plain words that follow "places"; empty if not said.

        Examples
        --------
        >>> from wherefrom.compose import sampler
        >>> sampler("stratified:layer=climate_zone").in_words
        'in equal shares by climate zone'
        """
        return ""

    def listed(self) -> int | None:
        """Count the places that it takes whatever it is asked for; None where n says it."""
        return None

    def inputs(self) -> Inputs:
        """Return what it reads besides the places.

        Examples
        --------
        >>> from wherefrom.compose import sampler
        >>> sampler("match:target=other.parquet,over=biome").inputs()
        Inputs(layers=('biome',), numbers=(), sources=(), files=('other.parquet',))
        """
        read = self.reads
        for field, marked in self._marked():
            for name in _names(getattr(self, field)):
                word = name in marked.words
                read |= Inputs(sources=marked.sources) if word else Inputs(**{marked.kind: (name,)})
        return read

    def renamed(self, layers: Mapping[str, str]) -> Self:
        """Return the same sampler with other layers in place of some.

        Parameters
        ----------
        layers : mapping of str to str
            Layer, of labels or of values, -> the one to put in its place.

        Returns
        -------
        SamplerModel

        Raises
        ------
        WherefromError
            If the sampler cannot read the others, as where it then names one twice.

        Examples
        --------
        >>> from wherefrom.compose import sampler
        >>> sampler("balanced:over=continent+biome").renamed({"biome": "climate_zone"}).over
        ('continent', 'climate_zone')
        """
        fields = {field: getattr(self, field) for field in type(self).model_fields}
        for field, marked in self._marked():
            if marked.kind != "files":
                fields[field] = _mapped(fields[field], layers)
        return self.from_flags(fields)

    @classmethod
    def _marked(cls) -> Iterator[tuple[str, Reads]]:
        """Yield the fields that name something to read."""
        for name, field in cls.model_fields.items():
            marked = _marker(field.annotation, field.metadata)
            if marked is not None:
                yield name, marked

    def spec(self) -> dict[str, Any]:
        """Return name and parameters, defaults included, as plain values."""
        given = self.model_dump(mode="json")
        return {"name": self.name, **{k: v for k, v in given.items() if v is not None}}

    def identity(self) -> dict[str, Any]:
        """Return, as plain values, what tells its draws from any other sampler's: a study's key.

        That is its spec, its version and, for a class from elsewhere, where that lies: its name
        may be another's, too.

        Examples
        --------
        >>> from wherefrom.compose import sampler
        >>> sampler("uniform").identity()
        {'spec': {'name': 'uniform'}, 'version': 1}
        """
        told = {"spec": self.spec(), "version": self.version}
        elsewhere = outside(type(self))
        return told | ({"class": elsewhere} if elsewhere else {})

    def composed(
        self, pool: AnyPool, n: int | None, sample: Sample, more: dict[str, Any]
    ) -> Composition:
        """Make the composition of drawn rows, sorted by id, with its provenance and `more`.

        A sample holds the ids of its rows, unless the pool lies in memory; `n` is what was asked
        for.
        """
        ids = sample.ids
        if ids is None:
            assert isinstance(pool, Pool)
            ids = pool.ids[sample.rows]
        order = np.argsort(ids)
        provenance = {
            "sampler": self.spec(),
            "n": n,
            "seed": None,
            "pool": {"key": pool.key, "places": len(pool), "origin": pool.origin},
            "size": int(sample.multiplicity.sum()),
            "distinct": len(ids),
            "made_by": _MADE_BY,
            **more,
        }
        elsewhere = outside(type(self))
        if elsewhere:
            # The name of a sampler from elsewhere need not be known where the draw is repeated.
            provenance["class"] = elsewhere
        return Composition(
            ids[order],
            sample.multiplicity[order],
            sample.inclusion_probability[order],
            provenance,
        )


class DesignSampler(SamplerModel, ABC):
    """A sampler that says which places belong to which stratum; the rest is done here.

    A new sampler is a subclass with a `name`, parameters, and `design`.
    """

    @abstractmethod
    def design(self, pool: Pool, n: int, rng: np.random.Generator) -> Design:
        """Assign places to strata and n to the strata.

        Parameters
        ----------
        pool : Pool
        n : int
            Places to draw, at least 1.
        rng : numpy.random.Generator
            For designs that draw something, such as clusters, before the places.

        Returns
        -------
        Design

        Raises
        ------
        WherefromError
            If the pool cannot give such a draw.
        """

    def inclusion(
        self, pool: Pool, n: int, rng: np.random.Generator | None = None
    ) -> NDArray[np.float64]:
        """Return the inclusion probability of every place of the pool.

        Parameters
        ----------
        pool : Pool
        n : int
        rng : numpy.random.Generator, optional
            Needed where clusters are drawn first; the probabilities then hold given those
            clusters, and those of a draw are got with a generator in the same state.

        Returns
        -------
        ndarray of float64, shape (len(pool),)
            Expected multiplicity; sums to n, or to what the policy for short strata leaves of it.

        Examples
        --------
        >>> import pyarrow as pa
        >>> from wherefrom.compose import sampler
        >>> pool = Pool.from_table(
        ...     pa.table({"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4, "use": ["a", "a", "a", "b"]})
        ... )
        >>> sampler("stratified:layer=use").inclusion(pool, 2).round(3).tolist()
        [0.333, 0.333, 0.333, 1.0]
        """
        return self.design(pool, n, rng or np.random.default_rng(0)).inclusion()

    def draw(self, pool: AnyPool, n: int | None, rng: np.random.Generator) -> Composition:
        """Draw n places.

        Parameters
        ----------
        pool : Pool or PoolScan
            One in files is read into memory.
        n : int
        rng : numpy.random.Generator

        Returns
        -------
        Composition

        Raises
        ------
        WherefromError
            If n is not between 1 and the pool's size (unless the policy for short strata allows
            more), the design finds too few places, or a pool in files is too large for memory.
        """
        n = self.checked(n, len(pool))
        pool = in_memory(pool, self.name)
        design = self.design(pool, n, rng)
        sample = design.sample(rng)
        told = self.account(pool, design.plan, design.sizes, sample.counts)
        return self.composed(pool, n, sample, told)

    def checked(self, n: int | None, places: int) -> int:
        """Return n, or raise a `WherefromError` if it cannot be drawn from a pool of `places`."""
        if n is None:
            raise WherefromError("this sampler needs to know how many places to draw: give -n")
        if isinstance(n, bool) or not isinstance(n, int | np.integer):
            raise WherefromError(f"n must be a whole number, not {n!r}")
        if n < 1:
            raise WherefromError(f"n must be at least 1, not {n}; for zero pre-training use 'none'")
        if n > places and getattr(self, "short", "error") not in ("cap", "repeat"):
            raise WherefromError(
                f"n = {n:,} is larger than the pool, which has {places:,} places: use a larger "
                "pool or a smaller n"
            )
        if n > MOST:
            raise WherefromError(f"n = {n:,}, but a composition holds at most {MOST:,} places")
        return int(n)

    def account(
        self,
        pool: AnyPool,
        plan: Plan,
        sizes: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> dict[str, Any]:
        """Write down, as plain values, what was planned and what was realised.

        `sizes` and `counts`, int64 (H,), are the places of each stratum and those taken from it.
        """
        allocation = plan.allocation
        targets = Exact.of(allocation.targets)
        ones = np.ones_like(sizes)
        asked = Exact.of(allocation.asked).over(ones).tolist()
        expected = targets.over(ones).tolist()
        strata = [
            {
                "label": label,
                "pool": int(sizes[h]),
                "asked": round(asked[h], 6),
                "expected": round(expected[h], 6),
                "drawn": int(counts[h]),
            }
            for h, label in enumerate(plan.labels)
            if asked[h]
        ]
        odd = [
            f"labels of {name!r}: {told}"
            for name in self.inputs().layers
            if len(labels := pool.labels(name)) <= LISTED
            for told in alike(labels)
        ]
        return {
            "design": " ".join(str(type(self).__doc__).split("\n\n")[0].split()),
            "layers": {name: pool.labels_key(name) for name in self.inputs().layers},
            "strata": strata,
            "short_strata": [plan.labels[h] for h in allocation.short] if plan.labels else [],
            "short_strata_count": len(allocation.short),
            "never_drawn": len(pool) - int(sizes[targets.numerators > 0].sum()),
            "expected_size": round(float(targets.total()), 6),
            "inclusion_given": plan.conditional_on or "nothing: unconditional",
            **plan.notes,
            **({"remarks": [*plan.notes.get("remarks", []), *odd]} if odd else {}),
        }


def outside(sampler: type) -> str:
    """Return where a sampler's class lies, ``module:Class``; empty for one of ours."""
    return "" if sampler.__module__.startswith("wherefrom.") else address(sampler)


def complete(sampler: type) -> None:
    """Raise a `WherefromError` if a sampler's class has no name, or lacks a method."""
    named = isinstance(getattr(sampler, "name", None), str)
    methods = sorted(getattr(sampler, "__abstractmethods__", ()))
    lacking = [*(() if named else ("name: ClassVar[str]",)), *(f"{m}()" for m in methods)]
    if lacking:
        raise WherefromError(
            f"sampler class {address(sampler)} lacks {', '.join(lacking)}: see docs/extending.md"
        )


def address(sampler: type) -> str:
    """Return where a class lies, ``module:Class``."""
    return f"{sampler.__module__}:{sampler.__qualname__}"


def _marker(annotation: Any, metadata: Iterable[Any]) -> Reads | None:
    """Find what a field's type is marked with: the outermost mark counts."""
    marks = [one for one in metadata if isinstance(one, Reads)]
    if marks:
        return marks[-1]
    inner = (
        _marker(part, getattr(part, "__metadata__", ()))
        for part in get_args(annotation)
        if not isinstance(part, str)  # the value of a literal
    )
    return next((mark for mark in inner if mark is not None), None)


def _names(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]


def _mapped(value: object, layers: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return layers.get(value, value)
    return value and tuple(layers.get(name, name) for name in _names(value))


class StreamedSampler(DesignSampler):
    """A sampler that says which stratum each place is in and shares n out; the rest is done here.

    A new sampler is a subclass with a `name`, parameters and `strata`. It draws from pools
    of any size, in passes over their parts: count the strata (no pass where the pool knows the
    counts), then give each place a random number and keep the smallest of each stratum.
    """

    in_passes: ClassVar[bool] = True

    @abstractmethod
    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Say which stratum a place is in, and how many places the strata shall give.

        Parameters
        ----------
        pool : AnyPool
        n : int
            Places to draw, at least 1.
        rng : numpy.random.Generator
            For samplers that draw something, such as clusters, before the places.

        Returns
        -------
        Strata

        Raises
        ------
        WherefromError
            If the pool cannot give such a draw.
        """

    def design(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Design:
        """Assign every place of the pool to its stratum; only this holds them all in memory."""
        strata = self.strata(pool, n, rng)
        groups = strata.groups
        group = np.concatenate([groups.keys(batch) for batch in pool.batches(groups.ask)])
        keys, codes, sizes = np.unique(group, return_inverse=True, return_counts=True)
        never = int(len(keys) > 0 and keys[0] < 0)
        plan = strata.plan(keys[never:], sizes[never:])
        return Design(
            codes.astype(np.int32) - np.int32(never),
            sizes[never:],
            plan.allocation,
            plan.labels,
            plan.conditional_on,
            plan.notes,
        )

    def draw(self, pool: AnyPool, n: int | None, rng: np.random.Generator) -> Composition:
        """Draw n places in passes over the pool: in memory or in files, the same places are drawn.

        The generator must be of PCG64, as ``numpy.random.default_rng(seed)`` is; else as
        `DesignSampler.draw`.
        """
        n = self.checked(n, len(pool))
        strata = self.strata(pool, n, rng)
        keys, sizes = passes.count(pool, strata.groups)
        plan = strata.plan(keys, sizes)
        if not len(keys):
            raise WherefromError(f"sampler {self.name!r} finds no place of the pool to draw")
        counts = round_at_random(plan.allocation.targets, rng)
        rates = Exact.of(plan.allocation.targets).over(sizes)
        sample = passes.select(pool, strata.groups, keys, sizes, counts, rates, rng)
        return self.composed(pool, n, sample, self.account(pool, plan, sizes, counts))


def in_memory(pool: AnyPool, sampler: str) -> Pool:
    """Return a pool in memory for a sampler that cannot draw in passes, or refuse."""
    if isinstance(pool, Pool):
        return pool
    assert isinstance(pool, PoolScan | PoolRows)
    if len(pool) > IN_MEMORY:
        raise WherefromError(
            f"sampler {sampler!r} needs the whole pool in memory, but {pool.path} has "
            f"{len(pool):,} places, more than {IN_MEMORY:,}; thin it first: wherefrom draw "
            f"{shlex.quote(str(pool.path))} --sampler uniform -n 1000000 --places --out "
            "thin.parquet"
        )
    return pool.load()
