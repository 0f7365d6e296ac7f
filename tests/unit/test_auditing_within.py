"""Within a region an audit compares with its land alone, and everything it says holds there."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import wherefrom
from wherefrom.auditing.audit import Audit
from wherefrom.auditing.findings import Commands, Named
from wherefrom.auditing.lattice import ALL_LAND, Ground
from wherefrom.auditing.space.density import MOST_BANDS, bands_on
from wherefrom.auditing.space.pattern import radii_on
from wherefrom.earth.extent import Extent
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, scan
from wherefrom.report.audit_page import audit_page
from wherefrom.report.audit_text import audit_text

KENYA = "country=Kenya"


def audit(data: Any, within: str = KENYA, **options: Any) -> Audit:
    return wherefrom.audit(data, within=within, **{"layers": ["land_cover"], **options})


def names(found: Audit) -> set[str]:
    return {finding.name for finding in found.findings}


@pytest.fixture(scope="module")
def towns() -> pd.DataFrame:
    """600 places around 8 towns in Kenya, and 40 in Sweden."""
    rng = np.random.default_rng(1)
    kenya = Extent.of(KENYA)
    town_lon, town_lat = kenya.land.uniform(8, rng)
    at = rng.integers(8, size=900)
    lon, lat = town_lon[at] + rng.normal(0, 0.1, 900), town_lat[at] + rng.normal(0, 0.1, 900)
    inside = kenya.holds(lon, lat)
    away = pd.DataFrame({"x": rng.uniform(14, 16, 40), "y": rng.uniform(60, 62, 40)})
    return pd.concat([pd.DataFrame({"x": lon[inside][:600], "y": lat[inside][:600]}), away])


@pytest.fixture(scope="module")
def of_towns(towns: pd.DataFrame) -> Audit:
    return audit(towns.reset_index(drop=True), lon="x", lat="y")


def test_clusters_in_a_region_are_nothing_amiss(of_towns: Audit) -> None:
    found = {finding.name: finding for finding in of_towns.findings}
    assert {"clusters", "gaps", "density"} <= set(found)
    assert "region" not in found
    assert not any(finding.follows for finding in found.values())
    assert "over 10 km" in found["clusters"].text


def test_places_outside_are_compared_too_or_dropped_unsaid(of_towns: Audit) -> None:
    assert of_towns.about["rows"] == 600
    assert "40 of 640 rows lie outside country=Kenya and are left out" in of_towns.about["notes"]
    assert of_towns.about["within"] == KENYA
    assert of_towns.about["against"] == "land within country=Kenya"


def test_gaps_lie_where_the_region_is_not(of_towns: Audit) -> None:
    gaps = of_towns.space.coverage.gaps
    assert gaps
    assert Extent.of(KENYA).holds(*np.array([(gap.lon, gap.lat) for gap in gaps]).T).all()
    assert of_towns.space.coverage.radius_km < 600


def test_a_remedy_within_a_region_is_of_the_world(of_towns: Audit) -> None:
    by_name = {finding.name: shlex.split(finding.command) for finding in of_towns.findings}
    assert by_name["gaps"][:6] == ["wherefrom", "pool", "build", "--places", "6000", "--within"]
    words = by_name["clusters"]
    assert words[:3] == ["wherefrom", "audit", "places.parquet"]
    assert words[words.index("--within") + 1] == KENYA
    assert words[words.index("draw") + 1] == "clean.parquet"
    assert "uniform-area:cell_km=13" in words
    commands = Commands(Named("a.csv", pool="p.csv"), 100, 100, within=KENYA)
    match = "match:target=land.parquet,over=land_cover,short=cap"
    for words in (commands.match("land", "land_cover"), commands.draw(match, "matched")):
        assert "wherefrom audit p.csv --within country=Kenya --clean clean.parquet && " in words
        assert match in words
    assert commands.match("land", "land_cover").startswith("wherefrom pool build --places 1000 ")


def test_shares_beside_a_region_are_those_of_all_land(of_towns: Audit) -> None:
    rows = {row.label: row for row in of_towns.layers["land_cover"].rows}
    assert of_towns.layers["land_cover"].reference == "land within country=Kenya"
    assert rows["Grasslands"].reference_share > 0.5
    assert sum(row.reference_share or 0.0 for row in rows.values()) == pytest.approx(1.0)


def test_places_uniform_in_a_region_have_findings() -> None:
    pool = Pool.build(400, seed=3, within=KENYA)
    found = audit(pool, layers=["land_cover", "climate_zone"])
    assert found.findings == ()
    assert found.space.coverage.median_km == pytest.approx(
        found.space.coverage.uniform_median_km, rel=0.1
    )
    assert Pool.build(300, seed=3, within=KENYA).lon.tolist() == pool.lon[:300].tolist()


def test_the_pages_of_a_region_cannot_be_written(of_towns: Audit) -> None:
    assert "land within country=Kenya" in audit_page(of_towns)
    text = audit_text(of_towns)
    assert text.startswith("places.parquet: 600 places against land within country=Kenya")
    of_towns.to_json()


def test_a_box_of_ocean_ends_in_a_traceback_or_is_held_against_the_world() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({"lon": rng.uniform(-60, -40, 80), "lat": rng.uniform(30, 45, 80)})
    found = audit(table, "box=-60,30,-40,45")
    assert found.findings == ()
    (note,) = found.about["notes"]
    assert note.startswith("there is hardly any land within box=-60,30,-40,45")
    assert found.layers["land_cover"].tv is None
    assert (found.space.coverage, found.space.ripley) == (None, None)
    assert found.space.duplicates.places == 80
    assert "against no land within" in audit_text(found)
    audit_page(found)
    found.to_json()


def test_no_place_within_is_an_audit_of_nothing(towns: pd.DataFrame) -> None:
    with pytest.raises(WherefromError, match=r"none of 640 rows lies within country=Chile"):
        audit(towns.reset_index(drop=True), "country=Chile", lon="x", lat="y")
    with pytest.raises(WherefromError, match=r"none of 1 test places lies within"):
        audit(Pool.build(20, within=KENYA), test={"lon": [0.0], "lat": [50.0]})


def test_other_tables_are_not_of_the_region() -> None:
    pool, world = Pool.build(200, seed=1, within=KENYA), Pool.build(20_000, seed=2)
    planned = Pool.from_table(
        pa.concat_tables([pool.table, Pool.build(100, seed=9).table.set_column(
            0, "id", pa.array(np.arange(1000, 1100)))])
    )  # fmt: skip
    found = audit(
        pool, against=world, test=world, planned=planned, weights=np.arange(200) % 2 + 1.0
    )
    # Of the 100 that did not come those in Kenya are lost.
    assert found.realised.planned == 200 + found.realised.lost < 210
    assert found.leakage.n_test < 200
    notes = " ".join(found.about["notes"])
    assert "of 20,000 rows of --against lie outside country=Kenya" in notes
    assert "of 20,000 test places lie outside" in notes
    # By chance on the land of Kenya: 200 caps of 10 km.
    ten = next(row for row in found.leakage.within if row.km == 10)
    assert ten.by_chance == pytest.approx(1 - np.exp(-200 * np.pi * 100 / 588_000), rel=0.05)


def test_places_in_files_are_not_looked_through(towns: pd.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    half = towns.rename(columns={"x": "lon", "y": "lat"})
    half["use"] = np.where(np.arange(len(half)) % 3, "a", "b")
    half[:500].to_parquet(folder / "1.parquet", index=False)
    half[500:].to_parquet(folder / "2.parquet", index=False)
    whole = half.reset_index(drop=True)
    of_files = audit(scan(folder), layers=["use"])
    of_memory = audit(whole, layers=["use"])
    assert of_files.about["rows"] == of_memory.about["rows"] == 600
    assert of_files.layers["use"].rows == of_memory.layers["use"].rows
    assert of_files.space.coverage.median_km == of_memory.space.coverage.median_km


def test_neighbours_by_chance_in_a_small_country_are_a_finding() -> None:
    # 100 places: chance alone gives 12 % of them another one within 1 km, and often 20 %.
    luxembourg = "country=Luxembourg"
    found = [
        audit(Pool.build(100, seed=seed, within=luxembourg), luxembourg) for seed in (100, 101)
    ]
    assert [finding for one in found for finding in one.findings] == []


def test_cells_and_radii_of_a_country_are_those_of_the_world() -> None:
    kenya, malta = (Ground(True, Extent.of(f"country={name}")) for name in ("Kenya", "Malta"))
    assert bands_on(ALL_LAND, 72) == 72
    assert bands_on(kenya, 72) == pytest.approx(72 * np.sqrt(134.4e6 / 588e3), rel=0.01)
    assert bands_on(malta, 72) == MOST_BANDS
    assert radii_on(kenya)[:2] == (2.5, 5.0)
    assert radii_on(Ground(True, Extent.of("continent=Africa")))[0] == 25.0
    assert str(kenya) == "land within country=Kenya"
