"""What the training loops ask of a geospatial foundation model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Batch", "Embedder", "GeoModel", "Narrowed", "Narrowing", "OnDemand", "Records"]

#: Arrays by name, all with places along their first axis, as a pool's payload is read.
Records = Mapping[str, np.ndarray]
#: Tensors by name, all with samples along their first axis.
Batch = Mapping[str, Tensor]
#: The module of one model.
M = TypeVar("M", bound=nn.Module)
M_contra = TypeVar("M_contra", bound=nn.Module, contravariant=True)


class OnDemand:
    """Records that stay where they are, in memory or in files, until a batch of them is gathered.

    In what `prepare` returns it takes the place of a tensor.

    Parameters
    ----------
    values : (N, ...) array, or what is indexed like one
    device : torch.device
        Where batches go.
    """

    def __init__(self, values: Any, device: torch.device) -> None:
        self.values, self.device = values, device

    def __len__(self) -> int:
        return len(self.values)

    def index_select(self, axis: int, rows: Tensor) -> Tensor:
        """Read some rows, as a tensor's method of that name; the axis is the first."""
        assert axis == 0
        found = np.ascontiguousarray(self.values[rows.cpu().numpy()])
        return torch.from_numpy(found).to(self.device)


class Embedder(Protocol[M_contra]):
    """What embedding asks of a model."""

    @property
    def name(self) -> str:
        """Short name for tables, e.g. ``"satclip-L40"``."""
        ...

    def prepare(self, records: Records, device: torch.device) -> Batch:
        """Do once for the places of a composition what need not be done at every step.

        Records that only the loss reads may be absent; places do not depend on each other.
        """
        ...

    def collate(self, prepared: Batch, rows: Tensor) -> Batch:
        """Gather a batch: the `rows` (int64, repeats allowed) of what `prepare` returned."""
        return {name: values.index_select(0, rows) for name, values in prepared.items()}

    def encode(self, module: M_contra, batch: Batch) -> Tensor:
        """Embed a batch, shape (B, D), without randomness; the caller sets eval mode.

        Fine-tuning follows the gradient through this, to the parameters that it reaches.
        """
        ...


class GeoModel(Embedder[M], Protocol[M]):
    """A model's frozen configuration, which knows the model's maths and nothing of loops.

    The loops own seeds, budgets, order of the data and checkpoints; a model owns what is listed
    here. Every random choice comes from the generator that is handed in, never from torch's
    global one. Implementations are frozen dataclasses whose fields are the configuration; one
    that derives from this has its `collate` and `backward`.
    """

    #: Whether processes may share a batch, each with some of its rows: what `loss` and `backward`
    #: give in each is then averaged, and must be what one process would give for the whole batch
    #: (`wherefrom.models.share`).
    shares: ClassVar[bool] = False

    def spec(self) -> dict[str, Any]:
        """Give the whole configuration as plain values: equal specs, equal models."""
        ...

    def build(self, generator: torch.Generator) -> M:
        """Make the module, its initial weights drawn from `generator` (a CPU generator)."""
        ...

    def calibrate(self, module: M, records: Records) -> None:
        """Set what is measured, not trained (e.g. input scales), from the records of the pool."""
        ...

    def loss(self, module: M, batch: Batch, generator: torch.Generator) -> Tensor:
        """Evaluate the pre-training loss of a batch; dropout and masks from `generator`."""
        ...

    def backward(self, module: M, batch: Batch, generator: torch.Generator) -> Tensor:
        """Add the gradients of `loss` to those of the parameters; return the loss without one.

        A model may go through the batch in parts, so that less is in memory.
        """
        loss = self.loss(module, batch, generator)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Tell whether weight decay acts on the parameter of that name."""
        ...


@runtime_checkable
class Narrowing(Protocol):
    """What a `GeoModel` may have besides, to be fine-tuned with fewer weights.

    A wide layer on fixed inputs has gradients only in the span of the few inputs that it is trained
    on; trained in coordinates of that span, it does as much and costs less.
    """

    def narrow(self, module: Any, prepared: Batch) -> Callable[[Tensor], Narrowed]:
        """Do what serves all seeds, and return what makes the smaller model of one.

        Parameters
        ----------
        module : nn.Module
            Float32, in eval mode; left as it is.
        prepared : mapping of str to tensor
            As `GeoModel.prepare` gives it.

        Returns
        -------
        callable
            Given the rows to train on, an (n,) int64 tensor: a `Narrowed`, whose shapes depend on
            n alone. Threads may call it at the same time.
        """
        ...


class Narrowed(NamedTuple):
    """A smaller model for training on some rows.

    Attributes
    ----------
    module : nn.Module
        Shares no parameter with the whole one.
    read : callable
        Gathers a batch as `GeoModel.collate` does, any rows of what was prepared: of it and the
        module `GeoModel.encode` makes the embeddings that it made before, but for rounding.
    """

    module: nn.Module
    read: Callable[[Tensor], Batch]
