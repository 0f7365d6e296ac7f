"""Audit numbers of a study's compositions: a stage for each draw, and their means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from wherefrom.auditing.numbers import AuditNumber
from wherefrom.compose import Composition
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.study import cost
from wherefrom.study.spec import Study
from wherefrom.study.stage import Plan, Stage
from wherefrom.study.store import Store
from wherefrom.tasks import Task
from wherefrom.tasks.labelled import TASK

__all__ = ["audit_stages", "audited", "write_numbers"]

_NUMBERS = "numbers.json"


def audit_stages(
    study: Study,
    pool: Stage,
    tasks: Mapping[str, Stage],
    draws: Iterable[Stage],
    layer_key: Callable[[str], str],
) -> Iterator[Stage]:
    """Yield a stage for each draw that has places, where a study asks for audit numbers."""
    if not study.audits:
        return
    own = study.table.columns if study.table else ()
    layers = dict.fromkeys(name for one in study.audits.values() for name in one.layers)
    spec = {
        "numbers": {name: one.model_dump() for name, one in study.audits.items()},
        "layers": {name: layer_key(name) for name in layers if name not in own},
    }
    beside = {"pool": pool}
    if any(one.of_tasks for one in study.audits.values()):
        beside |= {f"task {study.tasks[name].label}": stage for name, stage in tasks.items()}
    for draw in draws:
        if not draw.of.empty:
            label = f"audit {draw.axes['composition']} {draw.axes['draw']}"
            yield Stage(
                kind="audit",
                label=label,
                spec=spec,
                inputs={"draw": draw, **beside},
                cost=cost.AUDIT * len(study.audits),
                bundle=label,
                of=study.audits,
                axes=draw.axes,
            )


def write_numbers(
    numbers: Mapping[str, AuditNumber],
    composition: Composition,
    pool: Pool,
    tasks: Mapping[str, Path],
    out: Path,
) -> None:
    """Compute the numbers of one composition and write them into a folder; null for NaN.

    `tasks` are the folders of tasks by the names of their results.

    Raises
    ------
    WherefromError
        If a layer or column is not of the kind that a number needs; names the number.
    """
    places = Pool.from_table(pool.table.take(pool.take(composition.ids)))
    tests = {}
    for name, folder in tasks.items():
        task = Task.read(folder / TASK)
        rows = (task.region >= 0) & task.tested
        tests[name] = (task.lon[rows], task.lat[rows])
    made = {}
    for name, number in numbers.items():
        try:
            found = number.of(places, composition.multiplicity.astype(np.float64), tests)
        except WherefromError as err:
            raise WherefromError(f"audits.{name}: {err}") from err
        made[name] = {task: one if np.isfinite(one) else None for task, one in found.items()}
    (out / _NUMBERS).write_text(json.dumps(made), encoding="utf-8")


def audited(plan: Plan, store: Store) -> dict[str, dict[str, dict[str, float]]]:
    """Average each number over the draws of each composition, those that are finished.

    Returns
    -------
    dict
        By number, then by task (`wherefrom.auditing.numbers.ANY` where it is the same for all),
        then by composition; one without the number in a draw is left out.
    """
    every: dict[str, dict[str, dict[str, list[float | None]]]] = {}
    finished = store.finished(plan.of_kind("audit"))
    for stage in plan.of_kind("audit"):
        if stage.key not in finished:
            continue
        file = store.sound(stage) / _NUMBERS
        for name, found in json.loads(file.read_text(encoding="utf-8")).items():
            for task, one in found.items():
                by_name = every.setdefault(name, {}).setdefault(task, {})
                by_name.setdefault(stage.axes["composition"], []).append(one)
    return {
        name: {
            task: {
                composition: float(np.mean([one for one in some if one is not None]))
                for composition, some in by_name.items()
                if None not in some
            }
            for task, by_name in found.items()
        }
        for name, found in every.items()
    }
