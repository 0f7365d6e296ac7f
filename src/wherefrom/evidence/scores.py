"""The results table as dense arrays: blocks x regions x fine-tune seeds of each key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wherefrom.errors import WherefromError
from wherefrom.evidence.intervals import Floats
from wherefrom.train.scores import METRICS

__all__ = [
    "ALL_REGIONS", "COLUMNS", "INITIAL", "Cells", "Ints", "Key", "PlaceVariance", "Scored",
    "Scores", "Units", "View",
]  # fmt: skip

#: Name of the macro-average over the regions, shown as one more region.
ALL_REGIONS = "All regions"

#: The composition without places: a block gives it a random initialisation and no draw.
INITIAL = "none"

#: The columns of a results table and the kind of their values.
COLUMNS: Mapping[str, str] = {
    "model": "text",
    "composition": "text",
    "block": "integer",
    "task": "text",
    "region": "text",
    "n": "integer",
    "head": "text",
    "finetune_seed": "integer",
    "metric": "text",
    "value": "number",
}

Ints = npt.NDArray[np.int64]


class Units(NamedTuple):
    """Units of a task's numbers, and the margin of equivalence of scores in them, where stated."""

    name: str
    margin: float | None = None


class View(NamedTuple):
    """What one table shows: compositions and baselines are its rows."""

    model: str
    task: str
    n: int
    head: str
    metric: str

    def key(self, composition: str) -> Key:
        """Return the key of a composition in this view."""
        return Key(self.model, composition, *self[1:])

    @property
    def sign(self) -> int:
        """What a difference is multiplied with to be above 0 where it is for the better."""
        return METRICS[self.metric].sign if self.metric in METRICS else 1

    @property
    def in_units(self) -> bool:
        """Whether its scores are in the units of the task's numbers."""
        return self.metric in METRICS and METRICS[self.metric].in_units


class Key(NamedTuple):
    """What one row of a results page is about."""

    model: str
    composition: str
    task: str
    n: int
    head: str
    metric: str

    @property
    def view(self) -> View:
        """The view that has the row."""
        return View(self.model, *self[2:])


class PlaceVariance(Protocol):
    """How mean scores would vary over other test places of a stated population."""

    @property
    def population(self) -> str:
        """Which places a verdict is about, in words that follow "about"."""

    def covariance(
        self, keys: Sequence[Key], region: str, among: Sequence[str] | None = None
    ) -> tuple[Floats, float] | None:
        """Return the covariance of the keys' mean scores in a region, and its degrees of freedom.

        Of shape (K, K), over the sampling of test places alone; `region` may be `ALL_REGIONS`, the
        mean of those `among`. None where it is not known of every key.
        """


class Scored(NamedTuple):
    """The scores of a key in one region, without gaps."""

    #: Mean over all scores, also those on seeds that some block lacks.
    mean: float
    #: Shape (B, F), of the blocks that have any score and the seeds that all of these have.
    values: Floats
    blocks: Ints
    seeds: Ints


@dataclass(frozen=True)
class Cells:
    """All scores of one key."""

    #: Blocks in ascending order, shape (B,); -1 is none (a baseline).
    blocks: Ints
    #: Fine-tune seeds, shape (F,).
    seeds: Ints
    #: Scores by block, region (order of `Scores.regions`) and fine-tune seed, shape (B, G, F); NaN
    #: where the results have none.
    values: Floats

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """Which regions have any score, shape (G,)."""
        return np.asarray(np.isfinite(self.values).any(axis=(0, 2)))


class Scores:
    """A results table, checked and indexed.

    Parameters
    ----------
    results : pyarrow.Table
        The tidy table of a study (columns: `COLUMNS`). A baseline has composition ``""`` and
        block -1.
    official : collection of str
        Baselines that are published weights: pre-trained on other data, at another size, hence
        neither a composition nor trivial.
    units : mapping of str to Units, optional
        By task of numbers.
    places : PlaceVariance, optional
        Test places as a sample; None takes them as given.

    Attributes
    ----------
    official : frozenset of str
    units : dict of str to Units
    places : PlaceVariance or None
    cells : dict of Key to Cells
    regions : dict of str to list of str
        Regions of each task, in alphabetical order.

    Raises
    ------
    WherefromError
        If a column is missing or of the wrong kind, a value is not finite, or a row is there
        twice; the message names column and row.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = [("m", "uniform", 0, "t", "Asia", 100, "knn", s, "f1_macro", 0.5 + s / 10)
    ...         for s in (0, 1)]
    >>> table = pa.table(dict(zip(COLUMNS, map(list, zip(*rows)))))
    >>> scores = Scores(table)
    >>> scores.cells[Key("m", "uniform", "t", 100, "knn", "f1_macro")].values
    array([[[0.5, 0.6]]])
    """

    def __init__(
        self,
        results: pa.Table,
        official: Collection[str] = (),
        units: Mapping[str, Units] | None = None,
        places: PlaceVariance | None = None,
    ) -> None:
        columns = _Columns(results)
        self.places = places
        self.units = dict(units or {})
        self.official = frozenset(official)
        self.regions: dict[str, list[str]] = {}
        pairs = np.unique(np.stack([columns["task"], columns["region"]]), axis=1)
        for task, region in pairs.T:
            name = columns.levels["task"][task]
            self.regions.setdefault(name, []).append(columns.levels["region"][region])
        self.cells: dict[Key, Cells] = dict(self._build(columns))

    def _build(self, columns: _Columns) -> Iterator[tuple[Key, Cells]]:
        order = np.lexsort([columns[name] for name in reversed(Key._fields)])
        keys = np.stack([columns[name][order] for name in Key._fields])
        starts = np.flatnonzero(np.r_[True, (np.diff(keys) != 0).any(axis=0)])
        for rows in np.split(order, starts[1:]):
            key = Key(*(columns.cell(name, rows[0]) for name in Key._fields))
            yield key, self._cells(columns, rows, key.task)

    def _cells(self, columns: _Columns, rows: Ints, task: str) -> Cells:
        blocks, block = np.unique(columns["block"][rows], return_inverse=True)
        seeds, seed = np.unique(columns["finetune_seed"][rows], return_inverse=True)
        names = self.regions[task]
        # Both are in alphabetical order.
        codes = [columns.levels["region"].index(name) for name in names]
        region = np.searchsorted(codes, columns["region"][rows])
        values = np.full((len(blocks), len(names), len(seeds)), np.nan)
        flat = np.ravel_multi_index((block, region, seed), values.shape)
        if len(np.unique(flat)) < len(flat):
            order = np.argsort(flat, kind="stable")
            twice = rows[order[1:][np.diff(flat[order]) == 0][0]]
            raise WherefromError(
                f"results: row {twice} repeats the axes of an earlier row "
                f"({columns.describe(twice)}); keep one of them"
            )
        values.ravel()[flat] = columns["value"][rows]
        return Cells(blocks, seeds, values)

    @cached_property
    def _averaged(self) -> dict[tuple[str, int, str, str], list[int]]:
        """By task, n, head and metric, the positions of the regions that all their rows have.

        They are the same for every model, composition and baseline, so that averages compare.
        """
        groups: dict[tuple[str, int, str, str], list[Key]] = {}
        for key in self.cells:
            groups.setdefault(key[2:], []).append(key)
        averaged = {}
        for group, keys in groups.items():
            rows = [*keys, *self.baselines(*group)]
            covered = np.logical_and.reduce([self.cells[key].covered for key in rows])
            averaged[group] = [int(i) for i in np.flatnonzero(covered)]
        return averaged

    def regions_of(self, *keys: Key) -> list[str]:
        """Return the regions in which any of some keys of one table has scores, the average last.

        The macro-average (`ALL_REGIONS`) is over the regions that every row of the same task, n,
        head and metric has scores in, and there only if these are several.
        """
        covered = np.logical_or.reduce([self.cells[key].covered for key in keys])
        regions = [self.regions[keys[0].task][i] for i in np.flatnonzero(covered)]
        return [*regions, ALL_REGIONS] if len(self._averaged[keys[0][2:]]) > 1 else regions

    def averaged(self, key: Key) -> list[str]:
        """Return the regions that the macro-average of a key is over."""
        return [self.regions[key.task][i] for i in self._averaged[key[2:]]]

    def values(self, key: Key, region: str, like: Key | None = None) -> Floats:
        """Return the scores of a key in a region, or averaged over all, shape (B, F).

        NaN where one is missing. Beside another head (`like`) a baseline is averaged over the
        regions of that head's rows.
        """
        values = self.cells[key].values
        if region != ALL_REGIONS:
            return values[:, self.regions[key.task].index(region), :]
        return np.asarray(values[:, self._averaged[(like or key)[2:]], :].mean(axis=1))

    def scored(self, key: Key, region: str, like: Key | None = None) -> Scored | None:
        """Return the scores of the blocks that have any; None where there are none.

        `like` as in `values`.
        """
        values, cells = self.values(key, region, like), self.cells[key]
        known = np.isfinite(values)
        if not known.any():
            return None
        blocks = known.any(axis=1)
        seeds = known[blocks].all(axis=0)
        mean = float(values[known].mean())
        return Scored(mean, values[blocks][:, seeds], cells.blocks[blocks], cells.seeds[seeds])

    def margin(self, view: View, margin: float) -> float:
        """Return the margin of equivalence of a view: of scores in units the task's own.

        0, within which nothing is, where none is stated.
        """
        if not view.in_units:
            return margin
        return self.units.get(view.task, Units("")).margin or 0.0

    def families(self) -> dict[View, list[Key]]:
        """Group the keys of compositions by view."""
        groups: dict[View, list[Key]] = {}
        for key in sorted(self.cells):
            if key.composition:
                groups.setdefault(key.view, []).append(key)
        return groups

    def baselines(self, task: str, n: int, head: str, metric: str) -> list[Key]:
        """Return the baselines to set beside a head.

        Those with the same head, and those that have one head only (such as the majority
        class). If no baseline was run with this head (full fine-tuning has no counterpart on
        raw coordinates), every baseline with every head of its own.
        """
        own = [
            key
            for key in sorted(self.cells)
            if not key.composition and (key.task, key.n, key.metric) == (task, n, metric)
        ]
        heads: dict[str, set[str]] = {}
        for key in own:
            heads.setdefault(key.model, set()).add(key.head)
        if not any(key.head == head for key in own):
            return own
        return [k for k in own if k.head == head or heads[k.model] == {k.model}]


class _Columns:
    """The checked columns as numbers; text as codes of its sorted `levels`."""

    def __init__(self, results: pa.Table) -> None:
        missing = [name for name in COLUMNS if name not in results.column_names]
        if "block" in missing and "draw_seed" in results.column_names:
            raise WherefromError(
                "results: draw_seed and pretrain_seed in the place of block: the table is of an "
                "older version; run the study again (wherefrom study run)"
            )
        if missing:
            raise WherefromError(
                f"results: no column {missing[0]!r}; a results table has {', '.join(COLUMNS)}"
            )
        if results.num_rows == 0:
            raise WherefromError("results: the table is empty; run the study first")
        self.levels: dict[str, list[str]] = {}
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        for name, kind in COLUMNS.items():
            column = results[name].combine_chunks()
            if column.null_count:
                row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
                raise WherefromError(f"results: column {name!r}, row {row}: no value")
            if kind == "text":
                self._arrays[name], self.levels[name] = _coded(name, column)
                continue
            array = column.to_numpy(zero_copy_only=False)
            if array.dtype.kind not in ("iu" if kind == "integer" else "iuf"):
                raise WherefromError(f"results: column {name!r} is {column.type}, not {kind}")
            self._arrays[name] = array.astype(np.float64 if kind == "number" else np.int64)
        bad = np.flatnonzero(~np.isfinite(self["value"]))
        if len(bad):
            raise WherefromError(
                f"results: row {bad[0]} has the value {self['value'][bad[0]]} "
                f"({self.describe(bad[0])}); a score is a finite number"
            )

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._arrays[name]

    def cell(self, name: str, row: int) -> Any:
        """Return one cell as a plain value."""
        value = self._arrays[name][row].item()
        return self.levels[name][value] if name in self.levels else value

    def describe(self, row: int) -> str:
        """Write the axes of a row for an error message."""
        return ", ".join(f"{name}={self.cell(name, row)}" for name in COLUMNS if name != "value")


def _coded(name: str, column: pa.Array) -> tuple[Ints, list[str]]:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    kind = column.dictionary.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise WherefromError(f"results: column {name!r} is {kind}, not text")
    words = column.dictionary.to_pylist()
    levels = sorted(set(words))
    codes = np.array([levels.index(word) for word in words], dtype=np.int64)
    return codes[column.indices.to_numpy(zero_copy_only=False)], levels
