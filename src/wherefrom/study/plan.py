"""From a study to its stages: what has to be computed, from what, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from wherefrom import earth
from wherefrom.compose import sampler
from wherefrom.earth import imagery
from wherefrom.earth.fetch import digest_of
from wherefrom.errors import WherefromError
from wherefrom.files import sha256_of
from wherefrom.keys import key_of
from wherefrom.study import cost
from wherefrom.study.spec import ModelSpec, Study
from wherefrom.study.store import Store

__all__ = ["Plan", "Stage", "changes", "plan"]

#: Raised by hand when a stage's code, or a default of a head or a model, changes what it
#: computes: old results are then not reused.
VERSIONS = {"pool": 1, "task": 1, "features": 1, "draw": 1, "pretrain": 1, "fewshot": 1}


@dataclass(frozen=True)
class Stage:
    """One unit of work, named by the hash of its spec and of the stages that it is made from.

    Attributes
    ----------
    kind : str
        The folder of the store: pool, task, features, draw, pretrain or fewshot.
    label : str
        Its place on the study's axes, for people.
    spec : dict
        Every number that its result depends on.
    inputs : dict of str to Stage
        The stages whose results it reads, by role.
    cost : float
        Expected seconds on one core.
    axes : dict
        Columns of the results table (few-shot stages only).
    bundle : str
        Stages of one bundle run in the same process, one after the other.
    """

    kind: str
    label: str
    spec: dict[str, Any]
    inputs: dict[str, Stage]
    cost: float
    bundle: str
    axes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The stage as it is hashed."""
        return {
            "kind": self.kind,
            "version": VERSIONS[self.kind],
            "spec": self.spec,
            "inputs": {role: stage.key for role, stage in self.inputs.items()},
        }

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits."""
        return key_of(self.document)


@dataclass(frozen=True)
class Plan:
    """The stages of a study in an order in which they can run."""

    study: Study
    stages: tuple[Stage, ...]

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits: the same for the same stages."""
        return key_of([stage.key for stage in self.stages])

    def of_kind(self, kind: str) -> list[Stage]:
        """Return the stages of one kind."""
        return [stage for stage in self.stages if stage.kind == kind]


def plan(study: Study) -> Plan:
    """Expand a study into stages.

    Parameters
    ----------
    study : Study
        As `wherefrom.study.load` returns it.

    Returns
    -------
    Plan
        Pool, task, image features, draws, then pre-training and few-shot stages.

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
        label=f"pool of {study.pool.places:,} places",
        spec=study.pool.model_dump() | {"land": earth.layer_key("land")},
        inputs={},
        cost=cost.pool(study),
        bundle="pool",
    )
    yield pool
    task = Stage(
        kind="task",
        label=f"task ecoregions-{study.task.layer}",
        spec=study.task.model_dump()
        | {name: earth.layer_key(name) for name in (study.task.layer, study.task.region_layer)},
        inputs={"pool": pool},
        cost=cost.task(study),
        bundle="task",
    )
    yield task
    features = {
        f"features {source}": Stage(
            kind="features",
            label=f"image features {source}",
            spec={"image": _image_spec(study, source)} | _digest(source),
            inputs={"pool": pool},
            cost=cost.features(study),
            bundle=f"features {source}",
        )
        for source in study.imagery.sources
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
    for model, spec in study.models.items():
        for name, text in study.compositions.items():
            for draw, seed in _runs(spec, text):
                run = _pretrain(model, spec, name, draw, seed, draws[name, draw], features, pool)
                yield run
                yield from _fewshot(study, task, model, name, draw, seed, run)
    for baseline in study.baselines:
        yield from _fewshot(study, task, baseline, "", -1, -1, None)


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
    chosen = sampler(text)
    layers = list(getattr(chosen, "layers", tuple)())
    made = chosen.spec()
    if made.get("around") == "cities":
        layers.append("city_distance")
    spec: dict[str, Any] = {
        "sampler": made,
        "n": None if _is_none(text) or _is_list(text) else study.composition_size,
        "layers": {name: earth.layer_key(name) for name in layers},
    }
    if _is_list(text):
        file = Path(made["file"])
        if not file.is_file():
            raise WherefromError(f"{file}: no such file of ids, named by the study's {text!r}")
        spec["sha256"] = sha256_of(file)
    return spec


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
    drawn: Stage,
    features: dict[str, Stage],
    pool: Stage,
) -> Stage:
    fields = spec.model_dump(exclude={"draws", "pretrain_seeds", "gpu_hours_per_run"})
    empty = drawn.spec["sampler"]["name"] == "none"
    return Stage(
        kind="pretrain",
        label=f"pretrain {model} {composition} draw {draw} seed {seed}",
        spec={"model": fields, "name": model, "seed": seed},
        inputs={"draw": drawn, "pool": pool} | features,
        cost=cost.START if empty else cost.pretrain(spec),
        bundle=f"{model} {composition} {draw} {seed}",
    )


def _fewshot(
    study: Study,
    task: Stage,
    model: str,
    composition: str,
    draw: int,
    seed: int,
    run: Stage | None,
) -> Iterator[Stage]:
    """Yield the few-shot stages of one run (or of one baseline), head by head."""
    axes = {"model": model, "composition": composition, "draw_seed": draw, "pretrain_seed": seed}
    for head, use in study.heads.items():
        if head == "finetune" and run is None:
            continue
        if (model == "majority") != (head == "majority"):
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
                    f"fewshot {model} {composition} {draw} {seed} {head}{suffix}".split()
                ),
                spec={
                    "head": head,
                    "options": use.options,
                    "regions": regions,
                    "n": n,
                    "finetune_seeds": seeds,
                    "baseline": model if run is None else None,
                },
                inputs={"task": task} | ({"pretrain": run} if run else {}),
                cost=cost.fewshot(study, model, head, n, seeds, regions),
                bundle=run.bundle if run else f"baseline {model}",
                axes=axes | {"head": head},
            )


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


def changes(store: Store, stage: Stage) -> list[str]:
    """Say which field of which spec makes a missing stage differ from a finished one.

    Parameters
    ----------
    store : Store
        Where finished stages are.
    stage : Stage
        The missing one.

    Returns
    -------
    list of str
        ``field: old -> new``, against the finished stage of the same label that differs in the
        fewest fields; empty if there is none.

    Examples
    --------
    >>> import tempfile
    >>> from wherefrom.study import Store, load, plan
    >>> stage = plan(load("studies/purohit2025", "debug")).stages[0]
    >>> changes(Store(Path(tempfile.mkdtemp())), stage)
    []
    """
    best: list[str] | None = None
    for other in store.relatives(stage.kind, stage.label, stage.key):
        old, new = _flat(other["document"]), _flat(stage.document)
        found = [
            f"{name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if best is None or len(found) < len(best):
            best = found
    return best or []


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return flat
