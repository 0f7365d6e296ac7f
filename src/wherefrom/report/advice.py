"""Advice on a target in words, as a table for a terminal and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.csv as pc
from rich.table import Table

from wherefrom import shown
from wherefrom.evidence import ALL_REGIONS, INITIAL, RARE_DRAWS, table_of
from wherefrom.evidence.advice import (
    ABOVE,
    BELOW,
    BEST,
    LEVEL,
    LOWER,
    MOST_BLOCKS,
    OPEN,
    UNRANKED,
    Advice,
    More,
    RankedRow,
)
from wherefrom.evidence.power import POWER
from wherefrom.files import atomic
from wherefrom.report.style import estimate, number, score_title
from wherefrom.shown import count_of

__all__ = ["advice_table", "said", "write_advice"]

#: Words of the table, as the page marks verdicts.
_BRIEF = {
    BEST: "best",
    LEVEL: "≈ as good",
    OPEN: "? open",
    LOWER: "▼ worse",
    ABOVE: "▲ better",
    BELOW: "below, not tuned",
    UNRANKED: UNRANKED,
}
#: Digits of a width: differences between compositions are of thousandths.
_DIGITS = 4


def said(advice: Advice) -> list[str]:
    """Say what the runs decide, what they do not, and which further run would.

    The first sentence is the verdict, with its population.
    """
    compositions = [row for row in advice.rows if row.kind in ("composition", INITIAL)]
    lines = [_verdict(advice), *_others(advice, compositions), *_beside(advice)]
    if advice.now is not None:
        lines += _further(advice, advice.now)
    elif len(compositions) > 1:
        lines.append("No further run is needed to rank these compositions here.")
    lines.append(RARE_DRAWS)
    return lines


def advice_table(advice: Advice) -> Table:
    """Lay out the ranking: score, difference to the leader with its interval, and verdict."""
    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    made.add_column("", overflow="fold")
    made.add_column("score", justify="right")
    made.add_column(f"minus {shown.line(advice.leader)}", justify="right", overflow="fold")
    made.add_column("", no_wrap=True)
    if advice.now is not None:
        made.add_column("blocks to decide", justify="right")
    for row in advice.rows:
        style = "dim" if row.kind in ("baseline", "official") else ""
        apart = (
            "" if row.difference is None else estimate(row.difference, row.low, row.high, sign=True)
        )
        made.add_row(
            shown.line(_called(row)),
            number(row.score),
            apart,
            _BRIEF[row.group],
            *([] if advice.now is None else [_need(row)]),
            style=style,
        )
    return made


def write_advice(advice: Advice, file: Path) -> Path:
    """Write the ranking as CSV, with what it is about in every line."""
    table = table_of(advice.rows, RankedRow)
    about = [("region", advice.region), *advice.headline.view._asdict().items()]
    for at, (name, value) in enumerate(about):
        table = table.add_column(at, name, [[value] * len(table)])
    with atomic(file) as tmp:
        pc.write_csv(shown.cells(table), tmp)
    return file


def _verdict(advice: Advice) -> str:
    headline = advice.headline
    score = f"{score_title(headline)} ({headline.title}; {headline.population})"
    where = "over all regions" if advice.region == ALL_REGIONS else f"for {advice.region}"
    tied, level = _rivals(advice, OPEN), _rivals(advice, LEVEL)
    best = advice.of(BEST)
    if best:
        return f"{_name(advice.leader)} is certainly the best composition {where}, by {score}."
    if tied:
        known = [one.detectable for one in advice.of(OPEN) if one.detectable is not None]
        ends = dict.fromkeys(number(one) for one in (min(known), max(known))) if known else ()
        seen = (
            f" These runs would have found a difference of {' to '.join(ends)} with probability "
            f"{POWER:g}."
            if known
            else ""
        )
        return (
            f"The evidence cannot decide which composition is best {where}, by {score}: "
            f"{_name(advice.leader)} has the {headline.best} mean, and cannot be told from "
            f"{_listed(tied)}.{seen}{_in_vain(advice)}"
        )
    if level:
        return (
            f"{where[0].upper()}{where[1:]}, it does not matter which of {_name(advice.leader)}, "
            f"{_listed(level)} is taken: they differ by less than {headline.margin:g} in {score}."
            f"{_in_vain(advice)}"
        )
    return f"No composition but {_name(advice.leader)} can be ranked {where}, by {score}."


def _in_vain(advice: Advice) -> str:
    """Say that pre-training is not shown to help, where it is not."""
    if advice.leader == INITIAL:
        return " No pre-training here has a better mean than none."
    zero = [row for row in advice.rows if row.kind == INITIAL and row.group in (OPEN, LEVEL)]
    return " So the leader is not shown to be better than zero pre-training." if zero else ""


def _rivals(advice: Advice, group: str) -> list[str]:
    """Name the compositions of a group beside the leader."""
    rows = advice.of(group, "composition", INITIAL)
    return [row.row for row in rows if row.row != advice.leader]


def _others(advice: Advice, compositions: Sequence[RankedRow]) -> list[str]:
    own = [row.row for row in compositions]
    lines = []
    for group, text in (
        (LOWER, "Certainly worse than the leader"),
        (ABOVE, "In the blocks that both have, certainly better than the leader"),
        (UNRANKED, "Not ranked, for want of two blocks in common with the leader"),
    ):
        names = [row.row for row in advice.of(group) if row.row in own]
        if names:
            lines.append(f"{text}: {_listed(names)}.")
    level = _rivals(advice, LEVEL)
    if level and _rivals(advice, OPEN):
        margin = advice.headline.margin
        lines.append(f"As good as the leader within {margin:g}: {_listed(level)}.")
    part = [row for row in compositions if "in common" in row.note]
    lines += [f"{row.row}: compared in {row.note}." for row in part]
    return lines


def _beside(advice: Advice) -> list[str]:
    """Name baselines and published weights that no composition is shown to beat."""
    kinds = {"baseline": "no pre-training", "official": "published weights"}
    lines = []
    for group, text in (
        (ABOVE, "Certainly better than the best composition"),
        (LEVEL, f"As good as the best composition within {advice.headline.margin:g}"),
        (OPEN, "Not told from the best composition"),
    ):
        names = [f"{row.row} ({kinds[row.kind]})" for row in advice.of(group, *kinds)]
        if names:
            lines.append(f"{text}: {_listed(names)}.")
    return lines


def _further(advice: Advice, now: More) -> list[str]:
    """Say which run would decide what is open, and what the hours at hand buy."""
    run, limit, got, costs = advice.run, advice.limit, advice.affords, advice.costs
    margin = advice.headline.margin
    sensitive = advice.headline.evidence.comparisons[advice.headline.view].sensitive
    also = f", or call it equivalent within {margin:g}" if sensitive and margin else ""
    lines = [
        f"Hardest: to tell {_name(now.row)} from the leader{also}, ±"
        f"{number(now.half_width, _DIGITS)} must fall below ±{number(now.needed, _DIGITS)}."
    ]
    if not sensitive:
        lines.append("As no positive control is told from the reference, none can be called equal.")
    if run is not None:
        hours = "unknown hours" if run.hours is None else _core(run.hours)
        lines.append(f"Cheapest run that decides all that is open: {_run(run)}, for {hours}.")
    elif limit is not None:
        cause = f"it takes more than {MOST_BLOCKS:,} blocks"
        if not limit.decides:
            cause = (
                f"the test places alone leave ±{number(limit.half_width, _DIGITS)} where "
                f"±{number(limit.needed, _DIGITS)} is needed ({_name(limit.row)})"
            )
        lines.append(f"No further blocks and episodes decide all of it: {cause}.")
        some = [row for row in advice.of(OPEN) if row.blocks is not None]
        if some:
            named = [f"{_name(row.row)} ({_blocks(row.blocks)})" for row in some]
            lines.append(f"Further blocks would decide {_listed(named)} alone.")
    if costs is None:
        lines.append("What a block costs is not known: the store lacks the times of its stages.")
    else:
        lines.append(f"One more block of this model takes {_core(costs.hours(1))}.")
    if got is not None and run is not None and (run.hours or 0.0) <= (advice.hours or 0.0):
        lines.append(f"That run is within the {_core(advice.hours or 0.0)} at hand.")
    elif got is not None:
        lines.append(
            f"The {_core(advice.hours or 0.0)} at hand buy "
            f"{count_of(got.blocks, 'further block')}, which do not decide it: ±"
            f"{number(got.half_width, _DIGITS)} where ±{number(got.needed, _DIGITS)} is needed "
            f"({_name(got.row)})."
        )
    lines.append(
        "All this if they differ as they do here; a true difference of just the half-width is "
        "found in one study of two."
    )
    return lines


def _run(run: More) -> str:
    parts = [
        count_of(run.blocks, "further block") if run.blocks else "",
        count_of(run.episodes, "more episode") if run.episodes else "",
        f"{run.places:,} more test places in each region" if run.places else "",
    ]
    return " with ".join(filter(None, parts))


def _core(hours: float) -> str:
    """Write core hours, or minutes where they are few."""
    if hours < 1:
        return f"{hours * 60:.1f} core minutes"
    return f"{hours:,.1f} core hours" if hours < 100 else f"{hours:,.0f} core hours"


def _blocks(blocks: int | None) -> str:
    return f">{MOST_BLOCKS:,}" if blocks is None else f"{blocks:,}"


def _need(row: RankedRow) -> str:
    return "" if row.needed is None else _blocks(row.blocks)


def _name(row: str) -> str:
    """Call a composition by a name that no sentence misreads ("none is best")."""
    return "zero pre-training (none)" if row == INITIAL else row


def _called(row: RankedRow) -> str:
    return f"{INITIAL} (random)" if row.kind == INITIAL else row.row


def _listed(names: Sequence[str]) -> str:
    called = list(map(_name, names))
    return called[0] if len(called) == 1 else f"{', '.join(called[:-1])} and {called[-1]}"
