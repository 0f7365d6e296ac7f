"""Presto's masks for a batch at once, against the official code's recorded rate.

    python benchmarks/masking.py

All four strategies, 12 steps, all ten groups, one thread. The official code draws them one sample
after the other: 42,900 samples/s on one core of a server CPU of 2024 (AMD EPYC), recorded, since
it is not a package. Processor seconds.
"""

from __future__ import annotations

import statistics
import time

import torch

from wherefrom.models.masking import Masking
from wherefrom.models.tokens import GROUPS, HIDDEN

OFFICIAL = 42_900


def main() -> None:
    torch.set_num_threads(1)
    masking, generator = Masking(tuple(GROUPS)), torch.Generator().manual_seed(0)
    for samples in (512, 4096, 16384):
        taken = []
        for _ in range(30):
            began = time.process_time()
            kind = masking.draw(samples, generator)
            taken.append(time.process_time() - began)
        assert ((kind == HIDDEN).sum((1, 2)) == 81).all()
        rate = samples / statistics.median(taken)
        print(f"batches of {samples}: {rate:,.0f} samples/s, {rate / OFFICIAL:.1f} times official")


if __name__ == "__main__":
    main()
