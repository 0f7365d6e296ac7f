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
from wherefrom.evidence.recut_rows import RecutRow
from wherefrom.files import atomic
from wherefrom.shown import count_of

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
    """Lay out rows label by label: score, interval, and what makes it or what another row leaves.

    Where places have weights, what they are worth stands beside their number.
    """
    against = rows[0].against
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    made.add_column("", overflow="fold")
    last = (f"minus {against}", "95 % interval") if against else ("±blocks", "±places")
    for name in ("score", "95 % interval", *last):
        made.add_column(name, justify="right")
    for _, own in groupby(rows, key=lambda row: row.label):
        lines = list(own)
        first = lines[0]
        worth = f", worth {first.effective_places:,.0f}"
        many = worth if round(first.effective_places) < first.places else ""
        made.add_row(f"{first.label} ({count_of(first.places, 'place')}{many})", style="bold")
        several = {row.model for row in lines if row.composition}
        for row in lines:
            name = row.composition or row.model
            if row.composition and len(several) > 1:
                name = f"{row.model} {name}"
            cells = [f"{row.score:.3f}", _interval(row.low, row.high) or row.note]
            if against:
                cells += [
                    _signed(row.difference),
                    _interval(row.difference_low, row.difference_high),
                ]
            else:
                cells += [_error(row.error_blocks), _error(row.error_places)]
            made.add_row(f"  {name}", *cells)
    return made


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
