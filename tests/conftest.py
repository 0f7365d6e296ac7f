"""Fixtures: where the real data and the reference outputs lie; tests skip with a reason without."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]

# A machine that is busy makes no example wrong.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# The many processes that tests start compile the package once, instead of each anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Beside another worker, threads that wait for each other take its time.
if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder with reference outputs and official samples; absent on a user's machine."""
    folder = Path(os.environ.get("WHEREFROM_REFERENCE", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}: set WHEREFROM_REFERENCE")
    return folder


@pytest.fixture
def resolve_data(reference_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the official RESOLVE ecoregions available to the test through WHEREFROM_DATA."""
    folder = reference_data / "earth"
    if not (folder / "Ecoregions2017.shp").is_file():
        pytest.skip(f"no RESOLVE ecoregions at {folder}")
    monkeypatch.setenv("WHEREFROM_DATA", str(folder))
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take files of slow tests first, so that no worker is left with one at the end."""
    quick = {item.path for item in items if item.get_closest_marker("slow") is None}
    items.sort(key=lambda item: item.path in quick)
