"""Links of the page: from a number to its cell, and to the one row of a file that it is in."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
import test_report_regions as regions
from test_report_page import CONTEXT, HEADLINE, SEEDS, simulated

from wherefrom.evidence import Evidence
from wherefrom.report import ReportContext, evidence_of, write
from wherefrom.report.forest import forest
from wherefrom.report.html import sentences
from wherefrom.report.rows import Rows, links, measured
from wherefrom.report.verdict import in_brief, verdict
from wherefrom.report.words import statements
from wherefrom.study.published import Claim

CLAIMS = [
    SEEDS,
    Claim(source="A paper", says="balanced beats clustered by 0.05", test="better",
          compositions=("uniform", "stratified-biome"), than=("clustered-cities",)),
]  # fmt: skip
KNOWN: ReportContext = replace(CONTEXT, claims=CLAIMS)
STYLES = Path(__file__).resolve().parents[2] / "src" / "wherefrom" / "report" / "templates"


@pytest.fixture(scope="module", params=["claims", "regions"])
def known(request: pytest.FixtureRequest) -> ReportContext:
    return KNOWN if request.param == "claims" else regions.context()


@pytest.fixture(scope="module")
def evidence(known: ReportContext) -> Evidence:
    return (
        evidence_of(simulated(ns=(100, 1000)), known) if known is KNOWN else regions.evidence(known)
    )


@pytest.fixture(scope="module")
def report(
    evidence: Evidence, known: ReportContext, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write(evidence, known, tmp_path_factory.mktemp("links"))


def found(folder: Path, rows: Rows) -> int:
    """Count the rows of a file that a filter finds."""
    with (folder / rows.path).open(encoding="utf-8", newline="") as text:
        lines = list(csv.DictReader(text))
    return sum(all(line[name] == value for name, value in rows.where) for line in lines)


def test_a_number_leads_to_no_row(evidence: Evidence, known: ReportContext, report: Path) -> None:
    linked = [one for _, made in sentences(evidence, known) for s in made for one in s.links]
    assert len({one.rows.file for one in linked}) >= 6
    for one in linked:
        assert found(report.parent, one.rows) >= 1, one.rows.hint


def test_a_cell_is_of_another_row_or_of_several(report: Path) -> None:
    html = report.read_text("utf-8")
    tables = re.findall(r'<div class="table".*?</table></div>.*?</div>', html, re.S)
    seen = Counter()
    for table in tables:
        said = re.search(r"Rows: <a[^>]*>(\w+)\.csv</a>(?: where (.*?))?</p>", table)
        common = said[2].split(", ") if said and said[2] else []
        for text in re.findall(r'<td[^>]* title="([^"]*)"', table):
            hint = re.search(r"(\w+)\.csv(?:: (.*))?$", unescape(text))
            if hint is None:  # of a sum that no file has
                continue
            own = (hint[2] or "").split(", ")
            parts = [part.split(" = ", 1) for part in common + own if part]
            where = tuple((name, value.replace("(empty)", "")) for name, value in parts)
            assert found(report.parent, Rows(hint[1], where)) == 1, text
            seen[hint[1]] += 1
    assert seen["differences"] >= 18
    assert len(seen) in (4, 6)


def test_two_places_of_the_page_have_one_name(report: Path) -> None:
    counts = Counter(re.findall(r' id="([^"]*)"', report.read_text("utf-8")))
    assert max(counts.values()) == 1


def test_a_measured_number_of_a_sentence_has_no_link(
    evidence: Evidence, known: ReportContext
) -> None:
    for title, made in sentences(evidence, known):
        for one in made:
            start = 0
            if title == "Published claims":  # the paper's own numbers have no rows here
                start = one.text.find(": this ") if ": this " in one.text else len(one.text)
            for a, b in measured(one.text, start):
                assert any(link.start <= a and b <= link.stop for link in one.links), (
                    one.text[a:b], one.text,
                )  # fmt: skip


def test_a_link_is_of_another_composition(evidence: Evidence, known: ReportContext) -> None:
    seen = 0
    for headline in known.shown(evidence):
        for one in statements(headline):
            for start, stop, rows in one.links:
                of = dict(rows.where).get("composition")
                name = re.match(r"[a-z][a-z-]+(?= \()", one.text[start:stop])
                if of and name and of != "none":
                    assert name[0] == of
                    seen += 1
    assert seen >= 3


def test_numbers_of_a_name_or_of_a_paper_are_linked() -> None:
    text = "gfm-L40, arXiv 2501.12535, within 0.01, probability 0.8, n = 100: 0.584 and 7 %"
    linked = links(text, rest=Rows("summary"))
    assert [text[one.start : one.stop] for one in linked] == ["0.584", "7 %"]


def test_the_verdict_comes_after_something_else(report: Path) -> None:
    html = report.read_text("utf-8")
    order = [html.find(mark) for mark in (
        'id="verdict"', 'class="answer', 'class="overview"', 'class="small"', "<nav", 'id="part-1"',
        'class="lead', 'class="forest"', 'id="dependence"', 'id="transfer"', 'id="audits"',
        'id="claims"', 'id="scaling"', 'id="files"', 'id="method"',
    )]  # fmt: skip
    shown = [at for at in order if at >= 0]
    assert shown == sorted(shown)
    assert len(shown) >= 10


def test_a_verdict_lacks_its_population_or_what_it_could_have_found() -> None:
    (headline,) = KNOWN.shown(evidence_of(simulated(), KNOWN))
    made = in_brief(headline)
    assert made is not None
    assert made.text.startswith(
        "Over 2 regions, compared with uniform in macro F1, zero pre-training and "
        "clustered-cities are worse, and stratified-biome is equivalent within 0.01; 6 blocks "
        "would have found a difference to uniform of 0.00"
    )
    assert made.text.endswith(" with probability 0.8, given these test places.")
    assert made.text.count(". ") == 0
    names = [made.text[one.start : one.stop] for one in made.links]
    assert {"zero pre-training", "clustered-cities", "stratified-biome"} <= set(names)


def test_one_block_is_given_a_verdict_or_an_interval() -> None:
    context = ReportContext("s", "debug", [HEADLINE])
    (headline,) = context.shown(evidence_of(simulated(blocks=1), context))
    made, drawn = in_brief(headline), forest(headline)
    assert made is not None
    assert drawn is not None
    assert "clustered-cities and stratified-biome are undecided, on one block." in made.text
    assert all(one.low is None and one.detail == "no interval" for one in drawn.strips)


def test_one_fine_tune_seed_is_called_one_block() -> None:
    context = ReportContext("s", "debug", [HEADLINE])
    (headline,) = context.shown(evidence_of(simulated(seeds=1), context))
    short, whole = in_brief(headline), verdict(headline)
    assert short is not None
    assert whole is not None
    assert "stratified-biome are undecided, on one fine-tune seed." in short.text
    assert "in macro F1: one fine-tune seed: zero pre-training (" in whole.text


def test_a_far_control_squeezes_the_figure() -> None:
    effects = {"uniform": 0.0, "near": 0.02, "none": -0.5}
    context = ReportContext("s", "debug", [HEADLINE])
    (headline,) = context.shown(evidence_of(simulated(effects), context))
    drawn = forest(headline)
    assert drawn is not None
    by = {one.label: one for one in drawn.strips}
    assert by["zero pre-training"].beyond == "left"
    assert by["zero pre-training"].text.startswith("−0.5")
    assert not by["near"].beyond
    assert by["near"].low is not None
    assert 0 <= drawn.zero < by["near"].low < by["near"].at <= 100
    assert drawn.caption.endswith("Arrow: beyond the axis.")


def test_a_colour_of_a_text_is_too_faint() -> None:
    """WCAG 2, AA: 4.5 to 1, of every pair that the style sheet makes, by day and by night."""
    css = (STYLES / "report.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)
    assert len(blocks) == 2
    for block in blocks:
        known = dict(re.findall(r"--(\w+): (#\w{6})", block))
        inks = ("ink", "soft", "good", "bad", "same", "mark")
        pairs = [(ink, back) for ink in inks for back in ("back", "card")]
        for ink, back in [*pairs, ("ink", "notice"), ("back", "mark")]:
            a, b = sorted((light(known[ink]), light(known[back])), reverse=True)
            assert (a + 0.05) / (b + 0.05) >= 4.5, (ink, back)


def light(colour: str) -> float:
    """Return the relative luminance of a colour."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
