"""Report: it says what the numbers say, and survives what results may lack."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.image import imread
from rich.console import Console

from wherefrom import earth
from wherefrom.errors import WherefromError
from wherefrom.evidence import BEST_BASELINE, COLUMNS, Evidence, Headline, View
from wherefrom.report import (
    ReportContext,
    Statement,
    evidence_of,
    statements,
    terminal_table,
    write,
)
from wherefrom.report.html import page
from wherefrom.report.published import claimed, published
from wherefrom.report.tables import difference_grid, latex, rich_table, score_grid
from wherefrom.report.words import gaps
from wherefrom.study.published import Claim

REGIONS = ("Africa", "Europe")
EFFECTS = {"none": -0.1, "uniform": 0.0, "clustered-cities": -0.06, "stratified-biome": 0.0}
HEADLINE = ("gfm", "task", "knn", "f1_macro")
VIEW = View("gfm", "task", 100, "knn", "f1_macro")
SEEDS = Claim(source="A paper", says="unsteady rows are undertrained", test="seeds", above=0.03)
CONTEXT = ReportContext(
    "simulated", "debug", [HEADLINE], notice="Simulated", compositions=EFFECTS, blind=["majority"]
)


def simulated(
    effects: dict[str, float] | None = None,
    *,
    regions: tuple[str, ...] = REGIONS,
    metrics: tuple[str, ...] = ("f1_macro",),
    ns: tuple[int, ...] = (100,),
    blocks: int = 6,
    seeds: int = 6,
    baseline: float | None = -0.03,
    noise: float = 0.002,
) -> pa.Table:
    """Simulate results: numbers made up to test the page; they are of no model."""
    rng = np.random.default_rng(1)
    rows = []
    for region in regions:
        for n in ns:
            episodes = rng.normal(0.6, 0.02, seeds)
            for metric in metrics:

                def add(model: str, name: str, block: int, head: str, shift: float,
                        axes=(region, n, metric, episodes)) -> None:  # fmt: skip
                    region, n, metric, episodes = axes
                    values = episodes + shift + rng.normal(0, noise, len(episodes))
                    for seed, value in enumerate(values):
                        row = (model, name, block, "task", region, n, head, seed, metric)
                        rows.append((*row, float(value)))

                for name, effect in (EFFECTS if effects is None else effects).items():
                    for block in range(blocks):
                        shift = effect + float(rng.normal(0, noise))
                        add("gfm", name, block, "knn", shift)
                if baseline is not None:
                    add("raw-lonlat", "", -1, "knn", baseline)
                    add("majority", "", -1, "majority", -0.4)
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of(simulated(ns=(100, 1000), metrics=("f1_macro", "accuracy")), CONTEXT)


@pytest.fixture(scope="module")
def report(evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(evidence, CONTEXT, tmp_path_factory.mktemp("report"))


def headline(evidence: Evidence) -> Headline:
    return evidence.headlines[VIEW]


def said(made: list[Statement], word: str) -> str:
    return next(statement.text for statement in made if word in statement.text)


def test_the_page_needs_no_network(report: Path) -> None:
    html = report.read_text()
    assert not re.search(r'<(script|img|iframe)[^>]+src="(?!data:image/png)', html)
    assert "<link" not in html
    assert "@import" not in html
    assert "url(" not in html
    for link in re.findall(r'href="([^"]+)"', html):
        target = link.removeprefix("#")
        known = (
            f'id="{target}"' in html if link.startswith("#") else (report.parent / link).exists()
        )
        assert known, link


def test_every_figure_is_sharp_enough_and_has_a_text(report: Path) -> None:
    html = report.read_text()
    files = sorted((report.parent / "figures").glob("*.png"))
    kinds = ("by_region", "differences", "heatmap", "scaling", "variance")
    assert {f.stem for f in files} == {"sensitivity", *(f"{kind}_gfm" for kind in kinds)}
    for file in files:
        height, width = imread(file).shape[:2]
        assert width >= 750
        assert height >= 300
        assert f'<figure id="{file.stem}">' in html
    assert all(len(alt) > 40 for alt in re.findall(r'alt="([^"]*)"', html))


def test_every_number_of_the_page_is_in_the_tables(report: Path, evidence: Evidence) -> None:
    folder = report.parent / "tables"
    known = json.loads((folder / "report.json").read_text())
    assert known["summary"] == [row._asdict() for row in evidence.summary]
    assert known["differences"] == [row._asdict() for row in evidence.differences]
    rows = list(csv.DictReader(io.StringIO((folder / "summary.csv").read_text())))
    assert [float(row["mean"]) for row in rows] == [row.mean for row in evidence.summary]
    assert rows[0]["composition"] == evidence.summary[0].composition


def test_the_headline_table_is_shown_without_scripts(report: Path) -> None:
    views = re.findall(r'<div class="view" ([^>]*)>', report.read_text())
    assert len(views) == 2
    assert 'data-metric="f1_macro"' in views[0]
    assert [("hidden" in view) for view in views] == [False, True]


def test_a_planted_effect_is_said_to_be_decided(evidence: Evidence) -> None:
    text = said(statements(headline(evidence)), "compared with uniform")
    assert "worse: zero pre-training" in text
    assert "clustered-cities" in text.split("equivalent")[0]
    assert "equivalent within 0.01: stratified-biome" in text


def test_a_sentence_is_decided_though_a_pair_in_it_is_open() -> None:
    def kind(word: str, effects: dict[str, float], noise: float = 0.002) -> str:
        made = statements(headline(evidence_of(simulated(effects, noise=noise), CONTEXT)))
        return next(statement.kind for statement in made if word in statement.text)

    far = {"uniform": 0.0, "far": 0.2, "none": -0.2}
    assert kind("compared with uniform", far) == "decided"
    assert kind("compared with uniform", {**far, "near": 0.006}, 0.01) == "partly"
    assert kind("By region", {**far, "near": 0.006}, 0.01) == "partly"
    assert kind("compared with uniform", {"uniform": 0.0, "near": 0.0}, 0.05) == "undecided"


def test_an_equivalent_pair_hides_on_which_side_it_lies() -> None:
    effects = {"uniform": 0.0, "near": 0.004, "none": -0.1}
    evidence = evidence_of(simulated(effects, noise=0.0003), CONTEXT)
    text = said(statements(headline(evidence)), "compared with uniform")
    assert re.search(r"equivalent within 0.01: near \(\+0.004 \[[^]]*\], yet higher\)", text)
    grid = difference_grid(headline(evidence), "uniform")
    assert grid is not None
    (cell,) = {line.cells[-1] for line in grid.lines if line.label == "near"}
    assert cell.detail.endswith(", yet higher")
    assert cell.verdict == "equivalent within 0.01"


def test_bold_marks_decided_cells_alone(evidence: Evidence) -> None:
    grid = score_grid(headline(evidence))
    # uniform and stratified-biome are alike: neither may be called the best.
    assert not any(cell.bold for line in grid.lines for cell in line.cells)
    clear = evidence_of(simulated({"uniform": 0.0, "clustered-cities": -0.1}), CONTEXT)
    grid = score_grid(headline(clear))
    bold = {line.label for line in grid.lines if any(cell.bold for cell in line.cells)}
    assert bold == {"uniform"}


def test_pre_training_below_a_trivial_baseline_is_said_to_be(evidence: Evidence) -> None:
    strong = evidence_of(simulated(baseline=0.05), CONTEXT)
    found = statements(headline(strong))
    assert "the trivial baseline raw-lonlat has the highest" in found[1].text
    text = said(found, "best trivial baseline is raw-lonlat")
    assert "Pre-training is not shown to beat it on: uniform" in text
    assert "beats it on" not in text
    assert "No pre-training here has a higher mean" in said(found, "whatever head")
    assert "beats it on: uniform" in said(
        statements(headline(evidence)), "best trivial baseline is"
    )


def test_a_single_block_is_called_undecided_and_named() -> None:
    found = statements(headline(evidence_of(simulated(blocks=1), CONTEXT)))
    assert "one block: " in said(found, "compared with uniform")
    assert "gfm with knn" in said(found, "Run in one block: no statement about another draw")


def test_an_untuned_baseline_is_bettered() -> None:
    context = replace(CONTEXT, untuned={("task", "raw-lonlat", "knn")})
    effects = {"uniform": 0.0, "clustered-cities": -0.1}
    evidence = evidence_of(simulated(effects), context)
    found = statements(headline(evidence), untuned=context.untuned)
    text = said(found, "best trivial baseline is raw-lonlat, whose options are not tuned")
    assert "Pre-training is above the untuned baseline on: uniform (+0.03" in text
    assert "not shown to be above it on: clustered-cities (" in text
    assert "above every other row; not tuned: raw-lonlat." in found[1].text
    grid = difference_grid(headline(evidence), BEST_BASELINE)
    assert grid is not None
    above = next(line for line in grid.lines if line.label == "uniform").cells[-1]
    assert above.bold
    assert "above the untuned baseline; against raw-lonlat" in above.hint
    for word in ("better", "beat", "yet higher"):
        assert word not in text + found[1].text + above.whole + above.hint
    # Another row's options, or another task's, are not the matter.
    other = replace(CONTEXT, untuned={("task", "majority", "majority"), ("t", "raw-lonlat", "knn")})
    known = evidence_of(simulated(effects), other)
    assert "beats it on: uniform" in said(
        statements(headline(known), untuned=other.untuned), "best trivial"
    )


def test_an_unsteady_row_is_flagged_and_baselines_too() -> None:
    def judged(noise: float) -> Statement:
        unsteady = evidence_of(simulated(noise=noise), CONTEXT)
        (made,) = claimed(SEEDS, [headline(unsteady)], CONTEXT)
        return made

    wide = judged(0.08)
    assert wide.kind == "limit"
    assert wide.text.startswith("A paper: unsteady rows are undertrained. gfm on task: a spread")
    assert "above 0.03" in wide.text
    assert "uniform 2 of 2" in wide.text
    assert "without any pre-training too" in wide.text
    assert "occurs in no row" in judged(0.002).text


def test_the_sweep_is_summed_up_only_where_it_was_run(evidence: Evidence) -> None:
    assert "from n = 100 to n = 1000" in said(statements(headline(evidence)), "range")
    alone = statements(headline(evidence_of(simulated(), CONTEXT)))
    assert not any("from n =" in statement.text for statement in alone)


def test_a_list_of_another_size_stands_beside_the_others_without_a_word(tmp_path: Path) -> None:
    sizes = {"mine": "1,000", "uniform": "480 to 500"}
    context = replace(CONTEXT, sizes=sizes, references=("uniform",))
    evidence = evidence_of(simulated({"uniform": 0.0, "mine": 0.02, "none": -0.1}), context)
    file = write(evidence, context, tmp_path)
    html = file.read_text("utf-8")
    # In the tables of scores, of differences to uniform and to the baseline, and of the budget, and
    # in their captions.
    assert html.count('row">mine (1,000 places)') == 4
    assert html.count('row">uniform (480 to 500 places)') == 2
    assert html.count("minus that of uniform (480 to 500 places)") >= 1
    assert "Not of one size (places): mine 1,000, uniform 480 to 500." in html
    for tex in (tmp_path / "tables").glob("*.tex"):
        assert "mine (1,000 places)" in tex.read_text("utf-8")
    stream = io.StringIO()
    Console(file=stream, width=120).print(terminal_table(evidence, context))
    assert "mine (1,000 places)" in stream.getvalue()
    with (tmp_path / "tables" / "differences.csv").open() as text:
        rows = list(csv.DictReader(text))
    assert {row["places"] for row in rows if row["composition"] == "mine"} == {"1,000"}
    assert {r["reference_places"] for r in rows if r["reference"] == "uniform"} == {"480 to 500"}


def test_problems_are_reported_not_dropped() -> None:
    context = ReportContext("s", "debug", [HEADLINE], problems=["Oceania: one class"])
    assert "Not evaluated: Oceania: one class" in said(gaps(context), "Oceania")


LACKING = {
    "one region": simulated(regions=("Asia",)),
    "one block and one seed": simulated(blocks=1, seeds=1),
    "no baseline": simulated(baseline=None),
    "no uniform and no none": simulated({"only-europe": 0.0, "clustered-cities": 0.1}),
    "one composition": simulated({"uniform": 0.0}),
    "no composition but none": simulated({"none": 0.0}, ns=(100, 1000)),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", LACKING)
def test_a_report_survives(what: str, tmp_path: Path) -> None:
    html = write(evidence_of(LACKING[what], CONTEXT), CONTEXT, tmp_path).read_text()
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).lower().replace("finance", "")
    assert "Simulated" in html
    assert (tmp_path / "tables" / "report.json").stat().st_size > 0


def test_a_binary_task_shows_the_positive_class(tmp_path: Path) -> None:
    metrics = ("f1_macro", "f1_positive", "accuracy")
    context = ReportContext("s", "debug", [(*HEADLINE[:3], "f1_positive")])
    html = page(evidence_of(simulated(metrics=metrics), context), context, [])
    assert "F1 of the positive class of a binary task" in html
    assert '<option value="f1_positive">positive-class F1</option>' in html


@pytest.mark.slow
def test_reporting_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['sklearn'] = None\n"
        "import wherefrom.evidence, wherefrom.report"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_names_from_a_study_file_cannot_break_the_page() -> None:
    context = ReportContext("<script>alert(1)</script>", "debug", [HEADLINE])
    html = page(evidence_of(simulated({"uniform": 0.0, "<b>x": 0.1}), context), context, [])
    assert "<script>alert" not in html
    assert "&lt;b&gt;x" in html


def test_a_headline_that_was_not_run_is_refused_by_name(evidence: Evidence) -> None:
    context = ReportContext("s", "debug", [("gfm", None, "kn", "f1_macro")])
    with pytest.raises(
        WherefromError, match="unknown head in the results 'kn': did you mean 'knn'"
    ):
        context.shown(evidence)


def test_the_terminal_never_cuts_a_number() -> None:
    regions = (*REGIONS, "Asia", "North America", "Oceania", "South America")
    names = {"uniform": 0.0, "stratified-continent": 0.1}
    evidence = evidence_of(simulated(names, regions=regions, seeds=50), CONTEXT)
    row = score_grid(headline(evidence)).lines[0]
    for width in (80, 120, 200):
        console = Console(width=width, file=io.StringIO(), record=True)
        console.print(terminal_table(evidence, CONTEXT))
        text = console.export_text()
        assert "…" not in text
        line = next(line for line in text.splitlines() if line.startswith(row.label))
        assert line.rstrip().endswith("6×50")
        for cell in row.cells[:7]:
            assert cell.text[:5] in line
        assert ("means alone" in text) == ("±." not in text) == (width < 120)
    # Of more regions than there is room for, tables stand below each other.
    many = tuple(f"Region {i} of a long name" for i in range(14))
    wide = evidence_of(simulated(names, regions=many, blocks=2, seeds=2), CONTEXT)
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(rich_table(score_grid(headline(wide))))
    lines = console.export_text().splitlines()
    found = [line.split() for line in lines if line.startswith("uniform ")]
    assert len(found) > 1
    assert sum(map(len, found)) == len(found) + 14 + 1 + 1
    assert max(map(len, lines)) <= 80


def test_latex_rows_have_as_many_cells_as_columns(evidence: Evidence) -> None:
    for grid in (
        score_grid(headline(evidence)),
        difference_grid(headline(evidence), "uniform"),
    ):
        assert grid is not None
        text = latex(grid)
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert len(rows) == len(grid.lines) + 1
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == len(grid.columns)
        assert not re.search(r"(?<!\\)[%_#]", text.split("\n", 1)[1])


def test_published_cells_stand_beside_ours_only_where_they_compare(
    evidence: Evidence, tmp_path: Path
) -> None:
    file = tmp_path / "expected.csv"
    file.write_text(
        "table,row,column,metric,value,std,source\n"
        "Task,World Cities,Africa,f1,0.57,,text\n"
        "Task,World Cities,not stated,f1,0.71,0.02,text\n"
        "Other,World Cities,Africa,f1,0.5,,text\n"
        "Task,Nobody,Africa,f1,0.5,,text\n"
    )
    context = ReportContext(
        "s", "debug", [HEADLINE], expected=file, tables={"Task": "task"},
        rows={"World Cities": ["clustered-cities"]},
    )  # fmt: skip
    first, second, third, fourth = published(evidence, context)
    mean = next(
        row.mean for row in evidence.summary
        if (row.composition, row.region, row.n, row.metric)
        == ("clustered-cities", "Africa", 100, "f1_macro")
    )  # fmt: skip
    assert first.ours.startswith(f"gfm: clustered-cities {mean:.3f}")
    assert (second.value, second.ours[:36]) == (
        "0.71 ± 0.02",
        "column not stated, here All regions;",
    )
    assert third.ours == "task not in this study"
    assert fourth.ours == "row has no counterpart"


def test_a_broken_file_of_published_cells_is_named(evidence: Evidence, tmp_path: Path) -> None:
    file = tmp_path / "expected.csv"
    context = ReportContext("s", "debug", [HEADLINE], expected=file)
    with pytest.raises(WherefromError, match=r"expected\.csv"):
        published(evidence, context)
    file.write_text("table,row\n")
    with pytest.raises(WherefromError, match="no column 'column'"):
        published(evidence, context)
    file.write_text("table,row,column,metric,value,std,source\na,b,c,f1,high,,x\n")
    with pytest.raises(WherefromError, match="line 2"):
        published(evidence, context)


@pytest.mark.slow
def test_maps_show_every_composition_with_places(tmp_path: Path) -> None:
    if not earth.available("land"):
        pytest.skip("no land polygons: wherefrom data fetch")
    places = (np.array([10.0, 179.9, -70.0]), np.array([50.0, -17.0, -10.0]))
    empty = (np.array([]), np.array([]))
    context = ReportContext("s", "debug", [HEADLINE], maps={"none": empty, "uniform": places})
    html = write(evidence_of(simulated(), context), context, tmp_path).read_text()
    assert '<figure id="maps">' in html
    assert (tmp_path / "figures" / "maps.png").is_file()
