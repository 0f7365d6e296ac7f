"""Ridge regression for all seeds at once, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.random import SeedSequence

from wherefrom.errors import WherefromError
from wherefrom.tasks.task import Predicts
from wherefrom.train.heads.base import Features, Head, Labels, Numbers, Rows, chunks

__all__ = ["Ridge"]


@dataclass(frozen=True)
class Ridge(Head):
    """Least squares with an L2 penalty, as scikit-learn's ``Ridge(alpha=alpha)``.

    Parameters
    ----------
    alpha : float
        Strength of the penalty on the weights (not on the intercept); features are standardised per
        seed, the numbers are only centred.

    Notes
    -----
    In float64. Weights lie in the span of the n training rows, so the smaller of the two normal
    systems, n x n or D x D, is solved by Cholesky's factor.

    Examples
    --------
    >>> x = np.arange(8, dtype=np.float32)[:, None]
    >>> Ridge(alpha=1e-6).fit_predict(
    ...     x, 3.0 * x[:, 0] + 1, np.array([[0, 1, 2, 4]]), np.array([5, 7]),
    ...     np.random.SeedSequence(0)).round(3).tolist()
    [[16.0, 22.0]]
    """

    name: ClassVar[str] = "ridge"
    predicts: ClassVar[Predicts] = "numbers"
    seconds: ClassVar[float] = 0.1
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < np.inf:
            raise WherefromError(f"ridge head: alpha must be positive, not {self.alpha}")

    def fit_predict(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> Numbers:
        """Fit and predict; see `Head`. Nothing here is random."""
        import torch

        from wherefrom.train.heads.fewshot import FewShot

        n, dim = train.shape[1], features.shape[1]
        found = []
        for part in chunks(len(train), 8 * (4 * n * dim + 3 * min(n, dim) ** 2)):
            few = FewShot.of(features, labels, train[part], test, torch.float64)
            intercept = few.numbers.mean(dim=1, keepdim=True)
            x, y = few.x, (few.numbers - intercept)[..., None]
            short = n <= dim
            gram = x @ x.mT if short else x.mT @ x
            gram.diagonal(dim1=1, dim2=2).add_(self.alpha)
            factor, failed = torch.linalg.cholesky_ex(gram)
            if bool(failed.any()):
                raise WherefromError(
                    f"ridge head: alpha = {self.alpha:g} is too small for these features: choose a "
                    "larger one"
                )
            solved = torch.cholesky_solve(y if short else x.mT @ y, factor)
            weight = (x.mT @ solved if short else solved).mT
            found.append(few.linear(weight, intercept)[..., 0].T.cpu().numpy())
        return np.concatenate(found)
