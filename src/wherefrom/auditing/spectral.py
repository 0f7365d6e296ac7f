"""Spectral entropy: how widely the values of one sample spread over the bins of each band."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wherefrom.errors import WherefromError, unknown

__all__ = [
    "BINS",
    "OLMOEARTH",
    "BinSpec",
    "Spread",
    "band_entropy",
    "histogram",
    "named_bins",
    "robust_range",
    "scale_free",
    "spectral_entropy",
    "spread",
    "spread_of",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Names of the two rules for bins.
BINS = ("olmoearth", "scale-free")

#: Share of a sample's values, and of the samples, beyond each end of the range of a band.
_TAIL = 0.01
#: Values, and cells of the histograms, worked on together.
_CHUNK = 1 << 20
#: Integers of at most so many bits are looked up in a table of all values.
_TABLE_BITS = 16
#: With at most so many pixels (T steps of a series), pairs of values are compared: cheaper than
#: a histogram that is nearly all zeros.
_FEW = 32


@dataclass(frozen=True)
class BinSpec:
    """Bins of equal width, the same ones for every sample.

    Parameters
    ----------
    low, high : tuple of float
        Ends of the range, in the values' unit: one pair for all bands, or one for each.
    count : int, default 100
        Bins.
    outside : {"drop", "clip"}
        What becomes of values beyond the range: not counted, or counted in the outermost bin.

    Raises
    ------
    WherefromError
        If there is no bin, an end is not finite, or a low end is above its high end.

    Notes
    -----
    Value v is in bin ``floor((v - low) * count / (high - low))``; the last bin also holds `high`.
    This is exact for whole numbers. A band whose ends are equal has one bin.

    Examples
    --------
    >>> round(BinSpec((0.0,), (10_000.0,)).most, 2)
    4.61
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    count: int = 100
    outside: Literal["drop", "clip"] = "drop"

    def __post_init__(self) -> None:
        if self.count < 1 or len(self.low) != len(self.high) or not self.low:
            raise WherefromError("bins: give a count of at least 1, and as many low ends as high")
        for band, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            if not (np.isfinite(low) and np.isfinite(high) and low <= high):
                raise WherefromError(
                    f"bins of band {band}: {low:g} to {high:g} is no range; give finite ends, the "
                    "low one first"
                )

    @property
    def most(self) -> float:
        """Entropy of values spread evenly over the bins: ``ln(count)`` nats."""
        return log(self.count)

    def each_band(self, bands: int) -> list[BinSpec]:
        """Split the bins into those of each band; they must be of so many, or of one for all."""
        if len(self.low) == 1:
            return [self] * bands
        if len(self.low) != bands:
            raise WherefromError(f"the bins are for {len(self.low)} bands, not for {bands}")
        return [
            BinSpec((low,), (high,), self.count, self.outside)
            for low, high in zip(self.low, self.high, strict=True)
        ]


#: The bins of allenai/olmoearth_pretrain: 100 over 0 to 10,000 digital numbers, none beyond.
OLMOEARTH = BinSpec((0.0,), (10_000.0,))


def named_bins(name: str, ranges: Callable[[], Floats]) -> BinSpec:
    """Return the bins of a name; `ranges` is called for those of the samples where needed."""
    if name not in BINS:
        raise unknown("bins", name, BINS)
    return OLMOEARTH if name == "olmoearth" else scale_free(ranges())


def robust_range(values: ArrayLike, *, absent: float | None = None) -> Floats:
    """Find the range of each band of each sample without the outermost 1 % at either end.

    Of values (..., bands, pixels), NaN or `absent` where there is none, the ends (..., bands, 2):
    values that occur, the least with at least 1 % of the values at or below it, and the greatest
    with at least 1 % at or above it; NaN where a band has no value.

    >>> robust_range([np.arange(200)]).tolist()
    [[1.0, 198.0]]
    """
    shape, flat = _samples(values)
    ends = np.empty((*flat.shape[:2], 2))
    step = max(1, _CHUNK // max(1, flat[:1].size))
    for start in range(0, len(flat), step):
        part = flat[start : start + step].astype(np.float64)
        if absent is not None:
            part[part == absent] = np.nan
        part.sort(axis=-1)  # NaN come last
        present = np.count_nonzero(~np.isnan(part), axis=-1)
        beyond = np.maximum(np.ceil(_TAIL * present).astype(np.int64) - 1, 0)
        at = np.stack([beyond, np.maximum(present - 1 - beyond, 0)], axis=-1)
        ends[start : start + step] = np.take_along_axis(part, at, axis=-1)
    return ends.reshape(*shape, 2)


def scale_free(ranges: ArrayLike, count: int = 100) -> BinSpec:
    """Make bins over each band's own range in a set of samples, whatever its unit.

    Of `ranges` (N, bands, 2), as `robust_range` returns them, they go from the value that 99 % of
    the samples' low ends reach to that which 99 % of their high ends do not exceed; values beyond
    count in the outermost bins.

    Raises
    ------
    WherefromError
        If a band has no value in any sample.

    Notes
    -----
    The range belongs to the set, not to the sample: stretched to its own range, a uniform sample
    would show the entropy of its noise. Since both ends are values that occur, a gain above 0 and
    an offset of a band, given to all samples alike, move ends and values together and leave every
    entropy as it is: units, sensors' calibration and means or deviations that were taken out do
    not matter. Sets of different bins are not comparable: give the `BinSpec` of one to the other.

    Examples
    --------
    >>> scale_free([[[1.0, 5.0]], [[2.0, 9.0]]], count=4)
    BinSpec(low=(1.0,), high=(9.0,), count=4, outside='clip')
    """
    given = np.asarray(ranges, dtype=np.float64)
    given = given.reshape(-1, *given.shape[-2:])
    low, high = [], []
    for band in range(given.shape[1]):
        ends = given[:, band][~np.isnan(given[:, band]).any(axis=1)]
        if not len(ends):
            raise WherefromError(f"band {band} has no value in any sample: leave it out")
        low.append(float(np.quantile(ends[:, 0], _TAIL, method="inverted_cdf")))
        # Of the mirrored values, so that both ends are treated alike.
        high.append(-float(np.quantile(-ends[:, 1], _TAIL, method="inverted_cdf")))
    return BinSpec(tuple(low), tuple(high), count, "clip")


def bins_of_values(
    values: NDArray[Any], band: int, bins: BinSpec, absent: float | None = None
) -> NDArray[Any]:
    """Find the bin of each value of one band: ``bins.count`` for dropped, one more for absent ones.

    `band` is its position among the bins' ranges, if each band has its own. The array, of the shape
    of `values`, is not to be written to.

    >>> bins_of_values(np.array([0, 250, 9_999, 10_000, 10_001], np.uint16), 0, OLMOEARTH).tolist()
    [0, 2, 99, 99, 100]
    """
    at = min(band, len(bins.low) - 1)
    low, high = bins.low[at], bins.high[at]
    if values.dtype.kind in "iu" and 8 * values.dtype.itemsize <= _TABLE_BITS:
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        pattern = np.ascontiguousarray(native).view(f"u{values.dtype.itemsize}")
        return np.take(_table(values.dtype.name, low, high, bins, absent), pattern)
    return _bin_of(values, low, high, bins, absent)


def _samples(values: ArrayLike) -> tuple[tuple[int, ...], NDArray[Any]]:
    """Split the shape off values (..., bands, pixels): (..., bands), and (N, bands, pixels)."""
    given = np.asarray(values)
    if given.dtype.kind not in "iufb" or given.ndim < 2:
        raise WherefromError(
            f"spectral entropy needs numbers of shape (..., bands, pixels), not "
            f"{given.dtype} of shape {given.shape}"
        )
    return given.shape[:-1], given.reshape(-1, *given.shape[-2:])


@lru_cache(maxsize=64)
def _table(
    dtype: str, low: float, high: float, bins: BinSpec, absent: float | None
) -> NDArray[np.int32]:
    """Find the bin of every value of a small integer type, in the order of their bit patterns."""
    size = np.dtype(dtype).itemsize
    every = np.arange(1 << (8 * size), dtype=f"u{size}").view(dtype)
    return _bin_of(every, low, high, bins, absent).astype(np.int32)


def _bin_of(
    values: NDArray[Any], low: float, high: float, bins: BinSpec, absent: float | None
) -> Ints:
    """Find the bin of each value: `count` for dropped ones, `count + 1` for absent ones."""
    v = values.astype(np.float64)
    gone = np.isnan(v) if absent is None else np.isnan(v) | (v == absent)
    outside = (v < low) | (v > high)
    # Cut off before the cast, for which infinity and NaN have no whole number.
    inside = np.where(gone, low, np.clip(v, low, high)) - low
    if high > low:
        inside *= bins.count
        inside /= high - low
    at = np.minimum(inside.astype(np.int64), bins.count - 1)
    if bins.outside == "drop":
        at[outside] = bins.count
    at[gone] = bins.count + 1
    return at


class Spread(NamedTuple):
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
    if isinstance(bins, str):
        bins = named_bins(bins, lambda: robust_range(values, absent=absent))
    entropy: Floats = spread(values, bins, absent=absent).entropy.mean(axis=-1)
    return entropy


def spread(values: ArrayLike, bins: BinSpec, *, absent: float | None = None) -> Spread:
    """Sum up the histograms of samples without keeping them; values as in `spectral_entropy`.

    >>> found = spread([[100.0, 100.0, 5_000.0, 11_000.0]], OLMOEARTH)
    >>> found.entropy.round(3).tolist(), found.inside.tolist(), found.dropped.tolist()
    ([0.637], [3], [1])
    """
    shape, flat = _samples(values)
    samples, bands, pixels = flat.shape
    bins.each_band(bands)
    found = Spread(np.empty((samples, bands)), *np.empty((3, samples, bands), np.int64))
    few = pixels <= _FEW
    step = max(1, _CHUNK // (pixels**2 if few else max(pixels, bins.count + 2)))
    for start in range(0, samples, step):
        rows = slice(start, start + step)
        for band in range(bands):
            at = bins_of_values(flat[rows, band], band, bins, absent)
            part = _of_pairs(at, bins.count) if few else spread_of(_counted(at, bins.count))
            for whole, here in zip(found, part, strict=True):
                whole[rows, band] = here
    return Spread._make(each.reshape(shape) for each in found)


def histogram(values: ArrayLike, bins: BinSpec, *, absent: float | None = None) -> Ints:
    """Count the values of samples in bins; counts of parts of a sample add up.

    Values are as in `spectral_entropy`. The counts, (..., bands, bins.count + 2) int64, are of each
    bin, then of those that were dropped, then of those that are absent.

    >>> two = BinSpec((0.0,), (2.0,), count=2)
    >>> histogram([[0.0, 0.5, 2.0, 7.0, np.nan, -1.0]], two, absent=-1.0).tolist()
    [[2, 1, 1, 2]]
    """
    shape, flat = _samples(values)
    bins.each_band(flat.shape[1])
    counts = np.empty((*flat.shape[:2], bins.count + 2), dtype=np.int64)
    step = max(1, _CHUNK // max(flat.shape[2], counts.shape[2]))
    for start in range(0, len(flat), step):
        for band in range(flat.shape[1]):
            at = bins_of_values(flat[start : start + step, band], band, bins, absent)
            counts[start : start + step, band] = _counted(at, bins.count)
    return counts.reshape(*shape, -1)


def _counted(at: NDArray[Any], count: int) -> Ints:
    """Count the bins of each row of (N, pixels)."""
    wide = count + 2
    if len(at) > 1:
        at = at + np.arange(len(at))[:, None] * wide
    return np.bincount(at.ravel(), minlength=len(at) * wide).reshape(-1, wide)


def band_entropy(counts: ArrayLike) -> Floats:
    """Compute the entropy of histograms (..., K + 2), nats; NaN where no value is in any bin.

    The last two counts, of dropped and absent values, are not looked at.

    >>> band_entropy([[3, 3, 9, 9], [0, 0, 1, 1]]).round(3).tolist()
    [0.693, nan]
    """
    inside = np.asarray(counts, dtype=np.float64)[..., :-2]
    terms = np.where(inside > 0, inside * np.log(np.maximum(inside, 1.0)), 0.0).sum(axis=-1)
    return _entropy(inside.sum(axis=-1), terms)


def spread_of(counts: Ints) -> Spread:
    """Sum up histograms, as `histogram` returns them."""
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
