"""A report of two models on two tasks: both are shown, and compared as far as the data allow."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from wherefrom.errors import WherefromError
from wherefrom.evidence import BEST_BASELINE, COLUMNS, Evidence, View
from wherefrom.report import ReportContext, evidence_of, statements, terminal_table, write
from wherefrom.report.html import page, sentences
from wherefrom.report.plan import render
from wherefrom.report.published import published
from wherefrom.report.sensitivity import beside_grid, sensitivity_grid
from wherefrom.report.study import _places, sources, stand_ins
from wherefrom.report.written import write_tables
from wherefrom.study import Store, load, plan
from wherefrom.study.published import Claim
from wherefrom.study.stages import compute

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"
REGIONS = ("Africa", "Asia", "Europe")
NAMES = ("uniform", "stratified", "forest", "cities")
#: Headlines of made-up models: numbers to test the page; they are of no model.
HEADLINES = [("wide", "biomes", "knn", "f1_macro"), ("narrow", "crops", "logistic", "f1_macro")]
WIDE, NARROW = [View(m, t, 100, h, k) for m, t, h, k in HEADLINES]
CLAIM = Claim(
    source="A paper", says="wide depends on it more", test="sensitivity", models=("wide", "narrow")
)


def rows_of_model(
    model: str, task: str, head: str, spread: float, *, gain: float = 0.1, noise: float = 0.002
) -> list[tuple[object, ...]]:
    """Simulate a model whose compositions scatter by `spread` and gain `gain` on average."""
    rng = np.random.default_rng(len(model))
    effects = np.linspace(-1, 1, len(NAMES))
    effects *= spread / effects.std(ddof=1)
    means = {"none": 0.5, **dict(zip(NAMES, 0.5 + gain + effects, strict=True))}
    rows: list[tuple[object, ...]] = []

    def add(model: str, name: str, block: int, head: str, mean: float) -> None:
        for region in REGIONS:
            for seed in range(6):
                score = mean + 0.02 * np.sin(seed) + rng.normal(0, noise)
                axes = (model, name, block, task, region, 100, head, seed, "f1_macro")
                rows.append((*axes, float(score)))

    for name, mean in means.items():
        for block in range(3):
            add(model, name, block, head, mean + rng.normal(0, noise))
    add("raw-lonlat", "", -1, head, 0.55)
    return rows


def table(*parts: list[tuple[object, ...]]) -> pa.Table:
    rows = [row for part in parts for row in part]
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def context(**change: object) -> ReportContext:
    known = {"claims": [CLAIM], "headlines": HEADLINES, "official": ["published"]}
    return ReportContext("simulated", "debug", **(known | change))  # type: ignore[arg-type]


def two(wide: float = 0.04, narrow: float = 0.01, **options: float) -> Evidence:
    parts = [
        rows_of_model("wide", "biomes", "knn", wide, **options),
        rows_of_model("narrow", "crops", "logistic", narrow, **options),
        rows_of_model("published", "crops", "logistic", 0.0)[:18],
    ]
    # Published weights are one row without composition, above everything else.
    official = [
        (r[0], "", -1, *r[3:-1], float(str(r[-1])) + 0.4) for r in parts[2] if r[1] == "none"
    ]
    return evidence_of(table(*parts[:2], official), context())


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return two()


@pytest.fixture(scope="module")
def report(evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    left_out = {"task cropharvest": "CropHarvest: not on this machine"}
    return write(evidence, context(left_out=left_out), tmp_path_factory.mktemp("report"))


def said(evidence: Evidence, title: str, **change: object) -> list[str]:
    parts = dict(sentences(evidence, context(**change)))
    return [statement.text for statement in parts.get(title, [])]


def claim(evidence: Evidence) -> str:
    return said(evidence, "Published claims")[0]


class Tags(HTMLParser):
    """Checks that every element is closed where it must be, and collects ids."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"


def test_the_page_is_well_formed_and_its_ids_are_unique(report: Path) -> None:
    tags = Tags()
    tags.feed(report.read_text())
    assert tags.open == []
    assert len(set(tags.ids)) == len(tags.ids)


def test_every_headline_has_its_table_figures_and_words_without_scripts(report: Path) -> None:
    html = report.read_text()
    shown = [v for v in re.findall(r'<div class="view" ([^>]*)>', html) if "hidden" not in v]
    assert ['data-model="wide"' in shown[0], 'data-model="narrow"' in shown[1]] == [True, True]
    for name in ("wide", "narrow"):
        for kind in ("by_region", "differences", "heatmap"):
            assert f'<figure id="{kind}_{name}">' in html
    assert "wide on biomes" in html
    assert "narrow on crops" in html
    assert '<figure id="sensitivity">' in html


@pytest.mark.slow
def test_every_view_is_in_one_part_of_the_page_alone() -> None:
    rows = table(
        rows_of_model("wide", "biomes", "knn", 0.04),
        rows_of_model("other", "biomes", "forest", 0.04),
        rows_of_model("narrow", "biomes", "mlp", 0.01),
        rows_of_model("narrow", "crops", "logistic", 0.01),
    )
    headlines = [HEADLINES[0], ("narrow", "biomes", "mlp", "f1_macro")]
    known = context(headlines=headlines)
    html = page(evidence_of(rows, known), known, [])
    views = re.findall(r'<div class="view" data-model="(\w+)" data-task="(\w+)"', html)
    assert sorted(views) == [
        ("narrow", "biomes"), ("narrow", "crops"), ("other", "biomes"), ("wide", "biomes")
    ]  # fmt: skip


def test_what_was_left_out_is_said_on_the_page_and_in_the_terminal(
    report: Path, evidence: Evidence
) -> None:
    words = "Left out: task cropharvest. CropHarvest: not on this machine"
    assert words in report.read_text()
    console = Console(width=120, file=io.StringIO(), record=True)
    left_out = {"task cropharvest": "CropHarvest: not on this machine"}
    console.print(terminal_table(evidence, context(left_out=left_out)))
    text = console.export_text()
    assert words in text
    assert "wide on biomes" in text
    assert "narrow on crops" in text
    assert len(text.splitlines()) <= 50


def test_three_models_are_not_set_side_by_side(tmp_path: Path) -> None:
    parts = [
        rows_of_model("wide", "biomes", "knn", 0.04),
        rows_of_model("narrow", "crops", "logistic", 0.01),
        rows_of_model("turned", "biomes", "logistic", -0.03),
    ]
    known = context(headlines=[*HEADLINES, ("turned", "biomes", "logistic", "f1_macro")])
    evidence = evidence_of(table(*parts), known)
    headlines = known.shown(evidence)
    assert beside_grid(headlines[:1]) is None
    grid = beside_grid(headlines)
    assert grid is not None
    lines = {line.label: [cell.text for cell in line.cells] for line in grid.lines}
    assert list(lines) == ["wide on biomes", "narrow on crops", "turned on biomes"]
    assert grid.columns[-1] == "rank correlation with wide"
    assert [cells[-1] for cells in lines.values()] == ["–", "1.00", "−1.00"]
    assert lines["wide on biomes"][2:4] == ["uniform", "cities"]
    assert lines["turned on biomes"][2:4] == ["cities", "uniform"]
    told = dict(sentences(evidence, known))["Sensitivity to the composition"]
    texts = [one.text for one in told]
    assert any("wide and narrow order 4 compositions alike" in text for text in texts)
    assert any("wide and turned do not order 4 compositions alike" in text for text in texts)
    # The pair of the claim is compared there.
    assert sum("is more sensitive to the composition than" in text for text in texts) == 2
    assert "rank correlation with wide" in page(evidence, known, [])
    write_tables(evidence, known, tmp_path, [])
    assert (tmp_path / "sensitivity.tex").is_file()
    with (tmp_path / "sensitivity_differences.csv").open() as stream:
        pairs = {(row["model"], row["other_model"]) for row in csv.DictReader(stream)}
    assert {("wide", "narrow"), ("wide", "turned"), ("narrow", "turned")} <= pairs
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal_table(evidence, known))
    assert "models side by side" in console.export_text()


def test_a_planted_difference_of_sensitivity_is_said_to_hold(evidence: Evidence) -> None:
    text = claim(evidence)
    assert text.startswith("A paper states that wide is more sensitive")
    assert "Here this holds in points of macro F1" in text
    assert "gain over zero pre-training it holds" in text
    assert "no common scale" in text


@pytest.mark.slow
def test_the_reverse_is_said_not_to_hold_and_noise_to_leave_it_undecided() -> None:
    assert "Here this does not hold in points" in claim(two(0.01, 0.04))
    assert "Here this is undecided in points" in claim(two(0.03, 0.02, noise=0.03))


def test_a_gain_that_is_not_above_zero_is_not_set_against_the_spread() -> None:
    found = two(gain=-0.02)
    assert "it is undecided: the gain of wide and of narrow is not shown" in claim(found)
    grid = sensitivity_grid(found.headlines[WIDE])
    assert grid is not None
    assert {cell.text for cell in grid.lines[-1].cells} == {"–"}


def test_a_model_of_single_blocks_is_named_and_compared_by_no_number() -> None:
    lone = [row for row in rows_of_model("narrow", "crops", "logistic", 0.01) if row[2] in (-1, 0)]
    found = evidence_of(table(rows_of_model("wide", "biomes", "knn", 0.04), lone), context())
    text = claim(found)
    assert "Here this is undecided in points of macro F1: narrow has no spread (fewer than" in text
    assert "it is undecided: one has no spread." in text


def test_without_a_published_claim_the_first_two_models_are_compared(evidence: Evidence) -> None:
    title = "Sensitivity to the composition"
    assert len(said(evidence, title)) == 2
    wide, narrow, compared, by_region = said(evidence, title, claims=[])
    assert wide.startswith("Sensitivity of wide on biomes")
    assert narrow.startswith("Sensitivity of narrow on crops")
    assert compared.startswith(
        "The statement that wide is more sensitive to the composition than narrow holds"
    )
    assert "holds in Africa, Asia, Europe (not corrected" in by_region
    assert len(said(evidence, title, claims=[], headlines=HEADLINES[:1])) == 1


def test_a_claim_about_a_model_without_headline_goes_unsaid(evidence: Evidence) -> None:
    texts = said(evidence, "Published claims", headlines=HEADLINES[:1])
    assert texts == [
        "A paper: wide depends on it more. Not evaluated: no two headlines of wide and narrow with "
        "a spread."
    ]


def test_regions_are_named_by_what_they_show(evidence: Evidence) -> None:
    assert "holds in Africa, Asia, Europe (not corrected" in said(evidence, "Published claims")[1]


def test_the_tables_have_every_number_of_the_comparison(report: Path, evidence: Evidence) -> None:
    folder = report.parent / "tables"
    known = json.loads((folder / "report.json").read_text())
    assert known["sensitivity"] == [row._asdict() for row in evidence.sensitivity]
    assert known["deviations"] == [row._asdict() for row in evidence.deviations]
    rows = list(csv.DictReader(io.StringIO((folder / "sensitivity_differences.csv").read_text())))
    # The heads differ, so only the headlines are compared.
    assert [(r["model"], r["head"], r["other_head"]) for r in rows] == [
        ("wide", "knn", "logistic")
    ] * 4
    assert list(known["statements"]) == [
        "The answer", "wide on biomes", "narrow on crops", "Sensitivity to the composition",
        "Published claims", "Left out or not evaluated",
    ]  # fmt: skip
    assert (folder / "sensitivity_crops_narrow_logistic_f1_macro.tex").is_file()


def test_published_weights_are_neither_composition_nor_trivial_baseline(
    evidence: Evidence,
) -> None:
    narrow = evidence.headlines[NARROW]
    kinds = {row.key.model: row.kind for row in narrow.rows}
    assert (kinds["published"], kinds["raw-lonlat"]) == ("official", "baseline")
    row = narrow.difference("uniform", BEST_BASELINE)
    assert row is not None
    assert row.reference_row == "raw-lonlat"
    texts = [s.text for s in statements(narrow)]
    assert "the row of published weights, published has the highest" in texts[1]
    assert any("a landmark, not a composition" in text for text in texts)
    assert not any("trivial baseline published" in text for text in texts)


@pytest.mark.slow
def test_a_published_cell_of_another_task_is_marked_as_that(tmp_path: Path) -> None:
    file = tmp_path / "expected.csv"
    file.write_text(
        "table,row,column,metric,value,std,source\n"
        "CropHarvest,best composition,not stated,f1,0.71,0.02,text\n"
        "CropHarvest,zero pre-training,not stated,f1,0.68,,text\n"
        "Biomes,best composition,Nowhere,f1,0.68,,text\n"
    )
    known = context(
        expected=file,
        rows={"zero pre-training": ["none"]},
        tables={"CropHarvest": "cropharvest", "Biomes": "biomes"},
        nearest={"CropHarvest": "crops"},
    )
    best, zero, nowhere = (cell.ours for cell in published(two(), known))
    assert best.startswith(
        "another task, crops; column not stated, here All regions; narrow: cities"
    )
    assert zero.startswith(
        "another task, crops; column not stated, here All regions; narrow: none 0.5"
    )
    assert nowhere == "region not run: no counterpart"
    # Where the task itself was run, beside the headline's, it is what counts.
    both = table(
        rows_of_model("wide", "biomes", "knn", 0.04),
        rows_of_model("narrow", "crops", "logistic", 0.01),
        rows_of_model("narrow", "cropharvest", "logistic", 0.01),
    )
    best = published(evidence_of(both, known), known)[0].ours
    assert best.startswith("column not stated, here All regions; narrow: cities")


def test_the_study_names_the_stand_ins_of_both_models() -> None:
    steps = plan(load(STUDY, "laptop"))
    text = " | ".join(f"{row.what} -> {row.stands_for}" for row in stand_ins(steps))
    for words in (
        "Blue Marble",
        "ERA5 climatology 2000 to 2025 (0.25 degrees), altitude and slope at 9 km",
        "in pre-training alone, MODIS land cover as Dynamic World classes",
        "-> series of Sentinel-1 and Sentinel-2 (10 m)",
        "MODIS land cover (IGBP classes 12 and 14, 0.05 degrees) -> crop or not by CropHarvest",
        "samples seen (presto) -> 130,000,000 samples seen",
        "samples seen (satclip-L40) -> 45,000,000 samples seen",
        "forest of MODIS, IGBP classes 1 to 5 (2019) -> natural forest",
        "GeoNames cities with at least 15,000 inhabitants -> world cities",
        "compositions of 10,000 places -> 100,000 (satclip), 6,500,000 (presto)",
    ):
        assert words in text
    titles = " | ".join(source.title for source in sources(steps))
    for words in ("ERA5", "MODIS", "Altitude", "Blue Marble"):
        assert words in titles


def test_a_list_of_another_size_is_compared_as_if_the_places_alone_differed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("id,multiplicity\n" + "\n".join(f"{row},2" for row in range(200)))
    debug = load(STUDY, "debug")
    capped = "only:layer=continent,label=Oceania,short=cap"
    study = debug.model_copy(
        update={
            "pool": debug.pool.model_copy(update={"places": 3000}),
            "compositions": {"uniform": "uniform", "few": capped, "mine": f"ids:file={file}"},
            "composition_size": 300,
        }
    )
    said = r"'mine' .* lists 400 places, and the others have 300: say composition_size: 400"
    with pytest.raises(WherefromError, match=said):
        plan(study)
    steps, store = plan(study.model_copy(update={"composition_size": 400})), Store(tmp_path / "s")
    console = Console(file=io.StringIO(), width=200)
    console.print(render(steps, store))
    assert "as many places as it takes" not in console.file.getvalue()
    for stage in (*steps.of_kind("pool"), *steps.of_kind("draw")):
        compute(stage, store, lambda _: None)
    there = _places(steps, store)  # of what a policy made smaller
    assert there.pop("few") != "400"
    assert there == {"uniform": "400", "mine": "400"}
    only = steps.study.model_copy(update={"compositions": {"uniform": "uniform"}})
    assert _places(plan(only), store) == {}


def test_a_scale_with_the_papers_own_data_has_stand_ins_of_the_others() -> None:
    known = [row.stands_for for row in stand_ins(plan(load(STUDY, "paper")))]
    assert not any("Sentinel" in text for text in known)
    assert "natural forest" in known
