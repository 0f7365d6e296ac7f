"""The figures of a report, each with a title and a caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from wherefrom.earth.maps import draw_places, world_axes
from wherefrom.evidence import (
    BETTER,
    UNDECIDED,
    WORSE,
    Evidence,
    Headline,
)
from wherefrom.report.context import Places, ReportContext
from wherefrom.report.convergence import points_figure, tasks_figure
from wherefrom.report.correlation import correlation_figure
from wherefrom.report.curves import READING, Sweep, sweep_figure
from wherefrom.report.exchange import exchange_figure
from wherefrom.report.sensitivity import sensitivity_figure
from wherefrom.report.style import (
    FAINT,
    INK,
    Drawing,
    Look,
    coloured,
    dot,
    looks_of,
    panels,
    rows_axis,
    score_title,
    share_axis,
    signed,
    turned,
    view_title,
)
from wherefrom.report.transfer import transfer_figure
from wherefrom.report.where import distance_curves
from wherefrom.shown import brief, count_of

if TYPE_CHECKING:
    from wherefrom.study.published import Claim

__all__ = ["figures"]


def figures(evidence: Evidence, context: ReportContext) -> list[Drawing]:
    """Draw all figures that the results and the context allow.

    Those about all models come first (the sensitivity, and maps), then those of each headline,
    whose names end in its own. Without sweep no curves, without places no maps, without a second
    run no figure of variance.
    """
    headlines = context.shown(evidence)
    shared = [
        sensitivity_figure(headlines),
        composition_maps(context.maps, looks_of(headlines[0])),
    ]
    shared += [distance_curves(one, looks_of(headlines[0])) for one in context.where]
    drawn = [drawing for drawing in shared if drawing is not None]
    for headline in headlines:
        view = headline.view
        alone = sum(other.view.model == view.model for other in headlines) == 1
        name = view.model if alone else "-".join(map(str, (*view[:2], *view[3:])))
        own = (
            by_region(headline, context.blind),
            differences_forest(headline),
            heatmap(headline, context.blind),
            scaling(headline, context.blind, context.sweep_region),
            tasks_figure(headline, context),
            points_figure(headline, context),
            variance(headline, context.claims),
            transfer_figure(headline, context),
            correlation_figure(headline, context),
            exchange_figure(headline, context),
            everywhere(headline),
        )
        drawn += [
            drawing._replace(name=f"{drawing.name}_{name}", view=view)
            for drawing in own
            if drawing is not None
        ]
    return drawn


def by_region(headline: Headline, blind: Sequence[str]) -> Drawing:
    """Dots with intervals: rows in each region."""
    # Baselines without features would stretch the axes and squeeze what is compared.
    rows = [row for row in headline.rows if row.key.model not in blind]
    look = looks_of(headline)
    figure, axes = panels(len(headline.regions), len(rows))
    for ax, region in zip(axes, headline.regions, strict=False):
        for y, (_, _, key) in enumerate(rows):
            row = headline.mean(key, region)
            if row is None:
                continue
            style = look[key.composition or key.model]
            dot(ax, row.mean, y, style, row, filled=row.low is not None, alpha=0.55)
        rows_axis(ax, region, [headline.called(row.label) for row in rows])
    share_axis(axes, len(headline.regions), score_title(headline) + turned(headline))
    caption = (
        f"{view_title(headline)}. Dots: mean over blocks and fine-tune seeds; lines: 95 % interval "
        f"of the mean over {headline.covers}; hollow: single block, no interval. "
        "Baselines in grey, without those that have no features."
    )
    return Drawing("by_region", figure, "Scores by region", caption)


def differences_forest(headline: Headline) -> Drawing | None:
    """Forest plot of the differences to the first reference."""
    reference, margin = headline.evidence.references[0], headline.margin
    regions = headline.regions
    units = f" {headline.units}" if headline.units else ""
    names = [
        name
        for name in headline.compositions
        if any(headline.difference(name, reference, region) for region in regions)
    ]
    if not names:
        return None
    look = looks_of(headline)
    figure, axes = panels(len(regions), len(names))
    for ax, region in zip(axes, regions, strict=False):
        ax.axvspan(-margin, margin, color=FAINT, alpha=0.6, lw=0)
        ax.axvline(0, color=INK, lw=0.8)
        for y, name in enumerate(names):
            row = headline.difference(name, reference, region)
            if row is not None:
                dot(ax, row.difference, y, look[name], row, filled=row.verdict != UNDECIDED)
        rows_axis(ax, region, list(map(headline.called, names)))
        ax.xaxis.set_major_locator(MaxNLocator(4))
    share_axis(
        axes, len(regions), f"{score_title(headline)} minus that of {reference}{turned(headline)}"
    )
    caption = (
        f"{view_title(headline)}. Paired differences to {reference} with simultaneous 95 % "
        "intervals. Filled: decided (better, worse or equivalent); hollow: undecided. "
        + (
            f"Grey band: margin of equivalence, ±{margin:g}{units}."
            if margin
            else "No margin of equivalence is stated: none is called equivalent."
        )
    )
    return Drawing("differences", figure, f"Differences to {reference}", caption)


def heatmap(headline: Headline, blind: Sequence[str]) -> Drawing:
    """Mean of every row in every region."""
    rows, regions = headline.rows, headline.regions
    means = [[headline.mean(row.key, region) for region in regions] for row in rows]
    values = np.array([[np.nan if one is None else one.mean for one in line] for line in means])
    # Baselines without features are far below; they must not take the colours from the others.
    scored = values[[row.key.model not in blind for row in rows]]
    low, high = float(np.nanmin(scored)), float(np.nanmax(scored))
    size = (2.2 + 1.05 * len(regions), 1.3 + 0.42 * len(rows))
    higher = headline.view.sign > 0  # light is better
    colours = "cividis" if higher else "cividis_r"
    figure, ax = coloured(values, size, score_title(headline), colours, (low, high))
    middle = (low + high) / 2
    for i, j in np.argwhere(np.isfinite(values)):
        leader = headline.leader(regions[j])
        bold = leader is not None and leader.decided and leader.best == rows[i].label
        ax.text(j, i, f"{values[i, j]:.3f}", ha="center", va="center", fontsize=9,
                weight="bold" if bold else "normal",
                color="white" if (values[i, j] < middle) == higher else "black")  # fmt: skip
    ax.set_xticks(
        range(len(regions)), [brief(region).replace(" ", "\n") for region in regions], fontsize=9
    )
    ax.set_yticks(range(len(rows)), [brief(headline.called(row.label)) for row in rows], fontsize=9)
    caption = (
        f"{view_title(headline)}. Bold only where the data decide that a row is the best of its "
        "column."
    )
    return Drawing("heatmap", figure, "Rows and regions", caption)


def everywhere(headline: Headline) -> Drawing | None:
    """Verdicts against the first reference with every model and head."""
    view, reference = headline.view, headline.evidence.references[0]
    others = headline.beside("task", "n", "metric")
    names = [name for name in headline.compositions if name != reference]
    pairs = [[other.difference(name, reference) for other in others] for name in names]
    if len(others) < 2 or not any(any(row) for row in pairs):
        return None
    values = np.array([[np.nan if p is None else p.difference for p in row] for row in pairs])
    limit = float(np.nanmax(np.abs(values))) or 1.0
    size = (2.4 + 1.0 * len(others), 1.6 + 0.45 * len(names))
    colours = "PuOr_r" if view.sign > 0 else "PuOr"
    figure, ax = coloured(values, size, f"minus {reference}", colours, (-limit, limit))
    signs = {BETTER: "▲", WORSE: "▼", UNDECIDED: "?"}
    for i, row in enumerate(pairs):
        for j, pair in enumerate(row):
            if pair is not None:
                sign = "1 block" if pair.low is None else signs.get(pair.verdict, "≈")
                dark = abs(pair.difference) > 0.6 * limit
                ax.text(j, i, f"{signed(pair.difference)}\n{sign}", ha="center", va="center",
                        fontsize=8, color="white" if dark else "black")  # fmt: skip
    titles = [f"{brief(other.view.model)}\n{brief(other.view.head)}" for other in others]
    ax.set_xticks(range(len(others)), titles, fontsize=8)
    ax.set_yticks(range(len(names)), [brief(headline.called(one)) for one in names], fontsize=9)
    caption = (
        f"Difference to {reference} in {score_title(headline)}, over all regions, "
        f"n = {view.n}, with every model and head. ▲ better, ▼ worse, ≈ equivalent, ? undecided, "
        "all within what is compared with one model and head; 1 block: no interval."
    )
    return Drawing("models_heads", figure, "Does it hold with other models and heads?", caption)


def scaling(headline: Headline, blind: Sequence[str], region: str | None) -> Drawing | None:
    """Differences against the number of labels, for each model and head of the sweep."""
    starts = headline.beside("task", "n", "metric")
    starts.sort(key=lambda h: (h != headline, h.view.model != headline.view.model, h.view))
    panels = [(start, *start.sweep(region)) for start in starts]
    panels = [panel for panel in panels if panel[2]][:4]
    if not panels:
        return None
    sweeps = [
        Sweep(f"{where}: {start.view.model}, {start.view.head} head", where, grown)
        for start, where, grown in panels
    ]
    figure = sweep_figure(sweeps, blind, 2)
    caption = (
        f"{score_title(headline)} in {panels[0][1]} by number of labelled places. {READING} "
        "Baselines without features are left out."
    )
    return Drawing("scaling", figure, "Differences against the number of labels", caption)


def variance(headline: Headline, claims: Sequence[Claim]) -> Drawing | None:
    """Spread over fine-tune seeds, what is claimed of it, and the spread over blocks."""
    names = headline.compositions
    spreads = []
    for name in names:
        rows = [headline.mean(headline.view.key(name), region) for region in headline.parts]
        inner = [row.std_finetune for row in rows if row and row.std_finetune is not None]
        outer = [row.std_blocks for row in rows if row and row.std_blocks is not None]
        spreads.append((inner, outer))
    if not any(outer for _, outer in spreads):
        return None
    look = looks_of(headline)
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
    dashed: dict[str, Any] = {"color": "#777777", "lw": 1.0, "ls": (0, (4, 3))}
    signs = [
        Line2D([], [], color=INK, marker="o", ls="", label="over fine-tune seeds, within a block"),
        Line2D([], [], color=INK, marker="D", mfc="white", ls="",
               label="over blocks, of their means"),
    ]  # fmt: skip
    for claim in claims:
        if claim.above is not None:
            label = f"{claim.above:g}: criterion of {claim.source}"
            signs.append(ax.axvline(claim.above, label=label, **dashed))
    ax.set_xlim(left=0)
    rows_axis(ax, "", list(map(headline.called, names)))
    ax.set_xlabel(f"standard deviation of {score_title(headline)}")
    figure.legend(handles=signs, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    caption = (
        f"{view_title(headline)}. Small dots: regions; large: their mean. The spread over "
        "fine-tune seeds is that of few-shot splits; only the spread over blocks (a draw and "
        "a pre-training each) says how far another pre-training of the same kind would differ."
    )
    return Drawing("variance", figure, "Spread over fine-tune seeds and over blocks", caption)


def composition_maps(maps: Mapping[str, Places], look: Mapping[str, Look]) -> Drawing | None:
    """Draw the places of every composition (degrees); None if there are none."""
    names = [name for name, (lon, _) in maps.items() if len(lon)]
    if not names:
        return None
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.35 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax, name in zip(grid, names, strict=False):
        lon, lat = maps[name]
        world_axes(ax)
        colour = look[name].colour if name in look else "#444444"
        # Fewer places get larger dots, so that a small composition is not lost on the map.
        draw_places(ax, lon, lat, color=colour, size=min(6.0, max(0.8, 6000 / len(lon))))
        ax.set_title(f"{brief(name)} ({count_of(len(lon), 'place')})", fontsize=10)
    for ax in grid[len(names) :]:
        ax.set_visible(False)
    caption = (
        "Places of one draw of each composition, Equal Earth projection (areas are true). "
        "Zero pre-training (none) has no places. All models are pre-trained on the same draws."
    )
    return Drawing("maps", figure, "Where the compositions come from", caption)
