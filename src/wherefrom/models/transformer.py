"""The pre-norm transformer block that Presto, SatMAE and the image towers are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wherefrom.models.attention import attend

__all__ = ["HEADS", "WIDTH", "Block"]

WIDTH, HEADS = 128, 8


class Attention(nn.Module):
    """Self-attention, softmax(q k / sqrt(width / heads)) v."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, h: Tensor, there: Tensor | None, first: int) -> Tensor:
        samples, tokens, width = h.shape
        each = self.heads, width // self.heads
        if first:
            asked = _linear(self.qkv, h[:, first:], slice(0, width))
            given = _linear(self.qkv, h, slice(width, None))
            q = asked.view(samples, tokens - first, *each)
            k, v = given.view(samples, tokens, 2, *each).unbind(2)
        else:
            q, k, v = _linear(self.qkv, h).view(samples, tokens, 3, *each).unbind(2)
        return _linear(self.proj, attend(q, k, v, there))


def _linear(layer: nn.Linear, x: Tensor, rows: slice | None = None) -> Tensor:
    """Apply a layer, or some rows of it, in the precision of its input."""
    weight: Tensor = layer.weight if rows is None else layer.weight[rows]
    bias: Tensor = layer.bias if rows is None else layer.bias[rows]
    return nn.functional.linear(x, weight.to(x.dtype), bias.to(x.dtype))


class MLP(nn.Module):
    """Two layers with GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        return _linear(self.fc2, nn.functional.gelu(_linear(self.fc1, h)))


class Block(nn.Module):
    """A pre-norm transformer block; from token `first` on, if only those are asked for."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps), MLP(width)

    def forward(
        self, h: Tensor, there: Tensor | None, dtype: torch.dtype, first: int = 0
    ) -> Tensor:
        """Transform tokens (B, N, width); keys that are not `there` (B, N) are read by none."""
        mixed = self.attn(self.norm1(h).to(dtype), there, first)
        h = (h[:, first:] if first else h) + mixed
        result: Tensor = h + self.mlp(self.norm2(h).to(dtype))
        return result

    def mean(self, h: Tensor, there: Tensor | None, dtype: torch.dtype, first: int = 0) -> Tensor:
        """Average what `forward` returns over the tokens that are `there`: (B, width).

        The last layer is linear, so it is applied once, to the average of its inputs.
        """
        h, there = (
            h[:, first:] + self.attn(self.norm1(h).to(dtype), there, first),
            (None if there is None else there[:, first:]),
        )
        wide = nn.functional.gelu(_linear(self.mlp.fc1, self.norm2(h).to(dtype)))
        if there is None:
            return h.mean(1) + _linear(self.mlp.fc2, wide.mean(1))
        weight = (there / there.sum(1, keepdim=True))[:, None]
        narrow, wide = (weight.to(v.dtype) @ v for v in (h, wide))
        return (narrow + _linear(self.mlp.fc2, wide))[:, 0]
