"""Scores: equal to scikit-learn's for every seed, also where classes are missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from wherefrom.errors import WherefromError
from wherefrom.train.scores import scores


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 9), places=st.integers(1, 60))
def test_scores_differ_from_scikit_learn(seed: int, classes: int, places: int) -> None:
    rng = np.random.default_rng(seed)
    # Codes are sparse and the last ones rarely occur, so that classes miss in truth or prediction.
    codes = np.sort(rng.choice(900, classes, replace=False))
    share = rng.dirichlet(np.full(classes, 0.4))
    truth = codes[rng.choice(classes, places, p=share)]
    predicted = codes[rng.choice(classes, (4, places), p=share)].astype(np.int16)
    ours = scores(predicted, truth, binary_positive=int(codes[0]))
    for s, guess in enumerate(predicted):
        for metric, average in (("f1_macro", "macro"), ("f1_weighted", "weighted")):
            theirs = f1_score(truth, guess, average=average, zero_division=0)
            assert ours[metric][s] == pytest.approx(theirs, abs=1e-14)
        assert ours["accuracy"][s] == accuracy_score(truth, guess)
        positive = f1_score(truth == codes[0], guess == codes[0], zero_division=0)
        assert ours["f1_positive"][s] == pytest.approx(positive, abs=1e-14)


def test_class_only_in_another_seeds_prediction_lowers_the_macro_mean() -> None:
    truth = np.array([0, 1, 0, 1])
    predicted = np.array([[0, 1, 0, 1], [2, 2, 2, 2]])
    assert scores(predicted, truth)["f1_macro"].tolist() == [1.0, 0.0]


def test_binary_task_without_any_positive_scores_zero_not_an_error() -> None:
    assert scores(np.zeros((2, 3), int), np.zeros(3, int), 1)["f1_positive"].tolist() == [0, 0]


def test_misaligned_or_empty_predictions_are_refused() -> None:
    with pytest.raises(WherefromError, match=r"\(2, 3\).*\(4,\)"):
        scores(np.zeros((2, 3), int), np.zeros(4, int))
    with pytest.raises(WherefromError, match="empty"):
        scores(np.zeros((2, 0), int), np.zeros(0, int))
