"""Spatial statistics on the sphere, against land: coverage, density, clustering, repetition.

================  =====================  ==========================================================
module            exact                  method
================  =====================  ==========================================================
coverage          always                 distance to the nearest place from 262,000 points of land
cells             always                 chi-square and variation of density in equal-area cells
latitude          always                 Kolmogorov-Smirnov in steps of 0.1 degrees, mean shift
striping          always                 coordinates on a lattice; periodogram of fine histograms
duplicates        to 2^20 places         equal and near places; beyond, in a share of the cells
nearest           to 2^14 places         Clark and Evans's index; beyond, of a sample of rows
ripley            to 2^14 (far: 2^10)    L with a global envelope; beyond, of a sample of rows
autocorrelation   to 2^12 places         N^2 / sum of correlations; beyond, from pairs of a sample
================  =====================  ==========================================================

All of them stream: `SpaceTally` keeps at most some 100 MB, whatever the number of places.
"""

from wherefrom.auditing.space.autocorrelation import EffectiveSize
from wherefrom.auditing.space.cells import Cells, Density
from wherefrom.auditing.space.coverage import Coverage, Gap
from wherefrom.auditing.space.duplicates import Duplicates, Repeated
from wherefrom.auditing.space.latitude import Latitude
from wherefrom.auditing.space.nearest import Nearest
from wherefrom.auditing.space.ripley import Ripley
from wherefrom.auditing.space.striping import Period, Rounded, Striping
from wherefrom.auditing.space.tally import Space, SpaceTally

__all__ = [
    "Cells",
    "Coverage",
    "Density",
    "Duplicates",
    "EffectiveSize",
    "Gap",
    "Latitude",
    "Nearest",
    "Period",
    "Repeated",
    "Ripley",
    "Rounded",
    "Space",
    "SpaceTally",
    "Striping",
]
