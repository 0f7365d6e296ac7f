"""The figure that carries a verdict: differences to the reference as rows of the page itself.

It is no picture, so that it is read on a narrow screen, in the dark and on paper, and each row of
it is a link.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from wherefrom.evidence import INITIAL, DifferenceRow, Headline
from wherefrom.report.context import caveat
from wherefrom.report.rows import Rows, rows_of
from wherefrom.report.style import score_title, signed, turned

__all__ = ["Forest", "Strip", "forest"]

#: How many times as long an axis may get for the controls, before they are cut off.
_LONGEST = 2.0
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


class Forest(NamedTuple):
    """The figure: rows, ticks of the axis with their places, words.

    The band of the margin has a start and a width.
    """

    strips: list[Strip]
    ticks: list[tuple[float, str]]
    band: tuple[float, float] | None
    zero: float
    axis: str
    caption: str


def forest(headline: Headline) -> Forest | None:
    """Lay out the differences to the first reference, in the region that sums the headline up.

    A control that would make the axis more than twice as long is cut off, and an arrow says so.
    None without differences.
    """
    reference, margin = headline.evidence.references[0], headline.margin
    rows = headline.differences(reference)
    if not rows:
        return None
    near = [row for row in rows if row.composition != INITIAL] or rows
    ends = [end for row in near for end in _ends(row)] + [0.0, margin, -margin]
    every = [end for row in rows for end in _ends(row)] + ends
    if max(every) - min(every) <= _LONGEST * (max(ends) - min(ends)):
        ends = every
    least, most = min(ends), max(ends)
    space = _SPACE * (most - least or 1.0)
    low, high = least - space, most + space

    def at(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 2)

    strips = [
        Strip(
            "zero pre-training" if row.composition == INITIAL else headline.called(row.composition),
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
    ticks = [i * step for i in range(math.ceil(least / step), math.floor(most / step) + 1)]
    what = f"{score_title(headline)} minus that of {headline.called(reference)}{turned(headline)}"
    caption = (
        f"{headline.title}. Lines: 95 % intervals that hold at once for all that is compared with "
        "this model and head, in all regions. Filled: decided; hollow: undecided."
    )
    if margin:
        units = f" {headline.units}" if headline.units else ""
        caption += f" Band: margin of equivalence, ±{margin:g}{units}."
    if any(strip.beyond for strip in strips):
        caption += " Arrow: beyond the axis."
    return Forest(
        strips,
        [(at(value), signed(value, digits) if round(value / step) else "0") for value in ticks],
        (at(-margin), round(at(margin) - at(-margin), 2)) if margin else None,
        at(0.0),
        what,
        caption,
    )


def _ends(row: DifferenceRow) -> list[float]:
    return [end for end in (row.difference, row.low, row.high) if end is not None]


def _step(length: float) -> float:
    """Return a round step that divides an axis into three to seven."""
    power = 10.0 ** math.floor(math.log10(length / 3))
    return max(power * size for size in (1, 2, 5) if power * size * 3 <= length * 1.0001)
