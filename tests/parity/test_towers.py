"""Image towers against recorded features of timm's, on generated weights and images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wherefrom.models.satclip import SatCLIP
from wherefrom.models.towers import TOWERS, Tower, frozen, sentinel2, tower

Arrays = dict[str, np.ndarray]
#: (tower, input) of the record.
CASES = [
    (name, size)
    for name in TOWERS
    for size in ("224x224", "256x256", "64x64", "224x224_b10zero")
    if "resnet" in name or size.startswith("224")
]
#: The smallest input of each tower.
SMALL = [(name, "64x64" if "resnet" in name else "224x224") for name in TOWERS]


@pytest.fixture(scope="module")
def reference(reference_data: Path) -> Arrays:
    with np.load(reference_data / "satclip" / "towers_reference_outputs.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@cache
def generated(name: str, seed: int = 20260) -> dict[str, Tensor]:
    """Draw the weights by the rule of the record."""
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = {}
    for key, like in sorted(tower(name).state_dict().items()):
        kind = key.rpartition(".")[2]
        if kind == "num_batches_tracked":
            drawn[key] = torch.zeros_like(like)
            continue
        z = rng.standard_normal(tuple(like.shape))
        if kind == "running_var":
            z = 1 + 0.1 * np.abs(z)
        elif kind in ("cls_token", "pos_embed"):
            z = 0.02 * z
        elif z.ndim > 1:
            z = z / np.sqrt(np.prod(z.shape[1:]))
        else:
            z = (kind == "weight") + 0.1 * z
        drawn[key] = torch.from_numpy(z.astype(np.float32))
    return drawn


@cache
def made(name: str) -> Tower:
    found = tower(name)
    found.load_state_dict(generated(name))
    return found


@cache
def images(size: str) -> Tensor:
    height, width = map(int, size.removesuffix("_b10zero").split("x"))
    rng = np.random.Generator(np.random.PCG64(20261))
    drawn = torch.from_numpy(rng.random((4, 13, height, width)).astype(np.float32))
    if size.endswith("_b10zero"):
        drawn[:, 10] = 0
    return drawn


@torch.inference_mode()
def apart(model: nn.Module, reference: Arrays, name: str, size: str, given: Tensor) -> float:
    """Largest relative distance of an image's features from timm's in float64."""
    due = torch.from_numpy(reference[f"{name}/{size}/features64"])
    found = model(given).double()
    assert found.shape == due.shape
    return float(((found - due).norm(dim=1) / due.norm(dim=1)).max())


@pytest.mark.parametrize("name", TOWERS)
def test_t1_weights_of_the_record_are_drawn_otherwise(reference: Arrays, name: str) -> None:
    values = [v.double() for v in generated(name).values() if v.is_floating_point()]
    found = [sum(float(v.sum()) for v in values), sum(float((v * v).sum()) for v in values)]
    assert np.abs(found - reference[f"{name}/checksum"][:2]).max() < 1e-6


@pytest.mark.parametrize("name", TOWERS)
def test_t6_a_key_its_place_shape_or_type_is_not_timms(reference: Arrays, name: str) -> None:
    found = [
        f"{key}|{'x'.join(map(str, v.shape))}|{str(v.dtype).removeprefix('torch.')}"
        for key, v in tower(name).state_dict().items()
    ]
    assert found == reference[f"{name}/keys"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), SMALL)
def test_t2_float64_features_differ(reference: Arrays, name: str, size: str) -> None:
    model = tower(name).double()
    model.load_state_dict(generated(name))
    assert apart(model, reference, name, size, images(size).double()) < 1e-12


@pytest.mark.parametrize(
    ("name", "size", "form"),
    [(*case, "frozen") for case in CASES]
    + [(*case, form) for case in SMALL for form in ("plain", "channels_last")],
)
def test_t3_float32_features_differ(reference: Arrays, name: str, size: str, form: str) -> None:
    model = frozen(made(name)) if form == "frozen" else made(name)
    if form == "channels_last":
        model = copy.deepcopy(model).to(memory_format=torch.channels_last)
    assert apart(model, reference, name, size, images(size)) < 5e-6
    with torch.inference_mode():
        error = model(images(size)) - torch.from_numpy(reference[f"{name}/{size}/features64"])
    assert error.abs().max() < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(("name", "size"), SMALL)
def test_t4_what_lies_between_layers_differs(
    reference: Arrays, name: str, size: str, double: bool
) -> None:
    model = made(name)
    if double:
        model = tower(name).double()
        model.load_state_dict(generated(name))
    due = dict(
        zip(
            reference[f"{name}/{size}/stages"].tolist(),
            reference[f"{name}/{size}/stage_mean_std"],
            strict=True,
        )
    )
    modules = {f"layer{i}": f"layer{i}" for i in range(1, 5)}
    modules |= {f"block{i}": f"blocks.{i}" for i in range(12)} | {"norm": "norm"}
    modules |= {"patch_embed": "patch_embed"}
    seen: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(modules[stage]).register_forward_hook(
            lambda _, __, out, stage=stage: seen.update({stage: out.double()})
        )
        for stage in due
        if stage in modules
    ]
    with torch.inference_mode():
        model(images(size).double() if double else images(size))
    for handle in handles:
        handle.remove()
    assert len(seen) >= 4
    for stage, values in seen.items():
        found = np.array([values.mean(), values.std(correction=0)])
        assert np.abs(found - due[stage]).max() < (1e-10 if double else 1e-5), stage


@pytest.mark.parametrize(
    ("name", "size", "form"),
    [(*case, form) for case in SMALL for form in ("autocast", "pure")]
    + [(name, "224x224", "frozen") for name in TOWERS],
)
def test_t5_bfloat16_features_are_far(reference: Arrays, name: str, size: str, form: str) -> None:
    model = made(name)
    if form == "pure":
        model = copy.deepcopy(model).to(torch.bfloat16)
    if form == "frozen":
        model = frozen(model, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=form == "autocast"):
        assert apart(model, reference, name, size, images(size)) < 2e-2
        with torch.inference_mode():
            found = model(images(size)).double()
    due = torch.from_numpy(reference[f"{name}/{size}/features64"])
    assert torch.cosine_similarity(found, due).min() > 0.9998


def another_eps(kind: type[nn.Module], eps: float) -> Callable[[Tower], None]:
    def change(model: Tower) -> None:
        for module in model.modules():
            if isinstance(module, kind):
                module.eps = eps  # type: ignore[assignment]

    return change


def half_the_heads(model: Tower) -> None:
    for block in model.get_submodule("blocks").children():
        block.attn.heads = 12  # type: ignore[union-attr, assignment]


def stride_of_the_first(model: Tower) -> None:
    block = model.get_submodule("layer2.0")
    block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)  # type: ignore[union-attr, assignment]


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("resnet18", another_eps(nn.BatchNorm2d, 1e-6)),
        ("resnet50", another_eps(nn.BatchNorm2d, 1e-6)),
        ("resnet50", stride_of_the_first),
        ("vit_small_patch16_224", another_eps(nn.LayerNorm, 1e-12)),
        ("vit_small_patch16_224", another_eps(nn.LayerNorm, 1e-5)),
        ("vit_small_patch16_224", half_the_heads),
    ],
)
def test_the_record_would_not_catch_a_mistake(
    reference: Arrays, name: str, mistake: Callable[[Tower], None]
) -> None:
    wrong = tower(name)
    wrong.load_state_dict(generated(name))
    mistake(wrong)
    size = dict(SMALL)[name]
    assert apart(wrong, reference, name, size, images(size)) > 5e-6


@pytest.fixture(scope="module")
def tiles(reference_data: Path) -> np.ndarray:
    import rasterio

    files = sorted((reference_data / "satclip" / "ssl4eo_example" / "images").glob("*.tif"))
    if not files:
        pytest.skip("no example tiles of Sentinel-2")
    found = []
    for file in files:
        with rasterio.open(file) as opened:
            found.append(opened.read())
    return np.stack(found)


@pytest.mark.parametrize("name", TOWERS)
def test_real_tiles_are_clipped_shifted_or_give_other_features_in_bfloat16(
    tiles: np.ndarray, name: str
) -> None:
    given = sentinel2(tiles, 224)
    assert given.shape == (20, 13, 224, 224)
    assert given.max() > 1
    assert not given[:, 10].any()
    assert np.array_equal(given[:, 11], tiles[:, 10, 16:-16, 16:-16] / np.float32(10_000))
    model, at = made(name), slice(0, 20, 5)
    with torch.inference_mode():
        due = frozen(model)(torch.from_numpy(given[at]))
        found = frozen(model, torch.bfloat16)(torch.from_numpy(given[at]))
    assert ((found - due).norm(dim=1) / due.norm(dim=1)).max() < 2e-2


@pytest.mark.parametrize("name", ["resnet18", "vit_small_patch16_224"])
def test_a_satclip_checkpoint_is_misread_or_written_otherwise(
    reference_data: Path, reference: Arrays, name: str, tmp_path: Path
) -> None:
    with np.load(reference_data / "satclip" / "reference_outputs.npz") as arrays:
        places = {key: torch.from_numpy(arrays[key]) for key in arrays.files if "L40" not in key}
    model, size = made(name), dict(SMALL)[name]
    weight, bias = torch.randn(256, model.width), torch.randn(256)
    state = {"model.logit_scale": torch.tensor(3.5)}
    state |= {f"model.visual.{key}": value for key, value in generated(name).items()}
    state |= {f"model.visual.{model.top}.{k}": v for k, v in (("weight", weight), ("bias", bias))}
    for key, value in places.items():
        if key.startswith("nnet."):
            state |= {f"model.{whose}{key}": value.double() for whose in ("", "location.")}
    settings = {"le_type": "sphericalharmonics", "pe_type": "siren", "eval_downstream": False}
    torch.save({"state_dict": state, "hyper_parameters": settings}, tmp_path / "a.ckpt")
    read = SatCLIP.load_official(tmp_path / "a.ckpt")
    read.save_official(tmp_path / "b.ckpt")
    again = SatCLIP.load_official(tmp_path / "b.ckpt")
    features = torch.from_numpy(reference[f"{name}/{size}/features64"])
    image = features @ weight.T.double() + bias
    with torch.inference_mode():
        for found in (read, again):
            off = found.image(images(size)) - image
            assert (off.norm(dim=1) / image.norm(dim=1)).max() < 5e-6
            place = found.location(*places["lonlat"].T)
            assert (place - places["location_embedding_L10"]).abs().max() < 5e-12
            assert found.logit_scale == 3.5
    written = torch.load(tmp_path / "b.ckpt", weights_only=True)
    assert written["state_dict"].keys() == state.keys()
    for key, value in state.items():
        assert written["state_dict"][key].dtype == value.dtype
        assert torch.equal(written["state_dict"][key], value), key
    assert written["hyper_parameters"]["legendre_polys"] == 10
    assert written["hyper_parameters"]["num_hidden_layers"] == 2
    assert written["hyper_parameters"]["capacity"] == 512
