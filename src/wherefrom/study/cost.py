"""What a stage is expected to cost: seconds on one core, from counts and measured rates.

The rates were measured on one core of a server CPU of 2024 (see benchmarks/README.md); another
machine is faster or slower as a whole, so the estimate is right in its proportions first.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherefrom.study.gfms import FLOPS, ModelSpec
from wherefrom.study.spec import Study
from wherefrom.study.tasks import TaskSpec

__all__ = ["DRAW", "START", "embed", "features", "fewshot", "pool", "pretrain", "series", "task"]

#: Seconds to draw one composition, and to write initial weights.
DRAW = 0.5
START = 0.1
#: Seconds per region, 50 seeds and n = 100 of each head.
HEADS = {"logistic": 0.6, "mlp": 0.3, "knn": 0.2, "majority": 0.01, "forest": 8.0}
HEADS["logistic-balanced"] = HEADS["logistic"]


def pool(study: Study) -> float:
    """Seconds to build the pool."""
    return 0.5 + 1.5e-6 * study.pool_places


def task(spec: TaskSpec) -> float:
    """Seconds to draw and label the task's places, or to read them."""
    return 1 + 2e-5 * spec.places


def series(spec: TaskSpec) -> float:
    """Seconds to make the pixel series of a task's places."""
    return 1 + 5e-5 * spec.places


def features(study: Study) -> float:
    """Seconds to filter one image and look the pool up."""
    return 3.5 + 2.5e-5 * study.pool_places


def pretrain(spec: ModelSpec) -> float:
    """Seconds of one pre-training: forward, and backward at twice that."""
    return spec.pretrain.samples_seen * 3 * spec.pretrain_flops / FLOPS


def embed(spec: ModelSpec, task: TaskSpec) -> float:
    """Seconds to embed all places of a task."""
    return task.places * spec.embed_flops / FLOPS


def fewshot(
    study: Study,
    model: str,
    head: str,
    n: Sequence[int],
    seeds: int,
    regions: Sequence[str] | None,
) -> float:
    """Seconds of one head on one run, over its regions, n and seeds."""
    areas = 6 if regions is None else len(regions)
    if head == "finetune":
        return areas * seeds * study.models[model].finetune_seconds * sum(n) / 100
    work = sum(1 + (size / 100 - 1) * 0.5 for size in n)
    return areas * seeds / 50 * HEADS[head] * work * _wide(model)


def _wide(model: str) -> float:
    """Tell how much more than embeddings of 256 numbers raw harmonics take."""
    prefix = "raw-harmonics-L"
    degrees = int(model.removeprefix(prefix)) if model.startswith(prefix) else 0
    return max(1.0, degrees**2 / 256)
