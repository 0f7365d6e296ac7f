"""How many places a second each layer answers on one core, and how that compares with rasterio.

Claim: raster layers answer at least 2 million places a second on one core.
Rival: ``rasterio``'s own ``sample`` on the open land cover file, measured in turn with ours.
Run: ``python benchmarks/earth_layers.py``
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import rasterio

from wherefrom.earth import CATEGORICAL, VALUES, Layer, available, layer, path_of
from wherefrom.earth.sphere import uniform_on_sphere

PLACES, RIVAL_PLACES, ROUNDS = 2_000_000, 20_000, 5


def rate(call: Callable[[], object], places: int) -> float:
    start = time.perf_counter()
    call()
    return places / (time.perf_counter() - start)


def main() -> None:
    lon, lat = uniform_on_sphere(PLACES, np.random.default_rng(0))
    for name in (*CATEGORICAL, *VALUES):
        if not available(name):
            print(f"{name:14} not on this machine")
            continue
        opened = layer(name)
        ask = opened.codes if isinstance(opened, Layer) else opened
        rates = [rate(lambda: ask(lon, lat), PLACES) for _ in range(3)]  # noqa: B023
        print(f"{name:14} {statistics.median(rates) / 1e6:7.2f} million places/s")

    cover, few = layer("land_cover"), list(zip(lon, lat, strict=True))[:RIVAL_PLACES]
    ratios = []
    with rasterio.open(path_of("modis-land-cover")) as raster:
        list(raster.sample(few[:100]))
        for _ in range(ROUNDS):
            rival = rate(lambda: list(raster.sample(few)), RIVAL_PLACES)
            ours = rate(lambda: cover.codes(lon, lat), PLACES)
            ratios.append(ours / rival)
    print(f"land_cover is {statistics.median(ratios):.0f} times as fast as rasterio's sample")


if __name__ == "__main__":
    main()
