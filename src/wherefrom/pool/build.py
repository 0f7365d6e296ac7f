"""A pool of our own: places uniform by area on land."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth, keys
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import WherefromError
from wherefrom.progress import progress

__all__ = ["land_places"]

# All of Antarctica's land lies south of 50 degrees S (Bouvet Island at 54 S is its outlier), so the
# continent is looked up there only.
SOUTH = -50.0

# Fixed, because it decides which random numbers make which place.
CHUNK = 65536


def land_places(
    places: int, seed: int = 0, antarctica: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw places uniformly by area on land, by rejection from uniform places on the sphere.

    Parameters
    ----------
    places : int
        How many.
    seed : int
        The same seed gives the same places, and a longer list starts with the shorter.
    antarctica : bool
        Whether places of the continent Antarctica count.

    Returns
    -------
    lon, lat : ndarray of float64, shape (places,)
        Degrees.

    Raises
    ------
    WherefromError
        If `places` is not positive, or the land layer cannot be had.

    Examples
    --------
    >>> lon, lat = land_places(1000, seed=0)
    >>> len(lon), bool(lat.min() > -60)
    (1000, True)
    """
    if isinstance(places, bool) or not isinstance(places, int | np.integer):
        raise WherefromError(f"places must be a whole number, not {places!r}")
    if places < 1:
        raise WherefromError(f"--places must be at least 1, not {places:,}")
    land, continent = earth.layer("land"), earth.layer("continent")
    rng = keys.generator("pool", seed)
    kept: list[NDArray[np.float64]] = []
    found = 0
    with progress() as bar:
        task = bar.add_task("places on land", total=places)
        while found < places:
            lon, lat = uniform_on_sphere(CHUNK, rng)
            on_land = land.codes(lon, lat) >= 0
            if not antarctica:
                south = np.flatnonzero(on_land & (lat < SOUTH))
                on_land[south] = continent(lon[south], lat[south]) != "Antarctica"
            kept.append(np.stack([lon[on_land], lat[on_land]]))
            found += int(on_land.sum())
            bar.update(task, completed=min(found, places))
    both = np.concatenate(kept, axis=1)[:, :places]
    return both[0].copy(), both[1].copy()
