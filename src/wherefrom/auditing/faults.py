"""Rows and axes at fault: named before the audit, so that the rest can still be, and left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing.asked import Asked, places_within
from wherefrom.auditing.findings import LEAST, Commands, Finding, Named, percent
from wherefrom.auditing.statistic import SPACE, Statistic
from wherefrom.auditing.tally import (
    APART_M,
    Floats,
    Ints,
    Tally,
    Weights,
    canonical_places,
    first_rows,
    run,
)
from wherefrom.earth.apart import Neighbours
from wherefrom.earth.extent import Extent
from wherefrom.errors import WherefromError
from wherefrom.pool import Finding as Fault
from wherefrom.pool import Places, Pool, PoolScan, examine, open_pool, read_places
from wherefrom.pool.batches import AnyPool, Ask, Batch, extents
from wherefrom.pool.check import place_hashes
from wherefrom.pool.scan import IN_MEMORY
from wherefrom.pool.seasons import Dates, days_in
from wherefrom.pool.tables import taken
from wherefrom.pool.time import same_days
from wherefrom.pool.where import picked

__all__ = [
    "CLEAR_KM",
    "Axes",
    "AxesTally",
    "Opened",
    "Zeros",
    "cleaned",
    "open_table",
    "restricted",
    "without_faults",
]

#: Rows whose axes are tried both ways.
TRIED = 1 << 15
#: Axes count as swapped if exchanging them brings at least this share onto land,
SWAPPED_ON_LAND = 0.8
#: and this much more than as they are,
SWAPPED_GAIN = 0.2
#: and if the places keep to the coast by so much more of them than as they are.
SWAPPED_COAST = 0.1
#: and by so many standard deviations: the exchange is one question, not one of many.
SWAPPED_SIGMAS = 2.0
#: Share of the places that may be astray, or on land, and make axes no less exchanged.
ASTRAY = 0.02
#: Training places nearer to a test place than this are left out: images of up to 10 km.
CLEAR_KM = 10.0
#: Axes by their short names.
AXES = {"lon": "longitude", "lat": "latitude"}
#: What a finding of zeros ends with, unless nothing is left then.
LEFT_OUT = " The command leaves them out."
#: A coordinate of exactly 0 is odd if so many times as many places have it as any other value.
ODD = 4.0


class Opened(NamedTuple):
    """A pool of the sound rows of a table, and what became of the others.

    Attributes
    ----------
    pool : AnyPool
    faults : list of Finding
    ids : ndarray of int64 or str, shape (N,), or None
        The table's ids where some repeat: the pool's are then row numbers.
    gone : dict of str to int
        Rows that were left out, by reason.
    named : Named
        What to call the table in commands.
    """

    pool: AnyPool
    faults: Sequence[Finding] = ()
    ids: NDArray[Any] | None = None
    gone: Mapping[str, int] = MappingProxyType({})
    named: Named = Named()


def open_table(
    path: Path | str,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    *,
    named: Named = Named(),  # noqa: B008
    time: str | Dates | None = None,
    where: str | None = None,
) -> Opened:
    """Open a table to be audited: faulty rows of one that fits in memory are left out and named.

    The arguments are those of `open_pool`; `named` is what commands call it.

    Raises
    ------
    WherefromError
        If it cannot be read, most rows are faulty, or any row is and it is too large for memory.
    """
    path = Path(path)
    if path.is_dir() or _rows_of_parquet(path) > IN_MEMORY:
        pool = open_pool(path, id, lon, lat, time=time, where=where)
        points = isinstance(pool, PoolScan) and len(pool.reading.place) == 1
        return Opened(pool, named=replace(named, points=points))
    return without_faults(picked(read_places(path, id, lon, lat), time, where), named)


def _rows_of_parquet(path: Path) -> int:
    """Rows of a Parquet file; 0 for what is none, of which reading says what is wrong with it."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return 0


def without_faults(places: Places, named: Named = Named()) -> Opened:  # noqa: B008
    """Make a pool of a table's sound rows, and findings of the others.

    A row is at fault without coordinates, out of range or with exchanged axes. Longitudes beyond
    180 degrees are taken less 360. Where ids repeat, row numbers take their place. `named` says
    what the table is called in commands.

    Raises
    ------
    WherefromError
        If fewer than half of the rows are sound, such as projected metres given as degrees, or the
        columns of longitude and latitude are exchanged: then it is the whole table that is wrong.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.pool import places_of
    >>> table = pa.table({"lon": [10.0, None, 300.0], "lat": [50.0, 51.0, 52.0]})
    >>> pool, faults, *_ = without_faults(places_of(table))
    >>> pool.lon.tolist(), [fault.name for fault in faults]
    ([10.0, -60.0], ['missing', 'longitudes'])
    """
    total = len(places.ids)
    named = replace(named, points=places.points)
    commands = Commands(named, total, total, faulty=True)
    given = places
    # NaN fails every comparison.
    turned = np.flatnonzero((np.abs(places.lon) > 180) & (np.abs(places.lon) <= 360))
    turned = turned[np.abs(places.lat[turned]) <= 90]
    if len(turned):
        lon = places.lon.copy()
        lon[turned] -= np.copysign(360.0, lon[turned])
        places = replace(places, lon=lon)
    found = examine(
        places.ids,
        places.lon,
        places.lat,
        lon_name=places.lon_name,
        lat_name=places.lat_name,
        where=places.row,
    )
    if any(finding.name == "swapped" for finding in found):
        _refuse_exchanged(places)
    sound = (np.abs(places.lon) <= 180) & (np.abs(places.lat) <= 90)
    kept = int(sound.sum())
    errors = [finding for finding in found if finding.error]
    if 2 * kept < total or not kept:
        said = "; also: ".join(finding.message for finding in errors)
        raise WherefromError(f"{places.source}: {said or 'it has no rows'}")
    missing = int((~(np.isfinite(places.lon) & np.isfinite(places.lat))).sum())
    swapped = sum(finding.count for finding in errors if finding.name == "swapped")
    gone = {
        "without coordinates": missing,
        "with exchanged axes": swapped,
        "out of range": total - kept - missing - swapped,
    }
    if places.where:
        gone = {f"not where {places.where}": places.left_out, **gone}
    rows = np.flatnonzero(sound)
    ids, own = places.ids[rows], None
    lon, lat, rest = places.lon[rows], places.lat[rows], taken(places.rest, rows)
    causes: dict[str, tuple[str, ...]] = {}
    attribute = False  # taken for an id
    if any(finding.name == "duplicate-id" for finding in errors):
        _, first, which = np.unique(ids, return_index=True, return_inverse=True)
        # An id of one place may repeat for no other reason than that its place does.
        once = (lon == lon[first][which]).all() and (lat == lat[first][which]).all()
        causes = {"duplicate-id": ("duplicates",)} if once else {}
        ids, own = rows if places.rows is None else places.rows[rows], ids
        again = _repeats(own[~_repeats(lon + 1j * lat)])
        if attribute := bool(2 * again.sum() > len(again)):
            named = replace(named, options=named.but("--id"))
            commands = replace(commands, named=named)
    told = [
        Finding(
            each.name,
            each.count / total,
            _told(each, attribute),
            "" if _of_all(each, total) else commands.clean(),
            may_follow=causes.get(each.name, ()),
        )
        for each in errors
    ]
    if len(turned):
        told.append(_told_turned(given, turned, commands))
    left = replace(places, ids=ids, lon=lon, lat=lat, rest=rest)
    # Rows are numbered as in the table, not as in what is left of it.
    notes = tuple(finding.message for finding in found if not finding.error)
    return Opened(Pool.of_places(left, notes), told, own, gone, named)


def _of_all(fault: Fault, total: int) -> bool:
    """Tell whether so many rows look exchanged, or from a pole, that all rows are at fault."""
    return fault.name == "colatitude" or (fault.name == "swapped" and fault.count > ASTRAY * total)


def _told(finding: Fault, attribute: bool) -> str:
    took = "leaves them out"
    if finding.name == "swapped":  # a few rows, for whole columns are refused
        return f"{finding.message.rpartition(';')[0]}; exchange them there. The audit {took}."
    if finding.name == "duplicate-id":
        took = "uses row numbers instead; the command keeps the first place of each id"
        if attribute:
            took = "uses row numbers instead, and so does the command: most places share an id"
    return f"{finding.message}. The audit {took}."


def _told_turned(places: Places, turned: Ints, commands: Commands) -> Finding:
    name = places.lon_name
    shown = [f"{places.row(at)} ({name} {places.lon[at]:.6g})" for at in turned[:3].tolist()]
    more = ", ..." if len(turned) > len(shown) else ""
    share = len(turned) / len(places.ids)
    low, high = np.nanmin(places.lon), np.nanmax(places.lon)
    text = (
        f"{name} runs from {low:.6g} to {high:.6g} degrees; in {len(turned):,} of "
        f"{len(places.ids):,} rows it is taken by the same meridian within -180 to 180: "
        f"{', '.join(shown)}{more}. The command writes it so."
    )
    return Finding("longitudes", share, text, commands.clean())


def _refuse_exchanged(places: Places) -> None:
    """Refuse a table whose columns are exchanged, of which a part is out of range.

    Left out, those rows would be lost, and the wrong places among the others kept.
    """
    x, y = places.lon, places.lat
    there = np.isfinite(x) & np.isfinite(y)
    fit = there & (np.abs(x) <= 90) & (np.abs(y) <= 180)
    if there.sum() - fit.sum() > ASTRAY * there.sum():
        return
    inside, out = (np.flatnonzero(fit & where) for where in (np.abs(y) <= 90, np.abs(y) > 90))
    if not (len(out) and len(inside)):
        return
    far = len(out)
    inside, out = (rows[:: max(1, len(rows) // TRIED)] for rows in (inside, out))
    axes = _tried(np.stack([x[inside], y[inside]]))
    beyond = float((earth.layer("land").codes(y[out], x[out]) >= 0).mean())
    if min(axes.swapped, beyond) >= SWAPPED_ON_LAND and axes.swapped > axes.as_they_are:
        lon, lat = places.lon_name, places.lat_name
        remedy = f"give --lon {lat} --lat {lon}"
        if places.points:  # which no flags exchange
            remedy = "exchange them: gdf.geometry = shapely.transform(gdf.geometry.values, "
            remedy += "lambda xy: xy[:, ::-1])"
        raise WherefromError(
            f"{places.source}: {lon} and {lat} look exchanged: {lat} is beyond 90 in {far:,} of "
            f"{len(x):,} rows, and the other way round {percent(axes.swapped)} of the others lie "
            f"on land (as they are {percent(axes.as_they_are)}); {remedy}"
        )


def _tried(both: Floats) -> Axes:
    """Tell the shares of places on land, as they are and exchanged; `both` has shape (2, N)."""
    both = both[:, (np.abs(both) <= 90).all(axis=0)]
    if not both.size:
        return Axes(0.0, 1.0)
    land = earth.layer("land")
    mixed = np.stack([both[0], np.random.default_rng(0).permutation(both[1])])
    pairs = (both, both[::-1], mixed, mixed[::-1])
    here, there, *others = (float((land.codes(x, y) >= 0).mean()) for x, y in pairs)
    squares = len(np.unique(both[0].round() + 1j * both[1].round()))
    return Axes(here, there, (others[0], others[1]), squares)


@dataclass(eq=False)
class AxesTally:
    """Try whether more places lie on land with longitude and latitude exchanged.

    Examples
    --------
    >>> tally = AxesTally()
    >>> tally.update(Batch(0, np.linspace(-20.0, -5.0, 50), np.linspace(-60.0, -45.0, 50)))
    >>> print(tally.result().findings(Commands(Named("places.csv"), 50, 50))[0].command)
    wherefrom audit places.csv --lon lat --lat lon
    """

    ask: ClassVar[Ask] = Ask()

    places: int = 0
    #: Those whose longitude is beyond 90: if they are more than a few, axes cannot be exchanged.
    wide: int = 0
    #: Places are tried whose row is a multiple of this power of 2, which grows with the pool: files
    #: are often sorted by place, and the same rows are tried however the pool is cut.
    stride: int = 1
    _rows: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _tried: Floats = field(default_factory=lambda: np.zeros((2, 0)))

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Count the places of a batch that count at all."""
        counted = np.ones(len(batch), dtype=bool) if weight is None else weight > 0
        self.places += int(counted.sum())
        self.wide += int((np.abs(batch.lon[counted]) > 90).sum())
        rows = np.flatnonzero(counted)
        rows = rows[(rows + batch.start) % self.stride == 0]
        self._try(rows + batch.start, np.stack([batch.lon[rows], batch.lat[rows]]))

    def merge(self, other: AxesTally) -> None:
        """Add what another tally counted on the places that follow."""
        self.places += other.places
        self.wide += other.wide
        self.stride = max(self.stride, other.stride)
        self._try(other._rows, other._tried)

    def _try(self, rows: Ints, both: Floats) -> None:
        """Add places to be tried, and thin them until they are few."""
        self._rows = np.append(self._rows, rows)
        self._tried = np.concatenate([self._tried, both], axis=1)
        kept = self._rows % self.stride == 0
        while kept.sum() > TRIED:
            self.stride *= 2
            kept = self._rows % self.stride == 0
        self._rows, self._tried = self._rows[kept], self._tried[:, kept]

    def result(self) -> Axes:
        """Tell the shares of the tried places on land."""
        if self.wide > ASTRAY * self.places or self.places < 10:
            return Axes(1.0, 0.0)
        return _tried(self._tried)


@dataclass(frozen=True)
class Axes(Statistic):
    """Whether longitude and latitude look exchanged: a finding alone, without numbers in JSON.

    Shares of the places on land as they are and swapped; 1 and 0 where axes cannot be exchanged.
    Then the same of longitudes and latitudes that are paired at random, and in how many squares of
    a degree the places lie.
    """

    name, section = "axes", SPACE

    as_they_are: float
    swapped: float
    mixed: tuple[float, float] = (1.0, 0.0)
    squares: int = 1

    @property
    def doubtful(self) -> bool:
        """Whether far more of the places are on land the other way round."""
        better = self.swapped - self.as_they_are >= SWAPPED_GAIN
        return better and self.swapped >= SWAPPED_ON_LAND

    @property
    def exchanged(self) -> bool:
        """Whether the places are on land the other way round, and not for want of sea there.

        A box at a coast, exchanged, may lie inland as a whole. So the places must keep to the coast
        the other way round, as pairs at random do not, and ignore it as they are; or as they are
        lie at sea as a whole.
        """
        if not self.doubtful:
            return False
        if self.as_they_are <= ASTRAY and self.swapped >= 1.0 - ASTRAY:
            return True
        now, coast = self.as_they_are - self.mixed[0], self.swapped - self.mixed[1]
        share = (self.swapped + self.mixed[1]) / 2.0
        chance = np.sqrt(2.0 * share * (1.0 - share) / self.squares)
        return bool(coast - now > SWAPPED_COAST and coast > SWAPPED_SIGMAS * chance)

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally that tries the axes; within an extent the other way round is outside."""
        return [AxesTally()] if asked.within is None and asked.ground.is_land else []

    def entries(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def findings(self, commands: Commands) -> list[Finding]:
        """Say that the axes look exchanged; one finding or none."""
        if not self.exchanged:
            return []
        gain = self.swapped - self.as_they_are
        sea = ", unless they are meant to be at sea" if self.as_they_are <= ASTRAY else ""
        text = (
            f"lon and lat look exchanged{sea}: as they are {percent(self.as_they_are)} of the "
            f"places lie on land, the other way round {percent(self.swapped)}."
        )
        return [Finding("swapped-axes", gain, text, commands.exchange())]

    def doubted(self, finding: Finding, commands: Commands) -> Finding:
        """Say of places at sea, or of their region, that they may be exchanged, which is less."""
        if finding.name not in ("region", "sea") or self.exchanged or not self.doubtful:
            return finding
        text = (
            f"Either lon and lat are exchanged ({percent(self.swapped)} on land then, "
            f"{percent(self.as_they_are)} as they are), which the command tries, or: "
            f"{finding.text}"
        )
        if finding.command:
            text += f" If they are not: {finding.command}"
        return replace(finding, text=text, command=commands.exchange())


@dataclass(frozen=True)
class Zeros(Statistic):
    """Whether one coordinate is exactly 0 in many places: a finding alone, by a sample.

    Shares of the places with that coordinate 0 and the other not, and the largest share that any
    other value has; those of longitude, then of latitude.
    """

    name, section = "zeros", SPACE

    zero: tuple[float, float]
    other: tuple[float, float]

    @classmethod
    def of(cls, asked: Asked, counted: Sequence[Any]) -> Self:
        """Look at the sample."""
        both = np.stack([asked.sample.lon, asked.sample.lat])
        both = both[:, (both != 0.0).any(axis=0)]
        zero, other = [0.0, 0.0], [0.0, 0.0]
        for at, values in enumerate(both if both.size else ()):
            zero[at] = float((values == 0.0).mean())
            if zero[at] > LEAST:
                counts = np.unique(values[values != 0.0], return_counts=True)[1]
                other[at] = float(counts.max(initial=0) / len(values))
        return cls((zero[0], zero[1]), (other[0], other[1]))

    @property
    def all(self) -> bool:
        """Whether every place has such a coordinate, so that cleaning leaves none."""
        return sum(self.zero) == 1.0 and not any(0.0 < zero <= LEAST for zero in self.zero)

    def entries(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def findings(self, commands: Commands) -> list[Finding]:
        """Name the coordinate that is 0 in far more places than it is anything else."""
        found = []
        for axis, zero, other in zip(AXES, self.zero, self.other, strict=True):
            name = AXES[axis]
            if zero > LEAST and zero > ODD * other:
                text = (
                    f"{percent(zero)} of the places have a {name} of exactly 0"
                    + (f", and no other {name} is that of more than {percent(other)}" * (zero < 1))
                    + f": what a missing value leaves behind.{LEFT_OUT}"
                )
                found.append(Finding(f"zero-{axis}", zero, text, commands.clean()))
        return found


def cleaned(
    opened: Opened, test: AnyPool | None = None, findings: Sequence[Finding] | None = None
) -> tuple[Pool, dict[str, int]]:
    """Leave out faulty rows, rows that repeat an earlier place or id, and places near test places.

    `findings` are those of the audit, by which it knows of exchanged axes, near copies and zeros;
    without them it takes 0 E, 0 N for missing, which may be a node of a lattice.
    Returns the rows that are left, with their ids and columns, and how many were removed by reason,
    those that were left out before among them; a row counts once, under the first reason.

    Raises
    ------
    WherefromError
        If the pool is not in memory, its axes look exchanged, most ids repeat, or nothing is left.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"lon": [0.0, 10.0, 10.0, 20.0], "lat": [0.0, 50.0, 50.0, 50.0]})
    >>> test = Pool.from_table(pa.table({"lon": [20.01], "lat": [50.0]}))
    >>> left, removed = cleaned(Opened(Pool.from_table(table)), test)
    >>> left.ids.tolist(), list(removed.values())
    ([1], [1, 1, 1])
    """
    pool = opened.pool
    if not isinstance(pool, Pool):
        raise WherefromError(
            f"--clean needs the table in memory, and it has {len(pool):,} places: draw a thinner "
            "pool first (wherefrom draw POOL --sampler uniform -n 10000000 --places --out FILE)"
        )
    found = {finding.name: finding for finding in findings or ()}
    if "swapped-axes" in found:
        raise WherefromError(
            "nothing is cleaned, for lon and lat look exchanged: first try "
            f"{found['swapped-axes'].command}"
        )
    for fault in opened.faults:
        if not fault.command:
            raise WherefromError(
                f"nothing is cleaned, for other rows may be at fault too: {fault.text}"
            )
    kept = np.arange(len(pool))
    removed = dict(opened.gone)

    def leave_out(reason: str, bad: NDArray[np.bool_]) -> None:
        nonlocal kept
        removed[reason] = int(bad.sum())
        kept = kept[~bad]

    nowhere = findings is None or "null-island" in found
    leave_out("at 0° E 0° N", nowhere & (pool.lon == 0) & (pool.lat == 0))
    for axis, values in zip(AXES, (pool.lon, pool.lat), strict=True):
        if f"zero-{axis}" in found:
            leave_out(f"of {AXES[axis]} 0", values[kept] == 0)
    days = days_in(pool.table)
    if days is None:
        leave_out("repeat an earlier place", _repeats(pool.lon[kept] + 1j * pool.lat[kept]))
    else:  # other days of a place are no fault
        keys = same_days(place_hashes(pool.lon, pool.lat), days)
        leave_out("repeat place and day of an earlier row", _repeats(keys[kept]))
    if "near-copies" in found:
        first, *_ = first_rows(*canonical_places(pool.lon[kept], pool.lat[kept]))
        leave_out(f"within {APART_M:g} m of an earlier place", _others(first, len(kept)))
    if opened.ids is not None:
        again = _repeats(opened.ids[kept])
        if 2 * again.sum() > len(again):
            raise WherefromError(
                f"nothing is cleaned, for {int(again.sum()):,} of {len(again):,} places repeat the "
                "id of another place: name a column of ids with --id"
            )
        leave_out("repeat an earlier id", again)
    if test is not None:
        leave_out(f"within {CLEAR_KM:g} km of a test place", _near(pool, test)[kept])
    if not len(kept):
        raise WherefromError("nothing is left of the table: every row is at fault")
    table = pool.table.take(kept)
    if opened.ids is not None:
        table = table.set_column(table.column_names.index("id"), "id", pa.array(opened.ids[kept]))
    for name in opened.named.only("--id")[1:]:  # found by its own name too
        if name not in table.column_names:
            table = table.append_column(name, table.column("id"))
    left = Pool.from_table(table, id="id")
    return replace(left, origin=f"{pool.origin or 'a table'}, cleaned"), removed


def restricted(opened: Opened, within: Extent) -> Opened:
    """Leave out the rows outside an extent, and count them.

    Raises
    ------
    WherefromError
        If none lies within, or longitude and latitude look exchanged: those within are then others.
    """
    pool = opened.pool
    axes: Axes = run(pool, [AxesTally()])[0].result()
    if axes.exchanged:
        commands = Commands(opened.named, len(pool), len(pool), within=within.text)
        raise WherefromError(
            f"nothing is cleaned, for lon and lat look exchanged: first try {commands.exchange()}"
        )
    inside, rows = places_within(pool, within)
    gone = {**opened.gone, f"outside {within.text}": len(pool) - len(rows)}
    ids = None if opened.ids is None else opened.ids[rows]
    return opened._replace(pool=inside, ids=ids, gone=gone)


def _repeats(values: NDArray[Any]) -> NDArray[np.bool_]:
    return _others(np.unique(values, return_index=True)[1], len(values))


def _others(first: Ints, count: int) -> NDArray[np.bool_]:
    """Mark all rows but these."""
    again = np.ones(count, dtype=np.bool_)
    again[first] = False
    return again


def _near(pool: Pool, test: AnyPool) -> NDArray[np.bool_]:
    lon, lat, shapes = extents(pool)
    return Neighbours(*extents(test)).within(lon, lat, CLEAR_KM, shapes)
