"""Frozen image towers: images a second as they are used here, against timm's form of the same.

    python benchmarks/towers.py [--batch 8] [--rounds 5] [--threads 1] [TOWER ...]

224 pixels, 13 bands, eval, no gradients. "plain" is the tower layer by layer, as timm's modules
run: float32, or bfloat16 by autocast, with and without channels last; "frozen" is
`wherefrom.models.towers.frozen`. All forms take turns, one thread, processor seconds; the median of
the rounds counts. Features of a form are compared with those of the plain one in float32, on the
tiles (N, 12, 224+, 224+) uint16 of --tiles FILE.npy or on noise.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wherefrom.models.towers import TOWERS, frozen, sentinel2, tower
from wherefrom.train.memory import keep_freed_memory

Form = Callable[[Tensor], Tensor]


def autocast(form: Form) -> Form:
    def run(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return form(images)

    return run


def forms(name: str) -> dict[str, Form]:
    plain = tower(name)
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    return {
        "plain float32": plain,
        "plain float32, channels last": last,
        "plain bfloat16": autocast(plain),
        "plain bfloat16, channels last": autocast(last),
        "frozen float32": frozen(plain),
        "frozen bfloat16": frozen(plain, torch.bfloat16),
    }


@torch.inference_mode()
def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    keep_freed_memory(torch.device("cpu"))
    clock = time.process_time if args.threads == 1 else time.perf_counter
    noise = np.random.default_rng(0).random((args.batch, 13, 224, 224), dtype=np.float32)
    images = torch.from_numpy(
        sentinel2(np.load(args.tiles)[: args.batch], 224) if args.tiles else noise
    )
    for name in args.towers or TOWERS:
        made = forms(name)
        found = {form: run(images) for form, run in made.items()}
        seconds: dict[str, list[float]] = {form: [] for form in made}
        for _ in range(args.rounds):
            for form, run in made.items():
                began = clock()
                run(images)
                seconds[form].append(clock() - began)
        due = found["plain float32"]
        for form, times in seconds.items():
            rate = len(images) / statistics.median(times)
            best = len(images) / min(times)
            off = ((found[form] - due).norm(dim=1) / due.norm(dim=1)).max()
            print(f"{name} {form}: {rate:.1f} images/s (best {best:.1f}), {off:.1e} off")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("towers", nargs="*", metavar="TOWER", help=", ".join(TOWERS))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiles", type=Path)
    main(parser.parse_args())
