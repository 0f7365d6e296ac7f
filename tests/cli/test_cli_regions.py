"""The recipe of one continent or the globe, run as a user runs it at its smallest scale."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONTINENTS = {"Africa", "Asia", "Europe", "North America", "Oceania", "South America"}


@pytest.mark.long
def test_the_recipe_of_single_continents_runs_without_matrix_numbers_or_claims(
    tmp_path: Path,
) -> None:
    """With one of its models, whose stages take the least."""
    words = ["study", "run", "studies/kaur2026", "--scale", "debug", "--models", "satclip-L40"]
    done = subprocess.run(
        [sys.executable, "-m", "wherefrom", *words, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "arXiv 2604.21104" in done.stdout
    tables = tmp_path / "tables"
    with (tables / "transfer.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert {(cell["pretrain"], cell["region"]) for cell in cells} == {
        (a, b) for a in CONTINENTS for b in CONTINENTS
    }
    assert {cell["pretrain"] for cell in cells if cell["home"] == "true"} == CONTINENTS
    with (tables / "correlations.csv").open() as file:
        numbers = {row["audit"]: row for row in csv.DictReader(file)}
    assert len(numbers) == 6
    assert {row["compositions"] for row in numbers.values()} == {"9"}
    page = (tmp_path / "report.html").read_text()
    assert "arXiv 2604.21104, of 5 claims:" in page
    assert "arXiv 2501.12535, of 2 claims:" in page  # that about two models is not here
    assert "digitised from its figure" in page
    assert "mean blue_marble_entropy: only-europe" in page
