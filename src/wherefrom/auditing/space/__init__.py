"""Spatial statistics on the sphere, against land: coverage, density, clustering, repetition.

==============  =====================  ==========================================================
module          exact                  method
==============  =====================  ==========================================================
coverage        always                 distance to the nearest place from 262,000 points of land
density         always                 chi-square and variation of density in equal-area cells
latitude        always                 Kolmogorov-Smirnov in steps of 0.1 degrees, mean shift
striping        always                 coordinates on a lattice; periodogram of fine histograms
duplicates      to 2^20 places         equal and near places; beyond, in a share of the cells
nearest         to 2^14 places         Clark and Evans's index; beyond, of a sample of rows
ripley          to 2^14 (far: 2^10)    L with a global envelope; beyond, of a sample of rows
effective       to 2^12 places         N^2 / sum of correlations; beyond, from pairs of a sample
==============  =====================  ==========================================================

All of them stream: together they keep at most some 100 MB, whatever the number of places.
"""
