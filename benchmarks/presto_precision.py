"""Presto pre-trained in bfloat16 against float32: loss on held-out places, samples a second.

    python benchmarks/presto_precision.py [--samples 64000] [--seeds 2]

Real series (ERA5, relief, land cover) of 10,000 uniform places, batch 64, the laptop study's
settings; the same weights, order and masks at the start. The loss is that of 4,096 other places, in
float32, with the same masks. One thread; processor seconds.
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
        print(f"seed {seed}: held-out loss", {k: round(v, 5) for k, v in losses.items()}, end="; ")
        print(f"bfloat16 {losses['bfloat16'] / losses['float32'] - 1:+.2%}; samples/s", end=" ")
        print({k: round(v) for k, v in rates.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=64_000)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    main(given.samples, given.seeds)
