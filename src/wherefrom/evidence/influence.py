"""What a score would lose without each of its test places: the influence of a place.

The influence of a place is the score less the score without that place, scaled by (T - 1) / T and
centred, so that the variance of a score over the sampling of its T places is that of the jackknife,
T / (T - 1) times the sum of the squared influences (Tukey, 1958). It is not below the truth on
average (Efron and Stein, 1981). The derivative in its place (the infinitesimal jackknife) and the
bootstrap give the same for classes with many places, and too little for those with few: where a
class has 3 of 600, 30 % less than the scores of fresh places vary.

Nothing is scored twice. With the weights `t`, `p`, `h` of the true, the predicted and the rightly
predicted members of a class, F1 = 2 h / (t + p), and without a place of weight w

    F1 - F1' = 2 w (1 - F1) / (t + p - 2 w)    of a hit, in its class
             = -w F1 / (t + p - w)             of a miss, in its true and in its predicted class

Averages over classes and over few-shot seeds are linear in these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError, unknown

__all__ = ["Measured", "measured", "metrics_for"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Measured(NamedTuple):
    """A score of every seed, shape (S,), and the mean influence of every place on it, (T,)."""

    scores: Floats
    influence: Floats


def metrics_for(truth: NDArray[Any], positive: int | None = None) -> tuple[str, ...]:
    """Name the metrics of a truth: of numbers where it is of floats, else of classes."""
    if np.asarray(truth).dtype.kind == "f":
        return "r2", "rmse"
    return "f1_macro", "f1_weighted", "accuracy", *(() if positive is None else ("f1_positive",))


def measured(
    predicted: NDArray[Any],
    truth: NDArray[Any],
    metrics: Iterable[str] | None = None,
    positive: int | None = None,
    weights: Floats | None = None,
) -> dict[str, Measured]:
    """Score predictions with weights of the places, and give each place's influence.

    Parameters
    ----------
    predicted : (S, T) integer or float64 array
        Predicted class codes (not negative), or numbers, of S seeds at T test places, at least 2.
    truth : (T,) array
        True class codes or numbers.
    metrics : iterable of str, optional
        Some of `metrics_for`, which are the default.
    positive : int, optional
        Code of the positive class, for ``f1_positive``.
    weights : (T,) float64 array, optional
        Weights of the places, 0 or more; by default all count once. The time grows with the number
        of different weights.

    Returns
    -------
    dict of str to Measured
        Without weights the scores are those of `wherefrom.train.scores`, with them those of
        scikit-learn's ``sample_weight``. The influences are means over the seeds; they add up to 0.

    Raises
    ------
    WherefromError
        If a metric is not for such a truth, or there are too few places or weights.

    Examples
    --------
    >>> found = measured(np.array([[0, 1, 1, 0]]), np.array([0, 1, 0, 0]), ["accuracy"])
    >>> found["accuracy"].scores, found["accuracy"].influence
    (array([0.75]), array([ 0.0625,  0.0625, -0.1875,  0.0625]))
    """
    truth = np.asarray(truth)
    known = metrics_for(truth, positive)
    names = known if metrics is None else tuple(metrics)
    for name in names:
        if name not in known:
            raise unknown("metric", name, known)
    w = np.ones(len(truth)) if weights is None else np.asarray(weights, dtype=np.float64)
    if (w > 0).sum() < 2:
        raise WherefromError(f"{(w > 0).sum()} test places: a score with an interval needs 2")
    found = _numbers(predicted, truth, w) if truth.dtype.kind == "f" else None
    found = found or _classes(predicted, truth.astype(np.int64), names, positive, w)
    places = (w > 0).sum()
    return {
        name: Measured(scores, (lost - w * (lost.sum() / w.sum())) * ((places - 1) / places))
        for name, (scores, lost) in found.items()
        if name in names
    }


def _classes(
    predicted: NDArray[Any], truth: Ints, names: Iterable[str], positive: int | None, w: Floats
) -> dict[str, Measured]:
    """Give scores, and what they lose without each place, of predicted classes."""
    seeds = len(predicted)
    classes = 1 + max(int(truth.max()), int(predicted.max()), positive or 0)
    # One table of cells serves all seeds: seed s has the cells s * classes ... Misses are in its
    # first half, hits in the second.
    size = seeds * classes
    hit = predicted == truth
    index = predicted + np.arange(0, size, classes, dtype=np.int64)[:, None]
    index += np.multiply(hit, size, dtype=np.int64)
    each = np.broadcast_to(w, hit.shape).ravel()
    misses, hits = np.bincount(index.ravel(), each, 2 * size).reshape(2, seeds, classes)
    members = np.bincount(truth, w, classes).astype(np.float64)
    total = members + misses + hits
    f1 = 2.0 * hits / _or_one(total)  # of a class without members and predictions 0
    whole = w.sum()
    rounding = 1e-9 * whole
    alike = [(u, np.flatnonzero(w == u)) for u in np.unique(w) if u > 0]
    found = {}
    for name in names:
        lost = np.zeros(len(truth))
        if name == "accuracy":
            scores = hits.sum(axis=1) / whole
            lost = w * (hit.mean(axis=0) - scores.mean()) / _or_one(whole - w)
            found[name] = Measured(scores, lost)
            continue
        share, empty = _averaged(name, f1, total, members, positive)
        scores = (share * f1).sum(axis=1)
        for u, at in alike:
            own = share  # of the true class, which shares in the average by its members
            if name == "f1_weighted":
                own = np.broadcast_to(np.maximum(members - u, 0.0) / whole, total.shape)
            # Without its last place a class leaves the average, or scores 0.
            one, two = total - u, total - 2 * u  # of a class that holds a miss, or a hit
            miss = -f1 * u / _or_one(one)
            gain = np.where(two > rounding, own * (1 - f1) * 2 * u / _or_one(two), empty)
            miss, own = (np.where(one > rounding, part * miss, empty) for part in (share, own))
            # Each place loses in its predicted class; a miss in its true class, too, which is taken
            # for all and given back to hits.
            table = np.concatenate([miss.ravel(), (gain - own).ravel()])
            lost[at] = table[index[:, at]].mean(axis=0) + own.mean(axis=0)[truth[at]]
        if name == "f1_weighted":
            moved = w * (f1.mean(axis=0)[truth] - scores.mean())
            lost = (whole * lost + moved) / _or_one(whole - w)
        found[name] = Measured(scores, lost)
    return found


def _averaged(
    name: str, f1: Floats, total: Floats, members: Floats, positive: int | None
) -> tuple[Floats, Floats]:
    """Give each class's share in an average F1, and what that loses without the class: (S, C)."""
    if name == "f1_weighted":
        share = np.broadcast_to(members / members.sum(), total.shape)
        return share, np.zeros_like(total)
    if name == "f1_positive":
        share = np.broadcast_to(np.arange(total.shape[1]) == positive, total.shape) * 1.0
        return share, share * f1
    count = (total > 0).sum(axis=1, keepdims=True)
    share = (total > 0) / count
    mean = (share * f1).sum(axis=1, keepdims=True)
    return share, (f1 - mean) / np.maximum(count - 1, 1)


def _numbers(predicted: NDArray[Any], truth: Floats, w: Floats) -> dict[str, Measured]:
    """Give scores, and what they lose without each place, of predicted numbers."""
    whole = w.sum()
    left = _or_one(whole - w)
    error = (predicted - truth) ** 2
    squares = (error @ w)[:, None]
    off = (truth - truth @ w / whole) ** 2
    spread = float(off @ w)
    if not spread > 0:
        raise WherefromError(f"all {len(truth)} test places have one number, {truth[0]:g}: no R²")
    without = np.maximum(squares - w * error, 0.0)
    rmse, ratio = np.sqrt(squares / whole), squares / spread
    ratio_without = without / _or_one(np.maximum(spread - w * off * whole / left, 0.0))
    return {
        "rmse": Measured(rmse[:, 0], (rmse - np.sqrt(without / left)).mean(axis=0)),
        "r2": Measured(1 - ratio[:, 0], (ratio_without - ratio).mean(axis=0)),
    }


def _or_one(values: Floats) -> Floats:
    """Put 1 for what is not above 0, of what is divided by and then taken for nothing."""
    return np.where(values > 0, values, 1.0)
