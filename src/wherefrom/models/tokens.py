"""The grid of tokens that a pixel time series is to Presto: what is visible, hidden or absent."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wherefrom.errors import WherefromError

__all__ = [
    "ABSENT", "BANDS", "CLASSES", "EO", "GROUPS", "HIDDEN", "SRTM", "STEPS", "VISIBLE", "WORLD",
    "Inputs", "Slots", "bands_of", "check_inputs", "kinds", "slots",
]  # fmt: skip

#: Band groups in the order of the channel embedding, with their columns of x; Dynamic World,
#: a class and not a band, is the tenth.
GROUPS: dict[str, tuple[int, ...]] = {
    "S1": (0, 1),
    "S2_RGB": (2, 3, 4),
    "S2_Red_Edge": (5, 6, 7),
    "S2_NIR_10m": (8,),
    "S2_NIR_20m": (9,),
    "S2_SWIR": (10, 11),
    "ERA5": (12, 13),
    "SRTM": (14, 15),
    "NDVI": (16,),
    "dynamic_world": (),
}
EO = tuple(name for name, bands in GROUPS.items() if bands)
SRTM, WORLD = list(GROUPS).index("SRTM"), list(GROUPS).index("dynamic_world")
BANDS, CLASSES = 17, 9
STEPS = 24

#: What a cell of the grid of tokens is: given to the encoder, to be reconstructed, or not there.
VISIBLE, HIDDEN, ABSENT = 0, 1, 2


def bands_of(group: Tensor) -> Tensor:
    """Tell which of the 17 bands belong to groups: (..., 17) bool."""
    table = torch.zeros(len(GROUPS), BANDS, dtype=torch.bool)
    for row, columns in enumerate(GROUPS.values()):
        table[row, list(columns)] = True
    return table.to(group.device)[group]


class Inputs(NamedTuple):
    """A batch as the model reads it: NaN-free, whatever is hidden set to nothing.

    Attributes
    ----------
    x : (B, T, 17) float32
    classes : (B, T) int64
        Dynamic World; 9 for none.
    lonlat : (B, 2) float64 or float32, degrees
    months : (B, T) int64
    """

    x: Tensor
    classes: Tensor
    lonlat: Tensor
    months: Tensor

    def part(self, rows: slice) -> Inputs:
        """Return some of the samples."""
        return Inputs(*(values[rows] for values in self))


class Slots(NamedTuple):
    """Some tokens of each sample, as many for all: their group, step, and whether they are there.

    Attributes
    ----------
    group, step : (B, K) int64
    there : (B, K) bool, or None if all are
    """

    group: Tensor
    step: Tensor
    there: Tensor | None

    def part(self, rows: slice) -> Slots:
        """Return some of the samples."""
        there = None if self.there is None else self.there[rows]
        return Slots(self.group[rows], self.step[rows], there)


def slots(kind: Tensor) -> tuple[Slots, Slots]:
    """Sort the tokens of each sample, `kind` (B, T, 10) uint8, into visible and hidden ones.

    There are as many a sample as the richest one has; places left over are marked as not there.
    """
    flat = kind.flatten(1)
    order = flat.argsort(dim=1, stable=True)
    count = torch.stack([(flat == VISIBLE).sum(1), (flat <= HIDDEN).sum(1)])
    (least, _), (most, last) = (v.tolist() for v in (count.amin(1), count.amax(1)))
    even = least == most and count[1].eq(last).all().item()
    found = []
    for low, high, begin, end in ((0, most, 0 * count[0], count[0]), (least, last, *count)):
        cells = order[:, low:high]
        there = None
        if not even:
            turn = torch.arange(low, high, device=kind.device)
            there = (turn >= begin[:, None]) & (turn < end[:, None])
        found.append(Slots(cells % len(GROUPS), cells // len(GROUPS), there))
    return found[0], found[1]


def kinds(hidden: Tensor, dynamic_world: Tensor) -> Tensor:
    """Tell the visible from the hidden tokens: (B, T, 10) uint8.

    A group is hidden where any of its bands is, of `hidden` (B, T, 17); Dynamic World, (B, T),
    where it is 9.
    """
    groups = [hidden[..., list(bands)].any(-1) for bands in GROUPS.values() if bands]
    kind = torch.stack([*groups, dynamic_world == CLASSES], dim=-1).to(torch.uint8)
    kind[:, 1:, SRTM] = ABSENT
    return kind


def check_inputs(
    x: Tensor,
    dynamic_world: Tensor,
    lonlat: Tensor,
    start_month: int | Tensor,
    mask: Tensor | None,
    most: int = STEPS,
) -> Tensor:
    """Check what a user hands to the model, and return the month of every step: (B, T) int64."""
    if x.ndim != 3 or x.shape[2] != BANDS or not 1 <= x.shape[1] <= most:
        raise WherefromError(
            f"x has shape {tuple(x.shape)}, not (samples, 1 to {STEPS} steps, {BANDS} bands): "
            "bring raw series to the model's bands with wherefrom.models.presto.normalise"
        )
    samples, steps = x.shape[:2]
    months = torch.as_tensor(start_month, device=x.device)
    for name, values, due in (
        ("dynamic_world", dynamic_world, (samples, steps)),
        ("lonlat", lonlat, (samples, 2)),
        ("mask", mask, (samples, steps, BANDS)),
        ("start_month", months, [(), (samples,), (samples, steps)][min(months.ndim, 2)]),
    ):
        if values is not None and values.shape != due:
            raise WherefromError(f"{name} has shape {tuple(values.shape)}, not {due}, as of x")
    for name, values, low, high in (
        ("start_month", months, 0, 11),
        ("dynamic_world", dynamic_world, 0, CLASSES),
        ("longitude (lonlat[:, 0])", lonlat[:, 0], -180, 180),
        ("latitude (lonlat[:, 1])", lonlat[:, 1], -90, 90),
    ):
        fine = (values >= low) & (values <= high)
        if not bool(fine.all()):
            where = f" of row {int(torch.nonzero(~fine)[0, 0])}" if fine.ndim else ""
            hint = "; January is month 0" if name == "start_month" else ""
            raise WherefromError(f"{name}{where} must be {low} to {high}{hint}")
    months = months.long()
    if months.ndim == 2:
        return months
    ahead = torch.arange(steps, device=x.device)
    return ((months.reshape(-1, 1) + ahead) % 12).expand(samples, -1)
