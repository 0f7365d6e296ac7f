"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.study.stage import Stage
from wherefrom.study.store import Store
from wherefrom.study.worker import Failure, Told, work

__all__ = ["THREADS", "Processes"]

#: Variables that set the threads of each process's matrix products.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SENT: Any = None  # the worker's end of the queue


class Processes:
    """Processes of this machine, each with one thread for matrix products, or a share of a GPU's.

    Parameters
    ----------
    store : Store
    workers : int
        Processes.
    gpus : tuple of str
        GPUs that they share in turn; if there are none, each has a core.
    hear : callable
        Given what workers tell.
    """

    def __init__(
        self,
        store: Store,
        workers: int,
        gpus: tuple[str, ...],
        hear: Callable[[Told | str], None],
    ) -> None:
        self.store, self.workers, self.hear = store, workers, hear
        self.sent: Any = parallel.SPAWNED.Queue()
        self.given: Any = None
        if gpus:
            self.given = parallel.SPAWNED.Queue()
        for worker in range(workers) if gpus else ():
            self.given.put(gpus[worker % len(gpus)])
        self.threads = max(1, parallel.cores() // workers) if gpus else 1
        self.running: dict[Future[list[Failure]], list[Stage]] = {}
        self.stop = threading.Event()

    def __enter__(self) -> Processes:
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        self.pool = ProcessPoolExecutor(
            self.workers,
            mp_context=parallel.SPAWNED,
            initializer=_begin,
            initargs=(self.sent, self.given),
        )
        return self

    def __exit__(self, *_: object) -> None:
        for process in list((self.pool._processes or {}).values()):
            process.terminate()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.stop.set()
        self.listener.join()

    @property
    def room(self) -> int:
        """How many more bundles may be begun: one waits, so that no worker does."""
        return max(0, self.workers + 1 - len(self.running))

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return bool(self.running)

    def begin(self, bundle: list[Stage]) -> None:
        """Hand a bundle to the workers, which never see Ctrl-C: it is the parent's business.

        A worker that is started here inherits the mask, so that not even its imports are
        interrupted, and the number of threads.
        """
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _threads(self.threads):
                self.running[self.pool.submit(_bundle, bundle, self.store)] = bundle
        except BrokenProcessPool:
            raise _killed() from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)

    def ended(self, seconds: float) -> Iterator[tuple[list[Stage], list[Failure]]]:
        """Wait so long at most for bundles that are through, and give each with what failed."""
        for future in wait(self.running, seconds, FIRST_COMPLETED).done:
            bundle = self.running.pop(future)
            try:
                yield bundle, future.result()
            except BrokenProcessPool:
                raise _killed() from None

    def _listen(self) -> None:
        while True:
            try:
                self.hear(self.sent.get(timeout=0.2))
            except queue.Empty:
                if self.stop.is_set():
                    return


def _killed() -> WherefromError:
    return WherefromError(
        "a worker process was killed (out of memory, or from outside); what was finished is kept: "
        "run the same command to go on, with --workers 1 if memory was short"
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many for each worker's products; on CPUs two workers of one beat two threads in one."""
    old = {name: os.environ[name] for name in THREADS if name in os.environ}
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    try:
        yield
    finally:
        for name in THREADS:
            os.environ.pop(name, None)
        os.environ.update(old)


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


def _bundle(bundle: list[Stage], store: Store) -> list[Failure]:
    return work(bundle, store, _SENT.put)
