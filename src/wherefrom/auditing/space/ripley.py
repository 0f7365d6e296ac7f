"""Ripley's K and L on the sphere: the distances at which there are more pairs than at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wherefrom.auditing.space.pattern import FAR, RADII, Pattern, rank_test
from wherefrom.auditing.space.plain import Result

__all__ = ["Ripley", "ripley_l"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ripley(Result):
    """Ripley's L with an envelope of places uniform by area on land.

    Attributes
    ----------
    places, far_places : int
        Places of the pattern up to 200 km, and beyond.
    radii_km : tuple of float
    l_km : tuple of float
        sqrt(K(r) / pi), with K(r) the land's area times the share of pairs within r. For a
        pattern uniform over the whole sphere that is the chord under r, to be exact, so nearly r;
        places on land have fewer neighbours, at sea, so it is less.
    uniform_km, low_km, high_km : tuple of float
        Mean of the simulations and their global envelope: uniform places leave it anywhere in
        5 % of cases.
    ratio : tuple of float or None
        Pairs within r over what uniform places have: K / K_uniform; None if those have none.
    p : float
        Of the test of all radii at once; 1 / (simulations + 1) at least.
    level : float
        Of the envelope.
    strongest_km : float
        Radius of the largest deviation.
    clustered : bool
        Whether there are more pairs than at random, there.
    simulations : int
    """

    places: int
    far_places: int
    radii_km: tuple[float, ...]
    l_km: tuple[float, ...]
    uniform_km: tuple[float, ...]
    low_km: tuple[float, ...]
    high_km: tuple[float, ...]
    ratio: tuple[float | None, ...]
    p: float
    level: float
    strongest_km: float
    clustered: bool
    simulations: int


def ripley_l(
    observed: Pattern, simulated: Sequence[Pattern], places: int, area_km2: float
) -> Ripley:
    """Compare Ripley's L with simulations.

    Parameters
    ----------
    observed : Pattern
    simulated : sequence of Pattern
        Of as many places uniform by area on land.
    places : int
        Of each pattern.
    area_km2 : float
        Area of the land.

    Returns
    -------
    Ripley

    Notes
    -----
    Ripley 1977, "Modelling spatial patterns", J. R. Statist. Soc. B 39, 172-212; on the sphere
    Robeson, Li and Huang 2014, "Point-pattern analysis on the sphere", Spatial Statistics 10,
    76-86: a cap of radius r has area pi * chord(r)^2, which makes the plane's formula exact with
    chords. Not corrected for coasts: the simulations have the same coasts.

    Examples
    --------
    >>> null = [Pattern(1.0, np.linspace(0.1, 0.9, 9) + 0.001 * i) for i in range(-9, 10)]
    >>> found = ripley_l(Pattern(1.0, np.linspace(0.2, 0.9, 9)), null, 100, 1e6)
    >>> found.strongest_km, found.clustered, round(found.ratio[0], 3)
    (25.0, True, 2.0)
    """
    level = 0.05
    here = _l_km(observed.within, area_km2)
    test = rank_test(here, [_l_km(s.within, area_km2) for s in simulated], level)
    strongest = int(np.argmax(np.abs(test.z)))
    uniform = np.mean([s.within for s in simulated], axis=0)
    ratio = [float(o / u) if u else None for o, u in zip(observed.within, uniform, strict=True)]
    return Ripley(
        places,
        min(places, FAR),
        RADII,
        tuple(here.tolist()),
        tuple(test.mean.tolist()),
        tuple(np.maximum(test.mean - test.half, 0.0).tolist()),
        tuple((test.mean + test.half).tolist()),
        tuple(ratio),
        test.p,
        level,
        RADII[strongest],
        bool(test.z[strongest] > 0.0),
        len(simulated),
    )


def _l_km(within: Floats, area_km2: float) -> Floats:
    return np.asarray(np.sqrt(within * area_km2 / np.pi))
