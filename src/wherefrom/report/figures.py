"""The figures of a report, each with a title and a caption."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wherefrom.evidence import BETTER, UNDECIDED, WORSE, Evidence
from wherefrom.evidence.gather import View
from wherefrom.report.context import ReportContext
from wherefrom.report.curves import scaling, variance
from wherefrom.report.maps import composition_maps
from wherefrom.report.panels import (
    FAINT,
    INK,
    Parts,
    dot,
    folded,
    looks_of,
    panels,
    rows_axis,
    share_axis,
    view_title,
)
from wherefrom.report.sensitivity_figure import sensitivity_figure
from wherefrom.report.style import metric_title, signed
from wherefrom.report.tables import last_region, rows_of

__all__ = ["Drawing", "figures"]


class Drawing(NamedTuple):
    """A figure with its file name (no suffix), title and caption, and the headline it is about."""

    name: str
    figure: Figure
    title: str
    caption: str
    view: View | None


def figures(evidence: Evidence, context: ReportContext) -> list[Drawing]:
    """Draw all figures that the results and the context allow.

    Parameters
    ----------
    evidence : Evidence
    context : ReportContext

    Returns
    -------
    list of Drawing
        Those about all models (of the sensitivity, and maps), then those of each headline, whose
        names end in its own. Without sweep no curves, without places no maps, without a second
        run no figure of variance.
    """
    views = context.views(evidence)
    shared = [
        sensitivity_figure(evidence, context),
        composition_maps(context, looks_of(evidence, context, views[0])),
    ]
    drawn = [Drawing(*parts, None) for parts in shared if parts is not None]
    draw = (by_region, differences_forest, heatmap, scaling, variance, everywhere)
    for view in views:
        for parts in (one(evidence, context, view) for one in draw):
            if parts is not None:
                name = f"{parts.kind}_{context.name(evidence, view)}"
                drawn.append(Drawing(name, *parts[1:], view))
    return drawn


def by_region(evidence: Evidence, context: ReportContext, view: View) -> Parts:
    """Dots with intervals: rows in each region."""
    rows = [(evidence.label(key, view), key) for _, key in rows_of(evidence, context, view)]
    # The majority class would stretch the axes and squeeze what is compared.
    rows = [(label, key) for label, key in rows if key.model != "majority"]
    look = looks_of(evidence, context, view)
    regions = evidence.regions(view)
    figure, axes = panels(len(regions), len(rows))
    for ax, region in zip(axes, regions, strict=False):
        for y, (_, key) in enumerate(rows):
            found = evidence.mean(key, region)
            if found is None:
                continue
            style = look[key.composition or key.model]
            if found.low is not None and found.high is not None:
                ax.plot([found.low, found.high], [y, y], color=style.colour, lw=2, alpha=0.55)
            dot(ax, found.mean, y, style, filled=found.low is not None)
        rows_axis(ax, region, [label for label, _ in rows])
    share_axis(axes, len(regions), metric_title(view[4]))
    caption = (
        f"{view_title(view)}. Dots: mean over runs and fine-tune seeds; lines: 95 % interval of "
        "the mean over draws, pre-train seeds and episodes; hollow: single draw, no interval. "
        "Baselines in grey, without the majority class."
    )
    return Parts("by_region", figure, "Scores by region", caption)


def differences_forest(evidence: Evidence, context: ReportContext, view: View) -> Parts | None:
    """Forest plot of the differences to the first reference."""
    reference = context.references[0]
    regions = evidence.regions(view)
    names = [
        name
        for name in context.order(evidence.compositions(view))
        if any(evidence.difference(view, name, reference, region) for region in regions)
    ]
    if not names:
        return None
    look = looks_of(evidence, context, view)
    figure, axes = panels(len(regions), len(names))
    for ax, region in zip(axes, regions, strict=False):
        ax.axvspan(-evidence.margin, evidence.margin, color=FAINT, alpha=0.6, lw=0)
        ax.axvline(0, color=INK, lw=0.8)
        for y, name in enumerate(names):
            row = evidence.difference(view, name, reference, region)
            if row is None:
                continue
            if row.low is not None and row.high is not None:
                ax.plot([row.low, row.high], [y, y], color=look[name].colour, lw=2, alpha=0.7)
            dot(ax, row.difference, y, look[name], filled=row.verdict != UNDECIDED)
        rows_axis(ax, region, names)
        ax.xaxis.set_major_locator(MaxNLocator(4))
    share_axis(axes, len(regions), f"{metric_title(view[4])} minus that of {reference}")
    caption = (
        f"{view_title(view)}. Paired differences to {reference} with 95 % intervals over draws, "
        "pre-train seeds and episodes. Filled: decided after Holm's correction (better, worse or "
        f"equivalent); hollow: undecided. Grey band: margin of equivalence, ±{evidence.margin:g}."
    )
    return Parts("differences", figure, f"Differences to {reference}", caption)


def heatmap(evidence: Evidence, context: ReportContext, view: View) -> Parts:
    """Mean of every row in every region."""
    rows = [(evidence.label(key, view), key) for _, key in rows_of(evidence, context, view)]
    regions = evidence.regions(view)
    values = np.full((len(rows), len(regions)), np.nan)
    for i, (_, key) in enumerate(rows):
        for j, region in enumerate(regions):
            found = evidence.mean(key, region)
            values[i, j] = np.nan if found is None else found.mean
    figure = Figure(
        figsize=(2.2 + 1.05 * len(regions), 1.3 + 0.42 * len(rows)), layout="constrained"
    )
    ax = figure.add_subplot()
    # The majority class is far below; it must not take the colours from what is compared.
    scored = values[[key.model != "majority" for _, key in rows]]
    low, high = float(np.nanmin(scored)), float(np.nanmax(scored))
    image = ax.imshow(values, cmap="cividis", aspect="auto", vmin=low, vmax=high)
    middle = (low + high) / 2
    for i, j in np.argwhere(np.isfinite(values)):
        leader = evidence.leader(view, regions[j])
        bold = leader is not None and leader.decided and leader.best == rows[i][0]
        ax.text(j, i, f"{values[i, j]:.3f}", ha="center", va="center", fontsize=9,
                weight="bold" if bold else "normal",
                color="white" if values[i, j] < middle else "black")  # fmt: skip
    ax.set_xticks(range(len(regions)), [folded(region) for region in regions], fontsize=9)
    ax.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=9)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label=metric_title(view[4]), fraction=0.03, pad=0.02)
    caption = (
        f"{view_title(view)}. Bold only where the data decide that a row is the best of its column."
    )
    return Parts("heatmap", figure, "Rows and regions", caption)


def everywhere(evidence: Evidence, context: ReportContext, view: View) -> Parts | None:
    """Verdicts against the first reference with every model and head."""
    reference = context.references[0]
    views = [v for v in evidence.views() if v[1:3] == view[1:3] and v[4] == view[4]]
    names = [n for n in context.order(evidence.compositions(view)) if n != reference]
    pairs = [
        [evidence.difference(v, name, reference, last_region(evidence, v)) for v in views]
        for name in names
    ]
    if len(views) < 2 or not any(any(row) for row in pairs):
        return None
    values = np.array([[np.nan if p is None else p.difference for p in row] for row in pairs])
    limit = float(np.nanmax(np.abs(values))) or 1.0
    size = (2.4 + 1.0 * len(views), 1.6 + 0.45 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    ax = figure.add_subplot()
    image = ax.imshow(values, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
    signs = {BETTER: "▲", WORSE: "▼", UNDECIDED: "?"}
    for i, row in enumerate(pairs):
        for j, pair in enumerate(row):
            if pair is not None:
                sign = "1 draw" if pair.low is None else signs.get(pair.verdict, "≈")
                dark = abs(pair.difference) > 0.6 * limit
                ax.text(j, i, f"{signed(pair.difference)}\n{sign}", ha="center", va="center",
                        fontsize=8, color="white" if dark else "black")  # fmt: skip
    ax.set_xticks(range(len(views)), [f"{v[0]}\n{v[3]}" for v in views], fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label=f"minus {reference}", fraction=0.03, pad=0.02)
    caption = (
        f"Difference to {reference} in {metric_title(view[4])}, over all regions, n = {view[2]}, "
        "with every model and head. ▲ better, ▼ worse, ≈ equivalent, ? undecided, all after Holm's "
        "correction within a column; 1 draw: no interval."
    )
    return Parts("models_heads", figure, "Does it hold with other models and heads?", caption)
