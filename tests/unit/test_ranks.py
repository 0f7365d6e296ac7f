"""Processes of one pre-training: as one process, gone on from by any number, and none is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sharing
import torch
from sharing import MODELS, STEPS, features, gone_on, train, weights

from wherefrom.errors import WherefromError
from wherefrom.gfms import engine
from wherefrom.gfms.places import PoolPlaces
from wherefrom.gfms.presto import Presto
from wherefrom.pool import Pool
from wherefrom.train import ranks
from wherefrom.train.ranks import launch

Found = dict[str, tuple[list[float], Any]]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def alone() -> Found:
    found: Found = {}
    for name, made in MODELS.items():
        losses, module = train(made())
        found[name] = losses, weights(module)
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Found]:
    """Train with 1, 2, 4 and 1 processes, each of which goes on from where the last one stood."""
    folder, found, told = tmp_path_factory.mktemp("shared"), {}, []
    states = {count: folder / f"{count}.pt" for count in (1, 2, 4)}
    gone_on(folder / "own.pt", 2, states[1])
    for before, count, at in ((1, 2, 4), (2, 4, 5)):
        state = folder / f"of {count}.pt"
        state.write_bytes(states[before].read_bytes())
        found[count] = launch(count, sharing.everything, state, at, states[count], tell=told.append)
    found[1] = {"gone on": (gone_on(states[4], 0, None), None)}
    assert told == ["begun", "begun"]  # by the first of each alone
    return found


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", MODELS)
def test_losses_or_weights_depend_on_the_number_of_processes(
    name: str, count: int, shared: dict[int, Found], alone: Found
) -> None:
    due, wanted = alone[name]
    losses, found = shared[count][name]
    assert len(losses) == STEPS
    assert losses == pytest.approx(due, rel=1e-6)
    for key, value in found.items():
        assert torch.allclose(value, wanted[key], rtol=1e-4, atol=2e-5), key


@pytest.mark.parametrize(("count", "done"), [(2, 2), (4, 4), (1, 5)])
def test_a_checkpoint_is_of_a_number_of_processes(
    count: int, done: int, shared: dict[int, Found], alone: Found
) -> None:
    assert shared[count]["gone on"][0] == pytest.approx(alone["features"][0][done:], rel=1e-6)


def ends(folder: Path) -> bool:
    """Tell whether the processes that left their numbers in a folder are gone."""
    numbers = [int((folder / str(rank)).read_text()) for rank in range(2)]
    for _ in range(50):
        try:
            for number in numbers:
                os.kill(number, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            numbers = numbers[1:] if len(numbers) > 1 else []
        if not numbers:
            return True
    return False


@pytest.mark.parametrize(
    ("way", "error", "message"),
    [
        (sharing.killed, WherefromError, r"process 1 of 2 of a pre-training was killed \(signal 9"),
        (sharing.mistaken, WherefromError, r"^the third image is upside down$"),
        pytest.param(
            sharing.defective,
            RuntimeError,
            r"process 1 of 2: .*no such thing(.|\n)*in fail",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_end_of_one_process_is_waited_for_in_vain(
    way: Callable[[Path], None], error: type[Exception], message: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    with pytest.raises(error, match=message):
        launch(2, way, tmp_path)
    assert time.monotonic() - began < 60
    assert ends(tmp_path)
    if way is sharing.killed:  # what was done is gone on from, by one process
        steps: list[int] = []
        train(
            features(), checkpoint=tmp_path / "state.pt", on_step=lambda step, _: steps.append(step)
        )
        assert steps == list(range(3, STEPS + 1))


@pytest.mark.slow
@pytest.mark.long
def test_a_process_that_hangs_is_waited_for_without_end(tmp_path: Path) -> None:
    with pytest.raises(WherefromError, match="process 0 of 2 waits for another one in vain"):
        launch(2, sharing.stopped, tmp_path, patience=5.0)
    assert ends(tmp_path)


@pytest.mark.slow
@pytest.mark.long
def test_processes_outlive_the_one_that_started_them(tmp_path: Path) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_ranks
        from wherefrom.train.ranks import launch
        if __name__ == "__main__":
            launch(2, test_ranks.sleep, Path({str(tmp_path)!r}))
    """
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(code))
    with subprocess.Popen([sys.executable, str(file)]) as parent:
        for _ in range(600):
            if (tmp_path / "0").exists() and (tmp_path / "1").exists():
                break
            time.sleep(0.1)
        parent.send_signal(signal.SIGKILL)
    assert ends(tmp_path)


def sleep(folder: Path) -> None:
    (folder / str(torch.distributed.get_rank())).write_text(str(os.getpid()))
    time.sleep(600)


@pytest.mark.slow
@pytest.mark.long
def test_torchrun_trains_each_process_on_its_own(tmp_path: Path, alone: Found) -> None:
    code = f"""
        import json, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import torch
        from sharing import features, train
        torch.set_num_threads(1)
        torch.distributed.init_process_group("gloo")
        losses, module = train(features())
        total = sum(float(value.double().abs().sum()) for value in module.state_dict().values())
        file = Path({str(tmp_path)!r}) / f"{{torch.distributed.get_rank()}}.json"
        file.write_text(json.dumps([losses, total]))
        torch.distributed.destroy_process_group()
    """
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(code))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command], check=True, env=environment, capture_output=True)
    (losses, one), (none, two) = (
        json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)
    )
    assert losses == pytest.approx(alone["features"][0], rel=1e-6)
    assert none == []
    assert one == two


def presto(**more: Any) -> Presto:
    pretrain = {"samples_seen": 64, "batch": 16, "lr": 1e-3}
    return Presto(kind="presto", tasks=("any",), blocks=1, pretrain=pretrain, **more)


@pytest.mark.slow
@pytest.mark.long
def test_a_stage_of_several_processes_gives_other_weights_or_does_not_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = PoolPlaces(Pool.build(40, seed=0), np.arange(40))
    found, shares = {}, {}
    for count in ("", "2"):
        monkeypatch.setenv(ranks.NAME, count)
        out = tmp_path / f"out{count}"
        out.mkdir()
        seen = shares[count] = list[float]()
        engine.pretrain(presto(), 0, places, out, tmp_path / f"partial{count}", seen.append)
        found[count] = engine.load_weights(presto_model(out), out / engine.WEIGHTS)
    assert shares["2"] == shares[""] == [0.25, 0.5, 0.75, 1.0]
    assert not (tmp_path / "out" / engine.RANKS).exists()
    assert json.loads((tmp_path / "out2" / engine.RANKS).read_text())["processes"] == 2
    wanted = weights(found[""])
    for name, value in weights(found["2"]).items():
        assert torch.allclose(value, wanted[name], rtol=1e-4, atol=2e-5), name


def presto_model(out: Path) -> Any:
    return presto().restore(engine.spec_of(out / engine.WEIGHTS))


@pytest.mark.parametrize(
    ("count", "batch", "shares", "message"),
    [
        ("two", 16, True, f"{ranks.NAME} is 'two'"),
        ("0", 16, True, f"{ranks.NAME} is '0'"),
        ("3", 16, True, "presto: batch = 16 cannot be shared evenly by 3 processes: take 2"),
        ("2", 16, False, "presto does not say"),
    ],
)
def test_a_number_of_processes_that_does_not_fit_is_found_out_by_a_stage(
    count: str, batch: int, shares: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Presto, "shares", shares)
    monkeypatch.setenv(ranks.NAME, count)
    with pytest.raises(WherefromError, match=re.escape(message)):
        ranks.checked([presto()])
    assert ranks.checked([]) == 1  # nothing is pre-trained


def test_more_gpus_are_asked_for_than_there_are() -> None:
    with pytest.raises(WherefromError, match=r"3 GPUs are asked for .* there are 2"):
        ranks.groups(("cuda:0", "cuda:1"), 3)
    assert ranks.groups((), 3) == ()
    assert ranks.groups(("cuda:0", "cuda:1", "cuda:2"), 2) == ("cuda:0",)


def test_workers_and_their_processes_are_more_than_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranks.parallel, "cores", lambda: 6)
    found = [ranks.at_once(workers, (), count) for workers in (None, 4) for count in (1, 2, 8)]
    assert found == [6, 3, 1, 4, 2, 1]
