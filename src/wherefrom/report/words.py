"""What the data support and what they do not, in sentences made from the numbers alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from wherefrom.evidence import (
    ALL_REGIONS,
    BEST_BASELINE,
    BETTER,
    INITIAL,
    RARE_DRAWS,
    UNDECIDED,
    WORSE,
    DifferenceRow,
    Headline,
)
from wherefrom.report.context import ABOVE_UNTUNED, ReportContext, Statement, caveat, is_untuned
from wherefrom.report.plan import ONE_BLOCK
from wherefrom.report.style import estimate, number, score_title, signed

__all__ = ["gaps", "grouped", "statements"]


def statements(
    headline: Headline,
    sweep_region: str | None = None,
    untuned: Collection[tuple[str, str, str]] = (),
) -> list[Statement]:
    """Say what a headline shows, then how far it holds, then its limits.

    The first statement, where there is one, names the row with the best mean, which test places
    that is about and the difference that could have been found; then come the comparisons with the
    references and with the best trivial baseline. The scaling curves are those of `sweep_region`,
    by default of the one with most values of n. `untuned` is as of `ReportContext`.
    """
    *references, _ = headline.evidence.references
    made = [
        _leader(headline, references[0], untuned),
        *(_against(headline, name) for name in references),
        _baselines(headline, untuned),
        _official(headline),
        _any_head(headline),
        _regions(headline, references[0]),
        _robust(headline, references[0]),
        _sweep(headline, references[0], sweep_region),
        _seeds_alone(headline),
        _one_block(headline),
        _rare(headline, references[0]),
    ]
    return [statement for statement in made if statement is not None]


def gaps(context: ReportContext) -> list[Statement]:
    """Say what differs in size, what was left out, and what could not be evaluated."""
    sizes = ", ".join(f"{name} {size}" for name, size in context.sizes.items())
    texts = [f"Not of one size (places): {sizes}. Differences are of the size too."] * bool(sizes)
    if context.unfinished:
        texts.append(
            f"Not finished (wherefrom study run goes on): {'. '.join(context.unfinished)}. "
            "Compositions are compared in the blocks that both have."
        )
    texts += [f"Left out: {what}. {why}" for what, why in context.left_out.items()]
    texts += [f"Not evaluated: {text}" for text in context.problems]
    return [Statement("limit", text) for text in texts]


def _where(headline: Headline) -> str:
    if headline.region != ALL_REGIONS:
        return f"In {headline.region}"
    return f"Over {len(headline.parts)} regions"


def _leader(
    headline: Headline, reference: str, untuned: Collection[tuple[str, str, str]]
) -> Statement | None:
    leader = headline.leader()
    if leader is None or not leader.runner_up or leader.ahead is None:
        return None
    kind, _, key = next(row for row in headline.rows if row.label == leader.best)
    row = headline.mean(key)
    mean = number(None if row is None else row.mean)
    kinds = {"baseline": "the trivial baseline", "official": "the row of published weights,"}
    what = f"{kinds.get(kind, 'the composition')} {leader.best}"
    text = (
        f"{_where(headline)}, {what} has the {headline.best} {score_title(headline)} "
        f"({mean}; {headline.title}), {headline.population}"
    )
    able = headline.detectable(reference)
    text += f"; {able}. " if able else ". "
    if leader.decided:
        left = [row.label for row in headline.rows if is_untuned(headline, row.label, untuned)]
        text += (
            f"The data decide that it is above every other row; not tuned: {', '.join(left)}."
            if left
            else "The data decide that it is better than every other row."
        )
    else:
        text += (
            f"The data do not decide that it is the best row: the next, {leader.runner_up}, is "
            f"{number(abs(leader.ahead))} {'below' if headline.view.sign > 0 else 'above'}."
        )
    return Statement("decided" if leader.decided else "undecided", text)


def _against(headline: Headline, reference: str) -> Statement | None:
    rows = headline.differences(reference)
    if not rows:
        return None
    name = "random weights (none)" if reference == INITIAL else reference
    return Statement(
        _kind(rows), f"{_where(headline)}, compared with {name}: {grouped(rows, _interval)}."
    )


def _baselines(headline: Headline, untuned: Collection[tuple[str, str, str]]) -> Statement | None:
    rows = [row for row in headline.differences(BEST_BASELINE) if row.composition != INITIAL]
    if not rows:
        return None
    tuned = not is_untuned(headline, rows[0].reference_row, untuned)
    beat = "beat" if tuned else "be above"
    found = {
        "Pre-training beats it on": [_interval(row) for row in rows if row.verdict == BETTER],
        "Pre-training is above the untuned baseline on": [
            _interval(row) for row in rows if row.verdict == ABOVE_UNTUNED
        ],
        f"Pre-training is not shown to {beat} it on": [
            f"{row.composition} ({signed(row.difference)}, {row.verdict}{row.caveat})"
            for row in rows
            if row.verdict not in (BETTER, ABOVE_UNTUNED) and row.low is not None
        ],
        "Single block, hence not tested": [_interval(row) for row in rows if row.low is None],
    }
    chosen = headline.evidence.scores.strongest.get(headline.view.task)
    which = "best trivial baseline" + (", by the tuning places," if chosen else "")
    text = f"{_where(headline)}, the {which} is {rows[0].reference_row}"
    text += ". " if tuned else ", whose options are not tuned (wherefrom study tune). "
    text += " ".join(f"{what}: {', '.join(names)}." for what, names in found.items() if names)
    return Statement(_kind(rows), text)


def _official(headline: Headline) -> Statement | None:
    official = [
        (row.mean, label)
        for kind, label, key in headline.rows
        if kind == "official" and (row := headline.mean(key)) is not None
    ]
    means = [mean for name, mean in headline.means().items() if name != INITIAL]
    if not official or not means:
        return None
    sign = headline.view.sign
    best, label = max(official, key=lambda pair: sign * pair[0])
    text = (
        f"{_where(headline)}, the published weights {label} "
        f"have {number(best)}, the compositions here {'up' if sign > 0 else 'down'} to "
        f"{number(max(means, key=lambda mean: sign * mean))}. They were "
        "pre-trained on other data and at another size: a landmark, not a composition."
    )
    return Statement("limit", text)


def _any_head(headline: Headline) -> Statement | None:
    view, official, sign = headline.view, headline.evidence.scores.official, headline.view.sign
    best: dict[bool, tuple[float, str]] = {}
    for row in headline.evidence.summary:
        if (row.task, row.n, row.metric, row.region) != (*view[1:3], view.metric, headline.region):
            continue
        if row.composition == INITIAL or row.model in official:
            continue
        trained = bool(row.composition)
        name = f"{row.composition}, {row.model}" if trained else row.model
        name += f", {row.head} head"
        best[trained] = max(best.get(trained, (-np.inf, "")), (sign * row.mean, name))
    if len(best) < 2:
        return None
    text = (
        f"With whatever head and model suits each best (not tested), the {headline.best} "
        f"pre-trained mean is {number(sign * best[True][0])} ({best[True][1]}) and the "
        f"{headline.best} trivial one {number(sign * best[False][0])} ({best[False][1]})."
    )
    if best[True][0] <= best[False][0]:
        better = "higher" if sign > 0 else "lower"
        text += f" No pre-training here has a {better} mean than that trivial baseline."
    return Statement("limit", text)


def _regions(headline: Headline, reference: str) -> Statement | None:
    regions = headline.parts
    if len(regions) < 2:
        return None
    parts, rows = [], []
    for name in headline.compositions:
        own = [row for r in regions if (row := headline.difference(name, reference, r))]
        rows += own
        for verdict in (BETTER, WORSE):
            where = [row.region for row in own if row.verdict == verdict]
            if where:
                every = "every region" if len(where) == len(regions) else ", ".join(where)
                parts.append(f"{_called(name)} is {verdict} in {every}")
    if not rows:
        return None
    undecided = sum(row.verdict == UNDECIDED for row in rows)
    text = f"By region, against {reference}: " + ("; ".join(parts) or "nothing is decided") + "."
    text += f" Undecided: {undecided} of {len(rows)} pairs of composition and region."
    return Statement(_kind(rows), text)


def _robust(headline: Headline, reference: str) -> Statement | None:
    others = [other for other in headline.beside("task", "n") if other is not headline]
    parts = []
    for mine in headline.differences(reference):
        if mine.verdict == UNDECIDED:
            continue
        rows = [other.difference(mine.composition, reference) for other in others]
        known = [row for row in rows if row is not None and row.low is not None]
        same = sum(row.verdict == mine.verdict for row in known)
        better = headline.view.sign * mine.difference > 0
        against = sum(row.verdict == (WORSE if better else BETTER) for row in known)
        if known:
            parts.append(
                f"{mine.composition} ({mine.verdict}) in {same} of {len(known)}"
                + (f", contradicted in {against}" if against else "")
            )
    if not parts:
        return None
    text = (
        f"The verdict against {reference} is the same with other models, heads and metrics "
        f"(those with more than one block): {'; '.join(parts)}."
    )
    return Statement("limit", text)


def _sweep(headline: Headline, reference: str, region: str | None) -> Statement | None:
    region, grown = headline.sweep(region)
    if not grown:
        return None
    ends = []
    for one in (grown[0], grown[-1]):
        means = [mean for name, mean in one.means(region).items() if name != INITIAL]
        if not means:
            return None
        pairs = [row for row in one.differences(reference, region) if row.composition != INITIAL]
        decided = sum(pair.verdict in (BETTER, WORSE) for pair in pairs)
        ends.append((one.view.n, max(means) - min(means), decided, len(pairs)))
    (n0, range0, d0, k0), (n1, range1, d1, k1) = ends
    text = (
        f"In {region}, from n = {n0} to n = {n1}, the range of the pre-trained compositions' means "
        f"goes from {number(range0)} to {number(range1)}; decided differences to {reference}: "
        f"{d0} of {k0}, then {d1} of {k1}."
    )
    return Statement("limit", text)


def _seeds_alone(headline: Headline) -> Statement | None:
    where = (headline.view, headline.region)
    rows = [r for r in headline.evidence.variance if (r.key.view, r.region) == where]
    rows = [row for row in rows if row.composition != INITIAL]
    factors = [row.naive_factor for row in rows if row.naive_factor is not None]
    if not factors:
        return None
    text = (
        "Error bars from the fine-tune seeds of one block alone would be "
        f"{np.median(factors):.1f} times too short (median over compositions; "
        f"{min(factors):.1f} to {max(factors):.1f}): they leave out draws and pre-training."
    )
    shares = [row.block_share for row in rows if row.block_share is not None]
    if shares:
        block = np.mean(shares)
        text += (
            f" Of the variance of a single score, fine-tune seeds make {1 - block:.0%} and blocks "
            f"{block:.0%} (mean over compositions)."
        )
    return Statement("limit", text)


def _one_block(headline: Headline) -> Statement | None:
    rows = {
        (row.model, row.head): None
        for row in headline.evidence.summary
        if row.composition not in ("", INITIAL)
        and row.blocks == 1
        and (row.task, row.n) == headline.view[1:3]
    }
    if not rows:
        return None
    names = ", ".join(f"{model} with {head}" for model, head in rows)
    return Statement("limit", f"Without intervals and undecided: {names}. Run in {ONE_BLOCK}.")


def _rare(headline: Headline, reference: str) -> Statement | None:
    return Statement("limit", RARE_DRAWS) if headline.detectable(reference) else None


def grouped(rows: Sequence[DifferenceRow], write: Callable[[DifferenceRow], str]) -> str:
    """Write comparisons, grouped by their verdicts."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault("one block" if row.low is None else row.verdict, []).append(write(row))
    order = [BETTER, WORSE, *(g for g in groups if g.startswith("equiv")), UNDECIDED, "one block"]
    return "; ".join(f"{name}: {', '.join(groups[name])}" for name in order if name in groups)


def _kind(rows: Iterable[DifferenceRow]) -> str:
    decided = {row.verdict != UNDECIDED for row in rows}
    return "partly" if len(decided) > 1 else "decided" if True in decided else "undecided"


def _called(name: str) -> str:
    """Call a composition by a name that no sentence misreads ("none is worse")."""
    return "zero pre-training" if name == INITIAL else name


def _interval(row: DifferenceRow) -> str:
    change = estimate(row.difference, row.low, row.high, sign=True)
    return f"{_called(row.composition)} ({change}{caveat(row)})"
