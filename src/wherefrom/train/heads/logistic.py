"""Multinomial logistic regression for all seeds at once, by Newton's method on the Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wherefrom.errors import WherefromError
from wherefrom.train.heads.base import FewShot, Head, chunks
from wherefrom.train.heads.newton import Problem, minimise

__all__ = ["BalancedLogistic", "Logistic", "fit"]


@dataclass(frozen=True)
class Logistic(Head):
    """Logistic regression with an L2 penalty, as scikit-learn's ``LogisticRegression(C=C)``.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty; features are standardised per seed.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(300, 5)).astype(np.float32)
    >>> train = np.stack([rng.permutation(200)[:50] for _ in range(4)])
    >>> guess = Logistic().fit_predict(
    ...     x, (x[:, 0] > 0).astype(int), train, np.arange(200, 300), np.random.SeedSequence(0))
    >>> guess.shape, guess.dtype.name
    ((4, 100), 'int16')
    """

    name: ClassVar[str] = "logistic"
    balanced: ClassVar[bool] = False
    C: float = 1.0

    def __post_init__(self) -> None:
        if not self.C > 0:
            raise WherefromError(f"logistic head: C must be positive, not {self.C}")

    def fit_predict(
        self,
        features: NDArray[np.float32],
        labels: NDArray[np.integer[Any]],
        train: NDArray[np.int64],
        test: NDArray[np.int64],
        seed: np.random.SeedSequence,
    ) -> NDArray[np.int16]:
        """Fit and predict; see `wherefrom.train.heads.base.Head`. Nothing here is random."""
        n, dim = train.shape[1], features.shape[1]
        found = []
        for part in chunks(len(train), n * (12 * dim + 40 * min(n, dim) + 800)):
            few = FewShot.of(features, labels, train[part], test)
            weight, bias = fit(few, self.C, self.balanced)
            scores = few.linear(weight.float(), bias.float())
            found.append(few.codes(scores.argmax(dim=2).T))
        return np.concatenate(found)


@dataclass(frozen=True)
class BalancedLogistic(Logistic):
    """Logistic regression in which each class of a seed counts as much as any other.

    As scikit-learn's ``class_weight="balanced"``, which Presto's official evaluation uses.

    Parameters
    ----------
    C : float
        As of `Logistic`.
    """

    name: ClassVar[str] = "logistic-balanced"
    balanced: ClassVar[bool] = True


def fit(few: FewShot, C: float, balanced: bool = False) -> tuple[Tensor, Tensor]:
    """Minimise sum of log-losses + |W|^2 / (2 C) for each seed; biases are free of penalty.

    Parameters
    ----------
    few : FewShot
        Standardised training rows of S seeds.
    C : float
        Inverse strength of the penalty. A seed with two classes gets the optimum of one logit
        (which halves the effective penalty of two), as scikit-learn does.
    balanced : bool
        Weight the log-losses by n / (classes x rows of the class).

    Returns
    -------
    weight : (S, C, D) float64 tensor
        Weights on standardised features.
    bias : (S, C) float64 tensor
        Biases; minus infinity for a class absent from the seed's training rows.

    Raises
    ------
    WherefromError
        If Newton's method does not converge.

    Notes
    -----
    The weights lie in the span of the n training rows, so the problem is solved in coordinates of
    dimension r = min(n, D) in which the Gram matrix is diagonal: exact, and small where n is 100.
    """
    solved = minimise(Problem.of(few, C, balanced))
    absent = torch.where(few.present, 0.0, -torch.inf)
    return solved[..., :-1] @ few.axes.back, solved[..., -1] + absent
