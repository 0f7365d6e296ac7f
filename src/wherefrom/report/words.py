"""What the data support and what they do not, in sentences made from the numbers alone."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from wherefrom.evidence import (
    BEST_BASELINE,
    BETTER,
    INITIAL,
    UNDECIDED,
    WORSE,
    Headline,
    SummaryRow,
)
from wherefrom.report.context import ABOVE_UNTUNED, ReportContext, Statement, is_untuned
from wherefrom.report.plan import ONE_BLOCK
from wherefrom.report.rows import links, rows_in, rows_of
from wherefrom.report.style import number, score_title, signed
from wherefrom.report.verdict import called, grouped, interval, kind_of, scope, verdict

__all__ = ["gaps", "statements"]


def statements(
    headline: Headline,
    sweep_region: str | None = None,
    untuned: Collection[tuple[str, str, str]] = (),
) -> list[Statement]:
    """Say what a headline shows, then how far it holds, then its limits.

    The verdict comes first (`verdict`), then the row with the best mean and the comparisons with
    the other references and with the best trivial baseline. The scaling curves are those of
    `sweep_region`, by default of the one with most values of n. `untuned` is as of `ReportContext`.
    """
    *references, _ = headline.evidence.references
    made = [
        verdict(headline),
        _leader(headline, untuned),
        *(_against(headline, name) for name in references[1:]),
        _baselines(headline, untuned),
        _official(headline),
        _any_head(headline),
        _regions(headline, references[0]),
        _robust(headline, references[0]),
        _sweep(headline, references[0], sweep_region),
        _seeds_alone(headline),
        _one_block(headline),
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


def _leader(headline: Headline, untuned: Collection[tuple[str, str, str]]) -> Statement | None:
    leader = headline.leader()
    if leader is None or not leader.runner_up or leader.ahead is None:
        return None
    kind, _, key = next(row for row in headline.rows if row.label == leader.best)
    row = headline.mean(key)
    mean = number(None if row is None else row.mean)
    kinds = {"baseline": "the trivial baseline", "official": "the row of published weights,"}
    what = f"{kinds.get(kind, 'the composition')} {leader.best}"
    text = (
        f"{scope(headline)}, {what} has the {headline.best} {score_title(headline)} "
        f"({mean}; {headline.title}). "
    )
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
    kind = "decided" if leader.decided else "undecided"
    pieces = [(mean, rows_of(row))] if row is not None else []
    return Statement(kind, text, links=links(text, pieces, rows_of(leader)))


def _against(headline: Headline, reference: str) -> Statement | None:
    rows = headline.differences(reference)
    if not rows:
        return None
    name = "random weights (none)" if reference == INITIAL else reference
    text = f"{scope(headline)}, compared with {name}: {grouped(rows, interval)}."
    pieces = [(interval(row), rows_of(row)) for row in rows]
    return Statement(kind_of(rows), text, links=links(text, pieces))


def _baselines(headline: Headline, untuned: Collection[tuple[str, str, str]]) -> Statement | None:
    rows = [row for row in headline.differences(BEST_BASELINE) if row.composition != INITIAL]
    if not rows:
        return None
    tuned = not is_untuned(headline, rows[0].reference_row, untuned)
    beat = "beat" if tuned else "be above"
    found = {
        "Pre-training beats it on": [interval(row) for row in rows if row.verdict == BETTER],
        "Pre-training is above the untuned baseline on": [
            interval(row) for row in rows if row.verdict == ABOVE_UNTUNED
        ],
        f"Pre-training is not shown to {beat} it on": [
            f"{row.composition} ({signed(row.difference)}, {row.verdict}{row.caveat})"
            for row in rows
            if row.verdict not in (BETTER, ABOVE_UNTUNED) and row.low is not None
        ],
        "Single block, hence not tested": [interval(row) for row in rows if row.low is None],
    }
    chosen = headline.evidence.scores.strongest.get(headline.view.task)
    which = "best trivial baseline" + (", by the tuning places," if chosen else "")
    text = f"{scope(headline)}, the {which} is {rows[0].reference_row}"
    text += ". " if tuned else ", whose options are not tuned (wherefrom study tune). "
    text += " ".join(f"{what}: {', '.join(names)}." for what, names in found.items() if names)
    pieces = [(f"{row.composition} ({signed(row.difference)}", row) for row in rows]
    pieces = [(interval(row), row) for row in rows] + pieces
    linked = links(text, [(piece, rows_of(row)) for piece, row in pieces])
    return Statement(kind_of(rows), text, links=linked)


def _official(headline: Headline) -> Statement | None:
    official = [
        (row.mean, label, row)
        for kind, label, key in headline.rows
        if kind == "official" and (row := headline.mean(key)) is not None
    ]
    means = [mean for name, mean in headline.means().items() if name != INITIAL]
    if not official or not means:
        return None
    sign = headline.view.sign
    best, label, row = max(official, key=lambda one: sign * one[0])
    text = (
        f"{scope(headline)}, the published weights {label} "
        f"have {number(best)}, the compositions here {'up' if sign > 0 else 'down'} to "
        f"{number(max(means, key=lambda mean: sign * mean))}. They were "
        "pre-trained on other data and at another size: a landmark, not a composition."
    )
    rest = rows_in("summary", headline.view, region=headline.region)
    return Statement("limit", text, links=links(text, [(number(best), rows_of(row))], rest))


def _any_head(headline: Headline) -> Statement | None:
    view, official, sign = headline.view, headline.evidence.scores.official, headline.view.sign
    best: dict[bool, tuple[float, str, SummaryRow]] = {}
    for row in headline.evidence.summary:
        if (row.task, row.n, row.metric, row.region) != (*view[1:3], view.metric, headline.region):
            continue
        if row.composition == INITIAL or row.model in official:
            continue
        trained = bool(row.composition)
        name = f"{row.composition}, {row.model}" if trained else row.model
        name += f", {row.head} head"
        if trained not in best or (sign * row.mean, name) > best[trained][:2]:
            best[trained] = (sign * row.mean, name, row)
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
    pieces = [(number(row.mean), rows_of(row)) for row in (best[True][2], best[False][2])]
    return Statement("limit", text, links=links(text, pieces))


def _regions(headline: Headline, reference: str) -> Statement | None:
    regions = headline.parts
    if len(regions) < 2:
        return None
    parts, rows, pieces = [], [], []
    for name in headline.compositions:
        own = [row for r in regions if (row := headline.difference(name, reference, r))]
        rows += own
        for word in (BETTER, WORSE):
            named = [row.region for row in own if row.verdict == word]
            if named:
                every = "every region" if len(named) == len(regions) else ", ".join(named)
                parts.append(f"{called(name)} is {word} in {every}")
                about = rows_in("differences", headline.view, composition=name, reference=reference)
                pieces.append((f"{called(name)} is {word}", about))
    if not rows:
        return None
    undecided = sum(row.verdict == UNDECIDED for row in rows)
    text = f"By region, against {reference}: " + ("; ".join(parts) or "nothing is decided") + "."
    count = f"{undecided} of {len(rows)}"
    text += f" Undecided: {count} pairs of composition and region."
    every_pair = rows_in("differences", headline.view, reference=reference)
    return Statement(kind_of(rows), text, links=links(text, [*pieces, (count, every_pair)]))


def _robust(headline: Headline, reference: str) -> Statement | None:
    others = [other for other in headline.beside("task", "n") if other is not headline]
    parts, pieces = [], []
    for mine in headline.differences(reference):
        if mine.verdict == UNDECIDED:
            continue
        rows = [other.difference(mine.composition, reference) for other in others]
        known = [row for row in rows if row is not None and row.low is not None]
        same = sum(row.verdict == mine.verdict for row in known)
        better = headline.view.sign * mine.difference > 0
        against = sum(row.verdict == (WORSE if better else BETTER) for row in known)
        if known:
            count = f"{mine.composition} ({mine.verdict}) in {same} of {len(known)}"
            parts.append(count + (f", contradicted in {against}" if against else ""))
            rest = rows_of(mine).about("task", "n", "composition", "region", "reference")
            pieces.append((count, rest))
    if not parts:
        return None
    text = (
        f"The verdict against {reference} is the same with other models, heads and metrics "
        f"(those with more than one block): {'; '.join(parts)}."
    )
    return Statement("limit", text, links=links(text, pieces))


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
    pieces = []
    for one, length, decided, count in ((grown[0], range0, d0, k0), (grown[-1], range1, d1, k1)):
        pieces.append((number(length), rows_in("summary", one.view, region=region)))
        pair = rows_in("differences", one.view, region=region, reference=reference)
        pieces.append((f"{decided} of {count}", pair))
    return Statement("limit", text, links=links(text, pieces))


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
    rest = rows_in("variance", headline.view, region=headline.region)
    return Statement("limit", text, links=links(text, rest=rest))


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
