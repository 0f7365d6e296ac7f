"""What of ``tuned.csv`` a study uses: which rows are tuned, which not, and what no longer fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from wherefrom.keys import key_of
from wherefrom.payload.content import content_of
from wherefrom.study import tuned
from wherefrom.study.spec import Study
from wherefrom.study.stage import Plan
from wherefrom.study.tuned import Choice, Tried, Tuned, text_of
from wherefrom.train.heads import head as make_head
from wherefrom.train.heads import kind_of_head
from wherefrom.train.scores import METRICS

__all__ = [
    "Key", "best_baselines", "best_heads", "default_of", "fitting", "kind_of_row", "metric_of",
    "row_key", "task_key", "tuned_of", "untuned",
]  # fmt: skip

#: A row on a task with a head, by their names.
Key = tuple[str, str, str]


def metric_of(study: Study, task: str) -> str:
    """Return the metric that options for a task are chosen by, the same for all rows.

    That of the first headline about a model that is evaluated on it.
    """
    predicts = study.tasks[task].predicts
    asked = (
        one.metric
        for one in study.headlines
        if task in study.models[one.model].tasks and METRICS[one.metric].predicts == predicts
    )
    return next(asked, "f1_macro" if predicts == "classes" else "r2")


def kind_of_row(study: Study, row: str) -> str:
    """Tell whether a row is a model, a baseline or published."""
    if row in study.models:
        return "model"
    return "published" if row in study.published else "baseline"


def task_key(study: Study, task: str) -> str:
    """Hash what the study file says of a task, and what files of the user's hold."""
    spec = study.tasks[task]
    return key_of([spec.settings(), spec.version, _contents(spec.files)])


def row_key(study: Study, row: str) -> str:
    """Hash what the study file says of a row; what a machine makes of it is not in it."""
    if row in study.models:
        gfm = study.models[row]
        about = [study.compositions, study.composition_size]
        return key_of([gfm.settings(), gfm.version, _contents(gfm.files), *about])
    if row in study.published:
        one = study.published[row]
        return key_of([one.settings(), one.version, _contents(one.files)])
    return key_of(row)


def _contents(files: Iterable[str]) -> list[str]:
    return [content_of(file).key for file in files]


def fitting(declared: Study, table: Iterable[Tried]) -> Tuned:
    """Take what a table chose for the scale of a study; what no longer fits it is said.

    Rows, tasks and heads that the study lacks are none of its business.

    Parameters
    ----------
    declared : Study
        As its file says, whatever this machine lacks: so a machine with fewer data, or stand-ins
        for some, uses the same table.
    table : iterable of Tried
    """
    choices, unfit = [], list[str]()
    for (scale, task, row, head), lines in tuned.groups(table).items():
        rows = [*declared.models, *declared.published]
        there = (
            task in declared.tasks
            and head in declared.heads
            and (row in rows or row in declared.tasks[task].baselines)
        )
        if scale != declared.scale or not there:
            continue
        points = {text_of(point): point for point in declared.heads[head].points}
        one = next(line for line in lines if line.chosen)
        kind = kind_of_row(declared, row)
        differs = {
            "grid": {line.options for line in lines} != points.keys(),
            "task": one.task_key != task_key(declared, task),
            kind: one.row_key != row_key(declared, row) or one.kind != kind,
            "n": one.n != declared.n,
            "metric": one.metric != metric_of(declared, task),
            "version of the head": one.version != kind_of_head(head).version,
        }
        if changed := [what for what, is_other in differs.items() if is_other]:
            unfit.append(f"{row} on {task}, {head} ({', '.join(changed)})")
            continue
        choices.append(
            Choice(
                task=task,
                row=row,
                kind=kind,
                head=head,
                options=points[one.options],
                score=one.score,
                metric=one.metric,
            )
        )
    said = f"{tuned.NAME} no longer fits the study, and is not used for: {'; '.join(unfit)}"
    again = ": run wherefrom study tune"
    return Tuned(choices=tuple(choices), unfit=(said + again,) if unfit else ())


def best_heads(study: Study) -> dict[tuple[str, str], Choice]:
    """Return the head in which each baseline is strongest, by task and baseline.

    It is chosen by the score on the tuning places alone; of equals the study's first head. A
    baseline that the table of the study lacks is left out.
    """
    order = {head: at for at, head in enumerate(study.heads)}
    found: dict[tuple[str, str], list[Choice]] = {}
    for one in sorted(study.tuned.choices, key=lambda one: order[one.head]):
        if one.kind == "baseline":
            found.setdefault((one.task, one.row), []).append(one)
    return {
        key: some[tuned.best([one.score for one in some], some[0].metric)]
        for key, some in found.items()
    }


def best_baselines(study: Study) -> dict[str, Choice]:
    """Return the baseline, in its best head, that scores best on the tuning places of each task.

    It is fixed before any reported score is seen, hence the same in every region.
    """
    found: dict[str, list[Choice]] = {}
    for (task, _), one in best_heads(study).items():
        found.setdefault(task, []).append(one)
    return {
        task: some[tuned.best([one.score for one in some], some[0].metric)]
        for task, some in found.items()
    }


def default_of(study: Study, head: str) -> str:
    """Write the point of a head's grid that holds where it is not tuned."""
    use = study.heads[head]
    every = make_head(head, **use.options).spec()
    return text_of(use.options | {option: every[option] for option in use.grid})


def untuned(steps: Plan) -> frozenset[Key]:
    """Return the rows of a study whose options nobody chose: task label, row and head.

    A head without options leaves nothing to choose. One with options that has no grid is untuned.
    """
    return frozenset(_pairs(steps, of_tuned=False))


def _pairs(steps: Plan, *, of_tuned: bool) -> Iterator[Key]:
    study = steps.study
    tasks = {task.label: name for name, task in study.tasks.items()}
    for stage in steps.of_kind("fewshot"):
        label, row, head = (stage.axes[axis] for axis in ("task", "model", "head"))
        kind: Any = kind_of_head(head)
        chosen = study.heads[head].grid and study.tuned.choice(tasks[label], row, head)
        if fields(kind) and bool(chosen) == of_tuned:
            yield label, row, head


def tuned_of(steps: Plan) -> list[str]:
    """Say in a line which rows of a study are tuned, and which not; and what no longer fits."""
    there, lacking = (_listed(_pairs(steps, of_tuned=which)) for which in (True, False))
    if not there:
        lines = ["tuned: nothing (wherefrom study tune): heads have the options of the study file"]
    else:
        lines = [f"tuned: {there}" + (f". Not tuned: {lacking}" if lacking else "")]
    return [*lines, *steps.study.tuned.unfit]


def _listed(pairs: Iterable[Key]) -> str:
    """List rows with their heads, each once: those of the same heads together."""
    heads: dict[str, dict[str, None]] = {}
    for _, row, head in pairs:
        heads.setdefault(row, {})[head] = None
    rows: dict[tuple[str, ...], list[str]] = {}
    for row, some in heads.items():
        rows.setdefault(tuple(some), []).append(row)
    return "; ".join(f"{', '.join(names)} ({', '.join(some)})" for some, names in rows.items())
