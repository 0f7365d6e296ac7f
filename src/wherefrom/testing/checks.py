"""What both kinds of checks share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["BrokenPromiseError", "own_randomness", "promise"]


class BrokenPromiseError(AssertionError):
    """A promise that wherefrom relies on is broken; the message says which."""


def promise(kept: bool | np.bool_, broken: str) -> None:
    """Raise `BrokenPromiseError` unless a promise is kept.

    Parameters
    ----------
    kept : bool
    broken : str
        What is wrong if it is not.

    Raises
    ------
    BrokenPromiseError
    """
    if not kept:
        raise BrokenPromiseError(broken)


@contextmanager
def own_randomness(what: str) -> Iterator[None]:
    """Fail if the block draws from the global generators of NumPy or Python.

    Parameters
    ----------
    what : str
        What runs in the block, for the message.

    Raises
    ------
    BrokenPromiseError
    """
    legacy, python = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    yield
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert isinstance(legacy, dict)
    assert isinstance(after, dict)
    same = legacy["state"]["pos"] == after["state"]["pos"] and np.array_equal(
        legacy["state"]["key"], after["state"]["key"]
    )
    promise(
        same and python == random.getstate(),
        f"{what} draws from a global random generator: draw from the Generator that it is given",
    )
