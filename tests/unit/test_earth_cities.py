"""Cities: the distance is the true nearest one, and the list has no gaps or surprises."""

from __future__ import annotations

import numpy as np
import pytest

from wherefrom.earth import cities, layer
from wherefrom.earth.sphere import distance_km, uniform_on_sphere
from wherefrom.errors import WherefromError


def test_the_list_is_sorted_and_ends_where_it_was_asked_to() -> None:
    every, large = cities(15_000), cities(1_000_000)
    assert 30_000 < len(every) < 34_007
    assert 300 < len(large) < 700
    for some, limit in ((every, 15_000), (large, 1_000_000)):
        assert (np.diff(some.population) <= 0).all()
        assert some.population.min() >= limit
        assert np.abs(some.lon).max() <= 180
        assert np.abs(some.lat).max() <= 90
    assert (every.population[len(large) :] < 1_000_000).all()
    berlin = np.flatnonzero(every.name == "Berlin")[0]
    assert every.country[berlin] == "DE"
    assert distance_km(every.lon[berlin], every.lat[berlin], 13.4, 52.52) < 10


def test_the_nearest_city_is_nearest_on_the_sphere_also_across_the_antimeridian() -> None:
    large = cities(500_000)
    lon, lat = uniform_on_sphere(300, np.random.default_rng(0))
    lon, lat = np.append(lon, [179.9, -179.9, 0.0]), np.append(lat, [-17.0, -17.0, 90.0])
    expected = [
        distance_km(x, y, large.lon, large.lat).min() for x, y in zip(lon, lat, strict=True)
    ]
    distance = layer("city_distance", min_population=500_000)
    found = distance(lon, lat)
    assert distance.units == "km"
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-3)


def test_a_city_is_at_no_distance_from_itself() -> None:
    large = cities(100_000)
    assert layer("city_distance")(large.lon, large.lat).max() < 1e-3


def test_a_population_that_the_source_cannot_serve_is_refused() -> None:
    with pytest.raises(WherefromError, match="starts at 15,000"):
        cities(1000)
    with pytest.raises(WherefromError, match="the largest city has"):
        layer("city_distance", min_population=10**9)
    with pytest.raises(WherefromError, match="min_population"):
        layer("city_distance", min_population="many")
