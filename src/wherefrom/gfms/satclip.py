"""SatCLIP: locations against what the places look like; embedded by location alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wherefrom.earth.imagery import windows
from wherefrom.gfms.base import Gfm, Modality

if TYPE_CHECKING:
    from wherefrom.gfms.places import Places
    from wherefrom.models.base import Batch, Records
    from wherefrom.models.satclip import LocationEncoder, SatCLIPConfig

__all__ = ["SatCLIP", "embed_places"]

#: Pixels along a side of the windows that the jointly trained network sees.
WINDOW = 16


class SatCLIP(Gfm):
    """SatCLIP (arXiv 2311.17179): a location encoder, contrasted with what the place looks like.

    Attributes
    ----------
    degrees : int
        Of the spherical harmonics.
    width, depth, out, dropout
        Of the location encoder.
    hidden : int
        Hidden units of the head on image features; 0 for a linear one.
    image : {"features", "cnn"}
        Frozen features of the window around a place, or a small network on it, trained jointly.
    """

    reads: ClassVar[frozenset[Modality]] = frozenset({"features"})
    embed_batch: ClassVar[int] = 2048

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

    def records(self, places: Places) -> Records:
        """Read coordinates and images."""
        lon, lat = places.lon, places.lat
        image = windows(lon, lat, WINDOW) if self.image == "cnn" else places.features()
        return {"lon": lon, "lat": lat, "image": image}

    def records_of_task(self, places: Places) -> Records:
        """Read coordinates."""
        return {"lon": places.lon, "lat": places.lat}

    def calibration(self, places: Places) -> Records | None:
        """Scale features by the whole pool's."""
        return None if self.image == "cnn" else {"image": places.feature_scales()}

    def model(self, records: Records) -> SatCLIPConfig:
        """Make the model; its image side takes as many inputs as the records have."""
        return self.restore(self._fields() | {"inputs": records["image"].shape[1]})

    def restore(self, spec: Mapping[str, Any]) -> SatCLIPConfig:
        """Make the model that gave a spec."""
        from wherefrom.models.satclip import SatCLIPConfig

        return SatCLIPConfig(**{name: value for name, value in spec.items() if name != "model"})

    def _fields(self) -> dict[str, Any]:
        return self.model_dump(include=set(SatCLIP.model_fields) - set(Gfm.model_fields))


def embed_places(
    encoder: LocationEncoder,
    lon: NDArray[np.floating[Any]],
    lat: NDArray[np.floating[Any]],
    batch: int = 2048,
) -> NDArray[np.float32]:
    """Embed places, degrees (N,), with a location encoder alone; see `wherefrom.train.embed.embed`.

    Coordinates out of range or missing raise a `WherefromError` that names the first row.

    Examples
    --------
    >>> from wherefrom.models.satclip import LocationEncoder
    >>> embed_places(LocationEncoder(10), np.array([13.4, 2.35]), np.array([52.5, 48.9])).shape
    (2, 256)
    """
    import torch

    from wherefrom.models.satclip import SatCLIPConfig, places_on
    from wherefrom.train.embed import embed

    class Alone(SatCLIPConfig):
        """A location encoder alone; its harmonics are of its own precision, and used once."""

        def prepare(self, records: Records, device: torch.device) -> Batch:
            return dict(zip(("lon", "lat"), places_on(records, device), strict=True))

    model = Alone(degrees=encoder.harmonics.degrees, inputs=0)
    return embed(model, encoder, {"lon": lon, "lat": lat}, batch)
