"""From p-values to words: Holm's correction, equivalence, and the verdict of a pair."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BETTER", "UNDECIDED", "WORSE", "equivalent", "holm", "verdict"]

BETTER = "better"
WORSE = "worse"
UNDECIDED = "undecided"

Floats = npt.NDArray[np.float64]


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


def verdict(
    difference: float, p: float, p_equivalence: float, margin: float, alpha: float = 0.05
) -> str:
    """Say in words what the data decide about one pair.

    Equivalence comes first: a difference that is certain but certainly below the margin is
    reported as equivalent. A p-value of NaN (no interval) is undecided.

    Examples
    --------
    >>> verdict(0.04, 0.003, 1.0, margin=0.01)
    'better'
    >>> verdict(0.001, 0.4, 0.02, margin=0.01)
    'equivalent within 0.01'
    >>> verdict(0.02, 0.4, 0.6, margin=0.01)
    'undecided'
    """
    if p_equivalence <= alpha:
        return equivalent(margin)
    if p <= alpha:
        return BETTER if difference > 0 else WORSE
    return UNDECIDED
