"""How far apart two sets of shares are, and how even one is. All in nats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, rel_entr, xlogy

__all__ = [
    "effective",
    "homogeneity",
    "jensen_shannon",
    "kullback_leibler",
    "shannon",
    "total_variation",
    "z_scores",
]

#: Labels expected less often than this are one label to the chi-square test (Cochran 1954).
_FEWEST = 5.0


def shannon(shares: ArrayLike) -> float:
    """Shannon entropy of shares (K,) that sum to 1, ``-sum p ln p``, in nats: 0 to ln K.

    It is the diversity of Kaur et al. 2026 (arXiv 2604.21104), where six equal continents have
    ln 6 = 1.79. Of the n places of a sample it is low by about ``(K - 1) / 2n`` (Miller 1955),
    which is not mended here.

    >>> round(shannon([1 / 6] * 6), 4), shannon([1.0, 0.0])
    (1.7918, 0.0)
    """
    p = np.asarray(shares, dtype=np.float64)
    return abs(float(xlogy(p, p).sum()))


def effective(shares: ArrayLike) -> float:
    """Effective number of labels: how many equal ones have the same entropy (Hill 1973).

    >>> round(effective([0.25] * 4), 6), round(effective([0.5, 0.5, 0.0, 0.0]), 6)
    (4.0, 2.0)
    """
    return float(np.exp(shannon(shares)))


def kullback_leibler(shares: ArrayLike, reference: ArrayLike) -> float:
    """Kullback-Leibler divergence of shares from a reference, ``sum p ln(p / q)``, in nats.

    At least 0; ``inf`` where there is a share that the reference has not at all.

    >>> round(kullback_leibler([0.5, 0.5], [0.25, 0.75]), 4)
    0.1438
    >>> kullback_leibler([0.5, 0.5], [1.0, 0.0])
    inf
    """
    p, q = np.asarray(shares, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    return max(0.0, float(rel_entr(p, q).sum()))


def jensen_shannon(shares: ArrayLike, reference: ArrayLike) -> float:
    """Jensen-Shannon divergence: mean divergence of both from their mean (Lin 1991), in nats.

    In [0, ln 2]; symmetric, and finite whatever has no share.

    >>> round(jensen_shannon([1.0, 0.0], [0.0, 1.0]), 4), jensen_shannon([0.5, 0.5], [0.5, 0.5])
    (0.6931, 0.0)
    """
    p, q = np.asarray(shares, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    # Twice the shares beside their sum: half the least number that there is would be none.
    return (kullback_leibler(2.0 * p, p + q) + kullback_leibler(2.0 * q, p + q)) / 4.0


def total_variation(shares: ArrayLike, reference: ArrayLike) -> float:
    """Total variation: the share of places that would have to move to reach the reference.

    >>> total_variation([0.5, 0.5], [0.25, 0.75])
    0.25
    """
    p, q = np.asarray(shares, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    return float(np.abs(p - q).sum() / 2.0)


def z_scores(differences: ArrayLike, deviations: ArrayLike) -> list[float | None]:
    """Differences (K,) in their standard deviations; None where nothing can vary."""
    pairs = zip(np.asarray(differences).tolist(), np.asarray(deviations).tolist(), strict=True)
    return [difference / sd if sd > 0.0 else None for difference, sd in pairs]


def homogeneity(shares: ArrayLike, n: float, reference: ArrayLike, m: float) -> float | None:
    """Probability that samples of n and m of one population differ by so much: chi-square test.

    None where nothing can be tested: a size is 0, or fewer than two labels are expected 5 times in
    both samples once the rare ones are put together.

    >>> round(homogeneity([0.6, 0.4], 100, [0.5, 0.5], 100), 4)
    0.1552
    """
    if not (n > 0 and m > 0):
        return None
    p, q = np.asarray(shares, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    pooled = (n * p + m * q) / (n + m)
    rare = pooled * min(n, m) < _FEWEST
    if rare.any():
        p, q = (np.append(x[~rare], x[rare].sum()) for x in (p, q))
        pooled = (n * p + m * q) / (n + m)
        if pooled[-1] * min(n, m) < _FEWEST:
            p, q, pooled = p[:-1], q[:-1], pooled[:-1]
    if len(p) < 2:
        return None
    statistic = ((p - q) ** 2 / pooled).sum() * n * m / (n + m)
    return float(chdtrc(len(p) - 1, statistic))
