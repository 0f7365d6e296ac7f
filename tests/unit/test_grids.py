"""A cell holds the places it is named for, has one outline, and what is no cell is refused."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wherefrom import plugins
from wherefrom.earth.grids import Grid, grid
from wherefrom.earth.grids.geohash import Geohash
from wherefrom.earth.sphere import EARTH_RADIUS_KM, unit_vectors, wrap_lon
from wherefrom.errors import UnknownNameError, WherefromError
from wherefrom.testing import check_grid

pytest.importorskip("h3", reason="the grid h3 needs the extra grids")
pytest.importorskip("s2geometry", reason="the grid s2 needs the extra grids")

#: Grids, and the latitudes that they name cells of.
NAMED = {
    "mgrs": (-83.7, 84.6),
    "mgrs:tiles=no": (-80.0, 84.0),
    "majortom": (-89.9, 90.0),
    "majortom:km=333": (-85.0, 90.0),
    "majortom:variant=earth-genome": (-89.9, 90.0),
    "majortom:variant=earth-genome-0,km=7": (-89.9, 89.9),
    "h3": (-89.0, 89.0),
    "h3:resolution=12": (-89.9, 89.9),
    "s2": (-90.0, 90.0),
    "s2:level=1": (-90.0, 90.0),
    "geohash": (-90.0, 90.0),
    "geohash:length=1": (-90.0, 90.0),
    "geohash:length=12": (-90.0, 90.0),
    "worldcover": (-60.0, 83.9),
}
#: Those whose cells do not overlap, so that the middle of one is of no other.
APART = [name for name in NAMED if not name.startswith("mgrs")]
#: Places where zones, bands, rows and columns begin: where a slip of one cell shows.
EDGES = st.sampled_from([-180.0, 180.0, -0.0, 3.0, 5.999999, 6.0, 9.0, 12.0, 21.0, 33.0, 41.99])
LON = EDGES | st.floats(-180.0, 180.0)
LAT = st.sampled_from([-60.0, -0.0, 55.9, 56.0, 63.99, 64.001, 64.1, 72.0, 72.05]) | st.floats(
    -90.0, 90.0
)


def about(shapes: Any, lon: Any, lat: Any) -> Any:
    """Give polygons in metres about a place each, where no longitude jumps."""
    xy, of = shapely.get_coordinates(shapes, return_index=True)
    east = wrap_lon(xy[:, 0] - lon[of]) * np.cos(np.radians(lat[of]))
    degree = 1000.0 * EARTH_RADIUS_KM * np.pi / 180.0
    return shapely.set_coordinates(
        shapes.copy(), degree * np.stack([east, xy[:, 1] - lat[of]], axis=1)
    )


@pytest.mark.parametrize("name", NAMED)
@settings(max_examples=25)
@given(places=st.lists(st.tuples(LON, LAT), min_size=1, max_size=30))
@example(places=[(3.28, 64.002), (4.0, 55.96), (8.9, 72.04), (8.9, 71.99), (-180.0, -16.5)])
@example(places=[(7.0, 90.0)])
def test_a_place_lies_outside_the_cell_that_is_named_for_it(name: str, places: Any) -> None:
    south, north = NAMED[name]
    lon, lat = np.array(places).T
    lat = np.clip(lat, south, north)
    made = grid(name)
    shapes = made.shapes(made.cells(lon, lat))
    assert (np.abs(shapely.get_coordinates(shapes)) <= [180.0, 90.0]).all()
    out = shapely.distance(about(shapes, lon, lat), shapely.Point(0.0, 0.0))
    # Edges are true to 10 m, and next to a pole metres are few degrees.
    assert out.max() < 20.0


@pytest.mark.parametrize("name", APART)
def test_a_cell_does_not_hold_its_own_middle(name: str) -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 300), np.degrees(np.arcsin(rng.uniform(-0.86, 0.99, 300)))
    made = grid(name)
    ids = made.cells(lon, lat)
    moved = about(made.shapes(ids), lon, lat)
    here = shapely.distance(moved, shapely.Point(0.0, 0.0)) < 20.0
    inner = shapely.get_coordinates(shapely.point_on_surface(moved))
    degree = 1000.0 * EARTH_RADIUS_KM * np.pi / 180.0
    x = wrap_lon(lon + inner[:, 0] / degree / np.cos(np.radians(lat)))
    same = made.cells(x, lat + inner[:, 1] / degree) == ids
    assert here.all()
    assert same.all()


@pytest.mark.parametrize(
    ("name", "lon", "lat", "id"),
    [
        # docs/SPEC.md of ESA-PhiLab/Major-TOM, and rows of Core-S2L2A's metadata in its issue 17
        ("majortom", -111.6556, 40.5829, "451U_946L"),
        ("majortom:km=1", -111.6556, 40.5829, "4517U_9441L"),
        ("majortom", 161.746594, -82.318521, "917D_239R"),
        ("majortom", -45.075915, -81.422448, "907D_75L"),
        ("majortom", 0.0, 0.0, "0U_0R"),
        ("majortom", -1e-9, -1e-9, "1D_1L"),
        # what majortom_eg 1.1.0 and 0.2.0 give for these places
        ("majortom:variant=earth-genome", -76.34, 39.545, "dr18yyf2bej"),
        ("majortom:variant=earth-genome-0", -76.34, 39.545, "dr18yyg8u55"),
        ("majortom:variant=earth-genome", 150.1, -33.7, "r648r954yyd"),
        ("majortom:variant=earth-genome", 10.0, 89.5, "upzj4tpnshk"),
        # examples of the documentation of each
        ("h3", -122.0553238, 37.3615593, "85283473fffffff"),
        ("s2:level=30", 11.770681595, 49.703498679, "47a1cbd595522b39"),
        ("geohash:length=11", 10.40744, 57.64911, "u4pruydqqvj"),
        ("worldcover", 8.99, 0.0, "N00E006"),
        ("worldcover", -0.01, -0.01, "S03W003"),
        ("mgrs", 13.4, 52.5, "33UUU"),
        ("mgrs", 5.3, 60.4, "32VKN"),  # 31V but for the odd zone of Norway
        ("mgrs", 15.6, 78.2, "33XWG"),
    ],
)
def test_ids_are_others_than_the_published_ones(name: str, lon: float, lat: float, id: str) -> None:
    assert grid(name).cells([lon], [lat]).tolist() == [id]


def test_cells_of_major_tom_are_others_than_published() -> None:
    (cell,) = grid("majortom").shapes(["451U_946L"])
    assert cell.bounds[:2] == pytest.approx((-111.768953, 40.508982), abs=5e-7)
    assert cell.centroid.coords[0] == pytest.approx((-111.709879, 40.553892), abs=5e-7)
    shifted = grid("majortom:variant=earth-genome").shapes(["dr18yz59hp5"])[0]
    assert shifted.bounds == pytest.approx(
        (-76.34087497, 39.54406081, -76.33714729, 39.54693539), abs=1e-8
    )


def test_a_column_at_180_degrees_has_no_second_name() -> None:
    """Rows of an even number of columns whose last is published as an R, by rounding."""
    first, last = grid("majortom:km=100").shapes(["88D_39L", "88D_39R"])
    assert first.equals_exact(last, 1e-9)
    assert first.bounds[0] == -180.0
    assert grid("majortom:km=100").cells([-179.9], [first.centroid.y]).tolist() == ["88D_39R"]


@pytest.mark.parametrize("name", [*plugins.BUILT_IN["grids"], "majortom:variant=earth-genome"])
@settings(max_examples=40)
@given(ids=st.lists(st.text(max_size=20) | st.from_regex(r"[-0-9A-Za-z_]{1,16}"), max_size=4))
@example(ids=["é", "\x00", "31UFU\n", "０１"])
def test_odd_text_ends_in_another_error(name: str, ids: list[str]) -> None:
    made = grid(name)
    for id in ids:
        try:
            (shape,) = made.shapes(np.array([id], dtype=object))
            said = ""
        except WherefromError as err:
            shape, said = None, str(err)
        assert (shape is None) == said.startswith(f"row 0: {id!r} is no cell of grid")
        assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        (
            "mgrs",
            "31UFU",
            "31IFU 61UFU 00UFU 31UF 31UFU1 31UFI 31UJU 31UFH 32XMG 01ACB 31UAU 1UFUU",
        ),
        ("majortom", "451U_946L", "451U 451U_946 0D_0R 0U_0L 1002U_0R 1002D_0R 451U_9460L -1U_0R"),
        ("majortom:variant=earth-genome", "dr18yyf2bej", "dr18yyf2be dr18yyf2bek 451U_946L"),
        ("h3", "85283473fffffff", "85283473ffffff 0 85283473ffffffg ffffffffffffffff 1234"),
        ("s2", "47a84f", "47a84e0 0 X g1 47a84f0000000000a f1"),
        ("geohash", "u33dc0", "a u33dia uuuuuuuuuuuuu u-3"),
        ("worldcover", "N00E006", "N00E007 S00E006 N00W000 N00E180 N84E000 S63E000 N0E6 N00W183"),
    ],
)
def test_an_id_of_no_cell_is_taken(name: str, right: str, wrong: str) -> None:
    for id in wrong.split():
        made = grid(name)
        with pytest.raises(WherefromError, match=f"row 1: '{id}' is no cell of grid .*such as"):
            made.shapes([right, id, right])
    with pytest.raises(WherefromError, match=r"row 2: '-1'.*\(2 such ids in all\)"):
        grid(name).shapes([right, right, "-1", "-1", "-2"])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["u33", None], r"row 1: an id of grid 'geohash' is missing \(1 rows"),
        ([None], "row 0: an id of grid 'geohash' is missing"),
        ([1.5], "must be text or whole numbers, such as u33dc0: they are double"),
        (np.array(["u", 1.5], dtype=object), "must be text or whole numbers"),
        (np.zeros((2, 2), dtype=int), "must be text or whole numbers"),
    ],
)
def test_a_column_that_holds_no_ids_is_not_said(ids: Any, message: str) -> None:
    with pytest.raises(WherefromError, match=message):
        grid("geohash").shapes(ids)


def test_a_column_of_another_make_is_refused() -> None:
    made = grid("geohash")
    same = made.shapes(["u33", "u4"])
    texts = pa.array(["u33", "u4"])
    for ids in (
        texts,
        texts.dictionary_encode(),
        pa.chunked_array([texts[:1], texts[1:]]),
        texts.cast(pa.string_view()),
        np.array(["u33", "u4"], dtype=object),
        [" u33", "U4 "],
    ):
        assert shapely.equals_exact(made.shapes(ids), same, 0.0).all()
    assert made.shapes("u33").shape == (1,)
    assert made.shapes([]).shape == (0,)
    assert made.shapes([12])[0].equals_exact(made.shapes(["12"])[0], 0.0)


def test_numbers_are_other_cells_than_their_texts() -> None:
    h3, number = grid("h3"), 0x85283473FFFFFFF
    (cell,) = h3.shapes(["85283473fffffff"])
    for ids in ([number], [str(number)], ["085283473FFFFFFF"], np.array([number], dtype=np.uint64)):
        assert h3.shapes(ids)[0].equals_exact(cell, 0.0)
    s2, number = grid("s2"), 0x89C25 << 44  # beyond int64: signed in some tables
    (cell,) = s2.shapes(["89c25"])
    for ids in ([number], [number - 2**64], [str(number)], [str(number - 2**64)]):
        assert s2.shapes(ids)[0].equals_exact(cell, 0.0)


def test_an_id_is_looked_up_more_than_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Counting(Geohash):
        def outlines(self, ids: Any) -> Any:
            asked.append(len(ids))
            return super().outlines(ids)

    shapes = Counting().shapes(["u33", "u4", "u33"] * 1000)
    assert asked == [2]
    assert shapes[0] is shapes[2]


@pytest.mark.parametrize(
    ("name", "lat", "where"),
    [
        ("mgrs", -84.5, "row 1: lon 10, lat -84.5 lies in no cell of grid 'mgrs'"),
        ("mgrs:tiles=no", 84.1, "row 1: lon 10, lat 84.1 lies in no cell"),
        ("worldcover", -60.1, "row 1: lon 10, lat -60.1 .*: tiles go from 60 S to 84 N"),
        ("majortom", -89.99, "row 1: .*the south pole"),
        ("geohash", 90.5, "row 1: lat 90.5 is not within"),
    ],
)
def test_a_place_without_a_cell_is_named_one(name: str, lat: float, where: str) -> None:
    with pytest.raises(WherefromError, match=where):
        grid(name).cells([10.0, 10.0], [10.0, lat])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mgr", "unknown grid 'mgr': did you mean 'mgrs'"),
        ("mgrs:tile=no", "unknown option of grid 'mgrs': 'tile': did you mean 'tiles'"),
        ("worldcover:a=1", "unknown option of grid 'worldcover': 'a'.*none"),
        ("geohash:length=13", "grid 'geohash': length=13: "),
        ("majortom:variant=eg", "grid 'majortom': variant=eg: "),
        ({"kind": "majortom", "km": -1}, "grid 'majortom': km=-1: "),
        ({}, "unknown grid ''"),
        ("wherefrom.errors:unknown", "is no class derived from"),
        ("wherefrom.earth.grids:Grid", "abstract"),
    ],
)
def test_a_wrong_spec_is_not_one_line(spec: Any, message: str) -> None:
    with pytest.raises(WherefromError, match=message) as refused:
        grid(spec)
    assert "\n" not in str(refused.value)


def test_a_grid_of_a_module_needs_a_table() -> None:
    address = "wherefrom.earth.grids.geohash:Geohash"
    made = grid(f"{address}:length=3")
    assert made.cells([13.4], [52.5]).tolist() == ["u33"]
    assert grid(made) is made
    with pytest.raises(UnknownNameError):
        grid("nowhere")


@pytest.mark.parametrize(("name", "module"), [("h3", "h3"), ("s2", "s2geometry")])
def test_an_absent_extra_is_not_named(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for use in (lambda: grid(name).cells([0.0], [0.0]), lambda: grid(name).shapes(["47a84f"])):
        with pytest.raises(WherefromError, match=r"pip install 'wherefrom\[grids\]'"):
            use()


EAST_AND_WEST = [
    ("worldcover", "N00E177"), ("worldcover", "N00W180"), ("geohash", "x"), ("geohash", "8"),
    ("s2", "71dfff"), ("s2", "6d8755"),
]  # fmt: skip


def test_a_cell_at_the_antimeridian_is_as_wide_as_the_world() -> None:
    for name, id in EAST_AND_WEST:
        west, _, east, _ = grid(name).shapes([id])[0].bounds
        assert 0.0 < east - west <= 45.0, name  # it touches only
    for name, id in (("majortom", "368D_1679R"), ("mgrs", "01KAB"), ("h3", "85ba03dbfffffff")):
        x = shapely.get_coordinates(grid(name).shapes([id]))[:, 0]
        assert (np.abs(np.diff(x)) > 300.0).sum() == 2, name  # there and back
        assert np.abs(x).max() <= 180.0


def test_a_cell_at_a_pole_is_cut_short() -> None:
    (cell,) = grid("s2").shapes(grid("s2:level=1").cells([10.0], [89.9]))
    xy = shapely.get_coordinates(cell)
    assert (xy[:, 1] == 90.0).sum() == 2  # along the pole, from one meridian to the next
    assert np.ptp(xy[:, 0]) == pytest.approx(90.0)
    assert cell.covers(shapely.points([xy[:, 0].min() + 1.0], [89.999])).all()


@pytest.mark.parametrize("name", ["h3:resolution=0", "h3:resolution=2", "s2:level=3"])
def test_edges_of_large_cells_leave_their_great_circles(name: str) -> None:
    rng = np.random.default_rng(0)
    made = grid(name)
    lon, lat = rng.uniform(-180, 180, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    for shape in made.shapes(np.unique(made.cells(lon, lat))):
        xy = shapely.get_coordinates(shape)
        step = np.stack([wrap_lon(np.diff(xy[:, 0])), np.diff(xy[:, 1])], axis=1)
        along = step[:, 1] != 0.0  # not along a pole
        half = unit_vectors(*(xy[:-1] + step / 2.0).T)
        normal = np.cross(unit_vectors(*xy[:-1].T), unit_vectors(*xy[1:].T))
        normal = normal[along] / np.linalg.norm(normal[along], axis=1, keepdims=True)
        off = np.abs((normal * half[along]).sum(axis=1)) * EARTH_RADIUS_KM * 1000.0
        assert off.max() < 12.0


@pytest.mark.parametrize("name", plugins.BUILT_IN["grids"])
def test_no_grid_of_ours_breaks_a_promise(name: str) -> None:
    check_grid(name)
    assert isinstance(grid(name), Grid)
