"""Keys and seeds: the same spec gives the same key and the same random stream."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["canonical", "generator", "key_of", "mixed", "seed_of"]

#: Numbers that are mixed at a time: they stay in the cache of a core from step to step.
_CACHED = 1 << 15


def canonical(spec: Any) -> str:
    """Write nested plain values as JSON with sorted keys and no spaces; tuples count as lists.

    Raises
    ------
    TypeError, ValueError
        If a value has no canonical text, such as NaN.

    Examples
    --------
    >>> canonical({"b": 1, "a": (1, 2)})
    '{"a":[1,2],"b":1}'
    """
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_of(spec: Any) -> str:
    """Hash a spec to 16 hexadecimal digits (SHA-256 of its canonical text)."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()[:16]


def seed_of(*names: object) -> np.random.SeedSequence:
    """Make a seed sequence from the names of axes and their values.

    Naming the stream, instead of counting it, means that adding a composition to a study never
    shifts the draw of another.
    """
    digest = hashlib.sha256(canonical([str(n) for n in names]).encode()).digest()
    return np.random.SeedSequence(np.frombuffer(digest, dtype="<u4").tolist())


def generator(*names: object) -> np.random.Generator:
    """Make a NumPy Generator (PCG64) from the names of axes and their values."""
    return np.random.Generator(np.random.PCG64(seed_of(*names)))


def mixed(numbers: ArrayLike) -> NDArray[np.uint64]:
    """Mix whole numbers to 64 bits that look random; different numbers stay different.

    Shape (N,), int64 or uint64. The finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast
    splittable pseudorandom number generators"), a bijection of 64-bit words.
    """
    mixed_bits = np.asarray(numbers).astype(np.uint64)  # a copy, mixed in place
    flat = mixed_bits.reshape(-1)
    for start in range(0, len(flat), _CACHED):
        z = flat[start : start + _CACHED]
        z += np.uint64(0x9E3779B97F4A7C15)
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return mixed_bits
