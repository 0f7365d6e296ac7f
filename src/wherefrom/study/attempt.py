"""What a task of a Ray cluster does: see that its node fits, compute, and go when it is told to."""

from __future__ import annotations

import faulthandler
import importlib
import os
import pickle
import platform
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from wherefrom import earth
from wherefrom.earth.fetch import absent, digest_of
from wherefrom.errors import WherefromError
from wherefrom.study.board import PROBES
from wherefrom.study.stage import TRAINED
from wherefrom.study.store import Store, versions
from wherefrom.study.worker import Told, work

__all__ = ["NOTICE", "Ask", "Node", "Preempted", "Report", "attempt", "probe"]

#: Seconds between two words on how far a stage is, and from a notice to leave to the end.
_EVERY, NOTICE = 1.0, 25
#: How many times its planned time a stage may tell nothing, where that is longer than patience.
_TIMES = 20
#: What this process has found of its node, by the call that asked.
_FOUND: dict[str, str] = {}


class Preempted(BaseException):
    """The node is about to end, by a SIGTERM: what is under way goes on elsewhere."""


class Node(NamedTuple):
    """A node of the cluster and what it has: cores, GPUs, bytes of memory."""

    host: str
    cpus: float
    gpus: float
    memory: float


class Report(NamedTuple):
    """What a node says of itself: why it cannot be used, or nothing; and its time."""

    node: str
    host: str
    unfit: str
    clock: float


@dataclass(frozen=True)
class Ask:
    """What all tasks of a call need: where, for whom, and what their node must have."""

    folder: str
    token: str
    store: Store
    versions: dict[str, str]
    data: dict[str, dict[str, str]]
    files: tuple[str, ...]
    patience: float
    device: str | None

    def limit(self, told: Told) -> float:
        """Return the seconds that a stage may tell nothing."""
        return max(self.patience, _TIMES * told.cost)


def probe(ask: Ask) -> Report:
    """Look whether a node can be used: what it has, and whether it shares the store."""
    _go_to(ask.folder)
    unfit = _unfit(ask)
    if not unfit:
        try:
            ask.store.note(PROBES, f"{ask.token}-{_node()}", "")
        except WherefromError as err:
            unfit = f"cannot write to the store: {err}"
    return Report(_node(), platform.node(), unfit, time.time())


def attempt(ask: Ask, pickled: bytes, box: Any, gpus: int) -> tuple[Any, ...]:
    """Compute a bundle.

    Returns what happened, as a name and what belongs to it: "ended" with the failures and the node,
    "preempted" or "blind" (to the GPU that it has by Ray) with node and host, or "refused" with a
    report.
    """
    _go_to(ask.folder)
    if ask.device is None:  # without a GPU of its own, torch would see those that others have
        os.environ.pop("WHEREFROM_DEVICE", None)
        os.environ |= {} if gpus else {"WHEREFROM_DEVICE": "cpu"}
    if unfit := _unfit(ask):
        return "refused", Report(_node(), platform.node(), unfit, 0.0)
    if gpus and not _sees_gpu():
        return "blind", _node(), platform.node()
    try:
        bundle = pickle.loads(pickled)
    except ImportError as err:
        unfit = f"{err}: install there what is installed here"
        return "refused", Report(_node(), platform.node(), unfit, 0.0)
    where = f"{platform.node()}, process {os.getpid()}"
    if any(stage.kind in TRAINED for stage in bundle):
        # Seconds, on a busy disk minutes: no part of what a stage may take.
        importlib.import_module("wherefrom.gfms.engine")
    try:
        with _notice() as leaving:
            teller = _Teller(ask, box, leaving)
            try:
                failures = work(bundle, ask.store, teller.tell, where)
            finally:
                faulthandler.cancel_dump_traceback_later()
    except Preempted:
        return "preempted", _node(), platform.node()
    return "ended", failures, _node()


class _Teller:
    """Tells the mailbox how far stages are, and ends this process if it cannot for too long."""

    def __init__(self, ask: Ask, box: Any, leaving: threading.Event) -> None:
        self.ask, self.box, self.leaving = ask, box, leaving
        self.told = 0.0

    def tell(self, told: Told | str) -> None:
        if self.leaving.is_set():
            raise Preempted
        if isinstance(told, Told):
            # In C, so that not even code that never lets go of the interpreter outlasts it.
            faulthandler.dump_traceback_later(self.ask.limit(told), exit=True, file=2)
            now = time.monotonic()
            if 0.0 < told.share < 1.0 and now - self.told < _EVERY:
                return
            self.told = now
        self.box.put.remote(told)


@contextmanager
def _notice() -> Iterator[threading.Event]:
    """Set an event when the node is about to end, and end with it if nobody looks at that."""
    leaving = threading.Event()

    def leave(*_: object) -> None:
        leaving.set()
        faulthandler.dump_traceback_later(NOTICE, exit=True, file=2)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield leaving
    finally:
        signal.signal(signal.SIGTERM, before)


def _unfit(ask: Ask) -> str:
    """Say why this node cannot be used, or nothing; a process looks once."""
    if ask.token not in _FOUND:
        _FOUND[ask.token] = next(_lacks(ask), "")
    return _FOUND[ask.token]


def _sees_gpu() -> bool:
    from wherefrom.train import device

    return bool(device.gpus())


def _lacks(ask: Ask) -> Iterator[str]:
    ours = versions()
    differing = [
        f"{name} {ours[name]}, not {wanted}"
        for name, wanted in ask.versions.items()
        if _short(name, ours[name]) != _short(name, wanted)
    ]
    if differing:
        yield f"it has {'; '.join(differing)}: install the same versions, or results may differ"
    try:
        if ask.token not in ask.store.notes(PROBES):
            yield (
                f"it does not see the store {ask.store.name}: put it where all nodes see it under "
                "the same name, as on NFS or s3://"
            )
    except WherefromError as err:
        yield f"it cannot read the store: {err}"
    for file in ask.files:
        if not Path(file).exists():
            yield f"it does not see {file}: put it where all nodes see it under the same name"
    for name, key in ask.data["layers"].items():
        yield from _differs(f"layer {name!r}", key, lambda name=name: earth.layer_key(name))
    for name, key in ask.data["sources"].items():
        yield from _differs(
            f"source {name!r}", key, lambda name=name: absent(name) or digest_of(name)
        )


def _differs(what: str, wanted: str, look: Any) -> Iterator[str]:
    """Say that data of the Earth are others on this node, or not there."""
    try:
        found = look()
    except WherefromError as err:
        yield f"it lacks the {what} ({err})"
        return
    if found != wanted:
        yield (
            f"it has another {what} than this machine: run `wherefrom data fetch` there, or let "
            "WHEREFROM_DATA name a folder that both see"
        )


def _short(name: str, version: str) -> str:
    """Of Python the results do not depend on the last number."""
    return version.rpartition(".")[0] if name == "python" else version


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _go_to(folder: str) -> None:
    if Path(folder).is_dir():  # so that relative paths mean the same there as here
        os.chdir(folder)
