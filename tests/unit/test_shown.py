"""What is shown is text: no label, whatever it holds, steers the medium that shows it."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import unicodedata
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress

from wherefrom import shown
from wherefrom.errors import WherefromError
from wherefrom.evidence import COLUMNS
from wherefrom.progress import Screen, _Left
from wherefrom.report import ReportContext, evidence_of, terminal_table, write
from wherefrom.report.html import page
from wherefrom.report.tables import latex, score_grid
from wherefrom.study import Store, worker
from wherefrom.study.board import Board, read_note
from wherefrom.study.run import _raise
from wherefrom.study.worker import Told

RLO = chr(0x202E)
ODD = (
    r"$\input{x}$", "<$10%", "$$", "\x1b[31mred\x1b[0m", f"a{RLO}b", "=1+1", "@SUM(A1)",
    r"x_y^2~\#&%{}", "[b]", "[/b]", "new\nline", "tab\t", "\x9b31m",
    "森林 🌲", "long " * 60, "'", "</td>", "../up",
)  # fmt: skip
#: Labels as tables may hold them: any text that UTF-8 can write.
LABELS = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.text("$\\{}[]^_~%&#<>='@-+\x1b\n\u202e\u2066ax", min_size=1, max_size=12),
)


def steers(text: str) -> list[str]:
    """Return what of a text a terminal or the direction of writing would obey."""
    return [
        c
        for c in text
        if c not in "\n\t\u200c\u200d"
        and (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.category(c) == "Cf")
    ]


@given(LABELS)
def test_a_label_steers_the_terminal(label: str) -> None:
    assert not steers(shown.terminal(label))
    assert len(shown.line(label).splitlines()) <= 1
    assert not steers(shown.line(label))
    stream = io.StringIO()
    Screen(file=stream).print(label, soft_wrap=True)
    assert not steers(stream.getvalue())


@given(st.text())
def test_json_on_the_terminal_says_something_else(text: str) -> None:
    written = shown.json_text(json.dumps(text, ensure_ascii=False))
    assert json.loads(written) == text
    assert not steers(written)


def test_what_people_write_is_shown_as_escapes() -> None:
    for text in ("Côte d’Ivoire", "می‌خواهم", "العربية", "森林 🌲", "👩‍🌾", "10\xa0km", "a\u3000b"):
        assert shown.line(text) == text


@given(st.lists(LABELS, min_size=1))
def test_a_spreadsheet_computes_a_label(labels: list[str]) -> None:
    table = pa.table({"label": labels, "value": pa.array([-1.5] * len(labels))})
    stream = io.BytesIO()
    pc.write_csv(shown.cells(table), stream)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue().decode(), newline="")))
    assert {row["value"] for row in rows} == {"-1.5"}
    for row, label in zip(rows, labels, strict=True):
        assert row["label"][0] not in "=+-@\t\r\n"
        # One apostrophe less, and the label is there again.
        assert row["label"].removeprefix("'" if row["label"] != label else "") == label


@given(LABELS)
def test_a_label_is_a_command_of_latex(label: str) -> None:
    text = shown.latex(label)
    assert "\n" not in text
    left = re.sub(r"\\text[a-z]+\{\}|\\[{}$&#%_]|\$\\(?:pm|times)\$|\$-\$", "", text)
    assert not set(left) & set("\\{}$&#%_^~")


@given(LABELS, LABELS)
def test_a_name_leaves_its_folder_or_takes_anothers_file(name: str, other: str) -> None:
    file = shown.file_name(name)
    assert Path(file).name == file
    assert not file.startswith(".")
    assert (shown.file_name(other) == file) == (other == name)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(LABELS)
@pytest.mark.filterwarnings("error")
def test_a_label_is_a_formula_in_a_figure(label: str) -> None:
    with shown.figures():
        figure = Figure(figsize=(8, 6), layout="constrained")
        ax = figure.add_subplot()
        (drawn,) = ax.plot([0, 1])
        ax.set_title(shown.brief(label))
        ax.set_yticks([0, 1], [shown.brief(label)] * 2)
        ax.legend([drawn], [shown.brief(label)])
        figure.savefig(io.BytesIO(), format="png", dpi=20)


def results(*names: str) -> pa.Table:
    """Simulate scores in which the names are everything that has a name."""
    rows = []
    for i, name in enumerate(names):
        for region in names[:3]:
            for draw, seed in ((d, s) for d in range(2) for s in range(3)):
                axes = (names[-1], name, draw, names[0], region, 100, names[1], seed, "f1_macro")
                rows.append((*axes, 0.5 + i / 100 + draw / 300 + seed / 50))
    rows += [(f"raw {names[2]}", "", -1, *row[3:]) for row in rows[:6] if row[2] == 0]
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def context_of(names: list[str]) -> ReportContext:
    return ReportContext(
        names[0],
        names[1],
        [(names[-1], names[0], names[1], "f1_macro")],
        title=names[2],
        citation=names[0],
        compositions={name: name for name in names},
        references=[names[0]],
        settings={names[1]: {names[2]: names[0]}},
        left_out={names[0]: names[1]},
        problems=names,
        notice=names[2],
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LABELS, min_size=4, max_size=5, unique=True))
def test_a_name_of_a_study_steers_its_page_tables_or_terminal(names: list[str]) -> None:
    context = context_of(names)
    evidence = evidence_of(results(*names), context)
    html = page(evidence, context, [])
    assert not steers(html)
    assert html.count("<script") == 1
    (headline,) = evidence.headlines.values()
    grid = score_grid(headline)
    body = latex(grid).split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    for row in (row for row in body.splitlines() if "&" in row):
        assert len(re.findall(r"(?<!\\)&", row)) == len(grid.columns)
    stream = io.StringIO()
    Screen(file=stream, width=200).print(terminal_table(evidence, context), soft_wrap=True)
    assert not steers(stream.getvalue())


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_a_report_of_odd_names_ends_without_a_page(tmp_path: Path) -> None:
    context = context_of(list(ODD))
    file = write(evidence_of(results(*ODD), context), context, tmp_path / "out")
    assert not steers(file.read_text("utf-8"))
    assert {one.name for one in file.parent.iterdir()} == {"figures", "report.html", "tables"}
    assert {one.name for one in tmp_path.iterdir()} == {"out"}
    text = (file.parent / "tables" / "summary.csv").read_text("utf-8")
    known = {row["composition"] for row in csv.DictReader(io.StringIO(text))}
    assert known >= {"'=1+1", "'@SUM(A1)", r"$\input{x}$"}


def test_a_terminal_has_no_colours_any_more() -> None:
    stream = io.StringIO()
    screen: Console = Screen(file=stream, force_terminal=True, color_system="standard")
    screen.print("\x1b[2Jwiped", style="bold red")
    assert stream.getvalue() == "\x1b[1;31m\\x1b[2Jwiped\x1b[0m\n"


def test_one_of_several_is_said_in_the_plural() -> None:
    assert shown.count_of(1, "such row") == "1 such row"
    assert shown.count_of(1200, "geometry", "geometries") == "1,200 geometries"
    for skipped, said in ((1, "; not run without it: 1 stage"), (2, ": 2 stages"), (0, "failed")):
        with pytest.raises(WherefromError, match=f"{said}$"):
            _raise([worker.Failure("task x failed", is_defect=False)], skipped)


def test_a_worker_shows_where_in_the_code_a_warning_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage: Any = SimpleNamespace(label="task x", cost=1.0, key="k", kind="task", inputs={})
    absent: Any = SimpleNamespace(done=lambda *_: False)
    plan: Any = SimpleNamespace(key="p", study=SimpleNamespace(name="s", scale="debug"), stages=())

    def compute(*_: object) -> None:
        warnings.warn("2 of 9 rows\nare left out", stacklevel=1)

    monkeypatch.setattr(worker.stages, "compute", compute)
    with warnings.catch_warnings(), Board([stage], Store(tmp_path), plan, None) as board:
        warnings.simplefilter("always")
        for _ in range(2):  # as two workers do
            assert worker.work([stage], absent, board.hear) == []
    assert capsys.readouterr().err == "note: task x: 2 of 9 rows are left out\n"


def test_a_run_that_goes_on_begins_at_nothing_and_expects_centuries(tmp_path: Path) -> None:
    done, *todo = (
        Told("task", f"k{i}", f"task {i}", cost, 1.0, "") for i, cost in enumerate((60.0, 1e9, 1e9))
    )
    made = [SimpleNamespace(key=one.key, cost=one.cost) for one in (done, *todo)]
    plan: Any = SimpleNamespace(
        key="p", study=SimpleNamespace(name="s", scale="debug"), stages=made
    )
    stages: Any = made[1:]
    with Board(stages, Store(tmp_path), plan, None) as board:
        (row,) = board.bar.tasks
        assert (row.completed, row.total) == (60, 2e9 + 60)
        board.began -= 100
        board.hear(todo[0]._replace(share=1e-9))
        assert row.fields["left"] is None
        assert read_note(Store(tmp_path).notes("running")[board.call])["left"] is None
        board.first = time.perf_counter() - 100
        board.hear(todo[0])  # half of what this call has to do, in 100 seconds
        assert row.completed == 1e9 + 60
        assert row.fields["left"] == pytest.approx(100, abs=5)


@pytest.mark.parametrize(("completed", "said"), [(1.0, ""), (50.0, "10 s left")])
def test_a_bar_tells_what_is_left_before_anybody_knows(completed: float, said: str) -> None:
    now = [0.0]
    bar = Progress(_Left(), get_time=lambda: now[0], disable=True)
    bar.add_task("", total=100)
    (task,) = bar.tasks
    for at, share in ((0.0, 0.0), (5.0, 0.5), (10.0, 1.0)):
        now[0] = at
        bar.update(task.id, completed=completed * share)
    assert str(_Left().render(task)) == said
