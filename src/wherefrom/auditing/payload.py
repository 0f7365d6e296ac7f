"""Spectral entropy of the payload of a pool: image tiles, or pixel time series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.auditing.bins import OLMOEARTH, BinSpec, named_bins, robust_range
from wherefrom.auditing.entropy import SampleEntropy
from wherefrom.auditing.spectral import Spread, spread
from wherefrom.auditing.tiles import TileCounts, Tiles, count_tiles, find_tiles, tile_ranges
from wherefrom.earth.sphere import distance_km
from wherefrom.errors import WherefromError, unknown
from wherefrom.pool.series import BANDS, PixelSeries

__all__ = ["entropy_of_series", "entropy_of_tiles"]

Floats = NDArray[np.float64]

#: Sentinel-2, whose reflectance x 10,000 OlmoEarth's bins are made for.
_REFLECTANCE = tuple(band for band in BANDS if band.startswith("B"))
#: Bands that do not change with time, or are computed of others.
_NO_SPECTRUM = ("elevation", "slope", "NDVI")
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
        :func:`wherefrom.auditing.tiles.find_tiles`. Without one, a tile's place is its centre.
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
    found = count_tiles(tiles, bins, absent=absent)
    lon, lat = _places(tiles, found)
    counted = _together(np.stack, [tile.spread for tile in found], axis=0)
    bands = tuple(f"band {number}" for number in range(1, counted.entropy.shape[1] + 1))
    notes = (
        *_notes(counted, bins),
        *_gaps(np.array([tile.blank for tile in found])),
        *_displaced(tiles, found),
    )
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
    counted = _together(np.concatenate, parts, axis=1)
    ids = np.arange(len(series), dtype=np.int64)
    notes = _notes(counted, bins)
    return _made(ids, series.lon, series.lat, counted, bins, wanted, source, notes)


def _together(join: Callable[..., Any], parts: Sequence[Spread], axis: int) -> Spread:
    """Join the arrays of several spreads."""
    names = ("entropy", "inside", "dropped", "top")
    return Spread(*(join([getattr(part, name) for part in parts], axis=axis) for name in names))


def _made(
    ids: NDArray[np.int64],
    lon: Floats,
    lat: Floats,
    counted: Spread,
    bins: BinSpec,
    bands: tuple[str, ...],
    source: str,
    notes: tuple[str, ...],
) -> SampleEntropy:
    entropy = counted.entropy.mean(axis=1)
    beyond = counted.dropped.sum(axis=1)
    with np.errstate(invalid="ignore"):
        dropped = beyond / (counted.inside.sum(axis=1) + beyond)
    without = np.flatnonzero(np.isnan(entropy))
    if len(without):
        notes = (
            f"{len(without):,} of {len(entropy):,} samples have a band without a value in the "
            f"bins, so no entropy (first: row {without[0]})",
            *notes,
        )
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
    if bins == "olmoearth":
        found = tuple(name for name in series.present if name in _REFLECTANCE)
        if not found:
            raise WherefromError(
                "OlmoEarth's bins are for the reflectance of Sentinel-2, of which these series "
                f"have no band (only {', '.join(series.present)}): use bins 'scale-free'"
            )
        return found
    found = tuple(name for name in series.present if name not in _NO_SPECTRUM)
    if not found:
        raise WherefromError(
            f"these series have only {', '.join(series.present)}: name the bands to use"
        )
    return found


def _notes(counted: Spread, bins: BinSpec) -> tuple[str, ...]:
    """Say what makes the entropies of a set doubtful."""
    notes = []
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


def _places(tiles: Tiles, found: list[TileCounts]) -> tuple[Floats, Floats]:
    if tiles.lon is not None and tiles.lat is not None:
        return tiles.lon, tiles.lat
    lon = np.array([tile.lon for tile in found])
    lat = np.array([tile.lat for tile in found])
    lost = np.flatnonzero(~np.isfinite(lon) | ~np.isfinite(lat))
    if len(lost):
        raise WherefromError(
            f"{len(lost):,} of {len(found):,} tiles have no georeference (first: "
            f"{tiles.paths[lost[0]]}): give an index with lon, lat and file names"
        )
    return lon, lat


def _displaced(tiles: Tiles, found: list[TileCounts]) -> tuple[str, ...]:
    """Compare the index's places with the tiles' own georeference."""
    if tiles.lon is None or tiles.lat is None:
        return ()
    lon, lat, reach = (np.array([getattr(t, n) for t in found]) for n in ("lon", "lat", "reach_km"))
    known = np.flatnonzero(np.isfinite(lon) & np.isfinite(lat))
    away = distance_km(lon[known], lat[known], tiles.lon[known], tiles.lat[known])
    off = np.flatnonzero(away > reach[known] + _SLACK_KM)
    if not len(off):
        return ()
    worst = off[np.argmax(away[off])]
    row = known[worst]
    return (
        f"{len(off):,} of {len(known):,} tiles do not cover the place that the index gives (worst: "
        f"row {row}, {tiles.paths[row].name}, {away[worst]:,.1f} km away): is the index another's?",
    )
