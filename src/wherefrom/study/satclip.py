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
from wherefrom.tasks import Task
from wherefrom.train.embed import embed
from wherefrom.train.pretrain import PretrainSettings
from wherefrom.train.pretrain import pretrain as train

__all__ = ["embedded", "harmonics", "pretrain"]

#: Pixels along a side of the windows that the jointly trained network sees.
WINDOW = 16


def pretrain(
    spec: dict[str, Any],
    pool: Pool,
    rows: NDArray[np.int64],
    features: Path,
    out: Path,
    partial: Path,
    tell: Callable[[float], None],
) -> None:
    """Pre-train on the places `rows` of the pool and write ``encoder.safetensors``."""
    fields = dict(spec["model"])
    settings = PretrainSettings(**fields.pop("pretrain"))
    del fields["kind"]
    if fields["image"] == "cnn":
        image = windows(pool.lon, pool.lat, WINDOW)
    else:
        image = np.load(features / "features.npy", mmap_mode="r")
    model = SatCLIPConfig(inputs=image.shape[1], **fields)
    partial.mkdir(parents=True, exist_ok=True)
    checkpoint = partial / "checkpoint.pt"
    module = train(
        model,
        {"lon": pool.lon, "lat": pool.lat, "image": image},
        rows,
        settings,
        seed=spec["seed"],
        checkpoint=checkpoint,
        on_step=lambda step, _: tell(step / settings.steps),
    )
    save_file(module.location.state_dict(), out / "encoder.safetensors")
    (out / "width").write_text(f"{model.degrees} {model.width} {model.depth} {model.out}")


def encoder_of(run: Path) -> LocationEncoder:
    """Read the location encoder of a pre-training stage, in eval mode."""
    encoder = LocationEncoder(*map(int, (run / "width").read_text().split()))
    encoder.load_state_dict(load_file(run / "encoder.safetensors"))
    return encoder.eval()


@lru_cache(maxsize=1)
def embedded(run: Path, task: Path) -> NDArray[np.float32]:
    """Embed all places of a task, (N, 256) float32; a worker keeps those of its last run."""
    places = Task.read(task)
    return embed(encoder_of(run), places.lon, places.lat)


@lru_cache(maxsize=1)
def harmonics(degrees: int, task: Path) -> NDArray[np.float32]:
    """Return the raw harmonics of all places of a task, (N, degrees^2) float32."""
    places = Task.read(task)
    lon, lat = torch.from_numpy(places.lon.copy()), torch.from_numpy(places.lat.copy())
    values: NDArray[np.float32] = SphericalHarmonics(degrees)(lon, lat, torch.float32).numpy()
    return values
