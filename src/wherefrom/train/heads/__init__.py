"""Heads: classifiers on frozen features, fitted few-shot for all fine-tune seeds at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from wherefrom.errors import unknown
from wherefrom.train.heads.base import Head
from wherefrom.train.heads.forest import Forest
from wherefrom.train.heads.knn import KNN
from wherefrom.train.heads.logistic import BalancedLogistic, Logistic
from wherefrom.train.heads.majority import Majority
from wherefrom.train.heads.mlp import MLP

__all__ = [
    "HEADS", "KNN", "MLP", "BalancedLogistic", "Forest", "Head", "Logistic", "Majority", "head",
]  # fmt: skip

_CLASSES: tuple[Callable[..., Head], ...] = (
    Logistic,
    BalancedLogistic,
    MLP,
    Forest,
    KNN,
    Majority,
)

#: Names of the heads.
HEADS = ("logistic", "logistic-balanced", "mlp", "forest", "knn", "majority")


def head(name: str, **options: Any) -> Head:
    """Make a head by name.

    Parameters
    ----------
    name : {"logistic", "logistic-balanced", "mlp", "forest", "knn", "majority"}
        Which head.
    **options
        Its hyper-parameters; see the class.

    Raises
    ------
    WherefromError
        For an unknown name or option (with the nearest valid one), or a value out of range.

    Examples
    --------
    >>> head("mlp", hidden=8).spec()["hidden"]
    8
    >>> head("logistc")
    Traceback (most recent call last):
    ...
    wherefrom.errors.UnknownNameError: unknown head 'logistc': did you mean 'logistic'? \
Known: logistic, logistic-balanced, mlp, forest, knn, majority
    """
    if name not in HEADS:
        raise unknown("head", name, HEADS)
    made: Any = _CLASSES[HEADS.index(name)]
    known = [field.name for field in fields(made)]
    for option in options:
        if option not in known:
            raise unknown(f"option of head {name!r}", option, known)
    result: Head = made(**options)
    return result
