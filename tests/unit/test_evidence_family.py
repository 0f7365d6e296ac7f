"""One family of claims: what is compared, what cancels, and what is said where nothing can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from wherefrom.errors import WherefromError
from wherefrom.evidence import (
    ALL_REGIONS,
    BEST_BASELINE,
    BETTER,
    COLUMNS,
    WORSE,
    Comparison,
    DifferenceRow,
    Key,
    Scores,
    gather,
    sensitivity,
)
from wherefrom.evidence.family import Design, Family, simulate
from wherefrom.evidence.frames import Column, Frame, pair
from wherefrom.evidence.intervals import Floats, Parts
from wherefrom.evidence.own import own
from wherefrom.evidence.power import more

NAMES = ("uniform", "none", "a", "b", "c")
REGIONS = ("Asia", "Europe")
AXES = ("m", "t", 100, "knn", "f1_macro")


def key(name: str) -> Key:
    return Key("m", name, *AXES[1:])  # type: ignore[arg-type]


def scores_of(
    seed: int = 0, *, blocks: int = 6, seeds: int = 12, shared: float = 0.02
) -> dict[tuple[str, str], np.ndarray]:
    """Simulate {(composition or baseline, region): (blocks, seeds)}; zero pre-training is low."""
    rng = np.random.default_rng(seed)
    made = {}
    for region in REGIONS:
        episode, block = rng.normal(0.6, 0.03, seeds), rng.normal(0, shared, (blocks, 1))
        for name in NAMES:
            noise = rng.normal(0, 0.004, (blocks, 1)) + rng.normal(0, 0.004, (blocks, seeds))
            taste = rng.normal(0, 0.006, seeds)
            made[name, region] = episode + block + taste + noise - 0.1 * (name == "none")
        for name in ("raw-1", "raw-2"):
            made[name, region] = (episode + rng.normal(0, 0.004, seeds))[None]
    return made


def table(made: dict[tuple[str, str], np.ndarray]) -> pa.Table:
    rows = []
    for (name, region), values in made.items():
        raw = name.startswith("raw")
        for block, seed in np.ndindex(values.shape):
            axes = (name, "", -1) if raw else ("m", name, block)
            if np.isfinite(values[block, seed]):
                rest = ("t", region, 100, "knn", seed, "f1_macro", float(values[block, seed]))
                rows.append((*axes, *rest))
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def compared(made: dict[tuple[str, str], np.ndarray], **known: object) -> Comparison:
    scores = Scores(table(made))
    (view,) = scores.families()
    return Comparison(scores, view, **known)  # type: ignore[arg-type]


def row_of(
    found: Comparison, name: str, reference: str = "uniform", region: str = ALL_REGIONS
) -> DifferenceRow:
    (row,) = [
        row
        for row in found.rows
        if (row.composition, row.reference, row.region) == (name, reference, region)
    ]
    return row


def column(made: dict[tuple[str, str], np.ndarray], region: str = "Asia") -> Column:
    scores = Scores(table(made))
    (view,) = scores.families()
    return Column(scores, view, region)


def test_two_compositions_alone_give_the_paired_t_test() -> None:
    made = {k: v for k, v in scores_of().items() if k[0] in ("uniform", "a")}
    (part,) = column(made).contrasts([pair(key("a"), key("uniform"))])
    a, b = (made[name, "Asia"].mean(axis=1) for name in ("a", "uniform"))
    paired = stats.ttest_rel(a, b)
    assert part.estimate == pytest.approx((a - b).mean())
    assert np.sqrt(part.block) == pytest.approx((a - b).mean() / paired.statistic)
    assert part.block_df == pytest.approx(5)


def test_what_a_block_shares_cancels_between_compositions_and_counts_against_a_baseline() -> None:
    made = scores_of()
    rng = np.random.default_rng(1)
    push = rng.normal(0, 0.5, (6, 1))
    pushed = {k: v if k[0].startswith("raw") else v + push for k, v in made.items()}
    asked = [pair(key("a"), key("b")), pair(key("a"), Key("raw-1", "", *AXES[1:]))]  # type: ignore[arg-type]
    (near, far), (same, wide) = (column(one).contrasts(asked) for one in (made, pushed))
    assert same.block == pytest.approx(near.block, rel=1e-6)
    assert same.block_df == pytest.approx(near.block_df, rel=1e-6)
    assert wide.block > 100 * far.block
    assert wide.block_df == far.block_df == 5


def test_more_compositions_give_a_pair_more_degrees_of_freedom() -> None:
    df = [
        np.mean([
            column({k: v for k, v in scores_of(seed).items() if k[0] in names})
            .contrasts([pair(key("a"), key("uniform"))])[0].block_df
            for seed in range(20)
        ])
        for names in (("uniform", "a"), ("uniform", "a", "b"), NAMES)
    ]  # fmt: skip
    assert 5 == df[0] < df[1] < df[2] < 10


def test_each_part_of_the_variance_is_counted_once() -> None:
    rng = np.random.default_rng(0)
    keys = [key(name) for name in ("uniform", "a", "b", "c")]
    found, parts = [], []
    for _ in range(500):
        values = rng.normal(0, 1, (4, 6, 1)) + rng.normal(0, 2, (4, 1, 20))
        values = values + rng.normal(0, 3, (4, 6, 20))
        frame = Frame(keys, values, np.empty((0, 20)), (list(range(6)), list(range(20))))
        (part,) = frame.contrasts(np.array([[-1.0, 1.0, 0.0, 0.0]]))
        found.append(part.estimate)
        parts.append(part.variance)
    # Two rows, each with 1 / 6 of blocks, 4 / 20 of taste and 9 / 120 of the rest.
    assert np.mean(parts) == pytest.approx(2 * (1 / 6 + 4 / 20 + 9 / 120), rel=0.06)
    assert np.var(found) == pytest.approx(np.mean(parts), rel=0.2)


def test_blocks_that_one_side_lacks_are_left_out_and_named() -> None:
    made = scores_of()
    for region in REGIONS:
        made["a", region][4:] = np.nan
    found = compared(made)
    row = row_of(found, "a")
    assert row.note == "4 of 6 blocks in common"
    assert row.blocks == 4
    wanted = [(made["a", r][:4] - made["uniform", r][:4]).mean() for r in REGIONS]
    assert row.difference == pytest.approx(np.mean(wanted))
    assert row_of(found, "b").blocks == 6
    assert row_of(found, "b").note == ""


def test_seeds_that_one_side_lacks_are_left_out_and_named() -> None:
    made = scores_of()
    for region in REGIONS:
        made["a", region][:, 8:] = np.nan
    row = row_of(compared(made), "a")
    assert row.note == "8 of 12 fine-tune seeds in common"
    assert row.finetune_seeds == 8


def test_one_block_says_what_cannot_be_concluded() -> None:
    made = {k: v[:1] for k, v in scores_of().items()}
    found = compared(made)
    assert {row.note.split(";")[0] for row in found.rows} == {"one block"}
    assert {row.verdict for row in found.rows} == {"undecided"}
    assert {row.low for row in found.rows} == {None}
    assert not any(leader.decided for leader in found.leaders)
    assert found.contrasts([("a", "b")], ["Asia"])[0].note == "one block"
    assert {row.note for row in sensitivity(Scores(table(made)))} == {
        "fewer than two compositions with more than one block"
    }


def test_disjoint_blocks_are_called_single_ones() -> None:
    made = scores_of(blocks=4)
    for name in ("a", "b"):
        for region in REGIONS:
            made[name, region][2:] = np.nan
    for name in ("uniform", "c"):
        for region in REGIONS:
            made[name, region][:2] = np.nan
    notes = {row.note for row in sensitivity(Scores(table(made)))}
    assert notes == {"fewer than two blocks that all compositions have (0 of 2 blocks in common)"}


def test_a_region_of_one_class_decides_nothing() -> None:
    made = scores_of()
    for name in (*NAMES, "raw-1", "raw-2"):
        made[name, "Asia"][:] = 1.0
    rows = [row for row in compared(made).rows if row.region == "Asia"]
    assert {row.verdict for row in rows} == {"undecided"}
    assert {row.note for row in rows} == {"no score varies"}


def test_a_score_that_is_no_number_is_refused() -> None:
    one = table(scores_of())
    value = one["value"].to_numpy().copy()
    value[3] = np.inf
    at = one.column_names.index("value")
    with pytest.raises(WherefromError, match="row 3 has the value inf"):
        gather(one.set_column(at, "value", pa.array(value)))


def test_a_pair_that_nobody_named_makes_the_family_larger() -> None:
    found = compared(scores_of())
    (asked,) = found.contrasts([("a", "b")], [ALL_REGIONS])
    known = row_of(found, "a")
    assert found.compared < asked.compared
    assert found.contrasts([("a", "uniform")], [ALL_REGIONS]) == [known]
    turned = found.contrasts([("uniform", "a")], [ALL_REGIONS])[0]
    assert (turned.low, turned.high) == (-known.high, -known.low)  # type: ignore[operator]
    assert turned.p_adjusted == known.p_adjusted


def test_the_same_scores_are_judged_alike_in_any_order() -> None:
    one = table(scores_of())
    shuffled = one.take(np.random.default_rng(0).permutation(len(one)))
    first, second = (gather(each).differences for each in (one, shuffled))
    assert [row.verdict for row in first] == [row.verdict for row in second]
    for name in ("low", "high", "p_adjusted"):
        np.testing.assert_allclose(*([getattr(r, name) for r in rows] for rows in (first, second)))


def test_equal_is_not_said_where_the_study_told_nothing_apart() -> None:
    made = {k: v * (k[0] != "uniform") + 0 * v for k, v in scores_of(shared=0.001).items()}
    made = {k: 0.6 + (v - v.mean()) / 20 for k, v in made.items()}
    row = row_of(compared(made, references=["uniform", "none"]), "a")
    assert row.verdict == "undecided"
    assert row.note == "within the margin, but no positive control is told from uniform"
    for region in REGIONS:
        made["none", region] = made["none", region] - 0.1
    found = compared(made, references=["uniform", "none"])
    assert row_of(found, "a").verdict == "equivalent within 0.01"
    # A control that the study names takes its place.
    assert not compared(made, references=["uniform", "none"], controls=["b"]).sensitive


class Apart:
    """Test places that say of every row's mean score that it has some variance of its own."""

    population = "a made-up map"

    def __init__(self, variance: float, unknown: str = "") -> None:
        self.variance, self.unknown = variance, unknown

    def covariance(
        self, keys: Sequence[Key], region: str, among: Sequence[str] | None = None
    ) -> tuple[Floats, float] | None:
        assert among == list(REGIONS)
        if any(key.model == self.unknown for key in keys):
            return None
        return np.eye(len(keys)) * self.variance, 1999.0


def test_a_row_whose_test_places_are_not_known_is_said_to_have_them_given() -> None:
    one = table(scores_of())
    known, lacking = (gather(one, places=Apart(1e-4, name)) for name in ("", "raw-2"))
    for a, b in zip(known.differences, lacking.differences, strict=True):
        given = "its test places are taken as given" in b.note
        assert given == (b.reference_row == "raw-2")
        assert given == (b.high - b.low < 0.9 * (a.high - a.low))  # type: ignore[operator]
    assert any("given" in row.note for row in lacking.differences)


def test_test_places_that_are_a_sample_widen_every_interval() -> None:
    one = table(scores_of())
    given, sampled = gather(one), gather(one, places=Apart(1e-4))
    for a, b in zip(given.differences, sampled.differences, strict=True):
        assert b.difference == a.difference
        assert b.high - b.low > 1.3 * (a.high - a.low)  # type: ignore[operator]
    for x, y in zip(given.summary, sampled.summary, strict=True):
        assert y.high - y.low > x.high - x.low  # type: ignore[operator]
    (headline,) = sampled.headlines.values()
    assert headline.population == "about a made-up map"
    assert "a difference to uniform of" in headline.detectable("uniform")
    (headline,) = given.headlines.values()
    assert headline.population == "given these test places"


def test_more_blocks_episodes_and_places_narrow_an_interval() -> None:
    evidence = gather(table(scores_of()), places=Apart(1e-5))
    (headline,) = evidence.headlines.values()
    rows = headline.budget("uniform")
    assert [row.composition for row in rows] == ["a", "b", "c", "none"]
    for row in rows:
        assert row.place == pytest.approx(2e-5)
        assert row.more_places is not None
        assert max(row.one_more_block, row.more_episodes, row.more_places) < row.half_width
    (headline,) = gather(table(scores_of())).headlines.values()
    assert {row.more_places for row in headline.budget("uniform")} == {None}


def test_many_more_of_everything_leave_nothing() -> None:
    (part,) = column(scores_of()).contrasts([pair(key("a"), key("uniform"))])
    grown = part
    for axis, times in (("block", 1), ("episode", 1)):
        grown = more(grown, axis, 6, 12, times)
    assert grown.block == pytest.approx(part.block * 6 / 7)
    assert grown.episode == pytest.approx(part.episode * 12 / 112)


def test_the_reference_that_was_chosen_as_the_best_has_its_luck_counted() -> None:
    made = scores_of()
    for region in REGIONS:
        luck = np.random.default_rng(5).normal(0, 0.02, (1, 12))
        made["raw-2", region] = made["raw-1", region].mean() + 0.001 + luck - luck.mean()
    one = column(made)
    frame, _ = one.frame([key("a"), Key("raw-1", "", *AXES[1:])])  # type: ignore[arg-type]
    at = {row.composition or row.model: i for i, row in enumerate(frame.keys)}
    pairs = np.array([[at["a"], at["raw-2"]]])
    fixed = simulate([Design(frame, pairs)], np.random.default_rng(0))
    both = np.array([at["raw-1"], at["raw-2"]])
    chosen = simulate([Design(frame, pairs, both)], np.random.default_rng(0))
    assert chosen.largest[200] != fixed.largest[200]


def test_own_variances_of_many_studies_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(5, 6, 3))
    every = own(means)
    for i in range(3):
        alone = own(means[..., i])
        np.testing.assert_allclose(every.variance[:, i], alone.variance)
        np.testing.assert_allclose(every.alike[..., i], alone.alike)


def test_the_best_baseline_is_in_the_family_of_every_region() -> None:
    found = compared(scores_of())
    beside = [row for row in found.rows if row.reference == BEST_BASELINE]
    assert {row.region for row in beside} == {*REGIONS, ALL_REGIONS}
    # 5 compositions: 4 with each of two references, one pair in both; 5 with a baseline.
    assert found.compared in range(3 * 12, 3 * 13 + 1)


@pytest.mark.parametrize(("blocks", "seeds"), [(2, 2), (2, 5), (6, 2), (6, 3)])
def test_few_blocks_or_seeds_give_no_endless_intervals(blocks: int, seeds: int) -> None:
    """A simulated variance must not be negative: the largest ratio would be endless."""
    found = compared(scores_of(blocks=blocks, seeds=seeds))
    halves = [(row.high or 0) - (row.low or 0) for row in found.rows]
    # At Bonferroni's level a t test of one degree of freedom has 900 standard errors.
    assert 0 < max(halves) < 2000 * 0.02
    # No wider than by Bonferroni, which holds whatever is correlated.
    assert found.family.largest[round(0.05 * len(found.family.largest))] < 1.1


def test_a_simulated_p_value_is_zero_or_disagrees_with_its_interval() -> None:
    """2,000 studies cannot show less than 1 in 2,001; at the edge of the interval p is 0.05."""
    family = Family(1, np.sort(np.random.default_rng(0).uniform(0, 2, 2000))[::-1])
    unit = Parts(0.0, 1.0, 1e6, 0.0, 49.0)
    half = float(family.half_width([unit])[0])
    for estimate, reached in ((1e3, False), (half * 1.0001, False), (half * 0.9999, True)):
        (p,) = family.adjusted([replace(unit, estimate=estimate)])
        assert p >= 1 / 2001
        assert (p > 0.05) == reached
    assert family.adjusted([replace(unit, estimate=1e3)])[0] == 1 / 2001


def test_compositions_without_any_spread_are_warned_of() -> None:
    made = {at: np.zeros_like(values) + 0.5 for at, values in scores_of().items()}
    with np.errstate(all="raise"):
        found = compared(made)
    assert not [row for row in found.rows if row.verdict in (BETTER, WORSE)]
