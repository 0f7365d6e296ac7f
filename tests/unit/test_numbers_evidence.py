"""Scores of which lower is better: ranked, judged and told of by what their metric declares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wherefrom.errors import WherefromError
from wherefrom.evidence import (
    BEST_BASELINE,
    BETTER,
    COLUMNS,
    UNDECIDED,
    WORSE,
    Evidence,
    Headline,
    Units,
    gather,
)
from wherefrom.report import ReportContext, evidence_of
from wherefrom.report.figures import figures
from wherefrom.report.html import page, sentences
from wherefrom.report.tables import difference_grid, score_grid
from wherefrom.study.published import Claim

MEANS = {"uniform": 0.60, "twin": 0.601, "cities": 0.50, "none": 0.40}
BESIDE = {"raw-lonlat": ("ridge", 0.45), "mean": ("mean", 0.20)}
SIZES = {"uniform": 1.0, "twin": 2.0, "cities": 3.0}


def results(metric: str) -> pa.Table:
    """Make scores of a model up, shares of the best, to test the evidence.

    Blocks move each composition by -0.001, 0 and 0.001, in another order: no verdict is near its
    edge, and what is tested holds with any seed of the episodes.
    """
    rng = np.random.default_rng(7)
    rows: list[Any] = []
    for region in ("Africa", "Asia"):
        episodes = 0.02 * rng.normal(size=24)
        episodes -= episodes.mean()
        for at, (name, mean) in enumerate(MEANS.items()):
            for block in range(3):
                moved = 0.001 * ((block + at) % 3 - 1)
                scores = mean + episodes + moved + 0.0002 * rng.random(24)
                axes = ("m", name, block, "warm", region, 100, "ridge")
                rows += [(*axes, seed, metric, value) for seed, value in enumerate(scores)]
        for name, (head, mean) in BESIDE.items():
            axes = (name, "", -1, "warm", region, 100, head)
            scores = mean + episodes
            rows += [(*axes, seed, metric, value) for seed, value in enumerate(scores)]
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def turned(table: pa.Table, scale: float = 1.0) -> pa.Table:
    """Make errors of shares: what was best is lowest."""
    value = pc.multiply(pc.subtract(1.0, table["value"]), scale)
    at, metric = table.column_names.index("value"), table.column_names.index("metric")
    table = table.set_column(at, "value", value)
    return table.set_column(metric, "metric", pa.array(["rmse"] * len(table)))


def of(table: pa.Table, **known: Any) -> Headline:
    (headline,) = gather(table, **known).headlines.values()
    return headline


@pytest.fixture(scope="module")
def both() -> tuple[Evidence, Evidence]:
    share, units = results("r2"), {"warm": Units("degC", 0.01)}
    pairs = [("uniform", "twin")]
    return gather(share, pairs=pairs), gather(turned(share), pairs=pairs, units=units)


def test_a_low_error_is_worse(both: tuple[Evidence, Evidence]) -> None:
    upward, downward = both
    assert len(upward.differences) == len(downward.differences) > 20
    for a, b in zip(upward.differences, downward.differences, strict=True):
        assert (a.key[:5], a.region, a.reference) == (b.key[:5], b.region, b.reference)
        assert a.reference_row == b.reference_row  # the best baseline is the same one
        assert b.difference == pytest.approx(-a.difference)
        assert a.verdict == b.verdict
        assert b.p_adjusted == pytest.approx(a.p_adjusted, abs=0.02)
    beside = [row for row in downward.differences if row.reference == "none"]
    assert {row.verdict for row in beside if row.composition == "uniform"} == {BETTER}


def test_the_highest_error_leads(both: tuple[Evidence, Evidence]) -> None:
    for a, b in zip(both[0].leaders, both[1].leaders, strict=True):
        assert (a.best, a.runner_up, a.decided) == (b.best, b.runner_up, b.decided)
        assert b.ahead == pytest.approx(-a.ahead)


def test_a_fall_of_the_error_is_no_gain(both: tuple[Evidence, Evidence]) -> None:
    for a, b in zip(both[0].sensitivity, both[1].sensitivity, strict=True):
        assert b.gain == pytest.approx(a.gain)
        assert (b.lowest, b.highest) == (a.highest, a.lowest)
        assert b.share == pytest.approx(a.share, rel=1e-6)
        assert b.spread == pytest.approx(a.spread, rel=1e-6)


def test_errors_in_units_are_equivalent_within_points() -> None:
    table = turned(results("r2"), 20.0)  # the twins are 0.02 degrees apart, in some 8
    assert of(table).difference("twin", "uniform").verdict == UNDECIDED
    assert of(table, margin=5.0).difference("twin", "uniform").verdict == UNDECIDED
    wide = of(table, units={"warm": Units("degC", 1.0)})
    assert wide.difference("twin", "uniform").verdict == "equivalent within 1"
    assert (wide.margin, wide.units) == (1.0, "degC")
    assert of(table, units={"warm": Units("degC")}).margin == 0
    # The margin of a unit is not that of a share on the same task.
    share = of(results("r2"), units={"warm": Units("degC", 0.5)})
    assert (share.margin, share.units) == (0.01, "")
    assert share.difference("cities", "uniform").verdict == WORSE


def context(metric: str, **change: Any) -> ReportContext:
    claims = [
        Claim(source="S", says="uniform beats cities", test="better",
              compositions=("uniform",), than=("cities",)),
        Claim(source="S", says="more is worse", test="rank", values=SIZES),
    ]  # fmt: skip
    about = {"units": {"warm": Units("degC", 0.1)}, "blind": ["mean"], "claims": claims} | change
    return ReportContext("made", "debug", [("m", "warm", "ridge", metric)], **about)


def test_sentences_praise_the_highest_error() -> None:
    of_errors = context("rmse")
    said = {
        title: " ".join(one.text for one in made)
        for title, made in sentences(evidence_of(turned(results("r2")), of_errors), of_errors)
    }
    words = said["m on warm"]
    assert "the composition twin has the lowest RMSE (degC) (0.399;" in words
    assert "the next, uniform, is 0.00" in words
    assert "the best trivial baseline is raw-lonlat" in words
    assert "the lowest pre-trained mean is 0.399" in words
    assert "highest" not in words
    assert "gain over zero pre-training is +0.1" in said["Sensitivity to the composition"]
    claims = said["Published claims"]
    assert "uniform beats cities. m on warm: this holds" in claims
    shares = context("r2")
    upward = dict(sentences(evidence_of(results("r2"), shares), shares))
    for one, other in zip(upward["Published claims"], claims.split(" S: "), strict=False):
        assert ("this holds" in one.text) == ("this holds" in other)


def test_two_metrics_that_agree_are_told_to_contradict_each_other() -> None:
    both, known = pa.concat_tables([results("r2"), turned(results("r2"))]), context("rmse")
    said = dict(sentences(evidence_of(both, known), known))["m on warm"]
    (text,) = [one.text for one in said if "is the same with other models" in one.text]
    assert "none (worse) in 1 of 1" in text
    assert "contradicted" not in text


def test_a_page_of_errors_hides_units_direction_or_margin() -> None:
    known = context("rmse")
    evidence = evidence_of(turned(results("r2")), known)
    html = page(evidence, known, [])
    assert "equivalent within 0.1 degC" in html
    assert "within ±0.01 (RMSE on warm: 0.1 degC)" in html
    assert "the one with the best mean" in html
    (headline,) = evidence.headlines.values()
    assert score_grid(headline).caption.startswith("RMSE (degC), lower is better, m on warm")
    grid = difference_grid(headline, BEST_BASELINE)
    assert grid is not None
    assert "lower is better" in grid.caption
    without = replace(known, units={"warm": Units("degC")})
    html = page(evidence_of(turned(results("r2")), without), without, [])
    assert "none equivalent, for no margin is stated in these units" in html
    assert "within ±0.01 (RMSE on warm: none)" in html


def test_figures_of_errors_point_the_other_way() -> None:
    drawn = {}
    for metric, table in (("r2", results("r2")), ("rmse", turned(results("r2")))):
        known = context(metric)
        made = {one.name: one for one in figures(evidence_of(table, known), known)}
        image = made["heatmap_m"].figure.axes[0].images[0]
        drawn[metric] = made, image.cmap(image.norm(np.asarray(image.get_array())))
    (shares, of_shares), (errors, of_errors) = drawn["r2"], drawn["rmse"]
    # The same colour for the same place in the ranking: light is better.
    assert np.abs(of_shares - of_errors)[:4].max() < 0.02
    axis = errors["differences_m"].figure.get_supxlabel()
    assert axis == "RMSE (degC) minus that of uniform, lower is better"
    assert "±0.1 degC" in errors["differences_m"].caption
    assert "lower" not in shares["differences_m"].figure.get_supxlabel()


def test_more_labels_asked_for_than_there_are_is_a_misspelt_number() -> None:
    asked = ReportContext("made", "debug", [("m", "warm", "ridge", "r2")], n=100000)
    with pytest.raises(WherefromError, match="n = 100000: warm has results of n = 100 alone"):
        asked.shown(gather(results("r2")))
