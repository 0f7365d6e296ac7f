"""Regressions of all seeds at once, and their scores: what scikit-learn gives seed by seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as TheirRidge
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from wherefrom.errors import WherefromError
from wherefrom.train.heads import checked_numbers, head, kind_of_head
from wherefrom.train.heads.knn import KNNRegression
from wherefrom.train.heads.majority import Mean
from wherefrom.train.heads.ridge import Ridge
from wherefrom.train.scores import METRICS, number_scores

SEED = np.random.SeedSequence(5)


def made(n: int, dim: int, seeds: int, scale: float, offset: float, seed: int) -> Any:
    """Draw correlated features far from zero, numbers, and episodes that share rows."""
    rng = np.random.default_rng(seed)
    places = 2 * n + 40
    x = rng.normal(size=(places, dim)) @ rng.normal(size=(dim, dim)) + 30
    x[:, 0] = 7.25  # constant: centred, never scaled by rounding
    y = offset + scale * (np.sin(x[:, -1]) + rng.normal(size=places))
    train = np.stack([rng.permutation(2 * n)[:n] for _ in range(seeds)])
    return x.astype(np.float32), y, train, np.arange(2 * n, places)


SHAPES = st.fixed_dictionaries(
    {
        "n": st.integers(6, 60),
        "dim": st.integers(2, 70),
        "seeds": st.integers(1, 4),
        "scale": st.sampled_from([1e-3, 1.0, 500.0]),
        "offset": st.sampled_from([0.0, -20.0, 4000.0]),
        "seed": st.integers(0, 10_000),
    }
)


@settings(max_examples=40)
@given(shape=SHAPES, alpha=st.sampled_from([1e-4, 0.1, 1.0, 100.0]), k=st.integers(1, 6))
def test_regressions_differ_from_scikit_learn(shape: dict[str, Any], alpha: float, k: int) -> None:
    x, y, train, test = made(**shape)
    fitted = Ridge(alpha).fit_predict(x, y, train, test, SEED)
    near = KNNRegression(k).fit_predict(x, y, train, test, SEED)
    mean = Mean().fit_predict(x, y, train, test, SEED)
    tolerance = 1e-8 * shape["scale"]
    for s, rows in enumerate(train):
        scaler = StandardScaler().fit(x[rows].astype(np.float64))
        known, asked = (scaler.transform(x[part].astype(np.float64)) for part in (rows, test))
        ridge = TheirRidge(alpha, solver="svd").fit(known, y[rows])
        assert np.abs(ridge.predict(asked) - fitted[s]).max() < tolerance
        theirs = KNeighborsRegressor(k, algorithm="brute").fit(known, y[rows])
        assert np.abs(theirs.predict(asked) - near[s]).max() < tolerance
        assert np.abs(y[rows].mean() - mean[s]).max() < tolerance


@given(
    seed=st.integers(0, 10_000),
    places=st.integers(2, 60),
    offset=st.sampled_from([0.0, 1e6]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_scores_of_numbers_differ_from_scikit_learn(
    seed: int, places: int, offset: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    truth = offset + scale * rng.normal(size=places)
    predicted = truth + scale * rng.normal(size=(3, places))
    ours = number_scores(predicted, truth)
    for s, guess in enumerate(predicted):
        assert ours["r2"][s] == pytest.approx(r2_score(truth, guess), rel=1e-9, abs=1e-9)
        assert ours["rmse"][s] == pytest.approx(root_mean_squared_error(truth, guess), rel=1e-12)


def test_episodes_of_one_number_are_not_predicted_by_it() -> None:
    x, y, train, test = made(20, 8, 3, 1.0, 0.0, 1)
    y[:] = 3.5
    for name in ("ridge", "knn-regression", "mean"):
        predicted = head(name).fit_predict(x, y, train, test, SEED)
        assert predicted == pytest.approx(np.full((3, len(test)), 3.5))


def test_numbers_are_scored_that_say_nothing() -> None:
    with pytest.raises(WherefromError, match="all 3 test places have one number, 2: no R²"):
        number_scores(np.zeros((2, 3)), np.full(3, 2.0))
    with pytest.raises(WherefromError, match=r"\(2, 3\).*\(4,\)"):
        number_scores(np.zeros((2, 3)), np.arange(4.0))
    with pytest.raises(WherefromError, match="predicted numbers are not all finite"):
        number_scores(np.array([[1.0, np.nan]]), np.arange(2.0))
    with pytest.raises(WherefromError, match="true numbers are not all finite"):
        number_scores(np.zeros((1, 2)), np.array([1.0, np.inf]))


@pytest.mark.parametrize("name", ["logistic", "logistic-balanced", "knn", "mlp", "majority"])
def test_numbers_are_cut_to_whole_ones_and_told_as_classes(name: str) -> None:
    x, y, train, test = made(6, 3, 2, 1.0, 0.0, 0)
    with pytest.raises(WherefromError, match="labels are real numbers, and this head tells cla"):
        head(name).fit_predict(x, y, train, test, SEED)


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        ([[1.0, np.inf]], "predicts inf at test place 1 of seed 0: not finite"),
        ([1.0, 2.0], r"shape \(2,\), not \(1, 2\)"),
        ([["a", "b"]], "values, not numbers"),
    ],
)
def test_what_is_no_number_is_scored(predicted: Any, message: str) -> None:
    with pytest.raises(WherefromError, match=message):
        checked_numbers("mine", predicted, 1, 2)


def test_faulty_options_of_regressions_are_taken() -> None:
    for options in ({"alpha": 0.0}, {"alpha": float("inf")}, {"alpha": -1.0}):
        with pytest.raises(WherefromError, match="ridge head: alpha must be positive"):
            head("ridge", **options)
    for k in (0, 2.5, "3"):
        with pytest.raises(WherefromError, match=f"k must be a whole number above 0, not {k}"):
            head("knn-regression", k=k)
    x, y, train, test = made(6, 3, 1, 1.0, 0.0, 0)
    with pytest.raises(WherefromError, match="knn-regression head: k = 7 neighbours of n = 6"):
        head("knn-regression", k=7).fit_predict(x, y, train, test, SEED)
    x[:, 1] = x[:, 2]
    with pytest.raises(WherefromError, match="alpha = 1e-300 is too small"):
        head("ridge", alpha=1e-300).fit_predict(x, y, train, test, SEED)


def test_a_head_or_a_metric_does_not_say_what_it_is_for() -> None:
    assert {name for name in METRICS if METRICS[name].predicts == "numbers"} == {"r2", "rmse"}
    assert [METRICS[name].sign for name in ("r2", "rmse", "f1_macro")] == [1, -1, 1]
    assert kind_of_head("ridge").predicts == "numbers"
    assert kind_of_head("logistic").predicts == "classes"
