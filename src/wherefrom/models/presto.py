"""Presto: a transformer for pixel time series, pre-trained as a masked autoencoder.

Tseng et al. 2023, arXiv 2304.14065. A series is T monthly steps of 17 bands in 9 groups, a Dynamic
World class a step, a place and the month of each step. Each group of a step is one token; hidden
tokens are left out of the encoder and are what the decoder gives back.

Tokens are cells of a grid of T steps x 10 groups (`wherefrom.models.tokens`); in which order they
are taken is free, since attention does not see it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.models.official import plain_weights
from wherefrom.models.tokens import (
    BANDS,
    CLASSES,
    EO,
    GROUPS,
    SRTM,
    STEPS,
    WORLD,
    Inputs,
    Slots,
    bands_of,
    check_inputs,
    kinds,
    slots,
)
from wherefrom.models.transformer import WIDTH, Block

__all__ = ["Presto", "Table", "month_rows", "normalise"]

_B9, _NDVI = 10, 17
_ADD = np.array([25.0] * 2 + [0.0] * 11 + [-272.15] + [0.0] * 3)
_DIVIDE = np.array([25.0] * 2 + [1e4] * 11 + [35.0, 0.03, 2000.0, 50.0])

A = TypeVar("A", np.ndarray, Tensor)


def normalise(raw: A) -> A:
    """Bring physical units to the model's: (raw + offset) / scale, without B9, with NDVI.

    Parameters
    ----------
    raw : (..., 18) array or tensor of floats
        Bands and units as `wherefrom.pool.series.BANDS`; the stored NDVI is not read, since that
        of CropHarvest is wrong. NaN where a value is absent.

    Returns
    -------
    (..., 17) array or tensor
        Of the same dtype; evaluated in it. NaN where a value, or one that NDVI needs, is absent.

    Raises
    ------
    WherefromError
        If there are not 18 bands.

    Notes
    -----
    The offset of temperature is 272.15, not 273.15, as in the official code and weights.

    Examples
    --------
    >>> raw = np.zeros((1, 18))
    >>> raw[0, 4], raw[0, 8], raw[0, 13] = 1000.0, 3000.0, 290.0
    >>> normalise(raw)[0, [0, 8, 12, 16]].round(3).tolist()
    [1.0, 0.3, 0.51, 0.5]
    """
    if raw.shape[-1] != _NDVI + 1:
        raise WherefromError(
            f"a series has {raw.shape[-1]} bands, Presto reads {_NDVI + 1}: make it with "
            "PixelSeries.from_bands, which takes bands by name"
        )
    red, infrared = raw[..., 4], raw[..., 8]
    total = infrared + red
    if isinstance(raw, np.ndarray):
        scaled = (raw[..., :_NDVI] + _ADD.astype(raw.dtype)) / _DIVIDE.astype(raw.dtype)
        ndvi = np.where(total <= 0, 0, (infrared - red) / np.where(total == 0, 1, total))
        kept = [scaled[..., :_B9], scaled[..., _B9 + 1 :], ndvi[..., None]]
        return np.concatenate(kept, axis=-1, dtype=raw.dtype)
    add, divide = (torch.from_numpy(v).to(raw) for v in (_ADD, _DIVIDE))
    scaled = (raw[..., :_NDVI] + add) / divide
    ndvi = torch.where(total <= 0, 0, (infrared - red) / torch.where(total == 0, 1, total))
    return torch.cat([scaled[..., :_B9], scaled[..., _B9 + 1 :], ndvi[..., None]], dim=-1)


class Table(nn.Module):
    """Fixed rows to look up, kept under the name that the published weights use."""

    weight: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", rows)


def month_rows(width: int) -> Tensor:
    """Sine (first half) and cosine (second half) of the angle of each month: (12, width)."""
    angle = 2 * math.pi * torch.arange(12, dtype=torch.float64) / 12
    return torch.stack([angle.sin(), angle.cos()], 1).repeat_interleave(width // 2, 1).float()


def _position_rows(width: int) -> Tensor:
    """Sinusoids of the index of the step, base 1000: (1, 24, width)."""
    step = torch.arange(STEPS, dtype=torch.float64)[:, None]
    column = torch.arange(width)
    angle = step / 1000.0 ** (2 * (column // 2).double() / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()[None]


class Encoder(nn.Module):
    """From visible tokens to their codes, and to one embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed: Tensor
        self.register_buffer("pos_embed", _position_rows(WIDTH // 2))
        self.month_embed = Table(month_rows(WIDTH // 4))
        self.eo_patch_embed = nn.ModuleDict(
            {name: nn.Linear(len(GROUPS[name]), WIDTH) for name in EO}
        )
        self.dw_embed = nn.Embedding(CLASSES + 1, WIDTH)
        self.latlon_embed = nn.Linear(3, WIDTH)
        self.channel_embed = nn.Embedding(len(GROUPS), WIDTH // 4)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm = nn.LayerNorm(WIDTH)

    def tokens(self, inputs: Inputs, at: Slots) -> Tensor:
        """Make the tokens of some slots: (B, K, 128)."""
        layers = [_layer(self.eo_patch_embed, name) for name in EO]
        # One matrix for all groups: rows of the 17 bands, of the classes, of the groups.
        bands = torch.cat([layer.weight.T for layer in layers])
        channel = nn.functional.pad(self.channel_embed.weight, (WIDTH // 4, WIDTH // 2))
        bias = torch.stack([layer.bias for layer in layers] + [torch.zeros_like(layers[0].bias)])
        weight = torch.cat([bands, self.dw_embed.weight, channel + bias])
        rows = torch.arange(len(at.group), device=at.group.device)[:, None]
        values = inputs.x[rows, at.step] * bands_of(at.group)
        world = (at.group == WORLD)[..., None]
        classes = nn.functional.one_hot(inputs.classes[rows, at.step], CLASSES + 1) * world
        made = (
            torch.cat([values, classes, nn.functional.one_hot(at.group, len(GROUPS))], dim=-1)
            @ weight
        )
        months = inputs.months[rows, at.step]
        return made + when(self.month_embed.weight, self.pos_embed, months, at)

    def forward(self, inputs: Inputs, visible: Slots, dtype: torch.dtype) -> Tensor:
        """Encode the visible tokens, the place in front: (B, 1 + K, 128)."""
        h, there = self._begin(inputs, visible)
        for block in self.blocks:
            h = block(h, there, dtype)
        result: Tensor = self.norm(h)
        return result

    def pooled(self, inputs: Inputs, visible: Slots, dtype: torch.dtype) -> Tensor:
        """Average the codes, the place's included, and normalise after: (B, 128)."""
        h, there = self._begin(inputs, visible)
        first, last = self.blocks
        assert isinstance(last, Block)
        result: Tensor = self.norm(last.mean(first(h, there, dtype), there, dtype).float())
        return result

    def _begin(self, inputs: Inputs, visible: Slots) -> tuple[Tensor, Tensor | None]:
        """Make the tokens, and tell which are there."""
        lon, lat = torch.deg2rad(inputs.lonlat.to(inputs.x.dtype)).unbind(-1)
        unit = torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=-1)
        h = torch.cat([self.latlon_embed(unit)[:, None], self.tokens(inputs, visible)], dim=1)
        there = visible.there
        return h, None if there is None else nn.functional.pad(there, (1, 0), value=True)


def when(months: Tensor, steps: Tensor, month: Tensor, at: Slots) -> Tensor:
    """Give the fixed parts of slots: (B, K, 128), zero for elevation and slope."""
    width, steps = months.shape[1], steps[0]
    gap = WIDTH - width - steps.shape[1]
    fixed = torch.cat(
        [
            months[:, None].expand(-1, STEPS, -1),
            months.new_zeros(12, STEPS, gap),
            steps.expand(12, -1, -1),
        ],
        dim=-1,
    ).flatten(0, 1)
    fixed = nn.functional.pad(fixed, (0, 0, 0, 1))  # the last row is of zeros
    return fixed[torch.where(at.group == SRTM, 12 * STEPS, month * STEPS + at.step)]


def _layer(layers: nn.ModuleDict, name: str) -> nn.Linear:
    layer = layers[name]
    assert isinstance(layer, nn.Linear)
    return layer


class Decoder(nn.Module):
    """From the codes of visible tokens to the values of others."""

    def __init__(self, channels: nn.Embedding) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(WIDTH))
        self.pos_embed: Tensor
        self.register_buffer("pos_embed", _position_rows(WIDTH * 3 // 8))
        self.month_embed = Table(month_rows(WIDTH * 3 // 8))
        self.channel_embeddings = channels  # one table, shared with the encoder
        self.decoder_embed = nn.Linear(WIDTH, WIDTH)
        self.decoder_blocks = nn.ModuleList([Block(), Block()])
        self.decoder_norm = nn.LayerNorm(WIDTH)
        self.eo_decoder_pred = nn.ModuleDict(
            {name: nn.Linear(WIDTH, len(GROUPS[name])) for name in EO}
        )
        self.dw_decoder_pred = nn.Linear(WIDTH, CLASSES)

    def _fixed(self, months: Tensor, at: Slots) -> Tensor:
        rows = torch.arange(len(at.group), device=at.group.device)[:, None]
        learned = nn.functional.pad(
            self.channel_embeddings.weight, (WIDTH * 3 // 8, WIDTH * 3 // 8)
        )
        # A product, since the gradient of a lookup is summed in no fixed order by two threads.
        group = nn.functional.one_hot(at.group, len(GROUPS)).to(learned.dtype)
        month = months[rows, at.step]
        return group @ learned + when(self.month_embed.weight, self.pos_embed, month, at)

    def forward(
        self,
        codes: Tensor,
        months: Tensor,
        visible: Slots,
        hidden: Slots,
        dtype: torch.dtype,
        every: bool,
    ) -> Tensor:
        """Predict 17 bands and 9 class logits for the hidden tokens, or for `every` one.

        `codes`, (B, 1 + K, 128), are the normalised ones of the place and of the visible tokens. If
        not every token is predicted, the last block, which no other token reads, is evaluated for
        the hidden ones alone; their values are the same.
        """
        embedded = self.decoder_embed(codes)
        seen = embedded[:, 1:] + self._fixed(months, visible)
        unseen = self.mask_token + self._fixed(months, hidden)
        h = torch.cat([embedded[:, :1], seen, unseen], dim=1)
        there = None
        if visible.there is not None and hidden.there is not None:
            place = visible.there.new_ones(len(h), 1)
            there = torch.cat([place, visible.there, hidden.there], dim=1)
        first, last = self.decoder_blocks
        h = last(first(h, there, dtype), there, dtype, 1 if every else codes.shape[1])
        heads = [_layer(self.eo_decoder_pred, name) for name in EO] + [self.dw_decoder_pred]
        weight = torch.cat([head.weight for head in heads])
        return nn.functional.linear(
            self.decoder_norm(h), weight, torch.cat([head.bias for head in heads])
        )


class Presto(nn.Module):
    """Presto's encoder and decoder, of the sizes of the published weights.

    Parameters
    ----------
    generator : torch.Generator, optional
        Draws the initial weights (Xavier-uniform matrices, zero biases, standard normal tables).

    Examples
    --------
    >>> model = Presto(torch.Generator().manual_seed(0)).eval()
    >>> x, classes = torch.rand(2, 12, 17), torch.full((2, 12), 9)
    >>> model.embed(x, classes, torch.tensor([[13.4, 52.5], [36.8, -1.3]]), 0).shape
    torch.Size([2, 128])
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # layers draw weights when made; others follow
            self.encoder = Encoder()
            self.decoder = Decoder(self.encoder.channel_embed)
        generator = generator or torch.Generator().manual_seed(0)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, generator=generator)

    @classmethod
    def load_official(cls, path: Path | str) -> Presto:
        """Read the published weights (``default_model.pt``); nothing in the file is executed.

        Parameters
        ----------
        path : Path or str
            The file as released at https://github.com/nasaharvest/presto.

        Returns
        -------
        Presto
            On the CPU, in eval mode.

        Raises
        ------
        WherefromError
            If the file is absent, is no checkpoint, or holds tensors of other names or shapes.
        """
        model = cls()
        model.load_state_dict(plain_weights(Path(path), model.state_dict()))
        return model.eval()

    def embed(
        self,
        x: Tensor,
        dynamic_world: Tensor,
        lonlat: Tensor,
        start_month: int | Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Embed series.

        Parameters
        ----------
        x : (B, T, 17) float tensor
            As `normalise` returns them, T of 1 to 24. NaN counts as hidden.
        dynamic_world : (B, T) integer tensor
            Classes 0..8; 9 hides a step's.
        lonlat : (B, 2) float tensor
            Longitude and latitude in degrees, in this order.
        start_month : int, (B,) or (B, T) integer tensor
            Month of the first step, 0 for January, or of every step.
        mask : (B, T, 17) bool tensor, optional
            True hides a value, and with it its group in that step; of elevation and slope, only
            step 0 counts.

        Returns
        -------
        (B, 128) float32 tensor

        Raises
        ------
        WherefromError
            If shapes do not fit each other, or a month, class or coordinate is out of range.
        """
        inputs, kind = self._inputs(x, dynamic_world, lonlat, start_month, mask)
        return self.embed_inputs(inputs, slots(kind)[0])

    def embed_inputs(
        self, inputs: Inputs, visible: Slots, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Embed checked inputs by their visible tokens: (B, 128)."""
        return self.encoder.pooled(inputs, visible, dtype)

    def reconstruct(
        self,
        x: Tensor,
        dynamic_world: Tensor,
        lonlat: Tensor,
        start_month: int | Tensor,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict all values of series from those that are not hidden; see `embed`.

        Returns
        -------
        x : (B, T, 17) float32 tensor
            In normalised units.
        dynamic_world : (B, T, 9) float32 tensor
            Logits of the classes.
        """
        inputs, kind = self._inputs(x, dynamic_world, lonlat, start_month, mask)
        visible, hidden = slots(kind)
        predicted = self.predict(inputs, visible, hidden, torch.float32, every=True)
        cells = torch.cat([s.step * len(GROUPS) + s.group for s in (visible, hidden)], dim=1)
        if visible.there is not None and hidden.there is not None:
            there = torch.cat([visible.there, hidden.there], dim=1)
            cells = torch.where(there, cells, kind[0].numel())
        grid = predicted.new_zeros(len(x), kind[0].numel() + 1, predicted.shape[-1])
        grid.scatter_(1, cells[..., None].expand_as(predicted), predicted)
        grid = grid[:, :-1].view(len(x), *kind.shape[1:], -1)
        bands = []
        for row, (name, columns) in enumerate(GROUPS.items()):
            found = grid[:, :, row, list(columns)]
            bands.append(found[:, :1].expand_as(found) if name == "SRTM" else found)
        return torch.cat(bands, dim=-1), grid[:, :, WORLD, BANDS:]

    def predict(
        self, inputs: Inputs, visible: Slots, hidden: Slots, dtype: torch.dtype, every: bool
    ) -> Tensor:
        """Encode the visible tokens and decode the hidden (or all) ones; see `Decoder`."""
        codes = self.encoder(inputs, visible, dtype)
        result: Tensor = self.decoder(codes, inputs.months, visible, hidden, dtype, every)
        return result

    def _inputs(
        self,
        x: Tensor,
        dynamic_world: Tensor,
        lonlat: Tensor,
        start_month: int | Tensor,
        mask: Tensor | None,
    ) -> tuple[Inputs, Tensor]:
        months = check_inputs(x, dynamic_world, lonlat, start_month, mask)
        absent = ~torch.isfinite(x)
        if mask is not None:
            absent = absent | mask.bool()
        x = torch.where(absent, 0, x).float()
        return Inputs(x, dynamic_world.long(), lonlat, months), kinds(absent, dynamic_world)
