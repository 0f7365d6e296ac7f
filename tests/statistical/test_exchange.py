"""Do exchange rates hold the true number of places? Fixed seeds, stated error rates."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wherefrom.evidence import ALL_REGIONS
from wherefrom.evidence.exchange import exchange
from wherefrom.evidence.family import Family

pytestmark = pytest.mark.slow

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "exchange.py"
STUDIES, EPISODES = 80, 20


@pytest.fixture(scope="module")
def made() -> Any:
    """Load the benchmark, whose worlds and noise these are."""
    spec = importlib.util.spec_from_file_location("benchmark_exchange", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wrong(made: Any, world: str) -> int:
    """Count the studies in which any answer over all regions does not hold the truth."""
    curves, count = made.WORLDS[world], 0
    for seed in range(STUDIES):
        rng = np.random.default_rng((16, seed))
        tables = made.study(rng, curves, episodes=EPISODES, budgets=["samples"])
        found = exchange(tables, made.VIEW, "uniform", made.OWN)
        assert found is not None
        rows = [row for row in found.rates if row.region == ALL_REGIONS]
        assert len(rows) == 3
        count += not all(made.is_right(row, curves[row.composition]) for row in rows)
    return count


@pytest.mark.parametrize("world", ["null", "edges"])
def test_a_rate_misses_the_truth_more_often_than_it_says(made: Any, world: str) -> None:
    # At most 5 of 100 figures are wrong: more than 9 of 80 are with probability 0.006.
    assert wrong(made, world) <= 9


def test_this_would_not_show_intervals_that_are_too_short(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Family.half_width
    monkeypatch.setattr(Family, "half_width", lambda *of: 0.4 * whole(*of))
    assert wrong(made, "null") > 9
