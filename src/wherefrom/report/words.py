"""What the data support and what they do not, in sentences made from the numbers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from wherefrom.evidence import (
    ALL_REGIONS,
    BEST_BASELINE,
    BETTER,
    INITIAL,
    OFFICIAL,
    UNDECIDED,
    WORSE,
    DifferenceRow,
    Evidence,
)
from wherefrom.evidence.gather import View, key_of_view
from wherefrom.report.context import ReportContext
from wherefrom.report.style import metric_title, number, signed
from wherefrom.report.tables import called, last_region, rows_of

__all__ = ["UNSTABLE", "Statement", "gaps", "statements", "sweep_views"]

#: Spread over fine-tune seeds above which arXiv 2501.12535 calls pre-training insufficient.
UNSTABLE = 0.03


class Statement(NamedTuple):
    """One sentence or two; `kind` is "decided", "undecided" or "limit"."""

    kind: str
    text: str


def statements(evidence: Evidence, context: ReportContext, view: View) -> list[Statement]:
    """Say what the view of a headline shows, then how far it holds, then its limits.

    Parameters
    ----------
    evidence : Evidence
    context : ReportContext
    view : View
        One of `ReportContext.views`.

    Returns
    -------
    list of Statement
        The first, where there is one, names the row with the highest mean; then come the
        comparisons with the references and with the best trivial baseline.
    """
    found: list[Statement | None] = [_leader(evidence, context, view)]
    found += [_against(evidence, context, view, name) for name in context.references]
    found += [
        _baselines(evidence, context, view),
        _official(evidence, view),
        _any_head(evidence, view),
        _regions(evidence, context, view),
        _robust(evidence, context, view),
        _sweep(evidence, context, view),
        _unstable(evidence, context, view),
        _seeds_alone(evidence, view),
        _single_draws(evidence, view),
    ]
    return [statement for statement in found if statement is not None]


def gaps(context: ReportContext) -> list[Statement]:
    """Say what was left out of the study, and what could not be evaluated."""
    found = [f"Left out: {what}. {why}" for what, why in context.left_out.items()]
    found += [f"Not evaluated: {text}" for text in context.problems]
    return [Statement("limit", text) for text in found]


def _where(region: str, evidence: Evidence, view: View) -> str:
    if region != ALL_REGIONS:
        return f"In {region}"
    return f"Over {len(evidence.regions(view)) - 1} regions"


def _leader(evidence: Evidence, context: ReportContext, view: View) -> Statement | None:
    region = last_region(evidence, view)
    leader = evidence.leader(view, region)
    if leader is None or not leader.runner_up or leader.ahead is None:
        return None
    rows = rows_of(evidence, context, view)
    kind, best = next(row for row in rows if evidence.label(row[1], view) == leader.best)
    row = evidence.mean(best, region)
    mean = number(None if row is None else row.mean)
    kinds = {"baseline": "the trivial baseline", "official": "the row of published weights,"}
    what = f"{kinds.get(kind, 'the composition')} {leader.best}"
    text = (
        f"{_where(region, evidence, view)}, {what} has the highest {metric_title(view[4])} "
        f"({mean}; {called(view)}). "
    )
    if leader.decided:
        text += "The data decide that it is better than every other row."
    else:
        text += (
            f"The data do not decide that it is the best row: the next, {leader.runner_up}, is "
            f"{number(leader.ahead)} below."
        )
    return Statement("decided" if leader.decided else "undecided", text)


def _against(
    evidence: Evidence, context: ReportContext, view: View, reference: str
) -> Statement | None:
    region = last_region(evidence, view)
    rows = _rows(evidence, context, view, reference, region)
    if not rows:
        return None
    name = "random weights (none)" if reference == INITIAL else reference
    text = f"{_where(region, evidence, view)}, compared with {name}: " + _grouped(rows) + "."
    return Statement(_kind(rows), text)


def _baselines(evidence: Evidence, context: ReportContext, view: View) -> Statement | None:
    region = last_region(evidence, view)
    rows = [
        row
        for row in _rows(evidence, context, view, BEST_BASELINE, region)
        if row.composition != INITIAL
    ]
    if not rows:
        return None
    beats = [row for row in rows if row.verdict == BETTER]
    fails = [row for row in rows if row.verdict != BETTER and row.low is not None]
    lone = [row for row in rows if row.low is None]
    text = (
        f"{_where(region, evidence, view)}, the best trivial baseline is {rows[0].reference_row}. "
    )
    if beats:
        text += f"Pre-training beats it on: {_list(beats, _interval)}. "
    if fails:
        text += f"Pre-training is not shown to beat it on: {_list(fails, _with_verdict)}. "
    if lone:
        text += f"Single draw, hence not tested: {_list(lone, _plain)}. "
    return Statement(_kind(rows), text.strip())


def _official(evidence: Evidence, view: View) -> Statement | None:
    region = last_region(evidence, view)
    keys = [key for key in evidence.baselines(view) if key.model.endswith(OFFICIAL)]
    rows = [row for key in keys if (row := evidence.mean(key, region)) is not None]
    means = [
        row.mean
        for name in evidence.compositions(view)
        if name != INITIAL and (row := evidence.mean(key_of_view(view, name), region)) is not None
    ]
    if not rows or not means:
        return None
    best = max(rows, key=lambda row: row.mean)
    text = (
        f"{_where(region, evidence, view)}, the published weights {evidence.label(best.key, view)} "
        f"have {number(best.mean)}, the compositions here up to {number(max(means))}. They were "
        "pre-trained on other data and at another size: a landmark, not a composition."
    )
    return Statement("limit", text)


def _any_head(evidence: Evidence, view: View) -> Statement | None:
    region = last_region(evidence, view)
    best: dict[bool, tuple[float, str]] = {}
    for row in evidence.summary:
        if row.key[2:4] != view[1:3] or row.metric != view[4] or row.region != region:
            continue
        if row.composition == INITIAL or row.model.endswith(OFFICIAL):
            continue
        trained = bool(row.composition)
        name = f"{row.composition}, {row.model}" if trained else row.model
        name += f", {row.head} head"
        best[trained] = max(best.get(trained, (-np.inf, "")), (row.mean, name))
    if len(best) < 2:
        return None
    text = (
        "With whatever head and model suits each best (not tested), the highest pre-trained mean "
        f"is {number(best[True][0])} ({best[True][1]}) and the highest trivial one "
        f"{number(best[False][0])} ({best[False][1]})."
    )
    if best[True][0] <= best[False][0]:
        text += " No pre-training here has a higher mean than that trivial baseline."
    return Statement("limit", text)


def _regions(evidence: Evidence, context: ReportContext, view: View) -> Statement | None:
    regions = [region for region in evidence.regions(view) if region != ALL_REGIONS]
    reference = context.references[0]
    if len(regions) < 2:
        return None
    parts, open_pairs, pairs = [], 0, 0
    for name in context.order(evidence.compositions(view)):
        rows = [row for r in regions if (row := evidence.difference(view, name, reference, r))]
        pairs += len(rows)
        open_pairs += sum(row.verdict == UNDECIDED for row in rows)
        for verdict in (BETTER, WORSE):
            where = [row.region for row in rows if row.verdict == verdict]
            if where:
                every = "every region" if len(where) == len(regions) else ", ".join(where)
                parts.append(f"{_called(name)} is {verdict} in {every}")
    if not pairs:
        return None
    text = f"By region, against {reference}: " + ("; ".join(parts) or "nothing is decided") + "."
    text += f" Undecided: {open_pairs} of {pairs} pairs of composition and region."
    return Statement("decided" if parts else "undecided", text)


def _robust(evidence: Evidence, context: ReportContext, view: View) -> Statement | None:
    reference = context.references[0]
    others = [v for v in evidence.views() if v[1:3] == view[1:3] and v != view]
    if not others:
        return None
    parts = []
    for name in context.order(evidence.compositions(view)):
        mine = evidence.difference(view, name, reference, last_region(evidence, view))
        if mine is None or mine.verdict == UNDECIDED:
            continue
        rows = [evidence.difference(v, name, reference, last_region(evidence, v)) for v in others]
        known = [row for row in rows if row is not None and row.low is not None]
        same = sum(row.verdict == mine.verdict for row in known)
        against = sum(
            row.verdict in (BETTER, WORSE) and np.sign(row.difference) != np.sign(mine.difference)
            for row in known
        )
        if known:
            parts.append(
                f"{name} ({mine.verdict}) in {same} of {len(known)}"
                + (f", contradicted in {against}" if against else "")
            )
    if not parts:
        return None
    text = (
        f"The verdict against {reference} is the same with other models, heads and metrics "
        f"(those with more than one draw): {'; '.join(parts)}."
    )
    return Statement("limit", text)


def _sweep(evidence: Evidence, context: ReportContext, view: View) -> Statement | None:
    region, views = sweep_views(evidence, context, view)
    if region is None:
        return None
    reference = context.references[0]
    ends = []
    for one in (views[0], views[-1]):
        names = [name for name in evidence.compositions(one) if name != INITIAL]
        rows = [evidence.mean(key, region) for _, key in rows_of(evidence, context, one)]
        means = [row.mean for row in rows if row is not None and row.composition in names]
        pairs = [p for n in names if (p := evidence.difference(one, n, reference, region))]
        decided = sum(pair.verdict in (BETTER, WORSE) for pair in pairs)
        ends.append((one[2], max(means) - min(means), decided, len(pairs)))
    (n0, range0, d0, k0), (n1, range1, d1, k1) = ends
    text = (
        f"In {region}, from n = {n0} to n = {n1}, the range of the pre-trained compositions' means "
        f"goes from {number(range0)} to {number(range1)}; decided differences to {reference}: "
        f"{d0} of {k0}, then {d1} of {k1}."
    )
    return Statement("limit", text)


def sweep_views(
    evidence: Evidence, context: ReportContext, view: View
) -> tuple[str | None, list[View]]:
    """Return the region of the scaling curves and its views by growing n; None if there is none."""
    alike = [
        v
        for v in evidence.views()
        if (v[0], v[1], v[3], v[4]) == (view[0], view[1], view[3], view[4])
    ]
    by_region: dict[str, list[View]] = {}
    for one in alike:
        for region in evidence.regions(one):
            by_region.setdefault(region, []).append(one)
    by_region.pop(ALL_REGIONS, None)
    if context.sweep_region is not None:
        by_region = {context.sweep_region: by_region.get(context.sweep_region, [])}
    region = max(by_region, key=lambda name: len(by_region[name]), default="")
    if len(by_region.get(region, [])) < 2:
        return None, []
    return region, sorted(by_region[region], key=lambda v: v[2])


def _unstable(evidence: Evidence, context: ReportContext, view: View) -> Statement:
    counts = {}
    for kind, key in rows_of(evidence, context, view):
        rows = [evidence.mean(key, r) for r in evidence.regions(view) if r != ALL_REGIONS]
        stds = [
            row.std_finetune for row in rows if row is not None and row.std_finetune is not None
        ]
        wide = sum(std > UNSTABLE for std in stds)
        counts[evidence.label(key, view)] = (kind, wide, len(stds))
    above = [f"{name} {wide} of {total}" for name, (_, wide, total) in counts.items() if wide]
    text = (
        f"A spread over fine-tune seeds above {UNSTABLE}, which arXiv 2501.12535 takes as a sign "
        "of insufficient pre-training, occurs in "
    )
    text += f"these rows (regions): {', '.join(above)}." if above else "no row."
    if any(kind == "baseline" and wide for kind, wide, _ in counts.values()):
        text += (
            " It occurs in rows without any pre-training too, so here it is no sign of that alone."
        )
    return Statement("limit", text)


def _seeds_alone(evidence: Evidence, view: View) -> Statement | None:
    rows = [
        row
        for row in evidence.variance
        if (row.model, *row[2:6]) == view
        and row.region == last_region(evidence, view)
        and row.composition != INITIAL
    ]
    factors = [row.naive_factor for row in rows if row.naive_factor is not None]
    if not factors:
        return None
    text = (
        "Error bars from the fine-tune seeds of one run alone would be "
        f"{np.median(factors):.1f} times too short (median over compositions; "
        f"{min(factors):.1f} to {max(factors):.1f}): they leave out draws and pre-train seeds."
    )
    axes = [(r.finetune_share, r.pretrain_share, r.draw_share) for r in rows]
    known = [[share or 0.0 for share in shares] for shares in axes if None not in shares]
    if known:
        finetune, pretrain, draw = np.mean(known, axis=0)
        text += (
            f" Of the variance of a single score, fine-tune seeds make {finetune:.0%}, pre-train "
            f"seeds {pretrain:.0%} and draws {draw:.0%} (mean over compositions)."
        )
    return Statement("limit", text)


def _single_draws(evidence: Evidence, view: View) -> Statement | None:
    rows = {
        (row.model, row.head): None
        for row in evidence.summary
        if row.composition not in ("", INITIAL)
        and row.draws == 1
        and (row.task, row.n) == view[1:3]
    }
    if not rows:
        return None
    names = ", ".join(f"{model} with {head}" for model, head in rows)
    return Statement(
        "limit", f"Run on a single draw, hence without intervals and undecided: {names}."
    )


def _rows(
    evidence: Evidence, context: ReportContext, view: View, reference: str, region: str
) -> list[DifferenceRow]:
    names = context.order(evidence.compositions(view))
    found = [evidence.difference(view, name, reference, region) for name in names]
    return [row for row in found if row is not None]


def _grouped(rows: list[DifferenceRow]) -> str:
    groups: dict[str, list[DifferenceRow]] = {}
    for row in rows:
        groups.setdefault(row.verdict if row.low is not None else "single draw", []).append(row)
    order = [BETTER, WORSE, *(g for g in groups if g.startswith("equiv")), UNDECIDED, "single draw"]
    parts = [f"{name}: {_list(groups[name], _interval)}" for name in order if name in groups]
    return "; ".join(parts)


def _kind(rows: Iterable[DifferenceRow]) -> str:
    return "decided" if any(row.verdict != UNDECIDED for row in rows) else "undecided"


def _list(rows: Iterable[DifferenceRow], write: Callable[[DifferenceRow], str]) -> str:
    return ", ".join(write(row) for row in rows)


def _called(name: str) -> str:
    """Call a composition by a name that no sentence misreads ("none is worse")."""
    return "zero pre-training" if name == INITIAL else name


def _plain(row: DifferenceRow) -> str:
    return f"{_called(row.composition)} ({signed(row.difference)})"


def _interval(row: DifferenceRow) -> str:
    if row.low is None:
        return _plain(row)
    interval = f"[{signed(row.low)}, {signed(row.high)}]"
    return f"{_called(row.composition)} ({signed(row.difference)} {interval})"


def _with_verdict(row: DifferenceRow) -> str:
    return f"{row.composition} ({signed(row.difference)}, {row.verdict})"
