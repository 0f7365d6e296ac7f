"""From comparisons to a word about a published claim: it holds, does not hold or is undecided."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import factorial

import numpy as np
import numpy.typing as npt

from wherefrom.evidence.records import DifferenceRow
from wherefrom.evidence.verdict import BETTER, UNDECIDED, WORSE

__all__ = ["FAILS", "HOLDS", "OPEN", "above", "all_better", "all_equal", "rank_correlation"]

HOLDS = "holds"
FAILS = "does not hold"
OPEN = "is undecided"

#: Arrangements drawn where there are too many to go through all.
_ARRANGEMENTS = 40_320


def all_better(rows: Sequence[DifferenceRow]) -> str:
    """Judge the claim that the first of every pair scores higher than the second.

    It holds where every pair is "better", and does not where one is decided otherwise ("worse",
    or equivalent within the margin). The verdicts of the pairs are those of one family.
    """
    verdicts = {row.verdict for row in rows}
    if verdicts - {BETTER, UNDECIDED}:
        return FAILS
    return HOLDS if verdicts == {BETTER} else OPEN


def all_equal(rows: Sequence[DifferenceRow]) -> str:
    """Judge the claim that no pair differs by more than the margin of equivalence.

    It holds where every pair is equivalent, and does not where one is "better" or "worse".
    """
    verdicts = {row.verdict for row in rows}
    if verdicts & {BETTER, WORSE}:
        return FAILS
    return HOLDS if verdicts and UNDECIDED not in verdicts else OPEN


def above(low: float | None, high: float | None, margin: float = 0.0) -> str:
    """Judge the claim that a difference is above zero, by its interval.

    It does not hold where the interval lies below a margin that is of no matter.

    Examples
    --------
    >>> above(0.01, 0.03, 0.01), above(-0.01, 0.005, 0.01), above(-0.01, 0.02, 0.01)
    ('holds', 'does not hold', 'is undecided')
    """
    if low is None or high is None:
        return OPEN
    if high < margin or high <= 0:
        return FAILS
    return HOLDS if low > 0 else OPEN


def rank_correlation(
    values: Sequence[float], means: Sequence[float], alpha: float = 0.05
) -> tuple[float, float, str]:
    """Judge the claim that what has a higher value has a higher mean, by Spearman's correlation.

    Parameters
    ----------
    values, means : sequence of float, length K
        Of the compositions; K at least 3.
    alpha : float
        Level of the test.

    Returns
    -------
    correlation : float
        Spearman's; ties have their mean rank. 0 where all values or all means are equal.
    p : float
        One-sided, from the arrangements of the means (all of them up to K = 8).
    word : str
        `HOLDS` if p is at most `alpha`, `FAILS` if that of the contrary claim is, else `OPEN`.

    Examples
    --------
    >>> correlation, p, word = rank_correlation([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.5, 0.4])
    >>> round(correlation, 3), round(p, 3), word
    (0.9, 0.042, 'holds')
    """
    x, y = (_ranks(np.asarray(side, dtype=np.float64)) for side in (values, means))
    scale = float(np.sqrt((x**2).sum() * (y**2).sum()))
    if scale == 0:
        return 0.0, 1.0, OPEN
    count = len(x)
    if factorial(count) <= _ARRANGEMENTS:
        arranged = y[np.array(list(permutations(range(count))))]
    else:
        arranged = np.random.default_rng(0).permuted(np.tile(y, (_ARRANGEMENTS, 1)), axis=1)
        arranged[0] = y  # the one at hand is among them
    correlations, own = arranged @ x / scale, float(x @ y) / scale
    p = float((correlations >= own - 1e-12).mean())
    contrary = float((correlations <= own + 1e-12).mean())
    return own, p, HOLDS if p <= alpha else FAILS if contrary <= alpha else OPEN


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ranks around zero; ties have their mean rank."""
    below = (values[:, None] > values).sum(axis=1)
    same = (values[:, None] == values).sum(axis=1)
    ranks = below + (same - 1) / 2
    return np.asarray(ranks - ranks.mean())
