"""How much of a score's spread comes from fine-tune seeds, pre-train seeds and draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wherefrom.evidence.records import VarianceRow
from wherefrom.evidence.scores import INITIAL, Block, Key, Scores

__all__ = ["variance_shares"]

Floats = npt.NDArray[np.float64]


def variance_shares(scores: Scores) -> list[VarianceRow]:
    """Estimate the components of variance of a single score, by the method of moments.

    Pre-train seeds are nested in draws; fine-tune seeds are crossed with runs. The components
    are variances: `finetune` of one fine-tune seed within a run, `pretrain` between runs of one
    draw, `draw` between draws; negative estimates are set to 0. A component whose axis has one
    level is None, and so are the shares then. `naive_factor` is the standard error of one run's
    mean, counting that another draw and pre-training would differ, over the one that its
    fine-tune seeds alone would claim: by how much error bars over fine-tune seeds are too short.

    Parameters
    ----------
    scores : Scores

    Returns
    -------
    list of VarianceRow
        For every composition and region with at least two runs and two fine-tune seeds.
    """
    rows = [
        _row(key, region, scores.blocks[key], scores.values(key, region))
        for key in sorted(scores.blocks)
        if key.composition
        for region in scores.regions_of(key)
    ]
    return [row for row in rows if row is not None]


def _row(key: Key, region: str, block: Block, values: Floats) -> VarianceRow | None:
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
    pretrain = None
    within = np.nan
    if repeated:
        freedom = sum(len(g) - 1 for g in repeated)
        within = sum(float(g.var(ddof=1)) * (len(g) - 1) for g in repeated) / freedom
        pretrain = max(0.0, within - noise)
    draw = None
    if len(groups) > 1:
        spread = float(np.var([g.mean() for g in groups], ddof=1))
        per_draw = float(np.mean([1 / len(g) for g in groups]))
        draw = max(0.0, spread - per_draw * (within if repeated else noise))
    if key.composition == INITIAL:
        draw = 0.0
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
