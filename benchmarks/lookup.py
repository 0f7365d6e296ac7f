"""Lookup of 10 million places: the polygon index against shapely's STRtree, same run, one thread.

Prints, for the RESOLVE ecoregions and the Natural Earth countries: seconds to build, places per
second, the ratio to an STRtree of the polygons queried by points (median of interleaved rounds,
each on its own 250,000 of the places, for the tree is too slow for all of them), mismatches on
those million places and on points on borders, the antimeridian and both poles, and peak memory
of the process with places, index and answers, before the tree is built.

    python benchmarks/lookup.py [source ...]
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import pyogrio
import shapely

from wherefrom.earth import fetch
from wherefrom.earth.lookup import PolygonIndex
from wherefrom.earth.sphere import uniform_on_sphere

SOURCES = ("resolve-ecoregions", "natural-earth-countries")
PLACES, ROUNDS, PER_ROUND, ON_BORDERS = 10_000_000, 4, 250_000, 5_000


def shapes_of(source: str) -> np.ndarray:
    path = fetch.path_of(source)
    address = f"/vsizip/{path}" if path.suffix == ".zip" else path
    return shapely.from_wkb(pyogrio.raw.read(address, columns=[])[2])


def lowest(tree: shapely.STRtree, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    found = np.full(len(lon), len(tree), dtype=np.int64)
    at, polygon = tree.query(shapely.points(lon, lat), predicate="intersects")
    np.minimum.at(found, at, polygon)
    return np.where(found == len(tree), -1, found)


def hard_points(polygons: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vertices, middles of edges, their floating-point neighbours; antimeridian and poles."""
    xy, ring = shapely.get_coordinates(
        shapely.get_rings(shapely.get_parts(polygons)), return_index=True
    )
    middle = ((xy[1:] + xy[:-1]) / 2)[ring[1:] == ring[:-1]]
    some = np.concatenate([rng.choice(xy, ON_BORDERS), rng.choice(middle, ON_BORDERS)])
    near = [np.nextafter(some, to) for to in ((400, 400), (400, -400), (-400, 400), (-400, -400))]
    lon, lat = np.linspace(-180, 180, ON_BORDERS), np.linspace(-90, 90, ON_BORDERS)
    sides = [np.stack([np.full_like(lat, side), lat], 1) for side in (-180.0, 180.0)]
    poles = [np.stack([lon, np.full_like(lon, pole)], 1) for pole in (-90.0, 90.0)]
    return np.concatenate([some, *near, *sides, *poles])


def compare(source: str) -> None:
    polygons = shapes_of(source)
    start = time.perf_counter()
    index = PolygonIndex(polygons)
    built = time.perf_counter() - start
    rng = np.random.default_rng(0)
    lon, lat = uniform_on_sphere(PLACES, rng)
    found = index.query(lon, lat)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    tree = shapely.STRtree(polygons)
    ours, theirs, inside, wrong = [], [], [], 0
    held = np.flatnonzero(found >= 0)
    held_lon, held_lat = lon[held], lat[held]
    for turn in range(ROUNDS):
        start = time.perf_counter()
        index.query(lon, lat)
        ours.append(PLACES / (time.perf_counter() - start))
        start = time.perf_counter()
        index.query(held_lon, held_lat)
        inside.append(len(held) / (time.perf_counter() - start))
        part = slice(turn * PER_ROUND, (turn + 1) * PER_ROUND)
        start = time.perf_counter()
        answer = lowest(tree, lon[part], lat[part])
        theirs.append(PER_ROUND / (time.perf_counter() - start))
        wrong += int((answer != found[part]).sum())
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    hard = hard_points(polygons, rng)
    start = time.perf_counter()
    answer = index.query(hard[:, 0], hard[:, 1])
    hard_rate = len(hard) / (time.perf_counter() - start)
    hard_wrong = int((answer != lowest(tree, hard[:, 0], hard[:, 1])).sum())

    print(
        f"{source}: {len(polygons)} polygons, {shapely.get_num_coordinates(polygons).sum()} points"
    )
    print(f"  build                        {built:8.2f} s")
    print(f"  index, whole sphere          {statistics.median(ours) / 1e6:8.2f} M places/s")
    print(f"  index, places in a polygon   {statistics.median(inside) / 1e6:8.2f} M places/s")
    print(f"  index, places on borders     {hard_rate / 1e6:8.3f} M places/s")
    print(f"  STRtree, whole sphere        {statistics.median(theirs) / 1e6:8.3f} M places/s")
    print(f"  ratio, whole sphere          {ratio:8.0f}")
    print(f"  mismatches, random places    {wrong:8d} of {ROUNDS * PER_ROUND}")
    print(f"  mismatches, borders, poles   {hard_wrong:8d} of {len(hard)}")
    print(f"  peak memory                  {peak:8.2f} GiB", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        compare(sys.argv[1])
    else:
        # A process each, so that each has its own peak.
        for name in sys.argv[1:] or SOURCES:
            subprocess.run([sys.executable, __file__, name], check=True)
