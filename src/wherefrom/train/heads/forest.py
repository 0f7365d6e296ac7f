"""Random forests: scikit-learn's, one seed after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from wherefrom.errors import WherefromError
from wherefrom.train.heads.base import Codes, Features, Head, Labels, Rows, child

__all__ = ["Forest"]


@dataclass(frozen=True)
class Forest(Head):
    """Scikit-learn's ``RandomForestClassifier``: trees grown to the end on bootstrap samples.

    Trees ask only for the order of values, so features are not standardised.

    Parameters
    ----------
    trees : int
        Trees per forest; each split looks at sqrt(D) features.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 3)).astype(np.float32)
    >>> Forest(trees=5).fit_predict(
    ...     x, (x[:, 0] > 0).astype(int), np.arange(40)[None], np.arange(40, 60),
    ...     np.random.SeedSequence(0)).shape
    (1, 20)
    """

    name: ClassVar[str] = "forest"
    seconds: ClassVar[float] = 8.0
    tells_probabilities: ClassVar[bool] = True
    trees: int = 100

    def __post_init__(self) -> None:
        if self.trees < 1:
            raise WherefromError(f"forest head: trees must be at least 1, not {self.trees}")

    def fit_predict(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> Codes:
        """Fit and predict; see `Head`. Seed s grows its trees from child s of `seed`."""
        tested = np.ascontiguousarray(features[test], dtype=np.float32)
        found = np.empty((len(train), len(test)), dtype=np.int16)
        for s, forest in enumerate(self._grown(features, labels, train, seed)):
            found[s] = forest.predict(tested)
        return found

    def probabilities(
        self, features: Features, labels: Labels, train: Rows, test: Rows, seed: SeedSequence
    ) -> NDArray[np.float64]:
        """Tell the shares of the leaves, averaged over the trees; see `Head`."""
        tested = np.ascontiguousarray(features[test], dtype=np.float32)
        classes = np.unique(np.asarray(labels)[train])
        found = np.zeros((len(train), len(test), len(classes)))
        for s, forest in enumerate(self._grown(features, labels, train, seed)):
            found[s][:, np.isin(classes, forest.classes_)] = forest.predict_proba(tested)
        return found

    def _grown(
        self, features: Features, labels: Labels, train: Rows, seed: SeedSequence
    ) -> Iterator[Any]:
        # Imported here: the other heads do without scikit-learn.
        from sklearn.ensemble import RandomForestClassifier

        for s, rows in enumerate(train):
            state = int(child(seed, s).generate_state(1)[0])
            forest = RandomForestClassifier(self.trees, n_jobs=1, random_state=state)
            yield forest.fit(features[rows], labels[rows])
