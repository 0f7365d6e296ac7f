"""The spread of a few true means behind noisy ones, and what is made of two such estimates.

The means of K named groups are observed with noise of variance V each, which is known from their
replicates alone. What is sought is S, the standard deviation (divisor K - 1) of the *true* means
of these K groups. The standard deviation of the observed means overstates it: its square has the
expectation S^2 + V. So S^2 is estimated by moments, observed square minus V, and 0 if that is
negative (as the between-group variance of an analysis of variance; Cochran, 1954).

Given V, the observed sum of squares over V is noncentral chi-squared with K - 1 degrees of freedom
and noncentrality (K - 1) S^2 / V. The interval inverts this distribution (Steiger and Fouladi,
1997), averaged over what the replicates leave open of V: a chi-squared with few degrees of
freedom (a generalised p-value; Tsui and Weerahandi, 1989). At S = 0 this is the F test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import chndtr, gammaincinv, ndtr

from wherefrom.evidence.intervals import LEVEL, Floats

__all__ = ["Estimate", "minus", "over", "spreads"]

#: Levels of the values of V over which a probability is averaged.
_LEVELS = (np.arange(24) + 0.5) / 24
#: Halvings of the interval in which a limit is sought: to a relative accuracy of about 1e-6.
_STEPS = 24


class Estimate(NamedTuple):
    """An estimate with the limits of its interval."""

    value: float
    low: float
    high: float


def spreads(
    observed: Floats, noise: Floats, df: Floats, groups: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Estimate the spread of true means, for N sets of means at once; all arrays have shape (N,).

    `observed` are the standard deviations of the observed means, `noise` is V, the estimated mean
    variance of one of them, with `df` degrees of freedom, and `groups` is K, at least 2. Returns
    the estimate of S in units of the means, the ends of its 95 % interval, and the p-value of S =
    0.

    An observed spread may by chance lie below what noise alone would give, so far that no true
    spread explains it. The upper limit is then that of a spread which equals the noise: the
    interval never claims more than the noise allows.

    Examples
    --------
    >>> estimates = spreads(np.array([0.03]), np.array([1e-4]), np.array([12.0]), np.array([6.0]))
    >>> [round(float(part[0]), 4) for part in estimates]
    [0.0283, 0.0175, 0.038, 0.0004]
    """
    variances = noise[:, None] * df[:, None] / (2 * gammaincinv(df[:, None] / 2, _LEVELS))
    square, freedom = observed**2, groups[:, None] - 1

    def below(true: Floats, seen: Floats) -> Floats:
        """Probability of an observed square below `seen`, given the true spread."""
        scale = freedom / np.where(variances > 0, variances, 1.0)
        return _chi2(seen[:, None] * scale, freedom, true[:, None] ** 2 * scale)

    def limit(seen: Floats, probability: float) -> Floats:
        low, high = np.zeros(len(seen)), np.sqrt(seen) + 40 * np.sqrt(noise)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            too_small = below(middle, seen) > probability
            low, high = np.where(too_small, middle, low), np.where(too_small, high, middle)
        return low

    tail = (1 - LEVEL) / 2
    # Means without noise have no distribution: their spread is what it is.
    exact = noise == 0
    low = np.where(exact, observed, limit(square, 1 - tail))
    high = np.where(exact, observed, limit(np.maximum(square, noise), tail))
    p = np.where(exact, np.where(observed > 0, 0.0, 1.0), 1 - below(np.zeros_like(noise), square))
    return np.sqrt(np.maximum(0.0, square - noise)), low, high, p


def minus(a: Estimate, b: Estimate) -> Estimate:
    """Subtract two independent estimates that are not negative (Zou and Donner, 2008).

    Where one of them may be zero, its estimate is on average above the truth, and the method
    would not hold its level there. That end then takes the limits as they are.
    """
    value = a.value - b.value
    low = value - float(np.hypot(a.value - a.low, b.high - b.value))
    high = value + float(np.hypot(a.high - a.value, b.value - b.low))
    return Estimate(
        value,
        -b.high if a.low == 0 else low,
        a.high if b.low == 0 else high,
    )


def over(a: Estimate, b: Estimate) -> Estimate | None:
    """Divide two independent estimates, with the interval of Donner and Zou (2012).

    None if the interval of the divisor reaches zero: the ratio may then be anything.
    """
    if b.low <= 0:
        return None
    product = a.value * b.value
    # The radicands are squares of half-widths; rounding may put them below zero by a hair.
    down = product**2 - a.low * b.high * (2 * a.value - a.low) * (2 * b.value - b.high)
    up = product**2 - a.high * b.low * (2 * a.value - a.high) * (2 * b.value - b.low)
    return Estimate(
        a.value / b.value,
        (product - float(np.sqrt(max(0.0, down)))) / (b.high * (2 * b.value - b.high)),
        (product + float(np.sqrt(max(0.0, up)))) / (b.low * (2 * b.value - b.low)),
    )


def _chi2(x: Floats, df: Floats, noncentrality: Floats) -> Floats:
    """Mean over the last axis of the noncentral chi-squared distribution function."""
    x, df, noncentrality = np.broadcast_arrays(x, df, noncentrality)
    # The series takes ever longer as the noncentrality grows; from here on Sankaran's (1959)
    # approximation differs from it by less than 2e-6.
    far = noncentrality > 5000
    probability = np.empty(x.shape)
    probability[~far] = chndtr(x[~far], df[~far], noncentrality[~far])
    probability[far] = _sankaran(x[far], df[far], noncentrality[far])
    return np.asarray(probability.mean(axis=-1))


def _sankaran(x: Floats, k: Floats, nc: Floats) -> Floats:
    h = 1 - 2 * (k + nc) * (k + 3 * nc) / (3 * (k + 2 * nc) ** 2)
    p = (k + 2 * nc) / (k + nc) ** 2
    m = (h - 1) * (1 - 3 * h)
    centre = 1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p)
    return np.asarray(
        ndtr(((x / (k + nc)) ** h - centre) / (h * np.sqrt(2 * p) * (1 + 0.5 * m * p)))
    )
