"""Mean scores, and how far they vary: over fine-tune seeds and over blocks, apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wherefrom.evidence.intervals import Floats, Parts, Side, difference, limits
from wherefrom.evidence.records import SummaryRow, VarianceRow
from wherefrom.evidence.scores import Key, Scored, Scores

__all__ = ["summary", "variance_shares"]


def summary(scores: Scores) -> list[SummaryRow]:
    """Summarise every key in every region, and over all regions.

    `mean` is over all blocks and fine-tune seeds; `std_finetune` is the standard deviation over
    fine-tune seeds within a block (mean over blocks), as papers print it; `std_blocks` is that of
    the means of the blocks. The interval covers blocks, episodes and, where they are a sample,
    test places (`wherefrom.evidence.intervals`); it is absent for a single block.

    Returns
    -------
    list of SummaryRow
        Sorted by key; the row of `ALL_REGIONS` comes after the regions. It averages those
        regions that every row of the same task, n, head and metric has scores in.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.evidence.scores import COLUMNS
    >>> rows = [("m", "uniform", d, "t", "Asia", 100, "knn", s, "f1_macro", 0.5 + s / 10 + d)
    ...         for d in (0, 1) for s in (0, 1)]
    >>> row, = summary(Scores(pa.table(dict(zip(COLUMNS, map(list, zip(*rows)))))))
    >>> row.mean, round(row.std_finetune, 3), round(row.std_blocks, 3), row.blocks
    (1.05, 0.071, 0.707, 2)
    """
    made = [
        _row(scores, key, region, scored)
        for key in sorted(scores.cells)
        for region in scores.regions_of(key)
        if (scored := scores.scored(key, region))
    ]
    ends = limits([part for _, part in made], [row.mean for row, _ in made])
    return [replace(row, low=a, high=b) for (row, _), (a, b) in zip(made, ends, strict=True)]


def _row(scores: Scores, key: Key, region: str, scored: Scored) -> tuple[SummaryRow, Parts]:
    values = scores.values(key, region)
    values = values[np.isfinite(values).any(axis=1)]
    means = np.nanmean(values, axis=1)
    count = int(np.isfinite(values).sum(axis=1).max())
    part = Parts(float(means.mean()), why="no fine-tune seed common to all blocks")
    if len(scored.seeds):
        part = difference(Side(scored.values, fixed=not key.composition))
    if scores.places is not None:
        sample = scores.places.covariance([key], region, scores.averaged(key))
        if sample is not None:
            part = replace(part, place=float(sample[0][0, 0]), place_df=sample[1])
    row = SummaryRow(
        **key._asdict(),
        region=region,
        mean=float(means.mean()),
        std_finetune=float(np.nanstd(values, axis=1, ddof=1).mean()) if count > 1 else None,
        std_blocks=float(means.std(ddof=1)) if len(means) > 1 else None,
        blocks=len(means) if key.composition else 0,
        finetune_seeds=count,
        note=part.why,
    )
    return row, part


def variance_shares(scores: Scores) -> list[VarianceRow]:
    """Estimate the components of variance of a single score, by the method of moments.

    Fine-tune seeds are crossed with blocks. The components are variances: `finetune` of one
    fine-tune seed within a block, `block` between blocks; a negative estimate is set to 0.
    `naive_factor` is the standard error of one block's mean, counting that another block would
    differ, over the one that its fine-tune seeds alone would claim: by how much error bars over
    fine-tune seeds are too short.

    Returns
    -------
    list of VarianceRow
        For every composition and region with at least two blocks and two fine-tune seeds.
    """
    return [
        row
        for key in sorted(scores.cells)
        if key.composition
        for region in scores.regions_of(key)
        if (row := _components(key, region, scores.values(key, region)))
    ]


def _components(key: Key, region: str, values: Floats) -> VarianceRow | None:
    blocks = np.isfinite(values).any(axis=1)
    values = values[blocks][:, np.isfinite(values[blocks]).all(axis=0)]
    count, seeds = values.shape
    if count < 2 or seeds < 2:
        return None
    means = values.mean(axis=1)
    residual = values - means[:, None] - values.mean(axis=0) + means.mean()
    noise = float((residual**2).sum()) / ((count - 1) * (seeds - 1) * seeds)
    finetune = float(values.var(axis=1, ddof=1).mean())
    block = max(0.0, float(means.var(ddof=1)) - noise)
    naive, total = finetune / seeds, finetune + block
    return VarianceRow(
        **key._asdict(),
        region=region,
        finetune=finetune,
        block=block,
        finetune_share=finetune / total if total > 0 else None,
        block_share=block / total if total > 0 else None,
        naive_factor=float(np.sqrt(1 + block / naive)) if naive > 0 else None,
    )
