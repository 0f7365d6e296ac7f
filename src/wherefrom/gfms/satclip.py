"""SatCLIP: locations against what the places look like; embedded by location alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from wherefrom.gfms.base import REGIONS, Gfm, Modality, Start
from wherefrom.gfms.published import Encoder
from wherefrom.gfms.tower import (
    PUBLISHED,
    RANDOM,
    SIDES,
    file_of,
    lacks_b10,
    path_of,
    source_of,
    too_small,
)
from wherefrom.payload.base import Payload

if TYPE_CHECKING:
    from wherefrom.gfms.places import Places
    from wherefrom.models.base import Batch, Records
    from wherefrom.models.satclip import LocationEncoder, SatCLIPConfig
    from wherefrom.payload.stored import Images

__all__ = ["PublishedSatCLIP", "SatCLIP", "SatCLIPImages", "embed_places"]


class _Locating(Gfm):
    """A location encoder, whatever its image side is."""

    embed_batch: ClassVar[int] = 2048
    shares: ClassVar[bool] = True

    degrees: int = Field(gt=0)
    width: int = Field(gt=0, default=512)
    depth: int = Field(gt=0, default=2)
    out: int = Field(gt=0, default=256)
    dropout: float = Field(ge=0, lt=1, default=0.5)

    @property
    def embed_flops(self) -> float:
        """Products of the location encoder; its harmonics are computed once."""
        inner = self.depth - 1
        return 2 * self.width * (self.degrees**2 + inner * self.width + self.out)

    @property
    def finetune_seconds(self) -> float:
        """Steps on the few training places, and one pass over the many test places."""
        return 0.13 + 4e-8 * self.embed_flops

    def records_of_task(self, places: Places) -> Records:
        """Read coordinates."""
        return {"lon": places.lon, "lat": places.lat}

    def restore(self, spec: Mapping[str, Any]) -> SatCLIPConfig:
        """Make the model that gave a spec."""
        from wherefrom.models.satclip import SatCLIPConfig

        return SatCLIPConfig(**{name: value for name, value in spec.items() if name != "model"})

    def _fields(self) -> dict[str, Any]:
        return self.model_dump(include=set(type(self).model_fields) - set(Gfm.model_fields))


class SatCLIP(_Locating):
    """SatCLIP (arXiv 2311.17179): a location encoder, contrasted with features of images.

    Attributes
    ----------
    degrees : int
        Of the spherical harmonics.
    width, depth, out, dropout
        Of the location encoder.
    hidden : int
        Hidden units of the head on features; 0 for a linear one.
    """

    reads: ClassVar[frozenset[Modality]] = frozenset({"features"})
    start: ClassVar[Start | None] = Start(
        fields={
            "degrees": 40,
            "hidden": 0,
            "pretrain": {"samples_seen": 64000, "batch": 512, "lr": 1e-4, "warmup": 50},
        },
        debug={"width": 128, "pretrain": {"samples_seen": 5120, "batch": 256, "warmup": 5}},
        payloads={
            "blue-marble": {
                "images": ["blue-marble", "blue-marble-monthly"],
                "window_km": 60.0,
                "filters": 64,
            }
        },
        debug_payloads={"blue-marble": {"filters": 16}},
        task={"ecoregions": {"kind": "ecoregions", "layer": "biome", **REGIONS}},
        baselines=("raw-harmonics-L10", "raw-harmonics-L40"),
    )

    hidden: int = Field(ge=0, default=256)

    @property
    def pretrain_flops(self) -> float:
        """The location encoder's."""
        return self.embed_flops

    def records(self, places: Places) -> Records:
        """Read coordinates and features."""
        return {"lon": places.lon, "lat": places.lat, "image": places.features()}

    def calibration(self, places: Places) -> Records:
        """Scale features by the whole pool's."""
        return {"image": places.scales("features")}

    def model(self, records: Records) -> SatCLIPConfig:
        """Make the model; its head takes as many inputs as the records have."""
        return self.restore(self._fields() | {"inputs": records["image"].shape[1]})


#: Operations of a tower for an image of 224 pixels a side.
_FLOPS = {"resnet18": 4.4e9, "resnet50": 9.0e9, "vit_small_patch16_224": 9.6e9}
#: And its parameters.
_PARAMETERS = {"resnet18": 11.7e6, "resnet50": 25.6e6, "vit_small_patch16_224": 22.1e6}


class SatCLIPImages(_Locating):
    """SatCLIP on the images themselves: a network that learns with it, or a published tower.

    Attributes
    ----------
    degrees, width, depth, out, dropout
        Of the location encoder, as of kind ``satclip``.
    image : str
        ``cnn``, a small network that learns with it; or one of `wherefrom.models.towers.TOWERS`,
        with the official linear head.
    weights : str
        Of a tower: ``published``, those of the catalog; ``random``, if it is trained; or a file.
    trained : bool
        Whether the tower learns, too; else it is frozen.
    drifting : bool
        Whether batch norms of a frozen tower normalise by the batch and drift, as officially.
    augment : bool
        Change images and places at each step as the official training does: flips, a blur, a
        shift of up to 0.01 degrees, and where images are larger than the tower reads, a crop at
        random; else the crop is at the centre.
    divisor : float, optional
        As of payload ``tower``.

    A frozen tower whose images are not augmented gives the same features in every step: payload
    ``tower`` and kind ``satclip`` compute them once.
    """

    reads: ClassVar[frozenset[Modality]] = frozenset({"images"})

    image: Literal["cnn", "resnet18", "resnet50", "vit_small_patch16_224"]
    weights: str = Field(min_length=1, default=PUBLISHED)
    trained: bool = False
    drifting: bool = False
    augment: bool = False
    divisor: float | None = Field(gt=0, default=None)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.image == "cnn":
            for name in ("weights", "trained", "drifting", "divisor"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} is of a tower, and image is 'cnn', which has none")
        elif self.trained and self.drifting:
            raise ValueError("drifting is of a frozen tower, and this one is trained: drop it")
        elif self.weights == RANDOM and not self.trained:
            raise ValueError("weights are random, and the tower is frozen: set trained: true")
        return self

    @property
    def _tower_weights(self) -> str:
        return RANDOM if self.image == "cnn" else self.weights

    @property
    def sources(self) -> tuple[str, ...]:  # type: ignore[override]
        """The catalog's weights, if they are asked for."""
        return source_of(self.image, self._tower_weights)

    @property
    def files(self) -> tuple[str, ...]:
        """The weights, if they are a file."""
        return file_of(self._tower_weights)

    def settings(self) -> dict[str, Any]:
        """Give all but where the weights lie."""
        return super().settings() | ({"weights": "a file"} if self.files else {})

    @property
    def pretrain_flops(self) -> float:
        """Those of images of 224 pixels a side, or of 16 for the small network.

        A frozen tower has no step back, which takes twice as long as the one forth.
        """
        if self.image == "cnn":
            return 5.0 * self.embed_flops
        return self.embed_flops + _FLOPS[self.image] / (1 if self.trained else 3)

    @property
    def parameters(self) -> float:
        """Of the location encoder and the tower."""
        return super().parameters + _PARAMETERS.get(self.image, 0.0)

    def refuses(self, payload: Payload) -> str:
        """Refuse images smaller than the tower reads, or than can be blurred."""
        return too_small(payload, SIDES.get(self.image, 2 if self.augment else 1), self.image)

    def records(self, places: Places) -> Records:
        """Read coordinates, and images when they are needed."""
        images = cast("NDArray[Any]", places.images())
        return {"lon": places.lon, "lat": places.lat, "image": images}

    def calibration(self, places: Places) -> Records | None:
        """Scale channels by the whole pool's, but for a tower, which has its own."""
        return {"image": places.scales("images")} if self.image == "cnn" else None

    def model(self, records: Records) -> SatCLIPConfig:
        """Make the model; its image side takes as many bands as the records have, and B10."""
        images = cast("Images", records["image"])
        inputs = images.shape[1] + (self.image != "cnn" and lacks_b10(images.bands))
        weights = path_of(self.image, self._tower_weights)
        return self.restore(self._fields() | {"inputs": inputs, "weights": weights})


class PublishedSatCLIP(Encoder):
    """SatCLIP (arXiv 2311.17179): the location encoder of a checkpoint, frozen, in float64.

    Attributes
    ----------
    weights : str
        A checkpoint of the official code, of any L, width and depth; or ``published``.
    """

    embed_flops: ClassVar[float] = 4 * 512 * (40**2 + 512 + 256)
    catalog: ClassVar[tuple[str, ...]] = (
        "satclip-resnet18-l40", "satclip-resnet18-l10", "satclip-resnet50-l40",
        "satclip-resnet50-l10", "satclip-vit16-l40", "satclip-vit16-l10",
    )  # fmt: skip

    def features(self, places: Places) -> NDArray[np.float32]:
        """Embed the places."""
        from wherefrom.models.satclip import LocationEncoder
        from wherefrom.train.device import at_once, device

        encoder = LocationEncoder.load_official(self.path).to(device())
        return embed_places(encoder, places.lon, places.lat, at_once(2048, device()))


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
