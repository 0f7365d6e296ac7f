"""From a study to its stages: what has to be computed, from what, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from wherefrom import earth
from wherefrom.compose import SamplerModel
from wherefrom.earth import imagery
from wherefrom.earth.fetch import digest_of
from wherefrom.errors import UnknownNameError, WherefromError, unknown
from wherefrom.gfms.base import Gfm
from wherefrom.gfms.baselines import Baseline, baseline
from wherefrom.keys import canonical, seed_of
from wherefrom.pool.series.earth import SERIES_LAYERS
from wherefrom.study import cost
from wherefrom.study.pools import content_of, stage_spec
from wherefrom.study.spec import HeadUse, Study
from wherefrom.study.stage import Plan, Stage
from wherefrom.tasks.base import TaskSpec
from wherefrom.train.heads import kind_of_head

__all__ = ["plan"]


def plan(study: Study) -> Plan:
    """Expand a study into stages.

    Returns
    -------
    Plan
        Pool, tasks and their series, image features, draws, then each model's pre-training and
        few-shot stages, and the baselines'.

    Raises
    ------
    WherefromError
        If a layer or file that a sampler reads, or a head of the study, is unknown.

    Examples
    --------
    >>> from wherefrom.study import load, plan
    >>> steps = plan(load("studies/purohit2025", "debug"))
    >>> steps.stages[0].kind
    'pool'
    """
    return Plan(study, tuple(_expand(study)))


def _expand(study: Study) -> Iterator[Stage]:
    pool = _pool(study)
    yield pool
    tasks = {name: _task(spec, pool) for name, spec in study.tasks.items()}
    yield from tasks.values()
    # A task with series of its own holds them; the others' are made where something reads them.
    series = {
        name: _series(spec, tasks[name])
        for name, spec in study.tasks.items()
        if not spec.own_series and _reads_series(study, name)
    }
    yield from series.values()
    data = {name: {"task": task, "series": series.get(name, task)} for name, task in tasks.items()}
    seen = any("images" in gfm.reads for gfm in study.models.values())
    images = study.imagery.sources if seen else ()
    features = {f"features {name}": _features(study, name, pool) for name in images}
    yield from features.values()
    draws = {(s.axes["composition"], s.axes["draw_seed"]): s for s in _draws(study, pool)}
    yield from draws.values()
    for model, gfm in study.models.items():
        for name, chosen in study.samplers.items():
            for draw, seed in _runs(gfm, chosen):
                inputs = {"draw": draws[name, draw], "pool": pool}
                inputs |= features if "images" in gfm.reads else {}
                axes = {
                    "model": model,
                    "composition": name,
                    "draw_seed": draw,
                    "pretrain_seed": seed,
                }
                run = _pretrain(gfm, chosen, axes, inputs)
                yield run
                for task in gfm.tasks:
                    yield from _fewshot(study, task, data[task], gfm, axes, run)
    for task, spec in study.tasks.items():
        for name in spec.baselines:
            axes = {"model": name, "composition": "", "draw_seed": -1, "pretrain_seed": -1}
            yield from _fewshot(study, task, data[task], baseline(name), axes, None)


def _pool(study: Study) -> Stage:
    return Stage(
        kind="pool",
        label=f"pool of {study.pool_places:,} places",
        spec=stage_spec(study.pool, study.table),
        inputs={},
        cost=cost.of_places("pool", study.pool_places),
        bundle="pool",
        of=study.pool,
        files={study.pool.file: study.table.content} if study.pool.file and study.table else {},
    )


def _task(spec: TaskSpec, pool: Stage) -> Stage:
    """Labelled places of the task; those drawn here keep their distance to the pool."""
    files = _contents(spec.files, f"task {spec.label!r}")
    made = {
        "version": spec.version,
        "layers": {name: earth.layer_key(name) for name in spec.layers},
        "content": list(files.values()),
        "sources": {name: digest_of(name) for name in spec.sources},
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


def _series(spec: TaskSpec, task: Stage) -> Stage:
    """Pixel series of what the Earth layers say of a task's places."""
    # Land cover is what a task of places may ask for: never among its inputs.
    layers = [name for name in SERIES_LAYERS if name != "land_cover"]
    return Stage(
        kind="series",
        label=f"series {spec.label}",
        spec={"land_cover": False, "layers": {name: earth.layer_key(name) for name in layers}},
        inputs={"task": task},
        cost=cost.of_places("series", spec.places),
        bundle=f"series {spec.label}",
    )


def _reads_series(study: Study, task: str) -> bool:
    read = [gfm.reads_of_tasks for gfm in study.models.values() if task in gfm.tasks]
    read += [baseline(name).reads for name in study.tasks[task].baselines]
    return any("series" in modalities for modalities in read)


def _features(study: Study, source: str, pool: Stage) -> Stage:
    image = study.imagery.model_dump(include={"window_km", "filters", "seed"})
    return Stage(
        kind="features",
        label=f"image features {source}",
        spec={"image": image | {"source": source}} | _digest(source),
        inputs={"pool": pool},
        cost=cost.of_places("features", study.pool_places),
        bundle=f"features {source}",
    )


def _digest(source: str) -> dict[str, str]:
    """Hash an image of which the catalog knows no checksum; of others the name says it all."""
    if source not in imagery.IMAGES or all(file.sha256 for file in earth.source(source).files):
        return {}
    earth.path_of(source)
    return {"sha256": digest_of(source)}


def _draws(study: Study, pool: Stage) -> Iterator[Stage]:
    """Draw each composition as often as a model asks for it."""
    twins = study.twins
    fixed: dict[str, str] = {}
    for name, chosen in study.samplers.items():
        # Draws follow the spec; under a second name it gets streams of its own, so that the two
        # are as independent as any others.
        spec, files = _draw_spec(study, name, chosen)
        if files and not chosen.varies:
            rest = {k: v for k, v in chosen.spec().items() if v not in list(files)}
            other = fixed.setdefault(canonical([rest, spec["content"]]), name)
            if other != name:
                raise WherefromError(
                    f"compositions {other!r} and {name!r} are one: they list the same places"
                )
        for seed in range(max(gfm.draws for gfm in study.models.values()) if chosen.varies else 1):
            state = seed_of("composition", name, seed).generate_state(1)
            yield Stage(
                kind="draw",
                label=f"draw {name} {seed}",
                spec=spec | {"seed": int(state[0]) if name in twins else seed},
                inputs={"pool": pool},
                cost=cost.DRAW,
                bundle=f"draw {name} {seed}",
                of=chosen,
                files=files,
                axes={"composition": name, "draw_seed": seed},
            )


def _draw_spec(
    study: Study, name: str, chosen: SamplerModel
) -> tuple[dict[str, Any], dict[str, str]]:
    """Give all that a composition's draws depend on, and the files among that."""
    own = study.table.columns if study.table else ()
    inputs = chosen.inputs()
    files = _contents(inputs.files, f"composition {name!r} ({study.compositions[name]!r})")
    for source in inputs.sources:
        earth.path_of(source)
    spec = {
        "sampler": chosen.identity(),
        "n": study.composition_size if chosen.needs_n else None,
        # The pool's own columns are in its key.
        "layers": {
            layer: _layer_key(layer, own)
            for layer in (*inputs.layers, *inputs.numbers)
            if layer not in own
        },
        "sources": {source: digest_of(source) for source in inputs.sources},
        "content": list(files.values()),
    }
    return spec, files


def _contents(files: Iterable[str], who: str) -> dict[str, str]:
    """Hash files of the user's by what they hold."""
    try:
        return {file: content_of(file) for file in files}
    except OSError as err:
        raise WherefromError(
            f"{err.filename}: cannot be read ({err.strerror}), but {who} names it"
        ) from None


def _layer_key(name: str, own: Sequence[str]) -> str:
    """Return the key of a layer; for an unknown one the columns of the pool are named, too."""
    try:
        return earth.layer_key(name)
    except UnknownNameError as err:
        if err.kind != "layer":
            raise
        raise unknown("layer", name, (*earth.CATEGORICAL, *own)) from None


def _runs(gfm: Gfm, chosen: SamplerModel) -> list[tuple[int, int]]:
    """Return (draw, pre-train seed) pairs; random weights get as many runs as the others."""
    if chosen.empty:
        return [(0, seed) for seed in range(gfm.draws * gfm.pretrain_seeds)]
    draws = gfm.draws if chosen.varies else 1
    return [(draw, seed) for draw in range(draws) for seed in range(gfm.pretrain_seeds)]


def _pretrain(
    gfm: Gfm, chosen: SamplerModel, axes: dict[str, Any], inputs: dict[str, Stage]
) -> Stage:
    model, composition, draw, seed = axes.values()
    made: dict[str, Any] = {
        "model": gfm.settings(),
        "version": gfm.version,
        "name": model,
        "seed": seed,
    }
    files = _contents(gfm.files, f"model {model!r}")
    layers = (*(SERIES_LAYERS if "series" in gfm.reads else ()), *gfm.layers)
    read = {
        "layers": {name: earth.layer_key(name) for name in layers},
        "sources": {name: digest_of(name) for name in gfm.sources},
        "content": list(files.values()),
    }
    made |= {part: found for part, found in read.items() if found}
    return Stage(
        kind="pretrain",
        label=f"pretrain {model} {composition} draw {draw} seed {seed}",
        spec=made,
        inputs=inputs,
        cost=cost.START if chosen.empty else cost.pretrain(gfm),
        bundle=f"{model} {composition} {draw} {seed}",
        of=gfm,
        files=files,
        axes=axes,
    )


def _fewshot(
    study: Study,
    task: str,
    data: dict[str, Stage],
    features: Gfm | Baseline,
    axes: dict[str, Any],
    run: Stage | None,
) -> Iterator[Stage]:
    """Yield the few-shot stages of one run (or of one baseline) on one task, head by head."""
    label = study.tasks[task].label
    inputs = {"task": data["task"]} | ({"pretrain": run} if run else {})
    if isinstance(features, Gfm):
        reads, once = features.reads_of_tasks, cost.embed(features, study.tasks[task])
        about: dict[str, Any] = {"model": features.kind}
    else:
        reads, once = features.reads, 0.0
        about = {"baseline": features.name}
        if features.sources:
            about["weights"] = [digest_of(name) for name in features.sources]
    if "series" in reads:
        inputs["series"] = data["series"]
    for head, use in study.heads.items():
        kind = kind_of_head(head)
        if kind.tunes_encoder and run is None:
            continue
        blind = isinstance(features, Baseline) and features.blind
        if blind == kind.needs_features or not _is_for(study, use, axes["model"], task):
            continue
        for regions, sizes, seeds, suffix in _jobs(study, head, use, axes):
            named = ("fewshot", *axes.values(), label, f"{head}{suffix}")
            yield Stage(
                kind="fewshot",
                label=" ".join(str(name) for name in named if name != ""),
                spec={
                    "head": head,
                    "version": kind.version,
                    "options": use.options,
                    "regions": regions,
                    "n": sizes,
                    "finetune_seeds": seeds,
                }
                | about,
                inputs=inputs,
                cost=once + cost.fewshot(kind, features, sizes, seeds, regions),
                bundle=run.bundle if run else f"baseline {axes['model']} {label}",
                of=features,
                axes=axes | {"task": label, "head": head},
            )
            once = 0.0  # a worker keeps the embeddings of its last run


def _jobs(
    study: Study, head: str, use: HeadUse, axes: dict[str, Any]
) -> Iterator[tuple[list[str] | None, list[int], int, str]]:
    """Yield what a head does for one run: regions (None for all), sizes, seeds, and a suffix."""
    main = _chosen(study, use, axes)
    if main:
        yield None, [study.n], use.finetune_seeds or study.finetune_seeds, ""
    sweep = study.sweep
    if sweep is not None and head in sweep.heads and _chosen(study, sweep, axes):
        # The main grid has these episodes already: each score appears once.
        sizes = [n for n in sweep.n if not (main and n == study.n)]
        if sizes:
            yield [sweep.region], sizes, sweep.finetune_seeds, " sweep"


def _is_for(study: Study, use: HeadUse, model: str, task: str) -> bool:
    """Tell whether a head is for a model; for a baseline, whether it is for one on its task."""
    if use.models is None:
        return True
    if model in study.models:
        return model in use.models
    return any(task in study.models[name].tasks for name in use.models if name in study.models)


def _chosen(study: Study, use: Any, axes: dict[str, Any]) -> bool:
    """Tell whether a head or sweep, perhaps limited to some runs, covers this one."""
    model, draw, seed = axes["model"], axes["draw_seed"], axes["pretrain_seed"]
    if model not in study.models:
        return True
    if use.models is not None and model not in use.models:
        return False
    gfm = study.models[model]
    draws = gfm.draws if use.draws is None else use.draws
    seeds = gfm.pretrain_seeds if use.pretrain_seeds is None else use.pretrain_seeds
    if study.samplers[axes["composition"]].empty:
        return bool(seed < draws * seeds)
    return bool(draw < draws and seed < seeds)
