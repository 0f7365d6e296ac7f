"""Layers: known places, the published values themselves, and errors that name the row."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from wherefrom import plugins
from wherefrom.earth import (
    CATEGORICAL,
    CONTINENTS,
    VALUES,
    Layer,
    UnopenedLayer,
    ValueLayer,
    available,
    kept,
    layer,
    path_of,
)
from wherefrom.earth.lookup import PolygonIndex
from wherefrom.earth.polygons import read_shapes
from wherefrom.earth.sphere import uniform_on_sphere
from wherefrom.errors import UnknownNameError, WherefromError

OFFLINE = tuple(name for name in CATEGORICAL if name not in ("biome", "ecoregion"))
PLACES = {
    "Amazon": (-65.0, -5.0),
    "Berlin": (13.4, 52.52),
    "Nairobi": (36.82, -1.29),
    "Sahara": (10.0, 24.0),
    "Verkhoyansk": (133.4, 67.55),
    "Perth": (115.86, -31.95),
    "Vostok": (106.8, -78.46),
    "Pacific": (-150.0, 0.0),
}
KNOWN = {
    "land": ["land"] * 7 + [""],
    "continent": [
        "South America", "Europe", "Africa", "Africa", "Europe", "Oceania", "Antarctica", "",
    ],
    "country": [
        "Brazil", "Germany", "Kenya", "Algeria", "Russia", "Australia", "Antarctica", "",
    ],
    "land_cover": [
        "Evergreen Broadleaf Forests", *["Urban and Built-up Lands"] * 2, "Barren", "Savannas",
        "Urban and Built-up Lands", "Permanent Snow and Ice", "Water Bodies",
    ],
    "forest": ["forest", "", "", "", "", "", "", ""],
    "cropland": ["other"] * 7 + [""],
    # The zone file is the only raster that says nothing of its own orientation.
    "climate_zone": ["Af", "Cfb", "Cfb", "BWh", "Dfd", "Csa", "EF", ""],
    "biome": [
        "Tropical & Subtropical Moist Broadleaf Forests", "Temperate Broadleaf & Mixed Forests",
        "Tropical & Subtropical Moist Broadleaf Forests", "Deserts & Xeric Shrublands",
        "Boreal Forests/Taiga", "Mediterranean Forests, Woodlands & Scrub", "", "",
    ],
}  # fmt: skip


def of(places: dict[str, tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = np.array(list(places.values())).T
    return lon, lat


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "biome"])
def test_no_layer_is_shifted_flipped_or_mislabelled(name: str) -> None:
    assert layer(name)(*of(PLACES)).tolist() == KNOWN[name]


@pytest.mark.slow
def test_biomes_follow_their_names_not_the_tundra_number_of_bare_ice(resolve_data: Path) -> None:
    biome = layer("biome")
    assert biome(*of(PLACES)).tolist() == KNOWN["biome"]
    assert len(biome.labels) == 14
    assert biome.labels[0] == "Tropical & Subtropical Moist Broadleaf Forests"
    assert biome.labels[-1] == "Mangroves"
    region = layer("ecoregion")
    assert len(region.labels) == 847
    assert region(106.8, -78.46).tolist() == ["Rock and Ice"]
    assert biome.codes(106.8, -78.46).tolist() == [-1]
    assert "Cordillera Central páramo" in region.labels


def test_ecoregions_are_those_of_the_published_polygons(resolve_data: Path) -> None:
    shapes, columns = read_shapes(resolve_data / "Ecoregions2017.shp", ("ECO_NAME",))
    lon, lat = uniform_on_sphere(4000, np.random.default_rng(5))
    points, positions = shapely.STRtree(shapes).query(
        shapely.points(lon, lat), predicate="intersects"
    )
    expected = np.full(len(lon), "", dtype=object)
    expected[points] = columns["ECO_NAME"][positions]
    assert (layer("ecoregion")(lon, lat) == expected).all()


def test_ecoregions_leave_no_gap_at_the_antimeridian_and_the_pole(resolve_data: Path) -> None:
    region = layer("ecoregion")
    taiga = region([180.0, -180.0, 179.99999, -179.99999], [67.0] * 4)
    assert set(taiga.tolist()) == {"Chukchi Peninsula tundra"}
    ice = region([0.0, -180.0, 180.0, 57.3, 179.9995], [-90.0, -90.0, -88.0, -89.95, -88.0])
    assert set(ice.tolist()) == {"Rock and Ice"}
    assert region([180.0, 180.0], [0.0, 60.0]).tolist() == ["", ""]


def test_without_the_ecoregions_the_error_names_file_and_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path))
    monkeypatch.delenv("WHEREFROM_DATA", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there: no network
    assert not available("biome")
    assert not available("ecoregion")
    with pytest.raises(WherefromError) as caught:
        layer("biome")
    for part in ("Ecoregions2017.shp", "WHEREFROM_DATA", "Ecoregions2017.zip", str(tmp_path)):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", OFFLINE)
def test_codes_and_labels_never_disagree(name: str) -> None:
    lon, lat = uniform_on_sphere(5000, np.random.default_rng(1))
    opened = layer(name)
    codes, labels = opened.codes(lon, lat), opened(lon, lat)
    assert codes.dtype == np.int32
    assert len(set(opened.labels)) == len(opened.labels)
    assert all(opened.labels)
    assert codes.min() >= -1
    assert codes.max() < len(opened.labels)
    assert ((codes == -1) == (labels == "")).all()
    assert [opened.labels[c] for c in codes if c >= 0] == labels[codes >= 0].tolist()


def test_labels_take_more_memory_than_a_pointer_a_place() -> None:
    opened = layer("land_cover")
    labels = opened(*uniform_on_sphere(5000, np.random.default_rng(1)))
    assert labels.nbytes == 8 * len(labels)
    # Entries are the layer's own strings: nothing is behind the pointers either.
    assert {id(label) for label in labels} <= {id(label) for label in opened.labels}
    assert (labels == "Barren").dtype == bool  # place by place, not one answer for all
    assert pa.array(labels).type == pa.string()


@settings(max_examples=60)
@given(
    st.floats(-90, 90), st.sampled_from([n for n in (*OFFLINE, *VALUES) if n != "city_distance"])
)
def test_the_antimeridian_is_one_line_not_two(lat: float, name: str) -> None:
    opened = layer(name)
    east, west = opened([180.0], [lat]), opened([-180.0], [lat])
    np.testing.assert_array_equal(east, west)


def test_land_covers_the_pole_and_the_antimeridian() -> None:
    land = layer("land")
    assert land([0.0, 180.0, -180.0, 180.0], [-90.0, -85.0, 67.0, 67.0]).tolist() == ["land"] * 4
    assert land([0.0, 180.0], [90.0, 0.0]).tolist() == ["", ""]


def test_continents_are_the_six_and_antarctica() -> None:
    continent = layer("continent")
    assert continent.labels == (*CONTINENTS, "Antarctica")
    assert list(CONTINENTS) == sorted(CONTINENTS)
    lon, lat = uniform_on_sphere(100_000, np.random.default_rng(2))
    on_land = layer("land").codes(lon, lat) >= 0
    assert ((continent.codes(lon, lat) >= 0) == on_land).all()


@pytest.mark.parametrize(
    ("place", "lon", "lat", "expected"),
    [
        ("French Guiana", -53.0, 4.0, "South America"),
        ("Guadeloupe", -61.68, 16.15, "North America"),
        ("Bonaire", -68.27, 12.18, "North America"),
        ("Reunion", 55.5, -21.1, "Africa"),
        ("Bouvet Island", 3.36, -54.42, "Antarctica"),
        ("Mauritius", 57.55, -20.3, "Africa"),
        ("Seychelles", 55.47, -4.68, "Africa"),
        ("Male", 73.509, 4.175, "Asia"),
        ("South Georgia", -36.8, -54.4, "South America"),
        ("Paris", 2.35, 48.85, "Europe"),
        ("Hawaii", -155.5, 19.6, "North America"),
        ("Greenland", -42.0, 70.0, "North America"),
        ("Istanbul, east", 29.1, 41.0, "Asia"),
    ],
)
def test_no_overseas_part_or_open_ocean_island_is_on_the_wrong_continent(
    place: str, lon: float, lat: float, expected: str
) -> None:
    assert layer("continent")(lon, lat).tolist() == [expected]


@pytest.mark.slow
def test_russia_is_europe_unless_it_is_split_at_the_urals() -> None:
    west = {
        "Moscow": (37.6, 55.75), "Kazan": (49.1, 55.8), "Ufa": (56.0, 54.7), "Perm": (56.3, 58.0),
        "Vorkuta": (64.05, 67.5), "Kaliningrad": (20.5, 54.7), "Grozny": (45.7, 43.3),
        "Astrakhan": (48.03, 46.35), "Novaya Zemlya": (66.0, 76.3),
    }  # fmt: skip
    east = {
        "Yekaterinburg": (60.6, 56.84), "Chelyabinsk": (61.4, 55.16), "Salekhard": (66.6, 66.53),
        "Sol-Iletsk": (55.0, 51.16), "Novosibirsk": (82.9, 55.0), "Vladivostok": (131.9, 43.15),
        "Chukotka": (-175.0, 66.5), "Severnaya Zemlya": (97.0, 79.5), "180 E": (180.0, 67.0),
    }  # fmt: skip
    whole, split = layer("continent"), layer("continent", split_russia=True)
    assert set(whole(*of(west | east)).tolist()) == {"Europe"}
    assert set(split(*of(west)).tolist()) == {"Europe"}
    assert set(split(*of(east)).tolist()) == {"Asia"}
    assert whole.key != split.key
    lon, lat = uniform_on_sphere(100_000, np.random.default_rng(3))
    differ = whole.codes(lon, lat) != split.codes(lon, lat)
    assert set(layer("country")(lon[differ], lat[differ]).tolist()) == {"Russia"}
    with pytest.raises(WherefromError, match="split_russia must be True or False, not 'yes'"):
        layer("continent", split_russia="yes")


def test_cropland_is_fields_and_mosaics_and_never_water() -> None:
    lon, lat = uniform_on_sphere(200_000, np.random.default_rng(6))
    cover, crops = layer("land_cover")(lon, lat), layer("cropland")(lon, lat)
    assert set(cover[crops == "cropland"]) == {"Croplands", "Cropland/Natural Vegetation Mosaics"}
    assert set(cover[crops == ""]) == {"Water Bodies"}
    assert len(set(cover[crops == "other"])) == 14
    fields = {"Iowa": (-93.5, 42.0), "Ukraine": (32.0, 48.0), "Punjab": (75.5, 30.5)}
    assert layer("cropland")(*of(fields)).tolist() == ["cropland"] * 3


def test_countries_have_their_unbroken_english_names() -> None:
    country = layer("country")
    assert len(country.labels) == 250
    assert {"South Korea", "Democratic Republic of the Congo", "Curaçao"} <= set(country.labels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "variable", "opened"),
    [("modis-land-cover", "", "land_cover"), ("era5-climatology", "t2m", "temperature")],
)
def test_a_raster_is_read_as_its_own_georeference_says(
    source: str, variable: str, opened: str
) -> None:
    lon, lat = uniform_on_sphere(2000, np.random.default_rng(4))
    path = path_of(source)
    with rasterio.open(f"netcdf:{path}:{variable}" if variable else path) as raster:
        # ERA5 counts longitudes from 0; half a pixel west of that belongs to the first one too.
        west = raster.transform.c
        expected = np.array(list(raster.sample(zip((lon - west) % 360 + west, lat, strict=True))))
    chosen = layer(opened)
    found = chosen.codes(lon, lat)[:, None] if isinstance(chosen, Layer) else chosen(lon, lat)
    assert (found == expected).all()


def test_values_are_in_the_stated_units_of_known_places() -> None:
    # The netCDF says K and m, but holds degC and mm per month.
    lon, lat = of(PLACES)
    warm, rain, high = layer("temperature"), layer("precipitation"), layer("elevation")
    assert (warm.units, rain.units, high.units) == ("degC", "mm/month", "m")
    months = dict(zip(PLACES, warm(lon, lat), strict=True))
    assert months["Amazon"].shape == (12,)
    assert months["Berlin"][[0, 6]] == pytest.approx([1.0, 19.6], abs=1.5)
    assert months["Verkhoyansk"][0] < -40
    assert months["Perth"][0] > months["Perth"][6] + 8  # the south has summer in January
    assert months["Vostok"].mean() == pytest.approx(-55, abs=5)
    totals = dict(zip(PLACES, rain(lon, lat).sum(axis=1), strict=True))
    assert totals["Sahara"] < 50
    assert totals["Berlin"] == pytest.approx(600, rel=0.2)
    assert totals["Amazon"] > 2000
    metres = dict(zip(PLACES, high(lon, lat), strict=True))
    assert metres["Nairobi"] == pytest.approx(1700, abs=100)
    assert metres["Vostok"] == pytest.approx(3490, abs=60)
    assert np.isnan(metres["Pacific"])
    assert high(86.925, 27.988)[0] > 5500  # Everest, mean over 9 km
    assert high(35.5, 31.5)[0] < -100  # Dead Sea
    for values in (warm(lon, lat), rain(lon, lat), high(lon, lat)):
        assert values.dtype == np.float32


@pytest.mark.parametrize(
    ("lon", "lat", "message"),
    [
        ([0, 13.4], [0, 113.4], r"row 1: lat 113\.4 .*swapped with lon\?"),
        ([0, 1, 200.0], [0, 1, 2], r"row 2: lon 200\.0 .*subtract 360"),
        ([0, -1e6], [0, 5e6], r"row 1: lat 5000000\.0 .*latitudes are in degrees"),
        ([0, float("nan"), float("inf")], [0, 0, 0], r"row 1: lon nan.*\(2 rows in all\)"),
        ([0, 1], [0], r"of one length, not \(2,\) and \(1,\)"),
        ([[0.0]], [[0.0]], r"one-dimensional"),
    ],
)
def test_wrong_coordinates_are_refused_by_row_never_wrapped(
    lon: list[float], lat: list[float], message: str
) -> None:
    for name in ("land_cover", "elevation"):
        with pytest.raises(WherefromError, match=message):
            layer(name)(lon, lat)


def test_no_places_give_no_labels() -> None:
    assert layer("continent")([], []).shape == (0,)
    assert layer("precipitation")([], []).shape == (0, 12)


def test_a_misspelt_layer_or_option_is_answered_with_the_nearest() -> None:
    with pytest.raises(WherefromError, match="unknown layer 'bimoe': did you mean 'biome'"):
        layer("bimoe")
    with pytest.raises(UnknownNameError, match="unknown layer") as caught:
        available("bimoe")
    # Who looks in columns too must tell this from an error within a layer, after any journey.
    told = pickle.loads(pickle.dumps(caught.value))
    assert (told.kind, told.name, str(told)) == ("layer", "bimoe", str(caught.value))
    with pytest.raises(WherefromError, match="did you mean 'split_russia'"):
        layer("continent", split_rusia=True)
    with pytest.raises(WherefromError, match="option of layer land"):
        layer("land", split_russia=True)


@pytest.mark.parametrize("name", plugins.BUILT_IN["layers"])
def test_a_layer_of_ours_says_something_else_before_it_is_open(
    name: str, resolve_data: Path
) -> None:
    declared = plugins.kind("layers", name).load()
    assert isinstance(declared, UnopenedLayer)
    assert (declared.name, "\n" in declared.about) == (name, False)
    opened = declared.open()
    assert (opened.name, opened.key) == (name, declared.key())
    assert [whose.name for whose in opened.source] == [declared.source]
    assert (name in VALUES) == isinstance(opened, ValueLayer)
    assert (name in CATEGORICAL) == isinstance(opened, Layer)


def test_a_users_own_layer_goes_wherever_a_name_goes() -> None:
    north = Layer(
        "hemisphere", ("south", "north"), (), "0", lambda lon, lat: (lat > 0).astype(np.int32)
    )
    assert layer(north) is north
    assert north([0.0, 0.0], [5.0, -5.0]).tolist() == ["north", "south"]
    with pytest.raises(WherefromError, match="takes no options"):
        layer(north, size=3)


@pytest.mark.slow
def test_keys_tell_layers_options_and_contents_apart(
    resolve_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [layer(name).key for name in (*CATEGORICAL, *VALUES)]
    keys += [layer("city_distance", min_population=1_000_000).key]
    assert len(set(keys)) == len(keys)
    assert layer("biome").key == layer("biome").key
    for file in resolve_data.glob("Ecoregions2017.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("WHEREFROM_DATA", str(tmp_path))
    same = layer("biome").key
    assert same in keys
    table = tmp_path / "Ecoregions2017.dbf"
    table.write_bytes(table.read_bytes().replace(b"Congolian", b"congolian"))
    assert layer("biome").key != same


def test_every_layer_says_whose_data_it_is() -> None:
    for name in (*OFFLINE, *VALUES):
        (source,) = layer(name).source
        assert source.licence
        assert source.citation


def test_a_slow_index_is_kept_by_content_and_answers_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "MANY_VERTICES", 0)
    squares = [shapely.box(i, i, i + 2, i + 2) for i in range(5)]
    lon, lat = np.random.default_rng(0).uniform(-1, 8, (2, 500))
    built = kept.polygon_index("squares", squares, "a").query(lon, lat)
    (file,) = (tmp_path / "kept").iterdir()
    written = file.stat().st_mtime_ns
    read = kept.polygon_index("squares", squares, "a").query(lon, lat)
    assert file.stat().st_mtime_ns == written
    assert (read == built).all()
    assert set(read) == {-1, 0, 1, 2, 3, 4}
    kept.polygon_index("squares", squares, "another file")
    assert len(list((tmp_path / "kept").iterdir())) == 2


@pytest.mark.parametrize("ending", ["shp", "shx", "dbf"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_cut_shapefile_gives_a_map_with_holes(
    resolve_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, share: float
) -> None:
    for file in resolve_data.glob("Ecoregions2017.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    cut = tmp_path / f"Ecoregions2017.{ending}"
    cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * share)])
    monkeypatch.setenv("WHEREFROM_DATA", str(tmp_path))
    with pytest.raises(WherefromError, match=f"{cut} is cut off: it states"):
        layer("biome")


def test_a_torn_derived_file_ends_in_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "MANY_VERTICES", 0)
    squares = [shapely.box(i, i, i + 2, i + 2) for i in range(5)]
    built = kept.polygon_index("squares", squares, "a").query([0.5, 5.5], [0.5, 5.5])
    (file,) = (tmp_path / "kept").iterdir()
    whole = file.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        again = kept.polygon_index("squares", squares, "a").query([0.5, 5.5], [0.5, 5.5])
        assert (again == built).all()
        assert "is damaged" in capsys.readouterr().err
        assert len(file.read_bytes()) == len(whole)
    x, y = np.meshgrid(np.linspace(-1, 8, 40), np.linspace(-1, 8, 40))
    read = kept.polygon_index("squares", squares, "a")
    assert capsys.readouterr().err == ""  # not built again
    due = PolygonIndex(squares).query(x.ravel(), y.ravel())
    assert (read.query(x.ravel(), y.ravel()) == due).all()


def test_a_cache_that_cannot_be_written_withholds_the_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(kept, "MANY_VERTICES", 0)
    index = kept.polygon_index("squares", [shapely.box(0, 0, 2, 2)], "a")
    assert index.query([0.5, 5.5], [0.5, 5.5]).tolist() == [0, -1]
    assert "made again the next time" in capsys.readouterr().err
