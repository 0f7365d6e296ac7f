"""Figures of scores against the number of labels, and of their spreads."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wherefrom.evidence import ALL_REGIONS, Evidence
from wherefrom.evidence.gather import View
from wherefrom.report.context import ReportContext
from wherefrom.report.panels import FAINT, INK, Parts, looks_of, rows_axis, view_title
from wherefrom.report.style import Look, metric_title
from wherefrom.report.tables import rows_of
from wherefrom.report.words import UNSTABLE, sweep_views

__all__ = ["scaling", "variance"]


def scaling(evidence: Evidence, context: ReportContext, view: View) -> Parts | None:
    """Scores against the number of labels, a panel for each model and head of the sweep."""
    starts = [v for v in evidence.views() if v[1:3] == view[1:3] and v[4] == view[4]]
    starts.sort(key=lambda v: (v != view, v[0] != view[0], v))
    panels = [(v, *sweep_views(evidence, context, v)) for v in starts]
    panels = [panel for panel in panels if panel[1] is not None][:4]
    if not panels:
        return None
    look = looks_of(evidence, context, view)
    figure = Figure(figsize=(min(6.2 * len(panels), 12.4), 4.6 * ((len(panels) + 1) // 2)),
                    layout="constrained")  # fmt: skip
    grid = figure.subplots((len(panels) + 1) // 2, min(2, len(panels)), squeeze=False, sharey=True)
    handles: dict[str, Line2D] = {}
    for ax, (start, region, views) in zip(grid.ravel(), panels, strict=False):
        assert region is not None
        lines: dict[str, list[Any]] = {}
        for one in views:
            for _, key in rows_of(evidence, context, one):
                row = evidence.mean(key, region)
                if row is not None and key.model != "majority":
                    lines.setdefault(key.composition or key.model, []).append(row)
        for name, rows in lines.items():
            style = look.get(name, Look("#777777", "|", ":"))
            x = [row.n for row in rows]
            marker = style.marker if rows[0].composition else None
            (handles[name],) = ax.plot(x, [row.mean for row in rows], color=style.colour, lw=1.8,
                                       ls=style.dash, marker=marker, ms=5, label=name)  # fmt: skip
            if rows[0].composition and all(row.low is not None for row in rows):
                ax.fill_between(x, [row.low for row in rows], [row.high for row in rows],
                                color=style.colour, alpha=0.09, lw=0)  # fmt: skip
        ax.set_xscale("log")
        ticks = [one[2] for one in views]
        ax.set_xticks(ticks, [f"{n:,}" for n in ticks])
        ax.minorticks_off()
        ax.set_title(f"{region}: {start[0]}, {start[3]} head", fontsize=11)
        ax.set_xlabel("labelled places n (logarithmic)")
        ax.grid(axis="y", color=FAINT, lw=0.7)
        ax.spines[["top", "right"]].set_visible(False)
    grid[0, 0].set_ylabel(metric_title(view[4]))
    for ax in grid.ravel()[len(panels) :]:
        ax.set_visible(False)
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)
    caption = (
        f"Scores ({metric_title(view[4])}) in {panels[0][1]} by number of labelled places. "
        "Bands: 95 % interval of the mean, where there is more than one draw. Dashed grey: "
        "baselines and published weights; the majority class is left out."
    )
    return Parts("scaling", figure, "Scores against the number of labels", caption)


def variance(evidence: Evidence, context: ReportContext, view: View) -> Parts | None:
    """Spread over fine-tune seeds beside the spread over runs."""
    names = context.order(evidence.compositions(view))
    regions = [region for region in evidence.regions(view) if region != ALL_REGIONS]
    rows = {key.composition: key for _, key in rows_of(evidence, context, view)}
    spreads = []
    for name in names:
        found = [row for r in regions if (row := evidence.mean(rows[name], r)) is not None]
        inner = [row.std_finetune for row in found if row.std_finetune is not None]
        outer = [row.std_runs for row in found if row.std_runs is not None]
        spreads.append((inner, outer))
    if not any(outer for _, outer in spreads):
        return None
    look = looks_of(evidence, context, view)
    figure = Figure(figsize=(8.5, 1.6 + 0.5 * len(names)), layout="constrained")
    ax = figure.add_subplot()
    for y, (name, (inner, outer)) in enumerate(zip(names, spreads, strict=True)):
        for values, shift, marker in ((inner, -0.15, "o"), (outer, 0.15, "D")):
            if not values:
                continue
            face = look[name].colour if marker == "o" else "white"
            ax.scatter(values, [y + shift] * len(values), s=10, color=look[name].colour, alpha=0.45)
            ax.scatter([np.mean(values)], [y + shift], s=55, marker=marker, zorder=3,
                       facecolor=face, edgecolor=look[name].colour, linewidth=1.6)  # fmt: skip
    ax.axvline(UNSTABLE, color="#777777", lw=1, ls=(0, (4, 3)))
    ax.set_xlim(left=0)
    rows_axis(ax, "", names)
    ax.set_xlabel(f"standard deviation of {metric_title(view[4])}")
    signs = [
        Line2D([], [], color=INK, marker="o", ls="", label="over fine-tune seeds, within a run"),
        Line2D(
            [], [], color=INK, marker="D", mfc="white", ls="", label="over runs, of their means"
        ),
        Line2D(
            [],
            [],
            color="#777777",
            ls=(0, (4, 3)),
            label=f"{UNSTABLE}: criterion of arXiv 2501.12535",
        ),
    ]
    figure.legend(handles=signs, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    caption = (
        f"{view_title(view)}. Small dots: regions; large: their mean. The spread over fine-tune "
        "seeds is that of few-shot splits; only the spread over runs (draws and pre-train seeds) "
        "says how far another pre-training of the same kind would differ."
    )
    return Parts("variance", figure, "Spread over fine-tune seeds and over runs", caption)
