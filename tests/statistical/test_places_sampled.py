"""Intervals over test places hold the truth as often as they say, on simulated places.

Rates are over fixed seeds; the standard error of a rate of 0.95 in 400 studies is 0.011.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit

from made_predictions import made_task
from wherefrom.evidence.cut import Cut, Target
from wherefrom.evidence.influence import measured
from wherefrom.evidence.places import Sample, covariance, sampled, trained_on, units_of
from wherefrom.evidence.recut import RecutRow, recut, weighted
from wherefrom.evidence.scores import Key
from wherefrom.study.predictions import Predicted, Saved
from wherefrom.tasks import Task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
METRICS = ("f1_macro", "f1_weighted", "accuracy")
COMMON = np.array([0.5, 0.3, 0.15, 0.05])
RARE = np.array([0.5, 0.3, 0.15, 0.045, 0.005])  # 3 of 600 places


class Held(Saved):
    """Predictions that are in memory, of one region."""

    def __init__(self, task: Task, told: Ints, composition: str, run: int) -> None:
        super().__init__("m", composition, task.name, "knn", (run,), Path(), Path())
        object.__setattr__(self, "held", (task, told))

    @property
    def places(self) -> Task:
        return self.held[0]  # type: ignore[attr-defined, no-any-return]

    def regions(self, n: int | None = None) -> Iterator[Predicted]:
        task, told = self.held  # type: ignore[attr-defined]
        yield Predicted(task.regions[0], 20, told, np.arange(len(task)))

    def tested(self) -> dict[int, dict[str, Ints]]:
        return {20: {self.places.regions[0]: np.arange(len(self.places))}}


def fresh(shares: Floats, places: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw places of classes by their shares, rarer ones harder, and what 5 seeds tell of them."""
    truth = rng.choice(len(shares), places, p=shares)
    bar = np.linspace(0.6, -0.6, len(shares))[truth]
    right = rng.normal(size=places) + rng.normal(size=(5, places)) < bar
    told = np.where(right, truth, rng.choice(len(shares), (5, places), p=shares))
    return truth, told


def errors(truth: Ints, told: Ints) -> dict[str, float]:
    """Return the standard error of each metric over places."""
    unit = np.arange(len(truth))
    found = {}
    for name, (_, influence) in measured(told, truth, METRICS).items():
        made = covariance([Sample(influence[None], unit)])
        assert made is not None
        found[name] = float(np.sqrt(made[0][0, 0]))
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_errors_are_others_than_a_bootstrap_over_places_has(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, told = fresh(COMMON, 600, rng)
    drawn: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(600):
        w = rng.multinomial(600, np.full(600, 1 / 600)).astype(np.float64)
        kept = w > 0
        for name, (scores, _) in measured(
            told[:, kept], truth[kept], METRICS, None, w[kept]
        ).items():
            drawn[name].append(float(scores.mean()))
    for name, error in errors(truth, told).items():
        # The standard error of the bootstrap's own is 0.03 of it.
        assert error == pytest.approx(np.std(drawn[name]), rel=0.1), name


@pytest.mark.parametrize(
    ("shares", "low", "high"), [(COMMON, 0.94, 1.08), (RARE, 0.98, 1.25)], ids=["common", "rare"]
)
def test_errors_are_smaller_than_scores_of_fresh_places_vary(
    shares: Floats, low: float, high: float
) -> None:
    rng = np.random.default_rng(2)
    scores: dict[str, list[float]] = {name: [] for name in METRICS}
    squares: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(800):
        truth, told = fresh(shares, 600, rng)
        for name, error in errors(truth, told).items():
            squares[name].append(error**2)
            scores[name].append(measured(told, truth, [name])[name].scores.mean())
    for name in METRICS:
        # The standard error of the ratio is 0.025.
        ratio = np.sqrt(np.mean(squares[name])) / np.std(scores[name])
        assert (low if name == "f1_macro" else 0.94) < ratio < high, name


def alike(lon: Floats, lat: Floats, km: float, rng: np.random.Generator) -> Floats:
    """Draw a field of unit variance near the equator: correlated exp(-1) at twice `km`."""
    step, size = 55.6, 128  # half a degree
    k = np.fft.fftfreq(size) ** 2
    soft = np.exp(-2 * (np.pi * km / step) ** 2 * (k[:, None] + k))
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) * soft).real
    at = ((lat + 20) * 2).astype(int), (lon * 2).astype(int)
    return np.asarray(field[at] / np.sqrt((soft**2).mean()))


def test_land_not_yet_seen_is_covered_by_blocks_alone() -> None:
    rng = np.random.default_rng(3)
    held = {None: 0, 1000.0: 0}
    studies = 300
    for _ in range(studies):
        lon, lat = rng.uniform(0, 40, 1600), rng.uniform(-20, 20, 1600)
        hard = np.sqrt(0.5) * alike(lon, lat, 75.0, rng) + np.sqrt(0.5) * rng.normal(size=1600)
        task = made_task(lon, lat, np.arange(1600) % 2)
        told = np.where(hard < 0.5, task.label, 1 - task.label)[None]
        for km in held:
            found = sampled([Held(task, told, "", 0)], km, ["accuracy"])
            made = found.covariance([Key("m", "", "demo", 20, "knn", "accuracy")], "region 0")
            assert made is not None
            half = -stdtrit(made[1], 0.025) * np.sqrt(made[0][0, 0])
            held[km] += abs((told == task.label).mean() - 0.69146) <= half
    assert held[1000.0] / studies >= 0.93
    assert held[None] / studies < 0.85


TARGET = Target("land", {"a": 0.1, "b": 0.3, "c": 0.6}, "the land")
RATES = np.array([0.9, 0.7, 0.5])


def zoned(places: int, rng: np.random.Generator) -> tuple[Task, Cut, list[Ints]]:
    """Make places of three zones, seldom where most of the land is, told by four blocks of two."""
    zone = rng.choice(3, places, p=[0.6, 0.3, 0.1]).astype(np.int32)
    label = rng.choice(3, places, p=[0.6, 0.3, 0.1])
    at = rng.uniform(0, 40, (2, places))
    hard = rng.normal(size=places)
    told = []
    for lower in (0.0, 0.2):  # as of "uniform" and "none", which are apart most in zone c
        for _ in range(4):
            bar = stdnormal(RATES)[zone] * np.sqrt(2) + rng.normal() * 0.1 - lower * (1 + zone)
            right = hard + rng.normal(size=(3, places)) < bar
            told.append(np.where(right, label, rng.choice(3, (3, places))))
    return made_task(*at, label), Cut("zone", ("a", "b", "c"), zone), told


def rows_of(task: Task, cut: Cut, told: list[Ints], metric: str) -> list[RecutRow]:
    """Weight and cut the scores of both, and subtract the one from the other."""
    own = [Held(task, one, ("uniform", "none")[i // 4], i % 4) for i, one in enumerate(told)]
    (one, _, *_), _ = weighted(own, 20, metric, cut, TARGET, against="none")
    return [one, *(row for row in recut(own, 20, metric, cut, against="none")[0] if row.difference)]


def stdnormal(rate: Floats) -> Floats:
    from scipy.special import ndtri

    return np.asarray(ndtri(rate))


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
def test_weighted_and_recut_scores_miss_the_truth_more_often_than_they_say(metric: str) -> None:
    rng = np.random.default_rng(4)
    world = _together([zoned(4000, rng) for _ in range(25)])
    true = {row.label: (row.score, row.difference) for row in rows_of(*world, metric)}
    held = {label: np.zeros(2) for label in true}
    studies = 100
    for _ in range(studies):
        for row in rows_of(*zoned(600, rng), metric):
            ends = (row.low, row.high), (row.difference_low, row.difference_high)
            for i, (low, high) in enumerate(ends):
                held[row.label][i] += low <= true[row.label][i] <= high  # type: ignore[operator]
    for label, count in held.items():
        assert (count / studies >= 0.93).all(), (label, count / studies)


def _together(many: list[Any]) -> tuple[Task, Cut, list[Ints]]:
    """Join many small worlds to one large one, whose blocks are many."""
    tasks, cuts, told = zip(*many, strict=True)
    lon, lat, label = (
        np.concatenate([getattr(t, k) for t in tasks]) for k in ("lon", "lat", "label")
    )
    zone = np.concatenate([cut.codes for cut in cuts])
    blocks = [np.concatenate([one[i] for one in told], axis=1) for i in range(8)]
    return made_task(lon, lat, label), Cut("zone", ("a", "b", "c"), zone), blocks


def test_places_that_are_trained_on_too_are_no_wider() -> None:
    rng = np.random.default_rng(6)
    for places, n in ((150, 20), (150, 80), (600, 20)):
        means, errors_ = [], []
        for _ in range(300):
            task, told = _folds(places, n, rng)
            scores, influence = measured(told, task.label, ["f1_macro"])["f1_macro"]
            made = covariance([Sample(trained_on(task) * influence[None], units_of(task))])
            assert made is not None
            means.append(scores.mean())
            errors_.append(np.sqrt(made[0][0, 0] + scores.var(ddof=1) / len(told)))
        held = np.abs(np.array(means) - np.mean(means)) <= 1.96 * np.array(errors_)
        assert 0.93 <= held.mean() < 1, (places, n, held.mean())


def _folds(places: int, n: int, rng: np.random.Generator) -> tuple[Task, Ints]:
    """Tell classes by the nearest centre of n places of the other of five folds."""
    label = rng.choice(3, places, p=[0.6, 0.3, 0.1])
    x = rng.normal(size=(places, 2)) + 1.3 * np.eye(3)[label][:, :2]
    fold = rng.permutation(places) % 5
    told = np.zeros((5, places), np.int64)
    for one in range(5):
        test, rest = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        for seed in range(5):
            own = rng.choice(rest, n, replace=False)
            there = [c for c in range(3) if (label[own] == c).any()]
            centres = np.stack([x[own][label[own] == c].mean(axis=0) for c in there])
            far = ((x[test][:, None] - centres) ** 2).sum(axis=-1)
            told[seed, test] = np.array(there)[far.argmin(axis=1)]
    lon = np.linspace(0, 40, places)
    return made_task(lon, lon / 2, label, split=fold, folds=5), told
