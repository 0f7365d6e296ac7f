"""Region: whether the places are of one country, continent or box, and not of the whole land."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import Commands, Finding, degrees, percent
from wherefrom.auditing.lattice import land_lattice
from wherefrom.auditing.shares import ANTARCTICA
from wherefrom.auditing.statistic import SPACE, Statistic
from wherefrom.auditing.tally import Floats

__all__ = ["Region"]

#: A region holds at least this share of the places: a few may be astray.
MOST = 0.98
#: A box is a region if it has at most this share of the land; with a label of its own up to half.
BOX, LABEL = 0.25, 0.5
#: A continent is taken for the region if the box has at least this part of its land.
PART = 0.25
#: What a region may follow from.
CAUSE = ("colatitude", "swapped-axes", "sea", "zero-lon", "zero-lat")
#: Fewest places of which a region can be told.
FEWEST = 10
#: One point of the lattice of land in so many is looked up, for the share of a label.
ROUGHLY = 16


@dataclass(frozen=True)
class Region(Statistic):
    """The region that nearly all places lie in, judged by a sample; None if there is none.

    Attributes
    ----------
    layer, label : str
        The country or the continent that it is; empty for a box.
    share : float
        Share of the places in it.
    west, south, east, north : float
        Box, degrees, that holds 98 % of the places; one that crosses 180 degrees has west > east.
    land_share : float
        Share of the land in that box.
    """

    name, section, of_land = "region", SPACE, True

    layer: str
    label: str
    share: float
    west: float
    south: float
    east: float
    north: float
    land_share: float

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Self | None:
        """Look for the least box, and for a country or a continent of the same places."""
        lon, lat = asked.sample.lon, asked.sample.lat
        if len(lon) < FEWEST or asked.within is not None:
            return None
        south, north = _interval(lat)
        west, east = _arc(lon)
        land = land_lattice(ground=asked.ground)
        inside = _within(land.lon, land.lat, west, south, east, north)
        share = float(inside.mean())
        if share > LABEL:
            return None
        box = (west, south, east, north)
        for name in ("country", "continent"):
            layer = earth.layer(name)
            assert isinstance(layer, earth.Layer)
            codes = layer.codes(lon, lat)
            counts = np.bincount(codes[codes >= 0], minlength=1)
            most = int(counts.argmax())
            if counts[most] >= MOST * counts.sum() and counts[most] >= len(lon) / 2:
                if layer.labels[most] == ANTARCTICA and not asked.antarctica:
                    return None
                here = layer.codes(land.lon[::ROUGHLY], land.lat[::ROUGHLY]) == most
                if name == "continent" and share < PART * float(here.mean()):
                    break
                held = float(counts[most] / len(lon))
                return cls(name, layer.labels[most], held, *box, share)
        if share > BOX:
            return None
        return cls("", "", float(_within(lon, lat, *box).mean()), *box, share)

    def findings(self, commands: Commands) -> list[Finding]:
        """Say that the set is of a region, and how to compare it with the land of that region."""
        if not commands.by_land:
            return []
        land = f"{percent(self.land_share)} of the" if self.land_share else "hardly any"
        box = (
            f"{_between(self.south, self.north, 'SN')} and {_between(self.west, self.east, 'WE')}, "
            f"where {land} {commands.ground.noun} is"
        )
        share = "all" if self.share == 1.0 else percent(self.share) + " of the"
        where = f"in {self.label}, {percent(MOST)} of all " if self.label else ""
        rest = f"; the other {percent(1.0 - self.share)} are left out" if self.share < 1.0 else ""
        text = (
            f"Region: {share} places lie {where}{box}. Audited within it alone, they may be "
            f"clustered too{rest}."
        )
        command = commands.audit(*commands.named.options, "--within", self._named())
        return [Finding("region", self.share, text, command, may_follow=CAUSE)]

    def _named(self) -> str:
        """Name the region as ``--within`` takes it; a box in hundredths of a degree, outwards.

        A place at its corner makes no box, nor does a parallel: it gets a hundredth of width.
        """
        if self.label:
            return f"{self.layer}={self.label}"
        west, south = (np.floor(100 * at) / 100 for at in (self.west, self.south))
        east, north = (np.ceil(100 * at) / 100 for at in (self.east, self.north))
        if west == east:
            west, east = (west - 0.01, east + 0.01) if self.west <= self.east else (-180.0, 180.0)
        if south == north:
            south, north = south - 0.01, north + 0.01
        box = (max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0))
        return "box=" + ",".join(degrees(float(at)) for at in box)


def _interval(values: Floats) -> tuple[float, float]:
    """Return the shortest interval that holds `MOST` of the values."""
    held = int(np.ceil(MOST * len(values)))
    ordered = np.sort(values)
    at = int(np.argmin(ordered[held - 1 :] - ordered[: len(ordered) - held + 1]))
    return float(ordered[at]), float(ordered[at + held - 1])


def _arc(lon: Floats) -> tuple[float, float]:
    """Return west and east of the shortest arc that holds `MOST` of the longitudes."""
    held = int(np.ceil(MOST * len(lon)))
    ordered = np.sort(lon)
    twice = np.append(ordered, ordered + 360.0)
    at = int(np.argmin(twice[held - 1 : held - 1 + len(lon)] - ordered))
    east = float(twice[at + held - 1])
    return float(ordered[at]), east - 360.0 if east > 180.0 else east


def _within(
    lon: Floats, lat: Floats, west: float, south: float, east: float, north: float
) -> NDArray[np.bool_]:
    along = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
    return np.asarray(along & (lat >= south) & (lat <= north))


def _between(low: float, high: float, signs: str) -> str:
    """Say between which parallels or meridians, or on which."""
    low_said, high_said = _degrees(low, signs), _degrees(high, signs)
    return f"at {low_said}" if low_said == high_said else f"between {low_said} and {high_said}"


def _degrees(value: float, signs: str) -> str:
    return f"{abs(value):.1f}° {signs[value >= 0]}"
