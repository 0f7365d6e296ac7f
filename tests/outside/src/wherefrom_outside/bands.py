# bands.py
from typing import ClassVar

import numpy as np

from wherefrom.compose import Plan, Strata, StreamedSampler, allocate
from wherefrom.earth import Layer
from wherefrom.pool.batches import Ask


def belts(lon, lat):
    return np.digitize(np.abs(lat), [23.4, 66.6]).astype(np.int32)


belt = Layer("belt", ("tropics", "middle", "polar"), source=(), key="belt-1", lookup=belts)


class Bands(Strata):
    ask = Ask()  # coordinates alone

    def __init__(self, degrees):
        self.degrees = degrees

    def keys(self, batch):
        return ((batch.lat + 90) // self.degrees).astype(np.int64)


class LatitudeBands(StreamedSampler):
    """As many places from each band of latitude, without replacement."""

    name: ClassVar[str] = "latitude-bands"
    degrees: float = 30.0

    def strata(self, pool, n, rng):
        return Bands(self.degrees)

    def plan(self, pool, strata, keys, sizes, n):
        labels = tuple(f"from {key * self.degrees - 90:g}" for key in keys)
        allocation = allocate(np.ones_like(keys), sizes, n, "redistribute", labels)
        return Plan(allocation, labels)
