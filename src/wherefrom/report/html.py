"""Writing a report: its tables, figures, and one self-contained HTML page.

The page needs no network: no external fonts, scripts or pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from wherefrom import shown
from wherefrom.evidence import BEST_BASELINE, RARE_DRAWS, Evidence, Headline
from wherefrom.files import atomic
from wherefrom.report.anchors import Anchors
from wherefrom.report.answer import answer, small_print
from wherefrom.report.claims import claims_table, tallied
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.convergence import convergence_statement
from wherefrom.report.correlation import audit_grid, correlation_statement
from wherefrom.report.exchange import exchange_statement
from wherefrom.report.figures import figures
from wherefrom.report.forest import overview
from wherefrom.report.published import claimed, published
from wherefrom.report.sections import (
    Picture,
    beside,
    design,
    duration,
    grids,
    margins,
    near,
    parts,
)
from wherefrom.report.sensitivity import (
    agreement,
    beside_grid,
    comparison,
    sensitivity_grid,
    sensitivity_of,
    told,
    two_models,
)
from wherefrom.report.tables import RUNS
from wherefrom.report.transfer import transfer_statement
from wherefrom.report.where import LEGEND
from wherefrom.report.words import gaps, statements
from wherefrom.report.written import write_tables
from wherefrom.train.scores import METRICS

__all__ = ["TEMPLATES", "Picture", "page", "sentences", "write"]

DPI = 150
#: Words of the field, each with what it means; a page explains them where they first stand.
WORDS = {
    "block": "one repetition: every composition drawn afresh, and a model pre-trained on each",
    "composition": "a list of places, whose images a model is pre-trained on",
    "pre-training": "what a model learns from unlabelled images, before it sees a task",
    "fine-tune seed": "one choice of the labelled places that the head learns from",
    "head": "the small classifier that learns a task from few labels, on top of the model",
    "simultaneous": "right for all comparisons at once in 95 of 100 studies",
    "equivalent": "shown to differ by less than the margin that was stated before",
    "undecided": "neither shown to differ nor shown to be equal",
    "baseline": "what scores without any pre-training, from coordinates or raw data",
    "few-shot": "from few labelled places",
    "macro-average": "the mean over the regions, each with equal weight",
}
TEMPLATES = Environment(
    loader=PackageLoader("wherefrom.report"),
    autoescape=True,
    finalize=shown.page,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write(evidence: Evidence, context: ReportContext, out: Path) -> Path:
    """Write ``report.html``, ``tables/`` and ``figures/`` into a folder, made if absent.

    Each file is whole or not there.

    Returns
    -------
    Path
        The page. It holds its figures and needs no network.

    Raises
    ------
    WherefromError
        If the results lack the headline, or the disk is full.
    """
    write_tables(evidence, context, out / "tables", sentences(evidence, context))
    pictures = []
    with shown.figures():
        for name, figure, title, caption, view in figures(evidence, context):
            file = out / "figures" / f"{shown.file_name(name)}.png"
            shown.ticked(figure)
            with atomic(file) as tmp:
                figure.savefig(tmp, dpi=DPI, facecolor="white", metadata={"Software": None})
            pictures.append(Picture(name, title, caption, file.read_bytes(), view))
    html = page(evidence, context, pictures)
    target = out / "report.html"
    with atomic(target) as tmp:
        tmp.write_text(html, encoding="utf-8")
    return target


def sentences(evidence: Evidence, context: ReportContext) -> list[tuple[str, list[Statement]]]:
    """Return all that the report says: titles and their statements, none of them empty.

    One part for each headline, then the sensitivity of all, the published claims, and what was left
    out. Two models are compared as a claim says, or else the first two.
    """
    headlines = context.shown(evidence)
    said = answer(headlines, context)
    every = [
        ("The answer", [said] if said else []),
        *((one.short, statements(one, context.sweep_region, context.untuned)) for one in headlines),
        ("Sensitivity to the composition", _sensitivity(headlines, context)),
        ("Pre-trained here, tested there", _said(transfer_statement, headlines, context)),
        ("How many places are worth how many", _said(exchange_statement, headlines, context)),
        ("Audit numbers and scores", _said(correlation_statement, headlines, context)),
        ("More labels", _said(convergence_statement, headlines, context)),
        ("Published claims", _claimed(headlines, context)),
        ("Left out or not evaluated", gaps(context)),
    ]
    return [(title, made) for title, made in every if made]


def _sensitivity(headlines: Sequence[Headline], context: ReportContext) -> list[Statement]:
    spreads = [spread for one in headlines if (spread := sensitivity_of(one)) is not None]
    pair = two_models(headlines)
    if pair and not any(claim.test == "sensitivity" for claim in context.claims):
        spreads += comparison(*pair)
    return spreads + agreement(headlines, [frozenset(one) for one in told(headlines, context)])


def _claimed(headlines: Sequence[Headline], context: ReportContext) -> list[Statement]:
    return [one for claim in context.claims for one in claimed(claim, headlines, context)]


def _said(
    say: Callable[[Headline, ReportContext], Statement | None],
    headlines: Sequence[Headline],
    context: ReportContext,
) -> list[Statement]:
    return [made for one in headlines if (made := say(one, context)) is not None]


def page(evidence: Evidence, context: ReportContext, pictures: Sequence[Picture]) -> str:
    """Write the page as HTML: the answer and its figure first, then what it rests on.

    Tables of every model, task, head and metric are in it; without scripts those of the headlines
    are shown. Numbers link to their cells, and say in which row of which file they are.
    """
    headlines = context.shown(evidence)
    claims = claims_table(headlines, context)
    spread = [beside_grid(headlines), *map(sensitivity_grid, headlines)]
    # What has tables, in the order of the page: a number's link leads to the first that has it.
    tables = {
        "parts": parts(evidence, context, pictures),
        "sensitivity": [grid for grid in spread if grid is not None],
        "where": list(map(near, context.where)),
        "transfers": beside(headlines, context, pictures, "transfer"),
        "exchanged": beside(headlines, context, pictures, "exchange"),
        "audits": audit_grid(headlines, context),
        "correlated": beside(headlines, context, pictures, "audit_numbers"),
        "scaling": beside(headlines, context, pictures, "scaling"),
    }
    known = [name for view in evidence.headlines if (name := view.metric) in METRICS]
    scores = {METRICS[name].title: METRICS[name].about for name in known}
    anchors = Anchors(grids(tables), scores | WORDS)
    return TEMPLATES.get_template("report.html.j2").render(
        tables,
        anchors=anchors,
        context=context,
        answer=answer(headlines, context),
        small=small_print(headlines, context),
        overview=overview(headlines),
        gaps=gaps(context),
        spreads=_sensitivity(headlines, context),
        claims=claims,
        tallied=tallied(claims),
        claimed=_claimed(headlines, context),
        distance_legend=LEGEND,
        shared={picture.name: picture for picture in pictures if picture.view is None},
        design=design(evidence),
        runs=RUNS,
        rare=RARE_DRAWS,
        margin=margins(evidence),
        best_baseline=BEST_BASELINE,
        published=[
            (
                one.cell,
                one.value,
                anchors.say(Statement("limit", one.ours, "", one.links)),
                one.source,
            )
            for one in published(evidence, context)
        ],
        words=scores | WORDS,
        stand_ins=context.stand_ins,
        sources=context.sources,
        duration=duration(context.seconds),
    )
