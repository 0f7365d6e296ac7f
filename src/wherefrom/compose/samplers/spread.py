"""Samplers that choose their places in memory: far apart, or nearest to centroids of k-means."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from wherefrom import earth
from wherefrom.compose.allocate import Allocation
from wherefrom.compose.base import DesignSampler, Names, Reads
from wherefrom.compose.design import Design
from wherefrom.compose.strata import Ints
from wherefrom.earth.file_layers import file_name_of
from wherefrom.earth.sphere import EARTH_RADIUS_KM, unit_vectors
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool import Pool
from wherefrom.pool.columns import column_numbers
from wherefrom.shown import count_of

__all__ = ["KMeans", "Spread", "chosen_design", "farthest_points", "kmeans", "representatives"]

Floats = NDArray[np.float64]

#: Points of a block: fewer cost more per block, more cost more per point.
BLOCK = 128
#: Centroids are fitted to at most so many points each, or so many in all, whichever is more.
POINTS_EACH, POINTS = 64, 1 << 16
ROUNDS = 50
#: Stop when a round lowers the mean squared distance by less.
GAIN = 2e-4
#: Up to so many dimensions a k-d tree finds the nearest centroid faster than all distances.
FLAT = 6


class Spread(DesignSampler):
    """Blue noise: each place is the farthest from all those chosen before it.

    The exact greedy choice on the sphere, from a first place drawn at random (Gonzalez 1985, doi
    10.1016/0304-3975(85)90224-5; Eldar et al. 1997, doi 10.1109/83.623193). No place of the pool
    is farther from the draw than twice what the best n places could do, and no two drawn are
    nearer to each other than that. It covers area whatever the pool's density, and outliers first.
    In memory; a million candidates take seconds.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> table = pa.table({"lon": [0.0, 0.1, 0.2, 90.0], "lat": [0.0] * 4})
    >>> draw(Pool.from_table(table), "spread", 2).ids[1].item()
    3
    """

    name: ClassVar[str] = "spread"

    @property
    def in_words(self) -> str:
        """How its places are chosen."""
        return "as far apart as can be"

    def design(self, pool: Pool, n: int, rng: np.random.Generator) -> Design:
        """Choose the places; nothing but the first is random."""
        points = unit_vectors(pool.lon, pool.lat)
        rows, radius = farthest_points(points, n, int(rng.integers(len(pool))))
        farthest = 2 * np.arcsin(min(float(radius[-1]) / 2, 1.0)) * EARTH_RADIUS_KM
        notes = {"covering_radius_km": round(float(farthest), 3)}
        return chosen_design(len(pool), rows, "the first place", notes)


class KMeans(DesignSampler):
    """The place nearest to each of n centroids of k-means on numbers or embeddings.

    OlmoEarth (allenai/olmoearth_pretrain, 2025) clusters histograms of land cover and takes the
    sample nearest to each centroid. Here on any columns of numbers, columns of vectors, and value
    layers of the Earth. Each name counts alike: it is centred and scaled to variance 1, a vector
    as a whole, so that distances within it stay as they are. Similar places are thinned, rare ones
    kept. In memory; places that lack a value are never drawn.

    Attributes
    ----------
    over : tuple of str
        Columns or layers; in a spec joined by ``+``.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom import draw
    >>> from wherefrom.pool import Pool
    >>> table = pa.table({"lon": [0.0, 1, 2, 3, 4], "lat": [0.0] * 5, "x": [0.0, 1, 2, 8, 9.5]})
    >>> draw(Pool.from_table(table), "kmeans:over=x", 2).ids.tolist()
    [1, 3]
    """

    name: ClassVar[str] = "kmeans"
    over: Annotated[Names, Reads("numbers")]

    def design(self, pool: Pool, n: int, rng: np.random.Generator) -> Design:
        """Cluster the places; the first centroids are random."""
        columns = [_numbers(pool, name) for name in self.over]
        there = np.flatnonzero(np.isfinite(np.column_stack(columns)).all(axis=1))
        if len(there) < n:
            raise WherefromError(
                f"n = {n:,}, but only {count_of(len(there), 'place')} of the pool have a value of "
                f"each of {', '.join(self.over)}: use a larger pool or a smaller n"
            )
        points = np.column_stack([_scaled(column[there]) for column in columns])
        rows, empty = representatives(points, kmeans(points, n, rng))
        notes = {
            "dimensions": points.shape[1],
            "candidates": len(there),
            "centroids_without_place": empty,
        }
        return chosen_design(len(pool), there[rows], "the first centroids", notes)


def _numbers(pool: Pool, name: str) -> Floats:
    """Return a column or layer as numbers, shape (N, D); NaN where there is none."""
    if name in pool.columns:
        column = pool.table.column(name)
        if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            return _vectors(column, name)
        return column_numbers(column, name)[:, None]
    if name in earth.VALUES or file_name_of(name) is not None:
        layer = earth.layer(name)
        if isinstance(layer, earth.Layer):
            raise WherefromError(f"layer {name!r} holds labels, not values: name one of numbers")
        values = np.asarray(layer(pool.lon, pool.lat), dtype=np.float64)
        return values.reshape(len(pool), -1)
    raise unknown("column or layer of numbers", name, [*earth.VALUES, *pool.columns])


def _vectors(column: pa.ChunkedArray, name: str) -> Floats:
    whole = column.combine_chunks()
    kind = whole.type.value_type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise WherefromError(f"column {name!r} is {column.type}, not vectors of numbers")
    there = np.asarray(whole.is_valid())
    lengths = np.unique(whole.value_lengths().drop_null())
    if len(lengths) != 1 or not lengths[0]:
        raise WherefromError(
            f"column {name!r} holds vectors of {len(lengths)} different lengths: make them equal"
        )
    numbers = np.full((len(whole), int(lengths[0])), np.nan)
    flat = whole.filter(pa.array(there)).flatten()
    numbers[there] = np.asarray(flat.cast(pa.float64())).reshape(-1, int(lengths[0]))
    return numbers


def _scaled(numbers: Floats) -> Floats:
    centred = numbers - numbers.mean(axis=0)
    variance = float((centred**2).mean(axis=0).sum())
    scaled: Floats = centred / np.sqrt(variance) if variance > 0 else centred
    return scaled


def chosen_design(places: int, rows: Ints, conditional_on: str, notes: dict[str, Any]) -> Design:
    """Make the design that draws some distinct rows for certain, and no others."""
    codes = np.full(places, -1, dtype=np.int32)
    codes[rows] = 0
    target = (Fraction(len(rows)),)
    sizes = np.array([len(rows)], dtype=np.int64)
    allocation = Allocation(target, target, ())
    return Design(codes, sizes, allocation, ("chosen",), conditional_on, notes)


def farthest_points(points: Floats, n: int, first: int) -> tuple[Ints, Floats]:
    """Choose n of N points (N, D) one by one, each the farthest from all those chosen before.

    The exact greedy choice, not an approximation; of points equally far the lowest row is taken.
    Their covering radius is at most twice the best that n of the points can have (Gonzalez 1985,
    Theor. Comput. Sci. 38), and no two are nearer than it, which makes them blue noise (Eldar et
    al. 1997, IEEE Trans. Image Process. 6). Returns the rows in the order of choice, from `first`
    on, and for each k the distance of the point farthest from the first k + 1.

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

    def __init__(self, points: Floats) -> None:
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

    def choose(self, point: Floats) -> None:
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


def kmeans(points: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Find k centroids (k, D) of points (N, D) by Lloyd's rounds.

    After Lloyd 1982, IEEE Trans. Inf. Theory 28. The first centroids are points drawn with a
    probability in proportion to the squared distance from those drawn before, as k-means++ (Arthur
    and Vassilvitskii 2007, SODA) does, but from the ninth on several at a time. A cluster that
    loses all its points starts again at the point farthest from its own centroid. Of more than
    65,536 points, 64 for each centroid are drawn to fit to.

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
    """Choose one row of points for each centroid: of those nearest to it, the very nearest.

    For a centroid that is no point's nearest it is the point farthest from its own centroid that is
    not taken yet; the number of such centroids is returned too.

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
