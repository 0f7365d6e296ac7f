"""check_grid finds each broken promise."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import shapely

from wherefrom.earth.grids import Grid
from wherefrom.earth.grids.geohash import Geohash
from wherefrom.errors import WherefromError
from wherefrom.testing import BrokenPromiseError, check_grid


class Sound(Geohash):
    """Cells of about 20 km."""

    kind: str = "sound"
    length: int = 4


class Silent(Sound):
    """Says nothing of its ids."""

    looks: ClassVar[str] = ""

    def like(self) -> str:
        return ""


class Beside(Sound):
    """Names the cells of other places."""

    def names(self, lon: Any, lat: Any) -> Any:
        return super().names(-lon, lat)


class Numbers(Sound):
    """Names cells by numbers."""

    def names(self, lon: Any, lat: Any) -> Any:
        return np.arange(len(lon))


class Beyond(Sound):
    """Lets longitudes go on beyond 180 degrees."""

    def outlines(self, ids: Any) -> Any:
        return shapely.transform(super().outlines(ids), lambda xy: np.add(xy, [360.0, 0.0]))


class Points(Sound):
    """Gives the middles of cells."""

    def outlines(self, ids: Any) -> Any:
        return shapely.centroid(super().outlines(ids))


class Ordered(Sound):
    """Gives the first cell another polygon."""

    def outlines(self, ids: Any) -> Any:
        found = super().outlines(ids)
        if len(found) and found[0] is not None:
            found[0] = shapely.reverse(found[0])
        return found


class Lenient(Sound):
    """Has a cell for any id."""

    def outlines(self, ids: Any) -> Any:
        found = super().outlines(ids)
        found[shapely.is_missing(found)] = shapely.box(0.0, 0.0, 1.0, 1.0)
        return found


class Rough(Sound):
    """Refuses ids without a row."""

    def shapes(self, ids: Any) -> Any:
        try:
            return super().shapes(ids)
        except WherefromError as err:
            raise WherefromError("no such id") from err


class Torn(Sound):
    """Fails where there is nothing."""

    def names(self, lon: Any, lat: Any) -> Any:
        return super().names(lon, lat + 0.0 * lon[0])


class Random(Sound):
    """Draws from a global generator."""

    def names(self, lon: Any, lat: Any) -> Any:
        np.random.random()  # noqa: NPY002
        return super().names(lon, lat)


class Bare(Sound):
    kind: str = "bare"


Bare.__doc__ = None

BROKEN = [
    ("no docstring", Bare),
    ("what its ids look like", Silent),
    ("which it does not hold", Beside),
    ("no NumPy array of text", Numbers),
    ("longitudes jump", Beyond),
    ("no polygon", Points),
    ("depends on the order", Ordered),
    ("takes '' for an id", Lenient),
    ("without its row", Rough),
    ("IndexError", Torn),
    ("global random", Random),
]


@pytest.mark.parametrize(("broken", "made"), BROKEN)
def test_no_broken_grid_passes(broken: str, made: type[Grid]) -> None:
    with pytest.raises(BrokenPromiseError, match=broken):
        check_grid(made)


def test_a_sound_grid_is_refused() -> None:
    check_grid(Sound)
    check_grid(Sound(length=5))
