"""Striping: coordinates rounded to a lattice, and stripes of any period along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from wherefrom import keys
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import LEAST, RARE, Commands, Finding, kilometres, percent
from wherefrom.auditing.lattice import ALL_LAND, FINE, Ground, land_lattice, uniform_on_land
from wherefrom.auditing.statistic import SPACE, Statistic
from wherefrom.auditing.tally import Floats, Ints, Sums, Tally, counted_places
from wherefrom.pool.batches import Batch

__all__ = ["STEPS", "Period", "Rounded", "Striping", "StripingTally"]


#: Steps of the lattices looked for, degrees; 1 / 60 is a minute of arc.
STEPS = (1.0, 0.5, 0.25, 0.1, 1.0 / 60.0, 0.01)
#: A coordinate is on a lattice if it is so near, degrees: single precision at 180 loses 8e-6.
NEAR = 1e-5
#: Width of the bins of the histograms, degrees. Stripes of at least twice that are seen; finer
#: ones, if strong, may show under another period.
BIN = 0.002
#: Longest stripes looked for, degrees: longer ones are what continents are made of.
LONGEST = 5.0
#: Frequencies around one whose median power is what to expect of it.
WINDOW = 251
#: What longitudes and latitudes span, degrees.
_LON, _LAT = 360.0, 180.0
#: Coordinates on a lattice as coarse as this or coarser are named: 0.1 degrees is 11 km.
COARSE = 0.1
#: No larger multiple of a lattice is looked for, degrees.
_COARSEST = 45.0
#: Fewest places of which a period can be told.
FEWEST = 100


@dataclass(frozen=True)
class Rounded:
    """Coordinates that are multiples of a step in degrees: shares by longitude, latitude and both.

    `chance` is what each of `lon` and `lat` would be by chance; `both` its square.
    """

    step: float
    lon: float
    lat: float
    both: float
    chance: float


@dataclass(frozen=True)
class Period:
    """The most regular stripes along one axis.

    Attributes
    ----------
    axis : str
        ``"lon"`` or ``"lat"``.
    degrees : float
        Distance of the stripes; of several that are about as strong, the longest.
    amplitude : float
        Length of the mean of exp(2 pi i x / degrees): 0 no stripes, 1 all places at one phase.
    power : float
        Power there over what the frequencies around it have.
    p : float
        Chance of so large a power at any frequency without stripes.
    """

    axis: str
    degrees: float
    amplitude: float
    power: float
    p: float


@dataclass(frozen=True)
class Striping(Statistic):
    """Regularity of coordinates that land does not have.

    Attributes
    ----------
    rounded : tuple of Rounded
        One for each of `STEPS`; before them the coarsest multiple of the coarsest one that holds
        most places, if it holds most of them too.
    periods : tuple of Period
        Of longitude and of latitude; empty with fewer than `FEWEST` places.
    """

    name, section = "striping", SPACE

    rounded: tuple[Rounded, ...]
    periods: tuple[Period, ...]

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally of lattices and fine histograms."""
        return [StripingTally(asked.ground)]

    def rows(self) -> Sequence[Sequence[str]]:
        """Return the coarsest lattice that places lie on, if any."""
        return [
            (
                f"on a lattice of {rounded.step:g}°",
                percent(rounded.both),
                percent(rounded.chance**2),
                "both coordinates are multiples of it",
            )
            for rounded in self.rounded
            if rounded.both > 0.01
        ][:1]

    def findings(self, commands: Commands) -> list[Finding]:
        """Name the coarsest lattice that many coordinates lie on, else the strongest stripes."""
        for rounded in self.rounded:
            if rounded.step >= COARSE and rounded.both > 0.5:
                text = (
                    f"{percent(rounded.both)} of the places lie on a lattice of {rounded.step:g}° "
                    f"({kilometres(111.2 * rounded.step)} from south to north): coordinates were "
                    "rounded, or they are the nodes of a grid in degrees, denser towards the poles."
                )
                command = commands.even()
                return [Finding("rounded", rounded.both, text, command)]
        found = []
        for period in self.periods:
            if period.p >= RARE**2 or period.amplitude <= LEAST or period.degrees <= COARSE / 2:
                continue
            lines = "meridians" if period.axis == "lon" else "parallels"
            text = (
                f"Stripes: the places lie as if {percent(period.amplitude)} of them were on "
                f"{lines} {period.degrees:.3g}° apart."
            )
            spacing = max(1, round(111.2 * period.degrees))
            command = commands.draw(f"grid:spacing_km={spacing}", "grid")
            found.append(Finding(f"stripes-{period.axis}", period.amplitude, text, command))
        return found


class StripingTally(Sums):
    """Tally of coordinates on lattices, and fine histograms of longitude and latitude.

    Each place counts once, whatever its weight.
    """

    sums = ("_rows", "_on", "_lon", "_lat")

    def __init__(self, ground: Ground = ALL_LAND) -> None:
        self.ground = ground
        self._rows = 0
        self._on = np.zeros((len(STEPS), 3), dtype=np.int64)
        self._lon, self._lat = _counts(np.zeros(0), _LON), _counts(np.zeros(0), _LAT)

    def update(self, batch: Batch, weight: Floats | None = None) -> None:
        """Count the places of a batch."""
        lon, lat, _ = counted_places(batch, weight)
        self._rows += len(lon)
        for i, step in enumerate(STEPS):
            x, y = _on_lattice(lon, step), _on_lattice(lat, step)
            self._on[i] += [x.sum(), y.sum(), (x & y).sum()]
        self._lon += _counts(lon, _LON)
        self._lat += _counts(lat, _LAT)

    def result(self) -> Striping:
        """Tell rounding and the strongest stripes.

        Notes
        -----
        Without stripes a histogram's power at a frequency is exponentially distributed around
        what the frequencies next to it have (Fisher 1929's test for the largest periodogram
        ordinate, with the mean replaced by a running median). Where the land itself has a line,
        four times its power is expected; so stripes of an amplitude under 0.2 % are not seen.
        """
        assert self._rows, "no places were counted"
        rounded = tuple(
            Rounded(step, float(on[0]), float(on[1]), float(on[2]), 2.0 * NEAR / step)
            for step, on in zip(STEPS, self._on / self._rows, strict=True)
        )
        rounded = (*self._coarser(rounded), *rounded)
        if self._rows < FEWEST:
            return Striping(rounded, ())
        lon, lat = _land_waves(self.ground)
        return Striping(
            rounded,
            (_period("lon", self._lon, _LON, lon), _period("lat", self._lat, _LAT, lat)),
        )

    def _coarser(self, rounded: Sequence[Rounded]) -> list[Rounded]:
        """Find the largest multiple of the coarsest lattice of most places that holds most too."""
        fine = next((each for each in rounded if each.both > 0.5), None)
        if fine is None:
            return []
        spans = ((self._lon, _LON), (self._lat, _LAT))
        if min(np.count_nonzero(counts) for counts, _ in spans) < 2:  # a line has no lattice
            return []
        most = [_on_multiples(counts, span, fine.step) for counts, span in spans]
        for times in range(round(_COARSEST / fine.step), 1, -1):
            step = times * fine.step
            lost = [
                (of - _on_multiples(counts, span, step)) / self._rows
                for of, (counts, span) in zip(most, spans, strict=True)
            ]
            # Whatever is on the coarser lattice along both axes is at least so much.
            if (both := fine.both - sum(lost)) > 0.5:
                lon, lat = fine.lon - lost[0], fine.lat - lost[1]
                return [Rounded(step, lon, lat, both, 2.0 * NEAR / step)]
        return []


def _on_multiples(counts: Ints, span: float, step: float) -> int:
    """Count the places of a histogram within half a bin of the multiples of a step."""
    most = int(span / 2.0 / step + 1e-9)
    at = np.rint((np.arange(-most, most + 1) * step + span / 2.0) / BIN).astype(np.int64)
    return int(counts[np.unique(at % len(counts))].sum())


def _on_lattice(x: Floats, step: float) -> NDArray[np.bool_]:
    turns = x / step
    return np.asarray(np.abs(turns - np.rint(turns)) <= NEAR / step)


def _counts(degrees: Floats, span: float) -> Ints:
    """Count coordinates on a ring of bins: the north pole shares one with the south pole."""
    bins = round(span / BIN)
    # Centred on multiples of their width, where rounded coordinates lie.
    at = np.rint((degrees + span / 2.0) / BIN).astype(np.int64) % bins
    return np.bincount(at, minlength=bins)


def _waves(counts: Ints) -> Floats:
    """Amplitudes of all frequencies, as share of the places.

    Without the last one, of two bins: it has one degree of freedom instead of two.
    """
    return np.asarray(np.abs(np.fft.rfft(counts))[1:-1] / float(counts.sum()))


@lru_cache(maxsize=2)
def _land_waves(ground: Ground) -> tuple[Floats, Floats]:
    points = land_lattice(FINE, ground)
    lon, lat = points.lon, points.lat
    if ground.none:
        return np.zeros(1), np.zeros(1)
    if ground.within is not None:  # whose cells are stripes themselves
        lon, lat = uniform_on_land(FINE // 4, keys.generator("stripes of land", 0), ground)
    return _waves(_counts(lon, _LON)), _waves(_counts(lat, _LAT))


def _period(axis: str, counts: Ints, span: float, of_land: Floats) -> Period:
    """Find the strongest of all frequencies that no continent explains."""
    places = float(counts.sum())
    wave = _waves(counts)
    power = places * wave**2
    cycles = np.arange(1, len(power) + 1)
    around = median_filter(power, WINDOW, mode="reflect") / np.log(2.0)
    expected = np.maximum(around, 4.0 * places * of_land**2)
    looked = np.flatnonzero(span / cycles <= LONGEST)
    ratio = power[looked] / np.maximum(expected[looked], 1e-300)
    strong = np.flatnonzero(ratio >= ratio.max() / 2.0)
    # A lattice has all multiples of its frequency: the lowest of about equal height names it.
    first = strong[np.argmax(wave[looked[strong]] >= wave[looked[strong]].max() * 0.9)]
    at = int(looked[first])
    while at + 1 < len(wave) and wave[at + 1] > wave[at]:  # up the flank of a broad line
        at += 1
    largest = float(power[at] / max(expected[at], 1e-300))
    frequency, amplitude = _refined(counts, float(cycles[at]))
    return Period(
        axis,
        span / frequency,
        amplitude,
        largest,
        float(-np.expm1(len(looked) * np.log1p(-np.exp(-largest)))),
    )


def _refined(counts: Ints, cycles: float) -> tuple[float, float]:
    """Find the frequency between whole ones where the wave is largest, and its amplitude there.

    Stripes that do not fit the circle a whole number of times are up to 36 % larger than the
    nearest whole frequency tells.
    """
    at = np.flatnonzero(counts)
    turn, many = 2j * np.pi * at / len(counts), counts[at] / float(counts.sum())
    near = cycles + np.linspace(-0.5, 0.5, 21)
    size = [float(abs((many * np.exp(turn * f)).sum())) for f in near]
    best = int(np.argmax(size))
    return float(near[best]), size[best]
