"""What a pool is held against: the area of land, or another pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wherefrom import earth
from wherefrom.auditing.asked import own_column
from wherefrom.auditing.lattice import ALL_LAND, FINE, Ground, land_lattice
from wherefrom.auditing.tally import Floats, LayerTally, distinct_places, run_distinct
from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.land import codes_of, label_counts
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool

__all__ = ["LATTICE", "Reference", "land", "of"]


#: Bands of cells for the shares of land area, and cells on the sphere: each stands for 121.3 km2.
BANDS = 1817
LATTICE = EqualAreaCells(BANDS).count


@dataclass(frozen=True, eq=False)
class Reference:
    """How much of each label of a layer there is in what a pool is held against.

    Attributes
    ----------
    name : str
        What it is, in words: "land without Antarctica", or that of a pool.
    labels : tuple of str
        All labels of the layer.
    counts : ndarray of float64, shape (K,)
        Cells of land, or places, of each label.
    none : float
        Those without a label.
    size : float
        Labelled points or places that count as independent: fewer than there are where they have
        unequal weights.
    resolution : float
        Share of one cell; 0 for a pool, whose zeros are zeros.
    unresolved : tuple of str
        Labels of no cell: their area is below about one cell's, and not known.
    """

    layer: str
    name: str
    labels: tuple[str, ...]
    counts: Floats
    none: float
    size: float
    resolution: float = 0.0
    unresolved: tuple[str, ...] = ()

    @property
    def shares(self) -> Floats:
        """Share of each label among what has one, (K,) float64; zeros if nothing has."""
        total = self.counts.sum()
        return np.asarray(self.counts / total if total else np.zeros(len(self.counts)))


def land(layer: str | earth.Layer, ground: Ground = ALL_LAND) -> Reference:
    """Return the shares of land area of a categorical layer's labels.

    Counted on the land of 4.2 million cells of equal area, once per layer, and kept in the user's
    cache; within an extent on its own cells, some 10^5, and of another surface on 10^6 points of a
    lattice. The error of
    a share p is at most that of as many random points, a standard deviation of
    sqrt(p (1 - p) / 1.11e6): 0.0004 for a quarter of the land. Continents are within 0.0001 of the
    areas of their polygons (tested). A label smaller than the 121.3 km2 of a cell may be missed:
    see ``unresolved``.

    Raises
    ------
    WherefromError
        If there is no such layer, it holds values, or its data or the land's cannot be had.

    Examples
    --------
    >>> reference = land("continent")
    >>> africa = reference.labels.index("Africa")
    >>> round(float(reference.shares[africa]), 3)
    0.223
    """
    opened = earth.layer(layer)
    if not isinstance(opened, earth.Layer):
        band = f"{opened.name}_band"
        hint = f"; {band} cuts it into classes" if band in earth.CATEGORICAL else ""
        raise WherefromError(
            f"layer {opened.name!r} holds values, not labels: shares are of labels{hint}"
        )
    if ground.within is None and ground.is_land:
        counts = label_counts(opened, BANDS)
        kept = counts[0] + counts[1] if ground.antarctica else counts[0]
        missed = np.flatnonzero(counts.sum(axis=0)[:-1] == 0)
    else:
        here = land_lattice(FINE, ground)
        codes = codes_of(opened, here.lon, here.lat)
        kept = np.roll(np.bincount(codes + 1, minlength=len(opened.labels) + 1), -1)
        missed = np.flatnonzero(kept[:-1] == 0)
    labelled = float(kept[:-1].sum())
    return Reference(
        opened.name,
        "land without Antarctica" if ground == ALL_LAND else str(ground),
        opened.labels,
        kept[:-1].astype(np.float64),
        float(kept[-1]),
        labelled,
        1.0 / labelled if labelled else 0.0,
        tuple(opened.labels[i] for i in missed),
    )


def of(pool: AnyPool, layers: Sequence[str], *, name: str = "") -> dict[str, Reference]:
    """Return the shares of another pool by layer, to hold a pool against, in one pass over it.

    `name` is what the pool is called in words; default its origin.

    Raises
    ------
    WherefromError
        If a layer is not known or cannot be had, or a file cannot be read.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.pool import Pool
    >>> pool = Pool.from_table(pa.table({"lon": [1, 2, 3], "lat": [3, 4, 5], "use": list("aab")}))
    >>> of(pool, ["use"])["use"].counts.tolist()
    [2.0, 1.0]
    """
    seen = distinct_places(pool)
    tallies = [
        LayerTally(layer, pool.labels(layer), own_column(pool, layer), seen.effect)
        for layer in layers
    ]
    counted = run_distinct(pool, tallies, seen, label="places to compare with")
    called = name or pool.origin or "the other pool"
    return {
        tally.name: Reference(
            tally.name, called, tally.labels, tally.places, tally.none, tally.effective_size
        )
        for tally in counted
    }
