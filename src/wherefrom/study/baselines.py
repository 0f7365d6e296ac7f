"""Features of the baselines: what any pre-training is compared with."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth import path_of
from wherefrom.models.masked import records_of
from wherefrom.models.presto import Presto
from wherefrom.pool.series.flat import raw_series
from wherefrom.study.data import TaskData
from wherefrom.study.satclip import harmonics
from wherefrom.train.embed import embed_series

__all__ = ["features"]


@lru_cache(maxsize=1)
def features(name: str, data: TaskData) -> NDArray[np.float32]:
    """Return the features of a baseline for all places of a task.

    Parameters
    ----------
    name : str
        One of `wherefrom.study.tasks.BASELINES`, or harmonics of another L.
    data : TaskData
        The task; with series for the baselines that look at them.

    Returns
    -------
    (N, D) float32 array
        A worker keeps those of its last baseline.
    """
    if name.startswith("raw-harmonics-L"):
        return harmonics(int(name.removeprefix("raw-harmonics-L")), data)
    if name == "raw-series":
        return raw_series(data.series)
    if name == "presto-official":
        # The published weights have seen every band: all that is there is shown to them.
        official = Presto.load_official(path_of("presto", download=False))
        return embed_series(official, records_of(data.series))
    # The majority class looks at no feature at all; the coordinates serve as well as any.
    return np.stack([data.task.lon, data.task.lat], axis=1).astype(np.float32)
