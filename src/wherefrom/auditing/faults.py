"""Faulty rows of a table, found before it is audited, so that the rest can still be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.auditing.findings import Commands, Finding
from wherefrom.auditing.tally import Weights
from wherefrom.auditing.wording import percent
from wherefrom.errors import WherefromError
from wherefrom.pool import Finding as Fault
from wherefrom.pool import Places, Pool, examine, open_pool, read_places
from wherefrom.pool.batches import AnyPool, Ask, Batch
from wherefrom.pool.scan import IN_MEMORY

__all__ = ["AxesTally", "open_table", "sound_rows", "without_faults"]

#: Rows whose axes are tried both ways.
TRIED = 1 << 15
#: Axes count as swapped if exchanging them brings at least this share onto land,
SWAPPED_ON_LAND = 0.8
#: and this much more than as they are.
SWAPPED_GAIN = 0.2


def open_table(
    path: Path | str,
    id: str | None = None,  # noqa: A002
    lon: str = "lon",
    lat: str = "lat",
    *,
    options: tuple[str, ...] = (),
) -> tuple[AnyPool, list[Finding]]:
    """Open a table to be audited: faulty rows of one that fits in memory are left out and named.

    Parameters
    ----------
    path : Path or str
        A Parquet, GeoParquet or CSV file, or a folder of Parquet files.
    id, lon, lat : str
        Columns, as in `open_pool`.
    options : tuple of str
        Flags that name its columns, for the commands of the findings.

    Returns
    -------
    pool : AnyPool
    faults : list of Finding

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


def sound_rows(places: Places) -> NDArray[np.bool_]:
    """Tell which rows have coordinates on the Earth.

    Parameters
    ----------
    places : Places
        A table as it was read.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = (np.abs(places.lon) <= 180) & (np.abs(places.lat) <= 90)
    return found


def without_faults(places: Places, options: tuple[str, ...] = ()) -> tuple[Pool, list[Finding]]:
    """Make a pool of the sound rows, and findings of the others.

    Parameters
    ----------
    places : Places
        A table as it was read.
    options : tuple of str
        Flags that name its columns, for the commands of the findings.

    Returns
    -------
    pool : Pool
        Ids are row numbers if the table's own repeat.
    faults : list of Finding
        Rows without coordinates, out of range, with exchanged axes; ids that repeat.

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
    sound = sound_rows(places)
    kept = int(sound.sum())
    errors = [finding for finding in found if finding.error]
    if 2 * kept < total or not kept:
        said = "; also: ".join(finding.message for finding in errors)
        raise WherefromError(f"{places.source}: {said or 'it has no rows'}")
    commands = Commands(places.source, options, total, total, faulty=True)
    faults = [
        Finding(finding.name, finding.count / total, _told(finding), commands.clean())
        for finding in errors
    ]
    ids = places.ids
    if any(finding.name == "duplicate-id" for finding in errors):
        ids = np.arange(total, dtype=np.int64)
    rows = np.flatnonzero(sound)
    rest = places.rest.take(rows)
    left = Places(
        ids[rows], places.lon[rows], places.lat[rows], rest,
        places.lon_name, places.lat_name, places.source,
    )  # fmt: skip
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
    >>> commands = Commands("places.csv", (), 50, 50)
    >>> print(tally.findings(commands)[0].command)
    wherefrom audit places.csv --lon lat --lat lon
    """

    ask: ClassVar[Ask] = Ask()

    places: int = 0
    #: Whether any longitude is beyond 90, so that axes cannot be exchanged.
    wide: bool = False
    #: Places are tried whose row is a multiple of this power of 2, which grows with the pool: files
    #: are often sorted by place, and the same rows are tried however the pool is cut.
    stride: int = 1
    _rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _tried: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 0)))

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

    def _try(self, rows: NDArray[np.int64], both: NDArray[np.float64]) -> None:
        """Add places to be tried, and thin them until they are few."""
        self._rows = np.append(self._rows, rows)
        self._tried = np.concatenate([self._tried, both], axis=1)
        kept = self._rows % self.stride == 0
        while kept.sum() > TRIED:
            self.stride *= 2
            kept = self._rows % self.stride == 0
        self._rows, self._tried = self._rows[kept], self._tried[:, kept]

    def findings(self, commands: Commands, lon: str = "lon", lat: str = "lat") -> list[Finding]:
        """Say what is amiss with the axes.

        Parameters
        ----------
        commands : Commands
        lon, lat : str
            The columns' names.

        Returns
        -------
        list of Finding
        """
        asked, swapped = self._on_land()
        if swapped < SWAPPED_ON_LAND or swapped - asked < SWAPPED_GAIN:
            return []
        text = (
            f"{lon} and {lat} look exchanged: as they are {percent(asked)} of the places lie on "
            f"land, the other way round {percent(swapped)}."
        )
        command = commands.audit("--lon", lat, "--lat", lon)
        return [Finding("swapped-axes", swapped - asked, text, command)]

    def _on_land(self) -> tuple[float, float]:
        """Share of the tried places on land, as they are and with axes exchanged."""
        if self.wide or self.places < 10:
            return 1.0, 0.0
        land = earth.layer("land")
        asked, swapped = (land.codes(x, y) >= 0 for x, y in (self._tried, self._tried[::-1]))
        return float(asked.mean()), float(swapped.mean())
