"""Mean scores with their spread over fine-tune seeds and over runs, shown apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wherefrom.evidence.intervals import Parts, Side, difference, half_width
from wherefrom.evidence.records import SummaryRow
from wherefrom.evidence.scores import ALL_REGIONS, Block, Key, Scores

__all__ = ["INITIAL", "regions_of", "shared_regions", "side", "summary"]

#: The composition without places: its replicates are random initialisations, not draws.
INITIAL = "none"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def summary(scores: Scores, *, level: float = 0.95) -> list[SummaryRow]:
    """Summarise every key in every region, and over all regions.

    `mean` is over all runs and fine-tune seeds; `std_finetune` is the standard deviation over
    fine-tune seeds within a run (mean over runs), as in Table 1 of arXiv 2501.12535; `std_runs`
    is that of the means of the runs (draws and pre-train seeds). The interval covers draws and
    episodes (`wherefrom.evidence.intervals`); it is absent for a single draw.

    Parameters
    ----------
    scores : Scores
    level : float
        Level of the interval of the mean.

    Returns
    -------
    list of SummaryRow
        Sorted by key; the row of `ALL_REGIONS` comes after the regions. It averages those
        regions that every row of the same task, n, head and metric has scores in.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.evidence.scores import COLUMNS
    >>> rows = [("m", "uniform", d, 0, "t", "Asia", 100, "knn", s, "f1_macro", 0.5 + s / 10 + d)
    ...         for d in (0, 1) for s in (0, 1)]
    >>> row, = summary(Scores(pa.table(dict(zip(COLUMNS, map(list, zip(*rows)))))))
    >>> row.mean, round(row.std_finetune, 3), round(row.std_runs, 3), row.draws
    (1.05, 0.071, 0.707, 2)
    """
    rows: list[SummaryRow] = []
    parts: list[Parts] = []
    shared = shared_regions(scores)
    for key in sorted(scores.blocks):
        block = scores.blocks[key]
        within = shared[key[2:]]
        wanted = [scores.regions[key.task][i] for i in np.flatnonzero(block.covered)]
        wanted += [ALL_REGIONS] if len(within) > 1 else []
        for region in wanted:
            values = block.region(scores.indices(key.task, region, within))
            if np.isfinite(values).any():
                row, part = _row(key, region, block, values)
                rows.append(row)
                parts.append(part)
    halves = half_width(parts, level)
    return [
        row._replace(low=row.mean - half, high=row.mean + half) if np.isfinite(half) else row
        for row, half in zip(rows, halves.tolist(), strict=True)
    ]


def shared_regions(scores: Scores) -> dict[tuple[str, int, str, str], list[int]]:
    """Return, by (task, n, head, metric), the regions that the macro-average is over.

    They are the same for every model, composition and baseline, so that the averages compare.
    """
    groups: dict[tuple[str, int, str, str], list[Key]] = {}
    for key in scores.blocks:
        groups.setdefault(key[2:], []).append(key)
    shared = {}
    for group, keys in groups.items():
        beside = scores.baselines(*group)
        shared[group] = scores.common_regions([*keys, *beside])
    return shared


def regions_of(scores: Scores, keys: list[Key], within: list[int]) -> list[str]:
    """Return the regions in which any of some keys of one task has scores, the average last."""
    covered = np.logical_or.reduce([scores.blocks[key].covered for key in keys])
    regions = [scores.regions[keys[0].task][i] for i in np.flatnonzero(covered)]
    return [*regions, ALL_REGIONS] if len(within) > 1 else regions


def side(key: Key, block: Block, values: Floats) -> tuple[Side, Ints]:
    """Average the runs of each unit of replication; give the fine-tune seeds that all have.

    The unit is the draw, or the run where the composition has no draw (`INITIAL`).

    Parameters
    ----------
    key : Key
    block : Block
    values : ndarray of float64, shape (R, F)
        Scores of the block in one region or over all; NaN where missing.

    Returns
    -------
    Side
        Shape (U, F').
    ndarray of int64, shape (F',)
        The fine-tune seeds, in ascending order.
    """
    runs = np.isfinite(values).any(axis=1)
    seeds = np.isfinite(values[runs]).all(axis=0)
    values, draws = values[runs][:, seeds], block.draws[runs]
    if key.composition and key.composition != INITIAL:
        values = np.stack([values[draws == draw].mean(axis=0) for draw in np.unique(draws)])
    return Side(values, fixed=not key.composition), block.seeds[seeds]


def _row(key: Key, region: str, block: Block, values: Floats) -> tuple[SummaryRow, Parts]:
    unit, seeds = side(key, block, values)
    runs = np.isfinite(values).any(axis=1)
    values = values[runs]
    means = np.nanmean(values, axis=1)
    count = int(np.isfinite(values).sum(axis=1).max())
    part = Parts(float(means.mean()), why="no fine-tune seed common to all runs")
    if len(seeds):
        part = difference(unit)
    row = SummaryRow(
        *key,
        region=region,
        mean=float(means.mean()),
        std_finetune=float(np.nanstd(values, axis=1, ddof=1).mean()) if count > 1 else None,
        std_runs=float(means.std(ddof=1)) if len(means) > 1 else None,
        low=None,
        high=None,
        draws=len(np.unique(block.draws[runs])) if key.composition else 0,
        pretrain_seeds=len(np.unique(block.pretrains[runs])) if key.composition else 0,
        runs=len(means),
        finetune_seeds=count,
        note=part.why,
    )
    return row, part
