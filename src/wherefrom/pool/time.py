"""Columns of dates: any common form of them, read as the first and the last day of each row."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.keys import mixed
from wherefrom.pool.text import MISSING
from wherefrom.shown import brief, count_of

__all__ = ["NONE", "Days", "Odd", "days_of", "same_days", "written"]

Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

#: The day of a row without a date.
NONE = np.iinfo(np.int64).min
#: Years that are read, and days since 1970 that no image is older than.
YEARS, OLD = (1500, 2200), -7305
#: Units of a time since 1970 -> how many a day has. Numbers are taken for one where it leads to the
#: years 1973 to 2100.
_UNITS = {"seconds": 86_400, "milliseconds": 86_400_000, "microseconds": 86_400_000_000,
          "nanoseconds": 86_400_000_000_000}  # fmt: skip
_EPOCH = (1157, 47_482)
#: Year, month and day, or less; then a time and a zone. What is of digits alone is a number.
_DATE = (
    r"^\s*(?P<year>\d{4})(?:[-/](?P<month>\d{1,2})(?:[-/](?P<day>\d{1,2}))?"
    r"|(?P<month2>\d{2})(?P<day2>\d{2}))?"
    r"(?:[Tt ]\s*(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,]\d*)?)?)?"
    r"\s*(?:[Zz]|UTC|GMT|(?P<sign>[+-])(?P<zone>\d{2}):?(?P<zone2>\d{2})?)?\s*$"
)
_TIMED = r"^\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d*)?)?Z?$"
_NUMBER = r"^\s*\d{1,18}\s*$"
_DAY_FIRST = re.compile(r"\s*\d{1,2}([-/. ])\d{1,2}\1\d{2,4}\b")
#: What a list that is written as text has in it.
_ITEM = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^\s,'\"\[\]()][^,'\"\[\]()]*)")
_ISO = "write ISO dates, such as 2020-01-31"


@dataclass(frozen=True, eq=False)
class Days:
    """First and last day of each row.

    Attributes
    ----------
    first, last : ndarray of int64, shape (N,)
        Days since 1970-01-01, UTC; `NONE` for a row without a date. The last is that of a whole
        year or month where no more is given.
    units : frozenset of str
        Units of times since 1970 that whole numbers were taken for.
    """

    first: Ints
    last: Ints
    units: frozenset[str] = frozenset()

    @classmethod
    def none(cls, rows: int) -> Days:
        """Return those of so many rows without a date."""
        return cls(np.full(rows, NONE), np.full(rows, NONE))

    @classmethod
    def of_pieces(cls, pieces: Sequence[Days]) -> Days:
        """Put the days of consecutive rows together."""
        units = frozenset[str]().union(*(piece.units for piece in pieces))
        first, last = ([getattr(piece, name) for piece in pieces] for name in ("first", "last"))
        none = np.zeros(0, dtype=np.int64)
        return cls(np.concatenate([none, *first]), np.concatenate([none, *last]), units)

    def take(self, rows: Ints | Mask) -> Days:
        """Return those of some rows."""
        return Days(self.first[rows], self.last[rows], self.units)

    def joined(self, other: Days) -> Days:
        """Return the days from those of one column to those of another."""
        there = (self.first != NONE, other.first != NONE)
        least = np.minimum(self.first, other.first)
        first = np.where(there[0] & there[1], least, np.maximum(self.first, other.first))
        return Days(first, np.maximum(self.last, other.last), self.units | other.units)


@dataclass
class Odd:
    """What is odd about dates that are read, piece by piece, in order.

    Examples
    --------
    >>> odd = Odd()
    >>> odd.update(days_of(pa.chunked_array([["2020-05-01", "1920", None]]), "date"), today=20_000)
    >>> odd.said("date")
    ["'date': 1 row has no date (first: 2)", "'date': 1 row is dated before 1950 (first: 1)"]
    """

    rows: int = 0
    units: frozenset[str] = frozenset()
    #: What -> how many rows, and the first one.
    found: dict[str, tuple[int, int]] = field(default_factory=dict)

    def update(self, days: Days, start: int = 0, today: int | None = None) -> None:
        """Look at more rows, of which the first is row `start`."""
        if today is None:
            today = int(datetime.now(UTC).timestamp() // 86_400)
        there = days.first != NONE
        for what, bad in (
            ("has no date", ~there),
            ("is dated before 1950", there & (days.first < OLD)),
            ("is dated in the future", days.first > today + 1),  # somewhere it is tomorrow
        ):
            at = np.flatnonzero(bad)
            if len(at):
                count, first = self.found.get(what, (0, start + int(at[0])))
                self.found[what] = (count + len(at), first)
        self.rows += len(there)
        self.units |= days.units

    def merge(self, later: Odd) -> None:
        """Add what was found in the rows that follow."""
        for what, (count, first) in later.found.items():
            known = self.found.get(what, (0, first))
            self.found[what] = (known[0] + count, known[1])
        self.rows += later.rows
        self.units |= later.units

    def said(self, name: str, where: Callable[[int], str] = str) -> list[str]:
        """Say it in a line each, of a column `name`; `where` names a row."""
        lines = [
            f"{name!r}: {count_of(count, 'row')} {what if count == 1 else _plural(what)} "
            f"(first: {where(first)})"
            for what, (count, first) in self.found.items()
        ]
        if self.units:
            lines.append(f"{name!r}: whole numbers are taken for {_any(self.units)} since 1970")
        return lines


def _plural(what: str) -> str:
    return what.replace("has ", "have ").replace("is ", "are ")


def _any(units: frozenset[str]) -> str:
    return " or ".join(unit for unit in _UNITS if unit in units)


def days_of(column: pa.ChunkedArray, name: str, source: str = "table", first: int = 0) -> Days:
    """Read a column of dates.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Timestamps (with a zone: days are those of UTC), dates, whole numbers (years, YYYYMMDD,
        seconds to nanoseconds since 1970), text, or lists of these. Text is ISO 8601 with or
        without time and zone, its date also with strokes or without any sign; less than a
        day is given by YYYY-MM and YYYY; of several dates the text is a list,
        ``"['2020-01-31', '2020-03-01']"``.
    name, source : str
        What to call the column and the table in a message.
    first : int
        Row of the source that the column's first row is, for the messages.

    Returns
    -------
    Days

    Raises
    ------
    WherefromError
        If the column is of another type, or a row holds no date that is read: names the first such
        row. Dates that begin with day or month are refused, for nothing tells one from the other.

    Examples
    --------
    >>> dates = pa.chunked_array([["2020-01-31", "20200201T102021", "2020-02", None]])
    >>> days = days_of(dates, "date")
    >>> written(days.first).tolist()
    ['2020-01-31', '2020-02-01', '2020-02-01', '']
    >>> written(days.last).tolist()
    ['2020-01-31', '2020-02-01', '2020-02-29', '']
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    read = _read(array)
    if read is None:
        raise WherefromError(
            f"{source}: column {name!r} is {column.type}, no dates: name another column, or {_ISO}"
        )
    days, bad = read
    if bad.any():
        row = int(bad.argmax())
        held = str(column[row].as_py())
        how = f"no date that is read: {_ISO}"
        if _DAY_FIRST.match(held):
            how = "and nothing tells its day from its month: write ISO dates, year first (of "
            how += "pandas: pandas.to_datetime(..., dayfirst=True or False))"
        count = int(bad.sum())
        others = f", and {count_of(count - 1, 'row')} more like it" if count > 1 else ""
        raise WherefromError(
            f"{source}: column {name!r} holds {brief(held)!r} in row {first + row}{others}, {how}"
        )
    return days


def written(days: Ints) -> NDArray[np.str_]:
    """Write days as ISO dates; empty for none.

    >>> written(np.array([0, NONE])).tolist()
    ['1970-01-01', '']
    """
    text = np.where(days == NONE, 0, days).astype("datetime64[D]").astype(str)
    return np.where(days == NONE, "", text)


def same_days(hashes: NDArray[np.uint64], days: Days) -> NDArray[np.uint64]:
    """Return hashes of rows that are alike where both the hashes given and the days are."""
    first, last = (each.view(np.uint64) for each in (days.first, days.last))
    return mixed(mixed(hashes + mixed(first)) + last)


def _read(array: pa.Array) -> tuple[Days, Mask] | None:
    """Read dates, and say which cannot be; None of a type that holds none."""
    kind, none = array.type, array.is_null().to_numpy(zero_copy_only=False)
    types = pa.types
    if types.is_null(kind):
        return _days(np.full(len(array), NONE), none & False)
    if types.is_timestamp(kind) or types.is_date64(kind):
        unit = "ms" if types.is_date64(kind) else kind.unit
        ticks = np.asarray(array.cast(pa.int64()).fill_null(0))
        per = 86_400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        return _days(np.where(none, NONE, ticks // per), none & False)
    if types.is_date32(kind):
        days = np.asarray(array.cast(pa.int32()).fill_null(0)).astype(np.int64)
        return _days(np.where(none, NONE, days), none & False)
    if types.is_integer(kind) or types.is_floating(kind):
        return _of_numbers(array, none)
    if types.is_large_string(kind):
        return _of_text(array)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        sizes = np.asarray(pc.list_value_length(array).fill_null(0)).astype(np.int64)
        inner = array.flatten()
        inner = inner.cast(pa.large_string()) if types.is_string(inner.type) else inner
        read = _read(inner)
        return None if read is None else _of_lists(*read, sizes)
    return None


def _days(days: Ints, bad: Mask) -> tuple[Days, Mask]:
    return Days(days, days), bad


def _of_lists(days: Days, bad: Mask, sizes: Ints) -> tuple[Days, Mask]:
    """Return the least and the largest day of lists of so many dates, put end to end."""
    row = np.repeat(np.arange(len(sizes)), sizes)
    there = days.first != NONE
    first = np.full(len(sizes), np.iinfo(np.int64).max)
    last = np.full(len(sizes), NONE)
    np.minimum.at(first, row[there], days.first[there])
    np.maximum.at(last, row[there], days.last[there])
    wrong = np.zeros(len(sizes), dtype=np.bool_)
    wrong[row[bad]] = True
    return Days(np.where(last == NONE, NONE, first), last, days.units), wrong


def _of_numbers(array: pa.Array, none: Mask) -> tuple[Days, Mask]:
    """Read years, YYYYMMDD, YYYYMMDDhhmmss, and times since 1970."""
    values = array.fill_null(0).to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f":
        none = none | np.isnan(values)
        with np.errstate(invalid="ignore"):
            whole = (values == np.floor(values)) | (values > 1e8)  # times may have a fraction
            odd = ~(whole & (np.abs(values) < 2.0**62))
        values = np.where(none | odd, 0.0, np.floor(values))
    number = values.astype(np.int64)
    first, last = np.full(len(number), NONE), np.full(len(number), NONE)
    low, high = YEARS
    year = (number >= low) & (number <= high)
    first[year] = _day(number[year], 1, 1)
    last[year] = _day(number[year] + 1, 1, 1) - 1
    for tail in (1, 10**6):
        short = number // tail
        own = (short >= low * 10**4) & (short < (high + 1) * 10**4) & (last == NONE)
        y, m, d = short[own] // 10**4, short[own] // 100 % 100, short[own] % 100
        clock = number[own] % tail
        sound = _is_day(y, m, d) & (clock < 240_000) & (clock % 10_000 < 6000) & (clock % 100 < 61)
        first[own] = last[own] = np.where(sound, _day(y, np.clip(m, 1, 12), d), NONE)
    units = set()
    for unit, per in _UNITS.items():
        own = (number // per >= _EPOCH[0]) & (number // per <= _EPOCH[1]) & (last == NONE)
        first[own] = last[own] = number[own] // per
        units |= {unit} if own.any() else set()
    return Days(first, last, frozenset(units)), (first == NONE) & ~none


def _of_text(array: pa.Array) -> tuple[Days, Mask]:
    """Read text, each different one once."""
    # Times of day and UTC say nothing of the day: without them few texts differ.
    timed = pc.match_substring_regex(array, _TIMED)
    array = pc.if_else(timed, pc.utf8_slice_codeunits(array, 0, 10), array)
    coded = array.dictionary_encode()
    texts = coded.dictionary
    blank = pc.is_in(pc.utf8_trim_whitespace(texts), pa.array(sorted(MISSING), texts.type))
    listed = pc.fill_null(pc.match_substring_regex(texts, r"^\s*\["), False)
    if pc.any(listed).as_py():
        items = [
            ["".join(found) for found in _ITEM.findall(text)]
            if text.lstrip()[:1] == "["
            else [text]
            for text in texts.to_pylist()
        ]
        sizes = np.array([len(each) for each in items], dtype=np.int64)
        flat = pa.array([one for each in items for one in each], texts.type)
        days, bad = _of_lists(*_of_text(flat), sizes)
    else:
        days, bad = _of_words(texts)
    bad &= ~np.asarray(blank.to_numpy(zero_copy_only=False))
    # A null row picks the last entry.
    at = np.asarray(coded.indices.fill_null(len(texts)))
    first, last = (np.append(each, NONE)[at] for each in (days.first, days.last))
    return Days(first, last, days.units), np.append(bad, False)[at]


def _of_words(texts: pa.Array) -> tuple[Days, Mask]:
    """Read different texts, of one date each."""
    first, last = np.full(len(texts), NONE), np.full(len(texts), NONE)
    digits = np.flatnonzero(pc.match_substring_regex(texts, _NUMBER).to_numpy(zero_copy_only=False))
    whole = pc.utf8_trim_whitespace(texts.take(pa.array(digits))).cast(pa.int64())
    days, _ = _of_numbers(whole, np.zeros(len(digits), dtype=np.bool_))
    first[digits], last[digits] = days.first, days.last
    parts = pc.extract_regex(texts, _DATE)
    rows = np.setdiff1d(np.flatnonzero(parts.is_valid().to_numpy(zero_copy_only=False)), digits)
    parts = parts.take(pa.array(rows))

    def of(name: str, absent: int = 0) -> Ints:
        part = parts.field(name)
        filled = pc.if_else(pc.equal(part, ""), str(absent), part)
        return np.asarray(filled.cast(pa.int64()))

    y, hour, minute = of("year"), of("hour"), of("minute")
    m, d = (np.maximum(of(name, -1), of(f"{name}2", -1)) for name in ("month", "day"))
    no_month, no_day = m < 0, d < 0
    m, d = np.where(no_month, 1, m), np.where(no_day, 1, d)
    sign = np.where(np.asarray(pc.equal(parts.field("sign"), "-")), 1, -1)
    zone = 60 * of("zone") + of("zone2")
    sound = _is_day(y, m, d) & (hour < 24) & (minute < 60) & (of("second") < 61) & (zone <= 900)
    sound &= (y >= YEARS[0]) & (y <= YEARS[1])
    day = _day(y, np.clip(m, 1, 12), d) + (60 * hour + minute + sign * zone) // 1440
    until = np.where(no_month, _day(y + 1, 1, 1) - 1, day)
    ahead = np.clip(m, 1, 12) % 12 + 1
    until = np.where(no_day & ~no_month, _day(y + (m >= 12), ahead, 1) - 1, until)
    first[rows[sound]], last[rows[sound]] = day[sound], until[sound]
    return Days(first, last, days.units), first == NONE


def _day(year: Ints, month: Ints | int, day: Ints | int) -> Ints:
    """Days since 1970 of a date of the Gregorian calendar."""
    months = (year - 1970) * 12 + month - 1
    return np.asarray(
        months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + day - 1
    )


def _is_day(year: Ints, month: Ints, day: Ints) -> Mask:
    there = (month >= 1) & (month <= 12) & (day >= 1)
    fit = np.clip(month, 1, 12)
    length = _day(year + (fit == 12), fit % 12 + 1, 1) - _day(year, fit, 1)
    return np.asarray(there & (day <= length))
