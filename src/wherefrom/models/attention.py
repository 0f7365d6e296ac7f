"""Attention in the fastest form that each precision and device has."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["attend"]

#: Scores within these powers of two are exponentiated as they are: neither they nor a hundred of
#: them overflow or vanish in bfloat16. Others have their maximum taken off first.
_SAFE = 100.0


def attend(q: Tensor, k: Tensor, v: Tensor, there: Tensor | None) -> Tensor:
    """Mix values by softmax(q k / sqrt(d)): (B, N, H, d) queries give (B, N, H * d).

    Keys and values are (B, M, H, d); of the keys those are read that are `there`, (B, M) bool, by
    default all.
    """
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        found: Tensor = _Bfloat16.apply(q, k, v, there)  # type: ignore[no-untyped-call]
        return found
    mask = None if there is None else there[:, None, None]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2)


class _Bfloat16(torch.autograd.Function):
    """Attention on CPUs whose products are fast in bfloat16.

    torch's fused kernel takes eight times as long backward as this, and its softmax, whose search
    for the maximum is not vectorised, longer than all products. Weights are kept with the keys
    along rows, so that sums and quotients run over columns, which is vectorised.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, there: Tensor | None) -> Tensor:
        samples, queries, heads, width = q.shape
        q, k, v = (x.transpose(1, 2).reshape(samples * heads, -1, width) for x in (q, k, v))
        k = k * (math.log2(math.e) / math.sqrt(width))
        score = torch.bmm(k, q.mT)
        low, high = torch.aminmax(score)
        if there is not None:
            hide = ~there[:, None, :, None]
            score = score.view(samples, heads, -1, queries).masked_fill_(hide, -torch.inf)
            score = score.flatten(0, 1)
        if max(-float(low), float(high)) > _SAFE:
            score = score.sub_(score.amax(-2, keepdim=True))
        weight = score.exp2_()
        scale = weight.sum(-2, keepdim=True).reciprocal_()
        mixed = torch.bmm(v.mT, weight).mul_(scale)
        ctx.save_for_backward(q, k, v, weight, scale, mixed)
        ctx.shape = samples, heads
        return mixed.view(samples, heads * width, queries).mT.contiguous()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weight, scale, mixed = ctx.saved_tensors
        width = mixed.shape[1]
        grad = grads[0].mT.reshape(mixed.shape) * scale
        to_v = torch.bmm(weight, grad.mT)
        # Of softmax: weight x (gradient - its mean under the weights).
        to_score = torch.bmm(v, grad).sub_((grad * mixed).sum(-2, keepdim=True)).mul_(weight)
        to_q = torch.bmm(to_score.mT, k).mul_(math.log(2))
        to_k = torch.bmm(to_score, q).mul_(1 / math.sqrt(width))
        to_q, to_k, to_v = (
            x.view(*ctx.shape, -1, width).transpose(1, 2) for x in (to_q, to_k, to_v)
        )
        return to_q, to_k, to_v, None
