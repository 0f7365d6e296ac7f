"""Several layers at once: each combination of their labels is a stratum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer

from wherefrom.compose.base import Reads
from wherefrom.compose.strata import Strata
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch

__all__ = ["NAMED", "Crossed", "Names"]

#: Combinations up to here are named on the card.
NAMED = 2000


def _split(value: object) -> object:
    if isinstance(value, str):
        value = value.split("+")
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError("give names joined by +, such as continent+biome")
    names = tuple(name.strip() for name in value)
    if not all(names):
        raise ValueError("a name is empty: give names joined by +, such as continent+biome")
    if any("+" in name for name in names):
        raise ValueError("a name holds a +, which joins names: rename that column")
    if len(set(names)) < len(names):
        raise ValueError("a name is given twice")
    return names


#: Names of layers or columns of labels: ``continent+biome`` in a spec, a list in Python.
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    PlainSerializer("+".join, return_type=str),
    Reads("layers"),
]


@dataclass
class Crossed(Strata):
    """The combinations of the labels of several layers; a place without one of them is never drawn.

    Attributes
    ----------
    names : tuple of str
        Layers or columns.
    labels : tuple of tuple of str
        Labels of each.

    Examples
    --------
    >>> crossed = Crossed(("use", "belt"), (("crop", "grass"), ("dry", "wet", "cold")))
    >>> codes = {"use": np.array([0, 1, -1], np.int32), "belt": np.array([2, 0, 0], np.int32)}
    >>> keys = crossed.keys(Batch(0, np.zeros(3), np.zeros(3), codes=codes))
    >>> keys.tolist(), crossed.texts(keys[:2])
    ([2, 3, -1], ('crop / cold', 'grass / dry'))
    """

    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        self.ask = Ask(codes=self.names)

    @classmethod
    def of(cls, pool: AnyPool, names: tuple[str, ...]) -> Crossed:
        """Cross layers or columns of a pool.

        Raises
        ------
        WherefromError
            If one is unknown or has no labels, or there are too many combinations to number.
        """
        labels = tuple(pool.labels(name) for name in names)
        for name, some in zip(names, labels, strict=True):
            if not some:
                raise WherefromError(
                    f"all strata are empty: no place of the pool has a label of layer {name!r}"
                )
        if math.prod(len(some) for some in labels) >= 2**62:
            raise WherefromError(f"{'+'.join(names)} have too many combinations: name fewer")
        return cls(names, labels)

    def keys(self, batch: Batch) -> NDArray[np.int64]:
        """Return the number of every place's combination, -1 where a layer has no label."""
        key = np.zeros(len(batch), dtype=np.int64)
        missing = np.zeros(len(batch), dtype=bool)
        for name, labels in zip(self.names, self.labels, strict=True):
            codes = batch.codes[name]
            missing |= codes < 0
            key = key * len(labels) + codes
        key[missing] = -1
        return key

    def counts(self, pool: AnyPool) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Take the counts of a single layer where the pool knows them."""
        known = pool.counts(self.names[0]) if len(self.names) == 1 else None
        if known is None:
            return None
        keys = np.flatnonzero(known)
        return keys, known[keys]

    def codes(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        """Return the code of each layer, one array of shape (H,) per layer, of combinations."""
        found = []
        rest = keys
        for labels in reversed(self.labels):
            rest, code = np.divmod(rest, len(labels))
            found.append(code)
        return tuple(reversed(found))

    def texts(self, keys: NDArray[np.int64]) -> tuple[str, ...]:
        """Name combinations, such as ``Africa / Mangroves``; shape (H,)."""
        columns = zip(*(code.tolist() for code in self.codes(keys)), strict=True)
        return tuple(
            " / ".join(labels[code] for labels, code in zip(self.labels, row, strict=True))
            for row in columns
        )
