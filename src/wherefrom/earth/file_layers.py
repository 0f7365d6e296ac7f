"""Layers of the user's own files: polygons by a column, ``zones.gpkg:zone``, or a raster's band."""

from __future__ import annotations

import multiprocessing
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from wherefrom.earth.areas import columns_of, positions, read_areas
from wherefrom.earth.base import Degrees, Layer, ValueLayer
from wherefrom.earth.catalog import DataFile, Source
from wherefrom.earth.fetch import checksum
from wherefrom.earth.kept import polygon_index
from wherefrom.earth.lookup import PolygonIndex
from wherefrom.earth.pixels import Pixels, read_band
from wherefrom.errors import WherefromError
from wherefrom.keys import key_of
from wherefrom.progress import say

__all__ = ["ENDINGS", "FileName", "file_layer", "file_name_of"]

#: Endings that tell the name of a file that is not there from that of a module.
ENDINGS = {
    ".fgb", ".geojson", ".geoparquet", ".gml", ".gpkg", ".json", ".kml", ".parquet", ".pq", ".shp",
    ".zip", ".asc", ".img", ".nc", ".tif", ".tiff", ".vrt",
}  # fmt: skip
#: Vertices up to which polygons are tried for overlap.
_FEW = 200_000
_VERSION = 1


class FileName(NamedTuple):
    """A file, and what of it: the name of a column, the number of a band, or nothing."""

    path: Path
    part: str


def file_name_of(name: str) -> FileName | None:
    """Part the name of a layer into a file and what of it; None if it is no file's.

    It is where there is such a file with an ending; and, so that a misspelt file is called one,
    where the name has a slash or an ending that files of layers have.

    Examples
    --------
    >>> file_name_of("data/zones.gpkg:zone"), file_name_of("mypackage.bands:LatitudeBands")
    (FileName(path=PosixPath('data/zones.gpkg'), part='zone'), None)
    """
    cuts = [*(found.start() for found in re.finditer(":", name)), len(name)]
    named = [FileName(Path(name[:cut]), name[cut + 1 :]) for cut in cuts]
    for one in named:
        if ("/" in name or one.path.suffix) and one.path.is_file():
            return one
    for one in named:
        if one.path.suffix.lower() in ENDINGS:
            return one
    return named[0] if "/" in name else None


def file_layer(name: str, file: FileName) -> Layer | ValueLayer:
    """Open the layer of a file; the same file of the same time of change is read once.

    Raises
    ------
    WherefromError
        If there is no such file, column or band, or it cannot be a layer.
    """
    try:
        facts = file.path.stat()
    except OSError:
        raise WherefromError(f"layer {name}: there is no file {file.path}") from None
    if not file.path.is_file():
        raise WherefromError(f"layer {name}: {file.path} is a folder: name a file")
    return _opened(name, file, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=8)
def _opened(name: str, file: FileName, mtime_ns: int, size: int) -> Layer | ValueLayer:
    who = f"layer {name}"
    if (file.part or "1").isdecimal() and _is_raster(file.path):
        band = read_band(file.path, int(file.part or 1), who)
        files = [Path(one) for one in band.files] or [file.path]
        key, source = _key(files, "band", file.part or "1"), (_source(file.path, size),)
        if band.labels is None:
            return ValueLayer(name, band.units, source, key, band.pixels)
        return Layer(name, band.labels, source, key, _Codes(band.pixels))
    if not file.part:
        raise WherefromError(
            f"{who}: say whose values are the labels, {file.path}:COLUMN; it has "
            f"{', '.join(_columns(file.path, who)) or 'no column'}"
        )
    areas = read_areas(file.path, who, file.part)
    assert areas.values is not None
    texts = np.array(_texts(areas.values, file.part, who), dtype=object)[areas.rows]
    told = np.flatnonzero(texts != "")  # a polygon without a label tells nothing
    labels = _ordered(set(texts[told].tolist()))
    code = {label: at for at, label in enumerate(labels)}
    code_of = np.array([*(code[text] for text in texts[told]), -1], dtype=np.int32)
    key = _key(_beside(file.path), "column", file.part)
    index = polygon_index(file.path.name, list(areas.polygons[told]), key)
    _tell_overlaps(who, index.polygons, code_of)
    return Layer(name, labels, (_source(file.path, size),), key, _Zones(index, code_of))


@dataclass(frozen=True, eq=False)
class _Zones:
    """Codes of places: position of the polygon -> code."""

    polygons: PolygonIndex
    code_of: NDArray[np.int32]

    def __call__(self, lon: Degrees, lat: Degrees) -> NDArray[np.int32]:
        # Position -1 picks the last entry.
        return np.asarray(self.code_of[positions(self.polygons, lon, lat)])

    def shapes(self, code: int) -> NDArray[Any]:
        """Return the polygons of a code."""
        return np.asarray(self.polygons.polygons[self.code_of[:-1] == code])


@dataclass(frozen=True, eq=False)
class _Codes:
    """Codes of places: those of the pixels, as every layer has them."""

    pixels: Pixels

    def __call__(self, lon: Degrees, lat: Degrees) -> NDArray[np.int32]:
        return np.asarray(self.pixels(lon, lat).astype(np.int32))

    def boxes(self, code: int) -> NDArray[np.float64]:
        """Return boxes that hold a code's pixels together."""
        return self.pixels.boxes(code)


def _is_raster(path: Path) -> bool:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.open(path) as opened,
        ):
            return bool(opened.count)
    except RasterioError:
        return False


def _columns(path: Path, who: str) -> list[str]:
    import pyarrow as pa
    import pyogrio

    try:
        return columns_of(path)
    except (
        pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pa.ArrowException, OSError,
    ) as err:  # fmt: skip
        raise WherefromError(f"{who}: it cannot be read: {err}") from err


def _texts(values: NDArray[Any], column: str, who: str) -> list[str]:
    """Write the values of a column as labels; "" for none."""

    def text(value: Any) -> str:
        if value is None or value != value:  # NaN, or no time
            return ""
        if isinstance(value, float | np.floating):
            if not float(value).is_integer():
                raise WherefromError(
                    f"{who}: column {column!r} holds {value:g}, and labels are text or whole "
                    "numbers: cut values into classes first"
                )
            value = int(value)
        return str(value) if str(value).strip() else ""

    return [text(value) for value in values]


def _ordered(labels: set[str]) -> tuple[str, ...]:
    """Sort labels: numbers by size, text by code points."""
    if all(re.fullmatch(r"-?[0-9]+", label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def _beside(path: Path) -> list[Path]:
    """Return the files that a file of polygons is made of: a shapefile has several."""
    if path.suffix.lower() != ".shp":
        return [path]
    return [path, *filter(Path.is_file, map(path.with_suffix, (".dbf", ".prj", ".cpg")))]


def _key(files: Sequence[Path], what: str, part: str) -> str:
    """Hash what decides the answers: contents, never names, so that a moved file is the same."""
    sums = [checksum(file.absolute()) for file in files if file.is_file()]
    return key_of({"version": _VERSION, "files": sums, what: part})


def _source(path: Path, size: int) -> Source:
    return Source(
        name=path.name,
        title=f"{path.name}, a file of your own",
        kind="own",
        default=False,
        address=str(path),
        licence="unknown",
        citation=path.name,
        files=(DataFile(member=path.name, bytes=size, sha256=checksum(path.absolute())),),
    )


def _tell_overlaps(who: str, polygons: NDArray[Any], code_of: NDArray[np.int32]) -> None:
    """Say once how many polygons share ground with one of another label, unless that takes long."""
    if multiprocessing.parent_process() is not None:
        return
    if int(shapely.get_num_coordinates(polygons).sum()) > _FEW:
        return
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    differ = (one < other) & (code_of[one] != code_of[other])
    one, other = one[differ], other[differ]
    both = shapely.relate_pattern(polygons[one], polygons[other], "T********")
    if both.any():
        count = len(np.union1d(one[both], other[both]))
        say(
            f"note: {who}: {count:,} of {len(polygons):,} polygons overlap one of another label; "
            "there the first in the file counts"
        )
