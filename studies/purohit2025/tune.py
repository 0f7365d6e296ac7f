"""How the pre-training was chosen: on the tuning places, over all compositions.

Every setting is tried on one draw of each composition (draw and pre-training seed 1000, which the
study does not use), and scored by few-shot heads on the splits tune-train and tune-test of the
model's first task. A setting is chosen by its mean over compositions and continents, so that none
of them is favoured. The pre-training loss on places of the pool that are not in the composition is
noted beside the scores. The options of heads are then chosen by `wherefrom study tune`.

    python studies/purohit2025/tune.py --out runs/purohit2025-laptop --models presto

needs the pool, tasks, series and features of that folder (run the study, or start it and stop it).
Rows of the table that are about other models stay.
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
HELD_OUT = 4096
HERE = Path(__file__).parent
#: Fields of a model, or of its pre-training, and the values that are tried.
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
    "presto": {
        "samples_seen": [32_000, 64_000],
        "batch": [128, 256],
        "lr": [5e-4, 1e-3, 2e-3],
    },
    "satmae": {
        "lr": [2.5e-4, 5e-4, 1e-3],
    },
}
COLUMNS = [
    "model", "composition", "samples_seen", "batch", "lr", "dropout", "hidden", "head", "option",
    "f1_macro", "held_out_loss", "seconds",
]  # fmt: skip
HEADS: dict[str, list[dict[str, Any]]] = {
    "logistic": [{"C": c} for c in (0.1, 1.0, 10.0)],
    "knn": [{"k": k} for k in (1, 3, 5)],
}


def score(job: tuple[str, str, dict[str, Any], str, str]) -> list[dict[str, Any]]:
    """Pre-train one setting on one composition and score every head on the tuning places."""
    import numpy as np

    from wherefrom import draw
    from wherefrom.gfms.engine import trained
    from wherefrom.gfms.places import PoolPlaces, TaskData
    from wherefrom.keys import generator
    from wherefrom.payload.stored import Stored
    from wherefrom.pool import Pool
    from wherefrom.study import Store, load, plan
    from wherefrom.study.stages import seen_of
    from wherefrom.tasks import plan_episodes
    from wherefrom.train.embed import embed
    from wherefrom.train.heads import head
    from wherefrom.train.pretrain import held_out_loss
    from wherefrom.train.scores import scores

    name, composition, setting, folder, size_of_study = job
    study = load(HERE, size_of_study, list(GRIDS))
    store = Store(Path(folder) / "store")
    steps = plan(study)
    run = next(s for s in steps.of_kind("pretrain") if s.spec["name"] == name)
    shot = next(s for s in steps.of_kind("fewshot") if s.axes["model"] == name)
    at = {role: store.folder(s.kind, s.key) for role, s in (run.inputs | shot.inputs).items()}
    held = {one.modality: one for one in run.payloads}
    held |= {modality: Stored(modality, paths) for modality, paths in seen_of(run, at)}
    pool = Pool.read(at["pool"] / "pool.parquet")
    data = TaskData(at["task"], seen_of(shot, at))

    fields = study.models[name].model_dump()
    budget = fields["pretrain"]
    for key, value in setting.items():
        part = budget if key in budget else fields
        if key not in part:
            raise SystemExit(f"{name} has no field {key!r}")
        part[key] = value
    budget["samples_seen"] = budget["samples_seen"] // budget["batch"] * budget["batch"]
    gfm = type(study.models[name]).model_validate(fields)
    text = study.compositions[composition]
    rows = pool.take(draw(pool, text, study.composition_size, SEED).expanded_ids())
    distinct, places = np.unique(rows, return_inverse=True)
    began = time.perf_counter()
    made = trained(gfm, PoolPlaces(pool, distinct, held), places, seed=SEED)
    seconds = time.perf_counter() - began

    # One order for all compositions, so that most of these places are the same.
    order = generator("tune", "held out").permutation(len(pool))
    others = order[~np.isin(order, rows)][:HELD_OUT]
    records = gfm.records(PoolPlaces(pool, others, held))
    loss = held_out_loss(made.model, made.module, records, np.arange(len(others)), budget["batch"])

    task = data.task
    encoder = gfm.embedding(made.model)
    features = data.described(
        lambda places: embed(
            encoder, made.module, gfm.records_of_task(places), batch=gfm.embed_batch
        ),
        "tuning",
    )
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
            | {"f1_macro": round(float(np.mean(values)), 4)}
            | {"held_out_loss": round(loss, 4), "seconds": round(seconds, 1)}
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

    study = load(HERE, given.scale, given.models)
    jobs = []
    for name in given.models:
        for values in itertools.product(*GRIDS[name].values()):
            setting = dict(zip(GRIDS[name], values, strict=True))
            jobs += [
                (name, composition, setting, given.out, given.scale)
                for composition, text in study.compositions.items()
                if text != "none"
            ]
    table = Path(given.table)
    kept: list[dict[str, Any]] = []
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as stream:
            kept = [row for row in csv.DictReader(stream) if row["model"] not in given.models]
    with (
        multiprocessing.get_context("spawn").Pool(2) as workers,
        atomic(table) as tmp,
        tmp.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        for done, rows in enumerate(workers.imap_unordered(score, jobs), start=1):
            writer.writerows(rows)
            print(f"{done}/{len(jobs)}", file=sys.stderr)


if __name__ == "__main__":
    main()
