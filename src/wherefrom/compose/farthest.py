"""Farthest points: each next one as far as can be from those before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

__all__ = ["farthest_points"]

#: Points of a block: fewer cost more per block, more cost more per point.
BLOCK = 128


def farthest_points(
    points: NDArray[np.float64], n: int, first: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose points one by one, each the farthest from all those chosen before.

    The exact greedy choice, not an approximation. Their covering radius is at most twice the best
    that n of the points can have [1]_, and no two are nearer than it, which makes them blue noise
    [2]_.

    Parameters
    ----------
    points : ndarray of float64, shape (N, D)
    n : int
        From 1 to N.
    first : int
        Row of the first point. Of points equally far the lowest row is taken.

    Returns
    -------
    rows : ndarray of int64, shape (n,)
        In the order of choice.
    radius : ndarray of float64, shape (n,)
        Distance of the point farthest from the first k + 1 points chosen.

    References
    ----------
    .. [1] T. F. Gonzalez, Clustering to minimize the maximum intercluster distance, Theor. Comput.
       Sci. 38 (1985).
    .. [2] Y. Eldar et al., The farthest point strategy for progressive image sampling, IEEE Trans.
       Image Process. 6 (1997).

    Examples
    --------
    >>> line = np.array([[0.0], [1.0], [4.0], [10.0]])
    >>> rows, radius = farthest_points(line, 3, first=0)
    >>> rows.tolist(), radius.tolist()
    ([0, 3, 2], [10.0, 4.0, 1.0])
    """
    blocks = _Blocks(points)
    rows = np.empty(n, dtype=np.int64)
    radius = np.empty(n)
    rows[0] = first
    for k in range(n):
        blocks.choose(points[rows[k]])
        farthest, square = blocks.farthest()
        radius[k] = np.sqrt(square)
        if k + 1 < n:
            # Beyond the last distinct point all are at distance 0: those not chosen come next.
            if square == 0:
                rest = np.setdiff1d(np.arange(len(points)), rows[: k + 1])
                rows[k + 1 :] = rest[: n - k - 1]
                radius[k + 1 :] = 0.0
                break
            rows[k + 1] = farthest
    return rows, radius


class _Blocks:
    """Points in blocks that lie together, with the squared distance to the nearest chosen one.

    A block is looked at only if the chosen point is nearer to its sphere than the block's largest
    such distance, and is skipped as a whole otherwise.
    """

    def __init__(self, points: NDArray[np.float64]) -> None:
        count = -(-len(points) // BLOCK)
        order = np.asarray(KDTree(points, leafsize=BLOCK).indices, dtype=np.int64)
        # Padding repeats the last point, which changes no largest distance.
        padded = np.concatenate([order, np.repeat(order[-1:], count * BLOCK - len(order))])
        self._rows = padded.reshape(count, BLOCK)
        self._points = points[padded].reshape(count, BLOCK, points.shape[1])
        self._centre = self._points.mean(axis=1)
        spread = ((self._points - self._centre[:, None]) ** 2).sum(axis=2)
        # A little more than the sphere, so that rounding never skips a block.
        self._reach = np.sqrt(spread.max(axis=1)) * (1 + 1e-9) + 1e-15
        self._square = np.full(self._rows.shape, np.inf)
        self._largest = np.full(count, np.inf)
        self._limit = np.full(count, np.inf)

    def choose(self, point: NDArray[np.float64]) -> None:
        """Bring the distances up to date after the choice of a point."""
        apart = self._centre - point
        near = np.flatnonzero(np.einsum("bd,bd->b", apart, apart) < self._limit)
        between = self._points[near] - point
        square = np.minimum(self._square[near], np.einsum("bkd,bkd->bk", between, between))
        self._square[near] = square
        largest = square.max(axis=1)
        self._largest[near] = largest
        self._limit[near] = (np.sqrt(largest) + self._reach[near]) ** 2 * (1 + 1e-9)

    def farthest(self) -> tuple[int, float]:
        """Return the row of the farthest point, the lowest of equals, and its squared distance."""
        square = self._largest.max()
        blocks = np.flatnonzero(self._largest == square)
        row = self._rows[blocks][self._square[blocks] == square].min()
        return int(row), float(square)
