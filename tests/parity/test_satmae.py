"""SatMAE against recorded outputs of the official code: random weights, no trivial bias or norm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wherefrom.models.satmae import SatMAE, hidden_by

MODES = ("indep", "spatial")
TABLES = ("pos_embed", "channel_embed", "decoder_pos_embed", "decoder_channel_embed")


@pytest.fixture(scope="module")
def reference(reference_data: Path) -> dict[str, Tensor]:
    path = reference_data / "satmae" / "reference_outputs.npz"
    if not path.is_file():
        pytest.skip(f"no reference outputs of SatMAE at {path}")
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def built(reference: dict[str, Tensor]) -> SatMAE:
    given = {name[7:]: v for name, v in reference.items() if name.startswith("config/")}
    groups = given.pop("groups_flat").split(given.pop("group_sizes").tolist())
    return SatMAE(
        int(given["img_size"]), int(given["patch_size"]), [one.tolist() for one in groups],
        *(int(given[name]) for name in (
            "embed_dim", "channel_embed", "depth", "num_heads", "decoder_embed_dim",
            "decoder_channel_embed", "decoder_depth", "decoder_num_heads",
        )),
    )  # fmt: skip


def weights(reference: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[8:]: v for name, v in reference.items() if name.startswith("weights/")}


@pytest.fixture
def model(reference: dict[str, Tensor]) -> SatMAE:
    made = built(reference)
    made.load_state_dict(weights(reference), strict=True)
    return made.eval()


def run(model: SatMAE, data: dict[str, Tensor], mode: str, **options: Any) -> tuple[Tensor, ...]:
    """Give latent codes, prediction, mask and loss."""
    consistent, images, noise = mode == "spatial", data["imgs"], data[f"{mode}/noise"]
    with torch.no_grad():
        loss, prediction, mask = model(images, noise, consistent=consistent, **options)
        kept = model.hide(len(images), noise, 0.75, consistent).kept
        return model.latent(model.patches(images), kept), prediction, mask, loss


def worst(found: Tensor, due: Tensor) -> float:
    assert found.shape == due.shape
    return float((found - due).abs().max())


def test_tables_are_others_than_officially(reference: dict[str, Tensor]) -> None:
    made = built(reference)
    assert sum(weight.numel() for weight in made.parameters()) == 97_896
    for name in TABLES:
        assert worst(getattr(made, name), weights(reference)[name]) <= 1e-7, name


@pytest.mark.parametrize("mode", MODES)
def test_noise_hides_other_tokens_than_officially(reference: dict[str, Tensor], mode: str) -> None:
    noise = reference[f"{mode}/noise"]
    groups = 3 if mode == "spatial" else 1
    found = hidden_by(noise, 0.75, groups)
    assert torch.equal(found.mask(3), reference[f"{mode}/mask"].float())
    order = torch.cat([part[:, : part.shape[1] // groups] for part in found], dim=1)
    assert torch.equal(order.argsort(1).int(), reference[f"{mode}/ids_restore"])


@pytest.mark.parametrize("mode", MODES)
def test_codes_or_predictions_differ_from_the_official_ones(
    model: SatMAE, reference: dict[str, Tensor], mode: str
) -> None:
    latent, prediction, _, _ = run(model, reference, mode)
    assert worst(latent, reference[f"{mode}/latent"]) < 2e-5
    assert worst(prediction, reference[f"{mode}/pred"]) < 2e-5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("aligned", [False, True])
def test_a_loss_differs_from_the_official_one(
    model: SatMAE, reference: dict[str, Tensor], mode: str, normalise: bool, aligned: bool
) -> None:
    *_, loss = run(model, reference, mode, normalise=normalise, aligned=aligned)
    name = f"{mode}/loss_{'aligned_' if aligned else ''}normpix{int(normalise)}"
    assert abs(float(loss) - float(reference[name])) < 2e-6


def test_gradients_differ_from_the_official_ones(
    model: SatMAE, reference: dict[str, Tensor]
) -> None:
    loss, _, _ = model(reference["imgs"], reference["indep/noise"], aligned=False)
    loss.backward()
    names = [name for name in reference if name.startswith("indep/grad/")]
    for name in names:
        gradient = model.get_parameter(name.removeprefix("indep/grad/")).grad
        assert gradient is not None
        assert worst(gradient, reference[name]) < 1e-6, name
    assert len(names) == 5


@torch.no_grad()
def test_features_differ_from_the_official_ones(
    model: SatMAE, reference: dict[str, Tensor]
) -> None:
    images = reference["imgs"]
    assert worst(model.latent(model.patches(images), None), reference["latent_ratio0"]) < 2e-5
    for pooling in ("mean", "cls"):
        found = model.encode(images, pooling)  # type: ignore[arg-type]
        assert worst(found, reference[f"features_{pooling}"]) < 1e-5, pooling


def halves_swapped(table: Tensor) -> Tensor:
    return torch.cat(table.chunk(2, dim=-1)[::-1], dim=-1)


@torch.no_grad()
def wrong(model: SatMAE, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a mistake."""
    if how == "row and column swapped":
        for name in ("pos_embed", "decoder_pos_embed"):
            table = getattr(model, name)
            table.copy_(halves_swapped(table))
    elif how == "channel part first":
        real = SatMAE._table

        def turned(self: SatMAE, places: Tensor, channels: Tensor) -> Tensor:
            return real(self, places, channels).roll(channels.shape[-1], dims=-1)

        monkeypatch.setattr(SatMAE, "_table", turned)
    elif how == "LayerNorm eps 1e-5":
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-5
    elif how == "tanh GELU":
        real_gelu = nn.functional.gelu
        monkeypatch.setattr(nn.functional, "gelu", lambda x: real_gelu(x, approximate="tanh"))
    elif how == "decoder channel rows shifted by one":
        model.decoder_channel_embed.copy_(model.decoder_channel_embed.roll(1, dims=1))
    elif how == "decoder cls without channel part":
        model.decoder_channel_embed[0, -1] = 0


@pytest.mark.parametrize(
    ("how", "of_codes", "of_predictions"),
    [
        ("row and column swapped", 2.7, 2.0),
        ("channel part first", 2.5, 4.1),
        ("LayerNorm eps 1e-5", 1.2e-3, 1.7e-3),
        ("tanh GELU", 5e-4, 7e-4),
        ("decoder channel rows shifted by one", 0.0, 1.45),
        ("decoder cls without channel part", 0.0, 0.048),
    ],
)
def test_a_wrong_model_passes_unnoticed(
    model: SatMAE,
    reference: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    of_codes: float,
    of_predictions: float,
) -> None:
    """The controls: about as far off as recorded, and farther than any tolerance used here."""
    wrong(model, how, monkeypatch)
    latent, prediction, _, _ = run(model, reference, "indep")
    assert worst(latent, reference["indep/latent"]) == pytest.approx(of_codes, rel=0.1, abs=2e-5)
    assert worst(prediction, reference["indep/pred"]) == pytest.approx(of_predictions, rel=0.1)


def test_a_wrong_loss_passes_unnoticed(model: SatMAE, reference: dict[str, Tensor]) -> None:
    _, prediction, mask, _ = run(model, reference, "indep")
    patches = model.patches(reference["imgs"])
    flat = patches.flatten(2)
    biased = (flat - flat.mean(2, keepdim=True)) / (
        flat.var(2, keepdim=True, correction=0) + 1e-6
    ).sqrt()
    found = model.loss(prediction, biased.view_as(patches).transpose(1, 2), mask, aligned=False)
    assert float(found) - float(reference["indep/loss_normpix1"]) == pytest.approx(6.3e-3, rel=0.1)
    squares = (prediction - model.targets(patches, False)).square().mean(3)
    per_value = torch.zeros_like(squares)
    for group, channels in enumerate(model.groups):
        per_value[:, list(channels)] = mask[:, group : group + 1]
    by_value = (squares * per_value).sum() / per_value.sum()
    due = float(reference["indep/loss_normpix0"])
    assert float(by_value) - due == pytest.approx(-0.066, rel=0.1)
    *_, aligned = run(model, reference, "indep", aligned=True)
    assert float(aligned) - due == pytest.approx(0.0049, rel=0.02)
