"""Mean scores with their spread over fine-tune seeds and over runs, shown apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wherefrom.evidence.intervals import Parts, difference, limits
from wherefrom.evidence.records import SummaryRow
from wherefrom.evidence.scores import Key, Scores

__all__ = ["summary"]


def summary(scores: Scores) -> list[SummaryRow]:
    """Summarise every key in every region, and over all regions.

    `mean` is over all runs and fine-tune seeds; `std_finetune` is the standard deviation over
    fine-tune seeds within a run (mean over runs), as papers print it; `std_runs` is that of the
    means of the runs (draws and pre-train seeds). The interval covers draws and episodes
    (`wherefrom.evidence.intervals`); it is absent for a single draw.

    Parameters
    ----------
    scores : Scores

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
    for key in sorted(scores.blocks):
        for region in scores.regions_of(key):
            if np.isfinite(scores.values(key, region)).any():
                row, part = _row(scores, key, region)
                rows.append(row)
                parts.append(part)
    ends = limits(parts, [row.mean for row in rows])
    return [replace(row, low=low, high=high) for row, (low, high) in zip(rows, ends, strict=True)]


def _row(scores: Scores, key: Key, region: str) -> tuple[SummaryRow, Parts]:
    block, values = scores.blocks[key], scores.values(key, region)
    unit, seeds = scores.side(key, region)
    runs = np.isfinite(values).any(axis=1)
    values = values[runs]
    means = np.nanmean(values, axis=1)
    count = int(np.isfinite(values).sum(axis=1).max())
    part = Parts(float(means.mean()), why="no fine-tune seed common to all runs")
    if len(seeds):
        part = difference(unit)
    row = SummaryRow(
        **key._asdict(),
        region=region,
        mean=float(means.mean()),
        std_finetune=float(np.nanstd(values, axis=1, ddof=1).mean()) if count > 1 else None,
        std_runs=float(means.std(ddof=1)) if len(means) > 1 else None,
        draws=len(np.unique(block.draws[runs])) if key.composition else 0,
        pretrain_seeds=len(np.unique(block.pretrains[runs])) if key.composition else 0,
        runs=len(means),
        finetune_seeds=count,
        note=part.why,
    )
    return row, part
