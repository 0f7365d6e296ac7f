"""Files as layers, and surfaces in place of land, on the command line: whole, or one clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from running import Run

from wherefrom.pool import Pool

pytestmark = pytest.mark.slow

NAME = "zones.gpkg:zone_name"


@pytest.fixture
def zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write two zones of Africa and a pool there, into the working folder."""
    monkeypatch.chdir(tmp_path)
    boxes = np.array([shapely.box(-20, -40, 20, 40), shapely.box(20, -40, 60, 40)])
    labels = np.array(["west", "east"], dtype=object)
    pyogrio.raw.write(
        "zones.gpkg", shapely.to_wkb(boxes), [labels], ["zone_name"],
        crs="EPSG:4326", geometry_type="Polygon",
    )  # fmt: skip
    Pool.build(600, within="continent=Africa").write("pool.parquet")
    return tmp_path


def test_a_file_is_no_layer_for_a_command(run: Run, zones: Path) -> None:
    labelled = run("pool", "label", "pool.parquet", "--layers", NAME, "--out", "labelled")
    assert labelled.returncode == 0, labelled.stderr
    assert f"{NAME}: 2 labels" in labelled.stdout
    spec = f"stratified:layer={NAME}"
    drawn = run("draw", "labelled", "--sampler", spec, "-n", 40, "--places", "--out", "d.parquet")
    assert drawn.returncode == 0, drawn.stderr
    assert np.sum(np.array(pq.read_table("d.parquet")["lon"]) < 20) == 20
    # West alone: shares differ from land's, and the remedy names the layer as it is.
    west = run("audit", "labelled", "--within", f"{NAME}=west", "--layers", "continent")
    assert west.returncode == 0, west.stderr
    assert f"against land within {NAME}=west" in west.stdout
    every = run("audit", "labelled", "--layers", NAME, "--within", "continent=Africa")
    assert "zone name of zones.gpkg" in every.stdout
    assert "–" not in every.stdout.split("zone name of zones.gpkg")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("audit", "pool.parquet", "--layers", "zones.gpkg"), "COLUMN; it has zone_name"),
        (("audit", "pool.parquet", "--layers", "zones.gpkg:zone"), "did you mean 'zone_name'"),
        (("audit", "pool.parquet", "--layers", "zone.gpkg:zone_name"), "no file zone.gpkg"),
        (("audit", "pool.parquet", "--within", f"{NAME}=north"), "no label 'north'"),
        (("audit", "pool.parquet", "--reference", "seas"), "unknown reference 'seas'"),
        (("pool", "build", "--places", 9, "--out", "o", "--reference", "all"), "write one file"),
        (
            ("pool", "build", "--places", 9, "--out", "o.parquet", "--within", f"{NAME}=west",
             "--layers", "continent,zones.gpkg:b"),
            "unknown column of zones.gpkg: 'b'",
        ),
    ],
)  # fmt: skip
def test_a_mistake_about_a_file_is_a_traceback(
    run: Run, zones: Path, words: tuple[object, ...], said: str
) -> None:
    assert said in run(*words).error


def test_a_pool_of_the_coast_is_held_against_land(run: Run, zones: Path) -> None:
    words = ("--places", 400, "--reference", "coast", "--within", "continent=Africa")
    built = run("pool", "build", *words, "--out", "coast.parquet")
    assert "uniform by area on the coast within continent=Africa, seed 0" in built.stdout
    about = ("audit", "coast.parquet", "--within", "continent=Africa", "--layers", "climate_zone")
    clean = run(*about, "--reference", "coast")
    assert "nothing amiss against coast within continent=Africa" in clean.stdout, clean.stdout
    amiss = run(*about)
    assert "Gaps: half of the land is farther" in amiss.stdout
