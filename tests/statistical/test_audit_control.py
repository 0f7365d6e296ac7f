"""A clean pool is called clean at any size, and what is planted is found at its size."""

from __future__ import annotations

import numpy as np
import pytest

from wherefrom.auditing import reference
from wherefrom.auditing.findings import Commands, Named
from wherefrom.auditing.lattice import land_lattice
from wherefrom.auditing.mapped import MapTally, bands_for
from wherefrom.auditing.reference import land
from wherefrom.auditing.shares import Layers, shares_of
from wherefrom.auditing.tally import LayerTally, run
from wherefrom.pool import Pool

pytestmark = pytest.mark.slow

LAYERS = ("continent", "country", "climate_zone", "land_cover", "elevation_band")
COMMANDS = Commands(Named("t.csv"), 1000, 1000)


@pytest.fixture(scope="module")
def whole() -> Pool:
    return Pool.build(200_000, seed=11)


def found_in(pool: Pool) -> list[str]:
    """Return the names of the findings of shares and cells."""
    beside = {layer: land(layer) for layer in LAYERS}
    mapped = MapTally(bands_for(len(pool)))
    tallies = [LayerTally(layer, pool.labels(layer)) for layer in LAYERS]
    mapped, *counted = run(pool, [mapped, *tallies])  # type: ignore[list-item]
    shares = {tally.name: shares_of(tally, beside[tally.name]) for tally in counted}
    points = land_lattice(1 << 20)
    cells = np.bincount(mapped.cells.cell(points.lon, points.lat), minlength=mapped.cells.count)
    findings = Layers(shares, {n: r.size for n, r in beside.items()}).findings(COMMANDS)
    findings += mapped.result(cells / cells.sum()).findings(COMMANDS)
    return [finding.name for finding in findings]


@pytest.mark.parametrize("places", [50, 500, 5_000])
def test_clean_pools_are_blamed_by_chance(whole: Pool, places: int) -> None:
    # 4.5 standard deviations: below 1e-4 for each of 6 statistics and 10 pools; error rate < 0.006.
    for i in range(10):
        pool = Pool.from_table(whole.table.slice(i * places, places), id="id")
        assert found_in(pool) == []


def test_a_large_clean_pool_is_blamed_for_the_errors_of_the_lattice(whole: Pool) -> None:
    assert found_in(whole) == []


@pytest.mark.parametrize("dropped", [0.3, 0.6])
def test_a_planted_difference_is_missed_or_missized(whole: Pool, dropped: float) -> None:
    # Africa thinned: its share falls, and what the others gain is the total variation.
    codes, labels = whole.codes("continent")
    africa = np.flatnonzero(codes == labels.index("Africa"))
    gone = np.random.default_rng(0).choice(africa, round(dropped * len(africa)), replace=False)
    pool = Pool.from_table(whole.table.take(np.delete(np.arange(len(whole)), gone)), id="id")
    tally = LayerTally("continent", pool.labels("continent"))
    (tally,) = run(pool, [tally])
    beside = reference.land("continent")
    shares = {"continent": shares_of(tally, beside)}
    (found,) = Layers(shares, {"continent": beside.size}).findings(COMMANDS)
    share = float(beside.shares[labels.index("Africa")])
    expected = share - share * (1 - dropped) / (1 - share * dropped)
    # Standard error of the share of 180,000 places: 0.001; five of them.
    assert found.size == pytest.approx(expected, abs=0.005)
    assert "Africa" in found.text
