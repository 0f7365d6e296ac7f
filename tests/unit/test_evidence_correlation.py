"""Correlation of audit numbers with scores: published values, leaving one out, bad input."""

from __future__ import annotations

from math import atanh, sqrt, tanh

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr, spearmanr

from wherefrom.errors import WherefromError
from wherefrom.evidence import (
    COLUMNS,
    Evidence,
    View,
    correlate,
    correlation,
    gather,
    less,
)

#: arXiv 2604.21104: FMoW, MOSAIKS population, ForTy, GEO-Bench, mean rank, and spectral
#: entropy as digitised from its figure.
PUBLISHED = {
    "europe": (0.33, 0.23, 0.37, 0.51, 0.0, 2.46),
    "north-america": (0.32, 0.22, 0.36, 0.49, 1.0, 1.79),
    "south-america": (0.27, 0.20, 0.36, 0.49, 1.5, 2.43),
    "asia": (0.27, 0.20, 0.35, 0.47, 2.0, 2.30),
    "global": (0.23, 0.17, 0.35, 0.46, 2.75, 2.12),
    "oceania": (0.23, 0.14, 0.33, 0.45, 3.5, 2.13),
    "africa": (0.15, 0.08, 0.31, 0.41, 4.5, 1.61),
}
SPECTRAL = {name: row[5] for name, row in PUBLISHED.items()}
MEAN_RANK = {name: -row[4] for name, row in PUBLISHED.items()}
VIEW = View("gfm", "task", 100, "knn", "f1_macro")


def evidence(means: dict[str, float]) -> Evidence:
    rows = [
        ("gfm", name, block, "task", region, 100, "knn", seed, "f1_macro", mean)
        for name, mean in means.items()
        for region in ("Asia", "Europe")
        for block in range(3)
        for seed in range(4)
    ]
    table = pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
    return gather(table, [next(iter(means))])


def test_the_published_correlation_of_the_seven_controlled_sets_is_another() -> None:
    found = correlate(SPECTRAL, MEAN_RANK)
    assert found["compositions"] == 7
    assert found["spearman"] == pytest.approx(1 - 6 * 22 / (7 * 48))  # by hand: 0.607
    assert round(float(str(found["spearman"])), 2) == 0.61  # as published
    x, y = (np.array([one[name] for name in PUBLISHED]) for one in (SPECTRAL, MEAN_RANK))
    assert found["pearson"] == pytest.approx(pearsonr(x, y).statistic)
    # Bonett and Wright's interval by hand: of seven, it reaches from below zero to nearly one.
    reach = 1.959964 * sqrt((1 + 0.607143**2 / 2) / 4)
    middle = atanh(0.607143)
    assert found["spearman_low"] == pytest.approx(tanh(middle - reach), abs=1e-5)
    assert found["spearman_high"] == pytest.approx(tanh(middle + reach), abs=1e-5)
    assert float(str(found["spearman_low"])) < 0
    assert 0.05 < float(str(found["p"])) < 0.1


def test_leaving_each_published_set_out_gives_other_coefficients_than_apart() -> None:
    found = correlate(SPECTRAL, MEAN_RANK)
    apart = {
        name: spearmanr(
            [SPECTRAL[k] for k in PUBLISHED if k != name],
            [MEAN_RANK[k] for k in PUBLISHED if k != name],
        ).statistic
        for name in PUBLISHED
    }
    assert found["without_low"] == pytest.approx(min(apart.values()))
    assert found["without_high"] == pytest.approx(max(apart.values()))
    # Without North America, which has little entropy and scores high, the order is nearly the same.
    assert found["most"] == "north-america"
    assert found["without_most"] == pytest.approx(apart["north-america"])
    assert apart["north-america"] > 0.9


def test_no_diversity_is_told_apart_where_all_compositions_have_the_same() -> None:
    found = correlate(dict.fromkeys(PUBLISHED, 0.0), MEAN_RANK)
    assert found["spearman"] is None
    assert found["note"] == "all compositions have the same number"


def test_a_diversity_that_one_composition_alone_has_is_taken_for_a_tie_less_number() -> None:
    continents = dict.fromkeys(PUBLISHED, 0.0) | {"global": np.log(6)}
    found = correlate(continents, MEAN_RANK)
    names = list(PUBLISHED)
    expected = spearmanr([continents[n] for n in names], [MEAN_RANK[n] for n in names]).statistic
    assert found["spearman"] == pytest.approx(expected)
    # Without the globe nothing is left to correlate with.
    assert found["note"] == "undefined where some composition is left out"


def test_three_compositions_are_enough_for_a_correlation() -> None:
    few = dict(list(SPECTRAL.items())[:3])
    with pytest.raises(WherefromError, match=r"needs 4 compositions .* not 3 \(europe, north-am"):
        correlate(few, MEAN_RANK)
    one = evidence({"a": 0.1, "b": 0.2, "c": 0.3}).headlines[VIEW]
    with pytest.raises(WherefromError, match="audit number 'spectral', gfm on task: a correlation"):
        correlation(one, "spectral", {"a": 1.0, "b": 2.0, "c": 3.0})


def test_a_perfect_order_gets_an_interval_of_no_width() -> None:
    four = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 5.0}
    found = correlate(four, four)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["spearman_low"] is None
    assert found["p"] == pytest.approx(1 / 24)


def test_the_row_of_a_headline_is_of_other_means() -> None:
    means = {name: 0.5 - rank / 10 for name, (*_, rank, _) in PUBLISHED.items()}
    one = evidence(means).headlines[VIEW]
    row = correlation(one, "spectral", SPECTRAL)
    assert (row.audit, row.region, row.compositions) == ("spectral", "All regions", 7)
    assert row.spearman == pytest.approx(0.607, abs=1e-3)
    assert row.most == "north-america"


def test_two_correlations_with_one_score_are_compared_as_if_independent() -> None:
    """Zou's interval is the narrower the more alike the two numbers are."""
    means = {name: 0.5 - rank / 10 for name, (*_, rank, _) in PUBLISHED.items()}
    one = evidence(means).headlines[VIEW]
    same = less(one, SPECTRAL, SPECTRAL)
    assert same.value == 0
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0 < same.high
    alike = SPECTRAL | {"asia": 2.13, "oceania": 2.30}
    unlike = {name: float(i % 3) for i, name in enumerate(SPECTRAL)}
    near, far = less(one, SPECTRAL, alike), less(one, SPECTRAL, unlike)
    assert near.low is not None
    assert near.high is not None
    assert far.low is not None
    assert far.high is not None
    assert same.high - same.low < near.high - near.low < far.high - far.low
    constant = less(one, SPECTRAL, dict.fromkeys(SPECTRAL, 1.0))
    assert constant.value is None
    with pytest.raises(WherefromError, match="2 compositions have both numbers and scores"):
        less(one, SPECTRAL, {"asia": 1.0, "africa": 2.0})


def test_intervals_miss_the_correlation_of_a_population_too_often() -> None:
    """Coverage at n = 8 and rho = 0.5 of normal pairs, 1,500 samples: 0.95, standard error 0.006.

    Spearman's population value for normal pairs is 6 / pi * arcsin(rho / 2).
    """
    rng = np.random.default_rng(3)
    truth = 6 / np.pi * np.arcsin(0.25)
    held = {"spearman": 0, "pearson": 0}
    for _ in range(1500):
        x = rng.normal(size=8)
        y = 0.5 * x + np.sqrt(0.75) * rng.normal(size=8)
        found = _fast(x, y)
        held["spearman"] += found[0][0] <= truth <= found[0][1]
        held["pearson"] += found[1][0] <= 0.5 <= found[1][1]
    assert 0.93 <= held["pearson"] / 1500 <= 0.97
    assert 0.92 <= held["spearman"] / 1500 <= 0.97


def _fast(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """Intervals alone: what `correlate` does besides goes through all arrangements."""
    from wherefrom.evidence.correlation import _interval, _pearson, _spearman

    ends = []
    for value, ranks in ((_spearman(x, y), True), (_pearson(x, y), False)):
        one = _interval(value, len(x), ranks=ranks)
        ends.append((-1.0 if one.low is None else one.low, 1.0 if one.high is None else one.high))
    return ends
