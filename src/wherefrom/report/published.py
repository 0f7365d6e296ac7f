"""What was published, held against the results: claims, and the cells that a paper states."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from wherefrom.errors import WherefromError
from wherefrom.evidence import (
    FAILS,
    INITIAL,
    OPEN,
    DifferenceRow,
    Evidence,
    Headline,
    above,
    all_better,
    all_equal,
    compare,
    rank_correlation,
)
from wherefrom.evidence.convergence import convergence
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.convergence import put
from wherefrom.report.correlation import judged as correlated
from wherefrom.report.rows import Link, Rows, links, rows_in, rows_of
from wherefrom.report.sensitivity import comparison, two_models
from wherefrom.report.style import estimate, number, score_title
from wherefrom.report.verdict import apart, grouped

if TYPE_CHECKING:
    from wherefrom.study.published import Claim

__all__ = ["Published", "claimed", "contrast", "contrasts", "judge", "published"]

#: Pairs of a claim that a sentence names of each verdict; ``contrasts.csv`` has all.
_MOST = 6
#: The column of a cell of which only the table is known, and a row that names no composition.
NOT_STATED, BEST = "not stated", "best composition"
NO_ROW = "row has no counterpart"

_COLUMNS = ["table", "row", "column", "metric", "value", "std", "source"]


class Published(NamedTuple):
    """A published cell and what stands beside it here, with links from its numbers."""

    cell: str
    value: str
    ours: str
    source: str
    links: tuple[Link, ...] = ()


class Judged(NamedTuple):
    """A claim put to one headline: the word, if there is a test, what it rests on, and its rows."""

    word: str
    text: str
    pieces: Sequence[tuple[str, Rows]] = ()
    rest: Rows | None = None


def claimed(claim: Claim, headlines: Sequence[Headline], context: ReportContext) -> list[Statement]:
    """Say of a claim whether it holds, headline by headline; of two models also by region.

    Of those headlines that the claim is about, the task, head and n are as it says.
    """
    said = f"{claim.source}: {claim.says}."
    if claim.test == "sensitivity":
        pair = two_models(headlines, *claim.models)
        made = comparison(*pair, claim.source) if pair else []
        why = f"no two headlines of {' and '.join(claim.models)} with a spread"
        return made or [Statement("undecided", f"{said} Not evaluated: {why}.")]
    statements = []
    for own in headlines:
        if claim.models and own.view.model not in claim.models:
            continue
        headline, judged = judge(claim, own, context)
        if headline is None or judged is None:
            why = f"{apart(own, headlines)}: not evaluated, the results lack what it is about."
            statements.append(Statement("undecided", f"{said} {why}"))
            continue
        word, numbers = judged[:2]
        text = f"{said} {apart(own, headlines) if headline.view == own.view else headline.title}: "
        kind, brief, whole = "limit", "", f"{text}{numbers}."
        if word:
            kind = "undecided" if word == OPEN else "decided"
            text += f"this {word}{_lacking(claim, headline)}"
            brief, whole = f"{text}.", f"{text} ({numbers})."
        linked = links(whole, judged.pieces, judged.rest, start=len(text))
        statements.append(Statement(kind, whole, brief, linked))
    about = {own.view.model for own in headlines}
    return statements + [
        Statement("undecided", f"{said} {model}: not evaluated, no headline is about it.")
        for model in claim.models
        if model not in about
    ]


def judge(
    claim: Claim, own: Headline, context: ReportContext
) -> tuple[Headline | None, Judged | None]:
    """Put a claim to a headline, with the task, head and n of the claim; None for what is absent.

    Not one of two models, which `claimed` compares.
    """
    headline = _of(claim, own)
    return headline, None if headline is None else _TESTS[claim.test](claim, headline, context)


def _of(claim: Claim, own: Headline) -> Headline | None:
    changed = {axis: getattr(claim, axis) for axis in ("task", "head", "n")}
    view = own.view._replace(**{axis: v for axis, v in changed.items() if v is not None})
    return own.evidence.headlines.get(view)


def _lacking(claim: Claim, headline: Headline) -> str:
    """Name the compositions of a claim that a headline lacks."""
    asked = [*claim.compositions, *claim.than, *claim.values]
    lacking = [name for name in asked if name not in headline.compositions]
    return f" without {', '.join(lacking)}, not run here" if lacking else ""


def _pairs(claim: Claim, headline: Headline, _: ReportContext) -> Judged | None:
    judge, pairs = all_better if claim.test == "better" else all_equal, claim.pairs
    regions, rows = _contrasted(claim, headline)
    if not rows:
        return None
    where = "; in each region" if claim.every_region else ""
    if len(rows) < len(pairs) * len(regions):
        where += f"; {len(rows)} of {len(pairs) * len(regions)} pairs have scores"

    def written(row: DifferenceRow) -> str:
        change = estimate(row.difference, row.low, row.high, sign=True)
        region = f" in {row.region}" if claim.every_region else ""
        return f"{row.composition} − {row.reference} {change}{row.caveat}{region}"

    word = judge(row.verdict for row in rows)
    text = f"{score_title(headline)}{where}; {grouped(rows, written, _MOST)}"
    return Judged(word, text, [(written(row), contrast(row)) for row in rows])


def _contrasted(claim: Claim, headline: Headline) -> tuple[Sequence[str], list[DifferenceRow]]:
    regions = headline.parts if claim.every_region else [headline.region]
    return regions, headline.contrasts(claim.pairs, regions)


def contrast(row: DifferenceRow) -> Rows:
    """Return where the row of a pair is that a claim compares."""
    return rows_of(row)._replace(file="contrasts")


def contrasts(headlines: Sequence[Headline], context: ReportContext) -> list[DifferenceRow]:
    """Return the pairs that claims compare, each once, as they are judged."""
    asked = [claim for claim in context.claims if _TESTS.get(claim.test) is _pairs]
    about = [
        (claim, _of(claim, own))
        for claim in asked
        for own in headlines
        if not claim.models or own.view.model in claim.models
    ]
    rows = [row for claim, one in about if one is not None for row in _contrasted(claim, one)[1]]
    return list({contrast(row): row for row in rows}.values())


def _convergence(_: Claim, headline: Headline, context: ReportContext) -> Judged | None:
    region, grown = headline.sweep(context.sweep_region)
    spreads = [one.spread(region) for one in (grown[0], grown[-1])] if grown else []
    few, many = spreads or (None, None)
    if few is None or many is None:
        return None
    row = compare(few, many)
    text = (
        f"{region}, spread of the true effects: {number(few.spread, 4)} at n = {few.n}, "
        f"{number(many.spread, 4)} at n = {many.n}"
    )
    if row.difference is None:
        text += f"; no interval: {few.note or many.note}"
    else:
        ends = estimate(row.difference, row.low, row.high, sign=True, digits=4)
        text += f"; the first minus the second {ends}"
    pieces = [(f"{number(one.spread, 4)} at n = {one.n}", rows_of(one)) for one in (few, many)]
    if points := convergence(headline, region)[0]:
        said = f"{points[0].composition}: {put(points[0])}"
        text += f"; {said}"
        shown = {(model, head, metric) for model, _, head, metric in context.headlines}
        if (headline.view.model, headline.view.head, headline.view.metric) in shown:
            pieces.append((said, rows_of(points[0])))  # of others no file has the point
    word = above(row.low, row.high, headline.margin)
    if word == FAILS and (row.high or 0.0) > 0 and (few.low or 0.0) < headline.margin:
        # What is not shown to differ by the margin cannot be shown not to shrink by it.
        word = OPEN
        text += f"; at n = {few.n} it is not shown to be above {headline.margin:g}"
    return Judged(word, text, pieces, rows_of(few).about(*_BUT_N))


#: Columns that spreads at different n have in common.
_BUT_N = ("model", "task", "head", "metric", "region")


def _rank(claim: Claim, headline: Headline, context: ReportContext) -> Judged | None:
    means = headline.means()
    names = [name for name in claim.values if name in means]
    if len(names) < 3:
        return None
    correlation, p, word = rank_correlation(
        [claim.values[name] for name in names],
        [headline.view.sign * means[name] for name in names],
        context.put_to(claim.models),
    )
    text = f"Spearman's correlation {correlation:.2f} over {len(names)} compositions"
    rest = rows_in("summary", headline.view, region=headline.region)
    text += f", one-sided p = {p:.2g}{context.level(claim.models)}"
    return Judged(word, text, rest=rest)


def _correlated(claim: Claim, headline: Headline, context: ReportContext) -> Judged | None:
    made = correlated(claim, headline, context)
    rest = rows_in("correlations", headline.view)
    return None if made is None else Judged(*made, rest=rest)


def _seeds(claim: Claim, headline: Headline, _: ReportContext) -> Judged | None:
    assert claim.above is not None
    rows = []
    wide: dict[str, Rows] = {}
    for kind, label, key in headline.rows:
        summaries = [headline.mean(key, region) for region in headline.parts]
        spreads = [s.std_finetune for s in summaries if s and s.std_finetune is not None]
        count = sum(s > claim.above for s in spreads)
        rows.append((kind, count))
        if count:
            known = Rows(
                "summary", tuple((name, str(value)) for name, value in key._asdict().items())
            )
            wide[f"{label} {count} of {len(spreads)}"] = known
    text = f"a spread over fine-tune seeds above {claim.above:g} occurs in "
    text += f"these rows (regions): {', '.join(wide)}" if wide else "no row"
    if any(kind == "baseline" and count for kind, count in rows):
        text += (
            "; it occurs in rows without any pre-training too, so here it is no sign of that alone"
        )
    return Judged("", text, list(wide.items()))


_TESTS = {
    "better": _pairs,
    "equal": _pairs,
    "convergence": _convergence,
    "rank": _rank,
    "correlation": _correlated,
    "seeds": _seeds,
}


def published(evidence: Evidence, context: ReportContext) -> list[Published]:
    """Read the published cells and set the headlines' means beside them.

    A cell has a counterpart where its table is about a task (`ReportContext.tables`) that the
    model of a headline was run on, its row is a composition or stands for some
    (`ReportContext.rows`), and its column is a region of the results. Beside a cell whose task
    was not run stands the one of `ReportContext.nearest`, called another task; beside one whose
    column is not stated, the mean over all regions, said to be that. The row "best composition"
    meets the composition with the best mean. A table may be about an audit number instead
    (`ReportContext.audited`).

    Raises
    ------
    WherefromError
        If the file is absent, lacks a column or holds a value that is not a number.
    """
    if context.expected is None:
        return []
    try:
        text = context.expected.read_text(encoding="utf-8")
    except OSError as err:
        raise WherefromError(f"{context.expected}: {err.strerror}; restore the file") from None
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise WherefromError(f"{context.expected}: no column {missing[0]!r}")
    cells = []
    for line, row in enumerate(reader, start=2):
        try:
            value = number(float(row["value"]), 2)
            value += f" ± {number(float(row['std']), 2)}" if row["std"] else ""
        except ValueError:
            raise WherefromError(
                f"{context.expected}, line {line}: value and std must be numbers"
            ) from None
        cell = f"{row['table']}: {row['row']}, {row['column']} ({row['metric']})"
        ours, pieces = _ours(row, evidence, context)
        cells.append(Published(cell, value, ours, row["source"], links(ours, pieces)))
    return cells


def _ours(
    row: dict[str, str], evidence: Evidence, context: ReportContext
) -> tuple[str, list[tuple[str, Rows]]]:
    names = context.rows.get(row["row"], [row["row"]])
    told = context.audits.get(context.audited.get(row["table"], ""))
    if told is not None:
        values = told.of("")
        ours = ", ".join(f"{name} {number(values[name])}" for name in names if name in values)
        return f"{told.title}: {ours}" if ours else NO_ROW, []
    task = context.tables.get(row["table"])
    caveats = []
    headline = _about(task, evidence, context)
    if headline is None:
        headline = _about(context.nearest.get(row["table"]), evidence, context)
        if headline is None:
            return "task not in this study", []
        caveats.append(f"another task, {headline.view.task}")
    region = row["column"]
    if region == NOT_STATED:
        region = headline.region
        caveats.append(f"column not stated, here {region}")
    if region not in headline.regions:
        return "region not run: no counterpart", []
    if row["row"] == BEST:
        means = headline.means(region)
        means.pop(INITIAL, None)
        names = sorted(means, key=lambda name: -headline.view.sign * means[name])[:1]
    rows = [mean for name in names if (mean := headline.mean(headline.view.key(name), region))]
    if not rows:
        return NO_ROW, []
    pieces = [
        (f"{r.composition} {number(r.mean)} ± {number(r.std_finetune)}", rows_of(r)) for r in rows
    ]
    ours = ", ".join(piece for piece, _ in pieces)
    return "; ".join([*caveats, f"{headline.view.model}: {ours}"]), pieces


def _about(task: str | None, evidence: Evidence, context: ReportContext) -> Headline | None:
    """Return a headline, or else what its model has of another task, that is about a task."""
    for headline in context.shown(evidence):
        view = headline.view._replace(task=task or "")
        if view in evidence.headlines:
            return evidence.headlines[view]
    return None
