"""How many places there are, and of how many the sample is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.statistic import SPACE, Statistic, plain

__all__ = ["Counts"]


@dataclass(frozen=True)
class Counts(Statistic):
    """What the spatial statistics are of: rows with a weight above 0, and the sum of their weights.

    `sampled` are the places of the random sample behind some statistics; equal to `places` if these
    are exact.
    """

    name, section = "counts", SPACE

    places: int
    weight: float
    sampled: int
    antarctica: bool

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Self:
        """Tell the numbers of the sample."""
        sample = asked.sample
        return cls(sample.seen, sample.weight_sum, len(sample.lon), asked.antarctica)

    def entries(self) -> dict[str, Any]:
        """Return the numbers beside those of the other statistics."""
        entries: dict[str, Any] = plain(self)
        return entries
