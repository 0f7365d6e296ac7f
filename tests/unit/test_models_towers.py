"""Image towers: which weights go in, which images, and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from wherefrom.errors import WherefromError
from wherefrom.models.towers import TOWERS, frozen, published, sentinel2, tower, tower_in


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def as_in_satclip(state: dict[str, Tensor]) -> dict[str, Any]:
    visual = {f"model.visual.{name}": value for name, value in state.items()}
    return {"state_dict": visual | {"model.logit_scale": torch.tensor(2.7)}, "epoch": 1}


def test_an_unknown_tower_is_not_answered_with_the_known() -> None:
    with pytest.raises(WherefromError, match=r"did you mean 'resnet50'.*vit_small_patch16_224"):
        tower("resnet-50")


def test_drawn_weights_depend_on_torchs_global_state_or_take_gradients() -> None:
    before = torch.get_rng_state()
    one, two = tower("resnet18", out=4), tower("resnet18", out=4, generator=seeded(0))
    assert torch.equal(torch.get_rng_state(), before)
    for (name, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    free = {name for name, p in one.named_parameters() if p.requires_grad}
    assert free == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("shape", [(1, 1), (33, 47), (64, 21)])
def test_odd_sizes_crash_or_depend_on_the_form(shape: tuple[int, int]) -> None:
    model, images = tower("resnet18", bands=3), torch.rand(2, 3, *shape, generator=seeded(1))
    due = model(images)
    assert due.shape == (2, 512)
    assert torch.allclose(frozen(model)(images), due, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "images", "message"),
    [
        ("resnet18", torch.zeros(2, 12, 64, 64), r"\(B, 13, H, W\), not float32 \(2, 12, 64, 64\)"),
        ("resnet18", torch.zeros(13, 64, 64), r"not float32 \(13, 64, 64\)"),
        ("resnet18", torch.zeros(1, 13, 8, 8, dtype=torch.int32), "not int32"),
        ("resnet18", torch.zeros(1, 13, 8, 8, dtype=torch.uint16), "uint16"),
        ("resnet18", torch.zeros(1, 13, 0, 8), "not 0 x 8"),
        ("vit_small_patch16_224", torch.zeros(1, 13, 256, 256), "224 x 224 pixels, not 256 x 256"),
        ("vit_small_patch16_224", torch.zeros(1, 13, 224, 256), "not 224 x 256"),
    ],
)
def test_images_of_another_form_end_in_a_traceback(name: str, images: Tensor, message: str) -> None:
    with pytest.raises(WherefromError, match=message):
        tower(name)(images)


def test_a_tower_without_bands_is_made() -> None:
    with pytest.raises(WherefromError, match="1 band or more, not 0"):
        tower("resnet18", bands=0)


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        (np.zeros((1, 13, 4, 4), np.uint16), r"uint16 \(1, 13, 4, 4\)"),
        (np.zeros((1, 12, 4, 4), np.float32), r"not float32 \(1, 12, 4, 4\)"),
        (torch.zeros(1, 12, 4, 4, dtype=torch.int16), "not int16"),
        (np.zeros((12, 4, 4), np.uint16), "not uint16"),
    ],
)
def test_reflectances_or_other_bands_are_divided_as_digital_numbers(
    tiles: Any, message: str
) -> None:
    with pytest.raises(WherefromError, match=message):
        sentinel2(tiles)


def test_a_tile_smaller_than_its_crop_is_padded() -> None:
    with pytest.raises(WherefromError, match=r"4 x 6 pixels, fewer than the 5 x 5"):
        sentinel2(np.zeros((1, 12, 4, 6), np.uint16), 5)


def test_tiles_as_array_tensor_or_given_to_the_tower_differ() -> None:
    tiles = np.random.default_rng(0).integers(0, 2**16, (2, 12, 36, 40), np.uint16)
    images, whole = sentinel2(tiles, 32), torch.from_numpy(tiles)
    assert images.dtype == np.float32
    assert np.array_equal(images, sentinel2(whole, 32).numpy())
    assert np.array_equal(images[:, :10], tiles[:, :10, 2:34, 4:36] / np.float32(1e4))
    model = tower("resnet18")
    assert torch.equal(model(whole), model(sentinel2(whole)))


@pytest.fixture
def flat(tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    """A file of a tower's weights, as published."""
    state = tower("resnet18", generator=seeded(3)).state_dict()
    torch.save(state, tmp_path / "a.pth")
    return tmp_path / "a.pth", state


@pytest.mark.parametrize("form", ["flat", "uncounted", "headed", "satclip"])
def test_weights_of_any_published_form_are_refused_or_misread(
    flat: tuple[Path, dict[str, Tensor]], form: str
) -> None:
    path, state = flat
    more = state | {"fc.weight": torch.zeros(9, 512), "fc.bias": torch.zeros(9)}
    uncounted = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    content = {"uncounted": uncounted, "headed": more, "satclip": as_in_satclip(more)}
    torch.save(content.get(form, state), path)
    for found in (tower("resnet18", weights=path), tower_in(path)):
        for name, value in found.state_dict().items():
            assert torch.equal(value, state[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1.0.conv1.weight": None}, "lacks the tensor layer1.0.conv1.weight"),
        ({"bn1.running_mean": None}, "lacks the tensor bn1.running_mean"),
        ({"layer5.weight": torch.zeros(1)}, "has the tensor layer5.weight"),
        ({"bn1.bias": torch.zeros(63)}, r"bn1.bias has shape \(63,\), not \(64,\)"),
        ({"bn1.bias": torch.full((64,), torch.inf)}, "bn1.bias is not finite"),
        ({"bn1.bias": torch.zeros(64, dtype=torch.int64)}, "bn1.bias is of torch.int64"),
    ],
)
def test_weights_that_do_not_fit_stay_drawn(
    flat: tuple[Path, dict[str, Tensor]], change: dict[str, Tensor | None], message: str
) -> None:
    path, state = flat
    changed = {name: v for name, v in (state | change).items() if v is not None}
    for content in (changed, as_in_satclip(changed)):
        torch.save(content, path)
        with pytest.raises(WherefromError, match=rf"a\.pth.*{message}") as caught:
            tower("resnet18", weights=path)
        assert "\n" not in str(caught.value)


def test_weights_of_another_tower_are_not_named(flat: tuple[Path, dict[str, Tensor]]) -> None:
    path, state = flat
    with pytest.raises(WherefromError, match="of resnet18 on 13 bands, not of resnet50 on 13"):
        tower("resnet50", weights=path)
    with pytest.raises(WherefromError, match=r"on 13 bands, not of resnet18 on 3.*bands=13"):
        tower("resnet18", bands=3, weights=path)
    torch.save({"encoder.norm.bias": torch.zeros(3)}, path)
    with pytest.raises(WherefromError, match="holds no weights of a tower"):
        tower_in(path)
    torch.save(as_in_satclip(state), path)
    with pytest.raises(WherefromError, match="of resnet18 on 13 bands, not of vit_small"):
        tower("vit_small_patch16_224", weights=path)


def test_a_head_that_is_wanted_is_left_drawn(flat: tuple[Path, dict[str, Tensor]]) -> None:
    path, _ = flat
    with pytest.raises(WherefromError, match=r"lacks the tensor fc\."):
        tower("resnet18", out=8).load(path, head=True)
    crowned = tower("resnet18", out=8, generator=seeded(5))
    torch.save(as_in_satclip(crowned.state_dict()), path)
    assert torch.equal(tower_in(path, out=8).fc.weight, crowned.fc.weight)


def test_running_statistics_drift_unless_asked_for() -> None:
    model = tower("resnet18", bands=2).train()
    before = model.bn1.running_mean.clone()
    images = torch.rand(4, 2, 32, 32, generator=seeded(2))
    assert torch.equal(model(images), model.eval()(images))
    assert torch.equal(model.bn1.running_mean, before)
    model.drifting = True
    drifted = model.train()(images)
    assert not torch.equal(model.bn1.running_mean, before)
    assert not torch.allclose(drifted, model.eval()(images))


def test_the_frozen_form_changes_the_tower_that_it_is_made_of() -> None:
    model = tower("resnet18", bands=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frozen(model, torch.bfloat16)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("name", TOWERS)
def test_published_weights_have_no_address(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path))
    monkeypatch.delenv("WHEREFROM_DATA", raising=False)
    with pytest.raises(
        WherefromError,
        match=rf"{name}_sentinel2_all_moco-[0-9a-f]{{8}}\.pth \(sha256 [0-9a-f]{{8}}\.\.\.\)",
    ):
        published(name)
