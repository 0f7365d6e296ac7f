"""Names, numbers and colours: the same composition looks alike in every figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wherefrom.evidence import INITIAL

__all__ = ["METRICS", "Look", "looks", "metric_title", "number", "signed"]

#: What each metric is called and how it is defined.
METRICS = {
    "f1_macro": ("macro F1", "F1 of each class, averaged with equal weight over the classes"),
    "f1_weighted": ("weighted F1", "F1 of each class, averaged by the class's test places"),
    "f1_positive": ("positive-class F1", "F1 of the positive class of a binary task"),
    "accuracy": ("accuracy", "share of test places labelled right"),
}

# Okabe and Ito's colours (distinct under the common kinds of colour blindness) without yellow,
# which is too faint on white, and two more of different lightness.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#6a3d9a", "#56b4e9", "#8c6d31")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")


class Look(NamedTuple):
    """Colour and marker of a row; colour is never the only sign."""

    colour: str
    marker: str
    dash: str | tuple[float, tuple[float, ...]]


def looks(compositions: Sequence[str], baselines: Sequence[str]) -> dict[str, Look]:
    """Give every row its look, by its place in the order and not by its score.

    Examples
    --------
    >>> looks(["none", "uniform"], ["majority"])["uniform"].colour
    '#0072b2'
    """
    found = {}
    trained = [name for name in compositions if name != INITIAL]
    for i, name in enumerate(trained):
        found[name] = Look(_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], "-")
    if INITIAL in compositions:
        found[INITIAL] = Look("#222222", "x", "-")
    dashes: tuple[tuple[float, tuple[float, ...]], ...] = (
        (0, (5, 2)), (0, (2, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1, 2)),
    )  # fmt: skip
    for i, name in enumerate(baselines):
        found[name] = Look(("#777777", "#999999", "#555555", "#aaaaaa")[i % 4], "|", dashes[i % 4])
    return found


def metric_title(metric: str) -> str:
    """Return the name of a metric for people."""
    return METRICS.get(metric, (metric, ""))[0]


def number(value: float | None, digits: int = 3) -> str:
    """Write a score (with a true minus), or a dash for none.

    Examples
    --------
    >>> number(0.56789), number(None)
    ('0.568', '–')
    """
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference with its sign (a true minus), or a dash for none.

    Examples
    --------
    >>> signed(-0.01234), signed(0.0), signed(None)
    ('−0.012', '+0.000', '–')
    """
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")
