"""Bad input ends in one line that names the file, the row or the field, exit code 2, no loss.

The mistakes that one command alone can meet are tested with that command; here are those that
several commands share, and what lies between the commands and the disk.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running import Done, Run

from wherefrom import compose, draw, earth
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool

pytestmark = pytest.mark.slow

BUILD = ("pool", "build", "--places", 10)
DRAW = ("draw", "pool.parquet", "--sampler", "uniform", "-n", 2)
TASK = ("task", "from-table", "pool.parquet", "--label", "use")


@pytest.fixture(autouse=True)
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pool in the working folder, which needs no data of the Earth."""
    monkeypatch.chdir(tmp_path)
    table = pa.table(
        {
            "id": list(range(40)),
            "lon": [float(i) for i in range(40)],
            "lat": [float(i % 7) for i in range(40)],
            "use": ["a", "b"] * 20,
            "continent": ["Africa"] * 40,
        }
    )
    pq.write_table(table, "pool.parquet")
    return tmp_path / "pool.parquet"


@pytest.mark.parametrize("words", [BUILD, DRAW, TASK], ids=lambda words: words[0])
def test_output_that_cannot_be_a_file_is_refused_before_the_work(
    run: Run, pool: Path, words: tuple[object, ...]
) -> None:
    Path("folder.parquet").mkdir()
    os.mkfifo("pipe.parquet")
    before = sorted(Path().iterdir())
    for out, message in (
        ("folder.parquet", "cannot write folder.parquet: it is a folder; name a file in it"),
        ("pipe.parquet", "cannot write pipe.parquet: it is a device, no file; name a file"),
        ("pool.parquet/c.parquet", "pool.parquet is a file, no folder; choose another folder"),
        ("c.csv", "ends in .parquet" if words is BUILD else "is a Parquet file; name it .parquet"),
        ("", "name a new folder" if words is BUILD else "is a Parquet file; name it .parquet"),
    ):
        assert message in run(*words, "--out", out).error
    assert sorted(Path().iterdir()) == before
    assert Path("pipe.parquet").is_fifo()


def test_too_long_a_name_is_one_line(run: Run) -> None:
    assert "choose a shorter name" in run(*DRAW, "--out", "a" * 300 + ".parquet").error


def test_the_users_own_list_of_ids_is_not_overwritten(run: Run) -> None:
    assert run(*DRAW, "--out", "mine.parquet").returncode == 0
    before = Path("mine.parquet").read_bytes()
    words = ("draw", "pool.parquet", "--sampler", "ids:file=mine.parquet")
    said = run(*words, "--out", "mine.parquet").error
    assert "is the sampler's input mine.parquet itself" in said
    assert Path("mine.parquet").read_bytes() == before


def test_a_link_is_replaced_and_its_file_left_behind(run: Run) -> None:
    Path("disk").mkdir()
    Path("c.parquet").symlink_to("disk/c.parquet")
    assert run(*DRAW, "--out", "c.parquet").returncode == 0
    assert Path("c.parquet").is_symlink()
    assert pq.read_table("disk/c.parquet").num_rows == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "id,lon,lat\n1,,\n2,,\n", "lon or lat is missing or not finite in 2 of 2 rows"),
        ("b.csv", "id,lon,lat\n,1,2\nb,2,3\n", "id column 'id' is empty in 1 row (first: 0)"),
        ("d.csv", "id,lon,lat\n1,2,3\n,1,2\n", "id column 'id' is empty in 1 row (first: 1)"),
        ("e.csv", "id, lon, lat\n1,1,2\n", "give --lon ' lon' --lat ' lat'"),
        ("f.csv", "lon,lat,use,use\n1,2,a,a\n", "2 columns named 'use': rename or drop one"),
        ("f.csv", "lon,lat,lon\n1,2,3\n", "2 columns named 'lon': rename or drop one"),
        ("g.csv", "a,b\n\x1b[2J\n", "g.csv is not a table of text: line 2 has 1 field, but the"),
        ("pool.csv/h.csv", None, "pool.csv/h.csv: no such file"),
        ("a" * 300, None, "File name too long"),
    ],
    ids=lambda value: value[:6] if isinstance(value, str) else None,
)
def test_odd_table_is_named_with_row_and_remedy(
    run: Run, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        Path(name).write_text(content)
    line = run("draw", name, "--sampler", "uniform", "-n", 1, "--out", "c.parquet").error
    assert message in line
    assert line.isprintable()
    assert not Path("c.parquet").exists()


def test_a_pipe_hangs_the_reader(run: Run) -> None:
    os.mkfifo("pipe")
    line = run("draw", "pipe", "--sampler", "uniform", "-n", 1, "--out", "c.parquet").error
    assert line == "pipe is a pipe or a device: write it to a file first"


@pytest.mark.parametrize("about", [b"{torn", b"{}", b"null", b'{"primary_column": 1}'])
def test_broken_metadata_of_geoparquet_are_a_traceback(run: Run, pool: Path, about: bytes) -> None:
    table = pq.read_table(pool).replace_schema_metadata({b"geo": about})
    pq.write_table(table, pool)
    assert "metadata 'geo' is not GeoParquet's" in run(*DRAW, "--out", "c.parquet").error


def test_broken_geometry_is_a_traceback(run: Run, pool: Path) -> None:
    geo = b'{"primary_column": "at", "columns": {"at": {"encoding": "WKB"}}}'
    table = pa.table({"at": [b"\x01\x01"] * 4}).replace_schema_metadata({b"geo": geo})
    pq.write_table(table, pool)
    assert "pool.parquet: the geometry is not well-known" in run(*DRAW, "--out", "c.parquet").error


@pytest.mark.parametrize("about", [b"{torn", b"[1]", b"\xff"])
def test_metadata_of_another_program_are_a_traceback(run: Run, pool: Path, about: bytes) -> None:
    table = pq.read_table(pool).replace_schema_metadata({b"wherefrom": about})
    pq.write_table(table, pool)
    assert run(*DRAW, "--out", "c.parquet").returncode == 0


def test_text_kept_as_views_is_taken_for_another_type(run: Run, pool: Path) -> None:
    table = pq.read_table(pool)
    ids = pa.array([f"p{i:02}" for i in range(40)], pa.string_view())
    use = table.column("use").cast(pa.string_view())
    pq.write_table(table.set_column(0, "id", ids).set_column(3, "use", use), pool)
    words = ("draw", pool, "--sampler", "stratified:layer=use", "-n", 4, "--out", "c.parquet")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert pq.read_table("c.parquet").column("id")[0].as_py().startswith("p")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,multiplicity\n1,2\n2,x\n", "multiplicity must be a whole number"),
        ("id,multiplicity\n1,2\n2,\n", "from 1 to 2,147,483,647; row 1 holds nan"),
        ("id,multiplicity\n1,1.5\n2,1\n", "from 1 to 2,147,483,647; row 0 holds 1.5"),
        ("id,multiplicity\n1,2\n2,99999999999\n", "row 1 holds 1e+11"),
        ("id,multiplicity\n1,2147483647\n2,1\n", "at most 2,147,483,647"),
        ("id\n1.5\n2\n", "ids are text (first: '1.5'), but the pool's ids are whole numbers"),
        ("id\ntrue\nfalse\n", "ids are text (first: 'false'), but the pool's ids are whole"),
        ("id\n2020-01-01\n", "ids are text (first: '2020-01-01'), but the pool's ids are whole"),
        ("id\n1\n77\n", "1 of 2 ids are not in the pool: 77"),
        ("a,b\n1,2\n", "has no column 'id'; columns: a, b"),
    ],
)
def test_odd_list_of_ids_gives_another_composition(run: Run, content: str, message: str) -> None:
    Path("mine.csv").write_text(content)
    words = ("draw", "pool.parquet", "--sampler", "ids:file=mine.csv", "--out", "c.parquet")
    line = run(*words).error
    assert line.startswith("mine.csv")
    assert message in line
    assert not Path("c.parquet").exists()


@pytest.mark.parametrize(
    ("spec", "n", "message"),
    [
        ("stratified:layer=use,short=repeat", 10**23, "holds at most 2,147,483,647 places"),
        ("stratified:layer=use,short=repeat", 2**31, "holds at most 2,147,483,647 places"),
        ("stratified:layer=use,weights=a", 4, "'a' is not LABEL:WEIGHT"),
        ("stratified:layer=use,weights=a:1;a:3", 4, "label 'a' is given twice"),
    ],
)
def test_numbers_that_do_not_fit_give_another_draw(
    run: Run, spec: str, n: int, message: str
) -> None:
    words = ("draw", "pool.parquet", "--sampler", spec, "-n", n, "--out", "c.parquet")
    assert message in run(*words).error


@pytest.mark.parametrize("label", ["a$b$c", "$x^$", "[red]b", "\\alpha", "ü中"])
def test_a_label_with_signs_of_its_own_spoils_the_card(run: Run, pool: Path, label: str) -> None:
    table = pq.read_table(pool).set_column(3, "use", [["a", label] * 20])
    pq.write_table(table, pool)
    words = ("draw", pool, "--sampler", "stratified:layer=use", "-n", 4, "--out", "c.parquet")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert label in done.stdout
    assert "Warning" not in done.stderr
    lacks = "note: the map's font lacks some letters" in done.stderr
    assert lacks == (label == "ü中")
    assert label in Path("c.card.json").read_text(encoding="utf-8")
    assert Path("c.card.png").read_bytes()[:4] == b"\x89PNG"


def shell(command: str, **env: str) -> Done:
    """Run a line of shell with ``W`` as the command line's name."""
    line = f'W() {{ "{sys.executable}" -m wherefrom "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        encoding=env.get("PYTHONIOENCODING", "utf-8"),
        check=False,
        env={**os.environ, **env},
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
def test_a_full_disk_behind_the_output_is_a_traceback() -> None:
    draw = " ".join(map(str, DRAW))
    assert shell(f"W {draw} --out c.parquet > /dev/full").error.startswith("cannot print")
    assert pq.read_table("c.parquet").num_rows == 2


def test_a_closed_pipe_is_a_traceback() -> None:
    assert shell("W data list | head -1").stderr == ""


def test_a_label_that_the_terminal_lacks_ends_a_finished_draw_in_an_error(pool: Path) -> None:
    table = pq.read_table(pool).set_column(3, "use", [["ü", "中"] * 20])
    pq.write_table(table, pool)
    words = "draw pool.parquet --sampler stratified:layer=use -n 4 --out c.parquet"
    done = shell(f"W {words}", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert "\\u4e2d" in done.stdout


def test_a_file_name_that_is_not_utf8_is_a_traceback() -> None:
    done = shell("cp pool.parquet $'caf\\xe9.csv'; W pool check $'caf\\xe9.csv'")
    assert "rename the file" in done.error


def test_a_stopped_command_says_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wherefrom.pool.Pool.read", interrupted)
    done = run(*DRAW, "--out", "c.parquet")
    assert done.returncode == 130
    assert done.stderr.startswith("stopped; what was finished is kept")


@pytest.mark.parametrize("n", [1.5, True, "2"])
def test_a_number_of_places_that_is_not_whole_is_rounded(pool: Path, n: object) -> None:
    with pytest.raises(WherefromError, match="n must be a whole number"):
        draw(Pool.read(pool), "uniform", n)  # type: ignore[arg-type]
    with pytest.raises(WherefromError, match="places must be a whole number"):
        Pool.build(n)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec", [None, 3, {}, {"name": ["uniform"]}, {"name": "clustered", "around": ["cities"]}]
)
def test_a_spec_of_another_kind_is_a_traceback(spec: Any) -> None:
    with pytest.raises(WherefromError, match="sampler"):
        compose.sampler(spec)


def test_text_for_coordinates_is_a_traceback() -> None:
    with pytest.raises(WherefromError, match="lon and lat must be numbers"):
        earth.layer("land")(["13 E"], [52.5])


def test_ids_that_a_task_does_not_need_are_refused(run: Run) -> None:
    rows = "".join(f"{i // 3},{i},{i % 9},{'ab'[i % 2]},Africa\n" for i in range(40))
    Path("fields.csv").write_text("id,lon,lat,use,continent\n" + rows)
    done = run("task", "from-table", "fields.csv", "--label", "use", "--out", "t.parquet")
    assert done.returncode == 0, done.stderr
    assert "40 places" in done.stdout


def test_the_remedy_for_other_column_names_is_no_option_of_the_command(run: Run) -> None:
    Path("tiles.csv").write_text("tile,x,y\na,10,1\nb,20,2\n")
    words = ("task", "ecoregions", "--pool", "tiles.csv", "--layer", "climate_zone")
    sizes = ("--train", 5, "--test", 5, "--tune-train", 0, "--tune-test", 0, "--out", "t.parquet")
    assert "give --lon x --lat y" in run(*words, *sizes).error
    done = run(*words, *sizes, "--lon", "x", "--lat", "y", "--id", "tile")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing cached and nothing to be had; returns the cache's folder."""
    for name in ("PIP_NO_INDEX", "UV_OFFLINE"):
        monkeypatch.setenv(name, "1")
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(name, "")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("WHEREFROM_DATA", raising=False)
    monkeypatch.setenv("WHEREFROM_CACHE", str(tmp_path / "empty"))
    return tmp_path / "empty"


@pytest.mark.parametrize(
    ("words", "file", "folder"),
    [
        (BUILD, "ne_10m_admin_0_countries_deu.zip", "natural-earth-countries"),
        (
            ("draw", "pool.parquet", "--sampler", "stratified:layer=climate_zone", "-n", 2),
            "kmz_int_reshape.png",
            "koeppen-geiger",
        ),
        (
            ("draw", "pool.parquet", "--sampler", "stratified:layer=biome", "-n", 2),
            "Ecoregions2017.shp",
            "resolve-ecoregions",
        ),
        (
            ("task", "ecoregions", "--pool", "pool.parquet"),
            "Ecoregions2017.shp",
            "resolve-ecoregions",
        ),
    ],
    ids=["pool", "draw-wheel", "draw-official", "task"],
)
def test_nothing_cached_and_no_network_hides_which_file_to_place_where(
    run: Run, no_network: Path, words: tuple[object, ...], file: str, folder: str
) -> None:
    line = run(*words, "--out", "o.parquet").error
    assert f"place {file}" in line
    assert str(no_network / folder) in line
    assert not Path("o.parquet").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*BUILD, "--layers", "contnent"), "did you mean 'continent'"),
        (("draw", "pool.parquet", "--sampler", "stratified:layer=contnent", "-n", 2), "continent"),
        (("draw", "pool.parquet", "--sampler", "unifrm", "-n", 2), "did you mean 'uniform'"),
        (("draw", "pool.parquet", "--sampler", "uniform-area:cel_km=9", "-n", 2), "'cell_km'"),
        (
            ("draw", "pool.parquet", "--sampler", "stratified:layer=use,short=rpeat", "-n", 2),
            "did you mean 'repeat'",
        ),
        (("draw", "pool.parquet", "--sampler", "uniform", "-n", 41), "larger than the pool"),
        (("draw", "none.csv", "--sampler", "stratified:layer=continent", "-n", 2), "are empty"),
        (("draw", "text.parquet", "--sampler", "uniform", "-n", 2), "is not a Parquet file"),
        (("task", "from-table", "text.parquet", "--label", "use"), "is not a Parquet file"),
        (("task", "ecoregions", "--pool", "pool.parquet", "--layer", "biom"), "'biome'"),
    ],
    ids=lambda value: None if isinstance(value, tuple) else value,
)
def test_a_misspelt_name_or_a_wrong_number_or_file_leaves_an_output(
    run: Run, words: tuple[object, ...], message: str
) -> None:
    Path("text.parquet").write_text("lon,lat\n1,2\n")
    Path("none.csv").write_text("lon,lat,continent\n1,2,\n2,3,\n")
    assert message in run(*words, "--out", "o.parquet").error
    assert not Path("o.parquet").exists()


def test_labels_in_another_encoding_hide_what_is_wrong(run: Run) -> None:
    Path("latin.csv").write_bytes("lon,lat,use\n1,2,café\n2,3,b\n".encode("latin-1"))
    for words in (
        ("pool", "check", "latin.csv"),
        ("audit", "latin.csv"),
        ("draw", "latin.csv", "--sampler", "uniform", "-n", 2, "--out", "o.parquet"),
        ("task", "from-table", "latin.csv", "--label", "use", "--out", "o.parquet"),
    ):
        assert "latin.csv: line 2 is not UTF-8 (byte 0xe9)" in run(*words).error
