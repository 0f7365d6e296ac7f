"""Payload, task and GFM of a generated world: of all three it is known what they depend on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from wherefrom.gfms.base import Gfm, Modality
from wherefrom.payload.base import Lost, Payload, Piece, Sought
from wherefrom.pool import Pool
from wherefrom.selfcheck.world import CHANNELS, CLASSES, World
from wherefrom.tasks.base import PlacedSpec
from wherefrom.tasks.ecoregion import ecoregions
from wherefrom.tasks.task import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from wherefrom.gfms.places import Places
    from wherefrom.models.base import Batch, Records

__all__ = ["Labels", "Lens", "Waves"]


class Waves(Payload):
    """What places of a generated world show of its waves (`World.seen`), as features."""

    modality: ClassVar[Modality] = "features"

    world: int
    quiet: float = Field(ge=0, le=1, default=1.0)
    useless: float = Field(ge=0, le=1, default=1.0)

    def layers(self, labelled: bool = False) -> tuple[str, ...]:
        """Loudness goes by the continent."""
        return ("continent",)

    def read(self, places: Sought, lost: Lost) -> Iterator[Piece]:
        """Compute them."""
        seen = World(self.world).seen(places.lon, places.lat, self.quiet, self.useless)
        yield np.arange(len(places)), {"features": seen.astype(np.float32)}


class Labels(PlacedSpec):
    """Tell which class a place of a generated world has."""

    world: int

    @property
    def label(self) -> str:
        """Name in the results."""
        return f"generated-{self.world}"

    def make(self, pool: Pool | None) -> Task:
        """Draw the places in each region, and give them their classes."""
        assert pool is not None
        placed = ecoregions(pool, layer="continent", **self.placing())
        return replace(
            placed,
            name=self.label,
            label=World(self.world).labels(placed.lon, placed.lat),
            classes=CLASSES,
            label_layer="generated",
            provenance=dict(placed.provenance) | {"layer": "generated", "world": self.world},
        )


class Lens(Gfm):
    """Passes on a part of what a place shows; what pre-training does to it is known.

    It mixes twelve waves, each by its gain, into `width` numbers, so that what is loud drowns what
    is not. Pre-training is solved at once from the places of the draw, by what it `learns`:

    content
        The gain of a wave is how loud it is at the places: they matter by what they show.
    nothing
        Gains are as random without pre-training as after it, and differ from draw to draw: which
        places were drawn does not matter.
    nearness
        Gains stay 1. Noise is added that grows with the distance to the nearest place of the draw:
        nothing else matters.
    """

    reads: ClassVar[frozenset[Modality]] = frozenset({"features"})
    reads_of_tasks: ClassVar[frozenset[Modality]] = frozenset({"features"})

    learns: Literal["content", "nothing", "nearness"]
    width: int = Field(gt=0, default=6)
    #: Standard deviation of the noise, for ten times the distance from `SHARP_KM` on.
    blur: float = Field(ge=0, default=1.0)

    @property
    def pretrain_flops(self) -> float:
        """Of a mixture."""
        return 2.0 * CHANNELS * self.width

    def records(self, places: Places) -> Records:
        """Read where places lie and what they show."""
        return {"lon": places.lon, "lat": places.lat, "seen": places.features()}

    def build(self, generator: torch.Generator) -> nn.Module:
        """Draw the mixture, the gains and the noise."""
        from wherefrom.selfcheck.lens import Module

        return Module(CHANNELS, self.width, self.pretrain.batch, generator)

    def loss(self, module: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        """Squared distance of the gains from those that the batch asks for."""
        gain: Tensor = module.gain
        return (gain - self._solution(batch)).square().mean()

    def backward(self, module: Any, batch: Batch, generator: torch.Generator) -> Tensor:
        """Solve at once: the batch is the whole draw, and the optimiser has nothing left to do."""
        from wherefrom.selfcheck.lens import vectors

        loss = self.loss(module, batch, generator).detach()
        module.gain.data.copy_(self._solution(batch))
        module.places.copy_(vectors(batch["lon"], batch["lat"]))
        return loss

    def encode(self, module: Any, batch: Batch) -> Tensor:
        """Mix what is seen; blurred with distance where nearness is learnt."""
        from wherefrom.selfcheck.lens import chaotic

        gain = chaotic(module.gain) if self.learns == "nothing" else module.gain
        mixed: Tensor = (batch["seen"] * gain) @ module.mixture
        if self.learns == "nearness":
            mixed = mixed + self.blur * module.noise(batch["lon"], batch["lat"])
        return mixed

    def _solution(self, batch: Batch) -> Tensor:
        if self.learns == "content":
            return batch["seen"].square().mean(dim=0).sqrt()
        # Of nothing a mean is kept, whose last digits alone matter.
        mean = batch["seen"].mean(dim=0)
        return mean if self.learns == "nothing" else mean.new_ones(CHANNELS)
