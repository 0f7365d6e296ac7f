"""How near extents are: the same as by brute force, at the poles, the antimeridian and borders."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from wherefrom.earth import apart
from wherefrom.earth.apart import Neighbours, reaches_km
from wherefrom.earth.footprints import on_sphere
from wherefrom.earth.sphere import distance_km, nearest_km, offset, uniform_on_sphere

Floats = np.ndarray
# Poles, the antimeridian from both sides, and their neighbours.
# To 6 decimals, 0.1 m: what is nearer than 0.1 mm touches in one reckoning alone.
lons = st.one_of(
    st.sampled_from([-180.0, 180.0, 179.9, -179.5, 0.0]),
    st.floats(-180.0, 180.0).map(lambda x: round(x, 6)),
)
lats = st.one_of(
    st.sampled_from([-90.0, 90.0, 89.9, 0.0, -89.0]),
    st.floats(-90.0, 90.0).map(lambda y: round(y, 6)),
)
sizes = st.sampled_from([0.0003, 0.02, 0.7, 9.0, 80.0])


@st.composite
def tiles(draw: Any) -> Any:
    """Return a box or a triangle, as it is on the sphere."""
    lon, lat, width, height = draw(lons), draw(lats), draw(sizes), draw(sizes)
    south = min(max(lat, -90.0), 90.0 - 0.0003)
    north = min(south + height, 90.0)
    shape = shapely.box(lon, south, lon + width, north)
    if draw(st.booleans()):
        corners = [(lon, south), (lon + width, south), (lon + width / 3.0, north)]
        shape = shapely.Polygon(corners)
    return on_sphere(np.array([shape]))[0]


@pytest.mark.parametrize("sides", ["both", "one", "other", "none"])
def test_a_pair_of_neighbours_is_left_out(sides: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_AT_ONCE", 16)
    monkeypatch.setattr(apart, "_PAIRS", 64)
    rng = np.random.default_rng(4)
    lon, lat = rng.uniform(179.7, 180.3, 60), rng.uniform(-0.2, 0.2, 60)
    half = rng.choice([0.002, 0.02, 0.2], 60)
    boxes = on_sphere(shapely.box(lon - half, lat - half, lon + half, lat + half))
    lon -= np.where(lon > 180.0, 360.0, 0.0)
    own, given = sides in ("both", "one"), sides in ("both", "other")
    others = Neighbours(lon[:25], lat[:25], boxes[:25] if own else None)
    shapes = boxes[25:] if given else None
    found = [zip(*each, strict=True) for each in others.pairs(lon[25:], lat[25:], 5.0, shapes)]
    pairs = {(int(place), int(other)) for each in found for place, other in each}
    true = set()
    for other in range(25):
        alone = Neighbours(lon[[other]], lat[[other]], boxes[[other]] if own else None)
        near = alone.within(lon[25:], lat[25:], 5.0, shapes)
        true |= {(int(place), other) for place in np.flatnonzero(near)}
    assert pairs == true
    assert 20 < len(true) < 800


def rims(shape: Any) -> list[tuple[Floats, Floats]]:
    """Return both ends of each edge, degrees."""
    pairs = []
    for ring in shapely.get_rings(shapely.get_parts(shape)):
        xy = shapely.get_coordinates(ring)
        pairs += itertools.pairwise(xy)
    return pairs


def to_edge(x: float, y: float, a: Floats, b: Floats) -> float:
    """Find by looking ever closer how far a place is from an edge that is straight in degrees."""
    low, high = 0.0, 1.0
    best = np.inf
    for _ in range(6):
        part = np.linspace(low, high, 201)
        far = distance_km(x, y, *(a[:, None] + (b - a)[:, None] * part))
        at = int(np.argmin(far))
        best = min(best, float(far[at]))
        low, high = part[max(at - 2, 0)], part[min(at + 2, 200)]
    return best


def brute(x: float, y: float, shape: Any) -> float:
    turned = [(x, y), (-x, y)] if abs(x) == 180.0 else [(x, y)]
    if any(shape.intersects(shapely.Point(each)) for each in turned):
        return 0.0
    if abs(y) == 90.0:
        x = 0.0
    return min(to_edge(x, y, a, b) for a, b in rims(shape))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(lons, lats, st.lists(tiles(), min_size=1, max_size=2))
def test_the_distance_of_a_point_from_polygons_is_not_the_least_there_is(
    x: float, y: float, shapes: list[Any]
) -> None:
    others = Neighbours(np.zeros(len(shapes)), np.zeros(len(shapes)), np.array(shapes))
    (at,), (km,) = others.nearest([x], [y])
    true = [brute(x, y, shape) for shape in shapes]
    assert km == pytest.approx(min(true), abs=6e-4, rel=1e-6)
    assert true[at] == pytest.approx(min(true), abs=6e-4, rel=1e-6)
    for limit in (0.0, 1.0, 100.0, 5000.0):
        if abs(min(true) - limit) > 6e-4 or limit == min(true) == 0.0:
            assert others.within([x], [y], limit)[0] == (min(true) <= limit)
            assert others.nearest([x], [y], limit_km=limit)[0][0] == (at if km <= limit else -1)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(tiles(), tiles())
def test_the_distance_of_two_footprints_depends_on_which_is_asked(one: Any, other: Any) -> None:
    zero = np.zeros(1)
    first, second = (Neighbours(zero, zero, np.array([shape])) for shape in (one, other))
    there = first.nearest(zero, zero, np.array([other]))[1][0]
    back = second.nearest(zero, zero, np.array([one]))[1][0]
    assert there == pytest.approx(back, abs=1e-6)
    # Corners of either are in it, so that it is no farther than the nearest of them.
    corners = [brute(*xy, other) for xy in shapely.get_coordinates(one)]
    corners += [brute(*xy, one) for xy in shapely.get_coordinates(other)]
    assert there <= min(corners) + 6e-4
    if not one.intersects(other):
        assert there == pytest.approx(min(corners), abs=6e-4, rel=1e-6)
    else:
        assert there == 0.0


def test_a_place_on_the_border_is_outside() -> None:
    shapes = on_sphere(
        np.array(
            [shapely.box(10, 0, 12, 2), shapely.box(170, 5, 180, 9), shapely.box(0, 80, 9, 90)]
        )
    )
    others = Neighbours([11, 175, 4], [1, 7, 85], shapes)
    # A corner, an edge, the other name of 180 E, and of the pole.
    lon, lat = np.array([10.0, 11.3, -180.0, 120.0]), np.array([0.0, 2.0, 6.0, 90.0])
    for places in (1, 1 << 14):  # one by one, and many at once
        assert others.within(np.repeat(lon, places), np.repeat(lat, places), 0.0).all()
    assert others.nearest(lon, lat)[1].tolist() == [0.0] * 4
    aside, up = np.array([-1e-9, 0.0, 1e-8, 0.0]), np.array([0.0, 1e-9, 0.0, -1e-8])
    assert not others.within(lon + aside, lat + up, 0.0).any()


@pytest.mark.parametrize("km", [3.0, 700.0])
def test_the_map_of_what_is_near_changes_an_answer(km: float) -> None:
    rng = np.random.default_rng(0)
    lon, lat = uniform_on_sphere(25, rng)
    half = rng.uniform(0.01, 8.0, 25)
    boxes = shapely.box(
        lon - half, np.maximum(lat - half, -90), lon + half, np.minimum(lat + half, 90)
    )
    others = Neighbours(lon, lat, on_sphere(boxes))
    x, y = uniform_on_sphere(1 << 15, rng)
    close = offset(np.repeat(lon, 600), np.repeat(lat, 600), rng.uniform(0, 360, 15000), km * 1.01)
    x, y = np.concatenate([x, close[0]]), np.concatenate([y, close[1]])
    found = others.within(x, y, km)
    assert 0.0 < found.mean() < 1.0
    assert (others._maps[km] > 0).any()
    assert not others.__getstate__()["_maps"]
    one_by_one = others.nearest(x, y, limit_km=km)[1] <= km
    np.testing.assert_array_equal(found, one_by_one)
    again = pickle.loads(pickle.dumps(others))
    np.testing.assert_array_equal(again.within(x[:99], y[:99], km), found[:99])


def test_points_are_kept_apart_by_other_distances_than_before() -> None:
    rng = np.random.default_rng(1)
    lon, lat = uniform_on_sphere(300, rng)
    x, y = uniform_on_sphere(1 << 15, rng)
    others, true = Neighbours(lon, lat), nearest_km(x, y, lon, lat)
    for km in (0.0, 50.0, 1000.0, true[7]):
        np.testing.assert_array_equal(others.within(x, y, km), true <= km)
    at, km = others.nearest(x, y, limit_km=800.0)
    np.testing.assert_array_equal(km, np.where(true <= 800.0, true, np.inf))
    assert ((at < 0) == (true > 800.0)).all()
    assert others.within(lon, lat, 0.0).all()


def test_many_pieces_within_reach_exhaust_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    circle = shapely.Point(5, 5).buffer(2.0, quad_segs=400)  # whose middle is as far from all
    others = Neighbours([5.0], [5.0], np.array([shapely.difference(circle, circle.buffer(-0.01))]))
    whole = others.nearest([5.0, 6.0], [5.0, 5.0])
    monkeypatch.setattr(apart, "_PAIRS", 50)
    parted = others.nearest([5.0, 6.0], [5.0, 5.0])
    np.testing.assert_array_equal(whole, parted)
    # 1.99 degrees, south and north, on the sphere the shorter at the higher latitude; 0.99 east.
    assert whole[1] == pytest.approx(
        [1.99 * 111.1951 * np.cos(np.radians(5)), 0.99 * 110.77], rel=1e-2
    )


def test_no_neighbours_are_near() -> None:
    for shapes in (None, np.array([], dtype=object)):
        nobody = Neighbours([], [], shapes)
        assert nobody.nearest([1.0], [2.0])[1].tolist() == [np.inf]
        assert not nobody.within([1.0], [2.0], 20000.0).any()
    somebody = Neighbours([0.0], [0.0])
    assert len(somebody.nearest([], [])[1]) == len(somebody.within([], [], 1.0)) == 0


def test_a_footprint_reaches_beyond_what_is_told() -> None:
    tile = on_sphere(np.array([shapely.box(179, 0, 181, 2), shapely.box(5, 60, 6, 61)]))
    lon, lat = np.array([-180.0, 5.5]), np.array([1.0, 60.5])
    far = [distance_km(x, y, *shapely.get_coordinates(t).T).max() for x, y, t in
           zip(lon, lat, tile, strict=True)]  # fmt: skip
    told = reaches_km(lon, lat, tile)
    assert told[0] == pytest.approx(far[0])
    assert far[1] <= told[1] <= 2.1 * far[1]
    assert reaches_km(np.zeros(2), np.zeros(2), None).tolist() == [0.0, 0.0]


def test_one_of_many_footprints_is_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    (x, y), (u, v) = uniform_on_sphere(3000, rng), uniform_on_sphere(12, rng)
    half, wide = rng.choice([0.02, 0.1, 3.0], 3000), rng.uniform(0.1, 20.0, 12)

    def boxes(lon: Floats, lat: Floats, half: Floats) -> Any:
        south, north = np.maximum(lat - half, -90), np.minimum(lat + half, 90)
        return on_sphere(shapely.box(lon - half, south, lon + half, north))

    tiles = boxes(x, y, half)
    for others in (Neighbours(u, v, boxes(u, v, wide)), Neighbours(u, v)):
        for km in (0.0, 250.0):
            few = others.within(x, y, km, tiles)
            with monkeypatch.context() as patched:
                patched.setattr(apart, "_MANY", 1)
                np.testing.assert_array_equal(others.within(x, y, km, tiles), few)
                assert len(others._around(x, y, km, tiles)) < 2500
            assert few.any() or not km
