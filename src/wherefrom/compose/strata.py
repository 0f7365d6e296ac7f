"""Which stratum a place is in, and how many places the strata shall give."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.allocate import Allocation
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool.batches import AnyPool, Ask, Batch

__all__ = ["LISTED", "NAMED", "Crossed", "Groups", "Ints", "LabelGroups", "Plan", "Strata"]

Ints: TypeAlias = NDArray[np.int64]

#: Strata that the card lists one by one; of more it says how many they are.
LISTED = 10_000
#: Combinations of labels up to here are named on the card.
NAMED = 2000


class Groups(ABC):
    """Which group a place is in: a function of the place alone, whatever else the batch holds.

    It is pickled and called in other threads and processes.

    Attributes
    ----------
    ask : Ask
        What the batches must hold; by default coordinates alone.
    """

    ask: Ask = Ask()

    @abstractmethod
    def keys(self, batch: Batch) -> Ints:
        """Return the group of every place.

        Parameters
        ----------
        batch : Batch
            With what `ask` names.

        Returns
        -------
        ndarray of int64, shape (B,)
            Any numbers from 0 on; -1 for places of no group.
        """

    def counts(self, pool: AnyPool) -> tuple[Ints, Ints] | None:
        """Return the groups that occur and their places if the pool knows them without a pass.

        Parameters
        ----------
        pool : AnyPool

        Returns
        -------
        keys, sizes : ndarray of int64, shape (H,)
            Keys ascend, sizes are at least 1. None, the default, if a pass must count.
        """
        return None


@dataclass(frozen=True)
class Plan:
    """How many places the strata that occur shall give.

    Attributes
    ----------
    allocation : Allocation
        One entry per stratum that occurs, in the order of their keys. Places of a stratum whose
        target is 0 are never drawn.
    labels : tuple of str
        Names of the strata, for the card; empty where they are too many to name.
    notes : dict
        Further facts for the card, plain values.
    conditional_on : str
        What was drawn at random before (such as clusters); inclusion probabilities hold given it.
    """

    allocation: Allocation
    labels: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    conditional_on: str = ""


@dataclass(frozen=True, eq=False)
class Strata:
    """Groups of places to draw from, and how many places each shall give.

    Attributes
    ----------
    groups : Groups
        A place's stratum is its group; places of none are never drawn.
    plan : callable
        ``(keys, sizes)``, the groups that occur in the pool, ascending, and their places, at least
        1, ndarrays of int64 of shape (H,), to a `Plan`; H may be 0. It raises a `WherefromError` if
        the strata cannot give such a draw. It is never pickled.
    """

    groups: Groups
    plan: Callable[[Ints, Ints], Plan]


class LabelGroups(Groups):
    """Groups made of the labels of one layer or column.

    `key_of`, int64 (L,), is the group of each label of the pool's ``labels(layer)``; -1 for none.
    """

    def __init__(self, layer: str, key_of: Ints) -> None:
        self.ask = Ask(codes=(layer,))
        # Code -1 picks the last entry.
        self._key_of = np.append(key_of, np.int64(-1))

    @classmethod
    def of(cls, pool: AnyPool, layer: str, labels: Sequence[str]) -> LabelGroups:
        """Make a group of each of some labels, in their order; refuse an unknown one."""
        known = {label: code for code, label in enumerate(pool.labels(layer))}
        key_of = np.full(len(known), -1, dtype=np.int64)
        for key, label in enumerate(labels):
            if label not in known:
                raise unknown(f"label of layer {layer!r}:", label, known)
            key_of[known[label]] = key
        return cls(layer, key_of)

    def keys(self, batch: Batch) -> Ints:
        """Look up the labels' groups."""
        return self._key_of[batch.codes[self.ask.codes[0]]]

    def counts(self, pool: AnyPool) -> tuple[Ints, Ints] | None:
        """Add up the counts of the labels where the pool knows them."""
        known = pool.counts(self.ask.codes[0])
        if known is None:
            return None
        drawn = (self._key_of[:-1] >= 0) & (known > 0)
        keys, where = np.unique(self._key_of[:-1][drawn], return_inverse=True)
        sizes = np.zeros(len(keys), dtype=np.int64)
        np.add.at(sizes, where, known[drawn])
        return keys, sizes


@dataclass
class Crossed(Groups):
    """The combinations of the labels of several layers; a place without one is in no group.

    `names` are layers or columns, `labels` those of each.

    >>> crossed = Crossed(("use", "belt"), (("crop", "grass"), ("dry", "wet", "cold")))
    >>> crossed.texts(np.array([2, 3]))
    ('crop / cold', 'grass / dry')
    """

    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        self.ask = Ask(codes=self.names)

    @classmethod
    def of(cls, pool: AnyPool, names: tuple[str, ...]) -> Crossed:
        """Cross layers or columns of a pool; refuse too many combinations to number."""
        labels = tuple(pool.labels(name) for name in names)
        for name, some in zip(names, labels, strict=True):
            if not some:
                raise WherefromError(
                    f"all strata are empty: no place of the pool has a label of layer {name!r}"
                )
        if math.prod(len(some) for some in labels) >= 2**62:
            raise WherefromError(f"{'+'.join(names)} have too many combinations: name fewer")
        return cls(names, labels)

    def keys(self, batch: Batch) -> Ints:
        """Return the number of every place's combination, -1 where a layer has no label."""
        key = np.zeros(len(batch), dtype=np.int64)
        missing = np.zeros(len(batch), dtype=bool)
        for name, labels in zip(self.names, self.labels, strict=True):
            codes = batch.codes[name]
            missing |= codes < 0
            key = key * len(labels) + codes
        key[missing] = -1
        return key

    def counts(self, pool: AnyPool) -> tuple[Ints, Ints] | None:
        """Take the counts of a single layer where the pool knows them."""
        known = pool.counts(self.names[0]) if len(self.names) == 1 else None
        if known is None:
            return None
        keys = np.flatnonzero(known)
        return keys, known[keys]

    def codes(self, keys: Ints) -> tuple[Ints, ...]:
        """Return the code of each layer, one array of shape (H,) per layer, of combinations."""
        return np.unravel_index(keys, [len(labels) for labels in self.labels])

    def texts(self, keys: Ints) -> tuple[str, ...]:
        """Name combinations, such as ``Africa / Mangroves``; shape (H,)."""
        columns = zip(*(code.tolist() for code in self.codes(keys)), strict=True)
        return tuple(
            " / ".join(labels[code] for labels, code in zip(self.labels, row, strict=True))
            for row in columns
        )
