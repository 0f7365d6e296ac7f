"""Presto pre-trained in bfloat16 against float32: loss on held-out places, samples a second.

    python benchmarks/presto_precision.py [--samples 32000] [--seeds 8]

Real series (ERA5, relief, land cover) of 10,000 uniform places, batch 64, the laptop study's
settings; the same weights, order and masks at the start. The loss is that of 4,096 other places,
in float32, with the same masks. Rounding alone sends two trainings apart, so that single pairs
differ by two per cent either way: the mean over seeds, with its standard error, is what tells. One
thread; processor seconds.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from wherefrom.models.masked import PrestoConfig, groups_of, records_of
from wherefrom.pool import Pool
from wherefrom.pool.series.earth import earth_series
from wherefrom.train.pretrain import PretrainSettings, held_out_loss, pretrain


def main(samples: int, seeds: int) -> None:
    torch.set_num_threads(1)
    pool = Pool.build(14_096, seed=0)
    records = records_of(earth_series(pool.lon, pool.lat))
    settings = PretrainSettings(
        samples_seen=samples // 64 * 64, batch=64, lr=1e-3, warmup=50,
        schedule="cosine-from-zero", weight_decay=0.05, betas=(0.9, 0.95),
    )  # fmt: skip
    plain = PrestoConfig(groups=groups_of(records), months="cyclic")
    ratios = []
    for seed in range(seeds):
        losses, rates = {}, {}
        for precision in ("float32", "bfloat16"):
            model = replace(plain, precision=precision)
            began = time.process_time()
            module = pretrain(model, records, np.arange(10_000), settings, seed=seed)
            rates[precision] = samples / (time.process_time() - began)
            losses[precision] = held_out_loss(
                plain, module, records, np.arange(10_000, 14_096), 4096
            )
        ratios.append(losses["bfloat16"] / losses["float32"] - 1)
        print(f"seed {seed}: held-out loss", {k: round(v, 5) for k, v in losses.items()}, end="; ")
        print(f"bfloat16 {ratios[-1]:+.2%}; samples/s", {k: round(v) for k, v in rates.items()})
    error = np.std(ratios, ddof=1) / len(ratios) ** 0.5
    print(f"bfloat16 {np.mean(ratios):+.2%}, standard error {error:.2%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=32_000)
    parser.add_argument("--seeds", type=int, default=8)
    given = parser.parse_args()
    main(given.samples, given.seeds)
