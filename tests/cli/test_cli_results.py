"""``wherefrom results recut``: from a store to a table, and one error for a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_study import finish, study_file
from running import Run

from wherefrom import earth
from wherefrom.study import Store, load, plan
from wherefrom.tasks import Task
from wherefrom.tasks.labelled import TASK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("study")
    file = study_file(folder)
    finish(plan(load(file, "laptop")), Store(folder / "store"))
    return file, folder


def words(finished: tuple[Path, Path], *more: object) -> tuple[object, ...]:
    file, out = finished
    return "results", "recut", file, "--out", out, "--task", "ecoregions-climate_zone", *more


def test_scores_by_a_layer_are_no_table(run: Run, finished: tuple[Path, Path]) -> None:
    done = run(*words(finished, "--by", "continent"))
    assert done.returncode == 0, done.stderr
    assert "accuracy on ecoregions-climate_zone, knn head, n = 20, by continent" in done.stdout
    assert "about this map: other places of the same land" in done.stdout
    table = pq.read_table(finished[1] / "recut-continent.parquet").to_pydict()
    assert set(table["label"]) == set(earth.CONTINENTS[:6])
    assert set(table["places"]) == {100}
    assert {*zip(table["model"], table["composition"], table["head"], strict=True)} == {
        ("encoder", "none", "knn"), ("encoder", "uniform", "knn"),
        ("raw-lonlat", "", "knn"), ("majority", "", "majority"),
    }  # fmt: skip
    assert all(low < high for low, high in zip(table["low"], table["high"], strict=True))
    assert f"{table['score'][0]:.3f}" in done.stdout
    assert (finished[1] / "recut-continent.csv").exists()


def test_blocks_other_heads_and_metrics_cannot_be_asked_for(
    run: Run, finished: tuple[Path, Path]
) -> None:
    more = ("--by", "region", "--head", "logistic", "--metric", "f1_macro", "--block-km", 1000)
    done = run(*words(finished, *more))
    assert done.returncode == 0, done.stderr
    assert "f1_macro on ecoregions-climate_zone, logistic head" in done.stdout
    assert "about land not yet seen: other blocks of about 1,000 km" in done.stdout


def test_what_is_left_out_is_not_said(run: Run, finished: tuple[Path, Path]) -> None:
    done = run(*words(finished, "--by", "country"))
    assert done.returncode == 0, done.stderr
    assert "test places, fewer than 30" in done.stderr
    assert "more that are left out" in done.stderr


@pytest.mark.parametrize("asked", ["land", "people"])
def test_scores_for_the_land_or_its_people_are_no_table(
    asked: str, run: Run, finished: tuple[Path, Path]
) -> None:
    done = run(*words(finished, "--by", "continent", "--for", asked))
    assert done.returncode == 0, done.stderr
    assert "weighted by continent to the" in done.stdout
    assert f"{asked} (600 places, worth " in done.stdout
    assert "all test places (600 places)" in done.stdout
    assert ("stand in for all people" in done.stdout) == (asked == "people")
    table = pq.read_table(finished[1] / f"recut-continent-{asked}.parquet").to_pydict()
    assert set(table["label"]) == {asked, "all test places"}


def test_shares_and_labels_of_ones_own_are_not_taken(
    run: Run, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    stage = next((finished[1] / "store" / "task").iterdir())
    task = Task.read(stage / TASK)
    rows = [
        f"{x},{y},{'north' if y > 0 else 'south'}\n"
        for x, y in zip(task.lon, task.lat, strict=True)
    ]
    (tmp_path / "mine.csv").write_text("lon,lat,half\n" + "".join(rows))
    (tmp_path / "shares.csv").write_text("label,share\nnorth,0.5\nsouth,0.5\n")
    more = ("--by", "half", "--table", tmp_path / "mine.csv", "--for", tmp_path / "shares.csv")
    done = run(*words(finished, *more))
    assert done.returncode == 0, done.stderr
    assert "weighted by half to the shares of shares.csv" in done.stdout
    assert (finished[1] / "recut-half-shares.parquet").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--by", "bimoe"), "unknown layer 'bimoe': did you mean 'biome'"),
        (("--by", "elevation"), "layer 'elevation' holds values, not labels"),
        (
            ("--by", "continent", "--head", "mlp"),
            "unknown head of task ecoregions-climate_zone 'mlp'",
        ),
        (("--by", "continent", "--metric", "r2"), "unknown metric 'r2'"),
        (("--by", "continent", "--n", 50), "unknown n '50': did you mean '20'"),
        (("--by", "continent", "--block-km", 0), "blocks of 0 km: give them a width of 1 to"),
        (("--by", "region", "--for", "land"), "--for land: how much of it each label of 'region'"),
        (("--by", "continent", "--for", "nosuch.csv"), "nosuch.csv: no such file"),
        (("--by", "x", "--table", "nosuch.csv"), "nosuch.csv: no such file"),
        (("--by", "continent", "--task", "zones"), "unknown task 'zones'"),
    ],
)
def test_a_mistake_is_no_line(
    more: tuple[object, ...], message: str, run: Run, finished: tuple[Path, Path]
) -> None:
    assert message in run(*words(finished, *more)).error


def test_a_study_of_several_tasks_mixes_them(run: Run, finished: tuple[Path, Path]) -> None:
    file, out = finished
    said = run("results", "recut", file, "--out", out, "--by", "continent").error
    assert "2 tasks, cropland and ecoregions-climate_zone, which no score mixes" in said


def test_a_run_that_was_stopped_is_taken_for_whole(
    run: Run, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    file, _ = finished
    steps, store = plan(load(file, "laptop")), Store(tmp_path / "store")
    finish(steps, store)
    gone = next(s for s in steps.of_kind("fewshot") if s.axes["head"] == "knn")
    store.drop("fewshot", gone.key)
    done = run(*words((file, tmp_path), "--by", "continent"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"note: 1 of \d+ few-shot stages are not finished, and not in it", done.stderr)


def test_a_store_without_predictions_ends_in_a_traceback(
    run: Run, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    file, _ = finished
    said = run(*words((file, tmp_path / "none"), "--by", "continent")).error
    assert "few-shot stages is in" in said
    assert "run the study first" in said
    steps, store = plan(load(file, "laptop")), Store(tmp_path / "bare" / "store")
    finish(steps, store)
    for stage in steps.of_kind("fewshot"):
        store.drop("fewshot", stage.key)
        about = {"label": stage.label, "document": stage.document}
        with store.write("fewshot", stage.key, about) as folder:
            (folder / "scores.parquet").write_bytes(b"")
    said = run(*words((file, tmp_path / "bare"), "--by", "continent")).error
    assert "no predictions can be read there" in said
    assert "run the study again" in said
