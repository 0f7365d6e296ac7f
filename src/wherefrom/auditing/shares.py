"""Shares of a layer's labels in a pool, beside those of a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from wherefrom.auditing import divergence
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.drawing import INK, LABELS, OURS, REFERENCE, Drawing, label_rows, rows_size
from wherefrom.auditing.findings import (
    CAUSES,
    LEAST,
    SIGMAS,
    SPREAD,
    Commands,
    Finding,
    chance,
    chance_tv,
    decimals,
    percent,
    times,
    title,
)
from wherefrom.auditing.reference import Reference, land, of
from wherefrom.auditing.statistic import Section, Statistic, Table
from wherefrom.auditing.tally import Floats, LayerTally, Tally
from wherefrom.earth.surfaces import lies_on
from wherefrom.shown import count_of, html

__all__ = ["LabelShare", "LayerShares", "Layers", "shares_of"]


#: Labels that a finding names on each side, and that a card shows.
NAMED, SHOWN = 2, 7
#: What a table of labels has besides.
BESIDE = ("share", "reference", "times", "z")
#: Label of the continent that counts as land on demand alone.
ANTARCTICA = "Antarctica"


@dataclass(frozen=True)
class LabelShare:
    """One label's share.

    Attributes
    ----------
    label : str
    places : float
        Weight of the pool's places that have it; their number where all count once.
    share : float
        Among the pool's labelled places.
    reference_share : float or None
        Among the reference's; None without reference. 0 of land may also be less area than a
        point of the lattice stands for; a note names such labels.
    ratio : float or None
        ``share / reference_share``; None where the reference has none of it.
    z : float or None
        Difference of the shares in standard deviations of two independent samples of these sizes:
        within 3 for nearly all labels of a pool that was drawn from the reference.
    """

    label: str
    places: float
    share: float
    reference_share: float | None = None
    ratio: float | None = None
    z: float | None = None


@dataclass(frozen=True)
class LayerShares:
    """Shares of a layer's labels in a pool, beside a reference.

    Attributes
    ----------
    rows : tuple of LabelShare
        Every label that the pool or the reference has, in the layer's order.
    places, none : float
        Weight of the places with and without a label. Shares are among those with one.
    effective_places : float
        Labelled places that count as independent: fewer than there are if they have weights.
    shannon, effective : float or None
        Entropy of the shares in nats, and how many equal labels would have it; None without places.
    reference : str
        What the pool is held against; empty for nothing. What follows is then None or empty.
    reference_none : float or None
        Share of the reference, area or places, that has no label.
    empty : tuple of str
        Labels of the reference with no place in the pool, the largest first.
    kl, js, tv : float or None
        Kullback-Leibler of the pool from the reference and Jensen-Shannon divergence, both in
        nats, and total variation. `kl` is None where it is infinite: the pool has a label
        that the reference has not. A label too small for the lattice of land counts half a point
        of it.
    p : float or None
        Of a chi-square test that both are samples of one population. A lattice has less error
        than the random sample it is taken for here, so the test is on the safe side.
    notes : tuple of str
        What a reader must know to read the figures.
    by_row : bool
        Whether `places` are rows: of a column, which may differ within a place.
    """

    layer: str
    rows: tuple[LabelShare, ...]
    places: float
    none: float
    effective_places: float
    shannon: float | None
    effective: float | None
    reference: str = ""
    reference_none: float | None = None
    empty: tuple[str, ...] = ()
    kl: float | None = None
    js: float | None = None
    tv: float | None = None
    reference_shannon: float | None = None
    reference_effective: float | None = None
    p: float | None = None
    notes: tuple[str, ...] = ()
    by_row: bool = False

    @property
    def unit(self) -> str:
        """What is counted: rows or places."""
        return "rows" if self.by_row else "places"


class Layers(Statistic, dict[str, LayerShares]):
    """Shares of the labels of each layer, by layer.

    `sizes` are, of each layer that the reference has, its places or lattice points that count as
    independent.
    """

    name = "layers"
    section = Section(
        "shares",
        "Shares",
        "Shares beside {against}",
        head=(
            "layer", "labels", "empty", "no label", "effective", "Shannon",
            "TV", "JS", "KL", "p", "of",
        ),
        legend="In brackets: {against}. Effective: number of equal labels with the same Shannon "
        "entropy (nats). TV: total variation, the share of places that would have to have another "
        "label. JS, KL: Jensen-Shannon and Kullback-Leibler divergence, nats; ∞ where {against} "
        "has none of a label. p: chi-square test that both are samples of one population. Shares "
        "are among places with a label.",
    )  # fmt: skip

    def __init__(
        self,
        shares: Mapping[str, LayerShares],
        sizes: Mapping[str, float],
        against: str = "land",
        elsewhere: float = 0.0,
    ) -> None:
        super().__init__(shares)
        self.sizes, self.against, self.elsewhere = dict(sizes), against, elsewhere

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally for each layer."""
        # The reference first: it says what is amiss with a layer before the pass.
        return [
            LayerTally(layer, asked.pool.labels(layer), asked.own(layer), asked.seen.effect)
            for layer in asked.once(_references)
        ]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[LayerTally]) -> Self:
        """Hold each layer against its reference."""
        beside = asked.once(_references)
        return cls(
            {tally.name: shares_of(tally, beside[tally.name]) for tally in counted},
            {layer: found.size for layer, found in beside.items() if found is not None},
            asked.beside,
            _elsewhere(asked),
        )

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row for each layer; the reference's values in brackets."""
        rows: list[tuple[str, ...]] = []
        for layer in self.values():
            total = layer.places + layer.none
            effective, shannon = (
                decimals(ours, digits) + ("" if theirs is None else f" ({theirs:.{digits}f})")
                for ours, theirs, digits in (
                    (layer.effective, layer.reference_effective, 1),
                    (layer.shannon, layer.reference_shannon, 2),
                )
            )
            rows.append(
                (
                    title(layer.layer),
                    f"{sum(1 for row in layer.rows if row.places):,}",
                    f"{len(layer.empty):,}" if layer.tv is not None else "–",
                    percent(layer.none / total) if total else "–",
                    effective,
                    shannon,
                    decimals(layer.tv, 3),
                    decimals(layer.js, 3),
                    "∞" if layer.kl is None and layer.tv is not None else decimals(layer.kl, 3),
                    chance(layer.p),
                    count_of(round(total), "row" if layer.by_row else "place"),
                )
            )
        return rows

    def findings(self, commands: Commands) -> list[Finding]:
        """Find the layers whose shares differ from the reference's by more than chance.

        The total variation must exceed what chance gives by `SIGMAS` standard deviations and by
        at least `LEAST`. Against land, places at sea are a finding too.
        """
        found = []
        for name, layer in self.items():
            if layer.tv is None or name not in self.sizes:
                continue
            reference = np.array([row.reference_share or 0.0 for row in layer.rows])
            n, m = layer.effective_places, self.sizes[name]
            # A reference of M adds its own chance, as if places were N M / (N + M).
            mean, sd = chance_tv(reference / reference.sum(), max(1, round(n * m / (n + m))))
            beyond = layer.tv - mean
            if beyond > max(LEAST, SIGMAS * sd):
                text = _differences(layer, self.against)
                command = _match(layer, commands)
                found.append(Finding(name, beyond, text, command, may_follow=SPREAD))
        if not commands.by_land:
            return found
        if self.elsewhere > LEAST:
            text = (
                f"{percent(self.elsewhere)} of the places do not lie on {commands.ground.name}, "
                "and are counted all the same."
            )
            found.append(Finding("elsewhere", self.elsewhere, text, ""))
        if commands.reference == "land" and "continent" in self:
            found += _off_land(self["continent"], self.against, commands)
        return found

    def drawings(self) -> list[Drawing]:
        """Return bars of each layer's shares."""
        return [_bars(layer, self.against) for layer in self.values() if _shown(layer)]

    def tables(self) -> list[Table]:
        """Return a table of all labels of each layer."""
        legend = (
            "z: difference of the shares in standard deviations of two independent samples of "
            "these sizes. A dash in the reference: too small for the lattice that measures areas."
        )
        return [
            Table(
                f"{title(layer.layer)}: {count_of(len(layer.rows), 'label')}",
                ("label", layer.unit, *BESIDE),
                [
                    (
                        row.label,
                        f"{row.places:,.0f}",
                        percent(row.share),
                        "–" if row.reference_share is None else percent(row.reference_share),
                        times(row.ratio),
                        "–" if row.z is None else f"{row.z:+.1f}".replace("-", "−"),
                    )
                    for row in _largest(layer.rows)
                ],
                legend,
                folded=True,
            )
            for layer in self.values()
        ]

    def notes(self) -> list[str]:
        """Return what a reader must know of each layer."""
        return [f"{title(layer.layer)}: {note}" for layer in self.values() for note in layer.notes]

    def layers_shown(self) -> list[str]:
        """Return the layers."""
        return list(self)

    def glance(self) -> str:
        """Table the first layer's largest labels."""
        layer = next(iter(self.values()), None)
        if layer is None:
            return ""
        cell = "padding:1px 10px 1px 0;text-align:left;border:0"
        head = "".join(
            f"<th style='{cell}'>{html(text)}</th>"
            for text in (title(layer.layer), layer.unit, self.against, "times")
        )
        body = "".join(
            f"<tr><td style='{cell}'>{html(row.label)}</td>"
            + "".join(
                f"<td style='{cell};text-align:right'>{text}</td>"
                for text in (
                    percent(row.share), percent(row.reference_share or 0.0), times(row.ratio),
                )
            )
            + "</tr>"
            for row in _largest(layer.rows)[:SHOWN]
        )  # fmt: skip
        return f"<table style='border-collapse:collapse'><tr>{head}</tr>{body}</table>"


def _elsewhere(asked: Asked) -> float:
    """Return the share of the places that are not on the surface asked for; of land 0."""
    sample = asked.sample
    if asked.ground.is_land or not sample.weight.sum():
        return 0.0
    there = lies_on(asked.reference, sample.lon, sample.lat)
    return float(sample.weight[~there].sum() / sample.weight.sum())


def _references(asked: Asked) -> dict[str, Reference | None]:
    """Return what each layer is compared with; None for a column that land does not have."""
    if not isinstance(asked.against, str):
        return dict(of(asked.against, asked.layers, name=asked.beside))
    there = () if asked.ground.none else asked.earth_layers
    return {layer: land(layer, asked.ground) if layer in there else None for layer in asked.layers}


def shares_of(tally: LayerTally, reference: Reference | None = None) -> LayerShares:
    """Hold the shares of a layer's labels against a reference of the same layer; without, alone."""
    # The labels of both, in the pool's order: a column of the pool may lack some of the
    # reference's, or have others.
    labels = list(tally.labels)
    if reference is not None:
        labels += sorted(set(reference.labels) - set(labels))
    places = np.concatenate([tally.places, np.zeros(len(labels) - len(tally.places))])
    total = float(places.sum())
    shares = places / total if total else places
    even = (divergence.shannon(shares), divergence.effective(shares)) if total else (None, None)
    size = tally.effective_size
    alone = LayerShares(tally.name, (), total, tally.none, size, *even)
    alone = replace(alone, by_row=tally.by_row)
    if reference is not None:
        return _beside(alone, reference, labels, places, shares)
    rows = zip(labels, places.tolist(), shares.tolist(), strict=True)
    return replace(alone, rows=tuple(LabelShare(*row) for row in rows if row[1]))


def _beside(
    alone: LayerShares, reference: Reference, labels: list[str], places: Floats, shares: Floats
) -> LayerShares:
    """Put shares of these labels beside those of the reference."""
    due = dict(zip(reference.labels, reference.shares.tolist(), strict=True))
    other = np.array([due.get(label, 0.0) for label in labels])
    unresolved = set(reference.unresolved)
    small = np.array([label in unresolved for label in labels], dtype=np.bool_)
    n, m = alone.effective_places, reference.size
    notes = _notes(reference, labels, places, other, small)
    found: dict[str, Any] = {"reference": reference.name, "notes": notes}
    everything = reference.counts.sum() + reference.none
    if everything:
        found["reference_none"] = float(reference.none / everything)
    if reference.counts.any():
        found["reference_shannon"] = divergence.shannon(other)
        found["reference_effective"] = divergence.effective(other)
    if reference.counts.any() and places.any():
        half = np.where(small & (places > 0), reference.resolution / 2.0, other)
        kl = divergence.kullback_leibler(shares, half / half.sum())
        found["kl"] = kl if np.isfinite(kl) else None
        found["js"] = divergence.jensen_shannon(shares, other)
        found["tv"] = divergence.total_variation(shares, other)
        found["p"] = divergence.homogeneity(shares, n, other, m)
    z = _z(shares, n, other, m)
    rows = tuple(
        LabelShare(
            label,
            float(places[i]),
            float(shares[i]),
            float(other[i]),
            float(shares[i] / other[i]) if other[i] and places.any() else None,
            z[i],
        )
        for i, label in enumerate(labels)
        if places[i] or other[i]
    )
    empty = _descending(other, labels, where=places == 0.0)
    return replace(alone, rows=rows, empty=tuple(empty), **found)


def _z(shares: Floats, n: float, other: Floats, m: float) -> list[float | None]:
    """Differences in standard deviations of both samples; None where there is nothing to tell."""
    if not (n > 0 and m > 0):
        return [None] * len(shares)
    pooled = (n * shares + m * other) / (n + m)
    deviation = np.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m))
    return divergence.z_scores(shares - other, deviation)


def _descending(sizes: Floats, labels: Sequence[str], where: NDArray[np.bool_]) -> list[str]:
    """Return those of the labels that have a size, the largest first."""
    return [labels[i] for i in np.argsort(-sizes, kind="stable") if sizes[i] > 0.0 and where[i]]


def _some(labels: Sequence[str], most: int = 3) -> str:
    """Name the first labels."""
    return ", ".join(labels[:most]) + (", ..." if len(labels) > most else "")


def _notes(
    reference: Reference,
    labels: list[str],
    places: Floats,
    other: Floats,
    small: NDArray[np.bool_],
) -> tuple[str, ...]:
    notes = []
    if not places.any():
        notes.append("no place has a label of this layer")
    if not reference.counts.any():
        notes.append(f"{reference.name} has no label of this layer")
    lost = _descending(places, labels, where=(other == 0.0) & ~small)
    if lost and reference.counts.any():
        notes.append(
            f"{reference.name} has none of {_some(lost)}: the Kullback-Leibler divergence is "
            "infinite"
        )
    tiny = [labels[i] for i in np.flatnonzero((places > 0.0) & small)]
    if tiny:
        notes.append(f"too small for the lattice that measures areas: {_some(tiny)}")
    return tuple(notes)


def _differences(layer: LayerShares, against: str) -> str:
    """Name the labels that differ most, and those that have no place."""
    by_gap = sorted(layer.rows, key=_gap)
    said = [
        f"{row.label} has {percent(row.share)} of the {layer.unit} and "
        + (
            "does not count as land (--antarctica)"
            if (row.label, against) == (ANTARCTICA, "land")
            else f"{percent(row.reference_share or 0.0)} of {against}"
            + (f" ({times(row.ratio)} times)" if row.ratio else "")
        )
        for row in (*by_gap[::-1][:NAMED], *by_gap[:NAMED])
        if abs(_gap(row)) >= LEAST / 4
    ]
    name = title(layer.layer)
    text = f"{name[:1].upper()}{name[1:]}: " + "; ".join(dict.fromkeys(said))
    if layer.empty:
        labels = f"{len(layer.empty):,} labels have" if len(layer.empty) > 1 else "1 label has"
        named, share = _some(layer.empty, NAMED), percent(_lacking(layer))
        text += f". {labels} no place ({named}), with {share} of {against}"
    return f"{text}."


def _off_land(continent: LayerShares, against: str, commands: Commands) -> list[Finding]:
    """Find whether places lie at sea, or in Antarctica where that does not count as land."""
    found = []
    share = continent.none / max(continent.places + continent.none, 1e-300)
    if share > LEAST and not commands.extended:  # of footprints the middle does not tell
        text = f"{percent(share)} of the places are at sea; shares are of the others."
        command = ""
        if continent.places:
            command = commands.draw("only:layer=land,label=land,short=cap", "on-land")
        causes = ("colatitude", "swapped-axes", "zero-lon", "zero-lat")
        found.append(Finding("sea", share, text, command, may_follow=causes))
    share = sum(row.places for row in continent.rows if row.label == ANTARCTICA)
    share /= max(continent.places + continent.none, 1e-300)
    if share > LEAST and against == "land":
        text = (
            f"{percent(share)} of the places are in Antarctica, which does not count as land here; "
            "with --antarctica it does."
        )
        command = commands.audit(*commands.named.options, "--antarctica")
        found.append(Finding("antarctica", share, text, command, may_follow=CAUSES[:2]))
    return found


def _gap(row: LabelShare) -> float:
    """How much more of the places than of the reference has a label."""
    return row.share - (row.reference_share or 0.0)


def _lacking(layer: LayerShares) -> float:
    """Share of the reference with labels of no place."""
    return sum(row.reference_share or 0.0 for row in layer.rows if not row.places)


def _match(layer: LayerShares, commands: Commands) -> str:
    """Draw to the reference's shares; from a new pool where this one lacks what it takes."""
    if commands.by_land and _lacking(layer) > LEAST:
        return commands.build()
    return commands.match(commands.target, layer.layer)


def _largest(rows: Sequence[LabelShare]) -> list[LabelShare]:
    return sorted(rows, key=lambda row: -max(row.share, row.reference_share or 0.0))


def _shown(layer: LayerShares) -> list[LabelShare]:
    """Return the labels that bars show, those that differ most; none without places.

    Where both have one label alone there is nothing to compare.
    """
    alone = layer.tv is not None and len(layer.rows) == 1
    rows: Sequence[LabelShare] = layer.rows if layer.places and not alone else ()
    if len(rows) > LABELS:
        rows = sorted(rows, key=lambda row: -abs(_gap(row)))[:LABELS]
    return _largest(rows)


def _bars(layer: LayerShares, against: str) -> Drawing:
    """Draw bars of each label's share beside the reference's."""
    rows, compared = _shown(layer), layer.tv is not None

    def draw(ax: Axes) -> None:
        at = np.arange(len(rows))
        ours = np.array([100 * row.share for row in rows])
        other = np.array([100 * (row.reference_share or 0) for row in rows])
        ax.barh(at - 0.19 * compared, ours, 0.38 if compared else 0.6, color=OURS, label=layer.unit)
        if compared:
            ax.barh(at + 0.19, other, 0.38, color=REFERENCE, label=against)
        for y, row in enumerate(rows):
            text = f"{times(row.ratio)} ×" if compared and row.ratio is not None else ""
            ax.annotate(
                text, (max(ours[y], other[y]), y), xytext=(4, 0), textcoords="offset points",
                va="center", size=8, color=INK,
            )  # fmt: skip
        label_rows(ax, [row.label for row in rows])
        ax.set_xlim(0, max(ours.max(), other.max()) * 1.14 + 0.1)
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"% of the {layer.unit}, % of the reference" if compared else "%", size=8)
        if compared:
            ax.legend(frameon=False, fontsize=8, loc="lower right")

    total = len(layer.rows)
    caption = f"The {len(rows)} of {total:,} labels that differ most. " if total > len(rows) else ""
    if layer.tv is not None:
        caption += f"Total variation {percent(layer.tv)}. "
        caption += "A number gives how many times the reference's share."
    name = title(layer.layer)
    name = name[:1].upper() + name[1:]
    return Drawing(f"shares-{layer.layer}", name, caption, draw, rows_size(len(rows)))
