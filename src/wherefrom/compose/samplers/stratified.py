"""Samplers with strata: labels of a layer, combinations of several layers', equal-area cells."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from wherefrom.compose.allocate import Short, allocate
from wherefrom.compose.base import LayerName, Names, StreamedSampler
from wherefrom.compose.spec import split_outside_quotes, unquoted
from wherefrom.compose.strata import (
    LISTED,
    NAMED,
    Crossed,
    Groups,
    Ints,
    LabelGroups,
    Plan,
    Strata,
)
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool.batches import AnyPool, Batch

__all__ = ["Balanced", "CellGroups", "Stratified", "UniformArea"]


def _weights(value: object) -> object:
    """Read ``Africa:2;Asia:1``; the last colon counts, so that labels may hold one."""
    if not isinstance(value, str):
        return value
    read: dict[str, str] = {}
    for part in split_outside_quotes(value, ";"):
        label, _, weight = (word.strip() for word in part.rpartition(":"))
        if not label:
            raise ValueError(f"{part.strip()!r} is not LABEL:WEIGHT; write LABEL:WEIGHT;...")
        label = unquoted(label)
        if label in read:
            raise ValueError(f"label {label!r} is given twice")
        read[label] = weight
    return read


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Stratified(StreamedSampler):
    """Simple random sampling without replacement within each label of a layer.

    Strata are the labels that occur in the pool; places without a label are never drawn. Shares
    that are not whole numbers are rounded at random, up or down, so that inclusion probabilities
    are exact. By continent and by biome: Purohit et al. 2025 (arXiv 2501.12535).

    Attributes
    ----------
    layer : str
        Layer or column of the pool.
    allocation : {"equal", "proportional", "custom"}
        The same number of places from each stratum; in proportion to its places in the pool; or in
        proportion to `weights`.
    weights : dict of str to float, optional
        Label -> weight, e.g. ``Africa:2;Asia:1``; strata that are not named are not drawn.
    short : {"error", "cap", "redistribute", "repeat"}
        What to do with strata that have fewer places than asked.
    """

    name: ClassVar[str] = "stratified"
    layer: LayerName
    allocation: Literal["equal", "proportional", "custom"] = "equal"
    weights: Annotated[dict[str, Weight], BeforeValidator(_weights)] | None = None
    short: Short = "error"

    @model_validator(mode="before")
    @classmethod
    def _weights_mean_custom(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("weights") and "allocation" not in given:
            return {**given, "allocation": "custom"}
        return given

    @model_validator(mode="after")
    def _weights_if_custom(self) -> Self:
        if (self.allocation == "custom") != bool(self.weights):
            raise ValueError("allocation=custom and weights=LABEL:WEIGHT;... go together")
        if self.weights and not sum(self.weights.values()):
            raise ValueError("at least one weight must be above 0")
        return self

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        shares = "weighted" if self.weights else self.allocation
        return f"in {shares} shares by {self.layer}".replace("_", " ")

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Share n out by the labels' weights, in alphabetical order of the labels."""
        labels = pool.labels(self.layer)
        for label in self.weights or ():
            if label not in labels:
                raise unknown(f"label of layer {self.layer!r}:", label, labels)
        by_name = sorted(labels)

        def plan(keys: Ints, sizes: Ints) -> Plan:
            names = [by_name[key] for key in keys]
            if not names:
                raise WherefromError(
                    "all strata are empty: no place of the pool has a label of layer "
                    f"{self.layer!r}"
                )
            shares, present = self._shares(names, sizes), set(names)
            notes = {
                "without_label": len(pool) - int(sizes.sum()),
                "labels_without_place": [label for label in labels if label not in present],
            }
            allocation = allocate(shares, sizes, n, self.short, names)
            if len(names) > LISTED:
                return Plan(allocation, notes={**notes, "strata_not_listed": len(names)})
            return Plan(allocation, tuple(names), notes)

        return Strata(LabelGroups.of(pool, self.layer, by_name), plan)

    def _shares(self, names: list[str], sizes: Ints) -> list[Fraction | int] | Ints:
        if self.weights is None:
            return sizes if self.allocation == "proportional" else np.ones_like(sizes)
        empty = [label for label, weight in self.weights.items() if weight and label not in names]
        if empty:
            raise WherefromError(
                f"the stratum is empty: no place of the pool has the label {empty[0]!r} of layer "
                f"{self.layer!r}; leave it out of the weights"
            )
        # By way of the decimal text: 0.1 means one tenth.
        return [Fraction(repr(self.weights.get(name, 0.0))) for name in names]


class Balanced(StreamedSampler):
    """Equally many places from each combination of labels of several layers that occurs.

    Simple random sampling without replacement within each combination, such as continent x biome x
    land cover. Dynamic World (Brown et al. 2022, doi 10.1038/s41597-022-01307-4), whose places
    Presto was pre-trained on, draws by region, biome and land cover. Places that lack one of the
    labels are never drawn.

    Attributes
    ----------
    over : tuple of str
        Layers or columns; in a spec joined by ``+``.
    short : {"error", "cap", "redistribute", "repeat"}
        What to do with combinations that have fewer places than asked.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> use, wet = ["a", "a", "a", "b"], ["yes", "yes", "no", "no"]
    >>> table = pa.table({"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4, "use": use, "wet": wet})
    >>> draw(Pool.from_table(table), "balanced:over=use+wet", 3).inclusion_probability.tolist()
    [0.5, 1.0, 1.0]
    """

    name: ClassVar[str] = "balanced"
    over: Names
    short: Short = "error"

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        return f"in equal shares by {' and '.join(self.over)}".replace("_", " ")

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Share n equally among the combinations that occur."""
        crossed = Crossed.of(pool, self.over)

        def plan(keys: Ints, sizes: Ints) -> Plan:
            if not len(keys):
                raise WherefromError(
                    "all strata are empty: no place of the pool has a label of each of "
                    f"{', '.join(self.over)}"
                )
            texts = crossed.texts(keys)
            allocation = allocate(np.ones_like(sizes), sizes, n, self.short, texts)
            notes = {"combinations": len(keys)}
            return Plan(allocation, texts if len(texts) <= NAMED else (), notes)

        return Strata(crossed, plan)


class UniformArea(StreamedSampler):
    """Inverse density on equal-area cells: every occupied cell is expected to give the same number.

    A place's probability is proportional to 1 / (places of the pool in its cell), at most 1; what
    a cell with too few places cannot give is shared among the others. It undoes the bias of a pool
    by latitude or by region, as proposed for S2-100K (microsoft/satclip issue 11). A cell counts
    whole however much sea is in it, so a pool on land gives coasts and islands more than their
    share of land: smaller cells do so less, but must still hold several places each.

    Attributes
    ----------
    cell_km : float
        Side of a cell, km.
    """

    name: ClassVar[str] = "uniform-area"
    cell_km: float = Field(default=200.0, ge=10, le=5000)

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        return "even by area"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Strata:
        """Share n evenly among the cells that have places."""
        groups = CellGroups(max(2, round(math.pi * EARTH_RADIUS_KM / self.cell_km)))

        def plan(keys: Ints, sizes: Ints) -> Plan:
            notes = {"cells": len(sizes), "cells_of_the_sphere": groups.cells.count}
            return Plan(allocate(np.ones_like(sizes), sizes, n, "redistribute"), notes=notes)

        return Strata(groups, plan)


class CellGroups(Groups):
    """Equal-area cells of some bands."""

    def __init__(self, bands: int) -> None:
        self.cells = EqualAreaCells(bands)

    def keys(self, batch: Batch) -> Ints:
        """Find the cells."""
        return self.cells.cell(batch.lon, batch.lat)
