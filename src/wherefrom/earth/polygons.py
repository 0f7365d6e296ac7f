"""Polygon layers: countries and continents of Natural Earth, ecoregions and biomes of RESOLVE.

Continents are Natural Earth's CONTINENT, mended where it would mislead a study of regions:

* "Seven seas (open ocean)" is no continent. Its nine island groups get the continent of the UN
  region in the same file (REGION_UN); for the Americas, where the UN has one region: South Georgia
  goes to South America, Clipperton to North America. Kerguelen and Heard Island are Africa to the
  UN, and stay so.
* Overseas parts that Natural Earth keeps inside their state go where they lie: French Guiana to
  South America; Guadeloupe, Martinique and the Caribbean Netherlands to North America; Reunion and
  Mayotte to Africa; Bouvet Island to Antarctica. The other islands of a state (Hawaii, Canaries,
  Azores, Easter Island) stay with it.
* Russia is Europe, as in Natural Earth. Split, it is Asia east of `URALS`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from wherefrom.earth.base import UnopenedLayer
from wherefrom.earth.fetch import digest_of, path_of
from wherefrom.earth.kept import polygon_index
from wherefrom.earth.lookup import PolygonIndex
from wherefrom.errors import WherefromError

__all__ = [
    "BIOME",
    "CONTINENT",
    "CONTINENTS",
    "COUNTRY",
    "ECOREGION",
    "LAND",
    "URALS",
    "read_shapes",
    "refuse_torn",
]

_COUNTRIES, _ECOREGIONS = "natural-earth-countries", "resolve-ecoregions"

#: The six of the study; the layer has Antarctica as a seventh label.
CONTINENTS = ("Africa", "Asia", "Europe", "North America", "Oceania", "South America")
_CONTINENT_LABELS = (*CONTINENTS, "Antarctica")

#: Russia's border of Europe and Asia as (lon, lat) from north to south: east of Novaya Zemlya, the
#: watershed of the Ural mountains by its summits, then the river Ural from its source to the
#: Caspian, as most atlases draw it. These are 21 points of ours between well-known summits and
#: towns, so the line may be some 20 km off: a means to split land for statistics, not a survey.
URALS = (
    (76.0, 82.0),
    (70.0, 77.3),
    (67.0, 71.5),
    (64.9, 69.3),  # mouth of the Kara
    (66.4, 68.5),  # Konstantinov Kamen
    (64.4, 66.7),  # Payer
    (60.1, 65.0),  # Narodnaya
    (59.1, 63.9),  # Telposiz
    (59.4, 61.9),  # Otorten
    (59.1, 59.6),  # Konzhakovsky Kamen
    (59.4, 58.8),  # Kachkanar
    (59.9, 56.9),  # obelisk near Pervouralsk
    (59.7, 55.1),  # obelisk at Urzhumka
    (59.4, 54.7),  # source of the Ural
    (59.2, 53.9),  # Verkhneuralsk
    (59.0, 53.4),  # Magnitogorsk
    (58.6, 51.2),  # Orsk
    (55.1, 51.75),  # Orenburg
    (51.4, 51.2),  # Oral
    (51.9, 47.1),  # Atyrau
    (51.0, 40.0),
)

#: (state, part within these bounds west, south, east, north, its continent)
_OVERSEAS = (
    ("France", (-56.0, 1.0, -50.0, 7.0), "South America"),
    ("France", (-64.0, 14.0, -60.0, 17.0), "North America"),
    ("France", (44.0, -22.0, 56.0, -12.0), "Africa"),
    ("Netherlands", (-70.0, 11.0, -62.0, 18.0), "North America"),
    ("Norway", (3.0, -55.0, 4.0, -54.0), "Antarctica"),
)
_AMERICAS = {"South Georgia and the Islands": "South America", "Clipperton Island": "North America"}

#: Published polygons end short of the antimeridian and of the south pole, so that places there fall
#: into a gap: (longitude, latitude) to which a place in no polygon and beyond them is moved before
#: it is asked again. RESOLVE lacks up to 0.0015 degrees on both sides and 0.108 degrees at the
#: pole; Natural Earth lacks the last bits of a float.
_RESOLVE_RIM = (179.998, -89.89)
_NATURAL_EARTH_RIM = (180.0 - 1e-9, -90.0 + 1e-9)


@dataclass(frozen=True, eq=False)
class _Regions:
    """Codes of places: position of the polygon -> code."""

    index: PolygonIndex
    code_of: NDArray[np.int32]
    rim: tuple[float, float]

    def __call__(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int32]:
        position = self.index.query(lon, lat)
        rim_lon, rim_lat = self.rim
        gap = np.flatnonzero((position < 0) & ((np.abs(lon) > rim_lon) | (lat < rim_lat)))
        if gap.size:
            position[gap] = self.index.query(
                np.clip(lon[gap], -rim_lon, rim_lon), np.maximum(lat[gap], rim_lat)
            )
        # Position -1 picks the last entry.
        return np.asarray(self.code_of[position])

    def shapes(self, code: int) -> NDArray[Any]:
        """Return the polygons of a code."""
        return np.asarray(self.index.polygons[self.code_of[:-1] == code])


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Natural Earth's countries, cut where a part belongs to another continent."""

    shape: tuple[Any, ...]
    country: tuple[str, ...]
    continent: tuple[str, ...]


def _countries(name: Literal["land", "country"]) -> tuple[tuple[str, ...], _Regions]:
    pieces, index = _indexed_pieces(path_of(_COUNTRIES), digest_of(_COUNTRIES), False)
    named = pieces.country if name == "country" else ("land",) * len(pieces.country)
    return _labelled(index, named, tuple(sorted(set(named))), _NATURAL_EARTH_RIM)


def _continents(split_russia: bool) -> tuple[tuple[str, ...], _Regions]:
    if not isinstance(split_russia, bool):
        raise WherefromError(f"split_russia must be True or False, not {split_russia!r}")
    pieces, index = _indexed_pieces(path_of(_COUNTRIES), digest_of(_COUNTRIES), split_russia)
    return _labelled(index, pieces.continent, _CONTINENT_LABELS, _NATURAL_EARTH_RIM)


def _regions(name: Literal["biome", "ecoregion"]) -> tuple[tuple[str, ...], _Regions]:
    index, columns = _ecoregions(path_of(_ECOREGIONS), digest_of(_ECOREGIONS))
    regions = [str(value) for value in columns["ECO_NAME"]]
    if name == "ecoregion":
        return _labelled(index, regions, tuple(sorted(set(regions))), _RESOLVE_RIM)
    # "Rock and Ice" carries the number of tundra, so the name decides, not the number.
    biomes = ["" if value in ("N/A", None) else str(value) for value in columns["BIOME_NAME"]]
    numbers = {b: int(n) for b, n in zip(biomes, columns["BIOME_NUM"], strict=True) if b}
    labels = tuple(sorted(numbers, key=numbers.__getitem__))
    return _labelled(index, biomes, labels, _RESOLVE_RIM)


LAND = UnopenedLayer(
    "land",
    _COUNTRIES,
    partial(_countries, "land"),
    "inside any Natural Earth 1:10m country; Antarctica and lakes count",
)
CONTINENT = UnopenedLayer(
    "continent",
    _COUNTRIES,
    _continents,
    "Natural Earth's CONTINENT, mended as `help(wherefrom.earth.polygons)` says",
    {"split_russia": False},
)
COUNTRY = UnopenedLayer(
    "country",
    _COUNTRIES,
    partial(_countries, "country"),
    "Natural Earth's ADMIN, the unabbreviated English name",
)
BIOME = UnopenedLayer(
    "biome",
    _ECOREGIONS,
    partial(_regions, "biome"),
    'RESOLVE 2017, 14 biomes by its numbers; the ecoregion "Rock and Ice" has none',
)
ECOREGION = UnopenedLayer(
    "ecoregion", _ECOREGIONS, partial(_regions, "ecoregion"), "RESOLVE 2017, 847 ecoregions"
)


def _labelled(
    index: PolygonIndex, label_of: Sequence[str], labels: tuple[str, ...], rim: tuple[float, float]
) -> tuple[tuple[str, ...], _Regions]:
    """Return the labels, and what gives places the codes of their polygons' labels."""
    code = {label: i for i, label in enumerate(labels)}
    codes = np.array([*(code.get(label, -1) for label in label_of), -1], dtype=np.int32)
    return labels, _Regions(index, codes, rim)


@lru_cache(maxsize=2)
def _indexed_pieces(path: Path, digest: str, split: bool) -> tuple[_Pieces, PolygonIndex]:
    pieces = _pieces(path)
    if split:
        pieces = _with_split_russia(pieces)
    name = "countries-split" if split else "countries"
    return pieces, polygon_index(name, pieces.shape, digest)


@lru_cache(maxsize=1)
def _ecoregions(path: Path, digest: str) -> tuple[PolygonIndex, dict[str, Any]]:
    shapes, columns = read_shapes(path, ("ECO_NAME", "BIOME_NUM", "BIOME_NAME"))
    return polygon_index("ecoregions", list(shapes), digest), columns


def _pieces(path: Path) -> _Pieces:
    shapes, columns = read_shapes(path, ("ADMIN", "CONTINENT", "REGION_UN"), encoding="UTF-8")
    found: list[tuple[Any, str, str]] = []
    for shape, country, named, region in zip(
        shapes, columns["ADMIN"], columns["CONTINENT"], columns["REGION_UN"], strict=True
    ):
        continent = named
        if named not in _CONTINENT_LABELS:
            continent = _AMERICAS[country] if region == "Americas" else region
        parts = shapely.get_parts(shape)
        moved = np.zeros(len(parts), dtype=bool)
        for state, bounds, elsewhere in _OVERSEAS:
            if state == country:
                there = shapely.contains(shapely.box(*bounds), parts)
                moved |= there
                found.append((shapely.MultiPolygon(list(parts[there])), country, elsewhere))
        rest = shapely.MultiPolygon(list(parts[~moved])) if moved.any() else shape
        found.append((rest, country, continent))
    return _Pieces(*zip(*found, strict=True))


def _with_split_russia(pieces: _Pieces) -> _Pieces:
    # Asia's side of the line; Chukotka reaches beyond the antimeridian.
    east = shapely.union(
        shapely.Polygon([*URALS, (180.0, 40.0), (180.0, 82.0)]), shapely.box(-180, 50, -150, 82)
    )
    at = pieces.country.index("Russia")
    russia = pieces.shape[at]
    both = (shapely.difference(russia, east), shapely.intersection(russia, east))
    return _Pieces(
        (*pieces.shape[:at], *both, *pieces.shape[at + 1 :]),
        (*pieces.country[:at], "Russia", "Russia", *pieces.country[at + 1 :]),
        (*pieces.continent[:at], "Europe", "Asia", *pieces.continent[at + 1 :]),
    )


def read_shapes(
    path: Path, columns: tuple[str, ...], encoding: str | None = None
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Read polygons and columns of a shapefile, zipped or not."""
    import pyogrio  # slow to import: brings pandas where that is installed

    zipped = path.suffix == ".zip"
    if not zipped:
        refuse_torn(path)
    address = f"/vsizip/{path}" if zipped else str(path)
    try:
        meta, _, shapes, values = pyogrio.raw.read(
            address, columns=list(columns), encoding=encoding
        )
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.FeatureError,
        pyogrio.errors.FieldError,
        UnicodeDecodeError,
    ) as err:
        raise WherefromError(f"{path} cannot be read as a shapefile: {err}") from err
    # The file decides the order of the columns, not the request.
    table = dict(zip(meta["fields"], values, strict=True))
    for column in columns:
        if column not in table:
            raise WherefromError(f"{path} has no column {column}: it is not the published file")
    return shapely.from_wkb(shapes), table


def refuse_torn(path: Path) -> None:
    """Compare the lengths in the headers of a shapefile with those of its files.

    GDAL reads a cut one without a word and gives no shape for the regions that are gone.
    """
    table = path.with_suffix(".dbf")
    for file in (path, path.with_suffix(".shx"), table):
        with file.open("rb") as stream:
            head = stream.read(32)
        if len(head) < 32:
            stated = 100
        elif file == table:
            records, header, width = struct.unpack("<IHH", head[4:12])
            stated = header + records * width
        else:
            stated = 2 * struct.unpack(">i", head[24:28])[0]
        if file.stat().st_size < stated:
            raise WherefromError(
                f"{file} is cut off: it states {stated:,} bytes and has {file.stat().st_size:,}; "
                "place the whole file again"
            )
