"""What a command prints of a task that it made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wherefrom.progress import console

if TYPE_CHECKING:
    from wherefrom.tasks import Task

__all__ = ["show_task"]

#: Tables of more classes than this show each region's total alone.
MOST_CLASSES = 40
#: The study's episodes, for which thin regions are named.
N = 100


def show_task(task: Task, out: Path) -> None:
    """Print the task's table, and name the regions that are too thin for the study."""
    from wherefrom.tasks import plan_episodes

    typer.echo("\n".join(_table(task)))
    outside = int((task.region < 0).sum())
    if outside:
        console.print(f"note: {outside:,} places lie in no region", markup=False, soft_wrap=True)
    occurring = [r for r, count in zip(task.regions, task.counts(), strict=True) if count.any()]
    for split in ("reported", "tuning"):
        for problem in plan_episodes(task, occurring, N, [0], split)[1]:
            text = f"note: no {split} episode of {N} places: {problem}"
            console.print(text, markup=False, soft_wrap=True)
    classes = f"{len(task.classes)} classes"
    if task.positive is not None:
        classes += f", positive: {task.classes[task.positive]}"
    typer.echo(f"{out}: task {task.name}, {len(task):,} places, {classes}, key {task.key}")


def _table(task: Task) -> list[str]:
    """Lay out the places of every region, class and split."""
    from wherefrom.tasks import SPLITS

    rows: list[tuple[str, ...]] = [("region", task.label_layer, *SPLITS)]
    for region, counts in zip(task.regions, task.counts(), strict=True):
        if not counts.any():
            continue
        if len(task.classes) <= MOST_CLASSES:
            rows += [
                (region, name, *(f"{c:,}" for c in count))
                for name, count in zip(task.classes, counts, strict=True)
                if count.any()
            ]
        occurring = f"({counts.any(axis=1).sum()} classes)"
        rows.append((region, occurring, *(f"{c:,}" for c in counts.sum(axis=0))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
