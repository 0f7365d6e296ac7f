"""Raking: cells scaled until their margins are those of a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Raked", "rake"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Margins count as met when no share is farther from its target.
NEAR = 1e-9
MOST_ROUNDS = 20_000
PATIENCE = 2000


@dataclass(frozen=True, eq=False)
class Raked:
    """Cells after raking.

    Attributes
    ----------
    shares : ndarray of float64, shape (H,)
        Of each cell.
    rounds : int
        Passes over all margins.
    misfit : tuple of float
        For each margin, the largest difference of a share from its target.
    """

    shares: Floats
    rounds: int
    misfit: tuple[float, ...]

    @property
    def converged(self) -> bool:
        """Whether all margins are met to `NEAR`."""
        return max(self.misfit, default=0.0) <= NEAR


def rake(
    sizes: Ints | Floats,
    codes: Sequence[Ints],
    targets: Sequence[Floats],
    most: Floats | None = None,
) -> Raked:
    """Scale cells by one factor per label of each margin until the margins meet their targets.

    Iterative proportional fitting [1]_; with `most`, truncated raking [2]_: a cell is
    ``min(most, size x product of its factors)``, which among all cells within the bounds and with
    these margins is nearest to the sizes in relative entropy.

    Parameters
    ----------
    sizes : ndarray, shape (H,)
        Cells to start from, above 0.
    codes : sequence of ndarray of int64, shape (H,)
        For each margin, the label of every cell.
    targets : sequence of ndarray of float64, shape (labels,)
        For each margin, the share of every label; each sums to 1.
    most : ndarray of float64, shape (H,), optional
        No cell's share exceeds this.

    Returns
    -------
    Raked
        If the margins contradict each other, or the empty cells or the bounds, the shares of the
        last round, with the misfit that is left.

    References
    ----------
    .. [1] W. E. Deming, F. F. Stephan, On a least squares adjustment of a sampled frequency table
       when the expected marginal totals are known, Ann. Math. Stat. 11 (1940).
    .. [2] J.-C. Deville, C.-E. Saerndal, Calibration estimators in survey sampling, J. Am. Stat.
       Assoc. 87 (1992).

    Examples
    --------
    >>> rows, columns = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> halves = np.array([0.5, 0.5])
    >>> raked = rake(np.array([40, 30, 20, 10]), [rows, columns], [halves, halves])
    >>> raked.shares.round(4).tolist(), raked.converged
    ([0.2247, 0.2753, 0.2753, 0.2247], True)
    """
    bound = np.full(len(sizes), np.inf) if most is None else most
    free: Floats = np.asarray(sizes, dtype=np.float64) / float(np.sum(sizes))
    rounds = 0
    misfit = _misfit(np.minimum(free, bound), codes, targets)
    best, since = np.inf, 0
    # Margins that contradict each other are approached no further, near ones now and then slowly.
    while max(misfit, default=0.0) > NEAR and rounds < MOST_ROUNDS and since < PATIENCE:
        for code, target in zip(codes, targets, strict=True):
            free *= _factors(free, bound, code, target)[code]
            # A label whose cells are all full cannot reach its target: no endless growth.
            np.minimum(free, 1e99 * bound, out=free)
        rounds += 1
        misfit = _misfit(np.minimum(free, bound), codes, targets)
        if max(misfit) < 0.999 * best:
            best, since = max(misfit), 0
        else:
            since += 1
    shares = np.minimum(free, bound)
    return Raked(shares, rounds, misfit)


def _misfit(shares: Floats, codes: Sequence[Ints], targets: Sequence[Floats]) -> tuple[float, ...]:
    return tuple(
        float(np.abs(np.bincount(code, shares, minlength=len(target)) - target).max())
        for code, target in zip(codes, targets, strict=True)
    )


def _factors(free: Floats, bound: Floats, code: Ints, target: Floats) -> Floats:
    """Find the factor of each label with which its cells, cut at their bounds, sum to its target.

    Cells at their bounds give that much, the others are scaled to the rest; scaling them up may
    bring more to their bounds, never fewer.
    """
    labels = len(target)
    factor = np.ones(labels)
    full = np.zeros(len(free), dtype=bool)
    while True:
        given = np.bincount(code[full], bound[full], minlength=labels)
        rest = np.bincount(code[~full], free[~full], minlength=labels)
        open_ = rest > 0
        factor[open_] = np.maximum(target[open_] - given[open_], 0.0) / rest[open_]
        over = ~full & (free * factor[code] > bound)
        if not over.any():
            return factor
        full |= over
