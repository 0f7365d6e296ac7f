"""Checks of a published row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from wherefrom.gfms.places import PoolPlaces
from wherefrom.gfms.published import Published
from wherefrom.part import OfKind
from wherefrom.pool import Pool
from wherefrom.testing.checks import (
    checking,
    described,
    own_randomness,
    part_of,
    promise,
    torch_left_alone,
)

__all__ = ["check_published"]

PLACES = 24
#: What rounding may change, relative to the size of numbers.
NEAR = 1e-4


@checking
def check_published(
    given: Published | type[Published] | dict[str, Any], *, places: PoolPlaces | None = None
) -> None:
    """Check that a published row keeps what scores and the cache rely on.

    Its settings must be plain values, and say nothing of where files lie; it must give a row of
    finite float32 numbers a place, the same when they are asked for again, in another order or
    alone; nothing may be read that is not declared, nor drawn from a global generator.

    Parameters
    ----------
    given : Published, class or dict
        A row; a class whose own fields all have defaults; or the part of a study file.
    places : PoolPlaces, optional
        What to describe, with what it `reads_of_tasks`; by default real places on land, where they
        are and their series of climate and relief (features and images must be given).

    Raises
    ------
    BrokenPromiseError
        Names the first promise that is broken.
    """
    row = part_of(given, OfKind("published", Published))
    described(row, "published row")
    what = f"published row {row.kind!r}"
    for file in row.files:
        promise(file not in map(str, row.settings().values()), f"settings() of {what} hold a path")
    places = places or PoolPlaces(Pool.build(PLACES, seed=0), np.arange(PLACES))
    places = replace(places, reads=row.reads_of_tasks)
    with own_randomness(what), torch_left_alone(what):
        whole = row.features(places)
        count = len(places.rows)
        promise(
            whole.ndim == 2 and len(whole) == count and whole.dtype == np.float32,
            f"{what} gives {whole.dtype} of shape {whole.shape} for {count} places: due is float32 "
            f"of ({count}, D)",
        )
        promise(np.isfinite(whole).all(), f"{what} gives numbers that are not finite")
        again = row.features(places)
        promise(np.array_equal(again, whole), f"{what} gives other numbers when it is asked again")
        for how, rows in (("in another order", slice(None, None, -1)), ("alone", slice(0, 1))):
            found = row.features(replace(places, rows=places.rows[rows]))
            off = np.abs(found - whole[rows]).max() if found.shape == whole[rows].shape else np.inf
            near = off <= NEAR * np.abs(whole).max()
            promise(near, f"{what} describes a place otherwise when it is given {how}")
