"""Full fine-tuning of a location encoder, narrowed and stacked, against a loop over the seeds.

    python benchmarks/finetune.py [--seeds 8] [--degrees 40]

n = 100, 2,000 test places, SIREN 512/512/256. Ours, with the first layer in the coordinates of its
inputs; ours of a model that does not know how to narrow itself; and the loop of whole encoders and
torch.optim.AdamW. One thread; processor seconds; the runs take turns.
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

from wherefrom.models.satclip import LocationEncoder, SatCLIPConfig
from wherefrom.train.finetune import Start
from wherefrom.train.heads.finetune import FineTune

N, TEST, PLACES = 100, 2000, 4000


class Wide:
    """A model that cannot be narrowed."""

    def __init__(self, model: SatCLIPConfig) -> None:
        self.name, self.prepare = model.name, model.prepare
        self.collate, self.encode = model.collate, model.encode


def setting(degrees: int, seeds: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    records = {"lon": rng.uniform(-20, 50, PLACES), "lat": rng.uniform(-35, 37, PLACES)}
    lon, lat = records.values()
    label = (lat > 5).astype(int) + 2 * (lon > 10) + 4 * (lat + lon > 30)
    train = np.stack([rng.permutation(PLACES - TEST)[:N] for _ in range(seeds)])
    model = SatCLIPConfig(degrees=degrees, inputs=0)
    return model, LocationEncoder(degrees), records, label, train, np.arange(PLACES - TEST, PLACES)


def loop(data: tuple[Any, ...], kind: FineTune) -> None:
    """Train one encoder after the other and predict with it."""
    model, encoder, records, _, train, test = data
    begun = Start.of(Wide(model), *data[1:])  # type: ignore[arg-type]
    device = next(encoder.parameters()).device
    harmonics = model.prepare(records, device)["harmonics"]
    for rows in train:
        tuned = begun.tuning(rows[None], kind.C)
        alone = copy.deepcopy(encoder).eval()
        head = nn.Linear(*reversed(tuned.head_weight.shape[1:])).to(device)
        with torch.no_grad():
            head.weight.copy_(tuned.head_weight[0])
            head.bias.copy_(tuned.head_bias[0])
        adam = torch.optim.AdamW(
            [{"params": alone.parameters(), "lr": kind.lr},
             {"params": head.parameters(), "lr": kind.head_lr}],
            weight_decay=kind.weight_decay,
        )  # fmt: skip
        for _ in range(kind.steps):
            adam.zero_grad()
            features = (alone.from_harmonics(harmonics[rows]) - tuned.mean[0]) / tuned.scale[0]
            nn.functional.cross_entropy(head(features), tuned.few.y[0]).backward()
            adam.step()
        with torch.no_grad():
            head((alone.from_harmonics(harmonics[test]) - tuned.mean[0]) / tuned.scale[0]).argmax(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--degrees", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    kind = FineTune()
    with threadpool_limits(1):
        model, *others = data = setting(chosen.degrees, chosen.seeds)
        runs = {
            "ours, narrowed": lambda: kind.fit_predict(model, *others),
            "ours, whole": lambda: kind.fit_predict(Wide(model), *others),
            "loop, whole": lambda: loop(data, kind),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(chosen.rounds):
            for name, run in runs.items():
                began = time.process_time()
                run()
                taken[name].append(time.process_time() - began)
        medians = {name: statistics.median(values) for name, values in taken.items()}
        for name, seconds in medians.items():
            ratio = seconds / medians["ours, narrowed"]
            print(f"{name:26} {seconds / chosen.seeds:6.3f} s per seed   x {ratio:4.1f}")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB")
