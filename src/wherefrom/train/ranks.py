r"""Several processes, each on a GPU of its own or on a share of the cores, for one pre-training.

They share each batch (`wherefrom.models.share`): the losses, the weights and the order of the data
are those of one process but for rounding, and a checkpoint does not tell how many there were. In a
study each pre-training takes as many as ``WHEREFROM_DEVICES_PER_RUN`` says, which ``wherefrom study
run --devices`` sets; it is no part of any key.

From Python, in a module that can be imported (processes are started anew)::

    def train():
        return pretrain(model, records, rows, settings, seed=0, device=device())

    if __name__ == "__main__":
        module = launch(2, train)

With torchrun, or wherever torch.distributed is initialised, `pretrain` is called as ever, alike in
each process::

    torch.distributed.init_process_group("cpu:gloo,cuda:nccl")
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    module = pretrain(model, records, rows, settings, seed=0, device="cuda")
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import socket
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, TypeVar

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.progress import noted

__all__ = [
    "NAME", "asked", "asking", "at_once", "checked", "groups", "launch", "refusal", "tell",
]  # fmt: skip

R = TypeVar("R")

#: Environment variable that says how many processes each pre-training of a study takes.
NAME = "WHEREFROM_DEVICES_PER_RUN"
#: Seconds that a process waits for the others, before it takes them for lost; and seconds in which
#: one that ended tells why, before others that wait for it in vain are believed to be the reason.
PATIENCE, _REASON = 1800.0, 10.0

#: In a process that was launched: where what it tells goes.
_TOLD: Connection | None = None


def asked() -> int:
    """Return how many processes each pre-training is to take, of ``WHEREFROM_DEVICES_PER_RUN``.

    Each takes a GPU, that of ``WHEREFROM_DEVICE`` (by default the first) and those that follow; on
    a CPU they share the cores of the calling process. By default 1.

    Raises
    ------
    WherefromError
        If the variable holds no whole number from 1 on.
    """
    text = os.environ.get(NAME) or "1"
    if not text.isdecimal() or int(text) < 1:
        raise WherefromError(
            f"{NAME} is {text!r}: give a whole number of GPUs or processes, 1 or more"
        )
    return int(text)


@contextmanager
def asking(count: int | None) -> Iterator[None]:
    """Let each pre-training in the block, and of workers started in it, take so many processes.

    None leaves ``WHEREFROM_DEVICES_PER_RUN`` as it is.

    Examples
    --------
    >>> with asking(3):
    ...     asked()
    3
    """
    before = os.environ.get(NAME)
    if count is not None:
        os.environ[NAME] = str(count)
    try:
        yield
    finally:
        os.environ.pop(NAME, None)
        if before is not None:
            os.environ[NAME] = before


def refusal(name: str, shares: bool, batch: int, count: int) -> str:
    """Say why so many processes cannot pre-train a model, and the remedy; or nothing."""
    if count == 1:
        return ""
    if not shares:
        return (
            f"{name} does not say that processes may share its batches (shares = True), and "
            f"{count} were asked for: take one, or see wherefrom.models.share"
        )
    if batch % count:
        fits = [some for some in range(count - 1, 0, -1) if batch % some == 0]
        return (
            f"{name}: batch = {batch} cannot be shared evenly by {count} processes: take {fits[0]} "
            f"of them, or a batch that is a multiple of {count}"
        )
    return ""


class _Pretrained(Protocol):
    """What is asked of a GFM here."""

    @property
    def kind(self) -> str: ...
    @property
    def shares(self) -> bool: ...
    @property
    def pretrain(self) -> Any: ...


def checked(gfms: Iterable[_Pretrained]) -> int:
    """Return how many processes are asked for, if all these GFMs can take so many; 1 if none.

    Raises
    ------
    WherefromError
        If one cannot.
    """
    gfms = list(gfms)
    count = asked() if gfms else 1
    for gfm in gfms:
        if said := refusal(gfm.kind, gfm.shares, gfm.pretrain.batch, count):
            raise WherefromError(said)
    return count


def groups(gpus: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Name the first GPU of each whole group of so many.

    Raises
    ------
    WherefromError
        If there are GPUs, and fewer than `count`.

    Examples
    --------
    >>> groups(("cuda:0", "cuda:1", "cuda:2", "cuda:3"), 2)
    ('cuda:0', 'cuda:2')
    """
    if gpus and len(gpus) < count:
        raise WherefromError(
            f"{count} GPUs are asked for each pre-training (--devices, {NAME}), and there are "
            f"{len(gpus)} ({', '.join(gpus)}): ask for fewer, or set WHEREFROM_DEVICE=cpu"
        )
    return gpus[: len(gpus) - len(gpus) % count : count]


def at_once(workers: int | None, firsts: tuple[str, ...], count: int) -> int:
    """Return how many trainings of so many processes run at a time.

    One on each group of GPUs (`groups`), else as many as there are cores for; `workers` processes
    in all if that is given.

    Examples
    --------
    >>> at_once(8, (), 2), at_once(1, (), 2), at_once(None, ("cuda:0", "cuda:2"), 2)
    (4, 1, 2)
    """
    return max(1, workers // count if workers else len(firsts) or parallel.cores() // count)


def launch(
    count: int,
    function: Callable[..., R],
    *args: Any,
    tell: Callable[[Any], object] | None = None,
    patience: float = PATIENCE,
) -> R:
    """Call a function in several new processes that torch.distributed connects.

    The calling process takes no part: it waits, so that it sees when one of them dies, whatever the
    others are in, and ends all of them. On GPUs (`wherefrom.train.device.device`) process r takes
    the r-th from this process's on; on a CPU they divide its threads among themselves.

    Parameters
    ----------
    count : int
    function : callable
        Of a module that the processes can import.
    *args
        Its arguments, which can be pickled.
    tell : callable, optional
        Called here with what the first process hands to `wherefrom.train.ranks.tell`.
    patience : float
        Seconds that a process waits for the others amid a step.

    Returns
    -------
    object
        What the function returned in the first process.

    Raises
    ------
    WherefromError
        If one of the processes was killed or hangs, there are too few GPUs, or the function raised
        it in one.
    RuntimeError
        If the function raised anything else; holds the traceback.
    """
    import torch

    from wherefrom.train.device import device

    if count < 1:
        raise WherefromError(f"{count} processes were asked for: take 1 or more")
    first, places = device(), [""] * count
    if first.type == "cuda":
        there = tuple(f"cuda:{i}" for i in range(first.index, torch.cuda.device_count()))
        groups(there, count)
        places = list(there[:count])
    threads = max(1, torch.get_num_threads() // count)
    work = pickle.dumps((function, args))
    with tempfile.TemporaryDirectory(prefix="wherefrom-") as folder, _started(count) as ranks:
        store = str(Path(folder) / "store")
        for rank, at in zip(ranks, places, strict=True):
            about = _About(rank.number, count, store, at, threads, patience)
            with suppress(OSError):  # one that has ended is seen below
                rank.pipe.send_bytes(pickle.dumps(about))
                rank.pipe.send_bytes(work)
        result: R = _awaited(ranks, tell)
        return result


def tell(value: object) -> None:
    """Hand something to the process that called `launch`; only the first process is heard."""
    _send("told", value)


def _send(kind: str, value: object) -> None:
    if _TOLD is not None:
        _TOLD.send_bytes(pickle.dumps((kind, value)))


@dataclass(frozen=True)
class _About:
    """What a process is told first."""

    rank: int
    count: int
    store: str
    device: str
    threads: int
    patience: float


@dataclass(frozen=True)
class _Rank:
    """A process, from outside."""

    number: int
    process: BaseProcess
    pipe: Connection

    def ended(self) -> str:
        """Say how it ended, which it did not say itself."""
        self.process.join(_REASON)
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"was killed (signal {-code}: out of memory, or from outside)"
        return f"ended without a word (exit code {code}; is memory short?)"


@contextmanager
def _started(count: int) -> Iterator[list[_Rank]]:
    """Start processes, which are not there any more after the block, however it ends.

    They never see Ctrl-C, which is the business of the one that started them.
    """
    ranks: list[_Rank] = []
    try:
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for number in range(count):
                here, there = parallel.SPAWNED.Pipe()
                process = parallel.SPAWNED.Process(target=_rank, args=(there,), daemon=True)
                process.start()
                there.close()  # so that its end is seen when it dies
                ranks.append(_Rank(number, process, here))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        yield ranks
        for rank in ranks:
            rank.process.join(_REASON)
    finally:
        for rank in ranks:
            rank.process.kill()
        for rank in ranks:
            rank.process.join()
            rank.pipe.close()


def _awaited(ranks: list[_Rank], tell: Callable[[Any], object] | None) -> Any:
    """Wait until all processes are done, or one of them is the reason why they cannot be."""
    running, result = list(ranks), None
    lost, until = "", math.inf
    while running:
        left = None if math.isinf(until) else max(0.0, until - time.monotonic())
        ready = wait([one for rank in running for one in (rank.pipe, rank.process.sentinel)], left)
        if not ready:
            raise WherefromError(lost)
        for rank in list(running):
            if not {rank.pipe, rank.process.sentinel} & set(ready):
                continue
            try:
                kind, value = pickle.loads(rank.pipe.recv_bytes())
            except (EOFError, OSError):
                raise WherefromError(
                    f"process {rank.number} of {len(ranks)} of a pre-training {rank.ended()}, and "
                    "the others were ended: run the same again, which goes on from the last "
                    "checkpoint"
                ) from None
            if kind == "told" and tell is not None:
                tell(value)
            elif kind == "noted":
                warnings.warn(value, stacklevel=3)
            elif kind == "done":
                result = value if rank.number == 0 else result
                running.remove(rank)
            elif kind == "refused":
                raise WherefromError(value)
            elif kind == "failed":
                raise RuntimeError(f"process {rank.number} of {len(ranks)}: {value}")
            elif kind == "lost" and not lost:  # another one's end tells why
                lost, until = value, time.monotonic() + _REASON
                running.remove(rank)
            elif kind == "lost":
                running.remove(rank)
    if lost:
        raise WherefromError(lost)
    return result


def _rank(pipe: Connection) -> None:
    """Be one of the processes."""
    global _TOLD
    with parallel.quiet():
        threading.Thread(target=_end_with_parent, daemon=True).start()
        about: _About = pickle.loads(pipe.recv_bytes())
        first = about.rank == 0
        _TOLD = pipe if first else None
    try:
        os.environ["OMP_NUM_THREADS"] = str(about.threads)
        if about.device:
            os.environ["WHEREFROM_DEVICE"] = about.device
        with noted(partial(_send, "noted") if first else str):
            function, args = pickle.loads(pipe.recv_bytes())
            _connect(about)
            result = function(*args)
        answer = pickle.dumps(("done", result if first else None))
    except Exception as err:
        answer = pickle.dumps(_words(err))
    pipe.send_bytes(answer)
    if pickle.loads(answer)[0] != "done":
        pipe.close()
        os._exit(1)  # what waits for the others in vain is not waited for
    _part()


def _words(err: Exception) -> tuple[str, str]:
    """Put an exception into words; its traceback is lost unless written down here."""
    from wherefrom.models.share import LostError

    if isinstance(err, LostError):
        return "lost", str(err)
    if isinstance(err, WherefromError):
        return "refused", str(err)
    if said := parallel.lack(err):
        return "refused", said
    return "failed", f"{err}\n{''.join(traceback.format_exception(err))}"


def _end_with_parent() -> None:
    """End this process with the one that started it, even if that was killed outright."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _connect(about: _About) -> None:
    import torch
    from torch import distributed

    torch.set_num_threads(about.threads)
    if about.device:
        torch.cuda.set_device(about.device)
    # All are on this machine: nobody else is to be listened to.
    loop = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    if loop:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loop)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if about.device else "gloo",
        store=distributed.FileStore(about.store, about.count),  # type: ignore[attr-defined]
        rank=about.rank,
        world_size=about.count,
        timeout=timedelta(seconds=about.patience),
    )


def _part() -> None:
    from torch import distributed

    distributed.destroy_process_group()
