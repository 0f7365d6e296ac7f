"""Places that a number favours: by its size, or the highest of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wherefrom.compose.allocate import allocate, allocate_levels, levels_of
from wherefrom.compose.base import NumbersName, StreamedSampler
from wherefrom.compose.samplers.plain import Everywhere
from wherefrom.compose.strata import Groups, Ints, Plan, Strata
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch, Part, over

__all__ = ["ENTROPY", "Entropy", "Histogram", "need_numbers"]

#: Column that the samplers by entropy look at unless another is named.
ENTROPY = "spectral_entropy"
#: Steps of the range of the column in which the top share is found.
STEPS = 1 << 20

Floats = NDArray[np.float64]


class _ByValue(Groups):
    """The level of the value of a column."""

    def __init__(self, column: str) -> None:
        self.column = column
        self.ask = Ask(values=(column,))

    def keys(self, batch: Batch) -> Ints:
        values = batch.values[self.column]
        wrong = np.flatnonzero((values < 0) | np.isinf(values))
        if len(wrong):
            raise WherefromError(
                f"row {batch.start + wrong[0]}: column {self.column!r} holds "
                f"{values[wrong[0]]:g}, but weights are not negative and not infinite: mend it, or "
                "draw the highest: top=0.1"
            )
        return levels_of(values)


class _Above(Groups):
    """Group 0: places with at least some value."""

    def __init__(self, column: str, least: float) -> None:
        self.column, self.least = column, least
        self.ask = Ask(values=(column,))

    def keys(self, batch: Batch) -> Ints:
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
    >>> from wherefrom import draw
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
        """Share n in proportion to the column, level by level, or draw from the top share."""
        need_numbers(pool, self.column)

        def by_value(keys: Ints, sizes: Ints) -> Plan:
            allocation = allocate_levels(keys, sizes, n)
            pairs = zip(sizes.tolist(), allocation.targets, strict=True)
            certain = sum(size for size, target in pairs if target == size)
            notes = {"candidates": int(sizes.sum()), "levels": len(keys), "certain": certain}
            return Plan(allocation, (), notes)

        if self.top is None:
            return Strata(_ByValue(self.column), by_value)
        histogram = Histogram.of(pool, self.column, Everywhere(), STEPS)
        least = float(histogram.at_least(self.top)[0])

        def top(keys: Ints, sizes: Ints) -> Plan:
            label = f"{self.column} of at least {least:.6g}"
            allocation = allocate([1], sizes, n, "error", [label])
            return Plan(allocation, (label,), {"candidates": int(sizes.sum())})

        return Strata(_Above(self.column, least), top)


def need_numbers(pool: AnyPool, column: str) -> None:
    """Refuse a pool without its column of entropies, and say how to get one."""
    if column == ENTROPY and column not in getattr(pool, "columns", (column,)):
        raise WherefromError(
            f"the pool has no column {column!r}: make it in Python of image tiles or pixel series, "
            "wherefrom.auditing.payload.entropy_of_tiles(...).join(pool), or name a column of "
            "numbers with column="
        )


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts, int64 (G, steps), of a column's numbers in equal steps of its range.

    `keys`, int64 (G,), are the groups that have numbers, ascending.
    """

    low: float
    high: float
    keys: Ints
    counts: Ints

    @classmethod
    def of(
        cls,
        pool: AnyPool,
        column: str,
        groups: Groups,
        steps: int,
    ) -> Histogram:
        """Count a column's or value layer's numbers by group; -1 is left out.

        If no place of a group has a number, or one is infinite, a `WherefromError` is raised.
        """
        look = partial(_range, column=column, groups=groups)
        ranges = list(over(pool.parts(), look, f"range of {column}"))
        low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
        if low > high:
            raise WherefromError(f"no place to draw from has a value of {column!r}")
        if np.isinf(low) or np.isinf(high):
            raise WherefromError(f"column {column!r} holds an infinite value: mend it")
        tally = partial(_tally, column=column, groups=groups, low=low, high=high, steps=steps)
        total: dict[int, Ints] = {}
        for table in over(pool.parts(), tally, f"spread of {column}"):
            for key, counts in table.items():
                total[key] = total.get(key, 0) + counts
        keys = sorted(total)
        return cls(low, high, np.array(keys), np.stack([total[key] for key in keys]))

    def step(self, values: Floats) -> Ints:
        """Return the step of each number, clipped to the range; of NaN -1."""
        return _step(values, self.low, self.high, self.counts.shape[1])

    def edge(self, step: Ints) -> Floats:
        """Return a number at the low end of each step: `step` of it and of all above is no less."""
        return _edge(step, self.low, self.high, self.counts.shape[1])

    def at_least(self, share: float) -> Floats:
        """Return for each group the highest step's edge that at least a share of it reaches."""
        above = np.cumsum(self.counts[:, ::-1], axis=1)[:, ::-1]
        enough = above >= np.ceil(share * above[:, :1] - 1e-9)
        last = self.counts.shape[1] - 1 - np.argmax(enough[:, ::-1], axis=1)
        return self.edge(last)


def _edge(step: Ints, low: float, high: float, steps: int) -> Floats:
    return low + (high - low) * (step / steps)


def _step(values: Floats, low: float, high: float, steps: int) -> Ints:
    there = ~np.isnan(values)
    width = (high - low) / steps or 1.0
    place = np.floor((np.where(there, values, low) - low) / width)
    step = np.clip(place, 0, steps - 1).astype(np.int64)
    # Rounding may lead past an edge; the edges decide, so that >= edge means the same as the step.
    step -= values < _edge(step, low, high, steps)
    step += (values >= _edge(step + 1, low, high, steps)) & (step < steps - 1)
    return np.where(there, np.maximum(step, 0), -1)


def _chosen(part: Part, column: str, groups: Groups) -> Iterator[tuple[Floats, Ints]]:
    """Give the numbers of a part that are in a group, and their groups, batch by batch."""
    for batch in part.batches(Ask(values=(column,)) | groups.ask):
        values, keys = batch.values[column], groups.keys(batch)
        there = ~np.isnan(values) & (keys >= 0)
        yield values[there], keys[there]


def _range(part: Part, column: str, groups: Groups) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for values, _ in _chosen(part, column, groups):
        if len(values):
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def _tally(
    part: Part, column: str, groups: Groups, low: float, high: float, steps: int
) -> dict[int, Ints]:
    total: dict[int, Ints] = {}
    for values, keys in _chosen(part, column, groups):
        found, group = np.unique(keys, return_inverse=True)
        cells = group * steps + _step(values, low, high, steps)
        counts = np.bincount(cells, minlength=len(found) * steps).reshape(len(found), steps)
        for key, some in zip(found.tolist(), counts, strict=True):
            total[key] = total.get(key, 0) + some
    return total
