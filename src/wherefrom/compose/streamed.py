"""Samplers that draw from a pool in passes, without holding it in memory."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose import passes
from wherefrom.compose.allocate import round_at_random
from wherefrom.compose.base import DesignSampler
from wherefrom.compose.composition import Composition
from wherefrom.compose.design import Design
from wherefrom.compose.exact import Exact
from wherefrom.compose.strata import Plan, Strata
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool

__all__ = ["Plan", "Strata", "StreamedSampler"]


class StreamedSampler(DesignSampler):
    """A sampler that says which stratum each place is in and shares n out; the rest is done here.

    A new sampler is a subclass with a `name`, parameters, `strata` and `plan`. It draws from pools
    of any size, in passes over their parts: count the strata (no pass where the pool knows the
    counts), then give each place a random number and keep the smallest of each stratum.
    """

    in_passes: ClassVar[bool] = True

    @abstractmethod
    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Say which stratum a place is in.

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
        """Assign every place of the pool to its stratum; only this holds them all in memory."""
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

    def draw(
        self,
        pool: AnyPool,
        n: int | None,
        rng: np.random.Generator,
    ) -> Composition:
        """Draw n places in passes over the pool.

        Parameters
        ----------
        pool : AnyPool
            In memory or in files: the same places give the same draw.
        n : int
        rng : numpy.random.Generator
            Of PCG64, as ``numpy.random.default_rng(seed)`` is.

        Returns
        -------
        Composition

        Raises
        ------
        WherefromError
            As `DesignSampler.draw`.
        """
        n = self.checked(n, len(pool))
        strata = self.strata(pool, n, rng)
        keys, sizes = passes.count(pool, strata)
        plan = self.plan(pool, strata, keys, sizes, n)
        if not len(keys):
            raise WherefromError(f"sampler {self.name!r} finds no place of the pool to draw")
        counts = round_at_random(plan.allocation.targets, rng)
        rates = Exact.of(plan.allocation.targets).over(sizes)
        sample = passes.select(pool, strata, keys, sizes, counts, rates, rng)
        return self.composed(pool, n, sample, self.account(pool, plan, sizes, counts))
