"""A package of other people brings a kind of each noun, and studies use them like ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from running import Done

pytestmark = pytest.mark.slow

OUTSIDE = Path(__file__).resolve().parents[1] / "outside"
KINDS = {
    "layers": "belt",
    "samplers": "latitude-bands",
    "payloads": "daylight",
    "gfms": "warmth",
    "tasks": "belts",
    "heads": "centroid",
}
CHECKS = """
from wherefrom import plugins, testing
from wherefrom.tasks import Task

loaded = {group: plugins.kind(group, name).load() for group, name in KINDS.items()}
testing.check_layer("belt")
testing.check_sampler("latitude-bands")
testing.check_payload({"kind": "daylight"})
testing.check_gfm({"kind": "warmth", "width": 16})
testing.check_task({"kind": "belts", "train_per_region": 30, "test_per_region": 20,
                    "tune_train_per_region": 5, "tune_test_per_region": 5, "min_distance_km": 5})
testing.check_head("centroid")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package into a folder."""
    pytest.importorskip("torch", reason="the package trains")
    pytest.importorskip("hatchling", reason="the package is built by hatchling: wherefrom[dev]")
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        if shutil.which("uv") is None:
            pytest.skip("neither pip nor uv is here to install the package")
        pip = ["uv", "pip"]
    source = tmp_path_factory.mktemp("source") / "outside"  # the build leaves files beside it
    shutil.copytree(OUTSIDE, source)
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(folder)]
    done = subprocess.run([*pip, *words, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def python(site: Path):
    """Run Python where the package is installed, as if by its user."""

    def call(*words: str, folder: Path | None = None) -> Done:
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return call


@pytest.mark.parametrize(("group", "name"), KINDS.items())
def test_a_kind_of_another_package_is_not_listed(group: str, name: str, python) -> None:
    done = python("-m", "wherefrom", "list", group)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(name)]
    assert re.search(r" wherefrom-outside +\w+ \w+", line), line
    ours = [line for line in done.stdout.splitlines() if re.search(r"^\S+ +wherefrom ", line)]
    assert len(ours) >= 2


def test_a_kind_as_the_docs_show_it_breaks_a_promise(python) -> None:
    done = python("-c", f"KINDS = {KINDS!r}\n{CHECKS}")
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_a_study_does_not_take_the_kinds_of_another_package(python, tmp_path: Path) -> None:
    words = ("study", "run", str(OUTSIDE / "study.yaml"), "--scale", "debug", "--out", "out")
    done = python("-m", "wherefrom", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    results = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert {row["model"] for row in results} == {"warmth", "raw-lonlat", "majority"}
    assert {row["composition"] for row in results} == {"none", "uniform", "bands", "belts", ""}
    assert {row["task"] for row in results} == {"belts"}
    heads = {row["head"] for row in results if row["model"] == "warmth"}
    assert heads == {"centroid", "logistic", "finetune"}
    page = (tmp_path / "out" / "report.html").read_text()
    for word in ("warmth", "latitude-bands", "layer=belt", "belts", "centroid"):
        assert word in page, f"the report does not show {word}"


def test_the_study_of_a_package_that_is_gone_ends_in_a_traceback(tmp_path: Path) -> None:
    words = ("study", "plan", str(OUTSIDE / "study.yaml"), "--scale", "debug")
    done = subprocess.run(
        [sys.executable, "-m", "wherefrom", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*unknown (kind|sampler) .*\n", done.stderr), done.stderr
