"""The one design behind every sampler: simple random sampling within strata."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.allocate import Allocation, Exact, round_at_random
from wherefrom.compose.strata import Plan

__all__ = ["Design", "Sample", "Smallest", "near"]

#: Places that `Smallest` takes in before it sorts, besides those that it keeps.
ROOM = 1 << 20


@dataclass(frozen=True)
class Sample:
    """M distinct rows drawn from a pool, in ascending order.

    `multiplicity`, int32 (M,), says how often each is taken, at least once;
    `inclusion_probability`, (M,), what was expected of it; `counts`, int64 (H,), what each stratum
    gave, with repetition; `ids` are those of the rows, where they were seen.
    """

    rows: NDArray[np.int64]
    multiplicity: NDArray[np.int32]
    inclusion_probability: NDArray[np.float64]
    counts: NDArray[np.int64]
    ids: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Design:
    """Simple random sampling without replacement within strata, with exact expected sizes.

    Stratum sizes are the allocation's targets, rounded at random; within a stratum every place is
    equally likely. Where a stratum gives more than it has (``short=repeat``) every place is taken
    as often as every other, or once more.

    Attributes
    ----------
    codes : ndarray of int32 or int64, shape (N,)
        Stratum of every place of the pool, 0 to H - 1; -1 for places that are never drawn.
    sizes : ndarray of int64, shape (H,)
        Places per stratum.
    allocation : Allocation
        Expected places drawn per stratum, before and after the policy for short strata.
    labels : tuple of str
        Names of the strata, for the card; empty where they are too many to name.
    conditional_on : str
        What was drawn at random before (such as clusters); inclusion probabilities hold given it.
    notes : dict
        Further facts for the card.
    """

    codes: NDArray[Any]
    sizes: NDArray[np.int64]
    allocation: Allocation
    labels: tuple[str, ...] = ()
    conditional_on: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """How many places the strata shall give."""
        return Plan(self.allocation, self.labels, self.notes, self.conditional_on)

    def inclusion(self) -> NDArray[np.float64]:
        """Return every place's expected multiplicity, its inclusion probability where at most 1.

        Returns
        -------
        ndarray of float64, shape (N,)
            Sums to the expected size of the composition.
        """
        return np.asarray(np.append(self._rates(), 0.0)[self.codes])

    def sample(self, rng: np.random.Generator) -> Sample:
        """Draw once.

        Parameters
        ----------
        rng : numpy.random.Generator
            Gives one number to each place of the pool, in its order: a stratum's smallest numbers
            are drawn. So a pool read in pieces gives the same draw.

        Returns
        -------
        Sample
        """
        counts = round_at_random(self.allocation.targets, rng)
        numbers = rng.random(len(self.codes))
        # Most places cannot be drawn: sort those with small numbers only, and all the others in
        # the rare case that some stratum finds too few among them.
        limit = near(counts, self.sizes)
        few = np.flatnonzero(numbers < np.append(limit, 0.0)[self.codes])
        kept = Smallest(counts, self.sizes, limit)
        if kept.lacking(np.bincount(self.codes[few], minlength=len(counts))).any():
            few = np.flatnonzero(self.codes >= 0)
            kept = Smallest(counts, self.sizes, np.ones(len(counts)))
        kept.add(few, numbers[few], self.codes[few])
        return kept.sample(self._rates())

    def _rates(self) -> NDArray[np.float64]:
        return Exact.of(self.allocation.targets).over(self.sizes)


def near(counts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return numbers (H,) below which each stratum almost surely has the places to be taken.

    `counts` are to be taken of each stratum's `sizes`, int64 (H,); 0 for strata that give none.
    """
    margin = (counts + 10 * np.sqrt(counts) + 20) / np.maximum(sizes, 1)
    return np.where(counts == 0, 0.0, margin)


class Smallest:
    """The places with the smallest numbers of each stratum, of those added so far.

    Holds about twice as many places as are to be taken (`counts` of `sizes`, int64 (H,), with
    repetition), however many are added. Numbers from `limit`, float64 (H,), on are not looked at;
    it falls while places are added: a stratum that has its places needs smaller numbers only.
    """

    def __init__(
        self, counts: NDArray[np.int64], sizes: NDArray[np.int64], limit: NDArray[np.float64]
    ) -> None:
        self.limit = limit.copy()
        self._counts, self._sizes = counts, sizes
        self._wanted = np.minimum(counts, sizes)
        self._room = int(self._wanted.sum()) + ROOM
        self._pieces: list[tuple[NDArray[Any], ...]] = []
        self._pending = 0

    def add(self, rows: NDArray[np.int64], numbers: NDArray[np.float64], *more: Any) -> None:
        """Add rows (M,), beyond all added before, with their numbers, strata, and perhaps ids."""
        some = numbers < self.limit[more[0]]
        columns = (rows, numbers, *more)
        self._pieces.append(tuple(column[some] for column in columns))
        self._pending += int(some.sum())
        if self._pending > self._room:
            self._compact()

    def lacking(self, found: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which strata found fewer places than are to be taken, shape (H,)."""
        return found < self._wanted

    def places(self) -> tuple[NDArray[Any], ...]:
        """Return the places kept, in the order of their rows, as `add` takes them."""
        self._compact()
        order = np.argsort(self._pieces[0][0])
        return tuple(column[order] for column in self._pieces[0])

    def sample(self, rates: NDArray[np.float64]) -> Sample:
        """Take the places; `rates` are the strata's expected multiplicities, shape (H,)."""
        self._compact()
        rows, _, strata, *ids = self._pieces[0]
        whole, rest = np.divmod(self._counts, np.maximum(self._sizes, 1))
        times = whole[strata] + (self._rank(strata) < rest[strata])
        order = np.argsort(rows)
        return Sample(
            rows[order],
            times[order].astype(np.int32),
            rates[strata[order]],
            self._counts,
            ids[0][order] if ids else None,
        )

    def _compact(self) -> None:
        """Keep of each stratum as many places as are to be taken, in the order of strata."""
        columns = tuple(np.concatenate(column) for column in zip(*self._pieces, strict=True))
        # Stable: of equal numbers the earlier row comes first.
        order = np.lexsort((columns[1], columns[2]))
        strata = columns[2][order]
        rank, wanted = self._rank(strata), self._wanted[strata]
        last = rank == wanted - 1
        self.limit[strata[last]] = columns[1][order[last]]
        order = order[rank < wanted]
        self._pieces = [tuple(column[order] for column in columns)]
        self._pending = len(order)

    def _rank(self, strata: NDArray[Any]) -> NDArray[np.int64]:
        """Count the places of each stratum from 0 on; strata are sorted."""
        starts = np.searchsorted(strata, np.arange(len(self._counts)))
        return np.asarray(np.arange(len(strata)) - starts[strata])
