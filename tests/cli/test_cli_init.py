"""`wherefrom init` and `evaluate`: whole studies that plan at once, and one line for a mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from running import Run

from wherefrom.cli import study as commands
from wherefrom.compose import drawn
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.study import load, plan
from wherefrom.study.listed import listed
from wherefrom.study.pools import PoolSpec
from wherefrom.study.starter import BUILT, checked, fitted, startable
from wherefrom.tasks import Task, from_table


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 1,200 tiles, and fields: 600 in Africa, 90 in Europe, 12 in South America."""
    folder = tmp_path_factory.mktemp("tables")
    pool = Pool.build(1200, seed=3)
    season = np.where(np.arange(1200) % 2 == 0, "dry", "wet")
    tiles = {"tile": [f"t{i}" for i in range(1200)], "x": pool.lon, "y": pool.lat, "season": season}
    pyarrow.csv.write_csv(pa.table(tiles), folder / "tiles.csv")
    rng, where = np.random.default_rng(0), np.repeat([0, 1, 2], [600, 90, 12])
    fields = {
        "Longitude": np.array([20.0, 10.0, -60.0])[where] + rng.uniform(-2, 2, len(where)),
        "Latitude": np.array([0.0, 50.0, -10.0])[where] + rng.uniform(-2, 2, len(where)),
        "crop": np.where(np.arange(len(where)) % 2 == 0, "yes", "no"),
        "yield": rng.uniform(1, 9, len(where)),
    }
    pyarrow.csv.write_csv(pa.table(fields), folder / "fields.csv")
    return folder


@pytest.fixture
def folder(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that has links to the tables."""
    for file in tables.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


POOL = ("--pool", "tiles.csv", "--id", "tile", "--lon", "x", "--lat", "y")
LABELS = ("--task", "fields.csv", "--label", "crop", "--positive", "yes")


def test_a_first_study_does_not_plan_or_writes_over_another(run: Run, folder: Path) -> None:
    code, _, err = run("init", *POOL, *LABELS)
    assert code == 0, err
    assert "coordinates are in 'Longitude' and 'Latitude'" in err
    assert "compositions of 200 places: at most one in 5 of 1,200" in err
    assert "left out South America" in err
    assert "n = 20: too few labels for 50 in Europe" in err
    text = (folder / "study.yaml").read_text()
    assert "Columns of the table serve as layers: season." in text.replace("\n  # ", " ")
    assert max(map(len, text.splitlines())) <= 120
    steps = {scale: plan(load("study.yaml", scale)) for scale in ("debug", "laptop")}
    study = steps["laptop"].study
    assert (study.n, study.composition_size, study.pool_places) == (20, 200, 1200)
    assert {"none", "uniform", "stratified-continent"} <= set(study.compositions)
    (model,) = study.models.values()
    assert model.pretrain.batch == 128  # no larger than a composition
    assert Task.read("task.parquet").positive == 1
    again = run("init", *POOL, *LABELS)
    assert again.error == (
        "study.yaml is there already: name another --out, or write over it with --force"
    )
    assert run("init", *POOL, *LABELS, "--force").returncode == 0


def test_a_study_of_numbers_is_one_of_classes(run: Run, folder: Path) -> None:
    words = ("--task", "fields.csv", "--target", "yield", "--unit", "t/ha", "--model", "presto")
    code, _, err = run("init", *words, "--out", "mine/first.yaml")
    assert code == 0, err
    study = load("mine/first.yaml", "debug")
    assert [one.metric for one in study.headlines] == ["r2"]
    assert study.tasks["fields"].units == "t/ha"
    assert study.pool.places == BUILT["debug"][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "fields.csv"), "--task fields.csv: name its column of labels"),
        (("--positive", "yes"), "--positive is about a table of labels, and no table"),
        (("--model", "satclop"), "unknown kind of model 'satclop': did you mean 'satclip'"),
        (("--model", "satclip-images"), "can be written of satclip, satmae, presto alone"),
        (("--pool", "gone.csv"), "gone.csv: no such file"),
        (("--pool", "tiles.csv", "--lon", "east", "--lat", "y"), "tiles.csv has no column 'east'"),
        ((*LABELS, "--out", "task.parquet"), "--out task.parquet: a study file is YAML"),
        (("--id", "tile"), "--id is the column of a table of candidates: name it (--pool)"),
    ],
)
def test_a_mistake_leaves_half_a_study(
    run: Run, folder: Path, words: tuple[str, ...], message: str
) -> None:
    before = set(folder.iterdir())
    assert message in run("init", *words).error
    assert set(folder.iterdir()) == before


def test_too_few_places_or_labels_are_planned(tables: Path) -> None:
    models, few = startable(), Pool.build(90, seed=0)
    with pytest.raises(WherefromError, match=r"few.csv has 90 places: .* so 100 at least"):
        fitted("mine", models, PoolSpec(file="few.csv"), few)
    table = pyarrow.csv.read_csv(tables / "fields.csv")
    task = from_table(table.slice(600 + 90), "crop", "Longitude", "Latitude", name="thin")
    with pytest.raises(WherefromError, match=r"no region has labels enough .*South America: "):
        fitted("mine", models, task=task)


@pytest.mark.parametrize("kind", ["satclip", "presto", "satmae"])
def test_a_kind_of_model_starts_with_what_it_cannot_read(kind: str) -> None:
    made, _ = checked(fitted("mine", startable([kind]))[0])
    assert 3 <= made.blocks <= 6
    assert list(yaml.safe_load(made.text())["base"]["models"]) == [kind]


def test_a_list_is_evaluated_at_other_places(tmp_path: Path) -> None:
    candidates = Pool.build(3000)
    composition = drawn(Pool.build(1000), "uniform", n=100)
    composition.write(tmp_path / "drawn.parquet")
    found = listed(tmp_path / "drawn.parquet", candidates)
    assert found.table["id"].to_pylist() == composition.ids.tolist()
    found.write(tmp_path / "list.parquet")
    again = listed(tmp_path / "list.parquet", candidates)
    assert again.table.equals(found.table)
    lines = ["x,y,multiplicity", f"{candidates.lon[7]},{candidates.lat[7]},3", "-150,0,1"]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    mine = listed(tmp_path / "mine.csv", candidates, "x", "y")
    assert mine.table.select(["id", "multiplicity"]).to_pydict() == {"id": [7], "multiplicity": [3]}
    assert mine.size == 3
    assert "left out, since no candidate is near: 1 place" in mine.said
    own = drawn(Pool.build(1000, seed=5), "uniform", n=100)
    own.write(tmp_path / "own.parquet")
    with pytest.raises(WherefromError, match=r"ids of a pool of yours: name it \(pool='FILE'\)"):
        listed(tmp_path / "own.parquet", candidates)


def test_uniform_is_computed_anew_for_a_second_list(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stores = []

    def ran(study: Path, scale: str, out: Path, stages: str, workers: Any) -> None:
        steps = plan(load(study, scale))
        of = steps.study.headlines[0]
        about = of.model_dump() | {"n": steps.study.n, "reference": "uniform", "task": "biomes"}
        row = {"difference": -0.02, "low": -0.03, "high": -0.01, "verdict": "worse", "blocks": 2}
        row |= about | {"composition": steps.study.name, "region": "All regions"}
        (out / "tables").mkdir()
        (out / "tables" / "report.json").write_text(json.dumps({"differences": [row]}))
        stores.append((steps, stages))

    monkeypatch.setattr(commands, "run_", ran)
    for name, seed in (("one", 1), ("two", 2)):
        places = Pool.build(400, seed=seed)
        pq.write_table(pa.table({"x": places.lon, "y": places.lat}), f"{name}.parquet")
        words = ("--scale", "debug", "--lon", "x", "--lat", "y")
        code, _, err = run("evaluate", f"{name}.parquet", *words)
        assert code == 0, err
        assert "each place is stood for by the nearest of 30,000 candidates" in err
    (one, store), (two, other) = stores
    assert store == other
    keys = {stage.key: stage for stage in one.stages}
    anew = [stage for stage in two.stages if stage.key not in keys]
    assert {stage.axes["composition"] for stage in anew} == {"two"}
    first, second = (
        json.loads(Path(f"runs/{name}-debug/entry.json").read_text()) for name in ("one", "two")
    )
    assert first["beside"] == second["beside"]
    assert first["sha256"] != second["sha256"]
    assert (first["places"], first["difference"]) == (400, -0.02)
    code, _, err = run("evaluate", "one.parquet", "--lon", "x", "--lat", "y")
    assert code == 0, err
    assert stores[-1][0].study.pool_places == BUILT["laptop"][0]
    assert "another composition" in run("evaluate", "one.parquet", "--name", "uniform").error


@pytest.mark.long
def test_what_init_and_evaluate_write_does_not_run(run: Run, folder: Path) -> None:
    assert run("init", *POOL, *LABELS).returncode == 0
    code, out, err = run("study", "run", "study.yaml", "--scale", "debug")
    assert code == 0, err
    assert "uniform" in out
    words = ("--lon", "x", "--lat", "y", "--scale", "debug", "--store", "store")
    code, _, err = run("evaluate", "tiles.csv", *words)
    assert code == 0, err
    assert json.loads(Path("runs/tiles-debug/entry.json").read_text())["places"] == 1200
