"""An extent holds what it names and no more, and its land is found however small it is."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from wherefrom.earth.cells import EqualAreaCells
from wherefrom.earth.extent import FEWEST, Extent
from wherefrom.earth.land import on_land
from wherefrom.errors import WherefromError


def geojson(path: Path, *shapes: Any, crs: str = "") -> Path:
    named = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    features = [
        {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(shape)}
        for shape in shapes
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **named}))
    return path


@pytest.mark.parametrize(
    ("given", "km2"),
    [
        ("country=Kenya", 580_000),
        ("country=Luxembourg", 2_590),
        ("country=Vatican", 0.0124),  # as Natural Earth draws it
        ("country=Fiji", 18_500),
        ("continent=South America", 17_700_000),
        ("box=-180,-90,180,90", 146_700_000),
    ],
)
def test_a_small_country_has_too_few_cells_or_the_wrong_area(given: str, km2: float) -> None:
    land = Extent.of(given).land
    assert len(land.inside) >= FEWEST
    assert land.area_km2 == pytest.approx(km2, rel=0.03)
    assert land.extent_km2 >= land.area_km2


@pytest.mark.parametrize("given", ["country=Fiji", "climate_zone=EF", "box=170,-48,-175,-33"])
def test_places_uniform_within_lie_outside_or_at_sea(given: str) -> None:
    extent = Extent.of(given)
    lon, lat = extent.land.uniform(3000, np.random.default_rng(0))
    assert len(lon) == 3000
    assert extent.holds(lon, lat).all()
    assert on_land(lon, lat)[0].all()


def test_places_uniform_within_are_denser_in_some_cells() -> None:
    land = Extent.of("country=Kenya").land
    cells = EqualAreaCells(160)
    due = np.bincount(cells.cell(*land.cells.centre(land.inside)), minlength=cells.count)
    due = due / due.sum()
    places = land.uniform(20_000, np.random.default_rng(1))
    got = np.bincount(cells.cell(*places), minlength=cells.count)
    many = due * 20_000 >= 5
    chi2 = ((got - due * 20_000)[many] ** 2 / (due * 20_000)[many]).sum()
    assert chi2 / many.sum() == pytest.approx(1.0, abs=0.4)


def test_a_box_across_the_antimeridian_holds_the_rest_of_the_world() -> None:
    box = Extent.of("box=172,-20,-170,-12")
    assert box.holds(
        np.array([173.0, -171.0, 180.0, -180.0, 0.0, 171.0]), np.full(6, -15.0)
    ).tolist() == [True, True, True, True, False, False]
    beyond = Extent.of("box=172,-20,190,-12")
    assert beyond.holds(np.array([-171.0, -169.0]), np.full(2, -15.0)).tolist() == [True, False]
    whole = Extent.of("box=100,-90,180,90")
    assert whole.holds(np.array([180.0, -180.0, -179.9]), np.zeros(3)).tolist() == [
        True, True, False,
    ]  # fmt: skip


def test_polygons_of_a_file_are_taken_for_their_box_or_in_metres(tmp_path: Path) -> None:
    triangle = shapely.Polygon([(34, 0), (40, 0), (34, 6)])
    away = shapely.box(10, 50, 11, 51)
    extent = Extent.of(geojson(tmp_path / "two.geojson", triangle, away))
    lon, lat = np.array([35.0, 39.0, 10.5]), np.array([1.0, 5.0, 50.5])
    assert extent.holds(lon, lat).tolist() == [True, False, True]
    metres = shapely.box(1_110_000, 6_440_000, 1_230_000, 6_630_000)  # 10.0 to 11.0, 50.0 to 51.0
    mercator = Extent.of(geojson(tmp_path / "metres.geojson", metres, crs="EPSG:3857"))
    assert mercator.holds(lon, lat).tolist() == [False, False, True]
    with pytest.raises(WherefromError, match="and are no degrees"):
        Extent.of(geojson(tmp_path / "lost.geojson", metres))
    with pytest.raises(WherefromError, match="holds no polygon"):
        Extent.of(geojson(tmp_path / "points.geojson", shapely.Point(1, 2)))
    hole = tmp_path / "hole.geojson"
    hole.write_text(geojson(hole, away).read_text().replace("11.0", "NaN"))
    with pytest.raises(WherefromError, match=r"not finite|cannot be read"):
        Extent.of(hole)
    with pytest.raises(WherefromError, match="cannot be read as polygons"):
        Extent.of(tmp_path)
    (tmp_path / "table.geojson").write_text("lon,lat\n")
    with pytest.raises(WherefromError, match="cannot be read as polygons"):
        Extent.of(tmp_path / "table.geojson")


@pytest.mark.parametrize(
    ("ring", "said"),
    [
        ([(170, -20), (-170, -20), (-170, 0), (170, 0)], "from 170, -20 to -170, -20.*split it"),
        ([(178, 0), (179.9, 2), (-179.9, 2), (-179.9, -2)], "antimeridian"),
        ([(0, 0), (10, 10), (10, 0), (0, 10)], r"1 of 1 polygons are not valid \(Self-inter.*mend"),
    ],
    ids=["antimeridian", "small", "bow tie"],
)
def test_a_polygon_that_crosses_itself_or_the_antimeridian_is_taken_silently(
    tmp_path: Path, ring: list[tuple[float, float]], said: str
) -> None:
    (tmp_path / "p.geojson").write_text(shapely.to_geojson(shapely.Polygon(ring)))
    with pytest.raises(WherefromError, match=said):
        Extent.of(tmp_path / "p.geojson")


def test_a_polygon_across_the_antimeridian_cannot_be_written(tmp_path: Path) -> None:
    for name, shape in {
        "beyond": shapely.box(170, -20, 190, 0),
        "split": shapely.MultiPolygon([shapely.box(170, -20, 180, 0),
                                       shapely.box(-180, -20, -170, 0)]),
    }.items():  # fmt: skip
        (tmp_path / f"{name}.geojson").write_text(shapely.to_geojson(shape))
        held = Extent.of(tmp_path / f"{name}.geojson").holds(
            np.array([175.0, -175.0, 0.0]), np.full(3, -5.0)
        )
        assert held.tolist() == [True, True, False]
    (tmp_path / "south.geojson").write_text(shapely.to_geojson(shapely.box(-180, -90, 180, -60)))
    assert Extent.of(tmp_path / "south.geojson").holds(np.array([0.0]), np.array([-70.0])).all()


def test_many_small_polygons_far_apart_have_no_cells(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(20, 30, 300), rng.uniform(-10, 10, 300)
    fields = [shapely.box(x, y, x + 0.003, y + 0.003) for x, y in zip(lon, lat, strict=True)]
    land = Extent.of(geojson(tmp_path / "fields.geojson", *fields)).land
    assert not land.none
    assert land.area_km2 == pytest.approx(300 * 0.3336**2 * 0.995, rel=0.05)


def test_the_open_ocean_has_land_to_compare_with() -> None:
    sea = Extent.of("box=-60,30,-40,45").land
    assert sea.none
    assert sea.extent_km2 == pytest.approx(2_934_000, rel=0.01)
    lake = Extent.of("box=-150,-10,-149.99,-9.99").land
    assert (lake.none, len(lake.inside)) == (True, 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("country=kenya", "no label 'kenya': did you mean 'Kenya'"),
        ("continent=Atlantis", r"no label 'Atlantis'.* Known: Africa, Asia"),
        ("contry=Kenya", "did you mean 'country'"),
        ("elevation=200", "holds values, not labels"),
        ("box=1,2,3", "a box is WEST,SOUTH,EAST,NORTH"),
        ("box=1,5,3,2", "south below north"),
        ("box=1,nan,3,2", "a box is"),
        ("box=0,-91,1,1", "a box is"),
        ("kenya.geojson", "there is no such file"),
        ("", "there is no such file"),
    ],
)
def test_what_is_no_extent_is_taken_for_the_world(given: str, said: str) -> None:
    with pytest.raises(WherefromError, match=said) as told:
        Extent.of(given)
    assert "\n" not in str(told.value)


def test_a_layer_of_someone_else_is_no_extent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "outside" / "src"))
    extent = Extent.of("wherefrom_outside.bands:belt=tropics")
    assert not extent.land.none
    assert np.abs(extent.land.uniform(500, np.random.default_rng(0))[1]).max() < 23.4


def test_an_extent_that_travels_is_another() -> None:
    box = Extent.of("box=170,-20,-170,0")
    assert pickle.loads(pickle.dumps(box)) == box
    assert hash(pickle.loads(pickle.dumps(box))) == hash(box)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("USA", "United States of America"), ("Tanzania", "Tanzania"), ("Kenia", "Kenya")],
)
def test_a_country_by_another_of_its_names_is_refused_without_a_remedy(
    given: str, meant: str
) -> None:
    with pytest.raises(WherefromError, match=f"did you mean .*{meant}"):
        Extent.of(f"country={given}")


def test_a_name_in_other_letters_is_said_to_mean_any_country() -> None:
    with pytest.raises(WherefromError, match=r"has no label '中国'\."):
        Extent.of("country=中国")
