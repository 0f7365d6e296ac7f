"""A study of two tasks whose few-shot stages are made up: for commands that read finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from made_predictions import tells
from wherefrom import earth
from wherefrom.study import Plan, Store
from wherefrom.study.stages import SCORES
from wherefrom.tasks import Task
from wherefrom.tasks.labelled import TASK
from wherefrom.train.scores import scores

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025" / "study.yaml"


def study_file(folder: Path, blocks: int | None = None, **change: Any) -> Path:
    """Write a study of one model on zones of climate and of cropland."""
    base = yaml.safe_load(STUDY.read_text())["base"]
    base["pool"] = {"places": 3000}
    base["composition_size"] = 1000
    base["compositions"] = {"none": "none", "uniform": "uniform"}
    places = {"train_per_region": 40, "test_per_region": 100, "min_distance_km": 5.0}
    places |= {"tune_train_per_region": 5, "tune_test_per_region": 5}
    base["tasks"] = {
        "zones": {"kind": "ecoregions", "layer": "climate_zone", "region_layer": "continent"}
        | places
        | {"baselines": ["raw-lonlat", "majority"]},
        "crops": {"kind": "cropland", "region_layer": "continent", "baselines": []} | places,
    }
    model = base["models"]["satclip-L10"] | ({} if blocks is None else {"blocks": blocks})
    base["models"] = {"encoder": model | {"tasks": ["zones", "crops"]}}
    base |= {"published": {}, "n": 20, "finetune_seeds": 3, "sweep": None, "stand_ins": {}}
    base["heads"] = {"logistic": {}, "knn": {}, "majority": {}}
    base["headlines"] = [{"model": "encoder", "head": "knn", "metric": "accuracy"}]
    base |= {"claims": [], "repeats": {}, "stands_for": {}}
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base | change, "scales": {"laptop": {}}}))
    return file


def finish(steps: Plan, store: Store, rates: dict[str, float] | None = None) -> None:
    """Write what the few-shot stages of a plan and their tasks would have left, made up.

    `rates` are the shares of right answers by composition; baselines have 0.5.
    """
    rng = np.random.default_rng(0)
    pool = np.column_stack([rng.uniform(-180, 180, 40_000), rng.uniform(-55, 70, 40_000)])
    regions = earth.layer("continent")
    of = regions.codes(*pool.T)
    rows = np.concatenate([np.flatnonzero(of == code)[:100] for code in range(6)])
    lon, lat = pool[rows].T
    for stage in steps.of_kind("task"):
        zone = (np.abs(lat) // 15).astype(np.int32) % 3
        task = Task(
            stage.of.label, lon, lat, zone, ("a", "b", "c"), of[rows], earth.CONTINENTS[:6],
            np.ones(len(rows)), "climate_zone",
        )  # fmt: skip
        with store.write(
            "task", stage.key, {"label": stage.label, "document": stage.document}
        ) as out:
            task.write(out / TASK)
    for stage in steps.of_kind("fewshot"):
        composition = stage.axes["composition"]
        rate = (rates or {}).get(composition, 0.7 if composition else 0.5)
        told = tells(zone, rate, 3, rng)
        held: dict[str, Any] = {}
        scored = []
        for code, region in enumerate(task.regions):
            own = np.flatnonzero(task.region == code)
            held |= {f"{region}|20": told[:, own], f"{region}|test": own}
            scored += [
                {"region": region, "n": 20, "finetune_seed": seed, "metric": name, "value": value}
                for name, values in scores(told[:, own], zone[own]).items()
                for seed, value in enumerate(values.tolist())
            ]
        about = {"label": stage.label, "document": stage.document}
        with store.write("fewshot", stage.key, about) as out:
            np.savez_compressed(out / "predictions.npz", **held)
            pq.write_table(pa.Table.from_pylist(scored, SCORES), out / "scores.parquet")
            (out / "problems.txt").write_text("")
