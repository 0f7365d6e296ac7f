"""Places of our own: uniform by area on land."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth, keys, parallel
from wherefrom.earth.extent import Extent
from wherefrom.earth.land import on_land
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.earth.surfaces import SURFACES, Surface, uniform_on
from wherefrom.errors import WherefromError
from wherefrom.progress import progress

__all__ = [
    "LandPlaces",
    "checked_count",
    "land_origin",
    "land_places",
    "places_on",
    "land_stream",
]

# Fixed, because it decides which random numbers make which place.
CHUNK = 65536

#: Chunks that are looked up at a time, at most.
GROUP = 16

#: Of the sphere's area, a little less than Natural Earth has as land with and without Antarctica:
#: how many chunks are begun, so that a second round is rare.
SHARE = {True: 0.288, False: 0.262}


@dataclass(frozen=True, eq=False)
class LandPlaces:
    """M consecutive places on land, from the chunks of random numbers that begin at `chunk`.

    `counts` are the places of each chunk; `lon`, `lat` are in degrees; `codes`, shape (M,), are
    those of each layer asked for.
    """

    chunk: int
    counts: NDArray[np.int64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    codes: tuple[NDArray[np.int32], ...]


def land_places(
    places: int, seed: int = 0, antarctica: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw places uniformly by area on land, degrees, by rejection from uniform ones on the sphere.

    The same seed gives the same places, and a longer list starts with the shorter.

    Raises
    ------
    WherefromError
        If `places` is not positive, or the land layer cannot be had.
    """
    places = checked_count(places)
    lon, lat = np.empty(places), np.empty(places)
    found = 0
    with progress() as bar:
        task = bar.add_task("places on land", total=places)
        for group in land_stream(places, seed, antarctica):
            size = min(len(group.lon), places - found)
            lon[found : found + size] = group.lon[:size]
            lat[found : found + size] = group.lat[:size]
            found += size
            bar.update(task, completed=found)
    return lon, lat


def land_stream(
    places: int, seed: int, antarctica: bool, layers: Sequence[earth.Layer] = (), chunk: int = 0
) -> Iterator[LandPlaces]:
    """Draw places uniformly by area on land, in pieces from a chunk on, with the labels of layers.

    The generator is PCG64, whose state can be moved on by any number of steps: each piece draws
    its own numbers, several pieces at a time, and the places are those of one generator. The last
    piece may hold more places than are needed.
    """
    for name in ("land", "continent"):
        earth.layer(name)  # threads that want it at once would each read it
    look = partial(_land, seed=seed, antarctica=antarctica, layers=layers)
    found = 0
    while found < places:
        count = math.ceil((places - found) / SHARE[antarctica] / CHUNK)
        size = max(1, min(GROUP, count // (2 * parallel.cores())))
        groups = [(at, min(size, chunk + count - at)) for at in range(chunk, chunk + count, size)]
        for group in parallel.here(look, groups):
            yield group
            found += len(group.lon)
            if found >= places:
                return
        chunk += count


def checked_count(places: int) -> int:
    """Return the number of places, or say why it is no whole number from 1 on."""
    if isinstance(places, bool) or not isinstance(places, int | np.integer):
        raise WherefromError(f"places must be a whole number, not {places!r}")
    if places < 1:
        raise WherefromError(f"--places must be at least 1, not {places:,}")
    return int(places)


def places_on(
    places: int, seed: int, surface: Surface, within: Extent | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw places uniformly by area on a surface, or its part in an extent, degrees.

    The same seed gives the same places, and a longer list starts with the shorter.

    Raises
    ------
    WherefromError
        If `places` is not positive, or there is none of the surface.
    """
    part = None if within is None else within.part_on(surface)
    if part is not None and part.none:
        noun = SURFACES[surface].noun
        raise WherefromError(
            f"--within {part.extent.text}: there is hardly any {noun} to draw from"
        )
    drawn = []
    for chunk in range(math.ceil(checked_count(places) / CHUNK)):
        if part is not None:
            drawn.append(part.uniform(CHUNK, keys.generator("pool within", seed, chunk)))
        else:
            rng = keys.generator(f"pool on {surface}", seed, chunk)
            drawn.append(uniform_on(surface, CHUNK, rng))
    lon, lat = (np.concatenate(axis)[:places] for axis in zip(*drawn, strict=True))
    return lon, lat


def land_origin(
    seed: int, antarctica: bool, within: str | Path | None = None, surface: Surface = "land"
) -> str:
    """Say in words how the places came about."""
    name = SURFACES[surface].name
    if within is not None:
        return f"uniform by area on {name} within {within}, seed {seed}"
    if surface != "land":
        return f"uniform by area on {name}, seed {seed}"
    return f"uniform by area on land {'with' if antarctica else 'without'} Antarctica, seed {seed}"


def _land(
    chunks: tuple[int, int],
    *,
    seed: int,
    antarctica: bool,
    layers: Sequence[earth.Layer],
) -> LandPlaces:
    """Draw the chunks from a number on, and keep what is on land."""
    first, count = chunks
    rng = keys.generator("pool", seed)
    bits = rng.bit_generator
    assert isinstance(bits, np.random.PCG64)
    bits.advance(2 * CHUNK * first)  # a chunk takes a number for each longitude and latitude
    drawn = [uniform_on_sphere(CHUNK, rng) for _ in range(count)]
    lon, lat = (np.concatenate(axis) for axis in zip(*drawn, strict=True))
    kept, frozen = on_land(lon, lat)
    if not antarctica:
        kept &= ~frozen
    counts = kept.reshape(count, CHUNK).sum(axis=1)
    lon, lat = lon[kept], lat[kept]
    return LandPlaces(first, counts, lon, lat, tuple(layer.codes(lon, lat) for layer in layers))
