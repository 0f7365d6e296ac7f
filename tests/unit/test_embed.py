"""Embedding of records: streaming, determinism, mode of the module, any model."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from wherefrom.earth import layer
from wherefrom.earth.imagery import ImageFeatures
from wherefrom.errors import WherefromError
from wherefrom.gfms.presto import embed_series
from wherefrom.gfms.satclip import embed_places
from wherefrom.models.masked import PrestoConfig, groups_of, records_of
from wherefrom.models.presto import Presto
from wherefrom.models.satclip import LocationEncoder, SatCLIPConfig
from wherefrom.models.towers import frozen, sentinel2, tower
from wherefrom.pool import Pool
from wherefrom.pool.series import PixelSeries, earth_series
from wherefrom.tasks import Task
from wherefrom.train.embed import embed, features


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
        with pytest.raises(WherefromError, match=r"row 1: lon nan|from row 1 on: row 0: lon nan"):
            embed_places(LocationEncoder(4), np.array([0.0, np.nan]), np.array([0.0, 1.0]), batch)


def climate(n: int, steps: int) -> PixelSeries:
    warm = np.random.default_rng(0).normal(290.0, 9.0, (n, steps))
    bands = {"temperature_2m": warm, "total_precipitation": np.full((n, steps), 0.002)}
    months = np.tile(np.arange(steps) % 12, (n, 1))
    return PixelSeries.from_bands(bands, lon=places(n)[0], lat=places(n)[1], month=months)


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


def of_bands(**bands: float) -> PixelSeries:
    given = {name: np.full((2, 12), value) for name, value in bands.items()}
    return PixelSeries.from_bands(given, lon=[13.4, 36.8], lat=[52.5, -1.3], month=0)


@pytest.mark.parametrize(
    ("bands", "unread"),
    [
        ({"elevation": 430.0}, "elevation (without slope)"),
        ({"VV": -11.0}, "VV (without VH)"),
        ({"total_precipitation": 0.002}, "total_precipitation (without temperature_2m)"),
        ({"B4": 600.0, "B2": 500.0}, "B2 (without B3), B4 (without B3)"),
        ({"B11": 900.0}, "B11 (without B12)"),
        ({"B9": 900.0}, "B9 (never)"),
        ({"B9": 9.0, "VH": -18.0, "slope": 3.0}, "B9 (never), VH (without VV), slope (without "
         "elevation)"),
    ],
)  # fmt: skip
def test_bands_that_are_given_are_left_unread_in_silence(
    bands: dict[str, float], unread: str
) -> None:
    with pytest.raises(WherefromError, match="of row 0 nothing is read .*" + re.escape(unread)):
        records_of(of_bands(**bands))
    with pytest.warns(UserWarning, match="given but not read by .*: " + re.escape(unread) + "$"):
        read = groups_of(records_of(of_bands(**bands, B8=3100.0)))
    assert read == ("S2_NIR_10m", "NDVI") if "B4" in bands else ("S2_NIR_10m",)


def test_a_band_that_is_read_in_some_steps_alone_is_not_told() -> None:
    raw = of_bands(VV=-11.0, VH=-18.0).raw.copy()
    raw[1, 3:5, 1] = np.nan
    with pytest.warns(UserWarning, match=r": VV \(without VH in some steps\)$"):
        records_of(replace(of_bands(VV=-11.0), raw=raw))
    raw[1, :, 0] = np.nan
    with pytest.raises(WherefromError, match=r"of row 1 nothing is read \(1 such row\).*: VH \("):
        records_of(replace(of_bands(VV=-11.0), raw=raw))


def test_whole_groups_and_classes_alone_are_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        records_of(climate(3, 12))
        records_of(of_bands(B2=1.5e3, B3=1e3, B4=9e2, B8=3e3, elevation=9.0, slope=1.0))
        none = np.full((1, 3, 18), np.nan)
        records_of(PixelSeries.from_array(none, [0], [0], 0, np.full((1, 3), 4)))


def test_series_too_long_for_the_table_of_positions_crash() -> None:
    with pytest.raises(WherefromError, match=r"25 steps, Presto embeds 1 to 24, .*composite"):
        embed_series(Presto(), records_of(climate(2, 25)))


SMALL = SatCLIPConfig(degrees=4, inputs=5, width=16, out=8)
PLACE = (np.array([13.4, 16.4, -70.0]), np.array([52.5, 48.2, 113.0]))


def of_tensors(lon: np.ndarray, lat: np.ndarray) -> object:
    return LocationEncoder(4).eval()(torch.from_numpy(lon), torch.from_numpy(lat))


@pytest.mark.parametrize(
    "function",
    [
        lambda lon, lat: layer("continent")(lon, lat),
        lambda lon, lat: embed_places(LocationEncoder(4), lon, lat),
        lambda lon, lat: embed(SMALL, SMALL.build(torch.Generator()), {"lon": lon, "lat": lat}),
        of_tensors,
        lambda lon, lat: earth_series(lon, lat),
        lambda lon, lat: PixelSeries.from_bands({"B8": np.full(3, 3e3)}, lon, lat, 0),
        lambda lon, lat: ImageFeatures("blue-marble", 60).compute(lon, lat),
        lambda lon, lat: Task("t", lon, lat, *[np.zeros(3), ("a",)] * 2, np.zeros(3), "use"),
        lambda lon, lat: Pool.from_table(pa.table({"lon": lon, "lat": lat})),
    ],
)
@pytest.mark.parametrize("lat", [113.0, np.nan])
def test_a_place_that_is_none_is_embedded(function: Any, lat: float) -> None:
    lons, lats = PLACE[0], np.append(PLACE[1][:2], lat)
    with pytest.raises(WherefromError, match=r"row 2|row.*: 2\b") as caught:
        function(lons, lats)
    assert "\n" not in str(caught.value)


class Counted:
    """Tiles that tell how many of them are read at a time."""

    def __init__(self, tiles: np.ndarray) -> None:
        self.tiles, self.most = tiles, 0

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, rows: slice) -> np.ndarray:
        part = self.tiles[rows]
        self.most = max(self.most, len(part))
        return part


def test_features_of_tiles_differ_or_are_read_at_once() -> None:
    tiles = np.random.default_rng(0).integers(0, 9000, (7, 12, 33, 40), np.uint16)
    tiles.flags.writeable = False
    model, counted = frozen(tower("resnet18")), Counted(tiles)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = features(model, counted, batch=3)  # type: ignore[arg-type]
    with torch.inference_mode():
        due = model(torch.from_numpy(sentinel2(tiles)))
    assert found.shape == (7, 512)
    assert np.allclose(found, due.numpy(), rtol=1e-4, atol=1e-5)
    assert counted.most == 3


def test_features_of_a_hole_are_given() -> None:
    images = np.zeros((3, 13, 32, 32), np.float32)
    images[1, 0, 3, 3] = np.nan
    with pytest.raises(WherefromError, match="row 1 is not finite"):
        features(tower("resnet18"), images)
