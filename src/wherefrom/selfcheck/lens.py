"""The module of `wherefrom.selfcheck.kinds.Lens`, which alone needs torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wherefrom.earth.sphere import EARTH_RADIUS_KM

__all__ = ["SHARP_KM", "Module", "chaotic", "vectors"]

#: Nearer than this nothing is blurred.
SHARP_KM = 30.0
#: Wave number of the noise: places some 50 km apart have noise of their own.
_FINE = 400.0
#: Digits of a mean that decide the gains where nothing is learnt.
_DIGITS = 1000.0


class Module(nn.Module):
    """A mixture (F, D), gains (F,), places of the draw (N, 3), and noise of D waves."""

    gain: nn.Parameter
    mixture: Tensor
    places: Tensor
    direction: Tensor
    phase: Tensor

    def __init__(self, channels: int, width: int, places: int, generator: torch.Generator) -> None:
        super().__init__()

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        self.gain = nn.Parameter(torch.exp(normal(channels)))
        self.register_buffer("mixture", normal(channels, width))
        # Of no places each one is at the centre of the globe: all of the surface is as far from it.
        self.register_buffer("places", torch.zeros(places, 3, dtype=torch.float64))
        self.register_buffer("direction", _FINE * normal(3, width).double())
        self.register_buffer("phase", 6.3 * torch.rand(width, generator=generator))

    def noise(self, lon: Tensor, lat: Tensor) -> Tensor:
        """Return noise (B, D) whose spread is the logarithm of the distance to the places."""
        at = vectors(lon, lat)
        chord = torch.cdist(at, self.places).amin(dim=1)
        km = 2 * EARTH_RADIUS_KM * torch.asin((chord / 2).clamp(max=1))
        spread = torch.log10((km / SHARP_KM).clamp(min=1)).float()
        waves = 2**0.5 * torch.cos((at @ self.direction).float() + self.phase)
        return spread[:, None] * waves


def chaotic(mean: Tensor) -> Tensor:
    """Make gains of the last digits of a mean: whatever it is near to, they are anything."""
    return torch.exp(0.7 * torch.sin(_DIGITS * mean))


def vectors(lon: Tensor, lat: Tensor) -> Tensor:
    """Return unit vectors (B, 3), float64, of places in degrees."""
    lon, lat = torch.deg2rad(lon.double()), torch.deg2rad(lat.double())
    return torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=-1)
