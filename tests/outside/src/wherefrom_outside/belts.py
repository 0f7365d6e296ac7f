# belts.py
"""Tell in which belt of latitude a place lies."""

from dataclasses import replace
from typing import ClassVar

from wherefrom.tasks import ecoregions
from wherefrom.tasks.base import PlacedSpec


class Belts(PlacedSpec):
    """Tell in which belt of latitude a place lies."""

    layer_fields: ClassVar[tuple[str, ...]] = ("layer", "region_layer")

    layer: str = "belt"

    @property
    def label(self):
        return "belts"

    def make(self, pool):
        return replace(ecoregions(pool, self.layer, **self.placing()), name=self.label)
