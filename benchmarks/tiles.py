"""Reading and decoding tiles of 12 bands and 256 pixels a side, as S2-100K has them.

Claim: at least twice the 82 to 87 tiles/s a core of official SatCLIP's loader, whose reading alone
gave 116 tiles/s on the same machine.
Rivals: what that loader reads with, ``rasterio.open(path).read()`` to float32; LZW alone, which no
reader that uses GDAL escapes. Ours also inserts B10 and checks each tile. Processor seconds of one
thread, in turns.
Run: ``python benchmarks/tiles.py FOLDER``, of GeoTIFFs such as SSL4EO's example.
"""

from __future__ import annotations

import os
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.env import Env
from rasterio.io import MemoryFile

from wherefrom import parallel
from wherefrom.payload.base import Lost, Sought
from wherefrom.payload.tiles import BANDS, Tiles, geotiff
from wherefrom.payload.tiles.members import members_of, named

ROUNDS, SHARDS, MEMBERS = 9, 100, 1_000


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    start = clock()
    call()
    return clock() - start


def ways(files: list[Path], archive: Path) -> dict[str, Callable[[], object]]:
    ids = np.array([file.stem for file in files])
    places = Sought(ids, np.zeros(len(ids)), np.zeros(len(ids)))
    fields = {"holds": "sentinel-2-l2a", "channels": BANDS["sentinel-2-l1c"], "zeros": ("B10",)}
    contents = [file.read_bytes() for file in files]
    alike = [geotiff._as_one_band(content, geotiff._tags(content)) for content in contents]

    def official() -> None:
        for file in files:
            with rasterio.open(file) as tile:
                tile.read().astype(np.float32)

    def plain() -> None:
        for content in contents:
            with MemoryFile(content) as file, file.open(driver="GTiff") as tile:
                tile.read()

    def lzw() -> None:
        for content in alike:
            assert content is not None
            with MemoryFile(content) as file, file.open(driver="GTiff") as tile:
                tile.read(1)

    def ours(path: Path) -> None:
        lost = Lost()
        payload = Tiles(kind="tiles", path=str(path), **fields)
        given = sum(len(rows) for rows, _ in payload.read(places, lost))
        assert given == len(files), str(lost)

    return {
        "rasterio, as official SatCLIP": official,
        "rasterio, from memory, no float32": plain,
        "LZW alone (GDAL)": lzw,
        "payload `tiles`, a folder": lambda: ours(files[0].parent),
        "payload `tiles`, a tar": lambda: ours(archive),
    }


def index(folder: Path) -> None:
    for shard in range(SHARDS):
        with tarfile.open(folder / f"shard-{shard:05d}.tar", "w") as archive:
            for n in range(MEMBERS):
                archive.addfile(tarfile.TarInfo(f"images/patch_{shard * MEMBERS + n}.tif"))
    first, again = (seconds(lambda: members_of(folder), time.perf_counter) for _ in range(2))
    print(f"index of {SHARDS} tars of {MEMBERS:,} tiles: {first:.1f} s; again {again:.2f} s")
    members = members_of(folder)
    ids = np.array([f"patch_{n}" for n in range(SHARDS * MEMBERS)])

    took = seconds(lambda: members.find(named(ids, "{id}")))
    print(f"finding {len(ids):,} ids: {took:.2f} s")


def main() -> None:
    files = sorted(Path(sys.argv[1]).glob("*.tif"))
    parallel.cores = lambda: 1
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WHEREFROM_CACHE"] = f"{folder}/cache"
        archive = Path(folder, "tiles.tar")
        with tarfile.open(archive, "w") as tar:
            for file in files:
                tar.add(file, f"images/{file.name}")
        calls = ways(files, archive)
        took: dict[str, list[float]] = {name: [] for name in calls}
        with Env():
            for _ in range(ROUNDS):
                for name, call in calls.items():
                    took[name].append(seconds(call) / len(files))
        rival = took["rasterio, as official SatCLIP"]
        for name, each in took.items():
            ratio = statistics.median(a / b for a, b in zip(rival, each, strict=True))
            rate, best = 1 / statistics.median(each), 1 / min(each)
            print(f"{name:34} {rate:6.1f} tiles/s, best {best:6.1f}; {ratio:.2f} times")
        shards = Path(folder, "shards")
        shards.mkdir()
        index(shards)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
