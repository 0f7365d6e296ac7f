"""The answer of a study in one plain sentence, with what it is about in small print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from wherefrom.evidence import BETTER, INITIAL, UNDECIDED, WORSE, DifferenceRow, Headline
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.rows import Rows, links, rows_in
from wherefrom.report.style import number, score_title
from wherefrom.report.verdict import apart, kind_of, scope
from wherefrom.shown import count_of
from wherefrom.train.scores import METRICS

__all__ = ["answer", "small_print"]

#: Of a group the sentence names so many, those of the largest differences; of several models fewer.
_NAMED, _FEWER = 3, 2
#: From so many headlines on, only what is better or worse is named.
_MANY = 3


class _Clause(NamedTuple):
    """What the sentence says of one headline, and the numbers in it with their rows."""

    text: str
    rows: list[DifferenceRow]
    pieces: list[tuple[str, Rows]]


def answer(headlines: Sequence[Headline], context: ReportContext) -> Statement | None:
    """Say in one sentence what the verdicts against the first reference come to.

    Each headline has a clause of its own, so that models that differ are seen to. A cost or a gain
    is told by the ends of the simultaneous intervals. None where nothing is compared.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.evidence import COLUMNS
    >>> from wherefrom.report import evidence_of
    >>> rows = [("m", name, b, "t", "Asia", 100, "knn", s, "f1_macro", mean * (1 + b * s % 3 / 99))
    ...         for name, mean in {"uniform": 0.6, "cities": 0.5, "none": 0.3}.items()
    ...         for b in range(3) for s in range(4)]
    >>> context = ReportContext("s", "debug", [("m", "t", "knn", "f1_macro")],
    ...                         in_words={"cities": "crowded around cities"})
    >>> evidence = evidence_of(pa.table(dict(zip(COLUMNS, map(list, zip(*rows))))), context)
    >>> print(answer(context.shown(evidence), context).text[:66])
    It matters where the pre-training places lie: compared with places
    """
    clauses: list[_Clause] = []
    for one in headlines:
        who = f"with {apart(one, headlines)}, " if len(headlines) > 1 else ""
        if (made := _clause(one, who, context, clauses)) is not None:
            clauses.append(made)
    if not clauses:
        return None
    text = "; ".join(one.text for one in clauses) + "."
    rows = [row for one in clauses for row in one.rows]
    pieces = [piece for one in clauses for piece in one.pieces]
    return Statement(kind_of(rows), text[0].upper() + text[1:], links=links(text, pieces))


def small_print(headlines: Sequence[Headline], context: ReportContext) -> Statement:
    """Say which population the answer is about, and which differences could have been found."""
    populations = {one.population: one for one in headlines}
    shared = len(populations) == 1
    said, pieces = [], []
    for one in headlines:
        reference = one.evidence.references[0]
        could = one.detectable(reference)
        told = [could] if could else []
        told += [] if shared else [one.population]
        if told:
            said.append(f"{apart(one, headlines)}: {', '.join(told)}")
            about = rows_in("differences", one.view, region=one.region, reference=reference)
            pieces.append((could, about))
    where = dict.fromkeys(f"{scope(one)}, n = {one.view.n} labelled places" for one in headlines)
    text = f"{'; '.join(where)}"
    text += f"; {next(iter(populations))}." if shared else "."
    text += f" {'; '.join(said)}." if said else ""
    text += " The lists of places differ in size, too." if context.sizes else ""
    return Statement("limit", text, links=links(text, pieces))


def _clause(
    headline: Headline, who: str, context: ReportContext, before: Sequence[_Clause]
) -> _Clause | None:
    reference = headline.evidence.references[0]
    rows = headline.differences(reference)
    placed = [row for row in rows if row.composition != INITIAL]
    if not placed:
        return None
    about = rows_in("differences", headline.view, region=headline.region, reference=reference)
    known = [row for row in placed if row.low is not None]
    groups = {
        word: [row for row in known if row.verdict == word] for word in (BETTER, WORSE, UNDECIDED)
    }
    level = [row for row in known if row.verdict not in groups]
    name = _namer(headline, context, _FEWER if who else _NAMED)
    brief = len(context.headlines) >= _MANY
    beside = _chosen(headline, reference, context)
    margin = f"within {headline.margin:g}{f' {headline.units}' if headline.units else ''}"
    title, pieces = score_title(headline), []
    if groups[BETTER] or groups[WORSE]:
        parts = []
        for word, verb in ((BETTER, "gain"), (WORSE, "cost")):
            if groups[word]:
                ends = _ends(groups[word])
                pieces.append((ends, about))
                parts.append(f"{name(groups[word])} {verb} {ends} in {title}")
        if level:
            named = count_of(len(level), "list") if brief else name(level)
            parts.append(f"{named} {'does' if named == '1 list' else 'do'} as well {margin}")
        if unsure := groups[UNDECIDED]:
            named = count_of(len(unsure), "list") if brief else name(unsure)
            parts.append(f"for {named} it cannot be told")
        matters = f"it matters where the pre-training places lie: compared with {beside}, "
        again = any(matters in one.text for one in before)
        text = f"{who}{'it matters, too: ' if again else matters}{_listed(parts, 'and')}"
    elif level and not groups[UNDECIDED]:
        text = (
            f"{who}it makes no difference which of these places a model is pre-trained on: "
            f"{name(level)} do as well as {beside}, {margin}"
        )
    elif level:
        text = (
            f"{who}{name(level)} do as well as {beside}, {margin}, and for "
            f"{name(groups[UNDECIDED])} this study cannot tell"
        )
    elif known:
        text = f"{who}this study cannot tell whether it matters"
        text += "" if before else " where the pre-training places lie"
        could = max((row.detectable for row in known if row.detectable is not None), default=0.0)
        metric = METRICS.get(headline.view.metric)
        if metric and could >= metric.limits[1] - metric.limits[0]:
            text += " (it is so small that it could not have found any difference)"
        elif could:
            pieces.append((number(could), about))
            text += f" (it would have found a difference of {number(could)} in {title})"
    else:
        why = placed[0].note.partition("; ")[0] or "runs without an interval"
        text = f"{who}nothing can be told{' from' if why.startswith('one ') else ':'} {why}"
    return _Clause(text + _zero(rows), placed, pieces)


def _zero(rows: Sequence[DifferenceRow]) -> str:
    """Say that pre-training is not shown to help, where it is not."""
    found = [row for row in rows if row.composition == INITIAL and row.low is not None]
    if not found or found[0].verdict == WORSE:
        return ""
    if found[0].verdict == BETTER:
        return ", and a model without any pre-training does better"
    return ", and pre-training itself is not shown to help"


def _ends(rows: Sequence[DifferenceRow]) -> str:
    """Write from where to where the intervals of decided differences reach, without signs."""
    ends = [abs(end) for row in rows for end in (row.low, row.high) if end is not None]
    return " to ".join(dict.fromkeys((number(min(ends)), number(max(ends)))))


def _chosen(headline: Headline, composition: str, context: ReportContext) -> str:
    """Name a composition by how its places are chosen, if no other is chosen in the same words."""
    if composition == INITIAL:
        return "no pre-training"
    return f"places {_words(headline, composition, context)}"


def _words(headline: Headline, composition: str, context: ReportContext) -> str:
    said = context.in_words.get(composition, "")
    alike = [name for name in headline.compositions if context.in_words.get(name) == said]
    return said if said and len(alike) == 1 else f"of {composition}"


def _namer(
    headline: Headline, context: ReportContext, most: int
) -> Callable[[Sequence[DifferenceRow]], str]:
    """Return what names a group of comparisons, the largest differences first."""

    def name(rows: Sequence[DifferenceRow]) -> str:
        few = len(rows) <= most + 1
        first = rows if few else sorted(rows, key=lambda row: -abs(row.difference))[:most]
        words = [_words(headline, row.composition, context) for row in first]
        words += [] if few else [f"of {len(rows) - most} other lists"]
        return f"places {_listed(words, 'or')}"

    return name


def _listed(words: Sequence[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
