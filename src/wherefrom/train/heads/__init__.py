"""Heads: classifiers on frozen features, fitted few-shot for all fine-tune seeds at once."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from wherefrom.errors import WherefromError, unknown
from wherefrom.plugins import kind
from wherefrom.train.heads.base import Head

__all__ = ["Head", "head", "kind_of_head"]


def kind_of_head(name: str) -> type[Head]:
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
    lacking = [part for part in ("spec", "fit_predict", "seconds") if not hasattr(loaded, part)]
    if not isinstance(loaded, type) or lacking:
        raise WherefromError(
            f"head {name!r} ({entry.address}) is no class with spec() and fit_predict(), derived "
            "from wherefrom.train.heads.Head: see docs/extending.md"
        )
    return cast("type[Head]", loaded)


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
    wherefrom.errors.WherefromError: unknown head 'logistc': did you mean 'logistic'? \
Known: logistic, logistic-balanced, mlp, forest, knn, majority, finetune
    """
    made: Any = kind_of_head(name)
    known = [field.name for field in fields(made)]
    for option in options:
        if option not in known:
            raise unknown(f"option of head {name!r}", option, known)
    result: Head = made(**options)
    return result
