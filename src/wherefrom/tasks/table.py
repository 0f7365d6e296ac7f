"""A task of the user's own labelled table."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from wherefrom.auditing.tally import Ints, canonical_places, first_rows
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.errors import WherefromError, phrased, unknown
from wherefrom.keys import generator
from wherefrom.pool import Pool, places_of, read_places
from wherefrom.pool.columns import (
    alike,
    column_codes,
    column_labels,
    column_numbers,
    encoded,
    present_values,
)
from wherefrom.pool.series import PixelSeries
from wherefrom.shown import count_of
from wherefrom.tasks.base import TaskSpec
from wherefrom.tasks.episode import most_places
from wherefrom.tasks.labelled import LabelledSeries
from wherefrom.tasks.task import SPLITS, Task

__all__ = ["EVERYWHERE", "SHARES", "Table", "by_blocks", "from_table", "label_series", "resplit"]

#: What to give as regions for one region that holds every place.
EVERYWHERE = "all"

#: Shares of the places of each region and class that go to train, test, tune-train, tune-test.
SHARES = (0.5, 0.3, 0.1, 0.1)

#: A fold is kept in eight bits.
MOST_FOLDS = 100

#: Numbers that files write where there is none, besides those of nines alone (`_is_fill`).
FILLS = (-32768.0, 65535.0, -2147483648.0, 1e20)

#: Nothing measured is as large as this; what netCDF and rasters write where there is none is.
TOO_LARGE = 9e35

#: A target of no more whole numbers than this may be meant as classes.
FEW = 10

#: What published tables call their splits. Of a validation split, half is to tune on, half to test.
_VALIDATION = len(SPLITS)
_CALLED = {
    **{name: code for code, name in enumerate(SPLITS)},
    **{"training": 0, "testing": 1},
    **dict.fromkeys(("val", "valid", "validation", "dev"), _VALIDATION),
}


class _About(NamedTuple):
    """What a plan has to know of the file of a task; `most` is of `most_places`."""

    places: int
    units: str | None
    folds: int
    positive: bool
    most: dict[str, int]


class Table(TaskSpec):
    """Tell the labels, or numbers, of a table of the user's, as `task from-table` writes it.

    Attributes
    ----------
    name : str
        Of the task in the results.
    file : str
        The task, from the folder where the command runs.
    target : str, optional
        The column of numbers that the file must be a task of.
    labels_from : tuple of str
        Earth layers that its labels were read from, if any: no model is shown what they are made
        of.
    """

    name: str = Field(pattern=r"^[\w.+-]+$")
    file: str = Field(min_length=1)
    target: str | None = None
    labels_from: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @property
    def files(self) -> tuple[str, ...]:
        """The task's file."""
        return (self.file,)

    @property
    def label_layers(self) -> tuple[str, ...]:
        """As stated."""
        return self.labels_from

    @cached_property
    def _about(self) -> _About:  # of a plan every stage asks for it
        task = Task.read(self.file)
        has = task.label_layer if task.units is not None else None
        if self.target is not None and self.target != has:
            held = f"labels, of column {task.label_layer!r}" if has is None else f"{has!r}"
            raise WherefromError(
                f"task {self.name!r}: {self.file} holds {held}, and the study says target: "
                f"{self.target}; make it with `wherefrom task from-table --target {self.target}`"
            )
        most = most_places(task)
        return _About(len(task), task.units, task.folds, task.positive is not None, most)

    @property
    def places(self) -> int:
        """Rows of the table."""
        return self._about.places

    @property
    def units(self) -> str | None:
        """Those of the file."""
        return self._about.units

    @property
    def folds(self) -> int:
        """Those of the file."""
        return self._about.folds

    @property
    def known_regions(self) -> tuple[str, ...]:
        """Those of the file."""
        return tuple(self._about.most)

    @property
    def has_positive(self) -> bool:
        """As the file says."""
        return self._about.positive

    def few(self, n: int) -> str:
        """Say what the region with most labelled places has."""
        region, most = max(self._about.most.items(), key=lambda one: one[1], default=("", 0))
        if n <= most:
            return ""
        if not most:
            return f"{self.file} has no region with places of two classes to train and to test on"
        return (
            f"no region of {self.file} has more than {most:,} labelled places to train on (in "
            f"{region}): take a smaller n, or label more"
        )

    def settings(self) -> dict[str, Any]:
        """Give the name; where the table lies is no part of what the task depends on."""
        return self.model_dump(exclude={"baselines", "file", "labels_from", "target"})

    def make(self, pool: Pool | None) -> Task:
        """Read the task, under its name in the study."""
        return replace(Task.read(self.file), name=self.name)


def from_table(
    table: Any,
    label: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    region_layer: str = "continent",
    positive: str | None = None,
    name: str | None = None,
    seed: int = 0,
    split_column: str | None = None,
    block_km: float | None = None,
    id: str | None = None,
    target: str | None = None,
    units: str = "",
    folds: int = 0,
) -> Task:
    """Make a task of a table of labelled places.

    Places are split at random in each region, stratified by class, into train, test, tune-train
    and tune-test by `SHARES`. Rows of one place (the same coordinates, or some 5 m apart) stay
    together, so that no place is trained and tested on. Rows without a label are left out; Python's
    `warnings` say how many, and which labels differ by case, signs or blanks alone. Numbers have no
    strata: their places are split at random in each region alone.

    Parameters
    ----------
    table : path, pyarrow.Table, pandas.DataFrame or GeoDataFrame
        Parquet, GeoParquet or CSV where it is a path.
    label : str
        Column of labels: text, whole numbers (as reals, too) or booleans. Or give a `target`.
    lon, lat : str
        Columns of degrees.
    region_layer : str
        A column of that name in the table, else the Earth's layer, or ``"all"`` for one region that
        holds every place. A place in no region (at sea) is kept in the file but in no episode.
    positive : str, optional
        The positive class of a binary label; of booleans it is ``true``.
    name : str, optional
        Name of the task; by default that of the file, or of the label column.
    seed : int
        Seed of the split.
    split_column : str, optional
        Column of a published split, which is kept: train or training, test or testing, and val,
        valid, validation or dev, of which half the places are to tune on, half to test that.
        Rows without one are left out.
    block_km : float, optional
        Split cells of about this size, of equal area, instead of places: fewer test places then
        lie beside a training place, and classes may be missing from a split.
    id : str, optional
        Column by which payloads look the places up, kept as text; rows may share one. By default
        the numbers of the table's rows, from 0.
    target : str, optional
        Column of numbers to tell, in the place of `label`.
    units : str
        Units of the target, for tables and figures; they are not checked or converted.
    folds : int
        With `block_km`: so many folds of blocks for a cross-validation, in which each place is
        tested once and none is left to choose hyper-parameters on; 0 for a single split.

    Returns
    -------
    Task
        Classes are the labels as text, sorted.

    Raises
    ------
    WherefromError
        If a column is absent; a coordinate is missing, out of range or swapped; a label is a real
        number; there is one class only; `positive` is not a class of two; a split is not known; a
        target is text, missing, not finite or the same everywhere.

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
    if split_column is not None and block_km is not None:
        raise WherefromError("a split by column and one by blocks are two: give one of them")
    if folds and not 2 <= folds <= MOST_FOLDS:
        raise WherefromError(f"--folds {folds}: give 2 to {MOST_FOLDS} folds")
    if folds and block_km is None:
        raise WherefromError(f"--folds {folds}: folds are made of blocks: give --block-km too")
    if (label is None) == (target is None):
        raise WherefromError("give a column of labels (--label), or one of numbers (--target)")
    if target is not None and positive is not None:
        raise WherefromError(f"--positive {positive}: a target of numbers has no positive class")
    if target is None and units:
        raise WherefromError(f"--unit {units}: labels have no unit; it is for a --target")
    if not units.isprintable():
        raise WherefromError(f"--unit {units!r}: it stands in tables: give it on one line")
    column = str(target if label is None else label)
    from_file = isinstance(table, (str, Path))
    # No ids of a pool: those of the table may repeat, say one for all rows of a field.
    if from_file:
        places = read_places(table, None, lon, lat, numbered=True)
    else:
        places = places_of(table, None, lon, lat, numbered=True)
    pool = Pool.of_places(places)
    classes: tuple[str, ...] = ()
    if target is None:
        classes, codes = _labels(places.rest, column, "label", places.source)
        numbers = None
    else:
        # One class to the split, which then has no strata.
        numbers, codes = _target(places.rest, column, places.source), np.zeros(len(pool), np.int32)
    ids = None if id is None else _ids(places.rest, id, places.source)
    given = None
    kept = _left_out(codes, f"no label in column {label!r}", places.source)
    if split_column is not None:
        given = _given(places.rest, split_column, places.source)
        kept &= _left_out(given, f"no split in column {split_column!r}", places.source)
    if not kept.all():
        rows = np.flatnonzero(kept)
        pool = Pool(pool.ids[rows], pool.lon[rows], pool.lat[rows], pool.table.take(rows))
        present, code = np.unique(codes[rows], return_inverse=True)
        codes = code.astype(np.int32)
        classes = tuple(classes[one] for one in present) if numbers is None else ()
        numbers = None if numbers is None else numbers[rows]
        given = None if given is None else given[rows]
        # Numbers of the table's rows, not of those that are kept.
        ids = rows.astype(str) if ids is None else ids[rows]
    for told in alike(classes):
        warnings.warn(f"labels of column {label!r}: {told}", stacklevel=2)
    if numbers is not None:
        _varied(numbers, column, places.source)
    elif len(classes) < 2:
        shown = f"{classes[0]!r}" if classes else "without a label"
        raise WherefromError(
            f"{places.source}: all {count_of(len(kept), 'row')} of column {label!r} are {shown}; a "
            "task needs at least two classes"
        )
    everywhere = region_layer == EVERYWHERE and EVERYWHERE not in pool.columns
    one = np.zeros(len(pool), np.int32), (EVERYWHERE,)
    region, regions = one if everywhere else pool.codes(region_layer)
    for told in alike(regions) if region_layer in pool.columns else ():
        warnings.warn(f"regions of column {region_layer!r}: {told}", stacklevel=2)
    rng = _generator(pool.key, column, seed)
    how: dict[str, Any] = {"shares": dict(zip(SPLITS, SHARES, strict=True))}
    if given is not None:
        how = {"split_column": split_column}
        split = given
        tuned = np.flatnonzero(split == _VALIDATION)
        if tuned.size:
            at = pool.lon[tuned], pool.lat[tuned]
            split[tuned] = _split(*at, codes[tuned], region[tuned], rng, (0.0, 0.0, 0.5, 0.5))
    elif block_km is not None:
        shares = (1.0,) * folds or SHARES  # folds are alike
        how = {"folds": folds, "block_km": block_km} if folds else how | {"block_km": block_km}
        split = by_blocks(pool.lon, pool.lat, region, block_km, rng, shares)
        if folds and (used := len(np.unique(split))) < folds:
            raise WherefromError(
                f"--folds {folds}: cells {block_km:g} km wide fill {used} of them: ask for fewer "
                "folds or smaller cells"
            )
    else:
        split = _split(pool.lon, pool.lat, codes, region, rng)
    return Task(
        name=name or (Path(table).stem if from_file else column),
        lon=pool.lon,
        lat=pool.lat,
        label=codes if numbers is None else numbers,
        classes=classes,
        region=region.astype(np.int16),
        regions=tuple(regions),
        split=split,
        label_layer=column,
        positive=_positive(classes, positive, column),
        provenance={
            "made": "of a table",
            "source": places.source,
            "places_key": pool.key,
            "label": column,
            "left_out": int((~kept).sum()),
            "region_layer": region_layer,
            **how,
            "seed": seed,
        },
        id=ids,
        units=None if target is None else units,
        folds=folds,
    )


def label_series(
    name: str,
    series: PixelSeries,
    positive: NDArray[np.bool_],
    label: str,
    region_layer: str = "continent",
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    block_km: float | None = None,
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
    block_km : float, optional
        Split cells of about this size instead of places.

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
    task = from_table(
        table, label, region_layer=region_layer, positive=label, name=name, seed=seed,
        block_km=block_km,
    )  # fmt: skip
    about = dict(task.provenance) | dict(provenance or {})
    return LabelledSeries(replace(task, provenance=about), series)


def resplit(task: Task, block_km: float | None = None) -> Task:
    """Return a task as `from_table` would have split it, by places or by blocks."""
    about = task.provenance
    rng = _generator(about["places_key"], about["label"], about["seed"])
    at = task.lon, task.lat
    if block_km is not None:
        return replace(task, split=by_blocks(*at, task.region, block_km, rng))
    strata = task.label if task.units is None else np.zeros(len(task), np.int32)
    return replace(task, split=_split(*at, strata, task.region, rng), folds=0)


def _generator(places_key: str, label: str, seed: int) -> np.random.Generator:
    return generator("split", places_key, label, seed)


def _labels(
    rest: pa.Table, name: str, what: str, source: str
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the labels of a column, sorted, and the code of every row, -1 for none."""
    if name not in rest.column_names:
        raise unknown(f"{what} column of {source}", name, rest.column_names)
    try:
        column = pa.chunked_array([encoded(rest.column(name), name)])
        values, labels = column_labels(present_values(column, name))
        codes = column_codes(column, values, name)
    except WherefromError as err:
        raise WherefromError(f"{source}: {err}") from err
    if pa.types.is_boolean(values.type):
        labels = tuple(word.lower() for word in labels)
    return labels, codes


def _target(rest: pa.Table, name: str, source: str) -> NDArray[np.float64]:
    """Return a column of numbers, all of them finite."""
    if name not in rest.column_names:
        raise unknown(f"target column of {source}", name, rest.column_names)
    try:
        values = column_numbers(rest.column(name), name)
    except WherefromError as err:
        raise WherefromError(f"{source}: {err}; labels go by --label") from err
    bad = np.flatnonzero(~(np.abs(values) < TOO_LARGE))
    if bad.size:
        held = rest.column(name)[int(bad[0])].as_py()
        said = "no number" if held is None else f"{values[bad[0]]:g}"
        if np.isfinite(values[bad[0]]):
            said += ", which stands for no number,"
        more = f" ({bad.size:,} such rows)" if bad.size > 1 else ""
        raise WherefromError(
            f"{source}: row {bad[0]} has {said} in column {name!r}{more}; the first data row is 0: "
            "drop or mend such rows"
        )
    return values


def _varied(numbers: NDArray[np.float64], name: str, source: str) -> None:
    """Refuse a target that is the same everywhere; ask whether it holds classes, or fills."""
    present = np.unique(numbers)
    if len(present) < 2:
        shown = f"{present[0]:g}" if len(present) else "left out"
        raise WherefromError(
            f"{source}: all {len(numbers):,} numbers of column {name!r} are {shown}: nothing is to "
            "be told"
        )
    for fill in filter(_is_fill, present):
        warnings.warn(
            f"column {name!r} holds {fill:g} in {count_of(int((numbers == fill).sum()), 'row')}: "
            "if that stands for no number, drop these rows",
            stacklevel=3,
        )
    if len(present) <= FEW and (present == np.rint(present)).all():
        shown = ", ".join(f"{one:g}" for one in present)
        warnings.warn(
            phrased(
                f"column {name!r} holds {len(present)} whole numbers alone ({shown}): are they "
                f"classes? then give --label {name}"
            ),
            stacklevel=3,
        )


def _is_fill(number: float) -> bool:
    """Tell whether files write a number where there is none: of `FILLS`, or nines, as -9999.9."""
    nines = re.fullmatch(r"(-?)(9+)(\.9+)?", f"{number:.7g}")
    known = np.isclose(number, FILLS, rtol=1e-7, atol=0.0).any()  # in single precision, too
    return bool(known) or bool(nines and len(nines[0]) > 3 and (nines[1] or number > 9998))


def _ids(rest: pa.Table, name: str, source: str) -> NDArray[np.str_]:
    """Return a column of ids as text."""
    if name not in rest.column_names:
        raise unknown(f"id column of {source}", name, rest.column_names)
    column = rest.column(name)
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise WherefromError(f"{source}: row {row} has no id in column {name!r}")
    return np.array([str(one) for one in column.to_pylist()])


def _given(rest: pa.Table, name: str, source: str) -> NDArray[np.int8]:
    """Return the split that a column gives each row; -1 for none."""
    words, codes = _labels(rest, name, "split", source)
    known = [_CALLED.get(word.strip().casefold(), -1) for word in words]
    if -1 in known:
        raise WherefromError(
            f"{source}: column {name!r} holds {words[known.index(-1)]!r}, and splits are "
            f"{', '.join(_CALLED)}: rename it"
        )
    return np.array([*known, -1], dtype=np.int8)[codes]


def _left_out(codes: NDArray[Any], why: str, source: str) -> NDArray[np.bool_]:
    """Say which rows are kept, and warn of the others."""
    lacking = np.flatnonzero(codes < 0)
    if lacking.size:
        warnings.warn(
            f"{source}: {lacking.size:,} of {count_of(len(codes), 'row')} have {why} and are left "
            f"out, first row {lacking[0]} (the first data row is 0)",
            stacklevel=3,
        )
    return np.asarray(codes >= 0)


def _positive(classes: tuple[str, ...], positive: str | None, label: str) -> int | None:
    if positive is None:
        # A boolean column says itself which class is positive; anything else must be told.
        return 1 if classes == ("false", "true") else None
    if len(classes) != 2:
        shown = ", ".join(map(repr, classes[:10])) + (", ..." if len(classes) > 10 else "")
        raise WherefromError(
            f"--positive {positive}: column {label!r} has "
            f"{count_of(len(classes), 'class', 'classes')} ({shown}); a "
            "positive class needs exactly two"
        )
    if positive not in classes:
        raise unknown(f"positive class of column {label!r}", positive, classes)
    return classes.index(positive)


def _split(
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    label: NDArray[np.int32],
    region: NDArray[np.integer[Any]],
    rng: np.random.Generator,
    shares: tuple[float, ...] = SHARES,
) -> NDArray[np.int8]:
    """Split places at random within each region and class; rows of one place stay together."""
    first, place = _places(lon, lat)
    # Of places that have rows of several classes, the first row decides the stratum.
    stratum = (region[first].astype(np.int64) + 1) * (int(label.max()) + 1) + label[first]
    shuffled = rng.permutation(first.size)
    order = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    _, starts, counts = np.unique(stratum[order], return_index=True, return_counts=True)
    split = np.empty(first.size, dtype=np.int8)
    turn = np.arange(first.size) - np.repeat(starts, counts)
    # A class's few places are dealt out by a random offset, so that small classes reach all splits.
    at = (turn + np.repeat(rng.random(counts.size), counts)) / np.repeat(counts, counts)
    split[order] = np.searchsorted(np.cumsum(shares)[:-1], at, side="right")
    return split[place]


def _places(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[Ints, Ints]:
    """Return the first row of every place, places sorted, and the place of each row.

    Near copies are of one place, as in an audit.
    """
    first, place, _ = first_rows(*canonical_places(lon, lat))
    order = np.lexsort((lat[first], lon[first]))
    return first[order], np.argsort(order)[place]


def by_blocks(
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    region: NDArray[np.integer[Any]],
    block_km: float,
    rng: np.random.Generator,
    shares: tuple[float, ...] = SHARES,
) -> NDArray[np.int8]:
    """Split whole cells of equal area, about `block_km` wide, by shares of each region's rows.

    Returns
    -------
    (N,) int8 array
        Positions in `shares`; by default those in `SPLITS`.

    Raises
    ------
    WherefromError
        If blocks are not 1 to 5,000 km wide.

    Examples
    --------
    >>> lon = np.linspace(10.0, 30.0, 400)
    >>> region, rng = np.zeros(400, int), np.random.default_rng(0)
    >>> split = by_blocks(lon, np.zeros(400), region, 50.0, rng)
    >>> (np.bincount(split, minlength=4) / 400).round(2).tolist()
    [0.51, 0.29, 0.09, 0.1]
    """
    if not 1 <= block_km <= 5000:
        raise WherefromError(f"--block-km {block_km:g}: blocks are 1 to 5,000 km wide")
    # Copies on both sides of a cell's edge are in the cell of the first.
    first, place = _places(lon, lat)
    cells = EqualAreaCells(round(np.pi * EARTH_RADIUS_KM / block_km)).cell(lon[first], lat[first])
    # A cell that a border cuts is two blocks: episodes stay within a region.
    both = np.stack([region, cells[place]], axis=1)
    blocks, block, sizes = np.unique(both, axis=0, return_inverse=True, return_counts=True)
    split = np.empty(len(blocks), dtype=np.int8)
    for one in np.unique(blocks[:, 0]):
        here = rng.permutation(np.flatnonzero(blocks[:, 0] == one))
        lacking = np.array(shares) * sizes[here].sum()
        for at in here:  # each block goes where most rows are still lacking
            split[at] = np.argmax(lacking)
            lacking[split[at]] -= sizes[at]
    return split[block.reshape(-1)]
