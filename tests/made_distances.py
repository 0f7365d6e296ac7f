"""Runs whose scores depend on distance, or on something beside it, in a known way, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.earth.sphere import nearest_km, uniform_on_sphere
from wherefrom.evidence.runs import Runs


def made(
    rng: np.random.Generator,
    slope: float = -0.1,
    misled: float = 0.0,
    *,
    blocks: int = 6,
    places: int = 400,
    seeds: int = 10,
    sizes: tuple[int, ...] = (400, 400, 60),
    run: float = 0.01,
    **change: Any,
) -> Runs:
    """Draw compositions of some sizes, uniform on the sphere, and test them.

    A place is right with probability 0.6 plus `slope` times log10 of its distance in 300 km, plus
    an effect of the place, one of the run, and, in every composition but the first, `misled` where
    the composition has a blind half of the globe, from which it also draws but a tenth.
    """
    lon, lat = uniform_on_sphere(places, rng)
    place = rng.uniform(-0.15, 0.15, places)
    names, numbers, km, score = [], [], [], []
    for c, size in enumerate(sizes):
        blind = np.zeros(places, bool)
        if misled and c:
            blind = lon > 0
        for b in range(blocks):
            at = uniform_on_sphere(size, rng)
            if misled and c:
                keep = (at[0] <= 0) | (rng.random(size) < 0.1)
                at = at[0][keep], at[1][keep]
            far = nearest_km(lon, lat, *at)
            p = 0.6 + slope * np.log10(far / 300) + place + misled * blind + rng.normal(0, run)
            names.append(f"c{c}")
            numbers.append(b)
            km.append(far)
            score.append(rng.random((seeds, places)) < p)
    fields: dict[str, Any] = {
        "compositions": tuple(names),
        "blocks": tuple(numbers),
        "km": np.array(km),
        "score": np.array(score),
        "unit": np.arange(places),
    }
    return Runs(**fields | change)


def only(tested: Runs, runs: NDArray[Any]) -> Runs:
    """Return some of the runs."""
    return Runs(
        tuple(tested.compositions[r] for r in runs),
        tuple(tested.blocks[r] for r in runs),
        tested.km[runs],
        tested.score[runs],
        tested.unit,
    )
