"""Draws of two sides that are alike in one respect, so that only the other can matter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wherefrom.compose import passes
from wherefrom.compose.allocate import allocate
from wherefrom.compose.base import LayerName, Names, NumbersName, StreamedSampler
from wherefrom.compose.samplers.entropy import ENTROPY, Histogram, need_numbers
from wherefrom.compose.strata import NAMED, Crossed, Groups, Ints, LabelGroups, Plan, Strata
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch

__all__ = [
    "GEOGRAPHY_MATCHED",
    "EntropyMatched",
    "GeographyMatchedHalves",
    "GeographyMatchedRegions",
]

Floats = NDArray[np.float64]

#: Steps of the range of a column in which bins and halves are found.
STEPS = 4096
#: Counts that a histogram by combinations may hold: 128 MiB.
MOST_COUNTS = 1 << 24


class _Sides(Groups):
    """Cells of two sides, which are groups 0 and 1, apart: even keys of the one, odd of the other.

    With `one` only those of side 0, under their own keys.
    """

    def __init__(self, sides: Groups, cells: Groups, one: bool = False) -> None:
        self.sides, self.cells, self.one = sides, cells, one
        self.ask = sides.ask | cells.ask

    def keys(self, batch: Batch) -> Ints:
        sides, cells = self.sides.keys(batch), self.cells.keys(batch)
        if self.one:
            return np.where(sides == 0, cells, -1)
        return np.where((sides >= 0) & (cells >= 0), 2 * cells + sides, -1)


class _Bins(Groups):
    """The bin of a number: how many edges are no higher, from 0."""

    def __init__(self, column: str, edges: Floats) -> None:
        self.column, self.edges = column, edges
        self.ask = Ask(values=(column,))

    def keys(self, batch: Batch) -> Ints:
        values = batch.values[self.column]
        bins = np.searchsorted(self.edges, values, side="right").astype(np.int64)
        return np.where(np.isnan(values), -1, bins)


class _Halves(Groups):
    """Group 0 on one side of the median of a place's combination of labels, 1 on the other."""

    def __init__(self, crossed: Crossed, column: str, keys: Ints, edges: Floats, high: bool):
        self.crossed, self.column, self.high = crossed, column, high
        self.known, self.edges = keys, edges
        self.ask = crossed.ask | Ask(values=(column,))

    def keys(self, batch: Batch) -> Ints:
        values, keys = batch.values[self.column], self.crossed.keys(batch)
        at = np.minimum(np.searchsorted(self.known, keys), len(self.known) - 1)
        there = (self.known[at] == keys) & ~np.isnan(values)
        return np.where(there, (values >= self.edges[at]) != self.high, -1)


@dataclass(frozen=True, eq=False)
class _Matched:
    """Groups of one side, with what both sides have of each."""

    one: Groups
    cells: Ints
    sizes: Ints
    others: Ints

    @classmethod
    def of(cls, pool: AnyPool, sides: Groups, cells: Groups) -> _Matched:
        """Count the cells of both sides, groups 0 and 1, of which the first is drawn from."""
        keys, sizes = passes.count(pool, _Sides(sides, cells))
        found = np.unique(keys // 2)
        both = np.zeros((2, len(found)), dtype=np.int64)
        both[keys % 2, np.searchsorted(found, keys // 2)] = sizes
        return cls(_Sides(sides, cells, one=True), found, both[0], both[1])

    def shared(self, by: Literal["share", "number"]) -> list[Fraction]:
        """Return what both sides have in common of each cell: the smaller share, or number."""
        pairs = zip(self.sizes.tolist(), self.others.tolist(), strict=True)
        if by == "number":
            return [Fraction(min(pair)) for pair in pairs]
        totals = int(self.sizes.sum()), int(self.others.sum())
        return [min(Fraction(a, totals[0]), Fraction(b, totals[1])) for a, b in pairs]

    def most(self, weights: list[Fraction]) -> int:
        """Return how many places either side can give in proportion to the weights."""
        fewest = np.minimum(self.sizes, self.others).tolist()
        ratios: list[Fraction] = [
            few / weight for few, weight in zip(fewest, weights, strict=True) if weight
        ]
        return math.floor(min(ratios) * sum(weights, Fraction(0)))

    def strata(
        self,
        n: int,
        by: Literal["share", "number"],
        sides: str,
        named: Callable[[Ints], tuple[str, ...]],
    ) -> Strata:
        """Share n by what both sides have in common, if both can give it; `named` by their keys."""

        def plan(keys: Ints, sizes: Ints) -> Plan:
            weights = self.shared(by)
            most = self.most(weights)
            if n > most:
                raise WherefromError(
                    f"n = {n:,}, but {sides} can give {most:,} places each that are alike: use a "
                    "larger pool, a smaller n, or coarser strata"
                )
            some = [weights[i] for i in np.searchsorted(self.cells, keys)]
            notes: dict[str, Any] = {"most_of_both_sides": most}
            if by == "share":
                notes["overlap"] = round(float(sum(weights)), 6)
            labels = named(keys)
            allocation = allocate(some, sizes, n, "error", labels)
            return Plan(allocation, labels if len(labels) <= NAMED else (), notes)

        return Strata(self.one, plan)


def _regions(pool: AnyPool, layer: str, label: str, other: str) -> LabelGroups:
    """Make groups 0 and 1 of the places of two labels."""
    sides = LabelGroups.of(pool, layer, (label, other))
    if label == other:
        raise WherefromError(f"label and other are both {label!r}: name two regions")
    return sides


def _matched_regions(
    pool: AnyPool, sides: LabelGroups, cells: Groups, label: str, other: str
) -> _Matched:
    """Count the cells of two regions."""
    matched = _Matched.of(pool, sides, cells)
    if not any(matched.shared("share")):
        raise WherefromError(
            f"{label!r} and {other!r} have nothing in common: no stratum has places of both; use "
            "coarser strata"
        )
    return matched


class EntropyMatched(StreamedSampler):
    """Places of one region with the distribution of spectral entropy that it shares with another.

    Control for Kaur et al. 2026 (arXiv 2604.21104), where entropy goes with performance but differs
    between regions. The entropy of both regions is cut into bins; each bin gives in proportion to
    the smaller of the two regions' shares of it. So this draw and the one with `label` and `other`
    exchanged have the same histogram: what differs between them is not entropy, to a bin's width.
    Simple random sampling without replacement within bins; places without a value are never drawn.

    Attributes
    ----------
    layer, label, other : str
        Layer or column, the label to draw from, and that to be alike.
    column : str
        Column or layer of numbers.
    bins : int
        Bins, about equally filled by both regions together.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> rows = {"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4, "side": ["a", "a", "b", "b"]}
    >>> pool = Pool.from_table(pa.table({**rows, "spectral_entropy": [1.0, 2.0, 2.0, 3.0]}))
    >>> draw(pool, "entropy-matched:layer=side,label=a,other=b", 1).ids.tolist()
    [1]
    """

    name: ClassVar[str] = "entropy-matched"
    layer: LayerName
    label: str
    other: str
    column: NumbersName = ENTROPY
    bins: int = Field(default=20, ge=1, le=500)

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Share n by what both regions have of each bin."""
        need_numbers(pool, self.column)
        sides = _regions(pool, self.layer, self.label, self.other)
        histogram = Histogram.of(pool, self.column, sides, STEPS)
        # Shares, so that the larger region does not decide where the edges are.
        shares = histogram.counts / histogram.counts.sum(axis=1, keepdims=True)
        below = np.cumsum(shares.mean(axis=0))
        cuts = np.searchsorted(below, np.arange(1, self.bins) / self.bins) + 1
        edges = histogram.edge(np.unique(cuts[cuts < STEPS]))
        bins = _Bins(self.column, edges)
        matched = _matched_regions(pool, sides, bins, self.label, self.other)
        written = ["-inf", *(f"{edge:.4g}" for edge in edges), "inf"]

        def named(keys: Ints) -> tuple[str, ...]:
            return tuple(f"{self.column} {written[k]} to {written[k + 1]}" for k in keys.tolist())

        return matched.strata(n, "share", f"{self.label!r} and {self.other!r}", named)


class GeographyMatchedRegions(StreamedSampler):
    """Places of one region with the mix of climate, land cover, ... that it shares with another.

    Control for Kaur et al. 2026 (arXiv 2604.21104): each combination of labels gives in proportion
    to the smaller of the two regions' shares of it. So this draw and the one with `label` and
    `other` exchanged have the same mix. Simple random sampling without replacement within
    combinations; places that lack one of the labels are never drawn.

    Attributes
    ----------
    of : {"regions"}
    layer, label, other : str
        Layer or column, the label to draw from, and that to be alike.
    over : tuple of str
        Layers or columns whose mix is to be the same; in a spec joined by ``+``.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> rows = {"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4, "side": ["a", "a", "b", "b"]}
    >>> pool = Pool.from_table(pa.table({**rows, "use": ["crop", "ice", "crop", "sand"]}))
    >>> regions = "geography-matched:of=regions,layer=side,label=a,other=b,over=use"
    >>> draw(pool, regions, 1).ids.tolist()
    [0]
    """

    name: ClassVar[str] = "geography-matched"
    of: Literal["regions"]
    layer: LayerName
    label: str
    other: str
    over: Names

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Share n by what both regions have of each combination."""
        crossed = Crossed.of(pool, self.over)
        sides = _regions(pool, self.layer, self.label, self.other)
        matched = _matched_regions(pool, sides, crossed, self.label, self.other)
        return matched.strata(n, "share", f"{self.label!r} and {self.other!r}", crossed.texts)


class GeographyMatchedHalves(StreamedSampler):
    """Places of high, or of low, spectral entropy with the same geography.

    Control for Kaur et al. 2026 (arXiv 2604.21104), where selection by entropy is a selection of
    regions as well. Each combination of labels is halved at its own median, found to 1/4096 of the
    column's range or as finely as memory allows, and gives in proportion to the smaller half. So
    the draws of both halves have the same places by combination, and differ in entropy. Simple
    random sampling without replacement within halves.

    Attributes
    ----------
    of : {"halves"}
    half : {"high", "low"}
    over : tuple of str
        Layers or columns that make the geography; in a spec joined by ``+``.
    column : str
        Column or layer of numbers.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> rows = {"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4, "side": ["a", "a", "b", "b"]}
    >>> pool = Pool.from_table(pa.table({**rows, "spectral_entropy": [1.0, 2.0, 5.0, 4.0]}))
    >>> draw(pool, "geography-matched:of=halves,half=high,over=side", 2).ids.tolist()
    [1, 2]
    """

    name: ClassVar[str] = "geography-matched"
    of: Literal["halves"]
    half: Literal["high", "low"]
    over: Names
    column: NumbersName = ENTROPY

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Share n by the smaller half of each combination."""
        need_numbers(pool, self.column)
        crossed = Crossed.of(pool, self.over)
        possible = math.prod(len(labels) for labels in crossed.labels)
        steps = max(64, min(STEPS, MOST_COUNTS // possible))
        histogram = Histogram.of(pool, self.column, crossed, steps)
        edges = histogram.at_least(0.5)
        halves = _Halves(crossed, self.column, histogram.keys, edges, self.half == "high")
        matched = _Matched.of(pool, halves, crossed)
        if not any(matched.shared("number")):
            raise WherefromError(
                f"no combination of {', '.join(self.over)} has places of high and of low "
                f"{self.column}: name fewer layers"
            )
        return matched.strata(n, "number", "the two halves", crossed.texts)


#: Classes of the sampler of that name, told apart by `of`.
GEOGRAPHY_MATCHED = (GeographyMatchedRegions, GeographyMatchedHalves)
