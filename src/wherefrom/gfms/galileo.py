"""Galileo nano as a published row: pixel series through the released encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wherefrom.gfms.base import Modality
from wherefrom.gfms.published import Encoder

if TYPE_CHECKING:
    from wherefrom.gfms.places import Places

__all__ = ["PublishedGalileo"]


class PublishedGalileo(Encoder):
    """Galileo nano (arXiv 2502.09356): frozen, on pixel series; rain is the sum of 30 days.

    It reads what the series have, as Presto does, and the place
    (`wherefrom.models.galileo_series.records_of`).

    Attributes
    ----------
    weights : str
        ``published`` or a file, ``encoder.pt``.
    hide : tuple of str
        Groups that it is not shown, e.g. ``location``.
    """

    reads_of_tasks: ClassVar[frozenset[Modality]] = frozenset({"series"})
    width: ClassVar[int] = 128
    #: Of ERA5, SRTM and the place: 14 tokens through four blocks.
    embed_flops: ClassVar[float] = 4 * 14 * (24 * 128**2 + 4 * 14 * 128)
    catalog: ClassVar[tuple[str, ...]] = ("galileo-nano",)

    hide: tuple[
        Literal[
            "S1", "S2_RGB", "S2_Red_Edge", "S2_NIR_10m", "S2_NIR_20m", "S2_SWIR", "NDVI", "SRTM",
            "DW", "ERA5", "location", "DW_static",
        ],
        ...,
    ] = ()  # fmt: skip

    def features(self, places: Places) -> NDArray[np.float32]:
        """Embed the series."""
        from wherefrom.models.galileo import Galileo
        from wherefrom.models.galileo_series import GalileoSeries, records_of

        records = records_of(places.series(), self.hide)
        return self.embedded(GalileoSeries(), Galileo.load_official(self.path), records, 64)
