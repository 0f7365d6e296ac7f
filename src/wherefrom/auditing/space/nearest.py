"""Nearest neighbours: whether places are clustered, or more even than at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wherefrom.auditing.space.pattern import Pattern, rank_test
from wherefrom.auditing.space.plain import Result, number

__all__ = ["Nearest", "nearest_index"]


@dataclass(frozen=True)
class Nearest(Result):
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

    places: int
    nearest_km: float
    uniform_km: float
    index: float
    index_se: float
    z: float | None
    p: float
    simulations: int


def nearest_index(observed: Pattern, simulated: Sequence[Pattern], places: int) -> Nearest:
    """Compare the mean distance to the nearest neighbour with simulations.

    Parameters
    ----------
    observed : Pattern
    simulated : sequence of Pattern
        Of as many places uniform by area on land.
    places : int
        Of each pattern.

    Returns
    -------
    Nearest

    Notes
    -----
    Clark and Evans 1954, "Distance to nearest neighbor as a measure of spatial relationships in
    populations", Ecology 35, 445-453. The expectation comes from simulations instead of
    1 / (2 sqrt(density)), since coasts and islands lengthen distances.

    Examples
    --------
    >>> zero = np.zeros(9)
    >>> null = [Pattern(10.0 + 0.1 * i, zero) for i in range(-9, 10)]
    >>> found = nearest_index(Pattern(5.0, zero), null, 100)
    >>> round(found.index, 3), found.p
    (0.5, 0.05)
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
        number(test.z[0]),
        test.p,
        len(simulated),
    )
