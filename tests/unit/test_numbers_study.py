"""Studies of numbers: from a table to the page; what does not go with them is refused in a line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from wherefrom.errors import WherefromError
from wherefrom.report.study import write
from wherefrom.study import Plan, Store, collect, load, plan
from wherefrom.study.stages import compute
from wherefrom.tasks import Task, from_table, plan_episodes
from wherefrom.train.heads.majority import Mean

SIZES = {
    "train_per_region": 60, "test_per_region": 40, "tune_train_per_region": 5,
    "tune_test_per_region": 5, "min_distance_km": 5.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write stations in Africa: one task in three folds of how warm they are, and one of crops."""
    folder, rng = tmp_path_factory.mktemp("stations"), np.random.default_rng(0)
    lon, lat = rng.uniform(16, 30, 240), rng.uniform(-12, 8, 240)
    warm = 27 - np.abs(lat) + rng.normal(size=240)
    table = pa.table({"lon": lon, "lat": lat, "warm": warm, "crop": np.where(lat > 0, "a", "b")})
    made = from_table(table, target="warm", units="degC", block_km=200, folds=3, region_layer="all")
    made.write(folder / "warm.parquet")
    from_table(table, "crop").write(folder / "crop.parquet")
    return folder


def study(folder: Path, tables: Path, **change: Any) -> Path:
    """Write a study of a small location encoder on the stations."""
    base = {
        "name": "warm", "title": "How warm", "pool": {"places": 1500}, "composition_size": 150,
        "compositions": {"none": "none", "uniform": "uniform"},
        "tasks": {
            "warm": {
                "kind": "table", "name": "stations", "file": str(tables / "warm.parquet"),
                "target": "warm", "baselines": ["raw-lonlat", "mean"],
            }
        },
        "payloads": {"blue-marble": {"filters": 8}},
        "models": {
            "satclip": {
                "kind": "satclip", "tasks": ["warm"], "degrees": 4, "width": 16, "hidden": 0,
                "pretrain": {"samples_seen": 256, "batch": 64, "lr": 1e-3}, "blocks": 2,
            }
        },
        "n": 30, "finetune_seeds": 3, "heads": {"ridge": {"options": {"alpha": 2.0}}, "mean": {}},
        "headlines": [{"model": "satclip", "head": "ridge", "metric": "rmse"}],
        "equivalence_margins": {"warm": 0.2},
    }  # fmt: skip
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base | change, "scales": {"debug": {}}}))
    return file


def run(steps: Plan, out: Path) -> Store:
    store, threads = Store(out / "store"), torch.get_num_threads()
    torch.set_num_threads(1)
    for stage in steps.stages:
        compute(stage, store, lambda _: None)
    torch.set_num_threads(threads)
    return store


@pytest.mark.slow
def test_numbers_do_not_get_from_a_table_to_a_page(tables: Path, tmp_path: Path) -> None:
    file = study(tmp_path, tables)
    steps = plan(load(file, "debug"))
    store = run(steps, tmp_path)
    rows = [r for r in collect(steps, store, tmp_path).to_pylist() if r["model"] == "raw-lonlat"]
    assert {row["metric"] for row in rows} == {"r2", "rmse"}
    # Every station is predicted once, by a fit on other folds: here all of it with scikit-learn.
    task = Task.read(tables / "warm.parquet")
    made = Task.read(store.folder("task", steps.of_kind("task")[0].key) / "task.parquet")
    drawn, _ = plan_episodes(made, ["all"], 30, range(3))
    place = np.stack([task.lon, task.lat], axis=1).astype(np.float32).astype(np.float64)
    for seed in range(3):
        guess = np.full(len(task), np.nan)
        for one in drawn:
            fit = one.train[seed]
            scaler = StandardScaler().fit(place[fit])
            ridge = Ridge(2.0).fit(scaler.transform(place[fit]), task.label[fit])
            guess[one.test] = ridge.predict(scaler.transform(place[one.test]))
        (ours,) = [r["value"] for r in rows if (r["metric"], r["finetune_seed"]) == ("r2", seed)]
        assert ours == pytest.approx(r2_score(task.label, guess), abs=1e-6)
    _, page = write(steps, store, tmp_path, file)
    html = page.read_text(encoding="utf-8")
    assert "RMSE (degC), lower is better, satclip on stations, ridge head" in html
    assert "equivalent within 0.2 degC" in html
    # A reader is told that scores are of a cross-validation.
    said = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "numbers in degC cross-validation 3 folds" in said
    summary = pa.csv.read_csv(tmp_path / "tables" / "summary.csv").to_pylist()
    means = {(r["model"], r["composition"]): r["mean"] for r in summary if r["metric"] == "rmse"}
    assert means["mean", ""] == pytest.approx(task.label.std(), rel=0.05)


def test_predictions_of_numbers_are_cut_to_whole_ones(tables: Path, tmp_path: Path) -> None:
    steps = plan(load(study(tmp_path, tables), "debug"))
    store = Store(tmp_path / "store")
    (fewshot,) = [s for s in steps.of_kind("fewshot") if s.axes["model"] == "mean"]
    for stage in (*steps.of_kind("pool"), *steps.of_kind("task"), fewshot):
        compute(stage, store, lambda _: None)
    folder = store.folder("fewshot", fewshot.key)
    kept = np.load(folder / "predictions.npz")
    assert kept["all|30"].shape == (3, 240)
    assert kept["all|30"].dtype == np.float64
    assert sorted(kept["all|test"].tolist()) == list(range(240))
    assert set(pq.read_table(folder / "scores.parquet")["metric"].to_pylist()) == {"r2", "rmse"}


def test_a_head_that_changes_its_episodes_changes_those_of_the_next(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = plan(load(study(tmp_path, tables), "debug"))
    (fewshot,) = [s for s in steps.of_kind("fewshot") if s.axes["model"] == "mean"]
    store, real = Store(tmp_path / "store"), Mean.fit_predict

    def rough(head: Mean, x: Any, labels: Any, train: Any, test: Any, seed: Any) -> Any:
        found = real(head, x, labels, train, test, seed)
        train[:] = train[0, 0]
        return found

    monkeypatch.setattr(Mean, "fit_predict", rough)
    for stage in (*steps.of_kind("pool"), *steps.of_kind("task")):
        compute(stage, store, lambda _: None)
    predicted = []
    for _ in range(2):  # as two stages of one worker
        compute(fewshot, store, lambda _: None)
        file = store.folder("fewshot", fewshot.key) / "predictions.npz"
        predicted.append(np.load(file)["all|30"])
        store.drop("fewshot", fewshot.key)
    np.testing.assert_array_equal(*predicted)


CROPS = {"kind": "table", "name": "crops"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {
                "heads": {"logistic": {}, "knn": {}},
                "headlines": [{"model": "satclip", "head": "knn"}],
            },
            "task 'warm' is of numbers, and no head .* from features .knn or logistic.: add ridge",
        ),
        (
            {"heads": {"ridge": {}, "logistic": {}}},
            "head 'logistic' predicts classes, and no task of the study is of them: remove it",
        ),
        (
            {"headlines": [{"model": "satclip", "head": "ridge"}]},
            "first task 'warm', of numbers, and metric 'f1_macro' is of classes: say metric: r2 or",
        ),
        (
            {"headlines": [{"model": "satclip", "head": "ridge", "metric": "rsme"}]},
            "unknown metric 'rsme': did you mean 'rmse'",
        ),
        ({"baselines": ["majority"]}, "baseline 'majority' predicts classes: name 'mean'"),
        ({"target": "warmth"}, "holds 'warm', and the study says target: warmth; make it with"),
        ({"equivalence_margins": {"warn": 1.0}}, "unknown task 'warn': did you mean 'warm'"),
        ({"equivalence_margins": {"warm": 0.0}}, "equivalence_margins.warm"),
        ({"crops": True, "equivalence_margins": {"crops": 1.0}}, "'crops' is of classes, whose"),
        (
            {"crops": True, "headlines": [{"model": "satclip", "head": "knn", "metric": "r2"}]},
            "first task 'warm', of numbers, and head 'knn' predicts classes: name mean or ridge",
        ),
    ],
)
def test_a_study_that_pairs_classes_and_numbers_is_planned(
    change: dict[str, Any], message: str, tables: Path, tmp_path: Path
) -> None:
    base = yaml.safe_load(study(tmp_path, tables).read_text())["base"]
    for field in ("baselines", "target"):
        if field in change:
            base["tasks"]["warm"][field] = change.pop(field)
    if change.pop("crops", False):
        base["tasks"]["crops"] = CROPS | {"file": str(tables / "crop.parquet")}
        base["models"]["satclip"]["tasks"] = ["warm", "crops"]
        base["heads"] |= {"knn": {}, "majority": {}}
    with pytest.raises(WherefromError, match=message) as err:
        plan(load(study(tmp_path, tables, **(base | change)), "debug"))
    assert "\n" not in str(err.value)


def test_a_head_runs_on_a_task_of_the_other_kind(tables: Path, tmp_path: Path) -> None:
    base = yaml.safe_load(study(tmp_path, tables).read_text())["base"]
    base["tasks"]["crops"] = CROPS | {
        "file": str(tables / "crop.parquet"), "baselines": ["raw-lonlat", "majority"],
    }  # fmt: skip
    base["models"]["satclip"]["tasks"] = ["warm", "crops"]
    base["heads"] |= {"knn": {}, "majority": {}}
    steps = plan(load(study(tmp_path, tables, **base), "debug"))
    pairs = {(stage.axes["task"], stage.axes["head"]) for stage in steps.of_kind("fewshot")}
    assert pairs == {
        ("stations", "ridge"), ("stations", "mean"), ("crops", "knn"), ("crops", "majority"),
    }  # fmt: skip
    named = {(stage.axes["model"], stage.axes["task"]) for stage in steps.of_kind("fewshot")}
    assert ("mean", "crops") not in named
    assert ("majority", "stations") not in named


def test_a_head_whose_task_this_machine_lacks_ends_the_study(tables: Path, tmp_path: Path) -> None:
    heads = {"ridge": {}, "knn": {}, "mean": {}}
    made = load(study(tmp_path, tables, heads=heads), "debug")
    with pytest.raises(WherefromError, match="head 'knn' predicts classes, and no task"):
        plan(made)
    assert plan(made.model_copy(update={"left_out": {"tasks.crops": "its data are absent"}}))


def test_a_layer_of_labels_is_planned_as_numbers(tables: Path, tmp_path: Path) -> None:
    base = yaml.safe_load(study(tmp_path, tables).read_text())["base"]
    base["tasks"] = {"warm": {"kind": "values", "layer": "climate_zone"} | SIZES}
    with pytest.raises(WherefromError, match="'climate_zone' holds labels, not values; choose of"):
        plan(load(study(tmp_path, tables, **base), "debug"))


@pytest.mark.parametrize("reader", ["model", "baseline"])
def test_a_layer_is_told_from_itself(reader: str, tables: Path, tmp_path: Path) -> None:
    base = yaml.safe_load(study(tmp_path, tables).read_text())["base"]
    baselines = ["raw-series"] if reader == "baseline" else []
    task = {"kind": "values", "layer": "slope", "baselines": baselines}
    base["tasks"] = {"relief": task | SIZES}
    base["payloads"] = {"blue-marble": {"filters": 8}, "earth-series": {}}
    model = base["models"]["satclip"] | {"tasks": ["relief"]}
    if reader == "model":
        same = {name: model[name] for name in ("tasks", "pretrain", "blocks")}
        model = same | {"kind": "presto"}
    base["models"] = {"satclip": model}
    base["equivalence_margins"] = {}
    who = "models.satclip" if reader == "model" else "tasks.relief: baseline 'raw-series'"
    with pytest.raises(WherefromError, match=f"{who}: labels .*slope.* are made of altitude"):
        plan(load(study(tmp_path, tables, **base), "debug"))
