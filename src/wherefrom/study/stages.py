"""What each kind of stage computes, from its spec and the folders of its inputs."""

from __future__ import annotations

from collections.abc import Callable
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
from wherefrom.keys import seed_of
from wherefrom.pool import Pool
from wherefrom.study.stage import Stage
from wherefrom.study.store import Store
from wherefrom.tasks import Task, ecoregions, plan_episodes

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
        "features": _features,
        "draw": _draw,
        "pretrain": _pretrain,
        "fewshot": _fewshot,
    }[stage.kind]
    document = {"label": stage.label, "document": stage.document}
    with store.write(stage.kind, stage.key, document) as out:
        work(stage.spec, inputs, out, tell, store.partial(stage.kind, stage.key))


@lru_cache(maxsize=1)
def _read_pool(file: Path) -> Pool:
    """Read a pool; a worker keeps the last one."""
    return Pool.read(file)


@lru_cache(maxsize=1)
def _read_task(file: Path) -> Task:
    """Read a task; a worker keeps the last one."""
    return Task.read(file)


def _pool(spec: dict[str, Any], _: dict[str, Path], out: Path, tell: Tell, __: Path) -> None:
    Pool.build(spec["places"], seed=spec["seed"]).write(out / "pool.parquet")


def _task(spec: dict[str, Any], inputs: dict[str, Path], out: Path, tell: Tell, _: Path) -> None:
    pool = _read_pool(inputs["pool"] / "pool.parquet")
    task = ecoregions(
        pool,
        layer=spec["layer"],
        region_layer=spec["region_layer"],
        train_per_region=spec["train_per_region"],
        test_per_region=spec["test_per_region"],
        tuning_per_region=(spec["tune_train_per_region"], spec["tune_test_per_region"]),
        min_distance_km=spec["min_distance_km"],
        seed=spec["seed"],
    )
    task.write(out / "task.parquet")


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
    from wherefrom.study import satclip

    composition = Composition.read(inputs["draw"] / "composition.parquet")
    pool = _read_pool(inputs["pool"] / "pool.parquet")
    rows = pool.take(composition.expanded_ids())
    features = [path for role, path in inputs.items() if role.startswith("features")]
    satclip.pretrain(spec, pool, rows, features, out, partial, tell)


def _fewshot(spec: dict[str, Any], inputs: dict[str, Path], out: Path, tell: Tell, _: Path) -> None:
    from wherefrom.study import satclip
    from wherefrom.train.heads import head
    from wherefrom.train.scores import scores

    task = _read_task(inputs["task"] / "task.parquet")
    run = inputs.get("pretrain")
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
        seed = seed_of("fewshot", task.name, episodes.region, episodes.n)
        if spec["head"] == "finetune" and run is not None:
            predicted = satclip.finetune(run, spec["options"], task, episodes)
        else:
            if run is None:
                features = _baseline(spec["baseline"], task)
            else:
                features = satclip.embedded(run, task)
            predicted = head(spec["head"], **spec["options"]).fit_predict(
                features, task.label, episodes.train, episodes.test, seed
            )
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


def _baseline(name: str, task: Task) -> NDArray[np.float32]:
    """Return the features of a trivial baseline: (N, D) float32."""
    from wherefrom.study import satclip

    if name.startswith("raw-harmonics-L"):
        return satclip.harmonics(int(name.removeprefix("raw-harmonics-L")), task)
    # The majority class looks at no feature at all; the coordinates serve as well as any.
    return np.stack([task.lon, task.lat], axis=1).astype(np.float32)
