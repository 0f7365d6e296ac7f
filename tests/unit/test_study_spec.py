"""Study files: a typo is named, scales differ in numbers alone, stand-ins keep their own name."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from wherefrom import earth
from wherefrom.earth import fetch
from wherefrom.errors import WherefromError
from wherefrom.progress import Screen
from wherefrom.report.plan import render
from wherefrom.study import Store, load, plan, run

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"


def base_of(name: str) -> Any:
    """Return a part of the shipped study's base."""
    return yaml.safe_load((STUDY / "study.yaml").read_text())["base"][name]


def changed(tmp_path: Path, **change: object) -> Path:
    """Write the study with keys of its base replaced."""
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    content["base"] |= change
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def with_part(tmp_path: Path, part: str, name: str, **change: object) -> Path:
    """Write the study with fields of one model or task set; a field of None is left out."""
    parts = base_of(part)
    fields = parts[name] | change
    parts[name] = {key: value for key, value in fields.items() if value is not None}
    return changed(tmp_path, **{part: parts})


@pytest.mark.parametrize("scale", ["debug", "laptop", "paper"])
def test_every_scale_of_the_shipped_study_resolves(scale: str) -> None:
    study = load(STUDY, scale)
    assert study.scale == scale
    assert {"none", "uniform", "clustered-forest", "clustered-cities"} <= set(study.compositions)


def test_unknown_key_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="unknown key 'hedas': did you mean 'heads'"):
        load(changed(tmp_path, hedas={}), "debug")


def test_unknown_nested_key_is_named_with_its_place(tmp_path: Path) -> None:
    models = base_of("models")
    models["satclip-L40"]["pretrain"]["bathc"] = 1
    with pytest.raises(
        WherefromError, match=r"'bathc': did you mean 'batch'.*satclip-L40.pretrain"
    ):
        load(changed(tmp_path, models=models), "debug")


def test_unknown_scale_is_named_with_the_nearest_one() -> None:
    with pytest.raises(WherefromError, match="unknown scale 'latpop': did you mean 'laptop'"):
        load(STUDY, "latpop")


def test_absent_study_names_the_file_and_an_example(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match=r"no such study.*studies/purohit2025"):
        load(tmp_path / "nothing", "debug")


def test_broken_yaml_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("base: [")
    with pytest.raises(WherefromError, match="not valid YAML") as caught:
        load(file, "debug")
    assert "\n" not in str(caught.value)


def test_a_default_of_the_references_is_taken_for_a_name_in_the_file(tmp_path: Path) -> None:
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    content["base"].pop("references", None)
    content["base"]["compositions"] = {"mine": "uniform"}
    content["scales"] = {"debug": {}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(WherefromError, match="by default 'references' are uniform and none"):
        load(tmp_path, "debug")


def test_a_study_without_zero_pre_training_is_refused_for_a_default(tmp_path: Path) -> None:
    """The controls, of which nothing was said, were taken for a name in the file."""
    without = {"compositions": {"uniform": "uniform"}, "references": ["uniform"]}
    without |= {"claims": [], "repeats": {}}
    file = changed(tmp_path, **without)
    assert "none" not in load(file, "debug").compositions
    assert list(load(file, "debug", ["presto"]).models) == ["presto"]
    with pytest.raises(WherefromError, match="unknown composition 'none'"):
        load(changed(tmp_path, **without, controls=["none"]), "debug")


def test_yaml_nested_without_end_is_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("base: " + "[" * 3000 + "]" * 3000)
    with pytest.raises(WherefromError, match="nested too deeply"):
        load(tmp_path, "debug")


def test_the_last_of_a_key_given_twice_wins_in_silence(tmp_path: Path) -> None:
    text = (STUDY / "study.yaml").read_text()
    (tmp_path / "study.yaml").write_text(text.replace("  n: ", "  n: 7\n  n: ", 1))
    with pytest.raises(WherefromError, match=r"key 'n' is given twice.*line \d+"):
        load(tmp_path, "debug")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: 3\nscales: {debug: }", "'base' must hold keys and values, not 3"),
        ("base: {}\nscales:", "'scales' must hold keys and values, not None"),
        ("base: {}\nscales: [debug]", "'scales' must hold keys and values"),
        ("base: {}\nscales: {debug: [1]}", "scale 'debug' must hold keys and values"),
        ("base: {}\nscales: {1: }", "unknown scale 'debug': Known: 1"),
        ("- base\n- scales", "needs exactly the keys"),
        ("", "needs exactly the keys.*`wherefrom init` writes a whole"),
        ("pool: {places: 5}\ntasks: {}", "put 'pool', 'tasks' under 'base'; `wherefrom init`"),
        ("base: {}", "add the line scales: {laptop: {}}$"),
    ],
)
def test_a_file_of_another_shape_ends_in_a_traceback(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(WherefromError, match=message):
        load(file, "debug")


def test_a_part_that_a_scale_alone_has_is_said_to_lack_its_kind(tmp_path: Path) -> None:
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    content["scales"]["debug"]["tasks"]["fields"] = {"seed": 1}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(WherefromError, match=r"'kind'.*\(tasks.fields stands in the scale alone"):
        load(tmp_path, "debug")


def test_a_path_through_a_file_or_to_a_folder_ends_in_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").mkdir()
    with pytest.raises(WherefromError, match="cannot be read: Is a directory"):
        load(tmp_path, "debug")
    (tmp_path / "file").touch()
    with pytest.raises(WherefromError, match="no such study"):
        load(tmp_path / "file" / "study.yaml", "debug")


def test_a_misspelt_key_is_reported_as_missing(tmp_path: Path) -> None:
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    content["base"]["finetune_sedes"] = content["base"].pop("finetune_seeds")
    content["scales"]["debug"].pop("finetune_seeds")
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(WherefromError, match="did you mean 'finetune_seeds'"):
        load(file, "debug")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"references": []}, "references"),
        ({"composition_size": 100}, "smaller than the batch = "),
        ({"equivalence_margin": float("inf")}, "equivalence_margin: Input should be a finite"),
        ({"name": "../away"}, "use letters, digits"),
        (
            {"compositions": {"zero": "none", "uniform": "uniform"}, "references": ["uniform"]},
            "named 'none'",
        ),
        (
            {"compositions": {"none": "uniform", "uniform": "uniform"}},
            "named 'none'",
        ),
        (
            {"headlines": [{"model": "satclip-L40", "head": "logistic", "metric": "f1_marco"}]},
            "unknown metric.*did you mean 'f1_macro'",
        ),
        ({"headlines": []}, "headlines"),
        (
            {"headlines": [{"model": "presto", "head": "knn"}] * 2},
            "headlines: a value occurs twice",
        ),
        ({"headlines": [{"modl": "presto"}]}, r"'modl': did you mean 'model'.*in headlines.0"),
        ({"repeats": {"samples_seen": {"satclp": 1}}}, "kind of model 'satclp': did you mean"),
        (
            {"heads": {"logistic": {"options": {"C": dt.date(2025, 1, 1)}}, "knn": {}}},
            "heads.logistic.options.C",
        ),
        (
            {"headlines": [{"model": "satclip-L40", "head": "logistic-balanced"}]},
            "headline is about model 'satclip-L40'",
        ),
        ({"payloads": {"blue-marble": {"images": []}}}, "payloads.blue-marble.images"),
    ],
)
def test_a_mistake_is_found_after_the_pre_training(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(WherefromError, match=message):
        load(changed(tmp_path, **change), "laptop")


def test_the_shipped_study_repeats_what_its_compositions_lack() -> None:
    assert {scale: load(STUDY, scale).unmatched for scale in ("debug", "laptop", "paper")} == {
        "debug": {},
        "laptop": {},
        "paper": {},
    }


@pytest.mark.parametrize(
    ("part", "change", "where", "near"),
    [
        ("claims", {"compositions": ["unifrom"], "than": ["none"]}, "compositions", "uniform"),
        ("claims", {"compositions": ["none"], "than": ["unifrom"]}, "than", "uniform"),
        ("claims", {"models": ["presot"]}, "models", "presto"),
        ("claims", {"task": "croplnd"}, "task", "cropland"),
        ("claims", {"head": "logstic"}, "head", "logistic"),
        ("claims", {"n": 1001}, "n", "100"),
        (
            "claims",
            {"test": "rank", "values": {"unifrom": 1.0, "none": 2.0, "clustered-cities": 3.0}},
            "values",
            "uniform",
        ),
        ("repeats", {"rows": {"World Cities": ["clustered-citis"]}}, "rows.World Cities", ""),
        ("repeats", {"tables": {"CropHarvest": "croplnd"}}, "tables", "cropland"),
        ("repeats", {"nearest": {"CropHarvest": "croplnd"}}, "nearest", "cropland"),
        ("stands_for", {"tasks": {"croplnd": {"stands_for": "a", "why": "b"}}}, "tasks", ""),
        ("stands_for", {"data": {"forrest": {"stands_for": "a", "why": "b"}}}, "data", "forest"),
    ],
)
def test_a_misspelt_name_in_what_is_repeated_is_said_after_the_whole_run(
    tmp_path: Path,
    part: str,
    change: dict[str, Any],
    where: str,
    near: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given: Any = change
    if part == "claims":
        test = {"test": "better", "compositions": ["uniform"], "than": ["none"]}
        test = {} if "test" in change else test
        given = [{"source": "s", "says": "w"} | test | change]
        part = "claims.0"
    study = load(changed(tmp_path, **{part.partition(".")[0]: given}), "debug")
    ((what, why),) = study.unmatched.items()
    assert what.startswith(f"{part}.{where}.")
    assert f"did you mean '{near}" in why
    shown = io.StringIO()
    console = Screen(file=shown, width=2000)
    console.print(render(plan(study), Store(tmp_path / "store")))
    assert f"left out {what}: {why}" in shown.getvalue()
    capsys.readouterr()
    with pytest.raises(WherefromError, match="no worker was asked for"):
        run(plan(study), Stopped(tmp_path / "store"))
    assert f"left out {what}: {why}" in capsys.readouterr().err


class Stopped(Store):
    """A store whose first use ends a run."""

    def done(self, kind: str, key: str) -> bool:
        raise WherefromError("no worker was asked for")


@pytest.mark.parametrize("field", ["composition_size", "samples_seen"])
@pytest.mark.parametrize("size", [-5, 0, float("nan"), 1.5, "many", None])
def test_a_published_size_that_is_none_is_held_against_ours(
    tmp_path: Path, field: str, size: object
) -> None:
    with pytest.raises(WherefromError, match=f"repeats.{field}.presto: Input should be"):
        load(changed(tmp_path, repeats={field: {"presto": size}}), "debug")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": "Afrika"}, "unknown region 'Afrika': did you mean 'Africa'"),
        ({"n": [100, 100]}, "sweep.n: a value occurs twice"),
        ({"n": [0, 100]}, "sweep.n.0"),
    ],
)
def test_a_mistake_in_the_sweep_is_found_after_the_pre_training(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    sweep = base_of("sweep")
    with pytest.raises(WherefromError, match=message):
        load(changed(tmp_path, sweep=sweep | change), "laptop")


def test_a_model_with_the_name_of_a_baseline_is_taken_for_it(tmp_path: Path) -> None:
    models = base_of("models")
    models["majority"] = models["satclip-L10"]
    with pytest.raises(WherefromError, match="a baseline has this name"):
        load(changed(tmp_path, models=models), "laptop")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "name", "change", "message"),
    [
        (
            "models",
            "satclip-L10",
            {"pretrain": {"samples_seen": 128100, "batch": 512, "lr": 1}},
            r"models.satclip-L10.pretrain: samples_seen.*take 128000",
        ),
        ("models", "presto", {"kind": "prsto"}, "models.presto: unknown kind.*mean 'presto'"),
        (
            "models",
            "presto",
            {"kind": None},
            "presto: needs a key 'kind': satclip or satclip-images or satmae or presto",
        ),
        (
            "models",
            "presto",
            {"mask_rato": 0.5},
            r"mean 'mask_ratio'.*\(in models.presto\)",
        ),
        ("models", "presto", {"mask_ratio": 1.0}, "models.presto.mask_ratio: Input should be less"),
        ("models", "presto", {"degrees": 10}, r"belongs to models.NAME.degrees \(kind satclip\)"),
        ("models", "presto", {"tasks": ["croplnd"]}, "unknown task 'croplnd'.*mean 'cropland'"),
        ("models", "presto", {"tasks": []}, "models.presto.tasks"),
        ("models", "presto", {"tasks": ["cropland"] * 2}, "presto.tasks: a value occurs twice"),
        ("models", "presto", {"tasks": ["cropland"]}, "task 'cropharvest': no model names it"),
        ("tasks", "cropland", {"kind": "croplands"}, "tasks.cropland: unknown kind.*'cropland'"),
        ("tasks", "cropland", {"layer": "biome"}, r"tasks.NAME.layer \(kind ecoregions\)"),
        ("tasks", "cropland", {"train_per_regoin": 1}, "did you mean 'train_per_region'"),
        ("tasks", "cropland", {"baselines": ["raw-serie"]}, "baseline.*mean 'raw-series'"),
        ("tasks", "cropland", {"baselines": ["raw-harmonics-L0"]}, "unknown baseline"),
        ("tasks", "cropland", {"baselines": ["majority"] * 2}, "baselines: a value occurs twice"),
        (
            "tasks",
            "cropland",
            {"kind": "ecoregions"},
            "a value occurs twice in .*ecoregions-biome",
        ),
    ],
)
def test_a_mistake_of_a_model_or_task_is_blamed_on_another_key(
    tmp_path: Path, part: str, name: str, change: dict[str, Any], message: str
) -> None:
    file = with_part(tmp_path, part, name, **change)
    with pytest.raises(WherefromError, match=message) as caught:
        load(file, "laptop")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": {}}, "unknown key 'task': did you mean 'tasks'"),
        ({"headline": {}}, "unknown key 'headline': did you mean 'headlines'"),
        ({"baselines": []}, "unknown key 'baselines' here: it belongs to tasks.NAME.baselines"),
        ({"stood_in": {}}, "'stood_in' is not for the study file to say"),
        ({"left_out": {}}, "'left_out' is not for the study file to say"),
    ],
)
def test_a_key_of_another_place_is_only_called_unknown(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(WherefromError, match=message):
        load(changed(tmp_path, **change), "laptop")


def test_headline_model_that_is_not_in_the_study_is_refused(tmp_path: Path) -> None:
    headlines = [{"model": "satclip-L41", "head": "logistic"}]
    with pytest.raises(WherefromError, match="did you mean 'satclip-L40'"):
        load(changed(tmp_path, headlines=headlines), "debug")


def lacking(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    """Pretend that this machine has none of these sources, and all others."""
    monkeypatch.setattr(fetch, "find", lambda name: None if name in absent else Path(name))


def test_absent_data_are_an_error_or_left_out_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacking(monkeypatch)
    whole = load(STUDY, "laptop")
    assert whole.left_out == {}
    assert whole.models["presto"].tasks == ("cropland", "cropharvest")
    assert whole.published["presto-official"].tasks == ("cropland", "cropharvest")
    lacking(monkeypatch, "cropharvest", "presto")
    fewer = load(STUDY, "laptop")
    assert set(whole.tasks) - set(fewer.tasks) == {"cropharvest"}
    assert fewer.models["presto"].tasks == ("cropland",)
    assert set(fewer.published) == {"geoclip", "galileo-nano"}
    assert fewer.published["galileo-nano"].tasks == ("cropland",)
    assert set(fewer.left_out) == {"tasks.cropharvest", "published.presto-official"}
    assert "wherefrom data fetch cropharvest" in fewer.left_out["tasks.cropharvest"]
    assert "default_model.pt" in fewer.left_out["published.presto-official"]


def test_a_model_without_any_task_left_cannot_be_planned_or_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, tasks = base_of("models"), base_of("tasks")
    models["presto"]["tasks"] = ["cropharvest"]
    del tasks["cropland"]
    content = yaml.safe_load(
        changed(tmp_path, models=models, tasks=tasks, published={}).read_text()
    )
    del content["scales"]["debug"]["tasks"]["cropland"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    lacking(monkeypatch, "cropharvest")
    study = load(tmp_path, "debug")
    assert "tasks.cropharvest" not in study.left_out
    assert any("task cropharvest: CropHarvest" in one for one in study.missing)


def test_names_in_the_results_are_not_those_of_the_tasks(tmp_path: Path) -> None:
    study = load(STUDY, "debug")
    assert study.tasks["cropland"].label == "cropland"
    layer = "climate_zone" if study.stood_in else "biome"
    assert study.tasks["ecoregions"].label == f"ecoregions-{layer}"


def test_a_stand_in_never_keeps_the_name_of_what_it_stands_in_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = earth.available
    monkeypatch.setattr(earth, "available", lambda name: name != "biome" and real(name))
    study = load(STUDY, "debug")
    assert study.stood_in == {"biome": "climate_zone"}
    assert study.tasks["ecoregions"].label == "ecoregions-climate_zone"
    assert "stratified-climate_zone" in study.compositions
    assert not any("biome" in f"{k} {v}" for k, v in study.compositions.items())


def test_a_reference_with_a_stand_in_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = changed(tmp_path, references=["stratified-biome", "none"])
    real = earth.available
    monkeypatch.setattr(earth, "available", lambda name: name != "biome" and real(name))
    assert load(file, "debug").references == ("stratified-climate_zone", "none")


def test_a_claim_is_left_undecided_for_want_of_what_a_stand_in_stands_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = earth.available
    monkeypatch.setattr(earth, "available", lambda name: name != "biome" and real(name))
    study = load(STUDY, "debug")
    named = {
        name for claim in study.claims for name in (*claim.compositions, *claim.than, *claim.values)
    }
    named |= {name for names in study.repeats.rows.values() for name in names}
    assert "stratified-climate_zone" in named
    assert named <= study.compositions.keys()


def test_with_the_official_map_nothing_stands_in(resolve_data: Path) -> None:
    study = load(STUDY, "debug")
    assert study.stood_in == {}
    assert "stratified-biome" in study.compositions
