"""Rows of a table by a condition on its columns, such as ``cloud < 0.3``: read, never evaluated."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wherefrom.errors import WherefromError, unknown
from wherefrom.pool.seasons import Dates, dated, tell
from wherefrom.pool.tables import Places
from wherefrom.pool.text import first_line, numeric

__all__ = ["Where", "columns_in", "picked"]

#: Words and signs of a condition; a column's name that is no word stands between backquotes.
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))"
    r"|(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")"
    r"|`(?P<quoted>[^`]+)`"
    r"|(?P<word>[^\W\d][\w.]*)"
    r"|(?P<sign><=|>=|!=|<>|==|[<>=(),]))"
)
_COMPARE = {
    "=": pc.equal, "==": pc.equal, "!=": pc.not_equal, "<>": pc.not_equal,
    "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip
_WORDS = ("and", "or", "not", "in", "is", "null", "true", "false")
_EXAMPLE = "cloud < 0.3 and season in ('dry', 'wet')"
#: A node: what it is, and its parts.
Node = tuple[Any, ...]


@dataclass(frozen=True)
class Where:
    """A condition on the columns of a table.

    Comparisons of a column with a number, a text in quotation marks (also a date), ``true``,
    ``false`` or another column, ``in (...)`` and ``is null``, joined by ``and``, ``or``, ``not``
    and parentheses. A comparison with what is missing holds for no row, as in SQL; NaN, and of
    ``is null`` empty text, are missing too. Numbers that a column holds as text are numbers where
    they are compared with some.

    Attributes
    ----------
    text : str

    Raises
    ------
    WherefromError
        When it is first used, if the condition cannot be read.

    Examples
    --------
    >>> table = pa.table({"cloud": [0.1, 0.5, None], "season": ["dry", "wet", "dry"]})
    >>> Where("cloud < 0.3 or not season = 'dry'").kept(table, "tiles.csv").tolist()
    [True, True, False]
    >>> Where("cloud is null and season in ('dry')").columns
    ('cloud', 'season')
    """

    text: str

    @classmethod
    def of(cls, where: str | Where | None) -> Where | None:
        """Make one of its text, and see that it can be read; one stays as it is, None is none."""
        made = cls(where) if isinstance(where, str) else where
        if made is not None:
            made.node  # noqa: B018
        return made

    @cached_property
    def node(self) -> Node:
        """The condition as nested tuples."""
        return _Reader(self.text).read()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that it looks at."""
        return tuple(dict.fromkeys(_named(self.node)))

    def known(self, names: Collection[str], source: str) -> None:
        """See that a table has its columns, else raise a `WherefromError`."""
        for name in self.columns:
            if name not in names:
                raise unknown(f"column of {source} (where {self.text})", name, names)

    def said(self, kept: int, rows: int, source: str) -> str:
        """Say how many rows it keeps and leaves out; refuse a table of which none is left."""
        if not kept:
            raise WherefromError(f"{source}: none of {rows:,} rows is left where {self.text}")
        return f"where {self.text}: {kept:,} of {rows:,} rows, {rows - kept:,} left out"

    def kept(self, table: pa.Table, source: str) -> NDArray[np.bool_]:
        """Tell of each row of a table, which is called `source`, whether it holds.

        Raises
        ------
        WherefromError
            If a column is not there, or not of the type of what it is compared with.
        """
        self.known(table.column_names, source)
        try:
            found = self._held(self.node, table)
        except pa.ArrowException as err:
            raise self._error(f"cannot be compared in {source} ({first_line(err)})") from err
        return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)

    def _held(self, node: Node, table: pa.Table) -> pa.Array:
        kind, *parts = node
        if kind in ("and", "or"):
            both = [self._held(part, table) for part in parts]
            return (pc.and_kleene if kind == "and" else pc.or_kleene)(*both)
        if kind == "not":
            return pc.invert(self._held(parts[0], table))
        if kind == "null":
            column = _plain(table, parts[0])
            if _textual(column.type):
                return pc.equal(column, "").fill_null(True)
            return pc.is_null(column)
        if kind == "in":
            name, values = parts
            equal = [self._compared("=", name, value, table) for value in values]
            found = equal[0]
            for one in equal[1:]:
                found = pc.or_kleene(found, one)
            return found
        name, other = parts
        return self._compared(kind, name, other, table)

    def _compared(self, sign: str, name: str, other: Node, table: pa.Table) -> pa.Array:
        """Compare a column with a literal or another column."""
        column, (kind, value) = _plain(table, name), other
        if kind == "column":
            value = _plain(table, value)
            if _numbers(column.type) and _textual(value.type):
                value = self._as_numbers(value, other[1])
            elif _textual(column.type) and _numbers(value.type):
                column = self._as_numbers(column, name)
            elif _group(column.type) != _group(value.type) and not pa.types.is_null(value.type):
                raise self._error(
                    f"column {name!r} holds {_group(column.type)}, and {other[1]!r} "
                    f"{_group(value.type)}"
                )
        elif kind == "number" and _textual(column.type):
            column = self._as_numbers(column, name)
        elif kind == "text" and pa.types.is_temporal(column.type):
            try:
                value = pa.scalar(value).cast(column.type)
            except pa.ArrowException as err:
                raise self._error(
                    f"column {name!r} holds {column.type}, and {value!r} is no such: write "
                    "'2020-12-31'"
                ) from err
        elif not pa.types.is_null(column.type) and _group(column.type) != _GROUPS[kind]:
            how = {"text": "leave the quotation marks out", "number": "write a text or a date"}
            if kind == "truth" and _textual(column.type):
                how["truth"] = f"write '{str(value).lower()}'"
            raise self._error(
                f"column {name!r} holds {_group(column.type)}, and {value!r} is "
                f"{_KINDS[kind]}: {how.get(kind, 'compare it with such')}"
            )
        if pa.types.is_null(column.type) or (kind == "column" and pa.types.is_null(value.type)):
            return pa.chunked_array([pa.nulls(len(column), pa.bool_())])
        return _COMPARE[sign](column, value)

    def _as_numbers(self, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        found, wrong = numeric(column)
        if len(wrong):
            raise self._error(
                f"column {name!r} is text (it holds {column[int(wrong[0])].as_py()!r}), not "
                "numbers: compare it with text in quotation marks"
            )
        return found.cast(pa.float64())

    def _error(self, said: str) -> WherefromError:
        return WherefromError(f"where {self.text}: {said}")


def picked(
    places: Places, time: str | Dates | None = None, where: str | Where | None = None
) -> Places:
    """Give a table the label columns of its dates, and keep the rows that meet a condition.

    Rows are left out before dates are read, unless the condition is on what these become. How
    many is said on stderr, and is ``left_out`` of the places.

    Examples
    --------
    >>> from wherefrom.pool.tables import places_of
    >>> table = pa.table({"lon": [1.0, 2.0, 3.0], "lat": [0.0] * 3, "cloud": [0.9, 0.1, 0.2]})
    >>> places = picked(places_of(table), where="cloud < 0.3")
    >>> places.ids.tolist(), places.left_out
    ([1, 2], 1)
    """
    condition = Where.of(where)
    if condition is None:
        return dated(places, time)
    own = {*places.given.column_names, *places.rest.column_names}
    if time is not None and not set(condition.columns) <= own:
        return _kept(dated(places, time), condition)
    return dated(_kept(places, condition), time)


def _kept(places: Places, where: Where) -> Places:
    kept = where.kept(columns_in(places), places.source)
    rows = np.flatnonzero(kept)
    tell(places.source, [where.said(len(rows), len(kept), places.source)])
    return replace(
        places,
        ids=places.ids[rows],
        lon=places.lon[rows],
        lat=places.lat[rows],
        rest=places.rest.filter(pa.array(kept)),
        given=places.given.filter(pa.array(kept)),
        rows=rows if places.rows is None else places.rows[rows],
        left_out=places.left_out + len(kept) - len(rows),
        where=where.text,
    )


def columns_in(places: Places) -> pa.Table:
    """Return the columns that a condition can name: as the table has them, and what was added."""
    table = places.given
    for name in places.rest.column_names:
        if name not in table.column_names:
            table = table.append_column(places.rest.field(name), places.rest.column(name))
    return table


class _Reader:
    """Reads a condition; ``or`` binds less than ``and``, that less than ``not``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, Any]] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._error(f"cannot read {text[at:].strip()!r}")
            kind, value = str(found.lastgroup), found[str(found.lastgroup)]
            if kind == "word" and value.lower() in _WORDS:
                kind, value = "sign", value.lower()
            self.tokens.append((kind, value))
            at = found.end()
        self.at = 0

    def read(self) -> Node:
        """Read the whole condition."""
        node = self._either()
        if self.at < len(self.tokens):
            raise self._error(f"{self.tokens[self.at][1]!r} was not expected")
        return node

    def _either(self) -> Node:
        node = self._both()
        while self._taken("or"):
            node = ("or", node, self._both())
        return node

    def _both(self) -> Node:
        node = self._one()
        while self._taken("and"):
            node = ("and", node, self._one())
        return node

    def _one(self) -> Node:
        if self._taken("not"):
            return ("not", self._one())
        if self._taken("("):
            node = self._either()
            self._need(")")
            return node
        return self._comparison()

    def _comparison(self) -> Node:
        kind, value = self._operand()
        if self._taken("is"):
            other = self._taken("not")
            self._need("null")
            node: Node = ("null", self._column(kind, value))
            return ("not", node) if other else node
        other = self._taken("not")
        if other or self._next() == ("sign", "in"):
            self._need("in")
            node = ("in", self._column(kind, value), self._list())
            return ("not", node) if other else node
        sign = self._next()[1]
        if self._next()[0] != "sign" or sign not in _COMPARE:
            raise self._error(f"after {value!r} one of {', '.join(_COMPARE)}, in, is null is due")
        self.at += 1
        right = self._operand()
        if kind != "column":  # the column to the left
            turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
            return (turned.get(sign, sign), self._column(*right), (kind, value))
        return (sign, value, right)

    def _list(self) -> list[Node]:
        self._need("(")
        values = [self._operand()]
        while self._taken(","):
            values.append(self._operand())
        self._need(")")
        return values

    def _operand(self) -> tuple[str, Any]:
        kind, value = self._next()
        self.at += 1
        if kind == "number":
            whole = re.fullmatch(r"[-+]?\d{1,18}", value)
            return kind, int(value) if whole else float(value)
        if kind == "text":
            return kind, value[1:-1].replace(value[0] * 2, value[0])
        if kind in ("word", "quoted"):
            return "column", value
        if value in ("true", "false"):
            return "truth", value == "true"
        if value == "null":
            raise self._error("nothing equals null: write `is null` or `is not null`")
        said = "it ends" if kind == "end" else f"{value!r} stands"
        raise self._error(f"{said} where a column or a value is due")

    def _column(self, kind: str, value: Any) -> str:
        if kind != "column":
            raise self._error(f"{value!r} is no column; a name of several words needs `backquotes`")
        return str(value)

    def _next(self) -> tuple[str, Any]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "the end")

    def _taken(self, sign: str) -> bool:
        there = self._next() == ("sign", sign)
        self.at += there
        return there

    def _need(self, sign: str) -> None:
        if not self._taken(sign):
            raise self._error(f"{sign!r} is due before {self._next()[1]!r}")

    def _error(self, said: str) -> WherefromError:
        return WherefromError(f"where {self.text}: {said}; write such as {_EXAMPLE}")


def _named(node: Any) -> Iterator[str]:
    """Yield the columns of a node."""
    kind, *parts = node
    if kind in ("and", "or", "not"):
        for part in parts:
            yield from _named(part)
        return
    yield parts[0]
    others = parts[1] if kind == "in" else parts[1:]
    yield from (value for kind, value in others if kind == "column")


def _plain(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column without dictionaries and decimals, NaN as missing."""
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


_GROUPS = {"number": "numbers", "text": "text", "truth": "true and false"}
_KINDS = {"number": "a number", "text": "text", "truth": "a truth value"}


def _group(kind: pa.DataType) -> str:
    """Say what a column holds, in a word."""
    if _numbers(kind):
        return "numbers"
    if _textual(kind):
        return "text"
    return "true and false" if pa.types.is_boolean(kind) else str(kind)


def _numbers(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _textual(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
