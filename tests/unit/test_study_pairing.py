"""What a plan is to refuse, since a run would fail on it: what is read, and what heads need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wherefrom.errors import WherefromError
from wherefrom.gfms.satclip import SatCLIPImages
from wherefrom.gfms.tower import TowerFeatures
from wherefrom.payload.rasters import Rasters
from wherefrom.study import load, plan
from wherefrom.train.heads import head

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"


def planned(folder: Path, *models: str, **change: dict[str, Any]) -> None:
    """Plan the shipped study at its debug scale, with fields of its parts changed."""
    content = yaml.safe_load((STUDY / "study.yaml").read_text())
    debug = content["scales"]["debug"]
    for part, fields in change.items():
        for name, some in fields.items():
            debug[part] = debug.get(part) or {}
            debug[part][name] = (debug[part].get(name) or {}) | some
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    plan(load(folder, "debug", models or None))


@pytest.mark.parametrize(
    ("satmae", "windows", "said"),
    [
        ({"groups": [["swir:*"]]}, {}, "unknown band of group 1 of satmae"),
        ({"groups": [["relief:*"], ["relief:metres"]]}, {}, "'relief:metres' is of groups 1 and 2"),
        ({"size": "laptop"}, {}, "window_px = 16 is less than the 32 .* 32 or more, or size: tiny"),
        ({"size": "base"}, {"window_px": 33}, "window_px = 33 is less than the 96 .*size: laptop"),
        (
            {},
            {"window_px": 15},
            r"window_px = 15 is less than the 16 .*: give window_px: 16 or mor",
        ),
    ],
)
def test_a_model_is_planned_that_cannot_read_its_payload(
    satmae: dict[str, Any], windows: dict[str, Any], said: str, tmp_path: Path
) -> None:
    groups = {"groups": [["blue-marble:*"], ["relief:*"]]}
    planned(tmp_path, "satmae", models={"satmae": groups})
    with pytest.raises(WherefromError, match=f"models.satmae: payload 'windows': .*{said}") as err:
        planned(
            tmp_path, "satmae", models={"satmae": groups | satmae}, payloads={"windows": windows}
        )
    assert "\n" not in str(err.value)


def test_windows_that_a_crop_is_cut_of_are_refused(tmp_path: Path) -> None:
    planned(tmp_path, "satmae", payloads={"windows": {"window_px": 21}})


def test_a_tower_is_planned_on_images_that_it_cannot_read() -> None:
    small = Rasters(kind="rasters", window_px=64)
    with pytest.raises(ValueError, match="of: window_px = 64 is less than the 224 pixels"):
        TowerFeatures(kind="tower", of=small, tower="vit_small_patch16_224")
    assert TowerFeatures(kind="tower", of=small).image_side is None
    fields: Any = {
        "kind": "satclip-images", "tasks": ["any"], "blocks": 1, "degrees": 4,
        "pretrain": {"samples_seen": 64, "batch": 16, "lr": 1e-3},
    }  # fmt: skip
    for change, side in (
        ({"image": "vit_small_patch16_224"}, 224),
        ({"image": "resnet18"}, 1),
        ({"image": "cnn", "augment": True}, 2),
    ):
        gfm = SatCLIPImages(**fields, **change)
        assert not gfm.refuses(Rasters(kind="rasters", window_px=side))
        if side > 1:
            assert f"the {side} pixels" in gfm.refuses(Rasters(kind="rasters", window_px=side - 1))


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (
            {"options": {"k": 101}},
            "with k=101 it needs 101 .* and n has 100: give more, or another",
        ),
        ({"grid": {"k": [5, 200]}}, "heads.knn: with k=200 it needs 200 .* and n has 100"),
    ],
)
def test_a_head_is_planned_that_needs_more_places_than_it_is_given(
    use: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(WherefromError, match=said):
        planned(tmp_path, heads={"knn": use})


def test_a_sweep_is_planned_that_gives_a_head_too_few_places(tmp_path: Path) -> None:
    knn: dict[str, Any] = {"knn": {"grid": {"k": [1, 60]}}}
    planned(tmp_path, heads=knn)  # the sweep has another head
    with pytest.raises(WherefromError, match=r"with k=60 it needs 60 .* and sweep.n has 50"):
        file = tmp_path / "study.yaml"
        content = yaml.safe_load(file.read_text())
        content["scales"]["debug"]["sweep"] |= {"n": [50, 100], "heads": ["knn"]}
        file.write_text(yaml.safe_dump(content))
        plan(load(tmp_path, "debug"))


def test_heads_of_numbers_say_otherwise_than_those_of_classes_what_they_need() -> None:
    assert [head(name, k=7).fewest for name in ("knn", "knn-regression")] == [7, 7]
    assert head("ridge").fewest == 1
