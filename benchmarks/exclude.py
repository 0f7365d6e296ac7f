"""Keep places out of 1,115 multipolygons, and 10 km around them: places a second of a core.

The polygons are made up: 1 to 12 parts of 12 to 200 vertices, 1 to 400 km across, over poles and
antimeridian as they fall. Places are uniform on the sphere and come in batches, as a pool's do.
Prints for each buffer the seconds to build, places a second (median of the batches, and in all),
the share that is left out, peak memory of the process; and, of 200,000 of the places, how many
that are kept lie within, and how many that are left out do not, by shapely's STRtree (no buffer)
or a tree of points 100 m apart on the borders.

    python benchmarks/exclude.py [places]
"""

from __future__ import annotations

import resource
import statistics
import sys
import time

import numpy as np
import shapely
from scipy.spatial import cKDTree

from wherefrom.compose.exclusion import Exclusion
from wherefrom.earth.apart import Neighbours
from wherefrom.earth.footprints import on_sphere
from wherefrom.earth.sphere import arc_km, chord, offset, uniform_on_sphere, unit_vectors
from wherefrom.pool.batches import BLOCK, Batch

POLYGONS, CHECKED, APART_KM = 1115, 200_000, 0.1


def multipolygons(rng: np.random.Generator) -> np.ndarray:
    """Make stars about places that are as far from each other as the parts of a country."""
    made = []
    for lon, lat in zip(*uniform_on_sphere(POLYGONS, rng), strict=True):
        parts = []
        for _ in range(rng.integers(1, 13)):
            x, y = offset(lon, lat, rng.uniform(0, 360), rng.exponential(300.0))
            corners = int(rng.integers(12, 201))
            radius = np.exp(rng.uniform(0.0, np.log(200.0))) * rng.uniform(0.5, 1.0, corners)
            ring = offset(x, y, np.arange(corners) * 360.0 / corners, radius)
            part = on_sphere(np.array([shapely.Polygon(np.stack(ring, axis=1))]))[0]
            parts.append(part)
        made.append(shapely.union_all(parts))
    return np.array(made)


def wrong(shapes: np.ndarray, x: np.ndarray, y: np.ndarray, km: float, near: np.ndarray) -> str:
    """Compare some answers with those of shapely, and of points close together on the borders."""
    true = np.zeros(len(x), dtype=bool)
    true[shapely.STRtree(shapes).query(shapely.points(x, y), predicate="intersects")[0]] = True
    doubt = np.zeros(len(x), dtype=bool)
    if km:
        rims = shapely.segmentize(shapely.boundary(shapes), APART_KM / 111.2)
        rim = cKDTree(unit_vectors(*shapely.get_coordinates(rims).T))
        far = arc_km(rim.query(unit_vectors(x, y), distance_upper_bound=chord(2.0 * km + 1.0))[0])
        true |= far <= km
        doubt = np.abs(far - km) < 0.01  # beside a border of points
    bad = (true != near) & ~doubt
    return f"{int((bad & ~near).sum())} kept within, {int((bad & near).sum())} left out beyond"


def main(places: int) -> None:
    rng = np.random.default_rng(0)
    shapes = multipolygons(rng)
    vertices = shapely.get_num_coordinates(shapes).sum()
    print(f"{len(shapes):,} multipolygons, {vertices:,} vertices; {places:,} places")
    for km in (0.0, 10.0):
        began = time.process_time()
        exclusion = Exclusion(Neighbours(np.zeros(POLYGONS), np.zeros(POLYGONS), shapes), km)
        exclusion.others.prepared()
        built = time.process_time() - began
        rates, gone, spent = [], 0, 0.0
        for start in range(0, places, BLOCK):
            lon, lat = uniform_on_sphere(min(BLOCK, places - start), rng)
            began = time.process_time()
            near = exclusion.near(Batch(start, lon, lat))
            took = time.process_time() - began
            rates.append(len(lon) / took)
            spent, gone = spent + took, gone + int(near.sum())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{km:4g} km: built in {built:.1f} s; {statistics.median(rates) / 1e6:.2f} million/s, "
            f"in all {places / spent / 1e6:.2f}; {gone / places:.1%} left out; peak {peak:.2f} GiB"
        )
        some = slice(0, CHECKED)
        print(f"         {wrong(shapes, lon[some], lat[some], km, near[some])}", flush=True)


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 10_000_000)
