"""Claims side by side, audit numbers and regions against regions on a page, from planted scores."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wherefrom.evidence import COLUMNS, FAILS, HOLDS, OPEN, Evidence
from wherefrom.report import ReportContext, evidence_of
from wherefrom.report.claims import ABSENT, ASIDE, DIFFERS, NOTE, claims_table, tallied
from wherefrom.report.context import Audited
from wherefrom.report.correlation import audit_grid, correlation_grid, correlation_statement
from wherefrom.report.html import page, sentences, write
from wherefrom.report.transfer import HOME, transfer_grid, transfer_statement
from wherefrom.study.published import Claim

REGIONS = ("Africa", "Asia", "Europe")
ORIGINS = {f"only-{name.lower()}": ("continent", name) for name in REGIONS}
ENTROPY = {"only-africa": 1.6, "only-asia": 2.3, "only-europe": 2.5, "uniform": 2.1, "cities": 2.2}
#: Planted: the first model's scores rise with entropy, the second's fall.
SLOPES = {"risen": 0.3, "fallen": -0.3}
FIRST, SECOND = "arXiv A", "arXiv B"
CLAIMS = (
    Claim(source=FIRST, says="Europe beats the globe", test="better",
          compositions=("only-europe",), than=("uniform",)),
    Claim(source=FIRST, says="entropy goes with scores", test="correlation", audit="entropy"),
    Claim(source=FIRST, says="entropy more than area", test="correlation", audit="entropy",
          than_audits=("area",)),
    Claim(source=SECOND, says="the globe beats Africa", test="better", models=("risen",),
          compositions=("uniform",), than=("only-africa",)),
    Claim(source=SECOND, says="forests lose", test="better", compositions=("uniform",),
          than=("forest",)),
    Claim(source=SECOND, says="a spread is a sign", test="seeds", above=0.5),
)  # fmt: skip


def results(blocks: int = 4, noise: float = 0.0005) -> pa.Table:
    rng = np.random.default_rng(5)
    rows = []
    for model, slope in SLOPES.items():
        for name, entropy in {**ENTROPY, "none": 1.0}.items():
            for block in range(blocks):
                for region in REGIONS:
                    home = 0.05 * (ORIGINS.get(name, ("", ""))[1] == region)
                    for seed in range(4):
                        value = 0.5 + slope * entropy + home + rng.normal(0, noise)
                        axes = (model, name, block, "task", region, 100, "knn", seed, "f1_macro")
                        rows.append((*axes, float(value)))
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def context(**known: object) -> ReportContext:
    area = {name: float(i % 2) for i, name in enumerate(ENTROPY)}
    given = {
        "claims": CLAIMS,
        "compositions": {"none": "none", **dict.fromkeys(ENTROPY, "uniform")},
        "origins": ORIGINS,
        "regions_by": {"task": "continent"},
        "audits": {
            "entropy": Audited("mean entropy", {"": ENTROPY}),
            "area": Audited("area", {"": area}),
            "far": Audited("distance (km)", {"task": {"uniform": 5.0, "cities": 9.0}}),
        },
    }
    headlines = [(model, "task", "knn", "f1_macro") for model in SLOPES]
    return ReportContext("simulated", "debug", headlines, **given | known)  # type: ignore[arg-type]


def evidence(own: ReportContext, **known: int) -> Evidence:
    return evidence_of(results(**known), own)


def test_claims_of_two_papers_stand_apart_or_are_judged_otherwise() -> None:
    own = context()
    found = evidence(own)
    claims = claims_table(own.shown(found), own)
    assert claims.head == ("source", "claim", "risen on task", "fallen on task", "together")
    words = [list(row[2:]) for row in claims.rows]
    assert words[0] == [HOLDS, FAILS, DIFFERS]
    assert words[1] == [HOLDS, FAILS, DIFFERS]
    assert words[3] == [HOLDS, ASIDE, HOLDS]
    assert words[4] == [ABSENT, ABSENT, ABSENT]
    assert words[5] == [NOTE, NOTE, NOTE]
    assert [row[0] for row in claims.rows] == 3 * [FIRST] + 3 * [SECOND]
    assert tallied(claims)[1] == (
        "arXiv B, of 3 claims: 1 hold here, 1 not evaluated, 1 without a test."
    )


def test_the_table_of_claims_contradicts_the_sentences() -> None:
    own = context()
    found = evidence(own)
    headlines = own.shown(found)
    claims = claims_table(headlines, own)
    said = [one.text for one in dict(sentences(found, own))["Published claims"]]
    for source, says, *words, _ in claims.rows:
        for headline, word in zip(headlines, words, strict=True):
            if word in (HOLDS, FAILS, OPEN):
                start = f"{source}: {says}. {headline.short}: this {word}"
                assert any(text.startswith(start) for text in said)


def test_a_claim_of_correlation_holds_with_one_block() -> None:
    own = context()
    found = evidence(own, blocks=1)
    assert claims_table(own.shown(found), own).rows[1][2:] == (OPEN, OPEN, OPEN)
    statement = correlation_statement(own.shown(found)[0], own)
    assert statement is not None
    assert statement.kind == "undecided"
    assert "one block" in statement.text


def test_audit_numbers_of_too_few_compositions_are_correlated_or_unsaid() -> None:
    own = context()
    headline = own.shown(evidence(own))[0]
    statement = correlation_statement(headline, own)
    assert statement is not None
    assert "entropy +1.00 (n = 5" in statement.text
    assert "far not evaluated (2 compositions have it, 4 are needed)" in statement.text
    grid = correlation_grid(headline, own)
    assert grid is not None
    assert [line.label for line in grid.lines] == ["mean entropy", "area"]
    numbers = audit_grid([headline], own)
    assert numbers is not None
    assert numbers.columns == ["mean entropy", "area", "distance (km), task"]
    assert len(numbers.lines) == len(ENTROPY)  # none has no places


def test_controls_of_the_same_places_count_twice() -> None:
    few = ("only-africa", "only-asia", "only-europe", "uniform")
    own = context(correlated=few)
    statement = correlation_statement(own.shown(evidence(own))[0], own)
    assert statement is not None
    assert "entropy +1.00 (n = 4" in statement.text


def test_the_diagonal_is_not_marked_or_home_is_not_told() -> None:
    own = context()
    headline = own.shown(evidence(own))[0]
    grid = transfer_grid(headline, own)
    assert grid is not None
    assert grid.columns == [*REGIONS, "All regions"]
    for i, line in enumerate(grid.lines[:3]):
        assert [" (home)" in cell.text for cell in line.cells] == [j == i for j in range(4)]
    assert grid.lines[3].label == HOME
    assert grid.lines[3].cells[-1].verdict == "better"
    statement = transfer_statement(headline, own)
    assert statement is not None
    assert statement.kind == "decided"
    assert "helps, against pre-training in another: +0.050" in statement.text
    alone = context(origins={})
    assert transfer_grid(alone.shown(evidence(alone))[0], alone) is None


def test_a_page_without_any_of_it_shows_empty_parts() -> None:
    plain = context(claims=(), origins={}, audits={})
    written = page(evidence(plain), plain, [])
    for absent in ('id="claims"', 'id="audits"', "transfer.csv", "Pre-trained here"):
        assert absent not in written


@pytest.mark.slow
def test_the_page_lacks_a_part_or_its_numbers_are_in_no_file(tmp_path: Path) -> None:
    own = context(maps={})
    written = write(evidence(own), own, tmp_path).read_text()
    for there in ('id="claims"', 'id="audits"', "transfer.csv", "home.csv", "correlations.csv"):
        assert there in written
    with (tmp_path / "tables" / "home.csv").open() as file:
        whole = [row for row in csv.DictReader(file) if row["region"] == "All regions"]
    assert [row["model"] for row in whole] == list(SLOPES)
    assert all(float(row["gain"]) == pytest.approx(0.05, abs=0.003) for row in whole)
    for name in ("transfer_risen", "audit_numbers_fallen"):
        assert (tmp_path / "figures" / f"{name}.png").is_file()
