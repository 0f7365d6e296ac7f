"""One draw that remedies what an audit found, and the sample that it is tried on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from wherefrom.auditing.asked import Asked
from wherefrom.auditing.audit import Audit, audited
from wherefrom.auditing.faults import Opened, cleaned, open_table, restricted, without_faults
from wherefrom.auditing.findings import Named, options_of
from wherefrom.auditing.fixing import Fixed, fixed
from wherefrom.earth.extent import Extent
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool, examine, places_of
from wherefrom.pool.sample import write_sample

COLUMNS = ("tile", "x", "y")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture(scope="module")
def opened(sample: Path) -> Opened:
    named = Named("raw.csv", options_of(*COLUMNS), cleaned="own.parquet")
    return open_table(sample / "tiles-raw.csv", *COLUMNS, named=named)


@pytest.fixture(scope="module")
def made(opened: Opened) -> Fixed:
    asked = Asked(opened.pool, wanted=["continent", "land_cover"], named=opened.named, n=600)
    return fixed(asked, opened, audited(asked, opened.faults), 600)


def test_the_sample_lacks_a_fault_or_cannot_be_drawn_from(sample: Path, made: Fixed) -> None:
    pool = Pool.read(sample / "tiles.parquet", *COLUMNS)
    assert len(pool) == 5000
    raw = places_of(pa.csv.read_csv(sample / "tiles-raw.csv"), *COLUMNS)
    faults = {each.name: each.count for each in examine(raw.ids, raw.lon, raw.lat)}
    assert faults["missing"] == 12
    assert faults["swapped"] == 6
    assert faults["duplicate-id"] == 20
    named = {"continent", "clusters", "duplicates", "null-island", "sea", "longitudes"}
    assert named <= {finding.name for finding in made.before.findings}


def test_the_sample_overwrites_a_table_of_ones_own(sample: Path, tmp_path: Path) -> None:
    write_sample(sample)  # as it is
    (tmp_path / "tiles.csv").write_text("mine")
    with pytest.raises(WherefromError, match=r"tiles.csv is there, and not of the sample"):
        write_sample(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tiles.csv"]


def test_a_fix_leaves_what_a_draw_can_remedy(made: Fixed, sample: Path) -> None:
    assert len(made.places) == 600
    gone = {"continent", "sea", "duplicates", "null-island", "missing", "duplicate-id"}
    assert gone <= {finding.name for finding in made.remedied}
    raw = pa.csv.read_csv(sample / "tiles-raw.csv")
    by_id = dict(zip(raw["tile"].to_pylist(), raw["season"].to_pylist(), strict=True))
    assert len(set(made.places.ids.tolist())) == 600
    assert set(made.places.ids.tolist()) <= set(by_id)
    assert made.places.table["tile"].to_pylist() == made.places.ids.tolist()
    left = 5000 - sum(made.removed.values())
    chance = made.places.table["inclusion_probability"].to_numpy()
    # Horvitz-Thompson: the drawn places stand for those that can be drawn.
    assert (1 / chance).sum() == pytest.approx(left, rel=0.2)
    said = "\n".join(made.lines())
    assert "match:target=land,over=" in said
    assert "not remedied: " in said


def test_a_cleaning_that_was_done_is_told_again(made: Fixed) -> None:
    assert not any("--clean" in finding.command for finding in made.before.findings)
    draws = [each for each in made.before.findings if "wherefrom draw" in each.command]
    assert draws
    for each in draws:
        assert each.command.startswith("wherefrom draw own.parquet --sampler")
        assert " -n 600 " in each.command
        assert each.keeps.startswith("keeps 600 of")
    build = next(each for each in made.before.findings if "pool build" in each.command)
    assert "--places 6000" in build.command
    assert "none of your rows is among them" in build.keeps


def test_rows_that_are_cleaned_away_go_uncounted(opened: Opened) -> None:
    left, removed = cleaned(opened)
    assert len(left) + sum(removed.values()) == 5000
    assert removed["with exchanged axes"] == 6
    assert removed["repeat an earlier id"] == 19  # the place of the twentieth repeats too
    assert left.table["tile"].to_pylist() == left.ids.tolist()  # and by its own name


def test_exchanged_rows_or_axes_are_cleaned_away() -> None:
    land = Pool.build(500, seed=2)
    lon, lat = land.lon.copy(), land.lat.copy()
    some = np.flatnonzero((lon > 95) & (np.abs(lat) < 80))[:40]
    lon[some], lat[some] = land.lat[some], land.lon[some]
    few = without_faults(places_of(pa.table({"lon": lon, "lat": lat})))
    assert few.faults[0].command == ""
    with pytest.raises(WherefromError, match=r"nothing is cleaned.*look swapped in 40 of 500 rows"):
        cleaned(few)
    old = (land.lon > -20) & (land.lon < 60) & (np.abs(land.lat) < 70)
    turned = Opened(Pool.from_table(pa.table({"lon": land.lat[old], "lat": land.lon[old]})))
    with pytest.raises(WherefromError, match=r"look exchanged.*--lon lat --lat lon"):
        restricted(turned, Extent.of("continent=Africa"))


def test_an_audit_prints_more_than_a_page(made: Fixed) -> None:
    found: Audit = made.before
    text = str(found)
    assert len(text) < 6000
    assert text.count("\n") < 60
    assert found.causes[0].text.split()[0] in text
    assert f"and {len(found.causes) - 4} more" in text
    assert len(repr(found)) < 200
