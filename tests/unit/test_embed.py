"""Embedding of records: streaming, determinism, mode of the module, any model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from wherefrom.errors import WherefromError
from wherefrom.gfms.presto import embed_series
from wherefrom.gfms.satclip import embed_places
from wherefrom.models.masked import PrestoConfig, records_of
from wherefrom.models.presto import Presto
from wherefrom.models.satclip import LocationEncoder, SatCLIPConfig
from wherefrom.pool.series import PixelSeries
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
    one = embed_places(encoder, lon, lat)
    assert one.shape == (1000, 256)
    assert one.dtype == np.float32
    assert np.array_equal(one, embed_places(encoder, lon, lat))
    assert np.abs(one - embed_places(encoder, lon, lat, batch=77)).max() < 1e-5
    assert not np.isnan(one).any()


def test_an_embedding_is_not_what_the_module_makes() -> None:
    model, (lon, lat) = SatCLIPConfig(degrees=10, inputs=3, width=64), places(300)
    module = model.build(torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        due = module.location(torch.from_numpy(lon), torch.from_numpy(lat)).numpy()
    records = {"lon": lon, "lat": lat}
    assert np.array_equal(embed(model, module, records, batch=300), due)
    assert np.array_equal(embed_places(module.location, lon, lat), due)
    image = np.zeros((300, 3), np.float32)  # that only the loss reads
    assert np.array_equal(embed(model, module, records | {"image": image}, batch=300), due)


def test_dropout_acts_or_the_mode_is_left_changed() -> None:
    encoder, (lon, lat) = LocationEncoder(10, width=64), places(50)
    assert encoder.training
    one = embed_places(encoder, lon, lat)
    assert encoder.training
    assert np.array_equal(one, embed_places(encoder.eval(), lon, lat))
    assert not encoder.training


def test_float64_encoder_loses_precision_before_the_last_cast() -> None:
    encoder, (lon, lat) = LocationEncoder(10, width=64).double().eval(), places(50)
    exact = encoder(torch.from_numpy(lon), torch.from_numpy(lat)).detach().numpy()
    assert np.array_equal(embed_places(encoder, lon, lat), exact.astype(np.float32))


def test_missing_coordinate_becomes_a_row_of_nan() -> None:
    for batch in (1, 2):
        with pytest.raises(WherefromError, match="row 1 is not finite"):
            embed_places(LocationEncoder(4), np.array([0.0, np.nan]), np.array([0.0, 1.0]), batch)


def climate(n: int, steps: int) -> PixelSeries:
    warm = np.random.default_rng(0).normal(290.0, 9.0, (n, steps))
    return PixelSeries.from_bands({"temperature_2m": warm}, lon=places(n)[0], lat=places(n)[1],
                                  month=0)  # fmt: skip


def test_no_places_crash() -> None:
    assert embed_places(LocationEncoder(4), np.empty(0), np.empty(0)).shape == (0, 256)
    nothing = {name: values[:0] for name, values in records_of(climate(1, 12)).items()}
    assert embed_series(Presto(), nothing).shape == (0, 128)


def test_a_refused_row_is_named_by_its_place_in_a_batch() -> None:
    records = records_of(climate(5, 3))
    records["x"][4, 2, 12] = np.nan
    with pytest.raises(WherefromError, match="from row 3 on: x of row 1, step 2, column 12"):
        embed_series(Presto(), records, batch=3)


def test_bands_that_pre_training_did_not_see_are_embedded() -> None:
    """Their weights are the random first ones."""
    seen = records_of(climate(6, 12))
    more = {name: values.copy() for name, values in seen.items()}
    more["x"][..., 2], more["hidden"][..., 2:5] = 0.7, False
    more["dynamic_world"][:] = 3
    model = PrestoConfig(groups=("ERA5", "SRTM"))
    assert np.array_equal(embed(model, Presto(), more), embed(model, Presto(), seen))
    assert not np.array_equal(embed_series(Presto(), more), embed_series(Presto(), seen))


def test_series_too_long_for_the_table_of_positions_crash() -> None:
    with pytest.raises(WherefromError, match="25 steps, Presto embeds up to 24"):
        embed_series(Presto(), records_of(climate(2, 25)))
