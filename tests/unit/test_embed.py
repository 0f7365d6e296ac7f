"""Embedding of places: streaming, determinism, mode of the encoder."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from wherefrom.errors import WherefromError
from wherefrom.models.satclip import LocationEncoder
from wherefrom.train.embed import embed


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Work this small only waits for a second thread on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def places(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(-180, 180, n), rng.uniform(-90, 90, n)


def test_batches_or_repeats_change_the_embedding() -> None:
    encoder, (lon, lat) = LocationEncoder(10, width=64), places(1000)
    one = embed(encoder, lon, lat)
    assert one.shape == (1000, 256)
    assert one.dtype == np.float32
    assert np.array_equal(one, embed(encoder, lon, lat))
    assert np.abs(one - embed(encoder, lon, lat, batch=77)).max() < 1e-5
    assert not np.isnan(one).any()


def test_dropout_acts_or_the_mode_is_left_changed() -> None:
    encoder, (lon, lat) = LocationEncoder(10, width=64), places(50)
    assert encoder.training
    one = embed(encoder, lon, lat)
    assert encoder.training
    assert np.array_equal(one, embed(encoder.eval(), lon, lat))
    assert not encoder.training


def test_float64_encoder_loses_precision_before_the_last_cast() -> None:
    encoder, (lon, lat) = LocationEncoder(10, width=64).double().eval(), places(50)
    exact = encoder(torch.from_numpy(lon), torch.from_numpy(lat)).detach().numpy()
    assert np.array_equal(embed(encoder, lon, lat), exact.astype(np.float32))


def test_missing_coordinate_becomes_a_row_of_nan() -> None:
    with pytest.raises(WherefromError, match="row 1 is not finite"):
        embed(LocationEncoder(4), np.array([0.0, np.nan]), np.array([0.0, 1.0]))


def test_no_places_crash() -> None:
    assert embed(LocationEncoder(4), np.empty(0), np.empty(0)).shape == (0, 256)
