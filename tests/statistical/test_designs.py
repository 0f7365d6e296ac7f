"""Every design is what it says: frequencies over many draws against stated probabilities.

Each test rejects a correct design with probability ALPHA = 1e-4 at most (approximately, where a
chi-square law is the limit), and its seeds are fixed, so it does not fail by chance from run to
run. Each is accompanied by a wrong design that it must catch.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from wherefrom import draw, earth
from wherefrom.compose import DesignSampler, sampler
from wherefrom.compose.allocate import round_at_random
from wherefrom.compose.samplers.cities import GaussianMixture
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

pytestmark = pytest.mark.slow

ALPHA = 1e-4
Floats = NDArray[np.float64]


def too_far(statistic: float, freedom: int) -> bool:
    """Tell whether a chi-square statistic lies above its quantile at ALPHA."""
    return bool(statistic > chi2.isf(ALPHA, freedom))


def unevenness(counts: NDArray[np.int64], expected: Floats) -> float:
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.fixture(scope="module")
def pool() -> Pool:
    """400 places, ids not in order of rows, with layers of labels and columns of numbers."""
    rng = np.random.default_rng(12)
    lon, lat = uniform_on_sphere(400, rng)
    use = ["a"] * 250 + ["b"] * 90 + ["c"] * 50 + ["d"] * 8 + [None] * 2
    entropy = rng.lognormal(0.0, 1.0, 400)
    entropy[::19] = np.nan
    columns = {
        "id": rng.permutation(400),
        "lon": lon,
        "lat": lat,
        "use": use,
        "side": np.where(lon > 0, "east", "west"),
        "forest": ["forest" if i % 3 else None for i in range(400)],
        "spectral_entropy": entropy,
    }
    return Pool.from_table(pa.table(columns))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("target") / "target.csv"
    path.write_text("lon,lat,use,side\n0,0,a,east\n1,0,a,east\n2,0,b,east\n3,0,c,west\n")
    return str(path)


def misfit(total: Floats, inclusion: Floats, draws: int) -> tuple[float, int]:
    """Standardise frequencies by the variance of a count that is rounded up or down.

    Counts of the places of one draw are negatively correlated, which lowers the statistic's mean
    below the degrees of freedom taken here: the test errs on the side of ALPHA.
    """
    part = inclusion - np.floor(inclusion)
    free = (part > 1e-9) & (part < 1 - 1e-9)
    variance = draws * part[free] * (1 - part[free])
    return float(((total - draws * inclusion)[free] ** 2 / variance).sum()), int(free.sum())


@pytest.mark.parametrize(
    ("spec", "n"),
    [
        ("uniform", 40),
        ("uniform-area:cell_km=4000", 40),
        ("stratified:layer=use", 25),
        ("stratified:layer=use,allocation=proportional", 41),
        ("stratified:layer=use,weights=a:1;b:2.5;d:0.3", 37),
        ("stratified:layer=use,short=redistribute", 90),
        ("stratified:layer=use,short=repeat", 90),
        ("stratified:layer=use,short=cap", 90),
        ("only:layer=use,label=b", 17),
        ("clustered:around=forest,clusters=5,radius_km=2500", 9),
        ("balanced:over=use+side", 20),
        ("balanced:over=use+side,short=redistribute", 150),
        ("entropy", 40),
        ("entropy", 250),
        ("entropy:top=0.2", 30),
        ("gaussian-cities:cities=500,sigma_km=300", 25),
        ("grid:spacing_km=2500", 40),
        ("match:target={},over=use+side,short=redistribute", 60),
        ("entropy-matched:layer=side,label=east,other=west,bins=6", 50),
        ("geography-matched:of=regions,layer=side,label=west,other=east,over=use", 50),
        ("geography-matched:of=halves,half=low,over=use+side", 50),
        ("mixture:parts=2*entropy+1*balanced:over=use+side+1*grid:spacing_km=2500;short=cap", 60),
        ("mixture:parts=1*only:layer=use;label=c+1*uniform", 98),
    ],
)
def test_every_place_is_drawn_as_often_as_stated(
    pool: Pool, target: str, spec: str, n: int
) -> None:
    chosen = sampler(spec.format(target))
    assert isinstance(chosen, DesignSampler)
    rng = np.random.default_rng(21)
    # What is drawn first, such as clusters, is drawn once: probabilities hold given that.
    design = chosen.design(pool, n, rng)
    inclusion = design.inclusion()
    draws, total = 2000, np.zeros(len(pool))
    for _ in range(draws):
        sample = design.sample(rng)
        total[sample.rows] += sample.multiplicity
        if "cap" not in spec:
            assert sample.multiplicity.sum() == n
    if "cap" not in spec:
        assert inclusion.sum() == pytest.approx(n, abs=1e-9)
    # Where nothing is left to chance, the frequency is exact.
    sure = inclusion == np.floor(inclusion)
    np.testing.assert_allclose(total[sure], inclusion[sure] * draws)
    assert (total >= np.floor(inclusion) * draws).all()
    statistic, freedom = misfit(total, inclusion, draws)
    assert freedom > 0
    assert not too_far(statistic, freedom)
    # Control: probabilities that are off by a tenth in half of the places are noticed.
    wrong = inclusion * np.where(np.arange(len(pool)) % 2, 1.1, 0.9)
    assert too_far(*misfit(total, wrong, draws))


def test_the_odd_places_favour_no_stratum() -> None:
    rng = np.random.default_rng(5)
    targets = [Fraction(100, 7)] * 7
    draws = np.array([round_at_random(targets, rng) for _ in range(4000)])
    assert set(np.unique(draws)) == {14, 15}
    # Two of seven strata get one more; 6 of the 7 frequencies are free.
    extra = (draws == 15).sum(axis=0)
    expected = 4000 * 2 / 7
    statistic = ((extra - expected) ** 2 / (expected * 5 / 7)).sum() * 6 / 7
    assert not too_far(float(statistic), 6)
    by_rank = np.where(np.arange(7) < 2, 4000, 0)
    assert too_far(float(((by_rank - expected) ** 2 / (expected * 5 / 7)).sum()), 6)


def test_pairs_within_a_stratum_are_drawn_together_as_simple_random_sampling_says() -> None:
    # 12 places, 4 drawn: each of 66 pairs has probability 4 * 3 / (12 * 11) = 1 / 11.
    pool = Pool.from_table(pa.table({"lon": np.arange(12.0), "lat": np.zeros(12)}))
    chosen = sampler("uniform")
    assert isinstance(chosen, DesignSampler)
    rng = np.random.default_rng(2)
    design = chosen.design(pool, 4, rng)
    together = np.zeros((12, 12))
    draws = 3000
    for _ in range(draws):
        rows = design.sample(rng).rows
        together[np.ix_(rows, rows)] += 1
    pairs = together[np.triu_indices(12, 1)]
    z = np.abs(pairs - draws / 11) / np.sqrt(draws / 11 * 10 / 11)
    # Bonferroni over the 66 pairs.
    assert z.max() < np.sqrt(chi2.isf(ALPHA / 66, 1))


def equal_area_grid(lon: Floats, lat: Floats) -> NDArray[np.int64]:
    """Count per cell: belts of equal height in sin(lat) (Archimedes), cut into equal sectors."""
    rows, columns = 8, 12
    row = np.minimum(((np.sin(np.radians(lat)) + 1) / 2 * rows).astype(int), rows - 1)
    column = np.minimum(((lon + 180) / 360 * columns).astype(int), columns - 1)
    return np.bincount(row * columns + column, minlength=rows * columns)


def test_uniform_area_draws_evenly_from_a_crowded_pool() -> None:
    # Ten times as crowded in the north, and three times from 0 to 120 E.
    rng = np.random.default_rng(8)
    lon, lat = uniform_on_sphere(400_000, rng)
    density = np.where(lat > 0, 1.0, 0.1) * np.where((lon > 0) & (lon < 120), 1.0, 1 / 3)
    kept = rng.random(len(lon)) < density
    crowd = Pool.from_table(pa.table({"lon": lon[kept], "lat": lat[kept]}))

    def grid(spec: str) -> NDArray[np.int64]:
        chosen = sampler(spec)
        composition = chosen.draw(crowd, 3000, np.random.default_rng(1))
        rows = crowd.take(composition.ids)
        return equal_area_grid(crowd.lon[rows], crowd.lat[rows])

    expected = np.full(96, 3000 / 96)
    assert not too_far(unevenness(grid("uniform-area:cell_km=500"), expected), 95)
    assert too_far(unevenness(grid("uniform"), expected), 95)


@pytest.fixture(scope="module")
def land() -> Callable[[Floats, Floats], NDArray[np.bool_]]:
    try:
        continent, ground = earth.layer("continent"), earth.layer("land")
    except WherefromError as err:
        pytest.skip(f"no land polygons: {err}")

    def inhabited(lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        return (ground.codes(lon, lat) >= 0) & (continent(lon, lat) != "Antarctica")

    return inhabited


def test_built_pool_is_uniform_by_area_on_land(
    land: Callable[[Floats, Floats], NDArray[np.bool_]],
) -> None:
    # Land area per cell from a lattice that is even by area: its error is far below that of 20,000
    # random places.
    x, z = np.meshgrid((np.arange(1440) + 0.5) / 1440, (np.arange(720) + 0.5) / 720)
    lon, lat = x.ravel() * 360 - 180, np.degrees(np.arcsin(2 * z.ravel() - 1))
    ground = land(lon, lat)
    area = equal_area_grid(lon[ground], lat[ground]).astype(float)
    some = area > area.sum() / 2000
    share = area[some] / area[some].sum()

    def statistic(lon: Floats, lat: Floats) -> float:
        counts = equal_area_grid(lon, lat)[some]
        return unevenness(counts, share * counts.sum())

    pool = Pool.build(20_000, seed=3)
    freedom = int(some.sum()) - 1
    assert not too_far(statistic(pool.lon, pool.lat), freedom)
    # Control: places uniform in latitude, a usual mistake.
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 90_000), rng.uniform(-90, 90, 90_000)
    wrong = land(lon, lat)
    assert too_far(statistic(lon[wrong][:20_000], lat[wrong][:20_000]), freedom)


def test_draw_from_a_built_pool_keeps_equal_shares_and_uniformity_within(
    land: Callable[[Floats, Floats], NDArray[np.bool_]],
) -> None:
    pool = Pool.build(60_000, seed=4)
    codes, _ = pool.codes("continent")
    chosen = sampler("stratified:layer=continent")
    composition = chosen.draw(pool, 6000, np.random.default_rng(0))
    rows = pool.take(composition.ids)
    assert np.bincount(codes[rows], minlength=7).tolist() == [1000] * 6 + [0]
    # Within each continent, rows of the pool in ten blocks are drawn alike.
    for code in range(6):
        members = np.flatnonzero(codes == code)
        block = np.searchsorted(members, rows[codes[rows] == code]) * 10 // len(members)
        counts = np.bincount(block, minlength=10)
        assert not too_far(unevenness(counts, np.full(10, 100.0)), 9)


def test_weights_are_drawn_in_proportion_and_not_as_repeated_picks_would(pool: Pool) -> None:
    # Successive picks by weight, a usual mistake, give the heavy places less than their share.
    values = np.nan_to_num(np.asarray(pool.table["spectral_entropy"]))
    n, draws = 60, 1500
    exact = n * values / values.sum()
    while exact.max() > 1:
        full = exact >= 1
        exact[full] = 1
        exact[~full] = (n - full.sum()) * values[~full] / values[~full].sum()
    heavy = (exact > 0.4) & (exact < 1)
    rng = np.random.default_rng(6)
    chosen = sampler("entropy")
    assert isinstance(chosen, DesignSampler)
    design = chosen.design(pool, n, rng)
    found = [
        int(np.isin(design.sample(rng).rows, np.flatnonzero(heavy)).sum()) for _ in range(draws)
    ]
    p = values / values.sum()
    picks = [int(heavy[rng.choice(400, n, replace=False, p=p)].sum()) for _ in range(draws)]
    expected = exact[heavy].sum()
    # Levels may move each probability by 0.5 %.
    limit = norm.isf(ALPHA / 2) * np.std(found) / np.sqrt(draws) + 0.005 * expected
    assert abs(np.mean(found) - expected) < limit
    assert abs(np.mean(picks) - expected) > limit


def test_distances_to_a_single_city_are_those_of_a_gaussian(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Uniform places around one seed: squared distances are exponential, 2 sigma^2 in the mean.
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-3, 3, 200_000), np.degrees(np.arcsin(rng.uniform(-0.05, 0.05, 200_000)))
    seed = GaussianMixture(np.zeros(1), np.zeros(1), 50.0)
    monkeypatch.setattr("wherefrom.compose.samplers.cities._mixture", lambda *_: seed)
    pool = Pool.from_table(pa.table({"lon": lon, "lat": lat}))
    n = 2000
    rows = pool.take(draw(pool, "gaussian-cities:cities=1", n).ids)
    km = np.hypot(lon[rows], lat[rows]) * 111.195
    share = 1 - np.exp(-((km / 50) ** 2) / 2)
    counts = np.bincount((share * 10).astype(int), minlength=10)[:10]
    off = float(((counts - n / 10) ** 2 / (n / 10)).sum())
    assert off < chi2.isf(ALPHA, 9)
    # Control: a standard deviation that is a tenth too large.
    share = 1 - np.exp(-((km / 55) ** 2) / 2)
    counts = np.bincount((share * 10).astype(int), minlength=10)[:10]
    assert float(((counts - n / 10) ** 2 / (n / 10)).sum()) > chi2.isf(ALPHA, 9)


def test_a_grid_starts_anywhere() -> None:
    # Over many starts, places of a uniform pool are drawn alike, wherever they lie.
    rng = np.random.default_rng(5)
    lon, lat = uniform_on_sphere(4000, rng)
    pool = Pool.from_table(pa.table({"lon": lon, "lat": lat}))
    block = (np.sin(np.radians(lat)) + 1) // 0.25 * 8 + (lon + 180) // 45
    size = np.bincount(block.astype(int), minlength=64)
    total = np.zeros(64)
    for seed in range(150):
        rows = pool.take(draw(pool, "grid:spacing_km=2000,short=cap", 1000, seed).ids)
        total += np.bincount(block[rows].astype(int), minlength=64)
    expected = total.sum() / 64
    # Cells even the counts out: they vary less than those of independent draws.
    assert float(((total - expected) ** 2 / expected).sum()) < chi2.isf(ALPHA, 63)
    # Control: a uniform draw follows the pool's own unevenness over as many places.
    uniform = total.sum() * size / 4000
    assert float(((uniform - expected) ** 2 / expected).sum()) > chi2.isf(ALPHA, 63)
