"""`wherefrom draw`: files, summary, and one line of error for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from running import Run

import wherefrom
from made_predictions import made_task
from wherefrom.compose import Composition, spec_text
from wherefrom.earth.sphere import nearest_km
from wherefrom.plugins import BUILT_IN
from wherefrom.pool import Pool

pytestmark = pytest.mark.slow


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "x": rng.uniform(-180, 180, 300),
            "y": rng.uniform(-60, 60, 300),
            "use": ["a"] * 280 + ["b"] * 15 + [None] * 5,
            "continent": ["Asia"] * 300,
        }
    )
    pq.write_table(table, tmp_path / "pool.parquet")
    return tmp_path / "pool.parquet"


def test_draw_writes_composition_and_card_and_prints_counts(run: Run, pool: Path) -> None:
    out = pool.with_name("c.parquet")
    spec = "stratified:layer=use,short=cap"
    words = ["draw", pool, "--lon", "x", "--lat", "y", "--sampler", spec, "-n", 60, "--seed", 3]
    done = run(*words, "--out", out)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["a", "280", "30.0", "30"] in lines
    assert ["b", "15", "30.0", "15", "too", "few"] in lines
    assert "5 places of the pool have no label" in done.stdout
    composition = Composition.read(out)
    assert composition.size == 45
    assert composition.key in done.stdout
    assert json.loads(out.with_suffix(".card.json").read_text())["seed"] == 3
    assert out.with_suffix(".card.png").read_bytes()[:4] == b"\x89PNG"
    first = out.read_bytes()
    assert run(*words, "--out", out).returncode == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("spec", "n", "message"),
    [
        ("stratfied:layer=use", 10, "did you mean 'stratified'?"),
        ("stratified:layer=usee", 10, "did you mean 'use'?"),
        ("stratified:layer=use,short=cup", 10, "did you mean 'cap'?"),
        ("uniform", 301, "n = 301 is larger than the pool, which has 300 places"),
        ("uniform", 0, "n must be at least 1"),
        ("only:layer=use,label=c", 10, "unknown label of layer 'use': 'c'"),
        ("ids:file=gone.csv", 10, "gone.csv: no such file"),
    ],
)
def test_mistake_is_one_line_and_writes_nothing(
    run: Run, pool: Path, spec: str, n: int, message: str
) -> None:
    out = pool.with_name("c.parquet")
    words = ["draw", pool, "--lon", "x", "--lat", "y", "--sampler", spec, "-n", n, "--out", out]
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert [path.name for path in pool.parent.iterdir()] == ["pool.parquet"]


def test_pool_is_never_overwritten(run: Run, pool: Path) -> None:
    before = pool.read_bytes()
    words = ["draw", pool, "--lon", "x", "--lat", "y", "--sampler", "uniform", "-n", 5]
    assert "is the pool itself" in run(*words, "--out", pool).stderr
    assert "name it .parquet" in run(*words, "--out", "c.csv").stderr
    assert pool.read_bytes() == before


def test_absent_columns_are_hinted_at(run: Run, pool: Path) -> None:
    done = run("draw", pool, "--sampler", "uniform", "-n", 5, "--out", "c.parquet")
    assert done.returncode == 2
    assert "give --lon x --lat y" in done.stderr


def test_repeated_places_are_noted_but_drawn(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("lon,lat,continent\n1,2,Africa\n1,2,Africa\n3,4,Africa\n")
    out = tmp_path / "c.parquet"
    done = run("draw", tmp_path / "a.csv", "--sampler", "uniform", "-n", 3, "--out", out)
    assert done.returncode == 0
    assert done.stderr.startswith("note: an earlier row has the same place in 1 of 3 rows: 1;")


def test_help_teaches_every_sampler(run: Run) -> None:
    done = run("draw", "--help")
    assert done.returncode == 0
    for name in BUILT_IN["samplers"]:
        assert name in done.stdout


@pytest.fixture
def folder(tmp_path: Path, pool: Path) -> Path:
    """The pool in three files."""
    whole = pq.read_table(pool)
    columns = [name.replace("x", "lon").replace("y", "lat") for name in whole.column_names]
    (tmp_path / "parts").mkdir()
    for at in range(3):
        piece = whole.rename_columns(columns).slice(at * 100, 100)
        pq.write_table(piece, tmp_path / "parts" / f"{at}.parquet")
    return tmp_path / "parts"


def test_folder_is_drawn_from_otherwise_than_one_file(run: Run, pool: Path, folder: Path) -> None:
    words = ["--sampler", "stratified:layer=use,short=cap", "-n", 60, "--seed", 3, "--out"]
    one, many = pool.with_name("one.parquet"), pool.with_name("many.parquet")
    assert run("draw", pool, "--lon", "x", "--lat", "y", *words, one).returncode == 0
    done = run("draw", folder, *words, many)
    assert done.returncode == 0, done.stderr
    assert many.read_bytes() == one.read_bytes()
    cards = [json.loads(path.with_suffix(".card.json").read_text()) for path in (one, many)]
    assert cards[0] == cards[1]
    pictures = [path.with_suffix(".card.png").read_bytes() for path in (one, many)]
    assert pictures[0] == pictures[1]


def test_thinned_pool_is_no_pool_or_other_places(run: Run, pool: Path, folder: Path) -> None:
    whole = Pool.read(pool, lon="x", lat="y")
    for given in ((folder,), (pool, "--lon", "x", "--lat", "y")):
        out = pool.with_name("thin.parquet")
        done = run("draw", *given, "--sampler", "uniform", "-n", 50, "--places", "--out", out)
        assert done.returncode == 0, done.stderr
        thin = Pool.read(out)
        assert f"a pool of 50 places, key {thin.key}" in done.stdout
        assert not out.with_suffix(".card.json").exists()
        assert thin.origin == f"uniform, seed 0, from pool {whole.key}"
        rows = whole.take(thin.ids)
        assert (np.diff(rows) > 0).all()
        assert thin.lon.tolist() == whole.lon[rows].tolist()
        use = whole.table["use"].to_pylist()
        assert thin.table["use"].to_pylist() == [use[row] for row in rows]
    again = run("draw", out, "--sampler", "uniform", "-n", 5, "--out", pool.with_name("d.parquet"))
    assert again.returncode == 0
    nothing = run("draw", folder, "--sampler", "none", "--places", "--out", out)
    assert nothing.error == "no place was drawn: a pool needs at least one"


def test_strata_of_odd_names_break_the_table_or_the_card(run: Run, tmp_path: Path) -> None:
    names = ["tab\there", "two\nlines", 'say "a"', "🌍", "a,b=c", "x;y", "none", "q:1", " pad "]
    use = [name for name in names for _ in range(6)]
    lon = [float(at) for at in range(len(use))]
    table = pa.table({"lon": lon, "lat": [1.0] * len(use), "use": use, "continent": use})
    pq.write_table(table, tmp_path / "odd.parquet")
    out = tmp_path / "c.parquet"
    words = ["draw", tmp_path / "odd.parquet", "--out", out, "-n", 9, "--sampler"]
    done = run(*words, "stratified:layer=use")
    assert done.returncode == 0, done.stderr
    told = "note: labels of 'use': ' pad ' begins or ends with a blank"
    lines = [line for line in done.stdout.splitlines() if line != told]
    assert len(lines) == 3 + len(names) == len(done.stdout.splitlines()) - 1
    assert any(line.startswith("two\\nlines ") for line in lines)
    card = json.loads(out.with_suffix(".card.json").read_text())
    assert [s["label"] for s in card["strata"]] == sorted(names)
    assert {s["drawn"] for s in card["strata"]} == {1}
    for name in names:
        spec = spec_text({"name": "only", "layer": "use", "label": name})
        done = run(*words[:-3], "-n", 3, "--sampler", spec)
        assert done.returncode == 0, done.stderr
        assert json.loads(out.with_suffix(".card.json").read_text())["sampler"]["label"] == name
    weights = {name: 1.0 + at for at, name in enumerate(names)}
    spec = spec_text({"name": "stratified", "layer": "use", "weights": weights, "short": "cap"})
    done = run(*words[:-3], "-n", 45, "--sampler", spec)
    assert done.returncode == 0, done.stderr
    card = json.loads(out.with_suffix(".card.json").read_text())
    assert {s["label"]: s["asked"] for s in card["strata"]} == weights


def test_target_is_overwritten_by_the_draw(run: Run, pool: Path) -> None:
    spec = f"match:target={pool},over=use"
    words = ["draw", pool, "--lon", "x", "--lat", "y", "-n", 5]
    assert "is the pool itself" in run(*words, "--sampler", spec, "--out", pool).error
    copy = pool.with_name("target.parquet")
    copy.write_bytes(pool.read_bytes())
    spec = f"match:target={copy},over=use"
    assert "target.parquet itself" in run(*words, "--sampler", spec, "--out", copy).error


def test_places_near_those_of_a_file_are_drawn(run: Run, pool: Path, tmp_path: Path) -> None:
    others = tmp_path / "others.csv"
    others.write_text("lon,lat\n0,0\n120,40\n")
    out = tmp_path / "apart.parquet"
    words = ["draw", pool, "--lon", "x", "--lat", "y", "--sampler", "uniform", "-n", 40]
    apart = [*words, "--away-from", others, "--out", out]
    done = run(*apart, "--exclude-km", 3000)
    assert done.returncode == 0, done.stderr
    assert "excluded, since nearer than 3000 km to one of 2 places: " in done.stdout
    found = Pool.read(pool, lon="x", lat="y")
    rows = found.take(Composition.read(out).ids)
    assert nearest_km(found.lon[rows], found.lat[rows], [0, 120], [0, 40]).min() >= 3000
    assert json.loads(out.with_suffix(".card.json").read_text())["excluded"]["away_from"] == 2
    task = made_task(np.array([0.0, 1.0]), np.zeros(2), np.array([0, 1]), split=[0, 1])
    task.write(tmp_path / "task.parquet")
    done = run(*words, "--away-from", tmp_path / "task.parquet", "--exclude-km", 50, "--out", out)
    assert "to one of 1 place: " in done.stdout  # those it is tested on
    assert "--exclude-km is missing" in run(*apart).error
    assert "--away-from is missing" in run(*words, "--out", out, "--exclude-km", 5).error
    assert "0 km away: give a distance above 0" in run(*apart, "--exclude-km", 0).error
    others.write_text("lon,lat\n0,\n")
    assert "others.csv" in run(*apart, "--exclude-km", 5).error


def test_a_remedy_of_a_second_file_is_an_option_of_the_first(
    run: Run, pool: Path, tmp_path: Path
) -> None:
    """--lon and --lat name the pool's columns: they mend no file that stands beside it."""
    others, out = tmp_path / "others.csv", tmp_path / "apart.parquet"
    words = ["draw", pool, "--lon", "x", "--lat", "y", "--sampler", "uniform", "-n", 40,
             "--away-from", others, "--exclude-km", 500, "--out", out]  # fmt: skip
    for names in ("lon,lat", "x,y"):
        others.write_text(f"{names}\n0,0\n120,40\n")
        assert "one of 2 places" in run(*words).stdout
    others.write_text("a,b\n0,0\n")
    said = "others.csv has no column 'x' and 'y', nor 'lon' and 'lat': name its coordinates so"
    assert said in run(*words).error
    others.write_text("lon,lat\n0,120\n")
    assert "look swapped in 1 of 1 rows: 0 (lat 120); exchange the names" in run(*words).error
    target = [*words[:7], f"match:target={others},over=continent", *words[8:10], *words[-2:]]
    assert "exchange the names" in run(*target).error


def test_places_in_or_near_excluded_files_are_drawn(run: Run, pool: Path, tmp_path: Path) -> None:
    fields, points, out = (tmp_path / name for name in ("fields.parquet", "p.csv", "out.parquet"))
    boxes = [shapely.box(-120, -40, -60, 0), shapely.box(150, -30, 200, 30)]
    wkb = pa.table({"footprint": shapely.to_wkb(boxes)})
    Pool.from_table(wkb, geometry="footprint").write(fields)
    points.write_text("lon,lat\n20,50\n")
    words = ["draw", pool, "--lon", "x", "--lat", "y", "--sampler", "uniform", "-n", 40, "--out",
             out, "--exclude", fields]  # fmt: skip
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert f"excluded, since in one of 2 polygons of {fields}: " in done.stdout
    found = Pool.read(pool, lon="x", lat="y")
    rows = found.take(Composition.read(out).ids)
    x, y = found.lon[rows], found.lat[rows]
    assert not ((x >= -120) & (x <= -60) & (y >= -40) & (y <= 0)).any()
    assert not (((x >= 150) | (x <= -160)) & (np.abs(y) <= 30)).any()
    both = [*words, "--exclude", points, "--buffer-km", 900]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "pool.parquet").write_bytes(pool.read_bytes())
    said = [run(*both).stdout, run("draw", folder, *both[2:]).stdout]
    assert said[0] == said[1]  # whether the pool is in memory or not
    assert f"within 900 km of one of 1 place of {points}: " in said[0]
    excluded = json.loads(out.with_suffix(".card.json").read_text())["excluded"]
    assert [each["file"] for each in excluded["by"]] == [str(fields), str(points)]
    assert f"excluded in all: {excluded['candidates']} candidates" in said[0]
    ours, names = tmp_path / "ours.parquet", {"lon": "x", "lat": "y"}
    wherefrom.draw(pool, "uniform", 40, **names, exclude=[fields, points], buffer_km=900).write(
        ours
    )
    assert ours.read_bytes() == out.read_bytes()


def test_an_exclusion_without_a_distance_or_a_place_left_is_drawn_from(
    run: Run, pool: Path, tmp_path: Path
) -> None:
    points, out = tmp_path / "p.csv", tmp_path / "out.parquet"
    points.write_text("lon,lat\n20,50\n")
    words = [
        "draw",
        pool,
        "--lon",
        "x",
        "--lat",
        "y",
        "--sampler",
        "uniform",
        "-n",
        40,
        "--out",
        out,
    ]
    excluded = [*words, "--exclude", points]
    assert "p.csv holds points" in run(*excluded).error
    assert "--exclude is missing" in run(*words, "--buffer-km", 5).error
    assert "--buffer-km -5 is no distance" in run(*excluded, "--buffer-km", -5).error
    nothing = run(*excluded, "--buffer-km", 20000).error
    assert "all 300 places of the pool are within 20000 km of one of 1 place of " in nothing
    itself = [
        *words[:-1],
        points.with_suffix(".parquet"),
        "--exclude",
        points.with_suffix(".parquet"),
    ]
    assert "itself" in run(*itself).error
