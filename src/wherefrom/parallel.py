"""Work on the pieces of a pool, here on threads or on a Ray cluster, results in order.

Which of the two is a context, as in joblib and Dask: nothing in between hands an address on::

    with parallel.on("10.0.0.7:6379"):
        wherefrom.draw("world", "stratified:layer=biome", n=1_000_000)
"""

from __future__ import annotations

import importlib
import multiprocessing.context
import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import MEMORY, WherefromError, of_the_system

__all__ = [
    "NO_RAY",
    "SPAWNED",
    "by_blocks",
    "connected",
    "cores",
    "here",
    "in_order",
    "lack",
    "on",
    "quiet",
    "refuse_silent",
]

#: Rows of a block.
_ROWS = 1 << 16
T = TypeVar("T")
R = TypeVar("R")

#: How often a task is started again after its worker died (killed, out of memory, node lost).
RETRIES = 5

NO_RAY = "--cluster needs Ray, which is not installed: pip install 'wherefrom[cluster]'"

#: What this module connected the process to: the cluster as it was named, its address, and Ray's
#: number of the connection there.
_connected = ("", "", "")

#: The remedy, once memory has run out in this process.
_short = ""

#: Address of the cluster that the code here runs `on`.
_address: ContextVar[str | None] = ContextVar("_address", default=None)


@contextmanager
def on(cluster: str | None) -> Iterator[None]:
    """Let all passes over pools in the block run on a Ray cluster.

    Parameters
    ----------
    cluster : str or None
        Address of a running Ray cluster, such as ``10.0.0.7:6379``; ``auto`` finds the one of
        this machine; ``local`` starts one here. Its nodes see the same files and have the same
        version of wherefrom; they get the ``WHEREFROM_`` variables of this process. None: threads
        here, as outside the block.

    Raises
    ------
    WherefromError
        By the first pass: if Ray is absent or the cluster cannot be reached.

    Examples
    --------
    >>> with on(None):
    ...     list(in_order(len, ["a", "bb"]))
    [1, 2]
    """
    before = _address.set(cluster)
    try:
        yield
    finally:
        _address.reset(before)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def quiet() -> Iterator[None]:
    """End a worker process without a word where the system lacks something.

    Its driver says it in one line; a traceback beside that helps nobody.
    """
    try:
        yield
    except Exception as err:
        if not lack(err):
            raise
        os._exit(1)


def lack(err: Exception) -> str:
    """Say what the system lacks, and the remedy, if an error of this worker comes from that.

    Where memory has run out once, amid an import, whatever fails later fails by that, in any words.
    """
    global _short
    said = of_the_system(err) or _short
    _short = MEMORY if said == MEMORY else _short
    return said


class _Worker(multiprocessing.context.SpawnProcess):
    """A process that is `quiet` from the first import of what it runs to its end."""

    # In one piece, so that it is unpickled, and its modules are imported, where it can be caught.
    def __getstate__(self) -> bytes:
        return bytes(ForkingPickler.dumps(self.__dict__))

    def __setstate__(self, state: bytes) -> None:
        with quiet():
            self.__dict__.update(pickle.loads(state))

    def run(self) -> None:
        with quiet():
            super().run()


class _Spawned(multiprocessing.context.SpawnContext):
    Process = _Worker


#: What starts worker processes that share nothing with this one.
SPAWNED = _Spawned()


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int | None = None,
) -> Iterator[R]:
    """Call a function on every item, several at a time, and give the results in item order.

    At most two items per worker are begun and not yet taken by the caller, so that memory does
    not grow with the number of items. The results do not depend on `workers` (by default the cores
    of this process, or of the cluster), nor on where the work is done (`on`). NumPy and Parquet
    release the interpreter's lock, and threads share what is loaded once, such as the index of a
    layer.

    The function may be called twice on an item (a Ray worker can die after the work and before the
    answer): what it writes, it replaces whole. On a cluster it, the items and the results are
    picklable and left unchanged. The first error, in item order, is raised in its place, and what
    was not begun is dropped; so it is when the iterator is closed.

    Raises
    ------
    WherefromError
        If Ray is absent, the cluster cannot be reached, or it lost a task's worker too often.

    Examples
    --------
    >>> list(in_order(len, ["a", "bb", "ccc"], workers=2))
    [1, 2, 3]
    """
    if (cluster := _address.get()) is not None:
        return _on_cluster(connected(cluster), cluster, function, iter(items), workers)
    return here(function, items, workers)


def here(function: Callable[[T], R], items: Iterable[T], workers: int | None = None) -> Iterator[R]:
    """Do as `in_order`, but always on threads of this process.

    For work on what lies in its memory, or whose purpose is what it leaves there.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}: it counts threads, from 1 on")
    workers = workers or cores()
    if workers == 1:
        return map(function, items)
    return _on_threads(function, iter(items), workers)


def by_blocks(function: Callable[[NDArray[Any]], NDArray[Any]], of: NDArray[Any]) -> NDArray[Any]:
    """Return ``function(of)``, made in blocks on threads and put together in their order.

    >>> by_blocks(np.negative, np.arange(3))
    array([ 0, -1, -2])
    """
    if len(of) <= _ROWS:
        return function(of)
    parts = (of[at : at + _ROWS] for at in range(0, len(of), _ROWS))
    return np.concatenate(list(here(function, parts)))


def _on_threads(function: Callable[[T], R], items: Iterator[T], workers: int) -> Iterator[R]:
    """Keep two items per thread begun, ahead of the caller."""
    begun: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="wherefrom")
    try:
        for item in items:
            begun.append(pool.submit(function, item))
            if len(begun) == 2 * workers:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _on_cluster(
    ray: Any,
    cluster: str,
    function: Callable[[T], R],
    items: Iterator[T],
    workers: int | None,
) -> Iterator[R]:
    """Keep two Ray tasks per core of the cluster begun, ahead of the caller."""
    ours = {name: text for name, text in os.environ.items() if name.startswith("WHEREFROM_")}
    task = ray.remote(_on_worker).options(
        num_cpus=1,
        max_retries=RETRIES,
        name=f"wherefrom:{getattr(getattr(function, 'func', function), '__name__', 'task')}",
        runtime_env={"env_vars": ours} if ours else None,
    )
    shared = ray.put(function)  # may hold a million strata: sent once, not with every item
    begun: deque[Any] = deque()

    def oldest() -> R:
        result: R = pickle.loads(_fetch(ray, cluster, begun[0]))
        begun.popleft()
        return result

    # What is begun when the caller stops is left to end: cancelling a task that ends meanwhile can
    # abort the whole process (Ray 2.60, "Tried to complete task that was not pending").
    for item in items:
        begun.append(task.remote(shared, item, str(Path.cwd()), version("wherefrom")))
        while len(begun) >= 2 * (workers or _cores_of(ray)):
            yield oldest()
    while begun:
        yield oldest()


def _on_worker(function: Callable[[T], R], item: T, folder: str, expected: str) -> bytes:
    """Call the function in a worker as it would be called by the one who asks."""
    if (here := version("wherefrom")) != expected:
        raise WherefromError(
            f"a node of the cluster has wherefrom {here}, this machine {expected}: install the "
            "same version on both, or the results may differ"
        )
    if Path(folder).is_dir():  # so that relative paths mean the same there as here
        os.chdir(folder)
    # Pickled here, since arrays out of Ray's store are read-only, those of threads are not.
    cloudpickle = importlib.import_module("ray.cloudpickle")
    return bytes(cloudpickle.dumps(function(item)))


def _fetch(ray: Any, cluster: str, reference: Any) -> bytes:
    """Wait for a task, and raise what its function raised as if it had been called here."""
    try:
        answer: bytes = ray.get(reference)
    except ray.exceptions.RayTaskError as err:
        if isinstance(err.cause, Exception):
            raise err.cause from None
        raise
    except ray.exceptions.RayError as err:
        said = str(err).strip().partition("\n")[0]
        raise WherefromError(
            f"the Ray cluster {cluster} gave up on a task after {RETRIES} new starts "
            f"({type(err).__name__}: {said}); give its workers more memory, or leave --cluster out"
        ) from err
    return answer


def _cores_of(ray: Any) -> int:
    """Cores of the cluster now: nodes come and go."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def connected(cluster: str) -> Any:
    """Connect this process to the cluster, once, and return Ray.

    Raises
    ------
    WherefromError
        If Ray is absent, the cluster cannot be reached, or the process is connected to another.
    """
    global _connected
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as err:
        raise WherefromError(NO_RAY) from err
    if ray.is_initialized():
        context = ray.get_runtime_context()
        there, job = context.gcs_address, context.get_job_id()
        if cluster in (there, "auto") or (cluster, there, job) == _connected:
            return ray
        if (there, job) != _connected[1:]:
            raise WherefromError(
                f"this process is connected to the Ray cluster {there}, not to {cluster}: call "
                "ray.shutdown() first, or name that one"
            )
        ray.shutdown()
    refuse_silent(cluster)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # `local` would report to Ray's makers
    try:
        ray.init(address=cluster, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as err:
        said = " ".join(str(err).split())[:300]
        raise WherefromError(
            f"cannot connect to the Ray cluster {cluster!r} ({said}); start one with "
            "`ray start --head` and name its address, or leave --cluster out"
        ) from err
    context = ray.get_runtime_context()
    _connected = (cluster, context.gcs_address, context.get_job_id())
    _speak_on_stderr()
    return ray


def _speak_on_stderr() -> None:
    """Keep Ray's news (a worker died, a task is tried again) out of our results on stdout.

    Ray prints them on stdout from a thread of its own, and offers no setting for it.
    """
    inside: Any = importlib.import_module("ray._private.worker")
    plain = inside.print_to_stdstream
    if not hasattr(plain, "wherefrom"):

        def on_stderr(data: dict[str, Any], *more: Any, **named: Any) -> None:
            plain({**data, "is_err": True}, *more, **named)

        on_stderr.wherefrom = True  # type: ignore[attr-defined]
        inside.print_to_stdstream = on_stderr


def refuse_silent(cluster: str) -> None:
    """Refuse an address where nobody listens; Ray itself would try for a minute.

    Raises
    ------
    WherefromError
        If nobody does, or it is no address.
    """
    host, colon, port = cluster.removeprefix("ray://").rpartition(":")
    if cluster in ("auto", "local"):
        return
    if not colon:
        raise WherefromError(
            f"{cluster!r} is no Ray cluster: name HOST:PORT of its head, auto (that of this "
            "machine) or local (one for this command)"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as err:
        raise WherefromError(
            f"no Ray cluster answers at {cluster!r} ({err}); start one with `ray start --head`, "
            "name its address as HOST:PORT, or leave --cluster out"
        ) from err
