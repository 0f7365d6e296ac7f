"""The size axis: what it draws and trains on, what it leaves alone, and what it refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import yaml

from wherefrom.compose import Composition
from wherefrom.errors import WherefromError
from wherefrom.progress import Screen
from wherefrom.report.exchanged import exchanged
from wherefrom.report.plan import render
from wherefrom.report.study import write
from wherefrom.study import Plan, Stage, Store, load, plan
from wherefrom.study.predictions import PREDICTIONS
from wherefrom.study.results import SCHEMA, SIZED, at_sizes, unfinished
from wherefrom.study.stages import PROBLEMS, SCORES, compute
from wherefrom.study.tuning import tuning_plan
from wherefrom.tasks import Task
from wherefrom.tasks.labelled import TASK

SEEDS, BLOCKS = 4, 3
SIZES = {"places": [100, 300, 900], "blocks": 2}
#: True scores at each size, of compositions that the model pre-trains on.
MEANS = {
    "uniform": {100: 0.60, 300: 0.70, 900: 0.75},
    "area": {100: 0.50, 300: 0.60, 900: 0.80},
    "none": {0: 0.50},
    "": {0: 0.40},
}


def study(folder: Path, **change: Any) -> Path:
    """Write a study of two small models, one of them with a headline."""
    ids = folder / "ids.txt"
    ids.write_text("\n".join(["id", *map(str, range(300))]))  # as they are
    own = {"train_per_region": 20, "test_per_region": 30}
    own |= {"tune_train_per_region": 2, "tune_test_per_region": 2, "min_distance_km": 5.0}
    task = {"kind": "cropland", "region_layer": "continent", "baselines": ["majority"]}
    model = {
        "kind": "satclip", "tasks": ["cropland"], "degrees": 4, "width": 16, "hidden": 0,
        "pretrain": {"samples_seen": 640, "batch": 64, "lr": 1e-3, "warmup": 5}, "blocks": BLOCKS,
    }  # fmt: skip
    base = {
        "name": "sizes", "title": "Sizes", "pool": {"places": 2000}, "composition_size": 300,
        "compositions": {
            "none": "none", "uniform": "uniform", "area": "uniform-area", "mine": f"ids:file={ids}",
        },
        "tasks": {"cropland": task | own},
        "models": {"small": model, "other": model},
        "n": 10, "finetune_seeds": SEEDS,
        "heads": {"logistic": {"grid": {"C": [1, 10]}}, "knn": {}, "majority": {}},
        "sweep": {"region": "Africa", "n": [15], "heads": ["logistic"], "finetune_seeds": 2},
        "sizes": SIZES,
        "headlines": [{"model": "small", "head": "logistic"}],
    }  # fmt: skip
    file = folder / "study.yaml"
    file.write_text(
        yaml.safe_dump({"base": base | change, "scales": {"debug": {}}}, sort_keys=False)
    )
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the study."""
    return study(tmp_path_factory.mktemp("sizes"))


@pytest.fixture(scope="module")
def steps(file: Path) -> Plan:
    """Plan it."""
    return plan(load(file, "debug"))


@pytest.fixture(scope="module")
def store(file: Path, steps: Plan) -> Store:
    """Finish it, with scores as planted in the place of trained ones."""
    kept = Store(file.parent / "store")
    for stage in steps.stages:
        if stage.kind in ("pool", "task", "draw"):
            compute(stage, kept, lambda _: None)
        elif stage.kind == "fewshot" and stage.axes["model"] != "other":
            predicted(stage, kept)
    return kept


def predicted(stage: Stage, store: Store) -> None:
    """Write predictions and scores of a few-shot stage."""
    task = Task.read(store.sound(stage.inputs["task"]) / TASK)
    name, block = stage.axes["composition"], stage.axes["block"]
    means = MEANS.get(name, MEANS["uniform"])
    places = stage.size.places if stage.size else 300
    mean = means.get(places, next(iter(means.values())))
    rng = np.random.default_rng((block + 1, places, len(name)))
    held: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for region in stage.spec["regions"] or task.regions:
        test = task.rows(region, "test")
        told = rng.integers(0, 2, (stage.spec["finetune_seeds"], len(test)))
        for n in stage.spec["n"]:
            held |= {f"{region}|{n}": told, f"{region}|test": test}
            rows += [
                {"region": region, "n": n, "finetune_seed": seed, "metric": metric,
                 "value": mean + 0.001 * rng.normal()}
                for seed in range(len(told)) for metric in ("f1_macro", "accuracy")
            ]  # fmt: skip
    document = {"label": stage.label, "document": stage.document}
    with store.write(stage.kind, stage.key, document) as out:
        np.savez_compressed(out / PREDICTIONS, **held)
        pq.write_table(pa.Table.from_pylist(rows, SCORES), out / "scores.parquet")
        (out / PROBLEMS).write_text("", encoding="utf-8")


def test_other_sizes_change_what_the_study_is_without(steps: Plan) -> None:
    without = plan(steps.study.model_copy(update={"sizes": None}))
    kinds = ("pool", "task", "payload", "draw", "pretrain", "fewshot")
    for kind in kinds:
        own = [(stage.label, stage.key) for stage in steps.of_kind(kind)]
        assert own == [(stage.label, stage.key) for stage in without.of_kind(kind)]
    assert not without.sized("draw")
    every = sum(len(steps.of_kind(kind)) + len(steps.sized(kind)) for kind in kinds)
    assert every == len(steps.stages)
    tuned = [stage.key for stage in tuning_plan(steps.study).stages]
    assert tuned == [stage.key for stage in tuning_plan(without.study).stages]


def test_a_size_is_of_other_models_compositions_blocks_or_heads(steps: Plan) -> None:
    runs = steps.sized("pretrain")
    assert {(s.axes["model"], s.axes["block"]) for s in runs} == {("small", 0), ("small", 1)}
    # `mine` lists its places, and `none` has none.
    assert {s.axes["composition"] for s in runs} == {"uniform", "area"}
    sizes = {s.size for s in runs}
    assert sizes == {(p, b) for p in (100, 900) for b in ("samples", "epochs")}
    assert {s.axes["head"] for s in steps.sized("fewshot")} == {"logistic"}
    assert {tuple(s.spec["n"]) for s in steps.sized("fewshot")} == {(10,)}
    labels = [stage.label for stage in steps.stages]
    assert len(set(labels)) == len(labels)
    assert "pretrain small area block 1 (900 places, equal epochs)" in labels


def test_equal_epochs_are_not_equal_or_samples_are_not(steps: Plan) -> None:
    seen = {s.size: s.of.pretrain for s in steps.sized("pretrain")}
    assert {size: one.samples_seen for size, one in seen.items()} == {
        (100, "samples"): 640, (900, "samples"): 640, (100, "epochs"): 192, (900, "epochs"): 1920,
    }  # fmt: skip
    # 640 / 3 in whole batches of 64, and the warm-up with it: 5 of 10 steps are 2 of 3.
    assert {size: one.warmup for size, one in seen.items() if size.budget == "epochs"} == {
        (100, "epochs"): 2, (900, "epochs"): 15,
    }  # fmt: skip


def test_a_smaller_draw_is_a_part_of_a_larger_one(steps: Plan, store: Store) -> None:
    """They are draws of their own: a shared stream would make them alike."""
    ids = {}
    for stage in [*steps.of_kind("draw"), *steps.sized("draw")]:
        if stage.axes["composition"] == "uniform":
            made = Composition.read(store.sound(stage) / "composition.parquet")
            places = stage.size.places if stage.size else 300
            assert made.size == places
            ids[places, stage.axes["draw"]] = set(made.ids.tolist())
    assert set(ids) == {(100, 0), (100, 1), (300, 0), (300, 1), (300, 2), (900, 0), (900, 1)}
    assert len(ids[100, 0] & ids[300, 0]) < 40  # of 100; 15 are expected
    assert len(ids[300, 0] & ids[900, 0]) < 200  # of 300; 135 are expected
    assert len(ids[100, 0] & ids[100, 1]) < 30


def test_scores_of_other_sizes_flood_the_results(
    steps: Plan, store: Store, file: Path, tmp_path: Path
) -> None:
    _, page = write(steps, store, tmp_path, file)
    results = pq.read_table(tmp_path / "results.parquet")
    assert results.schema.names == SCHEMA.names
    runs = results.select(["model", "composition", "block", "region", "n", "head",
                           "finetune_seed", "metric"]).to_pylist()  # fmt: skip
    assert len({tuple(row.values()) for row in runs}) == len(runs)
    table = pq.read_table(tmp_path / "sizes.parquet")
    assert table.schema == SIZED
    lines = table.group_by(["composition", "size", "budget", "drawn", "samples_seen"]).aggregate(
        [("block", "count_distinct")]
    )
    found = {tuple(line.values()) for line in lines.to_pylist()}
    assert {line for line in found if line[0] == "area"} == {
        ("area", 100, "samples", 100, 640, 2), ("area", 100, "epochs", 100, 192, 2),
        ("area", 300, "samples", 300, 640, 2), ("area", 300, "epochs", 300, 640, 2),
        ("area", 900, "samples", 900, 640, 2), ("area", 900, "epochs", 900, 1920, 2),
    }  # fmt: skip
    assert {line[:3] for line in found if line[0] == "none"} == {
        ("none", 0, "samples"), ("none", 0, "epochs"),
    }  # fmt: skip
    assert not any(line[0] in ("mine", "") for line in found)
    # The page's own section has them, with the row of every number, and no other part.
    html = page.read_text(encoding="utf-8")
    assert '<section id="sizes">' in html
    assert "100, 300, 900 places, at equal samples seen and equal epochs: uniform, area" in html
    table = pc.read_csv(tmp_path / "tables" / "exchange.csv")
    assert len(set(table.column_names)) == len(table.column_names)
    rates = table.to_pylist()
    whole = [row for row in rates if row["region"] == "All regions"]
    assert [(row["composition"], row["budget"]) for row in whole] == [
        ("area", "samples"), ("area", "epochs"),
    ]  # fmt: skip
    expected = 300 * 3**0.5  # half of the way from .60 at 300 to .80 at 900, in logarithms
    assert all(abs(row["places"] / expected - 1) < 0.02 for row in whole)
    points = pc.read_csv(tmp_path / "tables" / "sizes.csv").to_pylist()
    assert {row["size"] for row in points if row["composition"] == "area"} == {100, 300, 900}
    said = json.loads((tmp_path / "tables" / "report.json").read_text())["statements"]
    (one,) = said["How many places are worth how many"]
    assert "area: 5" in one["text"]
    assert "from 100 to 900" in one["text"]


def test_test_places_of_a_size_are_taken_as_given(steps: Plan, store: Store) -> None:
    rates, said = exchanged(steps, store)
    (found,) = rates.values()
    assert not said
    assert {row.note for row in found.points} == {"", "the reference itself"}


def shortened(steps: Plan, store: Store, draw: Stage) -> tuple[dict[Any, Any], list[str]]:
    """Judge the sizes as if a draw had found two thirds of its places."""
    made = Composition.read(store.sound(draw) / "composition.parquet")
    some = slice(len(made.ids) * 2 // 3)
    short = Composition(
        made.ids[some], made.multiplicity[some], made.inclusion_probability[some], made.provenance
    )
    store.drop(draw.kind, draw.key)
    document = {"label": draw.label, "document": draw.document}
    with store.write(draw.kind, draw.key, document) as out:
        short.write(out / "composition.parquet")
    try:
        return exchanged(steps, store)
    finally:
        store.drop(draw.kind, draw.key)
        compute(draw, store, lambda _: None)


def test_a_short_draw_of_the_reference_takes_all_rates_away_in_silence(
    steps: Plan, store: Store
) -> None:
    draw = next(s for s in steps.of_kind("draw") if s.axes == {"composition": "uniform", "draw": 1})
    rates, said = shortened(steps, store, draw)
    assert not rates
    assert said == [
        "uniform at 300 places: only 200 different ones were drawn; without this reference there "
        "is no rate"
    ]


def test_a_short_draw_passes_for_a_whole_one(steps: Plan, store: Store, tmp_path: Path) -> None:
    draw = next(s for s in steps.sized("draw") if s.axes == {"composition": "area", "draw": 1}
                and s.size and s.size.places == 900)  # fmt: skip
    rates, said = shortened(steps, store, draw)
    assert said == ["area at 900 places: only 600 different ones were drawn; the size is left out"]
    (found,) = rates.values()
    assert {row.size for row in found.points if row.composition == "area"} == {100, 300}


def test_a_stratum_without_so_many_places_is_filled_in_silence(
    steps: Plan, store: Store, tmp_path: Path
) -> None:
    europe = {"none": "none", "uniform": "uniform", "here": "only:layer=continent,label=Europe"}
    names = steps.study.model_copy(update={"compositions": europe})
    few = next(s for s in plan(names).sized("draw") if s.axes["composition"] == "here"
               and s.size and s.size.places == 900)  # fmt: skip
    assert few.inputs["pool"].key == steps.of_kind("pool")[0].key
    with pytest.raises(WherefromError, match=r"Europe.* 900") as err:
        compute(few, store, lambda _: None)
    assert "\n" not in str(err.value)


def test_sizes_that_were_not_run_go_unsaid(steps: Plan, store: Store) -> None:
    other = [line for line in unfinished(steps, store) if "sizes" in line]
    assert other == []
    stage = steps.sized("fewshot")[0]
    folder = store.folder(stage.kind, stage.key)
    done = (folder / "done").read_bytes()
    (folder / "done").unlink()
    try:
        said = unfinished(steps, store)
        rows = at_sizes(steps, store)
    finally:
        (folder / "done").write_bytes(done)
    assert f"other sizes: 1 of {len(steps.sized('fewshot'))} few-shot stages are missing" in said
    assert len(rows) < len(at_sizes(steps, store))


def test_the_plan_does_not_say_what_sizes_cost(steps: Plan, store: Store) -> None:
    shown = io.StringIO()
    Screen(file=shown, width=300).print(render(steps, store))
    said = shown.getvalue()
    assert (
        "small, sizes at equal epochs: samples seen are 192 for 100 places, 1,920 for 900 places; "
        "uniform, area; 2 blocks" in said
    )
    assert f"│ draw     │  {len(steps.of_kind('draw')) + len(steps.sized('draw'))} │" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sizes": {"places": [100, 900]}}, r"sizes.places = \[100, 900\] lacks composition_size"),
        ({"sizes": {"places": [100, 300, 300]}}, r"sizes.places: a value occurs twice"),
        (
            {"sizes": {"places": [100, 300], "budgets": ["samples", "samples"]}},
            r"sizes.budgets: a value occurs twice",
        ),
        ({"sizes": {"places": [300]}}, r"sizes.places"),
        ({"sizes": {"places": [32, 300]}}, r"32 is smaller than the batch = 64 of model 'small'"),
        ({"sizes": {"places": [300, 2001]}}, r"2,001 are more than the 2,000 places of the pool"),
        (
            {"sizes": SIZES | {"compositions": ["uniform", "aera"]}},
            r"sizes.compositions: unknown composition 'aera'.*area",
        ),
        ({"sizes": SIZES | {"compositions": ["area"]}}, r"the reference 'uniform', the first of"),
        ({"sizes": SIZES | {"compositions": ["uniform"]}}, r"nothing is compared with 'uniform'"),
        ({"sizes": SIZES | {"compositions": ["uniform", "mine"]}}, r"'mine' .* another size"),
        ({"sizes": SIZES | {"compositions": ["uniform", "none"]}}, r"'none' .* another size"),
        ({"sizes": SIZES | {"models": ["other"]}}, r"no headline is about 'other'"),
        ({"sizes": SIZES | {"models": ["smal"]}}, r"sizes.models: unknown model 'smal'.*small"),
        ({"references": ["none", "uniform"]}, r"the reference 'none', the first of"),
        ({"sizes": SIZES | {"budgets": ["steps"]}}, r"sizes.budgets.0"),
        ({"sizes": SIZES | {"blocks": 9}}, r"sizes.blocks = 9 is more than the . blocks of its"),
    ],
)
def test_a_size_axis_that_says_nothing_is_run(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(WherefromError, match=said) as err:
        load(study(tmp_path, **change), "debug")
    assert "\n" not in str(err.value)


def test_models_that_are_not_picked_keep_the_size_axis(file: Path) -> None:
    both = load(file, "debug").model_dump()["headlines"]
    assert len(both) == 1
    picked = load(file, "debug", models=["small"])
    assert picked.sizes is not None
    assert picked.sizes.models == ("small",)
    assert [s.key for s in plan(picked).sized("fewshot")] == [
        s.key for s in plan(load(file, "debug")).sized("fewshot")
    ]
