"""The figure of how far each model depends on the composition."""

from __future__ import annotations

import itertools

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from wherefrom.evidence import ALL_REGIONS, INITIAL, Evidence, SensitivityRow
from wherefrom.evidence.gather import View
from wherefrom.report.context import ReportContext
from wherefrom.report.panels import FAINT, INK, Parts, dot, looks_of, panels
from wherefrom.report.style import Look, metric_title

__all__ = ["sensitivity_figure"]

#: Grey of the spread, and of what its interval adds.
SPREAD, UPPER = "#b9c0c7", "#e6e9ec"
#: Marker and colour of the models in the panel that compares their spreads.
_MODELS = (("o", "#222222"), ("s", "#0072b2"), ("D", "#d55e00"), ("^", "#009e73"))


def sensitivity_figure(evidence: Evidence, context: ReportContext) -> Parts | None:
    """Draw every composition's effect, model by model on one axis, in each region.

    None if no headline has a spread.
    """
    views = [
        view
        for view in context.views(evidence)
        if any(_spread(evidence, view, region) for region in evidence.regions(view))
    ]
    if not views:
        return None
    regions = list(dict.fromkeys(region for view in views for region in evidence.regions(view)))
    regions.sort(key=lambda region: region == ALL_REGIONS)
    blocks = [(view, _compositions(evidence, context, view)) for view in views]
    height = sum(len(names) + 1 for _, names in blocks)
    figure, axes = panels(len(regions) + 1, height)
    for ax, region in zip(axes, regions, strict=False):
        _effects(ax, evidence, context, blocks, region)
        ax.set_title(region, fontsize=10, loc="left")
    last = axes[len(regions)]
    # It has rows of its own: it must not share the compositions' axis.
    last.remove()
    grid = axes[0].get_subplotspec()
    assert grid is not None
    place = grid.get_gridspec()
    summary = figure.add_subplot(place[len(regions) // place.ncols, len(regions) % place.ncols])
    _spreads(summary, evidence, views, regions)
    for ax in axes[len(regions) + 1 :]:
        ax.set_visible(False)
    for ax in axes[: len(regions)]:
        ax.tick_params(axis="x", labelbottom=True)
        ax.xaxis.set_major_locator(MaxNLocator(4))
    titles = " or ".join(dict.fromkeys(metric_title(view[4]) for view in views))
    figure.supxlabel(f"{titles}: composition minus the mean of its model's compositions",
                     fontsize=10)  # fmt: skip
    handles: list[Artist] = [
        Patch(color=SPREAD, label="± spread, noise taken off"),
        Patch(color=UPPER, label="to the upper end of its 95 % interval"),
    ]
    handles += _legend(views)
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    caption = (
        f"{'; '.join(f'{view[0]} on {view[1]}, {view[3]} head' for view in views)}; "
        f"n = {context.n}. Dots: mean score of a composition minus the mean over the compositions "
        "of the same model and region, zero pre-training left out; lines: 95 % interval over "
        "draws, pre-train seeds and episodes; hollow: single draw. Grey: the standard deviation "
        "of the true effects. Last panel: that spread with its 95 % interval. The axis is in "
        "points of the score; points of different tasks have no common scale."
    )
    return Parts("sensitivity", figure, "Sensitivity of each model to the composition", caption)


def _spread(evidence: Evidence, view: View, region: str) -> SensitivityRow | None:
    row = evidence.spread(view, region)
    return row if row is not None and row.spread is not None else None


def _compositions(evidence: Evidence, context: ReportContext, view: View) -> list[str]:
    return [n for n in context.order(evidence.compositions(view)) if n != INITIAL]


def _effects(
    ax: Axes,
    evidence: Evidence,
    context: ReportContext,
    blocks: list[tuple[View, list[str]]],
    region: str,
) -> None:
    labels, ticks, y = [], [], 0
    ax.axvline(0, color=INK, lw=0.8, zorder=1)
    for view, names in blocks:
        look = looks_of(evidence, context, view)
        row = _spread(evidence, view, region)
        if row is not None:
            for end, colour in ((row.high, UPPER), (row.spread, SPREAD)):
                assert end is not None
                ax.fill_between([-end, end], y + 0.5, y + len(names) + 0.5, color=colour, lw=0)
        labels.append(view[0])
        ticks.append(y)
        for i, name in enumerate(names, start=y + 1):
            labels.append(name)
            ticks.append(i)
            _effect(ax, evidence, view, name, region, i, look[name])
        y += len(names) + 1
    ax.set_yticks(ticks, labels, fontsize=9)
    models = {view[0] for view, _ in blocks}
    for text in ax.get_yticklabels():
        if text.get_text() in models:
            text.set_fontweight("bold")
    ax.set_ylim(y - 0.3, -0.7)
    _plain(ax)


def _effect(
    ax: Axes, evidence: Evidence, view: View, name: str, region: str, y: int, look: Look
) -> None:
    found = evidence.deviation(view, name, region)
    if found is None:
        return
    if found.low is not None and found.high is not None:
        ax.plot([found.low, found.high], [y, y], color=look.colour, lw=2, alpha=0.7)
    dot(ax, found.deviation, y, look, filled=found.low is not None)


def _spreads(ax: Axes, evidence: Evidence, views: list[View], regions: list[str]) -> None:
    step = 0.7 / max(1, len(views))
    for i, view in enumerate(views):
        marker, colour = _MODELS[i % len(_MODELS)]
        for y, region in enumerate(regions):
            row = _spread(evidence, view, region)
            if row is None or row.low is None or row.high is None or row.spread is None:
                continue
            at = y + (i - (len(views) - 1) / 2) * step
            ax.plot([row.low, row.high], [at, at], color=colour, lw=2, alpha=0.6)
            ax.plot([row.spread], [at], marker=marker, color=colour, ms=5.5, ls="")
    ax.set_yticks(range(len(regions)), regions, fontsize=9)
    ax.set_ylim(len(regions) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.tick_right()
    ax.set_title("Spread [95 % interval]", fontsize=10, loc="left")
    _plain(ax)


def _legend(views: list[View]) -> list[Artist]:
    signs = zip(views, itertools.cycle(_MODELS))
    return [
        Line2D([], [], marker=marker, color=colour, ls="-", label=f"{view[0]}: spread")
        for view, (marker, colour) in signs
    ]


def _plain(ax: Axes) -> None:
    ax.grid(axis="x", color=FAINT, lw=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
