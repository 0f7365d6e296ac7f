"""How the numbers of an audit go with the scores of compositions, and how much one decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from wherefrom.errors import WherefromError
from wherefrom.evidence.headline import Headline
from wherefrom.evidence.intervals import LEVEL, Floats
from wherefrom.evidence.records import OfView
from wherefrom.evidence.verdict import rank_correlation

__all__ = ["FEWEST", "Coefficient", "CorrelationRow", "correlate", "correlation", "less"]

#: Compositions below which a correlation says nothing: its interval needs n - 3.
FEWEST = 4
#: Where a coefficient is 1 or -1, no interval is known.
_FULL = 1 - 1e-9


class Coefficient(NamedTuple):
    """A coefficient with its 95 % interval; None where it, or its interval, is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class CorrelationRow(OfView):
    """An audit number against the mean scores of compositions; see `correlation`."""

    region: str
    audit: str
    compositions: int
    #: The fewest blocks that the mean of a composition stands on.
    blocks: int
    spearman: float | None
    spearman_low: float | None = None
    spearman_high: float | None = None
    p: float | None = None
    pearson: float | None
    pearson_low: float | None = None
    pearson_high: float | None = None
    #: The least and the greatest Spearman's of all but one composition.
    without_low: float | None = None
    without_high: float | None = None
    #: The composition whose leaving out changes it most, and what is then left.
    most: str = ""
    without_most: float | None = None
    note: str = ""


def correlate(values: Mapping[str, float], scores: Mapping[str, float]) -> dict[str, Any]:
    """Correlate a number of compositions with their scores, by rank and linearly.

    Parameters
    ----------
    values, scores : mapping of str to float
        By composition; of those in both, at least `FEWEST`. Higher scores are better.

    Returns
    -------
    dict
        The fields of `CorrelationRow` from `compositions` on, but `blocks`.

    Raises
    ------
    WherefromError
        If they have fewer compositions in common.

    Notes
    -----
    Compositions count as a sample of compositions, so that of few the intervals are wide, however
    well each score is known. Pearson's interval is Fisher's (1921), Spearman's that of Bonett and
    Wright (2000, *Psychometrika* 65, 23-28): ``tanh(arctanh(r) +- z sqrt((1 + r^2 / 2) /
    (n - 3)))``. `p` is one-sided, for a positive rank correlation, over all arrangements.

    Examples
    --------
    >>> values = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0}
    >>> found = correlate(values, {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.5, "e": 0.0})
    >>> round(found["spearman"], 3), found["most"], found["without_most"]
    (0.0, 'e', 1.0)
    """
    names = [name for name in values if name in scores]
    if len(names) < FEWEST:
        raise WherefromError(
            f"a correlation needs {FEWEST} compositions with a number and a score, not "
            f"{len(names)}" + (f" ({', '.join(names)})" if names else "")
        )
    x = np.array([values[name] for name in names])
    y = np.array([scores[name] for name in names])
    spearman = _interval(_spearman(x, y), len(x), ranks=True)
    pearson = _interval(_pearson(x, y), len(x))
    row: dict[str, Any] = {
        "compositions": len(names),
        **dict(zip(("spearman", "spearman_low", "spearman_high"), spearman, strict=True)),
        **dict(zip(("pearson", "pearson_low", "pearson_high"), pearson, strict=True)),
    }
    if spearman.value is None:
        same = "number" if np.ptp(x) == 0 else "score"
        return row | {"note": f"all compositions have the same {same}"}
    row["p"] = _one_sided(tuple(x.tolist()), tuple(y.tolist()))
    keep = ~np.eye(len(x), dtype=bool)
    left = [_spearman(x[some], y[some]) for some in keep]
    known = [(one, name) for one, name in zip(left, names, strict=True) if one is not None]
    if known:
        own = spearman.value
        # Of equals, to rounding, the first.
        most, name = max(known, key=lambda pair: round(abs(pair[0] - own), 9))
        row |= {
            "without_low": min(one for one, _ in known),
            "without_high": max(one for one, _ in known),
            "most": name,
            "without_most": most,
        }
    if len(known) < len(left):
        row["note"] = "undefined where some composition is left out"
    return row


def correlation(
    headline: Headline, audit: str, values: Mapping[str, float], region: str = ""
) -> CorrelationRow:
    """Correlate an audit number with the mean scores of a headline's compositions in a region.

    Scores of which lower is better are turned. See `correlate`.

    Raises
    ------
    WherefromError
        If fewer than `FEWEST` compositions have both.
    """
    region = region or headline.region
    try:
        found = correlate(values, _scores(headline, region))
    except WherefromError as err:
        raise WherefromError(f"audit number {audit!r}, {headline.short}: {err}") from None
    means = [headline.mean(headline.view.key(name), region) for name in values]
    about = headline.view._asdict() | {"region": region, "audit": audit}
    about["blocks"] = min(mean.blocks for mean in means if mean is not None)
    return CorrelationRow(**about | found)


def less(
    headline: Headline, values: Mapping[str, float], others: Mapping[str, float]
) -> Coefficient:
    """Subtract from the rank correlation of a number with the scores that of another number.

    Both on the compositions that have both numbers and scores. The interval is that of Zou (2007,
    *Psychological Methods* 12, 399-413) for correlations that share a variable, made of the two
    intervals of `correlate`; None where one of them has none.

    Raises
    ------
    WherefromError
        If fewer than `FEWEST` compositions have all three.
    """
    scores = _scores(headline, headline.region)
    names = [name for name in values if name in others and name in scores]
    if len(names) < FEWEST:
        raise WherefromError(f"{len(names)} compositions have both numbers and scores")
    a, b, y = (np.array([one[name] for name in names]) for one in (values, others, scores))
    first, second = (_interval(_spearman(x, y), len(y), ranks=True) for x in (a, b))
    between = _spearman(a, b)
    if first.value is None or second.value is None:
        return Coefficient(None)
    difference = first.value - second.value
    if first.low is None or second.low is None or between is None:
        return Coefficient(difference)
    assert first.high is not None
    assert second.high is not None
    r, s = first.value, second.value
    both = (between - r * s / 2) * (1 - r**2 - s**2 - between**2) + between**3
    shared = both / ((1 - r**2) * (1 - s**2))

    def half(down: float, up: float) -> float:
        return float(np.sqrt(max(0.0, down**2 + up**2 - 2 * shared * down * up)))

    return Coefficient(
        difference,
        difference - half(r - first.low, second.high - s),
        difference + half(first.high - r, s - second.low),
    )


def _scores(headline: Headline, region: str) -> dict[str, float]:
    return {name: headline.view.sign * one for name, one in headline.means(region).items()}


@lru_cache(maxsize=1024)
def _one_sided(values: tuple[float, ...], scores: tuple[float, ...]) -> float:
    """Return the p-value of all arrangements, which takes a tenth of a second, once."""
    return rank_correlation(values, scores)[1]


def _pearson(x: Floats, y: Floats) -> float | None:
    a, b = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    tiny = 1e-12 * float(np.abs(x).max() * np.abs(y).max()) * len(x)
    return None if scale <= tiny else float(np.clip(a @ b / scale, -1.0, 1.0))


def _spearman(x: Floats, y: Floats) -> float | None:
    from scipy.stats import rankdata  # slow to import

    return _pearson(rankdata(x), rankdata(y))


def _interval(value: float | None, count: int, *, ranks: bool = False) -> Coefficient:
    """Return Fisher's interval, for ranks with the variance of Bonett and Wright."""
    if value is None or abs(value) > _FULL or count < FEWEST:
        return Coefficient(value)
    se = np.sqrt((1 + value**2 / 2 if ranks else 1.0) / (count - 3))
    reach, middle = float(ndtri((1 + LEVEL) / 2) * se), np.arctanh(value)
    return Coefficient(value, float(np.tanh(middle - reach)), float(np.tanh(middle + reach)))
