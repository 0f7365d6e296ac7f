"""Galileo nano's encoder: a transformer for pixels, windows and series of many sensors at once.

Tseng et al. 2025, arXiv 2502.09356. A sample is four arrays: what varies in space and time, in
space, in time, and not at all. Bands stand in groups; each group of a patch, of a step, of both, or
of the sample is a token. Hidden tokens are left out; the embedding is the mean of the visible ones
after the last norm. Written from the published facts; names of parameters are the official ones.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.models.attention import attend
from wherefrom.models.official import fitting, tensors_of
from wherefrom.models.presto import Table, month_rows
from wherefrom.models.transformer import HEADS, WIDTH, Block
from wherefrom.shown import count_of

__all__ = ["BANDS", "GROUPS", "Galileo", "Inputs", "Tokens", "resizing"]

#: By array, the groups of bands in the order of the channel embedding, with their columns.
GROUPS: dict[str, dict[str, tuple[int, ...]]] = {
    "s_t": {
        "S1": (0, 1),
        "S2_RGB": (2, 3, 4),
        "S2_Red_Edge": (5, 6, 7),
        "S2_NIR_10m": (8,),
        "S2_NIR_20m": (9,),
        "S2_SWIR": (10, 11),
        "NDVI": (12,),
    },
    "sp": {"SRTM": (0, 1), "DW": tuple(range(2, 11)), "WC": tuple(range(11, 16))},
    "t": {"ERA5": (0, 1), "TC": (2, 3, 4), "VIIRS": (5,)},
    "st": {
        "LS": (0,),
        "location": (1, 2, 3),
        "DW_static": tuple(range(4, 13)),
        "WC_static": tuple(range(13, 18)),
    },
}
#: By array, how many bands there are.
BANDS = {array: sum(map(len, groups.values())) for array, groups in GROUPS.items()}
#: Steps that have a row in the table of positions; pixels a side of the kernels as they are.
STEPS, PATCH = 24, 8
_QUARTER = WIDTH // 4

_WANT = (
    "the encoder of Galileo nano (encoder.pt, 4,189,406 bytes) as released at "
    "https://github.com/nasaharvest/galileo/tree/main/data/models/nano"
)


@lru_cache
def resizing(patch: int) -> NDArray[np.float64]:
    """Give what brings a side of a kernel from 8 samples to `patch`: (patch, 8).

    The pseudo-inverse of antialiased bicubic down-sampling (Keys, a = -0.5): a resized kernel says
    of a resized patch what the kernel says of the patch.
    """
    if patch == PATCH:
        return np.eye(PATCH)
    scale = PATCH / patch
    centre = scale * (np.arange(patch)[:, None] + 0.5)
    u = np.abs(np.arange(PATCH) + 0.5 - centre) / scale
    near, far = 1.5 * u**3 - 2.5 * u**2 + 1, -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
    weight = np.where(u < 1, near, np.where(u < 2, far, 0))
    found: NDArray[np.float64] = np.linalg.pinv((weight / weight.sum(1, keepdims=True)).T)
    return found


def _waves(u: Tensor, width: int) -> Tensor:
    """Sines, then cosines of u at falling frequencies: (..., width).

    The exponent is i / (2 width), not 2 i / width as in textbooks: the weights were trained so.
    """
    rate = 10000.0 ** (-torch.arange(width // 2, dtype=torch.float64) / (2 * width))
    angle = u[..., None].double() * rate.to(u.device)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()


class _Attention(nn.Module):
    """Self-attention with three matrices apart, as the published weights have them."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, h: Tensor, there: Tensor | None, first: int) -> Tensor:
        assert not first
        each = *h.shape[:2], HEADS, WIDTH // HEADS
        q, k, v = (layer(h).view(each) for layer in (self.q, self.k, self.v))
        found: Tensor = self.proj(attend(q, k, v, there))
        return found


class _Block(Block):
    """A pre-norm block, but for its attention."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = _Attention()  # type: ignore[assignment]


class _Patches(nn.Module):
    """The projection of a group of bands of a patch."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(bands, WIDTH, PATCH, PATCH)


class Tokens(NamedTuple):
    """A code for each token, h patches a side; hidden ones hold the bias of the last norm.

    Attributes
    ----------
    s_t : (B, h, h, T, 7, 128) float32
    sp : (B, h, h, 3, 128) float32
    t : (B, T, 3, 128) float32
    st : (B, 4, 128) float32
    """

    s_t: Tensor
    sp: Tensor
    t: Tensor
    st: Tensor


class Inputs(NamedTuple):
    """B samples of H x H pixels and T steps.

    Attributes
    ----------
    s_t_x, sp_x, t_x, st_x : (B, H, H, T, 13), (B, H, H, 16), (B, T, 6), (B, 18) float tensors
        As `wherefrom.models.galileo_series.normalise` gives them; anything where hidden.
    s_t_m, sp_m, t_m, st_m : (B, H, H, T, 7), (B, H, H, 3), (B, T, 3), (B, 4) tensors
        One value a group (`GROUPS`): 0 shows it, 1 or 2 hides it. In space that of the first pixel
        of a patch counts.
    months : (B, T) integer tensor
        Month of every step; 0 is January.
    """

    s_t_x: Tensor
    sp_x: Tensor
    t_x: Tensor
    st_x: Tensor
    s_t_m: Tensor
    sp_m: Tensor
    t_m: Tensor
    st_m: Tensor
    months: Tensor

    @property
    def x(self) -> dict[str, Tensor]:
        """Values by array."""
        return dict(zip(GROUPS, self[:4], strict=True))

    @property
    def m(self) -> dict[str, Tensor]:
        """Masks by array."""
        return dict(zip(GROUPS, self[4:8], strict=True))


class _Shown(NamedTuple):
    """Visible tokens, each row's in front.

    `h` is (B, K, 128); `there` (B, K), or None if all are; `at` (B, K) where each lies among the
    tokens of the groups of `groups` (array, position in it), laid end to end.
    """

    h: Tensor
    there: Tensor | None
    at: Tensor
    groups: list[tuple[str, int]]


class Galileo(nn.Module):
    """Galileo's encoder in the size nano: width 128, 4 blocks, 8 heads, 1,036,704 parameters.

    Parameters
    ----------
    generator : torch.Generator, optional
        Draws the initial weights (Xavier-uniform matrices, uniform kernels, all else zero).

    Examples
    --------
    >>> model = Galileo().eval()
    >>> x = [torch.zeros(2, *size) for size in ((1, 1, 12, 13), (1, 1, 16), (12, 6), (18,))]
    >>> m = [torch.zeros(2, *size) for size in ((1, 1, 12, 7), (1, 1, 3), (12, 3), (4,))]
    >>> model.embed(*x, *m, torch.arange(12).expand(2, 12), patch_size=1).shape
    torch.Size([2, 128])
    """

    pos_embed: Tensor

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.register_buffer("pos_embed", _waves(torch.arange(STEPS), _QUARTER))
        self.month_embed = Table(month_rows(_QUARTER))
        for array, groups in GROUPS.items():
            rows = nn.Parameter(torch.zeros(len(groups), _QUARTER))
            self.register_parameter(f"{array}_channel_embed", rows)
        with torch.random.fork_rng(devices=[]):  # layers draw weights when made; others follow
            for array, name in _LAYERS.items():
                made: dict[str, nn.Module] = {
                    group: _Patches(len(bands))
                    if array in _SPATIAL
                    else nn.Linear(len(bands), WIDTH)
                    for group, bands in GROUPS[array].items()
                }
                setattr(self, name, nn.ModuleDict(made))
            self.blocks = nn.ModuleList(_Block() for _ in range(4))
        self.norm = nn.LayerNorm(WIDTH)
        generator = generator or torch.Generator().manual_seed(0)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                bound = (module.in_channels * PATCH**2) ** -0.5
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                assert module.bias is not None
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)

    @classmethod
    def load_official(cls, path: Path | str) -> Galileo:
        """Read the published weights (``encoder.pt``); nothing in the file is executed.

        Parameters
        ----------
        path : Path or str
            The file as released at https://github.com/nasaharvest/galileo, data/models/nano.

        Returns
        -------
        Galileo
            On the CPU, in eval mode.

        Raises
        ------
        WherefromError
            If the file is absent, is no checkpoint, or holds tensors of other names or shapes, such
            as those of another size of Galileo.
        """
        model, path = cls(), Path(path)
        found = {
            name.replace(".backbone", ""): value for name, value in tensors_of(path, _WANT).items()
        }
        model.load_state_dict(fitting(path, found, model.state_dict(), _WANT))
        return model.eval()

    def embed(
        self,
        s_t_x: Tensor,
        sp_x: Tensor,
        t_x: Tensor,
        st_x: Tensor,
        s_t_m: Tensor,
        sp_m: Tensor,
        t_m: Tensor,
        st_m: Tensor,
        months: Tensor,
        patch_size: int,
        input_resolution_m: float = 10.0,
    ) -> Tensor:
        """Embed samples by the mean of their visible tokens after the last norm.

        Parameters
        ----------
        s_t_x, sp_x, t_x, st_x, s_t_m, sp_m, t_m, st_m, months
            As of `Inputs`.
        patch_size : int
            Pixels a side of a patch, 1 to 8.
        input_resolution_m : float
            Metres a side of a pixel.

        Returns
        -------
        (B, 128) float32 tensor

        Raises
        ------
        WherefromError
            If shapes do not fit each other, H is not W or no multiple of the patch, there are more
            than 24 steps, a month or mask is out of range, a value that is shown is not finite, or
            a row shows nothing. The message names the argument and the first row.
        """
        inputs = Inputs(s_t_x, sp_x, t_x, st_x, s_t_m, sp_m, t_m, st_m, months)
        if not len(months):
            return self.norm.bias.new_empty(0, WIDTH)
        shown = self._shown(inputs, patch_size, input_resolution_m)
        codes = self._codes(shown)
        if shown.there is None:
            return codes.mean(1)
        count = shown.there.sum(1, keepdim=True)
        return (codes * shown.there[..., None]).sum(1) / count

    def encode(self, inputs: Inputs, patch_size: int, input_resolution_m: float = 10.0) -> Tokens:
        """Give the code of every token; see `embed` for what is refused."""
        shown = self._shown(inputs, patch_size, input_resolution_m)
        codes = self._codes(shown)
        side, steps = inputs.s_t_x.shape[1] // patch_size, inputs.months.shape[1]
        sizes = {"s_t": (side, side, steps), "sp": (side, side), "t": (steps,), "st": ()}
        counts = {array: int(np.prod(size)) for array, size in sizes.items()}
        ends = list(accumulate(counts[array] for array, _ in shown.groups))
        # One place more, for what is in no row's list.
        at = shown.at if shown.there is None else shown.at.where(shown.there, ends[-1])
        laid = self.norm.bias.expand(len(codes), ends[-1] + 1, -1)
        laid = laid.scatter(1, at[..., None].expand_as(codes), codes)
        made = {
            array: self.norm.bias.repeat(len(codes), *sizes[array], len(groups), 1)
            for array, groups in GROUPS.items()
        }
        for (array, group), end in zip(shown.groups, ends, strict=True):
            part = laid[:, end - counts[array] : end]
            made[array][..., group, :] = part.reshape(len(codes), *sizes[array], WIDTH)
        return Tokens(**made)

    def embed_patches(
        self, inputs: Inputs, patch_size: int, input_resolution_m: float = 10.0
    ) -> Tensor:
        """Embed each patch: the mean of its visible tokens and of those of the whole sample.

        Returns
        -------
        (B, h * h, 128) float32 tensor
            Row by row.

        Raises
        ------
        WherefromError
            As of `embed`, or if a patch shows nothing.
        """
        codes = self.encode(inputs, patch_size, input_resolution_m)
        total, count = codes.st.new_zeros(()), codes.st.new_zeros(())
        for array, values in codes._asdict().items():
            mask, spatial = inputs.m[array], array in _SPATIAL
            seen = (_of_patches(mask, patch_size) if spatial else mask) == 0
            axes = tuple(range(3 if spatial else 1, seen.ndim))
            some, every = (values * seen[..., None]).sum(axes), seen.sum(axes)
            total = total + (some if spatial else some[:, None, None])
            count = count + (every if spatial else every[:, None, None])
        blank = torch.nonzero(count == 0)
        if len(blank):
            row, *patch = blank[0].tolist()
            raise WherefromError(
                f"row {row} shows nothing of patch {tuple(patch)} "
                f"({count_of(len(blank), 'such patch', 'such patches')})"
            )
        return (total / count[..., None]).flatten(1, 2)

    def _codes(self, shown: _Shown) -> Tensor:
        h = shown.h
        for block in self.blocks:
            h = block(h, shown.there, h.dtype)
        codes: Tensor = self.norm(h)
        return codes

    def _shown(self, inputs: Inputs, patch: int, resolution: float) -> _Shown:
        """Project the groups that any row shows, and gather each row's visible tokens."""
        _check(inputs, patch, resolution)
        x, m, months = inputs.x, inputs.m, inputs.months.long()
        fixed = self._fixed(months, x["s_t"].shape[1] // patch, patch * resolution / 10)
        tokens, hidden, groups = [], [], []
        for array, name in _LAYERS.items():
            mask = _of_patches(m[array], patch) if array in _SPATIAL else m[array]
            channel = nn.functional.pad(self.get_parameter(f"{array}_channel_embed"), (0, 96))
            for at, (group, bands) in enumerate(GROUPS[array].items()):
                one = mask[..., at] != 0
                if bool(one.all()):
                    continue
                layer = self.get_submodule(f"{name}.{group}")
                values = _projected(layer, x[array][..., list(bands)].float(), patch)
                made = values + (fixed[array] + channel[at])
                tokens.append(made.reshape(len(made), -1, WIDTH))
                hidden.append(one.reshape(len(one), -1))
                groups.append((array, at))
        if not tokens:
            raise WherefromError("row 0 shows nothing: the masks hide every group of every row")
        away = torch.cat(hidden, 1)
        count = (~away).sum(1)
        blank = torch.nonzero(count == 0)
        if len(blank):
            raise WherefromError(
                f"row {int(blank[0])} shows nothing: the masks hide all of it "
                f"({count_of(len(blank), 'such row')})"
            )
        most = int(count.max())
        order = away.byte().argsort(dim=1, stable=True)[:, :most]
        h = torch.cat(tokens, 1)
        alike = bool((order == order[:1]).all())
        h = h[:, order[0]] if alike else h.take_along_dim(order[..., None], 1)
        there = None
        if not bool((count == most).all()):
            there = torch.arange(most, device=order.device) < count[:, None]
            h = h.masked_fill(~there[..., None], 0)
        if not bool(torch.isfinite(h).all()):
            row, column = torch.nonzero(~torch.isfinite(h).all(-1))[0].tolist()
            ends = torch.tensor([part.shape[1] for part in tokens]).cumsum(0)
            array, at = groups[int((ends <= order[row, column].cpu()).sum())]
            raise WherefromError(
                f"{array}_x of row {row}: {list(GROUPS[array])[at]} is not finite where it is "
                f"shown; hide it there ({array}_m = 1)"
            )
        return _Shown(h, there, order, groups)

    def _fixed(self, months: Tensor, side: int, patch: float) -> dict[str, Tensor]:
        """Give what tells of step, month and patch, for each array."""
        steps = self.pos_embed[: months.shape[1]].expand(*months.shape, -1)
        when = torch.cat([steps, self.month_embed.weight[months]], dim=-1)
        when = nn.functional.pad(when, (_QUARTER, _QUARTER))
        wave = _waves(torch.arange(side, device=months.device) * patch, _QUARTER // 2)
        where = torch.cat(
            [wave[None].expand(side, -1, -1), wave[:, None].expand(-1, side, -1)], dim=-1
        )  # column first
        where = nn.functional.pad(where, (3 * _QUARTER, 0))
        return {
            "s_t": when[:, None, None] + where[:, :, None],
            "sp": where,
            "t": when,
            "st": where.new_zeros(()),
        }


#: Arrays of pixels; by array, what holds the projections.
_SPATIAL = ("s_t", "sp")
_LAYERS = {
    "s_t": "space_time_embed",
    "sp": "space_embed",
    "t": "time_embed",
    "st": "static_embed",
}


def _of_patches(mask: Tensor, patch: int) -> Tensor:
    """Read a mask of pixels at the first pixel of each patch."""
    return mask[:, ::patch, ::patch]


def _projected(layer: nn.Module, x: Tensor, patch: int) -> Tensor:
    """Project a group: (B, H, H, [T,] c) to (B, h, h, [T,] 128), or (..., c) to (..., 128)."""
    if isinstance(layer, nn.Linear):
        found: Tensor = layer(x)
        return found
    assert isinstance(layer, _Patches)
    weight, bias = layer.proj.weight, layer.proj.bias
    if patch != PATCH:
        resize = torch.from_numpy(resizing(patch)).to(weight)
        weight = torch.einsum("ai,ocij,bj->ocab", resize, weight, resize)
    side = x.shape[1] // patch
    x = x.reshape(len(x), side, patch, side, patch, *x.shape[3:])
    x = x.movedim((2, 4), (-2, -1)).flatten(-3)
    return nn.functional.linear(x, weight.flatten(1), bias)


def _check(inputs: Inputs, patch: int, resolution: float) -> None:
    """Refuse what the model cannot read; the message names the argument and the first row."""
    first, months = inputs.s_t_x.shape, inputs.months
    if len(first) != 5 or first[-1] != BANDS["s_t"]:
        raise WherefromError(f"s_t_x has shape {tuple(first)}, not (B, H, H, T, {BANDS['s_t']})")
    rows, height, width, steps = first[:4]
    if height != width:
        raise WherefromError(f"s_t_x is {height} x {width} pixels: give squares")
    if not isinstance(patch, int) or not 1 <= patch <= PATCH or height % patch or not height:
        raise WherefromError(
            f"patch_size = {patch}: needs 1 to {PATCH}, and to divide the {height} pixels of a side"
        )
    if not 1 <= steps <= STEPS:
        raise WherefromError(f"there are {steps} steps, Galileo embeds 1 to {STEPS}, each a month")
    if not 0 < resolution < np.inf:
        raise WherefromError(f"input_resolution_m must be above 0, not {resolution}")
    lead = {
        "s_t": (rows, height, width, steps),
        "sp": (rows, height, width),
        "t": (rows, steps),
        "st": (rows,),
    }
    due = {f"{array}_x": (*lead[array], BANDS[array]) for array in GROUPS}
    due |= {f"{array}_m": (*lead[array], len(GROUPS[array])) for array in GROUPS}
    for name, shape in (due | {"months": lead["t"]}).items():
        if getattr(inputs, name).shape != shape:
            raise WherefromError(
                f"{name} has shape {tuple(getattr(inputs, name).shape)}, not {shape}"
            )
    masks = ((f"{array}_m", mask, 2) for array, mask in inputs.m.items())
    for name, values, most in (("months", months, 11), *masks):
        number = values.float()
        wrong = ~((number >= 0) & (number <= most) & (number == number.floor()))
        if bool(wrong.any()):
            row = int(torch.nonzero(wrong)[0, 0])
            hint = "0 to 11, January is 0" if name == "months" else "0 (shown), 1 or 2 (hidden)"
            raise WherefromError(f"{name} of row {row} has {values[wrong][0].item()}: needs {hint}")
