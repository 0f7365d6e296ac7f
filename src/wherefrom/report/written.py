"""The tables of a report for machines and papers: CSV, JSON and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc

from wherefrom import shown
from wherefrom.evidence import (
    BudgetRow,
    CorrelationRow,
    DeviationRow,
    DifferenceRow,
    Evidence,
    HomeRow,
    LeaderRow,
    SensitivityDifferenceRow,
    SensitivityRow,
    SummaryRow,
    TransferRow,
    VarianceRow,
    compare,
    sensitivity_differences,
    table_of,
)
from wherefrom.evidence.convergence import ConvergenceRow, StepRow
from wherefrom.evidence.exchange import ExchangeRow
from wherefrom.evidence.nearness import described
from wherefrom.evidence.sizes import SizeRow
from wherefrom.files import atomic
from wherefrom.report.budget import budget
from wherefrom.report.context import ReportContext, Statement
from wherefrom.report.convergence import converged
from wherefrom.report.correlation import correlations
from wherefrom.report.published import contrasts
from wherefrom.report.sensitivity import beside_grid, sensitivity_grid, told, two_models
from wherefrom.report.tables import difference_grid, latex, score_grid
from wherefrom.report.transfer import transfer_of

__all__ = ["write_tables"]


def write_tables(
    evidence: Evidence,
    context: ReportContext,
    folder: Path,
    verdict: Sequence[tuple[str, list[Statement]]],
) -> None:
    """Write every table of a report as CSV or LaTeX, and all of them with the verdict as JSON."""
    rows: dict[str, tuple[Any, Any]] = {
        "summary": (evidence.summary, SummaryRow),
        "differences": (evidence.differences, DifferenceRow),
        "leaders": (evidence.leaders, LeaderRow),
        "variance": (evidence.variance, VarianceRow),
        "sensitivity": (evidence.sensitivity, SensitivityRow),
        "deviations": (evidence.deviations, DeviationRow),
        "sensitivity_differences": (_compared(evidence, context), SensitivityDifferenceRow),
    }
    headlines = context.shown(evidence)
    matrices = [one for one in (transfer_of(own, context) for own in headlines) if one]
    if matrices:
        rows["transfer"] = ([cell for one in matrices for cell in one.cells], TransferRow)
        rows["home"] = ([row for one in matrices for row in one.home], HomeRow)
    if context.audits:
        correlated = [row for one in headlines for row in correlations(one, context)]
        rows["correlations"] = (correlated, CorrelationRow)
    rows["budget"] = ([row for one in headlines for row in budget(one, context)], BudgetRow)
    if pairs := contrasts(headlines, context):
        rows["contrasts"] = (pairs, DifferenceRow)
    if context.exchange:
        of = context.exchange.values()
        rows["sizes"] = ([row for one in of for row in one.points], SizeRow)
        rows["exchange"] = ([row for one in of for row in one.rates], ExchangeRow)
    if found := [made for one in headlines for made in converged(one, context)]:
        rows["convergence"] = ([row for points, _ in found for row in points], ConvergenceRow)
        rows["convergence_steps"] = ([row for _, steps in found for row in steps], StepRow)
    rows |= described(context.where)
    for name, (lines, kind) in rows.items():
        with atomic(folder / f"{name}.csv") as tmp:
            # Rows of the size axis say how many places they are of.
            sizes = {} if kind in (SizeRow, ExchangeRow) else context.sizes
            pc.write_csv(shown.cells(_sized(table_of(lines, kind), sizes)), tmp)
    known: dict[str, Any] = {
        name: [row._asdict() for row in lines] for name, (lines, _) in rows.items()
    }
    known["statements"] = {
        name: [statement._asdict() for statement in made] for name, made in verdict
    }
    known["study"] = _plain(context)
    with atomic(folder / "report.json") as tmp:
        tmp.write_text(
            json.dumps(known, ensure_ascii=False, allow_nan=False, default=str), encoding="utf-8"
        )
    if (beside := beside_grid(context.shown(evidence))) is not None:
        with atomic(folder / "sensitivity.tex") as tmp:
            tmp.write_text(latex(beside), encoding="utf-8")
    for (model, task, n, head, metric), headline in evidence.headlines.items():
        if n != context.n:
            continue
        grids = {"scores": score_grid(headline), "sensitivity": sensitivity_grid(headline)}
        for reference in evidence.references:
            grids[f"differences-{reference.replace(' ', '-')}"] = difference_grid(
                headline, reference
            )
        for name, grid in grids.items():
            if grid is not None:
                file = shown.file_name(f"{name}_{task}_{model}_{head}_{metric}.tex")
                with atomic(folder / file) as tmp:
                    tmp.write_text(latex(grid), encoding="utf-8")


def _sized(table: pa.Table, sizes: Mapping[str, str]) -> pa.Table:
    """Add how many places the compositions of a table have, where they are not of one size."""
    for column, name in (("composition", "places"), ("reference_row", "reference_places")):
        if sizes and column in table.column_names:
            places = [sizes.get(one, "") for one in table[column].to_pylist()]
            table = table.append_column(name, pa.array(places, pa.string()))
    return table


def _compared(evidence: Evidence, context: ReportContext) -> list[SensitivityDifferenceRow]:
    """Compare models head by head, and the headlines that the page compares."""
    rows = sensitivity_differences(evidence.sensitivity)
    headlines = context.shown(evidence)
    models = dict.fromkeys(one.view.model for one in headlines)
    every = [*combinations(models, 2)] if len(models) > 2 else []
    for names in dict.fromkeys([*told(headlines, context), *every]):
        pair = two_models(headlines, *names)
        for region in pair[0].regions if pair else ():
            a, b = (one.spread(region) for one in pair or ())
            if a is not None and b is not None and (row := compare(a, b)) not in rows:
                rows.append(row)
    return rows


def _plain(context: ReportContext) -> dict[str, Any]:
    # Places are in the compositions' own files: here their number is enough. Distances have tables.
    known = asdict(replace(context, where=(), test_places=None, exchange={}))
    del known["blind"]  # of figures alone
    known["untuned"] = sorted(known["untuned"])
    known["claims"] = [claim.model_dump(exclude_defaults=True) for claim in context.claims]
    del known["where"], known["costs"], known["exchange"]
    about = context.test_places
    known["test_places"] = "given" if about is None else about.population
    known["maps"] = {name: len(lon) for name, (lon, _) in context.maps.items()}
    return known
