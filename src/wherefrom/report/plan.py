"""The plan of a study as a table: stages, cached or not and why, and what they will cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wherefrom.payload.base import Payload
from wherefrom.shown import count_of, time_of
from wherefrom.study import Plan, Stage, Store
from wherefrom.study.fitting import tuned_of
from wherefrom.study.sizes import runs_of, sized
from wherefrom.study.stage import VERSIONS

__all__ = ["ONE_BLOCK", "render"]

#: What one block leaves open, said before it is run and after.
ONE_BLOCK = "one block: no statement about another draw or another pre-training"


def render(plan: Plan, store: Store) -> RenderableType:
    """Describe a plan: its stages by kind, what changed since earlier runs, bytes and GPU hours."""
    study = plan.study
    table = Table(title=Text(f"{study.name}, scale {study.scale}"), title_justify="left")
    for column in ("stage", "all", "cached", "missing", "core time left"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    finished = store.finished(plan.stages)
    missing = [stage for stage in plan.stages if stage.key not in finished]
    kinds = [kind for kind in VERSIONS if kind != "tune"]
    groups = {kind: [stage for stage in plan.stages if stage.kind == kind] for kind in kinds}
    groups["together"] = list(plan.stages)
    for kind, every in groups.items():
        if kind == "together":
            table.add_section()
        left = [stage for stage in missing if kind in (stage.kind, "together")]
        counts = (len(every), len(every) - len(left), len(left))
        table.add_row(kind, *map(str, counts), _time(left))
    parts: list[RenderableType] = [table, *_sizes(plan)]
    parts += [Text(f"{a!r} is absent: {b!r} stands in") for a, b in study.stood_in.items()]
    parts += [Text(f"left out {what}: {why}") for what, why in study.left_out.items()]
    parts += [Text(f"left out {what}: {why}") for what, why in study.unmatched.items()]
    parts += [Text(f"not read: {what}: {why}") for what, why in study.unread.items()]
    parts += [Text(line) for line in tuned_of(plan)]
    parts += _why(missing, store)
    parts += [Text(line) for line in _payloads(plan)]
    rest = [one for one in study.missing if not one.startswith("payload ")]
    parts += [Text(f"cannot run yet: {one}") for one in rest]
    return Group(*parts)


def _time(stages: list[Stage]) -> str:
    if any(stage.kind == "pretrain" and stage.of.gpu_hours_per_run for stage in stages):
        return "see GPU hours"
    return time_of(sum(stage.cost for stage in stages))


def _sizes(plan: Plan) -> list[Text]:
    study = plan.study
    draws = [stage for stage in plan.of_kind("draw") if not stage.of.empty]
    lines = [
        f"pool {count_of(study.pool_places, 'place')}; {count_of(len(draws), 'draw')} of "
        f"{study.composition_size:,}; n = {count_of(study.n, 'labelled place')}, "
        f"{count_of(study.finetune_seeds, 'fine-tune seed')}"
    ]
    # A list of the user's has as many, or is refused; of a sampler of others nobody knows.
    listed = dict.fromkeys(
        s.axes["composition"] for s in draws if s.spec["n"] is None and s.of.listed() is None
    )
    other = f"as many places as it takes, perhaps not {study.composition_size:,}"
    lines += [f"{name}: {other}" for name in listed]
    lines += [
        f"{name}: {spec.pretrain.samples_seen:,} samples seen for each composition, in "
        + (f"each of {spec.blocks} blocks" if spec.blocks > 1 else ONE_BLOCK)
        for name, spec in study.models.items()
    ]
    lines += _at_sizes(plan)
    lines += [
        f"{name}: {one} under another name, with draws of its own; in another order of the file "
        f"{one} would have these"
        for name, one in study.twins.items()
    ]
    hours = sum(
        stage.of.gpu_hours_per_run or 0.0
        for stage in plan.stages
        if stage.kind == "pretrain" and not stage.inputs["draw"].of.empty
    )
    if hours:
        lines.append(f"pre-training: about {hours:,.0f} GPU hours (one A100-class GPU a run)")
    return [Text(line) for line in lines]


def _at_sizes(plan: Plan) -> Iterator[str]:
    """Say which compositions are drawn at which other sizes, and what that is pre-trained on."""
    study = plan.study
    for model in study.models:
        budgets: dict[str, list[str]] = {}
        runs = list(runs_of(study, model))
        for size, gfm in runs:
            seen = f"{gfm.pretrain.samples_seen:,} for {size.places:,} places"
            budgets.setdefault(size.budget, []).append(seen)
        for budget, each in budgets.items():
            blocks = runs[0][1].blocks
            yield (
                f"{model}, sizes at equal {budget}: samples seen are {', '.join(each)}; "
                f"{', '.join(sized(study))}; " + (f"{blocks} blocks" if blocks > 1 else ONE_BLOCK)
            )


def _payloads(plan: Plan) -> Iterator[str]:
    """Say of each payload what it gives, where it was looked for, and its bytes and time."""
    study = plan.study
    drawn = sum(not s.of.empty for s in plan.of_kind("draw")) * study.composition_size
    drawn += sum(s.size.places for s in plan.sized("draw") if s.size)
    for name, payload in study.read.items():
        said = f"payload {name} ({payload.modality})"
        stages = [s for s in plan.of_kind("payload") if s.of == payload]
        hours = sum(s.cost for s in stages) / 3600
        if absent := payload.absent():
            size = _of(payload) * drawn
            stated = f"; {count_of(drawn, 'place')} at most" + (f", {_bytes(size)}" if size else "")
            lacking = f"{said}: cannot run yet, lacks {'; '.join(absent)}{stated}"
            yield f"{lacking}; {hours:.2g} core hours at most"
            continue
        sizes = stages[0].bytes if stages else {}
        where = [f"{Path(file).absolute()}, {_bytes(size)}" for file, size in sizes.items()]
        where += [f"source {source}" for source in payload.sources]
        where += [f"layer {layer}" for layer in payload.layers()]
        yield f"{said}: of {', '.join(where) or 'where places are'}; {hours:.2g} core hours"
        if fault := payload.fault():
            yield f"payload {name} cannot be used, or not its first record: {fault}"


def _bytes(count: int) -> str:
    """Write a number of bytes in kB, MB, GB or TB."""
    power = max(1, min(4, (len(str(count)) - 1) // 3))
    return f"{count / 1000**power:,.3g} {'kMGT'[power - 1]}B"


def _of(payload: Payload) -> int:
    """Return the bytes that a place takes, here or in the payload that it is made of."""
    inner = (value for _, value in payload if isinstance(value, Payload))
    return payload.bytes_per_place or sum(map(_of, inner))


def _why(missing: list[Stage], store: Store) -> list[Text]:
    """Say, for missing stages that once were there, which field changed: each change once."""
    first: dict[str, str] = {}
    for stage in missing:
        own = [line for line in store.changes(stage) if not line.startswith("inputs.")]
        for line in own:
            first.setdefault(f"{stage.kind}: {line}", stage.label)
    return [Text(f"changed {line} (first at {label!r})") for line, label in first.items()]
