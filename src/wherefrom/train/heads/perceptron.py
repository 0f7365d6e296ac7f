"""Perceptrons of many seeds at once: initial weights, and AdamW with gradients written out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from wherefrom.train.heads.base import child
from wherefrom.train.heads.fewshot import FewShot

__all__ = ["EPSILON", "Weights", "absent_bias", "initial", "train_all"]

# Added to AdamW's denominator. The usual 1e-8 would step as far along axes without a gradient,
# where there is but rounding, as along the others; smooth units do not switch by rounding, either.
EPSILON = 1e-3

Tensor = torch.Tensor
#: First layer (S, H, D) and (S, H, 1), second layer (S, C, H) and (S, C, 1).
Weights = tuple[Tensor, Tensor, Tensor, Tensor]


def absent_bias(few: FewShot) -> Tensor:
    """Minus infinity for classes that a seed has not seen: it never predicts them."""
    return torch.where(few.present, 0.0, -torch.inf)[:, :, None]


def initial(
    seed: np.random.SeedSequence,
    children: range,
    codes: int,
    classes: NDArray[np.int64],
    hidden: int,
    dim: int,
) -> Weights:
    """Draw initial weights, uniform within 1 / sqrt(inputs), as torch's ``Linear`` does.

    Child s of `seed` serves seed s of `children`. Every class code of the task, from 0 to ``codes -
    1``, has its own row, so that a seed's weights do not depend on which classes the other seeds of
    the batch have seen; `classes` are those that the batch uses.
    """
    first = np.empty((len(children), hidden, dim + 1), dtype=np.float32)
    second = np.empty((len(children), codes, hidden + 1), dtype=np.float32)
    for row, s in enumerate(children):
        rng = np.random.default_rng(child(seed, s))
        for layer, inputs in ((first[row], dim), (second[row], hidden)):
            rng.random(out=layer, dtype=np.float32)
            layer -= 0.5
            layer *= 2 / np.sqrt(inputs)
    w1, w2 = torch.from_numpy(first), torch.from_numpy(second[:, classes])
    return (
        w1[..., :-1].contiguous(),
        w1[..., -1:].contiguous(),
        w2[..., :-1].contiguous(),
        w2[..., -1:].contiguous(),
    )


@torch.no_grad()
def train_all(few: FewShot, start: Weights, steps: int, lr: float, weight_decay: float) -> Weights:
    """Train the perceptrons of all seeds, each as if alone; `start` is left as it is.

    Gradients are written out: five batched products a step, no graph. All weights of all seeds lie
    in one tensor, so one fused AdamW serves them all; it acts on each weight alone.
    """
    flat = torch.cat([w.flatten() for w in start]).to(few.x.device)
    flat.grad = torch.empty_like(flat)
    sizes = [w.numel() for w in start]
    w1, b1, w2, b2 = _views(flat, sizes, start)
    g1, h1, g2, h2 = _views(flat.grad, sizes, start)
    adam = torch.optim.AdamW([flat], lr=lr, weight_decay=weight_decay, eps=EPSILON, fused=True)
    x = few.axes.z.to(flat.dtype)
    xt = x.mT.contiguous()
    seeds, n, _ = x.shape
    truth = x.new_zeros(seeds, len(few.classes), n).scatter_(1, few.y[:, None], 1.0)
    absent = absent_bias(few).to(x.dtype)
    unit = x.new_empty(seeds, w1.shape[1], n)
    back = torch.empty_like(unit)
    for _ in range(steps):
        torch.baddbmm(b1, w1, xt, out=unit).tanh_()
        chance = torch.baddbmm(b2 + absent, w2, unit).softmax(dim=1)
        residual = chance.sub_(truth).div_(n)
        torch.bmm(residual, unit.mT, out=g2)
        torch.sum(residual, dim=2, keepdim=True, out=h2)
        torch.bmm(w2.mT, residual, out=back)
        torch.ops.aten.tanh_backward.grad_input(back, unit, grad_input=back)
        torch.bmm(back, x, out=g1)
        torch.sum(back, dim=2, keepdim=True, out=h1)
        adam.step()
    return w1, b1, w2, b2


def _views(flat: Tensor, sizes: list[int], like: Weights) -> Weights:
    w1, b1, w2, b2 = torch.split(flat, sizes)
    return w1.view_as(like[0]), b1.view_as(like[1]), w2.view_as(like[2]), b2.view_as(like[3])
