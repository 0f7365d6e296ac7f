"""Checks of a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wherefrom import keys
from wherefrom.earth.grids import Grid, grid
from wherefrom.earth.sphere import EARTH_RADIUS_KM, uniform_on_sphere, wrap_lon
from wherefrom.errors import WherefromError
from wherefrom.testing.checks import BrokenPromiseError, checking, own_randomness, promise

__all__ = ["check_grid"]

PLACES = 300
#: Degrees of latitude that every grid covers, and metres that a place may lie out of its cell.
COVERED, OUTSIDE_M = 59.0, 20.0
CORNERS = [(-180.0, 0.0), (180.0, 12.0), (179.9999999, -50.0), (0.0, 0.0), (-0.0, -0.0)]
POLES = [(0.0, 90.0), (-180.0, 90.0), (77.0, -90.0)]
WRONG = ["", " ", "no cell", "é", "0" * 40]


@checking
def check_grid(given: str | Grid | type[Grid] | dict[str, Any]) -> None:
    """Check that a grid keeps what tables of ids rely on.

    It must say what its ids look like; name of every place up to 59 degrees of latitude a cell that
    holds it, and refuse, with its row, a place that it has no cell for; give an id the same polygon
    alone, in any order and again; keep within [-180, 180] and [-90, 90] degrees; refuse, with its
    row, an id of no cell; and use no global random generator.

    Parameters
    ----------
    given : str, Grid, class or dict
        A text or a dict is read by `wherefrom.earth.grids.grid`.

    Raises
    ------
    BrokenPromiseError
        Names the first promise that is broken.

    Examples
    --------
    >>> check_grid("geohash:length=4")
    """
    if isinstance(given, type):
        made = given.model_validate({"kind": f"{given.__module__}:{given.__qualname__}"})
    else:
        made = grid(given)
    _described(made)
    rng = np.random.default_rng(0)
    lon, lat = uniform_on_sphere(20 * PLACES, rng)
    near = np.flatnonzero(np.abs(lat) < COVERED)[:PLACES]
    corners = np.array(CORNERS).T
    lon, lat = np.r_[corners[0], lon[near]], np.r_[corners[1], lat[near]]
    with own_randomness(f"grid {made.kind!r}"):
        ids = made.cells(lon, lat)
        _of_its_kind(made, ids, (len(lon),))
        shapes = made.shapes(ids)
    _outlines(made, shapes, len(ids))
    _hold(made, shapes, ids, lon, lat)
    _pure(made, shapes, ids, rng)
    _refuses(made, str(ids[0]))
    for x, y in POLES:
        try:
            at_pole = made.cells([x], [y])
        except WherefromError as err:
            promise("row 0" in str(err), f"grid {made.kind!r} refuses a place without its row")
        else:
            _outlines(made, made.shapes(at_pole), 1)


def _described(made: Grid) -> None:
    name = f"grid {made.kind!r}"
    promise(bool(type(made).first_line()), f"{name} has no docstring: `wherefrom list` shows it")
    promise(
        isinstance(getattr(made, "example", None), str) and bool(made.like()),
        f"{name} does not say what its ids look like: `example` and `looks`",
    )
    again = type(made).model_validate(made.model_dump())
    promise(again == made, f"the fields of {name} do not make the same grid")
    try:
        keys.canonical(made.model_dump())
    except (TypeError, ValueError) as err:
        raise BrokenPromiseError(f"a field of {name} is no plain value: {err}") from err


def _of_its_kind(made: Grid, ids: NDArray[Any], shape: tuple[int, ...]) -> None:
    promise(
        isinstance(ids, np.ndarray) and ids.dtype.kind == "U" and ids.shape == shape,
        f"grid {made.kind!r}: ids of places are no NumPy array of text, one a place",
    )


def _outlines(made: Grid, shapes: NDArray[Any], count: int) -> None:
    name = f"grid {made.kind!r}"
    promise(
        isinstance(shapes, np.ndarray) and shapes.shape == (count,), f"{name}: not a shape an id"
    )
    kinds = {shapely.GeometryType.POLYGON}
    promise(set(shapely.get_type_id(shapes).tolist()) <= kinds, f"{name} gives no polygon")
    xy = np.abs(shapely.get_coordinates(shapes))
    promise(
        bool((xy <= [180.0, 90.0]).all()),
        f"{name} leaves [-180, 180] and [-90, 90]: let longitudes jump at the antimeridian",
    )


def _hold(
    made: Grid, shapes: NDArray[Any], ids: NDArray[Any], lon: NDArray[Any], lat: NDArray[Any]
) -> None:
    xy, of = shapely.get_coordinates(shapes, return_index=True)
    # Metres about the place, so that no longitude jumps.
    degree = 1000.0 * EARTH_RADIUS_KM * np.pi / 180.0
    east = wrap_lon(xy[:, 0] - lon[of]) * np.cos(np.radians(lat[of]))
    about = degree * np.stack([east, xy[:, 1] - lat[of]], axis=1)
    moved = shapely.set_coordinates(shapes.copy(), about)
    out = np.flatnonzero(shapely.distance(moved, shapely.Point(0.0, 0.0)) > OUTSIDE_M)
    if len(out):
        one = out[0]
        raise BrokenPromiseError(
            f"grid {made.kind!r}: cell {ids[one]} is named for lon {lon[one]:g}, lat {lat[one]:g}, "
            "which it does not hold"
        )


def _pure(made: Grid, shapes: NDArray[Any], ids: NDArray[Any], rng: np.random.Generator) -> None:
    name = f"grid {made.kind!r}"
    order = rng.permutation(len(ids))
    again = made.shapes(ids[order])
    promise(_same(shapes[order], again), f"{name}: an id's polygon depends on the order")
    promise(
        all(_same(shapes[i : i + 1], made.shapes(ids[i : i + 1])) for i in order[:7]),
        f"{name}: an id alone has another polygon",
    )
    promise(_same(shapes[:0], made.shapes(ids[:0])), f"{name} fails on no id")
    promise(made.cells([], []).shape == (0,), f"{name} fails on no place")


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.shape == b.shape and bool(shapely.equals_exact(a, b, 0.0).all())


def _refuses(made: Grid, right: str) -> None:
    for wrong in WRONG:
        try:
            made.shapes([right, wrong])
        except WherefromError as err:
            promise("row 1" in str(err), f"grid {made.kind!r} refuses {wrong!r} without its row")
            continue
        raise BrokenPromiseError(f"grid {made.kind!r} takes {wrong!r} for an id: refuse it")
