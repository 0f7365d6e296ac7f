"""Pre-training: exact resume, equal budgets, paired starts, clear refusals."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wherefrom.errors import WherefromError
from wherefrom.models.satclip import SatCLIP, SatCLIPConfig
from wherefrom.train.checkpoint import load_weights, save_weights
from wherefrom.train.pretrain import PretrainSettings, held_out_loss, pretrain

MODEL = SatCLIPConfig(degrees=6, inputs=4, width=32, out=16)
SETTINGS = PretrainSettings(samples_seen=16 * 23, batch=16, lr=3e-3, warmup=4)


def make_records(n: int = 300) -> dict[str, np.ndarray]:
    """Places whose image features are smooth functions of the place, so that there is a match."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    image = [
        np.sin(np.radians(lon)),
        np.cos(np.radians(lon)),
        lat / 90,
        np.cos(np.radians(2 * lat)),
    ]
    return {"lon": lon, "lat": lat, "image": np.stack(image, 1).astype(np.float32)}


RECORDS = make_records()
ROWS = np.arange(0, 300, 3)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Work this small only waits for a second thread on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


class StopError(Exception):
    """Stands for whatever ends a process between two steps."""


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 5, 6, 10, 22])
def test_interrupted_training_ends_elsewhere(stop: int, tmp_path: Path) -> None:
    whole = pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1)
    path = tmp_path / "state.pt"

    def on_step(done: int, loss: float) -> None:
        if done == stop:
            raise StopError

    with pytest.raises(StopError):
        pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint=path, every=5, on_step=on_step)
    steps: list[int] = []
    resumed = pretrain(
        MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint=path, every=5,
        on_step=lambda done, _: steps.append(done),
    )  # fmt: skip
    assert steps == list(range(stop + 1, 24))  # who ends it keeps the last step
    assert same(whole, resumed)
    again: list[int] = []
    finished = pretrain(
        MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint=path,
        on_step=lambda done, _: again.append(done),
    )  # fmt: skip
    assert again == []
    assert same(whole, finished)


@pytest.mark.slow
def test_killed_process_leaves_a_broken_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    code = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_pretrain import *
        def on_step(done, loss):
            if done == 13:
                os.kill(os.getpid(), signal.SIGKILL)
        pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint={str(path)!r}, every=4,
                 on_step=on_step)
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    resumed = pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint=path)
    assert same(resumed, pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1))


@pytest.mark.slow
def test_global_random_state_or_threads_change() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first = pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    torch.manual_seed(77)
    assert same(first, pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1))


@pytest.mark.slow
def test_other_seed_gives_the_same_weights() -> None:
    one, two = (pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=s) for s in (1, 2))
    assert not torch.equal(one.location.layers[0].weight, two.location.layers[0].weight)


@pytest.mark.slow
def test_no_pretraining_starts_elsewhere_than_pretraining() -> None:
    nothing = pretrain(MODEL, RECORDS, np.empty(0, np.int64), SETTINGS, seed=3)
    frozen = replace(SETTINGS, lr=0.0, weight_decay=0.0)
    for rows in (ROWS, ROWS + 1):
        assert same(nothing, pretrain(MODEL, RECORDS, rows, frozen, seed=3))
    assert not same(nothing, pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=3))
    assert not nothing.training


@pytest.mark.slow
def test_training_does_not_learn() -> None:
    held = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(300), ROWS))
    losses: list[float] = []
    settings = replace(SETTINGS, samples_seen=16 * 150)
    module = pretrain(
        MODEL, RECORDS, ROWS, settings, seed=1, on_step=lambda _, loss: losses.append(loss)
    )
    start = pretrain(MODEL, RECORDS, np.empty(0, np.int64), settings, seed=1)
    before = held_out_loss(MODEL, start, RECORDS, held, batch=100)
    after = held_out_loss(MODEL, module, RECORDS, held, batch=100)
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 0.5
    # Untrained is no better than guessing among 100; trained must be well below.
    assert before > np.log(100) - 0.1
    assert after < before - 0.7


class Recorder(SatCLIPConfig):
    """Notes the rows of each batch."""

    def collate(self, prepared, rows):  # type: ignore[no-untyped-def]
        SEEN.append(rows.numpy().copy())
        return super().collate(prepared, rows)


SEEN: list[np.ndarray] = []


def test_places_repeat_in_a_batch_or_are_seen_unequally() -> None:
    SEEN.clear()
    pretrain(Recorder(degrees=3, inputs=4, width=8), RECORDS, ROWS, SETTINGS, seed=1)
    assert len(SEEN) == SETTINGS.steps == 23
    assert sum(map(len, SEEN)) == SETTINGS.samples_seen
    for batch in SEEN:
        assert len(np.unique(batch)) == 16
    # 100 places give six batches of 16 an epoch without a repeat.
    for epoch in range(3):
        assert len(np.unique(np.concatenate(SEEN[6 * epoch : 6 * epoch + 6]))) == 96
    assert not np.array_equal(SEEN[0], SEEN[6])


def test_multiplicity_is_ignored() -> None:
    SEEN.clear()
    rows = np.repeat(ROWS[:8], 4)
    pretrain(Recorder(degrees=3, inputs=4, width=8), RECORDS, rows, SETTINGS, seed=1)
    counts = np.bincount(np.concatenate(SEEN[:2]), minlength=8)
    assert counts.tolist() == [4] * 8


def test_composition_smaller_than_a_batch_is_trained_with_repeats() -> None:
    with pytest.raises(WherefromError, match="15 places, fewer than batch = 16"):
        pretrain(MODEL, RECORDS, ROWS[:15], SETTINGS, seed=1)


def test_checkpoint_of_another_training_is_resumed(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint=path)
    with pytest.raises(WherefromError, match=r"state\.pt.*seed = 1, not 2"):
        pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=2, checkpoint=path)
    with pytest.raises(WherefromError, match="data"):
        pretrain(MODEL, RECORDS, ROWS + 1, SETTINGS, seed=1, checkpoint=path)
    other = {"image": 2 * RECORDS["image"]}
    with pytest.raises(WherefromError, match="data"):
        pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1, calibration=other, checkpoint=path)
    with pytest.raises(WherefromError, match="settings"):
        pretrain(MODEL, RECORDS, ROWS, replace(SETTINGS, lr=1.0), seed=1, checkpoint=path)


@pytest.mark.parametrize("way", ["flipped", "cut", "emptied", "zeroed"])
def test_a_damaged_checkpoint_is_gone_on_from_or_ends_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    path = tmp_path / "state.pt"
    due = pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint=path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"flipped": content, "cut": content[:999], "emptied": b"", "zeroed": bytes(999)}[way]
    path.write_bytes(damaged)
    found = pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint=path)
    assert "state.pt is damaged" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "state.pt.damaged").read_bytes() == damaged  # a file of another kind, say
    assert all(torch.equal(a, b) for a, b in zip(
        found.state_dict().values(), due.state_dict().values(), strict=True
    ))  # fmt: skip


def test_full_disk_is_a_traceback_or_loses_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.pt"

    def full(self: Path, content: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    def on_step(done: int, loss: float) -> None:
        if done == 5:
            monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(WherefromError, match="disk full"):
        pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint=path, every=5, on_step=on_step)
    with pytest.raises(WherefromError, match="disk full"):
        save_weights(MODEL, MODEL.build(torch.Generator()), tmp_path / "weights.safetensors")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    resumed = pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1, checkpoint=path)
    assert same(resumed, pretrain(MODEL, RECORDS, ROWS, SETTINGS, seed=1))


def test_loss_that_is_not_finite_goes_on() -> None:
    records = {**RECORDS, "image": RECORDS["image"].copy()}
    records["image"][ROWS[7]] = np.inf
    with np.errstate(invalid="ignore"), pytest.raises(WherefromError, match="at step 1 of 23"):
        pretrain(MODEL, records, ROWS, SETTINGS, seed=1)


def test_budget_that_the_batch_does_not_divide_is_rounded() -> None:
    with pytest.raises(WherefromError, match="take 1024"):
        PretrainSettings(samples_seen=1000, batch=512)


def test_rate_does_not_rise_peak_and_fall() -> None:
    settings = PretrainSettings(samples_seen=512 * 250, warmup=50, lr=2e-4)
    rates = np.array([settings.rate(step) for step in range(250)])
    assert rates.argmax() == 49
    assert rates.max() == pytest.approx(2e-4)
    assert (np.diff(rates[:50]) > 0).all()
    assert (np.diff(rates[51:]) < 0).all()
    assert 0 < rates[-1] < 1e-7
    constant = replace(settings, schedule="constant", warmup=0)
    assert {constant.rate(step) for step in range(250)} == {2e-4}


@pytest.mark.parametrize("image", ["features", "cnn"])
def test_saved_weights_differ_or_fit_another_model(image: str, tmp_path: Path) -> None:
    model = replace(MODEL, image=image)
    module: SatCLIP = model.build(torch.Generator().manual_seed(9))
    path = tmp_path / "weights.safetensors"
    save_weights(model, module, path)
    assert same(load_weights(model, path), module)
    with pytest.raises(WherefromError, match="hidden = 256, not 3"):
        load_weights(replace(model, hidden=3), path)
    with pytest.raises(WherefromError, match="no weights"):
        load_weights(model, tmp_path / "absent.safetensors")
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(WherefromError, match="Git LFS pointer"):
        load_weights(model, tmp_path / "pointer")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WherefromError, match="delete"):
        load_weights(model, path)
