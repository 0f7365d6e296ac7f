"""SatMAE: images whose channels are grouped, hidden in part and reconstructed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from wherefrom.errors import WherefromError, unknown
from wherefrom.gfms.base import REGIONS, Gfm, Modality, Start, fastest, placed
from wherefrom.gfms.tower import too_small
from wherefrom.models.sizes import SIZES, Size
from wherefrom.payload.base import Payload

if TYPE_CHECKING:
    from wherefrom.gfms.places import Places
    from wherefrom.models.base import GeoModel, Records
    from wherefrom.models.grouped import SatMAEConfig

__all__ = ["SENTINEL_2", "WINDOWS", "SatMAE"]

#: Groups of Sentinel-2's bands, as officially: of 10 m, of the red edge, of short-wave infrared.
SENTINEL_2 = (("B2", "B3", "B4", "B8"), ("B5", "B6", "B7", "B8A"), ("B11", "B12"))
#: Groups of the built-in stack of rasters: what is seen, how green it is, how high it lies.
WINDOWS = (("blue-marble:*",), ("ndvi:*",), ("relief:*",))


class SatMAE(Gfm):
    """SatMAE on groups of channels (arXiv 2207.08051): a masked autoencoder of images.

    Channels are scaled by mean and spread of the whole pool, the same for all compositions. In
    pre-training images are mirrored at random, and cropped at random where they are larger than the
    model reads; embedded is the centre, by all tokens.

    Attributes
    ----------
    size : {"base", "large", "laptop", "tiny"}
        Of the network (`wherefrom.models.sizes.SIZES`): images of 96, 96, 32 and 16 pixels.
    patch : int, optional
        Pixels of a patch along a side; by default the size's.
    groups : tuple of tuple of str
        Names of the payload's bands, or patterns such as ``ndvi:*``, group by group; channels
        without names are called 1, 2, ... Bands of no group are not read. By default Sentinel-2's,
        and of the sizes "laptop" and "tiny" those of the built-in rasters.
    mask_ratio : float
        Share of the tokens that are hidden.
    consistent : bool
        Hide the same locations in all groups.
    normalise : bool
        Reconstruct values standardised at each location, not the scaled values themselves.
    aligned : bool
        Hold each group's output against its own channels; officially (False) they are mixed up.
    flip : bool
        Mirror images at random, east to west.
    pooling : {"mean", "cls"}
        Of the embedding: mean of the tokens, standardised; or the class token, by the last norm.
    precision : {"float32", "bfloat16", "fastest"}
        Of the matrix products in pre-training, as of kind ``presto``.
    """

    reads: ClassVar[frozenset[Modality]] = frozenset({"images"})
    reads_of_tasks: ClassVar[frozenset[Modality]] = frozenset({"images"})
    embed_batch: ClassVar[int] = 32  # what lies between layers stays in the processor's cache
    shares: ClassVar[bool] = True
    start: ClassVar[Start | None] = Start(
        fields={
            "size": "laptop",
            "patch": 8,
            "groups": [["blue-marble:*"], ["ndvi:*"], ["relief:*"]],
            "pretrain": {
                "samples_seen": 25600,
                "batch": 128,
                "lr": 5e-4,
                "warmup": 20,
                "weight_decay": 0.05,
                "betas": [0.9, 0.95],
            },
        },
        debug={
            "size": "tiny",
            "groups": [["blue-marble:*"], ["relief:*"]],
            "pretrain": {"samples_seen": 512, "batch": 64, "warmup": 1},
        },
        payloads={
            "windows": {
                "kind": "rasters",
                "keep": False,
                "window_px": 32,
                "metres_per_px": 5500,
                "rasters": {
                    "blue-marble": {"source": "blue-marble"},
                    "ndvi": {"source": "ndvi-range", "fill": 0.0},
                    "relief": {
                        "source": "altitude",
                        "nodata": 255,
                        "scale": 28.0,
                        "offset": -450.0,
                        "fill": 0.0,
                    },
                },
            }
        },
        debug_payloads={
            "windows": {"window_px": 16, "metres_per_px": 11000, "rasters": {"ndvi": None}}
        },
        task={
            "windows": {
                "kind": "ecoregions",
                "name": "windows",
                "layer": "biome",
                **REGIONS,
                **placed(train=1000, test=1000, tune=(600, 1000)),
            }
        },
        debug_task=placed(train=300, test=100, tune=(20, 20)),
    )

    size: Literal["base", "large", "laptop", "tiny"] = "laptop"
    patch: int | None = Field(gt=0, default=None)
    groups: tuple[tuple[str, ...], ...] = ()
    mask_ratio: float = Field(gt=0, lt=1, default=0.75)
    consistent: bool = False
    normalise: bool = False
    aligned: bool = True
    flip: bool = True
    pooling: Literal["mean", "cls"] = "mean"
    precision: Literal["float32", "bfloat16", "fastest"] = "float32"

    @field_validator("groups")
    @classmethod
    def _have_bands(cls, groups: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        if not all(groups):
            raise ValueError("a group names no band: name some, or drop the group")
        return groups

    @model_validator(mode="after")
    def _fits(self) -> Self:
        numbers = self._numbers
        if numbers.image % numbers.patch:
            raise ValueError(
                f"patch = {numbers.patch} does not divide the {numbers.image} pixels of "
                f"{self.size!r}"
            )
        tokens = self._tokens // (len(self._groups) if self.consistent else 1)
        if not int(tokens * (1 - self.mask_ratio)):
            raise ValueError(
                f"mask_ratio = {self.mask_ratio} hides all {tokens} tokens of an image: lower it, "
                "or give smaller patches"
            )
        return self

    def settled(self) -> Self:
        """Choose the precision that is fastest here, where that is asked for."""
        if self.precision != "fastest":
            return self
        return self.model_copy(update={"precision": fastest()})

    @property
    def _numbers(self) -> Size:
        """The size's numbers."""
        numbers = SIZES[self.size]
        return numbers._replace(patch=self.patch or numbers.patch)

    @property
    def _groups(self) -> tuple[tuple[str, ...], ...]:
        return self.groups or (SENTINEL_2 if self.size in ("base", "large") else WINDOWS)

    @property
    def _tokens(self) -> int:
        return len(self._groups) * (self._numbers.image // self._numbers.patch) ** 2

    @property
    def pretrain_flops(self) -> float:
        """Visible tokens through the encoder, all through the decoder."""
        of, kept = self._numbers, int(self._tokens * (1 - self.mask_ratio)) + 1
        decoder = _transformer(self._tokens + 1, of.decoder_width, of.decoder_depth)
        return _transformer(kept, of.width, of.depth) + decoder

    @property
    def embed_flops(self) -> float:
        """All tokens through the encoder."""
        return _transformer(self._tokens + 1, self._numbers.width, self._numbers.depth)

    @property
    def parameters(self) -> float:
        """Of encoder and decoder, whatever the tokens."""
        of = self._numbers
        blocks = of.depth * of.width**2 + of.decoder_depth * of.decoder_width**2
        return 12.0 * blocks

    def wants(self, band: str) -> bool:
        """Read the bands of the groups alone."""
        return any(_matches(band, one) for group in self._groups for one in group)

    def refuses(self, payload: Payload) -> str:
        """Refuse images smaller than it reads, and bands of which a group names none."""
        if said := too_small(payload, self._numbers.image, f"size {self.size!r}"):
            fitting = {one.image: name for name, one in SIZES.items()}
            fitting = {
                side: name for side, name in fitting.items() if side <= (payload.image_side or 0)
            }
            return said + (f", or size: {fitting[max(fitting)]}" if fitting else "")
        try:
            if payload.bands:
                _positions(self._groups, payload.bands)
        except WherefromError as err:
            return f"groups: {err}"
        return ""

    def records(self, places: Places) -> Records:
        """Read images when they are needed."""
        return {"image": places.images()}  # type: ignore[dict-item]

    def calibration(self, places: Places) -> Records:
        """Scale channels by the whole pool's."""
        return {"image": places.scales("images")}

    def model(self, records: Records) -> SatMAEConfig:
        """Make the model whose groups are positions among the records' channels."""
        from wherefrom.models.grouped import SatMAEConfig

        assert self.precision != "fastest"  # settled
        image = records["image"]
        bands = getattr(image, "bands", ()) or tuple(
            str(number) for number in range(1, image.shape[1] + 1)
        )
        return SatMAEConfig(
            groups=_positions(self._groups, bands),
            size=self._numbers,
            mask_ratio=self.mask_ratio,
            consistent=self.consistent,
            normalise=self.normalise,
            aligned=self.aligned,
            flip=self.flip,
            pooling=self.pooling,
            precision=self.precision,
        )

    def restore(self, spec: Mapping[str, Any]) -> SatMAEConfig:
        """Make the model that gave a spec."""
        from wherefrom.models.grouped import SatMAEConfig

        return SatMAEConfig.of(spec)

    def embedding(self, model: GeoModel[Any]) -> GeoModel[Any]:
        """Embed in single precision, whatever it was trained in."""
        return self.restore({**model.spec(), "precision": "float32"})


def _transformer(tokens: int, width: int, depth: int) -> float:
    """Operations of blocks: projections and perceptron of a token, and attention."""
    return depth * tokens * (24.0 * width**2 + 4 * tokens * width)


def _matches(band: str, pattern: str) -> bool:
    return fnmatchcase(_plain(band), _plain(pattern))


def _plain(band: str) -> str:
    """Call bands of Sentinel-2 alike: B2 and B02, B8A and B8a."""
    return re.sub(r"^B0?(\d+)([aA]?)$", lambda m: f"B{m[1]}{m[2].upper()}", band)


def _positions(
    groups: tuple[tuple[str, ...], ...], bands: tuple[str, ...]
) -> tuple[tuple[int, ...], ...]:
    """Return the positions among the bands that each group names, in the group's order."""
    found: list[tuple[int, ...]] = []
    taken: dict[int, int] = {}
    for number, group in enumerate(groups, start=1):
        own: list[int] = []
        for pattern in group:
            some = [at for at, band in enumerate(bands) if _matches(band, pattern)]
            if not some:
                raise unknown(f"band of group {number} of satmae", pattern, bands)
            own += [at for at in some if at not in own]
        for at in own:
            if taken.setdefault(at, number) != number:
                raise WherefromError(
                    f"satmae: band {bands[at]!r} is of groups {taken[at]} and {number}: name it in "
                    "one"
                )
        found.append(tuple(own))
    return tuple(found)
