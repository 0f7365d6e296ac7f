"""A list of places of the user's as a composition of a pool that is built: each by the nearest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wherefrom.compose import Composition
from wherefrom.compose.samplers.plain import multiplicities
from wherefrom.earth.sphere import EARTH_RADIUS_KM, arc_km, unit_vectors
from wherefrom.errors import WherefromError
from wherefrom.files import atomic
from wherefrom.pool import Pool, places_of, read_table
from wherefrom.pool.build import land_origin
from wherefrom.shown import count_of

__all__ = ["Listed", "listed"]

Floats = NDArray[np.float64]

#: Share of the sphere that is land without Antarctica, about: how far candidates lie apart.
_LAND = 0.263
#: Mean distances between candidates beyond which none stands for a place.
_FAR = 5.0


@dataclass(frozen=True)
class Listed:
    """Candidates that stand for the places of a list.

    Attributes
    ----------
    table : pyarrow.Table
        ``id``, ``multiplicity``, ``lon``, ``lat`` of the candidates, by id.
    size : int
        Places, repeated ones counted.
    said : str
        How near candidates are, and what was left out.
    """

    table: pa.Table
    size: int
    said: str

    def write(self, file: Path) -> None:
        """Write the table; the same list gives the same bytes."""
        with atomic(file) as tmp:
            pq.write_table(self.table, tmp, write_page_checksum=True)


def listed(file: Path, candidates: Pool, lon: str = "lon", lat: str = "lat") -> Listed:
    r"""Find the candidate nearest to each place of a list.

    Parameters
    ----------
    file : Path
        A table of coordinates, perhaps with a column ``multiplicity``, or a composition that was
        drawn from a pool that is built, of seed 0.
    candidates : Pool
        Such a pool.
    lon, lat : str
        Columns of degrees.

    Returns
    -------
    Listed

    Raises
    ------
    WherefromError
        If the list has ids alone of a pool that is not known here, its coordinates are faulty, or
        no place lies on land.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "mine.csv"
    >>> _ = file.write_text("lon,lat\n13.4,52.5\n13.4,52.5\n-150.0,0.0\n")
    >>> listed(file, Pool.build(20_000)).table["multiplicity"].to_pylist()
    [2]
    """
    x, y, times = _places(file, lon, lat)
    tree = cKDTree(unit_vectors(candidates.lon, candidates.lat))
    chord, rows = tree.query(unit_vectors(x, y), workers=-1)
    km = arc_km(chord)
    apart = EARTH_RADIUS_KM * np.sqrt(4 * np.pi * _LAND / len(candidates))
    near = km <= _FAR * apart
    if not near.any():
        raise WherefromError(
            f"{file}: none of its {count_of(len(x), 'place')} is on land outside Antarctica, or "
            "near it, where candidates are: name your own (--pool)"
        )
    counts = np.bincount(rows[near], weights=times[near], minlength=len(candidates))
    taken = np.flatnonzero(counts)
    said = (
        f"each place is stood for by the nearest of {len(candidates):,} candidates, "
        f"{np.median(km[near]):.1f} km away in the median and {km[near].max():.0f} km at most"
    )
    if not near.all():
        said += f"; left out, since no candidate is near: {count_of(int((~near).sum()), 'place')}"
    if len(taken) < near.sum():
        said += f"; {count_of(len(taken), 'different candidate')} for {near.sum():,} places"
    table = pa.table(
        {
            "id": candidates.ids[taken],
            "multiplicity": counts[taken].astype(np.int64),
            "lon": candidates.lon[taken],
            "lat": candidates.lat[taken],
        }
    )
    return Listed(table, int(counts.sum()), said)


def _places(file: Path, lon: str, lat: str) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Read coordinates, and how often each place is taken."""
    table = read_table(file)
    if {"id", "multiplicity", "inclusion_probability"} == set(table.column_names):
        drawn = Composition.read(file)
        of = drawn.provenance.get("pool", {})
        known = of.get("origin") == land_origin(0, antarctica=False)
        pool = Pool.build(int(of["places"])) if known else None
        if pool is None or pool.key != of["key"]:
            raise WherefromError(f"{file} lists ids of a pool of yours: name it (--pool FILE)")
        rows = pool.take(drawn.ids)
        return pool.lon[rows], pool.lat[rows], drawn.multiplicity.astype(np.int64)
    found = Pool.of_places(places_of(table, None, lon, lat, source=str(file), numbered=True))
    times = np.ones(len(found), dtype=np.int64)
    if "multiplicity" in found.columns:
        times = multiplicities(found.table.column("multiplicity"), str(file))
    return found.lon, found.lat, times
