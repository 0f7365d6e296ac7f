"""The pages of an atlas: one table that sorts, and the same for other programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from wherefrom import files
from wherefrom.auditing.atlas import Atlas, Row
from wherefrom.auditing.findings import kilometres, percent
from wherefrom.report.html import TEMPLATES

__all__ = ["markdown", "write_atlas"]

#: Thresholds in km that are shown.
NEAR = (1.0, 10.0)
#: A cell: its text, and the number by which it sorts.
Cell = tuple[str, float | str]


def write_atlas(atlas: Atlas, folder: Path, command: str = "") -> list[Path]:
    """Write ``atlas.html``, ``atlas.csv``, ``atlas.json`` and ``atlas.md`` into a folder.

    Raises
    ------
    WherefromError
        If the disk is full or the folder cannot be written.
    """
    records = [row.plain() for row in atlas.rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    table = io.StringIO()
    writer = csv.DictWriter(table, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    continents, cells = _cells(atlas)
    page = TEMPLATES.get_template("atlas.html.j2").render(
        continents=continents, rows=cells, tests=atlas.tests, near=NEAR, command=command,
        caveats=[(row.name, row.caveat) for row in atlas.rows if row.caveat],
    )  # fmt: skip
    made = {
        "atlas.html": page,
        "atlas.csv": table.getvalue(),
        "atlas.json": json.dumps(records, indent=1, ensure_ascii=False) + "\n",
        "atlas.md": markdown(atlas),
    }
    for name, text in made.items():
        with files.atomic(folder / name) as tmp:
            tmp.write_text(text, encoding="utf-8")
    return [folder / name for name in made]


def markdown(atlas: Atlas) -> str:
    """Write two tables: what the sets are, and how near benchmarks lie to them."""
    continents, rows = _cells(atlas)
    heads = ["set", "places", *continents, "at sea", "half of the land within", "worth at 100 km"]
    width = len(heads)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * width]
    lines += ["| " + " | ".join(text for text, _ in row[:width]) + " |" for row in rows]
    if atlas.tests:
        heads = ["set", *(f"{name} ({places:,})" for name, (places, _) in atlas.tests.items())]
        lines += ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        for row in atlas.rows:
            near = (_near(row, name) for name in atlas.tests)
            lines.append("| " + " | ".join([row.name, *near]) + " |")
    return "\n".join(lines) + "\n"


def _near(row: Row, test: str) -> str:
    shares = {each.km: each.share for each in row.leakage[test].within}
    return ", ".join(percent(shares[km]) for km in NEAR)


def _cells(atlas: Atlas) -> tuple[list[str], list[list[Cell]]]:
    """Return the continents that some set has, and a line of cells a set."""
    every = [name for row in atlas.rows for name in row.continents]
    continents = sorted(set(every), key=every.index)
    lines = []
    for row in atlas.rows:
        places = f"{row.places:,}"
        if row.rows != row.places:
            places += f" ({row.rows:,} rows)"
        line: list[Cell] = [(row.name, row.name), (places, row.places)]
        for name in continents:
            share = row.continents.get(name, 0.0)
            line.append((percent(share), share))
        far, uniform = kilometres(row.median_km), kilometres(row.uniform_km)
        worth = f"{row.independent:,.0f} ({row.uniform_independent:,.0f})"
        line += [
            (percent(row.at_sea), row.at_sea),
            (f"{far} ({uniform})", row.median_km),
            (worth, row.independent),
        ]
        for test in atlas.tests:
            shares = {each.km: each.share for each in row.leakage[test].within}
            line += [(percent(shares[km]), shares[km]) for km in NEAR]
        lines.append(line)
    return continents, lines
