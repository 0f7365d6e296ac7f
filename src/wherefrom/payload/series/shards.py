"""Presto's shards by id: the tiles that are sought, each read once, as it lies in its tar."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.kept import keep
from wherefrom.errors import WherefromError
from wherefrom.keys import generator, key_of
from wherefrom.payload.base import Lost
from wherefrom.payload.matching import no_text
from wherefrom.payload.series.blocks import Block, Cut
from wherefrom.pool.series import PixelSeries
from wherefrom.pool.series.shards import MEMBERS, RawTile, cut, located, read_array, tiles_of
from wherefrom.pool.series.units import said_of
from wherefrom.progress import progress

__all__ = ["of_shards"]

#: Bytes of a tar from which on it is noted where its tiles lie.
_MUCH = 1 << 26
#: Raised when the code changes what is kept of a tar.
_VERSION = 1
_LATLON = MEMBERS[-1]


def of_shards(
    files: dict[str, Path], seed: int, ids: NDArray[Any] | None, lost: Lost
) -> Iterator[Block]:
    """Give the tiles that are sought, or all, in the order in which they lie.

    Parameters
    ----------
    files : dict of str to Path
        Tars, by the names that ids may begin with.
    seed : int
        Of the months in which the series begin.
    ids : (N,) array, optional
        ``TILE:ROW``; a tile is named as in its tar, or, of a name that several tars have,
        ``TAR/TILE``.
    lost : Lost
        Is told of what is sought alone.
    """
    wanted = None if ids is None else {one.rpartition(":")[0] for one in ids.astype(str).tolist()}
    index = _indexed(files)
    there = {tar: [tile for tile in tiles if tile.key] for tar, tiles in index.items()}
    tars = defaultdict(list)
    for tar, tiles in there.items():
        for tile in tiles:
            tars[tile.key].append(tar)
    given: set[str] = set()
    for tar, tiles in there.items():
        if not tiles:  # none that can be opened, perhaps
            continue
        with files[tar].open("rb") as stream:
            for tile in tiles:
                said = tile.key.encode(errors="backslashreplace").decode()
                where, names = f"{files[tar]} {said}", [f"{tar}/{tile.key}"]
                if len(tars[tile.key]) == 1:
                    names = [tile.key, *names]
                elif wanted and wanted & {tile.key, *names}:
                    one, other = tars[tile.key][:2]
                    if tars[tile.key].count(tar) > 1:
                        raise WherefromError(f"{where} is there more than once: write the tar anew")
                    if tile.key in wanted:
                        raise WherefromError(
                            f"tile {tile.key!r} is in {one} and in {other}: write its ids as "
                            f"{names[0]}:ROW"
                        )
                lost.such = lost.such or f"{names[0]}:0"
                for name in [n for n in names if n in wanted] if wanted is not None else names[:1]:
                    given.add(name)
                    try:
                        block = _block(stream, where, name, tile, seed)
                    except WherefromError as err:
                        lost.add(where, str(err))
                    else:
                        yield block
    if wanted is None or wanted - given:
        for tar, tiles in index.items():
            for tile in tiles:
                if not tile.key:
                    lost.add(str(files[tar]), tile.reason)


def _indexed(files: dict[str, Path]) -> dict[str, list[RawTile]]:
    """Say where the tiles of tars lie, which are walked once: what was found stays in the cache."""
    found = {}
    with progress() as bar:
        for tar, path in bar.track(files.items(), description="indexing shards"):
            facts = path.stat()
            about = [_VERSION, str(path.absolute()), facts.st_size, facts.st_mtime_ns]
            if facts.st_size < _MUCH:
                found[tar] = _walked(path)
            else:
                name = f"shards-{key_of(about)}.json"
                found[tar] = keep(name, partial(_walked, path), _write, _read)
    return found


def _walked(path: Path) -> list[RawTile]:
    return list(tiles_of(path, located))


def _write(tiles: list[RawTile], path: Path) -> None:
    path.write_text(json.dumps([vars(tile) for tile in tiles]), encoding="utf-8")


def _read(stream: BinaryIO) -> list[RawTile]:
    try:
        return [RawTile(**one) for one in json.load(stream)]
    except TypeError as err:
        raise ValueError(str(err)) from err


def _block(stream: BinaryIO, where: str, name: str, tile: RawTile, seed: int) -> Block:
    """Read where a tile's pixels are."""
    if tile.reason:
        raise WherefromError(tile.reason)
    if no_text(tile.key):
        raise WherefromError("has a name that is no UTF-8")
    latlon = _member(stream, tile, _LATLON)
    if latlon.dtype.kind not in "fiu" or latlon.ndim != 2 or latlon.shape[1] != 2:
        raise WherefromError(f"latlon has shape {latlon.shape}, not (pixels, 2), or no numbers")
    ids = np.char.add(f"{name}:", np.arange(len(latlon)).astype(str))

    def read() -> Cut:
        arrays = {part: _member(stream, tile, part) for part in MEMBERS[:-1]} | {_LATLON: latlon}
        # A pixel's first month is its own, whatever else is read.
        rng = generator("series-months", seed, tile.key)
        with said_of(where):
            made, full = cut(arrays, rng)
        return Cut(np.flatnonzero(full), PixelSeries(**made))

    return Block(where, ids, latlon[:, 1], latlon[:, 0], read, {"tile": name})


def _member(stream: BinaryIO, tile: RawTile, part: str) -> NDArray[Any]:
    at, size = tile.arrays[part]
    stream.seek(at)
    try:
        return read_array(stream.read(size))
    except ValueError as err:
        raise WherefromError(f"member {part} cannot be read: {err}") from err
