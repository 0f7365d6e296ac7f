"""Slopes: hand-computed on small grids at several latitudes, and sane on the real terrain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wherefrom.earth import layer
from wherefrom.earth.rasters import Grid
from wherefrom.earth.sphere import EARTH_RADIUS_KM
from wherefrom.earth.terrain import Altitude, Slope

STEP = 0.5
DEGREE_M = math.pi / 180 * EARTH_RADIUS_KM * 1000
SEA = 255


def flat(value: int = 100) -> np.ndarray:
    return np.full((360, 720), value, dtype=np.uint8)


def at(values: np.ndarray, lon: float, lat: float) -> float:
    slope = Slope(Altitude(Grid(values, west=-180.0, north=90.0, step=STEP)))
    return float(slope(np.array([lon]), np.array([lat]))[0])


def degrees(rise: float, run: float) -> float:
    return math.degrees(math.atan(rise / run))


@pytest.mark.parametrize("lat", [0.25, 40.25, 70.25, 80.25])
def test_an_eastward_rise_is_divided_by_the_width_of_its_own_latitude(lat: float) -> None:
    # One step of 28 m per column near 10 E: away from the seam, where the ramp would jump.
    values = flat()
    values[:, 350:420] += np.arange(70, dtype=np.uint8)
    width = STEP * DEGREE_M * math.cos(math.radians(lat))
    # The rows above and below have other widths: 1 % apart at 80 degrees.
    assert at(values, 10.25, lat) == pytest.approx(degrees(28.0, width), rel=1e-2)
    assert at(values, 10.25, -lat) == pytest.approx(at(values, 10.25, lat), rel=1e-6)


@pytest.mark.parametrize("lat", [0.25, 60.25, -75.25])
def test_a_northward_rise_does_not_depend_on_the_latitude(lat: float) -> None:
    values = flat(0) + np.arange(360, 0, -1)[:, None] // 2
    values = (values[::2].repeat(2, axis=0) + 0).astype(np.uint8)
    # Every other row rises by one step: over two rows always 28 m.
    assert at(values, 10.25, lat) == pytest.approx(degrees(28.0, 2 * STEP * DEGREE_M), rel=1e-6)


def test_both_axes_together_are_a_plane_and_weights_are_horns() -> None:
    values = flat()
    values[180 - 2, 380] += 3  # north-west of the pixel below: weight 1 of 4 on either axis
    rise = 0.25 * 3 * 28.0
    north = rise / (2 * STEP * DEGREE_M)
    east = rise / (2 * STEP * DEGREE_M * math.cos(math.radians(0.75)))
    expected = math.degrees(math.atan(math.hypot(north, east)))
    assert at(values, (381 - 360) * STEP + 0.25, 0.25) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("lat", "columns"), [(0.25, 1), (40.25, 1), (60.25, 2), (80.25, 6)])
def test_the_stencil_is_as_wide_as_high_at_every_latitude(lat: float, columns: int) -> None:
    row, column = int((90 - lat) / STEP), 380
    assert columns == round(1 / math.cos(math.radians(lat)))
    for shift in range(1, 9):
        values = flat()
        values[row, column + shift] += 9
        found = at(values, (column - 360) * STEP + 0.25, lat)
        assert (found > 0) == (shift == columns)


def test_slopes_do_not_stop_or_jump_at_the_antimeridian() -> None:
    values = flat()
    values[:, :40] = values[:, -40:] = 60
    values[:, -3:] += np.array([4, 5, 6], np.uint8)
    values[:, :3] += np.array([7, 8, 9], np.uint8)
    width = STEP * DEGREE_M
    for lon in (179.75, -179.75, 180.0, -180.0):
        assert at(values, lon, 0.25) == pytest.approx(degrees(28.0, width), rel=1e-4)
    assert at(values, 180.0, 5.0) == at(values, -180.0, 5.0)


def test_the_missing_polar_caps_are_not_a_cliff() -> None:
    values = flat(120)
    values[:10] = values[350:] = SEA
    assert at(values, 10.0, 84.75) == at(values, 10.0, -84.75) == 0.0
    assert math.isnan(at(values, 10.0, 85.25))
    assert math.isnan(at(values, 10.0, 90.0))
    assert math.isnan(at(values, 10.0, -90.0))
    values[349] = 121  # the difference is one-sided: one row, not two
    expected = degrees(28.0, STEP * DEGREE_M)
    assert at(values, 10.0, -84.75) == pytest.approx(expected, rel=1e-6)


def test_the_sea_is_at_sea_level_and_has_no_slope() -> None:
    values = flat(SEA)
    values[170:190, 380:400] = 36  # an island of 558 m
    assert math.isnan(at(values, -100.0, 0.25))
    middle, shore = at(values, 15.25, 0.25), at(values, 10.25, 0.25)
    assert middle == 0.0
    assert shore == pytest.approx(degrees(558.0, 2 * STEP * DEGREE_M), rel=1e-3)


def test_real_slopes_follow_the_relief_and_stay_those_of_smoothed_terrain() -> None:
    slope = layer("slope")
    assert slope.units == "degrees"
    rng = np.random.default_rng(7)

    def around(lon: float, lat: float) -> np.ndarray:
        return slope(lon + rng.uniform(-1, 1, 500), lat + rng.uniform(-1, 1, 500))

    himalaya, amazon, sahara = around(85, 28.2), around(-65, -4), around(4, 24)
    assert np.median(himalaya) > 1.5
    assert np.median(amazon) < 0.1
    assert np.median(sahara) < 0.3
    values = np.concatenate([himalaya, amazon, sahara])
    assert values.dtype == np.float32
    assert values.min() >= 0
    assert values.max() < 15


def test_slope_is_there_exactly_where_elevation_is() -> None:
    lon, lat = rng_places()
    assert (np.isnan(layer("slope")(lon, lat)) == np.isnan(layer("elevation")(lon, lat))).all()


def rng_places() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    return rng.uniform(-180, 180, 20_000), rng.uniform(-90, 90, 20_000)
