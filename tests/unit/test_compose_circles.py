"""Within compose things flow one way: no file needs, by any road, one that needs it."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import wherefrom.compose

ROOM = Path(wherefrom.compose.__file__).parent


def needs(room: Path) -> dict[str, set[str]]:
    """Return for each module of compose those of it that it imports, also within functions."""
    names = {
        ".".join(("wherefrom", "compose", *path.relative_to(room).with_suffix("").parts)): path
        for path in room.rglob("*.py")
    }
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    needed: dict[str, set[str]] = {}
    for name, path in names.items():
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                # `from package import module` needs the module, `from module import name` that.
                found |= {one if one in names else str(node.module) for one in whole}
        needed[name] = (found & set(names)) - {name}
    return needed


def test_files_of_compose_import_each_other_in_a_circle() -> None:
    order = list(TopologicalSorter(needs(ROOM)).static_order())
    assert order[-1] == "wherefrom.compose" or "wherefrom.compose" in order
    assert len(order) > 15


def test_a_circle_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from wherefrom.compose import b\n")
    (tmp_path / "b.py").write_text("def f():\n    from wherefrom.compose.a import x\n")
    with pytest.raises(CycleError):
        list(TopologicalSorter(needs(tmp_path)).static_order())


def test_more_than_the_registry_asks_for_plugins() -> None:
    asking = [path.name for path in ROOM.rglob("*.py") if "wherefrom.plugins" in path.read_text()]
    assert sorted(asking) == ["__init__.py", "registry.py", "spec.py"]  # the first in prose alone
