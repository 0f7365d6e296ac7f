"""Which rows of the files a number comes from, and where in a sentence it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from wherefrom.evidence import (
    BudgetRow,
    CorrelationRow,
    DeviationRow,
    DifferenceRow,
    HomeRow,
    LeaderRow,
    SensitivityDifferenceRow,
    SensitivityRow,
    SummaryRow,
    TransferRow,
    VarianceRow,
    View,
)
from wherefrom.evidence.convergence import ConvergenceRow, StepRow
from wherefrom.evidence.exchange import ExchangeRow
from wherefrom.evidence.nearness import DistanceRow, EffectRow, LawRow
from wherefrom.evidence.records import Record
from wherefrom.evidence.sizes import SizeRow

__all__ = ["Link", "Rows", "links", "measured", "rows_in", "rows_of"]

#: The file of each kind of row, without its suffix.
_FILES: dict[type[Record], str] = {
    SummaryRow: "summary",
    DifferenceRow: "differences",
    LeaderRow: "leaders",
    VarianceRow: "variance",
    SensitivityRow: "sensitivity",
    DeviationRow: "deviations",
    SensitivityDifferenceRow: "sensitivity_differences",
    TransferRow: "transfer",
    HomeRow: "home",
    CorrelationRow: "correlations",
    DistanceRow: "distances",
    EffectRow: "distance_effects",
    LawRow: "distance_law",
    BudgetRow: "budget",
    ExchangeRow: "exchange",
    SizeRow: "sizes",
    ConvergenceRow: "convergence",
    StepRow: "convergence_steps",
}

#: Columns that tell the rows of a file from each other.
_AXES = (
    "model", "other_model", "task", "other_task", "n", "head", "other_head", "metric",
    "composition", "region", "reference", "audit", "size", "budget",
)  # fmt: skip

#: A measured number of a sentence, with its interval: it has decimals or is a share.
_MEASURED = re.compile(
    r"(?<![\w.,−+-])(?<!within )(?<!probability )"
    r"[+−]?(?:\d{1,3}\.\d+|\d{1,3}(?= ?%))(?![\w.]*\w)(?: ?%)?(?: \[[^\]]*\])?"
)


class Rows(NamedTuple):
    """Rows of a file of the report: those that have these values.

    Examples
    --------
    >>> one = Rows("summary", (("model", "m"), ("region", "Asia")))
    >>> one.hint
    'summary.csv: model = m, region = Asia'
    >>> one.agrees(Rows("summary", (("model", "m"),)))
    True
    """

    file: str
    where: tuple[tuple[str, str], ...] = ()

    @property
    def hint(self) -> str:
        """The file and the filter in words."""
        said = ", ".join(f"{column} = {value or '(empty)'}" for column, value in self.where)
        return f"{self.file}.csv" + (f": {said}" if said else "")

    @property
    def path(self) -> str:
        """The file, as it lies beside the page."""
        return f"tables/{self.file}.csv"

    def agrees(self, other: Rows) -> bool:
        """Tell whether a row can be of both."""
        own, others = dict(self.where), dict(other.where)
        return self.file == other.file and all(
            own[name] == others[name] for name in own.keys() & others.keys()
        )

    def about(self, *columns: str) -> Rows:
        """Return the filter by some of its columns alone."""
        return self._replace(where=tuple(one for one in self.where if one[0] in columns))

    def without(self, other: Rows) -> Rows:
        """Return the filter without what another says already."""
        return self._replace(where=tuple(one for one in self.where if one not in other.where))


class Link(NamedTuple):
    """A stretch of a sentence, and the rows that it is of."""

    start: int
    stop: int
    rows: Rows


def rows_of(record: Record) -> Rows:
    """Return the one row of the files that a record is written to."""
    named = ((name, getattr(record, name, None)) for name in _AXES)
    where = tuple((name, str(value)) for name, value in named if value is not None)
    return Rows(_FILES[type(record)], where)


def rows_in(file: str, view: View, **more: str) -> Rows:
    """Return the rows of a file that are about a view."""
    known = view._asdict() | more
    return Rows(file, tuple((name, str(known[name])) for name in _AXES if name in known))


def links(
    text: str, pieces: Iterable[tuple[str, Rows]] = (), rest: Rows | None = None, start: int = 0
) -> tuple[Link, ...]:
    """Link pieces of a sentence to their rows, and the other measured numbers to `rest`.

    Parameters
    ----------
    pieces : iterable of (str, Rows)
        A piece that stands there twice is linked once, where no other piece is.
    start : int
        Numbers before it are none of the report's, e.g. those of a paper.

    Examples
    --------
    >>> rest = Rows("summary")
    >>> text = "a (+0.012 [0.010, 0.014]) beats L40 by 7 %"
    >>> [text[one.start : one.stop] for one in links(text, rest=rest)]
    ['+0.012 [0.010, 0.014]', '7 %']
    """
    made: list[Link] = []
    for piece, rows in pieces:
        if (at := next(_free(text, piece, made, start), None)) is not None:
            made.append(Link(at, at + len(piece), rows))
    if rest is not None:
        made += [
            Link(a, b, rest)
            for a, b in measured(text, start)
            if all(b <= one.start or one.stop <= a for one in made)
        ]
    return tuple(sorted(made))


def measured(text: str, start: int = 0) -> list[tuple[int, int]]:
    """Return where the measured numbers of a sentence stand, with their intervals."""
    return [found.span() for found in _MEASURED.finditer(text, start)]


def _free(text: str, piece: str, made: list[Link], start: int) -> Iterator[int]:
    """Yield where a piece stands as words of its own, outside of other links."""
    for found in re.finditer(rf"(?<![\w-]){re.escape(piece)}(?![\w-])", text[start:]):
        a, b = found.start() + start, found.end() + start
        if all(b <= one.start or one.stop <= a for one in made):
            yield a
