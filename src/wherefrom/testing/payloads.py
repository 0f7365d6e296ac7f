"""Checks of a payload."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from wherefrom.part import OfKind
from wherefrom.payload.base import NAMES, Lost, Payload, Sought
from wherefrom.payload.stored import gathered
from wherefrom.pool import Pool
from wherefrom.testing.checks import checking, described, own_randomness, part_of, promise

__all__ = ["check_payload"]

PLACES = 24


@checking
def check_payload(
    given: Payload | type[Payload] | dict[str, Any], *, places: Sought | None = None
) -> None:
    """Check that a payload keeps what pre-training, scores and the cache rely on.

    Its settings must be plain values, and say nothing of where files lie; its records must be of
    its modality, one a place and of one shape; the same when they are read again, in another order,
    alone or in company, and wherever ids repeat; places that it has none of must be left out,
    without a word or with one to `Lost`; nothing may draw from a global generator.

    Parameters
    ----------
    given : Payload, class or dict
        A payload; a class whose own fields all have defaults; or the part of a study file.
    places : Sought, optional
        Places that it has records of; by default real places on land, numbered.

    Raises
    ------
    BrokenPromiseError
        Names the first promise that is broken.

    Examples
    --------
    >>> check_payload({"kind": "earth-series"})
    """
    payload = part_of(given, OfKind("payloads", Payload)).settled()
    described(payload, "payload")
    what = f"payload {payload.kind!r}"
    promise(payload.modality in NAMES, f"{what} has modality {payload.modality!r}, none of {NAMES}")
    promise(payload.seconds > 0, f"seconds of {what} is not above 0")
    for name in payload.file_fields:
        promise(name in type(payload).model_fields, f"{what} names {name!r} a file: no field is")
        promise(name not in payload.settings(), f"settings() of {what} say where {name!r} lies")
    if places is None:
        pool = Pool.build(PLACES, seed=0)
        places = Sought(pool.ids, pool.lon, pool.lat)
    with own_randomness(what):
        _read(payload, what, places)


def _read(payload: Payload, what: str, places: Sought) -> None:
    there, records = gathered(payload, places, lost := Lost())
    promise(bool(there.any()), f"{what} has none of the places that it is checked on ({lost})")
    all_there = payload.kept or bool(there.all())
    promise(all_there, f"{what} is not kept, so that it must have every place")
    for name, values in records.items():
        promise(values.dtype != object, f"{name} of {what} are objects, no numbers")
    if payload.bands and payload.modality != "series":  # of which it says what they may have
        channels = records[NAMES[payload.modality][0]].shape[1]
        same = len(payload.bands) == channels
        promise(same, f"{what} names {len(payload.bands)} bands and gives {channels}")
    if payload.image_side is not None:
        shape = records[NAMES[payload.modality][0]].shape[2:]
        same = shape == (payload.image_side, payload.image_side)
        promise(
            same,
            f"{what} says that images are {payload.image_side} pixels a side: they are {shape}",
        )
    every = np.arange(len(places))
    first = np.flatnonzero(there)[:1]
    ways = {"again": every, "in another order": every[::-1], "alone": first, "twice": first[[0, 0]]}
    for labelled in (False, True):
        some = replace(places, labelled=labelled)
        _, whole = gathered(payload, some, Lost())
        for how, rows in ways.items():
            kept, found = gathered(payload, some.take(rows), Lost())
            same = np.array_equal(kept, there[rows])
            promise(same, f"{what} has other places when it is read {how}")
            numbers = (np.cumsum(there) - 1)[rows[kept]]
            for name, values in found.items():
                wanted = whole[name][numbers]
                same = np.array_equal(values, wanted, equal_nan=values.dtype.kind == "f")
                promise(same, f"{what} gives a place another {name!r} when it is read {how}")
