"""Samplers of grids, clusters, cities, weights and combinations: what they draw and refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import KDTree

from wherefrom import draw, earth, keys
from wherefrom.compose import Composition, DesignSampler, sampler, spec_text
from wherefrom.compose.samplers.cities import GaussianMixture
from wherefrom.compose.samplers.entropy import Histogram
from wherefrom.compose.samplers.spread import kmeans, representatives
from wherefrom.earth.sphere import distance_km, uniform_on_sphere, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

Floats = NDArray[np.float64]

SPECS = [
    "grid",
    "grid:spacing_km=1500",
    "spread",
    "kmeans:over=warmth+rain",
    "gaussian-cities:cities=300,sigma_km=400",
    "entropy",
    "entropy:column=rain,top=0.25",
    "balanced:over=use+belt,short=redistribute",
    "balanced:over=use",
]


def make_pool(size: int, seed: int = 3) -> Pool:
    rng = np.random.default_rng(seed)
    lon, lat = uniform_on_sphere(size, rng)
    some = np.array(["a", "b", "c", None])[rng.choice(4, size, p=[0.6, 0.32, 0.03, 0.05])]
    entropy = rng.gamma(3.0, 0.6, size)
    entropy[::17] = np.nan
    columns = {
        "id": rng.permutation(size) * 3,
        "lon": lon,
        "lat": lat,
        "use": pa.array(some.tolist(), pa.string()),
        "belt": np.where(np.abs(lat) < 30, "low", "high"),
        "spectral_entropy": entropy,
        "warmth": 30 - np.abs(lat) + rng.normal(size=size),
        "rain": rng.gamma(2.0, 500.0, size),
    }
    return Pool.from_table(pa.table(columns))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return make_pool(3000)


def state(chosen: Any, seed: int) -> np.random.Generator:
    return keys.generator("draw", seed, keys.canonical(chosen.spec()))


@pytest.mark.parametrize("spec", SPECS)
def test_a_draw_has_n_places_and_probabilities_that_sum_to_n(pool: Pool, spec: str) -> None:
    composition = draw(pool, spec, 60, seed=1)
    assert composition.size == len(composition.ids) == 60
    chosen = sampler(spec)
    assert isinstance(chosen, DesignSampler)
    inclusion = chosen.inclusion(pool, 60, state(chosen, 1))
    assert inclusion.sum() == pytest.approx(60, abs=1e-9)
    assert inclusion.max() <= 1
    rows = pool.take(composition.ids)
    np.testing.assert_array_equal(inclusion[rows], composition.inclusion_probability)


@pytest.mark.parametrize("spec", SPECS)
def test_parts_of_a_pool_give_the_draw_of_the_whole(
    pool: Pool, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = draw(pool, spec, 80, seed=2)
    monkeypatch.setattr("wherefrom.pool.places.PART", 600)
    monkeypatch.setattr("wherefrom.pool.places.BLOCK", 200)
    assert len(pool.parts()) == 5
    pieces = draw(pool, spec, 80, seed=2)
    assert pieces.ids.tolist() == whole.ids.tolist()
    assert pieces.inclusion_probability.tolist() == whole.inclusion_probability.tolist()


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_survives_its_text(spec: str) -> None:
    chosen = sampler(spec)
    assert sampler(spec_text(chosen.spec())) == chosen
    assert sampler(chosen.spec()) == chosen


@pytest.mark.parametrize("spec", ["grid", "spread", "entropy", "gaussian-cities", "uniform"])
def test_another_seed_draws_other_places(pool: Pool, spec: str) -> None:
    # Few places are near cities on a random sphere: the two draws share those that are certain.
    first, second = (set(draw(pool, spec, 50, seed).ids.tolist()) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("balanced", "needs over="),
        ("balanced:over=use+use", "a name is given twice"),
        ("balanced:over=use+", "a name is empty"),
        ("balanced:over=use+nonsense", "unknown layer 'nonsense'"),
        ("balanced:over=rain", "real numbers|not labels"),
        ("balanced:over=use+belt", r"too few places in 2 of 6 strata: 'c / high' has"),
        ("grid:spacing_km=0", "greater than 0"),
        ("grid:spacing_km=5000", r"only \d+ cells of 5000 km have places, but n = 400"),
        ("kmeans:over=use", "'use' is string, not numbers"),
        ("kmeans:over=nonsense", "unknown column or layer of numbers 'nonsense'"),
        ("entropy:column=nonsense", "unknown layer 'nonsense'"),
        ("entropy:column=use", "'use' is string, not numbers"),
        ("entropy:top=1.5", "less than or equal to 1"),
        ("gaussian-cities:cities=10000000", "GeoNames lists"),
    ],
)
def test_mistakes_are_named(pool: Pool, spec: str, text: str) -> None:
    with pytest.raises(WherefromError, match=text):
        draw(pool, spec, 400)


def labels(composition: Composition, pool: Pool, name: str) -> NDArray[np.str_]:
    column = pool.table.column(name).to_pylist()
    return np.array([str(column[row]) for row in pool.take(composition.ids)])


def test_balanced_gives_each_combination_the_same(pool: Pool) -> None:
    drawn = draw(pool, "balanced:over=use+belt", 60)
    pairs = list(zip(labels(drawn, pool, "use"), labels(drawn, pool, "belt"), strict=True))
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    assert counts.tolist() == [10] * 6
    assert "None" not in found
    assert [s["label"] for s in drawn.provenance["strata"]][:2] == ["a / high", "a / low"]
    alone = draw(pool, "balanced:over=use", 60)
    same = draw(pool, "stratified:layer=use", 60)
    assert alone.provenance["strata"] == same.provenance["strata"]


def test_a_grid_keeps_its_distances_in_a_crowded_pool() -> None:
    # Half of the places within a few degrees: at random half of the draw would lie there.
    rng = np.random.default_rng(0)
    lon, lat = uniform_on_sphere(40_000, rng)
    lon[::2], lat[::2] = rng.uniform(0, 5, 20_000), rng.uniform(0, 5, 20_000)
    crowd = Pool.from_table(pa.table({"lon": lon, "lat": lat}))
    drawn = draw(crowd, "grid", 400)
    rows = crowd.take(drawn.ids)
    spacing = drawn.provenance["spacing_km"]
    points = unit_vectors(lon[rows], lat[rows])
    nearest = 2 * np.arcsin(KDTree(points).query(points, k=2)[0][:, 1] / 2) * 6371.0088
    # As many cells as places, about as large as the sphere allows, and few places that are close.
    assert 400 <= drawn.provenance["grid_cells"] <= 408
    assert spacing == pytest.approx(np.sqrt(4 * np.pi * 6371.0088**2 / 400), rel=0.03)
    assert np.quantile(nearest, 0.05) > 0.6 * spacing
    random = crowd.take(draw(crowd, "uniform", 400).ids)
    points = unit_vectors(lon[random], lat[random])
    nearest = 2 * np.arcsin(KDTree(points).query(points, k=2)[0][:, 1] / 2) * 6371.0088
    assert np.quantile(nearest, 0.05) < 0.1 * spacing


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.sampled_from(["error", "cap"]))
def test_a_grid_gives_n_cells_or_says_that_it_cannot(seed: int, n: int, short: str) -> None:
    rng = np.random.default_rng(seed)
    # Coordinates in whole degrees: many places lie upon each other.
    lon, lat = rng.integers(-180, 181, 300) * 1.0, rng.integers(-90, 91, 300) // 10 * 10.0
    lat = np.clip(lat, -90, 90)
    pool = Pool.from_table(pa.table({"lon": lon, "lat": lat}))
    # A pole is one place, whatever its longitude; so are -180 and 180.
    apart = len(np.unique(unit_vectors(lon, lat).round(9), axis=0))
    if short == "error" and n > apart:
        with pytest.raises(WherefromError, match="even a grid of"):
            draw(pool, "grid", n)
    elif short == "cap" or n <= 0.8 * apart:
        drawn = draw(pool, f"grid:short={short}", n)
        assert drawn.size == n or (short == "cap" and 0.8 * apart <= drawn.size < n)


def test_more_cells_than_places_asked_for_are_drawn_from_evenly(pool: Pool) -> None:
    drawn = draw(pool, "grid:spacing_km=1500", 60)
    cells = drawn.provenance["grid_cells"]
    np.testing.assert_allclose(drawn.inclusion_probability, 60 / cells)


def test_spread_covers_what_a_random_draw_leaves_open(pool: Pool) -> None:
    drawn = draw(pool, "spread", 100)
    rows = pool.take(drawn.ids)
    gap = distance_km(
        pool.lon[:, None], pool.lat[:, None], pool.lon[None, rows], pool.lat[None, rows]
    ).min(axis=1)
    assert gap.max() == pytest.approx(drawn.provenance["covering_radius_km"], abs=0.01)
    random = pool.take(draw(pool, "uniform", 100).ids)
    other = distance_km(
        pool.lon[:, None], pool.lat[:, None], pool.lon[None, random], pool.lat[None, random]
    ).min(axis=1)
    assert other.max() > 1.4 * gap.max()


def test_spread_takes_repeated_places_last() -> None:
    table = pa.table({"lon": [0.0] * 5 + [90.0, 180.0], "lat": [0.0] * 7})
    pool = Pool.from_table(table)
    assert {5, 6} <= set(draw(pool, "spread", 3).ids.tolist())
    assert len(draw(pool, "spread", 6).ids) == 6
    assert draw(pool, "spread", 7).ids.tolist() == list(range(7))


def test_kmeans_takes_one_place_of_each_clump() -> None:
    # 20 clumps of very different sizes: each gives one place, the one nearest to its middle.
    rng = np.random.default_rng(1)
    middles = rng.uniform(-100, 100, (20, 2))
    clump = rng.choice(20, 4000, p=np.arange(1, 21) / 210)
    points = middles[clump] + rng.normal(0, 0.05, (4000, 2))
    lon, lat = uniform_on_sphere(4000, rng)
    pool = Pool.from_table(pa.table({"lon": lon, "lat": lat, "x": points[:, 0], "y": points[:, 1]}))
    drawn = pool.take(draw(pool, "kmeans:over=x+y", 20).ids)
    found = np.bincount(clump[drawn], minlength=20)
    # Lloyd's rounds end in a local optimum: a clump may be halved and two others share a place.
    assert (found > 0).sum() >= 18
    uniform = pool.take(draw(pool, "uniform", 20).ids)
    assert (np.bincount(clump[uniform], minlength=20) > 0).sum() < (found > 0).sum()


def test_kmeans_in_one_dimension_finds_the_known_optimum() -> None:
    # For a uniform law the best k centroids are the middles of k equal pieces.
    points = np.sort(np.random.default_rng(2).random(20_000))[:, None]
    centroids = np.sort(kmeans(points, 10, np.random.default_rng(0)).ravel())
    distortion = ((points - centroids) ** 2).min(axis=1).mean()
    assert distortion < 1.25 / (12 * 10**2)
    rows, empty = representatives(points, centroids[:, None])
    assert empty == 0
    nearest = np.abs(points - centroids).argmin(axis=0)
    assert sorted(rows) == sorted(nearest)


@pytest.mark.parametrize("dimensions", [3, 12])
def test_kmeans_finds_nearest_centroids_in_few_and_many_dimensions(dimensions: int) -> None:
    rng = np.random.default_rng(5)
    points, centroids = rng.normal(size=(500, dimensions)), rng.normal(size=(40, dimensions))
    square = ((points[:, None] - centroids[None]) ** 2).sum(axis=2)
    rows, empty = representatives(points, centroids)
    owners = square.argmin(axis=1)
    assert empty == 40 - len(np.unique(owners))
    for row, k in zip(rows, np.unique(owners), strict=False):
        members = np.flatnonzero(owners == k)
        assert row == members[square[members, k].argmin()]
    assert len(np.unique(rows)) == 40


def test_kmeans_reads_vectors_as_one_and_leaves_out_places_without_them() -> None:
    rng = np.random.default_rng(6)
    vectors: list[Any] = rng.normal(size=(300, 9)).tolist()
    vectors[7] = None
    lon, lat = uniform_on_sphere(300, rng)
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 9)):
        table = pa.table({"lon": lon, "lat": lat, "embedding": pa.array(vectors, kind)})
        drawn = draw(Pool.from_table(table), "kmeans:over=embedding", 299)
        assert drawn.provenance["dimensions"] == 9
        assert 7 not in drawn.ids
    ragged = table.set_column(2, "embedding", pa.array([[1.0], *[[1.0, 2.0]] * 299]))
    with pytest.raises(WherefromError, match="vectors of 2 different lengths"):
        draw(Pool.from_table(ragged), "kmeans:over=embedding", 5)


def test_kmeans_does_not_depend_on_units(pool: Pool) -> None:
    other = pool.table.set_column(
        pool.table.column_names.index("rain"),
        "rain",
        pa.array(np.asarray(pool.table["rain"]) * 1024.0 - 7.0),
    )
    first = draw(pool, "kmeans:over=warmth+rain", 30)
    second = draw(Pool.from_table(other), "kmeans:over=warmth+rain", 30)
    assert first.ids.tolist() == second.ids.tolist()


@pytest.mark.parametrize("sigma", [1.0, 50.0, 700.0])
def test_the_sum_of_gaussians_is_that_over_all_seeds(sigma: float) -> None:
    rng = np.random.default_rng(9)
    lon, lat = uniform_on_sphere(60, rng)
    # Seeds at the poles and on the antimeridian, and places close to every seed.
    lon[:4], lat[:4] = [0.0, 30.0, 180.0, -179.9], [90.0, -89.9, 0.0, 65.0]
    near = np.repeat(np.arange(60), 20)
    x = (lon[near] + rng.normal(0, sigma / 60, 1200) + 180) % 360 - 180
    y = np.clip(lat[near] + rng.normal(0, sigma / 60, 1200), -90, 90)
    distance = distance_km(x[:, None], y[:, None], lon, lat)
    each = np.where(distance <= 5 * sigma, np.exp(-((distance / sigma) ** 2) / 2), 0)
    height = GaussianMixture(lon, lat, sigma).height(x, y)
    np.testing.assert_allclose(height, each.sum(axis=1), rtol=1e-9, atol=1e-12)


def test_gaussian_cities_draws_no_place_far_from_them_and_more_near_to_them() -> None:
    cities = earth.cities(15_000)
    rng = np.random.default_rng(2)
    lon, lat = uniform_on_sphere(200_000, rng)
    pool = Pool.from_table(pa.table({"lon": lon, "lat": lat}))
    drawn = draw(pool, "gaussian-cities:cities=1000,sigma_km=100", 500)
    rows = pool.take(drawn.ids)
    tree = KDTree(unit_vectors(cities.lon[:1000], cities.lat[:1000]))
    km = 2 * np.arcsin(tree.query(unit_vectors(lon[rows], lat[rows]))[0] / 2) * 6371.0088
    assert km.max() <= 500
    # Alone a Gaussian has its median distance at 1.18 sigma; neighbours' make it shorter.
    assert np.median(km) < 118
    assert drawn.provenance["seeds"] == 1000


def test_entropy_prefers_in_proportion_and_never_draws_without_a_value(pool: Pool) -> None:
    chosen = sampler("entropy")
    assert isinstance(chosen, DesignSampler)
    inclusion = chosen.inclusion(pool, 100)
    values = np.asarray(pool.table["spectral_entropy"])
    assert (inclusion[np.isnan(values)] == 0).all()
    there = ~np.isnan(values)
    exact = 100 * values[there] / values[there].sum()
    np.testing.assert_allclose(inclusion[there], exact, rtol=0.0051)


def test_top_entropy_is_the_top_share_exactly(pool: Pool) -> None:
    values = np.asarray(pool.table["rain"])
    drawn = draw(pool, "entropy:column=rain,top=0.25", 750)
    assert set(pool.take(drawn.ids)) == set(np.argsort(-values)[:750])
    ties = pa.table({"lon": np.arange(10.0), "lat": np.zeros(10), "v": [1.0] * 6 + [2.0] * 4})
    # Half of the places reach down into the ones, which are all alike.
    assert draw(Pool.from_table(ties), "entropy:column=v,top=0.5", 10).size == 10
    assert draw(Pool.from_table(ties), "entropy:column=v,top=0.4", 4).ids.tolist() == [6, 7, 8, 9]


@pytest.mark.parametrize(
    "spec",
    [
        "entropy",
        "entropy-matched:layer=use,label=a,other=b",
        "geography-matched:of=halves,half=low,over=use",
    ],
)
def test_a_pool_without_entropies_is_told_how_to_get_them(pool: Pool, spec: str) -> None:
    bare = Pool.from_table(pool.table.drop_columns("spectral_entropy"))
    with pytest.raises(WherefromError, match=r"no column 'spectral_entropy': make it in Python"):
        draw(bare, spec, 5)


def test_weights_that_are_none_name_row_and_column() -> None:
    bad = pa.table({"lon": [0.0, 1.0], "lat": [0.0, 0.0], "w": [1.0, -2.0]})
    with pytest.raises(WherefromError, match="row 1: column 'w' holds -2"):
        draw(Pool.from_table(bad), "entropy:column=w", 1)
    infinite = bad.set_column(2, "w", pa.array([1.0, np.inf]))
    with pytest.raises(WherefromError, match="holds an infinite value"):
        draw(Pool.from_table(infinite), "entropy:column=w,top=0.5", 1)
    empty = bad.set_column(2, "w", pa.array([np.nan, None], pa.float64()))
    with pytest.raises(WherefromError, match="no place to draw from has a value of 'w'"):
        draw(Pool.from_table(empty), "entropy:column=w,top=0.5", 1)
    with pytest.raises(WherefromError, match="only 0 places of the pool have a weight"):
        draw(Pool.from_table(empty), "entropy:column=w", 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    st.integers(1, 64),
    st.floats(0.01, 1),
)
def test_steps_and_edges_of_a_histogram_agree(
    numbers: list[float], steps: int, share: float
) -> None:
    values = np.array(numbers)
    pool = Pool.from_table(
        pa.table({"lon": np.zeros(len(values)), "lat": np.zeros(len(values)), "v": values})
    )
    found = Histogram.of(pool, "v", None, steps)
    assert found.counts.sum() == len(values)
    step = found.step(values)
    np.testing.assert_array_equal(np.bincount(step, minlength=steps), found.counts[0])
    edges = found.edge(np.arange(steps))
    assert (values >= edges[step]).all()
    inner = (step < steps - 1) & (found.high > found.low)
    assert (values[inner] < edges[step[inner] + 1]).all()
    least = found.at_least(share)[0]
    assert (values >= least).mean() >= share - 1e-9
