"""Samplers that draw from a pool in passes, without holding it in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.allocate import Allocation
from wherefrom.compose.base import DesignSampler
from wherefrom.compose.design import Design
from wherefrom.pool.batches import AnyPool, Ask, Batch

__all__ = ["Plan", "Strata", "StreamedSampler"]


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


class StreamedSampler(DesignSampler):
    """A sampler that says which stratum each place is in and shares n out; the rest is done here.

    A new sampler is a subclass with a `name`, parameters, `strata` and `plan`. It draws from pools
    of any size, in passes over their parts: count the strata (no pass where the pool knows the
    counts), then give each place a random number and keep the smallest of each stratum.
    """

    @abstractmethod
    def strata(
        self, pool: AnyPool, n: int, rng: np.random.Generator, *, cluster: str | None = None
    ) -> Strata:
        """Say which stratum a place is in.

        Parameters
        ----------
        pool : AnyPool
        n : int
            Places to draw, at least 1.
        rng : numpy.random.Generator
            For samplers that draw something, such as clusters, before the places.
        cluster : str, optional
            Address of a Ray cluster, for passes over the pool that are needed before.

        Returns
        -------
        Strata

        Raises
        ------
        WherefromError
            If the pool cannot give such a draw.
        """

    @abstractmethod
    def plan(
        self,
        pool: AnyPool,
        strata: Strata,
        keys: NDArray[np.int64],
        sizes: NDArray[np.int64],
        n: int,
    ) -> Plan:
        """Share n out among the strata that occur.

        Parameters
        ----------
        pool : AnyPool
        strata : Strata
            Of `strata`.
        keys, sizes : ndarray of int64, shape (H,)
            Strata that occur in the pool, ascending, and their places, at least 1; H may be 0.
        n : int
            Places to draw.

        Returns
        -------
        Plan

        Raises
        ------
        WherefromError
            If the strata cannot give such a draw.
        """

    def design(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Design:
        """Assign every place of the pool to its stratum, in memory."""
        strata = self.strata(pool, n, rng)
        found = [strata.keys(batch) for batch in pool.batches(strata.ask)]
        given = np.concatenate(found)
        keys, codes, sizes = np.unique(given, return_inverse=True, return_counts=True)
        never = int(len(keys) > 0 and keys[0] < 0)
        plan = self.plan(pool, strata, keys[never:], sizes[never:], n)
        return Design(
            codes.astype(np.int32) - np.int32(never),
            sizes[never:],
            plan.allocation,
            plan.labels,
            plan.conditional_on,
            plan.notes,
        )
