"""Tuning: the same places, seeds and grid for every row; what does not fit is not used."""

from __future__ import annotations

import csv
import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from numpy.random import SeedSequence
from typer.testing import CliRunner

from wherefrom.cli import study as commands
from wherefrom.errors import WherefromError
from wherefrom.pool import Pool
from wherefrom.study import Plan, Store, load, plan, tuned, tuning
from wherefrom.study.fitting import best_baselines, best_heads, fitting, tuned_of, untuned
from wherefrom.study.reading import declared
from wherefrom.study.run import Outcome
from wherefrom.study.stages import compute
from wherefrom.study.tuned import COLUMNS, NAME, Tried
from wherefrom.tasks import SPLITS, Task, plan_episodes
from wherefrom.train.heads import head
from wherefrom.train.scores import scores

CODE = '''
from typing import ClassVar
import torch
from torch import nn
from wherefrom.gfms import Gfm


class Tiny(Gfm):
    """Learns longitudes, as many waves of them as it is wide."""
    width: int = 4

    @property
    def pretrain_flops(self):
        return 10

    def build(self, generator):
        layer = nn.utils.skip_init(nn.Linear, 2, self.width)
        nn.init.normal_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
        return layer

    def encode(self, module, batch):
        return torch.sin(module(torch.stack([batch["lon"], batch["lat"]], 1).float()))

    def loss(self, module, batch, generator):
        return (self.encode(module, batch).mean(1) - batch["lon"].float() / 180).square().mean()
'''
N = 40


@pytest.fixture(autouse=True, scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Plant a model, and run stages in this process."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "tiny.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        patch.setattr(tuning, "run", here)
        yield
    sys.modules.pop("tiny", None)


def here(
    steps: Plan, store: Store, workers: int | None = None, cluster: str | None = None
) -> Outcome:
    """Run a plan as `wherefrom.study.run` does, without other processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    todo = [stage for stage in steps.stages if not store.done(stage.kind, stage.key)]
    for stage in todo:
        compute(stage, store, lambda _: None)
    torch.set_num_threads(threads)
    return Outcome(len(todo), len(steps.stages) - len(todo), 0.0, 0)


def labelled(folder: Path, **change: Any) -> Task:
    """Write a task of a chessboard in two regions, which the nearest neighbour knows best."""
    rng = np.random.default_rng(0)
    each = {"train": 60, "test": 60, "tune-train": 80, "tune-test": 90}
    split = np.tile(np.repeat(range(4), list(each.values())), 2)
    region = np.repeat([0, 1], len(split) // 2)
    lon, lat = rng.uniform(0, 4, len(split)) + 20 * region, rng.uniform(0, 4, len(split))
    label = (lon.astype(int) // 2 + lat.astype(int) // 2) % 2
    fields: dict[str, Any] = {"name": "my-board", "lon": lon, "lat": lat, "label": label}
    fields |= {"classes": ("black", "white"), "region": region, "regions": ("here", "there")}
    task = Task(**fields | {"split": split, "label_layer": "colour"} | change)
    task.write(folder / "board.parquet")
    return task


def written(folder: Path, scale: dict[str, Any] | None = None, **change: Any) -> Path:
    """Write a study of the planted model on the chessboard, with parts of its base replaced."""
    pool = Pool.build(200, seed=3)
    places = {"id": [str(row) for row in range(200)], "lon": pool.lon, "lat": pool.lat}
    pyarrow.csv.write_csv(pa.table(places), folder / "pool.csv")
    if not (folder / "board.parquet").exists():
        labelled(folder)
    base: dict[str, Any] = {
        "name": "chess",
        "title": "A chessboard",
        "pool": {"file": str(folder / "pool.csv"), "id": "id"},
        "composition_size": 40,
        "compositions": {"none": "none", "uniform": "uniform"},
        "tasks": {
            "board": {
                "kind": "table",
                "name": "my-board",
                "file": str(folder / "board.parquet"),
                "baselines": ["raw-lonlat", "raw-harmonics-L4", "majority"],
            }
        },
        "models": {
            "tiny": {
                "kind": "tiny:Tiny",
                "tasks": ["board"],
                "pretrain": {"samples_seen": 64, "batch": 16, "lr": 1e-3},
                "blocks": 2,
            }
        },
        "n": N,
        "finetune_seeds": 4,
        "heads": {
            "logistic": {"grid": {"C": [0.1, 1, 10]}},
            "knn": {"options": {"k": 5}, "grid": {"k": [9, 1, 3]}},
            "majority": {},
        },
        "headlines": [{"model": "tiny", "head": "logistic"}],
    }
    content = {"base": base | change, "scales": {"debug": scale or {}, "laptop": {}}}
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder


class Tuned(NamedTuple):
    """A study that was tuned, its stages and its table."""

    folder: Path
    steps: Plan
    store: Store
    table: list[Tried]

    def beside(self, folder: Path) -> Path:
        """Copy the table beside another study."""
        shutil.copy(self.folder / NAME, folder / NAME)
        return folder


@pytest.fixture(scope="module")
def chess(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = written(tmp_path_factory.mktemp("chess"))
    store = Store(folder / "store")
    steps, _ = tuning.tune(tuning.tuning_plan(load(folder, "debug")), store)
    made, _ = tuning.collect(steps, store, declared(folder, "debug"))
    tuned.write(made, folder / NAME)
    return Tuned(folder, steps, store, made)


def of(table: list[Tried], row: str, kind: str) -> dict[str, Tried]:
    return {line.options: line for line in table if (line.row, line.head) == (row, kind)}


def test_a_baseline_is_scored_on_other_places_or_seeds_than_the_tuning_ones(
    chess: Tuned,
) -> None:
    task = Task.read(chess.folder / "board.parquet")
    features = np.stack([task.lon, task.lat], 1).astype(np.float32)
    features[task.reported] = np.nan  # a look at them would be seen
    drawn, _ = plan_episodes(task, task.regions, N, range(4), split="tuning")
    assert len(drawn) == 2
    found = of(chess.table, "raw-lonlat", "knn")
    assert list(found) == ["k=9", "k=1", "k=3"]
    for k in (1, 3, 9):
        by_seed = np.mean(
            [
                scores(
                    head("knn", k=k).fit_predict(
                        features, task.label, one.train, one.test, SeedSequence(0)
                    ),
                    task.label[one.test],
                )["f1_macro"]
                for one in drawn
            ],
            axis=0,
        )
        line = found[f"k={k}"]
        assert line.score == pytest.approx(by_seed.mean(), abs=1e-5)
        assert line.se == pytest.approx(by_seed.std(ddof=1) / 2, abs=1e-5)
        assert (line.n, line.seeds, line.metric) == (N, 4, "f1_macro")
    assert [text for text, line in found.items() if line.chosen] == ["k=1"]  # the chessboard's


def test_a_choice_favours_a_composition_or_was_made_on_a_block_of_the_study(
    chess: Tuned,
) -> None:
    _, steps, store, table = chess
    study = load(chess.folder, "debug")
    of_study = {stage.key for stage in plan(study).stages if stage.kind in ("draw", "pretrain")}
    shared = [s for s in steps.stages if s.key in of_study]
    assert {stage.label for stage in shared} == {"draw none 0"}  # which has no place
    assert len(steps.of_kind("pretrain")) == 2
    stages = [s for s in steps.of_kind("tune") if "pretrain" in s.inputs]
    stages = [stage for stage in stages if stage.axes["head"] == "knn"]
    assert {stage.axes["composition"] for stage in stages} == {"none", "uniform"}
    means = []
    for stage in stages:
        rows = pq.read_table(store.folder("tune", stage.key) / "scores.parquet").to_pylist()
        some = [r["value"] for r in rows if r["point"] == 1 and r["metric"] == "f1_macro"]
        assert len(some) == 2 * 4  # regions x seeds
        means.append(np.mean(some))
    assert means[0] != means[1]
    assert of(table, "tiny", "knn")["k=1"].score == pytest.approx(np.mean(means), abs=1e-5)


def test_a_study_does_not_use_what_was_chosen(chess: Tuned, tmp_path: Path) -> None:
    folder = written(tmp_path)
    before = plan(load(folder, "debug"))
    chess.beside(folder)
    study = load(folder, "debug")
    after = plan(study)

    def options(steps: Plan) -> dict[tuple[str, str], dict[str, Any]]:
        stages = steps.of_kind("fewshot")
        return {(s.axes["model"], s.axes["head"]): s.spec["options"] for s in stages}

    assert options(before)["raw-lonlat", "knn"] == {"k": 5}
    assert options(after)["raw-lonlat", "knn"] == {"k": 1}
    assert options(after)["majority", "majority"] == {}
    for one in study.tuned.choices:
        assert options(after)[one.row, one.head] == one.options
    changed = {a.label for a, b in zip(after.stages, before.stages, strict=True) if a.key != b.key}
    assert changed
    assert all(label.startswith("fewshot") for label in changed)
    # Rows are named once, with the heads that they are tuned with.
    (line,) = tuned_of(after)
    assert "tiny, raw-lonlat, raw-harmonics-L4 (knn, logistic)" in line
    assert "Not tuned" not in line
    assert untuned(after) == frozenset()
    assert ("my-board", "raw-lonlat", "knn") in untuned(before)
    # Of another scale nothing was tuned.
    assert load(folder, "laptop").tuned.choices == ()


def test_the_best_head_of_a_baseline_is_not_the_one_that_tuned_best(chess: Tuned) -> None:
    table, study = chess.table, load(chess.folder, "debug")
    best = best_heads(study)
    assert set(best) == {("board", row) for row in ("raw-lonlat", "raw-harmonics-L4", "majority")}
    assert (best["board", "raw-lonlat"].head, best["board", "raw-lonlat"].options) == (
        "knn",
        {"k": 1},
    )
    for (_, row), choice in best.items():
        assert choice.score == max(line.score for line in table if line.row == row)
    # The strongest of all, whatever its head; a model is none.
    (strongest,) = best_baselines(study).values()
    assert strongest.score == max(line.score for line in table if line.kind == "baseline")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"heads": {"knn": {"grid": {"k": [1, 3]}}}}, "knn (grid)"),
        ({"n": 30}, "knn (n)"),
        ({"headlines": [{"model": "tiny", "head": "knn", "metric": "accuracy"}]}, "knn (metric)"),
        ({"tasks": {"board": {"seed": 1}}}, "knn (task)"),
        ({}, "knn (task)"),
        ({"models": {"tiny": {"width": 5}}}, "tiny on board, knn (model)"),
        ({"compositions": {"twice": "uniform"}}, "tiny on board, knn (model)"),
    ],
)
def test_a_table_that_no_longer_fits_is_used(
    chess: Tuned, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    if not change:  # the user's own labels
        labelled(tmp_path, classes=("black", "pink"))
    study = load(chess.beside(written(tmp_path, scale=change)), "debug")
    (said,) = study.tuned.unfit
    assert reason in said
    assert "run wherefrom study tune" in said
    assert study.options("board", "tiny", "knn") == {"k": 5}
    assert said in tuned_of(plan(study))
    of_model = "model" in reason
    # What the change is not about is still tuned.
    assert (study.options("board", "raw-lonlat", "knn") == {"k": 1}) == of_model
    assert ("my-board", "raw-lonlat", "knn") in untuned(plan(study)) or of_model


def edit(file: Path, change: Callable[[list[list[str]]], object]) -> None:
    rows = list(csv.reader(file.read_text().splitlines()))
    change(rows)
    file.write_text("".join(",".join(row) + "\n" for row in rows))


def cell(row: int, column: str, value: str) -> Callable[[list[list[str]]], object]:
    return lambda rows: rows[row].__setitem__(COLUMNS.index(column), value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cell(0, "score", "points"), "not a table of this version"),
        (lambda rows: rows[-1].pop(), "line 10 has 15 cells, not 16: the table is torn"),
        (cell(2, "score", "nan"), "line 3, score is 'nan', no finite number"),
        (cell(2, "n", "many"), "line 3, n is 'many', no whole number"),
        (cell(2, "chosen", "perhaps"), "line 3, chosen is 'perhaps'"),
        (cell(2, "metric", "f2"), "line 3, metric is 'f2'"),
        (cell(2, "score", "1.7"), "line 3, score is 1.7, and f1_macro is 0 to 1"),
        (cell(2, "se", "-0.1"), "line 3, se is -0.1, and 0 is the least"),
        (cell(2, "seeds", "0"), "line 3, seeds is 0, and 1 is the least"),
        (lambda rows: [row.reverse() for row in rows], "first line must be study,.*; restore it"),
        (cell(1, "study", "draughts"), "line 2: it is of study 'draughts', not 'chess'"),
        (lambda rows: rows.append(rows[1]), "C=0.1 is there twice"),
        (lambda rows: rows.__delitem__(slice(2, None)), "0 lines are chosen, not one"),
        (cell(3, "score", "0.999"), "the line that is chosen does not score best"),
    ],
)
def test_a_damaged_table_is_used(
    tmp_path: Path, change: Callable[[list[list[str]]], object], message: str
) -> None:
    file = written(tmp_path) / NAME
    lines = [("C=0.1", 0.3), ("C=1", 0.5), ("C=10", 0.4)]
    made = [
        Tried("chess", "debug", "board", row, "baseline", "logistic", text, score, 0.01, N, 4,
              "f1_macro", text == "C=1", "0", "0", 1)
        for row in ("a", "b", "c") for text, score in lines
    ]  # fmt: skip
    tuned.write(made, file)
    assert tuned.read(file, "chess") == made
    edit(file, change)
    with pytest.raises(WherefromError, match=message):
        load(tmp_path, "debug")


def test_an_editor_that_marks_or_ends_lines_makes_a_table_another(
    chess: Tuned, tmp_path: Path
) -> None:
    """As Excel and Windows do: a mark in front, other line ends, blank lines."""
    file = tmp_path / NAME
    tuned.write(chess.table, file)
    text = file.read_text()
    for other in ("\ufeff" + text, text.replace("\n", "\r\n") + "\r\n\r\n", text.rstrip()):
        file.write_bytes(other.encode())
        assert sorted(tuned.read(file, "chess"), key=repr) == sorted(chess.table, key=repr)


def test_a_model_is_a_baseline_since_the_table_says_so(chess: Tuned, tmp_path: Path) -> None:
    table = [replace(line, kind="baseline") for line in chess.table]
    made = fitting(load(chess.beside(written(tmp_path)), "debug"), table)
    (said,) = made.unfit
    assert "(model)" in said
    assert {one.kind for one in made.choices} == {"baseline"}


def test_lines_of_other_rows_and_scales_are_lost(chess: Tuned) -> None:
    old = [line for line in chess.table if line.row == "raw-lonlat"]
    other = [line for line in old if line.head == "knn"]
    other = [Tried(**{**vars(line), "scale": "paper"}) for line in other]
    stale = [Tried(**{**vars(line), "score": 0.0}) for line in old]
    new = [line for line in chess.table if line.row in ("raw-lonlat", "majority")]
    kept = tuned.replaced([*stale, *other], new)
    assert [line for line in kept if line.scale == "paper"] == other
    assert {line.row for line in kept} == {"raw-lonlat", "majority"}
    assert all(line.score > 0 for line in kept)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({"logistic": {"grid": {"c": [1, 2]}}}, "heads.logistic: unknown option .*'c': Known: C"),
        ({"logistic": {"grid": {}}}, "heads.logistic.grid: an empty grid"),
        ({"logistic": {"grid": {"C": []}}}, "option 'C' has no value to try"),
        ({"logistic": {"grid": {"C": [1, 1]}}}, "option 'C': a value occurs twice"),
        ({"logistic": {"grid": {"C": [1, -1]}}}, "heads.logistic: .*C must be positive, not -1"),
        ({"logistic": {"grid": {"C": 3}}}, "heads.logistic.grid.C: must be a list"),
    ],
)
def test_a_grid_that_no_head_can_try_is_found_late(
    tmp_path: Path, heads: dict[str, Any], message: str
) -> None:
    with pytest.raises(WherefromError, match=message):
        load(written(tmp_path, heads=heads), "debug")


def test_a_study_without_a_grid_or_with_a_row_misspelt_is_tuned(tmp_path: Path) -> None:
    study = load(written(tmp_path, heads={"logistic": {}}), "debug")
    with pytest.raises(WherefromError, match=r"nothing to tune: .*give it one in the study file"):
        tuning.tuning_plan(study)
    with pytest.raises(WherefromError, match="unknown row 'raw-lonlta': did you mean 'raw-lonlat'"):
        tuning.tuning_plan(load(written(tmp_path), "debug"), ["raw-lonlta"])


def test_more_labels_than_there_are_to_tune_on_fail_after_the_pre_training(tmp_path: Path) -> None:
    split = labelled(tmp_path).split.copy()
    split[np.flatnonzero(split == SPLITS.index("test"))[::2]] = SPLITS.index("train")
    labelled(tmp_path, split=split)  # 90 to train on
    study, store = load(written(tmp_path, n=85), "debug"), Store(tmp_path / "store")
    with pytest.raises(
        WherefromError,
        match=r"80 labelled places in split 'tune-train', fewer than n = 85.*"
        r"tune_train_per_region \(at least n",
    ):
        tuning.tune(tuning.tuning_plan(study), store)
    assert not (tmp_path / "store" / "pretrain").exists()


def test_a_table_without_places_to_tune_on_ends_in_a_traceback(tmp_path: Path) -> None:
    task = labelled(tmp_path)
    labelled(tmp_path, split=np.minimum(task.split, SPLITS.index("test")))
    steps = tuning.tuning_plan(load(written(tmp_path), "debug"))
    with pytest.raises(
        WherefromError, match=r"no place to tune on.*split column with 'validation'"
    ):
        tuning.tune(steps, Store(tmp_path / "store"))


def test_a_task_in_folds_is_tuned_on_what_is_tested(tmp_path: Path) -> None:
    task = labelled(tmp_path)
    labelled(tmp_path, split=task.split % 3, folds=3)
    with pytest.raises(WherefromError, match=r"task my-board is in folds.*make it without folds"):
        tuning.tuning_plan(load(written(tmp_path), "debug"))


def test_a_region_of_one_class_is_averaged(tmp_path: Path) -> None:
    task = labelled(tmp_path)
    labelled(tmp_path, label=np.where(task.region == 1, 0, task.label))
    study, store = load(written(tmp_path), "debug"), Store(tmp_path / "store")
    steps, _ = tuning.tune(tuning.tuning_plan(study, ["raw-lonlat"]), store)
    table, problems = tuning.collect(steps, store, study)
    assert len(problems) == 1
    assert "there: all 80 training candidates are of one class, 'black'" in problems[0]
    (stage,) = [s for s in steps.of_kind("tune") if s.axes["head"] == "knn"]
    rows = pq.read_table(store.folder("tune", stage.key) / "scores.parquet")
    assert set(rows["region"].to_pylist()) == {"here"}
    assert all(np.isfinite(line.score) for line in table)


def test_the_command_writes_another_table_than_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    words = ["tune", str(folder), "--scale", "debug", "--rows", "raw-lonlat,majority"]
    words += ["--out", str(tmp_path / "out")]
    done = CliRunner().invoke(commands.app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert f"table: {folder / NAME}" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "knn" in line]
    assert "k=1" in line
    assert [choice.row for choice in load(folder, "debug").tuned.choices].count("raw-lonlat") == 2
    again = CliRunner().invoke(commands.app, words, catch_exceptions=False)
    assert "stages in" not in again.output  # all was there
