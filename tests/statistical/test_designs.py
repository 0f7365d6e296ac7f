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
from scipy.stats import chi2

from wherefrom import earth
from wherefrom.compose import DesignSampler, sampler
from wherefrom.compose.allocate import round_at_random
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

ALPHA = 1e-4
Floats = NDArray[np.float64]


def too_far(statistic: float, freedom: int) -> bool:
    """Tell whether a chi-square statistic lies above its quantile at ALPHA."""
    return bool(statistic > chi2.isf(ALPHA, freedom))


def unevenness(counts: NDArray[np.int64], expected: Floats) -> float:
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.fixture(scope="module")
def pool() -> Pool:
    """300 places, ids not in order of rows, in strata of 200, 60, 30 and 8; 2 without."""
    rng = np.random.default_rng(11)
    lon, lat = uniform_on_sphere(300, rng)
    use = ["a"] * 200 + ["b"] * 60 + ["c"] * 30 + ["d"] * 8 + [None] * 2
    forest = ["forest" if i % 3 else None for i in range(300)]
    columns = {"id": rng.permutation(300), "lon": lon, "lat": lat, "use": use, "forest": forest}
    return Pool.from_table(pa.table(columns))


def frequencies(chosen: DesignSampler, pool: Pool, n: int, draws: int, seed: int) -> Floats:
    """Count how often each row is taken over many draws."""
    rng = np.random.default_rng(seed)
    total = np.zeros(len(pool))
    design = chosen.design(pool, n, rng)
    for _ in range(draws):
        sample = design.sample(rng)
        total[sample.rows] += sample.multiplicity
    return total


def misfit(total: Floats, inclusion: Floats, draws: int) -> tuple[float, int]:
    """Standardise frequencies by the variance of a count that is rounded up or down.

    Counts of the places of one draw are negatively correlated, which lowers the statistic's mean
    below the degrees of freedom taken here: the test errs on the side of ALPHA.
    """
    part = inclusion - np.floor(inclusion)
    free = (part > 1e-9) & (part < 1 - 1e-9)
    # Where nothing is left to chance, the frequency is exact.
    np.testing.assert_allclose(total[~free], inclusion[~free] * draws)
    variance = draws * part[free] * (1 - part[free])
    statistic = ((total[free] - draws * inclusion[free]) ** 2 / variance).sum()
    return float(statistic), int(free.sum())


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
    ],
)
def test_every_place_is_drawn_as_often_as_stated(pool: Pool, spec: str, n: int) -> None:
    chosen = sampler(spec)
    assert isinstance(chosen, DesignSampler)
    draws = 3000
    total = frequencies(chosen, pool, n, draws, seed=21)
    inclusion = chosen.inclusion(pool, n, np.random.default_rng(21))
    if "cap" not in spec:
        assert inclusion.sum() == pytest.approx(n, abs=1e-9)
        assert total.sum() == n * draws
    statistic, freedom = misfit(total, inclusion, draws)
    assert not too_far(statistic, freedom)
    # Control: probabilities that are off by a tenth in half of the places are noticed.
    wrong = inclusion * np.where(np.arange(len(pool)) % 2, 1.1, 0.9)
    wrong[inclusion == 0] = 0
    part = wrong - np.floor(wrong)
    free = part > 0
    statistic = ((total - draws * wrong)[free] ** 2 / (draws * part * (1 - part))[free]).sum()
    assert too_far(float(statistic), int(free.sum()))


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
    draws = 6000
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
