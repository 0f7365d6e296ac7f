"""Series in files: ``.npz`` of `PixelSeries`, columns of tables, WorldCereal and CropHarvest."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom.errors import WherefromError, unknown
from wherefrom.payload.base import Lost
from wherefrom.payload.columns import numbers_of, parts_of, texts_of
from wherefrom.payload.matching import plain
from wherefrom.payload.series.blocks import Block, Cut
from wherefrom.pool.series import BANDS, NO_CLASS, PixelSeries
from wherefrom.pool.series.harvest_files import Files
from wherefrom.pool.series.pixels import FIELDS
from wherefrom.pool.series.units import check_ndvi, check_units, said_of
from wherefrom.pool.series.worldcereal import dates_of, worldcereal_pixels

__all__ = ["of_cropharvest", "of_npz", "of_table", "of_worldcereal"]

#: Rows of a file that are read at a time.
_AT_ONCE = 16_384
#: Bands that a table may have; NDVI is computed.
_GIVEN = (*BANDS[:-1], "dynamic_world")
_PLAIN = {plain(band): band for band in _GIVEN}


def _whole(series: PixelSeries) -> Cut:
    return Cut(np.arange(len(series)), series)


# Files of PixelSeries.


def of_npz(files: dict[str, Path], lost: Lost) -> Iterator[Block]:
    """Give the rows of files that `PixelSeries.write` made, a number of rows at a time.

    Their ids are numbers of rows; of several files ``NAME:ROW``.
    """
    for name, path in files.items():
        try:
            archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as err:
            lost.add(str(path), f"is not a readable .npz file ({err})")
            continue
        try:
            with archive:
                for start, arrays in _parts(archive):
                    rows = np.arange(start, start + len(arrays["lon"])).astype(str)
                    ids = rows if len(files) == 1 else np.char.add(f"{name}:", rows)
                    where = f"{path} from row {start} on"
                    within = {"file": name} if len(files) > 1 else {}
                    read = partial(_of_arrays, arrays, where)
                    yield Block(where, ids, arrays["lon"], arrays["lat"], read, within)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as err:
            raise WherefromError(
                f"{path} holds no whole pixel series ({err}); write it again by PixelSeries.write"
            ) from err


def _of_arrays(arrays: dict[str, NDArray[Any]], where: str) -> Cut:
    with said_of(where):
        series = PixelSeries(**arrays)
        check_units(series.raw)
        check_ndvi(series.raw)
    return _whole(series)


def _parts(archive: zipfile.ZipFile) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Read some rows of all arrays after the other; the archive checks their sums at the end."""
    with ExitStack() as stack:
        streams = {f: stack.enter_context(archive.open(f"{f}.npy")) for f in FIELDS}
        heads = {name: _head(stream) for name, stream in streams.items()}
        counts = {shape[0] if shape else 0 for shape, _ in heads.values()}
        if len(counts) > 1:
            raise ValueError(f"its arrays have {' and '.join(map(str, sorted(counts)))} rows")
        (count,) = counts
        for start in range(0, count, _AT_ONCE):
            rows = min(_AT_ONCE, count - start)
            arrays = {}
            for name, (shape, dtype) in heads.items():
                size = rows * int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
                content = streams[name].read(size)
                arrays[name] = np.frombuffer(content, dtype).reshape(rows, *shape[1:])
            yield start, arrays
        for stream in streams.values():
            stream.read(1)


def _head(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    if version[0] > 1:
        read = np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(stream)
    if by_columns and len(shape) > 1:
        raise ValueError("an array lies by columns")
    if dtype.hasobject:
        raise ValueError("an array holds objects")
    return shape, dtype


# Tables.


def of_table(path: Path, kind: str, id: str, lon: str, lat: str) -> Iterator[Block]:
    """Give the rows of a table: of each band a column of lists, or one for each step."""
    rows = 0

    def needed(names: list[str]) -> list[str]:
        every = [id, lon, lat, "start_date"]
        for name in every:
            if name not in names:
                raise unknown(f"column of {path}", name, names)
        return every + [name for those in _columns_of(names, path).values() for name in those]

    for part in parts_of(path, kind, needed, id, _AT_ONCE):
        ids = texts_of(part.column(id), id, str(path), rows)
        where = f"{path} from row {rows} on"
        # Of degrees all digits count.
        x, y = (numbers_of(part, [one], str(path), np.float64)[:, 0] for one in (lon, lat))
        read = partial(_of_columns, part, path, where, x, y)
        yield Block(where, ids, x, y, read)
        rows += len(part)


def _columns_of(names: list[str], path: Path) -> dict[str, list[str]]:
    """Say which columns hold a band's values: one, or one for each step; b04 is B4."""
    given: dict[str, dict[int, str]] = {}  # columns by step, of a whole band by -1
    for name in names:
        match = re.fullmatch(r"(.+)_([0-9]+)", name)
        whole = plain(name) in _PLAIN or match is None
        band, step = (name, -1) if whole else (match[1], int(match[2]))  # type: ignore[index]
        if plain(band) not in _PLAIN:
            continue
        steps = given.setdefault(_PLAIN[plain(band)], {})
        if other := steps.get(step):
            raise WherefromError(f"{path} has columns {other} and {name}: one of them is the band")
        steps[step] = name
    found: dict[str, list[str]] = {}
    for band in filter(given.get, _GIVEN):
        steps = given[band]
        if -1 in steps and len(steps) > 1:
            one, other = steps.pop(-1), steps[min(steps)]
            raise WherefromError(f"{path} has columns {one} and {other}: one of them is the band")
        if -1 not in steps and (lacking := set(range(max(steps) + 1)) - set(steps)):
            raise WherefromError(
                f"{path} lacks the column {band}_{min(lacking)}: steps count from 0"
            )
        found[band] = [steps[step] for step in sorted(steps)]
    if not found.keys() - {"dynamic_world"}:
        raise WherefromError(
            f"{path} has no column of a band: name them as {BANDS[2]} (lists of its values) or "
            f"{BANDS[2]}_0, {BANDS[2]}_1, ... (one a step), bands being {', '.join(_GIVEN)}"
        )
    return found


def _of_columns(
    part: pa.Table, path: Path, where: str, lon: NDArray[Any], lat: NDArray[Any]
) -> Cut:
    with said_of(where):
        columns = _columns_of(part.column_names, path)
        bands = {band: numbers_of(part, names, str(path)) for band, names in columns.items()}
        classes = bands.pop("dynamic_world", None)
        if classes is not None:
            classes = np.where(np.isnan(classes), NO_CLASS, classes)
        # A single value, such as a height, is that of all steps.
        given = {band: v[:, 0] if v.shape[1] == 1 else v for band, v in bands.items()}
        first = dates_of(part, path, "start_date").astype("datetime64[M]").astype(np.int64) % 12
        return _whole(PixelSeries.from_bands(given, lon, lat, first, classes))


def of_worldcereal(path: Path, id: str | None) -> Iterator[Block]:
    """Give the pixels of a WorldCereal table; its `sample_id`, if there is one, is their id."""
    pixels, series = worldcereal_pixels(path)
    name = id or "sample_id"
    if pixels.samples is not None and name == "sample_id":
        ids = np.asarray(pixels.samples).astype(str)
    elif name in pixels.table.column_names:
        ids = texts_of(pixels.table.column(name).take(pixels.rows), name, str(path), 0)
    elif id is None:
        ids = pixels.rows.astype(str)
    else:
        raise unknown(f"id column of {path}", id, pixels.table.column_names)
    yield Block(str(path), ids, series.lon, series.lat, lambda: _whole(series))


def of_cropharvest(folder: Path, ids: NDArray[Any] | None) -> Iterator[Block]:
    """Give the series of CropHarvest's labels, named INDEX_DATASET, but for those of its tests."""
    files = Files.of(folder)
    names = {label.file for label in files.labels() if not label.is_test}
    if ids is not None:
        names &= set(ids.astype(str).tolist())
    arrays = files.arrays(names)
    if not arrays:
        return
    series = files.series(arrays, list(arrays))
    ids = np.array(list(arrays))
    yield Block(str(folder), ids, series.lon, series.lat, lambda: _whole(series))
