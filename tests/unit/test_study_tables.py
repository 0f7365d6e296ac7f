"""Studies of a user's own pool and labels: by content, not by name, and refused in one line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from wherefrom import earth
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.study import Plan, Store, collect, load, plan
from wherefrom.study.stage import Stage
from wherefrom.study.stages import compute
from wherefrom.tasks import from_table

STUDY = Path(__file__).resolve().parents[2] / "studies" / "purohit2025"
TILES = {"id": "tile", "lon": "x", "lat": "y"}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a pool of 600 tiles with a column of seasons, and a task of fields in two regions."""
    folder = tmp_path_factory.mktemp("tables")
    pool = Pool.build(600, seed=3)
    tiles = {
        "tile": [f"t{row}" for row in range(600)],
        "x": pool.lon,
        "y": pool.lat,
        "season": np.where(np.arange(600) % 3 == 0, "dry", "wet"),
    }
    pyarrow.csv.write_csv(pa.table(tiles), folder / "tiles.csv")
    rng = np.random.default_rng(0)
    rows = np.arange(400)
    fields = {
        "lon": np.where(rows < 200, 36.0, 2.0) + rng.random(400),
        "lat": np.where(rows < 200, 0.0, 47.0) + rng.random(400),
        "crop": np.where(rows % 2 == 0, "yes", "no"),
    }
    from_table(pa.table(fields), "crop", positive="yes").write(folder / "fields.parquet")
    return folder


def study(folder: Path, tables: Path, **change: Any) -> Path:
    """Write a study of Presto on the user's pool and labels."""
    base = yaml.safe_load((STUDY / "study.yaml").read_text())["base"]
    del base["published"]
    base["pool"] = {"file": str(tables / "tiles.csv"), **TILES}
    base["composition_size"] = 60
    base["compositions"] = {
        "none": "none",
        "uniform": "uniform",
        "seasons": "stratified:layer=season",
    }
    base["tasks"] = {
        "fields": {
            "kind": "table",
            "name": "my-fields",
            "file": str(tables / "fields.parquet"),
            "baselines": ["raw-series", "majority"],
        }
    }
    budget = {"samples_seen": 64, "batch": 32, "lr": 1e-3}
    base["models"] = {
        "presto": base["models"]["presto"]
        | {"tasks": ["fields"], "pretrain": budget, "blocks": 1, "precision": "float32"}
    }
    base |= {"n": 20, "finetune_seeds": 2, "sweep": None}
    base["heads"] = {"logistic": {}, "majority": {}}
    base["headlines"] = [{"model": "presto", "head": "logistic"}]
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({"base": base | change, "scales": {"debug": {}}}))
    return file


def run(steps: Plan, out: Path, kinds: set[str] | None = None) -> Store:
    """Compute stages one after the other."""
    store = Store(out / "store")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a study's workers do
    for stage in steps.stages:
        if kinds is None or stage.kind in kinds:
            compute(stage, store, lambda _: None)
    torch.set_num_threads(threads)
    return store


def test_a_study_cannot_draw_by_the_months_of_its_dates(tables: Path, tmp_path: Path) -> None:
    rows = pyarrow.csv.read_csv(tables / "tiles.csv")
    when = np.datetime64("2020-01-15") + 183 * (np.arange(600) % 2)
    pyarrow.csv.write_csv(rows.append_column("when", pa.array(when)), tmp_path / "dated.csv")
    pool = {"file": str(tmp_path / "dated.csv"), **TILES}
    plain = plan(load(study(tmp_path, tables, pool=pool), "debug"))
    drawn = {"none": "none", "uniform": "uniform", "july": "only:layer=month,label=07"}
    file = study(tmp_path, tables, pool=pool | {"time": "when"}, compositions=drawn)
    steps = plan(load(file, "debug"))
    assert steps.of_kind("pool")[0].key != plain.of_kind("pool")[0].key
    store = run(steps, tmp_path, {"pool", "draw"})
    (july,) = [stage for stage in steps.of_kind("draw") if stage.label == "draw july 0"]
    ids = pq.read_table(store.folder("draw", july.key) / "composition.parquet")["id"]
    assert {int(tile[1:]) % 2 for tile in ids.to_pylist()} == {1}


@pytest.mark.slow
def test_a_study_of_ones_own_pool_and_labels_gives_no_scores(tables: Path, tmp_path: Path) -> None:
    steps = plan(load(study(tmp_path, tables), "debug"))
    assert steps.study.pool_places == 600
    store = run(steps, tmp_path)
    rows = collect(steps, store, tmp_path).to_pylist()
    assert {row["task"] for row in rows} == {"my-fields"}
    assert {row["region"] for row in rows} == {"Africa", "Europe"}
    assert {row["composition"] for row in rows} == {"none", "uniform", "seasons", ""}
    assert any(row["metric"] == "f1_positive" for row in rows)
    (drawn,) = [stage for stage in steps.of_kind("draw") if stage.label == "draw seasons 0"]
    composition = pq.read_table(store.folder("draw", drawn.key) / "composition.parquet")
    rows_drawn = [int(tile[1:]) for tile in composition["id"].to_pylist()]
    assert sum(row % 3 == 0 for row in rows_drawn) == 30  # as many of the rarer season


def test_tables_that_moved_are_computed_anew(tables: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tables, elsewhere)
    before = plan(load(study(tmp_path, tables), "debug"))
    after = plan(load(study(tmp_path, elsewhere), "debug"))
    assert [stage.key for stage in before.stages] == [stage.key for stage in after.stages]


def reads_the_pool(stage: Stage) -> bool:
    return stage.kind in ("pool", "draw", "pretrain") or "pretrain" in stage.inputs


@pytest.mark.parametrize("file", ["tiles.csv", "fields.parquet"])
def test_results_of_other_tables_of_the_same_name_are_reused(
    tables: Path, tmp_path: Path, file: str
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(tables, mine)
    before = {stage.key for stage in plan(load(study(tmp_path, mine), "debug")).stages}
    if file == "tiles.csv":
        lines = (mine / file).read_text().splitlines(keepends=True)
        (mine / file).write_text("".join(lines[:-1]))
    else:
        table = pq.read_table(mine / file)
        pq.write_table(table.slice(0, len(table) - 1), mine / file)
    for stage in plan(load(study(tmp_path, mine), "debug")).stages:
        other = (
            reads_the_pool(stage)
            if file == "tiles.csv"
            else stage.kind in ("task", "fewshot")
            or (stage.kind == "payload" and "task" in stage.inputs)
        )
        assert (stage.key not in before) == other, stage.label


def test_a_table_that_changes_meanwhile_is_taken_for_the_old_one(
    tables: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(tables, mine)
    steps = plan(load(study(tmp_path, mine), "debug"))
    for name, kind in (("tiles.csv", "pool"), ("fields.parquet", "task")):
        (mine / name).write_bytes((mine / name).read_bytes() + b"\n")
        with pytest.raises(WherefromError, match=f"{name} has changed since the study began"):
            run(steps, tmp_path, {kind})


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ({"places": 10, "file": "tiles.csv"}, "pool: needs one of 'places'.*and 'file'"),
        ({}, "pool: needs one of 'places'.*and 'file'"),
        ({"places": 10, "lon": "x"}, "pool: 'lon' is of the rows of 'file'"),
        ({"places": 10, "time": "date"}, "pool: 'time' is of the rows of 'file'"),
        ({"file": "tiles.csv", **TILES, "time": "seasn"}, "of dates of .*tiles.csv 'seasn': did"),
        ({"file": "tiles.csv", **TILES, "where": "clod < 1"}, "column of .*clod < 1.*'clod'"),
        ({"file": "tiles.csv", "seed": 1}, "pool: 'seed' is of a pool that is built"),
        ({"file": "no.csv"}, "no.csv: no such file"),
        ({"file": "tiles.csv", **TILES, "lon": "y", "lat": "x"}, "look swapped"),
        ({"file": "tiles.csv", **TILES, "id": "season"}, "ids repeat"),
        ({"file": "tiles.csv", "colour": 1}, "unknown key 'colour'"),
    ],
)
def test_a_pool_that_cannot_be_had_is_planned(
    tables: Path, tmp_path: Path, pool: dict[str, Any], message: str
) -> None:
    if "file" in pool:
        pool = pool | {"file": str(tables / pool["file"])}
    with pytest.raises(WherefromError, match=message) as caught:
        load(study(tmp_path, tables, pool=pool), "debug")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("no.parquet", "no such file.*wherefrom task"),
        ("tiles.csv", "not the Parquet file of a task"),
    ],
)
def test_labels_that_cannot_be_had_are_planned(
    tables: Path, tmp_path: Path, file: str, message: str
) -> None:
    tasks = {"fields": {"kind": "table", "name": "mine", "file": str(tables / file)}}
    with pytest.raises(WherefromError, match=message):
        load(study(tmp_path, tables, tasks=tasks), "debug")


def test_a_layer_that_neither_the_earth_nor_the_pool_has_is_planned(
    tables: Path, tmp_path: Path
) -> None:
    compositions = {"none": "none", "uniform": "uniform", "odd": "stratified:layer=saison"}
    with pytest.raises(WherefromError, match="unknown layer 'saison': did you mean 'season'"):
        plan(load(study(tmp_path, tables, compositions=compositions), "debug"))


def test_a_column_of_the_pool_gets_a_stand_in(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earth, "available", lambda name: name != "biome")
    mine = tmp_path / "mine"
    shutil.copytree(tables, mine)
    table = pyarrow.csv.read_csv(mine / "tiles.csv").rename_columns(["tile", "x", "y", "biome"])
    pyarrow.csv.write_csv(table, mine / "tiles.csv")
    compositions = {"none": "none", "uniform": "uniform", "mine": "stratified:layer=biome"}
    made = load(study(tmp_path, mine, compositions=compositions), "debug")
    assert made.compositions["mine"] == "stratified:layer=biome"
    without = load(study(tmp_path, tables, compositions=compositions), "debug")
    assert without.compositions["mine"] == "stratified:layer=climate_zone"
