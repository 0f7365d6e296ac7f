"""What each kind of stage computes, from its spec and the folders of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom.compose import Composition
from wherefrom.compose import draw as draw_composition
from wherefrom.compose.card import write_card
from wherefrom.earth.imagery import ImageFeatures
from wherefrom.errors import WherefromError
from wherefrom.keys import seed_of
from wherefrom.pool import Pool
from wherefrom.pool.series.earth import earth_series
from wherefrom.study.data import SERIES, TASK, TaskData, task_data
from wherefrom.study.pools import PoolSpec, content_of
from wherefrom.study.stage import Stage
from wherefrom.study.store import Store
from wherefrom.tasks import Episodes, Task, ecoregions, plan_episodes
from wherefrom.tasks.cropharvest import cropharvest
from wherefrom.tasks.cropland import cropland

__all__ = ["compute"]

Tell = Callable[[float], None]
#: Scores of a few-shot stage; none if no region could be evaluated.
SCORES = pa.schema(
    [
        ("region", pa.string()),
        ("n", pa.int64()),
        ("finetune_seed", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)


def compute(stage: Stage, store: Store, tell: Tell) -> None:
    """Compute one stage whose inputs are in the store, and put its result there.

    Parameters
    ----------
    stage : Stage
        What to compute.
    store : Store
        Where its inputs are and its result goes.
    tell : callable
        Called with the share that is done, 0 to 1.

    Raises
    ------
    WherefromError
        If the study asks for what its data do not allow, or the disk is full.
    """
    inputs = {role: store.folder(s.kind, s.key) for role, s in stage.inputs.items()}
    work = {
        "pool": _pool,
        "task": _task,
        "series": _series,
        "features": _features,
        "draw": _draw,
        "pretrain": _pretrain,
        "fewshot": _fewshot,
    }[stage.kind]
    document = {"label": stage.label, "document": stage.document}
    with store.write(stage.kind, stage.key, document) as out:
        work(stage.spec | stage.files, inputs, out, tell, store.partial(stage.kind, stage.key))


@lru_cache(maxsize=1)
def _read_pool(file: Path) -> Pool:
    """Read a pool; a worker keeps the last one."""
    return Pool.read(file)


def _pool(spec: dict[str, Any], _: dict[str, Path], out: Path, tell: Tell, __: Path) -> None:
    given = {name: spec[name] for name in PoolSpec.model_fields if spec.get(name) is not None}
    _refuse_changed(spec)
    PoolSpec(**given).open().write(out / "pool.parquet")


def _refuse_changed(spec: dict[str, Any]) -> None:
    """Refuse a table of the user's that is not the one by which the stage is named."""
    if "file" in spec and content_of(spec["file"]) != spec["content"]:
        raise WherefromError(f"{spec['file']} has changed since the study began: run it again")


def _task(spec: dict[str, Any], inputs: dict[str, Path], out: Path, tell: Tell, _: Path) -> None:
    if spec["kind"] == "cropharvest":
        cropharvest(region_layer=spec["region_layer"], seed=spec["seed"]).write(out)
        return
    if spec["kind"] == "table":
        _refuse_changed(spec)
        replace(Task.read(spec["file"]), name=spec["name"]).write(out / TASK)
        return
    pool = _read_pool(inputs["pool"] / "pool.parquet")
    options = {
        "region_layer": spec["region_layer"],
        "train_per_region": spec["train_per_region"],
        "test_per_region": spec["test_per_region"],
        "tuning_per_region": (spec["tune_train_per_region"], spec["tune_test_per_region"]),
        "min_distance_km": spec["min_distance_km"],
        "seed": spec["seed"],
    }
    if spec["kind"] == "cropland":
        task = cropland(pool, **options)
    else:
        task = ecoregions(pool, layer=spec["layer"], **options)
    task.write(out / TASK)


def _series(spec: dict[str, Any], inputs: dict[str, Path], out: Path, tell: Tell, _: Path) -> None:
    task = Task.read(inputs["task"] / TASK)
    earth_series(task.lon, task.lat, land_cover=spec["land_cover"]).write(out / SERIES)


def _features(
    spec: dict[str, Any], inputs: dict[str, Path], out: Path, tell: Tell, _: Path
) -> None:
    pool = _read_pool(inputs["pool"] / "pool.parquet")
    features = ImageFeatures(**spec["image"]).compute(pool.lon, pool.lat)
    statistics = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    np.save(out / "statistics.npy", np.stack(statistics))
    # Half precision keeps three digits of what comes from eight-bit pictures.
    np.save(out / "features.npy", features.astype(np.float16))


def _draw(spec: dict[str, Any], inputs: dict[str, Path], out: Path, tell: Tell, _: Path) -> None:
    pool = _read_pool(inputs["pool"] / "pool.parquet")
    composition = draw_composition(pool, spec["sampler"], spec["n"], spec["seed"])
    composition.write(out / "composition.parquet")
    write_card(composition, pool, out / "composition.parquet")


def _pretrain(
    spec: dict[str, Any], inputs: dict[str, Path], out: Path, tell: Tell, partial: Path
) -> None:
    from wherefrom.study import recipes

    composition = Composition.read(inputs["draw"] / "composition.parquet")
    pool = _read_pool(inputs["pool"] / "pool.parquet")
    rows = pool.take(composition.expanded_ids())
    images = [path for role, path in inputs.items() if role.startswith("features")]
    recipes.pretrain(spec, pool, rows, images, out, partial, tell)


def _fewshot(spec: dict[str, Any], inputs: dict[str, Path], out: Path, tell: Tell, _: Path) -> None:
    from wherefrom.train.scores import scores

    data = task_data(inputs["task"], inputs.get("series"))
    task = data.task
    regions = task.regions if spec["regions"] is None else spec["regions"]
    rows: list[dict[str, Any]] = []
    predictions: dict[str, NDArray[Any]] = {}
    problems: list[str] = []
    jobs = []
    for n in spec["n"]:
        found, failed = plan_episodes(task, regions, n, range(spec["finetune_seeds"]))
        jobs += found
        problems += [str(problem) for problem in failed]
    for done, episodes in enumerate(jobs, start=1):
        predicted = _predict(spec, inputs.get("pretrain"), data, episodes)
        for metric, values in scores(predicted, task.label[episodes.test], task.positive).items():
            rows += [
                {
                    "region": episodes.region,
                    "n": episodes.n,
                    "finetune_seed": i,
                    "metric": metric,
                    "value": float(value),
                }
                for i, value in enumerate(values)
            ]
        predictions[f"{episodes.region}|{episodes.n}"] = predicted.astype(np.int16)
        predictions[f"{episodes.region}|test"] = episodes.test
        tell(done / len(jobs))
    pq.write_table(pa.Table.from_pylist(rows, SCORES), out / "scores.parquet")
    np.savez_compressed(out / "predictions.npz", **predictions)  # type: ignore[arg-type]
    (out / "problems.txt").write_text("\n".join(problems), encoding="utf-8")


def _predict(
    spec: dict[str, Any], run: Path | None, data: TaskData, episodes: Episodes
) -> NDArray[np.integer[Any]]:
    """Predict the test places of one region by a pre-trained model, or by a baseline: (S, T)."""
    from wherefrom.study import baselines, recipes
    from wherefrom.train.heads import head

    if run is not None and spec["head"] == "finetune":
        return recipes.finetuned(run, spec["options"], data, episodes)
    if run is not None:
        features = recipes.embedded(run, data)
    else:
        features = baselines.features(spec["baseline"], data)
    seed = seed_of("fewshot", data.task.name, episodes.region, episodes.n)
    return head(spec["head"], **spec["options"]).fit_predict(
        features, data.task.label, episodes.train, episodes.test, seed
    )
