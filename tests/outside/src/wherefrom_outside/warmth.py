# warmth.py
"""A location encoder that learns how warm places are, month by month."""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn

from wherefrom.gfms import Gfm, Modality
from wherefrom.pool.series import BANDS


class Net(nn.Module):
    """A perceptron with sine waves, from a unit vector to twelve temperatures."""

    def __init__(self, width, generator):
        super().__init__()
        # `skip_init`: torch would draw weights from its global generator.
        self.layers = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, a, b) for a, b in pairwise((3, width, width, 12))
        )
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)

    def embed(self, lon, lat):
        lon, lat = torch.deg2rad(lon), torch.deg2rad(lat)
        x = torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=-1)
        for layer in self.layers[:-1]:
            x = torch.sin(3 * layer(x.float()))
        return x

    def forward(self, lon, lat):
        return self.layers[-1](self.embed(lon, lat))


class Warmth(Gfm):
    """A location encoder that predicts monthly temperature in pre-training."""

    reads: ClassVar[frozenset[Modality]] = frozenset({"series"})

    width: int = 128

    @property
    def pretrain_flops(self):
        return 2 * self.width * (3 + self.width + 12)

    def records(self, places):
        kelvin = places.series().raw[..., BANDS.index("temperature_2m")]
        return {"lon": places.lon, "lat": places.lat, "warmth": (kelvin - 288) / 20}

    def records_of_task(self, places):
        return {"lon": places.lon, "lat": places.lat}

    def build(self, generator):
        return Net(self.width, generator)

    def loss(self, module, batch, generator):
        return nn.functional.mse_loss(module(batch["lon"], batch["lat"]), batch["warmth"])

    def encode(self, module, batch):
        return module.embed(batch["lon"], batch["lat"])
