"""Heads as estimators of scikit-learn's kind: `fit`, `predict`, and `predict_proba` of some."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_random_state, check_X_y
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from wherefrom.errors import WherefromError
from wherefrom.train.heads import head, kind_of_head
from wherefrom.train.heads.base import Head, checked, checked_numbers

__all__ = ["Classifier", "Regressor", "estimator"]


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both have: a head fits and predicts at once, so that `fit` keeps what it is taught."""

    def __init__(self, head: str, *, random_state: Any = 0, **options: Any) -> None:
        self.head = head
        self.random_state = random_state
        known = {one.name: one.default for one in fields(kind_of_head(head))}  # type: ignore[arg-type]
        if not set(options) <= set(known):
            self._head(options)  # which says the nearest
        for name, value in (known | options).items():
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the name of the head, its options and the random state."""
        named = [one.name for one in fields(kind_of_head(self.head))]  # type: ignore[arg-type]
        return {name: getattr(self, name) for name in ("head", "random_state", *named)}

    def set_params(self, **params: Any) -> Any:
        """Set the random state or options; or another head, whose options are then its own."""
        same = params.get("head", self.head) == self.head
        given = self.get_params() if same else {"random_state": self.random_state}
        type(self).__init__(self, **given | params)
        return self

    def _head(self, options: dict[str, Any] | None = None) -> Head:
        if options is None:
            options = self.get_params()
            del options["head"], options["random_state"]
        return head(self.head, **options)

    def _teach(self, x: NDArray[Any], y: NDArray[Any]) -> None:
        self._head()  # refuses options out of range
        self._seed = int(check_random_state(self.random_state).randint(2**31))
        self.n_features_in_ = x.shape[1]
        self._taught = x.astype(np.float32), y

    def _told(self, X: ArrayLike, what: str = "fit_predict") -> NDArray[Any]:
        check_is_fitted(self)
        x, (taught, labels) = check_array(X), self._taught
        if x.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {x.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        n, both = len(taught), np.concatenate([taught, x.astype(np.float32)])
        of_both = np.concatenate([labels, np.zeros(len(x), labels.dtype)])
        tell, rows = getattr(self._head(), what), np.arange(len(both))
        found: NDArray[Any] = tell(
            both, of_both, rows[None, :n], rows[n:], SeedSequence(self._seed)
        )
        return found


def _tells_probabilities(self: _Estimator) -> bool:
    return kind_of_head(self.head).tells_probabilities


class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A head of classes, as scikit-learn has its classifiers.

    Attributes
    ----------
    classes_ : (C,) array
        The labels that it was taught, ascending.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Classifier:
        """Take features (n, D) of labelled places and their labels (n,), of any type."""
        x, labels = check_X_y(X, y)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self._teach(x, codes.astype(np.int32))
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Tell the labels (T,) of places by their features (T, D)."""
        told = self._told(X)
        codes = checked(self.head, told, 1, told.shape[-1], np.arange(len(self.classes_)))
        found: NDArray[Any] = self.classes_[codes[0]]
        return found

    @available_if(_tells_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Tell the probability of each of `classes_` at places: (T, C)."""
        found: NDArray[np.float64] = self._told(X, "probabilities")[0]
        return found


class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A head of numbers, as scikit-learn has its regressors."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Regressor:
        """Take features (n, D) of labelled places and their numbers (n,)."""
        x, numbers = check_X_y(X, y, y_numeric=True)
        self._teach(x, numbers.astype(np.float64))
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Tell the numbers (T,) of places by their features (T, D)."""
        told = self._told(X)
        numbers: NDArray[np.float64] = checked_numbers(self.head, told, 1, told.shape[-1])[0]
        return numbers


def estimator(name: str, *, random_state: Any = 0, **options: Any) -> Classifier | Regressor:
    """Make an estimator of scikit-learn's kind of a head: for its pipelines, searches and scores.

    A head fits and predicts in one step, so that `fit` keeps the labelled places, and each call of
    `predict` fits on them anew: the same each time. Features are standardised by the head itself,
    where it says so.

    Parameters
    ----------
    name : str
        As of `wherefrom.head`; one that trains the encoder is none.
    random_state : int, RandomState or None
        Of heads that draw something.
    **options
        Hyper-parameters of the head.

    Returns
    -------
    Classifier or Regressor
        By what the head predicts; `predict_proba` is there where the head has `probabilities`.

    Raises
    ------
    WherefromError
        For an unknown name or option (with the nearest valid one), or a head that trains the
        encoder; by `fit`, for a value out of range.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(90, 4))
    >>> y = np.where(x[:, 0] + 0.3 * x[:, 1] > 0, "crop", "other")
    >>> fitted = estimator("logistic", C=10.0).fit(x[:60], y[:60])
    >>> fitted.predict(x[60:63]).tolist(), fitted.predict_proba(x[60:63]).shape
    (['crop', 'crop', 'other'], (3, 2))
    >>> bool(cross_val_score(estimator("knn", k=3), x, y).mean() > 0.8)
    True
    """
    kind = kind_of_head(name)
    if kind.tunes_encoder:
        raise WherefromError(
            f"head {name!r} trains the encoder, which features alone have not: call its fit_predict"
        )
    made = Classifier if kind.predicts == "classes" else Regressor
    return made(name, random_state=random_state, **options)
