# bands.py
from typing import ClassVar

import numpy as np

from wherefrom.compose import Groups, Plan, Strata, StreamedSampler, allocate
from wherefrom.earth import Layer


def belts(lon, lat):
    return np.digitize(np.abs(lat), [23.4, 66.6]).astype(np.int32)


belt = Layer("belt", ("tropics", "middle", "polar"), source=(), key="belt-1", lookup=belts)


class Bands(Groups):
    def __init__(self, degrees):
        self.degrees = degrees

    def keys(self, batch):
        return ((batch.lat + 90) // self.degrees).astype(np.int64)


class LatitudeBands(StreamedSampler):
    """As many places from each band of latitude, without replacement."""

    name: ClassVar[str] = "latitude-bands"
    degrees: float = 30.0

    def strata(self, pool, n, rng):
        def plan(keys, sizes):
            labels = tuple(f"from {key * self.degrees - 90:g}" for key in keys)
            return Plan(allocate(np.ones_like(keys), sizes, n, "redistribute", labels), labels)

        return Strata(Bands(self.degrees), plan)
