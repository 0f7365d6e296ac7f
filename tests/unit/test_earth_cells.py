"""Equal-area cells: areas from closed forms, and no place without exactly one cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.sphere import EARTH_RADIUS_KM, uniform_on_sphere

SPHERE = 4.0 * np.pi * EARTH_RADIUS_KM**2


@pytest.mark.parametrize("n_bands", [1, 2, 3, 18, 45, 180])
def test_every_cell_has_the_same_area(n_bands: int) -> None:
    cells = EqualAreaCells(n_bands)
    west, south, east, north = cells.bounds(np.arange(cells.count))
    south, north = np.radians(south), np.radians(north)
    # sin(north) - sin(south), written so that thin bands keep their digits.
    height = 2.0 * np.cos((north + south) / 2) * np.sin((north - south) / 2)
    area = EARTH_RADIUS_KM**2 * np.radians(east - west) * height
    np.testing.assert_allclose(area, cells.area_km2, rtol=1e-12)
    assert cells.area_km2 * cells.count == pytest.approx(SPHERE, rel=1e-15)


@pytest.mark.parametrize("n_bands", [1, 2, 7, 90])
def test_cells_cover_the_sphere_once_and_mirror_at_the_equator(n_bands: int) -> None:
    cells = EqualAreaCells(n_bands)
    west, south, east, north = cells.bounds(np.arange(cells.count))
    assert (west[0], south[0], east[-1], north[-1]) == (-180.0, -90.0, 180.0, 90.0)
    step = south[1:] != south[:-1]
    np.testing.assert_array_equal(west[1:][~step], east[:-1][~step])
    np.testing.assert_array_equal(south[1:][step], north[:-1][step])
    assert (west[1:][step] == -180.0).all()
    assert (east[:-1][step] == 180.0).all()
    np.testing.assert_allclose(np.sort(south), np.sort(-north), atol=1e-13)


def test_cells_are_nearly_square() -> None:
    cells = EqualAreaCells(60)
    west, south, east, north = cells.bounds(np.arange(cells.count))
    _, middle = cells.centre(np.arange(cells.count))
    shape = (east - west) * np.cos(np.radians(middle)) / (north - south)
    away = np.abs(middle) < 80
    assert shape[away].min() > 0.85
    assert shape[away].max() < 1.15
    assert cells.count == pytest.approx(4 / np.pi * 60**2, rel=0.01)


@given(st.integers(1, 400), st.floats(-180.0, 180.0), st.floats(-90.0, 90.0))
def test_a_place_lies_within_the_bounds_of_its_cell(n_bands: int, lon: float, lat: float) -> None:
    cells = EqualAreaCells(n_bands)
    (cell,) = cells.cell([lon], [lat])
    west, south, east, north = (float(edge) for edge in cells.bounds(cell))
    lon = -180.0 if lon == 180.0 else lon
    # Along a band the cell comes from a product, its bounds from a quotient: 1e-12 degrees.
    assert west - 1e-12 <= lon <= east + 1e-12
    assert south <= lat < north or (lat == north == 90.0)


@pytest.mark.parametrize("n_bands", [1, 2, 5, 64, 181])
def test_centres_and_corners_belong_to_their_own_cell(n_bands: int) -> None:
    cells = EqualAreaCells(n_bands)
    every = np.arange(cells.count)
    np.testing.assert_array_equal(cells.cell(*cells.centre(every)), every)
    west, south, east, north = cells.bounds(every)
    inwards = (east - west) * 1e-9
    np.testing.assert_array_equal(cells.cell(west + inwards, south), every)
    below = np.nextafter(north, -np.inf)
    np.testing.assert_array_equal(cells.cell(east - inwards, below), every)


def test_the_antimeridian_is_one_meridian_and_the_poles_have_cells() -> None:
    cells = EqualAreaCells(30)
    lat = np.linspace(-90.0, 90.0, 181)
    np.testing.assert_array_equal(
        cells.cell(np.full(181, 180.0), lat), cells.cell(np.full(181, -180.0), lat)
    )
    np.testing.assert_array_equal(
        cells.cell(np.full(181, 190.0), lat), cells.cell(np.full(181, -170.0), lat)
    )
    west_of_it = cells.cell(np.full(181, np.nextafter(180.0, 0.0)), lat)
    assert (cells.bounds(west_of_it)[2] == 180.0).all()
    assert cells.cell([0.0], [90.0])[0] >= cells.count - 3
    assert cells.cell([0.0], [-90.0])[0] < 3


def test_uniform_places_fill_cells_equally() -> None:
    # Chi-square over all cells; fixed seed; error rate 0.001.
    cells = EqualAreaCells(20)
    lon, lat = uniform_on_sphere(100 * cells.count, np.random.default_rng(4))
    counts = np.bincount(cells.cell(lon, lat), minlength=cells.count)
    assert len(counts) == cells.count
    assert chisquare(counts).pvalue > 0.001


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        EqualAreaCells(0)
    cells = EqualAreaCells(4)
    for lon, lat in ((np.nan, 0.0), (0.0, np.nan), (np.inf, 0.0), (0.0, 90.1)):
        with pytest.raises(ValueError, match="latitude in"):
            cells.cell([lon], [lat])
    for bad in (-1, cells.count):
        with pytest.raises(ValueError, match="only cells 0 to"):
            cells.centre([bad])
    with pytest.raises(ValueError, match="integers"):
        cells.bounds([0.5])
    assert cells.cell([], []).shape == cells.centre([])[0].shape == (0,)
