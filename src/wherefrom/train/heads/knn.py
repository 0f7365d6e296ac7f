"""The k nearest neighbours for all seeds at once: one product gives all distances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.tasks.task import Predicts
from wherefrom.train.heads.base import (
    CHUNK_BYTES,
    Codes,
    Features,
    Head,
    Labels,
    Numbers,
    Rows,
    chunks,
)

if TYPE_CHECKING:
    import torch

    from wherefrom.train.heads.fewshot import FewShot

__all__ = ["KNN", "KNNRegression"]


@dataclass(frozen=True)
class KNN(Head):
    """Vote of the k nearest training rows by Euclidean distance of standardised features.

    Every neighbour has one vote; of classes with equal votes the one with the smaller code wins,
    as in scikit-learn's ``KNeighborsClassifier``. Distances are float32.

    Parameters
    ----------
    k : int
        Neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0], [1.0], [10.0], [11.0], [0.4], [10.4]], np.float32)
    >>> KNN(k=1).fit_predict(x, np.array([0, 0, 1, 1, 0, 1]), np.array([[0, 1, 2, 3]]),
    ...                      np.array([4, 5]), np.random.SeedSequence(0)).tolist()
    [[0, 1]]
    """

    name: ClassVar[str] = "knn"
    seconds: ClassVar[float] = 0.2
    tells_probabilities: ClassVar[bool] = True
    k: int = 5

    def __post_init__(self) -> None:
        _check_k(self)

    @property
    def fewest(self) -> int:
        """As many as neighbours."""
        return self.k

    def fit_predict(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> Codes:
        """Predict; see `Head`. Nothing here is random."""
        n, dim, places = train.shape[1], features.shape[1], len(test)
        found = []
        for part in chunks(len(train), 4 * (4 * n * dim + 2 * places * n)):
            few, votes = self._votes(features, labels, train[part], test)
            found.append(few.codes(votes.argmax(dim=2).T))
        return np.concatenate(found)

    def probabilities(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> NDArray[np.float64]:
        """Tell the shares of the votes; see `Head`."""
        _, votes = self._votes(features, labels, train, test)
        found: NDArray[np.float64] = (votes.double() / self.k).transpose(0, 1).cpu().numpy()
        return found

    def _votes(
        self, features: Features, labels: Labels, train: Rows, test: Rows
    ) -> tuple[FewShot, torch.Tensor]:
        """Count the neighbours of each class, (T, S, C)."""
        import torch

        from wherefrom.train.heads.fewshot import FewShot

        _check_k(self, train.shape[1])
        few = FewShot.of(features, labels, train, test)
        nearest = _nearest(few, self.k)
        votes = few.test.new_zeros(*nearest.shape[:2], len(few.classes))
        voters = few.y.expand(len(test), -1, -1).gather(2, nearest)
        votes.scatter_add_(2, voters, torch.ones_like(nearest, dtype=votes.dtype))
        return few, votes


@dataclass(frozen=True)
class KNNRegression(Head):
    """Mean number of the k nearest training rows by Euclidean distance of standardised features.

    As scikit-learn's ``KNeighborsRegressor``; distances are float64.

    Parameters
    ----------
    k : int
        Neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0], [1.0], [10.0], [11.0], [0.4], [10.4]], np.float32)
    >>> KNNRegression(k=2).fit_predict(x, np.array([1.0, 2.0, 5.0, 8.0, 0, 0]),
    ...                                np.array([[0, 1, 2, 3]]), np.array([4, 5]),
    ...                                np.random.SeedSequence(0)).tolist()
    [[1.5, 6.5]]
    """

    name: ClassVar[str] = "knn-regression"
    predicts: ClassVar[Predicts] = "numbers"
    seconds: ClassVar[float] = 0.3
    k: int = 5

    def __post_init__(self) -> None:
        _check_k(self)

    @property
    def fewest(self) -> int:
        """As many as neighbours."""
        return self.k

    def fit_predict(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> Numbers:
        """Predict; see `Head`. Nothing here is random."""
        import torch

        from wherefrom.train.heads.fewshot import FewShot

        n, dim, places = train.shape[1], features.shape[1], len(test)
        _check_k(self, n)
        found = []
        for part in chunks(len(train), 8 * (4 * n * dim + 2 * places * n)):
            few = FewShot.of(features, labels, train[part], test, torch.float64)
            near = few.numbers.expand(places, -1, -1).gather(2, _nearest(few, self.k))
            found.append(near.mean(dim=2).T.cpu().numpy())
        return np.concatenate(found)


def _nearest(few: FewShot, k: int) -> torch.Tensor:
    """Return the k nearest of each seed's training rows to each test row, (T, S, k), unsorted."""
    # |t - x|^2 = |t|^2 - 2 (t.x - |x|^2 / 2): nearest first is this score, largest first, and the
    # score is linear in t, so that each seed's scaling folds into its weights.
    import torch

    bias = few.x.square().sum(dim=2) / -2
    # Of tens of thousands of rows the scores would take gigabytes: then some test rows at a time.
    step = max(1, 4 * CHUNK_BYTES // (few.x.element_size() * bias.numel()))
    found = [
        replace(few, test=some).linear(few.x, bias).topk(k, dim=2, sorted=False).indices
        for some in torch.split(few.test, step)
    ]
    return torch.cat(found)


def _check_k(head: KNN | KNNRegression, n: int | None = None) -> None:
    if not isinstance(head.k, int | np.integer) or head.k < 1:
        raise WherefromError(f"{head.name} head: k must be a whole number above 0, not {head.k}")
    if n is not None and head.k > n:
        raise WherefromError(
            f"{head.name} head: k = {head.k} neighbours of n = {n} training places"
        )
