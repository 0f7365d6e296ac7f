"""The further samplers draw as they state: frequencies over many draws against probabilities.

Each test rejects a correct sampler with probability ALPHA = 1e-4 at most (approximately, where a
chi-square law is the limit), and its seeds are fixed, so it does not fail by chance from run to
run. Each is accompanied by a wrong probability that it must catch.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from wherefrom import draw
from wherefrom.compose import DesignSampler, sampler
from wherefrom.compose.samplers.cities import GaussianMixture
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.pool import Pool

ALPHA = 1e-4
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def pool() -> Pool:
    """400 places, ids not in order of rows, with two layers of labels and two of numbers."""
    rng = np.random.default_rng(12)
    lon, lat = uniform_on_sphere(400, rng)
    entropy = rng.lognormal(0.0, 1.0, 400)
    entropy[::19] = np.nan
    columns = {
        "id": rng.permutation(400),
        "lon": lon,
        "lat": lat,
        "use": np.array(["a", "b", "c"])[rng.choice(3, 400, p=[0.6, 0.3, 0.1])],
        "side": np.where(lon > 0, "east", "west"),
        "spectral_entropy": entropy,
        "x": rng.normal(size=400),
    }
    return Pool.from_table(pa.table(columns))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("target") / "target.csv"
    path.write_text("lon,lat,use,side\n0,0,a,east\n1,0,a,east\n2,0,b,east\n3,0,c,west\n")
    return str(path)


def statistic(total: Floats, inclusion: Floats, draws: int) -> tuple[float, int]:
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
        ("balanced:over=use+side", 30),
        ("balanced:over=use+side,short=redistribute", 150),
        ("entropy", 40),
        ("entropy", 250),
        ("entropy:top=0.2", 30),
        ("gaussian-cities:cities=500,sigma_km=300", 25),
        ("grid:spacing_km=2500", 40),
        ("match:target={target},over=use+side,short=redistribute", 60),
        ("entropy-matched:layer=side,label=east,other=west,bins=6", 50),
        ("geography-matched:of=regions,layer=side,label=west,other=east,over=use", 50),
        ("geography-matched:of=halves,half=low,over=use+side", 50),
        ("mixture:parts=2*entropy+1*balanced:over=use+side+1*grid:spacing_km=2500;short=cap", 60),
        ("mixture:parts=1*only:layer=use;label=c+1*uniform", 75),
    ],
)
def test_every_place_is_drawn_as_often_as_stated(
    pool: Pool, target: str, spec: str, n: int
) -> None:
    chosen = sampler(spec.format(target=target))
    assert isinstance(chosen, DesignSampler)
    rng = np.random.default_rng(31)
    # Where a grid starts is drawn once: its probabilities hold given that.
    design = chosen.design(pool, n, rng)
    inclusion = design.inclusion()
    assert inclusion.sum() == pytest.approx(n, abs=1e-9)
    draws, total = 3000, np.zeros(400)
    for _ in range(draws):
        sample = design.sample(rng)
        assert sample.multiplicity.sum() == n
        total[sample.rows] += sample.multiplicity
    assert not total[inclusion == 0].any()
    assert (total[inclusion >= 1] >= draws).all()
    found, freedom = statistic(total, inclusion, draws)
    assert freedom > 0
    assert found < chi2.isf(ALPHA, freedom)
    # Control: probabilities that are off by a tenth in half of the places are noticed.
    wrong = inclusion * np.where(np.arange(400) % 2, 1.1, 0.9)
    assert statistic(total, wrong, draws)[0] > chi2.isf(ALPHA, freedom)


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
