"""Rows and axes at fault: named before the audit, so that the rest can still be, and left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.findings import Commands, Finding, Named, percent
from wherefrom.auditing.statistic import SPACE, Statistic
from wherefrom.auditing.tally import Floats, Ints, Tally, Weights
from wherefrom.earth.sphere import chord, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.pool import Finding as Fault
from wherefrom.pool import Places, Pool, examine, open_pool, read_places
from wherefrom.pool.batches import AnyPool, Ask, Batch
from wherefrom.pool.scan import IN_MEMORY

__all__ = ["CLEAR_KM", "Axes", "AxesTally", "cleaned", "open_table", "without_faults"]

#: Rows whose axes are tried both ways.
TRIED = 1 << 15
#: Axes count as swapped if exchanging them brings at least this share onto land,
SWAPPED_ON_LAND = 0.8
#: and this much more than as they are.
SWAPPED_GAIN = 0.2
#: Training places nearer to a test place than this are left out: images of up to 10 km.
CLEAR_KM = 10.0


def open_table(
    path: Path | str,
    id: str | None = None,
    lon: str = "lon",
    lat: str = "lat",
    *,
    options: tuple[str, ...] = (),
) -> tuple[AnyPool, list[Finding]]:
    """Open a table to be audited: faulty rows of one that fits in memory are left out and named.

    The arguments are those of `open_pool`; `options` are the flags that name its columns, for the
    commands of the findings.

    Raises
    ------
    WherefromError
        If it cannot be read, most rows are faulty, or any row is and it is too large for memory.
    """
    path = Path(path)
    if path.is_dir() or _rows_of_parquet(path) > IN_MEMORY:
        return open_pool(path, id, lon, lat), []
    return without_faults(read_places(path, id, lon, lat), options)


def _rows_of_parquet(path: Path) -> int:
    """Rows of a Parquet file; 0 for what is none, of which reading says what is wrong with it."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return 0


def without_faults(places: Places, options: tuple[str, ...] = ()) -> tuple[Pool, list[Finding]]:
    """Make a pool of a table's sound rows, and findings of the others.

    A row is at fault without coordinates, out of range or with exchanged axes. Where ids repeat,
    row numbers take their place. `options` are as in `open_table`.

    Raises
    ------
    WherefromError
        If fewer than half of the rows are sound, such as projected metres given as degrees: then
        it is the whole table that is wrong.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.pool import places_of
    >>> table = pa.table({"lon": [10.0, None, 30.0], "lat": [50.0, 51.0, 52.0]})
    >>> pool, faults = without_faults(places_of(table))
    >>> len(pool), [fault.name for fault in faults]
    (2, ['missing'])
    """
    total = len(places.ids)
    found = examine(
        places.ids, places.lon, places.lat, lon_name=places.lon_name, lat_name=places.lat_name
    )
    with np.errstate(invalid="ignore"):
        sound = (np.abs(places.lon) <= 180) & (np.abs(places.lat) <= 90)
    kept = int(sound.sum())
    errors = [finding for finding in found if finding.error]
    if 2 * kept < total or not kept:
        said = "; also: ".join(finding.message for finding in errors)
        raise WherefromError(f"{places.source}: {said or 'it has no rows'}")
    commands = Commands(Named(places.source, options), total, total, faulty=True)
    faults = [
        Finding(finding.name, finding.count / total, _told(finding), commands.clean())
        for finding in errors
    ]
    ids = places.ids
    if any(finding.name == "duplicate-id" for finding in errors):
        ids = np.arange(total, dtype=np.int64)
    rows = np.flatnonzero(sound)
    lon, lat, rest = places.lon[rows], places.lat[rows], places.rest.take(rows)
    left = replace(places, ids=ids[rows], lon=lon, lat=lat, rest=rest)
    # Rows are numbered as in the table, not as in what is left of it.
    notes = tuple(finding.message for finding in found if not finding.error)
    return Pool.of_places(left, notes), faults


def _told(finding: Fault) -> str:
    took = "uses row numbers instead" if finding.name == "duplicate-id" else "leaves them out"
    return f"{finding.message}. The audit {took}."


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
    #: Whether any longitude is beyond 90, so that axes cannot be exchanged.
    wide: bool = False
    #: Places are tried whose row is a multiple of this power of 2, which grows with the pool: files
    #: are often sorted by place, and the same rows are tried however the pool is cut.
    stride: int = 1
    _rows: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _tried: Floats = field(default_factory=lambda: np.zeros((2, 0)))

    def update(self, batch: Batch, weight: Weights | None = None) -> None:
        """Count the places of a batch that count at all."""
        counted = np.ones(len(batch), dtype=bool) if weight is None else weight > 0
        self.places += int(counted.sum())
        self.wide = self.wide or bool((np.abs(batch.lon[counted]) > 90).any())
        rows = np.flatnonzero(counted)
        rows = rows[(rows + batch.start) % self.stride == 0]
        self._try(rows + batch.start, np.stack([batch.lon[rows], batch.lat[rows]]))

    def merge(self, other: AxesTally) -> None:
        """Add what another tally counted on the places that follow."""
        self.places += other.places
        self.wide = self.wide or other.wide
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
        if self.wide or self.places < 10:
            return Axes(1.0, 0.0)
        land = earth.layer("land")
        asked, swapped = (land.codes(x, y) >= 0 for x, y in (self._tried, self._tried[::-1]))
        return Axes(float(asked.mean()), float(swapped.mean()))


@dataclass(frozen=True)
class Axes(Statistic):
    """Whether longitude and latitude look exchanged: a finding alone, without numbers in JSON.

    Shares of the places on land as they are and swapped; 1 and 0 where axes cannot be exchanged.
    """

    name, section = "axes", SPACE

    as_they_are: float
    swapped: float

    @classmethod
    def tallies(cls, asked: Asked) -> Sequence[Tally]:
        """Return a tally that tries the axes."""
        return [AxesTally()]

    def entries(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def findings(self, commands: Commands) -> list[Finding]:
        """Say that the axes look exchanged; one finding or none."""
        gain = self.swapped - self.as_they_are
        if self.swapped < SWAPPED_ON_LAND or gain < SWAPPED_GAIN:
            return []
        text = (
            f"lon and lat look exchanged: as they are {percent(self.as_they_are)} of the places "
            f"lie on land, the other way round {percent(self.swapped)}."
        )
        return [Finding("swapped-axes", gain, text, commands.audit("--lon", "lat", "--lat", "lon"))]


def cleaned(pool: AnyPool, test: AnyPool | None = None) -> tuple[Pool, dict[str, int]]:
    """Leave out rows at 0/0, rows that repeat an earlier place, and places near test places.

    Returns the rows that are left, with their ids and columns, and how many were removed by reason;
    a row counts once, under the first reason.

    Raises
    ------
    WherefromError
        If the pool is not in memory, or nothing is left.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"lon": [0.0, 10.0, 10.0, 20.0], "lat": [0.0, 50.0, 50.0, 50.0]})
    >>> test = Pool.from_table(pa.table({"lon": [20.01], "lat": [50.0]}))
    >>> left, removed = cleaned(Pool.from_table(table), test)
    >>> left.ids.tolist(), list(removed.values())
    ([1], [1, 1, 1])
    """
    if not isinstance(pool, Pool):
        raise WherefromError(
            f"--clean needs the table in memory, and it has {len(pool):,} places: draw a thinner "
            "pool first (wherefrom draw POOL --sampler uniform -n 10000000 --places --out FILE)"
        )
    _, first = np.unique(pool.lon + 1j * pool.lat, return_index=True)
    reasons = {
        "at 0° E 0° N": (pool.lon == 0) & (pool.lat == 0),
        "repeat an earlier place": ~np.isin(np.arange(len(pool)), first),
    }
    if test is not None:
        reasons[f"within {CLEAR_KM:g} km of a test place"] = _near(pool, test)
    kept = np.ones(len(pool), dtype=bool)
    removed = {}
    for reason, bad in reasons.items():
        removed[reason] = int((bad & kept).sum())
        kept &= ~bad
    if not kept.any():
        raise WherefromError("nothing is left of the table: every row is at fault")
    left = Pool.from_table(pool.table.take(np.flatnonzero(kept)), id="id")
    return replace(left, origin=f"{pool.origin or 'a table'}, cleaned"), removed


def _near(pool: Pool, test: AnyPool) -> NDArray[np.bool_]:
    from scipy.spatial import cKDTree  # slow to import

    places = [unit_vectors(batch.lon, batch.lat) for batch in test.batches(Ask())]
    reach = chord(CLEAR_KM)
    far, _ = cKDTree(np.concatenate(places)).query(
        unit_vectors(pool.lon, pool.lat), distance_upper_bound=reach
    )
    return np.asarray(far <= reach)
