"""GeoCLIP as a published row: places through the released location encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from wherefrom.gfms.published import Encoder

if TYPE_CHECKING:
    from wherefrom.gfms.places import Places

__all__ = ["PublishedGeoCLIP"]


class PublishedGeoCLIP(Encoder):
    """GeoCLIP's location encoder (arXiv 2309.16020): frozen, on coordinates alone.

    Attributes
    ----------
    weights : str
        ``published``, those that the package geoclip carries, or a file of the same shapes.
    """

    width: ClassVar[int] = 512
    embed_flops: ClassVar[float] = 2 * 9.45e6
    catalog: ClassVar[tuple[str, ...]] = ("geoclip-location",)

    def features(self, places: Places) -> NDArray[np.float32]:
        """Embed the places."""
        from wherefrom.models import geoclip

        encoder = geoclip.LocationEncoder.load_official(self.path)
        records = {"lon": places.lon, "lat": places.lat}
        return self.embedded(geoclip.Places(), encoder, records, 1024)
