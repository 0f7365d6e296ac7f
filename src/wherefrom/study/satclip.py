"""SatCLIP's recipe: locations against images, embedded and fine-tuned by location."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wherefrom.earth.imagery import windows
from wherefrom.models.base import Records
from wherefrom.models.harmonics import SphericalHarmonics
from wherefrom.models.satclip import SatCLIP, SatCLIPConfig
from wherefrom.pool import Pool
from wherefrom.study.data import TaskData, compact
from wherefrom.tasks import Episodes
from wherefrom.train.embed import embed_places
from wherefrom.train.finetune import FineTune

__all__ = ["configure", "embed", "finetune", "harmonics", "images_of", "records", "restore"]

#: Pixels along a side of the windows that the jointly trained network sees.
WINDOW = 16


def configure(settings: dict[str, Any], records: Records) -> SatCLIPConfig:
    """Make the model; its image side takes as many inputs as the records have."""
    return SatCLIPConfig(inputs=records["image"].shape[1], **settings)


def restore(spec: dict[str, Any]) -> SatCLIPConfig:
    """Make the model that gave a spec."""
    return SatCLIPConfig(**{name: value for name, value in spec.items() if name != "model"})


def records(
    settings: dict[str, Any], pool: Pool, rows: NDArray[np.int64], images: Sequence[Path]
) -> tuple[Records, Records | None]:
    """Read coordinates and images; features are scaled by the whole pool's."""
    lon, lat = pool.lon[rows], pool.lat[rows]
    if settings["image"] == "cnn":
        return {"lon": lon, "lat": lat, "image": windows(lon, lat, WINDOW)}, None
    image, scale = images_of(images, rows)
    return {"lon": lon, "lat": lat, "image": image}, {"image": scale}


def images_of(
    features: Sequence[Path], rows: NDArray[np.int64]
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


def embed(module: SatCLIP, data: TaskData, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Embed some places of a task, (R, out) float32."""
    return embed_places(module.location, data.task.lon[rows], data.task.lat[rows])


def finetune(
    module: SatCLIP, options: dict[str, Any], data: TaskData, episodes: Episodes
) -> NDArray[np.int16]:
    """Fine-tune the whole location encoder on each episode; predicted codes (S, T)."""
    rows, train, test = compact(episodes)
    model = SatCLIPConfig(degrees=module.location.harmonics.degrees, inputs=0)
    records = {"lon": data.task.lon[rows], "lat": data.task.lat[rows]}
    labels = data.task.label[rows]
    return FineTune(**options).fit_predict(model, module, records, labels, train, test)


def harmonics(degrees: int, data: TaskData) -> NDArray[np.float32]:
    """Return the raw harmonics of a task's places, (N, degrees^2) float32."""
    lon, lat = (torch.from_numpy(np.array(v)) for v in (data.task.lon, data.task.lat))
    values: NDArray[np.float32] = SphericalHarmonics(degrees)(lon, lat, torch.float32).numpy()
    return values
