"""Advice on a target: nothing is ranked that the intervals do not rank, and no hour is made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pytest

from made_predictions import made_task, save, tells
from wherefrom.errors import WherefromError
from wherefrom.evidence import COLUMNS, Evidence, Headline, gather
from wherefrom.evidence.advice import (
    ABOVE,
    BELOW,
    BEST,
    LEVEL,
    LOWER,
    OPEN,
    UNRANKED,
    Advice,
    advise,
)
from wherefrom.evidence.aimed import aimed, shares_of
from wherefrom.evidence.cut import REGION, Cut, Target
from wherefrom.evidence.power import more
from wherefrom.evidence.recut import weighted
from wherefrom.report.advice import said, write_advice
from wherefrom.report.budget import budget, budget_grid
from wherefrom.report.context import ReportContext
from wherefrom.study.spent import Costs

COSTS = Costs(block=3600.0, head=360.0, fewshot=1800.0, task=3600.0, episodes=6)
EFFECTS = {"none": -0.1, "uniform": 0.0, "stratified": 0.001, "cities": -0.06}


def results(
    effects: dict[str, float],
    *,
    blocks: int = 6,
    lacks: dict[str, int] | None = None,
    baseline: float = -0.2,
    noise: float = 0.003,
    seed: int = 0,
) -> pa.Table:
    """Simulate two regions; `lacks` says how many blocks a composition has instead."""
    rng, rows = np.random.default_rng(seed), []
    for region in ("Africa", "Europe"):
        episodes = rng.normal(0.6, 0.02, 6)

        def add(model: str, name: str, block: int, shift: float, about=(region, episodes)) -> None:  # type: ignore[no-untyped-def]
            where, shared = about
            values = shared + shift + rng.normal(0, noise, 6)
            for at, value in enumerate(values.tolist()):
                axes = (model, name, block, "task", where, 100, "knn", at, "f1_macro")
                rows.append((*axes, value))

        for name, effect in effects.items():
            for block in range((lacks or {}).get(name, blocks)):
                add("gfm", name, block, effect + float(rng.normal(0, noise)))
        add("lonlat", "", -1, baseline)
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def headline(table: pa.Table, **options: object) -> Headline:
    evidence: Evidence = gather(table, **options)  # type: ignore[arg-type]
    (one,) = evidence.headlines.values()
    return one


def groups(advice: Advice) -> dict[str, str]:
    return {row.row: row.group for row in advice.rows}


@pytest.fixture(scope="module")
def tied() -> Headline:
    return headline(results(EFFECTS, noise=0.008))


def test_rows_that_no_interval_parts_are_ranked(tied: Headline) -> None:
    for region in tied.regions:
        advice = advise(tied, region)
        found = groups(advice)
        assert {found["uniform"], found["stratified"]} == {OPEN}
        assert {found["none"], found["cities"], found["lonlat"]} == {LOWER}
        first = said(advice)[0]
        assert "cannot decide which composition is best" in first
        assert "given these test places" in first  # the population
        assert "is certainly the best" not in " ".join(said(advice))


def test_a_composition_that_is_best_is_not_said_to_be() -> None:
    advice = advise(headline(results(EFFECTS | {"stratified": 0.05})), "Europe", costs=COSTS)
    assert groups(advice)["stratified"] == BEST
    assert groups(advice)["uniform"] == LOWER
    assert (advice.run, advice.now) == (None, None)
    assert "stratified is certainly the best composition for Europe" in said(advice)[0]
    assert "No further run is needed" in " ".join(said(advice))


def test_equal_ones_are_told_apart_for_ever() -> None:
    # Within a stated margin it does not matter which is taken, and no run is asked for.
    one = headline(results(EFFECTS, noise=0.0005), margin=0.02)
    advice = advise(one, "Africa")
    assert groups(advice)["uniform"] == groups(advice)["stratified"] == LEVEL
    assert "it does not matter which of" in said(advice)[0]
    assert advice.run is None


def test_the_advice_contradicts_the_report(tied: Headline) -> None:
    # The same pair has the same interval, verdict and leader in both.
    for region in tied.regions:
        advice, leader = advise(tied, region), tied.leader(region)
        assert leader is not None
        assert advice.leader == leader.best
        assert (groups(advice)[advice.leader] == BEST) == leader.decided
        for row in advice.rows:
            same = tied.difference(row.row, advice.leader, region)
            turned = tied.difference(advice.leader, row.row, region)
            if same is not None:
                assert (row.low, row.high) == (same.low, same.high)
            if turned is not None:
                assert row.low == pytest.approx(-turned.high, abs=1e-15)
            if same is not None or turned is not None:
                word = (
                    same.verdict if same else {"better": "worse"}.get(turned.verdict, "undecided")
                )
                assert (row.group == LOWER) == (word == "worse")


@pytest.mark.parametrize(
    ("shift", "group", "words"),
    [
        (0.1, ABOVE, "Certainly better than the best composition: lonlat (no pre-training)"),
        (0.001, OPEN, "Not told from the best composition: lonlat (no pre-training)"),
        (-0.2, LOWER, ""),
    ],
)
def test_a_baseline_that_is_as_good_goes_unnamed(shift: float, group: str, words: str) -> None:
    advice = advise(headline(results(EFFECTS, baseline=shift)), "Africa")
    assert groups(advice)["lonlat"] == group
    assert advice.leader in EFFECTS
    text = " ".join(said(advice))
    assert words in text
    assert ("lonlat" in text) == bool(words)


def test_a_baseline_that_nobody_tuned_is_called_worse(tied: Headline) -> None:
    assert groups(advise(tied, "Africa", untuned=["lonlat"]))["lonlat"] == BELOW


def test_published_weights_are_a_composition() -> None:
    advice = advise(headline(results(EFFECTS, baseline=0.1), official=["lonlat"]), "Africa")
    text = " ".join(said(advice))
    assert "Certainly better than the best composition: lonlat (published weights)" in text


def test_further_blocks_leave_the_interval_too_wide(tied: Headline) -> None:
    advice = advise(tied, "All regions", costs=COSTS)
    (row,) = (row for row in advice.rows if row.needed is not None)
    assert row.difference is not None
    # Told apart, or equivalent within the margin of 0.01, whichever is sooner.
    assert row.needed == max(abs(row.difference), 0.01 - abs(row.difference))
    comparison = tied.evidence.comparisons[tied.view]
    (part,) = (
        one.part for one in comparison.ranking("All regions") if one.key.composition == row.row
    )
    half = {
        added: float(comparison.family.half_width([more(part, "block", 6, 6, added=added)])[0])
        for added in range(60)
    }
    assert row.blocks == min(added for added, width in half.items() if width < row.needed)
    assert advice.now is not None
    assert advice.now.half_width == pytest.approx(half[0])
    assert advice.run is not None
    assert advice.run.half_width < row.needed
    # It is the cheapest: blocks alone are among what was tried.
    assert advice.run.hours <= COSTS.hours(row.blocks) + 1e-12


def test_the_cheapest_run_is_not_the_cheapest(tied: Headline) -> None:
    # Where blocks cost next to nothing it adds blocks, where episodes do, episodes.
    dear, free = replace(COSTS, block=1e9, head=0.0, fewshot=1.0), replace(COSTS, fewshot=1e9)
    first = advise(tied, "All regions", costs=dear).run
    second = advise(tied, "All regions", costs=free).run
    assert first is not None
    assert second is not None
    assert first.blocks <= second.blocks
    assert second.episodes == 0
    assert second.blocks > 0


def test_hours_buy_more_than_they_pay(tied: Headline) -> None:
    advice = advise(tied, "All regions", costs=COSTS, hours=3.5)
    assert advice.affords is not None
    assert (advice.affords.blocks, advice.affords.hours) == (3, 3.0)
    none = advise(tied, "All regions", costs=COSTS, hours=0.5)
    assert none.affords is not None
    assert none.affords.blocks == 0
    assert "buy 0 further blocks" in " ".join(said(none))
    assert "do not decide it" in " ".join(said(none))


def test_test_places_are_taken_for_blocks() -> None:
    # Where the sample of test places alone is too wide, no number of blocks is promised.
    class Sampled:
        population = "this map"

        def covariance(self, keys, region, among=None):  # type: ignore[no-untyped-def]
            return np.eye(len(keys)) * 0.01**2, 499.0

    one = headline(results(EFFECTS), places=Sampled())
    advice = advise(one, "Africa", costs=COSTS)
    assert advice.run is None
    assert advice.limit is not None
    assert advice.limit.half_width > 0.02
    assert "the test places alone leave" in " ".join(said(advice))
    # A task that can have more of them is told how many.
    grown = advise(one, "Africa", costs=replace(COSTS, growth=0.2))
    assert grown.run is not None
    assert grown.run.places > 0
    assert "more test places in each region" in " ".join(said(grown))


def test_one_block_is_ranked() -> None:
    one = headline(results(EFFECTS, blocks=1))
    with pytest.raises(WherefromError, match=r"every composition ran in one block, .* blocks: 2"):
        advise(one, "Africa")


def test_a_composition_of_one_block_leads_or_is_ranked() -> None:
    one = headline(results(EFFECTS | {"late": 0.5}, lacks={"late": 1}))
    advice = advise(one, "Africa")
    assert groups(advice)["late"] == UNRANKED
    assert advice.leader in ("uniform", "stratified")
    assert "Not ranked, for want of two blocks" in " ".join(said(advice))


def test_two_blocks_leave_intervals_without_end() -> None:
    # One degree of freedom: quantiles of 1e3 to 1e5, of which a family once made 1e17.
    with np.errstate(over="raise"):
        one = headline(results(EFFECTS, blocks=2))
    for row in (row for row in one.rows if row.kind == "composition" and row.label != "uniform"):
        found = one.difference(row.label, "uniform")
        assert found is not None
        assert found.high is not None
        assert 0.01 < found.high - found.difference < 10


def test_equals_of_a_single_region_are_told_apart_by_their_order() -> None:
    # The leader is chosen by its mean: the family of one region must have room for that.
    table = results(EFFECTS)
    one = headline(table.filter(pyarrow.compute.equal(table["region"], "Africa")))
    comparison = one.evidence.comparisons[one.view]
    every = comparison.with_every_pair()
    assert every.compared > comparison.compared
    rows = {row.row: row for row in advise(one, "Africa").rows}
    for ranked in every.ranking("Africa"):
        assert rows[ranked.key.composition or ranked.key.model].low == ranked.row.low


def test_missing_blocks_are_not_said() -> None:
    advice = advise(headline(results(EFFECTS, lacks={"cities": 3})), "Africa")
    assert "cities: compared in 3 of 6 blocks in common" in " ".join(said(advice))


def test_an_unknown_region_is_ranked(tied: Headline) -> None:
    with pytest.raises(WherefromError, match="unknown region of task task 'Afrika': did you mean"):
        advise(tied, "Afrika")


def test_lower_is_better_where_it_is() -> None:
    table = results({name: -effect for name, effect in EFFECTS.items()}, baseline=0.2)
    table = table.set_column(8, "metric", [["rmse"] * len(table)])
    advice = advise(headline(table), "Africa")
    assert groups(advice)["none"] == LOWER
    assert advice.leader in ("uniform", "stratified")
    assert [row.score for row in advice.rows] == sorted(row.score for row in advice.rows)


def test_the_file_says_less_than_the_screen(tied: Headline, tmp_path: Path) -> None:
    advice = advise(tied, "Africa", costs=COSTS)
    read = pyarrow.csv.read_csv(write_advice(advice, tmp_path / "a.csv")).to_pydict()
    assert read["row"] == [row.row for row in advice.rows]
    assert read["group"] == [row.group for row in advice.rows]
    assert set(read["region"]) == {"Africa"}


# A user's places


RNG = np.random.default_rng(5)
T = 400
LABEL = RNG.integers(0, 3, T)
CONTINENT = (np.arange(T) >= 150).astype(np.int16)
TASK = made_task(
    RNG.uniform(0, 40, T), RNG.uniform(-20, 20, T), LABEL, CONTINENT, regions=("Africa", "Asia")
)
TOLD = {
    ("m", name, run): tells(LABEL, rate, 4, RNG)
    for name, rate in (("uniform", 0.8), ("none", 0.5), ("", 0.4))
    for run in range(1 if name == "" else 3)
}
CUT = Cut(REGION, TASK.regions, CONTINENT.astype(np.int32))


def test_ones_own_places_are_scored_otherwise_than_by_recut(tmp_path: Path) -> None:
    kept = save(tmp_path, TASK, TOLD)
    target = Target("mine.csv", {"Africa": 0.9, "Asia": 0.1}, "the places of mine.csv")
    made = aimed(kept, 20, "f1_macro", CUT, target)
    one = headline(made.results, references=["uniform", "none"], places=made)
    rows, _ = weighted(kept, 20, "f1_macro", CUT, target)
    for row in (row for row in rows if row.label == "mine.csv"):
        own = next(each for each in one.rows if each.key.composition == row.composition)
        mean = one.mean(own.key, made.region)
        assert mean is not None
        assert mean.mean == pytest.approx(row.score, abs=1e-12)
        # The same variance of the test places stands in both.
        sample = made.covariance([own.key], made.region)
        assert sample is not None
        assert row.error_places == pytest.approx(np.sqrt(sample[0][0, 0]), rel=1e-12)
    advice = advise(one, made.region)
    assert groups(advice)["uniform"] == BEST
    assert "weighted by region as the places of mine.csv lie" in said(advice)[0]


def test_places_are_counted_where_they_do_not_lie() -> None:
    at = [(20.0, 0.0)] * 3 + [(100.0, 50.0), (-30.0, 0.0)]
    target, left_out = shares_of(*np.array(at).T, "mine.csv", CUT, "continent")
    assert target.shares == {"Africa": 0.75, "Asia": 0.25}
    (line,) = left_out
    assert line.startswith("1 of 5 places of mine.csv have no label that was tested (no label: 1")


def test_places_none_of_which_is_tested_are_weighted() -> None:
    with pytest.raises(WherefromError, match=r"mine.csv: none of its places lies in a tested"):
        shares_of(np.array([-60.0]), np.array([-10.0]), "mine.csv", CUT, "continent")


# The variance budget


def test_a_budget_promises_more_for_less(tied: Headline) -> None:
    context = ReportContext(
        "s", "debug", [("gfm", "task", "knn", "f1_macro")], costs={("gfm", "task", "knn"): COSTS}
    )
    rows = budget(tied, context)
    assert {row.region for row in rows} == {"Africa", "Europe", "All regions"}
    assert {row.reference for row in rows} >= {"uniform", "none"}
    for row in rows:
        assert row.one_more_block < row.half_width
        assert row.more_episodes <= row.half_width
        assert row.more_places is None  # they are given
        assert row.block_hours == 1.0
        assert row.episodes_hours == pytest.approx(0.5 * (1 + 100 / 6))
        assert row.places_hours is None
    grid = budget_grid(tied, context)
    assert grid is not None
    assert [cell.text for cell in grid.lines[-1].cells[4:]] == ["1 h", "8.83 h", "–"]
    assert all(line.cells[2].text == "0%" for line in grid.lines[:-1])
    bare = budget_grid(tied, replace(context, costs={}))
    assert bare is not None
    assert "core hours" not in [line.label for line in bare.lines]


def test_more_blocks_at_once_are_other_than_one_by_one() -> None:
    from wherefrom.evidence.intervals import Parts

    part = Parts(0.0, 1.2e-5, 10.0, 3e-6, 49.0, 2e-6, 499.0)
    twice = more(more(part, "block", 5, 50), "block", 6, 50)
    assert more(part, "block", 5, 50, added=2).block == pytest.approx(twice.block)
    assert more(part, "block", 5, 50, added=2).block_df == pytest.approx(twice.block_df)
    assert more(part, "place", 5, 50, 6, added=1000).place == pytest.approx(2e-6 * 500 / 6500)
