"""Ray clusters of several nodes on this machine, whose workers fail where a test wants it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

#: Python runs a module of this name when it starts: here a stage first looks whether a file of the
#: folder that FAULTS names says what is to happen to it, once. The name is FAULT, a space and the
#: beginning of the stage's label.
SITECUSTOMIZE = """
import importlib.machinery, os, sys

NODE = os.environ.get("TEST_NODE", "")

class Watched:
    def find_spec(self, name, path=None, target=None):
        if name.removeprefix("wherefrom.study.") not in ("stages", "store", "attempt"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        whole = spec.loader.exec_module
        def exec_module(module):
            whole(module)
            import faults
            faults.into(module, NODE)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Watched())
"""
FAULTS = """
import errno, os, signal, time
from pathlib import Path
from types import SimpleNamespace

def due(folder, label):
    for file in sorted(folder.iterdir()):
        fault, _, begin = file.name.partition(" ")
        if label.startswith(begin):
            try:
                if not file.read_text():  # once
                    file.unlink()
            except FileNotFoundError:
                continue  # another worker was faster
            yield fault

def into(module, node):
    if module.__name__ == "wherefrom.study.store":
        plain = module.versions
        if node == "old":
            module.versions = lambda: plain() | {"torch": "1.13.1"}
        if node == "blind":  # as where its folder of that name is another
            module.Store.notes = lambda self, folder: {}
        return
    if module.__name__ == "wherefrom.study.attempt":
        if node == "stale":
            module.earth = SimpleNamespace(layer_key=lambda name: "0123456789abcdef")
        if node == "late":
            module.time = SimpleNamespace(time=lambda: time.time() - 300, monotonic=time.monotonic)
        return
    compute, folder = module.compute, Path(__file__).with_name("due")

    def watched(stage, store, tell):
        for fault in due(folder, stage.label):
            if fault.startswith("late-"):
                def late(share):
                    tell(share)
                    if share >= 0.5:
                        act(fault.removeprefix("late-"))
                return compute(stage, store, late)
            if fault == "full":
                with store.write(stage.kind, stage.key, {}):
                    raise OSError(errno.ENOSPC, "No space left on device")
            act(fault)
        return compute(stage, store, tell)

    def act(fault):
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "term":
            os.kill(os.getpid(), signal.SIGTERM)
        elif fault == "raise":
            raise RuntimeError("planted")
        elif fault == "hang":
            time.sleep(1000)
        elif fault == "pause":
            time.sleep(2)

    module.compute = watched
"""
NODE = {"object_store_memory": 80 << 20, "include_dashboard": False}


def modules(folder: Path) -> Path:
    """Write the modules above into a folder, and make one for what is to happen."""
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    (folder / "faults.py").write_text(FAULTS)
    (folder / "due").mkdir()
    return folder


@contextmanager
def nodes(folder: Path, *names: str, **head: Any) -> Iterator[Any]:
    """Give a cluster whose workers import the modules of a folder, of one node for each name."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        patch.setenv("TEST_NODE", names[0])
        patch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")
        whole = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **NODE, **head})
        for name in names[1:]:
            patch.setenv("TEST_NODE", name)
            whole.add_node(num_cpus=1, **NODE)
    try:
        yield whole
    finally:
        whole.shutdown()


def study(folder: Path) -> Path:
    """Write a study of one location encoder and two heads that takes seconds."""
    content = yaml.safe_load((ROOT / "studies" / "purohit2025" / "study.yaml").read_text())
    base = content["base"]
    few = {"train_per_region": 120, "test_per_region": 60}
    few |= {"tune_train_per_region": 10, "tune_test_per_region": 10}
    base["tasks"] = {"ecoregions": base["tasks"]["ecoregions"] | few | {"baselines": ["majority"]}}
    base["compositions"] = {
        "none": "none",
        "uniform": "uniform",
        "europe": "only:layer=continent,label=Europe",
    }
    base |= {"composition_size": 300, "pool": {"places": 4000}, "published": {}, "sweep": None}
    base["payloads"] = {"blue-marble": {"images": ["blue-marble"], "filters": 1}}
    base["models"] = {
        "satclip-L10": base["models"]["satclip-L10"]
        | {
            "width": 32,
            "pretrain": {"samples_seen": 12800, "batch": 128, "lr": 1.0e-3},
            "blocks": 2,
        }
    }
    base |= {"finetune_seeds": 3, "heads": {"knn": {}, "majority": {}}}
    base["headlines"] = [{"model": "satclip-L10", "head": "knn"}]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base, "scales": {"debug": {}}}))
    return file


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of one who starts a study on such a cluster."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return os.environ | threads | {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
