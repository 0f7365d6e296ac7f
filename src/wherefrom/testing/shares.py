"""Threads in place of processes that share a batch, so that what they compute can be checked."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from wherefrom.models.share import Group, LostError, among

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["in_threads"]

R = TypeVar("R")


def in_threads(count: int, work: Callable[[Group], R]) -> list[R]:
    """Call a function in so many threads that share a batch, and return what each gives.

    Examples
    --------
    >>> import torch
    >>> from wherefrom.models import share
    >>> in_threads(2, lambda group: share.total(torch.tensor(group.rank + 1)).item())
    [3, 3]
    """
    table = _Table()

    def one(rank: int) -> R:
        try:
            with among(group := _Thread(rank, count, table)):
                return work(group)
        finally:
            with table.changed:
                table.ended.add(rank)
                table.changed.notify_all()

    with ThreadPoolExecutor(count) as pool:
        begun = [pool.submit(contextvars.copy_context().run, one, rank) for rank in range(count)]
    errors = [err for each in begun if (err := each.exception())]
    for err in sorted(errors, key=lambda err: isinstance(err, LostError)):
        raise err  # the first that is no consequence of another
    return [each.result() for each in begun]


class _Table:
    """Where threads lay down what they have for the others, meeting by meeting."""

    def __init__(self) -> None:
        self.laid: dict[int, dict[int, Tensor]] = {}
        self.ended: set[int] = set()
        self.changed = threading.Condition()


class _Thread:
    """One of the threads (see `wherefrom.models.share.Group`)."""

    def __init__(self, rank: int, of: int, table: _Table) -> None:
        self.rank, self.of, self.table, self.met = rank, of, table, 0

    def total(self, values: Tensor) -> Tensor:
        """Add up what the threads have."""
        first, *others = self._laid(values)
        made = first.clone()
        for other in others:
            made += other
        return made

    def joined(self, values: Tensor) -> Tensor:
        """Lay what the threads have end to end."""
        import torch

        return torch.cat(self._laid(values))

    def _laid(self, values: Tensor) -> list[Tensor]:
        table, self.met = self.table, self.met + 1
        with table.changed:
            here = table.laid.setdefault(self.met, {})
            here[self.rank] = values.detach().clone()
            table.changed.notify_all()
            table.changed.wait_for(
                lambda: len(here) == self.of or table.ended - here.keys(), timeout=60
            )
            if len(here) < self.of:
                raise LostError("another thread ended, or did not come")
            table.laid.pop(self.met - 1, None)  # all have read it, since all are here
            return [here[rank] for rank in range(self.of)]
