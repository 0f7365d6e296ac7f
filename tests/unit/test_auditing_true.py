"""Findings are true: of places, not rows; causes first; a region is one; nothing is cut unsaid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

import wherefrom
from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import Audit, audited
from wherefrom.auditing.faults import Opened, Zeros, cleaned, open_table, without_faults
from wherefrom.auditing.findings import Commands, Finding, Named, kilometres, ranked
from wherefrom.auditing.space.region import Region
from wherefrom.auditing.tally import distinct_places
from wherefrom.earth.extent import Extent
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, places_of, scan
from wherefrom.report.audit_text import audit_text


def audit(table: Any, **given: Any) -> Audit:
    pool = table if isinstance(table, Pool) else Pool.from_table(table)
    return audited(Asked(pool, **{"wanted": ["continent"], **given}))


def names(found: Audit, *, causes: bool = True) -> list[str]:
    return [finding.name for finding in (found.causes if causes else found.findings)]


@pytest.fixture(scope="module")
def land() -> Pool:
    return Pool.build(1000, seed=5)


@pytest.fixture(scope="module")
def seasons(land: Pool) -> pa.Table:
    """Give every place of a clean set four rows, in no order."""
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(1000), 4))
    crop = [("wheat", "rice")[row % 2] for row in rows]
    return pa.table({"lon": land.lon[rows], "lat": land.lat[rows], "crop": crop})


# Several rows at one place.


def test_rows_of_one_place_make_clusters_gaps_and_neighbours(land: Pool, seasons: pa.Table) -> None:
    found, once = audit(seasons), audit(land)
    assert names(found) == ["duplicates"]
    (finding,) = found.findings
    assert finding.size == 0.75
    assert "4,000 rows at 1,000 places, 4 each" in finding.text
    about = found.about
    assert (about["places"], about["rows"], about["distinct"]) == (4000, 4000, 1000)
    assert "4,000 rows of 1,000 places" in audit_text(found)
    space, due = found.space, once.space
    assert space.density == due.density
    assert space.coverage.median_km == due.coverage.median_km
    assert space.coverage.uniform_median_km == due.coverage.uniform_median_km
    assert space.latitude.p == pytest.approx(due.latitude.p)
    assert found.space.duplicates.within_1km == once.space.duplicates.within_1km
    assert found.layers["continent"].rows == once.layers["continent"].rows


def test_seasons_in_files_are_counted_as_places(tmp_path: Path, seasons: pa.Table) -> None:
    Pool.from_table(seasons.slice(0, 2000)).write(tmp_path / "a.parquet")
    Pool.from_table(seasons.slice(2000).append_column("id", pa.array(range(2000, 4000)))).write(
        tmp_path / "b.parquet"
    )
    assert names(audited(Asked(scan(tmp_path), wanted=["continent"]))) == ["duplicates"]


def test_labels_of_a_place_are_those_of_its_first_row() -> None:
    # The crop changes from year to year, so rows are counted; they are worth 3 places, no more.
    table = pa.table({"lon": [1.0, 1.0, 2.0, 3.0], "lat": [48.0] * 4, "crop": list("abba")})
    found = audit(table, wanted=["crop", "continent"])
    assert [(row.label, row.places) for row in found.layers["crop"].rows] == [("a", 2), ("b", 2)]
    assert found.layers["crop"].effective_places == pytest.approx(16 / 6)
    assert found.layers["continent"].places == 3


def test_repeated_rows_of_a_reference_make_it_sure_of_itself(seasons: pa.Table, land: Pool) -> None:
    found = audit(land, against=Pool.from_table(seasons), named=Named(against="s.parquet"))
    assert found.layers.sizes["continent"] == 1000
    assert names(found) == []


def test_multiplicities_of_a_composition_are_lost_where_rows_share_a_place() -> None:
    pool = Pool.from_table(pa.table({"lon": [1.0, 1.0, 2.0], "lat": [0.0, 0.0, 0.0]}))
    seen = distinct_places(pool, np.array([2.0, 3.0, 1.0]))
    assert seen.weights is not None
    assert seen.weights.tolist() == [5.0, 0.0, 1.0]
    assert (seen.rows, seen.weight, seen.effect) == (3, 6.0, 26 / 14)


def test_distinct_places_are_counted_another_way(land: Pool) -> None:
    weights = np.ones(len(land))
    assert distinct_places(land, weights).weights is weights
    assert distinct_places(land).weights is None


def test_an_id_of_a_place_is_a_fault_of_its_own(land: Pool) -> None:
    rows = np.repeat(np.arange(1000), 3)
    table = pa.table({"place": rows, "lon": land.lon[rows], "lat": land.lat[rows]})
    opened = without_faults(places_of(table, "place"))
    found = audited(Asked(opened.pool, wanted=["continent"]), opened.faults)
    assert names(found) == ["duplicates"]
    assert found.consequences(found.causes[0]) == "From this may follow: repeated ids (67 %)."
    assert cleaned(opened)[0].ids.tolist() == list(range(1000))


@pytest.mark.slow
def test_a_published_set_of_four_seasons_is_a_quarter_near_duplicates(reference_data: Path) -> None:
    file = reference_data / "field" / "files" / "ssl4eo_s12_v1.1_val_metadata.parquet"
    if not file.is_file():
        pytest.skip(f"no metadata of SSL4EO-S12 at {file}")
    tiles = pq.read_table(file, columns=["geometry"]).column("geometry").to_numpy()
    middle = shapely.centroid(shapely.from_wkb(tiles))
    found = audit(pa.table({"lon": shapely.get_x(middle), "lat": shapely.get_y(middle)}))
    assert (found.about["rows"], found.about["distinct"]) == (8704, 2176)
    assert "near-duplicates" not in names(found)
    assert found.space.duplicates.within_1km == pytest.approx(0.017, abs=0.001)


def test_rows_too_many_to_compare_are_called_places(
    seasons: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tally", "space.duplicates"):
        monkeypatch.setattr(f"wherefrom.auditing.{module}.IN_MEMORY", 3999)
    found = audit(seasons)
    (finding,) = [each for each in found.findings if each.name == "duplicates"]
    assert "The other findings count rows" in finding.text
    assert "near-duplicates" not in names(found)  # these compare places at any size
    assert found.about["distinct"] == 1000


@pytest.mark.parametrize("step", [10.0, 2.5, 0.75, 0.2])
def test_a_grid_is_told_as_a_finer_one_and_its_node_as_missing(step: float) -> None:
    axes = [np.arange(-8, 9) * step] * 2
    lon, lat = (each.ravel() for each in np.meshgrid(*axes))
    table = pa.table({"lon": lon, "lat": lat})
    found = audit(table)
    assert f"on a lattice of {step:g}°" in next(
        each.text for each in found.findings if each.name == "rounded"
    )
    assert "null-island" not in names(found)
    left, _ = cleaned(Opened(Pool.from_table(table)), findings=found.findings)
    assert len(left) == len(lon)


def test_a_missing_coordinate_is_told_as_a_node_of_rounded_places(land: Pool) -> None:
    rng = np.random.default_rng(0)
    lon, lat = land.lon.round(), land.lat.round()
    for zeros in (1, 20):
        table = pa.table(
            {"lon": np.append(lon, [0.0] * zeros), "lat": np.append(lat, [0.0] * zeros)}
        )
        assert "null-island" in names(audit(table))
    lone = rng.uniform(5, 50, (2, 400)) * (rng.random(400) < 0.5)
    lone[1] = np.where(lone[0] > 0, 0.0, rng.uniform(5, 50, 400))
    table = pa.table({"lon": np.append(lone[0], 0.0), "lat": np.append(lone[1], 0.0)})
    assert "null-island" in names(audit(table))


def test_angles_from_the_pole_are_told_as_swapped_axes(land: Pool) -> None:
    opened = without_faults(places_of(pa.table({"lon": land.lon, "lat": 90.0 - land.lat})))
    found = audited(Asked(opened.pool), opened.faults)
    first = found.findings[0]
    assert first.name == "colatitude"
    assert f"lat is out of range in {int((land.lat < 0).sum()):,} of 1,000 rows" in first.text
    assert "give 90 - lat" in first.text
    assert [each.name for each in found.causes] == ["colatitude"]
    north = land.lat > 0
    typo = pa.table(
        {"lon": np.append(land.lon[north], 120.0), "lat": np.append(land.lat[north], 95)}
    )
    assert [fault.name for fault in without_faults(places_of(typo)).faults] == ["out-of-range"]


@pytest.mark.parametrize("metres", [40.0, 200.0])
def test_copies_some_way_apart_make_clusters_and_gaps_of_their_own(
    land: Pool, metres: float
) -> None:
    turn = np.tile(np.arange(5) * 2 * np.pi / 5, len(land))
    lon, lat = (np.repeat(each, 5) for each in (land.lon, land.lat))
    apart = metres / 111_200
    lon = lon + apart * np.cos(turn) / np.cos(np.radians(lat))
    found = audit(pa.table({"lon": np.clip(lon, -180, 180), "lat": lat + apart * np.sin(turn)}))
    follows = {each.name: each.follows for each in found.findings}
    assert next(iter(follows)) == "near-duplicates"
    assert follows["clusters"] == follows["gaps"] == "near-duplicates"


@pytest.mark.parametrize("moved", [1e-7, 1e-6, 1e-5])
def test_copies_moved_by_rounding_or_noise_make_clusters_and_gaps(land: Pool, moved: float) -> None:
    rng = np.random.default_rng(0)
    lon, lat = (np.tile(each, 3) for each in (land.lon, land.lat))
    lon, lat = lon + rng.uniform(-moved, moved, 3000), lat + rng.uniform(-moved, moved, 3000)
    table = pa.table({"lon": lon, "lat": lat})
    found, once = audit(table), audit(land)
    assert names(found) == ["near-copies"]
    (finding,) = found.findings
    assert finding.size == pytest.approx(2 / 3, abs=0.01)
    assert found.about["distinct"] == pytest.approx(1000, abs=20)
    assert found.space.duplicates.within_1km == pytest.approx(
        once.space.duplicates.within_1km, abs=0.01
    )
    left, removed = cleaned(Opened(Pool.from_table(table)), findings=found.findings)
    assert len(left) == found.about["distinct"]
    assert removed["within 5 m of an earlier place"] == 3000 - len(left)
    assert names(audit(left)) == []


@pytest.mark.parametrize("kind", ["float32", "decimals", "a thousand each", "at 180 degrees"])
def test_one_place_written_in_two_ways_is_counted_twice(land: Pool, kind: str) -> None:
    rng = np.random.default_rng(0)
    lon, lat = land.lon, land.lat
    if kind == "float32":
        lon, lat = (np.append(each, each.astype(np.float32)) for each in (lon, lat))
    elif kind == "decimals":
        lon, lat = (np.append(each, each.round(5)) for each in (lon, lat))
    elif kind == "a thousand each":
        lon, lat = (np.repeat(each[:20], 1000) + rng.normal(0, 2e-7, 20_000) for each in (lon, lat))
    else:
        lon = (180.0 + rng.normal(0, 1e-6, 1000) + 180.0) % 360.0 - 180.0
        lat = np.repeat(np.arange(64.0, 69.0), 200) + rng.normal(0, 1e-6, 1000)
    places = {"a thousand each": 20, "at 180 degrees": 5}.get(kind, 1000)
    seen = distinct_places(Pool.from_table(pa.table({"lon": lon, "lat": lat})))
    assert seen.weights is not None
    assert seen.weights.sum() == pytest.approx(places, rel=0.01)


def test_pixels_of_ten_metres_are_one_place() -> None:
    step = 10.0 / 111_195
    lat, lon = np.meshgrid(46 + step * np.arange(40), 8 + step * np.arange(40) / np.cos(0.81))
    pixels = Pool.from_table(pa.table({"lon": lon.ravel(), "lat": lat.ravel()}))
    assert distinct_places(pixels).weights is None


# Longitudes from 0 to 360.


def turned(land: Pool) -> pa.Table:
    return pa.table({"name": land.ids + 7, "lon": land.lon % 360, "lat": land.lat})


def test_the_west_is_cut_from_longitudes_0_to_360(land: Pool) -> None:
    opened = without_faults(places_of(turned(land), "name"), Named("t.csv"))
    found = audited(Asked(opened.pool, wanted=["continent"]), opened.faults)
    assert names(found) == ["longitudes"]
    west = int((land.lon < 0).sum())
    assert f"in {west:,} of 1,000 rows it is taken by the same meridian" in found.findings[0].text
    left, removed = cleaned(opened)
    assert left.ids.tolist() == (land.ids + 7).tolist()
    assert left.lon == pytest.approx(land.lon)
    assert not any(removed.values())


def test_a_table_mostly_beyond_180_is_refused(land: Pool) -> None:
    west = turned(land).filter(pa.array(land.lon < 0))
    pool, faults, *_ = without_faults(places_of(west, "name"))
    assert len(pool) == west.num_rows
    assert [fault.size for fault in faults] == [1.0]


def test_a_pool_beyond_180_is_refused_without_a_remedy(land: Pool) -> None:
    with pytest.raises(WherefromError, match=r"subtract 360 from these, or let .* --clean OUT"):
        Pool.from_table(turned(land))


def test_projected_metres_are_turned() -> None:
    metres = pa.table({"lon": [3e5, 4e5, 200.0], "lat": [5e6, 5e6, 5.0]})
    with pytest.raises(WherefromError, match=r"row.*300000.*projected metres"):
        without_faults(places_of(metres))


# What is cleaned away is said, and ids stay.


def test_two_repeated_ids_renumber_all_rows(tmp_path: Path, land: Pool) -> None:
    tiles = [f"T{i}" for i in range(1000)]
    tiles[500] = tiles[20]
    lon = land.lon.copy()
    lon[3], lon[7] = np.nan, 1e6
    frame = pd.DataFrame({"tile_id": tiles, "lon": lon, "lat": land.lat})
    frame.to_csv(tmp_path / "t.csv", index=False)
    opened = open_table(tmp_path / "t.csv", "tile_id")
    left, removed = cleaned(opened)
    assert {reason: count for reason, count in removed.items() if count} == {
        "without coordinates": 1, "out of range": 1, "repeat an earlier id": 1,
    }  # fmt: skip
    assert len(left) + sum(removed.values()) == 1000
    assert left.ids.tolist() == [tile for i, tile in enumerate(tiles) if i not in (3, 7, 500)]


def test_an_attribute_taken_for_an_id_costs_most_places() -> None:
    many = pa.table({"zone": ["a"] * 9 + ["b"], "lon": np.arange(10.0), "lat": np.zeros(10)})
    with pytest.raises(WherefromError, match="7 of 9 places repeat the id of another place"):
        cleaned(without_faults(places_of(many, "zone")))


def test_a_column_swap_is_cleaned(land: Pool) -> None:
    # Asia and Europe: a quarter is out of range as given, and the rest is wrong and within it.
    asia = land.table.filter(pa.array((land.lon > -10) & (land.lon < 170) & (land.lat > 0)))
    given = places_of(asia, lon="lat", lat="lon", source="t.csv")
    assert (np.abs(given.lat) > 90).mean() == pytest.approx(0.25, abs=0.15)
    with pytest.raises(
        WherefromError, match=r"^t.csv: lat and lon look exchanged: .*lon='lon', lat='lat'"
    ):
        without_faults(given)


def test_a_few_exchanged_rows_are_taken_for_all(land: Pool) -> None:
    lon, lat = land.lon.copy(), land.lat.copy()
    rows = np.flatnonzero((lon > 95) & (lon < 120))[:3]
    lon[rows], lat[rows] = land.lat[rows], land.lon[rows]
    inside = np.abs(lon) <= 90
    _, faults, *_ = without_faults(places_of(pa.table({"lon": lon[inside], "lat": lat[inside]})))
    assert [fault.name for fault in faults] == ["swapped"]


# Causes before consequences.


def test_exchanged_axes_come_after_what_follows_from_them(land: Pool) -> None:
    old = land.table.filter(pa.array((land.lon > -20) & (land.lon < 60) & (np.abs(land.lat) < 70)))
    swapped = Pool.from_table(old, lon="lat", lat="lon")
    found = audit(swapped, named=Named("t.csv", ("--id", "tile", "--lon", "x", "--lat", "y")))
    assert names(found) == ["swapped-axes"]
    astray = Pool.from_table(
        pa.table({"lon": np.append(swapped.lon, 150.0), "lat": np.append(swapped.lat, 60.0)})
    )
    assert names(audit(astray)) == ["swapped-axes"]
    assert {"continent", "density", "sea"} <= set(names(found, causes=False))
    assert found.findings[0].command == "wherefrom audit t.csv --id tile --lon y --lat x"
    assert "From this follow: " in audit_text(found)
    with pytest.raises(WherefromError, match=r"nothing is cleaned.*--lon y --lat x"):
        cleaned(Opened(swapped), findings=found.findings)


@pytest.mark.parametrize(
    "box", [(37, 40, -2, 3), (8, 13, 49, 53), (-2.5, 0, 6, 10)], ids=["Kenya", "Germany", "Ghana"]
)
def test_an_exchanged_box_without_a_coast_is_drawn_on_land(box: tuple[float, ...]) -> None:
    west, east, south, north = box
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(west, east, 400), rng.uniform(south, north, 400)
    found = audit(pa.table({"lon": lat, "lat": lon}), named=Named("t.csv"))
    said = [each for each in found.findings if each.name in ("region", "sea", "swapped-axes")]
    assert said[0] == found.findings[0]
    for each in said:
        assert "lon and lat" in each.text.split("lie")[0]
        assert each.command == "wherefrom audit t.csv --lon lat --lat lon"
    assert not any("exchanged" in each.text for each in audit({"lon": lon, "lat": lat}).findings)


def test_a_box_at_sea_is_called_exchanged_out_of_its_extent() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({"lon": rng.uniform(62, 66, 300), "lat": rng.uniform(13, 16, 300)})
    assert "swapped-axes" not in names(audit(table, within=Extent.of("box=62,13,66,16")))


def test_a_small_cause_hides_a_large_difference() -> None:
    few = Finding("antarctica", 0.1, "", "")
    small = Finding("continent", 0.11, "", "", may_follow=("antarctica",))
    large = Finding("density", 0.5, "", "", may_follow=("antarctica",))
    found = [(each.name, each.follows) for each in ranked([small, large, few])]
    assert found == [("density", ""), ("antarctica", ""), ("continent", "antarctica")]


def test_antarctica_is_said_to_have_none_of_the_land(land: Pool) -> None:
    rng = np.random.default_rng(0)
    lon = np.r_[land.lon, rng.uniform(-60, 120, 150)]
    lat = np.r_[land.lat, rng.uniform(-85, -78, 150)]
    found = audit(pa.table({"lon": lon, "lat": lat}))
    by_name = {finding.name: finding for finding in found.findings}
    assert "which does not count as land here" in by_name["antarctica"].text
    assert by_name["continent"].follows == "antarctica"
    assert "Antarctica has 12 % of the places and does not count as land" in (
        by_name["continent"].text
    )
    assert by_name["clusters"].follows == "antarctica"
    assert names(found) == ["antarctica"]
    line = by_name["antarctica"].command
    assert line == "wherefrom audit places.parquet --antarctica"


def test_clusters_of_their_own_are_laid_on_antarctica(land: Pool) -> None:
    rng = np.random.default_rng(0)
    lon = np.r_[land.lon, rng.uniform(-60, 120, 150), rng.normal(20, 1, 400)]
    lat = np.r_[land.lat, rng.uniform(-85, -78, 150), rng.normal(5, 1, 400)]
    found = audit(pa.table({"lon": lon, "lat": lat}))
    assert {"clusters", "antarctica"} <= set(names(found))


# Coordinates that are 0.


def test_latitudes_that_were_lost_go_unseen(land: Pool) -> None:
    lat = np.where(np.arange(1000) < 120, 0.0, land.lat)
    found = audit(pa.table({"lon": land.lon, "lat": lat}))
    (zero,) = [finding for finding in found.findings if finding.name == "zero-lat"]
    assert zero.size == 0.12
    left, removed = cleaned(Opened(Pool.from_table(pa.table({"lon": land.lon, "lat": lat}))),
                            findings=found.findings)  # fmt: skip
    assert (len(left), removed["of latitude 0"]) == (880, 120)


@pytest.mark.parametrize("step", [10.0, 1.0])
def test_a_grid_through_the_equator_is_called_lost(step: float) -> None:
    lon, lat = np.meshgrid(np.arange(-180, 180, step), np.arange(-50, 51, step))
    asked = Asked(Pool.from_table(pa.table({"lon": lon.ravel(), "lat": lat.ravel()})))
    asked.sample.lon, asked.sample.lat = lon.ravel(), lat.ravel()
    assert Zeros.of(asked, ()).findings(Commands(Named(), 1, 1)) == []


# A regional set.


def region(lon: Any, lat: Any) -> Region | None:
    asked = Asked(Pool.from_table(pa.table({"lon": lon, "lat": lat})))
    asked.sample.lon, asked.sample.lat = np.asarray(lon), np.asarray(lat)
    return Region.of(asked, ())


def test_a_country_is_told_five_times_that_it_is_not_the_world(land: Pool) -> None:
    rng = np.random.default_rng(0)
    found = audit(pa.table({"lon": rng.uniform(26, 30, 300), "lat": rng.uniform(12, 15, 300)}))
    assert names(found) == ["region"]
    assert {"clusters", "density", "continent", "gaps"} <= set(names(found, causes=False))
    (line,) = [finding for finding in found.causes if finding.name == "region"]
    assert "all places lie in Sudan" in line.text
    assert line.command == "wherefrom audit places.parquet --within country=Sudan"


def test_a_box_across_180_degrees_is_taken_for_the_world() -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(172, 190, 300), rng.uniform(-20, -12, 300)
    found = region((lon + 180) % 360 - 180, lat)
    assert found is not None
    assert found.west > 170
    assert found.east < -168
    (said,) = found.findings(Commands(Named(), 300, 300))
    assert "between 1" in said.text


@pytest.mark.parametrize("continent", ["Africa", "Asia", "South America"])
def test_a_continent_is_no_region(continent: str) -> None:
    pool = Pool.build(4000, seed=1)
    codes, labels = pool.codes("continent")
    own = codes == labels.index(continent)
    found = region(pool.lon[own], pool.lat[own])
    assert found is not None
    assert (found.layer, found.label) == ("continent", continent)


def test_the_world_or_a_few_places_are_a_region(land: Pool) -> None:
    assert region(land.lon, land.lat) is None
    assert region(land.lon[:9], land.lat[:9]) is None
    north = land.lat > 0
    assert region(land.lon[north], land.lat[north]) is None


def test_neighbours_in_a_small_region_are_held_against_the_whole_land() -> None:
    # 3,000 places at random on 100 by 100 km: most have another one within 1 km by chance alone.
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(20, 20.9, 3000), rng.uniform(0, 0.9, 3000)
    found = audit(pa.table({"lon": lon, "lat": lat}))
    assert found.space.duplicates.within_1km > 0.5
    assert "near-duplicates" not in names(found)
    dense = Pool.from_table(pa.table({"lon": rng.uniform(20, 20.9, 9), "lat": [0.5] * 9}))
    assert "near-duplicates" not in names(
        audit(pa.table({"lon": lon, "lat": lat}), against=dense, named=Named(against="r.parquet"))
    )


def test_a_table_all_out_of_range_is_compared_with_no_row(land: Pool) -> None:
    pacific = pa.table({"lat": [-155.6, -157.9], "lon": [19.6, 21.4]})
    with pytest.raises(WherefromError, match=r"lon and lat look swapped in 2 of 2 rows"):
        without_faults(places_of(pacific))


def test_a_set_at_sea_is_compared_with_the_land_of_its_box() -> None:
    rng = np.random.default_rng(0)
    found = audit({"lon": rng.uniform(-40, -30, 300), "lat": rng.uniform(30, 40, 300)})
    assert names(found) == ["sea"]
    assert found.findings[0].command == ""  # no draw has a place on land
    assert "region (9" in found.consequences(found.causes[0])
    assert "$" not in audit_text(found)


def test_a_cause_that_follows_takes_its_own_consequences_away() -> None:
    found = ranked([
        Finding("clusters", 0.9, "", "", may_follow=("sea", "region")),
        Finding("gaps", 0.5, "", "", may_follow=("region",)),
        Finding("region", 0.97, "", "", may_follow=("sea",)),
        Finding("sea", 0.99, "", ""),
    ])  # fmt: skip
    assert [each.follows for each in found] == ["", "sea", "sea", "sea"]


def test_nothing_is_left_by_a_printed_command() -> None:
    rng = np.random.default_rng(0)
    lost = audit({"lon": np.r_[rng.uniform(10, 40, 300), [11.0] * 50], "lat": np.zeros(350)})
    assert names(lost)[0] == "zero-lat"
    assert "no other latitude" not in lost.findings[0].text
    gone = audit({"lon": np.zeros(30), "lat": np.zeros(30)})
    for found in (lost, gone):
        assert not any("--clean" in each.command for each in found.findings)
    assert not any("leaves them out" in each.text for each in lost.findings)


@pytest.mark.parametrize("axis", ["lon", "lat"])
def test_the_box_of_places_on_a_line_is_none(axis: str) -> None:
    table = {"lon": np.linspace(0.3, 29.7, 300), "lat": np.linspace(40.0, 60.0, 300)}
    table[axis] = np.full(300, 48.0)
    found = region(table["lon"], table["lat"])
    assert found is not None
    (said,) = found.findings(Commands(Named(), 300, 300))
    if "box=" in said.command:
        west, south, east, north = map(float, said.command.split("box=")[1].split(","))
        assert west < east
        assert south < north
        assert Extent.of(said.command.split()[-1]).text
    assert "at 48.0°" in said.text


def test_a_region_drops_places_unsaid() -> None:
    japan = Pool.build(200, seed=1, within="country=Japan")
    rng = np.random.default_rng(0)  # off the coast
    lon = np.r_[japan.lon, rng.uniform(142, 145, 100)]
    lat = np.r_[japan.lat, rng.uniform(35, 38, 100)]
    found = region(lon, lat)
    assert found is not None
    (said,) = found.findings(Commands(Named(), 300, 300))
    assert "67 % of the places lie in Japan, 98 % of all between" in said.text
    assert "the other 33 % are left out" in said.text


def test_exchanged_points_are_given_flags_that_refuse_them(land: Pool) -> None:
    asia = (land.lon > 20) & (land.lon < 170) & (land.lat > 0)
    points = shapely.to_wkb(shapely.points(land.lat[asia], land.lon[asia]))
    table = pa.table({"geometry": pa.array(points)})
    with pytest.raises(WherefromError, match=r"look exchanged.*exchange them: gdf.geometry = "):
        without_faults(places_of(table, lon="geometry", lat="geometry"))


# Words.


def test_an_audit_says_how_repeated_places_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("lon,lat\n1,1\n1,1\n2,50\n0,0\n")
    found = wherefrom.audit(tmp_path / "t.csv", layers=["continent"])
    (note,) = found.about["notes"]
    assert note == "an earlier row has the same place in 1 of 4 rows: 1"
    (zero,) = (each for each in found.findings if each.name == "null-island")
    assert zero.text.startswith("1 row (25 %) is at 0° E 0° N")


def test_nothing_is_compared_with_land_and_a_share_is_that_on_land() -> None:
    rng = np.random.default_rng(0)
    table = {"lon": rng.uniform(-40, -39.9, 300), "lat": rng.uniform(30, 30.1, 300)}
    text = audit_text(audit(table, within=Extent.of("box=-40,30,-39.9,30.1")))
    assert "another place within 1 km" in text
    assert "on land" not in text


def test_metres_are_written_in_powers_of_ten() -> None:
    assert [kilometres(km) for km in (0.2113, 0.00123, 0.9999, 1e-9)] == [
        "211 m", "1.2 m", "1 km", "0.1 m",
    ]  # fmt: skip


def test_a_table_in_memory_has_two_names_in_commands() -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0, 3.0], "y": [50.0] * 4, "tile": list("abca")})
    found = wherefrom.audit(frame, id="tile", lon="x", lat="y", layers=["continent"])
    assert {"missing", "duplicate-id"} <= set(names(found, causes=False))
    for finding in found.findings:
        assert "places.parquet --id tile --lon x --lat y" in finding.command, finding.command


def test_a_file_is_refused_in_python_that_the_command_audits(tmp_path: Path, land: Pool) -> None:
    frame = pd.DataFrame({"lon": land.lon % 360, "lat": land.lat})
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = wherefrom.audit(tmp_path / "t.csv", layers=["continent"])
    assert names(found) == ["longitudes"]
    assert str(tmp_path / "t.csv") in found.findings[0].command
