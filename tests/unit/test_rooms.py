"""Rooms of the house: imports go one way and in no circle, and the core needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "wherefrom"
# Each room may import from those before it, never from those after it.
ROOMS = [
    "errors", "keys", "files", "remote", "shown", "progress", "parallel", "plugins", "part",
    "earth", "pool", "compose", "auditing", "payload", "models", "tasks", "frames", "train", "gfms",
    "study", "evidence", "report", "testing", "selfcheck", "cli", "__main__",
]  # fmt: skip
MODULES = {
    ".".join(("wherefrom", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(SRC.rglob("*.py"))
}


def room_of(module: str) -> str:
    """Return the room of a dotted module name such as ``wherefrom.earth.layers``."""
    return [*module.split("."), ""][1]


def imported(path: Path) -> set[str]:
    """Return the modules of wherefrom that a file imports, at its top or within a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in MODULES else str(node.module))
    return {name for name in names if name.split(".")[0] == "wherefrom"}


@pytest.mark.parametrize("module", MODULES)
def test_no_import_points_down_the_list(module: str) -> None:
    own = room_of(module)
    if not own:
        return  # the curated names, each imported when it is asked for
    assert own in ROOMS, f"{module}: a new room? add it to ROOMS and to docs/DECISIONS.md"
    for name in imported(MODULES[module]):
        assert name != "wherefrom", f"{module} imports from the curated names"
        assert ROOMS.index(room_of(name)) <= ROOMS.index(own), f"{module} imports {name}"


@pytest.mark.parametrize("room", ROOMS)
def test_no_circle_of_imports_stands_inside_a_room(room: str) -> None:
    own = {name: path for name, path in MODULES.items() if room_of(name) == room}
    assert own, f"there is no room {room!r}"
    graph = {name: (imported(path) & own.keys()) - {name} for name, path in own.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        pytest.fail(" -> ".join(reversed(err.args[1])))


def test_drawing_auditing_and_planning_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['sklearn'] = sys.modules['ray'] = None\n"
        "import wherefrom, wherefrom.earth, wherefrom.pool, wherefrom.compose, wherefrom.cli\n"
        "import wherefrom.testing\n"
        "from wherefrom.study import load, plan\n"
        "assert plan(load('studies/purohit2025', 'debug')).of_kind('fewshot')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=SRC.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
