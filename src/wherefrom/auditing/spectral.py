"""Spectral entropy: how widely the values of one sample spread over the bins of each band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.auditing.bins import (
    BINS,
    OLMOEARTH,
    BinSpec,
    bins_of_values,
    named_bins,
    robust_range,
    samples_of,
    scale_free,
)

__all__ = [
    "BINS",
    "OLMOEARTH",
    "BinSpec",
    "Spread",
    "band_entropy",
    "histogram",
    "robust_range",
    "scale_free",
    "spectral_entropy",
    "spread",
    "spread_of",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Values, and cells of the histograms, worked on together.
_CHUNK = 1 << 20
#: With at most so many pixels (T steps of a series), pairs of values are compared: cheaper than
#: a histogram that is nearly all zeros.
_FEW = 32


@dataclass(frozen=True, eq=False)
class Spread:
    """What the histograms of samples amount to, band by band.

    Attributes
    ----------
    entropy : (..., bands) float64 array
        Nats; NaN where there is no value in any bin.
    inside, dropped : (..., bands) int64 arrays
        Values in bins, and values beyond them.
    top : (..., bands) int64 array
        Highest bin that holds a value; -1 for none.
    """

    entropy: Floats
    inside: Ints
    dropped: Ints
    top: Ints


def spectral_entropy(
    values: ArrayLike, bins: str | BinSpec = "olmoearth", *, absent: float | None = None
) -> Floats:
    """Compute the spectral entropy of samples: Shannon entropy of each band, mean over bands.

    Parameters
    ----------
    values : (..., bands, pixels) array_like
        Samples; the pixels of a band may come from several dates. NaN where a value is absent.
    bins : {"olmoearth", "scale-free"} or BinSpec
        ``"olmoearth"``: `OLMOEARTH`, for reflectance x 10,000. ``"scale-free"``: `scale_free` of
        these very samples, for values in any unit.
    absent : float, optional
        A further value that marks absence.

    Returns
    -------
    (...) float64 array
        Nats, from 0 to ``ln(bins)``; NaN where a band has no value within the bins, so that no
        sample is compared by fewer bands than others.

    Raises
    ------
    WherefromError
        If the name of the bins is not known, or the bins are of another number of bands.

    Notes
    -----
    With share p_k of a band's values in bin k: ``H = -sum(p_k ln p_k)``, averaged over the bands.
    Kaur et al. (2026, arXiv:2604.21104) rank pre-training sets by a spectral entropy whose bins
    they do not publish; the definition with 100 bins over 0 to 10,000 is that of
    allenai/olmoearth_pretrain (dropping what lies beyond and what is marked as missing).

    A histogram of n values in K bins falls short of the entropy of the source by about
    ``(K - 1) / (2 n)`` and never exceeds ``ln n``: compare samples with like numbers of pixels.

    Examples
    --------
    >>> even = np.arange(50, 10_000, 100)
    >>> spectral_entropy(np.stack([[even], [np.full(100, 700)]])).round(3).tolist()
    [4.605, 0.0]
    """
    given = samples_of(values)
    if isinstance(bins, str):
        bins = named_bins(bins, lambda: robust_range(given, absent=absent))
    entropy: Floats = spread(given, bins, absent=absent).entropy.mean(axis=-1)
    return entropy


def spread(values: ArrayLike, bins: BinSpec, *, absent: float | None = None) -> Spread:
    """Sum up the histograms of samples without keeping them.

    Parameters
    ----------
    values : (..., bands, pixels) array_like
        NaN where a value is absent.
    bins : BinSpec
    absent : float, optional
        A further value that marks absence.

    Returns
    -------
    Spread

    Raises
    ------
    WherefromError
        If the bins are of another number of bands.

    Examples
    --------
    >>> found = spread([[100.0, 100.0, 5_000.0, 11_000.0]], OLMOEARTH)
    >>> found.entropy.round(3).tolist(), found.inside.tolist(), found.dropped.tolist()
    ([0.637], [3], [1])
    """
    given = samples_of(values)
    flat = _flat(given, bins)
    shape, pixels = flat.shape[:2], flat.shape[2]
    found = Spread(np.empty(shape), *(np.empty(shape, np.int64) for _ in range(3)))
    few = pixels <= _FEW
    step = max(1, _CHUNK // (pixels**2 if few else max(pixels, bins.count + 2)))
    for start in range(0, len(flat), step):
        rows = slice(start, start + step)
        for band in range(shape[1]):
            at = bins_of_values(flat[rows, band], band, bins, absent)
            part = _of_pairs(at, bins.count) if few else spread_of(_counted(at, bins.count))
            for name, values_of in vars(found).items():
                values_of[rows, band] = getattr(part, name)
    return Spread(*(each.reshape(given.shape[:-1]) for each in vars(found).values()))


def histogram(values: ArrayLike, bins: BinSpec, *, absent: float | None = None) -> Ints:
    """Count the values of samples in bins; counts of parts of a sample add up.

    Parameters
    ----------
    values : (..., bands, pixels) array_like
        NaN where a value is absent.
    bins : BinSpec
    absent : float, optional
        A further value that marks absence.

    Returns
    -------
    (..., bands, bins.count + 2) int64 array
        Values in each bin, then those that were dropped, then those that are absent.

    Raises
    ------
    WherefromError
        If the bins are of another number of bands.

    Examples
    --------
    >>> two = BinSpec((0.0,), (2.0,), count=2)
    >>> histogram([[0.0, 0.5, 2.0, 7.0, np.nan, -1.0]], two, absent=-1.0).tolist()
    [[2, 1, 1, 2]]
    """
    given = samples_of(values)
    flat = _flat(given, bins)
    counts = np.empty((*flat.shape[:2], bins.count + 2), dtype=np.int64)
    step = max(1, _CHUNK // max(flat.shape[2], counts.shape[2]))
    for start in range(0, len(flat), step):
        for band in range(flat.shape[1]):
            at = bins_of_values(flat[start : start + step, band], band, bins, absent)
            counts[start : start + step, band] = _counted(at, bins.count)
    return counts.reshape(*given.shape[:-1], -1)


def _flat(given: NDArray[Any], bins: BinSpec) -> NDArray[Any]:
    """Give samples one leading axis, and check that the bins are theirs."""
    bins.each_band(given.shape[-2])
    return given.reshape(-1, *given.shape[-2:])


def _counted(at: NDArray[Any], count: int) -> Ints:
    """Count the bins of each row of (N, pixels)."""
    wide = count + 2
    if len(at) > 1:
        at = at + np.arange(len(at))[:, None] * wide
    return np.bincount(at.ravel(), minlength=len(at) * wide).reshape(-1, wide)


def band_entropy(counts: ArrayLike) -> Floats:
    """Compute the entropy of histograms.

    Parameters
    ----------
    counts : (..., K + 2) array_like of int
        As `histogram` returns them; the last two are not looked at.

    Returns
    -------
    (...) float64 array
        Nats; NaN where there is no value in any bin.

    Examples
    --------
    >>> band_entropy([[3, 3, 9, 9], [0, 0, 1, 1]]).round(3).tolist()
    [0.693, nan]
    """
    inside = np.asarray(counts, dtype=np.float64)[..., :-2]
    terms = np.where(inside > 0, inside * np.log(np.maximum(inside, 1.0)), 0.0).sum(axis=-1)
    return _entropy(inside.sum(axis=-1), terms)


def spread_of(counts: Ints) -> Spread:
    """Sum up histograms.

    Parameters
    ----------
    counts : (..., K + 2) int64 array
        As `histogram` returns them.

    Returns
    -------
    Spread

    Examples
    --------
    >>> spread_of(np.array([0, 3, 3, 0, 2, 1])).top.tolist()
    2
    """
    inside = counts[..., :-2]
    held = inside > 0
    top = inside.shape[-1] - 1 - np.argmax(held[..., ::-1], axis=-1)
    return Spread(
        band_entropy(counts),
        inside.sum(axis=-1),
        counts[..., -2],
        np.where(held.any(axis=-1), top, -1),
    )


def _of_pairs(at: NDArray[Any], count: int) -> Spread:
    """Sum up the bins of each row of (N, T) for small T, in which value i has c_i equals.

    Since each bin of c values has c such i, ``sum over bins of c ln c = sum over i of ln c_i``.
    """
    inside = at < count
    small = at.astype(np.int16 if count < 2**15 - 2 else np.int64)
    equal = np.count_nonzero(small[:, :, None] == small[:, None, :], axis=2)
    logs = np.append(0.0, np.log(np.arange(1, at.shape[1] + 1)))
    total = inside.sum(axis=1)
    terms = np.where(inside, logs[equal], 0.0).sum(axis=1)
    return Spread(
        _entropy(total, terms),
        total,
        (at == count).sum(axis=1),
        np.where(inside, at, -1).max(axis=1, initial=-1),
    )


def _entropy(total: NDArray[Any], terms: Floats) -> Floats:
    """Compute ``ln n - sum(c ln c) / n``: exactly 0 where one bin holds all, NaN where none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy: Floats = np.log(total) - terms / total
    # Rounding may leave a trace below or above 0 of a single bin; NaN stays.
    return np.where(entropy < 1e-12, 0.0, entropy)
