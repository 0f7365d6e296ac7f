"""Features of images by a frozen tower: a payload made of another, once for all compositions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from wherefrom.payload.base import AnyPayload, Lost, Modality, Payload, Piece, Sought, checked

__all__ = [
    "PUBLISHED", "RANDOM", "SIDES", "TowerFeatures", "file_of", "lacks_b10", "path_of", "source_of",
    "too_small",
]  # fmt: skip

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

    @model_validator(mode="after")
    def _images_are_large_enough(self) -> Self:
        if said := too_small(self.of, SIDES.get(self.tower, 0), self.tower):
            raise ValueError(f"of: {said}")
        return self

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
        return source_of(self.tower, self.weights) + self.of.sources

    @property
    def files(self) -> tuple[str, ...]:
        """The weights, if they are a file, and those of the images."""
        return file_of(self.weights) + self.of.files

    def settings(self) -> dict[str, Any]:
        """Give all but where the weights lie."""
        return super().settings() | ({"weights": "a file"} if file_of(self.weights) else {})

    def settled(self) -> Self:
        """Settle the images."""
        return self.model_copy(update={"of": self.of.settled()})

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Show the tower the images, a piece at a time."""
        import torch

        from wherefrom.models.towers import Tower, centre, frozen, reflectances, tower
        from wherefrom.train.device import at_once, device
        from wherefrom.train.embed import features

        module: Tower | None = None
        chosen = device()
        for rows, records in checked(self.of, places, lost):
            images = reflectances(
                records["images"], self.divisor, lacks_b10=lacks_b10(self.of.bands)
            )
            if module is None:
                made = tower(
                    self.tower,
                    images.shape[1],
                    weights=path_of(self.tower, self.weights),
                    generator=torch.Generator().manual_seed(self.seed),
                )
                module = frozen(made, getattr(torch, self.precision)).to(chosen)
            side = module.side or min(images.shape[2:])
            shown = features(module, centre(images, side), at_once(8, chosen))
            yield rows, {"features": shown}


#: Pixels along a side that a tower reads, where no others will do.
SIDES = {"vit_small_patch16_224": 224}


def too_small(payload: Payload, side: int, who: str) -> str:
    """Say that a payload's images are smaller than the `side` that a network reads, if so."""
    has, field = payload.image_side, payload.side_field
    if has is None or has >= side:
        return ""
    return (
        f"{field} = {has} is less than the {side} pixels along a side that {who} reads: give "
        f"{field}: {side} or more"
    )


#: Bands of Sentinel-2 without B10, which the towers' weights want between B9 and B11.
_L2A = tuple(f"B{band}" for band in (1, 2, 3, 4, 5, 6, 7, 8, "8A", 9, 11, 12))


def lacks_b10(bands: tuple[str, ...]) -> bool:
    """Tell whether these are the bands of level 2A: B1, ..., B8A, or B01 and B8a, as files say."""
    plain = (re.sub(r"^B0?(\d+)([aA]?)$", lambda m: f"B{m[1]}{m[2].upper()}", b) for b in bands)
    return tuple(plain) == _L2A


def source_of(tower: str, weights: str) -> tuple[str, ...]:
    """Give the source of the catalog that weights are, if they are one."""
    return (f"moco-{tower}",) if weights == PUBLISHED else ()


def file_of(weights: str) -> tuple[str, ...]:
    """Give the user's file that weights are, if they are one."""
    return () if weights in (PUBLISHED, RANDOM) else (weights,)


def path_of(tower: str, weights: str) -> Path | str | None:
    """Return the file of weights on this machine; None for random ones."""
    from wherefrom.models.towers import published

    return published(tower) if weights == PUBLISHED else next(iter(file_of(weights)), None)
