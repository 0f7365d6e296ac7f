"""The drawn places as a pool of their own, to draw from again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wherefrom.compose.composition import Composition
from wherefrom.compose.parse import spec_text
from wherefrom.compose.passes import rows_with
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, PoolScan
from wherefrom.pool.passing import over
from wherefrom.pool.scan import ScanPart

__all__ = ["drawn_places"]


def drawn_places(composition: Composition, pool: Pool | PoolScan) -> Pool:
    """Make a pool of the places of a composition, each once, with all columns of its pool.

    Parameters
    ----------
    composition : Composition
    pool : Pool or PoolScan
        That it was drawn from.

    Returns
    -------
    Pool
        With the ids of `pool`, in the order of its rows; its origin says how it was drawn.

    Raises
    ------
    WherefromError
        If the composition is empty.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.compose import draw
    >>> whole = Pool.from_table(pa.table({"lon": [0.0, 1, 2], "lat": [0.0] * 3, "use": [*"aba"]}))
    >>> few = drawn_places(draw(whole, "only:layer=use,label=a", 2), whole)
    >>> few.ids.tolist(), few.table.column_names
    ([0, 2], ['id', 'lon', 'lat', 'use'])
    """
    if not len(composition.ids):
        raise WherefromError("no place was drawn: a pool needs at least one")
    if isinstance(pool, PoolScan):
        look = partial(_rows, wanted=composition.ids)
        table = pa.concat_tables(list(over(pool.parts(), look, "reading places")))
    else:
        table = pool.table.take(sorted(pool.take(composition.ids).tolist()))
    made = composition.provenance
    seed = "" if made["seed"] is None else f", seed {made['seed']}"
    origin = f"{spec_text(made['sampler'])}{seed}, from pool {pool.key}"
    origin += f" ({pool.origin})" if pool.origin else ""
    return replace(Pool.from_table(table, id="id"), origin=origin)


def _rows(part: ScanPart, wanted: NDArray[Any]) -> pa.Table:
    found = []
    for _, table in part.tables():
        ids = table.column("id").to_numpy(zero_copy_only=False)
        ids = ids if ids.dtype.kind == "i" else ids.astype(np.str_)
        found.append(table.take(rows_with(ids, wanted)))
    return pa.concat_tables(found)
