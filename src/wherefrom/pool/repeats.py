"""Rows that repeat an earlier one, found by 64-bit hashes and so in bounded memory.

The hash of a whole-number id is one to one. For text and places two different ones have the same
hash with probability 2^-64: among 10^9, some pair has with probability 0.03.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.keys import mixed

__all__ = ["Repeats", "first_repeats", "id_hashes", "place_hashes", "repeated", "sampled"]

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Repeats:
    """Rows that repeat an earlier row.

    Attributes
    ----------
    count : int
        How many.
    rows, firsts : tuple of int
        The first of them, and the row that each repeats.
    """

    count: int
    rows: tuple[int, ...]
    firsts: tuple[int, ...]


def id_hashes(ids: NDArray[Any]) -> Hashes:
    """Hash ids (int64 or str, shape (N,)) to uint64; text hashes alike at every width."""
    if ids.dtype.kind != "U":
        return mixed(ids.astype(np.int64).view(np.uint64))
    hashes = np.full(len(ids), 0x9E3779B97F4A7C15, dtype=np.uint64)
    width = ids.dtype.itemsize // 4
    letters = np.ascontiguousarray(ids).view(np.uint32).reshape(len(ids), width)
    for at in range(width):
        letter = letters[:, at].astype(np.uint64)
        # A shorter text is padded with zeros, which must not count.
        hashes = np.where(letter > 0, mixed(hashes ^ letter), hashes)
    return hashes


def place_hashes(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> Hashes:
    """Hash places to uint64, shape (N,); coordinates that differ in the last bit differ.

    Examples
    --------
    >>> one, two, three = place_hashes(np.array([0.0, -0.0, 1e-300]), np.zeros(3))
    >>> bool(one == two), bool(one == three)
    (True, False)
    """
    # Adding zero makes one of the two zeros.
    x, y = (lon + 0.0).view(np.uint64), (lat + 0.0).view(np.uint64)
    return mixed(mixed(x) + y)


def sampled(hashes: Hashes, one_in: int) -> NDArray[np.bool_]:
    """Say which hashes belong to a sample of one in so many: all copies of a place, or none."""
    chosen: NDArray[np.bool_] = (hashes >> np.uint64(32)) * np.uint64(one_in) < (1 << 32)
    return chosen


def repeated(pieces: Iterable[Hashes]) -> Hashes:
    """Return the hashes that occur more than once, sorted, each once."""
    together = np.concatenate([np.zeros(0, dtype=np.uint64), *pieces])
    together.sort()
    return np.unique(together[1:][together[1:] == together[:-1]])


def first_repeats(pieces: Iterable[tuple[Rows, Hashes]], again: Hashes, shown: int) -> Repeats:
    """Find the rows of repeated hashes.

    Parameters
    ----------
    pieces : iterable of (ndarray of int64, ndarray of uint64)
        Rows and their hashes, in order of the rows.
    again : ndarray of uint64
        The sorted hashes that `repeated` found.
    shown : int
        How many rows to name.

    Returns
    -------
    Repeats

    Examples
    --------
    >>> hashes = place_hashes(np.array([5.0, 1.0, 5.0, 5.0]), np.zeros(4))
    >>> first_repeats([(np.arange(4), hashes)], repeated([hashes]), 1)
    Repeats(count=2, rows=(2,), firsts=(0,))
    """
    if not len(again):
        return Repeats(0, (), ())
    first = np.full(len(again), -1, dtype=np.int64)
    count = 0
    rows: list[int] = []
    firsts: list[int] = []
    for numbers, hashes in pieces:
        at = np.minimum(np.searchsorted(again, hashes), len(again) - 1)
        here = np.flatnonzero(again[at] == hashes)
        which, number = at[here], numbers[here]
        # Backwards, so that of several in one piece the first row stays.
        new = first[which] < 0
        first[which[new][::-1]] = number[new][::-1]
        repeats = first[which] != number
        count += int(repeats.sum())
        if len(rows) < shown:
            rows += number[repeats][: shown - len(rows)].tolist()
            firsts += first[which[repeats]][: shown - len(firsts)].tolist()
    return Repeats(count, tuple(rows), tuple(firsts))
