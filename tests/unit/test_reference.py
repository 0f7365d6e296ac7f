"""Places are held against the surface asked for, and it is where it is said to be."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from wherefrom import audit
from wherefrom.auditing.drawing import Drawing
from wherefrom.auditing.findings import Commands, Named
from wherefrom.auditing.lattice import ALL_LAND, Ground, land_lattice, uniform_on_land
from wherefrom.earth import layer
from wherefrom.earth.extent import Extent
from wherefrom.earth.land import on_land
from wherefrom.earth.sphere import EARTH_RADIUS_KM, distance_km, uniform_on_sphere
from wherefrom.earth.surfaces import COAST_KM, SURFACES, Surface, lies_on, uniform_on
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.report.audit_page import audit_page
from wherefrom.report.audit_text import audit_text

SEAS: tuple[Surface, ...] = ("ocean", "coast", "all")


def test_the_share_of_a_surface_is_not_what_the_table_says() -> None:
    lon, lat = uniform_on_sphere(400_000, np.random.default_rng(0))
    for name, words in SURFACES.items():
        share = float(lies_on(name, lon, lat, antarctica=False).mean())  # type: ignore[arg-type]
        assert share == pytest.approx(words.share, abs=0.003), name


def test_the_ocean_holds_land_or_the_coast_neither_side() -> None:
    lon, lat = uniform_on_sphere(50_000, np.random.default_rng(1))
    land, ocean, coast = (lies_on(name, lon, lat) for name in ("land", "ocean", "coast"))
    assert (land ^ ocean).all()
    assert 0.3 < float(land[coast].mean()) < 0.6


def test_the_coast_is_off_by_more_than_metres() -> None:
    # Around a straight stretch of the Texan coast, against the polygon's own border.
    polygons = layer("land").lookup.shapes(0)  # type: ignore[attr-defined]
    box = shapely.box(-99, 25, -95, 29)
    border = shapely.intersection(shapely.boundary(shapely.union_all(
        shapely.intersection(polygons, box.buffer(2)))), box.buffer(1.5))  # fmt: skip
    points = shapely.get_coordinates(shapely.segmentize(border, 0.001))
    inner = box.buffer(1.4)
    points = points[shapely.contains_xy(inner, points[:, 0], points[:, 1])]
    rng = np.random.default_rng(2)
    lon, lat = rng.uniform(-98.5, -95.5, 300), rng.uniform(25.5, 28.5, 300)
    km = np.array([distance_km(x, y, *points.T).min() for x, y in zip(lon, lat, strict=True)])
    told = np.abs(km - COAST_KM) > 0.02
    assert (lies_on("coast", lon, lat) == (km <= COAST_KM))[told].all()
    assert 50 < (km <= COAST_KM).sum() < 250


def test_borders_between_countries_the_pole_or_the_antimeridian_are_coast() -> None:
    # Inland at a border of two countries; near the pole; on 180 degrees in Chukotka's hills.
    lon, lat = np.array([10.45, 0.0, 180.0, -180.0]), np.array([47.55, -89.8, 67.3, 67.3])
    assert lies_on("land", lon, lat).all()
    assert not lies_on("coast", lon, lat).any()


@pytest.mark.parametrize("name", SEAS)
def test_uniform_places_lie_elsewhere_or_change_with_their_number(name: Surface) -> None:
    lon, lat = uniform_on(name, 2000, np.random.default_rng(3))
    assert lies_on(name, lon, lat).all()
    assert on_land(lon, lat)[0].any() == (name != "ocean")
    pool = Pool.build(500, seed=1, reference=name)
    assert lies_on(name, pool.lon, pool.lat).all()
    np.testing.assert_array_equal(pool.lon[:100], Pool.build(100, seed=1, reference=name).lon)
    assert SURFACES[name].name in pool.origin


@pytest.mark.parametrize("name", ["land", *SEAS])
def test_a_lattice_is_of_another_area(name: Surface) -> None:
    ground = Ground(antarctica=True, surface=name)
    lattice = land_lattice(1 << 14, ground)
    assert lies_on(name, lattice.lon, lattice.lat).all()
    share = lattice.area_km2 / (4 * np.pi * EARTH_RADIUS_KM**2)
    assert share == pytest.approx(0.2877 if name == "land" else SURFACES[name].share, abs=0.003)
    if name != "land":
        assert len(lattice) == pytest.approx(1 << 14, rel=0.03)
        # As many cells on this surface as there are on land.
        assert ground.finer == pytest.approx(np.sqrt(0.2636 / SURFACES[name].share), rel=0.02)
    assert lies_on(name, *uniform_on_land(300, np.random.default_rng(0), ground)).all()


@pytest.mark.parametrize("name", ["ocean", "coast"])
def test_a_clean_set_has_findings_or_speaks_of_land(
    name: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drawing, "png", lambda self, dpi=0: b"")  # which takes seconds
    pool = Pool.build(600, seed=5, reference=name)
    found = audit(pool, reference=name, layers=["continent"])
    assert not found.findings, [finding.text for finding in found.findings]
    assert found.about["reference"] == name
    text = audit_text(found)
    assert f"if uniform on {SURFACES[name].name}" in text
    assert "on land" not in text
    assert "{ground}" not in text
    page = audit_page(found)
    assert "{ground}" not in page
    assert f"uniform by area on {SURFACES[name].name}" in page
    assert "on land" not in page


def test_places_of_land_are_clean_against_the_ocean() -> None:
    pool = Pool.build(600, seed=6)
    found = audit(pool, reference="ocean", layers=["continent"])
    names = [finding.name for finding in found.findings]
    assert "elsewhere" in names
    assert not {"sea", "swapped-axes", "antarctica"} & set(names)
    said = next(one for one in found.findings if one.name == "elsewhere")
    assert said.text.startswith("100 % of the places do not lie on the ocean")
    gaps = next(one for one in found.findings if one.name == "gaps")
    assert gaps.text.startswith("Gaps: half of the ocean is farther than")
    assert gaps.command.endswith("--reference ocean --out ocean.parquet")


def test_an_extent_of_the_sea_has_nothing_to_compare_with() -> None:
    sea = Extent.of("box=-60,30,-40,45")
    assert Ground(within=sea).none
    ground = Ground(within=sea, surface="ocean")
    assert not ground.none
    assert ground.area_km2 == pytest.approx(2_934_000, rel=0.01)
    assert str(ground) == "ocean within box=-60,30,-40,45"
    coast = Extent.of("country=Kenya").part_on("coast")
    shore = Extent.of("country=Kenya").part_on("all")
    assert coast.area_km2 < 0.1 * shore.area_km2
    assert shore.area_km2 == pytest.approx(580_000, rel=0.03)
    places = Pool.build(300, within="country=Kenya", reference="coast")
    assert lies_on("coast", places.lon, places.lat).all()
    with pytest.raises(WherefromError, match="there is hardly any ocean to draw from"):
        Pool.build(300, within="country=Chad", reference="ocean")


def test_remedies_forget_the_surface() -> None:
    commands = Commands(Named("a.csv"), 100, 100, reference="coast")
    assert commands.build() == (
        "wherefrom pool build --places 1000 --reference coast --out coast.parquet"
    )
    assert commands.match("land", "biome").startswith(f"{commands.build()} && wherefrom draw")
    assert "target=coast.parquet" in commands.match("land", "biome")
    assert commands.audit("--seed", "1") == "wherefrom audit a.csv --reference coast --seed 1"
    with pytest.raises(WherefromError, match=r"unknown reference 'sea': .*Known: land, ocean"):
        audit(Pool.build(10), reference="sea")
    assert str(ALL_LAND) == "land"
