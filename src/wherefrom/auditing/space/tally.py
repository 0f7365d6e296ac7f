"""All spatial statistics of a pool, from one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wherefrom.auditing.space.autocorrelation import EffectiveSize, effective_size
from wherefrom.auditing.space.cells import BANDS, Cells, CellsTally, Density
from wherefrom.auditing.space.coverage import Coverage, CoverageTally
from wherefrom.auditing.space.duplicates import Duplicates, DuplicatesTally
from wherefrom.auditing.space.land import land
from wherefrom.auditing.space.latitude import Latitude, LatitudeTally
from wherefrom.auditing.space.nearest import Nearest, nearest_index
from wherefrom.auditing.space.pattern import NEAR, pattern_of, simulate
from wherefrom.auditing.space.plain import Result
from wherefrom.auditing.space.ripley import Ripley, ripley_l
from wherefrom.auditing.space.sample import RowSample
from wherefrom.auditing.space.striping import Striping, StripingTally
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import Ask, Batch

__all__ = ["Space", "SpaceTally"]


@dataclass(frozen=True)
class Space(Result):
    """How the places of a pool lie on the Earth, against places uniform by area on land.

    Attributes
    ----------
    places : int
        Places counted: rows with a weight above 0.
    weight : float
        Sum of their weights.
    sampled : int
        Places of the random sample behind `nearest`, `ripley` and `effective`; equal to `places`
        if these are exact.
    antarctica : bool
        Whether Antarctica counts as land.
    coverage : Coverage
        Exact over all places, weights or not.
    density : tuple of Density
        For cells of three sizes, large to small; weighted.
    cells : Cells
        Places and land per small cell, for a map; weighted.
    latitude : Latitude
        Weighted.
    striping : Striping
    duplicates : Duplicates
    nearest : Nearest or None
        None with fewer than 2 places.
    ripley : Ripley or None
        None with fewer than 2 places.
    effective : tuple of EffectiveSize
        For three ranges of the correlation; weighted.
    """

    places: int
    weight: float
    sampled: int
    antarctica: bool
    coverage: Coverage
    density: tuple[Density, ...]
    cells: Cells
    latitude: Latitude
    striping: Striping
    duplicates: Duplicates
    nearest: Nearest | None
    ripley: Ripley | None
    effective: tuple[EffectiveSize, ...]


class SpaceTally:
    """Tally of everything that the spatial statistics need of a pool.

    Parameters
    ----------
    antarctica : bool
        Whether Antarctica counts as land; pools built here leave it out.

    Examples
    --------
    >>> from wherefrom.auditing.space.land import uniform_on_land
    >>> tally = SpaceTally()
    >>> tally.update(Batch(0, *uniform_on_land(500, np.random.default_rng(0))))
    >>> space = tally.result(np.random.default_rng(1))
    >>> space.places, 0.9 < space.nearest.index < 1.1, space.ripley.p > 0.01
    (500, True, True)
    """

    ask = Ask()

    def __init__(self, antarctica: bool = False) -> None:
        self.antarctica = antarctica
        self._sample = RowSample(NEAR)
        self._coverage = CoverageTally(antarctica)
        self._density = tuple(CellsTally(bands, antarctica) for bands in BANDS)
        self._latitude = LatitudeTally(antarctica)
        self._striping = StripingTally(antarctica)
        self._duplicates = DuplicatesTally(antarctica)

    def update(self, batch: Batch, weight: NDArray[np.float64] | None = None) -> None:
        """Count the places of a batch whose weight is above 0.

        Parameters
        ----------
        batch : Batch
            Coordinates within [-180, 180] and [-90, 90].
        weight : ndarray of float64, shape (B,), optional
            How often each place counts; default once.

        Raises
        ------
        WherefromError
            If the land layer cannot be had.
        ValueError
            If a coordinate is not a place.
        """
        self._sample.update(batch, weight)
        self._coverage.update(batch, weight)
        for density in self._density:
            density.update(batch, weight)
        self._latitude.update(batch, weight)
        self._striping.update(batch, weight)
        self._duplicates.update(batch, weight)

    def merge(self, other: Self) -> None:
        """Take in what another tally counted on the places that follow."""
        self._sample.merge(other._sample)
        self._coverage.merge(other._coverage)
        for mine, theirs in zip(self._density, other._density, strict=True):
            mine.merge(theirs)
        self._latitude.merge(other._latitude)
        self._striping.merge(other._striping)
        self._duplicates.merge(other._duplicates)

    def result(self, rng: np.random.Generator) -> Space:
        """Sum up, and compare with simulated places uniform by area on land.

        Parameters
        ----------
        rng : numpy.random.Generator
            For the simulations.

        Returns
        -------
        Space

        Raises
        ------
        WherefromError
            If no place was counted.
        """
        sample = self._sample
        if not sample.seen:
            raise WherefromError("there are no places to audit: every row has weight 0")
        n = len(sample.lon)
        nearest = ripley = None
        if n > 1:
            here = pattern_of(sample.lon, sample.lat)
            controls = simulate(n, rng, self.antarctica)
            nearest = nearest_index(here, controls, n)
            ripley = ripley_l(here, controls, n, land(self.antarctica).area_km2)
        return Space(
            sample.seen,
            sample.weight_sum,
            n,
            self.antarctica,
            self._coverage.result(sample.seen, rng),
            tuple(density.result() for density in self._density),
            self._density[-1].table(),
            self._latitude.result(),
            self._striping.result(),
            self._duplicates.result(),
            nearest,
            ripley,
            effective_size(sample, rng, self.antarctica),
        )
