"""Latitude: how the places are spread from south to north, against the land."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.drawing import GREY, INK, OURS, Drawing, bare
from wherefrom.auditing.findings import LEAST, RARE, SPREAD, Commands, Finding, chance, percent
from wherefrom.auditing.lattice import ALL_LAND, FINE, Ground, land_lattice
from wherefrom.auditing.statistic import SPACE, Statistic
from wherefrom.auditing.tally import Floats, Ints, Sums, Tally, counted_places
from wherefrom.pool.batches import Batch

__all__ = ["STEP", "Latitude", "LatitudeTally"]


#: Height of a bin in degrees.
STEP = 0.1
_BINS = round(180.0 / STEP)
_EDGES = np.linspace(-90.0, 90.0, _BINS + 1)
#: Bins of the curve: one per degree.
_PER_DEGREE = round(1.0 / STEP)


@dataclass(frozen=True)
class Latitude(Statistic):
    """Places by latitude, against the area of land.

    Attributes
    ----------
    ks : float
        Kolmogorov-Smirnov statistic: the largest difference of the cumulative shares, taken at
        steps of `STEP` degrees. In [0, 1].
    ks_at : float
        Latitude of that difference, degrees.
    ks_more_south : bool
        Whether more of the places than of the land lie south of it.
    ks_south, ks_land_south : float
        Shares of the places and of the land that lie south of it.
    p : float
        Chance of so large a statistic if places are uniform by area on land. The lattice of land
        counts as a sample, so the test errs on the safe side.
    mean, land_mean : float
        Mean latitude of places and of land, degrees.
    shift : float
        mean - land_mean, degrees; north positive.
    shift_se : float
        Its standard error for as many places drawn independently.
    distance, land_distance : float
        Mean distance from the equator, degrees.
    latitude : tuple of float
        -90 to 90 in steps of 1 degree.
    south_of, land_south_of : tuple of float
        Cumulative shares of places and of land area up to each.
    """

    name, section, of_land = "latitude", SPACE, True

    ks: float
    ks_at: float
    ks_more_south: bool
    ks_south: float
    ks_land_south: float
    p: float
    mean: float
    land_mean: float
    shift: float
    shift_se: float
    distance: float
    land_distance: float
    latitude: tuple[float, ...]
    south_of: tuple[float, ...]
    land_south_of: tuple[float, ...]
    ground: Ground = field(default=ALL_LAND, repr=False)

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally of bins of latitude."""
        return [LatitudeTally(asked.ground)]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the test and the means."""
        more = "south" if self.ks_more_south else "north"
        meaning = (
            f"too many places {more} of {self.ks_at:.1f}°; mean {self.mean:.1f}°, of "
            f"{self.ground.name} {self.land_mean:.1f}°; p {chance(self.p)}"
        )
        return [("latitude (Kolmogorov-Smirnov)", f"{self.ks:.3f}", "", meaning)]

    def findings(self, commands: Commands) -> list[Finding]:
        """Find whether the places lie farther south or north than the land."""
        if not (commands.by_land and self.p < RARE and self.ks > LEAST):
            return []
        text = (
            f"Latitude: {percent(self.ks_south)} of the places and {percent(self.ks_land_south)} "
            f"of {self.ground.name} lie south of {_parallel(self.ks_at)}; the mean latitude of the "
            f"places is {_parallel(self.mean)}, that of {self.ground.name} "
            f"{_parallel(self.land_mean)}."
        )
        command = commands.even()
        return [Finding("latitude", self.ks, text, command, may_follow=SPREAD)]

    def drawings(self) -> list[Drawing]:
        """Return the cumulative shares of places and land from south to north."""
        p = f"= {chance(self.p)}" if self.p >= 0.001 else chance(self.p)
        caption = (
            f"Share of the places, and of the {self.ground.noun}'s area, south of each latitude. "
            f"Dashed: the largest difference (Kolmogorov-Smirnov), p {p}."
        )
        return [Drawing("latitude", "Latitude", caption, self._draw)]

    def _draw(self, ax: Axes) -> None:
        bare(ax)
        ax.plot(self.latitude, 100 * np.array(self.land_south_of), color=GREY, lw=2.2)
        ax.plot(self.latitude, 100 * np.array(self.south_of), color=OURS, lw=2.2)
        at = int(np.argmin(np.abs(np.array(self.latitude) - self.ks_at)))
        pair = [100 * self.south_of[at], 100 * self.land_south_of[at]]
        ax.plot([self.latitude[at]] * 2, pair, color=INK, lw=1.2, ls=(0, (3, 2)))
        ax.annotate(
            percent(self.ks), (self.latitude[at], sum(pair) / 2), xytext=(-5, 0), ha="right",
            textcoords="offset points", va="center", size=9,
        )  # fmt: skip
        ax.legend([self.ground.name, "places"], frameon=False, fontsize=9, loc="upper left")
        ax.set_ylim(0, 101)
        there = np.flatnonzero(np.diff(self.land_south_of))
        south, north = self.latitude[there[0]], self.latitude[there[-1] + 1]
        if north - south > 100:
            ax.set_xlim(-62, 85)
            ax.set_xticks(range(-60, 90, 30), ["60° S", "30° S", "0°", "30° N", "60° N"])
        else:
            ax.set_xlim(south - 1, north + 1)
            ax.xaxis.set_major_formatter(lambda lat, _: f"{abs(lat):g}° {'N' if lat >= 0 else 'S'}")
        ax.set_ylabel("% south of it", size=9)


def _parallel(degrees: float) -> str:
    return f"{abs(degrees):.1f}° {'N' if degrees >= 0 else 'S'}"


class LatitudeTally(Sums):
    """Tally of places in bins of latitude."""

    sums = ("_places", "_sums")

    def __init__(self, ground: Ground = ALL_LAND) -> None:
        self.ground = ground
        self._places = np.zeros(_BINS)
        self._sums = np.zeros(4)  # of w^2, w * lat, w * |lat|, w * lat^2

    def update(self, batch: Batch, weight: Floats | None = None) -> None:
        """Count the places of a batch."""
        _, lat, weights = counted_places(batch, weight)
        self._places += np.bincount(_bin(lat), weights=weights, minlength=_BINS)
        w = np.ones(len(lat)) if weights is None else weights
        # No dot products: their last digits depend on the threads of the machine.
        self._sums += [each.sum() for each in (w * w, w * lat, w * np.abs(lat), w * lat**2)]

    def result(self) -> Latitude:
        """Compare with the land."""
        from scipy.stats import kstwo  # slow to import

        total = float(self._places.sum())
        assert total > 0.0, "no places were counted"
        mean, distance, square = self._sums[1:] / total
        on_land, land_mean, land_distance = _land_bins(self.ground)
        points = float(on_land.sum())
        here = np.append(0.0, np.cumsum(self._places)) / total
        there = np.append(0.0, np.cumsum(on_land)) / points
        at = int(np.argmax(np.abs(here - there)))
        ks = float(abs(here[at] - there[at]))
        effective = total**2 / float(self._sums[0])
        both = effective * points / (effective + points)
        return Latitude(
            ks,
            float(_EDGES[at]),
            bool(here[at] > there[at]),
            float(here[at]),
            float(there[at]),
            float(kstwo.sf(ks, max(round(both), 1))),
            float(mean),
            land_mean,
            float(mean - land_mean),
            float(np.sqrt(max(square - mean**2, 0.0) / effective)),
            float(distance),
            land_distance,
            tuple(_EDGES[::_PER_DEGREE].round().tolist()),
            tuple(here[::_PER_DEGREE].tolist()),
            tuple(there[::_PER_DEGREE].tolist()),
            self.ground,
        )


def _bin(lat: Floats) -> Ints:
    return np.minimum((lat + 90.0) / STEP, _BINS - 1).astype(np.int64)


@lru_cache(maxsize=2)
def _land_bins(ground: Ground) -> tuple[Floats, float, float]:
    """Points of the fine lattice in each bin, their mean latitude and distance from the equator."""
    lat = land_lattice(FINE, ground).lat
    counts = np.bincount(_bin(lat), minlength=_BINS).astype(np.float64)
    return counts, float(lat.mean()), float(np.abs(lat).mean())
