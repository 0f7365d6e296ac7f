"""Presto's pre-training shards: tars of tiles, streamed so that every batch mixes many tiles."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.keys import generator
from wherefrom.pool.series.pixels import BANDS, FIELDS, NO_CLASS, PixelSeries
from wherefrom.pool.series.units import said_of

__all__ = [
    "MEMBERS", "RawTile", "ShardStream", "Skipped", "array_of", "cut", "located", "read_array",
    "tiles_of",
]  # fmt: skip

#: Members of a tile: values (P, 24, 18), Dynamic World (P, 24), and latitude, longitude (P, 2).
MEMBERS = ("s1_s2_era5_srtm_2020_2021.npy", "dynamicworld2020_2021.npy", "latlon.npy")

STEPS = 12


@dataclass(frozen=True)
class Skipped:
    """A tile, or the rest of a torn shard (empty `key`), that was left out, and why."""

    file: str
    key: str
    reason: str


@dataclass(frozen=True, eq=False)
class ShardStream:
    """Batches of 12-step series from webdataset tars of tiles, as Presto was pre-trained on.

    Parameters
    ----------
    files : sequence of paths
        Tars. Each is read once an epoch, tile by tile, from beginning to end.
    batch : int
        Pixels a batch; the last of an epoch may be smaller.
    seed : int
        Seed of the order, the mixing and the start months.
    buffer : int
        Pixels held back for mixing; 0.9 kB each.
    open_files : int
        Shards read in turns.

    Attributes
    ----------
    skipped : list of Skipped
        What the latest epoch left out so far.

    Raises
    ------
    WherefromError
        If there is no file, or one is absent.

    Notes
    -----
    Tseng et al. (2023, arXiv:2304.14065) read tiles through a buffer of 1,000 pixels, fewer than a
    tile's 2,500, with one start month a tile: a batch of 4,096 shows about two tiles and months.
    Here every tile that arrives takes random places of the buffer, whose pixels go out; so a batch
    holds pixels of all tiles that arrived within some buffer lengths. Each pixel's 12 steps begin
    in a month of its own, of those that the tile's steps allow: 12 if they are 23 or more.

    Examples
    --------
    >>> ShardStream(["no.tar"], batch=4096)
    Traceback (most recent call last):
    ...
    wherefrom.errors.WherefromError: no such shard: no.tar
    """

    files: Sequence[Path | str]
    batch: int
    seed: int = 0
    buffer: int = 262_144
    open_files: int = 8
    skipped: list[Skipped] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not self.files:
            raise WherefromError("no shards given: name the tars of tiles")
        for file in self.files:
            if not Path(file).is_file():
                raise WherefromError(f"no such shard: {file}")
        for name in ("batch", "buffer", "open_files"):
            if getattr(self, name) < 1:
                raise WherefromError(f"{name} must be at least 1, not {getattr(self, name)}")

    def __iter__(self) -> Iterator[PixelSeries]:
        return self.batches()

    def batches(self, epoch: int = 0, start: int = 0) -> Iterator[PixelSeries]:
        """Yield the batches of an epoch: every pixel of every readable tile once.

        Parameters
        ----------
        epoch : int
            Each has an order and start months of its own.
        start : int
            Batches to leave out, to go on where a run stopped. They are read all the same, since
            the buffer depends on all that came before.

        Yields
        ------
        PixelSeries
            `batch` pixels of 12 steps. The same seed and epoch give the same ones.

        Raises
        ------
        WherefromError
            If no shard holds a readable tile; gives the reason of the first.
        """
        self.skipped.clear()
        for at, arrays in enumerate(self._batched(generator("shards", self.seed, epoch))):
            if at >= start:
                yield PixelSeries(**arrays)

    def _batched(self, rng: np.random.Generator) -> Iterator[dict[str, NDArray[Any]]]:
        waiting: list[dict[str, NDArray[Any]]] = []
        count = 0
        for part in self._mixed(rng):
            waiting.append(part)
            count += len(part["lon"])
            if count >= self.batch:
                joined = {name: np.concatenate([p[name] for p in waiting]) for name in FIELDS}
                whole = count - count % self.batch
                for at in range(0, whole, self.batch):
                    yield {name: a[at : at + self.batch] for name, a in joined.items()}
                waiting = [{name: a[whole:] for name, a in joined.items()}]
                count -= whole
        if count:
            yield {name: np.concatenate([p[name] for p in waiting]) for name in FIELDS}

    def _mixed(self, rng: np.random.Generator) -> Iterator[dict[str, NDArray[Any]]]:
        """Pass pixels through the buffer: those that arrive push out as many random ones."""
        held: dict[str, NDArray[Any]] = {}
        filled = 0
        for pixels in self._tiles(rng):
            if not held:
                held = {
                    name: np.empty((self.buffer, *a.shape[1:]), a.dtype)
                    for name, a in pixels.items()
                }
            size = len(pixels["lon"])
            free = min(self.buffer - filled, size)
            for name, array in pixels.items():
                held[name][filled : filled + free] = array[:free]
            filled += free
            for at in range(free, size, self.buffer):
                taken = slice(at, min(at + self.buffer, size))
                slots = rng.choice(self.buffer, taken.stop - at, replace=False)
                out = {name: array[slots] for name, array in held.items()}
                for name, array in pixels.items():
                    held[name][slots] = array[taken]
                yield out
        if not filled:
            first = self.skipped[0] if self.skipped else None
            why = f"{first.file} {first.key}: {first.reason}" if first else "the tars are empty"
            raise WherefromError(
                f"none of {len(self.files)} shards holds a readable tile ({why}); a tile has "
                f"members <key>.{', <key>.'.join(MEMBERS)}"
            )
        order = rng.permutation(filled)
        for at in range(0, filled, self.batch):
            yield {name: array[order[at : at + self.batch]] for name, array in held.items()}

    def _tiles(self, rng: np.random.Generator) -> Iterator[dict[str, NDArray[Any]]]:
        """Read the shards in random order, several in turns; give each tile's pixels, cut."""
        order = rng.permutation(len(self.files))
        due = [Path(self.files[i]) for i in order[::-1]]
        reading: list[tuple[str, Generator[RawTile]]] = []
        try:
            while due or reading:
                while due and len(reading) < self.open_files:
                    path = due.pop()
                    reading.append((str(path), tiles_of(path)))
                turn = int(rng.integers(len(reading)))
                file, tiles = reading[turn]
                found = next(tiles, None)
                if found is None:
                    del reading[turn]
                    continue
                if found.reason:
                    self.skipped.append(Skipped(file, found.key, found.reason))
                    continue
                with said_of(f"{file} {found.key}"):
                    try:
                        pixels, full = cut(found.arrays, rng)
                    except WherefromError as err:
                        self.skipped.append(Skipped(file, found.key, str(err)))
                        continue
                if empty := len(full) - int(full.sum()):
                    reason = f"{empty:,} pixels without any value in their 12 steps"
                    self.skipped.append(Skipped(file, found.key, reason))
                yield pixels
        finally:
            for _, tiles in reading:
                tiles.close()


@dataclass(frozen=True, eq=False)
class RawTile:
    """What was loaded of a tile's members, by their names, or why it cannot be read.

    The reason of a tile without a key is why the tar ends before its time.
    """

    key: str
    arrays: dict[str, Any]
    reason: str = ""


def array_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> NDArray[Any]:
    """Load the array of a member."""
    stream = archive.extractfile(member)
    content = stream.read() if stream else b""
    if len(content) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return read_array(content)


def located(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[int, int]:
    """Load where in the tar a member lies: its first byte, and how many."""
    if member.offset_data + member.size > Path(str(archive.name)).stat().st_size:
        raise tarfile.ReadError("unexpected end of data")
    return member.offset_data, member.size


def read_array(content: bytes) -> NDArray[Any]:
    """Read the bytes of a ``.npy``; a `ValueError` says why they are none."""
    try:
        loaded: NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    # Of this member alone: the tar goes on. A damaged header may ask for more than any memory.
    except (EOFError, MemoryError, OverflowError) as err:
        raise ValueError(str(err)) from err
    return loaded


def tiles_of(
    path: Path, load: Callable[[tarfile.TarFile, tarfile.TarInfo], Any] = array_of
) -> Generator[RawTile]:
    """Read the tiles of one tar, whose members lie together; a tar may end anywhere."""
    key = broken = torn = ""
    arrays: dict[str, Any] = {}
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                # webdataset: the key ends at the first dot of the file's name.
                name = PurePosixPath(member.name)
                stem, _, part = name.name.partition(".")
                this = str(name.parent / stem)
                if this != key:
                    if key:
                        yield _whole(key, arrays, broken)
                    key, arrays, broken = this, {}, ""
                if part in MEMBERS:
                    try:
                        arrays[part] = load(archive, member)
                    except ValueError as err:
                        broken = f"member {part} cannot be read: {err}"
            torn = _end_of(archive, stream)
    except (tarfile.TarError, OSError) as err:
        torn = str(err)
    if key and not (torn and any(name not in arrays for name in MEMBERS)):
        yield _whole(key, arrays, broken)
    if torn:
        yield RawTile("", {}, f"the tar is torn after tile {key or 'none'} ({torn})")


def _end_of(archive: tarfile.TarFile, stream: BinaryIO) -> str:
    """Say what is wrong with the end, for which tarfile takes any header that is torn or none."""
    stream.seek(archive.offset)
    there = stream.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)  # two of them are due
    return "" if there else "no end of archive"


def _whole(key: str, arrays: dict[str, Any], broken: str) -> RawTile:
    lacking = [name for name in MEMBERS if name not in arrays]
    return RawTile(key, arrays, broken or (f"lacks the member {lacking[0]}" if lacking else ""))


def cut(
    arrays: dict[str, NDArray[Any]], rng: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """Check a tile and cut 12 steps of each pixel, from a month of its own.

    Pixels without any value in these steps are left out. Returns the arrays of `PixelSeries`, and
    which pixels these are, (P,) bool.

    Raises
    ------
    WherefromError
        If the tile has another shape, or holds what `PixelSeries.from_array` refuses.
    """
    raw, classes, latlon = (arrays[name] for name in MEMBERS)
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise WherefromError(f"{name} is of type {array.dtype}, no numbers")
    if raw.ndim != 3 or raw.shape[1] < STEPS or raw.shape[2] != len(BANDS):
        raise WherefromError(f"values have shape {raw.shape}, not (pixels, 24, {len(BANDS)})")
    if latlon.shape != (len(raw), 2):
        raise WherefromError(f"latlon has shape {latlon.shape}, not ({len(raw)}, 2)")
    if classes.ndim != 2 or len(classes) != len(raw):
        raise WherefromError(f"Dynamic World has shape {classes.shape}, not ({len(raw)}, 24)")
    starts = rng.integers(min(12, raw.shape[1] - STEPS + 1), size=len(raw))
    at = starts[:, None] + np.arange(STEPS)
    rows = np.arange(len(raw))[:, None]
    # presto.md 1.4: classes that end too early are filled up by the first one of the cut.
    last = classes.shape[1]
    padded = np.pad(classes, ((0, 0), (0, 1)), constant_values=NO_CLASS)
    chosen = padded[rows, np.minimum(np.where(at < last, at, starts[:, None]), last)]
    values = raw[rows, at]
    full = ~(np.isnan(values).all(axis=(1, 2)) & (chosen == NO_CLASS).all(axis=1))
    tile = PixelSeries.from_array(
        values[full], latlon[full, 1], latlon[full, 0], starts[full], chosen[full]
    )
    return {name: getattr(tile, name) for name in FIELDS}, full
