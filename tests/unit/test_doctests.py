"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import wherefrom

ROOT = Path(__file__).resolve().parents[2]
# `python -m wherefrom` runs the command line when it is imported.
MODULES = ["wherefrom"] + [
    module.name
    for module in pkgutil.walk_packages(wherefrom.__path__, "wherefrom.")
    if not module.name.endswith(".__main__")
]
#: Packages that an installation may lack: those of the extras.
OPTIONAL = {"torch", "safetensors", "sklearn", "geopandas", "pandas"}
#: Examples known today; fewer means that the collection is broken.
AT_LEAST = 150


def examples_of(name: str) -> list[doctest.DocTest]:
    """Return the docstrings of a module that have examples."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as err:
        if err.name is None or err.name.partition(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"{name} needs {err.name}, which is not installed")
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # some read studies/purohit2025
    runner = doctest.DocTestRunner(verbose=False)
    said: list[str] = []
    for test in examples_of(name):
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_the_examples_are_found_at_all() -> None:
    found = sum(len(test.examples) for name in MODULES for test in examples_of(name))
    assert found >= AT_LEAST
