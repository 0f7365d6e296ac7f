"""Leakage: the nearest training place of every test place, however large or odd the pools."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherefrom.auditing import leakage as leaks
from wherefrom.auditing.leakage import KM, Leakage, LeakageTally, tally_for
from wherefrom.auditing.tally import run
from wherefrom.earth.land import LAND_KM2
from wherefrom.earth.sphere import chord, distance_km, offset, uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import Batch

Floats = np.ndarray
# Poles, the antimeridian from both sides, and their neighbours.
ODD = [-180.0, 180.0, 179.9999999, -179.9999999, 0.0, -0.05, 90.0]
lons = st.one_of(st.sampled_from(ODD), st.floats(-180.0, 180.0))
lats = st.one_of(st.sampled_from([-90.0, 90.0, 89.95, 0.0, -89.999]), st.floats(-90.0, 90.0))
places = st.lists(st.tuples(lons, lats), min_size=1, max_size=12)


def arrays_of(rows: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    lon, lat = np.array(rows, dtype=np.float64).T
    return np.ascontiguousarray(lon), np.ascontiguousarray(lat)


def pool_of(lon: Floats, lat: Floats) -> Pool:
    return Pool.from_table(pa.table({"lon": lon, "lat": lat}))


def distances(
    train: Pool, test: Pool, km: tuple[float, ...] = KM, *, weights: Floats | None = None
) -> Leakage:
    (tally,) = run(train, [tally_for(train, test, weights)], weights=weights)
    return tally.result(km)


@pytest.fixture(autouse=True)
def _small_batches_use_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_WORTH", 1)


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places, places, places)
def test_a_training_place_that_is_nearest_is_left_out(
    test: list[tuple[float, float]],
    first: list[tuple[float, float]],
    second: list[tuple[float, float]],
) -> None:
    tally = LeakageTally(*arrays_of(test))
    tally.update(Batch(0, *arrays_of(first)))
    tally.update(Batch(len(first), *arrays_of(second)))  # by the map of neighbourhoods
    found = tally.result()
    lon, lat = arrays_of(test)
    train_lon, train_lat = arrays_of(first + second)
    true = distance_km(lon[:, None], lat[:, None], train_lon, train_lat).min(axis=1)
    # A k-d tree compares chords, whose last bits near the antipode are 0.2 m.
    np.testing.assert_allclose(found.km, true, rtol=1e-9, atol=3e-4)


@pytest.mark.slow
def test_a_large_pool_gives_other_distances_than_a_plain_search() -> None:
    rng = np.random.default_rng(1)
    train, test = uniform_on_sphere(30_000, rng), uniform_on_sphere(150, rng)
    tally = LeakageTally(*test)
    for start in range(0, 30_000, 8_000):
        rows = slice(start, start + 8_000)
        tally.update(Batch(start, train[0][rows], train[1][rows]))
    assert tally._near is not None
    assert tally._near.mean() < 0.2  # the map leaves out what cannot be nearer
    true = distance_km(test[0][:, None], test[1][:, None], *train).min(axis=1)
    np.testing.assert_allclose(tally.result().km, true, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("km", [0.001, 30.0, 800.0])
@pytest.mark.parametrize(
    ("lon", "lat"), [(0.0, 0.0), (179.99, 10.0), (-180.0, -45.0), (10.0, 89.99), (5.0, -89.2)]
)
def test_the_map_of_neighbourhoods_cuts_a_cap(lon: float, lat: float, km: float) -> None:
    bearing = np.linspace(0.0, 360.0, 721)
    edge = offset(lon, lat, bearing, km * (1.0 - 1e-9))
    tally = LeakageTally(np.array([lon]), np.array([lat]))
    tally._chord[:] = chord(km)
    assert tally._near_test(*edge).all()
    assert tally._near is not None  # drawn by the call above
    # A box around a cap has at most a few times its area, and cells have 11 km.
    sphere = np.pi * (km + 16.0) ** 2 / 5.1e8
    assert (
        np.average(
            tally._near.reshape(1800, 3600).mean(axis=1),
            weights=np.cos(np.radians(np.arange(1800) / 10.0 - 89.95)),
        )
        < 3.0 * sphere
    )


def test_the_merge_of_parts_differs_from_one_pass() -> None:
    rng = np.random.default_rng(2)
    train, test = uniform_on_sphere(9_000, rng), uniform_on_sphere(200, rng)
    empty = LeakageTally(*test)
    whole, first, second = (copy.deepcopy(empty) for _ in range(3))
    whole.update(Batch(0, *train))
    first.update(Batch(0, train[0][:4_000], train[1][:4_000]))
    first.update(Batch(4_000, train[0][4_000:5_000], train[1][4_000:5_000]))
    second.update(Batch(5_000, train[0][5_000:], train[1][5_000:]))
    first.merge(pickle.loads(pickle.dumps(second)))
    assert first.result().entries() == whole.result().entries()
    assert empty.train == 0  # a copy shares the test places, and nothing that changes
    assert np.isnan(empty.train_lon).all()
    assert len(pickle.dumps(first)) < 200 * 8 * 13  # the map stays where it was made


def test_places_of_weight_zero_leak() -> None:
    train = pool_of(np.array([0.0, 1.0, 2.0]), np.zeros(3))
    test = pool_of(np.zeros(1), np.zeros(1))
    found = distances(train, test, weights=np.array([0.0, 0.0, 2.0]))
    assert found.n_train == 1
    assert found.nearest[0].train_lon == 2.0
    with pytest.raises(WherefromError, match="no training places"):
        distances(train, test, weights=np.zeros(3))


def test_shares_within_and_quantiles_differ_from_those_worked_by_hand() -> None:
    km = np.array([0.0, 0.5, 5.0, 50.0, 500.0])
    lon, lat = offset(10.0, 20.0, 90.0, km)
    found = distances(pool_of(np.array([10.0]), np.array([20.0])), pool_of(lon, lat))
    np.testing.assert_allclose(found.km, km, atol=1e-9)
    assert [(row.km, row.places, row.share) for row in found.within] == [
        (1.0, 2, 0.4),
        (10.0, 3, 0.6),
        (100.0, 4, 0.8),
    ]
    assert found.quantiles[0.5] == pytest.approx(5.0)
    assert found.quantiles[1.0] == pytest.approx(500.0)
    assert [row.row for row in found.nearest] == [0, 1, 2, 3, 4]
    plain = json.loads(json.dumps(found.entries(), allow_nan=False))["leakage"]
    assert (plain["n_test"], plain["n_train"], plain["nearest"][0]["km"]) == (5, 1, 0.0)


def test_a_million_equal_places_are_searched_one_by_one() -> None:
    # Without care this is 4e9 distances, some minutes.
    tally = LeakageTally(np.full(4_000, -180.0), np.full(4_000, -45.0))
    tally.update(Batch(0, np.full(1_000_000, 180.0), np.full(1_000_000, -45.0)))
    found = tally.result()
    assert found.km.max() < 1e-9
    assert found.n_train == 1_000_000
    assert [(pair.row, pair.rows) for pair in found.nearest] == [(0, 4_000)]  # one line a pair


def test_a_pool_uniform_on_land_leaks_more_or_less_than_by_chance() -> None:
    train = Pool.build(30_000, seed=1)
    inland = Pool.build(2_000, seed=2)
    found = distances(train, inland, km=(10.0, 30.0))
    for row in found.within:
        # By coasts a cap is partly sea, which the expectation leaves out: some 8 % of the land is
        # within 30 km of a coast. Five binomial deviations of 2,000 places are 0.056.
        assert row.share == pytest.approx(row.by_chance, abs=0.08)
    cap = np.pi * 30.0**2  # flat, 2e-6 off
    assert found.within[1].by_chance == pytest.approx(
        1.0 - np.exp(-30_000 * cap / LAND_KM2), abs=1e-4
    )
