"""What a pool holds beside the land, or beside another pool: shares, gaps, leaks, losses.

Every figure comes from one pass of tallies over the pool's batches
(:mod:`wherefrom.auditing.tally`), so a pool in memory and 10**9 places in files give the same.
"""

from wherefrom.auditing.reference import Reference, land, land_lattice
from wherefrom.auditing.shares import LabelShare, LayerShares, LayerTally
from wherefrom.auditing.tally import Tally, run

__all__ = [
    "LabelShare",
    "LayerShares",
    "LayerTally",
    "Reference",
    "Tally",
    "land",
    "land_lattice",
    "run",
]
