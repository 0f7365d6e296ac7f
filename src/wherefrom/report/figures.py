"""The figures of a report, each with a title and a caption."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from wherefrom.evidence import ALL_REGIONS, BETTER, UNDECIDED, WORSE, Evidence
from wherefrom.evidence.gather import View
from wherefrom.report.context import ReportContext
from wherefrom.report.maps import composition_maps
from wherefrom.report.style import Look, looks, metric_title, signed
from wherefrom.report.tables import last_region, rows_of
from wherefrom.report.words import UNSTABLE, sweep_views

__all__ = ["Drawing", "figures"]

INK, FAINT = "#222222", "#d9dde1"


class Drawing(NamedTuple):
    """A figure with its file name (no suffix), title and caption."""

    name: str
    figure: Figure
    title: str
    caption: str


def figures(evidence: Evidence, context: ReportContext) -> list[Drawing]:
    """Draw all figures that the results and the context allow.

    Parameters
    ----------
    evidence : Evidence
    context : ReportContext

    Returns
    -------
    list of Drawing
        Those of the headline's model, head and metric; without sweep no curves, without places
        no maps, without a second run no figure of variance.
    """
    view = context.headline(evidence)
    drawn = [
        by_region(evidence, context, view),
        differences_forest(evidence, context, view),
        heatmap(evidence, context, view),
        scaling(evidence, context, view),
        variance(evidence, context, view),
        everywhere(evidence, context, view),
        composition_maps(context, _looks(evidence, context, view)),
    ]
    return [Drawing(*drawing) for drawing in drawn if drawing is not None]


Parts = tuple[str, Figure, str, str]


def by_region(evidence: Evidence, context: ReportContext, view: View) -> Parts:
    """Dots with intervals: rows in each region."""
    rows = [(evidence.label(key, view), key) for _, key in rows_of(evidence, context, view)]
    # The majority class would stretch the axes and squeeze what is compared.
    rows = [(label, key) for label, key in rows if key.model != "majority"]
    look = _looks(evidence, context, view)
    regions = evidence.regions(view)
    figure, axes = _panels(len(regions), len(rows))
    for ax, region in zip(axes, regions, strict=False):
        for y, (_, key) in enumerate(rows):
            found = evidence.mean(key, region)
            if found is None:
                continue
            style = look[key.composition or key.model]
            if found.low is not None and found.high is not None:
                ax.plot([found.low, found.high], [y, y], color=style.colour, lw=2, alpha=0.55)
            _dot(ax, found.mean, y, style, filled=found.low is not None)
        _rows_axis(ax, region, [label for label, _ in rows])
    _share(axes, len(regions), metric_title(view[4]))
    caption = (
        f"{_view(view)}. Dots: mean over runs and fine-tune seeds; lines: 95 % interval of the "
        "mean over draws, pre-train seeds and episodes; hollow: single draw, no interval. "
        "Baselines in grey, without the majority class."
    )
    return "by_region", figure, "Scores by region", caption


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
    look = _looks(evidence, context, view)
    figure, axes = _panels(len(regions), len(names))
    for ax, region in zip(axes, regions, strict=False):
        ax.axvspan(-evidence.margin, evidence.margin, color=FAINT, alpha=0.6, lw=0)
        ax.axvline(0, color=INK, lw=0.8)
        for y, name in enumerate(names):
            row = evidence.difference(view, name, reference, region)
            if row is None:
                continue
            if row.low is not None and row.high is not None:
                ax.plot([row.low, row.high], [y, y], color=look[name].colour, lw=2, alpha=0.7)
            _dot(ax, row.difference, y, look[name], filled=row.verdict != UNDECIDED)
        _rows_axis(ax, region, names)
        ax.xaxis.set_major_locator(MaxNLocator(4))
    _share(axes, len(regions), f"{metric_title(view[4])} minus that of {reference}")
    caption = (
        f"{_view(view)}. Paired differences to {reference} with 95 % intervals over draws, "
        "pre-train seeds and episodes. Filled: decided after Holm's correction (better, worse or "
        f"equivalent); hollow: undecided. Grey band: margin of equivalence, ±{evidence.margin:g}."
    )
    return "differences", figure, f"Differences to {reference}", caption


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
    ax.set_xticks(range(len(regions)), [_folded(region) for region in regions], fontsize=9)
    ax.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=9)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label=metric_title(view[4]), fraction=0.03, pad=0.02)
    caption = (
        f"{_view(view)}. Bold only where the data decide that a row is the best of its column."
    )
    return "heatmap", figure, "Rows and regions", caption


def scaling(evidence: Evidence, context: ReportContext, view: View) -> Parts | None:
    """Scores against the number of labels, a panel for each model and head of the sweep."""
    starts = [v for v in evidence.views() if v[1:3] == view[1:3] and v[4] == view[4]]
    starts.sort(key=lambda v: (v != view, v[0] != view[0], v))
    panels = [(v, *sweep_views(evidence, context, v)) for v in starts]
    panels = [panel for panel in panels if panel[1] is not None][:4]
    if not panels:
        return None
    look = _looks(evidence, context, view)
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
        "baselines without pre-training; the majority class is left out."
    )
    return "scaling", figure, "Scores against the number of labels", caption


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
    look = _looks(evidence, context, view)
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
    _rows_axis(ax, "", names)
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
        f"{_view(view)}. Small dots: regions; large: their mean. The spread over fine-tune seeds "
        "is that of few-shot splits; only the spread over runs (draws and pre-train seeds) says "
        "how far another pre-training of the same kind would differ."
    )
    return "variance", figure, "Spread over fine-tune seeds and over runs", caption


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
    return "models_heads", figure, "Does it hold with other models and heads?", caption


def _looks(evidence: Evidence, context: ReportContext, view: View) -> dict[str, Look]:
    names = context.order(evidence.compositions(view))
    return looks(
        names, sorted({key.model for key in evidence.scores.blocks if not key.composition})
    )


def _view(view: View) -> str:
    text = f"{metric_title(view[4])}, {view[0]}, {view[3]} head, n = {view[2]}"
    return text[0].upper() + text[1:]


def _folded(region: str) -> str:
    return region.replace(" ", "\n")


def _dot(ax: Axes, x: float, y: float, look: Look, *, filled: bool) -> None:
    if look.marker in ("x", "|"):
        ax.plot([x], [y], marker=look.marker, color=look.colour, ms=7, mew=2.2 if filled else 1.0)
        return
    face = look.colour if filled else "white"
    ax.plot([x], [y], marker=look.marker, color=look.colour, mfc=face, ms=6.5, mew=1.4)


def _panels(count: int, rows: int) -> tuple[Figure, list[Axes]]:
    columns = min(4, count)
    lines = -(-count // columns)
    figure = Figure(
        figsize=(1.6 + 2.7 * columns, lines * max(2.2, 0.9 + 0.3 * rows)), layout="constrained"
    )
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True, sharex=True)
    return figure, list(grid.ravel())


def _rows_axis(ax: Axes, title: str, labels: list[str]) -> None:
    ax.set_title(title, fontsize=10, loc="left")
    ax.set_yticks(range(len(labels)), labels, fontsize=9)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(axis="x", color=FAINT, lw=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _share(axes: list[Axes], used: int, label: str) -> None:
    for ax in axes[used:]:
        ax.set_visible(False)
    figure = axes[0].get_figure()
    assert figure is not None
    figure.supxlabel(label, fontsize=10)
    for ax in axes[:used]:
        ax.tick_params(axis="x", labelbottom=True)
