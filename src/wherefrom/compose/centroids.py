"""k-means: centroids that stand for many points, and the points nearest to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import KDTree

__all__ = ["kmeans", "representatives"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Centroids are fitted to at most so many points each, or so many in all, whichever is more.
POINTS_EACH, POINTS = 64, 1 << 16
ROUNDS = 50
#: Stop when a round lowers the mean squared distance by less.
GAIN = 2e-4
#: Up to so many dimensions a k-d tree finds the nearest centroid faster than all distances.
FLAT = 6


def kmeans(points: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Find k centroids by Lloyd's rounds [1]_.

    The first centroids are points drawn with a probability in proportion to the squared distance
    from those drawn before, as k-means++ [2]_ does, but from the ninth on several at a time. A
    cluster that loses all its points starts again at the point farthest from its own centroid.

    Parameters
    ----------
    points : ndarray of float64, shape (N, D)
    k : int
        From 1 to N.
    rng : numpy.random.Generator
        Draws the first centroids, and, of more than 65,536 points, 64 for each to fit to.

    Returns
    -------
    ndarray of float64, shape (k, D)

    References
    ----------
    .. [1] S. P. Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28 (1982).
    .. [2] D. Arthur, S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA (2007).

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [10.0], [11.0], [12.0]])
    >>> sorted(kmeans(points, 2, np.random.default_rng(0)).ravel().tolist())
    [0.5, 11.0]
    """
    few = min(len(points), max(POINTS, POINTS_EACH * k))
    points = points[rng.choice(len(points), few, replace=False)]
    centroids = _first(points, k, rng)
    before = np.inf
    for _ in range(ROUNDS):
        cluster, square = _nearest(points, centroids)
        sizes = np.bincount(cluster, minlength=k)
        member = csr_array((np.ones(few), (cluster, np.arange(few))), shape=(k, few))
        centroids = np.asarray(member @ points) / np.maximum(sizes, 1)[:, None]
        empty = np.flatnonzero(sizes == 0)
        centroids[empty] = points[np.argsort(-square, kind="stable")[: len(empty)]]
        mean = float(square.mean())
        if mean >= before * (1 - GAIN) and not len(empty):
            break
        before = mean
    return centroids


def _first(points: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Draw the first centroids, a quarter more each time."""
    chosen = [points[:1]]
    count = 1
    square = np.full(len(points), np.inf)
    while count < k:
        square = np.minimum(square, _nearest(points, chosen[-1])[1])
        more = min(max(1, count // 4), k - count)
        apart = int(np.count_nonzero(square))
        if apart < more:
            # All points coincide with a centroid: any others will do.
            chosen.append(points[rng.choice(len(points), k - count, replace=False)])
            break
        chosen.append(points[rng.choice(len(points), more, replace=False, p=square / square.sum())])
        count += more
    return np.concatenate(chosen)


def representatives(points: Floats, centroids: Floats) -> tuple[Ints, int]:
    """Choose one point for each centroid: of those nearest to it, the very nearest.

    Parameters
    ----------
    points : ndarray of float64, shape (N, D)
    centroids : ndarray of float64, shape (k, D)
        No more than points.

    Returns
    -------
    rows : ndarray of int64, shape (k,)
        Distinct. For a centroid that is no point's nearest, the point farthest from its own
        centroid that is not taken yet.
    empty : int
        Number of such centroids.

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [10.0], [11.0], [12.0]])
    >>> rows, empty = representatives(points, np.array([[0.6], [11.0]]))
    >>> rows.tolist(), empty
    ([1, 3], 0)
    """
    cluster, square = _nearest(points, centroids)
    order = np.lexsort((square, cluster))
    rows = order[np.flatnonzero(np.diff(cluster[order], prepend=-1))]
    empty = len(centroids) - len(rows)
    if empty:
        rest = np.ones(len(points), dtype=bool)
        rest[rows] = False
        far = np.flatnonzero(rest)
        far = far[np.argsort(-square[far], kind="stable")[:empty]]
        rows = np.concatenate([rows, far])
    return rows, empty


def _nearest(points: Floats, centroids: Floats) -> tuple[Ints, Floats]:
    """Find each point's nearest centroid and its squared distance."""
    if points.shape[1] <= FLAT:
        distance, nearest = KDTree(centroids).query(points)
        return np.asarray(nearest, dtype=np.int64), np.asarray(distance) ** 2
    nearest = np.empty(len(points), dtype=np.int64)
    # Half the squared distance, less a term that all centroids share.
    single = centroids.astype(np.float32)
    half = (single**2).sum(axis=1) / 2
    step = max(1, (1 << 24) // len(centroids))
    for at in range(0, len(points), step):
        score = points[at : at + step].astype(np.float32) @ single.T
        nearest[at : at + step] = np.argmax(score - half, axis=1)
    square = np.empty(len(points))
    for at in range(0, len(points), 1 << 16):
        some = slice(at, at + (1 << 16))
        square[some] = ((points[some] - centroids[nearest[some]]) ** 2).sum(axis=1)
    return nearest, square
