"""A perceptron with one hidden layer, trained for all seeds at once by batched products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.train.heads.base import Codes, Features, Head, Labels, Rows, chunks, refuse_numbers

if TYPE_CHECKING:
    import torch

    from wherefrom.train.heads.fewshot import FewShot

__all__ = ["MLP"]


@dataclass(frozen=True)
class MLP(Head):
    """One hidden layer of tanh units, cross-entropy, AdamW on the whole batch.

    Its inputs are the standardised features in the coordinates of the principal axes of the n
    training rows: min(n, D) of them, so nothing of the training rows is lost. What lies outside
    has no gradient; random initial weights there would only add noise to the test places.

    Parameters
    ----------
    hidden : int
        Units of the hidden layer.
    steps : int
        Steps of AdamW (betas 0.9 and 0.999, epsilon 0.001).
    lr : float
        Learning rate.
    weight_decay : float
        Decoupled weight decay.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(300, 5)).astype(np.float32)
    >>> train = np.stack([rng.permutation(200)[:50] for _ in range(4)])
    >>> MLP(hidden=8, steps=50).fit_predict(
    ...     x, (x[:, 0] > 0).astype(int), train, np.arange(200, 300), np.random.SeedSequence(0)
    ... ).shape
    (4, 100)
    """

    name: ClassVar[str] = "mlp"
    seconds: ClassVar[float] = 0.3
    tells_probabilities: ClassVar[bool] = True
    hidden: int = 16
    steps: int = 100
    lr: float = 0.01
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        if min(self.hidden, self.steps) < 1 or self.lr <= 0 or self.weight_decay < 0:
            raise WherefromError(
                "mlp head: hidden and steps must be at least 1, lr positive and weight_decay not "
                f"negative, not {self.spec()}"
            )

    def fit_predict(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> Codes:
        """Fit and predict; see `Head`. Seed s draws its initial weights from child s of `seed`."""
        n, dim, places = train.shape[1], features.shape[1], len(test)
        cost = 4 * (n * 3 * dim + 4 * self.hidden * dim + 3 * self.hidden * (n + places))
        found = []
        for part in chunks(len(train), cost):
            few, logit = self._scored(features, labels, train[part], test, seed, part.start)
            found.append(few.codes(logit.argmax(dim=1)))
        return np.concatenate(found)

    def probabilities(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> NDArray[np.float64]:
        """Fit and tell probabilities; see `Head`."""
        _, logit = self._scored(features, labels, train, test, seed, 0)
        found: NDArray[np.float64] = logit.double().softmax(dim=1).mT.cpu().numpy()
        return found

    def _scored(
        self,
        features: Features,
        labels: Labels,
        train: Rows,
        test: Rows,
        seed: SeedSequence,
        first: int,
    ) -> tuple[FewShot, torch.Tensor]:
        """Return the scores of the classes, (S, C, T); `first` is the number of the first seed."""
        import torch

        from wherefrom.train.heads.fewshot import FewShot
        from wherefrom.train.heads.perceptron import absent_bias, initial, train_all

        refuse_numbers(labels)
        few = FewShot.of(features, labels, train, test)
        children, inputs = range(first, first + len(few.y)), min(train.shape[1], features.shape[1])
        start = initial(seed, children, int(labels.max()) + 1, few.classes, self.hidden, inputs)
        w1, b1, w2, b2 = train_all(few, start, self.steps, self.lr, self.weight_decay)
        unit = few.linear(w1 @ few.axes.back.float(), b1[..., 0]).tanh_().permute(1, 2, 0)
        return few, torch.baddbmm(b2 + absent_bias(few), w2, unit)
