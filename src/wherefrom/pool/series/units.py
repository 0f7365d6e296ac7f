"""Bands of pixel series, and what tells that their values are in another unit, or mark absence."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wherefrom.errors import WherefromError

__all__ = ["BANDS", "check_ndvi", "check_units", "check_values", "ndvi", "said_of"]

#: Bands in CropHarvest's order (Tseng et al. 2021): Sentinel-1, Sentinel-2, ERA5, SRTM, NDVI.
BANDS = (
    "VV", "VH", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12",
    "temperature_2m", "total_precipitation", "elevation", "slope", "NDVI",
)  # fmt: skip

#: Where a band's median lies on land and sea, and its unit.
_USUAL: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(BANDS[0:2], (-60.0, 20.0, "dB")),
    **dict.fromkeys(BANDS[2:13], (2.0, 20_000.0, "reflectance x 10,000")),
    "temperature_2m": (180.0, 340.0, "K"),
    "total_precipitation": (0.0, 0.03, "m of water a day"),
    "elevation": (-500.0, 9_000.0, "m"),
    "slope": (0.0, 90.0, "degrees"),
}
#: Rows looked at, evenly spaced, for medians.
_SAMPLE = 1_000
#: What no value of a band lies beyond, however odd; so 65535, 32767, -999, -9999 and -32768, which
#: mark what is absent, are in none. Reflectance: 0, absent in files of Sentinel-2, less its offset
#: of 1,000 is below; glint and clouds under a low sun are within. Precipitation: the wettest month
#: on record had 0.30 m a day, and mm a day are above but in deserts.
_LIMITS = np.array(
    [(-90.0, 50.0)] * 2 + [(-900.0, 32_000.0)] * 11
    + [(150.0, 350.0), (-0.001, 0.5), (-500.0, 9_000.0), (0.0, 90.0), (-3e38, 3e38)],
    dtype=np.float32,
).T  # fmt: skip


class _Odd(NamedTuple):
    """A range in which single values may lie, but not most of a place's or a step's.

    Where more than `most` of the values of a row or step are within, it `looks` like another unit.
    One of fewer than `least` values is not judged by itself.
    """

    low: float
    high: float
    looks: str
    remedy: str
    most: float = 0.75
    least: int = 3
    #: Whether no place is so; else rows are warned of, however many.
    sure: bool = True


_DB = (
    # Power of 0 to 1; less its noise a little below. A street may be at 0 dB in some months.
    _Odd(-0.1, 1.0, "linear power", "give 10 log10(power)"),
    _Odd(5.0, np.inf, "dB without their sign, or no dB", "give 10 log10(power)"),
)
_REFLECTANCE = (
    _Odd(-2.0, 2.0, "reflectance of 0 to 1", "multiply it by 10,000"),
    # Clear dark water may be so in the infrared, though hardly in all months.
    _Odd(2.0, 100.5, "reflectance of 0 to 100", "is it per cent?", 0.999, 9, sure=False),
)
_ODD: dict[str, tuple[_Odd, ...]] = {
    **dict.fromkeys(BANDS[0:2], _DB),
    **dict.fromkeys(BANDS[2:13], _REFLECTANCE),
    "total_precipitation": (_Odd(0.05, np.inf, "mm, or totals of months", "give m a day"),),
}
#: Of these bands 0 says absent; the share of values up to which it may be a measurement.
_ZEROS = dict.fromkeys(BANDS[0:2], 0.0) | dict.fromkeys(BANDS[2:13], 0.001)
#: Share of rows, steps or zeros above which all is refused: what is rarer is warned of, and so are
#: fewer zeros, and rows or steps of fewer odd values together.
_RARE, _ZEROS_SURE, _ODD_SURE = 0.01, 3, 9
#: Share of single values in an odd range that are warned of and, in three rows or more, refused;
#: city centres have some.
_SOME, _MANY = 0.05, 0.2
#: Bounds of what may be odd, of each band; the others have none.
_LOW, _HIGH = np.array(
    [
        (min(o.low for o in odd), max(o.high for o in odd)) if odd else (np.inf, -np.inf)
        for odd in (_ODD.get(name, ()) for name in BANDS)
    ],
    dtype=np.float32,
).T
#: Rows looked at together, so that they stay in the cache.
_BLOCK = 4_096
#: Slopes of this many places or more, all below so many degrees where heights differ by so many
#: metres, may be radians.
_SLOPES, _FLAT, _HILLS = 20, 0.8, 1_000.0
#: Of so many rows, a value of this share, in so many that vary, and so many times as frequent as
#: the next, may mark absence.
_REPEATS, _OFTEN, _ROWS, _MORE = 250, 0.05, 20, 5


def check_values(raw: NDArray[np.float32]) -> None:
    """Refuse single values that no place has, infinite ones too; NaN is none of them."""
    least, most = _LIMITS
    # Whole series at a time: rows of 18 numbers alone take longer.
    low, high = (np.tile(limit, raw.shape[1]) for limit in _LIMITS)
    wide = raw.reshape(len(raw), low.size)
    if not (wide < low).any() and not (wide > high).any():
        return
    wrong = (raw < least) | (raw > most)
    row, step, band = np.argwhere(wrong)[0]
    value, name = raw[row, step, band], BANDS[band]
    odd = "infinite"
    if np.isfinite(value):
        odd = f"{value:g}, not {least[band]:g} to {most[band]:g} {_USUAL[name][2]}"
    raise WherefromError(
        f"pixel series: {name} of row {row}, step {step} is {odd} ({wrong[..., band].sum():,} such "
        "values): is the unit or the order of the bands another? NaN says absent"
    )


def check_units(raw: NDArray[np.float32]) -> None:
    """Refuse bands in another unit or order, as a whole or in some rows or steps.

    First by the rows and steps most of whose values are in a range that is another unit's, and by
    zeros that mark absence; then by the median of each band. What is rare, or may be so somewhere,
    is warned of, in one line a kind.
    """
    doubts: dict[str, list[str]] = {}
    for name in _perhaps_odd(raw):
        values = np.ascontiguousarray(raw[:, :, BANDS.index(name)].T).T  # sums of rows are faster
        for looks, told in _odd_of(name, values):
            doubts.setdefault(looks, []).append(f"band {name}: {told}")
    if told := _radians(raw):
        doubts["radians"] = [told]
    some = raw[_spread(len(raw), _SAMPLE)]
    for name, (low, high, unit) in _USUAL.items():
        values = some[:, :, BANDS.index(name)]
        values = values[~np.isnan(values)]
        median = float(np.median(values)) if values.size else low
        if not low <= median <= high:
            raise WherefromError(
                f"band {name}: the median is {median:g}, not within {low:g} to {high:g} {unit}; "
                "is the unit or the order of the bands another? NaN says absent"
            )
    few = raw[_spread(len(raw), _REPEATS)]
    for at in range(BANDS.index("total_precipitation")):
        mark = _mark(few[:, :, at])
        if not np.isnan(mark):
            values = raw[:, :, at]
            told = _singly(values == mark, ~np.isnan(values), f"are exactly {mark:g}")
            told = f"band {BANDS[at]}: {told}; does it say absent? Give NaN there"
            doubts.setdefault("a mark", []).append(told)
    for first, *others in doubts.values():
        also = f" (so in {len(others)} more bands)" if others else ""
        warnings.warn(first + also, stacklevel=3)


def _spread(size: int, most: int) -> NDArray[np.int64]:
    """Return rows of all parts, in no step that rows of one kind may have too."""
    if size <= most:
        return np.arange(size)
    golden = (np.arange(most) * 0.6180339887498949) % 1
    return (golden * size).astype(np.int64)


def _perhaps_odd(raw: NDArray[np.float32]) -> list[str]:
    """Name the bands any value of which is within the bounds of what may be odd."""
    steps = raw.shape[1]
    wide = raw.reshape(len(raw), steps * len(BANDS))
    low, high = np.tile(_LOW, steps), np.tile(_HIGH, steps)
    found = np.zeros(low.size, dtype=bool)
    for at in range(0, len(wide), _BLOCK):
        block = wide[at : at + _BLOCK]
        found |= ((block > low) & (block < high)).any(axis=0)
    there = found.reshape(steps, len(BANDS))
    return [name for name, odd in zip(BANDS, there.T, strict=True) if odd.any()]


def _odd_of(name: str, values: NDArray[np.float32]) -> Iterator[tuple[str, str]]:
    """Refuse a band for its rows, steps or zeros; give what is doubtful and how it is told."""
    there = ~np.isnan(values)
    zero = there & (values == 0) if name in _ZEROS else np.zeros_like(there)
    known = there & ~zero
    counts = [_count(known, axis) for axis in (0, 1)]
    for kind in _ODD[name]:
        odd = known & (values > kind.low) & (values < kind.high)
        if not odd.any():
            continue
        told, refused = "", False
        for axis, one in ((0, "step"), (1, "row")):
            inside = _count(odd, axis)
            judged = counts[axis] >= kind.least
            bad = judged & (inside > kind.most * counts[axis])
            if bad.any():
                told = f"{bad.sum():,} of {judged.sum():,} {one}s look like {kind.looks}, first "
                told += f"{one} {np.argmax(bad)}; {kind.remedy}"
                rare = bad.sum() <= _RARE * judged.sum() or inside[bad].sum() < _ODD_SURE
                refused = refused or not rare
        share = int(odd.sum()) / int(known.sum())
        if kind.sure and not told and share > _SOME:
            told = f"{_singly(odd, known, f'look like {kind.looks}')}; {kind.remedy}"
        many = share == 1 or (share > _MANY and np.count_nonzero(odd.any(axis=1)) >= 3)
        if kind.sure and (refused or many):
            raise WherefromError(f"band {name}: {told}, the same unit everywhere")
        if told:
            yield kind.looks, told
    share = int(zero.sum()) / max(1, int(there.sum()))
    if zero.any() and share > _ZEROS[name]:
        told = _singly(zero, there, "are exactly 0") + "; does 0 say absent? Give NaN there"
        if share > _RARE and np.count_nonzero(zero) >= _ZEROS_SURE:
            raise WherefromError(f"band {name}: {told}")
        yield "0", told


def _count(which: NDArray[np.bool_], axis: int) -> NDArray[np.int32]:
    # Bytes add up three times as fast as booleans count.
    return np.asarray(which.view(np.int8).sum(axis=axis, dtype=np.int32))


def _singly(which: NDArray[np.bool_], of: NDArray[np.bool_], are: str) -> str:
    row, step = np.argwhere(which)[0]
    return f"{which.sum():,} of {of.sum():,} values {are}, first row {row}, step {step}"


def _radians(raw: NDArray[np.float32]) -> str:
    """Tell of slopes that are all less than steep although heights differ."""
    slope, height = (raw[:, 0, BANDS.index(name)] for name in ("slope", "elevation"))
    known = ~(np.isnan(slope) | np.isnan(height))
    slope, height = slope[known], height[known]
    if slope.size < _SLOPES or np.ptp(height) <= _HILLS or not 0 < slope.max() <= _FLAT:
        return ""
    return f"band slope: none of {slope.size:,} is above {slope.max():.3g} degrees; radians?"


def _mark(values: NDArray[np.float32]) -> float:
    """Return a value that no measurement has so often, of rows that vary; NaN if there is none."""
    varies = (values != values[:, :1]).any(axis=1) & ~np.isnan(values).all(axis=1)
    found, counts = np.unique(values[varies], return_counts=True, equal_nan=True)
    counts[np.isnan(found)] = 0
    if varies.sum() < _ROWS or found.size < 2:
        return np.nan
    second, first = np.partition(counts, -2)[-2:]
    often = first >= max(_OFTEN * counts.sum(), _MORE * second)
    mark = found[counts.argmax()]
    spread = often and (values[varies] == mark).any(axis=1).sum() >= _ROWS
    return float(mark) if spread else np.nan


def ndvi(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute NDVI of B8 and B4, (N, T): 0 where their sum is not positive, as Presto has it."""
    b8, b4 = raw[:, :, BANDS.index("B8")], raw[:, :, BANDS.index("B4")]
    total = b8 + b4
    # presto.md 1.2: zero where the sum is not positive; NaN where either band is absent.
    ratio = np.divide(b8 - b4, total, out=np.zeros_like(total), where=total > 0)
    return np.where(np.isnan(total), np.float32(np.nan), ratio)


def check_ndvi(raw: NDArray[np.float32]) -> None:
    """Refuse a stored NDVI that is not that of B8 and B4, or without them not within -1 to 1."""
    stored, due = raw[:, :, BANDS.index("NDVI")], ndvi(raw)
    alone = np.isnan(due)
    wrong = np.where(alone, np.abs(stored) > 1, np.abs(stored - due) > 1e-3 * (1 + np.abs(due)))
    if not wrong.any():
        return
    row, step = np.argwhere(wrong)[0]
    other = "not -1 to 1" if alone[row, step] else f"but {due[row, step]:g} of B8 and B4"
    raise WherefromError(
        f"band NDVI of row {row}, step {step} is {stored[row, step]:g}, {other} ({wrong.sum():,} "
        "such values); make the series with PixelSeries.from_array, which computes it"
    )


@contextmanager
def said_of(where: object, rows: Sequence[object] | None = None) -> Iterator[None]:
    """Begin what is refused or warned of within by `where`, and name its row as in `rows`."""

    def said(text: object) -> str:
        told = str(text)
        if rows is not None:
            told = re.sub(r"row (\d+)", lambda at: f"{at[0]} ({rows[int(at[1])]})", told, count=1)
        return f"{where}: {told}"

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except WherefromError as err:
            raise WherefromError(said(err)) from err
    for each in caught:
        # Past this function and contextlib's, to whoever opened the context.
        warnings.warn(said(each.message), each.category, stacklevel=3)
