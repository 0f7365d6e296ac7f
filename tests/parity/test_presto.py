"""Presto against recorded outputs of the official code with the published weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from wherefrom.models.presto import Presto, normalise

TOLERANCE = 1e-5

Arrays = dict[str, Tensor]


@pytest.fixture(scope="module")
def reference(reference_data: Path) -> Arrays:
    with np.load(reference_data / "presto" / "reference_outputs.npz") as arrays:
        found = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return found | {"lonlat": found["latlon"].flip(1)}


@pytest.fixture(scope="module")
def presto(reference_data: Path) -> Presto:
    return Presto.load_official(reference_data / "presto" / "default_model.pt")


def whole(presto: Presto, data: Arrays, **changes: Tensor | int) -> Tensor:
    given = {
        "x": data["x"], "dynamic_world": data["dynamic_world"], "lonlat": data["lonlat"],
        "start_month": data["start_month"],
    } | changes  # fmt: skip
    with torch.no_grad():
        return presto.embed(**given)  # type: ignore[arg-type]


def masked(presto: Presto, data: Arrays, rows: Tensor | slice = slice(None)) -> tuple[Tensor, ...]:
    """Embed and reconstruct what the reference masks leave: embedding, values, logits."""
    names = ("x", "dynamic_world_masked", "lonlat", "start_month", "mask")
    given = [data[name][rows] for name in names]
    with torch.no_grad():
        return presto.embed(*given), *presto.reconstruct(*given)


def ragged(data: Arrays) -> tuple[Tensor, ...]:
    """Show even rows whole, hide in odd ones what the reference hides."""
    even = torch.arange(len(data["x"])) % 2 == 0
    world = torch.where(even[:, None], data["dynamic_world"], data["dynamic_world_masked"])
    mask = data["mask"] & ~even[:, None, None]
    return data["x"], world, data["lonlat"], data["start_month"], mask


def worst(found: Tensor, due: Tensor) -> float:
    assert found.shape == due.shape
    return float((found - due).abs().max())


def test_inputs_are_scaled_otherwise_than_officially(reference: Arrays) -> None:
    assert worst(normalise(reference["raw"]).float(), reference["x"]) == 0
    by_array = normalise(reference["raw"].numpy()).astype(np.float32)
    assert worst(torch.from_numpy(by_array), reference["x"]) == 0


def test_embedding_differs_from_the_official_one(presto: Presto, reference: Arrays) -> None:
    assert worst(whole(presto, reference), reference["embedding"]) < TOLERANCE


def test_masked_outputs_differ_from_the_official_ones(presto: Presto, reference: Arrays) -> None:
    embedding, values, logits = masked(presto, reference)
    assert worst(embedding, reference["embedding_masked"]) < TOLERANCE
    assert worst(values, reference["reconstruction"]) < TOLERANCE
    assert worst(logits, reference["reconstruction_dynamic_world"]) < TOLERANCE


def test_rows_of_a_ragged_batch_see_each_others_padding(presto: Presto, reference: Arrays) -> None:
    even = (torch.arange(64) % 2 == 0)[:, None]
    with torch.no_grad():
        found = presto.embed(*ragged(reference))
        values, logits = presto.reconstruct(*ragged(reference))
    due = torch.where(even, reference["embedding"], reference["embedding_masked"])
    assert worst(found, due) < TOLERANCE
    odd = slice(1, None, 2)
    assert worst(values[odd], reference["reconstruction"][odd]) < TOLERANCE
    assert worst(logits[odd], reference["reconstruction_dynamic_world"][odd]) < TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        {"start_month": 0},
        {"lonlat": "latlon"},
        {"dynamic_world": "nothing"},
        {"x": "with temperature in 273.15"},
    ],
    ids=str,
)
def test_a_wrong_input_passes_unnoticed(
    presto: Presto, reference: Arrays, change: dict[str, object]
) -> None:
    """The controls: each must be farther off than any tolerance used here."""
    shifted = reference["x"].clone()
    shifted[..., 12] -= 1 / 35
    values = {
        "latlon": reference["latlon"], "nothing": torch.full((64, 12), 9),
        "with temperature in 273.15": shifted,
    }  # fmt: skip
    name, wrong = next(iter(change.items()))
    if name == "lonlat":  # a latitude of -93 degrees is refused, so the places are moved first
        wrong = values["latlon"].clamp(-90, 90)
    given = values[wrong] if isinstance(wrong, str) else wrong
    found = whole(presto, reference, **{name: given})  # type: ignore[arg-type]
    assert worst(found, reference["embedding"]) > 1e-2


def test_hidden_elevation_is_read(presto: Presto, reference: Arrays) -> None:
    mask = reference["mask"].clone()
    mask[:, 0, 14:16] = True
    given = (reference["dynamic_world_masked"], reference["lonlat"], reference["start_month"], mask)
    other = reference["x"].clone()
    other[..., 14:16] = 7.0
    with torch.no_grad():
        before = presto.reconstruct(reference["x"], *given)
        after = presto.reconstruct(other, *given)
        alike = torch.equal(presto.embed(reference["x"], *given), presto.embed(other, *given))
    assert alike
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_later_elevations_are_read(presto: Presto, reference: Arrays) -> None:
    other = reference["x"].clone()
    other[:, 1:, 14:16] = 7.0
    assert torch.equal(whole(presto, reference, x=other), whole(presto, reference))
    mask = torch.zeros(64, 12, 17, dtype=torch.bool)
    mask[:, 1:, 14:16] = True
    assert torch.equal(whole(presto, reference, mask=mask), whole(presto, reference))


def test_values_at_hidden_places_leak(presto: Presto, reference: Arrays) -> None:
    before = masked(presto, reference)
    noise = torch.where(reference["mask"], torch.nan, reference["x"])
    after = masked(presto, reference | {"x": noise})
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_order_of_the_batch_matters(presto: Presto, reference: Arrays) -> None:
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for before, after in zip(
        masked(presto, reference), masked(presto, reference, order), strict=True
    ):
        assert worst(after, before[order]) < 5e-6


@pytest.mark.parametrize("steps", [1, 3, 12, 24])
def test_other_numbers_of_steps_fail(presto: Presto, reference: Arrays, steps: int) -> None:
    x = torch.cat([reference["x"]] * 2, dim=1)[:, :steps]
    world = torch.cat([reference["dynamic_world_masked"]] * 2, dim=1)[:, :steps]
    mask = torch.cat([reference["mask"]] * 2, dim=1)[:, :steps]
    with torch.no_grad():
        values, logits = presto.reconstruct(x, world, reference["lonlat"], 3, mask)
        embedding = presto.embed(x, world, reference["lonlat"], 3, mask)
    assert values.shape == (64, steps, 17)
    assert logits.shape == (64, steps, 9)
    assert all(bool(torch.isfinite(v).all()) for v in (values, logits, embedding))


def test_months_given_step_by_step_are_those_from_the_first(
    presto: Presto, reference: Arrays
) -> None:
    months = (reference["start_month"][:, None] + torch.arange(12)) % 12
    assert torch.equal(whole(presto, reference, start_month=months), whole(presto, reference))
    # Every fifth series repeats or skips a month: its own months give another embedding.
    months[:, 5] = (months[:, 5] + 1) % 12
    assert worst(whole(presto, reference, start_month=months), reference["embedding"]) > 1e-2


def test_a_series_without_any_value_is_not_embedded(presto: Presto, reference: Arrays) -> None:
    """Only the place is left, as the official code allows."""
    nothing = torch.full((64, 12), 9)
    found = whole(presto, reference, x=torch.full((64, 12, 17), torch.nan), dynamic_world=nothing)
    assert bool(torch.isfinite(found).all())
    assert float((found[0] - found[1:]).abs().amax(1).min()) > 1e-4  # places differ


def test_weights_of_the_released_file_are_changed_by_loading(
    presto: Presto, reference_data: Path
) -> None:
    content = torch.load(reference_data / "presto" / "default_model.pt", map_location="cpu")
    state = presto.state_dict()
    assert content.keys() == state.keys()
    assert all(torch.equal(content[name], state[name]) for name in content)
    fresh = Presto()  # the fixed tables are rebuilt bit for bit
    for name in ("encoder.pos_embed", "encoder.month_embed.weight", "decoder.pos_embed",
                 "decoder.month_embed.weight"):  # fmt: skip
        assert torch.equal(fresh.state_dict()[name], content[name])
    assert sum(p.numel() for p in presto.parameters()) == 819_034
    assert sum(p.numel() for p in presto.encoder.parameters()) == 402_240
