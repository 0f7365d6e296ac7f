"""Allocation: exact shares, and a policy for every stratum that is short."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherefrom.compose.allocate import SHORT, allocate, round_at_random
from wherefrom.errors import WherefromError

STRATA = st.lists(
    st.tuples(st.integers(0, 50), st.fractions(0, 10, max_denominator=7)), min_size=1, max_size=12
).filter(lambda strata: any(weight for _, weight in strata))


@given(STRATA, st.integers(1, 300), st.sampled_from(SHORT))
@settings(max_examples=100)
def test_targets_never_lose_or_invent_places(
    strata: list[tuple[int, Fraction]], n: int, short: str
) -> None:
    sizes, weights = [size for size, _ in strata], [weight for _, weight in strata]
    try:
        plan = allocate(weights, sizes, n, short)  # type: ignore[arg-type]
    except WherefromError:
        asked = [n * w / sum(weights) for w in weights]
        room = sum(size for size, weight in strata if weight)
        lacking = any(a > s for a, s in zip(asked, sizes, strict=True))
        assert (short == "error" and lacking) or (short == "redistribute" and room < n)
        return
    assert sum(plan.asked) == n
    total = sum(plan.targets)
    if short == "cap":
        assert total == sum(min(a, s) for a, s in zip(plan.asked, sizes, strict=True))
    else:
        assert total == n
    if short != "repeat":
        assert all(target <= size for target, size in zip(plan.targets, sizes, strict=True))


@given(STRATA, st.integers(1, 300))
@settings(max_examples=80)
def test_redistribution_keeps_the_weights_of_strata_that_have_enough(
    strata: list[tuple[int, Fraction]], n: int
) -> None:
    sizes, weights = [size for size, _ in strata], [weight for _, weight in strata]
    if sum(size for size, weight in strata if weight) < n:
        return
    plan = allocate(weights, sizes, n, "redistribute")
    rates = [
        (target / weight, target == size)
        for target, size, weight in zip(plan.targets, sizes, weights, strict=True)
        if weight
    ]
    free = {rate for rate, full in rates if not full}
    assert len(free) <= 1
    # A full stratum would have been given as much as the others, or more.
    assert all(rate <= other for rate, full in rates if full for other in free)


@given(STRATA, st.integers(1, 300), st.integers(0, 2**32))
@settings(max_examples=80)
def test_rounding_moves_no_target_by_a_whole_place(
    strata: list[tuple[int, Fraction]], n: int, seed: int
) -> None:
    weights = [weight for _, weight in strata]
    targets = [n * weight / sum(weights) for weight in weights]
    counts = round_at_random(targets, np.random.default_rng(seed))
    assert counts.sum() == n
    assert all(floor(t) <= c <= ceil(t) for t, c in zip(targets, counts, strict=True))


def test_short_stratum_is_named_with_what_it_has() -> None:
    with pytest.raises(WherefromError, match=r"1 of 2 strata: 'Mangroves' has 3 of 5; .*short=cap"):
        allocate([1, 1], [3, 100], 10, "error", ["Mangroves", "Tundra"])
    with pytest.raises(WherefromError, match="all strata together, which have 8 places"):
        allocate([1, 1], [3, 5], 10, "redistribute")


@pytest.mark.parametrize("short", SHORT)
def test_no_stratum_at_all_ends_in_a_traceback(short: Any) -> None:
    with pytest.raises(WherefromError, match="no place of the pool is in a stratum"):
        allocate(np.ones(0, dtype=int), np.zeros(0, dtype=int), 10, short, ())


def test_one_stratum_is_not_offered_the_others_places() -> None:
    with pytest.raises(WherefromError) as caught:
        allocate([1], [3], 10, "error", ["Europe"])
    assert "redistribute" not in str(caught.value)
