"""A study keeps its places away from test places, and its report says where they lie."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import yaml

from wherefrom.compose import Composition, drawn
from wherefrom.compose.exclusion import Exclusion, candidates, drawn_apart
from wherefrom.earth.sphere import distance_km, nearest_km
from wherefrom.errors import WherefromError
from wherefrom.evidence.nearness import Nearness, Reader, distances
from wherefrom.evidence.recut import ALL_PLACES
from wherefrom.pool import Pool
from wherefrom.report.study import write
from wherefrom.report.where import said
from wherefrom.study import Plan, Stage, Store, load, plan
from wherefrom.study.predictions import PREDICTIONS
from wherefrom.study.stages import PROBLEMS, SCORES, compute
from wherefrom.tasks import Task
from wherefrom.tasks.labelled import TASK

SEEDS = 4


def study(folder: Path, **change: Any) -> Path:
    """Write a study of one small model in three blocks."""
    ids = folder / "ids.txt"
    ids.write_text("\n".join(["id", *map(str, range(100))]))
    sizes = {"train_per_region": 20, "test_per_region": 30}
    sizes |= {"tune_train_per_region": 2, "tune_test_per_region": 2, "min_distance_km": 5.0}
    task = {"kind": "cropland", "region_layer": "continent", "baselines": ["majority"]}
    model = {
        "kind": "satclip", "tasks": ["cropland"], "degrees": 4, "width": 16, "hidden": 0,
        "pretrain": {"samples_seen": 256, "batch": 64, "lr": 1e-3}, "blocks": 3,
    }  # fmt: skip
    base = {
        "name": "apart", "title": "Apart", "pool": {"places": 2000}, "composition_size": 100,
        "compositions": {
            "none": "none", "uniform": "uniform", "area": "uniform-area",
            "europe": "only:layer=continent,label=Europe",
        },
        "tasks": {"cropland": task | sizes},
        "models": {"small": model},
        "n": 10, "finetune_seeds": SEEDS,
        "heads": {"logistic": {}, "majority": {}},
        "headlines": [{"model": "small", "head": "logistic"}],
    }  # fmt: skip
    file = folder / "study.yaml"
    content = {"base": base | change, "scales": {"debug": {}}}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def keys(steps: Plan, kind: str) -> dict[str, str]:
    return {stage.label: stage.key for stage in steps.of_kind(kind)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for the module."""
    return tmp_path_factory.mktemp("apart")


@pytest.fixture(scope="module")
def steps(folder: Path) -> Plan:
    """Plan the study."""
    return plan(load(study(folder), "debug"))


@pytest.fixture(scope="module")
def store(folder: Path, steps: Plan) -> Store:
    """Finish the study; right predictions are likelier near a pre-training place, as planted."""
    kept = Store(folder / "store")
    for stage in steps.stages:
        if stage.kind in ("pool", "task", "draw"):
            compute(stage, kept, lambda _: None)
        elif stage.kind == "fewshot":
            predicted(stage, kept)
    return kept


def predicted(stage: Stage, store: Store) -> None:
    """Write predictions and scores of a few-shot stage."""
    task = Task.read(store.sound(stage.inputs["task"]) / TASK)
    rng = np.random.default_rng(stage.axes["block"] + 1)
    p = np.full(len(task), 0.5)
    if stage.axes["composition"] not in ("", "none"):
        draw = stage.inputs["pretrain"].inputs["draw"]
        (pool,) = (Pool.read(path) for path in store.root.glob("pool/*/pool.parquet"))
        rows = pool.take(Composition.read(store.sound(draw) / "composition.parquet").ids)
        km = nearest_km(task.lon, task.lat, pool.lon[rows], pool.lat[rows])
        p = np.clip(0.9 - 0.3 * np.log10(np.maximum(km, 1.0) / 100), 0.05, 0.95)
    held: dict[str, Any] = {}
    rows_of: list[dict[str, Any]] = []
    for region in task.regions:
        test = task.rows(region, "test")
        right = rng.random((SEEDS, len(test))) < p[test]
        told = np.where(right, task.label[test], 1 - task.label[test])
        held |= {f"{region}|10": told, f"{region}|test": test}
        rows_of += [
            {"region": region, "n": 10, "finetune_seed": seed, "metric": metric, "value": value}
            for seed, value in enumerate(right.mean(axis=1).tolist())
            for metric in ("f1_macro", "accuracy")
        ]
    document = {"label": stage.label, "document": stage.document}
    with store.write(stage.kind, stage.key, document) as out:
        np.savez_compressed(out / PREDICTIONS, **held)
        pq.write_table(pa.Table.from_pylist(rows_of, SCORES), out / "scores.parquet")
        (out / PROBLEMS).write_text("", encoding="utf-8")


@pytest.fixture(scope="module")
def near(steps: Plan, store: Store) -> Nearness:
    """Read the headline."""
    found = Reader(steps, store).nearness("small", "cropland", 10, "logistic", "uniform")
    assert found is not None
    return found


def test_keys_of_draws_change_where_nothing_is_excluded(folder: Path, steps: Plan) -> None:
    for stage in steps.of_kind("draw"):
        assert "exclude_km" not in stage.spec
        assert list(stage.inputs) == ["pool"]
    apart = plan(load(study(folder, exclude_km=50), "debug"))
    study(folder)
    assert keys(apart, "pool") == keys(steps, "pool")
    assert keys(apart, "task") == keys(steps, "task")  # tasks first, then draws
    one, other = keys(apart, "draw"), keys(steps, "draw")
    assert one.pop("draw none 0") == other.pop("draw none 0")
    assert not set(one.values()) & set(other.values())
    assert plan(load(study(folder, exclude_km=500), "debug")).key != apart.key
    study(folder)


@pytest.mark.parametrize("wrong", [0, -5, "far", 1e9])
def test_a_distance_that_is_none_is_taken(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(WherefromError, match=r"exclude_km: "):
        load(study(tmp_path, exclude_km=wrong), "debug")


def test_a_place_near_a_test_place_is_drawn(tmp_path: Path, store: Store) -> None:
    steps = plan(load(study(tmp_path, exclude_km=200), "debug"))
    draws = [stage for stage in steps.of_kind("draw") if stage.axes["draw"] == 0]
    for stage in draws:
        compute(stage, store, lambda _: None)
    pool = Pool.read(store.sound(steps.of_kind("pool")[0]) / "pool.parquet")
    task = Task.read(store.sound(steps.of_kind("task")[0]) / TASK)
    assert task.tested.sum() == 180
    for stage in draws:
        made = Composition.read(store.sound(stage) / "composition.parquet")
        if stage.of.empty:
            assert "excluded" not in made.provenance
            continue
        rows = pool.take(made.ids)
        km = distance_km(
            pool.lon[rows][:, None],
            pool.lat[rows][:, None],
            task.lon[task.tested],
            task.lat[task.tested],
        )
        assert km.min() >= 200
        assert made.size == 100  # what is excluded is replaced
        card = json.loads((store.sound(stage) / "composition.card.json").read_text())
        gone = card["excluded"]
        assert gone["km"] == 200
        assert gone["away_from"] == 180
        around = Exclusion.around(task.lon[task.tested], task.lat[task.tested], 200)
        left, counts = candidates(pool, [around])
        assert gone["candidates"] == len(pool) - len(left) == counts[0] > 0
        assert card["pool"]["places"] == len(pool)


def test_a_stratum_that_exclusion_empties_is_filled_in_silence() -> None:
    use = ["a"] * 10 + ["b"] * 10
    pool = Pool.from_table(
        pa.table({"lon": [*range(10), *range(50, 60)], "lat": [0.0] * 20, "use": use})
    )
    where = [Exclusion.around([5.0], [0.0], 1000.0)]
    with pytest.raises(WherefromError, match=r"of 20 candidates 10 were excluded, nearer"):
        drawn_apart(pool, "only:layer=use,label=a", 3, 0, where)
    listed = drawn_apart(pool, "stratified:layer=use", 4, 0, where).provenance
    assert listed["labels_without_place"] == ["a"]
    assert listed["excluded"]["candidates"] == 10
    with pytest.raises(WherefromError, match="all 20 places of the pool are nearer than 9000 km"):
        drawn_apart(pool, "uniform", 3, 0, [Exclusion.around([5.0], [0.0], 9000.0)])
    with pytest.raises(WherefromError, match="0 km away: give a distance above 0"):
        Exclusion.around([5.0], [0.0], 0.0)
    assert drawn_apart(pool, "none", None, 0, where).size == 0
    far = [Exclusion.around([180.0], [0.0], 5.0)]
    same = drawn_apart(pool, "uniform", 6, 1, far)
    assert same.ids.tolist() == drawn(pool, "uniform", 6, 1).ids.tolist()


def test_the_planted_law_is_not_found(near: Nearness) -> None:
    law = near.law()
    assert law is not None
    assert law.low is not None
    assert law.high is not None
    assert law.low < -0.25 < law.high < 0
    assert near.left_out == ["none: it has no places"]
    assert near.regions[0] == ALL_PLACES
    assert len(near.regions) == 7
    assert {row.composition for row in near.effects} == {"uniform", "area", "europe"}
    europe = next(row for row in near.effects if row.composition == "europe")
    assert europe.region == ALL_PLACES
    kinds = {statement.kind for statement in said(near)}
    assert "decided" in kinds
    text = " ".join(statement.text for statement in said(near))
    assert "Distance matters: ten times as far" in text
    assert "Without distance: none: it has no places" in text


def test_distances_are_of_another_composition_or_region(near: Nearness) -> None:
    rows = {(row.composition, row.region): row for row in near.distances}
    assert rows["europe", "Europe"].median_km < rows["uniform", "Europe"].median_km
    assert rows["europe", "Oceania"].within_500_km == 0
    row = rows["uniform", ALL_PLACES]
    assert row.p10_km <= row.median_km <= row.p90_km
    assert row.test_places == 180
    assert row.blocks == 3


def test_distances_at_an_edge_count_as_nearer() -> None:
    summed = distances(np.array([[0.0, 5.0], [50.0, 499.9]]))
    assert [summed[f"within_{edge}_km"] for edge in (5, 50, 500)] == [0.25, 0.5, 1.0]


def test_the_page_lacks_tables_figure_or_sentences(
    folder: Path, steps: Plan, store: Store, tmp_path: Path
) -> None:
    _, page = write(steps, store, tmp_path, folder / "study.yaml")
    html = page.read_text(encoding="utf-8")
    section = html[html.index('<section id="where">') :]
    section = section[: section.index("</section>")]
    for text in (
        "distance of test places to the nearest pre-training place, small on cropland",
        "difference to uniform in points of accuracy",
        "change for ten times the distance",
        "Scores against distance: small on cropland",
        "they count as 1 km in the law",
        "With the distances of uniform, difference to it",
    ):
        assert text in section, text
    rows = pc.read_csv(tmp_path / "tables" / "distances.csv").to_pylist()
    assert len(rows) == 3 * 7
    assert {"distance_law", "distance_effects", "distance_curves"} <= {
        file.stem for file in (tmp_path / "tables").glob("*.csv")
    }
    known = json.loads((tmp_path / "tables" / "report.json").read_text())
    assert len(known["distances"]) == 21


def test_a_report_is_lost_with_its_predictions(
    folder: Path, steps: Plan, store: Store, tmp_path: Path
) -> None:
    stage = next(s for s in steps.of_kind("fewshot") if s.axes["composition"] == "uniform")
    file = store.folder(stage.kind, stage.key) / PREDICTIONS
    kept = file.read_bytes()
    document = {"label": stage.label, "document": stage.document}
    scores = (file.parent / "scores.parquet").read_bytes()
    store.drop(stage.kind, stage.key)
    try:
        with store.write(stage.kind, stage.key, document) as out:
            (out / "scores.parquet").write_bytes(scores)
            (out / PROBLEMS).write_text("", encoding="utf-8")
        html = write(steps, store, tmp_path, folder / "study.yaml")[1].read_text(encoding="utf-8")
        assert '<section id="where">' not in html
        assert "Not evaluated: distances of small on cropland: " in html
    finally:
        store.drop(stage.kind, stage.key)
        with store.write(stage.kind, stage.key, document) as out:
            (out / PREDICTIONS).write_bytes(kept)
            (out / "scores.parquet").write_bytes(scores)
            (out / PROBLEMS).write_text("", encoding="utf-8")


def test_a_composition_without_overlap_is_moved_nearer(near: Nearness) -> None:
    assert all(
        row.at_equal_distance is None
        for row in near.effects
        if (row.composition, row.region) == ("europe", "Oceania")
    )
    change = {"overlap": 0.09, "at_equal_distance": None, "equal_low": None, "equal_high": None}
    effects = [
        replace(row, **change) if row.composition == "europe" else row for row in near.effects
    ]
    (text,) = (
        statement.text
        for statement in said(replace(near, effects=effects))
        if "cannot be told apart" in statement.text
    )
    assert "told apart for europe (9% in common): too few of its test places lie at" in text


def test_one_block_is_said_to_show_what_distance_does(near: Nearness) -> None:
    (law,) = (row for row in near.laws if row.region == ALL_PLACES)
    gone = {"slope": None, "low": None, "high": None, "log_odds": None, "note": "single block"}
    one = replace(near, laws=[replace(law, **gone)])
    first, *others = said(one)
    assert first.kind == "undecided"
    assert "there is one block, hence no second draw" in first.text
    assert not any("cannot be told apart" in statement.text for statement in others)
