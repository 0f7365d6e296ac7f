"""Climate: zones of Koeppen and Geiger, monthly temperature and precipitation of ERA5."""

from __future__ import annotations

import csv

from wherefrom.earth.base import UnopenedLayer
from wherefrom.earth.fetch import path_of
from wherefrom.earth.rasters import Classes, classes, read_grid

__all__ = ["CLIMATE_ZONE", "PRECIPITATION", "TEMPERATURE"]


def _climate_zone() -> tuple[tuple[str, ...], Classes]:
    path = path_of("koeppen-geiger").with_name("kg_zoneNum.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        zones = {row["kg_zone"]: int(row["zoneNum"]) for row in csv.DictReader(stream)}
    del zones["Ocean"]
    labels = tuple(sorted(zones))
    return labels, classes("koeppen-geiger", {zones[z]: i for i, z in enumerate(labels)})


CLIMATE_ZONE = UnopenedLayer(
    "climate_zone",
    "koeppen-geiger",
    _climate_zone,
    "Koeppen-Geiger zone, 31 of them (the source tells As from Aw)",
    defined_by=("era5-climatology",),  # by rules on monthly temperature and precipitation
)
# The attributes of the netCDF say K and m; the values are degC and mm per month.
TEMPERATURE = UnopenedLayer(
    "temperature",
    "era5-climatology",
    lambda: read_grid(path_of("era5-climatology"), "t2m").at,
    "monthly mean at 2 m, degC, ERA5 2000-2025, nearest node of 0.25 degrees",
    units="degC",
)
PRECIPITATION = UnopenedLayer(
    "precipitation",
    "era5-climatology",
    lambda: read_grid(path_of("era5-climatology"), "tp").at,
    "monthly sum, mm, ERA5 2000-2025, nearest node of 0.25 degrees",
    units="mm/month",
)
