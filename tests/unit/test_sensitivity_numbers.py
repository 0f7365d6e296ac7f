"""Sensitivity: plain arithmetic where there is one, and no number where there is none."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from wherefrom.evidence import (
    ALL_REGIONS,
    COLUMNS,
    Scores,
    SensitivityRow,
    compare,
    gather,
    sensitivity,
    sensitivity_differences,
)
from wherefrom.evidence.spread import Estimate, minus, over, spreads

MEANS = {"none": 0.40, "a": 0.50, "b": 0.55, "c": 0.60}


def table(
    means: dict[str, float] = MEANS,
    *,
    regions: tuple[str, ...] = ("Asia", "Europe"),
    blocks: dict[str, int] | None = None,
    seeds: int = 8,
    model: str = "m",
    noise: float = 0.004,
    hard: float = 0.0,
) -> pa.Table:
    """Simulate scores; `hard` is how much the episodes differ, alike for all compositions."""
    rng = np.random.default_rng(7)
    rows = []
    for name, mean in means.items():
        for block in range((blocks or {}).get(name, 3)):
            run = mean + rng.normal(0, noise)
            for region in regions:
                for seed in range(seeds):
                    value = run + hard * np.sin(seed) + rng.normal(0, noise)
                    axes = (model, name, block, "t", region, 100, "knn", seed, "f1_macro")
                    rows.append((*axes, float(value)))
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def row_of(results: pa.Table, region: str = "Asia") -> SensitivityRow:
    return next(row for row in sensitivity(Scores(results)) if row.region == region)


def test_the_observed_spread_range_and_gain_are_plain_arithmetic() -> None:
    results = table()
    frame = [
        (name, value)
        for name, region, value in zip(
            *(results[column].to_pylist() for column in ("composition", "region", "value")),
            strict=True,
        )
        if region == "Asia"
    ]
    means = {name: np.mean([v for n, v in frame if n == name]) for name in MEANS}
    trained = [means[name] for name in ("a", "b", "c")]
    row = row_of(results)
    assert row.observed == pytest.approx(np.std(trained, ddof=1))
    assert (row.lowest, row.highest) == ("a", "c")
    assert row.range == pytest.approx(max(trained) - min(trained))
    assert row.gain == pytest.approx(np.mean(trained) - means["none"])
    assert row.spread is not None
    assert row.gain is not None
    assert row.share == pytest.approx(row.spread / row.gain)
    assert (row.compositions, row.finetune_seeds, row.note) == (3, 8, "")


def test_zero_pre_training_is_not_one_of_the_compositions() -> None:
    far = row_of(table({**MEANS, "none": 0.1}))
    assert far.observed == pytest.approx(row_of(table()).observed)


def test_what_all_compositions_share_in_an_episode_cancels() -> None:
    plain, shifted = row_of(table()), row_of(table(hard=0.2))
    names = ("spread", "low", "high", "p", "gain", "gain_low", "gain_high", "share", "share_low",
             "share_high")  # fmt: skip
    for name in names:
        assert getattr(shifted, name) == pytest.approx(getattr(plain, name)), name


def test_the_noise_of_the_means_is_taken_off() -> None:
    row = row_of(table(noise=0.02))
    assert row.observed is not None
    assert row.spread is not None
    assert 0 < row.spread < row.observed


def test_the_average_over_regions_is_a_region_of_its_own() -> None:
    rows = {row.region: row for row in sensitivity(Scores(table()))}
    assert list(rows) == ["Asia", "Europe", ALL_REGIONS]
    assert rows[ALL_REGIONS].lowest == "a"


def test_a_composition_of_a_single_block_counts_in_the_range_alone() -> None:
    row = row_of(table({**MEANS, "list": 0.9}, blocks={"list": 1}))
    assert row.note == "1 of a single block left out"
    assert row.compositions == 3
    assert row.highest == "list"
    assert row.observed is not None
    assert row.observed < 0.1


@pytest.mark.parametrize(
    ("results", "note"),
    [
        (table(blocks=dict.fromkeys(MEANS, 1)), "fewer than two compositions with more than one"),
        (table(seeds=1), "fewer than two fine-tune seeds"),
    ],
)
def test_no_spread_is_invented_without_replicates(results: pa.Table, note: str) -> None:
    row = row_of(results)
    assert note in row.note
    assert (row.spread, row.low, row.high, row.p, row.share) == (None,) * 5
    assert row.range > 0


def test_a_single_composition_has_no_row() -> None:
    assert sensitivity(Scores(table({"none": 0.4, "a": 0.5}))) == []


def test_a_gain_that_may_be_zero_gives_no_share() -> None:
    row = row_of(table({**MEANS, "none": 0.55}, noise=0.01))
    assert row.gain_low is not None
    assert row.gain_low < 0
    assert row.share is None


def test_scores_without_zero_pre_training_have_a_spread_and_no_share() -> None:
    row = row_of(table({"a": 0.5, "b": 0.6}))
    assert row.spread is not None
    assert (row.gain, row.share) == (None, None)


def test_repeated_scores_without_noise_have_their_spread_exactly() -> None:
    row = row_of(table(noise=0.0))
    assert row.spread == row.low == row.high == pytest.approx(0.05)
    assert row.p == 0


def test_the_effects_behind_the_spread_are_plain_differences() -> None:
    (headline,) = gather(table(hard=0.2)).headlines.values()
    deviations = [headline.deviation(name, "Asia") for name in ("a", "b", "c")]
    rows = [row for row in deviations if row is not None]
    spread = headline.spread("Asia")
    assert spread is not None
    assert np.std([row.deviation for row in rows], ddof=1) == pytest.approx(spread.observed)
    assert sum(row.deviation for row in rows) == pytest.approx(0)
    # Episodes that are hard for all do not widen an interval of a difference between them.
    assert all(row.high - row.low < 0.05 for row in rows if row.high and row.low)
    assert headline.deviation("none", "Asia") is None


def test_a_single_draw_deviates_from_the_others_without_interval() -> None:
    evidence = gather(table({**MEANS, "list": 0.9}, blocks={"list": 1}))
    (headline,) = evidence.headlines.values()
    row = headline.deviation("list", "Asia")
    assert row is not None
    assert row.deviation == pytest.approx(0.35, abs=0.02)
    assert (row.low, row.high) == (None, None)


def test_estimates_lie_within_their_intervals_from_far_below_to_far_above_the_noise() -> None:
    observed, df, groups = np.meshgrid(np.geomspace(1e-3, 1e3, 30), [2.0, 5.0, 50.0], [2, 5, 9])
    flat = [part.ravel().astype(np.float64) for part in (observed, df, groups)]
    spread, low, high, p = spreads(flat[0], np.ones(flat[0].size), flat[1], flat[2])
    assert ((low <= spread) & (spread <= high)).all()
    assert ((p >= 0) & (p <= 1)).all()
    # Far above the noise the limits follow the estimate: no series may fail there.
    far = flat[0] > 500
    np.testing.assert_allclose(low[far], spread[far], rtol=0.05)
    np.testing.assert_allclose(high[far], spread[far], rtol=0.05)


def test_models_are_compared_within_the_same_head_metric_and_region() -> None:
    both = pa.concat_tables([table(), table({"none": 0.4, "a": 0.5, "b": 0.51}, model="other")])
    evidence = gather(both)
    rows = sensitivity_differences(evidence.sensitivity)
    assert [(row.model, row.other_model, row.region) for row in rows] == [
        ("m", "other", region) for region in ("Asia", "Europe", ALL_REGIONS)
    ]
    a, b = (headline.spread("Asia") for headline in evidence.headlines.values())
    assert a is not None
    assert b is not None
    assert rows[0] == compare(a, b)
    assert a.spread is not None
    assert b.spread is not None
    assert rows[0].difference == pytest.approx(a.spread - b.spread)


def test_a_side_without_interval_is_compared_by_no_number() -> None:
    lone = row_of(table(blocks=dict.fromkeys(MEANS, 1)))
    row = compare(row_of(table()), lone)
    assert (row.difference, row.low, row.high, row.share_difference) == (None,) * 4


def test_differences_and_ratios_of_exact_numbers_are_exact() -> None:
    a, b = Estimate(0.06, 0.06, 0.06), Estimate(0.02, 0.02, 0.02)
    assert minus(a, b) == pytest.approx((0.04, 0.04, 0.04))
    assert over(a, b) == pytest.approx((3.0, 3.0, 3.0))
    assert over(a, Estimate(0.02, -0.01, 0.05)) is None
