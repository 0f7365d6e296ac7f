"""Bands: every place in the class of its value, none between the classes."""

from __future__ import annotations

import numpy as np
import pytest

from wherefrom.earth import bands as bands_module
from wherefrom.earth import cities, layer
from wherefrom.earth.bands import CITY_DISTANCE_EDGES, ELEVATION_EDGES, Bands
from wherefrom.earth.fetch import digest_of
from wherefrom.earth.sphere import offset, uniform_on_sphere


@pytest.mark.parametrize(
    ("name", "edges"), [("elevation", ELEVATION_EDGES), ("city_distance", CITY_DISTANCE_EDGES)]
)
def test_a_place_lies_in_another_band_than_its_value(name: str, edges: tuple[int, ...]) -> None:
    lon, lat = uniform_on_sphere(20_000, np.random.default_rng(0))
    value, bands = layer(name)(lon, lat), layer(f"{name}_band")
    codes = bands.codes(lon, lat)
    assert len(bands.labels) == len(edges) + 1
    for code, label in enumerate(bands.labels):
        low = -np.inf if code == 0 else edges[code - 1]
        high = np.inf if code == len(edges) else edges[code]
        inside = (value >= low) & (value < high)
        assert inside.any(), label
        assert (codes[inside] == code).all(), label
    assert (codes[np.isnan(value)] == -1).all()
    assert (codes >= -1).all()


def test_an_edge_belongs_to_two_bands_or_to_none() -> None:
    def value(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        return lon.astype(np.float32)

    edges = (10, 20, 40)
    x = np.array([-1e30, 9.999, 10.0, 19.999, 20.0, 39.999, 40.0, 1e30, np.nan])
    bands = Bands(value, edges)
    assert bands(x, x).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, -1]
    assert bands(x, x).dtype == np.int32
    assert bands(np.zeros(0), np.zeros(0)).shape == (0,)
    assert bands.labels("m") == ("under 10 m", "10-20 m", "20-40 m", "40 m and more")


def test_an_edge_of_elevation_hangs_on_rounding() -> None:
    steps = np.arange(255) * 28.0 - 450.0
    assert min(np.abs(steps - edge).min() for edge in ELEVATION_EDGES) >= 2.0


def test_larger_cities_leave_the_bands_as_they_are() -> None:
    lon, lat = [13.4, 12.4], [52.5, 51.3]  # Berlin; near Leipzig, which has no million
    near, large = (layer("city_distance_band", min_population=n) for n in (100_000, 1_000_000))
    assert near(lon, lat).tolist() == ["under 10 km", "under 10 km"]
    assert large(lon, lat).tolist() == ["under 10 km", "100-250 km"]
    assert near.key != large.key


def test_the_map_of_city_distances_changes_a_band(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = layer("city_distance_band")
    lon, lat = uniform_on_sphere(60_000, np.random.default_rng(1))
    # Cities, where bands are thin; the edges of cells; the ends of the map.
    found = cities(100_000)
    near_lon, near_lat = offset(found.lon, found.lat, 77.0, np.linspace(0.0, 120.0, len(found)))
    step = np.arange(-1800, 1801) / 10.0
    lon = np.concatenate([lon, near_lon, step, step, [-180.0, 180.0, 0.0]])
    lat = np.concatenate([lat, near_lat, step / 2, np.round(step / 2, 1), [-90.0, 90.0, 0.0]])
    expected = plain.codes(lon, lat)
    monkeypatch.setattr(bands_module, "_MANY", 1)
    assert (plain.codes(lon, lat) == expected).all()
    sure = bands_module._sure(100_000, digest_of("geonames-cities"))
    assert 0.9 < (sure >= 0).mean() < 1.0  # the map answers for most, and not for all
