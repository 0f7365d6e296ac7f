"""Audit a million footprints beside their middles as points: at most 1.5 times as long.

The places are those of `Pool.build`, the footprints squares of 0.023 degrees about them. Whole
processes (`wherefrom audit FILE --id id --out PAGE`), in turn. Run it while nothing else runs.

    python benchmarks/footprints.py [turns]
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from wherefrom import Pool

PLACES, HALF = 1_000_000, 0.0115


def write(folder: Path) -> dict[str, Path]:
    """Write the two tables."""
    pool = Pool.build(PLACES, seed=1)
    table = pool.table.select(["id", "lon", "lat"])
    squares = shapely.box(pool.lon - HALF, pool.lat - HALF, pool.lon + HALF, pool.lat + HALF)
    files = {name: folder / f"{name}.parquet" for name in ("footprints", "points")}
    pq.write_table(table, files["points"])
    geometry = pa.array(shapely.to_wkb(squares), pa.binary())
    pq.write_table(table.select(["id"]).append_column("geometry", geometry), files["footprints"])
    return files


def main() -> None:
    """Print seconds of each turn, and the median of the ratios."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, ratios = write(folder), []
        for _ in range(turns):
            took = {}
            for kind, file in files.items():
                began = time.perf_counter()
                words = ["audit", str(file), "--id", "id", "--out", str(folder / "page.html")]
                words += ["--geometry", "geometry"] if kind == "footprints" else []
                subprocess.run(
                    [sys.executable, "-m", "wherefrom", *words], check=True, capture_output=True
                )
                took[kind] = time.perf_counter() - began
            ratios.append(took["footprints"] / took["points"])
            print(f"{took['footprints']:.1f} s, points {took['points']:.1f} s", flush=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"ratio {statistics.median(ratios):.2f} (median), peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
