"""Ripley's K and L on the sphere: the distances at which there are more pairs than at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.drawing import FAINT, GREY, OURS, Drawing, bare
from wherefrom.auditing.findings import chance, times
from wherefrom.auditing.lattice import ALL_LAND, Ground
from wherefrom.auditing.space.pattern import FAR, Pattern, patterns, radii_on, rank_test
from wherefrom.auditing.statistic import SPACE, Statistic
from wherefrom.auditing.tally import Floats

__all__ = ["Ripley", "ripley_l"]


@dataclass(frozen=True)
class Ripley(Statistic):
    """Ripley's L with an envelope of places uniform by area on land.

    Attributes
    ----------
    places, far_places : int
        Places of the pattern up to 200 km (less within a small extent), and beyond.
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

    name, section, of_land = "ripley", SPACE, True

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
    ground: Ground = field(default=ALL_LAND, repr=False)

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Ripley | None:
        """Compare the sample with simulations; None of fewer than 2 places."""
        measured = asked.once(patterns)
        if measured is None:
            return None
        return ripley_l(*measured, len(asked.sample.lon), asked.ground)

    @property
    def strongest_ratio(self) -> float | None:
        """The ratio at `strongest_km`."""
        return self.ratio[self.radii_km.index(self.strongest_km)]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the pairs within the radius of the largest deviation."""
        return [
            (
                f"Ripley's K, {self.strongest_km:g} km",
                f"{times(self.strongest_ratio)} ×",
                "1 ×",
                "pairs within the radius of the largest deviation; "
                f"p {chance(self.p)} for all radii",
            )
        ]

    def drawings(self) -> list[Drawing]:
        """Return Ripley's L over that of uniform places, with the envelope."""
        p = f"= {chance(self.p)}" if self.p >= 0.001 else chance(self.p)
        far = self.far_places < self.places
        caption = (
            "Ripley's L on the sphere over its mean for as many places uniform on "
            f"{self.ground.name}: above 1 there are more pairs within that distance. Grey: what "
            f"uniform places leave nowhere in {100 - 100 * self.level:.0f} % of cases "
            f"({self.simulations} simulations); p {p}. Of {self.places:,} places"
            + (f", beyond {self.radii_km[3]:g} km of {self.far_places:,}." if far else ".")
        )
        return [Drawing("ripley", "Clustering by distance", caption, self._draw)]

    def _draw(self, ax: Axes) -> None:
        bare(ax)
        radii, uniform = np.array(self.radii_km), np.array(self.uniform_km)
        known = uniform > 0
        radii, uniform = radii[known], uniform[known]
        low, high, ours = (
            np.array(curve)[known] / uniform for curve in (self.low_km, self.high_km, self.l_km)
        )
        line = np.where(ours > 0, ours, np.nan)
        label = f"uniform on {self.ground.name}"
        ax.fill_between(radii, np.maximum(low, 1e-3), high, color=FAINT, label=label)
        ax.axhline(1, color=GREY, lw=1)
        ax.plot(radii, line, "o-", color=OURS, lw=2, ms=4, label="places")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(radii, [f"{radius:,g}" for radius in radii])
        least = np.nanmin(np.append(ours[ours > 0], 1)) / 1.2
        ax.set_ylim(min(0.5, least), max(2.0, ours.max() * 1.2))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_xlabel("distance, km", size=9)
        ax.set_ylabel("L / L of uniform places", size=9)
        ax.legend(frameon=False, fontsize=9, loc="best")


def ripley_l(
    observed: Pattern, simulated: Sequence[Pattern], places: int, ground: Ground = ALL_LAND
) -> Ripley:
    """Compare Ripley's L of so many places with simulations, on the same land.

    Notes
    -----
    Ripley 1977, "Modelling spatial patterns", J. R. Statist. Soc. B 39, 172-212; on the sphere
    Robeson, Li and Huang 2014, "Point-pattern analysis on the sphere", Spatial Statistics 10,
    76-86: a cap of radius r has area pi * chord(r)^2, which makes the plane's formula exact with
    chords. Not corrected for coasts: the simulations have the same coasts.
    """
    level, area_km2, radii = 0.05, ground.area_km2, radii_on(ground)
    here = _l_km(observed.within, area_km2)
    test = rank_test(here, [_l_km(s.within, area_km2) for s in simulated], level)
    strongest = int(np.argmax(np.abs(test.z)))
    uniform = np.mean([s.within for s in simulated], axis=0)
    ratio = [float(o / u) if u else None for o, u in zip(observed.within, uniform, strict=True)]
    return Ripley(
        places,
        min(places, FAR),
        radii,
        tuple(here.tolist()),
        tuple(test.mean.tolist()),
        tuple(np.maximum(test.mean - test.half, 0.0).tolist()),
        tuple((test.mean + test.half).tolist()),
        tuple(ratio),
        test.p,
        level,
        radii[strongest],
        bool(test.z[strongest] > 0.0),
        len(simulated),
        ground,
    )


def _l_km(within: Floats, area_km2: float) -> Floats:
    return np.asarray(np.sqrt(within * area_km2 / np.pi))
