"""Effective sample size: how many independent places the pool is worth, as neighbours are alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.spatial import cKDTree

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import LEAST, PAIRED, SIGMAS, Commands, Finding, kilometres, times
from wherefrom.auditing.lattice import ALL_LAND, Ground, uniform_on_land
from wherefrom.auditing.space.ripley import Ripley
from wherefrom.auditing.statistic import SPACE, Statistic, plain
from wherefrom.auditing.tally import ROWS, Floats, RowSample
from wherefrom.earth.sphere import arc_km, chord, unit_vectors

__all__ = ["JUDGED", "Effective", "EffectiveSize", "effective_size"]


#: Places among which pairs are looked at: more, if fewer do not tell to `ENOUGH`.
SIZES = (1 << 12, ROWS)
#: Standard error of the mean correlation, relative to it, that is good enough.
ENOUGH = 0.03
#: In units of the ground, km.
RANGES = (10.0, 100.0, 1000.0)
#: Pairs farther than so many ranges count as uncorrelated: exp(-20) = 2e-9.
CUT = 20.0
#: Groups of the sample, each left out once for the standard error.
GROUPS = 8
#: Number of the range at which clusters are judged, 100 km: about that of biomes' borders.
JUDGED = 1
#: Chance below which Ripley's test counts: it has 99 simulations and can say no less.
RARE_SIMULATED = 0.01
#: Land south of it is Antarctica's.
SOUTH = -60.0
#: The uniform control is itself known to some 2 %.
LEAST_EFFECTIVE = 0.05


@dataclass(frozen=True)
class EffectiveSize:
    """Effective sample size for one range of the correlation.

    Attributes
    ----------
    range_km : float
        Two places at distance d are taken to have correlation exp(-d / range_km).
    effective : float
        Number of independent places whose mean is known as well. In [1, N].
    se : float
        Standard error, from looking at pairs of a sample only; 0 if all pairs were looked at.
    uniform : float
        The same for as many places uniform by area on land (simulated, to about 2 %).
    share : float
        effective / uniform.
    """

    range_km: float
    effective: float
    se: float
    uniform: float
    share: float


@dataclass(frozen=True)
class Effective(Statistic):
    """Effective sample sizes for three ranges of the correlation; `ripley` tells of clusters.

    `rest` is the same without the places in Antarctica, where that is no land, and at coordinates
    of 0, if the places seem clustered with them; else None.
    """

    name, section, of_land = "effective", SPACE, True

    sizes: tuple[EffectiveSize, ...]
    ripley: Ripley | None
    rest: Effective | None = None

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Self:
        """Look at the pairs of the sample."""
        found = cls(effective_size(asked.sample, asked.rng, asked.ground), Ripley.of(asked, ()))
        lon, lat = asked.sample.lon, asked.sample.lat
        odd = (lon == 0.0) | (lat == 0.0) | ((lat < SOUTH) & (not asked.antarctica))
        if not found.lost or odd.mean() <= LEAST or (~odd).sum() < 2:
            return found
        return replace(found, rest=cls.of(asked.of(asked.sample.where(~odd)), ()))

    @property
    def lost(self) -> float:
        """Share of the independent places that clusters cost; 0 if they are within chance."""
        pattern, size = self.ripley, self._judged
        lost, noise = 1 - size.share, SIGMAS * size.se / max(size.uniform, 1)
        if pattern is None or not pattern.clustered or pattern.p > RARE_SIMULATED:
            return 0.0
        return lost if lost > LEAST_EFFECTIVE + noise else 0.0

    @property
    def _judged(self) -> EffectiveSize:
        return self.sizes[JUDGED]

    def entries(self) -> dict[str, Any]:
        """Return the sizes."""
        return {self.name: plain(self.sizes)}

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row for each range."""
        return [
            (
                f"effective number, {size.range_km:g} km",
                f"{size.effective:,.0f}",
                f"{size.uniform:,.0f}",
                "independent places that the mean of values with this range of correlation is "
                "worth",
            )
            for size in self.sizes
        ]

    def findings(self, commands: Commands) -> list[Finding]:
        """Find clusters that make the places worth fewer; one finding or none."""
        pattern, lost, size = self.ripley, self.lost, self._judged
        if not (commands.by_land and lost) or pattern is None:
            return []
        ratio, near = pattern.strongest_ratio, kilometres(pattern.strongest_km)
        text = (
            f"Clusters: there are pairs of places within {near}, where uniform places have none. "
            if ratio is None
            else f"Clusters: there are {times(ratio)} times as many pairs of places within {near} "
            "as uniform places have. "
        )
        text += (
            f"Where values are alike over {size.range_km:g} km, the places are worth "
            f"{size.effective:,.0f} independent ones; as many uniform places are "
            f"worth {size.uniform:,.0f}."
        )
        command = commands.even()
        explained = self.rest is not None and not self.rest.lost
        return [Finding("clusters", lost, text, command, may_follow=PAIRED, explained=explained)]


def effective_size(
    sample: RowSample, rng: np.random.Generator, ground: Ground = ALL_LAND
) -> tuple[EffectiveSize, ...]:
    """Effective sample size for correlations that fade over 10, 100 and 1000 km; see `Ground.unit`.

    `sample` is of at least one place, and its weights count; the uniform places that it is compared
    with are drawn by `rng`.

    Notes
    -----
    The variance of the weighted mean of values with correlation rho is that of
    ``(sum w)^2 / sum_ij w_i w_j rho_ij`` independent ones (Griffith 2005, "Effective geographic
    sample size in the presence of spatial autocorrelation", Annals of the AAG 95, 740-760). The
    best linear estimate of the mean is worth more, 1' R^-1 1 (Vallejos and Osorio 2014,
    "Effective sample size of spatial process models", Spatial Statistics 9, 66-92), but is not
    what training on all places weighs. exp(-d / L) is a valid correlation on the sphere (Gneiting
    2013, Bernoulli 19, 1327-1349). Of a sample, the mean correlation of pairs is estimated.
    """
    total, squares = sample.weight_sum, sample.weight_squares
    lon, lat = uniform_on_land(SIZES[-1], rng, ground)
    found = []
    for km in (round(ground.unit * km, 2) for km in RANGES):
        rho, rho_se = _estimate(sample.lon, sample.lat, sample.weight, km, sample.seen)
        # The control is a sample of all land: its mean correlation does not depend on its size.
        land_rho, _ = _estimate(lon, lat, np.ones(len(lon)), km, 1 << 62)
        effective = total**2 / (squares + (total**2 - squares) * rho)
        n = sample.effective
        uniform = n / (1.0 + (n - 1.0) * land_rho)
        se = effective**2 * (1.0 - squares / total**2) * rho_se
        found.append(EffectiveSize(km, effective, se, uniform, effective / uniform))
    return tuple(found)


def _estimate(
    lon: Floats, lat: Floats, weight: Floats, range_km: float, seen: int
) -> tuple[float, float]:
    """Mean correlation and its standard error, from as many places as that takes."""
    for size in SIZES:
        found = _mean_correlation(lon[:size], lat[:size], weight[:size], range_km, seen)
        if found[1] <= ENOUGH * found[0]:
            break
    return found


def _mean_correlation(
    lon: Floats, lat: Floats, weight: Floats, range_km: float, seen: int
) -> tuple[float, float]:
    """Weighted mean of exp(-d / range) over pairs of different rows, and its standard error."""
    groups = min(GROUPS, len(lon))
    if len(lon) < 2:
        return 0.0, 0.0
    # Classes of distance so narrow that a class's middle stands for it (to 0.1 %).
    farthest = float(arc_km(2.0))
    radii = np.geomspace(0.001 * range_km, min(CUT * range_km, farthest), 180)
    middle = (np.append(0.0, radii[:-1]) + radii) / 2.0
    rho = np.exp(-middle / range_km)
    rho[0] = 1.0  # up to 0.001 of the range
    chords = np.array([chord(km) for km in radii])
    xyz = unit_vectors(lon, lat)
    trees = [cKDTree(xyz[g::groups]) for g in range(groups)]
    weights = [weight[g::groups] for g in range(groups)]
    even = bool((weight == 1.0).all())
    sums = np.zeros((groups, groups))
    for a in range(groups):
        for b in range(a, groups):
            given = None if even else (weights[a], weights[b])
            pairs = trees[a].count_neighbors(trees[b], chords, weights=given, cumulative=False)
            sums[a, b] = sums[b, a] = float((pairs * rho).sum())
    own = np.array([float((w**2).sum()) for w in weights])
    heavy = np.array([float(w.sum()) for w in weights])
    # A row's pair with itself has correlation 1 and was counted.
    mean = (sums.sum() - own.sum()) / (heavy.sum() ** 2 - own.sum())
    if seen <= len(lon) or groups < GROUPS:
        return float(mean), 0.0
    without = np.zeros(groups)
    for g in range(groups):
        rest = np.arange(groups) != g
        all_pairs = heavy[rest].sum() ** 2 - own[rest].sum()
        without[g] = (sums[np.ix_(rest, rest)].sum() - own[rest].sum()) / all_pairs
    jackknife = (groups - 1) / groups * float(((without - without.mean()) ** 2).sum())
    return float(mean), float(np.sqrt(jackknife * (1.0 - len(lon) / seen)))
