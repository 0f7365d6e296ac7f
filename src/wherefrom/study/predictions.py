"""The saved predictions of a finished study: what was told of every test place, by whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError, unknown
from wherefrom.study.stage import Plan, Stage
from wherefrom.study.store import Store
from wherefrom.tasks import Task
from wherefrom.tasks.labelled import TASK

__all__ = ["PREDICTIONS", "Asked", "Predicted", "Saved", "asked", "saved"]

PREDICTIONS = "predictions.npz"
_ROW = ("model", "composition", "task", "head")


class Predicted(NamedTuple):
    """What the S seeds of one few-shot stage predict in one region from n labelled places."""

    region: str
    n: int
    #: Class codes or numbers, shape (S, T).
    predicted: NDArray[Any]
    #: Rows of the task, shape (T,): the same for every stage of the task.
    test: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Saved:
    """The predictions of one few-shot stage, which are read when they are asked for.

    A baseline has the composition ``""``. `run` are the values of the other axes: those of the
    draw and of the pre-training, one run for each.
    """

    model: str
    composition: str
    task: str
    head: str
    run: tuple[int, ...]
    folder: Path
    of: Path

    @property
    def places(self) -> Task:
        """The task, of whose rows the test places are."""
        return _read_task(self.of / TASK)

    def regions(self, n: int | None = None) -> Iterator[Predicted]:
        """Yield the predictions region by region, of one n alone if it is given.

        Raises
        ------
        WherefromError
            If the stage has no predictions.
        """
        with self._opened() as held:
            for region, size in _named(held):
                if n in (None, size):
                    yield Predicted(region, size, held[f"{region}|{size}"], held[f"{region}|test"])

    def tested(self) -> dict[int, dict[str, NDArray[np.int64]]]:
        """Return by n and region the rows of the task that are tested; raises as `regions`."""
        found: dict[int, dict[str, NDArray[np.int64]]] = {}
        with self._opened() as held:
            for region, size in _named(held):
                found.setdefault(size, {})[region] = held[f"{region}|test"]
        return found

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with np.load(self.folder / PREDICTIONS) as held:
                yield held
        except (OSError, ValueError, KeyError, BadZipFile) as err:
            raise WherefromError(
                f"{self.folder}: no predictions can be read there ({err}): remove that folder and "
                "run the study again, which makes them anew"
            ) from err


class Asked(NamedTuple):
    """What scores are of, and the few-shot stages that have its rows."""

    task: str
    n: int
    head: str
    metric: str
    stages: list[Stage]


def asked(
    plan: Plan,
    task: str | None = None,
    n: int | None = None,
    head: str | None = None,
    metric: str | None = None,
) -> Asked:
    """Choose a task, and what is not named as the study's first headline about it has it.

    Beside the compositions stand the baselines with the same head, and those that have one head of
    their own.

    Raises
    ------
    WherefromError
        If a name is unknown, or the study has several tasks and none is named.

    Examples
    --------
    >>> from wherefrom.study import load
    >>> from wherefrom.study.plan import plan
    >>> chosen = asked(plan(load("studies/purohit2025", "debug")), "cropland")
    >>> chosen.task, chosen.metric, len(chosen.stages) > 1
    ('cropland', 'f1_macro', True)
    """
    study, stages = plan.study, plan.of_kind("fewshot")
    tasks = {one.label: name for name, one in study.tasks.items()}
    if task is None and len(tasks) > 1:
        raise WherefromError(
            f"the study has {len(tasks)} tasks, {' and '.join(tasks)}, which no score mixes: name "
            "one (--task)"
        )
    task = task or next(iter(tasks))
    if task not in tasks:
        raise unknown("task", task, tasks)
    stages = [stage for stage in stages if stage.axes["task"] == task]
    heads = list(dict.fromkeys(stage.axes["head"] for stage in stages if stage.axes["composition"]))
    about = (one for one in study.headlines if study.models[one.model].tasks[0] == tasks[task])
    first = next(about, None)
    head = head or (first.head if first else heads[0])
    if head not in heads:
        raise unknown(f"head of task {task}", head, heads)
    own = [stage for stage in stages if stage.axes["head"] in (head, stage.axes["model"])]
    sizes = sorted({size for one in own if one.axes["head"] == head for size in one.spec["n"]})
    n = n or (study.n if study.n in sizes else sizes[-1])
    if n not in sizes:
        raise unknown("n", n, map(str, sizes))
    default = "f1_macro" if study.tasks[tasks[task]].predicts == "classes" else "r2"
    metric = metric or (first.metric if first else default)
    own = [stage for stage in own if n in stage.spec["n"]]
    # Beside stages of all regions, those of a sweep are of some runs alone.
    whole = [stage for stage in own if stage.spec["regions"] is None]
    return Asked(task, n, head, metric, whole or own)


def saved(stages: Sequence[Stage], store: Store) -> list[Saved]:
    """Find the predictions of few-shot stages that are finished.

    Raises
    ------
    WherefromError
        If none is, or one is not as it was written.
    """
    finished = store.finished(stages)
    done = [stage for stage in stages if stage.key in finished]
    if not done:
        raise WherefromError(
            f"none of the {len(stages)} few-shot stages is in {store}: run the study first "
            "(wherefrom study run), or name its folder (--out)"
        )
    return [
        Saved(
            **{name: stage.axes[name] for name in _ROW},
            run=tuple(int(value) for name, value in stage.axes.items() if name not in _ROW),
            folder=store.sound(stage),
            of=store.sound(stage.inputs["task"]),
        )
        for stage in done
    ]


def _named(held: Any) -> Iterator[tuple[str, int]]:
    """Yield region and n of the predictions in a file."""
    for name in held.files:
        region, _, size = name.rpartition("|")
        if size != "test":
            yield region, int(size)


#: Every stage of a task has the same one.
_read_task = lru_cache(maxsize=8)(Task.read)
