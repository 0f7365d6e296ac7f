"""What is wrong with a table of coordinates, with row numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError

__all__ = ["Finding", "examine", "refuse_errors"]

SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One kind of fault in a table of places.

    Attributes
    ----------
    name : str
        ``missing``, ``swapped``, ``out-of-range``, ``duplicate-id`` or ``duplicate-place``.
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
    findings = []
    missing = ~(np.isfinite(lon) & np.isfinite(lat))
    if missing.any():
        what = f"{lon_name} or {lat_name} is missing or not finite in"
        findings.append(_finding("missing", True, missing, what, "; remove or mend these rows"))
    with np.errstate(invalid="ignore"):
        high = ~missing & (np.abs(lat) > 90)
        swapped = high & (np.abs(lon) <= 90) & (np.abs(lat) <= 360)
        wide = ~missing & ~swapped & (np.abs(lon) > 180)
    if swapped.any():
        what = f"{lon_name} and {lat_name} look swapped in"
        remedy = f"; give --lon {lat_name} --lat {lon_name}"
        findings.append(_finding("swapped", True, swapped, what, remedy, (lat_name, lat)))
    for name, bad, values, limit in (
        (lat_name, high & ~swapped, lat, 90),
        (lon_name, wide, lon, 180),
    ):
        if not bad.any():
            continue
        metres = np.abs(values[bad]).max() > 1000
        remedy = f"; the range is -{limit} to {limit} degrees"
        if metres:
            remedy += ", these look like projected metres: convert them to degrees"
        elif limit == 180 and values[bad].min() > 0:
            remedy += ": subtract 360 from these"
        what = f"{name} is out of range in"
        findings.append(_finding("out-of-range", True, bad, what, remedy, (name, values)))
    findings += _duplicate_ids(ids)
    findings += _duplicate_places(lon, lat, ~missing)
    return findings


def refuse_errors(findings: Iterable[Finding], source: str) -> None:
    """Raise one error that names every finding of the kind that spoils a pool.

    Raises
    ------
    WherefromError
        If any finding is an error.
    """
    errors = [finding.message for finding in findings if finding.error]
    if errors:
        raise WherefromError(f"{source}: " + "; also: ".join(errors))


def _finding(
    name: str,
    error: bool,
    bad: NDArray[np.bool_],
    what: str,
    remedy: str,
    values: tuple[str, NDArray[np.float64]] | None = None,
) -> Finding:
    rows = np.flatnonzero(bad)
    first = tuple(int(row) for row in rows[:SHOWN])
    shown = [f"{row}" if values is None else f"{row} ({values[0]} {values[1][row]:g})"
             for row in first]  # fmt: skip
    more = ", ..." if len(rows) > SHOWN else ""
    message = f"{what} {len(rows):,} of {len(bad):,} rows: {', '.join(shown)}{more}{remedy}"
    return Finding(name, error, len(rows), first, message)


def _duplicate_ids(ids: NDArray[np.generic]) -> list[Finding]:
    if len(ids) < 2 or bool(np.all(ids[1:] > ids[:-1])):  # type: ignore[operator]
        return []
    order = np.argsort(ids, kind="stable")
    sorted_ids = ids[order]
    again = np.flatnonzero(sorted_ids[1:] == sorted_ids[:-1]) + 1
    if not len(again):
        return []
    rows = np.sort(order[again])
    first = tuple(int(row) for row in rows[:SHOWN])
    earlier = [int(np.flatnonzero(ids == ids[row])[0]) for row in first]
    shown = [f"{row} (id {ids[row]}, as in row {e})" for row, e in zip(first, earlier, strict=True)]
    more = ", ..." if len(rows) > SHOWN else ""
    message = (
        f"ids repeat in {len(rows):,} of {len(ids):,} rows: {', '.join(shown)}{more}; "
        "make ids unique or name another column with --id"
    )
    return [Finding("duplicate-id", True, len(rows), first, message)]


def _duplicate_places(
    lon: NDArray[np.float64], lat: NDArray[np.float64], valid: NDArray[np.bool_]
) -> list[Finding]:
    rows = np.flatnonzero(valid)
    if len(rows) < 2:
        return []
    order = rows[np.lexsort((rows, lat[rows], lon[rows]))]
    same = (lon[order[1:]] == lon[order[:-1]]) & (lat[order[1:]] == lat[order[:-1]])
    if not same.any():
        return []
    bad = np.zeros(len(lon), dtype=bool)
    bad[order[1:][same]] = True
    what = "an earlier row has the same place in"
    return [_finding("duplicate-place", False, bad, what, "; they are drawn as separate places")]
