"""What a stage is expected to cost: seconds on one core, from counts and measured rates.

The rates were measured on one core of a server CPU of 2024 (see benchmarks/README.md); another
machine is faster or slower as a whole, so the estimate is right in its proportions first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from wherefrom.gfms.base import FLOPS, Gfm
from wherefrom.gfms.baselines import Baseline
from wherefrom.gfms.places import SCALED
from wherefrom.gfms.published import Published
from wherefrom.payload.base import Payload
from wherefrom.tasks.base import TaskSpec
from wherefrom.train.heads import HeadOptions

if TYPE_CHECKING:
    from wherefrom.study.stage import Stage

__all__ = [
    "AUDIT", "DRAW", "START", "embed", "fewshot", "memory", "of_payload", "of_places", "places_of",
    "pretrain", "stored",
]  # fmt: skip

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


# What it needs besides time, measured stage by stage in processes of their own (docs/DECISIONS.md).

#: Bytes of a process that has imported what computes, torch included.
_BASE = 560_000_000
#: And of the layers of the Earth that stages look up: polygons and their index, or rasters.
_POLYGONS, _RASTERS = 420_000_000, 300_000_000
_LOOKING = frozenset({"pool", "task", "draw", "audit"})
#: Bytes that a place takes in the store: of the pool, a task, a draw; and its record of each
#: modality where its size is not stated.
_KEPT = {"pool": 14.5, "task": 21, "draw": 16}
_RECORD = {"features": 512, "series": 800, "images": 4 * 12 * 64**2}
#: The card of a draw, and what a stage of scores has besides its predictions.
_CARD, _SCORES = 212_000, 3_000


def places_of(stage: Stage) -> int:
    """Count the places that a stage reads or makes, as far as a plan knows."""
    if stage.kind == "pool":
        begin, each = _PLACES["pool"]
        return round((stage.cost - begin) / each)
    if stage.kind == "draw":
        # One that lists its places has no more than the pool.
        return 0 if stage.of.empty else stage.spec["n"] or places_of(stage.inputs["pool"])
    if stage.kind in ("audit", "pretrain"):
        return places_of(stage.inputs["draw"])
    if stage.kind == "payload" and stage.spec["count"]:
        return int(stage.spec["count"])
    task = stage if stage.kind == "task" else stage.inputs["task"]
    return int(task.of.places)


def stored(stage: Stage) -> int:
    """Bytes that a stage leaves in the store, from counts."""
    places = places_of(stage)
    if stage.kind in ("pool", "task"):
        return round(_KEPT[stage.kind] * places)
    if stage.kind == "draw":
        return round(_CARD + (0 if stage.of.empty else _KEPT["draw"] * places))
    if stage.kind == "payload":
        return int((8 + _record(stage.of)) * places)
    if stage.kind == "pretrain":
        return int(4 * stage.of.parameters)
    if stage.kind == "fewshot":
        # A class of each test place for each seed, in a byte, of which compression leaves a third;
        # and three numbers a score.
        task, areas = stage.inputs["task"].of, stage.spec["regions"]
        share = 1.0 if areas is None else len(areas) / max(1, task.areas)
        each = share * places / 3 + 100
        return int(_SCORES + len(stage.spec["n"]) * stage.spec["finetune_seeds"] * each / 3)
    return _SCORES


def memory(stage: Stage) -> int:
    """Peak bytes of a process that computes a stage and nothing before it, from counts.

    What a worker keeps of earlier stages (layers of the Earth, the last pool and task) comes on
    top: at the scale debug up to 0.8 GB.

    Examples
    --------
    >>> from wherefrom.study import load, plan
    >>> steps = plan(load("studies/purohit2025", "debug"))
    >>> f"{memory(steps.stages[0]) / 1e9:.2f} GB"  # builds the pool
    '0.98 GB'
    """
    places, found = places_of(stage), float(_BASE)
    if stage.kind in _LOOKING:
        found += _POLYGONS + 100 * places
    elif stage.kind == "payload" or stage.payloads:
        found += _RASTERS
    if "pool" in stage.inputs:
        found += 40 * places_of(stage.inputs["pool"])
    payloads = {one.of.kind: one.of for one in stage.inputs.values() if one.kind == "payload"}
    if stage.kind == "payload":
        # Images are written as they come.
        most = _IMAGES if stage.of.modality == "images" else _PIECE
        found += 3 * min(places * _record(stage.of), most)
    elif stage.kind == "pretrain":
        # Kept records are mapped: of each that is read some pages stay, at most all of the pool's.
        for one in payloads.values():
            kept = places_of(stage.inputs["pool"]) * _record(one)
            found += min(places * (_record(one) + _PAGES), kept)
        records = sum(map(_record, (*payloads.values(), *stage.payloads)))
        found += 3 * min(places * records, _PIECE)
        # Of what is not kept, scales are told by some places of the pool.
        found += SCALED * sum(map(_record, stage.payloads))
        # Weights with gradients and the optimiser's two, and what lies between layers.
        found += 4 * 4 * stage.of.parameters
        found += stage.of.pretrain.batch * stage.of.pretrain_flops / 32
    elif stage.kind in ("fewshot", "tune"):
        # Records are copied on their way into a model, but for images, which come in batches.
        copies = {name: 1 if one.modality == "images" else 6 for name, one in payloads.items()}
        each = sum(copies[name] * _record(one) for name, one in payloads.items())
        if isinstance(stage.of, Gfm):
            found += places * (each + 5 * 4 * 256)
            found += stage.of.embed_batch * stage.of.embed_flops / 20
        else:
            found += places * (each + 3 * 4 * stage.of.width)
            found += _NETWORK if isinstance(stage.of, Published) else 0
    return round(found)


#: Bytes around a record that is read of a file which is mapped.
_PAGES = 65_536
#: Records that are held at a time are at most about as large; images; and a network of others'.
_PIECE, _IMAGES, _NETWORK = 2_000_000_000, 100_000_000, 100_000_000


def _record(payload: Payload) -> int:
    """Bytes of a place's record, as it is kept."""
    if payload.modality == "images" and payload.image_side and payload.bands:
        return 4 * prod((len(payload.bands), payload.image_side, payload.image_side))
    return payload.bytes_per_place or _RECORD[payload.modality]
