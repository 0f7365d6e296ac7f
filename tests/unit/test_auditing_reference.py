"""The area of land: the lattice against exact areas of polygons and published ones."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from wherefrom.auditing import lattice, reference
from wherefrom.auditing.lattice import Ground, land_lattice
from wherefrom.auditing.reference import land
from wherefrom.earth import polygons
from wherefrom.earth.fetch import digest_of, path_of
from wherefrom.earth.land import LAND_KM2, LAND_SHARE
from wherefrom.earth.sphere import EARTH_RADIUS_KM, unit_vectors
from wherefrom.errors import WherefromError

SPHERE_KM2 = 4.0 * np.pi * EARTH_RADIUS_KM**2


def area_km2(shape: shapely.Geometry) -> float:
    """Area of polygons whose edges are straight in degrees: of each ring, sin(lat) d lon."""
    total = 0.0
    for part in shapely.get_parts(shape):
        for i, ring in enumerate([part.exterior, *part.interiors]):
            lon, lat = np.radians(shapely.get_coordinates(ring)).T
            height = np.diff(lat)
            flat = np.abs(height) < 1e-12
            # The mean of the sine along an edge on which the latitude is linear.
            mean = -np.diff(np.cos(lat)) / np.where(flat, 1.0, height)
            mean[flat] = np.sin(lat[:-1][flat])
            ring_area = abs(float((mean * np.diff(lon)).sum()))
            total += ring_area if i == 0 else -ring_area
    return total * EARTH_RADIUS_KM**2


@pytest.fixture(scope="module")
def exact() -> dict[str, dict[str, float]]:
    """Areas in km2 by continent and by country, of the polygons themselves."""
    path, digest = path_of("natural-earth-countries"), digest_of("natural-earth-countries")
    shapes, countries, continents = pieces(path, digest)
    areas: dict[str, dict[str, float]] = {
        "continent": defaultdict(float),
        "country": defaultdict(float),
    }
    for shape, country, continent in zip(shapes, countries, continents, strict=True):
        area = area_km2(shape)
        areas["continent"][continent] += area
        areas["country"][country] += area
    return areas


def pieces(
    path: Path, digest: str
) -> tuple[tuple[shapely.Geometry, ...], tuple[str, ...], tuple[str, ...]]:
    found, _ = polygons._indexed_pieces(path, digest, False)
    return found.shape, found.country, found.continent


def test_a_known_area_is_measured_wrongly_by_the_test_itself() -> None:
    octant = shapely.box(0.0, 0.0, 90.0, 90.0)
    assert area_km2(octant) == pytest.approx(SPHERE_KM2 / 8)


def test_shares_of_continents_differ_from_their_polygons(
    exact: dict[str, dict[str, float]],
) -> None:
    found = land("continent", Ground(antarctica=True))
    total = sum(exact["continent"].values())
    for label, share in zip(found.labels, found.shares, strict=True):
        assert share == pytest.approx(exact["continent"][label] / total, abs=1e-4), label


def test_shares_of_countries_are_off_by_more_than_the_stated_error(
    exact: dict[str, dict[str, float]],
) -> None:
    found = land("country", Ground(antarctica=True))
    total = sum(exact["country"].values())
    true = np.array([exact["country"][label] for label in found.labels]) / total
    error = (found.shares - true) / np.sqrt(true * (1 - true) / found.size)
    # The stated error is an upper bound: 1 for a random lattice, less for this one.
    assert np.sqrt((error**2).mean()) < 0.5
    assert np.abs(error).max() < 5.0
    lost = [exact["country"][label] for label in found.unresolved]
    assert max(lost) < 250.0  # km2, two points


def test_land_has_not_the_area_that_is_published() -> None:
    # CIA World Factbook: land of the Earth 148.9 million km2, with lakes 510.1 - 361.1; of
    # Antarctica 14.2 (ice shelves are partly land in Natural Earth).
    without, every = land("land"), land("land", Ground(antarctica=True))
    point = SPHERE_KM2 / reference.LATTICE
    assert every.counts[0] * point == pytest.approx(148.9e6, rel=0.02)
    assert without.counts[0] * point == pytest.approx(134.7e6, rel=0.01)
    assert without.counts[0] / reference.LATTICE == pytest.approx(LAND_SHARE, rel=1e-3)
    assert pytest.approx(134.7e6, rel=0.01) == LAND_KM2


def test_antarctica_is_land_where_it_was_left_out() -> None:
    without, every = land("continent"), land("continent", Ground(antarctica=True))
    number = without.labels.index("Antarctica")
    assert without.counts[number] == 0.0
    assert every.counts[number] > 0.08 * every.counts.sum()
    assert without.name == "land without Antarctica"
    assert without.unresolved == ()  # it has area, but is not asked for


def test_kept_points_of_land_differ_from_those_made_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("wherefrom.earth.kept.cache_folder", lambda: tmp_path)
    lattice._land_points.cache_clear()
    first = lattice._land_points(1 << 19)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    lattice._land_points.cache_clear()
    monkeypatch.setattr(lattice, "on_land", None)  # would be called to make them again
    np.testing.assert_array_equal(lattice._land_points(1 << 19), first)
    lattice._land_points.cache_clear()


def test_layers_of_values_are_taken_for_labels() -> None:
    with pytest.raises(WherefromError, match="elevation_band cuts it into classes"):
        land("elevation")
    with pytest.raises(WherefromError, match="did you mean 'biome'"):
        land("bimoe")


@given(st.integers(1, 3000))
def test_points_of_the_lattice_crowd(count: int) -> None:
    lon, lat = lattice.fibonacci(count)
    assert lon.shape == lat.shape == (count,)
    assert ((lon >= -180.0) & (lon < 180.0) & (np.abs(lat) <= 90.0)).all()
    if count > 1:
        nearest = cKDTree(unit_vectors(lon, lat)).query(unit_vectors(lon, lat), k=2)[0][:, 1]
        # The mean cell's side is sqrt(4 pi / N); neighbours keep most of it.
        assert nearest.min() > 0.6 * np.sqrt(4.0 * np.pi / count) or count < 4


@pytest.mark.parametrize("count", [0, -3])
def test_a_lattice_without_points_is_made(count: int) -> None:
    with pytest.raises(ValueError, match="at least 1 point"):
        lattice.fibonacci(count)


def test_the_lattice_of_land_has_another_number_of_places_than_asked_for() -> None:
    for count in (10_000, 40_000):
        assert len(land_lattice(count)) == pytest.approx(count, rel=0.01)
    assert len(land_lattice(10_000, ground=Ground(antarctica=True))) == pytest.approx(
        10_910, rel=0.01
    )
    assert len(land_lattice(1)) in (0, 1, 2)
