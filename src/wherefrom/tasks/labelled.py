"""A task whose places carry their own pixel time series."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wherefrom.errors import WherefromError
from wherefrom.keys import key_of
from wherefrom.pool.series import PixelSeries
from wherefrom.tasks.task import Task

__all__ = ["SERIES", "TASK", "LabelledSeries"]

#: Files of a task in a folder: its places, and the series of a task that brings its own.
TASK, SERIES = "task.parquet", "series.npz"


@dataclass(frozen=True, eq=False)
class LabelledSeries:
    """A task and the series of its places, row by row.

    Parameters
    ----------
    task : Task
        N labelled places.
    series : PixelSeries
        N series; those of row i belong to place i.

    Raises
    ------
    WherefromError
        If the rows are not as many, or a place of the task is not that of its series.

    Examples
    --------
    >>> series = PixelSeries.from_bands(
    ...     {"B4": np.full((40, 12), 500.0)}, np.linspace(10, 20, 40), np.zeros(40), 0)
    >>> from wherefrom.tasks import label_series
    >>> made = label_series("fields", series, np.arange(40) % 2 == 0, "crop", "all")
    >>> len(made), made.task.regions, made.task.counts()[0].sum(axis=0).tolist()
    (40, ('all',), [20, 12, 4, 4])
    """

    task: Task
    series: PixelSeries

    def __post_init__(self) -> None:
        if len(self.task) != len(self.series):
            raise WherefromError(
                f"task {self.task.name!r} has {len(self.task):,} places, but {len(self.series):,} "
                "series are given: one a place is needed"
            )
        for name in ("lon", "lat"):
            apart = np.abs(getattr(self.task, name) - getattr(self.series, name))
            bad = np.flatnonzero(apart > 1e-6)
            if bad.size:
                raise WherefromError(
                    f"task {self.task.name!r}: {name} of row {bad[0]} differs from that of its "
                    f"series by {apart[bad[0]]:.3g} degrees; are the rows in the same order?"
                )

    def __len__(self) -> int:
        return len(self.task)

    @property
    def key(self) -> str:
        """Hash of the task and the series."""
        return key_of(["labelled-series", self.task.key, self.series.key])

    def write(self, folder: Path | str) -> None:
        """Write ``task.parquet`` and ``series.npz`` into a folder, made if absent.

        Raises
        ------
        WherefromError
            If the disk is full or the folder cannot be written.
        """
        # The task notes its series, so that `read` detects files of two writings.
        about = dict(self.task.provenance) | {"series": self.series.key}
        self.series.write(Path(folder) / SERIES)
        replace(self.task, provenance=about).write(Path(folder) / TASK)

    @classmethod
    def read(cls, folder: Path | str) -> LabelledSeries:
        """Read what `write` made.

        Raises
        ------
        WherefromError
            If a file is absent or torn, or the two are not of one writing.
        """
        task = Task.read(Path(folder) / TASK)
        series = PixelSeries.read(Path(folder) / SERIES)
        if task.provenance.get("series") != series.key:
            raise WherefromError(
                f"{folder}: {TASK} and {SERIES} were not written together; make both again"
            )
        return cls(task, series)
