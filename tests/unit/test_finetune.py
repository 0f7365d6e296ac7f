"""Full fine-tuning: all seeds at once give what a loop of encoders and optimizers gives."""

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
from wherefrom.models.satclip import LocationEncoder
from wherefrom.train.finetune import FineTune, start
from wherefrom.train.heads import Logistic
from wherefrom.train.heads.fewshot import Axes

N, TEST = 40, 100


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[4, 10], ids=["n > inputs", "n < inputs"])
def setting(request: pytest.FixtureRequest) -> tuple[Any, ...]:
    """Make an encoder, harmonics, labels with gaps in their codes, and episodes of 3 seeds."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-20, 50, 300), rng.uniform(-35, 35, 300)
    generator = torch.Generator().manual_seed(1)
    encoder = LocationEncoder(request.param, width=48, out=24, generator=generator)
    harmonics = encoder.harmonics(torch.from_numpy(lon), torch.from_numpy(lat)).float().numpy()
    label = np.array([3, 5, 9])[(lat > 5).astype(int) + (lon + lat > 40)]
    train = np.stack([rng.permutation(200)[:N] for _ in range(3)])
    train[2] = np.flatnonzero(label[:200] != 9)[:N]
    return encoder, harmonics, label, train, np.arange(200, 200 + TEST)


def loss_by_hand(encoder: nn.Module, head: nn.Linear, tuned: Any, s: int, x: Any, y: Any) -> Any:
    features = (encoder.from_harmonics(x) - tuned.mean[s]) / tuned.scale[s]  # type: ignore[operator]
    return nn.functional.cross_entropy(head(features), y)


def pieces(tuned: Any, s: int, label: Any, rows: Any) -> tuple[nn.Linear, Any]:
    """Make one seed's head as a module of the classes that it has seen, and its targets."""
    seen = tuned.few.present[s]
    head = nn.Linear(tuned.head_weight.shape[2], int(seen.sum()))
    with torch.no_grad():
        head.weight.copy_(tuned.head_weight[s][seen])
        head.bias.copy_(tuned.head_bias[s][seen])
    return head, torch.from_numpy(np.unique(label[rows], return_inverse=True)[1])


def test_gradients_differ_from_those_of_the_encoder_alone(setting: tuple[Any, ...]) -> None:
    encoder, harmonics, label, train, _ = setting
    tuned = start(encoder, harmonics, label, train, 1.0)
    # In float64, so that the comparison is not one of rounding.
    whole = copy.deepcopy(encoder).double().eval()
    inputs = torch.from_numpy(harmonics).double()
    found = Axes.of(inputs[train])
    tuned.axes = found.back
    tuned.few = dataclasses.replace(tuned.few, x=found.z)
    tuned.weights = {name: w.double() for name, w in tuned.weights.items()}
    first = whole.layers[0].weight.detach()
    tuned.weights["encoder.layers.0.weight"] = first @ found.back.mT
    for name in ("head_weight", "head_bias", "mean", "scale"):
        setattr(tuned, name, getattr(tuned, name).double())
    for weight in (*tuned.weights.values(), tuned.head_weight):
        weight.requires_grad_()
    tuned.loss().sum().backward()
    for s, rows in enumerate(train):
        alone = copy.deepcopy(whole)
        head, y = pieces(tuned, s, label, rows)
        loss_by_hand(alone, head.double(), tuned, s, inputs[rows], y).backward()
        for name, parameter in alone.named_parameters():
            ours = tuned.weights[f"encoder.{name}"].grad[s]
            theirs = parameter.grad
            if name == "layers.0.weight":
                # Nothing of the whole gradient lies outside the axes.
                ours = ours @ tuned.axes[s]
            assert (ours - theirs).abs().max() < 1e-6
        seen = tuned.few.present[s]
        assert (tuned.head_weight.grad[s][seen] - head.weight.grad).abs().max() < 1e-6
        assert not tuned.head_weight.grad[s][~seen].any()


def test_trained_copies_differ_from_a_loop_of_optimizers(setting: tuple[Any, ...]) -> None:
    encoder, harmonics, label, train, test = setting
    kind = FineTune(steps=15, lr=3e-4)
    tuned = start(encoder, harmonics, label, train, kind.C)
    begun = start(encoder, harmonics, label, train, kind.C)
    tuned.tune(kind)
    guess = kind.fit_predict(encoder, harmonics, label, train, test)
    first = encoder.layers[0].weight.detach()
    for s, rows in enumerate(train):
        alone = copy.deepcopy(encoder).eval()
        alone.layers[0] = nn.Linear(begun.axes.shape[1], len(first))
        with torch.no_grad():
            alone.layers[0].weight.copy_(begun.weights["encoder.layers.0.weight"][s])
            alone.layers[0].bias.copy_(encoder.layers[0].bias)
        head, y = pieces(begun, s, label, rows)
        groups = [
            {"params": list(alone.parameters()), "lr": kind.lr},
            {"params": list(head.parameters()), "lr": kind.head_lr},
        ]
        adam = torch.optim.AdamW(groups, weight_decay=kind.weight_decay)
        for _ in range(kind.steps):
            adam.zero_grad()
            loss_by_hand(alone, head, begun, s, begun.few.x[s], y).backward()
            adam.step()
        # Predict with a whole encoder: trained inside the axes, as pre-trained outside.
        whole = copy.deepcopy(encoder).eval()
        with torch.no_grad():
            axes = begun.axes[s]
            moved = alone.layers[0].weight - first @ axes.T
            whole.layers[0].weight += moved @ axes
            for i in range(1, len(whole.layers)):
                whole.layers[i] = alone.layers[i]
            whole.layers[0].bias.copy_(alone.layers[0].bias)
            features = whole.from_harmonics(torch.from_numpy(harmonics[test]))
            chance = head((features - begun.mean[s]) / begun.scale[s]).softmax(dim=1)
        seen = begun.few.present[s]
        difference = tuned.head_weight[s][seen] - head.weight
        assert difference.abs().max() < 1e-5
        sure = chance.topk(2).values.diff().abs()[:, 0] > 1e-3
        winner = begun.few.classes[seen.numpy()][chance.argmax(dim=1).numpy()]
        assert (winner == guess[s])[sure.numpy()].all()
        assert sure.float().mean() > 0.9


def test_start_is_not_the_linear_probe(setting: tuple[Any, ...]) -> None:
    encoder, harmonics, label, train, test = setting
    with torch.no_grad():
        features = encoder.eval().from_harmonics(torch.from_numpy(harmonics)).numpy()
    probe = Logistic().fit_predict(features, label, train, test, np.random.SeedSequence(0))
    still = FineTune(steps=1, lr=1e-12, head_lr=1e-12)
    assert (still.fit_predict(encoder, harmonics, label, train, test) == probe).mean() > 0.99


def test_fine_tuning_changes_the_given_encoder_or_leaves_the_loss(
    setting: tuple[Any, ...],
) -> None:
    encoder, harmonics, label, train, test = setting
    before = copy.deepcopy(encoder.state_dict())
    tuned = start(encoder, harmonics, label, train, 0.1)
    first = tuned.loss()
    tuned.tune(FineTune(steps=30, lr=1e-3, weight_decay=0.0))
    assert (tuned.loss() < first).all()
    guess = FineTune().fit_predict(encoder, harmonics, label, train, test)
    assert (guess == FineTune().fit_predict(encoder, harmonics, label, train, test)).all()
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())
    assert not (guess[2] == 9).any()


def test_impossible_rates_are_taken() -> None:
    with pytest.raises(WherefromError, match="steps must be at least 1"):
        FineTune(steps=0)
    with pytest.raises(WherefromError, match="rates and C positive"):
        FineTune(lr=-1.0)
