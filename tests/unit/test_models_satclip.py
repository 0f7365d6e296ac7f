"""SatCLIP's maths: gradients, dropout, loss, image side, decay groups."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wherefrom.errors import WherefromError
from wherefrom.models.satclip import (
    LocationEncoder,
    SatCLIP,
    SatCLIPConfig,
    SphericalHarmonics,
    contrastive_loss,
)
from wherefrom.models.towers import Tower, tower
from wherefrom.train.checkpoint import load_weights, save_weights
from wherefrom.train.pretrain import PretrainSettings, pretrain

SMALL = SatCLIPConfig(degrees=4, inputs=5, width=16, out=8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    lon=st.floats(-360, 360),
    lat=st.floats(-90, 90),
    degrees=st.integers(1, 45),
)
@settings(max_examples=60)
def test_addition_theorem_fails(lon: float, lat: float, degrees: int) -> None:
    # Unsoeld: the squares of the orthonormal harmonics of one degree sum to (2 l + 1) / (4 pi).
    row = SphericalHarmonics(degrees)(torch.tensor([lon]).double(), torch.tensor([lat]).double())[0]
    for degree in range(degrees):
        part = row[degree**2 : (degree + 1) ** 2].clone()
        part[degree] /= math.pi
        assert part.square().sum().item() == pytest.approx((2 * degree + 1) / (4 * math.pi))


def test_blocks_and_traced_path_disagree() -> None:
    rng = np.random.default_rng(0)
    lon = torch.from_numpy(rng.uniform(-180, 180, 1300))
    lat = torch.from_numpy(rng.uniform(-90, 90, 1300))
    harmonics = SphericalHarmonics(12)
    whole = harmonics(lon, lat)
    alone = torch.cat([harmonics(lon[i : i + 1], lat[i : i + 1]) for i in (0, 511, 512, 1299)])
    assert (whole[[0, 511, 512, 1299]] - alone).abs().max() < 1e-14
    traced = harmonics(lon.requires_grad_(), lat)
    assert traced.requires_grad
    assert (whole - traced).abs().max() < 1e-14


def test_no_places_crash() -> None:
    nothing = torch.zeros(0, dtype=torch.float64)
    assert SphericalHarmonics(5)(nothing, nothing).shape == (0, 25)


def test_gradient_is_nan_at_the_poles_or_wrong_elsewhere() -> None:
    lon = torch.tensor([10.0, -170.0, 77.0], dtype=torch.float64, requires_grad=True)
    lat = torch.tensor([90.0, -90.0, 33.0], dtype=torch.float64, requires_grad=True)
    harmonics, weights = SphericalHarmonics(40), torch.randn(1600, generator=seeded()).double()
    slopes = torch.autograd.grad((harmonics(lon, lat) @ weights).sum(), (lon, lat))
    for i, slope in enumerate(slopes):
        step = [1e-5 * (i == 0), 1e-5 * (i == 1)]
        ahead = harmonics(lon + step[0], lat + step[1]) @ weights
        behind = harmonics(lon - step[0], lat - step[1]) @ weights
        assert torch.allclose(slope, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-5)


def test_same_place_with_another_longitude_differs() -> None:
    lon, lat = torch.tensor([-180.0, 180.0, 540.0]).double(), torch.tensor([5.0, 5.0, 5.0]).double()
    rows = SphericalHarmonics(40)(lon, lat)
    assert (rows - rows[0]).abs().max() < 1e-12


def test_initial_weights_leave_their_bounds_or_the_generator() -> None:
    before = torch.get_rng_state()
    first, second = (
        LocationEncoder(10, generator=seeded(3)),
        LocationEncoder(10, generator=seeded(3)),
    )
    assert torch.equal(torch.get_rng_state(), before)
    for layer, bound in zip(
        first.layers, (0.01, math.sqrt(6 / 512), math.sqrt(6 / 512)), strict=True
    ):
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert 0.9 * bound < layer.bias.abs().max() <= bound
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert sum(p.numel() for p in first.parameters()) == 445_696


def test_dropout_acts_in_eval_or_draws_from_the_global_state() -> None:
    encoder = LocationEncoder(4, width=64)
    lon, lat = torch.tensor([3.0]), torch.tensor([4.0])
    before = torch.get_rng_state()
    one, two = (encoder(lon, lat, seeded(s)) for s in (1, 1))
    other = encoder(lon, lat, seeded(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="Generator"):
        encoder(lon, lat)
    encoder.eval()
    assert torch.equal(encoder(lon, lat), encoder(lon, lat, seeded(1)))


def test_dropout_rate_or_scale_is_off() -> None:
    # One sine layer with the identity behind it: 0 where dropped, sin(30 z / (1 - p)) elsewhere.
    encoder = LocationEncoder(10, width=256, depth=1, out=256, dropout=0.25, generator=seeded())
    with torch.no_grad():
        encoder.layers[1].weight.copy_(torch.eye(256))
        encoder.layers[1].bias.zero_()
        lon, lat = torch.linspace(-170, 170, 400), torch.linspace(-80, 80, 400)
        z = encoder.layers[0](encoder.harmonics(lon, lat))
        out = encoder(lon, lat, seeded(7))
    kept = out != 0
    # 102,400 draws: five standard errors of the rate are 0.007.
    assert kept.double().mean().item() == pytest.approx(0.75, abs=0.007)
    assert (out - torch.sin(30 * z / 0.75))[kept].abs().max() < 1e-4


def test_loss_or_its_gradient_differs_from_two_cross_entropies() -> None:
    a, b = (torch.randn(9, 6, generator=seeded(s)).double().requires_grad_() for s in (1, 2))
    scale = torch.tensor(math.log(1 / 0.07), dtype=torch.float64, requires_grad=True)
    unit = [v / v.norm(dim=1, keepdim=True) for v in (a, b)]
    logits = scale.exp() * unit[1] @ unit[0].T
    truth = torch.arange(9)
    cross = torch.nn.functional.cross_entropy
    expected = (cross(logits, truth) + cross(logits.T, truth)) / 2
    loss = contrastive_loss(a, b, scale)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    ours = torch.autograd.grad(3 * loss, (a, b, scale))
    theirs = torch.autograd.grad(3 * expected, (a, b, scale))
    for mine, known in zip(ours, theirs, strict=True):
        assert (mine - known).abs().max() < 1e-12


@pytest.mark.parametrize("hidden", [0, 7])
def test_feature_head_ignores_the_pool_statistics(hidden: int) -> None:
    features = np.random.default_rng(0).normal(5, 3, (200, 5)).astype(np.float32)
    features[:, 2] = 4
    model = replace(SMALL, hidden=hidden)
    module = model.build(seeded())
    model.calibrate(module, {"image": features})
    scaled = (features - features.mean(0)) / np.where(features.std(0) > 0, features.std(0), 1)
    expected = torch.from_numpy(scaled)
    for i, layer in enumerate(module.image.layers):
        expected = layer(expected if i == 0 else torch.nn.functional.gelu(expected))
    out = module.image(torch.from_numpy(features))
    assert torch.isfinite(out).all()
    assert (out - expected).abs().max() < 1e-4


def test_location_encoder_starts_differently_beside_another_image_side() -> None:
    cnn = replace(SMALL, image="cnn", inputs=3).build(seeded(5))
    head = SMALL.build(seeded(5))
    for a, b in zip(cnn.location.parameters(), head.location.parameters(), strict=True):
        assert torch.equal(a, b)


def records(model: SatCLIPConfig, n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    image = rng.normal(size=(n, model.inputs)).astype(np.float32)
    if model.image == "cnn":
        image = rng.integers(0, 256, (n, model.inputs, 16, 16), dtype=np.uint8)
    return {"lon": rng.uniform(-180, 180, n), "lat": rng.uniform(-90, 90, n), "image": image}


@pytest.mark.parametrize("model", [SMALL, replace(SMALL, image="cnn", inputs=3)])
def test_some_parameter_gets_no_gradient(model: SatCLIPConfig) -> None:
    module: SatCLIP = model.build(seeded())
    prepared = model.prepare(records(model, 20), torch.device("cpu"))
    batch = model.collate(prepared, torch.tensor([3, 1, 7, 19]))
    model.loss(module, batch, seeded()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_kept_harmonics_change_the_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SMALL.build(seeded()).eval()
    given_ = records(SMALL, 20)
    rows = torch.tensor([5, 0])
    kept = SMALL.encode(module, SMALL.collate(SMALL.prepare(given_, torch.device("cpu")), rows))
    monkeypatch.setattr("wherefrom.models.satclip._KEEP_BYTES", 0)
    prepared = SMALL.prepare(given_, torch.device("cpu"))
    assert "harmonics" not in prepared
    assert torch.equal(kept, SMALL.encode(module, SMALL.collate(prepared, rows)))


def test_weight_decay_acts_on_biases_or_the_temperature() -> None:
    module = SMALL.build(seeded())
    decayed = {n for n, p in module.named_parameters() if SMALL.decays(n, p)}
    assert decayed == {n for n, p in module.named_parameters() if n.endswith("weight")}
    assert "logit_scale" not in decayed


def test_wrong_number_of_features_surfaces_as_a_shape_error() -> None:
    with pytest.raises(WherefromError, match="inputs=5"):
        replace(SMALL, inputs=6).prepare(records(SMALL, 4), torch.device("cpu"))


@pytest.mark.parametrize(
    "wrong", [{"degrees": 0}, {"degrees": 4, "dropout": 1.0}, {"degrees": 4, "depth": 0}]
)
def test_impossible_encoder_is_built(wrong: dict[str, float]) -> None:
    with pytest.raises(WherefromError):
        LocationEncoder(**wrong)


def test_a_place_without_an_image_is_trained_on() -> None:
    places = {name: records(SMALL, 4)[name] for name in ("lon", "lat")}
    batch = SMALL.prepare(places, torch.device("cpu"))
    module = SMALL.build(torch.Generator().manual_seed(0))
    assert SMALL.encode(module.eval(), batch).shape == (4, SMALL.out)
    with pytest.raises(WherefromError, match="the records have no image"):
        SMALL.loss(module, batch, torch.Generator())


@pytest.fixture
def towered(tmp_path: Path) -> SatCLIPConfig:
    """SatCLIP on a frozen ResNet-18 whose weights a file holds."""
    torch.save(tower("resnet18", generator=seeded(8)).state_dict(), tmp_path / "moco.pth")
    return replace(SMALL, image="resnet18", inputs=13, weights=tmp_path / "moco.pth")


def tiles(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    image = rng.integers(0, 15_000, (n, 12, 32, 32), np.uint16)
    return {"lon": rng.uniform(-180, 180, n), "lat": rng.uniform(-90, 90, n), "image": image}


@pytest.mark.parametrize("drifting", [False, True])
def test_a_frozen_tower_is_trained_drifts_or_is_lost_with_the_weights(
    towered: SatCLIPConfig, drifting: bool, tmp_path: Path
) -> None:
    model = replace(towered, drifting=drifting)
    budget = PretrainSettings(samples_seen=12, batch=4, lr=1e-2, warmup=0)
    module = pretrain(model, tiles(6), np.arange(6), budget, seed=1)
    official = torch.load(tmp_path / "moco.pth")
    assert isinstance(module.image, Tower)
    changed = {k for k, v in official.items() if not torch.equal(v, module.image.state_dict()[k])}
    assert all("running" in name or "num_batches" in name for name in changed)
    assert bool(changed) == drifting
    start = model.build(seeded())
    assert not torch.equal(start.image.fc.weight, module.image.fc.weight)
    save_weights(model, module, tmp_path / "w.safetensors")
    elsewhere = replace(model, weights=None)  # the file of the tower is not needed any more
    read = load_weights(elsewhere, tmp_path / "w.safetensors")
    image = torch.from_numpy(tiles(2)["image"])
    assert torch.equal(read.image(image), module.image(image))


def test_a_tower_of_drawn_weights_is_taken_for_a_published_one(towered: SatCLIPConfig) -> None:
    model = replace(towered, weights=None)
    module = model.build(seeded())
    batch = model.collate(model.prepare(tiles(4), torch.device("cpu")), torch.arange(4))
    with pytest.raises(WherefromError, match=r"weights of resnet18 are drawn.*published"):
        model.loss(module.train(), batch, seeded())
    assert math.isfinite(model.loss(module.eval(), batch, seeded()).item())


def test_an_unknown_image_side_is_built() -> None:
    with pytest.raises(WherefromError, match="image side 'resnet81': did you mean 'resnet18'"):
        replace(SMALL, image="resnet81")


def test_a_drift_or_a_path_enters_the_spec_of_what_has_none(towered: SatCLIPConfig) -> None:
    assert not {"drifting", "weights"} & SMALL.spec().keys()
    assert towered.spec() == replace(towered, weights=None).spec()
    assert towered.spec() != replace(towered, drifting=True).spec()


def test_an_image_side_without_official_form_is_written_as_one(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="FeatureHead has no official form"):
        SMALL.build(seeded()).save_official(tmp_path / "a.ckpt")


def test_an_official_checkpoint_without_a_tower_is_read_whole(tmp_path: Path) -> None:
    known = LocationEncoder(3, width=8, depth=1, out=5)
    state = {
        f"model.nnet.{name}.{kind}": getattr(layer, kind).detach()
        for name, layer in zip(("layers.0", "last_layer"), known.layers, strict=True)
        for kind in ("weight", "bias")
    }
    state["model.visual.class_embedding"] = torch.zeros(128)
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    with pytest.raises(WherefromError, match="holds no weights of a tower"):
        SatCLIP.load_official(tmp_path / "a.ckpt")
