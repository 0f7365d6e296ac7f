"""The sanity check on real series: small runs of its core, and a page of what was measured."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from wherefrom.evidence.intervals import Side
from wherefrom.models.galileo import Galileo
from wherefrom.models.presto import Presto
from wherefrom.tasks.labelled import LabelledSeries
from wherefrom.tasks.table import label_series
from wherefrom.tasks.worldcereal import worldcereal

SCRIPT = Path(__file__).parents[2] / "studies" / "worldcereal" / "run.py"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the script: on a busy machine two are slower than one
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(SCRIPT), run_name="worldcereal_run"))


@pytest.fixture(scope="module")
def labelled(reference_data: Path) -> LabelledSeries:
    whole = worldcereal(reference_data / "worldcereal" / "worldcereal_testdf.parquet", "all")
    series, crop = whole.series.take(np.arange(0, 500, 2)), whole.task.label[::2] == 1
    return label_series("worldcereal", series, crop, "crop", "all")


def test_pre_training_is_worth_nothing_on_real_series(
    run: SimpleNamespace, labelled: LabelledSeries, reference_data: Path
) -> None:
    official = Presto.load_official(reference_data / "presto" / "default_model.pt")
    plan = run.Plan(initialisations=2, splits=3, episodes=3, tuned=0)
    galileo = Galileo.load_official(reference_data / "galileo" / "encoder.pt")
    heads = ("logistic", "knn")
    results = run.measure(labelled, official, plan, (100,), heads, galileo=galileo)
    for kind in ("logistic", "knn"):
        sides = [results[name, kind, 100, "f1_macro"] for name in (run.OFFICIAL, run.RANDOM)]
        assert [side.values.shape for side in sides] == [(1, 3), (2, 3)]
        assert [side.fixed for side in sides] == [True, False]
        # 0.15 to 0.18 over fifty episodes: half of it would be a defect of loader or model.
        assert sides[0].values.mean() - sides[1].values.mean() > 0.1
        other = results[run.GALILEO, kind, 100, "f1_macro"]  # 0.01 to 0.04 above
        assert other.values.shape == (1, 3)
        assert other.fixed
        assert abs(other.values.mean() - sides[0].values.mean()) < 0.1
    page = run.page(results, labelled, plan)
    assert "250 labelled pixels" in page
    assert "Means over 9 episodes: 3 random splits" in page
    mean = results[run.OFFICIAL, "knn", 100, "f1_positive"].values.mean()
    assert f"| 100 | knn | {mean:.3f} |" in page
    assert "official - Galileo" in page
    assert "fine-tuning" not in page


def test_random_weights_pass_for_pre_trained(
    run: SimpleNamespace, labelled: LabelledSeries
) -> None:
    # A control: weights that know nothing must gain nothing over others.
    other = Presto(torch.Generator().manual_seed(12)).eval()
    plan = run.Plan(initialisations=2, splits=3, episodes=3, tuned=0)
    results = run.measure(labelled, other, plan, sizes=(100,), heads=("logistic",))
    means = [
        results[n, "logistic", 100, "f1_macro"].values.mean() for n in (run.OFFICIAL, run.RANDOM)
    ]
    assert abs(means[0] - means[1]) < 0.1


@pytest.mark.slow
def test_fine_tuning_is_of_other_episodes_or_of_none(
    run: SimpleNamespace, labelled: LabelledSeries
) -> None:
    rows = np.arange(0, len(labelled), 4)
    few = label_series("few", labelled.series.take(rows), labelled.task.label[rows] == 1, "crop",
                       "all")  # fmt: skip
    plan = run.Plan(initialisations=2, splits=1, episodes=6, tuned=1)
    results = run.measure(few, Presto(), plan, sizes=(10,), heads=("logistic",))
    for name in (run.OFFICIAL, run.RANDOM):
        for kind in run.TUNED:
            assert results[name, kind, 10, "f1_macro"].values.shape == (1, 1)
    assert results[run.RANDOM, "logistic", 10, "f1_macro"].values.shape == (2, 1)
    assert (run.RAW, "finetune", 10, "f1_macro") not in results
    # The frozen head beside it is the same head, on the first of the six episodes.
    both = results[run.OFFICIAL, "logistic", 10, "f1_macro"].values[0, 0]
    alone = results[run.OFFICIAL, run.TUNED[1], 10, "f1_macro"].values[0, 0]
    assert both != alone
    lone = run.measure(few, Presto(), run.Plan(0, 1, 1, 0), sizes=(10,), heads=("logistic",))
    assert lone[run.OFFICIAL, "logistic", 10, "f1_macro"].values[0, 0] == pytest.approx(alone)


def test_bold_says_more_than_the_intervals(run: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    episode = rng.normal(0.5, 0.1, 10)

    def side(mean: float, runs: int) -> Side:
        noise = rng.normal(0, 0.01, (runs, 10))
        return Side(mean + episode + noise, fixed=runs == 1)

    results = {}
    for n, gain in ((20, 0.0), (50, 0.2)):
        results[run.OFFICIAL, "knn", n, "f1_macro"] = side(gain, 1)
        results[run.RANDOM, "knn", n, "f1_macro"] = side(0.0, 8)
        results[run.RAW, "knn", n, "f1_macro"] = side(gain, 1)
    lines = run.table(results, "f1_macro")
    assert len(lines) == 2 + 2
    assert lines[2].count("**") == 0
    assert lines[3].count("**") == 2  # more than random weights, as good as the raw series
    assert lines[3].split("|")[6].startswith(" **+0.20")
