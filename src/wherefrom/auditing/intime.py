"""How near in time a model's test places are to the training places that they are near to."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wherefrom.auditing.findings import percent
from wherefrom.auditing.statistic import Table
from wherefrom.auditing.tally import Floats, Ints, Weights
from wherefrom.earth.apart import Neighbours
from wherefrom.pool.batches import AnyPool, Ask, Batch, extents
from wherefrom.pool.time import NONE, Days
from wherefrom.shown import count_of

__all__ = ["SAME_PLACE", "DaysApart", "InTime", "SameTime", "days_apart", "dated_alone"]

#: Kilometres within which a training place and a test place are the same to an image of either.
SAME_PLACE = 1.0
#: Days apart that are told: of the same day, within a month, within a year.
DAYS = (0, 30, 365)
_LEGEND = (
    "A row of several dates, or of a month or year alone, lasts from its first day to its last; "
    "rows that share a day are of the same day."
)


@dataclass(frozen=True)
class SameTime:
    """Test places with a training place so many days away at most, in number and as share.

    The training place is one of those within `InTime.km`; the share is of `InTime.dated`.
    """

    days: int
    places: int
    share: float


@dataclass(frozen=True)
class InTime:
    """How near in time test places are to the training places that they are near to.

    Days are those between the last day of the earlier and the first of the later: 0 for rows that
    share one.

    Attributes
    ----------
    km : float
        How near in space.
    places : int
        Test places that have a training place so near.
    dated : int
        Those of them that have a date, as has one of these training places.
    within : tuple of SameTime
    """

    km: float
    places: int
    dated: int
    within: tuple[SameTime, ...]

    @classmethod
    def of(cls, km: Floats, days: Floats) -> Self:
        """Sum up distances of test places and their days apart, shape (M,), infinite for none."""
        near = km <= SAME_PLACE
        told = days[near & np.isfinite(days)]
        counts = [int((told <= most).sum()) for most in DAYS]
        within = (
            SameTime(*row, row[1] / max(len(told), 1)) for row in zip(DAYS, counts, strict=True)
        )
        return cls(SAME_PLACE, int(near.sum()), len(told), tuple(within))

    def said(self, what: str = "training place") -> str:
        """Say it in a line, of what the test places are near to."""
        near = f"within {self.km:g} km of a {what}"
        if not self.dated:
            return f"in time: no test place {near} has a date on both sides"
        shares = ", ".join(f"{percent(row.share)} {_apart(row.days)}" for row in self.within)
        many = f"{count_of(self.places, 'test place')} {near}"
        return f"in time: of {many}, {self.dated:,} have dates on both sides: {shares}"

    def table(self) -> Table:
        """Return the shares as a table of the page."""
        title = f"In time, within {self.km:g} km of a training place"
        rows = [(_apart(row.days), f"{row.places:,}", percent(row.share)) for row in self.within]
        head = ("days apart", "test places", f"of {self.dated:,} with dates")
        return Table(title, head, rows, _LEGEND)


class DaysApart:
    """Tally of the fewest days from each test place to a training place within `SAME_PLACE` km.

    Every row counts, whatever place it is at. `days`, shape (M,), is infinite where no training
    place so near has a date, or the test place has none.
    """

    ask = Ask(footprints=True, days=True)
    by_row = True

    def __init__(self, lon: Floats, lat: Floats, days: Days, shapes: NDArray[Any] | None = None):
        self.days = np.full(len(lon), np.inf)
        self._rows = np.flatnonzero(days.first != NONE)
        self._dates = days.take(self._rows)
        own = None if shapes is None else shapes[self._rows]
        self._places = Neighbours(lon[self._rows], lat[self._rows], own).prepared()

    def __deepcopy__(self, memo: dict[int, Any]) -> DaysApart:
        """Copy what changes and share the test places, of which there may be many."""
        twin = copy.copy(self)
        twin.days = self.days.copy()
        return twin

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Look at a batch; see `Tally.update`. Rows of weight 0 are left out."""
        dates = batch.days
        if dates is None:
            return
        counted = dates.first != NONE
        rows = np.flatnonzero(counted if weight is None else counted & (weight > 0.0))
        rows = rows[self._places.within(*_of(batch, rows, SAME_PLACE))]
        for place, test in self._places.pairs(*_of(batch, rows, SAME_PLACE)):
            at = rows[place]
            after = dates.first[at] - self._dates.last[test]
            before = self._dates.first[test] - dates.last[at]
            np.minimum.at(self.days, self._rows[test], np.maximum(np.maximum(after, before), 0))

    def merge(self, other: DaysApart) -> None:
        """Keep the fewer days of both."""
        np.minimum(self.days, other.days, out=self.days)


def days_apart(train: AnyPool, test: AnyPool) -> DaysApart | None:
    """Return a tally for test places, to be run over the training places; None without dates.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.auditing.tally import run
    >>> from wherefrom.pool import Pool
    >>> def dated(*dates):
    ...     table = {"lon": [5.0] * len(dates), "lat": [1.0] * len(dates), "date": dates}
    ...     return Pool.from_table(pa.table(table), time="date")
    >>> train, test = dated("2020-01-31", "2020-06-10"), dated("2020-06", "2020-02-02", "2021")
    >>> (tally,) = run(train, [days_apart(train, test)])
    >>> tally.days.tolist()
    [0.0, 2.0, 205.0]
    """
    if not (train.timed and test.timed):
        return None
    lon, lat, shapes = extents(test)
    pieces = [batch.days for batch in test.batches(Ask(days=True)) if batch.days is not None]
    return DaysApart(lon, lat, Days.of_pieces(pieces), shapes)


def dated_alone(train: AnyPool, test: AnyPool) -> str:
    """Say which of two sides alone has dates, ``"training"`` or ``"test"``; else nothing."""
    if train.timed == test.timed:
        return ""
    return "training" if train.timed else "test"


def _of(batch: Batch, rows: Ints, km: float) -> tuple[Floats, Floats, float, NDArray[Any] | None]:
    shapes = batch.footprints
    return batch.lon[rows], batch.lat[rows], km, None if shapes is None else shapes[rows]


def _apart(days: int) -> str:
    return f"within {days} days" if days else "of the same day"
