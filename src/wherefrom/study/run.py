"""Running a plan in local processes: resumable, with progress, one failure sinks no other stage."""

from __future__ import annotations

import multiprocessing
import os
import queue
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from wherefrom.errors import WherefromError
from wherefrom.progress import console, progress
from wherefrom.study import stages
from wherefrom.study.plan import Plan, Stage
from wherefrom.study.store import Store

__all__ = ["Outcome", "run"]

_SENT: Any = None  # the worker's end of the progress queue


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes
    ----------
    computed, cached : int
        Numbers of stages.
    seconds : float
        Wall clock of this call.
    peak_bytes : int
        Peak resident memory of this process plus that of its largest worker times the workers.
    """

    computed: int
    cached: int
    seconds: float
    peak_bytes: int


def run(plan: Plan, store: Store, workers: int | None = None) -> Outcome:
    """Compute every stage of a plan that the store lacks.

    Parameters
    ----------
    plan : Plan
        What to compute.
    store : Store
        Where results are and go. A second call computes nothing; a killed call goes on.
    workers : int, optional
        Processes, each with one thread for matrix products; by default one per available core.

    Returns
    -------
    Outcome
        Counts, seconds and peak memory.

    Raises
    ------
    WherefromError
        If a stage failed (the others were finished first), or a worker was killed.
    """
    began = time.perf_counter()
    missing = [stage for stage in plan.stages if not store.done(stage.kind, stage.key)]
    cached = len(plan.stages) - len(missing)
    if missing:
        _run(_bundles(missing), store, workers or len(os.sched_getaffinity(0)))
    own, child = (
        resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    peak = own + child * (workers or len(os.sched_getaffinity(0)))
    return Outcome(len(missing), cached, time.perf_counter() - began, peak if missing else own)


def _bundles(missing: list[Stage]) -> list[list[Stage]]:
    """Group stages that share a process; costly bundles first, so that none straggles."""
    groups: dict[str, list[Stage]] = {}
    for stage in missing:
        groups.setdefault(stage.bundle, []).append(stage)
    return sorted(groups.values(), key=lambda group: -sum(stage.cost for stage in group))


def _run(waiting: list[list[Stage]], store: Store, workers: int) -> None:
    context = multiprocessing.get_context("spawn")
    sent: Any = context.Queue()
    pending = {(s.kind, s.key) for bundle in waiting for s in bundle}
    failures: list[tuple[str, BaseException]] = []
    total = sum(stage.cost for bundle in waiting for stage in bundle)
    running: dict[Future[None], list[Stage]] = {}
    with _environment(), _Display(total, sent) as display:
        pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_begin, initargs=(sent,)
        )
        try:
            while waiting or running:
                ready = [b for b in waiting if _is_ready(b, pending)]
                for bundle in ready[: max(0, workers + 1 - len(running))]:
                    waiting.remove(bundle)
                    running[pool.submit(_bundle, bundle, store)] = bundle
                if not running:
                    break  # what waits depends on what failed
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    bundle = running.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise WherefromError(
                            "a worker process was killed (out of memory, or from outside); what "
                            "was finished is kept: run the same command to go on, with "
                            "--workers 1 if memory was short"
                        )
                    if error is not None:
                        failures.append((bundle[-1].bundle, error))
                        display.say(f"failed: {bundle[-1].bundle}: {error}")
                    pending -= {(s.kind, s.key) for s in bundle if store.done(s.kind, s.key)}
        finally:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
    if failures:
        _raise(failures, len(waiting))


def _is_ready(bundle: list[Stage], pending: set[tuple[str, str]]) -> bool:
    own = {(s.kind, s.key) for s in bundle}
    needs = {(i.kind, i.key) for s in bundle for i in s.inputs.values()}
    return not ((needs - own) & pending)


def _raise(failures: list[tuple[str, BaseException]], skipped: int) -> None:
    name, first = failures[0]
    more = f" ({len(failures) - 1} more failed)" if len(failures) > 1 else ""
    after = f"; {skipped} that depend on it were not run" if skipped else ""
    if isinstance(first, WherefromError):
        raise WherefromError(f"{name}: {first}{more}{after}") from first
    raise RuntimeError(
        f"stage {name} failed{more}{after}; this is a defect of wherefrom"
    ) from first


class _environment:  # noqa: N801
    """One thread for each worker's matrix products: two such workers beat two threads in one."""

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

    def __enter__(self) -> None:
        self.old = {name: os.environ.get(name) for name in self.names}
        os.environ.update(dict.fromkeys(self.names, "1"))

    def __exit__(self, *_: object) -> None:
        for name, value in self.old.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Display:
    """A bar over expected seconds, fed by the workers; plain lines where nobody watches."""

    def __init__(self, total: float, sent: Any) -> None:
        self.bar = progress()
        self.total, self.sent = total, sent
        self.finished, self.began = 0.0, time.perf_counter()
        self.said = self.began
        self.shares: dict[str, float] = {}
        self.stop = threading.Event()

    def __enter__(self) -> _Display:
        self.bar.start()
        self.row = self.bar.add_task("study", total=round(self.total))
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.bar.stop()

    def say(self, text: str) -> None:
        self.bar.console.print(text, markup=False, soft_wrap=True)

    def _listen(self) -> None:
        while not self.stop.is_set():
            try:
                label, cost, share = self.sent.get(timeout=0.2)
            except queue.Empty:
                continue
            self.finished += cost * (share - self.shares.get(label, 0.0))
            self.shares[label] = share
            done = self.finished / self.total if self.total else 1.0
            self.bar.update(
                self.row, completed=round(done * self.total), description=f"{label:<44.44}"
            )
            now = time.perf_counter()
            if not console.is_terminal and now - self.said > 15:
                self.said = now
                left = (now - self.began) * (1 - done) / max(done, 1e-9)
                self.say(f"{done:4.0%}  about {left / 60:.1f} min left  {label}")


def _begin(sent: Any) -> None:
    """Prepare a worker: its progress goes to the parent, Ctrl-C is the parent's business."""
    import signal

    global _SENT
    _SENT = sent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A worker must not outlive a parent that was killed outright: it would go on computing.
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _bundle(bundle: list[Stage], store: Store) -> None:
    """Compute a bundle's stages in a worker."""
    for stage in bundle:
        tell = _teller(stage)
        tell(0.0)
        if not store.done(stage.kind, stage.key):
            try:
                stages.compute(stage, store, tell)
            except WherefromError:
                raise
            except Exception as err:
                # The traceback of a worker is lost in transit unless it is written down here.
                raise RuntimeError(f"{stage.label}: {err}\n{traceback.format_exc()}") from None
        tell(1.0)


def _teller(stage: Stage) -> Callable[[float], None]:
    def tell(share: float) -> None:
        _SENT.put((stage.label, stage.cost, share))

    return tell
