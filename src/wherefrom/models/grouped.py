"""SatMAE's pre-training: hide patches of groups of channels, give them back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from wherefrom.errors import WherefromError
from wherefrom.models import share
from wherefrom.models.augment import cropped
from wherefrom.models.base import Batch, GeoModel, OnDemand, Records
from wherefrom.models.satclip import Scaled
from wherefrom.models.satmae import SIZES, SatMAE, Size

__all__ = ["SatMAEConfig", "ScaledSatMAE"]

#: Tokens that a core has at a time: what they leave for the backward pass then stays in its cache.
#: And a GPU: a large batch of large images is more than its memory holds.
_PART, _GPU_PART = 3200, 1 << 18
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class ScaledSatMAE(Scaled):
    """SatMAE, and what scales the channels that it reads: mean -+ 2 std to 0..1, clipped."""

    def __init__(self, mae: SatMAE) -> None:
        super().__init__(mae.channels)
        self.mae = mae

    def forward(self, images: Tensor) -> Tensor:
        """Scale images (B, C, S, S); NaN stays."""
        mean, std = (one[:, None, None] for one in (self.mean, self.std))
        return ((images.float() - mean) / (4 * std) + 0.5).clamp(0, 1)


@dataclass(frozen=True)
class SatMAEConfig(GeoModel[ScaledSatMAE]):
    """SatMAE for the training loops (see `wherefrom.models.base.GeoModel`).

    Records are ``image``: (N, C, H, W) of any type, or what is indexed like them; they stay where
    they are until a batch is gathered. Of larger images than the model reads it sees a crop: in
    training one at random, else the centre.

    Parameters
    ----------
    groups : tuple of tuple of int
        Channels of each group, among those of the images; channels of none are not read.
    size : Size
        Of the network, see `wherefrom.models.satmae.SIZES`.
    mask_ratio : float
    consistent, normalise, aligned : bool
        As of `wherefrom.models.satmae.SatMAE.forward`.
    flip : bool
        Mirror each image of a training batch, east to west, with a chance of one half.
    pooling : {"mean", "cls"}
        Of the embedding.
    precision : {"float32", "bfloat16"}
        Of matrix products; weights, sums, norms and the loss stay in float32.

    Examples
    --------
    >>> model = SatMAEConfig(((0, 1, 2), (4,)), SIZES["tiny"])
    >>> module = model.build(torch.Generator().manual_seed(0))
    >>> module.mae.groups, module.mae.tokens
    (((0, 1, 2), (3,)), 8)
    """

    shares: ClassVar[bool] = True

    groups: tuple[tuple[int, ...], ...]
    size: Size = SIZES["laptop"]
    mask_ratio: float = 0.75
    consistent: bool = False
    normalise: bool = False
    aligned: bool = True
    flip: bool = True
    pooling: Literal["mean", "cls"] = "mean"
    precision: Literal["float32", "bfloat16"] = "float32"

    @property
    def name(self) -> str:
        """Short name for tables."""
        return "satmae"

    @property
    def read(self) -> list[int]:
        """Channels that are read, in their natural order."""
        return sorted(channel for group in self.groups for channel in group)

    def spec(self) -> dict[str, Any]:
        """Give the configuration as plain values."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {"model": self.name, **given, "groups": [list(one) for one in self.groups],
                "size": dict(self.size._asdict())}  # fmt: skip

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> SatMAEConfig:
        """Make the model that gave a spec."""
        given = {name: value for name, value in spec.items() if name != "model"}
        groups = tuple(tuple(one) for one in given["groups"])
        return cls(**given | {"groups": groups, "size": Size(**given["size"])})

    def build(self, generator: torch.Generator) -> ScaledSatMAE:
        """Make the module."""
        read = self.read
        groups = [[read.index(channel) for channel in group] for group in self.groups]
        image, patch, *rest = self.size
        return ScaledSatMAE(SatMAE(image, patch, groups, *rest, generator=generator))

    def calibrate(self, module: ScaledSatMAE, records: Records) -> None:
        """Scale the channels by the records of the pool."""
        module.calibrate(records["image"][:, self.read])

    def prepare(self, records: Records, device: torch.device) -> Batch:
        """Leave the images where they are, if the model can read them."""
        image = records["image"]
        if image.ndim != 4 or image.shape[1] <= max(self.read):
            raise WherefromError(
                f"satmae: images have shape {tuple(image.shape)}, and the groups "
                f"{[list(group) for group in self.groups]} need (N, {max(self.read) + 1} or more "
                "channels, H, W)"
            )
        if min(image.shape[2:]) < self.size.image:
            raise WherefromError(
                f"satmae: images of {image.shape[2]} x {image.shape[3]} pixels are smaller than "
                f"the {self.size.image} that the model reads: give larger windows, or another size"
            )
        return {"image": cast("Tensor", OnDemand(image, device))}

    def loss(self, module: ScaledSatMAE, batch: Batch, generator: torch.Generator) -> Tensor:
        """Evaluate the loss of a batch, its crops, flips and masks from `generator`."""
        return torch.stack(list(self._losses(module, batch, generator))).sum()

    def backward(self, module: ScaledSatMAE, batch: Batch, generator: torch.Generator) -> Tensor:
        """Add the gradients of `loss` to the parameters', part by part, and return the loss."""
        total = torch.zeros((), device=generator.device)
        for loss in self._losses(module, batch, generator):
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _losses(
        self, module: ScaledSatMAE, batch: Batch, generator: torch.Generator
    ) -> Iterator[Tensor]:
        draws = generator if module.training else None
        images = self._seen(module, batch, draws)
        void = int(images.isnan().flatten(1).any(1).sum())
        if void:
            raise WherefromError(
                f"{void} of {len(images)} images of a batch have pixels that are no number: let "
                "the payload fill them, or leave these places out"
            )
        mae, dtype, device = module.mae, _DTYPES[self.precision], generator.device
        if draws is not None and self.flip:
            turned = share.drawn(
                len(images), lambda rows: torch.rand(rows, 1, 1, 1, generator=draws, device=device)
            )
            images = torch.where(turned < 0.5, images.flip(3), images)
        count = mae.side**2 if self.consistent else mae.tokens
        noise = share.drawn(
            len(images), lambda rows: torch.rand(rows, count, generator=generator, device=device)
        )
        room = _PART * torch.get_num_threads() if device.type == "cpu" else _GPU_PART
        size = max(1, room // mae.tokens)
        for start in range(0, len(images), size):
            some = images[start : start + size]
            patches = mae.patches(some)
            chosen = mae.hide(
                len(some), noise[start : start + size], self.mask_ratio, self.consistent
            )
            latent = mae.latent(patches, chosen.kept, dtype)
            decoded = mae.decode(latent, chosen, every=not self.aligned, dtype=dtype)
            found = mae.loss(
                mae.predict(decoded, dtype),
                mae.targets(patches, self.normalise),
                chosen.mask(len(mae.groups)),
                self.aligned,
            )
            yield found * (len(some) / len(images))

    def _seen(self, module: ScaledSatMAE, batch: Batch, draws: torch.Generator | None) -> Tensor:
        """Crop and scale the channels that are read."""
        images = cropped(batch["image"], self.size.image, draws)
        read = self.read
        if read != list(range(images.shape[1])):
            images = images[:, read]
        found: Tensor = module(images)
        return found

    def encode(self, module: ScaledSatMAE, batch: Batch) -> Tensor:
        """Embed images by all of their tokens."""
        images = self._seen(module, batch, None)
        return module.mae.encode(images, self.pooling, _DTYPES[self.precision])

    def decays(self, name: str, parameter: torch.nn.Parameter) -> bool:
        """Decay matrices and the two tokens, as the official code: no bias, no norm."""
        return parameter.ndim >= 2
