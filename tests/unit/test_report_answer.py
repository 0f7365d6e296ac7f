"""The first screen: one plain sentence, true to the verdicts, and one figure of all headlines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from test_report_page import CONTEXT, HEADLINE, simulated

from wherefrom.compose import sampler
from wherefrom.report import ReportContext, StandIn, Statement, evidence_of
from wherefrom.report.answer import answer, small_print
from wherefrom.report.forest import forest, overview
from wherefrom.report.html import page
from wherefrom.report.study import _command
from wherefrom.study import Store

WORDS = {"uniform": "drawn evenly", "cities": "crowded around cities", "biome": "by biome"}
FAR = {"none": -0.2, "uniform": 0.0, "cities": -0.06, "biome": 0.0}


def said(effects: dict[str, float], words: dict[str, str] = WORDS, **how: Any) -> Statement:
    context = replace(CONTEXT, compositions=effects, in_words=words)
    made = answer(context.shown(evidence_of(simulated(effects, **how), context)), context)
    assert made is not None
    return made


def test_the_answer_says_more_or_less_than_the_verdicts() -> None:
    made = said(FAR)
    assert made.kind == "decided"
    text = made.text
    assert text.startswith(
        "It matters where the pre-training places lie: compared with places drawn evenly, places "
        "crowded around cities cost 0.05"
    )
    assert text.endswith(" in macro F1 and places by biome do as well within 0.01.")
    assert "gain 0.05" in said({**FAR, "cities": 0.06}).text
    same = said({"none": -0.2, "uniform": 0.0, "biome": 0.0})
    assert same.text == (
        "It makes no difference which of these places a model is pre-trained on: places by biome "
        "do as well as places drawn evenly, within 0.01."
    )
    lost = said({"none": -0.01, "uniform": 0.0, "biome": 0.0}, noise=0.08)
    assert lost.kind == "undecided"
    assert lost.text.startswith(
        "This study cannot tell whether it matters where the pre-training places lie (it would "
        "have found a difference of 0."
    )
    assert lost.text.endswith(" in macro F1), and pre-training itself is not shown to help.")
    hopeless = said({"none": -0.01, "uniform": 0.0, "biome": 0.0}, noise=0.3, blocks=2)
    assert "so small that it could not have found any difference), and" in hopeless.text
    assert said(FAR, blocks=1).text == "Nothing can be told from one block."
    assert said({**FAR, "none": 0.2}).text.endswith("without any pre-training does better.")


def test_models_that_differ_are_given_one_verdict() -> None:
    flat = simulated({"none": -0.2, "uniform": 0.0, "cities": 0.0}, noise=0.06)
    names = ["other" if one == "gfm" else one for one in flat["model"].to_pylist()]
    mine = pa.array([name == "other" for name in names])
    other = flat.set_column(0, "model", pa.array(names)).filter(mine)
    headlines = [HEADLINE, ("other", *HEADLINE[1:])]
    context = ReportContext("s", "debug", headlines, in_words=WORDS)
    evidence = evidence_of(pa.concat_tables([simulated(FAR), other]), context)
    shown = context.shown(evidence)
    made = answer(shown, context)
    assert made is not None
    first, second = made.text.split("; ")
    assert first.startswith("With gfm on task, it matters")
    assert second.startswith("with other on task, this study cannot tell whether it matters")
    assert made.kind == "partly"
    # Of three and more only what is better or worse is named.
    third = replace(context, headlines=[*headlines, headlines[0]])
    told = answer(third.shown(evidence), third)
    assert told is not None
    assert "it matters, too: places crowded around cities cost" in told.text
    assert told.text.count("and 1 list does as well within 0.01") == 2
    small = small_print(shown, context).text
    assert small.startswith("Over 2 regions, n = 100 labelled places; given these test places.")
    assert small.count(" would have found a difference to uniform of ") == 2
    # Both stand on one axis in the figure, and alone on their own.
    drawn = overview(shown)
    assert drawn is not None
    assert [one.title for one in drawn.panels] == ["gfm on task", "other on task"]
    assert drawn.panels[0].ticks == drawn.panels[1].ticks
    rows = dict(drawn.rows)
    assert [one is None for one in rows["biome"]] == [False, True]
    own = forest(shown[0])
    assert own is not None
    assert own.ticks != drawn.panels[0].ticks
    for one in (own, *drawn.panels):
        assert len(one.ticks) >= 3
        assert sum(tick.major for tick in one.ticks) >= 2
    assert "Grey band: differences that count as none, ±0.01." in drawn.caption
    assert "hollow: undecided" in drawn.caption


def test_intervals_of_two_blocks_squeeze_the_figure() -> None:
    context = ReportContext("s", "debug", [HEADLINE])
    effects = {"uniform": 0.0, "near": 0.02}
    (one,) = context.shown(evidence_of(simulated(effects, blocks=2, noise=0.02), context))
    drawn = forest(one)
    assert drawn is not None
    (strip,) = drawn.strips
    assert (strip.low, strip.high, strip.beyond) == (0.0, 100.0, "")
    assert abs(strip.at - drawn.zero) > 5
    assert drawn.caption.endswith("A line that ends at the edge goes on beyond it.")


def test_a_list_is_called_by_the_words_of_another() -> None:
    alike = said(FAR, {**WORDS, "biome": "crowded around cities"})
    assert "places of cities cost" in alike.text
    assert "places of biome do as well" in alike.text
    many = {"uniform": 0.0, **{f"mine-{i}": -0.1 - 0.01 * i for i in range(6)}}
    assert "places of mine-5, of mine-4, of mine-3 or of 3 other lists cost 0.09" in said(many).text


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("stratified:layer=land_cover", "in equal shares by land cover"),
        ("only:layer=continent,label=North America", "from North America alone"),
        ("balanced:over=continent+biome", "in equal shares by continent and biome"),
        ("none", ""),
    ],
)
def test_a_sampler_says_something_else(spec: str, words: str) -> None:
    assert sampler(spec).in_words == words


def test_a_report_with_stand_ins_says_that_it_reproduces() -> None:
    context = replace(CONTEXT, citation="A et al. 2025")
    evidence = evidence_of(simulated(), context)
    assert "· reproduces A et al. 2025" in page(evidence, context, [])
    html = page(evidence, replace(context, stand_ins=[StandIn("a", "b", "c")]), [])
    assert "· after A et al. 2025" in html
    assert "reproduces" not in html
    # A word is explained where it first stands, and nowhere else.
    assert html.count(">macro F1</abbr>") == html.count(">blocks</abbr>") == 1
    assert html.index(">macro F1</abbr>") < html.index('class="small"') < html.index("<nav")


def test_the_command_that_repeats_a_run_makes_another(tmp_path: Path) -> None:
    study: Any = SimpleNamespace(scale="debug", picked=("satmae", "presto"))
    out, path = tmp_path / "a run", Path("studies/purohit2025")
    words = "wherefrom study run studies/purohit2025 --scale debug --models satmae,presto --out"
    own = _command(study, Store(out / "store"), path, out)
    assert own == f"{words} '{out}'"
    shared = _command(study, Store(tmp_path / "store"), path, out)
    assert shared == f"{own} --store {tmp_path / 'store'}"
