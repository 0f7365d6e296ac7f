"""The most frequent class, or the mean number, of the training places: what any must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from wherefrom.tasks.task import Predicts
from wherefrom.train.heads.base import (
    Codes,
    Features,
    Head,
    Labels,
    Numbers,
    Rows,
    refuse_numbers,
)  # fmt: skip

__all__ = ["Majority", "Mean"]


@dataclass(frozen=True)
class Majority(Head):
    """Predict each seed's most frequent training class everywhere; of equals the smaller code.

    Examples
    --------
    >>> import numpy as np
    >>> Majority().fit_predict(np.zeros((5, 1), np.float32), np.array([3, 1, 1, 3, 3]),
    ...                        np.array([[0, 1, 2], [0, 1, 3]]), np.array([4]),
    ...                        np.random.SeedSequence(0)).tolist()
    [[1], [3]]
    """

    name: ClassVar[str] = "majority"
    needs_features: ClassVar[bool] = False
    tells_probabilities: ClassVar[bool] = True
    seconds: ClassVar[float] = 0.01

    def fit_predict(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> Codes:
        """Predict; see `Head`. Features are not looked at."""
        most = self._counts(labels[train]).argmax(axis=1).astype(np.int16)
        return np.repeat(most[:, None], len(test), axis=1)

    def probabilities(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> NDArray[np.float64]:
        """Tell the shares of the classes; see `Head`."""
        shares = self._counts(labels[train])[:, np.unique(labels[train])] / train.shape[1]
        return np.repeat(shares[:, None], len(test), axis=1)

    def _counts(self, taught: Labels) -> NDArray[np.int64]:
        """Count each seed's places of every code, (S, codes)."""
        refuse_numbers(taught)
        codes = int(taught.max()) + 1
        cells = taught + np.arange(len(taught))[:, None] * codes
        return np.bincount(cells.ravel(), minlength=len(taught) * codes).reshape(-1, codes)


@dataclass(frozen=True)
class Mean(Head):
    """Predict the mean number of each seed's training places everywhere.

    Examples
    --------
    >>> Mean().fit_predict(np.zeros((4, 1), np.float32), np.array([1.0, 2.0, 6.0, 0.0]),
    ...                    np.array([[0, 1], [1, 2]]), np.array([3]), np.random.SeedSequence(0))
    array([[1.5],
           [4. ]])
    """

    name: ClassVar[str] = "mean"
    predicts: ClassVar[Predicts] = "numbers"
    needs_features: ClassVar[bool] = False
    seconds: ClassVar[float] = 0.01

    def fit_predict(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> Numbers:
        """Predict; see `Head`. Features are not looked at."""
        mean = labels[train].mean(axis=1, dtype=np.float64)
        return np.repeat(mean[:, None], len(test), axis=1)
