"""What a stage is expected to cost: seconds on one core, from counts and measured rates.

The rates were measured on one core of a server CPU of 2024 (see benchmarks/README.md); another
machine is faster or slower as a whole, so the estimate is right in its proportions first.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherefrom.study.spec import ModelSpec, Study

__all__ = ["DRAW", "START", "features", "fewshot", "pool", "pretrain", "task"]

#: Single-precision operations per second that the models reach on one core.
FLOPS = 55e9
#: Seconds to draw one composition, and to write initial weights.
DRAW = 0.5
START = 0.1
#: Seconds per region, 50 seeds and n = 100 of each head.
HEADS = {"logistic": 0.6, "mlp": 0.3, "knn": 0.2, "majority": 0.01, "forest": 8.0}


def pool(study: Study) -> float:
    """Seconds to build the pool."""
    return 0.5 + 1.5e-6 * study.pool.places


def task(study: Study) -> float:
    """Seconds to draw and label the task's places."""
    return 1 + 2e-5 * 6 * (study.task.train_per_region + study.task.test_per_region)


def features(study: Study) -> float:
    """Seconds to filter one image and look the pool up."""
    return 3.5 + 2.5e-5 * study.pool.places


def encoder_flops(spec: ModelSpec) -> float:
    """Operations of one place through the location encoder."""
    inner = spec.depth - 1
    return 2 * spec.width * (spec.degrees**2 + inner * spec.width + spec.out)


def pretrain(spec: ModelSpec) -> float:
    """Seconds of one pre-training: forward, and backward at twice that."""
    slower = 5.0 if spec.image == "cnn" else 1.0
    return slower * spec.pretrain.samples_seen * 3 * encoder_flops(spec) / FLOPS


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
        # Steps on the few training places, and one pass over the many test places.
        one = 0.13 + 4e-8 * encoder_flops(study.models[model])
        return areas * seeds * one * sum(n) / 100
    work = sum(1 + (size / 100 - 1) * 0.5 for size in n)
    return areas * seeds / 50 * HEADS[head] * work * _wide(model)


def _wide(model: str) -> float:
    """Tell how much more than embeddings of 256 numbers raw harmonics take."""
    prefix = "raw-harmonics-L"
    degrees = int(model.removeprefix(prefix)) if model.startswith(prefix) else 0
    return max(1.0, degrees**2 / 256)
