"""Every command and every program in the prose runs; what is only checked is listed here.

Blocks of a page run in order, in one folder that holds the files that the prose speaks of. Bash
runs line by line, Python in one namespace a page; lines that begin with ``>>>`` must print what
follows them. A block of Python that begins with ``# NAME.py`` is a file of that name in the folder.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import typer.main
from running import Done, run_apart

from wherefrom.cli import app
from wherefrom.compose import sampler
from wherefrom.earth import CATEGORICAL, VALUES
from wherefrom.errors import WherefromError
from wherefrom.evidence import COLUMNS
from wherefrom.plugins import BUILT_IN
from wherefrom.pool.sample import write_sample
from wherefrom.study import load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.(?:py|yaml))\n")
#: What bash takes as it stands, and text in quotes that it does not look into.
PLAIN = re.compile(r"[\w\s.,:=/+-]*")
QUOTED = re.compile(r"""'[^']*'|"[^"$`\\]*\"""")
LINK = re.compile(r"\[[^\]]*\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


def lines_of(block: str) -> list[str]:
    """Return the commands of a bash block, lines that end in a backslash joined."""
    joined = re.sub(r"\\\n\s*", "", block)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


# What is not run, and what is checked of it instead.


def check_make(line: str) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for word in shlex.split(line)[1:]:
        assert "=" in word or word in targets, f"{line}: no target {word}"


def check_install(line: str) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extras = re.findall(r"\[([\w,]+)\]", line)
    assert extras or "venv" in line, f"{line}: installs nothing of ours"
    for extra in {extra for part in extras for extra in part.split(",")}:
        assert extra in known, f"{line}: no extra {extra}"
    for constraints in re.findall(r" -c (\S+)", line):
        assert (ROOT / constraints).is_file(), f"{line}: no file {constraints}"


def command_of(line: str) -> tuple[Any, list[str]]:
    """Return the command of a line of wherefrom, and the words that follow."""
    program, *words = shlex.split(line)
    assert Path(program).name == "wherefrom"
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"{line}: no command {words[0]}"
        command = command.commands[words.pop(0)]
    return command, words


def check_flags(line: str) -> dict[str, Any]:
    """Parse a line of wherefrom as the command line does, run nothing, and return its values."""
    command, words = command_of(line)
    try:
        params: dict[str, Any] = command.make_context(line, words).params
    except Exception as err:  # of click, or of the copy of click that typer carries
        raise AssertionError(f"{line}: {err}") from err
    return params


def check_study(line: str) -> None:
    given = check_flags(line)
    ours = (ROOT / given["study"]).exists()  # else a name, or one that the reader wrote
    load(ROOT / given["study"] if ours else given["study"], given["scale"])


#: Beginning of a line -> why it is not run here (the check says what of it is tested instead).
NOT_RUN: dict[str, tuple[str, Callable[[str], object]]] = {
    "make ": ("installs, and takes minutes; the target exists", check_make),
    "python3 -m venv ": ("installs; the extras and constraints exist", check_install),
    "uv venv ": ("installs; the extras and constraints exist", check_install),
    ".venv/bin/wherefrom study run ": ("takes minutes; study, scale and flags exist", check_study),
    "wherefrom study run ": ("takes minutes; study, scale and flags exist", check_study),
    "wherefrom study tune ": ("takes minutes; study, scale and flags exist", check_study),
    "wherefrom study report ": ("needs a finished study; the flags exist", check_study),
    "wherefrom study status ": ("needs a run; the flags exist", check_flags),
    "wherefrom results recut ": ("needs a finished study; study and flags exist", check_study),
    "wherefrom evaluate ": ("takes minutes; the flags exist", check_flags),
    "wherefrom advise ": ("needs a finished study; study and flags exist", check_study),
    "wherefrom task worldcereal ": ("needs the published file; the flags exist", check_flags),
    "wherefrom task cropharvest ": ("needs the published files; the flags exist", check_flags),
    "wherefrom selfcheck": ("takes a minute; the flags exist", check_flags),
    "wherefrom data fetch": ("needs a network; the flags exist", check_flags),
}


def run_line(line: str, folder: Path) -> None:
    """Run a line of bash; without need of a shell, from a process that saves imports."""
    for start, (_, check) in NOT_RUN.items():
        if line.startswith(start):
            check(line)
            return
    program, *words = shlex.split(line)
    done: subprocess.CompletedProcess[str] | Done
    if program == "wherefrom" and PLAIN.fullmatch(QUOTED.sub("", line)):
        done = run_apart(words, folder, dict(os.environ))
    else:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def run_python(block: str, space: dict[str, Any], where: str) -> None:
    if not block.lstrip().startswith(">>>"):
        exec(compile(block, where, "exec", dont_inherit=True), space)
        return
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    test = doctest.DocTestParser().get_doctest(block, space, where, where, 0)
    runner.run(test, out=said.append, clear_globs=False)
    space.update(test.globs)
    assert runner.failures == 0, "".join(said)


# The files that the prose speaks of.


def results() -> pa.Table:
    """Make a table as a study writes it, with made-up scores."""
    rng = np.random.default_rng(0)
    rows = []
    for composition, mean in {"uniform": 0.60, "clustered-cities": 0.50, "none": 0.40}.items():
        for block in range(6):
            run = mean + 0.004 * rng.standard_normal()
            for region in ("Africa", "Asia"):
                for episode in range(5):
                    axes = ("satclip-L40", composition, block, "ecoregions-biome", region)
                    score = run + 0.01 * rng.standard_normal()
                    rows += [
                        (*axes, 100, "logistic", episode, metric, score)
                        for metric in ("f1_macro", "f1_weighted")
                    ]
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of what ``wherefrom data fetch sample`` writes."""
    made = tmp_path_factory.mktemp("sample")
    write_sample(made)
    return made


@pytest.fixture
def folder(tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    geopandas = pytest.importorskip("geopandas", reason="the pages read a GeoParquet file")
    torch = pytest.importorskip("torch", reason="the pages train")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # such small steps gain nothing from more, and lose beside other work
    shutil.copytree(sample, tmp_path, dirs_exist_ok=True)
    frame = geopandas.read_parquet(tmp_path / "tiles.geoparquet")
    few = [
        shapely.box(x, y, x + 0.02, y + 0.02)
        for x, y in zip(frame.geometry.x[:400], frame.geometry.y[:400], strict=True)
    ]
    frame[:400].set_geometry(few).set_crs("OGC:CRS84").to_parquet(tmp_path / "val_metadata.parquet")
    (tmp_path / "tiles-of-a-grid.csv").write_text("tile\n31UFU\n33XXK\n60GUV\n18LVR\n")
    run = tmp_path / "runs" / "purohit2025-laptop"
    run.mkdir(parents=True)
    pq.write_table(results(), run / "results.parquet")
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_no_command_in_the_prose_has_rotted(page: Path, folder: Path) -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    for number, (language, block) in enumerate(FENCE.findall(page.read_text()), 1):
        where = f"{names(page)}, block {number}"
        assert language in ("bash", "python", "text", "yaml"), f"{where}: fence {language!r}"
        saved = FILE.match(block)
        if saved:
            (folder / saved[1]).write_text(block)
        elif language == "python":
            run_python(block, space, where)
        elif language == "bash":
            for line in lines_of(block):
                run_line(line, folder)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_of_the_prose_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{names(page)} links to {target}"


@pytest.mark.parametrize(
    ("name", "most"),
    [("bands", 40), ("warmth", 80), ("belts", 30), ("daylight", 30), ("centroid", 40)],
)
def test_a_kind_of_ones_own_takes_pages_or_is_not_the_one_that_is_tested(
    name: str, most: int
) -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    (shown,) = [block for _, block in FENCE.findall(page) if block.startswith(f"# {name}.py")]
    assert len(shown.splitlines()) <= most
    package = ROOT / "tests" / "outside" / "src" / "wherefrom_outside"
    assert shown == (package / f"{name}.py").read_text()


@pytest.mark.slow
def test_the_study_of_kinds_of_ones_own_that_the_page_shows_does_not_run(folder: Path) -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    for _, block in FENCE.findall(page):
        if saved := FILE.match(block):
            (folder / saved[1]).write_text(block)
    words = ("study", "run", "mine.yaml", "--scale", "debug", "--out", "out")
    done = subprocess.run(
        [sys.executable, "-m", "wherefrom", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = pq.read_table(folder / "out" / "results.parquet").to_pydict()
    assert set(found["composition"]) == {"none", "uniform", "bands", "belts", ""}
    assert set(found["model"]) == {"warmth", "raw-lonlat", "majority"}
    assert set(found["head"]) == {"centroid:NearestCentroid", "majority"}


def test_the_readme_names_every_sampler_and_its_specs_are_valid() -> None:
    section = PAGES[0].read_text().split("## Samplers")[1].split("\n## ")[0]
    specs = re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)
    assert {sampler(spec).name for spec in specs} == set(BUILT_IN["samplers"])


def test_the_readme_names_every_layer_and_head() -> None:
    spans = set(re.findall(r"`([^`\n]+)`", FENCE.sub("", PAGES[0].read_text())))
    assert spans >= {*CATEGORICAL, *VALUES, *BUILT_IN["heads"]}


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_within_sentences_exist_with_their_flags(page: Path) -> None:
    prose = FENCE.sub("", page.read_text())
    for line in re.findall(r"`(wherefrom\s[^`]+)`", prose):  # often shortened: not to be parsed
        command, words = command_of(line)
        known = {"--help"}.union(*(option.opts for option in command.params))
        for word in words:
            assert not word.startswith("-") or word in known, f"{line}: no flag {word}"
    for script in re.findall(r"benchmarks/\w+\.py", prose):
        assert (ROOT / script).is_file(), f"{names(page)} speaks of {script}"


def test_every_line_that_is_not_run_is_still_in_the_prose() -> None:
    lines = [
        line
        for page in PAGES
        for language, block in FENCE.findall(page.read_text())
        if language == "bash"
        for line in lines_of(block)
    ]
    for start in NOT_RUN:
        assert any(line.startswith(start) for line in lines), f"{start!r}: remove it from NOT_RUN"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("make stduy", "stduy"),
        ('python3 -m venv .venv && .venv/bin/pip install -e ".[tran]"', "tran"),
        ("python3 -m venv .venv && pip install -c constrains.txt -e '.[train]'", "constrains.txt"),
        ("wherefrom study run studies/purohit2025 --scale labtop", "labtop"),
        ("wherefrom study run studies/purohit2025 --sclae laptop", "--sclae"),
        ("wherefrom study report studies/kaur2027", "kaur2027"),
        ("wherefrom data fetch --all", "--all"),
    ],
)
def test_a_line_that_is_not_run_cannot_rot_either(line: str, wrong: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, WherefromError), match=wrong):
        run_line(line, tmp_path)
