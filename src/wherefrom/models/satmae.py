"""SatMAE on groups of channels: a masked autoencoder whose tokens are patches of one group each.

Cong et al. 2022, arXiv 2207.08051, the variant for multi-spectral images. A token is a patch of one
group of channels; hidden tokens never enter the encoder and are what the decoder gives back. Names
of parameters are those of the official code, whose weights load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.models.official import fitting, tensors_of
from wherefrom.models.sizes import SIZES, Size
from wherefrom.models.towers import PatchEmbed
from wherefrom.models.transformer import Block

__all__ = ["SIZES", "Hidden", "SatMAE", "Size", "hidden_by"]

_EPS = 1e-6
#: Added to a location's variance where targets are normalised.
_LEAST = 1e-6


class Hidden(NamedTuple):
    """Which of the N tokens of each image are hidden, by their flat index, group before location.

    Attributes
    ----------
    kept : (B, K) int64
        Tokens that the encoder sees, in ascending order of their noise; of consistent masks group
        by group.
    hidden : (B, N - K) int64
    """

    kept: Tensor
    hidden: Tensor

    def mask(self, groups: int) -> Tensor:
        """Return 1 where a token is hidden and 0 where it is kept: (B, G, L) float32."""
        count = self.kept.shape[1] + self.hidden.shape[1]
        ones = torch.ones(len(self.kept), count, device=self.kept.device)
        return ones.scatter_(1, self.kept, 0.0).view(len(ones), groups, -1)


def hidden_by(noise: Tensor, ratio: float, groups: int = 1) -> Hidden:
    """Hide the share `ratio` of each row's tokens: those of the greatest noise.

    Parameters
    ----------
    noise : (B, N) float tensor
        One number a token; or, with `groups`, one a location, whose tokens of all groups are then
        hidden or kept together.
    ratio : float
        Kept are ``int(N * (1 - ratio))``.
    groups : int, default 1

    Raises
    ------
    WherefromError
        If the ratio is no share, or nothing would be kept.

    Examples
    --------
    >>> found = hidden_by(torch.tensor([[0.9, 0.1, 0.8, 0.2]]), 0.5)
    >>> found.kept.tolist(), found.mask(2).tolist()
    ([[1, 3]], [[[1.0, 0.0], [1.0, 0.0]]])
    """
    if not 0 <= ratio < 1:
        raise WherefromError(f"satmae: a mask ratio is at least 0 and below 1, not {ratio}")
    count = noise.shape[1]
    kept = int(count * (1 - ratio))
    if not kept:
        raise WherefromError(
            f"satmae: a mask ratio of {ratio} keeps {kept} of {count} tokens: the encoder needs one"
        )
    order = noise.argsort(dim=1, stable=True)
    first = torch.arange(groups, device=noise.device)[:, None] * count
    return Hidden(
        *((part[:, None] + first).flatten(1) for part in (order[:, :kept], order[:, kept:]))
    )


def _waves(width: int, at: Tensor) -> Tensor:
    """Sines, then cosines, of places (N,) at falling frequencies: (N, width) float64."""
    angle = at.double()[:, None] / 10000 ** (torch.arange(width // 2).double() / (width // 2))
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _places(width: int, side: int) -> Tensor:
    """Rows of a square's locations, its columns first, below a row of zeros: (1, 1 + L, width)."""
    at = torch.arange(side * side)
    waves = torch.cat([_waves(width // 2, at % side), _waves(width // 2, at // side)], dim=1)
    return nn.functional.pad(waves, (0, 0, 1, 0)).float()[None]


def _groups(width: int, count: int) -> Tensor:
    """Rows of groups: (1, count, width)."""
    return _waves(width, torch.arange(count)).float()[None]


class SatMAE(nn.Module):
    """A masked autoencoder of images whose channels are grouped.

    Parameters
    ----------
    image, patch : int
        Pixels along a side.
    groups : sequence of sequence of int
        Channels of each group; together they are 0 to C - 1, each once.
    width, channel_width : int
        Of a token, and the part of it that tells the group; the rest tells the location.
    depth, heads : int
        Blocks of the encoder, and their heads.
    decoder_width, decoder_channel_width, decoder_depth, decoder_heads : int
        The same of the decoder.
    generator : torch.Generator, optional
        Draws the initial weights; by default a fresh one with seed 0.

    Raises
    ------
    WherefromError
        If the numbers do not fit each other, or a group has no channel.

    Notes
    -----
    The tables of locations and groups are parameters, as officially, that take no gradient; the
    official fine-tuning trains them. A layer's epsilon is 1e-6. Nothing is dropped out.

    Examples
    --------
    >>> model = SatMAE(*SIZES["tiny"][:2], [[0, 1, 2], [3, 4]], *SIZES["tiny"][2:])
    >>> loss, prediction, mask = model(torch.rand(2, 5, 16, 16))
    >>> prediction.shape, mask.shape, model.encode(torch.rand(2, 5, 16, 16)).shape
    (torch.Size([2, 5, 4, 64]), torch.Size([2, 2, 4]), torch.Size([2, 48]))
    """

    pos_embed: nn.Parameter
    channel_embed: nn.Parameter
    decoder_pos_embed: nn.Parameter
    decoder_channel_embed: nn.Parameter

    def __init__(
        self,
        image: int,
        patch: int,
        groups: Sequence[Sequence[int]],
        width: int,
        channel_width: int,
        depth: int,
        heads: int,
        decoder_width: int,
        decoder_channel_width: int,
        decoder_depth: int,
        decoder_heads: int,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.image, self.patch, self.side = image, patch, image // max(1, patch)
        self.groups = tuple(tuple(group) for group in groups)
        self.channels = sum(map(len, self.groups))
        self._check(width, channel_width, heads)
        self._check(decoder_width, decoder_channel_width, decoder_heads)
        count = len(self.groups)
        with torch.device("meta"):  # without torch's own draw of weights
            self.patch_embed = nn.ModuleList(PatchEmbed(len(g), width, patch) for g in self.groups)
            self.blocks = nn.ModuleList(Block(width, heads, _EPS) for _ in range(depth))
            self.norm = nn.LayerNorm(width, _EPS)
            self.decoder_embed = nn.Linear(width, decoder_width)
            self.decoder_blocks = nn.ModuleList(
                Block(decoder_width, decoder_heads, _EPS) for _ in range(decoder_depth)
            )
            self.decoder_norm = nn.LayerNorm(decoder_width, _EPS)
            self.decoder_pred = nn.ModuleList(
                nn.Linear(decoder_width, len(group) * patch**2) for group in self.groups
            )
        self.to_empty(device="cpu")
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.mask_token = nn.Parameter(torch.empty(1, 1, decoder_width))
        tables = {
            "pos_embed": _places(width - channel_width, self.side),
            "channel_embed": _groups(channel_width, count),
            "decoder_pos_embed": _places(decoder_width - decoder_channel_width, self.side),
            "decoder_channel_embed": _groups(decoder_channel_width, count + 1),
        }
        for name, table in tables.items():
            setattr(self, name, nn.Parameter(table, requires_grad=False))
        self._draw(generator or torch.Generator().manual_seed(0))

    def _check(self, width: int, part: int, heads: int) -> None:
        if self.patch < 1 or self.image < self.patch or self.image % self.patch:
            raise WherefromError(
                f"satmae: images of {self.image} pixels a side are no whole number of patches of "
                f"{self.patch}"
            )
        if not self.groups or not all(self.groups):
            raise WherefromError("satmae: a group has no channel: name some, or drop the group")
        if sorted(one for group in self.groups for one in group) != list(range(self.channels)):
            raise WherefromError(
                f"satmae: groups {[list(group) for group in self.groups]} must hold the channels 0 "
                f"to {self.channels - 1}, each once"
            )
        fits = heads > 0 and width % heads == 0 and part % 2 == 0 and (width - part) % 4 == 0
        if not (fits and 0 < part < width):
            raise WherefromError(
                f"satmae: a width of {width} with {heads} heads and {part} for the group: heads "
                "must divide the width, 2 the group's part, and 4 what is left, for the place"
            )

    @torch.no_grad()
    def _draw(self, generator: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, PatchEmbed):
                weight, bias = module.proj.weight, module.proj.bias
                assert bias is not None
                nn.init.xavier_uniform_(weight.view(len(weight), -1), generator=generator)
                bound = weight[0].numel() ** -0.5
                nn.init.uniform_(bias, -bound, bound, generator=generator)
        for token in (self.cls_token, self.mask_token):
            nn.init.normal_(token, std=0.02, generator=generator)

    def load(self, path: Path | str) -> SatMAE:
        """Read weights by their official names: a flat file, or a checkpoint's ``model``.

        Only plain data are unpickled: a file cannot run code.

        Raises
        ------
        WherefromError
            If the file is none, or tensors are missing, unknown, of other shapes or not finite.
        """
        sizes = "+".join(str(len(group)) for group in self.groups)
        want = (
            f"weights of a SatMAE of {self.image} pixels, patches of {self.patch} and groups of "
            f"{sizes} channels, of the same widths and depths"
        )
        path = Path(path)
        self.load_state_dict(fitting(path, tensors_of(path, want), self.state_dict(), want))
        return self

    @property
    def tokens(self) -> int:
        """Tokens of an image, groups times locations."""
        return len(self.groups) * self.side**2

    def forward(
        self,
        images: Tensor,
        noise: Tensor | None = None,
        ratio: float = 0.75,
        consistent: bool = False,
        normalise: bool = False,
        aligned: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hide tokens, give back all, and measure how well the hidden ones are met.

        Parameters
        ----------
        images : (B, C, S, S) float tensor
            As scaled: officially to 0..1.
        noise : (B, G * L) or, if `consistent`, (B, L) float tensor, optional
            Decides what is hidden (`hidden_by`); by default uniform, from torch's own generator.
        ratio : float, default 0.75
            Share of the tokens to hide; 0 hides none, and the loss is then NaN.
        consistent : bool, default False
            Hide the same locations in all groups.
        normalise : bool, default False
            Of the targets, subtract each location's mean and divide by its spread over all channels
            (variance by n - 1, plus 1e-6).
        aligned : bool, default True
            Hold each group's output against its own channels, where its token is hidden. Officially
            (False) outputs in the order of the groups are held against channels in their natural
            order, which are others where groups are not consecutive.

        Returns
        -------
        loss : () float32 tensor
            Squared error, mean over pixels and channels of a token, then over hidden tokens.
        prediction : (B, C, L, patch ** 2) float32 tensor
            Channels in the order of the groups.
        mask : (B, G, L) float32 tensor
            1 where hidden.

        Raises
        ------
        WherefromError
            If images or noise have another shape, or nothing would be kept.
        """
        patches = self.patches(images)
        chosen = self.hide(len(images), noise, ratio, consistent)
        decoded = self.decode(self.latent(patches, chosen.kept), chosen, every=True)
        prediction, mask = self.predict(decoded), chosen.mask(len(self.groups))
        targets = self.targets(patches, normalise)
        return self.loss(prediction, targets, mask, aligned), prediction, mask

    def hide(
        self, samples: int, noise: Tensor | None, ratio: float, consistent: bool = False
    ) -> Hidden:
        """Decide what is hidden; see `forward`."""
        shape = (samples, self.side**2 if consistent else self.tokens)
        if noise is None:
            noise = torch.rand(shape, device=self.cls_token.device)
        if noise.shape != shape:
            raise WherefromError(f"satmae: noise has shape {tuple(noise.shape)}, not {shape}")
        return hidden_by(noise, ratio, len(self.groups) if consistent else 1)

    def patches(self, images: Tensor) -> Tensor:
        """Cut images into patches, (B, L, C, patch ** 2), row by row, channels as they are.

        Raises
        ------
        WherefromError
            If the images have another size, number of channels or type.
        """
        due = (self.channels, self.image, self.image)
        if images.ndim != 4 or tuple(images.shape[1:]) != due:
            raise WherefromError(
                f"satmae: images have shape {tuple(images.shape)}, not (B, {self.channels}, "
                f"{self.image}, {self.image}): {self.channels} channels in {len(self.groups)} "
                f"groups, {self.image} pixels a side"
            )
        if images.dtype != self.cls_token.dtype:
            raise WherefromError(
                f"satmae: images are {images.dtype}, weights {self.cls_token.dtype}: scale them, "
                "officially to 0..1, in that type"
            )
        side, patch = self.side, self.patch
        cut = images.reshape(-1, self.channels, side, patch, side, patch)
        return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, side**2, self.channels, patch**2)

    def of_group(self, patches: Tensor, group: int) -> Tensor:
        """Give a group's patches, (B, L, c * patch ** 2)."""
        at = self.groups[group]
        if at == tuple(range(at[0], at[0] + len(at))):
            return patches[:, :, at[0] : at[0] + len(at)].flatten(2)
        return patches[:, :, list(at)].flatten(2)

    def _tokens(self, patches: Tensor) -> Tensor:
        """Make all tokens, their place and group added: (B, G * L, width)."""
        made = []
        for group, embed in enumerate(self.patch_embed):
            assert isinstance(embed, PatchEmbed)
            weight = embed.proj.weight.flatten(1)
            made.append(
                nn.functional.linear(self.of_group(patches, group), weight, embed.proj.bias)
            )
        table = self._table(self.pos_embed[0, 1:], self.channel_embed[0])
        return torch.cat(made, dim=1) + table

    def _table(self, places: Tensor, channels: Tensor) -> Tensor:
        """Join the parts of a token that tell place and group: (G * L, width)."""
        count, locations = len(self.groups), len(places)
        return torch.cat(
            [
                places.expand(count, -1, -1),
                channels[:count, None].expand(-1, locations, -1),
            ],
            dim=-1,
        ).flatten(0, 1)

    def latent(
        self, patches: Tensor, kept: Tensor | None, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Encode tokens, by default all, the class token in front: (B, 1 + K, width).

        `dtype` is that of matrix products.
        """
        h = self._begin(patches, kept)
        for block in self.blocks:
            h = block(h, None, dtype)
        result: Tensor = self.norm(h)
        return result

    def _begin(self, patches: Tensor, kept: Tensor | None) -> Tensor:
        tokens = self._tokens(patches)
        if kept is not None:
            tokens = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[2]))
        return torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)

    def decode(
        self,
        latent: Tensor,
        chosen: Hidden,
        every: bool,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Decode codes of the kept tokens to what heads read: (B, G * L, decoder width).

        Without `every`, the last block transforms hidden tokens alone; others are then 0.
        """
        x = nn.functional.linear(
            latent.to(dtype), self.decoder_embed.weight.to(dtype), self.decoder_embed.bias.to(dtype)
        )
        channels = self.decoder_channel_embed[0]
        places = self.decoder_pos_embed[0]
        table = self._table(places[1:], channels)
        front = torch.cat([places[0], channels[-1]]).expand(len(x), 1, -1)
        at = torch.cat([chosen.kept, chosen.hidden], dim=1)
        blank = self.mask_token.expand(len(x), chosen.hidden.shape[1], -1)
        h = torch.cat([x.float(), blank], dim=1) + torch.cat([front, table[at]], dim=1)
        *blocks, last = self.decoder_blocks
        for block in blocks:
            h = block(h, None, dtype)
        h = last(h, None, dtype, 1 if every else x.shape[1])
        at = at if every else chosen.hidden
        grid: Tensor = h.new_zeros(len(h), self.tokens, h.shape[2])
        # Which token is where attention does not see: they go back to their own order at the end.
        made: Tensor = self.decoder_norm(h)
        return grid.scatter(1, at[..., None].expand_as(made), made)

    def predict(self, decoded: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Give the patches of all tokens: (B, C, L, patch ** 2), channels by group."""
        found = []
        for group, head in enumerate(self.decoder_pred):
            assert isinstance(head, nn.Linear)
            own = decoded[:, group * self.side**2 : (group + 1) * self.side**2].to(dtype)
            made = nn.functional.linear(own, head.weight.to(dtype), head.bias.to(dtype)).float()
            each = (len(self.groups[group]), self.patch**2)
            found.append(made.view(*made.shape[:2], *each).transpose(1, 2))
        return torch.cat(found, dim=1)

    def targets(self, patches: Tensor, normalise: bool) -> Tensor:
        """Give what is to be met, (B, C, L, patch ** 2), channels in their natural order."""
        if normalise:
            flat = patches.flatten(2)
            var, mean = torch.var_mean(flat, dim=2, keepdim=True)
            patches = ((flat - mean) / (var + _LEAST).sqrt()).view_as(patches)
        return patches.transpose(1, 2)

    def loss(
        self, prediction: Tensor, targets: Tensor, mask: Tensor, aligned: bool = True
    ) -> Tensor:
        """Average the squared errors of hidden tokens; see `forward`.

        Parameters
        ----------
        prediction, targets : (B, C, L, patch ** 2) tensor
            The first by group, the second in natural order.
        mask : (B, G, L) tensor
        aligned : bool
        """
        if aligned:  # to the order of the groups
            order = [channel for group in self.groups for channel in group]
            targets = targets if order == sorted(order) else targets[:, order]
        # Officially a group's outputs, too, are those at its channels' natural places.
        wrong = (prediction - targets).square().mean(3)
        start, total = 0, wrong.new_zeros(())
        for group, channels in enumerate(self.groups):
            own = slice(start, start + len(channels))
            start += len(channels)
            errors = wrong[:, own] if aligned else wrong[:, list(channels)]
            total = total + (errors.mean(1) * mask[:, group]).sum()
        return total / mask.sum()

    def encode(
        self,
        images: Tensor,
        pooling: Literal["mean", "cls"] = "mean",
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Embed images by all of their tokens: (B, width).

        Parameters
        ----------
        images : (B, C, S, S) float tensor
        pooling : {"mean", "cls"}
            "mean": of the last block's patch tokens, standardised: officially the norm that
            fine-tuning begins with. "cls": the class token, by the pre-trained norm.
        dtype : torch.dtype, default torch.float32
            Of matrix products.

        Raises
        ------
        WherefromError
            If the images have another size or number of channels, or there is no such pooling.
        """
        if pooling not in ("mean", "cls"):
            raise WherefromError(f"satmae: pooling is 'mean' or 'cls', not {pooling!r}")
        h = self._begin(self.patches(images), None)
        *blocks, last = self.blocks
        for block in blocks:
            h = block(h, None, dtype)
        assert isinstance(last, Block)
        if pooling == "mean":
            pooled = last.mean(h, None, dtype, first=1).float()
            return nn.functional.layer_norm(pooled, pooled.shape[1:], eps=_EPS)
        h = h.roll(-1, dims=1)  # the class token goes last: no other is asked for
        result: Tensor = self.norm(last(h, None, dtype, h.shape[1] - 1)[:, 0])
        return result
