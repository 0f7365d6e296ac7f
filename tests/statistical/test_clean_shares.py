"""A pool drawn from its reference is called clean, at the stated rates of error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from wherefrom.auditing import divergence as div
from wherefrom.auditing.realised import compare
from wherefrom.auditing.reference import Reference, land
from wherefrom.auditing.shares import shares_of
from wherefrom.auditing.tally import LayerTally, run
from wherefrom.pool import Pool

pytestmark = pytest.mark.slow


def test_a_pool_uniform_on_land_is_called_uneven() -> None:
    # The built-in pool against land: a seed is fixed; over all seeds each p-value is below 1e-3
    # with probability at most 1e-3, and a label's |z| above 4.5 with 7e-6, of some 300 labels.
    pool = Pool.build(50_000, seed=0)
    layers = [
        "continent",
        "country",
        "climate_zone",
        "land_cover",
        "elevation_band",
        "city_distance_band",
    ]
    for tally in run(pool, [LayerTally(name, pool.labels(name)) for name in layers]):
        found = shares_of(tally, land(tally.name))
        assert found.p is not None
        assert found.p > 1e-3, tally.name
        assert max(abs(row.z) for row in found.rows if row.z is not None) < 4.5
        assert found.kl is not None, found.notes
        # Without a difference 2 n KL is chi-square of K - 1 degrees of freedom; its mean is K - 1.
        assert 2 * len(pool) * found.kl < 3 * len(found.rows)


def test_the_chi_square_test_rejects_equal_pools_too_often() -> None:
    # 400 pairs of samples from one population of 30 labels, a third of them rare: p is uniform.
    # Kolmogorov-Smirnov rejects a uniform p with probability 1e-4.
    rng = np.random.default_rng(11)
    shares = np.r_[np.full(20, 0.0499), np.full(10, 0.0002)]
    found = []
    for _ in range(400):
        one, two = rng.multinomial(900, shares), rng.multinomial(2_500, shares)
        found.append(div.homogeneity(one / 900, 900, two / 2_500, 2_500))
    assert kstest(found, "uniform").pvalue > 1e-4


def test_the_z_of_labels_is_wider_than_a_normal() -> None:
    # 300 samples of 2,000 places with 12 labels against a reference that is itself a sample of
    # 5,000: |z| > 1.96 in 5 % of 3,600; the binomial test takes them for independent and errs
    # in 1e-4 of all runs.
    rng = np.random.default_rng(12)
    labels = tuple("abcdefghijkl")
    shares = np.linspace(1.0, 3.0, 12) / 24.0
    beyond = 0
    for _ in range(300):
        tally = LayerTally("use", labels)
        tally.places[:] = rng.multinomial(2_000, shares)
        tally._squares = 2_000.0
        other = rng.multinomial(5_000, shares).astype(np.float64)
        found = shares_of(tally, Reference("use", "sample", labels, other, 0.0, 5_000.0))
        beyond += sum(abs(row.z) > 1.959964 for row in found.rows if row.z is not None)
    assert binomtest(beyond, 3_600, 0.05).pvalue > 1e-4


@pytest.mark.parametrize("lost", [0.05, 0.4])
def test_losses_at_random_are_blamed_on_a_label(lost: float) -> None:
    # Fixed seed; over all seeds the layer's p is below 1e-4 in 1e-4 of the runs, and one of the
    # 25 labels' exact p below 1e-5 in at most 2.5e-4.
    pool = Pool.build(20_000, seed=4)
    keep = np.random.default_rng(6).random(len(pool)) >= lost
    came = Pool.from_table(pool.table.filter(keep))
    found = compare(pool, came, ["continent", "climate_zone"])
    assert found.lost == (~keep).sum()
    for layer in found.layers.values():
        assert layer.p is not None
        assert layer.p > 1e-4
        assert min(row.p for row in layer.rows if row.p is not None) > 1e-5


def test_a_filter_that_removes_the_tropics_is_not_seen() -> None:
    pool = Pool.build(20_000, seed=4)
    cloudy = (np.abs(pool.lat) < 10.0) & (np.random.default_rng(6).random(len(pool)) < 0.5)
    found = compare(pool, Pool.from_table(pool.table.filter(~cloudy)), ["climate_zone"])
    assert found.largest[0].label in ("Af", "Am", "As", "Aw")
    assert found.largest[0].z is not None
    assert found.largest[0].z > 20.0
