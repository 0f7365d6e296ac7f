"""Running a plan: resumable, with progress, one failure sinks no other stage."""

from __future__ import annotations

import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.progress import progress, say
from wherefrom.shown import count_of
from wherefrom.study import stages
from wherefrom.study.board import BEAT, Board, sweep
from wherefrom.study.cluster import Cluster
from wherefrom.study.processes import Processes
from wherefrom.study.results import READ
from wherefrom.study.stage import TRAINED, Plan, Stage
from wherefrom.study.status import write_plan
from wherefrom.study.store import Store
from wherefrom.study.usage import peak_bytes
from wherefrom.study.worker import FAILED, Failure
from wherefrom.train import ranks

__all__ = ["PATIENCE", "TERMINATED", "Outcome", "missing", "run"]

#: Seconds that a stage on a cluster may tell nothing.
PATIENCE = 1800.0
#: Exit code of a run that a SIGTERM ends: as the shell gives it.
TERMINATED = 128 + signal.SIGTERM
#: Seconds between two looks at what others do that share the store.
_OTHERS = 2.0


@dataclass(frozen=True)
class Outcome:
    """What a run did."""

    #: Numbers of stages.
    computed: int
    cached: int
    #: Wall clock of this call.
    seconds: float
    #: Bound on the peak of resident memory: the peak of this process, plus that of its largest
    #: worker times the workers. Pages that processes share are counted in each. Of a cluster None.
    peak_bytes: int | None
    #: Workers of a cluster that died; what they did was done again.
    lost: int = 0


def run(
    plan: Plan,
    store: Store,
    workers: int | None = None,
    *,
    cluster: str | None = None,
    patience: float = PATIENCE,
) -> Outcome:
    """Compute every stage of a plan that the store lacks.

    A second call computes nothing; a killed call goes on; what is damaged is said, and computed
    again if anything reads it. Calls that share a store at the same time share the work: none
    begins what another that lives is computing.

    The workers are processes, each with one thread for matrix products; by default one per
    available core. Where something is trained on GPUs, by default one per GPU; they share the
    cores, and more of them share the GPUs in turn. Where each pre-training takes several processes
    (`wherefrom.train.ranks.asked`), fewer workers run at a time. On a cluster they are Ray tasks of
    one core, or of one GPU and its share of the cores, and by default as many as there is room
    for. What a stage gives is the same bytes on CPUs of one kind, wherever it is computed, but for
    a pre-training of several processes, which is the same but for rounding.

    Parameters
    ----------
    plan : Plan
    store : Store
        On a cluster where all nodes see it.
    workers : int, optional
        At most so many bundles of stages at a time.
    cluster : str, optional
        Address of a Ray cluster, or ``auto`` or ``local``, as of `wherefrom.parallel.on`.
    patience : float, default 1800
        Seconds that a stage on a cluster may tell nothing, or 20 times its planned time if that is
        longer, before its worker is taken to hang and it is begun again.

    Raises
    ------
    WherefromError
        If a stage failed (the others were finished first), a worker was killed (on a cluster: six
        times without getting further), `workers` is less than 1, ``WHEREFROM_DEVICE`` names a
        device that is not there; or if the cluster cannot be reached or none of its nodes used.
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
    write_plan(plan, store)
    todo = missing(plan, store)
    bundles = _bundles(todo)
    each = ranks.checked(stage.of for stage in todo if stage.kind == "pretrain")
    used = lost = 0
    if todo and cluster is not None:
        with (
            _told_to_end(),
            Board(todo, store, plan, cluster) as board,
            Cluster(cluster, store, todo, workers, patience, each, board) as crew,
        ):
            _run(bundles, store, crew, board, _Folders(todo))
        lost = crew.lost
    elif todo:
        gpus = ranks.groups(_gpus(todo), each)
        used = min(ranks.at_once(workers, gpus, each), len(bundles))
        with (
            _told_to_end(),
            Board(todo, store, plan, None) as board,
            Processes(store, used, gpus, board.hear) as local,
        ):
            _run(bundles, store, local, board, _Folders(todo))
    else:
        sweep(store)  # of a call that was killed when all was done
    own, child = peak_bytes(), peak_bytes(resource.RUSAGE_CHILDREN)
    return Outcome(
        computed=len(todo),
        cached=len(plan.stages) - len(todo),
        seconds=time.perf_counter() - began,
        peak_bytes=own + child * used if cluster is None else None,
        lost=lost,
    )


def missing(plan: Plan, store: Store) -> list[Stage]:
    """Return the stages to compute: those not there, and damaged ones that are going to be read."""
    lacks = {stage.key for stage in plan.stages} - store.finished(plan.stages)
    read = [s for s in plan.stages if s.kind in READ]
    read += [i for s in plan.stages if s.key in lacks for i in s.inputs.values()]
    known = set(lacks)
    while new := list({s.key: s for s in read if s.key not in known}.values()):
        known.update(stage.key for stage in new)
        read = []
        with progress() as bar:
            faults = parallel.here(
                lambda stage: store.fault(stage.kind, stage.key), new, store.threads
            )
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
    if not {stage.kind for stage in todo} & TRAINED:
        return ()
    from wherefrom.train import device  # and torch with it

    say(device.said())
    return device.gpus()


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

    def changed(self, store: Store) -> list[Failure]:
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
        return [Failure(f"{folder} {said}", False) for folder, _ in sorted(self.other)]

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


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Let a SIGTERM, as of a batch system, end a run as Ctrl-C does: with nothing left behind."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # whoever calls has an answer of their own
        return

    def end(*_: object) -> None:
        sys.exit(TERMINATED)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Crew(Protocol):
    """Workers: processes of this machine, or tasks of a cluster."""

    @property
    def room(self) -> int: ...

    @property
    def busy(self) -> bool: ...

    def begin(self, bundle: list[Stage]) -> None: ...

    def ended(self, seconds: float) -> Iterator[tuple[list[Stage], list[Failure]]]: ...


def _run(
    waiting: list[list[Stage]], store: Store, crew: _Crew, board: Board, folders: _Folders
) -> None:
    pending = {stage.key for bundle in waiting for stage in bundle}
    failures: list[Failure] = []
    while waiting or crew.busy:
        ready = [bundle for bundle in waiting if _is_ready(bundle, pending)]
        if board.others:
            ready, others = _divided(ready, store, board)
            for bundle in others:
                waiting.remove(bundle)
                pending -= {stage.key for stage in bundle}
                board.through(bundle)
                folders.read_by(bundle)
            if others:
                continue  # what waited for these is ready now
        for bundle in board.claim(ready[: crew.room]):
            waiting.remove(bundle)
            crew.begin(bundle)
        if not crew.busy:
            if not (board.others and board.held()):
                break  # what waits depends on what failed
            time.sleep(_OTHERS)
        for bundle, failed in crew.ended(_OTHERS if board.others else BEAT / 2):
            for failure in failed:
                failures.append(failure)
                board.fail(failure.message)
            pending -= store.finished(bundle)
            board.leave(bundle)
            folders.read_by(bundle)
        board.beat()
    failures += folders.changed(store)
    if failures:
        logs = f"; logs: {store.name}/{FAILED}" if board.about["cluster"] else ""
        _raise(failures, len(pending) - len(failures), logs)


def _divided(
    ready: list[list[Stage]], store: Store, board: Board
) -> tuple[list[list[Stage]], list[list[Stage]]]:
    """Tell bundles that are left to do from those that other calls did in the same store.

    What others are doing is neither.
    """
    board.look()
    there = store.finished(stage for bundle in ready for stage in bundle)
    held = board.held()
    left, done = [], []
    for bundle in ready:
        keys = {stage.key for stage in bundle}
        if keys <= there:
            done.append(bundle)
        elif not keys & held.keys():
            left.append(bundle)
    return left, done


def _is_ready(bundle: list[Stage], pending: set[str]) -> bool:
    own = {s.key for s in bundle}
    needs = {i.key for s in bundle for i in s.inputs.values()}
    return not ((needs - own) & pending)


def _raise(failures: list[Failure], skipped: int, logs: str = "") -> None:
    first = next((failure for failure in failures if failure.is_defect), failures[0])
    more = f" ({len(failures) - 1} more failed)" if len(failures) > 1 else ""
    after = f"; not run without it: {count_of(skipped, 'stage')}" if skipped > 0 else ""
    if first.is_defect:
        raise RuntimeError(f"{first.message}{more}{after}{logs}; this is a defect of wherefrom")
    raise WherefromError(f"{first.message}{more}{after}{logs}")
