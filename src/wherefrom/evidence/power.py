"""What a study could have found, and what more of it would buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import gammaincinv, ndtr

from wherefrom.evidence.intervals import Floats, Parts

__all__ = ["MORE", "POWER", "RARE_DRAWS", "detectable", "more"]

#: Probability with which a detectable difference is decided.
POWER = 0.8
#: What a variance budget adds: blocks, episodes, and test places in each region.
MORE = {"block": 1, "episode": 100, "place": 1000}

#: What no number of blocks that anyone runs can show.
RARE_DRAWS = (
    "A draw that turns out bad once in ten times goes unseen in 73 of 100 studies of 3 blocks and "
    "in 53 of 100 of 6: the intervals speak of the usual draw, not of the worst."
)

#: Levels of the chi-squared distribution over which a power is averaged.
_LEVELS = (np.arange(48) + 0.5) / 48


def detectable(parts: Sequence[Parts], halves: Floats) -> Floats:
    """Return the smallest differences that are decided with probability 0.8; NaN for none.

    That is the standard error times the noncentrality at which a t statistic exceeds the ratio of
    half-width to standard error, on the right side, in 8 of 10 studies.

    Parameters
    ----------
    parts : sequence of Parts, length C
    halves : ndarray of float64, shape (C,)
        Half-widths of their intervals.

    Returns
    -------
    ndarray of float64, shape (C,)

    Examples
    --------
    >>> detectable([Parts(0.0, 1e-5, 10.0, 0.0, 49.0)], np.array([0.0145])).round(4).tolist()
    [0.0179]
    """
    rows = [(p.variance, np.nan if p.why else p.df) for p in parts]
    variance, df = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    known = np.isfinite(halves) & (variance > 0)
    error, df = np.sqrt(variance[known]), df[known]
    # The noncentral t as a normal variable, averaged over what the degrees of freedom leave open.
    limit = halves[known, None] / error[:, None]
    limit = limit * np.sqrt(2 * gammaincinv(df[:, None] / 2, _LEVELS) / df[:, None])
    low, high = np.zeros(len(df)), limit[:, -1] + 4
    for _ in range(40):
        middle = (low + high) / 2
        decided = ndtr(middle[:, None] - limit).mean(axis=1) >= POWER
        low, high = np.where(decided, low, middle), np.where(decided, middle, high)
    found = np.full(len(parts), np.nan)
    found[known] = error * high
    return found


def more(
    part: Parts, axis: str, blocks: int, episodes: int, regions: int = 1, added: int | None = None
) -> Parts:
    """Return what a contrast's variance would be with more of one axis.

    Parameters
    ----------
    part : Parts
        Of a contrast of compositions.
    axis : str
        "block", "episode" or "place". The number of test places is taken from the degrees of
        freedom of their part: that of independent places less one.
    blocks, episodes : int
        As many as it stands on.
    regions : int
        Over which it is averaged; places are added in each.
    added : int, optional
        How many; by default `MORE`.

    Examples
    --------
    >>> part = Parts(0.0, 1.2e-5, 10.0, 3e-6, 49.0)
    >>> round(more(part, "block", 5, 50).block, 7), more(part, "block", 5, 50).block_df
    (1e-05, 12.5)
    """
    added = MORE[axis] if added is None else added
    if axis == "block":
        grown, df = part.block * blocks / (blocks + added), part.block_df / (blocks - 1)
        return replace(part, block=grown, block_df=df * (blocks - 1 + added))
    if axis == "episode":
        grown = part.episode * episodes / (episodes + added)
        return replace(part, episode=grown, episode_df=part.episode_df + added)
    count, added = part.place_df + 1, added * regions
    if not np.isfinite(count):
        return part
    return replace(part, place=part.place * count / (count + added), place_df=count + added - 1)
