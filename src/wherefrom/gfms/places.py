"""What a GFM can read of places: of those of a composition, and of the labelled ones of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.keys import canonical
from wherefrom.payload.base import NAMES, Lost, Modality, Payload, Records, Sought
from wherefrom.payload.earth import EarthSeries
from wherefrom.payload.stored import Images, Stored, gathered, moments
from wherefrom.pool import Pool
from wherefrom.pool.series import PixelSeries
from wherefrom.tasks.labelled import SERIES, TASK
from wherefrom.tasks.task import Task

__all__ = ["SCALED", "Held", "Places", "PoolPlaces", "TaskData", "TaskPlaces", "task_data"]

Floats = NDArray[np.float64]
#: Where each modality is read: from records that were kept, or from the payload itself.
Held = Mapping[Modality, Stored | Payload]

#: Places whose records tell mean and spread of a payload that is not kept.
SCALED = 8192

_OF_THE_EARTH: Held = MappingProxyType({"series": EarthSeries(kind="earth-series")})


class Places(Protocol):
    """N places, and what there is to read of them."""

    @property
    def lon(self) -> Floats:
        """Longitudes, degrees, shape (N,)."""

    @property
    def lat(self) -> Floats:
        """Latitudes, degrees, shape (N,)."""

    def series(self) -> PixelSeries:
        """Read their pixel series, row by row."""

    def features(self) -> NDArray[np.float32]:
        """Read the numbers that describe them, (N, F)."""

    def images(self) -> Images:
        """Give images of them, (N, C, H, W), which are read when they are indexed."""

    def scales(self, modality: Modality) -> Floats:
        """Read two rows (2, F) that have mean and spread of the pool's features, or channels."""


@dataclass(frozen=True)
class PoolPlaces:
    """Places of the pool, candidates of pre-training; all of them have what is `held`.

    With `reads`, what it does not name is refused.
    """

    pool: Pool
    rows: NDArray[np.int64]
    held: Held = field(default_factory=lambda: _OF_THE_EARTH)
    reads: frozenset[str] | None = None

    @property
    def lon(self) -> Floats:
        """Longitudes, degrees."""
        return self.pool.lon[self.rows]

    @property
    def lat(self) -> Floats:
        """Latitudes, degrees."""
        return self.pool.lat[self.rows]

    def series(self) -> PixelSeries:
        """Read the series."""
        return PixelSeries(**self._records("series"))

    def features(self) -> NDArray[np.float32]:
        """Read the features."""
        return self._records("features")["features"].astype(np.float32)

    def images(self) -> Images:
        """Give the images."""
        held = self._of("images")
        if isinstance(held, Stored):
            return held.images(self.rows)
        values = self._records("images")["images"]
        every = np.arange(len(values))
        return Images(values.__getitem__, every, values.shape[1:], values.dtype, held.bands)

    def scales(self, modality: Modality) -> Floats:
        """Read mean minus spread, and mean plus spread, of the pool's features, or channels.

        Of a payload that is not kept, they are those of `SCALED` places from all parts of the pool.
        """
        held = self._of(modality)
        if isinstance(held, Stored):
            mean, std = held.moments
        elif modality == "series":
            raise WherefromError(f"{modality} of payload {held.kind!r} are not kept: no scale is")
        else:
            mean, std = _moments(self.pool, held)
        return np.stack([mean - std, mean + std])

    def _of(self, modality: Modality) -> Stored | Payload:
        if self.reads is not None and modality not in self.reads:
            # No key would tell of it.
            raise WherefromError(
                f"{modality} are read, but not declared: name them in `reads`, or in "
                "`reads_of_tasks` for labelled places"
            )
        if modality not in self.held:
            raise WherefromError(f"these places have no {modality}")
        return self.held[modality]

    def _records(self, modality: Modality) -> Records:
        held = self._of(modality)
        if isinstance(held, Stored):
            return held.take(self.rows)
        return _read(held, Sought(self.pool.ids[self.rows], self.lon, self.lat))


#: Those of the last pool and payload of a worker.
_MOMENTS: dict[tuple[Pool, str], tuple[Floats, Floats]] = {}


def _moments(pool: Pool, payload: Payload) -> tuple[Floats, Floats]:
    """Return mean and spread of each column of a payload, the same for all compositions."""
    key = pool, canonical(payload.settings())
    if key not in _MOMENTS:
        rows = np.linspace(0, len(pool) - 1, min(SCALED, len(pool))).astype(np.int64)
        sought = Sought(pool.ids[rows], pool.lon[rows], pool.lat[rows])
        _MOMENTS.clear()
        _MOMENTS[key] = moments(_read(payload, sought)[NAMES[payload.modality][0]])
    return _MOMENTS[key]


def _read(payload: Payload, places: Sought) -> Records:
    """Read a payload that every place has."""
    there, records = gathered(payload, places, lost := Lost())
    if not there.all():
        raise WherefromError(f"payload {payload.kind!r} lacks places ({lost}): it must be kept")
    return records


@dataclass(frozen=True)
class TaskData:
    """A task in the store, read when it is asked for; two are equal if they lie in one place.

    `folders` are of the stages that hold records of its places, by modality; without one, series
    are the task's own.
    """

    folder: Path
    folders: tuple[tuple[Modality, tuple[Path, ...]], ...] = ()

    @cached_property
    def task(self) -> Task:
        """The labelled places."""
        return Task.read(self.folder / TASK)

    @cached_property
    def held(self) -> Mapping[Modality, Stored]:
        """The records of its places."""
        return {modality: Stored(modality, paths) for modality, paths in self.folders}

    @cached_property
    def series(self) -> PixelSeries:
        """The series of the places, row by row."""
        if "series" in self.held:
            return PixelSeries(**self.held["series"].take(np.arange(len(self.task))))
        if not (self.folder / SERIES).is_file():
            raise WherefromError(f"task {self.task.name!r} has no pixel series in {self.folder}")
        return PixelSeries.read(self.folder / SERIES)

    def places(self, rows: NDArray[np.int64] | None = None) -> TaskPlaces:
        """Give some of the places, or all."""
        return TaskPlaces(self, np.arange(len(self.task)) if rows is None else rows)

    def described(
        self, describe: Callable[[TaskPlaces], NDArray[np.float32]], split: str = "reported"
    ) -> NDArray[np.float32]:
        """Describe the places of two splits, (N, D) float32, others NaN; read-only.

        `split` is as of `wherefrom.tasks.episodes`: "reported" or "tuning".
        """
        tuning = split == "tuning"
        rows = np.flatnonzero(self.task.tuning if tuning else self.task.reported)
        some = describe(self.places(rows))
        if some.ndim != 2 or len(some) != len(rows):
            raise WherefromError(
                f"features of {len(rows)} places have shape {some.shape}: due are rows of numbers, "
                "one a place"
            )
        whole = np.full((len(self.task), some.shape[1]), np.nan, np.float32)
        whole[rows] = some
        whole.flags.writeable = False  # many heads look at it
        return whole


@lru_cache(maxsize=1)
def task_data(folder: Path, folders: tuple[tuple[Modality, tuple[Path, ...]], ...]) -> TaskData:
    """Give a task's data; a worker keeps those of the last one."""
    return TaskData(folder, folders)


@dataclass(frozen=True)
class TaskPlaces:
    """Labelled places of a task."""

    data: TaskData
    rows: NDArray[np.int64]

    @property
    def lon(self) -> Floats:
        """Longitudes, degrees."""
        return self.data.task.lon[self.rows]

    @property
    def lat(self) -> Floats:
        """Latitudes, degrees."""
        return self.data.task.lat[self.rows]

    def series(self) -> PixelSeries:
        """Read the series of the places."""
        return self.data.series.take(self.rows)

    def features(self) -> NDArray[np.float32]:
        """Read the features of the places."""
        return self._held("features").take(self.rows)["features"].astype(np.float32)

    def images(self) -> Images:
        """Give images of the places."""
        return self._held("images").images(self.rows)

    def _held(self, modality: Modality) -> Stored:
        if modality not in self.data.held:
            raise WherefromError(f"task {self.data.task.name!r} has no {modality} of its places")
        return self.data.held[modality]

    def scales(self, modality: Modality) -> Floats:
        """Refuse: scales are the pool's."""
        raise WherefromError(f"scales of task {self.data.task.name!r} are asked for: read the pool")
