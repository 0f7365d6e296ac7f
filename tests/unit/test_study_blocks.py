"""Blocks: one draw of every composition, one pre-training seed that all share; and none missed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from wherefrom.errors import WherefromError
from wherefrom.progress import Screen
from wherefrom.report.plan import render
from wherefrom.report.study import write
from wherefrom.study import Plan, Stage, Store, Study, collect, load, plan
from wherefrom.study.results import SCHEMA, unfinished
from wherefrom.study.stages import PROBLEMS, SCORES, compute

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"
BUDGET = {"samples_seen": 256, "batch": 64, "lr": 1e-3}
GFM = {
    "kind": "satclip", "tasks": ["cropland"], "degrees": 4, "width": 16, "hidden": 0,
    "pretrain": BUDGET,
}  # fmt: skip


def study(folder: Path, **change: Any) -> Path:
    """Write a study of two small models, in three blocks and in one, and a list of ids."""
    ids = folder / "ids.txt"
    ids.write_text("\n".join(["id", *map(str, range(100))]))
    sizes = {"train_per_region": 20, "test_per_region": 10}
    sizes |= {"tune_train_per_region": 2, "tune_test_per_region": 2, "min_distance_km": 5.0}
    base = {
        "name": "blocks", "title": "Blocks", "pool": {"places": 1500}, "composition_size": 100,
        "compositions": {
            "none": "none", "uniform": "uniform", "area": "uniform-area",
            "mine": f"ids:file={ids}",
        },
        "tasks": {
            "cropland": {"kind": "cropland", "region_layer": "continent", "baselines": ["majority"]}
            | sizes
        },
        "models": {"three": GFM | {"blocks": 3}, "one": GFM | {"blocks": 1}},
        "n": 10, "finetune_seeds": 3,
        "heads": {"logistic": {}, "knn": {"blocks": 2}, "majority": {}},
        "sweep": {
            "region": "Africa", "n": [15], "heads": ["logistic"], "finetune_seeds": 2, "blocks": 1,
        },
        "headlines": [{"model": "three", "head": "logistic"}],
    }  # fmt: skip
    file = folder / "study.yaml"
    file.write_text(
        yaml.safe_dump({"base": base | change, "scales": {"debug": {}}}, sort_keys=False)
    )
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the study."""
    return study(tmp_path_factory.mktemp("blocks"))


@pytest.fixture(scope="module")
def small(file: Path) -> Study:
    """Return the study."""
    return load(file, "debug")


def of_model(steps: Plan, kind: str, model: str = "three") -> list[Stage]:
    return [stage for stage in steps.of_kind(kind) if stage.axes["model"] == model]


def test_compositions_of_a_block_differ_in_more_than_their_places(small: Study) -> None:
    steps = plan(small)
    for run in of_model(steps, "pretrain"):
        name, block = run.axes["composition"], run.axes["block"]
        assert run.spec["seed"] == block
        # What does not vary is the same in every block: the model, not the places, is new there.
        varies = name in ("uniform", "area")
        assert run.inputs["draw"].axes == {"composition": name, "draw": block if varies else 0}
        assert run.label == f"pretrain three {name} block {block}"
    draws = [s.axes["composition"] for s in steps.of_kind("draw")]
    drawn = {name: draws.count(name) for name in draws}
    assert drawn == {"none": 1, "uniform": 3, "area": 3, "mine": 1}
    runs = [(s.axes["composition"], s.axes["block"]) for s in of_model(steps, "pretrain")]
    assert runs == [(name, block) for name in small.compositions for block in range(3)]


def test_a_head_or_the_sweep_takes_other_blocks_than_the_first(small: Study) -> None:
    blocks: dict[str, set[int]] = {}
    for stage in of_model(plan(small), "fewshot"):
        sweep = " sweep" if stage.spec["regions"] else ""
        blocks.setdefault(stage.spec["head"] + sweep, set()).add(stage.axes["block"])
    assert blocks == {"logistic": {0, 1, 2}, "knn": {0, 1}, "logistic sweep": {0}}
    # A limit above a model's own blocks is none.
    assert {s.axes["block"] for s in of_model(plan(small), "fewshot", "one")} == {0}
    rows = [s for s in plan(small).of_kind("fewshot") if not s.axes["composition"]]
    assert {s.axes["block"] for s in rows} == {-1}
    assert rows[0].label == f"fewshot majority {rows[0].axes['task']} majority"


def test_more_blocks_compute_the_first_ones_again(small: Study) -> None:
    more = small.models["three"].model_copy(update={"blocks": 5})
    other = small.model_copy(update={"models": small.models | {"three": more}})
    assert {s.key for s in plan(small).stages} < {s.key for s in plan(other).stages}


FORMER = "'draws' and 'pretrain_seeds' are now one number"


@pytest.mark.parametrize(
    ("part", "old", "said"),
    [
        ("models.three", {"draws": 3, "pretrain_seeds": 2}, ": blocks: 6 .a blo"),
        ("models.three", {"draws": 3}, ": blocks: 3 .a block is one draw of eve"),
        ("models.three", {"blocks": 6, "draws": 3}, ", blocks: 6 .*: remove 'draws'"),
        ("models.three", {"draws": "3", "pretrain_seeds": 2}, ": write 'blocks' .a bloc"),
        ("heads.knn", {"draws": 1, "pretrain_seeds": 1}, ": blocks: 1 .a block"),
        ("heads.knn", {"pretrain_seeds": 1}, ": write 'blocks' .a block is one draw of "),
        ("sweep", {"draws": 3, "pretrain_seeds": 1}, ": blocks: 3 .a block is o"),
    ],
)
@pytest.mark.parametrize("where", ["base", "scale"])
def test_keys_of_another_version_are_read_as_nothing_or_only_called_unknown(
    tmp_path: Path, part: str, old: dict[str, Any], said: str, where: str
) -> None:
    file = study(tmp_path)
    content = yaml.safe_load(file.read_text())
    at = content["base"]
    for key in part.split("."):
        at = at[key]
    del at["blocks"]
    change: dict[str, Any] = content["scales"]["debug"]
    if where == "scale":
        for key in part.split("."):
            change = change.setdefault(key, {})
        change |= old
    else:
        at |= old
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(WherefromError, match=rf"{part}: {FORMER}{said}"):
        load(file, "debug")


def test_one_block_is_planned_as_if_it_could_speak_of_others(small: Study, tmp_path: Path) -> None:
    shown = io.StringIO()
    Screen(file=shown, width=300).print(render(plan(small), Store(tmp_path)))
    said = shown.getvalue()
    seen = "256 samples seen for each composition, in"
    assert f"one: {seen} one block: no statement about another draw or another pre-train" in said
    assert f"three: {seen} each of 3 blocks" in said


@pytest.fixture(scope="module")
def stopped(small: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store]:
    """Give a store in which some blocks were not finished; scores stand for those of models."""
    steps, store = plan(small), Store(tmp_path_factory.mktemp("stopped") / "store")
    rng = np.random.default_rng(0)
    for stage in steps.stages:
        axes = stage.axes
        if stage.kind == "pool" or (stage.kind == "draw" and axes["draw"] < 2):
            compute(stage, store, lambda _: None)
        if stage.kind != "fewshot" or lacks(stage):
            continue
        metrics = ("f1_macro", "accuracy")
        rows = [
            {"region": region, "n": n, "finetune_seed": seed, "metric": metric, "value": value}
            for region in stage.spec["regions"] or ["Africa", "Asia"]
            for n in stage.spec["n"]
            for seed in range(stage.spec["finetune_seeds"])
            for metric, value in zip(metrics, rng.uniform(0.4, 0.6, 2).tolist(), strict=True)
        ]
        document = {"label": stage.label, "document": stage.document}
        with store.write(stage.kind, stage.key, document) as out:
            pq.write_table(pa.Table.from_pylist(rows, SCORES), out / "scores.parquet")
            (out / PROBLEMS).write_text("", encoding="utf-8")
    return steps, store


def lacks(stage: Stage) -> bool:
    """Tell what was not finished: some blocks, a head of one block, and a model."""
    axes = stage.axes
    run = (axes["composition"], axes["block"])
    return axes["model"] == "one" or (
        axes["model"] == "three"
        and (
            run in (("uniform", 1), ("uniform", 2))
            or (run == ("area", 1) and axes["head"] == "knn")
        )
    )


def test_missing_blocks_go_unsaid(stopped: tuple[Plan, Store], file: Path, tmp_path: Path) -> None:
    steps, store = stopped
    one = "; ".join(f"{name} lacks block 0" for name in steps.study.compositions)
    assert unfinished(steps, store) == [
        "three: uniform lacks blocks 1, 2; area lacks block 1 (knn)",
        f"one: {one}",
    ]
    results = collect(steps, store, tmp_path)
    assert results.schema.names == SCHEMA.names
    blocks = {
        name: {r["block"] for r in results.to_pylist() if r["composition"] == name}
        for name in steps.study.compositions
    }
    assert blocks == {"none": {0, 1, 2}, "uniform": {0}, "area": {0, 1, 2}, "mine": {0, 1, 2}}
    _, page = write(steps, store, tmp_path, file)
    html = page.read_text(encoding="utf-8")
    assert "three: uniform lacks blocks 1, 2; area lacks block 1 (knn)" in html
    assert "compared in the blocks that both have" in html


def test_a_finished_run_is_shown_the_report_of_the_stopped_one(
    stopped: tuple[Plan, Store], file: Path, tmp_path: Path
) -> None:
    steps, store = stopped
    _, page = write(steps, store, tmp_path, file)
    stamp = page.stat().st_mtime_ns
    write(steps, store, tmp_path, file)
    assert page.stat().st_mtime_ns == stamp  # nothing new, nothing written
    stage = next(s for s in steps.of_kind("fewshot") if s.axes["model"] == "one")
    other = next(s for s in steps.of_kind("fewshot") if store.done(s.kind, s.key))
    table = pq.read_table(store.folder(other.kind, other.key) / "scores.parquet")
    document = {"label": stage.label, "document": stage.document}
    with store.write(stage.kind, stage.key, document) as out:
        pq.write_table(table, out / "scores.parquet")
        (out / PROBLEMS).write_text("", encoding="utf-8")
    try:
        write(steps, store, tmp_path, file)
        assert page.stat().st_mtime_ns > stamp
    finally:
        store.drop(stage.kind, stage.key)


def test_a_run_that_was_stopped_before_its_headline_is_reported(
    stopped: tuple[Plan, Store], tmp_path: Path
) -> None:
    steps, store = stopped
    headline = steps.study.headlines[0].model_copy(update={"model": "one"})
    study = steps.study.model_copy(update={"headlines": (headline,)})
    other = Plan(study, steps.stages)
    with pytest.raises(WherefromError, match=r"stages are missing, e.g. .fewshot one none"):
        collect(other, store, tmp_path)


def test_a_store_of_another_version_is_misread(small: Study, tmp_path: Path) -> None:
    """Runs of draw d with seed s are blocks where d = s, and nothing else of that store is read."""
    store = Store(tmp_path)
    runs = {(s.axes["composition"], s.axes["block"]): s for s in of_model(plan(small), "pretrain")}
    old = runs["uniform", 0]
    # Draw 0 with seed 1, as a study of draws x seeds had it.
    crossed = Stage(**vars(old) | {"spec": old.spec | {"seed": 1}})
    for stage in (old, crossed):
        with store.write("pretrain", stage.key, {"label": "old", "document": stage.document}):
            pass
    done = {run for run, stage in runs.items() if store.done("pretrain", stage.key)}
    assert done == {("uniform", 0)}
