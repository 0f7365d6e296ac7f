"""The cells that a paper states, beside ours where they can be compared."""

from __future__ import annotations

import csv
from typing import NamedTuple

from wherefrom.errors import WherefromError
from wherefrom.evidence import Evidence
from wherefrom.report.context import ReportContext
from wherefrom.report.style import number

__all__ = ["Published", "published"]

_COLUMNS = ["table", "row", "column", "metric", "value", "std", "source"]


class Published(NamedTuple):
    """A published cell and what stands beside it here."""

    cell: str
    value: str
    ours: str
    source: str


def published(evidence: Evidence, context: ReportContext) -> list[Published]:
    """Read the published cells and set the headline's means beside them.

    A cell has a counterpart where its column is a region of the results, its table names the
    task (``EcoRegions`` and ``ecoregions-biome``), and its row is a composition or is mapped to
    some by `ReportContext.counterparts`.

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
    found = []
    for line, row in enumerate(reader, start=2):
        try:
            value = number(float(row["value"]), 2)
            value += f" ± {number(float(row['std']), 2)}" if row["std"] else ""
        except ValueError:
            raise WherefromError(
                f"{context.expected}, line {line}: value and std must be numbers"
            ) from None
        cell = f"{row['table']}: {row['row']}, {row['column']} ({row['metric']})"
        found.append(Published(cell, value, _ours(row, evidence, context), row["source"]))
    return found


def _ours(row: dict[str, str], evidence: Evidence, context: ReportContext) -> str:
    view = context.headline(evidence)
    if not view[1].lower().startswith(row["table"].lower()):
        return "task not in this study"
    if row["column"] not in evidence.regions(view):
        return "column not stated or not run: no counterpart"
    parts = []
    for name in context.counterparts.get(row["row"], [row["row"]]):
        for key in evidence.scores.families()[view]:
            mean = evidence.mean(key, row["column"]) if key.composition == name else None
            if mean is not None:
                parts.append(f"{name} {number(mean.mean)} ± {number(mean.std_finetune)}")
    return ", ".join(parts) or "row has no counterpart"
