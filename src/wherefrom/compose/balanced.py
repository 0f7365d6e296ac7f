"""The same number of places from each combination of several layers' labels."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wherefrom.compose.allocate import Short, allocate
from wherefrom.compose.crossed import NAMED, Crossed, Names
from wherefrom.compose.strata import Plan, Strata
from wherefrom.compose.streamed import StreamedSampler
from wherefrom.errors import WherefromError
from wherefrom.pool.batches import AnyPool

__all__ = ["Balanced"]


class Balanced(StreamedSampler):
    """Equally many places from each combination of labels of several layers that occurs.

    Simple random sampling without replacement within each combination, such as continent x biome x
    land cover. Dynamic World (Brown et al. 2022, doi 10.1038/s41597-022-01307-4), whose places
    Presto was pre-trained on, draws by region, biome and land cover. Places that lack one of the
    labels are never drawn.

    Attributes
    ----------
    over : tuple of str
        Layers or columns; in a spec joined by ``+``.
    short : {"error", "cap", "redistribute", "repeat"}
        What to do with combinations that have fewer places than asked.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.compose import draw
    >>> from wherefrom.pool import Pool
    >>> use, wet = ["a", "a", "a", "b"], ["yes", "yes", "no", "no"]
    >>> table = pa.table({"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4, "use": use, "wet": wet})
    >>> draw(Pool.from_table(table), "balanced:over=use+wet", 3).inclusion_probability.tolist()
    [0.5, 1.0, 1.0]
    """

    name: ClassVar[str] = "balanced"
    over: Names
    short: Short = "error"

    def strata(self, pool: AnyPool, n: int, rng: np.random.Generator) -> Crossed:
        """Make a stratum of each combination of labels."""
        return Crossed.of(pool, self.over)

    def plan(
        self,
        pool: AnyPool,
        strata: Strata,
        keys: NDArray[np.int64],
        sizes: NDArray[np.int64],
        n: int,
    ) -> Plan:
        """Share n equally among the combinations that occur."""
        assert isinstance(strata, Crossed)
        if not len(keys):
            raise WherefromError(
                f"all strata are empty: no place of the pool has a label of each of "
                f"{', '.join(self.over)}"
            )
        texts = strata.texts(keys)
        equal = np.ones(len(keys), dtype=np.int64)
        allocation = allocate(equal, sizes, n, self.short, texts)
        notes = {"combinations": len(keys)}
        return Plan(allocation, texts if len(texts) <= NAMED else (), notes)
