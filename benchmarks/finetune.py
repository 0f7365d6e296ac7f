"""Full fine-tuning of stacked encoders against a loop over the seeds.

    python benchmarks/finetune.py [--seeds 8] [--degrees 40]

n = 100, 2,000 test places, SIREN 512/512/256. Ours; the loop of encoders and torch.optim.AdamW in
the same coordinates (the same results); and the loop over whole encoders (first layer with all
harmonics). One thread; processor seconds; the runs take turns.
"""

from __future__ import annotations

import argparse
import copy
import resource
import statistics
import time
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from wherefrom.models.satclip import LocationEncoder
from wherefrom.train.finetune import FineTune, start

N, TEST, PLACES = 100, 2000, 4000


def setting(degrees: int, seeds: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-20, 50, PLACES), rng.uniform(-35, 37, PLACES)
    encoder = LocationEncoder(degrees)
    harmonics = encoder.harmonics(torch.from_numpy(lon), torch.from_numpy(lat)).float().numpy()
    label = (lat > 5).astype(int) + 2 * (lon > 10) + 4 * (lat + lon > 30)
    train = np.stack([rng.permutation(PLACES - TEST)[:N] for _ in range(seeds)])
    return encoder, harmonics, label, train, np.arange(PLACES - TEST, PLACES)


def loop(data: tuple[Any, ...], kind: FineTune, whole: bool) -> None:
    """Train one encoder after the other and predict with it."""
    encoder, harmonics, label, train, test = data
    for s in range(len(train)):
        rows = train[s]
        begun = start(encoder, harmonics, label, rows[None], kind.C)
        alone = copy.deepcopy(encoder).eval()
        inputs, tested = torch.from_numpy(harmonics[rows]), torch.from_numpy(harmonics[test])
        if not whole:
            inputs, tested = begun.few.x[0], tested @ begun.axes[0].T
            alone.layers[0] = nn.Linear(inputs.shape[1], encoder.layers[0].out_features)
            with torch.no_grad():
                alone.layers[0].weight.copy_(begun.weights["encoder.layers.0.weight"][0])
                alone.layers[0].bias.copy_(encoder.layers[0].bias)
        head = nn.Linear(*reversed(begun.head_weight.shape[1:]))
        with torch.no_grad():
            head.weight.copy_(begun.head_weight[0])
            head.bias.copy_(begun.head_bias[0])
        adam = torch.optim.AdamW(
            [{"params": alone.parameters(), "lr": kind.lr},
             {"params": head.parameters(), "lr": kind.head_lr}],
            weight_decay=kind.weight_decay,
        )  # fmt: skip
        for _ in range(kind.steps):
            adam.zero_grad()
            features = (alone.from_harmonics(inputs) - begun.mean[0]) / begun.scale[0]
            nn.functional.cross_entropy(head(features), begun.few.y[0]).backward()
            adam.step()
        with torch.no_grad():
            head((alone.from_harmonics(tested) - begun.mean[0]) / begun.scale[0]).argmax(1)


def ours_training(data: tuple[Any, ...], kind: FineTune) -> None:
    tuned = start(data[0], data[1], data[2], data[3], kind.C)
    tuned.tune(kind)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--degrees", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    kind = FineTune()
    with threadpool_limits(1):
        data = setting(chosen.degrees, chosen.seeds)
        runs = {
            "ours, fit and predict": lambda: kind.fit_predict(*data),
            "ours, fit": lambda: ours_training(data, kind),
            "loop, same coordinates": lambda: loop(data, kind, whole=False),
            "loop, whole first layer": lambda: loop(data, kind, whole=True),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(chosen.rounds):
            for name, run in runs.items():
                began = time.process_time()
                run()
                taken[name].append(time.process_time() - began)
        medians = {name: statistics.median(values) for name, values in taken.items()}
        for name, seconds in medians.items():
            ratio = seconds / medians["ours, fit and predict"]
            print(f"{name:26} {seconds / chosen.seeds:6.3f} s per seed   x {ratio:4.1f}")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB")
