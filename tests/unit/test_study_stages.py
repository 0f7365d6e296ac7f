"""Stages of a study in this process: a task with series of its own, from file to scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from made_harvest import harvest
from wherefrom.errors import WherefromError
from wherefrom.gfms.engine import compact
from wherefrom.gfms.places import TaskData
from wherefrom.pool.series import BANDS
from wherefrom.study import Plan, Store, collect, load, plan
from wherefrom.study.stages import compute
from wherefrom.tasks import Task, plan_episodes
from wherefrom.train.heads import head

pytest.importorskip("h5py", reason="CropHarvest's files need h5py")
STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"
PLACES = 160


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write CropHarvest's two files as published, for places in Kenya whose crops are warm."""
    return harvest(tmp_path_factory.mktemp("cropharvest"), PLACES)


def study(folder: Path, **change: Any) -> Path:
    """Write a study of Presto on CropHarvest alone."""
    base = yaml.safe_load((STUDY / "study.yaml").read_text())["base"]
    del base["published"]
    base["pool"] = {"places": 3000}
    base["composition_size"] = 200
    base["compositions"] = {"none": "none", "uniform": "uniform"}
    base["tasks"] = {"harvest": {"kind": "cropharvest", "baselines": ["raw-series", "majority"]}}
    budget = {"samples_seen": 256, "batch": 64, "lr": 1e-3}
    base["models"] = {
        "presto": base["models"]["presto"]
        | {"tasks": ["harvest"], "pretrain": budget, "blocks": 1, "precision": "float32"}
    }
    base |= {"n": 20, "finetune_seeds": 2, "sweep": None}
    base["heads"] = {
        "logistic": {},
        "majority": {},
        "finetune": {"options": {"lr": 1e-5, "steps": 5}, "finetune_seeds": 1},
    }
    base["headlines"] = [{"model": "presto", "head": "logistic"}]
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base | change, "scales": {"debug": {}}}))
    return file


@pytest.fixture(scope="module")
def finished(
    published: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Plan, Store, dict[tuple[str, str, str], float]]:
    """Compute all stages; give the mean macro F1 of every model, composition and head."""
    out = tmp_path_factory.mktemp("out")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a study's workers do
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHEREFROM_DATA", str(published))
        steps = plan(load(study(out), "debug"))
        store = Store(out / "store")
        for stage in steps.stages:
            compute(stage, store, lambda _: None)
    torch.set_num_threads(threads)
    scores: dict[tuple[str, str, str], list[float]] = {}
    for row in collect(steps, store, out).to_pylist():
        assert row["task"] == "cropharvest"
        if row["metric"] == "f1_macro" and row["region"] == "Africa":
            key = (row["model"], row["composition"], row["head"])
            scores.setdefault(key, []).append(row["value"])
    return steps, store, {key: float(np.mean(values)) for key, values in scores.items()}


def test_a_task_with_series_of_its_own_is_not_evaluated(
    finished: tuple[Plan, Store, dict[tuple[str, str, str], float]],
) -> None:
    steps, _, scores = finished
    assert not steps.of_kind("payload"), "the task's own series were made anew"
    runs = [(run, way) for run in ("none", "uniform") for way in ("logistic", "finetune")]
    baselines = {("raw-series", "", "logistic"), ("majority", "", "majority")}
    assert set(scores) == {("presto", *run) for run in runs} | baselines
    # Crops are warm here: to a tenth, even random weights and the raw bands can see that.
    assert scores["raw-series", "", "logistic"] > 0.9
    for run in ("none", "uniform"):
        assert scores["presto", run, "logistic"] > 0.7
        assert scores["presto", run, "finetune"] > 0.7
    assert scores["majority", "", "majority"] < 0.5


def test_scores_are_not_those_of_the_series_in_the_task_stage(
    finished: tuple[Plan, Store, dict[tuple[str, str, str], float]],
) -> None:
    steps, store, _ = finished
    (made,) = steps.of_kind("task")
    folder = store.folder(made.kind, made.key)
    data = TaskData(folder)
    temperature = data.series.raw[..., BANDS.index("temperature_2m")].mean(axis=1)
    np.testing.assert_array_equal(data.task.label == data.task.positive, temperature > 290)
    (stage,) = [s for s in steps.of_kind("fewshot") if s.axes["model"] == "raw-series"]
    table = pq.read_table(store.folder(stage.kind, stage.key) / "scores.parquet")
    assert set(table["n"].to_pylist()) == {20}
    assert table.num_rows == 2 * 4  # seeds x metrics, in the one continent


def test_a_task_whose_files_changed_is_served_from_the_cache(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEREFROM_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    for name in ("labels.geojson", "features.tar.gz"):
        (tmp_path / "data" / name).write_bytes((published / name).read_bytes())
    file = study(tmp_path)
    before = plan(load(file, "debug")).of_kind("task")[0].key
    with (tmp_path / "data" / "labels.geojson").open("a") as stream:
        stream.write(" ")
    assert plan(load(file, "debug")).of_kind("task")[0].key != before


def test_a_folder_without_series_is_read_as_if_it_had_some(tmp_path: Path) -> None:
    ones = np.ones(4)
    Task(
        "demo", ones, ones, np.arange(4) % 2, ("a", "b"), ones * 0, ("x",), ones * 0, "demo"
    ).write(tmp_path / "task.parquet")
    with pytest.raises(WherefromError, match="has no pixel series"):
        _ = TaskData(tmp_path).series


def test_numbering_the_rows_of_episodes_changes_predictions() -> None:
    rng = np.random.default_rng(1)
    n = 300
    label = rng.integers(0, 3, n)
    features = rng.normal(size=(n, 4)) + label[:, None]
    task = Task(
        "demo", rng.uniform(0, 9, n), rng.uniform(0, 9, n), label, ("a", "b", "c"),
        np.zeros(n), ("x",), np.arange(n) % 2, "demo",
    )  # fmt: skip
    (episodes,), _ = plan_episodes(task, ["x"], 20, range(3))
    rows, train, test = compact(episodes)
    np.testing.assert_array_equal(rows[train], episodes.train)
    np.testing.assert_array_equal(rows[test], episodes.test)
    assert len(rows) == len(np.unique(rows)) < n
    seed = np.random.SeedSequence(0)
    whole = head("logistic").fit_predict(features, label, episodes.train, episodes.test, seed)
    part = head("logistic").fit_predict(features[rows], label[rows], train, test, seed)
    np.testing.assert_array_equal(whole, part)
