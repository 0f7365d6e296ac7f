"""Scores of predictions, for all fine-tune seeds at once and equal to scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError

__all__ = ["METRICS", "scores"]

#: Metrics of every task; `f1_positive` is added where the task is binary.
METRICS = ("f1_macro", "f1_weighted", "accuracy", "f1_positive")

_Counts = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _counts(predicted: NDArray[Any], truth: NDArray[Any]) -> _Counts:
    """Count per seed and class: hits, predictions, true members; and the codes that occur."""
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.ndim != 2 or truth.ndim != 1 or predicted.shape[1] != truth.size:
        raise WherefromError(
            f"predictions of shape {predicted.shape} do not fit a truth of shape {truth.shape}: "
            "expected (seeds, places) and (places,)"
        )
    if truth.size == 0:
        raise WherefromError("no test places to score: the truth is empty")
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
