"""Scores of predictions, for all fine-tune seeds at once and equal to scikit-learn's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.tasks.task import Predicts

__all__ = ["METRICS", "Metric", "number_scores", "scores"]


@dataclass(frozen=True)
class Metric:
    """What a metric declares: whoever ranks, judges or writes scores asks it, not its name.

    Attributes
    ----------
    title, about : str
        What it is called, and how it is defined.
    predicts : {"classes", "numbers"}
        Of which tasks.
    lower : bool
        Whether lower is better.
    in_units : bool
        Whether it is in the units of the task's numbers, not a share.
    of_positive : bool
        Whether it is of the positive class, which a task must have.
    """

    title: str
    about: str
    predicts: Predicts = "classes"
    lower: bool = False
    in_units: bool = False
    of_positive: bool = False
    #: Least and most that a score can be.
    limits: tuple[float, float] = (0.0, 1.0)

    @property
    def sign(self) -> int:
        """What a difference is multiplied with to be above 0 where it is for the better."""
        return -1 if self.lower else 1


#: By name; `f1_positive` is there where the task is of two classes.
METRICS = {
    "f1_macro": Metric("macro F1", "F1 of each class, averaged with equal weight over the classes"),
    "f1_weighted": Metric("weighted F1", "F1 of each class, averaged by the class's test places"),
    "f1_positive": Metric(
        "positive-class F1", "F1 of the positive class of a binary task", of_positive=True
    ),
    "accuracy": Metric("accuracy", "share of test places labelled right"),
    "r2": Metric(
        "R²",
        "1 less the squared errors over those of the test places' own mean; below 0 where that "
        "mean would do better",
        "numbers",
        limits=(-math.inf, 1.0),
    ),
    "rmse": Metric(
        "RMSE",
        "root of the mean squared error, in the units of the target; lower is better",
        "numbers",
        lower=True,
        in_units=True,
        limits=(0.0, math.inf),
    ),
}

_Counts = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _counts(predicted: NDArray[Any], truth: NDArray[Any]) -> _Counts:
    """Count per seed and class: hits, predictions, true members; and the codes that occur."""
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    _refuse_misfits(predicted, truth)
    codes, flat = np.unique(np.concatenate([truth, predicted.ravel()]), return_inverse=True)
    seeds, classes = len(predicted), len(codes)
    true = flat[: truth.size]
    guess = flat[truth.size :].reshape(predicted.shape)
    # One bincount serves all seeds: seed s counts into the cells s * classes ... of one array.
    cells = guess + np.arange(seeds)[:, None] * classes
    guessed = np.bincount(cells.ravel(), minlength=seeds * classes)
    hits = np.bincount(cells[guess == true], minlength=seeds * classes)
    members = np.bincount(true, minlength=classes)
    shape = (seeds, classes)
    return hits.reshape(shape), guessed.reshape(shape), members, codes.astype(np.int64)


def _f1(hits: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
    # F1 = 2 TP / (predicted + true); a class without either scores 0 (zero_division=0).
    f1: NDArray[np.float64] = 2.0 * hits / np.maximum(total, 1)
    return f1


def scores(
    predicted: NDArray[Any], truth: NDArray[Any], binary_positive: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """Score the predictions of all seeds against one truth.

    Parameters
    ----------
    predicted : (S, T) integer array
        Predicted class codes of S seeds at T test places.
    truth : (T,) integer array
        True class codes.
    binary_positive : int, optional
        Code of the positive class of a binary task; adds ``f1_positive``.

    Returns
    -------
    dict of str to (S,) float64 array
        ``f1_macro``: mean F1 over the classes that occur in the truth or in that seed's
        predictions; ``f1_weighted``: mean F1 over the classes, weighted by their true members;
        ``accuracy``; and ``f1_positive`` where asked. Each in 0..1, equal to scikit-learn's
        ``f1_score(average="macro" | "weighted" | "binary", zero_division=0)`` and
        ``accuracy_score``.

    Raises
    ------
    WherefromError
        If the shapes do not fit or there is nothing to score.

    Examples
    --------
    >>> import numpy as np
    >>> result = scores(np.array([[0, 1, 1], [0, 0, 0]]), np.array([0, 1, 0]))
    >>> result["accuracy"].round(3).tolist(), result["f1_macro"].round(3).tolist()
    ([0.667, 0.667], [0.667, 0.4])
    """
    hits, guessed, members, codes = _counts(predicted, truth)
    total = guessed + members
    f1 = _f1(hits, total)
    places = members.sum()
    result = {
        "f1_macro": f1.sum(axis=1) / (total > 0).sum(axis=1),
        "f1_weighted": f1 @ members / places,
        "accuracy": hits.sum(axis=1) / places,
    }
    if binary_positive is not None:
        at = np.flatnonzero(codes == binary_positive)
        # A positive class that is neither true nor predicted anywhere scores 0.
        result["f1_positive"] = f1[:, at[0]] if at.size else np.zeros(len(f1))
    return result


def number_scores(
    predicted: NDArray[np.float64], truth: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Score the predicted numbers of all seeds against one truth.

    Parameters
    ----------
    predicted : (S, T) float64 array
        Predicted numbers of S seeds at T test places.
    truth : (T,) float64 array
        True numbers.

    Returns
    -------
    dict of str to (S,) float64 array
        ``r2`` and ``rmse``, equal to scikit-learn's ``r2_score`` and ``root_mean_squared_error``.

    Raises
    ------
    WherefromError
        If the shapes do not fit, there is nothing to score, a number is not finite, or all true
        numbers are the same.

    Examples
    --------
    >>> found = number_scores(np.array([[1.0, 2.0, 4.0], [2.0, 2.0, 2.0]]), np.array([1.0, 2, 3]))
    >>> found["r2"].round(3).tolist(), found["rmse"].round(3).tolist()
    ([0.5, 0.0], [0.577, 0.816])
    """
    _refuse_misfits(predicted, truth)
    for what, values in (("predicted", predicted), ("true", truth)):
        if not np.isfinite(values).all():
            raise WherefromError(f"the {what} numbers are not all finite: there is no score")
    total = float(((truth - truth.mean()) ** 2).mean())
    if (truth == truth[0]).all():
        raise WherefromError(f"all {truth.size} test places have one number, {truth[0]:g}: no R²")
    error = ((predicted - truth) ** 2).mean(axis=1)
    return {"r2": 1 - error / total, "rmse": np.sqrt(error)}


def _refuse_misfits(predicted: NDArray[Any], truth: NDArray[Any]) -> None:
    if predicted.ndim != 2 or truth.ndim != 1 or predicted.shape[1] != truth.size:
        raise WherefromError(
            f"predictions of shape {predicted.shape} do not fit a truth of shape {truth.shape}: "
            "expected (seeds, places) and (places,)"
        )
    if truth.size == 0:
        raise WherefromError("no test places to score: the truth is empty")
