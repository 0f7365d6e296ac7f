"""A batch that is shared: the loss, gradients and draws of one process, however many share it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sharing import BATCH, MODELS, SETTINGS, STEPS, N, cnn, features, images, presto, train, weights
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.models import share
from wherefrom.models.base import GeoModel, Records
from wherefrom.models.contrastive import contrastive_loss
from wherefrom.models.satclip import SatCLIPConfig
from wherefrom.models.towers import tower
from wherefrom.testing.shares import in_threads
from wherefrom.train.pretrain import order_of_epoch, pretrain, pretrain_stream

COUNTS = pytest.mark.parametrize("count", [2, 4])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@COUNTS
@pytest.mark.parametrize("name", MODELS)
def test_losses_or_weights_depend_on_the_number_of_processes(name: str, count: int) -> None:
    due, one = train(MODELS[name]())
    (losses, first), *others = in_threads(count, lambda _: train(MODELS[name]()))
    assert losses == pytest.approx(due, rel=1e-6)
    assert len(due) == STEPS
    for other, module in others:
        assert other == []  # the first alone tells
        for key, value in module.state_dict().items():
            assert torch.equal(value, first.state_dict()[key])
    wanted = weights(one)
    for key, value in weights(first).items():
        assert torch.allclose(value, wanted[key], rtol=1e-4, atol=2e-5), key


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def backward(made: Any, module: nn.Module, group: Any = None) -> tuple[float, dict[str, Tensor]]:
    """Give loss and gradients of a process's share of the first batch."""
    model, records = made
    own = copy.deepcopy(module)
    rows = torch.arange(BATCH)[share.rows_of(group, BATCH)]
    batch = model.collate(model.prepare(records, torch.device("cpu")), rows)
    loss = model.backward(own, batch, generator(1))
    return float(loss), gradients(own)


@COUNTS
def test_rivals_of_other_processes_are_not_seen_or_get_no_gradient(count: int) -> None:
    rng = np.random.default_rng(0)
    tables = [torch.from_numpy(rng.normal(size=(8, 5))) for _ in range(2)]

    def loss(group: Any = None) -> tuple[Tensor, ...]:
        rows = share.rows_of(group, 8)
        given = [table[rows].clone().requires_grad_() for table in tables]
        scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
        value = contrastive_loss(*given, scale)
        value.backward()  # type: ignore[no-untyped-call]
        found = [value.detach(), scale.grad, *(one.grad for one in given)]
        assert all(one is not None for one in found)
        return tuple(one for one in found if one is not None)

    due, *wanted = loss()
    shares = in_threads(count, loss)
    values, scales, *others = zip(*shares, strict=True)
    assert float(sum(values) / count) == pytest.approx(float(due), rel=1e-12)
    assert float(sum(scales) / count) == pytest.approx(float(wanted[0]), rel=1e-10)
    for found, whole in zip(others, wanted[1:], strict=True):
        assert torch.allclose(torch.cat(found) / count, whole, rtol=1e-10, atol=1e-14)
    # The mean of each share's own loss, which gathers nothing, is another number altogether.
    each = 8 // count
    alone = [
        contrastive_loss(*(one[at : at + each] for one in tables), torch.tensor(1.3).double())
        for at in range(0, 8, each)
    ]
    assert abs(float(sum(alone) / count) - float(due)) > 0.1


@COUNTS
def test_a_tower_that_learns_normalises_by_its_share(count: int) -> None:
    made = cnn()
    model = replace(made[0], image="resnet18", trained=True)  # type: ignore[type-var]
    module = model.build(generator()).double().train()
    given = model, made[1] | {"image": images(20)}
    due, wanted = backward(given, module)
    parts = in_threads(count, lambda group: backward(given, module, group))
    assert sum(loss for loss, _ in parts) / count == pytest.approx(due, rel=1e-12)
    for name, value in wanted.items():
        mean = sum(grads[name] for _, grads in parts) / count
        assert torch.allclose(mean, value, rtol=1e-9, atol=1e-11), name  # type: ignore[arg-type]


@COUNTS
def test_norms_of_shares_drift_apart(count: int) -> None:
    x = torch.rand(8, 3, 4, 5, generator=generator()) * 7
    due = nn.BatchNorm2d(3)
    due(x)

    def norm(group: Any) -> share.BatchNorm2d:
        own = share.BatchNorm2d(3)
        own(x[share.rows_of(group, 8)])
        return own

    for own in in_threads(count, norm):
        for name, value in due.state_dict().items():
            assert torch.allclose(own.state_dict()[name], value, rtol=1e-6), name


@pytest.mark.parametrize("drifting", [False, True])
def test_crops_depend_on_where_parts_of_a_batch_begin(drifting: bool, tmp_path: Path) -> None:
    """A frozen tower reads parts of 8 images; of a share of 12 parts begin elsewhere."""
    file = tmp_path / "weights.pth"
    torch.save(tower("resnet18", bands=6, generator=generator(8)).state_dict(), file)
    made = cnn()
    fields = {"image": "resnet18", "weights": file, "drifting": drifting}
    given = replace(made[0], **fields), made[1]  # type: ignore[type-var]
    module = given[0].build(generator()).train()
    due, _ = backward(given, module)
    parts = in_threads(2, lambda group: backward(given, module, group))
    assert sum(loss for loss, _ in parts) / 2 == pytest.approx(due, rel=1e-6)


@COUNTS
def test_the_mean_of_means_is_taken_where_masks_hide_unequally(count: int) -> None:
    model, records = presto()
    # The first rows have little that can be hidden.
    hidden, world = (records[name].copy() for name in ("hidden", "dynamic_world"))
    hidden[: BATCH // 2, 1:], world[: BATCH // 4 * 3] = True, 9
    records |= {"hidden": hidden, "dynamic_world": world}
    module = model.build(generator()).train()
    due, wanted = backward((model, records), module)
    parts = in_threads(count, lambda group: backward((model, records), module, group))
    assert sum(loss for loss, _ in parts) / count == pytest.approx(due, rel=1e-6)
    whole = torch.cat([value.flatten() for value in wanted.values()])
    means = [sum(grads[name].flatten() for _, grads in parts) / count for name in wanted]
    assert float((torch.cat(means) - whole).norm() / whole.norm()) < 1e-5  # type: ignore[arg-type]
    each = BATCH // count
    prepared = model.prepare(records, torch.device("cpu"))
    parted = (model.collate(prepared, rows) for rows in torch.arange(BATCH).split(each))
    alone = [float(model.loss(module, part, generator(1))) for part in parted]
    assert abs(sum(alone) / count / due - 1) > 1e-3


def test_draws_differ_from_those_of_one_process() -> None:
    def draw(group: Any = None) -> tuple[Tensor, Tensor, Tensor]:
        source = generator(5)
        rows = share.rows_of(group, 12)
        count = rows.stop - rows.start
        first = share.drawn(count, lambda rows: torch.rand(rows, 3, generator=source))
        second = share.drawn(count, lambda rows: torch.rand(2, rows, generator=source), axis=1)
        return first, second, source.get_state()

    first, second, state = draw()
    parts = in_threads(3, draw)
    assert torch.equal(torch.cat([part[0] for part in parts]), first)
    assert torch.equal(torch.cat([part[1] for part in parts], dim=1), second)
    assert all(torch.equal(part[2], state) for part in parts)


def test_a_checkpoint_is_of_a_number_of_processes(tmp_path: Path) -> None:
    """1 -> 2 -> 4 -> 1, a stop after each second step."""
    due, _ = train(features())
    path, losses = tmp_path / "state.pt", []

    class StopError(Exception):
        pass

    def part(_: Any, until: int) -> None:
        def on_step(step: int, loss: float) -> None:
            losses.append(loss)
            if step == until:
                raise StopError

        train(features(), checkpoint=path, every=1, on_step=on_step)

    kept = []
    for count, until in ((1, 2), (2, 4), (4, 5), (1, STEPS + 1)):
        try:
            if count == 1:
                part(None, until)
            else:
                in_threads(count, lambda group, until=until: part(group, until))
        except StopError:
            kept.append(torch.load(path, weights_only=True))
    assert losses == pytest.approx(due, rel=1e-6)
    assert len(kept) == 3
    assert all(one["spec"] == kept[0]["spec"] for one in kept)
    assert [one["state"]["step"] for one in kept] == [2, 4, 5]


@pytest.mark.parametrize("parted", [False, True])
def test_a_streamed_batch_is_seen_by_each_process_whole(parted: bool) -> None:
    model, records = features()
    due, _ = train((model, records))

    def stream(group: Any) -> list[float]:
        losses: list[float] = []
        own = share.rows_of(group if parted else None, BATCH)

        def batches(epoch: int, start: int) -> Iterator[Records]:
            order = order_of_epoch(np.arange(N), 3, epoch)
            for at in range(start * BATCH, N - BATCH + 1, BATCH):
                yield {name: v[order[at : at + BATCH]][own] for name, v in records.items()}

        pretrain_stream(
            model, batches, SETTINGS, seed=3, data="made", calibration=records, parted=parted,
            on_step=lambda _, loss: losses.append(loss),
        )  # fmt: skip
        return losses

    assert in_threads(2, stream)[0] == pytest.approx(due, rel=1e-6)


def test_one_process_goes_on_where_the_loss_of_another_is_not_finite() -> None:
    model, records = features()
    rows = order_of_epoch(np.arange(N), 3, 0)[:BATCH]
    records["image"][rows[-1]] = np.inf  # of the last process's share
    seen: list[str] = []

    def go(_: Any) -> None:
        try:
            with np.errstate(invalid="ignore"):
                train((model, records))
        except WherefromError as err:
            seen.append(str(err))
            raise

    with pytest.raises(WherefromError, match=f"at step 1 of {STEPS}"):
        in_threads(4, go)
    assert len(seen) == 4
    assert len(set(seen)) == 1


class Spare(SatCLIPConfig):
    """Has a weight that no batch reaches."""

    def build(self, generator: torch.Generator) -> Any:
        module = super().build(generator)
        module.spare = nn.Parameter(torch.ones(3, 3))
        return module


def test_a_weight_without_gradient_decays_where_batches_are_shared() -> None:
    _, records = features()
    _, module = in_threads(2, lambda _: train((Spare(6, 4, width=32, out=16), records)))[0]
    assert torch.equal(module.spare, torch.ones(3, 3))


class Silent(SatCLIPConfig):
    """Does not say that it may be shared."""

    shares = False


class Normed(SatCLIPConfig):
    """Normalises by what it sees."""

    def build(self, generator: torch.Generator) -> Any:
        module = super().build(generator)
        module.norm = nn.BatchNorm1d(4)
        return module


@pytest.mark.parametrize(
    ("made", "count", "message"),
    [
        (SatCLIPConfig, 5, "batch = 24 cannot be shared evenly by 5 processes: take 4 of them"),
        (Silent, 2, r"satclip-L6 does not say .* \(shares = True\), and 2 were asked for"),
        (Normed, 2, r"layer norm \(BatchNorm1d\) normalises by the batch"),
    ],
)
def test_what_cannot_be_shared_is_shared(made: Any, count: int, message: str) -> None:
    _, records = features()
    with pytest.raises(WherefromError, match=message):
        in_threads(count, lambda _: train((made(6, 4, width=32, out=16), records)))


def test_a_model_that_derives_from_nothing_of_ours_is_taken_to_share() -> None:
    class Plain:
        name = "plain"

    model: GeoModel[Any] = Plain()  # type: ignore[assignment]
    with pytest.raises(WherefromError, match="plain does not say that processes may share"):
        in_threads(2, lambda _: pretrain(model, {}, np.arange(N), SETTINGS, seed=0))


@pytest.mark.parametrize(
    ("what", "message"), [("seed", "another training"), ("file", "another step")]
)
def test_processes_that_do_not_agree_train_together(
    what: str, message: str, tmp_path: Path
) -> None:
    train(features(), checkpoint=tmp_path / "0.pt", every=1)

    def go(group: Any) -> None:
        if what == "seed":
            train(features(), seed=3 + group.rank)
        else:
            train(features(), checkpoint=tmp_path / f"{group.rank}.pt")

    with pytest.raises(WherefromError, match=f"process 1 of 2 is at {message}"):
        in_threads(2, go)


def test_a_damaged_checkpoint_is_set_aside_by_two_at_once(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"nonsense")
    (losses, _), _ = in_threads(2, lambda _: train(features(), checkpoint=tmp_path / "state.pt"))
    assert len(losses) == STEPS
    assert (tmp_path / "state.pt.damaged").read_bytes() == b"nonsense"
