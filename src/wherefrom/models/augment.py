"""What SatCLIP's official training does to images and places before each step.

Crop, flips, a blur of 3 x 3 pixels that is always applied, and a shift of the place to the north
and east; all drawn from the generator given, for each image alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wherefrom.errors import WherefromError
from wherefrom.models.towers import centre

__all__ = ["augmented", "cropped", "shifted"]

#: Standard deviation of the blur in pixels, and degrees that a place is shifted by at most.
_SIGMA, _SHIFT = (0.1, 2.0), 0.01


def cropped(images: Tensor, side: int | None, draws: torch.Generator | None) -> Tensor:
    """Cut images (B, C, H, W) to a square of `side`: at random, or at the centre without `draws`.

    Smaller ones stay as they are, and all do if `side` is None.
    """
    if side is None:
        return images
    height, width = images.shape[2:]
    if draws is None or min(height, width) < side or height == width == side:
        return centre(images, side)
    corners = _uniform((len(images), 2), draws)
    spare = torch.tensor([height - side, width - side], device=corners.device) + 1
    at = (corners * spare).long().tolist()
    some = zip(images, at, strict=True)
    return torch.stack([one[:, y : y + side, x : x + side] for one, (y, x) in some])


def augmented(images: Tensor, draws: torch.Generator) -> Tensor:
    """Flip images (B, C, H, W) along either axis, each with a chance of one half, and blur them.

    The blur's standard deviation is uniform from 0.1 to 2 pixels; edges are reflected.
    """
    images = images.clone()
    for axis in (3, 2):
        turned = (_uniform((len(images),), draws) < 0.5).nonzero()[:, 0].to(images.device)
        images[turned] = images[turned].flip(axis)
    low, high = _SIGMA
    sigma = low + (high - low) * _uniform((len(images), 1, 1, 1), draws)
    beside = torch.exp(-0.5 / sigma**2)
    middle = 1 / (1 + 2 * beside)
    beside, middle = (beside * middle).to(images), middle.to(images)
    for axis in (3, 2):
        count = images.shape[axis]
        if count < 2:
            raise WherefromError(
                f"images of {count} pixel along a side cannot be blurred: take larger ones, or no "
                "augmentation"
            )
        made = middle * images
        # From and to where, and how much: a step either way, and the edges' reflections.
        for start, to, some in ((0, 1, count - 1), (1, 0, count - 1), (1, 0, 1), (-2, -1, 1)):
            made.narrow(axis, to, some).addcmul_(images.narrow(axis, start, some), beside)
        images = made
    return images


def shifted(lon: Tensor, lat: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shift places (B,) by up to 0.01 degrees to the east and to the north.

    What goes over the pole comes down on the other side.
    """
    east, north = _SHIFT * _uniform((2, len(lon)), draws, torch.float64)
    lon, lat = lon + east, lat + north
    over = lat > 90
    return torch.where(over, lon + 180, lon), torch.where(over, 180 - lat, lat)


def _uniform(
    shape: tuple[int, ...], draws: torch.Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    return torch.rand(shape, dtype=dtype, device=draws.device, generator=draws)
