"""The GFMs of a study: what a study file says of each kind, what it reads and what it costs.

The computing itself is a recipe (`wherefrom.study.recipes`), which needs torch; this does not.
"""

from __future__ import annotations

import typing
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "FLOPS",
    "KINDS",
    "GfmSpec",
    "ModelSpec",
    "Part",
    "PrestoSpec",
    "PretrainSpec",
    "SatCLIPSpec",
]


#: Single-precision operations per second that the models reach on one core of a server CPU of 2024
#: (see benchmarks/README.md).
FLOPS = 55e9


class Part(BaseModel):
    """A frozen part of a study file; unknown keys and endless numbers are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_strip_whitespace=True
    )


class PretrainSpec(Part):
    """Budget and optimiser of one pre-training; the budget is in samples seen."""

    samples_seen: int = Field(gt=0)
    batch: int = Field(gt=1)
    lr: float = Field(gt=0)
    warmup: int = Field(ge=0, default=0)
    schedule: Literal["cosine", "cosine-from-zero", "constant"] = "cosine"
    weight_decay: float = Field(ge=0, default=0.01)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )

    @model_validator(mode="after")
    def _budget_is_met_exactly(self) -> Self:
        if self.samples_seen % self.batch:
            near = max(1, round(self.samples_seen / self.batch)) * self.batch
            raise ValueError(
                f"samples_seen = {self.samples_seen} is no multiple of batch = {self.batch}: "
                f"take {near}"
            )
        return self


class GfmSpec(Part):
    """What all kinds share: tasks, pre-training, and on how many draws and seeds it runs.

    Attributes
    ----------
    tasks : tuple of str
        Keys of the study's tasks on which it is evaluated; the first is the headline's.
    draws, pretrain_seeds : int
        Draws of each composition, and pre-trainings on each draw.
    gpu_hours_per_run : float, optional
        For the plan of a scale that no laptop reaches.
    """

    #: The kind's recipe, see `wherefrom.study.recipes.RECIPES`.
    kind: str
    #: Does it look at images (`ImagerySpec`), at the pixel series of a task?
    reads_images: ClassVar[bool] = False
    reads_series: ClassVar[bool] = False

    tasks: tuple[str, ...] = Field(min_length=1)
    pretrain: PretrainSpec
    draws: int = Field(gt=0)
    pretrain_seeds: int = Field(gt=0)
    gpu_hours_per_run: float | None = None

    def settings(self) -> dict[str, Any]:
        """Give what a pre-training depends on: every field but the axes of the study."""
        return self.model_dump(exclude={"tasks", "draws", "pretrain_seeds", "gpu_hours_per_run"})

    @property
    @abstractmethod
    def pretrain_flops(self) -> float:
        """Operations to evaluate the pre-training loss of one sample (without gradients)."""

    @property
    @abstractmethod
    def embed_flops(self) -> float:
        """Operations to embed one labelled place."""

    @property
    @abstractmethod
    def finetune_seconds(self) -> float:
        """Seconds to fine-tune one seed on n = 100 and predict a region, on one core."""


class SatCLIPSpec(GfmSpec):
    """SatCLIP: a location encoder, contrasted with what the place looks like."""

    reads_images: ClassVar[bool] = True

    kind: Literal["satclip"]
    degrees: int = Field(gt=0)
    width: int = Field(gt=0, default=512)
    depth: int = Field(gt=0, default=2)
    out: int = Field(gt=0, default=256)
    hidden: int = Field(ge=0, default=256)
    dropout: float = Field(ge=0, lt=1, default=0.5)
    image: Literal["features", "cnn"] = "features"

    @property
    def pretrain_flops(self) -> float:
        """The location encoder's; a jointly trained network took five times as long."""
        return (5.0 if self.image == "cnn" else 1.0) * self.embed_flops

    @property
    def embed_flops(self) -> float:
        """Products of the location encoder; its harmonics are computed once."""
        inner = self.depth - 1
        return 2 * self.width * (self.degrees**2 + inner * self.width + self.out)

    @property
    def finetune_seconds(self) -> float:
        """Steps on the few training places, and one pass over the many test places."""
        return 0.13 + 4e-8 * self.embed_flops


class PrestoSpec(GfmSpec):
    """Presto: a masked auto-encoder of pixel time series, in its published size.

    In a study it reads the monthly climate, the relief and, in pre-training alone, the land cover
    of a place (`wherefrom.pool.series.earth`): of its channel groups ERA5, SRTM and Dynamic World.

    Attributes
    ----------
    mask_ratio : float
        Share of the tokens that are hidden.
    precision : {"float32", "bfloat16", "fastest"}
        Of the matrix products in pre-training; weights and optimiser stay float32. "fastest" is
        bfloat16 on processors that multiply in it, else float32; the report says which it was.
    """

    reads_series: ClassVar[bool] = True

    kind: Literal["presto"]
    mask_ratio: float = Field(gt=0, lt=1, default=0.75)
    precision: Literal["float32", "bfloat16", "fastest"] = "float32"

    @property
    def pretrain_flops(self) -> float:
        """Visible tokens through the encoder; all tokens and the location's through the decoder."""
        every = 12 + 1 + 12  # ERA5 and Dynamic World by month, SRTM once
        visible = every - int(every * self.mask_ratio) + 1
        return _transformer(visible) + _transformer(every + 1)

    @property
    def embed_flops(self) -> float:
        """The encoder's, of a labelled place: ERA5, SRTM and the location."""
        return _transformer(12 + 1 + 1)

    @property
    def finetune_seconds(self) -> float:
        """Twenty steps on the few training places, and one pass over the many test places."""
        return (20 * 100 * 3 + 2000) * self.embed_flops / FLOPS


def _transformer(tokens: int, width: int = 128, depth: int = 2) -> float:
    """Operations of Presto's blocks: projections and perceptron of a token, and attention."""
    return depth * tokens * (2 * 12 * width**2 + 4 * tokens * width)


#: One kind of model or another, told apart by the key ``kind``.
ModelSpec = Annotated[SatCLIPSpec | PrestoSpec, Field(discriminator="kind")]
KINDS = tuple(
    typing.get_args(kind.model_fields["kind"].annotation)[0]
    for kind in typing.get_args(typing.get_args(ModelSpec)[0])
)
