"""Tuning: every row of a study tries every point of every head's grid on the tuning places.

Models, baselines and published rows have the same places, episodes and grids, and none of them is
scored on these places elsewhere. What is chosen enters the key of the few-shot stages that use it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wherefrom.errors import WherefromError, unknown
from wherefrom.keys import seed_of
from wherefrom.progress import say
from wherefrom.study import tuned
from wherefrom.study.fitting import Key, kind_of_row, metric_of, row_key, task_key
from wherefrom.study.plan import plan
from wherefrom.study.run import Outcome, run
from wherefrom.study.spec import Study
from wherefrom.study.stage import Plan, Stage
from wherefrom.study.store import Store
from wherefrom.study.tuned import Tried, Tuned
from wherefrom.tasks import Task, plan_episodes
from wherefrom.tasks.labelled import TASK
from wherefrom.train.heads import kind_of_head

__all__ = ["SEED", "SEEDS", "collect", "tune", "tuning_plan"]

#: Of the draws and pre-trainings that are tuned on: no block of a study has it.
SEED = 1000
#: Fine-tune seeds at most: the same for every head and row, so that scores are paired.
SEEDS = 20

#: Axes by which its stages are called.
_NAMED = ("model", "composition", "task", "head")


def tuning_plan(study: Study, rows: Collection[str] | None = None) -> Plan:
    """Expand a study into the stages that tune it.

    A model is pre-trained once on one draw of every composition, `none` included, with a draw and
    a seed (`SEED`) that no block of the study has; a head without a grid has nothing to choose for
    it. Baselines and published rows are scored with every head, so that the best head can be
    chosen, too. A head that tunes the encoder takes part where it has a grid.

    Parameters
    ----------
    study : Study
    rows : collection of str, optional
        Models, baselines and published rows to limit it to.

    Raises
    ------
    WherefromError
        If a row is unknown, or nothing is left to tune: no grid, or no task with places to tune on.

    Examples
    --------
    >>> from wherefrom.study import load
    >>> steps = tuning_plan(load("studies/purohit2025", "laptop"), ["raw-lonlat"])
    >>> sorted({stage.kind for stage in steps.stages})
    ['pool', 'task', 'tune']
    """
    study = study.model_copy(update={"tuned": Tuned()})
    known = dict.fromkeys([*study.models, *_baselines(study), *study.published])
    for row in rows or ():
        if row not in known:
            raise unknown("row", row, known)
    made: dict[str, Stage] = {}
    chosen: dict[tuple[str, str, str, str], Stage] = {}
    folded: dict[str, None] = {}
    for stage in plan(study).of_kind("fewshot"):
        row, head = stage.axes["model"], stage.axes["head"]
        of = stage.inputs["task"].of
        about = row, stage.axes["composition"], of.label, head
        # Of the runs of a composition one does; a sweep is of other n.
        if stage.spec["regions"] is not None or about in chosen or row not in (rows or known):
            continue
        if not study.heads[head].grid and (row in study.models or kind_of_head(head).tunes_encoder):
            continue
        if of.folds:
            folded[of.label] = None
            continue
        chosen[about] = _tune(study, stage, made)
    if not any(study.heads[head].grid for *_, head in chosen):
        if folded:
            raise WherefromError(_in_folds(folded))
        raise WherefromError(
            "nothing to tune: no head of these rows has a grid; give it one in the study file, as "
            "in heads: {logistic: {grid: {C: [0.1, 1, 10]}}}"
        )
    for name in folded:
        say(f"left out {_in_folds([name])}")
    return Plan(study, tuple(_with_inputs(chosen.values())))


def _in_folds(tasks: Iterable[str]) -> str:
    return (
        f"task {', '.join(tasks)} is in folds, each of which is tested: no place is left to tune "
        "on; make it without folds, which keeps a fifth of the places apart to tune on "
        "(wherefrom task from-table)"
    )


def _baselines(study: Study) -> list[str]:
    return [name for task in study.tasks.values() for name in task.baselines]


def _with_inputs(stages: Iterable[Stage]) -> Iterator[Stage]:
    """Yield stages after those that they are made from, each once."""
    given: set[str] = set()

    def walk(stage: Stage) -> Iterator[Stage]:
        if stage.key not in given:
            given.add(stage.key)
            for other in stage.inputs.values():
                yield from walk(other)
            yield stage

    for stage in stages:
        yield from walk(stage)


def _tune(study: Study, fewshot: Stage, made: dict[str, Stage]) -> Stage:
    """Turn a few-shot stage of a study into one that tunes: other seeds, all points of the grid."""
    seeds = min(SEEDS, study.finetune_seeds)
    points = study.heads[fewshot.axes["head"]].points
    own = {"points": points, "n": study.n, "finetune_seeds": seeds}
    gone = {"options", "regions", "n", "finetune_seeds"}
    return replace(
        fewshot,
        kind="tune",
        label=" ".join(["tune", *(fewshot.axes[axis] for axis in _NAMED if fewshot.axes[axis])]),
        spec={name: value for name, value in fewshot.spec.items() if name not in gone} | own,
        inputs={role: _apart(study, one, made) for role, one in fewshot.inputs.items()},
        cost=fewshot.cost * len(points) * seeds / fewshot.spec["finetune_seeds"],
    )


def _apart(study: Study, stage: Stage, made: dict[str, Stage]) -> Stage:
    """Return a stage as it is made for tuning: its draw and its seed are none of the study's."""
    if stage.key not in made:
        inputs = {role: _apart(study, one, made) for role, one in stage.inputs.items()}
        spec = stage.spec
        if stage.kind == "pretrain":
            spec = spec | {"seed": SEED}
        elif stage.kind == "draw" and stage.of.varies:
            name = stage.axes["composition"]
            state = seed_of("composition", name, SEED).generate_state(1)
            spec = spec | {"seed": int(state[0]) if name in study.twins else SEED}
        label = stage.label
        if spec is not stage.spec:
            named = [stage.axes[axis] for axis in _NAMED if axis in stage.axes]
            label = " ".join([stage.kind, *named, "to tune"])
        made[stage.key] = replace(stage, spec=spec, inputs=inputs, label=label)
    return made[stage.key]


def tune(
    steps: Plan, store: Store, workers: int | None = None, *, cluster: str | None = None
) -> tuple[Plan, Outcome]:
    """Compute the stages of `tuning_plan`, tasks first: one without places to tune on is left out.

    Where `wherefrom.study.run` does.

    Returns
    -------
    plan : Plan
        What was computed.
    outcome : Outcome

    Raises
    ------
    WherefromError
        If no task has such places; else as `wherefrom.study.run`.
    """
    tasks = [stage for stage in steps.stages if stage.kind == "task"]
    first = replace(steps, stages=tuple(_with_inputs(tasks)))
    if {stage.key for stage in first.stages} - store.finished(first.stages):
        run(first, store, workers, cluster=cluster)
    lacking = {}
    for stage in tasks:
        task = Task.read(store.sound(stage) / TASK)
        drawn, failed = plan_episodes(task, task.regions, steps.study.n, [0], split="tuning")
        if not drawn:
            lacking[stage.of.label] = f"no place to tune on: {'; '.join(map(str, failed))}"
    left = [one for one in steps.of_kind("tune") if one.axes["task"] not in lacking]
    if not left:
        raise WherefromError(
            f"{'; '.join(lacking.values())}. A placed task has them by tune_train_per_region (at "
            "least n of the study) and tune_test_per_region; a table by a split column with "
            "'validation' in it, or by none at all"
        )
    for name, why in lacking.items():
        say(f"left out task {name}: {why}")
    steps = replace(steps, stages=tuple(_with_inputs(left)))
    return steps, run(steps, store, workers, cluster=cluster)


def collect(steps: Plan, store: Store, declared: Study) -> tuple[list[Tried], list[str]]:
    """Average the scores of finished tuning stages and choose the best point of each grid.

    Parameters
    ----------
    steps : Plan
        Of `tuning_plan`.
    store : Store
    declared : Study
        As its file says, whatever this machine lacks (`wherefrom.study.reading.declared`).

    Returns
    -------
    table : list of Tried
    problems : list of str
        What could not be tuned on, and why, each once.
    """
    tasks = {task.label: name for name, task in steps.study.tasks.items()}
    stages: dict[Key, list[Stage]] = {}
    for stage in steps.of_kind("tune"):
        key = tasks[stage.axes["task"]], stage.axes["model"], stage.axes["head"]
        stages.setdefault(key, []).append(stage)
    found: list[Tried] = []
    problems: dict[str, None] = {}
    for key, every in stages.items():
        for stage in every:
            text = (store.sound(stage) / "problems.txt").read_text(encoding="utf-8")
            problems |= dict.fromkeys(text.splitlines())
        found += _tried(key, every, store, declared)
    return found, list(problems)


def _tried(key: Key, stages: list[Stage], store: Store, declared: Study) -> Iterator[Tried]:
    """Yield the points of one grid for one row on one task; none if no region was scored."""
    task, row, head = key
    metric, points = metric_of(declared, task), declared.heads[head].points
    values = []
    for stage in stages:
        table = pq.read_table(store.sound(stage) / "scores.parquet")
        if not len(table):
            return
        own = table.filter(pc.equal(table["metric"], metric))
        if not len(own):
            raise unknown(f"metric of task {task!r}", metric, table["metric"].unique().to_pylist())
        seeds = stage.spec["finetune_seeds"]
        # Points, then regions, then seeds, as the stage wrote them.
        values.append(own["value"].to_numpy().reshape(len(points), -1, seeds).mean(axis=1))
    by_seed = np.mean(values, axis=0)
    # To five digits, by which the table is read again.
    means = [round(float(mean), 5) for mean in by_seed.mean(axis=1)]
    errors = by_seed.std(axis=1, ddof=1) / np.sqrt(seeds) if seeds > 1 else None
    at = tuned.best(means, metric)
    for number, point in enumerate(points):
        yield Tried(
            study=declared.name,
            scale=declared.scale,
            task=task,
            row=row,
            kind=kind_of_row(declared, row),
            head=head,
            options=tuned.text_of(point),
            score=means[number],
            se=None if errors is None else round(float(errors[number]), 5),
            n=declared.n,
            seeds=seeds,
            metric=metric,
            chosen=number == at,
            task_key=task_key(declared, task),
            row_key=row_key(declared, row),
            version=kind_of_head(head).version,
        )
