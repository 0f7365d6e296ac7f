"""Independent pieces of work on all threads that torch may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["over_threads"]

T = TypeVar("T")
R = TypeVar("R")


def over_threads(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do the work on every item, several at a time, each on one thread; results in their order.

    Small products gain little from several threads each, independent ones everything. While this
    runs, ``torch.get_num_threads()`` is 1 in the whole process; it is restored at the end.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(item) for item in items]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)
