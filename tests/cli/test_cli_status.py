"""`study status`, and what is left of a run that is told to end."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray_nodes import study

from wherefrom.cli.study import _statuses
from wherefrom.errors import WherefromError
from wherefrom.study import Plan, Store, load, plan, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, Path]:
    """A small study, its plan, and the folder of a run of it."""
    folder = tmp_path_factory.mktemp("study")
    file = study(folder)
    steps, out = plan(load(file, "debug")), folder / "out"
    run(steps, Store(out / "store"), 1)
    (out / "run.json").write_text(json.dumps({"store": None, "plan": steps.key}))
    return file, steps, out


def test_a_folder_that_was_moved_shows_another_run(
    finished: tuple[Path, Plan, Path], tmp_path: Path
) -> None:
    _, steps, out = finished
    shutil.copytree(out, tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "store" / "pretrain")
    (status,) = _statuses(str(tmp_path / "moved"))
    lacking = {part.kind: part.every - part.done for part in status.parts}
    assert lacking["pretrain"] == len(steps.of_kind("pretrain"))
    assert _statuses(str(out))[0].whole
    (tmp_path / "moved" / "run.json").unlink()
    assert not _statuses(str(tmp_path / "moved"))[0].whole


def test_a_torn_note_hides_a_run_for_ever(
    finished: tuple[Path, Plan, Path], tmp_path: Path
) -> None:
    _, steps, out = finished
    shutil.copytree(out, tmp_path / "out")
    store = Store(tmp_path / "out" / "store")
    store.note("plans", steps.key, '{"torn')
    with pytest.raises(WherefromError, match=r"plans/.* is damaged: run the study again"):
        _statuses(str(tmp_path / "out"))
    run(steps, store)  # has nothing to compute
    assert _statuses(str(tmp_path / "out"))[0].whole


def test_a_folder_that_is_not_there_never_ran(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="is not there: name the folder of a run"):
        _statuses(str(tmp_path / "absent"))
    (tmp_path / "file").touch()
    with pytest.raises(WherefromError, match="is a file: name the folder of a run"):
        _statuses(str(tmp_path / "file"))
    with pytest.raises(WherefromError, match="no study was run with the store"):
        _statuses(str(tmp_path))


def test_a_run_that_is_told_to_end_leaves_something_behind(
    finished: tuple[Path, Plan, Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    for kind in ("pool", "task", "draw"):
        shutil.copytree(finished[2] / "store" / kind, store / kind)
    words = ["study", "run", str(finished[0]), "--scale", "debug", "--out", str(tmp_path)]
    driver = subprocess.Popen(
        [sys.executable, "-m", "wherefrom", *words], stderr=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 60
    while not (store / "payload").exists() and time.monotonic() < limit:
        time.sleep(0.05)  # until a worker has begun
    driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 143, err
    assert err.endswith("stopped; what was finished is kept: run the same command to go on\n"), err
    assert "Traceback" not in err
    assert not (store / "running").exists()
    assert _statuses(str(tmp_path))[0].calls == []
