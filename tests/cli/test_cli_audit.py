"""`wherefrom audit`: every table that may come, every command that it names, and what it writes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from running import Run

from wherefrom import draw
from wherefrom.compose import Composition
from wherefrom.earth import available
from wherefrom.pool import Pool

pytestmark = pytest.mark.slow

LAYERS = ("--layers", "continent")


def findings(done: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(done.stdout)["findings"]}


def run_all(run: Run, found: dict[str, dict[str, Any]]) -> None:
    """Run every command of some findings."""
    lines = [line for row in found.values() for line in row["command"].split(" && ")]
    for command in dict.fromkeys(lines):
        program, *line = shlex.split(command)
        assert program == "wherefrom"
        again = run(*line, *(LAYERS if line[0] == "audit" else ()))
        assert again.returncode == 0, f"{command}\n{again.stderr}"


@pytest.fixture(scope="module")
def land() -> Pool:
    return Pool.build(700, seed=9)


@pytest.fixture
def pools(land: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a clean pool, and one that is amiss in every way, with columns of other names."""
    monkeypatch.chdir(tmp_path)
    land.write("land.parquet")
    rng = np.random.default_rng(0)
    lon = np.r_[rng.normal(9, 3, 500), np.full(80, 9.5), np.zeros(40), rng.uniform(-30, -20, 60)]
    lat = np.r_[rng.normal(48, 2, 500), np.full(80, 48.5), np.zeros(40), rng.uniform(40, 50, 60)]
    lon[[3, 4, 5]] = np.nan, 200.0, 400.0
    ids = [f"t {i}" for i in range(len(lon))]
    amiss = pa.table({"tile": ids, "x y": lon, "y": lat})
    pa.csv.write_csv(amiss, "my tiles.csv")
    test = pa.table({"lon": lon[100:140] + 1e-4, "lat": lat[100:140]})
    pa.csv.write_csv(test, "test.csv")
    return tmp_path


def test_a_clean_pool_is_told_to_be_amiss(run: Run, pools: Path) -> None:
    done = run("audit", "land.parquet", *LAYERS, "--out", "page.html", "--json", "all.json")
    assert done.returncode == 0, done.stderr
    assert "nothing amiss against land" in done.stdout
    assert json.loads(Path("all.json").read_text())["findings"] == []
    page = Path("page.html").read_text()
    assert "Nothing amiss" in page
    # Self-contained: no script, link, import or picture that would need a network.
    assert not re.search(r"<script|<link|@import|url\(|src=\"(?!data:image/png)", page)
    assert page.count("data:image/png;base64,") == 5


def test_a_published_split_must_be_cut_out_by_hand(run: Run, pools: Path) -> None:
    table = pq.read_table("land.parquet")
    words = np.array(["training", "testing", "validation"])[np.arange(700) % 3]
    table = table.append_column("subset", pa.array(words))
    pq.write_table(table, "split.parquet")
    pq.write_table(table.filter(words == "testing"), "test.parquet")
    pq.write_table(table.filter(words != "testing"), "rest.parquet")
    one = run("audit", "split.parquet", *LAYERS, "--test", "subset=testing", "--json", "-")
    two = run("audit", "rest.parquet", *LAYERS, "--test", "test.parquet", "--json", "-")
    assert one.returncode == 0, one.stderr
    ours, theirs = json.loads(one.stdout), json.loads(two.stdout)
    assert ours["leakage"] == theirs["leakage"]
    assert ours["layers"] == theirs["layers"]
    crowd = {"lon": np.linspace(10, 14, 300), "lat": np.linspace(40, 44, 300)}
    table = pa.table(crowd | {"subset": [None, *words[1:300]]})
    pq.write_table(table, "crowd.parquet")
    done = run("audit", "crowd.parquet", *LAYERS, "--test", "subset=testing", "--json", "-")
    assert "1 of 300 rows have no subset: they count as training rows" in done.stderr
    draws = [
        row["command"] for row in findings(done).values() if "wherefrom draw" in row["command"]
    ]
    assert draws
    for command in draws:  # from what is left without the test rows
        assert (
            "--test subset=testing --clean clean.parquet && wherefrom draw clean.parquet" in command
        )
    for given, message in (
        ("subset=test", "unknown value of column 'subset' 'test': did you mean 'testing'"),
        ("sub=testing", "no such file either) 'sub': did you mean 'subset'"),
    ):
        assert message in run("audit", "split.parquet", "--test", given).error


def test_a_command_that_an_audit_names_does_not_run(run: Run, pools: Path) -> None:
    words = ["audit", "my tiles.csv", "--id", "tile", "--lon", "x y", "--lat", "y", *LAYERS]
    done = run(*words, "--test", "test.csv", "--json", "-")
    assert done.returncode == 0, done.stderr
    found = findings(done)
    named = {"continent", "clusters", "density", "gaps", "latitude", "duplicates", "null-island"}
    assert named | {"sea", "leakage", "missing", "out-of-range", "longitudes"} <= set(found)
    run_all(run, found)
    for name in ("clean.parquet", "even.parquet", "land.parquet", "on-land.parquet"):
        assert Path(name).is_file(), name


@pytest.mark.parametrize("box", [False, True], ids=["country", "box across 180"])
def test_the_remedy_of_a_region_ends_in_another_comparison_with_the_world(
    run: Run, pools: Path, box: bool
) -> None:
    rng = np.random.default_rng(4)
    lon, lat = rng.normal(33.0, 0.4, 200), rng.normal(15.0, 0.4, 200)  # in Sudan
    if box:
        lon, lat = rng.uniform(174, 190, 200), rng.uniform(-47, -34, 200)
        lon = (lon + 180) % 360 - 180
    pa.csv.write_csv(pa.table({"x y": lon, "y": lat}), "here.csv")
    Pool.build(2000, seed=1, within="country=Sudan").write("pool.parquet")
    options = ["--lon", "x y", "--lat", "y"]
    region = findings(run("audit", "here.csv", *options, *LAYERS, "--json", "-"))["region"]
    assert ("--within box=17" if box else "--within country=Sudan") in region["command"]
    line = [*shlex.split(region["command"])[1:], "--layers", "land_cover", "--json", "-"]
    done = run(*line)
    found = findings(done)
    assert found
    assert not any(row["follows"] for row in found.values())
    assert json.loads(done.stdout)["about"]["against"].startswith("land within ")
    run_all(run, found)


def test_what_lies_outside_is_drawn_or_kept(run: Run, pools: Path) -> None:
    within = ("--within", "continent=Europe")
    done = run("audit", "land.parquet", *within, *LAYERS, "--clean", "clean.parquet")
    assert done.returncode == 0, done.stderr
    outside = re.search(r"([\d,]+) outside continent=Europe", done.stderr + done.stdout)
    assert outside is not None
    left = Pool.read("clean.parquet")
    assert len(left) == 700 - int(outside[1])
    assert set(left.codes("continent")[0]) == {left.labels("continent").index("Europe")}


def test_a_composition_is_held_against_more_than_its_region(run: Run, pools: Path) -> None:
    pool = Pool.build(3000, seed=5)
    pool.write("pool.parquet")
    draw(pool, "gaussian-cities", 900).write("c.parquet")
    words = ["audit", "c.parquet", "--pool", "pool.parquet", "--within", "continent=Asia"]
    done = run(*words, "--layers", "climate_zone", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["about"]["rows"] < 900
    found = findings(done)
    assert "density" in found
    assert (
        "wherefrom audit pool.parquet --within continent=Asia --clean clean.parquet"
        in found["density"]["command"]
    )
    run_all(run, found)


def test_what_is_cleaned_is_still_at_fault(run: Run, pools: Path) -> None:
    words = ["--test", "test.csv", *LAYERS]
    columns = ["--id", "tile", "--lon", "x y", "--lat", "y"]
    outs = ["--clean", "c.parquet", "--fix", "f.parquet", "-n", "40", "--where", "tile != 'none'"]
    done = run("audit", "my tiles.csv", *columns, *words, *outs)
    assert done.returncode == 0, done.stderr
    assert re.search(r"c.parquet: \d+ places left of [\d,]+ rows; removed: ", done.stderr)
    assert re.search(r"\nremedied, .*missing", done.stdout)
    fixed = Pool.read("f.parquet")
    assert len(fixed) == 40
    assert set(fixed.ids.tolist()) <= set(Pool.read("c.parquet").ids.tolist())
    found = findings(run("audit", "c.parquet", *words, "--json", "-"))
    assert not {"leakage", "missing", "duplicates", "null-island"} & set(found)


@pytest.mark.parametrize(
    "words",
    [
        ["draw", "t.csv", "--sampler", "uniform", "-n", "5", "--out", "d.parquet"],
        ["check-leak", "t.csv", "test.csv"],
        ["pool", "check", "t.csv"],
        ["pool", "label", "t.csv", "--layers", "continent", "--out", "labelled"],
    ],
    ids=lambda words: words[0] if words[0] != "pool" else words[1],
)
def test_a_command_reads_rows_that_a_condition_leaves_out(
    run: Run, pools: Path, land: Pool, words: list[str]
) -> None:
    lat = np.where(np.arange(50) == 3, 99.0, land.lat[:50])  # refused, if it is not left out
    cloud = np.arange(50) / 50
    pa.csv.write_csv(pa.table({"lon": land.lon[:50], "lat": lat, "cloud": cloud}), "t.csv")
    done = run(*words, "--where", "cloud >= 0.2")
    assert done.returncode == 0, done.stderr
    assert "where cloud >= 0.2: 40 of 50 rows, 10 left out" in done.stderr


def test_the_remedy_of_a_layer_leaves_the_difference(run: Run, pools: Path) -> None:
    # Half of the land's places north of 30 N are dropped: continents differ, none is empty.
    pool = Pool.build(6000, seed=2)
    kept = np.flatnonzero((pool.lat < 30) | (np.arange(6000) % 3 == 0))
    Pool.from_table(pool.table.take(kept), id="id").write("south.parquet")
    found = findings(run("audit", "south.parquet", *LAYERS, "--json", "-"))
    line = shlex.split(found["continent"]["command"])[1:]
    assert run(*line).returncode == 0
    done = run("audit", line[-1], "--pool", "south.parquet", *LAYERS, "--json", "-")
    assert "continent" not in findings(done)


def test_a_composition_is_audited_without_its_multiplicities(
    run: Run, pools: Path, land: Pool
) -> None:
    draw(land, "stratified:layer=continent,short=repeat", 1200, seed=1).write("c.parquet")
    drawn = Composition.read("c.parquet")
    assert drawn.multiplicity.max() > 1
    done = run("audit", "c.parquet", "--pool", "land.parquet", *LAYERS, "--json", "-")
    about = json.loads(done.stdout)["about"]
    assert (about["places"], about["rows"]) == (1200, len(drawn.ids))
    assert "land.parquet" in findings(done)["continent"]["command"]


def test_what_was_lost_is_not_told(run: Run, pools: Path, land: Pool) -> None:
    here = land.table.filter(pa.array(land.lat < 45))
    pq.write_table(here, "came.parquet")
    done = run("audit", "came.parquet", "--planned", "land.parquet", *LAYERS, "--out", "p.html")
    assert done.returncode == 0, done.stderr
    assert f"planned 700, there {here.num_rows}" in done.stdout
    assert "Planned and realised" in Path("p.html").read_text()


def test_another_pool_is_not_what_shares_are_held_against(run: Run, pools: Path) -> None:
    done = run("audit", "test.csv", "--against", "land.parquet", *LAYERS)
    assert done.returncode == 0, done.stderr
    assert "40 places against land.parquet" in done.stdout
    assert "of land.parquet" in done.stdout


def test_entropy_of_tiles_is_not_on_the_page(run: Run, pools: Path, reference_data: Path) -> None:
    folder = reference_data / "satclip" / "ssl4eo_example"
    if not (folder / "index.csv").is_file():
        pytest.skip(f"no example tiles at {folder}")
    done = run("audit", folder / "index.csv", "--tiles", folder, *LAYERS, "--out", "e.html")
    assert done.returncode == 0, done.stderr
    assert "spectral entropy of 20 samples" in done.stdout
    page = Path("e.html").read_text()
    assert 'id="entropy"' in page
    assert 'id="entropy-by-label"' in page


def test_default_layers_are_lost(run: Run, pools: Path) -> None:
    done = run("audit", "land.parquet", "--json", "-")
    layers = json.loads(done.stdout)["layers"]
    assert {"country", "climate_zone", "land_cover", "city_distance_band"} <= set(layers)
    assert ("biome" in layers) == available("biome")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.csv"], "absent.csv: no such file"),
        (["land.parquet", "--layers", "contnent"], "did you mean 'continent'?"),
        (["land.parquet", "--layers", "elevation"], "holds values, not labels"),
        (["land.parquet", "--out", "page.pdf"], "name it .html"),
        (["land.parquet", "--json", "land.parquet"], "--json land.parquet is FILE itself"),
        (["land.parquet", "--clean", "land.parquet"], "--clean land.parquet is FILE itself"),
        (["land.parquet", "--fix", "land.parquet"], "--fix land.parquet is FILE itself"),
        (["land.parquet", "--where", "clod < 1"], "column of land.parquet (where clod < 1) 'clod'"),
        (["land.parquet", "--where", "lon <"], "where lon <: it ends where"),
        (["land.parquet", "--pool", "land.parquet"], "--pool is for a composition"),
        (["land.parquet", "--within", "country=Kenia"], "did you mean 'Kenya'"),
        (["land.parquet", "--within", "country=Vatican"], "none of 700 rows lies within"),
        (["land.parquet", "--within", "a.geojson"], "--within a.geojson: there is no such file"),
        (["land.parquet", "--tiles", ".", "--series", "s.npz"], "audit them one by one"),
        (["c.parquet"], "name its pool with --pool"),
        (["c.parquet", "--pool", "my tiles.csv", "--lon", "x y", "--lat", "y"], "missing"),
        (["none.parquet", "--pool", "land.parquet"], "there is nothing to audit"),
        (["one.csv"], "one.csv has 1 place"),
        (["metres.csv"], "look like projected metres"),
    ],
)
def test_a_mistake_is_a_traceback_or_several_lines(
    run: Run, pools: Path, land: Pool, words: list[str], message: str
) -> None:
    draw(land, "uniform", 20).write("c.parquet")
    draw(land, "none").write("none.parquet")
    pa.csv.write_csv(pa.table({"lon": [1.0], "lat": [2.0]}), "one.csv")
    pa.csv.write_csv(pa.table({"lon": [5e5] * 9, "lat": [5e6] * 9}), "metres.csv")
    done = run("audit", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
