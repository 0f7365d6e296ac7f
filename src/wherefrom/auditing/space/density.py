"""Density by cells of equal area, against the land in each: chi-square and dispersion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import chance, decimals, kilometres
from wherefrom.auditing.lattice import ALL_LAND, FINE, Ground, land_lattice
from wherefrom.auditing.statistic import SPACE, Statistic, plain
from wherefrom.auditing.tally import Floats, Sums, Tally, counted_places
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.pool.batches import Batch

__all__ = ["BANDS", "Cells", "CellsTally", "Densities", "Density"]


#: Bands of cells from pole to pole: cells of about 3,300, 1,100 and 280 km.
BANDS = (6, 18, 72)
#: Most bands of cells within a small extent: 11 km.
MOST_BANDS = 1817
#: Cells with fewer places expected, or fewer points of land, are put into one class.
FEW_PLACES, FEW_POINTS = 5.0, 10.0


@dataclass(frozen=True)
class Cells:
    """Places (their weights) and share of the land in each cell of ``EqualAreaCells(bands)``.

    Cells with neither are left out; their numbers ascend.
    """

    bands: int
    cell: tuple[int, ...]
    places: tuple[float, ...]
    land: tuple[float, ...]


@dataclass(frozen=True)
class Density:
    """Whether places lie in cells as the land does.

    Attributes
    ----------
    cell_km : float
        Root of the area of a cell.
    cells : int
        Cells with land or places.
    empty : int
        Cells with land and no place, of those where uniform places would leave none empty
        (at least 10 expected).
    chi2 : float
        Sum of squared deviations over their variances. With weights the places count as Kish's
        effective number of them.
    freedom : int
        Its degrees of freedom; cells with fewer than 5 places expected are one class.
    p : float
        Chance of so large a chi-square if places are uniform by area on land.
    dispersion : float or None
        chi2 / freedom: 1 by chance alone (less with far more than 10^7 places, where the error of
        the land areas, taken as its upper bound, rules); None if there is but one class.
    variation : float or None
        How much the density of places varies between cells: its coefficient of variation over
        land, less what chance gives; 0 if even, 1 if the standard deviation is the mean. It does
        not grow with the number of places. None if there is but one class.
    off_land : float
        Share of places in cells without land.
    """

    cell_km: float
    cells: int
    empty: int
    chi2: float
    freedom: int
    p: float
    dispersion: float | None
    variation: float | None
    off_land: float


@dataclass(frozen=True)
class Densities(Statistic):
    """Density in cells of three sizes, large to small, and the places in each of the small ones."""

    name, section, of_land = "density", SPACE, True

    sizes: tuple[Density, ...]
    cells: Cells

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally for each size."""
        ground = asked.ground
        sizes = dict.fromkeys(bands_on(ground, bands) for bands in BANDS)
        return [CellsTally(bands, ground) for bands in sizes]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[CellsTally]) -> Self:
        """Test each size."""
        return cls(tuple(tally.result() for tally in counted), counted[-1].table())

    def entries(self) -> dict[str, Any]:
        """Return the test of each size, and the cells beside them."""
        return {"density": plain(self.sizes), "cells": plain(self.cells)}

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row for each size, but where places are too few for it."""
        return [
            (
                f"cells of {kilometres(size.cell_km)}",
                f"χ²/f {decimals(size.dispersion, 2)}",
                "1",
                f"{size.empty:,} of {size.cells:,} cells empty where places are due; density "
                f"varies by {decimals(size.variation, 2)} of its mean; p {chance(size.p)}",
            )
            for size in self.sizes
            if size.dispersion is not None
        ]


class CellsTally(Sums):
    """Tally of places in cells of equal area, of so many bands from pole to pole."""

    sums = ("places", "_squares")

    def __init__(self, bands: int, ground: Ground = ALL_LAND) -> None:
        self.bands, self.ground = bands, ground
        self.places = np.zeros(cells_of(bands).count)
        self._squares = 0.0

    def update(self, batch: Batch, weight: Floats | None = None) -> None:
        """Count the places of a batch."""
        lon, lat, weights = counted_places(batch, weight)
        cell = cells_of(self.bands).cell(lon, lat)
        self.places += np.bincount(cell, weights=weights, minlength=len(self.places))
        self._squares += float(len(lon) if weights is None else (weights**2).sum())

    def table(self) -> Cells:
        """Return places and share of land per cell, for a map."""
        on_land = land_points(self.bands, self.ground)
        shown = np.flatnonzero((self.places > 0.0) | (on_land > 0.0))
        share = on_land / on_land.sum()
        return Cells(
            self.bands,
            tuple(shown.tolist()),
            tuple(self.places[shown].tolist()),
            tuple(share[shown].tolist()),
        )

    def result(self) -> Density:
        """Test the counts against the land.

        Notes
        -----
        Pearson's chi-square, with the error of the land areas added to the variances. Counted by
        m points of the lattice, an area is off by less than the root of
        (1 + sqrt(m)) / 2 + m / 200 points (root mean square over cells of every size, measured
        against a lattice 17 times as fine): for 280 km cells 1 %.
        """
        assert self._squares, "no places were counted"
        on_land = land_points(self.bands, self.ground)
        total, points = float(self.places.sum()), float(on_land.sum())
        effective = total**2 / self._squares
        observed = self.places * (effective / total)
        expected = on_land * (effective / points)
        used = (observed > 0.0) | (on_land > 0.0)
        # Variance of the lattice's points in a cell: far less than of points at random.
        of_area = (1.0 + np.sqrt(on_land)) / 2.0 + on_land / 200.0
        variance = np.where(used, expected + of_area * (effective / points) ** 2, 0)
        few = (expected < FEW_PLACES) | (on_land < FEW_POINTS)
        there = _pooled(expected, few)
        away = _pooled(observed, few) - there
        spread = _pooled(variance, few)
        classes = spread > 0.0
        statistic = float((away[classes] ** 2 / spread[classes]).sum())
        freedom = int(classes.sum()) - 1
        # What is left of the squared deviations without chance and the error of the areas.
        rest = (away[classes] ** 2 - spread[classes]) / there[classes].clip(FEW_PLACES)
        return Density(
            float(np.sqrt(cells_of(self.bands).area_km2)),
            int(used.sum()),
            int(((self.places == 0.0) & (expected >= 10.0)).sum()),
            statistic,
            freedom,
            float(chdtrc(freedom, statistic)) if freedom else 1.0,
            statistic / freedom if freedom else None,
            float(np.sqrt(max(rest.sum() / effective, 0.0))) if freedom else None,
            float(self.places[on_land == 0.0].sum()) / total,
        )


def bands_on(ground: Ground, bands: float) -> int:
    """Return the bands of cells that cut this land as so many cut all land, if not too fine."""
    return min(round(bands * ground.finer), MOST_BANDS)


@lru_cache(maxsize=8)
def cells_of(bands: int) -> EqualAreaCells:
    """Return the cells, made once."""
    return EqualAreaCells(bands)


@lru_cache(maxsize=8)
def land_points(bands: int, ground: Ground) -> Floats:
    """Count the points of the fine lattice of land in each cell; not to be written to."""
    points, cells = land_lattice(FINE, ground), cells_of(bands)
    return np.bincount(cells.cell(points.lon, points.lat), minlength=cells.count).astype(np.float64)


def _pooled(counts: Floats, few: NDArray[np.bool_]) -> Floats:
    """Put the counts of the cells with few into one class at the end."""
    return np.append(counts[~few], counts[few].sum())
