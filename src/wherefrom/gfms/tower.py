"""Features of images by a frozen tower: a payload made of another, once for all compositions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from wherefrom.payload.base import AnyPayload, Lost, Modality, Payload, Piece, Sought, checked

__all__ = ["TowerFeatures"]

#: What its weights can be besides a file.
PUBLISHED, RANDOM = "published", "random"


class TowerFeatures(Payload):
    """Features of images by a frozen tower, such as a ResNet pre-trained on Sentinel-2.

    Attributes
    ----------
    of : payload
        The images.
    tower : str
        One of `wherefrom.models.towers.TOWERS`.
    weights : str
        ``published``, those of the catalog; ``random``; or a file: flat, or a SatCLIP checkpoint.
    precision : {"float32", "bfloat16"}
        Of the tower's products; features are float32.
    divisor : float, optional
        What pixels are divided by; by default 10,000 for whole numbers, as Sentinel-2's are, and 1
        for others.
    seed : int
        Of random weights.

    Images of Sentinel-2 level 2A, whose 12 bands the payload names, get zeros in place of B10.
    Larger ones than the tower reads are cut to their centre.
    """

    modality: ClassVar[Modality] = "features"
    shard: ClassVar[int] = 4096

    of: AnyPayload
    tower: Literal["resnet18", "resnet50", "vit_small_patch16_224"] = "resnet18"
    weights: str = Field(min_length=1, default=PUBLISHED)
    precision: Literal["float32", "bfloat16"] = "float32"
    divisor: float | None = Field(gt=0, default=None)
    seed: int = 0

    @field_validator("of")
    @classmethod
    def _of_images(cls, of: Payload) -> Payload:
        if of.modality != "images":
            raise ValueError(f"payload {of.kind!r} has {of.modality}: a tower reads images")
        return of

    @property
    def seconds(self) -> float:
        """A tile through the smallest tower on one core, and what it costs to read it."""
        return self.of.seconds + 0.05

    def layers(self, labelled: bool = False) -> tuple[str, ...]:
        """Those of the images."""
        return self.of.layers(labelled)

    @property
    def sources(self) -> tuple[str, ...]:
        """The catalog's weights, if they are asked for, and the sources of the images."""
        own = (f"moco-{self.tower}",) if self.weights == PUBLISHED else ()
        return own + self.of.sources

    @property
    def _file(self) -> str | None:
        return None if self.weights in (PUBLISHED, RANDOM) else self.weights

    @property
    def files(self) -> tuple[str, ...]:
        """The weights, if they are a file, and those of the images."""
        return (() if self._file is None else (self._file,)) + self.of.files

    def settings(self) -> dict[str, Any]:
        """Give all but where the weights lie."""
        return super().settings() | ({} if self._file is None else {"weights": "a file"})

    def settled(self) -> Self:
        """Settle the images."""
        return self.model_copy(update={"of": self.of.settled()})

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Show the tower the images, a piece at a time."""
        import torch

        from wherefrom.models.towers import Tower, frozen, published, tower
        from wherefrom.train.embed import features

        module: Tower | None = None
        device = "cuda" if torch.cuda.is_available() else "cpu"
        for rows, records in checked(self.of, places, lost):
            images = self._shown(records["images"])
            if module is None:
                made = tower(
                    self.tower,
                    images.shape[1],
                    weights=published(self.tower) if self.weights == PUBLISHED else self._file,
                    generator=torch.Generator().manual_seed(self.seed),
                )
                module = frozen(made, getattr(torch, self.precision)).to(device)
            side = module.side or min(images.shape[2:])
            yield rows, {"features": features(module, _centre(images, side))}

    def _shown(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Scale images, and put zeros in place of the B10 that level 2A lacks."""
        divisor = self.divisor or (1.0 if images.dtype.kind == "f" else 10_000.0)
        shown = images.astype(np.float32) / np.float32(divisor)
        if _plain(self.of.bands) == _L2A:
            shown = np.insert(shown, len(_L2A[:10]), 0, axis=1)
        return shown


#: Bands of Sentinel-2 without B10, which the towers' weights want between B9 and B11.
_L2A = tuple(f"B{band}" for band in (1, 2, 3, 4, 5, 6, 7, 8, "8A", 9, 11, 12))


def _plain(bands: tuple[str, ...]) -> tuple[str, ...]:
    """Write bands as B1, ..., B8A: files have B01 and B8a, too."""
    return tuple(re.sub(r"^B0?(\d+)([aA]?)$", lambda m: f"B{m[1]}{m[2].upper()}", b) for b in bands)


def _centre(images: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Cut images to a square at their centre, if they are larger."""
    height, width = images.shape[2:]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return images[:, :, top : top + side, left : left + side]
