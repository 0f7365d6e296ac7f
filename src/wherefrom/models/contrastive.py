"""The loss of CLIP: each row of one table must find its partner in the other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wherefrom.models import share

__all__ = ["contrastive_loss"]


def contrastive_loss(location: Tensor, image: Tensor, logit_scale: Tensor) -> Tensor:
    """Evaluate CLIP's symmetric loss: each place must find its image and each image its place.

    Row i of both tables (N, D) is the same place; they are scaled to unit length here.
    `logit_scale` is the logarithm of the inverse temperature, not clamped. The loss is the mean of
    the two cross-entropies over the N x N similarities (Radford et al., arXiv 2103.00020, figure
    3). Where processes share a batch (`wherefrom.models.share`), the rows of each rival those of
    all.
    """
    location = nn.functional.normalize(location, dim=1)
    image = nn.functional.normalize(image, dim=1)
    if share.of() > 1:
        return _among_all(location, image, logit_scale.exp())
    logits = logit_scale.exp() * (image @ location.t())
    result: Tensor = _SymmetricCrossEntropy.apply(logits)  # type: ignore[no-untyped-call]
    return result


def _among_all(location: Tensor, image: Tensor, scale: Tensor) -> Tensor:
    """Evaluate the loss of the rows that this process has, among those of all processes."""
    start, width = share.start(len(location)), location.shape[1]
    # One message for both tables.
    every = share.gathered(torch.cat([location, image], dim=1))
    places, images = every[:, :width], every[:, width:]
    found: Tensor = _CrossEntropy.apply(scale * (image @ places.t()), start)  # type: ignore[no-untyped-call]
    sought: Tensor = _CrossEntropy.apply(scale * (location @ images.t()), start)  # type: ignore[no-untyped-call]
    return (found + sought) / 2


class _CrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of rows whose truth is a diagonal that begins at a column."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, start: int) -> Tensor:
        rows = logits.log_softmax(1)
        loss = -rows.diagonal(start).mean()
        slope = rows.exp_()
        slope.diagonal(start).sub_(1)
        ctx.save_for_backward(slope.div_(len(logits)))
        return loss

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * gradient[0], None


class _SymmetricCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of rows and columns with the diagonal as the truth.

    The gradient, (softmax of rows + softmax of columns - 2 I) / 2N, falls out of the forward
    pass; autograd's own way through two log-softmaxes costs three times as much.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        rows, columns = logits.log_softmax(1), logits.log_softmax(0)
        loss = -(rows.diagonal() + columns.diagonal()).mean() / 2
        slope = rows.exp_().add_(columns.exp_())
        slope.diagonal().sub_(2)
        ctx.save_for_backward(slope.div_(2 * len(logits)))
        return loss

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        result: Tensor = slope * gradient[0]
        return result
