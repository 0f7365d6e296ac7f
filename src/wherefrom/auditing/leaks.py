"""Which places of a pool are near those of several tests: shares, and the pairs by their ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom.auditing.findings import kilometres, percent
from wherefrom.auditing.intime import dated_alone, days_apart
from wherefrom.auditing.leakage import KM, SHOWN, Leakage, tally_for
from wherefrom.auditing.tally import Ints, run
from wherefrom.pool import Pool
from wherefrom.pool.batches import AnyPool, Ask, Part, over
from wherefrom.shown import count_of, line

__all__ = ["Leak", "leaks_of", "pairs_of"]


@dataclass(frozen=True, eq=False)
class Leak:
    """How near a pool comes to the places of one test.

    Attributes
    ----------
    name : str
        What the test is called.
    test : Pool
        Its places, M.
    found : Leakage
        Distances; its shares begin with those within 0 km: overlaps, or the same place.
    pool_ids : ndarray of int64 or str, shape (M,)
        The id of the pool's place nearest to each.
    """

    name: str
    test: Pool
    found: Leakage
    pool_ids: NDArray[Any]

    def near(self, km: float) -> int:
        """Count the test places that have a place of the pool within so many km."""
        return int((self.found.km <= km).sum())

    def entries(self) -> dict[str, Any]:
        """Return every number as plain values, but the distances of every place."""
        told = self.found.entries()[self.found.name]
        nearest = [
            {
                "test_id": self.test.ids[row["row"]].item(),
                "pool_id": self.pool_ids[row["row"]].item(),
                **row,
            }
            for row in told["nearest"]
        ]
        return {"name": self.name, "footprints": self.test.extended, **told, "nearest": nearest}

    def lines(self) -> list[str]:
        """Write the shares, and the nearest pairs."""
        found = self.found
        first, *others = found.within
        within = f"{percent(first.share)} overlap a place of the pool or are at one"
        within += "".join(f", {percent(row.share)} within {row.km:g} km" for row in others)
        nearest, median = (kilometres(found.quantiles[share]) for share in (0.0, 0.5))
        rows = [("test place", "lon, lat", "pool place", "lon, lat", "distance")]
        rows += [
            (
                line(str(self.test.ids[pair.row])),
                f"{pair.lon:.4f}, {pair.lat:.4f}",
                line(str(self.pool_ids[pair.row])),
                f"{pair.train_lon:.4f}, {pair.train_lat:.4f}",
                kilometres(pair.km),
            )
            for pair in found.nearest[:SHOWN]
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = (
            "  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
            for row in rows
        )
        head = f"{self.name}: of {count_of(found.n_test, 'test place')} {within}"
        in_time = found.time_lines("pool's", "place of the pool")
        return [f"{head}; the nearest {nearest}, median {median}", *in_time, *table]


def leaks_of(
    pool: AnyPool, tests: Mapping[str, Pool], km: Sequence[float] = (0.0, *KM)
) -> tuple[Leak, ...]:
    """Measure how near a pool comes to the places of tests, in one pass, and one for the ids.

    Where both have dates, also how near in time.

    Parameters
    ----------
    pool : Pool or PoolScan
    tests : mapping of str to Pool
        What each is called, and its places.
    km : sequence of float
        Distances whose shares are told, ascending.

    Returns
    -------
    tuple of Leak

    Examples
    --------
    >>> pool = Pool.from_table(pa.table({"id": ["a", "b"], "lon": [0.0, 10.0], "lat": [0.0, 0.0]}))
    >>> test = Pool.from_table(pa.table({"lon": [10.0, 1.0], "lat": [0.0, 0.0]}))
    >>> (leak,) = leaks_of(pool, {"test": test})
    >>> leak.pool_ids.tolist(), [row.share for row in leak.found.within]
    (['b', 'a'], [0.5, 0.5, 0.5, 0.5])
    """
    tallies = [tally_for(pool, test) for test in tests.values()]
    times = {name: days_apart(pool, test) for name, test in tests.items()}
    apart = {name: tally for name, tally in times.items() if tally is not None}
    counted: list[Any] = run(pool, [*tallies, *apart.values()], label="test places")
    apart = dict(zip(apart, counted[len(tallies) :], strict=True))
    found = [
        tally.result(km).in_time(dated_alone(pool, test), apart.get(name))
        for (name, test), tally in zip(tests.items(), counted, strict=False)
    ]
    ids = _ids_at(pool, np.concatenate([each.train_row for each in found]))
    ends = np.cumsum([each.n_test for each in found])[:-1]
    rows = zip(tests.items(), found, np.split(ids, ends), strict=True)
    return tuple(Leak(name, test, each, own) for (name, test), each, own in rows)


def pairs_of(leaks: Sequence[Leak]) -> pa.Table:
    """Return every test place, with the nearest place of the pool, km; degrees.

    Where dates were compared, ``days`` is how far in time the nearest in time of the pool's places
    within 1 km is; null without one.
    """
    timed = any(leak.found.days is not None for leak in leaks)
    text = len({leak.test.ids.dtype.kind for leak in leaks}) > 1
    tables = []
    for leak in leaks:
        found, test = leak.found, leak.test
        ids = test.ids.astype(np.str_) if text else test.ids
        columns = {
            "test": pa.array([leak.name] * len(test)),
            "test_id": pa.array(ids),
            "test_lon": test.lon,
            "test_lat": test.lat,
            "pool_id": pa.array(leak.pool_ids),
            "pool_lon": found.train_lon,
            "pool_lat": found.train_lat,
            "km": found.km,
        }
        if timed:
            days = np.full(len(test), np.inf) if found.days is None else found.days
            none = ~np.isfinite(days)
            columns["days"] = pa.array(np.where(none, 0, days), pa.int32(), mask=none)
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _ids_at(pool: AnyPool, rows: Ints) -> NDArray[Any]:
    """Return the ids of some rows of a pool, in any order."""
    if isinstance(pool, Pool):
        return pool.ids[rows]
    wanted, at = np.unique(rows, return_inverse=True)
    look = partial(_ids, wanted=wanted)
    return np.concatenate(list(over(pool.parts(), look, "looking up ids")))[at]


def _ids(part: Part, wanted: Ints) -> NDArray[Any]:
    pieces = []
    for batch in part.batches(Ask(ids=True)):
        low, high = np.searchsorted(wanted, [batch.start, batch.start + len(batch)])
        pieces.append(batch.asked_ids()[wanted[low:high] - batch.start])
    return np.concatenate(pieces)
