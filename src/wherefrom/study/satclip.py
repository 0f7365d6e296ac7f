"""How a study pre-trains, embeds with and fine-tunes SatCLIP."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from wherefrom.earth.imagery import windows
from wherefrom.models.harmonics import SphericalHarmonics
from wherefrom.models.satclip import LocationEncoder, SatCLIPConfig
from wherefrom.pool import Pool
from wherefrom.tasks import Episodes, Task
from wherefrom.train.embed import embed
from wherefrom.train.finetune import FineTune
from wherefrom.train.pretrain import PretrainSettings
from wherefrom.train.pretrain import pretrain as train

__all__ = ["embedded", "finetune", "harmonics", "images_of", "pretrain"]

#: Pixels along a side of the windows that the jointly trained network sees.
WINDOW = 16


def pretrain(
    spec: dict[str, Any],
    pool: Pool,
    rows: NDArray[np.int64],
    features: list[Path],
    out: Path,
    partial: Path,
    tell: Callable[[float], None],
) -> None:
    """Pre-train on the places `rows` of the pool and write ``encoder.safetensors``."""
    fields = dict(spec["model"])
    settings = PretrainSettings(**fields.pop("pretrain"))
    del fields["kind"]
    distinct, order = np.unique(rows, return_inverse=True)
    lon, lat = pool.lon[distinct], pool.lat[distinct]
    if fields["image"] == "cnn":
        image, scale = windows(lon, lat, WINDOW), None
    else:
        image, scale = images_of(features, distinct)
    model = SatCLIPConfig(inputs=image.shape[1], **fields)
    partial.mkdir(parents=True, exist_ok=True)
    checkpoint = partial / "checkpoint.pt"
    module = train(
        model,
        {"lon": lon, "lat": lat, "image": image},
        order,
        settings,
        seed=spec["seed"],
        calibration=None if scale is None else {"image": scale},
        checkpoint=checkpoint,
        on_step=lambda step, _: tell(step / settings.steps),
    )
    save_file(module.location.state_dict(), out / "encoder.safetensors")
    (out / "width").write_text(
        f"{model.degrees} {model.width} {model.depth} {model.out}", encoding="utf-8"
    )


def images_of(
    features: list[Path], rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read the image features of some places, and two rows that have the pool's mean and spread.

    Returns
    -------
    images : (n, F) float32 array
    scale : (2, F) float64 array
        Stands for the whole pool where `wherefrom.train.pretrain.pretrain` scales its inputs.
    """
    images, scales = [], []
    for folder in features:
        images.append(np.load(folder / "features.npy", mmap_mode="r")[rows])
        mean, std = np.load(folder / "statistics.npy")
        scales.append(np.stack([mean - std, mean + std]))
    return np.concatenate(images, axis=1).astype(np.float32), np.concatenate(scales, axis=1)


def encoder_of(run: Path) -> LocationEncoder:
    """Read the location encoder of a pre-training stage, in eval mode."""
    encoder = LocationEncoder(*map(int, (run / "width").read_text(encoding="utf-8").split()))
    encoder.load_state_dict(load_file(run / "encoder.safetensors"))
    return encoder.eval()


@lru_cache(maxsize=1)
def embedded(run: Path, task: Task) -> NDArray[np.float32]:
    """Embed all places of a task, (N, 256) float32; a worker keeps those of its last run."""
    return embed(encoder_of(run), task.lon, task.lat)


@lru_cache(maxsize=1)
def harmonics(degrees: int, task: Task) -> NDArray[np.float32]:
    """Return the raw harmonics of all places of a task, (N, degrees^2) float32."""
    return _harmonics(degrees, task, np.arange(len(task)))


def finetune(
    run: Path, options: dict[str, Any], task: Task, episodes: Episodes
) -> NDArray[np.int16]:
    """Fine-tune the whole encoder on each episode; predicted codes (S, T)."""
    encoder = encoder_of(run)
    rows, train = np.unique(episodes.train, return_inverse=True)
    train = train.reshape(episodes.train.shape)
    rows = np.concatenate([rows, episodes.test])
    test = np.arange(len(rows) - len(episodes.test), len(rows))
    values = _harmonics(encoder.harmonics.degrees, task, rows)
    labels = task.label[rows]
    return FineTune(**options).fit_predict(encoder, values, labels, train, test)


def _harmonics(degrees: int, task: Task, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    lon, lat = (torch.from_numpy(values[rows]) for values in (task.lon, task.lat))
    values: NDArray[np.float32] = SphericalHarmonics(degrees)(lon, lat, torch.float32).numpy()
    return values
