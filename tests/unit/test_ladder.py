"""A ladder of tasks on the same places, a sweep whose seeds fall, and a head for many classes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.linear_model import RidgeClassifier as Theirs
from sklearn.preprocessing import StandardScaler

from wherefrom.errors import WherefromError
from wherefrom.gfms import engine
from wherefrom.gfms.places import TaskData
from wherefrom.pool import Pool
from wherefrom.study import load, plan
from wherefrom.tasks import Task, cropland, ecoregions, episodes
from wherefrom.tasks.base import PlacedSpec
from wherefrom.tasks.cropland import Cropland
from wherefrom.tasks.ecoregion import Ecoregions
from wherefrom.tasks.labelled import TASK
from wherefrom.train.heads import head

RUNGS = ("cropland", "climate_zone", "land_cover")
SIZES: dict[str, Any] = {
    "train_per_region": 300, "test_per_region": 80, "tuning_per_region": (60, 60),
}  # fmt: skip
SEED = np.random.SeedSequence(0)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.build(3000, seed=1)


@pytest.fixture(scope="module")
def rungs(pool: Pool) -> list[Task]:
    same = SIZES | {"region_layer": "land", "ladder": RUNGS}
    return [cropland(pool, **same), *(ecoregions(pool, layer, **same) for layer in RUNGS[1:])]


def test_tasks_of_a_ladder_have_other_places(pool: Pool, rungs: list[Task]) -> None:
    first = rungs[0]
    assert first.regions == ("land",)
    for other in rungs[1:]:
        for column in ("lon", "lat", "split", "region"):
            assert np.array_equal(getattr(first, column), getattr(other, column)), column
        assert first.where == other.where
        assert first.key != other.key
    # A control: without a ladder, each layer has places of its own.
    alone = [ecoregions(pool, layer, "land", **SIZES) for layer in RUNGS[1:]]
    assert alone[0].where != alone[1].where != first.where


def test_a_ladder_that_lacks_what_is_told_or_holds_numbers_is_drawn(pool: Pool) -> None:
    with pytest.raises(WherefromError, match="its ladder lacks 'land_cover', which it tells: add"):
        ecoregions(pool, "land_cover", **SIZES, ladder=RUNGS[:2])
    with pytest.raises(WherefromError, match="ladder: layer 'elevation' holds values, not labels"):
        ecoregions(pool, "land_cover", **SIZES, ladder=("land_cover", "elevation"))


FIELDS: dict[str, Any] = {
    "region_layer": "land", "train_per_region": 300, "test_per_region": 80,
    "tune_train_per_region": 60, "tune_test_per_region": 60, "min_distance_km": 5.0,
}  # fmt: skip


def test_a_ladder_changes_the_keys_of_tasks_that_have_none() -> None:
    spec = Ecoregions(kind="ecoregions", layer="climate_zone", **FIELDS)
    assert "ladder" not in spec.settings()
    assert spec.layers == ("climate_zone", "land")
    long = spec.model_copy(update={"ladder": RUNGS})
    assert long.settings()["ladder"] == RUNGS
    assert set(long.layers) == {*RUNGS, "land"}
    assert long.renamed({"land_cover": "biome"}).ladder == ("cropland", "climate_zone", "biome")
    assert Cropland(kind="cropland", **FIELDS, ladder=RUNGS).layers == (
        "cropland", "land", "climate_zone", "land_cover",
    )  # fmt: skip
    spec_of: type[PlacedSpec] = Ecoregions
    with pytest.raises(ValueError, match="lacks 'biome', which it tells"):
        spec_of.model_validate(FIELDS | {"kind": "ecoregions", "ladder": RUNGS})
    with pytest.raises(ValueError, match="a layer occurs twice"):
        spec_of.model_validate(
            FIELDS | {"kind": "ecoregions", "layer": "biome", "ladder": ["biome", "biome"]}
        )


def test_a_larger_episode_or_the_test_changes_with_n(rungs: list[Task]) -> None:
    few, all_of_them = (episodes(rungs[2], "land", n, range(3)) for n in (100, 300))
    assert np.array_equal(few.test, all_of_them.test)
    assert np.array_equal(few.train, all_of_them.train[:, :100])
    # At the full size every seed has the same places: nothing is left to chance.
    assert len({tuple(sorted(row)) for row in all_of_them.train}) == 1


def study(folder: Path, sweep: dict[str, Any], tasks: dict[str, Any] | None = None) -> Path:
    """Write a study of a ladder of two, and its sweep."""
    rungs = ["cropland", "climate_zone"]
    place = FIELDS | {"ladder": rungs}
    every = {
        "cropland": {"kind": "cropland"} | place,
        "zone": {"kind": "ecoregions", "layer": "climate_zone"} | place,
    }
    for name, change in (tasks or {}).items():
        every[name] |= change
    model = {
        "kind": "satclip", "tasks": list(every), "degrees": 10, "width": 8, "hidden": 1,
        "blocks": 2, "pretrain": {"samples_seen": 128, "batch": 64, "lr": 1e-3, "warmup": 1},
    }  # fmt: skip
    base = {
        "name": "ladder", "title": "Ladder", "pool": {"places": 1500}, "composition_size": 100,
        "compositions": {"none": "none", "uniform": "uniform", "cities": "clustered:around=cities"},
        "tasks": every, "models": {"small": model}, "n": 20, "finetune_seeds": 5,
        "heads": {"ridge-classifier": {}, "knn": {}},
        "sweep": {"region": "land", "n": [20, 50, 100, 300], "heads": ["knn"],
                  "finetune_seeds": 5} | sweep,
        "headlines": [{"model": "small", "head": "knn"}],
    }  # fmt: skip
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base, "scales": {"debug": {}}}, sort_keys=False))
    return file


def test_seeds_do_not_fall_with_n_or_a_sweep_without_them_gets_another_key(tmp_path: Path) -> None:
    def jobs(sweep: dict[str, Any]) -> list[tuple[str, list[int], int]]:
        return [
            (stage.label.partition(" knn")[2], stage.spec["n"], stage.spec["finetune_seeds"])
            for stage in plan(load(study(tmp_path, sweep), "debug")).of_kind("fewshot")
            if stage.axes["head"] == "knn"
        ][:3]

    plain, falling = jobs({}), jobs({"seeds_at": {100: 3, 300: 2}})
    assert plain[:2] == [("", [20], 5), (" sweep", [50, 100, 300], 5)]
    assert falling == [
        ("", [20], 5), (" sweep", [50], 5), (" sweep of 3 seeds", [100], 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sweep", "tasks", "message"),
    [
        ({"n": [20, 500]}, {}, r"sweep.n: 500 labelled places, and task 'cropland' has 300 a regi"),
        ({"n": [50, 20]}, {}, r"sweep: n: 20 stands after 50: list it in ascending order"),
        ({"n": [50, 50]}, {}, r"sweep.n: a value occurs twice"),
        ({"seeds_at": {60: 2}}, {}, r"seeds_at: 60 is no n of the sweep: \[20, 50, 100, 300\]"),
        ({"seeds_at": {100: 5}}, {}, r"seeds_at: 5 fine-tune seeds after 5: with more places"),
        ({"seeds_at": {100: 1}}, {}, r"sweep.seeds_at.100: Input should be greater than 1"),
        ({"region": "Asia"}, {}, r"unknown region 'Asia'"),
        ({"heads": ["ridge"]}, {}, r"unknown head 'ridge'"),
        ({}, {"zone": {"seed": 1}}, r"tasks 'cropland' and 'zone' have a ladder each, and other "
                                    r"places, by seed: give both the same"),
        ({}, {"zone": {"ladder": ["climate_zone", "cropland"]}}, r"other places, by ladder"),
        ({}, {"zone": {"ladder": ["cropland"]}}, r"lacks 'climate_zone', which it tells: add it"),
    ],
)  # fmt: skip
def test_a_faulty_ladder_or_sweep_is_run(
    tmp_path: Path, sweep: dict[str, Any], tasks: dict[str, Any], message: str
) -> None:
    with pytest.raises(WherefromError, match=message):
        load(study(tmp_path, sweep, tasks), "debug")


@pytest.mark.parametrize(("n", "classes", "alpha"), [(60, 30, 1.0), (60, 2, 0.1), (12, 5, 10.0)])
def test_ridge_classifier_differs_from_scikit_learn(n: int, classes: int, alpha: float) -> None:
    rng = np.random.default_rng(2)
    x = (rng.normal(size=(400, 20)) @ rng.normal(size=(20, 20)) + 30).astype(np.float32)
    label = rng.permutation(100)[:classes][(x[:, 0] * 3).astype(int) % classes]
    train = np.stack([rng.permutation(200)[:n] for _ in range(3)])
    test = np.arange(200, 400)
    ours = head("ridge-classifier", alpha=alpha).fit_predict(x, label, train, test, SEED)
    for rows, guess in zip(train, ours, strict=True):
        scaler = StandardScaler().fit(x[rows].astype(np.float64))
        model = Theirs(alpha=alpha).fit(scaler.transform(x[rows].astype(np.float64)), label[rows])
        assert np.array_equal(guess, model.predict(scaler.transform(x[test].astype(np.float64))))


def test_a_class_that_a_seed_has_not_seen_is_predicted_by_ridge() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    label = np.arange(60) % 3
    train = np.stack([np.flatnonzero(label != 2)[:20], np.flatnonzero(label != 0)[:20]])
    found = head("ridge-classifier").fit_predict(x, label, train, np.arange(60), SEED)
    assert set(found[0]) <= {0, 1}
    assert set(found[1]) <= {1, 2}
    with pytest.raises(WherefromError, match="alpha must be positive, not 0"):
        head("ridge-classifier", alpha=0.0)


@pytest.mark.parametrize(("reads", "times"), [((), 1), (("series",), 3)])
def test_rungs_are_embedded_again_or_share_what_is_read_of_each(
    rungs: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: Any, times: int
) -> None:
    made = []
    for name, answer in (
        ("_read", lambda *_: (None, None)),
        ("embed", lambda *_, **__: made.append(1) or np.ones((50, 4), np.float32)),
    ):
        monkeypatch.setattr(engine, name, answer)
    monkeypatch.setattr(engine, "_KEPT", {})
    gfm = SimpleNamespace(
        reads_of_tasks=frozenset(reads), records_of_task=lambda _: {}, embed_batch=1
    )
    for number, task in enumerate(rungs):
        task.write(tmp_path / f"{number}" / TASK)
        data = TaskData(tmp_path / f"{number}")
        found = engine.embedded(gfm, tmp_path, data, np.arange(50))  # type: ignore[arg-type]
        assert np.isfinite(found[:50]).all()
    assert len(made) == times
