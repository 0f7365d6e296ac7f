"""Checks of a sampler."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import keys
from wherefrom.compose import (
    Composition,
    DesignSampler,
    Inputs,
    Sampler,
    SamplerModel,
    StreamedSampler,
    drawn,
    sampler,
)
from wherefrom.compose.base import complete, outside
from wherefrom.errors import WherefromError
from wherefrom.plugins import BUILT_IN
from wherefrom.pool import Pool, scan
from wherefrom.pool.batches import Ask, Batch
from wherefrom.pool.places import Codes, PoolPart
from wherefrom.testing.checks import (
    BrokenPromiseError,
    checking,
    elsewhere,
    own_randomness,
    promise,
)

__all__ = ["check_sampler"]

PLACES, ASKED, REPEATS = 2000, 120, 200
#: Chance that a correct sampler fails on any of its places.
CHANCE = 1e-6
#: Standard errors by which one of six groups may be off: 1e-9 each.
LIMIT = 6.1


@checking
def check_sampler(
    given: str | dict[str, Any] | Sampler | type[SamplerModel],
    *,
    pool: Pool | None = None,
    n: int = ASKED,
) -> None:
    """Check that a sampler keeps what compositions, studies and audits rely on.

    The same seed must give the same composition, after pickling, in another process and from files
    read in pieces as well; ids must be the pool's, sorted, each once; the size must be n, unless
    the policy for short strata says otherwise; every random choice must come from the Generator
    given; the pool must stay as it is; the spec must be plain values that make the same sampler;
    what it reads must be declared, and renamed where it is asked to be; its name must be none of
    ours; places at the poles, on the antimeridian, alone or all equal must give a draw or a
    `WherefromError`. Where inclusion probabilities are stated, repeated draws must agree with them:
    place by place, and in groups by probability, by position in the pool and by hemisphere; a
    correct sampler fails by chance in fewer than 1 of 100,000 calls.

    Parameters
    ----------
    given : str, dict, Sampler or class
        A spec, a sampler, or a class whose parameters all have defaults.
    pool : Pool, optional
        To draw from, with the columns that the sampler needs; by default 2,000 places uniform by
        area on land, which may need a download.
    n : int
        Places to draw.

    Raises
    ------
    BrokenPromiseError
        Names the first promise that is broken.
    WherefromError
        If a class has no name, or lacks a method.

    Examples
    --------
    >>> check_sampler("uniform")
    """
    if isinstance(given, type):
        complete(given)
        given = cast("Sampler", given())
    made = sampler(given)
    pool = Pool.build(PLACES, seed=0) if pool is None else pool
    _described(made)
    composition = _drawn(made, pool, n)
    _sound(made, composition, pool, n)
    _deterministic(made, pool, n, composition)
    _declared(made, pool, n, composition)
    _at_the_edges(made, pool)
    if isinstance(made, DesignSampler):
        _accounts(made, composition, pool, n)
        _keeps_its_probabilities(made, pool, n)
    if isinstance(made, StreamedSampler):
        _streams(made, pool, n, composition)
    if outside(type(made)):  # ours have tests of their own, and no second for each
        there = elsewhere(f"sampler {made.name!r}", drawn, pool, made, n, 0)
        promise(
            there is None or _equal(composition, there),
            f"{made.name!r} draws differently in another process from the same seed: sort sets of "
            "texts, whose order changes from process to process",
        )


@dataclass(frozen=True, eq=False)
class _Watched(Pool):
    """A pool that writes down which labels (`layers`) and values (`numbers`) are read of it."""

    seen: dict[str, set[str]] = field(default_factory=lambda: {"layers": set(), "numbers": set()})

    def codes(self, name: str) -> Codes:
        self.seen["layers"].add(name)
        return super().codes(name)

    def labels(self, name: str) -> tuple[str, ...]:
        self.seen["layers"].add(name)
        return super().labels(name)

    def counts(self, name: str) -> NDArray[np.int64] | None:
        self.seen["layers"].add(name)
        return super().counts(name)

    def parts(self) -> list[PoolPart]:
        return [_WatchedPart(self, one.first, one.count, one.start) for one in super().parts()]


class _WatchedPart(PoolPart):
    def batches(self, ask: Ask) -> Iterator[Batch]:
        assert isinstance(self.pool, _Watched)
        self.pool.seen["layers"].update(ask.codes)
        self.pool.seen["numbers"].update(ask.values)
        return super().batches(ask)


def _declared(made: Sampler, pool: Pool, n: int, first: Composition) -> None:
    """Draw from a pool that holds only the columns that the sampler says it reads."""
    name, inputs = made.name, made.inputs()
    told = {"id", "lon", "lat", *inputs.layers, *inputs.numbers}
    table = pool.table.select([column for column in pool.table.column_names if column in told])
    watched = _Watched(pool.ids, pool.lon, pool.lat, table, pool.origin)
    failed: Exception | None = None
    try:
        same = _equal(first, drawn(watched, made, n, 0))
    except Exception as err:  # whatever a sampler makes of a column that is not there
        failed = err
    for kind, names in watched.seen.items():
        silent = sorted(names - set(getattr(inputs, kind)))
        promise(
            not silent,
            f"{name!r} reads {silent}, but inputs() does not say so among its {kind}: mark the "
            "type of the field that names it",
        )
    without = "without the columns that inputs() does not name"
    if failed:
        said = f"{type(failed).__name__}: {failed}"
        raise BrokenPromiseError(f"{name!r} fails {without}, with {said}") from failed
    promise(same, f"{name!r} draws differently {without}")


def _described(made: Sampler) -> None:
    promise(isinstance(made, Sampler), f"{made!r} has no name, spec(), inputs() and draw()")
    spec = made.spec()
    name = made.name
    promise(isinstance(name, str) and bool(name), f"{type(made).__name__} has no name")
    promise(spec.get("name") == name, f"spec() of {name!r} does not hold its name")
    posing = outside(type(made)) and name in BUILT_IN["samplers"]
    promise(not posing, f"{outside(type(made))} bears the name of a sampler of wherefrom, {name!r}")
    try:
        keys.canonical(spec)
    except (TypeError, ValueError) as err:
        raise BrokenPromiseError(f"spec() of {name!r} holds more than plain values: {err}") from err
    if isinstance(made, SamplerModel):
        number: Any = made.version
        counted = isinstance(number, int) and not isinstance(number, bool) and number >= 1
        promise(counted, f"version of {name!r} is {number!r}, no whole number from 1 on")
        again = type(made).model_validate({k: v for k, v in spec.items() if k != "name"})
        promise(again == made, f"spec() of {name!r} does not make the same sampler")
    copy = pickle.loads(pickle.dumps(made))
    promise(copy.spec() == spec, f"{name!r} is not the same after pickling")
    inputs = made.inputs()
    promise(isinstance(inputs, Inputs), f"inputs() of {name!r} is {inputs!r}, no Inputs")
    if isinstance(made, SamplerModel):
        swapped = {layer: f"{layer}_" for layer in inputs.layers + inputs.numbers}
        read = made.renamed(swapped).inputs()
        for kind in ("layers", "numbers"):
            fixed = getattr(made.reads, kind)
            new = {n if n in fixed else swapped[n] for n in getattr(inputs, kind)}
            promise(new == set(getattr(read, kind)), f"renamed() of {name!r} leaves out {kind}")


def _drawn(made: Sampler, pool: Pool, n: int, seed: int = 0) -> Composition:
    before = (pool.ids.copy(), pool.lon.copy(), pool.lat.copy())
    try:
        with own_randomness(f"sampler {made.name!r}"):
            composition = drawn(pool, made, n, seed)
    except ValueError as err:
        promise("read-only" not in str(err), f"sampler {made.name!r} changes the pool")
        raise
    after = (pool.ids, pool.lon, pool.lat)
    kept = all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    promise(kept, f"sampler {made.name!r} changes the pool")
    return composition


def _sound(made: Sampler, composition: Composition, pool: Pool, n: int) -> None:
    name, ids = made.name, composition.ids
    promise(bool(np.all(ids[1:] > ids[:-1])), f"{name!r}: ids are not sorted, each once")
    promise(bool(np.isin(ids, pool.ids).all()), f"{name!r} draws ids that the pool has not")
    lengths = {len(ids), len(composition.multiplicity), len(composition.inclusion_probability)}
    promise(len(lengths) == 1, f"{name!r}: ids, multiplicities and probabilities differ in number")
    times = composition.multiplicity
    promise(times.dtype == np.int32, f"{name!r}: multiplicity is {times.dtype}, not int32")
    promise(bool((times >= 1).all()), f"{name!r} lists places that it takes no time")
    probability = composition.inclusion_probability
    likely = np.isfinite(probability) & (probability > 0)
    promise(bool(likely.all()), f"{name!r}: a drawn place's inclusion probability is not above 0")
    policy = getattr(made, "short", "error")
    if isinstance(made, DesignSampler) and policy != "cap":
        promise(composition.size == n, f"{name!r} draws {composition.size} places, not {n}")


def _deterministic(made: Sampler, pool: Pool, n: int, first: Composition) -> None:
    name = made.name
    promise(_equal(first, _drawn(made, pool, n)), f"{name!r} draws differently from the same seed")
    copy = pickle.loads(pickle.dumps(made))
    promise(_equal(first, _drawn(copy, pool, n)), f"{name!r} draws differently after pickling")
    text = pa.array([f"p{i:09d}" for i in range(len(pool))])
    named = Pool.from_table(pool.table.set_column(pool.table.column_names.index("id"), "id", text))
    rows = np.sort(pool.take(first.ids))
    other = np.sort(named.take(_drawn(made, named, n).ids))
    promise(np.array_equal(rows, other), f"{name!r}: what is drawn depends on what ids are called")


def _equal(a: Composition, b: Composition) -> bool:
    return (
        np.array_equal(a.ids, b.ids)
        and np.array_equal(a.multiplicity, b.multiplicity)
        and np.array_equal(a.inclusion_probability, b.inclusion_probability)
    )


def _at_the_edges(made: Sampler, pool: Pool) -> None:
    """Draw from odd pools; only a clear refusal may keep a sampler from it."""
    rest = {name: pool.table.column(name) for name in pool.columns}
    edges = {
        "one place": ([12.5], [45.5], 1),
        "places at the poles and on the antimeridian": (
            [0.0, 0.0, 180.0, -180.0, 179.9999999, -180.0],
            [90.0, -90.0, 0.0, 0.0, 89.9999999, -90.0],
            2,
        ),
        "places that are all equal": ([12.5] * 50, [45.5] * 50, 5),
    }
    for what, (lon, lat, n) in edges.items():
        columns = {name: column.slice(0, len(lon)) for name, column in rest.items()}
        odd = Pool.from_table(pa.table({"lon": lon, "lat": lat, **columns}))
        try:
            drawn(odd, made, n, 0)
        except WherefromError:
            continue
        except Exception as err:
            raise BrokenPromiseError(
                f"{made.name!r} fails on {what} with {type(err).__name__}: {err}; raise a "
                "WherefromError that says what to do"
            ) from err
    if isinstance(made, DesignSampler):
        for wrong in (0, -1, None):
            try:
                drawn(pool, made, wrong, 0)
            except WherefromError:
                continue
            raise BrokenPromiseError(f"{made.name!r} draws n = {wrong} places: refuse it")


def _generator(made: Sampler, seed: int) -> np.random.Generator:
    """Return the generator that `draw` gives to a sampler."""
    return keys.generator("draw", seed, keys.canonical(made.spec()))


def _accounts(made: DesignSampler, composition: Composition, pool: Pool, n: int) -> None:
    """Compare stated inclusion probabilities with each other and with the size."""
    name = made.name
    stated = made.inclusion(pool, n, _generator(made, 0))
    promise(stated.shape == (len(pool),), f"{name!r}: inclusion() of shape {stated.shape}")
    promise(bool((stated >= 0).all()), f"{name!r}: an inclusion probability is below 0")
    expected = float(composition.provenance.get("expected_size", n))
    off = abs(float(stated.sum()) - expected)
    promise(off <= 1e-6 * n, f"{name!r}: inclusion probabilities sum to {stated.sum():g}, not n")
    own = stated[pool.take(composition.ids)]
    agree = np.allclose(own, composition.inclusion_probability, rtol=1e-9)
    promise(agree, f"{name!r}: a composition states other probabilities than inclusion()")


def _keeps_its_probabilities(made: DesignSampler, pool: Pool, n: int) -> None:
    """Draw many times, and compare frequencies with the probabilities stated before each draw."""
    surplus, expected = np.zeros(len(pool)), np.zeros(len(pool))
    totals: list[NDArray[np.float64]] = []
    stated = made.inclusion(pool, n, _generator(made, 1))
    likely = stated > np.median(stated)
    early = np.arange(len(pool)) < len(pool) // 2
    north = pool.lat > 0
    groups = {
        "likely": likely,
        "unlikely": ~likely,
        "early": early,
        "late": ~early,
        "northern": north,
        "southern": ~north,
    }
    members = np.array(list(groups.values()), dtype=np.float64)
    for seed in range(1, REPEATS + 1):
        stated = made.inclusion(pool, n, _generator(made, seed))
        composition = drawn(pool, made, n, seed)
        taken = np.zeros(len(pool))
        taken[pool.take(composition.ids)] = composition.multiplicity
        surplus += taken - stated
        expected += stated
        totals.append(members @ (taken - stated))
    never = (expected == 0) & (surplus > 0)
    promise(not never.any(), f"{made.name!r} draws places whose inclusion probability is 0")
    # Bernstein's bound for sums of terms of at most 1, whose variance is at most their mean.
    size = np.log(2 * len(pool) / CHANCE)
    limit = size / 3 + np.sqrt(size**2 / 9 + 2 * size * expected)
    worst = int(np.argmax(np.abs(surplus) / limit))
    promise(
        np.abs(surplus[worst]) <= limit[worst],
        f"{made.name!r}: in {REPEATS} draws the place in row {worst} is drawn "
        f"{surplus[worst]:+.0f} times more than its inclusion probability says",
    )
    group = np.array(totals)
    error = group.std(axis=0, ddof=1) / np.sqrt(REPEATS)
    bias = group.mean(axis=0)
    off = np.abs(bias) > LIMIT * error + 1e-6 * n
    which = list(groups)[int(np.argmax(off))]
    promise(
        not off.any(),
        f"{made.name!r} draws {which} places more or less often than their inclusion probabilities "
        "say",
    )


@dataclass(frozen=True, eq=False)
class _Cut(Pool):
    """A pool that comes in pieces, as one of more than a million places does."""

    def parts(self) -> list[PoolPart]:
        third = -(-len(self) // 3)
        starts = range(0, len(self), third)
        return [PoolPart(self, at, min(third, len(self) - at), at) for at in starts]


def _streams(made: StreamedSampler, pool: Pool, n: int, first: Composition) -> None:
    cut = _Cut(pool.ids, pool.lon, pool.lat, pool.table, pool.origin)
    promise(
        _equal(first, drawn(cut, made, n, 0)),
        f"{made.name!r} draws differently from a pool in pieces: what a place's key depends on "
        "must be of the place alone, not of the batch that it comes in",
    )
    with tempfile.TemporaryDirectory() as folder:
        third = max(1, len(pool) // 3)
        for part, start in enumerate(range(0, len(pool), third)):
            piece = Pool.from_table(pool.table.slice(start, third))
            piece.write(Path(folder) / f"part-{part}.parquet")
        pieces = drawn(scan(folder, id="id"), made, n, 0)
    promise(_equal(first, pieces), f"{made.name!r} draws differently from files read in pieces")
