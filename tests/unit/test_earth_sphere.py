"""Sphere maths against closed forms and against its own symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from wherefrom.earth.sphere import (
    EARTH_RADIUS_KM,
    chord,
    distance_km,
    nearest_km,
    offset,
    uniform_on_sphere,
    unit_vectors,
    wrap_lon,
)

HALF_TURN = math.pi * EARTH_RADIUS_KM
LON = st.floats(-180.0, 180.0)
LAT = st.floats(-90.0, 90.0)


def test_vectors_of_axes_and_poles() -> None:
    lon = [0.0, 90.0, 180.0, -90.0, 33.0, -120.0]
    lat = [0.0, 0.0, 0.0, 0.0, 90.0, -90.0]
    wanted = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
    np.testing.assert_allclose(unit_vectors(lon, lat), wanted, atol=1e-15)


@given(LON, LAT)
def test_vectors_have_length_one_and_give_the_place_back(lon: float, lat: float) -> None:
    x, y, z = unit_vectors(lon, lat)
    assert math.isclose(math.hypot(x, y, z), 1.0, rel_tol=1e-15)
    assert math.isclose(math.degrees(math.atan2(z, math.hypot(x, y))), lat, abs_tol=1e-13)
    if abs(lat) < 90.0:
        assert distance_km(lon, lat, math.degrees(math.atan2(y, x)), lat) < 1e-9


@pytest.mark.parametrize(
    ("places", "turns"),
    [
        ((0, 0, 0, 0), 0.0),
        ((0, 0, 180, 0), 1.0),
        ((10, 90, -70, -90), 1.0),
        ((10, 90, -70, 90), 0.0),
        ((179.5, 0, -179.5, 0), 1 / 180),
        ((-180, 37, 180, 37), 0.0),
        ((0, 0, 90, 45), 0.5),
        ((0, 60, 180, 60), 1 / 3),
        ((25, -30, -155, 30), 1.0),
    ],
)
def test_distance_of_known_arcs(places: tuple[float, ...], turns: float) -> None:
    assert distance_km(*places) == pytest.approx(turns * HALF_TURN, rel=1e-14, abs=2e-12)


@pytest.mark.parametrize("degrees", [1e-12, 1e-9, 1e-6, 1e-3, 1.0])
def test_distance_keeps_its_digits_for_close_and_antipodal_places(degrees: float) -> None:
    north = 45.0 + degrees
    true = math.radians(north - 45.0) * EARTH_RADIUS_KM
    assert distance_km(7.0, 45.0, 7.0, north) == pytest.approx(true, rel=1e-9)
    # Haversine would be wrong by up to 1e-4 km here.
    assert distance_km(0.0, -45.0, 180.0, north) == pytest.approx(HALF_TURN - true, abs=1e-11)


@given(LON, LAT, LON, LAT)
def test_distance_is_symmetric_and_agrees_with_the_chord(
    lon1: float, lat1: float, lon2: float, lat2: float
) -> None:
    there, back = distance_km(lon1, lat1, lon2, lat2), distance_km(lon2, lat2, lon1, lat1)
    assert there == pytest.approx(back, rel=1e-12, abs=1e-11)
    straight = float(np.linalg.norm(unit_vectors(lon1, lat1) - unit_vectors(lon2, lat2)))
    assert chord(float(there)) == pytest.approx(straight, abs=1e-14)


@given(st.tuples(LON, LAT, LON, LAT, LON, LAT))
def test_distance_obeys_the_triangle_inequality(c: tuple[float, ...]) -> None:
    ab, bc, ac = distance_km(*c[:4]), distance_km(*c[2:]), distance_km(*c[:2], *c[4:])
    assert ac <= ab + bc + 1e-9


def test_distance_broadcasts_to_a_matrix() -> None:
    lon, lat = uniform_on_sphere(5, np.random.default_rng(1))
    matrix = distance_km(lon[:, None], lat[:, None], lon, lat)
    assert matrix.shape == (5, 5)
    np.testing.assert_array_equal(np.diag(matrix), 0.0)


def test_chord_ends_at_the_diameter_and_refuses_nonsense() -> None:
    assert chord(0.0) == 0.0
    assert chord(HALF_TURN) == 2.0
    assert chord(10 * HALF_TURN) == 2.0
    for bad in (-1.0, math.nan):
        with pytest.raises(ValueError, match="at least 0"):
            chord(bad)


@given(LON, st.floats(-89.9, 89.9), st.floats(0.0, 360.0), st.floats(0.0, 0.999))
def test_offset_goes_the_distance_and_comes_back(
    lon: float, lat: float, bearing: float, turns: float
) -> None:
    km = turns * HALF_TURN
    there = offset(lon, lat, bearing, km)
    assert -180.0 <= there[0] < 180.0
    assert -90.0 <= there[1] <= 90.0
    assert distance_km(lon, lat, *there) == pytest.approx(km, abs=1e-8)
    # Going on along the same circle returns to the start after a whole turn.
    assert distance_km(lon, lat, *offset(lon, lat, bearing, 2 * HALF_TURN)) < 1e-8


def test_offset_across_the_pole_and_the_antimeridian() -> None:
    degree = HALF_TURN / 180.0
    lon, lat = offset([0.0, 179.5, 40.0, 40.0], [89.0, 0.0, 90.0, -90.0], [0, 90, 180, 0], degree)
    np.testing.assert_allclose(lat, [90.0, 0.0, 89.0, -89.0], atol=1e-12)
    np.testing.assert_allclose(lon[1:], [-179.5, 40.0, 40.0], atol=1e-11)
    over = offset(10.0, 89.0, 0.0, 3 * degree)
    np.testing.assert_allclose(over, [-170.0, 88.0], atol=1e-10)


@given(st.floats(-1e6, 1e6))
def test_wrap_stays_in_range_and_keeps_the_meridian(lon: float) -> None:
    wrapped = float(wrap_lon(lon))
    assert -180.0 <= wrapped < 180.0
    turns = (lon - wrapped) / 360.0
    assert turns == pytest.approx(round(turns), abs=1e-9)
    assert wrap_lon(wrapped) == wrapped


def test_wrap_does_not_round_up_to_the_excluded_end() -> None:
    below = np.nextafter(-180.0, -np.inf)
    np.testing.assert_array_equal(wrap_lon([below, 180.0, -180.0, 540.0]), [-180.0] * 4)
    tiny = np.array([1e-300, -1e-300, np.nextafter(180.0, 0.0)])
    np.testing.assert_array_equal(wrap_lon(tiny), tiny)


def test_uniform_places_fill_equal_areas_equally() -> None:
    # Chi-square over 12 x 8 boxes of equal area; fixed seed; error rate 0.001.
    lon, lat = uniform_on_sphere(96_000, np.random.default_rng(20))
    z = np.sin(np.radians(lat))
    counts, _, _ = np.histogram2d(lon, z, bins=(12, 8), range=((-180, 180), (-1, 1)))
    assert counts.sum() == 96_000
    assert chisquare(counts.ravel()).pvalue > 0.001


def test_uniform_places_repeat_with_the_generator() -> None:
    first, again = (uniform_on_sphere(10, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert uniform_on_sphere(0, np.random.default_rng(3))[0].shape == (0,)


def test_nearest_place_is_another_than_by_comparing_all() -> None:
    rng = np.random.default_rng(0)
    lon, lat = uniform_on_sphere(200, rng)
    to_lon, to_lat = uniform_on_sphere(50, rng)
    lon[:2], lat[:2] = (180.0, to_lon[0]), (0.0, to_lat[0])
    every = distance_km(lon[:, None], lat[:, None], to_lon, to_lat)
    np.testing.assert_allclose(
        nearest_km(lon, lat, to_lon, to_lat), every.min(axis=1), rtol=1e-9, atol=1e-6
    )
    assert nearest_km([1.0], [2.0], [], []).tolist() == [np.inf]
    with pytest.raises(ValueError, match="not finite"):
        nearest_km([np.nan], [0.0], [0.0], [0.0])
    with pytest.raises(ValueError, match="finite"):
        nearest_km([0.0], [0.0], [np.nan], [0.0])
