"""From intervals to words: the verdict of a pair, and whether a published claim holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations
from math import factorial

import numpy as np

from wherefrom.evidence.intervals import Floats

__all__ = [
    "BETTER", "FAILS", "HOLDS", "OPEN", "UNDECIDED", "WORSE", "above", "all_better", "all_equal",
    "equivalent", "holm", "rank_correlation", "verdict", "within",
]  # fmt: skip

BETTER = "better"
WORSE = "worse"
UNDECIDED = "undecided"

#: Words about a claim.
HOLDS = "holds"
FAILS = "does not hold"
OPEN = "is undecided"

#: Level of all tests.
ALPHA = 0.05

#: Arrangements drawn where there are too many to go through all.
_ARRANGEMENTS = 40_320


def equivalent(margin: float) -> str:
    """Return the verdict of equivalence, which names its margin.

    Examples
    --------
    >>> equivalent(0.01)
    'equivalent within 0.01'
    """
    return f"equivalent within {margin:g}"


def holm(p: Floats) -> Floats:
    """Adjust the p-values of one family by Holm's (1979) step-down method.

    Parameters
    ----------
    p : ndarray of float64, shape (N,)
        NaN means that no test was possible; it does not count in the family.

    Returns
    -------
    ndarray of float64, shape (N,)

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return adjusted


def within(low: float | None, high: float | None, margin: float) -> bool:
    """Tell whether an interval lies within the margin of equivalence."""
    return low is not None and high is not None and -margin < low and high < margin


def verdict(
    low: float | None, high: float | None, margin: float, *, sign: int = 1, sensitive: bool = True
) -> str:
    """Say in words what the interval of a difference decides; without interval nothing.

    A difference above 0 is for the better where `sign` is 1, for the worse where it is -1.
    Equivalence comes first: a difference that is certain but certainly below the margin is
    reported as equivalent. It is only said of a study that is `sensitive`: one that did tell a
    positive control from its reference.

    Examples
    --------
    >>> verdict(0.01, 0.07, margin=0.01), verdict(0.01, 0.07, margin=0.01, sign=-1)
    ('better', 'worse')
    >>> verdict(-0.004, 0.006, margin=0.01)
    'equivalent within 0.01'
    >>> verdict(-0.004, 0.006, margin=0.01, sensitive=False), verdict(-0.02, 0.06, margin=0.01)
    ('undecided', 'undecided')
    """
    if low is None or high is None:
        return UNDECIDED
    if sensitive and within(low, high, margin):
        return equivalent(margin)
    if low <= 0 <= high:
        return UNDECIDED
    return BETTER if sign * low > 0 else WORSE


def all_better(verdicts: Iterable[str]) -> str:
    """Judge the claim that the first of every pair scores better than the second.

    It holds where every pair is "better", and does not where one is decided otherwise ("worse",
    or equivalent within the margin). The verdicts of the pairs are those of one family.
    """
    words = set(verdicts)
    if words - {BETTER, UNDECIDED}:
        return FAILS
    return HOLDS if words == {BETTER} else OPEN


def all_equal(verdicts: Iterable[str]) -> str:
    """Judge the claim that no pair differs by more than the margin of equivalence.

    It holds where every pair is equivalent, and does not where one is "better" or "worse".
    """
    words = set(verdicts)
    if words & {BETTER, WORSE}:
        return FAILS
    return HOLDS if words and UNDECIDED not in words else OPEN


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
    values: Sequence[float], means: Sequence[float], tests: int = 1
) -> tuple[float, float, str]:
    """Judge the claim that what has a higher value has a higher mean, by Spearman's correlation.

    Parameters
    ----------
    values, means : sequence of float, length K
        Of the compositions; K at least 3.
    tests : int
        How many such tests are made of one claim: each has its share of 0.05 (Bonferroni).

    Returns
    -------
    correlation : float
        Spearman's; ties have their mean rank. 0 where all values or all means are equal.
    p : float
        One-sided, from the arrangements of the means (all of them up to K = 8).
    word : str
        `HOLDS` if p is at most 0.05 / `tests`, `FAILS` if that of the contrary claim is, else
        `OPEN`.

    Examples
    --------
    >>> correlation, p, word = rank_correlation([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.5, 0.4])
    >>> round(correlation, 3), round(p, 3), word
    (0.9, 0.042, 'holds')
    """
    from scipy.stats import rankdata  # slow to import

    x, y = (ranks - ranks.mean() for ranks in map(rankdata, (values, means)))
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
    level = ALPHA / tests
    return own, p, HOLDS if p <= level else FAILS if contrary <= level else OPEN
