"""Plans: adding a composition shifts nothing, equal budgets, limits that are counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wherefrom import earth
from wherefrom.errors import WherefromError
from wherefrom.gfms.base import PretrainSpec
from wherefrom.keys import key_of
from wherefrom.part import OfKind
from wherefrom.payload import Payload
from wherefrom.plugins import kinds
from wherefrom.study import Store, Study, collect, load, plan
from wherefrom.study.stage import VERSIONS, Stage
from wherefrom.tasks import Task, plan_episodes
from wherefrom.tasks.base import TaskSpec
from wherefrom.tasks.episode import most_places
from wherefrom.train.heads import head
from wherefrom.train.pretrain import PretrainSettings

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"


@pytest.fixture(scope="module")
def laptop() -> Study:
    """Return the shipped study at laptop scale."""
    return load(STUDY, "laptop")


def test_the_study_knows_other_budgets_than_the_training_room() -> None:
    given = {"samples_seen": 512, "batch": 256, "lr": 0.1}
    assert PretrainSpec(**given).model_dump() == asdict(PretrainSettings(**given, warmup=0))


def test_adding_a_composition_recomputes_the_others(laptop: Study) -> None:
    more = laptop.model_copy(
        update={"compositions": laptop.compositions | {"area": "uniform-area"}}
    )
    before = {stage.key for stage in plan(laptop).stages}
    after = {stage.key for stage in plan(more).stages}
    assert before < after


def test_renaming_a_composition_recomputes_it(laptop: Study) -> None:
    names = {("unif" if k == "uniform" else k): v for k, v in laptop.compositions.items()}
    renamed = laptop.model_copy(update={"compositions": names, "references": ("unif", "none")})
    assert {s.key for s in plan(laptop).stages} == {s.key for s in plan(renamed).stages}


def test_compositions_are_given_unequal_budgets(laptop: Study) -> None:
    steps = plan(laptop)
    for name, spec in laptop.models.items():
        runs = [s for s in steps.of_kind("pretrain") if s.spec["name"] == name]
        budgets = {s.spec["model"]["pretrain"]["samples_seen"] for s in runs}
        assert budgets == {spec.pretrain.samples_seen}
        counts = Counter(s.axes["composition"] for s in runs)
        assert set(counts.values()) == {spec.blocks}, counts


def test_the_same_seed_starts_from_other_weights_in_another_composition(laptop: Study) -> None:
    runs = [s for s in plan(laptop).of_kind("pretrain") if s.spec["name"] == "satclip-L40"]
    by_seed: dict[int, set[str]] = {}
    for stage in runs:
        by_seed.setdefault(stage.spec["seed"], set()).add(str(stage.spec))
    # Everything but the inputs is equal: the composition is the only difference.
    assert all(len(specs) == 1 for specs in by_seed.values())


def test_stages_come_before_what_they_are_made_from(laptop: Study) -> None:
    seen: set[str] = set()
    for stage in plan(laptop).stages:
        assert {other.key for other in stage.inputs.values()} <= seen, stage.label
        seen.add(stage.key)


def test_two_stages_of_different_content_share_a_key(laptop: Study) -> None:
    stages = plan(laptop).stages
    assert len({stage.key for stage in stages}) == len(stages)
    assert len({stage.label for stage in stages}) == len(stages)


def keys_of(study: Study, model: str) -> set[str]:
    """Return the keys of all stages that a model's scores come from."""
    found: set[str] = set()

    def add(stage: Stage) -> None:
        found.add(stage.key)
        for other in stage.inputs.values():
            add(other)

    for stage in plan(study).of_kind("fewshot"):
        if stage.axes["model"] == model:
            add(stage)
    return found


def test_each_model_is_evaluated_on_the_tasks_of_another(laptop: Study) -> None:
    for stage in plan(laptop).of_kind("fewshot"):
        model = laptop.models.get(stage.axes["model"])
        if model is not None:
            assert stage.axes["task"] in [laptop.tasks[key].label for key in model.tasks]
            assert ("series 0" in stage.inputs) == ("series" in model.reads_of_tasks)


@pytest.mark.parametrize(
    ("model", "change"),
    [
        ("satclip-L40", {"dropout": 0.25}),
        ("presto", {"mask_ratio": 0.5}),
        ("presto", {"precision": "bfloat16"}),
        ("presto", {"blocks": 1}),
    ],
)
def test_a_change_of_one_model_recomputes_another(
    laptop: Study, model: str, change: dict[str, object]
) -> None:
    # "fastest" is one of the two, by the processor.
    plain = laptop.models["presto"].model_copy(update={"precision": "float32"})
    laptop = laptop.model_copy(update={"models": laptop.models | {"presto": plain}})
    changed = laptop.models[model].model_copy(update=change)
    other = laptop.model_copy(update={"models": laptop.models | {model: changed}})
    for name in laptop.models:
        before, after = keys_of(laptop, name), keys_of(other, name)
        assert (before == after) == (name != model), name
    if "blocks" in change:
        assert keys_of(other, model) < keys_of(laptop, model)


def test_images_or_series_are_made_that_no_model_reads(laptop: Study) -> None:
    for name, other in (("presto", "satclip-L40"), ("satclip-L40", "presto")):
        spec = laptop.models[name]
        tasks = {
            key: laptop.tasks[key].model_copy(update={"baselines": ("raw-lonlat",)})
            for key in spec.tasks
        }
        alone = laptop.model_copy(update={"models": {name: spec}, "tasks": tasks, "published": {}})
        read = {stage.of.modality for stage in plan(alone).of_kind("payload")}
        assert read
        assert not read & laptop.models[other].reads
        for stage in plan(alone).of_kind("pretrain"):
            assert ("features 0" in stage.inputs) == ("features" in spec.reads)
            assert bool(stage.payloads) == ("series" in spec.reads)


def test_other_series_of_the_same_name_are_served_from_the_cache(
    laptop: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: keys_of(laptop, name) for name in laptop.models}
    real = earth.layer_key
    monkeypatch.setattr(
        earth, "layer_key", lambda name: "another" if name == "slope" else real(name)
    )
    after = {name: keys_of(laptop, name) for name in laptop.models}
    assert {name for name in before if before[name] != after[name]} == {"presto"}


def test_land_cover_is_among_the_inputs_of_the_task_that_asks_for_it(laptop: Study) -> None:
    (series,) = [s for s in plan(laptop).of_kind("payload") if "task" in s.inputs]
    assert series.spec["labelled"] is True
    assert "land_cover" not in series.spec["layers"]
    runs = [s for s in plan(laptop).of_kind("pretrain") if s.spec["name"] == "presto"]
    assert all("land_cover" in run.spec["payloads"][0]["layers"] for run in runs)


def test_no_row_of_the_results_appears_twice(laptop: Study) -> None:
    cells = Counter(
        (*stage.axes.values(), region, n)
        for stage in plan(laptop).of_kind("fewshot")
        for region in (stage.spec["regions"] or ["Africa", "Asia"])
        for n in stage.spec["n"]
    )
    assert max(cells.values()) == 1


def test_every_head_meets_the_trivial_baselines(laptop: Study) -> None:
    axes = [s.axes for s in plan(laptop).of_kind("fewshot")]
    found = {(a["task"], a["model"], a["head"]) for a in axes}
    wanted = {
        "ecoregions": ("raw-lonlat", "raw-harmonics-L10", "raw-harmonics-L40"),
        "cropland": ("raw-lonlat", "raw-harmonics-L10", "raw-series"),
    }
    for key, baselines in wanted.items():
        task = laptop.tasks[key].label
        models = {name for name, spec in laptop.models.items() if key in spec.tasks}
        for name in set(laptop.heads) - {"majority", "finetune"}:
            asked = laptop.heads[name].models
            for baseline in baselines:
                # A head for other tasks' models alone has nothing to be compared with here.
                assert ((task, baseline, name) in found) == (not asked or bool(models & {*asked}))
        assert (task, "majority", "majority") in found


def test_unfinished_results_are_reported_as_whole(laptop: Study, tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="few-shot stages are missing"):
        collect(plan(laptop), Store(tmp_path), tmp_path)


def test_a_change_is_blamed_on_the_wrong_field(laptop: Study, tmp_path: Path) -> None:
    store = Store(tmp_path)
    stage = next(s for s in plan(laptop).of_kind("fewshot") if s.axes["head"] == "knn")
    document = {"label": stage.label, "document": stage.document}
    with store.write(stage.kind, stage.key, document) as out:
        pq.write_table(pa.table({"x": [1]}), out / "scores.parquet")
    assert store.done(stage.kind, stage.key)
    other = plan(laptop.model_copy(update={"finetune_seeds": 7}))
    changed = next(s for s in other.of_kind("fewshot") if s.label == stage.label)
    assert store.changes(changed) == [f"spec.finetune_seeds: {laptop.finetune_seeds} -> 7"]
    assert store.changes(stage) == []
    # A pair of the spec is a list in the store.
    trained = plan(laptop).of_kind("pretrain")[0]
    with store.write("pretrain", "0" * 16, {"label": trained.label, "document": trained.document}):
        pass
    assert store.changes(trained) == []


def test_a_changed_default_is_served_from_the_cache() -> None:
    # A default stands in no study file, hence in no key: whoever changes one raises the version of
    # its stage in VERSIONS and writes both here.
    defaults = {
        "payload": [
            OfKind("payloads", Payload).read({"kind": name}).settings()
            for name in ("blue-marble", "earth-series")
        ],
        "pretrain": asdict(PretrainSettings()),
        "fewshot": [head(name).spec() for name in kinds("heads")],
    }
    assert {kind: (VERSIONS[kind], key_of(made)) for kind, made in defaults.items()} == {
        "payload": (1, "22122902e001fef5"),
        "pretrain": (3, "d0f27edfd65d8880"),
        "fewshot": (3, "4ebb819cd6f6ed02"),
    }


def test_other_images_of_the_same_name_are_served_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in range(1, 13):
        (tmp_path / f"earth_{month:02}.jpg").write_bytes(b"one")
    monkeypatch.setenv("WHEREFROM_DATA", str(tmp_path))

    def keys() -> dict[str, str]:
        return {s.label: s.key for s in plan(load(STUDY, "debug")).of_kind("payload")}

    before = keys()
    (tmp_path / "earth_07.jpg").write_bytes(b"another")
    after = keys()
    changed = {label for label in before if before[label] != after[label]}
    assert changed == {"payload blue-marble of the pool"}


def test_baselines_are_swept_on_tasks_of_models_that_are_not(laptop: Study) -> None:
    assert laptop.sweep is not None
    sweep = laptop.sweep.model_copy(update={"models": ("satclip-L40",)})
    stages = plan(laptop.model_copy(update={"sweep": sweep})).of_kind("fewshot")
    swept = {stage.axes["task"] for stage in stages if stage.spec["regions"] is not None}
    assert swept == {laptop.tasks["ecoregions"].label}


def test_a_sweep_over_the_study_s_own_n_is_an_empty_stage(laptop: Study) -> None:
    assert laptop.sweep is not None
    sweep = laptop.sweep.model_copy(update={"n": (laptop.n,)})
    stages = plan(laptop.model_copy(update={"sweep": sweep})).of_kind("fewshot")
    assert all(stage.spec["n"] for stage in stages)


def test_the_time_of_an_interrupted_call_is_lost(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.spent("plan") == 0
    for call, seconds in (("first", 10.0), ("first", 20.0), ("second", 5.0)):
        store.spend("plan", call, seconds)
    store.spend("another plan", "first", 100.0)
    assert store.spent("plan") == 25.0


def test_what_killed_processes_left_of_a_stage_stays_for_ever(tmp_path: Path) -> None:
    store = Store(tmp_path)
    left = [tmp_path / "pretrain" / ".abc.killed", store.partial("pretrain", "abc")]
    others = [tmp_path / "pretrain" / ".abd.at-work", store.partial("pretrain", "abd")]
    for folder in (*left, *others):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    with store.write("pretrain", "abc", {"label": "x"}) as out:
        (out / "file").touch()
    assert store.done("pretrain", "abc")
    assert not any(folder.exists() for folder in left)
    assert all(folder.exists() for folder in others)


def test_a_changed_list_of_ids_is_served_from_the_cache(laptop: Study, tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    listed = laptop.compositions | {"mine": f"ids:file={file}"}
    study = laptop.model_copy(update={"compositions": listed, "composition_size": 1000})
    with pytest.raises(WherefromError, match=r"ids.txt: no such file .*'mine'"):
        plan(study)
    file.write_text("\n".join(["id", *map(str, range(1000))]))
    before = {s.key for s in plan(study).of_kind("draw") if s.label.startswith("draw mine")}
    file.write_text("\n".join(["id", *map(str, range(1, 1001))]))
    after = {s.key for s in plan(study).of_kind("draw") if s.label.startswith("draw mine")}
    # One list is one draw, however many the models ask for.
    assert len(before) == len(after) == 1
    assert before != after


def test_what_a_run_refuses_in_the_end_is_planned(laptop: Study, tmp_path: Path) -> None:
    list_ = tmp_path / "mine.csv"
    list_.write_text("id\n" + "\n".join(map(str, range(300))))
    first, *others = laptop.headlines
    positive = first.model_copy(update={"metric": "f1_positive"})
    refused: dict[str, dict[str, object]] = {
        r"n = 6,000: task 'ecoregions': each region has 5,500 .*: take a smaller n": {"n": 6000},
        r"of which none is the positive one, .*: say metric: f1_macro or": {
            "headlines": (positive, *others)
        },
        r"composition 'uniform': n = 10,000 is larger than the pool": {
            "pool": laptop.pool.model_copy(update={"places": 9000})
        },
        r"'mine' \('ids:.*'\) lists 300 places, fewer than the batch = 512 of model 'satclip-L": {
            "compositions": laptop.compositions | {"mine": f"ids:file={list_}"},
            "composition_size": 300,
        },
        r"lists 300 places, and the others have 10,000: say composition_size: 300, or": {
            "compositions": laptop.compositions | {"mine": f"ids:file={list_}"}
        },
    }
    for said, change in refused.items():
        with pytest.raises(WherefromError, match=said):
            plan(laptop.model_copy(update=change))


def test_more_labels_than_any_region_of_a_table_has_are_planned(
    laptop: Study, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    sizes = {"Kenya": 40, "Togo": 90}
    places = sum(sizes.values())
    region = np.repeat([0, 1], [*sizes.values()])
    made = Task("mine", rng.uniform(0, 9, places), rng.uniform(0, 9, places), np.arange(places) % 3,
                ("a", "b", "c"), region, tuple(sizes), np.arange(places) % 2, "crop")  # fmt: skip
    made.write(tmp_path / "mine.parquet")
    spec = OfKind("tasks", TaskSpec).read(
        {"kind": "table", "name": "mine", "file": str(tmp_path / "mine.parquet")}
    )
    assert laptop.sweep is not None
    study = laptop.model_copy(
        update={"tasks": laptop.tasks | {"ecoregions": spec}, "published": {}}
    )
    with pytest.raises(
        WherefromError,
        match=r"sweep.region: task 'ecoregions': unknown region .*Known: Kenya, Togo",
    ):
        plan(study)
    study = study.model_copy(update={"sweep": None})
    with pytest.raises(
        WherefromError, match=r"n = 100: .*'ecoregions': no region .* more than 45 .* \(in Togo\)"
    ):
        plan(study)
    study = study.model_copy(update={"n": 45})
    assert {s.axes["task"] for s in plan(study).of_kind("fewshot")} >= {"mine"}
    assert most_places(made) == {"Kenya": 20, "Togo": 45}
    one_class = replace(made, label=np.where(region == 1, 0, made.label))
    one_test = replace(made, split=np.where(region == 1, 0, made.split))
    folds = replace(made, split=np.arange(places) % 3, folds=3)
    for task, most in ((made, 45), (one_class, 0), (one_test, 0), (folds, 60)):
        known = most_places(task)["Togo"]
        assert known == most
        for n in (max(1, most), most + 1):
            drawn, _ = plan_episodes(task, ["Togo"], n, [0])
            assert bool(drawn) == (n <= most)
