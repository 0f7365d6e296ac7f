"""Raw series as features: every band once, gaps filled, and never land cover."""

from __future__ import annotations

import numpy as np
import pytest

from wherefrom.errors import WherefromError
from wherefrom.pool.series import PixelSeries
from wherefrom.pool.series.earth import earth_series
from wherefrom.pool.series.flat import raw_series

LON, LAT = np.linspace(-60, 60, 40), np.linspace(-30, 50, 40)


def test_land_cover_enters_the_features() -> None:
    with_cover, without = earth_series(LON, LAT), earth_series(LON, LAT, land_cover=False)
    assert len(np.unique(with_cover.dynamic_world)) > 2
    np.testing.assert_array_equal(raw_series(with_cover), raw_series(without))
    shuffled = PixelSeries(
        with_cover.raw, with_cover.dynamic_world[::-1], LON, LAT, with_cover.month
    )
    np.testing.assert_array_equal(raw_series(shuffled), raw_series(without))


def test_a_band_is_doubled_lost_or_out_of_order() -> None:
    series = earth_series(LON, LAT)
    features = raw_series(series)
    assert features.shape == (40, 12 + 12 + 1 + 1)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[:, :12], series.raw[:, :, 13])
    np.testing.assert_array_equal(features[:, 12:24], series.raw[:, :, 14])
    np.testing.assert_allclose(features[:, 24:], series.raw[:, 0, 15:17], rtol=1e-6)
    bands = {"B4": [[500.0, 600.0]], "B8": [[1500.0, 600.0]], "B9": [[7.0, 8.0]]}
    sentinel = PixelSeries.from_bands(bands, [0.0], [0.0], 11)
    expected = [[500.0, 600.0, 1500.0, 600.0, 0.5, 0.0]]  # NDVI, but not B9
    assert raw_series(sentinel).tolist() == expected


def test_gaps_are_nan_or_filled_from_elsewhere() -> None:
    gap = np.nan
    series = PixelSeries.from_bands(
        {"VV": [[-10.0, gap], [gap, gap], [-14.0, -16.0]], "elevation": [[gap, 5], [6, 6], [7, 8]]},
        lon=[0.0, 1.0, 2.0], lat=[0.0, 1.0, 2.0], month=0,
    )  # fmt: skip
    mean = (-10 - 14 - 16) / 3
    expected = [[-10, -10, 5], [mean, mean, 6], [-14, -16, 7.5]]
    np.testing.assert_allclose(raw_series(series), expected, rtol=1e-6)


def test_series_without_any_band_give_features() -> None:
    bare = PixelSeries.from_bands({}, [0.0], [0.0], 0, dynamic_world=[[4, 4]])
    with pytest.raises(WherefromError, match="no band with a value"):
        raw_series(bare)
    only = PixelSeries.from_bands({"B9": [[5.0]]}, [0.0], [0.0], 0)
    with pytest.raises(WherefromError, match="no band with a value"):
        raw_series(only)
