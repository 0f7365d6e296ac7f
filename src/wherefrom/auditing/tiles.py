"""Image tiles on disk: which there are, where they lie, and their values counted in bins."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import xy
from rasterio.warp import transform
from rasterio.windows import Window

from wherefrom import parallel
from wherefrom.auditing.bins import BinSpec, robust_range
from wherefrom.auditing.spectral import Spread, histogram, spread_of
from wherefrom.earth.sphere import distance_km
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.progress import progress

__all__ = ["FILE_COLUMNS", "TileCounts", "Tiles", "count_tiles", "find_tiles", "tile_ranges"]

#: Columns of an index that are taken for the tiles' file names, the first that is there.
FILE_COLUMNS = ("fn", "file", "filename", "file_name", "path", "tile", "image")

_SUFFIXES = (".tif", ".tiff")
#: Values of all bands read together.
_STRIP = 1 << 24
#: Pixels of a band at most, when its range is sought: larger tiles are thinned evenly.
_THIN = 1 << 20


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles in the order of their index, or of their names.

    Attributes
    ----------
    ids : ndarray of int64 or str, shape (N,)
    lon, lat : ndarray of float64, shape (N,), or None
        As the index has them; None without an index.
    paths : tuple of Path
    source : str
        What to call them in a message.
    """

    ids: NDArray[Any]
    lon: NDArray[np.float64] | None
    lat: NDArray[np.float64] | None
    paths: tuple[Path, ...]
    source: str


@dataclass(frozen=True, eq=False)
class TileCounts:
    """What one tile holds.

    Attributes
    ----------
    spread : Spread
        Of its bands.
    blank : float
        Share of the pixels that are 0 in all bands though the file declares no absent value.
    lon, lat : float
        Centre by the file's own georeference; NaN if it has none.
    reach_km : float
        From the centre to a corner.
    """

    spread: Spread
    blank: float
    lon: float
    lat: float
    reach_km: float


def find_tiles(folder: Path | str, index: Path | str | None = None) -> Tiles:
    r"""Find the tiles of a folder.

    Parameters
    ----------
    folder : Path or str
        With GeoTIFFs, at any depth.
    index : Path or str, optional
        Table (CSV or Parquet) with ``lon``, ``lat``, a column of file names (see `FILE_COLUMNS`)
        and, if it likes, ``id``. Default: the only ``.csv`` or ``.parquet`` in the folder; if
        there is none, all tiles in the order of their names, which then are their ids.

    Returns
    -------
    Tiles

    Raises
    ------
    WherefromError
        If the folder has no tiles, or the index is ambiguous, lacks a column, names a file that
        is not there, or holds coordinates that are no places.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.tif", "a.tif"):
    ...     (folder / name).touch()
    >>> _ = (folder / "index.csv").write_text("lon,lat,fn\n13.4,52.5,b.tif\n2.3,48.9,a.tif\n")
    >>> [path.name for path in find_tiles(folder).paths]
    ['b.tif', 'a.tif']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise WherefromError(f"{folder} is not a folder of tiles: name one that holds GeoTIFFs")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not found:
        raise WherefromError(f"{folder} holds no GeoTIFF ({' or '.join(_SUFFIXES)})")
    if index is None:
        tables = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".csv", ".parquet"))
        if len(tables) > 1:
            shown = ", ".join(p.name for p in tables)
            raise WherefromError(f"{folder} holds several tables ({shown}): say which is the index")
        if not tables:
            names = np.array([p.relative_to(folder).as_posix() for p in found])
            return Tiles(names, None, None, tuple(found), str(folder))
        index = tables[0]
    pool = Pool.read(index)
    column = next((name for name in FILE_COLUMNS if name in pool.table.column_names), None)
    if column is None:
        raise WherefromError(
            f"{index} has no column of file names: call it {FILE_COLUMNS[0]!r} "
            f"(or {', '.join(FILE_COLUMNS[1:])})"
        )
    names = pool.table[column].to_pylist()
    paths = _located(folder, found, names, f"{index}, column {column!r}")
    return Tiles(pool.ids, pool.lon, pool.lat, paths, str(folder))


def tile_ranges(tiles: Tiles, *, absent: float | None = None) -> NDArray[np.float64]:
    """Find the range of each band of each tile without the outermost 1 % at either end.

    Tiles of more than 2**20 pixels are thinned evenly to about so many.

    Parameters
    ----------
    tiles : Tiles
    absent : float, optional
        Value that marks absence; default: what each file declares.

    Returns
    -------
    (N, bands, 2) float64 array

    Raises
    ------
    WherefromError
        As `count_tiles`.
    """
    work = partial(_range_of, absent=absent)
    return np.stack(_each(tiles, work, "ranges of tiles", lambda found: len(found)))


def count_tiles(tiles: Tiles, bins: BinSpec, *, absent: float | None = None) -> list[TileCounts]:
    """Count the values of each tile in bins.

    Parameters
    ----------
    tiles : Tiles
    bins : BinSpec
    absent : float, optional
        Value that marks absence; default: what each file declares.

    Returns
    -------
    list of TileCounts
        One for each tile; a large tile is read in strips.

    Raises
    ------
    WherefromError
        If tiles cannot be read (their number, the first row and file), or have other numbers of
        bands than the first, or the bins do not fit them.
    """
    work = partial(_counts_of, bins=bins, absent=absent)
    return _each(tiles, work, "tiles", lambda found: len(found.spread.top))


@dataclass(frozen=True)
class _Fault:
    """Why a tile could not be read; gathered, so that all are known after one run."""

    reason: str


def _each(
    tiles: Tiles,
    work: Callable[[Path], Any],
    label: str,
    bands_of: Callable[[Any], int],
) -> list[Any]:
    results: list[Any] = []
    faults: list[int] = []
    with progress() as bar, _quiet():
        done = parallel.in_order(work, tiles.paths)
        for row, found in enumerate(bar.track(done, len(tiles.paths), description=label)):
            results.append(found)
            if isinstance(found, _Fault):
                faults.append(row)
    if faults:
        first = faults[0]
        raise WherefromError(
            f"{len(faults):,} of {len(results):,} tiles cannot be read (first: row {first}, "
            f"{tiles.paths[first]}: {results[first].reason}): copy them again or drop their rows"
        )
    due = bands_of(results[0])
    for row, found in enumerate(results):
        if bands_of(found) != due:
            raise WherefromError(
                f"row {row}, {tiles.paths[row]} has {bands_of(found)} bands, the first tile {due}: "
                "give tiles of equal bands"
            )
    return results


def _counts_of(path: Path, bins: BinSpec, absent: float | None) -> TileCounts | _Fault:
    try:
        with rasterio.open(path) as tile:
            gone = tile.nodata if absent is None else absent
            counts: NDArray[np.int64] | None = None
            blank = 0
            for window in _strips(tile):
                values = tile.read(window=window)
                # 0 is what mosaics and warps fill with, often without saying so.
                blank += 0 if gone is not None else int((~values.any(axis=0)).sum())
                part = histogram(values.reshape(len(values), -1), bins, absent=gone)
                counts = part if counts is None else counts + part
            assert counts is not None
            return TileCounts(spread_of(counts), blank / (tile.height * tile.width), *_centre(tile))
    except (RasterioError, OSError) as err:
        return _Fault(_first_line(err))


def _range_of(path: Path, absent: float | None) -> NDArray[np.float64] | _Fault:
    try:
        with rasterio.open(path) as tile:
            thin = max(1, int(np.ceil(np.sqrt(tile.height * tile.width / _THIN))))
            shape = (tile.count, max(1, tile.height // thin), max(1, tile.width // thin))
            values = tile.read(out_shape=shape)  # nearest neighbours: values that occur
            gone = tile.nodata if absent is None else absent
            return robust_range(values.reshape(tile.count, -1), absent=gone)
    except (RasterioError, OSError) as err:
        return _Fault(_first_line(err))


def _strips(tile: Any) -> Iterator[Window]:
    rows = max(1, _STRIP // (tile.count * tile.width))
    for top in range(0, tile.height, rows):
        yield Window(0, top, tile.width, min(rows, tile.height - top))


def _centre(tile: Any) -> tuple[float, float, float]:
    """Return longitude and latitude of the centre, and the distance to the farthest corner."""
    if tile.crs is None:
        return float("nan"), float("nan"), float("nan")
    height, width = tile.height, tile.width
    rows, columns = (height / 2, 0, 0, height, height), (width / 2, 0, width, 0, width)
    x, y = xy(tile.transform, rows, columns, offset="ul")
    lon, lat = transform(tile.crs, "OGC:CRS84", x, y)
    reach = distance_km(lon[0], lat[0], np.array(lon[1:]), np.array(lat[1:]))
    return float(lon[0]), float(lat[0]), float(np.max(reach))


def _located(
    folder: Path, found: Sequence[Path], names: Sequence[Any], where: str
) -> tuple[Path, ...]:
    """Find each named file, by its path below the folder, else by its plain name at any depth."""
    by_path = {p.relative_to(folder).as_posix(): p for p in found}
    by_name: dict[str, list[Path]] = {}
    for path in found:
        by_name.setdefault(path.name, []).append(path)
    paths: list[Path] = []
    absent: list[int] = []
    for row, name in enumerate(names):
        here = by_path.get(str(name))
        same = by_name.get(Path(str(name)).name, [])
        if here is None and len(same) > 1:
            raise WherefromError(
                f"{where}: {name!r} in row {row} is in {len(same)} folders below {folder}: write "
                "paths below that folder"
            )
        if here is None and not same:
            absent.append(row)
        else:
            paths.append(here or same[0])
    if absent:
        raise WherefromError(
            f"{where}: {len(absent):,} of {len(names):,} files are not below {folder} (first: row "
            f"{absent[0]}, {names[absent[0]]!r}): fetch them or drop their rows"
        )
    return tuple(paths)


def _first_line(err: Exception) -> str:
    """Return the innermost reason: rasterio's own error only says that a read failed."""
    inner = err.__cause__ or err
    return (str(inner).splitlines() or [type(err).__name__])[0][:200].rstrip(". ")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what rasterio says of tiles without georeference: the index has their places."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
