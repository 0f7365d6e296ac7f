"""Places that a number favours: by its size, or the highest of all."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wherefrom.compose.allocate import allocate
from wherefrom.compose.base import NumbersName
from wherefrom.compose.histogram import ENTROPY, Histogram, need_numbers
from wherefrom.compose.levels import allocate_levels, levels_of
from wherefrom.compose.strata import Plan, Strata
from wherefrom.compose.streamed import StreamedSampler
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch

__all__ = ["Entropy"]

#: Steps of the range of the column in which the top share is found.
STEPS = 1 << 20


class _ByValue(Strata):
    """The level of the value of a column."""

    def __init__(self, column: str) -> None:
        self.column = column
        self.ask = Ask(values=(column,))

    def keys(self, batch: Batch) -> NDArray[np.int64]:
        values = batch.values[self.column]
        wrong = np.flatnonzero((values < 0) | np.isinf(values))
        if len(wrong):
            raise WherefromError(
                f"row {batch.start + wrong[0]}: column {self.column!r} holds "
                f"{values[wrong[0]]:g}, but weights are not negative and not infinite: mend it, or "
                "draw the highest: top=0.1"
            )
        return levels_of(values)


class _Above(Strata):
    """Stratum 0: places with at least some value."""

    def __init__(self, column: str, least: float) -> None:
        self.column, self.least = column, least
        self.ask = Ask(values=(column,))

    def keys(self, batch: Batch) -> NDArray[np.int64]:
        return np.where(batch.values[self.column] >= self.least, 0, -1)


class Entropy(StreamedSampler):
    """Places of high spectral entropy: in proportion to it, or uniformly from the top share.

    Kaur et al. 2026 (arXiv 2604.21104) find that the spectral entropy of pre-training samples goes
    with performance, and select by it. In proportion: a place's probability is n times its share
    of the column's sum, at most 1, with values rounded by at most 0.5 % to geometric levels, so
    that n and all probabilities are exact. Without replacement; places without a value are never
    drawn. Selection by entropy is a selection of places too: compare with ``entropy-matched`` and
    ``geography-matched``.

    Attributes
    ----------
    column : str
        Column or layer of numbers; any other works alike.
    top : float, optional
        Draw uniformly from this share of the places that have a value, those with the highest, to
        a millionth of the column's range; ties at its edge are all in.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.compose import draw
    >>> from wherefrom.pool import Pool
    >>> places = {"lon": [0.0, 1, 2], "lat": [0.0] * 3}
    >>> table = pa.table({**places, "spectral_entropy": [1.0, 1.0, 4.0]})
    >>> sampled = draw(Pool.from_table(table), "entropy:top=0.3", 1)
    >>> sampled.ids.tolist(), sampled.inclusion_probability.tolist()
    ([2], [1.0])
    """

    name: ClassVar[str] = "entropy"
    column: NumbersName = ENTROPY
    top: float | None = Field(default=None, gt=0, le=1)

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Make a stratum of each level of the column, or of the top share."""
        need_numbers(pool, self.column)
        if self.top is None:
            return _ByValue(self.column)
        found = Histogram.of(pool, self.column, None, STEPS)
        return _Above(self.column, float(found.at_least(self.top)[0]))

    def plan(
        self,
        pool: AnyPool,
        strata: Strata,
        keys: NDArray[np.int64],
        sizes: NDArray[np.int64],
        n: int,
    ) -> Plan:
        """Share n in proportion to size times weight."""
        if isinstance(strata, _Above):
            label = f"{self.column} of at least {strata.least:.6g}"
            allocation = allocate([1], sizes, n, "error", [label])
            return Plan(allocation, (label,), {"candidates": int(sizes.sum())})
        allocation = allocate_levels(keys, sizes, n)
        certain = sum(int(s) for s, t in zip(sizes, allocation.targets, strict=True) if t == int(s))
        notes = {"candidates": int(sizes.sum()), "levels": len(keys), "certain": certain}
        return Plan(allocation, (), notes)
