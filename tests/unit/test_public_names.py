"""The names of ``import wherefrom``: all there, imported late, and honest about what they need."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import wherefrom

LIST = Path(wherefrom.__file__)
PUBLIC = [name for name in wherefrom.__all__ if name != "__version__"]


def fresh(code: str) -> str:
    """Run code in a new interpreter and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_the_one_of_its_room(name: str) -> None:
    found = getattr(wherefrom, name)
    module, _, other = wherefrom._HOME[name].partition(":")
    assert found is getattr(importlib.import_module(module), other or name)
    assert (other or name) in importlib.import_module(module).__all__


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    seen = {}
    for node in ast.parse(LIST.read_text()).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name):
            for line in node.body:
                assert isinstance(line, ast.ImportFrom)
                for alias in line.names:
                    home = f"{line.module}:{alias.name}" if alias.asname else str(line.module)
                    seen[alias.asname or alias.name] = home
    assert seen == wherefrom._HOME
    assert sorted(seen) == sorted(PUBLIC)


def test_dir_lists_the_names_before_any_is_used() -> None:
    assert fresh("import wherefrom; print(dir(wherefrom) == sorted(wherefrom.__all__))") == "True"


def test_import_alone_loads_no_heavy_package() -> None:
    heavy = {"torch", "numpy", "pyarrow", "shapely", "sklearn", "matplotlib", "wherefrom.earth"}
    code = f"import sys, wherefrom; print(sorted({heavy!r} & set(sys.modules)))"
    assert fresh(code) == "[]"


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lair'"):
        wherefrom.lair  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(wherefrom, "lair")


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["torch", "safetensors"])
def test_without_the_train_extra_the_error_says_what_to_install(lacking: str) -> None:
    code = f"""
import sys
sys.modules[{lacking!r}] = None
import wherefrom
wherefrom.layer, wherefrom.Pool, wherefrom.draw, wherefrom.from_table
try:
    wherefrom.pretrain
except ImportError as err:
    print(err)
"""
    assert fresh(code) == f'wherefrom.pretrain needs {lacking}: pip install "wherefrom[train]"'
