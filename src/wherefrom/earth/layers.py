"""Layers: named, vectorised functions of place, categorical or valued.

Each is opened by :func:`layer`. What every one of them states, and where its source sets limits:

==================  =======================================================================
land                inside any Natural Earth 1:10m country; Antarctica and lakes count
continent           Natural Earth's CONTINENT, mended as :mod:`wherefrom.earth.polygons` says
country             Natural Earth's ADMIN, the unabbreviated English name
land_cover          MODIS IGBP class 2019; "Water Bodies" is a label; south of 89 S the source
                    has water where there is ice
forest              IGBP classes 1 to 5, plantations included
cropland            "cropland" (IGBP 12 and 14, mosaics with natural vegetation) or "other"; water
                    has no label
climate_zone        Koeppen-Geiger zone, 31 of them (the source tells As from Aw)
biome, ecoregion    RESOLVE 2017; the ecoregion "Rock and Ice" has no biome
elevation           m, steps of 28 m, pixels of 1/12 degree; NaN on sea and beyond 85 degrees;
                    the bedrock, not the surface, below the ice of Greenland
slope               degrees, of the same terrain over 18 km (:mod:`wherefrom.earth.terrain`): far
                    gentler than a hillside's; NaN where elevation is
temperature         monthly mean at 2 m, degC, ERA5 2000-2025, nearest node of 0.25 degrees
precipitation       monthly sum, mm, the same
city_distance       km to the nearest city with at least `min_population` inhabitants
elevation_band      elevation cut at 200, 500, 1000, 2000 and 4000 m; no label where it is NaN
city_distance_band  city_distance cut at 10, 25, 50, 100, 250 and 500 km
==================  =======================================================================
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.earth.bands import city_distance_bands, elevation_bands
from wherefrom.earth.catalog import Source, source
from wherefrom.earth.cities import nearest_city_km
from wherefrom.earth.fetch import digest_of, find, path_of
from wherefrom.earth.places import checked_places
from wherefrom.earth.polygons import continents, countries, ecoregions
from wherefrom.earth.rasters import Grid, read_grid
from wherefrom.earth.terrain import Altitude, Slope
from wherefrom.errors import WherefromError, unknown
from wherefrom.keys import key_of
from wherefrom.plugins import named, offered

__all__ = ["CATEGORICAL", "VALUES", "Layer", "ValueLayer", "available", "layer", "layer_key"]

Degrees: TypeAlias = NDArray[np.float64]
CategoricalName: TypeAlias = Literal[
    "land",
    "continent",
    "country",
    "land_cover",
    "forest",
    "cropland",
    "climate_zone",
    "biome",
    "ecoregion",
    "elevation_band",
    "city_distance_band",
]
ValueName: TypeAlias = Literal[
    "elevation", "slope", "temperature", "precipitation", "city_distance"
]

IGBP = (
    "Water Bodies",
    "Evergreen Needleleaf Forests",
    "Evergreen Broadleaf Forests",
    "Deciduous Needleleaf Forests",
    "Deciduous Broadleaf Forests",
    "Mixed Forests",
    "Closed Shrublands",
    "Open Shrublands",
    "Woody Savannas",
    "Savannas",
    "Grasslands",
    "Permanent Wetlands",
    "Croplands",
    "Urban and Built-up Lands",
    "Cropland/Natural Vegetation Mosaics",
    "Permanent Snow and Ice",
    "Barren",
)
_WATER, _FOREST, _CROPLAND = 0, range(1, 6), (12, 14)


@dataclass(frozen=True)
class Layer:
    """A categorical layer: a label, or none, for every place.

    A layer of your own is made the same way; samplers and tasks find its labels in a column of
    the pool or table (docs/extending.md).

    Attributes
    ----------
    name : str
    labels : tuple of str
        Code ``i`` means ``labels[i]``.
    source : tuple of Source
        Whose data these are, for licence and citation.
    key : str
        Hash of name, options and contents of the sources.
    lookup : callable
        ``(lon, lat)``, checked float64 arrays of shape (N,), to int32 codes, -1 for none.

    Examples
    --------
    >>> from wherefrom.earth import layer
    >>> zone = layer("climate_zone")
    >>> zone([-60.02, 13.4, -150.0], [-3.1, 52.5, 0.0]).tolist()
    ['Af', 'Cfb', '']
    >>> zone.codes([-60.02, -150.0], [-3.1, 0.0]).tolist()
    [0, -1]
    """

    name: str
    labels: tuple[str, ...]
    source: tuple[Source, ...]
    key: str
    lookup: Callable[[Degrees, Degrees], NDArray[np.int32]] = field(repr=False, compare=False)

    def codes(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.int32]:
        """Return the code of every place, -1 for none.

        Parameters
        ----------
        lon, lat : array-like of shape (N,)
            Degrees, within [-180, 180] and [-90, 90].

        Returns
        -------
        array of shape (N,), int32

        Raises
        ------
        WherefromError
            If a coordinate is NaN or out of range; names the first such row.
        """
        return self.lookup(*checked_places(lon, lat))

    def __call__(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.object_]:
        """Return the label of every place, ``""`` for none; arguments as in :meth:`codes`.

        Returns
        -------
        array of shape (N,), object
            Each entry is one of the strings of `labels`, shared and not copied: 8 bytes a place.
            It is what pandas and pyarrow take for text, and compares place by place with ``==``;
            ``.astype(str)`` gives NumPy's text of a fixed width, 4 bytes a letter of the longest.
        """
        # Code -1 picks the last entry.
        return np.array((*self.labels, ""), dtype=object)[self.codes(lon, lat)]


@dataclass(frozen=True)
class ValueLayer:
    """A layer of numbers.

    Attributes
    ----------
    name, source, key
        As in :class:`Layer`.
    units : str
    lookup : callable
        ``(lon, lat)``, checked float64 arrays of shape (N,), to float32 of shape (N,) or, for
        monthly layers, (N, 12); NaN for none.

    Examples
    --------
    >>> from wherefrom.earth import layer
    >>> rain = layer("precipitation")
    >>> rain([10.0], [24.0]).shape, rain.units
    ((1, 12), 'mm/month')
    """

    name: str
    units: str
    source: tuple[Source, ...]
    key: str
    lookup: Callable[[Degrees, Degrees], NDArray[np.float32]] = field(repr=False, compare=False)

    def __call__(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float32]:
        """Return the value of every place, NaN for none; `lon`, `lat` as in :meth:`Layer.codes`."""
        return self.lookup(*checked_places(lon, lat))


@dataclass(frozen=True)
class _Classes:
    """Codes of a raster of classes: pixel value -> code."""

    grid: Grid
    code_of: NDArray[np.int32]

    def __call__(self, lon: Degrees, lat: Degrees) -> NDArray[np.int32]:
        codes: NDArray[np.int32] = self.code_of[self.grid.at(lon, lat)]
        return codes


def _classes(name: str, code_of: Mapping[int, int]) -> _Classes:
    table = np.full(256, -1, dtype=np.int32)
    for value, code in code_of.items():
        table[value] = code
    return _Classes(read_grid(path_of(name)), table)


def _land_cover() -> tuple[tuple[str, ...], _Classes]:
    return IGBP, _classes("modis-land-cover", {i: i for i in range(len(IGBP))})


def _forest() -> tuple[tuple[str, ...], _Classes]:
    return ("forest",), _classes("modis-land-cover", dict.fromkeys(_FOREST, 0))


def _cropland() -> tuple[tuple[str, ...], _Classes]:
    codes = {i: int(i in _CROPLAND) for i in range(len(IGBP)) if i != _WATER}
    return ("other", "cropland"), _classes("modis-land-cover", codes)


def _climate_zone() -> tuple[tuple[str, ...], _Classes]:
    path = path_of("koeppen-geiger").with_name("kg_zoneNum.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        zones = {row["kg_zone"]: int(row["zoneNum"]) for row in csv.DictReader(stream)}
    del zones["Ocean"]
    labels = tuple(sorted(zones))
    return labels, _classes("koeppen-geiger", {zones[z]: i for i, z in enumerate(labels)})


def _elevation() -> Altitude:
    return Altitude(read_grid(path_of("altitude")))


def _slope() -> Slope:
    return Slope(_elevation())


# The attributes of the netCDF say K and m; the values are degC and mm per month.
def _temperature() -> Callable[[Degrees, Degrees], NDArray[np.float32]]:
    return read_grid(path_of("era5-climatology"), "t2m").at


def _precipitation() -> Callable[[Degrees, Degrees], NDArray[np.float32]]:
    return read_grid(path_of("era5-climatology"), "tp").at


#: name -> (source, opener giving labels and lookup, default options)
_CATEGORICAL: dict[str, tuple[str, Callable[..., Any], dict[str, Any]]] = {
    "land": ("natural-earth-countries", lambda: countries("land"), {}),
    "continent": ("natural-earth-countries", continents, {"split_russia": False}),
    "country": ("natural-earth-countries", lambda: countries("country"), {}),
    "land_cover": ("modis-land-cover", _land_cover, {}),
    "forest": ("modis-land-cover", _forest, {}),
    "cropland": ("modis-land-cover", _cropland, {}),
    "climate_zone": ("koeppen-geiger", _climate_zone, {}),
    "biome": ("resolve-ecoregions", lambda: ecoregions("biome"), {}),
    "ecoregion": ("resolve-ecoregions", lambda: ecoregions("ecoregion"), {}),
    "elevation_band": ("altitude", lambda: elevation_bands(_elevation()), {}),
    "city_distance_band": ("geonames-cities", city_distance_bands, {"min_population": 100_000}),
}
#: name -> (source, opener giving the lookup, default options, units)
_VALUES: dict[str, tuple[str, Callable[..., Any], dict[str, Any], str]] = {
    "elevation": ("altitude", _elevation, {}, "m"),
    "slope": ("altitude", _slope, {}, "degrees"),
    "temperature": ("era5-climatology", _temperature, {}, "degC"),
    "precipitation": ("era5-climatology", _precipitation, {}, "mm/month"),
    "city_distance": ("geonames-cities", nearest_city_km, {"min_population": 100_000}, "km"),
}
CATEGORICAL = tuple(_CATEGORICAL)
VALUES = tuple(_VALUES)


@overload
def layer(name: Layer | CategoricalName, **options: Any) -> Layer: ...
@overload
def layer(name: ValueLayer | ValueName, **options: Any) -> ValueLayer: ...
@overload
def layer(name: str, **options: Any) -> Layer | ValueLayer: ...
def layer(name: str | Layer | ValueLayer, **options: Any) -> Layer | ValueLayer:
    """Open a layer; its data are fetched if they are not on this machine.

    Parameters
    ----------
    name : str, Layer or ValueLayer
        One of ``CATEGORICAL`` or ``VALUES``; the name of another package's layer, or where it
        lies, ``module:name`` (docs/extending.md); a layer is returned as it is.
    **options
        ``split_russia=True`` for continent: Asia east of the Urals (default: Europe, as in
        Natural Earth). ``min_population=100_000`` for city_distance and city_distance_band.

    Returns
    -------
    Layer or ValueLayer

    Raises
    ------
    WherefromError
        If the name or an option is unknown, or the data cannot be had: names the file to place.

    Examples
    --------
    >>> from wherefrom.earth import layer
    >>> layer("forest")([-65.0, 10.0], [-5.0, 24.0]).tolist()
    ['forest', '']
    """
    if isinstance(name, Layer | ValueLayer):
        if options:
            raise WherefromError(f"layer {name.name} is open already: it takes no options")
        return name
    plugged = _plugged(name)
    if plugged is not None:
        return layer(plugged, **options)
    origin, opener, settled = _entry(name, options)
    key = layer_key(name, **options)
    if name in _VALUES:
        return ValueLayer(name, _VALUES[name][3], (source(origin),), key, opener(**settled))
    labels, lookup = opener(**settled)
    return Layer(name, labels, (source(origin),), key, lookup)


def layer_key(name: str, **options: Any) -> str:
    """Return the key of a layer without opening it; its data are fetched if they are absent.

    Raises
    ------
    WherefromError
        As :func:`layer`.

    Examples
    --------
    >>> layer_key("land") == layer("land").key
    True
    """
    if _plugged(name) is not None:
        return layer(name, **options).key
    origin, _, settled = _entry(name, options)
    path_of(origin)
    return key_of({"layer": name, "options": settled, "source": digest_of(origin)})


def available(name: str) -> bool:
    """Say whether a layer can be had without a network.

    Raises
    ------
    WherefromError
        If the name is unknown.

    Examples
    --------
    >>> available("land_cover")
    True
    """
    if _plugged(name) is not None:
        return True
    return find(_entry(name, {})[0]) is not None


def _unknown(name: str) -> WherefromError:
    return unknown("layer", name, (*CATEGORICAL, *VALUES, *offered("layers")))


@lru_cache(maxsize=32)
def _plugged(name: str) -> Layer | ValueLayer | None:
    """Open what another package, or ``module:name``, holds; None if nothing does or it is ours."""
    found = None if name in _CATEGORICAL or name in _VALUES else named("layers", name)
    if found is not None and not isinstance(found, Layer | ValueLayer) and callable(found):
        found = found()
    if found is None or isinstance(found, Layer | ValueLayer):
        return found
    raise WherefromError(
        f"layer {name!r} is a {type(found).__name__}, no wherefrom.earth.Layer or ValueLayer, nor "
        "a function that returns one"
    )


def _entry(name: str, options: dict[str, Any]) -> tuple[str, Callable[..., Any], dict[str, Any]]:
    """Return the source, the opener and all options of a layer."""
    if name not in _CATEGORICAL and name not in _VALUES:
        raise _unknown(name)
    origin, opener, defaults = (_CATEGORICAL.get(name) or _VALUES[name])[:3]
    for option in options:
        if option not in defaults:
            raise unknown(f"option of layer {name}", option, defaults or ("none",))
    return origin, opener, defaults | options
