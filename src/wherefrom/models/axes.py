"""Principal axes of few rows: coordinates in which nothing of them is lost."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Axes"]


@dataclass(frozen=True)
class Axes:
    """Principal axes of each seed's n training rows: r = min(n, D) of them, nothing is lost.

    `z`, (S, n, r), are coordinates of the training rows, whose columns are orthogonal and of
    squared length `power`, (S, r). `back`, (S, r, D), are the axes, of length one (zero where the
    power is): a weight on `z` times `back` is the same weight on the standardised features. All
    float64.
    """

    z: torch.Tensor
    power: torch.Tensor
    back: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor) -> Axes:
        """Find the axes of each seed's rows, x (S, n, D) float64."""
        short = x.shape[1] <= x.shape[2]
        # The smaller of the two Gram matrices has all the axes.
        power, vectors = torch.linalg.eigh(x @ x.mT if short else x.mT @ x)
        power = power.clamp(min=0)
        if not short:
            return cls(x @ vectors, power, vectors.mT)
        used = power > 1e-10 * power[:, -1:]
        inverse = torch.where(used, power, 1).rsqrt() * used
        return cls(vectors * power.sqrt()[:, None], power, (vectors * inverse[:, None]).mT @ x)
