"""What the training loops ask of a geospatial foundation model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Batch", "GeoModel", "Records"]

#: Arrays by name, all with places along their first axis, as a pool's payload is read.
Records = Mapping[str, np.ndarray]
#: Tensors by name, all with samples along their first axis.
Batch = Mapping[str, Tensor]
#: The module of one model.
M = TypeVar("M", bound=nn.Module)


class GeoModel(Protocol[M]):
    """A model's frozen configuration, which knows the model's maths and nothing of loops.

    The loops own seeds, budgets, order of the data and checkpoints; a model owns what is listed
    here. Every random choice comes from the generator that is handed in, never from torch's
    global one. Implementations are frozen dataclasses whose fields are the configuration.
    """

    @property
    def name(self) -> str:
        """Short name for tables, e.g. ``"satclip-L40"``."""
        ...

    def spec(self) -> dict[str, Any]:
        """Give the whole configuration as plain values: equal specs, equal models."""
        ...

    def build(self, generator: torch.Generator) -> M:
        """Make the module, its initial weights drawn from `generator` (a CPU generator)."""
        ...

    def calibrate(self, module: M, records: Records) -> None:
        """Set what is measured, not trained (e.g. input scales), from the records of the pool."""
        ...

    def prepare(self, records: Records, device: torch.device) -> Batch:
        """Do once for the places of a composition what need not be done at every step."""
        ...

    def collate(self, prepared: Batch, rows: Tensor) -> Batch:
        """Gather a batch: the `rows` (int64, repeats allowed) of what `prepare` returned."""
        ...

    def loss(self, module: M, batch: Batch, generator: torch.Generator) -> Tensor:
        """Evaluate the pre-training loss of a batch; dropout and masks from `generator`."""
        ...

    def backward(self, module: M, batch: Batch, generator: torch.Generator) -> Tensor:
        """Add the gradients of `loss` to those of the parameters; return the loss without one.

        A model may go through the batch in parts, so that less is in memory.
        """
        ...

    def encode(self, module: M, batch: Batch) -> Tensor:
        """Embed a batch, shape (B, D), without randomness; the caller sets eval mode."""
        ...

    def decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Tell whether weight decay acts on the parameter of that name."""
        ...
