"""How sensitive each model is to the composition: table and sentences."""

from __future__ import annotations

from wherefrom.evidence import (
    ALL_REGIONS,
    Evidence,
    SensitivityDifferenceRow,
    compare,
)
from wherefrom.evidence.gather import View
from wherefrom.report.context import ReportContext
from wherefrom.report.style import metric_title, number, signed
from wherefrom.report.tables import Cell, Grid, Line, called, last_region
from wherefrom.report.words import Statement

__all__ = ["compared", "comparison", "sensitivity_grid", "sensitivity_statements"]

HOLDS = "holds"
FAILS = "does not hold"
OPEN = "is undecided"


def sensitivity_grid(evidence: Evidence, view: View) -> Grid | None:
    """Make the table of one headline's sensitivity by region; None without two compositions."""
    found = [evidence.spread(view, region) for region in evidence.regions(view)]
    rows = [row for row in found if row is not None]
    if not rows:
        return None
    cells = [
        ("spread of the true effects", [_cell(row.spread, row.low, row.high, 4) for row in rows]),
        ("spread of the observed means", [_cell(row.observed, digits=4) for row in rows]),
        ("range of the observed means", [_cell(row.range) for row in rows]),
        ("lowest", [Cell(row.lowest) for row in rows]),
        ("highest", [Cell(row.highest) for row in rows]),
        ("gain over zero pre-training", [_cell(r.gain, r.gain_low, r.gain_high) for r in rows]),
        (
            "spread as a share of the gain",
            [_cell(row.share, row.share_low, row.share_high, 2) for row in rows],
        ),
    ]
    notes = dict.fromkeys(row.note for row in rows if row.note)
    caption = (
        f"{metric_title(view[4])}, {called(view)}: spread over {rows[-1].compositions} "
        "compositions [95 % interval]" + "".join(f"; {note}" for note in notes)
    )
    lines = [Line(name, "composition", line) for name, line in cells]
    return Grid(caption, [row.region for row in rows], lines)


def sensitivity_statements(evidence: Evidence, context: ReportContext) -> list[Statement]:
    """Say how sensitive each headline's model is, and whether the first is more so than others.

    Where the context has a published claim about two models, it is put to the test; the words
    are "holds", "does not hold" and "is undecided".
    """
    found = [_one(evidence, view) for view in context.views(evidence)]
    found.append(comparison(evidence, context))
    if (pair := compared(evidence, context)) is not None:
        found.append(_by_region(evidence, *pair))
    return [statement for statement in found if statement is not None]


def comparison(evidence: Evidence, context: ReportContext) -> Statement | None:
    """Say whether the first of the two compared models is the more sensitive; None if alone."""
    pair = compared(evidence, context)
    return None if pair is None else _pair(evidence, context, *pair)


def compared(evidence: Evidence, context: ReportContext) -> tuple[View, View] | None:
    """Return the two headlines to compare: those of the claim, or else the first two models."""
    views = {view[0]: view for view in reversed(context.views(evidence))}
    names = context.claim[:2] if context.claim else [view[0] for view in context.views(evidence)]
    pair = [views[name] for name in dict.fromkeys(names) if name in views][:2]
    return (pair[0], pair[1]) if len(pair) == 2 else None


def _one(evidence: Evidence, view: View) -> Statement | None:
    region = last_region(evidence, view)
    row = evidence.spread(view, region)
    if row is None:
        return None
    where = f"over {len(evidence.regions(view)) - 1} regions" if region == ALL_REGIONS else region
    text = f"Sensitivity of {called(view)} ({where}): "
    ends = f"from {row.lowest} to {row.highest} the observed means range over {number(row.range)}"
    if row.spread is None:
        return Statement("undecided", f"{text}no spread, for {row.note}; {ends}.")
    text += (
        f"the true scores of {row.compositions} compositions have a standard deviation of "
        f"{_interval(row.spread, row.low, row.high, digits=4)}; {ends}."
    )
    if row.gain is not None:
        text += (
            " Their mean gain over zero pre-training is "
            f"{_interval(row.gain, row.gain_low, row.gain_high, sign=True)}; "
        )
        text += (
            f"the spread is {_interval(row.share, row.share_low, row.share_high, digits=2)} times "
            "that."
            if row.share is not None
            else "it is not shown to be above zero, so the spread is not set against it."
        )
    return Statement("decided" if (row.low or 0) > 0 else "undecided", text)


def _pair(
    evidence: Evidence, context: ReportContext, first: View, second: View
) -> Statement | None:
    a, b = (evidence.spread(view, last_region(evidence, view)) for view in (first, second))
    if a is None or b is None:
        return None
    row = compare(a, b)
    plain, share = _plain(row, evidence.margin), _share(row)
    subject = f"that {first[0]} is more sensitive to the composition than {second[0]}"
    text = (
        f"{context.claim[2]} states {subject}. Here this "
        if context.claim
        else f"The statement {subject} "
    )
    text += f"{plain} in points of {metric_title(first[4])}: "
    if row.difference is None:
        lone = [f"{one.model} has no spread ({one.note})" for one in (a, b) if one.spread is None]
        text += f"{' and '.join(lone)}. "
    else:
        text += (
            f"{number(a.spread, 4)} against {number(b.spread, 4)}, difference "
            f"{_interval(row.difference, row.low, row.high, sign=True, digits=4)}. "
        )
    text += f"As a share of each model's own gain over zero pre-training it {share}: "
    if row.share_difference is None:
        flat = [one.model for one in (a, b) if one.spread is not None and one.share is None]
        why = [f"the gain of {' and of '.join(flat)} is not shown to be above zero"] * bool(flat)
        why += ["one has no spread"] * (row.difference is None)
        text += f"{', and '.join(why)}. "
    else:
        ends = _interval(row.share_difference, row.share_low, row.share_high, sign=True, digits=2)
        text += f"{number(a.share, 2)} against {number(b.share, 2)}, difference {ends}. "
    if first[1] != second[1]:
        text += (
            f"Points on {first[1]} and on {second[1]} have no common scale; the share is free of "
            "the scale, not of the task."
        )
    kind = "undecided" if OPEN in (plain, share) or plain != share else "decided"
    return Statement(kind, text.strip())


def _by_region(evidence: Evidence, first: View, second: View) -> Statement | None:
    words: dict[str, list[str]] = {}
    for region in evidence.regions(first):
        a, b = evidence.spread(first, region), evidence.spread(second, region)
        if region != ALL_REGIONS and a is not None and b is not None:
            words.setdefault(_plain(compare(a, b), evidence.margin), []).append(region)
    if sum(map(len, words.values())) < 2:
        return None
    order = [word for word in (HOLDS, FAILS, OPEN) if word in words]
    text = (
        f"By region, that {first[0]} is more sensitive than {second[0]} in points of "
        f"{metric_title(first[4])} "
    )
    text += "; ".join(f"{word} in {', '.join(words[word])}" for word in order)
    return Statement("limit", f"{text} (not corrected for the number of regions).")


def _plain(row: SensitivityDifferenceRow, margin: float) -> str:
    """Judge the claim in points: a difference below the margin of equivalence is of no matter."""
    if row.low is None or row.high is None:
        return OPEN
    return FAILS if row.high < margin else HOLDS if row.low > 0 else OPEN


def _share(row: SensitivityDifferenceRow) -> str:
    if row.share_low is None or row.share_high is None:
        return OPEN
    return FAILS if row.share_high <= 0 else HOLDS if row.share_low > 0 else OPEN


def _cell(
    value: float | None, low: float | None = None, high: float | None = None, digits: int = 3
) -> Cell:
    detail = "" if low is None else f"[{_digits(low, digits)}, {_digits(high, digits)}]"
    return Cell(_digits(value, digits), value, detail=detail)


def _digits(value: float | None, digits: int) -> str:
    return number(value, digits).replace("-", "−")


def _interval(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    sign: bool = False,
    digits: int = 3,
) -> str:
    write = signed if sign else number
    ends = "" if low is None else f" [{write(low, digits)}, {write(high, digits)}]"
    return write(value, digits) + ends
