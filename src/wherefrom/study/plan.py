"""From a study to its stages: what has to be computed, from what, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from wherefrom import earth
from wherefrom.compose import SamplerModel
from wherefrom.earth.fetch import absent, digest_of
from wherefrom.gfms.base import Gfm
from wherefrom.gfms.baselines import Baseline, baseline
from wherefrom.gfms.published import Published
from wherefrom.payload.base import Modality, Payload
from wherefrom.payload.content import Content, content_of
from wherefrom.shown import count_of
from wherefrom.study import cost
from wherefrom.study.audits import audit_stages
from wherefrom.study.draws import contents, draw_stages, layer_key_of
from wherefrom.study.pairing import refuse_misfits, refuse_sizes
from wherefrom.study.pools import stage_spec
from wherefrom.study.sizes import Size, check, heads_of, runs_of, sized
from wherefrom.study.spec import HeadUse, Study, SweepSpec
from wherefrom.study.stage import Plan, Stage
from wherefrom.tasks.base import TaskSpec
from wherefrom.train.heads import kind_of_head

__all__ = ["plan"]


def plan(study: Study) -> Plan:
    """Expand a study into stages.

    Returns
    -------
    Plan
        Pool, tasks, draws and their audit numbers, then what each model sees of places, its
        pre-training and few-shot stages, and those of baselines and published rows.

    Raises
    ------
    WherefromError
        If a layer or file that a sampler reads, or a head of the study, is unknown; or if its run
        would be refused in the end: heads, metrics or baselines are for classes where a task is of
        numbers, or the reverse; no region has n labelled places; the pool has fewer places than a
        composition.

    Examples
    --------
    >>> from wherefrom.study import load, plan
    >>> steps = plan(load("studies/purohit2025", "debug"))
    >>> steps.stages[0].kind
    'pool'
    """
    refuse_misfits(study)
    check(study)
    stages = tuple(_expand(study))
    refuse_sizes(study)  # of lists, too, which are there
    return Plan(study, stages)


def _expand(study: Study) -> Iterator[Stage]:
    pool = _pool(study)
    yield pool
    tasks = {name: _task(spec, pool) for name, spec in study.tasks.items()}
    yield from tasks.values()
    seen = _Seen(study, pool, tasks)
    drawn = list(draw_stages(study, pool, tasks))
    draws = {
        (s.axes["composition"], s.axes["draw"], s.size.places if s.size else None): s for s in drawn
    }
    yield from drawn
    own = study.table.columns if study.table else ()
    layer_key = partial(layer_key_of, own=own)
    whole = [stage for stage in drawn if stage.size is None]
    yield from audit_stages(study, pool, tasks, whole, layer_key)
    runs: list[tuple[str, Size | None, Gfm]] = [(name, None, g) for name, g in study.models.items()]
    runs += [(name, *one) for name in study.models for one in runs_of(study, name)]
    for model, size, gfm in runs:
        costed = _costed(study, gfm)
        names = list(study.compositions) if size is None else sized(study)
        for name, chosen in ((name, study.samplers[name]) for name in names):
            for block in range(gfm.blocks):
                draw = draws[name, block if chosen.varies else 0, size.places if size else None]
                inputs = {"draw": draw, "pool": pool}
                yield from seen.new(of_pool := seen.of_pool(gfm))
                inputs |= of_pool
                axes = {"model": model, "composition": name, "block": block}
                run = _pretrain(gfm, costed, chosen, axes, inputs, seen, size)
                yield run
                for task in gfm.tasks[: None if size is None else 1]:
                    yield from seen.new(data := seen.of_task(task, gfm))
                    yield from _fewshot(study, task, data, gfm, costed, axes, run)
    for task, spec in study.tasks.items():
        for name in spec.baselines:
            axes = {"model": name, "composition": "", "block": -1}
            yield from seen.new(data := seen.of_task(task, baseline(name)))
            yield from _fewshot(study, task, data, baseline(name), None, axes, None)
    for name, row in study.published.items():
        axes = {"model": name, "composition": "", "block": -1}
        for task in row.tasks or study.tasks:
            yield from seen.new(data := seen.of_task(task, row))
            yield from _fewshot(study, task, data, row, None, axes, None)


def _pool(study: Study) -> Stage:
    return Stage(
        kind="pool",
        label=f"pool of {count_of(study.pool_places, 'place')}",
        spec=stage_spec(study.pool, study.table),
        inputs={},
        cost=cost.of_places("pool", study.pool_places),
        bundle="pool",
        of=study.pool,
        files={study.pool.file: study.table.content} if study.pool.file and study.table else {},
    )


def _task(spec: TaskSpec, pool: Stage) -> Stage:
    """Labelled places of the task; those drawn here keep their distance to the pool."""
    files = contents(spec.files, f"task {spec.label!r}")
    made = {
        "version": spec.version,
        "layers": {name: earth.layer_key(name) for name in spec.layers},
        "content": list(files.values()),
        "sources": {name: absent(name) or digest_of(name) for name in spec.sources},
    }
    return Stage(
        kind="task",
        label=f"task {spec.label}",
        spec=spec.settings() | made,
        inputs={"pool": pool} if spec.needs_pool else {},
        cost=cost.of_places("task", spec.places),
        bundle=f"task {spec.label}",
        of=spec,
        files=files,
    )


class _Seen:
    """The stages that hold what is read of places, each made once, for whoever reads it."""

    def __init__(self, study: Study, pool: Stage, tasks: dict[str, Stage]) -> None:
        self.study, self.pool, self.tasks = study, pool, tasks
        self._made: dict[tuple[str, str], dict[str, Stage]] = {}
        self._held: dict[str, Content] = {}
        self._given: set[str] = set()

    def of_pool(self, gfm: Gfm) -> dict[str, Stage]:
        """Return what a GFM reads of the pool's places, by role; but for what it reads directly."""
        found: dict[str, Stage] = {}
        for name, payload in self._payloads(gfm.reads, gfm.payloads):
            if payload.kept:
                found |= self._stages(name, payload, "", self.pool, self.study.pool_places)
        return found

    def read_directly(self, gfm: Gfm) -> tuple[Payload, ...]:
        """Return the payloads that a pre-training reads itself."""
        payloads = self._payloads(gfm.reads, gfm.payloads)
        return tuple(one for _, one in payloads if not one.kept)

    def of_task(self, name: str, reader: Gfm | Baseline | Published) -> dict[str, Stage]:
        """Return a task, and what a row of the results reads of its places, by role."""
        spec, task = self.study.tasks[name], self.tasks[name]
        if isinstance(reader, Baseline):
            reads, named = reader.reads, self.study.named(name)
        else:
            reads, named = reader.reads_of_tasks, reader.payloads
        if spec.own_series:  # it holds them
            reads -= {"series"}
        found = {"task": task}
        for payload_name, payload in self._payloads(reads, named):
            found |= self._stages(payload_name, payload, name, task, spec.places)
        return found

    def new(self, stages: dict[str, Stage]) -> Iterator[Stage]:
        """Yield those of some stages that were not yielded before."""
        for stage in stages.values():
            if stage.kind == "payload" and stage.key not in self._given:
                self._given.add(stage.key)
                yield stage

    def _payloads(
        self, reads: Iterable[Modality], named: tuple[str, ...]
    ) -> list[tuple[str, Payload]]:
        return [self.study.payload_of(modality, named) for modality in sorted(reads)]

    def _stages(
        self, name: str, payload: Payload, task: str, source: Stage, places: int
    ) -> dict[str, Stage]:
        if (name, task) not in self._made:
            spec, held = self.spec(payload, labelled=bool(task))
            made = _payload_stages(name, payload, task, source, places, spec, held)
            self._made[name, task] = {
                f"{payload.modality} {number}": stage for number, stage in enumerate(made)
            }
        return self._made[name, task]

    def held(self, file: str) -> Content:
        """Say what a file of the user's holds, which is looked at once."""
        if file not in self._held:
            self._held[file] = content_of(file)
        return self._held[file]

    def spec(
        self, payload: Payload, *, labelled: bool
    ) -> tuple[dict[str, Any], dict[str, Content]]:
        """Give all that the records of a payload depend on, and the files of the user's in it."""
        made = {
            "payload": payload.settings(),
            "layers": {name: earth.layer_key(name) for name in payload.layers(labelled)},
        }
        if absent := payload.absent():  # planned, and not run before it is there
            return made | {"absent": absent}, {}
        for source in payload.sources:
            earth.path_of(source)
        held = {file: self.held(file) for file in payload.files}
        return made | {
            "sources": {name: digest_of(name) for name in payload.sources},
            "content": [content.key for content in held.values()],
        }, held


def _payload_stages(
    name: str,
    payload: Payload,
    task: str,
    source: Stage,
    places: int,
    spec: dict[str, Any],
    held: dict[str, Content],
) -> Iterator[Stage]:
    """Yield the stages that read a payload of a task, or of `payload.shard` places of the pool."""
    where = f"of task {task}" if task else "of the pool"
    starts = range(0, places, payload.shard) if not task else [0]
    for number, start in enumerate(starts, start=1):
        count = min(payload.shard, places - start) if not task else places
        part = f" {number}/{len(starts)}" if len(starts) > 1 else ""
        yield Stage(
            kind="payload",
            label=f"payload {name} {where}{part}",
            spec=spec | {"labelled": bool(task), "start": start, "count": None if task else count},
            inputs={"task" if task else "pool": source},
            cost=cost.of_payload(payload, count),
            bundle=f"payload {name} {where}{part}",
            of=payload,
            files={file: content.key for file, content in held.items()},
            bytes={file: content.bytes for file, content in held.items()},
            axes={"payload": name},
        )


def _costed(study: Study, gfm: Gfm) -> Gfm:
    """Return a GFM as it costs on what the study's payloads say that they give."""
    read = {one: study.payload_of(one, gfm.payloads)[1] for one in gfm.reads}
    return gfm.costed({one: payload.bands for one, payload in read.items()})


def _pretrain(
    gfm: Gfm,
    costed: Gfm,
    chosen: SamplerModel,
    axes: dict[str, Any],
    inputs: dict[str, Stage],
    seen: _Seen,
    size: Size | None,
) -> Stage:
    model = axes["model"]
    made: dict[str, Any] = {
        "model": gfm.settings(),
        "version": gfm.version,
        "name": model,
        "seed": axes["block"],
    }
    files = contents(gfm.files, f"model {model!r}", seen.held)
    payloads = seen.read_directly(gfm)
    direct = [seen.spec(one, labelled=False) for one in payloads]
    read = {
        "payloads": [spec for spec, _ in direct],
        "layers": {name: earth.layer_key(name) for name in gfm.layers},
        "sources": {name: absent(name) or digest_of(name) for name in gfm.sources},
        "content": list(files.values()),
    }
    made |= {part: found for part, found in read.items() if found}
    return Stage(
        kind="pretrain",
        label=f"pretrain {_called(axes, size)}",
        spec=made,
        inputs=inputs,
        cost=cost.START if chosen.empty else cost.pretrain(costed),
        bundle=_called(axes, size),
        of=gfm,
        payloads=payloads,
        files=files | {file: one.key for _, held in direct for file, one in held.items()},
        axes=axes,
        size=size,
    )


def _called(axes: dict[str, Any], size: Size | None) -> str:
    """Name a run by its place on the axes; a row without compositions by itself."""
    if not axes["composition"]:
        return str(axes["model"])
    at = "" if size is None else f" ({size.title})"
    return f"{axes['model']} {axes['composition']} block {axes['block']}{at}"


def _fewshot(
    study: Study,
    task: str,
    data: dict[str, Stage],
    features: Gfm | Baseline | Published,
    costed: Gfm | None,
    axes: dict[str, Any],
    run: Stage | None,
) -> Iterator[Stage]:
    """Yield the few-shot stages of one run, or of a row without, on one task, head by head."""
    of = study.tasks[task]
    label, size = of.label, run.size if run else None
    inputs = data | ({"pretrain": run} if run else {})
    files: dict[str, str] = {}
    about: dict[str, Any]
    if isinstance(features, Gfm):
        about = {"model": features.kind}
    elif isinstance(features, Published):
        files = contents(features.files, f"published.{axes['model']}")
        about = {
            "published": features.settings() | {"version": features.version},
            "sources": {name: digest_of(name) for name in features.sources},
            "content": list(files.values()),
        }
    else:
        about = {"baseline": features.name}
    taken = costed or features
    once = 0.0 if isinstance(taken, Baseline) else cost.embed(taken, of)
    own = heads_of(study, axes["model"]) if size else tuple(study.heads)
    for head in own:
        kind, use = kind_of_head(head), study.heads[head]
        if (kind.tunes_encoder and run is None) or kind.predicts != of.predicts:
            continue
        blind = isinstance(features, Baseline) and features.blind
        if blind == kind.needs_features or not _is_for(study, use, axes["model"], task):
            continue
        for regions, sizes, seeds, suffix in _jobs(study, head, use, axes, task):
            if size and regions is not None:
                continue  # a sweep is of the study's own size
            areas = of.areas if regions is None else len(regions)
            yield Stage(
                kind="fewshot",
                label=f"fewshot {_called(axes, size)} {label} {head}{suffix}",
                spec={
                    "head": head,
                    "version": kind.version,
                    "options": study.options(task, axes["model"], head),
                    "regions": regions,
                    "n": sizes,
                    "finetune_seeds": seeds,
                }
                | about,
                inputs=inputs,
                cost=once + cost.fewshot(kind, taken, sizes, seeds, areas) * max(1, of.folds),
                bundle=run.bundle if run else f"row {axes['model']} {label}",
                of=features,
                files=files,
                axes=axes | {"task": label, "head": head},
                size=size,
            )
            once = 0.0  # a worker keeps the embeddings of its last run


def _jobs(
    study: Study, head: str, use: HeadUse, axes: dict[str, Any], task: str
) -> Iterator[tuple[list[str] | None, list[int], int, str]]:
    """Yield what a head does for one run: regions (None for all), sizes, seeds, and a suffix."""
    main = _chosen(study, use, axes)
    if main:
        yield None, [study.n], use.finetune_seeds or study.finetune_seeds, ""
    sweep = study.sweep
    swept = sweep is not None and _is_for(study, sweep, axes["model"], task)
    if sweep is not None and swept and head in sweep.heads and _chosen(study, sweep, axes):
        # The main grid has these episodes already: each score appears once.
        for seeds, every in sweep.jobs.items():
            sizes = [n for n in every if not (main and n == study.n)]
            fewer = f" of {seeds} seeds" if seeds < sweep.finetune_seeds else ""
            if sizes:
                yield [sweep.region], sizes, seeds, f" sweep{fewer}"


def _is_for(study: Study, use: HeadUse | SweepSpec, model: str, task: str) -> bool:
    """Tell whether a head or sweep is for a model; of another row, for a model on its task."""
    if use.models is None:
        return True
    if model in study.models:
        return model in use.models
    return any(task in study.models[name].tasks for name in use.models if name in study.models)


def _chosen(study: Study, use: Any, axes: dict[str, Any]) -> bool:
    """Tell whether a head or sweep, perhaps limited to some models and blocks, covers this run."""
    if axes["model"] not in study.models:
        return True
    if use.models is not None and axes["model"] not in use.models:
        return False
    return use.blocks is None or bool(axes["block"] < use.blocks)
