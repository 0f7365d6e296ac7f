"""Study files: a typo is named, scales differ in numbers alone, stand-ins keep their own name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from wherefrom import earth
from wherefrom.errors import WherefromError
from wherefrom.study import load

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"


def changed(tmp_path: Path, **change: object) -> Path:
    """Write the study with keys of its base replaced."""
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    content["base"] |= change
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("scale", ["debug", "laptop", "paper"])
def test_every_scale_of_the_shipped_study_resolves(scale: str) -> None:
    study = load(STUDY, scale)
    assert study.scale == scale
    assert {"none", "uniform", "clustered-forest", "clustered-cities"} <= set(study.compositions)


def test_unknown_key_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="unknown key 'hedas': did you mean 'heads'"):
        load(changed(tmp_path, hedas={}), "debug")


def test_unknown_nested_key_is_named_with_its_place(tmp_path: Path) -> None:
    models = yaml.safe_load((STUDY / "study.yaml").read_text())["base"]["models"]
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


def test_headline_model_that_is_not_in_the_study_is_refused(tmp_path: Path) -> None:
    headline = {"model": "satclip-L41", "head": "logistic"}
    with pytest.raises(WherefromError, match="did you mean 'satclip-L40'"):
        load(changed(tmp_path, headline=headline), "debug")


def test_a_stand_in_never_keeps_the_name_of_what_it_stands_in_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = earth.available
    monkeypatch.setattr(earth, "available", lambda name: name != "biome" and real(name))
    study = load(STUDY, "debug")
    assert study.stood_in == {"biome": "climate_zone"}
    assert study.task.layer == "climate_zone"
    assert "stratified-climate_zone" in study.compositions
    assert not any("biome" in f"{k} {v}" for k, v in study.compositions.items())


def test_with_the_official_map_nothing_stands_in(resolve_data: Path) -> None:
    study = load(STUDY, "debug")
    assert study.stood_in == {}
    assert "stratified-biome" in study.compositions
