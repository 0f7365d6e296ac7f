"""Pre-training on streamed shards: exact resume in the middle of an epoch, whole batches only."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from wherefrom.errors import WherefromError
from wherefrom.models.base import Records
from wherefrom.models.masked import PrestoConfig, records_of
from wherefrom.models.presto import Presto
from wherefrom.pool.series import ShardStream
from wherefrom.train.pretrain import PretrainSettings, pretrain_stream

BATCH = 24
#: 100 pixels an epoch: four whole batches and a rest of four.
SETTINGS = PretrainSettings(samples_seen=BATCH * 7, batch=BATCH, lr=1e-3, warmup=2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Write two shards of two tiles of 25 pixels, in the layout of Presto's."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(2):
        files.append(tmp_path / f"{number}.tar")
        with tarfile.open(files[-1], "w") as tar:
            for tile in range(2):
                raw = rng.uniform(500, 4000, (25, 24, 18)).astype(np.float32)
                raw[..., 0:2], raw[..., 13], raw[..., 14] = -15.0, 290.0, 0.002
                raw[..., 15], raw[..., 16] = 300.0, 4.0
                members = {
                    "s1_s2_era5_srtm_2020_2021.npy": raw,
                    "dynamicworld2020_2021.npy": rng.integers(9, size=(25, 24), dtype=np.uint8),
                    "latlon.npy": np.column_stack(
                        [rng.uniform(-50, 60, 25), rng.uniform(-120, 120, 25)]
                    ),
                }
                for name, array in members.items():
                    content = io.BytesIO()
                    np.save(content, array)
                    entry = tarfile.TarInfo(f"tile{number}{tile}.{name}")
                    entry.size = content.tell()
                    content.seek(0)
                    tar.addfile(entry, content)
    return files


def train(files: list[Path], checkpoint: Path | None = None, stop: int | None = None) -> Presto:
    stream = ShardStream(files, batch=BATCH, buffer=40)

    def batches(epoch: int, start: int) -> Iterator[Records]:
        return map(records_of, stream.batches(epoch, start))

    def end(step: int, _: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    return pretrain_stream(
        PrestoConfig(), batches, SETTINGS, seed=0, data="tiles", checkpoint=checkpoint, every=1,
        on_step=end,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 4, 6])
def test_interrupted_stream_ends_elsewhere(stop: int, shards: list[Path], tmp_path: Path) -> None:
    due = train(shards)
    state = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        train(shards, state, stop)
    found = train(shards, state)
    pairs = zip(found.state_dict().values(), due.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_rest_of_an_epoch_is_trained_on_as_a_small_batch(shards: list[Path]) -> None:
    seen: list[tuple[int, int]] = []
    stream = ShardStream(shards, batch=BATCH, buffer=40)

    def batches(epoch: int, start: int) -> Iterator[Records]:
        for at, series in enumerate(stream.batches(epoch, start)):
            seen.append((epoch, len(series)))
            assert at < 5
            yield records_of(series)

    pretrain_stream(PrestoConfig(), batches, SETTINGS, seed=0, data="tiles")
    assert seen == [(0, 24)] * 4 + [(0, 4)] + [(1, 24)] * 3


def test_epoch_without_a_whole_batch_goes_on_for_ever(shards: list[Path]) -> None:
    stream = ShardStream(shards, batch=BATCH, buffer=40)

    def batches(epoch: int, start: int) -> Iterator[Records]:
        for series in stream.batches(epoch, start):
            yield records_of(series.take(np.arange(3)))

    with pytest.raises(WherefromError, match="epoch 0 has no whole batch of 24 places"):
        pretrain_stream(PrestoConfig(), batches, SETTINGS, seed=0, data="tiles")
