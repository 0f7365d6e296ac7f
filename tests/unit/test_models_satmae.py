"""SatMAE: sizes, masks, losses, what reaches what, and what is refused."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.models.satmae import SIZES, SatMAE, Size, hidden_by
from wherefrom.train.heads import head

THREE = ((0, 1, 2), (3, 4), (5, 6))
SENTINEL = ((0, 1, 2, 6), (3, 4, 5, 7), (8, 9))
SMALL = Size(32, 8, 48, 16, 2, 4, 32, 8, 1, 4)


def made(size: Size = SMALL, groups: Sequence[Sequence[int]] = THREE, seed: int = 0) -> SatMAE:
    image, patch, *rest = size
    return SatMAE(image, patch, groups, *rest, generator=torch.Generator().manual_seed(seed)).eval()


def images(count: int = 4, channels: int = 7, side: int = 32) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def noise(count: int, tokens: int, seed: int = 2) -> Tensor:
    return torch.rand(count, tokens, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave weights as they come: only their shapes are asked for."""
    monkeypatch.setattr(SatMAE, "_draw", lambda *_: None)


@pytest.mark.parametrize(
    ("size", "patch", "groups", "every", "trained", "encoder", "encoder_trained"),
    [
        ("base", 8, SENTINEL, 111_624_448, 111_493_248, 85_625_600, 85_550_592),
        ("large", 8, SENTINEL, 329_212_928, 329_044_608, 303_083_008, 302_970_880),
        ("laptop", 4, THREE, 2_958_488, 2_945_200, 2_700_352, 2_691_840),
        ("laptop", 4, SENTINEL, 2_972_360, None, None, None),
        ("laptop", 8, THREE, 3_045_992, None, None, None),
    ],
)
def test_a_size_has_other_parameters_than_published(
    undrawn: None,
    size: str,
    patch: int,
    groups: Any,
    every: int,
    trained: int | None,
    encoder: int | None,
    encoder_trained: int | None,
) -> None:
    model = made(SIZES[size]._replace(patch=patch), groups)
    named = dict(model.named_parameters())
    own = {name: w for name, w in named.items() if "decoder" not in name and name != "mask_token"}
    assert sum(w.numel() for w in named.values()) == every
    for due, some in ((trained, named), (encoder_trained, own)):
        if due is not None:
            assert sum(w.numel() for w in some.values() if w.requires_grad) == due
    if encoder is not None:
        assert sum(w.numel() for w in own.values()) == encoder


def test_the_encoder_sees_other_numbers_of_tokens(undrawn: None) -> None:
    for size, groups, kept, every in (("base", SENTINEL, 108, 432), ("laptop", THREE, 48, 192)):
        model = made(SIZES[size], groups)
        for consistent in (False, True):
            found = model.hide(2, None, 0.75, consistent)
            assert found.kept.shape == (2, kept)
            assert found.hidden.shape == (2, every - kept)
    small = made()
    patches = small.patches(images())
    kept = small.hide(4, None, 0.75).kept
    assert small.latent(patches, kept).shape == (4, 13, 48)
    assert small.latent(patches, None).shape == (4, 49, 48)


def test_named_values_of_the_tables_are_others(undrawn: None) -> None:
    base, large = made(SIZES["base"], SENTINEL), made(SIZES["large"], SENTINEL)
    due = {
        (base.pos_embed, 2, 0): 0.84147096, (base.pos_embed, 2, 1): 0.80196178,
        (base.pos_embed, 2, 127): 1.0746079e-4, (base.pos_embed, 2, 128): 0.54030228,
        (base.pos_embed, 2, 200): 0.99998420, (base.pos_embed, 13, 0): 0,
        (base.pos_embed, 13, 256): 0.84147096, (base.pos_embed, 13, 384): 0.54030228,
        (base.decoder_channel_embed, 3, 0): 0.14112000,
        (base.decoder_channel_embed, 3, 63): 3.4643459e-4,
        (base.decoder_channel_embed, 3, 64): -0.98999250,
        (base.channel_embed, 1, 0): 0.84147096, (base.channel_embed, 1, 1): 0.80196178,
        (base.channel_embed, 1, 128): 0.54030228, (base.channel_embed, 0, 0): 0,
        (base.channel_embed, 0, 128): 1, (base.channel_embed, 2, 0): 0.90929741,
        (base.channel_embed, 2, 255): 1.0,
        (large.pos_embed, 2, 1): 0.8152506, (large.pos_embed, 2, 127): 0.0022603010,
        (large.pos_embed, 13, 256): 1.0, (large.pos_embed, 13, 384): 0.84147096,
    }  # fmt: skip
    for (table, row, column), value in due.items():
        assert float(table[0, row, column]) == pytest.approx(value, abs=1e-6), (row, column)
    assert not base.pos_embed[0, 0].any()


def test_masks_hide_some_tokens_more_often_than_others() -> None:
    rows, groups, places = 20_000, 3, 64
    hidden = hidden_by(noise(rows, groups * places), 0.75).mask(groups)
    assert (hidden.sum((1, 2)) == 144).all()
    off = (hidden.mean(0) - 0.75).abs().max()
    assert off < 4 * math.sqrt(0.75 * 0.25 / rows)
    assert float((hidden.sum(1) == 3).float().mean()) == pytest.approx(0.420, abs=0.004)
    assert float((hidden.sum(1) == 0).float().mean()) == pytest.approx(0.0148, abs=0.001)
    assert float(hidden.sum(2).std()) == pytest.approx(2.83, abs=0.05)
    again, other = (
        hidden_by(noise(rows, groups * places, seed), 0.75).mask(groups) for seed in (2, 3)
    )
    assert torch.equal(hidden, again)
    assert not torch.equal(hidden, other)


def test_consistent_masks_differ_between_groups() -> None:
    model = made()
    _, _, mask = model(images(), consistent=True)
    assert torch.equal(mask, mask[:, :1].expand_as(mask))
    assert (mask.sum((1, 2)) == 36).all()


def blank(model: SatMAE) -> SatMAE:
    """Let a model predict zeros."""
    for predicts in model.decoder_pred:
        assert isinstance(predicts, nn.Linear)
        nn.init.zeros_(predicts.weight)
        nn.init.zeros_(predicts.bias)
    return model


@torch.no_grad()
def test_the_loss_of_predicting_nothing_is_not_what_it_must_be() -> None:
    constant = torch.full((4, 7, 32, 32), 0.3)
    loss, _, _ = blank(made())(constant)
    assert float(loss) == pytest.approx(0.09, rel=1e-6)
    loss, _, _ = blank(made())(constant, normalise=True)
    assert math.isfinite(loss)
    assert float(loss) < 1e-8
    one = blank(made(SMALL._replace(patch=4), [range(7)]))
    loss, _, _ = one(images(64), normalise=True)
    assert float(loss) == pytest.approx(111 / 112, abs=2e-4)
    several = blank(made(SMALL._replace(patch=4)))
    loss, _, _ = several(images(64), normalise=True)
    assert 0.97 < float(loss) < 1.0


@torch.no_grad()
def test_hidden_pixels_reach_the_encoder() -> None:
    model, given = made(), images()
    chosen = model.hide(4, noise(4, 48), 0.75)
    patches = model.patches(given)
    changed = patches.clone()
    for group, channels in enumerate(model.groups):
        hidden = chosen.mask(3)[:, group].bool()
        for channel in channels:
            changed[:, :, channel][hidden] = 7.0
    assert not torch.equal(changed, patches)
    assert torch.equal(model.latent(changed, chosen.kept), model.latent(patches, chosen.kept))


@torch.no_grad()
def test_the_order_of_tokens_or_of_a_batch_matters() -> None:
    model, patches = made(), made().patches(images())
    chosen = model.hide(4, noise(4, 48), 0.75)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    turned = chosen._replace(kept=chosen.kept[:, order])
    latent, other = model.latent(patches, chosen.kept), model.latent(patches, turned.kept)
    torch.testing.assert_close(other[:, 1:], latent[:, 1:][:, order], atol=1e-5, rtol=0)
    torch.testing.assert_close(other[:, 0], latent[:, 0], atol=1e-5, rtol=0)
    found, moved = (
        model.predict(model.decode(codes, hide, every=True))
        for codes, hide in ((latent, chosen), (other, turned))
    )
    torch.testing.assert_close(moved, found, atol=1e-5, rtol=0)
    rows = torch.tensor([2, 0, 3, 1])
    _, whole, _ = model(images(), noise(4, 48))
    _, permuted, _ = model(images()[rows], noise(4, 48)[rows])
    torch.testing.assert_close(permuted, whole[rows], atol=1e-5, rtol=0)


def test_visible_tokens_count_in_the_aligned_loss() -> None:
    model, given = made(groups=SENTINEL), images(channels=10)
    _, prediction, mask = model(given, noise(4, 48))
    prediction = prediction.detach().requires_grad_()
    targets = model.targets(model.patches(given), False)
    loss = model.loss(prediction, targets, mask)
    (gradient,) = torch.autograd.grad(loss, prediction)
    start, changed = 0, targets.clone()
    for group, channels in enumerate(model.groups):
        visible = mask[:, group] == 0
        for slot, channel in enumerate(channels, start):
            assert not gradient[:, slot][visible].any()
            assert gradient[:, slot][~visible].all()
            changed[:, channel][visible] = 9.0
        start += len(channels)
    assert torch.equal(model.loss(prediction, changed, mask), loss)
    assert not torch.equal(model.loss(prediction, changed, mask, aligned=False), loss)


@torch.no_grad()
def test_consecutive_groups_are_misaligned() -> None:
    model = made()
    losses = [model(images(), noise(4, 48), aligned=aligned)[0] for aligned in (True, False)]
    assert torch.equal(*losses)
    model = made(groups=SENTINEL)
    given = images(channels=10)
    losses = [model(given, noise(4, 48), aligned=aligned)[0] for aligned in (True, False)]
    assert not torch.equal(*losses)


@pytest.mark.parametrize("groups", [THREE, SENTINEL])
def test_skipping_what_nobody_asks_for_changes_the_loss(groups: Any) -> None:
    """Training decodes hidden tokens alone in the last block."""
    model, given = made(groups=groups), images(channels=sum(map(len, groups)))
    whole, _, _ = model(given, noise(4, 48))
    patches, chosen = model.patches(given), model.hide(4, noise(4, 48), 0.75)
    decoded = model.decode(model.latent(patches, chosen.kept), chosen, every=False)
    loss = model.loss(
        model.predict(decoded), model.targets(patches, False), chosen.mask(len(groups))
    )
    torch.testing.assert_close(loss, whole)


@pytest.mark.slow
def test_a_batch_cannot_be_learnt_by_heart() -> None:
    """2 s: the one test that the whole of it learns."""
    b, c, y, x = (torch.arange(n) for n in (8, 7, 32, 32))
    b, c, y, x = b.view(-1, 1, 1, 1), c.view(-1, 1, 1), y.view(-1, 1), x
    given = 0.5 + 0.4 * torch.sin(
        2 * math.pi * ((b % 4 + 1) * x / 32 + (c % 3 + 1) * y / 32) + b + c
    )
    model, fixed = made().train(), noise(8, 48)
    adam = torch.optim.AdamW(
        [w for w in model.parameters() if w.requires_grad],
        lr=3e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True,
    )  # fmt: skip
    losses = []
    for _ in range(401):
        adam.zero_grad()
        loss, _, _ = model(given, fixed)
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(0.68, abs=0.05)
    assert losses[50] == pytest.approx(0.081, abs=0.01)
    assert losses[400] < 0.02


def test_weights_do_not_come_back(tmp_path: Path) -> None:
    model, other = made(), made(seed=1)
    assert any(
        not torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )
    content = {
        "model": model.state_dict(), "epoch": 49, "args": argparse.Namespace(mask_ratio=0.75)
    }  # fmt: skip
    torch.save(content, tmp_path / "checkpoint.pth")
    other.load(tmp_path / "checkpoint.pth")
    torch.save(model.state_dict(), tmp_path / "flat.pt")
    for again in (other, made(seed=2).load(tmp_path / "flat.pt")):
        assert torch.equal(again.encode(images()), model.encode(images()))


def test_a_probe_of_a_net_that_learnt_nothing_does_not_run() -> None:
    with torch.no_grad():
        features = made().encode(images(60)).numpy()
    labels = np.arange(60) % 2
    rows = np.random.default_rng(0).permutation(40)[None, :20]
    found = head("logistic").fit_predict(
        features, labels, rows, np.arange(40, 60), np.random.SeedSequence(0)
    )
    assert found.shape == (1, 20)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": 30}, "no whole number of patches of 8"),
        ({"heads": 5}, "heads must divide"),
        ({"channel_width": 15}, "heads must divide"),
        ({"channel_width": 48}, "heads must divide"),
        ({"decoder_channel_width": 6}, "a width of 32"),
    ],
)
def test_numbers_that_do_not_fit_are_taken(change: dict[str, int], said: str) -> None:
    with pytest.raises(WherefromError, match=said):
        made(SMALL._replace(**change))


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([], "a group has no channel"),
        ([[0, 1], []], "a group has no channel"),
        ([[0, 1], [1, 2]], "each once"),
        ([[0, 1], [3]], "each once"),
    ],
)
def test_groups_without_their_channels_are_taken(groups: Any, said: str) -> None:
    with pytest.raises(WherefromError, match=said):
        made(groups=groups)


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        (images(channels=6), {}, r"images have shape \(4, 6, 32, 32\), not \(B, 7, 32, 32\)"),
        (images(side=24), {}, r"\(4, 7, 24, 24\), not \(B, 7, 32, 32\): 7 channels in 3 groups"),
        (images()[0], {}, "images have shape"),
        (images().double(), {}, "images are torch.float64, weights torch.float32: scale them"),
        (images().short(), {}, "images are torch.int16"),
        (images(), {"ratio": 0.999}, "keeps 0 of 48 tokens"),
        (images(), {"ratio": 1.0}, "at least 0 and below 1, not 1.0"),
        (images(), {"ratio": -0.5}, "below 1, not -0.5"),
        (images(), {"ratio": float("nan")}, "below 1, not nan"),
        (images(), {"noise": noise(4, 16)}, r"noise has shape \(4, 16\), not \(4, 48\)"),
    ],
)
def test_inputs_of_another_shape_are_taken(
    given: Tensor, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(WherefromError, match=said):
        made()(given, **options)


def test_an_unknown_pooling_is_taken() -> None:
    with pytest.raises(WherefromError, match="pooling is 'mean' or 'cls', not 'max'"):
        made().encode(images(), "max")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"size": SMALL._replace(depth=3)}, "which is not of weights of a SatMAE of 32 pixels"),
        ({"size": SMALL._replace(patch=4)}, "has shape .*: give weights of a SatMAE"),
        ({"groups": [range(7)]}, "groups of 3\\+2\\+2 channels"),
    ],
)
def test_weights_of_another_model_are_taken(
    other: dict[str, Any], said: str, tmp_path: Path
) -> None:
    torch.save(made(**other).state_dict(), tmp_path / "other.pt")
    with pytest.raises(WherefromError, match=said):
        made().load(tmp_path / "other.pt")
