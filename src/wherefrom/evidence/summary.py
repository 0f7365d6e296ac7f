"""Mean scores, and how far they vary: over fine-tune seeds, pre-train seeds and draws, apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wherefrom.evidence.intervals import Floats, Parts, difference, limits
from wherefrom.evidence.records import SummaryRow, VarianceRow
from wherefrom.evidence.scores import INITIAL, Block, Key, Scores

__all__ = ["summary", "variance_shares"]


def summary(scores: Scores) -> list[SummaryRow]:
    """Summarise every key in every region, and over all regions.

    `mean` is over all runs and fine-tune seeds; `std_finetune` is the standard deviation over
    fine-tune seeds within a run (mean over runs), as papers print it; `std_runs` is that of the
    means of the runs (draws and pre-train seeds). The interval covers draws and episodes
    (`wherefrom.evidence.intervals`); it is absent for a single draw.

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
    made = [
        _row(scores, key, region)
        for key in sorted(scores.blocks)
        for region in scores.regions_of(key)
        if np.isfinite(scores.values(key, region)).any()
    ]
    ends = limits([part for _, part in made], [row.mean for row, _ in made])
    return [replace(row, low=a, high=b) for (row, _), (a, b) in zip(made, ends, strict=True)]


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


def variance_shares(scores: Scores) -> list[VarianceRow]:
    """Estimate the components of variance of a single score, by the method of moments.

    Pre-train seeds are nested in draws; fine-tune seeds are crossed with runs. The components
    are variances: `finetune` of one fine-tune seed within a run, `pretrain` between runs of one
    draw, `draw` between draws; negative estimates are set to 0. A component whose axis has one
    level is None, and so are the shares then. `naive_factor` is the standard error of one run's
    mean, counting that another draw and pre-training would differ, over the one that its
    fine-tune seeds alone would claim: by how much error bars over fine-tune seeds are too short.

    Returns
    -------
    list of VarianceRow
        For every composition and region with at least two runs and two fine-tune seeds.
    """
    return [
        row
        for key in sorted(scores.blocks)
        if key.composition
        for region in scores.regions_of(key)
        if (row := _components(key, region, scores.blocks[key], scores.values(key, region)))
    ]


def _components(key: Key, region: str, block: Block, values: Floats) -> VarianceRow | None:
    runs = np.isfinite(values).any(axis=1)
    values = values[runs][:, np.isfinite(values[runs]).all(axis=0)]
    count, seeds = values.shape
    if count < 2 or seeds < 2:
        return None
    draws = np.zeros(count) if key.composition == INITIAL else block.draws[runs]
    means = values.mean(axis=1)
    residual = values - means[:, None] - values.mean(axis=0) + means.mean()
    noise = float((residual**2).sum()) / ((count - 1) * (seeds - 1) * seeds)
    finetune = float(values.var(axis=1, ddof=1).mean())
    groups = [means[draws == draw] for draw in np.unique(draws)]
    repeated = [g for g in groups if len(g) > 1]
    pretrain, within = None, noise
    if repeated:
        freedom = sum(len(g) - 1 for g in repeated)
        within = sum(float(g.var(ddof=1)) * (len(g) - 1) for g in repeated) / freedom
        pretrain = max(0.0, within - noise)
    draw = 0.0 if key.composition == INITIAL else None
    if len(groups) > 1:
        spread = float(np.var([g.mean() for g in groups], ddof=1))
        per_draw = float(np.mean([1 / len(g) for g in groups]))
        draw = max(0.0, spread - per_draw * within)
    run = float(means.var(ddof=1))
    naive = finetune / seeds
    components = (finetune, pretrain, draw)
    total = sum(part for part in components if part is not None)
    whole = None not in components and total > 0
    shares = [part / total if whole and part is not None else None for part in components]
    factor = float(np.sqrt(1 + max(0.0, run - noise) / naive)) if naive > 0 else None
    return VarianceRow(
        **key._asdict(),
        region=region,
        finetune=finetune,
        pretrain=pretrain,
        draw=draw,
        finetune_share=shares[0],
        pretrain_share=shares[1],
        draw_share=shares[2],
        naive_factor=factor,
    )
