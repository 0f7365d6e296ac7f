"""Where the places lie: what a map of any number of them needs, gathered in one pass."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.drawing import OURS, WORLD, Drawing, colour_bar, fill_cells
from wherefrom.auditing.findings import (
    LEAST,
    SIGMAS,
    SPREAD,
    Commands,
    Finding,
    chance_tv,
    kilometres,
    percent,
)
from wherefrom.auditing.lattice import ALL_LAND, Ground, land_lattice
from wherefrom.auditing.space.density import bands_on, land_points
from wherefrom.auditing.statistic import Section, Statistic
from wherefrom.auditing.tally import Floats, Sums, Tally, counted_places, run
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.land import LAND_SHARE
from wherefrom.earth.maps import DOTS, Places, density, draw_density, draw_places, world_axes
from wherefrom.pool.batches import Batch

__all__ = ["MapTally", "PlacesMap", "bands_for"]

#: Places that a cell of land should hold on average, so that its ratio is more than noise.
PER_CELL = 25
#: Ratios beyond these have the darkest colour.
MOST = 8.0
#: Places that a cell must hold or be due to hold, so that its ratio is more than noise.
DUE = 5.0


def bands_for(places: int, ground: Ground = ALL_LAND) -> int:
    """Choose the bands of the cells: as fine as 25 places a cell of land allow, 330 to 2,200 km.

    Within an extent as many cells are on its land.

    >>> bands_for(100), bands_for(10_000), bands_for(10**9)
    (9, 34, 60)
    """
    bands = int(np.clip(np.sqrt(places / PER_CELL / LAND_SHARE * np.pi / 4), 9, 60))
    return bands_on(ground, bands)


@dataclass(frozen=True, eq=False)
class PlacesMap(Statistic):
    """Places as a map shows them.

    Attributes
    ----------
    lon, lat : ndarray of float64, shape (M,), or None
        All places, degrees, if they are few enough to be dots.
    squares : ndarray of float64, shape (273, 560)
        Places in each square of the world map (`wherefrom.earth.maps.density`).
    count : ndarray of float64, shape (cells,)
        Places in each cell, with repetition.
    reference : ndarray of float64, shape (cells,)
        Share of the reference in each cell.
    within : tuple of ndarray or None
        Points of the land of an extent, which the maps then show alone.
    effective : float
        Places that count as independent, (sum w)**2 / sum w**2.
    """

    name = "map"
    section = Section("maps", "Maps", "Maps")

    lon: Floats | None
    lat: Floats | None
    squares: Floats
    cells: EqualAreaCells
    count: Floats
    reference: Floats
    effective: float
    against: str = "land"
    within: Places | None = None

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return the tally of the map, as fine as the places allow."""
        places = len(asked.pool)
        if asked.seen.rows is not None and asked.seen.weights is not None:
            places = int((asked.seen.weights > 0.0).sum())
        return [MapTally(bands_for(places, asked.ground))]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[MapTally]) -> PlacesMap:
        """Put the places beside the reference in each cell."""
        (mapped,) = counted
        if isinstance(asked.against, str):
            there = land_points(mapped.n_bands, asked.ground)
        else:
            (other,) = run(asked.against, [MapTally(mapped.n_bands)])
            there = other.count
        found = mapped.result(there / max(there.sum(), 1.0), asked.beside)
        if asked.ground.within is None or asked.ground.none:
            return found
        land = land_lattice(ground=asked.ground)
        return replace(found, within=(land.lon, land.lat))

    @property
    def share(self) -> Floats:
        """Share of the places in each cell, shape (cells,)."""
        return np.asarray(self.count / max(float(self.count.sum()), 1.0))

    def entries(self) -> dict[str, Any]:
        """Return every cell that has places or a share of the reference."""
        used = np.flatnonzero((self.count > 0) | (self.reference > 0))
        columns = (*self.cells.centre(used), self.count[used], self.reference[used])
        cells = [
            {"lon": round(x, 4), "lat": round(y, 4), "places": n, "reference_share": share}
            for x, y, n, share in zip(*(column.tolist() for column in columns), strict=True)
        ]
        return {self.name: {"cell_km2": self.cells.area_km2, "cells": cells}}

    def findings(self, commands: Commands) -> list[Finding]:
        """Find whether places lie in cells as the land does, beyond chance; one finding or none."""
        mean, sd = chance_tv(self.reference, max(1, round(self.effective)))
        beyond = float(np.abs(self.share - self.reference).sum()) / 2 - mean
        if not commands.by_land or beyond <= max(LEAST, SIGMAS * sd):
            return []
        half = np.sort(self.share)[::-1].cumsum()
        cells = int(np.searchsorted(half, 0.5)) + 1
        land, noun = int((self.reference > 0).sum()), commands.ground.noun
        text = (
            f"Density: {percent(beyond)} of the places would have to lie in other cells of "
            f"{kilometres(self.cells.area_km2**0.5)} to be spread as the {noun} is. Half of the "
            f"places lie in {cells:,} cell{'s' * (cells != 1)}; {land:,} have {noun}."
        )
        command = commands.even()
        return [Finding("density", beyond, text, command, may_follow=SPREAD)]

    def drawings(self) -> list[Drawing]:
        """Return a map of the places, and one of where there are more or fewer than due."""
        said = (
            "Places in equal squares of about 60 km, on a logarithmic scale."
            if self.lon is None
            else "Every place is a dot."
        )
        places = Drawing(
            "places", "Where the places are", f"{said} Equal Earth projection.", self._draw_places,
            WORLD,
        )  # fmt: skip
        if not self.reference.any():
            return [places]
        size = kilometres(self.cells.area_km2**0.5)
        ratio = (
            f"Share of the places over the share of {self.against}, in equal-area cells {size} "
            f"wide. Orange: more places than {self.against} has; violet: fewer. Cells in which "
            f"fewer than {DUE:g} places are and would be expected are left out."
        )
        title = f"More or fewer than {self.against}"
        return [places, Drawing("ratio", title, ratio, self._draw_ratio, WORLD)]

    def glance(self) -> str:
        """Show the places on a small map."""
        small = Drawing("places", "", "", lambda ax: self._draw_places(ax, bar=False), (5.2, 2.55))
        data = base64.b64encode(small.png(100)).decode("ascii")
        return f"<img alt='map of the places' width='480' src='data:image/png;base64,{data}'>"

    def _draw_places(self, ax: Axes, bar: bool = True) -> None:
        """Draw dots, or the density of many places."""
        world_axes(ax, within=self.within)
        if self.lon is not None and self.lat is not None:
            size = min(6.0, max(0.8, 6000 / max(len(self.lon), 1)))
            draw_places(ax, self.lon, self.lat, color=OURS, size=size)
            return
        shades = draw_density(ax, self.squares, color=OURS)
        if bar:
            under = colour_bar(ax, shades, "places in a square")
            under.ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")

    def _draw_ratio(self, ax: Axes) -> None:
        total = float(self.count.sum())
        told = np.flatnonzero(np.maximum(self.count, self.reference * total) >= DUE)
        with np.errstate(divide="ignore"):
            ratio = np.clip(self.share[told] / self.reference[told], 1 / MOST, MOST)
        norm, legend = LogNorm(1 / MOST, MOST), f"times the share of {self.against}"
        bar = fill_cells(ax, self.cells.bounds(told), ratio, "PuOr_r", norm, legend, self.within)
        labels = ["≤ 1/8", "1/4", "1/2", "1", "2", "4", "≥ 8"]
        bar.set_ticks([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8], labels=labels)
        bar.minorticks_off()


class MapTally(Sums):
    """Gather what a map of the places needs, in equal-area cells of so many bands."""

    sums = ("count", "squares", "weights_squared")

    def __init__(self, n_bands: int) -> None:
        self.n_bands, self.cells = n_bands, EqualAreaCells(n_bands)
        self.count = np.zeros(self.cells.count)
        self.squares = density([], [])
        self.weights_squared = 0.0
        #: Places as (lon, lat) while they are few; None once they are not.
        self.few: list[Floats] | None = []

    def update(self, batch: Batch, weight: Floats | None = None) -> None:
        """Add a batch; `weight` is how often each place counts."""
        lon, lat, weight = counted_places(batch, weight)
        self.count += np.bincount(self.cells.cell(lon, lat), weight, minlength=self.cells.count)
        self.squares += density(lon, lat, weight)
        self.weights_squared += len(lon) if weight is None else float(weight @ weight)
        self._keep([np.stack([lon, lat])])

    def merge(self, other: Self) -> None:
        """Add what another tally gathered from later places."""
        super().merge(other)
        self._keep(other.few)

    def result(self, reference: Floats, against: str = "land") -> PlacesMap:
        """Return the map beside the reference's share of each cell, shape (cells,)."""
        lon, lat = (None, None) if self.few is None else np.concatenate(self.few, axis=1)
        effective = float(self.count.sum()) ** 2 / max(self.weights_squared, 1e-300)
        return PlacesMap(
            lon, lat, self.squares, self.cells, self.count, reference, effective, against
        )

    def _keep(self, places: list[Floats] | None) -> None:
        every = None if self.few is None or places is None else self.few + places
        many = every is None or sum(part.shape[1] for part in every) > DOTS
        self.few = None if many else every
