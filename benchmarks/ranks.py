"""One pre-training in two processes beside one process, on as many cores; and how far apart.

Both have the two cores: one process two threads, two processes one each. Besides, on the same two
processes: gradients averaged in one message after a step, as here, beside torch's
DistributedDataParallel, which sends them while the others are computed. It wraps the loss of a
whole batch, since it sees one forward and one backward pass. Ratios are of medians, in turns.

    python benchmarks/ranks.py
"""

from __future__ import annotations

import copy
import itertools
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from wherefrom.models import share
from wherefrom.models.base import GeoModel
from wherefrom.models.grouped import SatMAEConfig
from wherefrom.models.satclip import SatCLIPConfig
from wherefrom.models.sizes import SIZES
from wherefrom.train.pretrain import PretrainSettings, _Training, pretrain
from wherefrom.train.ranks import launch

CORES, STEPS, ROUNDS = 2, 8, 3


def made(name: str) -> tuple[GeoModel[Any], dict[str, np.ndarray], PretrainSettings]:
    rng = np.random.default_rng(0)
    n, batch = {"satclip": (2048, 1024), "satmae": (128, 32)}[name]
    settings = PretrainSettings(samples_seen=batch * STEPS, batch=batch, lr=2e-4, warmup=2)
    if name == "satmae":
        groups = ((0, 1, 2), (3, 4), (5,))
        image = rng.normal(size=(n, 6, 32, 32)).astype(np.float32)
        return SatMAEConfig(groups, SIZES["laptop"]), {"image": image}, settings
    places = {
        "lon": rng.uniform(-180, 180, n),
        "lat": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
    }
    image = rng.normal(size=(n, 512)).astype(np.float32)
    return SatCLIPConfig(degrees=40, inputs=512), places | {"image": image}, settings


def trained(name: str, threads: int) -> tuple[list[float], list[float]]:
    """Give losses, and seconds a step but for the first two."""
    torch.set_num_threads(threads)
    model, records, settings = made(name)
    losses: list[float] = []
    at: list[float] = []

    def on_step(_: int, loss: float) -> None:
        losses.append(loss)
        at.append(time.perf_counter())

    rows = np.arange(len(next(iter(records.values()))))
    pretrain(model, records, rows, settings, seed=0, on_step=on_step)
    return losses, [b - a for a, b in itertools.pairwise(at)][1:]


class Loss(nn.Module):
    """The loss of a batch as a forward pass."""

    def __init__(self, model: GeoModel[Any], module: nn.Module) -> None:
        super().__init__()
        self.model, self.module = model, module

    def forward(self, batch: dict[str, torch.Tensor], noise: torch.Generator) -> torch.Tensor:
        return self.model.loss(self.module, batch, noise)


def gradients(name: str) -> tuple[list[float], list[float], list[float]]:
    """Give seconds a step: our own, torch's, and those of the message alone."""
    torch.set_num_threads(1)
    model, records, settings = made(name)
    group = share.found()
    assert group is not None
    module = model.build(torch.Generator().manual_seed(0))
    other = nn.parallel.DistributedDataParallel(Loss(model, copy.deepcopy(module)).train())
    run = _Training(model, module, settings, 0, "", None, group)
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-4, fused=True)
    prepared = model.prepare(records, torch.device("cpu"))
    batch = model.collate(prepared, torch.arange(settings.batch)[run.own])
    ours, theirs, messages = list[float](), list[float](), list[float]()
    with share.among(group):
        for _ in range(STEPS):
            begun = time.perf_counter()
            run._moved(batch)
            ours.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            optimizer.zero_grad()
            loss = other(batch, run.noise)
            loss.backward()
            optimizer.step()
            loss.item()
            theirs.append(time.perf_counter() - begun)
            group.total(torch.zeros(1))  # both are here
            begun = time.perf_counter()
            run._averaged(loss.detach(), group)
            messages.append(time.perf_counter() - begun)
    return ours[2:], theirs[2:], messages[2:]


def main() -> None:
    for name in sys.argv[1:] or ("satclip", "satmae"):
        seconds: dict[str, list[float]] = {"one": [], "two": []}
        own, torchs, message = list[float](), list[float](), list[float]()
        apart = 0.0
        for _ in range(ROUNDS):
            due, one = trained(name, CORES)
            torch.set_num_threads(CORES)
            losses, two = launch(CORES, trained, name, 1)
            apart = max(apart, *(abs(a / b - 1) for a, b in zip(losses, due, strict=True)))
            seconds["one"] += one
            seconds["two"] += two
            for kept, found in zip(
                (own, torchs, message), launch(CORES, gradients, name), strict=True
            ):
                kept += found
        first, second, a, b, c = map(
            statistics.median, (seconds["one"], seconds["two"], own, torchs, message)
        )
        print(
            f"{name}: one process {first * 1e3:.0f} ms a step, two {second * 1e3:.0f} "
            f"({first / second:.2f} times); losses at most {apart:.1e} apart; DDP "
            f"{b / a:.2f} times our step, the message {c / a:.1%} of it"
        )


if __name__ == "__main__":
    main()
