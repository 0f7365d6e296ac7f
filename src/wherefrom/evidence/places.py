"""Test places are a sample: what scores would vary over other test places, and of which land.

A score speaks of a population of places only if its interval counts that the test places were
drawn. Two populations are told apart. On *this map* the test places of a region are independent
draws of its land. *Land not yet seen* is made of spatial blocks: neighbours are alike, so blocks
are drawn, not places, and the influences of a block's places are summed before they are squared
(Liang and Zeger, 1986; Cameron and Miller, 2015). Blocks must be several times as wide as scores
are alike; from then on the interval no longer grows with their size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.auditing.tally import canonical_places, first_rows
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.errors import WherefromError
from wherefrom.evidence.influence import measured, metrics_for
from wherefrom.evidence.scores import ALL_REGIONS, Key
from wherefrom.study.predictions import Saved
from wherefrom.tasks import Task

__all__ = [
    "MOST_KM",
    "Places",
    "Sample",
    "covariance",
    "population",
    "sampled",
    "trained_on",
    "units_of",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Larger blocks than these are continents.
MOST_KM = 5000.0


def units_of(task: Task, block_km: float | None = None) -> Ints:
    """Give the unit that each row of a task is drawn with: its place, or the block that holds it.

    Rows of one place (the same coordinates, or some 5 m apart) are one unit. Blocks are cells of
    equal area, about `block_km` wide and high.

    Returns
    -------
    (N,) int64 array

    Raises
    ------
    WherefromError
        If blocks are not 1 to 5,000 km wide.

    Examples
    --------
    >>> lon = np.array([10.0, 10.0, 10.1, 50.0])
    >>> task = Task("demo", lon, lon * 0, lon * 0, ("a",), lon * 0, ("x",), lon * 0, "demo")
    >>> units_of(task).tolist(), len(set(units_of(task, 500.0)))
    ([0, 0, 1, 2], 2)
    """
    if block_km is None:
        return np.asarray(first_rows(*canonical_places(task.lon, task.lat))[1], dtype=np.int64)
    if not 1 <= block_km <= MOST_KM:
        raise WherefromError(
            f"blocks of {block_km:g} km: give them a width of 1 to {MOST_KM:,.0f} km, several "
            "times as wide as neighbouring places are alike"
        )
    return EqualAreaCells(round(np.pi * EARTH_RADIUS_KM / block_km)).cell(task.lon, task.lat)


class Sample(NamedTuple):
    """Test places of one region: influences on K scores (K, T), units and weights (T,)."""

    influence: Floats
    unit: Ints
    weights: Floats | None = None


def covariance(samples: Sequence[Sample]) -> tuple[Floats, float] | None:
    """Return the covariance of K scores over the sampling of units, and its degrees of freedom.

    The scores are means over the regions. The factor B / (B - 1) for B units is applied in each
    region; a unit in two regions counts as one.

    Returns
    -------
    ((K, K) float64 array, float) or None
        The degrees of freedom are Satterthwaite's (1946) for units that count as their places do,
        less one: the number of units less one where all are equal. None where a region has a
        single unit, or there is less than one degree of freedom: nearly all places lie in one unit.

    Examples
    --------
    >>> influence = np.array([[0.1, -0.1, 0.1, -0.1]])
    >>> square, df = covariance([Sample(influence, np.arange(4))])
    >>> square.round(3).tolist(), round(df)
    ([[0.053]], 3)
    """
    scaled, units, shares = [], [], []
    for influence, unit, weights in samples:
        count = len(np.unique(unit))
        if count < 2:
            return None
        scaled.append(influence * (np.sqrt(count / (count - 1)) / len(samples)))
        units.append(unit)
        w = np.ones(len(unit)) if weights is None else weights
        shares.append(w / (w.sum() * len(samples)))
    _, at = np.unique(np.concatenate(units), return_inverse=True)
    rows = np.concatenate(scaled, axis=1)
    sums: Floats = np.stack([np.bincount(at, row) for row in rows]).astype(np.float64)
    square = np.bincount(at, np.concatenate(shares)) ** 2
    df = float(square.sum() ** 2 / (square**2).sum() - 1)
    return (sums @ sums.T, df) if df > 1 - 1e-9 else None


def population(block_km: float | None) -> str:
    """Say which places a score is about, in words that follow "about"."""
    if block_km is None:
        return "this map: other places of the same land, drawn as the test places were"
    return (
        f"land not yet seen: other blocks of about {block_km:,.0f} km, like those that were tested"
    )


def trained_on(task: Task) -> float:
    """Return the factor of influences where test places are trained on, too: 1 without folds.

    In a cross-validation other places also teach otherwise, and no estimate of that variance is
    unbiased (Bengio and Grandvalet, 2004). Theirs therefore counts twice: simulated intervals hold
    the truth in 96 to 98 of 100, and in 90 to 94 if it counts once.
    """
    return float(np.sqrt(2.0)) if task.folds else 1.0


@dataclass(frozen=True, eq=False)
class Places:
    """The influence of every test place on the mean score of every row; see `sampled`.

    Attributes
    ----------
    block_km : float or None
        Width of the blocks of land not yet seen; None for this map.
    """

    block_km: float | None
    _influence: dict[Key, dict[str, Floats]] = field(default_factory=dict, repr=False)
    _test: dict[tuple[str, str], Ints] = field(default_factory=dict, repr=False)
    _unit: dict[str, Ints] = field(default_factory=dict, repr=False)

    @property
    def population(self) -> str:
        """Which places a verdict is about, in words that follow "about"."""
        return population(self.block_km)

    def regions_of(self, *keys: Key) -> list[str]:
        """Return the regions in which all of some rows have test places, in their order."""
        own = [self._influence.get(key, {}) for key in keys]
        return [region for region in own[0] if all(region in other for other in own)]

    def influence(self, key: Key, region: str) -> tuple[Floats, Ints]:
        """Return the influences of the test places of a region, (T,), and their rows in the task.

        Raises
        ------
        KeyError
            If the row was not tested there.
        """
        return self._influence[key][region], self._test[key.task, region]

    def covariance(
        self, keys: Sequence[Key], region: str, among: Sequence[str] | None = None
    ) -> tuple[Floats, float] | None:
        """Return the covariance of the mean scores of rows, over the sampling of test places.

        Parameters
        ----------
        keys : sequence of Key
            K rows of one task: compositions and baselines.
        region : str
            A region, or `wherefrom.evidence.ALL_REGIONS` for the macro-average.
        among : sequence of str, optional
            The regions of the macro-average; by default all that every one of the rows has.

        Returns
        -------
        ((K, K) float64 array, float) or None
            Covariance and degrees of freedom (`covariance`). None where a row was not tested, or
            in a single unit, or the rows are of several tasks, whose places are others.
        """
        if not keys or len({key.task for key in keys}) > 1:
            return None
        regions = [region]
        if region == ALL_REGIONS:
            regions = self.regions_of(*keys) if among is None else list(among)
        if not regions or any(one not in self.regions_of(*keys) for one in regions):
            return None
        task = keys[0].task
        return covariance(
            [
                Sample(
                    np.stack([self._influence[key][one] for key in keys]),
                    self._unit[task][self._test[task, one]],
                )
                for one in regions
            ]
        )


def sampled(
    predictions: Iterable[Saved],
    block_km: float | None = None,
    metrics: Iterable[str] | None = None,
) -> Places:
    """Measure the influence of every test place on the mean score of every row of a study.

    The mean is over the runs (blocks) of the row, and over few-shot seeds. Predictions are read
    and measured on all cores.

    Parameters
    ----------
    predictions : iterable of Saved
        Those of a study's few-shot stages (`wherefrom.study.predictions.saved`).
    block_km : float, optional
        Width of the blocks of land not yet seen; by default verdicts are about this map.
    metrics : iterable of str, optional
        By default all.

    Raises
    ------
    WherefromError
        If blocks are not 1 to 5,000 km wide, or predictions are missing or do not fit each other.
    """
    names = None if metrics is None else frozenset(metrics)
    kept = Places(block_km)
    runs: dict[tuple[Key, str], int] = {}
    for one, found in parallel.here(partial(_measured, names=names), predictions):
        if one.task not in kept._unit:
            kept._unit[one.task] = units_of(one.places, block_km)
        for key, region, test, influence in found:
            rows = kept._test.setdefault((key.task, region), test)
            if not np.array_equal(rows, test):
                raise WherefromError(
                    f"task {key.task}, {region}: {one.folder} was tested on other places than "
                    "other rows; remove the store and run the study again"
                )
            own = kept._influence.setdefault(key, {})
            own[region] = own.get(region, 0.0) + influence
            runs[key, region] = runs.get((key, region), 0) + 1
    for (key, region), count in runs.items():
        kept._influence[key][region] /= count
    return kept


def _measured(
    one: Saved, names: frozenset[str] | None
) -> tuple[Saved, list[tuple[Key, str, Ints, Floats]]]:
    task, found = one.places, []
    known = metrics_for(task.label, task.positive)
    wanted = [metric for metric in known if names is None or metric in names]
    factor = trained_on(task)
    for region, n, predicted, test in one.regions():
        of_place = measured(predicted, task.label[test], wanted, task.positive)
        for metric, (_, influence) in of_place.items():
            key = Key(one.model, one.composition, one.task, n, one.head, metric)
            found.append((key, region, test, factor * influence))
    return one, found
