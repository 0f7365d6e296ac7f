"""What covers the ground: MODIS land cover of 2019 by the classes of the IGBP, and parts of it."""

from __future__ import annotations

from wherefrom.earth.base import UnopenedLayer
from wherefrom.earth.rasters import classes

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
_FOREST = dict.fromkeys(range(1, 6), 0)
_CROPLAND = {i: int(i in (12, 14)) for i in range(1, len(IGBP))}  # all but water

LAND_COVER = UnopenedLayer(
    "land_cover",
    "modis-land-cover",
    lambda: (IGBP, classes("modis-land-cover", {i: i for i in range(len(IGBP))})),
    'MODIS IGBP class 2019; "Water Bodies" is a label; south of 89 S the source has water where '
    "there is ice",
)
FOREST = UnopenedLayer(
    "forest",
    "modis-land-cover",
    lambda: (("forest",), classes("modis-land-cover", _FOREST)),
    "IGBP classes 1 to 5, plantations included",
)
CROPLAND = UnopenedLayer(
    "cropland",
    "modis-land-cover",
    lambda: (("other", "cropland"), classes("modis-land-cover", _CROPLAND)),
    '"cropland" (IGBP 12 and 14, mosaics with natural vegetation) or "other"; water has no label',
)
