"""The polygon index against shapely's own answers: to the last point, on every border."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wherefrom.earth.fetch import find
from wherefrom.earth.lookup import PolygonIndex
from wherefrom.earth.lookup import crossings as crossings_module
from wherefrom.earth.lookup import index as index_module
from wherefrom.earth.lookup.edges import Edges, checked
from wherefrom.earth.lookup.grid import Grid, expand
from wherefrom.earth.sphere import uniform_on_sphere

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def truth(polygons: Sequence[Any], lon: NDArray[Any], lat: NDArray[Any]) -> NDArray[np.int32]:
    """Lowest polygon that intersects each point, by an STRtree."""
    none = len(polygons)
    lowest = np.full(len(lon), none, dtype=np.int32)
    shapes = np.array([shapely.Polygon() if p is None else p for p in polygons], dtype=object)
    points, valid = shapely.points(lon, lat), shapely.is_valid(shapes)
    # This way round a polygon is prepared once for all its points; prepared, those that cross
    # themselves would be answered otherwise.
    polygon, at = shapely.STRtree(points).query(shapes[valid], predicate="intersects")
    np.minimum.at(lowest, at, np.flatnonzero(valid)[polygon].astype(np.int32))
    at, polygon = shapely.STRtree(shapes[~valid]).query(points, predicate="intersects")
    np.minimum.at(lowest, at, np.flatnonzero(~valid)[polygon].astype(np.int32))
    return np.where(lowest == none, -1, lowest)


def border_points(polygons: Sequence[Any], rng: np.random.Generator, n: int) -> Points:
    """Vertices, middles of edges, and their next floating-point neighbours on all sides."""
    xy = np.unique(shapely.get_coordinates(polygons), axis=0)
    edges = Edges.of(checked(polygons))
    middle = np.stack([(edges.ax + edges.bx) / 2, (edges.ay + edges.by) / 2], axis=1)
    some = np.concatenate(
        [xy[rng.permutation(len(xy))[:n]], middle[rng.permutation(len(middle))[:n]]]
    )
    around = [some]
    for toward in ((np.inf, np.inf), (-np.inf, -np.inf), (np.inf, -np.inf), (-np.inf, np.inf)):
        around.append(np.nextafter(some, toward))
    for toward in (np.inf, -np.inf):
        around.append(np.stack([np.nextafter(some[:, 0], toward), some[:, 1]], axis=1))
        around.append(np.stack([some[:, 0], np.nextafter(some[:, 1], toward)], axis=1))
    points = np.concatenate(around)
    # Of numbers too small for a product of theirs to be told from 0, GEOS itself says one thing
    # of a prepared polygon and another of the polygon as it is.
    tiny = (points != 0) & (np.abs(points) < 1e-300)
    points[tiny] = np.copysign(1e-300, points[tiny])
    return points[:, 0].copy(), points[:, 1].copy()


def edge_of_the_map(n: int) -> Points:
    """Points on and beside the antimeridian and both poles, and at all four corners."""
    lon, lat = np.linspace(-180.0, 180.0, n), np.linspace(-90.0, 90.0, n)
    sides = [180.0, -180.0, np.nextafter(180.0, 0.0), np.nextafter(-180.0, 0.0), 179.9999886, 190.0]
    poles = [90.0, -90.0, np.nextafter(90.0, 0.0), np.nextafter(-90.0, 0.0), -89.89197328, 90.5]
    x = np.concatenate([np.full(n, side) for side in sides] + [lon] * len(poles))
    y = np.concatenate([lat] * len(sides) + [np.full(n, pole) for pole in poles])
    return x, y


def check(polygons: Sequence[Any], lon: NDArray[Any], lat: NDArray[Any]) -> PolygonIndex:
    index = PolygonIndex(polygons)
    found, wanted = index.query(lon, lat), truth(polygons, lon, lat)
    wrong = np.flatnonzero(found != wanted)
    assert len(wrong) == 0, (
        f"{len(wrong)} of {len(lon)} differ; first at {lon[wrong[0]]!r}, {lat[wrong[0]]!r}: "
        f"{found[wrong[0]]}, shapely says {wanted[wrong[0]]}"
    )
    assert found.dtype == np.int32
    return index


# Coordinates on a small lattice: edges upright, level and shared, vertices on edges, overlaps,
# rings that cross themselves and holes outside their shell all turn up often.
LATTICE = st.integers(0, 6)
RING = st.lists(st.tuples(LATTICE, LATTICE), min_size=3, max_size=8)
BOX = st.tuples(LATTICE, LATTICE, LATTICE, LATTICE).map(lambda c: shapely.box(*c))
POLYGON = st.one_of(
    BOX,
    st.builds(shapely.Polygon, RING),
    st.builds(shapely.Polygon, RING, st.lists(RING, max_size=2)),
    st.builds(
        lambda ring, hole: shapely.difference(shapely.make_valid(shapely.Polygon(ring)), hole),
        RING,
        BOX,
    ).filter(lambda g: g.geom_type in ("Polygon", "MultiPolygon")),
)
GEOMETRY = st.one_of(
    POLYGON,
    st.lists(POLYGON.filter(lambda g: g.geom_type == "Polygon"), max_size=4).map(
        shapely.MultiPolygon
    ),
    st.none(),
)
# Where on the plane the lattice lies: at the origin, at the corner of the map, tiny, skewed.
PLACEMENTS = [
    (1.0, 0.0, 0.0, 0.0),
    (0.1, 179.4, 89.4, 0.0),
    (1e-7, -180.0, -90.0, 0.0),
    (60.0, -180.0, -90.0, 0.0),
    (1 / 3, 12.3, -45.6, 0.777),
]


@pytest.mark.slow
@settings(max_examples=250)
@given(st.lists(GEOMETRY, max_size=5), st.sampled_from(PLACEMENTS), st.integers(0, 2**32 - 1))
def test_any_polygons_valid_or_not_are_answered_as_shapely_does(
    polygons: list[Any], placement: tuple[float, ...], seed: int
) -> None:
    scale, right, up, turn = placement
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    matrix = np.array([[cos, sin], [-sin, cos]])

    def placed(xy: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(xy @ matrix + (right, up))

    moved = [None if p is None else shapely.transform(p, placed) for p in polygons]
    rng = np.random.default_rng(seed)
    lattice = np.stack(np.meshgrid(np.arange(-1, 8, 0.5), np.arange(-1, 8, 0.5)), axis=-1)
    points = placed(np.concatenate([lattice.reshape(-1, 2), rng.uniform(-1, 8, (200, 2))]))
    lon, lat = border_points([p for p in moved if p is not None], rng, 40)
    check(moved, np.append(points[:, 0], lon), np.append(points[:, 1], lat))


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(*[st.floats(-200.0, 200.0) | st.integers(-3, 3).map(float)] * 4),
        min_size=1,
        max_size=12,
    )
)
def test_no_cell_that_an_edge_touches_is_missed(ends: list[tuple[float, ...]]) -> None:
    ax, ay, bx, by = np.array(ends).T
    none = np.zeros(len(ends), dtype=np.int32)
    edges = Edges(ax, ay, bx, by, none, none[:1], np.zeros(1, dtype=bool))
    grid = Grid.over(edges)
    edge, row = grid.row_walk(edges)
    first, last = grid.column_walk(edges, edge, row)
    walked, step = expand(last - first + 1)
    found = set(zip(edge[walked], row[walked], first[walked] + step, strict=True))
    column, line = np.meshgrid(np.arange(grid.columns), np.arange(grid.rows))
    west, south = grid.x0 + column * grid.size, grid.y0 + line * grid.size
    cells = shapely.box(west, south, west + grid.size, south + grid.size)
    for at in range(len(ends)):
        line_string = shapely.LineString([(ax[at], ay[at]), (bx[at], by[at])])
        for r, c in zip(*np.nonzero(shapely.intersects(cells, line_string)), strict=True):
            assert (at, r, c) in found
        # And it stays a walk: the cells found all lie at the edge.
        near = shapely.distance(cells, line_string) <= 0.01 * grid.size
        assert sum(key[0] == at for key in found) <= near.sum()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_edges_and_vertices_on_the_lines_of_the_grid_itself(seed: int) -> None:
    """Vertices on centres, centre lines and corners of cells; paths that bend on an edge."""
    rng = np.random.default_rng(seed)
    pins = [shapely.box(-180, -90, -179, -89), shapely.box(179, 89, 180, 90)]
    angle = np.sort(rng.uniform(0, 2 * np.pi, 24))
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(10, 85, (24, 1))
    grid = Grid.over(Edges.of(checked([*pins, shapely.Polygon(ring)])))
    column, row = np.floor((ring - (grid.x0, grid.y0)) / grid.size).astype(np.int64).T
    on = rng.integers(0, 3, (2, 24))
    corner = np.stack([grid.x0 + column * grid.size, grid.y0 + row * grid.size], axis=1)
    centre = np.stack([grid.centre_x(column), grid.centre_y(row)], axis=1)
    ring = np.choose(on.T, [ring, corner, centre])
    polygons = [*pins, shapely.Polygon(ring)]
    assert Grid.over(Edges.of(checked(polygons))) == grid

    # Where edges cross centre lines and cell lines of rows, and a little beside.
    a, b = ring, np.roll(ring, -1, axis=0)
    lines = grid.y0 + np.arange(2 * grid.rows) / 2 * grid.size
    edge, line = np.nonzero((a[:, 1:] > lines) != (b[:, 1:] > lines))
    y = lines[line]
    x = a[edge, 0] + (y - a[edge, 1]) / (b - a)[edge, 1] * (b - a)[edge, 0]
    x, y = np.append(x, ring[:, 0]), np.append(y, ring[:, 1])
    points = []
    for ulps in (-3, -1, 0, 1, 3):
        beside = x + ulps * np.spacing(x)
        for up in (0.0, 1e-15, -1e-15, 0.2, -0.2, 0.4999, -0.4999):
            points.append(np.stack([beside, y + up * grid.size], axis=1))
            points.append(np.stack([x + up * grid.size, y + ulps * np.spacing(y)], axis=1))
    for side in (corner, centre):
        points += [side, np.nextafter(side, -np.inf), np.nextafter(side, np.inf)]
    check(polygons, *np.concatenate(points).T)


@pytest.fixture(scope="module")
def planet() -> list[Any]:
    """A whole map of 400 shapes with shared, ragged borders, holes, lakes, islands and overlaps."""
    rng = np.random.default_rng(11)
    seeds = shapely.MultiPoint(np.stack(uniform_on_sphere(400, rng), axis=1))
    world = shapely.box(-180, -90, 180, 90)
    shapes = shapely.get_parts(shapely.voronoi_polygons(seeds, extend_to=world))
    shapes = shapely.segmentize(shapely.intersection(shapes, world), 0.7)

    def ragged(xy: NDArray[Any]) -> NDArray[Any]:
        # The same shift for the same vertex, so that neighbours still share their border.
        shift = np.sin(xy * 37.0 + xy[:, ::-1] * 71.0) * 0.1
        inner = (np.abs(xy[:, 0]) < 179.5) & (np.abs(xy[:, 1]) < 89.5)
        return np.asarray(np.where(inner[:, None], xy + shift, xy))

    shapes = list(shapely.transform(shapes, ragged))
    lakes = shapely.buffer(shapely.points(np.stack(uniform_on_sphere(60, rng), axis=1)), 2.0)
    shapes = [shapely.difference(s, shapely.union_all(lakes)) if s.is_valid else s for s in shapes]
    islands = shapely.buffer(shapely.points(np.stack(uniform_on_sphere(40, rng), axis=1)), 1e-3)
    return [*[s for i, s in enumerate(shapes) if i % 3], shapely.union_all(islands), *shapes[:20]]


@pytest.mark.slow
def test_a_whole_map_with_shared_borders_has_no_mismatch(planet: list[Any]) -> None:
    rng = np.random.default_rng(5)
    for lon, lat in (
        uniform_on_sphere(100_000, rng),
        border_points(planet, rng, 1_000),
        edge_of_the_map(500),
    ):
        check(planet, lon, lat)


def shapes_of(path: Path) -> NDArray[Any]:
    address = f"/vsizip/{path}" if path.suffix == ".zip" else path
    _, _, geometry, _ = pyogrio.raw.read(address, columns=[])
    return np.asarray(shapely.from_wkb(geometry))


@pytest.mark.slow
def test_a_million_places_on_the_real_ecoregions_have_no_mismatch(resolve_data: Path) -> None:
    polygons = shapes_of(resolve_data / "Ecoregions2017.shp")
    assert len(polygons) == 847
    index = check(polygons, *uniform_on_sphere(1_000_000, np.random.default_rng(2017)))
    rng = np.random.default_rng(1)
    for lon, lat in (border_points(polygons, rng, 2_000), edge_of_the_map(2_000)):
        np.testing.assert_array_equal(index.query(lon, lat), truth(polygons, lon, lat))


@pytest.mark.slow
def test_detailed_coasts_of_real_countries_have_no_mismatch() -> None:
    path = find("natural-earth-countries")
    if path is None:
        pytest.skip("natural-earth-countries is not on this machine: wherefrom data fetch")
    polygons = shapes_of(path)
    rng = np.random.default_rng(10)
    parts = uniform_on_sphere(30_000, rng), border_points(polygons, rng, 400), edge_of_the_map(200)
    check(polygons, *np.concatenate(parts, axis=1))


def test_the_lowest_of_several_polygons_wins_on_their_common_border() -> None:
    left, right = shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)
    for polygons in ([left, right], [right, left]):
        assert PolygonIndex(polygons).query([1.0], [0.5]).tolist() == [0]
    assert PolygonIndex([left, right]).query([0.5, 1.5], [0.5, 0.5]).tolist() == [0, 1]


def test_a_polygon_hidden_under_another_shows_where_that_ends() -> None:
    # The border of the small one crosses cells that the large one covers without an edge.
    small, large = shapely.box(4.1, 4.1, 4.9, 4.9), shapely.Point(4.5, 4.5).buffer(300, 4096)
    lon = np.linspace(4.0, 5.0, 1001)
    for polygons in ([small, large], [large, small]):
        check(polygons, lon, np.full_like(lon, 4.5))


def test_a_lake_in_a_self_crossing_country_does_not_send_all_its_places_to_shapely() -> None:
    bow_tie = [(0, 0), (8, 0), (8, 8), (4, 8), (5, 9), (4, 9), (5, 8), (0, 8)]
    lake, beyond, across, other = (
        [(x, y), (x + 2, y), (x + 2, y + 2), (x, y + 2)]
        for x, y in ((1, 1), (20, 20), (7, 5), (2, 2))
    )
    around = [(-9, -9), (19, -9), (19, 19), (-9, 19)]
    rng = np.random.default_rng(6)
    points = np.concatenate([rng.uniform(-10, 23, (5_000, 2)), rng.uniform(0, 9, (5_000, 2))])
    for holes, opaque in (
        ([lake], False),
        ([lake, [(5, 5), (6, 5), (6, 6)]], False),
        ([beyond], True),
        ([across], True),
        ([lake, other], True),
        ([around], True),
        ([lake, [(1.5, 1.5), (2, 1.5), (2, 2)]], True),
    ):
        country = shapely.Polygon(bow_tie, holes)
        assert not country.is_valid
        assert Edges.of(checked([country])).opaque.tolist() == [opaque]
        check([country], *points.T)


def test_islands_far_smaller_than_a_cell_are_found() -> None:
    islands = [shapely.Point(lon, 10.0).buffer(1e-6) for lon in (-170.0, 0.1, 170.0)]
    index = check(islands, np.array([-170.0, 0.1, 170.0, 5.0]), np.full(4, 10.0))
    assert index.query([-170.0, 0.1, 170.0], [10.0] * 3).tolist() == [0, 1, 2]


@pytest.mark.slow
def test_crowded_cells_are_worked_off_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    # All 3,000 edges of a star lie in few cells, for a far polygon stretches the grid.
    angle = np.linspace(0, 2 * np.pi, 3_000, endpoint=False)
    radius = np.where(np.arange(len(angle)) % 2, 0.004, 0.010)
    star = shapely.Polygon(np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=1))
    polygons = [star, shapely.box(170, 80, 180, 90)]
    lon, lat = np.random.default_rng(3).uniform(-0.012, 0.012, (2, 4_000))
    whole = check(polygons, lon, lat).query(lon, lat)
    monkeypatch.setattr(index_module, "_POINTS", 7)
    monkeypatch.setattr(index_module, "_EDGES", 1)
    np.testing.assert_array_equal(PolygonIndex(polygons).query(lon[:50], lat[:50]), whole[:50])


def test_building_in_small_pieces_changes_nothing(
    planet: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = PolygonIndex(planet)
    monkeypatch.setattr(crossings_module, "_AT_ONCE", 10_007)
    pieces = PolygonIndex(planet)
    lon, lat = uniform_on_sphere(100_000, np.random.default_rng(9))
    np.testing.assert_array_equal(pieces.query(lon, lat), whole.query(lon, lat))


def test_threads_and_repetition_change_nothing(planet: list[Any]) -> None:
    index = PolygonIndex(planet)
    lon, lat = uniform_on_sphere(200_000, np.random.default_rng(8))
    wanted = index.query(lon, lat)
    found: list[NDArray[np.int32]] = []
    threads = [
        threading.Thread(target=lambda: found.append(index.query(lon, lat))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for answer in [*found, PolygonIndex(planet).query(lon, lat)]:
        np.testing.assert_array_equal(answer, wanted)


def test_no_polygons_no_places_and_empty_polygons_are_fine() -> None:
    for polygons in ([], [None, shapely.Polygon(), shapely.MultiPolygon()]):
        index = PolygonIndex(polygons)
        assert index.query([0.0, 180.0], [0.0, 90.0]).tolist() == [-1, -1]
        assert index.query([], []).shape == (0,)


def test_places_that_are_not_finite_or_do_not_match_are_refused() -> None:
    index = PolygonIndex([shapely.box(0, 0, 1, 1)])
    with pytest.raises(ValueError, match="place 2 is not finite"):
        index.query([0.0, 0.5, np.nan], [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="place 0 is not finite"):
        index.query([0.0], [-np.inf])
    for lon, lat in (([0.0, 1.0], [0.0]), (0.0, 0.0), ([[0.0]], [[0.0]])):
        with pytest.raises(ValueError, match=r"shape \(N,\)"):
            index.query(lon, lat)


def test_geometries_without_an_inside_are_refused_by_position() -> None:
    good = shapely.box(0, 0, 1, 1)
    with pytest.raises(ValueError, match="geometry 1 is a Point"):
        PolygonIndex([good, shapely.Point(0, 0)])
    with pytest.raises(ValueError, match="polygon 1 has a coordinate that is not finite"):
        PolygonIndex([good, shapely.Polygon([(0, 0), (np.inf, 0), (0, 1)])])
    with pytest.raises(ValueError, match="must be shapely geometries"):
        PolygonIndex([good, "POLYGON EMPTY"])
