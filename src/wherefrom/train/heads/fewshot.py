"""The standardised few-shot batch of all seeds, which most heads share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.models.axes import Axes
from wherefrom.shown import count_of
from wherefrom.train.device import device
from wherefrom.train.heads.base import Codes, Features, Labels, Rows, refuse_numbers

__all__ = ["FewShot", "standardise"]


def standardise(x: torch.Tensor, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardise each seed's rows, x (S, n, D), in place; return mean and scale.

    `size`, (D,), is the magnitude of each feature: a spread below a millionth of it is rounding,
    not a spread. Mean and scale are (S, D) float64; the scale of a constant feature is 1.
    """
    mean = x.mean(dim=1, dtype=torch.float64)
    x -= mean[:, None].to(x.dtype)
    scale = x.square().mean(dim=1, dtype=torch.float64).sqrt()
    scale[scale <= 1e-6 * size] = 1.0
    x /= scale[:, None].to(x.dtype)
    return mean, scale


@dataclass(frozen=True)
class FewShot:
    """The training rows of S seeds, each standardised with its own n rows' mean and spread.

    Nothing of the test places, and nothing of another seed's places, enters the statistics; a
    feature that is constant over the n rows is only centred. All tensors are on the device of this
    process.

    Attributes
    ----------
    x : (S, n, D) float32 tensor
        Standardised training features; float64 where they were asked for in it.
    y : (S, n) int64 tensor
        Position of each training label in `classes`, the codes (or numbers) of any seed (C,),
        ascending.
    test : (T, D) float32 tensor
        Test features, centred on one centre for all, not scaled: that is folded into weights.
    mean, scale : (S, D) float64 tensor
        Each seed's statistics; `mean` is relative to the centre.
    """

    x: torch.Tensor
    y: torch.Tensor
    classes: NDArray[Any]
    test: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(
        cls,
        features: Features,
        labels: Labels,
        train: Rows,
        test: Rows,
        dtype: torch.dtype = torch.float32,
    ) -> FewShot:
        """Gather and standardise; a row whose features are not finite raises a `WherefromError`."""
        rows = np.unique(train)
        chosen = device()
        used, tested = (
            torch.from_numpy(np.ascontiguousarray(features[some], dtype=np.float32)).to(
                chosen, dtype
            )
            for some in (rows, test)
        )
        for where, values in ((rows, used), (test, tested)):
            bad = np.flatnonzero(~torch.isfinite(values).all(dim=1).cpu().numpy())
            if bad.size:
                raise WherefromError(
                    f"features of row {where[bad[0]]} are not finite "
                    f"({count_of(bad.size, 'such row')}): the encoder that made them has diverged"
                )
        # One centre for all seeds first: float32 then holds features that are far from zero, too.
        centre = used.mean(dim=0)
        used, tested = used - centre, tested - centre
        position = torch.from_numpy(np.searchsorted(rows, train)).to(chosen)
        x = used[position]
        mean, scale = standardise(x, used.abs().amax(dim=0))
        classes, flat = np.unique(np.asarray(labels)[train], return_inverse=True)
        y = torch.from_numpy(flat.reshape(train.shape).astype(np.int64)).to(chosen)
        kept = classes if classes.dtype.kind == "f" else classes.astype(np.int64)
        return cls(x, y, kept, tested, mean, scale)

    @cached_property
    def numbers(self) -> torch.Tensor:
        """The training labels as they are, (S, n) float64 tensor."""
        return torch.from_numpy(self.classes.astype(np.float64)).to(self.y.device)[self.y]

    @cached_property
    def present(self) -> torch.Tensor:
        """Which classes occur in which seed's training rows: (S, C) bool tensor."""
        present = self.y.new_zeros(len(self.y), len(self.classes), dtype=torch.bool)
        present.scatter_(1, self.y, value=True)
        return present

    @cached_property
    def axes(self) -> Axes:
        """The training rows in the coordinates of their own principal axes."""
        return Axes.of(self.x.double())

    def standardised_test(self, s: int) -> torch.Tensor:
        """Return the test features as seed s standardises them: (T, D) float32 tensor."""
        return (self.test - self.mean[s].float()) / self.scale[s].float()

    def linear(self, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Apply S maps (S, H, D) of standardised features, and biases, to the test rows: (T, S, H).

        One product, in the dtype of the weights.
        """
        seeds, outputs, _ = weight.shape
        folded = weight / self.scale[:, None].to(weight.dtype)
        offset = bias - (folded @ self.mean[:, :, None].to(weight.dtype))[..., 0]
        flat = folded.reshape(seeds * outputs, -1)
        product = torch.addmm(offset.reshape(-1), self.test.to(weight.dtype), flat.T)
        return product.reshape(-1, seeds, outputs)

    def codes(self, winner: torch.Tensor) -> Codes:
        """Turn positions in `classes` (S, T) into class codes (S, T)."""
        refuse_numbers(self.classes)
        codes: Codes = self.classes.astype(np.int16)[winner.cpu().numpy()]
        return codes
