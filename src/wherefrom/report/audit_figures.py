"""Plots of an audit: shares, latitude, Ripley's L, entropy, leakage, losses."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from wherefrom.auditing.entropy import Entropy
from wherefrom.auditing.leakage import Leakage
from wherefrom.auditing.realised import Realised
from wherefrom.auditing.shares import LayerShares
from wherefrom.auditing.space import Latitude, Ripley
from wherefrom.auditing.wording import percent, times, title
from wherefrom.report.audit_style import FAINT, INK, OURS, REFERENCE, Shown, bare

__all__ = [
    "distance_curve",
    "entropy_bars",
    "latitude_curve",
    "loss_bars",
    "ripley_curve",
    "share_bars",
]

#: Labels that a figure of shares has; of more, those that differ most are shown.
LABELS = 18
_LONGEST = 44
#: Behind words that lines cross.
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}


def share_bars(layer: LayerShares, against: str) -> Shown | None:
    """Draw bars of each label's share beside the reference's; None without places."""
    rows = [row for row in layer.rows if row.share or row.reference_share]
    if not rows or not layer.places:
        return None
    compared = layer.tv is not None
    if len(rows) > LABELS:
        rows.sort(key=lambda row: -abs(row.share - (row.reference_share or 0)))
        rows = rows[:LABELS]
    rows.sort(key=lambda row: -max(row.share, row.reference_share or 0))
    figure = Figure(figsize=(6.1, 0.9 + 0.27 * len(rows)), layout="constrained")
    ax = figure.add_subplot()
    at = np.arange(len(rows))
    ours = np.array([100 * row.share for row in rows])
    other = np.array([100 * (row.reference_share or 0) for row in rows])
    ax.barh(at - 0.19 * compared, ours, 0.38 if compared else 0.6, color=OURS, label="places")
    if compared:
        ax.barh(at + 0.19, other, 0.38, color=REFERENCE, label=against)
    for y, row in enumerate(rows):
        text = f"{times(row.ratio)} ×" if compared and row.ratio is not None else ""
        end = max(ours[y], other[y])
        ax.annotate(
            text,
            (end, y),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            size=8,
            color=INK,
        )
    ax.set_yticks(at, [_cut(row.label) for row in rows], size=8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, max(ours.max(), other.max()) * 1.14 + 0.1)
    bare(ax)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("% of the places, % of the reference" if compared else "%", size=8)
    if compared:
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    total = sum(1 for row in layer.rows if row.share or row.reference_share)
    caption = f"The {len(rows)} of {total:,} labels that differ most. " if total > len(rows) else ""
    if compared and layer.tv is not None:
        caption += f"Total variation {percent(layer.tv)}. "
    caption += "A number gives how many times the reference's share." if compared else ""
    return Shown(f"shares-{layer.layer}", figure, title(layer.layer).capitalize(), caption)


def latitude_curve(latitude: Latitude) -> Shown:
    """Draw the cumulative shares of places and land from south to north."""
    figure, ax = _panel()
    ax.plot(latitude.latitude, 100 * np.array(latitude.land_south_of), color="#8a9096", lw=2.2)
    ax.plot(latitude.latitude, 100 * np.array(latitude.south_of), color=OURS, lw=2.2)
    at = int(np.argmin(np.abs(np.array(latitude.latitude) - latitude.ks_at)))
    pair = [100 * latitude.south_of[at], 100 * latitude.land_south_of[at]]
    ax.plot([latitude.latitude[at]] * 2, pair, color=INK, lw=1.2, ls=(0, (3, 2)))
    ax.annotate(
        percent(latitude.ks), (latitude.latitude[at], sum(pair) / 2), xytext=(-5, 0), ha="right",
        textcoords="offset points", va="center", size=9,
    )  # fmt: skip
    ax.legend(["land", "places"], frameon=False, fontsize=9, loc="upper left")
    ax.set_xlim(-62, 85)
    ax.set_ylim(0, 101)
    ax.set_xticks(range(-60, 90, 30), ["60° S", "30° S", "0°", "30° N", "60° N"])
    ax.set_ylabel("% south of it", size=9)
    caption = (
        "Share of the places, and of the land's area, south of each latitude. Dashed: the largest "
        f"difference (Kolmogorov-Smirnov), p {_p(latitude.p)}."
    )
    return Shown("latitude", figure, "Latitude", caption)


def ripley_curve(ripley: Ripley) -> Shown:
    """Draw Ripley's L over that of uniform places, with the envelope."""
    figure, ax = _panel()
    radii, uniform = np.array(ripley.radii_km), np.array(ripley.uniform_km)
    known = uniform > 0
    radii, uniform = radii[known], uniform[known]
    low, high, ours = (
        np.array(values)[known] / uniform for values in (ripley.low_km, ripley.high_km, ripley.l_km)
    )
    ax.fill_between(radii, np.maximum(low, 1e-3), high, color=FAINT, label="uniform on land")
    ax.axhline(1, color="#8a9096", lw=1)
    ax.plot(radii, np.where(ours > 0, ours, np.nan), "o-", color=OURS, lw=2, ms=4, label="places")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(radii, [f"{radius:,.0f}" for radius in radii])
    ax.set_ylim(min(0.5, np.nanmin(np.append(ours[ours > 0], 1)) / 1.2), max(2.0, ours.max() * 1.2))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("distance, km", size=9)
    ax.set_ylabel("L / L of uniform places", size=9)
    ax.legend(frameon=False, fontsize=9, loc="best")
    sample = f" Of {ripley.places:,} places" + (
        f", beyond 200 km of {ripley.far_places:,}." if ripley.far_places < ripley.places else "."
    )
    caption = (
        "Ripley's L on the sphere over its mean for as many places uniform on land: above 1 there "
        f"are more pairs within that distance. Grey: what uniform places leave nowhere in "
        f"{100 - 100 * ripley.level:.0f} % of cases ({ripley.simulations} simulations); "
        f"p {_p(ripley.p)}.{sample}"
    )
    return Shown("ripley", figure, "Clustering by distance", caption)


def entropy_bars(entropy: Entropy) -> Shown | None:
    """Draw the mean spectral entropy by label of the first layer, with 95 % intervals."""
    layer, rows = next(iter(entropy.layers.items()), ("", ()))
    rows = rows[:LABELS]
    if not rows:
        return None
    figure = Figure(figsize=(6.1, 0.9 + 0.27 * len(rows)), layout="constrained")
    ax = figure.add_subplot()
    for y, row in enumerate(rows):
        if row.se is not None:
            ax.plot([row.mean - 1.96 * row.se, row.mean + 1.96 * row.se], [y, y], color=OURS, lw=2)
        ax.plot([row.mean], [y], "o", color=OURS, mfc=OURS if row.se else "white", ms=6)
    names = [f"{_cut(row.label)} ({row.samples:,})" for row in rows]
    ax.set_yticks(range(len(rows)), names, size=8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    bare(ax)
    ax.set_xlabel("nats", size=9)
    explained = entropy.explained.get(layer)
    said = "" if explained is None else f" The labels explain {percent(explained)} of the variance."
    caption = f"Mean spectral entropy by {title(layer)}, 95 % interval of the mean.{said}"
    return Shown("entropy-by-label", figure, f"Spectral entropy by {title(layer)}", caption)


def distance_curve(leakage: Leakage) -> Shown:
    """Draw the distribution of the distances from test places to the nearest training place."""
    figure, ax = _panel()
    km = np.maximum(np.sort(leakage.km), 0.01)
    ax.step(km, 100 * np.arange(1, len(km) + 1) / len(km), where="post", color=OURS, lw=2)
    for row in leakage.within:
        ax.axvline(row.km, color="#8a9096", lw=1, ls=(0, (3, 2)))
        ax.annotate(
            f"{percent(row.share)} within {row.km:g} km", (row.km, 2), xytext=(-3, 0), rotation=90,
            textcoords="offset points", ha="right", va="bottom", size=8, bbox=WHITE,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_ylim(0, 101)
    ax.set_xlabel("km to the nearest training place (0.01 or less at the left end)", size=9)
    ax.set_ylabel("% of the test places", size=9)
    caption = f"{leakage.n_test:,} test places, {leakage.n_train:,} training places."
    return Shown("leakage", figure, "Distance of test places from training places", caption)


def loss_bars(realised: Realised, layer: str) -> Shown | None:
    """Draw the share of the planned places of each label that was lost."""
    rows = [row for row in realised.layers[layer].rows if row.planned]
    if not rows:
        return None
    rows.sort(key=lambda row: -abs(row.excess))
    rows = sorted(rows[:LABELS], key=lambda row: -row.share)
    figure = Figure(figsize=(6.1, 0.9 + 0.27 * len(rows)), layout="constrained")
    ax = figure.add_subplot()
    at = np.arange(len(rows))
    ax.barh(at, [100 * row.share for row in rows], 0.6, color=OURS)
    ax.axvline(100 * realised.share, color=INK, lw=1.2, ls=(0, (3, 2)))
    for y, row in enumerate(rows):
        ax.annotate(
            f"{row.lost:,.0f} of {row.planned:,.0f}", (100 * row.share, y), xytext=(4, 0),
            textcoords="offset points", va="center", size=8, bbox=WHITE,
        )  # fmt: skip
    ax.set_yticks(at, [_cut(row.label) for row in rows], size=8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, max(100 * row.share for row in rows) * 1.3 + 0.1)
    bare(ax)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("% of the planned places lost", size=8)
    caption = (
        f"Planned places that are not there, by {title(layer)}. Dashed: {percent(realised.share)}, "
        "the share lost of all."
    )
    return Shown(f"losses-{layer}", figure, f"Losses by {title(layer)}", caption)


def _panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.1, 3.7), layout="constrained")
    ax = figure.add_subplot()
    bare(ax)
    return figure, ax


def _p(p: float) -> str:
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3].rstrip() + "..."
