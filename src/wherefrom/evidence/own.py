"""What a composition scatters by itself, once that is taken off which all share in a block.

All compositions of a block share its pre-training seed, and what it does to all of them cancels
when two are compared. The block means of K compositions on B blocks are

    x[k, b] = mean[k] + shared[b] + own[k, b],

and the variance of a difference is that of the two own parts. A paired t test estimates it from the
differences of this pair alone, with B - 1 degrees of freedom. Here each composition's own variance
is estimated after the weighted mean over *all* compositions has been taken off in every block, so
that the variance of a pair has nearly twice as many. Compositions do not share a variance: one that
scatters four times as much as the others neither lends nor borrows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wherefrom.evidence.intervals import Floats

__all__ = ["Own", "own"]

#: A composition weighs as if its variance were at least this share of the median: with few blocks
#: a variance may by chance be near zero, and its composition would be taken for the shared part.
_FLOOR = 0.5


@dataclass(frozen=True)
class Own:
    """The own variances of K compositions; trailing axes may hold many studies."""

    #: Own variance of one block's mean, shape (K, ...).
    variance: Floats
    #: Share of each composition in what is taken for the shared part, shape (K, ...).
    weight: Floats
    #: What is taken for the shared part: mean over compositions in each block, shape (B, ...).
    shared: Floats
    #: Blocks less one.
    df: int

    @property
    def alike(self) -> Floats:
        """Covariances of the estimated variances in units of 2 / df, shape (K, K, ...).

        What is left of two compositions has a negative covariance, since all that is left adds up
        to nothing. Where two are all there are, it makes their comparison the paired t test.
        """
        part, off = self.weight * self.variance, 1 - self.weight
        square = ((self.weight * part).sum(axis=0) - part[:, None] - part) ** 2
        square /= off[:, None] * off
        each = np.arange(len(part))
        square[each, each] = self.variance**2
        return np.asarray(square)


def own(means: Floats) -> Own:
    """Estimate each composition's own variance (Horn, Horn and Duncan, 1975).

    Almost unbiased: the mean square of what is left of a composition, divided by one minus its
    weight in what was taken off. First all weigh alike, then inversely to the variances so found.
    Never negative; of two compositions each has half the variance of their difference.

    Parameters
    ----------
    means : ndarray of float, shape (K, B, ...)
        Block means of K >= 2 compositions on B >= 2 common blocks.

    Examples
    --------
    >>> means = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 5.0, 4.0]])
    >>> own(means).variance.tolist(), float((means[0] - means[1]).var(ddof=1))
    ([0.5, 0.5], 1.0)
    """
    count, blocks = means.shape[:2]
    centred = means - means.mean(axis=1, keepdims=True)
    shared = centred.mean(axis=0)
    variance = ((centred - shared) ** 2).sum(axis=1) / ((blocks - 1) * (1 - 1 / count))
    # An order statistic near the median: of two the larger, which is as large as the other.
    floor = _FLOOR * np.sort(variance, axis=0)[count // 2]
    weight = 1 / np.maximum(np.maximum(variance, floor), np.finfo(np.float32).tiny)
    weight /= weight.sum(axis=0)
    shared = (weight[:, None] * centred).sum(axis=0)
    variance = ((centred - shared) ** 2).sum(axis=1) / ((blocks - 1) * (1 - weight))
    return Own(variance, weight, shared, blocks - 1)
