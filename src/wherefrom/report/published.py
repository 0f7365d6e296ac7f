"""The cells that a paper states, beside ours where they can be compared."""

from __future__ import annotations

import csv
from typing import NamedTuple

from wherefrom.errors import WherefromError
from wherefrom.evidence import INITIAL, Evidence
from wherefrom.evidence.gather import View
from wherefrom.report.context import ReportContext
from wherefrom.report.style import number
from wherefrom.report.tables import last_region

__all__ = ["Published", "published"]

#: The column of a cell of which only the table is known, and a row that names no composition.
NOT_STATED, BEST = "not stated", "best composition"

_COLUMNS = ["table", "row", "column", "metric", "value", "std", "source"]


class Published(NamedTuple):
    """A published cell and what stands beside it here."""

    cell: str
    value: str
    ours: str
    source: str


def published(evidence: Evidence, context: ReportContext) -> list[Published]:
    """Read the published cells and set the headlines' means beside them.

    A cell has a counterpart where its table names a task (``EcoRegions`` and
    ``ecoregions-biome``) that the model of a headline was run on, its row is a composition or is
    mapped to some by `ReportContext.counterparts`, and its column is a region of the results.
    Beside a cell whose task was not run stands the one of `ReportContext.task_counterparts`,
    called another task; beside one whose column is not stated, the mean over all regions, said
    to be that. The row "best composition" meets the composition with the highest mean.

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
    found = _view(row["table"], evidence, context)
    if found is None:
        return "task not in this study"
    view, region, caveats = found, row["column"], []
    if not _about(view, row["table"]):
        caveats.append(f"another task, {view[1]}")
    if region == NOT_STATED:
        region = last_region(evidence, view)
        caveats.append(f"column not stated, here {region}")
    if region not in evidence.regions(view):
        return "region not run: no counterpart"
    means = {
        key.composition: mean
        for key in evidence.scores.families()[view]
        if (mean := evidence.mean(key, region)) is not None
    }
    names = context.counterparts.get(row["row"], [row["row"]])
    if row["row"] == BEST:
        trained = [name for name in means if name != INITIAL]
        names = sorted(trained, key=lambda name: -means[name].mean)[:1]
    parts = [
        f"{name} {number(means[name].mean)} ± {number(means[name].std_finetune)}"
        for name in names
        if name in means
    ]
    if not parts:
        return "row has no counterpart"
    return "; ".join([*caveats, f"{view[0]}: {', '.join(parts)}"])


def _view(table: str, evidence: Evidence, context: ReportContext) -> View | None:
    """Return the view of a headline's model that is about a published table's task, or near it."""
    headlines = context.views(evidence)
    for headline in headlines:
        own = [v for v in evidence.views() if (v[0], *v[2:]) == (headline[0], *headline[2:])]
        for view in own:
            if _about(view, table):
                return view
    nearest = context.task_counterparts.get(table)
    return next((view for view in headlines if view[1] == nearest), None)


def _about(view: View, table: str) -> bool:
    return view[1].lower().startswith(table.lower())
