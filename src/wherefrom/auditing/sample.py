"""A uniform sample of the rows that stream by, the same however they are cut into parts."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.auditing.tally import Floats, Sums
from wherefrom.keys import mixed
from wherefrom.pool.batches import Batch

__all__ = ["ROWS", "RowSample", "canonical_places", "counted_places"]

Hashes = NDArray[np.uint64]

#: Rows that an audit samples.
ROWS = 1 << 14


def canonical_places(lon: ArrayLike, lat: ArrayLike) -> tuple[Floats, Floats]:
    """Give one place one pair of numbers: 180 E is 180 W, a pole has longitude 0, -0 is 0.

    >>> canonical_places([180.0, 7.0], [-0.0, 90.0])
    (array([-180.,    0.]), array([ 0., 90.]))
    """
    x, y = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
    x = np.where(x == 180.0, -180.0, np.where(np.abs(y) == 90.0, 0.0, x))
    return x + 0.0, y + 0.0


def counted_places(batch: Batch, weight: Floats | None) -> tuple[Floats, Floats, Floats | None]:
    """Return the places of a batch that count at all, not to be written to, and their weights."""
    if weight is None:
        return batch.lon, batch.lat, None
    rows = weight > 0.0
    return batch.lon[rows], batch.lat[rows], weight[rows]


class RowSample(Sums):
    """Tally that keeps `size` rows at random, without replacement, each with the same chance.

    A row is kept if the hash of its number is among the smallest: so the sample is the same
    whatever the parts, their order and the machine, and any first rows of it are a sample too.

    `seen` is the number of rows that count; `lon`, `lat` (degrees) and `weight`, shape (S,), are
    the sample in random order.

    >>> sample = RowSample(3)
    >>> sample.update(Batch(0, np.arange(10.0), np.zeros(10)))
    >>> len(sample.lon), sample.seen
    (3, 10)
    """

    sums = ("seen", "weight_sum", "weight_squares")

    def __init__(self, size: int = ROWS) -> None:
        self.size = size
        self.seen = 0
        self.weight_sum = 0.0
        self.weight_squares = 0.0
        self._hash = np.zeros(0, dtype=np.uint64)
        self.lon, self.lat, self.weight = np.zeros(0), np.zeros(0), np.zeros(0)

    @property
    def effective(self) -> float:
        """Kish's number of places that weigh as much: (sum w)^2 / sum w^2; without weights N."""
        return self.weight_sum**2 / self.weight_squares if self.seen else 0.0

    def update(self, batch: Batch, weight: Floats | None = None) -> None:
        """Take the rows of a batch that count."""
        each = np.ones(len(batch)) if weight is None else weight
        rows = np.flatnonzero(each > 0.0)
        weights = each[rows]
        self.seen += len(rows)
        self.weight_sum += float(weights.sum())
        self.weight_squares += float((weights**2).sum())
        hashes = mixed(rows + batch.start)
        if len(self._hash) == self.size:
            low = np.flatnonzero(hashes < self._hash[-1])
        else:
            low = np.argsort(hashes)[: self.size]
        rows = rows[low]
        self._take(hashes[low], batch.lon[rows], batch.lat[rows], weights[low])

    def merge(self, other: Self) -> None:
        """Take in the sample of another part."""
        super().merge(other)
        self._take(other._hash, other.lon, other.lat, other.weight)

    def _take(self, hashes: Hashes, lon: Floats, lat: Floats, weight: Floats) -> None:
        """Keep the smallest hashes of those kept and those given, in their order."""
        every = np.concatenate([self._hash, hashes])
        low = np.argsort(every)[: self.size]
        self._hash = every[low]
        self.lon = np.concatenate([self.lon, lon])[low]
        self.lat = np.concatenate([self.lat, lat])[low]
        self.weight = np.concatenate([self.weight, weight])[low]
