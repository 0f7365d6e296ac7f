"""Models that are asked for by name, and those that run on request alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wherefrom.errors import WherefromError
from wherefrom.study import load, plan

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"
SCALES = ["debug", "laptop", "paper"]


def changed(tmp_path: Path, **change: Any) -> Path:
    """Write the shipped study with keys of its base replaced."""
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    content["base"] |= change
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("scale", SCALES)
def test_a_model_on_request_runs_unasked_or_cannot_be_asked_for(scale: str) -> None:
    study = load(STUDY, scale)
    assert set(study.models) == {"satclip-L40", "satclip-L10", "presto"}
    assert study.picked == ()
    assert {one.model for one in study.headlines} == {"satclip-L40", "presto"}
    alone = load(STUDY, scale, ["satmae"])
    assert set(alone.models) == {"satmae"}
    assert [one.model for one in alone.headlines] == ["satmae"]
    assert set(alone.tasks) == {"ecoregions" if scale == "paper" else "windows"}
    assert alone.picked == ("satmae",)
    assert alone.unmatched == {}
    together = load(STUDY, scale, ["satmae", "satclip-L40", "presto"])
    assert set(together.models) == {"satclip-L40", "presto", "satmae"}
    assert together.unmatched == {}


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_about_other_models_alone_stays(scale: str) -> None:
    alone = load(STUDY, scale, ["satmae"])
    for use in (*alone.heads.values(), alone.sweep):
        assert use is None or use.models is None or set(use.models) == {"satmae"}
    assert "logistic-balanced" not in alone.heads
    assert alone.sweep is None or alone.sweep.heads == ("logistic",)
    assert not any(claim.test == "sensitivity" for claim in alone.claims)
    assert alone.unread == load(STUDY, scale).unread == {}
    assert not {"presto-official", "galileo-nano"} & set(alone.published)
    assert any(claim.test == "better" for claim in alone.claims)
    presto = load(STUDY, scale, ["presto"])
    assert not {"ecoregions", "windows"} & {*presto.tasks, *presto.repeats.tables.values()}


def test_a_choice_of_models_changes_the_stages_of_those_that_stay() -> None:
    keys = {
        names: {stage.label: stage.key for stage in plan(load(STUDY, "debug", names)).stages}
        for names in (None, ("presto",), ("satclip-L40", "presto", "satmae"))
    }
    whole = keys[None]
    for label, key in keys["presto",].items():
        assert whole[label] == key, label
    more = keys["satclip-L40", "presto", "satmae"]
    assert all(whole[label] == key for label, key in more.items() if "satmae" not in label
               and label in whole)  # fmt: skip
    assert any("satmae" in label for label in more)
    assert "payload windows of the pool" not in more  # each pre-training cuts its own


def test_an_unknown_model_is_asked_for() -> None:
    with pytest.raises(WherefromError, match="unknown model 'satmea': did you mean 'satmae'"):
        load(STUDY, "debug", ["satmea"])


def test_models_without_a_headline_are_run_for_nothing() -> None:
    with pytest.raises(WherefromError, match="no headline of the study is about satclip-L10: name"):
        load(STUDY, "debug", ["satclip-L10"])


def test_a_study_of_models_on_request_runs_none_of_them(tmp_path: Path) -> None:
    content = yaml.safe_load((STUDY / "study.yaml").read_text())["base"]
    models = {name: one | {"on_request": True} for name, one in content["models"].items()}
    with pytest.raises(WherefromError, match="every model of the study runs on request alone: nam"):
        load(changed(tmp_path, models=models), "debug")


def test_the_study_file_says_what_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="'picked' is not for the study file to say"):
        load(changed(tmp_path, picked=["satmae"]), "debug")


def test_a_claim_about_one_model_of_several_stays_about_others(tmp_path: Path) -> None:
    claim = {"source": "s", "says": "a", "test": "seeds", "above": 0.1}
    file = changed(
        tmp_path,
        claims=[
            claim | {"models": ["satmae", "presto"]},
            claim | {"models": ["presto"]},
            claim | {"models": ["pretso"]},
        ],
    )
    study = load(file, "debug", ["satmae"])
    assert [one.models for one in study.claims] == [("satmae",), ("pretso",)]
    assert list(study.unmatched) == ["claims.1.models.pretso"]


def test_two_tasks_of_one_layer_cannot_be_told_apart(tmp_path: Path) -> None:
    tasks = yaml.safe_load((STUDY / "study.yaml").read_text())["base"]["tasks"]
    made = load(changed(tmp_path, tasks=tasks), "debug", ["satclip-L40", "satmae"])
    assert made.tasks["windows"].label.startswith("windows-")
    # A task without a name of its own has the key that it had.
    assert "name" not in made.tasks["ecoregions"].settings()
    assert made.tasks["windows"].settings()["name"] == "windows"
    del tasks["windows"]["name"]
    with pytest.raises(WherefromError, match=r"a value occurs twice in .*ecoregions-"):
        load(changed(tmp_path, tasks=tasks), "debug")


def test_a_margin_of_a_task_that_goes_with_its_models_is_a_mistake(tmp_path: Path) -> None:
    file = changed(tmp_path, equivalence_margins={"cropland": 0.1, "windows": 0.2})
    assert load(file, "debug", ["satmae"]).equivalence_margins == {"windows": 0.2}
