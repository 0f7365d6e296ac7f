"""Scores cut anew, for a terminal and as files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq
from rich.table import Table

from wherefrom import shown
from wherefrom.evidence.records import table_of
from wherefrom.evidence.recut import RecutRow
from wherefrom.files import atomic

__all__ = ["recut_table", "write_recut"]


def write_recut(rows: Sequence[RecutRow], stem: Path) -> list[Path]:
    """Write rows as ``STEM.csv`` and ``STEM.parquet``, and return these files."""
    table = table_of(rows, RecutRow)
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in ("csv", "parquet")]
    with atomic(files[0]) as tmp:
        pc.write_csv(shown.cells(table), tmp)
    with atomic(files[1]) as tmp:
        pq.write_table(table, tmp, compression="zstd", write_page_checksum=True)
    return files


def recut_table(rows: Sequence[RecutRow]) -> Table:
    """Lay out rows label by label: the score, its interval and what the interval is made of.

    Where places have weights, what they are worth stands beside their number.
    """
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    made.add_column("", overflow="fold")
    for name in ("score", "95 % interval", "±blocks", "±places"):
        made.add_column(name, justify="right", no_wrap=True)
    for _, own in groupby(rows, key=lambda row: row.label):
        lines = list(own)
        first = lines[0]
        worth = f", worth {first.effective_places:,.0f}"
        many = worth if round(first.effective_places) < first.places else ""
        made.add_row(f"{first.label} ({first.places:,} places{many})", style="bold")
        several = {row.model for row in lines if row.composition}
        for row in lines:
            name = row.composition or row.model
            if row.composition and len(several) > 1:
                name = f"{row.model} {name}"
            interval = row.note if row.low is None else f"{row.low:.3f} to {row.high:.3f}"
            errors = (row.error_blocks, row.error_places)
            made.add_row(f"  {name}", f"{row.score:.3f}", interval, *map(_error, errors))
    return made


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
