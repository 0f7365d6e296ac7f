"""Results of the spatial statistics as plain values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

__all__ = ["Result", "number"]


class Result:
    """Base of the frozen results: every field is a plain value, a tuple of them, or a result.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Length(Result):
    ...     km: float | None
    ...     bounds: tuple[float, ...] = ()
    >>> Length(None, (1.0, 2.0)).to_dict()
    {'km': None, 'bounds': [1.0, 2.0]}
    """

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as dicts, lists, str, int, float, bool and None: ready for JSON."""
        assert dataclasses.is_dataclass(self)
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}


def number(value: Any) -> float | None:
    """Return a float, or None for what is not finite and so not JSON.

    Examples
    --------
    >>> number(np.float64(1.5)), number(np.nan)
    (1.5, None)
    """
    return float(value) if np.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
