"""Pre-training at laptop scale: samples a second on one thread, and the share of the peak.

The peak is the rate of float32 matrix products of this network's largest shape, measured between
the runs. Times are CPU seconds of the one thread, so that other work on the machine counts less.
The floating-point operations counted are those of the matrix products that the maths needs:
forward, gradients of the weights, gradients of the inputs but for the first layers', and the
similarities.

    python benchmarks/pretrain.py

With `--cached`: the official configuration on features of a frozen tower that were computed once,
by the same seconds, so on one core; beside official steps on two cores, recorded by the clock,
which show the tower each batch anew.

    python benchmarks/pretrain.py --cached
"""

from __future__ import annotations

import itertools
import resource
import statistics
import sys
import time
from dataclasses import replace

import numpy as np
import torch

from wherefrom.gfms.satclip import embed_places
from wherefrom.models.satclip import SatCLIPConfig
from wherefrom.train.pretrain import PretrainSettings, pretrain

PLACES, POOL, FEATURES, BATCH = 10_000, 20_000, 73, 512


def flops_per_step(model: SatCLIPConfig) -> float:
    sizes = [model.degrees**2, *[model.width] * model.depth, model.out]
    location = [a * b for a, b in itertools.pairwise(sizes)]
    head = [model.inputs * model.hidden, model.hidden * model.out]
    products = 2 * sum(location) + sum(location[1:]) + 2 * sum(head) + head[1]
    return 2.0 * BATCH * (products + 3 * BATCH * model.out)


def peak(repeats: int = 30) -> float:
    a, b = torch.randn(BATCH, 1600), torch.randn(1600, 512)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        torch.mm(a, b)
        seconds.append(time.process_time() - start)
    return 2.0 * BATCH * 1600 * 512 / statistics.median(seconds)


#: Samples a second of the official code on two cores: ResNet-18 of random weights, frozen, 224
#: pixels, batch 64, L = 40; without reading tiles.
OFFICIAL = 25.9


def cached(places: int = 100_000, steps: int = 100) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, places), np.degrees(np.arcsin(rng.uniform(-1, 1, places)))
    official = SatCLIPConfig(degrees=40, inputs=512, hidden=0)
    settings = PretrainSettings(
        samples_seen=BATCH * steps, batch=BATCH, lr=1e-4, warmup=0, schedule="constant"
    )
    for tower, features in (("resnet18", 512), ("vit_small_patch16_224", 384)):
        image = rng.normal(size=(places, features)).astype(np.float32)
        records = {"lon": lon, "lat": lat, "image": image}
        for degrees in (40, 10):
            model = replace(official, degrees=degrees, inputs=features)
            at: list[float] = []
            start = time.process_time()
            pretrain(
                model, records, np.arange(places), settings, seed=0,
                on_step=lambda *_, at=at: at.append(time.process_time()),
            )  # fmt: skip
            rates = BATCH / np.diff(at)
            typical = float(np.median(rates))
            low, high = np.quantile(rates, (0.1, 0.9))
            print(
                f"{tower}, L = {degrees}: {typical:,.0f} samples/s ({low:,.0f} to {high:,.0f} in "
                f"8 of 10 steps), {typical / OFFICIAL:,.0f} times {OFFICIAL}; "
                f"{at[0] - start:.1f} s with the first step"
            )


def main() -> None:
    if "--cached" in sys.argv[1:]:
        cached()
        return
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, POOL), np.degrees(np.arcsin(rng.uniform(-1, 1, POOL)))
    image = rng.normal(size=(POOL, FEATURES)).astype(np.float32)
    records = {"lon": lon, "lat": lat, "image": image}
    for degrees, lr, steps in ((40, 2e-4, 250), (10, 1e-3, 1000)):
        model = SatCLIPConfig(degrees=degrees, inputs=FEATURES)
        settings = PretrainSettings(samples_seen=BATCH * steps, batch=BATCH, lr=lr)
        seconds, shares = [], []
        for _ in range(3):
            before = peak()
            start = time.process_time()
            module = pretrain(model, records, np.arange(PLACES), settings, seed=0)
            seconds.append(time.process_time() - start)
            limit = (before + peak()) / 2
            shares.append(flops_per_step(model) * steps / seconds[-1] / limit)
        took = statistics.median(seconds)
        start = time.process_time()
        embed_places(module.location, lon, lat)
        embedded = POOL / (time.process_time() - start)
        print(
            f"L = {degrees}: {took:.1f} s for {steps} steps, "
            f"{BATCH * steps / took:,.0f} samples/s, "
            f"{statistics.median(shares):.0%} of the peak ({limit / 1e9:.0f} GFLOP/s); "
            f"embedding {embedded:,.0f} places/s"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
