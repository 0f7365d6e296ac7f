"""Layers of files beside the built-in layers of the same files: million random places, one thread.

Claim: polygons are looked up at no less than .9 of the speed of the built-in layer, a raster at no
less than .5, and every answer is the same but for the rims that the built-in ones mend. Rival: the
layers ``ecoregion`` (RESOLVE) and ``country`` (Natural Earth) beside their own files by a column,
``land_cover`` beside its raster's band; processor seconds, medians of rounds in turns.
Run: ``python benchmarks/file_layers.py``
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from wherefrom.earth import Layer, layer, path_of
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError

PLACES, ROUNDS = 1_000_000, 7
FILES = {
    "ecoregion": ("resolve-ecoregions", "ECO_NAME"),
    "country": ("natural-earth-countries", "ADMIN"),
    "land_cover": ("modis-land-cover", "1"),
}


def in_degrees(path: Path, folder: Path) -> Path:
    """Write a picture of the whole Earth as a raster that says where it lies."""
    with rasterio.open(path) as opened:
        if not opened.transform.is_identity:
            return path
        values = opened.read(1)
    rows, columns = values.shape
    out = folder / f"{path.stem}.tif"
    with rasterio.open(
        out, "w", driver="GTiff", count=1, height=rows, width=columns, dtype=values.dtype,
        crs="EPSG:4326", transform=from_origin(-180, 90, 360 / columns, 180 / rows),
    ) as opened:  # fmt: skip
        opened.write(values, 1)
    return out


def compare(built_in: Layer, name: str) -> None:
    started = time.process_time()
    own = layer(name)
    opened = time.process_time() - started
    assert isinstance(own, Layer)
    lon, lat = uniform_on_sphere(PLACES, np.random.default_rng(0))
    took: dict[str, list[float]] = {"built in": [], "file": []}
    for _ in range(ROUNDS):
        for way, one in (("built in", built_in), ("file", own)):
            started = time.process_time()
            one.codes(lon, lat)
            took[way].append(time.process_time() - started)
    ratio = statistics.median(a / b for a, b in zip(*took.values(), strict=True))
    ours, theirs = own(lon, lat), built_in(lon, lat)
    if len(built_in.labels) != len(own.labels) or set(built_in.labels) != set(own.labels):
        codes, others = own.codes(lon, lat), built_in.codes(lon, lat)
        pairs = len(np.unique(np.stack([codes, others]), axis=1).T)
        said = f"{pairs} pairs of labels for {len(np.unique(others))} labels"
    else:
        said = f"{int((ours != theirs).sum())} of {PLACES:,} places differ"
    fast = PLACES / statistics.median(took["file"]) / 1e6
    print(
        f"{built_in.name}: {ratio:.2f} of the built-in speed, {fast:.1f} million places/s, opened "
        f"in {opened:.1f} s; {said}",
        flush=True,
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, (source, part) in FILES.items():
            path = path_of(source)
            path = in_degrees(path, Path(folder)) if part.isdecimal() else path
            built_in = layer(name)
            assert isinstance(built_in, Layer)
            try:
                compare(built_in, f"{path}:{part}")
            except WherefromError as err:
                print(f"{name}: {err}", flush=True)


if __name__ == "__main__":
    main()
