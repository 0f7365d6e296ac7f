"""GeoCLIP's location encoder: a place as random waves of three widths, learnt beside photographs.

Vivanco Cepeda et al. 2023, arXiv 2309.16020. Places are projected by Equal Earth (Savric et al.
2018), turned into random Fourier features at three scales, and the outputs of three perceptrons are
added up. Written from the published facts; names of parameters are the official ones.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from wherefrom.models.base import Batch, Embedder, Records
from wherefrom.models.official import fitting, tensors_of
from wherefrom.models.satclip import places_on

__all__ = ["LocationEncoder", "Places", "equal_earth"]

#: Coefficients of the projection, by power of the parametric latitude.
_POWERS = {1: 1.340264, 3: -0.081106, 7: 0.000893, 9: 0.003796}
#: Standard deviations of the waves.
SIGMAS = (2.0**0, 2.0**4, 2.0**8)
_WAVES, _HIDDEN, OUT = 256, 1024, 512

_WANT = (
    "GeoCLIP's location encoder (location_encoder_weights.pth), as the package geoclip carries it "
    "(wherefrom data fetch geoclip-location)"
)


def equal_earth(lon: Tensor, lat: Tensor) -> Tensor:
    """Project places, degrees (N,), as GeoCLIP does: (N, 2), x and y of their precision.

    x is at most 1.0 in absolute value, y 0.49. Places on both sides of the antimeridian are far
    apart.

    Examples
    --------
    >>> lon, lat = torch.tensor([[0, 180, 0], [0, 0, 90]]).double()
    >>> equal_earth(lon, lat).round(decimals=3).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 0.487]]
    """
    root = torch.tensor(3.0, dtype=lat.dtype).sqrt()
    theta = torch.asin(root / 2 * torch.sin(torch.deg2rad(lat)))
    slope = sum(power * a * theta ** (power - 1) for power, a in reversed(_POWERS.items()))
    x = 2 * root * torch.deg2rad(lon) * torch.cos(theta) / (3 * slope)
    y = sum(a * theta**power for power, a in reversed(_POWERS.items()))
    return torch.stack([x, torch.as_tensor(y)], dim=1) * 66.50336 / 180


class _Waves(nn.Module):
    """Cosines and sines of random waves."""

    b: Tensor

    def __init__(self, sigma: float, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("b", torch.randn(_WAVES, 2, generator=generator) * sigma)

    def forward(self, places: Tensor) -> Tensor:
        phase = 2 * math.pi * places @ self.b.T
        return torch.cat([phase.cos(), phase.sin()], dim=-1)


class _Capsule(nn.Module):
    """One scale: its waves, and a perceptron on them."""

    def __init__(self, sigma: float, generator: torch.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = [_Waves(sigma, generator)]
        for a, b in pairwise((2 * _WAVES, _HIDDEN, _HIDDEN, _HIDDEN)):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.capsule = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(_HIDDEN, OUT))

    def forward(self, places: Tensor) -> Tensor:
        found: Tensor = self.head(self.capsule(places))
        return found


class LocationEncoder(nn.Module):
    """GeoCLIP's embedding of a place: 512 numbers, of 9,447,936 weights.

    Parameters
    ----------
    generator : torch.Generator, optional
        Draws waves and initial weights (torch's default ranges); by default a fresh one of seed 0.

    Examples
    --------
    >>> encoder = LocationEncoder().eval()
    >>> encoder(torch.tensor([13.4]), torch.tensor([52.5])).shape
    torch.Size([1, 512])
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        with torch.random.fork_rng(devices=[]):  # layers draw weights when made; others follow
            for at, sigma in enumerate(SIGMAS):
                self.add_module(f"LocEnc{at}", _Capsule(sigma, generator))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                for parameter in (layer.weight, layer.bias):
                    nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, lon: Tensor, lat: Tensor) -> Tensor:
        """Embed N places, degrees (N,): (N, 512) of the weights' precision.

        Phases of the finest waves reach thousands: in float32, as officially, embeddings are within
        3e-5 of those in float64.
        """
        dtype = next(self.parameters()).dtype
        places = equal_earth(lon.to(dtype), lat.to(dtype))
        found: Tensor = sum(scale(places) for scale in self.children())
        return found

    @classmethod
    def load_official(cls, path: Path | str, dtype: torch.dtype = torch.float32) -> LocationEncoder:
        """Read the published weights; nothing in the file is executed.

        Parameters
        ----------
        path : Path or str
            ``location_encoder_weights.pth`` of the package geoclip.
        dtype : torch.dtype, default torch.float32
            Precision of the encoder; officially float32.

        Returns
        -------
        LocationEncoder
            On the CPU, in eval mode.

        Raises
        ------
        WherefromError
            If the file is absent, is no checkpoint, or holds tensors of other names or shapes.
        """
        model, path = cls(), Path(path)
        model.load_state_dict(fitting(path, tensors_of(path, _WANT), model.state_dict(), _WANT))
        return model.to(dtype).eval()


class Places(Embedder[LocationEncoder]):
    """The encoder as the loop of `wherefrom.train.embed` takes it: on ``lon`` and ``lat``."""

    name = "geoclip"

    def prepare(self, records: Records, device: torch.device) -> Batch:
        """Move checked coordinates to the device."""
        return dict(zip(("lon", "lat"), places_on(records, device), strict=True))

    def encode(self, module: LocationEncoder, batch: Batch) -> Tensor:
        """Embed places, (B, 512)."""
        found: Tensor = module(batch["lon"], batch["lat"])
        return found
