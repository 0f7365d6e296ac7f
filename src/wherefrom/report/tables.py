"""Tables: a grid of rows and regions, written for the page, LaTeX, the terminal and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from wherefrom.evidence import ALL_REGIONS, BETTER, INITIAL, UNDECIDED, WORSE, Headline
from wherefrom.evidence.records import DifferenceRow, SummaryRow
from wherefrom.report.context import ABOVE_UNTUNED, caveat
from wherefrom.report.rows import Rows, rows_in, rows_of
from wherefrom.report.style import number, score_title, signed, turned
from wherefrom.shown import latex as tex
from wherefrom.shown import line as one_line

__all__ = ["Cell", "Grid", "Line", "difference_grid", "latex", "rich_table", "score_grid"]


#: The spread of the blocks' means, in the region that sums a table up.
OVER_BLOCKS = "± over blocks"
#: What the last column of a table of scores counts.
RUNS = "blocks × fine-tune seeds"


@dataclass(frozen=True)
class Cell:
    """One cell: its text and a detail below it, a number to sort by, and how it is shown.

    `rows` says which row of the files it is.
    """

    text: str
    sort: float | None = None
    bold: bool = False
    verdict: str = ""
    hint: str = ""
    detail: str = ""
    rows: Rows | None = None

    @property
    def whole(self) -> str:
        """Text and detail in one line."""
        return f"{self.text} {self.detail}".rstrip()


@dataclass(frozen=True)
class Line:
    """One row: a composition or a baseline."""

    label: str
    kind: str
    cells: list[Cell]

    @property
    def beside(self) -> bool:
        """Tell whether the row is set beside the compositions, and is none of them."""
        return self.kind in ("baseline", "official")


@dataclass(frozen=True)
class Grid:
    """A table by region; `rows` says what it is about, in the terms of the files."""

    caption: str
    columns: list[str]
    lines: list[Line]
    rows: Rows | None = None

    @cached_property
    def common(self) -> Rows | None:
        """What the rows of all its cells have in common: baselines have models of their own."""
        found = [c.rows for line in self.lines for c in line.cells if c.rows is not None]
        if self.rows is None or any(one.file != self.rows.file for one in found):
            return None
        return self.rows._replace(
            where=tuple(pair for pair in self.rows.where if all(pair in one.where for one in found))
        )


def score_grid(headline: Headline) -> Grid:
    """Make the table as papers print it: mean and spread over fine-tune seeds.

    Compositions come first, then baselines; a cell is bold only where the data decide that its
    row is better than every other row of the column. The last columns say on how many blocks
    and fine-tune seeds a row stands.
    """
    lines = []
    for kind, label, key in headline.rows:
        rows = [headline.mean(key, region) for region in headline.regions]
        cells = [_score_cell(row, label, headline) for row in rows]
        present = [row for row in rows if row is not None]
        cells += [_spread_cell(present), _runs_cell(present)]
        lines.append(Line(headline.called(label), kind, cells))
    caption = (
        f"{score_title(headline)}{turned(headline)}, {headline.title}: "
        "mean ± standard deviation over fine-tune seeds"
    )
    about = rows_in("summary", headline.view)
    return Grid(caption, [*headline.regions, OVER_BLOCKS, "runs"], lines, about)


def difference_grid(headline: Headline, reference: str) -> Grid | None:
    """Make the table of differences to one reference; None if the results lack it."""
    lines = []
    for name in headline.compositions:
        rows = [headline.difference(name, reference, region) for region in headline.regions]
        if any(rows):
            kind = INITIAL if name == INITIAL else "composition"
            lines.append(Line(headline.called(name), kind, [_difference_cell(row) for row in rows]))
    if not lines:
        return None
    caption = (
        f"{score_title(headline)} minus that of {headline.called(reference)}, "
        f"{headline.title}{turned(headline)}: "
        f"difference [95 % interval over {headline.covers}]"
    )
    about = rows_in("differences", headline.view, reference=reference)
    return Grid(caption, headline.regions, lines, about)


def latex(grid: Grid) -> str:
    """Write a grid as a LaTeX table for the package booktabs."""
    head = " & ".join(["", *map(tex, grid.columns)])
    body = []
    for before, line in pairwise([grid.lines[0], *grid.lines]):
        if line.beside and not before.beside:
            body.append(r"\midrule")
        cells = [rf"\textbf{{{tex(c.whole)}}}" if c.bold else tex(c.whole) for c in line.cells]
        body.append(" & ".join(["{}" + tex(line.label), *cells]) + r" \\")
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{tex(grid.caption)}.}}",
            rf"\begin{{tabular}}{{l{'r' * len(grid.columns)}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def rich_table(grid: Grid) -> RenderableType:
    """Write a grid of scores for the terminal, each row of it on one line.

    Where it is too wide, spreads are left out, which is said; where it still is, the columns stand
    in tables below each other.
    """
    return _Fitted(grid)


@dataclass(frozen=True)
class _Fitted:
    """A grid in the form that fits into the width of the terminal."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        every = [i for i, name in enumerate(self.grid.columns) if name != OVER_BLOCKS]
        room = options.max_width
        if _width(self.grid, every, spread=True) <= room:
            yield _lines(self.grid, every, spread=True)
            return
        left = every
        while left:
            count = len(left)
            while count > 1 and _width(self.grid, left[:count], spread=False) > room:
                count -= 1
            yield _lines(self.grid, left[:count], spread=False)
            left = left[count:]
        if any(_SPREAD in cell.text for line in self.grid.lines for cell in line.cells):
            yield Text("means alone: the terminal is too narrow for ±", style="dim")


#: What parts a mean from its spread.
_SPREAD = " ± "
#: Of a longer label the rest stands on further lines.
_LABEL = 40


def _texts(grid: Grid, column: int, spread: bool) -> list[str]:
    """Return the cells of a column as a terminal has them."""
    texts = [line.cells[column].text for line in grid.lines]
    if spread:
        return [text.replace(f"{_SPREAD}0", " ±") for text in texts]
    return [text.partition(_SPREAD)[0] for text in texts]


def _named(grid: Grid, column: int) -> str:
    name = one_line(grid.columns[column])
    return "All" if name == ALL_REGIONS else name


def _width(grid: Grid, columns: Sequence[int], *, spread: bool) -> int:
    """Return how wide a table of some columns is, a blank after each."""
    labels = min(_LABEL, max(len(one_line(line.label)) for line in grid.lines))
    return labels + sum(
        1 + max(map(len, [*_texts(grid, i, spread), *_named(grid, i).split()])) for i in columns
    )


def _lines(grid: Grid, columns: Sequence[int], *, spread: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", max_width=_LABEL, overflow="fold", vertical="bottom")
    for i in columns:
        width = max(map(len, [*_texts(grid, i, spread), *_named(grid, i).split()]))
        table.add_column(Text(_named(grid, i)), justify="right", width=width, vertical="bottom")
    texts = {i: _texts(grid, i, spread) for i in columns}
    for at, (before, line) in enumerate(pairwise([grid.lines[0], *grid.lines])):
        if line.beside and not before.beside:
            table.add_row()
        style = "dim" if line.beside else ""
        cells = [Text(texts[i][at], "bold" if line.cells[i].bold else style) for i in columns]
        table.add_row(Text(one_line(line.label), style=style), *cells)
    return table


def _score_cell(row: SummaryRow | None, label: str, headline: Headline) -> Cell:
    if row is None:
        return Cell("–")
    leader = headline.leader(row.region)
    bold = leader is not None and leader.decided and leader.best == label
    hint = (
        f"95 % interval {number(row.low)} to {number(row.high)}"
        if row.low is not None
        else f"no interval: {row.note}"
    )
    text = f"{number(row.mean)} ± {number(row.std_finetune)}"
    return Cell(text, row.mean, bold=bold, hint=hint, rows=rows_of(row))


def _spread_cell(rows: list[SummaryRow]) -> Cell:
    if not rows or rows[-1].std_blocks is None:
        return Cell("–")
    last = rows[-1]
    hint = f"over blocks, {last.region}"
    return Cell(number(last.std_blocks, 4), last.std_blocks, hint=hint, rows=rows_of(last))


def _runs_cell(rows: list[SummaryRow]) -> Cell:
    if not rows:
        return Cell("–")
    row = rows[0]
    if not row.composition:
        return Cell(f"{row.finetune_seeds}", 0, hint="fine-tune seeds", rows=rows_of(row))
    text = f"{row.blocks}×{row.finetune_seeds}"
    return Cell(text, row.blocks, hint=RUNS, rows=rows_of(row))


def _difference_cell(row: DifferenceRow | None) -> Cell:
    if row is None:
        return Cell("–")
    text = signed(row.difference)
    if row.low is None or row.p_adjusted is None:
        return Cell(text, row.difference, False, UNDECIDED, row.note, "[no interval]", rows_of(row))
    return Cell(
        text,
        row.difference,
        bold=row.verdict in (BETTER, ABOVE_UNTUNED, WORSE),
        verdict=row.verdict,
        hint=f"{row.verdict}{caveat(row)}; against {row.reference_row}; adjusted "
        f"p = {row.p_adjusted:.2g} ({row.compared} compared)",
        detail=f"[{signed(row.low)}, {signed(row.high)}]{caveat(row)}",
        rows=rows_of(row),
    )
