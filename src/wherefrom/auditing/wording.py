"""Numbers and names as sentences have them."""

from __future__ import annotations

import math

__all__ = ["kilometres", "percent", "times", "title"]


def percent(share: float) -> str:
    """Write a share in per cent with two digits that matter.

    Examples
    --------
    >>> percent(0.3821), percent(0.0153), percent(0.0), percent(0.00004), percent(1.0)
    ('38 %', '1.5 %', '0 %', '< 0.01 %', '100 %')
    """
    value = 100 * share
    if 0 < value < 0.01:
        return "< 0.01 %"
    if 99.5 <= value < 100:
        return "> 99 %"
    return f"{value:.2g} %" if value < 9.95 else f"{value:.0f} %"


def times(ratio: float | None) -> str:
    """Write how many times a share is that of the reference; a dash where that has none.

    Examples
    --------
    >>> times(5.23), times(0.068), times(12.6), times(0.0), times(None)
    ('5.2', '0.068', '13', '0', '–')
    """
    if ratio is None or not math.isfinite(ratio):
        return "–"
    return f"{ratio:,.0f}" if ratio >= 9.95 else f"{ratio:.2g}"


def kilometres(km: float) -> str:
    """Write a distance.

    Examples
    --------
    >>> kilometres(1234.5), kilometres(12.34), kilometres(0.012), kilometres(0.0)
    ('1,234 km', '12 km', '12 m', '0 km')
    """
    if 0 < km < 1:
        return f"{1000 * km:.2g} m"
    return f"{km:,.0f} km" if km >= 9.95 else f"{km:.2g} km"


def title(layer: str) -> str:
    """Name a layer or column for people.

    Examples
    --------
    >>> title("climate_zone")
    'climate zone'
    """
    return layer.replace("_", " ")
