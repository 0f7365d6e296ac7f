"""Spatial statistics hold their level on uniform places, and see what is planted in others.

Uniform places are flagged with probability ALPHA = 1e-4 at most per test (a binomial count of
p-values below a bound, beside its quantile); seeds are fixed. What must be seen is planted far
beyond chance.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import binom, chi2

from wherefrom import earth
from wherefrom.auditing.lattice import (
    COARSE,
    Ground,
    Land,
    fibonacci,
    land_lattice,
    uniform_on_land,
)
from wherefrom.auditing.space.coverage import CoverageTally
from wherefrom.auditing.space.density import BANDS, CellsTally, Density
from wherefrom.auditing.space.duplicates import DuplicatesTally
from wherefrom.auditing.space.effective import RANGES, effective_size
from wherefrom.auditing.space.latitude import Latitude, LatitudeTally
from wherefrom.auditing.space.nearest import Nearest, nearest_index
from wherefrom.auditing.space.pattern import RADII, pattern_of, rank_test, simulate
from wherefrom.auditing.space.ripley import Ripley, ripley_l
from wherefrom.auditing.space.striping import Period, Striping, StripingTally
from wherefrom.auditing.tally import RowSample
from wherefrom.earth.land import LAND_SHARE
from wherefrom.earth.sphere import (
    EARTH_RADIUS_KM,
    arc_km,
    chord,
    distance_km,
    offset,
    uniform_on_sphere,
    unit_vectors,
)
from wherefrom.pool.batches import Batch

pytestmark = pytest.mark.slow

ALPHA = 1e-4
Floats = NDArray[np.float64]
Places = tuple[Floats, Floats]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def too_many(p: list[float], bound: float) -> bool:
    """Tell whether more p-values lie below the bound than in all but ALPHA of cases."""
    return sum(value <= bound for value in p) > binom.isf(ALPHA, len(p), bound)


def density(places: Places, bands: int = BANDS[1]) -> Density:
    tally = CellsTally(bands)
    tally.update(Batch(0, *places))
    return tally.result()


def latitude(places: Places, weight: Floats | None = None) -> Latitude:
    tally = LatitudeTally()
    tally.update(Batch(0, *places), weight)
    return tally.result()


def striping(places: Places) -> Striping:
    tally = StripingTally()
    tally.update(Batch(0, *places))
    return tally.result()


def against_uniform(places: Places, seed: int) -> tuple[Nearest, Ripley]:
    n = len(places[0])
    here, null = pattern_of(*places), simulate(n, rng(seed))
    return nearest_index(here, null, n), ripley_l(here, null, n)


def around(centres: Places, n: int, km: float, random: np.random.Generator) -> Places:
    """Places at normal distances of some centres."""
    at = random.integers(0, len(centres[0]), n)
    away = np.abs(random.normal(0.0, km, n))
    return offset(centres[0][at], centres[1][at], random.uniform(0.0, 360.0, n), away)


# What is uniform must come out clean.


def test_density_latitude_or_stripes_flag_uniform_places() -> None:
    found: dict[str, list[float]] = {"lat": [], "lon stripes": [], "lat stripes": []}
    for bands in BANDS:
        found[str(bands)] = []
    for i in range(30):
        places = uniform_on_land(20_000, rng(i))
        for bands in BANDS:
            found[str(bands)].append(density(places, bands).p)
        found["lat"].append(latitude(places).p)
        for period in striping(places).periods:
            found[f"{period.axis} stripes"].append(period.p)
    for name, p in found.items():
        assert not too_many(p, 0.01), name
        assert not too_many(p, 0.2), name


def test_lines_of_the_land_itself_are_called_stripes() -> None:
    # The land has a line at 4.3 degrees of latitude, of an amplitude of 0.8 %.
    fine = land_lattice(1 << 21)
    at = rng(400).integers(0, len(fine), 5_000_000)
    for period in striping((fine.lon[at], fine.lat[at])).periods:
        assert period.p > ALPHA / 2


def test_density_of_uniform_places_is_not_dispersed_as_chance_has_it() -> None:
    found = [density(uniform_on_land(50_000, rng(100 + i))) for i in range(30)]
    total = sum(d.chi2 for d in found)
    freedom = sum(d.freedom for d in found)
    # Both sides: an upper bound on the error of the land areas must not swallow what is there.
    assert chi2.isf(1.0 - ALPHA, freedom) * 0.97 < total < chi2.isf(ALPHA, freedom)
    assert np.median([d.variation for d in found]) < 0.02


@pytest.mark.parametrize("bands", BANDS)
def test_error_of_land_areas_flags_a_very_large_uniform_pool(bands: int) -> None:
    # Two billion uniform places are their areas: those of a finer lattice, each point 1000 times.
    # Its own error adds about half to that of the land areas.
    tally = CellsTally(bands)
    fine = land_lattice(1 << 21)
    tally.update(Batch(0, fine.lon, fine.lat))
    tally.places *= 1000.0
    tally._squares *= 1000.0
    found = tally.result()
    assert found.dispersion is not None
    assert found.dispersion < 1.5
    assert found.variation is not None
    assert found.variation < 0.005


def test_rank_test_rejects_more_often_than_its_level() -> None:
    random = rng(7)
    shape = np.linspace(1.0, 3.0, 6)
    p = []
    for _ in range(1500):
        curves = np.cumsum(random.normal(size=(100, 6)), axis=1) * shape
        p.append(rank_test(curves[0], list(curves[1:])).p)
    for bound in (0.01, 0.05, 0.2):
        assert not too_many(p, bound)
        assert sum(value <= bound for value in p) > binom.isf(1.0 - ALPHA, len(p), bound)


def test_envelope_and_p_of_the_rank_test_disagree() -> None:
    random = rng(8)
    for _ in range(200):
        curves = random.normal(size=(100, 5)) + random.normal(size=(100, 1))
        test = rank_test(curves[0], list(curves[1:]), level=0.05)
        outside = bool((np.abs(curves[0] - test.mean) > test.half).any())
        assert outside == (test.p <= 0.05)


def test_nearest_neighbours_or_ripley_flag_uniform_places() -> None:
    nearest, ripley = [], []
    for i in range(12):
        one, two = against_uniform(uniform_on_land(200, rng(200 + i)), 300 + i)
        nearest.append(one.p)
        ripley.append(two.p)
    assert not too_many(nearest, 0.05)
    assert not too_many(ripley, 0.05)


# What is planted must be seen, with the sign and the size it has.


def test_a_tenth_of_the_places_in_the_north_goes_unseen() -> None:
    random = rng(1)
    lon, lat = uniform_on_land(20_000, random)
    north = uniform_on_land(60_000, random)
    keep = np.flatnonzero(north[1] > 50.0)[:2000]
    lon[:2000], lat[:2000] = north[0][keep], north[1][keep]
    found = latitude((lon, lat))
    assert found.p < 1e-6
    assert found.shift > 3.0 * found.shift_se > 0.0
    assert not found.ks_more_south
    assert density((lon, lat)).p < 1e-6


def test_weights_do_not_undo_what_weights_can_undo() -> None:
    # Places in proportion to 1 + (lat > 30), weighted by its inverse: uniform again.
    random = rng(2)
    lon, lat = uniform_on_land(60_000, random)
    taken = random.random(60_000) < np.where(lat > 30.0, 1.0, 0.5)
    places = lon[taken], lat[taken]
    weight = np.where(places[1] > 30.0, 1.0, 2.0)
    assert latitude(places).p < 1e-6
    assert latitude(places, weight).p > 0.01
    tally = CellsTally(BANDS[1])
    tally.update(Batch(0, *places), weight)
    assert density(places).p < 1e-6
    assert tally.result().p > 0.01


def test_variation_of_density_is_not_the_planted_one() -> None:
    # Twice the density where lon > 0: shares 2 a and b of the land's; a is the land's share there.
    random = rng(3)
    lon, lat = uniform_on_land(400_000, random)
    keep = random.random(len(lon)) < np.where(lon > 0.0, 1.0, 0.5)
    a = float((lon > 0.0).mean())
    mean, square = 0.5 + 0.5 * a, 0.25 * (1.0 - a) + a
    planted = np.sqrt(square / mean**2 - 1.0)
    for bands in BANDS[1:]:
        found = density((lon[keep], lat[keep]), bands)
        assert found.variation == pytest.approx(planted, rel=0.05)
    few = density((lon[keep][:20_000], lat[keep][:20_000]))
    assert few.variation == pytest.approx(planted, rel=0.1)


def test_clusters_look_like_chance_to_the_nearest_neighbour() -> None:
    random = rng(4)
    centres = uniform_on_land(50, random)
    nearest, ripley = against_uniform(around(centres, 600, 20.0, random), 5)
    assert nearest.index < 0.3
    assert nearest.p == ripley.p == 0.01
    assert ripley.clustered
    assert ripley.ratio[1] is not None
    assert ripley.ratio[1] > 20.0


def test_a_lattice_looks_like_chance_to_the_nearest_neighbour() -> None:
    fine = land_lattice(1000)
    nearest, ripley = against_uniform((fine.lon, fine.lat), 6)
    # A Fibonacci lattice's neighbours are 0.95 cells away; uniform ones half a cell.
    assert nearest.index > 1.5
    assert nearest.p == 0.01
    assert not ripley.clustered
    # Up to 1000 km few of the neighbours of uniform places are missing, at sea.
    for radius, uniform in zip(RADII[1:5], ripley.uniform_km[1:5], strict=True):
        assert 0.88 * radius < uniform < 1.02 * radius


def test_uniform_neighbours_are_not_as_far_as_theory_says() -> None:
    null = simulate(2000, rng(9))
    mean = float(np.mean([one.nearest_km for one in null]))
    inland = 0.5 * np.sqrt(land_lattice().area_km2 / 2000)
    # Coasts and islands lengthen distances, by some per cent.
    assert 1.0 < mean / inland < 1.12


def test_pairs_on_a_whole_sphere_are_not_those_of_a_cap() -> None:
    lon, lat = uniform_on_sphere(4000, rng(10))
    found = pattern_of(lon, lat)
    cap = np.array([chord(km) ** 2 / 4.0 for km in RADII])
    pairs = np.where(np.arange(9) < 4, 4000 * 3999 / 2, 1024 * 1023 / 2)
    # Pairs of uniform places are independent two by two.
    sd = np.sqrt(cap * (1.0 - cap) / pairs)
    assert (np.abs(found.within - cap) < 4.5 * sd).all()


STRIPES = [("lon", 0.25, 0.0, 0.6), ("lat", 0.37, 0.1, 0.6), ("lon", 1.0, 0.5, 0.8)]


@pytest.mark.parametrize(("axis", "step", "origin", "share"), STRIPES)
def test_stripes_of_any_period_and_origin_go_unseen(
    axis: str, step: float, origin: float, share: float
) -> None:
    random = rng(11)
    lon, lat = uniform_on_land(20_000, random)
    x = {"lon": lon, "lat": lat}
    striped = random.random(20_000) < share
    jitter = random.normal(0.0, step / 20.0, 20_000)
    x[axis] = np.where(striped, (x[axis] / step).round() * step + origin * step + jitter, x[axis])
    periods = {p.axis: p for p in striping((x["lon"], x["lat"].clip(-90, 90))).periods}
    other = periods["lat" if axis == "lon" else "lon"]
    found = periods[axis]
    assert found.p < 1e-6
    assert found.degrees == pytest.approx(step, rel=0.01)
    # The mean of exp(2 pi i x / step) over normal jitter, times the share of the striped.
    assert found.amplitude == pytest.approx(share * np.exp(-2 * (np.pi / 20) ** 2), rel=0.05)
    assert other.p > 1e-4


def test_period_is_named_by_a_multiple_of_its_frequency() -> None:
    lon, lat = uniform_on_land(5000, rng(12))
    found = striping(((lon / 0.5).round() * 0.5, lat)).periods[0]
    assert isinstance(found, Period)
    assert found.degrees == pytest.approx(0.5)
    assert found.amplitude == pytest.approx(1.0)


def test_minutes_of_arc_in_a_gazetteer_go_unseen() -> None:
    cities = earth.cities(15_000)
    found = striping((np.asarray(cities.lon), np.asarray(cities.lat)))
    for period in found.periods:
        assert period.degrees == pytest.approx(1.0 / 60.0, rel=1e-3)
        assert period.p < 1e-6
    minute = next(r for r in found.rounded if r.step == 1.0 / 60.0)
    assert minute.both > 0.05 > 100.0 * minute.chance**2


# Distances and repeats are exact, or off by no more than is said.


def test_a_land_place_is_farther_from_the_lattice_than_is_said() -> None:
    lon, lat = uniform_on_land(100_000, rng(13))
    whole = unit_vectors(*fibonacci(round(COARSE / LAND_SHARE)))
    far = arc_km(cKDTree(whole).query(unit_vectors(lon, lat))[0]).max()
    here: Land = land_lattice()
    assert 0.9 * here.covering_km < far <= here.covering_km


def test_land_lattice_has_another_area_than_the_land() -> None:
    lon, lat = uniform_on_sphere(2_000_000, rng(14))
    inside = earth.layer("land").codes(lon, lat) >= 0
    share = land_lattice(ground=Ground(antarctica=True)).area_km2 / (
        4.0 * np.pi * EARTH_RADIUS_KM**2
    )
    assert abs(inside.mean() - share) < 4.0 * np.sqrt(share * (1 - share) / 2e6)


def test_distance_to_the_nearest_place_is_not_exact() -> None:
    places = uniform_on_land(300, rng(15))
    tally = CoverageTally()
    tally.update(Batch(0, places[0][:200], places[1][:200]))
    other = CoverageTally()
    other.update(Batch(200, places[0][200:], places[1][200:]))
    tally.merge(other)
    here = tally._land
    look = rng(16).integers(0, len(here), 400)
    by_hand = distance_km(here.lon[look, None], here.lat[look, None], *places).min(axis=1)
    assert tally._chord is not None
    np.testing.assert_allclose(arc_km(tally._chord)[look], by_hand, rtol=1e-9)


def test_control_of_coverage_is_not_what_uniform_places_give() -> None:
    for n in (3000, 150_000):
        tally = CoverageTally()
        tally.update(Batch(0, *uniform_on_land(n, rng(17))))
        found = tally.result(n, rng(18))
        assert found.median_km == pytest.approx(found.uniform_median_km, rel=0.04)
        assert found.p99_km == pytest.approx(found.uniform_p99_km, rel=0.15)


def test_a_share_of_the_cells_tells_repeats_wrongly() -> None:
    random = rng(19)
    lon, lat = uniform_on_land(120_000, random)
    lon[:30_000], lat[:30_000] = around((lon[:400], lat[:400]), 30_000, 5.0, random)
    again = random.integers(0, 120_000, 12_000)
    beside = around((lon, lat), 9000, 0.005, random)
    lon, lat = (
        np.concatenate([lon, lon[again], beside[0]]),
        np.concatenate([lat, lat[again], beside[1]]),
    )
    whole = DuplicatesTally()
    whole.update(Batch(0, lon, lat))
    truth = whole.result()
    off = []
    for turn in range(12):  # another origin of longitudes, other cells
        part = DuplicatesTally(capacity=40_000)
        part.update(Batch(0, (lon + turn * 7.3 + 180.0) % 360.0 - 180.0, lat))
        found = part.result()
        assert truth.exact
        assert not found.exact
        for name in ("repeats", "within_10m", "within_1km"):
            se = getattr(found, f"{name}_se")
            off.append((getattr(found, name) - getattr(truth, name)) / se)
    # Turns and names are not independent: a bound on the largest of 36 only, and on the spread.
    assert np.abs(off).max() < 5.0
    assert 0.3 < np.std(off) < 1.8


def test_neighbours_over_the_edge_of_a_cell_are_missed() -> None:
    # 0.3 places per km^2: of every place 1 - exp(-0.3 pi) have a neighbour within 1 km.
    off = []
    for turn in range(12):
        random = rng(500 + turn)
        lon = random.uniform(-2.0, 2.0, 27_000) + turn * 20.0 - 120.0
        lat = np.degrees(np.arcsin(random.uniform(0.0, 0.0317, 27_000)))
        part = DuplicatesTally(capacity=7000)
        part.update(Batch(0, lon, lat))
        found = part.result()
        area = np.radians(4.0) * 0.0317 * EARTH_RADIUS_KM**2
        expected = 1.0 - np.exp(-27_000 / area * np.pi)
        off.append((found.within_1km - expected) / found.within_1km_se)
    # Twelve independent deviations of about 1: their mean is off by 0.3.
    assert abs(np.mean(off)) < 1.2
    assert 0.4 < np.sqrt(np.mean(np.square(off))) < 2.0


def test_a_sample_tells_the_effective_size_wrongly() -> None:
    random = rng(20)
    centres = uniform_on_land(60, random)
    lon, lat = around(centres, 2000, 150.0, random)
    weight = random.integers(1, 4, 2000).astype(np.float64)
    d = distance_km(lon[:, None], lat[:, None], lon, lat)
    pairs = weight[:, None] * weight
    truth = [weight.sum() ** 2 / float((pairs * np.exp(-d / km)).sum()) for km in RANGES]
    off = []
    for turn in range(6):  # other numbers of rows, another sample
        part = RowSample(700)
        part.update(Batch(turn * 2000, lon, lat), weight)
        found = effective_size(part, rng(0))
        off.append([(f.effective - t) / f.se for f, t in zip(found, truth, strict=True)])
    assert np.abs(off).max() < 5.0
    assert 0.4 < np.sqrt(np.mean(np.square(off))) < 2.0


def test_effective_size_of_uniform_places_is_not_that_of_the_plane() -> None:
    # Inland the mean of exp(-d / L) over pairs is 2 pi L^2 / area, for L far below a continent.
    sample = RowSample(100)
    sample.update(Batch(0, *uniform_on_land(100, rng(21))))
    ten = effective_size(sample, rng(22))[0]
    rho = (100.0 / ten.uniform - 1.0) / 99.0
    assert rho == pytest.approx(2.0 * np.pi * 100.0 / land_lattice().area_km2, rel=0.1)


def test_hash_sample_prefers_some_rows() -> None:
    taken = np.zeros(1000)
    for start in range(0, 2_000_000, 1000):
        sample = RowSample(50)
        sample.update(Batch(start, np.arange(1000.0) / 10.0, np.zeros(1000)))
        taken[(sample.lon * 10.0).round().astype(int)] += 1
    expected = 2000 * 0.05
    statistic = float(((taken - expected) ** 2).sum() / (expected * 0.95))
    assert statistic < chi2.isf(ALPHA, 999)
