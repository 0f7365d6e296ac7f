"""Which places of two lists are the same: by id, else by coordinates as far as both have them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.auditing.tally import Floats
from wherefrom.earth.sphere import distance_km
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool, Ask, Batch, Part
from wherefrom.pool.check import id_hashes, place_hashes

__all__ = ["Match", "matching"]

Keys = NDArray[np.uint64]

#: An id that stands for another place is not the same id: row numbers of two tables coincide.
_SAME_KM = 1.0
#: Places that are looked for to find out how the lists match.
_SAMPLE = 1 << 12
#: Bits of a key by which most places are told to be none of the sample.
_BITS = np.uint64((1 << 20) - 1)
#: A coarser precision must find so much more of the sample.
_GAIN = 0.01


@dataclass(frozen=True)
class Match:
    """A way to tell that two places are the same, such as by "id" or "coordinates to 5 decimals".

    `keys` are those of a batch, uint64 of shape (B,): equal places have equal ones. `ask` is what
    they need.
    """

    name: str
    keys: Callable[[Batch], Keys]
    ask: Ask

    @property
    def unique(self) -> bool:
        """Whether two places of one list never have the same key."""
        return self.ask.ids


def _by_id(batch: Batch) -> Keys:
    """Make keys of ids: whole numbers as they are, text hashed to 64 bits."""
    assert batch.ids is not None
    if batch.ids.dtype.kind == "U":
        return id_hashes(batch.ids)
    return batch.ids.astype(np.int64).view(np.uint64)


def _by_place(batch: Batch, rounded: Callable[..., Any]) -> Keys:
    """Make keys of coordinates after rounding."""
    lon, lat = (rounded(degrees) for degrees in (batch.lon, batch.lat))
    lon = np.where(lon == 180.0, -180.0, lon)  # 180 E is 180 W
    return place_hashes(lon.astype(np.float64), lat.astype(np.float64))


#: From exact to coarse: a list that was rounded matches after the other is rounded the same way.
#: 3 decimals are 100 m, where different places of a pool begin to coincide.
_ROUNDED: dict[str, Callable[..., Any]] = {
    "coordinates": np.asarray,
    "coordinates in single precision": partial(np.asarray, dtype=np.float32),
    **{f"coordinates to {n} decimals": partial(np.round, decimals=n) for n in (7, 6, 5, 4, 3)},
}
_WAYS = (
    Match("id", _by_id, Ask(ids=True)),
    *(Match(name, partial(_by_place, rounded=to), Ask()) for name, to in _ROUNDED.items()),
)


def matching(planned: AnyPool, realised: AnyPool, *, weights: Floats | None = None) -> Match:
    """Find out how places of `realised` are found again in `planned`.

    Ids count where they are text, or name the same place to 1 km. Otherwise coordinates do, in
    double or single precision or to as many decimals as the download has kept. The finest way wins
    unless a coarser one finds over 1 % more of the first 4,096 places. Realised places of weight 0
    are not there.

    Raises
    ------
    WherefromError
        If no place of `realised` is found in any way.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.pool import Pool
    >>> planned = pa.table({"lon": [1.23456789, 2.0, 3.0], "lat": [4.0, 5.0, 6.0]})
    >>> realised = pa.table({"lon": [3.0, 1.23457], "lat": [6.0, 4.0]})
    >>> matching(Pool.from_table(planned), Pool.from_table(realised)).name
    'coordinates to 5 decimals'
    """
    sample = _first(realised, weights)
    found = np.zeros((len(_WAYS) + 1, len(sample)), dtype=np.bool_)
    for hits in parallel.in_order(partial(_hits, sample=sample), planned.parts()):
        found |= hits
    shares = found[:-1].mean(axis=1)
    if found[-1].mean() > _GAIN:  # the same ids, elsewhere: they are row numbers
        shares[0] = 0.0
    best = int(np.argmax(shares >= shares.max() - _GAIN))
    if not shares[best]:
        raise WherefromError(
            f"none of the first {len(sample):,} places is among the planned ones, neither by id "
            "nor by coordinates to 3 decimals: is it the list that these places come from?"
        )
    return _WAYS[best]


def _first(realised: AnyPool, weights: Floats | None) -> Batch:
    """Return the first places that are there."""
    for batch in realised.batches(Ask(ids=True)):
        assert batch.ids is not None
        there = slice(batch.start, batch.start + len(batch))
        rows = np.arange(len(batch)) if weights is None else np.flatnonzero(weights[there] > 0.0)
        if len(rows):
            rows = rows[:_SAMPLE]
            return Batch(batch.start, batch.lon[rows], batch.lat[rows], batch.ids[rows])
    raise WherefromError("no realised place has a weight above 0: there is nothing to compare")


def _hits(part: Part, sample: Batch) -> NDArray[np.bool_]:
    """Tell which places of the sample are in a part, in each way, and whose id is elsewhere.

    An array of shape (ways + 1, S), bool.
    """
    assert sample.ids is not None
    textual = sample.ids.dtype.kind == "U"
    found = np.zeros((len(_WAYS) + 1, len(sample)), dtype=np.bool_)
    mine = [way.keys(sample) for way in _WAYS]
    orders = [np.argsort(keys, kind="stable") for keys in mine]
    marks = np.zeros((len(_WAYS), int(_BITS) + 1), dtype=np.bool_)
    for row, keys in enumerate(mine):
        marks[row, keys & _BITS] = True
    for batch in part.batches(Ask(ids=True)):
        for row, way in enumerate(_WAYS):
            assert batch.ids is not None
            if way.unique and (batch.ids.dtype.kind == "U") != textual:
                continue  # a text is never the same as a number
            theirs, order = way.keys(batch), orders[row]
            hits = np.flatnonzero(marks[row].take(theirs & _BITS))
            at = np.searchsorted(mine[row], theirs[hits], sorter=order)
            at = order[np.minimum(at, len(order) - 1)]
            same = mine[row][at] == theirs[hits]
            hits, at = hits[same], at[same]
            if way.unique and not textual:
                far = distance_km(sample.lon[at], sample.lat[at], batch.lon[hits], batch.lat[hits])
                found[-1, at[far > _SAME_KM]] = True
                hits = hits[far <= _SAME_KM]
            # A place may be in the sample more than once.
            found[row] |= np.isin(mine[row], theirs[hits])
    return found
