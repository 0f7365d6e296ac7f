"""What full fine-tuning of any encoder shares: settings, linear heads, and AdamW for all seeds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.train.heads.base import HeadOptions
from wherefrom.train.heads.fewshot import FewShot, standardise
from wherefrom.train.heads.newton import fit

__all__ = ["TuneSettings", "Tuning", "targets"]


@dataclass(frozen=True)
class TuneSettings(HeadOptions):
    """Steps and rates of full fine-tuning, few-shot.

    The head starts as the logistic head of the frozen encoder (linear probe, then fine-tune: Kumar
    et al. 2022, arXiv 2202.10054); AdamW then moves everything on all n training places at once.
    Nothing here is random.

    Parameters
    ----------
    steps : int
        Steps of AdamW.
    lr, head_lr : float
        Learning rates of the encoder and of the head.
    weight_decay : float
        Decoupled weight decay.
    C : float
        Inverse penalty of the logistic head at the start.
    """

    name: ClassVar[str] = "finetune"
    tunes_encoder: ClassVar[bool] = True
    steps: int = 20
    lr: float = 1e-4
    head_lr: float = 1e-3
    weight_decay: float = 0.01
    C: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or min(self.lr, self.head_lr, self.C) <= 0 or self.weight_decay < 0:
            raise WherefromError(
                "finetune: steps must be at least 1, rates and C positive and weight_decay not "
                f"negative, not {self.spec()}"
            )


def targets(labels: NDArray[np.integer[Any]], train: NDArray[np.int64], x: Tensor) -> FewShot:
    """Pair training inputs x (S, n, ...) with the positions of their labels among the classes."""
    classes, flat = np.unique(np.asarray(labels)[train], return_inverse=True)
    y = torch.from_numpy(flat.reshape(train.shape).astype(np.int64))
    nothing = torch.empty(0)
    return FewShot(x, y, classes.astype(np.int64), nothing, nothing, nothing)


@dataclass
class Tuning(ABC):
    """Copies of an encoder and heads for S seeds, during and after fine-tuning.

    Attributes
    ----------
    weights : dict of str to (S, ...) float32 tensor
        The copies' parameters.
    few : FewShot
        Training inputs (S, n, ...) in place of features, and their labels.
    head_weight : (S, C, E) float32 tensor
        On embeddings standardised by `mean` and `scale` (S, E).
    head_bias : (S, C) float32 tensor
    """

    weights: dict[str, Tensor]
    few: FewShot
    head_weight: Tensor = field(init=False)
    head_bias: Tensor = field(init=False)
    mean: Tensor = field(init=False)
    scale: Tensor = field(init=False)

    @abstractmethod
    def embed(self, rows: slice = slice(None)) -> Tensor:
        """Embed some of each seed's training rows with its own encoder: (S, rows, E)."""

    def passes(self) -> list[slice]:
        """Cut a step's training rows into parts, whose gradients are added up."""
        return [slice(None)]

    @torch.no_grad()
    def begin(self, C: float) -> None:
        """Fit the heads on the encoders as they are: logistic regression, inverse penalty C."""
        features = torch.cat([self.embed(rows) for rows in self.passes()], dim=1)
        mean, scale = standardise(features, features.abs().amax(dim=(0, 1)))
        nothing = torch.empty(0)
        weight, bias = fit(FewShot(features, self.few.y, self.few.classes, nothing, mean, scale), C)
        self.mean, self.scale = mean.float(), scale.float()
        self.head_weight = weight.float()
        # A class that the seed has not seen is masked in the logits, so that weights stay finite.
        self.head_bias = torch.where(self.few.present, bias, 0.0).float()

    def loss(self, rows: slice = slice(None)) -> Tensor:
        """Cross-entropy of some of each seed's n training rows, summed and divided by n: (S,)."""
        features = (self.embed(rows) - self.mean[:, None]) / self.scale[:, None]
        logit = torch.baddbmm(self.head_bias[:, None], features, self.head_weight.mT)
        logit = logit + torch.where(self.few.present, 0.0, -torch.inf)[:, None]
        y = self.few.y[:, rows]
        flat = nn.functional.cross_entropy(logit.flatten(0, 1), y.flatten(), reduction="none")
        return flat.view_as(y).sum(dim=1) / self.few.y.shape[1]

    def winner(self, features: Tensor, s: int) -> Tensor:
        """Position among the classes of what seed s's head says of features (m, E): (m,)."""
        features = (features - self.mean[s]) / self.scale[s]
        logit = features @ self.head_weight[s].T + self.head_bias[s]
        absent = torch.where(self.few.present[s], 0.0, -torch.inf)
        return (logit + absent).argmax(dim=1)

    def tune(self, settings: TuneSettings) -> None:
        """Move all weights of all seeds by AdamW, in place; each seed is as if trained alone.

        The sum of the seeds' losses has each seed's own gradient in its own weights, and AdamW
        acts on each weight alone: so stacked weights are trained as separate copies would be.
        """
        body, head = list(self.weights.values()), [self.head_weight, self.head_bias]
        for weight in body + head:
            weight.requires_grad_()
        adam = torch.optim.AdamW(
            [{"params": body, "lr": settings.lr}, {"params": head, "lr": settings.head_lr}],
            weight_decay=settings.weight_decay,
            fused=True,
        )
        for _ in range(settings.steps):
            adam.zero_grad()
            for rows in self.passes():
                self.loss(rows).sum().backward()  # type: ignore[no-untyped-call]
            adam.step()
        for weight in body + head:
            weight.requires_grad_(False)
            weight.grad = None
