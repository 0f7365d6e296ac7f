"""Baselines: features that nobody has to pre-train."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import unknown
from wherefrom.gfms.base import Modality
from wherefrom.gfms.published import Published
from wherefrom.tasks.task import Predicts

if TYPE_CHECKING:
    from wherefrom.gfms.places import Places, TaskData

__all__ = ["BASELINES", "Baseline", "baseline", "features", "is_baseline"]

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Baseline:
    """Features of labelled places without any pre-training of the study.

    Attributes
    ----------
    name : str
    features : callable, or None
        `Places` to (N, D) float32.
    reads : set of str
        Modalities of the places.
    width : int
        Numbers of a place, about: what heads cost.
    predicts : {"classes", "numbers"}, optional
        Of a baseline without features: the tasks that it goes with; others go with all.
    """

    name: str
    features: Callable[[Places], Features] | None
    reads: frozenset[Modality] = frozenset()
    width: int = 2
    predicts: Predicts | None = None

    @property
    def blind(self) -> bool:
        """Whether it has no features: only heads that look at none go with it."""
        return self.features is None


def _coordinates(places: Places) -> Features:
    return np.stack([places.lon, places.lat], axis=1).astype(np.float32)


def _harmonics(places: Places, degrees: int) -> Features:
    import torch

    from wherefrom.models.harmonics import SphericalHarmonics

    lon, lat = (torch.from_numpy(np.array(values)) for values in (places.lon, places.lat))
    values: Features = SphericalHarmonics(degrees)(lon, lat, torch.float32).numpy()
    return values


def _of_harmonics(degrees: int) -> Baseline:
    name, features = f"raw-harmonics-L{degrees}", partial(_harmonics, degrees=degrees)
    return Baseline(name, features, width=degrees**2)


def _series(places: Places) -> Features:
    from wherefrom.pool.series.flat import raw_series

    return raw_series(places.series())


def _features(places: Places) -> Features:
    return places.features()


_OF_SERIES: frozenset[Modality] = frozenset({"series"})
_HARMONICS = re.compile(r"raw-harmonics-L([1-9]\d*)")
#: By name; the harmonics of any L go by the same form of name.
BASELINES = {
    one.name: one
    for one in (
        Baseline("raw-lonlat", _coordinates),
        _of_harmonics(10),
        _of_harmonics(40),
        Baseline("raw-series", _series, _OF_SERIES),
        Baseline("raw-features", _features, frozenset({"features"}), width=512),
        Baseline("majority", None, predicts="classes"),
        Baseline("mean", None, predicts="numbers"),
    )
}


def baseline(name: str) -> Baseline:
    """Look a baseline up; of an unknown one the error names the nearest."""
    if name in BASELINES:
        return BASELINES[name]
    if found := _HARMONICS.fullmatch(name):
        return _of_harmonics(int(found[1]))
    raise unknown("baseline", name, BASELINES)


def is_baseline(name: str) -> bool:
    """Tell whether a baseline has this name."""
    return name in BASELINES or _HARMONICS.fullmatch(name) is not None


@lru_cache(maxsize=1)
def features(of: Baseline | Published, data: TaskData, split: str = "reported") -> Features:
    """Return the features of a task's places, (N, D) float32, read-only.

    Of published rows, which may cost, those of a split alone (`TaskData.described`). A worker
    keeps those of its last row. Where heads look at no feature, coordinates serve as well as any.
    """
    if isinstance(of, Published):
        return data.described(of.features, split)
    values = (of.features or _coordinates)(data.places())
    values.flags.writeable = False  # many heads look at it
    return values
