"""Nearest neighbours: whether places are clustered, or more even than at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import chance
from wherefrom.auditing.space.pattern import Pattern, patterns, rank_test
from wherefrom.auditing.statistic import SPACE, Statistic

__all__ = ["Nearest", "nearest_index"]


@dataclass(frozen=True)
class Nearest(Statistic):
    """Index of Clark and Evans on the sphere, against places uniform by area on land.

    Attributes
    ----------
    places : int
        Places of the pattern: all of the pool, or a random sample. Of a sample the index tells
        clustering at the sample's own scale (`uniform_km`), so pools of any size compare.
    nearest_km : float
        Mean distance to the nearest other place.
    uniform_km : float
        The same of as many uniform places: mean over the simulations, coasts and all.
    index : float
        nearest_km / uniform_km: 1 uniform, less clustered (0 if every place is given twice), more
        regular (about 2.15 at most).
    index_se : float
        Standard deviation of the index of uniform places.
    z : float or None
        (index - 1) / index_se.
    p : float
        Two-sided, by rank among the simulations; 1 / (simulations + 1) at least.
    simulations : int
    """

    name, section, of_land = "nearest", SPACE, True

    places: int
    nearest_km: float
    uniform_km: float
    index: float
    index_se: float
    z: float | None
    p: float
    simulations: int
    #: Places of the pool.
    total: int = field(default=0, repr=False)

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Nearest | None:
        """Compare the sample with simulations; None of fewer than 2 places."""
        measured = asked.once(patterns)
        if measured is None:
            return None
        index = nearest_index(*measured, len(asked.sample.lon))
        return replace(index, total=asked.sample.seen)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the index."""
        how = "neither" if self.p >= 0.05 else "clustered" if self.index < 1 else "regular"
        meaning = f"below 1 clustered, above 1 regular; {how}, p {chance(self.p)}"
        if self.places < self.total:
            meaning += f"; of a sample of {self.places:,}"
        return [
            ("nearest-neighbour index", f"{self.index:.3g}", f"1 ± {self.index_se:.2g}", meaning)
        ]


def nearest_index(observed: Pattern, simulated: Sequence[Pattern], places: int) -> Nearest:
    """Compare the mean distance to the nearest neighbour of so many places with simulations.

    Notes
    -----
    Clark and Evans 1954, "Distance to nearest neighbor as a measure of spatial relationships in
    populations", Ecology 35, 445-453. The expectation comes from simulations instead of
    1 / (2 sqrt(density)), since coasts and islands lengthen distances.
    """
    test = rank_test(np.array([observed.nearest_km]), [np.array([s.nearest_km]) for s in simulated])
    mean = float(test.mean[0])
    sd = float(np.std([s.nearest_km for s in simulated], ddof=1))
    return Nearest(
        places,
        observed.nearest_km,
        mean,
        observed.nearest_km / mean,
        sd / mean,
        float(test.z[0]) if np.isfinite(test.z[0]) else None,
        test.p,
        len(simulated),
    )
