"""A generated world: waves on the land of the Earth, and labels that some of them make."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wherefrom import earth
from wherefrom.earth.sphere import unit_vectors
from wherefrom.keys import generator

__all__ = ["CHANNELS", "CLASSES", "USEFUL", "World"]

Floats = NDArray[np.float64]

#: Waves of a world; labels are made of the first ones, the others are of no use.
CHANNELS, USEFUL = 12, 4
CLASSES = ("first", "second", "third")
#: Wave numbers, radians of phase for a radian of arc: wavelengths of 1,600 to 6,700 km.
_SLOWEST, _FASTEST = 6.0, 25.0


@dataclass(frozen=True)
class World:
    """Twelve waves over the sphere, three classes made of four of them, and a region.

    Parameters
    ----------
    seed : int
        Equal seeds, equal worlds.

    Examples
    --------
    >>> world = World(3)
    >>> world.waves([13.4, -60.0], [52.5, -3.1]).shape, world.labels([13.4], [52.5]).dtype.name
    ((2, 12), 'int32')
    """

    seed: int

    @cached_property
    def home(self) -> str:
        """The continent in which this world plants something."""
        return earth.CONTINENTS[int(generator("selfcheck", self.seed, "home").integers(6))]

    def waves(self, lon: Floats, lat: Floats) -> Floats:
        """Return the waves at places (N,), degrees: (N, 12), each of variance 1 over the sphere."""
        rng = generator("selfcheck", self.seed, "waves")
        direction = rng.normal(size=(3, CHANNELS))
        direction /= np.linalg.norm(direction, axis=0)
        number = rng.uniform(_SLOWEST, _FASTEST, CHANNELS)
        phase = rng.uniform(0, 2 * np.pi, CHANNELS)
        waves: Floats = np.sqrt(2) * np.cos(unit_vectors(lon, lat) @ (direction * number) + phase)
        return waves

    def labels(self, lon: Floats, lat: Floats) -> NDArray[np.int32]:
        """Return the classes of places (N,): the highest of three sums of the useful waves."""
        mixed = generator("selfcheck", self.seed, "labels").normal(size=(USEFUL, len(CLASSES)))
        mixed /= np.linalg.norm(mixed, axis=0)
        sums: Floats = self.waves(lon, lat)[:, :USEFUL] @ mixed
        codes: NDArray[np.int32] = sums.argmax(axis=1).astype(np.int32)
        return codes

    def seen(self, lon: Floats, lat: Floats, quiet: float, useless: float) -> Floats:
        """Return what a place shows of the waves, (N, 12).

        At home the useful waves are loud (1) and the others have the loudness `quiet`; elsewhere it
        is the other way round. The useless ones are damped by `useless` besides.
        """
        codes = earth.layer("continent").codes(lon, lat)
        at_home = (codes == earth.CONTINENTS.index(self.home))[:, None]
        loud = np.where(at_home == (np.arange(CHANNELS) < USEFUL), 1.0, quiet)
        loud[:, USEFUL:] *= useless
        shown: Floats = self.waves(lon, lat) * loud
        return shown
