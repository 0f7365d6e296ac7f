"""Small models of every kind that pre-trains, and trainings of them that processes share."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from wherefrom.errors import WherefromError
from wherefrom.models.base import GeoModel
from wherefrom.models.grouped import SatMAEConfig
from wherefrom.models.masked import PrestoConfig, records_of
from wherefrom.models.satclip import SatCLIPConfig
from wherefrom.models.sizes import SIZES
from wherefrom.pool.series import PixelSeries
from wherefrom.train import ranks
from wherefrom.train.pretrain import PretrainSettings, pretrain

N, BATCH, STEPS = 60, 24, 6
SETTINGS = PretrainSettings(
    samples_seen=BATCH * STEPS, batch=BATCH, lr=1e-3, warmup=2, weight_decay=0.05
)
Made = tuple[GeoModel[Any], dict[str, np.ndarray]]


def places() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "lon": rng.uniform(-180, 180, N),
        "lat": np.degrees(np.arcsin(rng.uniform(-1, 1, N))),
    }


def images(side: int = 40) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(N, 6, side, side)).astype(np.float32)


def series() -> dict[str, np.ndarray]:
    """Series of which some lack a band, a step, or the land cover, so that rows weigh unequally."""
    rng = np.random.default_rng(2)
    bands = {
        "temperature_2m": rng.uniform(270, 310, (N, 12)),
        "total_precipitation": rng.uniform(0, 0.01, (N, 12)),
        "elevation": rng.uniform(0, 2000, N),
        "slope": rng.uniform(0, 20, N),
        "B8": rng.uniform(1000, 4000, (N, 12)),
    }
    bands["B8"][::3] = np.nan
    bands["temperature_2m"][::2, 3:] = np.nan
    world = rng.integers(0, 9, (N, 12)).astype(np.uint8)
    world[::5] = 9
    return records_of(PixelSeries.from_bands(bands, **places(), month=0, dynamic_world=world))


def features() -> Made:
    image = np.random.default_rng(3).normal(size=(N, 4)).astype(np.float32)
    return SatCLIPConfig(6, 4, width=32, out=16), places() | {"image": image}


def cnn() -> Made:
    model = SatCLIPConfig(6, 6, image="cnn", width=32, out=16, augment=True)
    return model, places() | {"image": images()}


def presto() -> Made:
    groups = ("S2_NIR_10m", "ERA5", "SRTM", "dynamic_world")
    return PrestoConfig(groups=groups, months="cyclic"), series()


def satmae() -> Made:
    return SatMAEConfig(((0, 1, 2), (3, 4, 5)), SIZES["tiny"]), {"image": images()}


MODELS = {made.__name__: made for made in (features, cnn, presto, satmae)}


def train(made: Made, seed: int = 3, **more: Any) -> tuple[list[float], nn.Module]:
    """Pre-train; the losses are empty but in the first process."""
    losses: list[float] = []
    model, records = made
    more.setdefault("on_step", lambda _, loss: losses.append(loss))
    return losses, pretrain(model, records, np.arange(N), SETTINGS, seed=seed, **more)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """Give the weights that the loss depends on: biases of keys cancel in a softmax."""
    found = {}
    for name, value in module.state_dict().items():
        third = len(value) // 3 if name.endswith("qkv.bias") else 0
        found[name] = torch.cat([value[:third], value[2 * third :]]) if third else value
    return found


def gone_on(path: Path, at: int, to: Path | None) -> list[float]:
    """Go on from a checkpoint to the end, and keep the one of a step."""
    losses: list[float] = []

    def on_step(step: int, loss: float) -> None:
        losses.append(loss)
        if to and step == at:
            shutil.copy(path, to)

    train(features(), checkpoint=path, every=1, on_step=on_step)
    return losses


def everything(path: Path, at: int, to: Path) -> dict[str, tuple[list[float], Any]]:
    """Train every model, and go on from a checkpoint: in one go, since starts take seconds."""
    torch.set_num_threads(1)
    ranks.tell("begun")
    found = {}
    for name, made in MODELS.items():
        losses, module = train(made())
        found[name] = losses, weights(module)
    return found | {"gone on": (gone_on(path, at, to), None)}


def killed(folder: Path) -> None:
    """Train; process 1 is killed amid it."""
    _ended_by(lambda: os.kill(os.getpid(), signal.SIGKILL), folder)


def stopped(folder: Path) -> None:
    """Train; process 1 is stopped amid it."""
    _ended_by(lambda: os.kill(os.getpid(), signal.SIGSTOP), folder)


def mistaken(folder: Path) -> None:
    """Train; process 1 finds a mistake of the user's."""

    def refuse() -> None:
        raise WherefromError("the third image is upside down")

    _ended_by(refuse, folder)


def defective(folder: Path) -> None:
    """Train; process 1 runs into a defect."""

    def fail() -> None:
        raise KeyError("no such thing")

    _ended_by(fail, folder)


def _ended_by(what: Any, folder: Path) -> None:
    rank = torch.distributed.get_rank()
    (folder / str(rank)).write_text(str(os.getpid()))
    _, records = features()

    class Ending(SatCLIPConfig):
        def collate(self, prepared, rows):  # type: ignore[no-untyped-def]
            nonlocal left
            left -= 1
            if rank == 1 and not left:
                what()
            return super().collate(prepared, rows)

    left = 3
    train((Ending(6, 4, width=32, out=16), records), checkpoint=folder / "state.pt", every=1)
