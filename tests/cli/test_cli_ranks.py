"""`study run --devices`: several processes for each pre-training, the same study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from ray_nodes import study
from running import Run
from safetensors.numpy import load_file
from test_cli_study import small, wherefrom

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_a_study_on_two_devices_is_another_or_does_not_say_so(tmp_path: Path) -> None:
    file = study(tmp_path / "study")
    content = yaml.safe_load(file.read_text())
    content["base"]["compositions"] = {"none": "none", "uniform": "uniform"}
    content["base"]["models"]["satclip-L10"]["blocks"] = 1
    file.write_text(yaml.safe_dump(content))
    weights: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for devices in ("1", "2"):
        out = tmp_path / devices
        arguments = ["--scale", "debug", "--out", out, "--workers", 2, "--devices", devices]
        done = wherefrom("study", "run", file, *arguments)
        assert done.returncode == 0, done.stderr
        stages = sorted((out / "store" / "pretrain").iterdir())
        weights[devices] = {one.name: load_file(one / "weights.safetensors") for one in stages}
        said = {
            json.loads(file.read_text())["processes"]
            for file in (out / "store" / "pretrain").glob("*/ranks.json")
        }
        assert said == (set() if devices == "1" else {2})
    assert weights["1"].keys() == weights["2"].keys()  # no key tells of devices
    for key, wanted in weights["1"].items():
        for name, value in wanted.items():
            assert np.allclose(weights["2"][key][name], value, rtol=1e-2, atol=1e-3), name


def test_devices_that_do_not_divide_a_batch_are_found_out_by_a_worker(
    run: Run, tmp_path: Path
) -> None:
    arguments = ["--scale", "debug", "--out", tmp_path / "out", "--devices", 7]
    done = run("study", "run", small(tmp_path), *arguments)
    assert done.returncode == 2
    assert "cannot be shared evenly by 7 processes" in " ".join(done.stderr.split())
    assert not (tmp_path / "out" / "store" / "pretrain").exists()
