"""Writing a report: tables for machines and papers, figures, and the page."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc

from wherefrom.evidence import (
    DifferenceRow,
    Evidence,
    LeaderRow,
    SummaryRow,
    VarianceRow,
    table_of,
)
from wherefrom.evidence.gather import View
from wherefrom.files import atomic
from wherefrom.report.context import ReportContext, evidence_of
from wherefrom.report.figures import figures
from wherefrom.report.html import Picture, page
from wherefrom.report.tables import difference_grid, latex, score_grid
from wherefrom.report.words import statements

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
    context.headline(evidence)
    _write_tables(evidence, context, out / "tables")
    pictures = []
    for drawing in figures(evidence, context):
        file = out / "figures" / f"{drawing.name}.png"
        with atomic(file) as tmp:
            drawing.figure.savefig(tmp, dpi=DPI, facecolor="white", metadata={"Software": None})
        pictures.append(Picture(drawing.name, drawing.title, drawing.caption, file.read_bytes()))
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
    }
    for name, (found, kind) in rows.items():
        with atomic(folder / f"{name}.csv") as tmp:
            pc.write_csv(table_of(found, kind), tmp)
    known: dict[str, Any] = {
        name: [row._asdict() for row in found] for name, (found, _) in rows.items()
    }
    known["statements"] = [s._asdict() for s in statements(evidence, context)]
    known["study"] = _plain(context)
    with atomic(folder / "report.json") as tmp:
        tmp.write_text(
            json.dumps(known, ensure_ascii=False, allow_nan=False, default=str), encoding="utf-8"
        )
    headline = context.headline(evidence)
    for view in evidence.views():
        if view[1:3] != headline[1:3]:
            continue
        _write_latex(latex(score_grid(evidence, context, view)), folder, "scores", view)
        for reference in evidence.references:
            grid = difference_grid(evidence, context, view, reference)
            if grid is not None:
                name = f"differences-{reference.replace(' ', '-')}"
                _write_latex(latex(grid), folder, name, view)


def _write_latex(text: str, folder: Path, name: str, view: View) -> None:
    model, _, _, head, metric = view
    with atomic(folder / f"{name}_{model}_{head}_{metric}.tex") as tmp:
        tmp.write_text(text, encoding="utf-8")


def _plain(context: ReportContext) -> dict[str, Any]:
    # Places are in the compositions' own files; here their number is enough.
    known = asdict(context)
    known["maps"] = {name: len(lon) for name, (lon, _) in context.maps.items()}
    return known
