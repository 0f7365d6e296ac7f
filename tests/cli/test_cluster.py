"""A Ray cluster of several workers does the same work, whatever happens to its workers.

Pools are cut into small pieces in all processes, so that some ten thousand places make many of
them: what takes a hundred million places otherwise.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from wherefrom.errors import WherefromError
from wherefrom.parallel import in_order, on

pytestmark = pytest.mark.slow

pytest.importorskip("ray", reason="Ray is not installed: pip install 'wherefrom[cluster]'")

#: Python runs a module of this name when it starts: here it makes the pieces of a pool small.
SITECUSTOMIZE = """
import importlib.machinery, sys

class Small:
    def find_spec(self, name, path=None, target=None):
        if name != "wherefrom.pool.batches":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        whole = spec.loader.exec_module
        def exec_module(module):
            whole(module)
            module.BLOCK, module.PART = 1 << 9, 1 << 10
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Small())
"""
#: Two layers of bands of latitude, whose look-up kills its process, once, where it is told to.
DEADLY = """
import os, signal
from pathlib import Path
import numpy as np
from wherefrom.earth import Layer

def layer(name):
    trigger = Path(__file__).with_name(name)

    def codes(lon, lat):
        if trigger.exists() and (lon == float(trigger.read_text())).any():
            trigger.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return np.minimum((lat + 90) // 10, 17).astype(np.int32)

    return Layer(f"deadly:{name}", tuple(f"band {k}" for k in range(18)), (), "1", codes)

bands, belts = layer("bands"), layer("belts")
"""
#: Runs wherefrom several times in one process, which saves the imports.
SEVERAL = """
import shlex, sys
from wherefrom.cli import main

for line in sys.argv[1:]:
    sys.argv = ["wherefrom", *shlex.split(line)]
    try:
        main()
    except SystemExit as left:
        assert not left.code, line
"""
PLACES = 10_000
#: Draws in passes that look up, that need no labels, that pass before, and that know the counts.
DRAWS = {
    "looked-up": "pool --sampler stratified:layer=deadly:belts,short=cap -n 2000",
    "uniform": "pool --sampler uniform -n 1500",
    "forest": "pool --sampler clustered:around=forest,clusters=90 -n 60",
    "known": "{out}/labelled --sampler stratified:layer=land_cover,short=redistribute -n 1000",
}
#: What is done by one process into the folder `alone`, and on the cluster into `together`.
LINES = [
    "pool label pool --layers land_cover,deadly:bands --out {out}/labelled",
    *(f"draw {line} --out {{out}}/{name}.parquet" for name, line in DRAWS.items()),
    "audit pool --layers land_cover,deadly:bands --json {out}/audit.json",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the modules above."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    (folder / "deadly.py").write_text(DEADLY)
    return folder


@pytest.fixture(scope="module")
def cluster(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster of two nodes with three workers, which lives as long as this file.

    Its workers start in another folder and with other variables than the one who asks.
    """
    import ray
    from ray.cluster_utils import Cluster

    node = {"object_store_memory": 80 << 20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(folder))
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **node})
        nodes.add_node(num_cpus=2, **node)
    yield nodes.address
    ray.shutdown()
    nodes.shutdown()


def there(address: str, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    with on(address):
        return in_order(function, items)


def test_results_of_a_cluster_come_in_another_order(cluster: str, tmp_path: Path) -> None:
    def square(item: int) -> tuple[int, int]:
        # The first to work waits for another, who may take a while to start.
        (tmp_path / str(os.getpid())).touch()
        limit = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < limit:
            time.sleep(0.01)
        return item**2, os.getpid()

    results = list(there(cluster, square, range(40)))
    assert [square for square, _ in results] == [item**2 for item in range(40)]
    workers = {pid for _, pid in results}
    assert os.getpid() not in workers
    assert len(workers) > 1


def test_arrays_of_a_cluster_cannot_be_merged_in_place(cluster: str) -> None:
    total, *rest = there(cluster, np.ones, [300_000] * 3)  # too large to be sent inline
    for other in rest:
        total += other
    assert total.tolist() == [3.0] * 300_000


def test_an_error_in_a_worker_is_another_error_here(cluster: str) -> None:
    def fragile(item: int) -> int:
        if item == 3:
            raise WherefromError("part 3 is torn: fetch it again")
        return item

    taken = []
    with pytest.raises(WherefromError) as raised:
        for result in there(cluster, fragile, range(9)):
            taken.append(result)
    assert taken == [0, 1, 2]
    assert type(raised.value) is WherefromError  # none of Ray's with a traceback in its text
    assert str(raised.value) == "part 3 is torn: fetch it again"


def test_relative_paths_and_variables_mean_something_else_on_a_node(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(name: str) -> tuple[str, str | None]:
        return Path(name).read_text(), os.environ.get("WHEREFROM_CACHE")

    (tmp_path / "part").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path / "cache"))
    assert next(there(cluster, seen, ["part"])) == ("mine", str(tmp_path / "cache"))


def test_a_worker_killed_in_the_middle_changes_the_results(
    cluster: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def deadly(item: int) -> int:
        died = tmp_path / str(item)
        if item % 3 == 1 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item**2

    assert list(there(cluster, deadly, range(8))) == [item**2 for item in range(8)]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1", "4", "7"]
    assert capfd.readouterr().out == ""  # Ray's news would spoil `--json -`


def test_a_worker_that_always_dies_is_started_for_ever(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherefrom.parallel.RETRIES", 1)
    with pytest.raises(WherefromError, match=r"gave up on a task after 1 new starts .*memory"):
        list(there(cluster, lambda _: os.kill(os.getpid(), signal.SIGKILL), [0]))


def test_a_caller_who_stops_early_leaves_the_cluster_busy(cluster: str, tmp_path: Path) -> None:
    def leave_a_trace(item: int) -> int:
        (tmp_path / str(item)).touch()
        return item

    results = there(cluster, leave_a_trace, range(1000))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert list(there(cluster, abs, range(6))) == list(range(6))  # takes its turn after
    assert len(list(tmp_path.iterdir())) <= 7


def test_another_version_on_a_node_gives_other_bytes(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherefrom.parallel.version", lambda _: "0.0.1")
    with pytest.raises(WherefromError, match=r"a node of the cluster has wherefrom .*, this"):
        list(there(cluster, abs, [1]))


def test_work_goes_to_another_cluster_than_the_one_named(cluster: str) -> None:
    import ray

    list(there(cluster, abs, [1]))
    assert list(there("auto", abs, [1])) == [1]  # the one that is connected
    with pytest.raises(WherefromError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        there("127.0.0.1:1", abs, [1])
    assert not ray.is_initialized()
    ray.init(address=cluster, log_to_driver=False, logging_level="ERROR")
    try:
        assert list(there(cluster, abs, [1])) == [1]
        with pytest.raises(WherefromError, match=r"connected to the Ray cluster .* not to 127"):
            there("127.0.0.1:1", abs, [1])
        assert ray.is_initialized()  # a connection of the caller's own stays
    finally:
        ray.shutdown()


def wherefrom(lines: list[str], home: Path, modules: Path) -> None:
    """Run commands in `home` with small pieces."""
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, *lines],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(modules)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def home(cluster: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with all that `LINES` make of a pool of ten pieces, alone and together."""
    home = tmp_path_factory.mktemp("home")
    build = f"pool build --places {PLACES} --out pool"
    wherefrom([build, *(line.format(out="alone") for line in LINES)], home, folder)
    somewhere = pq.read_table(home / "pool")["lon"]
    for name, row in (("bands", PLACES // 2), ("belts", PLACES // 3)):
        (folder / name).write_text(repr(somewhere[row].as_py()))
    wherefrom(
        [f"{line} --cluster {cluster}".format(out="together") for line in LINES], home, folder
    )
    return home


def differing(home: Path, pattern: str) -> list[str]:
    """Names of the files that are not the same in both folders; there are some files."""
    one, other = (
        {str(file.relative_to(home / by)): file.read_bytes() for file in (home / by).glob(pattern)}
        for by in ("alone", "together")
    )
    assert one
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


@pytest.mark.long
def test_a_worker_killed_while_it_labels_leaves_other_files(home: Path, folder: Path) -> None:
    assert not (folder / "bands").exists()  # a worker died of it
    assert len(list((home / "alone" / "labelled").iterdir())) == 1 + 10
    assert differing(home, "labelled/*") == []


@pytest.mark.long
@pytest.mark.parametrize("draw", DRAWS)
def test_a_worker_killed_while_it_draws_leads_to_another_draw(
    home: Path, folder: Path, draw: str
) -> None:
    assert not (folder / "belts").exists()  # a worker died of it
    assert differing(home, f"{draw}.*") == []
    kinds = {file.name.removeprefix(draw) for file in (home / "alone").glob(f"{draw}.*")}
    assert kinds == {".parquet", ".card.json", ".card.png"}


def test_an_audit_on_a_cluster_gives_other_numbers(home: Path) -> None:
    assert differing(home, "audit.json") == []
