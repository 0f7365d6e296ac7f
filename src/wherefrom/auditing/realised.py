"""What was planned and is not there: places that a download or a cloud filter lost, by label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.auditing.asked import Asked, has_column
from wherefrom.auditing.divergence import homogeneity, z_scores
from wherefrom.auditing.drawing import INK, LABELS, OURS, WHITE, Drawing, label_rows, rows_size
from wherefrom.auditing.findings import LEAST, RARE, Commands, Finding, percent, title
from wherefrom.auditing.matching import Keys, Match, matching
from wherefrom.auditing.statistic import Section, Statistic
from wherefrom.auditing.tally import Floats, Ints, Piece, Weights, pieces_of, weighted
from wherefrom.pool.batches import AnyPool, Ask, Part, over

__all__ = ["LabelLoss", "LayerLoss", "Realised", "compare"]


#: Places whose keys are held at once; longer lists are compared in several passes.
_HELD = 1 << 25
#: Labels that a finding names, and those that the terminal does.
NAMED, SHOWN = 3, 8


@dataclass(frozen=True)
class LabelLoss:
    """Places of one label that were lost.

    Attributes
    ----------
    planned, lost : float
        Places. Of several planned at one place that were realised in part, each is lost in part.
    share : float
        Lost of those planned.
    excess : float
        Places lost beyond the share that was lost of all; negative for fewer.
    z : float or None
        `excess` in standard deviations, were losses independent of the label (hypergeometric);
        None where nothing can vary.
    p : float or None
        Exact probability of a difference at least so large, either way, under the same.
    """

    layer: str
    label: str
    planned: float
    lost: float
    share: float
    excess: float
    z: float | None
    p: float | None


@dataclass(frozen=True)
class LayerLoss:
    """Losses by the labels of one layer that were planned, the largest excess first.

    `none_planned` and `none_lost` are places without a label. `p` is that of a chi-square test that
    losses do not depend on the label; None where it cannot be made.
    """

    layer: str
    rows: tuple[LabelLoss, ...]
    none_planned: float
    none_lost: float
    p: float | None


@dataclass(frozen=True)
class Realised(Statistic):
    """Planned places beside those that are there.

    Attributes
    ----------
    matched_by : str
        "id", or "coordinates" with their precision.
    lost : float
        Planned places that are not there.
    share : float
        Of the planned ones.
    unplanned : float
        Places that are there and were not planned.
    """

    name = "realised"
    section = Section("realised", "Losses", "Planned and realised")

    matched_by: str
    planned: int
    realised: int
    lost: float
    share: float
    unplanned: float
    layers: dict[str, LayerLoss]

    @property
    def largest(self) -> tuple[LabelLoss, ...]:
        """Labels of all layers that lost more than their part, the largest excess first."""
        rows = [row for layer in self.layers.values() for row in layer.rows if row.excess > 0.0]
        return tuple(sorted(rows, key=lambda row: -row.excess))

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Realised | None:
        """Look for the planned places, if there are some."""
        if asked.planned is None:
            return None
        # A column of the audited table alone says nothing of the places that did not come.
        ours = asked.earth_layers
        known = [name for name in asked.layers if name in ours or has_column(asked.planned, name)]
        return compare(asked.planned, asked.pool, known, weights=asked.weights)

    def findings(self, commands: Commands) -> list[Finding]:
        """Find what share was lost, and which labels lost more; one finding or none."""
        if self.share <= LEAST:
            return []
        text = (
            f"Losses: {self.lost:,.0f} of {self.planned:,} planned places are not there "
            f"({percent(self.share)})"
        )
        uneven = self._uneven()
        if uneven:
            text += "; more of " + ", ".join(
                f"{row.label} ({percent(row.share)}, {title(row.layer)})" for row in uneven
            )
        layer = uneven[0].layer if uneven else next(iter(self.layers), "continent")
        command = commands.match(commands.named.planned or "the plan", layer, "as-planned")
        return [Finding("losses", self.share, f"{text}.", command)]

    def lines(self) -> list[str]:
        """Return what was lost, and the labels that lost most beyond their part."""
        return [
            f"planned {self.planned:,}, there {self.realised:,}, lost {self.lost:,.0f} "
            f"({percent(self.share)}), matched by {self.matched_by}",
            *(
                f"  {title(row.layer)} {row.label}: lost {row.lost:,.0f} of {row.planned:,.0f} "
                f"({percent(row.share)})"
                for row in self.largest[:SHOWN]
            ),
        ]

    def notes(self) -> list[str]:
        """Return what was lost, and what was not planned."""
        return [
            f"{self.lost:,.0f} of {self.planned:,} planned places are not there; "
            f"{self.unplanned:,.0f} are there and were not planned. Matched by {self.matched_by}."
        ]

    def drawings(self) -> list[Drawing]:
        """Return the losses by the labels of each layer."""
        return [
            Drawing(
                f"losses-{name}",
                f"Losses by {title(name)}",
                f"Planned places that are not there, by {title(name)}. Dashed: "
                f"{percent(self.share)}, the share lost of all.",
                partial(_draw, layer=layer, share=self.share),
                rows_size(len(layer.rows[:LABELS])),
            )
            for name, layer in self.layers.items()
            if layer.rows
        ]

    def _uneven(self) -> list[LabelLoss]:
        """Return the labels that lost clearly more than their part, one for each layer."""
        tests = sum(len(layer.rows) for layer in self.layers.values())
        rows: dict[str, LabelLoss] = {}
        for row in self.largest:
            if row.p is not None and row.p * tests < RARE and row.share > self.share:
                rows.setdefault(row.layer, row)
        return list(rows.values())[:NAMED]


def _draw(ax: Axes, layer: LayerLoss, share: float) -> None:
    rows = sorted(layer.rows, key=lambda row: -abs(row.excess))[:LABELS]
    rows.sort(key=lambda row: -row.share)
    ax.barh(range(len(rows)), [100 * row.share for row in rows], 0.6, color=OURS)
    ax.axvline(100 * share, color=INK, lw=1.2, ls=(0, (3, 2)))
    for y, row in enumerate(rows):
        ax.annotate(
            f"{row.lost:,.0f} of {row.planned:,.0f}", (100 * row.share, y), xytext=(4, 0),
            textcoords="offset points", va="center", size=8, bbox=WHITE,
        )  # fmt: skip
    label_rows(ax, [row.label for row in rows])
    ax.set_xlim(0, max(100 * row.share for row in rows) * 1.3 + 0.1)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("% of the planned places lost", size=8)


def compare(
    planned: AnyPool,
    realised: AnyPool,
    layers: Sequence[str],
    *,
    weights: Weights | None = None,
) -> Realised:
    """Find the planned places that are not there, and which labels they have.

    Realised places are found again by id, or by coordinates as far as both lists have them (see
    `matching`); those of weight 0 are not there. Both lists stream by. Eight bytes are held for
    each realised place, up to 2**25 of them at a time.

    Raises
    ------
    WherefromError
        If no place is found again, a layer is not known or cannot be had, or a file cannot be read.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.pool import Pool
    >>> lon = np.arange(8.0)
    >>> planned = pa.table({"lon": lon, "lat": lon, "belt": list("aaaabbbb")})
    >>> came = pa.table({"lon": lon[:5], "lat": lon[:5]})
    >>> found = compare(Pool.from_table(planned), Pool.from_table(came), ["belt"])
    >>> found.lost, [(row.label, row.lost) for row in found.layers["belt"].rows]
    (3.0, [('b', 3.0), ('a', 0.0)])
    """
    match = matching(planned, realised, weights=weights)
    there = len(realised) if weights is None else int(np.count_nonzero(weights))
    labels = {layer: planned.labels(layer) for layer in layers}
    # Of each layer: places planned and lost, by code + 1, so that 0 is none.
    sizes = {layer: len(names) + 1 for layer, names in labels.items()}
    sums = [np.zeros((2, size)) for size in sizes.values()]
    lost = 0.0
    rounds = max(1, -(-there // _HELD))
    for turn in range(rounds):
        held = _held(realised, weights, match, (turn, rounds))
        if not match.unique:
            held = _shared_out(planned, held)
        work = partial(_losses, held=held, sizes=sizes)
        for more, counts in over(planned.parts(), work, "planned places"):
            lost += more
            sums = [one + other for one, other in zip(sums, counts, strict=True)]
    # Losses in part are fractions such as 2/3, whose sum is a whole number but for rounding.
    lost = round(lost, 6)
    kept = len(planned) - lost
    return Realised(
        match.name,
        len(planned),
        there,
        lost,
        lost / len(planned),
        round(there - kept, 6),
        {
            layer: _layer(layer, names, np.round(table, 6), len(planned), lost)
            for (layer, names), table in zip(labels.items(), sums, strict=True)
        },
    )


@dataclass(frozen=True, eq=False)
class _Held:
    """Distinct keys of realised places, ascending, and how much of a planned place each keeps."""

    match: Match
    turn: tuple[int, int]
    keys: Keys
    kept: Floats

    def of(self, keys: Keys) -> tuple[NDArray[np.bool_], Ints, NDArray[np.bool_]]:
        """Tell of planned keys which are of this turn, where they are held and whether they are."""
        turn, rounds = self.turn
        due = keys % np.uint64(rounds) == np.uint64(turn)
        if not len(self.keys):
            return due, np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.bool_)
        # Searched in ascending order, which stays in the processor's cache: twice as fast.
        order = np.argsort(keys)
        at = np.empty(len(keys), dtype=np.int64)
        at[order] = np.minimum(np.searchsorted(self.keys, keys[order]), len(self.keys) - 1)
        return due, at, due & (self.keys[at] == keys)


def _held(realised: AnyPool, weights: Weights | None, match: Match, turn: tuple[int, int]) -> _Held:
    """Gather the keys of realised places whose turn it is."""
    work = partial(_keys, match=match, turn=turn)
    pieces = pieces_of(realised, weights)
    every = np.concatenate(list(parallel.in_order(work, pieces)))
    keys, counts = np.unique(every, return_counts=True)
    return _Held(match, turn, keys, counts.astype(np.float64))


def _keys(piece: Piece, match: Match, turn: tuple[int, int]) -> Keys:
    found = []
    for batch, weight in weighted(piece, match.ask):
        keys = match.keys(batch)
        due = keys % np.uint64(turn[1]) == np.uint64(turn[0])
        if weight is not None:
            due &= weight > 0.0
        found.append(keys[due])
    return np.concatenate(found)


def _shared_out(planned: AnyPool, held: _Held) -> _Held:
    """Share the realised places at each spot out among those that were planned there."""
    wanted = np.zeros(len(held.keys))
    for at in parallel.in_order(partial(_spots, held=held), planned.parts()):
        np.add.at(wanted, at, 1.0)
    return replace(held, kept=np.minimum(held.kept / np.maximum(wanted, 1.0), 1.0))


def _spots(part: Part, held: _Held) -> Ints:
    spots = []
    for batch in part.batches(held.match.ask):
        _, at, hit = held.of(held.match.keys(batch))
        spots.append(at[hit])
    return np.concatenate(spots)


def _losses(part: Part, held: _Held, sizes: dict[str, int]) -> tuple[float, list[Floats]]:
    """Count planned and lost places of a part by label, (2, K + 1) for each layer."""
    lost, tables = 0.0, [np.zeros((2, size)) for size in sizes.values()]
    for batch in part.batches(held.match.ask | Ask(codes=tuple(sizes))):
        due, at, hit = held.of(held.match.keys(batch))
        missing = due.astype(np.float64)
        missing[hit] -= held.kept[at[hit]]
        lost += float(missing.sum())
        for (layer, size), table in zip(sizes.items(), tables, strict=True):
            codes = batch.codes[layer] + 1
            for row, weight in zip(table, (due, missing), strict=True):
                row += np.bincount(codes, weights=weight, minlength=size)
    return lost, tables


def _layer(layer: str, names: tuple[str, ...], table: Floats, n: int, lost: float) -> LayerLoss:
    """Say how much each label lost, and whether by chance."""
    from scipy.stats import hypergeom  # slow to import

    planned, missing = table[:, 1:]
    expected = planned * (lost / n)
    # Of n places, `lost` were lost: how many of a label's places were among them? (Fisher 1935)
    spread = np.sqrt(expected * (1.0 - lost / n) * (n - planned) / max(n - 1, 1))
    z = z_scores(missing - expected, spread)
    chance = hypergeom(n, round(lost), planned)
    taken = np.round(missing)
    p = np.minimum(1.0, 2.0 * np.minimum(chance.cdf(taken), chance.sf(taken - 1.0)))
    rows = [
        LabelLoss(
            layer,
            name,
            float(planned[i]),
            float(missing[i]),
            float(missing[i] / planned[i]),
            float(missing[i] - expected[i]),
            z[i],
            None if z[i] is None else float(p[i]),
        )
        for i, name in enumerate(names)
        if planned[i]
    ]
    rows.sort(key=lambda row: (-row.excess, row.label))
    kept = planned - missing
    gone, there = missing.sum(), kept.sum()
    test = homogeneity(missing / gone, gone, kept / there, there) if gone and there else None
    return LayerLoss(layer, tuple(rows), float(table[0, 0]), float(table[1, 0]), test)
