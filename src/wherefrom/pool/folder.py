"""Building a pool of any size as a folder: places on land, labelled as they are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.keys import key_of
from wherefrom.pool.batches import BLOCK, PART
from wherefrom.pool.build import LandPlaces, checked_count, land_origin, land_stream
from wherefrom.pool.columns import label_layer
from wherefrom.pool.digest import key_of_blocks, places_digest
from wherefrom.pool.label import PartFile, label_columns_of
from wherefrom.pool.opening import scan
from wherefrom.pool.partition import Manifest, begin, finish, mark_of, part_name, read_part
from wherefrom.pool.scan import PoolScan
from wherefrom.progress import progress

__all__ = ["build_folder"]

Columns = tuple[NDArray[Any], ...]


def build_folder(
    places: int,
    out: Path | str,
    seed: int = 0,
    antarctica: bool = False,
    layers: Iterable[str] = (),
) -> PoolScan:
    """Draw places uniformly by area on land and write them as a folder of Parquet files.

    Parameters
    ----------
    places : int
        How many.
    out : Path or str
        The folder. If a run of the same was stopped, what is there is kept, and it goes on.
    seed : int
    antarctica : bool
        As in `Pool.build`, which makes the same places.
    layers : iterable of str
        Categorical layers whose labels become columns.

    Returns
    -------
    PoolScan

    Raises
    ------
    WherefromError
        If `places` is not positive, a layer is unknown or its data cannot be had, `out` holds
        anything else, or the disk is full: finished parts stay, and the same call goes on.

    Examples
    --------
    >>> import tempfile
    >>> from wherefrom.pool import Pool
    >>> pool = build_folder(500, Path(tempfile.mkdtemp()) / "pool", seed=1)
    >>> len(pool), pool.key == Pool.build(500, seed=1).key
    (500, True)
    """
    places, out = checked_count(places), Path(out)
    found = [label_layer(name, ()) for name in dict.fromkeys(layers)]
    layer_keys = {layer.name: layer.key for layer in (earth.layer("land"), *found)}
    job = key_of({"places": places, "seed": seed, "antarctica": antarctica, "layers": layer_keys})
    begin(out, job)
    notes = _finished(out, job)
    chunk, used = notes[-1]["next"] if notes else (0, 0)
    done = len(notes) * PART
    with progress() as bar:
        task = bar.add_task("places on land", total=places, completed=min(done, places))
        stock = _Stock(land_stream(places - done + used, seed, antarctica, found, chunk), used)
        while done < places:
            with PartFile(out / part_name(len(notes)), job, found) as file:
                digests = []
                stop = min(done + PART, places)
                while done < stop:
                    lon, lat, *codes = stock.take(min(BLOCK, stop - done))
                    ids = np.arange(done, done + len(lon), dtype=np.int64)
                    digests.append(places_digest(ids, lon, lat).hex())
                    table = pa.table({"id": ids, "lon": lon, "lat": lat})
                    named = (layer.name for layer in found)
                    file.write(table, dict(zip(named, codes, strict=True)))
                    done += len(lon)
                    bar.update(task, completed=done)
                notes.append(file.note(places=digests, next=stock.position()))
    blocks = (bytes.fromhex(digest) for note in notes for digest in note["places"])
    manifest = Manifest(
        land_origin(seed, antarctica),
        key_of_blocks(f"{places}:i", blocks),
        places,
        (),
        label_columns_of(found, notes, places),
        tuple(mark_of(out / part_name(number)) for number in range(len(notes))),
    )
    finish(out, job, manifest)
    return scan(out)


class _Stock:
    """Places that are drawn but not yet written, and where in the random numbers they end."""

    def __init__(self, stream: Iterable[LandPlaces], used: int) -> None:
        self._stream = iter(stream)
        self._skip = used
        self._pieces: list[Columns] = []
        self._count = 0
        self._last: LandPlaces | None = None

    def take(self, count: int) -> Columns:
        """Take the next places: lon, lat, and the codes of each layer."""
        while self._count < count:
            group = next(self._stream)
            columns: Columns = (group.lon, group.lat, *group.codes)
            self._last = group
            self._pieces.append(tuple(column[self._skip :] for column in columns))
            self._count += len(group.lon) - self._skip
            self._skip = 0
        whole = tuple(np.concatenate(column) for column in zip(*self._pieces, strict=True))
        self._pieces = [tuple(column[count:] for column in whole)]
        self._count -= count
        return tuple(column[:count] for column in whole)

    def position(self) -> tuple[int, int]:
        """Return the chunk of the next place, and how many of that chunk's places are taken."""
        assert self._last is not None  # asked for after `take`
        ends = np.cumsum(self._last.counts)
        taken = int(ends[-1]) - self._count
        at = int(np.searchsorted(ends, taken, side="right"))
        return self._last.chunk + at, taken - (int(ends[at - 1]) if at else 0)


def _finished(out: Path, job: str) -> list[dict[str, Any]]:
    """Return the notes of the parts that are there already, from the first on."""
    notes: list[dict[str, Any]] = []
    while (note := read_part(out / part_name(len(notes)), job)) is not None:
        notes.append(note)
    return notes
