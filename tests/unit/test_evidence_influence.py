"""Influences of test places: what a score loses without each, to the last digit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score, r2_score, root_mean_squared_error

from made_predictions import tells
from wherefrom.errors import WherefromError
from wherefrom.evidence.influence import measured, metrics_for
from wherefrom.train.scores import number_scores, scores

RNG = np.random.default_rng(3)
#: Classes with 50, 30, 13, 3, 2 and 1 of the places, and one that is predicted alone.
TRUTH = np.repeat(np.arange(6), [50, 30, 13, 3, 2, 1])
TOLD = tells(TRUTH, 0.6, 4, RNG, classes=7)
NUMBERS = RNG.normal(size=80)
TOLD_NUMBERS = NUMBERS + RNG.normal(size=(3, 80))
#: As in post-stratification: few different weights.
WEIGHTS = RNG.choice([0.3, 1.0, 2.5], TRUTH.size)


def without(name: str, told: Any, truth: Any, positive: int | None, w: Any) -> NDArray[Any]:
    """Score anew without each place, by brute force."""
    whole = measured(told, truth, [name], positive, w)[name].scores.mean()
    lost = np.zeros(len(truth))
    for i in range(len(truth)):
        kept = np.arange(len(truth)) != i
        found = measured(told[:, kept], truth[kept], [name], positive, w[kept])
        lost[i] = whole - found[name].scores.mean()
    return (lost - w * lost.sum() / w.sum()) * (len(truth) - 1) / len(truth)


@pytest.mark.parametrize("w", [np.ones(TRUTH.size), WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize(
    ("name", "positive"),
    [("f1_macro", None), ("f1_weighted", None), ("accuracy", None), ("f1_positive", 1)],
)
def test_influences_are_not_what_the_score_loses(name: str, positive: int | None, w: Any) -> None:
    told, truth = (TOLD, TRUTH) if positive is None else (TOLD % 2, TRUTH % 2)
    found = measured(told, truth, [name], positive, w)[name].influence
    np.testing.assert_allclose(found, without(name, told, truth, positive, w), atol=1e-14)
    assert abs(found.sum()) < 1e-13


@pytest.mark.parametrize("w", [np.ones(80), WEIGHTS[:80]], ids=["alike", "weighted"])
@pytest.mark.parametrize("name", ["r2", "rmse"])
def test_influences_on_scores_of_numbers_are_not_what_these_lose(name: str, w: Any) -> None:
    found = measured(TOLD_NUMBERS, NUMBERS, [name], weights=w)[name].influence
    np.testing.assert_allclose(found, without(name, TOLD_NUMBERS, NUMBERS, None, w), atol=1e-13)


def test_scores_without_weights_are_others_than_the_studys() -> None:
    for own, theirs in (
        (measured(TOLD, TRUTH), scores(TOLD, TRUTH)),
        (measured(TOLD % 2, TRUTH % 2, positive=1), scores(TOLD % 2, TRUTH % 2, 1)),
        (measured(TOLD_NUMBERS, NUMBERS), number_scores(TOLD_NUMBERS, NUMBERS)),
    ):
        assert own.keys() == theirs.keys()
        for name, values in theirs.items():
            np.testing.assert_allclose(own[name].scores, values, atol=1e-13)


def test_scores_with_weights_are_others_than_scikit_learns() -> None:
    found = measured(TOLD, TRUTH, weights=WEIGHTS)
    for average in ("macro", "weighted"):
        theirs = [
            f1_score(TRUTH, one, average=average, sample_weight=WEIGHTS, zero_division=0)
            for one in TOLD
        ]
        np.testing.assert_allclose(found[f"f1_{average}"].scores, theirs, atol=1e-13)
    w = WEIGHTS[:80]
    found = measured(TOLD_NUMBERS, NUMBERS, weights=w)
    for name, score in (("r2", r2_score), ("rmse", root_mean_squared_error)):
        theirs = [score(NUMBERS, one, sample_weight=w) for one in TOLD_NUMBERS]
        np.testing.assert_allclose(found[name].scores, theirs, atol=1e-13)


def test_places_of_no_weight_move_a_score() -> None:
    w = np.where(np.arange(TRUTH.size) % 3 == 0, 0.0, 1.0)
    kept = w > 0
    all_, some = measured(TOLD, TRUTH, weights=w), measured(TOLD[:, kept], TRUTH[kept])
    for name in some:
        np.testing.assert_allclose(all_[name].scores, some[name].scores, atol=1e-14)
        np.testing.assert_allclose(all_[name].influence[kept], some[name].influence, atol=1e-14)
        assert (all_[name].influence[~kept] == 0).all()


def test_what_cannot_be_scored_is_not_refused() -> None:
    with pytest.raises(WherefromError, match=r"unknown metric 'f1_positive': .*Known: f1_macro"):
        measured(TOLD, TRUTH, ["f1_positive"])
    with pytest.raises(WherefromError, match="unknown metric 'accuracy'"):
        measured(TOLD_NUMBERS, NUMBERS, ["accuracy"])
    with pytest.raises(WherefromError, match="1 test places: a score with an interval needs 2"):
        measured(TOLD[:, :1], TRUTH[:1])
    with pytest.raises(WherefromError, match="have one number, 3: no R²"):
        measured(TOLD_NUMBERS, np.full(80, 3.0))
    assert metrics_for(TRUTH, 1)[-1] == "f1_positive"
