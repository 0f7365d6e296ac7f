"""Spectral entropy: the published definition to the bit, and one that no unit can change."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wherefrom.auditing.spectral import (
    OLMOEARTH,
    BinSpec,
    band_entropy,
    histogram,
    robust_range,
    scale_free,
    spectral_entropy,
    spread,
    spread_of,
)
from wherefrom.errors import WherefromError


def olmoearth(sample: np.ndarray, missing: float = -99999) -> float:
    """The public definition, written with NumPy and SciPy, of a (bands, pixels) sample."""
    each = []
    for band in sample.astype(np.float64):
        counts, _ = np.histogram(band[band != missing], bins=100, range=(0, 10_000))
        each.append(scipy.stats.entropy(counts))
    return float(np.mean(each))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", ">u2", "int32", "float32"])
def test_olmoearths_definition_is_not_changed_by_the_type_of_the_values(dtype: str) -> None:
    rng = np.random.default_rng(1)
    top = min(14_000, np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else 14_000
    values = rng.integers(0, top, (5, 3, 700), endpoint=True).astype(dtype)
    values[0, 0, :3] = np.minimum([0, 10_000, 10_001], top)  # both ends of the range, and beyond
    expected = [olmoearth(sample) for sample in values]
    np.testing.assert_allclose(spectral_entropy(values), expected, rtol=0, atol=1e-13)


@given(arrays(np.float32, (2, 40), elements=st.floats(-500, 11_000, width=32)))
@settings(max_examples=60)
def test_no_value_falls_into_the_wrong_bin(sample: np.ndarray) -> None:
    counts = histogram(sample, OLMOEARTH)
    for band, found in zip(sample.astype(np.float64), counts, strict=True):
        np.testing.assert_array_equal(
            found[:100], np.histogram(band, bins=100, range=(0, 10_000))[0]
        )
        assert found.sum() == 40


@given(
    arrays(
        np.float32,
        (4, 2, 12),
        elements=st.one_of(
            st.floats(-500, 11_000, width=32), st.sampled_from([np.nan, 50, 250, -1])
        ),
    ),
    st.sampled_from([OLMOEARTH, BinSpec((0.0, 100.0), (10_000.0, 900.0), 7, "clip")]),
)
@settings(max_examples=60)
def test_short_series_are_not_counted_by_another_rule_than_images(
    values: np.ndarray, bins: BinSpec
) -> None:
    short = spread(values, bins, absent=-1)
    counted = spread_of(histogram(values, bins, absent=-1))
    np.testing.assert_allclose(short.entropy, counted.entropy, rtol=0, atol=1e-14)
    for name in ("inside", "dropped", "top"):
        np.testing.assert_array_equal(getattr(short, name), getattr(counted, name))


def test_missing_values_never_count_as_dark_pixels() -> None:
    real = np.array([[100.0, 1_000.0, 5_000.0]])
    padded = np.array([[100.0, 1_000.0, 5_000.0, -99_999.0, np.nan]])
    assert spectral_entropy(padded, absent=-99_999) == spectral_entropy(real)
    with_zero = np.array([[0, 0, 100, 1_000, 5_000]], np.uint16)
    assert spectral_entropy(with_zero, absent=0) == spectral_entropy(real)
    assert histogram(with_zero, OLMOEARTH, absent=0)[0, -1] == 2


def test_one_value_has_exactly_no_entropy_and_an_even_spread_the_most() -> None:
    assert spectral_entropy(np.full((1, 65_537), 700, np.uint16)) == 0.0
    even = np.arange(50, 10_000, 100)[None]
    assert spectral_entropy(even) == pytest.approx(OLMOEARTH.most, abs=1e-14)


def test_a_sample_is_never_compared_by_fewer_bands_than_others() -> None:
    sample = np.array([[100.0, 3_000.0], [20_000.0, 30_000.0]])
    assert np.isnan(spectral_entropy(sample))  # as the public definition has it
    assert np.isnan(olmoearth(sample))


def test_counts_of_a_samples_parts_add_up_to_the_whole() -> None:
    values = np.random.default_rng(2).integers(0, 12_000, (3, 900))
    parts = sum(histogram(part, OLMOEARTH) for part in np.array_split(values, 4, axis=1))
    np.testing.assert_array_equal(parts, histogram(values, OLMOEARTH))


def test_chunks_of_many_samples_do_not_mix() -> None:
    rng = np.random.default_rng(3)
    # More cells than one chunk holds; small and other types take different ways.
    values = rng.integers(0, 11_000, (12_000, 2, 5)).astype(np.uint16)
    whole = spectral_entropy(values)
    np.testing.assert_array_equal(whole, spectral_entropy(values.astype(np.float32)))
    some = rng.choice(len(values), 50)
    np.testing.assert_array_equal(whole[some], [spectral_entropy(values[i]) for i in some])


SETS = arrays(np.int64, (6, 2, 30), elements=st.integers(-3_000, 20_000))


@given(SETS, st.integers(1, 60_000), st.integers(-(10**6), 10**6))
@settings(max_examples=80)
def test_a_gain_or_an_offset_of_the_set_never_changes_a_scale_free_entropy(
    values: np.ndarray, gain: int, offset: int
) -> None:
    found = spectral_entropy(values, "scale-free")
    np.testing.assert_array_equal(found, spectral_entropy(gain * values + offset, "scale-free"))
    # Of each band for itself, as with bands of other units; a power of two leaves no rounding.
    mixed = values * np.array([1.0, 2.0**-17])[:, None]
    np.testing.assert_array_equal(found, spectral_entropy(mixed, "scale-free"))


def test_any_unit_gives_the_same_scale_free_entropy_up_to_rounding() -> None:
    rng = np.random.default_rng(4)
    values = rng.gamma(2.0, 400.0, (30, 4, 500))
    kelvin = values * 0.00173 + 273.15
    np.testing.assert_allclose(
        spectral_entropy(values, "scale-free"), spectral_entropy(kelvin, "scale-free"), atol=0.01
    )


def test_a_uniform_sample_is_not_stretched_to_the_entropy_of_its_noise() -> None:
    rng = np.random.default_rng(5)
    varied = rng.integers(0, 8_000, (9, 1, 2_000))
    flat = 4_000 + rng.integers(0, 8, (1, 1, 2_000))
    found = spectral_entropy(np.concatenate([varied, flat]), "scale-free")
    assert found[-1] < 0.7 < 4.4 < found[:-1].min()


def test_one_wild_value_does_not_set_the_range_of_all() -> None:
    values = np.random.default_rng(6).integers(0, 1_000, (200, 1, 500))
    calm = spectral_entropy(values, "scale-free")
    values[0, 0, 0] = 10**9
    np.testing.assert_allclose(spectral_entropy(values, "scale-free"), calm, atol=0.05)


def test_values_beyond_a_scale_free_range_still_count() -> None:
    spec = scale_free(np.array([[[10.0, 20.0]]]), count=2)
    assert histogram([[0.0, 10.0, 20.0, 99.0, np.inf]], spec).tolist() == [[2, 3, 0, 0]]


def test_a_band_without_any_spread_has_no_entropy_instead_of_a_division_by_zero() -> None:
    assert spectral_entropy(np.full((3, 2, 9), 7.0), "scale-free").tolist() == [0, 0, 0]


def test_ranges_are_values_that_occur_and_absent_ones_do_not_count() -> None:
    values = np.append(np.arange(300.0), [np.nan, -1, -1])
    assert robust_range(values[None], absent=-1).tolist() == [[2.0, 297.0]]
    assert np.isnan(robust_range([[np.nan, np.nan]])).all()


def test_few_values_give_less_entropy_by_as_much_as_is_said() -> None:
    # Shortfall (K - 1) / (2 n) of a uniform source, mean of 400 samples: standard error about
    # 0.0005, so that five of them are missed by chance once in a million runs.
    rng = np.random.default_rng(7)
    n = 2_000
    found = spectral_entropy(rng.integers(0, 10_000, (400, 1, n)).astype(np.uint16))
    assert OLMOEARTH.most - found.mean() == pytest.approx(99 / (2 * n), abs=0.0025)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: spectral_entropy([[1.0]], "olmo-earth"), "did you mean 'olmoearth'"),
        (lambda: spectral_entropy([1.0, 2.0]), "shape"),
        (lambda: spectral_entropy([["a"]]), "needs numbers"),
        (lambda: BinSpec((5.0,), (1.0,)), "5 to 1 is no range"),
        (lambda: BinSpec((0.0,), (1.0,), count=0), "count of at least 1"),
        (lambda: histogram([[1.0], [2.0]], BinSpec((0.0,) * 3, (1.0,) * 3)), "for 3 bands"),
        (lambda: spectral_entropy(np.full((2, 1, 4), np.nan), "scale-free"), "band 0 has no value"),
    ],
)
def test_a_mistake_is_answered_in_one_line(call: object, said: str) -> None:
    with pytest.raises(WherefromError, match=said) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_an_empty_histogram_gives_no_number_instead_of_zero() -> None:
    assert np.isnan(band_entropy([[0, 0, 5, 5]])).all()
