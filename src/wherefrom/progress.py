"""Progress bars with remaining time, on stderr, silent where nobody watches."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["console", "progress", "say"]

#: Messages and bars go to stderr, so that stdout carries results alone.
console = Console(stderr=True, highlight=False, emoji=False)


def say(text: str) -> None:
    """Write a line on stderr as it stands: brackets are no markup, and a path is not broken."""
    console.print(text, markup=False, soft_wrap=True)


def progress() -> Progress:
    """Make a progress display; use it as a context manager."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
