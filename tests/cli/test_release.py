"""What is released is whole: package data, studies, one version everywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from running import Run

from wherefrom.study.built_in import FILE, built_in, located

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
IGNORED = re.compile(r"__pycache__|\.pyc$")


def build(folder: Path, what: str, out: Path) -> Path:
    """Build a wheel or an sdist of the sources in a folder, as pip does, without its isolation."""
    code = f"import sys, hatchling.build as made; print(made.build_{what}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)],
        cwd=folder,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the sdist, and of what it holds the wheel: what both lack is then seen at once."""
    pytest.importorskip("hatchling", reason="the package is built by hatchling: wherefrom[dev]")
    out = tmp_path_factory.mktemp("dist")
    with tarfile.open(build(ROOT, "sdist", out)) as packed:
        packed.extractall(out, filter="data")
    return zipfile.ZipFile(build(out / f"wherefrom-{VERSION}", "wheel", out))


def test_the_wheel_lacks_data_templates_or_studies(wheel: zipfile.ZipFile) -> None:
    package, studies = ROOT / "src", ROOT / "studies"
    wanted = {str(p.relative_to(package)) for p in package.rglob("*") if p.is_file()}
    wanted |= {
        f"wherefrom/{p.relative_to(ROOT)}"
        for folder in built_in().values()
        for p in folder.iterdir()
        if p.is_file()
    }
    wanted = {name for name in wanted if not IGNORED.search(name)}
    assert f"wherefrom/studies/purohit2025/{FILE}" in wanted
    assert {"wherefrom/py.typed", "wherefrom/report/templates/report.html.j2"} <= wanted
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == wanted
    assert not [p for p in studies.glob(f"*/{FILE}") if p.parent.name not in built_in()]


def test_the_versions_of_a_release_differ(wheel: zipfile.ZipFile) -> None:
    about = f"wherefrom-{VERSION}.dist-info"
    metadata = Parser().parsestr(wheel.read(f"{about}/METADATA").decode())
    assert metadata["Version"] == VERSION
    assert f"{about}/licenses/LICENSE" in wheel.namelist()
    assert "wherefrom = wherefrom.cli:main" in wheel.read(f"{about}/entry_points.txt").decode()
    newest = re.search(r"^## (\S+) \((.*)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (newest[1], newest[2]) == (VERSION, str(cited["date-released"]))
    assert cited["version"] == VERSION
    # What the schema of the Citation File Format 1.2.0 requires.
    assert cited["cff-version"] == "1.2.0"
    assert all(cited[key] for key in ("message", "title"))
    assert all(author.keys() == {"name"} for author in cited["authors"])


def test_a_built_in_study_is_not_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, folder in built_in().items():
        (tmp_path / name).mkdir()  # the folder of a run hides no study
        assert located(name) == folder
    listed = run("study", "list")
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in built_in())
    unknown = run("study", "plan", "purohit").error
    assert re.match(r"purohit: no such study.*: kaur2026, purohit2025, ", unknown)
    assert "or copy" in run("study", "tune", "quantity").error  # no table into the package
    (tmp_path / "quantity" / FILE).write_text("base: [")
    mine = run("study", "plan", "quantity")
    assert "note: quantity: the study in this folder, not the built-in one" in mine.stderr
    assert "error: quantity/study.yaml: not valid YAML" in mine.stderr
