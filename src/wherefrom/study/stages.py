"""What each kind of stage computes, from its spec and the folders of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom.compose import Composition, drawn
from wherefrom.compose.card import write_card
from wherefrom.compose.exclusion import Exclusion, drawn_apart
from wherefrom.errors import MachineError
from wherefrom.gfms.places import PoolPlaces, TaskData, task_data
from wherefrom.keys import seed_of
from wherefrom.payload.base import Modality, Payload, Sought
from wherefrom.payload.content import content_of
from wherefrom.payload.stored import Stored, keep, refuse_many
from wherefrom.pool import Pool
from wherefrom.shown import count_of
from wherefrom.study.audits import write_numbers
from wherefrom.study.stage import Stage
from wherefrom.study.store import Store
from wherefrom.tasks import Episodes, Task, plan_episodes
from wherefrom.tasks.labelled import TASK

__all__ = ["compute", "holds", "seen_of"]

Tell = Callable[[float], None]
#: Files of the stages.
POOL, COMPOSITION, PROBLEMS = "pool.parquet", "composition.parquet", "problems.txt"
#: Scores of a few-shot stage, or of a tuning stage, whose points are those of its grid in order;
#: none if no region could be evaluated.
SCORES = pa.schema(
    [
        ("region", pa.string()),
        ("n", pa.int64()),
        ("finetune_seed", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
TUNING = SCORES.remove(SCORES.get_field_index("n")).insert(0, pa.field("point", pa.int64()))


def compute(stage: Stage, store: Store, tell: Tell) -> None:
    """Compute one stage whose inputs are in the store, and put its result there.

    `tell` is called with the share that is done, 0 to 1.

    Raises
    ------
    WherefromError
        If the study asks for what its data do not allow, or the disk is full.
    """
    _look(stage)
    work = {
        "pool": _pool,
        "task": _task,
        "payload": _payload,
        "draw": _draw,
        "audit": _audit,
        "pretrain": _pretrain,
        "fewshot": _fewshot,
        "tune": _tune,
    }[stage.kind]
    document = {"label": stage.label, "document": stage.document}
    with store.using():
        inputs = {role: store.sound(s) for role, s in stage.inputs.items()}
        with (
            store.write(stage.kind, stage.key, document) as out,
            store.checkpoints(stage.kind, stage.key) as partial,
        ):
            work(_Job(stage, inputs, out, partial, tell))
            _look(stage)


#: Folders that this process has looked at, with what they held: one look does for all stages,
#: since `wherefrom.study.run` looks again in the end. To stat 100,000 tiles takes a second.
_SEEN: set[tuple[str, str]] = set()


def _look(stage: Stage) -> None:
    """Refuse to read what is not as it was planned, or was not when it was read."""
    for pair in stage.files.items():
        if pair not in _SEEN and not holds(*pair):
            raise MachineError(
                f"{pair[0]} has changed since the study began, or is gone: run it again"
            )
        if Path(pair[0]).is_dir():
            _SEEN.add(pair)


def holds(file: str, content: str) -> bool:
    """Tell whether a file or a folder holds what it held when it was planned."""
    return Path(file).exists() and content_of(file).key == content


@dataclass(frozen=True)
class _Job:
    """A stage, the folders of its inputs, where its result and its checkpoints go."""

    stage: Stage
    inputs: dict[str, Path]
    out: Path
    partial: Path
    tell: Tell

    @property
    def spec(self) -> dict[str, Any]:
        return self.stage.spec

    def problems(self) -> list[str]:
        """Read what the pre-training that it is made from could not read."""
        run = self.inputs.get("pretrain")
        return (run / PROBLEMS).read_text(encoding="utf-8").splitlines() if run else []

    def pool(self) -> Pool:
        return _read_pool(self.inputs["pool"] / POOL)


#: A worker keeps the last pool.
_read_pool = lru_cache(maxsize=1)(Pool.read)


def _pool(job: _Job) -> None:
    job.stage.of.open().write(job.out / POOL)


def _task(job: _Job) -> None:
    made = job.stage.of.make(job.pool() if "pool" in job.inputs else None)
    made.write(job.out / TASK if isinstance(made, Task) else job.out)


def _payload(job: _Job) -> None:
    if "task" in job.inputs:
        task = Task.read(job.inputs["task"] / TASK)
        places = Sought(task.ids, task.lon, task.lat, labelled=True)
    else:
        pool, start = job.pool(), job.spec["start"]
        rows = slice(start, start + job.spec["count"])
        places = Sought(pool.ids[rows], pool.lon[rows], pool.lat[rows])
    keep(job.stage.of, places, job.out, job.tell)


def _draw(job: _Job) -> None:
    pool, how = job.pool(), (job.stage.of, job.spec["n"], job.spec["seed"])
    if (km := job.spec.get("exclude_km")) is None:
        composition = drawn(pool, *how)
    else:
        folders = [folder for role, folder in job.inputs.items() if role != "pool"]
        lon, lat = np.concatenate([_tested(folder) for folder in folders], axis=1)
        composition = drawn_apart(pool, *how, [Exclusion.around(lon, lat, km)])
    composition.write(job.out / COMPOSITION)
    write_card(composition, pool, job.out / COMPOSITION)


def _audit(job: _Job) -> None:
    composition = Composition.read(job.inputs["draw"] / COMPOSITION)
    roles = {role: role.removeprefix("task ") for role in job.inputs if role.startswith("task ")}
    tasks = {name: job.inputs[role] for role, name in roles.items()}
    write_numbers(job.stage.of, composition, job.pool(), tasks, job.out)


def _tested(folder: Path) -> NDArray[np.float64]:
    """Return longitudes and latitudes of the places that a task is tested on, (2, T)."""
    task = Task.read(folder / TASK)
    return np.stack([task.lon[task.tested], task.lat[task.tested]])


def _pretrain(job: _Job) -> None:
    from wherefrom.gfms import engine

    composition = Composition.read(job.inputs["draw"] / COMPOSITION)
    pool = job.pool()
    rows = pool.take(composition.expanded_ids())
    held: dict[Modality, Stored | Payload] = {one.modality: one for one in job.stage.payloads}
    problems = []
    for modality, folders in seen_of(job.stage, job.inputs):
        held[modality] = stored = Stored(modality, folders)
        lacking = int((~stored.there).sum())
        if lacking and len(rows):
            first, there = job.stage.inputs[f"{modality} 0"], stored.there[rows]
            name = first.axes["payload"]
            refuse_many(first.of, there, pool.ids[rows], stored.lost, labelled=False, name=name)
            rows = rows[there]
            problems.append(
                f"payload {name}: {lacking:,} of {len(pool):,} places of the pool are "
                "without, and left out of compositions"
                + (f" ({stored.lost})" if stored.lost else "")
                + _of_no_place(stored)
            )
    places = PoolPlaces(pool, rows, held)
    engine.pretrain(job.stage.of, job.spec["seed"], places, job.out, job.partial, job.tell)
    (job.out / PROBLEMS).write_text("\n".join(problems), encoding="utf-8")


def _of_no_place(stored: Stored) -> str:
    """Say how many records no place of the pool has sought, which lacks some."""
    others = stored.lost.known - int(stored.there.sum()) - len(stored.lost)
    if others <= 0:
        return ""
    # What one part of several did not seek another may have.
    such = f", such as {stored.lost.such!r}" if len(stored.folders) == 1 else ""
    return f"; of no place of it: {count_of(others, 'record')}{such}"


def seen_of(
    stage: Stage, folders: Mapping[str, Path]
) -> tuple[tuple[Modality, tuple[Path, ...]], ...]:
    """Return the folders of the payload stages among a stage's inputs, by modality.

    `folders` are of all its inputs, by role.
    """
    found: dict[Modality, list[Path]] = {}
    for role, made in stage.inputs.items():
        if made.kind == "payload":
            found.setdefault(made.of.modality, []).append(folders[role])
    return tuple((modality, tuple(some)) for modality, some in found.items())


def _fewshot(job: _Job) -> None:
    spec, data = job.spec, task_data(job.inputs["task"], seen_of(job.stage, job.inputs))
    task = data.task
    regions = task.regions if spec["regions"] is None else spec["regions"]
    found: list[dict[str, Any]] = []
    predictions: dict[str, NDArray[Any]] = {}
    problems = job.problems()
    every: list[Episodes] = []
    for n in spec["n"]:
        planned, failed = _planned(data, tuple(regions), n, spec["finetune_seeds"])
        every += map(deepcopy, planned)  # a head may change what it is given
        problems += failed
    done = 0
    rows = _touched(every)
    # The folds of a cross-validation are scored as one: together they test each place once.
    for (region, n), folds in groupby(every, key=lambda one: (one.region, one.n)):
        tests, guesses = [], []
        for episodes in folds:
            tests.append(episodes.test)
            guesses.append(_predict(job, data, episodes, rows, spec["options"]))
            done += 1
            job.tell(done / len(every))
        test, predicted = np.concatenate(tests), np.concatenate(guesses, axis=1)
        found += _scored(task, predicted, test, {"region": region, "n": n})
        predictions[f"{region}|{n}"] = predicted
        predictions[f"{region}|test"] = test
    table = pa.Table.from_pylist(found, SCORES)
    pq.write_table(table, job.out / "scores.parquet", write_page_checksum=True)
    np.savez_compressed(job.out / "predictions.npz", **predictions)  # type: ignore[arg-type]
    (job.out / PROBLEMS).write_text("\n".join(problems), encoding="utf-8")


@lru_cache(maxsize=32)
def _planned(
    data: TaskData, regions: tuple[str, ...], n: int, seeds: int
) -> tuple[tuple[Episodes, ...], tuple[str, ...]]:
    """Draw a task's episodes, which are the same for every run and head; a worker keeps them."""
    planned, failed = plan_episodes(data.task, regions, n, range(seeds))
    return tuple(planned), tuple(map(str, failed))


def _touched(every: Iterable[Episodes]) -> NDArray[np.int64]:
    """Return the rows of a task that some episodes train or test on, ascending."""
    parts = [part.ravel() for one in every for part in (one.train, one.test)]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


def _tune(job: _Job) -> None:
    """Score every point of a grid on the tuning places, with the same episodes for all."""
    spec, data = job.spec, task_data(job.inputs["task"], seen_of(job.stage, job.inputs))
    task, found = data.task, list[dict[str, Any]]()
    seeds = range(spec["finetune_seeds"])
    planned, failed = plan_episodes(task, task.regions, spec["n"], seeds, split="tuning")
    touched = _touched(planned)
    for at, options in enumerate(spec["points"]):
        for number, episodes in enumerate(planned):
            predicted = _predict(job, data, episodes, touched, options, "tuning")
            about = {"point": at, "region": episodes.region}
            found += _scored(task, predicted, episodes.test, about)
            job.tell((at + (number + 1) / len(planned)) / len(spec["points"]))
    table = pa.Table.from_pylist(found, TUNING)
    pq.write_table(table, job.out / "scores.parquet", write_page_checksum=True)
    problems = [*job.problems(), *map(str, failed)]
    (job.out / PROBLEMS).write_text("\n".join(problems), encoding="utf-8")


def _scored(
    task: Task, predicted: NDArray[Any], test: NDArray[np.int64], about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Score predictions (S, T) of test places in every metric: a row a metric and seed."""
    from wherefrom.train.scores import number_scores, scores

    truth = task.label[test]
    scored = (
        scores(predicted, truth, task.positive)
        if task.predicts == "classes"
        else number_scores(predicted, truth)
    )
    return [
        about | {"finetune_seed": i, "metric": metric, "value": float(value)}
        for metric, values in scored.items()
        for i, value in enumerate(values)
    ]


def _predict(
    job: _Job,
    data: TaskData,
    episodes: Episodes,
    rows: NDArray[np.int64],
    options: Mapping[str, Any],
    split: str = "reported",
) -> NDArray[Any]:
    """Predict the test places of one region by a pre-trained model, or by another row: (S, T).

    `rows` are all that the stage's episodes touch.
    """
    from wherefrom.gfms import baselines, engine
    from wherefrom.train.heads import checked, checked_numbers, head

    of, run = job.stage.of, job.inputs.get("pretrain")
    name, labels = job.spec["head"], data.task.label
    fitted = head(name, **options)
    predicted: NDArray[Any]
    if run is not None and fitted.tunes_encoder:
        predicted = engine.finetuned(of, run, fitted, data, episodes)
    else:
        if run:
            features = engine.embedded(of, run, data, rows)
        else:
            features = baselines.features(of, data, split)
        seed = seed_of("fewshot", data.task.name, episodes.region, episodes.n)
        predicted = fitted.fit_predict(features, labels, episodes.train, episodes.test, seed)
    seeds, tests = len(episodes.train), len(episodes.test)
    if data.task.predicts == "numbers":
        return checked_numbers(name, predicted, seeds, tests)
    return checked(name, predicted, seeds, tests, labels[episodes.train])
