"""Presto's pre-training: hide tokens, reconstruct them (arXiv 2304.14065, section 3.2)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wherefrom.errors import WherefromError
from wherefrom.models import share
from wherefrom.models.base import Batch, GeoModel, Records
from wherefrom.models.masking import Masking
from wherefrom.models.presto import Presto, normalise
from wherefrom.models.tokens import (
    ABSENT,
    BANDS,
    CLASSES,
    GROUPS,
    HIDDEN,
    STEPS,
    WORLD,
    Inputs,
    Slots,
    bands_of,
    check_inputs,
    kinds,
    slots,
)
from wherefrom.models.transformer import WIDTH
from wherefrom.pool.series import BANDS as SERIES_BANDS
from wherefrom.pool.series import NO_CLASS, PixelSeries
from wherefrom.shown import count_of

__all__ = ["PrestoConfig", "groups_of", "masked_loss", "records_of", "tell_unread"]

#: Tokens a core at a time: what they leave for the backward pass then stays in its cache.
_PART = 3520
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_RECORDS = ("x", "hidden", "dynamic_world", "lon", "lat", "month")


def records_of(series: PixelSeries) -> dict[str, np.ndarray]:
    """Bring series to the form in which Presto reads them.

    Presto reads bands in groups, and a group in a step only where all its bands are there: VV and
    VH; B2, B3 and B4; B5, B6 and B7; B8; B8A; B11 and B12; temperature and precipitation; elevation
    and slope (of the first step alone); NDVI, which is made of B4 and B8. B9 it never reads.
    Python's `warnings` name what is given but not read.

    Returns
    -------
    dict of arrays
        ``x`` (N, T, 17) float32, normalised, 0 where absent; ``hidden`` (N, T, 17) bool, where
        absent; ``dynamic_world`` (N, T) uint8; ``lon``, ``lat`` (N,) float64; ``month`` (N, T)
        int8.

    Raises
    ------
    WherefromError
        If there is a series of which nothing is read.

    Examples
    --------
    >>> bands = {"temperature_2m": np.full((2, 12), 290.0), "elevation": [12.0, 430.0]}
    >>> place = {"lon": [10.0, 20.0], "lat": [0.0, 5.0], "month": 0}
    >>> records_of(PixelSeries.from_bands(bands, **place))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    wherefrom.errors.WherefromError: of row 0 nothing is read (2 such rows); not read by Presto, ...
    >>> more = bands | {"total_precipitation": np.full((2, 12), 0.002), "slope": [0.5, 7.0]}
    >>> records = records_of(PixelSeries.from_bands(more, **place))
    >>> groups_of(records), round(float(records["x"][0, 0, 12]), 2)
    (('ERA5', 'SRTM'), 0.51)
    """
    x = normalise(series.raw)
    hidden = np.isnan(x)
    tell_unread(series, ~hidden)
    return {
        "x": np.where(hidden, np.float32(0), x),
        "hidden": hidden,
        "dynamic_world": series.dynamic_world,
        "lon": series.lon,
        "lat": series.lat,
        "month": series.month,
    }


def tell_unread(series: PixelSeries, there: NDArray[np.bool_], model: str = "Presto") -> None:
    """Warn of bands of which values, `there` (N, T, 17), are not read; refuse rows without any."""
    names = [name for name in SERIES_BANDS if name != "B9"]
    read = (series.dynamic_world != NO_CLASS).any(axis=1)
    unread = ["B9 (never)"] if "B9" in series.present else []
    for group, columns in GROUPS.items():
        given = there[..., list(columns)]
        whole = np.asarray(given.all(axis=-1))
        if group == "SRTM":  # one token a series
            given, whole = np.asarray(given.any(axis=1, keepdims=True)), whole[:, :1]
        read |= whole.any(axis=1) & bool(columns)
        if len(columns) < 2 or not (lost := given & ~whole[..., None]).any():
            continue
        for at, column in enumerate(columns):
            if lost[..., at].any():
                lacking = np.flatnonzero(~given[lost[..., at]].all(axis=0))
                others = ", ".join(names[columns[one]] for one in lacking)
                some = " in some steps" if (given[..., at] & whole).any() else ""
                unread.append(f"{names[column]} (without {others or 'the first step'}{some})")
    said = (
        f"not read by {model}, which takes a group of bands only where all are there: "
        f"{', '.join(unread)}"
    )
    nothing = np.flatnonzero(~read)
    if nothing.size:
        raise WherefromError(
            f"of row {nothing[0]} nothing is read ({count_of(nothing.size, 'such row')}); {said}"
        )
    if unread:
        warnings.warn(f"given but {said}", stacklevel=3)


def groups_of(records: Records) -> tuple[str, ...]:
    """Name the channel groups that have a value anywhere in the records."""
    seen = [not records["hidden"][..., list(b)].any(-1).all() for b in GROUPS.values() if b]
    seen.append(bool((records["dynamic_world"] != NO_CLASS).any()))
    return tuple(name for name, there in zip(GROUPS, seen, strict=True) if there)


@dataclass(frozen=True)
class PrestoConfig(GeoModel[Presto]):
    """Presto for the training loops (see `wherefrom.models.base.GeoModel`).

    Records are those of `records_of`.

    Parameters
    ----------
    groups : tuple of str
        Channel groups that the data set has. A group that is absent everywhere is no token at
        all; the number of hidden tokens is that share of the present ones.
    steps : int
        Steps of a sample of pre-training.
    mask_ratio : float
        Share of the tokens to hide.
    months : {"given", "cyclic", "sliding"}
        Of a record's steps, the first; `steps` of them from a random one on, round the year's end
        (for a climatology); or a random run of `steps` of more (24 months in the official shards).
    precision : {"float32", "bfloat16"}
        Of matrix products and what lies between them; weights, sums over tokens, norms and the
        loss stay in float32.

    Examples
    --------
    >>> model = PrestoConfig(groups=("ERA5", "SRTM", "dynamic_world"))
    >>> model.masking.tokens, model.masking.hidden
    (25, 18)
    """

    shares: ClassVar[bool] = True

    groups: tuple[str, ...] = tuple(GROUPS)
    steps: int = 12
    mask_ratio: float = 0.75
    months: Literal["given", "cyclic", "sliding"] = "given"
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        _ = self.masking  # refuses what cannot be masked

    @property
    def name(self) -> str:
        """Short name for tables."""
        return "presto"

    @property
    def masking(self) -> Masking:
        """What draws the masks."""
        return Masking(self.groups, self.steps, self.mask_ratio)

    def spec(self) -> dict[str, Any]:
        """Give the configuration as plain values."""
        return {"model": self.name, **asdict(self)}

    def build(self, generator: torch.Generator) -> Presto:
        """Make the module."""
        return Presto(generator)

    def calibrate(self, module: Presto, records: Records) -> None:
        """Do nothing: Presto's scales are fixed."""

    def prepare(self, records: Records, device: torch.device) -> Batch:
        """Move the records to the device; hide what is not of `groups`.

        An array that is absent or of another shape, a value that is neither hidden nor finite, or a
        month, class or coordinate out of range raises a `WherefromError`.
        """
        missing = [name for name in _RECORDS if name not in records]
        if missing:
            raise WherefromError(
                f"the records lack {', '.join(missing)}: make them with "
                "wherefrom.models.masked.records_of"
            )
        x, hidden, world, lon, lat, month = (
            torch.from_numpy(np.array(records[name])) for name in _RECORDS
        )
        if lon.ndim != 1 or lon.shape != lat.shape:
            raise WherefromError(
                f"lon and lat have shapes {tuple(lon.shape)} and {tuple(lat.shape)}, not (N,) both"
            )
        lonlat = torch.stack([lon, lat], dim=1)
        check_inputs(x, world, lonlat, month, hidden, most=x.shape[1] if x.ndim > 1 else 0)
        x, hidden = x.float(), hidden.bool()
        for name, columns in GROUPS.items():
            if name not in self.groups:
                hidden[..., list(columns)] = True
        if "dynamic_world" not in self.groups:
            world.fill_(CLASSES)
        bad = torch.nonzero(~(torch.isfinite(x) | hidden))
        if len(bad):
            row, step, column = bad[0].tolist()
            raise WherefromError(
                f"x of row {row}, step {step}, column {column} is not finite and not hidden "
                f"({len(bad)} such values): hide it, as wherefrom.models.masked.records_of does"
            )
        x.masked_fill_(hidden, 0)
        prepared = {"x": x, "hidden": hidden, "dynamic_world": world, "month": month}
        return {name: v.to(device) for name, v in (prepared | {"lonlat": lonlat}).items()}

    def loss(self, module: Presto, batch: Batch, generator: torch.Generator) -> Tensor:
        """Evaluate the loss of a batch, its steps and masks from `generator`."""
        return torch.stack(list(self._losses(module, batch, generator))).sum()

    def backward(self, module: Presto, batch: Batch, generator: torch.Generator) -> Tensor:
        """Add the gradients of `loss` to the parameters', part by part, and return the loss."""
        total = torch.zeros((), device=generator.device)
        for loss in self._losses(module, batch, generator):
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _losses(self, module: Presto, batch: Batch, generator: torch.Generator) -> Iterator[Tensor]:
        batch = self._window(batch, generator)
        samples = len(batch["x"])
        there = kinds(batch["hidden"], batch["dynamic_world"])
        kind = share.drawn(samples, lambda rows: self.masking.draw(rows, generator))
        kind = torch.where(there == HIDDEN, ABSENT, kind)
        return masked_loss(module, _inputs(batch), kind, _DTYPES[self.precision])

    def _window(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Take the steps of each sample."""
        samples, steps = batch["x"].shape[:2]
        if (self.months == "given" and steps != self.steps) or steps < self.steps:
            raise WherefromError(
                f"the series have {steps} steps, the model reads {self.steps} (months = "
                f"{self.months!r}): give it steps={steps}, or other months"
            )
        if self.months == "given":
            return batch
        starts = steps if self.months == "cyclic" else steps - self.steps + 1
        device = generator.device
        first = share.drawn(
            samples,
            lambda rows: torch.randint(starts, (rows, 1), generator=generator, device=device),
        )
        step = (first + torch.arange(self.steps, device=device)) % steps
        row = torch.arange(samples, device=device)[:, None]
        taken = {name: batch[name][row, step] for name in batch if name != "lonlat"}
        return taken | {"lonlat": batch["lonlat"]}

    def encode(self, module: Presto, batch: Batch) -> Tensor:
        """Embed a batch by all that is there, in up to 24 steps."""
        if batch["x"].shape[1] > STEPS:
            raise WherefromError(
                f"the series have {batch['x'].shape[1]} steps, Presto embeds 1 to {STEPS}, "
                "each of a month: composite them to months"
            )
        if not len(batch["x"]):
            return batch["x"].new_empty(0, WIDTH)
        kind = kinds(batch["hidden"], batch["dynamic_world"])
        return module.embed_inputs(_inputs(batch), slots(kind)[0], _DTYPES[self.precision])

    def decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Decay matrices and tables, as the official code: no bias, no norm, no mask token."""
        return parameter.ndim >= 2


def _inputs(batch: Batch) -> Inputs:
    return Inputs(batch["x"], batch["dynamic_world"].long(), batch["lonlat"], batch["month"].long())


class _Targets(NamedTuple):
    """What the hidden tokens hold: (B, H, 17) values and whether they count, (B, H) classes."""

    values: Tensor
    counts: Tensor
    classes: Tensor

    @classmethod
    def of(cls, inputs: Inputs, hidden: Slots) -> _Targets:
        rows = torch.arange(len(hidden.group), device=hidden.group.device)[:, None]
        counts = bands_of(hidden.group)
        world = hidden.group == WORLD
        if hidden.there is not None:
            counts = counts & hidden.there[..., None]
            world = world & hidden.there
        classes = torch.where(world, inputs.classes[rows, hidden.step], _IGNORED)
        return cls(inputs.x[rows, hidden.step], counts, classes)


_IGNORED = -100


def masked_loss(
    module: Presto, inputs: Inputs, kind: Tensor, dtype: torch.dtype = torch.float32
) -> Iterator[Tensor]:
    """Yield the parts of a batch's loss, scalars with a gradient; their sum is the loss.

    Mean squared error over all hidden values of the batch, plus the mean cross-entropy over all
    hidden Dynamic World classes, the latter weighted by min(1, 2 x classes / values). `kind`, (B,
    T, 10) uint8, is what each token is, `dtype` that of matrix products. On a CPU each part is of
    some samples: call ``backward`` before the next is taken, and only one part's intermediate
    values are ever in memory.
    """
    visible, hidden = slots(kind)
    targets = _Targets.of(inputs, hidden)
    counts = torch.stack([targets.counts.sum(), (targets.classes != _IGNORED).sum()])
    values, classes = share.total(counts)  # masks hide more in one process than in another
    weight = (2 * classes / values.clamp(min=1)).clamp(max=1) / classes.clamp(min=1)
    size = samples = len(kind)
    if kind.device.type == "cpu":
        tokens = 1 + visible.group.shape[1] + hidden.group.shape[1]
        size = max(1, _PART // tokens) * torch.get_num_threads()
    for start in range(0, samples, size):
        rows = slice(start, start + size)
        found = module.predict(
            inputs.part(rows), visible.part(rows), hidden.part(rows), dtype, every=False
        ).float()
        off = torch.where(targets.counts[rows], found[..., :BANDS] - targets.values[rows], 0)
        squares = off.square().sum() / values.clamp(min=1)
        wrong = nn.functional.cross_entropy(
            found[..., BANDS:].flatten(0, 1),
            targets.classes[rows].flatten(),
            ignore_index=_IGNORED,
            reduction="sum",
        )
        yield (squares + weight * wrong) * share.of()
