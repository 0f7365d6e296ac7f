"""Evidence: the numbers agree with plain arithmetic, and gaps are named, never filled."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from wherefrom.errors import WherefromError
from wherefrom.evidence import (
    ALL_REGIONS,
    BEST_BASELINE,
    COLUMNS,
    Key,
    Scores,
    SummaryRow,
    View,
    differences,
    gather,
    holm,
    summary,
    table_of,
    variance_shares,
    verdict,
)
from wherefrom.evidence.intervals import Parts, Side, difference, half_width, two_sided_p


def results(values: dict[tuple[str, str, str, str], np.ndarray]) -> pa.Table:
    """Build a table from {(model, composition, region, head): (blocks, seeds)}."""
    rows = []
    for (model, composition, region, head), scores in values.items():
        for block, seed in np.ndindex(scores.shape):
            unit = block if composition else -1
            axes = (model, composition, unit, "t", region, 100, head, seed, "f1_macro")
            rows.append((*axes, float(scores[block, seed])))
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def made(seed: int, blocks: int = 6, seeds: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.6, 0.03, (blocks, seeds))


def two_regions() -> dict[tuple[str, str, str, str], np.ndarray]:
    values = {}
    for i, (composition, region) in enumerate(
        itertools.product(("uniform", "only-europe"), ("Asia", "Europe"))
    ):
        values["m", composition, region, "knn"] = made(i)
    for i, region in enumerate(("Asia", "Europe")):
        values["raw-lonlat", "", region, "knn"] = made(10 + i, 1) - 0.2
        values["majority", "", region, "majority"] = made(20 + i, 1) - 0.4
    return values


def test_spread_over_seeds_and_over_runs_are_not_mixed() -> None:
    values = two_regions()
    rows = {(r.composition, r.model, r.region): r for r in summary(Scores(results(values)))}
    row = rows["uniform", "m", "Asia"]
    raw = values["m", "uniform", "Asia", "knn"]
    assert row.mean == pytest.approx(raw.mean())
    assert row.std_finetune == pytest.approx(raw.std(axis=1, ddof=1).mean())
    assert row.std_blocks == pytest.approx(raw.mean(axis=1).std(ddof=1))
    assert (row.blocks, row.finetune_seeds) == (6, 10)


def test_the_average_over_regions_is_unweighted() -> None:
    values = two_regions()
    rows = {(r.composition, r.region): r for r in summary(Scores(results(values)))}
    both = [rows["uniform", region].mean for region in ("Asia", "Europe")]
    assert rows["uniform", ALL_REGIONS].mean == pytest.approx(np.mean(both))


def test_the_average_skips_a_region_that_another_row_lacks() -> None:
    values = two_regions()
    for composition in ("uniform", "only-europe"):
        values["m", composition, "Oceania", "knn"] = made(30)
    rows = {(r.composition, r.region): r for r in summary(Scores(results(values)))}
    both = [rows["uniform", region].mean for region in ("Asia", "Europe")]
    assert rows["uniform", ALL_REGIONS].mean == pytest.approx(np.mean(both))
    assert ("uniform", "Oceania") in rows


def test_blocks_that_are_not_paired_give_welchs_interval() -> None:
    a, b = made(1, 3), made(2, 3)
    # Without episode effects beyond the residual the part of the blocks is Welch's t.
    parts = difference(Side(a), Side(b))
    welch = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    assert parts.block_df == pytest.approx(welch.df)
    only = Parts(parts.estimate, parts.block, parts.block_df, 0.0, 9.0)
    assert two_sided_p([only], np.array([abs(parts.estimate)]))[0] == pytest.approx(
        welch.pvalue, rel=1e-4
    )


def test_two_baselines_give_the_paired_t_interval_over_seeds() -> None:
    a, b = made(1, 1), made(2, 1)
    parts = difference(Side(a, fixed=True), Side(b, fixed=True))
    paired = stats.ttest_rel(a[0], b[0])
    p = two_sided_p([parts], np.array([abs(parts.estimate)]))
    assert p[0] == pytest.approx(paired.pvalue, rel=1e-4)
    low, high = paired.confidence_interval(0.95)
    assert 2 * half_width([parts])[0] == pytest.approx(high - low)


def test_episodes_common_to_both_sides_cancel() -> None:
    a, b = made(1, 3), made(2, 3)
    hard = np.linspace(-0.3, 0.3, a.shape[1])
    plain = difference(Side(a), Side(b))
    shifted = difference(Side(a + hard), Side(b + hard))
    assert half_width([shifted])[0] == pytest.approx(half_width([plain])[0])


def test_p_and_interval_agree_at_the_edge() -> None:
    parts = [difference(Side(made(i, 3)), Side(made(i + 50, 3))) for i in range(20)]
    for level in (0.9, 0.95, 0.99):
        p = two_sided_p(parts, half_width(parts, level))
        np.testing.assert_allclose(p, 1 - level, rtol=1e-5)


def test_a_single_block_gets_no_interval_and_says_so() -> None:
    values = two_regions()
    for region in ("Asia", "Europe"):
        values["m", "clustered", region, "knn"] = made(40, 1)
    scores = Scores(results(values))
    rows = [r for r in differences(scores, ["uniform"]) if r.composition == "clustered"]
    assert len(rows) == 3
    for row in rows:
        assert (row.low, row.high, row.p_adjusted, row.verdict) == (None, None, None, "undecided")
        assert row.note.startswith("one block")
        assert row.detectable is None
    lone = [r for r in summary(scores) if r.composition == "clustered"]
    assert all(r.low is None and r.std_blocks is None for r in lone)


def test_random_initialisations_are_replicates_of_none() -> None:
    values = two_regions()
    for region in ("Asia", "Europe"):
        values["m", "none", region, "knn"] = made(41, 4) - 0.1
    rows = differences(Scores(results(values)), ["none"])
    assert all(row.low is not None for row in rows)


def test_the_best_baseline_is_chosen_in_each_region_and_named() -> None:
    values = two_regions()
    values["raw-harmonics-L10", "", "Asia", "knn"] = made(50, 1)
    values["raw-harmonics-L10", "", "Europe", "knn"] = made(51, 1) - 0.5
    rows = {r.region: r for r in differences(Scores(results(values)), [BEST_BASELINE])}
    assert rows["Asia"].reference_row == "raw-harmonics-L10"
    assert rows["Europe"].reference_row == "raw-lonlat"


def test_a_head_without_baselines_is_set_beside_every_baseline() -> None:
    values = two_regions()
    values["m", "uniform", "Asia", "finetune"] = made(60)
    rows = differences(Scores(results(values)), [BEST_BASELINE])
    assert [r.reference_row for r in rows if r.head == "finetune"] == ["raw-lonlat (knn)"]


def test_fewer_fine_tune_seeds_on_one_side_are_paired_by_seed() -> None:
    values = two_regions()
    values["m", "only-europe", "Asia", "knn"] = values["m", "only-europe", "Asia", "knn"][:, :4]
    row = next(r for r in differences(Scores(results(values)), ["uniform"]) if r.region == "Asia")
    mine, other = values["m", "only-europe", "Asia", "knn"], values["m", "uniform", "Asia", "knn"]
    assert row.finetune_seeds == 4
    assert row.difference == pytest.approx(mine.mean() - other[:, :4].mean())


def test_holm_counts_only_what_was_compared() -> None:
    adjusted = holm(np.array([0.02, np.nan, 0.01, 0.5]))
    np.testing.assert_allclose(adjusted, [0.04, np.nan, 0.03, 0.5])


def test_a_certain_but_tiny_difference_is_equivalent_not_better() -> None:
    assert verdict(0.001, 0.003, 0.01) == "equivalent within 0.01"
    assert verdict(0.001, 0.003, 0.01, sensitive=False) == "better"
    assert verdict(-0.3, -0.1, 0.01) == "worse"
    assert verdict(None, None, 0.01) == "undecided"


def test_components_of_variance_are_recovered() -> None:
    rng = np.random.default_rng(0)
    values = 0.5 + rng.normal(0, 0.02, (300, 1)) + rng.normal(0, 0.03, (300, 30))
    row = variance_shares(Scores(results({("m", "uniform", "Asia", "knn"): values})))[0]
    assert np.sqrt(row.block) == pytest.approx(0.02, rel=0.15)
    assert np.sqrt(row.finetune) == pytest.approx(0.03, rel=0.05)
    assert (row.finetune_share or 0) + (row.block_share or 0) == pytest.approx(1)


def test_results_without_runs_still_have_a_summary() -> None:
    table = results({("m", "uniform", "Asia", "knn"): made(1, 1, 1)})
    evidence = gather(table)
    assert evidence.differences == []
    assert evidence.summary[0].std_finetune is None
    assert evidence.leaders[0].decided is False


def test_dictionary_columns_are_read_like_plain_ones() -> None:
    table = results(two_regions())
    coded = table.set_column(0, "model", table["model"].dictionary_encode())
    assert summary(Scores(coded)) == summary(Scores(table))


def test_a_table_of_draws_and_pre_train_seeds_is_refused_with_the_remedy() -> None:
    table = results(two_regions())
    old = table.drop_columns(["block"])
    for name in ("draw_seed", "pretrain_seed"):
        old = old.append_column(name, table["block"])
    with pytest.raises(WherefromError, match="run the study again") as refused:
        Scores(old)
    assert "\n" not in str(refused.value)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(WherefromError, match="no column 'finetune_seed'"):
        Scores(results(two_regions()).drop_columns(["finetune_seed"]))


def test_a_repeated_row_is_refused() -> None:
    table = results(two_regions())
    with pytest.raises(WherefromError, match=f"row {table.num_rows} repeats"):
        Scores(pa.concat_tables([table, table.slice(0, 1)]))


def test_a_score_that_is_not_a_number_is_refused_with_its_row() -> None:
    table = results(two_regions())
    value = table["value"].to_numpy().copy()
    value[7] = np.nan
    with pytest.raises(WherefromError, match="row 7 has the value nan"):
        Scores(table.set_column(9, "value", pa.array(value)))


def test_a_column_of_the_wrong_kind_is_refused() -> None:
    table = results(two_regions())
    with pytest.raises(WherefromError, match="'n' is string, not integer"):
        Scores(table.set_column(5, "n", pa.array(["100"] * table.num_rows)))


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(WherefromError, match="empty"):
        Scores(results(two_regions()).slice(0, 0))


def test_rows_are_written_as_a_tidy_table() -> None:
    rows = summary(Scores(results(two_regions())))
    table = table_of(rows, SummaryRow)
    assert table.num_rows == len(rows)
    assert table["mean"].to_pylist() == [row.mean for row in rows]


def test_keys_carry_all_axes_of_a_view() -> None:
    evidence = gather(results(two_regions()))
    view = ("m", "t", 100, "knn", "f1_macro")
    assert list(evidence.headlines) == [view]
    headline = evidence.headlines[View(*view)]
    assert headline.regions == ["Asia", "Europe", ALL_REGIONS]
    assert headline.mean(Key("m", "uniform", "t", 100, "knn", "f1_macro")) is not None
    assert headline.difference("only-europe", "uniform") is not None
    baselines = {row.key.model for row in headline.rows if row.kind == "baseline"}
    assert baselines == {"raw-lonlat", "majority"}


def test_a_row_that_another_one_equals_is_not_called_the_best() -> None:
    # Certainly ahead, by less than the margin.
    rng = np.random.default_rng(3)
    close = rng.normal(0.6, 0.0005, (6, 10))
    own = rng.normal(0, 0.0005, (6, 10))
    values = {
        ("m", "uniform", "Asia", "knn"): close,
        ("m", "a", "Asia", "knn"): close + 0.005 + own,
        ("m", "none", "Asia", "knn"): close - 0.2 + own[::-1],
    }
    evidence = gather(results(values))
    (row,) = [r for r in evidence.differences if (r.composition, r.reference) == ("a", "uniform")]
    assert row.verdict == "equivalent within 0.01"
    assert evidence.leaders[0].composition == "a"
    assert not evidence.leaders[0].decided


def test_pairs_of_a_claim_are_judged_otherwise_than_those_with_a_reference() -> None:
    evidence = gather(results(two_regions()))
    (headline,) = evidence.headlines.values()
    for region in headline.regions:
        known = headline.differences("uniform", region)
        pairs = [(row.composition, "uniform") for row in known]
        assert headline.contrasts(pairs, [region]) == known
    assert headline.contrasts([("only-europe", "nothing")]) == []


def test_one_pair_has_two_verdicts_on_one_page() -> None:
    names = ("uniform", "none", "a", "b", "c", "d")
    pairs = [("c", "uniform"), ("a", "b"), ("uniform", "a")]
    words: set[tuple[bool, str]] = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        episodes = rng.normal(0.6, 0.02, 10)
        values = {
            ("m", name, "Asia", "knn"): episodes
            + rng.normal(0, 0.006, (3, 1))
            + rng.normal(0, 0.003, (3, 10))
            + 0.04 * (name == "c")
            for name in names
        }
        values["raw", "", "Asia", "knn"] = (episodes + rng.normal(0, 0.003, 10)).reshape(1, -1)
        (headline,) = gather(results(values), pairs=pairs).headlines.values()
        rows = [row for name in headline.evidence.references for row in headline.differences(name)]
        rows += headline.contrasts(pairs)
        assert len({row.compared for row in rows}) == 1
        verdicts: dict[frozenset[str], set[str]] = {}
        turned = {"better": "worse", "worse": "better"}
        for row in rows:
            word = row.verdict
            if row.composition > row.reference_row:
                word = turned.get(word, word)
            verdicts.setdefault(frozenset((row.composition, row.reference_row)), set()).add(word)
        assert {len(found) for found in verdicts.values()} == {1}
        leader = headline.leader()
        assert leader is not None
        beside = {r.verdict for r in rows if leader.best in (r.composition, r.reference_row)}
        assert not leader.decided or beside <= {"better", "worse"}
        words |= {(leader.decided, r.verdict) for r in rows if r.composition == "c"}
    # The planet is one where the old families disagreed: some studies decide, others do not.
    assert words >= {(True, "better"), (False, "undecided")}


@pytest.mark.parametrize(
    ("verdict", "low", "high", "caveat"),
    [
        ("equivalent within 0.01", 0.001, 0.006, ", yet higher"),
        ("equivalent within 0.01", -0.006, -0.001, ", yet lower"),
        ("equivalent within 0.01", -0.002, 0.006, ""),
        ("undecided", None, None, ""),
        ("better", 0.001, 0.02, ""),
    ],
)
def test_an_interval_that_excludes_zero_stands_beside_equivalent_without_its_side(
    verdict: str, low: float | None, high: float | None, caveat: str
) -> None:
    row = gather(results(two_regions())).differences[0]
    assert replace(row, verdict=verdict, low=low, high=high).caveat == caveat
