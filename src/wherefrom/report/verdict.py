"""The verdict of a headline in one sentence, and the words that all sentences share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from wherefrom.evidence import (
    ALL_REGIONS,
    BETTER,
    INITIAL,
    UNDECIDED,
    WORSE,
    DifferenceRow,
    Headline,
)
from wherefrom.report.context import Statement, caveat
from wherefrom.report.rows import Rows, links, rows_in, rows_of
from wherefrom.report.style import estimate, score_title

__all__ = ["apart", "called", "grouped", "in_brief", "interval", "kind_of", "scope", "verdict"]

#: What a comparison with an interval can be, but for those that are equivalent.
_WORDS = (BETTER, WORSE, UNDECIDED)


def verdict(headline: Headline) -> Statement | None:
    """Say in one sentence what is decided against the first reference, and what could have been.

    The brief form leaves out what the figure below it shows: the differences and their intervals.
    None where the results lack the reference or anything to compare with it.
    """
    reference = headline.evidence.references[0]
    rows = headline.differences(reference)
    if not rows:
        return None
    could = headline.detectable(reference)
    tail = f"; {could}, {headline.population}." if could else "."
    text = f"{_head(headline)}: {grouped(rows, interval)}{tail}"
    brief = f"{_head(headline)}, {_prose(rows)}{tail}"
    pieces = [(interval(row), rows_of(row)) for row in rows]
    return Statement(kind_of(rows), text, brief, links(text, pieces, _compared(headline)))


def in_brief(headline: Headline) -> Statement | None:
    """Return the brief form of the verdict, its names linked to their rows."""
    made = verdict(headline)
    if made is None:
        return None
    rows = headline.differences(headline.evidence.references[0])
    pieces = [(called(row.composition), rows_of(row)) for row in rows]
    start = len(_head(headline))
    linked = links(made.brief, pieces, _compared(headline), start)
    return Statement(made.kind, made.brief, links=linked)


def grouped(
    rows: Sequence[DifferenceRow], write: Callable[[DifferenceRow], str], most: int | None = None
) -> str:
    """Write comparisons, grouped by their verdicts: of each group the `most` largest."""
    groups: dict[str, list[DifferenceRow]] = {}
    for row in rows:
        groups.setdefault(_group(row), []).append(row)
    said = []
    for name in _ordered(groups):
        group = groups[name]
        if most is not None and len(group) > most + 1:
            group = sorted(group, key=lambda row: -abs(row.difference))[:most]
        more = len(groups[name]) - len(group)
        written = ", ".join(map(write, group)) + (f" and {more} more" if more else "")
        said.append(f"{name}: {written}")
    return "; ".join(said)


def scope(headline: Headline) -> str:
    """Say over what a headline is summed up."""
    if headline.region != ALL_REGIONS:
        return f"In {headline.region}"
    return f"Over {len(headline.parts)} regions"


def kind_of(rows: Iterable[DifferenceRow]) -> str:
    """Return the kind of a statement about comparisons."""
    decided = {row.verdict != UNDECIDED for row in rows}
    return "partly" if len(decided) > 1 else "decided" if True in decided else "undecided"


def apart(headline: Headline, among: Sequence[Headline]) -> str:
    """Name a headline by model and task; by head, n and metric too where others share these."""
    if sum(one.short == headline.short for one in among) < 2:
        return headline.short
    if sum(one.title == headline.title for one in among) < 2:
        return headline.title
    return f"{headline.title}, {score_title(headline)}"


def called(name: str) -> str:
    """Call a composition by a name that no sentence misreads ("none is worse")."""
    return "zero pre-training" if name == INITIAL else name


def interval(row: DifferenceRow) -> str:
    """Write a comparison: its composition, difference and interval."""
    change = estimate(row.difference, row.low, row.high, sign=True)
    return f"{called(row.composition)} ({change}{caveat(row)})"


def _head(headline: Headline) -> str:
    reference = headline.evidence.references[0]
    return f"{scope(headline)}, compared with {reference} in {score_title(headline)}"


def _prose(rows: Sequence[DifferenceRow]) -> str:
    """Say which compositions are better, worse, equivalent and undecided, without numbers."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        side = caveat(row).removeprefix(", ")
        name = called(row.composition) + (f" ({side})" if side else "")
        groups.setdefault(_group(row), []).append(name)
    said = []
    for group in _ordered(groups):
        *names, last = groups[group]
        why = "" if group in _WORDS or group.startswith("equiv") else group
        word = f"undecided, {'on' if why.startswith('one ') else 'for'} {why}" if why else group
        many = f"{', '.join(names)} and {last} are" if names else f"{last} is"
        said.append(f"{many} {word}")
    return ", ".join(said[:-1]) + (", and " if said[1:] else "") + said[-1]


def _compared(headline: Headline) -> Rows:
    reference = headline.evidence.references[0]
    return rows_in("differences", headline.view, region=headline.region, reference=reference)


def _group(row: DifferenceRow) -> str:
    """Return the verdict, or why there is no interval, which a note begins with."""
    return row.note.partition("; ")[0] or row.verdict if row.low is None else row.verdict


def _ordered(groups: Collection[str]) -> list[str]:
    equal = [name for name in groups if name.startswith("equiv")]
    known = [name for name in (BETTER, WORSE, *equal, UNDECIDED) if name in groups]
    return known + [name for name in groups if name not in known]
