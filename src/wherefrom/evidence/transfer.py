"""Who helps whom: scores in each test region after pre-training on each single region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from wherefrom.evidence.headline import Headline
from wherefrom.evidence.intervals import Floats, Parts, Side, difference, limits, two_sided_p
from wherefrom.evidence.records import OfView
from wherefrom.evidence.scores import ALL_REGIONS
from wherefrom.evidence.verdict import ALPHA, BETTER, UNDECIDED, WORSE, holm

__all__ = ["HomeRow", "Transfer", "TransferRow", "transfer"]

#: Weight of each composition in each region, (C, R).
Weights: TypeAlias = Floats


@dataclass(frozen=True, kw_only=True)
class TransferRow(OfView):
    """A cell: pre-trained on places of one label, tested in one region.

    `difference` is its mean minus that of the other single-label compositions in the same region,
    within the blocks that all of them have.
    """

    composition: str
    layer: str
    pretrain: str
    region: str
    home: bool
    mean: float
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class HomeRow(OfView):
    """What pre-training in the test region itself gains; over all of them `region` says so.

    In one region `gain` is the mean of the composition of that region minus that of the others
    there. Over all regions it is the mean of the diagonal minus that of the rest: each composition
    and each region counts in both as often, so that good compositions and easy regions cancel. A
    gain above 0 is for the better whatever the metric.
    """

    region: str
    compositions: int
    blocks: int
    gain: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Transfer:
    """The cells of a matrix, row by row, and its diagonal against the rest; the whole comes last.

    `home` is empty where no region is that of a composition.
    """

    rows: tuple[str, ...]
    regions: tuple[str, ...]
    cells: tuple[TransferRow, ...]
    home: tuple[HomeRow, ...] = ()

    @property
    def overall(self) -> HomeRow | None:
        """The diagonal against the rest of the square of regions that have a composition."""
        return self.home[-1] if self.home and self.home[-1].region == ALL_REGIONS else None

    def cell(self, composition: str, region: str) -> TransferRow | None:
        """Return a cell, or None where there are no scores."""
        at = (composition, region)
        return next((one for one in self.cells if (one.composition, one.region) == at), None)


def transfer(
    headline: Headline, origins: Mapping[str, tuple[str, str]], regions_by: str | None = None
) -> Transfer | None:
    """Set the scores of compositions of one label each against the test regions.

    Compositions are compared within the blocks that all of them have; intervals are over blocks
    and episodes.

    Parameters
    ----------
    headline : Headline
    origins : mapping of str to (layer, label)
        Of the compositions that are declared to be of one label of a layer. Of several with one
        label the first counts on the diagonal.
    regions_by : str, optional
        Layer whose labels the regions are: a composition is at home in the region of its label,
        if it was drawn by the same layer.

    Returns
    -------
    Transfer or None
        None without two such compositions with scores.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.evidence import COLUMNS, gather
    >>> rows = [("m", c, b, "t", r, 100, "knn", s, "f1_macro", 0.5 + 0.1 * (c == r) + b / 50)
    ...         for c in ("Asia", "Africa") for r in ("Asia", "Africa") for b in range(3)
    ...         for s in range(2)]
    >>> evidence = gather(pa.table(dict(zip(COLUMNS, map(list, zip(*rows))))), ["Asia"])
    >>> found = transfer(*evidence.headlines.values(),
    ...     {"Asia": ("continent", "Asia"), "Africa": ("continent", "Africa")}, "continent")
    >>> round(found.overall.gain, 3), found.cell("Asia", "Asia").home
    (0.1, True)
    """
    cells = headline.evidence.scores.cells
    names = [n for n in headline.compositions if n in origins and headline.view.key(n) in cells]
    regions = headline.parts
    if len(names) < 2:
        return None
    tables = _Tables(headline, tuple(names), tuple(regions))
    asked: list[tuple[TransferRow, Weights]] = []
    for at, name in enumerate(names):
        layer, label = origins[name]
        for where, region in enumerate(regions):
            mean = headline.mean(headline.view.key(name), region)
            if mean is None:
                continue
            row = TransferRow(
                **headline.view._asdict(),
                composition=name,
                layer=layer,
                pretrain=label,
                region=region,
                home=layer == regions_by and label == region,
                mean=mean.mean,
                low=mean.low,
                high=mean.high,
            )
            asked.append((row, _against(tables, at, where)))
    parts = [tables.contrast(weights)[0] for _, weights in asked]
    ends = limits(parts, [part.estimate for part in parts])
    made = [
        replace(
            row,
            difference=part.estimate if np.isfinite(part.estimate) else None,
            difference_low=low,
            difference_high=high,
        )
        for (row, _), part, (low, high) in zip(asked, parts, ends, strict=True)
    ]
    return Transfer(tuple(names), tuple(regions), tuple(made), _home(tables, made))


@dataclass(frozen=True, eq=False)
class _Tables:
    """Scores of compositions in regions, block by block."""

    headline: Headline
    names: tuple[str, ...]
    regions: tuple[str, ...]

    @cached_property
    def values(self) -> Floats:
        """Scores (C, R, B, F) on all blocks and fine-tune seeds; NaN where there is none."""
        scores, view = self.headline.evidence.scores, self.headline.view
        cells = [scores.cells[view.key(name)] for name in self.names]
        blocks = np.unique(np.concatenate([one.blocks for one in cells]))
        seeds = np.unique(np.concatenate([one.seeds for one in cells]))
        shape = (len(cells), len(self.regions), len(blocks), len(seeds))
        table = np.full(shape, np.nan)
        for c, (name, one) in enumerate(zip(self.names, cells, strict=True)):
            at = np.ix_(np.searchsorted(blocks, one.blocks), np.searchsorted(seeds, one.seeds))
            for r, region in enumerate(self.regions):
                table[c, r][at] = scores.values(view.key(name), region)
        return table

    def contrast(self, weights: Weights) -> tuple[Parts, int]:
        """Estimate a weighted sum within the blocks and seeds that all of it has; count the blocks.

        The estimate is NaN where there are none.
        """
        used = weights != 0
        some = self.values[used]
        blocks = np.isfinite(some).any(axis=2).all(axis=0)
        seeds = np.isfinite(some[:, blocks]).all(axis=(0, 1))
        if not blocks.any() or not seeds.any():
            return Parts(np.nan, why="no block in common"), 0
        held = some[:, blocks][:, :, seeds]
        return difference(Side(np.tensordot(weights[used], held, axes=1))), int(blocks.sum())


def _against(tables: _Tables, own: int, region: int) -> Weights:
    """Weigh one composition against the others in a region."""
    weights = np.zeros((len(tables.names), len(tables.regions)))
    there = np.asarray(np.isfinite(tables.values[:, region]).any(axis=(1, 2)))
    there[own] = False
    if there.any():
        weights[there, region] = -1 / there.sum()
        weights[own, region] = 1
    return weights


def _home(tables: _Tables, cells: Sequence[TransferRow]) -> tuple[HomeRow, ...]:
    """Compare the diagonal with the rest, in each region that has a composition, then on the whole.

    All that is compared is one family of tests (Holm, 1979).
    """
    first: dict[str, str] = {}
    for cell in cells:
        if cell.home:
            first.setdefault(cell.region, cell.composition)
    if len(first) < 2:
        return ()
    rows = [tables.names.index(name) for name in first.values()]
    columns = [tables.regions.index(region) for region in first]
    square = np.zeros((len(tables.names), len(tables.regions)))
    square[np.ix_(rows, columns)] = -1 / (len(rows) * (len(rows) - 1))
    square[rows, columns] = 1 / len(rows)
    asked = {}
    for row, column, region in zip(rows, columns, first, strict=True):
        weights = np.zeros_like(square)
        weights[rows, column] = -1 / (len(rows) - 1)
        weights[row, column] = 1
        asked[region] = weights
    asked[ALL_REGIONS] = square
    sign = tables.headline.view.sign
    found = [tables.contrast(sign * weights) for weights in asked.values()]
    parts = [part for part, _ in found]
    estimates = np.array([part.estimate for part in parts])
    ends = limits(parts, estimates.tolist())
    adjusted = holm(two_sided_p(parts, np.nan_to_num(np.abs(estimates))))
    return tuple(
        HomeRow(
            **tables.headline.view._asdict(),
            region=region,
            compositions=len(rows),
            blocks=blocks,
            gain=part.estimate,
            low=low,
            high=high,
            p=float(p) if np.isfinite(p) else None,
            verdict=UNDECIDED if not p <= ALPHA else BETTER if part.estimate > 0 else WORSE,
            note=part.why,
        )
        for region, (part, blocks), (low, high), p in zip(asked, found, ends, adjusted, strict=True)
        if np.isfinite(part.estimate)
    )
