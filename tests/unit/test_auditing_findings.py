"""Findings: one scale, chance taken off, faults named, and none where nothing is amiss."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import Audit, audited
from wherefrom.auditing.faults import AxesTally, Opened, cleaned, open_table, without_faults
from wherefrom.auditing.findings import Commands, Finding, Named, chance_tv, ranked
from wherefrom.auditing.leakage import Leakage, tally_for
from wherefrom.auditing.mapped import MapTally, bands_for
from wherefrom.auditing.payload import SampleEntropy
from wherefrom.auditing.realised import compare
from wherefrom.auditing.space.duplicates import DuplicatesTally
from wherefrom.auditing.space.striping import StripingTally
from wherefrom.auditing.spectral import BinSpec
from wherefrom.auditing.tally import run
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, places_of
from wherefrom.pool.batches import Batch

COMMANDS = Commands(Named("t.csv", planned="plan.parquet"), 1000, 1000)


def table(lon: object, lat: object, **more: object) -> pa.Table:
    return pa.table({"lon": lon, "lat": lat, **more})


def audit(
    pool: Pool, layers: list[str] | None = None, faults: tuple[Finding, ...] = (), **given: Any
) -> Audit:
    return audited(Asked(pool, wanted=layers, **given), faults)


def names(found: Audit) -> list[str]:
    return [finding.name for finding in found.findings]


def distances(train: Pool, test: Pool) -> Leakage:
    (tally,) = run(train, [tally_for(train, test)])
    return tally.result()


@pytest.fixture(scope="module")
def land() -> Pool:
    return Pool.build(1000, seed=5)


@pytest.fixture(scope="module")
def clean(land: Pool) -> Audit:
    return audit(land, layers=["continent", "climate_zone", "land_cover"])


# Chance, scale and commands.


def test_chance_tv_is_not_that_of_simulated_draws() -> None:
    # Mean of 4000 draws: standard error below 0.0006, so 0.003 is five of them.
    rng = np.random.default_rng(0)
    shares = np.array([0.6, 0.25, 0.1, 0.04, 0.009, 0.001])
    counts = rng.multinomial(200, shares, size=4000)
    drawn = np.abs(counts / 200 - shares).sum(axis=1) / 2
    mean, sd = chance_tv(shares, 200)
    assert mean == pytest.approx(drawn.mean(), abs=0.003)
    assert sd / 2 < drawn.std() < sd * 1.6


def test_ranking_depends_on_the_order_of_the_tests() -> None:
    found = [Finding("b", 0.2, "", ""), Finding("c", 0.5, "", ""), Finding("a", 0.2, "", "")]
    for order in (found, found[::-1]):
        assert [f.name for f in ranked(order)] == ["c", "a", "b"]


def test_a_command_breaks_on_a_name_with_spaces_or_separators() -> None:
    commands = Commands(Named("my tiles.csv", ("--lon", "x y")), 100, 100)
    line = commands.match("a,over=b.parquet", "land use")
    assert "'my tiles.csv'" in line
    assert "'x y'" in line
    assert 'target="a,over=b.parquet"' in line


# What an audit says.


def test_a_clean_pool_has_findings(clean: Audit) -> None:
    assert clean.findings == ()
    assert "nothing amiss" in clean._repr_html_().lower()


@pytest.mark.slow
def test_the_same_audit_differs_from_run_to_run(land: Pool, clean: Audit) -> None:
    again = audit(land, layers=["continent", "climate_zone", "land_cover"])
    assert again.to_json() == clean.to_json()
    assert pickle.loads(pickle.dumps(again)).to_json() == clean.to_json()


@pytest.mark.slow
def test_a_pool_differs_from_itself(land: Pool) -> None:
    found = audit(land, against=land, layers=["continent"], named=Named(against="land.parquet"))
    assert found.findings == ()
    assert found.layers["continent"].tv == 0


@pytest.mark.slow
def test_places_of_one_continent_pass_as_even(land: Pool) -> None:
    codes, labels = land.codes("continent")
    europe = np.flatnonzero(codes == labels.index("Europe"))
    pool = Pool.from_table(land.table.take(europe))
    found = audit(pool, layers=["continent"], named=Named("europe.parquet"))
    assert {"continent", "density", "gaps", "latitude"} <= set(names(found))
    # One cause, and under it what follows from it.
    assert [finding.name for finding in found.causes] == ["region"]
    assert "places lie in" not in found.causes[0].text or "Europe" in found.causes[0].text
    sizes = [finding.size for finding in found.findings if finding.follows]
    assert sizes == sorted(sizes, reverse=True)
    assert all(0 < size <= 1 for size in sizes)
    worst = next(f for f in found.findings if f.name == "continent")
    # Europe with Russia has 17 % of the land; of 83 % elsewhere chance gives 170 places 7 %.
    assert worst.size == pytest.approx(0.76, abs=0.01)
    assert "5 labels have no place" in worst.text
    assert worst.command.startswith("wherefrom pool build")


@pytest.mark.slow
def test_a_difference_to_another_pool_is_called_one_to_land(land: Pool) -> None:
    north = Pool.from_table(land.table.take(np.flatnonzero(land.lat > 20)))
    named = Named("north.parquet", against="all.parquet")
    found = audit(north, against=land, layers=["continent"], named=named)
    assert names(found) == ["continent"]
    assert "of all.parquet" in found.findings[0].text
    assert "target=all.parquet" in found.findings[0].command


@pytest.mark.slow
def test_weights_faults_or_entropy_are_lost_on_the_way(land: Pool) -> None:
    use = pa.array(["crop", 'none\t"x"'] * 500)
    pool = Pool.from_table(land.table.append_column("use", use))
    weights = np.where(land.lat > 30, 5.0, 1.0)
    entropy = SampleEntropy(
        land.ids, land.lon, land.lat, np.full(len(land), 2.0), np.zeros(len(land)),
        BinSpec((0.0,), (1.0,)), ("red",), "a test", ("a doubt",),
    )  # fmt: skip
    fault = Finding("missing", 0.01, "lon is missing in 10 rows.", "true")
    layers = ["continent", "use"]
    found = audit(pool, layers=layers, weights=weights, entropy=entropy, faults=(fault,))
    assert (found.about["places"], found.about["rows"]) == (round(weights.sum()), len(land))
    assert {"latitude", "missing"} <= set(names(found))
    assert found.faults == (fault,)
    assert found.layers["use"].tv is None  # land has no such column
    assert found.to_dict()["entropy"]["mean"] == 2.0
    assert "a doubt" in found.about["notes"]


# Two sets.


def test_test_places_within_the_pool_are_no_leakage(land: Pool) -> None:
    test = Pool.from_table(table(land.lon[:100] + 0.001, land.lat[:100]))
    commands = Commands(Named("t.csv", test="test.csv"), 1000, 1000)
    (leak,) = distances(land, test).findings(commands)
    assert leak.size == 1.0
    assert leak.command == "wherefrom audit t.csv --test test.csv --clean clean.parquet"
    apart, removed = cleaned(Opened(land), test)
    assert sum(removed.values()) == len(land) - len(apart) >= 100
    assert distances(apart, test).findings(commands) == []


def test_a_lost_continent_is_not_named(land: Pool) -> None:
    codes, labels = land.codes("continent")
    came = land.table.take(np.flatnonzero(codes != labels.index("Africa")))
    lost = compare(land, Pool.from_table(came, id="id"), ["continent"])
    (loss,) = lost.findings(COMMANDS)
    assert loss.size == pytest.approx(1 - len(came) / len(land))
    assert "Africa (100 %, continent)" in loss.text
    assert "target=plan.parquet" in loss.command


def test_even_losses_are_blamed_on_a_label(land: Pool) -> None:
    came = Pool.from_table(land.table.take(np.arange(0, len(land), 2)), id="id")
    (loss,) = compare(land, came, ["continent"]).findings(COMMANDS)
    assert loss.size == 0.5
    assert "more of" not in loss.text


# Faulty tables: one clear error, or one finding.


def test_faulty_rows_stop_the_audit_of_the_others(land: Pool) -> None:
    lon, lat = land.lon.copy(), land.lat.copy()
    lon[[3, 9]] = np.nan
    lat[20] = 140.0
    pool, faults, *_ = without_faults(places_of(table(lon, lat), source="t.csv"))
    assert len(pool) == len(land) - 3
    assert [fault.size for fault in faults] == [2 / len(land), 1 / len(land)]
    assert faults[0].name == "missing"
    assert ": 3, 9;" in faults[0].text


def test_repeated_ids_stop_the_audit() -> None:
    given = places_of(table([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], id=[7, 7, 8]), source="t.csv")
    pool, faults, *_ = without_faults(given)
    assert pool.ids.tolist() == [0, 1, 2]
    assert [fault.name for fault in faults] == ["duplicate-id"]


def test_projected_metres_are_audited_as_degrees() -> None:
    metres = table(np.arange(500_000.0, 500_050.0), np.arange(5_500_000.0, 5_500_050.0))
    with pytest.raises(WherefromError, match="look like projected metres"):
        without_faults(places_of(metres, source="utm.csv"))


def axes(lon: np.ndarray, lat: np.ndarray) -> list[Finding]:
    tally = AxesTally()
    tally.update(Batch(0, lon, lat))
    return tally.result().findings(COMMANDS)


def test_swapped_axes_within_range_go_unseen(land: Pool) -> None:
    inside = np.abs(land.lon) <= 90
    lon, lat = land.lon[inside], land.lat[inside]
    (finding,) = axes(lat, lon)
    assert finding.name == "swapped-axes"
    assert finding.command == "wherefrom audit t.csv --lon lat --lat lon"
    assert axes(lon, lat) == []


@pytest.mark.parametrize("continent", ["Africa", "Europe", "South America"])
def test_a_continent_is_called_swapped_or_its_swap_is_missed(land: Pool, continent: str) -> None:
    codes, labels = land.codes("continent")
    own = (codes == labels.index(continent)) & (np.abs(land.lon) <= 90)
    assert axes(land.lon[own], land.lat[own]) == []
    assert len(axes(land.lat[own], land.lon[own])) == 1


#: Boxes at coasts, degrees: west, east, south, north.
COASTS = {
    "Svalbard": (11, 25, 77, 80),
    "Norway": (5, 30, 58, 71),
    "Chile": (-76, -68, -55, -18),
    "Cape Verde": (-25.5, -22.5, 14.5, 17.5),
    "Malta": (14, 15, 35.7, 36.2),
    "Florida": (-88, -79, 24, 31),
    "Novaya Zemlya": (50, 70, 70, 78),
    "Null Island": (-5, 5, -5, 5),
    "Antarctica": (0, 60, -75, -65),
    "Kiribati": (172, 177, -3, 4),
    "Alaska": (165, 200, 51, 60),
}


@pytest.mark.parametrize("name", COASTS)
def test_a_box_at_a_coast_is_called_swapped(name: str) -> None:
    west, east, south, north = COASTS[name]
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(west, east, 500), rng.uniform(south, north, 500)
    lon = (lon + 180) % 360 - 180
    assert axes(lon, lat) == []
    if np.abs(lon).max() <= 90:  # nor is its exchanged twin on a claim, for half of it is at sea
        assert axes(lat, lon) == []


def test_two_exchanged_boxes_of_coasts_go_unseen() -> None:
    rng = np.random.default_rng(0)  # Estonia and Portugal, a fifth at sea
    lon = np.append(rng.uniform(22, 27, 600), rng.uniform(-9, -7, 400))
    lat = np.append(rng.uniform(57.5, 59.5, 600), rng.uniform(38, 41, 400))
    assert axes(lon, lat) == []
    assert len(axes(lat, lon)) == 1


@pytest.mark.parametrize("name", ["Norway", "Chile", "Alaska"])
def test_land_of_a_coast_that_is_swapped_goes_unseen(name: str) -> None:
    west, east, south, north = COASTS[name]
    whole = Pool.build(200_000, seed=9)
    lon, lat = whole.lon % 360 if east > 180 else whole.lon, whole.lat
    own = (lon > west) & (lon < east) & (lat > south) & (lat < north)
    assert axes(whole.lon[own], lat[own]) == []
    if name == "Alaska":  # its longitudes are no latitudes
        with pytest.raises(WherefromError, match="lon and lat look swapped"):
            without_faults(places_of(table(lat[own], whole.lon[own])))
    else:
        assert len(axes(lat[own], whole.lon[own])) == 1


def test_places_at_sea_are_called_swapped() -> None:
    rng = np.random.default_rng(1)
    assert axes(rng.uniform(-40, -25, 200), rng.uniform(30, 45, 200)) == []


def test_null_islands_and_repeats_are_not_told_apart(land: Pool) -> None:
    lon, lat = land.lon.copy(), land.lat.copy()
    lon[:90] = lat[:90] = 0.0
    tally = DuplicatesTally()
    tally.update(Batch(0, lon, lat))
    found = tally.result().findings(COMMANDS)
    sizes = {finding.name: finding.size for finding in found}
    assert sizes["null-island"] == 90 / len(land)
    assert sizes["duplicates"] == 89 / len(land)


@pytest.mark.slow
def test_ten_million_duplicates_take_memory_or_minutes() -> None:
    tally = DuplicatesTally()
    lon, lat = np.full(1 << 20, 10.0), np.full(1 << 20, 50.0)
    for start in range(0, 10 << 20, 1 << 20):
        tally.update(Batch(start, lon, lat))
    found = tally.result().findings(COMMANDS)
    duplicates = next(f for f in found if f.name == "duplicates")
    assert duplicates.size == pytest.approx(1.0, abs=1e-6)
    assert "10,485,760 rows at 1 place" in duplicates.text


def test_a_single_place_ends_in_a_traceback() -> None:
    with pytest.raises(WherefromError, match="has 1 place: an audit needs at least 2"):
        audit(Pool.from_table(table([1.0], [2.0])), named=Named("one.csv"))


@pytest.mark.slow
def test_rows_that_are_all_equal_crash_the_statistics() -> None:
    found = audit(Pool.from_table(table([10.0] * 300, [50.0] * 300)), layers=["continent"])
    duplicates = next(f for f in found.findings if f.name == "duplicates")
    assert duplicates.size == pytest.approx(299 / 300)
    assert "300 rows at 1 place, 300 each (such as at 10, 50)" in duplicates.text
    assert "nan" not in found.to_json().lower()


def test_a_grid_in_degrees_goes_unseen() -> None:
    lon, lat = np.meshgrid(np.arange(0.0, 40.0), np.arange(30.0, 60.0))
    tally = StripingTally()
    tally.update(Batch(0, lon.ravel(), lat.ravel()))
    found = tally.result().findings(COMMANDS)
    assert [(f.name, f.size) for f in found] == [("rounded", 1.0)]


def test_a_faulty_file_is_refused_that_could_be_audited(tmp_path: Path) -> None:
    pa.csv.write_csv(table([1.0, None, 3.0], [4.0, 5.0, 6.0]), tmp_path / "t.csv")
    pool, faults, *_ = open_table(tmp_path / "t.csv")
    assert (len(pool), [fault.name for fault in faults]) == (2, ["missing"])
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(WherefromError, match="torn"):
        open_table(tmp_path / "torn.parquet")


def test_cleaning_leaves_nothing_and_says_nothing() -> None:
    with pytest.raises(WherefromError, match="nothing is left"):
        cleaned(Opened(Pool.from_table(table([0.0, 0.0], [0.0, 0.0]))))


# The map.


def test_parts_of_a_map_do_not_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 4000), rng.uniform(-90, 90, 4000)
    weight = rng.integers(0, 3, 4000).astype(np.float64)
    whole, first, rest = (MapTally(bands_for(4000)) for _ in range(3))
    whole.update(Batch(0, lon, lat), weight)
    first.update(Batch(0, lon[:1500], lat[:1500]), weight[:1500])
    rest.update(Batch(1500, lon[1500:], lat[1500:]), weight[1500:])
    first.merge(rest)
    reference = np.full(whole.cells.count, 1 / whole.cells.count)
    one, two = whole.result(reference), first.result(reference)
    assert (one.count == two.count).all()
    assert (one.squares == two.squares).all()
    assert one.lon is not None
    assert two.lon is not None
    assert (one.lon == two.lon).all()
    assert len(one.lon) == int((weight > 0).sum())
    assert one.squares.sum() == one.count.sum() == weight.sum()
