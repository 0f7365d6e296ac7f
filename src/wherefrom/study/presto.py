"""Presto's recipe: series of climate, relief and land cover, hidden in part and reconstructed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.models.base import Records
from wherefrom.models.masked import PrestoConfig, records_of
from wherefrom.models.presto import Presto
from wherefrom.pool import Pool
from wherefrom.pool.series.earth import earth_series
from wherefrom.study.data import TaskData, compact
from wherefrom.tasks import Episodes
from wherefrom.train.embed import embed as embed_records
from wherefrom.train.finetune import FineTune

__all__ = ["configure", "embed", "finetune", "records", "restore"]

#: Channel groups of the series that a study makes of its pool (`earth_series`).
SEEN = ("ERA5", "SRTM", "dynamic_world")


def configure(settings: dict[str, Any], _: Records) -> PrestoConfig:
    """Make the model; each sample begins in a month of its own, for a climatology has no first."""
    return PrestoConfig(groups=SEEN, months="cyclic", **settings)


def restore(spec: dict[str, Any]) -> PrestoConfig:
    """Make the model that gave a spec."""
    fields = {name: value for name, value in spec.items() if name != "model"}
    return PrestoConfig(**fields | {"groups": tuple(fields["groups"])})


def records(
    _: dict[str, Any], pool: Pool, rows: NDArray[np.int64], __: Sequence[Path]
) -> tuple[Records, Records | None]:
    """Make the series of the places, land cover included; the scales are the model's own."""
    return records_of(earth_series(pool.lon[rows], pool.lat[rows])), None


def embed(module: Presto, data: TaskData, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Embed some places of a task by what pre-training has seen of a series, (R, 128) float32."""
    return embed_records(PrestoConfig(groups=SEEN), module, records_of(data.series.take(rows)))


def finetune(
    module: Presto, options: dict[str, Any], data: TaskData, episodes: Episodes
) -> NDArray[np.int16]:
    """Fine-tune the whole encoder on each episode; predicted codes (S, T)."""
    rows, train, test = compact(episodes)
    model, records = PrestoConfig(groups=SEEN), records_of(data.series.take(rows))
    labels = data.task.label[rows]
    return FineTune(**options).fit_predict(model, module, records, labels, train, test)
