"""Tables of an audit, as rows of text."""

from __future__ import annotations

from typing import NamedTuple

from wherefrom.auditing.audit import Audit
from wherefrom.auditing.shares import LayerShares
from wherefrom.auditing.wording import kilometres, percent, times, title

__all__ = ["Row", "label_rows", "layer_rows", "space_rows"]

LAYER_HEAD = ("layer", "labels", "empty", "no label", "effective", "Shannon", "TV", "JS", "KL", "p")
SPACE_HEAD = ("statistic", "places", "uniform on land", "what it says")
LABEL_HEAD = ("label", "places", "share", "reference", "times", "z")


class Row(NamedTuple):
    """A spatial statistic: its name, value, what uniform places have, and what it means."""

    name: str
    value: str
    uniform: str
    meaning: str


def layer_rows(audit: Audit) -> list[tuple[str, ...]]:
    """Return one row for each layer, under `LAYER_HEAD`; the reference's values in brackets."""
    rows: list[tuple[str, ...]] = []
    for layer in audit.layers.values():
        total = layer.places + layer.none
        rows.append(
            (
                title(layer.layer),
                f"{sum(1 for row in layer.rows if row.places):,}",
                f"{len(layer.empty):,}" if layer.tv is not None else "–",
                percent(layer.none / total) if total else "–",
                _beside(layer.effective, layer.reference_effective, 1),
                _beside(layer.shannon, layer.reference_shannon, 2),
                _number(layer.tv, 3),
                _number(layer.js, 3),
                "∞" if layer.kl is None and layer.tv is not None else _number(layer.kl, 3),
                _p(layer.p),
            )
        )
    return rows


def label_rows(layer: LayerShares) -> list[tuple[str, ...]]:
    """Return one row for each label, under `LABEL_HEAD`, the largest first."""
    rows = sorted(layer.rows, key=lambda row: -max(row.share, row.reference_share or 0.0))
    return [
        (
            row.label,
            f"{row.places:,.0f}",
            percent(row.share),
            "–" if row.reference_share is None else percent(row.reference_share),
            times(row.ratio),
            "–" if row.z is None else f"{row.z:+.1f}".replace("-", "−"),
        )
        for row in rows
    ]


def space_rows(audit: Audit) -> list[Row]:
    """Return the spatial statistics beside those of uniform places."""
    space = audit.space
    cover, same, latitude = space.coverage, space.duplicates, space.latitude
    rows = [
        Row(
            "covering radius",
            kilometres(cover.radius_km),
            "",
            "the farthest that land is from the nearest place",
        ),
        Row(
            "median distance from land",
            kilometres(cover.median_km),
            kilometres(cover.uniform_median_km),
            f"{percent(cover.beyond_100_km)} of the land is farther than 100 km",
        ),
    ]
    if space.nearest is not None and space.ripley is not None:
        near, ripley = space.nearest, space.ripley
        how = "clustered" if near.index < 1 else "regular"
        rows.append(
            Row(
                "nearest-neighbour index",
                f"{near.index:.3g}",
                f"1 ± {near.index_se:.2g}",
                f"below 1 clustered, above 1 regular; {how if near.p < 0.05 else 'neither'}, "
                f"p {_p(near.p)}{_of_sample(near.places, space.places)}",
            )
        )
        at = ripley.radii_km.index(ripley.strongest_km)
        rows.append(
            Row(
                f"Ripley's K, {ripley.strongest_km:g} km",
                f"{times(ripley.ratio[at])} ×",
                "1 ×",
                f"pairs within the radius of the largest deviation; p {_p(ripley.p)} for all radii",
            )
        )
    for density in space.density:
        if density.dispersion is None:  # too few places for cells of this size
            continue
        rows.append(
            Row(
                f"cells of {kilometres(density.cell_km)}",
                f"χ²/f {_number(density.dispersion, 2)}",
                "1",
                f"{density.empty:,} of {density.cells:,} cells empty where places are due; "
                f"density varies by {_number(density.variation, 2)} of its mean; p {_p(density.p)}",
            )
        )
    more = "south" if latitude.ks_more_south else "north"
    rows.append(
        Row(
            "latitude (Kolmogorov-Smirnov)",
            f"{latitude.ks:.3f}",
            "",
            f"too many {more} of {latitude.ks_at:.1f}°; mean {latitude.mean:.1f}°, of land "
            f"{latitude.land_mean:.1f}°; p {_p(latitude.p)}",
        )
    )
    rows += [
        Row("same place as an earlier row", percent(same.repeats), "0 %", _looked(audit)),
        Row(
            "another row within 1 km",
            percent(same.within_1km),
            percent(same.uniform_within_1km),
            f"{percent(same.within_10m)} within 10 m",
        ),
    ]
    rows += [
        Row(
            f"on a lattice of {rounded.step:g}°",
            percent(rounded.both),
            percent(rounded.chance**2),
            "both coordinates are multiples of it",
        )
        for rounded in space.striping.rounded
        if rounded.both > 0.01
    ][:1]
    rows += [
        Row(
            f"effective number, {size.range_km:g} km",
            f"{size.effective:,.0f}",
            f"{size.uniform:,.0f}",
            "independent places that the mean of values with this range of correlation is worth",
        )
        for size in space.effective
    ]
    return rows


def _looked(audit: Audit) -> str:
    same = audit.space.duplicates
    return "all rows compared" if same.exact else f"± {percent(same.repeats_se)}, of a sample"


def _of_sample(places: int, total: int) -> str:
    return f"; of a sample of {places:,}" if places < total else ""


def _beside(value: float | None, reference: float | None, digits: int) -> str:
    text = _number(value, digits)
    return text if reference is None else f"{text} ({_number(reference, digits)})"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _p(p: float | None) -> str:
    if p is None:
        return "–"
    return f"{p:.2g}" if p >= 0.001 else "< 0.001"
