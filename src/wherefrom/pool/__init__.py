"""Pools of candidate places: built by area on land, or read from the user's own table."""

from wherefrom.pool.check import Finding, examine
from wherefrom.pool.opening import open_pool, scan
from wherefrom.pool.places import Pool
from wherefrom.pool.scan import PoolScan
from wherefrom.pool.tables import Places, ids_of, places_of, read_places, read_table

__all__ = [
    "Finding",
    "Places",
    "Pool",
    "PoolScan",
    "examine",
    "ids_of",
    "open_pool",
    "places_of",
    "read_places",
    "read_table",
    "scan",
]
