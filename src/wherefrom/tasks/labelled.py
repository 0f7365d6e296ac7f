"""A task whose places carry their own pixel time series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.keys import key_of
from wherefrom.pool.series import PixelSeries
from wherefrom.tasks.base import SERIES, TASK
from wherefrom.tasks.table import from_table
from wherefrom.tasks.task import Task

__all__ = ["EVERYWHERE", "LabelledSeries", "label_series"]

#: What to give as regions for one region that holds every place.
EVERYWHERE = "all"


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

        Examples
        --------
        >>> import tempfile
        >>> series = PixelSeries.from_bands(
        ...     {"B4": np.full((40, 12), 500.0)}, np.linspace(10, 20, 40), np.zeros(40), 0)
        >>> made = label_series("fields", series, np.arange(40) % 2 == 0, "crop", "all")
        >>> folder = tempfile.mkdtemp()
        >>> made.write(folder)
        >>> LabelledSeries.read(folder).key == made.key
        True
        """
        task = Task.read(Path(folder) / TASK)
        series = PixelSeries.read(Path(folder) / SERIES)
        if task.provenance.get("series") != series.key:
            raise WherefromError(
                f"{folder}: {TASK} and {SERIES} were not written together; make both again"
            )
        return cls(task, series)


def label_series(
    name: str,
    series: PixelSeries,
    positive: NDArray[np.bool_],
    label: str,
    region_layer: str = "continent",
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> LabelledSeries:
    """Make a two-class task of series, split as `from_table` splits: by region and class.

    Parameters
    ----------
    name : str
        Name of the task.
    series : PixelSeries
        N series.
    positive : (N,) bool array
        Whether a place is of the positive class.
    label : str
        Name of the positive class; the other is ``"other"``.
    region_layer : str
        Layer whose labels are the regions, or ``"all"`` for one region of that name.
    seed : int
        Seed of the split.
    provenance : mapping, optional
        Plain values to note beside those of `from_table`.

    Returns
    -------
    LabelledSeries

    Raises
    ------
    WherefromError
        If all places are of one class, or the layer is not known.
    """
    words = np.where(positive, label, "other").astype(object)
    table = pa.table({"lon": series.lon, "lat": series.lat, label: pa.array(words, pa.string())})
    if region_layer == EVERYWHERE:
        table = table.append_column(EVERYWHERE, pa.array([EVERYWHERE] * len(series)))
    task = from_table(table, label, region_layer=region_layer, positive=label, name=name, seed=seed)
    about = dict(task.provenance) | dict(provenance or {})
    return LabelledSeries(replace(task, provenance=about), series)
