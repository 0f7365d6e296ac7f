"""Region: whether the places are of one country, continent or box, and not of the whole land."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import Commands, Finding, percent
from wherefrom.auditing.lattice import land_lattice
from wherefrom.auditing.shares import ANTARCTICA
from wherefrom.auditing.statistic import SPACE, Statistic
from wherefrom.auditing.tally import Floats
from wherefrom.compose import spec_text

__all__ = ["Region"]

#: A region holds at least this share of the places: a few may be astray.
MOST = 0.98
#: A box is a region if it has at most this share of the land; with a label of its own up to half.
BOX, LABEL = 0.25, 0.5
#: A continent is taken for the region if the box has at least this part of its land.
PART = 0.25
#: Fewest places of which a region can be told.
FEWEST = 10
#: Places of the region that a set is compared with, and of the pool they are drawn from.
COMPARED, BUILT = 10_000, 2_000_000
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
    land_share, label_share : float
        Share of the land in that box, and in that country or continent (roughly; without one that
        of the box); at least one point of the lattice of land.
    """

    name, section = "region", SPACE

    layer: str
    label: str
    share: float
    west: float
    south: float
    east: float
    north: float
    land_share: float
    label_share: float

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Self | None:
        """Look for the least box, and for a country or a continent of the same places."""
        lon, lat = asked.sample.lon, asked.sample.lat
        if len(lon) < FEWEST:
            return None
        south, north = _interval(lat)
        west, east = _arc(lon)
        land = land_lattice(antarctica=asked.antarctica)
        inside = _within(land.lon, land.lat, west, south, east, north)
        share = max(float(inside.mean()), 1.0 / len(land))
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
                whole = max(float(here.mean()), share)
                if name == "continent" and share < PART * whole:
                    break
                held = float(counts[most] / len(lon))
                return cls(name, layer.labels[most], held, *box, share, whole)
        if share > BOX:
            return None
        return cls("", "", float(_within(lon, lat, *box).mean()), *box, share, share)

    def findings(self, commands: Commands) -> list[Finding]:
        """Say that the set is of a region, and how to compare it with the land of that region."""
        if not commands.by_land:
            return []
        box = (
            f"between {_degrees(self.south, 'SN')} and {_degrees(self.north, 'SN')} and between "
            f"{_degrees(self.west, 'WE')} and {_degrees(self.east, 'WE')}, where "
            f"{percent(self.land_share)} of the land is"
        )
        share = "all" if self.share == 1.0 else percent(self.share) + " of the"
        where = f"in {self.label}, {percent(MOST)} of them " if self.label else ""
        text = (
            f"Region: {share} places lie {where}{box}. The command compares them with places "
            "uniform on the land of that region."
        )
        built = min(round(COMPARED / self.label_share), BUILT)
        build = ["wherefrom", "pool", "build", "--places", str(built), "--out", "land.parquet"]
        audit = commands.audit(*commands.named.options, "--against", "region.parquet")
        command = " && ".join([shlex.join(build), self._drawn(), audit])
        return [Finding("region", self.share, text, command, may_follow=("swapped-axes",))]

    def _drawn(self) -> str:
        """Write the command that takes the places of the region out of ``land.parquet``."""
        if self.label:
            spec = {"name": "only", "layer": self.layer, "label": self.label, "short": "cap"}
            words = ["draw", "land.parquet", "--sampler", spec_text(spec), "-n", str(COMPARED)]
            return shlex.join(["wherefrom", *words, "--places", "--out", "region.parquet"])
        lat = f'("lat", ">=", {self.south:.4f}), ("lat", "<=", {self.north:.4f})'
        west, east = f'("lon", ">=", {self.west:.4f})', f'("lon", "<=", {self.east:.4f})'
        rows = f"[{west}, {east}, {lat}]"
        if self.west > self.east:
            rows = f"[[{west}, {lat}], [{east}, {lat}]]"
        code = (
            "import pyarrow.parquet as pq; pq.write_table(pq.read_table("
            f'"land.parquet", filters={rows}), "region.parquet")'
        )
        return shlex.join(["python", "-c", code])


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


def _degrees(value: float, signs: str) -> str:
    return f"{abs(value):.1f}° {signs[value >= 0]}"
