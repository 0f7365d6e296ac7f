"""Features of images by a frozen tower: a payload made of another, once for all compositions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from wherefrom.payload.base import AnyPayload, Lost, Modality, Payload, Piece, Sought, checked

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from wherefrom.models.base import Batch, Records

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
    seed : int
        Of random weights.
    """

    modality: ClassVar[Modality] = "features"
    shard: ClassVar[int] = 4096

    of: AnyPayload
    tower: Literal["resnet18", "resnet50", "vit_small_patch16_224"] = "resnet18"
    weights: str = Field(min_length=1, default=PUBLISHED)
    precision: Literal["float32", "bfloat16"] = "float32"
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
    def files(self) -> tuple[str, ...]:
        """The weights, if they are a file, and those of the images."""
        return (() if self.weights in (PUBLISHED, RANDOM) else (self.weights,)) + self.of.files

    def settings(self) -> dict[str, Any]:
        """Give all but where the weights lie."""
        made = super().settings()
        return made if self.weights in (PUBLISHED, RANDOM) else made | {"weights": "a file"}

    def settled(self) -> Self:
        """Settle the images."""
        return self.model_copy(update={"of": self.of.settled()})

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Show the tower the images, a piece at a time."""
        import torch

        from wherefrom.models.towers import frozen, published, tower
        from wherefrom.train.embed import embed

        module: nn.Module | None = None
        device = "cuda" if torch.cuda.is_available() else "cpu"
        for rows, records in checked(self.of, places, lost):
            images = records["images"]
            if module is None:
                made = tower(
                    self.tower,
                    13 if images.dtype == np.uint16 else images.shape[1],
                    weights={PUBLISHED: published(self.tower), RANDOM: None}.get(
                        self.weights, self.weights
                    ),
                    generator=torch.Generator().manual_seed(self.seed),
                )
                module = frozen(made, getattr(torch, self.precision)).to(device)
            yield rows, {"features": embed(_Shown(), module, {"images": images}, batch=8)}


@dataclass(frozen=True)
class _Shown:
    """Images as they are, for `wherefrom.train.embed.embed`."""

    name: str = "tower"

    def prepare(self, records: Records, device: torch.device) -> Batch:
        import torch

        return {"images": torch.from_numpy(np.ascontiguousarray(records["images"])).to(device)}

    def collate(self, prepared: Batch, rows: Tensor) -> Batch:
        return {"images": prepared["images"][rows]}

    def encode(self, module: nn.Module, batch: Batch) -> Tensor:
        features: Tensor = module(batch["images"])
        return features
