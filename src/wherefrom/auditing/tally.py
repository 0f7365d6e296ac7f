"""Tallies: what an audit keeps of the places that stream by, merged from the parts of a pool."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch, Part
from wherefrom.progress import progress

__all__ = ["LayerTally", "Piece", "Sums", "Tally", "Weights", "pieces_of", "run", "weighted"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: How often each place counts, float64 of shape (B,): multiplicities of a composition, and 0 for
#: a place that is not in it. None: each place once.
Weights = Floats

AnyTally = TypeVar("AnyTally", bound="Tally")
Piece = tuple[Part, Weights | None]


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

    `labels` are the pool's ``labels(name)``; `places` has shape (K,).
    """

    sums = ("places", "none", "_squares")

    def __init__(self, name: str, labels: tuple[str, ...]) -> None:
        self.name = name
        self.ask = Ask(codes=(name,))
        self.labels = labels
        self.places: Floats = np.zeros(len(labels))
        self.none = 0.0
        self._squares = 0.0

    @property
    def effective_size(self) -> float:
        """Labelled places that count as independent, (sum w)**2 / sum w**2 (Kish 1965)."""
        return float(self.places.sum() ** 2 / self._squares) if self._squares else 0.0

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Count a batch; see `Tally.update`."""
        codes = batch.codes[self.name]
        # Code -1 becomes 0, so that none is counted in the same go.
        found = np.bincount(codes + 1, weights=weight, minlength=len(self.labels) + 1)
        self.none += float(found[0])
        self.places += found[1:]
        labelled = codes >= 0
        self._squares += float(labelled.sum() if weight is None else (weight[labelled] ** 2).sum())


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
