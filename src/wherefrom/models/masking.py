"""Which tokens a masked autoencoder hides: Presto's four strategies, for a batch at once.

Tseng et al. 2023, arXiv 2304.14065, section 3.2 and the official code. One of four strategies is
drawn for each sample: whole channel groups, random steps, a run of steps, random tokens. Whatever
the strategy, the same number of tokens is hidden: with all groups and 12 steps 81 of 109.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wherefrom.errors import WherefromError
from wherefrom.models.tokens import ABSENT, GROUPS, SRTM

__all__ = ["STRATEGIES", "Masking"]

#: Strategies in the order of their codes.
STRATEGIES = ("groups", "steps", "run of steps", "tokens")


@dataclass(frozen=True)
class Masking:
    """Draws masks for series of `steps` steps of the channel groups that a data set has.

    `groups` are those of `wherefrom.models.tokens.GROUPS` that are present, in any order; `ratio`
    is the share of the tokens to hide, whose number is rounded down.
    """

    groups: tuple[str, ...]
    steps: int = 12
    ratio: float = 0.75

    def __post_init__(self) -> None:
        strange = [name for name in self.groups if name not in GROUPS]
        if strange or not self.groups:
            raise WherefromError(
                f"masking: groups {list(self.groups)}: choose of {', '.join(GROUPS)}"
            )
        if not 0 < self.hidden < self.tokens:
            raise WherefromError(
                f"masking: a ratio of {self.ratio} hides {self.hidden} of {self.tokens} tokens: "
                "at least one must be hidden and one be left"
            )

    @property
    def varying(self) -> tuple[int, ...]:
        """Rows of the groups that have a token at every step."""
        return tuple(i for i, g in enumerate(GROUPS) if g in self.groups and i != SRTM)

    @property
    def tokens(self) -> int:
        """Tokens of a series."""
        return len(self.varying) * self.steps + ("SRTM" in self.groups)

    @property
    def hidden(self) -> int:
        """Tokens that are hidden in every series."""
        return int(self.tokens * self.ratio)

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:
        """Draw masks, (B, T, 10) uint8 of `VISIBLE`, `HIDDEN` or `ABSENT`.

        On the generator's device; the same state gives the same masks for all devices of a kind.
        """
        device, steps, rows = generator.device, self.steps, list(self.varying)
        # Elevation and slope first: hidden with probability `ratio`, at the budget's cost.
        budget = torch.full((samples,), self.hidden, device=device)
        fixed = None
        if "SRTM" in self.groups:
            fixed = torch.rand(samples, generator=generator, device=device) < self.ratio
            if self.hidden > len(rows) * steps:  # no other token could take its place
                fixed |= True
            budget -= fixed.long()
        # Each cell of the grid has a random key; those of the strategy's whole groups or steps come
        # before all others, those that hold no token behind; the first `budget` cells are hidden.
        strategy = torch.randint(len(STRATEGIES), (samples,), generator=generator, device=device)
        keys = _keys((samples, steps, len(GROUPS)), generator)
        keys |= _SIGN * self._chosen_groups(strategy, budget, generator)[:, None]
        keys |= _SIGN * self._chosen_steps(strategy, budget, generator)[..., None]
        still = [i for i in range(len(GROUPS)) if i not in rows]
        keys[..., still] = _LAST
        kind = (keys < _key_at(keys.flatten(1), budget)[..., None]).to(torch.uint8)
        kind[..., still] = ABSENT
        if fixed is not None:
            kind[:, 0, SRTM] = fixed
        return kind

    def _chosen_groups(
        self, strategy: Tensor, budget: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Choose whole groups where that is the strategy: (B, 10) int32."""
        keys = _keys((len(strategy), len(GROUPS) + 1), generator)
        keys[:, [i for i in range(len(GROUPS) + 1) if i not in self.varying]] = _LAST
        wanted = torch.where(strategy == 0, budget // self.steps, 0)
        return (keys < _key_at(keys, wanted))[:, :-1].to(torch.int32)

    def _chosen_steps(self, strategy: Tensor, budget: Tensor, generator: torch.Generator) -> Tensor:
        """Choose whole steps, at random or in a run, where that is the strategy: (B, T) int32."""
        device, steps = generator.device, self.steps
        wanted = budget // max(1, len(self.varying))
        keys = _keys((len(strategy), steps + 1), generator)
        keys[:, -1] = _LAST
        at_random = keys < _key_at(keys, torch.where(strategy == 1, wanted, 0))
        uniform = torch.rand(len(strategy), generator=generator, device=device)
        start = (uniform * (steps - wanted + 1)).long()[:, None]
        turn = torch.arange(steps, device=device)
        run = (turn >= start) & (turn < start + wanted[:, None]) & (strategy == 2)[:, None]
        return (at_random[:, :-1] | run).to(torch.int32)


#: Bits of a key that hold the position of its cell, so that no two keys are equal.
_LOW = 8
#: Before and behind all keys that are drawn.
_SIGN, _LAST = -(1 << 31), (1 << 31) - 1


def _keys(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw distinct random keys in [0, 2^31) along all axes but the first: int32."""
    keys = torch.empty(shape, dtype=torch.int32, device=generator.device)
    keys.random_(0, 1 << 31 - _LOW, generator=generator)
    places = torch.arange(keys[0].numel(), dtype=torch.int32, device=generator.device)
    return keys.mul_(1 << _LOW).add_(places.view(shape[1:]))


def _key_at(keys: Tensor, count: Tensor) -> Tensor:
    """Find the key that `count` (B,) keys of each row are less than: (B, 1)."""
    if keys.device.type == "cpu":
        # NumPy's sort is vectorised and takes a twentieth of torch's time on short rows.
        ordered = torch.from_numpy(np.sort(keys.numpy(), axis=1))
    else:
        ordered = keys.sort(dim=1).values
    return ordered.gather(1, count[:, None])
