"""Tallies: what an audit keeps of the places that stream by, merged from the parts of a pool."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom import parallel
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.errors import WherefromError
from wherefrom.keys import mixed
from wherefrom.pool.batches import AnyPool, Ask, Batch, Part
from wherefrom.pool.check import place_hashes, sampled
from wherefrom.pool.scan import IN_MEMORY
from wherefrom.pool.together import alone, said_apart
from wherefrom.progress import progress

__all__ = [
    "APART_M",
    "ROWS",
    "Distinct",
    "Grouped",
    "LayerTally",
    "Piece",
    "RowSample",
    "Sums",
    "Tally",
    "Weights",
    "canonical_places",
    "counted_places",
    "distinct_places",
    "first_rows",
    "grouped",
    "pieces_of",
    "run",
    "run_distinct",
    "weighted",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
#: How often each place counts, float64 of shape (B,): multiplicities of a composition, and 0 for
#: a place that is not in it. None: each place once.
Weights = Floats

AnyTally = TypeVar("AnyTally", bound="Tally")
Piece = tuple[Part, Weights | None]

#: Rows that an audit samples.
ROWS = 1 << 14
#: Side of the squares whose places are one, m: rounding to 5 decimals, single precision and noise
#: move copies less far apart, and neighbours among pixels of 10 m stay two.
APART_M = 5.0
#: Such copies are looked for where they are more than this share of the places,
COPIES = 0.01
#: of which about so many are looked at.
LOOK = 1 << 15
_STEP = APART_M / (1000.0 * EARTH_RADIUS_KM * np.pi / 180.0)  # degrees of latitude


class Tally(Protocol):
    """Something counted over a pool in one pass.

    A tally starts empty. Every part of a pool is counted by an empty copy of its own, in any
    thread or process; the copies are merged in the order of the parts. So it must be picklable,
    and keep no more than it needs: a pool may have 10**9 places.
    """

    @property
    def ask(self) -> Ask:
        """What `update` needs to see besides coordinates."""
        ...

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Count a batch, each place by its weight (default 1); batches come in the pool's order."""
        ...

    def merge(self, other: Self) -> None:
        """Take in what another tally of the same kind counted on the places that follow."""
        ...


class Sums:
    """Base of tallies whose parts add up: of the numbers and arrays that `sums` names."""

    ask: Ask = Ask()
    sums: ClassVar[tuple[str, ...]]

    def merge(self, other: Self) -> None:
        """Add what another tally of the same kind counted; see `Tally.merge`."""
        for name in self.sums:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class LayerTally(Sums):
    """Weight of the places of each label of one layer, and of those without a label.

    `labels` are the pool's ``labels(name)``; `places` has shape (K,). Of a column, whose label may
    differ from row to row of a place, rows are counted: then `effect` is that of `Distinct`.
    """

    sums = ("places", "none", "_squares")

    def __init__(
        self, name: str, labels: tuple[str, ...], by_row: bool = False, effect: float = 1.0
    ) -> None:
        self.name, self.by_row, self.effect = name, by_row, effect
        self.ask = Ask(codes=(name,))
        self.labels = labels
        self.places: Floats = np.zeros(len(labels))
        self.none = 0.0
        self._squares = 0.0

    @property
    def effective_size(self) -> float:
        """Labelled places that count as independent, (sum w)**2 / sum w**2 (Kish 1965)."""
        squares = self._squares * (self.effect if self.by_row else 1.0)
        return float(self.places.sum() ** 2 / squares) if squares else 0.0

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Count a batch; see `Tally.update`."""
        codes = batch.codes[self.name]
        # Code -1 becomes 0, so that none is counted in the same go.
        found = np.bincount(codes + 1, weights=weight, minlength=len(self.labels) + 1)
        self.none += float(found[0])
        self.places += found[1:]
        labelled = codes >= 0
        self._squares += float(labelled.sum() if weight is None else (weight[labelled] ** 2).sum())


class RowSample(Sums):
    """Tally that keeps `size` rows at random, without replacement, each with the same chance.

    A row is kept if the hash of its number is among the smallest: so the sample is the same
    whatever the parts, their order and the machine, and any first rows of it are a sample too.

    `seen` is the number of rows that count; `lon`, `lat` (degrees) and `weight`, shape (S,), are
    the sample in random order.

    >>> sample = RowSample(3)
    >>> sample.update(Batch(0, np.arange(10.0), np.zeros(10)))
    >>> len(sample.lon), sample.seen
    (3, 10)
    """

    sums = ("seen", "weight_sum", "weight_squares")

    def __init__(self, size: int = ROWS) -> None:
        self.size = size
        self.seen = 0
        self.weight_sum = 0.0
        self.weight_squares = 0.0
        self._hash = np.zeros(0, dtype=np.uint64)
        self.lon, self.lat, self.weight = np.zeros(0), np.zeros(0), np.zeros(0)

    @property
    def effective(self) -> float:
        """Kish's number of places that weigh as much: (sum w)^2 / sum w^2; without weights N."""
        return self.weight_sum**2 / self.weight_squares if self.seen else 0.0

    def where(self, kept: NDArray[np.bool_]) -> RowSample:
        """Return some places of the sample (S,), as the sample of all such rows."""
        some = copy.copy(self)
        some.lon, some.lat, some.weight = self.lon[kept], self.lat[kept], self.weight[kept]
        some._hash = self._hash[kept]
        some.seen = round(self.seen * float(kept.mean()))
        some.weight_sum *= float(some.weight.sum() / self.weight.sum())
        some.weight_squares *= float((some.weight**2).sum() / (self.weight**2).sum())
        return some

    def update(self, batch: Batch, weight: Floats | None = None) -> None:
        """Take the rows of a batch that count."""
        each = np.ones(len(batch)) if weight is None else weight
        rows = np.flatnonzero(each > 0.0)
        weights = each[rows]
        self.seen += len(rows)
        self.weight_sum += float(weights.sum())
        self.weight_squares += float((weights**2).sum())
        hashes = mixed(rows + batch.start)
        if len(self._hash) == self.size:
            low = np.flatnonzero(hashes < self._hash[-1])
        else:
            low = np.argsort(hashes)[: self.size]
        rows = rows[low]
        self._take(hashes[low], batch.lon[rows], batch.lat[rows], weights[low])

    def merge(self, other: Self) -> None:
        """Take in the sample of another part."""
        super().merge(other)
        self._take(other._hash, other.lon, other.lat, other.weight)

    def _take(self, hashes: Hashes, lon: Floats, lat: Floats, weight: Floats) -> None:
        """Keep the smallest hashes of those kept and those given, in their order."""
        every = np.concatenate([self._hash, hashes])
        low = np.argsort(every)[: self.size]
        self._hash = every[low]
        self.lon = np.concatenate([self.lon, lon])[low]
        self.lat = np.concatenate([self.lat, lat])[low]
        self.weight = np.concatenate([self.weight, weight])[low]


def canonical_places(lon: ArrayLike, lat: ArrayLike) -> tuple[Floats, Floats]:
    """Give one place one pair of numbers: 180 E is 180 W, a pole has longitude 0, -0 is 0.

    >>> canonical_places([180.0, 7.0], [-0.0, 90.0])
    (array([-180.,    0.]), array([ 0., 90.]))
    """
    x, y = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
    x = np.where(x == 180.0, -180.0, np.where(np.abs(y) == 90.0, 0.0, x))
    return x + 0.0, y + 0.0


def counted_places(batch: Batch, weight: Floats | None) -> tuple[Floats, Floats, Floats | None]:
    """Return the places of a batch that count at all, not to be written to, and their weights."""
    if weight is None:
        return batch.lon, batch.lat, None
    rows = weight > 0.0
    return batch.lon[rows], batch.lat[rows], weight[rows]


def run(
    pool: AnyPool,
    tallies: Sequence[AnyTally],
    *,
    weights: Weights | None = None,
    label: str = "places",
) -> list[AnyTally]:
    """Count all places of a pool in one pass, with all tallies at once, which are left empty.

    Raises
    ------
    WherefromError
        If `weights` does not fit the pool, a layer cannot be had, or a file cannot be read.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.pool import Pool
    >>> pool = Pool.from_table(pa.table({"lon": [1, 2], "lat": [3, 4], "use": ["a", "b"]}))
    >>> (tally,) = run(pool, [LayerTally("use", pool.labels("use"))])
    >>> tally.places.tolist()
    [1.0, 1.0]
    """
    asked = Ask()
    for tally in tallies:
        asked = asked | tally.ask
    pieces = pieces_of(pool, weights)
    whole = [copy.deepcopy(tally) for tally in tallies]
    with progress() as bar:
        task = bar.add_task(label, total=len(pool))
        counted = parallel.in_order(partial(_count, tallies=tuple(tallies), ask=asked), pieces)
        for (part, _), found in zip(pieces, counted, strict=True):
            for mine, other in zip(whole, found, strict=True):
                mine.merge(other)
            bar.advance(task, len(part))
    return whole


@dataclass(frozen=True, eq=False)
class Distinct:
    """Weights that count every place once, whatever rows it has, such as seasons or samples.

    Attributes
    ----------
    weights : ndarray of float64, shape (N,), or None
        Of the first row of each place 1, or all that its rows weigh if weights are given; 0 of its
        other rows. Where no two rows share a place, the weights given.
    rows, weight : float or None
        Rows that count, and what they weigh together; None where no two rows share a place.
    effect : float
        Kish's design effect of the rows: k if every place has k of them.
    copies : int
        Places that differ from that of an earlier row and are so near to it that they are one.
    said : tuple of str
        How far rows of one place lie apart, where a column says which these are.
    """

    weights: Weights | None
    rows: int | None = None
    weight: float | None = None
    effect: float = 1.0
    copies: int = 0
    said: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Grouped:
    """The first row (P,) of each place of a pool, which place each row (N,) is at, near copies."""

    first: Ints
    place: Ints
    copies: int = 0
    said: tuple[str, ...] = ()


def grouped(pool: AnyPool, place: str | None = None) -> Grouped | None:
    """Tell which rows of a pool are one place: by a column `place`, else by coordinates.

    None where each row is a place of its own, or there are more than 2^24, which are not compared.

    Raises
    ------
    WherefromError
        If there are more and a column is named, or it holds no labels.
    """
    if len(pool) > IN_MEMORY:
        if place is None:
            return None
        raise WherefromError(
            f"--place {place}: of {len(pool):,} rows, more than the {IN_MEMORY:,} that are "
            "compared: audit a part of them (--within), or draw a thinner pool first"
        )
    if place is not None:
        batches = list(pool.batches(Ask(codes=(place,))))
        lon, lat, codes = (
            np.concatenate(each)
            for each in zip(*((b.lon, b.lat, b.codes[place]) for b in batches), strict=True)
        )
        rows = np.arange(len(lon))
        first, at = _joined(rows, rows, alone(codes))
        return Grouped(first, at, 0, tuple(said_apart(lon, lat, first, at, place)))
    copied = _has_copies(pool)
    # Whoever made the pool looked for repeats, which are all that there are notes of.
    if not (pool.notes or copied):
        return None
    pieces = [canonical_places(batch.lon, batch.lat) for batch in pool.batches(Ask())]
    lon, lat = (np.concatenate(each) for each in zip(*pieces, strict=True))
    found = Grouped(*first_rows(lon, lat, copied))
    return None if len(found.first) == len(found.place) else found


def distinct_places(
    pool: AnyPool, weights: Weights | None = None, place: str | None = None
) -> Distinct:
    """Find the places of a pool that several rows have, as `grouped` does.

    Those of more than 2^24 rows are not compared; each then counts for itself.

    >>> import pyarrow as pa
    >>> from wherefrom.pool import Pool
    >>> seasons = Pool.from_table(pa.table({"lon": [5.0, 6.0, 5.0], "lat": [1.0, 1.0, 1.0]}))
    >>> distinct_places(seasons).weights.tolist()
    [1.0, 1.0, 0.0]
    """
    found = grouped(pool, place)
    if found is None or len(found.first) == len(found.place):
        return Distinct(weights, said=() if found is None else found.said)
    each = np.ones(len(found.place)) if weights is None else weights
    together = np.bincount(found.place, weights=each)
    once = np.zeros(len(found.place))
    once[found.first] = 1.0 if weights is None else together
    effect = float((together**2).sum() / max((each**2).sum(), 1e-300))
    rows = int((each > 0.0).sum())
    return Distinct(once, rows, float(each.sum()), effect, found.copies, found.said)


def first_rows(lon: Floats, lat: Floats, copied: bool = True) -> tuple[Ints, Ints, int]:
    """Find the first row of every place, which of these places each row is at, and the copies.

    Equal places are one and, where they are `copied`, those that share a square of `APART_M`. One
    of four lattices of squares, half a side apart, holds whatever is within half a side of each
    other in one square; nothing farther apart than its diagonal is joined directly.

    >>> lon = np.array([5.0, 6.0, 5.0, 5.000001, 179.999999, -179.999999])
    >>> first, place, copies = first_rows(lon, np.full(6, 50.0))
    >>> first.tolist(), place.tolist(), copies
    ([0, 1, 4], [0, 1, 0, 0, 2, 2], 2)
    """
    first = place = np.arange(len(lon))
    first, place = _joined(first, place, place_hashes(lon, lat))
    equal = len(first)
    for aside, up in ((0.0, 0.0), (0.5, 0.5), (0.5, 0.0), (0.0, 0.5)) if copied else ():
        first, place = _joined(first, place, _squares(lon[first], lat[first], aside, up))
    return first, place, equal - len(first)


def _joined(first: Ints, place: Ints, keys: NDArray[Any]) -> tuple[Ints, Ints]:
    """Make one place of those of equal keys, in the order of their first rows."""
    _, at, joined = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(at)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return first[at[order]], number[joined][place]


def _squares(lon: Floats, lat: Floats, aside: float = 0.0, up: float = 0.0) -> Ints:
    """Return the square of each place, in a lattice moved by parts of a side; 180 E is 180 W."""
    row = np.floor(lat / _STEP + up)
    columns = np.rint(360.0 / _STEP * np.cos(np.radians((row + 0.5 - up) * _STEP))).clip(1.0)
    column = np.floor((lon / 360.0 + 0.5) * columns + aside) % columns
    squares: Ints = row.astype(np.int64) * (1 << 24) + column.astype(np.int64)
    return squares


def _has_copies(pool: AnyPool) -> bool:
    """Tell by a share of the rows of squares whether many of the places share one with others."""
    one_in = max(1, len(pool) // LOOK)
    places, squares = [], []
    for batch in pool.batches(Ask()):
        row = np.floor(batch.lat / _STEP).astype(np.int64)
        kept = np.flatnonzero(sampled(mixed(row), one_in))
        lon, lat = canonical_places(batch.lon[kept], batch.lat[kept])
        places.append(place_hashes(lon, lat))
        squares.append(_squares(lon, lat))
    different, apart = (len(np.unique(np.concatenate(each))) for each in (places, squares))
    return different - apart > COPIES * different


def run_distinct(
    pool: AnyPool,
    tallies: Sequence[AnyTally],
    seen: Distinct,
    *,
    weights: Weights | None = None,
    label: str = "places",
) -> list[AnyTally]:
    """Count as `run`, each place once; all rows, by `weights`, with tallies that are `by_row`."""
    if seen.rows is None:
        return run(pool, tallies, weights=weights, label=label)
    counted = list(tallies)
    for by_row, given in ((False, seen.weights), (True, weights)):
        at = [i for i, tally in enumerate(tallies) if getattr(tally, "by_row", False) == by_row]
        found = run(pool, [tallies[i] for i in at], weights=given, label=label) if at else []
        for i, tally in zip(at, found, strict=True):
            counted[i] = tally
    return counted


def pieces_of(pool: AnyPool, weights: Weights | None) -> list[Piece]:
    """Pair each part of a pool with its weights: one for each place, finite and at least 0."""
    if weights is not None:
        if weights.shape != (len(pool),):
            raise WherefromError(
                f"{weights.size:,} weights for {len(pool):,} places: give each one"
            )
        if not (np.isfinite(weights).all() and (weights >= 0.0).all()):
            raise WherefromError("weights must be finite and not negative")
    return [
        (part, None if weights is None else weights[part.start : part.start + len(part)])
        for part in pool.parts()
    ]


def weighted(piece: Piece, ask: Ask) -> Iterator[tuple[Batch, Weights | None]]:
    """Give the batches of a piece, each with the weights of its places."""
    part, weights = piece
    for batch in part.batches(ask):
        first = batch.start - part.start
        yield batch, None if weights is None else weights[first : first + len(batch)]


def _count(piece: Piece, tallies: tuple[AnyTally, ...], ask: Ask) -> list[AnyTally]:
    """Count one part with empty copies of the tallies."""
    mine = [copy.deepcopy(tally) for tally in tallies]
    for batch, weight in weighted(piece, ask):
        for tally in mine:
            tally.update(batch, weight)
    return mine
