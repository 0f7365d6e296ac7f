"""Links of a page: from the numbers of its sentences to its cells, and from these to the files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from wherefrom import shown
from wherefrom.report.context import Statement
from wherefrom.report.rows import Rows
from wherefrom.report.tables import Cell, Grid

__all__ = ["Anchors"]


class Anchors:
    """The cells and tables of a page that a link can lead to, each with an identifier.

    Parameters
    ----------
    grids : iterable of Grid
        All tables of the page, in its order. Of cells with the same rows the first is the anchor.
    words : mapping of str to str
        Words with what they mean, which is told where each is first written.

    Examples
    --------
    >>> from wherefrom.report.tables import Line
    >>> rows = Rows("summary", (("model", "m"), ("region", "Asia")))
    >>> table = Grid("scores", ["Asia"], [Line("a", "", [Cell("0.5", rows=rows)])], Rows("summary"))
    >>> anchors = Anchors([table])
    >>> anchors.href(rows), anchors.href(Rows("leaders"))
    ('#r1', 'tables/leaders.csv')
    """

    def __init__(self, grids: Iterable[Grid], words: Mapping[str, str] | None = None) -> None:
        self._words = dict(words or {})
        self._cells: dict[Rows, tuple[str, int]] = {}
        self._tables: dict[int, tuple[str, Rows]] = {}
        for number, grid in enumerate(grids, start=1):
            if grid.rows is not None:
                self._tables[id(grid)] = (f"t{number}", grid.rows)
            for cell in (cell for line in grid.lines for cell in line.cells):
                if cell.rows is not None and cell.rows not in self._cells:
                    self._cells[cell.rows] = (f"r{len(self._cells) + 1}", id(cell))

    def cell(self, cell: Cell) -> str:
        """Return the identifier of a cell, if it is an anchor, else nothing."""
        name, own = self._cells.get(cell.rows or Rows(""), ("", 0))
        return name if own == id(cell) else ""

    def table(self, grid: Grid) -> str:
        """Return the identifier of a table, or nothing."""
        return self._tables[id(grid)][0] if id(grid) in self._tables else ""

    def href(self, rows: Rows) -> str:
        """Return where rows are: their cell, or a table that has them, or their file."""
        if rows in self._cells:
            return f"#{self._cells[rows][0]}"
        # Of several tables the first that is about most of what is asked for.
        agreeing = [
            (len({*own.where} & {*rows.where}), name)
            for name, own in self._tables.values()
            if rows.agrees(own)
        ]
        return f"#{max(agreeing, key=lambda one: one[0])[1]}" if agreeing else rows.path

    def hint(self, cell: Cell, grid: Grid) -> str:
        """Say what a cell is, and where in the files: beyond what its table says."""
        if cell.rows is None:
            return cell.hint
        rows = cell.rows.without(grid.common) if grid.common else cell.rows
        return f"{cell.hint}. {rows.hint}" if cell.hint else rows.hint

    def say(self, statement: Statement) -> Markup:
        """Write a statement with links from its numbers to their rows."""
        text, at = statement.text, 0
        made: list[str] = []
        for start, stop, rows in statement.links:
            made.append(self.explained(text[at:start]))
            made.append(self._link(text[start:stop], rows))
            at = stop
        return Markup("".join([*made, self.explained(text[at:])]))

    def explained(self, text: str) -> Markup:
        """Write a text, and what a word means where it is the first of its kind on the page."""
        if not self._words:
            return Markup(shown.html(text))
        found = re.search(rf"\b({'|'.join(map(re.escape, self._words))})s?\b", text)
        if found is None:
            return Markup(shown.html(text))
        meaning = shown.html(self._words.pop(found[1]))
        word = f'<abbr tabindex="0" title="{meaning}">{shown.html(found[0])}</abbr>'
        before = shown.html(text[: found.start()])
        return Markup(before + word) + self.explained(text[found.end() :])

    def _link(self, text: str, rows: Rows) -> str:
        known: tuple[Any, ...] = (self.href(rows), rows.hint, text)
        href, hint, words = map(shown.html, known)
        return f'<a class="n" href="{href}" title="{hint}">{words}</a>'
