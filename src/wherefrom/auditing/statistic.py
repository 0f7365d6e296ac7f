"""What a statistic of an audit is: it counts, sums up, and tells what it found in every form.

A statistic is one class in a file of its own, listed in `wherefrom.auditing.audit.STATISTICS`. The
audit, its page, its text, its card and its JSON loop over that tuple and know none by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.drawing import Drawing
from wherefrom.auditing.findings import Commands, Finding
from wherefrom.auditing.tally import Tally
from wherefrom.shown import line

__all__ = ["SPACE", "Section", "Statistic", "Table", "plain"]


class Table(NamedTuple):
    """A table of the page."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    legend: str = ""
    #: Whether it is shown on demand alone.
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page and of the text, which several statistics may share.

    `id` is its anchor, `nav` what links to it say, ``{against}`` what the places are held against,
    ``{ground}`` the surface that uniform places are on,
    `head` that of the table to which each statistic gives rows, `legend` what is under that table.
    The numbers of its statistics are together in JSON under `group`, or each for itself.
    """

    id: str
    nav: str
    title: str
    head: tuple[str, ...] = ()
    legend: str = ""
    group: str = ""

    def lines(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """Write the table for the terminal."""
        rows = [[line(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(self.head, *rows, strict=True)]
        return [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (self.head, *rows)
        ]


class _Space(Section):
    """Statistics beside those of uniform places: name, value, that of uniform places, meaning."""

    def lines(self, rows: Sequence[Sequence[str]]) -> list[str]:
        names, values = (max(len(row[i]) for row in rows) for i in (0, 1))
        return [
            f"{name:{names}}  {value:>{values}}"
            + (f"  ({uniform} if uniform on {{ground}})" if uniform else "")
            for name, value, uniform, _ in rows
        ]


#: Statistics of how the places lie on the sphere.
SPACE = _Space(
    "space",
    "Space",
    "Space",
    head=("statistic", "places", "uniform on {ground}", "what it says"),
    group="space",
)


class Statistic:
    """Base of all statistics: what is not overridden is empty.

    A subclass is a frozen dataclass of numbers (or a mapping of such), in `section`, and its
    instance is what was found. It needs `name`, `section`, and `tallies` or `of`.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class North(Statistic):
    ...     name, section = "north", SPACE
    ...     share: float
    ...
    ...     @classmethod
    ...     def of(cls, asked, counted):
    ...         return cls(float((asked.sample.lat > 0).mean()))
    ...
    ...     def rows(self):
    ...         return [("north of the equator", f"{self.share:.0%}", "", "of a sample of places")]
    >>> North(0.5).entries(), North(0.5).rows()[0][1]
    ({'north': {'share': 0.5}}, '50%')
    """

    #: Its key in JSON and its attribute of an audit.
    name: ClassVar[str]
    section: ClassVar[Section]
    #: Whether it compares with land, and is left out where there is none.
    of_land: ClassVar[bool] = False

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return empty tallies, to be counted in the one pass over the places.

        None are needed by what looks at the sample of places (``asked.sample``), or at other
        tables.
        """
        return ()

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Self | None:
        """Sum up what was counted; None where there is nothing to tell.

        By default, what the one tally has for a ``result()``; None without a tally.

        Parameters
        ----------
        asked : Asked
            Whose ``sample`` is there by now.
        counted : sequence of Tally
            The tallies of `tallies`, over all places.
        """
        result: Self | None = counted[0].result() if counted else None
        return result

    def entries(self) -> dict[str, Any]:
        """Return every number as plain values, ready for JSON."""
        return {self.name: plain(self)}

    def rows(self) -> Sequence[Sequence[str]]:
        """Return rows of the section's table."""
        return ()

    def findings(self, commands: Commands) -> list[Finding]:
        """Say what is amiss."""
        return []

    def drawings(self) -> list[Drawing]:
        """Return plots for the page."""
        return []

    def tables(self) -> list[Table]:
        """Return further tables for the page."""
        return []

    def notes(self) -> list[str]:
        """Return sentences for the page."""
        return []

    def lines(self) -> list[str]:
        """Return lines for the terminal, after the section's table."""
        return []

    def layers_shown(self) -> Sequence[str]:
        """Return the layers whose sources the page names."""
        return ()

    def glance(self) -> str:
        """Return HTML for the card that a notebook shows."""
        return ""


def plain(value: Any) -> Any:
    """Turn dataclasses, tuples and mappings into dicts and lists, ready for JSON.

    Fields of ``repr=False`` are left out.
    """
    if dataclasses.is_dataclass(value):
        shown = (field.name for field in dataclasses.fields(value) if field.repr)
        return {name: plain(getattr(value, name)) for name in shown}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value
