"""Studies on a Ray cluster beside processes: what a stage costs more, and what workers bring.

    .venv/bin/python benchmarks/cluster.py                 # overhead a stage, strong scaling
    .venv/bin/python benchmarks/cluster.py --kills 100     # random kills, results compared

Both on clusters of this machine. Run it while nothing else runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from wherefrom.study import Plan, Store, load, plan, run

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "cli"))
NODE = {"object_store_memory": 80 << 20, "include_dashboard": False}


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[Any]:
    """Give a cluster with so many nodes of one worker each."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    whole = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **NODE})
    for _ in range(workers - 1):
        whole.add_node(num_cpus=1, **NODE)
    try:
        yield whole
    finally:
        whole.shutdown()


def small(folder: Path, blocks: int) -> Plan:
    """Make a study whose stages take tenths of a second."""
    from ray_nodes import study

    file = study(folder)
    content = yaml.safe_load(file.read_text())
    content["base"]["models"]["satclip-L10"]["blocks"] = blocks
    file.write_text(yaml.safe_dump(content))
    return plan(load(file, "debug"))


def timed(steps: Plan, store: Store, **how: Any) -> float:
    """Return the seconds of a run, without a word of it."""
    with Path(os.devnull).open("w") as silent, contextlib.redirect_stderr(silent):
        return run(steps, store, **how).seconds


def seconds_of(steps: Plan, store: Store) -> float:
    """Return the seconds that the stages themselves took."""
    return sum(store.seconds(stage.kind, stage.key) or 0.0 for stage in steps.stages)


def overhead(folder: Path) -> None:
    """Print what a draw costs beside its work: from a run of many and one of few."""
    steps = small(folder, 150)
    draws = [stage for stage in steps.of_kind("draw") if not stage.of.empty]
    pool = steps.of_kind("pool")
    for name, workers in (("processes", 1), ("processes", 2), ("cluster", 1), ("cluster", 2)):
        walls, work = [], []
        with contextlib.ExitStack() as stack:
            how: dict[str, Any] = {"workers": workers}
            if name == "cluster":
                how = {"cluster": stack.enter_context(cluster(workers)).address}
            for count in (20, 220):
                store = Store(Path(tempfile.mkdtemp(dir=folder)))
                timed(Plan(steps.study, tuple(pool)), store, workers=1)
                some = Plan(steps.study, (*pool, *draws[:count]))
                walls.append(timed(some, store, **how))
                work.append(seconds_of(replace(some, stages=tuple(draws[:count])), store))
        more = ((walls[1] - walls[0]) * workers - (work[1] - work[0])) / 200
        print(
            f"{name:<10} {workers} workers: {1000 * more:6.1f} ms a stage beyond its work of "
            f"{1000 * work[1] / 220:.1f} ms; begin and end {walls[0]:.1f} s with 20 stages"
        )


def scaling(folder: Path) -> None:
    """Print how the study of the scale debug scales from one worker to two."""
    steps = plan(load(ROOT / "studies" / "purohit2025", "debug"))
    for name in ("processes", "cluster"):
        walls = []
        for workers in (1, 2):
            store = Store(Path(tempfile.mkdtemp(dir=folder)))
            with contextlib.ExitStack() as stack:
                how: dict[str, Any] = {"workers": workers}
                if name == "cluster":
                    how = {"cluster": stack.enter_context(cluster(workers)).address}
                walls.append(timed(steps, store, **how))
            work = seconds_of(steps, store)
            print(f"{name:<10} {workers} workers: {walls[-1]:6.1f} s, stages alone {work:.1f} s")
        print(f"{name:<10} 2 workers are {walls[0] / walls[1]:.2f} times as fast as 1")


def workers_of_ours() -> list[int]:
    """Return the processes that compute stages now, on nodes that this process has started."""
    listed = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()[1:]]
    ours = {pid for pid, parent, _ in rows if parent == str(os.getpid())}
    return [
        int(pid)
        for pid, parent, what in rows
        if parent in ours and what.startswith("ray::wherefrom:stages")
    ]


def kills(folder: Path, count: int, seed: int) -> None:
    """Kill workers, nodes, drivers and gateways at random until there were so many; compare."""
    rng = random.Random(seed)
    steps = small(folder, 2)
    first = Store(folder / "first")
    timed(steps, first)
    done: dict[str, int] = {}
    runs = wrong = 0
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(cluster(1))
        nodes = [whole.add_node(num_cpus=1, **NODE)]
        while sum(done.values()) < count:
            store = Store(Path(tempfile.mkdtemp(dir=folder)))
            for kind in ("pool", "task", "payload"):
                shutil.copytree(first.root / kind, store.root / kind)
            words = [sys.executable, "-m", "wherefrom", "study", "run", str(folder / "study.yaml")]
            words += ["--scale", "debug", "--store", str(store.root), "--cluster", whole.address]
            words += ["--out", str(folder / "out")]
            ended, left = False, 10  # a run ends at all if not each of its workers is killed
            while not ended:
                with (folder / "said").open("w") as said:
                    driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said)
                driver_killed = False
                due = time.monotonic() + rng.uniform(3, 15)
                while driver.poll() is None:
                    time.sleep(0.05)
                    if time.monotonic() < due or not left:
                        continue
                    due = time.monotonic() + rng.uniform(1, 6)
                    what = rng.choices(["worker", "node", "driver", "term"], [14, 2, 1, 3])[0]
                    found = workers_of_ours()
                    if what == "driver":
                        driver.kill()
                        driver_killed = True
                    elif what == "node":
                        whole.remove_node(nodes.pop(), allow_graceful=False)
                        nodes.append(whole.add_node(num_cpus=1, **NODE))
                    elif found:
                        how = signal.SIGKILL if what == "worker" else signal.SIGTERM
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(rng.choice(found), how)
                    else:
                        continue
                    done[what] = done.get(what, 0) + 1
                    left -= 1
                ended = not driver_killed
            runs += 1
            from test_cluster_study import differing, left_behind

            bad = differing(steps, first, store) + left_behind(store)
            if bad or driver.returncode:
                wrong += 1
                print(driver.returncode, bad[:5], (folder / "said").read_text()[-2000:])
            shutil.rmtree(store.root)
            print(
                f"{runs} runs, {sum(done.values())} kills {done}, {wrong} with a loss", flush=True
            )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.kills:
            kills(Path(folder), given.kills, given.seed)
            return
        overhead(Path(folder))
        scaling(Path(folder))


if __name__ == "__main__":
    main()
