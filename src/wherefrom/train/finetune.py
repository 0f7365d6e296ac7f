"""Full fine-tuning: the encoder and a linear head, for all seeds at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from wherefrom.errors import WherefromError
from wherefrom.models.satclip import LocationEncoder
from wherefrom.train.heads.base import chunks
from wherefrom.train.heads.fewshot import Axes
from wherefrom.train.tuning import TuneSettings, Tuning, targets

__all__ = ["FineTune", "Tuned", "start"]


@dataclass(frozen=True)
class FineTune(TuneSettings):
    """Train all of a location encoder together with a linear head, few-shot.

    Parameters are those of `wherefrom.train.tuning.TuneSettings`. Dropout is off.

    Notes
    -----
    The first layer takes the harmonics, up to 1,600 of them for n = 100 places. Gradients of its
    weights lie in the span of the n inputs. So it is trained in the coordinates of the inputs'
    principal axes, min(n, inputs) of them; outside, the pre-trained weights stay as they are.
    """

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
            tuned.tune(self)
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
class Tuned(Tuning):
    """Copies of a location encoder and heads for S seeds.

    The first layer's weight is (S, width, r), in axes' coordinates; the training inputs (S, n, r)
    are such coordinates.

    Attributes
    ----------
    module : nn.Module
        The encoder as a function of its inputs and of handed-over parameters.
    axes : (S, r, inputs) float32 tensor
        Principal axes of each seed's training inputs.
    """

    module: nn.Module = field(kw_only=True)
    axes: Tensor = field(kw_only=True)

    def embed(self, rows: slice = slice(None)) -> Tensor:
        """Embed some of each seed's training rows with its own encoder: (S, rows, E)."""
        result: Tensor = vmap(lambda w, x: functional_call(self.module, w, (x,)))(
            self.weights, self.few.x[:, rows]
        )
        return result

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
        winners = []
        for s, axes in enumerate(self.axes):
            inside = tested @ axes.T
            # What lies outside the axes meets the pre-trained weights: it is passed through as
            # further inputs of weight one.
            outside = before - inside @ (first @ axes.T).T
            weights = {name: w[s] for name, w in self.weights.items()}
            weights[_FIRST] = torch.cat([weights[_FIRST], torch.eye(width)], dim=1)
            both = torch.cat([inside, outside], dim=1)
            winners.append(self.winner(functional_call(self.module, weights, (both,)), s))
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
    few = targets(labels, train, found.z.float())
    tuned = Tuned(weights, few, module=module, axes=axes)
    tuned.begin(C)
    return tuned
