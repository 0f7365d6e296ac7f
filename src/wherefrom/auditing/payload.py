"""Spectral entropy of the payload of a pool, image tiles or pixel series, sample by sample."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import xy
from rasterio.warp import transform
from rasterio.windows import Window

from wherefrom import parallel
from wherefrom.auditing.spectral import (
    OLMOEARTH,
    BinSpec,
    Floats,
    Ints,
    Spread,
    histogram,
    named_bins,
    robust_range,
    spread,
    spread_of,
)
from wherefrom.earth.sphere import distance_km
from wherefrom.errors import WherefromError, of_the_system, unknown
from wherefrom.pool import Pool
from wherefrom.pool.series import BANDS, PixelSeries
from wherefrom.pool.text import first_line
from wherefrom.progress import progress

__all__ = ["COLUMN", "FILE_COLUMNS", "SampleEntropy", "entropy_of_series", "entropy_of_tiles"]


#: Name of the column that holds the entropies in a pool.
COLUMN = "spectral_entropy"
#: Columns of an index that are taken for the tiles' file names, the first that is there.
FILE_COLUMNS = ("fn", "file", "filename", "file_name", "path", "tile", "image")

_SUFFIXES = (".tif", ".tiff")
#: Values of all bands read together.
_STRIP = 1 << 24
#: Pixels of a band at most, when its range is sought: larger tiles are thinned evenly.
_THIN = 1 << 20
#: Sentinel-2, whose reflectance x 10,000 OlmoEarth's bins are made for.
_REFLECTANCE = tuple(band for band in BANDS if band.startswith("B"))
#: All but the bands that do not change with time, or are computed of others.
_SPECTRAL = tuple(band for band in BANDS if band not in ("elevation", "slope", "NDVI"))
#: Pixels of 0 in all bands from which a tile counts as one with undeclared gaps.
_BLANK = 0.05
#: A tile may lie so far beyond its index's place: rounding of coordinates.
_SLACK_KM = 0.1
#: Share of values beyond the bins from which it is said.
_BEYOND = 0.01
#: Bins of OlmoEarth's that hold all values of a set in another unit (8 bits fill three).
_FEW_BINS = 3
#: Samples of up to so many times the values of others still compare.
_UNEQUAL = 2.0


@dataclass(frozen=True, eq=False)
class SampleEntropy:
    """Spectral entropy of each sample of a set, and where the samples lie.

    Made by :func:`entropy_of_tiles` and :func:`entropy_of_series`.

    Attributes
    ----------
    ids : ndarray of int64 or str, shape (N,)
    lon, lat : ndarray of float64, shape (N,)
        Degrees.
    values : ndarray of float64, shape (N,)
        Spectral entropy in nats; NaN where a sample has none.
    dropped : ndarray of float64, shape (N,)
        Share of the sample's values beyond the bins.
    notes : tuple of str
        What is odd about the samples.
    """

    ids: NDArray[Any]
    lon: Floats
    lat: Floats
    values: Floats
    dropped: Floats
    bins: BinSpec
    bands: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def pool(self) -> Pool:
        """Return the samples as a pool with the column ``spectral_entropy``, null where NaN.

        Raises
        ------
        WherefromError
            If ids repeat or a sample's coordinates are no place.
        """
        table = pa.table({"id": self.ids, "lon": self.lon, "lat": self.lat})
        made = Pool.from_table(table.append_column(COLUMN, self._column(self.values)))
        return replace(made, origin=f"samples of {self.source}")

    def join(self, pool: Pool) -> Pool:
        """Return a pool's places with the column ``spectral_entropy``, matched by id.

        It is null where there is no sample. A column of that name is replaced.

        Raises
        ------
        WherefromError
            If a sample's id is not in the pool, or two samples have the same.

        Examples
        --------
        >>> pool = Pool.from_table(pa.table({"lon": [1.0, 2.0], "lat": [3.0, 4.0]}))
        >>> one = SampleEntropy(np.array([1]), np.array([2.0]), np.array([4.0]), np.array([0.5]),
        ...     np.zeros(1), BinSpec((0.0,), (1.0,)), ("red",), "a test")
        >>> one.join(pool).table[COLUMN].to_pylist()
        [None, 0.5]
        """
        rows = pool.take(self.ids)
        distinct, counts = np.unique(rows, return_counts=True)
        if len(distinct) != len(rows):
            twice = pool.ids[distinct[counts > 1][0]]
            raise WherefromError(f"{self.source}: id {twice} has more than one sample: drop some")
        values = np.full(len(pool), np.nan)
        values[rows] = self.values
        table = pool.table
        if COLUMN in table.column_names:
            table = table.drop_columns(COLUMN)
        return replace(pool, table=table.append_column(COLUMN, self._column(values)))

    def write(self, path: Path | str) -> None:
        """Write `pool` as Parquet: places to draw from by entropy.

        Raises
        ------
        WherefromError
            As `pool`, or if the disk is full or the folder cannot be written.
        """
        self.pool().write(path)

    @staticmethod
    def _column(values: Floats) -> pa.Array:
        return pa.array(values, pa.float64(), from_pandas=True)


def entropy_of_tiles(
    folder: Path | str,
    index: Path | str | None = None,
    bins: str | BinSpec = "olmoearth",
    *,
    absent: float | None = None,
) -> SampleEntropy:
    """Compute the spectral entropy of each image tile of a folder.

    Parameters
    ----------
    folder : Path or str
        With GeoTIFFs, at any depth, all of the same bands.
    index : Path or str, optional
        Table of ``lon``, ``lat``, file names and perhaps ``id``: see
        :func:`find_tiles`. Without one, a tile's place is its centre.
    bins : {"olmoearth", "scale-free"} or BinSpec
        See :func:`wherefrom.auditing.spectral.spectral_entropy`; ``"scale-free"`` reads the tiles
        twice.
    absent : float, optional
        Value that marks absence; default: what each file declares.

    Returns
    -------
    SampleEntropy

    Raises
    ------
    WherefromError
        If tiles are absent, torn or of unequal bands, or no place is known; the message names the
        first row and file.

    Examples
    --------
    >>> import tempfile, rasterio
    >>> folder = Path(tempfile.mkdtemp())
    >>> kind = {"driver": "GTiff", "count": 1, "height": 2, "width": 2, "dtype": "uint16",
    ...         "crs": "OGC:CRS84", "transform": rasterio.transform.from_origin(10, 50, 1, 1)}
    >>> with rasterio.open(folder / "one.tif", "w", **kind) as tile:
    ...     tile.write(np.array([[[120, 190], [2_450, 2_430]]], np.uint16))
    >>> found = entropy_of_tiles(folder)  # two values in each of two bins: ln(2)
    >>> found.values.round(3).tolist(), found.lon.tolist(), found.lat.tolist()
    ([0.693], [11.0], [49.0])
    """
    tiles = find_tiles(folder, index)
    if isinstance(bins, str):
        bins = named_bins(bins, lambda: tile_ranges(tiles, absent=absent))
    found = _each(tiles, partial(_counts_of, bins=bins, absent=absent), "tiles")
    lon, lat, displaced = _places(tiles, found)
    spreads = zip(*(tile.spread for tile in found), strict=True)
    counted = Spread._make(np.stack(each) for each in spreads)
    bands = tuple(f"band {number}" for number in range(1, counted.entropy.shape[1] + 1))
    notes = (*_gaps(np.array([tile.blank for tile in found])), *displaced)
    return _made(tiles.ids, lon, lat, counted, bins, bands, tiles.source, notes)


def entropy_of_series(
    series: PixelSeries | Path | str,
    bins: str | BinSpec = "olmoearth",
    bands: Sequence[str] | None = None,
) -> SampleEntropy:
    """Compute the spectral entropy of each pixel's time series.

    Parameters
    ----------
    series : PixelSeries, Path or str
        The series, or their ``.npz`` file.
    bins : {"olmoearth", "scale-free"} or BinSpec
        See :func:`wherefrom.auditing.spectral.spectral_entropy`.
    bands : sequence of str, optional
        Names of :data:`wherefrom.pool.series.BANDS`. Default: the bands of Sentinel-2 that are
        there for ``"olmoearth"``; otherwise all that are there but elevation and slope, which do
        not change, and NDVI, which is computed of others.

    Returns
    -------
    SampleEntropy
        Ids are row numbers. The entropy of T steps is at most ``ln(T)``.

    Raises
    ------
    WherefromError
        If the file cannot be read, a band is not known, or none is left.

    Examples
    --------
    >>> months = 50.0 + 100.0 * np.arange(12)
    >>> series = PixelSeries.from_bands({"B4": [months, np.full(12, 80.0)]}, [0, 1], [0, 1], 0)
    >>> entropy_of_series(series).values.round(3).tolist()  # ln(12), and one bin alone
    [2.485, 0.0]
    """
    source = "pixel series" if isinstance(series, PixelSeries) else str(series)
    if not isinstance(series, PixelSeries):
        series = PixelSeries.read(series)
    wanted = _bands(series, bins, bands)
    columns = [BANDS.index(name) for name in wanted]
    # A view of (N, bands, T): each band is counted for itself, so that nothing is copied whole.
    values = series.raw.transpose(0, 2, 1)
    each = [values[:, column : column + 1] for column in columns]
    if isinstance(bins, str):
        bins = named_bins(bins, lambda: np.concatenate([robust_range(v) for v in each], axis=1))
    specs = bins.each_band(len(columns))
    parts = [spread(v, spec) for v, spec in zip(each, specs, strict=True)]
    counted = Spread._make(np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    ids = np.arange(len(series), dtype=np.int64)
    return _made(ids, series.lon, series.lat, counted, bins, wanted, source)


def _made(
    ids: Ints,
    lon: Floats,
    lat: Floats,
    counted: Spread,
    bins: BinSpec,
    bands: tuple[str, ...],
    source: str,
    notes: tuple[str, ...] = (),
) -> SampleEntropy:
    beyond = counted.dropped.sum(axis=1)
    with np.errstate(invalid="ignore"):
        dropped = beyond / (counted.inside.sum(axis=1) + beyond)
    entropy, notes = counted.entropy.mean(axis=1), (*_notes(counted, bins), *notes)
    return SampleEntropy(ids, lon, lat, entropy, dropped, bins, bands, source, notes)


def _bands(
    series: PixelSeries, bins: str | BinSpec, bands: Sequence[str] | None
) -> tuple[str, ...]:
    if bands is not None:
        for name in bands:
            if name not in BANDS:
                raise unknown("band", name, BANDS)
            if name not in series.present:
                raise WherefromError(
                    f"band {name} has no value in any series; there are {', '.join(series.present)}"
                )
        if not bands:
            raise WherefromError("bands: name at least one, or leave it out")
        return tuple(bands)
    usable = _REFLECTANCE if bins == "olmoearth" else _SPECTRAL
    found = tuple(name for name in series.present if name in usable)
    if found:
        return found
    only = ", ".join(series.present)
    if bins == "olmoearth":
        raise WherefromError(
            "OlmoEarth's bins are for the reflectance of Sentinel-2, of which these series "
            f"have no band (only {only}): use bins 'scale-free'"
        )
    raise WherefromError(f"these series have only {only}: name the bands to use")


def _notes(counted: Spread, bins: BinSpec) -> tuple[str, ...]:
    """Say what makes the entropies of a set doubtful."""
    notes = []
    without = np.flatnonzero(np.isnan(counted.entropy).any(axis=1))
    if len(without):
        notes.append(
            f"{len(without):,} of {len(counted.entropy):,} samples have a band without a value in "
            f"the bins, so no entropy (first: row {without[0]})"
        )
    inside, dropped = int(counted.inside.sum()), int(counted.dropped.sum())
    share = dropped / max(1, inside + dropped)
    if share > _BEYOND:
        notes.append(
            f"{share:.0%} of the values lie beyond the bins ({bins.low[0]:g} to {bins.high[0]:g}) "
            "and are not counted: bins 'scale-free' count all"
        )
    used = int(counted.top.max(initial=-1)) + 1
    if bins == OLMOEARTH and 1 <= used <= _FEW_BINS:
        notes.append(
            f"all values lie below {used * 100}, in {used} of 100 bins made for reflectance x "
            "10,000: use bins 'scale-free', or multiply the values"
        )
    sizes = counted.inside.sum(axis=1) // counted.inside.shape[1]
    sizes = sizes[sizes > 0]
    if len(sizes) and sizes.max() > _UNEQUAL * sizes.min():
        notes.append(
            f"samples have {sizes.min():,} to {sizes.max():,} values a band: few values give less "
            "entropy of themselves"
        )
    return tuple(notes)


def _gaps(blank: Floats) -> tuple[str, ...]:
    rows = np.flatnonzero(blank > _BLANK)
    if not len(rows):
        return ()
    return (
        f"in {len(rows):,} of {len(blank):,} tiles more than {_BLANK:.0%} of the pixels are 0 in "
        f"all bands, and the files declare no absent value (first: row {rows[0]}, "
        f"{blank[rows[0]]:.0%}): if 0 means absent, say absent=0",
    )


def _places(tiles: Tiles, found: list[TileCounts]) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Return the places of the index, and a note where tiles lie elsewhere; else the tiles' own."""
    lon, lat, reach = (np.array([getattr(t, n) for t in found]) for n in ("lon", "lat", "reach_km"))
    known = np.isfinite(lon) & np.isfinite(lat)
    if tiles.lon is None or tiles.lat is None:
        if not known.all():
            raise WherefromError(
                f"{(~known).sum():,} of {len(found):,} tiles have no georeference (first: "
                f"{tiles.paths[known.argmin()]}): give an index with lon, lat and file names"
            )
        return lon, lat, ()
    away = np.zeros(len(found))
    away[known] = distance_km(lon[known], lat[known], tiles.lon[known], tiles.lat[known])
    off = np.flatnonzero(away > reach + _SLACK_KM)
    if not len(off):
        return tiles.lon, tiles.lat, ()
    row = off[np.argmax(away[off])]
    note = (
        f"{len(off):,} of {known.sum():,} tiles do not cover the place that the index gives "
        f"(worst: row {row}, {tiles.paths[row].name}, {away[row]:,.1f} km away): is the index "
        "another's?"
    )
    return tiles.lon, tiles.lat, (note,)


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles in the order of their index, with its places in degrees, or else of their names."""

    ids: NDArray[Any]
    lon: Floats | None
    lat: Floats | None
    paths: tuple[Path, ...]
    source: str


@dataclass(frozen=True, eq=False)
class TileCounts:
    """What one tile holds, and where its own georeference puts it.

    `blank` is the share of the pixels that are 0 in all bands though the file declares no absent
    value; `lon`, `lat` the centre, NaN without a georeference; `reach_km` goes on to a corner.
    """

    spread: Spread
    blank: float
    lon: float
    lat: float
    reach_km: float

    def __len__(self) -> int:
        """Return the number of bands."""
        return len(self.spread.top)


def find_tiles(folder: Path | str, index: Path | str | None = None) -> Tiles:
    """Find the tiles of a folder, at any depth.

    The index is a table (CSV or Parquet) with ``lon``, ``lat``, a column of file names (see
    `FILE_COLUMNS`) and, if it likes, ``id``. Default: the only ``.csv`` or ``.parquet`` in the
    folder; if there is none, all tiles in the order of their names, which then are their ids.

    Raises
    ------
    WherefromError
        If the folder has no tiles, or the index is ambiguous, lacks a column, names a file that
        is not there, or holds coordinates that are no places.
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


def tile_ranges(tiles: Tiles, *, absent: float | None = None) -> Floats:
    """Find each tile's range of each band, as `robust_range`, shape (N, bands, 2).

    Tiles of more than 2**20 pixels are thinned evenly to about so many.
    """
    return np.stack(_each(tiles, partial(_range_of, absent=absent), "ranges of tiles"))


def _each(tiles: Tiles, work: Callable[[Path], Any], label: str) -> list[Any]:
    """Gather what work finds in each tile, whose length is that of its bands.

    Raises
    ------
    WherefromError
        If tiles cannot be read (their number, the first row and file), or have other numbers of
        bands than the first, or the bins do not fit them.
    """
    # The index has the places of tiles without georeference.
    quiet = warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)
    with progress() as bar, quiet:
        done = parallel.in_order(work, tiles.paths)
        results = list(bar.track(done, len(tiles.paths), description=label))
    faults = [row for row, found in enumerate(results) if isinstance(found, str)]
    if faults:
        first = faults[0]
        raise WherefromError(
            f"{len(faults):,} of {len(results):,} tiles cannot be read (first: row {first}, "
            f"{tiles.paths[first]}: {results[first]}): copy them again or drop their rows"
        )
    due = len(results[0])
    for row, found in enumerate(results):
        if len(found) != due:
            raise WherefromError(
                f"row {row}, {tiles.paths[row]} has {len(found)} bands, the first tile {due}: "
                "give tiles of equal bands"
            )
    return results


def _reason(err: Exception) -> str:
    """Name the innermost reason: rasterio's own error only says that a read failed."""
    if lack := of_the_system(err):  # no fault of the tile
        raise WherefromError(lack) from err
    return first_line(err.__cause__ or err)


def _counts_of(path: Path, bins: BinSpec, absent: float | None) -> TileCounts | str:
    """Count the values of a tile, a large one in strips, or say why it cannot be read."""
    try:
        with rasterio.open(path) as tile:
            gone = tile.nodata if absent is None else absent
            counts = np.zeros((tile.count, bins.count + 2), dtype=np.int64)
            blank = 0
            rows = max(1, _STRIP // (tile.count * tile.width))
            for top in range(0, tile.height, rows):
                window = Window(0, top, tile.width, min(rows, tile.height - top))
                values = tile.read(window=window)
                # 0 is what mosaics and warps fill with, often without saying so.
                blank += 0 if gone is not None else int((~values.any(axis=0)).sum())
                counts += histogram(values.reshape(len(values), -1), bins, absent=gone)
            return TileCounts(spread_of(counts), blank / (tile.height * tile.width), *_centre(tile))
    except (RasterioError, OSError) as err:
        return _reason(err)


def _range_of(path: Path, absent: float | None) -> Floats | str:
    """Find the range of each band of a tile, or say why it cannot be read."""
    try:
        with rasterio.open(path) as tile:
            thin = max(1, int(np.ceil(np.sqrt(tile.height * tile.width / _THIN))))
            shape = (tile.count, max(1, tile.height // thin), max(1, tile.width // thin))
            values = tile.read(out_shape=shape)  # nearest neighbours: values that occur
            gone = tile.nodata if absent is None else absent
            return robust_range(values.reshape(tile.count, -1), absent=gone)
    except (RasterioError, OSError) as err:
        return _reason(err)


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
        same = by_name.get(Path(str(name)).name, []) if here is None else [here]
        if len(same) > 1:
            raise WherefromError(
                f"{where}: {name!r} in row {row} is in {len(same)} folders below {folder}: write "
                "paths below that folder"
            )
        paths += same
        if not same:
            absent.append(row)
    if absent:
        raise WherefromError(
            f"{where}: {len(absent):,} of {len(names):,} files are not below {folder} (first: row "
            f"{absent[0]}, {names[absent[0]]!r}): fetch them or drop their rows"
        )
    return tuple(paths)
