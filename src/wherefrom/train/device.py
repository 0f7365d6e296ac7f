"""The device of a run: chosen in one place, said once; and what is done when memory runs out."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from wherefrom.errors import WherefromError, unknown
from wherefrom.models.base import Batch, Records

__all__ = [
    "CPU",
    "ahead",
    "at_once",
    "device",
    "fits",
    "gpus",
    "halving",
    "memory_of",
    "multiplies_bfloat16",
    "precise",
    "release",
    "said",
]

T = TypeVar("T")

CPU = torch.device("cpu")
#: Environment variable that overrides the choice.
NAME = "WHEREFROM_DEVICE"
#: A batch that fills the cache of a CPU is so many times as large on a GPU, which has none to fill.
_TIMES = 32


def device() -> torch.device:
    """Return the device of this process: that of ``WHEREFROM_DEVICE``, else a GPU, else the CPU.

    Raises
    ------
    WherefromError
        If the variable names no device, or one that is not there.
    """
    asked = os.environ.get(NAME)
    count = torch.cuda.device_count() if asked != "cpu" and torch.cuda.is_available() else 0
    if not asked:
        return torch.device("cuda", 0) if count else CPU
    if not (match := re.fullmatch(r"cpu|cuda(?::([0-9]+))?", asked)):
        raise unknown(f"device of {NAME}", asked, ["cpu", "cuda", "cuda:1"])
    if asked == "cpu":
        return CPU
    index = int(match[1] or 0)
    if index >= count:
        there = ", ".join(f"cuda:{i}" for i in range(count))
        raise WherefromError(
            f"{NAME} is {asked!r}, and torch sees "
            + (f"{there} alone" if count else "no GPU (a CPU build of it, or no driver)")
            + f": name another, or unset {NAME}"
        )
    return torch.device("cuda", index)


def gpus() -> tuple[str, ...]:
    """Name the GPUs that workers share, as ``WHEREFROM_DEVICE`` does: one that is named, or all."""
    chosen = device()
    if chosen.type == "cpu":
        return ()
    alone = ":" in os.environ.get(NAME, "")
    return (str(chosen),) if alone else tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))


def multiplies_bfloat16(chosen: torch.device) -> bool:
    """Tell whether products of bfloat16 are the faster ones on a device.

    Of CPUs on those with AMX: with AVX-512 alone they were slower (docs/DECISIONS.md).
    """
    if chosen.type == "cuda":
        with torch.cuda.device(chosen):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())


def said() -> str:
    """Describe the device of a run in a line."""
    chosen, names = device(), gpus()
    if not names:
        return "device: cpu"
    kinds = dict.fromkeys(torch.cuda.get_device_name(name) for name in names)
    many = f"{len(names)} GPUs, " if len(names) > 1 else ""
    tf32 = "on in pre-training" if torch.cuda.get_device_capability(chosen) >= (8, 0) else "none"
    bfloat16 = "on where asked for" if multiplies_bfloat16(chosen) else "none"
    return f"device: {many}{', '.join(kinds)}, TF32 {tf32}, bfloat16 {bfloat16}"


def at_once(batch: int, chosen: torch.device) -> int:
    """Return how many are embedded at a time, of a batch that is meant for a CPU."""
    return batch if chosen.type == "cpu" else batch * _TIMES


@contextmanager
def precise(chosen: torch.device, *, tf32: bool) -> Iterator[None]:
    """Allow TF32 in a GPU's products and convolutions within the block, or forbid it.

    On a CPU nothing changes. Allowed in pre-training, whose held-out loss may differ by one per
    cent as between float32 and bfloat16; embeddings and heads are of full float32.
    """
    if chosen.type != "cuda":
        yield
        return
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = tf32
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def fits(records: Records, chosen: torch.device) -> bool:
    """Tell whether records can lie on the device, in half of what is free: a step needs room."""
    if chosen.type != "cuda":
        return True
    return sum(one.nbytes for one in records.values()) <= torch.cuda.mem_get_info(chosen)[0] / 2


def ahead(batches: Iterable[Batch], chosen: torch.device) -> Iterator[Batch]:
    """Give batches of the CPU on the device, each made and copied while the last is worked on."""
    waiting = iter(batches)
    stream: Any = torch.cuda.Stream(chosen) if chosen.type == "cuda" else None  # type: ignore[no-untyped-call]

    def fetch() -> tuple[Batch, Any] | None:
        for batch in waiting:
            if stream is None:
                return {name: values.to(chosen) for name, values in batch.items()}, None
            with torch.cuda.stream(stream):
                # Pinned memory is handed out again only when its copy is done: torch sees to that.
                moved = {n: v.pin_memory().to(chosen, non_blocking=True) for n, v in batch.items()}
                return moved, stream.record_event()
        return None

    with ThreadPoolExecutor(1, thread_name_prefix="wherefrom") as pool:
        coming = pool.submit(fetch)
        while found := coming.result():
            batch, copied = found
            coming = pool.submit(fetch)
            if copied is not None:
                here = torch.cuda.current_stream(chosen)
                here.wait_event(copied)
                for values in batch.values():
                    values.record_stream(here)
            yield batch


def halving(
    work: Callable[[int], T], size: int, what: str, chosen: torch.device, least: int = 1
) -> tuple[T, int]:
    """Do work at a size, or at half of it as often as the device's memory runs out; and that size.

    Raises
    ------
    WherefromError
        If memory runs out at the `least` size, too.
    """
    tried = size
    while True:
        try:
            return work(tried), tried
        except torch.OutOfMemoryError:
            pass  # what the error holds is let go before the next try
        release(chosen)
        if tried <= least:
            raise WherefromError(
                f"{what}: the memory of {memory_of(chosen)} ran out with {size:,} at a time, and "
                f"with {tried:,} too: take a larger one, end what else is in it, or set {NAME}=cpu"
            )
        tried = max(least, tried // 2)


def release(chosen: torch.device) -> None:
    """Give memory back to a GPU that nothing refers to any more."""
    gc.collect()
    if chosen.type == "cuda":
        torch.cuda.empty_cache()


def memory_of(chosen: torch.device) -> str:
    """Name a device and its memory."""
    if chosen.type != "cuda":
        return f"the {chosen.type}"
    properties = torch.cuda.get_device_properties(chosen)
    return f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)"
