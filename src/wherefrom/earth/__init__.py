"""Facts about any place on Earth: layers, cities, maths on the sphere."""

from wherefrom.earth.base import Layer, UnopenedLayer, ValueLayer
from wherefrom.earth.catalog import Source, source, sources
from wherefrom.earth.cities import Cities, cities
from wherefrom.earth.fetch import path_of
from wherefrom.earth.layers import CATEGORICAL, VALUES, available, layer, layer_key, made_of
from wherefrom.earth.polygons import CONTINENTS

__all__ = [
    "CATEGORICAL",
    "CONTINENTS",
    "VALUES",
    "Cities",
    "Layer",
    "Source",
    "UnopenedLayer",
    "ValueLayer",
    "available",
    "cities",
    "layer",
    "layer_key",
    "made_of",
    "path_of",
    "source",
    "sources",
]
