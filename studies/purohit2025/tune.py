"""How the study's hyper-parameters were chosen: on the tuning places, over all compositions.

Every setting is tried on one draw of each composition (draw and pre-train seed 1000, which the
study does not use), and scored by few-shot heads on the splits tune-train and tune-test. A setting
is chosen by its mean over compositions and continents, so that none of them is favoured. The other
heads (mlp, forest, finetune) take no part.

    python studies/purohit2025/tune.py --out runs/purohit2025-laptop

needs the pool, task and features of that folder (run the study, or start it and stop it).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

SEED = 1000
HERE = Path(__file__).parent
GRIDS: dict[str, dict[str, list[Any]]] = {
    "satclip-L40": {
        "samples_seen": [64_000, 128_000],
        "lr": [1e-4, 2e-4],
        "dropout": [0.5],
        "hidden": [0, 256],
    },
    "satclip-L10": {
        "samples_seen": [128_000],
        "lr": [5e-4, 1e-3],
        "dropout": [0.0, 0.1],
        "hidden": [0],
    },
}
HEADS: dict[str, list[dict[str, Any]]] = {
    "logistic": [{"C": c} for c in (0.1, 1.0, 10.0)],
    "knn": [{"k": k} for k in (1, 3, 5)],
}


def score(job: tuple[str, str, dict[str, Any], str, str]) -> list[dict[str, Any]]:
    """Pre-train one setting on one composition and score every head on the tuning places."""
    import numpy as np

    from wherefrom.compose import draw
    from wherefrom.models.satclip import SatCLIPConfig
    from wherefrom.pool import Pool
    from wherefrom.study import Store, load, plan
    from wherefrom.study.satclip import images_of
    from wherefrom.tasks import Task, plan_episodes
    from wherefrom.train.embed import embed
    from wherefrom.train.heads import head
    from wherefrom.train.pretrain import PretrainSettings, pretrain
    from wherefrom.train.scores import scores

    name, composition, setting, folder, size_of_study = job
    study = load(HERE, size_of_study)
    store = Store(Path(folder) / "store")
    steps = plan(study)
    at = {
        kind: [store.folder(stage.kind, stage.key) for stage in steps.of_kind(kind)]
        for kind in ("pool", "task", "features")
    }
    pool = Pool.read(at["pool"][0] / "pool.parquet")
    task = Task.read(at["task"][0] / "task.parquet")
    spec = study.models[name]
    text = study.compositions[composition]
    size = None if text == "none" else study.composition_size
    rows = pool.take(draw(pool, text, size, SEED).expanded_ids())
    image, scale = images_of(at["features"], rows)
    model = SatCLIPConfig(
        degrees=spec.degrees,
        inputs=image.shape[1],
        width=spec.width,
        depth=spec.depth,
        out=spec.out,
        dropout=setting["dropout"],
        hidden=setting["hidden"],
    )
    settings = PretrainSettings(
        samples_seen=setting["samples_seen"] // spec.pretrain.batch * spec.pretrain.batch,
        batch=spec.pretrain.batch,
        lr=setting["lr"],
        warmup=spec.pretrain.warmup,
    )
    began = time.perf_counter()
    module = pretrain(
        model,
        {"lon": pool.lon[rows], "lat": pool.lat[rows], "image": image},
        np.arange(len(rows)),
        settings,
        seed=SEED,
        calibration={"image": scale},
    )
    seconds = time.perf_counter() - began
    features = embed(module.location, task.lon, task.lat)
    episodes, _ = plan_episodes(task, task.regions, study.n, range(20), split="tuning")
    found = []
    for kind, options in ((k, o) for k, variants in HEADS.items() for o in variants):
        values = [
            scores(
                head(kind, **options).fit_predict(
                    features, task.label, e.train, e.test, np.random.SeedSequence(SEED)
                ),
                task.label[e.test],
                task.positive,
            )["f1_macro"].mean()
            for e in episodes
        ]
        found.append(
            {"model": name, "composition": composition, **setting}
            | {"head": kind, "option": next(iter(options.values()))}
            | {"f1_macro": round(float(np.mean(values)), 4), "seconds": round(seconds, 1)}
        )
    return found


def main() -> None:
    """Try the grids and write tuning.csv."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="folder of a study run")
    parser.add_argument("--scale", default="laptop")
    parser.add_argument("--models", nargs="+", default=list(GRIDS))
    parser.add_argument("--table", default=str(HERE / "tuning.csv"))
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    from wherefrom.files import atomic
    from wherefrom.study import load

    study = load(HERE, given.scale)
    jobs = []
    for name in given.models:
        for values in itertools.product(*GRIDS[name].values()):
            setting = dict(zip(GRIDS[name], values, strict=True))
            jobs += [
                (name, composition, setting, given.out, given.scale)
                for composition, text in study.compositions.items()
                if text != "none"
            ]
    with (
        multiprocessing.get_context("spawn").Pool(2) as workers,
        atomic(given.table) as tmp,
        tmp.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer: csv.DictWriter[str] | None = None
        for done, rows in enumerate(workers.imap_unordered(score, jobs), start=1):
            if writer is None:
                writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
                writer.writeheader()
            writer.writerows(rows)
            print(f"{done}/{len(jobs)}", file=sys.stderr)


if __name__ == "__main__":
    main()
