"""Whether what the evidence says of a generated world is what was planted there."""

from __future__ import annotations

from typing import Literal, NamedTuple

from wherefrom.evidence import ALL_REGIONS, BETTER, INITIAL, WORSE, Headline
from wherefrom.evidence.nearness import Nearness
from wherefrom.evidence.recut import ALL_PLACES

__all__ = ["PLANTED", "Kind", "Verdict", "law_of", "of_world"]

#: What is planted in a world; a scale of the study file.
Kind = Literal["content", "nothing", "nearness"]

#: In words of the table.
PLANTED: dict[Kind, str] = {
    "content": "home is the best",
    "nothing": "nothing",
    "nearness": "distance alone",
}
#: The composition that is planted as the best.
_HOME = "home"
#: One that differs from uniform by distance alone where distance is planted.
_CROWDED = "crowded"


class Verdict(NamedTuple):
    """What was found in a world, in words, and whether it is what was planted."""

    found: str
    ok: bool


def of_world(kind: Kind, headline: Headline, near: Nearness) -> Verdict:
    """Hold the evidence of a world against what was planted.

    content
        The composition from home must be better than uniform, over all regions.
    nothing
        No composition may be called better or worse than uniform or zero pre-training, over all
        regions or in one, nor the best of all.
    nearness
        The score must fall with distance. The composition that is crowded into one continent must
        be below uniform as observed; what is left at equal distance must not be decided.
    """
    return {"content": _content, "nothing": _nothing, "nearness": _nearness}[kind](headline, near)


def law_of(near: Nearness) -> str:
    """Say in a word what the distance law decides: "falls", "rises" or "open"."""
    law = near.law()
    if law is None or law.low is None or law.high is None or law.low <= 0 <= law.high:
        return "open"
    return "falls" if law.high < 0 else "rises"


def _content(headline: Headline, near: Nearness) -> Verdict:
    row = headline.difference(_HOME, "uniform")
    if row is None:
        return Verdict("home was not compared with uniform", False)
    found = f"home {_estimated(row.difference, row.low, row.high)} {row.verdict}"
    return Verdict(found, row.verdict == BETTER)


def _nothing(headline: Headline, near: Nearness) -> Verdict:
    claims = [
        f"{row.composition} {row.verdict} than {row.reference}"
        + ("" if region == ALL_REGIONS else f" in {region}")
        for region in (headline.region, *headline.parts)
        for reference in ("uniform", INITIAL)
        for row in headline.differences(reference, region)
        if row.verdict in (BETTER, WORSE)
    ]
    for region in (headline.region, *headline.parts):
        leader = headline.leader(region)
        if leader is not None and leader.decided and leader.best in headline.compositions:
            claims.append(f"{leader.best} is the best in {region}")
    return Verdict("; ".join(claims) or "nothing", not claims)


def _nearness(headline: Headline, near: Nearness) -> Verdict:
    law = near.law()
    row = next(
        (one for one in near.effects if (one.composition, one.region) == (_CROWDED, ALL_PLACES)),
        None,
    )
    if law is None or law.slope is None or row is None:
        return Verdict("no slope is told", False)
    found = f"slope {_estimated(law.slope, law.low, law.high)}; {_CROWDED} "
    found += _estimated(row.effect, row.low, row.high)
    if row.at_equal_distance is None or row.equal_low is None or row.equal_high is None:
        return Verdict(f"{found}, not told at equal distance", False)
    left = _estimated(row.at_equal_distance, row.equal_low, row.equal_high)
    seen = row.high is not None and row.high < 0
    right = law_of(near) == "falls" and seen and row.equal_low <= 0 <= row.equal_high
    return Verdict(f"{found}, at equal distance {left}", right)


def _estimated(value: float, low: float | None, high: float | None) -> str:
    return f"{value:+.3f}" + ("" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]")
