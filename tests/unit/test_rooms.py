"""Rooms of the house: imports go one way, files stay short, the core needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "wherefrom"
# Each room may import from those before it, never from those after it.
ROOMS = [
    "errors", "keys", "files", "progress", "parallel", "plugins", "earth", "pool", "compose",
    "auditing", "frames", "testing", "models", "tasks", "train", "study", "evidence", "report",
    "cli", "__main__",
]  # fmt: skip
MODULES = sorted(SRC.rglob("*.py"))


def room_of(module: str) -> str:
    """Return the room of a dotted module name such as ``wherefrom.earth.layers``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imported(path: Path) -> set[str]:
    """Return the absolute names of all wherefrom modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("wherefrom.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_no_import_points_down_the_list(path: Path) -> None:
    relative = path.relative_to(SRC).with_suffix("")
    own = relative.parts[0]
    if own == "__init__":
        return
    assert own in ROOMS, f"{path}: a new room? add it to ROOMS and to docs/DECISIONS.md"
    for name in imported(path):
        room = room_of(name)
        if room in ROOMS:
            assert ROOMS.index(room) <= ROOMS.index(own), f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_no_module_outgrows_a_screenful_of_rooms(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 440


def test_drawing_and_auditing_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['sklearn'] = sys.modules['ray'] = None\n"
        "import wherefrom, wherefrom.earth, wherefrom.pool, wherefrom.compose, wherefrom.cli"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
