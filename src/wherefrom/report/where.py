"""Where the pre-training places lie: tables, figure and sentences on distance and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from wherefrom.evidence.nearness import EffectRow, LawRow, Nearness
from wherefrom.evidence.recut import ALL_PLACES
from wherefrom.evidence.redraws import BENDS_KM
from wherefrom.evidence.runs import FLOOR_KM
from wherefrom.report.context import Statement
from wherefrom.report.rows import Rows, links, rows_of
from wherefrom.report.style import FAINT, Drawing, Look, estimate, number, signed
from wherefrom.report.tables import Cell, Grid, Line
from wherefrom.shown import brief

__all__ = [
    "LEGEND", "curve_name", "distance_curves", "distance_grid", "effect_grid", "law_grid", "said",
    "title",
]  # fmt: skip


def title(one: Nearness) -> str:
    """Name a headline as its section does."""
    return f"{one.model} on {one.task}"


def distance_grid(one: Nearness) -> Grid:
    """Make the table of distances: compositions by regions."""
    rows = {(row.composition, row.region): row for row in one.distances}
    lines = []
    for name in dict.fromkeys(row.composition for row in one.distances):
        cells = []
        for region in one.regions:
            row = rows[name, region]
            shares = (row.within_5_km, row.within_50_km, row.within_500_km)
            cells.append(
                Cell(
                    f"{_km(row.median_km)} km",
                    row.median_km,
                    detail=f"{_km(row.p10_km)} to {_km(row.p90_km)}; "
                    + " / ".join(f"{share:.0%}" for share in shares),
                    rows=rows_of(row),
                )
            )
        lines.append(Line(name, "composition", cells))
    caption = (
        f"distance of test places to the nearest pre-training place, {title(one)}: median, and "
        "below it 10 % to 90 % (km); share nearer than 5 / 50 / 500 km"
    )
    return Grid(caption, one.regions, lines, _rows("distances", one))


def effect_grid(one: Nearness, region: str = ALL_PLACES) -> Grid:
    """Make the table of effects as observed and at equal distance, over all test places."""
    lines = []
    for row in one.effects:
        if row.region != region:
            continue
        ends = (row.effect, row.low, row.high)
        other = row.composition != row.reference
        cells = [
            Cell(f"{10**row.farther:.2g} ×" if other else "–", row.farther),
            Cell(f"{row.overlap:.0%}" if other else "–", row.overlap),
            _estimated(one, *ends) if other else Cell("–"),
            _equal(one, row) if other else Cell("–"),
            _estimated(one, row.slope, row.slope_low, row.slope_high),
        ]
        cells = [replace(cell, rows=rows_of(row)) for cell in cells]
        lines.append(Line(row.composition, "composition", cells))
    caption = f"difference to {one.reference} in {_unit(one)}, {title(one)}, {region}"
    columns = [
        "farther (mean of the logarithm)",
        "distances in common",
        "as observed",
        "at equal distance",
        "own change for 10 × the distance",
    ]
    return Grid(caption, columns, lines, _rows("distance_effects", one, region=region))


def _times(spread: float | None) -> Cell:
    return Cell("–") if spread is None else Cell(f"{10**spread:.2f} ×", spread)


def law_grid(one: Nearness) -> Grid:
    """Make the table of the law, region by region."""
    lines = []
    for row in one.laws:
        cells = [
            _estimated(one, row.slope, row.low, row.high),
            Cell(_ends(row.log_odds, row.log_odds_low, row.log_odds_high, 1.0, 2)),
            _estimated(one, row.near, row.near_low, row.near_high),
            _estimated(one, row.middle, row.middle_low, row.middle_high),
            _estimated(one, row.far, row.far_low, row.far_high),
            _estimated(one, row.across, row.across_low, row.across_high),
            Cell(number(row.mean)),
            _times(row.redraw_spread),
            Cell(f"{row.test_places:,}", row.test_places),
        ]
        cells = [replace(cell, rows=rows_of(row)) for cell in cells]
        lines.append(Line(row.region, "composition", cells))
    columns = [
        "between draws",
        "as log-odds",
        f"below {BENDS_KM[0]:g} km",
        f"{BENDS_KM[0]:g} to {BENDS_KM[1]:g} km",
        f"beyond {BENDS_KM[1]:g} km",
        "all contrasts",
        "mean",
        "redraws differ by",
        "test places",
    ]
    caption = f"change for ten times the distance, in {_unit(one)}, {title(one)}"
    return Grid(caption, columns, lines, _rows("distance_law", one))


def _rows(file: str, one: Nearness, **more: str) -> Rows:
    known = {"model": one.model, "task": one.task, "n": str(one.n), "head": one.head, **more}
    if file == "distances":  # they are the same for all heads
        del known["n"], known["head"]
    return Rows(file, tuple(known.items()))


def said(one: Nearness) -> list[Statement]:
    """Say what scores owe to distance, what is left of the compositions, and what is not known."""
    law = one.law()
    made = []
    if law is not None:
        for part in (_slope, _bent, _left, _limits):
            made += [
                said if said.links else said._replace(links=links(said.text, rest=rows_of(law)))
                for said in part(one, law)
            ]
    gone = ", ".join(one.left_out)
    return [*made, *([Statement("limit", f"Without distance: {gone}.")] if gone else [])]


def _slope(one: Nearness, law: LawRow) -> list[Statement]:
    if law.slope is None:
        why = {"single block": "there is one block, hence no second draw of a composition"}.get(
            law.note, law.note
        )
        return [Statement("undecided", f"What scores owe to distance cannot be told: {why}.")]
    odds = _ends(law.log_odds, law.log_odds_low, law.log_odds_high, 1.0, 2)
    also = f" (log-odds {odds})" if law.log_odds is not None else ""
    value = _ends(law.slope, law.low, law.high, _scale(one))
    how = (
        f"measured between draws of one composition at one test place ({law.test_places:,} places, "
        f"{law.compositions} compositions, {law.blocks} blocks)"
    )
    if law.low is None or law.high is None:
        text = f"Ten times the distance: {value} {_unit(one)}, {how}; no interval: {law.note}."
        return [Statement("undecided", text)]
    if law.low <= 0 <= law.high:
        text = f"No effect of distance is shown: ten times as far, a test place changes by {value}"
        return [Statement("undecided", f"{text} {_unit(one)}{also}, {how}.")]
    text = f"Distance matters: ten times as far from the nearest pre-training place is {value}"
    return [Statement("decided", f"{text} {_unit(one)}{also}, {how}.")]


def _left(one: Nearness, law: LawRow) -> list[Statement]:
    """Say what is left of every composition's difference to the reference."""
    if law.slope is None:
        return []
    rows = [
        row for row in one.effects if row.region == ALL_PLACES and row.composition != row.reference
    ]
    told = [row for row in rows if row.at_equal_distance is not None]
    groups: dict[str, list[str]] = {}
    pieces = []
    for row in told:
        low, high = row.equal_low, row.equal_high
        if low is None or high is None:
            group = "Without interval"
        elif low <= 0 <= high:
            group = "Not shown to differ"
        else:
            group = "A difference is left of"
        value = _ends(row.at_equal_distance, low, high, _scale(one))
        observed = signed(row.effect * _scale(one), 1)
        piece = f"{row.composition} {value}, as observed {observed}"
        groups.setdefault(group, []).append(piece)
        pieces.append((piece, rows_of(row)))
    made = []
    if groups:
        text = " ".join(f"{what}: {'; '.join(names)}." for what, names in groups.items())
        kind = "decided" if set(groups) == {"A difference is left of"} else "partly"
        kind = kind if "A difference is left of" in groups else "undecided"
        head = f"With the distances of {one.reference}, difference to it in {_unit(one)}. "
        made.append(Statement(kind, head + text, links=links(head + text, pieces)))
    if apart := [row for row in rows if row.at_equal_distance is None]:
        names = ", ".join(f"{row.composition} ({row.overlap:.0%} in common)" for row in apart)
        text = (
            f"Composition and distance cannot be told apart for {names}: too few of its test "
            f"places lie at distances that {one.reference} has, too, and the law is not drawn on "
            "to the others."
        )
        pieces = [
            (f"{row.composition} ({row.overlap:.0%} in common)", rows_of(row)) for row in apart
        ]
        made.append(Statement("undecided", text, links=links(text, pieces)))
    return made


def _limits(one: Nearness, law: LawRow) -> list[Statement]:
    made = []
    ends = (law.low, law.high, law.across_low, law.across_high)
    if law.slope is not None and law.across is not None and all(end is not None for end in ends):
        low, high, other_low, other_high = (float(end or 0.0) for end in ends)
        if high < other_low or other_high < low:
            across = _ends(law.across, law.across_low, law.across_high, _scale(one))
            text = (
                f"All contrasts at a place, those between compositions among them, give {across} "
                "for ten times the distance: they also hold what kinds of compositions do to kinds "
                "of places, and are not taken for the effect of distance."
            )
            made.append(Statement("limit", text))
    return made


def _bent(one: Nearness, law: LawRow) -> list[Statement]:
    """Say where the law changes."""
    near, far = BENDS_KM
    stretches = {
        f"below {near:g} km": (law.near, law.near_low, law.near_high),
        f"from {near:g} to {far:g} km": (law.middle, law.middle_low, law.middle_high),
        f"beyond {far:g} km": (law.far, law.far_low, law.far_high),
    }
    told = [
        f"{where} {_ends(*ends, _scale(one))}"
        for where, ends in stretches.items()
        if ends[0] is not None
    ]
    if len(told) < 2:
        return []
    text = f"For ten times the distance, {'; '.join(told)} {_unit(one)}"
    return [Statement("limit", f"{text}: compositions are put at equal distance by these.")]


def distance_curves(one: Nearness, look: Mapping[str, Look]) -> Drawing | None:
    """Draw scores against distance, a line with its name for each composition."""
    rows = [row for row in one.curves if row.region == ALL_PLACES]
    names = list(dict.fromkeys(row.composition for row in rows))
    if not names:
        return None
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    ax = figure.add_subplot()
    ends = []
    for name in names:
        own = [row for row in rows if row.composition == name]
        style = look.get(name, Look("#555555", "o", "-"))
        x, y = [row.median_km for row in own], [row.adjusted * _scale(one) for row in own]
        ax.plot(x, y, color=style.colour, marker=style.marker, ms=4.5, lw=1.6, ls=style.dash)
        ends.append((y[-1], x[-1], name, style.colour))
    low, high = ax.get_ylim()
    heights = _spaced([end[0] for end in ends], (high - low) / 18)
    for (y_end, x_end, name, colour), height in zip(ends, heights, strict=True):
        right = max(row.median_km for row in rows) * 1.35
        ax.plot([x_end, right], [y_end, height], color=colour, lw=0.6, alpha=0.6)
        ax.text(right, height, f" {brief(name)}", color=colour, fontsize=9, va="center")
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda km, _: f"{km:,.0f}"))
    ax.set_xlim(right=max(row.median_km for row in rows) * 6)
    ax.set_xlabel("km to the nearest pre-training place (logarithmic)")
    what = "share right (%)" if one.units is None else _unit(one)
    ax.set_ylabel(f"{what}, of places of mean difficulty")
    ax.grid(axis="y", color=FAINT, lw=0.7)
    ax.spines[["top", "right"]].set_visible(False)
    caption = (
        f"{title(one)}, {one.head} head, n = {one.n}. Mean score of test places by their distance "
        "to the nearest pre-training place, in bins of a quarter of a factor of 10, over all "
        "blocks and few-shot seeds. How hard a place is for all compositions alike is taken off; "
        "how a kind of composition fares at a kind of place is not, so that a line also holds it. "
        "The law is measured between draws."
    )
    return Drawing(curve_name(one), figure, f"Scores against distance: {title(one)}", caption)


def curve_name(one: Nearness) -> str:
    """Return the name of the figure of a headline."""
    return f"distance_{one.model}_{one.task}_{one.head}"


def _spaced(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart until they are at least `gap` from each other, in their order."""
    order = np.argsort(values)
    placed = np.array(values, dtype=np.float64)[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    placed -= (placed - np.array(values)[order]).mean()
    back = np.empty_like(placed)
    back[order] = placed
    return [float(one) for one in back]


def _scale(one: Nearness) -> float:
    return 100.0 if one.units is None else 1.0


def _unit(one: Nearness) -> str:
    if one.units is None:
        return "points of accuracy"
    return f"squared error ({one.units}²)" if one.units else "squared error"


def _km(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _ends(
    value: float | None, low: float | None, high: float | None, scale: float, digits: int = 1
) -> str:
    if value is None:
        return "–"
    ends = [None if end is None else end * scale for end in (low, high)]
    return estimate(value * scale, *ends, sign=True, digits=digits)


def _estimated(one: Nearness, value: float | None, low: float | None, high: float | None) -> Cell:
    return Cell(_ends(value, low, high, _scale(one)), value)


def _equal(one: Nearness, row: EffectRow) -> Cell:
    if row.at_equal_distance is None:
        return Cell("not told", hint="too few distances in common, or no slope")
    return _estimated(one, row.at_equal_distance, row.equal_low, row.equal_high)


#: What stands under the tables.
LEGEND = (
    f"Great-circle distances to the places of the draws, over all blocks; below {FLOOR_KM:g} km "
    f"they count as {FLOOR_KM:g} km in the law. Between draws: the same composition drawn anew, at "
    "the same test place, so that neither the place nor the kind of composition differs. All "
    "contrasts: those between compositions at a place as well. At equal distance: the difference "
    f"as observed, less the change that a law that may bend at {BENDS_KM[0]:g} and {BENDS_KM[1]:g} "
    "km gives for the distance; not told where less than a fifth of the distances is in common, or "
    "the draws give no slope for where they differ. Intervals are of 95 %, each for itself, over "
    "draws, pre-trainings, few-shot seeds and test places."
)
