"""The one design behind every sampler: simple random sampling within strata."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.allocate import Allocation, round_at_random

__all__ = ["Design", "Sample"]


@dataclass(frozen=True)
class Sample:
    """Rows drawn from a pool, in ascending order.

    Attributes
    ----------
    rows : ndarray of int64, shape (M,)
        Distinct rows of the pool.
    multiplicity : ndarray of int32, shape (M,)
        How often each is taken, at least once.
    inclusion_probability : ndarray of float64, shape (M,)
        Expected multiplicity of these rows under the design.
    counts : ndarray of int64, shape (H,)
        Taken from each stratum, with repetition.
    """

    rows: NDArray[np.int64]
    multiplicity: NDArray[np.int32]
    inclusion_probability: NDArray[np.float64]
    counts: NDArray[np.int64]


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

    def inclusion(self) -> NDArray[np.float64]:
        """Return every place's expected multiplicity, its inclusion probability where at most 1.

        Returns
        -------
        ndarray of float64, shape (N,)
            Sums to the expected size of the composition.
        """
        rates: NDArray[np.float64] = np.append(self._rates(), 0.0)[self.codes]
        return rates

    def sample(self, rng: np.random.Generator) -> Sample:
        """Draw once.

        Parameters
        ----------
        rng : numpy.random.Generator
            Gives one number to each place of the pool, in its order: a stratum's smallest numbers
            are drawn. So a pool read in pieces would give the same draw.

        Returns
        -------
        Sample
        """
        counts = round_at_random(self.allocation.targets, rng)
        numbers = rng.random(len(self.codes))
        # Most places cannot be drawn: sort those with small numbers only, and all the others in
        # the rare case that some stratum finds too few among them.
        margin = (counts + 10 * np.sqrt(counts) + 20) / np.maximum(self.sizes, 1)
        limit = np.append(np.where(counts == 0, 0.0, margin), 0.0)
        near = np.flatnonzero(numbers < limit[self.codes])
        enough = np.bincount(self.codes[near], minlength=len(counts))
        if np.any(enough < np.minimum(counts, self.sizes)):
            near = np.flatnonzero(self.codes >= 0)
        near = near[np.lexsort((numbers[near], self.codes[near]))]
        strata = self.codes[near]
        starts = np.searchsorted(strata, np.arange(len(counts)))
        rank = np.arange(len(near)) - starts[strata]
        whole, rest = np.divmod(counts, np.maximum(self.sizes, 1))
        times = whole[strata] + (rank < rest[strata])
        rows = near[times > 0]
        order = np.argsort(rows)
        rows = rows[order]
        return Sample(
            rows,
            times[times > 0][order].astype(np.int32),
            self._rates()[self.codes[rows]],
            counts,
        )

    def _rates(self) -> NDArray[np.float64]:
        rates = [
            float(target / int(size)) if size else 0.0
            for target, size in zip(self.allocation.targets, self.sizes, strict=True)
        ]
        return np.asarray(rates, dtype=np.float64)


def one_stratum(
    chosen: NDArray[np.bool_], allocation: Allocation, label: str, **more: Any
) -> Design:
    """Make the design that draws uniformly from some places of the pool.

    Parameters
    ----------
    chosen : ndarray of bool, shape (N,)
        Places that may be drawn.
    allocation : Allocation
        Of one stratum.
    label : str
        Its name.
    **more
        Further attributes of the design.

    Returns
    -------
    Design
    """
    codes = np.where(chosen, np.int32(0), np.int32(-1))
    sizes = np.array([int(chosen.sum())], dtype=np.int64)
    return Design(codes, sizes, allocation, (label,), **more)


def expected_size(allocation: Allocation) -> Fraction:
    """Return the expected number of places drawn, with repetition."""
    return sum(allocation.targets, Fraction(0))
