"""What a GFM can read of places: of those of a composition, and of the labelled ones of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.series import PixelSeries
from wherefrom.pool.series.earth import earth_series
from wherefrom.tasks.labelled import SERIES, TASK
from wherefrom.tasks.task import Task

__all__ = ["FEATURES", "STATISTICS", "Places", "PoolPlaces", "TaskData", "TaskPlaces", "task_data"]

Floats = NDArray[np.float64]

#: Files of an image stage.
FEATURES, STATISTICS = "features.npy", "statistics.npy"


def _allow(reads: frozenset[str] | None, modality: str) -> None:
    """Refuse to read what is not declared, since no key would tell of it."""
    if reads is not None and modality not in reads:
        raise WherefromError(
            f"{modality} are read, but not declared: name them in `reads`, or in `reads_of_tasks` "
            "for labelled places"
        )


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

    def images(self) -> NDArray[np.float32]:
        """Read the features of the images around them, (N, F)."""

    def image_scales(self) -> Floats:
        """Read two rows (2, F) that have mean and spread of the whole pool's image features."""


@dataclass(frozen=True)
class PoolPlaces:
    """Places of the pool, candidates of pre-training; `folders` are of the image stages.

    With `reads`, what it does not name is refused.
    """

    pool: Pool
    rows: NDArray[np.int64]
    folders: Sequence[Path] = ()
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
        """Make the series of climate and relief, land cover included."""
        _allow(self.reads, "series")
        return earth_series(self.lon, self.lat)

    def images(self) -> NDArray[np.float32]:
        """Read the image features."""
        _allow(self.reads, "images")
        some = [np.load(f / FEATURES, mmap_mode="r")[self.rows] for f in self.folders]
        return np.concatenate(some, axis=1).astype(np.float32)

    def image_scales(self) -> Floats:
        """Read mean minus spread, and mean plus spread, of the pool's features."""
        _allow(self.reads, "images")
        both = [np.load(folder / STATISTICS) for folder in self.folders]
        scales = [np.stack([mean - std, mean + std]) for mean, std in both]
        return np.concatenate(scales, axis=1)


@dataclass(frozen=True)
class TaskData:
    """A task in the store, read when it is asked for; two are equal if they lie in one place.

    `series_folder` is of the stage that holds the pixel series of its places.
    """

    folder: Path
    series_folder: Path | None = None

    @cached_property
    def task(self) -> Task:
        """The labelled places."""
        return Task.read(self.folder / TASK)

    @cached_property
    def series(self) -> PixelSeries:
        """The series of the places, row by row."""
        if self.series_folder is None:
            raise WherefromError(f"task {self.task.name!r} has no pixel series in {self.folder}")
        return PixelSeries.read(self.series_folder / SERIES)

    def places(self, rows: NDArray[np.int64] | None = None) -> TaskPlaces:
        """Give some of the places, or all."""
        return TaskPlaces(self, np.arange(len(self.task)) if rows is None else rows)


@lru_cache(maxsize=1)
def task_data(folder: Path, series_folder: Path | None) -> TaskData:
    """Give a task's data; a worker keeps those of the last one."""
    return TaskData(folder, series_folder)


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

    def images(self) -> NDArray[np.float32]:
        """Refuse: no image is made of labelled places."""
        raise WherefromError(f"task {self.data.task.name!r} has no images of its places")

    def image_scales(self) -> Floats:
        """Refuse, as `images`."""
        raise WherefromError(f"task {self.data.task.name!r} has no images of its places")
