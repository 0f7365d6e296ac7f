"""Series of the Earth layers: units as published, no gap anywhere, land cover only when asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wherefrom.earth import layer
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool.series import BANDS, DW_CLASSES, NO_CLASS
from wherefrom.pool.series.earth import DYNAMIC_WORLD_OF, SERIES_LAYERS, earth_series

TEMPERATURE, RAIN, HEIGHT, SLOPE = (
    BANDS.index(b) for b in ("temperature_2m", "total_precipitation", "elevation", "slope")
)


def test_units_are_those_of_the_published_series(reference_data: Path) -> None:
    folder = reference_data / "presto" / "algae_blooms"
    raw = np.load(folder / "s1_s2_era5_srtm.npy")
    month = np.load(folder / "month.npy")
    latlon = np.load(folder / "latlon.npy")
    series = earth_series(latlon[:, 1], latlon[:, 0], land_cover=False)
    ours = series.raw[np.arange(len(raw))[:, None], month]
    difference = ours[..., TEMPERATURE] - raw[..., TEMPERATURE]
    # One year against the mean of 26: 2 K and a tenth of the rain. A month off doubles the former.
    assert abs(difference.mean()) < 0.5
    assert np.sqrt((difference**2).mean()) < 2.5
    assert ours[..., RAIN].sum() / raw[..., RAIN].sum() == pytest.approx(0.9, abs=0.1)
    assert np.corrcoef(ours[:, 0, HEIGHT], raw[:, 0, HEIGHT])[0, 1] > 0.99


def test_months_are_mean_days_whatever_the_length_of_the_month() -> None:
    series = earth_series([-60.0], [-3.1])
    total = layer("precipitation")([-60.0], [-3.1])[0]
    assert series.raw[0, 1, RAIN] == pytest.approx(total[1] / 1000 / 28.25)
    assert series.raw[0, 6, RAIN] == pytest.approx(total[6] / 1000 / 31)
    days = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    assert (series.raw[0, :, RAIN] * days).sum() * 1000 == pytest.approx(total.sum(), rel=1e-5)
    assert series.month.tolist() == [list(range(12))]


def test_no_place_on_earth_lacks_a_value() -> None:
    lon, lat = uniform_on_sphere(20_000, np.random.default_rng(11))
    lon = np.concatenate([lon, [0.0, 180.0, -180.0, 90.0, 12.0]])
    lat = np.concatenate([lat, [90.0, -90.0, 67.0, -84.999, -87.0]])
    series = earth_series(lon, lat)
    assert series.present == ("temperature_2m", "total_precipitation", "elevation", "slope")
    filled = series.raw[:, :, [TEMPERATURE, RAIN, HEIGHT, SLOPE]]
    assert np.isfinite(filled).all()
    assert (series.dynamic_world < NO_CLASS).all()
    sea = np.isnan(layer("elevation")(lon, lat)) & (np.abs(lat) < 85)
    assert (series.raw[sea][:, 0, [HEIGHT, SLOPE]] == 0).all()


def test_the_polar_plateau_is_not_at_sea_level() -> None:
    series = earth_series([12.0, 12.0], [-84.9, -88.0])
    np.testing.assert_array_equal(series.raw[0, :, HEIGHT], series.raw[1, :, HEIGHT])
    assert series.raw[1, 0, HEIGHT] > 2000


def test_relief_is_the_same_in_all_months_and_sentinel_is_absent() -> None:
    series = earth_series([86.9, 10.0], [28.0, 50.0])
    relief = series.raw[:, :, [HEIGHT, SLOPE]]
    assert (relief == relief[:, :1]).all()
    absent = [i for i, band in enumerate(BANDS) if band not in series.present]
    assert len(absent) == 14
    assert np.isnan(series.raw[:, :, absent]).all()


def test_land_cover_is_there_only_when_asked_for() -> None:
    lon, lat = uniform_on_sphere(3000, np.random.default_rng(12))
    without = earth_series(lon, lat, land_cover=False)
    assert (without.dynamic_world == NO_CLASS).all()
    np.testing.assert_array_equal(without.raw, earth_series(lon, lat).raw)
    land_cover = set(SERIES_LAYERS) & {"land_cover", "forest", "cropland", "biome"}
    assert land_cover == {"land_cover"} == set(SERIES_LAYERS[-1:])


def test_every_igbp_class_has_one_dynamic_world_class() -> None:
    cover = layer("land_cover")
    assert tuple(DYNAMIC_WORLD_OF) == cover.labels
    assert set(DYNAMIC_WORLD_OF.values()) == set(DW_CLASSES)
    lon, lat = uniform_on_sphere(50_000, np.random.default_rng(13))
    series, labels = earth_series(lon, lat), cover(lon, lat)
    assert (series.dynamic_world == series.dynamic_world[:, :1]).all()
    for igbp, dynamic_world in DYNAMIC_WORLD_OF.items():
        codes = np.unique(series.dynamic_world[labels == igbp])
        assert [DW_CLASSES[code] for code in codes] == [dynamic_world]
    # The task's positives are the crops, and nothing else is.
    crops = layer("cropland")(lon, lat) == "cropland"
    assert ((series.dynamic_world[:, 0] == DW_CLASSES.index("crops")) == crops).all()


def test_a_wrong_coordinate_is_named_by_its_row() -> None:
    with pytest.raises(WherefromError, match=r"row 1: lat 113\.4"):
        earth_series([0.0, 13.4], [0.0, 113.4])


def test_no_places_give_no_series() -> None:
    assert earth_series([], []).raw.shape == (0, 12, 18)


def test_the_wettest_coast_is_taken_for_another_unit(recwarn: pytest.WarningsRecorder) -> None:
    series = earth_series([-76.8936553], [3.40822481])
    rain = series.raw[0, :, RAIN]
    assert np.median(rain) > 0.05  # m a day
    assert not recwarn.list
