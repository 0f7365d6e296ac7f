"""Samplers with strata: the labels of a layer, or equal-area cells."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from wherefrom.compose.allocate import Short, allocate
from wherefrom.compose.base import DesignSampler
from wherefrom.compose.design import Design
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool import Pool

__all__ = ["Stratified", "UniformArea"]


def _weights(value: object) -> object:
    """Read ``Africa:2;Asia:1``; the last colon counts, so that labels may hold one."""
    if not isinstance(value, str):
        return value
    read: dict[str, str] = {}
    for part in value.split(";"):
        label, _, weight = (word.strip() for word in part.rpartition(":"))
        if not label:
            raise ValueError(f"{part.strip()!r} is not LABEL:WEIGHT; write LABEL:WEIGHT;...")
        if label in read:
            raise ValueError(f"label {label!r} is given twice")
        read[label] = weight
    return read


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Stratified(DesignSampler):
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
    layer: str
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

    def layers(self) -> tuple[str, ...]:
        """Return the layer's name."""
        return (self.layer,)

    def design(self, pool: Pool, n: int, rng: np.random.Generator) -> Design:
        """Make a stratum of each label, in alphabetical order."""
        codes, labels = pool.codes(self.layer)
        sizes = np.bincount(codes[codes >= 0], minlength=len(labels))
        names = sorted(label for label, size in zip(labels, sizes, strict=True) if size)
        if not names:
            raise WherefromError(
                f"all strata are empty: no place of the pool has a label of layer {self.layer!r}"
            )
        if self.weights is not None:
            names = self._named(labels, names)
        at = [labels.index(name) for name in names]
        stratum = np.full(len(labels) + 1, -1, dtype=np.int32)
        stratum[at] = np.arange(len(at))
        counts = sizes[at]
        allocation = allocate(self._shares(names, counts), counts.tolist(), n, self.short, names)
        notes = {
            "without_label": int((codes < 0).sum()),
            "labels_without_place": [
                label for label, size in zip(labels, sizes, strict=True) if not size
            ],
        }
        return Design(stratum[codes], counts, allocation, tuple(names), notes=notes)

    def _named(self, labels: tuple[str, ...], present: list[str]) -> list[str]:
        assert self.weights is not None
        for label in self.weights:
            if label not in labels:
                raise unknown(f"label of layer {self.layer!r}:", label, labels)
        empty = [label for label, w in self.weights.items() if w and label not in present]
        if empty:
            raise WherefromError(
                f"the stratum is empty: no place of the pool has the label {empty[0]!r} of layer "
                f"{self.layer!r}; leave it out of the weights"
            )
        return sorted(label for label, weight in self.weights.items() if weight)

    def _shares(
        self, names: list[str], counts: np.ndarray[Any, np.dtype[np.int64]]
    ) -> list[Fraction | int]:
        if self.weights is not None:
            # By way of the decimal text: 0.1 means one tenth.
            return [Fraction(repr(self.weights[name])) for name in names]
        return [int(c) for c in counts] if self.allocation == "proportional" else [1] * len(names)


class UniformArea(DesignSampler):
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

    def design(self, pool: Pool, n: int, rng: np.random.Generator) -> Design:
        """Make a stratum of each cell that has places."""
        cells = EqualAreaCells(max(2, round(math.pi * EARTH_RADIUS_KM / self.cell_km)))
        _, codes, sizes = np.unique(
            cells.cell(pool.lon, pool.lat), return_inverse=True, return_counts=True
        )
        allocation = allocate([1] * len(sizes), sizes.tolist(), n, "redistribute")
        notes = {"cells": len(sizes), "cells_of_the_sphere": cells.count}
        return Design(codes.astype(np.int32), sizes, allocation, notes=notes)
