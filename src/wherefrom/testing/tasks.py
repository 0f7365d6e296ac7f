"""Checks of a task and of a head."""

from __future__ import annotations

import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth import layer
from wherefrom.earth import layers as earth_layers
from wherefrom.errors import WherefromError
from wherefrom.part import OfKind
from wherefrom.pool import Pool
from wherefrom.tasks.base import TaskSpec
from wherefrom.tasks.labelled import TASK, LabelledSeries
from wherefrom.tasks.task import Task
from wherefrom.testing.checks import (
    BrokenPromiseError,
    checking,
    described,
    elsewhere,
    own_randomness,
    part_of,
    promise,
    torch_left_alone,
)

if TYPE_CHECKING:
    from wherefrom.train.heads import Head

__all__ = ["check_head", "check_task"]


@checking
def check_task(
    given: TaskSpec | type[TaskSpec] | dict[str, Any], *, pool: Pool | None = None
) -> None:
    """Check that a task keeps what episodes, few-shot stages and keys rely on.

    Its fields must make it again; it must name itself and, within a factor of 3, the number of
    places that it makes; making it twice, and in another process, must give the same places, labels
    and splits, without a global random generator; whether it is of classes or of numbers, and their
    units, must be as it says; at least one region must have places to train on and to test on, of
    two classes, or numbers, or more; no place may be trained and tested on; places that keep
    away from the pool must do so; what is written must be read back; every layer that it opens by
    name must be declared; and stand-ins must reach what `layer_fields` names.

    Parameters
    ----------
    given : TaskSpec, class or dict
        A task; a class whose own fields all have defaults; or the part of a study file.
    pool : Pool, optional
        Candidates of pre-training, if it `needs_pool`; by default 2,000 places on land.

    Raises
    ------
    BrokenPromiseError
        Names the first promise that is broken.

    Examples
    --------
    >>> check_task({"kind": "cropland", "train_per_region": 200, "test_per_region": 100,
    ...             "tune_train_per_region": 50, "tune_test_per_region": 50,
    ...             "min_distance_km": 5.0})
    """
    spec = part_of(given, OfKind("tasks", TaskSpec))
    described(spec, "task")
    _places_and_layers(spec)
    pool = Pool.build(2000, seed=0) if pool is None and spec.needs_pool else pool
    with own_randomness(f"task {spec.kind!r}"), _layers_read() as read:
        made = spec.make(pool)
        again = spec.make(pool)
    unsaid = read - set(spec.layers)
    promise(
        not unsaid,
        f"task {spec.kind!r} reads the layers {sorted(unsaid)}, and `layers` (or `layer_fields`) "
        "does not name them: neither keys nor stand-ins know of them",
    )
    own = isinstance(made, LabelledSeries)
    promise(own == spec.own_series, f"task {spec.kind!r} says own_series={spec.own_series}: no")
    promise(made.key == again.key, f"task {spec.kind!r} is another one when it is made again")
    task = made.task if isinstance(made, LabelledSeries) else made
    promise(task.name == spec.label, f"the task is named {task.name!r}, its label {spec.label!r}")
    _sound(spec, task, pool)
    with tempfile.TemporaryDirectory() as folder:
        made.write(Path(folder) / TASK if isinstance(made, Task) else Path(folder))
        back: Any = Task.read(Path(folder) / TASK)
    promise(back.key == task.key, f"task {spec.kind!r} is another one when it is read back")
    if not type(spec).__module__.startswith("wherefrom."):
        there = elsewhere(f"task {spec.kind!r}", _key_of, spec, pool)
        promise(
            there in (None, made.key),
            f"task {spec.kind!r} is another one in another process: sort sets of texts, whose "
            "order changes from process to process",
        )


def _key_of(spec: TaskSpec, pool: Pool | None) -> str:
    return spec.make(pool).key


def _places_and_layers(spec: TaskSpec) -> None:
    name = spec.kind
    promise(spec.places > 0, f"task {name!r} says that it has {spec.places} places")
    layers = [getattr(spec, field) for field in spec.layer_fields]
    other = spec.renamed({layer: f"other-{layer}" for layer in layers})
    reached = [getattr(other, field) for field in spec.layer_fields]
    promise(
        reached == [f"other-{layer}" for layer in layers],
        f"renamed() of task {name!r} does not reach every field of layer_fields",
    )


@contextmanager
def _layers_read() -> Iterator[set[str]]:
    """Note the names of layers that the block opens; not those that layers open for themselves."""
    opened: Any = earth_layers._declared
    names: set[str] = set()

    def noted(name: str) -> Any:
        frame = sys._getframe(1)
        above = (one.f_globals for one, _ in traceback.walk_stack(frame.f_back))
        within = any(str(one.get("__name__")).startswith("wherefrom.earth.") for one in above)
        if frame.f_code is layer.__code__ and not within:
            names.add(name)
        return opened(name)

    with patch.object(earth_layers, "_declared", noted):
        yield names


def _sound(spec: TaskSpec, task: Task, pool: Pool | None) -> None:
    embedded = int(task.reported.sum())
    promise(
        any(
            count <= 3 * spec.places and spec.places <= 3 * count for count in (embedded, len(task))
        ),
        f"task {spec.kind!r} says that it has {spec.places} places, and makes {embedded} to train "
        "and to test on: costs are estimated by them",
    )
    promise(
        (task.predicts, task.units) == (spec.predicts, spec.units),
        f"task {spec.kind!r} says that it is of {spec.predicts} (units {spec.units!r}), and makes "
        f"one of {task.predicts} (units {task.units!r}): heads and metrics are chosen by it",
    )
    promise(task.folds == spec.folds, f"task {spec.kind!r} says folds={spec.folds}: {task.folds}")
    counts = task.counts()  # regions, classes, splits
    varied = [len(np.unique(task.label[task.region == code])) for code in range(len(counts))]
    usable = ((counts[:, :, :2].sum(axis=1) > 0).all(axis=1)) & (np.array(varied) > 1)
    promise(
        bool(usable.any()),
        f"no region of task {spec.kind!r} has places to train and to test on, of two classes or "
        "numbers",
    )
    place = np.stack([task.lon, task.lat], axis=1)
    train, test = ({tuple(row) for row in place[task.split == code].tolist()} for code in (0, 1))
    promise(not train & test, f"task {spec.kind!r} tests on places that it trains on")
    if spec.needs_pool and pool is not None:
        known = {tuple(row) for row in np.stack([pool.lon, pool.lat], axis=1).tolist()}
        promise(not known & (train | test), f"task {spec.kind!r} has places of the pool: keep away")


@checking
def check_head(given: str | type[Head]) -> None:
    """Check that a head keeps what few-shot stages rely on.

    Its options must make it again; predictions must be codes of classes that were trained on, or
    finite numbers, as it says that it `predicts`; the same from the same seed, and for a fine-tune
    seed alone as together with others; those of a test place must be the same without other test
    places; labels of test places must not matter; what it is given must stay as it is; and no
    global random generator may be used, torch's included. Of a head that tunes the encoder, only
    the options are checked; if it has a `fit_predict` of its own, a UserWarning says so.

    Parameters
    ----------
    given : str or class
        Name of a head, or a class whose options all have defaults.

    Raises
    ------
    BrokenPromiseError
        Names the first promise that is broken.

    Examples
    --------
    >>> check_head("knn")
    """
    from wherefrom.train.heads import checked, checked_numbers, kind_of_head
    from wherefrom.train.heads.finetune import FineTune

    kind: Any = kind_of_head(given) if isinstance(given, str) else given
    name = kind.name
    made = kind()
    options = {key: value for key, value in made.spec().items() if key != "name"}
    known = {field.name for field in fields(kind)}
    promise(options.keys() == known, f"spec() of head {name!r} has other options than the class")
    promise(kind(**options) == made, f"spec() of head {name!r} does not make the same head")
    if kind.tunes_encoder:
        if getattr(kind, "fit_predict", None) is not FineTune.fit_predict:
            warnings.warn(
                f"check_head checks the options of {name!r} alone: it tunes the encoder, and what "
                "its own fit_predict() does is not checked",
                stacklevel=2,
            )
        return
    rng = np.random.default_rng(0)
    label, group = np.repeat([0, 2, 5], 40), np.repeat([0, 2, 5], 40)
    features = (rng.normal(size=(120, 6)) + label[:, None]).astype(np.float32)
    numbers = kind.predicts == "numbers"
    if numbers:
        label = features @ np.arange(1.0, 7.0) + rng.normal(size=120)
    rows = rng.permutation(120)
    train = np.stack([rng.permutation(rows[:70])[:30] for _ in range(3)])
    test, seed = rows[70:], np.random.SeedSequence(1)
    arrays: tuple[NDArray[Any], ...] = (features, label, train, test)
    before = [values.copy() for values in arrays]
    for values in arrays:
        values.flags.writeable = False

    def predict(
        label: NDArray[Any], train: NDArray[np.int64], test: NDArray[np.int64] = test
    ) -> NDArray[Any]:
        try:
            predicted = made.fit_predict(features, label, train, test, seed)
            if numbers:
                return checked_numbers(name, predicted, len(train), len(test))
            return checked(name, predicted, len(train), len(test), label[train])
        except WherefromError as err:
            raise BrokenPromiseError(str(err)) from err
        except ValueError as err:
            promise("read-only" not in str(err), f"head {name!r} changes what it is given: {err}")
            raise

    with own_randomness(f"head {name!r}"), torch_left_alone(f"head {name!r}"):
        first, again = predict(label, train), predict(label, train)
    for values, kept in zip(arrays, before, strict=True):
        promise(np.array_equal(values, kept), f"head {name!r} changes what it is given")
    promise(np.array_equal(first, again), f"head {name!r} predicts otherwise from the same seed")
    blind = label.copy()
    blind[test] = 0
    same = np.array_equal(first, predict(blind, train))
    promise(same, f"head {name!r} looks at the labels of test places")
    alone = predict(label, train[:1])
    agree = float(np.isclose(alone, first[:1], rtol=1e-6).mean())
    promise(agree >= 0.98, f"head {name!r}: a fine-tune seed's predictions depend on the others")
    # Of one class at a time: what is scaled, or shared out, by the test places is then another.
    groups = [np.flatnonzero(group[test] == code)[::-1] for code in np.unique(group)]
    apart = np.concatenate([predict(label, train, test[rows]) for rows in groups], axis=1)
    agree = float(np.isclose(apart, first[:, np.concatenate(groups)], rtol=1e-6).mean())
    promise(agree >= 0.98, f"head {name!r}: a test place's predictions depend on the other places")
