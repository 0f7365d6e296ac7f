"""What covers the ground: MODIS land cover of 2019 by the classes of the IGBP, and parts of it."""

from __future__ import annotations

from wherefrom.earth.base import UnopenedLayer
from wherefrom.earth.rasters import Classes, classes

__all__ = ["CROPLAND", "FOREST", "IGBP", "LAND_COVER"]

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


def _land_cover() -> tuple[tuple[str, ...], Classes]:
    return IGBP, classes("modis-land-cover", {i: i for i in range(len(IGBP))})


def _forest() -> tuple[tuple[str, ...], Classes]:
    return ("forest",), classes("modis-land-cover", dict.fromkeys(_FOREST, 0))


def _cropland() -> tuple[tuple[str, ...], Classes]:
    codes = {i: int(i in _CROPLAND) for i in range(len(IGBP)) if i != _WATER}
    return ("other", "cropland"), classes("modis-land-cover", codes)


LAND_COVER = UnopenedLayer(
    "land_cover",
    "modis-land-cover",
    _land_cover,
    'MODIS IGBP class 2019; "Water Bodies" is a label; south of 89 S the source has water where '
    "there is ice",
)
FOREST = UnopenedLayer(
    "forest", "modis-land-cover", _forest, "IGBP classes 1 to 5, plantations included"
)
CROPLAND = UnopenedLayer(
    "cropland",
    "modis-land-cover",
    _cropland,
    '"cropland" (IGBP 12 and 14, mosaics with natural vegetation) or "other"; water has no label',
)
