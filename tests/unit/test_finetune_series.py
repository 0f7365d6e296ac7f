"""Full fine-tuning of Presto: all seeds at once give what a loop of models and optimizers gives."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from wherefrom.errors import WherefromError
from wherefrom.models import stacked
from wherefrom.models.presto import Presto
from wherefrom.models.tokens import BANDS, CLASSES, GROUPS, Inputs, Slots, kinds, slots
from wherefrom.train import finetune_series
from wherefrom.train.finetune_series import FineTuneSeries, TunedSeries, start
from wherefrom.train.heads import Logistic

ROWS, N, TEST = 160, 12, 60
SHOWN = {
    "climate": ("ERA5", "SRTM"),
    "all groups": tuple(GROUPS),
    "ragged": ("S2_RGB", "S2_NIR_10m", "ERA5", "SRTM", "NDVI", "dynamic_world"),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def presto() -> Presto:
    """Random weights, gains, offsets and biases: none may be at a value that hides its absence."""
    generator = torch.Generator().manual_seed(3)
    model = Presto(generator).eval()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def setting(case: str) -> tuple[Any, ...]:
    """Make records of 4 steps, labels with gaps in their codes, and episodes of 3 seeds."""
    rng = np.random.default_rng(5)
    hidden = np.ones((ROWS, 4, BANDS), bool)
    for name in SHOWN[case]:
        hidden[..., list(GROUPS[name])] = False
    world = np.full((ROWS, 4), CLASSES, np.uint8)
    if "dynamic_world" in SHOWN[case]:
        world = rng.integers(0, CLASSES, (ROWS, 4)).astype(np.uint8)
    month = (rng.integers(0, 12, (ROWS, 1)) + np.arange(4)) % 12
    if case == "ragged":
        hidden |= rng.random(hidden.shape) < 0.2
        world[rng.random(world.shape) < 0.3] = CLASSES
    x = rng.normal(0.4, 0.3, hidden.shape).astype(np.float32)
    records = {
        "x": np.where(hidden, np.float32(0), x),
        "hidden": hidden,
        "dynamic_world": world,
        "lon": rng.uniform(-180, 180, ROWS),
        "lat": rng.uniform(-90, 90, ROWS),
        "month": month.astype(np.int8),
    }
    label = np.array([3, 5, 9])[(x[:, 0, 12] > 0.3).astype(int) + (records["lat"] > 30)]
    train = np.stack([rng.permutation(ROWS - TEST)[:N] for _ in range(3)])
    train[2] = np.flatnonzero(label[: ROWS - TEST] != 9)[:N]
    return records, label, train, np.arange(ROWS - TEST, ROWS)


def inputs_of(
    records: dict[str, Any], rows: Any = slice(None), dtype: torch.dtype = torch.float32
) -> tuple[Inputs, Slots]:
    part = {name: torch.from_numpy(values[rows]) for name, values in records.items()}
    world = part["dynamic_world"]
    lonlat = torch.stack([part["lon"], part["lat"]], dim=1)
    inputs = Inputs(part["x"].to(dtype), world.long(), lonlat, part["month"].long())
    return inputs, slots(kinds(part["hidden"], world))[0]


def plain(model: Presto, records: dict[str, Any], rows: Any, dtype: torch.dtype) -> torch.Tensor:
    """Embed by the encoder's own modules, one after the other, in the precision of its weights."""
    inputs, visible = inputs_of(records, rows, dtype)
    lon, lat = torch.deg2rad(inputs.lonlat.to(dtype)).unbind(-1)
    unit = torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=-1)
    encoder, there = model.encoder, visible.there
    h = torch.cat([encoder.latlon_embed(unit)[:, None], encoder.tokens(inputs, visible)], dim=1)
    if there is None:
        there = torch.ones(h.shape[0], h.shape[1] - 1, dtype=torch.bool)
    there = nn.functional.pad(there, (1, 0), value=True)
    for block in encoder.blocks:
        h = block(h, there, dtype)
    found: torch.Tensor = encoder.norm((h * there[..., None]).sum(1) / there.sum(1)[:, None])
    return found


def loss_by_hand(model: Presto, head: nn.Linear, tuned: Any, s: int, case: Any) -> torch.Tensor:
    records, label, train, _ = case
    found = plain(model, records, train[s], tuned.head_weight.dtype)
    y = torch.from_numpy(np.unique(label[train[s]], return_inverse=True)[1])
    return nn.functional.cross_entropy(head((found - tuned.mean[s]) / tuned.scale[s]), y)


def head_of(tuned: TunedSeries, s: int) -> nn.Linear:
    """Make one seed's head as a module of the classes that it has seen."""
    seen = tuned.few.present[s]
    head = nn.Linear(tuned.head_weight.shape[2], int(seen.sum())).to(tuned.head_weight.dtype)
    with torch.no_grad():
        head.weight.copy_(tuned.head_weight[s][seen])
        head.bias.copy_(tuned.head_bias[s][seen])
    return head


def gradient(weight: torch.Tensor) -> torch.Tensor:
    assert weight.grad is not None
    return weight.grad


@pytest.mark.parametrize("shown", SHOWN)
def test_stacked_copies_embed_otherwise_than_the_model(presto: Presto, shown: str) -> None:
    records, *_ = setting(shown)
    made = stacked.design(*inputs_of(records))
    assert (made.there is not None) == (shown == "ragged")
    weights = stacked.stack(presto.encoder, 2)
    other = copy.deepcopy(presto)
    with torch.no_grad():
        for name, parameter in other.encoder.named_parameters():
            parameter.mul_(1.1)
            weights[name][1] = parameter
        copies = stacked.fold(presto.encoder, weights, made.used)
        there = None if made.there is None else made.there.expand(2, -1, -1)
        found = stacked.embed(copies, made.z.expand(2, -1, -1, -1), there)
        lonlat = torch.from_numpy(np.stack([records["lon"], records["lat"]], axis=1))
        hidden, month = (torch.from_numpy(records[k]) for k in ("hidden", "month"))
        for ours, model in zip(found, (presto, other), strict=True):
            x, world = (torch.from_numpy(records[k]) for k in ("x", "dynamic_world"))
            theirs = model.embed(x, world, lonlat, month, hidden)
            assert (ours - theirs).abs().max() < 1e-5


# The largest difference, absolute where the gradient's norm is below 1, else relative to it.
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("shown", SHOWN)
def test_gradients_differ_from_those_of_the_model_alone(
    presto: Presto,
    shown: str,
    dtype: torch.dtype,
    bound: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = setting(shown)
    records, label, train, _ = case
    # Three passes over the rows: their gradients must add up to the whole.
    made = stacked.design(*inputs_of(records))
    monkeypatch.setattr(finetune_series, "PASS_TOKENS", 3 * made.z.shape[1] * 5)
    tuned = start(presto, made, label, train, 1.0)
    assert [rows.stop for rows in tuned.passes()] == [4, 8, 12]
    precise = stacked.design(*inputs_of(records, dtype=dtype))
    tuned.few = dataclasses.replace(tuned.few, x=precise.z[torch.from_numpy(train)])
    tuned.weights = {name: w.to(dtype) for name, w in tuned.weights.items()}
    for name in ("head_weight", "head_bias", "mean", "scale"):
        setattr(tuned, name, getattr(tuned, name).to(dtype))
    for weight in (*tuned.weights.values(), tuned.head_weight, tuned.head_bias):
        weight.requires_grad_()
    for rows in tuned.passes():
        tuned.loss(rows).sum().backward()  # type: ignore[no-untyped-call]
    for s in range(len(train)):
        alone = copy.deepcopy(presto).to(dtype)
        head = head_of(tuned, s)
        loss_by_hand(alone, head, tuned, s, case).backward()  # type: ignore[no-untyped-call]
        pairs = {
            name: (gradient(tuned.weights[name])[s], gradient(p))
            for name, p in alone.encoder.named_parameters()
        }
        seen = tuned.few.present[s]
        pairs["head"] = (gradient(tuned.head_weight)[s][seen], gradient(head.weight))
        pairs["head bias"] = (gradient(tuned.head_bias)[s][seen], gradient(head.bias))
        norm = torch.cat([theirs.flatten() for _, theirs in pairs.values()]).norm()
        for name, (ours, theirs) in pairs.items():
            assert (ours - theirs).abs().max() < bound * norm.clamp(min=1), name
        assert not gradient(tuned.head_weight)[s][~seen].any()


@pytest.mark.parametrize("shown", ["climate", "ragged"])
def test_trained_copies_differ_from_a_loop_of_optimizers(presto: Presto, shown: str) -> None:
    case = setting(shown)
    records, label, train, test = case
    kind = FineTuneSeries(steps=10, lr=3e-4)
    begun = start(presto, stacked.design(*inputs_of(records)), label, train, kind.C)
    guess = kind.fit_predict(presto, records, label, train, test)
    for s in range(len(train)):
        alone, head = copy.deepcopy(presto), head_of(begun, s)
        groups = [
            {"params": list(alone.encoder.parameters()), "lr": kind.lr},
            {"params": list(head.parameters()), "lr": kind.head_lr},
        ]
        adam = torch.optim.AdamW(groups, weight_decay=kind.weight_decay)
        for _ in range(kind.steps):
            adam.zero_grad()
            loss_by_hand(alone, head, begun, s, case).backward()  # type: ignore[no-untyped-call]
            adam.step()
        with torch.no_grad():
            found = plain(alone, records, test, torch.float32)
            chance = head((found - begun.mean[s]) / begun.scale[s]).softmax(dim=1)
        sure = (chance.topk(2).values.diff().abs()[:, 0] > 1e-3).numpy()
        seen = begun.few.present[s].numpy()
        winner = begun.few.classes[seen][chance.argmax(dim=1).numpy()]
        assert (winner == guess[s])[sure].all()
        assert sure.mean() > 0.9


def test_start_is_not_the_linear_probe(presto: Presto) -> None:
    records, label, train, test = setting("climate")
    inputs, visible = inputs_of(records)
    with torch.no_grad():
        features = presto.embed_inputs(inputs, visible).numpy()
    probe = Logistic().fit_predict(features, label, train, test, np.random.SeedSequence(0))
    still = FineTuneSeries(steps=1, lr=1e-12, head_lr=1e-12)
    assert (still.fit_predict(presto, records, label, train, test) == probe).mean() > 0.99


@pytest.mark.parametrize("shown", ["climate", "ragged"])
def test_cut_of_seeds_and_passes_changes_the_result(
    presto: Presto, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, label, train, test = setting(shown)
    kind = FineTuneSeries(steps=5, lr=3e-4)
    whole = kind.fit_predict(presto, records, label, train, test)
    assert (whole == kind.fit_predict(presto, records, label, train, test)).all()
    for tokens in (1, 130):
        monkeypatch.setattr(finetune_series, "PASS_TOKENS", tokens)
        assert (kind.fit_predict(presto, records, label, train, test) == whole).mean() > 0.95
    for s, rows in enumerate(train):
        alone = kind.fit_predict(presto, records, label, rows[None], test)[0]
        assert (alone == whole[s]).mean() > 0.95


def test_threads_change_the_result_or_stay_set(
    presto: Presto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune_series, "PASS_TOKENS", 100)  # a seed at a time
    records, label, train, test = setting("climate")
    due = FineTuneSeries(steps=3).fit_predict(presto, records, label, train, test)
    torch.set_num_threads(3)
    found = FineTuneSeries(steps=3).fit_predict(presto, records, label, train, test)
    assert torch.get_num_threads() == 3
    np.testing.assert_array_equal(found, due)


def test_fine_tuning_changes_the_given_model_or_leaves_the_loss(presto: Presto) -> None:
    records, label, train, test = setting("climate")
    before = copy.deepcopy(presto.state_dict())
    tuned = start(presto, stacked.design(*inputs_of(records)), label, train, 0.1)
    first = tuned.loss()
    tuned.tune(FineTuneSeries(steps=20, lr=1e-3))
    assert (tuned.loss() < first).all()
    guess = FineTuneSeries(steps=3).fit_predict(presto, records, label, train, test)
    assert guess.dtype == np.int16
    assert all(torch.equal(before[k], v) for k, v in presto.state_dict().items())
    assert all(p.grad is None for p in presto.parameters())
    assert not (guess[2] == 9).any()


def test_seed_with_one_class_fails_or_guesses_another(presto: Presto) -> None:
    records, label, train, test = setting("climate")
    train[1] = np.flatnonzero(label[: ROWS - TEST] == 3)[:N]
    guess = FineTuneSeries(steps=5).fit_predict(presto, records, label, train, test)
    assert (guess[1] == 3).all()
    assert len(np.unique(guess[0])) > 1


def test_what_is_hidden_has_an_influence(presto: Presto) -> None:
    records, label, train, test = setting("ragged")
    kind = FineTuneSeries(steps=2)
    guess = kind.fit_predict(presto, records, label, train, test)
    noise = np.where(records["hidden"], np.float32(np.nan), records["x"])
    again = kind.fit_predict(presto, records | {"x": noise}, label, train, test)
    assert (guess == again).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"month": None}, "records lack month"),
        ({"x": np.zeros((ROWS, 4, 18), np.float32)}, "normalise"),
        ({"hidden": np.zeros((ROWS, 3, 17), bool)}, "mask has shape"),
        ({"lat": np.zeros(3)}, "lon and lat have shapes"),
        ({"lon": np.full(ROWS, 181.0)}, "longitude"),
        ({"month": np.full((ROWS, 4), 12)}, "start_month must be 0 to 11"),
        ({"label": np.zeros(7, int)}, "labels have shape"),
        ({"train": np.arange(5)}, "train of shape"),
        ({"train": np.full((2, 5), ROWS)}, "train of shape"),
        ({"test": np.array([-1])}, "test of shape"),
        ({"test": np.array([], int)}, "test of shape"),
    ],
)
def test_wrong_input_is_taken(presto: Presto, change: dict[str, Any], message: str) -> None:
    records, label, train, test = setting("climate")
    given = {"label": label, "train": train, "test": test}
    given |= {name: v for name, v in change.items() if name in given}
    records |= {name: v for name, v in change.items() if name not in given}
    records = {name: v for name, v in records.items() if v is not None}
    with pytest.raises(WherefromError, match=message):
        FineTuneSeries(steps=1).fit_predict(
            presto, records, given["label"], given["train"], given["test"]
        )


def test_value_that_is_not_finite_is_taken(presto: Presto) -> None:
    records, label, train, test = setting("climate")
    records["x"][7, 2, 12] = np.nan
    with pytest.raises(WherefromError, match="x of row 7, step 2, column 12 is not finite"):
        FineTuneSeries(steps=1).fit_predict(presto, records, label, train, test)


def test_impossible_rates_are_taken() -> None:
    with pytest.raises(WherefromError, match="steps must be at least 1"):
        FineTuneSeries(steps=0)


def test_great_scores_overflow_in_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    qkv = 60 * torch.randn(5, 7, 384, generator=generator)
    there = torch.rand(5, 7, generator=generator) < 0.7
    there[:, 0] = True
    ours = stacked._Attention.apply(qkv, there)  # type: ignore[no-untyped-call]
    q, k, v = qkv.view(5, 7, 3, 8, 16).permute(2, 0, 3, 1, 4)
    theirs = nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=there[:, None, None], scale=1.0
    )
    assert (ours - theirs.transpose(1, 2).flatten(2)).abs().max() < 1e-2
