"""A task of the user's own labelled table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from wherefrom.errors import WherefromError, unknown
from wherefrom.keys import generator
from wherefrom.pool import Pool, places_of, read_places
from wherefrom.pool.series import PixelSeries
from wherefrom.tasks.base import TaskSpec
from wherefrom.tasks.labelled import LabelledSeries
from wherefrom.tasks.task import SPLITS, Task

__all__ = ["EVERYWHERE", "SHARES", "Table", "from_table", "label_series"]

#: What to give as regions for one region that holds every place.
EVERYWHERE = "all"

#: Shares of the places of each region and class that go to train, test, tune-train, tune-test.
SHARES = (0.5, 0.3, 0.1, 0.1)


class Table(TaskSpec):
    """Tell the labels of a table of the user's, as `wherefrom task from-table` writes it.

    Attributes
    ----------
    name : str
        Of the task in the results.
    file : str
        The task, from the folder where the command runs.
    """

    name: str = Field(pattern=r"^[\w.+-]+$")
    file: str = Field(min_length=1)

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @property
    def files(self) -> tuple[str, ...]:
        """The task's file."""
        return (self.file,)

    @cached_property
    def places(self) -> int:  # of a plan every stage asks for it
        """Rows of the table."""
        return len(Task.read(self.file))

    def settings(self) -> dict[str, Any]:
        """Give the name; where the table lies is no part of what the task depends on."""
        return self.model_dump(exclude={"baselines", "file"})

    def make(self, pool: Pool | None) -> Task:
        """Read the task, under its name in the study."""
        return replace(Task.read(self.file), name=self.name)


def from_table(
    table: Any,
    label: str,
    lon: str = "lon",
    lat: str = "lat",
    region_layer: str = "continent",
    positive: str | None = None,
    name: str | None = None,
    seed: int = 0,
) -> Task:
    """Make a task of a table of labelled places.

    Places are split at random in each region, stratified by class, into train, test, tune-train
    and tune-test by `SHARES`. Rows of one place (the same coordinates) stay together, so that no
    place is trained and tested on.

    Parameters
    ----------
    table : path, pyarrow.Table, pandas.DataFrame or GeoDataFrame
        Parquet, GeoParquet or CSV where it is a path.
    label : str
        Column of labels: text, whole numbers or booleans, none missing.
    lon, lat : str
        Columns of degrees.
    region_layer : str
        A column of that name in the table, else the Earth's layer. A place in no region (at sea)
        is kept in the file but in no episode.
    positive : str, optional
        The positive class of a binary label; of booleans it is ``true``.
    name : str, optional
        Name of the task; by default that of the file, or of the label column.
    seed : int
        Seed of the split.

    Returns
    -------
    Task
        Classes are the labels as text, sorted.

    Raises
    ------
    WherefromError
        If a column is absent; a coordinate is missing, out of range or swapped; a label is missing
        or a real number; there is one class only; `positive` is not a class of two.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rng = np.random.default_rng(0)
    >>> places = pa.table({"x": rng.uniform(15, 25, 200), "y": rng.uniform(-5, 5, 200),
    ...                    "crop": rng.random(200) < 0.3})
    >>> task = from_table(places, label="crop", lon="x", lat="y")
    >>> task.classes, task.positive, task.counts()[0].sum(axis=0).tolist()
    (('false', 'true'), 1, [101, 59, 21, 19])
    """
    from_file = isinstance(table, (str, Path))
    # A task names no ids: those of the table may repeat, say one for all rows of a field.
    if from_file:  # codes such as 007 are labels as they are written
        places = read_places(table, None, lon, lat, numbered=True, text=[label, region_layer])
    else:
        places = places_of(table, None, lon, lat, numbered=True)
    if label not in places.rest.column_names:
        raise unknown(f"label column of {places.source}", label, places.rest.column_names)
    pool = Pool.of_places(places)
    classes, codes = _labels(places.rest.column(label), label, places.source)
    if len(classes) < 2:
        raise WherefromError(
            f"{places.source}: all {len(codes):,} rows of column {label!r} are {classes[0]!r}; a "
            "task needs at least two classes"
        )
    region, regions = pool.codes(region_layer)
    split = _split(pool, codes, region, generator("split", pool.key, label, seed))
    return Task(
        name=name or (Path(table).stem if from_file else label),
        lon=pool.lon,
        lat=pool.lat,
        label=codes,
        classes=classes,
        region=region.astype(np.int16),
        regions=tuple(regions),
        split=split,
        label_layer=label,
        positive=_positive(classes, positive, label),
        provenance={
            "made": "of a table",
            "source": places.source,
            "places_key": pool.key,
            "label": label,
            "region_layer": region_layer,
            "shares": dict(zip(SPLITS, SHARES, strict=True)),
            "seed": seed,
        },
    )


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


def _labels(
    column: pa.ChunkedArray, name: str, source: str
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the classes, sorted, and the code of every row."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (text or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise WherefromError(
            f"{source}: label column {name!r} is of type {column.type}; labels are text (UTF-8), "
            "whole numbers or booleans: cut values into classes first"
        )
    words = column.cast(kind).cast(pa.string())
    missing = np.flatnonzero(pc.or_(pc.is_null(words), pc.equal(words, "").fill_null(True)))
    if missing.size:
        raise WherefromError(
            f"{source}: label {name!r} is missing in {missing.size:,} of {len(words):,} rows, "
            f"first in row {missing[0]} (the first data row is 0); remove or mend these rows"
        )
    values = pc.unique(words).to_pylist()
    # Whole numbers sort by value, so that class 10 comes after class 9.
    classes = tuple(sorted(values, key=int if pa.types.is_integer(kind) else str))
    codes = pc.index_in(words, pa.array(classes, pa.string())).to_numpy()
    return classes, codes.astype(np.int32)


def _positive(classes: tuple[str, ...], positive: str | None, label: str) -> int | None:
    if positive is None:
        # A boolean column says itself which class is positive; anything else must be told.
        return 1 if classes == ("false", "true") else None
    if len(classes) != 2:
        raise WherefromError(
            f"--positive {positive}: column {label!r} has {len(classes)} classes; a positive class "
            "needs exactly two"
        )
    if positive not in classes:
        raise unknown(f"positive class of column {label!r}", positive, classes)
    return classes.index(positive)


def _split(
    pool: Pool, label: NDArray[np.int32], region: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.int8]:
    """Split places at random within each region and class; rows of one place stay together."""
    both = np.stack([pool.lon, pool.lat], axis=1)
    _, first, place = np.unique(both, axis=0, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    # Of places that have rows of several classes, the first row decides the stratum.
    stratum = (region[first].astype(np.int64) + 1) * (int(label.max()) + 1) + label[first]
    shuffled = rng.permutation(first.size)
    order = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    _, starts, counts = np.unique(stratum[order], return_index=True, return_counts=True)
    split = np.empty(first.size, dtype=np.int8)
    turn = np.arange(first.size) - np.repeat(starts, counts)
    # A class's few places are dealt out by a random offset, so that small classes reach all splits.
    at = (turn + np.repeat(rng.random(counts.size), counts)) / np.repeat(counts, counts)
    split[order] = np.searchsorted(np.cumsum(SHARES)[:-1], at, side="right")
    return split[place]
