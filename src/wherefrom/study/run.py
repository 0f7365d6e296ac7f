"""Running a plan in local processes: resumable, with progress, one failure sinks no other stage."""

from __future__ import annotations

import multiprocessing
import os
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.progress import console, noted, progress, say
from wherefrom.shown import count_of
from wherefrom.study import stages
from wherefrom.study.results import READ
from wherefrom.study.stage import Plan, Stage
from wherefrom.study.store import Store
from wherefrom.train.heads import kind_of_head

__all__ = ["Outcome", "missing", "run"]

_SENT: Any = None  # the worker's end of the progress queue
_NOTE = 10.0  # seconds between two notes of the time spent


@dataclass(frozen=True)
class Outcome:
    """What a run did."""

    #: Numbers of stages.
    computed: int
    cached: int
    #: Wall clock of this call.
    seconds: float
    #: Bound on the peak of resident memory: the peak of this process, plus that of its largest
    #: worker times the workers. Pages that processes share are counted in each.
    peak_bytes: int


class _Failure(NamedTuple):
    """A stage that failed, in words, since not every exception survives the way to the parent."""

    message: str
    is_defect: bool


def run(plan: Plan, store: Store, workers: int | None = None) -> Outcome:
    """Compute every stage of a plan that the store lacks.

    A second call computes nothing; a killed call goes on; what is damaged is said, and computed
    again if anything reads it. The workers are processes, each with one thread for matrix products;
    by default one per available core. Where something is trained on GPUs, by default one per GPU;
    they share the cores, and more of them share the GPUs in turn.

    Raises
    ------
    WherefromError
        If a stage failed (the others were finished first), a worker was killed, `workers` is less
        than 1, or ``WHEREFROM_DEVICE`` names a device that is not there.
    RuntimeError
        If a stage failed by a defect of the code; holds the worker's traceback.
    """
    if workers is not None and workers < 1:
        raise WherefromError(f"workers must be 1 or more, not {workers}")
    began = time.perf_counter()
    for what, why in plan.study.unmatched.items():
        say(f"left out {what}: {why}")
    for what, why in plan.study.unread.items():
        say(f"not read: {what}: {why}")
    for what in plan.study.tuned.unfit:
        say(what)
    todo = missing(plan, store)
    bundles = _bundles(todo)
    gpus = _gpus(todo)
    used = min(workers or len(gpus) or parallel.cores(), len(bundles))
    if todo:
        _run(bundles, store, used, gpus, _Clock(store, plan.key), _Folders(todo))
    own, child = (
        resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return Outcome(
        computed=len(todo),
        cached=len(plan.stages) - len(todo),
        seconds=time.perf_counter() - began,
        peak_bytes=own + child * used,
    )


def missing(plan: Plan, store: Store) -> list[Stage]:
    """Return the stages to compute: those not there, and damaged ones that are going to be read."""
    lacks = {s.key for s in plan.stages if not store.done(s.kind, s.key)}
    read = [s for s in plan.stages if s.kind in READ]
    read += [i for s in plan.stages if s.key in lacks for i in s.inputs.values()]
    known = set(lacks)
    while new := list({s.key: s for s in read if s.key not in known}.values()):
        known.update(stage.key for stage in new)
        read = []
        with progress() as bar:
            faults = parallel.here(lambda stage: store.fault(stage.kind, stage.key), new)
            checked = bar.track(zip(new, faults, strict=True), len(new), description="checking")
            for stage, fault in checked:
                if fault:
                    say(f"{fault}: {stage.label} is computed again")
                    store.drop(stage.kind, stage.key)
                    lacks.add(stage.key)
                    read += stage.inputs.values()
    return [stage for stage in plan.stages if stage.key in lacks]


def _gpus(todo: list[Stage]) -> tuple[str, ...]:
    """Name the GPUs on which stages are trained and scored, and say the device."""
    if not {stage.kind for stage in todo} & {"pretrain", "fewshot", "tune"}:
        return ()
    from wherefrom.train import device  # and torch with it

    say(device.said())
    return device.gpus()


class _Clock:
    """Notes the time that this call spends, now and then, so that a kill loses seconds of it."""

    def __init__(self, store: Store, plan: str) -> None:
        self.store, self.plan = store, plan
        self.call = f"{time.time_ns()}-{os.getpid()}"
        self.began = self.noted = time.perf_counter()

    def note(self, *, last: bool = False) -> None:
        now = time.perf_counter()
        if last or now - self.noted >= _NOTE:
            self.noted = now
            # A disk that is full, or closed to us, is the stages' to report, not the clock's.
            with suppress(WherefromError):
                self.store.spend(self.plan, self.call, now - self.began)


class _Folders:
    """Folders of the user's that stages read.

    Workers look once whether one holds what it held when it was planned; whether it still does is
    looked at when the last stage that reads it is finished.
    """

    def __init__(self, todo: list[Stage]) -> None:
        self.todo = todo
        self.left: dict[tuple[str, str], set[str]] = {}
        self.other: set[tuple[str, str]] = set()
        for stage in todo:
            for folder in stage.files.items():
                if Path(folder[0]).is_dir():
                    self.left.setdefault(folder, set()).add(stage.key)

    def read_by(self, bundle: list[Stage]) -> None:
        """Note that these stages are finished."""
        done = {stage.key for stage in bundle}
        for folder, keys in list(self.left.items()):
            keys -= done
            if not keys:
                self._look(folder)

    def changed(self, store: Store) -> list[_Failure]:
        """Take away what was made of folders that changed meanwhile, and say which these are."""
        for folder in list(self.left):
            self._look(folder)
        wrong: set[str] = set()
        for stage in self.todo:  # each after those that it is made from
            made_from = {other.key for other in stage.inputs.values()}
            if self.other & stage.files.items() or wrong & made_from:
                wrong.add(stage.key)
                store.drop(stage.kind, stage.key)
        said = "changed while it was read, and what was made of it is taken away: run it again"
        return [_Failure(f"{folder} {said}", False) for folder, _ in sorted(self.other)]

    def _look(self, folder: tuple[str, str]) -> None:
        del self.left[folder]
        if not stages.holds(*folder):
            self.other.add(folder)


def _bundles(missing: list[Stage]) -> list[list[Stage]]:
    """Group stages that share a process; costly bundles first, so that none straggles."""
    groups: dict[str, list[Stage]] = {}
    for stage in missing:
        groups.setdefault(stage.bundle, []).append(stage)
    return sorted(groups.values(), key=lambda group: -sum(stage.cost for stage in group))


def _run(
    waiting: list[list[Stage]],
    store: Store,
    workers: int,
    gpus: tuple[str, ...],
    clock: _Clock,
    folders: _Folders,
) -> None:
    sent: Any = parallel.SPAWNED.Queue()
    given: Any = parallel.SPAWNED.Queue() if gpus else None
    for worker in range(workers if gpus else 0):
        given.put(gpus[worker % len(gpus)])
    pending = {(s.kind, s.key) for bundle in waiting for s in bundle}
    failures: list[_Failure] = []
    total = sum(stage.cost for bundle in waiting for stage in bundle)
    running: dict[Future[list[_Failure]], list[Stage]] = {}
    threads = max(1, parallel.cores() // workers) if gpus else 1
    with _threads(threads), _Display(total, sent) as display:
        pool = ProcessPoolExecutor(
            workers, mp_context=parallel.SPAWNED, initializer=_begin, initargs=(sent, given)
        )
        try:
            while waiting or running:
                ready = [b for b in waiting if _is_ready(b, pending)]
                for bundle in ready[: max(0, workers + 1 - len(running))]:
                    waiting.remove(bundle)
                    running[_submit(pool, bundle, store)] = bundle
                if not running:
                    break  # what waits depends on what failed
                for future in wait(running, _NOTE, FIRST_COMPLETED).done:
                    bundle = running.pop(future)
                    for failure in future.result():
                        failures.append(failure)
                        display.say(f"failed: {failure.message}")
                    pending -= {(s.kind, s.key) for s in bundle if store.done(s.kind, s.key)}
                    folders.read_by(bundle)
                clock.note()
        except BrokenProcessPool:
            raise WherefromError(
                "a worker process was killed (out of memory, or from outside); what was finished "
                "is kept: run the same command to go on, with --workers 1 if memory was short"
            ) from None
        finally:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            clock.note(last=True)
    failures += folders.changed(store)
    if failures:
        _raise(failures, len(pending) - len(failures))


def _submit(pool: ProcessPoolExecutor, bundle: list[Stage], store: Store) -> Future[list[_Failure]]:
    """Hand a bundle to the workers, which never see Ctrl-C: it is the parent's business.

    A worker that is started here inherits the mask, so that not even its imports are interrupted.
    """
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_bundle, bundle, store)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _is_ready(bundle: list[Stage], pending: set[tuple[str, str]]) -> bool:
    own = {(s.kind, s.key) for s in bundle}
    needs = {(i.kind, i.key) for s in bundle for i in s.inputs.values()}
    return not ((needs - own) & pending)


def _raise(failures: list[_Failure], skipped: int) -> None:
    first = next((failure for failure in failures if failure.is_defect), failures[0])
    more = f" ({len(failures) - 1} more failed)" if len(failures) > 1 else ""
    after = f"; not run without it: {count_of(skipped, 'stage')}" if skipped > 0 else ""
    if first.is_defect:
        raise RuntimeError(f"{first.message}{more}{after}; this is a defect of wherefrom")
    raise WherefromError(f"{first.message}{more}{after}")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many for each worker's products; on CPUs two workers of one beat two threads in one."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    old = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(old)


class _Display:
    """A bar over expected seconds, fed by the workers; plain lines where nobody watches."""

    def __init__(self, total: float, sent: Any) -> None:
        self.bar = progress()
        self.total, self.sent = total, sent
        self.finished, self.began = 0.0, time.perf_counter()
        self.said = self.began
        self.shares: dict[str, float] = {}
        self.notes: set[str] = set()
        self.stop = threading.Event()

    def __enter__(self) -> _Display:
        self.bar.start()
        self.row = self.bar.add_task("study", total=max(1, round(self.total)))
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.bar.stop()

    def say(self, text: str) -> None:
        self.bar.console.print(text, soft_wrap=True)

    def _listen(self) -> None:
        while True:
            try:
                told = self.sent.get(timeout=0.2)
            except queue.Empty:
                if self.stop.is_set():
                    return
                continue
            if isinstance(told, str):
                if told not in self.notes:  # another worker may have said it
                    self.say(told)
                self.notes.add(told)
                continue
            label, cost, share = told
            self.finished += cost * (share - self.shares.get(label, 0.0))
            self.shares[label] = share
            done = self.finished / self.total if self.total else 1.0
            self.bar.update(self.row, completed=done * self.total, description=f"{label:<44.44}")
            now = time.perf_counter()
            # Before a hundredth is done, nobody knows how long the rest takes.
            if not console.is_terminal and now - self.said > 15 and done > 0.01:
                self.said = now
                left = (now - self.began) * (1 - done) / done
                self.say(f"{done:4.0%}  about {left / 60:.1f} min left  {label}")


def _begin(sent: Any, gpus: Any = None) -> None:
    """Prepare a worker: its progress goes to the parent, and it does not outlive the parent.

    If there are GPUs, it takes the next one that is given.
    """
    global _SENT
    _SENT = sent
    if gpus is not None:
        os.environ["WHEREFROM_DEVICE"] = gpus.get()
    # A parent that was killed outright terminates nobody: its workers would go on computing. What
    # it holds open tells so, even if it died while this process was importing.
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    with parallel.quiet():
        threading.Thread(target=watch, daemon=True).start()


def _bundle(bundle: list[Stage], store: Store) -> list[_Failure]:
    """Compute a bundle's stages in a worker; one that fails stops only those made from it."""
    failures: list[_Failure] = []
    lost: set[str] = set()
    for stage in bundle:
        if lost & {other.key for other in stage.inputs.values()}:
            lost.add(stage.key)
            continue
        tell = partial(_tell, stage)
        tell(0.0)
        try:
            if not store.done(stage.kind, stage.key):
                with noted(partial(_note, stage)):
                    stages.compute(stage, store, tell)
        except Exception as err:
            # Another process that shares the store may have finished it and cleared its ground.
            if store.done(stage.kind, stage.key):
                store.tidy(stage.kind, stage.key)
            else:
                failures.append(_failure(stage, err))
                lost.add(stage.key)
        tell(1.0)
    return failures


def _failure(stage: Stage, err: Exception) -> _Failure:
    """Put an exception into words; the traceback of a defect is lost unless written down here."""
    if isinstance(err, WherefromError):
        return _Failure(f"{stage.label}: {err}", False)
    if said := parallel.lack(err):
        return _Failure(f"{stage.label}: {said}", False)
    if foreign := _foreign(stage, err):
        said = " ".join(str(err).split())
        return _Failure(
            f"{stage.label}: {foreign} with {type(err).__name__}: {said}; mend it, and try "
            "wherefrom.testing on it",
            False,
        )
    return _Failure(f"{stage.label}: {err}\n{traceback.format_exc()}", True)


def _foreign(stage: Stage, err: Exception) -> str:
    """Say which code of other people a failed stage was in, or was given something by; or none."""
    kinds = [type(stage.of).__module__]
    if "head" in stage.spec:
        kinds.append(kind_of_head(stage.spec["head"]).__module__)
    there = {name.partition(".")[0] for name in kinds} - {"wherefrom", "builtins"}
    frames = [
        frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(err.__traceback__)
    ]
    inside = next((name for name in reversed(frames) if name.partition(".")[0] in there), "")
    if inside:
        return f"{inside} fails"
    return f"wherefrom fails on what {', '.join(sorted(there))} gave it" if there else ""


def _tell(stage: Stage, share: float) -> None:
    _SENT.put((stage.label, stage.cost, share))


def _note(stage: Stage, text: str) -> None:
    _SENT.put(f"note: {stage.label}: {text}")
