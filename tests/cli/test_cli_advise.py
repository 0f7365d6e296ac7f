"""``wherefrom advise``: from a store to a ranking, and one line for a mistake."""

from __future__ import annotations

from pathlib import Path

import pyarrow.csv
import pytest
from made_study import finish, study_file
from running import Run

from wherefrom.evidence.advice import LOWER, OPEN
from wherefrom.report.advising import Wanted, advised
from wherefrom.report.context import evidence_of
from wherefrom.report.study import context_of
from wherefrom.study import Store, load, plan
from wherefrom.study.results import joined
from wherefrom.study.spent import measured

pytestmark = pytest.mark.slow

TASK = "ecoregions-climate_zone"
RATES = {"none": 0.5, "uniform": 0.8, "cities": 0.8, "forest": 0.65}
COMPOSITIONS = {
    "none": "none",
    "uniform": "uniform",
    "cities": "stratified:layer=continent",
    "forest": "stratified:layer=climate_zone",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("study")
    file = study_file(folder, 4, compositions=COMPOSITIONS)
    finish(plan(load(file, "laptop")), Store(folder / "store"), RATES)
    return file, folder


def words(finished: tuple[Path, Path], *more: object) -> tuple[object, ...]:
    file, out = finished
    return "advise", file, "--out", out, "--task", TASK, *more


def test_a_region_is_no_ranking(run: Run, finished: tuple[Path, Path]) -> None:
    done = run(*words(finished, "--target", "Asia"))
    assert done.returncode == 0, done.stderr
    assert "The evidence cannot decide which composition is best for Asia, by" in done.stdout
    assert "about this map" in done.stdout
    assert "What a block costs is not known" in done.stdout
    read = pyarrow.csv.read_csv(finished[1] / "advice-Asia.csv").to_pydict()
    found = dict(zip(read["row"], read["group"], strict=True))
    assert {found["uniform"], found["cities"]} == {OPEN}
    assert found["none"] == LOWER
    assert set(found) == {*COMPOSITIONS, "raw-lonlat", "majority"}


def test_the_family_of_advice_is_another_than_the_report_s(finished: tuple[Path, Path]) -> None:
    file, out = finished
    steps, store = plan(load(file, "laptop")), Store(out / "store")
    context = context_of(steps, store, file, [], whole=False)
    whole = evidence_of(joined(steps, store), context)
    made = advised(steps, store, file, Wanted(target="Asia", task=TASK))
    view = made.advice.headline.view
    assert made.advice.headline.evidence.comparisons[view].rows == whole.comparisons[view].rows
    assert made.advice.headline.leader("Asia") == whole.headlines[view].leader("Asia")


def test_places_of_ones_own_are_no_target(
    run: Run, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("id,x,y\na,20,5\nb,25,-10\nc,100,30\nd,-40,40\n")
    done = run(*words(finished, "--places", table, "--lon", "x", "--lat", "y", "--hours", 2))
    assert done.returncode == 0, done.stderr
    assert "for the places of mine.csv" in done.stdout
    assert "weighted by region as the places of mine.csv lie" in " ".join(done.stdout.split())
    assert "1 of 4 places of mine.csv have no label that was tested" in done.stderr
    assert (finished[1] / "advice-mine.csv").exists()
    more = ("--places", table, "--lon", "x", "--lat", "y", "--by", "climate_zone")
    done = run(*words(finished, *more))
    assert done.returncode == 0, done.stderr
    assert "weighted by climate_zone" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--target", "Asiaa"), f"unknown region of task {TASK} 'Asiaa': did you mean 'Asia'"),
        (("--target", "Asia", "--head", "mlp"), f"unknown head of task {TASK} 'mlp'"),
        (("--target", "Asia", "--model", "presto"), f"unknown model on task {TASK} 'presto'"),
        (("--target", "Asia", "--metric", "r2"), f"unknown metric of task {TASK} 'r2'"),
        (("--target", "Asia", "--places", "x.csv"), "--target and --places: name a region, or"),
        (("--by", "biome"), "--by counts the places of a table: name one (--places)"),
        (("--places", "nosuch.csv"), "nosuch.csv: no such file"),
    ],
)
def test_a_mistake_is_no_line(
    more: tuple[object, ...], message: str, run: Run, finished: tuple[Path, Path]
) -> None:
    assert message in run(*words(finished, *more)).error


def test_places_at_sea_are_ranked(run: Run, finished: tuple[Path, Path], tmp_path: Path) -> None:
    table = tmp_path / "sea.csv"
    table.write_text("lon,lat\n-40,40\n-150,0\n")
    said = run(*words(finished, "--places", table)).error
    assert "sea.csv: none of its places lies in a tested region of the task" in said
    assert "are longitude and latitude exchanged" in said


def test_a_study_of_several_tasks_mixes_them(run: Run, finished: tuple[Path, Path]) -> None:
    file, out = finished
    said = run("advise", file, "--out", out, "--target", "Asia").error
    assert f"2 tasks, {TASK} and cropland" in said or f"2 tasks, cropland and {TASK}" in said
    assert "(--task)" in said


def test_one_block_is_ranked(run: Run, tmp_path: Path) -> None:
    file = study_file(tmp_path, 1)
    finish(plan(load(file, "laptop")), Store(tmp_path / "store"))
    said = run(*words((file, tmp_path), "--target", "Asia")).error
    assert "every composition ran in one block" in said
    assert "blocks: 2 or more" in said


def test_missing_blocks_are_not_said(run: Run, tmp_path: Path) -> None:
    file = study_file(tmp_path, 3, compositions=COMPOSITIONS)
    steps, store = plan(load(file, "laptop")), Store(tmp_path / "store")
    finish(steps, store, RATES)
    for stage in steps.of_kind("fewshot"):
        if stage.axes["composition"] == "forest" and stage.axes["block"] > 1:
            store.drop("fewshot", stage.key)
    done = run(*words((file, tmp_path), "--target", "Asia"))
    assert done.returncode == 0, done.stderr
    assert "not finished: encoder: forest lacks block 2" in done.stderr
    assert "forest: compared in 2 of 3 blocks in common" in done.stdout


def test_hours_are_made_up(tmp_path: Path) -> None:
    # Of one composition's stages each takes as long as is written here; a block is their sum.
    file = study_file(tmp_path, 2)
    steps, store = plan(load(file, "laptop")), Store(tmp_path / "store")
    assert measured(steps, store, "encoder", TASK, "knn") is None  # nothing is there
    seconds = {"draw": 1.0, "pretrain": 10.0, "fewshot": 100.0}
    for stage in steps.stages:
        if stage.kind in seconds:
            folder = store.folder(stage.kind, stage.key)
            folder.mkdir(parents=True)
            (folder / "env.json").write_text(f'{{"seconds": {seconds[stage.kind]}}}')
    costs = measured(steps, store, "encoder", TASK, "knn")
    assert costs is not None
    # Two compositions, with two heads on two tasks each.
    assert costs.block == 2 * (1 + 10 + 4 * 100)
    assert costs.head == 2 * 100
    assert costs.fewshot == (2 * 2 + 1) * 100  # in two blocks, and a baseline
    assert costs.task == (2 * 2 * 2 + 3) * 100
    assert (costs.episodes, costs.growth) == (3, 1000 / 140)
