"""What is wrong with a table of coordinates, with row numbers.

Rows that repeat an earlier one are found by 64-bit hashes and so in bounded memory. The hash of a
whole-number id is one to one. For text and places two different ones have the same hash with
probability 2^-64: among 10^9, some pair has with probability 0.03.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.keys import mixed

__all__ = [
    "DRAWN",
    "Faults",
    "Finding",
    "Repeats",
    "cause_of",
    "errors_in",
    "examine",
    "first_repeats",
    "id_hashes",
    "place_hashes",
    "refuse_errors",
    "repeated",
    "repeated_ids",
    "repeated_places",
    "repeats_in",
    "sampled",
]

SHOWN = 5
#: Latitudes of 0 to 180 are taken for angles from a pole if more than this share is beyond 90, and
#: more than this share of those where no exchange of axes could help.
POLAR = 0.05
#: What the report of repeated places ends with, of a pool that is drawn from.
DRAWN = "; they are drawn as separate places"

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Finding:
    """One kind of fault in a table of places.

    Attributes
    ----------
    name : str
        ``missing``, ``swapped``, ``colatitude``, ``out-of-range``, ``duplicate-id`` or
        ``duplicate-place``.
    error : bool
        Whether a pool with this fault is refused; a repeated place is only reported.
    count : int
        Rows at fault.
    rows : tuple of int
        The first of them; the first data row is 0.
    message : str
        The finding in one line, with the remedy.
    """

    name: str
    error: bool
    count: int
    rows: tuple[int, ...]
    message: str


def examine(
    ids: NDArray[np.generic],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    *,
    lon_name: str = "lon",
    lat_name: str = "lat",
    where: Callable[[int], str] = str,
) -> list[Finding]:
    """Look for missing, swapped and out-of-range coordinates, and for duplicates.

    Parameters
    ----------
    ids : ndarray of int64 or str, shape (N,)
        The ids.
    lon, lat : ndarray of float64, shape (N,)
        Degrees; NaN where missing.
    lon_name, lat_name : str
        What the columns are called in the user's table, for the messages.
    where : callable
        Names a row in the messages; by default its number.

    Returns
    -------
    list of Finding
        Empty if nothing is wrong. Coordinates that differ in the last bit are different places.

    Examples
    --------
    >>> import numpy as np
    >>> found = examine(np.arange(3), np.array([10.0, 20.0, 50.0]), np.array([1.0, 2.0, 140.0]))
    >>> print(found[0].message)
    lon and lat look swapped in 1 of 3 rows: 2 (lat 140); give --lon lat --lat lon
    """
    return [*errors_in(ids, lon, lat, lon_name, lat_name, where), *repeats_in(lon, lat, where)]


def errors_in(
    ids: NDArray[np.generic],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    lon_name: str,
    lat_name: str,
    where: Callable[[int], str] = str,
) -> list[Finding]:
    """Look for what spoils a pool; as `examine`, but for repeated places."""
    faults = Faults()
    faults.update(0, lon, lat)
    return [*faults.findings(lon_name, lat_name, where), *_duplicate_ids(ids, where)]


def repeats_in(
    lon: NDArray[np.float64], lat: NDArray[np.float64], where: Callable[[int], str] = str
) -> list[Finding]:
    """Look for repeated places; takes longer than all else that `examine` does."""
    valid = np.flatnonzero(np.isfinite(lon) & np.isfinite(lat))
    places = place_hashes(lon[valid], lat[valid])
    again = first_repeats([(valid, places)], repeated([places]), SHOWN)
    return [repeated_places(again, len(lon), where)] if again.count else []


@dataclass
class _Fault:
    """Rows with one kind of fault: how many, the first ones, and how far off."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    largest: float = 0.0
    least: float = math.inf

    def update(self, start: int, bad: NDArray[np.bool_], values: NDArray[np.float64]) -> None:
        at = np.flatnonzero(bad)
        if not len(at):
            return
        found, rows = values[at], (start + at[:SHOWN]).tolist()
        largest, least = float(np.abs(found).max()), float(found.min())
        self.merge(_Fault(len(at), rows, found[:SHOWN].tolist(), largest, least))

    def merge(self, later: _Fault) -> None:
        self.count += later.count
        self.rows = (self.rows + later.rows)[:SHOWN]
        self.values = (self.values + later.values)[:SHOWN]
        self.largest = max(self.largest, later.largest)
        self.least = min(self.least, later.least)


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the least and the largest number; NaN only if there is nothing else."""
    low, high = float(values.min()), float(values.max())
    if math.isnan(low):
        low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    return low, high


def _joined(one: _Fault, other: _Fault) -> _Fault:
    """Return the rows of two kinds as one, in their order."""
    both = _Fault()
    both.merge(one)
    both.merge(other)
    rows = sorted(zip([*one.rows, *other.rows], [*one.values, *other.values], strict=True))[:SHOWN]
    both.rows, both.values = [row for row, _ in rows], [value for _, value in rows]
    return both


@dataclass
class Faults:
    """Faulty coordinates of a table that is seen piece by piece, in order."""

    rows: int = 0
    lon_range: tuple[float, float] = (math.inf, -math.inf)
    lat_range: tuple[float, float] = (math.inf, -math.inf)
    missing: _Fault = field(default_factory=_Fault)
    swapped: _Fault = field(default_factory=_Fault)
    lat: _Fault = field(default_factory=_Fault)
    lon: _Fault = field(default_factory=_Fault)

    def update(self, start: int, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> None:
        """Look at more rows, of which the first is row `start` of the table."""
        self.rows += len(lon)
        if len(lon):
            self._widen(_range(lon), _range(lat))
        # NaN fails every comparison, so it is not fine.
        if ((np.abs(lon) <= 180) & (np.abs(lat) <= 90)).all():
            return
        missing = ~(np.isfinite(lon) & np.isfinite(lat))
        high = ~missing & (np.abs(lat) > 90)
        swapped = high & (np.abs(lon) <= 90) & (np.abs(lat) <= 360)
        wide = ~missing & ~swapped & (np.abs(lon) > 180)
        # What is missing has no size.
        self.missing.update(start, missing, np.zeros(len(lon)))
        self.swapped.update(start, swapped, lat)
        self.lat.update(start, high & ~swapped, lat)
        self.lon.update(start, wide, lon)

    def merge(self, later: Faults) -> None:
        """Add what was found in the rows that follow."""
        self.rows += later.rows
        self._widen(later.lon_range, later.lat_range)
        for name in ("missing", "swapped", "lat", "lon"):
            getattr(self, name).merge(getattr(later, name))

    def _widen(self, lon: tuple[float, float], lat: tuple[float, float]) -> None:
        for name, (low, high) in (("lon_range", lon), ("lat_range", lat)):
            least, most = getattr(self, name)
            setattr(self, name, (min(least, float(low)), max(most, float(high))))

    @property
    def _from_a_pole(self) -> bool:
        """Whether latitudes run from 0 to 180: then no exchange mends those beyond 90."""
        low, high = self.lat_range
        beyond = self.swapped.count + self.lat.count
        many = beyond > POLAR * self.rows and self.lat.count > POLAR * beyond
        return many and 0 <= low <= high <= 180

    def findings(
        self, lon_name: str, lat_name: str, where: Callable[[int], str] = str
    ) -> list[Finding]:
        """Say what was found, with the columns' names and what `where` calls a row."""
        both = f"{lon_name} and {lat_name} look swapped in"
        either = f"{lon_name} or {lat_name} is missing or not finite in"
        swap = f"; give --lon {lat_name} --lat {lon_name}"
        # Name, rows, what they hold, the remedy, and the column whose values are shown.
        told = [("missing", self.missing, either, "; remove or mend these rows", "")]
        high = self.lat
        if self._from_a_pole:
            what, high = f"{lat_name} is out of range in", _Fault()
            fault = _joined(self.swapped, self.lat)
            remedy = f"; 0 to 180 looks like degrees from the north pole: give 90 - {lat_name}"
            told.append(("colatitude", fault, what, remedy, lat_name))
        else:
            told.append(("swapped", self.swapped, both, swap, lat_name))
        for name, fault, limit in ((lat_name, high, 90), (lon_name, self.lon, 180)):
            remedy = f"; the range is -{limit} to {limit} degrees"
            if fault.largest > 1000:
                remedy += ", these look like projected metres: convert them to degrees"
            elif limit == 180 and fault.least > 0:
                remedy += ": subtract 360 from these"
                if 0 <= self.lon_range[0] <= self.lon_range[1] <= 360:
                    remedy += ", or let `wherefrom audit FILE --clean OUT` write them so"
            told.append(("out-of-range", fault, f"{name} is out of range in", remedy, name))
        findings = []
        for name, fault, what, remedy, column in told:
            if fault.count:
                shown = [
                    f"{where(row)} ({column} {number:.10g})" if column else where(row)
                    for row, number in zip(fault.rows, fault.values, strict=True)
                ]
                message = _message(what, fault.count, self.rows, shown, remedy)
                findings.append(Finding(name, True, fault.count, tuple(fault.rows), message))
        return findings


def cause_of(lon: float, lat: float) -> str:
    """Say what may have made a place that is none, and the remedy.

    >>> cause_of(305.0, 10.0), cause_of(10.0, 120.0)
    ('longitudes of 0 to 360? Subtract 360 from those beyond 180', 'were lon and lat swapped?')
    """
    if not (math.isfinite(lon) and math.isfinite(lat)):
        return "missing or not finite: remove or mend these rows"
    if max(abs(lon), abs(lat)) > 1000:
        return "these look like projected metres: convert them to degrees"
    if abs(lat) <= 90 and 180 < lon <= 360:
        return "longitudes of 0 to 360? Subtract 360 from those beyond 180"
    if abs(lon) <= 90 < abs(lat) <= 360:
        return "were lon and lat swapped?"
    return "remove or mend these rows"


def repeated_ids(
    again: Repeats, ids: Iterable[object], total: int, where: Callable[[int], str] = str
) -> Finding:
    """Say which ids repeat; `ids` are those of the rows that are shown."""
    shown = [
        f"{where(row)} (id {name}, as in row {where(first)})"
        for row, first, name in zip(again.rows, again.firsts, ids, strict=True)
    ]
    remedy = "; make ids unique or name another column with --id"
    message = _message("ids repeat in", again.count, total, shown, remedy)
    return Finding("duplicate-id", True, again.count, again.rows, message)


def repeated_places(
    again: Repeats, total: int, where: Callable[[int], str] = str, one_in: int = 1
) -> Finding:
    """Say which rows have the place of an earlier one; found in one place of `one_in`."""
    what, remedy = "an earlier row has the same place in", DRAWN
    count = again.count * one_in
    if one_in > 1:
        what += " about"
        remedy = f" (of a sample, by hash, of one place in {one_in})" + remedy
    message = _message(what, count, total, [where(row) for row in again.rows], remedy)
    return Finding("duplicate-place", False, count, again.rows, message)


def refuse_errors(findings: Iterable[Finding], source: str) -> None:
    """Raise one error that names every finding of the kind that spoils a pool, if any."""
    errors = [finding.message for finding in findings if finding.error]
    if errors:
        raise WherefromError(f"{source}: " + "; also: ".join(errors))


def _message(what: str, count: int, total: int, shown: list[str], remedy: str) -> str:
    more = ", ..." if count > len(shown) else ""
    return f"{what} {count:,} of {total:,} rows: {', '.join(shown)}{more}{remedy}"


def _duplicate_ids(ids: NDArray[np.generic], where: Callable[[int], str]) -> list[Finding]:
    if len(ids) < 2 or bool(np.all(ids[1:] > ids[:-1])):  # type: ignore[operator]
        return []
    hashes = id_hashes(ids)
    again = first_repeats([(np.arange(len(ids)), hashes)], repeated([hashes]), SHOWN)
    if not again.count:
        return []
    return [repeated_ids(again, ids[list(again.rows)].tolist(), len(ids), where)]


@dataclass(frozen=True)
class Repeats:
    """How many rows repeat an earlier one; the first of them, and the row that each repeats."""

    count: int
    rows: tuple[int, ...]
    firsts: tuple[int, ...]


def id_hashes(ids: NDArray[Any]) -> Hashes:
    """Hash ids (int64 or str, shape (N,)) to uint64; text hashes alike at every width."""
    if ids.dtype.kind != "U":
        return mixed(ids.astype(np.int64).view(np.uint64))
    hashes = np.full(len(ids), 0x9E3779B97F4A7C15, dtype=np.uint64)
    width = ids.dtype.itemsize // 4
    letters = np.ascontiguousarray(ids).view(np.uint32).reshape(len(ids), width)
    for at in range(width):
        letter = letters[:, at].astype(np.uint64)
        # A shorter text is padded with zeros, which must not count.
        hashes = np.where(letter > 0, mixed(hashes ^ letter), hashes)
    return hashes


def place_hashes(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> Hashes:
    """Hash places to uint64, shape (N,); coordinates that differ in the last bit differ.

    >>> one, two, three = place_hashes(np.array([0.0, -0.0, 1e-300]), np.zeros(3))
    >>> bool(one == two), bool(one == three)
    (True, False)
    """
    # Adding zero makes one of the two zeros.
    x, y = (lon + 0.0).view(np.uint64), (lat + 0.0).view(np.uint64)
    return mixed(mixed(x) + y)


def sampled(hashes: Hashes, one_in: int) -> NDArray[np.bool_]:
    """Say which hashes belong to a sample of one in so many: all copies of a place, or none."""
    return np.asarray((hashes >> np.uint64(32)) * np.uint64(one_in) < (1 << 32))


def repeated(pieces: Iterable[Hashes]) -> Hashes:
    """Return the hashes that occur more than once, sorted, each once."""
    together = np.concatenate([np.zeros(0, dtype=np.uint64), *pieces])
    together.sort()
    return np.unique(together[1:][together[1:] == together[:-1]])


def first_repeats(pieces: Iterable[tuple[Rows, Hashes]], again: Hashes, shown: int) -> Repeats:
    """Find the rows of hashes that `repeated` found, and name the first ones of them.

    The pieces are rows and their hashes, in order of the rows.

    >>> hashes = place_hashes(np.array([5.0, 1.0, 5.0, 5.0]), np.zeros(4))
    >>> first_repeats([(np.arange(4), hashes)], repeated([hashes]), 1)
    Repeats(count=2, rows=(2,), firsts=(0,))
    """
    if not len(again):
        return Repeats(0, (), ())
    first = np.full(len(again), -1, dtype=np.int64)
    count = 0
    rows: list[int] = []
    firsts: list[int] = []
    for numbers, hashes in pieces:
        at = np.minimum(np.searchsorted(again, hashes), len(again) - 1)
        here = np.flatnonzero(again[at] == hashes)
        which, number = at[here], numbers[here]
        # Backwards, so that of several in one piece the first row stays.
        new = first[which] < 0
        first[which[new][::-1]] = number[new][::-1]
        repeats = first[which] != number
        count += int(repeats.sum())
        if len(rows) < shown:
            rows += number[repeats][: shown - len(rows)].tolist()
            firsts += first[which[repeats]][: shown - len(firsts)].tolist()
    return Repeats(count, tuple(rows), tuple(firsts))
