"""Keys of a pool and of its labels: hashes of the hashes of blocks, so that they stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherefrom.keys import canonical

__all__ = ["key_of_blocks", "labels_digest", "places_digest"]


def places_digest(ids: NDArray[Any], lon: NDArray[np.float64], lat: NDArray[np.float64]) -> bytes:
    """Hash a block's ids and coordinates by SHA-256.

    Text counts at its own width, whatever that of the array.
    """
    digest = hashlib.sha256()
    text = ids.dtype.kind == "U"
    digest.update(canonical(ids.tolist()).encode() if text else np.ascontiguousarray(ids).data)
    digest.update(np.ascontiguousarray(lon).data)
    digest.update(np.ascontiguousarray(lat).data)
    return digest.digest()


def labels_digest(codes: NDArray[np.int32], labels: Sequence[str]) -> bytes:
    """Hash a block's labels (B,) by SHA-256, whatever other labels there are.

    >>> one = labels_digest(np.array([1, -1, 0], np.int32), ("b", "a"))
    >>> one == labels_digest(np.array([0, -1, 2], np.int32), ("a", "aa", "b"))
    True
    """
    present = np.flatnonzero(np.bincount(codes + 1, minlength=len(labels) + 1)[1:])
    order = sorted(present.tolist(), key=labels.__getitem__)
    # Code -1 picks the last entry.
    rank = np.full(len(labels) + 1, -1, dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    digest = hashlib.sha256(canonical([labels[code] for code in order]).encode())
    digest.update(rank[codes].data)
    return digest.digest()


def key_of_blocks(head: str, digests: Iterable[bytes]) -> str:
    """Hash the hashes of all blocks, in order, to 16 hexadecimal digits.

    `head` is what else tells one thing from another, such as the number of places.

    >>> key_of_blocks("0:i", [])
    'a21f53eae73b62cf'
    """
    digest = hashlib.sha256(head.encode())
    for block in digests:
        digest.update(block)
    return digest.hexdigest()[:16]
