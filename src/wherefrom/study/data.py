"""What few-shot stages read of a task: labelled places, and their series where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.pool.series import PixelSeries
from wherefrom.tasks import Episodes, Task

__all__ = ["SERIES", "TASK", "TaskData", "compact", "task_data"]

#: Files in the folders of the stages; `wherefrom.tasks.labelled` gives its own the same names.
TASK, SERIES = "task.parquet", "series.npz"


@dataclass(frozen=True)
class TaskData:
    """A task in the store, read when it is asked for; two are equal if they lie in one place.

    Parameters
    ----------
    folder : Path
        Of the task's stage.
    series_folder : Path, optional
        Of the stage that holds the pixel series of its places.
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


@lru_cache(maxsize=1)
def task_data(folder: Path, series_folder: Path | None) -> TaskData:
    """Give a task's data; a worker keeps those of the last one."""
    return TaskData(folder, series_folder)


def compact(
    episodes: Episodes,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Give numbers to the places that episodes touch, so that nothing is made of the others.

    Returns
    -------
    rows : (R,) int64 array
        Rows of the task: training places, each once, then the test places.
    train : (S, n) int64 array
        Positions in `rows`.
    test : (T,) int64 array
        Positions in `rows`.

    Examples
    --------
    >>> drawn = Episodes("Africa", 2, (0, 1), np.array([[7, 3], [3, 5]]), np.array([8, 9]),
    ...                  np.array([0, 1]), ())
    >>> rows, train, test = compact(drawn)
    >>> rows.tolist(), train.tolist(), test.tolist()
    ([3, 5, 7, 8, 9], [[2, 0], [0, 1]], [3, 4])
    """
    rows, train = np.unique(episodes.train, return_inverse=True)
    first = len(rows)
    rows = np.concatenate([rows, episodes.test])
    return rows, train.reshape(episodes.train.shape), np.arange(first, len(rows))
