"""Samplers: from a pool to a composition, with every inclusion probability known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wherefrom import keys
from wherefrom.compose.allocate import Allocation, allocate
from wherefrom.compose.base import DesignSampler, Inputs, Sampler, SamplerModel
from wherefrom.compose.composition import Composition
from wherefrom.compose.design import Design
from wherefrom.compose.memory import in_memory
from wherefrom.compose.parse import SAMPLERS, sampler, spec_text
from wherefrom.compose.plain import Ids
from wherefrom.compose.strata import Plan, Strata
from wherefrom.compose.streamed import StreamedSampler
from wherefrom.pool.batches import AnyPool

__all__ = [
    "SAMPLERS",
    "Allocation",
    "Composition",
    "Design",
    "DesignSampler",
    "Ids",
    "Inputs",
    "Plan",
    "Sampler",
    "Strata",
    "StreamedSampler",
    "allocate",
    "draw",
    "sampler",
    "spec_text",
]


def draw(
    pool: AnyPool,
    spec: str | dict[str, Any] | Sampler,
    n: int | None = None,
    seed: int = 0,
) -> Composition:
    """Draw a composition; the same places, spec, n and seed give the same one.

    Parameters
    ----------
    pool : Pool or PoolScan
        In memory or in files.
    spec : str, dict or Sampler
        See `sampler`.
    n : int, optional
        Places to draw; not needed for ``none`` and ``ids``.
    seed : int

    Returns
    -------
    Composition

    Raises
    ------
    WherefromError
        If the spec is not valid, or the pool cannot give such a draw.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from wherefrom.pool import Pool
    >>> pool = Pool.from_table(pa.table({"lon": [0.0, 1, 2, 3], "lat": [0.0] * 4}))
    >>> composition = draw(pool, "uniform", n=2, seed=0)
    >>> composition.size, composition.inclusion_probability.tolist()
    (2, [0.5, 0.5])
    """
    chosen = sampler(spec)
    rng = keys.generator("draw", seed, keys.canonical(chosen.spec()))
    if isinstance(chosen, SamplerModel) and chosen.in_passes:
        composition = chosen.draw(pool, n, rng)
    else:
        composition = chosen.draw(in_memory(pool, chosen.name), n, rng)
    return replace(composition, provenance={**composition.provenance, "seed": seed})
