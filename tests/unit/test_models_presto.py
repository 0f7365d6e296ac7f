"""Presto's maths where no reference output is needed: loss, precision, absent data, bad input."""

from __future__ import annotations

import io
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from wherefrom.errors import WherefromError
from wherefrom.gfms.presto import embed_series
from wherefrom.models.attention import attend
from wherefrom.models.masked import PrestoConfig, groups_of, masked_loss, records_of
from wherefrom.models.masking import Masking
from wherefrom.models.presto import Presto, normalise
from wherefrom.models.satclip import LocationEncoder
from wherefrom.models.tokens import GROUPS, HIDDEN, Inputs
from wherefrom.pool.series import PixelSeries
from wherefrom.train.pretrain import PretrainSettings, pretrain

SAMPLES = 150


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on these few samples take longer than one, on a busy machine many times."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def inputs(samples: int = SAMPLES, seed: int = 0) -> Inputs:
    rng = np.random.default_rng(seed)
    lonlat = np.stack([rng.uniform(-180, 180, samples), rng.uniform(-60, 75, samples)], axis=1)
    months = (rng.integers(12, size=(samples, 1)) + np.arange(12)) % 12
    return Inputs(
        torch.from_numpy(rng.random((samples, 12, 17), dtype=np.float32)),
        torch.from_numpy(rng.integers(9, size=(samples, 12))),
        torch.from_numpy(lonlat),
        torch.from_numpy(months),
    )


def climate(places: int, seed: int = 0) -> PixelSeries:
    """Make series of the shape of a climatology; values are random and mean nothing."""
    rng = np.random.default_rng(seed)
    cycle = np.cos(2 * np.pi * (np.arange(12) - rng.uniform(0, 12, (places, 1))) / 12)
    return PixelSeries.from_bands(
        {
            "temperature_2m": 285 + 12 * cycle,
            "total_precipitation": 0.003 * (1 - cycle) / 2,
            "elevation": rng.uniform(0, 2000, places),
            "slope": rng.uniform(0, 20, places),
        },
        lon=rng.uniform(-180, 180, places),
        lat=rng.uniform(-60, 75, places),
        month=0,
        dynamic_world=np.repeat(rng.integers(9, size=(places, 1)), 12, axis=1),
    )


def gradients(module: Presto) -> list[Tensor]:
    return [p.grad.clone() for p in module.parameters() if p.grad is not None]


@pytest.mark.slow
def test_loss_differs_from_its_definition() -> None:
    """The loss by parts against section 3.2 written out on the whole reconstruction."""
    whole, module = inputs(), Presto()
    kind = Masking(tuple(GROUPS)).draw(SAMPLES, torch.Generator().manual_seed(1))
    parts = list(masked_loss(module, whole, kind))
    assert len(parts) > 1
    loss = torch.stack(parts).sum()
    loss.backward()
    found = gradients(module)
    module.zero_grad()
    mask = torch.zeros(SAMPLES, 12, 17, dtype=torch.bool)
    for row, columns in enumerate(GROUPS.values()):
        mask[..., list(columns)] = (kind[..., row] == HIDDEN)[..., None]
    hidden_world = kind[..., 9] == HIDDEN
    shown = torch.where(hidden_world, 9, whole.classes)
    values, logits = module.reconstruct(whole.x, shown, whole.lonlat, whole.months, mask)
    counted = mask.clone()
    counted[:, 1:, 14:16] = False
    squares = (values - whole.x)[counted].square().mean()
    wrong = torch.nn.functional.cross_entropy(logits[hidden_world], whole.classes[hidden_world])
    due = squares + min(1, 2 * int(hidden_world.sum()) / int(counted.sum())) * wrong
    due.backward()
    torch.testing.assert_close(loss, due, rtol=1e-6, atol=0)
    for one, other in zip(found, gradients(module), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_loss_of_nothing_hidden_is_not_zero() -> None:
    kind = torch.zeros(4, 12, 10, dtype=torch.uint8)
    assert float(torch.stack(list(masked_loss(Presto(), inputs(4), kind))).detach().sum()) == 0


def test_absent_groups_take_part() -> None:
    """With a group absent everywhere its values, and those of absent steps, change nothing."""
    records = records_of(climate(20))
    model = PrestoConfig(groups=groups_of(records))
    assert model.groups == ("ERA5", "SRTM", "dynamic_world")
    records["hidden"][3, 5, 12:14] = True  # one step of one sample: the batch is ragged
    other = dict(records)
    other["x"] = np.where(records["hidden"], np.float32(7), records["x"])
    module, losses = Presto(), []
    for some in (records, other):
        batch = model.prepare(some, torch.device("cpu"))
        losses.append(model.loss(module, batch, torch.Generator().manual_seed(0)))
    assert torch.equal(*losses)


@pytest.mark.slow
def test_backward_gives_other_gradients_than_the_loss() -> None:
    model = PrestoConfig(groups=("ERA5", "SRTM", "dynamic_world"), months="cyclic")
    module = Presto()
    batch = model.prepare(records_of(climate(70)), torch.device("cpu"))
    model.loss(module, batch, torch.Generator().manual_seed(0)).backward()
    due = gradients(module)
    module.zero_grad()
    value = model.backward(module, batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        value, model.loss(module, batch, torch.Generator().manual_seed(0)).detach()
    )
    for one, other in zip(gradients(module), due, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("months", "steps", "firsts"), [("cyclic", 12, 12), ("sliding", 24, 13)])
def test_months_do_not_go_with_the_values(months: Any, steps: int, firsts: int) -> None:
    model = PrestoConfig(months=months)
    step = np.arange(steps)
    batch = {
        "x": torch.from_numpy(np.tile(step[:, None], (200, 1, 17))).float(),
        "hidden": torch.zeros(200, steps, 17, dtype=torch.bool),
        "dynamic_world": torch.from_numpy(np.tile(step % 9, (200, 1))),
        "month": torch.from_numpy(np.tile(step % 12, (200, 1))),
        "lonlat": torch.zeros(200, 2),
    }
    taken = model._window(batch, torch.Generator().manual_seed(0))
    assert taken["x"].shape == (200, 12, 17)
    first = taken["x"][:, :1, 0]
    assert len(first.unique()) == firsts
    due = (first + torch.arange(12)) % steps
    assert torch.equal(taken["x"][..., 3], due)
    assert torch.equal(taken["month"], (due % 12).long())


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_weights_depend_on_an_interruption(tmp_path: Path, threads: int) -> None:
    """A training that is killed and resumed ends at the same bits, with any number of threads."""
    torch.set_num_threads(threads)
    records = records_of(climate(64))
    model = PrestoConfig(groups=groups_of(records), months="cyclic")
    settings = PretrainSettings(
        samples_seen=32 * 6, batch=32, lr=1e-3, warmup=2, schedule="cosine-from-zero",
        weight_decay=0.05, betas=(0.9, 0.95),
    )  # fmt: skip

    def stop(step: int, _: float) -> None:
        if step == 4:
            raise KeyboardInterrupt

    rows = np.arange(64)
    due = pretrain(model, records, rows, settings, seed=0)
    state = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        pretrain(model, records, rows, settings, seed=0, checkpoint=state, every=2, on_step=stop)
    found = pretrain(model, records, rows, settings, seed=0, checkpoint=state, every=2)
    assert all(torch.equal(a, b) for a, b in zip(
        found.state_dict().values(), due.state_dict().values(), strict=True
    ))  # fmt: skip


def test_schedule_is_not_the_official_one() -> None:
    settings = PretrainSettings(
        samples_seen=200, batch=10, lr=1e-3, warmup=2, schedule="cosine-from-zero"
    )
    epoch = np.arange(20)  # one step an epoch: e = 0..19 of 20, the first two rising
    due = np.where(epoch < 2, 1e-3 * epoch / 2, 1e-3 * (1 + np.cos(np.pi * (epoch - 2) / 18)) / 2)
    np.testing.assert_allclose([settings.rate(i) for i in range(20)], due, atol=1e-12)


def test_decay_acts_on_norms_biases_or_fixed_tables() -> None:
    module, model = Presto(), PrestoConfig()
    decayed = {n for n, p in module.named_parameters() if model.decays(n, p)}
    assert "encoder.channel_embed.weight" in decayed
    assert "encoder.dw_embed.weight" in decayed
    assert not any(n.endswith("bias") or "norm" in n or "mask_token" in n for n in decayed)
    assert not any("pos_embed" in n or "month_embed" in n for n, _ in module.named_parameters())


@pytest.mark.parametrize("hide", [False, True])
def test_attention_in_bfloat16_strays(hide: bool) -> None:
    """Values and gradients against float32 on the same, rounded inputs."""
    generator = torch.Generator().manual_seed(0)
    few = [torch.randn(3, 20, 8, 16, generator=generator).bfloat16() for _ in range(3)]
    there = torch.rand(3, 20, generator=generator) < 0.7 if hide else None
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        leaves = [v.detach().to(dtype).requires_grad_() for v in few]
        mixed = attend(*leaves, there)
        mixed.square().sum().backward()
        found.append([mixed.detach(), *(v.grad for v in leaves)])
    for one, other in zip(*found, strict=True):
        assert one.dtype == torch.bfloat16
        scale = float(other.abs().max())
        torch.testing.assert_close(one.float(), other, rtol=0, atol=0.03 * scale)


def test_huge_scores_overflow_in_bfloat16() -> None:
    """Each token finds its own key alone: scores of several hundred, all others far below."""
    generator = torch.Generator().manual_seed(0)
    q, v = (torch.randn(3, 20, 8, 16, generator=generator) for _ in range(2))
    q = (60 * q / q.norm(dim=-1, keepdim=True)).bfloat16().requires_grad_()
    v = v.bfloat16()
    mixed = attend(q, q, v, None)
    assert torch.equal(mixed, v.flatten(2))
    mixed.sum().backward()
    assert q.grad is not None
    assert bool(torch.isfinite(q.grad).all())


@pytest.mark.slow
def test_bfloat16_learns_less() -> None:
    """The loss on held-out places after a short training is that of float32 within 2 %."""
    records, held = records_of(climate(64)), records_of(climate(128, seed=1))
    losses = []
    for precision in ("float32", "bfloat16"):
        model = PrestoConfig(groups=groups_of(records), months="cyclic", precision=precision)
        settings = PretrainSettings(samples_seen=16 * 30, batch=16, lr=2e-3, warmup=4)
        module = pretrain(model, records, np.arange(64), settings, seed=0)
        judge = replace(model, precision="float32")
        batch = judge.prepare(held, torch.device("cpu"))
        with torch.no_grad():
            losses.append(float(judge.loss(module, batch, torch.Generator().manual_seed(0))))
    assert losses[0] < 1.2  # it learns: 2.1 before
    assert abs(losses[1] / losses[0] - 1) < 0.02


def test_embedding_in_bfloat16_or_in_parts_strays() -> None:
    records, module = records_of(climate(50)), Presto()
    due = embed_series(module, records, batch=50)
    np.testing.assert_allclose(embed_series(module, records, batch=7), due, atol=5e-6)
    low = embed_series(module, records, precision="bfloat16")
    assert low.dtype == np.float32
    assert 0 < np.abs(low - due).max() < 0.1


def test_global_random_state_changes() -> None:
    before = torch.get_rng_state()
    model = PrestoConfig()
    module = model.build(torch.Generator().manual_seed(0))
    kind = model.masking.draw(4, torch.Generator().manual_seed(0))
    assert len(list(masked_loss(module, inputs(4), kind))) == 1
    assert torch.equal(torch.get_rng_state(), before)
    again = model.build(torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(
        module.state_dict().values(), again.state_dict().values(), strict=True
    ))  # fmt: skip


def test_stored_ndvi_is_read() -> None:
    raw = np.random.default_rng(0).uniform(100, 5000, (3, 18))
    other = raw.copy()
    other[:, 17] = 9.0
    assert np.array_equal(normalise(raw), normalise(other))


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_ndvi_of_nothing_is_not_zero_or_of_the_absent_is(kind: str) -> None:
    raw = np.zeros((4, 18))
    raw[:, 4], raw[:, 8] = [0, 5, np.nan, 100], [0, -5, 300, 300]
    found = normalise(raw if kind == "array" else torch.from_numpy(raw))
    np.testing.assert_array_equal(np.asarray(found)[:, 16], [0, 0, np.nan, 0.5])


def given(**changes: Any) -> dict[str, Any]:
    whole = inputs(2)
    known = {
        "x": whole.x, "dynamic_world": whole.classes, "lonlat": whole.lonlat, "start_month": 0,
    }  # fmt: skip
    return known | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": torch.zeros(2, 12, 18)}, "17 bands.*normalise"),
        ({"x": torch.zeros(2, 25, 17)}, "1 to 24 steps"),
        ({"start_month": 12}, "start_month must be 0 to 11"),
        ({"start_month": torch.tensor([0, -1])}, "start_month of row 1 must be 0 to 11"),
        ({"start_month": torch.zeros(3, dtype=torch.long)}, "start_month has shape"),
        ({"dynamic_world": torch.full((2, 12), 10)}, "dynamic_world of row 0 must be 0 to 9"),
        ({"lonlat": torch.tensor([[52.5, 113.4]] * 2)}, "latitude .* of row 0 must be -90 to 90"),
        ({"lonlat": torch.tensor([[torch.nan, 3.4]] * 2)}, "longitude .* must be -180 to 180"),
        ({"mask": torch.zeros(2, 12, 9, dtype=torch.bool)}, "mask has shape"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_input_is_embedded(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WherefromError, match=message):
        Presto().embed(**given(**changes))


def test_raw_series_of_seventeen_bands_are_scaled() -> None:
    with pytest.raises(WherefromError, match="17 bands, Presto reads 18"):
        normalise(np.zeros((2, 12, 17)))


def test_series_of_other_length_are_trained_on() -> None:
    model = PrestoConfig(steps=24, months="sliding")
    batch = model.prepare(records_of(climate(3)), torch.device("cpu"))
    with pytest.raises(WherefromError, match="have 12 steps, the model reads 24"):
        model.loss(Presto(), batch, torch.Generator())


class Danger:
    """Would create a file if unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
            "a Git LFS pointer",
        ),
        (b"/annex/objects/SHA256E-s9--1.pt\n", "a git-annex pointer"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "a web page"),
        (b"Entry not found", r"text \('Entry not found'\)"),
        (b'{"error": "no such\nmodel"}', "text "),
        (b"", "empty"),
        (None, "a folder"),
    ],
)
@pytest.mark.parametrize("load", [Presto.load_official, LocationEncoder.load_official])
def test_what_lies_in_place_of_weights_is_not_named(
    load: Any, content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(WherefromError, match=rf"weights\.pt is {message}") as caught:
        load(path)
    assert "\n" not in str(caught.value)


@drawn(st.data())
@settings(max_examples=25, deadline=None)
def test_a_damaged_checkpoint_ends_in_a_traceback_or_torchs_advice(data: st.DataObject) -> None:
    plain = {"a": torch.zeros(3), "b": [1, 2]}
    zipped, old = io.BytesIO(), io.BytesIO()
    torch.save(plain, zipped)
    torch.save(plain, old, _use_new_zipfile_serialization=False)
    whole = data.draw(st.sampled_from([zipped.getvalue(), old.getvalue(), pickle.dumps(plain)]))
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "w.pt"
        path.write_bytes(content)
        for load in (Presto.load_official, LocationEncoder.load_official):
            with pytest.raises(WherefromError) as caught:
                load(path)
            assert "weights_only" not in str(caught.value)
            assert "\n" not in str(caught.value)


def test_bad_checkpoints_are_loaded_or_run(tmp_path: Path) -> None:
    state = Presto().state_dict()
    torn = tmp_path / "torn.pt"
    torch.save(state, torn)
    torn.write_bytes(torn.read_bytes()[:100_000])
    bad = tmp_path / "pickle.pt"
    bad.write_bytes(pickle.dumps(Danger(tmp_path / "ran")))
    text = tmp_path / "text.pt"
    text.write_text("no checkpoint")
    cases: list[tuple[Path, str]] = [
        (tmp_path / "absent.pt", "no file"), (torn, "cannot be read"), (bad, "cannot be read"),
        (text, "is text"),
    ]  # fmt: skip
    wide = dict(state) | {"encoder.norm.bias": torch.zeros(64)}
    holes = {k: v for k, v in state.items() if k != "decoder.mask_token"}
    more = dict(state) | {"head.weight": torch.zeros(1)}
    rotten = dict(state) | {"encoder.norm.bias": torch.full((128,), torch.nan)}
    for name, content, message in (
        ("wide", wide, r"encoder.norm.bias has shape \(64,\), not \(128,\)"),
        ("holes", holes, "lacks the tensor decoder.mask_token"),
        ("more", more, "has the tensor head.weight"),
        ("rotten", rotten, "not finite"),
        ("list", [1, 2], "holds no tensors by name"),
    ):
        torch.save(content, tmp_path / name)
        cases.append((tmp_path / name, message))
    for path, message in cases:
        with pytest.raises(WherefromError, match=message) as caught:
            Presto.load_official(path)
        assert str(path) in str(caught.value)
        assert "github.com/nasaharvest/presto" in str(caught.value) or "again" in str(caught.value)
    assert not (tmp_path / "ran").exists()
