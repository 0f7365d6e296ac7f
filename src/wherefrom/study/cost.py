"""What a stage is expected to cost: seconds on one core, from counts and measured rates.

The rates were measured on one core of a server CPU of 2024 (see benchmarks/README.md); another
machine is faster or slower as a whole, so the estimate is right in its proportions first.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherefrom.gfms.base import FLOPS, Gfm
from wherefrom.gfms.baselines import Baseline
from wherefrom.gfms.published import Published
from wherefrom.payload.base import Payload
from wherefrom.tasks.base import TaskSpec
from wherefrom.train.heads import HeadOptions

__all__ = ["AUDIT", "DRAW", "START", "embed", "fewshot", "of_payload", "of_places", "pretrain"]

#: Seconds to draw one composition, to compute an audit number of it, and to write initial weights.
DRAW = 0.5
AUDIT = 0.05
START = 0.1

#: Seconds to begin and for each place: to build the pool; to draw and label a task's places, or to
#: read them.
_PLACES = {"pool": (0.5, 1.5e-6), "task": (1, 2e-5)}


def of_places(kind: str, places: int) -> float:
    """Seconds of a stage that passes once over the places of the pool or of a task."""
    begin, each = _PLACES[kind]
    return begin + each * places


def of_payload(payload: Payload, places: int) -> float:
    """Seconds to read a payload of so many places."""
    return 1 + payload.seconds * places


def pretrain(spec: Gfm) -> float:
    """Seconds of one pre-training: forward, and backward at twice that."""
    return spec.pretrain.samples_seen * 3 * spec.pretrain_flops / FLOPS


def embed(spec: Gfm | Published, task: TaskSpec) -> float:
    """Seconds to embed all places of a task."""
    return task.places * spec.embed_flops / FLOPS


def fewshot(
    head: type[HeadOptions],
    features: Gfm | Baseline | Published,
    sizes: Sequence[int],
    seeds: int,
    areas: int,
) -> float:
    """Seconds of one head on one run, or another row, over some regions, n and seeds."""
    if head.tunes_encoder and isinstance(features, Gfm):
        return areas * seeds * features.finetune_seconds * sum(sizes) / 100
    work = sum(1 + (n / 100 - 1) * 0.5 for n in sizes)
    # More numbers than embeddings of 256 have take more.
    wide = 1.0 if isinstance(features, Gfm) else max(1.0, features.width / 256)
    return areas * seeds / 50 * head.seconds * work * wide
