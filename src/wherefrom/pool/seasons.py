"""Layers of a column of dates: season, month, year, span of years, growing season."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool.check import place_hashes
from wherefrom.pool.columns import label_column
from wherefrom.pool.tables import Places
from wherefrom.pool.time import NONE, Days, Ints, Odd, days_of
from wherefrom.pool.together import numbers_of
from wherefrom.progress import say

__all__ = [
    "GROWING", "MONTHS", "SEASONS", "SPAN", "TIME", "Dated", "Dates", "dated", "days_from",
    "days_in", "grown", "raw_dates", "spanned", "tell", "time_columns",
]  # fmt: skip

#: Months are coded from 0; December, January and February are the winter of the north.
MONTHS = tuple(f"{month:02d}" for month in range(1, 13))
SEASONS = ("winter", "spring", "summer", "autumn")
GROWING = "growing_season"
SPAN = "year_span"
#: What every column of dates gives.
TIME = ("season", "month", "year")
#: Where a table has a column of the same name, its own stays, and ours has this before it.
PREFIX = "time_"
#: A month grows if its mean temperature is at least so many degC,
WARM = 5.0
#: and its precipitation in mm is more than so many times that.
HUMID = 2.0
_ROLE, _RAW = b"wherefrom.time", b"wherefrom.dates"
_LONGEST = {"season": 91, "month": 30}


@dataclass(frozen=True)
class Dates:
    """Which column of a table holds the dates of its rows, and what is made of them.

    Attributes
    ----------
    column : str
        Its name, or two names with a comma between: of the first and the last date.
    place : str, optional
        Column of which rows with one value are one place, for ``year_span``; by default rows of
        the same coordinates are.
    growing : bool
        Whether ``growing_season`` is looked up; that needs two layers of the Earth.
    spans : bool
        Whether ``year_span`` is wanted, for which a pool in files is read whole.
    optional : bool
        Whether a table without the column has no layers of time; else it is refused.

    Examples
    --------
    >>> Dates.of("start, end").raw(["start", "end", "lon"], "table")
    ('start', 'end')
    """

    column: str
    place: str | None = None
    growing: bool = False
    spans: bool = False
    optional: bool = False

    @classmethod
    def of(cls, time: str | Dates | None, place: str | None = None) -> Dates | None:
        """Make one of a column's name; one stays as it is, and None is none."""
        return cls(str(time), place) if time is not None and not isinstance(time, Dates) else time

    @classmethod
    def asked(
        cls, time: str | None, layers: Collection[str], place: str | None = None
    ) -> Dates | None:
        """Make one of a column's name, with what of it is looked up only for some layers."""
        growing, spans = (bool({name, PREFIX + name} & set(layers)) for name in (GROWING, SPAN))
        return None if time is None else cls(str(time), place, growing, spans)

    def raw(self, names: Collection[str], source: str) -> tuple[str, ...]:
        """Return the columns of dates among those of a table.

        Raises
        ------
        WherefromError
            If one is not there; names those that are.
        """
        parts = tuple(part.strip() for part in self.column.split(","))
        own = (self.column,) if self.column in names or len(parts) != 2 else parts
        absent = [name for name in own if name not in names]
        if absent and not self.optional:
            raise unknown(f"column of dates of {source}", absent[0], names)
        return () if absent else own


@dataclass(frozen=True)
class Dated:
    """How dates become label columns of a table with these columns; see `dated`.

    `raw` are the columns of dates, `names` what each layer's column is called.
    """

    raw: tuple[str, ...]
    names: Mapping[str, str]
    dates: Dates

    @classmethod
    def of(cls, dates: Dates, schema: pa.Schema, source: str) -> Dated | None:
        """Name the columns; None of a table without dates, where these are `optional`.

        Raises
        ------
        WherefromError
            If the column of dates is not there, or the table has our names twice over.
        """
        raw = dates.raw(schema.names, source)
        if not raw:
            return None
        ours = time_columns(schema).values()
        taken = {name for name in schema.names if name not in ours}
        names = {}
        for role in (*TIME, *([GROWING] if dates.growing else [])):
            names[role] = role if role not in taken else PREFIX + role
            if names[role] in taken:
                raise WherefromError(
                    f"{source} has columns {role!r} and {names[role]!r} of its own, as the {role} "
                    "of its dates would be called: rename one of them"
                )
        return cls(raw, names, dates)

    def said(self) -> list[str]:
        """Say which layers are not called as they are elsewhere."""
        return [
            f"the table has a column {role!r} of its own; that of {self.dates.column!r} is {name!r}"
            for role, name in self.names.items()
            if role != name
        ]

    def needs(self, columns: Collection[str]) -> tuple[str, ...]:
        """Return the columns to read for some of ours."""
        return self.raw if set(self.names.values()) & set(columns) else ()

    def days(self, table: pa.Table, source: str, first: int = 0) -> Days:
        """Read the dates of a table's rows; errors as of `days_of`."""
        read = [days_of(table.column(name), name, source, first) for name in self.raw]
        if len(read) == 2:
            one, other = read
            back = (one.first > other.last) & (other.first != NONE)
            if back.any():
                raise WherefromError(
                    f"{source}: {self.raw[0]!r} is after {self.raw[1]!r} in row "
                    f"{first + int(back.argmax())}: exchange or mend them"
                )
            return one.joined(other)
        return read[0]

    def columns(
        self,
        lon: NDArray[np.float64],
        lat: NDArray[np.float64],
        days: Days,
        wanted: Collection[str],
    ) -> Iterator[tuple[pa.Field, pa.DictionaryArray]]:
        """Make those of our columns that are wanted, of places in degrees, shape (N,)."""
        codes = _codes(lat, days)
        for role, name in self.names.items():
            if name not in wanted:
                continue
            if role == GROWING:
                made = label_column(_growing(lon, lat, codes["month"]), ("in", "out"))
            elif role == "year":
                made = _text(codes["year"])
            else:
                made = label_column(codes[role], SEASONS if role == "season" else MONTHS)
            yield _marked(name, made.type, role, self.raw), made


def dated(places: Places, time: str | Dates | None) -> Places:
    """Give a table that is read whole the label columns of its dates.

    A row's season, month and year are those of all its dates; a row of several has none. Winter is
    December to February north of the equator and on it, June to August south of it, whatever the
    climate. Also ``year_span``: years of the first and last date of all rows of a place, such as
    ``2019`` or ``2017-2020``. What is odd about the dates is said on stderr.

    Parameters
    ----------
    places : Places
        N rows.
    time : str, Dates or None
        The column of dates; None leaves the table as it is.

    Returns
    -------
    Places
        With columns ``season``, ``month``, ``year`` and ``year_span``, and ``growing_season`` if
        that is asked for; where the table has its own of that name, ours begins with ``time_``.

    Raises
    ------
    WherefromError
        If the column is not there, or a row holds no date that is read.

    Examples
    --------
    >>> from wherefrom.pool.tables import places_of
    >>> table = pa.table({"lon": [1.0, 1.0], "lat": [45.0, -45.0], "date": ["2020-07-01"] * 2})
    >>> rest = dated(places_of(table), "date").rest
    >>> rest["season"].to_pylist(), rest["year_span"].to_pylist()
    (['summer', 'winter'], ['2020', '2020'])
    """
    dates = Dates.of(time)
    found = None if dates is None else Dated.of(dates, places.rest.schema, places.source)
    if found is None:
        return places
    days = found.days(places.rest, places.source)
    odd = Odd()
    odd.update(days)
    table = _without(places.rest, time_columns(places.rest.schema).values())
    wanted = found.names.values()
    for field, column in found.columns(places.lon, places.lat, days, wanted):
        table = table.append_column(field, column)
    tell(places.source, [*found.said(), *odd.said(found.dates.column)])
    return spanned(replace(places, rest=table), found, days)


def spanned(places: Places, found: Dated, days: Days | None = None) -> Places:
    """Give a table that is read whole ``year_span``, which all rows of a place tell."""
    days = found.days(places.rest, places.source) if days is None else days
    table = _without(places.rest, {time_columns(places.rest.schema).get(SPAN, "")})
    name = SPAN if SPAN not in table.column_names else PREFIX + SPAN
    spans = _spans(places, days, found.dates.place)
    field = _marked(name, spans.type, SPAN, found.raw)
    return replace(places, rest=table.append_column(field, spans))


def grown(places: Places, found: Dated, columns: Collection[str], first: int) -> Places:
    """Give a piece of a table those of our columns that are wanted; `first` is its first row."""
    if not found.needs(columns):
        return places
    days = found.days(places.rest, places.source, first)
    table = _without(places.rest, found.names.values())
    for field, column in found.columns(places.lon, places.lat, days, columns):
        table = table.append_column(field, column)
    return replace(places, rest=table)


def tell(source: str, lines: list[str]) -> None:
    """Say on stderr what is odd about the dates of a table."""
    for each in lines:
        say(f"note: {source}: {each}")


def time_columns(schema: pa.Schema) -> dict[str, str]:
    """Return the label columns of dates by what they are, in a table of ours or read again."""
    marks = {field.name: (field.metadata or {}).get(_ROLE) for field in schema}
    return {role.decode(): name for name, role in marks.items() if role is not None}


def raw_dates(schema: pa.Schema) -> tuple[str, ...]:
    """Return the columns that label columns of dates were made of, if they are still there."""
    for each in schema:
        if written := (each.metadata or {}).get(_RAW):
            raw = tuple(json.loads(written))
            return raw if set(raw) <= set(schema.names) else ()
    return ()


def days_in(table: pa.Table) -> Days | None:
    """Read the dates again that label columns of a table were made of; None if these are gone."""
    raw = raw_dates(table.schema)
    return days_from(table, raw, "table") if raw else None


def days_from(table: pa.Table, raw: tuple[str, ...], source: str) -> Days:
    """Read the dates of columns that `raw_dates` names."""
    return Dated(raw, {}, Dates(",".join(raw))).days(table, source)


def _marked(name: str, kind: pa.DataType, role: str, raw: tuple[str, ...]) -> pa.Field:
    return pa.field(name, kind, metadata={_ROLE: role.encode(), _RAW: json.dumps(raw).encode()})


def _without(table: pa.Table, names: Collection[str]) -> pa.Table:
    """Leave out columns that were made before and are made again."""
    return table.drop_columns([name for name in table.column_names if name in names])


def _codes(lat: NDArray[np.float64], days: Days) -> dict[str, NDArray[np.int32]]:
    """Code season and month of each row, and number its year; -1 for none or several."""
    there = days.first != NONE
    first, last = (np.where(there, each, 0) for each in (days.first, days.last))
    months = [
        each.astype("datetime64[D]").astype("datetime64[M]").astype(int) for each in (first, last)
    ]
    month, until = (each % 12 for each in months)
    season, later = ((each + 1) % 12 // 3 for each in (month, until))
    years = [each // 12 + 1970 for each in months]
    one = there & (years[0] == years[1])
    long = last - first
    month = np.where(there & (month == until) & (long <= _LONGEST["month"]), month, -1)
    same = there & (season == later) & (long <= _LONGEST["season"]) & np.isfinite(lat)
    season = np.where(same, np.where(lat < 0, (season + 2) % 4, season), -1)
    year = np.where(one, years[0], -1)
    return {
        k: v.astype(np.int32) for k, v in (("season", season), ("month", month), ("year", year))
    }


def _growing(
    lon: NDArray[np.float64], lat: NDArray[np.float64], month: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Tell whether a row's month is one in which plants grow: 0 it is, 1 not, -1 unknown.

    A month grows that is warm enough, at 5 degC (the threshold of the growing season length of the
    Expert Team on Climate Change Detection and Indices, Frich et al. 2002, doi 10.3354/cr019193),
    and humid, with more mm of precipitation than twice its degC (Bagnouls and Gaussen 1953, as in
    the climate diagrams of Walter and Lieth), both of our monthly normals. Water in the soil and
    irrigation do not count.
    """
    codes = np.full(len(month), -1, dtype=np.int32)
    rows = np.flatnonzero((month >= 0) & (np.abs(lon) <= 180) & (np.abs(lat) <= 90))
    if not len(rows):
        return codes
    at = np.arange(len(rows)), month[rows]
    warm, rain = (
        np.asarray(earth.layer(name)(lon[rows], lat[rows]))[at]
        for name in ("temperature", "precipitation")
    )
    known = np.isfinite(warm) & np.isfinite(rain)
    grows = (warm >= WARM) & (rain > HUMID * warm)
    codes[rows[known]] = np.where(grows, 0, 1)[known]
    return codes


def _spans(places: Places, days: Days, place: str | None) -> pa.DictionaryArray:
    """Write the years of each place's first and last date."""
    at = _place_of(places, place)
    there = days.first != NONE
    first = np.full(int(at.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    last = np.full(len(first), NONE)
    np.minimum.at(first, at[there], days.first[there])
    np.maximum.at(last, at[there], days.last[there])
    none = last == NONE
    years = [
        np.where(none, 0, each).astype("datetime64[D]").astype("datetime64[Y]").astype(int) + 1970
        for each in (first, last)
    ]
    both = np.where(none, -1, years[0] * 10_000 + years[1])[at]
    values, codes = np.unique(both, return_inverse=True)
    labels = [
        str(value % 10_000) if value // 10_000 == value % 10_000
        else f"{value // 10_000}-{value % 10_000}"
        for value in values.tolist()
    ]  # fmt: skip
    codes = np.where(both < 0, -1, codes - int(bool((values < 0).any())))
    return label_column(codes.astype(np.int32), labels[int(bool((values < 0).any())) :])


def _place_of(places: Places, place: str | None) -> Ints:
    """Return a number for the place of each row; one without a place is one of its own."""
    if place is None:
        return np.unique(place_hashes(places.lon, places.lat), return_inverse=True)[1]
    if place not in places.rest.column_names:
        raise unknown(f"column of places of {places.source}", place, places.rest.column_names)
    return numbers_of(places.rest.column(place), place)


def _text(numbers: NDArray[np.int32]) -> pa.DictionaryArray:
    """Make a column of text of numbers, null for -1."""
    values, codes = np.unique(numbers, return_inverse=True)
    none = int(bool(len(values) and values[0] < 0))
    return label_column((codes - none).astype(np.int32), map(str, values[none:].tolist()))
