"""Multinomial logistic regression for all seeds at once, by Newton's method on the Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.train.heads.base import Codes, Features, Head, Labels, Rows, chunks

if TYPE_CHECKING:
    import torch

    from wherefrom.train.heads.fewshot import FewShot

__all__ = ["BalancedLogistic", "Logistic"]


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
    tells_probabilities: ClassVar[bool] = True
    balanced: ClassVar[bool] = False
    C: float = 1.0

    def __post_init__(self) -> None:
        if not self.C > 0:
            raise WherefromError(f"logistic head: C must be positive, not {self.C}")

    def fit_predict(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> Codes:
        """Fit and predict; see `Head`. Nothing here is random."""
        n, dim = train.shape[1], features.shape[1]
        found = []
        for part in chunks(len(train), n * (12 * dim + 40 * min(n, dim) + 800)):
            few, scores = self._scored(features, labels, train[part], test)
            found.append(few.codes(scores.argmax(dim=2).T))
        return np.concatenate(found)

    def probabilities(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> NDArray[np.float64]:
        """Fit and tell probabilities; see `Head`."""
        _, scores = self._scored(features, labels, train, test)
        found: NDArray[np.float64] = scores.double().softmax(dim=2).transpose(0, 1).cpu().numpy()
        return found

    def _scored(
        self, features: Features, labels: Labels, train: Rows, test: Rows
    ) -> tuple[FewShot, torch.Tensor]:
        """Return the scores of the classes, (T, S, C)."""
        from wherefrom.train.heads.fewshot import FewShot
        from wherefrom.train.heads.newton import fit

        few = FewShot.of(features, labels, train, test)
        weight, bias = fit(few, self.C, self.balanced)
        return few, few.linear(weight.float(), bias.float())


@dataclass(frozen=True)
class BalancedLogistic(Logistic):
    """As `Logistic`, but each class of a seed counts as much as any other.

    Scikit-learn's ``class_weight="balanced"``.
    """

    name: ClassVar[str] = "logistic-balanced"
    balanced: ClassVar[bool] = True
