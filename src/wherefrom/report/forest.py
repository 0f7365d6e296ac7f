"""The figure that carries a verdict: differences to the reference as rows of the page itself.

It is no picture, so that it is read on a narrow screen, in the dark and on paper, and each row of
it is a link.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from wherefrom.evidence import INITIAL, DifferenceRow, Headline
from wherefrom.report.context import caveat
from wherefrom.report.rows import Rows, rows_of
from wherefrom.report.style import score_title, signed, turned
from wherefrom.report.verdict import apart

__all__ = ["Forest", "Overview", "Strip", "Tick", "forest", "overview"]

#: How many times as long an axis may get for the controls, before they are cut off.
_LONGEST = 2.0
#: How many times as far as the largest difference, or the margin, an axis reaches on either side.
_WIDEST = 4.0
#: What an axis has on either side of its values, as a share of them: half a number's width.
_SPACE = 0.07


class Strip(NamedTuple):
    """A row: its places on the axis are percentages of its length."""

    label: str
    verdict: str
    caveat: str
    text: str
    detail: str
    at: float
    low: float | None
    high: float | None
    #: "left" or "right" where the value lies beyond the axis.
    beyond: str
    rows: Rows

    @property
    def kind(self) -> str:
        """The first word of the verdict."""
        return self.verdict.split(" ")[0]


class Tick(NamedTuple):
    """A tick: its place, text and short text, and whether it has a text where room is short."""

    at: float
    text: str
    short: str
    major: bool


class Forest(NamedTuple):
    """The figure: rows, ticks of the axis, words.

    The band of the margin has a start and a width.
    """

    title: str
    strips: list[Strip]
    ticks: list[Tick]
    band: tuple[float, float] | None
    zero: float
    axis: str
    caption: str
    #: Number of the headline, from 1.
    part: int = 1


class Overview(NamedTuple):
    """All headlines beside each other: a row a composition, a panel a headline."""

    panels: list[Forest]
    rows: list[tuple[str, list[Strip | None]]]
    axis: str
    caption: str


def forest(headline: Headline, among: Sequence[Headline] = ()) -> Forest | None:
    """Lay out the differences to the first reference, in the region that sums the headline up.

    A control that would make the axis more than twice as long is cut off, and an arrow says so. The
    axis is that of all the headlines that it stands `among`. None without differences.
    """
    reference, margin = headline.evidence.references[0], headline.margin
    rows = headline.differences(reference)
    if not rows:
        return None
    least, most = _limits(among or [headline])
    space = _SPACE * (most - least or 1.0)
    low, high = least - space, most + space

    def at(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 2)

    strips = [
        Strip(
            _label(headline, row.composition),
            row.verdict,
            caveat(row),
            signed(row.difference),
            "no interval" if row.low is None else f"[{signed(row.low)}, {signed(row.high)}]",
            at(row.difference),
            None if row.low is None else at(row.low),
            None if row.high is None else at(row.high),
            "left" if row.difference < low else "right" if row.difference > high else "",
            rows_of(row),
        )
        for row in rows
    ]
    step = _step(most - least or 1.0)
    digits = max(0, -math.floor(math.log10(step)))
    counts = range(math.ceil(least / step), math.floor(most / step) + 1)
    every = max(1, (len(counts) - 1) // (3 if len(among) < 3 else 2))
    ticks = []
    for i in counts:
        text = signed(i * step, digits) if i else "0"
        short = text.replace("0.", ".", 1) if digits else text
        ticks.append(Tick(at(i * step), text, short, i % every == 0))
    what = f"{score_title(headline)} minus that of {headline.called(reference)}{turned(headline)}"
    caption = f"{headline.title}. {READING}"
    if margin:
        caption += f" Band: margin of equivalence, {_band(headline)}."
    caption += _beyond(strips)
    return Forest(
        headline.short,
        strips,
        ticks,
        (at(-margin), round(at(margin) - at(-margin), 2)) if margin else None,
        at(0.0),
        what,
        caption,
    )


def overview(headlines: Sequence[Headline]) -> Overview | None:
    """Lay the headlines out beside each other, on one axis those of one score and reference.

    None without differences.
    """
    panels = []
    for part, one in enumerate(headlines, start=1):
        about = _about(one)
        made = forest(one, [other for other in headlines if _about(other) == about])
        if made is not None:
            panels.append(made._replace(title=apart(one, headlines), part=part))
    if not panels:
        return None
    labels = dict.fromkeys(strip.label for one in panels for strip in one.strips)
    by = [{strip.label: strip for strip in one.strips} for one in panels]
    axes = dict.fromkeys(one.axis for one in panels)
    bands = dict.fromkeys(_band(one) for one in headlines if one.margin)
    caption = f"Each row is a way of choosing the places. {READING}"
    if bands:
        caption += f" Grey band: differences that count as none, {' or '.join(bands)}."
    caption += _beyond([strip for one in panels for strip in one.strips])
    rows = [(label, [known.get(label) for known in by]) for label in labels]
    return Overview(panels, rows, "; ".join(axes), caption)


#: How a figure of differences is read.
READING = (
    "Dots: differences; lines: their 95 % intervals, which hold at once for all that is compared "
    "with one model and head, in all regions. Filled: decided; hollow: undecided."
)


def _label(headline: Headline, composition: str) -> str:
    return "zero pre-training" if composition == INITIAL else headline.called(composition)


def _band(headline: Headline) -> str:
    return f"±{headline.margin:g}{f' {headline.units}' if headline.units else ''}"


def _beyond(strips: Sequence[Strip]) -> str:
    """Say what is cut off by the ends of the axis."""
    said = " Arrow: beyond the axis." if any(strip.beyond for strip in strips) else ""
    if any({strip.low, strip.high} & {0.0, 100.0} for strip in strips if not strip.beyond):
        said += " A line that ends at the edge goes on beyond it."
    return said


def _about(headline: Headline) -> tuple[str, str]:
    return score_title(headline), headline.evidence.references[0]


def _limits(headlines: Sequence[Headline]) -> tuple[float, float]:
    """Return the ends of an axis for the differences of headlines, without controls far off."""
    near, every, widest = [0.0], [0.0], 0.0
    for one in headlines:
        margin, rows = one.margin, one.differences(one.evidence.references[0])
        own = [row for row in rows if row.composition != INITIAL] or rows
        near += [margin, -margin, *(end for row in own for end in _ends(row))]
        every += [end for row in rows for end in _ends(row)]
        widest = max(widest, margin, *(abs(row.difference) for row in own))
    # Intervals of few blocks would squeeze all that is to be seen.
    reach = _WIDEST * widest
    ends = [(max(min(found), -reach), min(max(found), reach)) for found in (near, [*near, *every])]
    (low, high), (least, most) = ends
    return (least, most) if most - least <= _LONGEST * (high - low) else (low, high)


def _ends(row: DifferenceRow) -> list[float]:
    return [end for end in (row.difference, row.low, row.high) if end is not None]


def _step(length: float) -> float:
    """Return a round step that divides an axis into three to seven."""
    power = 10.0 ** math.floor(math.log10(length / 3))
    return max(power * size for size in (1, 2, 5) if power * size * 3 <= length * 1.0001)
