"""What a point pattern is compared with: the same number of places uniform by area on land."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wherefrom import parallel
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.lattice import ALL_LAND, Ground, uniform_on_land
from wherefrom.auditing.tally import Floats, Ints, canonical_places
from wherefrom.earth.sphere import arc_km, chord, unit_vectors

__all__ = [
    "Pattern",
    "RankTest",
    "pattern_of",
    "patterns",
    "radii_on",
    "rank_test",
    "simulate",
]


#: Places of a pattern, its first ones, among which far pairs are counted.
FAR = 1 << 10
#: Radii within which pairs are counted, km, in units of the ground: those up to 200 among all
#: places of a pattern.
RADII = (25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0)
_N_NEAR = 4
SIMULATIONS = 99


@dataclass(frozen=True, eq=False)
class Pattern:
    """Mean distance to the nearest other place, and share of the pairs within each radius."""

    nearest_km: float
    within: Floats


@dataclass(frozen=True, eq=False)
class RankTest:
    """A curve of R points against S simulated ones, all points at once; p is at least 1 / (S + 1).

    `mean` and `half` are of the simulations: their mean, and half the height of the global
    envelope, which holds a curve of the same kind entirely in 95 % of cases. `z` is the deviation
    of the observed curve from the mean, in standard deviations of one curve. Each has shape (R,).
    """

    p: float
    mean: Floats
    half: Floats
    z: Floats


def radii_on(ground: Ground) -> tuple[float, ...]:
    """Return the radii, km, within which pairs are counted on this land."""
    return tuple(round(km * ground.unit, 2) for km in RADII)


def pattern_of(lon: Floats, lat: Floats, radii: Sequence[float] = RADII) -> Pattern:
    """Measure distances among at least 2 places, degrees, shape (N,).

    They are in random order: far pairs are counted among the first `FAR`.
    """
    lon, lat = canonical_places(lon, lat)
    xyz = unit_vectors(lon, lat)
    tree = cKDTree(xyz)
    place, count = np.unique(lon + 1j * lat, return_counts=True)
    if len(place) == len(lon):
        nearest = float(arc_km(tree.query(xyz, k=2)[0][:, 1]).mean())
    else:
        nearest = _nearest_alone(place, count)
    within = np.concatenate(
        [_within(tree, radii[:_N_NEAR]), _within(cKDTree(xyz[:FAR]), radii[_N_NEAR:])]
    )
    return Pattern(nearest, within)


def patterns(asked: Asked) -> tuple[Pattern, list[Pattern]] | None:
    """Measure the sample of an audit and its simulations; None of fewer than 2 places."""
    sample = asked.sample
    if len(sample.lon) < 2:
        return None
    here = pattern_of(sample.lon, sample.lat, radii_on(asked.ground))
    return here, simulate(len(sample.lon), asked.rng, asked.ground)


def simulate(places: int, rng: np.random.Generator, ground: Ground = ALL_LAND) -> list[Pattern]:
    """Measure `SIMULATIONS` patterns of at least 2 places uniform by area on land."""
    radii = radii_on(ground)

    def one(own: np.random.Generator) -> Pattern:
        return pattern_of(*uniform_on_land(places, own, ground), radii)

    return list(parallel.here(one, rng.spawn(SIMULATIONS)))


def rank_test(observed: Floats, simulated: Sequence[Floats], level: float = 0.05) -> RankTest:
    """Test a curve (R,) against simulated ones by its largest deviation anywhere.

    The simulated curves are independent of each other; the envelope of `level` is exact if
    ``level * (S + 1)`` is a whole number.

    Notes
    -----
    Global envelope test with studentised maximum absolute deviation (Myllymaki, Mrkvicka,
    Grabarnik, Seijo and Hahn 2017, "Global envelope tests for spatial processes", J. R. Statist.
    Soc. B 79, 381-404): every curve is reduced to its largest deviation from the mean of the
    simulations, in their standard deviations, and the observed one is ranked among them. Each
    simulated curve is held against the others only, so that all are treated nearly alike.
    """
    x = np.stack(list(simulated))
    count = len(x)
    mean, sd = x.mean(axis=0), x.std(axis=0, ddof=1)
    sd = np.where(sd > 0.0, sd, np.inf)  # a radius that holds no pair of any simulation
    z = (observed - mean) / sd
    others = (x.sum(axis=0) - x) / (count - 1)
    # Variance without one value, from that with it.
    squares = ((x - mean) ** 2).sum(axis=0) - (x - mean) ** 2 * count / (count - 1)
    spread = np.sqrt(np.maximum(squares, 0.0) / (count - 2))
    away = np.abs(x - others) / np.where(spread > 0.0, spread, np.inf)
    largest = np.sort(away.max(axis=1))[::-1]
    above = int((largest >= np.abs(z).max()).sum())
    rank = max(int(np.floor(level * (count + 1))), 1)
    half = largest[rank - 1] * np.where(np.isfinite(sd), sd, 0.0)
    return RankTest((1 + above) / (count + 1), mean, half, z)


def _nearest_alone(place: NDArray[np.complex128], count: Ints) -> float:
    """Mean distance to the nearest other place, where some are given twice: theirs is 0.

    Asked of the tree, equal places would all be looked at for each of them.
    """
    if len(place) == 1:
        return 0.0
    xyz = unit_vectors(place.real, place.imag)
    near, _ = cKDTree(xyz).query(xyz[count == 1], k=2)
    return float(arc_km(near[:, 1]).sum()) / int(count.sum())


def _within(tree: cKDTree, radii: Sequence[float]) -> Floats:
    """Share of the pairs of different places within each radius."""
    pairs = tree.count_neighbors(tree, [chord(km) for km in radii])
    return np.asarray((pairs - tree.n) / (tree.n * (tree.n - 1.0)))
