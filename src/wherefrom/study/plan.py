"""From a study to its stages: what has to be computed, from what, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wherefrom import earth
from wherefrom.compose import sampler
from wherefrom.earth import imagery
from wherefrom.earth.fetch import digest_of
from wherefrom.errors import UnknownNameError, WherefromError, unknown
from wherefrom.files import sha256_of
from wherefrom.pool.series.earth import SERIES_LAYERS
from wherefrom.study import cost
from wherefrom.study.gfms import ModelSpec
from wherefrom.study.pools import content_of, stage_spec
from wherefrom.study.spec import HeadUse, Study
from wherefrom.study.stage import Plan, Stage
from wherefrom.study.tasks import OF_SERIES, PlacedSpec, TableSpec, TaskSpec

__all__ = ["plan"]


def plan(study: Study) -> Plan:
    """Expand a study into stages.

    Parameters
    ----------
    study : Study
        As `wherefrom.study.load` returns it.

    Returns
    -------
    Plan
        Pool, tasks and their series, image features, draws, then each model's pre-training and
        few-shot stages, and the baselines'.

    Raises
    ------
    WherefromError
        If a sampler, layer or head of the study is unknown.

    Examples
    --------
    >>> from wherefrom.study import load, plan
    >>> steps = plan(load("studies/purohit2025", "debug"))
    >>> steps.stages[0].kind
    'pool'
    """
    return Plan(study, tuple(_expand(study)))


def _expand(study: Study) -> Iterator[Stage]:
    pool = Stage(
        kind="pool",
        label=f"pool of {study.pool_places:,} places",
        spec=stage_spec(study.pool, study.table),
        inputs={},
        cost=cost.pool(study),
        bundle="pool",
        files={"file": study.pool.file} if study.pool.file else {},
    )
    yield pool
    tasks = {name: _task(spec, pool) for name, spec in study.tasks.items()}
    yield from tasks.values()
    # A task with series of its own holds them; the others' are made where something reads them.
    series = {
        name: _series(spec, tasks[name])
        for name, spec in study.tasks.items()
        if isinstance(spec, PlacedSpec | TableSpec) and _reads_series(study, name)
    }
    yield from series.values()
    features: dict[str, Stage] = {}
    if any(spec.reads_images for spec in study.models.values()):
        features = {
            f"features {name}": _features(study, name, pool) for name in study.imagery.sources
        }
    yield from features.values()
    draws: dict[tuple[str, int], Stage] = {}
    for name, text in study.compositions.items():
        for seed in range(_most_draws(study, text)):
            draws[name, seed] = Stage(
                kind="draw",
                label=f"draw {name} {seed}",
                spec=_draw_spec(study, text) | {"seed": seed},
                inputs={"pool": pool},
                cost=cost.DRAW,
                bundle=f"draw {name} {seed}",
            )
            yield draws[name, seed]
    for model, gfm in study.models.items():
        for name, text in study.compositions.items():
            for draw, seed in _runs(gfm, text):
                inputs = {"draw": draws[name, draw], "pool": pool}
                inputs |= features if gfm.reads_images else {}
                run = _pretrain(model, gfm, name, draw, seed, inputs)
                yield run
                for task in gfm.tasks:
                    data = {"task": tasks[task], "series": series.get(task, tasks[task])}
                    yield from _fewshot(study, task, data, model, name, draw, seed, run)
    for task, spec in study.tasks.items():
        data = {"task": tasks[task], "series": series.get(task, tasks[task])}
        for baseline in spec.baselines:
            yield from _fewshot(study, task, data, baseline, "", -1, -1, None)


def _task(spec: TaskSpec, pool: Stage) -> Stage:
    """Labelled places of the task; those drawn here keep their distance to the pool."""
    placed = isinstance(spec, PlacedSpec)
    made: dict[str, Any] = {"layers": {name: earth.layer_key(name) for name in spec.layers}}
    files = {}
    if isinstance(spec, TableSpec):
        files["file"] = spec.file
        made["content"] = content_of(spec.file)
    if spec.sources:
        made["sha256"] = {name: digest_of(name) for name in spec.sources}
    return Stage(
        kind="task",
        label=f"task {spec.label}",
        spec=spec.settings() | made,
        inputs={"pool": pool} if placed else {},
        cost=cost.task(spec),
        bundle=f"task {spec.label}",
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
        cost=cost.series(spec),
        bundle=f"series {spec.label}",
    )


def _reads_series(study: Study, task: str) -> bool:
    models = any(task in spec.tasks for spec in study.models.values() if spec.reads_series)
    return models or any(name in OF_SERIES for name in study.tasks[task].baselines)


def _features(study: Study, source: str, pool: Stage) -> Stage:
    return Stage(
        kind="features",
        label=f"image features {source}",
        spec={"image": _image_spec(study, source)} | _digest(source),
        inputs={"pool": pool},
        cost=cost.features(study),
        bundle=f"features {source}",
    )


def _image_spec(study: Study, source: str) -> dict[str, Any]:
    spec = study.imagery
    return {
        "source": source,
        "window_km": spec.window_km,
        "filters": spec.filters,
        "seed": spec.seed,
    }


def _digest(source: str) -> dict[str, str]:
    """Hash an image of which the catalog knows no checksum; of others the name says it all."""
    if source not in imagery.IMAGES or all(file.sha256 for file in earth.source(source).files):
        return {}
    earth.path_of(source)
    return {"sha256": digest_of(source)}


def _draw_spec(study: Study, text: str) -> dict[str, Any]:
    chosen, own = sampler(text), study.table.columns if study.table else ()
    layers = list(getattr(chosen, "layers", tuple)())
    made = chosen.spec()
    if made.get("around") == "cities":
        layers.append("city_distance")
    spec: dict[str, Any] = {
        "sampler": made,
        "n": None if _is_none(text) or _is_list(text) else study.composition_size,
        # The pool's own columns are in its key.
        "layers": {name: _layer_key(name, own) for name in layers if name not in own},
    }
    if _is_list(text):
        file = Path(made["file"])
        if not file.is_file():
            raise WherefromError(f"{file}: no such file of ids, named by the study's {text!r}")
        spec["sha256"] = sha256_of(file)
    return spec


def _layer_key(name: str, own: Sequence[str]) -> str:
    """Return the key of a layer; for an unknown one the columns of the pool are named, too."""
    try:
        return earth.layer_key(name)
    except UnknownNameError as err:
        if err.kind != "layer":
            raise
        raise unknown("layer", name, (*earth.CATEGORICAL, *own)) from None


def _is_none(text: str) -> bool:
    return text == "none"


def _is_list(text: str) -> bool:
    """Tell whether a composition is a list of the user's, of which there is but one draw."""
    return text.startswith("ids")


def _most_draws(study: Study, text: str) -> int:
    if _is_none(text) or _is_list(text):
        return 1
    return max(spec.draws for spec in study.models.values())


def _runs(spec: ModelSpec, text: str) -> list[tuple[int, int]]:
    """Return (draw, pre-train seed) pairs; random weights get as many runs as the others."""
    if _is_none(text):
        return [(0, seed) for seed in range(spec.draws * spec.pretrain_seeds)]
    if _is_list(text):
        return [(0, seed) for seed in range(spec.pretrain_seeds)]
    return [(d, s) for d in range(spec.draws) for s in range(spec.pretrain_seeds)]


def _pretrain(
    model: str,
    spec: ModelSpec,
    composition: str,
    draw: int,
    seed: int,
    inputs: dict[str, Stage],
) -> Stage:
    empty = inputs["draw"].spec["sampler"]["name"] == "none"
    made: dict[str, Any] = {"model": spec.settings(), "name": model, "seed": seed}
    if spec.reads_series:
        made["layers"] = {name: earth.layer_key(name) for name in SERIES_LAYERS}
    return Stage(
        kind="pretrain",
        label=f"pretrain {model} {composition} draw {draw} seed {seed}",
        spec=made,
        inputs=inputs,
        cost=cost.START if empty else cost.pretrain(spec),
        bundle=f"{model} {composition} {draw} {seed}",
    )


def _fewshot(
    study: Study,
    task: str,
    data: dict[str, Stage],
    model: str,
    composition: str,
    draw: int,
    seed: int,
    run: Stage | None,
) -> Iterator[Stage]:
    """Yield the few-shot stages of one run (or of one baseline) on one task, head by head."""
    label = study.task_label(task)
    axes = {
        "model": model,
        "composition": composition,
        "draw_seed": draw,
        "pretrain_seed": seed,
        "task": label,
    }
    gfm = study.models.get(model)
    inputs = {"task": data["task"]} | ({"pretrain": run} if run else {})
    if gfm.reads_series if gfm else model in OF_SERIES:
        inputs["series"] = data["series"]
    once = cost.embed(gfm, study.tasks[task]) if gfm else 0.0
    for head, use in study.heads.items():
        if head == "finetune" and run is None:
            continue
        if (model == "majority") != (head == "majority"):
            continue
        if not _is_for(study, use, model, task):
            continue
        jobs: list[tuple[list[str] | None, list[int], int, str]] = []
        if _chosen(study, use, model, composition, draw, seed):
            jobs.append((None, [study.n], use.finetune_seeds or study.finetune_seeds, ""))
        sweep = study.sweep
        if (
            sweep is not None
            and head in sweep.heads
            and _chosen(study, sweep, model, composition, draw, seed)
        ):
            # The main grid has these episodes already: each score appears once.
            sizes = [n for n in sweep.n if not (jobs and n == study.n)]
            if sizes:
                jobs.append(([sweep.region], sizes, sweep.finetune_seeds, " sweep"))
        for regions, n, seeds, suffix in jobs:
            yield Stage(
                kind="fewshot",
                label=" ".join(
                    f"fewshot {model} {composition} {draw} {seed} {label} {head}{suffix}".split()
                ),
                spec={
                    "head": head,
                    "options": use.options,
                    "regions": regions,
                    "n": n,
                    "finetune_seeds": seeds,
                }
                | ({"model": gfm.kind} if gfm else _baseline(model)),
                inputs=inputs,
                cost=once + cost.fewshot(study, model, head, n, seeds, regions),
                bundle=run.bundle if run else f"baseline {model} {label}",
                axes=axes | {"head": head},
            )
            once = 0.0  # a worker keeps the embeddings of its last run


def _baseline(name: str) -> dict[str, Any]:
    """Name a baseline, and the weights that it reads."""
    weights = {"weights": digest_of("presto")} if name == "presto-official" else {}
    return {"baseline": name} | weights


def _is_for(study: Study, use: HeadUse, model: str, task: str) -> bool:
    """Tell whether a head is for a model; for a baseline, whether it is for one on its task."""
    if use.models is None:
        return True
    if model in study.models:
        return model in use.models
    return any(task in study.models[name].tasks for name in use.models if name in study.models)


def _chosen(study: Study, use: Any, model: str, composition: str, draw: int, seed: int) -> bool:
    """Tell whether a head or sweep, perhaps limited to some runs, covers this one."""
    if model not in study.models:
        return True
    if use.models is not None and model not in use.models:
        return False
    spec = study.models[model]
    draws = spec.draws if use.draws is None else use.draws
    seeds = spec.pretrain_seeds if use.pretrain_seeds is None else use.pretrain_seeds
    if _is_none(study.compositions[composition]):
        return seed < draws * seeds
    return draw < draws and seed < seeds
