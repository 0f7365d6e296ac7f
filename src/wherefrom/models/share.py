"""A batch that several processes share: each has some of its rows, and the loss is that of all.

The loops say who shares (`among`); a model uses the functions here where its loss is more than a
mean over rows that do not know of each other. Without sharing all of them are the identity, so that
a model is written once. What a model's `loss` returns in each process is averaged over them, and so
are gradients; hence

- a mean over rows, each of the same weight, needs nothing;
- whatever is drawn for rows is drawn for all of them, of which each process keeps its own
  (`drawn`): masks and dropout are then those of one process, and the generators stay alike;
- rows that rival each other see all others (`gathered`);
- a sum over rows that is divided by a count of something in them is divided by the count in all
  processes (`total`), times `of`;
- what a layer makes of the whole batch, such as its mean, it makes of the sum over processes
  (`summed`, `BatchNorm2d`).

A model that keeps to this says so: ``shares = True`` (`wherefrom.models.base.GeoModel`). Processes
meet in each call of `gathered`, `total` and `summed`, and again on the way back; all of them must
call these in the same order and equally often, however many parts a batch is gone through in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from wherefrom.errors import WherefromError

__all__ = [
    "BatchNorm2d", "Distributed", "Group", "LostError", "among", "drawn", "found", "gathered", "of",
    "rows_of", "start", "summed", "total",
]  # fmt: skip


class LostError(WherefromError):
    """Another process of the group ended, or did not come in time."""


class Group(Protocol):
    """Processes that share a batch.

    Attributes
    ----------
    rank, of : int
        Which of them this one is, and how many there are.
    """

    rank: int
    of: int

    def total(self, values: Tensor) -> Tensor:
        """Add up what the processes have, of one shape; `values` stay as they are."""
        ...

    def joined(self, values: Tensor) -> Tensor:
        """Lay what the processes have, of one shape, end to end along the first axis."""
        ...


class Distributed:
    """The processes of torch.distributed's default group (see `Group`)."""

    def __init__(self) -> None:
        self.rank = torch.distributed.get_rank()
        self.of = torch.distributed.get_world_size()

    def total(self, values: Tensor) -> Tensor:
        """Add up what the processes have."""
        made = values.clone(memory_format=torch.contiguous_format)
        with self._together():
            torch.distributed.all_reduce(made)
        return made

    def joined(self, values: Tensor) -> Tensor:
        """Lay what the processes have end to end."""
        made = values.new_empty((self.of * len(values), *values.shape[1:]))
        with self._together():
            torch.distributed.all_gather(list(made.chunk(self.of)), values.contiguous())
        return made

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as err:
            said = str(err).strip().partition("\n")[0]
            raise LostError(
                f"process {self.rank} of {self.of} waits for another one in vain: it ended, or "
                f"hangs ({said})"
            ) from err


_GROUP: ContextVar[Group | None] = ContextVar("_GROUP", default=None)


def found() -> Group | None:
    """Return the group that this code is `among`, or else that of torch.distributed, if any."""
    if (group := _GROUP.get()) is not None:
        return group
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return Distributed() if there and torch.distributed.get_world_size() > 1 else None


@contextmanager
def among(group: Group | None) -> Iterator[None]:
    """Let batches in the block be this process's share of a group's batches; alone if None."""
    before = _GROUP.set(group)
    try:
        yield
    finally:
        _GROUP.reset(before)


def of() -> int:
    """Return how many processes share a batch.

    >>> of()
    1
    """
    group = _GROUP.get()
    return 1 if group is None else group.of


def start(rows: int) -> int:
    """Return the row of the whole batch with which this process's `rows` begin."""
    group = _GROUP.get()
    return 0 if group is None else group.rank * rows


def rows_of(group: Group | None, batch: int) -> slice:
    """Return the rows of a batch that a process of a group has: as many as any other, in a row."""
    if group is None:
        return slice(0, batch)
    each = batch // group.of
    return slice(group.rank * each, (group.rank + 1) * each)


def drawn(rows: int, draw: Callable[[int], Tensor], axis: int = 0) -> Tensor:
    """Draw something for each row, as one process would that has the whole batch.

    Parameters
    ----------
    rows : int
        That this process has.
    draw : callable
        Given a number of rows, draws for so many, along `axis`.
    axis : int, default 0

    Returns
    -------
    tensor
        What was drawn for the rows of this process.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> drawn(3, lambda rows: torch.rand(rows, 2, generator=generator)).shape
    torch.Size([3, 2])
    """
    group = _GROUP.get()
    if group is None:
        return draw(rows)
    # A copy, so that what others keep is let go.
    return draw(rows * group.of).narrow(axis, rows * group.rank, rows).clone()


def gathered(values: Tensor) -> Tensor:
    """Lay the rows (N, ...) of all processes end to end, in the order of the batch.

    Gradients flow back to the process whose row it is.
    """
    group = _GROUP.get()
    if group is None:
        return values
    made: Tensor = _Gathered.apply(values, group)  # type: ignore[no-untyped-call]
    return made


def total(values: Tensor) -> Tensor:
    """Add up counts, or whatever takes no gradient, over the processes."""
    group = _GROUP.get()
    return values if group is None else group.total(values.detach())


def summed(values: Tensor) -> Tensor:
    """Add up over the processes, with gradients."""
    group = _GROUP.get()
    if group is None:
        return values
    made: Tensor = _Summed.apply(values, group)  # type: ignore[no-untyped-call]
    return made


# The group is kept for the way back, which on a GPU a thread of torch's goes: it sees no context.


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Group) -> Tensor:
        ctx.group, ctx.rows = group, len(values)
        return group.joined(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # Every process's loss has to do with every row.
        whole = ctx.group.total(grads[0])
        return whole.narrow(0, ctx.group.rank * ctx.rows, ctx.rows), None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return group.total(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.group.total(grads[0]), None


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, which in train mode normalises by the whole batch, not by one process's rows."""

    #: Norms that lack this are refused where a batch is shared.
    shares: ClassVar[bool] = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        if not self.training or of() == 1:
            return super().forward(x)
        axes, shape = (0, 2, 3), (1, -1, 1, 1)
        count = x.numel() // x.shape[1] * of()
        mean = summed(x.sum(axes)) / count
        off = x - mean.view(shape)
        var = summed(off.square().sum(axes)) / count
        with torch.no_grad():
            assert self.momentum is not None
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * (var + self.eps).rsqrt()
        return off * scale.view(shape) + self.bias.view(shape)
