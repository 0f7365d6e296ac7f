"""SatCLIP: a location encoder trained by contrast with what the place looks like from above.

Klemmer et al., *SatCLIP: Global, General-Purpose Location Embeddings with Satellite Imagery*,
arXiv 2311.17179. Written from the published facts; names of parameters differ from the official
code, weights and outputs do not (see `LocationEncoder.load_official`).
"""

from __future__ import annotations

import copy
import io
import itertools
import math
import pathlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from wherefrom.earth.base import checked_places
from wherefrom.errors import WherefromError, unknown
from wherefrom.files import atomic
from wherefrom.models import share
from wherefrom.models.augment import augmented, cropped, numbers, shifted
from wherefrom.models.axes import Axes
from wherefrom.models.base import Batch, GeoModel, Narrowed, OnDemand, Records
from wherefrom.models.contrastive import contrastive_loss
from wherefrom.models.harmonics import SphericalHarmonics
from wherefrom.models.official import fitting, official_weights, tensors_of
from wherefrom.models.towers import TOWERS, VISUAL, Tower, reflectances, tower, tower_in

__all__ = [
    "FeatureHead",
    "ImageCNN",
    "LocationEncoder",
    "SatCLIP",
    "SatCLIPConfig",
    "SphericalHarmonics",
    "contrastive_loss",
    "places_on",
]

#: Image sides without a tower.
_SIDES = ("features", "cnn")
# Harmonics of a composition are kept between steps up to this size, beyond it evaluated anew.
_KEEP_BYTES = 2**30
# Images that a frozen tower is shown at a time.
_PART = {"cpu": 8, "other": 128}
# Places whose harmonics are read at a time.
_BLOCK = 4096


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """Make a layer without drawing initial weights, which torch does from its global state."""
    return nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw as many numbers for each row as it has, uniform in 0..1."""
    return share.drawn(
        len(like),
        lambda rows: torch.rand(
            (rows, *like.shape[1:]), dtype=like.dtype, device=like.device, generator=generator
        ),
    )


class LocationEncoder(nn.Module):
    """Embedding of a place: spherical harmonics, then a network of sines (SIREN).

    Parameters
    ----------
    degrees : int
        Degrees of the harmonics; more degrees, finer detail.
    width : int, default 512
        Units of each sine layer.
    depth : int, default 2
        Number of sine layers; a linear layer follows them.
    out : int, default 256
        Length of the embedding.
    dropout : float, default 0.5
        Rate of dropout on the pre-activations, i.e. before the sine, of the sine layers in train
        mode. The official code fixes 0.5.
    generator : torch.Generator, optional
        Source of the initial weights; by default a fresh one with seed 0.

    Notes
    -----
    First layer sin(30 z), later ones sin(z). Weights and biases start uniform within 1 / fan-in
    (first) and sqrt(6 / fan-in) (others), as in Sitzmann et al., *SIREN*, arXiv 2006.09661. The
    embedding is not normalised to unit length.

    Examples
    --------
    >>> encoder = LocationEncoder(10).eval()
    >>> lon, lat = torch.tensor([13.4]), torch.tensor([52.5])
    >>> encoder(lon, lat).shape
    torch.Size([1, 256])
    """

    first_frequency = 30.0

    def __init__(
        self,
        degrees: int,
        width: int = 512,
        depth: int = 2,
        out: int = 256,
        *,
        dropout: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise WherefromError(f"dropout must lie in [0, 1), not {dropout}")
        if depth < 1:
            raise WherefromError(f"depth of the location encoder must be 1 or more, not {depth}")
        self.harmonics = SphericalHarmonics(degrees)
        self.dropout = dropout
        sizes = [degrees**2] + [width] * depth + [out]
        self.layers = nn.ModuleList(_linear(a, b) for a, b in itertools.pairwise(sizes))
        generator = generator or torch.Generator().manual_seed(0)
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            bound = 1 / layer.in_features if i == 0 else math.sqrt(6 / layer.in_features)
            for parameter in (layer.weight, layer.bias):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights, and so of the embedding."""
        return next(self.parameters()).dtype

    @property
    def out(self) -> int:
        """Length of the embedding."""
        return len(next(reversed(list(self.parameters()))))

    def forward(self, lon: Tensor, lat: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Embed N places.

        Parameters
        ----------
        lon, lat : (N,) float32 or float64 tensors
            Degrees; give float64 for full accuracy. They need not match the weights' precision.
        generator : torch.Generator, optional
            Source of dropout; needed in train mode if the rate is above 0, unused otherwise.

        Returns
        -------
        (N, out) tensor of the weights' precision
        """
        return self.from_harmonics(self.harmonics(lon, lat, self.dtype), generator)

    def from_harmonics(
        self,
        harmonics: Tensor,
        generator: torch.Generator | None = None,
        offset: Tensor | None = None,
    ) -> Tensor:
        """Embed places whose harmonics, shape (N, degrees ** 2), are at hand.

        The harmonics of a fixed set of places are worth keeping while an encoder trains on it. What
        is given as `offset`, (N, width), is added to what the first layer makes of them.
        """
        x = harmonics
        *sines, last = self.layers
        for i, layer in enumerate(sines):
            assert isinstance(layer, nn.Linear)
            w0 = self.first_frequency if i == 0 else 1.0
            z = layer(x)
            if i == 0 and offset is not None:
                z = z + offset
            if not self.training or self.dropout == 0:
                z = z * w0
            elif generator is None:
                raise ValueError("dropout in train mode needs a torch.Generator (or eval())")
            else:
                # `rand` is four times as fast as `bernoulli_` on a CPU.
                noise = _uniform(z, generator)
                z = z * noise.ge_(self.dropout).mul_(w0 / (1 - self.dropout))
            x = torch.sin(z)
        result: Tensor = last(x)
        return result

    @classmethod
    def load_official(
        cls, path: pathlib.Path | str, dtype: torch.dtype = torch.float64
    ) -> LocationEncoder:
        """Read the location encoder of a released SatCLIP checkpoint.

        Parameters
        ----------
        path : Path or str
            A Lightning checkpoint, e.g. ``satclip-vit16-l40.ckpt`` of
            https://huggingface.co/microsoft/SatCLIP-ViT16-L40. Only plain data are unpickled:
            a file cannot run code. The image encoder in it is not read.
        dtype : torch.dtype, default torch.float64
            Precision of the encoder; the official code uses float64.

        Returns
        -------
        LocationEncoder
            In eval mode; degrees, width, depth and out are read off the shapes of the weights.

        Raises
        ------
        WherefromError
            If the file is absent, is no checkpoint, holds anything but plain data, or was trained
            with another encoding.

        Examples
        --------
        Weights of the catalog are read by name, too: ``wherefrom.load("satclip-resnet18-l40")``.

        >>> import numpy as np
        >>> from wherefrom.earth.fetch import find
        >>> from wherefrom.gfms.satclip import embed_places
        >>> weights = find("satclip-resnet18-l40")  # wherefrom data fetch satclip-resnet18-l40
        >>> if weights:  # on this machine
        ...     encoder = LocationEncoder.load_official(weights)
        ...     features = embed_places(encoder, np.array([36.8, 1.2]), np.array([-1.3, 6.1]))
        ...     assert features.shape == (2, 256)
        """
        weights = official_weights(pathlib.Path(path))
        first, last = weights[0][0], weights[-1][0]
        encoder = cls(math.isqrt(first.shape[1]), first.shape[0], len(weights) - 1, last.shape[0])
        with torch.no_grad():
            encoder.to(dtype)
            for layer, (weight, bias) in zip(encoder.layers, weights, strict=True):
                assert isinstance(layer, nn.Linear)
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
        return encoder.eval()


class Scaled(nn.Module):
    """What scales features, or channels of images, by the pool's mean and spread."""

    mean: Tensor
    std: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))

    def calibrate(self, values: np.ndarray) -> None:
        """Take mean and spread from those of the pool, (N, F) or (N, C, H, W); NaN is left out."""
        axes = (0, *range(2, values.ndim))
        std = np.nanstd(values, axes, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(np.nanmean(values, axes, dtype=np.float64)))
        # What never varies carries nothing: keep it at zero instead of dividing by it.
        self.std.copy_(torch.from_numpy(np.where(std > 0, std, 1)))


class FeatureHead(Scaled):
    """Trainable head on frozen image features: scaled by the pool's statistics, then projected.

    It takes the part of SatCLIP's frozen, pre-trained backbone with its trainable last layer;
    `hidden` units of GELU lie between, or none: 0 for a linear head.
    """

    def __init__(self, features: int, hidden: int, out: int, generator: torch.Generator) -> None:
        super().__init__(features)
        sizes = [features, hidden, out] if hidden else [features, out]
        self.layers = nn.ModuleList(_linear(a, b) for a, b in itertools.pairwise(sizes))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Embed (N, F) features as an (N, out) tensor."""
        first, *others = self.layers
        x: Tensor = first((features - self.mean) / self.std)
        for layer in others:
            x = layer(nn.functional.gelu(x))
        return x


class ImageCNN(Scaled):
    """Small convolutional network on images, trained jointly.

    Channels scaled by the pool's statistics, three 3x3 convolutions with stride 2 (32, 64, 128
    channels, GELU), the mean over the image and a linear layer. On 16 x 16
    pixels a step costs several times one of `FeatureHead`.
    """

    def __init__(self, channels: int, out: int, generator: torch.Generator) -> None:
        super().__init__(channels)
        sizes = [channels, 32, 64, 128]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1, device="meta").to_empty(device="cpu")
            for a, b in itertools.pairwise(sizes)
        )
        self.last = _linear(sizes[-1], out)
        for layer in [*self.convolutions, self.last]:
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Embed (N, C, H, W) images of any type as an (N, out) tensor."""
        x = images.to(self.last.weight.dtype)
        x = (x - self.mean[:, None, None]) / self.std[:, None, None]
        for convolution in self.convolutions:
            x = nn.functional.gelu(convolution(x))
        result: Tensor = self.last(x.mean(dim=(2, 3)))
        return result


class SatCLIP(nn.Module):
    """Location encoder, image side and temperature; built by `SatCLIPConfig.build`."""

    def __init__(self, location: LocationEncoder, image: FeatureHead | ImageCNN | Tower) -> None:
        super().__init__()
        self.location = location
        self.image = image
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @classmethod
    def load_official(cls, path: pathlib.Path | str, dtype: torch.dtype = torch.float64) -> SatCLIP:
        """Read a released checkpoint whole: location encoder, image tower, temperature.

        Parameters
        ----------
        path, dtype
            As of `LocationEncoder.load_official`; the image side is float32.

        Returns
        -------
        SatCLIP
            In eval mode; which tower it is, is read off names and shapes of the weights.

        Raises
        ------
        WherefromError
            As of `LocationEncoder.load_official`, or if the image side is no tower of ours.

        Examples
        --------
        How well an image and places fit each other::

            model = SatCLIP.load_official("satclip-resnet18-l40.ckpt")
            image = torch.nn.functional.normalize(model.image(sentinel2(tile)))
            place = torch.nn.functional.normalize(model.location(lon, lat).float())
            image @ place.T
        """
        path = pathlib.Path(path)
        location = LocationEncoder.load_official(path, dtype)
        made = cls(location, tower_in(path, out=location.out))
        like = {"model.logit_scale": made.logit_scale.detach()}
        want = "a SatCLIP checkpoint"
        found = {name: v for name, v in tensors_of(path, want).items() if name in like}
        made.logit_scale.data.copy_(fitting(path, found, like, want)["model.logit_scale"])
        return made.eval()

    def save_official(self, path: pathlib.Path | str) -> None:
        """Write a checkpoint that the official code reads, as does `load_official`.

        Raises
        ------
        WherefromError
            If the image side is no tower, which the official code has no name for.
        """
        image, location = self.image, self.location
        if not isinstance(image, Tower):
            raise WherefromError(
                f"SatCLIP with a {type(image).__name__} has no official form: take a tower as its "
                f"image side ({', '.join(TOWERS)})"
            )
        sines = [f"layers.{i}" for i in range(len(location.layers) - 1)]
        state = {"model.logit_scale": self.logit_scale.detach()}
        state |= {f"{VISUAL}{name}": value for name, value in image.state_dict().items()}
        for name, layer in zip([*sines, "last_layer"], location.layers, strict=True):
            for kind, value in layer.state_dict().items():
                for whose in ("nnet", "location.nnet"):  # officially a part of two modules
                    state[f"model.{whose}.{name}.{kind}"] = value.double()
        settings = {
            "embed_dim": location.out, "image_resolution": image.side or 256,
            "vision_layers": TOWERS[image.name].official, "in_channels": image.bands,
            "le_type": "sphericalharmonics", "pe_type": "siren",
            "legendre_polys": location.harmonics.degrees, "harmonics_calculation": "analytic",
            "capacity": location.layers[0].out_features, "num_hidden_layers": len(sines),
            # Read by the official code, and of no effect on this encoding.
            "frequency_num": 16, "max_radius": 0.01, "min_radius": 1e-5,
            "eval_downstream": False, "air_temp_data_path": "", "election_data_path": "",
        }  # fmt: skip
        content = io.BytesIO()
        torch.save({"state_dict": state, "hyper_parameters": settings}, content)
        with atomic(path) as tmp:
            tmp.write_bytes(content.getbuffer())


def places_on(records: Records, device: torch.device) -> tuple[Tensor, Tensor]:
    """Move checked longitudes and latitudes of records to the device, float64."""
    checked_places(records["lon"], records["lat"])
    # Copies: a task's arrays are read-only, which torch does not know.
    lon, lat = (np.array(records[name], dtype=np.float64) for name in ("lon", "lat"))
    return torch.from_numpy(lon).to(device), torch.from_numpy(lat).to(device)


def _location(module: SatCLIP | LocationEncoder) -> LocationEncoder:
    """Return the location encoder of SatCLIP, which also goes alone."""
    return module.location if isinstance(module, SatCLIP) else module


@dataclass(frozen=True)
class SatCLIPConfig(GeoModel[SatCLIP]):
    """SatCLIP for the training loops (see `wherefrom.models.base.GeoModel`).

    Records are ``lon``, ``lat`` (N,) in degrees and, for the loss alone, ``image``: (N, F) float32
    features for the image side ``"features"``, else images (N, C, H, W) of any type, or what is
    indexed like them; they stay where they are until a batch is gathered.

    Parameters
    ----------
    degrees : int
        Degrees of the spherical harmonics.
    inputs : int
        Number F of image features, of channels C of the images, or of a tower's bands; 0 for a
        location encoder without images. A tower of 13 bands reads images of 12, too: those of
        Sentinel-2 level 2A, with zeros for B10.
    image : str
        ``"features"``, a trainable head on frozen features; ``"cnn"``, a small network trained
        jointly; or the name of a tower (`wherefrom.models.towers.TOWERS`), with the official
        trainable linear head. It reads a crop of larger images than it takes.
    hidden : int, default 256
        Hidden units of the head on features; 0 for a linear head.
    width, depth, out, dropout
        Of the `LocationEncoder`.
    drifting : bool, default False
        Of a tower, see `wherefrom.models.towers.Tower`; True as in the official training.
    trained : bool, default False
        Whether a tower learns, too; else it is frozen.
    augment : bool, default False
        Change images and places at each step as the official training does
        (`wherefrom.models.augment`), and so crop at random; harmonics are then evaluated anew.
    divisor : float, optional
        What a tower's pixels are divided by, see `wherefrom.models.towers.reflectances`.
    weights : Path or str, optional
        File of a tower's weights, without which a frozen one does not train. Not in `spec`: a
        module's own weights hold the tower's.

    Examples
    --------
    >>> model = SatCLIPConfig(degrees=10, inputs=73)
    >>> model.name
    'satclip-L10'
    >>> module = model.build(torch.Generator().manual_seed(0))
    >>> sum(p.numel() for p in module.location.parameters())
    445696
    """

    shares: ClassVar[bool] = True

    degrees: int
    inputs: int
    image: str = "features"
    hidden: int = 256
    width: int = 512
    depth: int = 2
    out: int = 256
    dropout: float = 0.5
    drifting: bool = False
    trained: bool = False
    augment: bool = False
    divisor: float | None = None
    weights: pathlib.Path | str | None = None

    def __post_init__(self) -> None:
        if self.image not in (*_SIDES, *TOWERS):
            raise unknown("image side", self.image, (*_SIDES, *TOWERS))
        if self.augment and self.image == "features":
            raise WherefromError("features cannot be augmented: the images that they are of could")

    @property
    def name(self) -> str:
        """Short name for tables."""
        return f"satclip-L{self.degrees}"

    def spec(self) -> dict[str, Any]:
        """Give the configuration as plain values."""
        fields = asdict(self)
        del fields["weights"]
        if self.image not in TOWERS:
            del fields["drifting"], fields["trained"], fields["divisor"]
        if self.image == "features":
            del fields["augment"]
        return {"model": "satclip", **fields}

    def build(self, generator: torch.Generator) -> SatCLIP:
        """Make the module; its location encoder starts alike whatever the image side is."""
        location = LocationEncoder(
            self.degrees,
            self.width,
            self.depth,
            self.out,
            dropout=self.dropout,
            generator=generator,
        )
        if self.image in TOWERS:
            seen = tower(
                self.image, self.inputs, weights=self.weights, out=self.out, generator=generator
            )
            seen.drifting = self.drifting or self.trained
            if self.trained:
                seen.requires_grad_(True)
            return SatCLIP(location, seen)
        if self.image == "cnn":
            return SatCLIP(location, ImageCNN(self.inputs, self.out, generator))
        return SatCLIP(location, FeatureHead(self.inputs, self.hidden, self.out, generator))

    def calibrate(self, module: SatCLIP, records: Records) -> None:
        """Scale features, or the channels of images, by the records of the pool."""
        if isinstance(module.image, Scaled):
            module.image.calibrate(records["image"])

    def prepare(self, records: Records, device: torch.device) -> Batch:
        """Move places to the device and evaluate the harmonics once, if they fit and stay.

        Coordinates that the Earth's layers refuse are refused here: NaN, a latitude of 113.
        """
        seen: dict[str, Tensor] = {}
        if "image" in records:
            image = records["image"]
            if image.ndim != (2 if self.image == "features" else 4):
                due = "features are (N, F)" if self.image == "features" else "images (N, C, H, W)"
                raise WherefromError(f"{due}, not {image.shape}")
            if image.shape[1] != self.inputs and not self._lacks_b10(image.shape[1]):
                raise WherefromError(
                    f"the images have {image.shape[1]} features or channels, the model "
                    f"expects {self.inputs}: give it inputs={image.shape[1]}"
                )
            if image.ndim == 2:
                seen["image"] = torch.from_numpy(image).to(device)
            else:
                seen["image"] = cast("Tensor", OnDemand(image, device))
        lon, lat = places_on(records, device)
        seen |= {"lon": lon, "lat": lat}
        moving = self.augment and "image" in seen
        if not moving and len(lon) * self.degrees**2 * 4 <= _KEEP_BYTES:
            seen["harmonics"] = SphericalHarmonics(self.degrees)(lon, lat, torch.float32)
        return seen

    def loss(self, module: SatCLIP, batch: Batch, generator: torch.Generator) -> Tensor:
        """Evaluate the contrastive loss; a place that occurs twice in a batch rivals itself.

        Every place rivals all others, so that there are no parts to go through.
        """
        if "image" not in batch:
            raise WherefromError("the records have no image, from which SatCLIP learns")
        frozen = self.image in TOWERS and not self.trained
        if module.training and frozen and self.weights is None:
            raise WherefromError(
                f"the weights of {self.image} are drawn, and stay so: give weights=, e.g. "
                f"wherefrom.models.towers.published({self.image!r}), or trained=True"
            )
        draws = generator if self.augment and module.training else None
        # A batch of tiles is gigabytes; what is frozen keeps nothing of one part for another.
        device = "cpu" if batch["image"].device.type == "cpu" else "other"
        part = _PART[device] if frozen and not self.drifting else 0  # 0: all at once
        side = module.image.side if isinstance(module.image, Tower) else None
        seen = batch["image"]
        parts = torch.split(seen, part or len(seen))
        changes: list[Tensor | None] = [None] * len(parts)
        if draws is not None:
            changes = list(torch.split(numbers(seen, side, draws, part), part or len(seen)))
        shown = zip(parts, changes, strict=True)
        images = torch.cat(
            [module.image(self._shown(module.image, some, change)) for some, change in shown]
        )
        if draws is not None:
            lon, lat = shifted(batch["lon"], batch["lat"], draws)
            batch = {"lon": lon, "lat": lat}
        location = self._locate(module.location, batch, generator)
        return contrastive_loss(location, images, module.logit_scale)

    def _shown(self, side: nn.Module, images: Tensor, change: Tensor | None) -> Tensor:
        """Make what the image side reads of features, or of images as they were given.

        `change` are `numbers` of images that are augmented.
        """
        if isinstance(side, FeatureHead):
            return images
        if isinstance(side, Tower):
            images = cropped(images, side.side, None if change is None else change[:, :2])
            images = reflectances(images, self.divisor, lacks_b10=self._lacks_b10(images.shape[1]))
        images = images.float()
        void = int((~images.isfinite()).flatten(1).any(1).sum())
        if void:
            raise WherefromError(
                f"{void} of {len(images)} images of a batch have pixels that are no number: let "
                "the payload fill them, or leave these places out"
            )
        return images if change is None else augmented(images, change[:, 2:])

    def _lacks_b10(self, channels: int) -> bool:
        """Tell whether images are of level 2A, and the tower is not."""
        return self.image in TOWERS and (channels, self.inputs) == (12, 13)

    def encode(self, module: SatCLIP | LocationEncoder, batch: Batch) -> Tensor:
        """Embed places."""
        return self._locate(_location(module), batch, None)

    def _locate(
        self, location: LocationEncoder, batch: Batch, generator: torch.Generator | None
    ) -> Tensor:
        kept = batch.get("harmonics")
        if kept is not None and kept.dtype == location.dtype:
            return location.from_harmonics(kept, generator, batch.get("offset"))
        result: Tensor = location(batch["lon"], batch["lat"], generator)
        return result

    def narrow(
        self, module: SatCLIP | LocationEncoder, prepared: Batch
    ) -> Callable[[Tensor], Narrowed]:
        """Train the first layer in the coordinates of the rows' harmonics (see `Narrowing`).

        These are their min(n, degrees^2) principal axes; outside, the weights stay as they are.
        """
        location = _location(module)
        first = location.layers[0]
        assert isinstance(first, nn.Linear)
        whole, needed = first.weight.detach(), first.weight.requires_grad
        blocks = range(0, len(prepared["lon"]), _BLOCK)
        before = torch.cat(
            [self._harmonics(prepared, slice(at, at + _BLOCK)) @ whole.T for at in blocks]
        )

        def narrowed(rows: Tensor) -> Narrowed:
            axes = Axes.of(self._harmonics(prepared, rows)[None].double()).back[0].float()
            inside = whole @ axes.T
            own = copy.deepcopy(location)
            own.layers[0].weight = nn.Parameter(inside.clone(), requires_grad=needed)

            def read(rows: Tensor) -> Batch:
                z = self._harmonics(prepared, rows) @ axes.T
                return {"harmonics": z, "offset": before[rows] - z @ inside.T}

            return Narrowed(own, read)

        return narrowed

    def _harmonics(self, prepared: Batch, rows: Tensor | slice) -> Tensor:
        if "harmonics" in prepared:
            return prepared["harmonics"][rows]
        lon, lat = (prepared[name][rows] for name in ("lon", "lat"))
        harmonics: Tensor = SphericalHarmonics(self.degrees)(lon, lat, torch.float32)
        return harmonics

    def decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Decay matrices only, as the official code: no bias, no temperature, no norm."""
        return parameter.ndim >= 2 and not any(
            part in name for part in ("bn", "ln", "bias", "logit_scale")
        )
