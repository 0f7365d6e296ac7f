"""What SatCLIP's official training does to images and places before each step.

Crop, flips, a blur of 3 x 3 pixels that is always applied, and a shift of the place to the north
and east; all drawn from the generator given, for each image alone (`wherefrom.models.share`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from wherefrom.errors import WherefromError
from wherefrom.models import share
from wherefrom.models.towers import centre

__all__ = ["augmented", "cropped", "numbers", "shifted"]

#: Standard deviation of the blur in pixels, and degrees that a place is shifted by at most.
_SIGMA, _SHIFT = (0.1, 2.0), 0.01


def numbers(images: Tensor, side: int | None, draws: torch.Generator, part: int = 0) -> Tensor:
    """Draw what `cropped` (two columns) and `augmented` (three) change images by: (B, 5).

    As if they were called on so many images at a time as `part` says, by default on all.
    """

    def some(rows: int) -> Tensor:
        crop = _uniform((rows, 2), draws) if _is_cut(images, side) else torch.zeros(rows, 2)
        return torch.cat([crop.to(draws.device), _of_change(rows, draws)], dim=1)

    def draw(rows: int) -> Tensor:
        step = part or rows
        return torch.cat([some(min(step, rows - at)) for at in range(0, rows, step)])

    return share.drawn(len(images), draw)


def _of_change(rows: int, draws: torch.Generator) -> Tensor:
    return torch.stack([_uniform((rows,), draws) for _ in range(3)], dim=1)


def _is_cut(images: Tensor, side: int | None) -> bool:
    """Tell whether there is a choice where to cut."""
    height, width = images.shape[2:]
    return side is not None and min(height, width) >= side and (height, width) != (side, side)


def cropped(images: Tensor, side: int | None, draws: torch.Generator | Tensor | None) -> Tensor:
    """Cut images (B, C, H, W) to a square of `side`: at random, or at the centre without `draws`.

    Smaller ones stay as they are, and all do if `side` is None. What is drawn is where each is cut,
    or given as `draws`, (B, 2), of 0 to 1.
    """
    if side is None:
        return images
    if draws is None or not _is_cut(images, side):
        return centre(images, side)
    height, width = images.shape[2:]
    corners = (
        draws
        if isinstance(draws, Tensor)
        else share.drawn(len(images), lambda rows: _uniform((rows, 2), draws))
    )
    spare = torch.tensor([height - side, width - side], device=corners.device) + 1
    at = (corners * spare).long().tolist()
    some = zip(images, at, strict=True)
    return torch.stack([one[:, y : y + side, x : x + side] for one, (y, x) in some])


def augmented(images: Tensor, draws: torch.Generator | Tensor) -> Tensor:
    """Flip images (B, C, H, W) along either axis, each with a chance of one half, and blur them.

    The blur's standard deviation is uniform from 0.1 to 2 pixels; edges are reflected. What is
    drawn is given as `draws`, (B, 3), of 0 to 1.
    """
    images = images.clone()
    of_change = (
        draws
        if isinstance(draws, Tensor)
        else share.drawn(len(images), lambda rows: _of_change(rows, draws))
    )
    for axis, column in ((3, 0), (2, 1)):
        turned = (of_change[:, column] < 0.5).nonzero()[:, 0].to(images.device)
        images[turned] = images[turned].flip(axis)
    low, high = _SIGMA
    sigma = low + (high - low) * of_change[:, 2, None, None, None]
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
    east, north = _SHIFT * share.drawn(
        len(lon), lambda rows: _uniform((2, rows), draws, torch.float64), axis=1
    )
    lon, lat = lon + east, lat + north
    over = lat > 90
    return torch.where(over, lon + 180, lon), torch.where(over, 180 - lat, lat)


def _uniform(
    shape: tuple[int, ...], draws: torch.Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    return torch.rand(shape, dtype=dtype, device=draws.device, generator=draws)
