"""What a study could have found, and what more of it would buy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaincinv, ndtr

from wherefrom.evidence.intervals import Floats, Parts

__all__ = ["POWER", "detectable"]

#: Probability with which a detectable difference is decided.
POWER = 0.8
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
