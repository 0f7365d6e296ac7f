"""Pools of candidate places: built by area on land, or read from the user's own table."""

from wherefrom.pool.check import Finding, examine
from wherefrom.pool.folder import build_folder, label
from wherefrom.pool.opening import open_beside, open_pool, scan
from wherefrom.pool.places import Pool
from wherefrom.pool.scan import PoolScan
from wherefrom.pool.tables import Places, ids_of, places_of, read_places, read_table

__all__ = [
    "Finding",
    "Places",
    "Pool",
    "PoolScan",
    "build_folder",
    "examine",
    "ids_of",
    "label",
    "open_beside",
    "open_pool",
    "places_of",
    "read_places",
    "read_table",
    "scan",
]
