"""A part of the Earth: a label of a layer, a box or the polygons of a file, and its land."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wherefrom import parallel
from wherefrom.earth.areas import positions, read_areas, within_180
from wherefrom.earth.base import Layer
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.land import cells_on_land, codes_of
from wherefrom.earth.layers import layer
from wherefrom.earth.lookup import PolygonIndex
from wherefrom.earth.surfaces import Surface, land_layers, lies_on
from wherefrom.errors import WherefromError

__all__ = ["Extent", "ExtentLand"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Cells of equal area that the land of an extent shall have, and those looked at to find them.
CELLS, LOOKED = 1 << 17, 1 << 20
#: Bands of the first, rough look, and of the finest cells: 10 m.
ROUGH, FINEST = 900, 2_000_000
#: An extent of fewer cells on land has none to compare with.
FEWEST = 100
#: Known labels that an error lists; of more it names the nearest.
LISTED = 20


@dataclass(frozen=True)
class Extent:
    """A part of the Earth, its border included; Antarctica is land in it.

    Made by `of`, of text such as ``country=Kenya``. Equal ones are of equal parts.

    Attributes
    ----------
    text : str
        As it was given.
    layer, label : str
        The layer and its label; empty for a box and polygons.
    wkb : bytes
        Polygons in degrees, well-known binary; empty for a label.
    """

    text: str
    layer: str = ""
    label: str = ""
    wkb: bytes = b""

    @classmethod
    def of(cls, given: str | os.PathLike[str] | Extent) -> Extent:
        """Read ``LAYER=LABEL``, ``box=WEST,SOUTH,EAST,NORTH`` or the name of a file of polygons.

        A box whose west is greater than its east crosses the antimeridian. Files are what GDAL
        reads (GeoJSON, GeoPackage, shapefile, ...) or GeoParquet, in any coordinates that they
        name. A layer may be a file too: ``zones.gpkg:zone=North``.

        Raises
        ------
        WherefromError
            If there is no such layer, label or file, or it holds no polygon.

        Examples
        --------
        >>> Extent.of("box=170,-20,-170,0").holds([175.0, -175.0, 0.0], [-10.0, -10.0, -10.0])
        array([ True,  True, False])
        >>> Extent.of("continent=Afrika")
        Traceback (most recent call last):
        ...
        wherefrom.errors.WherefromError: within='continent=Afrika': layer 'continent' has no label \
'Afrika': did you mean 'Africa'? Known: Africa, Asia, Europe, North America, Oceania, \
South America, Antarctica
        """
        if isinstance(given, Extent):
            return given
        text = os.fspath(given)
        name, equals, value = text.partition("=")
        if text and Path(text).exists():
            return cls(text, wkb=_read(text))
        if equals and name == "box":
            return cls(text, wkb=_box(text, value))
        if equals and name:
            return cls(text, name, _label(text, name, value))
        raise WherefromError(
            f"--within {text}: there is no such file; or give LAYER=LABEL, such as country=Kenya, "
            "or box=WEST,SOUTH,EAST,NORTH"
        )

    def holds(self, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        """Tell which places, degrees within [-180, 180] and [-90, 90], shape (N,), lie in it."""
        if self.layer:
            opened = _opened(self.layer)
            return np.asarray(codes_of(opened, lon, lat) == opened.labels.index(self.label))
        lon, lat = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
        return np.asarray(positions(_index(self.wkb), lon, lat) >= 0)

    @property
    def land(self) -> ExtentLand:
        """Its land, found once."""
        return self.part_on("land")

    def part_on(self, surface: Surface) -> ExtentLand:
        """Return its part on a surface, found once."""
        return _part_of(self, surface)

    def boxes(self) -> Floats:
        """Return boxes that hold it together, west, south, east and north, degrees, (M, 4)."""
        if not self.layer:
            return _bounds(shapely.from_wkb(self.wkb))
        opened = _opened(self.layer)
        code = opened.labels.index(self.label)
        if shapes := getattr(opened.lookup, "shapes", None):
            return _bounds(shapes(code))
        if boxes := getattr(opened.lookup, "boxes", None):
            return np.asarray(boxes(code))
        # A raster, or a layer of someone else: the cells where it is, and those around them.
        cells = EqualAreaCells(ROUGH)
        lon, lat, _ = cells_on_land(ROUGH)
        here = codes_of(opened, lon, lat) == code
        return np.stack(cells.bounds(cells.around(cells.cell(lon[here], lat[here]))), axis=1)


@dataclass(frozen=True, eq=False)
class ExtentLand:
    """The land of an extent, or its part on another surface, in cells of equal area.

    Attributes
    ----------
    extent : Extent
    cells : EqualAreaCells
    inside : ndarray of int64, shape (M,)
        Cells whose middle is on land of the extent.
    extent_km2 : float
        Area of the extent, with what is no land.
    """

    extent: Extent
    cells: EqualAreaCells
    inside: Ints
    extent_km2: float
    surface: Surface = "land"

    @property
    def none(self) -> bool:
        """Whether there is too little land to compare anything with."""
        return len(self.inside) < FEWEST

    @property
    def area_km2(self) -> float:
        """Area of the land."""
        return len(self.inside) * self.cells.area_km2

    def uniform(self, places: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw places uniformly by area on the land, degrees.

        From the cells whose middle is in it and those around them, so that an island smaller than
        a cell and apart from all others has none.
        """
        kept: list[tuple[Floats, Floats]] = []
        found = 0
        west, south, east, north = self._edges
        while found < places:
            size = int((places - found) * 1.2) + 64
            at = rng.integers(len(west), size=size)
            lon = west[at] + (east - west)[at] * rng.random(size)
            sine = south[at] + (north - south)[at] * rng.random(size)
            lat = np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))
            inside = _on(self.surface, self.extent, lon, lat)
            kept.append((lon[inside], lat[inside]))
            found += int(inside.sum())
        lon, lat = (np.concatenate(both)[:places] for both in zip(*kept, strict=True))
        return lon, lat

    @cached_property
    def _edges(self) -> tuple[Floats, Floats, Floats, Floats]:
        """West and east, degrees, and sines of south and north of all cells that may hold land."""
        west, south, east, north = self.cells.bounds(self.cells.around(self.inside))
        return west, np.sin(np.radians(south)), east, np.sin(np.radians(north))


@lru_cache(maxsize=4)
def _part_of(extent: Extent, surface: Surface) -> ExtentLand:
    """Find the land, or what else, by two looks: the first tells how fine the cells must be."""
    boxes = extent.boxes()
    if not len(boxes):
        return ExtentLand(extent, EqualAreaCells(ROUGH), np.zeros(0, dtype=np.int64), 0.0, surface)
    sines = np.sin(np.radians(boxes[:, [1, 3]]))
    share = float(((boxes[:, 2] - boxes[:, 0]) / 360.0 * (sines[:, 1] - sines[:, 0]) / 2.0).sum())
    wanted, found = CELLS, 0
    while True:
        bands = np.sqrt(wanted / max(share, 1e-30) * np.pi / 4.0)
        cells = EqualAreaCells(int(np.clip(bands, ROUGH / 10, FINEST)))
        looked = cells.meeting(*boxes.T)
        lon, lat = cells.centre(looked)
        own = _held(extent, lon, lat)
        looked, lon, lat = looked[own], lon[own], lat[own]
        inside = looked[lies_on(surface, lon, lat)]
        found = len(inside)
        if found >= CELLS / 2 or wanted >= LOOKED or bands >= FINEST:
            return ExtentLand(extent, cells, inside, len(looked) * cells.area_km2, surface)
        wanted = int(min(LOOKED, 1.1 * wanted * CELLS / max(found, 1)))


def _on(surface: Surface, extent: Extent, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    inside = _held(extent, lon, lat)
    inside[inside] = lies_on(surface, lon[inside], lat[inside], layers=land_layers())
    return inside


def _held(extent: Extent, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    """Look up many places on all cores."""
    pieces = [slice(at, at + (1 << 18)) for at in range(0, len(lon), 1 << 18)]
    found = parallel.here(lambda piece: extent.holds(lon[piece], lat[piece]), pieces)
    return np.concatenate([np.zeros(0, dtype=np.bool_), *found])


@lru_cache(maxsize=4)
def _opened(name: str) -> Layer:
    opened = layer(name)
    assert isinstance(opened, Layer)  # `_label` has seen to that
    return opened


@lru_cache(maxsize=4)
def _index(wkb: bytes) -> PolygonIndex:
    return PolygonIndex(list(shapely.get_parts(shapely.from_wkb(wkb))))


def _bounds(shapes: object) -> Floats:
    """Return the boxes of all parts of polygons."""
    parts = shapely.get_parts(shapely.get_parts(shapes))
    return np.asarray(shapely.bounds(parts[~shapely.is_empty(parts)]), dtype=np.float64)


def _label(text: str, name: str, label: str) -> str:
    """Check that a layer has a label."""
    opened = layer(name)
    if not isinstance(opened, Layer):
        raise WherefromError(f"--within {text}: layer {name!r} holds values, not labels")
    if label not in opened.labels:
        near = _near(label, opened.labels)
        said = f": did you mean {' or '.join(map(repr, near))}?" if near else "."
        if len(opened.labels) <= LISTED:
            said += f" Known: {', '.join(opened.labels)}"
        raise WherefromError(f"--within {text}: layer {name!r} has no label {label!r}{said}")
    return label


def _near(label: str, labels: Sequence[str]) -> list[str]:
    """Return the labels that may be meant: alike, with it among their words, or of its initials."""

    def folded(text: str) -> str:
        plain = unicodedata.normalize("NFKD", text)
        return "".join(each for each in plain if each.isalnum() and each.isascii()).casefold()

    wanted, known = folded(label), {folded(each): each for each in labels}
    close = [known[each] for each in difflib.get_close_matches(wanted, known, n=3, cutoff=0.7)]
    for each in labels if len(wanted) > 1 else ():  # all have an empty text among their words
        initials = folded("".join(word[0] for word in each.split() if word[0].isupper()))
        if wanted in folded(each) or wanted == initials:
            close.append(each)
    return list(dict.fromkeys(close))[:3]


def _box(text: str, given: str) -> bytes:
    try:
        west, south, east, north = map(float, given.split(","))
    except ValueError:
        west = south = east = north = float("nan")
    fine = -90.0 <= south < north <= 90.0 and west != east
    if not (fine and max(abs(west), abs(east)) <= 360.0 and east - west <= 360.0):
        raise WherefromError(
            f"--within {text}: a box is WEST,SOUTH,EAST,NORTH in degrees, south below north; west "
            "is greater than east where it crosses the antimeridian"
        )
    box = shapely.box(west, south, east if west < east else east + 360.0, north)
    return _wkb(within_180(np.array([box]), np.zeros(1, dtype=np.int64))[0])


def _read(text: str) -> bytes:
    """Read the polygons of a file, in degrees."""
    return _wkb(read_areas(text, f"--within {text}").polygons)


def _wkb(polygons: NDArray[Any]) -> bytes:
    return bytes(shapely.to_wkb(shapely.MultiPolygon(list(polygons))))
