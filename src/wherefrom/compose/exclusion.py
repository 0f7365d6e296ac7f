"""Drawing away from places, such as those that a study tests on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wherefrom.compose.base import Sampler, SamplerModel, in_memory
from wherefrom.compose.composition import Composition
from wherefrom.compose.registry import drawn, sampler
from wherefrom.earth.sphere import nearest_km
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.pool.batches import AnyPool
from wherefrom.pool.places import Codes
from wherefrom.shown import count_of

__all__ = ["candidates", "drawn_apart"]


def candidates(pool: Pool, lon: ArrayLike, lat: ArrayLike, km: float) -> Pool:
    """Return the places of a pool that are at least so far from every one of some others.

    Parameters
    ----------
    pool : Pool
    lon, lat : array_like of float, shape (M,)
        The others, degrees.
    km : float
        Great-circle distance, above 0.

    Returns
    -------
    Pool
        With the labels of the whole pool, also those that no place is left of. Its key is its own.

    Raises
    ------
    WherefromError
        If `km` is not a distance, or no place is left.

    Examples
    --------
    >>> import pyarrow as pa
    >>> pool = Pool.from_table(pa.table({"lon": [0.0, 1.0, 2.0], "lat": [0.0] * 3}))
    >>> candidates(pool, [2.0], [0.0], 150.0).ids.tolist()
    [0]
    """
    if not 0 < km < float("inf"):
        raise WherefromError(f"places are kept {km:g} km away: give a distance above 0, such as 50")
    keep = nearest_km(pool.lon, pool.lat, lon, lat) >= km
    if not keep.any():
        raise WherefromError(
            f"all {count_of(len(pool), 'place')} of the pool are nearer than {km:g} km to a place "
            "to be kept away from: use a smaller distance or a larger pool"
        )
    codes: dict[str, Codes] = {}
    for name in dict.fromkeys((*pool._codes, *pool.columns)):
        with suppress(WherefromError):  # a column of numbers has no labels
            known, labels = pool.codes(name)
            codes[name] = known[keep], labels
    table = pool.table.filter(keep)
    return Pool(pool.ids[keep], pool.lon[keep], pool.lat[keep], table, pool.origin, (), codes)


def drawn_apart(
    pool: AnyPool,
    spec: str | dict[str, Any] | Sampler,
    n: int | None,
    seed: int,
    *,
    lon: ArrayLike,
    lat: ArrayLike,
    km: float,
) -> Composition:
    """Draw a composition from the places of a pool that are far enough from some others.

    The sampler sees these candidates alone, so that what is excluded is replaced as it replaces
    what a stratum lacks (``short=``), and inclusion probabilities are those among the candidates.

    Parameters
    ----------
    pool, spec, n, seed
        As of `wherefrom.compose.registry.drawn`; a pool in files is read into memory.
    lon, lat, km
        As of `candidates`.

    Returns
    -------
    Composition
        Its provenance is that of a draw from the whole pool, with ``excluded``: the distance, how
        many candidates were left out, and of how many places they were too near.

    Raises
    ------
    WherefromError
        As `drawn`; the message then says what was excluded.
    """
    chosen = sampler(spec)
    if isinstance(chosen, SamplerModel) and chosen.empty:
        return drawn(pool, chosen, n, seed)
    whole = in_memory(pool, chosen.name)
    left = candidates(whole, lon, lat, km)
    gone = len(whole) - len(left)
    try:
        made = drawn(left, chosen, n, seed)
    except WherefromError as err:
        raise WherefromError(
            f"{err} (of {count_of(len(whole), 'candidate')} {gone:,} were excluded, nearer than "
            f"{km:g} km to places to be kept away from)"
        ) from err
    about = {"key": whole.key, "places": len(whole), "origin": whole.origin}
    excluded = {"km": km, "candidates": gone, "away_from": int(np.size(lon))}
    return replace(made, provenance=made.provenance | {"pool": about, "excluded": excluded})
