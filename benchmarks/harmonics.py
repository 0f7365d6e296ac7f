"""Spherical harmonics: places a CPU second on one thread, and the ratio to the official code.

The official figures are records, not measured here: its generated source file is not to be had.
They are of microsoft/satclip (commit 1ead106), analytic harmonics, float64, no gradient, one
thread of a 2-core AMD EPYC (AVX-512), median of repeated calls. The claim is a ratio of at least
8 at L = 40 and batch 8192. CPU seconds are counted, so that other work on the machine counts less.

    python benchmarks/harmonics.py
"""

from __future__ import annotations

import statistics
import time

import torch

from wherefrom.models.satclip import SphericalHarmonics

OFFICIAL = {(10, 512): 94_500, (10, 8192): 370_200, (40, 512): 3_678, (40, 8192): 8_829}


def rate(harmonics: SphericalHarmonics, places: int, dtype: torch.dtype) -> float:
    """Median places a CPU second over repeated calls, after warming up."""
    draw = torch.Generator().manual_seed(0)
    lon = torch.rand(places, generator=draw, dtype=torch.float64) * 360 - 180
    lat = torch.rand(places, generator=draw, dtype=torch.float64) * 180 - 90
    seconds = []
    for call in range(33):
        start = time.process_time()
        harmonics(lon, lat, dtype)
        if call >= 3:
            seconds.append(time.process_time() - start)
    return places / statistics.median(seconds)


def main() -> None:
    torch.set_num_threads(1)
    print("   L  batch     float64     float32    official    ratio (float64)")
    for (degrees, places), official in OFFICIAL.items():
        harmonics = SphericalHarmonics(degrees)
        double, single = (rate(harmonics, places, t) for t in (torch.float64, torch.float32))
        print(
            f"{degrees:4d} {places:6d} {double:11,.0f} {single:11,.0f} {official:11,.0f} "
            f"{double / official:8.1f}"
        )


if __name__ == "__main__":
    main()
