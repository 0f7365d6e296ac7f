"""What is particular to a sampler: what it draws. What all promise is in test_samplers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import KDTree

from wherefrom import draw, earth
from wherefrom.compose import Composition, DesignSampler, sampler, spec_text
from wherefrom.compose.samplers.cities import GaussianMixture
from wherefrom.compose.samplers.entropy import Histogram
from wherefrom.compose.samplers.match import target_of
from wherefrom.compose.samplers.plain import Everywhere
from wherefrom.compose.samplers.spread import kmeans, representatives
from wherefrom.earth.sphere import distance_km, uniform_on_sphere, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

Floats = NDArray[np.float64]

SIZES = {"a": 400, "b": 90, "c": 10}


@pytest.fixture(scope="module")
def few() -> Pool:
    """500 places on the sphere with labels a, b, c, and 20 without; a tenth is forest."""
    rng = np.random.default_rng(3)
    use = [label for label, size in SIZES.items() for _ in range(size)] + [None] * 20
    lon, lat = uniform_on_sphere(520, rng)
    forest = ["forest" if i % 4 == 0 else None for i in range(520)]
    ids = rng.permutation(520) * 3
    columns = {"id": ids, "lon": lon, "lat": lat, "use": use, "forest": forest}
    return Pool.from_table(pa.table(columns))


def many_places(size: int, seed: int = 3) -> Pool:
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
    return many_places(3000)


def two_sides(size: int, seed: int = 3) -> Pool:
    """Two sides whose use, belt and entropy differ."""
    rng = np.random.default_rng(seed)
    lon, lat = uniform_on_sphere(size, rng)
    east = lon > 0
    use = np.where(rng.random(size) < np.where(east, 0.7, 0.3), "crop", "grass").astype(object)
    use[::40] = None
    entropy = rng.normal(np.where(east, 2.5, 2.0) + 0.3 * (use == "crop"), 0.4)
    entropy[::31] = np.nan
    columns = {
        "id": rng.permutation(size) * 3,
        "lon": lon,
        "lat": lat,
        "side": np.where(east, "east", "west"),
        "use": pa.array(use.tolist(), pa.string()),
        "belt": np.where(np.abs(lat) < 30, "low", np.where(np.abs(lat) < 60, "mid", "high")),
        "spectral_entropy": entropy,
    }
    return Pool.from_table(pa.table(columns))


@pytest.fixture(scope="module")
def sides() -> Pool:
    return two_sides(4000)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool whose shares are 80 % grass and 60 % high."""
    path: Path = tmp_path_factory.mktemp("target") / "target.parquet"
    use = ["grass"] * 8 + ["crop"] * 2
    belt = ["high"] * 6 + ["low"] * 3 + ["mid"]
    table = pa.table({"lon": np.arange(10.0), "lat": np.zeros(10), "use": use, "belt": belt})
    Pool.from_table(table).write(path)
    return path


MIXED = "0.7*uniform+0.2*stratified:layer=use;short=cap+0.1*clustered:around=cities;radius_km=900"


def counts(composition: Composition, pool: Pool, column: str = "use") -> dict[str, int]:
    labels = pool.table.column(column).to_pylist()
    found: dict[str, int] = {}
    for row, times in zip(pool.take(composition.ids), composition.multiplicity, strict=True):
        found[labels[row]] = found.get(labels[row], 0) + int(times)
    return found


def test_equal_allocation_is_equal_to_the_row(few: Pool) -> None:
    assert counts(draw(few, "stratified:layer=use", 30), few) == {"a": 10, "b": 10, "c": 10}
    for seed in range(20):
        counted = counts(draw(few, "stratified:layer=use", 28, seed), few)
        assert sorted(counted.values()) == [9, 9, 10]


def test_short_strata_follow_the_policy_that_was_named(few: Pool) -> None:
    spec = "stratified:layer=use,short="
    with pytest.raises(WherefromError, match="'c' has 10 of 50"):
        draw(few, "stratified:layer=use", 150)
    capped = draw(few, spec + "cap", 150)
    assert counts(capped, few) == {"a": 50, "b": 50, "c": 10}
    assert capped.size == 110
    assert capped.provenance["short_strata"] == ["c"]
    assert counts(draw(few, spec + "redistribute", 150), few) == {"a": 70, "b": 70, "c": 10}
    repeated = draw(few, spec + "repeat", 155)
    assert repeated.size == 155
    times = repeated.multiplicity[np.isin(repeated.inclusion_probability, 155 / 30)]
    assert len(times) == 10
    assert set(times.tolist()) <= {5, 6}


def test_repeat_and_cap_may_ask_for_more_than_the_pool_has(few: Pool) -> None:
    assert draw(few, "stratified:layer=use,short=repeat", 3000).size == 3000
    assert draw(few, "only:layer=use,label=c,short=cap", 3000).size == 10


def test_empty_strata_are_refused_or_named(few: Pool) -> None:
    column = pa.array(["x"] * 520).dictionary_encode()
    named = Pool.from_table(few.table.append_column("none_here", pa.nulls(520, pa.string())))
    with pytest.raises(WherefromError, match="all strata are empty"):
        draw(named, "stratified:layer=none_here", 10)
    labelled = Pool.from_table(few.table.append_column("one", column))
    labelled._codes["one"] = (np.zeros(520, np.int32), ("x", "never"))
    with pytest.raises(WherefromError, match=r"stratum is empty.*'never'"):
        draw(labelled, "only:layer=one,label=never", 10)
    with pytest.raises(WherefromError, match=r"stratum is empty.*'never'"):
        draw(labelled, "stratified:layer=one,weights=x:1;never:1", 10)
    drawn = draw(labelled, "stratified:layer=one", 10)
    assert drawn.provenance["labels_without_place"] == ["never"]


def test_places_without_a_label_are_not_drawn_but_counted(few: Pool) -> None:
    composition = draw(few, "stratified:layer=use,short=cap", 520)
    assert None not in counts(composition, few)
    assert composition.provenance["without_label"] == 20


def test_only_draws_one_label(few: Pool) -> None:
    assert counts(draw(few, "only:layer=use,label=b", 33), few) == {"b": 33}
    with pytest.raises(WherefromError, match=r"'b' has 90 of 91"):
        draw(few, "only:layer=use,label=b", 91)


def test_forest_draw_is_forest_near_its_seeds_and_says_so(few: Pool) -> None:
    composition = draw(few, "clustered:around=forest,clusters=3,radius_km=2500,short=cap", 40)
    assert counts(composition, few, "forest").keys() == {"forest"}
    rows = few.take(composition.ids)
    assert composition.provenance["inclusion_given"] == "the 3 clusters drawn"
    assert composition.provenance["candidates"] >= len(rows)
    # Three disks of 2500 km: every drawn place has a forest place as centre within reach.
    spread = distance_km(
        few.lon[rows][:, None], few.lat[rows][:, None], few.lon[rows], few.lat[rows]
    )
    groups = 0
    left = np.ones(len(rows), dtype=bool)
    while left.any():
        left &= spread[np.flatnonzero(left)[0]] > 5000
        groups += 1
    assert groups <= 3
    with pytest.raises(WherefromError, match="only 130 forest places"):
        draw(few, "clustered:around=forest,clusters=131", 10)


def test_cities_draw_is_within_the_radius_of_a_city() -> None:
    from wherefrom.earth import cities

    try:
        large = cities(5_000_000)
    except WherefromError as err:
        pytest.skip(f"no list of cities: {err}")
    rng = np.random.default_rng(0)
    at = rng.integers(0, len(large.lon), 3000)
    lon = np.clip(large.lon[at] + rng.normal(0, 1.5, 3000), -180, 180)
    lat = large.lat[at] + rng.normal(0, 1.5, 3000)
    pool = Pool.from_table(pa.table({"lon": lon, "lat": lat}))
    nearest = distance_km(lon[:, None], lat[:, None], large.lon, large.lat).min(axis=1)
    inside = int((nearest <= 80).sum())
    assert 100 < inside < 2000
    spec = "clustered:around=cities,min_population=5000000,radius_km=80"
    composition = draw(pool, spec, 100)
    assert composition.provenance["candidates"] == inside
    assert nearest[pool.take(composition.ids)].max() <= 80
    assert composition.provenance["inclusion_given"] == "nothing: unconditional"
    fewer = draw(pool, spec + ",clusters=5", 10)
    assert fewer.provenance["candidates"] < inside
    with pytest.raises(WherefromError, match="there are only"):
        draw(pool, spec + ",clusters=5000", 10)


def test_uniform_area_undoes_a_crowd(few: Pool) -> None:
    rng = np.random.default_rng(0)
    lon = np.r_[rng.uniform(0, 1, 5000), rng.uniform(90, 91, 50)]
    crowd = Pool.from_table(pa.table({"lon": lon, "lat": np.full(5050, 0.5)}))
    composition = draw(crowd, "uniform-area:cell_km=2000", 60)
    assert (crowd.lon[crowd.take(composition.ids)] > 45).sum() == 30


def test_no_pretraining_is_empty_for_any_n(few: Pool, tmp_path: Path) -> None:
    for n in (None, 0, 100):
        nothing = draw(few, "none", n)
        assert nothing.size == 0
        assert len(nothing.expanded_ids()) == 0
    nothing.write(tmp_path / "none.parquet")
    assert Composition.read(tmp_path / "none.parquet").key == nothing.key


def test_list_of_ids_is_taken_as_it_is(few: Pool, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n6\n3\n6\n")
    composition = draw(few, f"ids:file={tmp_path}/a.csv")
    assert composition.ids.tolist() == [3, 6]
    assert composition.multiplicity.tolist() == [1, 2]
    composition.write(tmp_path / "b.parquet")
    again = draw(few, f"ids:file={tmp_path}/b.parquet")
    assert again.multiplicity.tolist() == [1, 2]
    with pytest.raises(WherefromError, match="lists 3 places, but n = 4"):
        draw(few, f"ids:file={tmp_path}/a.csv", 4)
    (tmp_path / "c.csv").write_text("id\n6\n4\n5\n")
    with pytest.raises(WherefromError, match=r"c.csv: 2 of 3 ids are not in the pool: 4, 5"):
        draw(few, f"ids:file={tmp_path}/c.csv")
    pq.write_table(pa.table({"x": [1], "y": [2]}), tmp_path / "d.parquet")
    with pytest.raises(WherefromError, match="no column 'id'; columns: x, y"):
        draw(few, f"ids:file={tmp_path}/d.parquet")


def test_labels_with_commas_and_colons_survive_the_spec() -> None:
    text = "only:layer=biome,label=Temperate Grasslands, Savannas & Shrublands,short=cap"
    assert sampler(text).spec()["label"] == "Temperate Grasslands, Savannas & Shrublands"
    weights = sampler("stratified:layer=x,weights=a: b:2;c:1").spec()["weights"]
    assert weights == {"a: b": 2.0, "c": 1.0}


def test_draws_depend_on_seed_and_spec_and_on_nothing_else(few: Pool) -> None:
    first = draw(few, "uniform", 50, seed=0)
    np.random.seed(1)  # noqa: NPY002 (the global state must not matter)
    assert draw(few, "uniform", 50, seed=0).key == first.key
    assert draw(few, "uniform", 50, seed=1).ids.tolist() != first.ids.tolist()
    with_column = few.table.append_column("more", pa.array(range(520)))
    assert draw(Pool.from_table(with_column), "uniform", 50, seed=0).key == first.key


def test_label_order_of_the_layer_does_not_change_the_draw(few: Pool) -> None:
    other = Pool.from_table(few.table)
    codes, labels = few.codes("use")
    turned = np.where(codes < 0, -1, len(labels) - 1 - codes).astype(np.int32)
    other._codes["use"] = (turned, labels[::-1])
    spec = "stratified:layer=use,short=cap"
    assert draw(few, spec, 100).key == draw(other, spec, 100).key


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


@settings(max_examples=15)
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


@settings(max_examples=40)
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
    found = Histogram.of(pool, "v", Everywhere(), steps)
    assert found.counts.sum() == len(values)
    step = found.step(values)
    np.testing.assert_array_equal(np.bincount(step, minlength=steps), found.counts[0])
    edges = found.edge(np.arange(steps))
    assert (values >= edges[step]).all()
    inner = (step < steps - 1) & (found.high > found.low)
    assert (values[inner] < edges[step[inner] + 1]).all()
    least = found.at_least(share)[0]
    assert (values >= least).mean() >= share - 1e-9


def shares(composition: Composition, sides: Pool, name: str) -> dict[str, float]:
    column = sides.table.column(name).to_pylist()
    found: dict[str, float] = {}
    for row, times in zip(sides.take(composition.ids), composition.multiplicity, strict=True):
        found[str(column[row])] = found.get(str(column[row]), 0) + times / composition.size
    return found


def test_match_has_the_margins_of_the_target_to_a_place(sides: Pool, target: Path) -> None:
    drawn = draw(sides, f"match:target={target},over=use+belt", 200)
    use, belt = shares(drawn, sides, "use"), shares(drawn, sides, "belt")
    # Six combinations, each rounded up or down: at most one place off for each.
    assert use["grass"] == pytest.approx(0.8, abs=3.01 / 200)
    assert belt["high"] == pytest.approx(0.6, abs=2.01 / 200)
    assert "None" not in use
    margins = drawn.provenance["margins"]
    assert margins["use"] == {"crop": [0.2, 0.2], "grass": [0.8, 0.8]}
    assert drawn.provenance["raking_converged"]
    assert drawn.provenance["remarks"] == []


def test_match_keeps_margins_where_short_strata_must_give_way(sides: Pool, target: Path) -> None:
    base = f"match:target={target},over=use+belt"
    with pytest.raises(WherefromError, match=r"too few places in \d of 6 strata"):
        draw(sides, base, 600)
    drawn = draw(sides, base + ",short=redistribute", 600)
    assert drawn.size == 600
    assert shares(drawn, sides, "use")["grass"] == pytest.approx(0.8, abs=0.005)
    assert shares(drawn, sides, "belt")["high"] == pytest.approx(0.6, abs=0.005)
    # Where they cannot be kept, that is said.
    beyond = draw(sides, base + ",short=redistribute", 1500)
    assert not beyond.provenance["raking_converged"]
    assert any("raking ended" in remark for remark in beyond.provenance["remarks"])
    capped = draw(sides, base + ",short=cap", 1500)
    assert capped.size < 1500
    assert any("since short strata give less" in r for r in capped.provenance["remarks"])


def test_match_of_a_composition_has_its_shares(sides: Pool, tmp_path: Path) -> None:
    given = draw(sides, "stratified:layer=belt,weights=low:8;mid:1;high:1", 500)
    given.write(tmp_path / "given.parquet")
    drawn = draw(sides, f"match:target={tmp_path / 'given.parquet'},over=belt", 500, seed=9)
    assert shares(drawn, sides, "belt") == pytest.approx(shares(given, sides, "belt"))
    assert drawn.ids.tolist() != given.ids.tolist()
    with pytest.raises(WherefromError, match="was drawn from pool"):
        draw(two_sides(500, 8), f"match:target={tmp_path / 'given.parquet'},over=belt", 50)


def test_match_says_which_labels_of_the_target_are_missing(sides: Pool, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("lon,lat,belt\n0,0,low\n1,0,low\n2,0,swamp\n3,0,swamp\n")
    drawn = draw(sides, f"match:target={path},over=belt", 100)
    assert shares(drawn, sides, "belt") == {"low": pytest.approx(1)}
    assert drawn.provenance["labels_without_place_by_layer"] == {"belt": ["swamp"]}
    assert "1 label of belt with 50 % of the target" in drawn.provenance["remarks"][0]
    path.write_text("lon,lat,belt\n2,0,swamp\n3,0,swamp\n")
    with pytest.raises(WherefromError, match="no place of the pool has a label of layer 'belt'"):
        draw(sides, f"match:target={path},over=belt", 100)
    path.write_text("lon,lat,use\n2,0,swamp\n")
    with pytest.raises(WherefromError, match="unknown layer 'belt'"):
        draw(sides, f"match:target={path},over=belt", 100)
    with pytest.raises(WherefromError, match=r"nowhere\.parquet"):
        draw(sides, f"match:target={tmp_path / 'nowhere.parquet'},over=belt", 100)
    with pytest.raises(WherefromError, match="target=land knows layers of the Earth only"):
        draw(sides, "match:target=land,over=belt", 100)


def test_match_to_land_undoes_a_crowded_pool() -> None:
    try:
        earth.layer("continent"), earth.layer("land")
    except WherefromError as err:
        pytest.skip(f"no land polygons: {err}")
    rng = np.random.default_rng(0)
    lon, lat = uniform_on_sphere(30_000, rng)
    crowded = (rng.random(30_000) < 0.05) | ((lat > 35) & (lon > -15) & (lon < 60))
    pool = Pool.from_table(pa.table({"lon": lon[crowded], "lat": lat[crowded]}))
    drawn = draw(pool, "match:target=land,over=continent", 300)
    codes, labels = pool.codes("continent")
    counts = np.bincount(codes[pool.take(drawn.ids)], minlength=len(labels))
    found = dict(zip(labels, counts / 300, strict=True))
    # Land areas in million km2 (Encyclopaedia Britannica, Russia in Europe as in Natural Earth).
    known = {"Africa": 30.4, "South America": 17.8, "Antarctica": 0.0}
    for label, area in known.items():
        assert found[label] == pytest.approx(area / 135.0, abs=0.012)
    land = target_of("land", ("continent",), pool)
    assert sum(land.shares["continent"].values()) == pytest.approx(1)


def test_entropy_matched_draws_of_two_regions_have_one_histogram(sides: Pool) -> None:
    spec = "entropy-matched:layer=side,label={},other={},bins=10"
    east = draw(sides, spec.format("east", "west"), 400)
    west = draw(sides, spec.format("west", "east"), 400, seed=5)
    assert set(shares(east, sides, "side")) == {"east"}
    assert set(shares(west, sides, "side")) == {"west"}
    strata = [
        {s["label"]: s["expected"] for s in drawn.provenance["strata"]} for drawn in (east, west)
    ]
    assert strata[0] == strata[1]
    assert len(strata[0]) == 10
    values = np.asarray(sides.table["spectral_entropy"])
    means = [values[sides.take(drawn.ids)].mean() for drawn in (east, west)]
    assert abs(means[0] - means[1]) < 0.05
    # Without matching they differ by 0.62.
    plain = [
        np.nanmean(values[np.asarray(sides.table["side"]) == side]) for side in ("east", "west")
    ]
    assert abs(plain[0] - plain[1]) > 0.5


def test_geography_matched_draws_of_two_regions_have_one_mix(sides: Pool) -> None:
    spec = "geography-matched:of=regions,layer=side,label={},other={},over=use+belt"
    east = draw(sides, spec.format("east", "west"), 300)
    west = draw(sides, spec.format("west", "east"), 300)
    for name in ("use", "belt"):
        assert shares(east, sides, name) == pytest.approx(shares(west, sides, name), abs=0.015)
    most = east.provenance["most_of_both_sides"]
    assert most == west.provenance["most_of_both_sides"]
    assert draw(sides, spec.format("east", "west"), most).size == most
    with pytest.raises(WherefromError, match=rf"can give {most:,} places each that are alike"):
        draw(sides, spec.format("west", "east"), most + 1)


def test_geography_matched_halves_differ_in_entropy_alone(sides: Pool) -> None:
    spec = "geography-matched:of=halves,half={},over=side+use"
    high, low = (draw(sides, spec.format(half), 400) for half in ("high", "low"))
    for name in ("side", "use"):
        assert shares(high, sides, name) == pytest.approx(shares(low, sides, name), abs=0.01)
    values = np.asarray(sides.table["spectral_entropy"])
    assert np.median(values[sides.take(high.ids)]) > np.median(values[sides.take(low.ids)]) + 0.4
    assert not set(high.ids) & set(low.ids)
    # The top half by entropy alone is a choice of side as well.
    top = shares(draw(sides, "entropy:top=0.5", 400), sides, "side")
    assert top["east"] > 0.65


def test_a_mixture_adds_up_what_its_parts_expect(sides: Pool) -> None:
    spec = "mixture:parts=3*uniform+1*only:layer=use;label=crop"
    chosen = sampler(spec)
    assert isinstance(chosen, DesignSampler)
    inclusion = chosen.inclusion(sides, 100)
    crop = np.array([use == "crop" for use in sides.table["use"].to_pylist()])
    np.testing.assert_allclose(inclusion, 75 / 4000 + np.where(crop, 25 / crop.sum(), 0))
    drawn = draw(sides, spec, 100)
    parts = drawn.provenance["parts"]
    assert [part["expected"] for part in parts] == [75, 25]
    assert [s["label"] for s in drawn.provenance["strata"]] == ["pool", "pool + crop"]


def test_a_mixture_takes_places_twice_only_where_its_parts_do() -> None:
    table = pa.table({"lon": np.arange(10.0), "lat": np.zeros(10), "use": ["a"] * 4 + ["b"] * 6})
    pool = Pool.from_table(table)
    drawn = draw(pool, "mixture:parts=1*only:layer=use;label=a+1*uniform", 8)
    # The four of `a` are expected 1 + 0.4 times, the others 0.4 times.
    assert drawn.inclusion_probability.tolist()[:4] == pytest.approx([1.4] * 4)
    assert drawn.multiplicity[:4].min() >= 1
    assert drawn.size == 8
    assert drawn.provenance["expected_repeats"] == pytest.approx(1.6)


def test_a_mixture_of_one_part_is_that_part(sides: Pool) -> None:
    for spec in ("stratified:layer=use", "entropy", "spread"):
        alone, mixed = sampler(spec), sampler(f"mixture:parts=5*{spec}")
        assert isinstance(alone, DesignSampler)
        assert isinstance(mixed, DesignSampler)
        state = np.random.default_rng(1), np.random.default_rng(1)
        np.testing.assert_allclose(
            alone.inclusion(sides, 90, state[0]), mixed.inclusion(sides, 90, state[1]), rtol=1e-9
        )


def test_a_mixture_from_python_equals_that_of_its_text() -> None:
    pairs: list[Any] = [(0.5, "uniform"), (1.5, {"name": "only", "layer": "a", "label": "b+2"})]
    made = sampler({"name": "mixture", "parts": pairs})
    assert made.spec()["parts"] == "0.5*uniform+1.5*only:layer=a;label=b+2;short=error"
    assert sampler(spec_text(made.spec())) == made
    comma = [(1, {"name": "only", "layer": "a", "label": "b, c=d; e=f"})]
    quoted = sampler({"name": "mixture", "parts": comma})
    assert sampler(spec_text(quoted.spec())) == quoted
    assert "b, c=d; e=f" in quoted.spec()["parts"]
    odd = [(1, {"name": "only", "layer": "a", "label": "x+2*uniform"})]
    with pytest.raises(WherefromError, match="looks like a part or a flag"):
        sampler({"name": "mixture", "parts": odd})
