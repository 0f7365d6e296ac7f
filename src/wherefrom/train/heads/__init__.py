"""Heads: classifiers and regressions on frozen features, few-shot for all seeds at once."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from wherefrom.errors import WherefromError, unknown
from wherefrom.plugins import kind
from wherefrom.train.heads.base import Head, HeadOptions, checked, checked_numbers

__all__ = ["Head", "HeadOptions", "checked", "checked_numbers", "head", "kind_of_head"]


def kind_of_head(name: str) -> type[HeadOptions]:
    """Return the class of a head, which says what it needs and costs.

    Raises
    ------
    WherefromError
        If the name is unknown (with the nearest valid one), or no head is there.

    Examples
    --------
    >>> kind_of_head("majority").needs_features
    False
    """
    entry = kind("heads", name)
    loaded = entry.load()
    if isinstance(loaded, type) and issubclass(loaded, HeadOptions):
        return loaded
    raise WherefromError(
        f"head {name!r} ({entry.address}) is no class derived from wherefrom.train.heads.Head: see "
        "docs/extending.md"
    )


def head(name: str, **options: Any) -> Head:
    """Make a head by name.

    Parameters
    ----------
    name : str
        Of the table of heads (``wherefrom list heads``), or ``module:Class``.
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
Known: logistic, logistic-balanced, ridge-classifier, mlp, forest, knn, majority, ridge, \
knn-regression, mean, finetune
    """
    made: Any = kind_of_head(name)
    known = [field.name for field in fields(made)]
    for option in options:
        if option not in known:
            raise unknown(f"option of head {name!r}", option, known)
    result: Head = made(**options)
    return result
