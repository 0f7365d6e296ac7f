"""Full fine-tuning: the encoder and a linear head, for all seeds at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from wherefrom.errors import WherefromError
from wherefrom.models.satclip import LocationEncoder
from wherefrom.train.heads.base import Axes, FewShot, chunks, standardise
from wherefrom.train.heads.logistic import fit

__all__ = ["FineTune", "Tuned", "start", "tune"]


@dataclass(frozen=True)
class FineTune:
    """Train all of a location encoder together with a linear head, few-shot.

    The head starts as the logistic head of the frozen encoder (linear probe, then fine-tune: Kumar
    et al. 2022, arXiv 2202.10054); AdamW then moves everything on all n training places at once.
    Dropout is off, so nothing here is random.

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

    Notes
    -----
    The first layer takes the harmonics, up to 1,600 of them for n = 100 places. Gradients of its
    weights lie in the span of the n inputs. So it is trained in the coordinates of the inputs'
    principal axes, min(n, inputs) of them; outside, the pre-trained weights stay as they are.
    """

    name: ClassVar[str] = "finetune"
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

    def spec(self) -> dict[str, Any]:
        """Return name and hyper-parameters."""
        return {"name": self.name, **asdict(self)}

    def fit_predict(
        self,
        encoder: LocationEncoder,
        harmonics: NDArray[np.float32],
        labels: NDArray[np.integer[Any]],
        train: NDArray[np.int64],
        test: NDArray[np.int64],
    ) -> NDArray[np.int16]:
        """Fine-tune a copy of the encoder on each seed's training rows and predict the test rows.

        Parameters
        ----------
        encoder : LocationEncoder
            Pre-trained; left as it is.
        harmonics : (N, L * L) float32 array
            The encoder's harmonics of the task's rows.
        labels : (N,) integer array
            Class codes of the rows.
        train : (S, n) int64 array
            Training rows of each seed.
        test : (T,) int64 array
            Test rows.

        Returns
        -------
        (S, T) int16 array
            Predicted class codes.
        """
        tested = torch.from_numpy(np.ascontiguousarray(harmonics[test], dtype=np.float32))
        first = next(encoder.parameters()).detach().float()
        # The pre-trained first layer's answer to the test places serves every seed.
        before = tested @ first.T
        cost = 4 * train.shape[1] * (3 * harmonics.shape[1] + 8 * len(first))
        cost += 20 * sum(p.numel() for p in encoder.parameters())
        found = []
        for part in chunks(len(train), cost):
            tuned = start(encoder, harmonics, labels, train[part], self.C)
            tune(tuned, self.steps, self.lr, self.head_lr, self.weight_decay)
            found.append(tuned.predict(tested, before))
        return np.concatenate(found)


class _FromHarmonics(nn.Module):
    """The encoder as a function of harmonics, whose parameters can be handed over."""

    def __init__(self, encoder: LocationEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, harmonics: Tensor) -> Tensor:
        return self.encoder.from_harmonics(harmonics)


_FIRST = "encoder.layers.0.weight"


@dataclass
class Tuned:
    """Copies of an encoder and heads for S seeds, during and after fine-tuning.

    Attributes
    ----------
    module : nn.Module
        The encoder as a function of its inputs and of handed-over parameters.
    weights : dict of str to (S, ...) float32 tensor
        The copies' parameters; the first layer's weight is (S, width, r), in axes' coordinates.
    head_weight : (S, C, E) float32 tensor
        On embeddings standardised by `mean` and `scale` (S, E).
    head_bias : (S, C) float32 tensor
    axes : (S, r, inputs) float32 tensor
        Principal axes of each seed's training inputs.
    few : FewShot
        Coordinates of the training inputs (S, n, r) in place of features, and their labels.
    """

    module: nn.Module
    weights: dict[str, Tensor]
    head_weight: Tensor
    head_bias: Tensor
    mean: Tensor
    scale: Tensor
    axes: Tensor
    few: FewShot

    def embed(self) -> Tensor:
        """Embed each seed's training rows with its own encoder: (S, n, E)."""
        result: Tensor = vmap(lambda w, x: functional_call(self.module, w, (x,)))(
            self.weights, self.few.x
        )
        return result

    def loss(self) -> Tensor:
        """Mean cross-entropy of each seed's training rows: (S,)."""
        features = (self.embed() - self.mean[:, None]) / self.scale[:, None]
        logit = torch.baddbmm(self.head_bias[:, None], features, self.head_weight.mT)
        logit = logit + torch.where(self.few.present, 0.0, -torch.inf)[:, None]
        y = self.few.y
        flat = nn.functional.cross_entropy(logit.flatten(0, 1), y.flatten(), reduction="none")
        return flat.view_as(y).mean(dim=1)

    @torch.no_grad()
    def predict(self, tested: Tensor, before: Tensor) -> NDArray[np.int16]:
        """Predict the test rows.

        Parameters
        ----------
        tested : (T, inputs) float32 tensor
            Harmonics of the test rows.
        before : (T, width) float32 tensor
            Their products with the pre-trained first layer.

        Returns
        -------
        (S, T) int16 array
        """
        first = dict(self.module.named_parameters())[_FIRST].float()
        width = len(first)
        absent = torch.where(self.few.present, 0.0, -torch.inf)
        winners = []
        for s, axes in enumerate(self.axes):
            inside = tested @ axes.T
            # What lies outside the axes meets the pre-trained weights: it is passed through as
            # further inputs of weight one.
            outside = before - inside @ (first @ axes.T).T
            weights = {name: w[s] for name, w in self.weights.items()}
            weights[_FIRST] = torch.cat([weights[_FIRST], torch.eye(width)], dim=1)
            both = torch.cat([inside, outside], dim=1)
            features = functional_call(self.module, weights, (both,))
            features = (features - self.mean[s]) / self.scale[s]
            logit = features @ self.head_weight[s].T + self.head_bias[s] + absent[s]
            winners.append(logit.argmax(dim=1))
        return self.few.codes(torch.stack(winners))


@torch.no_grad()
def start(
    encoder: LocationEncoder,
    harmonics: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    train: NDArray[np.int64],
    C: float,
) -> Tuned:
    """Copy the encoder for every seed and fit the heads on the frozen copies.

    Parameters
    ----------
    encoder, harmonics, labels, train
        As of `FineTune.fit_predict`.
    C : float
        Inverse penalty of the heads.

    Returns
    -------
    Tuned
    """
    inputs = torch.from_numpy(np.asarray(harmonics[train], dtype=np.float32))
    if not bool(torch.isfinite(inputs).all()):
        raise WherefromError("finetune: harmonics of a training row are not finite")
    found = Axes.of(inputs.double())
    axes, seeds = found.back.float(), len(train)
    module = _FromHarmonics(encoder).eval()
    weights = {
        name: p.detach().float().expand(seeds, *p.shape).clone()
        for name, p in module.named_parameters()
    }
    weights[_FIRST] = weights[_FIRST] @ axes.mT
    classes, flat = np.unique(np.asarray(labels)[train], return_inverse=True)
    y = torch.from_numpy(flat.reshape(train.shape).astype(np.int64))
    nothing = torch.empty(0)
    few = FewShot(found.z.float(), y, classes.astype(np.int64), nothing, nothing, nothing)
    tuned = Tuned(module, weights, nothing, nothing, nothing, nothing, axes, few)
    features = tuned.embed()
    mean, scale = standardise(features, features.abs().amax(dim=(0, 1)))
    frozen = FewShot(features, y, few.classes, nothing, mean, scale)
    weight, bias = fit(frozen, C)
    tuned.mean, tuned.scale = mean.float(), scale.float()
    tuned.head_weight = weight.float()
    # A class that the seed has not seen is masked in the logits, so that weights stay finite.
    tuned.head_bias = torch.where(few.present, bias, 0.0).float()
    return tuned


def tune(tuned: Tuned, steps: int, lr: float, head_lr: float, weight_decay: float) -> None:
    """Move all weights of all seeds by AdamW, in place; each seed is as if trained alone.

    The sum of the seeds' losses has each seed's own gradient in its own weights, and AdamW acts
    on each weight alone: so stacked weights are trained as separate copies would be.

    Parameters
    ----------
    tuned : Tuned
        From `start`.
    steps, lr, head_lr, weight_decay
        As of `FineTune`.
    """
    body, head = list(tuned.weights.values()), [tuned.head_weight, tuned.head_bias]
    for weight in body + head:
        weight.requires_grad_()
    adam = torch.optim.AdamW(
        [{"params": body, "lr": lr}, {"params": head, "lr": head_lr}],
        weight_decay=weight_decay,
        fused=True,
    )
    for _ in range(steps):
        adam.zero_grad()
        tuned.loss().sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    for weight in body + head:
        weight.requires_grad_(False)
        weight.grad = None
