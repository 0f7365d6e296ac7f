"""Saved predictions of a made-up task, as a few-shot stage writes them, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.study.predictions import PREDICTIONS, Saved
from wherefrom.tasks import Task
from wherefrom.tasks.labelled import TASK

Ints = NDArray[np.int64]


def made_task(
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    label: NDArray[Any],
    region: NDArray[Any] | None = None,
    **change: Any,
) -> Task:
    """Make a task all of whose rows are test places."""
    rows = len(lon)
    region = np.zeros(rows, np.int16) if region is None else region
    about: dict[str, Any] = {
        "name": "demo",
        "lon": lon,
        "lat": lat,
        "label": label,
        "classes": tuple(f"class {i}" for i in range(int(label.max()) + 1)),
        "region": region,
        "regions": tuple(f"region {i}" for i in range(int(region.max()) + 1)),
        "split": np.ones(rows),
        "label_layer": "demo",
    }
    return Task(**about | change)


def save(
    folder: Path,
    task: Task,
    told: Mapping[tuple[str, str, int], NDArray[Any]],
    n: int = 20,
    head: str = "knn",
) -> list[Saved]:
    """Save what each (model, composition, run) tells of every row of a task, (S, N)."""
    task.write(folder / "task" / TASK)
    made = []
    for number, ((model, composition, run), predicted) in enumerate(told.items()):
        held: dict[str, NDArray[Any]] = {}
        for code, region in enumerate(task.regions):
            rows = np.flatnonzero((task.region == code) & task.reported)
            held |= {f"{region}|{n}": predicted[:, rows], f"{region}|test": rows}
        own = folder / f"stage {number}"
        own.mkdir(parents=True)
        np.savez_compressed(own / PREDICTIONS, **held)  # type: ignore[arg-type]
        made.append(Saved(model, composition, task.name, head, (run,), own, folder / "task"))
    return made


def tells(
    truth: Ints, rate: float, seeds: int, rng: np.random.Generator, classes: int | None = None
) -> Ints:
    """Predict right at about a rate, at some places more than at others, (S, T) integers."""
    classes = classes or int(truth.max()) + 1
    hardness = rng.normal(size=truth.size)
    right = (hardness + rng.normal(size=(seeds, truth.size))) / np.sqrt(2) < _normal(rate)
    return np.where(right, truth, rng.integers(0, classes, (seeds, truth.size)))


def _normal(rate: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(rate))
