"""What the spectral entropies of a set of samples amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.drawing import (
    LABELS,
    OURS,
    WORLD,
    Drawing,
    fill_cells,
    label_rows,
    rows_size,
)
from wherefrom.auditing.findings import percent, title
from wherefrom.auditing.spectral import BinSpec, Floats, Ints
from wherefrom.auditing.statistic import Section, Statistic, plain
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.errors import WherefromError

if TYPE_CHECKING:
    from wherefrom.auditing.payload import SampleEntropy

__all__ = ["CellEntropy", "Entropy", "LabelEntropy", "entropy_of"]


#: Samples named at either end.
_ENDS = 5


@dataclass(frozen=True)
class LabelEntropy:
    """Entropy of the samples with one label of a layer, nats.

    `se` is the standard error of the mean; None of a single sample.
    """

    label: str
    samples: int
    mean: float
    se: float | None


@dataclass(frozen=True)
class CellEntropy:
    """Mean entropy, nats, of the samples in one equal-area cell of the map; edges in degrees."""

    west: float
    south: float
    east: float
    north: float
    samples: int
    mean: float


@dataclass(frozen=True)
class Entropy(Statistic):
    """Spectral entropy of a set of samples.

    Attributes
    ----------
    samples, without : int
        Samples, and those among them that have no entropy.
    mean, se, sd : float
        Of the samples that have one, in nats; `se` is that of independent samples. NaN, as the
        quantiles, where none has.
    quantiles : tuple of 5 floats
        Least, lower quartile, median, upper quartile, greatest.
    most : float
        The greatest that the bins allow, ``ln(count)``.
    dropped : float
        Share of the values beyond the bins, which are not counted.
    layers : dict of str to tuple of LabelEntropy
        By label, highest mean first; labels without samples are left out.
    explained : dict of str to float or None
        Share of the variance between samples that the layer's labels explain, adjusted for their
        number (epsilon squared, Kelley 1935, doi:10.1073/pnas.21.9.554): what a selection by
        entropy selects by place. None where there are too few samples or no variance.
    cells : tuple of CellEntropy
        The map: those that hold samples.
    lowest, highest : tuple of (id, lon, lat, entropy)
        The samples at either end.
    remarks : tuple of str
        What is odd about the samples; ``notes`` in JSON.
    """

    name = "entropy"
    section = Section("spectral", "Spectral entropy", "Spectral entropy")

    samples: int
    without: int
    mean: float
    se: float
    sd: float
    quantiles: tuple[float, ...]
    most: float
    bins: BinSpec
    bands: tuple[str, ...]
    dropped: float
    layers: dict[str, tuple[LabelEntropy, ...]]
    explained: dict[str, float | None]
    cells: tuple[CellEntropy, ...]
    lowest: tuple[tuple[int | str, float, float, float], ...]
    highest: tuple[tuple[int | str, float, float, float], ...]
    source: str
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Entropy | None:
        """Sum up the samples, if there are some."""
        return None if asked.entropy is None else entropy_of(asked.entropy, asked.earth_layers)

    def entries(self) -> dict[str, Any]:
        """Return the numbers; None where there is none."""
        numbers = plain(self)
        for name in ("mean", "se", "sd"):
            numbers[name] = _or_none(numbers[name])
        numbers["quantiles"] = [_or_none(value) for value in numbers["quantiles"]]
        return {self.name: numbers | {"notes": numbers.pop("remarks")}}

    def lines(self) -> list[str]:
        """Return the mean, and those by label of the first layer."""
        return [
            f"spectral entropy of {self.samples:,} samples: mean {self.mean:.3f} nats "
            f"(sd {self.sd:.3f}, at most {self.most:.2f})",
            *(
                f"  {title(layer)}: " + ", ".join(f"{row.label} {row.mean:.2f}" for row in rows)
                for layer, rows in list(self.layers.items())[:1]
            ),
        ]

    def drawings(self) -> list[Drawing]:
        """Return a map of the mean by cell, and the means by label of the first layer."""
        drawings = []
        if self.cells:
            caption = (
                f"Mean spectral entropy of the samples in each equal-area cell, {self.samples:,} "
                f"samples in all; at most {self.most:.2f} nats."
            )
            drawings.append(Drawing("entropy", "Spectral entropy", caption, self._draw_map, WORLD))
        layer, rows = next(iter(self.layers.items()), ("", ()))
        rows = rows[:LABELS]
        if rows:
            explained = self.explained.get(layer)
            caption = f"Mean spectral entropy by {title(layer)}, 95 % interval of the mean."
            if explained is not None:
                caption += f" The labels explain {percent(explained)} of the variance."
            name, draw = f"Spectral entropy by {title(layer)}", partial(_draw_labels, rows=rows)
            size = rows_size(len(rows))
            drawings.append(Drawing("entropy-by-label", name, caption, draw, size))
        return drawings

    def _draw_map(self, ax: Axes) -> None:
        edges = np.array([(c.west, c.south, c.east, c.north) for c in self.cells]).T
        values = np.array([cell.mean for cell in self.cells])
        low, high = float(values.min()), float(values.max())
        norm = Normalize(low, high if high > low else low + 1e-9)
        fill_cells(ax, list(edges), values, "viridis", norm, "nats")


def _draw_labels(ax: Axes, rows: Sequence[LabelEntropy]) -> None:
    for y, row in enumerate(rows):
        if row.se is not None:
            ax.plot([row.mean - 1.96 * row.se, row.mean + 1.96 * row.se], [y, y], color=OURS, lw=2)
        ax.plot([row.mean], [y], "o", color=OURS, mfc=OURS if row.se else "white", ms=6)
    label_rows(ax, [f"{row.label} ({row.samples:,})" for row in rows])
    ax.set_xlabel("nats", size=9)


def entropy_of(
    samples: SampleEntropy, layers: Sequence[str] = ("continent",), n_bands: int = 18
) -> Entropy:
    """Average the samples by layers of labels, and by cells of `n_bands` bands from pole to pole.

    Raises
    ------
    WherefromError
        If there is no such layer, or its data cannot be had.
    """
    there = np.flatnonzero(~np.isnan(samples.values))
    values = samples.values[there]
    by: dict[str, tuple[LabelEntropy, ...]] = {}
    explained: dict[str, float | None] = {}
    for name in layers:
        layer = earth.layer(name)
        if not isinstance(layer, earth.Layer):
            raise WherefromError(f"layer {name!r} holds values, not labels: name another")
        codes = layer.codes(samples.lon[there], samples.lat[there])
        by[name], explained[name] = _by_label(values, codes, layer.labels)
    order = there[np.lexsort((there, values))]
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    known = values if len(values) else np.array([np.nan])
    return Entropy(
        samples=len(samples),
        without=len(samples) - len(there),
        mean=float(known.mean()),
        se=sd / sqrt(len(known)),
        sd=sd,
        quantiles=tuple(np.quantile(known, (0, 0.25, 0.5, 0.75, 1)).tolist()),
        most=samples.bins.most,
        bins=samples.bins,
        bands=samples.bands,
        dropped=float(np.nanmean(samples.dropped)) if np.isfinite(samples.dropped).any() else 0.0,
        layers=by,
        explained=explained,
        cells=_cells(samples.lon[there], samples.lat[there], values, n_bands),
        lowest=_named(samples, order[:_ENDS]),
        highest=_named(samples, order[::-1][:_ENDS]),
        source=samples.source,
        remarks=samples.notes,
    )


def _named(samples: SampleEntropy, rows: Ints) -> tuple[tuple[int | str, float, float, float], ...]:
    columns = (samples.ids, samples.lon, samples.lat, samples.values)
    return tuple(zip(*(column[rows].tolist() for column in columns), strict=True))


def _by_label(
    values: Floats, codes: NDArray[np.int32], labels: tuple[str, ...]
) -> tuple[tuple[LabelEntropy, ...], float | None]:
    """Average by label, and say how much of the variance the labels explain."""
    inside = codes >= 0
    values, codes = values[inside], codes[inside]
    counts = np.bincount(codes, minlength=len(labels))
    rows, within = [], 0.0
    for code in np.flatnonzero(counts):
        own = values[codes == code]
        squares = float(((own - own.mean()) ** 2).sum())
        within += squares
        se = sqrt(squares / (len(own) - 1) / len(own)) if len(own) > 1 else None
        rows.append(LabelEntropy(labels[code], len(own), float(own.mean()), se))
    rows.sort(key=lambda row: (-row.mean, row.label))
    total = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    free = len(values) - len(rows)
    if len(rows) < 2 or free < 1 or total <= 0:
        return tuple(rows), None
    return tuple(rows), 1.0 - (within / free) / (total / (len(values) - 1))


def _cells(lon: Floats, lat: Floats, values: Floats, n_bands: int) -> tuple[CellEntropy, ...]:
    grid = EqualAreaCells(n_bands)
    held, at, counts = np.unique(grid.cell(lon, lat), return_inverse=True, return_counts=True)
    columns = (*grid.bounds(held), counts, np.bincount(at, values) / counts)
    cells = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(CellEntropy(*cell) for cell in cells)


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
