"""What a pool holds beside the land, or beside another pool: shares, gaps, leaks, losses.

Every figure comes from one pass of tallies over the pool's batches
(:mod:`wherefrom.auditing.tally`), so a pool in memory and 10**9 places in files give the same.
"""

from wherefrom.auditing.leakage import Leakage
from wherefrom.auditing.realised import Realised
from wherefrom.auditing.reference import Reference, land, land_lattice
from wherefrom.auditing.shares import (
    DEFAULT_LAYERS,
    LabelShare,
    LayerShares,
    LayerTally,
    default_layers,
)
from wherefrom.auditing.tally import Tally, run

__all__ = [
    "DEFAULT_LAYERS",
    "LabelShare",
    "LayerShares",
    "LayerTally",
    "Leakage",
    "Realised",
    "Reference",
    "Tally",
    "default_layers",
    "land",
    "land_lattice",
    "run",
]
