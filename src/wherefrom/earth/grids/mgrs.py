"""Squares of the Military Grid Reference System, and Sentinel-2's tiles, named by them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from wherefrom.earth.coordinates import moved
from wherefrom.earth.grids.base import Floats, Grid, Shapes, Texts, parted
from wherefrom.earth.grids.rings import polygons
from wherefrom.earth.sphere import wrap_lon

__all__ = ["Mgrs"]

Ints = NDArray[np.int64]

_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS, _ROWS = "ABCDEFGHJKLMNPQRSTUVWXYZ", "ABCDEFGHJKLMNPQRSTUV"
#: Metres: a square, the side of a tile, and what its upper left corner is a multiple of.
_SQUARE, _TILE, _STEP = 100_000, 109_800, 60
#: Squares from the equator that the outermost tiles of Sentinel-2 are.
_OUTERMOST = 93
#: Metres of a piece of an edge: as a straight line of degrees it is true to 10 m up to 85°.
_PIECE = 7000
#: A zone and its central meridian, for all: they differ by their longitudes alone.
_CRS, _DEGREES, _MERIDIAN = "EPSG:32631", "OGC:CRS84", 3.0
_NOWHERE = (90.0, -90.0)
#: Zones of bands V and X that are not 6 degrees wide: degrees from their central meridian. That of
#: 31V, which ends at 3° E in MGRS, has tiles to 6° E.
_WIDE = {
    (32, "V"): (-6.0, 3.0),
    (31, "X"): (-3.0, 6.0),
    (33, "X"): (-6.0, 6.0),
    (35, "X"): (-6.0, 6.0),
    (37, "X"): (-6.0, 3.0),
    (32, "X"): _NOWHERE,
    (34, "X"): _NOWHERE,
    (36, "X"): _NOWHERE,
}


class Mgrs(Grid):
    """Sentinel-2's tiles such as 31UFU, and squares of MGRS of 10 km to 1 m such as 31UFU1234.

    A tile is a square of 100 km of MGRS (UTM zone, band of latitude, column and row) and 9.8 km
    more towards east and south: 109.8 km from the upper left corner of the square, put on a
    multiple of 60 m outwards. Tiles go from 84° S to 84.6° N; of squares at the edge of a zone some
    are no tile, since those of the next zone hold their land. A leading T and lower case are read.
    A square that two bands share has two names in MGRS, both are read; a tile's band is that of its
    middle. No square is cut at the edge of its zone. What MGRS names otherwise, beyond 80° S and
    84° N (bands A, B, Y, Z), is refused.

    Attributes
    ----------
    tiles : bool
        Whether five letters name a Sentinel-2 tile, or else the square of 100 km.

    Examples
    --------
    >>> Mgrs().cells([5.0], [52.0]).tolist()
    ['31UFT']
    >>> [round(edge, 3) for edge in Mgrs().shapes(["T31UFT"])[0].bounds]
    [4.436, 51.325, 6.078, 52.341]
    """

    example: ClassVar[str] = "31UFU"
    looks: ClassVar[str] = "a UTM zone, a band of latitude, a column and a row of it"
    without: ClassVar[str] = "it ends towards the poles"

    kind: str = "mgrs"
    tiles: bool = True

    def outlines(self, ids: pa.Array) -> Shapes:
        """Return the squares."""
        found = parted(
            pc.utf8_upper(ids),
            rf"T?(?P<zone>0?[1-9]|[1-5]\d|60)(?P<band>[{_BANDS}])(?P<column>[{_COLUMNS}])"
            rf"(?P<row>[{_ROWS}])(?P<digits>(?:\d\d){{0,5}})",
        )
        cells = np.full(len(ids), None, dtype=object)
        length = np.asarray(pc.fill_null(pc.binary_length(found["digits"]), -1))
        for precision in range(6):
            these = np.flatnonzero(length == 2 * precision)
            if len(these):
                own = {name: part.take(pa.array(these)) for name, part in found.items()}
                cells[these] = self._squares(own, precision)
        return cells

    def names(self, lon: Floats, lat: Floats) -> Texts:
        """Return the tiles, or squares of 100 km, of the zones that places lie in."""
        if self.tiles:
            # A tile's band is that of its middle. The odd zones of V and X hold where the tile in
            # them is of V or X, also a little beyond the latitudes of these.
            odd = _zone(lon, np.select([lat < 52.0, lat < 68.0], [0.0, 60.0], 78.0))
            zone = _zone(lon, 8.0 * _band_of(_square(lon, lat, odd)[1]) - 76.0)
        else:
            zone = _zone(lon, lat)
        column, row = _square(lon, lat, zone)
        if self.tiles:
            band, fine = _band_of(row), np.abs(row) <= _OUTERMOST
        else:
            band, fine = _band(lat), (lat >= -80.0) & (lat <= 84.0)
        letter, first = 8 * ((zone - 1) % 3) + column - 1, (row + 5 * (zone % 2 == 0)) % len(_ROWS)
        each = zip(*(one.tolist() for one in (zone, band, letter, first, fine)), strict=True)
        names = [
            f"{z:02d}{_BANDS[b]}{_COLUMNS[c]}{_ROWS[r]}" if there else ""
            for z, b, c, r, there in each
        ]
        return np.array(names, dtype=np.str_)

    def _squares(self, found: dict[str, pa.Array], precision: int) -> Shapes:
        """Return the squares of ids that have so many digits a side."""
        zone = np.asarray(found["zone"].cast(pa.int64()))
        band, letter, first = (
            _at(found[part], letters)
            for part, letters in (("band", _BANDS), ("column", _COLUMNS), ("row", _ROWS))
        )
        column = letter - 8 * ((zone - 1) % 3) + 1
        south = np.where(band == 0, -90.0, 8.0 * band - 80.0)
        north = np.where(band == len(_BANDS) - 1, 90.0, 8.0 * band - 72.0)
        # Rows repeat every 20 squares: the one nearest to the middle of the band, 111 km a degree.
        row = (first - 5 * (zone % 2 == 0)) % len(_ROWS)
        middle = np.clip((south + north) / 2.0, -78.0, 78.0) * 1.11 - 0.5
        row += len(_ROWS) * np.round((middle - row) / len(_ROWS)).astype(np.int64)
        x, y, side = np.clip(column, 1, 8) * _SQUARE, row * _SQUARE, _SQUARE // 10**precision
        if precision:
            for start, corner in ((0, x), (precision, y)):
                digits = pc.utf8_slice_codeunits(found["digits"], start, start + precision)
                corner += side * np.asarray(digits.cast(pa.int64()))
        elif self.tiles:
            x, y, side = x // _STEP * _STEP, -(-(y + _SQUARE) // _STEP) * _STEP - _TILE, _TILE
        # Few differ but by their zone.
        key, same = np.unique((y + 10**8) * 10**6 + x, return_inverse=True)
        lon, lat = _ring(key % 10**6, key // 10**6 - 10**8, side)
        lon, lat = lon[same], lat[same]
        west, east = _reach(zone, band)
        fine = (column >= 1) & (column <= 8) & (np.abs(row) <= _OUTERMOST)
        fine &= (lon.max(axis=1) > west) & (lon.min(axis=1) < east)
        fine &= (lat.max(axis=1) > south) & (lat.min(axis=1) < north)
        cells = np.full(len(zone), None, dtype=object)
        cells[fine] = polygons(wrap_lon(lon[fine] + _meridian(zone[fine])[:, None]), lat[fine])
        return cells


def _meridian(zone: Ints) -> Floats:
    return np.asarray(6.0 * zone - 183.0, dtype=np.float64)


def _zone(lon: Floats, lat: ArrayLike) -> Ints:
    """Return the UTM zones of places; those about Norway and Svalbard are of odd widths."""
    lat, zone = np.asarray(lat), np.asarray(lon // 6.0 + 31.0, dtype=np.int64)
    zone[(lat >= 56.0) & (lat < 64.0) & (lon >= 3.0) & (lon < 12.0)] = 32
    svalbard = (lat >= 72.0) & (lon >= 0.0) & (lon < 42.0)
    zone[svalbard] = 31 + 2 * np.digitize(lon[svalbard], [9.0, 21.0, 33.0])
    return zone


def _square(lon: Floats, lat: Floats, zone: Ints) -> tuple[Ints, Ints]:
    """Return the columns of squares, and their rows from the equator, in a zone."""
    x, y = moved(_DEGREES, _CRS, lon - _meridian(zone) + _MERIDIAN, lat)
    return np.floor(x / _SQUARE).astype(np.int64), np.floor(y / _SQUARE).astype(np.int64)


def _band_of(row: Ints) -> Ints:
    """Return the bands of the middles of squares on the central meridian."""
    north = np.asarray((row + 0.5) * _SQUARE, dtype=np.float64)
    return _band(_unprojected(np.full(len(row), 500_000.0), north)[1])


def _band(lat: Floats) -> Ints:
    """Return bands: the outermost reach to the poles."""
    return np.clip(np.floor(lat / 8.0) + 10.0, 0, len(_BANDS) - 1).astype(np.int64)


def _reach(zone: Ints, band: Ints) -> tuple[Floats, Floats]:
    """Return how far zones reach, degrees from their central meridians."""
    west, east = np.full(len(zone), -3.0), np.full(len(zone), 3.0)
    for (own, letter), edges in _WIDE.items():
        these = (zone == own) & (band == _BANDS.index(letter))
        west[these], east[these] = edges
    return west, east


def _at(letters: pa.Array, alphabet: str) -> Ints:
    """Return where letters stand in an alphabet."""
    return np.asarray(pc.index_in(letters, pa.array(list(alphabet), letters.type)), dtype=np.int64)


def _ring(x: Ints, y: Ints, side: int) -> tuple[Floats, Floats]:
    """Return the outlines of squares, degrees from the central meridian and north, (N, V)."""
    pieces = -(-side // _PIECE)
    along = np.arange(pieces) / pieces
    ahead, no, all_ = side * along, np.zeros(pieces), np.full(pieces, float(side))
    over = x[:, None] + np.concatenate([ahead, all_, side - ahead, no])
    up = y[:, None] + np.concatenate([no, ahead, all_, side - ahead])
    lon, lat = _unprojected(over.ravel(), up.ravel())
    return lon.reshape(over.shape), lat.reshape(over.shape)


def _unprojected(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return degrees from the central meridian and north."""
    lon, lat = moved(_CRS, _DEGREES, x, y)
    return lon - _MERIDIAN, lat
