"""Frozen image towers: ResNets and a vision transformer, as timm names and computes them.

He et al., *Deep Residual Learning*, arXiv 1512.03385; Dosovitskiy et al., *An Image is Worth 16x16
Words*, arXiv 2010.11929. Published weights are those of SSL4EO-S12 (arXiv 2211.07044), pre-trained
without labels by MoCo on Sentinel-2; SatCLIP's checkpoints hold the same towers with a head.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wherefrom.earth.fetch import path_of
from wherefrom.errors import WherefromError, unknown
from wherefrom.models.official import fitting, tensors_of
from wherefrom.models.share import BatchNorm2d
from wherefrom.models.transformer import Block

__all__ = [
    "TOWERS",
    "Tower",
    "centre",
    "frozen",
    "published",
    "reflectances",
    "sentinel2",
    "tower",
    "tower_in",
]

A = TypeVar("A", np.ndarray, Tensor)

#: Bands of a level 2A tile, and where the missing B10 goes among the 13 of level 1C.
_L2A, _B10 = 12, 10
#: Before the names of a tower's weights in a SatCLIP checkpoint.
VISUAL = "model.visual."


class Tower(nn.Module):
    """Features of images by frozen weights, and a trainable linear head on them if asked for.

    Attributes
    ----------
    name : str
        In `TOWERS`.
    bands : int
        Of an image.
    width : int
        Number of features F.
    drifting : bool
        In train mode normalise by the batch and let running statistics drift, as SatCLIP's
        official training leaves its frozen ResNets, and as a tower must that learns itself; else
        the tower is always in eval mode.
    """

    #: Names of the first layer, which tells the number of bands, and of the head.
    stem: ClassVar[str]
    top: ClassVar[str]
    #: Pixels along a side where no other size will do.
    side: ClassVar[int | None] = None

    name = ""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.bands, self.width, self.drifting = bands, width, False

    def crown(self, out: int) -> None:
        """Freeze all that there is, and set a trainable head on top; none for `out` of 0."""
        self.requires_grad_(False)
        setattr(self, self.top, nn.Linear(self.width, out) if out else nn.Identity())
        self.train()

    def train(self, mode: bool = True) -> Tower:
        """Set the mode; eval in any case, unless the tower drifts."""
        return super().train(mode and self.drifting)

    def forward(self, images: Tensor) -> Tensor:
        """Give features of images, or what the head makes of them.

        Parameters
        ----------
        images : (B, bands, H, W) float tensor, or (B, 12, H, W) uint16 tensor
            Reflectances (digital numbers / 10000), or tiles that `sentinel2` makes such images of.

        Returns
        -------
        (B, F) or (B, out) tensor
            float32; float64 if the weights are.

        Raises
        ------
        WherefromError
            If the images have another number of bands, or a size that the tower does not take.
        """
        if images.dtype == torch.uint16:
            images = sentinel2(images, self.side)
        if images.ndim != 4 or images.shape[1] != self.bands or not images.is_floating_point():
            raise WherefromError(
                f"{self.name} reads floats (B, {self.bands}, H, W), not "
                f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}: see "
                "wherefrom.models.towers.sentinel2"
            )
        height, width = images.shape[2:]
        if 0 in (height, width) or (self.side and (height, width) != (self.side, self.side)):
            due = f"{self.side} x {self.side}" if self.side else "1 x 1 and more"
            raise WherefromError(
                f"{self.name} reads images of {due} pixels, not {height} x {width}: crop them"
            )
        result: Tensor = self.get_submodule(self.top)(_wide(self.pooled(images)))
        return result

    def pooled(self, images: Tensor) -> Tensor:
        """Give the features of checked images, (B, F)."""
        raise NotImplementedError

    def load(self, path: Path | str, *, head: bool = False) -> Tower:
        """Read weights: a flat file of them, or those in a SatCLIP checkpoint.

        Parameters
        ----------
        path : Path or str
            Only plain data are unpickled: a file cannot run code.
        head : bool, default False
            Read the head, too; otherwise one in the file is left aside.

        Returns
        -------
        Tower
            Itself.

        Raises
        ------
        WherefromError
            If the file is none, or tensors are missing, unknown, of other shapes or not finite; of
            weights of another tower it says which.
        """
        path = Path(path)
        want = f"weights of {self.name} (flat as published, or a SatCLIP checkpoint)"
        state = _state(path, want)
        found = _recognised(state)
        if found and found != (self.name, self.bands):
            name, bands = found
            raise WherefromError(
                f"{path} holds weights of {name} on {bands} bands, not of {self.name} on "
                f"{self.bands}: take tower({name!r}, bands={bands}), or another file"
            )
        like = self.state_dict()
        due = {name: value for name, value in like.items() if head or not self.is_head(name)}
        given = {name: value for name, value in state.items() if head or not self.is_head(name)}
        for name in due.keys() - given.keys():
            if _is_count(name):  # which no one reads in eval mode
                given[name] = like[name]
        self.load_state_dict(like | fitting(path, given, due, want))
        return self

    @classmethod
    def is_head(cls, name: str) -> bool:
        """Tell whether a tensor of that name is the head's."""
        return name.startswith(f"{cls.top}.")


def _wide(x: Tensor) -> Tensor:
    """Give float32, or float64 as it is."""
    return x if x.dtype == torch.float64 else x.float()


class Residual(nn.Module):
    """Convolutions with batch norms between, and a way around them; a ReLU at the end."""

    def __init__(self, inside: int, layers: list[tuple[int, int, int]]) -> None:
        super().__init__()
        self.count = len(layers)
        channels, stride = inside, 1
        for i, (outside, size, step) in enumerate(layers, 1):
            conv = nn.Conv2d(channels, outside, size, step, size // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", BatchNorm2d(outside))
            channels, stride = outside, stride * step
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inside != channels:
            conv = nn.Conv2d(inside, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        around = self.downsample(x)
        for i in range(1, self.count + 1):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x))
            x = nn.functional.relu_(x if i < self.count else x.add_(around))
        return x


class ResNet(Tower):
    """ResNet-18 (basic blocks) or ResNet-50 (bottlenecks); images of any size.

    Parameters
    ----------
    depths : tuple of int
        Blocks of each of the four stages.
    bottleneck : bool
    bands : int
    """

    stem, top = "conv1", "fc"

    def __init__(self, depths: tuple[int, ...], bottleneck: bool, bands: int) -> None:
        super().__init__(bands, 512 * (4 if bottleneck else 1))
        self.conv1 = nn.Conv2d(bands, 64, 7, 2, 3, bias=False)
        self.bn1 = BatchNorm2d(64)
        channels = 64
        for stage, depth in enumerate(depths):
            planes, blocks = 64 * 2**stage, []
            for i in range(depth):
                stride = 2 if stage and not i else 1
                layers = [(planes, 3, stride), (planes, 3, 1)]
                if bottleneck:
                    layers = [(planes, 1, 1), (planes, 3, stride), (4 * planes, 1, 1)]
                blocks.append(Residual(channels, layers))
                channels = layers[-1][0]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.stages = len(depths)

    def pooled(self, images: Tensor) -> Tensor:
        """Average the last stage over the image."""
        x = nn.functional.relu_(self.bn1(self.conv1(images.to(self.conv1.weight.dtype))))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        return _wide(x).mean((2, 3))


class PatchEmbed(nn.Module):
    """One token a square patch."""

    def __init__(self, bands: int, width: int, size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(bands, width, size, size)

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.proj(images.to(self.proj.weight.dtype))
        return tokens.flatten(2).mT


class ViT(Tower):
    """Vision transformer; the feature is the class token's.

    Parameters
    ----------
    width, depth, heads, patch : int
    bands : int
    """

    stem, top, side = "patch_embed.proj", "head", 224

    def __init__(self, width: int, depth: int, heads: int, patch: int, bands: int) -> None:
        super().__init__(bands, width)
        assert self.side
        count = (self.side // patch) ** 2
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + count, width))
        self.patch_embed = PatchEmbed(bands, width, patch)
        self.blocks = nn.Sequential(*(Block(width, heads, 1e-6) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, 1e-6)
        #: Tokens that the last block need not transform, since nobody reads them.
        self.unread = 0

    def pooled(self, images: Tensor) -> Tensor:
        """Transform the tokens; the class token goes last, which attention does not see."""
        place, rest = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        patches = self.patch_embed(images) + rest
        h = torch.cat([patches, (self.cls_token + place).expand(len(images), -1, -1)], dim=1)
        dtype = self.patch_embed.proj.weight.dtype
        *first, last = self.blocks
        for block in first:
            h = block(h, None, dtype)
        result: Tensor = self.norm(last(h, None, dtype, self.unread))[:, -1]
        return result


class Kind(NamedTuple):
    """An entry of the table: what makes it, and SatCLIP's word for it."""

    make: Callable[[int], Tower]
    official: str


#: Towers by timm's names; another one is one line.
TOWERS: dict[str, Kind] = {
    "resnet18": Kind(partial(ResNet, (2, 2, 2, 2), False), "moco_resnet18"),
    "resnet50": Kind(partial(ResNet, (3, 4, 6, 3), True), "moco_resnet50"),
    "vit_small_patch16_224": Kind(partial(ViT, 384, 12, 6, 16), "moco_vit16"),
}


def _kind(name: str) -> Kind:
    if name not in TOWERS:
        raise unknown("tower", name, TOWERS)
    return TOWERS[name]


def _shaped(name: str, bands: int, out: int = 0) -> Tower:
    """Make a tower without values."""
    if bands < 1:
        raise WherefromError(f"an image has 1 band or more, not {bands}")
    with torch.device("meta"):
        made = _kind(name).make(bands)
        made.name = name
        made.crown(out)
    return made


def tower(
    name: str,
    bands: int = 13,
    *,
    weights: Path | str | None = None,
    out: int = 0,
    generator: torch.Generator | None = None,
) -> Tower:
    """Make a tower that gives features of images, (B, bands, H, W) to (B, F).

    Parameters
    ----------
    name : str
        In `TOWERS`: ``"resnet18"`` (F = 512), ``"resnet50"`` (2048) or
        ``"vit_small_patch16_224"`` (384), with timm's names of parameters.
    bands : int, default 13
        In the order of Sentinel-2 level 1C: B1, ..., B8, B8A, B9, B10, B11, B12.
    weights : Path or str, optional
        A file for `Tower.load`, e.g. ``published(name)``; else the weights are drawn.
    out : int, default 0
        Outputs of a trainable linear head; 0 for none.
    generator : torch.Generator, optional
        Draws what is not read; by default a fresh one with seed 0.

    Returns
    -------
    Tower
        In eval mode; only a head takes gradients. `frozen` makes it faster.

    Examples
    --------
    >>> tower("resnet18")(torch.rand(2, 13, 64, 48)).shape
    torch.Size([2, 512])
    """
    made = _shaped(name, bands, out).to_empty(device="cpu")
    generator = generator or torch.Generator().manual_seed(0)
    for module in made.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            module.reset_parameters()
    for parameter in made.parameters(recurse=False):
        nn.init.normal_(parameter, std=0.02, generator=generator)
    return made if weights is None else made.load(weights)


def published(name: str) -> Path:
    """Return the file of a tower's published weights on this machine; see `wherefrom data`.

    Raises
    ------
    WherefromError
        If it is not there; names the file to place, the folder and the address.
    """
    _kind(name)
    return path_of(f"moco-{name}", download=False)


def tower_in(path: Path | str, out: int = 0) -> Tower:
    """Make the tower whose weights a file holds, with its head if it has `out` outputs."""
    path = Path(path)
    want = f"weights of a tower ({', '.join(TOWERS)}), flat or in a SatCLIP checkpoint"
    found = _recognised(_state(path, want))
    if found is None:
        raise WherefromError(f"{path} holds no {want}")
    return tower(*found, out=out).load(path, head=out > 0)


def _state(path: Path, want: str) -> dict[str, Any]:
    """Read tensors by timm's names."""
    state = tensors_of(path, want)
    visual = {name.removeprefix(VISUAL): v for name, v in state.items() if name.startswith(VISUAL)}
    return visual or state


def _is_count(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _recognised(state: Mapping[str, Any]) -> tuple[str, int] | None:
    """Tell by names and shapes which tower weights are of, and on how many bands."""
    shapes = {name: v.shape for name, v in state.items() if isinstance(v, Tensor)}
    for name in TOWERS:
        stem = shapes.get(f"{_shaped(name, 1).stem}.weight", ())
        if len(stem) == 4 and stem[1]:
            like = _shaped(name, stem[1])
            due = {key: v.shape for key, v in like.state_dict().items() if not _is_count(key)}
            own = {k: v for k, v in shapes.items() if not _is_count(k) and not like.is_head(k)}
            if own == due:
                return name, stem[1]
    return None


def frozen(model: Tower, dtype: torch.dtype = torch.float32) -> Tower:
    """Make the fastest form of a tower, whose features are the same.

    Batch norms are folded into the convolutions before them; images go through with channels last;
    a transformer's last block transforms the class token alone.

    Parameters
    ----------
    model : Tower
        Left as it is.
    dtype : torch.dtype, default torch.float32
        Of the convolutions and matrix products: bfloat16 is several times as fast on processors
        that multiply in it, and changes features by less than one per cent.

    Returns
    -------
    Tower
        A copy, in eval mode, without gradients; its `state_dict` is no longer timm's.

    Examples
    --------
    >>> fast = frozen(tower("resnet18"), torch.bfloat16)
    >>> fast(torch.rand(1, 13, 64, 64)).dtype
    torch.float32
    """
    made = copy.deepcopy(model)
    made.drifting = False
    made.eval().requires_grad_(False)
    for module in list(made.modules()):
        for (name, conv), (norm, bn) in itertools.pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, bn))
                setattr(module, norm, nn.Identity())
    for name, module in made.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and name != made.top:
            module.to(dtype)
    if isinstance(made, ViT):
        made.unread = made.pos_embed.shape[1] - 1
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def centre(images: A, side: int) -> A:
    """Cut images (N, C, H, W) to a square at their centre, if they are larger."""
    height, width = images.shape[2:]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return images[:, :, top : top + side, left : left + side]


def reflectances(images: A, divisor: float | None = None, *, lacks_b10: bool = False) -> A:
    """Make float32 images for a tower of pixels of any type.

    Parameters
    ----------
    images : (N, C, H, W) array or tensor
    divisor : float, optional
        What pixels are divided by; by default 10,000 for whole numbers, as Sentinel-2's are, and 1
        for others.
    lacks_b10 : bool, default False
        Put a plane of zeros between B9 and B11 of level 2A, which has no B10.

    Examples
    --------
    >>> reflectances(np.full((1, 3, 1, 1), 5000, np.int16)).ravel().tolist()
    [0.5, 0.5, 0.5]
    """
    if divisor is None:
        real = (
            images.dtype.kind == "f"
            if isinstance(images, np.ndarray)
            else images.is_floating_point()
        )
        divisor = 1.0 if real else 10_000.0
    count, bands, *sides = images.shape
    shape = (count, bands + lacks_b10, *sides)
    made = (
        np.zeros(shape, np.float32)
        if isinstance(images, np.ndarray)
        else images.new_zeros(shape, dtype=torch.float32)
    )
    made[:, :_B10], made[:, _B10 + lacks_b10 :] = images[:, :_B10], images[:, _B10:]
    made /= divisor
    return made


def sentinel2(tiles: A, size: int | None = None) -> A:
    """Make images for a tower of Sentinel-2 level 2A tiles, as SatCLIP's official code does.

    Digital numbers are divided by 10000, not clipped, and a plane of zeros is put in place of B10,
    which level 2A lacks.

    Parameters
    ----------
    tiles : (N, 12, H, W) uint16 array or tensor
        B1, ..., B8, B8A, B9, B11, B12.
    size : int, optional
        Pixels along a side of the crop at the centre; by default the whole tile.

    Returns
    -------
    (N, 13, H, W) float32 array or tensor

    Raises
    ------
    WherefromError
        If the tiles have another number of bands, another type of number or fewer pixels.

    Examples
    --------
    >>> sentinel2(np.full((1, 12, 2, 2), 15000, np.uint16))[0, 9:12, 0, 0].tolist()
    [1.5, 0.0, 1.5]
    """
    if tiles.ndim != 4 or tiles.shape[1] != _L2A or tiles.dtype not in (np.uint16, torch.uint16):
        kind = str(tiles.dtype).removeprefix("torch.")
        raise WherefromError(
            f"Sentinel-2 tiles are digital numbers, uint16 (N, {_L2A}, H, W), not {kind} "
            f"{tuple(tiles.shape)}: give level 2A as it is published"
        )
    if size is not None:
        height, width = tiles.shape[2:]
        if min(height, width) < size:
            raise WherefromError(
                f"the tiles have {height} x {width} pixels, fewer than the {size} x {size} to be "
                "cut out of them"
            )
        tiles = centre(tiles, size)
    return reflectances(tiles, lacks_b10=True)
