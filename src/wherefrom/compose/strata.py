"""Which stratum a place is in, and how many places the strata shall give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.allocate import Allocation
from wherefrom.pool.batches import AnyPool, Ask, Batch

__all__ = ["LabelStrata", "OneStratum", "Plan", "Strata"]


class Strata(ABC):
    """Which stratum a place is in: a function of the place alone, whatever else the batch holds.

    It is pickled and called in other threads and processes.

    Attributes
    ----------
    ask : Ask
        What the batches must hold.
    """

    ask: Ask

    @abstractmethod
    def keys(self, batch: Batch) -> NDArray[np.int64]:
        """Return the stratum of every place.

        Parameters
        ----------
        batch : Batch
            With what `ask` names.

        Returns
        -------
        ndarray of int64, shape (B,)
            Any numbers from 0 on; -1 for places that are never drawn.
        """

    def counts(self, pool: AnyPool) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return the strata that occur and their places if the pool knows them without a pass.

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


class LabelStrata(Strata):
    """Strata made of the labels of one layer or column.

    Parameters
    ----------
    layer : str
    key_of : ndarray of int64, shape (L,)
        Stratum of each label of the pool's ``labels(layer)``; -1 for labels that are never drawn.

    Examples
    --------
    >>> strata = LabelStrata("use", np.array([1, -1, 0]))
    >>> codes = np.array([2, 0, -1, 1], dtype=np.int32)
    >>> strata.keys(Batch(0, np.zeros(4), np.zeros(4), codes={"use": codes})).tolist()
    [0, 1, -1, -1]
    """

    def __init__(self, layer: str, key_of: NDArray[np.int64]) -> None:
        self.ask = Ask(codes=(layer,))
        # Code -1 picks the last entry.
        self._key_of = np.append(key_of, np.int64(-1))

    def keys(self, batch: Batch) -> NDArray[np.int64]:
        """Look up the labels' strata."""
        return self._key_of[batch.codes[self.ask.codes[0]]]

    def counts(self, pool: AnyPool) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Add up the counts of the labels where the pool knows them."""
        known = pool.counts(self.ask.codes[0])
        if known is None:
            return None
        drawn = (self._key_of[:-1] >= 0) & (known > 0)
        keys, where = np.unique(self._key_of[:-1][drawn], return_inverse=True)
        sizes = np.zeros(len(keys), dtype=np.int64)
        np.add.at(sizes, where, known[drawn])
        return keys, sizes


class OneStratum(Strata):
    """All places in stratum 0."""

    ask = Ask()

    def keys(self, batch: Batch) -> NDArray[np.int64]:
        """Return zeros."""
        return np.zeros(len(batch), dtype=np.int64)

    def counts(self, pool: AnyPool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pool's size."""
        return np.zeros(1, dtype=np.int64), np.array([len(pool)], dtype=np.int64)
