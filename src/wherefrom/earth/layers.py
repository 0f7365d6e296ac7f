"""Layers by name: named, vectorised functions of place, categorical or valued.

Ours are declared once each, where they are made; `wherefrom.plugins.BUILT_IN` says where. What
each states, and where its source sets limits, is its `about`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, TypeAlias, overload

from wherefrom.earth.base import Layer, UnopenedLayer, ValueLayer
from wherefrom.earth.file_layers import file_layer, file_name_of
from wherefrom.errors import UnknownNameError, WherefromError
from wherefrom.plugins import BUILT_IN, kind, kinds

__all__ = ["CATEGORICAL", "VALUES", "available", "layer", "layer_key", "made_of"]

# For type checkers, which read no tables: by these names they know what `layer` returns.
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
    "elevation", "slope", "temperature", "precipitation", "city_distance", "blue_marble_entropy"
]


def _declared(name: str) -> Layer | ValueLayer | UnopenedLayer:
    """Return what the table holds under a name, or what lies at ``module:name`` or in a file."""
    if isinstance(name, str) and name not in kinds("layers"):
        file = file_name_of(name)
        if file is not None:
            return file_layer(name, file)
    return _listed(name)


@lru_cache(maxsize=64)
def _listed(name: str) -> Layer | ValueLayer | UnopenedLayer:
    loaded = kind("layers", name).load()
    if not isinstance(loaded, Layer | ValueLayer | UnopenedLayer) and callable(loaded):
        loaded = loaded()
    if isinstance(loaded, Layer | ValueLayer | UnopenedLayer):
        return loaded
    raise WherefromError(
        f"layer {name!r} is a {type(loaded).__name__}, no wherefrom.earth.Layer or ValueLayer, nor "
        "a function that returns one"
    )


def _ours(numbers: bool) -> tuple[str, ...]:
    # Of our own table: a package that offers one of these names spoils that name alone.
    declared = {name: kinds("layers")[name].load() for name in BUILT_IN["layers"]}
    return tuple(
        name
        for name, one in declared.items()
        if isinstance(one, UnopenedLayer) and (one.units is not None) == numbers
    )


CATEGORICAL = _ours(numbers=False)
VALUES = _ours(numbers=True)


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
        lies, ``module:name`` (docs/extending.md); a file of your own (docs/layers.md): polygons
        and the column of their labels, ``zones.gpkg:zone``, or a raster and its band,
        ``population.tif:1``; a layer is returned as it is.
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
    declared = _declared(name) if isinstance(name, str) else name
    if isinstance(declared, UnopenedLayer):
        return declared.open(**options)
    if options:
        raise WherefromError(f"layer {declared.name} is open already: it takes no options")
    return declared


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
    declared = _declared(name)
    if isinstance(declared, UnopenedLayer):
        return declared.key(**options)
    return layer(declared, **options).key


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
    declared = _declared(name)
    return not isinstance(declared, UnopenedLayer) or declared.here()


def made_of(*names: str) -> frozenset[str]:
    """Name the sources of the catalog that layers are made of, or are a function of.

    Names of no layer, such as columns of a pool, are made of none.

    Examples
    --------
    >>> sorted(made_of("climate_zone")), sorted(made_of("elevation_band"))
    (['era5-climatology', 'koeppen-geiger'], ['altitude'])
    """
    found: set[str] = set()
    for name in names:
        try:
            declared = _declared(name)
        except UnknownNameError:
            continue
        if isinstance(declared, UnopenedLayer):
            found |= {declared.source, *declared.defined_by}
        else:
            found |= {one.name for one in declared.source}
    return frozenset(found)
