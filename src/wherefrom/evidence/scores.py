"""The results table as dense arrays: one block of runs x regions x fine-tune seeds per row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wherefrom.errors import WherefromError

__all__ = ["ALL_REGIONS", "COLUMNS", "Block", "Key", "Scores"]

#: Name of the macro-average over the regions, shown as one more region.
ALL_REGIONS = "All regions"

#: The columns of a results table and the kind of their values.
COLUMNS: Mapping[str, str] = {
    "model": "text",
    "composition": "text",
    "draw_seed": "integer",
    "pretrain_seed": "integer",
    "task": "text",
    "region": "text",
    "n": "integer",
    "head": "text",
    "finetune_seed": "integer",
    "metric": "text",
    "value": "number",
}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Key(NamedTuple):
    """What one row of a results page is about."""

    model: str
    composition: str
    task: str
    n: int
    head: str
    metric: str


@dataclass(frozen=True)
class Block:
    """All scores of one key.

    Attributes
    ----------
    draws, pretrains : ndarray of int64, shape (R,)
        Draw seed and pre-train seed of each run.
    seeds : ndarray of int64, shape (F,)
        Fine-tune seeds.
    values : ndarray of float64, shape (R, G, F)
        Scores by run, region (order of `Scores.regions`) and fine-tune seed; NaN where the
        results have none.
    """

    draws: Ints
    pretrains: Ints
    seeds: Ints
    values: Floats

    def region(self, indices: list[int]) -> Floats:
        """Return scores averaged over some regions, shape (R, F); NaN if one is missing."""
        if len(indices) == 1:
            return self.values[:, indices[0], :]
        return np.asarray(self.values[:, indices, :].mean(axis=1))

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """Which regions have any score, shape (G,)."""
        return np.asarray(np.isfinite(self.values).any(axis=(0, 2)))


class Scores:
    """A results table, checked and indexed.

    Parameters
    ----------
    results : pyarrow.Table
        The tidy table of a study (columns: `COLUMNS`). A baseline has composition ``""``.

    Attributes
    ----------
    blocks : dict of Key to Block
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
    >>> rows = [("m", "uniform", 0, 0, "t", "Asia", 100, "knn", s, "f1_macro", 0.5 + s / 10)
    ...         for s in (0, 1)]
    >>> table = pa.table(dict(zip(COLUMNS, map(list, zip(*rows)))))
    >>> scores = Scores(table)
    >>> scores.blocks[Key("m", "uniform", "t", 100, "knn", "f1_macro")].values
    array([[[0.5, 0.6]]])
    """

    def __init__(self, results: pa.Table) -> None:
        columns = _checked(results)
        self.regions: dict[str, list[str]] = {}
        for task, region in sorted(_distinct(columns["task"], columns["region"])):
            self.regions.setdefault(task, []).append(region)
        self.blocks: dict[Key, Block] = dict(self._build(columns))

    def _build(self, columns: dict[str, npt.NDArray[Any]]) -> Iterator[tuple[Key, Block]]:
        codes, levels = {}, {}
        for name in Key._fields:
            levels[name], codes[name] = np.unique(columns[name], return_inverse=True)
        order = np.lexsort([codes[name] for name in reversed(Key._fields)])
        keys = np.stack([codes[name][order] for name in Key._fields])
        starts = np.flatnonzero(np.r_[True, (np.diff(keys) != 0).any(axis=0)])
        for rows in np.split(order, starts[1:]):
            first = rows[0]
            key = Key(*(columns[name][first].item() for name in Key._fields))
            yield key, self._block(columns, rows, key.task)

    def _block(self, columns: dict[str, npt.NDArray[Any]], rows: Ints, task: str) -> Block:
        runs, run = np.unique(
            np.stack([columns["draw_seed"][rows], columns["pretrain_seed"][rows]]),
            axis=1,
            return_inverse=True,
        )
        seeds, seed = np.unique(columns["finetune_seed"][rows], return_inverse=True)
        names = self.regions[task]
        region = np.searchsorted(np.asarray(names), columns["region"][rows])
        values = np.full((runs.shape[1], len(names), len(seeds)), np.nan)
        flat = np.ravel_multi_index((run.ravel(), region, seed), values.shape)
        if len(np.unique(flat)) < len(flat):
            order = np.argsort(flat, kind="stable")
            twice = rows[order[1:][np.diff(flat[order]) == 0][0]]
            raise WherefromError(
                f"results: row {twice} repeats the axes of an earlier row "
                f"({_describe(columns, twice)}); keep one of them"
            )
        values.ravel()[flat] = columns["value"][rows]
        return Block(runs[0], runs[1], seeds, values)

    def indices(self, task: str, region: str, within: list[int]) -> list[int]:
        """Return the positions of a region: one, or those of `within` for `ALL_REGIONS`."""
        return within if region == ALL_REGIONS else [self.regions[task].index(region)]

    def common_regions(self, keys: list[Key]) -> list[int]:
        """Return the positions of the regions that all these keys have scores in."""
        covered = np.logical_and.reduce([self.blocks[key].covered for key in keys])
        return [int(i) for i in np.flatnonzero(covered)]

    def families(self) -> dict[tuple[str, str, int, str, str], list[Key]]:
        """Group the keys of compositions by (model, task, n, head, metric)."""
        groups: dict[tuple[str, str, int, str, str], list[Key]] = {}
        for key in sorted(self.blocks):
            if key.composition:
                family = (key.model, key.task, key.n, key.head, key.metric)
                groups.setdefault(family, []).append(key)
        return groups

    def baselines(self, task: str, n: int, head: str, metric: str) -> list[Key]:
        """Return the baselines to set beside a head.

        Those with the same head, and those that have one head only (such as the majority
        class). If no baseline was run with this head (full fine-tuning has no counterpart on
        raw coordinates), every baseline with every head of its own.
        """
        own = [
            key
            for key in sorted(self.blocks)
            if not key.composition and (key.task, key.n, key.metric) == (task, n, metric)
        ]
        heads: dict[str, set[str]] = {}
        for key in own:
            heads.setdefault(key.model, set()).add(key.head)
        if not any(key.head == head for key in own):
            return own
        return [k for k in own if k.head == head or heads[k.model] == {k.model}]


def _checked(results: pa.Table) -> dict[str, npt.NDArray[Any]]:
    missing = [name for name in COLUMNS if name not in results.column_names]
    if missing:
        raise WherefromError(
            f"results: no column {missing[0]!r}; a results table has {', '.join(COLUMNS)}"
        )
    if results.num_rows == 0:
        raise WherefromError("results: the table is empty; run the study first")
    columns: dict[str, npt.NDArray[Any]] = {}
    for name, kind in COLUMNS.items():
        column = results[name].combine_chunks()
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise WherefromError(f"results: column {name!r}, row {row}: no value")
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        array = column.to_numpy(zero_copy_only=False)
        if kind == "text":
            if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
                raise WherefromError(f"results: column {name!r} is {column.type}, not text")
            array = array.astype(str)
        elif array.dtype.kind not in ("iu" if kind == "integer" else "iuf"):
            raise WherefromError(f"results: column {name!r} is {column.type}, not {kind}")
        columns[name] = array.astype(np.float64) if kind == "number" else array
    bad = np.flatnonzero(~np.isfinite(columns["value"]))
    if len(bad):
        raise WherefromError(
            f"results: row {bad[0]} has the value {columns['value'][bad[0]]} "
            f"({_describe(columns, int(bad[0]))}); a score is a finite number"
        )
    return columns


def _describe(columns: dict[str, npt.NDArray[Any]], row: int) -> str:
    return ", ".join(f"{n}={columns[n][row]}" for n in COLUMNS if n != "value")


def _distinct(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> set[tuple[str, str]]:
    levels_a, codes_a = np.unique(a, return_inverse=True)
    levels_b, codes_b = np.unique(b, return_inverse=True)
    pairs = np.unique(codes_a.astype(np.int64) * len(levels_b) + codes_b)
    return {(str(levels_a[p // len(levels_b)]), str(levels_b[p % len(levels_b)])) for p in pairs}
