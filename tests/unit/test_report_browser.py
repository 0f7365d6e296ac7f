"""The page in a browser: nothing fails, nothing is asked for, and a narrow screen shows it all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from test_report_links import KNOWN
from test_report_page import EFFECTS, simulated

from made_browser import TEXTS, Browser, binary
from wherefrom.report import DataSource, evidence_of, write

CHROMIUM = binary()
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH"),
    pytest.mark.slow,
]
#: Boxes that are shown and wider within than without, and whether a cue stands under them.
CLIPPED = """[...document.querySelectorAll('.scroll, .paper')]
  .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 2)
  .map((one) => [one.className, getComputedStyle(one.nextElementSibling).display === 'block'
    && one.nextElementSibling.className === 'cue'])"""
LONG = "stratified-by-a-layer-of-a-very-long-name"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two models, six regions, a long name and everything that a simulation has."""
    regions = ("Africa", "Asia", "Europe", "North America", "Oceania", "South America")
    effects = {**EFFECTS, LONG: 0.01}
    rows = simulated(effects, regions=regions, metrics=("f1_macro", "accuracy"), seeds=4, blocks=4)
    other = rows.set_column(0, "model", pa.array(
        ["other" if name == "gfm" else name for name in rows["model"].to_pylist()]))  # fmt: skip
    mine = np.array([name == "other" for name in other["model"].to_pylist()])
    rows = pa.concat_tables([rows, other.filter(pa.array(mine))])
    known = replace(
        KNOWN,
        headlines=[(model, "task", "knn", "f1_macro") for model in ("gfm", "other")],
        compositions=effects,
        settings={"pre-training": {"a setting": "word " * 40, "key": "f" * 90}},
        sources=[DataSource("A map", "https://example.org/" + "long/" * 30, "MIT", "x" * 200)],
        command="wherefrom study run studies/with-a-long-path/and-more/of-it --scale laptop",
    )
    return write(evidence_of(rows, known), known, tmp_path_factory.mktemp("page"))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path) as one:
        yield one


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fails_overflows_or_cannot_be_read(
    report: Path, browser: Browser, width: int, dark: bool
) -> None:
    browser.open(report, width=width, dark=dark)
    assert browser.value("document.scrollingElement.scrollWidth") <= width
    # The answer, its figure and how that is read stand on the first screen, and the rest is folded.
    bottom = "document.querySelector('.overview figcaption').getBoundingClientRect().bottom"
    assert browser.value(bottom) <= 844
    clipped = browser.value(CLIPPED)
    assert [one for one in clipped if not one[1]] == []
    if width == 390:
        assert clipped
    else:
        assert browser.value("document.scrollingElement.scrollHeight") <= 8000
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.value("document.scrollingElement.scrollWidth") <= width
    # Rows of the figure have one axis.
    ends = browser.value(
        "[...document.querySelectorAll('.forest')].map((one) =>"
        " [...one.querySelectorAll('.strip > svg')].map((svg) => svg.getBoundingClientRect())"
        ".map((box) => `${box.left} ${box.right}`))"
    )
    assert [len(set(rows)) for rows in ends] == [1, 1]
    texts = browser.value(TEXTS)
    assert len(texts) > 300
    assert [one for one in texts if one[1] < 11] == []
    assert [one for one in texts if one[2] < 4.5] == []
    assert browser.faults == []
    assert browser.requests == []


@pytest.mark.parametrize("scripts", [True, False])
def test_a_link_leads_to_what_is_hidden(report: Path, browser: Browser, scripts: bool) -> None:
    html = report.read_text("utf-8")
    at = html.index('hidden="until-found"')
    name = html[html.index('<td id="', at) :].split('"')[1]
    browser.open(report, width=1400, scripts=scripts, anchor=f"#{name}")
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector=f"#{name}")["nodeId"]
    box = browser.call("DOM.getBoxModel", nodeId=node)["model"]
    assert box["height"] > 10
    assert 0 <= box["content"][1] < 844
    if scripts:
        chosen = browser.value(
            f"document.getElementById('{name}').closest('.part').querySelector('select').value"
        )
        assert chosen == "accuracy"
        assert browser.faults == []


def test_paper_cuts_a_table_or_keeps_one_folded(report: Path, browser: Browser) -> None:
    browser.open(report, width=1030, media="print", scripts=False)
    assert browser.value("document.scrollingElement.scrollWidth") <= 1030
    wide = browser.value(
        "[...document.querySelectorAll('table')].filter((one) => one.checkVisibility()"
        " && one.getBoundingClientRect().right > 1030.5).length"
    )
    assert wide == 0
    folded = browser.value(
        "[...document.querySelectorAll('.view:not([hidden]) details table')]"
        ".filter((one) => !one.getBoundingClientRect().height).length"
    )
    assert folded == 0
