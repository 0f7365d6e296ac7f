"""Published claims side by side: which hold here, which do not, which cannot be decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from wherefrom.evidence import FAILS, HOLDS, OPEN, Headline, above, compare
from wherefrom.report.context import ReportContext
from wherefrom.report.published import judge
from wherefrom.report.sensitivity import two_models
from wherefrom.report.verdict import apart
from wherefrom.shown import count_of

if TYPE_CHECKING:
    from wherefrom.study.published import Claim

__all__ = ["Claims", "claims_table", "tallied"]

#: Of a claim that a headline is not about, and of one that the results do not reach.
ASIDE, ABSENT = "–", "not evaluated"
#: Of a claim that holds with one model and not with another, and of one without a test.
DIFFERS, NOTE = "differs by model", "note"
#: Of one that is decided with some models and not with others.
SOME_HOLD, SOME_FAIL = "holds with some", "does not hold with some"


class Claims(NamedTuple):
    """A table of claims: source and claim, a word for each headline, and what they come to."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def claims_table(headlines: Sequence[Headline], context: ReportContext) -> Claims:
    """Make a table of all claims, a column a headline, and what they come to.

    A claim holds together where it does with every headline that it was put to; "with some" says
    that it is undecided with the others.
    """
    rows = []
    for claim in context.claims:
        words = [_word(claim, one, headlines, context) for one in headlines]
        rows.append((claim.source, claim.says, *words, _together(words)))
    columns = [apart(one, headlines) for one in headlines]
    return Claims(("source", "claim", *columns, "together"), tuple(rows))


def tallied(claims: Claims) -> list[str]:
    """Count, source by source, how many claims hold here, how many do not, and the rest."""
    words: dict[str, list[str]] = {}
    for source, *_, together in claims.rows:
        words.setdefault(source, []).append(together)
    said = []
    for source, found in words.items():
        counts = {
            "hold here": found.count(HOLDS),
            "do not": found.count(FAILS),
            "differ by model": found.count(DIFFERS),
            "hold with some models": found.count(SOME_HOLD),
            "do not with some": found.count(SOME_FAIL),
            "cannot be decided": found.count(OPEN),
            "not evaluated": found.count(ABSENT),
            "without a test": found.count(NOTE),
        }
        parts = [f"{count} {what}" for what, count in counts.items() if count]
        said.append(f"{source}, of {count_of(len(found), 'claim')}: {', '.join(parts)}.")
    return said


def _word(
    claim: Claim, own: Headline, headlines: Sequence[Headline], context: ReportContext
) -> str:
    if claim.models and own.view.model not in claim.models:
        return ASIDE
    if claim.test == "sensitivity":
        pair = two_models(headlines, *claim.models)
        a, b = (one.spread() for one in pair) if pair else (None, None)
        if a is None or b is None:
            return ABSENT
        row = compare(a, b)
        points = above(row.low, row.high, own.margin)
        share = above(row.share_low, row.share_high)
        return points if points == share else OPEN
    _, judged = judge(claim, own, context)
    return ABSENT if judged is None else judged.word or NOTE


def _together(words: Sequence[str]) -> str:
    found = {word for word in words if word not in (ASIDE, ABSENT)}
    if not found:
        return ABSENT
    if len(found) == 1:
        return found.pop()
    if {HOLDS, FAILS} <= found:
        return DIFFERS
    return SOME_HOLD if HOLDS in found else SOME_FAIL if FAILS in found else OPEN
