"""The device of a run: chosen and said, its memory, and what it must not change."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from far import FAR, far_device
from torch import Tensor

from wherefrom import parallel
from wherefrom.errors import WherefromError, of_the_system
from wherefrom.models.base import Batch
from wherefrom.models.grouped import SatMAEConfig
from wherefrom.models.masked import PrestoConfig
from wherefrom.models.satclip import SatCLIP, SatCLIPConfig
from wherefrom.models.sizes import SIZES
from wherefrom.models.towers import frozen, tower
from wherefrom.study.processes import _begin
from wherefrom.study.run import _gpus
from wherefrom.train import device
from wherefrom.train import pretrain as training
from wherefrom.train.embed import embed, features
from wherefrom.train.heads import head
from wherefrom.train.pretrain import PretrainSettings, held_out_loss, pretrain

PLACES = 160
RNG = np.random.default_rng(0)
RECORDS = {
    "lon": RNG.uniform(-180, 180, PLACES),
    "lat": RNG.uniform(-90, 90, PLACES),
    "image": RNG.normal(size=(PLACES, 5)).astype(np.float32),
}
SERIES = {
    "x": RNG.random((PLACES, 12, 17), dtype=np.float32),
    "hidden": np.zeros((PLACES, 12, 17), dtype=bool),
    "dynamic_world": np.full((PLACES, 12), 9),
    "month": np.tile(np.arange(12), (PLACES, 1)),
    **{name: RECORDS[name] for name in ("lon", "lat")},
}
WINDOWS = {
    "image": np.random.default_rng(1).integers(255, size=(PLACES, 3, 16, 16)).astype(np.uint8)
}
LABEL = (RECORDS["lat"] > 0).astype(int) + 2 * (RECORDS["lon"] > 0)
TRAIN, TEST = np.stack([RNG.permutation(120)[:20] for _ in range(3)]), np.arange(120, PLACES)
MODEL = SatCLIPConfig(degrees=6, inputs=5, width=32, out=16)
PRESTO = PrestoConfig(groups=("ERA5", "SRTM"), months="cyclic")
SATMAE = SatMAEConfig(((0, 2), (1,)), SIZES["tiny"])
SETTINGS = PretrainSettings(samples_seen=32 * 4, batch=32, lr=1e-3, warmup=1)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("WHEREFROM_DEVICE", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA Any")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(device, "multiplies_bfloat16", lambda _: True)


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:١", "cpu:0", "CUDA"])
def test_a_device_that_is_none_is_a_traceback(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREFROM_DEVICE", asked)
    with pytest.raises(WherefromError, match="unknown device of WHEREFROM_DEVICE"):
        device.device()


@pytest.mark.parametrize("asked", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_a_traceback(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("WHEREFROM_DEVICE", asked)
    with pytest.raises(WherefromError, match=f"{asked}.*no GPU.*unset WHEREFROM_DEVICE"):
        device.device()


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_beyond_the_last_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREFROM_DEVICE", "cuda:2")
    with pytest.raises(WherefromError, match="cuda:0, cuda:1 alone"):
        device.device()


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("asked", "chosen", "shared", "said"),
    [
        ("", "cuda:0", ("cuda:0", "cuda:1"), "2 GPUs, NVIDIA Any, TF32 on"),
        ("cuda", "cuda:0", ("cuda:0", "cuda:1"), "2 GPUs, NVIDIA Any, TF32 on"),
        ("cuda:1", "cuda:1", ("cuda:1",), "NVIDIA Any, TF32 on in pre-training, bfloat16 on"),
        ("cpu", "cpu", (), "cpu"),
    ],
)
def test_a_gpu_is_left_out_or_taken_against_the_user(
    asked: str, chosen: str, shared: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEREFROM_DEVICE", asked)
    assert device.device() == torch.device(chosen)
    assert device.gpus() == shared
    assert device.said().startswith(f"device: {said}")


@pytest.mark.slow
def test_workers_share_one_gpu_while_another_is_idle() -> None:
    sent, given = (parallel.SPAWNED.Queue() for _ in range(2))
    for name in ("cuda:1", "cuda:0"):
        given.put(name)
    with ProcessPoolExecutor(
        1, mp_context=parallel.SPAWNED, initializer=_begin, initargs=(sent, given)
    ) as pool:
        assert pool.submit(os.getenv, "WHEREFROM_DEVICE").result() == "cuda:1"
    assert given.get(timeout=5) == "cuda:0"


@pytest.mark.usefixtures("two_gpus")
def test_workers_are_as_many_as_cores_on_gpus_or_a_draw_waits_for_torch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stages: Any = [SimpleNamespace(kind=kind) for kind in ("pool", "draw")]
    assert _gpus(stages) == ()
    assert capsys.readouterr().err == ""
    assert _gpus([*stages, SimpleNamespace(kind="fewshot")]) == ("cuda:0", "cuda:1")
    assert capsys.readouterr().err.startswith("device: 2 GPUs, NVIDIA Any")


def test_tf32_is_on_where_it_is_not_due_or_stays_on() -> None:
    def flags() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before, gpu = flags(), torch.device("cuda")
    with device.precise(gpu, tf32=True):
        assert flags() == (True, True)
        with device.precise(gpu, tf32=False):
            assert flags() == (False, False)
    with pytest.raises(KeyError), device.precise(gpu, tf32=True):
        raise KeyError
    assert flags() == before
    with device.precise(device.CPU, tf32=True):
        assert flags() == before
    assert torch.get_float32_matmul_precision() == "highest"


def records_of(model: Any) -> dict[str, np.ndarray]:
    return {"presto": SERIES, "satmae": WINDOWS}.get(model.name, RECORDS)


def trained(where: torch.device | str = "cpu", model: Any = MODEL, **options: Any) -> Any:
    records = records_of(model)
    return pretrain(model, records, np.arange(PLACES), SETTINGS, seed=0, device=where, **options)


def numbers(module: torch.nn.Module) -> np.ndarray:
    return np.concatenate([v.cpu().numpy().ravel() for v in module.state_dict().values()])


def test_batches_that_are_copied_ahead_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    due = numbers(trained())
    # Into the loop as if they came from a host whose GPU has no room for the records.
    taken: list[Batch] = []

    def ahead(batches: Iterator[Batch], chosen: torch.device) -> Iterator[Batch]:
        return (taken.append(batch) or batch for batch in device.ahead(batches, chosen))

    monkeypatch.setattr(training, "fits", lambda *_: False)
    monkeypatch.setattr(training, "CPU", torch.device("cpu", 0))
    monkeypatch.setattr(training, "ahead", ahead)
    assert np.array_equal(numbers(trained()), due)
    assert len(taken) == SETTINGS.steps


def test_an_error_of_a_batch_is_lost_on_the_way_or_the_rest_is_made() -> None:
    made: list[int] = []

    def batches() -> Iterator[Batch]:
        for number in range(9):
            made.append(number)
            if number == 4:
                raise WherefromError("row 7 is no place")
            yield {"row": torch.full((2,), number)}

    taken = device.ahead(batches(), device.CPU)
    assert [int(next(taken)["row"][0]) for _ in range(2)] == [0, 1]
    taken.close()
    assert len(made) <= 3
    with pytest.raises(WherefromError, match="row 7"):
        list(device.ahead(batches(), device.CPU))
    assert list(device.ahead([], device.CPU)) == []


class Small(SatCLIPConfig):
    """A model on a device that holds so many rows."""

    holds = 10

    def _refuse(self, rows: int) -> None:
        if rows > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    def loss(self, module: SatCLIP, batch: Batch, generator: torch.Generator) -> Tensor:
        self._refuse(len(batch["lon"]))
        return super().loss(module, batch, generator)

    def encode(self, module: Any, batch: Batch) -> Tensor:
        self._refuse(len(batch.get("lon", batch["harmonics"])))
        return super().encode(module, batch)

    def narrow(self, module: Any, prepared: Batch) -> Any:
        raise AssertionError

    spec = SatCLIPConfig.spec


SMALL = Small(**{**MODEL.__dict__})
#: As fine-tuning takes it, whose copies are of whole encoders.
Small.narrow = None  # type: ignore[assignment]


def test_memory_that_runs_out_in_pre_training_is_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(WherefromError) as caught:
        trained(model=SMALL)
    said = str(caught.value)
    assert re.search(r"batch = 32: the memory .* ran out at step 1 of 4; a batch of 8 fits", said)
    assert "pretrain.batch" in said
    assert "\n" not in said


def test_memory_that_not_even_two_places_fit_into_is_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Small, "holds", 0)
    with pytest.raises(WherefromError, match=r"ran out with 16 .* and with 2 too"):
        trained(model=SMALL)
    with pytest.raises(WherefromError, match=r"ran out with 128 .* and with 1 too"):
        embed(SMALL, trained(), RECORDS)


def test_memory_that_runs_out_ends_an_embedding_or_changes_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = trained()
    due = embed(MODEL, module, RECORDS, batch=8)
    assert np.array_equal(embed(SMALL, module, RECORDS, batch=64), due)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "64 at a time are more than" in said[0]
    assert "8 from here on" in said[0]


def test_memory_of_a_gpu_that_runs_out_elsewhere_is_a_defect() -> None:
    err = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    assert "fewer workers" in of_the_system(err)


@pytest.mark.slow
def test_memory_that_runs_out_ends_fine_tuning_or_changes_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, tuner = trained(), head("finetune", steps=2)
    tune: Callable[..., Any] = tuner.fit_predict
    due = tune(MODEL, module, RECORDS, LABEL, TRAIN, TEST)
    monkeypatch.setattr(Small, "holds", 40)  # of up to 60 training rows, 20 a seed
    assert np.mean(tune(SMALL, module, RECORDS, LABEL, TRAIN, TEST) == due) > 0.95
    assert "at a time" in capsys.readouterr().err
    monkeypatch.setattr(Small, "holds", 0)
    with pytest.raises(WherefromError, match=r"fine-tuning satclip-L6.*ran out.*too"):
        tune(SMALL, module, RECORDS, LABEL, TRAIN, TEST)


def test_a_checkpoint_of_a_gpu_is_a_traceback_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.pt"
    with far_device(monkeypatch):
        trained(FAR, checkpoint=path, every=2)
    with pytest.raises(WherefromError, match="device = 'meta', not None"):
        trained(checkpoint=path)


@pytest.mark.parametrize("model", [MODEL, replace(MODEL, image="cnn", inputs=3), PRESTO, SATMAE])
def test_a_tensor_of_pre_training_is_left_on_the_cpu(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if getattr(model, "image", "") == "cnn":
        monkeypatch.setitem(RECORDS, "image", WINDOWS["image"])
    records = records_of(model)
    due = trained(model=model)
    embedded = embed(model, due, records, batch=50)
    with far_device(monkeypatch):
        found = trained(FAR, model)
        again = embed(model, found, records, batch=50)
        monkeypatch.setattr(training, "fits", lambda *_: False)
        copied = trained(FAR, model)
        lost = held_out_loss(model, found, records, np.arange(64), 32)
    assert np.abs(numbers(found) - numbers(due)).max() < 1e-3
    assert np.abs(numbers(copied) - numbers(due)).max() < 1e-3
    assert np.abs(again - embedded).max() < 1e-3
    assert np.isfinite(lost)


@pytest.mark.parametrize(
    "name",
    ["logistic", "logistic-balanced", "mlp", "knn", "majority", "ridge", "knn-regression"],
)
def test_a_tensor_of_a_head_is_left_on_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = (
        np.random.default_rng(2).normal(size=(PLACES, 30)).astype(np.float32),
        LABEL,
        TRAIN,
        TEST,
    )
    due = head(name).fit_predict(*given, np.random.SeedSequence(0))
    with far_device(monkeypatch):
        found = head(name).fit_predict(*given, np.random.SeedSequence(0))
    assert np.isclose(found, due, rtol=1e-9).mean() > 0.98


@pytest.mark.parametrize("model", [MODEL, PRESTO, SATMAE])
def test_a_tensor_of_fine_tuning_is_left_on_the_cpu(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, tuner = records_of(model), head("finetune", steps=2)
    tune: Callable[..., Any] = tuner.fit_predict
    module = model.build(torch.Generator().manual_seed(0)).eval()
    due = tune(model, module, records, LABEL, TRAIN, TEST)
    with far_device(monkeypatch):
        found = tune(model, module.to(FAR), records, LABEL, TRAIN, TEST)
    assert np.mean(found == due) > 0.9


def test_a_tensor_of_a_tower_is_left_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = np.random.default_rng(3).integers(9000, size=(3, 12, 32, 32)).astype(np.uint16)
    made = frozen(tower("resnet18"))
    due = features(made, tiles, 2)
    with far_device(monkeypatch):
        found = features(made.to(FAR), tiles, 2)
    assert np.abs(found - due).max() < 1e-3
