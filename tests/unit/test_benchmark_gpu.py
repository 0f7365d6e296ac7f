"""The prepared benchmark of a GPU: it runs where there is none, at sizes that measure nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wherefrom.plugins import BUILT_IN

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.py"

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    file = tmp_path_factory.mktemp("gpu") / "gpu.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--tiny", "--device", "cpu", "--json", file],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def test_the_first_run_on_a_gpu_finds_the_script_broken(
    measured: tuple[dict[str, Any], str],
) -> None:
    found, printed = measured
    assert found["device"] == "device: cpu"
    assert found["tiny"] is True
    for row in found["rows"]:
        assert not row["note"].startswith(("failed", "skipped")), row
        assert row["what"] in printed
        assert row["rate"] is None or row["rate"] > 0, row
    names = {row["what"] for row in found["rows"]}
    due = {
        "satclip cached features",
        "satclip-images resnet18",
        "satmae float32",
        "satmae bfloat16",
        "presto float32",
        "presto bfloat16",
    }
    for name in due:
        said = {"pre-training", "plain loop", "embedding", "copied ahead", "resumed"}
        assert names >= {f"{name}: {what}" for what in said}
    assert names >= {f"head {name}: seeds" for name in ("logistic", "mlp", "knn")}
    assert "fine-tuning SatCLIP: seeds" in names
    assert any(name.startswith("torchgeo's Presto") for name in names)


def test_a_gfm_is_not_measured(measured: tuple[dict[str, Any], str]) -> None:
    for kind in BUILT_IN["gfms"]:
        names = [row["what"] for row in measured[0]["rows"]]
        assert any(name.startswith(f"{kind} ") for name in names), f"add {kind} to CASES"
