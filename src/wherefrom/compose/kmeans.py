"""Places that stand for clusters of similar ones."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.compose.base import DesignSampler, Reads
from wherefrom.compose.centroids import kmeans, representatives
from wherefrom.compose.chosen import chosen_design
from wherefrom.compose.crossed import Names
from wherefrom.compose.design import Design
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool import Pool
from wherefrom.pool.columns import column_numbers

__all__ = ["KMeans"]

Floats = NDArray[np.float64]


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
    >>> from wherefrom.compose import draw
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
                f"n = {n:,}, but only {len(there):,} places of the pool have a value of each of "
                f"{', '.join(self.over)}: use a larger pool or a smaller n"
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
    if name in earth.VALUES:
        values = np.asarray(earth.layer(name)(pool.lon, pool.lat), dtype=np.float64)
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
