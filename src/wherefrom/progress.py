"""Progress bars with remaining time, on stderr, silent where nobody watches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment
from rich.text import Text

from wherefrom.shown import terminal, time_of

__all__ = ["TELLS", "Screen", "console", "note", "noted", "progress", "say"]


class Screen(Console):
    """A console on which text stands as it is: no markup, and no escape steers the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render with what cannot be printed as escapes; colours are no text of ours."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else terminal(text), style, control)


#: Before this share is done, nobody knows how long the rest takes.
TELLS = 0.03

#: Messages and bars go to stderr, so that stdout carries results alone.
console = Screen(stderr=True)


def say(text: str) -> None:
    """Write a line on stderr as it stands, a path unbroken."""
    console.print(terminal(text), soft_wrap=True)


def note(text: str) -> None:
    """Write a note beside the results."""
    say(f"note: {text}")


@contextmanager
def noted(tell: Callable[[str], object] = note) -> Iterator[None]:
    r"""Tell what code warns of within in one line each, without the path and line of the code.

    Warnings of other kinds than UserWarning are for who writes code, and stay as they are.

    Examples
    --------
    >>> told = []
    >>> with noted(told.append):
    ...     warnings.warn("2 of 9 rows\nare left out", stacklevel=1)
    >>> told
    ['2 of 9 rows are left out']
    """
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: Any, *where: Any, **how: Any) -> None:
            if category is UserWarning:
                tell(" ".join(str(message).split()))
            else:
                usual(message, category, *where, **how)

        warnings.showwarning = show
        yield


class _Left(ProgressColumn):
    """The time that is left, once enough is done to tell it; or what a task says of it."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Write it."""
        known = task.time_remaining if task.percentage > 100 * TELLS else None
        left = task.fields.get("left", known)
        said = "" if left is None else f"{time_of(round(left))} left"
        return Text(said, style="progress.remaining")


def progress() -> Progress:
    """Make a progress display; use it as a context manager."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Left(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
