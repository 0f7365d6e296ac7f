"""Writing a report: tables for machines and papers, figures, and the page."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc

from wherefrom.evidence import (
    DeviationRow,
    DifferenceRow,
    Evidence,
    LeaderRow,
    SensitivityDifferenceRow,
    SensitivityRow,
    SummaryRow,
    VarianceRow,
    compare,
    sensitivity_differences,
    table_of,
)
from wherefrom.evidence.gather import View
from wherefrom.files import atomic
from wherefrom.report.context import ReportContext, evidence_of
from wherefrom.report.figures import figures
from wherefrom.report.html import Picture, page
from wherefrom.report.sensitivity import compared, sensitivity_grid
from wherefrom.report.sentences import sentences
from wherefrom.report.tables import difference_grid, latex, score_grid

__all__ = ["write"]

DPI = 150


def write(results: pa.Table | Evidence, context: ReportContext, out: Path) -> Path:
    """Write ``report.html``, ``tables/`` and ``figures/`` into a folder.

    Parameters
    ----------
    results : pyarrow.Table or Evidence
        Tidy results, or their evidence if it is at hand.
    context : ReportContext
    out : Path
        Folder, made if absent. Each file is whole or not there.

    Returns
    -------
    Path
        The page. It holds its figures and needs no network.

    Raises
    ------
    WherefromError
        If the results are malformed or lack the headline, or the disk is full.
    """
    evidence = results if isinstance(results, Evidence) else evidence_of(results, context)
    _write_tables(evidence, context, out / "tables")
    pictures = []
    for drawing in figures(evidence, context):
        file = out / "figures" / f"{drawing.name}.png"
        with atomic(file) as tmp:
            drawing.figure.savefig(tmp, dpi=DPI, facecolor="white", metadata={"Software": None})
        png = file.read_bytes()
        pictures.append(Picture(drawing.name, drawing.title, drawing.caption, png, drawing.view))
    html = page(evidence, context, pictures)
    target = out / "report.html"
    with atomic(target) as tmp:
        tmp.write_text(html, encoding="utf-8")
    return target


def _write_tables(evidence: Evidence, context: ReportContext, folder: Path) -> None:
    rows: dict[str, tuple[Any, Any]] = {
        "summary": (evidence.summary, SummaryRow),
        "differences": (evidence.differences, DifferenceRow),
        "leaders": (evidence.leaders, LeaderRow),
        "variance": (evidence.variance, VarianceRow),
        "sensitivity": (evidence.sensitivity, SensitivityRow),
        "deviations": (evidence.deviations, DeviationRow),
        "sensitivity_differences": (_compared(evidence, context), SensitivityDifferenceRow),
    }
    for name, (found, kind) in rows.items():
        with atomic(folder / f"{name}.csv") as tmp:
            pc.write_csv(table_of(found, kind), tmp)
    known: dict[str, Any] = {
        name: [row._asdict() for row in found] for name, (found, _) in rows.items()
    }
    known["statements"] = {
        name: [statement._asdict() for statement in found]
        for name, found in sentences(evidence, context)
    }
    known["study"] = _plain(context)
    with atomic(folder / "report.json") as tmp:
        tmp.write_text(
            json.dumps(known, ensure_ascii=False, allow_nan=False, default=str), encoding="utf-8"
        )
    for view in evidence.views():
        if view[2] != context.n:
            continue
        _write_latex(latex(score_grid(evidence, context, view)), folder, "scores", view)
        spread = sensitivity_grid(evidence, view)
        if spread is not None:
            _write_latex(latex(spread), folder, "sensitivity", view)
        for reference in evidence.references:
            grid = difference_grid(evidence, context, view, reference)
            if grid is not None:
                name = f"differences-{reference.replace(' ', '-')}"
                _write_latex(latex(grid), folder, name, view)


def _compared(evidence: Evidence, context: ReportContext) -> list[SensitivityDifferenceRow]:
    """Compare models head by head, and the headlines that the page compares."""
    rows = sensitivity_differences(evidence.sensitivity)
    pair = compared(evidence, context)
    if pair is not None:
        for region in evidence.regions(pair[0]):
            a, b = (evidence.spread(view, region) for view in pair)
            if a is not None and b is not None and (row := compare(a, b)) not in rows:
                rows.append(row)
    return rows


def _write_latex(text: str, folder: Path, name: str, view: View) -> None:
    model, task, _, head, metric = view
    with atomic(folder / f"{name}_{task}_{model}_{head}_{metric}.tex") as tmp:
        tmp.write_text(text, encoding="utf-8")


def _plain(context: ReportContext) -> dict[str, Any]:
    # Places are in the compositions' own files; here their number is enough.
    known = asdict(context)
    known["maps"] = {name: len(lon) for name, (lon, _) in context.maps.items()}
    return known
