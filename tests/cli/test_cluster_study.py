"""A study on a Ray cluster is the study of one machine, whatever happens to workers and nodes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto_server import serving
from ray_nodes import environment, modules, nodes, study

from wherefrom.errors import WherefromError
from wherefrom.remote import VARIABLES
from wherefrom.study import Plan, Store, load, plan, run
from wherefrom.study.objects import ObjectStore
from wherefrom.study.status import statuses

pytestmark = [pytest.mark.slow, pytest.mark.long]

pytest.importorskip("ray", reason="Ray is not installed: pip install 'wherefrom[cluster]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the modules that workers import."""
    return modules(tmp_path_factory.mktemp("modules"))


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Any]:
    """A cluster of two nodes, with a worker each."""
    with nodes(folder, "one", "two") as whole:
        yield whole


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, Store]:
    """The small study, its plan, and the store of a run in processes of this machine."""
    home = tmp_path_factory.mktemp("finished")
    file = study(home)
    steps = plan(load(file, "debug"))
    store = Store(home / "store")
    run(steps, store, 1)
    return file, steps, store


@pytest.fixture
def begun(finished: tuple[Path, Plan, Store], tmp_path: Path) -> Store:
    """A store that has all but what is pre-trained and scored."""
    for kind in ("pool", "task", "payload", "draw"):
        shutil.copytree(finished[2].root / kind, tmp_path / "store" / kind)
    return Store(tmp_path / "store")


@pytest.fixture
def due(folder: Path) -> Iterator[Callable[..., None]]:
    """Let a fault happen to stages whose label begins so; at the end none is left."""

    def plant(fault: str, begin: str, *, always: bool = False) -> None:
        (folder / "due" / f"{fault} {begin}").write_text("always" if always else "")

    yield plant
    for file in (folder / "due").iterdir():
        file.unlink()


def differing(steps: Plan, one: Store, other: Store) -> list[str]:
    """Name the files that two stores do not have alike, but for the times of computing."""
    found = []
    for stage in steps.stages:
        here, there = (s.folder(stage.kind, stage.key) for s in (one, other))
        files = {path.relative_to(here) for path in here.rglob("*")}
        files |= {path.relative_to(there) for path in there.rglob("*")}
        for name in sorted(files - {Path("env.json"), Path("done")}):
            same = (here / name).is_file() and (there / name).is_file()
            if not same or (here / name).read_bytes() != (there / name).read_bytes():
                found.append(f"{stage.label}: {name}")
    return found


def left_behind(store: Store) -> list[str]:
    """Name what is in a store and no part of a finished stage, nor a record of it."""
    kinds = ("pool", "task", "payload", "draw", "pretrain", "fewshot", "clock", "plans")
    return [
        str(path.relative_to(store.root))
        for path in store.root.rglob("*")
        if path.name.startswith(".")
        or (path.is_file() and path.relative_to(store.root).parts[0] not in kinds)
    ]


def same(finished: tuple[Path, Plan, Store], store: Store) -> bool:
    """Tell whether a store has what a run of this machine has, and nothing else."""
    _, steps, first = finished
    assert differing(steps, first, store) == []
    assert left_behind(store) == []
    return True


def test_a_fault_changes_a_result_or_leaves_something_behind(
    cluster: Any,
    finished: tuple[Path, Plan, Store],
    begun: Store,
    due: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
    folder: Path,
) -> None:
    faults = {
        "kill": "fewshot satclip-L10 europe",
        "late-kill": "pretrain satclip-L10 uniform block 0",
        "late-term": "pretrain satclip-L10 europe block 0",
        "hang": "pretrain satclip-L10 europe block 1",
        "full": "pretrain satclip-L10 uniform block 1",
    }
    for fault, begin in faults.items():
        due(fault, begin)
    outcome = run(finished[1], begun, cluster=cluster.address, patience=25)
    assert not list((folder / "due").iterdir())
    assert same(finished, begun)
    shown = capfd.readouterr()
    assert outcome.lost == len(faults) - 1  # a full disk loses no worker
    assert shown.out == ""
    lines = " ".join(shown.err.split())
    assert lines.count("its worker was killed; begun again") == 2
    for said in (
        "uniform block 0 .*: its worker was killed; begun again",
        "europe block 0 .* was told to end; begun again from where",
        "europe block 1 .*: told nothing for 25 s; begun",
        "tried again on another node: .* uniform block 1 .*: disk full",
    ):
        assert re.search(said, lines), shown.err


def test_a_stage_that_always_fails_takes_the_others_with_it(
    cluster: Any, finished: tuple[Path, Plan, Store], begun: Store, due: Callable[..., None]
) -> None:
    steps = finished[1]
    faults = {
        "raise": ("satclip-L10 europe block 0", "(?s)planted"),
        "hang": ("satclip-L10 europe block 1", "told nothing for .* 2 times"),
        "full": ("satclip-L10 uniform block 0", "disk full while writing"),
    }
    for fault, (begin, _) in faults.items():
        due(fault, f"pretrain {begin}", always=True)
    # A defect is told before what a machine lacks.
    with pytest.raises(RuntimeError, match=r"(?s)planted.*2 more failed.*defect of wherefrom") as e:
        run(steps, begun, cluster=cluster.address, patience=25)
    lacking = [s.label for s in steps.stages if not begun.done(s.kind, s.key)]
    assert {begin for begin, _ in faults.values() if any(begin in each for each in lacking)} == {
        begin for begin, _ in faults.values()
    }
    assert all(any(begin in each for begin, _ in faults.values()) for each in lacking)
    status = statuses(begun)[0]
    assert not status.whole
    assert status.calls == []
    assert f"logs: {begun.root}/failed" in str(e.value)
    for begin, said in faults.values():
        [text] = [each for each in status.failed if each.startswith(f"pretrain {begin}")]
        assert re.search(said, text)


def test_a_worker_that_dies_each_time_is_begun_for_ever(
    cluster: Any,
    finished: tuple[Path, Plan, Store],
    begun: Store,
    due: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wherefrom.study.cluster._DEATHS", 1)  # of more the test would take long
    due("kill", "pretrain satclip-L10 uniform block 0", always=True)
    with pytest.raises(WherefromError, match=r"its worker was killed, 2 times without getting"):
        run(finished[1], begun, cluster=cluster.address)
    rest = [s for s in finished[1].stages if not begun.done(s.kind, s.key)]
    assert {s.axes["block"] for s in rest} == {0}


def test_a_lost_node_takes_its_stages_with_it(
    folder: Path, finished: tuple[Path, Plan, Store], begun: Store, due: Callable[..., None]
) -> None:
    with nodes(folder, "one", "two") as whole:
        due("hang", "pretrain satclip-L10 europe block 0")
        due("hang", "pretrain satclip-L10 europe block 1")

        def lose() -> None:
            while list((folder / "due").iterdir()):
                time.sleep(0.1)
            whole.remove_node(whole.list_all_nodes()[1], allow_graceful=False)

        thread = threading.Thread(target=lose)
        thread.start()
        outcome = run(finished[1], begun, cluster=whole.address, patience=20)
        thread.join()
    assert outcome.lost == 2  # of one the node is gone, the other hangs
    assert same(finished, begun)


def command(*words: object, folder: Path) -> subprocess.Popen[str]:
    """Start the command line as a user does."""
    return subprocess.Popen(
        [sys.executable, "-m", "wherefrom", "study", *map(str, words)],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something holds; a minute at most."""
    limit = time.monotonic() + 60
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_a_killed_driver_is_started_again_from_nothing(
    cluster: Any,
    folder: Path,
    finished: tuple[Path, Plan, Store],
    begun: Store,
    due: Callable[..., None],
    tmp_path: Path,
) -> None:
    file = finished[0]
    due("hang", "pretrain satclip-L10 europe block 0")
    words = ("run", file, "--scale", "debug", "--store", begun.root, "--cluster", cluster.address)
    first = command(*words, "--out", tmp_path / "one", folder=folder)
    wait_for(lambda: not list((folder / "due").iterdir()))
    first.kill()
    first.communicate()
    # Another machine would wait until the note of the dead one is stale.
    second = command(*words, "--out", tmp_path / "two", folder=folder)
    out, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    assert "report:" in out
    assert same(finished, begun)
    status = command("status", tmp_path / "one", folder=folder).communicate()[0]
    assert "all done" in status


def test_a_cluster_that_is_restarted_ends_the_run(
    folder: Path,
    finished: tuple[Path, Plan, Store],
    begun: Store,
    due: Callable[..., None],
    tmp_path: Path,
) -> None:
    due("hang", "pretrain satclip-L10 europe block 0")
    words = ("run", finished[0], "--scale", "debug", "--store", begun.root, "--out", tmp_path)
    with nodes(folder, "one") as first:
        address = first.address
        driver = command(*words, "--cluster", address, folder=folder)
        wait_for(lambda: not list((folder / "due").iterdir()))
    with nodes(folder, "two", gcs_server_port=int(address.rpartition(":")[2])):
        _, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err
    assert re.search(r"(?s)is gone; waiting for it.*is back.*lost workers? made good", err), err
    assert same(finished, begun)


def test_two_drivers_compute_all_twice(
    cluster: Any,
    folder: Path,
    finished: tuple[Path, Plan, Store],
    begun: Store,
    tmp_path: Path,
    due: Callable[..., None],
) -> None:
    file = finished[0]
    words = ("run", file, "--scale", "debug", "--store", begun.root)
    due("pause", "pretrain", always=True)  # so that both are there before all is done
    drivers = [
        command(*words, "--out", tmp_path / "a", "--cluster", cluster.address, folder=folder),
        command(*words, "--out", tmp_path / "b", "--workers", 1, folder=folder),
    ]
    ended = [driver.communicate(timeout=300) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], ended
    assert same(finished, begun)
    results = [(tmp_path / name / "results.parquet").read_bytes() for name in "ab"]
    assert results[0] == results[1]


def test_a_node_that_lacks_something_computes(
    folder: Path,
    finished: tuple[Path, Plan, Store],
    begun: Store,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with nodes(folder, "one", "old", "blind", "late") as whole:
        run(finished[1], begun, cluster=whole.address)
    assert same(finished, begun)
    said = " ".join(capfd.readouterr().err.split())
    for lack in (
        r"it has torch 1\.13\.1, not .*: install",
        r"it does not see the store .*, as on NFS",
    ):
        assert re.search(rf"left out the node \S+: {lack}", said), said
    assert said.count("left out the node") == 2
    assert re.search(r"the clock of the node \S+ is \d+ s behind the one here: set both", said)


def test_a_gpu_that_torch_does_not_see_stops_the_run(
    folder: Path,
    finished: tuple[Path, Plan, Store],
    begun: Store,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with nodes(folder, "one", num_gpus=1) as whole:
        run(finished[1], begun, cluster=whole.address)
    assert same(finished, begun)
    said = " ".join(capfd.readouterr().err.split())
    assert said.count("has a GPU by Ray, and torch sees none there, and no other has one") == 1


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("blind", r"no node .*: it does not see the store .*, as on NFS"),
        ("stale", r"no node .*: it has another layer '.*' than this machine: run `wherefrom data"),
    ],
)
def test_what_a_node_lacks_is_found_out_when_stages_fail(
    folder: Path, finished: tuple[Path, Plan, Store], tmp_path: Path, node: str, said: str
) -> None:
    with nodes(folder, node) as whole, pytest.raises(WherefromError, match=said):
        run(finished[1], Store(tmp_path / "mine"), cluster=whole.address)
    assert left_behind(Store(tmp_path / "mine")) == []


def test_nobody_at_an_address_is_a_traceback(
    finished: tuple[Path, Plan, Store], begun: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WherefromError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        run(finished[1], begun, cluster="127.0.0.1:1")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(WherefromError, match=r"pip install 'wherefrom\[cluster\]'"):
        run(finished[1], begun, cluster="auto")
    assert left_behind(begun) == []


def test_a_study_in_object_storage_is_another_on_a_cluster(
    folder: Path,
    finished: tuple[Path, Plan, Store],
    due: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("moto", reason='needs the S3 server of moto: pip install "wherefrom[dev]"')
    _, steps, first = finished
    with serving(tmp_path) as server:
        for name in VARIABLES["s3"]:
            monkeypatch.delenv(name, raising=False)
        for name, text in server.env.items():
            monkeypatch.setenv(name, text)
        store = ObjectStore(tmp_path / "cache", server.bucket("cluster"))
        due("late-kill", "pretrain satclip-L10 europe block 0")
        with nodes(folder, "one", "two") as whole:
            outcome = run(steps, store, cluster=whole.address)
        assert outcome.lost >= 1
        elsewhere = ObjectStore(tmp_path / "another", store.address)
        for stage in steps.stages:
            elsewhere.sound(stage)
        assert differing(steps, first, elsewhere) == []
        assert {
            part for part in ("partial", "running", "probe", "failed") if store.notes(part)
        } == set()


def test_more_devices_than_a_node_has_are_waited_for_for_ever(
    cluster: Any, finished: tuple[Path, Plan, Store], begun: Store
) -> None:
    from wherefrom.train import ranks

    said = r"2 devices for each pre-training, and no node .* has more than 1 cores: ask"
    with ranks.asking(2), pytest.raises(WherefromError, match=said):
        run(finished[1], begun, cluster=cluster.address)


def test_a_run_cannot_be_watched_from_elsewhere(
    cluster: Any,
    folder: Path,
    finished: tuple[Path, Plan, Store],
    begun: Store,
    due: Callable[..., None],
    tmp_path: Path,
) -> None:
    due("hang", "pretrain satclip-L10 europe block 1")
    words = ("run", finished[0], "--scale", "debug", "--store", begun.root, "--cluster")
    driver = command(
        *words, cluster.address, "--patience", 0.25, "--out", tmp_path / "out", folder=folder
    )
    wait_for(lambda: any((begun.root / "running").glob("*")) and not [*(folder / "due").iterdir()])
    watching = command("watch", begun.root, "--every", 1, folder=folder)

    def is_seen() -> bool:
        status = command("status", tmp_path / "out", folder=folder).communicate()[0]
        return bool(re.search(r"0%  pretrain satclip-L10 europe block 1  \(.*, process", status))

    wait_for(is_seen)
    _, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err
    seen, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert "all done" in seen
    assert json.loads((tmp_path / "out" / "run.json").read_text())["plan"] == finished[1].key
