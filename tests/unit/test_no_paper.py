"""The engine knows no paper and no model: what is about one stands with the study or the GFM.

The rule: no file of the rooms below, neither code nor comment nor template, holds the name of a
paper (first author, arXiv number) or of a model. The address of a study folder in an example is
no such name. In the other rooms prose may say where a thing comes from or what it was made for;
code names no paper and no model there either. Apart stand the models and GFMs themselves, the
table of kinds and the curated names.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "wherefrom"
ROOMS = ("evidence", "report", "study", "train", "selfcheck", "cli")
NAMES = re.compile(
    r"purohit|kaur|2501\.12535|2604\.21104|pretrain.where|satclip|presto|satmae|galileo",
    re.IGNORECASE,
)
#: The address of a study, and lines of an example, which may show any model.
EXAMPLE = re.compile(r"studies/\w+|^ *(?:>>>|\.\.\.) .*$", re.MULTILINE)
FILES = sorted(
    path
    for room in ROOMS
    for path in (SRC / room).rglob("*")
    if path.suffix in (".py", ".j2", ".js", ".css")
)
OWN = ("models", "gfms", "plugins.py", "__init__.py")
OTHERS = sorted(
    path for path in SRC.rglob("*.py") if path.relative_to(SRC).parts[0] not in (*OWN, *ROOMS)
)


def code_of(path: Path) -> str:
    """Return what a file does, without comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def names_in(path: Path) -> list[str]:
    text = EXAMPLE.sub("", path.read_text(encoding="utf-8"))
    return [match.group() for match in NAMES.finditer(text)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_the_engine_names_a_paper_or_a_model(path: Path) -> None:
    assert names_in(path) == []


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(SRC)))
def test_code_of_another_room_asks_for_a_paper_or_a_model(path: Path) -> None:
    assert NAMES.findall(code_of(path)) == []
