"""Places as far from each other as the pool allows."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from wherefrom.compose.base import DesignSampler
from wherefrom.compose.chosen import chosen_design
from wherefrom.compose.design import Design
from wherefrom.compose.farthest import farthest_points
from wherefrom.earth.sphere import EARTH_RADIUS_KM, unit_vectors
from wherefrom.pool import Pool

__all__ = ["Spread"]


class Spread(DesignSampler):
    """Blue noise: each place is the farthest from all those chosen before it.

    The exact greedy choice on the sphere, from a first place drawn at random (Gonzalez 1985, doi
    10.1016/0304-3975(85)90224-5; Eldar et al. 1997, doi 10.1109/83.623193). No place of the pool
    is farther from the draw than twice what the best n places could do, and no two drawn are
    nearer to each other than that. It covers area whatever the pool's density, and outliers first.
    In memory; a million candidates take seconds.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.compose import draw
    >>> from wherefrom.pool import Pool
    >>> table = pa.table({"lon": [0.0, 0.1, 0.2, 90.0], "lat": [0.0] * 4})
    >>> draw(Pool.from_table(table), "spread", 2).ids[1].item()
    3
    """

    name: ClassVar[str] = "spread"

    def design(self, pool: Pool, n: int, rng: np.random.Generator) -> Design:
        """Choose the places; nothing but the first is random."""
        points = unit_vectors(pool.lon, pool.lat)
        rows, radius = farthest_points(points, n, int(rng.integers(len(pool))))
        farthest = 2 * np.arcsin(min(float(radius[-1]) / 2, 1.0)) * EARTH_RADIUS_KM
        notes = {"covering_radius_km": round(float(farthest), 3)}
        return chosen_design(len(pool), rows, "the first place", notes)
